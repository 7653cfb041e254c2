#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every golden run of another setkey, against ours.

The golden runs are scripts and commands with what an ipsec-tools setkey on a Linux kernel
made of them: output, messages, exit status, and both databases afterwards. They stay in
their own directory beside the checkout; its README says how they came about and which
parts of them are volatile. Each runs here against a sallyportd that holds databases alone.

Ours may differ by a rule (rules.py) or by a row of the table `deviations`, nowhere else;
a rule or a row that excuses nothing is a failure too.

    tests/golden/golden.py BUILD [--golden DIR] [--table FILE] [--keep DIR] [CASE]...

CASE may be a pattern. The results are TAP; with --keep, what each case gave is left in DIR.
To be run in contrib/in-namespaces: it mounts files over /etc/hosts and /etc/nsswitch.conf.
"""

import argparse
import contextlib
import dataclasses
import fnmatch
import os
import pathlib
import queue
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import rules

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GOLDEN = pathlib.Path(os.environ.get("GOLDEN") or ROOT.parent / "shared/golden/linux-ipsec-tools")
FIELDS = ("err", "rc", "out", "sad", "spd")
EMPTY = {"sad": "No SAD entries.\n", "spd": "No SPD entries.\n"}
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:")
KERNEL_VIEW = re.compile(r"^src \S+ dst \S+.*", re.MULTILINE | re.DOTALL)
SECONDS = 60  # for the command of one case

HOSTS = """127.0.0.1 localhost
192.0.2.1 one4.test
2001:db8::1 one6.test
192.0.2.11 multi4.test
192.0.2.12 multi4.test
192.0.2.31 peer2.test
192.0.2.32 peer2.test
192.0.2.21 both.test
2001:db8::21 both.test
192.0.2.41 dual.test
2001:db8::41 dual.test
"""

# Programs of the golden machine that are not here, or are others here.
SHIMS = {
    # busybox: the status of what it ended
    "timeout": 'exec /usr/bin/timeout --preserve-status "$@"',
    # the kernel's databases are not ours
    "ip": '[ "$1" = xfrm ] || exec {ip} "$@"',
    # another user; where nobody can become one, the socket's owner with no right to it
    "asuser": """[ "$1" != /sbin/setkey ] || {{ shift; set -- setkey "$@"; }}
[ "$(id -u)" != 0 ] || exec setpriv --reuid=1000 --regid=1000 --clear-groups "$@"
chmod 0 "$SALLYPORT_SOCKET"
setpriv --ambient-caps=-all --inh-caps=-all "$@"
status=$?
chmod 600 "$SALLYPORT_SOCKET"
exit $status""",
}


def read(path):
    """A file's text, any bytes allowed; nothing where there is none."""
    return path.read_bytes().decode(errors="surrogateescape") if path.exists() else ""


class Case:
    """One golden run."""

    def __init__(self, directory, name):
        self.name = name
        text = {field: read(directory / f"{name}.{field}") for field in ("cmd", "pre", *FIELDS)}
        self.pre = text["pre"]
        self.golden = {field: text[field] or EMPTY.get(field, "") for field in FIELDS}
        self.golden["rc"] = text["rc"].strip()
        self.command = text["cmd"] or f"setkey -f {shlex.quote(name)}.conf"
        # The one case without a text: there was no PF_KEY. Here, no daemon.
        self.daemonless = not text["cmd"] and not (directory / f"{name}.conf").exists()
        if self.daemonless:
            self.command = "setkey -D"
        self.streamed = False
        if self.halfway:
            self.stream()

    def stream(self):
        """Statements are applied as they are read, so that an error stops half-way."""
        self.command = re.sub(r"\bsetkey (?=(-[rk] )?-[cf])", "setkey --stream ", self.command)
        self.streamed = True

    @property
    def said(self):
        loop = re.search(r"\bsetkey (--stream )?-[cDF]", self.command)
        said, out = rules.golden_said(self.golden["err"], self.golden["out"] if loop else "")
        return said, out if loop else self.golden["out"]

    @property
    def halfway(self):
        """Whether statements are in force though there is an error among them."""
        said, _ = self.said
        return bool(said.errors or said.unplaced) and any(self.golden[field] != EMPTY[field] for field in EMPTY)

    @property
    def slow(self):
        return bool(re.search(r"\b(sleep|timeout)\b", self.command))


# The table of deviations -------------------------------------------------------------

@dataclasses.dataclass
class Row:
    """CASES FIELD[=VALUE] CAUSE REASON: in these cases this field is what VALUE says.

    The field `run` with the value `stream` excuses nothing: it runs cases half-way in
    which ours finds an error where golden finds none."""
    cases: str
    field: str
    value: str
    cause: str
    reason: str
    line: int

    def __str__(self):
        return f"line {self.line} of the table ({self.cases} {self.field}, {self.cause})"

    def differences(self, found):
        """Where the field is not as the row wants it."""
        if self.field == "err":
            have = ",".join(str(line) for line in sorted(rules.our_said(found["err"]).errors))
        elif self.field == "sad":
            have = ",".join(re.findall(r" spi=\d+\((0x[0-9a-f]+)\)", found["sad"]))
        elif self.field == "spd":
            have = str(found["spd"].count("\tspid=") or "")
        else:
            have = found[self.field].strip()
        have = have or "none"
        if self.value and have != self.value:
            return [f"{self} wants {self.value}, found {have}"]
        return []


def read_table(path):
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split(None, 3)
        field, _, value = words[1].partition("=") if len(words) == 4 else ("", "", "")
        if field not in FIELDS and (field, value) != ("run", "stream"):
            raise SystemExit(f"{path}:{number}: CASES FIELD[=VALUE] CAUSE REASON, with one of {FIELDS}")
        rows.append(Row(words[0], field, value, words[2], words[3], number))
    return rows


def rows_of(rows, case):
    return [row for row in rows if fnmatch.fnmatchcase(case.name, row.cases)]


# Judging -----------------------------------------------------------------------------

@dataclasses.dataclass
class Verdict:
    wrong: list
    used: set  # names of rules, lines of the table

    @property
    def outcome(self):
        return "differs" if self.wrong else "deviates on purpose" if self.used else "is equal"

    @property
    def by_table(self):
        """Whether the table has a row for it, and not rules of the dialect alone excuse it."""
        return any(isinstance(name, int) for name in self.used)


def compare_status(golden, found, said, excused):
    """The exit status; `excused` when what was said differs by a row, and the status with it."""
    if found["rc"] == golden["rc"]:
        return [], set()
    refused = rules.our_said(found["err"]).refused
    if {golden["rc"], found["rc"]} == {"0", "1"} and refused == (found["rc"] == "1") and (said.refused or excused):
        return [], {"status"}
    return [f"exit status {golden['rc']} in golden, {found['rc']} in ours"], set()


def compare_output(golden, found, said):
    """Standard output, without what golden -c says there."""
    used = set()
    for pattern in (r"^(setkey @\(#\).*\n)?usage:", r"^setkey @\(#\)"):
        if re.match(pattern, golden):
            own = r"usage: setkey" if "usage" in golden else r"setkey \(Sallyport\) [\d.]+\n$"
            if re.match(own, found):
                return [], {"usage"}
    without = KERNEL_VIEW.sub("", golden)
    if without != golden:
        golden, used = without, {"kernel-view"}
    empty = re.compile(r"^No S[AP]D entries\.\n", re.MULTILINE)
    if said.dumps and len(empty.findall(found)) == said.dumps + len(empty.findall(golden)):
        found, golden = empty.sub("", found), empty.sub("", golden)
    wrong, needed = rules.compare_text(golden, found)
    return wrong, used | needed


def compare_database(field, golden, found):
    """A database afterwards; where only the kernel's view of it was recorded, by that."""
    view = KERNEL_VIEW.search(golden["out"])
    if not view:
        return rules.compare_text(golden[field], found[field])
    if field == "sad":
        want = re.findall(r"\bspi (0x[0-9a-f]{8})", view[0])
    else:
        want = re.findall(r"^\tdir (\w+)", view[0], re.MULTILINE)
    have = re.findall({"sad": r" spi=\d+\((0x[0-9a-f]+)\)", "spd": r"^\t(in|out|fwd) "}[field], found[field],
                      re.MULTILINE)
    return [] if want == have else [f"the kernel had {want}, ours {have}"], {"kernel-view"}


def judge(case, found, rows):
    """What a case's run came to. Every row given must be needed."""
    golden = case.golden
    said, rest = case.said
    if SANITIZER.search(found["err"]):
        return Verdict(["the sanitizers found something", *found["err"].splitlines()], set())
    named = {row.field: row for row in rows}
    if len(named) < len(rows):
        return Verdict(["the table has two rows for one field", *map(str, rows)], set())
    compared = {
        "err": rules.compare_said(said, rules.our_said(found["err"])),
        "rc": compare_status(golden, found, said, "err" in named),
        "out": compare_output(rest, found["out"], said),
        "sad": compare_database("sad", golden, found),
        "spd": compare_database("spd", golden, found),
    }
    verdict = Verdict([], {row.line for row in rows if row.field == "run"})
    for field, (wrong, used) in compared.items():
        row = named.get(field)
        if row and not wrong:
            wrong = [f"{row} excuses nothing here"]
        elif row:
            wrong = row.differences(found)
            verdict.used.add(row.line)
        else:
            verdict.used |= used
        verdict.wrong += [f"{field}: {line}" for line in wrong]
    return verdict


# Running -----------------------------------------------------------------------------

class Host:
    """A sallyportd without interfaces, and the commands that speak to it."""

    def __init__(self, directory, build, golden):
        self.directory, self.golden = directory, golden
        self.shims = directory / "bin"
        self.shims.mkdir(parents=True)
        ip = shutil.which("ip") or "ip"
        for name, script in SHIMS.items():
            path = self.shims / name
            path.write_text("#!/bin/sh\n" + script.format(ip=ip) + "\n")
            path.chmod(0o755)
        (self.shims / "setkey").symlink_to(build / "setkey")
        self.env = dict(os.environ, TZ="UTC", LC_ALL="C", PATH=f"{self.shims}:{os.environ['PATH']}",
                        SALLYPORT_SOCKET=str(directory / "socket"))
        self.log = directory / "log"
        self.daemon = subprocess.Popen([build / "sallyportd", "-f", "-s", directory / "socket"],
                                       stdin=subprocess.DEVNULL, stdout=self.log.open("ab"),
                                       stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 10
        while self.shell("setkey -D")[0] != 0:
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"sallyportd does not answer:\n{read(self.log)}")
            time.sleep(0.02)

    def shell(self, command, **env):
        """(exit status, stdout, stderr) of a command in the directory of the cases."""
        # Files, as the golden run had them: stdout of several commands is one text.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                process = subprocess.run(["sh", "-c", command], cwd=self.golden, env=dict(self.env, **env),
                                         stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                         timeout=SECONDS, check=False)
                status = process.returncode
            except subprocess.TimeoutExpired:
                status = 124
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="surrogateescape"))
        return (status if status >= 0 else 128 - status, *texts)

    def run(self, case):
        """What a case leaves."""
        self.shell("setkey -F; setkey -FP")
        if case.pre:
            self.shell(case.pre.replace("/tmp/", f"{self.directory}/"))
        env = {"SALLYPORT_SOCKET": str(self.directory / "nobody")} if case.daemonless else {}
        status, out, err = self.shell(case.command, **env)
        found = {"rc": str(status), "out": out, "err": err}
        for field, command in (("sad", "setkey -D"), ("spd", "setkey -DP")):
            found[field] = self.shell(command)[1]
        return found

    def stop(self):
        """What there is to complain of, or nothing."""
        self.daemon.terminate()
        try:
            status = self.daemon.wait(20)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            status = "no exit status"
        log = read(self.log)
        return f"sallyportd: {status}\n{log}" if status != 0 or SANITIZER.search(log) else ""


@contextlib.contextmanager
def names_as_there(directory):
    """The names of the res-* cases, from files alone."""
    files = {"/etc/hosts": HOSTS, "/etc/nsswitch.conf": "hosts: files\nprotocols: files\nservices: files\n"}
    mounted = []
    try:
        for path, text in files.items():
            mine = directory / pathlib.Path(path).name
            mine.write_text(text)
            subprocess.run(["mount", "--bind", mine, path], check=True)
            mounted.append(path)
        yield
    finally:
        for path in mounted:
            subprocess.run(["umount", path], check=True)


def run_all(cases, build, golden, directory):
    """{name: what it left}, and what the daemons had to complain of."""
    waiting = queue.Queue()
    for case in sorted(cases, key=lambda case: not case.slow):
        waiting.put(case)
    found, troubles = {}, []

    def work(number):
        host = Host(directory / str(number), build, golden)
        try:
            while True:
                case = waiting.get_nowait()
                found[case.name] = host.run(case)
        except queue.Empty:
            pass
        finally:
            trouble = host.stop()
            if trouble:
                troubles.append(trouble)

    workers = min(len(cases), (os.cpu_count() or 1) + 1)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found, troubles


def keep(directory, case, found):
    directory.mkdir(parents=True, exist_ok=True)
    for field, text in found.items():
        (directory / f"{case.name}.{field}").write_bytes(text.encode(errors="surrogateescape"))


def find_cases(golden, patterns):
    names = sorted(path.stem for path in golden.glob("*.rc"))
    if patterns:
        names = [name for name in names if any(fnmatch.fnmatchcase(name, p) for p in patterns)]
    return [Case(golden, name) for name in names]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--golden", type=pathlib.Path, default=GOLDEN)
    parser.add_argument("--table", type=pathlib.Path, default=HERE / "deviations")
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("cases", nargs="*", metavar="CASE")
    options = parser.parse_intermixed_args()
    if not options.golden.is_dir():
        print(f"1..1\nok 1 - golden # SKIP the golden runs are not there: no {options.golden}")
        return 0
    cases = find_cases(options.golden, options.cases)
    rows = read_table(options.table)
    for case in cases:
        for row in rows_of(rows, case):
            if row.field == "run" and case.streamed:
                raise SystemExit(f"{row}: {case.name} runs half-way anyhow")
            if row.field == "run":
                case.stream()
    os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
    with tempfile.TemporaryDirectory(prefix="sallyport-golden-") as tmp:
        directory = pathlib.Path(tmp)
        directory.chmod(0o755)  # another user runs the shims
        with names_as_there(directory):
            found, troubles = run_all(cases, options.build.resolve(), options.golden.resolve(), directory)

    verdicts, used = {}, set()
    for case in cases:
        if options.keep and case.name in found:
            keep(options.keep, case, found[case.name])
        verdict = (judge(case, found[case.name], rows_of(rows, case)) if case.name in found
                   else Verdict(["was not run"], set()))
        verdicts[case.name] = verdict
        used |= verdict.used
    results = [(name, verdict.wrong) for name, verdict in verdicts.items()]
    if not options.cases:
        results += [(f"rule {name}", [] if name in used else ["excuses nothing"]) for name in rules.RULES]
        results += [(str(row), ["names no case"]) for row in rows
                    if not any(row in rows_of([row], case) for case in cases)]
    results += [("sallyportd", trouble.splitlines()) for trouble in troubles]

    print(f"1..{len(results)}")
    for number, (name, wrong) in enumerate(results, 1):
        print(f"{'not ' if wrong else ''}ok {number} - {name.replace('#', chr(92) + '#')}")
        for line in wrong:
            print("# " + line.encode(errors="backslashreplace").decode())
    count = {outcome: sum(verdict.outcome == outcome for verdict in verdicts.values())
             for outcome in ("is equal", "deviates on purpose", "differs")}
    by_table = sum(verdict.outcome == "deviates on purpose" and verdict.by_table for verdict in verdicts.values())
    differ = f", {count['differs']} differ" if count["differs"] else ""
    print(f"# figure: {len(cases)} cases: {count['is equal']} equal, "
          f"{count['deviates on purpose']} deviate on purpose "
          f"({count['deviates on purpose'] - by_table} by rules of the dialect alone, "
          f"{by_table} by rows of the table){differ}")
    return 1 if any(wrong for _, wrong in results) else 0


if __name__ == "__main__":
    sys.exit(main())
