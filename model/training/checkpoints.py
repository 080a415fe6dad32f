"""The folder of a training run: metrics as JSON lines, and checkpoints that are there whole or not at all.

RUN/metrics.jsonl                    one line a step
RUN/checkpoints/step-000200/         model, ema and optimizer as safetensors, state.json
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from model.checkpoint import read_json, write_folder

PREFIX = "step-"
LOCK_WAIT_S = 60.0


@dataclass(frozen=True)
class Checkpoint:
    """A saved step, read on demand."""

    folder: Path

    @property
    def step(self) -> int:
        return int(self.folder.name.removeprefix(PREFIX))

    def tensors(self, name: str) -> dict[str, Tensor]:
        """One of `model`, `ema`, `optimizer`."""
        return load_file(self.folder / f"{name}.safetensors")

    def state(self) -> dict[str, Any]:
        return read_json(self.folder / "state.json")


class RunFolder:
    """Reads and writes a run's folder."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.checkpoints_path = self.path / "checkpoints"
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
        """Whole checkpoints, oldest first."""
        folders = self.checkpoints_path.glob(f"{PREFIX}*")
        return sorted((Checkpoint(f) for f in folders if not f.name.endswith(".partial")), key=lambda c: c.step)

    def newest(self) -> Checkpoint | None:
        found = self.checkpoints()
        return found[-1] if found else None

    def save(self, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any], keep: int) -> None:
        """Write the checkpoint of a step and remove all but the newest `keep`."""
        write_folder(self.checkpoints_path / f"{PREFIX}{step:06d}", tensors, state)
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
