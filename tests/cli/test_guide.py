"""``raygen guide`` as a user types it."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from raygen.cli import guide
from tests.cli.test_cli import raygen  # noqa: F401  (a fixture)

PAGES = sorted((Path(guide.__file__).parents[1] / "guide").glob("*.md"))


def test_without_a_topic_each_page_has_a_line(raygen):  # noqa: F811
    code, out, err = raygen("guide")
    *lines, last = out.splitlines()
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in lines] == [path.stem for path in PAGES] and len(PAGES) >= 5
    assert "Cost and windows" in lines[0]
    assert last == "A page: raygen guide TOPIC"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_into_a_pipe_a_page_goes_as_it_is_written(raygen, page):  # noqa: F811
    code, out, err = raygen("guide", page.stem)
    assert (code, out, err) == (0, page.read_text().rstrip() + "\n", "")


def test_on_a_terminal_a_page_is_rendered_and_goes_through_the_pager(raygen, monkeypatch):  # noqa: F811
    paged = []
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr("pydoc.pager", paged.append)
    monkeypatch.setattr(guide, "screen", terminal)
    monkeypatch.setenv("LESS", "")
    assert raygen("guide", "cost")[0] == 0
    assert "How the work is saved" in paged[0] and "## How" not in paged[0] and "\x1b[" in paged[0]


def test_an_unknown_topic_is_exit_2_with_the_topics_and_the_nearest(raygen):  # noqa: F811
    code, out, err = raygen("guide", "score")
    assert (code, out) == (2, "")
    assert (
        "The guide has no page 'score'. Did you mean scores? It has cost, heads, inputs, models, positions, running, scores."
        in err
    )
    assert "Did you mean" not in raygen("guide", "zzz")[2]
