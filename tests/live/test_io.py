# SPDX-License-Identifier: BSD-2-Clause
"""The tc driver in network namespaces.

Each scenario runs in namespaces of its own: this file starts itself once more under
unshare(1), as root or as an ordinary user, and host A (where it runs) is joined with
host B by a veth pair. io_pass opens the driver on A and passes every packet on.
"""
import contextlib
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IO_PASS = os.environ.get("IO_PASS") or os.path.join(
    os.environ.get("BUILD", os.path.join(ROOT, "build-asan")), "tests/live/io_pass")
ALL4 = "out 0.0.0.0/0 0.0.0.0/0 in 0.0.0.0/0 0.0.0.0/0"
ALL6 = "out ::/0 ::/0 in ::/0 ::/0"
A4, B4, A6, B6 = "10.9.0.1", "10.9.0.2", "fd00:9::1", "fd00:9::2"
JOURNAL = "/run/journal"
NOT_PERMITTED = 77


def sh(command, check=True):
    done = subprocess.run(command, shell=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


def in_b(command):
    return "ip netns exec B " + command


def read(path):
    with open(path) as f:
        return f.read()


class Driver:
    """io_pass, spoken to by a line and answered by a line."""

    def __init__(self, name, interface="v0", journal=JOURNAL, wrapper=()):
        self.process = subprocess.Popen([*wrapper, IO_PASS, name, interface, journal], text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=open("/run/driver.log", "w"))
        self.opened = self.process.stdout.readline().strip()

    def ask(self, line):
        try:
            self.process.stdin.write(line + "\n")
        except BrokenPipeError:
            return f"gone: {self.process.wait()}"
        return self.process.stdout.readline().strip()

    def do(self, line):
        answer = self.ask(line)
        assert answer.startswith("ok"), f"{line}: {answer} {self.log()}"
        return answer.split()[1:]

    def end(self, how="close"):
        self.do(how)
        assert self.process.wait(10) == 0

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def received(self):
        return int(self.do("stats")[0])

    @staticmethod
    def log():
        return read("/run/driver.log")


def open_driver(name, steer=None):
    d = Driver(name)
    if d.opened == "error 1":
        print(d.log())
        sys.exit(NOT_PERMITTED)
    assert d.opened.startswith("ok"), d.opened + d.log()
    if steer is not None:
        d.do("steer " + steer)
    return d


def connect_hosts():
    sh("mount -t tmpfs t /run && mkdir /run/netns && ip netns add B && ip link set lo up")
    # Nobody else is here: link-local addresses need not be tested for two seconds.
    for ns in ("", in_b("")):
        sh(f"{ns} sysctl -q -w net.ipv6.conf.default.accept_dad=0")
    sh("ip link add v0 type veth peer name v1 netns B")
    sh(f"ip addr add {A4}/24 dev v0; ip addr add {A6}/64 dev v0 nodad; ip link set v0 up")
    sh(f"ip -n B addr add {B4}/24 dev v1; ip -n B addr add {B6}/64 dev v1 nodad; ip -n B link set v1 up")
    sh("ip -n B link set lo up")
    for _ in range(50):
        if "tentative" not in sh("ip addr show v0") + sh("ip -n B addr show v1"):
            return
        time.sleep(0.1)


def pings(target, count=3, options="", prefix=""):
    out = sh(f"{prefix} ping -n -c {count} -i 0.2 -W 1 {options} {target}", check=False)
    return int(re.search(r"(\d+) received", out).group(1))


@contextlib.contextmanager
def in_namespace_b():
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open("/run/netns/B", os.O_RDONLY)
    setns = __import__("ctypes").CDLL(None, use_errno=True).setns
    assert setns(there, 0) == 0
    try:
        yield
    finally:
        assert setns(here, 0) == 0
        os.close(here)
        os.close(there)


class Capture:
    """What arrives at B from A, seen on the wire."""

    def __init__(self):
        with in_namespace_b():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.sock.bind(("v1", 0))

    def frames(self):
        got = []
        while select.select([self.sock], [], [], 0)[0]:
            frame, address = self.sock.recvfrom(65536)
            if address[2] != socket.PACKET_OUTGOING:
                got.append(frame)
        return got

    def echoes(self):
        """Echo requests and replies of either version."""
        def is_echo(f):
            kind = f[12:14]
            return (kind == b"\x08\x00" and f[23] == 1 and f[34] in (0, 8)) or (
                kind == b"\x86\xdd" and f[20] == 58 and f[54] in (128, 129))
        return [f for f in self.frames() if is_echo(f)]


def snapshot():
    def lines(command):
        return [line for line in sh(command, check=False).splitlines()]
    links = [line for line in lines("ip -d link")]
    return {"qdisc": lines("tc qdisc show"), "filters": lines("tc filter show dev v0 ingress") +
            lines("tc filter show dev v0 egress"), "links": links, "addresses": lines("ip addr"),
            "rules": lines("ip rule") + lines("ip -6 rule"),
            "routes": lines("ip route show table all") + lines("ip -6 route show table all"),
            "sysctl": lines("grep -r . /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf 2>/dev/null | "
                            "grep -v stable_secret")}


# Scenarios: each is run with "tc-ebpf" and with "tc-cbpf"


def both_ways(name):
    """Everything that is steered passes through us, and arrives."""
    d = open_driver(name, f"out {A4} {B4} in {B4} {A4} out {A6} {B6} in {B6} {A6}")
    for target, source in ((B4, A4), (B6, A6)):
        before = d.received()
        assert pings(target) == 3 and pings(source, prefix=in_b("")) == 3, d.log()
        assert d.received() - before == 12, "3 requests and 3 replies, each way"
    before = d.received()
    assert pings(B4, options="-s 3000") == 3 and pings(B6, options="-s 3000") == 3
    assert d.received() - before == 3 * 2 * 2 * 3, "fragments of both ways"
    # Nothing but what was selected.
    sh("ip addr add 10.9.0.3/24 dev v0")
    before = d.received()
    assert pings(B4, options="-I 10.9.0.3") == 3
    assert d.received() == before
    d.do(f"steer {ALL4}")
    assert pings(B4, options="-I 10.9.0.3") == 3
    assert d.received() - before == 6
    d.do("steer")
    before = d.received()
    assert pings(B4) == 3 and pings(B6) == 3 and d.received() == before
    assert d.do("stats")[2:] == ["0", "0"]
    d.end()


def many_selectors(name):
    """More than fit: everything is steered. As many as fit: only they are."""
    d = open_driver(name)
    most = " ".join(f"out fd00:{i:x}::1 fd00:{i:x}::2" for i in range(0x100, 0x11f)) + f" out {A6} {B6}"
    d.do("steer " + most)
    before = d.received()
    assert pings(B6) == 3 and pings(B4) == 3
    assert d.received() - before == 3
    d.do(f"steer {most} out 10.1.1.1 10.1.1.2")
    before = d.received()
    assert pings(B4) == 3 and pings(B6) == 3
    assert d.received() - before >= 12, "and whatever else the hosts have to say"
    d.end()


def protected_protocols(name):
    """50, 51 and 108 are steered inbound without any selector, and nothing else is."""
    d = open_driver(name)
    before = d.received()
    with in_namespace_b():
        for proto in (50, 51, 108, 253):
            for family, target in ((socket.AF_INET, A4), (socket.AF_INET6, A6)):
                socket.socket(family, socket.SOCK_RAW, proto).sendto(bytes(64), (target, 0))
        # Behind an extension header: destination options with six bytes of padding, next header 51.
        options = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 51)
        options.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0]))
        options.sendto(bytes(64), (A6, 0))
    time.sleep(0.3)
    assert d.received() - before == 7
    d.end()


def killed(name):
    """After SIGKILL nothing selected leaves or enters, until a new daemon steers."""
    steer = f"out {A4} {B4} in {B4} {A4} out {A6} {B6} in {B6} {A6}"
    capture = Capture()
    assert pings(B4) == 3 and len(capture.echoes()) == 3, "the detector sees what is in clear"
    d = open_driver(name, steer)
    # So that neighbours stay known without our help.
    flood = [subprocess.Popen(f"ping -n -i 0.01 -w 3 {target}", shell=True, stdout=subprocess.DEVNULL)
             for target in (B4, B6)]
    time.sleep(0.5)
    assert len(capture.echoes()) > 20
    d.kill()
    time.sleep(0.05)
    capture.echoes()
    time.sleep(0.5)
    assert capture.echoes() == [], "left in clear"
    for f in flood:
        f.kill()
        f.wait()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s4, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s6:
        s4.bind((A4, 5000))
        s6.bind((A6, 5000))
        with in_namespace_b():
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (A4, 5000))
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"x", (A6, 5000))
        assert select.select([s4, s6], [], [], 0.3)[0] == [], "entered in clear"
    # The interface goes down and up: the filters stay.
    sh("ip link set v0 down; ip link set v0 up; ip addr replace fd00:9::1/64 dev v0 nodad")
    assert pings(B4, 1) == 0 and capture.echoes() == []
    d = Driver(name)
    assert d.opened.startswith("ok") and d.do("info")[0] == "1", d.log()
    assert "not stopped cleanly" in d.log()
    assert pings(B4, 1) == 0 and pings(A4, 1, prefix=in_b("")) == 0 and capture.echoes() == [], "still shut"
    d.do("steer " + steer)
    assert pings(B4) == 3 and pings(B6) == 3 and pings(A4, prefix=in_b("")) == 3, d.log()
    d.end("leave")
    capture.echoes()
    assert pings(B4, 1) == 0 and capture.echoes() == [], "left shut on purpose"
    d = Driver(name)
    d.do("steer")
    assert pings(B4) == 3
    d.end()


def undone(name):
    """A clean end leaves the host as it was, also after a crash in between."""
    before = snapshot()
    for crash in (False, True):
        d = open_driver(name, ALL4 + " " + ALL6)
        d.do(f"mtu {B4} 1400 {B6} 1300 192.0.2.1 1400")
        assert pings(B4) == 3 and pings(B6) == 3
        assert snapshot() != before
        if crash:
            d.kill()
            d = Driver(name)
            assert d.do("info")[0] == "1"
        d.end()
        after = snapshot()
        for what in before:
            assert before[what] == after[what], (what, set(before[what]) ^ set(after[what]))
        assert not os.path.exists(JOURNAL)


def others_filters(name):
    """A clsact qdisc and filters of other people stay as they are."""
    sh("tc qdisc add dev v0 clsact")
    for side in ("ingress", "egress"):
        sh(f"tc filter add dev v0 {side} pref 30000 protocol ip bpf da bytecode '1,6 0 0 4294967295'")
    before = snapshot()
    d = open_driver(name, ALL4)
    assert pings(B4) == 3
    d.do("steer " + ALL6)
    d.end()
    assert snapshot() == before
    assert "before ours" not in d.log()
    # One that comes first is warned of; one that came later keeps its qdisc.
    sh("tc filter add dev v0 egress pref 1 protocol ip bpf da bytecode '1,6 0 0 4294967295'")
    d = open_driver(name)
    assert "preference 1, before ours" in d.log() and "leave" in d.log(), d.log()
    d.end()
    sh("tc qdisc del dev v0 clsact")
    d = open_driver(name)
    sh("tc filter add dev v0 egress pref 30000 protocol ip bpf da bytecode '1,6 0 0 4294967295'")
    d.end()
    assert "others have filters on it" in d.log()
    assert "pref 30000" in sh("tc filter show dev v0 egress") and "21328" not in sh("tc filter show dev v0 egress")


def discovery(name):
    """Neighbours are found under a selector of everything, also with nobody alive."""
    d = open_driver(name, ALL4 + " " + ALL6)
    for _ in range(2):
        sh("ip neigh flush dev v0; ip -n B neigh flush dev v1")
        assert pings(B6) == 3 and pings(B4) == 3 and pings(A6, prefix=in_b("")) == 3
    d.kill()
    sh("ip neigh flush dev v0")
    assert pings(B6, 1) == 0 and pings(B4, 1) == 0
    assert len(re.findall("lladdr", sh("ip neigh show dev v0"))) >= 2
    Driver(name).end()


def strict_rp_filter(name):
    sh("sysctl -q -w net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.v0.rp_filter=1")
    d = open_driver(name, ALL4)
    before = d.received()
    assert pings(B4) == 3 and pings(A4, prefix=in_b("")) == 3
    assert d.received() - before == 12
    d.end()


def steer_without_gap(name):
    """What is in the old and in the new set is never passed in between."""
    d = open_driver(name, f"out {A4} {B4}")
    capture = Capture()
    assert pings(B4, 1) == 1
    d.do("hold")
    stop, sent = threading.Event(), [0]

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            while not stop.is_set():
                s.sendto(b"x", (B4, 5001))
                sent[0] += 1
                time.sleep(0.0001)  # the driver gets its share of a loaded machine
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    for i in range(100):
        d.do(f"steer out {A4} {B4} out 10.7.{i % 256}.0/24 10.8.0.0/16" if i % 2 else f"steer out {A4} 10.9.0.0/24")
    while sent[0] < 1500:
        time.sleep(0.01)
    stop.set()
    thread.join()

    def seen():
        return len([f for f in capture.frames() if f[12:14] == b"\x08\x00" and f[23] == 17])
    assert sent[0] > 1000 and d.received() > 1000 and seen() == 0
    d.do("steer")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", (B4, 5001))
    time.sleep(0.1)
    assert seen() == 1, "the detector works"
    d.end()


def mtu_routes(name):
    sh("ip route add 10.20.0.0/16 via 10.9.0.2 src 10.9.0.1 advmss 900; ip route add 10.30.0.0/16 dev lo")
    sh("ip route add fd20::/16 via fd00:9::2; ip route add blackhole 10.40.0.0/16")
    d = open_driver(name)

    def route(dst):
        return sh("ip route get " + dst, check=False)
    d.do(f"mtu {B4} 1400 10.20.1.1 1390 10.30.0.1 1300 10.40.0.1 1300 {B6} 1200 fd20::7 1380 fe80::1 1300 224.0.0.9 1300")
    assert "mtu 1400" in route(B4)
    assert "mtu 1390" in route("10.20.1.1") and "via 10.9.0.2" in route("10.20.1.1")
    assert "advmss 900" in route("10.20.1.1") and "mtu" not in route("10.20.1.2")
    assert "mtu 1280" in route(B6), "IPv6 has no less"
    assert "mtu 1380" in route("fd20::7") and "via fd00:9::2" in route("fd20::7")
    table = sh("ip route show table 21328") + sh("ip -6 route show table 21328")
    assert len(table.splitlines()) == 4, table
    assert "mtu" not in sh("ip route show table main") + sh("ip -6 route show table main").replace("1280", "")
    # The same again changes nothing; the host's own change is followed; others go.
    d.do(f"mtu {B4} 1400 10.20.1.1 1390 {B6} 1200 fd20::7 1380")
    assert table == sh("ip route show table 21328") + sh("ip -6 route show table 21328")
    sh("ip route replace 10.20.0.0/16 via 10.9.0.77")
    d.do("mtu 10.20.1.1 1390")
    assert "via 10.9.0.77" in route("10.20.1.1") and "mtu 1390" in route("10.20.1.1")
    assert "mtu" not in route(B4) and "mtu" not in route(B6)
    assert sh("ip rule").count("21328") == 1
    # A user's smaller MTU stays.
    sh("ip route replace 10.20.0.0/16 via 10.9.0.77 mtu 1000")
    d.do("mtu 10.20.1.1 1390")
    assert "mtu 1000" in route("10.20.1.1")
    assert d.do("info")[1] == "1500"
    sh("ip link set v0 mtu 1420")
    d.do("steer")
    assert d.do("info")[1] == "1420"
    d.end()
    assert "21328" not in sh("ip rule") + sh("ip -6 rule")


def two_interfaces(name):
    """Each has its own devices, filters and routes; the rule goes with the last one."""
    before = snapshot()
    sh("ip link add w0 type veth peer name w1 netns B; ip addr add 10.10.0.1/24 dev w0; ip link set w0 up")
    sh("ip -n B addr add 10.10.0.2/24 dev w1; ip -n B link set w1 up")
    time.sleep(2)
    middle = snapshot()
    first = open_driver(name, ALL4)
    second = Driver(name, "w0", "/run/journal2")
    second.do("steer " + ALL4)
    first.do(f"mtu {B4} 1400 10.10.0.2 1400")
    second.do(f"mtu {B4} 1300 10.10.0.2 1300")
    first.do(f"mtu {B4} 1350")
    assert "mtu 1350" in sh("ip route get " + B4) and "mtu 1300" in sh("ip route get 10.10.0.2")
    assert pings(B4) == 3 and pings("10.10.0.2") == 3
    assert first.received() >= 6 and second.received() >= 6
    first.end()
    assert "21328" in sh("ip rule") and "mtu 1300" in sh("ip route get 10.10.0.2")
    assert pings(B4) == 3 and pings("10.10.0.2") == 3
    second.end()
    assert snapshot() == middle
    sh("ip link del w0")
    assert snapshot()["rules"] == before["rules"]


def mtu_followed(name):
    """Without steer() too, while packets leave."""
    d = open_driver(name, ALL4)
    sh("ip link set v0 mtu 1300; ip link set v0 name w0")
    deadline = time.time() + 5
    while d.do("info")[1] != "1300" and time.time() < deadline:
        pings(B4, 2)
    assert d.do("info")[1] == "1300"
    sh("ip link set w0 name v0")
    d.end()


def tcp(name):
    """100 MB each way with few retransmissions."""
    d = open_driver(name, ALL4 + " " + ALL6)
    size = 100 << 20

    def segments():
        out = []
        for ns in ("", in_b("")):
            rows = [line.split() for line in sh(f"{ns} cat /proc/net/snmp").splitlines() if line.startswith("Tcp:")]
            row = dict(zip(rows[0], rows[1]))
            out.append((int(row["OutSegs"]), int(row["RetransSegs"])))
        return out
    for address, family in ((B4, socket.AF_INET), (B6, socket.AF_INET6)):
        with in_namespace_b():
            listener = socket.create_server((address, 5002), family=family)
        before, begun, got = segments(), time.time(), bytearray(1)

        def serve():
            peer = listener.accept()[0]
            buffer, n = bytearray(1 << 20), 0
            while n < size:
                n += peer.recv_into(buffer)
            got[0] = 1
            sent = 0
            chunk = bytes(1 << 20)
            while sent < size:
                peer.sendall(chunk)
                sent += len(chunk)
            peer.close()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        me = socket.create_connection((address, 5002))
        chunk = bytes(1 << 20)
        for _ in range(size >> 20):
            me.sendall(chunk)
        back = 0
        while back < size:
            back += len(me.recv(1 << 20))
        thread.join()
        took = time.time() - begun
        for (out0, again0), (out1, again1) in zip(before, segments()):
            print(f"{address}: {out1 - out0} segments, {again1 - again0} again, {16 * (size >> 20) / took / 1000:.2f} Gbit/s")
            assert (again1 - again0) * 100 < out1 - out0
    print(d.do("stats"))
    d.end()


def vlan(name):
    """Tagged packets are steered too, and keep their tags."""
    capture = Capture()
    links = sh("ip -o link show v0"), sh("ip -n B -o link show v1")
    a, b = (bytes.fromhex(re.search("ether ([0-9a-f:]+)", link).group(1).replace(":", "")) for link in links)

    def frame(dst, src, tags, source, target):
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 253, 0, socket.inet_aton(source),
                         socket.inet_aton(target))
        return dst + src + tags + b"\x08\x00" + ip + bytes(20)

    def send(interface, data):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
            s.bind((interface, 0))
            s.send(data)
    d = open_driver(name, f"out {A4} {B4} in {B4} {A4}")
    for tags in (b"", bytes.fromhex("81000007"), bytes.fromhex("88a8000981000007")):
        before = d.received()
        capture.frames()
        send("v0", frame(b, a, tags, A4, B4))
        time.sleep(0.1)
        assert d.received() - before == 1, (tags, d.log())
        # The kernel takes one tag off a frame before a packet socket sees it.
        assert frame(b, a, tags[4:], A4, B4) in capture.frames(), tags
        with in_namespace_b():
            send("v1", frame(a, b, tags, B4, A4))
        time.sleep(0.1)
        assert d.received() - before == 2, tags
    d.kill()
    # A redirection to a dead device may also be told to the sender.
    with contextlib.suppress(OSError):
        send("v0", frame(b, a, bytes.fromhex("81000007"), A4, B4))
    time.sleep(0.1)
    assert not any(f.endswith(frame(b"", b"", b"", A4, B4)) for f in capture.frames())
    Driver(name).end()


def other_variant(name):
    """A daemon of one variant takes over from a killed one of the other."""
    other = "tc-cbpf" if name == "tc-ebpf" else "tc-ebpf"
    before = snapshot()
    open_driver(other, ALL4 + " " + ALL6).kill()
    d = open_driver(name)
    assert d.do("info")[0] == "1" and pings(B4, 1) == 0
    d.do(f"steer {ALL4} {ALL6}")
    assert pings(B4) == 3 and pings(B6) == 3
    d.end()
    assert snapshot() == before


def refused(name):
    """One line that says what is wrong and what to do; and nothing is left behind."""
    before = snapshot()

    def fails(error, words, interface="v0", journal=JOURNAL, wrapper=()):
        d = Driver(name, interface, journal, wrapper)
        assert d.opened == f"error {error}", d.opened + d.log()
        d.process.wait()
        for word in words:
            assert word in d.log(), d.log()
        assert len(d.log().splitlines()) <= 2, d.log()

    fails(19, ["no interface v7", " v0"], "v7")
    fails(19, ["no interface"], "a-name-that-is-too-long-to-be-one")
    fails(22, ["lo is the loopback"], "lo")
    sh("ip tuntap add dev t0 mode tun")
    fails(22, ["t0 is not an Ethernet"], "t0")
    sh("ip link del t0")
    fails(2, ["cannot open the journal /no/such"], journal="/no/such/journal")
    for cap in ("net_raw", "net_admin"):
        drop = f"setpriv --ambient-caps -{cap} --inh-caps -{cap} --bounding-set -{cap}"
        fails(1, ["CAP_" + cap.upper(), "run as root"], wrapper=drop.split())
    sh("mkdir /run/empty && mount --bind /run/empty /dev/net")
    fails(2, ["modprobe tun", "--device /dev/net/tun"])
    sh("umount /dev/net")
    assert not os.path.exists(JOURNAL)
    assert snapshot() == before

    d = open_driver(name, ALL4)
    during = snapshot()
    first_log = d.log()
    fails(16, ["another sallyportd holds v0"])
    fails(16, ["another sallyportd holds v0"], journal="/run/another")
    assert not os.path.exists("/run/another")
    assert snapshot() == during and pings(B4) == 3 and first_log
    d.end()
    assert snapshot() == before
    sh("tc qdisc add dev v0 ingress")
    fails(17, ["qdisc of kind ingress"])
    sh("tc qdisc del dev v0 ingress")
    assert snapshot() == before


def new_interface(name):
    """The journal of an interface that is gone does not confuse the next one of its name."""
    open_driver(name, ALL4).kill()
    sh("ip link del v0")
    assert "spo" in sh("ip link")
    sh("ip link add v0 type veth peer name v1 netns B")
    sh(f"ip addr add {A4}/24 dev v0; ip link set v0 up; ip -n B addr add {B4}/24 dev v1; ip -n B link set v1 up")
    old = sh("ip -o link show type tun").split()[1]
    d = Driver(name)
    assert d.opened.startswith("ok") and d.do("info")[0] == "0", d.log()
    assert old not in sh("ip -o link show type tun")
    d.do("steer " + ALL4)
    assert pings(B4) == 3
    sh("ip link del v0")
    assert d.ask("steer " + ALL4) == "error 19" and "gone" in d.log()
    d.end()
    assert "spo" not in sh("ip link") and not os.path.exists(JOURNAL)


SCENARIOS = [both_ways, many_selectors, protected_protocols, killed, undone, others_filters, discovery,
             strict_rp_filter, steer_without_gap, mtu_routes, two_interfaces, mtu_followed, tcp, vlan, other_variant, refused,
             new_interface]


def start(scenario, variant):
    own = "-nmpf" if os.geteuid() == 0 else "-Unmpf --map-current-user --keep-caps"
    command = ["unshare", *own.split(), "--mount-proc", "--kill-child", "--", sys.executable,
               os.path.abspath(__file__), scenario, variant]
    return subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180)


def main(scenario, variant):
    connect_hosts()
    next(s for s in SCENARIOS if s.__name__ == scenario)(variant)


if __name__ == "__main__":
    main(*sys.argv[1:])
else:
    import pytest

    @pytest.mark.parametrize("variant", ["tc-ebpf", "tc-cbpf"])
    @pytest.mark.parametrize("scenario", [s.__name__ for s in SCENARIOS])
    def test_io(scenario, variant):
        done = start(scenario, variant)
        print(done.stdout)
        if done.returncode == NOT_PERMITTED:
            pytest.skip("eBPF is not permitted here: " + done.stdout.strip().splitlines()[-1])
        assert done.returncode == 0, done.stdout
