#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the seeds of fuzz_segment and fuzz_coalesce: packets that Scapy makes."""
import pathlib
import struct

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.packet import Raw

V4, V6 = IP(src="192.0.2.1", dst="192.0.2.2", id=7, flags="DF"), IPv6(src="2001:db8::1", dst="2001:db8::2")
DATA = TCP(sport=1000, dport=443, seq=1, ack=2, flags="PA", options=[("NOP", None), ("NOP", None), ("Timestamp", (1, 2))])
GSO = {"tcp": (1, 16), "udp": (2, 6)}


def superpacket(kind, packet, size, upper):
    gso, offset = GSO[kind]
    return struct.pack("!BBHHH", 1, gso, size, upper, offset) + bytes(packet)


def whole(packet):
    return struct.pack("!H", len(packet)) + bytes(packet)


ODD, EVEN = Raw(bytes(range(101))), Raw(bytes(range(100)))
AGAIN = bytes(3)
SEEDS = {
    "segment": {
        "tcp4": superpacket("tcp", V4 / DATA / Raw(bytes(1000)), 300, 20),
        "tcp6": superpacket("tcp", V6 / DATA / Raw(bytes(1000)), 300, 40),
        "udp4": superpacket("udp", V4 / UDP() / Raw(bytes(1000)), 300, 20),
        "udp6": superpacket("udp", V6 / IPv6ExtHdrDestOpt() / UDP() / Raw(bytes(1000)), 300, 48),
        "complete": struct.pack("!BBHHH", 1, 0, 0, 20, 16) + bytes(V4 / DATA / EVEN),
    },
    "coalesce": {
        "tcp4": b"\1" + whole(V4 / DATA.__class__(sport=1, dport=2, flags="A") / ODD) + AGAIN * 5,
        "udp4": b"\1" + whole(V4 / UDP() / ODD) + AGAIN * 5,
        "udp6": b"\1" + whole(V6 / UDP() / ODD) + AGAIN * 5,
        "many": b"\1" + b"".join(whole(V4 / UDP(sport=i) / EVEN) + AGAIN for i in range(1, 12)),
    },
}

for target, seeds in SEEDS.items():
    corpus = pathlib.Path(__file__).parent / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    for name, seed in seeds.items():
        (corpus / name).write_bytes(seed)
