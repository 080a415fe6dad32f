"""One training run from a recipe: checked before anything is written, done under Ray, summed up."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from jobs.console.naming import naming
from jobs.console.progress import live_progress
from jobs.training.run_config import RunConfig, usual_clip, write_run_config
from jobs.training.samples import Encoding, ReleaseSamples, frames_given
from jobs.training.tracking import require_tracker
from model.codec.spec import codec_spec
from model.diffusion.objectives import Objective
from model.packing.patches import num_tokens
from model.readers.text_encoder_spec import text_encoder_spec
from model.training.checkpoints import Checkpoint, RunFolder
from model.training.forecast import Forecast, foresee
from model.training.loop import check_config
from model.training.step import require_same_model, transformer_config
from model.transformer.config import TransformerConfig
from model.transformer.lora import check_lora
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError
from schemas.recipe import Recipe
from schemas.recipe.train import TrainConfig


def prepare(dataset: Dataset, release_name: str, recipe: Recipe) -> tuple[RunConfig, TransformerConfig, int]:
    """Check that the run can be done, before anything but the index of its samples is written.

    Returns:
        The run's config, that of the transformer, and tokens in an epoch.
    Raises:
        UsageError: unknown release, nothing encoded, or settings that cannot work.
    """
    require_tracker(recipe.train.tracker)
    with naming("encode.autoencoder", recipe.encode.autoencoder):
        codec = codec_spec(recipe.encode.autoencoder)
    with naming("encode.text_encoder", recipe.encode.text_encoder):
        text_encoder = text_encoder_spec(recipe.encode.text_encoder, recipe.encode.text_dtype)
    fingerprints = codec.fingerprint, text_encoder.fingerprint
    encoding = Encoding(recipe.encode.transform, *fingerprints, recipe.encode.fps, codec.stride_thw[0])
    frames = frames_given(recipe.train)
    if not set(frames) <= set(recipe.encode.single_frames):
        raise UsageError('train.model.lone_frames = true: needs encode.single_frames = ["last"], and `reelmill encode`')
    samples = ReleaseSamples(dataset, release_name, encoding, recipe.train.text_mix, frames)
    if "motion" in recipe.train.model.conditions and not samples.has_motion:
        raise UsageError(
            f"train.model.conditions: 'motion' needs motion_px_s, which release {release_name} has of no clip; "
            "freeze another release"
        )
    shapes = Counter(samples.shapes.values())
    with naming("train.objective"):
        answer_factor = Objective.of(recipe.train.objective).answer_factor
    with naming("train.model"):
        channels = next(iter(shapes))[0]
        transformer = transformer_config(recipe.train.model, channels, text_encoder.width, answer_factor)
    try:
        check_config(shapes, recipe.train, recipe.train.num_workers)
        check_lora(transformer, recipe.train.lora)
    except ValueError as error:  # which names the key within the section
        raise UsageError(f"train.{error}") from error
    config = RunConfig(
        dataset=dataset.location,
        release=release_name,
        release_hash=releases.content_hash(dataset, release_name),
        autoencoder=recipe.encode.autoencoder,
        autoencoder_fingerprint=encoding.autoencoder,
        codec_dtype=recipe.encode.codec_dtype,
        stride_thw=codec.stride_thw,
        text_encoder=recipe.encode.text_encoder,
        text_dtype=recipe.encode.text_dtype,
        text_encoder_fingerprint=encoding.text_encoder,
        text_dim=text_encoder.width,
        latent_mean=codec.mean,
        latent_std=codec.std,
        transform=encoding.transform,
        fps=encoding.fps,
        max_pixels_px=recipe.encode.max_pixels_px,
        seed=recipe.train.seed,
        num_clips=len(samples.shapes),
        **usual_clip(samples.sizes()),
        train=recipe.as_dict()["train"],
    )
    tokens = sum(clips * num_tokens(shape, transformer.patch) for shape, clips in shapes.items())
    return config, transformer, tokens


def forecast(dataset: Dataset, config: RunConfig, transformer: TransformerConfig, train: TrainConfig) -> Forecast:
    """What the run will take; nothing is written but the index of its samples."""
    frames = frames_given(train)
    return foresee(
        ReleaseSamples(dataset, config.release, config.encoding, train.text_mix, frames),
        train,
        transformer,
        config.release_hash,
    )


def begin(run_dir: Path, config: RunConfig, transformer: TransformerConfig) -> None:
    """Write the config of a new run, or check that the run in the folder can be continued with it.

    Raises:
        UsageError: that run has other data, another model or other settings, none of its checkpoints is good, or
            another process is training there.
    """
    run = RunFolder(run_dir)
    if run.checkpoints():
        newest = _newest_good(run)
        with naming("train.model"):
            require_same_model(newest, transformer)
    write_run_config(run_dir, config)
    with naming("--out"), run.exclusive():
        pass  # the worker of rank 0 takes the folder for the run itself


def _newest_good(run: RunFolder) -> Checkpoint:
    """The newest checkpoint that is as it was written; damaged ones after it are set aside."""
    with naming("--out"), run.exclusive():
        newest = run.newest_good()
        assert newest is not None
        run.set_aside_after(newest.step)
        return newest


def require_local(out: Path) -> Path:
    """The folder of a run.

    Raises:
        UsageError: it is on an object store, where files can neither be locked nor appended to.
    """
    if re.match(r"[a-z][a-z0-9+.-]*:/", str(out)):
        scheme, _, path = str(out).partition(":/")
        raise UsageError(
            f"--out {scheme}://{path}: a run needs a folder of a file system; copy it to the store afterwards"
        )
    return out


def machine_resources() -> dict[str, float]:
    """What Ray finds on this machine."""
    return {"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()}


def require_resources(train: TrainConfig, resources: Mapping[str, float]) -> None:
    """Raise UsageError if workers would wait for ever on a machine with these resources."""
    if train.use_gpu and resources.get("GPU", 0) < train.num_workers:
        raise UsageError(f"train.use_gpu: {train.num_workers} GPUs are asked for, {resources.get('GPU', 0):g} are here")
    if resources.get("CPU", 0) < train.num_workers:
        raise UsageError(f"train.num_workers = {train.num_workers}: this machine has {resources.get('CPU', 0):g} CPUs")


def summarise(run_dir: Path, seconds: float) -> dict[str, Any]:
    """Steps, loss at start and end (means of a tenth of the steps, at most 20), last validation loss, and where."""
    run = RunFolder(run_dir)
    lines = run.metrics()
    losses = [line["loss"] for line in lines]
    window = min(max(len(losses) // 10, 1), 20)
    validated = [line["val_loss"] for line in lines if "val_loss" in line]
    checkpoint = run.newest()
    return {
        "run": str(run_dir),
        "steps": lines[-1]["step"],
        "loss_start": sum(losses[:window]) / window,
        "loss_end": sum(losses[-window:]) / window,
        "val_loss_start": validated[0],
        "val_loss_end": validated[-1],
        "checkpoint": str(checkpoint.folder) if checkpoint else None,
        "seconds": round(seconds, 1),
    }


def run_to_end(run_dir: Path, train: TrainConfig, init: Path | None = None) -> None:
    """Train from the newest checkpoint, or the weights of `init`, to the last step, with a live line on the console;
    nothing where it is there."""
    newest = RunFolder(run_dir).newest()
    if newest is not None and newest.step >= train.steps:
        return
    from jobs.training.ray_trainer import train_with_ray  # Ray takes seconds to import

    def newest_metrics() -> dict[str, dict[str, Any]]:
        lines = RunFolder(run_dir).metrics()
        return {"train": lines[-1]} if lines else {}

    with live_progress(newest_metrics, lambda stages: progress_line(stages, train.steps)):
        train_with_ray(run_dir, train, init)


def progress_line(stages: dict[str, dict[str, Any]], num_steps: int) -> str:
    """The last step's metrics, for people."""
    if "train" not in stages:
        return "train: starting"
    line = stages["train"]
    return (
        f"step {line['step']}/{num_steps} | loss {line['loss']:.3f} | {line['tokens'] / line['seconds']:.0f} tokens/s"
    )
