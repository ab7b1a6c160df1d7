"""The page of an evaluation in a real browser: its tables on a screen of 1,000 pixels."""

from dataclasses import replace

import polars as pl
import pytest

from raygen.classes.statistics import Bootstrap
from raygen.evaluation.evaluate import evaluate
from raygen.pages.evaluation_page import as_page
from tests.evaluation.test_evaluate_clusters import genome
from tests.pages.test_report_in_browser import browser, js, opened  # noqa: F401  (a fixture)


@pytest.mark.parametrize("width", [1000, 1280])
def test_no_column_lies_behind_a_scrollbar(browser, tmp_path, width):  # noqa: F811
    request = genome(tmp_path, gene=[f"a gene with a long name of its own {row // 100}" for row in range(2400)])
    frame = pl.read_parquet(tmp_path / "genome.parquet").with_columns(
        chrom=pl.col("chrom").replace("1", "1_KI270706v1_random")
    )
    frame.write_parquet(tmp_path / "genome.parquet")
    page = tmp_path / "page.html"
    page.write_text(as_page(evaluate(replace(request, by=["gene"]), Bootstrap(50))))
    opened(browser, page, width)
    wide = js(
        browser,
        "return [...document.querySelectorAll('.scroll')].map(box => [box.ariaLabel, box.scrollWidth, box.clientWidth])",
    )
    assert len(wide) >= 3
    assert [(name, inside, outside) for name, inside, outside in wide if inside > outside] == []
