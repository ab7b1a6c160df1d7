import io
import json

import pytest

from raygen.errors import SettingsError
from raygen.pipeline.events import EventLog, without_alleles


def test_nothing_is_written_unless_it_was_asked_for(monkeypatch):
    monkeypatch.delenv("RAYGEN_LOG", raising=False)
    stream = io.StringIO()
    EventLog("r", stream).write("done", scored=3)
    assert stream.getvalue() == ""


def test_an_event_is_one_line_of_json(monkeypatch):
    monkeypatch.setenv("RAYGEN_LOG", "json")
    stream = io.StringIO()
    EventLog("r", stream).write("warning", message="17-41276135-T-G: the VCF says 'A'\nand more")
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert (said["event"], said["run"]) == ("warning", "r")
    assert said["message"] == "<variant>: the VCF says <variant>\nand more"


@pytest.mark.parametrize(
    "text",
    ["17-41276135-T-G", "MT:73-A-C", "chr1:12345:A>T", "HLA-A*01:01-12-AC-A", "chrX-5-N-<DEL>", "3:178936091"],
)
def test_alleles_and_positions_are_taken_out(text):
    cleaned = without_alleles(f"first: {text}, the reference has 'G'")
    assert not any(part in cleaned for part in (text, "'G'"))


def test_other_words_stay():
    said = "7,546 of 10,850 REF alleles differ; 12 pairs of sequences were not finite in float16."
    assert without_alleles(said) == said


def test_an_unknown_kind_of_log_is_refused(monkeypatch):
    monkeypatch.setenv("RAYGEN_LOG", "xml")
    with pytest.raises(SettingsError, match="can be text or json"):
        EventLog("r")
