# SPDX-License-Identifier: BSD-2-Clause
"""ESP in UDP through a NAT that forgets.

    a 10.1.0.10 --- 10.1.0.1 n 203.0.113.1 --- 203.0.113.2 r 198.51.100.1 --- 198.51.100.10 b
      fd01::10      fd01::1    2001:db8:3::1   2001:db8:3::2  2001:db8:2::1   2001:db8:2::10

n masquerades what comes from a; from outside nothing gets to a but answers. Its mappings
of UDP last two seconds. r knows nothing of a's network.
"""

import re
import subprocess
import time

import pytest

from lab import ROOT, wait_until
from test_gateway import Gateways, echo_server, tcp_echo, udp_echo

A, N, B = {4: "10.1.0.10", 6: "fd01::10"}, {4: "203.0.113.1", 6: "2001:db8:3::1"}, {4: "198.51.100.10", 6: "2001:db8:2::10"}
INNER_A, INNER_B = {4: "172.16.1.1", 6: "fd0a::1"}, {4: "172.16.2.1", 6: "fd0b::1"}
QUIET = "not arp and not icmp6 and not icmp and not ip6 multicast"
FORGETS = 2  # seconds


class Nat(Gateways):
    names = ("a", "n", "r", "b")

    def up(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)
            subprocess.run(["ip", "netns", "add", name], check=True)
            self.run(name, "sh", "-c", "ip link set lo up; echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad;"
                     "echo 0 >/proc/sys/net/ipv6/conf/default/router_solicitations")
        for router in ("n", "r"):
            self.run(router, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward;"
                     "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
        self.cable("a", "eth0", "10.1.0.10/24 fd01::10/64", "n", "lan", "10.1.0.1/24 fd01::1/64")
        self.cable("n", "wan", "203.0.113.1/24 2001:db8:3::1/64", "r", "west", "203.0.113.2/24 2001:db8:3::2/64")
        self.cable("b", "eth0", "198.51.100.10/24 2001:db8:2::10/64", "r", "east", "198.51.100.1/24 2001:db8:2::1/64")
        for host, v4, v6 in (("a", "10.1.0.1", "fd01::1"), ("n", "203.0.113.2", "2001:db8:3::2"),
                             ("b", "198.51.100.1", "2001:db8:2::1")):
            self.run(host, "sh", "-c", f"ip route add default via {v4}; ip -6 route add default via {v6}")
        self.run("n", "nft", "-f", "-", input="""
            table inet nat {
                chain out { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }
                chain through {
                    type filter hook forward priority filter; policy drop;
                    ct state established,related accept
                    iifname "lan" accept
                }
            }""")
        self.run("n", "sh", "-c", f"cd /proc/sys/net/netfilter; echo {FORGETS} >nf_conntrack_udp_timeout;"
                 f"echo {FORGETS} >nf_conntrack_udp_timeout_stream")
        for host, near, far, v4, v6 in (("a", INNER_A, INNER_B, "10.1.0.1", "fd01::1"),
                                        ("b", INNER_B, INNER_A, "198.51.100.1", "2001:db8:2::1")):
            self.run(host, "sh", "-ec", f"""
                ip address add {near[4]}/32 dev lo; ip address add {near[6]}/128 dev lo nodad
                ip route add {far[4]} via {v4} src {near[4]}; ip -6 route add {far[6]} via {v6} src {near[6]}""")

    def peers(self, text, keepalive=1):
        """Daemons on both sides, and text(host) in their databases."""
        daemons = [self.daemon(host) for host in ("a", "b")]
        for host in ("a", "b"):
            self.sysctl(host, f"net.key.natt_keepalive={keepalive}")
            self.load(host, text(host))
        return daemons


KEYS = '-E aes-gcm-16 "01234567890123456789"', '-E aes-gcm-16 "98765432109876543210"'


def tunnel(version, inner=4, level="require", a_to_b="esp-udp", source=None, sport=4500):
    """Each side names the ends as it sees them: b knows a by its NAT's address."""
    def text(host):
        near = A[version] if host == "a" else source or N[version]
        ends = near, B[version]
        policy = [f"esp/tunnel/{'-'.join(e)}/{level}" for e in (ends, ends[::-1])]
        there, back = ("out", "in") if host == "a" else ("in", "out")
        return f"""
            flush; spdflush;
            add {ends[0]}[{sport}] {ends[1]}[4500] {a_to_b} 0x1001 -m tunnel -r 32 {KEYS[0]};
            add {ends[1]}[4500] {ends[0]}[4500] esp-udp 0x1002 -m tunnel -r 32 {KEYS[1]};
            spdadd {INNER_A[inner]} {INNER_B[inner]} any -P {there} ipsec {policy[0]};
            spdadd {INNER_B[inner]} {INNER_A[inner]} any -P {back} ipsec {policy[1]};
        """
    return text


def transport(version, natt=True):
    """FreeBSD's -natt with both original addresses, or ESP in UDP that does not know them."""
    def add(src, dst, spi, key, original):
        if original:
            return f"add {src} {dst} esp {spi} -r 32 -natt {original[0]}[4500] {original[1]}[4500] {key};"
        return f"add {src}[4500] {dst}[4500] esp-udp {spi} -r 32 {key};"

    def text(host):
        near = A[version] if host == "a" else N[version]
        far = B[version]
        there, back = ("out", "in") if host == "a" else ("in", "out")
        out, into = ((A[version], far), (far, N[version])) if natt else (None, None)
        return f"""
            flush; spdflush;
            {add(near, far, '0x2001', KEYS[0], out)}
            {add(far, near, '0x2002', KEYS[1], into)}
            spdadd {near} {far} any -P {there} ipsec esp/transport//require;
            spdadd {far} {near} any -P {back} ipsec esp/transport//require;
        """
    return text


@pytest.fixture
def nat(tun):
    with Nat() as network:
        yield network


def seen_by_tcpdump(capture):
    """What tcpdump says of each datagram, without its addresses."""
    said = capture.text("-t")
    assert said
    return {"ESP" if "UDP-encap: ESP(spi=0x0000" in line else "keepalive" if "isakmp-nat-keep-alive" in line else
            "fragment" if re.search(r"ip-proto-17$|frag", line) else line
            for line in said.splitlines()}


@pytest.mark.parametrize("version,inner", [(4, 4), (6, 6), (4, 6), (6, 4)])
def test_tunnel(nat, version, inner):
    """Ping, fragments, UDP and TCP both ways, and between them silences longer than the NAT remembers."""
    daemons = nat.peers(tunnel(version, inner))
    capture = nat.capture("r", "west", QUIET)
    a_to_b = "a", INNER_B[inner], ("-I", INNER_A[inner])
    b_to_a = "b", INNER_A[inner], ("-I", INNER_B[inner])
    for host, address, source in (a_to_b, b_to_a):
        assert nat.pings(host, address, *source, "-c", "3", "-i", "0.2", "-W", "1")
        wait_until(lambda host=host, address=address, source=source: nat.pings(
            host, address, *source, "-s", "3000", "-c", "3", "-i", "0.2", "-W", "1"), 15)
        time.sleep(2 * FORGETS + 1)
    assert nat.pings("b", INNER_A[inner], "-I", INNER_B[inner], "-c", "3", "-i", "0.2", "-W", "1")
    for server, client, address in (("b", "a", INNER_B[inner]), ("a", "b", INNER_A[inner])):
        echo_server(nat, server, "udp", 7007, inner)
        echo_server(nat, server, "tcp", 7008, inner)
        assert udp_echo(nat, client, address, 7007, 100) == 3
        wait_until(lambda client=client, address=address: udp_echo(nat, client, address, 7007, 8000) == 3, 15)
        assert tcp_echo(nat, client, address, 7008, 300_000)
        time.sleep(2 * FORGETS + 1)
        assert udp_echo(nat, client, address, 7007, 100) == 3
    packets = capture.packets()
    assert {p.proto for p in packets} == {17}
    assert {frozenset((p.src, p.dst)) for p in packets} == {frozenset((N[version], B[version]))}
    assert seen_by_tcpdump(capture) - {"fragment"} == {"ESP", "keepalive"}
    a, b = (daemon.counters() for daemon in daemons)
    assert b["drop.keepalive"] >= 6 and b["out.keepalives"] == 0
    assert 0 <= a["out.keepalives"] - b["drop.keepalive"] <= 2  # those under way when they were counted
    assert not [name for name in b if name.startswith("drop.") and name != "drop.keepalive"], b
    for daemon in daemons:
        assert "keeps a NAT" not in daemon.text()
        daemon.stop()


def test_without_keepalives_the_nat_forgets(nat):
    """What the test above shows is the keepalives' doing."""
    daemons = nat.peers(tunnel(4), keepalive=0)
    far = INNER_A[4], "-I", INNER_B[4]
    assert nat.pings("a", INNER_B[4], "-I", INNER_A[4], "-c", "3", "-i", "0.2", "-W", "1")
    assert nat.pings("b", far[0], *far[1:], "-c", "3", "-i", "0.2", "-W", "1")
    time.sleep(2 * FORGETS + 1)
    assert "100% packet loss" in nat.ping("b", far[0], *far[1:], "-c", "3", "-i", "0.2", "-W", "1").stdout
    assert daemons[0].counters()["out.keepalives"] == 0
    time.sleep(FORGETS + 1)  # what came from b without a mapping has the port of the NAT for so long
    nat.sysctl("a", "net.key.natt_keepalive=1")
    time.sleep(2 * FORGETS + 1)
    assert nat.pings("b", far[0], *far[1:], "-c", "3", "-i", "0.2", "-W", "1")


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("how", ["natt", "anew", "unknown"])
def test_transport(nat, version, how):
    """TCP's and UDP's checksums were made over other addresses: carried over, or made anew."""
    daemons = nat.peers(transport(version, how != "unknown"))
    if how == "anew":
        for host in ("a", "b"):
            nat.sysctl(host, "net.inet.ipsec.natt_cksum_policy=1")
    capture = nat.capture("r", "west", QUIET)
    assert nat.pings("a", B[version])
    wait_until(lambda: nat.pings("a", B[version], "-s", "3000", "-c", "3", "-i", "0.2", "-W", "1"), 15)
    time.sleep(2 * FORGETS + 1)
    for server, client, address in (("b", "a", B[version]), ("a", "b", N[version])):
        echo_server(nat, server, "udp", 7007, version)
        echo_server(nat, server, "tcp", 7008, version)
        assert udp_echo(nat, client, address, 7007, 100) == 3
        assert udp_echo(nat, client, address, 7007, 4000) == 3
        assert tcp_echo(nat, client, address, 7008, 300_000)
    assert {p.proto for p in capture.packets()} == {17}
    assert seen_by_tcpdump(capture) - {"fragment"} == {"ESP", "keepalive"}
    for daemon in daemons:
        daemon.stop()


def test_checksums_are_spoiled_on_the_way(nat):
    """The transport tests show something: with wrong original addresses nothing but ping gets through."""
    def text(host):
        return transport(4)(host).replace(f"-natt {A[4]}[4500]", "-natt 10.9.9.9[4500]")
    nat.peers(text)
    echo_server(nat, "b", "udp", 7007, 4)
    assert nat.pings("a", B[4])
    assert udp_echo(nat, "a", B[4], 7007, 100, 1) == 0


def test_example(nat):
    """examples/nat as it stands; the server speaks first after a silence."""
    daemons = nat.peers(lambda host: (ROOT / "examples/nat" / {"a": "inside.conf", "b": "server.conf"}[host]).read_text())
    assert nat.pings("a", INNER_B[4])
    time.sleep(2 * FORGETS + 1)
    assert nat.pings("b", INNER_A[4])
    for daemon in daemons:
        daemon.stop()


@pytest.mark.parametrize("source", ["named", "unspecified"])
def test_no_policy_is_about_the_outer_addresses(nat, source):
    """Policies of level use between inner networks: the kernel has no say, and no port unreachable."""
    daemons = nat.peers(tunnel(4, level="use"))
    if source == "unspecified":
        nat.load("b", f"delete {N[4]} {B[4]} esp 0x1001;"
                      f"add 0.0.0.0[4500] {B[4]}[4500] esp-udp 0x1001 -m tunnel -r 32 {KEYS[0]};")
    capture = nat.capture("r", "west", "icmp")
    assert nat.pings("a", INNER_B[4], "-I", INNER_A[4], "-c", "3", "-i", "0.2", "-W", "1")
    wait_until(lambda: daemons[1].counters()["drop.keepalive"] > 1, 10)
    assert capture.packets() == []
    # the port is not taken from others, and what is not for IPsec is answered as ever
    nat.run("a", "/usr/bin/python3", "-c", f"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
            f"s.bind(('{A[4]}', 4501)); s.sendto(b'hello', ('{B[4]}', 4500))")
    wait_until(lambda: "udp port 4500 unreachable" in capture.text(), 5)


def test_rebinding_is_named(nat):
    """The NAT gives a another port: manual SAs stay as they are, and the log says what has happened."""
    _, b = nat.peers(tunnel(4))
    assert nat.pings("a", INNER_B[4], "-I", INNER_A[4], "-c", "3", "-i", "0.2", "-W", "1")
    nat.run("n", "nft", "-f", "-", input="""
        flush chain inet nat out
        add rule inet nat out oifname "wan" meta l4proto udp masquerade to :40000
    """)
    nat.load("a", "flush;")  # and so no keepalives of the old mapping
    time.sleep(FORGETS + 1)
    nat.load("a", tunnel(4)("a"))
    before = b.counters()
    assert nat.mute("a", INNER_B[4])
    assert b.counters().since(before, "drop.encapsulation") >= 1
    assert "from port 40000 to 4500, its SA says 4500 to 4500" in re.sub(r"to port", "to", b.text()), b.text()
    assert "SPI 4097" in b.text()


def test_small_path(nat):
    """A link of 1300 bytes behind the NAT: both ends learn it."""
    nat.run("r", "ip", "link", "set", "east", "mtu", "1300")
    nat.run("b", "ip", "link", "set", "eth0", "mtu", "1300")
    daemons = nat.peers(tunnel(4))
    capture = nat.capture("r", "east", QUIET)
    for server, client, address in (("b", "a", INNER_B[4]), ("a", "b", INNER_A[4])):
        echo_server(nat, server, "tcp", 7008, 4)
        echo_server(nat, server, "udp", 7007, 4)
        assert tcp_echo(nat, client, address, 7008, 300_000)
        wait_until(lambda client=client, address=address: udp_echo(nat, client, address, 7007, 8000) == 3, 20)
    packets = capture.packets()
    assert {p.proto for p in packets} == {17} and max(len(p.ip) for p in packets) <= 1300
    for daemon in daemons:
        daemon.stop()


def test_other_ports_and_several_sas(nat):
    """One keepalive is enough for all SAs of the same ends and ports, and it goes to their port."""
    def text(host):
        near = A[4] if host == "a" else N[4]
        sas = "".join(f"add {near}[4600] {B[4]}[4700] esp-udp {0x3000 + i} -m tunnel -r 32 {KEYS[0]};" for i in range(5))
        return f"flush; spdflush; {sas}"
    a, b = nat.peers(text)
    capture = nat.capture("r", "west", "udp or icmp")
    time.sleep(6)
    packets = [p for p in capture.packets() if p.proto == 17]
    assert {p.payload[:4].hex() for p in packets} == {"11f8125c"} and {p.payload[8:].hex() for p in packets} == {"ff"}
    assert 4 <= len(packets) <= 7
    assert {p.proto for p in capture.packets()} == {17}  # no port unreachable
    assert a.counters()["out.keepalives"] >= len(packets) and b.counters()["drop.keepalive"] >= len(packets)
