# SPDX-License-Identifier: BSD-2-Clause
"""Who opens what we protect, and what of others' we open.

Every case of cases.py, both ways, against Scapy, tshark and tcpdump where they know its
algorithms, and against rfc.py always; then both verbs one after the other. What the
engine answers as not provided is counted. docs/interop.md is the table of it:

    python3 -m pytest tests/offline/test_interop.py --update
"""

import collections
import warnings

import pytest

import captures
import dissectors
import rfc
import scapy_judge
from cases import AUTHS, CIPHERS, ROWS, SHAPES, TRANSPORT, Batch, Sa, bundles, cases_of, esn_bundles, key_of, old_bundles, other_bundles

warnings.filterwarnings("ignore", category=DeprecationWarning)

COLUMNS = ["RFC opens", "RFC makes", "Scapy opens", "Scapy makes", "tshark opens", "tcpdump opens", "round trip", "not provided"]
TABLE = collections.defaultdict(collections.Counter)  # what: {column: cases}

GROUPS = {
    "new": cases_of(bundles(CIPHERS, AUTHS)),
    "old": cases_of(old_bundles()),
    "esn": cases_of(esn_bundles()),
    "other": cases_of(other_bundles()),
    "tcp": cases_of([(Sa("tcp", auth=("tcp-md5", key_of("tcp-md5", length))),) for length in (1, 16, 80)], TRANSPORT),
}
for tcp_case in GROUPS["tcp"]:
    tcp_case.ports = (179, 20000 + tcp_case.number)


def count(case, column):
    """A case counts for each of its algorithms; Scapy saw only those of the innermost SA."""
    for sa in case.sas[:1] if column.startswith("Scapy") else case.sas:
        esn = " with ESN" if sa.esn else ""
        names = [part[0] for part in (sa.cipher, sa.auth) if part] or (["deflate"] if sa.protocol == "ipcomp" else [])
        for name in names:
            TABLE[f"{sa.protocol} {name}{esn}"][column] += 1


def wanted(case, datagram):
    """What decrypting must come to. A signature of TCP is hidden, not taken out."""
    return datagram


class Run:
    """A group through `protect`, once."""

    def __init__(self, name, directory):
        self.cases = GROUPS[name]
        self.directory = directory
        self.clear = {case.number: list(case.clear()) for case in self.cases}
        self.batch = Batch(self.cases)
        self.ours = collections.defaultdict(list)
        self.absent = set()
        for case, _, came, frame in self.batch.run(directory, "protect", self.clear):
            if came == "not-provided":
                self.absent.add(case.number)
            else:
                assert came == "protected", f"{case}: {came}"
                self.ours[case.number].append(frame)
        for case in self.cases:
            if case.number in self.absent:
                count(case, "not provided")

    @property
    def provided(self):
        return [case for case in self.cases if case.number not in self.absent]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    made = {}

    def get(name):
        if name not in made:
            made[name] = Run(name, tmp_path_factory.mktemp(name))
        return made[name]

    return get


def report(troubles, total):
    assert not troubles, f"{len(troubles)} of {total} cases; the first: " + "; ".join(troubles[:5])
    assert total


def check_opens(run, cases, judge_of, column):
    """Others open ours."""
    troubles = []
    for case in cases:
        judge = judge_of(case)
        try:
            opened = [judge.open(frame) for frame in run.ours[case.number]]
            if opened != run.clear[case.number]:
                troubles.append(f"{case}: another packet: {opened[0].hex()}")
            else:
                count(case, column)
        except Exception as error:  # whatever a judge says of it
            troubles.append(f"{case}: {type(error).__name__} {error}")
    report(troubles, len(cases))


def check_makes(run, cases, judge_of, column, same=lambda case, got, clear: got == clear):
    """We open others'."""
    packets = {}
    for case in cases:
        judge = judge_of(case)
        packets[case.number] = [judge.protect(clear) for clear in run.clear[case.number]]
    got = collections.defaultdict(list)
    troubles = []
    for case, _, came, frame in Batch(cases).run(run.directory, "decrypt", packets):
        got[case.number].append(frame)
        if came != "opened" and not (came == "passed" and not is_protected(case, frame)):
            troubles.append(f"{case}: {came}")
    for case in cases:
        if same(case, got[case.number], run.clear[case.number]):
            count(case, column)
        else:
            troubles.append(f"{case}: another packet")
    report(troubles, len(cases))


def is_protected(case, frame):
    """What is signed, or was too short to be compressed, passes as it is."""
    return not (case.sas[0].protocol in ("tcp", "ipcomp"))


def test_every_algorithm_has_cases():
    checked = {part[0] for cases in GROUPS.values() for case in cases for sa in case.sas for part in (sa.cipher, sa.auth) if part}
    expected = {row.name for row in ROWS if row.kind != "COMP"}
    assert checked == expected
    assert {row.name for row in ROWS if row.kind == "COMP"} == {"deflate", "oui", "lzs"}  # the two are refused by name


def rfc_cases(run):
    return [case for case in run.provided if all(rfc.knows(*sa.cipher[:1]) for sa in case.sas if sa.cipher)]


@pytest.mark.parametrize("name", GROUPS)
def test_rfc_opens_ours(runs, name):
    run = runs(name)
    check_opens(run, rfc_cases(run), lambda case: case.judge(), "RFC opens")


def unsigned(case, frames):
    """Segments without their options, which are what is left of a signature."""
    if case.sas[0].protocol != "tcp":
        return frames
    out = []
    for frame in frames:
        headers, proto, rest = rfc.split(frame)
        length = rest[12] >> 4 << 2
        assert rfc.with_checksum(frame, 16) == frame
        out.append(rfc.with_checksum(rfc.join(headers, proto, rest[:12] + b"\x50" + rest[13:20] + rest[length:]), 16))
    return out


@pytest.mark.parametrize("name", GROUPS)
def test_we_open_what_rfc_makes(runs, name):
    run = runs(name)
    check_makes(run, rfc_cases(run), lambda case: case.judge(), "RFC makes", lambda case, got, clear: unsigned(case, got) == clear)


def scapy_cases(run):
    return [case for case in run.provided if scapy_judge.knows(case)]


def test_scapy_opens_ours(runs):
    run = runs("new")
    check_opens(run, scapy_cases(run), scapy_judge.judge, "Scapy opens")


def test_we_open_what_scapy_makes(runs):
    run = runs("new")
    check_makes(run, scapy_cases(run), scapy_judge.judge, "Scapy makes")


def payload(datagram):
    return rfc.split(datagram)[2][8:]


def dissect(run, cases, program, directory):
    """What a program finds in our packets of some cases."""
    capture = captures.pcap([frame for case in cases for frame in run.ours[case.number]])
    found = iter(program(cases, capture, directory))
    return {case.number: [next(found) for _ in run.ours[case.number]] for case in cases}


@pytest.mark.skipif(not dissectors.find("tshark"), reason="no tshark")
def test_tshark_opens_ours(runs, tmp_path):
    run = runs("new")
    cases = [case for case in run.provided if dissectors.tshark_knows(case)]
    found = dissect(run, cases, dissectors.tshark, tmp_path)
    troubles = []
    for case in cases:
        checked = bool(case.sas[0].auth and case.sas[0].auth[0] != "null")
        right = [(payload(clear), checked) for clear in run.clear[case.number]]
        if [one and (one[0], one[1] or not checked) for one in found[case.number]] == [(data, True) for data, _ in right]:
            count(case, "tshark opens")
        else:
            troubles.append(f"{case}: {found[case.number]}")
    report(troubles, len(cases))


@pytest.mark.skipif(not dissectors.find("tcpdump"), reason="no tcpdump")
def test_tcpdump_opens_ours(runs, tmp_path):
    run = runs("new")
    cases = [case for case in run.provided if dissectors.tcpdump_knows(case)]
    found = dissect(run, cases, dissectors.tcpdump, tmp_path)
    troubles = []
    for case in cases:
        if found[case.number] == [len(payload(clear)) for clear in run.clear[case.number]]:
            count(case, "tcpdump opens")
        else:
            troubles.append(f"{case}: {found[case.number]}")
    report(troubles, len(cases))


@pytest.mark.parametrize("name", GROUPS)
def test_round_trip(runs, name):
    """Ours opens ours, and the policies for `in` find what they demand."""
    run = runs(name)
    troubles = []
    got = collections.defaultdict(list)
    for case, _, came, frame in Batch(run.provided).run(run.directory, "decrypt", run.ours, "--policy"):
        got[case.number].append(frame)
        if came != "opened" and not (came == "passed" and not is_protected(case, frame)):
            troubles.append(f"{case}: {came}")
    for case in run.provided:
        if unsigned(case, got[case.number]) == run.clear[case.number]:
            count(case, "round trip")
        else:
            troubles.append(f"{case}: another packet")
    report(troubles, len(run.provided))


def is_authenticated(case):
    """Whether an ICV covers the last byte of its packets."""
    outer = case.sas[-1]
    return outer.protocol not in ("tcp", "ipcomp") and bool(
        outer.cipher and outer.cipher[0] in rfc.AEAD or outer.auth and outer.auth[0] != "null")


@pytest.mark.parametrize("name", GROUPS)
def test_nothing_forged_is_opened(runs, name):
    """A bit is turned in the last byte of every packet."""
    run = runs(name)
    cases = [case for case in run.provided if is_authenticated(case)]
    forged = {case.number: [frame[:-1] + bytes([frame[-1] ^ 0x80]) for frame in run.ours[case.number]] for case in cases}
    if cases:
        troubles = [f"{case}: {came}" for case, _, came, _ in Batch(cases).run(run.directory, "decrypt", forged) if came != "icv"]
        report(troubles, len(cases))


# The table ----------------------------------------------------------------------------------

HEAD = """# Who was asked

What the tests of `tests/offline` checked, by algorithm: the number of cases in which it took part. A case is an SA, or a
bundle of two or three, with one key, in transport or tunnel mode, of IPv4 or IPv6 inside and outside; some packets of
different lengths each. Written by `python3 -m pytest tests/offline --update`, compared by `make check`.

* *RFC opens*, *RFC makes*: `tests/offline/rfc.py`, which was written from the RFCs and shares no code with the engine,
  opens what `sallyport protect` made; `sallyport decrypt` opens what it made.
* *Scapy*: the same of Scapy's IPsec layer. The AH around ESP is `rfc.py`'s, because Scapy 2.5 signs such with zeros.
* *tshark*, *tcpdump*: open what `sallyport protect` made. tshark checks ICVs of HMACs, tcpdump none.
* *round trip*: `decrypt --policy` finds in what `protect` made what CONF's policies demand.
* *not provided*: the engine has no such primitive, says so, and drops the packets.

Two readings are shared by `rfc.py` and the engine, so nobody independent has seen them: AES-GMAC in AH, and the fill of
`keyed-sha1` (docs/architecture.md). The signature of TCP is compared for segments without other options.

"""


def table():
    lines = ["| algorithm | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for what in sorted(TABLE):
        lines.append(f"| {what} | " + " | ".join(str(TABLE[what][column] or "") for column in COLUMNS) + " |")
    return "\n".join(lines) + "\n"


def test_table(runs, request):
    """Last: what the others have counted."""
    assert len(SHAPES) == 6
    totals = collections.Counter()
    for counts in TABLE.values():
        totals.update(counts)
    print("figure: " + ", ".join(f"{column} {totals[column]}" for column in COLUMNS) + " (by algorithm)")
    absent = [what for what, counts in sorted(TABLE.items()) if counts["not provided"] and not counts["round trip"]]
    print(f"figure: not provided: {', '.join(absent) or 'nothing'}")
    alone = [what for what, counts in sorted(TABLE.items()) if counts["round trip"] and not counts["RFC opens"]]
    print(f"figure: provided, but unknown to rfc.py: {', '.join(alone) or 'nothing'}")
    path = captures.ROOT / "docs/interop.md"
    if request.config.getoption("--update"):
        path.write_text(HEAD + table())
    missing = [column for column in COLUMNS[:-1] if not totals[column]]
    if missing:
        pytest.skip(f"not asked: {', '.join(missing)}")
    assert path.exists() and path.read_text() == HEAD + table(), "docs/interop.md is old: --update writes it"
