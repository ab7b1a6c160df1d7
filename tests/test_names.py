"""Names that say nothing alone stay rare: who reads a line should not need the one before it."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "raygen"
EMPTY = frozenset({"found", "at", "one", "said", "own", "held", "given", "taken", "told", "there", "what", "made"})
"""A value has a better name: ``message`` for said, ``offset`` or ``start`` for at, ``rows_of_contig`` for own."""


def assigned_names(tree: ast.AST) -> Iterator[str]:
    """Every name that is bound: assigned, looped over, a parameter, an exception."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name


def test_every_way_to_bind_a_name_is_counted():
    source = "def f(at, *, one):\n    for own in at: pass\n    try: said = [made for made in one]\n    except E as told: pass"
    assert sorted(assigned_names(ast.parse(source))) == ["at", "made", "one", "own", "said", "told"]


def test_fewer_than_one_name_in_a_hundred_says_nothing_alone():
    names = [(path, name) for path in PACKAGE.rglob("*.py") for name in assigned_names(ast.parse(path.read_text()))]
    empty = [(str(path.relative_to(PACKAGE)), name) for path, name in names if name in EMPTY]
    assert len(empty) < len(names) / 100, Counter(empty).most_common(20)
