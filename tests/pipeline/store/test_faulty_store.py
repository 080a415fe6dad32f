"""A data set on an S3 store that fails: what it says, and what it leaves there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest
from pyarrow import fs

from pipeline.ingest.filesystems import local_copy, resolve
from pipeline.ingest.inputs import InputError, list_inputs
from pipeline.store.dataset import LOCK, Dataset, DatasetError
from schemas.errors import JobError, Unreachable
from tests.faulty_store import BUSY, CLOSED, CUT, DELETE, GET, HEAD, LIST, POST, PUT, FaultyStore, faulty_store

FILE_BYTES = 1000
"""More than an answer 503: the client does not try again where that is longer than what it asked for."""
NUMBERS = pa.schema({"number": pa.int64()})


@pytest.fixture(scope="module")
def of_module() -> Iterator[FaultyStore]:
    with faulty_store() as store:
        store.put("in/a.mp4", bytes(FILE_BYTES))
        store.put("in/list.jsonl", b'{"uri": "a.mp4"}')
        yield store


@pytest.fixture
def store(of_module: FaultyStore) -> Iterator[FaultyStore]:
    yield of_module
    of_module.schedule.mend()


@pytest.fixture
def dataset(store: FaultyStore, request: pytest.FixtureRequest) -> Dataset:
    return Dataset(store.uri("sets/" + re.sub(r"\W", "-", request.node.name)))


def left(store: FaultyStore, dataset: Dataset) -> list[str]:
    """Names of the objects of a data set, as they lie on the server."""
    filesystem, path = resolve(dataset.location.replace(store.query, store.direct_query))
    infos = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True))
    return sorted(info.path.removeprefix(f"{path}/") for info in infos if info.is_file)


def tables(number: int, then: Callable[[], object]) -> Iterator[pa.Table]:
    """Tables that fill more than one part of an upload; the end calls `then`."""
    for first in range(number):
        yield pa.table({"number": pa.array(range(first, first + 1 << 16))}, NUMBERS)
    then()


def fail() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("what", [BUSY, CLOSED])
def test_a_store_that_does_not_answer_is_unreachable_and_no_wrong_usage(
    store: FaultyStore, dataset: Dataset, what: str
) -> None:
    store.schedule.fail(what, GET, PUT, LIST, HEAD, POST)
    for use in (Dataset.make_writable, Dataset.require, lambda d: d.writing("curate").__enter__()):
        with pytest.raises(Unreachable, match=r"s3://lake/sets/.*AWS Error") as caught:
            use(dataset)
        assert "\n" not in str(caught.value)
    for name in ("in", "in/*.mp4", "in/a.mp4", "in/list.jsonl"):
        with pytest.raises(Unreachable, match=r"input s3://lake/in.*AWS Error"):
            list_inputs([store.uri(name)])


def test_what_is_not_there_is_wrong_usage(store: FaultyStore) -> None:
    nowhere = store.uri("").replace("lake/", "nolake/").replace("creation=true", "creation=false")
    with pytest.raises(DatasetError, match="cannot be written"):
        Dataset(nowhere).make_writable()
    with pytest.raises(InputError, match="no such file or folder"):
        list_inputs([store.uri("nothing")])
    assert not issubclass(DatasetError, JobError)


def test_a_listing_that_fails_on_the_way_gives_no_shorter_list(store: FaultyStore) -> None:
    store.schedule.fail(CUT, LIST)
    with pytest.raises(Unreachable):
        list_inputs([store.uri("in")])


def test_a_file_that_breaks_off_in_the_middle_is_not_there(store: FaultyStore, dataset: Dataset) -> None:
    with pytest.raises(KeyboardInterrupt):
        dataset.write_row_groups("t/part-0.parquet", NUMBERS, tables(3, fail))
    assert left(store, dataset) == []
    assert dataset.write_row_groups("t/part-0.parquet", NUMBERS, tables(3, bool)) == 3
    assert left(store, dataset) == ["t/part-0.parquet"]


@pytest.mark.parametrize("kind", [PUT, POST])
def test_an_upload_that_fails_leaves_nothing(store: FaultyStore, dataset: Dataset, kind: str) -> None:
    """An object is sent in parts of 5 MB or more, and put together by a last request."""
    store.schedule.fail(BUSY, kind, keys="*/t/*")
    with pytest.raises(OSError, match="SLOW_DOWN"):
        dataset.write_bytes("t/large", bytes(12 << 20))
    with pytest.raises(OSError, match="SLOW_DOWN"):
        dataset.write_bytes("t/small", b"1")
    assert left(store, dataset) == []


def test_one_fault_is_passed_over(store: FaultyStore, dataset: Dataset) -> None:
    for what in (BUSY, CLOSED):
        store.schedule.fail(what, PUT, times=1)
        dataset.write_bytes(f"t/{what}", b"1")
    for what in (BUSY, CLOSED, CUT):
        store.schedule.fail(what, GET, times=1)
        with local_copy(store.uri("in/a.mp4")) as copy:
            assert copy.num_bytes == FILE_BYTES
    assert store.schedule.met() == 5


def test_a_lock_that_cannot_be_released_costs_nothing(store: FaultyStore, dataset: Dataset) -> None:
    with dataset.writing("curate"):
        store.schedule.fail(BUSY, DELETE, GET, HEAD)
    assert left(store, dataset) == [LOCK]
    store.schedule.mend()
    with dataset.writing("recaption"):
        pass
    assert left(store, dataset) == []


def test_a_lock_whose_taking_failed_is_not_held(store: FaultyStore, dataset: Dataset) -> None:
    store.schedule.fail(BUSY, GET, keys=f"*/{LOCK}")
    with pytest.raises(Unreachable, match="cannot be locked"), dataset.writing("curate"):
        pass
    store.schedule.mend()
    with dataset.writing("recaption"):
        pass
