"""A published checkpoint that does not give the published number is not used."""

from __future__ import annotations

import csv
import importlib.util
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest

from raygen.errors import StoppedError
from raygen.model.cards import UNVALIDATED, card_named
from raygen.scoring.likelihood import ResidentModel
from raygen.scoring.scorer import PairScorer
from raygen.scoring.self_test import (
    PUBLISHED_TOLERANCE,
    _sequences,
    check_machine,
    check_published,
    published_test_loss,
)
from raygen.tables.layout import RunFolder
from tests.builders import bigram_model


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYGEN_CACHE", str(tmp_path / "cache"))


def published_as(loss: float | None, unvalidated: bool = False) -> ResidentModel:
    """A model without BOS whose card says a loss."""
    card = card_named("evo2_7b")
    assert card is not None
    model = bigram_model(bos_id=None, context_length=10_000, max_batch_tokens=20_000)
    card = card.model_copy(update={"published_loss": loss})
    facts = replace(model.loaded.facts, unvalidated=unvalidated)
    model.loaded = replace(model.loaded, card=card, facts=facts)
    return model


def test_the_sequences_are_those_of_the_public_package() -> None:
    assert [len(sequence) for sequence in _sequences()] == [6538, 7056, 6160, 7616]
    found = importlib.util.find_spec("evo2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("evo2 is not installed")
    file = Path(found.submodule_search_locations[0]) / "test" / "data" / "prompts.csv"
    with file.open(encoding="utf-8-sig", newline="") as rows:
        assert _sequences() == [row[0] for row in csv.reader(rows)][1:]


def test_the_loss_is_the_mean_over_sequences_of_the_mean_over_bases() -> None:
    """By hand: a sum over the pairs of bases of each sequence."""
    model = published_as(None)
    by_hand = []
    for sequence in _sequences():
        pairs = {(a, b): 0 for a in "ACGTN" for b in "ACGTN"}
        for before, base in pairwise(sequence):
            pairs[before, base] += 1
        total = sum(count * model.loaded.network.log_prob(base, before) for (before, base), count in pairs.items())
        by_hand.append(-total / (len(sequence) - 1))
    assert abs(published_test_loss(model) - sum(by_hand) / 4) < 1e-5


def test_the_published_number_passes_and_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = published_test_loss(published_as(None))
    check_published(published_as(loss + 0.9 * PUBLISHED_TOLERANCE), "machine")
    monkeypatch.setattr(ResidentModel, "log_likelihoods", lambda *_: pytest.fail("asked again"))
    check_published(published_as(loss), "machine")
    with pytest.raises(pytest.fail.Exception):
        check_published(published_as(loss), "another machine")


def test_another_number_stops_the_run_before_it_scores(tmp_path: Path) -> None:
    loss = published_test_loss(published_as(None))
    with pytest.raises(StoppedError, match=rf"a loss of {loss:.4f} nats a base .* of evo2_7b, or this machine"):
        check_machine(published_as(loss + 2 * PUBLISHED_TOLERANCE), RunFolder(str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_without_a_published_number_or_with_another_precision_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ResidentModel, "log_likelihoods", lambda *_: pytest.fail("asked"))
    check_published(published_as(None), "machine")
    check_published(published_as(9.0, unvalidated=True), "machine")
    check_published(bigram_model(), "machine")


def test_every_row_of_an_unvalidated_model_is_flagged() -> None:
    pairs = pa.table({"pair_id": ["a", "b"], "wt_sequence": ["ACGT", "ACNT"], "mut_sequence": ["ACCT", "ACNA"]})
    for unvalidated in (True, False):
        flags = PairScorer(published_as(None, unvalidated=unvalidated)).score(pairs)["flags"].to_pylist()
        assert [UNVALIDATED in said for said in flags] == [unvalidated, unvalidated]
