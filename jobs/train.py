"""Fit the diffusion transformer to a release whose clips are encoded.

The same command on the same RUN goes on where it stopped, or was killed, and gives the numbers of an unbroken run;
with a larger `train.steps` it goes on from its end.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from jobs.cli import run_job
from jobs.console.arguments import add_json_argument, add_recipe_arguments, recipe_from
from jobs.console.progress import live_progress
from jobs.steps.records import new_run_id, write_run
from jobs.training.run_config import RunConfig, usual_clip, write_run_config
from jobs.training.samples import Encoding, latent_shapes
from model.codec.causal import load_autoencoder
from model.packing.packing import num_tokens
from model.readers.text_encoder import load_text_encoder
from model.training.checkpoints import RunFolder
from model.training.loop import check_config
from model.training.step import transformer_config
from model.transformer.transformer import count_parameters
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError
from schemas.recipe import Recipe
from schemas.recipe.train import TrainConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="folder or URI prefix of the data set")
    parser.add_argument("--release", required=True, metavar="NAME", help="a release made by `reelmill release`")
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="folder of the run")
    add_recipe_arguments(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    recipe = recipe_from(args)
    dataset = Dataset(args.dataset).require()
    config, tokens, parameters = prepare(dataset, args.release, recipe)
    if not os.environ.get("RAY_ADDRESS"):  # a cluster may yet grow, this machine will not
        require_resources(recipe.train, {"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()})
    run_dir = args.out.resolve()
    write_run_config(run_dir, config)
    print(
        f"release {config.release}: {config.num_clips} clips, {tokens} tokens an epoch; "
        f"transformer of {parameters:,} parameters",
        file=sys.stderr,
    )
    run_id = new_run_id("train")
    write_run(dataset, run_id, "train", recipe, state="running", facts={"out": str(run_dir)})
    start_s = time.perf_counter()
    newest = RunFolder(run_dir).newest()
    if newest is None or newest.step < recipe.train.steps:
        _train(run_dir, recipe)
    summary = summarise(run_dir, time.perf_counter() - start_s)
    write_run(dataset, run_id, "train", recipe, state="done", facts=summary | {"out": str(run_dir)})
    _print_summary(args, summary)
    return 0


def prepare(dataset: Dataset, release_name: str, recipe: Recipe) -> tuple[RunConfig, int, int]:
    """Check that the run can be done, before anything is written.

    Returns:
        The run's config, tokens in an epoch, and parameters of the transformer.
    Raises:
        UsageError: unknown release, nothing encoded, or settings that cannot work.
    """
    autoencoder = _loaded("encode.autoencoder", recipe.encode.autoencoder, load_autoencoder)
    text_encoder = _loaded("encode.text_encoder", recipe.encode.text_encoder, load_text_encoder)
    encoding = Encoding(recipe.encode.transform, autoencoder.fingerprint, text_encoder.fingerprint, recipe.encode.fps)
    release = releases.read(dataset, release_name)
    shapes = latent_shapes(dataset, release, encoding)
    transformer = transformer_config(recipe.train.model, next(iter(shapes.values()))[0], text_encoder.dim)
    check_config(list(shapes.values()), recipe.train, recipe.train.num_workers)
    config = RunConfig(
        dataset=dataset.location,
        release=release.name,
        release_hash=release.content_hash,
        autoencoder=recipe.encode.autoencoder,
        autoencoder_fingerprint=encoding.autoencoder,
        text_encoder=recipe.encode.text_encoder,
        text_encoder_fingerprint=encoding.text_encoder,
        text_dim=text_encoder.dim,
        latent_mean=autoencoder.config.latent_mean,
        latent_std=autoencoder.config.latent_std,
        transform=encoding.transform,
        fps=encoding.fps,
        max_pixels_px=recipe.encode.max_pixels_px,
        seed=recipe.train.seed,
        num_clips=len(shapes),
        **usual_clip(shapes),
        train=recipe.as_dict()["train"],
    )
    tokens = sum(num_tokens(shape, transformer.patch) for shape in shapes.values())
    return config, tokens, count_parameters(transformer)


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


def _train(run_dir: Path, recipe: Recipe) -> None:
    from jobs.training.ray_trainer import train_with_ray  # Ray takes seconds to import

    def newest_metrics() -> dict[str, dict[str, Any]]:
        lines = RunFolder(run_dir).metrics()
        return {"train": lines[-1]} if lines else {}

    with live_progress(newest_metrics, lambda stages: _progress_line(stages, recipe.train.steps)):
        train_with_ray(run_dir, recipe.train)


def _progress_line(stages: dict[str, dict[str, Any]], num_steps: int) -> str:
    if "train" not in stages:
        return "train: starting"
    line = stages["train"]
    return (
        f"step {line['step']}/{num_steps} | loss {line['loss']:.3f} | {line['tokens'] / line['seconds']:.0f} tokens/s"
    )


def _loaded(key: str, name: str, load):
    try:
        return load(name)
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(f"{key} = {name!r}: {error}") from error


def _print_summary(args: argparse.Namespace, summary: dict[str, Any]) -> None:
    if args.json:
        json.dump(summary, sys.stdout)
        print()
        return
    print(
        f"{summary['steps']} steps; loss {summary['loss_start']:.3f} -> {summary['loss_end']:.3f}, "
        f"validation {summary['val_loss_start']:.3f} -> {summary['val_loss_end']:.3f}; {summary['checkpoint']}"
    )


if __name__ == "__main__":
    sys.exit(run_job("train"))
