"""Nights on a local Ray, from landing files to tables; most tests are for both table formats, and some of Iceberg's are slow ones."""

import io
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from raygen.classes.background_file import write_background
from raygen.errors import SettingsError, StoppedError
from raygen.finished.make_background import BackgroundRequest, make_background
from raygen.nights import nightly
from raygen.nights.night_summary import print_night
from raygen.nights.nightly import run_nights
from raygen.pipeline.tabulate import run_tabulate
from raygen.settings import load_settings
from raygen.tables.compact import compact
from raygen.tables.fingerprints import FingerprintTables
from raygen.tables.iceberg import open_table
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.rollback import rollback
from raygen.tables.verify import verify
from tests.builders import fasta, random_bases, snvs, vcf
from tests.nights.test_landing import forbid
from tests.object_storage import s3_server

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

BASES = random_bases(300, 1)
FORMATS = pytest.mark.parametrize("table_format", ["parquet", "iceberg"])
SLOW_TWICE = pytest.mark.parametrize("table_format", ["parquet", pytest.param("iceberg", marks=pytest.mark.slow)])


@pytest.fixture
def place(tmp_path, table_format) -> Path:
    fasta(tmp_path, {"1": BASES})
    (tmp_path / "land").mkdir()
    return tmp_path


@pytest.fixture
def night(place, table_format):
    """Run a night; the results, and what it said."""

    def run(**more):
        given = {
            "landing.folder": str(place / "land"),
            "landing.settle_seconds": 0,
            "input.reference": str(place / "reference.fa"),
            "output.path": str(place / "out"),
            "output.table_format": table_format,
            "window.left": 16,
            "window.right": 16,
            "model.device": "cpu",
            "cluster.actors": 1,
        }
        return list(run_nights(load_settings(None, given={**given, **more}), say=lambda line: None))

    return run


def land(place: Path, name: str, positions, extra=()) -> None:
    vcf(place / "land", [*snvs("1", BASES, positions), *extra], name)


def ids(place: Path, table_format: str) -> list[str]:
    """The variants of the current table, sorted: of the files and, where there is one, of the Iceberg table the same."""
    fingerprint = FingerprintTables(str(place / "out")).current().fingerprint
    folder = RunFolder(str(place / "out" / fingerprint))
    here = sorted(read_scores(folder.path)["variant_id"].to_pylist())
    if table_format == "iceberg":
        there = open_table(folder, fingerprint, None).scan(selected_fields=("variant_id",)).to_arrow()
        assert sorted(there["variant_id"].to_pylist()) == here
    assert verify(folder.path).faults == []
    return here


def counts(result) -> tuple[int, int, int, int]:
    return (result.counts.alleles_in, result.counts.scored, result.counts.num_rejected, result.counts.already_scored)


@SLOW_TWICE
def test_nights_are_ranked_against_a_background(place, table_format, night):
    land(place, "a.vcf", range(1, 21))
    (first,) = night()
    made = make_background(BackgroundRequest([first.table])).background
    write_background(made, place / "b.zip")
    ranked = {"output.path": str(place / "ranked"), "classes.background": str(place / "b.zip")}
    (again,) = night(**ranked)
    land(place, "b.vcf", range(30, 41))
    (more,) = night(**ranked)
    assert (counts(again)[1], counts(more)[1]) == (20, 11)
    rows = read_scores(more.table)
    assert len(rows) == 31
    assert rows["phred"].null_count == 0


@FORMATS
def test_nights_add_what_is_new_and_nothing_else(place, table_format, night):
    land(place, "a.vcf", range(1, 21), ["1 30 . N A"])
    (first,) = night()
    assert counts(first) == (21, 20, 1, 0)
    (same,) = night()
    assert (same.record, same.num_rows) == (None, 20)
    shutil.copy(place / "land/a.vcf", place / "land/copy.vcf")
    (copied,) = night()
    assert copied.record is None
    land(place, "b.vcf", range(11, 31))
    (third,) = night()
    assert counts(third) == (20, 10, 0, 10)
    land(place, "c.vcf", range(1, 6))
    (all_known,) = night()
    assert (counts(all_known), all_known.run) == ((5, 0, 0, 5), None)
    assert len(ids(place, table_format)) == len(set(ids(place, table_format))) == 30

    compact(first.table)
    shutil.rmtree(place / "out" / first.fingerprint / "nights")  # records lost: the table itself is looked at
    (again,) = night()
    assert counts(again) == (46, 0, 16, 30), "15 variants are in two files"
    assert len(read_scores(first.table)) == 30


@SLOW_TWICE
def test_a_night_that_stops_is_finished_by_the_next_which_then_takes_what_came_since(
    place, table_format, night, monkeypatch
):
    land(place, "a.vcf", range(1, 21), ["1 30 . N A"])
    real = nightly.run_score

    def stopped(settings, say):
        real(settings, say)
        raise StoppedError("killed before the night was recorded")

    monkeypatch.setattr(nightly, "run_score", stopped)
    with pytest.raises(StoppedError):
        night()
    monkeypatch.undo()
    (place / "land/a.vcf").unlink()
    land(place, "b.vcf", range(16, 26))
    finished, tonight = night()
    assert counts(finished) == (21, 0, 1, 20)
    assert counts(tonight) == (10, 5, 0, 5)
    assert len(ids(place, table_format)) == 25
    assert not list((Path(finished.table) / ".nights").iterdir())


@SLOW_TWICE
def test_a_file_that_cannot_be_read_is_set_aside_and_the_others_are_done(place, table_format, night):
    land(place, "a.vcf", range(1, 6))
    (place / "land/broken.vcf.gz").write_bytes(b"\x1f\x8b\x08\x04broken")
    (done,) = night()
    assert counts(done) == (5, 5, 0, 0)
    assert list(done.set_aside) == ["broken.vcf.gz"]
    (again,) = night()
    assert (again.record, list(again.set_aside)) == (None, ["broken.vcf.gz"])
    assert len(ids(place, table_format)) == 5


@SLOW_TWICE
def test_a_file_that_this_user_may_not_read_is_set_aside_and_the_others_are_done(
    place, table_format, night, monkeypatch
):
    land(place, "a.vcf", range(1, 6))
    land(place, "secret.vcf", range(6, 9))
    forbid(monkeypatch, "secret.vcf")
    (done,) = night()
    assert counts(done) == (5, 5, 0, 0)
    assert done.set_aside == {"secret.vcf": "it cannot be read: Permission denied"}
    monkeypatch.undo()
    (again,) = night()
    assert (counts(again), dict(again.set_aside)) == ((3, 3, 0, 0), {})


@pytest.mark.parametrize("table_format", ["parquet"])
def test_a_file_whose_column_is_of_another_type_is_set_aside_and_the_table_stays_one(place, table_format, night):
    def land_table(name: str, pos: int, values: list) -> None:
        bases = {"ref": [BASES[pos - 1]], "alt": ["A" if BASES[pos - 1] != "A" else "C"]}
        pq.write_table(pa.table({"chrom": ["1"], "pos": [pos], **bases, "af": values}), place / "land" / name)

    columns = {"input.source_columns": ["af"]}
    land_table("a.parquet", 10, [7])
    land_table("b.parquet", 20, ["007"])
    (first,) = night(**columns)
    assert (list(first.files), list(first.set_aside)) == (["a.parquet"], ["b.parquet"])
    assert "is int64 in a.parquet and string in b.parquet" in first.set_aside["b.parquet"]
    land_table("c.parquet", 30, [0.5])
    (second,) = night(**columns)
    assert (list(second.files), list(second.set_aside)) == (["c.parquet"], ["b.parquet"])
    assert "is int64 in the scores in" in second.set_aside["b.parquet"]
    assert read_scores(first.table).sort_by("pos")["af"].to_pylist() == [7.0, 0.5]
    assert verify(first.table).faults == []


@SLOW_TWICE
def test_a_new_fingerprint_starts_a_table_beside_the_old_one(place, table_format, night):
    land(place, "a.vcf", range(1, 6))
    (old,) = night()
    (new,) = night(**{"window.right": 12})
    assert new.fingerprint != old.fingerprint
    assert counts(new) == (5, 5, 0, 0)
    tables = FingerprintTables(str(place / "out"))
    assert (tables.current().fingerprint, tables.current().previous) == (new.fingerprint, old.fingerprint)
    assert (place / "out/current").resolve() == Path(new.table)
    assert {len(read_scores(one.table)) for one in (old, new)} == {5}
    assert set(new.pages) == {"report", "diff"}
    assert all("<html" in Path(page).read_text() for page in new.pages.values())
    assert ids(place, table_format)


@SLOW_TWICE
def test_a_night_that_is_taken_back_can_be_done_again(place, table_format, night):
    land(place, "a.vcf", range(1, 6))
    night()
    land(place, "b.vcf", range(6, 11), ["1 30 . N A"])
    (second,) = night()
    compact(second.table)
    assert rollback(second.table, second.run.run_id).files == ("b.vcf",)
    assert len(ids(place, table_format)) == 5
    (again,) = night()
    assert counts(again) == counts(second) == (6, 5, 1, 0)
    assert len(ids(place, table_format)) == 10


@pytest.mark.parametrize("table_format", ["parquet"])
def test_a_record_says_what_was_taken_and_the_folder_of_single_runs_is_not_mixed_with_nights(place, night):
    land(place, "a.vcf", range(1, 6))
    (done,) = night()
    record = json.loads(Path(done.record).read_text())
    assert ([file["name"] for file in record["files"]], record["counts"]["scored"]) == (["a.vcf"], 5)
    with pytest.raises(SettingsError, match="is the folder of `raygen score`"):
        night(**{"output.path": done.table})


@pytest.mark.parametrize("table_format", ["parquet"])
def test_a_night_over_a_wrong_reference_takes_nothing(place, night):
    land(place, "a.vcf", range(1, 200))
    fasta(place, {"1": random_bases(300, 9)})
    (done,) = night()
    assert "a.vcf" in done.set_aside
    assert done.record is None


@pytest.mark.slow
@pytest.mark.parametrize("table_format", ["parquet"])
def test_nights_go_to_object_storage_and_what_does_not_hold_there_is_refused(place, night):
    with s3_server() as server:
        out = {"output.path": server.uri("nights")}
        land(place, "a.vcf", range(1, 11))
        (first,) = night(**out)
        land(place, "b.vcf", range(6, 16), ["1 30 . N A"])
        (second,) = night(**out)
        (same,) = night(**out)
        table = server.uri(f"nights/{first.fingerprint}")
        assert (counts(first), counts(second), same.record) == ((10, 10, 0, 0), (11, 5, 1, 5), None)
        assert len(read_scores(table)) == 15
        found = verify(table)
        assert (found.faults, found.num_rows, found.num_rejects) == ([], 15, 1)
        assert FingerprintTables(server.uri("nights")).current().fingerprint == first.fingerprint
        assert set(second.pages) == {"report"}
        with pytest.raises(SettingsError, match="on object storage"):
            compact(table)
        with pytest.raises(SettingsError, match="on object storage"):
            rollback(table, first.run.run_id)
        land(place, "c.vcf", range(41, 42))
        with pytest.raises(SettingsError, match="cannot lie on object storage"):
            night(**out, **{"output.table_format": "iceberg"})


@SLOW_TWICE
def test_a_night_of_single_base_changes_is_looked_up_in_a_position_table(place, table_format, night, monkeypatch):
    window = {"window.left": 16, "window.right": 1, "window.anchor": "grid", "window.stride": 16}
    given = {"input.reference": str(place / "reference.fa"), "output.path": str(place / "table"), "model.device": "cpu"}
    run_tabulate(load_settings(None, given={**given, **window}, complete=False), say=lambda line: None)
    prescored = {**window, "scoring.prescored": str(place / "table")}
    land(place, "a.vcf", range(1, 21))
    with monkeypatch.context() as without_actors:
        without_actors.setattr("raygen.pipeline.run.plan_actors", lambda *_, **__: pytest.fail("an actor is started"))
        (first,) = night(**prescored)
    assert counts(first) == (20, 20, 0, 0) and first.run.counts.prescored == first.counts.prescored == 20
    land(place, "b.vcf", range(15, 26), [f"1 30 . {BASES[29]} {BASES[29]}TT"])
    (second,) = night(**prescored)
    assert counts(second) == (12, 6, 0, 6) and second.run.counts.prescored == 5
    assert len(ids(place, table_format)) == 26
    console = Console(file=io.StringIO(), width=200)
    print_night(second, console)
    assert "5 of 6 scored are from the position table, without a model\n" in console.file.getvalue()
