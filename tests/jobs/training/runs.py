"""Run folders without any training: a config, and a transformer of random weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch

from jobs.training.run_config import RunConfig, write_run_config
from model.codec.causal import Autoencoder, load_autoencoder
from model.codec.spec import codec_spec
from model.readers.text_encoder import TextEncoder, load_text_encoder
from model.training.checkpoints import RunFolder
from model.transformer.config import TransformerConfig
from model.transformer.transformer import Transformer
from schemas.recipe import Recipe

SMALL = TransformerConfig(width=32, depth=1, num_heads=2, latent_channels=8, text_dim=128)


def run_config(**changes: Any) -> RunConfig:
    """The config of a run on clips of 96x64 pixels and 9 frames, changed by keywords."""
    autoencoder, text_encoder = _encoders()
    values = {
        "dataset": "/data",
        "release": "drawn",
        "release_hash": "hash",
        "autoencoder": "builtin",
        "autoencoder_fingerprint": autoencoder.fingerprint,
        "codec_dtype": "float32",
        "stride_thw": codec_spec().stride_thw,
        "text_encoder": "builtin",
        "text_dtype": "float32",
        "text_encoder_fingerprint": text_encoder.fingerprint,
        "text_dim": text_encoder.dim,
        "latent_mean": autoencoder.config.latent_mean,
        "latent_std": autoencoder.config.latent_std,
        "transform": "transform",
        "fps": 8.0,
        "max_pixels_px": 64 * 96,
        "seed": 0,
        "num_clips": 12,
        "usual_width_px": 96,
        "usual_height_px": 64,
        "usual_num_frames": 9,
        "train": Recipe().as_dict()["train"],
    }
    return RunConfig(**values | changes)


def of_tasks(**shares: float) -> dict[str, Any]:
    """The `train` section of the usual recipe with shares of tasks changed."""
    train = Recipe().as_dict()["train"]
    return train | {"tasks": train["tasks"] | shares}


@cache
def _encoders() -> tuple[Autoencoder, TextEncoder]:
    return load_autoencoder(), load_text_encoder()


def write_run(folder: Path, network: TransformerConfig = SMALL, **changes: Any) -> Path:
    """A run whose samples look like nothing, and in which every input of the transformer shows."""
    write_run_config(folder, run_config(**changes))
    torch.manual_seed(0)
    transformer = Transformer(network).requires_grad_(False)
    for parameter in transformer.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    weights = transformer.state_dict()
    RunFolder(folder).save(2, {"model": weights, "average": weights}, {"transformer": vars(network)}, keep=1)
    return folder


def logged(run_dir: Path, num_steps: int) -> RunFolder:
    """A run whose loss is the number of the step, validated at every fourth."""
    folder = RunFolder(run_dir)
    for step in range(1, num_steps + 1):
        folder.log({"step": step, "loss": float(step)} | ({"val_loss": step / 10} if step % 4 == 1 else {}))
    folder.save(num_steps, {}, {}, keep=1)
    return folder
