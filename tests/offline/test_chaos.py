# SPDX-License-Identifier: BSD-2-Clause
"""A hundred thousand packets as a bad network and a bad neighbour would deliver them.

Packets that `protect` made come late, twice, in another order, with bits turned and with
ends cut off. A window written from RFC 4303 says which of them may be opened; the verb
must open exactly those, once, and name a reason for every other one.
"""

import collections
import random

import captures
import cases
import ipsec_model as model
import rfc

SENT = 20000  # by each of the two SAs
ARRIVING = 100000
WINDOW = 64  # -r counts bytes of it
SEED = 20261125

ENDS = {"esp": (bytes([10, 1, 0, 1]), bytes([10, 1, 0, 2])), "ah": (bytes([10, 2, 0, 1]), bytes([10, 2, 0, 2]))}
CONF = f"""
add 10.1.0.1 10.1.0.2 esp 0x1001 -r {WINDOW // 8} -E aes-gcm-16 0x{cases.key_of("chaos", 20).hex()};
add 10.2.0.1 10.2.0.2 ah 0x1002 -r {WINDOW // 8} -A hmac-sha2-256 0x{cases.key_of("chaos", 32).hex()};
spdadd 10.1.0.1 10.1.0.2 any -P out ipsec esp/transport//require;
spdadd 10.2.0.1 10.2.0.2 any -P out ipsec ah/transport//require;
spdadd 10.1.0.1 10.1.0.2 any -P in ipsec esp/transport//require;
spdadd 10.2.0.1 10.2.0.2 any -P in ipsec ah/transport//require;
spdadd 0.0.0.0/0 0.0.0.0/0 any -P in discard;
spdadd ::/0 ::/0 any -P in discard;
"""


class Window:
    """RFC 4303 section 3.4.3 and appendix A2, as a set."""

    def __init__(self):
        self.highest, self.seen = 0, set()

    def take(self, seq):
        if seq == 0 or seq <= self.highest - WINDOW or seq in self.seen:
            return False
        self.highest = max(self.highest, seq)
        self.seen.add(seq)
        return True


def clear_packets():
    for number in range(SENT):
        for src, dst in ENDS.values():
            yield rfc.udp(src, dst, number.to_bytes(4, "big") * (1 + number % 9))


def turn_bit(frame, chance):
    """(frame with one bit turned, that bit's number)"""
    bit = chance.randrange(8 * len(frame))
    bad = bytearray(frame)
    bad[bit // 8] ^= 0x80 >> bit % 8
    return bytes(bad), bit


def deliver(sent, chance):
    """[(kind, which of those sent, bytes, length on the wire, turned bit)] in the order of arrival."""
    late = sorted(range(len(sent)), key=lambda at: at + chance.choice((0, 0, 0, 0, 3, 20, 90, 200)) * chance.random() * 2)
    out = []
    for place, at in enumerate(late):
        whole = ("whole", at, sent[at], None, None)
        match chance.randrange(5):
            case 0:
                out += [whole, ("again", at, sent[at], None, None)]
            case 1:
                old = late[chance.randrange(place + 1)]
                out += [("replayed", old, sent[old], None, None), whole]
            case 2 | 3:
                bad, bit = turn_bit(sent[at], chance)
                turned = ("turned", at, bad, None, bit)
                out += [turned, whole] if chance.randrange(3) else [whole, turned]
            case 4:
                kept = sent[at][:chance.randrange(1, len(sent[at]))]
                out += [("cut", at, kept, None, None), ("captured", at, kept, len(sent[at]), None), whole]
    while len(out) < ARRIVING:
        old = chance.randrange(len(sent))
        out.append(("replayed", old, sent[old], None, None))
    return out


# Bits of an IPv4 header that a router may turn: TOS, two flags, TTL, checksum; ESP does not cover the id either.
LOOSE = {*range(8, 16), 48, 49, *range(64, 72), *range(80, 96)}
LOOSE_ESP = LOOSE | set(range(32, 48))
SOURCE = range(96, 128)


def expected(windows, kind, sent, bit):
    """Whether this packet is to be opened. Moves the window as the engine must."""
    esp = sent[9] == model.PROTO_ESP
    seq = int.from_bytes(sent[24:28] if esp else sent[28:32], "big")
    if kind in ("cut", "captured"):
        return False
    if kind != "turned" or bit in (LOOSE_ESP if esp else LOOSE):
        return windows[esp].take(seq)
    if esp and bit in SOURCE:
        windows[esp].take(seq)  # the ICV is right; the policy then sees that somebody else's name is on it
    return False


def payload(datagram):
    return model.split(datagram)[2]


ALLOWED = {"whole": {"replay"}, "again": {"replay"}, "replayed": {"replay"}, "cut": {"malformed"}, "captured": {"cut-short"}}


def test_chaos(tmp_path):
    chance = random.Random(SEED)
    clear = list(clear_packets())
    protected = captures.run(tmp_path, "protect", CONF, captures.pcap(clear))
    assert protected.status == 0 and protected.summary["protected"] == len(clear), protected.stderr
    sent = protected.frames
    arriving = deliver(sent, chance)
    capture = captures.pcap([captures.Record(frame, full=full) for _, _, frame, full, _ in arriving])
    result = captures.run(tmp_path, "decrypt", CONF, capture, "-l", "-j", "--policy")
    assert result.status == 1, result.stderr
    windows = {True: Window(), False: Window()}
    reasons, opened, kept = collections.Counter(), collections.Counter(), iter(result.frames)
    for number, ((kind, at, _, _, bit), line) in enumerate(zip(arriving, result.listed, strict=True)):
        want = expected(windows, kind, sent[at], bit)
        where = number, kind, at, bit, line
        assert line["fate"] == ("opened" if want else "dropped"), where
        if want:
            assert payload(next(kept)) == payload(clear[at]), where
            opened[at] += 1
        else:
            assert line["reason"] in ALLOWED.get(kind, {line["reason"]}), where
            reasons[line["reason"]] += 1
    assert next(kept, None) is None
    assert max(opened.values()) == 1
    assert result.summary["drops"] == reasons and result.summary["dropped"] == reasons.total()
    assert result.summary["opened"] == len(opened) and result.summary["passed"] == 0
    print(f"figure: {len(arriving)} packets arrived, {len(clear)} were sent; opened {len(opened)}, each once; dropped "
          + ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items())))
