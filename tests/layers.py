#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Compares every #include of src/ with the include table of docs/architecture.md.

The table is the one under `| folder | layer | may include |`; its rows look like
`| engine | 4 | base alg crypto db |`. A folder may always include its own headers.
Prints TAP.
"""

import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def read_table(text):
    """{folder: (layer, folders that it may include)}; raises ValueError where a row makes no sense."""
    table, inside = {}, False
    for line in text.splitlines():
        cells = [cell.strip().replace("`", "").rstrip("/") for cell in line.strip().strip("|").split("|")]
        if not line.strip().startswith("|"):
            inside = False
        elif [cell.lower() for cell in cells] == ["folder", "layer", "may include"]:
            inside = True
        elif inside and not re.fullmatch(r"[-:| ]+", line.strip()):
            folder, layer, allowed = cells
            names = re.findall(r"[a-z]+", allowed)
            table[folder] = (int(layer), [] if names == ["nothing"] else names)
    if not table:
        raise ValueError("there is no table under `| folder | layer | may include |`")
    return table


def check_table(table):
    """The arrows of the table itself: to folders that it has, and down."""
    for folder, (layer, allowed) in table.items():
        for other in allowed:
            if other not in table:
                yield f"{folder} may include {other}, which has no row"
            elif table[other][0] >= layer:
                yield f"{folder} (layer {layer}) may include {other} (layer {table[other][0]}): not down"


def check_folder(table, folder):
    """What is wrong with the includes of one folder of src/."""
    if folder.name not in table:
        yield f"{folder.name}/ has no row in the table"
        return
    for path in sorted([*folder.rglob("*.c"), *folder.rglob("*.h")]):
        for match in INCLUDE.finditer(text := path.read_text(errors="replace")):
            place = f"{path.relative_to(folder.parent)}:{text.count(chr(10), 0, match.start(1)) + 1}"
            other = match[1].split("/")[0] if "/" in match[1] else None
            if other is None:
                yield f'{place}: "{match[1]}" is to be included as "folder/file.h"'
            elif not (folder.parent / match[1]).is_file():
                yield f'{place}: there is no "{match[1]}"'
            elif other != folder.name and other not in table[folder.name][1]:
                yield f'{place}: {folder.name} must not include "{match[1]}"'


TABLE_FOR_SELF_TEST = """
| folder | layer | may include |
|---|---|---|
| `base` | 0 | nothing |
| db | 3 | base |
| engine/ | 4 | base, db |
"""

# What a file includes, and the trouble that this must be.
SELF_TEST = [
    ("db/good.c", '#include <stdio.h>\n#include "base/a.h"\n#include "db/b.h"\n', None),
    ("db/up.c", '#include "engine/c.h"\n', 'db/up.c:1: db must not include "engine/c.h"'),
    ("db/spaced.c", '\n#  include   "engine/c.h"\n', 'db/spaced.c:2: db must not include "engine/c.h"'),
    ("base/up.h", '#include "db/b.h"\n', 'base/up.h:1: base must not include "db/b.h"'),
    ("db/bare.c", '#include "b.h"\n', 'db/bare.c:1: "b.h" is to be included as "folder/file.h"'),
    ("db/lost.c", '#include "db/lost.h"\n', 'db/lost.c:1: there is no "db/lost.h"'),
    ("text/new.c", "", "text/ has no row in the table"),
]


def self_test():
    """That the check finds what it is for."""
    table = read_table(TABLE_FOR_SELF_TEST)
    for name, source, expected in SELF_TEST:
        with tempfile.TemporaryDirectory() as tmp:
            src = pathlib.Path(tmp)
            for path in ("base/a.h", "db/b.h", "engine/c.h", name):
                (src / path).parent.mkdir(exist_ok=True)
                (src / path).touch()
            (src / name).write_text(source)
            found = [line for folder in sorted(src.iterdir()) for line in check_folder(table, folder)]
        if found != ([expected] if expected else []):
            yield f"{name}: expected {expected}, found {found}"
    upward = read_table(TABLE_FOR_SELF_TEST + "| text | 3 | db |\n| new | 9 | none |\n")
    if list(check_table(upward)) != ["text (layer 3) may include db (layer 3): not down",
                                     "new may include none, which has no row"]:
        yield f"arrows of a table: found {list(check_table(upward))}"


def main():
    numbered = 0

    def report(name, troubles):
        nonlocal numbered
        numbered += 1
        print(f"{'not ' if troubles else ''}ok {numbered} - {name}")
        for trouble in troubles:
            print(f"# {trouble}")
        return not troubles

    good = report("a forbidden include is found", list(self_test()))
    try:
        table = read_table((ROOT / "docs/architecture.md").read_text())
    except (OSError, ValueError) as error:
        report("docs/architecture.md has the table", [str(error)])
        return 1
    good &= report("the table's arrows go down", list(check_table(table)))
    for folder in sorted(path for path in (ROOT / "src").iterdir() if path.is_dir()):
        good &= report(f"includes of {folder.name}", list(check_folder(table, folder)))
    print(f"1..{numbered}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
