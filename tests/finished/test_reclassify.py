import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raygen.classes.class_rule import ClassRule
from raygen.classes.classify import classify, cuts_as_text, split_rows
from raygen.errors import InputError, SettingsError
from raygen.finished.reclassify import reclassify, reclassify_rows
from raygen.tables.compact import compact
from raygen.tables.identity import Identity
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.schemas import REJECTS, SCORES
from tests.classes.test_classify import scored
from tests.evaluation.test_calibrate import perfect, useless

OLD = (-7.0, -3.0, -1.0, 1.0)
FINGERPRINT = "f" * 16


def identity_with(cuts):
    return Identity(FINGERPRINT, "ref", cuts_as_text(cuts), "gene")


def finished_run(folder, shards=2):
    """A run's folder: each shard holds deltas -9, -4, -2, 0 and 2 on two strands that agree, and one whose strands do not."""
    run = RunFolder(str(folder))
    run.prepare()
    identity = Identity(FINGERPRINT, "ref", "-7, -3, -1, 1", "gene")
    for shard in range(shards):
        deltas = [-9.0, -4.0, -2.0, 0.0, 2.0]
        rows = [
            {"variant_id": f"1-{shard}-{n}", "delta_llr": delta, "delta_fwd": delta, "delta_rev": delta}
            for n, delta in enumerate(deltas)
        ]
        rows.append({"variant_id": f"1-{shard}-x", "delta_llr": -4.0, "delta_fwd": -8.0, "delta_rev": 0.0})
        table = scored(rows).append_column("gene", pa.array([f"g{shard}"] * len(rows)))
        scores, _ = split_rows(classify(table, OLD), "demo", FINGERPRINT, "run-1", {"gene": "gene"})
        run.commit_shard(f"s{shard}", "1", scores, REJECTS.empty_table(), identity)
    rejected = {"chrom": "1", "pos": 7, "id": None, "ref": "N", "alt": "A", "source": "v.vcf:3", "detail": "an N"}
    run.commit_rejects("ingest", pa.Table.from_pylist([{**rejected, "reason": "non_acgt_allele"}], schema=REJECTS))
    run.write_manifest("run-1", {"run_id": "run-1", "model": {"name": "demo"}, "resolved": {"strand": "both"}})
    return folder


def test_other_cut_points_change_classes_and_nothing_else(tmp_path):
    done = reclassify(str(finished_run(tmp_path / "out")), str(tmp_path / "new"), (-5.0, -3.0, -1.0, 3.0))
    before, after = read_scores(str(tmp_path / "out")), read_scores(str(tmp_path / "new"))
    assert after.column_names == [*SCORES.names, "gene"]
    assert after.drop_columns(["classification", "abstained"]).equals(
        before.drop_columns(["classification", "abstained"])
    )
    names = ["pathogenic", "likely_pathogenic", "vus", "benign", "benign", "likely_pathogenic"]
    assert after["classification"].to_pylist() == names * 2
    assert (done.rows, done.changed) == (12, {("gain_of_function", "benign"): 2})
    assert pq.read_table(tmp_path / "new/rejects")["reason"].to_pylist() == ["non_acgt_allele"]
    manifest = json.loads((tmp_path / "new").glob("runs/*/manifest.json").__next__().read_text())
    assert manifest["from"]["run_id"] == "run-1"
    assert (manifest["counts"]["scored"], manifest["counts"]["num_rejected"]) == (12, 1)
    assert manifest["resolved"] == {
        "strand": "both",
        "cuts": [-5.0, -3.0, -1.0, 3.0],
        "classes_on": None,
        "background": None,
    }


def test_strands_are_looked_at_anew(tmp_path):
    scores = read_scores(str(finished_run(tmp_path / "out", shards=1)))
    assert scores["abstained"].to_pylist() == [False] * 5 + [True]
    wide_cuts = (-20.0, -10.0, 5.0, 9.0)
    wide = reclassify_rows(scores, identity_with(OLD), ClassRule(wide_cuts))
    assert wide["abstained"].to_pylist() == [False] * 6
    fine = reclassify_rows(wide, identity_with(wide_cuts), ClassRule(OLD))
    assert fine.equals(scores)


def test_what_was_abstained_on_for_thin_evidence_stays(tmp_path):
    rows = [
        {"too_many_n": True},
        {"flags": ["same_sequence"]},
        {"too_many_n": True, "flags": ["n_in_window"], "delta_rev": 8.0},
    ]
    scores, _ = split_rows(classify(scored(rows), OLD), "demo", FINGERPRINT, "run")
    anew = reclassify_rows(scores, identity_with(OLD), ClassRule((-90.0, -80.0, -70.0, 90.0)))
    assert anew["abstained"].to_pylist() == [True] * 3


def test_a_calibration_adds_its_columns_last_and_another_one_replaces_them(tmp_path):
    run = str(finished_run(tmp_path / "out"))
    done = reclassify(run, str(tmp_path / "new"), calibration=perfect(tmp_path))
    table = read_scores(str(tmp_path / "new"))
    assert table.column_names == [*SCORES.names, "gene", "probability", "evidence"]
    assert done.classes["gain_of_function"] == 0
    assert table["evidence"][0].as_py().startswith("PP3")
    reclassify(str(tmp_path / "new"), str(tmp_path / "newer"), calibration=useless(tmp_path))
    newer = read_scores(str(tmp_path / "newer"))
    assert newer.column_names == table.column_names
    assert set(newer["classification"].to_pylist()) == {"vus"}
    reclassify(str(tmp_path / "newer"), str(tmp_path / "back"), OLD)
    assert read_scores(str(tmp_path / "back")).equals(read_scores(run))


def test_a_calibration_of_another_fingerprint_is_refused_and_nothing_is_written(tmp_path):
    other = useless(tmp_path).model_copy(update={"fingerprint": "0" * 16})
    with pytest.raises(SettingsError, match="fingerprint 0000000000000000; these are ffffffffffffffff"):
        reclassify(str(finished_run(tmp_path / "out")), str(tmp_path / "new"), calibration=other, where="c.json")
    assert not (tmp_path / "new").exists()


def test_again_it_finds_everything_there_and_after_a_stop_it_goes_on(tmp_path):
    run, new, cuts = str(finished_run(tmp_path / "out")), str(tmp_path / "new"), (-9.0, -5.0, -2.0, 2.0)
    reclassify(run, new, cuts)
    whole = read_scores(new)
    next((tmp_path / "new/scores").rglob("part-s1.parquet")).unlink()
    assert reclassify(run, new, cuts).already == 6
    assert read_scores(new).equals(whole)
    assert reclassify(run, new, cuts).already == 12


def test_after_a_compaction_of_either_folder_nothing_is_written_twice(tmp_path):
    out, new, cuts = str(finished_run(tmp_path / "out")), str(tmp_path / "new"), (-5.0, -3.0, -1.0, 3.0)
    reclassify(out, new, cuts)
    compact(out)
    again = reclassify(out, new, cuts)
    assert (again.already, len(read_scores(new))) == (12, 12)
    compact(new)
    assert reclassify(out, new, cuts).already == 12
    run, identity = RunFolder(out), RunFolder(out).identity()
    table = scored([{"variant_id": "1-late-0", "delta_llr": 0.0, "delta_fwd": 0.0, "delta_rev": 0.0}])
    late = table.append_column("gene", pa.array(["g"]))
    run.commit_shard(
        "s9",
        "1",
        split_rows(classify(late, OLD), "demo", FINGERPRINT, "run-2", {"gene": "gene"})[0],
        REJECTS.empty_table(),
        identity,
    )
    compact(out)
    assert reclassify(out, new, cuts).already == 12
    assert sorted(read_scores(new)["variant_id"].to_pylist()) == sorted(read_scores(out)["variant_id"].to_pylist())
    assert RunFolder(new).committed_shards() == {"s0", "s1", "s9"}


def test_a_folder_with_other_classes_or_the_run_itself_is_no_place_to_write(tmp_path):
    run, new = str(finished_run(tmp_path / "out")), str(tmp_path / "new")
    reclassify(run, new, (-9.0, -5.0, -2.0, 2.0))
    with pytest.raises(
        SettingsError, match="with the cut points -9, -5, -2, 2; these would have the cut points -9, -5, -2, 3"
    ):
        reclassify(run, new, (-9.0, -5.0, -2.0, 3.0))
    for inside in (run, f"{run}/again"):
        with pytest.raises(SettingsError, match="the folder of the scores themselves"):
            reclassify(run, inside, OLD)
    with pytest.raises(InputError, match="No such folder"):
        reclassify(str(tmp_path / "nothing"), str(tmp_path / "more"), OLD)
