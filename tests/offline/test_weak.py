# SPDX-License-Identifier: BSD-2-Clause
"""`setkey -n` names what is weak, where it is written first; and what nobody has is refused with the reason."""

import re
import subprocess

import captures
from cases import ROWS, key_of

SETKEY = captures.SALLYPORT.parent / "setkey"
# RFC 8221 sections 5 and 6 (MUST NOT, SHOULD NOT), RFC 9395 section 3; keyed-sha1 and tcp-md5 are of older kin.
WEAK = {"ENC": {"des-cbc", "des-deriv", "des-32iv", "3des-cbc", "blowfish-cbc", "cast128-cbc"},
        "AUTH": {"hmac-md5", "keyed-md5", "keyed-sha1", "null", "tcp-md5"}}
NOBODYS = {"oui", "lzs"}


def line_of(number, row):
    ends = f"add 10.0.{number}.1 10.0.{number}.2"
    key = f"0x{key_of('weak', row.key[-1] or 8).hex()}"
    if row.kind == "COMP":
        return f"{ends} ipcomp {1000 + number} -C {row.name};"
    protocol = next(word for word in ("esp", "ah", "tcp", "esp-old") if word in row.protocols)
    if row.kind == "ENC":
        return f"{ends} {protocol} {1000 + number} -E {row.name} {key};"
    cipher = f"-E rijndael-cbc 0x{key_of('weak', 16).hex()} " if protocol == "esp" else ""
    return f"{ends} {protocol} {1000 + number} {cipher}-A {row.name} {key};"


def check(text):
    done = subprocess.run([SETKEY, "-n", "-f", "-"], input=text, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return re.findall(r"^stdin:(\d+):\d+: warning: (\S+) (is weak|will be refused): .+$", done.stderr, re.MULTILINE)


def test_every_row_is_what_the_rfcs_say():
    lines = [line_of(number, row) for number, row in enumerate(ROWS)]
    expected = []
    for number, row in enumerate(ROWS, 1):
        if row.name in WEAK.get(row.kind, ()):
            expected.append((str(number), row.name, "is weak"))
        elif row.name in NOBODYS:
            expected.append((str(number), row.name, "will be refused"))
    assert check("\n".join(lines) + "\n") == expected
    assert len(expected) == sum(map(len, WEAK.values())) + len(NOBODYS)


def test_each_is_named_once():
    """A file of a thousand old SAs is one warning, not a thousand."""
    row = next(row for row in ROWS if row.name == "3des-cbc")
    lines = [line_of(number, row) for number in range(200)]
    assert check("\n".join(lines) + "\n") == [("1", "3des-cbc", "is weak")]


def test_the_weak_ones_are_loaded_without_a_word(tmp_path):
    lines = [line_of(number, row) for number, row in enumerate(ROWS) if row.name in WEAK.get(row.kind, ())]
    result = captures.run(tmp_path, "protect", "\n".join(lines), captures.pcap([]))
    assert (result.status, result.stderr) == (0, "")


def test_what_nobody_has_is_refused_with_the_reason(tmp_path):
    for name, reason in (("oui", "a vendor's own compression"), ("lzs", "no free library has it")):
        result = captures.run(tmp_path, "protect", f"add 10.0.0.1 10.0.0.2 ipcomp 2000 -C {name};", captures.pcap([]))
        assert result.status == 2 and f"there is no {name} ({reason}" in result.stderr, result.stderr


def test_twofish_is_held_and_its_packets_dropped(tmp_path):
    text = f"add 10.0.0.1 10.0.0.2 esp 0x1001 -E twofish-cbc 0x{key_of('weak', 16).hex()};"
    result = captures.run(tmp_path, "protect", text, captures.pcap([]))
    assert result.status == 0 and "warning: twofish-cbc is not provided" in result.stderr
