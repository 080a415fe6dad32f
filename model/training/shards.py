"""The files of a checkpoint, through torch.distributed.checkpoint: each worker writes what it holds, and any number of
workers reads it, whether they share the weights or each hold all of them.

Files are safetensors, with the place of each part in the whole tensor in their headers, and not DCP's own format, whose
index and tensors are pickles: those run code as they are read, and only PyTorch reads them.

STEP/shard-00001-model-00001-of-00001.safetensors    parts that the first worker wrote
STEP/state.json                                      progress and settings
STEP/manifest.json                                   SHA-256 of each file
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import WriteResult

from schemas.identity import file_digest

STATE, MANIFEST = "state.json", "manifest.json"
PARTIAL = ".partial"
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class HashedResult(WriteResult):
    """What a worker says of a tensor that it has written, with the SHA-256 of the file."""

    sha256: str


class ShardWriter(dcp.HuggingFaceStorageWriter):
    """Writes a folder that appears whole, or not at all: its files are synced and hashed before it is renamed."""

    def __init__(self, folder: Path, state: Mapping[str, Any]) -> None:
        self._folder, self._state = folder, state
        self._partial = folder.with_name(folder.name + PARTIAL)
        super().__init__(str(self._partial), save_distributed=True)

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        if is_coordinator:  # before any worker writes
            shutil.rmtree(self._partial, ignore_errors=True)
        super().set_up_storage_writer(is_coordinator, *args, **kwargs)

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> torch.futures.Future[list[WriteResult]]:
        written = super().write_data(plan, planner).wait()
        hashes = {name: file_digest(self._partial / name) for name in {r.storage_data.relative_path for r in written}}
        done: torch.futures.Future[list[WriteResult]] = torch.futures.Future()
        done.set_result(
            [
                HashedResult(r.index, r.size_in_bytes, r.storage_data, hashes[r.storage_data.relative_path])
                for r in written
            ]
        )
        return done

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Publish the folder, once all workers have written."""
        written = [r for of_worker in results for r in of_worker if isinstance(r, HashedResult)]
        files = {r.storage_data.relative_path: r.sha256 for r in written}
        self._partial.mkdir(parents=True, exist_ok=True)
        _write_synced(self._partial / STATE, self._state)
        _write_synced(self._partial / MANIFEST, {"sha256": files | {STATE: file_digest(self._partial / STATE)}})
        _sync_folder(self._partial)
        if self._folder.exists():
            shutil.rmtree(self._folder)
        os.rename(self._partial, self._folder)
        _sync_folder(self._folder.parent)


def start_writing(
    folder: Path,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    group: torch.distributed.ProcessGroup | int | None = None,
) -> Future[Any]:
    """Copy the tensors to the host's memory, and write them while the caller goes on.

    Args:
        tensors: by group and name; those that workers share are DTensors.
        group: of all workers, for the CPU, and used for nothing else meanwhile; None where this process is alone.
    Returns:
        What raises `CheckpointException` if a worker could not write.
    """
    _one_process_is_intended()
    flat = {f"{of}.{name}": tensor.detach() for of, part in tensors.items() for name, tensor in part.items()}
    assert not isinstance(group, int), "this process is not one of those that train"
    writing = dcp.async_save(
        flat, storage_writer=ShardWriter(folder, state), process_group=group, no_dist=group is None
    )
    assert isinstance(writing, Future)
    return writing


def stored_sizes(folder: Path) -> dict[str, torch.Size]:
    """The size of each whole tensor, by `group.name`."""
    return {
        name: of_tensor.size
        for name, of_tensor in dcp.HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata.items()
        if isinstance(of_tensor, TensorStorageMetadata)
    }


def read_into(folder: Path, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Fill tensors, by group and name, with what is stored of them; of a DTensor, this worker's part."""
    _one_process_is_intended()
    flat = {f"{of}.{name}": tensor.detach() for of, part in tensors.items() for name, tensor in part.items()}
    dcp.load(flat, storage_reader=dcp.HuggingFaceStorageReader(str(folder)), no_dist=True)


def damage_of(folder: Path) -> str | None:
    """What is wrong with the files of a checkpoint; None where they are those that were written."""
    path = folder / MANIFEST
    try:
        hashes = json.loads(path.read_text())["sha256"]
    except OSError:
        return f"{path} is missing: damaged, or written by another version of Reelmill"
    except (ValueError, KeyError, TypeError):
        return f"{path} is damaged"
    for name, sha256 in hashes.items():
        try:
            if file_digest(folder / name) != sha256:
                return f"{folder / name} is damaged"
        except OSError:
            return f"{folder / name} is missing or cannot be read"
    others = {file.name for file in folder.glob(f"*{SUFFIX}")} - hashes.keys()
    return f"{folder / min(others)} belongs to no checkpoint" if others else None


def _write_synced(path: Path, value: Mapping[str, Any]) -> None:
    with path.open("w") as file:
        json.dump(value, file, indent=2)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _one_process_is_intended() -> None:
    """DCP warns of a process that is alone, also where that is what it was told."""
    warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")
