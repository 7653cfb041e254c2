# SPDX-License-Identifier: BSD-2-Clause
"""Every example of setkey(8) does what the page says: it is run as it stands there."""

import re

import pytest

from lab import BUILD, ROOT

PAGE = (ROOT / "man/setkey.8").read_text()
BLOCKS = [text for text in
          re.findall(r"(?ms)^\.Bd -literal -offset indent\n(.*?)^\.Ed\n", PAGE)]
TEXTS = [text for text in BLOCKS if not text.startswith("$ ")]
COMMANDS = [text for text in BLOCKS if text.startswith("$ ")]


def test_the_page_has_examples():
    assert len(TEXTS) >= 8 and len(COMMANDS) == 1


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: " ".join(text.split()[:6]))
def test_text(databases, text):
    result = databases.setkey("phoenix", "-c", input=text)
    assert ": error: " not in result.stderr, result.stderr
    added = len(re.findall(r"(?m)^add ", text)), len(re.findall(r"(?m)^spdadd ", text))
    sad, spd = databases.setkey("phoenix", "-D").stdout, databases.setkey("phoenix", "-DP").stdout
    if "deleteall" in text:
        assert sad == "No SAD entries.\n" and "spi=123456" in result.stdout
    else:
        assert (sad.count(" spi="), spd.count("\tspid=")) == (added[0], added[1] + text.count("-P in")), sad + spd


@pytest.mark.parametrize("text", COMMANDS)
def test_commands(databases, text):
    """The databases are kept and brought back; the last line empties them."""
    directory = databases.dir / "shell"
    directory.mkdir()
    (directory / "ipsec.conf").write_text(TEXTS[0])
    lines = [line.removeprefix("$ ") for line in text.splitlines()]
    assert lines[-1].startswith("setkey -e ")
    before = after = None
    for number, line in enumerate(lines):
        run = databases.run("phoenix", "sh", "-c", f"cd {directory} && PATH={BUILD}:$PATH && {line}")
        assert run.stderr == "", run.stderr
        if number == 1:
            before = plain(databases)
        if number == len(lines) - 2:
            after = plain(databases)
    assert "spi=4097" in before and before == after
    assert "No SAD entries.\nNo SPD entries.\n" == plain(databases)


def plain(lab):
    """The dumps without what changes by itself."""
    dumps = lab.setkey("phoenix", "-D").stdout + lab.setkey("phoenix", "-DP").stdout
    return re.sub(r"(?m)^\t(created|diff|last|spid|sadb_seq).*\n|sadb_seq=.*", "", dumps)
