import json

import pytest

from raygen.errors import InputError
from raygen.model.facts import ModelFacts
from raygen.planning.hours import SHARE_OF_PEAK, cost_on_devices
from raygen.planning.speeds import known_speeds


def on_paper(num_parameters: int) -> ModelFacts:
    return ModelFacts(
        name="a/model", revision="main", context_length=8192, bos_id=0, num_parameters=num_parameters, device="cuda"
    )


SEVEN_BILLION = on_paper(7_000_000_000)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYGEN_CACHE", str(tmp_path))
    return tmp_path


def costs(**more):
    return {cost.device: cost for cost in cost_on_devices(10**12, SEVEN_BILLION, "fork", 400_000_000, **more)}


def write_speed(cache, **more):
    speed = {"device": "NVIDIA H100 80GB HBM3", "tokens_per_second": 50_000, "num_tokens": 1, "seconds": 1}
    speed |= {"model": "a/model@main", "dtype": "float16", "method": "fork", "window": "8+8", "measured": "today"}
    (cache / "speeds").mkdir(exist_ok=True)
    (cache / "speeds/one.json").write_text(json.dumps(speed | more))


def test_hours_by_hand():
    # 10^12 tokens at 2 x 7e9 operations each, on 989e12 operations/s of which a share is reached
    by_hand = 1e12 * 2 * 7e9 / (989e12 * SHARE_OF_PEAK) / 3600
    cost = costs()["NVIDIA H100"]
    assert cost.hours[1] == pytest.approx(by_hand)
    assert cost.hours[8] == pytest.approx(by_hand / 8)
    assert cost.dollars == pytest.approx(by_hand * 6.9)
    assert cost.measured_at is None
    assert costs(price=0.0)["NVIDIA H100"].dollars == 0


def test_a_measured_speed_takes_the_place_of_the_guess(cache):
    write_speed(cache)
    assert costs()["NVIDIA H100"].hours[1] == pytest.approx(1e12 / 50_000 / 3600)
    assert costs()["NVIDIA H100"].measured_at == "8+8"
    assert costs()["NVIDIA A100"].measured_at is None


@pytest.mark.parametrize("other", [{"method": "pair"}, {"model": "another@main"}])
def test_a_speed_of_another_method_or_model_says_nothing(cache, other):
    write_speed(cache, **other)
    assert costs()["NVIDIA H100"].measured_at is None


def test_a_device_that_is_not_in_the_table_has_a_line_of_its_own_once_measured(cache):
    write_speed(cache, device="NVIDIA B200")
    assert costs()["NVIDIA B200"].dollars is None
    assert costs(price=10.0)["NVIDIA B200"].dollars > 0


def test_a_device_that_the_model_does_not_fit_is_said_so():
    big = on_paper(40_000_000_000)
    found = {cost.device: cost.too_small for cost in cost_on_devices(1, big, "fork", 0)}
    assert found["NVIDIA L4"]
    assert not found["NVIDIA H200"]


def test_a_broken_file_of_the_cache_is_named(cache):
    write_speed(cache, seconds="many")
    with pytest.raises(InputError, match=r"one\.json cannot be read"):
        known_speeds("a/model@main", "fork")
