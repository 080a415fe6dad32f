"""The Slurm script starts a real Ray cluster of two nodes on this machine; only srun and scontrol are stand-ins.

Its command waits for a recipe that nobody writes. The signal that the time is up then ends it, and asks Slurm to queue
the job again.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S, END_TIMEOUT_S, POLL_S = 500.0, 120.0, 0.5
SRUN = """#!/bin/bash
# Runs a task here, and tells what it was given.
echo "$@" >> "$STAND_IN_LOG"
while [[ ${1:-} == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/bin/bash
case "$1 $2" in
    "show hostnames") printf 'a1\\na2\\n' ;;
    *) echo "scontrol $*" >> "$STAND_IN_LOG" ;;
esac
"""


@pytest.fixture
def job_id() -> Iterator[int]:
    """A number of this process alone; Ray's folder of the job is removed afterwards, with whatever still runs in it."""
    yield os.getpid()
    folder = f"/tmp/reelmill-{os.getpid()}"
    for process in psutil.process_iter(["cmdline"]):
        if any(f"{folder}/" in word for word in process.info["cmdline"] or ()):
            process.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def environment(tmp_path: Path, job_id: int) -> dict[str, str]:
    """Of a batch script on the first of two nodes, as Slurm sets it."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM_", "SRUN_"))}
    return kept | {
        "PATH": os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "STAND_IN_LOG": str(tmp_path / "asked"),
        "SLURM_JOB_ID": str(job_id),
        "SLURM_JOB_NODELIST": "a[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_MEM_PER_NODE": "2048",
        "REELMILL_JOIN_LIMIT_S": "400",
    }


def test_two_nodes_run_a_command_that_is_queued_again_when_time_is_up(
    environment: dict[str, str], job_id: int, tmp_path: Path
) -> None:
    awaited = tmp_path / "awaited.toml"
    os.mkfifo(awaited)
    command = ["bash", str(ROOT / "infra/slurm.sbatch"), "recipe", "show", str(awaited)]
    for last in (False, False, True):  # Ray gives a node 30 s to start, which a busy machine may not keep
        (tmp_path / "asked").write_text("")
        with (tmp_path / "log").open("w") as log:
            script = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        if has_reader(awaited, script):
            break
        assert not last, (tmp_path / "log").read_text()
    script.send_signal(signal.SIGUSR1)
    assert script.wait(END_TIMEOUT_S) == 0
    printed, asked = (tmp_path / "log").read_text(), (tmp_path / "asked").read_text()
    assert "1 of 1 nodes are in the Ray cluster" in printed
    assert "2 of 2 nodes are in the Ray cluster" in printed
    assert f"time is up: job {job_id} is queued again (restart 1 of 20 at most)" in printed
    assert asked.endswith(f"scontrol requeue {job_id}\n")
    (head,) = re.findall(r"--nodelist=a1 ray start --head .*", asked)
    (worker,) = re.findall(r"--exclude=a1 .* ray start --address=.*", asked)
    for started in (head, worker):
        assert f"--num-cpus=1 --min-worker-port=0 --max-worker-port=0 --memory={2048 * 2**20 * 7 // 10}" in started
    running = [process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"])]
    assert not [words for words in running if any(f"/tmp/reelmill-{job_id}/" in word for word in words)]


def has_reader(pipe: Path, script: subprocess.Popen[bytes]) -> bool:
    """Wait until the script's command reads the pipe; False where the script ends before."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while script.poll() is None:
        assert time.monotonic() < deadline_s
        try:
            # Left open, so that the command goes on waiting.
            os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            return True
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads it yet
                raise
        time.sleep(POLL_S)
    return False


def test_the_script_is_valid_shell() -> None:
    subprocess.run(["bash", "-n", str(ROOT / "infra/slurm.sbatch")], check=True)
