import json

import pytest

from raygen.errors import InputError
from raygen.model.facts import ModelFacts
from raygen.planning.hours import cost_on_devices, roofline
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
    # 10^12 tokens; the published shape has 6.453e9 parameters where this model has 7e9
    speed = roofline()["evo-1-8k-base"].tokens_per_second["NVIDIA H100"] * 6_452_781_056 / 7e9
    by_hand = 1e12 / speed / 3600
    cost = costs()["NVIDIA H100"]
    assert cost.hours[1] == pytest.approx(by_hand)
    assert cost.hours[8] == pytest.approx(by_hand / 8)
    assert cost.dollars == pytest.approx(by_hand * 6.9)
    assert cost.measured_at is None
    assert costs(price=0.0)["NVIDIA H100"].dollars == 0


def test_a_model_of_evo_2_is_guessed_by_the_shape_of_evo_2():
    model = ModelFacts(name="arcinstitute/evo2_7b_base", context_length=8192, bos_id=None, num_parameters=6_481_059_584)
    speeds = {cost.device: cost.speed for cost in cost_on_devices(1, model, "fork", 0)}
    assert speeds == pytest.approx(dict(roofline()["evo2_7b_base"].tokens_per_second))


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
