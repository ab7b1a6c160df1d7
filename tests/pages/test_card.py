"""The page about a run's scores: what it counts."""

from raygen.pages.card import make_card
from raygen.tables.accounts import ROLLED_BACK
from raygen.tables.layout import RunFolder
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
