"""The folder of a training run: metrics as JSON lines, and checkpoints that are there whole or not at all.

RUN/metrics.jsonl                    one line a step
RUN/checkpoints/step-000200/         model, averages and optimizer: see shards.py
RUN/averages/step-000200/            copies of the averages alone, which stay
"""

from __future__ import annotations

import fcntl
import json
import logging
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpoint import read_json
from model.training.shards import STATE, damage_of, read_into, start_writing, stored_sizes

PREFIX = "step-"
NAME = re.compile(PREFIX + r"\d+")
DAMAGED = ".damaged"
LOCK_WAIT_S = 60.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A saved step, read on demand."""

    folder: Path

    @property
    def step(self) -> int:
        return int(self.folder.name.removeprefix(PREFIX))

    def tensors(self, name: str) -> dict[str, Tensor]:
        """One of `model`, `average`, `longer_average`, `optimizer`, whole, on the CPU."""
        of, sizes = f"{name}.", self.sizes()
        found = {key.removeprefix(of): torch.zeros(size) for key, size in sizes.items() if key.startswith(of)}
        self.read_into({name: found})
        return found

    def sizes(self) -> dict[str, torch.Size]:
        """Of the whole tensors, by `model.NAME` and the like."""
        return stored_sizes(self.folder)

    def read_into(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Fill tensors, by group and name; of one that workers share, this worker's part."""
        read_into(self.folder, tensors)

    def damage(self) -> str | None:
        """What is wrong with its files, all of which are read; None where nothing is."""
        return damage_of(self.folder)

    def state(self) -> dict[str, Any]:
        return read_json(self.folder / STATE)


class RunFolder:
    """Reads and writes a run's folder."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.checkpoints_path = self.path / "checkpoints"
        self.snapshots_path = self.path / "averages"
        self.metrics_path = self.path / "metrics.jsonl"

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other processes from training in this folder; the lock goes with the process, however it ends.

        A run that was killed may leave a worker behind that takes a moment to notice, so this waits a while.

        Raises:
            ValueError: another process is training here.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        give_up_s = time.monotonic() + LOCK_WAIT_S
        with (self.path / "lock").open("w") as stream:
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > give_up_s:
                        raise ValueError(f"another process is training in {self.path}") from None
                    time.sleep(0.2)
            yield

    def checkpoints(self) -> list[Checkpoint]:
        """Checkpoints that were written to their end, oldest first."""
        return _written_in(self.checkpoints_path)

    def snapshots(self) -> list[Checkpoint]:
        """Snapshots of the averages, oldest first."""
        return _written_in(self.snapshots_path)

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint, whatever has become of its files since."""
        found = self.checkpoints()
        return found[-1] if found else None

    def newest_good(self) -> Checkpoint | None:
        """The newest checkpoint whose files are as they were written; a warning names a file that is not.

        Raises:
            ValueError: there are checkpoints, and none is good.
        """
        damage = None
        for checkpoint in reversed(self.checkpoints()):
            damage = checkpoint.damage()
            if damage is None:
                return checkpoint
            logger.warning("%s; the checkpoint before it is used", damage)
        if damage is not None:
            raise ValueError(f"{damage}; no other checkpoint is good: choose another folder to begin anew")
        return None

    def set_aside_after(self, step: int) -> None:
        """Rename later checkpoints, which are damaged, so that they are neither used nor counted."""
        for checkpoint in self.checkpoints():
            if checkpoint.step > step:
                aside = checkpoint.folder.with_name(checkpoint.folder.name + DAMAGED)
                shutil.rmtree(aside, ignore_errors=True)
                checkpoint.folder.rename(aside)

    def folder_of(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.checkpoints_path / f"{PREFIX}{step:06d}"

    def snapshot_folder_of(self, step: int) -> Path:
        """Where the snapshot of a step is."""
        return self.snapshots_path / f"{PREFIX}{step:06d}"

    def save(self, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any], keep: int) -> None:
        """Write the checkpoint of a step from this process alone, and remove all but the newest `keep`."""
        start_writing(self.folder_of(step), tensors, state).result()
        self.remove_old(keep)

    def remove_old(self, keep: int) -> None:
        """Remove all checkpoints but the newest `keep`, of which there is always one."""
        for old in self.checkpoints()[: -max(keep, 1)]:
            shutil.rmtree(old.folder)

    def metrics(self) -> list[dict[str, Any]]:
        """The metric lines so far; a last line that a kill cut short is left out."""
        if not self.metrics_path.exists():
            return []
        lines = self.metrics_path.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def truncate_metrics(self, last_step: int) -> None:
        """Drop the lines after `last_step`: a resumed run writes those steps again."""
        kept = [json.dumps(line) + "\n" for line in self.metrics() if line["step"] <= last_step]
        self.path.mkdir(parents=True, exist_ok=True)
        partial = self.metrics_path.with_name("metrics.jsonl.partial")
        partial.write_text("".join(kept))
        partial.replace(self.metrics_path)

    def log(self, line: Mapping[str, Any]) -> None:
        with self.metrics_path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")


def _written_in(folder: Path) -> list[Checkpoint]:
    found = (Checkpoint(f) for f in folder.glob(f"{PREFIX}*") if NAME.fullmatch(f.name))
    return sorted(found, key=lambda checkpoint: checkpoint.step)
