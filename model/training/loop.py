"""The training loop: from the newest checkpoint in a run folder to the last step of the recipe.

It does not know what started it: Ray, a cluster script or a test.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from model.training.checkpoints import RunFolder
from model.training.examples import LatentStatistics
from model.training.parallel import ALONE, Worker
from model.training.progress import sample_tokens
from model.training.samples import Samples, Shape, ahead
from model.training.step import Metrics, TrainState
from schemas.recipe.train import TrainConfig


def fit(
    samples: Samples,
    config: TrainConfig,
    statistics: LatentStatistics,
    run_dir: Path | str,
    *,
    text_dim: int,
    release_hash: str = "",
    init: Mapping[str, Tensor] | None = None,
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
        init: weights to start from, by name, in place of random ones; not looked at once there is a checkpoint.
        on_step: called on every worker after every step with its metrics.
    Returns:
        The last step's metrics.
    Raises:
        ValueError: no samples, settings that cannot work together, or a run folder that another process uses, or a
            run of another model, release, seed, `tokens_per_pack` or `packs_per_step`.
        TrainingDiverged: loss or gradients of a step are not finite; neither its line nor a checkpoint is written.
    """
    check_config(samples.shapes.values(), config, worker.num_workers)
    run = RunFolder(run_dir)
    with run.exclusive() if worker.rank == 0 else nullcontext():
        worker.sum(torch.zeros(1, device=worker.device))  # all wait until rank 0 has the folder
        state = TrainState(samples, config, statistics, text_dim, worker, release_hash)
        if init is not None:
            state.begin_from(init)
        return _fit_in(run, state, config, on_step or (lambda metrics: None))


def _fit_in(run: RunFolder, state: TrainState, config: TrainConfig, on_step: Callable[[Metrics], None]) -> Metrics:
    start = state.restore(run.newest())
    leads = state.worker.rank == 0
    if leads:
        run.truncate_metrics(start.step)
    metrics: Metrics = (run.metrics() or [{}])[-1]
    for (progress, _), batch in ahead(state.steps_from(start), lambda planned: state.batch(planned[1])):
        metrics = state.step(progress, batch)
        last = progress.step == config.steps
        if last or progress.step == 1 or progress.step % config.validate_every == 0:
            metrics |= state.validate()
        if leads:
            run.log(metrics)
            if last or progress.step % config.checkpoint_every == 0:
                run.save(progress.step, state.tensors(), state.state(progress), config.keep_checkpoints)
        on_step(metrics)
    return metrics


def check_config(latent_shapes: Collection[Shape], config: TrainConfig, num_workers: int) -> None:
    """Check that latents of these shapes can be trained on with this config.

    Raises:
        ValueError: they cannot; the message starts with the field of the config, or says that there are no latents.
    """
    if not latent_shapes:
        raise ValueError("there are no encoded samples to train on")
    if config.packs_per_step % num_workers:
        raise ValueError(f"packs_per_step = {config.packs_per_step}: must be a multiple of {num_workers} workers")
    try:
        longest = max(sample_tokens(shape, config.model) for shape in latent_shapes)
    except ValueError as error:
        raise ValueError(f"model.patch = {config.model.patch}: {error}") from None
    if longest > config.tokens_per_pack:
        raise ValueError(f"tokens_per_pack = {config.tokens_per_pack}: a sample has {longest} tokens")
    if config.tasks.last_frame + config.tasks.first_last > 0 and not config.model.lone_frames:
        raise ValueError("tasks.last_frame and tasks.first_last need model.lone_frames = true")
