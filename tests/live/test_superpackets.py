# SPDX-License-Identifier: BSD-2-Clause
"""Superpackets: many segments in one packet, from the kernel and to it.

Everything that was sent must arrive, whatever was joined and cut on the way; and what a
wire sees must be packets of its own size with checksums that are right.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import random
import re
import socket
import struct
import threading

import pytest

from lab import ADDRESS, PROTO_ESP, inside

PHOENIX, CARDINAL = ADDRESS["phoenix"], ADDRESS["cardinal"]
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
BYTES = random.Random(5).randbytes(4_000_000)
KEYS = '-E aes-gcm-16 "01234567890123456789"', '-E aes-gcm-16 "98765432109876543210"'
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17
UDP_SEGMENT = 103
MTU = 1500


def protect(version, udp=False, mode="transport", proto="any"):
    """text(host): what is of a protocol is protected."""
    here, there = PHOENIX[version], CARDINAL[version]

    def ends(a, b):
        return f"{a}[4500] {b}[4500] esp-udp" if udp else f"{a} {b} esp"

    def tunnel(a, b):
        return f"esp/tunnel/{a}-{b}/require" if mode == "tunnel" else "esp/transport//require"

    def text(host):
        out, into = ("out", "in") if host == "phoenix" else ("in", "out")
        return f"""flush; spdflush;
            add {ends(here, there)} 0x1001 {KEYS[0]};
            add {ends(there, here)} 0x1002 {KEYS[1]};
            spdadd {here} {there} {proto} -P {out} ipsec {tunnel(here, there)};
            spdadd {there} {here} {proto} -P {into} ipsec {tunnel(there, here)};"""
    return text


def start(lab, text, *options):
    for host in ("phoenix", "cardinal"):
        lab.daemon(host, *options)
        lab.load(host, text(host))


def count(lab, host, name):
    return lab.stats(host)["interface"]["eth0"][name]


def plain_device(lab, host):
    """A device that completes no checksums, and so cuts nothing either."""
    with inside(host), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        value = ctypes.create_string_buffer(struct.pack("=II", ETHTOOL_STXCSUM, 0))
        request = struct.pack("16sP16x", b"eth0", ctypes.addressof(value))
        fcntl.ioctl(s, SIOCETHTOOL, request)


def send_bytes(lab, version, there=None):
    """BYTES from phoenix to cardinal by TCP: whether they arrive."""
    there = there or CARDINAL[version]
    digest = []
    with inside("cardinal"):
        listener = socket.create_server((there, 5001), family=FAMILY[version])
    listener.settimeout(40)

    def take():
        connection, _ = listener.accept()
        connection.settimeout(40)
        seen = hashlib.sha256()
        with connection, contextlib.suppress(TimeoutError):
            while data := connection.recv(1 << 20):
                seen.update(data)
        digest.append(seen.digest())

    taker = threading.Thread(target=take)
    taker.start()
    with inside("phoenix"):
        sender = socket.socket(FAMILY[version], socket.SOCK_STREAM)
    with sender, listener:
        sender.settimeout(40)
        sender.connect((there, 5001))
        sender.sendall(BYTES)
        sender.shutdown(socket.SHUT_WR)
        taker.join(60)
    return digest == [hashlib.sha256(BYTES).digest()]


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def sums_right(packet):
    """IP's and TCP's or UDP's checksum, added up here."""
    if packet.version == 4:
        header = (packet.ip[0] & 15) * 4
        if checksum(packet.ip[:header]) != 0xFFFF:
            return False
        addresses = packet.ip[12:20]
    else:
        addresses = packet.ip[8:40]
    return checksum(addresses + struct.pack("!HH", packet.proto, len(packet.payload)) + packet.payload) == 0xFFFF


@pytest.mark.steering
@pytest.mark.parametrize("mode", ["transport", "tunnel"])
@pytest.mark.parametrize("version", [4, 6])
def test_tcp(lab, version, mode):
    start(lab, protect(version, mode=mode))
    capture = lab.router_capture()
    assert send_bytes(lab, version)
    assert count(lab, "phoenix", "rx-superpackets") > 0
    assert count(lab, "cardinal", "tx-superpackets") > 0
    assert count(lab, "phoenix", "rx-dropped") == count(lab, "cardinal", "tx-dropped") == 0
    there = [p for p in capture.packets() if p.src == PHOENIX[version] and p.dst == CARDINAL[version]]
    assert {p.proto for p in there} == {PROTO_ESP}
    assert max(len(p.ip) for p in there) <= MTU
    # what is read in one piece is far less than what is protected
    assert count(lab, "phoenix", "rx") < lab.stats("phoenix")["out"]["protected"] / 2


@pytest.mark.steering
@pytest.mark.parametrize("plain", [False, True], ids=["superpackets", "packets"])
def test_esp_in_udp(lab, plain):
    """To a device that takes them; to one that does not, each for itself."""
    if plain:
        plain_device(lab, "phoenix")
    start(lab, protect(4, udp=True), "--udp-gso")
    capture = lab.router_capture()
    assert send_bytes(lab, 4)
    there = [p for p in capture.packets() if p.src == PHOENIX[4] and p.proto == socket.IPPROTO_UDP]
    longest = max(len(p.ip) for p in there)
    assert (count(lab, "phoenix", "tx-superpackets") > 0) is not plain
    assert (longest <= MTU) is plain
    assert lab.stats("cardinal")["in"]["opened"] > len(BYTES) / 1500


@pytest.mark.steering
@pytest.mark.parametrize("version", [4, 6])
def test_clear(lab, version):
    """What no policy covers leaves as it came; a wire sees segments with the right checksums."""
    plain_device(lab, "phoenix")
    start(lab, protect(version, proto="udp"))
    capture = lab.router_capture()
    assert send_bytes(lab, version)
    there = [p for p in capture.packets() if p.src == PHOENIX[version] and p.proto == socket.IPPROTO_TCP]
    assert sum(len(p.ip) > MTU / 2 for p in there) > 500  # tcpdump may miss some
    assert max(len(p.ip) for p in there) <= MTU
    assert all(sums_right(p) for p in there)
    assert count(lab, "phoenix", "rx-superpackets") > 0


@pytest.mark.steering
def test_clear_superpackets(lab):
    """And to a device that cuts them by itself it leaves as it came."""
    start(lab, protect(4, proto="udp"))
    assert send_bytes(lab, 4)
    assert count(lab, "phoenix", "tx-superpackets") > 0
    assert count(lab, "phoenix", "tx") < lab.stats("phoenix")["out"]["passed"] / 2


@pytest.mark.steering
@pytest.mark.parametrize("version", [4, 6])
def test_udp(lab, version):
    """Datagrams that a program hands over many at once come out each as it was."""
    start(lab, protect(version))
    with inside("cardinal"):
        receiver = socket.socket(FAMILY[version], socket.SOCK_DGRAM)
    with inside("phoenix"):
        sender = socket.socket(FAMILY[version], socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.bind((CARDINAL[version], 5002))
        receiver.settimeout(5)
        sender.connect((CARDINAL[version], 5002))
        try:
            sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
        except OSError as error:
            pytest.skip(f"UDP_SEGMENT: {error.strerror}")
        sender.send(BYTES[:25_300])
        assert [receiver.recv(2000) for _ in range(26)] == [BYTES[at:min(at + 1000, 25_300)]
                                                            for at in range(0, 25_300, 1000)]
    assert count(lab, "phoenix", "rx-superpackets") > 0
    assert count(lab, "cardinal", "tx-superpackets") > 0


@pytest.mark.steering
def test_virtual_interface(lab):
    """A TUN device reads and writes them, too."""
    near, far = "172.16.1.1", "172.16.2.1"
    for host, a, b, own, other in (("phoenix", PHOENIX[4], CARDINAL[4], near, far),
                                   ("cardinal", CARDINAL[4], PHOENIX[4], far, near)):
        lab.daemon(host)
        lab.sallyport(host, "interface", "create", "ipsec0", "tunnel", a, b, "reqid", "7")
        lab.load(host, f"""
            add {PHOENIX[4]} {CARDINAL[4]} esp 0x1001 -m tunnel -u 7 {KEYS[0]};
            add {CARDINAL[4]} {PHOENIX[4]} esp 0x1002 -m tunnel -u 7 {KEYS[1]};""")
        lab.run(host, "ip", "address", "add", own, "peer", other, "dev", "ipsec0")
    capture = lab.router_capture()
    assert send_bytes(lab, 4, far)
    there = [p for p in capture.packets() if p.src == PHOENIX[4] and p.proto == PROTO_ESP]
    assert max(len(p.ip) for p in there) <= MTU
    sent = re.search(r"TX:.*\n\s*\d+\s+(\d+)", lab.run("phoenix", "ip", "-s", "link", "show", "ipsec0").stdout)
    assert int(sent[1]) > 0
