#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Tests of the runner: that nothing which went wrong can pass as nothing. Prints TAP."""

import contextlib
import io
import os
import pathlib
import signal
import sys
import tempfile
import unittest.mock

import run

# What a program said, its exit status, and (passed, failed, skipped) that this is.
REPORTS = [
    ("all well", "1..2\nok 1 - a\nok 2 - b\n", 0, (2, 0, 0)),
    ("one failed", "1..2\nok 1 - a\nnot ok 2 - b\n# why\n", 1, (1, 1, 0)),
    ("plan at the end", "ok 1 - a\n1..1\n", 0, (1, 0, 0)),
    ("two groups of cmocka", "TAP version 13\n1..1\nok 1 - a\n# ok - g\n1..1\nok 1 - b\n", 0, (2, 0, 0)),
    ("skipped", "1..2\nok 1 - a # SKIP no kernel\nok 2 - b\n", 0, (1, 0, 1)),
    ("skipped, as cmocka says it", "eBPF is not permitted\n1..1\nnot ok 1 # SKIP test_a\n", 0, (0, 0, 1)),
    ("nothing", "", 0, (0, 1, 0)),
    ("only a plan", "1..3\n", 0, (0, 1, 0)),
    ("fewer than planned", "1..3\nok 1 - a\n", 0, (1, 1, 0)),
    ("crashed between tests", "1..2\nok 1 - a\n", -6, (1, 1, 0)),
    ("crashed after a failure", "not ok 1 - a\n", -11, (0, 2, 0)),
    ("leaked after the last test", "1..1\nok 1 - a\nERROR: LeakSanitizer\n", 23, (1, 1, 0)),
    ("not found", "tests/text/run: No such file or directory\n", 127, (0, 1, 0)),
]

XML = '<testsuites><testsuite>{}</testsuite></testsuites>'
CASES = [
    ("pytest: all well", '<testcase classname="t" name="a"/>', 0, (1, 0, 0)),
    ("pytest: failed", '<testcase classname="t" name="a"><failure message="m">long</failure></testcase>', 1, (0, 1, 0)),
    ("pytest: error in a fixture", '<testcase classname="t" name="a"><error message="m">long</error></testcase>', 1,
     (0, 1, 0)),
    ("pytest: skipped", '<testcase classname="t" name="a"><skipped message="no tun"/></testcase>', 0, (0, 0, 1)),
    ("pytest: nothing collected", "", 5, (0, 1, 0)),
    ("pytest: passed and then crashed", '<testcase classname="t" name="a"/>', -11, (1, 1, 0)),
]


def counted(tests):
    return tuple(sum(test.outcome == outcome for test in tests) for outcome in ("passed", "failed", "skipped"))


def side_by_side(**suites):
    """(what is counted of each, in any order; whether each one's name is shown)"""
    with unittest.mock.patch.dict(run.SUITES, suites), contextlib.redirect_stdout(io.StringIO()) as output:
        counts = [(some.get("passed", 0), some.get("failed", 0)) for some in run.run_side_by_side(list(suites), None)]
    return sorted(counts), all(f"\n{name}" in output.getvalue() for name in suites)


def two_pass(_):
    """it has two tests"""
    return [run.passed("a"), run.passed("b")]


def one_fails(_):
    """it has one test"""
    return [run.failed("c", "why")]


def dies(_):
    """it takes its process along"""
    os.kill(os.getpid(), signal.SIGKILL)


def results():
    """(name, expected, found) of everything."""
    for name, output, status, expected in REPORTS:
        yield name, expected, counted(run.parse_tap("label", status, output))
    with tempfile.TemporaryDirectory() as tmp:
        path = pathlib.Path(tmp) / "results.xml"
        for name, cases, status, expected in CASES:
            path.write_text(XML.format(cases))
            yield name, expected, counted(run.junit("label", path, status, ""))
        path.unlink()
        yield "pytest: wrote nothing", (0, 1, 0), counted(run.junit("label", path, 0, ""))
    why = run.parse_tap("label", 1, "not ok 1 - a\n# because\n")[0].text
    skip = run.parse_tap("label", 0, "eBPF is not permitted\n1..1\nnot ok 1 # SKIP test_a\n")[0]
    yield "a skip is told with its reason", ("label: test_a", "eBPF is not permitted"), (skip.name, skip.text)
    yield "a failure is told in full", "# because", why
    yield "suites side by side", ([(0, 1), (2, 0)], True), side_by_side(first=two_pass, second=one_fails)
    yield "a suite that dies with its process", ([(0, 1)], True), side_by_side(first=dies)
    yield "a program that hangs", 124, run.run(["sleep", "9"], 0.1)[0]
    yield "a program that is not there", 127, run.run(["/nowhere/program"], 1)[0]


def main():
    good = True
    number = 0
    for number, (name, expected, found) in enumerate(results(), 1):
        good &= expected == found
        print(f"{'' if expected == found else 'not '}ok {number} - {name}")
        if expected != found:
            print(f"# expected {expected}, found {found}")
    print(f"1..{number}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
