#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""sallyportd and the IPsec of the Linux kernel, one against the other, in every configuration
that both know.

The configurations (matrix.py) are those for which a daemon of this build warns of nothing:
what it learns to provide is tried from then on. All are loaded side by side, in one boot
of Debian's kernel (guest.py); peer.py sends through them there, and here is judged what
it wrote down and what a third party saw on the wire.

    tests/kernel/test_peer.py BUILD PLAIN [--update] [--keep]

BUILD has the table's program, PLAIN the programs that are tried. Prints TAP. --update
writes docs/interop-kernel.md anew, --keep says where the capture and the logs are.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "live")]
import guest  # noqa: E402
import lab as live  # noqa: E402
import matrix  # noqa: E402

DOCUMENT = ROOT / "docs/interop-kernel.md"
SIDES = ("ours", "theirs")
SIZES = (56, 3000)
TCP_SECONDS = 700  # from its start until only the sample's transfers are begun
WARNING = re.compile(r"^\S+?:\d+:\d+: warning: (.*?) (?:is|are) not provided by this daemon", re.MULTILINE)
PROTO_NUMBER = {"ah": 51, "esp": 50, "ipcomp": 108}
PROTO_UDP = 17
PING_PAYLOAD_MAX = 90  # IPComp leaves shorter ones as they are

results = []  # (passed, name, text)


def report(name, trouble=""):
    results.append(not trouble)
    print(f"{'not ok' if trouble else 'ok'} {len(results)} - {name}")
    for line in trouble.splitlines():
        print(f"# {line}")
    sys.stdout.flush()


def figure(text):
    print(f"# figure: {text}", flush=True)


# What the daemon provides ------------------------------------------------------------

class Trial:
    """A daemon with databases alone, asked about one cell after another."""

    def __init__(self, plain, directory):
        self.plain, self.socket = plain, directory / "trial.sock"
        self.env = dict(os.environ, SALLYPORT_SOCKET=str(self.socket))
        self.daemon = subprocess.Popen([plain / "sallyportd", "-f", "-s", self.socket], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        live.wait_until(self.socket.exists, 10, "the socket")
        return self

    def __exit__(self, *_):
        self.daemon.terminate()
        self.daemon.wait(10)

    def ask(self, cell):
        """(what it does not provide, what it refuses), in its words; empty where it takes the cell."""
        said = subprocess.run([self.plain / "setkey", "-c"], input=matrix.setkey_text(cell), text=True, env=self.env,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False)
        missing = {match[1] for match in WARNING.finditer(said.stdout)}
        return sorted(missing), said.stdout if said.returncode else ""


# Judging -----------------------------------------------------------------------------

def layers_on_wire(cell, side):
    """[(protocol, SPI)] that everybody can read, outermost first, of what a side sends."""
    seen = []
    for depth in reversed(range(len(cell.layers))):
        proto = cell.layers[depth].proto
        seen.append((PROTO_NUMBER[proto], cell.spi(depth, side)))
        if proto == "esp":
            break
    return seen


def layers_seen(cell, packet):
    """The same of a packet."""
    if cell.extra == "natt" and packet.proto == PROTO_UDP:
        ports = int.from_bytes(packet.payload[:2], "big"), int.from_bytes(packet.payload[2:4], "big")
        return [(50, int.from_bytes(packet.payload[8:12], "big"))] if ports == (matrix.NATT_PORT,) * 2 else []
    seen, proto, rest = packet.layers(), packet.proto, packet.payload
    if proto == PROTO_NUMBER["ah"]:
        proto, rest = rest[0], rest[4 * (rest[1] + 2):]
    return seen + [(108, int.from_bytes(rest[2:4], "big"))] if proto == PROTO_NUMBER["ipcomp"] else seen


def is_keepalive(cell, packet):
    """What keeps a NAT's mapping alive protects nothing: RFC 3948 section 2.3."""
    length, byte = packet.payload[4:6], packet.payload[8:9]
    return cell.extra == "natt" and packet.proto == PROTO_UDP and (length, byte) == (b"\x00\x09", b"\xff")


def wire_trouble(cell, packets):
    """What is wrong with what passed between a cell's addresses."""
    for side in SIDES:
        src, dst = cell.address(side), cell.address(matrix.other(side))
        sent = [packet for packet in packets
                if (packet.src, packet.dst) == (src, dst) and not is_keepalive(cell, packet)]
        wanted = layers_on_wire(cell, side)
        comp = (PROTO_NUMBER["ipcomp"], 2)
        packed = 0
        if not sent:
            return f"nothing from {side} on the wire"
        for packet in sent:
            seen = layers_seen(cell, packet)
            packed += comp in seen
            # What compression makes no shorter is sent as it is.
            if seen != wanted and not (comp in wanted and seen == [layer for layer in wanted if layer != comp]):
                return f"protocol {packet.proto} with {seen} from {side} on the wire, not {wanted}"
        if comp in wanted and not packed:
            return f"nothing from {side} was compressed"
    return ""


def why(result):
    """What both sides counted when a cell was tried again."""
    if "reasons" not in result:
        return "one of many, and not tried again"
    parts = [f"{name} {value}" for name, value in result["reasons"].items()]
    return ", ".join(parts + result["log"][:3] + result["ping"]["errors"]) or "nothing was counted"


def trouble_of(cell, result, packets):
    """Why a cell is not ok; nothing where it is."""
    for side in SIDES:
        for size in SIZES:
            if size not in result["ping"][side]:
                return f"ping of {size} bytes from {side} not answered ({why(result)})"
    if result.get("tcp", "ok") != "ok":
        return f"{result['tcp']} ({why(result)})"
    return wire_trouble(cell, packets)


SPOILED = {"key": "another key there", "clear-ours": "nothing configured here",
           "clear-theirs": "nothing configured there"}
SHUT_BY = {  # which of the counters must tell that a spoiled cell is shut
    "key": ("drop.icv", "XfrmInStateProtoError"),
    "clear-ours": ("XfrmInNoPols", "XfrmInTmplMismatch"),
    "clear-theirs": ("drop.policy-clear",),
}


def shut_trouble(cell, result):
    """What is wrong with a cell that must not let anything through."""
    if any(result["ping"][side] for side in SIDES):
        return f"let through: {result['ping']}"
    counted = [name for name in SHUT_BY[cell.spoil] if result["reasons"].get(name)]
    wanted = len(SHUT_BY[cell.spoil]) if cell.spoil == "key" else 1
    return "" if len(counted) >= wanted else f"counted: {why(result)}; wanted: {' or '.join(SHUT_BY[cell.spoil])}"


# The document ------------------------------------------------------------------------

INTRO = """# Tried against the Linux kernel

`sallyportd` on one host and the kernel's own IPsec (`ip xfrm`) on the other, in every configuration that both know:
echo requests of 56 and 3000 bytes from both, {bytes} bytes by TCP both ways at once{sample}, and on the wire between
them nothing but packets with the SPIs of the configuration. The MTU is 1500.
The kernel is told to cut ICVs as RFC 4868 does (`auth-trunc`) and to align AH by IPv4 to 4 bytes (`flag align4`);
ESP in UDP has a policy there that lets the datagrams to its port in.

Kernel: `{kernel}`

{count} configurations were tried and {ok} are ok.{shut}

What a table does not show is tried by `tests/kernel/test_interop.py`, against `sallyportd` and against the kernel told by
setkey through XFRM: 64-bit sequence numbers past 2^32, replay windows of 32, 64 and 4096 packets with loss, duplicates and
packets out of order (the kernel's counters are compared with a model), reqids that choose SAs and tell them apart, levels
`use` and `require` of either side, bundles of up to three SAs and two tunnels; through XFRM, tunnels of the other family too.

`make check` tries them again in each run (`tests/kernel/`); `tests/kernel/test_peer.py build-asan build --update`
writes this file.
"""


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


SHUT = " With a wrong key on one side, or one side in clear, nothing gets\nthrough."


def document(cells, verdicts, kernel, rows, sampled, shut):
    """docs/interop-kernel.md: `verdicts` are ok, or why not, by number; a cell without one is not provided."""
    notes = {}

    def mark(cell):
        verdict = verdicts.get(cell.number)
        if verdict is None:
            return "-"
        return "ok" if verdict == "ok" else f"no ({notes.setdefault(verdict, len(notes) + 1)})"

    columns = [(mode, version) for mode in matrix.MODES for version in matrix.VERSIONS]
    groups = collections.defaultdict(lambda: collections.defaultdict(dict))
    for cell in cells:
        groups[cell.group][cell.name][cell.mode, cell.version] = cell
    tried = [cell for cell in cells if cell.number in verdicts]
    good = [cell for cell in tried if verdicts[cell.number] == "ok"]
    text = INTRO.format(bytes="200,000", kernel=kernel, count=len(tried), ok=len(good), shut=SHUT if shut else "",
                        sample=" (in a sample that has every algorithm)" if sampled else "")
    for group, names in groups.items():
        text += f"\n## {group}\n\n"
        if group == "ESP with authentication":
            text += ("Configurations that are ok, of those that were tried: transport and tunnel mode, each by IPv4 and\n"
                     "IPv6.\n\n")
            split = [name.split(" + ") for name in names]
            across = list(dict.fromkeys(auth for _, auth in split))
            lines = []
            for enc in dict.fromkeys(enc for enc, _ in split):
                marks = []
                for auth in across:
                    four = [mark(cell) for cell in names[f"{enc} + {auth}"].values()]
                    four = [said for said in four if said != "-"]
                    bad = dict.fromkeys(said for said in four if said != "ok")
                    marks.append(" ".join([f"{four.count('ok')} of {len(four)}", *bad]) if four else "-")
                lines.append([enc, *marks])
            text += table(["", *across], lines)
        else:
            text += table(["", *(f"{mode}, IPv{version}" for mode, version in columns)],
                          [[name, *(mark(found[column]) if column in found else "" for column in columns)]
                           for name, found in names.items()])
    text += "\n`-`: not provided by `sallyportd`.\n"
    if notes:
        text += "\n" + "\n".join(f"({number}) {why_not}" for why_not, number in notes.items()) + "\n"
    ours_alone = [row.name for row in rows if not row.kernel]
    text += f"\nIn our algorithm table and without a peer in the kernel: {', '.join(ours_alone)}.\n"
    return text


def documented():
    """How many cells the document says are ok."""
    match = re.search(r"were tried and (\d+) are ok", DOCUMENT.read_text()) if DOCUMENT.exists() else None
    return int(match[1]) if match else 0


# The run -----------------------------------------------------------------------------

def names_trouble(rows):
    """Where our table and ip-xfrm(8) call something differently."""
    wrong = []
    for row in rows:
        name, icv = row.kernel or ("-", 0)
        if row.name in ("lzs",):  # a name without code
            continue
        if row.xfrm != name or (icv and icv != row.icv):
            wrong.append(f"{row.kind} {row.name}: {row.xfrm} {row.icv} in the table, {name} {icv} here")
    return "\n".join(wrong)


def sample_of(cells):
    """Numbers of cells that have every algorithm, mode and version, and every kind of bundle."""
    chosen, covered = set(), set()
    for cell in cells:
        has = {(cell.group, cell.mode, cell.version)}
        for layer in cell.layers:
            has |= {(layer.proto, what[0].kind, what[0].name, cell.version)
                    for what in (layer.enc, layer.auth) if what}
        if cell.group == "Others" or not has <= covered:
            covered |= has
            chosen.add(cell.number)
    return chosen


def read_results(path):
    lines = path.read_text().splitlines() if path.exists() else []
    return {result["number"]: result for result in map(json.loads, lines)}


def by_cell(path, cells):
    """{number: packets between the cell's addresses}."""
    owner = {cell.address(side): cell.number for cell in cells for side in SIDES}
    found = collections.defaultdict(list)
    for frame in live.read_pcap(path.read_bytes()):
        if live.is_ip(frame):
            packet = live.Packet(frame)
            if packet.later_fragment:  # says nothing of what it is a part of
                continue
            if packet.src in owner and owner[packet.src] == owner.get(packet.dst):
                found[owner[packet.src]].append(packet)
    return found


def skip_all(why_not):
    print(f"1..1\nok 1 - the kernel # SKIP {why_not}")
    return 0


def provided(cells, plain):
    """(cells that the daemon takes, {what it does not provide: how many cells want it})."""
    taken, missing = [], collections.Counter()
    with tempfile.TemporaryDirectory(prefix="sallyport-") as directory, \
            Trial(plain, pathlib.Path(directory)) as trial:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(trial.ask, cells))
    for cell, (lacks, refused) in zip(cells, answers):
        if refused:
            report(f"{cell.title} is taken", refused)
        elif lacks:
            missing.update(lacks)
        else:
            taken.append(cell)
    return taken, missing


def main():
    parser = argparse.ArgumentParser(description="Tries the daemon against the kernel's IPsec.")
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("plain", type=pathlib.Path)
    parser.add_argument("--update", action="store_true", help="write docs/interop-kernel.md")
    parser.add_argument("--keep", action="store_true", help="say where the capture and the logs are")
    options = parser.parse_args()
    began = time.monotonic()
    try:
        machine = guest.Guest(options.build.resolve() / "kernel")
    except guest.Missing as error:
        return skip_all(str(error))

    plain = options.plain.resolve()
    rows = matrix.read_rows(subprocess.run([options.build / "tests/kernel/algs"], stdout=subprocess.PIPE, text=True,
                                           check=True).stdout)
    report("our table calls the kernel's algorithms as ip-xfrm(8) does", names_trouble(rows))
    every = matrix.cells(rows)
    cells, missing = provided(every, plain)
    spoiled = matrix.spoiled_cells(rows, len(every))
    sample = sample_of(cells)
    figure(f"Linux {machine.version} under {guest.QEMU}; {len(cells)} configurations")

    asked = [{"number": cell.number, "version": cell.version, "alone": bool(cell.spoil),
              "sample": cell.number in sample} | {side: cell.address(side) for side in SIDES}
             for cell in cells + spoiled]
    files = [("ours.conf", "".join(map(matrix.setkey_text, cells + spoiled))),
             ("theirs.batch", "".join(map(matrix.xfrm_text, cells + spoiled))),
             ("cells.json", json.dumps(asked))]
    job = f"uname -rv >$OUT/uname; BUILD_PLAIN={plain} exec /usr/bin/python3 {HERE}/peer.py {TCP_SECONDS}"
    ran = machine.run(job, guest.SECONDS, files)
    if options.keep or ran.status != 0:
        print(f"# in {ran.directory}: {' '.join(sorted(ran.files))}")
    report("the guest's run ends well", f"exit status {ran.status}\n{ran.output}\n{ran.console[-2000:]}"
           if ran.status else "")
    if options.keep:
        print("\n".join(f"# {line}" for line in ran.output.splitlines()))
    lost = re.search(r"(\d+) packets? dropped by kernel", ran.output)
    report("the capture is whole", "" if lost and lost[1] == "0" else f"tcpdump: {lost and lost[0]}")
    complaints = re.findall(r"^.*(?:Error|RTNETLINK|error:|warning:|Command failed).*$", ran.output, re.MULTILINE)
    report("both sides take every configuration", "\n".join(complaints[:20]))

    found = read_results(ran.directory / "results.json")
    wire = ran.directory / "wire.pcap"
    packets = by_cell(wire, cells + spoiled) if wire.exists() else {}
    verdicts = {}
    waiting = [cell for cell in cells + spoiled if "ping" not in found.get(cell.number, {})]
    report("every configuration had its turn", f"{len(waiting)} had not" if waiting else "")
    for cell in cells:
        if cell in waiting:
            verdicts[cell.number] = "its turn did not come"
            continue
        trouble = trouble_of(cell, found[cell.number], packets.get(cell.number, []))
        verdicts[cell.number] = trouble or "ok"
        report(cell.title, trouble)
    shut = not waiting
    for cell in spoiled:
        if cell in waiting:
            continue
        if cell.spoil == "both":
            seen = wire_trouble(cell, packets.get(cell.number, []))
            report(f"what nobody protects passes and is seen in clear, IPv{cell.version}",
                   "" if "on the wire, not" in seen else f"{found[cell.number]} {seen}")
        else:
            trouble = shut_trouble(cell, found[cell.number])
            report(f"{cell.title} is shut: {SPOILED[cell.spoil]}", trouble)
            shut = shut and not trouble

    good = sum(verdict == "ok" for verdict in verdicts.values())
    moved = sum(found.get(cell.number, {}).get("tcp") == "ok" for cell in cells)
    kernel = (ran.directory / "uname").read_text().strip() if "uname" in ran.files else machine.version
    if options.update:
        DOCUMENT.write_text(document(every, verdicts, kernel, rows, moved < good, shut))
    report("docs/interop-kernel.md claims no more than that",
           "" if good >= documented() else f"{documented()} there, {good} now")
    if good > documented():
        figure(f"docs/interop-kernel.md knows of {documented()}; --update makes it know of all")
    if missing:
        figure("not provided, and not tried in so many: "
               + ", ".join(f"{lacks} {number}" for lacks, number in missing.most_common()))
    figure(f"{good} of {len(cells)} ok, {moved} of them with a transfer, in {time.monotonic() - began:.0f} s")
    print(f"1..{len(results)}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
