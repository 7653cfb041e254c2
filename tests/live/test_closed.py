# SPDX-License-Identifier: BSD-2-Clause
"""What policy protects stays protected, whatever happens to the host meanwhile."""

import contextlib
import os
import re
import signal
import socket
import struct
import time

import pytest

from lab import WORKERS, ADDRESS, ARTICLE, PROTO_AH, PROTO_ESP, Packet, clear_between, is_ip, read_pcap, wait_until

PHOENIX, CARDINAL, ROUTER = (ADDRESS[host][4] for host in ("phoenix", "cardinal", "router"))
PORT = 4444

FLOOD = """
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    try:
        s.sendto(struct.pack("<Q", time.monotonic_ns()), (sys.argv[1], int(sys.argv[2])))
    except OSError:
        pass
    time.sleep(float(sys.argv[3]))
"""


@contextlib.contextmanager
def flood(lab, host, address, pause=0.0002):
    """Datagrams that say when they were sent."""
    process = lab.spawn(host, "/usr/bin/python3", "-c", FLOOD, address, PORT, pause)
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


def flooded(capture):
    """When each datagram of a flood that was seen in clear was sent, in seconds. The flood may go on."""
    packets = [Packet(frame) for frame in read_pcap(capture.path.read_bytes()) if is_ip(frame)]
    return [struct.unpack("<Q", p.payload[8:16])[0] / 1e9 for p in packets
            if p.proto == 17 and p.payload[2:4] == PORT.to_bytes(2, "big") and len(p.payload) >= 16]


def sas():
    """The article's, both ways, with an ESP that has an ICV."""
    return (f'add {PHOENIX} {CARDINAL} ah 15700 -A hmac-md5 "1234567890123456";'
            f'add {PHOENIX} {CARDINAL} esp 15701 -E blowfish-cbc "12345";'
            f'add {CARDINAL} {PHOENIX} ah 24500 -A hmac-md5 "1234567890123456";'
            f'add {CARDINAL} {PHOENIX} esp 24501 -E blowfish-cbc "12345";\n')


REQUIRE = "ipsec esp/transport//require ah/transport//require;\n"


def clear(capture):
    """Clear IP of the hosts, other than IPv6's own housekeeping."""
    return [p for p in capture.packets() if p.version == 4 and not p.protected]


@pytest.mark.steering
def test_everything_is_to_be_protected(lab):
    """0.0.0.0/0 to 0.0.0.0/0, both ways, on both hosts: the peer is reached, nobody else is."""
    for host in ("phoenix", "cardinal"):
        lab.daemon(host)
        lab.load(host, sas() + f"spdadd 0.0.0.0/0 0.0.0.0/0 any -P out {REQUIRE}"
                               f"spdadd 0.0.0.0/0 0.0.0.0/0 any -P in {REQUIRE}")
    capture = lab.router_capture()
    assert lab.pings("phoenix", CARDINAL)
    assert lab.pings("cardinal", PHOENIX)
    assert lab.mute("phoenix", ROUTER)
    assert lab.mute("router", PHOENIX)
    lab.ping("phoenix", "192.0.2.255", "-b", "-c", "2", "-i", "0.2", "-W", "1")
    lab.ping("phoenix", "224.0.0.1", "-c", "2", "-i", "0.2", "-W", "1")
    assert sum(p.protected for p in capture.packets()) == 12
    assert [p for p in clear(capture) if p.src != ROUTER] == []


@pytest.mark.steering
def test_more_policies_than_can_be_steered_one_by_one(lab):
    """Beyond 32 pairs everything is steered; then fewer again. None of them leaks on the way."""
    lab.daemon("phoenix")
    lab.daemon("cardinal")
    for host, other in (("phoenix", "cardinal"), ("cardinal", "phoenix")):
        lab.load(host, sas() + f"spdadd {ADDRESS[host][4]} {ADDRESS[other][4]} any -P out {REQUIRE}")
    capture = lab.router_capture()
    with flood(lab, "phoenix", CARDINAL):
        for round in range(3):
            many = [f"{PHOENIX} 203.0.113.{i} any -P out" for i in range(round * 60, round * 60 + 60)]
            lab.load("phoenix", "".join(f"spdadd {which} {REQUIRE}" for which in many))
            assert lab.mute("phoenix", f"203.0.113.{round * 60 + 59}")
            assert lab.pings("phoenix", ROUTER)
            lab.load("phoenix", "".join(f"spddelete {which};" for which in many[:-1 - round]))
            assert lab.mute("phoenix", f"203.0.113.{round * 60 + 59}")
    packets = capture.packets()
    assert sum(p.protected for p in packets) > 1000
    assert [p.dst for p in packets if p.src == PHOENIX and not p.protected and p.dst != ROUTER] == []


@pytest.mark.steering
def test_policy_holds_from_the_moment_that_setkey_returns(lab):
    lab.daemon("phoenix")
    capture = lab.router_capture()
    with flood(lab, "phoenix", CARDINAL, 0.0001):
        wait_until(lambda: len(flooded(capture)) > 100, 10, "the flood")
        for _ in range(5):
            lab.load("phoenix", f"spdadd {PHOENIX} {CARDINAL} any -P out {REQUIRE}")
            shut = time.monotonic()
            time.sleep(0.2)
            still = time.monotonic()
            assert [t for t in flooded(capture) if shut < t < still] == []
            lab.load("phoenix", "spdflush;")
            time.sleep(0.1)
            assert flooded(capture)[-1] > still, "the detector sees what is not protected any more"


@pytest.mark.steering
def test_interface_flaps(lab):
    """Down and up: the filters stay, and so does what sends through them."""
    lab.article("-require")
    capture = lab.router_capture()
    with flood(lab, "phoenix", CARDINAL):
        for _ in range(3):
            lab.run("phoenix", "ip", "link", "set", "eth0", "down")
            lab.run("phoenix", "ip", "link", "set", "eth0", "up")
            lab.run("phoenix", "ip", "route", "replace", "default", "via", ROUTER)
            wait_until(lambda: lab.pings("phoenix", CARDINAL, "-c", "1", "-W", "1"), 15, "the way back")
            time.sleep(0.3)  # enough of the flood for a verdict
    packets = capture.packets()
    assert sum(p.protected for p in packets) > 50
    assert clear_between(packets) == []


@pytest.mark.steering
def test_mtu_changes(lab):
    """A smaller MTU is heard of by those who send, and nothing goes out in clear for it."""
    lab.article("-require")
    capture = lab.router_capture()
    assert lab.pings("phoenix", CARDINAL, "-s", "1300", "-M", "do", "-c", "2", "-i", "0.2")
    lab.run("phoenix", "ip", "link", "set", "eth0", "mtu", "1300")
    time.sleep(1.1)
    lab.ping("phoenix", CARDINAL, "-s", "1300", "-c", "2", "-i", "0.2", "-W", "1")
    said = lab.ping("phoenix", CARDINAL, "-s", "1260", "-M", "do", "-c", "3", "-i", "1.1", "-W", "1").stdout
    assert "100% packet loss" in said
    assert lab.pings("phoenix", CARDINAL, "-s", "1100", "-M", "do", "-c", "2", "-i", "0.2")
    lab.run("phoenix", "ip", "link", "set", "eth0", "mtu", "1500")
    assert clear_between(capture.packets()) == []


@pytest.mark.steering
def test_port_unreachable_is_protected(lab):
    """What the kernel answers to an opened packet leaves as any other packet does."""
    lab.article("-require")
    capture = lab.router_capture()
    lab.run("phoenix", "/usr/bin/python3", "-c", f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("{CARDINAL}", 9)); s.send(b"anybody?"); s.settimeout(3)
try:
    s.recv(1); raise SystemExit("an answer?")
except ConnectionRefusedError:
    pass""")
    packets = [p for p in capture.packets() if p.between(PHOENIX, CARDINAL)]
    assert [p.layers() for p in packets] == [[(PROTO_AH, 15700), (PROTO_ESP, 15701)],
                                             [(PROTO_AH, 24500), (PROTO_ESP, 24501)]]


@pytest.mark.steering
def test_sa_expires_under_require(lab):
    """An SA past its hard lifetime is gone; its policy is not."""
    phoenix = lab.daemon("phoenix")
    lab.load("phoenix", f'add {PHOENIX} {CARDINAL} ah 15700 -lh 2 -ls 1 -A hmac-md5 "1234567890123456";'
                        f"spdadd {PHOENIX} {CARDINAL} any -P out ipsec ah/transport//require;")
    capture = lab.router_capture()
    with flood(lab, "phoenix", CARDINAL):
        wait_until(lambda: "No SAD" in lab.setkey("phoenix", "-D").stdout, 10, "the SA's end")
        time.sleep(0.3)
    # cardinal has no daemon: what it says of AH it says in clear.
    assert [p for p in clear_between(capture.packets()) if p.src == PHOENIX] == []
    assert phoenix.counters()["drop.no-sa-out"] > 100


@pytest.mark.steering
def test_restart_after_kill_with_a_long_file(lab):
    """
    A configuration that flushes first, and is too long for one datagram: what was shut
    stays so until its last policy is loaded.
    """
    daemons = lab.article("-require")
    assert lab.pings("phoenix", CARDINAL)
    conf = "flush; spdflush;\n" + sas() + "".join(
        f'add {PHOENIX} 203.0.113.{i % 250} ah {1000 + i} -A hmac-md5 "1234567890123456";\n' for i in range(600))
    conf += "".join(f"spdadd {PHOENIX} 203.0.113.{i} any -P out {REQUIRE}" for i in range(250))
    conf += f"spdadd {PHOENIX} {CARDINAL} any -P out {REQUIRE}spdadd {CARDINAL} {PHOENIX} any -P in {REQUIRE}"
    for _ in range(3):
        daemons["phoenix"].kill()
        capture = lab.router_capture()
        with flood(lab, "phoenix", CARDINAL):
            time.sleep(0.1)
            again = lab.daemon("phoenix")
            time.sleep(0.1)
            lab.load("phoenix", conf)
            wait_until(lambda: again.counters()["out.protected"] > 100, 5, "protected packets")
        assert clear_between(capture.packets()) == []
        daemons["phoenix"] = again


HEADER = struct.Struct("=BBBBHHII")
SPDFLUSH = 19


def test_restart_with_a_client_that_stays(lab):
    """Nobody can tell that it has loaded all it will; a while without news must do."""
    lab.article("-require")["phoenix"].kill()
    again = lab.daemon("phoenix")
    assert lab.mute("phoenix", CARDINAL)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as keys:
        keys.connect(re.search(r"serving (\S+\.sock)", again.text())[1])
        keys.send(HEADER.pack(2, SPDFLUSH, 0, 0, 2, 0, 1, 1))
        assert keys.recv(100)[2] == 0
        capture = lab.router_capture()
        # No policy, as asked for: requests go in clear, though cardinal answers none.
        wait_until(lambda: lab.ping("phoenix", CARDINAL, "-c", "1", "-W", "1") and clear_between(capture.packets()),
                   10, "the gate opens")
    again.stop()


@pytest.mark.steering
def test_databases_change_under_load(lab):
    """SAs and policies come and go while packets are on their way; nothing is used after its end."""
    daemons = lab.article("-require")
    capture = lab.router_capture()
    require = {host: (ARTICLE / f"{host}-require.conf").read_text() for host in daemons}
    with flood(lab, "phoenix", CARDINAL, 0.0001), flood(lab, "cardinal", PHOENIX, 0.0001):
        for round in range(40):
            for host in daemons:
                lab.load(host, "flush;" if round % 2 else require[host].replace("spdflush;", "").split("spdadd")[0])
            lab.load("phoenix", f"spddelete {PHOENIX} {CARDINAL} any -P out;"
                                f"spdadd {PHOENIX} {CARDINAL} any -P out {REQUIRE}")
        lab.load("phoenix", "".join(f"spdadd {PHOENIX} 203.0.113.{i} any -P out {REQUIRE}" for i in range(100)))
    packets = capture.packets()
    assert sum(p.protected for p in packets) > 1000
    assert [p for p in clear_between(packets) if p.src == CARDINAL] == []
    for daemon in daemons.values():
        assert len(os.listdir(f"/proc/{daemon.process.pid}/fd")) < 30 + 10 * (int(WORKERS or 1) - 1)
        daemon.stop()


@pytest.mark.steering
def test_restart_that_fails_leaves_the_gate_shut(lab):
    """A daemon that does not come up is not the administrator's word that traffic may flow."""
    lab.article("-require")["phoenix"].kill()
    capture = lab.router_capture()
    failing = lab.daemon("phoenix", "-i", "eth7", ready=False)
    assert failing.process.wait(20) == 1
    assert "eth7" in failing.text()
    assert lab.mute("phoenix", CARDINAL)
    assert clear_between(capture.packets()) == []
    # The next one that does come up takes over.
    lab.daemon("phoenix")
    lab.setkey("phoenix", "-f", ARTICLE / "phoenix-require.conf")
    assert clear_between(capture.packets()) == []


@pytest.mark.steering
def test_policy_that_cannot_be_steered_is_refused(lab):
    """Somebody took the qdisc away and its place: a policy that would not be in force must not seem to be."""
    daemon = lab.daemon("phoenix")
    daemon.process.send_signal(signal.SIGSTOP)  # it would put it back at once
    lab.run("phoenix", "sh", "-c", "tc qdisc del dev eth0 clsact && tc qdisc add dev eth0 ingress")
    daemon.process.send_signal(signal.SIGCONT)
    said = lab.setkey("phoenix", "-c", input=f"spdadd {PHOENIX} {CARDINAL} any -P out {REQUIRE}", check=False)
    assert said.returncode == 1, said.stdout + said.stderr
    assert "steer" in said.stderr
    assert lab.setkey("phoenix", "-DP").stdout.strip() == "No SPD entries."
    daemon.stop()


@pytest.mark.steering
@pytest.mark.parametrize("what", ["filter del dev eth0 egress", "qdisc del dev eth0 clsact"])
def test_what_others_remove_is_put_back(lab, what):
    """A firewall's restart, say, clears the filters of an interface."""
    daemon = lab.article("-require")["phoenix"]
    assert lab.pings("phoenix", CARDINAL)
    lab.run("phoenix", "tc", *what.split())
    time.sleep(1.5)
    capture = lab.router_capture()
    assert lab.pings("phoenix", CARDINAL)
    packets = capture.packets()
    assert clear_between(packets) == [] and len([p for p in packets if p.protected]) == 6
    daemon.stop()
    assert "sp" not in lab.run("phoenix", "ip", "-o", "link").stdout.replace("state", "")


def busy(daemon, seconds=1.0):
    """Processor time that the daemon takes, as a part of what there is."""
    def ticks():
        fields = open(f"/proc/{daemon.process.pid}/stat").read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    before = ticks()
    time.sleep(seconds)
    return (ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds


@pytest.mark.parametrize("device", ["spo", "spi", "eth0"])
def test_device_that_vanishes(lab, device):
    """Nothing spins, nothing leaks, and the daemon still ends cleanly."""
    daemon = lab.article("-require")["phoenix"]
    links = lab.run("phoenix", "ip", "-o", "link").stdout
    name = re.search(rf"({device}\d*)[@:]", links)[1]
    capture = lab.router_capture()
    lab.run("phoenix", "ip", "link", "del", name)
    assert busy(daemon) < 0.2
    assert lab.mute("phoenix", CARDINAL) or device == "eth0"
    assert clear_between(capture.packets()) == []
    assert lab.setkey("phoenix", "-D").returncode == 0
    daemon.stop()
