"""The page about a run's scores: what it counts."""

import numpy as np

from raygen.classes.class_rule import class_rule
from raygen.pages.card import make_card
from raygen.tables.accounts import ROLLED_BACK
from raygen.tables.layout import RunFolder
from tests.ranked_folders import background_of, ranked_folder
from tests.run_folders import RUN, made_manifest, row, run_folder

REJECT = {"chrom": "1", "pos": 7, "id": None, "ref": "N", "alt": "A", "source": "v.vcf:3", "detail": "an N"}


def test_a_card_counts_what_the_folder_holds_when_the_latest_run_did_nothing(tmp_path):
    rows = [row("1", 5, "A", "C", -9.0, abstained=True, flags=["short_window"]), row("1", 6, "A", "C", 0.0)]
    out = run_folder(tmp_path, rows, rejects=[{**REJECT, "reason": "non_acgt_allele"}])
    again = "20261125T120000Z-000000"
    counts = {"alleles_in": 3, "scored": 0, "already_scored": 2, "abstained": 0, "rejected": {}, "num_rejected": 1}
    RunFolder(out).write_manifest(again, {**made_manifest(2, (), {}), "run_id": again, "counts": counts})
    for run_id in (RUN, again):
        card = make_card(out, run_id).splitlines()
        assert "- variants scored by all runs into the folder: 2; rejected: 1" in card
        assert "- classes: pathogenic 1, benign 1" in card
        assert any(line.startswith("- abstained on: 1 ") for line in card)
        assert "- flag short_window: 1" in card


def test_a_card_of_a_run_that_kept_nothing_says_so(tmp_path):
    card = make_card(run_folder(tmp_path, []))
    assert "variants scored by all runs into the folder: 0; rejected: 0" in card
    assert "classes: cut points" in card
    assert "- classes: pathogenic" not in card


def test_a_card_of_a_run_that_did_not_end_well_says_so_first(tmp_path):
    for status, words in (("stopped", "was stopped before"), (ROLLED_BACK, "was rolled back"), ("done", None)):
        rows = [row("1", 5, "A", "C", -9.0)]
        head = "\n".join(make_card(run_folder(tmp_path / status, rows, manifest={"status": status})).splitlines()[:4])
        assert (words in head) if words else "**" not in head


def test_a_card_says_what_classes_were_cut_on_and_against_what_scores_are_ranked(tmp_path):
    rows = [row("1", 19, "G", "A", -100.0), row("1", 27, "G", "A", -1.0)]
    neutral = dict.fromkeys(range(11, 400, 8), -5.5)
    background = background_of(np.arange(-100.0, 0.0), neutral)
    for on, cuts, words in (
        ("phred", (0, 3, 10, 20), "0, 3, 10, 20 on phred (pathogenic is PHRED 20 and above), which are -99"),
        ("delta_context", (-7, -3, -1, 1), "-7, -3, -1, 1 on delta_context (nats), from the preset"),
        ("delta_llr", (-7, -3, -1, 1), "-7, -3, -1, 1 on delta_llr (nats), from the preset"),
    ):
        card = make_card(ranked_folder(tmp_path, rows, class_rule(cuts, on, background), on))
        assert f"- classes: cut points {words}" in card
        assert f"- ranked against: background {background.digest}, 100 scores (made: 100 scores); contexts" in card
        assert "- groups of the background: SNV 100" in card
        assert f"ranks against the background {background.digest} only" in card
        assert "PHRED reaches 20.0, as the background has 100 scores" in card
    assert "rank" not in make_card(run_folder(tmp_path, rows)).replace("ranking", "")
