# SPDX-License-Identifier: BSD-2-Clause
"""Fragments against Scapy, both ways: it joins what we cut, we join what it cuts, and both
cut alike. What Scapy does not do (options that are not copied) is counted here by hand."""

import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert, IPOption_RR, defragment, fragment
from scapy.layers.inet6 import (HBHOptUnknown, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                                IPv6ExtHdrRouting, defragment6, fragment6)

from fragments import run

ID = 0x87654321
MTUS = (100, 577, 1280, 1499, 9000)
SIZES = (1, 1232, 1480, 2961, 20000, 65000)


def cut(packet, mtu):
    return run("cut", mtu, ID, packets=[packet])


def filler(size):
    return random.Random(size).randbytes(size)


def upper(kind, size):
    return {"udp": UDP(sport=1000, dport=53), "tcp": TCP(sport=1000, dport=179, seq=7),
            "icmp": ICMP(id=9)}[kind] / filler(size)


def v4(kind, size, **words):
    return IP(bytes(IP(src="192.0.2.1", dst="198.51.100.1", id=4711, tos=0x2e, **words) / upper(kind, size)))


def v6(kind, size, *ext):
    packet = IPv6(src="2001:db8::1", dst="2001:db8::2", tc=0x2e, fl=0x12345)
    for header in ext:
        packet /= header
    return IPv6(bytes(packet / upper(kind, size)))


def per_fragment():
    return (IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=0x1e, optdata=b"1234")]),
            IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1e, optdata=b"12")]),
            IPv6ExtHdrRouting(type=0, segleft=0))


def cases():
    for size in SIZES:
        for mtu in MTUS:
            if size > 40 * mtu:
                continue  # Scapy takes long
            for kind in ("udp", "tcp", "icmp"):
                yield kind, size, mtu


@pytest.mark.parametrize("kind,size,mtu", cases())
def test_v4(kind, size, mtu):
    packet = v4(kind, size)
    ours, said = cut(packet, mtu)
    assert not said
    theirs = [bytes(p) for p in fragment(packet, mtu - 20)] if len(packet) > mtu else [bytes(packet)]
    assert ours == theirs
    if len(ours) == 1:
        return
    joined = defragment([IP(p) for p in ours])
    assert [bytes(p) for p in joined] == [bytes(packet)]
    mixed = theirs[:]
    random.Random(mtu).shuffle(mixed)
    assert run("join", packets=mixed)[0] == [bytes(packet)]
    assert run("pieces", packets=mixed)[0] == theirs


@pytest.mark.parametrize("kind,size,mtu", cases())
@pytest.mark.parametrize("shape", ("plain", "headers"))
def test_v6(kind, size, mtu, shape):
    ext = per_fragment() if shape == "headers" else ()
    packet = v6(kind, size, *ext)
    ours, said = cut(packet, mtu)
    assert not said
    if len(packet) <= mtu:
        assert ours == [bytes(packet)]
        return
    marked = v6(kind, size, *ext, IPv6ExtHdrFragment(id=ID))
    theirs = [bytes(p) for p in fragment6(marked, mtu)]
    assert ours == theirs
    assert bytes(defragment6([IPv6(p) for p in ours])) == bytes(packet)
    mixed = theirs[:]
    random.Random(mtu).shuffle(mixed)
    assert run("join", packets=mixed)[0] == [bytes(packet)]
    assert run("pieces", packets=mixed)[0] == theirs


def test_v6_destination_options_are_cut():
    """Behind the last per-fragment header they belong to what is cut."""
    packet = v6("udp", 3000, IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1e, optdata=b"12345678")]))
    ours, _ = cut(packet, 1280)
    assert all(IPv6(p).nh == 44 for p in ours)
    assert IPv6(ours[0])[IPv6ExtHdrFragment].nh == 60
    assert bytes(defragment6([IPv6(p) for p in ours])) == bytes(packet)
    assert run("join", packets=reversed(ours))[0] == [bytes(packet)]


def test_v4_options():
    packet = v4("udp", 3000, options=[IPOption_RR(length=7, routers=["0.0.0.0"]), IPOption_Router_Alert()])
    ours = [IP(p) for p in cut(packet, 1000)[0]]
    assert len(ours) == 4
    assert [[type(o) for o in p.options][:2] for p in ours] == [[IPOption_RR, IPOption_Router_Alert]] + 3 * [[IPOption_Router_Alert]]
    assert [p.ihl for p in ours] == [8, 6, 6, 6]
    assert [p.chksum for p in ours] == [rebuilt(p) for p in ours]
    assert [bytes(p) for p in defragment(ours)] == [bytes(packet)]
    assert run("join", packets=reversed(ours))[0] == [bytes(packet)]


def rebuilt(packet):
    """The header checksum that Scapy would give it."""
    copy = packet.copy()
    del copy.chksum
    return IP(bytes(copy)).chksum


def test_judge_finds_what_is_wrong():
    """A piece left out, moved or changed is not passed over by either side."""
    packet = v4("udp", 3000)
    ours, _ = cut(packet, 1280)
    assert [bytes(p) for p in defragment([IP(p) for p in ours[1:]])] != [bytes(packet)]
    assert run("join", packets=ours[1:])[0] == []
    damaged = ours[0][:-1] + bytes([ours[0][-1] ^ 1])
    assert run("join", packets=[damaged, *ours])[1] == ["overlap"] * 3
    assert run("join", packets=[damaged, *ours[1:]])[0] not in ([], [bytes(packet)])


@pytest.mark.parametrize("reason,packets", [
    ("overlap", fragment(v4("udp", 600), 400)[:1] + fragment(v4("udp", 600), 392)[1:]),
    ("tiny", fragment(v4("tcp", 100), 8)[:2]),
    ("tiny", fragment6(v6("tcp", 100, IPv6ExtHdrFragment(id=1)), 64)[:1]),
    ("no-fragment", [v4("udp", 100)]),
    ("no-fragment", [v6("udp", 100)]),
    ("too-long", [IP(id=1, frag=8191, proto=17) / filler(100)]),
    ("length", [IP(id=1, frag=1, flags="MF", proto=17) / filler(9)]),
    ("malformed", [IP(id=1, frag=1, chksum=1, proto=17) / filler(8)]),
])
def test_refused(reason, packets):
    out, said = run("join", packets=packets)
    assert out == []
    assert reason in said
