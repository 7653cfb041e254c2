#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The guest itself: what a job does is handed back, and nothing stays behind. Prints TAP.

    tests/kernel/test_guest.py BUILD
"""

import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import guest  # noqa: E402

JOB = """
uname -r
cat $OUT/sent >$OUT/came
if touch /etc/sallyport-was-here; then echo "the host's files can be written"; fi
if read -r line; then echo "there is standard input: $line"; fi
exit 3
"""


def run(machine):
    result = machine.run(JOB, 120, [("sent", "as it was")])
    yield "the exit status is the job's", result.status == 3, result
    yield "the output is the job's, of that kernel", result.output.splitlines()[:1] == [machine.version], result
    yield "files go in and out", result.files["came"].read_text() == "as it was", result
    yield "nothing of the host's is written, nothing read from its terminal", "there is" not in result.output and \
        "can be written" not in result.output, result


def stopped(machine):
    began = time.monotonic()
    result = machine.run("sleep 1000", 5)
    yield "what takes too long is stopped", result.status == 124 and time.monotonic() - began < 20, result
    running = subprocess.run(["ps", "-o", "args=", "--ppid", str(os.getpid())], text=True,
                             stdout=subprocess.PIPE, check=True).stdout
    yield "no qemu stays", guest.QEMU not in running, running


def main():
    number, good = 0, True
    try:
        machine = guest.Guest(pathlib.Path(sys.argv[1]).resolve() / "kernel-guest")
    except guest.Missing as error:
        print(f"1..1\nok 1 - a kernel # SKIP {error}")
        return 0
    once = machine.initramfs().read_bytes()
    tests = [("the initramfs is the same when made again", guest.initramfs(machine.version) == once, "")]
    for part in (run, stopped):
        tests += part(machine)
    for number, (name, passed, text) in enumerate(tests, 1):
        print(f"{'ok' if passed else 'not ok'} {number} - {name}")
        good &= passed
        if not passed:
            print("\n".join(f"# {line}" for line in str(text).splitlines()))
    print(f"1..{number}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
