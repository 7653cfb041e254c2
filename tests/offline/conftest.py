# SPDX-License-Identifier: BSD-2-Clause
"""Tests of the verbs that work without a daemon. $BUILD is the build to test, by default build/."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "live")]


def pytest_addoption(parser):
    parser.addoption("--update", action="store_true", help="write docs/interop.md anew")
