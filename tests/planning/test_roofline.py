"""``jobs/benchmarks/roofline.py``: what it counts, by hand, and that ``raygen plan`` reads what it says."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
import yaml

from raygen.model.random_checkpoint import EVO1_8K, evo1_8k_config
from raygen.planning import hours
from raygen.planning.hours import Device
from tests.model.models import small_config, small_evo2_config

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("roofline", ROOT / "jobs/benchmarks/roofline.py")
assert spec and spec.loader
job = sys.modules["roofline"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(job)

DEVICE = Device(name="one", match="one", products=1, float32=0.5, bandwidth=2, memory=1, dollars=0)


def kernels_of(work):
    with torch.no_grad(), job.KernelList() as listed:
        work()
    return [(kernel.flops, kernel.num_bytes) for kernel in listed.kernels]


@pytest.fixture
def x():
    return torch.empty(4, 6, device="meta")


def test_a_view_is_free(x):
    assert kernels_of(lambda: x.T[1:].unflatten(1, (2, 2)).expand(3, 5, 2, 2)) == []


def test_elementwise_work_counts_each_operand_once_and_one_flop_a_number(x):
    assert kernels_of(lambda: x * x[:1]) == [(24, 4 * (24 + 6 + 24))]
    assert kernels_of(lambda: x + x[:, :1].expand(4, 6)) == [(24, 4 * (24 + 4 + 24))]


def test_a_product_counts_two_flops_a_term(x):
    assert kernels_of(lambda: x @ x.T) == [(2 * 4 * 4 * 6, 4 * (24 + 24 + 16))]
    assert kernels_of(lambda: torch.addmm(x[:, :4], x, x.T)) == [
        (0, 4 * 2 * 16),
        (2 * 4 * 4 * 6, 4 * (24 + 24 + 2 * 16)),
    ]
    assert kernels_of(lambda: torch.addmm(x[0, :4], x, x.T)) == [(2 * 4 * 4 * 6, 4 * (4 + 24 + 24 + 16))]


def test_what_is_padded_is_filled_first_and_what_is_not_is_copied(x):
    assert kernels_of(lambda: torch.nn.functional.pad(x, (0, 2))) == [(0, 4 * 32), (32, 4 * (24 + 32))]
    assert kernels_of(lambda: torch.nn.functional.pad(x, (0, 0))) == [(24, 4 * (24 + 24))]


def test_a_copy_reads_its_source_alone_and_an_index_what_it_chooses(x):
    cast = kernels_of(lambda: x.to(torch.bfloat16))
    assert cast == [(24, 24 * 4 + 24 * 2)]
    assert kernels_of(lambda: x[:2].copy_(x[2:])) == [(12, 4 * (12 + 12))]
    assert kernels_of(lambda: x.new_zeros(3)) == [(3, 4 * 3)]
    assert kernels_of(lambda: x.index_select(0, torch.empty(2, dtype=torch.int64, device="meta"))) == [(12, 108 + 4)]


def test_causal_attention_is_half_of_the_products():
    q = torch.empty(1, 2, 8, 16, device="meta", dtype=torch.bfloat16)

    def attend(is_causal):
        with job.gpu_attention():
            return job.attention.attend(q, q, q, is_causal)

    full, causal = ((kernels_of(lambda: attend(is_causal)))[0][0] for is_causal in (False, True))  # noqa: B023
    assert full == 2 * causal == 2 * 2 * (2 * 8 * 8 * 16)


def test_a_kernel_takes_the_longer_of_arithmetic_and_memory():
    assert job.Kernel("", flops=10**12, num_bytes=10**12, is_half=True).seconds(DEVICE) == 1
    assert job.Kernel("", flops=10**12, num_bytes=10**12, is_half=False).seconds(DEVICE) == 2
    assert job.Kernel("", flops=10**12, num_bytes=10**13, is_half=False).seconds(DEVICE) == 5


@pytest.mark.parametrize("config", [small_config(), small_evo2_config()], ids=["Evo 1", "Evo 2"])
def test_every_part_of_a_small_model_is_in_the_list_and_branches_read_on(config):
    network = job.network_without_values(config)
    branches = job.kernels_of(network, job.Reading("", rows=4, tokens=3, stops=2))
    assert {kernel.part for kernel in branches} == {*job.PARTS, job.REST}
    whole = job.kernels_of(network, job.Reading("", rows=1, tokens=12))
    assert {kernel.part for kernel in whole} == {*job.PARTS, job.REST} - {"states kept"}


def test_the_mlp_has_the_flops_of_its_weights():
    network = job.network_without_values(evo1_8k_config())
    products = sum(kernel.flops for kernel in job.kernels_of(network, job.READINGS[0]) if kernel.part == "MLP")
    assert products == pytest.approx(2 * 8192 * 32 * 3 * 4096 * 10_928, rel=1e-3)


def test_the_plan_reads_what_the_command_says(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["roofline.py", "--speeds"])
    assert job.main() == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == (Path(hours.__file__).parent / "roofline.yaml").read_text().splitlines()[0]
    computed, stored = yaml.safe_load(printed), hours.roofline()
    assert computed.keys() == stored.keys() == {hours.EVO1_SHAPE, hours.EVO2_SHAPE}
    for name, shape in stored.items():
        assert computed[name]["num_parameters"] == shape.num_parameters
        # torch's versions may split an operation otherwise
        assert computed[name]["tokens_per_second"] == pytest.approx(dict(shape.tokens_per_second), rel=0.01)


def test_the_table_has_a_line_a_part(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["roofline.py", "--like", EVO1_8K])
    assert job.main() == 0
    printed = capsys.readouterr().out
    assert all(f"| {part} " in printed for part in (*job.PARTS, job.REST, "all"))
    monkeypatch.setattr(sys, "argv", ["roofline.py", "--like", "evo-3"])
    assert job.main() == 2
    assert "no checkpoint evo-3" in capsys.readouterr().err
