"""``make chaos``: drivers killed at random moments, again and again. Prints what each round saw."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.builders import NUM_VARIANTS, assert_whole, deltas, write_inputs

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "10"))
SEED = int(os.environ.get("CHAOS_SEED", random.SystemRandom().randrange(10**6)))
LONGEST = 30.0  # seconds from the start of a driver's work to its death


def start(inputs: Path, out: Path, seconds_a_row: float) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.cluster.driver", inputs, out, str(seconds_a_row)]
    started = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "start\n"
    return started


def test_a_driver_killed_at_random_moments_loses_and_repeats_nothing(tmp_path, capsys):
    inputs = tmp_path / "inputs.json"
    inputs.write_text(json.dumps(write_inputs(tmp_path)))
    undisturbed = start(inputs, tmp_path / "undisturbed", 0.0)
    undisturbed.communicate(timeout=300)
    expected = deltas(str(tmp_path / "undisturbed"))
    assert len(expected) == NUM_VARIANTS
    moments, killed, number, outs = random.Random(SEED), 0, 0, [tmp_path / "out-1"]
    with capsys.disabled():
        print(f"\nchaos: {ROUNDS} drivers to kill, CHAOS_SEED={SEED}, {NUM_VARIANTS} variants")
        while killed < ROUNDS:
            number += 1
            out, before = outs[-1], len(deltas(str(outs[-1])))
            driver, after = start(inputs, out, 0.05), moments.uniform(0, LONGEST)
            try:
                driver.wait(timeout=after)
                what = "ended before it could be killed, the next one starts anew"
                outs.append(tmp_path / f"out-{len(outs) + 1}")
            except subprocess.TimeoutExpired:
                driver.kill()
                killed += 1
                what = f"killed after {after:.1f} s"
            driver.communicate()
            rows = len(deltas(str(out)))
            assert rows >= before
            pieces = len(list((out / ".work").rglob("rows.*"))) if out.exists() else 0
            print(f"round {number}: {what}, {rows} scores committed, all files whole, {pieces} pieces kept")
        last = start(inputs, outs[-1], 0.0)
        said = json.loads(last.communicate(timeout=300)[0])
        print(f"end: {killed} drivers killed; the last one scored {said['scored']}, found {said['already_scored']}")
    assert last.returncode == 0
    assert said["scored"] + said["already_scored"] == NUM_VARIANTS
    for out in outs:
        assert_whole(str(out), expected)
