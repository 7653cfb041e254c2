# SPDX-License-Identifier: BSD-2-Clause
"""The laboratory itself: what it says it sees, it sees."""

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6

from lab import ADDRESS, Wire, clear_between


@pytest.mark.parametrize("version", [4, 6])
def test_clear_pings_are_seen(bare, version):
    capture = bare.router_capture()
    assert bare.pings("phoenix", ADDRESS["cardinal"][version])
    seen = clear_between(capture.packets(), version)
    assert [p.src for p in seen] == [ADDRESS["phoenix"][version], ADDRESS["cardinal"][version]] * 3
    assert capture.text().count("echo request") == 3


def test_mute_and_pings_are_told_apart(bare):
    assert not bare.mute("phoenix", ADDRESS["cardinal"][4])
    bare.run("cardinal", "ip", "link", "set", "eth0", "down")
    assert bare.mute("phoenix", ADDRESS["cardinal"][4])
    assert not bare.pings("phoenix", ADDRESS["cardinal"][4])


def test_state_notices_changes(bare):
    before = bare.state("phoenix")
    assert bare.state("phoenix") == before
    for change in (("tc", "qdisc", "add", "dev", "eth0", "clsact"),
                   ("ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.1"),
                   ("ip", "rule", "add", "pref", "77", "table", "77"),
                   ("ip", "link", "add", "trial", "type", "veth", "peer", "name", "trial2")):
        bare.run("phoenix", *change)
        after = bare.state("phoenix")
        assert after != before, change
        before = after


@pytest.mark.parametrize("version", [4, 6])
def test_nobody_answers_for_the_test(version):
    """At the other end of the cable is the test alone, and it can speak and hear."""
    with Wire() as wire:
        assert wire.mute("phoenix", ADDRESS["cardinal"][version])
        asked = [wire.receive(), wire.receive()]
        assert all(p.src == ADDRESS["phoenix"][version] for p in asked)
        assert wire.receive(seconds=0.3) is None
        if version == 4:
            wire.send(IP(src=ADDRESS["cardinal"][4], dst=ADDRESS["phoenix"][4]) / ICMP(seq=9))
            assert IP(wire.receive().ip)[ICMP].type == 0
        else:
            wire.send(IPv6(src=ADDRESS["cardinal"][6], dst=ADDRESS["phoenix"][6]) / ICMPv6EchoRequest(seq=9))
            assert IPv6(wire.receive().ip)[ICMPv6EchoReply].seq == 9
