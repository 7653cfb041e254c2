# SPDX-License-Identifier: BSD-2-Clause
"""Hosts in network namespaces, the daemons on them, and what passes between.

Lab is the article's network (examples/article/hosts): phoenix and cardinal, both with
our daemon, and the router that sees what they send. Wire is phoenix alone, and at the
other end of its cable nobody but the test: an interface without addresses, so that no
kernel answers in the test's place.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build-asan"))
BUILD_PLAIN = pathlib.Path(os.environ.get("BUILD_PLAIN", ROOT / "build"))
WORKERS = os.environ.get("WORKERS")  # of every daemon that is not told otherwise
ARTICLE = ROOT / "examples/article"

ADDRESS = {
    "phoenix": {4: "192.0.2.10", 6: "2001:db8:1::10"},
    "cardinal": {4: "198.51.100.10", 6: "2001:db8:2::10"},
    "router": {4: "192.0.2.1", 6: "2001:db8:1::1"},
}

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
ETHERTYPE = {4: 0x0800, 6: 0x86DD}
PROTO_ESP, PROTO_AH, PROTO_FRAGMENT = 50, 51, 44

SANITIZER = re.compile(r"(?:ERROR|WARNING): \w+Sanitizer|runtime error:")
COUNTER = re.compile(r"(?:^|\s)([a-z]+\.[a-z0-9-]+) (\d+)$", re.MULTILINE)


def needs(program, package, prepared="check"):
    """Where the program is. Without it the test is skipped, and says what would help."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not found:
        pytest.skip(f"no {program}: the package {package}, which contrib/prepare-host {prepared} installs")
    return found


def wait_until(true, seconds=5.0, what="it"):
    """Polls until true() is, and hands back what it was."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.01)
    return value


@contextlib.contextmanager
def inside(namespace):
    """This thread in a namespace of `ip netns`; sockets opened there stay there."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as home, open(f"/run/netns/{namespace}") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
        try:
            yield
        finally:
            if libc.setns(home.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns home")


class Daemon:
    """A sallyportd in the foreground, and its log."""

    def __init__(self, lab, host, arguments, build, log):
        self.lab, self.host, self.log = lab, host, log
        if WORKERS and "--workers" not in arguments:
            arguments = (*arguments, "--workers", WORKERS)
        # ip netns exec becomes the program: the process is the daemon itself.
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", host, str(build / "sallyportd"), "-f", *arguments],
            stdin=subprocess.DEVNULL, stdout=log.open("ab"), stderr=subprocess.STDOUT,
            # whoever runs the tests by nohup has it ignored, and the daemon goes by that
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"sallyportd on {self.host} ended at once:\n{self.text()}")
            return self.lab.setkey(self.host, "-D", check=False).returncode == 0
        wait_until(ready, 10, f"sallyportd on {self.host} answers")
        return self

    def counters(self):
        """What SIGUSR1 makes it write; a counter that it does not name is 0."""
        seen = len(self.text())
        self.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: COUNTER.search(self.text(), seen), 5, f"counters of {self.host}")
        size = 0
        while size != len(self.text()):  # the lines come in one go; wait until they stop
            size = len(self.text())
            time.sleep(0.03)
        return Counters({name: int(value) for name, value in COUNTER.findall(self.text()[seen:])})

    def kill(self):
        """As a crash would: nothing is undone."""
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        """A clean stop, with everything undone and nothing leaked."""
        self.process.terminate()
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"sallyportd on {self.host} does not stop:\n{self.text()}") from None
        assert status == 0, f"sallyportd on {self.host} ended with {status}:\n{self.text()}"
        self.check_log()

    def check_log(self):
        assert not SANITIZER.search(self.text()), self.text()


class Counters(dict):
    def __missing__(self, name):
        return 0

    def since(self, before, name):
        return self[name] - before[name]


class Hosts:
    """Namespaces, with everything that was started in them."""

    names = ()

    def __init__(self):
        self.daemons, self.captures = [], []
        self.tmp = tempfile.TemporaryDirectory(prefix="sallyport-")
        self.dir = pathlib.Path(self.tmp.name)

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        trouble = []
        for part in self.captures + self.daemons:
            if part.process.poll() is None:
                part.kill()
        for daemon in self.daemons:
            try:
                daemon.check_log()
            except AssertionError as error:
                trouble.append(str(error))
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)
        # A namespace's inode may come again: the next lab is not to find this one's journals.
        shutil.rmtree("/run/sallyport", ignore_errors=True)
        self.tmp.cleanup()
        assert not trouble, "\n".join(trouble)

    def up(self):
        raise NotImplementedError

    def run(self, host, *command, check=True, timeout=60, **kwargs):
        if "input" not in kwargs:
            kwargs["stdin"] = subprocess.DEVNULL
        result = subprocess.run(["ip", "netns", "exec", host, *map(str, command)], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                                check=False, **kwargs)
        assert not check or result.returncode == 0, (
            f"{host}# {' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
        return result

    def spawn(self, host, *command, **kwargs):
        return subprocess.Popen(["ip", "netns", "exec", host, *map(str, command)], text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, **kwargs)

    def daemon(self, host, *arguments, interface="eth0", build=BUILD, ready=True):
        """Without an interface it serves the databases alone."""
        if interface:
            arguments = ("-i", interface, *map(str, arguments))
        log = self.dir / f"{host}-{len(self.daemons)}.log"
        daemon = Daemon(self, host, arguments, build, log)
        self.daemons.append(daemon)
        return daemon.wait_ready() if ready else daemon

    def setkey(self, host, *arguments, check=True, build=BUILD, **kwargs):
        result = self.run(host, build / "setkey", *arguments, check=check, **kwargs)
        assert not SANITIZER.search(result.stderr), result.stderr
        return result

    def sallyport(self, host, *arguments, check=True, build=BUILD, **kwargs):
        result = self.run(host, build / "sallyport", *arguments, check=check, **kwargs)
        assert not SANITIZER.search(result.stderr), result.stderr
        return result

    def sysctl(self, host, *arguments):
        """Sets tunables, or answers what they are."""
        return self.sallyport(host, "sysctl", *arguments).stdout

    def stats(self, host, *groups):
        """The daemon's counters as `sallyport stats -j` has them."""
        return json.loads(self.sallyport(host, "stats", "-j", *groups).stdout)

    def load(self, host, text):
        """Commands of the setkey language."""
        return self.setkey(host, "-c", input=text)

    def dumps(self, host):
        """What the databases hold, without what time and asking change."""
        text = self.setkey(host, "-D").stdout + self.setkey(host, "-DP").stdout
        return re.sub(r"(created|current|diff|last):.*|pid=\d+", "", text)

    def ping(self, host, address, *options, check=False):
        options = options or ("-c", "3", "-i", "0.2", "-W", "1")
        return self.run(host, "ping", "-n", *options, address, check=check)

    def pings(self, host, address, *options):
        """Whether echo requests are answered, all of them."""
        return " 0% packet loss" in self.ping(host, address, *options).stdout

    def mute(self, host, address):
        """Whether no echo request is answered."""
        return "100% packet loss" in self.ping(host, address, "-c", "2", "-i", "0.2", "-W", "1").stdout

    def state(self, host):
        """What the kernel has been told on a host: a daemon must leave it as it was."""
        # Addresses and routes of IPv6 appear by themselves a while after a link goes up.
        commands = [["ip", "-o", "link"], ["ip", "-4", "rule"], ["ip", "-6", "rule"],
                    ["ip", "-4", "route", "show", "table", "all"],
                    ["tc", "qdisc", "show"], ["tc", "filter", "show", "dev", "eth0", "ingress"],
                    ["tc", "filter", "show", "dev", "eth0", "egress"]]
        return {" ".join(command): self.run(host, *command, check=False).stdout for command in commands}

    def settled_state(self, host):
        """The state when nothing changes it any more: routes may follow policies a moment later."""
        state = self.state(host)
        while True:
            time.sleep(0.3)
            before, state = state, self.state(host)
            if state == before:
                return state

    def capture(self, host, interface, expression="", options=()):
        capture = Capture(self, host, interface, expression, options)
        self.captures.append(capture)
        return capture


class Lab(Hosts):
    names = ("phoenix", "router", "cardinal")

    def up(self):
        subprocess.run([ARTICLE / "hosts", "down"], check=True)
        subprocess.run([ARTICLE / "hosts", "up"], check=True)

    def article(self, suffix=""):
        """Daemons on both hosts, with the article's files, or with those that require."""
        daemons = {host: self.daemon(host) for host in ("phoenix", "cardinal")}
        for host in daemons:
            self.setkey(host, "-f", ARTICLE / f"{host}{suffix}.conf")
        return daemons

    def router_capture(self):
        return self.capture("router", "west")


class Capture:
    """tcpdump into a file; its packets are read back by read_pcap()."""

    def __init__(self, lab, host, interface, expression="", options=()):
        self.path = lab.dir / f"capture-{len(lab.captures)}.pcap"
        # -Z root: it would leave root for a user of its own, who may write nothing here.
        self.process = lab.spawn(host, "tcpdump", "-Z", "root", "-n", "-U", "--immediate-mode",
                                 "-B", "8192", "-i", interface, "-w", self.path, *options,
                                 *([expression] if expression else []))
        said = ""
        while "listening on" not in said:
            line = self.process.stdout.readline()
            assert line, f"tcpdump on {host} {interface}: {said}"
            said += line

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def packets_now(self):
        """[Packet] as far as they are written."""
        return [Packet(frame) for frame in read_pcap(self.path.read_bytes()) if is_ip(frame)]

    def packets(self):
        """[Packet] when no more come: what is under way has arrived."""
        size = -1
        while size != self.path.stat().st_size:
            size = self.path.stat().st_size
            time.sleep(0.15)
        return self.packets_now()

    def text(self, *options):
        """As tcpdump shows it."""
        self.packets()
        return subprocess.run(["tcpdump", "-n", *options, "-r", self.path], text=True, check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def read_pcap(data):
    """The frames of a pcap file; a last one still being written is left out."""
    order = {0xA1B2C3D4: "<", 0xD4C3B2A1: ">"}[struct.unpack("<I", data[:4])[0]]
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack(order + "I", data[at + 8:at + 12])[0]
        if at + 16 + length > len(data):
            return
        yield data[at + 16:at + 16 + length]
        at += 16 + length


def is_ip(frame):
    return len(frame) > 14 and int.from_bytes(frame[12:14], "big") in ETHERTYPE.values()


class Packet:
    """An Ethernet frame with IP in it, as far as these tests care."""

    def __init__(self, frame):
        self.frame, self.ip = frame, frame[14:]
        self.version = self.ip[0] >> 4
        if self.version == 4:
            self.src, self.dst = (socket.inet_ntop(socket.AF_INET, self.ip[at:at + 4]) for at in (12, 16))
            self.proto, header = self.ip[9], (self.ip[0] & 15) * 4
            self.later_fragment = int.from_bytes(self.ip[6:8], "big") & 0x1FFF != 0
        else:
            self.src, self.dst = (socket.inet_ntop(socket.AF_INET6, self.ip[at:at + 16]) for at in (8, 24))
            self.proto, header = self.ip[6], 40
            self.later_fragment = self.proto == PROTO_FRAGMENT and int.from_bytes(self.ip[42:44], "big") & 0xFFF8 != 0
            if self.proto == PROTO_FRAGMENT:
                self.proto, header = self.ip[40], 48
        self.payload = self.ip[header:]

    @property
    def protected(self):
        return self.proto in (PROTO_ESP, PROTO_AH)

    def layers(self):
        """[(protocol, SPI)] of the AH and ESP that can be read from outside, outermost first."""
        found, proto, rest = [], self.proto, self.payload
        while proto == PROTO_AH:
            found.append((PROTO_AH, int.from_bytes(rest[4:8], "big")))
            proto, rest = rest[0], rest[4 * (rest[1] + 2):]
        if proto == PROTO_ESP:
            found.append((PROTO_ESP, int.from_bytes(rest[:4], "big")))
        return found

    def between(self, one, other):
        return {self.src, self.dst} == {one, other}


def clear_between(packets, version=4):
    """What two hosts said to each other in clear, but for neighbour discovery."""
    ends = ADDRESS["phoenix"][version], ADDRESS["cardinal"][version]
    return [p for p in packets if p.between(*ends) and not p.protected]


def snmp(lab, host, group, name):
    """A counter of the host's kernel."""
    lines = [line.split() for line in lab.run(host, "cat", "/proc/net/snmp").stdout.splitlines()
             if line.startswith(f"{group}:")]
    return int(lines[1][lines[0].index(name)])


class Wire(Hosts):
    """phoenix, and a bare cable to the test, which plays whoever is behind the gateway."""

    names = ("phoenix", "cable")

    def up(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)
            subprocess.run(["ip", "netns", "add", name], check=True)
        self.run("cable", "sh", "-c", "[ ! -d /proc/sys/net/ipv6 ] || "
                 "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
        self.run("phoenix", "sh", "-c", """
            set -e
            echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
            ip link set lo up
            ip link add eth0 type veth peer name end netns cable
            ip address add 192.0.2.10/24 dev eth0
            ip address add 2001:db8:1::10/64 dev eth0 nodad
            ip link set eth0 up""")
        # No ARP, no addresses, no IPv6: that end takes frames and says nothing of its own.
        self.run("cable", "ip", "link", "set", "end", "up", "arp", "off", "multicast", "off")
        self.mac = {"phoenix": self.mac_of("phoenix", "eth0"), "gateway": self.mac_of("cable", "end")}
        self.run("phoenix", "sh", "-c", f"""
            set -e
            for gateway in 192.0.2.1 2001:db8:1::1; do
                ip neighbour add $gateway dev eth0 lladdr {self.mac['gateway']} nud permanent
                ip route add default via $gateway
            done""")
        wait_until(lambda: "state UP" in self.run("phoenix", "ip", "link", "show", "eth0").stdout)
        with inside("cable"):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.socket.bind(("end", 0))
        self.link = (bytes.fromhex(self.mac["phoenix"].replace(":", ""))
                     + bytes.fromhex(self.mac["gateway"].replace(":", "")))

    def __exit__(self, *args):
        self.socket.close()
        super().__exit__(*args)

    def mac_of(self, host, interface):
        return re.search(r"link/ether (\S+)", self.run(host, "ip", "-o", "link", "show", interface).stdout)[1]

    def send(self, datagram):
        """An IP datagram, as bytes, arrives at phoenix."""
        datagram = bytes(datagram)
        self.socket.send(self.link + ETHERTYPE[datagram[0] >> 4].to_bytes(2, "big") + datagram)

    def receive(self, wanted=lambda packet: True, seconds=2.0):
        """The next packet of phoenix's that is wanted, or None."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.socket], [], [], left)[0]:
                return None
            frame, (_, _, kind, *_) = self.socket.recvfrom(65536)
            if kind == socket.PACKET_OUTGOING or not is_ip(frame):
                continue
            packet = Packet(frame)
            if packet.src in ADDRESS["phoenix"].values() and wanted(packet):
                return packet
        return None

    def drain(self):
        """Forgets what has arrived until now."""
        while self.receive(seconds=0.05):
            pass
