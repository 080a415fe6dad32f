"""`python -m tests.bench.elastic`: a training run killed at random steps, and gone on with by other numbers of workers.

`reelmill train` runs on twelve small clips: once undisturbed, and once killed again and again, its driver or one of its
workers, and begun anew with the next number of workers and the other way to share the weights. Each step must have the
draws (samples, timesteps, noise, texts) of the undisturbed run, and its loss up to the order of sums.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jobs.training.ray_trainer import WORKER_FAILURES
from model.training.checkpoints import RunFolder
from pipeline.store.dataset import Dataset
from tests.bench.kills import HUNG_S, below, kill_all, started
from tests.jobs.conftest import write_encoded
from tests.ray_cluster import ROOT

SHARING = ((2, "ddp"), (1, "ddp"), (3, "ddp"), (2, "fsdp"), (3, "fsdp"), (1, "fsdp"))
SETTINGS = {
    "tokens_per_pack": 96,
    "packs_per_step": 6,
    "checkpoint_every": 3,
    "validate_every": 10,
    "warmup_steps": 5,
    "model.width": 48,
    "model.depth": 2,
    "model.num_heads": 4,
}
CLUSTER = """
import sys, ray
ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""
"""More logical CPUs than a small machine has, so that three workers fit; it ends with its standard input."""


@contextmanager
def cluster() -> Iterator[tuple[str, int]]:
    """A Ray cluster: its address, and the process that all of its own descend from."""
    command = [sys.executable, "-c", CLUSTER]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, "Ray did not start"
        yield address, process.pid
        process.communicate()


def train(dataset: Dataset, out: Path, steps: int, sharing: tuple[int, str]) -> list[str]:
    num_workers, parallel = sharing
    settings = SETTINGS | {"steps": steps, "num_workers": num_workers, "parallel": parallel}
    words = [word for name, value in settings.items() for word in ("--set", f"train.{name}={value}")]
    command = [sys.executable, "-m", "jobs.train", dataset.location, "--release", "drawn"]
    return [*command, "--out", str(out), *words]


def last_step(out: Path) -> int:
    with suppress(OSError, ValueError):
        return (RunFolder(out).metrics() or [{"step": 0}])[-1]["step"]
    return 0


def workers_of(cluster_pid: int) -> list[int]:
    """The processes of Ray Train's workers."""
    found = []
    for pid in below(cluster_pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            if "RayTrainWorker" in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(pid)
    return found


def disturbed(
    dataset: Dataset, out: Path, steps: int, num_kills: int, cluster_pid: int, draw: random.Random
) -> list[tuple[int, str, str]]:
    """Train to the last step; returns of each kill the step, who shared the work, and what was killed."""
    kills: list[tuple[int, str, str]] = []
    targets = sorted(draw.sample(range(1, steps), num_kills))
    while True:
        sharing = SHARING[len(kills) % len(SHARING)]
        run = started(train(dataset, out, steps, sharing), out.with_suffix(".log"))
        begun_s, num_worker_kills = time.monotonic(), 0
        while run.poll() is None and time.monotonic() - begun_s < HUNG_S:
            target = targets[len(kills)] if len(kills) < num_kills else steps + 1
            if last_step(out) >= target:
                workers = workers_of(cluster_pid)
                of_worker = bool(workers) and draw.random() < 0.5
                with suppress(ProcessLookupError):
                    os.kill(draw.choice(workers) if of_worker else run.pid, signal.SIGKILL)
                kills.append((last_step(out), f"{sharing[0]} {sharing[1]}", "a worker" if of_worker else "the driver"))
                print(f"  kill {len(kills)} at step {kills[-1][0]}: {kills[-1][2]}", flush=True)
                if of_worker:  # Ray starts the workers again, or, where it has done so twice, ends the run
                    num_worker_kills += 1
                else:
                    run.wait()
                    break
            time.sleep(0.01)
        else:
            said = out.with_suffix(".log").read_text()[-2000:]
            if run.poll() is None:
                kill_all(run, below(run.pid))
                raise AssertionError(f"hung at step {last_step(out)}: {said}")
            if run.returncode == 0:
                return kills
            if num_worker_kills <= WORKER_FAILURES:
                raise AssertionError(f"exit status {run.returncode}: {said}")


def compared(whole: Sequence[dict[str, Any]], broken: Sequence[dict[str, Any]]) -> str:
    """How the metrics of two runs differ, in a line each."""
    same = sum(a["draws"] == b["draws"] for a, b in zip(whole, broken, strict=True))
    lines = [f"| steps with the same draws | {same} of {len(whole)} |"]
    for name in ("loss", "grad_norm", "val_loss"):
        pairs = [(a[name], b[name]) for a, b in zip(whole, broken, strict=True) if name in a]
        lines.append(f"| largest difference of {name} | {max(abs(a - b) / abs(a) for a, b in pairs):.1e} of it |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="reelmill-elastic-") as name, cluster() as (address, pid):
        os.environ |= {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "token", "OMP_NUM_THREADS": "1"}
        folder = Path(name)
        dataset = write_encoded(Dataset(str(folder / "ds")))
        whole, broken = folder / "whole", folder / "broken"
        undisturbed = started(train(dataset, whole, options.steps, (1, "ddp")), folder / "whole.log")
        assert undisturbed.wait(HUNG_S) == 0, (folder / "whole.log").read_text()
        kills = disturbed(dataset, broken, options.steps, options.kills, pid, random.Random(options.seed))
        print("| kill | at step | workers | killed |\n|---|---|---|---|")
        for number, (step, sharing, what) in enumerate(kills, start=1):
            print(f"| {number} | {step} | {sharing} | {what} |")
        print("\n| | |\n|---|---|")
        print(compared(RunFolder(whole).metrics(), RunFolder(broken).metrics()))


if __name__ == "__main__":
    main()
