# SPDX-License-Identifier: BSD-2-Clause
"""What of a golden run is compared, and where ours may differ as a rule.

mask() takes out what no two runs have in common. RULES are the lasting differences of
the dialect: each has a name and a sentence, excuses one kind of text, and only where
ours says just what the rule makes of the golden one. Whatever is peculiar to single
cases stands in the table `deviations` instead.
"""

import difflib
import re

RULES = {
    # of dumps
    "mode-any": "an SA without -m is kept and shown as mode any; Linux makes it transport",
    "flags": "sadb_sa_flags are kept and shown as KAME does; Linux shows 0 (D25)",
    "window": "-r counts octets of the window, 8 packets each; Linux takes it for packets, up to 32",
    "level-default": "the level default is kept and shown; Linux makes it require",
    "upper-any": "an upper protocol of 255 is shown by its word, any (D19)",
    "loopback": "what passes over lo passes no interface of sallyportd's, and is not counted",
    # of messages
    "messages": "texts are our own; the lines that they name are compared",
    "all-errors": "all errors of a text are told, not only the first (D15)",
    "warnings": "what is accepted and then ignored is warned of (D25)",
    "chatter": "key lengths and parser notes that ipsec-tools prints beside its message are not said (D15)",
    "stderr": "what -c and the plain requests refuse is told on stderr, with its line (D21, D28)",
    "empty-dump": "an empty dump inside a text says on stdout what -D says there",
    "usage": "the usage and the version are our own",
    "wire": "of messages shown by -v, -x and -H, kind and errno are compared: ours are numbered, carry what "
            "Linux adds or leaves out, are shown once, and no REGISTER comes first (D18, D22)",
    "kernel-view": "`ip xfrm` shows the kernel's databases; ours are not there",
    # of the exit status
    "status": "1 where something was refused (D1, D21)",
}

DATE = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}"

# As the README of the golden runs lists them.
MASKS = [(re.compile(pattern, re.MULTILINE), text) for pattern, text in (
    (r"\bpid=\d+", "pid=*"),
    (r"\bspid=\d+", "spid=*"),
    (DATE, "(date)"),
    (r"^\tdiff: \d+\(s\)", "\tdiff: *(s)"),
    (r"^\trefcnt=[0-2]$", "\trefcnt=*"),
    (r"#\d{5,}", "#*"),
    # -l: minute and second, and the age
    (r"^\d{4} (esp|ah|#\d+) +([LMDd]) ([0-9a-f]{8}) +\d+/", r"* \1 \2 \3 */"),
    # -x, -v: the clock, the time an SA or a policy was made, and a policy's number
    (r"^(\d\d:\d\d:\d\d|\d+)\.\d{6} $", "(clock)"),
    (r"\baddtime=1[67]\d{8}\b", "addtime=*"),
    (r"(sadb_x_policy\{ type=\d+ dir=\d+ id=)(?!0 )[0-9a-f]+", r"\1*"),
)]


def mask(text):
    for pattern, instead in MASKS:
        text = pattern.sub(instead, text)
    return text


# Lines of dumps ----------------------------------------------------------------------

def _mode_any(golden, found):
    if " mode=any " in found:
        return golden.replace(" mode=transport ", " mode=any ")
    return golden


def _flags(golden, found):
    kame = re.search(r" flags=(0x00000[0-3][0-9a-f][01]) ", found)
    return golden.replace(" flags=0x00000000 ", f" flags={kame[1]} ") if kame else golden


def _window(golden, found):
    both = [re.search(r" replay=(\d+) ", line) for line in (golden, found)]
    if all(both):
        linux, packets = (int(match[1]) for match in both)
        if packets % 8 == 0 and linux == min(packets // 8 % 256, 32):
            return golden.replace(f" replay={linux} ", f" replay={packets} ")
    return golden


def _level_default(golden, found):
    if re.match(r"\t(esp|ah|ipcomp)/\S*/default$", found):
        return re.sub(r"/require$", "/default", golden)
    return golden


def _loopback(golden, found):
    for busy, idle in ((r"(?<=\tlast: )\(date\)", " " * 20), (r"(?<=lastused: )\(date\)", " " * 20),
                       (r"(?<=\tcurrent: )\d+(?=\(bytes\))", "0"), (r"(?<=\tallocated: )\d+", "0")):
        quiet = re.sub(busy, idle, golden)
        if quiet == found:
            return quiet
    return golden


def _upper_any(golden, found):
    return re.sub(r"(?<=[\]\w]) 255$", " any", golden) if found.endswith(" any") else golden


# Messages shown as such
CLOCK = "(clock)"
SHOWN = re.compile(r"sadb_msg\{ version=2 type=(\d+) errno=(\d+) satype=(\d+)$")
HEX = re.compile(r"([0-9a-f]{8}): ((?:[0-9a-f]{2} ?)+)$")
PRIVATE = 128  # types of ours from here on
UNSENT = (7, 11)  # REGISTER, PROMISC: ours learns algorithms and listens otherwise


def kinds(lines):
    """Messages by their kinds alone, each once in a row; then all other lines."""
    shown, others, inside, last = [], [], False, {}
    for line in lines:
        header, octets = SHOWN.match(line), HEX.match(line)
        kind = None
        if line.startswith("sadb_msg{"):
            inside = True
            kind = header and tuple(int(number) for number in header.groups())
        elif octets:
            if int(octets[1], 16) == 0:
                kind = tuple(int(octet, 16) for octet in octets[2].split()[1:4])
        elif inside and re.match(r"sadb_|sockaddr|[ }]|kdebug|$", line):
            inside = bool(line)
        elif line != CLOCK:
            inside = False
            others.append(line)
        if kind and kind[0] < PRIVATE and kind[0] not in UNSENT:
            form = "octets" if octets else "message"
            if last.get(form) != kind:
                shown.append(f"{form} of type {kind[0]} errno {kind[1]} satype {kind[2]}")
            last[form] = kind
    return shown + others


LINE_RULES = {"mode-any": _mode_any, "flags": _flags, "window": _window,
              "level-default": _level_default, "upper-any": _upper_any, "loopback": _loopback}


def compare_text(golden, found):
    """(differences, rules that were needed) of two texts that dumps may be in."""
    used = set()
    golden, found = mask(golden).splitlines(), mask(found).splitlines()
    if golden != found and any(SHOWN.match(line) or HEX.match(line) for line in golden):
        golden, found, used = kinds(golden), kinds(found), used | {"wire"}
    if len(golden) == len(found):
        for i, (one, other) in enumerate(zip(golden, found)):
            if one == other:
                continue
            needed = set()
            for name, rule in LINE_RULES.items():
                made = rule(one, other)
                if made != one:
                    one, needed = made, needed | {name}
            if one == other:
                golden[i], used = one, used | needed
    if golden == found:
        return [], used
    return list(difflib.unified_diff(golden, found, "golden", "found", lineterm=""))[2:], used


# Messages ----------------------------------------------------------------------------

class Said:
    """What a run said of its text: the lines with errors and warnings, and the rest."""

    def __init__(self):
        self.errors, self.warnings, self.general = set(), set(), []
        self.unplaced = 0  # errors whose line is not told
        self.stopped = False  # at an error: nothing behind it was read
        self.chatter = self.dumps = 0

    @property
    def refused(self):
        return bool(self.errors or self.general or self.unplaced)


# A name holds commas in some cases, and the token of a message line ends.
GOLDEN_PLACED = re.compile(r"setkey: .*?(?:,|^)(\d+): (.*)", re.DOTALL)
GOLDEN_CHATTER = re.compile(r"\d+ \d+ \d+$|libipsec: ")
OUR_PLACED = re.compile(r".*?:(\d+):\d+: (error|warning): ")
KERNEL_TEXT = re.compile(r"^(File exists|No such process|No entry|Invalid argument|Protocol not supported"
                         r"|Function not implemented)\.\n?", re.MULTILINE)
PARSER_TEXT = re.compile(r"(?i)(?:syntax error|invalid [a-z ]+|name or service not known|not supported"
                         r"|multiple address specified) at `[^']*'")


def golden_said(err, out=""):
    """What ipsec-tools said; of `out`, what -c says there. Hands that back without it."""
    said = Said()
    # A message goes on over the lines of the token that it quotes.
    for text in re.split(r"\n(?=setkey: |libipsec: |Terminated|\d+ \d+ \d+\n)", err.rstrip("\n")):
        placed = GOLDEN_PLACED.match(text)
        if not text or text == "Terminated":  # of the shell
            continue
        if GOLDEN_CHATTER.match(text):
            said.chatter += 1
        elif not placed:
            said.general.append(text)
        elif placed[2] == "parse failed":  # all that some errors say
            said.errors.add(int(placed[1]))
            said.stopped = True
        elif placed[2] in ("No SAD entries", "No SPD entries"):
            said.dumps += 1
        elif placed[2].startswith("WARNING"):
            said.warnings.add(int(placed[1]))
        else:
            said.errors.add(int(placed[1]))
            said.stopped |= " at `" in placed[2]
    for pattern in (PARSER_TEXT, KERNEL_TEXT):
        out, number = pattern.subn("", out)
        said.unplaced += number
    return said, out


def our_said(err):
    said = Said()
    for line in err.splitlines():
        placed = OUR_PLACED.match(line)
        if placed:
            (said.errors if placed[2] == "error" else said.warnings).add(int(placed[1]))
        elif re.match(r"setkey: (errors|warnings) of the same words: \d+ more", line):
            continue
        elif line and not line.startswith("  ") and line != "Terminated":
            said.general.append(line)
    return said


def compare_said(golden, found):
    """(differences, rules that were needed) of what was said."""
    used, wrong = set(), []
    if golden.chatter:
        used.add("chatter")
    if golden.dumps:
        used.add("empty-dump")
    if golden.unplaced:
        used.add("stderr")
        if not found.refused:
            wrong.append(f"golden tells {golden.unplaced} errors on stdout, ours none")
    elif missing := golden.errors - found.errors:
        wrong.append(f"golden has errors on lines {sorted(golden.errors)}, ours on {sorted(found.errors)}: "
                     f"not on {sorted(missing)}")
    elif extra := found.errors - golden.errors:
        if golden.stopped and min(extra) > min(golden.errors):
            used.add("all-errors")
        else:
            wrong.append(f"ours has errors on lines {sorted(found.errors)}, golden on {sorted(golden.errors)}")
    if unsaid := golden.warnings - found.warnings - found.errors:
        wrong.append(f"golden warns of lines {sorted(unsaid)}, ours does not")
    elif found.warnings - golden.warnings:
        used.add("warnings")
    if golden.general != found.general:
        if bool(golden.general) != bool(found.general) and not golden.unplaced:
            wrong.append(f"golden says {golden.general}, ours {found.general}")
        else:
            used.add("messages")
    if golden.errors | golden.warnings:
        used.add("messages")
    return wrong, used
