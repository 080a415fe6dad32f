"""Two processes that train together give the numbers of one."""

import multiprocessing
from pathlib import Path

import numpy as np
import torch

from model.training.checkpoints import RunFolder
from model.training.parallel import Worker
from schemas.recipe.train import RoutingConfig
from tests.model.training.drawn import changed, run_fit

MASKED = changed(token_drop=0.3, routing=RoutingConfig(0.5, 0, 0))
"""All that is random about a sample."""


def _fit_as_worker(rank: int, run_dir: Path, rendezvous: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    run_fit(run_dir, MASKED, worker=Worker(rank, 2))
    torch.distributed.destroy_process_group()


def test_two_workers_give_the_numbers_of_one(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_fit_as_worker, args=(rank, tmp_path / "two", tmp_path / "meet")) for rank in (0, 1)
    ]
    for worker in workers:
        worker.start()
    run_fit(tmp_path / "one", MASKED)
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    one, two = (RunFolder(tmp_path / name).metrics() for name in ("one", "two"))
    for key in ("step", "loss", "grad_norm", "tokens"):
        np.testing.assert_allclose([line[key] for line in one], [line[key] for line in two], rtol=1e-5)
