"""``raygen report``: one self-contained HTML page about a run and the scores of its folder."""

from raygen.pages.write import write_report

__all__ = ["write_report"]
