"""The training loop: a run folder, a learner, and the steps between what is done and what is asked for.

It knows nothing of who started it; Ray, a cluster script or a test may.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from model.packing.packing import num_tokens
from model.training.checkpoints import RunFolder
from model.training.examples import LatentStatistics, Sample
from model.training.step import ALONE, Learner, Metrics, Worker
from schemas.recipe import RecipeError
from schemas.recipe.train import TrainConfig


def fit(
    samples: Sequence[Sample],
    config: TrainConfig,
    statistics: LatentStatistics,
    run_dir: Path | str,
    *,
    text_dim: int,
    release_hash: str = "",
    worker: Worker = ALONE,
    on_step: Callable[[Metrics], None] | None = None,
) -> Metrics:
    """Train to `config.steps`, going on from the newest checkpoint in `run_dir` if there is one.

    A run that was killed and resumed gives the same numbers as one that was not.

    Args:
        samples: all samples of the release; some are held out for validation by a hash of their id.
        statistics: of the autoencoder's latents, for whitening.
        text_dim: width of the text embeddings.
        release_hash: names the release; part of the key of the pack plan.
        on_step: called on every worker after every step with its metrics.
    Returns:
        The last step's metrics.
    Raises:
        RecipeError: no samples, or settings that cannot work together.
        TrainingDiverged: the loss is not finite.
    """
    check_config([s.latent_CTHW.shape for s in samples], config, worker.num_workers)
    run = RunFolder(run_dir)
    with run.exclusive() if worker.rank == 0 else nullcontext():
        worker.sum(torch.zeros(1, device=worker.device))  # all wait until rank 0 has the folder
        learner = Learner(samples, config, statistics, text_dim, worker)
        return _fit_in(run, learner, config, release_hash, on_step or (lambda metrics: None))


def _fit_in(
    run: RunFolder, learner: Learner, config: TrainConfig, release_hash: str, on_step: Callable[[Metrics], None]
) -> Metrics:
    start = learner.restore(run.newest())
    leads = learner.worker.rank == 0
    if leads:
        run.truncate_metrics(start.step)
    metrics: Metrics = (run.metrics() or [{}])[-1]
    for place, packs in learner.steps_from(start, release_hash):
        metrics = learner.step(place, packs)
        last = place.step == config.steps
        if last or place.step == 1 or place.step % config.validate_every == 0:
            metrics |= learner.validate()
        if leads:
            run.log(metrics)
            if last or place.step % config.checkpoint_every == 0:
                run.save(place.step, learner.tensors(), learner.state(place), config.keep_checkpoints)
        on_step(metrics)
    return metrics


def check_config(latent_shapes: Sequence[tuple[int, ...]], config: TrainConfig, num_workers: int) -> None:
    """Raise RecipeError unless latents of these shapes can be trained on like this."""
    if not latent_shapes:
        raise RecipeError("the release has no encoded samples: run `reelmill encode` first")
    if config.packs_per_step % num_workers:
        raise RecipeError(
            f"train.packs_per_step = {config.packs_per_step}: must be a multiple of {num_workers} workers"
        )
    longest = max(num_tokens(shape, config.model.patch) for shape in latent_shapes)
    if longest > config.tokens_per_pack:
        raise RecipeError(f"train.tokens_per_pack = {config.tokens_per_pack}: a sample has {longest} tokens")
