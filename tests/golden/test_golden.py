#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Tests of the golden runner: that a deviation is seen, and excused by nothing else than
the rule or the row for it. Prints TAP.

    tests/golden/test_golden.py [BUILD]

With BUILD the runner itself is run, on a case of our own: to be done in contrib/in-namespaces.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import golden
import rules

SA = """10.0.0.1 10.0.0.2 
\tah mode={mode} spi=4096(0x00001000) reqid=0(0x00000000)
\tA: hmac-md5  {key}
\tseq=0x00000000 replay={replay} flags={flags} state=mature 
\tcreated: {date}\tcurrent: {date}
\tdiff: {age}(s)\thard: 0(s)\tsoft: 0(s)
\tlast:                     \thard: 0(s)\tsoft: 0(s)
\tcurrent: 0(bytes)\thard: 0(bytes)\tsoft: 0(bytes)
\tallocated: 0\thard: 0\tsoft: 0
\tsadb_seq=0 pid={pid} refcnt=0
"""
THEN = {"mode": "transport", "key": "00010203 04050607 08090a0b 0c0d0e0f", "replay": 0, "flags": "0x00000000",
        "date": "Jan  2 03:04:41 2024", "age": 0, "pid": 2738}
NOW = dict(THEN, date="Dec 24 18:00:00 2031", age=7, pid=31)
SP = """10.0.0.1[any] 10.0.0.2[any] {upper}
\tout prio def ipsec
\tah/transport//{level}
\tcreated: Jan  2 03:04:41 2024  lastused:                     
\tlifetime: 0(s) validtime: 0(s)
\tspid={spid} seq=0 pid=8
\trefcnt=2
"""
NO_SAD, NO_SPD = golden.EMPTY["sad"], golden.EMPTY["spd"]
QUIET = {"err": "", "rc": "0", "out": "", "sad": NO_SAD, "spd": NO_SPD}
LINE = "setkey: case.conf,{}: {}\n"
OURS = "case.conf:{}:7: {}: words\n  add 10.0.0.1 ...\n      ^~\n"


def sa(**fields):
    return SA.format(**dict(NOW, **fields))


# (name, what golden is besides QUIET, what ours is besides that, rows, outcome)
JUDGED = [
    ("nothing said on both sides", {}, {}, "", "is equal"),
    ("volatile parts do not count", {"sad": SA.format(**THEN)}, {"sad": sa()}, "", "is equal"),
    ("another key", {"sad": SA.format(**THEN)}, {"sad": sa(key="10010203 04050607 08090a0b 0c0d0e0f")}, "", "differs"),
    ("no SA", {"sad": SA.format(**THEN)}, {"sad": NO_SAD}, "", "differs"),
    ("one SA too many", {"sad": SA.format(**THEN)}, {"sad": sa() + sa()}, "", "differs"),
    ("mode any", {"sad": SA.format(**THEN)}, {"sad": sa(mode="any")}, "", "deviates on purpose"),
    ("mode tunnel for transport", {"sad": SA.format(**THEN)}, {"sad": sa(mode="tunnel")}, "", "differs"),
    ("flags of KAME", {"sad": SA.format(**THEN)}, {"sad": sa(flags="0x00000040")}, "", "deviates on purpose"),
    ("flags of nobody", {"sad": SA.format(**THEN)}, {"sad": sa(flags="0x80000000")}, "", "differs"),
    ("a window in octets", {"sad": SA.format(**dict(THEN, replay=4))}, {"sad": sa(replay=32)}, "",
     "deviates on purpose"),
    ("another window", {"sad": SA.format(**dict(THEN, replay=4))}, {"sad": sa(replay=40)}, "", "differs"),
    ("a window cut by Linux", {"sad": SA.format(**dict(THEN, replay=32))}, {"sad": sa(replay=800)}, "",
     "deviates on purpose"),
    ("any by its word", {"spd": SP.format(upper=255, level="require", spid=9)},
     {"spd": SP.format(upper="any", level="require", spid=3)}, "", "deviates on purpose"),
    ("any for another protocol", {"spd": SP.format(upper="tcp", level="require", spid=9)},
     {"spd": SP.format(upper="any", level="require", spid=3)}, "", "differs"),
    ("level default", {"spd": SP.format(upper=255, level="require", spid=9)},
     {"spd": SP.format(upper=255, level="default", spid=3)}, "", "deviates on purpose"),
    ("level use for require", {"spd": SP.format(upper=255, level="require", spid=9)},
     {"spd": SP.format(upper=255, level="use", spid=3)}, "", "differs"),
    ("an error on the same line", {"err": LINE.format(2, "syntax error at `x'"), "rc": "1"},
     {"err": OURS.format(2, "error"), "rc": "1"}, "", "deviates on purpose"),
    ("an error on another line", {"err": LINE.format(2, "syntax error at `x'"), "rc": "1"},
     {"err": OURS.format(3, "error"), "rc": "1"}, "", "differs"),
    ("an error that is not told", {"err": LINE.format(2, "Invalid argument")}, {"err": ""}, "", "differs"),
    ("an error of ours alone", {}, {"err": OURS.format(1, "error"), "rc": "1"}, "", "differs"),
    ("errors behind the first of the text", {"err": LINE.format(1, "syntax error at `x'"), "rc": "1"},
     {"err": OURS.format(1, "error") + OURS.format(2, "error"), "rc": "1"}, "", "deviates on purpose"),
    ("an error before the first of the text", {"err": LINE.format(2, "syntax error at `x'"), "rc": "1"},
     {"err": OURS.format(1, "error") + OURS.format(2, "error"), "rc": "1"}, "", "differs"),
    ("an error behind a refusal", {"err": LINE.format(1, "File exists")},
     {"err": OURS.format(1, "error") + OURS.format(2, "error"), "rc": "1"}, "", "differs"),
    ("a warning of ours", {}, {"err": OURS.format(1, "warning")}, "", "deviates on purpose"),
    ("a warning of golden's alone", {"err": LINE.format(1, "WARNING: obsolete algorithm at `x'")}, {"err": ""}, "",
     "differs"),
    ("status 1 for a refusal", {"err": LINE.format(1, "File exists")}, {"err": OURS.format(1, "error"), "rc": "1"},
     "", "deviates on purpose"),
    ("status 1 for nothing", {}, {"rc": "1"}, "", "differs"),
    ("status 0 for an error", {"err": LINE.format(1, "syntax error at `x'"), "rc": "1"},
     {"err": OURS.format(1, "error"), "rc": "0"}, "", "differs"),
    ("status of a crash", {"err": LINE.format(1, "File exists")}, {"err": OURS.format(1, "error"), "rc": "134"}, "",
     "differs"),
    ("other output", {"out": "a\n"}, {"out": "b\n"}, "", "differs"),
    ("output of ours alone", {}, {"out": "b\n"}, "", "differs"),
    ("a finding of the sanitizers", {}, {"err": "x.c:1:1: runtime error: shift\n"}, "", "differs"),
    ("a row for an error", {}, {"err": OURS.format(1, "error"), "rc": "1"}, "case err=1 D5 x", "deviates on purpose"),
    ("a row for another error", {}, {"err": OURS.format(2, "error"), "rc": "1"}, "case err=1 D5 x", "differs"),
    ("a row excuses its field alone", {"sad": SA.format(**THEN)}, {"err": OURS.format(1, "error"), "rc": "1",
     "sad": NO_SAD}, "case err=1 D5 x", "differs"),
    ("a row for each field", {"sad": SA.format(**THEN)}, {"err": OURS.format(1, "error"), "rc": "1", "sad": NO_SAD},
     "case err=1 D5 x\ncase sad=none D5 x", "deviates on purpose"),
    ("a row wants what it says", {"sad": SA.format(**THEN)}, {"sad": sa(key="ff")}, "case sad=none D5 x", "differs"),
    ("a row that excuses nothing", {"sad": SA.format(**THEN)}, {"sad": sa()}, "case sad=none D5 x", "differs"),
    ("two rows for one field", {"sad": SA.format(**THEN)}, {"sad": NO_SAD}, "case sad=none D5 x\nc* sad=none D5 x",
     "differs"),
]


def case_of(directory, golden_texts, name="case"):
    texts = dict(QUIET, **golden_texts)
    (directory / f"{name}.conf").write_text("flush;\n")
    for field in golden.FIELDS:
        (directory / f"{name}.{field}").write_text(texts[field])
    return golden.Case(directory, name)


def results():
    """(name, expected, found) of everything."""
    with tempfile.TemporaryDirectory() as tmp:
        directory = pathlib.Path(tmp)
        table = directory / "table"
        for name, golden_texts, ours, rows, expected in JUDGED:
            case = case_of(directory, golden_texts)
            table.write_text(rows)
            found = dict(QUIET, sad=case.golden["sad"], spd=case.golden["spd"])
            verdict = golden.judge(case, dict(found, **ours), golden.rows_of(golden.read_table(table), case))
            yield name, expected, verdict.outcome
        case = case_of(directory, {"err": LINE.format(2, "syntax error at `x'"), "rc": "1", "sad": sa()})
        yield "an error with an SA left runs half-way", "setkey --stream -f case.conf", case.command
        case = case_of(directory, {"err": LINE.format(2, "syntax error at `x'"), "rc": "1"})
        yield "an error with nothing left does not", "setkey -f case.conf", case.command
    yield "the rules of lines are rules", set(), set(rules.LINE_RULES) - set(rules.RULES)


ADD = "add 10.0.0.1 10.0.0.2 ah 4096 -m transport -A hmac-md5 0x000102030405060708090a0b0c0d0e0f;\n"


def whole_runs(build):
    """(name, expected, found) of cases that are really run: one that is right, and its mutations."""
    for name, golden_texts, table, expected in (
            ("a case that is right", {}, "", "ok ok"),
            ("another SA afterwards", {"sad": SA.format(**dict(THEN, key="ff010203 04050607 08090a0b 0c0d0e0f"))}, "",
             "not ok ok"),
            ("a policy afterwards", {"spd": SP.format(upper=255, level="require", spid=9)}, "", "not ok ok"),
            ("another exit status", {"rc": "1"}, "", "not ok ok"),
            ("other output", {"out": "x\n"}, "", "not ok ok"),
            ("a message", {"err": LINE.format(1, "File exists")}, "", "not ok ok"),
            ("a row that excuses nothing", {}, "case sad=none D5 x", "not ok ok")):
        with tempfile.TemporaryDirectory() as tmp:
            directory = pathlib.Path(tmp)
            case_of(directory, dict({"sad": SA.format(**THEN)}, **golden_texts))
            (directory / "case.conf").write_text(ADD)
            case_of(directory, {"rc": "0"}, "empty")
            (directory / "table").write_text(table)
            run = subprocess.run([sys.executable, golden.__file__, build, "--golden", directory, "--table",
                                  directory / "table", "case", "empty"], text=True, check=False,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            told = " ".join(re.findall(r"^(ok|not ok) \d", run.stdout, re.MULTILINE))
            yield f"run: {name}", (expected, int("not" in expected)), (told, run.returncode)


def main():
    good = True
    number = 0
    both = [*results(), *(whole_runs(sys.argv[1]) if sys.argv[1:] else ())]
    for number, (name, expected, found) in enumerate(both, 1):
        good &= expected == found
        print(f"{'' if expected == found else 'not '}ok {number} - {name}")
        if expected != found:
            print(f"# expected {expected}, found {found}")
    print(f"1..{number}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
