#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What bash and zsh complete behind `setkey`, typed on a terminal as a user would.

    tests/completion.py BUILD     takes the files of BUILD/contrib/completion, reports in TAP

The words are looked up in the sources and the man page, not asked of the generator.
"""

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import select
import shutil
import struct
import sys
import tempfile
import termios
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS = 5  # for a shell to answer
KILL_LINE, LIST = "\x15", {"bash": "\x1b?", "zsh": "\x04"}
INIT = {
    "bash": "source {folder}/setkey; bind 'set completion-query-items 0'; bind 'set page-completions off'",
    "zsh": "fpath=({folder} $fpath); autoload -U compinit; compinit -u -D; LISTMAX=100000",
}
COMMAND = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}


def found(path, pattern):
    return re.findall(pattern, (ROOT / path).read_text(), re.MULTILINE)


def algorithms(kind):
    for name, aliases in found("src/alg/alg.c", rf'{{ ALG_{kind}, "([^"]+)"(?:, {{ ([^}}]*) }})?'):
        yield name
        yield from re.findall(r'"([^"]+)"', aliases)


def cli_options():
    for letter, word in found("src/setkey/options.c", r"""^\t{ (?:'(.)'|0), (?:NULL|"([^"]+)"), (?:NULL|"[\w|]+"), \""""):
        yield f"-{letter}" if letter else f"--{word}"


def policy_words(table):
    rows = found("src/text/policy_words.c", rf"{table}\[\] = {{([^;]*)}};")[0]
    return re.findall(r'{ "(\w+)"', rows)


SA = "add 192.0.2.1 2001:db8::1 esp 0x1000 "
POLICY = "spdadd 192.0.2.0/24[any] ::/0 any -P out "

# What is listed behind a line: all of these words.
LISTS = [
    ("every command", "setkey -e '", found("man/setkey.8", r"^\.It Ic (\w+)")),
    ("every command, behind another statement", "setkey -nve 'flush;", found("man/setkey.8", r"^\.It Ic (\w+)")),
    ("every option of a statement", f"setkey -e '{SA}-", found("src/text/scan.h", r'_\(\w+, "(-\w+)"\)')),
    ("every cipher", f"setkey -e '{SA}-E ", [*algorithms("ENC")]),
    ("every authentication algorithm", f"setkey -e \"{SA}-E null -A ", [*algorithms("AUTH")]),
    ("every compression algorithm", f"setkey -e '{SA}-C ", [*algorithms("COMP")]),
    ("protocols", "setkey -e 'add -6n 2001:db8::1 2001:db8::2 ", ["esp", "ah", "esp-old", "ah-old", "ipcomp", "tcp"]),
    ("protocols of a flush", "setkey -e 'flush ", ["esp", "ah", "ipcomp", "tcp"]),
    ("modes", f"setkey -e '{SA}-m ", ["any", "transport", "tunnel"]),
    ("flags", f"setkey -e '{SA}-f ", ["zero-pad", "random-pad", "seq-pad", "nocyclic-seq"]),
    ("directions", "setkey -e 'spdadd 0.0.0.0/0 0.0.0.0/0 any -P ", policy_words("policy_directions")),
    ("actions", f"setkey -e '{POLICY}", policy_words("policy_actions")),
    ("requests", f"setkey -e '{POLICY}ipsec esp/transport//use ", policy_words("policy_protocols")),
    ("modes of a request", f"setkey -e '{POLICY}ipsec esp/", policy_words("policy_modes")),
    ("levels", f"setkey -e '{POLICY}ipsec esp/transport//", policy_words("policy_levels")),
]

# A line, a TAB, and how the line then ends; where nothing is to be completed, as before.
TYPED = [
    ("setkey --at", "setkey --atomic "),
    ("setkey --backend xf", "setkey --backend xfrm "),
    ("setkey -e spda", "setkey -e spdadd"),
    ("setkey -e 'fl", "setkey -e 'flush"),
    ("setkey -ne 'spdflush; spda", "setkey -ne 'spdflush; spdadd"),
    (f"setkey -e '{SA}-E aes-cb", f"setkey -e '{SA}-E aes-cbc"),
    (f"setkey -e '{SA}-E aes-cbc 0x00 -A hmac-sha2-2", f"setkey -e '{SA}-E aes-cbc 0x00 -A hmac-sha2-256"),
    (f"setkey -e \"{POLICY}ip", f"setkey -e \"{POLICY}ipsec"),
    (f"setkey -e '{POLICY}ipsec ah/transport//req", f"setkey -e '{POLICY}ipsec ah/transport//require"),
    ("setkey -e 'spdflush f", "setkey -e 'spdflush f"),
    ("setkey -n -f {file}", "setkey -n -f {file}name "),
    ("setkey {file}", "setkey {file}name "),
]


class Shell:
    """An interactive shell on a terminal so wide that no line is broken."""

    def __init__(self, name, folder):
        self.name, self.screen = name, ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            env = {"PATH": os.environ["PATH"], "TERM": "dumb", "PS1": "> ", "LC_ALL": "C", "HOME": "/nonexistent"}
            os.execvpe(COMMAND[name][0], COMMAND[name], env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 500, 2000, 0, 0))
        self.type(INIT[name].format(folder=folder) + "; echo rea''dy\n")
        if not self.wait("ready\r\n"):
            raise RuntimeError(f"{name} does not start: {self.screen!r}")
        self.screen = self.screen.rpartition("ready\r\n")[2]
        self.wait("> ")
        self.settle()

    def close(self):
        os.close(self.fd)  # which hangs up
        os.waitpid(self.pid, 0)

    def type(self, keys):
        self.screen = ""
        os.write(self.fd, keys.encode())

    def read(self):
        self.screen += os.read(self.fd, 65536).decode(errors="replace").replace("\a", "")

    def wait(self, text):
        """Reads until text has come; whether it has."""
        deadline = time.monotonic() + SECONDS
        while text not in self.screen:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                return False
            self.read()
        return True

    def settle(self):
        """Reads until nothing comes any more."""
        while select.select([self.fd], [], [], 0.2)[0]:
            self.read()

    def clear(self):
        self.type(KILL_LINE)
        self.settle()

    def list_trouble(self, line, words):
        self.type(line)
        self.wait(line)
        self.type(LIST[self.name])
        self.settle()
        deadline = time.monotonic() + SECONDS
        while (missing := set(words) - set(re.split(r"[\s/]+", self.screen))) and time.monotonic() < deadline:
            self.settle()
        self.clear()
        return f"not listed: {' '.join(sorted(missing))}" if missing else None

    def tab_trouble(self, line, expected):
        self.type(line)
        self.wait(line)
        self.screen = line
        os.write(self.fd, b"\t")
        self.wait(expected)
        self.settle()
        shown = self.screen.split("\n")[-1]
        self.clear()
        return None if shown.endswith(expected) else f"{line!r} became {shown!r}, not {expected!r}"


def results(name, build, file):
    """(what, trouble) of one shell."""
    shell = Shell(name, build / "contrib/completion")
    with contextlib.closing(shell):
        options = [*cli_options()]
        for start in ("-", "--"):
            words = [option for option in options if option.startswith(start)]
            yield f"every option with {start}", shell.list_trouble(f"setkey {start}", words)
        for what, line, words in LISTS:
            yield what, shell.list_trouble(line, words) if words else "the sources have no such words"
        for line, expected in TYPED:
            yield line, shell.tab_trouble(line.format(file=file), expected.format(file=file))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1]).resolve()
    for script in ("setkey", "_setkey"):
        if not (build / "contrib/completion" / script).exists():
            sys.exit(f"there is no {build}/contrib/completion/{script}; build it first")
    number, failures = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "file-name").touch()
        for name in ("bash", "zsh"):
            if not shutil.which(name):
                number += 1
                print(f"ok {number} - {name} # SKIP {name} is not installed")
                continue
            for what, trouble in results(name, build, f"{folder}/file-"):
                number += 1
                failures += bool(trouble)
                print(f"{'not ' if trouble else ''}ok {number} - {name}: {what}")
                if trouble:
                    print(f"# {trouble}")
    print(f"1..{number}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
