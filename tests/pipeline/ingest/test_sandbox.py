"""Calls in a process of their own: results, errors, crashes, hangs, memory, and what becomes of the child."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.ingest.failures import MediaError
from pipeline.ingest.sandbox import (
    CRASHED,
    HUNG,
    OUT_OF_MEMORY,
    ChildDied,
    IsolatedWorker,
    Limits,
    isolated,
    worker,
)
from tests.pipeline.ingest import isolated_calls as calls

LIMITS = Limits(stall_s=60.0, memory_bytes=400 << 20)
STALL_S = 1.0


@pytest.fixture(scope="module")
def worker_() -> Iterator[IsolatedWorker]:
    with IsolatedWorker(LIMITS) as made:
        yield made


def test_results_come_back_from_one_child(worker_: IsolatedWorker) -> None:
    first = worker_.call(calls.pid)
    assert first != os.getpid()
    assert worker_.call(calls.pid) == first
    frames = worker_.call(calls.picture, 720, value=9)
    np.testing.assert_array_equal(frames, calls.picture(720, 9))
    frames[0] = 0  # as one's own array


@pytest.mark.parametrize(
    ("function", "arguments", "reason", "detail"),
    [
        (calls.die, (signal.SIGSEGV,), CRASHED, "SIGSEGV"),
        (os.abort, (), CRASHED, "SIGABRT"),
        (calls.read_null, (), CRASHED, "SIGSEGV"),
        (calls.leave, (), CRASHED, "status 7"),
        (calls.die, (signal.SIGKILL,), OUT_OF_MEMORY, "SIGKILL"),
        (calls.eat, (2000,), OUT_OF_MEMORY, "limit 400 MiB"),
        (calls.refuse, ("memory",), OUT_OF_MEMORY, r"2\^60"),
    ],
)
def test_a_death_is_a_reason_and_the_next_call_works(
    worker_: IsolatedWorker, function, arguments: tuple, reason: str, detail: str
) -> None:
    before = worker_.call(calls.pid)
    with pytest.raises(ChildDied, match=detail) as caught:
        worker_.call(function, *arguments)
    assert caught.value.reason == reason
    assert not _runs(before)
    assert worker_.call(calls.pid) not in (before, os.getpid())


def test_without_progress_a_call_is_given_up_and_heartbeats_are_progress() -> None:
    with IsolatedWorker(Limits(stall_s=STALL_S)) as impatient:
        child = impatient.call(calls.pid)
        assert impatient.call(calls.work_slowly, 2 * STALL_S) == "done"
        with pytest.raises(ChildDied, match="no progress for 1 s") as caught:
            impatient.call(calls.stall)
        assert caught.value.reason == HUNG
        assert not _runs(child)


def test_imports_are_progress(tmp_path: Path) -> None:
    for i in range(8):
        (tmp_path / f"slow_{i}.py").write_text(f"import time; time.sleep({2 * STALL_S / 8})")
    with IsolatedWorker(Limits(stall_s=STALL_S)) as impatient:
        assert impatient.call(calls.import_slowly, str(tmp_path)) == "done"


def test_heartbeats_do_not_keep_a_call_alive_for_ever() -> None:
    with IsolatedWorker(Limits(stall_s=30, call_s=0.3)) as hurried:
        with pytest.raises(ChildDied, match=r"not done after 0\.3 s") as caught:
            hurried.call(calls.work_slowly, 30)
        assert caught.value.reason == HUNG


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        ("media", MediaError, "no_frames: nothing decodes"),
        ("value", ValueError, "a fault of ours"),
        ("wordy", RuntimeError, "Wordy: ab"),
    ],
)
def test_an_exception_is_the_callers(worker_: IsolatedWorker, kind: str, error: type, text: str) -> None:
    child = worker_.call(calls.pid)
    with pytest.raises(error, match=text) as caught:
        worker_.call(calls.refuse, kind)
    assert "in refuse" in "".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert worker_.call(calls.pid) == child


def test_a_file_is_not_blamed_for_what_an_earlier_one_broke() -> None:
    with IsolatedWorker(LIMITS) as fresh:
        first = fresh.call(calls.crash_when_used_before)
        assert fresh.call(calls.crash_when_used_before) != first
        assert fresh.num_starts == 2


def test_a_child_that_hoards_memory_is_replaced() -> None:
    with IsolatedWorker(LIMITS) as fresh:
        first = fresh.call(calls.hoard, 1)
        assert fresh.call(calls.hoard, 250) == first
        assert fresh.call(calls.hoard, 1) != first


def test_a_child_that_died_between_calls_is_replaced(worker_: IsolatedWorker) -> None:
    child = worker_.call(calls.pid)
    os.kill(child, signal.SIGKILL)
    while _runs(child):
        time.sleep(0.01)
    assert worker_.call(calls.pid) != child


def test_a_child_takes_no_signals_over_and_is_silent(
    worker_: IsolatedWorker, capfd: pytest.CaptureFixture[str]
) -> None:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGIO})
    ignored = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with IsolatedWorker(LIMITS) as fresh:
            assert fresh.call(calls.signal_state) == (set(), True)
            fresh.call(calls.chatter)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGTERM, ignored)
    assert capfd.readouterr() == ("", "")


def test_a_child_ends_with_its_parent_even_while_it_hangs() -> None:
    """The parent is killed outright while its child holds the interpreter's lock and answers nobody."""
    code = (
        "import threading, time\n"
        "from pipeline.ingest.sandbox import IsolatedWorker\n"
        "from tests.pipeline.ingest import isolated_calls as functions\n"
        "worker = IsolatedWorker()\n"
        "print(worker.call(functions.pid), flush=True)\n"
        "worker.call(functions.hold_the_lock)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        time.sleep(0.3)
        assert _runs(child)
        parent.kill()
    deadline_s = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not _runs(child)


def test_a_worker_travels_without_its_child(worker_: IsolatedWorker) -> None:
    child = worker_.call(calls.pid)
    copy = pickle.loads(pickle.dumps(worker_))
    assert copy.limits == LIMITS
    assert copy.num_starts == 0
    assert worker_.call(calls.pid) == child


def test_each_process_keeps_one_worker_for_each_limits() -> None:
    first = isolated(LIMITS, calls.pid)
    assert isolated(Limits(stall_s=60.0, memory_bytes=400 << 20), calls.pid) == first
    worker._worker_of_this_process(LIMITS).close()


def test_a_child_that_cannot_start_is_no_fault_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with IsolatedWorker(LIMITS) as lost, pytest.raises(RuntimeError, match="no isolated process"):
        lost.call(calls.pid)


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_items_come_as_they_are_made_and_wait_for_who_takes_them(worker_: IsolatedWorker) -> None:
    """They are larger than what a socket holds."""
    found = []
    for number, picture in enumerate(worker_.stream(calls.pictures, 5, height=720)):
        np.testing.assert_array_equal(picture, calls.picture(720, number))
        found.append(number)
        time.sleep(0.05)
    assert found == [0, 1, 2, 3, 4]
    assert worker_.call(calls.pid) == worker_.call(calls.pid)


def test_an_error_after_some_items_is_raised_where_it_came(worker_: IsolatedWorker) -> None:
    found = []
    with pytest.raises(ValueError, match="no more"):
        found.extend(worker_.stream(calls.pictures, 2, 8, "raises"))
    assert len(found) == 2
    assert list(worker_.stream(calls.pictures, 0, 8)) == []


@pytest.mark.parametrize(("then", "reason"), [("dies", CRASHED), ("hangs", HUNG)])
def test_a_child_that_dies_between_items_is_not_tried_again(then: str, reason: str) -> None:
    with IsolatedWorker(Limits(stall_s=STALL_S)) as mine:
        mine.call(calls.pid)
        found = []
        with pytest.raises(ChildDied) as caught:
            found.extend(mine.stream(calls.pictures, 2, 8, then))
        assert (len(found), caught.value.reason, mine.num_starts) == (2, reason, 1)
        assert mine.call(calls.pid)


def test_a_child_that_dies_before_the_first_item_is_tried_again_if_it_had_served() -> None:
    with IsolatedWorker(LIMITS) as mine:
        mine.call(calls.pid)
        with pytest.raises(ChildDied):
            list(mine.stream(calls.pictures, 0, 8, "dies"))
        assert mine.num_starts == 2


def test_items_that_nobody_takes_end_the_child() -> None:
    with IsolatedWorker(LIMITS) as mine:
        before = mine.call(calls.pid)
        items = mine.stream(calls.pictures, 100, 720)
        next(items)
        items.close()
        assert mine.call(calls.pid) != before


def test_waiting_for_who_takes_the_items_is_no_stall() -> None:
    with IsolatedWorker(Limits(stall_s=STALL_S)) as mine:
        for _ in mine.stream(calls.pictures, 3, 720):
            time.sleep(1.5 * STALL_S)
