import numpy as np
import pytest

from raygen.classes.head_file import read_head, read_heads
from raygen.errors import InputError, SettingsError
from raygen.evaluation.head_overlap import training_warning, without_training_rows
from raygen.evaluation.labelled_scores import gather
from raygen.finished.reclassify import reclassify
from tests.classes.heads import made_head
from tests.evaluation.embedded_rows import WIDTH, embedded_folder, request_of


@pytest.fixture
def scored(tmp_path):
    """A folder with the column of a head that three of its sites trained, and one that it has not."""
    made_head(tmp_path, "one", sites=("1-101", "1-111", "1-1891", "2-101"), width=WIDTH)
    reclassify(embedded_folder(tmp_path), str(tmp_path / "new"), heads=read_heads([str(tmp_path / "one")]))
    return str(tmp_path / "new")


def labelled_by(folder, column="head_one"):
    request = request_of(folder, score_column=column, higher_is_positive=True)
    return gather(request), request


def test_rows_at_sites_that_trained_a_head_are_left_out_of_its_calibration(scored):
    labelled, request = labelled_by(scored)
    kept = without_training_rows(labelled, request, None)
    assert len(labelled.frame) - len(kept.frame) == 6
    assert not kept.frame["key"].str.contains(r"1-(101|111|1891)-").any()
    assert kept.remarks[-1].startswith("6 labelled variants at sites that trained head_one are left out")


def test_a_column_of_no_head_is_left_as_it_is(scored):
    labelled, request = labelled_by(scored, "delta_llr")
    assert without_training_rows(labelled, request, None) is labelled
    assert training_warning(labelled, request) is None


def test_rows_that_trained_a_head_are_said_where_it_is_evaluated(tmp_path, scored):
    labelled, request = labelled_by(scored)
    assert training_warning(labelled, request).startswith(
        "6 of 360 labelled variants are at sites that trained head_one"
    )
    rest = without_training_rows(labelled, request, None)
    assert training_warning(rest, request) is None
    (tmp_path / "one").unlink()
    assert training_warning(labelled, request).startswith(
        "whether these labels trained head_one is not known: The head"
    )


def test_labels_that_all_trained_it_are_refused(tmp_path):
    sites = tuple(f"1-{position}" for position in range(101, 2000, 10))
    made_head(tmp_path, "one", sites=sites, width=WIDTH)
    reclassify(embedded_folder(tmp_path), str(tmp_path / "new"), heads=read_heads([str(tmp_path / "one")]))
    labelled, request = labelled_by(str(tmp_path / "new"))
    with pytest.raises(
        InputError, match="All 360 labelled variants are at sites that trained head_one: calibrate on labels"
    ):
        without_training_rows(labelled, request, None)


def test_a_head_that_is_gone_or_another_one_has_to_be_named(tmp_path, scored):
    labelled, request = labelled_by(scored)
    for end in ("", ".json"):
        (tmp_path / f"one{end}").rename(tmp_path / f"moved{end}")
    with pytest.raises(SettingsError, match=r"of head_one is no longer at .*/one. Name it with --head"):
        without_training_rows(labelled, request, None)
    assert len(without_training_rows(labelled, request, str(tmp_path / "moved")).frame) == 354
    made_head(tmp_path, "one", feature="absdiff", width=WIDTH)
    with pytest.raises(SettingsError, match=r"is no longer at"):
        without_training_rows(labelled, request, None)
    digest = read_head(str(tmp_path / "one")).digest
    with pytest.raises(SettingsError, match=f"is the head {digest}; the column head_one is of"):
        without_training_rows(labelled, request, str(tmp_path / "one"))


def test_a_head_of_a_plain_table_has_to_be_named(tmp_path, scored):
    import polars as pl

    from raygen.tables.layout import read_scores

    pl.DataFrame(read_scores(scored)).write_parquet(tmp_path / "plain.parquet")
    labelled, request = labelled_by(str(tmp_path / "plain.parquet"))
    with pytest.raises(SettingsError, match=r"does not say which head head_one is of. Name it with --head"):
        without_training_rows(labelled, request, None)
    assert len(without_training_rows(labelled, request, str(tmp_path / "one")).frame) == 354
    assert np.isfinite(labelled.risk.to_numpy()).all()
