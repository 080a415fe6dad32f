"""Samples whose latents say what their texts say, and settings to train on them in a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from model.training.examples import LatentStatistics, Sample
from model.training.loop import fit
from model.training.samples import HeldSamples
from schemas.recipe.train import ModelConfig, TrainConfig

STATISTICS = LatentStatistics(mean=(0.5,) * 4, std=(2.0,) * 4)
TEXT_DIM = 6
CONFIG = TrainConfig(
    steps=6,
    tokens_per_pack=48,
    packs_per_step=2,
    warmup_steps=2,
    validate_every=4,
    checkpoint_every=4,
    keep_checkpoints=3,
    model=ModelConfig(width=24, depth=2, num_heads=2),
)
SHAPES = ((4, 1, 4, 4), (4, 3, 4, 6), (4, 2, 6, 4))


def colour_samples(count: int = 24) -> list[Sample]:
    """Latents that are constant, 2.5 or -1.5, with a text that gives the sign."""
    rng = np.random.default_rng(0)
    samples = []
    for i in range(count):
        sign = 1.0 if i % 2 else -1.0
        shape = SHAPES[i % 3]
        latent = np.full(shape, 0.5 + 2.0 * sign, np.float16) + rng.normal(0, 0.1, shape).astype(np.float16)
        text = np.full((1 + i % 4, TEXT_DIM), sign, np.float32) + np.arange(TEXT_DIM, dtype=np.float32) / 10
        samples.append(Sample(f"clip-{i}", latent, [text], latent_fps=2.0))
    return samples


def run_fit(run_dir: Path, config: TrainConfig = CONFIG, **arguments: Any) -> dict[str, Any]:
    """Fit to the coloured samples; `arguments` are those of `fit`."""
    samples = arguments.pop("samples", None) or colour_samples()
    return fit(HeldSamples(samples), config, STATISTICS, run_dir, text_dim=TEXT_DIM, **arguments)


def changed(**settings: Any) -> TrainConfig:
    return replace(CONFIG, **settings)
