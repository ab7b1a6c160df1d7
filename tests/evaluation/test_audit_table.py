"""What ``evaluate --audit`` writes is what the real ``seqleak audit`` reads."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from raygen.classes.statistics import Bootstrap
from raygen.errors import InputError, SettingsError
from raygen.evaluation.audit_table import (
    FLANK,
    audit_command,
    audit_table,
    overlap_note,
    refuse_without_reference,
    write_audit_table,
)
from raygen.evaluation.evaluate import evaluate
from raygen.evaluation.labelled_scores import LabelRequest
from raygen.sequence.reference import open_reference
from tests.builders import fasta

LENGTH = 4000
QUICK = Bootstrap(0)


def bases(contigs, seed=0):
    generator = np.random.default_rng(seed)
    return {name: "".join(generator.choice(list("ACGT"), LENGTH)) for name in contigs}


def asked(folder, contigs, num_sites=20, label=lambda contig, number: number % 2 == 0):
    """Two alleles at each of so many sites a contig, evenly over it, with a reference; ``label`` says which are positive."""
    sequences = bases([f"chr{name}" for name in contigs])
    rows = []
    for contig in contigs:
        for number in range(num_sites):
            pos = 1 + number * (LENGTH // num_sites)
            ref = sequences[f"chr{contig}"][pos - 1]
            for alt in [base for base in "ACGT" if base != ref][:2]:
                rows.append((contig, pos, ref, alt, float(number % 3), "P" if label(contig, number) else "B"))
    frame = pl.DataFrame(rows, schema=["chrom", "pos", "ref", "alt", "delta_llr", "class"], orient="row")
    frame.write_csv(folder / "rows.tsv", separator="\t")
    reference = str(fasta(folder, sequences))
    request = LabelRequest(str(folder / "rows.tsv"), "class", positive=["P"], negative=["B"], reference=reference)
    return request, sequences


def test_a_row_has_the_bases_around_its_site_and_its_cluster_in_one_split(tmp_path):
    request, sequences = asked(tmp_path, ["1", "2", "X"])
    evaluation = evaluate(request, QUICK)
    table = pl.DataFrame(audit_table(evaluation, open_reference(request.reference)))
    assert len(table) == 120
    assert table.select("id", "chrom", "start", "end").row(2) == (table["id"][2], "chr1", 100, 100 + 2 * FLANK + 1)
    for chrom, start, end, sequence in table.select("chrom", "start", "end", "sequence").iter_rows():
        assert sequences[chrom][start:end] == sequence
    assert table["start"].min() == 0, "near an end of the contig the window slides"
    assert (table.group_by("cluster").agg(pl.col("split").n_unique())["split"] == 1).all()
    assert dict(table.group_by("split").agg(pl.len()).iter_rows()) == {"test": 24, "train": 96}
    assert table.group_by("cluster").len()["len"].to_list() == [2] * 60


def test_the_nearest_label_is_learnt_from_the_other_split_alone(tmp_path):
    request, _ = asked(tmp_path, ["1"], num_sites=30)
    evaluation = evaluate(request, QUICK)
    table = pl.DataFrame(audit_table(evaluation, open_reference(request.reference)))
    train = table.filter(split="train")
    for position, nearest in table.filter(split="test").select("position", "nearest_label").iter_rows():
        distance = (train["position"] - position).abs()
        assert nearest == pytest.approx(train.filter(distance == distance.min())["label"].mean())


def audited(path):
    report = Path(path).with_suffix(".seqleak.json")
    words = shlex.split(audit_command(str(path)))
    assert words[:2] == ["seqleak", "audit"]
    done = subprocess.run(
        [sys.executable, "-m", *words, "--n-boot", "50"], capture_output=True, text=True, cwd=path.parent
    )
    assert done.returncode == 0, done.stderr
    return json.loads(report.read_text())["checks"]


def test_seqleak_reads_it_and_finds_labels_that_lie_in_stretches(tmp_path):
    """Twenty sites in a row have one label: the neighbours tell it. Split by site the test rows lie between the others, and overlap
    them, which it finds, too."""
    request, _ = asked(tmp_path, ["1"], num_sites=80, label=lambda contig, number: number // 20 % 2 == 0)
    evaluation = evaluate(request, QUICK)
    assert evaluation.choice.chosen.level == "site"
    write_audit_table(evaluation, open_reference(request.reference), str(tmp_path / "an audit.parquet"))
    checks = audited(tmp_path / "an audit.parquet")
    assert checks["position.distance"]["status"] == "FAIL"
    assert checks["position.distance"]["value"] > 0.75
    assert checks["overlap.windows"]["status"] == "FAIL"


def test_seqleak_finds_no_position_where_labels_were_drawn_without_it(tmp_path):
    generator = np.random.default_rng(4)
    contigs = [str(number) for number in range(1, 21)]
    request, _ = asked(tmp_path, contigs, num_sites=40, label=lambda contig, number: generator.random() < 0.5)
    evaluation = evaluate(request, QUICK, cluster="chromosome")
    write_audit_table(evaluation, open_reference(request.reference), str(tmp_path / "audit.parquet"))
    assert pq.read_table(tmp_path / "audit.parquet").num_rows == 1600
    checks = audited(tmp_path / "audit.parquet")
    assert checks["position.distance"]["status"] == "PASS"
    assert 0.4 < checks["position.distance"]["value"] < 0.6
    assert checks["overlap.windows"]["status"] == "PASS", "a split by chromosome parts no overlapping rows"


def test_without_a_reference_it_is_refused_before_anything_is_measured(tmp_path):
    request, _ = asked(tmp_path, ["1"])
    with pytest.raises(SettingsError, match="--audit needs the bases around each site: give --reference"):
        refuse_without_reference(LabelRequest(request.scores, "class"))


@pytest.mark.parametrize(
    ("sequences", "words"),
    [
        ({"chr9": "ACGT" * 100}, "has no contig 1"),
        ({"chr1": "ACGT" * 100}, "chr1:401 lies behind the end of the contig"),
    ],
)
def test_a_reference_of_another_assembly_is_refused(tmp_path, sequences, words):
    request, _ = asked(tmp_path, ["1"])
    evaluation = evaluate(request, QUICK)
    (tmp_path / "other").mkdir()
    other = fasta(tmp_path / "other", sequences)
    with pytest.raises(InputError, match=words):
        audit_table(evaluation, open_reference(str(other)))


def test_an_insertion_behind_the_last_base_is_on_the_contig_and_what_lies_farther_is_not(tmp_path):
    """Bases 3,990 to 4,000, and an insertion behind 4,000, which is at 4,001."""
    sequences = bases(["chr1"])
    rows = [("1", pos, sequences["chr1"][pos - 1]) for pos in range(3990, 4001)]
    frame = pl.DataFrame(rows, schema=["chrom", "pos", "ref"], orient="row").with_columns(
        alt=pl.when(pl.col("pos") == 4000).then(pl.col("ref") + "CCT").otherwise(pl.lit("N"))
    )
    frame = frame.with_columns(
        alt=pl.when(pl.col("alt") != "N")
        .then("alt")
        .otherwise(pl.col("ref").replace({"A": "C", "C": "G", "G": "T", "T": "A"}))
    ).with_row_index()
    frame = frame.with_columns(delta_llr=-pl.col("index").cast(pl.Float64), label=pl.col("index") % 2)
    frame.drop("index").write_parquet(tmp_path / "rows.parquet")
    reference = str(fasta(tmp_path, sequences))
    request = LabelRequest(str(tmp_path / "rows.parquet"), "label", positive=["1"], negative=["0"], reference=reference)
    evaluation = evaluate(request, QUICK)
    assert evaluation.choice.places.position.max() == 4001
    table = pl.DataFrame(audit_table(evaluation, open_reference(reference)))
    assert table.sort("position")["end"][-1] == 4000
    (tmp_path / "short").mkdir()
    short = open_reference(str(fasta(tmp_path / "short", {"chr1": sequences["chr1"][:3999]})))
    with pytest.raises(InputError, match="chr1:4,001 lies behind the end"):
        audit_table(evaluation, short)


def test_the_command_is_for_a_shell_and_keeps_our_own_numbers():
    assert audit_command("my audit.parquet") == (
        "seqleak audit --data 'my audit.parquet' --distance-cols position,nearest_label --group-col chrom "
        "--out 'my audit.seqleak.json'"
    )


def test_overlaps_are_explained_where_neighbours_are_parted(tmp_path):
    request, _ = asked(tmp_path, ["1", "2"])
    assert "overlap" in overlap_note(evaluate(request, QUICK).choice.chosen)
    assert overlap_note(evaluate(request, QUICK, cluster="chromosome").choice.chosen) is None
