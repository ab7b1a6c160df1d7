"""Shell scripts are linted, and the Slurm script is run against stand-ins for Slurm's own commands."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.manifests import INFRA, ROOT

SCRIPTS = sorted(
    path for path in INFRA.rglob("*") if path.is_file() and path.read_bytes().startswith(b"#!/usr/bin/env bash")
)
BIN = Path(sys.executable).parent
SLURM = INFRA / "slurm/score.sbatch"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_passes_shellcheck(script):
    done = subprocess.run([BIN / "shellcheck", "--severity=style", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def slurm(tmp_path):
    """Runs the script as one node would, with a ``ray`` that only runs the command behind ``--``."""
    commands = {
        "srun": 'while [[ $1 == --* ]]; do shift; done; export BATCH_SHELL=$PPID; echo "${SRUN_SAYS:-}" >&2; exec "$@"',
        "scontrol": 'case "$1 $2" in "requeue "*) echo "requeued $2";; "show job") echo "Restarts=${RESTARTS:-0}";; *) echo n;; esac',
        "getent": "echo 127.0.1.1 STREAM n",
        "hostname": "echo 127.0.0.1 fd00::1",
        "ray": 'echo "ray $*" >> "$TRACE"; if [[ -n ${RAY_IS_BROKEN:-} ]]; then echo "Error: $RAY_IS_BROKEN" >&2; exit 0; fi; while [[ $1 != -- ]]; do shift; done; shift; exec "$@"',
    }
    for name, body in commands.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{body}\n")
        path.chmod(0o755)
    job = tmp_path / "job.py"
    job.write_text(
        "import os, pathlib, signal, sys, time\n"
        "print('job', os.environ['RAY_ADDRESS'], os.environ['RAY_AUTH_MODE'], len(os.environ['RAY_AUTH_TOKEN']), sys.argv[1:])\n"
        "if os.environ.get('SLURM_SENDS') == 'USR1':\n"  # to the batch shell, which stops the job
        "    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
        "    known = pathlib.Path(os.environ['SLURM_SUBMIT_DIR'], f'.raygen-{os.environ[\"SLURM_JOB_ID\"]}.exit.pid')\n"
        "    while not (known.exists() and known.read_text()):\n"
        "        time.sleep(0.01)\n"
        "    os.kill(int(os.environ['BATCH_SHELL']), signal.SIGUSR1)\n"
        "    signal.sigwait([signal.SIGTERM])\n"
        "if os.environ.get('SLURM_SENDS') == 'TERM':\n"  # to all there is; raygen's answer is 4
        "    os.kill(int(os.environ['BATCH_SHELL']), signal.SIGTERM)\n"
        "sys.exit(int(os.environ.get('WANTED', '0')))\n"
    )

    def run(*arguments, **environment):
        own = {"PATH": f"{tmp_path}/bin:{BIN}:{os.environ['PATH']}", "TRACE": str(tmp_path / "trace")}
        own |= {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_NODELIST": "n", "SLURM_JOB_ID": "71234"}
        own |= {
            "SLURM_JOB_NUM_NODES": "1",
            "SLURM_GPUS_ON_NODE": "8",
            "SLURM_CPUS_PER_TASK": "64",
            "RAYGEN_JOB": str(job),
        }
        command = ["bash", str(SLURM), *arguments]
        environment = {**own, **environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=300)

    return run


def test_raygen_gets_the_address_a_token_and_its_arguments(slurm, tmp_path):
    done = slurm("run.yaml", "--set", "window.left=8")
    assert done.returncode == 0, done.stderr
    port = 6400 + 71234 % 3000
    assert f"job 127.0.0.1:{port} token 64 ['run.yaml', '--set', 'window.left=8']" in done.stdout
    assert (
        f"symmetric-run --address 127.0.0.1:{port} --min-nodes 1 --num-cpus 64 --num-gpus 8"
        in (tmp_path / "trace").read_text()
    )
    assert not list(tmp_path.glob(".raygen-*"))


@pytest.mark.parametrize(("code", "requeued"), [("0", False), ("2", False), ("3", False), ("4", True)])
def test_only_what_can_be_resumed_goes_back_into_the_queue_when_the_time_is_up(slurm, code, requeued, tmp_path):
    done = slurm("run.yaml", WANTED=code, SLURM_SENDS="USR1")
    assert done.returncode == int(code)
    assert ("requeued 71234" in done.stdout) == requeued
    assert not list(tmp_path.glob(".raygen-*"))


def test_a_job_that_was_cancelled_is_not_revived(slurm):
    done = slurm("run.yaml", WANTED="4", SLURM_SENDS="TERM")
    assert done.returncode == 4
    assert "requeued" not in done.stdout
    assert "the same sbatch goes on" in done.stderr


@pytest.mark.parametrize("code", ["2", "3", "4"])
def test_a_job_that_ended_by_itself_is_not_repeated(slurm, code):
    done = slurm("run.yaml", WANTED=code)
    assert done.returncode == int(code)
    assert "requeued" not in done.stdout


def test_the_signal_for_the_time_limit_is_not_the_one_of_scancel():
    (signal_option,) = [line for line in SLURM.read_text().splitlines() if line.startswith("#SBATCH --signal=")]
    assert "--signal=B:USR1@" in signal_option


def test_it_is_not_put_back_for_ever(slurm):
    done = slurm("run.yaml", WANTED="4", SLURM_SENDS="USR1", SLURM_RESTART_COUNT="20")
    assert done.returncode == 4
    assert "requeued" not in done.stdout


def test_a_ray_that_does_not_start_is_no_success_and_says_why(slurm, tmp_path):
    done = slurm("run.yaml", RAY_IS_BROKEN="Ray is already started on this node.")
    assert done.returncode == 2
    assert f"{tmp_path}/ray-71234.log: Error: Ray is already started on this node." in done.stderr
    assert "the same sbatch goes on" not in done.stderr


def test_a_folder_without_raygen_is_said(slurm, tmp_path):
    done = slurm("run.yaml", RAYGEN_JOB="", RAYGEN_HOME=str(tmp_path))
    assert done.returncode == 2
    assert f"no raygen at {tmp_path}" in done.stderr
    assert "the same sbatch goes on" not in done.stderr


@pytest.mark.parametrize("sends", ["", "USR1", "TERM"])
def test_a_job_that_slurm_put_back_itself_invites_nobody_to_submit_it_again(sends, slurm):
    done = slurm("run.yaml", WANTED="4", SLURM_SENDS=sends, RESTARTS="1")
    assert done.returncode == 4
    assert "Slurm has put this job back into the queue" in done.stderr
    assert "the same sbatch goes on" not in done.stderr
    assert "requeued" not in done.stdout


def test_a_raygen_that_was_killed_for_its_memory_is_stopped_and_says_so(slurm):
    said = "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=1.0"
    done = slurm("run.yaml", WANTED="137", SRUN_SAYS=said, SLURM_MEM_PER_NODE="1600")
    assert done.returncode == 4
    assert "raygen was killed" in done.stderr
    assert "for want of memory, of which it had 1600 MB a node" in done.stderr
    assert "everything was done: with that, the same sbatch goes on" in done.stderr
    again = slurm("run.yaml", WANTED="4")  # the log of the first try is still there
    assert again.returncode == 4
    assert "want of memory" not in again.stderr


def test_memory_is_not_the_cause_of_settings_that_are_wrong(slurm):
    done = slurm("run.yaml", WANTED="2", SRUN_SAYS="slurmstepd: error: Detected 1 oom-kill event(s) in StepId=1.0")
    assert (done.returncode, "want of memory" in done.stderr) == (2, False)


@pytest.mark.parametrize(
    "limit",
    [
        {"SLURM_MEM_PER_NODE": "1600"},
        {"SLURM_MEM_PER_CPU": "100", "SLURM_CPUS_ON_NODE": "16"},
        {"SLURM_MEM_PER_GPU": "400", "SLURM_GPUS_ON_NODE": "4"},
    ],
)
def test_ray_plans_with_the_memory_that_slurm_gives(limit, slurm, tmp_path):
    assert slurm("run.yaml", **limit).returncode == 0
    assert "--memory 1006632960 --object-store-memory 503316480 " in (tmp_path / "trace").read_text()


def test_without_a_limit_ray_looks_for_the_memory_itself(slurm, tmp_path):
    assert slurm("run.yaml", SLURM_MEM_PER_NODE="0").returncode == 0
    assert "memory" not in (tmp_path / "trace").read_text()


def test_a_port_that_is_taken_is_passed_over(slurm, tmp_path):
    port = 6400 + 71234 % 3000
    with socket.create_server(("127.0.0.1", port)):
        assert slurm("run.yaml").returncode == 0
    assert f"--address 127.0.0.1:{port + 1} " in (tmp_path / "trace").read_text()


def test_without_settings_it_says_how_it_is_used(slurm):
    done = slurm()
    assert done.returncode == 2
    assert "usage: sbatch" in done.stderr


def test_the_profiles_of_aws_hold_the_buckets_and_workers_make_no_machines(tmp_path):
    aws = tmp_path / "aws"
    aws.write_text(
        '#!/usr/bin/env bash\n[[ $2 != get-role ]] || echo arn:worker\nprintf "%s\\0" "$@" end >> "$TRACE"\n'
    )
    aws.chmod(0o755)
    trace = tmp_path / "trace"
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TRACE": str(trace)}
    subprocess.run(["bash", str(INFRA / "cloud/aws-profiles.sh"), "scores", "in"], env=environment, check=True)
    calls = [call.strip("\0").split("\0") for call in trace.read_text().split("end\0") if call]
    given = {
        (call[call.index("--role-name") + 1], call[call.index("--policy-name") + 1]): json.loads(call[-1])["Statement"]
        for call in calls
        if call[1] == "put-role-policy"
    }
    assert set(given) == {("raygen-worker", "buckets"), ("raygen-head", "buckets"), ("raygen-head", "workers")}
    listed, read, written = given["raygen-worker", "buckets"]
    assert listed["Resource"] == ["arn:aws:s3:::scores", "arn:aws:s3:::in"]
    assert read["Resource"] == ["arn:aws:s3:::scores/*", "arn:aws:s3:::in/*"]
    assert written["Resource"] == "arn:aws:s3:::scores/*"
    assert given["raygen-head", "workers"][-1] == {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": "arn:worker",
    }


def test_the_jobs_that_scripts_name_exist():
    assert (ROOT / "jobs/score_variants.py").exists()
    assert "jobs/score_variants.py" in SLURM.read_text()
