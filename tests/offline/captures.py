# SPDX-License-Identifier: BSD-2-Clause
"""Captures written and read for the tests, and the verbs run on them."""

import dataclasses
import json
import os
import pathlib
import struct
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SALLYPORT = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve() / "sallyport"
ETHERNET, RAW, LOOP, SLL, IPV4, IPV6, SLL2, NULL = 1, 101, 108, 113, 228, 229, 276, 0


@dataclasses.dataclass(frozen=True)
class Record:
    bytes: bytes
    ns: int = 1_000_000_000  # of its time, from 1970
    full: int = None  # length on the wire, where less was captured
    interface: int = 0


def records(frames):
    return [frame if isinstance(frame, Record) else Record(bytes(frame)) for frame in frames]


def pcap(frames, link=RAW, order="<", nano=False):
    """A classic capture."""
    unit = 1 if nano else 1000
    out = [struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 262144, link)]
    for r in records(frames):
        out.append(struct.pack(order + "IIII", r.ns // 10**9, r.ns % 10**9 // unit, len(r.bytes), r.full or len(r.bytes)))
        out.append(r.bytes)
    return b"".join(out)


def _block(order, kind, body):
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def _option(order, code, value):
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def pcapng(frames, link=RAW, order="<", resolutions=(9,), simple=False):
    """Section, interfaces (one for each resolution, a power of ten), packets; with options and foreign blocks."""
    end = _option(order, 0, b"")
    out = [_block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
                  + _option(order, 1, b"a comment") + end)]
    for number, resolution in enumerate(resolutions):
        out.append(_block(order, 1, struct.pack(order + "HHI", link, 0, 0) + _option(order, 2, b"if%d" % number)
                          + _option(order, 9, bytes([resolution])) + end))
    out.append(_block(order, 0x0BAD, b"of nobody"))
    for r in records(frames):
        if simple:
            out.append(_block(order, 3, struct.pack(order + "I", r.full or len(r.bytes)) + r.bytes))
            continue
        ticks = r.ns * 10**resolutions[r.interface] // 10**9
        out.append(_block(order, 6, struct.pack(order + "IIIII", r.interface, ticks >> 32, ticks & 0xFFFFFFFF, len(r.bytes),
                                                r.full or len(r.bytes))
                          + r.bytes + bytes(-len(r.bytes) % 4) + _option(order, 1, b"of this packet") + end))
    return b"".join(out)


def read(capture):
    """(link type, records) of a classic capture in nanoseconds: what the verbs write."""
    magic, _, _, _, _, _, link = struct.unpack_from("=IHHiIII", capture)
    assert magic == 0xA1B23C4D
    out, at = [], 24
    while at < len(capture):
        s, ns, length, full = struct.unpack_from("=IIII", capture, at)
        out.append(Record(capture[at + 16:at + 16 + length], s * 10**9 + ns, full))
        at += 16 + length
    assert at == len(capture)
    return link, out


@dataclasses.dataclass
class Result:
    status: int
    stdout: str
    stderr: str
    link: int = None
    records: list = None

    @property
    def frames(self):
        return [record.bytes for record in self.records]

    @property
    def summary(self):
        return json.loads(self.stdout.splitlines()[-1])

    @property
    def listed(self):
        return [json.loads(line) for line in self.stdout.splitlines()[:-1]]


def run(directory, verb, conf, capture, *options):
    """The verb on bytes of a capture; JSON and a line a packet unless other options are given."""
    directory = pathlib.Path(directory)
    (directory / "conf").write_text(conf)
    (directory / "in").write_bytes(capture)
    (directory / "out").unlink(missing_ok=True)
    done = subprocess.run([SALLYPORT, verb, "-f", directory / "conf", *(options or ("-l", "-j")), directory / "in",
                           directory / "out"], capture_output=True, text=True, timeout=120)
    result = Result(done.returncode, done.stdout, done.stderr)
    if (directory / "out").exists():
        result.link, result.records = read((directory / "out").read_bytes())
    return result
