"""What a report counts, says and lets through, without a browser."""

import json
import re
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from raygen.classes.words import MINUS
from raygen.errors import InputError
from raygen.pages import tally as tally_module
from raygen.pages.chart_style import quantile, spreads
from raygen.pages.report import write_report
from raygen.pages.report_charts import throughput
from raygen.pages.tally import BIN, tally_scores
from raygen.pages.variant_words import variant_words
from raygen.tables.layout import RunFolder
from raygen.tables.schemas import REJECTS
from tests.pages.page_reader import read_page
from tests.run_folders import CUTS, RUN, made_manifest, row, run_folder

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"

SIX = [
    row("1", 100, "A", "C", -8.0, gene="G1", consequence="stop_gained"),
    row("1", 101, "A", "G", -2.0, gene="G1", consequence="missense_variant"),
    row("1", 300, "AT", "A", -20.0, gene="G1", consequence="frameshift_variant&splice_region_variant"),
    row("2", 50, "C", "T", 0.5, gene=None, consequence=None),
    row("2", 60, "C", "G", 3.0, gene="G2", consequence="missense_variant", flags=["n_in_window"], abstained=True),
    row("2", 61, "C", "A", -3.0, gene="G2", consequence="missense_variant", flags=["n_in_window", "shifted_window"]),
]


def tallied(folder, rows, **how):
    return tally_scores(RunFolder(run_folder(folder, rows, **how)).scores_dataset(), CUTS)


def text_of(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def test_six_rows_are_counted_as_by_hand(tmp_path):
    tally = tallied(tmp_path, SIX)
    assert (tally.rows, tally.abstained, tally.runs) == (6, 1, {RUN: 6})
    assert tally.flags == {"n_in_window": 2, "shifted_window": 1}
    by_class = dict(tally.classes.group_by("classification").agg(pl.col("rows").sum()).iter_rows())
    assert by_class == {"pathogenic": 2, "vus": 2, "benign": 1, "gain_of_function": 1}
    consequences = dict(tally.consequences.group_by("consequence").agg(pl.col("rows").sum()).iter_rows())
    assert consequences == {"stop_gained": 1, "missense_variant": 3, "frameshift_variant": 1, "not given": 1}
    assert tally.spans == {"1": (100, 1), "2": (50, 1)}
    places = tally.along.filter(pl.col("chrom") == "1").select("column", "rows", "lowest").rows()
    assert places == [(0, 1, -8.0), (1, 1, -2.0), (200, 1, -20.0)]


def test_reading_in_pieces_changes_nothing(tmp_path, monkeypatch):
    rows = [row(chrom, pos, "A", "C", pos % 17 - 8.0) for chrom in "12" for pos in range(1, 90)]
    whole = tallied(tmp_path, rows)
    monkeypatch.setattr(tally_module, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(tally_module, "_FILES_AT_ONCE", 2)
    pieces = tallied(tmp_path / "again", rows, rows_a_file=10)
    for name in ("classes", "deltas", "along", "worst"):
        drop = ["lowest"] if name == "deltas" else []
        assert getattr(whole, name).drop(drop).equals(getattr(pieces, name).drop(drop)), name


def test_the_most_negative_are_whole_rows_with_indels_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(tally_module, "MAX_SUBSTITUTIONS", 2)
    monkeypatch.setattr(tally_module, "MAX_INDELS", 1)
    rows = [row("1", pos, "A", "C", -float(pos), gene=f"G{pos}") for pos in range(1, 30)]
    rows += [row("1", pos, "AT", "A", -100.0 - pos, gene="indel") for pos in range(30, 40)]
    worst = tallied(tmp_path, rows, rows_a_file=5).worst
    assert worst["variant_id"].to_list() == ["1-39-AT-A", "1-29-A-C", "1-28-A-C"]
    assert worst["gene"].to_list() == ["indel", "G29", "G28"]


def test_a_column_of_many_values_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(tally_module, "MAX_CONSEQUENCES", 3)
    tally = tallied(tmp_path, [row("1", pos, "A", "C", 0.0, consequence=f"value {pos}") for pos in range(1, 11)])
    counts = dict(tally.consequences.group_by("consequence").agg(pl.col("rows").sum()).iter_rows())
    assert len(counts) == 4
    assert counts["other values"] == 7


def test_quantiles_of_counts_are_the_middles_of_their_bins():
    counts = pl.DataFrame({"bin": [-20, 0, 40], "rows": [1, 2, 1]})
    assert [quantile(counts, share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx(
        [-20 * BIN + BIN / 2] * 2 + [BIN / 2] * 2 + [40 * BIN + BIN / 2]
    )
    spread = spreads(counts.with_columns(pl.lit("x").alias("key")), ["key"], BIN).row(0, named=True)
    assert (spread["rows"], spread["p05"], spread["p50"], spread["p95"]) == (4, -0.975, 0.025, 2.025)


def test_strands_agree_as_by_hand(tmp_path):
    pairs = [(-8.0, -8.0), (-8.0, -4.0), (-8.0, 0.0), (0.0, 0.0)]
    rows = [row("1", pos, "A", "C", (f + r) / 2, delta_fwd=f, delta_rev=r) for pos, (f, r) in enumerate(pairs, 1)]
    agreement = tallied(tmp_path, rows).agreement
    assert (agreement.rows, agreement.same_class, agreement.one_step_apart) == (4, 2, 1)
    # forward -8 -8 -8 0, reverse -8 -4 0 0: covariance 6, variances 12 and 11
    assert agreement.correlation == pytest.approx(6 / (12 * 11) ** 0.5)


def test_a_last_burst_is_no_rate_of_its_own():
    """Ten variants a second for 100 seconds, and ten that are counted a hundredth of a second later."""
    points = [(float(second), 10 * second, 0) for second in range(1, 101)]
    figure = throughput([*points, (100.01, 1010, 0)])
    assert figure is not None
    assert "from 10 to 12.5" in figure.words  # the last four seconds hold it: 50 variants
    assert throughput([(5.0, 10, 0), (5.0, 20, 0), (5.0, 30, 0)]).words.count("from 6 to 6") == 1
    assert throughput([(0.0, 10, 0)] * 3) is None


def test_a_variant_in_words_names_all_there_is():
    said = " ".join(
        variant_words(
            row("MT", 3243, "A", "G", -7.5, delta_fwd=-7.0, delta_rev=-8.0, abstained=True, flags=["n_in_window"]), CUTS
        )
    )
    for part in (
        "At MT:3,243: G in the place of A.",
        "-100.00 nats",
        "-107.50",
        "delta_llr is -7.50: 1,808 times less likely",
        "below -7 nats",
        "pathogenic: the model finds",
        "Forward strand -7.00, reverse strand -8.00 nats: 1 class apart",
        "not A, C, G or T",
        "abstains here",
    ):
        assert part in said.replace(MINUS, "-"), part


def test_the_page_says_what_was_run_and_what_it_cost(tmp_path):
    reject = {"source": "in.vcf:7", "reason": "ref_mismatch", "detail": "the VCF says 'A', ref.fa has 'T' at 1:7"}
    page = text_of(write_report(run_folder(tmp_path, SIX, rejects=[reject]), price_per_hour=3.5))
    for part in (
        "6 variants scored by bigram",
        "7 alleles in = 6 scored + 1 rejected + 0 already scored",
        "fingerprint 0123456789abcdef",
        "in.vcf:7: the VCF says &#39;A&#39;",
        "1,200 of the 1,800",
        "7.00, at 3.50 an hour",
        "32 bases before the variant",
        "The most negative variants",
    ):
        assert part in page, part
    assert "/somebodys/home" not in page
    assert "money" not in text_of(write_report(str(tmp_path / "out")))


def test_the_page_says_how_fast_an_actor_was_and_what_it_held(tmp_path):
    metrics = {
        "raygen_stage_seconds": {"score": 4.0},
        "raygen_gpu_memory_bytes": 13_900_000_000,
        "raygen_host_memory_bytes": 420_000_000,
    }
    tokens = {"computed": 1200, "by_earlier_tries": 200, "by_two_passes": 1800, "saved": 600}
    manifest = made_manifest(6, (), {"metrics": metrics, "tokens": tokens})
    page = text_of(write_report(run_folder(tmp_path, SIX, manifest=manifest)))
    assert "250 by an actor at work" in page
    assert "at most 13.9 GB of its GPU and 0.42 GB of the host" in page


def test_an_off_label_domain_is_the_first_thing_said(tmp_path):
    manifest = made_manifest(
        6, (), {"warnings": ["Something else.", "rows have the flag off_label_domain."], "status": "stopped"}
    )
    manifest["resolved"]["off_label"] = True
    page = text_of(write_report(run_folder(tmp_path, SIX, manifest=manifest)))
    order = [
        page.index(part) for part in ("rows have the flag off_label_domain", "This run was stopped", "Something else.")
    ]
    assert order == sorted(order)
    assert order[0] < page.index("<h2>Summary</h2>")


def test_the_page_fetches_nothing_and_runs_only_its_own_scripts(tmp_path):
    rows = [row("1", 5, "A", "C", -9.0, gene=HOSTILE, consequence=HOSTILE)]
    page = text_of(write_report(run_folder(tmp_path, rows)))
    read = read_page(page)
    assert read.outside == []
    assert len(read.scripts) == 2
    assert read.holds_all_it_shows()
    assert HOSTILE not in page
    specs = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page, re.S)
    assert len(json.loads(specs[1])) == page.count('class="chart ')


@pytest.mark.parametrize(
    "rows", [[], [row(None, None, None, None, -2.0)], [row("1", 5, "A", "C", 0.0)]], ids=["none", "a pair", "one"]
)
def test_small_and_odd_runs_have_a_report(tmp_path, rows):
    page = text_of(write_report(run_folder(tmp_path, rows, manifest={"pace": [], "actors": None})))
    assert f"{len(rows)} variant" in page


def test_a_run_after_another_says_what_is_its_own(tmp_path):
    rows = [SIX[0], {**SIX[1], "run_id": "20260101T000000Z-000000"}]
    page = text_of(write_report(run_folder(tmp_path, rows)))
    assert "1 by this run" in page
    assert "all 2 of the folder, from 2 runs" in page


def test_a_folder_without_a_run_an_unknown_run_and_a_broken_manifest_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        write_report(str(tmp_path))
    out = run_folder(tmp_path, SIX)
    with pytest.raises(InputError, match=f"holds no run nosuch. It holds 1; the latest is {RUN}"):
        write_report(out, "nosuch")
    path = Path(out) / "runs" / RUN / "manifest.json"
    path.write_text("{}")
    with pytest.raises(InputError, match="lacks resolved"):
        write_report(out)
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        write_report(out)


def test_many_rows_and_long_alleles_stay_a_small_page(tmp_path):
    rows = [
        row(str(1 + pos % 30), 1000 * pos, "A", "A" + "C" * 999, pos % 40 - 30.0, gene="G") for pos in range(1, 5001)
    ]
    assert Path(write_report(run_folder(tmp_path, rows))).stat().st_size < 4_000_000


@pytest.mark.parametrize("text", ["abc", "007"])
def test_files_of_other_types_are_refused_by_name_and_never_misread(tmp_path, text):
    folder = RunFolder(run_folder(tmp_path, [row("1", 100, "A", "C", -8.0, gene="7")]))
    (first,) = folder.score_files()
    table = folder.read_score_file(first)
    whole_numbers = table.set_column(table.schema.get_field_index("gene"), "gene", pa.array([7]))
    identity = folder.identity()
    folder.commit_shard(first.shard, "1", whole_numbers, REJECTS.empty_table(), identity)
    words = table.set_column(table.schema.get_field_index("gene"), "gene", pa.array([text]))
    folder.commit_shard("words", "2", words, REJECTS.empty_table(), identity)
    with pytest.raises(InputError, match=r"part-words.parquet cannot be read as one table"):
        write_report(folder.path)


@pytest.mark.parametrize("tuned_on", [None, "the window"])
def test_a_calibration_whose_labels_also_chose_is_flattered_and_it_says_so(tmp_path, tuned_on):
    manifest = made_manifest(6, (), {})
    manifest["calibration"] = {"prior": 0.1, "digest": "0" * 16} | ({"tuned_on": tuned_on} if tuned_on else {})
    text = text_of(write_report(run_folder(tmp_path, SIX, manifest=manifest)))
    assert "by a calibration at a prior of 0.1, digest 0000000000000000" in text
    assert ("its labels also chose the window: it is flattered" in text) == bool(tuned_on)
