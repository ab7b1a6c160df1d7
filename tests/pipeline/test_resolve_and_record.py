"""A run before it starts, as settings and an empty folder make it, and what it adds up while it goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raygen.errors import SettingsError, StoppedError
from raygen.model.random_checkpoint import write_random_checkpoint
from raygen.pipeline.intake import prepare_input
from raygen.pipeline.record import FailureLimit, RunTotals
from raygen.pipeline.resolve import fingerprint_and_window, resolve
from raygen.pipeline.stages import ShardSummary
from raygen.settings import Settings, load_settings
from raygen.tables.layout import RunFolder
from raygen.tables.schemas import REJECTS, SCORES
from tests.builders import fasta, random_bases, snvs, vcf
from tests.model.models import small_evo2_config

BASES = random_bases(400, 8)


def settings(folder, **more) -> Settings:
    variants = vcf(folder, snvs("1", BASES, range(200, 300, 9)))
    given = {"input.variants": [str(variants)], "input.reference": str(fasta(folder, {"1": BASES}))}
    given |= {"output.path": str(folder / "out"), "model.device": "cpu", "window.left": 64, "window.right": 32}
    return load_settings(None, given={**given, **more})


def resolved(chosen: Settings):
    return resolve(chosen, RunFolder(str(chosen.output.path)), lambda: pytest.fail("connected"))


def test_a_run_is_resolved_without_a_cluster_and_as_a_night_would_see_it(tmp_path):
    chosen = settings(tmp_path, **{"window.strand": "both"})
    run = resolved(chosen)
    assert fingerprint_and_window(chosen) == (run.job.identity.fingerprint, run.job.window)
    assert (run.model.dtype, run.job.dtype, list(run.files)) == ("float32", "float32", [])
    assert run.reference is not None and run.reference.digest == run.job.identity.reference_digest


def test_what_is_said_of_a_run_and_what_its_manifest_keeps(tmp_path):
    unnamed, off_label = (resolved(settings(tmp_path, **more)) for more in ({}, {"input.domain": "bacteria"}))
    assert [remark.split()[0] for remark in unnamed.remarks] == ["model"]
    assert [remark.split()[0] for remark in off_label.remarks] == ["model", "The"]
    assert [warning.split(",")[0] for warning in (*unnamed.warnings, *off_label.warnings)] == [
        "the model is demo",
        "input.domain is bacteria",
    ]


def test_embeddings_are_part_of_what_a_folder_shares(tmp_path):
    job = resolved(
        settings(tmp_path, **{"embed.layers": ["norm"], "embed.pool": "right:8", "embed.distances": "l2"})
    ).job
    assert job.identity.embeddings == "layers norm; pools right:8; strands forward; store float32"
    assert (job.extra_columns, job.identity.extra_columns) == (("l2_norm_right:8",), "l2_norm_right:8")
    unstored = resolved(
        settings(tmp_path, **{"embed.layers": ["norm"], "embed.pool": "suffix", "embed.store": "none"})
    ).job
    assert unstored.identity.embeddings == ""
    assert resolved(settings(tmp_path)).job.embed is None


def test_a_pool_longer_than_the_window_is_refused(tmp_path):
    with pytest.raises(
        SettingsError, match=r"embed\.pool right:64 averages 64 bases .* window\.right is 32\. Use right:32"
    ):
        resolved(settings(tmp_path, **{"embed.layers": ["norm"]}))


def test_a_layer_that_the_model_does_not_have_is_refused_with_those_that_it_has(tmp_path):
    with pytest.raises(SettingsError, match=r"demo has no layer 'blocks.28' .* It has blocks.0 to blocks.5, .*, norm"):
        resolved(settings(tmp_path, **{"embed.layers": ["norm", "blocks.28"], "embed.pool": "suffix"}))


def test_other_embeddings_into_the_same_folder_are_refused(tmp_path):
    chosen = settings(tmp_path, **{"embed.layers": ["norm"], "embed.pool": "suffix"})
    folder = RunFolder(str(chosen.output.path))
    identity = resolved(chosen).job.identity
    folder.commit_shard("a", "1", SCORES.empty_table(), REJECTS.empty_table(), identity)
    assert resolved(chosen).job.identity == identity
    for other in ({"embed.layers": ["norm"], "embed.pool": "variant"}, {}):
        with pytest.raises(
            SettingsError, match=r"holds scores with the embeddings layers norm; pools suffix.*; this run's are"
        ):
            resolved(settings(tmp_path, **other))


def test_contigs_that_the_reference_lacks_are_refused_before_a_model_is_looked_at(tmp_path):
    chosen = settings(tmp_path, **{"input.circular": ["MT"], "model.name": str(tmp_path)})
    with pytest.raises(SettingsError, match=r"input\.circular names MT"):
        resolved(chosen)


def test_an_ingest_of_haplotypes_looks_at_a_model_that_only_its_user_allows(tmp_path):
    model = tmp_path / "model"
    write_random_checkpoint(model, small_evo2_config(use_fp8_input_projections=True), seed=0)
    variants = tmp_path / "haplotypes.vcf"
    info = '##INFO=<ID=HAP,Number=1,Type=String,Description="haplotype">'
    rows = [
        f"1\t{pos}\t.\t{BASES[pos - 1]}\t{'C' if BASES[pos - 1] == 'A' else 'A'}\t.\t.\tHAP=a\n" for pos in (200, 204)
    ]
    variants.write_text(f"##fileformat=VCFv4.2\n{info}\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n{''.join(rows)}")
    more = {"input.variants": [str(variants)], "input.haplotype_column": "HAP", "window.right": None}
    chosen = settings(tmp_path, **more, **{"model.name": str(model), "model.allow_unvalidated": True})
    assert prepare_input(chosen).num_haplotypes == 1


SHARD = ShardSummary(
    shard="a", num_rows=10, scored=7, already_scored=1, prescored=3, failed=2, abstained=3, classes={"vus": 7}, flags={"f": 1},
    tokens=100, tokens_before=10, tokens_by_two_passes=300, rescored=4, halvings=2, splits=1, batches=5, restarts=0,
    gpu_memory=0, host_memory=0, stage_seconds={},
)  # fmt: skip


def test_shards_are_added_up_and_halvings_are_the_most_of_any_actor():
    totals = RunTotals()
    totals.add(SHARD)
    totals.add(replace(SHARD, classes={"benign": 7}, failed=0, halvings=1))
    assert totals.as_manifest() == {
        "counts": {
            "alleles_in": 0,
            "scored": 14,
            "already_scored": 2,
            "prescored": 6,
            "abstained": 6,
            "rejected": {"scoring_failed": 2},
            "classes": {"vus": 7, "benign": 7},
            "flags": {"f": 2},
            "num_rejected": 2,
        },
        "tokens": {"computed": 200, "by_earlier_tries": 20, "by_two_passes": 600, "saved": 400},
        "rescored_in_float32": 8,
        "out_of_memory_halvings": 2,
    }
    assert [point[1:] for point in totals.pace.points] == [(7, 100), (14, 200)]


def test_failures_of_earlier_runs_count_and_a_small_input_may_have_some(tmp_path):
    limit = FailureLimit(settings(tmp_path, **{"scoring.max_failed_share": 0.1}), RunFolder(str(tmp_path / "out")))
    limit.add(20, 20)
    limit.add(10, 20)
    with pytest.raises(StoppedError, match="31 of 41 rows tried could not be scored"):
        limit.add(1, 1)
