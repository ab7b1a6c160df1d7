"""What ``raygen plan`` prints: tokens, memory, hours and money, and what cheaper windows would save."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from raygen.number_of import number_of
from raygen.sequence.window_choices import window_text
from raygen.sequence.windows import Window

if TYPE_CHECKING:  # the numbers and their names alone, without what counts them
    from raygen.planning.estimate import Estimate
    from raygen.planning.hours import DeviceCost


def print_estimate(estimate: Estimate, alternatives: Sequence[tuple[Window, int]], console: Console) -> None:
    """Print an estimate.

    Args:
        alternatives: other windows, and the tokens that the settings' method would read under each.
    """
    _say_input(estimate, console)
    console.print(_token_table(estimate))
    console.print(
        f"fork reads {estimate.times_fewer:,.1f} times fewer tokens; the settings say {estimate.method}", soft_wrap=True
    )
    states = "what a state takes is not known without the model's config.json"
    if estimate.state_bytes is not None and estimate.branch_bytes is not None:
        states = f"{_size(estimate.state_bytes)} for each window that is open, {_size(estimate.branch_bytes)} for each state that leaves it"
    console.print(
        f"memory: {_size(estimate.weights_bytes)} of weights in half precision a model, {states}", soft_wrap=True
    )
    if estimate.costs:
        console.print(_cost_table(estimate.costs))
    else:
        console.print("hours: not known for a model this small; `raygen plan --measure` times it here", soft_wrap=True)
    for cost in estimate.costs:
        if cost.measured_at:
            console.print(f"{cost.device}: measured here at window {cost.measured_at}", soft_wrap=True)
    if any(cost.measured_at is None for cost in estimate.costs):
        console.print(
            "(e) by arithmetic, a bound (`raygen guide cost`), not measured; `raygen plan --measure` times this machine. "
            "Prices are about what clouds ask; --price sets one.",
            soft_wrap=True,
        )
    if alternatives:
        read = estimate.fork_tokens if estimate.method == "fork" else estimate.pair_tokens
        console.print(_window_table(read, alternatives))
        console.print(
            "Each window gives other scores: `raygen compare-windows` shows on a sample how far they agree.",
            soft_wrap=True,
        )


def _say_input(estimate: Estimate, console: Console) -> None:
    for warning in estimate.warnings:
        console.print(f"warning: {warning}", soft_wrap=True, markup=False)
    for remark in estimate.remarks:
        console.print(remark, soft_wrap=True, markup=False)
    window = estimate.window
    grid = f" on a grid of {window.stride:,}" if window.stride else ""
    about = "" if estimate.num_planned == estimate.num_variants else "about "
    console.print(
        f"{about}{number_of(estimate.num_variants, estimate.unit)}, window {window.left:,}+{window.right:,} bases{grid}, "
        f"strand {estimate.strand}",
        soft_wrap=True,
    )
    if estimate.num_planned != estimate.num_variants:
        console.print(f"{estimate.counted}; planned on {estimate.num_planned:,} of them", soft_wrap=True)


def _token_table(estimate: Estimate) -> Table:
    table = Table("method", "tokens", f"a {estimate.unit}", box=None, pad_edge=False)
    _right(table, 1, 2)
    for method, tokens in (("pair", estimate.pair_tokens), ("fork", estimate.fork_tokens)):
        of_each = tokens / max(estimate.num_variants, 1)
        table.add_row(method, f"{tokens:,}", f"{of_each:,.2f}" if 0 < of_each < 10 else f"{of_each:,.0f}")
    return table


def _cost_table(costs: Sequence[DeviceCost]) -> Table:
    numbers = list(costs[0].hours)
    table = Table("device", "tokens/s", *(f"{number} of it" for number in numbers), "dollars", box=None, pad_edge=False)
    _right(table, *range(1, len(numbers) + 3))
    for cost in costs:
        mark = "" if cost.measured_at else " (e)"
        if cost.too_small:
            table.add_row(cost.device, *["too small"] * (len(numbers) + 1), "")
            continue
        money = "" if cost.dollars is None else f"{cost.dollars:,.2f}"
        times = [_duration(cost.hours[number]) for number in numbers]
        table.add_row(cost.device, f"{cost.speed:,.0f}{mark}", *times, money)
    return table


def _window_table(read: int, alternatives: Sequence[tuple[Window, int]]) -> Table:
    table = Table("cheaper window", "tokens", "times cheaper", box=None, pad_edge=False)
    _right(table, 1, 2)
    for window, tokens in alternatives:
        table.add_row(window_text(window), f"{tokens:,}", f"{read / max(tokens, 1):,.1f}")
    return table


def _right(table: Table, *columns: int) -> None:
    for column in columns:
        table.columns[column].justify = "right"


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:,.1f} MB"


def _duration(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:,.1f} days"
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{hours * 60:,.1f} min" if hours * 60 >= 1 else f"{hours * 3600:,.1f} s"
