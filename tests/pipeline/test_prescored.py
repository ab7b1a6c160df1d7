"""Single-base changes that a position table holds: taken from it, to the last bit, and no model is loaded for them."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from rich.console import Console

from raygen.errors import InputError, SettingsError
from raygen.finished.position_lookup import open_table
from raygen.pipeline.job import Job
from raygen.pipeline.run import RunResult, run_score
from raygen.pipeline.summary import print_summary
from raygen.pipeline.tabulate import Parts, run_tabulate
from raygen.settings import load_settings
from raygen.tables.layout import read_scores
from raygen.tables.verify import verify
from tests.builders import fasta, random_bases, snvs, vcf
from tests.object_storage import s3_server

pytestmark = pytest.mark.ray

CONTIGS = {"1": random_bases(500, 1), "2": random_bases(300, 2)}
WINDOW = {
    "window.left": 40,
    "window.right": 1,
    "window.anchor": "grid",
    "window.stride": 32,
    "model.device": "cpu",
    "cluster.actors": 1,
}


@dataclass(frozen=True)
class Made:
    """A reference and the table of its contig 1."""

    reference: Path
    table: Path


def settings(made_reference: Path, out: Path, **more):
    given = {"input.reference": str(made_reference), "output.path": str(out), "model.name": "demo", **WINDOW, **more}
    return load_settings(None, given=given, complete=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    reference = fasta(folder, CONTIGS)
    run_tabulate(
        settings(reference, folder / "table", **{"window.strand": "both"}), Parts(["1"]), say=lambda line: None
    )
    return Made(reference, folder / "table")


def score(made: Made, variants: Path, out: Path, **more) -> RunResult:
    scorer = {"make_scorer": more.pop("make_scorer")} if "make_scorer" in more else {}
    more = {"window.strand": "both", "scoring.prescored": str(made.table), **more}
    return run_score(
        settings(made.reference, out, **{"input.variants": [str(variants)], **more}), say=lambda line: None, **scorer
    )


def some_variants(folder: Path, contigs: tuple[str, ...] = ("1", "2"), indels: bool = True) -> Path:
    records = [
        record for contig in contigs for record in snvs(contig, CONTIGS[contig], range(1, len(CONTIGS[contig]), 7))
    ]
    if indels:
        base = CONTIGS["1"][99]
        records += [f"1 100 . {base} {base}GATTACA", f"1 104 . {CONTIGS['1'][103:106]} {CONTIGS['1'][103]}"]
    return vcf(folder, records, contigs=tuple(CONTIGS))


def summary(result: RunResult) -> str:
    console = Console(file=io.StringIO(), width=300)
    print_summary(result, console)
    return console.file.getvalue()


def no_model(job: Job):
    raise AssertionError("a model is loaded")


def test_changes_of_the_table_are_taken_from_it_and_the_rest_is_scored(made, tmp_path) -> None:
    variants = some_variants(tmp_path)
    result = score(made, variants, tmp_path / "out")
    without = score(made, variants, tmp_path / "without", **{"scoring.prescored": None})
    scores, scored = read_scores(str(tmp_path / "out")), read_scores(str(tmp_path / "without"))
    is_snv_of_1 = [row["chrom"] == "1" and len(row["ref"]) == len(row["alt"]) == 1 for row in scores.to_pylist()]
    assert result.counts.prescored == sum(is_snv_of_1) > 50
    assert result.counts.scored == without.counts.scored == len(scores) and without.counts.prescored == 0
    assert result.tokens < without.tokens
    assert [("prescored" in flags) for flags in scores["flags"].to_pylist()] == is_snv_of_1
    assert pc.is_null(scores["ll_wt"]).to_pylist() == pc.is_null(scores["ll_mut"]).to_pylist() == is_snv_of_1
    for name in scores.column_names:
        if name in ("ll_wt", "ll_mut", "flags", "run_id"):
            continue
        if pa.types.is_floating(scores[name].type):
            np.testing.assert_allclose(scores[name].to_numpy(), scored[name].to_numpy(), atol=1e-5, err_msg=name)
        else:
            assert scores[name].equals(scored[name]), name
    table = open_table(str(made.table)).lookup(
        scores.select(["chrom", "pos", "ref", "alt"]).filter(pa.array(is_snv_of_1))
    )
    taken = scores.filter(pa.array(is_snv_of_1))
    for name in ("delta_llr", "delta_fwd", "delta_rev"):
        assert taken[name].cast(pa.float32()).equals(table[name]), name
    manifest = json.loads(Path(result.manifest).read_text())
    assert manifest["counts"]["prescored"] == sum(is_snv_of_1)
    assert verify(str(tmp_path / "out")).faults == []


def test_where_nothing_is_left_no_model_is_loaded(made, tmp_path) -> None:
    variants = some_variants(tmp_path, contigs=("1",), indels=False)
    result = score(made, variants, tmp_path / "out", make_scorer=no_model)
    assert result.counts.scored == result.counts.prescored == result.counts.alleles_in > 50
    assert result.tokens == 0
    lines, num_scored = summary(result), result.counts.scored
    assert f"{num_scored:,} of {num_scored:,} scored are from the position table, without a model\n" in lines
    assert "variants/s\n" in lines and "starting the models" not in lines
    none = replace(result, counts=replace(result.counts, prescored=0))
    assert f"0 of {num_scored:,} scored are from the position table" in summary(none)
    assert "position table" not in summary(replace(none, looked_up=False))
    again = score(made, variants, tmp_path / "out", make_scorer=no_model)
    assert again.counts.already_scored == result.counts.scored and again.counts.scored == 0


def test_a_shard_is_looked_up_once_whether_it_needs_the_model_or_not(tmp_path) -> None:
    with s3_server() as server:
        reference = fasta(tmp_path, CONTIGS)
        far = settings(reference, server.uri("table"), **{"window.strand": "both"})
        run_tabulate(far, Parts(["1"]), say=lambda line: None)
        table = Made(reference, server.uri("table"))

        def lookups(name: str, *others: str) -> int:
            """How often something of the second of the table's files is fetched, as the variants lie there."""
            before = len(server.requests)
            records = [*snvs("1", CONTIGS["1"], range(170, 290, 10)), *others]
            result = score(table, vcf(tmp_path, records, f"{name}.vcf", contigs=tuple(CONTIGS)), tmp_path / name)
            assert (result.counts.prescored, result.counts.scored) == (12, 12 + len(others))
            return sum("-0000000168.parquet" in path for method, path in server.requests[before:] if method == "GET")

        insertion = f"1 295 . {CONTIGS['1'][294]} {CONTIGS['1'][294]}GATTACA"
        assert lookups("alone") == lookups("beside-an-insertion", insertion) > 0


def test_a_second_input_adds_what_is_new(made, tmp_path) -> None:
    score(made, some_variants(tmp_path, contigs=("1",), indels=False), tmp_path / "out", make_scorer=no_model)
    more = tmp_path / "more"
    more.mkdir()
    result = score(made, some_variants(more), tmp_path / "out")
    counts = result.counts
    assert counts.prescored == 0 and counts.already_scored > 50
    assert counts.alleles_in == counts.scored + counts.already_scored + counts.num_rejected
    assert verify(str(tmp_path / "out")).faults == []


def test_one_strand(made, tmp_path) -> None:
    for strand, column, other in (("forward", "delta_fwd", "delta_rev"), ("reverse", "delta_rev", "delta_fwd")):
        folder = tmp_path / strand
        folder.mkdir()
        run_tabulate(
            settings(made.reference, folder / "table", **{"window.strand": strand}), Parts(["1"]), say=lambda line: None
        )
        variants = some_variants(folder, contigs=("1",), indels=False)
        score(
            Made(made.reference, folder / "table"),
            variants,
            folder / "out",
            **{"window.strand": strand},
            make_scorer=no_model,
        )
        scores = read_scores(str(folder / "out"))
        assert scores[column].equals(scores["delta_llr"]) and scores[other].null_count == len(scores)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            {"window.left": 41},
            r"has the fingerprint \w{16}; this run's is \w{16}: window\.left is 40 there and 41 here",
        ),
        ({"window.strand": "forward"}, r"window\.strand is both there and forward here"),
        ({"output.extra_columns": ["jsd"]}, r"jsd cannot be taken from it"),
    ],
)
def test_a_table_of_other_numbers_is_refused(made, tmp_path, more, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        score(made, some_variants(tmp_path), tmp_path / "out", **more)


def test_a_table_of_another_reference_is_refused(made, tmp_path) -> None:
    other = fasta(tmp_path, {**CONTIGS, "2": CONTIGS["2"] + "A"})
    with pytest.raises(SettingsError, match="is of another reference"):
        score(Made(other, made.table), some_variants(tmp_path), tmp_path / "out")


def test_a_folder_that_is_no_table_is_refused(made, tmp_path) -> None:
    with pytest.raises(InputError):
        score(Made(made.reference, tmp_path / "none"), some_variants(tmp_path), tmp_path / "out")


def test_a_damaged_table_stops_the_run_with_its_file(made, tmp_path) -> None:
    shutil.copytree(made.table, tmp_path / "table")
    file = next((tmp_path / "table" / "positions").rglob("*.parquet"))
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=file.name):
        score(Made(made.reference, tmp_path / "table"), some_variants(tmp_path), tmp_path / "out")
