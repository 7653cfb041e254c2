# SPDX-License-Identifier: BSD-2-Clause
"""Which way packets really took: a variant whose traffic goes in clear would look fast.

The wire is looked at from both hosts by packet sockets with filters, so that nothing but
numbers gets here. A socket sees what the host's own stack sends after the filters of tc,
which is what is in clear, and what arrives before them, which is what is protected.
"""

import ctypes
import socket
import struct
import time

from e2e_variants import SIDES, Failed, Inside, other

ETH_P_ALL = 3
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_ATTACH_FILTER = 26
PACKET_OUTGOING = 4

# Classic BPF; a frame begins with its link header of 14 bytes.
LD_W, LD_H, LD_B, JEQ, RET = 0x20, 0x28, 0x30, 0x15, 0x06
LDX_IHL, LD_H_IND = 0xB1, 0x48
PKTTYPE = 0xFFFFF004
WHOLE = 0xFFFF
MARKER = b"sallyport bench!"


def program(outgoing, protocol, port=None):
    """Accepts IPv4 that leaves, or arrives, of a protocol and a destination port of UDP."""
    tests = [(LD_W, PKTTYPE), (JEQ, PACKET_OUTGOING, outgoing), (LD_H, 12), (JEQ, 0x0800, True),
             (LD_B, 23), (JEQ, protocol, True)]
    if port:
        tests += [(LDX_IHL, 14), (LD_H_IND, 16), (JEQ, port, True)]
    code, reject = [], len(tests) + 1
    for i, (op, value, *wanted) in enumerate(tests):
        skip = reject - i - 1 if wanted else 0
        code.append((op, 0, skip, value) if not wanted or wanted[0] else (op, skip, 0, value))
    return [*code, (RET, 0, 0, WHOLE), (RET, 0, 0, 0)]


class Tap:
    """Packets of one kind on a host's end of the wire."""

    def __init__(self, namespace, *filtered):
        code = b"".join(struct.pack("HBBI", *line) for line in program(*filtered))
        self.code = ctypes.create_string_buffer(code)
        with Inside(namespace):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                                   struct.pack("HP", len(code) // 8, ctypes.addressof(self.code)))
            self.socket.bind(("w0", ETH_P_ALL))

    def count(self):
        """Packets since it was opened, those that had no room included; then it is closed."""
        with self.socket:
            return struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[0]

    def read(self):
        self.socket.setblocking(False)
        with self.socket:
            while True:
                try:
                    yield self.socket.recv(WHOLE)
                except BlockingIOError:
                    return


class Watch:
    """What is on the wire while the body runs; afterwards it was all protected, or Failed."""

    def __init__(self, variant):
        self.variant, hosts = variant, variant.hosts
        self.taps = [] if not variant.carrier else [
            (Tap(hosts.ns[side], True, socket.IPPROTO_TCP), Tap(hosts.ns[side], False, *variant.carrier))
            for side in SIDES]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        counts = [(clear.count(), carried.count()) for clear, carried in self.taps]
        if kind:
            return
        for side, (clear, carried) in zip(SIDES, counts):
            if clear:
                raise Failed(f"{self.variant.name}: {clear} segments of TCP left {side} in clear")
            if not carried:
                raise Failed(f"{self.variant.name}: nothing arrived at {side} as protocol, port {self.variant.carrier}")


class Passage:
    """That so many bytes from one host to the other were taken and given by the forwarders."""

    def __init__(self, variant, side):
        self.variant, self.ends = variant, ((side, "tx"), (other(side), "rx"))
        self.before = self.counts()

    def counts(self):
        hosts = self.variant.hosts
        return [hosts.through_devices(*end) for end in self.ends] if self.variant.carrier else []

    def check(self, payload):
        for (side, _), before, after in zip(self.ends, self.before, self.counts()):
            if after - before < payload:
                raise Failed(f"{self.variant.name}: of {payload} bytes only {after - before} went through "
                             f"the forwarder of {side}; the others went in clear")


def look_inside(variant):
    """Whether what a datagram carries can be read on the wire, against what should be."""
    hosts, carrier = variant.hosts, variant.carrier or (socket.IPPROTO_ICMP,)
    tap = Tap(hosts.ns["b"], False, *carrier)
    hosts.run("a", "ping", "-n", "-q", "-c", 3, "-i", "0.01", "-s", 200, "-p", MARKER.hex(), variant.address["b"])
    time.sleep(0.02)
    packets = [packet for packet in tap.read() if len(packet) > 200]
    read = [MARKER in packet for packet in packets]
    if not packets or any(read) == variant.sealed or (not variant.sealed and not all(read)):
        raise Failed(f"{variant.name}: of {len(packets)} packets {sum(read)} can be read on the wire; "
                     f"it {'encrypts' if variant.sealed else 'does not encrypt'}")
