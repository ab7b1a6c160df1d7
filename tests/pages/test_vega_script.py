"""The script that draws a report's charts: made once for a version of vl-convert, kept in the cache."""

from __future__ import annotations

import pytest
import vl_convert

from raygen.pages.chart_style import vega_script


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def made() -> str:
    """The script as a fresh process gets it."""
    return vega_script.__wrapped__()


def test_the_script_of_the_cache_is_the_script(cached, monkeypatch):
    first = made()
    assert "vegaEmbed" in first and "</script" not in first
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda *_, **__: pytest.fail("made again"))
    assert made() == first


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"script": 5}'])
def test_a_damaged_file_in_the_cache_is_made_again(cached, content):
    first = made()
    (file,) = (cached / "scripts").glob("*.json")
    file.write_text(content)
    assert made() == first


def test_no_cache_is_needed(cached):
    cached.touch()
    assert "vegaEmbed" in made()
