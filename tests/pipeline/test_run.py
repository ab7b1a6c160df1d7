"""The whole path on small inputs, on a local Ray."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.metadata import version as version_of
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import raygen
from raygen.errors import InputError, SettingsError, StoppedError
from raygen.pipeline.run import RunResult, run_score
from raygen.sequence.reference import open_reference
from raygen.settings import load_settings
from raygen.tables.layout import RunFolder, read_scores
from raygen.tables.schemas import PAIRS, SCORES
from raygen.variants.ingest import ingest
from tests.builders import fasta, random_bases, shared, snvs, vcf

pytestmark = pytest.mark.ray

CONTIGS = {"1": random_bases(900, 1), "HLA-A*01:01:01:01": random_bases(300, 2), "tiny": random_bases(40, 3)}
WINDOW = {"window.left": 32, "window.right": 32, "model.device": "cpu", "cluster.actors": 1}


@pytest.fixture
def reference(tmp_path) -> Path:
    return fasta(tmp_path, CONTIGS)


def write_variants(folder: Path, name: str = "variants.vcf", step: int = 5) -> Path:
    """SNVs all over three contigs, an insertion, a deletion at a contig's end, and records that are rejected."""
    records = [
        record for contig, bases in CONTIGS.items() for record in snvs(contig, bases, range(1, len(bases) + 1, step))
    ]
    last = CONTIGS["1"][897:900]
    records += [f"1 400 . {CONTIGS['1'][399]} {CONTIGS['1'][399]}GATTACA", f"1 898 . {last} {last[0]}"]
    records += ["1 77 . N A", "nowhere 5 . A C", f"1 6 again {CONTIGS['1'][5]} *"]
    return vcf(folder, records, name, contigs=tuple(CONTIGS))


def score(out: Path, variants: Path, reference: Path, **more):
    given = {"input.variants": [str(variants)], "input.reference": str(reference), "output.path": str(out), **WINDOW}
    return run_score(load_settings(None, given={**given, **more}), say=lambda line: None)


@dataclass(frozen=True)
class Finished:
    """A run that is done: what it scored, against what, where its tables are, and what it returned."""

    variants: Path
    reference: Path
    out: Path
    result: RunResult


@pytest.fixture(scope="module")
def scored_once(tmp_path_factory) -> Finished:
    """One run for all tests that only read it."""
    folder = tmp_path_factory.mktemp("scored_once")
    variants, reference = write_variants(folder), fasta(folder, CONTIGS)
    return Finished(variants, reference, folder / "out", score(folder / "out", variants, reference))


@pytest.fixture
def finished(scored_once, tmp_path) -> Finished:
    """The same run in a folder of the test's own, to go on with."""
    shutil.copytree(scored_once.out, tmp_path / "out")
    return replace(scored_once, out=tmp_path / "out")


def deltas(out: Path) -> dict[str, float]:
    table = read_scores(str(out))
    return dict(zip(table["variant_id"].to_pylist(), table["delta_llr"].to_pylist(), strict=True))


def assert_same_scores(one: dict[str, float], other: dict[str, float]) -> None:
    assert one.keys() == other.keys()
    np.testing.assert_allclose([other[name] for name in one], list(one.values()), atol=1e-4)


def test_every_allele_is_scored_or_rejected_and_the_tables_hold_them(scored_once):
    counts = scored_once.result.counts
    assert counts.rejected == {"non_acgt_allele": 1, "unknown_contig": 1, "star_allele": 1}
    assert counts.alleles_in == counts.scored + 3 == 248 + 2 + 3
    table = read_scores(str(scored_once.out))
    assert table.column_names == SCORES.names
    assert len(table) == len(set(table["variant_id"].to_pylist())) == counts.scored
    rejects = pq.read_table(scored_once.out / "rejects")
    assert sorted(rejects["reason"].to_pylist()) == ["non_acgt_allele", "star_allele", "unknown_contig"]
    assert "variants.vcf:" in rejects["source"][0].as_py()


def test_files_are_sorted_and_partitioned_by_contig(scored_once):
    files = RunFolder(str(scored_once.out)).score_files()
    assert {file.chrom for file in files} == set(CONTIGS)
    for file in files:
        positions = pq.ParquetFile(file.path).read()["pos"].to_pylist()
        assert positions == sorted(positions)


def test_scores_are_those_of_the_python_interface(tmp_path, reference):
    variants = write_variants(tmp_path, step=20)
    extra = ["entropy", "peak_offset"]
    score(tmp_path / "out", variants, reference, **{"window.strand": "both", "output.extra_columns": extra[::-1]})
    with (
        pytest.warns(UserWarning, match="does not have the contigs of 1 alleles: nowhere"),
        pytest.warns(UserWarning, match="3 of 67 alleles left out"),
    ):
        table = raygen.score_variants(
            raygen.load_model("demo"),
            variants,
            reference,
            strand="both",
            window=raygen.Window(32, 32),
            extra_columns=extra,
        )
    direct = dict(zip(table["variant_id"].to_pylist(), table["delta_llr"].to_pylist(), strict=True))
    assert_same_scores(direct, deltas(tmp_path / "out"))
    more = ["entropy", "peak_offset", "entropy_fwd", "entropy_rev"]
    written = read_scores(str(tmp_path / "out"))
    assert written.column_names[-4:] == table.column_names[-4:] == more
    by_id = [{row["variant_id"]: row["entropy_rev"] for row in rows.to_pylist()} for rows in (table, written)]
    assert_same_scores(*by_id)


def test_scores_do_not_depend_on_actors_or_batch_size(tmp_path, scored_once):
    two = {"cluster.actors": 2, "scoring.max_batch_tokens": 200}
    score(tmp_path / "two", scored_once.variants, scored_once.reference, **two)
    assert_same_scores(deltas(scored_once.out), deltas(tmp_path / "two"))


def test_a_finished_run_started_again_does_nothing(finished):
    first = finished.result
    before = {path: path.stat().st_mtime_ns for path in (finished.out / "scores").rglob("*.parquet")}
    again = score(finished.out, finished.variants, finished.reference)
    assert again.counts.already_scored == first.counts.scored
    assert (again.counts.scored, again.counts.rejected) == (0, first.counts.rejected)
    assert {path: path.stat().st_mtime_ns for path in (finished.out / "scores").rglob("*.parquet")} == before


NOTHING_LEFT = """
import sys
import raygen.cli.scoring
from raygen.settings import load_settings

raygen.cli.scoring.run(load_settings(None, given={given!r}))
print("imported:", {{"torch", "transformers", "ray"}} & set(sys.modules))
"""


def test_a_run_that_finds_nothing_left_loads_neither_torch_nor_transformers_nor_ray(finished):
    given = {
        "input.variants": [str(finished.variants)],
        "input.reference": str(finished.reference),
        "output.path": str(finished.out),
        **WINDOW,
    }
    command = [sys.executable, "-c", NOTHING_LEFT.format(given=given)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "Nothing is left to score." in done.stdout
    assert "report: " in done.stdout
    assert done.stdout.rstrip().endswith("imported: set()")


def test_a_run_goes_on_where_an_earlier_one_stopped(finished):
    whole = deltas(finished.out)
    lost = RunFolder(str(finished.out)).score_files()[1]
    rows = pq.read_metadata(lost.path).num_rows
    Path(lost.path).unlink()
    resumed = score(finished.out, finished.variants, finished.reference)
    assert resumed.counts.scored == rows
    assert_same_scores(whole, deltas(finished.out))


def test_another_input_scores_only_what_is_new(tmp_path, reference):
    score(tmp_path / "out", write_variants(tmp_path, "few.vcf", step=40), reference)
    few = deltas(tmp_path / "out")
    second = score(tmp_path / "out", write_variants(tmp_path, "many.vcf", step=20), reference)
    assert second.counts.already_scored == len(few)
    everything = deltas(tmp_path / "out")
    assert len(read_scores(str(tmp_path / "out"))) == len(everything) == len(few) + second.counts.scored


def test_an_ingested_folder_is_taken_as_it_is(tmp_path, reference):
    variants = write_variants(tmp_path, step=50)
    ingested = ingest([variants], open_reference(str(reference)), tmp_path / "in")
    for path in (tmp_path / "in", tmp_path / "in/variants"):
        result = score(tmp_path / f"out-{path.name}", path, reference)
        assert result.counts.alleles_in == result.counts.scored == ingested.num_variants
        assert not (tmp_path / f"out-{path.name}" / ".ingest").exists()


def test_a_users_own_parquet_is_checked_first_and_its_columns_are_carried(tmp_path, reference):
    rows = [{"chrom": "chr1", "pos": 9, "ref": CONTIGS["1"][8], "alt": "ACG", "AF": 0.25}]
    rows += [{"chrom": "1", "pos": 9, "ref": "ACGTACGT", "alt": "A", "AF": 0.5}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "own.parquet")
    result = score(tmp_path / "out", tmp_path / "own.parquet", reference, **{"input.source_columns": ["AF"]})
    assert result.counts.rejected == {"ref_mismatch": 1}
    assert read_scores(str(tmp_path / "out"))["AF"].to_pylist() == [0.25]


def test_an_input_that_was_scored_before_as_part_of_another_adds_nothing(tmp_path, finished):
    few = vcf(tmp_path, snvs("1", CONTIGS["1"], [1, 6, 11]), "few.vcf", contigs=("1",))
    again = score(finished.out, few, finished.reference)
    assert (again.counts.scored, again.counts.already_scored) == (0, 3)


def test_rejects_of_every_input_are_kept_and_written_once(tmp_path, reference):
    base = CONTIGS["1"][8]
    for name, alts in (("a.vcf", ["*", "<CN0>"]), ("b.vcf", ["N"])):
        variants = vcf(tmp_path, [f"1 9 . {base} {alt}" for alt in alts], name)
        for _ in range(2):
            score(tmp_path / "out", variants, reference)
    assert len(pq.read_table(tmp_path / "out/rejects")) == 3


def test_folders_of_the_user_are_left_alone(tmp_path, reference):
    own = tmp_path / "out/ingest/notes.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    score(tmp_path / "out", write_variants(tmp_path, step=100), reference)
    assert own.read_text() == "mine"


def test_the_folder_of_an_ingest_is_no_output_folder(tmp_path, reference):
    variants = write_variants(tmp_path, step=100)
    ingest([variants], open_reference(str(reference)), tmp_path / "in")
    with pytest.raises(SettingsError, match="folder of `raygen ingest`"):
        score(tmp_path / "in", variants, reference)


def test_two_runs_do_not_write_into_one_folder_at_once(tmp_path, reference):
    folder = RunFolder(str(tmp_path / "out"))
    folder.prepare()
    with folder.locked(), pytest.raises(StoppedError, match="Another run is writing"):
        score(tmp_path / "out", write_variants(tmp_path, step=100), reference)


def test_a_run_that_fails_at_its_start_leaves_no_folder(tmp_path, reference):
    with pytest.raises(SettingsError):
        score(tmp_path / "out", write_variants(tmp_path), reference, **{"window.left": 9000})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"classes.cuts": [-9, -5, -2, 2]}, "cut points -7, -3, -1, 1"),
        ({"input.source_columns": ["END"]}, "source columns"),
        ({"output.extra_columns": ["jsd"]}, r"output.extra_columns \(none\); this run's are jsd"),
    ],
)
def test_a_folder_holds_one_kind_of_table(finished, setting, sentence):
    with pytest.raises(SettingsError, match=sentence):
        score(finished.out, finished.variants, finished.reference, **setting)


def test_source_columns_may_have_any_name(tmp_path, reference):
    names = ["length", "shard", "failure", "cost", "source", "start_forward"]
    row = {"chrom": "1", "pos": 9, "ref": CONTIGS["1"][8], "alt": "ACG", **dict.fromkeys(names, "mine")}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "own.parquet")
    score(tmp_path / "out", tmp_path / "own.parquet", reference, **{"input.source_columns": names})
    table = read_scores(str(tmp_path / "out"))
    assert [table[name].to_pylist() for name in names] == [["mine"]] * len(names)


def test_a_model_that_gives_no_number_stops_the_run(tmp_path, reference):
    import torch
    from safetensors.torch import load_file, save_file

    from raygen.model.random_checkpoint import demo_config, write_random_checkpoint

    write_random_checkpoint(tmp_path / "model", demo_config(), seed=1)
    tensors = load_file(tmp_path / "model/model.safetensors")
    tensors["backbone.norm.scale"][0] = torch.inf  # a number that is not finite; NaN is seen when the file is opened
    save_file(tensors, tmp_path / "model/model.safetensors")
    with pytest.raises(InputError, match=r"which is no number\. Either .* not finite"):
        score(tmp_path / "out", write_variants(tmp_path), reference, **{"model.name": str(tmp_path / "model")})
    assert not list((tmp_path / "out").rglob("scores/*/*.parquet"))


def test_the_manifest_says_what_was_run(scored_once):
    manifest = json.loads(Path(scored_once.result.manifest).read_text())
    table = read_scores(str(scored_once.out))
    assert manifest["status"] == "done"
    assert manifest["fingerprint"] == table["fingerprint"][0].as_py()
    assert manifest["run_id"] == table["run_id"][0].as_py()
    assert manifest["counts"]["scored"] == len(table)
    assert manifest["counts"]["num_rejected"] == 3
    assert len(manifest["model"]["weights_hash"]) == 64
    assert manifest["versions"]["torch"] == version_of("torch")
    two_passes = 2 * sum(table["num_tokens"].to_pylist())
    assert (
        manifest["tokens"]["by_two_passes"]
        == two_passes
        == manifest["tokens"]["computed"] + manifest["tokens"]["saved"]
    )
    assert 0 < manifest["tokens"]["computed"] < two_passes


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (
            {"window.left": 2048, "window.strand": "both"},
            "window.left is 32 there and 2,048 here; window.strand is forward",
        ),
        ({"model.dtype": "bfloat16"}, "model.dtype is float32 there and bfloat16 here"),
        ({"input.circular": ["tiny"]}, "input.circular is none there and tiny here"),
    ],
)
def test_a_folder_holds_one_fingerprint_and_another_is_refused_with_what_differs(finished, setting, words):
    with pytest.raises(SettingsError, match=f"holds scores with the fingerprint .*: {words}"):
        score(finished.out, finished.variants, finished.reference, **setting)


def test_a_folder_holds_one_reference(tmp_path, finished):
    other = fasta(tmp_path, {**CONTIGS, "2": "ACGT"}, "other.fa")
    with pytest.raises(SettingsError, match=rf"another reference, {finished.reference}; this run's is {other}"):
        score(finished.out, finished.variants, other)


def test_pairs_are_scored_without_a_reference(tmp_path):
    wt = random_bases(50, 9)
    rows = [("a", wt, wt[:20] + "A" + wt[21:]), ("b", wt, wt[:30]), ("a", wt, wt), ("c", wt, "ACGU"), ("d", wt, "")]
    rows += [("e", wt, "A" * 9000)]
    pq.write_table(
        pa.Table.from_pylist([dict(zip(PAIRS.names, row, strict=True)) for row in rows]), tmp_path / "p.parquet"
    )
    given = {"input.pairs": [str(tmp_path / "p.parquet")], "output.path": str(tmp_path / "out"), "model.device": "cpu"}
    result = run_score(load_settings(None, given=given), say=lambda line: None)
    assert result.counts.rejected == {"duplicate": 1, "non_acgt_allele": 1, "malformed_record": 1, "out_of_bounds": 1}
    table = read_scores(str(tmp_path / "out"))
    assert table["variant_id"].to_pylist() == ["a", "b"]
    assert table["flags"].to_pylist() == [[], ["unequal_length"]]
    model = raygen.load_model("demo")
    direct = raygen.score_pairs(model, [row[1:] for row in rows[:2]])
    np.testing.assert_allclose(table["delta_llr"].to_pylist(), direct["delta_llr"].to_pylist(), atol=1e-4)
    ll = model.log_likelihoods([wt, rows[0][2]])
    np.testing.assert_allclose(table["delta_llr"][0].as_py(), ll[1] - ll[0], atol=1e-3)
    again = run_score(load_settings(None, given=given), say=lambda line: None)
    assert (again.counts.already_scored, again.counts.scored) == (2, 0)
    changed = [("b", wt, "ACGT"), ("new", wt, "ACGT")]
    pq.write_table(
        pa.Table.from_pylist([dict(zip(PAIRS.names, row, strict=True)) for row in changed]), tmp_path / "p.parquet"
    )
    with pytest.raises(SettingsError, match="1 of these pair_ids with other sequences"):
        run_score(load_settings(None, given=given), say=lambda line: None)


def test_the_wrong_assembly_writes_nothing(tmp_path):
    reference = fasta(tmp_path, {"1": random_bases(900, 77)})
    with pytest.raises(InputError, match="another assembly"):
        score(tmp_path / "out", write_variants(tmp_path), reference, **{"input.max_unknown_share": 1})
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_a_window_larger_than_the_context_is_refused(tmp_path, reference):
    with pytest.raises(SettingsError, match=r"10,000 bases, but demo reads 4,096"):
        score(tmp_path / "out", write_variants(tmp_path), reference, **{"window.left": 5000, "window.right": 5000})


def test_an_actor_that_cannot_start_fails_the_run_with_its_reason(tmp_path, reference):
    model = tmp_path / "model"
    from raygen.model.random_checkpoint import demo_config, write_random_checkpoint

    write_random_checkpoint(model, demo_config(), seed=1)
    gone = tmp_path / "gone"

    def say(line: str) -> None:
        if line.startswith("model") and model.exists():
            model.rename(gone)

    given = {"input.variants": [str(write_variants(tmp_path))], "input.reference": str(reference)}
    given |= {"output.path": str(tmp_path / "out"), "model.name": str(model), **WINDOW}
    with pytest.raises(raygen.RaygenError, match="no such folder"):
        run_score(load_settings(None, given=given), say=say)


def test_mitochondrion_with_its_n(tmp_path):
    reference = tmp_path / "rCRS.fa"
    reference.write_bytes(shared("mt/rCRS.NC_012920.1.fa").read_bytes())
    variants = tmp_path / "near-n.vcf"
    lines = shared("mt/mt.gnomad_v3.1_PASS.vcf").read_text().splitlines(keepends=True)
    variants.write_text("".join(line for line in lines if line[0] == "#" or 3000 < int(line.split("\t")[1]) < 3200))
    result = score(tmp_path / "out", variants, reference)
    table = read_scores(str(tmp_path / "out"))
    near = [
        row["flags"] == ["n_in_window"] for row in table.to_pylist() if row["window_start"] < 3107 <= row["window_end"]
    ]
    assert result.counts.scored == len(table) > 50
    assert near
    assert all(near)
