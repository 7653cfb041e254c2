# SPDX-License-Identifier: BSD-2-Clause
"""setkey against a daemon: what is refused, and that nothing of it was done."""

import re

import pytest

from lab import ARTICLE, wait_until

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
def keyed(bare):
    """A daemon that holds the article's databases; it needs no interface for that."""
    bare.keys = bare.dir / "keys.sock"
    daemon = bare.daemon("phoenix", "-s", bare.keys, interface=None, ready=False)
    wait_until(bare.keys.exists, 10, "the socket")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SALLYPORT_SOCKET", str(bare.keys))
        bare.setkey("phoenix", "-f", ARTICLE / "phoenix.conf")
        yield bare
        daemon.stop()


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
