import math

import pyarrow as pa
import pytest
from rich.console import Console

from raygen.evaluation.precision_noise import measure_noise, noise_of, noise_table


def scores(**deltas: float) -> pa.Table:
    return pa.table({"variant_id": list(deltas), "delta_llr": list(deltas.values())})


def test_errors_and_changed_classes_by_hand():
    """Errors of +0.3, −0.1 and 0; only the second crosses a cut point, −3."""
    reference = scores(a=0.0, b=-2.95, c=5.0)
    noise = noise_of("float16", scores(c=5.0, b=-3.05, a=0.3), reference)
    assert (noise.mode, noise.num_variants, noise.num_lost) == ("float16", 3, 0)
    assert noise.rms == pytest.approx(math.sqrt((0.09 + 0.01) / 3))
    assert noise.mean == pytest.approx(0.2 / 3)
    assert noise.largest == pytest.approx(0.3)
    assert noise.changed_classes == pytest.approx(1 / 3)


def test_other_cut_points_change_other_classes():
    reference, half = scores(a=0.0), scores(a=0.3)
    assert noise_of("float16", half, reference).changed_classes == 0
    assert noise_of("float16", half, reference, (-3, -2, -1, 0.2)).changed_classes == 1


def test_variants_that_a_mode_lost_are_counted():
    noise = noise_of("float16", scores(a=1.0), scores(a=1.0, b=2.0))
    assert (noise.num_variants, noise.num_lost, noise.rms) == (1, 1, 0.0)
    nothing = noise_of("float16", scores(), scores(a=1.0, b=2.0))
    assert (nothing.num_variants, nothing.num_lost) == (0, 2)
    assert math.isnan(nothing.rms)


def test_every_mode_is_scored_once_and_has_a_row(capsys):
    asked = []

    def score(mode: str) -> pa.Table:
        asked.append(mode)
        return scores(a=1.0)

    noises = measure_noise(score, ["bfloat16", "float16"])
    assert asked == ["float32", "bfloat16", "float16"]
    Console(width=100).print(noise_table(noises))
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["mode", "bfloat16", "float16"]
