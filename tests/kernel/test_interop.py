#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a table of algorithms does not show: 64-bit sequence numbers past 2^32, replay
windows, reqids, nested bundles, levels, and tunnels of another family than their traffic.

    tests/kernel/test_interop.py BUILD PLAIN    boots a guest and runs the tests there; TAP

Two hosts, `ours` and `theirs`. On theirs it is the kernel's IPsec, told by `ip xfrm`. On
ours it is in turn sallyportd, and the kernel's IPsec told by setkey through XFRM. Between
them stands a relay of ours that holds packets back, leaves some out, doubles some and
changes their order. What is to come of that is reckoned by a model written from RFC 4303
section 3.4.3; the kernel's own counters (`ip -s xfrm state`) are compared with it too.
"""

import contextlib
import dataclasses
import os
import pathlib
import random
import re
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "live")]
import lab as live  # noqa: E402

SIDES = ("ours", "theirs")
ADDRESS = {"ours": {4: "10.0.0.1", 6: "fd00::1"}, "theirs": {4: "10.0.0.2", 6: "fd00::2"}}
AH, ESP, IPCOMP, ICMP, UDP = 51, 50, 108, 1, 17
NUMBER = {"ah": AH, "esp": ESP, "ipcomp": IPCOMP}
PACKET_OUTGOING = 4
BURST = 32  # datagrams on their way at a time: no queue overflows
PATIENCE = 10.0  # seconds; everything is emulated
MODULES = """veth tun jitterentropy_rng drbg esp4 esp6 ah4 ah6 ipcomp ipcomp6 xfrm_user xfrm4_tunnel xfrm6_tunnel tunnel4
    tunnel6 authenc authencesn echainiv seqiv cbc ctr gcm hmac sha256_generic crypto_null deflate aes_generic
    ghash_generic deflate"""


def other(side):
    return "theirs" if side == "ours" else "ours"


def check(name, wrong):
    """A test of TAP: what is wrong, in words, or nothing."""
    check.number += 1
    check.failed |= bool(wrong)
    print(f"{'not ok' if wrong else 'ok'} {check.number} - {name}")
    for line in (wrong if isinstance(wrong, list) else [wrong]) if wrong else []:
        for part in str(line).splitlines():
            print(f"# {part}")
    sys.stdout.flush()


check.number, check.failed = 0, False


# What both are told ------------------------------------------------------------------

# word of ours: (option, bits of key), (word of theirs, bits of ICV)
ALGORITHMS = {
    "rijndael-cbc": ("-E", 128, "enc cbc(aes)", 0),
    "aes-gcm-16": ("-E", 160, "aead rfc4106(gcm(aes))", 128),
    "hmac-sha2-256": ("-A", 256, "auth-trunc hmac(sha256)", 128),
    "deflate": ("-C", 0, "comp deflate", 0),
}
USUAL = {"ah": ("hmac-sha2-256",), "esp": ("rijndael-cbc", "hmac-sha2-256"), "ipcomp": ("deflate",)}


@dataclasses.dataclass
class SA:
    """What `side` sends by."""
    side: str
    proto: str
    spi: int
    mode: str = "transport"
    reqid: int = 0
    window: int = 32  # packets
    esn: bool = False
    algorithms: tuple = ()
    version: int = 4
    oseq: int = 0  # theirs begins behind this number

    @property
    def ends(self):
        return ADDRESS[self.side][self.version], ADDRESS[other(self.side)][self.version]

    def key(self, name, bits):
        return random.Random(f"{self.proto} {self.spi} {name}").randbytes(bits // 8).hex()

    def setkey(self):
        words = ["add", *self.ends, self.proto, f"{self.spi:#x}", "-m", self.mode, "-u", str(self.reqid)]
        if self.proto != "ipcomp":
            words += ["-r", str(self.window // 8)] + ["-esn"] * self.esn
        for name in self.algorithms or USUAL[self.proto]:
            option, bits, _, _ = ALGORITHMS[name]
            words += [option, name] + ([f"0x{self.key(name, bits)}"] if bits else [])
        return " ".join(words) + ";\n"

    def xfrm(self):
        src, dst = self.ends
        words = ["xfrm state add src", src, "dst", dst, "proto", "comp" if self.proto == "ipcomp" else self.proto,
                 "spi", f"{self.spi:#x}", "mode", self.mode, "reqid", str(self.reqid)]
        flags = ["esn"] * self.esn + ["align4"] * (self.proto == "ah" and self.version == 4)
        flags += ["af-unspec"] * (self.mode == "tunnel")
        if self.proto != "ipcomp":
            words += ["replay-window", str(self.window)]
        if self.oseq:
            words += ["replay-oseq", f"{self.oseq:#x}"]
        words += ["flag", *flags] if flags else []
        for name in self.algorithms or USUAL[self.proto]:
            _, bits, word, icv = ALGORITHMS[name]
            words += [word] + ([f"0x{self.key(name, bits)}"] if bits else []) + ([str(icv)] if icv else [])
        return " ".join(words) + "\n"


@dataclasses.dataclass
class Policy:
    """For what `side` sends: requests of (protocol, mode, level[, reqid]), innermost first."""
    side: str
    requests: tuple
    udp_port: int = 0  # 0: for everything
    version: int = 4  # of the traffic
    outer: int = 4  # of tunnels
    theirs: tuple = None  # requests where the other side is told something else
    priority: int = 100  # theirs; of the language's policies the first in the text is the first asked

    def ends(self, version):
        return ADDRESS[self.side][version], ADDRESS[other(self.side)][version]

    def setkey(self):
        src, dst = self.ends(self.version)
        outer = "-".join(self.ends(self.outer))
        parts = []
        for proto, mode, level, *reqid in self.requests:
            if proto == "ipcomp" and self.side == "theirs":
                level, reqid = "use", ()  # what is too short arrives as it is
            parts.append(f"{proto}/{mode}/{outer if mode == 'tunnel' else ''}/{level}"
                         + (f":{reqid[0]}" if reqid else ""))
        selector = f"{src} {dst}[{self.udp_port}] udp" if self.udp_port else f"{src} {dst} any"
        return f"spdadd {selector} -P {'out' if self.side == 'ours' else 'in'} ipsec {' '.join(parts)};\n"

    def xfrm(self):
        src, dst = self.ends(self.version)
        lines = ""
        for direction in ("out",) if self.side == "theirs" else ("in", "fwd"):
            words = ["xfrm policy add src", src, "dst", dst]
            words += ["proto udp dport", str(self.udp_port)] if self.udp_port else []
            words += ["dir", direction, "priority", str(self.priority)]
            for proto, mode, level, *reqid in self.requests if self.theirs is None else self.theirs:
                ends = self.ends(self.outer)
                words += ["tmpl"] + (["src", ends[0], "dst", ends[1]] if mode == "tunnel" else [])
                words += ["proto", "comp" if proto == "ipcomp" else proto]
                words += ["reqid", str(reqid[0])] if reqid else []
                optional = level == "use" or (proto == "ipcomp" and direction != "out")
                words += ["mode", mode] + (["level", "use"] if optional else [])
            lines += " ".join(words) + "\n"
        return lines


def both_ways(make):
    return [make(side) for side in SIDES]


# The hosts, and the cable between them -----------------------------------------------

class Relay(threading.Thread):
    """Carries frames between the hosts; those of AH and ESP that a side sends can be kept back."""

    def __init__(self):
        super().__init__(daemon=True)
        self.held, self.seen, self.holding, self.ended = [], [], None, False
        self.sockets = {}
        for side in SIDES:
            with live.inside("wire"):
                end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(live.ETH_P_ALL))
            end.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
            with live.inside("wire"):
                end.bind((side, 0))
            end.setblocking(False)
            self.sockets[side] = end

    def run(self):
        while not self.ended:
            ready, _, _ = select.select(self.sockets.values(), [], [], 0.2)
            for side, end in self.sockets.items():
                if end in ready:
                    self.take_all(side, end)

    def take_all(self, side, end):
        while True:
            try:
                frame, (_, _, kind, *_) = end.recvfrom(65536)
            except (BlockingIOError, OSError):
                return
            if kind == PACKET_OUTGOING:
                continue
            packet = live.Packet(frame) if live.is_ip(frame) else None
            if packet:
                self.seen.append((side, packet))
            if side == self.holding and packet and packet.proto in (AH, ESP):
                self.held.append(frame)
            else:
                self.send(side, frame)

    def send(self, side, frame):
        """As if the side had sent it."""
        with contextlib.suppress(OSError):
            self.sockets[other(side)].send(frame)

    def packets(self, side):
        return [packet for sender, packet in self.seen if sender == side]


class Pair(live.Hosts):
    names = (*SIDES, "wire")

    def up(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            self.run(name, "sh", "-c", "ip link set lo up; cd /proc/sys/net/ipv6/conf; "
                     "echo 0 >all/accept_dad; echo 0 >default/accept_dad")
        for side in SIDES:
            self.run("wire", "ip", "link", "add", side, "type", "veth", "peer", "name", "eth0", "netns", side)
            # The relay's end says nothing of its own.
            self.run("wire", "sh", "-c", f"echo 1 >/proc/sys/net/ipv6/conf/{side}/disable_ipv6; ip link set {side} up "
                     "arp off multicast off promisc on")
            for version, length in ((4, 24), (6, 64)):
                self.run(side, "ip", "address", "add", f"{ADDRESS[side][version]}/{length}", "dev", "eth0",
                         *(["nodad"] if version == 6 else []))
            self.run(side, "ip", "link", "set", "eth0", "up")
        mac = {side: re.search(r"link/ether (\S+)", self.run(side, "ip", "-o", "link", "show", "eth0").stdout)[1]
               for side in SIDES}
        for side in SIDES:
            for version in (4, 6):
                self.run(side, "ip", "neighbour", "replace", ADDRESS[other(side)][version], "dev", "eth0", "lladdr",
                         mac[other(side)], "nud", "permanent")
        self.relay = Relay()
        self.relay.start()
        for version in (4, 6):
            live.wait_until(lambda: self.answered("ours", version), PATIENCE, "the wire")

    def __exit__(self, *args):
        self.relay.ended = True
        self.relay.join()
        super().__exit__(*args)

    def answered(self, side, version=4, size=56):
        return self.pings(side, ADDRESS[other(side)][version], "-c", "1", "-W", "2", "-s", str(size))

    def bound(self, side, port=0):
        """A socket for datagrams to or from the side's address."""
        with live.inside(side):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)
        made.bind((ADDRESS[side][4], port))
        made.setblocking(False)
        return made

    def xfrm_stat(self, side, name):
        return int(re.search(rf"{name}\s+(\d+)", self.run(side, "cat", "/proc/net/xfrm_stat").stdout)[1])


class Ours:
    """What protects our side: loads a text into empty databases, and counts what was dropped."""

    def __init__(self, lab):
        self.lab = lab

    def setkey(self, *arguments, **kwargs):
        return self.lab.setkey("ours", "--backend", self.backend, *arguments, build=live.BUILD_PLAIN, check=False,
                               **kwargs)

    def load(self, text):
        done = self.setkey("-c", input=f"flush; spdflush;\n{text}")
        return done.stderr if done.returncode or done.stderr else ""


class Daemon(Ours):
    name, backend = "sallyportd", "local"

    def __enter__(self):
        self.daemon = self.lab.daemon("ours", build=live.BUILD_PLAIN, ready=False)
        live.wait_until(lambda: self.setkey("-D").returncode == 0, 30, "sallyportd")
        return self

    def __exit__(self, *_):
        self.daemon.stop()

    def replays(self, _):
        """(too old or known, ICV wrong) so far."""
        counters = self.daemon.counters()
        return counters["drop.replay"], counters["drop.icv"]

    def dropped(self, name):
        return self.daemon.counters()[{"level": "drop.policy-clear", "reqid": "drop.policy-clear"}[name]]


def kernel_replays(lab, side, sa):
    """(too old or known, ICV wrong) of an SA, by `ip -s xfrm state`."""
    src, dst = sa.ends
    text = lab.run(side, "ip", "-s", "xfrm", "state", "get", "src", src, "dst", dst, "proto", sa.proto, "spi",
                   f"{sa.spi:#x}").stdout
    match = re.search(r"stats:\s+replay-window (\d+) replay (\d+) failed (\d+)", text)
    return int(match[1]) + int(match[2]), int(match[3])


class Kernel(Ours):
    name, backend = "setkey by XFRM", "xfrm"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.setkey("-F")
        self.setkey("-FP")

    def replays(self, sa):
        return kernel_replays(self.lab, "ours", sa)

    def dropped(self, name):
        return self.lab.xfrm_stat("ours", {"level": "XfrmInTmplMismatch", "reqid": "XfrmInTmplMismatch"}[name])


def configure(lab, ours, parts):
    """Both sides; what they had to say of it."""
    flush = "xfrm state flush\nxfrm policy flush\n"  # one program for all of it: here each takes a second
    trouble = lab.run("theirs", "ip", "-force", "-batch", "-", input=flush + "".join(part.xfrm() for part in parts),
                      check=False).stderr
    trouble += ours.load("".join(part.setkey() for part in parts))
    lab.relay.seen.clear()
    return trouble


# Sequence numbers --------------------------------------------------------------------

def plan(window):
    """The order in which numbers arrive: some late, some twice, some never."""
    first = list(range(1, 11)) + [5, 10, 1]
    held = list(range(11, 21))
    first += list(range(21, window + 11))  # the window ends at 11 now
    first += [20, 11, 20, 12]  # late and in it, twice, late
    first += [window + 12, 13, 12, 11]  # it ends at 13: late, known or too old, too old
    first += [1, window + 12, window + 11]  # too old, known, late
    # A jump that leaves nothing of the window behind, or where that would take long, most of it.
    jump = window + 20 + min(window, 100)
    first += [jump, jump - window, jump - window - 1, max(jump - window + 1, window + 14), jump - 1, jump - 1]
    assert set(held) & set(first) and set(range(14, 20)).isdisjoint(first)  # those are lost
    return first


def model(numbers, window):
    """What becomes of each: taken, known, or old. RFC 4303 section 3.4.3."""
    top, known, fates = 0, set(), []
    for number in numbers:
        fates.append("old" if number + window <= top else "known" if number in known else "taken")
        if fates[-1] == "taken":
            known.add(number)
            top = max(top, number)
    return fates


def sequence_of(frame):
    packet = live.Packet(frame)
    at = 4 if packet.proto == ESP else 8
    return int.from_bytes(packet.payload[at:at + 4], "big")


def send_numbers(lab, side, count, port):
    """Datagrams that say 1, 2, ...; the relay keeps the packets that protect them."""
    relay, out = lab.relay, lab.bound(side)
    relay.held, relay.holding = [], side
    for number in range(1, count + 1):
        out.sendto(number.to_bytes(4, "big"), (ADDRESS[other(side)][4], port))
        if number % BURST == 0 or number == count:
            deadline = time.monotonic() + PATIENCE
            while len(relay.held) < number and time.monotonic() < deadline:
                time.sleep(0.001)
    relay.holding = None
    out.close()
    return {sequence_of(frame): frame for frame in relay.held}


def deliver(lab, side, frames, numbers, fates, socket_):
    """Lets packets go in that order; what their datagrams say, as they come."""
    got = []
    for at in range(0, len(numbers), BURST):
        for number in numbers[at:at + BURST]:
            lab.relay.send(side, frames[number])
        drain(socket_, got, fates[:at + BURST].count("taken"), PATIENCE)
    drain(socket_, got, len(numbers), 0.5)  # and what should not come
    return got


def drain(socket_, got, enough, seconds):
    deadline = time.monotonic() + seconds
    while len(got) < enough and (left := deadline - time.monotonic()) > 0:
        if select.select([socket_], [], [], left)[0]:
            with contextlib.suppress(BlockingIOError):
                while True:
                    got.append(int.from_bytes(socket_.recv(64), "big"))


def test_window(lab, ours, proto, window, esn=False, algorithms=()):
    name = f"{ours.name}: {proto} with a replay window of {window}" + (", 64-bit numbers" if esn else "") \
        + (f", {algorithms[0]}" if algorithms else "")
    for side in SIDES:
        sas = both_ways(lambda at: SA(at, proto, 0x1000 + (at == "theirs"), window=window, esn=esn,
                                      algorithms=algorithms))
        wrong = []
        if trouble := configure(lab, ours, sas + both_ways(lambda at: Policy(at, ((proto, "transport", "require"),)))):
            wrong.append(trouble)
        sa = sas[SIDES.index(side)]
        receiver = lab.bound(other(side), 7000)
        numbers = plan(window)
        fates = model(numbers, window)
        expected = [number for number, fate in zip(numbers, fates) if fate == "taken"]
        counted = (lambda: kernel_replays(lab, "theirs", sa)) if side == "ours" else (lambda: ours.replays(sa))
        before = counted()
        frames = send_numbers(lab, side, max(numbers), 7000)
        if set(frames) != set(range(1, max(numbers) + 1)):
            wrong.append(f"{side} sent the sequence numbers {ranges(frames)}, not 1 to {max(numbers)}")
        else:
            got = deliver(lab, side, frames, numbers, fates, receiver)
            if got != expected:
                wrong.append(f"taken: {ranges(set(got) - set(expected))} too much, {ranges(set(expected) - set(got))} "
                             f"missing, {len(got)} for {len(expected)}")
            found = tuple(now - then for now, then in zip(counted(), before))
            wrong += filter(None, [counts_trouble(fates, esn, found)])
        receiver.close()
        check(f"{name}, {len(expected)} of {len(numbers)} taken from {side}", wrong)


def counts_trouble(fates, esn, found):
    """What is wrong with (replays, wrong ICVs). RFC 4303 appendix A2.1 takes a 64-bit number that is
    below the window for one of the next 2^32, which the ICV then denies; whoever knows it for old
    without the ICV is right as well."""
    known, old = fates.count("known"), fates.count("old")
    if sum(found) == known + old and (found[1] == 0 or (esn and found[1] <= old)):
        return ""
    return f"counted (replays, wrong ICVs): {found}, not {known} known and {old} old ones"


def ranges(numbers):
    """1, 2, 3, 7 as 1-3, 7."""
    text, numbers = [], sorted(numbers)
    while numbers:
        n = 1
        while n < len(numbers) and numbers[n] == numbers[0] + n:
            n += 1
        text.append(f"{numbers[0]}-{numbers[n - 1]}" if n > 1 else str(numbers[0]))
        numbers = numbers[n:]
    return ", ".join(text[:20]) or "none"


def test_esn_wrap(lab, ours, proto, algorithms):
    """Theirs sends past 2^32: whoever does not count the high half takes nothing from there on."""
    start, count = 0xFFFFFF80, 300
    sas = [SA("theirs", proto, 0x1001, esn=True, window=64, algorithms=algorithms, oseq=start),
           SA("ours", proto, 0x1000, esn=True, window=64, algorithms=algorithms)]
    wrong = []
    if trouble := configure(lab, ours, sas + both_ways(lambda at: Policy(at, ((proto, "transport", "require"),)))):
        wrong.append(trouble)
    receiver = lab.bound("ours", 7000)
    frames = send_numbers(lab, "theirs", count, 7000)
    order = [start + n & 0xFFFFFFFF for n in range(1, count + 1)]
    if sorted(frames) != sorted(order):
        wrong.append(f"sent: {ranges(frames)}")
    else:
        # Those around the wrap come backwards, and then once more.
        order[120:136] = reversed(order[120:136])
        fates = ["taken"] * count
        order[150:150], fates[150:150] = order[120:136], ["known"] * 16
        expected = [(number - start & 0xFFFFFFFF) for number, fate in zip(order, fates) if fate == "taken"]
        before = ours.replays(sas[0])
        got = deliver(lab, "theirs", frames, order, fates, receiver)
        if got != expected:
            wrong.append(f"missing: {ranges(set(expected) - set(got))}, {len(got)} for {len(expected)}")
        if (found := tuple(now - then for now, then in zip(ours.replays(sas[0]), before))) != (16, 0):
            wrong.append(f"counted (replays, wrong ICVs): {found}, not (16, 0)")
    receiver.close()
    check(f"{ours.name}: {' '.join((proto, *algorithms))} with 64-bit numbers past 2^32", wrong)


# Bundles -----------------------------------------------------------------------------

def what_wire_shows(lab, side):
    """{layers that everybody can read} of what a side sent, but for neighbour discovery."""
    shown = set()
    for packet in lab.relay.packets(side):
        layers = tuple(packet.layers())
        if not layers and packet.proto == 58 and packet.payload[:1] in (b"\x85", b"\x86", b"\x87", b"\x88", b"\x8f"):
            continue
        shown.add(layers or ("clear", packet.proto))
    return shown


def trouble_between(lab, wanted, version=4, sizes=(56, 1000)):
    """What is wrong with pings both ways, and with what the wire shows: {side: layers}."""
    wrong = []
    for side in SIDES:
        for size in sizes:
            if not lab.answered(side, version, size):
                wrong.append(f"ping of {size} bytes from {side} is not answered")
    for side in SIDES:
        # Of IPComp the AH around it shows only what was worth to be compressed.
        shown = {tuple(layer for layer in layers if layer[0] != IPCOMP) if layers[0] != "clear" else layers
                 for layers in what_wire_shows(lab, side)}
        if shown != {wanted[side]}:
            wrong.append(f"{side} sends {shown}, not {wanted[side]}")
    return wrong


def readable(layers):
    """The layers that everybody can read, of (number, SPI, mode), outermost first: ESP hides what is in it,
    and behind a tunnel's header is a packet of its own."""
    found = []
    for number, spi, mode in layers:
        found.append((number, spi))
        if number == ESP or mode == "tunnel":
            break
    return tuple(layer for layer in found if layer[0] != IPCOMP)


def bundle(layers, version=4, outer=4):
    """SAs and policies of a bundle of (protocol, mode), innermost first; and what the wire is to show."""
    parts, wanted = [], {}
    for side in SIDES:
        shown = []
        for depth, (proto, mode) in enumerate(layers):
            spi = 2 if proto == "ipcomp" else 0x1000 + 16 * depth + (side == "theirs")
            parts.append(SA(side, proto, spi, mode, reqid=depth + 1, version=outer))
            shown.append((NUMBER[proto], spi, mode))
        parts.append(Policy(side, tuple((proto, mode, "unique", depth + 1)
                                        for depth, (proto, mode) in enumerate(layers)), version=version, outer=outer))
        wanted[side] = readable(reversed(shown))
    return parts, wanted


NESTED = [
    ("ESP in AH", [("esp", "transport"), ("ah", "transport")]),
    ("ESP in ESP", [("esp", "transport"), ("esp", "transport")]),
    ("IPComp in ESP in AH", [("ipcomp", "transport"), ("esp", "transport"), ("ah", "transport")]),
    ("an ESP tunnel in AH", [("esp", "tunnel"), ("ah", "transport")]),
    ("an ESP tunnel in ESP", [("esp", "tunnel"), ("esp", "transport")]),
    ("an IPComp tunnel in ESP in AH", [("ipcomp", "tunnel"), ("esp", "transport"), ("ah", "transport")]),
    ("AH in an ESP tunnel", [("ah", "transport"), ("esp", "tunnel")]),
    ("an ESP tunnel in an AH tunnel", [("esp", "tunnel"), ("ah", "tunnel")]),
    ("an ESP tunnel in an ESP tunnel", [("esp", "tunnel"), ("esp", "tunnel")]),
]


def test_nested(lab, ours):
    for name, layers in NESTED:
        for version in (4, 6):
            parts, wanted = bundle(layers, version, version)
            wrong = [trouble] if (trouble := configure(lab, ours, parts)) else []
            if "not provided by this daemon" in str(wrong):
                check(f"{ours.name}: {name}, IPv{version} # SKIP not provided by this daemon", "")
                continue
            check(f"{ours.name}: {name}, IPv{version}", wrong + trouble_between(lab, wanted, version))


def test_mixed(lab, ours):
    for proto in "esp", "ah":
        for version, outer in ((4, 6), (6, 4)):
            name = f"{ours.name}: IPv{version} in {'an ' + proto.upper()} tunnel of IPv{outer}"
            parts, wanted = bundle([(proto, "tunnel")], version, outer)
            wrong = [trouble] if (trouble := configure(lab, ours, parts)) else []
            if ours.backend == "local" and "not provided" in str(wrong):
                check(f"{name} # SKIP not provided by this daemon", "")
                continue
            check(name, wrong + trouble_between(lab, wanted, version))


# Reqids and levels -------------------------------------------------------------------

def flow(lab, side, port, count=3):
    """How many datagrams to a port arrive, and {layers} that the wire showed of them."""
    receiver, out = lab.bound(other(side), port), lab.bound(side)
    lab.relay.seen.clear()
    for number in range(count):
        out.sendto(number.to_bytes(4, "big"), (ADDRESS[other(side)][4], port))
    got = []
    drain(receiver, got, count, 1.5)
    receiver.close()
    out.close()
    return len(got), what_wire_shows(lab, side)


def test_reqids(lab, ours):
    """Each flow by the SA of its number, and none by another's."""
    parts = []
    for side in SIDES:
        base = 0x1000 + 0x1000 * (side == "theirs")
        parts += [SA(side, "esp", base + reqid, reqid=reqid) for reqid in (100, 200)]
        for port, reqid, theirs in (7100, 100, 100), (7200, 200, 200), (7300, 100, 200):
            parts.append(Policy(side, (("esp", "transport", "unique", reqid),), udp_port=port,
                                theirs=(("esp", "transport", "unique", theirs),)))
    wrong = [trouble] if (trouble := configure(lab, ours, parts)) else []
    dropped = {"ours": lambda: ours.dropped("reqid"), "theirs": lambda: lab.xfrm_stat("theirs", "XfrmInTmplMismatch")}
    for side in SIDES:
        base = 0x1000 + 0x1000 * (side == "theirs")
        for port, reqid in (7100, 100), (7200, 200):
            if (found := flow(lab, side, port)) != (3, {((ESP, base + reqid),)}):
                wrong.append(f"to port {port} from {side}: {found}")
        # To 7300 ours asks for 100 and theirs for 200: no packet is what the other wants.
        before = dropped[other(side)]()
        sent_by = 100 if side == "ours" else 200
        if (found := flow(lab, side, 7300)) != (0, {((ESP, base + sent_by),)}):
            wrong.append(f"to port 7300 from {side}: {found}")
        if (more := dropped[other(side)]() - before) != 3:
            wrong.append(f"{other(side)} counted {more} packets of another SA than the policy's, not 3")
    check(f"{ours.name}: unique reqids choose SAs, and tell them apart", wrong)


def test_chosen_reqid(lab, ours):
    """`unique` without a number: one is chosen, and a policy's SA goes by it."""
    wrong = [trouble] if (trouble := ours.load(
        "spdadd 10.0.0.1 10.0.0.2 any -P out ipsec esp/transport//unique ah/transport//unique;")) else []
    numbers = [int(number) for number in re.findall(r"unique[:#](\d+)", ours.setkey("-DP").stdout)]
    if len(set(numbers)) != 2 or min(numbers) <= 0x3FFF:
        wrong.append(f"chosen: {numbers}\n{ours.setkey('-DP').stdout}")
    check(f"{ours.name}: numbers for `unique` are chosen above those of people", wrong)


def levels(level, theirs_level, with_sas):
    parts = both_ways(lambda at: Policy(at, (("esp", "transport", level),),
                                        theirs=(("esp", "transport", theirs_level),)))
    return parts + (both_ways(lambda at: SA(at, "esp", 0x1000 + (at == "theirs"))) if with_sas else [])


def test_levels(lab, ours):
    protected = {"ours": ((ESP, 0x1000),), "theirs": ((ESP, 0x1001),)}
    clear = dict.fromkeys(SIDES, ("clear", ICMP))
    for level, theirs, with_sas, wanted in [("use", "use", True, protected), ("use", "use", False, clear),
                                            ("use", "require", True, protected), ("require", "use", True, protected)]:
        wrong = [trouble] if (trouble := configure(lab, ours, levels(level, theirs, with_sas))) else []
        check(f"{ours.name}: level {level} here and {theirs} there, {'with' if with_sas else 'without'} SAs",
              wrong + trouble_between(lab, wanted))

    # Whoever requires takes nothing in clear from whoever only uses.
    wrong = [trouble] if (trouble := configure(lab, ours, levels("use", "require", False))) else []
    before = lab.xfrm_stat("theirs", "XfrmInTmplMismatch")
    if lab.answered("ours") or what_wire_shows(lab, "ours") != {clear["ours"]}:
        wrong.append(f"answered, or not in clear: {what_wire_shows(lab, 'ours')}")
    if lab.xfrm_stat("theirs", "XfrmInTmplMismatch") == before:
        wrong.append("theirs counted nothing")
    check(f"{ours.name}: level use here is not enough for require there", wrong)

    wrong = [trouble] if (trouble := configure(lab, ours, levels("require", "use", False))) else []
    before = ours.dropped("level")
    if lab.answered("theirs") or what_wire_shows(lab, "theirs") != {clear["theirs"]}:
        wrong.append(f"answered, or not in clear: {what_wire_shows(lab, 'theirs')}")
    if ours.dropped("level") == before:
        wrong.append("ours counted nothing")
    check(f"{ours.name}: level use there is not enough for require here", wrong)

    # Of a bundle what there are SAs for.
    parts = both_ways(lambda at: Policy(at, (("esp", "transport", "use"), ("ah", "transport", "require"))))
    parts += both_ways(lambda at: SA(at, "ah", 0x2000 + (at == "theirs")))
    wrong = [trouble] if (trouble := configure(lab, ours, parts)) else []
    check(f"{ours.name}: of esp/use and ah/require without an SA of esp it is AH alone",
          wrong + trouble_between(lab, {"ours": ((AH, 0x2000),), "theirs": ((AH, 0x2001),)}))


# The run -----------------------------------------------------------------------------

def inside():
    from peer import no_module_loading
    subprocess.run(["modprobe", "-a", *MODULES.split()], stderr=subprocess.DEVNULL, check=False)
    print(f"# Linux {os.uname().release}", flush=True)
    began = time.monotonic()
    with Pair() as lab:
        for make in Daemon, Kernel:
            with make(lab) as ours, no_module_loading():
                for proto, window, esn, algorithms in [
                        ("esp", 32, False, ()), ("esp", 64, False, ()), ("esp", 4096, False, ()), ("ah", 32, False, ()),
                        ("ah", 64, False, ()), ("esp", 64, True, ()), ("ah", 64, True, ()),
                        ("esp", 128, True, ("aes-gcm-16",))]:
                    test_window(lab, ours, proto, window, esn, algorithms)
                for proto, algorithms in ("esp", ()), ("ah", ()), ("esp", ("aes-gcm-16",)):
                    test_esn_wrap(lab, ours, proto, algorithms)
                test_reqids(lab, ours)
                test_chosen_reqid(lab, ours)
                test_levels(lab, ours)
                test_nested(lab, ours)
                test_mixed(lab, ours)
                print(f"# {ours.name}: done after {time.monotonic() - began:.0f} s", flush=True)
    print(f"1..{check.number}")
    return check.failed


def main(plain):
    import guest
    job = f"BUILD_PLAIN={plain} exec /usr/bin/python3 tests/kernel/test_interop.py --inside"
    with tempfile.TemporaryDirectory(prefix="sallyport-interop-") as work:
        try:
            result = guest.Guest(work).run(job, guest.SECONDS)
        except guest.Missing as error:
            print(f"ok 1 - interoperability with a kernel # SKIP {error}\n1..1")
            return 0
    print(result.output, end="")
    return result.status


if __name__ == "__main__":
    sys.exit(inside() if sys.argv[1] == "--inside" else main(pathlib.Path(sys.argv[2]).resolve()))
