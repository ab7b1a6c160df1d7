"""The kernel's count of what it killed for want of memory, and the run that stops for it."""

import pytest

from raygen.errors import StoppedError
from raygen.pipeline.memory_kills import num_memory_kills, refuse_more_memory_kills
from raygen.tables.layout import RunFolder


def counted(folder, proc: str, counter: str, content: str) -> int:
    (folder / "proc").write_text(proc)
    path = folder / "mount" / counter
    path.parent.mkdir(parents=True)
    path.write_text(content)
    return num_memory_kills(folder / "proc", folder / "mount")


def test_a_slurm_step_of_version_1_is_counted(tmp_path):
    proc = "5:devices:/\n4:memory:/slurm_n1/uid_0/job_1/step_0/task_0\n0::/\n"
    counter = "memory/slurm_n1/uid_0/job_1/step_0/task_0/memory.oom_control"
    assert counted(tmp_path, proc, counter, "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n") == 3


def test_a_container_of_version_2_is_counted(tmp_path):
    assert counted(tmp_path, "0::/\n", "memory.events", "low 0\nhigh 0\nmax 9\noom 4\noom_kill 2\n") == 2


@pytest.mark.parametrize("proc", ["", "0::/nowhere\n"])
def test_where_no_kernel_counts_nothing_was_killed(tmp_path, proc):
    (tmp_path / "proc").write_text(proc)
    assert num_memory_kills(tmp_path / "proc", tmp_path) == 0
    assert num_memory_kills(tmp_path / "missing", tmp_path) == 0


def test_kills_of_all_actors_of_a_node_together_stop_a_run(tmp_path):
    folder = RunFolder(str(tmp_path))
    folder.prepare()
    for num_kills in (10, 11, 13):  # ten before the run
        refuse_more_memory_kills(folder, "run", "node", num_kills)
    refuse_more_memory_kills(folder, "run", "another", 99)
    refuse_more_memory_kills(folder, "another", "node", 99)
    with pytest.raises(
        StoppedError, match=r"killed 4 processes of this run or beside it on .* for want of memory\. With more memory"
    ):
        refuse_more_memory_kills(folder, "run", "node", 14)
