"""The script that draws a report's charts: made once for a version of vl-convert, kept in the cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import vl_convert

from raygen.pages.chart_style import vega_script


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> tuple[Path, str]:
    """A script that was made, which takes a second, and its file in a cache of its own."""
    cache = tmp_path_factory.mktemp("first") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYGEN_CACHE", str(cache))
        script = made()
    (file,) = (cache / "scripts").glob("*.json")
    return file, script


def made() -> str:
    """The script as a fresh process gets it."""
    return vega_script.__wrapped__()


def test_the_script_of_the_cache_is_the_script(cached, first, monkeypatch):
    file, script = first
    assert "vegaEmbed" in script and "</script" not in script
    shutil.copytree(file.parent, cached / "scripts")
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda *_, **__: pytest.fail("made again"))
    assert made() == script


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"script": 5}'])
def test_a_damaged_file_in_the_cache_is_made_again(cached, first, content):
    file, script = first
    (cached / "scripts").mkdir(parents=True)
    (cached / "scripts" / file.name).write_text(content)
    assert made() == script
    assert (cached / "scripts" / file.name).read_text() == file.read_text()


def test_no_cache_is_needed(cached):
    cached.touch()
    assert "vegaEmbed" in made()
