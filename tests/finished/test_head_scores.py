import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.classes.head import apply_head
from raygen.classes.head_file import read_heads
from raygen.errors import InputError, SettingsError
from raygen.finished.reclassify import reclassify
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.verify import verify
from tests.classes.heads import made_head
from tests.evaluation.embedded_rows import LAYER, POOL, WIDTH, embedded_folder, telling_states

CUTS = (-5.0, -3.0, -1.0, 3.0)


def heads_of(folder, *names, **inputs):
    for name in names:
        made_head(folder, name, **({"width": WIDTH} | inputs))
    return read_heads([str(folder / name) for name in names])


def expected(head, folder, rows, **built):
    """Log-odds from the arrays that the folder's states were written from."""
    states = telling_states(np.array([label == "P" for label in read_scores(folder)["label"].to_pylist()]), 2.0, 1)
    ref, delta = (
        {strand: states[f"{kind}_{LAYER}_{POOL}_{end}"] for strand, end in (("forward", "fwd"), ("reverse", "rev"))}
        for kind in ("ref", "delta")
    )
    return apply_head(head, ref, delta, rows)


@pytest.fixture
def folder(tmp_path):
    return embedded_folder(tmp_path)


def test_heads_add_their_columns_and_change_nothing_else(tmp_path, folder):
    heads = heads_of(tmp_path, "one", "two")
    done = reclassify(folder, str(tmp_path / "new"), heads=heads)
    before, after = read_scores(folder), read_scores(str(tmp_path / "new"))
    assert (done.rows, done.changed) == (360, {})
    assert after.column_names == [*before.column_names, "head_one", "head_two"]
    assert after.drop_columns(list(heads)).equals(before)
    for name, head in heads.items():
        assert after[name].type == pa.float64()
        assert after[name].to_pylist() == expected(head, folder, None).tolist()
    manifest = json.loads(next((tmp_path / "new").glob("runs/*/manifest.json")).read_text())
    assert manifest["heads"] == {name: head.summary for name, head in heads.items()}
    assert manifest["heads"]["head_one"]["digest"] == heads["head_one"].digest
    digests = ", ".join(f"{name} (head {head.digest})" for name, head in heads.items())
    assert RunFolder(str(tmp_path / "new")).identity().extra_columns == digests
    assert not verify(str(tmp_path / "new")).faults


def test_heads_go_with_other_cut_points(tmp_path, folder):
    reclassify(folder, str(tmp_path / "new"), CUTS, heads=heads_of(tmp_path, "one"))
    reclassify(folder, str(tmp_path / "cut"), CUTS)
    cut = read_scores(str(tmp_path / "cut"))
    assert read_scores(str(tmp_path / "new")).drop_columns(["head_one"]).equals(cut)


def test_states_are_found_by_id_in_batches_of_any_size(tmp_path, folder, monkeypatch):
    """The states' files are turned around."""
    heads = heads_of(tmp_path, "one", with_delta=True, consequence_column="gene", consequences=("G1", "G7"))
    scores = read_scores(folder)
    for file in (tmp_path / "out/embeddings").glob("*/*.parquet"):
        table = pq.ParquetFile(file).read()
        pq.write_table(table.take(list(range(len(table)))[::-1]), file)
    monkeypatch.setattr("raygen.finished.head_scores._BATCH_ROWS", 7)
    reclassify(folder, str(tmp_path / "new"), heads=heads)
    rows = {name: scores[name] for name in ("delta_llr", "gene")}
    assert (
        read_scores(str(tmp_path / "new"))["head_one"].to_pylist() == expected(heads["head_one"], folder, rows).tolist()
    )


def test_rows_without_states_have_no_log_odds(tmp_path):
    folder = embedded_folder(tmp_path, missing=[0, 150])
    reclassify(folder, str(tmp_path / "new"), heads=heads_of(tmp_path, "one"))
    column = read_scores(str(tmp_path / "new"))["head_one"]
    assert np.flatnonzero(column.is_null().to_numpy()).tolist() == [0, 150]


def test_after_a_stop_it_goes_on(tmp_path, folder):
    heads, new = heads_of(tmp_path, "one"), str(tmp_path / "new")
    reclassify(folder, new, heads=heads)
    whole = read_scores(new)
    next((tmp_path / "new/scores").rglob("part-made-000001.parquet")).unlink()
    assert reclassify(folder, new, heads=heads).already == 260
    assert read_scores(new).equals(whole)


def test_a_folder_with_another_head_of_that_name_is_refused(tmp_path, folder):
    reclassify(folder, str(tmp_path / "new"), heads=heads_of(tmp_path, "one"))
    other = heads_of(tmp_path, "one", feature="absdiff")
    with pytest.raises(
        SettingsError, match=r"with the extra columns head_one \(head .*\); these would have the extra columns"
    ):
        reclassify(folder, str(tmp_path / "new"), heads=other)
    with pytest.raises(SettingsError, match=r"has a column head_one already. Rename the files of the head"):
        reclassify(str(tmp_path / "new"), str(tmp_path / "newer"), heads=other)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"layer": "norm"}, "head_one reads the layer norm; there is blocks.1 here"),
        ({"width": 4}, "The head was trained on states of 4 numbers; these have 6"),
        ({"pool": "suffix"}, "head_one reads the pool suffix; there is right:8 here"),
        (
            {"consequence_column": "MC", "consequences": ("a",)},
            "head_one reads the column MC, which .*out does not have",
        ),
    ],
)
def test_a_head_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, folder, inputs, words):
    with pytest.raises(SettingsError, match=words):
        reclassify(folder, str(tmp_path / "new"), heads=heads_of(tmp_path, "one", **inputs))
    assert not (tmp_path / "new").exists()


def test_a_folder_without_states_is_refused(tmp_path, folder):
    (tmp_path / "out/embeddings").rename(tmp_path / "elsewhere")
    with pytest.raises(
        InputError, match=r"has no embeddings of chrom=1/part-made-000000.parquet: heads are applied to stored"
    ):
        reclassify(folder, str(tmp_path / "new"), heads=heads_of(tmp_path, "one"))
    assert not (tmp_path / "new").exists()
