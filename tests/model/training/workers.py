"""Processes that train together, started once for many runs."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from model.training.parallel import Worker

Task = Callable[..., Any]


@contextmanager
def pool(num_processes: int) -> Iterator[Callable[..., list[Any]]]:
    """Calls `task(worker, *arguments)` on so many workers at once: `together(num_workers, task, *arguments)`.

    What a task returns or raises is returned, by rank. A process keeps its rank, for DTensor remembers as long as the
    process lives which part of a tensor it holds.
    """
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        processes = [stack.enter_context(ProcessPoolExecutor(1, context)) for _ in range(num_processes)]

        def together(num_workers: int, task: Task, *arguments: Any) -> list[Any]:
            with tempfile.TemporaryDirectory() as folder:
                meeting = Path(folder) / "meet"
                running = [
                    processes[rank].submit(_as_worker, rank, num_workers, meeting, task, arguments)
                    for rank in range(num_workers)
                ]
                return [future.result() for future in running]

        yield together


def _as_worker(rank: int, num_workers: int, meeting: Path, task: Task, arguments: tuple[Any, ...]) -> Any:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=num_workers)
    try:
        return task(Worker(rank, num_workers), *arguments)
    except Exception as error:  # noqa: BLE001 (what a worker raises is what is asked)
        return error
    finally:
        torch.distributed.destroy_process_group()
