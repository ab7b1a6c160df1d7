import socket

import pytest

from raygen.errors import SettingsError
from raygen.pipeline import cluster
from raygen.pipeline.cluster import ActorPlan, plan_actors
from raygen.settings import load_settings

GB = 2**30


def plan(
    wanted="auto", device="cpu", cpus=8, gpus=0.0, shards=100, model=GB, memory=64 * GB, gpus_per_actor=1.0, **more
):
    return plan_actors(wanted, gpus_per_actor, device, cpus, gpus, shards, model, memory, **more)


def test_on_cpus_there_is_an_actor_a_core_with_one_thread():
    assert plan() == ActorPlan(8, 8, 0, 0, 1)


def test_a_large_model_gets_fewer_actors_with_more_threads():
    assert plan(model=26 * GB) == ActorPlan(1, 1, 7, 0, 8)


def test_a_model_larger_than_memory_still_gets_one_actor():
    assert plan(model=260 * GB).max_size == 1


@pytest.mark.parametrize("cpus", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("wanted", ["auto", 1, 2, 100, (1, 4)])
def test_a_cpu_is_always_left_for_the_tasks(cpus, wanted):
    planned = plan(wanted, cpus=cpus)
    assert planned.max_size * planned.num_cpus < max(cpus, 1)
    assert planned.threads >= 1


def test_gpus_are_divided_and_take_no_cpus():
    assert plan(device="cuda", gpus=8) == ActorPlan(8, 8, 0, 1, 1)
    assert plan(device="cuda", gpus=8, gpus_per_actor=2).max_size == 4
    assert plan(device="cuda", gpus=1, gpus_per_actor=0.5).max_size == 2


def test_there_are_never_more_actors_than_shards():
    assert plan((4, 8), shards=2) == ActorPlan(2, 2, 3, 0, 4)


def test_little_work_gets_no_actor_that_starts_for_longer_than_it_works():
    assert plan(work_seconds=2) == ActorPlan(1, 1, 7, 0, 1)
    assert plan(work_seconds=7) == ActorPlan(3, 3, 2, 0, 1)
    assert plan(work_seconds=24) == plan() == ActorPlan(8, 8, 0, 0, 1)
    assert plan(4, work_seconds=2).max_size == 4, "a number that is asked for holds"
    assert plan(device="cuda", gpus=8, work_seconds=2).max_size == 8


def test_no_gpu_where_one_is_wanted_says_so():
    with pytest.raises(SettingsError, match="Ray sees 0 GPUs"):
        plan(device="cuda")


def test_an_address_where_nobody_answers_is_said_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]  # bound and not listening
        with pytest.raises(SettingsError, match=f"No Ray cluster answers at 127.0.0.1:{port}"):
            cluster._start(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (
            "ray://head:10001",
            "is an address of Ray Client, which raygen does not support: .*e.g. head:6379; .*ray job submit",
        ),
        ("http://head:8265", "is an address of Ray's dashboard, .*e.g. head:6379; .*--address http://head:8265"),
        ("anyscale://there", "is no address of a Ray cluster that raygen can join: "),
        ("head", "it must be HOST:PORT, e.g. head:6379"),
    ],
)
def test_an_address_at_which_raygen_cannot_run_says_what_to_give_instead(address, reason, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(SettingsError, match=f"RAY_ADDRESS={address} .*{reason}") as from_environment:
        cluster.remote_address(None)
    assert "temporary directory" not in str(from_environment.value)
    with pytest.raises(SettingsError, match=f"cluster.address: .*{reason}"):
        load_settings(None, given={"cluster.address": address}, complete=False)


@pytest.mark.parametrize("address", ["head:6379", "10.0.0.1:6379", "[::1]:6379", "auto", "local"])
def test_an_address_that_ray_takes_is_taken(address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert cluster.remote_address(None) == address
    assert load_settings(None, given={"cluster.address": address}, complete=False).cluster.address == address


def test_a_closed_port_of_an_ipv6_address_is_said_in_the_systems_words(monkeypatch):
    with pytest.raises(SettingsError, match=r"No Ray cluster answers at \[::1\]:1: (Connection refused|.*address)"):
        cluster._start("[::1]:1")
