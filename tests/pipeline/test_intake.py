"""Source columns of an input that comes to scores which are there: settled before a model is loaded."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.errors import InputError, SettingsError
from raygen.pipeline.intake import source_types, take_input
from raygen.sequence.reference import open_reference
from raygen.settings import load_settings
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.verify import verify
from raygen.variants.folder_contents import look_into
from raygen.variants.ingest import ingest
from raygen.variants.ingested_folder import read_ingest_info
from tests.builders import fasta
from tests.pipeline.test_run import score

AF = {"input.source_columns": ["af"]}


@pytest.fixture
def reference(tmp_path) -> Path:
    return fasta(tmp_path, {"1": "ACGT" * 25})


def variants(folder: Path, name: str, pos: int, values: pa.Array) -> Path:
    """SNVs A>C at ``pos`` and every four bases on, with the column ``af``."""
    size = len(values)
    columns = {"chrom": ["1"] * size, "pos": [pos + 4 * row for row in range(size)]}
    pq.write_table(pa.table({**columns, "ref": ["A"] * size, "alt": ["C"] * size, "af": values}), folder / name)
    return folder / name


def taken(tmp_path: Path, reference: Path, path: Path, declared: pa.DataType | None = None) -> tuple[pa.DataType, Path]:
    """The type in which a run would score the column ``af`` of an input, and where it would read it."""
    inputs = {"input.variants": [str(path)], "input.reference": str(reference), "window.right": 8, **AF}
    settings = load_settings(None, given={**inputs, "output.path": str(tmp_path / "out")})
    types = {"af": declared} if declared else {}
    result = take_input(settings, RunFolder(str(tmp_path / "out")), open_reference(str(reference)), 64, types)
    return source_types(result.variants_dir, ["af"])["af"], result.variants_dir


def test_an_ingested_folder_is_read_again_where_the_table_has_a_wider_type(tmp_path, reference):
    path = variants(tmp_path, "a.parquet", 1, pa.array([0, 1]))
    ingest([path], open_reference(str(reference)), tmp_path / "in", source_columns=["af"])
    assert taken(tmp_path, reference, tmp_path / "in") == (pa.int64(), tmp_path / "in/variants")
    assert taken(tmp_path, reference, tmp_path / "in", pa.int32()) == (pa.int64(), tmp_path / "in/variants")
    arrow_type, place = taken(tmp_path, reference, tmp_path / "in", pa.float64())
    assert arrow_type == pa.float64()
    assert place.is_relative_to(tmp_path / "out/.ingest")
    with pytest.raises(InputError, match=r"'af' is string in the scores in .*out and int64 in"):
        taken(tmp_path, reference, tmp_path / "in", pa.string())


def test_haplotypes_whose_columns_are_narrower_than_the_tables_are_refused_with_both_types(tmp_path, reference):
    path = variants(tmp_path, "a.parquet", 1, pa.array([0, 1]))
    pq.write_table(pq.read_table(path).append_column("hap", pa.array(["a", "a"])), path)
    ingest([path], open_reference(str(reference)), tmp_path / "in", source_columns=["af"], haplotype_column="hap")
    assert taken(tmp_path, reference, tmp_path / "in", pa.int64())[1] == tmp_path / "in/variants"
    with pytest.raises(SettingsError, match=r"af is int64, but double in the scores in .*out\. Give the files"):
        taken(tmp_path, reference, tmp_path / "in", pa.float64())


def test_what_an_earlier_start_ingested_is_taken_unless_the_table_became_wider(tmp_path, reference):
    path = variants(tmp_path, "a.parquet", 1, pa.array([0, 1]))
    (tmp_path / "out").mkdir()
    _, place = taken(tmp_path, reference, path)
    written = (place / "part-00000.parquet").stat().st_mtime_ns
    assert taken(tmp_path, reference, path, pa.int64()) == (pa.int64(), place)
    assert (place / "part-00000.parquet").stat().st_mtime_ns == written
    assert taken(tmp_path, reference, path, pa.float64()) == (pa.float64(), place)


def test_a_folder_of_input_is_looked_into_once_a_start(tmp_path, reference, monkeypatch):
    (tmp_path / "land").mkdir()
    variants(tmp_path / "land", "a.parquet", 1, pa.array([0, 1]))
    (tmp_path / "land/notes.txt").write_text("x")
    looks = []
    monkeypatch.setattr("raygen.variants.inputs.look_into", lambda path: looks.append(path) or look_into(path))
    _, place = taken(tmp_path, reference, tmp_path / "land")
    assert looks == [tmp_path / "land"]
    info = read_ingest_info(place.parent)
    assert info["input_paths"] == [str(tmp_path / "land")]
    assert info["warnings"] == [f"{tmp_path}/land: 1 entry is not read, being no file of variants: notes.txt."]


@pytest.mark.ray
def test_a_second_input_makes_the_table_wider_or_is_refused_before_it_is_scored(tmp_path, reference):
    out = tmp_path / "out"
    for name, pos, values in (("a", 1, pa.array([0, 1])), ("b", 21, pa.array([0.5])), ("c", 41, pa.array([7]))):
        score(out, variants(tmp_path, f"{name}.parquet", pos, values), reference, **AF)
    assert read_scores(str(out)).sort_by("pos")["af"].to_pylist() == [0.0, 1.0, 0.5, 7.0]
    with pytest.raises(InputError, match=r"'af' is double in the scores in .* and string in d\.parquet"):
        score(out, variants(tmp_path, "d.parquet", 61, pa.array(["x"])), reference, **AF)
    assert verify(str(out)).faults == []


@pytest.mark.ray
def test_a_table_is_not_written_again_for_an_input_that_adds_nothing(tmp_path, reference):
    out = tmp_path / "out"
    score(out, variants(tmp_path, "a.parquet", 1, pa.array([0, 1])), reference, **AF)
    written = {path: path.stat().st_ino for path in (out / "scores").rglob("*.parquet")}
    nothing = variants(tmp_path, "b.parquet", 21, pa.array([0.5]))
    pq.write_table(pq.read_table(nothing).slice(1), nothing)
    result = score(out, nothing, reference, **AF)
    assert result.counts.scored == 0
    assert {path: path.stat().st_ino for path in (out / "scores").rglob("*.parquet")} == written
    assert read_scores(str(out))["af"].type == pa.int64()
    assert verify(str(out)).faults == []
