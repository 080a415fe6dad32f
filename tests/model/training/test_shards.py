"""A checkpoint's files: whole or not there, and read only if they are those that were written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint import CheckpointException

from model.training import shards
from model.training.shards import MANIFEST, damage_of, read_into, start_writing, stored_sizes
from schemas.identity import file_digest

TENSORS = {
    "model": {"w": torch.arange(6.0).view(2, 3), "columns": torch.arange(16.0).view(4, 4).T},
    "optimizer": {"w.step": torch.tensor(3.0)},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoints" / "step-000003"
    start_writing(path, TENSORS, {"step": 3}).result()
    return path


def test_tensors_come_back_in_part_or_whole(folder):
    found = {"model": {"w": torch.zeros(2, 3), "columns": torch.zeros(4, 4)}, "optimizer": {"w.step": torch.zeros(())}}
    read_into(folder, found)
    assert all(torch.equal(found[of][name], value) for of, part in TENSORS.items() for name, value in part.items())
    sizes = {"model.w": (2, 3), "model.columns": (4, 4), "optimizer.w.step": ()}
    assert {name: tuple(size) for name, size in stored_sizes(folder).items()} == sizes


def test_what_is_written_is_what_the_tensors_were_when_writing_began(tmp_path):
    value = torch.ones(1000, 1000)
    writing = start_writing(tmp_path / "step-1", {"model": {"w": value}}, {})
    value.zero_()
    writing.result()
    found = {"model": {"w": torch.zeros(1000, 1000)}}
    read_into(tmp_path / "step-1", found)
    assert found["model"]["w"].all()


def test_other_programs_read_the_files_and_the_manifest_has_their_hashes(folder):
    (file,) = folder.glob("*.safetensors")
    assert torch.equal(load_file(file)["model.w"], TENSORS["model"]["w"])
    hashes = json.loads((folder / MANIFEST).read_text())["sha256"]
    assert hashes == {file.name: file_digest(file), "state.json": file_digest(folder / "state.json")}
    assert [path.name for path in folder.parent.iterdir()] == ["step-000003"]


def test_files_are_synced_before_the_folder_has_its_name(tmp_path, monkeypatch):
    done: list[str] = []
    sync, rename = shards.os.fsync, shards.os.rename
    monkeypatch.setattr(shards.os, "fsync", lambda file: (done.append("sync"), sync(file)))
    monkeypatch.setattr(shards.os, "rename", lambda *paths: (done.append("rename"), rename(*paths)))
    start_writing(tmp_path / "step-1", TENSORS, {}).result()
    assert done == ["sync"] * 4 + ["rename", "sync"]  # tensors, state, manifest, folder; the folder above


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_any_damage_is_found_and_named(folder, tmp_path):
    assert damage_of(folder) is None
    (shard,) = folder.glob("*.safetensors")
    for file, harm, message in (
        (shard, flip_a_bit, "is damaged"),
        (shard, lambda path: path.write_bytes(path.read_bytes()[:-1]), "is damaged"),
        (shard, Path.unlink, "is missing or cannot be read"),
        (folder / "state.json", flip_a_bit, "is damaged"),
        (folder / MANIFEST, lambda path: path.write_text("{"), "is damaged"),
        (folder / MANIFEST, Path.unlink, "is missing: damaged, or written by another version of Reelmill"),
    ):
        copy = Path(shutil.copytree(folder, tmp_path / "copy" / "step-000003"))
        harm(copy / file.name)
        assert damage_of(copy) == f"{copy / file.name} {message}"
        shutil.rmtree(copy)
    shutil.copy(shard, folder / "other.safetensors")
    assert damage_of(folder) == f"{folder / 'other.safetensors'} belongs to no checkpoint"


def test_what_an_attempt_that_was_killed_has_left_is_not_mixed_in(tmp_path):
    partial = tmp_path / "step-1.partial"
    partial.mkdir()
    (partial / "shard-00002-model-00001-of-00001.safetensors").write_bytes(b"left")
    start_writing(tmp_path / "step-1", TENSORS, {}).result()
    assert damage_of(tmp_path / "step-1") is None
    assert not partial.exists()


def test_a_checkpoint_is_replaced_by_a_new_one_of_its_step(folder):
    start_writing(folder, {"model": {"w": torch.ones(1)}}, {"step": 3}).result()
    assert damage_of(folder) is None
    assert stored_sizes(folder).keys() == {"model.w"}


def test_a_write_that_fails_publishes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_write_synced", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(CheckpointException, match="No space left"):
        start_writing(tmp_path / "step-1", TENSORS, {}).result()
    assert [path.name for path in tmp_path.iterdir()] == ["step-1.partial"]
