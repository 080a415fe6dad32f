"""Checkpoints that are written while training goes on, one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any

import torch.distributed
from torch import Tensor
from torch.distributed.checkpoint import CheckpointException

from model.training.checkpoints import RunFolder
from model.training.parallel import Worker
from model.training.shards import start_writing
from model.training.stops import TrainingStopped


class CheckpointFailed(TrainingStopped):
    """A checkpoint could not be written; those before it are as they were."""


class CheckpointWriter:
    """Writes what all workers hold; as a context, it ends with what it has begun.

    All workers make it, start it and end it together.
    """

    def __init__(self, run: RunFolder, worker: Worker, keep: int) -> None:
        self._run, self._keep, self._leads = run, keep, worker.rank == 0
        # Messages of the writer and of the steps must not meet.
        self._group = torch.distributed.new_group(backend="gloo") if worker.num_workers > 1 else None
        self._writing: Future[Any] | None = None
        self._step, self._kind = 0, "checkpoint"

    def start(self, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
        """Copy the tensors and begin to write them, once the checkpoint before is written.

        Raises:
            CheckpointFailed: that one could not be written.
        """
        self._start("checkpoint", self._run.folder_of(step), step, tensors, state)

    def start_snapshot(self, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
        """The same of a snapshot. That of a step goes before its checkpoint, from which a run would go on without."""
        self._start("snapshot", self._run.snapshot_folder_of(step), step, tensors, state)

    def _start(
        self,
        kind: str,
        folder: Path,
        step: int,
        tensors: Mapping[str, Mapping[str, Tensor]],
        state: Mapping[str, Any],
    ) -> None:
        self.wait()
        self._kind, self._step = kind, step
        self._writing = start_writing(folder, tensors, state, self._group)

    def failure(self) -> CheckpointFailed | None:
        """Why the last one could not be written, once that is known; nobody waits for it."""
        if self._writing is None or not self._writing.done():
            return None
        error = self._writing.exception()
        return None if error is None else self._failed(error)

    def wait(self) -> None:
        """Wait until all is written, and remove old checkpoints.

        Raises:
            CheckpointFailed: it could not be written.
        """
        if self._writing is None:
            return
        error = self._writing.exception()
        self._writing = None
        if error is not None:
            raise self._failed(error) from error
        if self._leads:
            self._run.remove_old(self._keep)

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None:
            self.wait()
        elif self._writing is not None:
            self._writing.exception()  # what has begun is ended; the error at hand is the one to tell

    def _failed(self, error: BaseException) -> CheckpointFailed:
        if isinstance(error, CheckpointException) and error.failures:
            error = next(iter(error.failures.values()))[0]
        good = [c.folder.name for c in self._run.checkpoints() if c.step < self._step]
        kept = f"{good[-1]} is the last good one" if good else "there is none before it"
        return CheckpointFailed(
            f"{self._run.checkpoints_path}: the {self._kind} of step {self._step} cannot be written: {error}; {kept}"
        )
