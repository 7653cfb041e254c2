# SPDX-License-Identifier: BSD-2-Clause
"""Two gateways with a network behind each, and a router between: RFC 4301's picture.

    a 10.1.0.10 --- ga 10.1.0.1 | 192.0.2.10 --- r --- 198.51.100.10 | 10.2.0.1 gb --- 10.2.0.10 b
      fd01::10        fd01::1   | 2001:db8:1::10      2001:db8:2::10 | fd02::1          fd02::10

The hosts know nothing of IPsec; the router knows nothing of the networks, so what would
get through in clear does not, and what does get through was tunnelled.
"""

import re
import subprocess
import time

import pytest

from lab import ROOT, Hosts, wait_until

A, B = {4: "10.1.0.10", 6: "fd01::10"}, {4: "10.2.0.10", 6: "fd02::10"}
NET_A, NET_B = {4: "10.1.0.0/24", 6: "fd01::/64"}, {4: "10.2.0.0/24", 6: "fd02::/64"}
GA, GB = {4: "192.0.2.10", 6: "2001:db8:1::10"}, {4: "198.51.100.10", 6: "2001:db8:2::10"}
# What routers say by themselves is not of interest.
QUIET = "not arp and not icmp6 and not icmp and not ip6 multicast"
FAMILIES = [(4, 4), (6, 6), (4, 6), (6, 4)]  # inner, outer


class Gateways(Hosts):
    names = ("a", "ga", "r", "gb", "b")
    default_routes = True

    def up(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)
            subprocess.run(["ip", "netns", "add", name], check=True)
            self.run(name, "sh", "-c", "ip link set lo up; echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad;"
                     "echo 0 >/proc/sys/net/ipv6/conf/default/router_solicitations")
        for router in ("ga", "r", "gb"):
            self.run(router, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward;"
                     "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
        self.cable("a", "eth0", "10.1.0.10/24 fd01::10/64", "ga", "lan", "10.1.0.1/24 fd01::1/64")
        self.cable("b", "eth0", "10.2.0.10/24 fd02::10/64", "gb", "lan", "10.2.0.1/24 fd02::1/64")
        self.cable("ga", "wan", "192.0.2.10/24 2001:db8:1::10/64", "r", "west", "192.0.2.1/24 2001:db8:1::1/64")
        self.cable("gb", "wan", "198.51.100.10/24 2001:db8:2::10/64", "r", "east", "198.51.100.1/24 2001:db8:2::1/64")
        for host, v4, v6 in (("a", "10.1.0.1", "fd01::1"), ("b", "10.2.0.1", "fd02::1")):
            self.run(host, "sh", "-c", f"ip route add default via {v4}; ip -6 route add default via {v6}")
        far = [("ga", "192.0.2.1", "2001:db8:1::1", GB), ("gb", "198.51.100.1", "2001:db8:2::1", GA)]
        for host, v4, v6, end in far:
            to4, to6 = ("default", "default") if self.default_routes else (end[4], end[6])
            self.run(host, "sh", "-c", f"ip route add {to4} via {v4}; ip -6 route add {to6} via {v6}")

    def cable(self, one, one_if, one_addr, two, two_if, two_addr):
        self.run(one, "ip", "link", "add", one_if, "type", "veth", "peer", "name", two_if, "netns", two)
        for host, name, addresses in ((one, one_if, one_addr), (two, two_if, two_addr)):
            for address in addresses.split():
                self.run(host, "ip", "address", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
            self.run(host, "ip", "link", "set", name, "up")

    def tunnels(self, inner, outer, upper="any", ports=("", ""), extra=""):
        """Daemons on both gateways with an ESP tunnel for everything between the networks, or a part of it."""
        daemons = [self.daemon(gateway, interface="wan") for gateway in ("ga", "gb")]
        for gateway, there, back in (("ga", "out", "in"), ("gb", "in", "out")):
            self.load(gateway, configuration(inner, outer, there, back, upper, ports, extra))
        return daemons


def configuration(inner, outer, there, back, upper="any", ports=("", ""), extra=""):
    ends, ends_back = f"{GA[outer]}-{GB[outer]}", f"{GB[outer]}-{GA[outer]}"
    return f"""
        flush; spdflush;
        add {GA[outer]} {GB[outer]} esp 0x1001 -m tunnel -r 32 -E aes-gcm-16 "01234567890123456789";
        add {GB[outer]} {GA[outer]} esp 0x1002 -m tunnel -r 32 -E aes-gcm-16 "98765432109876543210";
        {extra}
        spdadd {NET_A[inner]}{ports[0]} {NET_B[inner]}{ports[1]} {upper} -P {there} ipsec esp/tunnel/{ends}/require;
        spdadd {NET_B[inner]}{ports[1]} {NET_A[inner]}{ports[0]} {upper} -P {back} ipsec esp/tunnel/{ends_back}/require;
    """


@pytest.fixture
def gateways(tun):
    with Gateways() as network:
        yield network


@pytest.fixture
def unrouted(tun):
    """The gateways know the way to each other and to nothing else."""
    class Unrouted(Gateways):
        default_routes = False
    with Unrouted() as network:
        yield network


def echo_server(network, host, kind, port, version):
    """A server that sends back what it gets; kind is udp or tcp."""
    program = f"""
import socket, sys
s = socket.socket(socket.AF_INET6 if {version} == 6 else socket.AF_INET, socket.SOCK_{'DGRAM' if kind == 'udp' else 'STREAM'})
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", {port}))
print("ready", flush=True)
if {kind == 'udp'}:
    while True:
        data, peer = s.recvfrom(65536)
        s.sendto(data, peer)
s.listen()
while True:
    c, _ = s.accept()
    data = b""
    while part := c.recv(65536):
        data += part
    c.sendall(data)
    c.close()
"""
    process = network.spawn(host, "/usr/bin/python3", "-c", program)
    assert process.stdout.readline() == "ready\n"
    network.captures.append(type("Server", (), {"process": process, "kill": process.kill})())
    return process


def udp_echo(network, host, address, port, size, count=3):
    """How many of the datagrams came back whole."""
    program = f"""
import os, socket
s = socket.socket(socket.AF_INET6 if ":" in "{address}" else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
good = 0
for i in range({count}):
    data = os.urandom({size})
    s.sendto(data, ("{address}", {port}))
    try:
        good += s.recvfrom(65536)[0] == data
    except OSError:
        pass
print(good)
"""
    return int(network.run(host, "/usr/bin/python3", "-c", program).stdout)


def tcp_echo(network, host, address, port, size):
    """Whether so many bytes come back as they went, by SHA-256."""
    program = f"""
import hashlib, os, socket, threading
data = os.urandom({size})
s = socket.create_connection(("{address}", {port}), 10)
s.settimeout(20)
def send():
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
back = b""
while part := s.recv(65536):
    back += part
print(hashlib.sha256(back).digest() == hashlib.sha256(data).digest())
"""
    return network.run(host, "/usr/bin/python3", "-c", program).stdout.strip() == "True"


@pytest.mark.parametrize("inner,outer", FAMILIES)
def test_networks_reach_each_other(gateways, inner, outer):
    """Ping, large ping, UDP of 8000 bytes and TCP; on the wire between is nothing but ESP."""
    daemons = gateways.tunnels(inner, outer)
    capture = gateways.capture("r", "west", QUIET)
    for far, near in ((B, "a"), (A, "b")):
        assert gateways.pings(near, far[inner])
        # IPv6 learns by a lost packet what the tunnel carries, IPv4's fragments are cut once more
        wait_until(lambda near=near, far=far: gateways.pings(near, far[inner], "-s", "3000", "-c", "3", "-i", "0.2", "-W", "1"), 10)
    echo_server(gateways, "b", "udp", 7007, inner)
    wait_until(lambda: udp_echo(gateways, "a", B[inner], 7007, 8000) == 3, 10)
    echo_server(gateways, "b", "tcp", 7007, inner)
    before = capture.packets()
    assert tcp_echo(gateways, "a", B[inner], 7007, 1_000_000)
    packets = capture.packets()
    assert {(p.proto, p.src, p.dst) for p in packets} == {(50, GA[outer], GB[outer]), (50, GB[outer], GA[outer])}
    assert max(len(p.ip) for p in packets) <= 1500
    # TCP knows what fits: of its packets none is a fragment, and the largest nearly fill the link
    tcp = packets[len(before):]
    assert not [p for p in tcp if is_fragment(p)]
    assert 1500 - 16 < max(len(p.ip) for p in tcp) <= 1500
    for daemon in daemons:
        daemon.stop()


def is_fragment(packet):
    if packet.version == 4:
        return int.from_bytes(packet.ip[6:8], "big") & 0x3fff != 0
    return packet.ip[6] == 44


@pytest.mark.parametrize("inner,outer", FAMILIES)
def test_ports(gateways, inner, outer):
    """One port of UDP goes into the tunnel, its fragments with it; another port has no way at all."""
    gateways.tunnels(inner, outer, "udp", ("", "[7007]"))
    capture = gateways.capture("r", "west", QUIET)
    echo_server(gateways, "b", "udp", 7007, inner)
    echo_server(gateways, "b", "udp", 7008, inner)
    assert udp_echo(gateways, "a", B[inner], 7007, 100) == 3
    wait_until(lambda: udp_echo(gateways, "a", B[inner], 7007, 8000) == 3, 10)
    assert {p.proto for p in capture.packets()} == {50}
    assert udp_echo(gateways, "a", B[inner], 7008, 100, 1) == 0
    assert udp_echo(gateways, "a", B[inner], 7008, 4000, 1) == 0


@pytest.mark.parametrize("inner,outer", FAMILIES)
def test_small_path(gateways, inner, outer):
    """A router whose next link carries 1300 bytes: both ends learn it, and everything still arrives."""
    gateways.run("r", "ip", "link", "set", "east", "mtu", "1300")
    gateways.run("gb", "ip", "link", "set", "wan", "mtu", "1300")
    daemons = gateways.tunnels(inner, outer)
    capture = gateways.capture("r", "east", QUIET)
    echo_server(gateways, "b", "tcp", 7007, inner)
    echo_server(gateways, "b", "udp", 7007, inner)
    assert tcp_echo(gateways, "a", B[inner], 7007, 500_000)
    assert gateways.pings("a", B[inner], "-s", "56", "-c", "3", "-i", "0.2")
    # hosts learn what a path carries by losing packets: each end, each direction, IPv6 twice
    wait_until(lambda: gateways.pings("a", B[inner], "-s", "1400", "-c", "3", "-i", "0.2", "-W", "1"), 20)
    wait_until(lambda: udp_echo(gateways, "a", B[inner], 7007, 8000) == 3, 20)
    packets = capture.packets()
    assert max(len(p.ip) for p in packets) <= 1300 and {p.proto for p in packets} == {50}
    for daemon in daemons:
        daemon.stop()


@pytest.mark.parametrize("inner,outer", FAMILIES)
def test_traceroute_shows_the_gateways(gateways, inner, outer):
    """The far gateway answers too, by the tunnel, though its address is in no selector."""
    gateways.tunnels(inner, outer)
    said = gateways.run("a", "traceroute", f"-{inner}", "-n", "-q", "2", "-w", "2", B[inner]).stdout
    hops = [re.findall(r"^ *\d+  (\S+)", line)[0] for line in said.splitlines()[1:]]
    assert hops[0] == {4: "10.1.0.1", 6: "fd01::1"}[inner], said
    assert hops[-1] == B[inner] and len(hops) == 3, said
    assert hops[1] in (GB[inner], {4: "10.2.0.1", 6: "fd02::1"}[inner]), said


@pytest.mark.parametrize("inner,outer", FAMILIES)
def test_without_a_route(unrouted, inner, outer):
    """A tunnel is the way to its networks where the kernel has no other; gateways' own traffic takes it too."""
    before = unrouted.settled_state("ga")
    daemons = unrouted.tunnels(inner, outer)
    wait_until(lambda: unrouted.pings("a", B[inner]), 5)
    wait_until(lambda: unrouted.pings("a", B[inner], "-s", "3000", "-c", "3", "-i", "0.2", "-W", "1"), 10)
    assert unrouted.pings("ga", {4: "10.2.0.10", 6: "fd02::10"}[inner])
    unrouted.load("ga", "spdflush;")
    assert "100% packet loss" in unrouted.ping("a", B[inner], "-c", "1", "-W", "1").stdout
    for daemon in daemons:
        daemon.stop()
    assert unrouted.state("ga") == before


def test_holes_and_walls(gateways):
    """`none` before the tunnel lets one host by in clear; `discard` lets nothing by."""
    gateways.tunnels(4, 4, extra=f"""
        spdadd 10.1.0.0/24 10.2.0.20 any -P out none; spdadd 10.2.0.20 10.1.0.0/24 any -P in none;
        spdadd 10.1.0.0/24 10.2.0.20 any -P in none; spdadd 10.2.0.20 10.1.0.0/24 any -P out none;
        spdadd 10.1.0.0/24 10.2.0.30 any -P out discard; spdadd 10.1.0.0/24 10.2.0.30 any -P in discard;
    """)
    gateways.run("b", "sh", "-c", "ip addr add 10.2.0.20/24 dev eth0; ip addr add 10.2.0.30/24 dev eth0")
    gateways.run("r", "sh", "-c", "ip route add 10.1.0.0/24 via 192.0.2.10; ip route add 10.2.0.0/24 via 198.51.100.10")
    capture = gateways.capture("r", "west", "not arp and not ip6")
    assert gateways.pings("a", "10.2.0.20") and gateways.pings("a", "10.2.0.10")
    packets = capture.packets()
    assert [p.proto for p in packets] == [1] * 6 + [50] * 6
    assert "100% packet loss" in gateways.ping("a", "10.2.0.30", "-c", "1", "-W", "1").stdout
    assert len(capture.packets()) == 12


def test_the_example(gateways):
    """examples/gateway as it stands; its gateways have the addresses of ours."""
    for gateway, side in (("ga", "west"), ("gb", "east")):
        gateways.daemon(gateway, interface="wan")
        gateways.setkey(gateway, "-f", ROOT / f"examples/gateway/{side}.conf")
    capture = gateways.capture("r", "west", QUIET)
    assert gateways.pings("a", B[4]) and gateways.pings("a", B[6])
    assert [p.proto for p in capture.packets()] == [50] * 12


def test_protected_packets_of_others_pass(gateways):
    """A gateway between two hosts that have IPsec of their own leaves it alone."""
    gateways.run("r", "sh", "-c", "ip route add 10.1.0.0/24 via 192.0.2.10; ip route add 10.2.0.0/24 via 198.51.100.10")
    gateways.daemon("ga", interface="wan")
    text = """
        add 10.1.0.10 10.2.0.10 esp 0x2001 -r 32 -E aes-gcm-16 "01234567890123456789";
        add 10.2.0.10 10.1.0.10 esp 0x2002 -r 32 -E aes-gcm-16 "98765432109876543210";
        spdadd 10.1.0.10 10.2.0.10 any -P {} ipsec esp/transport//require;
        spdadd 10.2.0.10 10.1.0.10 any -P {} ipsec esp/transport//require;
    """
    for host, there, back in (("a", "out", "in"), ("b", "in", "out")):
        gateways.daemon(host)
        gateways.load(host, text.format(there, back))
    assert gateways.pings("a", "10.2.0.10")
    assert gateways.pings("a", "10.2.0.10", "-s", "4000", "-c", "3", "-i", "0.2", "-W", "2")


def test_misrouted_tunnels_are_named(gateways):
    """No way to the far end, and a way by an interface that is not ours."""
    ga = gateways.daemon("ga", interface="wan")
    gateways.run("ga", "sh", "-c", "ip route del default; ip route add 10.2.0.0/24 dev wan via 192.0.2.1")
    gateways.load("ga", configuration(4, 4, "out", "in"))
    wait_until(lambda: "no route to the tunnel's end 198.51.100.10" in ga.text(), 5, "the log line")
    gateways.ping("a", B[4], "-c", "1", "-W", "1")
    assert ga.counters()["drop.no-route"] == 1, ga.text()
    gateways.run("ga", "sh", "-c", "ip route add 198.51.100.0/24 via 10.1.0.10")
    wait_until(lambda: "198.51.100.10 is by lan, which is not one of our interfaces" in ga.text(), 5, "the log line")
    gateways.run("ga", "sh", "-c", "ip route del 198.51.100.0/24; ip route add default via 192.0.2.1")


def test_interfaces_and_addresses_come_and_go(gateways):
    """An address that is there later, a link that goes down and up, an interface made anew."""
    ga, _ = gateways.tunnels(4, 4)
    assert gateways.pings("a", B[4])
    gateways.run("ga", "ip", "link", "set", "wan", "down")
    assert "100% packet loss" in gateways.ping("a", B[4], "-c", "1", "-W", "1").stdout
    gateways.run("ga", "sh", "-c", "ip link set wan up; ip route add default via 192.0.2.1")
    wait_until(lambda: gateways.pings("a", B[4], "-c", "1", "-W", "1"), 10)
    gateways.run("ga", "ip", "address", "del", "192.0.2.10/24", "dev", "wan")
    assert "100% packet loss" in gateways.ping("a", B[4], "-c", "1", "-W", "1").stdout
    gateways.run("ga", "sh", "-c", "ip address add 192.0.2.10/24 dev wan; ip route add default via 192.0.2.1")
    wait_until(lambda: gateways.pings("a", B[4], "-c", "1", "-W", "1"), 10)
    gateways.run("ga", "ip", "link", "del", "wan")
    gateways.cable("ga", "wan", "192.0.2.10/24", "r", "west", "192.0.2.1/24")
    gateways.run("ga", "ip", "route", "add", "default", "via", "192.0.2.1")
    wait_until(lambda: gateways.pings("a", B[4], "-c", "1", "-W", "1"), 10)
    assert "interface wan is back" in ga.text()
    capture = gateways.capture("r", "west", "icmp")
    assert gateways.pings("a", B[4])
    assert capture.packets() == []
    ga.stop()


def private_routes(network, table):
    return re.findall(r"^(\S+) via 192\.0\.0\.9", network.run("ga", "ip", "route", "show", "table", table, check=False).stdout, re.M)


def test_networks_of_our_own_inside_the_far_one(gateways):
    """The far network is 10.0.0.0/8, and so is a link's beginning: what else the host knows of it stays as it was."""
    policy = "spdadd 10.1.0.0/24 {} any -P out ipsec esp/tunnel/192.0.2.10-198.51.100.10/require;"
    gateways.run("ga", "sh", "-c", "ip route del default; ip route add 198.51.100.0/24 via 192.0.2.1;"
                 "ip address add 10.0.0.5/24 dev wan; ip address add 10.9.0.1/24 dev lan")
    gateways.run("a", "ip", "address", "add", "10.9.0.10/24", "dev", "eth0")
    gateways.daemon("ga", interface="wan")
    gateways.load("ga", policy.format("10.0.0.0/8"))
    wait_until(lambda: private_routes(gateways, 0x5350), 5, "a route")
    assert private_routes(gateways, 0x5350) == ["10.0.0.0/24"]
    assert private_routes(gateways, 0x5351) == ["10.0.0.0/8"]
    assert gateways.pings("ga", "10.9.0.10")
    # a link that has all the world for neighbours
    gateways.run("ga", "ip", "route", "add", "default", "dev", "wan")
    gateways.load("ga", "spdflush; " + policy.format("0.0.0.0/0"))
    wait_until(lambda: not private_routes(gateways, 0x5351), 5, "no route")
    assert private_routes(gateways, 0x5350) == []
    assert gateways.pings("ga", "10.1.0.10") and gateways.pings("ga", "10.9.0.10")


def test_each_misrouted_tunnel_is_named_once(gateways):
    """However many they are, and however often other routes change."""
    policy = "spdadd 10.1.0.0/24 10.100.{0}.0/24 any -P out ipsec esp/tunnel/192.0.2.10-203.0.113.{0}/require;"
    gateways.run("ga", "ip", "route", "del", "default")
    daemon = gateways.daemon("ga", interface="wan")
    gateways.load("ga", "".join(policy.format(i) for i in range(1, 101)))
    said = "no route to the tunnel's end"
    wait_until(lambda: daemon.text().count(said) == 100, 5, "the log")
    for _ in range(3):
        gateways.run("ga", "sh", "-c", "ip route add 172.16.0.0/24 via 10.1.0.10; ip route del 172.16.0.0/24")
        time.sleep(0.1)
    assert daemon.text().count(said) == 100
    # others in their place
    gateways.load("ga", "spdflush;" + "".join(policy.format(i) for i in range(101, 251)))
    wait_until(lambda: daemon.text().count(said) == 250, 5, "the log")
