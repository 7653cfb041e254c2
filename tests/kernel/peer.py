# SPDX-License-Identifier: BSD-2-Clause
"""Runs in the guest: sends through the cells of a matrix, and writes down what came.

Three namespaces: `ours` with sallyportd, `theirs` with the kernel's IPsec, and between
them `wire`, a bridge with tcpdump at one of its ports. It judges nothing; test_peer.py does.

    peer.py SECONDS

In $OUT it finds ours.conf for setkey, theirs.batch for `ip -batch`, and cells.json; it
writes results.json, a cell a line, and wire.pcap.

The wire carries 1500 bytes: a ping of 3000 bytes goes in fragments, whoever makes them,
and an end that has not learnt yet what a tunnel carries may lose the first.
"""

import contextlib
import json
import os
import pathlib
import random
import re
import select
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "live"))
import lab as live  # noqa: E402

OUT = pathlib.Path(os.environ["OUT"])
MTU = 1500
SIDES = ("ours", "theirs")
GATE = {"ours": {4: "10.0.0.1", 6: "fd00::1"}, "theirs": {4: "10.0.0.2", 6: "fd00::2"}}
NETS = {"ours": ("10.1.0.0/16", "fd00:1::/64"), "theirs": ("10.2.0.0/16", "fd00:2::/64")}
SIZES = (56, 3000)
TCP_PORT, TCP_BYTES = 5001, 200_000
NATT_PORT = 4500
PING_SECONDS, SHUT_SECONDS, TCP_SECONDS = 6.0, 1.0, 20.0  # a packet takes longer where everything is emulated
START_SECONDS = 60
AGAIN_SECONDS = 1.0
PATIENCE = 10  # so many cells that do not work are given all of that time; others would take too long then
HASTE = {"ping": 0.3, "tcp": 2.0}
LOOKED_INTO = 24  # cells that do not work and are asked why
UDP_ENCAP, UDP_ENCAP_ESPINUDP = 100, 2
IP_PKTINFO = 8  # which Python's socket does not name
MODULES = """veth bridge tun jitterentropy_rng drbg
    esp4 esp6 ah4 ah6 ipcomp ipcomp6 xfrm_user xfrm4_tunnel xfrm6_tunnel af_key
    authenc authencesn echainiv seqiv cbc ctr ecb gcm ccm hmac md5 sha1_generic sha256_generic sha512_generic rmd160
    xcbc cmac crypto_null deflate des_generic blowfish_generic cast5_generic camellia_generic twofish_generic aes_generic
    chacha20poly1305 chacha_generic poly1305_generic ghash_generic"""
TEXT = b"The quick brown fox jumps over the lazy dog, and what it jumps over is packed well. "
DATA = {side: TEXT * 3 + random.Random(side).randbytes(500) for side in SIDES}
DATA = {side: (text * (TCP_BYTES // len(text) + 1))[:TCP_BYTES] for side, text in DATA.items()}


def other(side):
    return "theirs" if side == "ours" else "ours"


class Peers(live.Hosts):
    names = (*SIDES, "wire")

    def up(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            self.run(name, "sh", "-c", """
                set -e
                ip link set lo up
                cd /proc/sys/net
                echo 0 >ipv6/conf/all/accept_dad; echo 0 >ipv6/conf/default/accept_dad
                echo 1 >ipv4/ip_nonlocal_bind; echo 1 >ipv6/ip_nonlocal_bind""")
        self.run("wire", "ip", "link", "add", "bridge", "mtu", MTU, "type", "bridge", "mcast_snooping", "0")
        for side in SIDES:
            self.run("wire", "ip", "link", "add", side, "mtu", MTU, "type", "veth", "peer", "name", "eth0", "mtu", MTU,
                     "netns", side)
            self.run("wire", "ip", "link", "set", side, "master", "bridge", "up")
        self.run("wire", "ip", "link", "set", "bridge", "up")
        for side in SIDES:
            there, lines = other(side), []
            lines += [f"address add {GATE[side][4]}/24 dev eth0", f"address add {GATE[side][6]}/64 dev eth0 nodad",
                      "link set eth0 up"]
            # All of a net's addresses are the host's, and no other host need ask for each.
            for at, version in enumerate((4, 6)):
                lines += [f"route add local {NETS[side][at]} dev lo",
                          f"route add {NETS[there][at]} via {GATE[there][version]} dev eth0"]
            self.batch(side, "\n".join(lines))
        for version in (4, 6):
            live.wait_until(lambda: self.pings("ours", GATE["theirs"][version], "-c", "1", "-W", "1"), 10, "the wire")

    def batch(self, side, text):
        """Lines of `ip -batch`; what it says of lines that failed."""
        return self.run(side, "ip", "-force", "-batch", "-", input=text, check=False, timeout=200).stderr


class Echo:
    """Echo requests from any of a side's addresses, and the replies."""

    def __init__(self, side, version):
        self.version, self.sent = version, {}
        family, proto = ((socket.AF_INET, socket.IPPROTO_ICMP), (socket.AF_INET6, socket.IPPROTO_ICMPV6))[version == 6]
        with live.inside(side):
            self.socket = socket.socket(family, socket.SOCK_RAW, proto)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.setblocking(False)
        self.ident = random.randrange(1 << 16)

    def fileno(self):
        return self.socket.fileno()

    def send(self, src, dst, size, number):
        body = bytes((number + at) & 0xFF for at in range(size))
        kind = 8 if self.version == 4 else 128
        message = struct.pack(">BBHHH", kind, 0, 0, self.ident, number) + body
        if self.version == 4:
            total = sum(struct.unpack(f">{len(message) // 2}H", message))
            total = (total & 0xFFFF) + (total >> 16)
            total = (total & 0xFFFF) + (total >> 16)
            message = message[:2] + struct.pack(">H", ~total & 0xFFFF) + message[4:]
            source = (socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4s", 0, socket.inet_aton(src), bytes(4)))
        else:
            source = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO,
                      socket.inet_pton(socket.AF_INET6, src) + struct.pack("=I", 0))
        self.sent[number] = (dst, body)
        try:
            self.socket.sendmsg([message], [source], 0, (dst, 0))
        except OSError as error:
            return error.strerror
        return ""

    def receive(self):
        """The numbers of the requests that have been answered, each in full and by whom it was sent to."""
        answered = []
        while True:
            try:
                data, (address, *_) = self.socket.recvfrom(16384)
            except BlockingIOError:
                return answered
            if self.version == 4:
                data = data[(data[0] & 15) * 4:]
            kind, _, _, ident, number = struct.unpack(">BBHHH", data[:8])
            if kind == (0 if self.version == 4 else 129) and ident == self.ident and number in self.sent:
                if (address, data[8:]) == self.sent[number]:
                    answered.append(number)


def ping(echoes, cell, seconds):
    """{side: [sizes that were answered]}: of requests from both sides, all at once, and again each second."""
    asked, got, errors = {}, {side: [] for side in SIDES}, []
    deadline, again = time.monotonic() + seconds, 0
    while (left := deadline - time.monotonic()) > 0 and not is_whole(got):
        if time.monotonic() >= again:
            again = time.monotonic() + AGAIN_SECONDS
            for side, size in [(side, size) for side in SIDES for size in SIZES if size not in got[side]]:
                echo = echoes[side, cell["version"]]
                echo.number = (getattr(echo, "number", 0) + 1) & 0xFFFF
                asked[side, echo.number] = size
                if trouble := echo.send(cell[side], cell[other(side)], size, echo.number):
                    errors.append(f"{side}: {trouble}")
        ready, _, _ = select.select([echoes[side, cell["version"]] for side in SIDES], [], [],
                                    max(0, min(left, again - time.monotonic())))
        for echo in ready:
            side = next(side for side in SIDES if echoes[side, cell["version"]] is echo)
            for number in echo.receive():
                if asked[side, number] not in got[side]:
                    got[side].append(asked[side, number])
    for side in SIDES:
        echoes[side, cell["version"]].sent.clear()
    return got | {"errors": errors}


def is_whole(got):
    return all(len(got[side]) == len(SIZES) for side in SIDES)


class Transfer:
    """TCP between a cell's addresses, data both ways at once; odd cells are opened by the kernel's side."""

    def __init__(self):
        self.listeners = {}
        for side in SIDES:
            with live.inside(side):
                listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("::", TCP_PORT))
            listener.listen()
            listener.setblocking(False)
            self.listeners[side] = listener

    def run(self, cell, opener, seconds):
        """"ok", or how far it came."""
        family = socket.AF_INET if cell["version"] == 4 else socket.AF_INET6
        with live.inside(opener):
            client = socket.socket(family, socket.SOCK_STREAM)
        ends = {opener: client}
        try:
            return self.pump(cell, opener, ends, seconds)
        except OSError as error:
            return f"TCP: {error.strerror}"
        finally:
            for end in ends.values():
                # No long farewells: nothing of this cell is to come later.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.close()

    def pump(self, cell, opener, ends, seconds):
        client, accepter = ends[opener], other(opener)
        client.setblocking(False)
        client.bind((cell[opener], 0))
        client.connect_ex((cell[accepter], TCP_PORT))
        sent, got = dict.fromkeys(SIDES, 0), {side: bytearray() for side in SIDES}
        deadline = time.monotonic() + seconds
        while any(len(got[side]) < TCP_BYTES for side in SIDES):
            if (left := deadline - time.monotonic()) <= 0:
                return "TCP: " + ", ".join(f"{len(got[other(side)])} of {TCP_BYTES} bytes from {side}"
                                           for side in SIDES)
            waiting = list(ends.values()) + ([] if accepter in ends else [self.listeners[accepter]])
            filling = [end for side, end in ends.items() if sent[side] < TCP_BYTES]
            readable, writable, _ = select.select(waiting, filling, [], left)
            if self.listeners[accepter] in readable:
                end, (address, *_) = self.listeners[accepter].accept()
                if address.removeprefix("::ffff:") != cell[opener]:  # of a cell that gave up
                    end.close()
                    continue
                end.setblocking(False)
                ends[accepter] = end
            for side, end in list(ends.items()):
                if end in writable:
                    sent[side] += end.send(DATA[side][sent[side]:sent[side] + 65536])
                if end in readable:
                    try:
                        data = end.recv(262144)
                    except BlockingIOError:
                        continue
                    if not data:
                        return f"TCP: closed by {other(side)}"
                    got[side] += data
        spoiled = [side for side in SIDES if got[other(side)] != DATA[side]]
        return f"TCP: other bytes than those of {spoiled[0]}" if spoiled else "ok"


def natt_sockets(side):
    """What makes a kernel look into datagrams to the port of ESP in UDP."""
    made = []
    for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with live.inside(side):
            made.append(socket.socket(family, socket.SOCK_DGRAM))
        if family == socket.AF_INET6:
            made[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made[-1].bind((any_address, NATT_PORT))
        made[-1].setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
    return made


@contextlib.contextmanager
def no_module_loading():
    """For each new pair of algorithms the kernel would look for modules by names that none has."""
    knob = pathlib.Path("/proc/sys/kernel/modprobe")
    before = knob.read_text()
    knob.write_text("\n")
    try:
        yield
    finally:
        knob.write_text(before)


class Reasons:
    """What both sides counted since they were asked last."""

    def __init__(self, lab, daemon):
        self.lab, self.daemon = lab, daemon
        self.ours, self.theirs = daemon.counters(), self.xfrm()

    def xfrm(self):
        lines = self.lab.run("theirs", "cat", "/proc/net/xfrm_stat").stdout.splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}

    def since(self):
        ours, theirs = self.daemon.counters(), self.xfrm()
        grown = {name: value - self.ours[name] for name, value in ours.items() if name.startswith("drop.")}
        grown |= {name: value - self.theirs[name] for name, value in theirs.items()}
        self.ours, self.theirs = ours, theirs
        return {name: value for name, value in grown.items() if value}


def main():
    seconds = int(sys.argv[1])
    began = time.monotonic()

    def clock(what):
        print(f"{time.monotonic() - began:.0f} s: {what}", flush=True)

    cells = json.loads((OUT / "cells.json").read_text())
    subprocess.run(["modprobe", "-a", *MODULES.split()], stderr=subprocess.DEVNULL, check=False)  # some are built in
    results = {cell["number"]: {"number": cell["number"]} for cell in cells}

    def write_down():
        (OUT / "results.json").write_text("".join(json.dumps(result) + "\n" for result in results.values()))

    with Peers() as lab:
        daemon = lab.daemon("ours", build=live.BUILD_PLAIN, ready=False)
        live.wait_until(lambda: daemon.process.poll() is not None or lab.setkey(
            "ours", "-D", build=live.BUILD_PLAIN, check=False).returncode == 0, START_SECONDS, "sallyportd")
        clock("sallyportd serves")
        said = lab.setkey("ours", "-f", OUT / "ours.conf", build=live.BUILD_PLAIN, check=False, timeout=200)
        clock(f"setkey: exit status {said.returncode}\n{said.stdout}{said.stderr}")
        with no_module_loading():
            trouble = lab.batch("theirs", (OUT / "theirs.batch").read_text())
        clock(f"ip xfrm: {trouble or 'nothing to say'}")
        keep = natt_sockets("theirs")
        capture = lab.capture("wire", "ours", options=("-s", "200", "-B", "32768"))
        echoes = {(side, version): Echo(side, version) for side in SIDES for version in (4, 6)}
        works = [cell for cell in cells if not cell["alone"]]
        failures = 0
        for cell in works:
            got = ping(echoes, cell, PING_SECONDS if failures < PATIENCE else HASTE["ping"])
            failures += not is_whole(got)
            results[cell["number"]]["ping"] = got
        write_down()
        clock("pings are over")

        transfer, late, failures = Transfer(), 0, 0
        answered = [cell for cell in works if is_whole(results[cell["number"]]["ping"])]
        for at, cell in enumerate(sorted(answered, key=lambda cell: not cell["sample"])):
            if time.monotonic() - began > seconds and not cell["sample"]:
                late += 1
                continue
            said = transfer.run(cell, SIDES[at % 2], TCP_SECONDS if failures < PATIENCE else HASTE["tcp"])
            failures += said != "ok"
            results[cell["number"]]["tcp"] = said
        write_down()
        clock(f"transfers are over, {late} left out")

        failed = [cell for cell in works if results[cell["number"]].get("tcp", "ok") != "ok" or cell not in answered]
        reasons = Reasons(lab, daemon)
        for cell in [cell for cell in cells if cell["alone"]] + failed[:LOOKED_INTO]:
            log = len(daemon.text())
            again = ping(echoes, cell, SHUT_SECONDS)
            results[cell["number"]].setdefault("ping", again)
            results[cell["number"]]["reasons"] = reasons.since()
            results[cell["number"]]["log"] = [line for line in daemon.text()[log:].splitlines()
                                              if not re.search(r"\S+\.\S+ \d+$", line)]
        write_down()
        clock("reasons are known")
        for socket_ in keep:
            socket_.close()
        capture.packets()
        capture.process.terminate()
        clock(capture.process.communicate()[0])
        (OUT / "wire.pcap").write_bytes(capture.path.read_bytes())  # at once: a copy page by page takes long there
        clock(" ".join(f"{name} {value}" for name, value in daemon.counters().items()))
        daemon.stop()
        (OUT / "sallyportd.log").write_text(daemon.text())


if __name__ == "__main__":
    main()
