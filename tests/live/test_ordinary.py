# SPDX-License-Identifier: BSD-2-Clause
"""What else is on a host: firewalls, reverse-path filters, neighbours, leases, bridges, restarts.

Each under a policy that covers the host's traffic, and with both ways of steering.
"""

import contextlib
import pathlib
import re
import socket
import struct
import subprocess
import time

import pytest
from scapy.layers.inet6 import ICMPv6MLQuery2, IPv6, IPv6ExtHdrHopByHop, RouterAlert
from scapy.layers.l2 import Ether

from lab import ADDRESS, PROTO_ESP, clear_between, inside, needs, read_pcap, wait_until
from test_tcpmd5 import MEGABYTE, SSH, check_bulk, netstat, session

PHOENIX, CARDINAL, ROUTER = ADDRESS["phoenix"], ADDRESS["cardinal"], ADDRESS["router"]
EVERYTHING = {4: "0.0.0.0/0 0.0.0.0/0", 6: "::/0 ::/0"}
REQUIRE = "ipsec esp/transport//require"
ICMP6, UDP, HOP_BY_HOP = 58, 17, 0


@pytest.fixture(params=["tc-ebpf", "tc-cbpf"])
def driver(request):
    """The option of sallyportd for it."""
    if request.param == "tc-ebpf" and "4294967295" not in pathlib.Path("/proc/self/uid_map").read_text():
        pytest.skip("eBPF takes CAP_BPF of the first user namespace")
    return "-d", request.param


def sas(version):
    """Between phoenix and cardinal, both ways."""
    ends = PHOENIX[version], CARDINAL[version]
    return "".join(f"add {src} {dst} esp {spi} -E aes-gcm-16 0x{str(spi) * 10};\n"
                   for src, dst, spi in ((*ends, 1001), (*ends[::-1], 1002)))


def policies(what, version):
    """One policy each way; `what` of phoenix and of cardinal are each other's reverse, or everything."""
    return sas(version) + "".join(f"spdadd {ends} any -P {way} {REQUIRE};\n" for ends, way in what)


def everything(version):
    return policies([(EVERYTHING[version], "out"), (EVERYTHING[version], "in")], version)


def between(host, version):
    mine, theirs = (PHOENIX, CARDINAL) if host == "phoenix" else (CARDINAL, PHOENIX)
    return policies([(f"{mine[version]} {theirs[version]}", "out"), (f"{theirs[version]} {mine[version]}", "in")],
                    version)


def start(lab, driver, text=between, versions=(4, 6), interface="eth0"):
    """Daemons on both hosts; what is tried is phoenix's."""
    daemons = {"phoenix": lab.daemon("phoenix", *driver, interface=interface), "cardinal": lab.daemon("cardinal")}
    for version in versions:
        lab.load("cardinal", between("cardinal", version))
        lab.load("phoenix", text(version) if text is everything else text("phoenix", version))
    return daemons


def set_sysctl(lab, host, name, value):
    lab.run(host, "sh", "-c", f"echo {value} >/proc/sys/net/{name}")


# Reverse-path filters ------------------------------------------------------------------

def test_strict_reverse_path(lab, driver):
    """rp_filter 1 everywhere, set before the daemon comes: ping and TCP, both ways."""
    for interface in ("all", "default", "eth0"):
        set_sysctl(lab, "phoenix", f"ipv4/conf/{interface}/rp_filter", 1)
    lab.run("phoenix", "sh", "-c", "ip link add dummy7 type veth peer name dummy8; ip link set dummy7 up; "
            "ip link set dummy8 up; ip route add 203.0.113.0/24 dev dummy7")
    daemons = start(lab, driver, versions=(4,))
    assert lab.pings("phoenix", CARDINAL[4]) and lab.pings("cardinal", PHOENIX[4])
    with session(lab, "phoenix", "cardinal", 4, port=SSH, size=MEGABYTE) as both:
        check_bulk(*both.ended())
    assert netstat(lab, "phoenix", "IPReversePathFilter") == 0
    lab.run("router", "ip", "address", "add", "203.0.113.1/32", "dev", "west")
    lab.ping("router", PHOENIX[4], "-I", "203.0.113.1", "-c", "2", "-i", "0.2", "-W", "1")
    assert netstat(lab, "phoenix", "IPReversePathFilter") == 2, "the filter works: this packet has the wrong interface"
    for daemon in daemons.values():
        daemon.stop()


def test_strict_reverse_path_set_later(lab, driver):
    """The same, set while the daemon runs."""
    daemons = start(lab, driver, versions=(4,))
    for interface in ("all", "eth0"):
        set_sysctl(lab, "phoenix", f"ipv4/conf/{interface}/rp_filter", 1)
    assert lab.pings("phoenix", CARDINAL[4]) and lab.pings("cardinal", PHOENIX[4])
    for daemon in daemons.values():
        daemon.stop()


# Firewalls -------------------------------------------------------------------------------

FIREWALL = """
table inet firewall {
    chain input {
        type filter hook input priority filter; policy drop;
        meta l4proto { ah, esp } counter name protected
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
        iifname "IIF" ct state invalid counter name invalid drop
        iifname "IIF" ct state established,related counter name established accept
        iifname "IIF" ct state new counter name new drop
    }
    chain output {
        type filter hook output priority filter;
        meta l4proto { ah, esp } counter name protected
        meta l4proto { icmp, icmpv6, tcp } ip6 saddr != fe80::/10 counter name out
        meta l4proto { icmp, icmpv6, tcp } ip saddr != 0.0.0.0 counter name out
    }
    counter protected { }
    counter invalid { }
    counter established { }
    counter new { }
    counter out { }
}
"""


def firewall_counters(lab, unit="packets"):
    text = lab.run("phoenix", "nft", "list", "counters").stdout
    return {name: int(n) for name, n in re.findall(rf"counter (\w+) \{{[^}}]*\b{unit} (\d+)", text)}


@pytest.mark.parametrize("version", [4, 6])
def test_stateful_firewall(lab, driver, version):
    """
    conntrack and nftables see the traffic itself and nothing of its protection, on the
    protected interface (or, by classic BPF, on spi): out works, in is refused.
    """
    needs("nft", "nftables")
    daemons = start(lab, driver, versions=(version,))
    interface = "eth0" if driver[1] == "tc-ebpf" else "spi*"
    lab.run("phoenix", "nft", "-f", "-", input=FIREWALL.replace("IIF", interface))
    assert lab.pings("phoenix", CARDINAL[version])
    assert lab.mute("cardinal", PHOENIX[version])
    counted = firewall_counters(lab)
    assert counted["established"] == 3 and counted["new"] == 2 and counted["out"] >= 3, counted
    with session(lab, "cardinal", "phoenix", version, port=SSH, size=MEGABYTE) as both:
        check_bulk(*both.ended())
    after = firewall_counters(lab)
    # what arrives may be joined: a packet counts for as many as it would be on the wire
    assert firewall_counters(lab, "bytes")["established"] / 1500 > 100 and after["new"] == 2, after
    assert after["invalid"] == after["protected"] == 0, after
    for daemon in daemons.values():
        daemon.stop()


# Neighbours ------------------------------------------------------------------------------

def address_state(lab, host, interface, address):
    return lab.run(host, "ip", "-6", "-o", "address", "show", "dev", interface, "to", address).stdout


def hop_by_hop(packet):
    return packet.proto == HOP_BY_HOP


def housekeeping(packet):
    """Neighbour discovery, or a listener's report behind hop-by-hop options."""
    kind = packet.payload[8] if hop_by_hop(packet) else packet.payload[0]
    return packet.proto in (ICMP6, HOP_BY_HOP) and kind in (130, 131, 132, 143, *range(133, 138))


def join(group):
    """A socket of phoenix's that is a member."""
    with inside("phoenix"):
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                        socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", socket.if_nametoindex("eth0")))
    return sock


def test_neighbour_and_listener_discovery(lab, driver):
    """All of IPv6 is to be protected, and the link goes on living in clear."""
    daemons = start(lab, driver, everything, versions=(6,))
    capture = lab.capture("router", "west", "ip6")
    for host, interface in (("phoenix", "eth0"), ("router", "west")):
        lab.run(host, "ip", "-6", "neighbour", "flush", "dev", interface)
    assert lab.pings("phoenix", CARDINAL[6]), "by way of a router that had to be resolved"
    assert lab.mute("phoenix", ROUTER[6])
    lab.run("router", "ip", "-6", "neighbour", "flush", "dev", "west")
    assert lab.mute("router", PHOENIX[6])
    assert "lladdr" in lab.run("router", "ip", "-6", "neighbour", "show", PHOENIX[6], "dev", "west").stdout

    for host, interface in (("phoenix", "eth0"), ("router", "west")):
        set_sysctl(lab, host, f"ipv6/conf/{interface}/accept_dad", 1)
    lab.run("phoenix", "ip", "address", "add", "2001:db8:1::77/64", "dev", "eth0")
    wait_until(lambda: "tentative" not in address_state(lab, "phoenix", "eth0", "2001:db8:1::77"), 5, "DAD")
    assert "dadfailed" not in address_state(lab, "phoenix", "eth0", "2001:db8:1::77")
    lab.run("phoenix", "ip", "address", "add", f"{ROUTER[6]}/64", "dev", "eth0")
    wait_until(lambda: "dadfailed" in address_state(lab, "phoenix", "eth0", ROUTER[6]), 5, "the router's address")
    lab.run("router", "ip", "address", "add", f"{PHOENIX[6]}/64", "dev", "west")
    wait_until(lambda: "dadfailed" in address_state(lab, "router", "west", PHOENIX[6]), 5, "phoenix defends its own")

    def reports(group):
        packed = socket.inet_pton(socket.AF_INET6, group)
        return [p for p in capture.packets() if hop_by_hop(p) and p.payload[8] == 143 and packed in p.payload]
    with join("ff15::1234"):
        wait_until(lambda: reports("ff15::1234"), 5, "a listener's report")
        seen = len(reports("ff15::1234"))
        # Whatever the kernel repeats of its own accord, it names no group that it is not asked for by then.
        time.sleep(1.2)
        seen = len(reports("ff15::1234"))
        query = (Ether(dst="33:33:00:00:00:01") / IPv6(src="fe80::9", dst="ff02::1", hlim=1)
                 / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / ICMPv6MLQuery2(mrd=100))
        with inside("router"), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("west", 0))
            raw.send(bytes(query))
        wait_until(lambda: len(reports("ff15::1234")) > seen, 5, "an answer to the query")

    theirs = [p for p in capture.packets() if p.frame[6:12] == mac(lab, "phoenix", "eth0")]
    assert sum(p.proto == PROTO_ESP for p in theirs) == 3
    assert [p for p in theirs if p.proto != PROTO_ESP and not housekeeping(p)] == []
    for daemon in daemons.values():
        daemon.stop()


def mac(lab, host, interface):
    text = lab.run(host, "ip", "-o", "link", "show", interface).stdout
    return bytes.fromhex(re.search(r"link/ether (\S+)", text)[1].replace(":", ""))


# Leases ----------------------------------------------------------------------------------

LEASE_SCRIPT = """#!/bin/sh
case $1 in
deconfig) ip address flush dev $interface scope global ;;
bound|renew) ip address add $ip/24 dev $interface; ip route replace default via $router ;;
esac
"""
LEASES = """
start {address}
end {address}
interface {interface}
max_leases 1
lease_file {directory}/leases
pidfile {directory}/udhcpd.pid
option subnet 255.255.255.0
option router {router}
option lease 3600
"""


@pytest.fixture
def busybox():
    return needs("busybox", "busybox-static", "kernel")


@contextlib.contextmanager
def lease_server(lab, busybox, host, interface, address, router):
    config = lab.dir / "udhcpd.conf"
    config.write_text(LEASES.format(address=address, interface=interface, directory=lab.dir, router=router))
    (lab.dir / "leases").touch()
    server = lab.spawn(host, busybox, "udhcpd", "-f", config)
    try:
        yield
    finally:
        server.kill()
        server.communicate()


def lease(lab, busybox, host, interface, *options):
    script = lab.dir / "lease"
    script.write_text(LEASE_SCRIPT)
    script.chmod(0o755)
    return lab.run(host, busybox, "udhcpc", "-i", interface, "-n", "-q", "-f", "-t", "4", "-T", "1", "-s", script,
                   *options, check=False)


@pytest.mark.parametrize("options", [(), ("-B",)], ids=["unicast", "broadcast"])
def test_lease(lab, driver, busybox, options):
    """All of IPv4 is to be protected: phoenix still gets its address, and then speaks to nobody else in clear."""
    lab.run("phoenix", "ip", "address", "flush", "dev", "eth0", "scope", "global")
    daemons = start(lab, driver, everything, versions=(4,))
    capture = lab.capture("router", "west", "")
    with lease_server(lab, busybox, "router", "west", PHOENIX[4], ROUTER[4]):
        said = lease(lab, busybox, "phoenix", "eth0", *options)
    assert said.returncode == 0, said.stdout + said.stderr
    assert PHOENIX[4] in lab.run("phoenix", "ip", "-4", "address", "show", "eth0").stdout
    for host, interface in (("phoenix", "eth0"), ("router", "west")):
        lab.run(host, "ip", "-4", "neighbour", "flush", "dev", interface)
    assert lab.pings("phoenix", CARDINAL[4]), "by way of a router that ARP had to find"
    assert lab.mute("phoenix", ROUTER[4])
    capture.packets()
    frames = [frame for frame in read_pcap(capture.path.read_bytes()) if frame[6:12] == mac(lab, "phoenix", "eth0")]
    assert any(frame[12:14] == b"\x08\x06" for frame in frames), "ARP"
    ours = [p for p in capture.packets() if p.version == 4 and p.frame[6:12] == mac(lab, "phoenix", "eth0")]
    assert sum(p.proto == PROTO_ESP for p in ours) == 3
    clear = [p for p in ours if p.proto != PROTO_ESP]
    assert len(clear) >= 2 and all(p.proto == UDP and p.payload[:4] == b"\0\x44\0\x43" for p in clear)
    for daemon in daemons.values():
        daemon.stop()


def test_lease_given(lab, driver, busybox):
    """phoenix is the server, of a client that asks for answers by broadcast."""
    lab.run("router", "ip", "-4", "address", "flush", "dev", "west")
    start(lab, driver, everything, versions=(4,))
    with lease_server(lab, busybox, "phoenix", "eth0", ROUTER[4], ROUTER[4]):
        said = lease(lab, busybox, "router", "west", "-B")
    assert said.returncode == 0, said.stdout + said.stderr
    assert ROUTER[4] in lab.run("router", "ip", "-4", "address", "show", "west").stdout


# Bridges -----------------------------------------------------------------------------------

@pytest.fixture
def guest(lab):
    """One more namespace, beside the lab's."""
    subprocess.run(["ip", "netns", "add", "guest"], check=True)
    yield {4: "192.0.2.50", 6: "2001:db8:1::50"}
    subprocess.run(["ip", "netns", "del", "guest"], check=True)


@pytest.mark.parametrize("version", [4, 6])
def test_bridge(lab, driver, guest, version):
    """phoenix's address is a bridge's; what the bridge only carries, for a guest, is nobody's business."""
    lab.run("phoenix", "sh", "-c", f"""
        set -e
        ip link add br0 type bridge
        ip address flush dev eth0 scope global
        ip link set eth0 master br0
        ip link add port type veth peer name eth0 netns guest
        ip link set port master br0 up
        ip link set br0 up
        ip address add {PHOENIX[4]}/24 dev br0
        ip address add {PHOENIX[6]}/64 dev br0 nodad
        ip route replace default via {ROUTER[4]}
        ip route replace default via {ROUTER[6]}""")
    lab.run("guest", "sh", "-c", f"ip link set lo up; ip address add {guest[4]}/24 dev eth0; "
            f"ip address add {guest[6]}/64 dev eth0 nodad; ip link set eth0 up")
    wait_until(lambda: "state UP" in lab.run("phoenix", "ip", "link", "show", "br0").stdout, 5, "br0")
    daemons = start(lab, driver, everything, versions=(version,), interface="br0")
    capture = lab.router_capture()
    wait_until(lambda: lab.pings("phoenix", CARDINAL[version], "-c", "1", "-W", "1"), 10, "the bridge forwards")
    assert lab.pings("phoenix", CARDINAL[version]) and lab.pings("cardinal", PHOENIX[version])
    assert lab.mute("phoenix", ROUTER[version])
    wait_until(lambda: lab.pings("guest", ROUTER[version], "-c", "1", "-W", "1"), 10, "the guest's link")
    assert lab.pings("guest", ROUTER[version]) and lab.pings("router", guest[version])
    assert lab.mute("guest", PHOENIX[version])
    with session(lab, "cardinal", "phoenix", version, port=SSH, size=MEGABYTE) as both:
        check_bulk(*both.ended())
    packets = capture.packets()
    assert sum(p.proto == PROTO_ESP for p in packets) > 100
    assert clear_between(packets, version) == []
    for daemon in daemons.values():
        daemon.stop()


@pytest.mark.steering
@pytest.mark.parametrize("version", (4, 6))
def test_fragments_that_look_like_errors(lab, version):
    """A policy makes ICMP errors of all routers ours to see; pieces of others' pings have their types anywhere."""
    lab.article("-require")
    for pattern in ("03", "0b", "aa"):
        assert lab.pings("phoenix", ADDRESS["router"][version], "-s", "3000", "-p", pattern, "-c", "3", "-i", "0.2", "-W", "1")
