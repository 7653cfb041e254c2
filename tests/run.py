#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs every suite of tests and counts: what `make check` does.

The suites build what they need (build-asan by gcc, build-fuzz by clang, both with
AddressSanitizer and UBSan and with warnings as errors), run, and hand back results.
A suite that is missing, crashes or finds nothing to run is a failure, never silence.

    tests/run.py [--fuzz-seconds N] [SUITE]...

The last line is `N passed, N failed`, with `, N skipped` where tests were skipped; the
exit status is 0 only when nothing failed.
"""

import argparse
import concurrent.futures
import concurrent.futures.process
import contextlib
import dataclasses
import functools
import io
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLAIN, ASAN, FUZZ, TSAN = (ROOT / name for name in ("build", "build-asan", "build-fuzz", "build-tsan"))
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
MESON = "/usr/bin/meson" if os.path.exists("/usr/bin/meson") else "meson"
IN_NAMESPACES = ROOT / "contrib/in-namespaces"
NO_NAMESPACES = 77  # its exit status where the kernel allows none
PROCESSORS = 2  # of the machine that all of it is laid out for
FUZZ_MEMORY_MB = 1024
LIVE_AT_ONCE = 4
LIVE_SECONDS = 900
GUEST_SECONDS = 1200
# Only with what others leave: what runs beside it measures times. Where sessions are scheduled
# as groups, being nice counts inside of one.
IN_BACKGROUND = "sh", "-c", '{ echo 10 >/proc/self/autogroup; } 2>/dev/null; exec nice "$@"', "in-background"
# Two of these run at once: the live tests wait more than they work, guests work.
SIDE_BY_SIDE = "live", "kernel", "workers", "offline", "demo", "bench"
# Of the live tests, those that change under traffic what threads share; the longest first.
WITH_WORKERS = "ipsec_interface", "workers", "control", "superpackets", "changes", "clear_in", "events"
IN_THE_GUEST = {"test_vlan.py"}  # the kernel suite runs it, where there are VLANs
NOTHING_SELECTED = 5  # pytest's exit status
NO_BUILD = "there is no build to test; `tests/run.py build` says why"
FIGURE = "figure: "  # what a live test prints so that it is shown, passed or not

ENV = dict(
    os.environ,
    PATH=os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin",
    PYTHONDONTWRITEBYTECODE="1",
    XDG_CACHE_HOME=str(ASAN / ".cache"),
    CMOCKA_MESSAGE_OUTPUT="TAP",
    ASAN_OPTIONS="detect_leaks=1:abort_on_error=1:strict_string_checks=1:detect_stack_use_after_return=1",
    UBSAN_OPTIONS="halt_on_error=1:abort_on_error=1:print_stacktrace=1",
)
for name in ("PYTHONHOME", "PYTHONPATH", "PYTEST_ADDOPTS"):  # another Python's
    ENV.pop(name, None)


@dataclasses.dataclass
class Test:
    name: str
    outcome: str  # passed, failed or skipped
    text: str = ""  # a failure in full, or why it was skipped


def passed(name):
    return Test(name, "passed")


def failed(name, text):
    return Test(name, "failed", text)


def skipped(name, why):
    return Test(name, "skipped", why)


def run(command, seconds, **kwargs):
    """(exit status, output); a time-out is status 124, a missing program 127."""
    command = [str(word) for word in command]
    kwargs.setdefault("env", ENV)
    try:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   errors="replace", start_new_session=True, **kwargs)
    except OSError as error:
        return 127, f"{command[0]}: {error.strerror}\n"
    try:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return 124, output + f"\nstopped after {seconds} s\n"


def ended(status):
    """An exit status in words."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"


# Builds ------------------------------------------------------------------------------

def build(directory, compiler, *options, sanitize="address,undefined"):
    """Sets a build directory up and builds it. None, or what went wrong."""
    env = dict(ENV, CC=compiler)
    # Not -O2: between the sanitizers' checks gcc then warns of what cannot happen.
    setup = [MESON, "setup", directory, "-Dwerror=true", "-Doptimization=1",
             f"-Db_sanitize={sanitize}", "-Db_lundef=false", *options]
    if (directory / "build.ninja").exists():
        setup.append("--reconfigure")
    for command in (setup, ["ninja", "-C", directory]):
        status, output = run(command, 600, env=env)
        if status != 0:
            return f"{command[0]}: {ended(status)}\n{output}"
    return None


@functools.cache
def build_asan():
    return build(ASAN, "gcc")


@functools.cache
def build_fuzz():
    # fuzzer-no-link: the libraries count their branches, the targets bring main().
    return build(FUZZ, "clang", "-Dfuzz=true", "-Dc_args=-fsanitize=fuzzer-no-link")


@functools.cache
def build_tsan():
    return build(TSAN, "gcc", sanitize="thread")


def suite_runner(_):
    """nothing that goes wrong passes as nothing"""
    yield from run_tap("runner", [PYTHON, ROOT / "tests/test_run.py"])


def suite_build(_):
    """gcc and clang, the sanitizers, warnings are errors"""
    for name, builder in (("gcc", build_asan), ("clang", build_fuzz), ("gcc for threads", build_tsan)):
        trouble = builder()
        yield failed(name, trouble) if trouble else passed(name)


# Test Anything Protocol --------------------------------------------------------------

RESULT = re.compile(r"(not )?ok\b *(\d+)? *(?:- *)?(.*)")
SKIP = re.compile(r"(.*?) *# *skip\S* *(.*)", re.IGNORECASE)
PLAN = re.compile(r"1\.\.(\d+)")


def parse_tap(label, status, output):
    """The tests that a program reported, and one more failure where its report cannot be right."""
    tests, planned, notes, remarks = [], 0, [], []
    for line in output.splitlines():
        if match := PLAN.match(line):
            planned += int(match[1])
        elif match := RESULT.match(line):
            said = match[3] or match[2] or str(len(tests) + 1)
            if skip := SKIP.match(said):  # cmocka calls it `not ok N # SKIP name`
                tests.append(skipped(f"{label}: {skip[1] or skip[2]}", skip[2] if skip[1] else ""))
            elif match[1]:
                # What was said since the last result, for cmocka; what comes after, for others.
                tests.append(failed(f"{label}: {said}", "\n".join(notes)))
            else:
                tests.append(passed(f"{label}: {said}"))
            notes = []
        else:
            notes.append(line)
            if not line.startswith(("#", "TAP version")):
                remarks.append(line)
            if tests and tests[-1].outcome == "failed":
                tests[-1].text += ("\n" if tests[-1].text else "") + line

    for test in tests:
        if test.outcome == "skipped" and not test.text:
            test.text = "; ".join(remarks) or "it does not say why"

    broken = None
    if status != 0 and not any(test.outcome == "failed" for test in tests):
        broken = f"{ended(status)} without a failed test"
    elif status < 0:
        broken = ended(status)
    elif planned and planned != len(tests):
        broken = f"{planned} tests planned, {len(tests)} reported"
    elif not tests:
        broken = "no tests reported"
    if broken:
        tests.append(failed(label, f"{broken}\n{output}"))
    return tests


def show_figures(label, output):
    """What a TAP program wants to be shown, passed or not."""
    for line in output.splitlines():
        if line.startswith(f"# {FIGURE}"):
            print(f"  {label}: {line.removeprefix(f'# {FIGURE}')}", flush=True)


def run_tap(label, command, seconds=300):
    return parse_tap(label, *run(command, seconds))


# Suites ------------------------------------------------------------------------------

def suite_unit(_):
    """one module each, against its contract (cmocka)"""
    if build_asan():
        yield failed("unit", NO_BUILD)
        return
    status, output = run([MESON, "introspect", ASAN, "--tests"], 60)
    try:
        programs = json.loads(output)
    except ValueError:
        programs = []
    if status != 0 or not programs:
        yield failed("unit", f"no unit tests in {ASAN.name}\n{output}")
        return
    built = {test["name"] for test in programs}
    for source in sorted((ROOT / "tests/unit").glob("test_*.c")):
        if source.stem.removeprefix("test_") not in built:
            yield failed(source.name, "is not listed in tests/unit/meson.build")
    with concurrent.futures.ThreadPoolExecutor(PROCESSORS) as pool:
        for tests in pool.map(lambda test: run_tap(test["name"], test["cmd"]), programs):
            yield from tests


def suite_threads(_):
    """what several threads read while one changes it, under ThreadSanitizer"""
    if build_tsan():
        yield failed("threads", NO_BUILD)
        return
    for name in "grace", "replay", "spd_threads", "sad_readers", "engine_workers":
        status, output = run([TSAN / f"tests/unit/test_{name}"], 300, env=dict(ENV, TSAN_OPTIONS="halt_on_error=1"))
        yield from parse_tap(f"threads: {name}", status, output)


def suite_text(_):
    """the language read and printed, and its messages"""
    yield from run_tap("text", [ROOT / "tests/text/run", ASAN])
    yield from run_tap("setkey", [ROOT / "tests/text/setkey", ASAN])


def suite_completion(_):
    """bash and zsh offer what the tables have"""
    yield from run_tap("completion", [PYTHON, ROOT / "tests/completion.py", ASAN])


def suite_layers(_):
    """includes point the way that docs/architecture.md says"""
    yield from run_tap("layers", [PYTHON, ROOT / "tests/layers.py"])


def suite_purity(_):
    """the engine and offload call nothing of the world"""
    # Of the plain build: there the sanitizers add no calls of their own.
    yield from run_tap("purity", [ROOT / "tests/purity.sh", PLAIN])


def suite_golden(_):
    """what another setkey made of its golden runs, ours makes of them too"""
    if build_asan():
        yield failed("golden", NO_BUILD)
        return
    status, output = run([IN_NAMESPACES, PYTHON, ROOT / "tests/golden/test_golden.py", ASAN], 120)
    if status != NO_NAMESPACES:
        yield from parse_tap("runner", status, output)
        status, output = run([IN_NAMESPACES, PYTHON, ROOT / "tests/golden/golden.py", ASAN], 600)
    if status == NO_NAMESPACES:
        yield skipped("golden", output.strip())
        return
    show_figures("golden", output)
    yield from parse_tap("golden", status, output)


def fuzz_one(target, seconds):
    """One fuzz target for a while, from a copy of its corpus."""
    name = target.stem
    program = FUZZ / "tests/fuzz" / name
    corpus = FUZZ / "corpus" / name
    findings = FUZZ / "findings"
    seeds = ROOT / "tests/fuzz/corpus" / name.removeprefix("fuzz_")
    if not program.exists():
        return failed(name, f"{program} was not built")
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(exist_ok=True)
    if seeds.is_dir():
        shutil.copytree(seeds, corpus, dirs_exist_ok=True)

    dictionary = ROOT / "tests/fuzz" / f"{name}.dict"
    # Entropic scheduling takes more than half of the time where a run has many features.
    options = [f"-max_total_time={seconds}", "-entropic=0", "-timeout=10", f"-rss_limit_mb={FUZZ_MEMORY_MB}",
               "-print_final_stats=1", "-verbosity=1", f"-artifact_prefix={findings}/{name}-"]
    if dictionary.exists():
        options.append(f"-dict={dictionary}")
    began = time.monotonic()
    status, output = run([program, *options, corpus], seconds + 120)
    took = time.monotonic() - began

    runs = re.search(r"stat::number_of_executed_units: *(\d+)", output)
    if status != 0 or not runs or int(runs[1]) == 0:
        tail = "\n".join(output.splitlines()[-80:])
        return failed(name, f"{ended(status)}; what it found is under {findings}\n{tail}")
    print(f"  {name}: {runs[1]} runs in {took:.0f} s, no finding", flush=True)
    return passed(name)


def suite_fuzz(options):
    """libFuzzer on whatever reads foreign bytes"""
    targets = sorted((ROOT / "tests/fuzz").glob("fuzz_*.c"))
    if not targets:
        yield failed("fuzz", "no targets in tests/fuzz")
        return
    if build_fuzz():
        yield failed("fuzz", NO_BUILD)
        return
    with concurrent.futures.ThreadPoolExecutor(PROCESSORS) as pool:
        yield from pool.map(lambda target: fuzz_one(target, options.fuzz_seconds), targets)


def junit(label, path, status, output):
    """The results that pytest wrote; one more failure where they cannot be all."""
    try:
        cases = list(xml.etree.ElementTree.parse(path).iter("testcase"))
    except (OSError, xml.etree.ElementTree.ParseError):
        cases = []
    tests = []
    for case in cases:
        name = f"{label}: {case.get('classname', '').split('.')[-1]}::{case.get('name')}"
        trouble = next((case.find(kind) for kind in ("failure", "error")
                        if case.find(kind) is not None), None)
        skip = case.find("skipped")
        said = "\n".join(part.text or "" for part in case.findall("system-out")).splitlines()
        for line in said:
            if line.startswith(FIGURE):
                print(f"  {case.get('name')}: {line.removeprefix(FIGURE)}", flush=True)
        if trouble is not None:
            tests.append(failed(name, "\n".join([trouble.text or trouble.get("message", ""), *said])))
        elif skip is not None:
            tests.append(skipped(name, skip.get("message", "")))
        else:
            tests.append(passed(name))
    if not tests or (status != 0 and not any(test.outcome == "failed" for test in tests)):
        tests.append(failed(label, f"pytest: {ended(status)}\n{output}"))
    return tests


def run_live_file(label, path, namespaces=(), select=(), build=ASAN, **env):
    """The tests of one file, in namespaces of their own; `select` are options of pytest's."""
    results = ASAN / f"{label}-{path.stem}.xml"
    results.unlink(missing_ok=True)
    command = [IN_NAMESPACES, *namespaces, PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider",
               f"--junit-xml={results}", "-o", "junit_logging=system-out", *select, path]
    status, output = run(command, LIVE_SECONDS, env=dict(ENV, BUILD=str(build), BUILD_PLAIN=str(PLAIN), **env))
    if status == NO_NAMESPACES:
        return [skipped(label, output.strip())]
    if status == NOTHING_SELECTED and select:
        return []
    return junit(label, results, status, output)


def run_live(label, namespaces=(), select=()):
    """tests/live, some files at once: they wait more than they work."""
    if build_asan():
        return [failed(label, NO_BUILD)]
    # The longest files first, so that none is left over at the end.
    files = sorted({*(ROOT / "tests/live").glob("test_*.py")} - {ROOT / "tests/live" / name for name in IN_THE_GUEST},
                   key=lambda path: -path.stat().st_size)
    with concurrent.futures.ThreadPoolExecutor(LIVE_AT_ONCE) as pool:
        found = list(pool.map(lambda path: run_live_file(label, path, namespaces, select), files))
    tests = [test for some in found for test in some]
    if {test.outcome for test in tests} == {"skipped"} and len({test.name for test in tests}) == 1:
        return tests[:1]  # no namespaces here, for none of them
    return tests or [failed(label, "no test was selected")]


def suite_live(_):
    """hosts in namespaces, packets made and checked by others' code"""
    if os.getuid() == 0:
        yield from run_live("live")
        # What ordinary users get: steering without eBPF, by classic BPF and mirred.
        yield from run_live("live-unprivileged", ["-u"], ["-m", "steering"])
    else:
        yield from run_live("live-unprivileged")


def suite_workers(_):
    """some of the live tests with several workers, under ThreadSanitizer"""
    if build_tsan():
        yield failed("workers", NO_BUILD)
        return
    files = [ROOT / f"tests/live/test_{name}.py" for name in WITH_WORKERS]
    with concurrent.futures.ThreadPoolExecutor(LIVE_AT_ONCE) as pool:
        for tests in pool.map(lambda path: run_live_file("workers", path, build=TSAN, WORKERS="3"), files):
            yield from tests


def suite_kernel(_):
    """against the IPsec of Debian's kernel, which runs under qemu"""
    if build_asan():
        yield failed("kernel", NO_BUILD)
        return
    # The longest first.
    names = "interop", "peer", "backends", "vlan", "guest"
    with concurrent.futures.ThreadPoolExecutor(PROCESSORS) as pool:
        reports = pool.map(lambda name: run([*IN_BACKGROUND, PYTHON, ROOT / f"tests/kernel/test_{name}.py", ASAN, PLAIN],
                                            GUEST_SECONDS), names)
        for name, (status, output) in zip(names, reports):
            show_figures(name, output)
            yield from parse_tap(name, status, output)


def suite_offline(_):
    """captures through the engine, judged by others' code"""
    if build_asan():
        yield failed("offline", NO_BUILD)
        return
    results = ASAN / "offline.xml"
    results.unlink(missing_ok=True)
    status, output = run([PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={results}",
                          "-o", "junit_logging=system-out", ROOT / "tests/offline"], 600, env=dict(ENV, BUILD=str(ASAN)))
    yield from junit("offline", results, status, output)


def suite_demo(_):
    """what `make demo` shows is true"""
    status, output = run([IN_NAMESPACES, ROOT / "examples/article/demo", PLAIN], 180)
    if status == NO_NAMESPACES:
        yield skipped("demo", output.strip())
    else:
        yield passed("demo") if status == 0 else failed("demo", f"{ended(status)}\n{output}")


BENCH_ROW = re.compile(r"^ *(\d+) (add|spdadd) +([\d.]+) s +([\d.]+) s +([\d.]+) s +[\d.]+ s +([\d.]+) x",
                       re.MULTILINE)
BENCH_KERNEL_ROW = re.compile(r"^ *(\d+) (add|spdadd) +([\d.]+) s +([\d.]+) s +([\d.]+) x +\d+ +([\d.]+) s +([\d.]+) s"
                              r" +([\d.]+) x", re.MULTILINE)


def bench_trouble(output, sizes):
    """What cannot be right about the figures of bench/load, fast or slow."""
    rows = BENCH_ROW.findall(output)
    if [(int(size), kind) for size, kind, *_ in rows] != [(n, kind) for n in sizes for kind in ("add", "spdadd")]:
        return "not the rows that were asked for"
    for _, _, *figures in rows:
        peer, load, daemon, ratio = map(float, figures)
        if not (peer > 0 and 0 < daemon < load and abs(peer / load - ratio) < 0.1 * ratio):
            return f"ip -batch {peer} s, setkey -f {load} s, of which the daemon {daemon} s, ratio {ratio}"
    return None


def bench_kernel_trouble(output, sizes):
    """The same of bench/load --guest."""
    rows = BENCH_KERNEL_ROW.findall(output)
    if [(int(size), kind) for size, kind, *_ in rows] != [(n, kind) for n in sizes for kind in ("add", "spdadd")]:
        return "not the rows that were asked for"
    for _, _, *figures in rows:
        cpu_peer, cpu_load, cpu_ratio, wall_peer, wall_load, wall_ratio = map(float, figures)
        for peer, load, ratio in (cpu_peer, cpu_load, cpu_ratio), (wall_peer, wall_load, wall_ratio):
            if not (peer > 0 and load > 0 and abs(peer / load - ratio) < 0.1 * ratio):
                return f"ip -batch {peer} s, setkey -f {load} s, ratio {ratio}"
    return None


def run_bench(name, command, seconds, trouble_of, sizes):
    status, output = run([*command, "-n", "1", "-s", ",".join(map(str, sizes)), PLAIN], seconds)
    if status == NO_NAMESPACES:
        return skipped(name, output.strip())
    trouble = ended(status) if status else trouble_of(output, sizes)
    return failed(name, f"{trouble}\n{output}") if trouble else passed(name)


def e2e_trouble(figures):
    """What cannot be right about the figures of bench/e2e."""
    ratios = {figure["name"]: figure["ratio"] for figure in figures}
    for what in "tcp", "cpu", "rtt":
        if not 0.1 < (ratios.get(f"e2e.{what}.transport/copier") or 0) < 10:
            return f"{what} is not a ratio to be believed"
    return None


def run_e2e():
    results = PLAIN / "e2e.json"
    results.unlink(missing_ok=True)
    status, output = run([IN_NAMESPACES, ROOT / "bench/e2e", "-n", "1", "-v", "copier,transport", PLAIN], 120,
                         env=dict(ENV, BENCH_JSON=str(results)))
    if status == NO_NAMESPACES:  # or no iperf3
        return skipped("e2e", output.strip())
    trouble = ended(status) if status else e2e_trouble(json.loads(results.read_text()))
    return failed("e2e", f"{trouble}\n{output}") if trouble else passed("e2e")


def run_dpdk_check():
    """What is timed as DPDK's is ESP."""
    program = PLAIN / "bench/dpdk-ipsec"
    status, output = run([IN_NAMESPACES, program, "--check"], 60)
    if status == NO_NAMESPACES:
        return skipped("dpdk-ipsec --check", output.strip())
    return passed("dpdk-ipsec --check") if status == 0 else failed("dpdk-ipsec --check", f"{ended(status)}\n{output}")


def suite_bench(_):
    """the benchmarks run, whatever they find"""
    yield run_bench("load", [IN_NAMESPACES, ROOT / "bench/load"], 120, bench_trouble, (60, 200))
    yield run_bench("load --guest", [ROOT / "bench/load", "--guest"], 120, bench_kernel_trouble, (300,))
    yield run_e2e()
    if (PLAIN / "bench/dpdk-ipsec").exists():  # a peer of `make bench`, which installs it
        yield run_dpdk_check()


SUITES = {name.removeprefix("suite_"): suite for name, suite in list(globals().items())
          if name.startswith("suite_")}


def run_suite(name, options):
    suite = SUITES[name]
    print(f"\n{name}: {suite.__doc__}", flush=True)
    began = time.monotonic()
    tests = []
    try:
        tests.extend(suite(options))
    except Exception as error:  # a suite's own mistake is a failure among others
        tests.append(failed(name, f"{type(error).__name__}: {error}"))
    if not tests:
        tests.append(failed(name, "nothing was run"))

    counts = {outcome: sum(test.outcome == outcome for test in tests)
              for outcome in ("passed", "failed", "skipped")}
    for test in tests:
        if test.outcome == "failed":
            print(f"  FAILED {test.name}\n" + "\n".join(
                f"    {line}" for line in test.text.splitlines()))
        elif test.outcome == "skipped":
            print(f"  skipped {test.name}: {test.text}")
    print("  " + ", ".join(f"{number} {outcome}" for outcome, number in counts.items()
                           if number or outcome == "passed")
          + f" in {time.monotonic() - began:.0f} s", flush=True)
    return counts


def run_suite_aside(name, options):
    """For a process of its own: (what run_suite() counts, what it prints)."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        counts = run_suite(name, options)
    return counts, output.getvalue()


def run_side_by_side(names, options):
    """Yields the counts of suites as they end; what they print is shown then."""
    print(f"\nside by side: {', '.join(names)}", flush=True)
    with concurrent.futures.ProcessPoolExecutor(PROCESSORS, multiprocessing.get_context("fork")) as pool:
        pending = {pool.submit(run_suite_aside, name, options): name for name in names}
        for done in concurrent.futures.as_completed(pending):
            try:
                counts, output = done.result()
            except concurrent.futures.process.BrokenProcessPool as error:
                counts, output = {"failed": 1}, f"\n{pending[done]}\n  FAILED: {error}\n"
            print(output, end="", flush=True)
            yield counts


def run_suites(names, options):
    aside = [name for name in SIDE_BY_SIDE if name in names]
    if len(aside) < 2:
        aside = []
    for name in names:
        if name not in aside:
            yield run_suite(name, options)
    if aside:
        build_asan()  # not by each of them
        build_tsan()
        yield from run_side_by_side(aside, options)


def main():
    parser = argparse.ArgumentParser(description="Runs the tests and counts.")
    parser.add_argument("--fuzz-seconds", type=int, default=12, help="for each fuzz target")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    options = parser.parse_args()
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        parser.error(f"no suite {unknown[0]}; there are {', '.join(SUITES)}")

    os.chdir(ROOT)
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for counts in run_suites(options.suites or list(SUITES), options):
        for outcome, number in counts.items():
            total[outcome] += number
    print(f"\n{total['passed']} passed, {total['failed']} failed"
          + (f", {total['skipped']} skipped" if total["skipped"] else ""))
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
