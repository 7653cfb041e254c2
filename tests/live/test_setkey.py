# SPDX-License-Identifier: BSD-2-Clause
"""setkey against a daemon: what is refused, and that nothing of it was done."""

import fcntl
import os
import pty
import re
import select
import socket
import struct
import subprocess
import termios
import time

import pytest

from lab import ARTICLE, BUILD, wait_until

SA = 'add 192.0.2.10 198.51.100.10'

# A file, and what its error begins with: line and column count from 1.
BAD = {
    "short key in the third command": (
        f'{SA} esp 0x1001 -E null "";\n{SA} ah 0x1002 -A hmac-md5 "1234567890123456";\n'
        f'{SA} ah 0x1003 -A hmac-sha1 0x00112233445566778899;\n',
        ":3:", ("hmac-sha1", "80", "160")),
    "unknown command": (f'{SA} esp 0x1001 -E null "";\nspdad 192.0.2.10 198.51.100.10 any -P out none;\n',
                        ":2:1: ", ("spdad", "spdadd")),
    "unknown algorithm": (f'{SA} esp 0x1001 -E blowfis-cbc "12345";\n', ":1:", ("blowfis-cbc", "blowfish-cbc")),
    "no semicolon": (f'{SA} esp 0x1001 -E null ""\n', ":1:", (";",)),
}


@pytest.fixture
def keyed(databases):
    """The article's databases."""
    databases.setkey("phoenix", "-f", ARTICLE / "phoenix.conf")
    return databases


@pytest.mark.parametrize("name", BAD)
def test_bad_file_changes_nothing(keyed, name):
    text, place, words = BAD[name]
    path = keyed.dir / "bad.conf"
    path.write_text(text)
    before = keyed.dumps("phoenix")
    result = keyed.setkey("phoenix", "-f", path, check=False)
    assert result.returncode == 1
    first, *rest = result.stderr.splitlines()
    assert first.startswith(f"{path}{place}") and ": error: " in first, result.stderr
    for word in words:
        assert word in first, first
    assert any(line.strip(" ~") == "^" for line in rest), result.stderr
    assert keyed.dumps("phoenix") == before


# Line, column and a word of each of ten mistakes; the right statements between them are not done either.
TEN = f"""{SA} esp 0x2001 -E null "";
{SA} esp 0x10 -E null "";
{SA} esp 0x2002 -E aes-gcm-16 "too short";
{SA} ah 0x2003 -E null "" ;
{SA} esp 0x100000000 -E null "";
adn 192.0.2.10 198.51.100.10 esp 0x2004 -E null "";
spdadd 192.0.2.0/33 198.51.100.10 any -P out none;
spdflush;
spdadd 192.0.2.10 198.51.100.10 any -P out;
spdadd 192.0.2.10 198.51.100.10 any -P out ipsec
        esp/transport//requre;
{SA} esp 0x2001 -E null "";
delete 192.0.2.10 192.0.2.010 esp 0x2001;
"""
TEN_PLACES = [(2, 34, "0 to 255"), (3, 55, "72 bits"), (4, 40, "-E"), (5, 34, "32 bits"), (6, 1, "`add`"),
              (7, 18, "32 bits"), (9, 43, "discard, none"), (11, 24, "`require`"), (12, 34, "line 1"),
              (13, 19, "leading zero")]


def test_ten_mistakes_in_one_run(keyed):
    path = keyed.dir / "ten.conf"
    path.write_text(TEN)
    before = keyed.dumps("phoenix")
    result = keyed.setkey("phoenix", "-f", path, check=False)
    assert result.returncode == 1
    told = re.findall(rf"(?m)^{re.escape(str(path))}:(\d+):(\d+): error: (.*)$", result.stderr)
    assert [(int(line), int(column)) for line, column, _ in told] == [place[:2] for place in TEN_PLACES], result.stderr
    for (_, _, text), (_, _, word) in zip(told, TEN_PLACES):
        assert word in text, text
    assert "too short" not in result.stderr
    assert keyed.dumps("phoenix") == before


def test_caret_stands_under_the_key_and_hides_it(keyed):
    text = BAD["short key in the third command"][0]
    result = keyed.setkey("phoenix", "-c", input=text, check=False)
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert lines[0].startswith("stdin:3:")
    column = int(lines[0].split(":")[2])
    quoted, caret = lines[1], lines[2]
    assert caret.index("^") == column - 1 + 2  # the quoted line stands behind two blanks
    assert quoted[caret.index("^"):].startswith("0x" + "*" * 20)
    assert "00112233445566778899" not in result.stderr


def test_refused_by_the_daemon_under_its_caret(keyed):
    """The same SA twice: the words are the daemon's, the place is ours."""
    before = keyed.dumps("phoenix")
    result = keyed.setkey("phoenix", "-c", check=False, input=(
        '\nadd 192.0.2.10 198.51.100.10 ah 15700 -A hmac-md5 "1234567890123456";\n'))
    assert result.returncode != 0
    assert result.stderr.startswith("stdin:2:") and "File exists" in result.stderr, result.stderr
    assert keyed.dumps("phoenix") == before


def test_dumps(keyed):
    sad = keyed.setkey("phoenix", "-D").stdout
    for line in ("192.0.2.10 198.51.100.10", "\tah mode=any spi=15700(0x00003d54) reqid=0(0x00000000)",
                 "\tA: hmac-md5  31323334 35363738 39303132 33343536",
                 "\tesp mode=any spi=24501(0x00005fb5) reqid=0(0x00000000)",
                 "\tE: blowfish-cbc  31323334 35"):
        assert line in [shown.rstrip() for shown in sad.splitlines()], sad
    spd = keyed.setkey("phoenix", "-DP").stdout
    for line in ("192.0.2.10[any] 198.51.100.10[any] any", "esp/transport//default", "ah/transport//default"):
        assert line in [shown.strip() for shown in spd.splitlines()], spd
    keyed.setkey("phoenix", "-F")
    keyed.setkey("phoenix", "-FP")
    assert keyed.setkey("phoenix", "-D").stdout.strip() == "No SAD entries."
    assert keyed.setkey("phoenix", "-DP").stdout.strip() == "No SPD entries."


def test_get_says_nothing_of_its_place_in_the_text(keyed):
    """The number of the request is ours alone: wherever it stands, a get shows the same."""
    get = "get 192.0.2.10 198.51.100.10 ah 15700;\n"
    shown = [keyed.setkey("phoenix", "-c", input=text).stdout.splitlines()
             for text in (get, "spdflush;\n" * 3 + get)]
    for lines in shown:
        assert lines[0] == "192.0.2.10 198.51.100.10 " and lines[-1].startswith("\tsadb_seq=0 pid="), lines


def test_verbose_shows_each_answer_behind_its_request(keyed):
    result = keyed.setkey("phoenix", "-v", "-c", check=False, input=(
        "spdflush;\nget 192.0.2.10 198.51.100.10 ah 15700;\ndelete 192.0.2.10 198.51.100.10 ah 1000;\n"))
    heads = re.findall(r"(?m)^sadb_msg\{ version=2 type=(\d+) errno=(\d+)", result.stdout)
    assert heads == [("19", "0"), ("19", "0"), ("5", "0"), ("5", "0"), ("4", "0"), ("4", "3")]
    assert result.returncode == 1 and result.stderr.startswith("stdin:3:"), result.stderr


def test_no_daemon(bare):
    """One line that says how to start one."""
    for arguments in (("-D",), ("-DP",), ("-f", ARTICLE / "phoenix.conf")):
        result = bare.setkey("phoenix", *arguments, check=False)
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1 and "sallyportd" in result.stderr, result.stderr


def test_two_namespaces_never_meet(bare):
    """One file system, two namespaces, two daemons without -s."""
    daemons = {}
    for host in ("phoenix", "cardinal"):
        daemons[host] = bare.daemon(host, interface=None)
        bare.setkey(host, "-f", ARTICLE / f"{host}.conf")
    assert "192.0.2.10[any] 198.51.100.10[any] any" in bare.setkey("phoenix", "-DP").stdout
    assert "198.51.100.10[any] 192.0.2.10[any] any" in bare.setkey("cardinal", "-DP").stdout
    bare.setkey("phoenix", "-F")
    assert "spi=15700" in bare.setkey("cardinal", "-D").stdout
    for daemon in daemons.values():
        daemon.stop()


def test_an_spi_is_reserved_and_gets_its_keys(keyed):
    """getspi, update with keys, update with lifetimes; a key for the mature SA is refused."""
    before = keyed.setkey("phoenix", "-D").stdout
    larval = keyed.setkey("phoenix", "-c", input="getspi 192.0.2.10 198.51.100.10 esp 0 -m transport;").stdout
    spi = int(re.search(r"esp mode=transport spi=(\d+)\(", larval)[1])
    assert 0x100 <= spi <= 0x0fffffff and "state=larval" in larval and "E:" not in larval

    keys = f'update 192.0.2.10 198.51.100.10 esp {spi} -E aes-cbc "1234567890123456";'
    keyed.setkey("phoenix", "-c", input=f"{keys} exit; nonsense")
    one = f"get 192.0.2.10 198.51.100.10 esp {spi};"
    assert "state=mature" in keyed.setkey("phoenix", "-c", input=one).stdout
    result = keyed.setkey("phoenix", "-c", input=keys, check=False)
    assert result.returncode == 1
    place = keys.index('"') + 1
    assert result.stderr.startswith(f"stdin:1:{place}: error: a key for a mature SA"), result.stderr
    assert "1234567890123456" not in result.stderr

    keyed.setkey("phoenix", "-c", input=f"update 192.0.2.10 198.51.100.10 esp {spi} -lh 3600 -ls 3000;")
    assert re.search(r"hard: 3600\(s\)\s+soft: 3000\(s\)", keyed.setkey("phoenix", "-c", input=one).stdout)
    keyed.setkey("phoenix", "-c", input=f"delete 192.0.2.10 198.51.100.10 esp {spi};")
    assert keyed.setkey("phoenix", "-D").stdout.count("spi=") == before.count("spi=")


def test_spdupdate_replaces(keyed):
    keyed.setkey("phoenix", "-c", input="spdupdate 203.0.113.1 203.0.113.2 any -P out none;")
    keyed.setkey("phoenix", "-c", input="spdupdate 203.0.113.1 203.0.113.2 any -P out discard;")
    after = keyed.setkey("phoenix", "-DP").stdout
    assert after.count("203.0.113.1[any]") == 1 and after.count("discard") == 1, after


# The dialects' options ----------------------------------------------------------------

def directions(lab, address):
    """Of the policies from an address, in the order of -DP."""
    return re.findall(rf"(?m)^{re.escape(address)}\[any\] .*\n\t(\w+)", lab.setkey("phoenix", "-DP").stdout)


def test_a_policy_for_in_has_a_twin_for_fwd(keyed):
    policy = "203.0.113.1 203.0.113.2 any -P in"
    assert not directions(keyed, "203.0.113.1")
    keyed.setkey("phoenix", "-e", f"spdadd {policy} ipsec ah/transport//require;")
    assert sorted(directions(keyed, "203.0.113.1")) == ["fwd", "in"]
    keyed.setkey("phoenix", "-e", f"spdupdate {policy} discard;")
    assert sorted(directions(keyed, "203.0.113.1")) == ["fwd", "in"]
    assert keyed.setkey("phoenix", "-DP").stdout.count("discard") == 2
    keyed.setkey("phoenix", "-k", "-e", f"spddelete {policy};")
    assert directions(keyed, "203.0.113.1") == ["fwd"]
    keyed.setkey("phoenix", "-k", "-e", "spddelete 203.0.113.1 203.0.113.2 any -P fwd;")
    keyed.setkey("phoenix", "-k", "-e", f"spdadd {policy} none;")
    assert directions(keyed, "203.0.113.1") == ["in"]
    keyed.setkey("phoenix", "-r", "-e", f"spddelete {policy};")  # without a twin it is as good
    assert not directions(keyed, "203.0.113.1")
    keyed.setkey("phoenix", "-e", "spdadd 203.0.113.1 203.0.113.2 any -P out none;")
    assert directions(keyed, "203.0.113.1") == ["out"]


def test_a_twin_is_told_of_where_it_alone_is_refused(keyed):
    """The first policy's refusal is all that is said of it; the second one's twin is in the way."""
    keyed.setkey("phoenix", "-e", "spdadd 203.0.113.1 203.0.113.2 any -P in none;"
                 "spdadd 203.0.113.3 203.0.113.4 any -P fwd none;")
    result = keyed.setkey("phoenix", "-c", check=False, input=(
        "spdadd 203.0.113.1 203.0.113.2 any -P in none;\nspdadd 203.0.113.3 203.0.113.4 any -P in none;\n"))
    assert result.returncode == 1
    told = re.findall(r"(?m)^stdin:(\d+):\d+: error: (.*)", result.stderr)
    assert [line for line, _ in told] == ["1", "2"], result.stderr
    assert "twin for fwd" not in told[0][1] and "twin for fwd" in told[1][1]


def test_texts_of_the_command_line(keyed):
    path = keyed.dir / "some.conf"
    path.write_text(f'{SA} esp 0x1002 -E null;\n')
    keyed.setkey("phoenix", "-e", "flush;", "-e", f"{SA} esp 0x1001 -E null;", "-f", path, "-c",
                 input=f"{SA} esp 0x1003 -E null;")
    spis = re.findall(r"spi=\d+\(0x0*(\w+)\)", keyed.setkey("phoenix", "-D").stdout)
    assert spis == ["1003", "1002", "1001"]  # newest first
    result = keyed.setkey("phoenix", "-e", f"{SA} esp 0x1004 -E null;", "-e", f"{SA} esp 0x1001 -E null;",
                          check=False)
    assert result.returncode == 1 and result.stderr.startswith("-e:1:"), result.stderr
    assert "spi=4100" in keyed.setkey("phoenix", "-D").stdout  # what came before stays


def test_stream_does_what_comes_before_an_error(keyed):
    """A file ends at it, standard input goes on; what is refused ends neither."""
    text = (f"flush;\n{SA} esp 0x1001 -E null;\n{SA} esp 0x1001 -E null;\n{SA} esp 0x1002 -E null;\nflsh;\n"
            f"{SA} esp 0x1003 -E null; {SA} ah 1004 -A hmac-md5 \"1234567890123456\";\n")
    path = keyed.dir / "some.conf"
    path.write_text(text)
    result = keyed.setkey("phoenix", "--stream", "-f", path, "-e", "flush;", check=False)
    assert result.returncode == 1
    assert re.findall(r"(?m)^\S+:(\d+):(\d+): error", result.stderr) == [("3", "34"), ("5", "1")], result.stderr
    assert re.findall(r"spi=(\d+)", keyed.setkey("phoenix", "-D").stdout) == ["4098", "4097"]
    result = keyed.setkey("phoenix", "--stream", "-c", input=text, check=False)
    assert result.returncode == 1
    assert re.findall(r"(?m)^stdin:(\d+):", result.stderr) == ["3", "5"], result.stderr
    assert re.findall(r"spi=(\d+)", keyed.setkey("phoenix", "-D").stdout) == ["1004", "4099", "4098", "4097"]


def test_stream_goes_on_with_the_next_text(keyed):
    """Neither what is refused nor what standard input had wrong keeps further texts from being read."""
    one, two = (f"{SA} esp 0x100{i} -E null;" for i in (1, 2))
    result = keyed.setkey("phoenix", "--stream", "-e", f"flush; {SA} esp 0x1000 -E null; {SA} esp 0x1000 -E null;",
                          "-e", one, "-c", "-e", two, "-e", "exit;", "-e", "spdflush;", input="flsh;\n", check=False)
    assert result.returncode == 1
    assert re.findall(r"(?m)^(\S+?):\d+:\d+: error", result.stderr) == ["-e", "stdin"], result.stderr
    assert re.findall(r"spi=(\d+)", keyed.setkey("phoenix", "-D").stdout) == ["4098", "4097", "4096"]
    assert keyed.setkey("phoenix", "-DP").stdout == "No SPD entries.\n"


def test_stream_answers_before_the_next_line_comes(keyed):
    process = subprocess.Popen(["ip", "netns", "exec", "phoenix", BUILD / "setkey", "--stream", "-c"], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write("get 192.0.2.10 198.51.100.10 ah 15700;\n")
    process.stdin.flush()
    assert process.stdout.readline() == "192.0.2.10 198.51.100.10 \n"
    process.stdin.write("flush; dump; exit; nonsense\n")
    process.stdin.close()
    rest = process.stdout.read()
    assert process.wait(10) == 0 and rest.endswith("No SAD entries.\n"), rest


def test_stream_shows_no_key_behind_what_is_refused(keyed):
    """Of a line, only what has been read is shown."""
    key = "0x00112233445566778899aabbccddeeff"
    line = f"delete 192.0.2.10 198.51.100.10 ah 999; {SA} ah 1004 -A hmac-md5 {key};\n"
    for arguments in (("-c",), ("-f", "-"), ("-e", line)):
        result = keyed.setkey("phoenix", "--stream", *arguments, input=line, check=False)
        assert result.returncode == 1 and "no ah SA with SPI 999" in result.stderr, result.stderr
        assert key[2:] not in result.stderr and "hmac-md5" not in result.stderr, result.stderr
        keyed.setkey("phoenix", "-e", "delete 192.0.2.10 198.51.100.10 ah 1004;")


def test_atomic_does_all_or_nothing(keyed):
    before = keyed.dumps("phoenix")
    text = (f"flush;\n{SA} esp 0x1001 -E null;\ndelete 192.0.2.10 198.51.100.10 ah 999;\n"
            f"spdflush; spdadd 203.0.113.1 203.0.113.2 any -P in none;\n{SA} esp 0x1002 -E null;\n"
            "spddelete 203.0.113.9 203.0.113.2 any -P in none;\n")
    result = keyed.setkey("phoenix", "--atomic", "-c", input=text, check=False)
    assert result.returncode == 1
    assert "nothing was done" in result.stderr, result.stderr
    assert re.findall(r"(?m)^stdin:(\d+):\d+: error", result.stderr) == ["3", "6"], result.stderr
    assert keyed.dumps("phoenix") == before
    text = "".join(line for line in text.splitlines(True) if "delete" not in line)
    result = keyed.setkey("phoenix", "--atomic", "-c", input=text)
    assert not result.stderr
    assert re.findall(r"spi=(\d+)", keyed.setkey("phoenix", "-D").stdout) == ["4098", "4097"]
    assert sorted(directions(keyed, "203.0.113.1")) == ["fwd", "in"]


def test_atomic_shows_refusals_in_their_texts(keyed):
    """Twins count as requests of their own; the places are right all the same."""
    path = keyed.dir / "some.conf"
    policies = "".join(f"spdadd 203.0.113.{i} 203.0.113.200 any -P in none;\n" for i in range(1, 40))
    path.write_text(f'\n{policies}get 192.0.2.10 198.51.100.10 ah 15700;\n'
                    f'{SA} ah 15700 -A hmac-md5 "1234567890123456";\n')
    result = keyed.setkey("phoenix", "--atomic", "-e", "spdflush;", "-f", path, "-e",
                          "delete 192.0.2.10 198.51.100.10 ah 999;", check=False)
    told = re.findall(r"(?m)^(\S+?):(\d+):\d+: error", result.stderr)
    assert told == [(str(path), "42"), ("-e", "1")], result.stderr
    assert "1234567890123456" not in result.stderr
    assert "spi=15700" in result.stdout  # the get among them


def test_atomic_with_dumps(keyed):
    """Each shows the databases as they are at its place."""
    result = keyed.setkey("phoenix", "--atomic", "-e", f"flush; dump; {SA} esp 0x1001 -E null; dump; spddump;")
    assert result.stdout.startswith("No SAD entries.\n"), result.stdout
    assert re.findall(r"spi=(\d+)", result.stdout) == ["4097"]
    assert "192.0.2.10[any] 198.51.100.10[any] any" in result.stdout


def test_warnings_of_what_the_engine_cannot_do(keyed):
    """It is held, and said once; the place is right."""
    result = keyed.setkey("phoenix", "-c", input=(
        f"{SA} esp 0x1001 -E twofish-cbc 0x{'11' * 16};\n{SA} esp 0x1002 -E twofish-cbc 0x{'22' * 16};\n"))
    assert result.stderr.startswith("stdin:1:") and ": warning: twofish-cbc is not" in result.stderr, result.stderr
    assert result.stderr.count("twofish-cbc is not") == 1 and "1 more" in result.stderr, result.stderr
    assert keyed.setkey("phoenix", "-D").stdout.count("twofish") == 2


# Messages, stored and overheard --------------------------------------------------------

def test_files_of_messages(keyed):
    """What the daemon says, kept in a file, shows what a dump shows."""
    path = keyed.dir / "messages"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(str(keyed.keys))
        with path.open("wb") as file:
            for kind in (10, 18):  # DUMP, SPDDUMP
                s.send(struct.pack("=BBBBHHII", 2, kind, 0, 0, 2, 0, 1, 7))
                file.write(s.recv(65536))
    shown = re.sub(r"(created|current|diff|last):.*|pid=\d+", "", keyed.setkey("phoenix", path).stdout)
    assert shown == keyed.dumps("phoenix")
    entries = re.findall(r"refcnt=", shown)
    assert len(entries) > 4 and keyed.setkey("phoenix", "-v", path).stdout.count("sadb_msg{") == len(entries)
    path.write_bytes(path.read_bytes()[:-8])
    result = keyed.setkey("phoenix", path, check=False)
    assert result.returncode == 1 and "spi=15700" in result.stdout and "Invalid argument" in result.stderr


def test_listening_shows_what_others_do(keyed):
    """Requests and answers of another client, those of a transaction too; no hint of our own."""
    heard = keyed.dir / "heard"
    with heard.open("w") as out:
        process = subprocess.Popen(["ip", "netns", "exec", "phoenix", BUILD / "setkey", "-x"],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: keyed.setkey("phoenix", "-F") and heard.read_text(), 10, "an overheard flush")
        already = len(heard.read_text())
        keyed.setkey("phoenix", "-e", f"{SA} esp 0x1001 -E null; delete 192.0.2.10 198.51.100.10 ah 999;",
                     check=False)
        keyed.setkey("phoenix", "--atomic", "-e", f"{SA} esp 0x1002 -E null;")
        keyed.setkey("phoenix", "-FP")
        wait_until(lambda: heard.read_text().count("version=2 type=19 ") == 2, 10, "all of it")
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(10)
    text = heard.read_text()[already:]
    heads = re.findall(r"(?m)^sadb_msg\{ version=2 type=(\d+) errno=(\d+)", text)
    assert heads == [("3", "0"), ("3", "0"), ("4", "0"), ("4", "3"), ("129", "0"), ("129", "0"),
                     ("3", "0"), ("130", "0"), ("3", "0"), ("130", "0"), ("19", "0"), ("19", "0")], text
    assert len(re.findall(r"(?m)^\d\d:\d\d:\d\d\.\d{6} $", text)) == len(heads)


# At a terminal ------------------------------------------------------------------------

class Terminal:
    """setkey -c with a pseudoterminal for its standard input and outputs."""

    def __init__(self, host, *arguments, editing=True):
        self.fd, slave = pty.openpty()
        self.said, self.editing = "", editing
        # No line is broken, so no prompt is drawn twice.
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 1000, 0, 0))
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", host, BUILD / "setkey", *arguments, "-c"], stdin=slave, stdout=slave,
            stderr=slave, start_new_session=True, env=dict(os.environ, TERM="dumb"))
        os.close(slave)

    def expect(self, text, seconds=10.0):
        """Reads until the text comes, and hands back what came up to it."""
        deadline = time.monotonic() + seconds
        while text not in self.said:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], f"no {text!r} in {self.said!r}"
            try:
                self.said += os.read(self.fd, 65536).decode()
            except OSError:
                assert False, f"it ended without {text!r}: {self.said!r}"
        before, _, self.said = self.said.partition(text)
        return before

    def reads_keys(self):
        """The editor takes keys as they are a moment after its prompt; until then ^D is none."""
        return not termios.tcgetattr(self.fd)[3] & termios.ICANON

    def type(self, line):
        if self.editing:
            wait_until(self.reads_keys, 10, "the line editor")
        os.write(self.fd, line.encode())

    def end(self):
        """Its exit status."""
        deadline = time.monotonic() + 10
        try:
            while select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0] and os.read(self.fd, 65536):
                pass
        except OSError:  # nobody has the other end any more
            pass
        return self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self.fd)


PROMPT, MORE = "setkey> ", "      > "


def test_session(keyed):
    """Each statement is answered before the next; an error does not end it; exit does."""
    with Terminal("phoenix") as terminal:
        terminal.expect(PROMPT)
        terminal.type("get 192.0.2.10 198.51.100.10 ah 15700;\n")
        assert "spi=15700" in terminal.expect(PROMPT)
        terminal.type("flsh;\n")
        assert ":2:1: error: " in terminal.expect(PROMPT)
        terminal.type("delete 192.0.2.10 198.51.100.10\n")
        terminal.expect(MORE)
        terminal.type("ah 999;\n")
        assert ":4:4: error: there is no ah SA with SPI 999" in terminal.expect(PROMPT)
        terminal.type("flush; dump;\n")
        assert "No SAD entries." in terminal.expect(PROMPT)
        terminal.type("# a remark\n")
        terminal.expect(PROMPT)
        terminal.type("exit;\n")
        assert terminal.end() == 1  # something was wrong


def test_session_shows_no_key_of_a_wrong_line(keyed):
    key = "00112233445566778899aabbccddeeff"
    with Terminal("phoenix") as terminal:
        terminal.expect(PROMPT)
        terminal.type(f"flsh; {SA} ah 1004 -A hmac-md5 0x{key};\n")
        terminal.expect("error: ")
        assert key not in terminal.expect(PROMPT)
        terminal.type(f"{SA} ah 1 -A hmac-md5 0x{key};\n")
        terminal.expect("error: ")
        said = terminal.expect(PROMPT)
        assert key not in said and "*" * 32 in said
        terminal.type("dump;\n")
        assert "spi=1004" in terminal.expect(PROMPT)
        terminal.type("\x04")
        assert terminal.end() == 1


def test_session_ends_with_its_input(keyed):
    with Terminal("phoenix") as terminal:
        terminal.expect(PROMPT)
        terminal.type("\x04")
        assert terminal.end() == 0
    with Terminal("phoenix", "-n") as terminal:
        terminal.expect(PROMPT)
        terminal.type("flush; exit; nonsense\n")
        assert terminal.end() == 0
    assert "spi=15700" in keyed.setkey("phoenix", "-D").stdout


def test_atomic_at_a_terminal_waits_for_the_end(keyed):
    """All or nothing is not for a session: the whole text comes first."""
    with Terminal("phoenix", "--atomic", editing=False) as terminal:
        terminal.type(f"flush;\n{SA} esp 0x1001 -E null;\n")
        assert "spi=15700" in keyed.setkey("phoenix", "-D").stdout
        terminal.type("\x04")
        assert terminal.end() == 0
    assert re.findall(r"spi=(\d+)", keyed.setkey("phoenix", "-D").stdout) == ["4097"]


def test_progress_on_a_terminal(keyed):
    """A line that is written over and taken away; none where standard error is no terminal."""
    path = keyed.dir / "long.conf"
    path.write_text("flush;\n" + "".join(f'{SA} ah {1000 + n} -A hmac-md5 "1234567890123456";\n' for n in range(150000)))
    fd, slave = pty.openpty()
    with subprocess.Popen(["ip", "netns", "exec", "phoenix", BUILD / "setkey", "-f", path], stderr=slave) as process:
        os.close(slave)
        said = ""
        try:
            while data := os.read(fd, 65536):
                said += data.decode()
        except OSError:  # nobody has the other end any more
            pass
        assert process.wait(60) == 0, said
    os.close(fd)
    steps = [int(step) for step in re.findall(r"\rsetkey: (\d+) of 150001 commands", said)]
    assert steps and steps == sorted(steps) and said.endswith("\r\033[K"), said
    assert keyed.setkey("phoenix", "-f", path).stderr == ""
