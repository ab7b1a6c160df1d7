"""A variant looked into, on a terminal and as a picture."""

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from rich.console import Console

from raygen.errors import SettingsError
from raygen.pages.explain_picture import refuse_picture, write_picture
from raygen.sequence.windows import Window
from raygen.trials.explain import StrandExplanation, explain_variant
from raygen.trials.explain_text import by_reach, print_explanation
from raygen.variants.region import parse_variant
from tests.builders import InMemoryReference, bigram_model, random_bases

CUTS = (-7.0, -3.0, -1.0, 1.0)
BASES = random_bases(400, 11)


def explained(alt="", strand="both"):
    reference = InMemoryReference({"1": BASES})
    text = f"1-200-{BASES[199]}-{alt or 'ACGT'['CGTA'.index(BASES[199])]}"
    return explain_variant(bigram_model(), parse_variant(text, reference), reference, Window(100, 150), strand)


def test_what_lies_where_adds_up_to_the_delta():
    difference = np.array([0.0, -3.0, *[-0.1] * 10, *[0.01] * 90, *[0.5] * 4])
    letters = ["A"] * len(difference)
    mut = ["A", "C", *letters[2:]]
    strand = StrandExplanation("forward", np.arange(len(mut)), letters, mut, difference, difference, difference, 1)
    assert [round(nats, 9) for _, nats in by_reach(strand)] == [-3.0, -1.0, 0.9, 2.0]


def test_bases_that_one_sequence_alone_has_at_the_window_s_end_are_apart():
    (strand,) = explained(BASES[199] + "GATTACA", "forward").strands
    found = dict(by_reach(strand))
    at_end = [at for at, base in enumerate(strand.mut) if not base]
    assert found["the window's end"] == pytest.approx(strand.difference[at_end].sum())
    assert len(at_end) == 7
    assert sum(found.values()) == pytest.approx(strand.delta)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_screen_shows_the_delta_the_bases_and_the_alleles(width):
    explanation = explained()
    console = Console(width=width, file=io.StringIO(), record=True)
    print_explanation(explanation, CUTS, console)
    text = console.export_text()
    assert f"{explanation.variant_id}  delta_llr {explanation.delta:+.2f} nats" in text
    assert "forward strand" in text
    assert "reverse strand" in text
    assert text.count("the variant itself") == 2
    assert max(map(len, text.splitlines()[2:])) <= max(width, 64)


@pytest.mark.parametrize("alt", ["", "GATTACA"], ids=["SNV", "indel"])
def test_the_picture_is_svg_or_png(tmp_path, alt):
    explanation = explained(BASES[199] + alt if alt else "")
    write_picture(explanation, CUTS, "model <b>&co", str(tmp_path / "a.svg"))
    text = "".join(ElementTree.fromstring((tmp_path / "a.svg").read_text(encoding="utf-8")).itertext())
    assert "model <b>&co" in text
    assert "every change at 1:" in text
    write_picture(explanation, CUTS, "", str(tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.pdf", "--out .* write a name"),
        ("a", "--out .* write a name"),
        ("nosuch/a.svg", "a.svg cannot be written: there is no folder"),
    ],
)
def test_a_picture_that_has_no_place_is_refused_before_the_work(tmp_path, name, words):
    with pytest.raises(SettingsError, match=words):
        refuse_picture(str(tmp_path / name))
