#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""An ordinary program of TCP: both ends send so many bytes at once and hash what they get.

With --key it has the kernel sign its segments (TCP_MD5SIG of tcp(7)), as BGP daemons do;
without, it knows nothing of RFC 2385. One line of JSON says how it went.

    tcp_peer.py listen|connect ADDRESS PORT [--size BYTES] [--key KEY --peer ADDRESS]
                [--wait SECONDS] [--linger SECONDS] [--echo]
"""

import argparse
import hashlib
import json
import random
import socket
import struct
import sys
import threading
import time

TCP_MD5SIG = 14  # linux/tcp.h
# struct tcp_info: tcpi_options, and words behind the first 8 bytes
INFO_OPTIONS, INFO_SND_MSS, INFO_RETRANS = 5, 8 + 4 * 2, 8 + 4 * 23
OPTIONS = {1: "timestamps", 2: "sack", 4: "window scale"}


def sign(sock, peer, key):
    """struct tcp_md5sig: address (128), flags, prefix, length of key, interface, key (80)."""
    if sock.family == socket.AF_INET6:
        at = struct.pack("=HHI16s", sock.family, 0, 0, socket.inet_pton(socket.AF_INET6, peer))
    else:
        at = struct.pack("=HH4s", sock.family, 0, socket.inet_aton(peer))
    sock.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, struct.pack("=128sBBHi80s", at, 0, 0, len(key), 0, key))


def meet(options):
    """A connected socket."""
    family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(options.wait)
    if options.key:
        sign(sock, options.peer, options.key.encode())
    if options.role == "connect":
        sock.connect((options.address, options.port))
        return sock
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((options.address, options.port))
    sock.listen(1)
    print("listening", flush=True)
    return sock.accept()[0]


def exchange(sock, size):
    """What both ends sent and got, as hashes."""
    mine = random.randbytes(size)
    sender = threading.Thread(target=lambda: sock.sendall(mine), daemon=True)
    sender.start()
    got, left = hashlib.sha256(), size
    while left and (data := sock.recv(min(left, 1 << 16))):
        got.update(data)
        left -= len(data)
    sender.join()
    return {"sent": hashlib.sha256(mine).hexdigest(), "got": got.hexdigest(), "missing": left}


def echo(sock):
    """Sends back all that comes until the other end has done."""
    got = b""
    while data := sock.recv(1 << 16):
        got += data
    sock.sendall(got)
    return {"echoed": len(got)}


def info(sock):
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    word = lambda at: struct.unpack_from("=I", raw, at)[0]
    return {"options": sorted(name for bit, name in OPTIONS.items() if raw[INFO_OPTIONS] & bit),
            "mss": word(INFO_SND_MSS), "retransmitted": word(INFO_RETRANS)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("listen", "connect"))
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--key")
    parser.add_argument("--peer")
    parser.add_argument("--wait", type=float, default=30, help="for each step")
    parser.add_argument("--linger", type=float, default=0, help="between two exchanges")
    parser.add_argument("--echo", action="store_true", help="no exchange: send back what comes")
    options = parser.parse_args()
    began = time.monotonic()
    try:
        sock = meet(options)
        said = echo(sock) if options.echo else exchange(sock, options.size)
        if options.linger:
            time.sleep(options.linger)
            said = exchange(sock, options.size)
        said |= info(sock) | {"seconds": round(time.monotonic() - began, 2)}
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)
    except OSError as error:
        said = {"error": type(error).__name__, "text": str(error)}
    print(json.dumps(said), flush=True)
    return "error" in said


if __name__ == "__main__":
    sys.exit(main())
