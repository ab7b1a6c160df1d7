"""Of several writers of a small file the first one wins, and nobody reads half of it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raygen.tables.layout import RunFolder


def test_the_first_content_stays(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    assert folder.write_first("runs/value.json", b"first") == b"first"
    assert folder.write_first("runs/value.json", b"second") == b"first"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["value.json"]


def test_of_many_at_once_all_read_the_same(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        read = set(pool.map(lambda number: folder.write_first("runs/value.json", b"%d" % number * 999), range(32)))
    assert len(read) == 1
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_filesystem_without_hard_links_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    assert RunFolder(str(tmp_path)).write_first("runs/value.json", b"first") == b"first"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["value.json"]
