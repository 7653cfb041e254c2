# SPDX-License-Identifier: BSD-2-Clause
"""Virtual interfaces of tunnels, what if_ipsec(4) is on FreeBSD: routes lead into them,
tcpdump sees on them what is inside, multicast passes, and nothing else gets in or out."""

import json
import re
import subprocess
import time

import pytest

from lab import BUILD, SANITIZER, wait_until
from test_gateway import A, B, GA, GB, QUIET, Gateways, echo_server, tcp_echo, udp_echo

REQID = 77
# Addresses on the interfaces themselves.
IN_A, IN_B = {4: "10.9.0.1", 6: "fd09::1"}, {4: "10.9.0.2", 6: "fd09::2"}
FAMILIES = [(4, 4), (6, 6), (4, 6), (6, 4)]  # inner, outer


class Interfaces(Gateways):
    def option(self, gateway, outer, reqid=REQID, name="ipsec0"):
        ends = (GA, GB) if gateway == "ga" else (GB, GA)
        return f"--ipsec-interface={name},{ends[0][outer]}-{ends[1][outer]},{reqid}"

    def sas(self, gateway, outer, reqid=REQID):
        self.load(gateway, f"""
            flush;
            add {GA[outer]} {GB[outer]} esp 0x1001 -m tunnel -u {reqid} -r 32 -E aes-gcm-16 "01234567890123456789";
            add {GB[outer]} {GA[outer]} esp 0x1002 -m tunnel -u {reqid} -r 32 -E aes-gcm-16 "98765432109876543210";
        """)

    def addresses(self, gateway):
        """What an administrator does: addresses, and a route to the network behind the other one."""
        own, far = (IN_A, B) if gateway == "ga" else (IN_B, A)
        for version in (4, 6):
            net = re.sub(r"10$", "0/24" if version == 4 else "/64", far[version])
            self.run(gateway, "ip", "address", "add", f"{own[version]}/{24 if version == 4 else 64}", "dev", "ipsec0",
                     *(["nodad"] if version == 6 else []))
            self.run(gateway, "ip", f"-{version}", "route", "add", net, "dev", "ipsec0")

    def joined(self, outer):
        daemons = []
        for gateway in ("ga", "gb"):
            daemons.append(self.daemon(gateway, self.option(gateway, outer), interface="wan"))
            self.sas(gateway, outer)
            self.addresses(gateway)
        return daemons

    def sallyport(self, host, *arguments, check=True):
        result = self.run(host, BUILD / "sallyport", *arguments, check=check)
        assert not SANITIZER.search(result.stderr), result.stderr
        return result

    def links(self, host):
        return re.findall(r"^\d+: ([^:@]+)", self.run(host, "ip", "-o", "link").stdout, re.MULTILINE)


@pytest.fixture
def interfaces(tun):
    with Interfaces() as network:
        yield network


@pytest.mark.parametrize("inner,outer", FAMILIES)
def test_routed_network(interfaces, inner, outer):
    """Hosts behind the gateways reach each other; the wire has ESP alone, ipsec0 the clear packets both ways."""
    daemons = interfaces.joined(outer)
    wire = interfaces.capture("r", "west", QUIET)
    inside = interfaces.capture("ga", "ipsec0", f"{'icmp' if inner == 4 else 'icmp6'} or udp or tcp")
    assert interfaces.pings("a", B[inner])
    assert interfaces.pings("b", A[inner])
    assert interfaces.pings("ga", IN_B[inner])
    seen = inside.text()
    for one, other in ((A, B), (B, A)):
        assert f"{one[inner]} > {other[inner]}: " in seen
    echo_server(interfaces, "b", "udp", 7007, inner)
    assert udp_echo(interfaces, "a", B[inner], 7007, 1000) == 3
    wait_until(lambda: udp_echo(interfaces, "a", B[inner], 7007, 8000) == 3, 10)
    echo_server(interfaces, "b", "tcp", 7007, inner)
    assert tcp_echo(interfaces, "a", B[inner], 7007, 300_000)
    packets = wire.packets()
    assert {(p.proto, p.src, p.dst) for p in packets} == {(50, GA[outer], GB[outer]), (50, GB[outer], GA[outer])}
    assert max(len(p.ip) for p in packets) <= 1500
    for daemon in daemons:
        daemon.stop()
    assert "ipsec0" not in interfaces.links("ga") + interfaces.links("gb")


LISTEN = """
import socket, struct, sys
v6 = ":" in sys.argv[1]
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, 89)
index = socket.if_nametoindex("ipsec0")
if v6:
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, sys.argv[1]) + struct.pack("=I", index))
else:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(sys.argv[1]) + struct.pack("4sI", b"", index))
s.settimeout(10)
print("ready", flush=True)
data, peer = s.recvfrom(2000)
print(data[-5:].decode(), peer[0].split("%")[0], socket.if_indextoname(peer[3]) if v6 else "", flush=True)
"""

HELLO = """
import socket, struct, sys
v6 = ":" in sys.argv[1]
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, 89)
index = socket.if_nametoindex("ipsec0")
if v6:
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
else:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", b"", b"", index))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
s.sendto(b"hello", (sys.argv[1], 0))
"""


@pytest.mark.parametrize("group", ["224.0.0.5", "ff02::5"])
@pytest.mark.parametrize("outer", [4, 6])
def test_multicast(interfaces, group, outer):
    """As OSPF says hello: protocol 89 to a group, with a TTL of 1."""
    interfaces.joined(outer)
    wire = interfaces.capture("r", "west", QUIET)
    listener = interfaces.spawn("gb", "/usr/bin/python3", "-c", LISTEN, group)
    assert listener.stdout.readline() == "ready\n"
    interfaces.run("ga", "/usr/bin/python3", "-c", HELLO, group)
    said = listener.stdout.readline()
    listener.wait(10)
    assert said.startswith("hello ")
    sender = said.split()[1]
    if ":" in group:
        assert sender.startswith("fe80::") and said.split()[2] == "ipsec0"
    else:
        assert sender == IN_A[4]
    assert {(p.proto, p.src) for p in wire.packets()} <= {(50, GA[outer]), (50, GB[outer])}


def test_policies_of_interface_scope(interfaces):
    """They are shown as what they are, stand apart, and nobody can take them away."""
    interfaces.daemon("ga", interfaces.option("ga", 4), interface="wan")
    # an ordinary policy of the very same selector is another one
    interfaces.load("ga", f"spdadd 0.0.0.0/0 0.0.0.0/0 any -P out none; spdadd {A[4]} {B[4]} udp -P in none;")
    shown = interfaces.setkey("ga", "-DP", "-t").stdout
    policies = re.findall(r"^(\S+) (\S+) \S+\n\t(in|out) ipsec\n\t(\S+)\n.*\n.*\n\tspid=(\d+) seq=\d+ pid=\d+ "
                          r"scope=ifnet ifname=ipsec0\n", shown, re.MULTILINE)
    there, back = (f"esp/tunnel/{one}-{two}/unique:{REQID}" for one, two in ((GA[4], GB[4]), (GB[4], GA[4])))
    assert {p[:4] for p in policies} == {
        (f"{net}[any]", f"{net}[any]", way, request)
        for net in ("0.0.0.0/0", "::/0") for way, request in (("out", there), ("in", back))}
    assert shown.count("spid=") == 4
    everything, global_ones = interfaces.setkey("ga", "-DP").stdout, interfaces.setkey("ga", "-DPg").stdout
    assert "scope=ifnet" not in global_ones and global_ones.count("spid=") == 3  # with the twin for fwd
    assert everything.count("spid=") == 7 and everything.count("scope=ifnet") == 4
    assert interfaces.setkey("ga", "-DPgt").stdout.count("spid=") == 7
    interfaces.load("ga", "spdflush;")
    assert interfaces.setkey("ga", "-DPg").stdout == "No SPD entries.\n"
    assert interfaces.setkey("ga", "-DP").stdout.count("scope=ifnet") == 4
    refused = interfaces.setkey("ga", "-c", check=False, input="spddelete 0.0.0.0/0 0.0.0.0/0 any -P out;")
    assert refused.returncode != 0 and "sallyport interface destroy ipsec0" in refused.stderr
    interfaces.setkey("ga", "-FP")
    assert interfaces.setkey("ga", "-DP").stdout.count("scope=ifnet") == 4
    script = interfaces.setkey("ga", "-DP", "--script").stdout
    assert script.count("\n") == 4 and len(re.findall(r"^# policy \d+ is of ipsec0$", script, re.MULTILINE)) == 4


def test_what_is_not_its_own(interfaces):
    """An SA of another reqid, or of none, does not lead to the interface, and ordinary policies do not apply there."""
    interfaces.joined(4)
    assert interfaces.pings("a", B[4])
    # a policy that would forbid all is of global scope: it does not concern the interface
    interfaces.load("ga", f"spdadd 10.1.0.0/24 10.2.0.0/24 any -P out discard; spdadd 10.2.0.0/24 10.1.0.0/24 any -P in discard;")
    assert interfaces.pings("ga", IN_B[4])
    interfaces.load("ga", "spdflush;")
    before = interfaces.daemons[1].counters()
    interfaces.sas("ga", 4, reqid=78)
    assert interfaces.mute("a", B[4])  # it is not used for what leaves
    assert interfaces.daemons[0].counters()["drop.no-sa-out"] > 0
    interfaces.sas("ga", 4)
    interfaces.sas("gb", 4, reqid=78)  # nor is what comes by it taken
    assert interfaces.mute("a", B[4])
    counters = interfaces.daemons[1].counters()
    assert counters.since(before, "drop.tunnel-policy") > 0
    interfaces.sas("gb", 4)
    interfaces.sas("ga", 4)
    assert interfaces.pings("a", B[4])


def test_down(interfaces):
    """What comes for an interface that is down is dropped, and nothing goes out in clear past a fallback route."""
    interfaces.joined(4)
    assert interfaces.pings("a", B[4])
    interfaces.run("ga", "ip", "route", "add", "unreachable", "10.2.0.0/24", "metric", "4278198272")
    wire = interfaces.capture("r", "west", QUIET)
    interfaces.run("ga", "ip", "link", "set", "ipsec0", "down")
    assert interfaces.mute("a", B[4])
    assert interfaces.mute("b", A[4])
    assert interfaces.daemons[0].counters()["drop.interface-down"] > 0
    assert {p.proto for p in wire.packets()} <= {50}
    assert {p.src for p in wire.packets()} <= {GB[4]}
    assert " down " in interfaces.sallyport("ga", "interface", "list").stdout
    interfaces.run("ga", "ip", "link", "set", "ipsec0", "up")
    interfaces.run("ga", "ip", "route", "add", "10.2.0.0/24", "dev", "ipsec0")
    assert interfaces.pings("a", B[4])


@pytest.mark.parametrize("version", [4, 6])
def test_killed(interfaces, version):
    """Routes lead nowhere until the next daemon takes the interface over, with its addresses and routes."""
    interfaces.joined(version)
    assert interfaces.pings("a", B[version])
    wire = interfaces.capture("r", "west", QUIET)
    interfaces.daemons[0].kill()
    sent = lambda: [p for p in wire.packets() if p.src != GB[version]]  # the other gateway may say something by itself
    before = len(sent())
    assert interfaces.mute("a", B[version])
    assert len(sent()) == before  # neither in clear nor otherwise
    second = interfaces.daemon("ga", interface="wan")
    assert "left interface ipsec0" in second.text()
    assert interfaces.mute("a", B[version])
    second.kill()
    third = interfaces.daemon("ga", interfaces.option("ga", version), interface="wan")
    interfaces.sas("ga", version)
    interfaces.load("ga", "spdflush;")  # policies are loaded: what was steered may pass again
    wait_until(lambda: interfaces.pings("a", B[version]), 10)
    assert {p.proto for p in wire.packets()} == {50}
    third.stop()
    assert "ipsec0" not in interfaces.links("ga")
    # and one that nobody takes over goes with the next clean stop
    interfaces.daemon("ga", interfaces.option("ga", version), interface="wan").kill()
    assert "ipsec0" in interfaces.links("ga")
    interfaces.daemon("ga", interface="wan").stop()
    assert "ipsec0" not in interfaces.links("ga")


def test_at_run_time(interfaces):
    """Made, shown and removed while the daemon runs; everybody hears of the policies."""
    daemon = interfaces.daemon("ga", interface="wan")
    assert interfaces.sallyport("ga", "interface", "list").stdout == "No interfaces of tunnels.\n"
    assert json.loads(interfaces.sallyport("ga", "interface", "list", "-j").stdout) == []
    listener = interfaces.spawn("ga", BUILD / "setkey", "-x")
    time.sleep(0.5)
    interfaces.sallyport("ga", "interface", "create", "ipsec0", "tunnel", GA[4], GB[4], "reqid", "77")
    interfaces.sallyport("ga", "interface", "create", "tun6", "tunnel", GA[6], GB[6])
    shown = json.loads(interfaces.sallyport("ga", "interface", "list", "-j").stdout)
    index = shown[0]["ifindex"]
    assert shown[0] == {"name": "ipsec0", "ifindex": index, "src": GA[4], "dst": GB[4], "reqid": 77, "mtu": 1400, "up": True}
    assert f"{index}: ipsec0" in interfaces.run("ga", "ip", "link").stdout
    own = shown[1]["reqid"]  # nobody chose it: it is one of those that the SPD gives
    assert own > 0x3fff and f"unique#{own}" in interfaces.setkey("ga", "-DP", "-t").stdout
    text = interfaces.sallyport("ga", "interface", "list").stdout
    assert text.startswith(f"ipsec0: up mtu 1400\n\ttunnel {GA[4]} {GB[4]} reqid 77\n")
    interfaces.sallyport("ga", "interface", "destroy", "ipsec0")
    assert "ipsec0" not in interfaces.links("ga") and "tun6" in interfaces.links("ga")
    assert "ipsec0" not in interfaces.setkey("ga", "-DP").stdout
    # whoever removes the device removes its policies
    interfaces.run("ga", "ip", "link", "delete", "tun6")
    wait_until(lambda: interfaces.setkey("ga", "-DP").stdout == "No SPD entries.\n", 5)
    assert "interface tun6 was removed" in daemon.text()
    listener.terminate()
    heard = listener.communicate(timeout=10)[0]
    for type_, times in ((14, 8), (15, 8)):  # SPDADD, SPDDELETE
        assert len(re.findall(rf"sadb_msg{{ version=2 type={type_} ", heard)) >= times, heard
    assert "sadb_x_interface{ if=ipsec0 " in heard
    daemon.stop()


BAD = [
    (["create", "ipsec0", "tunnel", GA[4], GB[6]], 2, "are of different families"),
    (["create", "ipsec0", "tunnel", GA[4], "nowhere"], 2, "`nowhere' is no address of IPv4 or IPv6"),
    (["create", "ipsec0123456789ab", "tunnel", GA[4], GB[4]], 2, "longer than the 15 characters"),
    (["create", "ipsec0", "tunnel", GA[4], GB[4], "reqid", "0"], 2, "`0' is no reqid: it takes 1 to 4294967295"),
    (["create", "ipsec0", "tunnel", GA[4], GB[4], "reqid"], 2, "usage:"),
    (["create", "ipsec0", GA[4], GB[4]], 2, "usage:"),
    (["make"], 2, "there is no `interface make'"),
    ([], 2, "usage:"),
    (["create", "wan", "tunnel", GA[4], GB[4]], 1, "there is an interface wan already"),
    (["create", "first", "tunnel", GA[4], GB[4]], 1, "there is an interface first already"),
    (["create", "second", "tunnel", GA[4], GB[4], "reqid", "77"], 1, "first has the tunnel"),
    (["create", "a b", "tunnel", GA[4], GB[4]], 1, "is no name for an interface"),
    (["create", "../x", "tunnel", GA[4], GB[4]], 1, "is no name for an interface"),
    (["create", "ipsec0", "tunnel", GA[4], "0.0.0.0"], 1, "0.0.0.0 is no address of a host"),
    (["create", "ipsec0", "tunnel", GA[6], "fe80::1"], 1, "fe80::1 is link-local"),
    (["create", "ipsec0", "tunnel", GA[4], GA[4]], 1, "begins and ends at"),
    (["destroy", "ipsec0"], 1, "there is no interface ipsec0 of tunnels"),
    (["destroy", "wan"], 1, "there is no interface wan of tunnels"),
]


def test_bad_input(interfaces):
    daemon = interfaces.daemon("ga", interfaces.option("ga", 4, name="first"), interface="wan")
    links = interfaces.links("ga")
    for arguments, status, words in BAD:
        result = interfaces.sallyport("ga", "interface", *arguments, check=False)
        assert (result.returncode, words in result.stderr) == (status, True), (arguments, result)
    assert interfaces.links("ga") == links
    daemon.stop()
    for text, words in (("ipsec0", "it takes NAME,SRC-DST[,REQID]"), ("ipsec0,1.2.3.4-x,1", "`x' is no address"),
                        (f"ipsec0,{GA[4]}-{GB[6]}", "different families"), (f"wan,{GA[4]}-{GB[4]}", "there is an interface wan already"),
                        (f"ipsec0,{GA[4]}-{GB[4]},x", "`x' is no reqid")):
        refused = interfaces.run("ga", BUILD / "sallyportd", "-f", "-i", "wan", "--ipsec-interface", text, check=False)
        assert refused.returncode == 1 and words in refused.stderr, (text, refused.stderr)
    assert interfaces.links("ga") == [link for link in links if link not in ("first",) and not link.startswith("sp")]


def test_loop(interfaces):
    """Outer packets that are routed into the interface are not protected again and again."""
    interfaces.joined(4)
    assert interfaces.pings("a", B[4])
    interfaces.run("ga", "ip", "route", "add", GB[4], "dev", "ipsec0")
    assert interfaces.mute("a", B[4])
    counters = interfaces.daemons[0].counters()
    assert 0 < counters["drop.loop"] < 20
    assert "routed into a virtual interface" in interfaces.daemons[0].text()
    interfaces.run("ga", "ip", "route", "del", GB[4], "dev", "ipsec0")
    assert interfaces.pings("a", B[4])


@pytest.mark.parametrize("outer", [4, 6])
def test_small_path(interfaces, outer):
    """A router of MTU 1300 between cuts IPv4; of IPv6 it complains, and the interface's users are told."""
    interfaces.joined(outer)
    interfaces.run("r", "ip", "link", "set", "east", "mtu", "1300")
    interfaces.run("gb", "ip", "link", "set", "wan", "mtu", "1300")
    for version in (4, 6):
        wait_until(lambda version=version: interfaces.pings("a", B[version], "-M", "do", "-s", "1100", "-c", "2", "-i", "0.2", "-W", "1"), 10)
        echo_server(interfaces, "b", "tcp", 7100 + version, version)
        assert tcp_echo(interfaces, "a", B[version], 7100 + version, 300_000)
        said = interfaces.ping("a", B[version], "-M", "do", "-s", "1320", "-c", "3", "-i", "0.2", "-W", "1")
        told = re.search(r"message too long|Frag needed|Packet too big", said.stdout + said.stderr)
        assert bool(told) == (outer == 6), said


OSPF = {
    4: """router id {id};
protocol device {{ }}
protocol kernel {{ ipv4 {{ export all; }}; }}
protocol ospf v2 {{ ipv4 {{ export none; }}; area 0 {{ interface "ipsec0" {{ type pointopoint; hello 1; dead 4; }}; interface "lan" {{ stub; }}; }}; }}
""",
    6: """router id {id};
protocol device {{ }}
protocol kernel {{ ipv6 {{ export all; }}; }}
protocol ospf v3 {{ ipv6 {{ export none; }}; area 0 {{ interface "ipsec0" {{ type pointopoint; hello 1; dead 4; }}; interface "lan" {{ stub; }}; }}; }}
""",
}


@pytest.mark.parametrize("version", [4, 6])
def test_ospf(interfaces, version):
    """bird2 on both gateways: neighbours by multicast over ipsec0, and the routes that they learn carry traffic."""
    if subprocess.run(["which", "bird"], stdout=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("no bird: apt-get install bird2")
    for gateway in ("ga", "gb"):
        interfaces.daemon(gateway, interfaces.option(gateway, 4), interface="wan")
        interfaces.sas(gateway, 4)
        own = IN_A if gateway == "ga" else IN_B
        for one, bits in ((4, 30), (6, 64)):
            interfaces.run(gateway, "ip", "address", "add", f"{own[one]}/{bits}", "dev", "ipsec0", *(["nodad"] if one == 6 else []))
        path = interfaces.dir / f"{gateway}.bird"
        path.write_text(OSPF[version].format(id=IN_A[4] if gateway == "ga" else IN_B[4]))
        bird = interfaces.spawn(gateway, "bird", "-f", "-c", path, "-s", interfaces.dir / f"{gateway}.ctl", "-P", interfaces.dir / f"{gateway}.pid")
        interfaces.captures.append(type("Bird", (), {"process": bird, "kill": bird.kill})())
    wait_until(lambda: "dev ipsec0" in interfaces.run("ga", "ip", f"-{version}", "route", "get", B[version]).stdout and
               "dev ipsec0" in interfaces.run("gb", "ip", f"-{version}", "route", "get", A[version]).stdout, 40, "OSPF's routes")
    assert interfaces.pings("a", B[version])
