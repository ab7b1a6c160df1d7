"""Loading takes no more host memory than the model and one shard.

Memory that a process needs is its anonymous memory. The checkpoint's files are mapped, and their pages count as resident
too, but they are the page cache's: the kernel takes them back when memory runs short. In the dtype of its files a model on
the CPU is those pages and little else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from raygen.model.random_checkpoint import write_random_checkpoint
from tests.model.models import small_config

SHARD = 50_000_000

MEASURE = """
import json, sys, threading
from pathlib import Path
from raygen.model.loading import describe_network, load_network

def memory(name):  # not ru_maxrss: a new program starts there with the peak of the one that started it
    return int(Path("/proc/self/status").read_text().partition(name)[2].split()[0]) * 1024

warm, folder, dtype = sys.argv[1:]
load_network(warm, device="cpu", dtype=dtype)
anonymous, peak = memory("RssAnon:"), memory("VmHWM:")
describe_network(folder, device="cpu", dtype=dtype)
described = memory("VmHWM:") - peak

seen, done = [], threading.Event()
def watch():
    while not done.wait(0.001):
        seen.append(memory("RssAnon:"))
watcher = threading.Thread(target=watch)
watcher.start()
network = load_network(folder, device="cpu", dtype=dtype).network
done.set()
watcher.join()
seen.append(memory("RssAnon:"))
print(json.dumps({
    "model": sum(parameter.nbytes for parameter in network.parameters()),
    "describing": described,
    "loading": max(seen) - anonymous,
    "samples": len(seen),
    "sum": float(sum(parameter.float().sum() for parameter in network.parameters())),
    "resident_once_read": memory("VmHWM:") - peak,
}))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny checkpoint, which brings in what every load needs, and one of 300 MB in shards of 50 MB."""
    folder = tmp_path_factory.mktemp("models")
    write_random_checkpoint(folder / "tiny", small_config(), seed=0)
    wide = {"hidden_size": 1024, "num_attention_heads": 8, "inner_mlp_size": 2731}
    layers = {"num_layers": 6, "attn_layer_idxs": [2], "hyena_layer_idxs": [0, 1, 3, 4, 5]}
    write_random_checkpoint(folder / "large", small_config(**wide, **layers), seed=0, max_shard_bytes=SHARD)
    files = list((folder / "large").glob("*.safetensors"))
    assert len(files) >= 6 and sum(file.stat().st_size for file in files) > 290_000_000
    return folder / "tiny", folder / "large"


def measured(folders: tuple[Path, Path], dtype: str) -> dict[str, float]:
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc, which is not here")
    command = [sys.executable, "-c", MEASURE, *map(str, folders), dtype]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_in_another_dtype_the_model_and_at_most_one_shard_are_in_memory(folders: tuple[Path, Path]) -> None:
    found = measured(folders, "float16")
    assert found["samples"] > 5
    assert 0.9 * found["model"] < found["loading"] < found["model"] + SHARD
    assert found["describing"] < SHARD  # one tensor at a time is read to hash it


def test_in_the_dtype_of_its_files_the_model_is_in_memory_once(folders: tuple[Path, Path]) -> None:
    found = measured(folders, "float32")
    assert found["loading"] < SHARD
    assert 0.9 * found["model"] < found["resident_once_read"] < found["model"] + SHARD
