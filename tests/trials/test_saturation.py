"""A region's scores as a table, a file, a picture and a page."""

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from rich.console import Console

from raygen.classes.colours import tint
from raygen.pages import saturation_page as saturation_picture
from raygen.pages.saturation_page import as_page, as_svg
from raygen.tables.schemas import variant_ids
from raygen.trials.every_change import saturating_variants
from raygen.trials.saturation import as_tsv, lay_out, print_most_negative
from raygen.variants.region import Region
from tests.builders import InMemoryReference
from tests.pages.page_reader import read_page

SVG = "{http://www.w3.org/2000/svg}"


def laid_out(bases, deltas=None, deletions=True, chrom="1"):
    """All of a contig's changes; without ``deltas`` the n-th variant has the score -n."""
    reference = InMemoryReference({chrom: bases})
    variants = saturating_variants(Region(chrom, 1, len(bases)), reference, deletions)
    names = variant_ids(variants).to_pylist()
    counted = {name: -float(number) for number, name in enumerate(names)}
    return lay_out(chrom, 1, bases, variants, counted if deltas is None else deltas)


def test_each_score_lies_at_its_position_and_change():
    saturation = laid_out("CAA", {"1-1-C-G": -2.5, "1-3-A-T": 1.0, "1-1-CA-C": -4.0})
    nan = np.nan
    expected = [[nan, nan, -2.5, nan, nan], [nan, nan, nan, nan, -4.0], [nan, nan, nan, 1.0, -4.0]]
    np.testing.assert_array_equal(saturation.delta, expected)


def test_the_file_has_a_line_a_position_and_nothing_where_there_is_no_score():
    saturation = laid_out("CAA", {"1-1-C-G": -2.5, "1-3-A-T": 1.0, "1-1-CA-C": -4.0})
    assert as_tsv(saturation).splitlines() == [
        "pos\tref\tA\tC\tG\tT\tdeletion",
        "1\tC\t\t\t-2.5\t\t",
        "2\tA\t\t\t\t\t-4",
        "3\tA\t\t\t\t1\t-4",
    ]


def test_the_worst_substitution_ranks_positions_and_deletions_do_not():
    saturation = laid_out("CAA", {"1-1-C-G": -2.5, "1-3-A-T": -3.0, "1-1-CA-C": -40.0})
    assert saturation.most_negative(5) == [2, 0]
    assert saturation.limit == pytest.approx(3.0, abs=0.01)


def test_the_screen_names_the_worst_positions():
    console = Console(width=80, record=True, file=io.StringIO())
    print_most_negative(laid_out("CAA", {"1-1-C-G": -2.5, "1-1-C-T": 0.1, "1-3-A-C": 0.0, "1-3-A-T": -3.0}), console)
    lines = console.export_text().splitlines()
    assert [line.split() for line in lines] == [
        ["position", "ref", "C", "G", "T"],
        ["1:3", "A", "0.00", "-3.00"],
        ["1:1", "C", "·", "-2.50", "0.10"],
    ]


@pytest.mark.parametrize("bases", ["ACGT", "ACNNNGT" * 40, "N"])
def test_the_picture_is_xml_with_a_cell_a_change_and_a_dot_a_reference_base(bases):
    saturation = laid_out(bases)
    root = ElementTree.fromstring(as_svg(saturation))
    assert len(root.findall(f".//{SVG}circle")) == sum(base in "ACGT" for base in bases)
    with_numbers = [rect for rect in root.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    assert len(with_numbers) == saturation.num_scored


def test_zero_is_white_and_the_two_sides_are_red_and_blue():
    assert (tint(0), tint(-9), tint(9)) == ("#ffffff", "#67001f", "#053061")


def test_a_long_region_shows_the_lowest_of_several_positions_in_a_column(monkeypatch):
    monkeypatch.setattr(saturation_picture, "MAX_COLUMNS", 40)
    saturation = laid_out("ACGT" * 40, deletions=False)
    picture = as_svg(saturation)
    assert "a column is the lowest of 4 positions" in picture
    assert picture.count("<title>1:") == 40 * 4
    assert f"1:1-4, lowest to A: {np.nanmin(saturation.delta[:4, 0]):+.3f}" in picture


def test_the_page_holds_all_it_shows_and_escapes_what_it_is_given():
    page = as_page(laid_out("ACGT", chrom="<script>"), {"model": "<b>&co"})
    assert "&lt;b&gt;&amp;co" in page
    assert "<script" not in page
    assert read_page(page).holds_all_it_shows()
    assert "src=" not in page and "@import" not in page and "url(" not in page
