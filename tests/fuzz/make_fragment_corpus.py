#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the seeds of fuzz_fragment: one of each kind of record, and what each refusal needs."""
import pathlib
import struct

RAW, MADE, CUT, LATER = range(4)
ROOMY = bytes([255, 7, 15])


def v4(payload, fragment=0, proto=17, options=b"", ident=1):
    return struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), ident, fragment,
                       64, proto, 0, bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])) + options + payload


def v6(payload, proto=17):
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + payload


def fh(offset, more, payload, proto=17):
    return v6(struct.pack("!BBHI", proto, 0, offset | more, 9) + payload, 44)


def raw(packet):
    return struct.pack("!BH", RAW, len(packet)) + packet


def made(version, ident, offset, length, more=0, rest=0):
    return bytes([MADE, (version == 6) | more << 1 | rest << 5, ident, offset, length])


def cut(packet, mtu):
    return struct.pack("!BHH", CUT, len(packet), mtu) + packet


UDP = struct.pack("!HHHH", 1000, 53, 0, 0) + bytes(range(200))
OPTIONS = bytes([7, 7, 4, 1, 2, 3, 4, 1, 0x94, 4, 0, 0])
HOP = bytes([43, 0, 5, 2, 0, 0, 1, 0]) + bytes([60, 0, 0, 0, 0, 0, 0, 0]) + bytes([17, 0, 1, 4, 0, 0, 0, 0])

SEEDS = {
    "pair4": ROOMY + raw(v4(UDP[:64], 0x2000)) + raw(v4(UDP[64:], 8)),
    "pair6": ROOMY + raw(fh(0, 1, UDP[:64])) + raw(fh(64, 0, UDP[64:])),
    "options4": ROOMY + raw(v4(UDP[:64], 0x2000, options=OPTIONS)) + raw(v4(UDP[64:], 8)),
    "atomic": ROOMY + raw(fh(0, 0, UDP)),
    "chain": ROOMY + raw(fh(0, 1, bytes([17, 0, 1, 4, 0, 0, 0, 0]) + UDP[:8], 60)) + raw(fh(16, 0, UDP[8:])),
    "made4": ROOMY + made(4, 1, 2, 2, 0, 3) + made(4, 1, 0, 2, 1),
    "made6": ROOMY + made(6, 1, 2, 2) + made(6, 1, 2, 2) + made(6, 1, 0, 2, 1),
    "overlap": ROOMY + made(4, 1, 0, 4, 1) + made(4, 1, 3, 4, 1) + made(4, 1, 9, 1),
    "end": ROOMY + made(4, 1, 8, 1) + made(4, 1, 9, 1),
    "many": bytes([255, 7, 1]) + b"".join(made(4, 1, 2 * i, 1, 1) for i in range(6)),
    "memory": bytes([2, 7, 15]) + b"".join(made(6, i, i, 20, 1) for i in range(12)),
    "tiny": ROOMY + raw(v4(UDP[:8], 0x2000, proto=6)) + raw(v4(UDP[:8], 1, proto=6)),
    "late": ROOMY + made(4, 1, 0, 2, 1) + bytes([LATER, 40]) + made(4, 1, 2, 2) + made(6, 1, 2, 2) + bytes([LATER, 70]),
    "cut4": ROOMY + cut(v4(UDP, options=OPTIONS), 72),
    "cut6": ROOMY + cut(v6(UDP), 96) + cut(v6(HOP + UDP, 0), 120),
    "again": ROOMY + cut(v4(UDP, 0x2004), 76) + cut(fh(64, 1, UDP), 100),
}

corpus = pathlib.Path(__file__).parent / "corpus/fragment"
corpus.mkdir(parents=True, exist_ok=True)
for name, data in SEEDS.items():
    (corpus / name).write_bytes(data)
