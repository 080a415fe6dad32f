"""The training loop: from the newest checkpoint in a run folder to the last step of the recipe.

It does not know what started it: Ray, a cluster script or a test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from model.packing.plan import PlannedPack
from model.training.checkpoints import Checkpoint, RunFolder
from model.training.draws import as_text
from model.training.examples import LatentStatistics
from model.training.masks import route_of
from model.training.parallel import ALONE, Worker
from model.training.post_hoc import exponent_of
from model.training.progress import sample_tokens
from model.training.samples import Samples, Shape, ahead
from model.training.speed import with_waits
from model.training.step import Batch, Metrics, TrainState
from model.training.stops import OutOfMemory, TrainingStopped
from model.training.writing import CheckpointWriter
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
        init: weights to start from, by name, in place of random ones; once there is a checkpoint, only what additions
            are to (`config.lora`).
        on_step: called on every worker after every step with its metrics.
    Returns:
        The last step's metrics.
    Raises:
        ValueError: no samples, settings that cannot work together, or a run folder that another process uses, or a
            run of another model, other samples or other settings; or no checkpoint is good.
        TrainingStopped: a checkpoint or the metrics cannot be written, or another worker cannot read its samples.
        TrainingDiverged: loss or gradients of a step are not finite; neither its line nor a checkpoint is written.
    """
    check_config(samples.shapes.values(), config, worker.num_workers)
    run = RunFolder(run_dir)
    with run.exclusive() if worker.rank == 0 else nullcontext():
        worker.sum(torch.zeros(1, device=worker.device))  # all wait until the first has the folder
        state = TrainState(samples, config, statistics, text_dim, worker, release_hash)
        if init is not None:
            state.begin_from(init)
        elif config.lora.rank:
            raise ValueError(f"lora.rank = {config.lora.rank}: there are no weights to add to")
        return _fit_in(run, state, config, on_step or (lambda metrics: None))


def _fit_in(run: RunFolder, state: TrainState, config: TrainConfig, on_step: Callable[[Metrics], None]) -> Metrics:
    worker = state.worker
    start = state.restore(_resumed_from(run, worker))
    metrics: Metrics = (run.metrics() or [{}])[-1]
    error: Exception | None = None
    save_s = 0.0
    if start.step < config.steps:
        _rehearse(state)
    with CheckpointWriter(run, worker, config.keep_checkpoints) as writer:
        batches = ahead(state.steps_from(start), lambda planned: _batch_or_error(state, planned[1]))
        for ((progress, _), batch), load_s in with_waits(batches):
            if isinstance(batch, Exception):
                error, draws = batch, 0
            else:
                error, draws = error or writer.failure(), batch.draws
            draws = worker.stop_together(error, draws)
            assert isinstance(batch, Batch)
            metrics = state.step(progress, batch)
            metrics |= {"draws": as_text(draws), "load_seconds": load_s, "save_seconds": save_s}
            last = progress.step == config.steps
            if last or progress.step == 1 or progress.step % config.validate_every == 0:
                metrics |= state.validate()
            error = _logged(run, metrics) if worker.rank == 0 else None
            save_begun_s = time.monotonic()
            if last or progress.step % config.snapshot_every == 0:
                writer.start_snapshot(progress.step, state.averaged(), state.state(progress))
            if last or progress.step % config.checkpoint_every == 0:
                writer.start(progress.step, state.tensors(), state.state(progress))
            save_s = time.monotonic() - save_begun_s
            on_step(metrics)
        worker.stop_together(error)
    return metrics


def _resumed_from(run: RunFolder, worker: Worker) -> Checkpoint | None:
    """The checkpoint that all workers go on from, which the first has chosen; it also cuts the metrics there."""
    error, step = None, 0
    if worker.rank == 0:
        try:
            found = run.newest_good()
            step = found.step if found else 0
            run.set_aside_after(step)
            run.truncate_metrics(step)
        except (OSError, ValueError) as raised:
            error = raised
    step = worker.stop_together(error, step)
    return Checkpoint(run.folder_of(step)) if step else None


def _rehearse(state: TrainState) -> None:
    """Let all workers compute the costliest pack, or stop together where one of them cannot."""
    batch = _batch_or_error(state, state.costliest())
    state.worker.stop_together(batch if isinstance(batch, Exception) else None)
    assert isinstance(batch, Batch)
    error = None
    try:
        state.rehearse(batch)
    except OutOfMemory as raised:
        error = raised
    state.worker.stop_together(error)


def _batch_or_error(state: TrainState, packs: Sequence[PlannedPack]) -> Batch | Exception:
    """What the loader makes of a step, or why it cannot, so that all workers stop at that step."""
    try:
        return state.batch(packs)
    except Exception as error:  # noqa: BLE001 (raised where its step begins)
        return error


def _logged(run: RunFolder, metrics: Metrics) -> Exception | None:
    try:
        run.log(metrics)
    except OSError as error:
        return TrainingStopped(f"{run.metrics_path}: cannot be written: {error}")
    return None


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
    try:
        for length in config.average_lengths:
            exponent_of(length)
    except ValueError as error:
        raise ValueError(f"average_lengths = {config.average_lengths}: {error}") from None
    if config.tasks.last_frame + config.tasks.first_last > 0 and not config.model.lone_frames:
        raise ValueError("tasks.last_frame and tasks.first_last need model.lone_frames = true")
    route_of(config)
