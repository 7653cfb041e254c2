# SPDX-License-Identifier: BSD-2-Clause
"""The control socket under clients that do not behave."""

import errno
import json
import os
import random
import re
import socket
import stat
import struct
import subprocess
import time

import pytest

from lab import BUILD, SANITIZER, wait_until

HEADER = struct.Struct("=BBBBHHII")
ADD, REGISTER, FLUSH, DUMP, PROMISC, SPDFLUSH, BEGIN, COMMIT, ROLLBACK = 3, 7, 9, 10, 11, 19, 129, 130, 131
HELLO, TUNABLE, STATS = 128, 132, 133


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
    # a socket's path is there a moment before somebody listens
    wait_until(lambda: s.connect_ex(str(path)) == 0, 5, "somebody listens")
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
                header = HEADER.unpack_from(data)
                if header[1] == DUMP:  # what others did comes in between
                    left.append(header[6])
                data = data[size:]
    except TimeoutError:
        pass
    # Its first dump was under way when all was flushed: it ends there, and says so. The next has what came then.
    first = left[:left.index(0) + 1]
    assert first == [*range(1, len(first)), 0] and 10 < len(first) < 3000
    assert left[len(first):len(first) + 10] == [*range(1, 10), 0]
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


# Transactions ------------------------------------------------------------------------

def add(spi, seq=1):
    """add 10.0.0.1 10.0.0.2 ah SPI -A hmac-md5 ..."""
    ends = b"".join(struct.pack("=HHBBHHH", 3, kind, 255, 32, 0, socket.AF_INET, 0) + socket.inet_aton(address)
                    + bytes(8) for kind, address in ((5, "10.0.0.1"), (6, "10.0.0.2")))
    sa = struct.pack("=HH", 2, 1) + struct.pack(">I", spi) + struct.pack("=BBBBI", 0, 1, 2, 0, 0x40)
    key = struct.pack("=HHHH", 3, 8, 128, 0) + b"1234567890123456"
    return message(ADD, seq, sa + ends + key, satype=2)


def answers(s, until):
    """[(type, errno, seq)] of our own messages up to the one of this type."""
    found = []
    while not found or found[-1][0] != until:
        data = s.recv(65536)
        assert data
        while data:
            _, kind, error, _, size, _, seq, pid = HEADER.unpack_from(data)
            if pid == os.getpid():
                found.append((kind, error, seq))
            data = data[size * 8:]
    return found


def spis(lab, path):
    """In the SAD, oldest first."""
    return [int(spi) for spi in re.findall(r"spi=(\d+)", setkey(lab, path, "-D").stdout)][::-1]


def test_a_transaction_is_done_at_its_end(keys):
    lab, path, _ = keys
    with client(path) as s:
        s.send(message(BEGIN, 1))
        assert answers(s, BEGIN) == [(BEGIN, 0, 1)]
        s.send(add(300, 2) + add(301, 3))
        s.send(message(BEGIN, 4))
        assert answers(s, BEGIN) == [(BEGIN, errno.EBUSY, 4)]  # and nothing of what was collected
        assert spis(lab, path) == []
        s.send(add(302, 5) + message(COMMIT, 6))
        assert answers(s, COMMIT) == [(ADD, 0, 2), (ADD, 0, 3), (ADD, 0, 5), (COMMIT, 0, 6)]
        assert spis(lab, path) == [300, 301, 302]
        s.send(add(303, 7))  # as ever
        assert answers(s, ADD) == [(ADD, 0, 7)]
        s.send(message(COMMIT, 8))
        assert answers(s, COMMIT) == [(COMMIT, errno.EINVAL, 8)]
    assert spis(lab, path) == [300, 301, 302, 303]


def test_a_refused_transaction_does_nothing(keys):
    lab, path, _ = keys
    load(lab, path, 5)
    before = setkey(lab, path, "-D").stdout
    wrong = {
        "there already": (add(300, 2) + add(300, 3), [(ADD, 0, 2), (ADD, errno.EEXIST, 3)]),
        "nothing that can be read": (message(ADD, 2, b"\xff" * 8) + add(300, 3),
                                     [(ADD, errno.EINVAL, 2), (ADD, 0, 3)]),
        "no such message": (message(200, 2) + message(FLUSH, 3), [(200, errno.EINVAL, 2), (FLUSH, 0, 3)]),
    }
    with client(path) as s:
        for name, (messages, said) in wrong.items():
            s.send(message(BEGIN, 1) + messages + message(COMMIT, 4))
            assert answers(s, COMMIT) == [(BEGIN, 0, 1), *said, (COMMIT, errno.ECANCELED, 4)], name
            strip = re.compile(r"(current|diff):.*|pid=\d+")
            assert strip.sub("", setkey(lab, path, "-D").stdout) == strip.sub("", before), name
        # A datagram that is too long is none of the transaction, and so it is not all of it.
        s.send(message(BEGIN, 1) + message(FLUSH, 2))
        s.send(add(300, 3) * 100)
        s.send(message(COMMIT, 4))
        assert answers(s, COMMIT) == [(BEGIN, 0, 1), (ADD, errno.EMSGSIZE, 3), (FLUSH, 0, 2),
                                      (COMMIT, errno.ECANCELED, 4)]
        # To show what is not there is no refusal.
        s.send(message(BEGIN, 1) + message(FLUSH, 2) + message(DUMP, 3) + add(300, 4) + message(COMMIT, 5))
        assert answers(s, COMMIT) == [(BEGIN, 0, 1), (FLUSH, 0, 2), (DUMP, errno.ENOENT, 3), (ADD, 0, 4),
                                      (COMMIT, 0, 5)]
    assert spis(lab, path) == [300]


def test_a_transaction_of_many_dumps(keys):
    """One shows whatever there is; more than there is room for are refused, and with them the rest."""
    lab, path, _ = keys
    load(lab, path, 3000)
    with client(path) as s:
        s.send(message(BEGIN, 1) + message(DUMP, 2) + add(300, 3) + message(COMMIT, 4))
        said = answers(s, COMMIT)
        assert len(said) == 3003 and said[-1] == (COMMIT, 0, 4)
        s.send(message(BEGIN, 1) + message(DUMP, 2) * 100 + message(COMMIT, 3))
        said = answers(s, COMMIT)
        assert (DUMP, errno.ENOBUFS, 2) in said and said[-1] == (COMMIT, errno.ECANCELED, 3)
        assert len(said) < 6200
    assert len(spis(lab, path)) == 3001


def test_a_transaction_without_its_end(keys):
    """Taken back, left, or never ended: nothing of it is done, and others go on."""
    lab, path, _ = keys
    with client(path) as kept, client(path) as s:
        kept.send(message(BEGIN, 1) + add(400, 2))
        assert answers(kept, BEGIN) == [(BEGIN, 0, 1)]
        s.send(message(BEGIN, 1) + add(300, 2) + message(ROLLBACK, 3))
        assert answers(s, ROLLBACK) == [(BEGIN, 0, 1), (ROLLBACK, 0, 3)]
        s.send(message(COMMIT, 4))
        assert answers(s, COMMIT) == [(COMMIT, errno.EINVAL, 4)]
        s.send(message(BEGIN, 5) + add(301, 6))
        assert answers(s, BEGIN) == [(BEGIN, 0, 5)]
        s.close()
        assert spis(lab, path) == []
        load(lab, path, 3)
        assert len(spis(lab, path)) == 3
        kept.send(message(COMMIT, 7))
        assert answers(kept, COMMIT)[-2:] == [(ADD, 0, 2), (COMMIT, 0, 7)]
    assert len(spis(lab, path)) == 4


def test_a_transaction_shows_no_sa_that_is_past_its_limit(keys):
    lab, path, _ = keys
    setkey(lab, path, "-e", "add 10.0.0.1 10.0.0.2 esp 300 -lh 1 -E null;")
    created = int(time.time())
    while True:
        asked = int(time.time())
        if "spi=300" not in setkey(lab, path, "--atomic", "-e", "dump;").stdout:
            break
        assert asked <= created + 1


def test_two_transactions_at_once(keys):
    """Each is done where it ends; what the first has taken, the second is refused."""
    lab, path, _ = keys
    with client(path) as one, client(path) as two:
        for s in (one, two):
            s.send(message(BEGIN, 1) + add(300, 2))
            answers(s, BEGIN)
        one.send(add(301, 3))
        two.send(add(302, 3) + message(COMMIT, 4))
        assert answers(two, COMMIT) == [(ADD, 0, 2), (ADD, 0, 3), (COMMIT, 0, 4)]
        one.send(message(COMMIT, 4))
        said = answers(one, COMMIT)
        # news of the other's come with the same pid: it is one process that plays both
        assert said[-3:] == [(ADD, errno.EEXIST, 2), (ADD, 0, 3), (COMMIT, errno.ECANCELED, 4)]
    assert spis(lab, path) == [300, 302]


def test_news_come_when_a_transaction_stands(keys):
    _, path, _ = keys
    with client(path) as s, client(path) as other:
        other.send(message(SPDFLUSH))
        answers(other, SPDFLUSH)
        s.send(message(BEGIN, 1) + add(300, 2) + add(300, 3) + message(COMMIT, 4))
        answers(s, COMMIT)
        s.send(message(BEGIN, 1) + add(301, 7) + message(COMMIT, 8))
        answers(s, COMMIT)
        s.send(message(SPDFLUSH, 9))
        assert answers(other, SPDFLUSH) == [(ADD, 0, 7), (SPDFLUSH, 0, 9)]


def test_who_listens_sees_transactions(keys):
    """What is asked and what is answered, done or not."""
    _, path, _ = keys
    with client(path) as s, client(path) as listener:
        listener.send(message(PROMISC, 1, satype=1))
        assert answers(listener, PROMISC) == [(PROMISC, 0, 1)]
        s.send(message(BEGIN, 1) + add(300, 2) + add(300, 3) + message(COMMIT, 4) + message(SPDFLUSH, 5))
        answers(s, SPDFLUSH)
        said = answers(listener, SPDFLUSH)
        # BEGIN and COMMIT are not for a client that never said HELLO
        assert sorted(said) == sorted([(ADD, 0, 2), (ADD, 0, 3), (ADD, 0, 2), (ADD, errno.EEXIST, 3),
                                       (SPDFLUSH, 0, 5), (SPDFLUSH, 0, 5)])
        listener.send(message(PROMISC, 2, satype=2))
        assert answers(listener, PROMISC) == [(PROMISC, errno.EINVAL, 2)]
        listener.send(message(PROMISC, 3))
        answers(listener, PROMISC)
        s.send(message(DUMP, 6))
        s.send(message(SPDFLUSH, 7))
        answers(s, SPDFLUSH)
        assert answers(listener, SPDFLUSH) == [(SPDFLUSH, 0, 7)]


def test_a_large_transaction_and_much_news(keys):
    """A client that sends and does not listen is read on, whatever happens meanwhile."""
    lab, path, _ = keys
    with client(path) as s:
        s.send(message(BEGIN, 1))
        load(lab, path, 12000)
        until = time.monotonic() + 60
        for _ in range(600):
            s.send(message(FLUSH, 2) * 100)
            assert time.monotonic() < until
        s.send(message(COMMIT, 3))
        assert answers(s, COMMIT)[-1] == (COMMIT, 0, 3)
    assert spis(lab, path) == []


def test_much_news_of_what_expires(keys):
    """It is no reason either not to read from a client that sends and does not listen."""
    lab, path, _ = keys
    with client(path) as s:
        s.send(message(REGISTER, 1))
        assert answers(s, REGISTER) == [(REGISTER, 0, 1)]
        setkey(lab, path, "-c", input="".join(f"add 10.0.0.1 10.0.0.2 esp {spi} -lh 1 -E null;\n"
                                              for spi in range(300, 8300)))
        wait_until(lambda: not spis(lab, path), 10, "the SAs' end")
        s.send(message(BEGIN, 2))
        for _ in range(600):
            s.send(message(FLUSH, 3) * 100)
        s.send(message(COMMIT, 4))
        assert answers(s, COMMIT)[-1] == (COMMIT, 0, 4)


def test_a_transaction_that_is_too_big(keys):
    """It is said once, nothing of it is done, and its memory is given back."""
    lab, path, process = keys
    load(lab, path, 3)
    with client(path) as s:
        s.send(message(BEGIN, 1))
        assert answers(s, BEGIN) == [(BEGIN, 0, 1)]
        for _ in range(8200):
            s.send(message(FLUSH, 2) * 512)  # 8 KiB
        s.send(message(COMMIT, 3))
        assert answers(s, COMMIT) == [(FLUSH, errno.ENOBUFS, 2), (COMMIT, errno.ENOBUFS, 3)]
        s.send(message(BEGIN, 4) + add(300, 5) + message(COMMIT, 6))
        assert answers(s, COMMIT) == [(BEGIN, 0, 4), (ADD, 0, 5), (COMMIT, 0, 6)]
    assert len(spis(lab, path)) == 4


# Tunables and counters ---------------------------------------------------------------

def hello(s):
    s.send(message(HELLO, 1, struct.pack("=HHIQ", 2, 0x5303, 1, 0)))
    assert answers(s, HELLO) == [(HELLO, 0, 1)]


def extension(kind, body):
    body += bytes(-(4 + len(body)) % 8)
    return struct.pack("=HH", (4 + len(body)) // 8, kind) + body


def tunable(seq, name, value=None):
    text = b"".join(part.encode() + b"\0" for part in (name, value or "", ""))
    return message(TUNABLE, seq, extension(0x5305, struct.pack("=B3x", value is not None) + text))


def counters(lab, path, group="pfkey"):
    result = lab.sallyport("phoenix", "stats", "-j", group, env=dict(os.environ, SALLYPORT_SOCKET=str(path)))
    return json.loads(result.stdout)[group]


def test_private_messages_are_for_those_who_said_hello(keys):
    _, path, _ = keys
    with client(path) as s:
        s.send(message(TUNABLE, 1) + message(STATS, 2, extension(0x5306, bytes(4))))
        assert answers(s, STATS) == [(TUNABLE, errno.EOPNOTSUPP, 1), (STATS, errno.EOPNOTSUPP, 2)]
        hello(s)
        s.send(tunable(3, "net.key.larval_lifetime"))
        assert answers(s, TUNABLE) == [(TUNABLE, 0, 3)]
        s.send(message(STATS, 4, extension(0x5306, bytes(4))))
        assert answers(s, STATS)[-1][1] == 0
        s.send(message(STATS, 5))
        assert answers(s, STATS) == [(STATS, errno.EINVAL, 5)]


def test_a_transaction_of_tunables(keys):
    lab, path, _ = keys

    def value(name):
        return lab.sallyport("phoenix", "sysctl", "-n", name,
                             env=dict(os.environ, SALLYPORT_SOCKET=str(path))).stdout.strip()

    with client(path) as s:
        hello(s)
        s.send(message(BEGIN, 1) + tunable(2, "net.key.blockacq_count", "3") + message(COMMIT, 3))
        assert answers(s, COMMIT) == [(BEGIN, 0, 1), (TUNABLE, 0, 2), (COMMIT, 0, 3)]
        assert value("net.key.blockacq_count") == "3"
        s.send(message(BEGIN, 1) + tunable(2, "net.key.blockacq_count", "4")
               + tunable(3, "net.key.spi_trycnt", "0") + message(COMMIT, 4))
        assert answers(s, COMMIT) == [(BEGIN, 0, 1), (TUNABLE, 0, 2), (TUNABLE, errno.EINVAL, 3),
                                      (COMMIT, errno.ECANCELED, 4)]
        assert value("net.key.blockacq_count") == "3"


def test_each_counter_of_pfkey(keys):
    """A request that is wrong in one way moves that way's counter, and no other of those."""
    lab, path, _ = keys
    wrong = {
        "out_tooshort": b"\2" + bytes(14),
        "out_invver": HEADER.pack(3, DUMP, 0, 0, 2, 0, 1, os.getpid()),
        "out_invlen": HEADER.pack(2, DUMP, 0, 0, 5, 0, 1, os.getpid()),
        "out_dupext": message(ADD, body=2 * struct.pack("=HHIBBBBI", 2, 1, 0, 0, 1, 2, 0, 0), satype=2),
        "out_invexttype": message(ADD, body=struct.pack("=HHI", 1, 99, 0), satype=2),
        "out_invaddr": message(ADD, body=struct.pack("=HHBBHHH", 3, 5, 255, 32, 0, 77, 0) + bytes(12), satype=2),
        "out_invmsgtype": message(77),
        "out_invsatype": message(FLUSH, satype=77),
    }
    quiet = set(wrong) | {"out_nomem", "in_nomem", "sockerr"}
    with client(path) as s:
        for name, request in wrong.items():
            before = counters(lab, path)
            s.send(request)
            s.recv(65536)
            after = counters(lab, path)
            assert {key for key in quiet if after[key] != before[key]} == {name}
            assert after[name] == before[name] + 1
        before = counters(lab, path)
        s.send(add(300))
        answers(s, ADD)
        between = counters(lab, path)
        assert between["in_msgtarget_all"] == before["in_msgtarget_all"] + 1
        assert between["out_msgtype"]["ADD"] == before["out_msgtype"].get("ADD", 0) + 1
        s.send(message(DUMP))
        answers(s, DUMP)
        after = counters(lab, path)
        assert after["in_msgtarget_one"] == between["in_msgtarget_one"] + 1
        # HELLO and STATS of the look before, and DUMP
        assert after["out_total"] == between["out_total"] + 3
        assert after["out_bytes"] == between["out_bytes"] + 16 + 32 + 24
        assert after["in_total"] > between["in_total"] and after["in_bytes"] > between["in_bytes"]
        assert after["in_msgtype"]["DUMP"] == between["in_msgtype"]["DUMP"] + 1

        # a lifetime of 1 s: whoever registered is told
        with client(path) as key_manager:
            key_manager.send(message(REGISTER))
            key_manager.recv(65536)
            setkey(lab, path, "-c", input='add 10.0.0.1 10.0.0.2 ah 999 -lh 1 -ls 1 -A hmac-md5 "1234567890123456";')
            wait_until(lambda: counters(lab, path)["in_msgtarget_registered"] > after["in_msgtarget_registered"], 10)

        # it listens and never reads: what it loses is counted
        with client(path) as lazy:
            lazy.send(message(PROMISC, satype=1))
            lazy.recv(65536)
            wait_until(lambda: load(lab, path, 600) or counters(lab, path)["in_nomem"] > 0, 60, "lost messages")


def test_counters_of_a_client_that_does_not_read(keys):
    lab, path, _ = keys
    s = client(path)
    load(lab, path, 3000)
    before = counters(lab, path)
    s.send(message(DUMP, 1) + message(DUMP, 2))  # the second waits for the first
    seqs = []
    s.settimeout(10)
    while seqs.count(0) < 2:
        data = s.recv(65536)
        while data:
            header = HEADER.unpack_from(data)
            if header[1] == DUMP:  # what was loaded it was told, too
                seqs.append(header[6])
            data = data[struct.unpack_from("=H", data, 4)[0] * 8:]
    assert seqs == [*range(1, 3000), 0] * 2
    assert counters(lab, path)["out_nomem"] == before["out_nomem"]
    s.send(message(DUMP, 3))
    s.close()  # and then there is nobody
    wait_until(lambda: counters(lab, path)["sockerr"] > before["sockerr"], 10, "a failed socket")
