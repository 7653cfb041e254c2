#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the seeds of fuzz_engine: one packet of each kind that the engine tells apart."""
import pathlib
import struct
import sys
import zlib
from ipaddress import ip_address

A4, B4 = ip_address("192.0.2.10").packed, ip_address("198.51.100.10").packed
A6, B6 = ip_address("2001:db8:1::10").packed, ip_address("2001:db8:2::10").packed


def v4(proto, payload, fragment=0, options=b""):
    head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload),
                       1, fragment, 64, proto, 0)
    return head + A4 + B4 + options + payload


def v6(proto, payload):
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, 64) + A6 + B6 + payload


def config(how, form=0, more=0, auth=0, cipher=0):
    """struct config of fuzz_engine.c."""
    return bytes([how, form, more, auth, cipher])


def seed(how, *packets, **more):
    return config(how, **more) + b"".join(struct.pack("!H", len(p)) + p for p in packets)


ESP = struct.pack("!II", 0x1000, 1) + bytes(range(14)) + bytes([0, 17]) + bytes(12)
AH = struct.pack("!BBHII", 50, 4, 0, 0x1001, 1) + bytes(12)
UDP = struct.pack("!HHHH", 1000, 53, 16, 0) + bytes(8)
TCP = struct.pack("!HHIIBBHHH", 179, 40000, 1, 2, 0xa0, 2, 8192, 0, 0) + bytes([
    2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7]) + b"hello"
COMP = zlib.compressobj(9, zlib.DEFLATED, -12)
COMP = COMP.compress(UDP + bytes(90)) + COMP.flush()
HOP = bytes([17, 0, 5, 2, 0, 0, 1, 0])

SEEDS = {
    "esp4": seed(0x00, v4(50, ESP)),
    "esp6": seed(0x04, v6(50, ESP)),
    "ah4": seed(0x08, v4(51, AH + ESP)),
    "ah6": seed(0x0c, v6(51, AH + bytes(4) + ESP)),
    "auth4": seed(0x01, v4(50, ESP)),
    "cipher": seed(0x02, v4(50, ESP + bytes(32))),
    "clear": seed(0x18, v4(17, UDP), v4(17, UDP, fragment=0x2000)),
    "clear6": seed(0x1c, v6(17, UDP), v6(0, HOP + UDP), v6(44, bytes([17, 0, 0, 1, 0, 0, 0, 9]) + UDP)),
    "options": seed(0x10, v4(17, UDP, options=bytes([7, 7, 4, 1, 2, 3, 4, 0]))),
    "big": seed(0x50, v4(17, UDP + bytes(300))),
    "discard": seed(0x20, v4(6, bytes(20))),
    "tunnel4": seed(0x18, v4(50, struct.pack("!II", 0x1000, 1) + v4(17, UDP) + bytes([1, 2, 2, 4])), form=0x0d),
    "tunnel6in4": seed(0x1c, v6(17, UDP), form=0x0b),
    "ipcomp": seed(0x10, v4(108, struct.pack("!BBH", 17, 0, 2) + COMP), more=1),
    "ipcomp6": seed(0x14, v6(108, struct.pack("!BBH", 17, 0, 0x1002) + COMP), more=3),
    "ipcomp-tunnel": seed(0x10, v4(17, UDP + bytes(100)), form=0x09, more=1),
    "natt": seed(0x10, v4(17, struct.pack("!HHHH", 1000, 4500, 8 + len(ESP), 0) + ESP), more=4),
    "natt6": seed(0x14, v6(17, struct.pack("!HHHH", 1000, 4500, 8 + len(ESP), 0) + ESP), more=12),
    "keepalive": seed(0x10, v4(17, struct.pack("!HHHHB", 1000, 4500, 9, 0, 255)), more=4),
    "damaged-natt": config(0x91, form=0x00, more=0x0c) + bytes([0, 28, 0]) * 20,
    "tcp": seed(0x10, v4(6, TCP), more=0x10),
    "tcp6": seed(0x14, v6(6, TCP), more=0x10),
    "damaged-ipcomp": config(0x90, form=0x01, more=1) + bytes([0, 28, 1]) * 20,
    "damaged-tunnel": config(0x90, form=0x09) + bytes([0, 28, 1]),
    "damaged-tunnel6": config(0x94, form=0x0f) + bytes([0, 60, 1]),
    "damaged-esp": config(0x91) + bytes([0, 28, 1]),
    "damaged-gcm": config(0x93, cipher=6) + bytes([0, 30, 1]),
    "damaged-ah6": config(0x94) + bytes([0, 60, 255]),
}

if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "corpus/engine")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in SEEDS.items():
        (folder / name).write_bytes(data)
