"""Two jobs on one data set: the second is refused with the first's name, unless the first is dead."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from pyarrow import fs

from pipeline.ingest.filesystems import resolve
from pipeline.store import lock
from pipeline.store.dataset import Dataset
from pipeline.store.lock import STALE_S, Holder, Locked
from pipeline.store.lock_objects import PlainObject, Stored

HOLD = """
import sys, time
from pipeline.store.dataset import Dataset
with Dataset(sys.argv[1]).writing("curate"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["disk", "store"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    """A data set on a local disk, and one on what pyarrow takes for an object store."""
    return Dataset(str(tmp_path / "ds") if request.param == "disk" else f"memory://lake-{uuid4().hex}/ds")


@contextmanager
def another_process(location: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until it is killed."""
    with subprocess.Popen([sys.executable, "-c", HOLD, location], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def holder_at(filesystem: fs.FileSystem, path: str) -> Holder | None:
    found = PlainObject(filesystem, path).read()
    return found and Holder.decode(found.data)


def _files(dataset: Dataset) -> list[str]:
    filesystem, path = resolve(dataset.location)
    return [info.base_name for info in filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))]


def test_one_writer_at_a_time(dataset: Dataset) -> None:
    with dataset.writing("curate"):
        assert _files(dataset) == [".lock"]
        for _ in range(2):  # being refused changes nothing
            with pytest.raises(Locked, match=r"data set .*ds is being written by curate \(process \d+ on ") as caught:
                dataset.writing("rejudge").__enter__()
            assert "\n" not in str(caught.value)
    assert _files(dataset) == []
    with dataset.writing("rejudge"):
        pass


def test_a_job_that_fails_releases_the_lock(dataset: Dataset) -> None:
    with pytest.raises(KeyboardInterrupt), dataset.writing("curate"):
        raise KeyboardInterrupt
    with dataset.writing("curate"):
        pass


def test_a_live_process_is_respected_and_a_killed_one_is_not(tmp_path: Path) -> None:
    dataset = Dataset(str(tmp_path / "ds"))
    with another_process(dataset.location) as process:
        with pytest.raises(Locked, match=f"process {process.pid} on "), dataset.writing("curate"):
            pass
        process.kill()
        process.wait()
        assert _files(dataset) == [".lock"]
        with dataset.writing("curate"):
            assert str(process.pid) not in (tmp_path / "ds" / ".lock").read_text()
    assert _files(dataset) == []


def test_what_is_left_of_a_lock_does_not_lock(tmp_path: Path) -> None:
    for content in ("", "{", '{"job": "curate"}'):
        (tmp_path / ".lock").write_text(content)
        with Dataset(str(tmp_path)).writing("curate"):
            pass


def test_on_a_store_a_lock_expires_when_it_is_old_or_its_holder_has_ended() -> None:
    filesystem, root = resolve(f"memory://lake-{uuid4().hex}/ds")
    mine = Holder.me("curate")
    elsewhere = replace(mine, machine="another", host="another")
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    cases = [
        (mine, True),
        (replace(mine, started="1"), False),  # another process has got its number
        (replace(mine, pid=ended.pid), False),
        (replace(elsewhere, since_s=time.time() - STALE_S / 2), True),
        (replace(elsewhere, since_s=time.time() - STALE_S - 1), False),
    ]
    for holder, holds in cases:
        PlainObject(filesystem, f"{root}/.lock").put(holder.encode(), None)
        if holds:
            with pytest.raises(Locked), lock.locked(filesystem, f"{root}/.lock", "curate"):
                pass
        else:
            with lock.locked(filesystem, f"{root}/.lock", "curate"):
                pass


def test_on_a_store_the_time_stamp_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "RENEW_S", 0.01)
    filesystem, path = resolve(f"memory://lake-{uuid4().hex}/.lock")
    with lock.locked(filesystem, path, "curate"):
        first = holder_at(filesystem, path)
        assert first is not None
        deadline_s = time.monotonic() + 10
        while (now := holder_at(filesystem, path)) in (None, first) and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert now is not None
        assert now.since_s > first.since_s
        assert now.token == first.token


def test_on_a_store_the_last_to_write_holds_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two see no lock; both write; the first finds the other's name and gives way, leaving that in place."""
    filesystem, path = resolve(f"memory://lake-{uuid4().hex}/.lock")
    rival = Holder.me("rejudge")
    put = PlainObject.put

    def put_both(stored: PlainObject, data: bytes, over: Stored | None) -> Stored | None:
        put(stored, data, over)
        put(stored, rival.encode(), over)
        found = stored.read()
        return found if found and found.data == data else None

    monkeypatch.setattr(PlainObject, "put", put_both)
    with pytest.raises(Locked, match="rejudge"), lock.locked(filesystem, path, "curate"):
        pass
    assert holder_at(filesystem, path) == rival
