"""Fit the built-in transformer to the plain world: `python -m jobs.fits.transformer --out FOLDER --steps 5000`.

OUT/latents has the clips, OUT/run the run: its checkpoints and `metrics.jsonl`, one line a step. The same command goes
on from the newest checkpoint. The loop, the packs and the objective are those of `reelmill train`; only the samples are
drawn here, without the way through videos.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from jobs.fits.transformer.clips import PlainClips, latents_of, scenes
from model.builtin import WEIGHTS
from model.codec.causal import load_autoencoder
from model.codec.spec import codec_spec
from model.readers.text_encoder import load_text_encoder
from model.training.examples import LatentStatistics
from model.training.loop import fit
from model.training.step import Metrics
from schemas.recipe.train import ModelConfig, ObjectiveConfig, TaskMix, TrainConfig

BATCH_TOKENS = 3072
"""64 clips of 48 tokens."""
RECIPE = TrainConfig(
    tokens_per_pack=BATCH_TOKENS,
    optimizer="muon",
    matrix_learning_rate=0.01,
    learning_rate=1.5e-3,
    warmup_steps=100,
    decay_share=0.3,
    ema_decay=0.998,
    text_drop=0.1,
    tasks=TaskMix(text=0.7, first_frame=0.15, prefix=0.1, scattered=0.05),
    validate_every=250,
    checkpoint_every=100,
    model=ModelConfig(width=192, depth=6, num_heads=6, modulation="shared", text="in_context"),
    objective=ObjectiveConfig(prediction="x0", weighting="velocity"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder for latents, checkpoints and metrics")
    parser.add_argument("--steps", type=int, default=5000, help="of 64 clips each")
    parser.add_argument("--clips", type=int, default=20_000, help="to train on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="processors to use")


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    torch.set_num_threads(args.threads)
    drawn = scenes(held_out=False, number=args.clips)
    codec = codec_spec("builtin")
    folder = args.out / f"latents-{codec.fingerprint[:12]}"
    latents = latents_of(drawn, load_autoencoder(WEIGHTS / "autoencoder"), folder, lambda n: print(f"{n} clips made"))
    text_encoder = load_text_encoder("builtin")
    config = replace(RECIPE, steps=args.steps, seed=args.seed)
    last = fit(
        PlainClips(drawn, latents, text_encoder),
        config,
        LatentStatistics(codec.mean, codec.std),
        args.out / "run",
        text_dim=text_encoder.dim,
        release_hash=f"plain world, {args.clips} clips",
        on_step=_teller(),
    )
    print(last)
    return 0


def _teller():
    start_s = time.monotonic()

    def tell(metrics: Metrics) -> None:
        if metrics["step"] % 50 == 0:
            spent_s = time.monotonic() - start_s
            print(f"{spent_s:.0f} s: step {metrics['step']}, loss {metrics['loss']:.3f}", flush=True)

    return tell


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    raise SystemExit(run(parser.parse_args()))
