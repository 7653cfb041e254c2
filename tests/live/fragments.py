# SPDX-License-Identifier: BSD-2-Clause
"""tests/offline/fragments.c: our cutting and joining, of packets as bytes."""

import struct
import subprocess

import lab

PROGRAM = lab.BUILD / "tests/offline/fragments"


def run(*words, packets):
    """(packets that it wrote, lines that it said)"""
    stdin = b"".join(struct.pack("!I", len(packet)) + packet for packet in map(bytes, packets))
    done = subprocess.run([PROGRAM, *map(str, words)], input=stdin, capture_output=True, timeout=60, check=True)
    out, at = [], 0
    while at < len(done.stdout):
        length, = struct.unpack_from("!I", done.stdout, at)
        out.append(done.stdout[at + 4:at + 4 + length])
        at += 4 + length
    return out, done.stderr.decode().splitlines()


def cut(packet, mtu, ident):
    return run("cut", mtu, ident, packets=[packet])[0]


def join(packets):
    return run("join", packets=packets)[0]
