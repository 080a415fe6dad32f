"""The lock on a store that puts on conditions: moto's S3 server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest
from pyarrow import fs

from pipeline.ingest.filesystems import resolve
from pipeline.store import lock, lock_objects
from pipeline.store.lock import STALE_S, Holder, Locked
from pipeline.store.lock_objects import ConditionalObject, LockObject, PlainObject, Stored, lock_object
from schemas.errors import is_outage
from tests.faulty_store import BUSY, GET, PUT, FaultyStore
from tests.faulty_store import faulty_store as serve_faulty_store

TOGETHER, ROUNDS = 6, 5


@pytest.fixture(scope="module")
def store() -> Iterator[FaultyStore]:
    with serve_faulty_store() as served:
        yield served


@pytest.fixture
def place(store: FaultyStore) -> Iterator[tuple[fs.FileSystem, str]]:
    store.schedule.mend()
    yield resolve(store.uri(f"{uuid4().hex}/.lock"))
    store.schedule.mend()


@pytest.fixture
def stored(place: tuple[fs.FileSystem, str]) -> LockObject:
    return lock_object(*place)


def test_s3_is_written_on_conditions_and_other_stores_are_not(stored: LockObject) -> None:
    assert isinstance(stored, ConditionalObject)
    assert isinstance(lock_object(*resolve("memory://lake/.lock")), PlainObject)


def test_an_object_is_put_over_what_was_read_and_over_nothing_else(stored: LockObject) -> None:
    assert stored.read() is None
    first = stored.put(b"one", None)
    assert first == stored.read()
    assert stored.put(b"two", None) is None
    assert stored.put(b"two", Stored(b"other", '"0"')) is None
    second = stored.put(b"two", first)
    assert second is not None
    assert stored.put(b"three", first) is None
    assert stored.read() == second
    stored.delete()
    assert stored.read() is None
    assert stored.put(b"three", second) is None


def test_a_put_whose_answer_was_lost_has_been_made(stored: LockObject) -> None:
    assert stored.put(b"one", None) == stored.put(b"one", None) == stored.read()


def test_on_a_store_that_knows_no_conditions_the_last_to_write_wins(
    stored: ConditionalObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = ConditionalObject._put

    def refuses(self: ConditionalObject, data: bytes, condition: dict[str, str]) -> None:
        if condition:
            answer = {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}
            raise self.client.exceptions.ClientError(answer, "PutObject")
        put(self, data, condition)

    monkeypatch.setattr(ConditionalObject, "_put", refuses)
    assert stored.put(b"one", None) == stored.read()
    last = stored.put(b"two", None)
    assert last is not None
    assert last == stored.read()
    assert last.data == b"two"


def test_of_jobs_that_start_together_one_gets_the_lock(place: tuple[fs.FileSystem, str]) -> None:
    filesystem, path = place

    def work(number: int) -> bool:
        ready.wait()
        try:
            with lock.locked(filesystem, path, f"job {number}"):
                tried.wait()
        except Locked:
            tried.wait()
            return False
        return True

    for _ in range(ROUNDS):
        ready, tried = threading.Barrier(TOGETHER), threading.Barrier(TOGETHER)
        with ThreadPoolExecutor(TOGETHER) as pool:
            assert sum(pool.map(work, range(TOGETHER))) == 1
        assert lock_object(filesystem, path).read() is None


def test_an_expired_lock_is_taken_by_one(place: tuple[fs.FileSystem, str], monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem, path = place
    stored = lock_object(filesystem, path)
    old = replace(Holder.me("curate"), machine="another", host="another", since_s=time.time() - STALE_S - 1)
    rival = replace(Holder.me("rejudge"), machine="another")
    assert stored.put(old.encode(), None)
    with lock.locked(filesystem, path, "curate"), pytest.raises(Locked, match="curate"):
        lock.locked(filesystem, path, "encode").__enter__()
    found = stored.put(old.encode(), None)
    read = ConditionalObject.read

    def read_before_the_rival(self: ConditionalObject) -> Stored | None:
        monkeypatch.setattr(ConditionalObject, "read", read)
        assert self.put(rival.encode(), found)
        return found

    monkeypatch.setattr(ConditionalObject, "read", read_before_the_rival)
    with pytest.raises(Locked, match="rejudge"):
        lock.locked(filesystem, path, "curate").__enter__()
    assert stored.read().data == rival.encode()


def test_a_lock_that_was_taken_over_is_told_and_left_alone(
    place: tuple[fs.FileSystem, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lock, "RENEW_S", 0.01)
    filesystem, path = place
    stored = lock_object(filesystem, path)
    rival = replace(Holder.me("rejudge"), machine="another")
    with lock.locked(filesystem, path, "curate"):
        stored.client.put_object(Bucket=stored.bucket, Key=stored.key, Body=rival.encode())
        deadline_s = time.monotonic() + 20
        while not caplog.messages and time.monotonic() < deadline_s:
            time.sleep(0.01)
    assert caplog.messages == [f"{path}: not renewed in time, and taken by {rival}"]
    assert stored.read().data == rival.encode()


def test_a_lock_that_somebody_deleted_is_put_again(
    place: tuple[fs.FileSystem, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "RENEW_S", 0.01)
    filesystem, path = place
    stored = lock_object(filesystem, path)
    with lock.locked(filesystem, path, "curate"):
        stored.delete()
        deadline_s = time.monotonic() + 20
        while stored.read() is None and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert Holder.decode(stored.read().data).job == "curate"
    assert stored.read() is None


@pytest.mark.parametrize("kind", [GET, PUT])
def test_a_store_that_is_busy_is_an_outage(
    store: FaultyStore, place: tuple[fs.FileSystem, str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(lock_objects.TRIES_VARIABLE, "2")
    store.schedule.fail(BUSY, kind, times=1)
    with lock.locked(*place, "curate"):  # a second try is answered
        pass
    store.schedule.fail(BUSY, kind)
    with pytest.raises(OSError, match="503") as caught:
        lock.locked(*place, "curate").__enter__()
    assert is_outage(caught.value)
    store.schedule.mend()
    assert lock_object(*place).read() is None


def test_a_lock_whose_writer_does_not_learn_that_it_has_it_is_let_go(
    place: tuple[fs.FileSystem, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put = ConditionalObject.put

    def lost(self: ConditionalObject, data: bytes, over: Stored | None) -> Stored | None:
        assert put(self, data, over)
        raise ConnectionError("the answer was lost")

    monkeypatch.setattr(ConditionalObject, "put", lost)
    with pytest.raises(ConnectionError):
        lock.locked(*place, "curate").__enter__()
    assert lock_object(*place).read() is None
