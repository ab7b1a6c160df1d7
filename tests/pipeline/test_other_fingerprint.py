"""What is said of two fingerprints that differ, from a manifest as plain values."""

from __future__ import annotations

from typing import Any

import pytest

from raygen.pipeline.resolve import PARTS, differences

WINDOW = {"left": 48, "right": 48, "anchor": "variant", "stride": None}
RESOLVED = {"window": WINDOW, "strand": "both", "circular": ["MT"]}
MODEL = {"name": "demo", "weights_hash": "aa", "dtype": "float32", "bos_id": None}


def here(resolved: dict[str, Any], model: dict[str, Any]) -> str:
    return differences({"resolved": RESOLVED, "model": MODEL}, RESOLVED | resolved, MODEL | model)


@pytest.mark.parametrize(
    ("resolved", "model", "words"),
    [
        ({"window": {**WINDOW, "left": 2048}}, {}, "window.left is 48 there and 2,048 here"),
        (
            {"window": {**WINDOW, "anchor": "grid", "stride": 32}},
            {},
            "window.anchor is variant there and grid here; window.stride is none there and 32 here",
        ),
        ({"circular": [], "strand": "forward"}, {}, "window.strand is both there and forward here; input.circular is MT there and none here"),
        ({}, {"weights_hash": "bb"}, "the weights of demo are not those of then"),
        ({}, {"weights_hash": "bb", "name": "evo"}, "model is demo there and evo here"),
        ({}, {}, "the same settings, scored by a version of raygen that computes otherwise"),
    ],
)  # fmt: skip
def test_the_parts_that_differ_are_named_with_both_values(resolved, model, words):
    assert here(resolved, model) == words


def test_pairs_have_no_window():
    said = here({"window": None}, {})
    assert said.startswith("window.left is 48 there and none here")


def test_where_no_manifest_tells_every_part_is_named():
    assert differences({}, RESOLVED, MODEL) == PARTS
    assert "input.circular" in PARTS
