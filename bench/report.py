# SPDX-License-Identifier: BSD-2-Clause
"""What benchmarks found: each figure beside a peer or a limit measured in the same run.

A benchmark makes a Report, adds results as it goes, each of which prints a row at once,
and ends it. Where the environment has BENCH_JSON the results are also added to that
file, an array of objects `name value unit peer ratio goal met`; a null is what a result
has not got.

A goal is a text of three words about the result's own figures, "ratio >= 0.6" or
"value <= 260": what it says is what is compared.
"""

import json
import operator
import os
import pathlib

COMPARE = {">=": operator.ge, "<=": operator.le}


def judge(goal, figures):
    """Whether the goal is met by the figures that it names."""
    which, compare, limit = goal.split()
    return COMPARE[compare](figures[which], float(limit))


def rounded(value):
    """Three digits that count, but no fraction of what is large."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


class Report:
    """Results of one benchmark, printed as they come."""

    def __init__(self, title, peer_is="the peer's figure"):
        self.results = []
        print(f"\n{title}")
        print(f"  {'what':44} {'value':>10} {'unit':8} {'ratio':>7}  {'to ' + peer_is:34} goal")

    def add(self, name, value, unit, *, peer=None, ratio=None, goal=None):
        """A figure; `peer` says what the ratio is to."""
        met = None if goal is None else judge(goal, {"value": value, "ratio": ratio})
        self.results.append({"name": name, "value": value, "unit": unit, "peer": peer,
                             "ratio": ratio, "goal": goal, "met": met})
        said = "" if goal is None else f"{goal}: {'met' if met else 'NOT MET'}"
        print(f"  {name:44} {rounded(value):>10} {unit:8} "
              f"{'' if ratio is None else format(ratio, '.2f'):>7}  {peer or '':34} {said}".rstrip(),
              flush=True)
        return met

    def note(self, text):
        """A line that is no figure: what could not be measured, and why."""
        print(f"  {text}", flush=True)

    def end(self):
        """Adds the results to the file that the environment names."""
        path = os.environ.get("BENCH_JSON")
        if not path:
            return
        path = pathlib.Path(path)
        before = json.loads(path.read_text()) if path.exists() else []
        path.write_text(json.dumps(before + self.results, indent=1) + "\n")
