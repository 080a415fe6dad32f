"""Reaching a Ray cluster or starting one, reporting to an actor, and what all graphs share.

Each graph streams. It begins with the pieces of a plan, which its tasks read. Rows between operators carry JSON text or
pickled rows and, where models need them, a few reduced frames; never a file's bytes. What comes out is written by the
driver as it comes, in whole parts, and a run that is killed is continued from there.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pyarrow as pa
import ray
import ray.data
import ray.exceptions
from ray._private import worker as ray_worker
from ray.actor import ActorHandle
from ray.util.debug import disable_log_once_globally

from pipeline.store.plans import Plan
from pipeline.store.run_statistics import RunStatistics
from schemas.errors import JobError

# Logical CPUs. One of each operator must fit on two CPUs at once, or stages wait for each other without end: 0.1 + 0.5
# + 2 x 0.25 = 1.1. Less for decoding would start more workers than two CPUs can serve. On a larger machine
# a decoding task has a CPU to itself, as it uses one.
SMALL_DECODE_CPU, SMALL_CPU, READER_CPU = 0.5, 0.25, 0.1
LARGE_CLUSTER_CPUS = 4
BLOCK_BYTES = 1
"""Each row is a block of its own, so that it goes on, and is written, as soon as it is there, and so that a worker that
dies takes one video's work with it. Rows are large beside what Ray keeps of a block."""
MIN_KEPT_WORKERS = 4
"""Idle processes that a cluster of our own keeps. By default as many as there are CPUs: on two, each graph would start
its tasks' processes anew, at three seconds of CPU each."""
NUM_TRIES = 2
"""Tries to reach or start Ray: on a machine under load its processes can take longer than it waits for them."""


def connect() -> None:
    """Join the cluster that RAY_ADDRESS names, as a Ray job sets it; without, start one of this machine's own.

    A cluster that happens to run on this machine is not used.

    Raises:
        JobError: both tries failed.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    disable_log_once_globally()
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # the traceback of a task that fails: it is raised here
    _own_remarks_to_stderr()
    with _native_remarks_hidden():
        _initialize()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = BLOCK_BYTES


def _initialize() -> None:
    address, failure = os.environ.get("RAY_ADDRESS"), ""
    for _ in range(NUM_TRIES):
        try:
            if address:
                ray.init(log_to_driver=False, logging_level=logging.ERROR)
            else:
                ray.init(
                    "local",
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _system_config={"num_workers_soft_limit": max(MIN_KEPT_WORKERS, os.cpu_count() or 1)},
                )
            return
        except Exception as error:  # noqa: BLE001 - Ray raises bare exceptions when its processes do not come up
            failure = _reason(error)
            ray.shutdown()  # ends what the failed try has started
    what = f"RAY_ADDRESS={address}: the Ray cluster cannot be reached" if address else "Ray cannot be started here"
    raise JobError(f"{what}, tried {NUM_TRIES} times: {failure}")


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ray.exceptions.AuthenticationError):
        return "it asks for a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN where ~/.ray/auth_token is another"
    return " ".join(str(error).split()) or type(error).__name__


def _own_remarks_to_stderr() -> None:
    """Let Ray say on standard error what it says by itself, as that no node fits a task or that it starts many workers.

    It prints that on standard output at any time, where a command's result is, which may be JSON; it has no option.
    """
    printing = ray_worker.print_to_stdstream
    if getattr(printing, "func", None) is not _print_to_stderr:
        ray_worker.print_to_stdstream = partial(_print_to_stderr, printing)


def _print_to_stderr(printing: Callable[..., None], lines: dict[str, Any], *args: Any, **kwargs: Any) -> None:
    printing({**lines, "is_err": True}, *args, **kwargs)


@contextmanager
def _native_remarks_hidden() -> Iterator[None]:
    """Hide the remarks that Ray's native code prints; failures still arrive as exceptions.

    Only an environment variable turns them off, and Ray prints a remark about that variable while it starts.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    saved = os.dup(2)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(silent)


def decode_cpus() -> float:
    """Logical CPUs of a task that decodes. A cluster that has no CPU yet is one that grows with its work."""
    return SMALL_DECODE_CPU if 0 < ray.cluster_resources().get("CPU", 0) < LARGE_CLUSTER_CPUS else 1.0


@dataclass(frozen=True)
class ActorReporter:
    """Reports to the actor that holds the run statistics and waits for it, so that the totals are complete once a
    graph has ended."""

    actor: ActorHandle

    def __call__(self, stage: str, rows: int, seconds: float, num_bytes: int, counts: dict[str, int]) -> None:
        ray.get(self.actor.add.remote(stage, rows, seconds, num_bytes, counts))


def start_statistics() -> ActorHandle:
    return cast(ActorHandle, ray.remote(num_cpus=0)(RunStatistics).remote())


def read_statistics(statistics: ActorHandle) -> dict[str, dict[str, Any]]:
    return cast(dict[str, dict[str, Any]], ray.get(statistics.totals.remote()))


@dataclass(frozen=True)
class PlanReading:
    """From the number of a piece to a row for each of its videos."""

    plan: Plan

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for of_video in self.plan.videos(row["piece"]):
            yield {VIDEO_ROWS: pickle.dumps(of_video)}


VIDEO_ROWS, OUTPUT = "of_video", "output"
"""Columns between operators, of pickled values: the rows of one video of a plan, and what a graph gives."""


def planned(plan: Plan, memory_bytes: int) -> ray.data.Dataset:
    """A plan as the start of a graph, a row a video, so that each is opened once.

    Args:
        memory_bytes: what its tasks ask for, as `memory.fitted` says of `memory.READING`.

    Its pieces are blocks made here: a repartition would start tasks that ask for a CPU each, and wait without end on
    two CPUs of which actors hold more than one.
    """
    pieces = [{"piece": number} for number in range(plan.num_pieces)]
    graph = ray.data.from_items(pieces, override_num_blocks=max(1, len(pieces)))
    return graph.flat_map(PlanReading(plan), num_cpus=READER_CPU, memory=memory_bytes)


def video_rows(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the plan of one video."""
    return pickle.loads(row[VIDEO_ROWS])


def output(value: object) -> dict[str, Any]:
    """A row that a graph gives."""
    return {OUTPUT: pickle.dumps(value)}


def output_batch(value: object) -> pa.Table:
    """The same as a batch of one row."""
    return pa.table({OUTPUT: pa.array([pickle.dumps(value)], pa.binary())})


def drain(graph: ray.data.Dataset, take: Callable[[Any], None]) -> None:
    """Run a graph to its end; `take` is given each value as it comes."""
    for batch in graph.iter_batches(batch_size=None, batch_format="pyarrow"):
        for value in cast(pa.Table, batch)[OUTPUT].to_pylist():
            take(pickle.loads(value))
