# SPDX-License-Identifier: BSD-2-Clause
"""The control socket under clients that do not behave."""

import os
import random
import re
import socket
import stat
import struct
import subprocess

import pytest

from lab import BUILD, SANITIZER, wait_until

HEADER = struct.Struct("=BBBBHHII")
ADD, FLUSH, DUMP = 3, 9, 10


def message(kind, seq=1, body=b"", satype=0):
    return HEADER.pack(2, kind, 0, satype, (HEADER.size + len(body)) // 8, 0, seq, os.getpid()) + body


@pytest.fixture
def keys(bare):
    """A daemon that serves the databases alone: (lab, path of its socket, its process)."""
    path, log = bare.dir / "keys", bare.dir / "log"
    process = subprocess.Popen([BUILD / "sallyportd", "-f", "-s", path], stderr=log.open("w"))
    wait_until(path.exists, 10, "the socket")
    yield bare, path, process
    process.terminate()
    status, said = process.wait(20), log.read_text()
    assert status == 0 and not SANITIZER.search(said), said
    assert not path.exists()


def client(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(str(path))
    s.settimeout(5)
    return s


def setkey(lab, path, *arguments, **kwargs):
    return lab.setkey("phoenix", *arguments, env=dict(os.environ, SALLYPORT_SOCKET=str(path)), **kwargs)


def load(lab, path, number):
    setkey(lab, path, "-c", input="flush;" + "".join(
        f'add 10.0.0.1 10.0.{i >> 8}.{i & 255} ah 0x{1000 + i:x} -A hmac-md5 "1234567890123456";\n'
        for i in range(number)))


def test_rubbish_is_answered_and_forgotten(keys):
    lab, path, _ = keys
    chance = random.Random(1)
    load(lab, path, 3)
    before = setkey(lab, path, "-D").stdout
    with client(path) as s:
        good = message(DUMP)
        for wrong in (b"\0", good[:15], good[:4] + b"\xff\xff" + good[6:], good[:4] + b"\0\0" + good[6:],
                      b"\x07" + good[1:], bytes(8192), bytes(8193), bytes(100000),
                      message(200), message(ADD, body=bytes(8)), message(ADD, body=b"\xff" * 64)):
            s.send(wrong)
            answer = s.recv(65536)
            assert answer[2] != 0, wrong[:32].hex()
        for _ in range(3000):
            s.send(bytes(chance.choices((0, 1, 2, 3, 8, 14, 18, 40, 255), k=chance.randrange(1, 200))))
            s.recv(65536)
        s.send(good + bytes(8))  # a message, and what is none
        answer = s.recv(65536)
        assert answer[2] == 0 and answer[-HEADER.size + 2] != 0
    with client(path) as s:
        s.send(b"")  # to SEQPACKET that is the end
        assert s.recv(10) == b""
    strip = re.compile(r"(current|diff):.*|pid=\d+")
    assert strip.sub("", setkey(lab, path, "-D").stdout) == strip.sub("", before)


def test_too_many_clients(keys):
    lab, path, process = keys
    many = []
    for _ in range(300):
        many.append(client(path))
    for s in many[:20] + many[-20:]:
        try:
            s.send(message(DUMP))
        except OSError:
            pass
    for s in many:
        s.close()
    wait_until(lambda: setkey(lab, path, "-D", check=False).returncode == 0, 10, "a place for a client")
    assert len(os.listdir(f"/proc/{process.pid}/fd")) < 40


def test_clients_that_do_not_read(keys):
    """They get what fits, cost a bounded amount of memory, and keep nobody else waiting."""
    lab, path, process = keys
    load(lab, path, 3000)
    deaf = [client(path) for _ in range(20)]
    for s in deaf:
        s.setblocking(False)
        try:
            for _ in range(1000):
                s.send(message(DUMP) * 512)
        except BlockingIOError:
            pass
    assert setkey(lab, path, "-D").stdout.count("spi=") == 3000
    load(lab, path, 10)  # everybody is told of each
    assert setkey(lab, path, "-D").stdout.count("spi=") == 10
    memory = int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{process.pid}/status").read())[1])
    assert memory < 400_000, f"{memory} kB"
    # One of them begins to read: what waits is whole messages, in order.
    s, left = deaf[0], []
    s.settimeout(1)
    try:
        while data := s.recv(65536):
            while data:
                size = struct.unpack_from("=H", data, 4)[0] * 8
                left.append(HEADER.unpack_from(data)[6])
                data = data[size:]
    except TimeoutError:
        pass
    assert left[:3000] == [*range(1, 3000), 0]
    for s in deaf[:10]:
        s.close()


def test_term_in_the_middle(keys):
    """A clean end while dumps are on their way and requests wait."""
    lab, path, process = keys
    load(lab, path, 2000)
    busy = [client(path) for _ in range(5)]
    for s in busy:
        s.send(message(DUMP) * 4)
        s.send(message(FLUSH, body=b"") + b"\0" * 7)
    process.terminate()
    assert process.wait(20) == 0


def test_a_file_that_is_no_socket_stays(bare):
    """-s with the name of somebody's file: refused, and the file is as it was."""
    mine = bare.dir / "precious"
    mine.write_text("mine")
    result = subprocess.run(["timeout", "5", BUILD / "sallyportd", "-f", "-s", mine], text=True,
                            stderr=subprocess.PIPE, check=False)
    assert result.returncode == 1
    assert "precious" in result.stderr and "socket" in result.stderr
    assert mine.read_text() == "mine"
    assert os.listdir(bare.dir) == ["precious"]


def test_a_stale_socket_is_replaced(bare):
    """What a killed daemon leaves does not keep the next one out."""
    path = bare.dir / "keys"
    for how in ("kill", "terminate"):
        process = subprocess.Popen([BUILD / "sallyportd", "-f", "-s", path], stderr=subprocess.DEVNULL)
        wait_until(lambda: setkey(bare, path, "-D", check=False).returncode == 0, 10, "an answer")
        assert stat.S_ISSOCK(path.stat().st_mode)
        getattr(process, how)()
        process.wait(20)
    assert os.listdir(bare.dir) == []
