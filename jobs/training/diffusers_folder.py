"""A trained transformer as diffusers loads it: a pipeline, or low-rank additions to one."""

from __future__ import annotations

from pathlib import Path

import torch

from jobs.console.naming import naming
from jobs.training.run_config import RunConfig, write_run_config
from model.codec.spec import CodecPlan
from model.diffusion.objectives import Objective
from model.diffusion.published_schedulers import scheduler_settings
from model.training.examples import latent_shift
from model.transformer.lora import lora_layers
from model.transformer.published.folders import PUBLISHED, published_class
from model.transformer.published.lora import published_lora, write_lora
from model.transformer.published.pipelines import write_pipeline
from model.transformer.transformer import Transformer
from schemas.errors import UsageError


def write_diffusers(out: Path, config: RunConfig, transformer: Transformer) -> int:
    """Write a pipeline, and the run's config beside it, which names the text encoder; the number of parameters.

    Noise levels are shifted as for the usual clip of the run.

    Raises:
        UsageError: diffusers has no such transformer or no scheduler for its objective, or the folder cannot be
            written.
    """
    with naming("--format diffusers: train.model"):
        class_name = published_class(transformer.config)
    module, plan = PUBLISHED[class_name], _usual_plan(config, transformer)
    with naming("--format diffusers: train.objective"):
        scheduler = scheduler_settings(
            Objective.of(config.objective), latent_shift(plan.latent_shape, transformer.config.patch)
        )
    if scheduler["_class_name"] != module.SCHEDULER:
        path = config.objective.path
        raise UsageError(
            f"--format diffusers: train.objective.path = {path!r}: a {class_name} is sampled with {module.SCHEDULER}"
        )
    _, frames, rows, columns = plan.latent_shape
    if module.MAKES_SQUARES and (frames > 1 or rows != columns):
        width, height = plan.valid[1:]
        raise UsageError(
            f"--format diffusers: a {class_name} makes square images, and the usual clip of this run has "
            f"{plan.valid[0]} frames of {width}x{height}"
        )
    write_run_config(out, config)
    with naming("--format diffusers"):
        write_pipeline(out, transformer, class_name, scheduler, config.autoencoder, rows=rows)
    return sum(parameter.numel() for parameter in transformer.parameters())


def write_additions(out: Path, transformer: Transformer, dtype: torch.dtype) -> int:
    """Write low-rank additions; the number of their parameters.

    Raises:
        UsageError: there are none, or diffusers has no such transformer.
    """
    layers = lora_layers(transformer)
    if not layers:
        raise UsageError("--format lora: the run trained all weights (train.lora.rank = 0)")
    with naming("--format lora: train.model"):
        module = PUBLISHED[published_class(transformer.config)]
    found = published_lora(module.entries(transformer.config), layers)
    with naming(f"output {out}"):
        write_lora(out, {name: value.to(dtype) for name, value in found.items()})
    return sum(value.numel() for value in found.values())


def _usual_plan(config: RunConfig, transformer: Transformer) -> CodecPlan:
    size = config.usual_num_frames, config.usual_width_px, config.usual_height_px
    return config.codec.plan(*size, transformer.config.patch)
