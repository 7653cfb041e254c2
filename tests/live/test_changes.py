# SPDX-License-Identifier: BSD-2-Clause
"""Interfaces that the host takes away, gives back or makes otherwise under the daemon."""

import os
import signal
import time

import pytest

from lab import wait_until
from test_closed import CARDINAL, PHOENIX, REQUIRE, ROUTER, clear, sas


@pytest.mark.steering
def test_after_a_kill_no_more_is_shut_than_before(lab):
    """The next daemon hears of its own devices and of others'; until policies come that changes nothing."""
    policy = f"spdadd {PHOENIX} {CARDINAL} any -P out {REQUIRE}"
    daemon = lab.daemon("phoenix")
    lab.load("phoenix", sas() + policy)
    daemon.kill()
    daemon = lab.daemon("phoenix")
    time.sleep(0.5)
    assert lab.pings("phoenix", ROUTER) and lab.mute("phoenix", CARDINAL)
    lab.run("phoenix", "ip", "link", "add", "v8", "type", "veth", "peer", "name", "v9")
    time.sleep(0.3)
    assert lab.pings("phoenix", ROUTER) and lab.mute("phoenix", CARDINAL)
    # what kept it shut is gone, and nobody knows what that was: everything is shut now
    lab.run("phoenix", "tc", "qdisc", "del", "dev", "eth0", "clsact")
    wait_until(lambda: lab.mute("phoenix", ROUTER), 5, "shut")
    assert lab.mute("phoenix", CARDINAL)
    lab.load("phoenix", sas() + policy)
    wait_until(lambda: lab.pings("phoenix", ROUTER), 5, "policies")
    assert lab.mute("phoenix", CARDINAL)
    daemon.stop()


@pytest.mark.steering
def test_an_interface_leaves_and_is_back_before_it_is_missed(lab):
    """In another namespace it lost its filters; its index is what it was."""
    daemon = lab.article("-require")["phoenix"]
    assert lab.pings("phoenix", CARDINAL)
    index = lab.run("phoenix", "cat", "/sys/class/net/eth0/ifindex").stdout
    capture = lab.capture("router", "west", "icmp")
    os.kill(daemon.process.pid, signal.SIGSTOP)
    lab.run("phoenix", "sh", "-c", f"""
        set -e
        ip netns add aside
        ip link set eth0 netns aside
        ip netns exec aside ip link set eth0 netns {daemon.process.pid}
        ip netns del aside
        ip address add {PHOENIX}/24 dev eth0; ip link set eth0 up; ip route add default via {ROUTER}""")
    os.kill(daemon.process.pid, signal.SIGCONT)
    assert lab.run("phoenix", "cat", "/sys/class/net/eth0/ifindex").stdout == index
    wait_until(lambda: "interface eth0 is back" in daemon.text(), 5, "seen")
    assert lab.pings("phoenix", CARDINAL)
    assert clear(capture) == []
    daemon.stop()


def test_an_interface_that_is_back_and_cannot_be_taken(lab):
    """Attempts make devices and undo them, which is no reason for the next attempt."""
    daemon = lab.article("-require")["phoenix"]
    refused = "has a qdisc of kind ingress"
    lab.run("phoenix", "sh", "-c", """
        set -e
        ip link del eth0
        ip link add v0 type veth peer name v1
        tc qdisc add dev v0 ingress
        ip link set v0 name eth0""")
    wait_until(lambda: refused in daemon.text(), 5, "refused")
    time.sleep(2)
    assert daemon.text().count(refused) == 1
    lab.run("phoenix", "tc", "qdisc", "del", "dev", "eth0", "ingress")
    wait_until(lambda: "interface eth0 is back" in daemon.text(), 15, "tried again")
    daemon.stop()
