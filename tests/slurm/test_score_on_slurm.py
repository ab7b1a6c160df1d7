"""``make test-slurm``: infra/slurm/score.sbatch on a real Slurm of two nodes. What it says, with which code, and that nothing is lost.

Not here: GPUs, preemption and accounting (``sacct``), which need what this machine has not.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime

import pytest

from tests.slurm.batch_job import BatchFolder
from tests.slurm.slurm_cluster import ADDRESSES, SlurmCluster, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.ray]

SAME_SBATCH = "the same sbatch goes on"
BACK_BY_SLURM = "Slurm has put this job back into the queue"


def end(batch: BatchFolder, number: int) -> tuple[str, str]:
    """State and exit code of a job when it is over; all that it printed is shown where a test fails."""
    job = batch.cluster.wait_for_end(number)
    print(batch.output(number), batch.ray_log(number)[-5000:], job)
    return job["JobState"], job["ExitCode"]


def seconds_held_after_raygen(batch: BatchFolder, number: int) -> float:
    """From raygen's last word to the end of the job."""
    last_word = (batch.folder / f"slurm-{number}.out").stat().st_mtime
    return datetime.fromisoformat(batch.cluster.job(number)["EndTime"]).timestamp() - last_word


def start_what_is_back_in_the_queue(cluster: SlurmCluster, number: int) -> None:
    """Without the two minutes that Slurm lets such a job wait."""
    wait_until(lambda: cluster.job(number)["JobState"] == "PENDING", f"job {number} back in the queue", 300)
    cluster.run("scontrol", "update", f"JobId={number}", "StartTime=now", "TimeLimit=60")


def test_a_job_on_two_nodes_ends_well_and_soon(batch):
    number = batch.submit()
    assert end(batch, number) == ("COMPLETED", "0:0")
    batch.assert_all_is_scored_once()
    output = batch.output(number)
    assert "240 scored + 1 rejected" in output
    assert "srun" not in output
    assert "raylet" not in output
    assert not batch.ray_log(number)
    assert seconds_held_after_raygen(batch, number) < 55


def test_wrong_settings_are_said_and_not_tried_again(batch):
    number = batch.submit(nodes=1, overrides=("window.left=-3",))
    assert end(batch, number) == ("FAILED", "2:0")
    assert "window.left: must be a whole number" in batch.output(number)
    assert SAME_SBATCH not in batch.output(number)


def test_a_job_that_was_cancelled_goes_on_with_the_same_sbatch(batch, cluster):
    first = batch.submit(slow=True)
    batch.wait_until_half_way(first)
    cluster.run("scancel", str(first))
    assert end(batch, first)[0] == "CANCELLED"
    assert SAME_SBATCH in batch.output(first)
    committed = batch.num_committed()
    second = batch.submit(slow=True)
    assert end(batch, second) == ("COMPLETED", "0:0")
    batch.assert_all_is_scored_once()
    assert f"{240 - committed} scored + 1 rejected + {committed} already scored" in batch.output(second)


def test_a_job_whose_time_is_up_goes_back_into_the_queue_and_on(batch, cluster):
    number = batch.submit("--time=60", slow=True)
    batch.wait_until_half_way(number)
    minutes = int(cluster.run("squeue", "-h", "-j", str(number), "-o", "%M").strip().split(":")[-2])
    cluster.run("scontrol", "update", f"JobId={number}", f"TimeLimit={minutes + 2}")  # USR1 comes two minutes before
    start_what_is_back_in_the_queue(cluster, number)
    assert "raygen stopped before everything was done: back into the queue" in batch.output(number)
    assert batch.num_committed() < 240
    assert SAME_SBATCH not in batch.output(number)
    assert end(batch, number) == ("COMPLETED", "0:0")
    assert cluster.job(number)["Restarts"] == "1"
    batch.assert_all_is_scored_once()


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_job_whose_node_failed_goes_on_by_itself(node, batch, cluster):
    number = batch.submit(slow=True)
    batch.wait_until_half_way(number)
    cluster.kill(node)
    cluster.wait_for_states({"down", "down*"}, (node,))
    assert SAME_SBATCH not in batch.output(number)
    cluster.start(node)
    if cluster.job(number)["Restarts"] == "1":
        start_what_is_back_in_the_queue(cluster, number)
    assert end(batch, number) == ("COMPLETED", "0:0")
    assert SAME_SBATCH not in batch.output(number)
    batch.assert_all_is_scored_once()


def test_a_node_whose_own_name_is_127_0_1_1_is_reached_by_the_other(batch, cluster):
    cluster.kill("n1")
    cluster.start("n1", {**ADDRESSES, "n1": "127.0.1.1"})
    cluster.wait_for_states({"idle"})
    number = batch.submit()
    assert end(batch, number) == ("COMPLETED", "0:0")
    batch.assert_all_is_scored_once()


def test_a_second_node_that_comes_late_is_waited_for(batch, cluster):
    (cluster.folder / "late.n2").write_text("40")
    try:
        number = batch.submit()
        assert end(batch, number) == ("COMPLETED", "0:0")
    finally:
        (cluster.folder / "late.n2").unlink()
    batch.assert_all_is_scored_once()


def test_a_port_that_is_taken_is_not_used(batch, cluster):
    (number,) = [int(cluster.run("scontrol", "show", "config").split("NEXT_JOB_ID")[1].split()[1])]
    listen = f"import socket, sys; s = socket.create_server(('', {6400 + number % 3000})); print(flush=True); sys.stdin.read()"
    command = cluster.command_on("n1", sys.executable, "-c", listen)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as listener:
        assert listener.stdout is not None
        listener.stdout.readline()
        assert batch.submit(nodes=1) == number
        assert end(batch, number) == ("COMPLETED", "0:0")
        assert listener.stdin is not None
        listener.stdin.close()
    batch.assert_all_is_scored_once()


def test_a_folder_without_raygen_is_said(batch):
    number = batch.submit(nodes=1, RAYGEN_HOME=str(batch.folder))
    assert end(batch, number) == ("FAILED", "2:0")
    assert f"no raygen at {batch.folder}" in batch.output(number)
    assert SAME_SBATCH not in batch.output(number)


def test_a_ray_that_cannot_start_is_said(batch):
    number = batch.submit(nodes=1, RAY_TMPDIR="/proc/nowhere")
    assert end(batch, number) == ("FAILED", "2:0")
    assert "error: Ray could not be started on all nodes, so raygen did not run" in batch.output(number)
    assert "/proc/nowhere" in batch.output(number)
    assert SAME_SBATCH not in batch.output(number)


def test_a_memory_limit_is_planned_with(batch, cluster):
    number = batch.submit("--mem=5000M", nodes=1)
    assert end(batch, number) == ("COMPLETED", "0:0")
    batch.assert_all_is_scored_once()


def test_a_memory_limit_that_is_too_low_is_named(batch, cluster):
    if not cluster.limits_memory:
        pytest.skip("no memory cgroup of version 1 here")
    number = batch.submit("--mem=1200M", nodes=1)
    state, _ = end(batch, number)
    assert state in {"FAILED", "OUT_OF_MEMORY"}
    assert "1200 MB a node" in batch.output(number)
