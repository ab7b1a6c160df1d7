"""A machine that computes something else than the first one refuses to score."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raygen.errors import InputError, StoppedError
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.scoring.self_test import MACHINE_TOLERANCES, check_machine, run_self_test, self_test_file
from raygen.tables.layout import RunFolder
from tests.builders import bigram_model


@pytest.fixture(scope="module")
def model() -> ResidentModel:
    return load_model("demo", device="cpu")


def stored(folder: Path, model: ResidentModel) -> Path:
    return folder / self_test_file(model)


def tamper(file: Path, **changes: float) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_the_first_actor_writes_and_the_next_ones_compare(tmp_path: Path, model: ResidentModel) -> None:
    first = check_machine(model, RunFolder(str(tmp_path)))
    written = stored(tmp_path, model).read_bytes()
    assert check_machine(model, RunFolder(str(tmp_path))) == first
    assert stored(tmp_path, model).read_bytes() == written
    assert first.log_likelihood < 0 and first.delta != 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [stored(tmp_path, model).name]


@pytest.mark.parametrize("what", ["log_likelihood", "delta"])
def test_another_number_stops_with_both_numbers_and_the_machines(
    tmp_path: Path, model: ResidentModel, what: str
) -> None:
    own = check_machine(model, RunFolder(str(tmp_path)))
    number = getattr(own, what)
    tamper(stored(tmp_path, model), **{what: number + 0.01, "machine": "a broken GPU"})
    with pytest.raises(StoppedError, match=r"computes something else") as raised:
        check_machine(model, RunFolder(str(tmp_path)))
    for fact in (what, f"{number:.6f}", f"{number + 0.01:.6f}", "a broken GPU", "torch", "may differ by 0.001"):
        assert fact in str(raised.value)


def test_rounding_is_allowed(tmp_path: Path, model: ResidentModel) -> None:
    own = check_machine(model, RunFolder(str(tmp_path)))
    tamper(stored(tmp_path, model), log_likelihood=own.log_likelihood + 0.0009)
    check_machine(model, RunFolder(str(tmp_path)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_has_a_file_and_a_tolerance_of_its_own(tmp_path: Path, model: ResidentModel, dtype: str) -> None:
    """The tolerance is several times what rounding costs: the two machines may round in different ways."""
    half = load_model("demo", device="cpu", dtype=dtype)
    assert self_test_file(half) != self_test_file(model)
    own, whole = check_machine(half, RunFolder(str(tmp_path))), run_self_test(model)
    assert 0 < abs(own.log_likelihood - whole.log_likelihood) < MACHINE_TOLERANCES[dtype] / 2


def test_of_many_actors_at_once_one_writes(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: check_machine(bigram_model(), RunFolder(str(tmp_path))), range(16)))
    assert len(set(found)) == 1
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_value_that_is_no_number_is_the_checkpoint_s_fault_until_another_machine_got_one(tmp_path: Path) -> None:
    broken = bigram_model()
    broken.loaded.network.table[:] = float("nan")
    with pytest.raises(InputError, match=r"which is no number\. Either .* not finite"):
        check_machine(broken, RunFolder(str(tmp_path)))
    assert not (tmp_path / "runs").exists()
    check_machine(bigram_model(), RunFolder(str(tmp_path)))
    with pytest.raises(StoppedError, match="which is no number; other machines got one"):
        check_machine(broken, RunFolder(str(tmp_path)))


def test_a_file_that_is_no_self_test_says_so(tmp_path: Path, model: ResidentModel) -> None:
    (tmp_path / "runs").mkdir()
    stored(tmp_path, model).write_text("{}")
    with pytest.raises(StoppedError, match="does not hold a self-test"):
        check_machine(model, RunFolder(str(tmp_path)))
