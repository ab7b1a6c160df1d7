"""Each strand's window is its own, whatever the other one's is."""

import numpy as np
import pytest

from raygen.scoring.plan import plan_windows, token_pairs
from raygen.scoring.scorer import VariantScorer
from raygen.sequence.windows import Window
from raygen.tables.schemas import variant_ids
from raygen.variants.region import parse_variant
from tests.builders import InMemoryReference, bigram_model, random_bases

BASES = random_bases(300, 3)
REFERENCE = InMemoryReference({"1": BASES})


@pytest.mark.parametrize("circular", [(), ("1",)], ids=["linear", "circular"])
@pytest.mark.parametrize("pos", [1, 30, 150, 290, 300])
@pytest.mark.parametrize("window", [Window(64, 48), Window(40, 48, "grid", 32)], ids=["own", "grid"])
def test_the_reverse_strand_scores_the_same_alone_and_beside_the_forward_one(window, pos, circular):
    variant = parse_variant(f"1-{pos}-{BASES[pos - 1]}-{'ACGT'['CGTA'.index(BASES[pos - 1])]}", REFERENCE)
    named = variant.append_column("variant_id", variant_ids(variant))
    read, scores = [], []
    for strand in ("reverse", "both"):
        planned = plan_windows(named, REFERENCE, window, strand, circular)
        read += token_pairs(planned, "reverse", REFERENCE, circular)
        scorer = VariantScorer(bigram_model(), REFERENCE, strand, circular)
        scores.append(scorer.score(planned)["delta_rev"][0].as_py())
    np.testing.assert_array_equal(read[0], read[1])
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
