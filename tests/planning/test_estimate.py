import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pysam
import pytest

from raygen.errors import SettingsError
from raygen.pipeline.run import run_score
from raygen.pipeline.shards import plan_shards
from raygen.pipeline.tabulate import Parts, run_tabulate
from raygen.planning import estimate as estimating
from raygen.planning import sampling
from raygen.planning.estimate import estimate, measure_on_input
from raygen.planning.position_estimate import estimate_positions
from raygen.scoring.likelihood import load_model
from raygen.scoring.plan import plan_windows
from raygen.scoring.scorer import VariantScorer
from raygen.sequence.reference import open_reference
from raygen.settings import load_settings
from raygen.tables.schemas import variant_ids
from raygen.variants.ingest import ingest
from tests.builders import fasta, random_bases, shared, snvs, vcf

BASES = random_bases(3000, 8)


def settings(folder: Path, step: int = 9, **more):
    variants = vcf(folder, snvs("1", BASES, range(200, 2800, step)))
    given = {"input.variants": [str(variants)], "input.reference": str(fasta(folder, {"1": BASES}))}
    given |= {"output.path": str(folder / "out"), "model.device": "cpu", "cluster.actors": 1}
    return load_settings(None, given={**given, "window.left": 64, "window.right": 32, **more})


STEPS = {"pair": 90, "fork": 27}
"""Bases from one variant to the next: two passes cost the same for each, what neighbours share depends on how near they are."""


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("grid", [{}, {"window.anchor": "grid", "window.stride": 64}])
@pytest.mark.parametrize("method", ["pair", "fork"])
def test_a_run_computes_what_was_planned_within_a_fifth(tmp_path, grid, method):
    chosen = settings(tmp_path, step=STEPS[method], **grid, **{"window.strand": "both", "scoring.method": method})
    planned = estimate(chosen)
    done = run_score(chosen, say=lambda line: None)
    expected = planned.fork_tokens if method == "fork" else planned.pair_tokens
    assert planned.num_variants == done.counts.scored
    assert expected == pytest.approx(done.tokens, rel=0.2)
    tokens = json.loads(Path(done.manifest).read_text())["tokens"]
    assert tokens == {
        "computed": done.tokens,
        "by_earlier_tries": 0,
        "by_two_passes": planned.pair_tokens,
        "saved": planned.pair_tokens - done.tokens,
    }


EMBED = {"embed.layers": ["norm"], "embed.pool": ["suffix"], "window.strand": "both"}


def test_a_plan_says_what_embeddings_take(tmp_path):
    chosen = settings(tmp_path, **{"model.name": "arcinstitute/evo2_7b_base", **EMBED})
    planned = estimate(chosen)
    assert planned.num_variants == 289
    assert planned.remarks == ("embeddings: 65.5 kB a variant, 18.9 MB in all (float32)",)
    more = {"embed.layers": ["blocks.2", "norm"], "embed.store": "projection:256"}
    assert "8.2 kB a variant" in estimate(settings(tmp_path, **{**EMBED, **more})).remarks[0]
    assert estimate(settings(tmp_path, **{**EMBED, "embed.store": "none"})).remarks == ()


def test_a_plan_refuses_a_layer_that_is_not_there_where_nothing_is_stored(tmp_path):
    with pytest.raises(SettingsError, match="has no layer"):
        estimate(settings(tmp_path, **{**EMBED, "embed.layers": ["blocks.99"], "embed.store": "none"}))


def test_a_plan_counts_the_last_token_that_embeddings_read_and_refuses_a_layer_that_is_not_there(tmp_path):
    """One token more of each of the two sequences, and of each branch and path: windows of variants 9 bases apart share no path."""
    plain = estimate(settings(tmp_path, **{"window.strand": "both"}))
    planned = estimate(settings(tmp_path, **EMBED))
    assert planned.pair_tokens - plain.pair_tokens == 2 * 2 * 289
    assert planned.fork_tokens - plain.fork_tokens == 2 * 2 * 289
    with pytest.raises(SettingsError, match=r"evo2_7b_base has no layer 'blocks.32' .* It has blocks.0 to blocks.31"):
        estimate(
            settings(tmp_path, **{**EMBED, "model.name": "arcinstitute/evo2_7b_base", "embed.layers": ["blocks.32"]})
        )


def test_a_plan_warns_of_embeddings_that_the_disk_has_no_room_for(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100_000))
    (warning,) = estimate(settings(tmp_path, **EMBED)).warnings
    assert warning.startswith("The embeddings take ")
    assert f"the disk of {tmp_path / 'out'} has 100.0 kB free" in warning


@pytest.mark.parametrize("grid", [{}, {"window.anchor": "grid", "window.stride": 64}], ids=["variant", "grid"])
@pytest.mark.parametrize("rows_of_states", [2, 1000])
def test_tokens_are_planned_exactly_within_the_memory_for_states(tmp_path, grid, rows_of_states):
    model = load_model("demo", device="cpu", max_batch_tokens=700)
    memory = 2 * rows_of_states * model.loaded.network.state_size().prefix(160)
    limits = {"scoring.max_batch_tokens": 700, "scoring.state_memory": memory}
    chosen = settings(tmp_path, step=27, **grid, **limits)
    planned = estimate(chosen)
    reference = open_reference(chosen.input.reference)
    taken = ingest(chosen.input.variants, reference, tmp_path / "ingested")
    for shard in plan_shards(taken.variants_dir, ""):
        named = shard.read().append_column("variant_id", variant_ids(shard.read()))
        VariantScorer(model, reference, state_memory=memory).score(plan_windows(named, reference, planned.window))
    assert planned.fork_tokens == model.num_tokens_computed


def test_a_grid_saves_more_than_windows_of_their_own(tmp_path):
    own, grid = (estimate(settings(tmp_path, **more)) for more in ({}, {"window.anchor": "grid", "window.stride": 256}))
    assert grid.times_fewer > 2 * own.times_fewer > 2


@pytest.mark.parametrize("is_small", [True, False], ids=["read whole", "sampled"])
def test_what_ingest_warns_of_is_planned_with(tmp_path, monkeypatch, is_small):
    """A contig that the reference lacks, and a file in the folder that is not read."""
    if not is_small:
        for setting, value in {"WHOLE_RECORDS": 100, "_COUNTED_BYTES": 100, "NUM_STRETCHES": 2}.items():
            monkeypatch.setattr(sampling, setting, value)
    folder = tmp_path / "in"
    folder.mkdir()
    records = [*snvs("1", BASES, range(200, 2800, 9)), "decoy 5 . A C"]
    cohort = vcf(folder, records, "cohort.vcf", contigs=["1", "decoy"])
    cohort.write_text(cohort.read_text().replace("##contig=<ID=1>", "##contig=<ID=1,length=2999>"))
    (folder / "notes.txt").write_text("notes")
    warnings = estimate(settings(tmp_path, **{"input.variants": [str(folder)]})).warnings
    assert f"{folder}: 1 entry is not read, being no file of variants: notes.txt." in warnings
    name, about = ("cohort.vcf", "") if is_small else (str(cohort), "In a sample of the input: ")
    length = f"The header of {name} says 1 has 2,999 bases, the reference has 3,000."
    assert about + length in warnings
    assert f"{about}reference.fa does not have the contigs of 1 alleles: decoy (1)." in warnings


def test_pairs_are_not_planned(tmp_path):
    chosen = load_settings(None, given={"input.pairs": ["p.parquet"], "output.path": str(tmp_path)})
    with pytest.raises(SettingsError, match="pairs cost two passes"):
        estimate(chosen)


SETS = {
    "brca1": ("brca1/brca1.1000g_phase3.vcf", "brca1/brca1.GRCh37.chr17_41100001_41300000.fa", []),
    "mt": ("mt/mt.gnomad_v3.1_PASS.vcf", "mt/rCRS.NC_012920.1.fa", ["MT"]),
}


def real_settings(folder, name, records=None, **more):
    """On a set of SETS, or on what stands in the middle of its VCF: so many records."""
    variants, reference, circular = SETS[name]
    source = shared(variants) if records is None else middle(shared(variants), records, folder / "middle.vcf")
    given = {"input.variants": [str(source)], "input.reference": str(shared(reference))}
    given |= {"input.circular": circular, "output.path": str(folder / "out"), "model.device": "cpu"}
    return load_settings(None, given={**given, "window.left": 96, "window.right": 16, **more})


def middle(source, records, path):
    lines = source.read_text().splitlines(keepends=True)
    header = [line for line in lines if line.startswith("#")]
    first = len(header) + (len(lines) - len(header) - records) // 2
    path.write_text("".join([*header, *lines[first : first + records]]))
    return path


GRID = {"window.anchor": "grid", "window.stride": 128}


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("brca1", 200),
        pytest.param("brca1", None, marks=pytest.mark.slow),
        pytest.param("mt", None, marks=pytest.mark.slow),
    ],
)
def test_a_run_on_real_variants_computes_what_was_planned_within_a_fifth(tmp_path, name, records):
    chosen = real_settings(tmp_path, name, records, **GRID, **{"cluster.actors": 1})
    planned = estimate(chosen)
    assert not (tmp_path / "out").exists()  # a plan writes nothing
    done = run_score(chosen, say=lambda line: None)
    assert planned.num_variants == done.counts.scored
    assert planned.fork_tokens == pytest.approx(done.tokens, rel=0.2)


@pytest.mark.parametrize("kind", ["vcf", "vcf.gz", "parquet", "ingested"])
@pytest.mark.parametrize("window", [{}, GRID], ids=["variant", "grid"])
@pytest.mark.parametrize("name", SETS)
def test_a_sample_plans_what_the_whole_would_within_a_fifth(tmp_path, monkeypatch, name, window, kind):
    chosen = real_settings(tmp_path, name, **window)
    whole = estimate(chosen)
    small = {"WHOLE_RECORDS": 100, "_COUNTED_BYTES": 1000, "_PROBE_RECORDS": 1000, "NUM_STRETCHES": 8}
    for setting, value in {**small, "STRETCH_RECORDS": 64}.items():
        monkeypatch.setattr(sampling, setting, value)
    for setting in ("NUM_STRETCHES", "STRETCH_RECORDS"):
        monkeypatch.setattr(estimating, setting, getattr(sampling, setting))
    sampled = estimate(with_input(chosen, as_kind(kind, chosen, tmp_path)))
    assert sampled.num_planned < 0.6 * sampled.num_variants
    assert sampled.num_variants == pytest.approx(whole.num_variants, rel=0.05)
    assert sampled.fork_tokens == pytest.approx(whole.fork_tokens, rel=0.2)
    assert sampled.pair_tokens == pytest.approx(whole.pair_tokens, rel=0.2)


def as_kind(kind, chosen, folder):
    (source,) = chosen.input.variants
    if kind == "vcf":
        return source
    if kind == "vcf.gz":
        path = folder / "variants.vcf.gz"
        pysam.tabix_compress(source, str(path), force=True)
        pysam.tabix_index(str(path), preset="vcf", force=True)
        return str(path)
    taken = ingest([source], open_reference(chosen.input.reference), folder / "ingested")
    return str(taken.variants_dir if kind == "parquet" else folder / "ingested")


def with_input(chosen, path):
    return chosen.model_copy(update={"input": chosen.input.model_copy(update={"variants": [path]})})


def test_cheaper_windows_are_cheaper(tmp_path):
    planned = estimate(settings(tmp_path))
    assert planned.alternatives
    assert all(planned.tokens_read(other) < planned.tokens_read() for other in planned.alternatives)


def test_a_run_on_gpus_is_planned_where_there_are_none(tmp_path):
    chosen = settings(tmp_path, **{"model.device": "cuda", "model.name": "togethercomputer/evo-1-8k-base"})
    planned = estimate(chosen)
    assert planned.weights_bytes == 2 * 6_452_781_056  # by its model card; no weights are here
    hours = {cost.device: cost.hours for cost in planned.costs}
    assert hours["NVIDIA H100"][1] == pytest.approx(64 * hours["NVIDIA H100"][64])


def test_a_measured_speed_is_kept_and_used(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYGEN_CACHE", str(tmp_path / "cache"))
    chosen = settings(tmp_path)
    assert estimate(chosen).costs == ()  # the demo's model is too small to guess
    speed = measure_on_input(chosen, say=lambda line: None)
    (cost,) = estimate(chosen, price=0.5).costs
    assert (cost.device, cost.measured_at) == ("one CPU core", "64+32")
    assert cost.hours[1] == pytest.approx(estimate(chosen).fork_tokens / speed.tokens_per_second / 3600)
    assert cost.dollars == pytest.approx(cost.hours[1] * 0.5)
    other = replace(estimate(chosen).model, name="another")
    assert list(estimating.cost_on_devices(100, other, "fork", 0)) == []


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_what_a_position_table_holds_is_not_planned(tmp_path):
    window = {"window.left": 64, "window.right": 1, "window.anchor": "grid", "window.stride": 64}
    window["scoring.keep_every"] = 10**6  # at the edge of a piece a window is read twice, and a busy machine cuts more
    chosen = settings(tmp_path, **window)
    given = {
        "input.reference": str(chosen.input.reference),
        "output.path": str(tmp_path / "table"),
        "model.device": "cpu",
    }
    (tmp_path / "regions.bed").write_text("1\t0\t1500\n")
    table = load_settings(None, given={**given, **window}, complete=False)
    result = run_tabulate(table, Parts(bed=str(tmp_path / "regions.bed")), say=lambda line: None)
    assert estimate_positions(table, Parts(bed=str(tmp_path / "regions.bed"))).fork_tokens == pytest.approx(
        result.run.tokens, rel=0.2
    )
    prescored = settings(tmp_path, **window, **{"scoring.prescored": str(tmp_path / "table")})
    planned, done = estimate(prescored), run_score(prescored, say=lambda line: None)
    # every ninth base from 200 on: 145 of them up to 1,500, of 289
    assert (planned.num_variants, done.counts.prescored, done.counts.scored) == (144, 145, 289)
    assert planned.remarks == (f"145 of 289 variants are in {tmp_path / 'table'} and need no model",)
    assert planned.fork_tokens == pytest.approx(done.tokens, rel=0.2)
