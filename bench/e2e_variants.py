# SPDX-License-Identifier: BSD-2-Clause
"""The ways between two hosts that bench/e2e measures, each with hosts of its own.

    a (first core)  w0 10.9.0.1 --- 10.9.0.2 w0  b (second core)

What runs on a host is pinned to its core: applications, and the forwarder, which is the
program that takes the host's packets, changes them and sends them. A variant is set up
once and stays; it takes no processor's time while it is not its turn.
"""

import ctypes
import dataclasses
import fcntl
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import time

CLONE_NEWNET = 0x40000000
SIDES = "a", "b"
WIRE = {"a": "10.9.0.1", "b": "10.9.0.2"}
INNER = {"a": "10.9.1.1", "b": "10.9.1.2"}  # of tunnels that have addresses of their own
IPERF_PORT = 5201
SLICE_S = 0.5
SECRET = "nobody but this benchmark knows it"


class Missing(Exception):
    """Why a peer cannot run on this machine."""


class Failed(Exception):
    """What went wrong with a variant that should run."""


def other(side):
    return "b" if side == "a" else "a"


def needs(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Missing(f"no {program} here; contrib/prepare-host bench installs it")


def wait_until(true, seconds, what):
    deadline = time.monotonic() + seconds
    while not (value := true()):
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.02)
    return value


def cpu_of(pid):
    """Seconds of the processor that a process has had (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def memory_mb(pid):
    """What is resident of a process, its own and its libraries'."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024 / 1e6


def wake_ups(pid):
    """How often the threads of a process have waited for something, and gone on."""
    return sum(int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", path.read_text(encoding="ascii"))[1])
               for path in pathlib.Path(f"/proc/{pid}/task").glob("*/status"))


class Inside:
    """This thread in a network namespace; sockets opened there stay there."""

    def __init__(self, namespace):
        self.path = f"/run/netns/{namespace}"
        self.libc = ctypes.CDLL(None, use_errno=True)

    def __enter__(self):
        self.home = open("/proc/self/ns/net", encoding="ascii")
        with open(self.path, encoding="ascii") as there:
            self.enter(there)

    def __exit__(self, *_):
        self.enter(self.home)
        self.home.close()

    def enter(self, namespace):
        if self.libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


class Hosts:
    """Two hosts, the wire between them, and what was started there."""

    def __init__(self, name, folder, cores):
        self.folder, self.cores = folder / name, cores
        self.folder.mkdir()
        self.ns = {side: f"{name}-{side}" for side in SIDES}
        self.processes = []
        for side in SIDES:
            self.command("ip", "netns", "add", self.ns[side])
            # or they look for routers by themselves: an idle host is to be idle
            self.run(side, "sh", "-c", "for conf in all default; do echo 1 >/proc/sys/net/ipv6/conf/$conf/disable_ipv6; done")
        self.command("ip", "link", "add", "w0", "netns", self.ns["a"], "type", "veth",
                     "peer", "name", "w0", "netns", self.ns["b"])
        for side in SIDES:
            self.run(side, "ip", "link", "set", "lo", "up")
            self.run(side, "ip", "address", "add", f"{WIRE[side]}/24", "dev", "w0")
            self.run(side, "ip", "link", "set", "w0", "up")

    @staticmethod
    def command(*command, **kwargs):
        result = subprocess.run(list(map(str, command)), text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, check=False, timeout=30,
                                stdin=None if "input" in kwargs else subprocess.DEVNULL, **kwargs)
        if result.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))}: {result.stdout[-2000:]}")
        return result.stdout

    def on(self, side, *command):
        return ["taskset", "-c", str(self.cores[side]), "ip", "netns", "exec", self.ns[side],
                *map(str, command)]

    def run(self, side, *command, **kwargs):
        return self.command(*self.on(side, *command), **kwargs)

    def log(self, side, program):
        return self.folder / f"{program}-{side}.log"

    def start(self, side, program, *command, env=None):
        """A process that stays until stop(), its output in a file."""
        with self.log(side, program).open("wb") as log:
            # taskset and ip become the program: the process is the program itself
            process = subprocess.Popen(self.on(side, *command), stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        self.processes.append(process)
        return process

    def say(self, side, program):
        return self.log(side, program).read_text(errors="replace")[-2000:]

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for side in SIDES:
            subprocess.run(["ip", "netns", "del", self.ns[side]], stderr=subprocess.DEVNULL, check=False)

    def links(self, side):
        """The devices of a host as `ip` tells them, with their counters."""
        return json.loads(self.run(side, "ip", "-d", "-s", "-j", "link"))

    def through_devices(self, side, direction):
        """Bytes that programs took ("tx") from a host's TUN and TAP devices, or gave it ("rx")."""
        return sum(link["stats64"][direction]["bytes"] for link in self.links(side)
                   if link.get("linkinfo", {}).get("info_kind") == "tun")


@dataclasses.dataclass
class Variant:
    """A way between the hosts. `carrier` is what its packets are on the wire."""

    name: str
    words: str
    ours: bool = False
    carrier: tuple = None      # IP protocol, and UDP port or None; None: it is in clear
    sealed: bool = True        # whether nobody on the wire can read what a packet carries
    copier: str = None         # the variant of the same I/O
    goals: bool = False        # whether what is asked of Sallyport is asked of this variant
    address: dict = dataclasses.field(default_factory=lambda: WIRE)  # of the hosts' applications
    hosts: Hosts = None
    forwarders: list = dataclasses.field(default_factory=list)

    def set_up(self, folder, cores):
        self.hosts = Hosts(self.name, folder, cores)
        self.open()
        for side in SIDES:
            self.hosts.start(side, "iperf3", "iperf3", "-s", "-J", "-i", SLICE_S, "-p", IPERF_PORT,
                             "-B", self.address[side])
        for side in SIDES:
            wait_until(lambda side=side: self.listens(side), 5, f"{self.name}: iperf3 of {side} listens")

    def listens(self, side):
        with Inside(self.hosts.ns[side]):
            sockets = pathlib.Path("/proc/thread-self/net/tcp").read_text(encoding="ascii")
        return f":{IPERF_PORT:04X} 00000000:0000 0A" in sockets

    def open(self):
        """Starts the forwarders."""

    def protect(self):
        """Has them protect what goes between the hosts, where they do not from the start."""

    def stop(self):
        if self.hosts:
            self.hosts.stop()

    def cpu_s(self):
        for process in self.forwarders:
            if process.poll() is not None:
                raise Failed(f"{self.name}: {process.args[-1]} ended with {process.returncode}")
        return sum(cpu_of(process.pid) for process in self.forwarders)

    def forward(self, side, program, *command, env=None):
        self.forwarders.append(self.hosts.start(side, program, *command, env=env))
        return self.forwarders[-1]


# ------------------------------------------------------------------------------- in clear

ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO = 0x1F, 0x24, 0x2C
SIOCETHTOOL = 0x8946


class Plain(Variant):
    """The wire alone; without offloads where the kernel is to cut and join no superpackets."""

    offloads = True

    def open(self):
        for side in SIDES if not self.offloads else ():
            with Inside(self.hosts.ns[side]), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                for what in ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO:
                    value = ctypes.create_string_buffer(struct.pack("II", what, 0))
                    fcntl.ioctl(s, SIOCETHTOOL, struct.pack("16sP", b"w0", ctypes.addressof(value)))


class PlainNoOffloads(Plain):
    offloads = False


# ---------------------------------------------------------------------- our daemon, the copier

@dataclasses.dataclass
class Ours(Variant):
    """sallyportd, or the copier in its place, under policies of the setkey language."""

    build: pathlib.Path = None
    program: str = "sallyportd"
    mode: str = "transport"
    udp: bool = False

    def open(self):
        for side in SIDES:
            self.forward(side, "daemon", self.build / self.program, "-f", "-i", "w0", "-s", self.socket(side),
                         *(["--udp-gso"] if self.udp else []))
        for side in SIDES:
            wait_until(lambda side=side: self.socket(side).exists(), 10, f"{self.name}: the daemon of {side} serves")

    def socket(self, side):
        return self.hosts.folder / f"socket-{side}"

    def sas(self):
        a, b = WIRE["a"], WIRE["b"]
        port, proto = ("[4500]", "esp-udp") if self.udp else ("", "esp")
        for i, (src, dst) in enumerate([(a, b), (b, a)]):
            yield (f"add {src}{port} {dst}{port} {proto} {0x1001 + i:#x} -m {self.mode} "
                   f"-E aes-gcm-16 0x{'5a' * 15}{i:02x}{'c3' * 4};\n")

    def policies(self, side):
        near, far = WIRE[side], WIRE[other(side)]
        for src, dst, way in (near, far, "out"), (far, near, "in"):
            ends = f"{src}-{dst}" if self.mode == "tunnel" else ""
            yield f"spdadd {src} {dst} any -P {way} ipsec esp/{self.mode}/{ends}/require;\n"

    def protect(self):
        for side in SIDES:
            self.setkey(side, "".join([*self.sas(), *self.policies(side)]))
        # routes' MTUs follow policies a moment later
        time.sleep(0.1)

    def setkey(self, side, text):
        self.hosts.run(side, self.build / "setkey", "-c", input=text,
                       env={**os.environ, "SALLYPORT_SOCKET": str(self.socket(side))})


# ----------------------------------------------------------------------------------- peers

class Libipsec(Variant):
    """strongSwan's IPsec in user space: ESP in UDP, a TUN device, one packet a system call."""

    PLUGINS = "random nonce openssl kdf kernel-libipsec kernel-netlink socket-default vici updown"

    def open(self):
        needs("charon-systemd", "swanctl")
        for side in SIDES:
            self.hosts.run(side, "ip", "address", "add", f"{INNER[side]}/32", "dev", "lo")
            self.start_charon(side)
        for side in SIDES:
            wait_until(lambda side=side: self.vici(side).exists(), 10, f"{self.name}: charon of {side} serves")
            self.swanctl(side, "--load-all", "--file", self.hosts.folder / f"swanctl-{side}.conf")
        if "successfully" not in (said := self.swanctl("a", "--initiate", "--child", "net")):
            raise Failed(f"{self.name}: {said}")

    def vici(self, side):
        return self.hosts.folder / f"vici-{side}"

    def swanctl(self, side, *command):
        return self.hosts.run(side, "swanctl", *command, "--uri", f"unix://{self.vici(side)}")

    def start_charon(self, side):
        folder, conf = self.hosts.folder, self.hosts.folder / f"strongswan-{side}.conf"
        near, far = side, other(side)
        run = folder / f"run-{side}"
        run.mkdir()
        conf.write_text(f"""
            charon-systemd {{
                load = {self.PLUGINS}
                plugins {{
                    vici {{ socket = unix://{self.vici(side)} }}
                }}
                journal {{ default = -1 }}
                syslog {{ daemon {{ default = -1 }} }}
                filelog {{ log {{ path = {folder}/charon-{side}.log }} }}
            }}""")
        (folder / f"swanctl-{side}.conf").write_text(f"""
            connections {{ peer {{
                version = 2
                local_addrs = {WIRE[near]}
                remote_addrs = {WIRE[far]}
                proposals = aes128-sha256-ecp256
                local {{ auth = psk
                    id = {near}.bench }}
                remote {{ auth = psk
                    id = {far}.bench }}
                children {{ net {{
                    local_ts = {INNER[near]}/32
                    remote_ts = {INNER[far]}/32
                    esp_proposals = aes128gcm16
                }} }}
            }} }}
            secrets {{ ike {{
                secret = "{SECRET}"
            }} }}""")
        # charon keeps files in /run, under names that the other one has, too
        self.forward(side, "charon", "unshare", "-m", "sh", "-c",
                     f"mount --bind {run} /run && exec charon-systemd",
                     env={"STRONGSWAN_CONF": str(conf)})


class WireguardGo(Variant):
    """wireguard-go: ChaCha20-Poly1305 in UDP, a TUN device, one packet a system call."""

    PORT = 51820

    def open(self):
        needs("wireguard-go", "wg")
        keys = {side: self.hosts.command("wg", "genkey").strip() for side in SIDES}
        for side in SIDES:
            self.forward(side, "wireguard-go", "wireguard-go", "-f", self.device(side))
        for side in SIDES:
            path = pathlib.Path(f"/run/wireguard/{self.device(side)}.sock")
            wait_until(path.exists, 10, f"{self.name}: wireguard-go of {side} serves")
        for side in SIDES:
            public = self.hosts.command("wg", "pubkey", input=keys[other(side)]).strip()
            private = self.hosts.folder / f"key-{side}"
            private.write_text(keys[side])
            self.hosts.run(side, "wg", "set", self.device(side), "private-key", private, "listen-port", self.PORT,
                           "peer", public, "endpoint", f"{WIRE[other(side)]}:{self.PORT}",
                           "allowed-ips", f"{INNER[other(side)]}/32")
            self.hosts.run(side, "ip", "address", "add", f"{INNER[side]}/24", "dev", self.device(side))
            self.hosts.run(side, "ip", "link", "set", self.device(side), "up")

    @staticmethod
    def device(side):
        return f"wg{side}"


ESP, ESP_IN_UDP, WIREGUARD = (50, None), (17, 4500), (17, WireguardGo.PORT)


def variants(build):
    """All of them, peers beside each other."""
    return [
        Plain("veth", "the wire alone", sealed=False),
        PlainNoOffloads("veth-plain", "the wire alone, without TSO, GSO and GRO", sealed=False),
        Libipsec("libipsec", "strongSwan's kernel-libipsec", carrier=ESP_IN_UDP, address=INNER),
        WireguardGo("wireguard-go", "wireguard-go", carrier=WIREGUARD, address=INNER),
        Ours("copier", "sallyportd's I/O without IPsec", ours=True, carrier=ESP, sealed=False, build=build,
             program="bench/copier"),
        Ours("transport", "Sallyport, transport mode", ours=True, carrier=ESP, copier="copier", goals=True, build=build),
        Ours("tunnel", "Sallyport, tunnel mode", ours=True, carrier=ESP, copier="copier", build=build, mode="tunnel"),
        Ours("copier-udp", "the copier in UDP", ours=True, carrier=ESP_IN_UDP, sealed=False, build=build,
             program="bench/copier-udp", udp=True),
        Ours("udp", "Sallyport, tunnel mode in UDP, which is what libipsec does", ours=True, carrier=ESP_IN_UDP,
             copier="copier-udp", goals=True, build=build, mode="tunnel", udp=True),
    ]
