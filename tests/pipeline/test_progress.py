"""What is shown of a run only ever grows."""

import io

import pytest
from rich.console import Console

from raygen.pipeline import progress as module
from raygen.pipeline.pieces import Kept
from raygen.pipeline.progress import RunProgress, time_left


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s left"), (29.6, "30 s left"), (89, "89 s left"), (90, "2 min left"), (7200, "120 min left")],
)
def test_less_than_a_minute_is_told_in_seconds(seconds, words):
    assert time_left(seconds) == words


def test_what_is_counted_is_named(monkeypatch):
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LINES", 0)
    shown = io.StringIO()
    with RunProgress(300, Console(file=shown, force_terminal=False, width=200), units="single-base changes") as bar:
        bar.advance(30, 100)
    assert shown.getvalue().startswith("30 of 300 single-base changes, ")
    assert " single-base changes/s " in shown.getvalue() and "variant" not in shown.getvalue()


def test_rows_of_other_shards_stay_counted_when_one_is_committed(monkeypatch):
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LINES", 0)
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LOOKS", 0)
    shown = io.StringIO()
    with RunProgress(1000, Console(file=shown, force_terminal=False, width=200), lambda: Kept(265, 9000)) as bar:
        bar.look()
        bar.advance(169, 1000)  # 128 of them were among the 265
        bar.advance(831, 1000)
    lines = [line for line in shown.getvalue().splitlines() if " of " in line]
    assert [float(line.split("variants/s ")[1].split()[0].replace(",", "")) > 0 for line in lines] == [True] * 3
    counts = [int(line.split(" of ")[0].replace(",", "")) for line in shown.getvalue().splitlines() if " of " in line]
    assert counts == [265, 265, 1000]
