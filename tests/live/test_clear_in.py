# SPDX-License-Identifier: BSD-2-Clause
"""Clear packets in every disguise, into a host that accepts none in clear."""

import socket

import pytest
from scapy.layers.inet import ICMP, IP, UDP, IPOption_NOP, IPOption_Router_Alert, fragment
from scapy.layers.inet6 import (HBHOptUnknown, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                                IPv6ExtHdrHopByHop, IPv6ExtHdrRouting)
from scapy.packet import Raw

from lab import ADDRESS, ETHERTYPE, inside

pytestmark = pytest.mark.steering

ME, PHOENIX = ADDRESS["cardinal"], ADDRESS["phoenix"]
PORT = 5555

HBH, DST, ROUTING = IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting


def v4(**fields):
    return IP(src=ME[4], dst=PHOENIX[4], **fields)


def v6(**fields):
    return IPv6(src=ME[6], dst=PHOENIX[6], **fields)


UP = UDP(sport=PORT, dport=PORT) / Raw(b"clear")
FORMS = {
    "plain": v4() / UP,
    "options": v4(options=[IPOption_Router_Alert(), IPOption_NOP()]) / UP,
    "plain6": v6() / UP,
    "hop-by-hop": v6() / HBH() / UP,
    "destination": v6() / DST() / UP,
    "destination-twice": v6() / DST() / DST() / UP,
    "unknown-option": v6() / DST(options=[HBHOptUnknown(otype=0x1e, optdata=b"abcd")]) / UP,
    "routing-done": v6() / ROUTING(type=0, segleft=0, addresses=["2001:db8::1"]) / UP,
    "odd-order": v6() / DST() / ROUTING(type=0, segleft=0, addresses=[]) / DST() / UP,
    "hop-by-hop-late": v6() / DST() / HBH() / UP,
    "atomic-fragment": v6() / IPv6ExtHdrFragment(offset=0, m=0, id=7) / UP,
    "fragment-behind-options": v6() / HBH() / DST() / IPv6ExtHdrFragment(offset=0, m=0, id=8) / UP,
    "options-behind-fragment": v6() / IPv6ExtHdrFragment(offset=0, m=0, id=9) / DST() / UP,
    "long-chain": v6() / DST() / DST() / DST() / DST() / DST() / DST() / DST() / DST() / DST() / UP,
}


@pytest.fixture(scope="module")
def guarded(wire):
    """Everything from ME is to be protected, and a socket of phoenix's waits for what comes through."""
    with inside("phoenix"):
        listener = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        listener.bind(("::", PORT))
        listener.settimeout(0.3)
    yield wire, listener
    listener.close()
    wire.load("phoenix", "flush; spdflush;")


def heard(listener):
    try:
        return listener.recv(100)
    except TimeoutError:
        return None


def policies(level):
    return "flush; spdflush;" + "".join(
        f"spdadd {ME[version]} {PHOENIX[version]} udp -P in ipsec esp/transport//{level};" for version in (4, 6))


@pytest.mark.parametrize("form", FORMS)
def test_clear(guarded, form):
    """Without a policy the kernel may take it or not; under require it must not come to hear of it."""
    wire, listener = guarded
    wire.load("phoenix", policies("require"))
    before = wire.phoenix.counters()
    wire.send(FORMS[form])
    assert heard(listener) is None
    after = wire.phoenix.counters()
    assert after.since(before, "in.packets") + after.since(before, "drop.extension") == 1
    assert after.since(before, "in.passed") == 0
    wire.load("phoenix", policies("use"))
    wire.send(FORMS[form])
    if form in ("plain", "options", "plain6", "hop-by-hop", "destination", "destination-twice"):
        assert heard(listener) == b"clear", "the detector hears what is let in"
    else:
        heard(listener)


@pytest.mark.parametrize("version", [4, 6])
def test_clear_fragments(guarded, version):
    wire, listener = guarded
    wire.load("phoenix", policies("require"))
    big = Raw(bytes(3000))
    if version == 4:
        pieces = fragment(v4() / UDP(sport=PORT, dport=PORT) / big, 1000)
    else:
        whole = bytes((v6() / UDP(sport=PORT, dport=PORT) / big))[40:]
        pieces = [v6() / IPv6ExtHdrFragment(nh=17, offset=at // 8, m=at + 1000 < len(whole), id=77)
                  / Raw(whole[at:at + 1000]) for at in range(0, len(whole), 1000)]
    for piece in pieces:
        wire.send(piece)
    assert heard(listener) is None
    # Overlapping: the second claims that the first's ports are others.
    for piece in reversed(pieces):
        wire.send(piece)
    assert heard(listener) is None


@pytest.mark.parametrize("version", [4, 6])
def test_clear_behind_tags(guarded, version):
    """A tag does not hide what is behind it: the kernel takes off that of VLAN 0 and listens."""
    wire, listener = guarded
    datagram = bytes((v4() if version == 4 else v6()) / UP)
    kind = ETHERTYPE[version].to_bytes(2, "big")
    priority = b"\x81\x00\xe0\x00"
    wire.load("phoenix", policies("use"))
    wire.socket.send(wire.link + priority + kind + datagram)
    assert heard(listener) == b"clear", "the detector hears what is let in"
    wire.load("phoenix", policies("require"))
    before = wire.phoenix.counters()
    for tags in (priority, b"\x88\xa8\x00\x00", priority * 2, priority * 3, b"\x81\x00\x00\x07"):
        wire.socket.send(wire.link + tags + kind + datagram)
    assert heard(listener) is None
    assert wire.phoenix.counters().since(before, "in.passed") == 0


def test_truncated(guarded):
    """Frames cut at every length."""
    wire, listener = guarded
    wire.load("phoenix", policies("require"))
    for datagram in (bytes(FORMS["plain"]), bytes(FORMS["hop-by-hop"])):
        kind = ETHERTYPE[datagram[0] >> 4].to_bytes(2, "big")
        for length in range(len(datagram)):
            wire.socket.send(wire.link + kind + datagram[:length])
    assert heard(listener) is None


@pytest.mark.parametrize("kind", ["port", "too-big"])
def test_clear_icmp_errors(guarded, kind):
    """An ICMP error from the peer itself is the peer's traffic: a clear one is refused."""
    wire, _ = guarded
    wire.load("phoenix", f"flush; spdflush; spdadd {ME[4]} {PHOENIX[4]} any -P in ipsec esp/transport//require;")
    quoted = IP(src=PHOENIX[4], dst=ME[4]) / UDP(sport=PORT, dport=9)
    code = {"port": 3, "too-big": 4}[kind]
    before = wire.phoenix.counters()
    wire.send(v4() / ICMP(type=3, code=code, nexthopmtu=600) / quoted)
    wire.send(IP(src=ADDRESS["router"][4], dst=PHOENIX[4]) / ICMP(type=3, code=code, nexthopmtu=1400) / quoted)
    after = wire.phoenix.counters()
    assert after.since(before, "drop.policy-clear") == 1, "the router's is not the peer's"
