#!/usr/bin/env bash
# A Ray Data pipeline that fails in iter_batches keeps its pool of actors, with their CPUs or GPUs, after its exception has been caught and
# forgotten: until Python's cyclic garbage is collected, which comes by chance. A second pipeline in the same process (a notebook, a service,
# tests) waits meanwhile for resources that nobody uses, and nothing says why. One that ends well gives them back at once.
# Seen with Ray 2.60.0, Python 3.11, a local cluster of 2 CPUs and a pool of 1 actor. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'ray[data]==2.60.0' pyarrow==26.0.1 numpy==2.4.6 pandas==3.1.1
RAY_USAGE_STATS_ENABLED=0 "$folder/venv/bin/python" - <<'PYTHON' 2>"$folder/errors" || { cat "$folder/errors"; exit 1; }
import gc
import logging
import sys
import time

import ray
import ray.data

gc.disable()  # so that it is collected when it is asked for, and not by chance
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
logging.getLogger("ray.data").setLevel(logging.CRITICAL)
context = ray.data.DataContext.get_current()
context.enable_progress_bars = context.print_on_execution_start = False


class Model:
    def __init__(self, fails):
        self.fails = fails

    def __call__(self, batch):
        if self.fails:
            raise ValueError("this batch cannot be scored")
        return batch


def run(fails):
    pool = ray.data.ActorPoolStrategy(size=1)
    kwargs = {"fn_constructor_args": [fails], "compute": pool, "num_cpus": 1}
    for _ in ray.data.range(4, override_num_blocks=2).map_batches(Model, **kwargs).iter_batches():
        pass


def free_cpus(seconds):
    """The CPUs that are free at the end of some seconds, or as soon as both are."""
    end = time.monotonic() + seconds
    while (free := ray.available_resources().get("CPU", 0)) < 2 and time.monotonic() < end:
        time.sleep(0.2)
    return free


run(fails=False)
seen = {"after a pipeline that ended well": free_cpus(10)}
try:
    run(fails=True)
except Exception as error:  # noqa: BLE001
    print(f"caught {type(error).__name__}")
seen["10 s after the exception was caught and forgotten"] = free_cpus(10)
gc.collect()
seen["after gc.collect()"] = free_cpus(10)
print(f"ray {ray.__version__}: free CPUs of 2")
for when, free in seen.items():
    print(f"  {when}: {free:g}")
sys.exit(list(seen.values()) != [2, 1, 2])
PYTHON
