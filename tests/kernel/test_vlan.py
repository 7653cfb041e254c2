#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""tests/live/test_vlan.py under Debian's kernel, which has VLANs where the machine's may not. Prints TAP.

    tests/kernel/test_vlan.py BUILD PLAIN
"""

import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import guest  # noqa: E402

JOB = """
for module in veth tun sch_ingress cls_bpf act_mirred af_packet 8021q; do modprobe $module; done
export BUILD={plain} BUILD_PLAIN={plain}
exec contrib/in-namespaces /usr/bin/python3 -m pytest -v -p no:cacheprovider tests/live/test_vlan.py
"""
LINE = re.compile(r"^\S+::(\S+) (PASSED|FAILED|ERROR|SKIPPED)(?: \((.*)\))?", re.MULTILINE)


def main():
    plain = pathlib.Path(sys.argv[2]).resolve()
    with tempfile.TemporaryDirectory(prefix="sallyport-vlan-") as work:
        try:
            result = guest.Guest(work).run(JOB.format(plain=plain), guest.SECONDS)
        except guest.Missing as error:
            print(f"ok 1 - VLANs # SKIP {error}\n1..1")
            return 0
    tests = LINE.findall(result.output)
    for number, (name, outcome, why) in enumerate(tests, 1):
        good = outcome == "PASSED"
        print(f"{'ok' if good else 'not ok'} {number} - {name}{'' if good else f' {outcome} {why}'}")
    if result.status or not tests:
        print("\n".join(f"# {line}" for line in result.output.splitlines()))
    print(f"1..{len(tests)}")
    return result.status


if __name__ == "__main__":
    sys.exit(main())
