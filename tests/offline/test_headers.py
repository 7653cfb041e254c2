# SPDX-License-Identifier: BSD-2-Clause
"""AH and ESP behind IPv4 options and IPv6 extension headers, on a way that changes what it may.

What `protect` made travels (source routes are followed, TTLs run down, routers write into
their options), and the model, Scapy and `decrypt` judge what arrives; and `decrypt` opens
what they made. Selectors and SAs name the end of a source route.
"""

import ipaddress
import warnings

import pytest
from scapy.layers.ipsec import AH, SecurityAssociation

import captures
import rfc
import scapy_judge
from ipsec_model import DESTINATION, HOP_BY_HOP, ROUTING, LSRR, SSRR, extensions, options, routed

warnings.filterwarnings("ignore", category=DeprecationWarning)


def v4(text):
    return ipaddress.ip_address(text).packed


A4, B4, A6, B6 = v4("10.1.0.1"), v4("10.1.0.2"), v4("2001:db8::1"), v4("2001:db8::2")
HOPS4 = [v4(f"192.0.2.{n}") for n in (1, 2, 3)]
HOPS6 = [v4(f"2001:db8:f::{n}") for n in (1, 2, 3)]
ROUTER_ALERT4 = bytes([0x94, 4, 0, 0])
CIPSO = bytes([0x86, 10, 0, 0, 0, 1, 1, 4, 0, 2])
SECURITY = bytes([0x82, 11]) + bytes(range(9))
RECORD_ROUTE = bytes([7, 11, 4]) + bytes(8)
TIMESTAMP = bytes([0x44, 12, 5, 0]) + bytes(8)
UNKNOWN4 = bytes([0x9E, 6]) + b"quix"


def with_options4(opts, dst=B4):
    opts += bytes(-len(opts) % 4)
    headers = bytearray(bytes([0x45 + len(opts) // 4, 0, 0, 0, 0, 7, 0x40, 0, 64, 17, 0, 0]) + A4 + dst + opts)
    return as_udp(headers, B4)


def as_udp(headers, end):
    """A datagram of UDP whose checksum counts the end of the route (RFC 1122 section 4.1.3.4, RFC 8200 section 8.1)."""
    source = A4 if len(end) == 4 else A6
    _, _, datagram = rfc.split(rfc.udp(source, end, b"\0behind the options"))
    return rfc.join(headers, rfc.PROTO_UDP, datagram)


def route4(kind, hops, done=0):
    """Through hops[1:] to B4, the header on its way to hops[0]; `done` of them are behind it."""
    slots = [*hops[1:], B4] if not done else list(hops)
    opt = bytes([kind, 3 + 4 * len(slots), 4 + 4 * done]) + b"".join(slots)
    return with_options4(b"\x01" + opt, hops[0] if not done else B4)


def chain6(*parts, dst=B6):
    """Headers of (protocol, bytes from the third on)."""
    protos = [proto for proto, _ in parts] + [rfc.PROTO_UDP]
    body = b"".join(bytes([following, (len(rest) + 2) // 8 - 1]) + rest for (_, rest), following in zip(parts, protos[1:]))
    headers = b"\x60\0\0\0\0\0" + bytes([protos[0], 64]) + A6 + dst + body
    _, _, segment = rfc.split(rfc.udp(A6, B6, b"\0behind the extensions"))
    headers = bytearray(headers)
    headers[4:6] = (len(headers) - 40 + len(segment)).to_bytes(2, "big")
    return bytes(headers) + segment


OPTIONS6 = b"\x3e\x04wxyz" + b"\x1e\x04abcd" + b"\x01\0"
ALERT6 = b"\x05\x02\0\0\x01\0"
PAD1S = b"\0\0\x3e\x02zz"


def route6(hops, left=None, kind=0, before=(), after=()):
    slots = [*hops[1:], B6] if left is None else list(hops)
    left = len(slots) if left is None else left
    return chain6(*before, (ROUTING, bytes([kind, left]) + bytes(4) + b"".join(slots)), *after,
                  dst=hops[0] if left else B6)


PACKETS = {
    "no-ops": with_options4(b"\1\1\1\1"),
    "end, and junk": with_options4(b"\1\0\x07\x09"),
    "record route": with_options4(b"\1" + RECORD_ROUTE),
    "timestamp": with_options4(TIMESTAMP),
    "router alert": with_options4(ROUTER_ALERT4),
    "CIPSO": with_options4(CIPSO),
    "security, unknown": with_options4(SECURITY + UNKNOWN4),
    "many": with_options4(ROUTER_ALERT4 + RECORD_ROUTE + b"\1" + TIMESTAMP + CIPSO),
    "loose route of one": route4(LSRR, HOPS4[:1]),
    "loose route of three": route4(LSRR, HOPS4),
    "strict route of two": route4(SSRR, HOPS4[:2]),
    "route at its end": route4(LSRR, HOPS4[:2], done=2),
    "hop-by-hop": chain6((HOP_BY_HOP, ALERT6)),
    "mutable options": chain6((HOP_BY_HOP, OPTIONS6)),
    "single bytes of padding": chain6((HOP_BY_HOP, PAD1S)),
    "destination options": chain6((DESTINATION, OPTIONS6)),
    "both options": chain6((HOP_BY_HOP, OPTIONS6), (DESTINATION, ALERT6)),
    "routing of one": route6(HOPS6[:1]),
    "routing of three": route6(HOPS6),
    "routing at its end": route6(HOPS6, left=0),
    "routing of type 2": route6(HOPS6[:1], kind=2),
    "routing between options": route6(HOPS6[:2], before=[(HOP_BY_HOP, OPTIONS6), (DESTINATION, OPTIONS6)],
                                      after=[(DESTINATION, OPTIONS6)]),
}
ROUTED = [name for name in PACKETS if routed(rfc.split(PACKETS[name])[0]) != rfc.split(PACKETS[name])[0]]


def travel(datagram):
    """What routers make of it: source routes followed, mutable options overwritten, hops counted, marked."""
    headers, proto, rest = rfc.split(datagram)
    moved = bytearray(routed(headers))
    if moved[0] >> 4 == 4:
        for at, kind, length in options(headers):
            if kind in (7, 0x44):  # a route or a time is recorded
                moved[at + 2] += 4
                moved[at + 4:at + 8] = b"\xc0\0\2\x63"
        moved[1], moved[8] = 0xB9, 60
        return rfc.join(moved, proto, rest)
    for kind, at, length in extensions(headers):
        for place in range(at, at + length - 4):
            if kind != ROUTING and moved[place:place + 2] == b"\x3e\x04":
                moved[place + 2:place + 6] = b"MOVE"
    moved[0:4], moved[7] = b"\x6b\x91\x23\x45", 60
    return bytes(moved) + rest


SAS = {  # -A of AH or ESP, words of `add` before it
    "ah": ("ah", "hmac-sha1", 20, ""), "ah gmac": ("ah", "aes-gmac-128", 20, ""),
    "ah gmac esn": ("ah", "aes-gmac-256", 36, "-r 8 -esn"), "ah sha2 esn": ("ah", "hmac-sha2-256", 32, "-r 8 -esn"),
    "ah-old": ("ah-old", "hmac-md5", 16, ""), "esp": ("esp", "hmac-sha1", 20, "-E rijndael-cbc 0x" + "5a" * 16),
}


def conf(name):
    proto, auth, size, words = SAS[name]
    lines = []
    for number, (src, dst) in enumerate(((A4, B4), (A6, B6))):
        src, dst = ipaddress.ip_address(src), ipaddress.ip_address(dst)
        lines.append(f"add {src} {dst} {proto} {0x1001 + number} {words} -A {auth} 0x{bytes(range(size)).hex()};")
        lines += [f"spdadd {src} {dst} any -P {way} ipsec {proto.split('-')[0]}/transport//require;" for way in ("out", "in")]
    return "\n".join(lines)


def judges(name):
    """One for each packet's family; they count sequence numbers."""
    proto, auth, size, words = SAS[name]
    made = []
    for number in (0, 1):
        if proto == "esp":
            made.append(rfc.Esp(0x1001 + number, "rijndael-cbc", b"\x5a" * 16, auth, bytes(range(size))))
        else:
            made.append(rfc.Ah(0x1001 + number, auth, bytes(range(size)), old=proto == "ah-old", esn="esn" in words))
    return made


def judge_of(pair, datagram):
    return pair[datagram[0] >> 4 == 6]


@pytest.mark.parametrize("name", SAS)
def test_round_trip_on_a_way_that_changes(name, tmp_path):
    """Model and engine open what the engine made; the engine opens what the model made."""
    clear = list(PACKETS.values())
    result = captures.run(tmp_path, "protect", conf(name), captures.pcap(clear))
    assert result.summary["protected"] == len(clear), result.stdout
    arrived = [travel(frame) for frame in result.frames]
    pair = judges(name)
    for what, sent, frame in zip(PACKETS, clear, arrived, strict=True):
        assert judge_of(pair, frame).open(frame) == travel(sent), what
    back = captures.run(tmp_path, "decrypt", conf(name), captures.pcap(arrived), "-l", "-j", "--policy")
    assert back.summary["opened"] == len(clear), back.stdout
    assert back.frames == [travel(sent) for sent in clear]
    pair = judges(name)
    theirs = [travel(judge_of(pair, sent).protect(sent)) for sent in clear]
    back = captures.run(tmp_path, "decrypt", conf(name), captures.pcap(theirs), "-l", "-j", "--policy")
    assert back.frames == [travel(sent) for sent in clear], back.stdout


def scapy_sa(number):
    return SecurityAssociation(AH, spi=0x1001 + number, auth_algo="HMAC-SHA1-96", auth_key=bytes(range(20)))


# Scapy 2.5 makes zeros of what stands behind the end of IPv4's options. It foretells IPv6's source routes only, also
# those at their end, and puts AH behind destination options, as Linux does.
SCAPY_OPENS = [name for name in PACKETS if name != "end, and junk"]
SCAPY_MAKES = [name for name in SCAPY_OPENS if name not in ("routing at its end", "destination options")
               and (PACKETS[name][0] >> 4 == 6 or name not in ROUTED)]


def test_scapy_opens(tmp_path):
    clear = [PACKETS[name] for name in SCAPY_OPENS]
    result = captures.run(tmp_path, "protect", conf("ah"), captures.pcap(clear))
    for what, sent, frame in zip(SCAPY_OPENS, clear, map(travel, result.frames), strict=True):
        assert bytes(scapy_sa(frame[0] >> 4 == 6).decrypt(scapy_judge.packet(frame))) == travel(sent), what


def test_scapy_makes(tmp_path):
    clear = [PACKETS[name] for name in SCAPY_MAKES]
    sas = scapy_sa(0), scapy_sa(1)
    theirs = [travel(bytes(judge_of(sas, sent).encrypt(scapy_judge.packet(sent)))) for sent in clear]
    result = captures.run(tmp_path, "decrypt", conf("ah"), captures.pcap(theirs), "-l", "-j", "--policy")
    assert result.frames == [travel(sent) for sent in clear], result.stdout


def test_a_changed_option_is_found(tmp_path):
    """Every byte of the options: what may change does, what may not is refused. IPv4's count as zeros with their type."""
    names = ["CIPSO", "router alert", "record route", "loose route of three", "mutable options", "routing of three"]
    frames = captures.run(tmp_path, "protect", conf("ah"), captures.pcap([PACKETS[name] for name in names])).frames
    for name, frame in zip(names, map(travel, frames), strict=True):
        headers, proto, rest = rfc.split(frame)
        start = 20 if frame[0] >> 4 == 4 else 42
        changed, free = [], []
        for at in range(start, len(headers)):
            moved = bytearray(headers)
            moved[at] ^= 0x10
            changed.append(rfc.join(moved, proto, rest) if start == 20 else bytes(moved) + rest)
            free.append({"record route": at == 21 or 23 <= at < 32, "loose route of three": at == 21 or 23 <= at < 36,
                         "mutable options": 44 <= at < 48}.get(name, False))
        result = captures.run(tmp_path, "decrypt", conf("ah"), captures.pcap(changed), "-l", "-j",
                              "--ignore-replay")
        assert [line["fate"] == "opened" for line in result.listed] == free, (name, result.stdout)


def about(hop, words, direction="out"):
    """A policy about what goes to the end of the routes, or to their first hops."""
    ends = (HOPS4[0], HOPS6[0]) if hop else (B4, B6)
    return "".join(f"spdadd {src} {ipaddress.ip_address(dst)} any -P {direction} {words};\n"
                   for src, dst in zip(("10.1.0.1", "2001:db8::1"), ends))


REQUIRE = "ipsec esp/transport//require"
SELECTED = [  # policies, what becomes of packets with routes
    (about(False, "discard"), {"policy-discard": 2}),
    (about(False, REQUIRE), {"no-sa-out": 2}),
    # the hop's own policy protects nothing that goes further, and is not to be gone around
    (about(True, "discard"), {"source-route": 2}),
    (about(True, REQUIRE), {"source-route": 2}),
    (about(True, "none"), {}),
    (about(True, "discard") + about(False, "none"), {"source-route": 2}),
    (about(True, "none") + about(False, "discard"), {"policy-discard": 2}),
    ("", {}),
]


@pytest.mark.parametrize("text, drops", SELECTED, ids=range(len(SELECTED)))
def test_selectors_see_the_end_of_the_route(text, drops, tmp_path):
    clear = [PACKETS["loose route of three"], PACKETS["routing of three"]]
    result = captures.run(tmp_path, "protect", text, captures.pcap(clear))
    assert result.summary["drops"] == drops and result.frames == ([] if drops else clear), result.stdout


def test_what_is_protected_to_the_end_passes_the_hop(tmp_path):
    clear = [PACKETS["loose route of three"], PACKETS["routing of three"]]
    result = captures.run(tmp_path, "protect", conf("esp") + "\n" + about(True, "discard"), captures.pcap(clear))
    assert result.summary["protected"] == 2, result.stdout


def test_signatures_count_the_end_of_the_route(tmp_path):
    """RFC 2385's pseudo-header is TCP's, which names it (RFC 1122 section 4.1.3.4, RFC 8200 section 8.1)."""
    clear = []
    for name in ("loose route of three", "routing of three"):
        headers, _, _ = rfc.split(PACKETS[name])
        source, end = (A4, B4) if headers[0] >> 4 == 4 else (A6, B6)
        _, _, segment = rfc.split(rfc.tcp(source, end, b"\0signed", (179, 20000)))
        clear.append(rfc.join(headers, rfc.PROTO_TCP, segment))
    text = "".join(f"add {src} {dst} tcp 0x1000 -A tcp-md5 0x{b'secret'.hex()};\n"
                   for src, dst in (("10.1.0.1", "10.1.0.2"), ("2001:db8::1", "2001:db8::2")))
    result = captures.run(tmp_path, "protect", text, captures.pcap(clear))
    assert result.summary["protected"] == 2, result.stdout
    for sent, frame in zip(clear, map(travel, result.frames), strict=True):
        assert rfc.TcpMd5(b"secret").open(frame) == travel(sent)


BAD_ROUTES = {
    "pointer below the addresses": with_options4(bytes([LSRR, 7, 3]) + B4, HOPS4[0]),
    "half an address": with_options4(bytes([LSRR, 9, 4]) + B4 + b"\1\1", HOPS4[0]),
    "no address": with_options4(bytes([LSRR, 3, 4]), HOPS4[0]),
    "more segments than addresses": chain6((ROUTING, bytes([0, 2]) + bytes(4) + B6), dst=HOPS6[0]),
    "half a segment": chain6((ROUTING, bytes([0, 1]) + bytes(4) + bytes(8)), dst=HOPS6[0]),
    "another type": chain6((ROUTING, bytes([4, 1]) + bytes(4) + B6), dst=HOPS6[0]),
}


@pytest.mark.parametrize("name", BAD_ROUTES)
def test_bad_routes(name, tmp_path):
    """They lead nowhere: the header's destination counts. AH cannot foretell IPv6's."""
    text = conf("ah")
    for end, hop in ((B4, HOPS4[0]), (B6, HOPS6[0])):
        text = text.replace(f" {ipaddress.ip_address(end)} ", f" {ipaddress.ip_address(hop)} ")
    result = captures.run(tmp_path, "protect", text, captures.pcap([BAD_ROUTES[name]]))
    if BAD_ROUTES[name][0] >> 4 == 4:
        assert result.summary["protected"] == 1, result.stdout
    else:
        assert result.summary["drops"] == {"extension": 1}, result.stdout


def test_routes_are_not_at_their_end(tmp_path):
    """What arrives with segments left is another's to forward."""
    pair = judges("ah")
    theirs = judge_of(pair, PACKETS["routing of three"]).protect(PACKETS["routing of three"])
    text = conf("ah").replace(" 2001:db8::2 ", f" {ipaddress.ip_address(HOPS6[0])} ")
    result = captures.run(tmp_path, "decrypt", text, captures.pcap([theirs]))
    assert result.summary["drops"] == {"extension": 1}, result.stdout

