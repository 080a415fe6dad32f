"""Copies of remote files: made once for many readers, bounded, never stale, and gone when their process is."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from pyarrow import fs

from pipeline.ingest import download_cache, filesystems
from pipeline.ingest.download_cache import Copies
from pipeline.ingest.filesystems import local_copy

KEEP = """
import sys, time
from pipeline.ingest.download_cache import COPIES
with COPIES.holding("key", ".mp4", lambda file: file.write(b"bytes")) as path:
    print(path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """The paths that are read from file systems; copies go to a folder of the test's own."""
    paths = []
    read = filesystems._copy

    def noting(filesystem: Any, path: str, target: Any) -> str:
        paths.append(path)
        return read(filesystem, path, target)

    monkeypatch.setattr(filesystems, "_copy", noting)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = Copies()
    monkeypatch.setattr(filesystems, "COPIES", kept)
    yield paths
    kept.close()


def put(data: bytes, uri: str = "") -> str:
    """Store an object in memory; where it is."""
    uri = uri or f"memory://{uuid4().hex}/video.mp4"
    with fsspec.open(uri, "wb") as file:
        file.write(data)
    return uri


def bytes_of(uri: str, **options: Any) -> bytes:
    with local_copy(uri, **options) as local:
        assert local.path.endswith(".mp4")
        assert local.num_bytes == os.path.getsize(local.path)
        return Path(local.path).read_bytes()


def test_a_remote_file_is_copied_once_for_all_its_clips(reads: list[str], tmp_path: Path) -> None:
    first, second = put(b"first"), put(b"second")
    for _ in range(3):
        assert bytes_of(first, hashed=False) == b"first"
        assert bytes_of(second, hashed=False) == b"second"
    assert len(reads) == 2
    filesystems.COPIES.close()
    assert list(tmp_path.iterdir()) == []
    assert bytes_of(first, hashed=False) == b"first"
    assert len(reads) == 3


def test_a_changed_object_is_copied_again(
    reads: list[str], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changed in its size; or in its time, on a store that tells it, as this folder does."""
    uri = put(b"before")
    assert bytes_of(uri, hashed=False) == b"before"
    put(b"after it", uri)
    assert bytes_of(uri, hashed=False) == b"after it"
    folder = tmp_path_factory.mktemp("store")
    store = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
    monkeypatch.setattr(filesystems, "resolve", lambda _: (store, "video.mp4"))
    for time_s, data in enumerate((b"before", b"after!")):
        (folder / "video.mp4").write_bytes(data)
        os.utime(folder / "video.mp4", (time_s, time_s))
        assert bytes_of("store://video.mp4", hashed=False) == data
    assert len(reads) == 4


def test_to_be_hashed_it_is_read_anew_and_not_kept(reads: list[str], tmp_path: Path) -> None:
    uri = put(b"bytes")
    for _ in range(2):
        with local_copy(uri) as local:
            assert local.sha256 == hashlib.sha256(b"bytes").hexdigest()
        assert not os.path.exists(local.path)
    assert len(reads) == 2
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_is_gone_leaves_nothing_behind(reads: list[str], tmp_path: Path) -> None:
    with pytest.raises(OSError), local_copy(f"memory://{uuid4().hex}/gone.mp4", hashed=False):  # noqa: PT011
        pass
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".mp4"]


def hold(kept: Copies, key: str, num_bytes: int = 10) -> str:
    with kept.holding(key, "", lambda file: file.write(bytes(num_bytes))) as path:
        return path


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Copies]:
    """Room for three copies, or a hundred bytes."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = Copies(max_files=3, max_bytes=100)
    yield made
    made.close()


def test_the_copy_used_least_recently_goes_first(kept: Copies) -> None:
    paths = {key: hold(kept, key) for key in "abc"}
    assert hold(kept, "a") == paths["a"]
    hold(kept, "d")
    assert [key for key, path in paths.items() if os.path.exists(path)] == ["a", "c"]


def test_bytes_are_bounded_but_the_newest_stays(kept: Copies) -> None:
    paths = {key: hold(kept, key, num_bytes) for key, num_bytes in {"a": 40, "b": 60, "c": 50}.items()}
    assert [key for key, path in paths.items() if os.path.exists(path)] == ["c"]
    large = hold(kept, "d", 500)
    assert os.path.exists(large)
    assert not os.path.exists(paths["c"])
    assert hold(kept, "d") == large


def test_a_copy_that_is_read_is_not_deleted(kept: Copies) -> None:
    with kept.holding("a", "", lambda file: file.write(b"a")) as path:
        for key in "bcdef":
            hold(kept, key)
        assert os.path.exists(path)
    hold(kept, "g")
    assert not os.path.exists(path)


@pytest.mark.parametrize("killed", [False, True])
def test_copies_go_with_their_process_or_with_the_next(killed: bool, tmp_path: Path, kept: Copies) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", KEEP], env=environment, text=True, **pipes) as other:
        assert other.stdout
        path = Path(other.stdout.readline().strip())
        hold(kept, "mine")
        assert path.exists(), "another process lives and keeps its copies"
        if killed:
            other.send_signal(signal.SIGKILL)
    assert path.parent.exists() == killed
    later = Copies()
    hold(later, "later")
    assert not path.parent.exists()
    assert os.path.exists(hold(kept, "mine"))
    later.close()
    assert download_cache.PREFIX in kept._folder
