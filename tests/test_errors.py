"""What is said of an error that a library raised."""

import ast
from pathlib import Path

import pytest

from raygen.errors import first_line

PACKAGE = Path(__file__).parents[1] / "raygen"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("no such file.\nTraceback: ..."), "no such file"),
        (ValueError("\n  late to begin\n"), "late to begin"),
        (EOFError(), "EOFError"),
        (OSError(" \n "), "OSError"),
    ],
)
def test_an_error_is_said_in_one_line_even_where_its_message_is_empty(error, expected):
    assert first_line(error) == expected


def first_lines_taken_by_hand(source: str) -> list[int]:
    """Line numbers of ``....splitlines()[0]``, which raises IndexError where the text is empty."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and node.slice.value == 0
        and any(isinstance(inner, ast.Attribute) and inner.attr == "splitlines" for inner in ast.walk(node.value))
    ]


def test_the_first_line_of_a_text_by_hand_is_seen():
    assert first_lines_taken_by_hand("said = (str(error) or 'x').splitlines()[0].rstrip('.')") == [1]
    assert first_lines_taken_by_hand("rest = text.splitlines()[1:]") == []


def test_no_other_file_takes_the_first_line_of_a_text():
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "errors.py"]
    by_hand = {str(path): lines for path in files if (lines := first_lines_taken_by_hand(path.read_text()))}
    assert by_hand == {}
