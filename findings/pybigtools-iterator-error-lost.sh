#!/usr/bin/env bash
# pybigtools writes a bigWig from an iterator of entries. When the iterator raises (the source of the numbers could not be read on, say),
# write() of pybigtools prints the traceback and returns as if all were well: nothing is raised in the caller, whose own exception it was, the
# exit code is 0, and what is left under the name that was asked for cannot be opened as a bigWig.
# So a pipeline that trusts the return value publishes half a file; who writes has to count the entries that were taken.
# Seen with pybigtools 0.3.0 on Python 3.11. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.3.5 pybigtools==0.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import pybigtools


def whole():
    yield ("1", 0, 1, 1.0)
    yield ("1", 1, 2, 2.0)


def broken():
    yield ("1", 0, 1, 1.0)
    raise OSError("the source cannot be read on")


pybigtools.open("whole.bw", "w").write({"1": 100}, whole())
print("whole:", list(pybigtools.open("whole.bw").records("1")))
try:
    returned = pybigtools.open("broken.bw", "w").write({"1": 100}, broken())
except OSError as error:
    sys.exit(f"write() raises now: {error}")
print("broken: write() returned", returned)
try:
    pybigtools.open("broken.bw").records("1")
except Exception as error:
    print("broken: reading it back:", type(error).__name__, error)
else:
    sys.exit("what was left can be read")
PYTHON
