import io
from types import SimpleNamespace

from rich.console import Console

from raygen.planning.cost_table import print_estimate
from raygen.sequence.windows import Window


def cost(device="NVIDIA H100", **more):
    hours = {1: 100.0, 8: 12.5, 64: 1.5625}
    own = {"device": device, "hours": hours, "dollars": 690.0, "speed": 26_822.0, "measured_at": None}
    return SimpleNamespace(**{**own, "too_small": False, **more})


def printed(costs, alternatives=(), **more):
    own = {
        "unit": "variant",
        "num_variants": 1_000_000,
        "num_planned": 65_536,
        "counted": "counted by the index",
        "method": "fork",
    }
    own |= {"window": Window(4096, 512, "grid", 2048), "strand": "both", "pair_tokens": 9_000, "fork_tokens": 3_000}
    own |= {"times_fewer": 3.0, "weights_bytes": 12_900_000_000, "costs": costs, "warnings": (), "remarks": ()}
    own |= {"state_bytes": 400_000_000, "branch_bytes": 3_000_000}
    console = Console(width=120, record=True, quiet=False, file=io.StringIO())
    print_estimate(SimpleNamespace(**{**own, **more}), alternatives, console)
    return console.export_text()


def test_tokens_memory_hours_and_money_are_printed():
    text = printed([cost()], [(Window(4096, 128, "grid", 2048), 1_000)])
    assert "about 1,000,000 variants, window 4,096+512 bases on a grid of 2,048, strand both" in text
    assert "counted by the index; planned on 65,536 of them" in text
    assert "12.9 GB of weights" in text
    assert "400.0 MB for each window that is open, 3.0 MB for each state that leaves it" in text
    row = next(line for line in text.splitlines() if "H100" in line)
    assert row.split() == ["NVIDIA", "H100", "26,822", "(e)", "4.2", "days", "12.5", "h", "1.6", "h", "690.00"]
    assert next(line for line in text.splitlines() if "@2048" in line).split() == ["4096+128@2048", "1,000", "3.0"]


def test_what_is_not_measured_is_marked_and_what_is_says_at_which_window():
    assert "(e) by arithmetic" in printed([cost()])
    measured = printed([cost(measured_at="4096+512@2048")])
    assert "(e)" not in measured
    assert "NVIDIA H100: measured here at window 4096+512@2048" in measured


def test_a_device_that_is_too_small_has_no_price():
    row = next(line for line in printed([cost(too_small=True)]).splitlines() if "H100" in line)
    assert "690" not in row
    assert "too small" in row


def test_what_is_not_known_is_said_so():
    text = printed([], state_bytes=None)
    assert "hours: not known for a model this small" in text
    assert "is not known without the model's config.json" in text


def test_what_the_input_warns_of_comes_first():
    text = printed([cost()], warnings=("in.vcf [x] is odd.",))
    assert text.startswith("warning: in.vcf [x] is odd.\nabout 1,000,000 variants")
