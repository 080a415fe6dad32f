"""Fit the built-in transformer to the synthetic world: `python -m jobs.fits.transformer --out FOLDER`.

OUT/latents-CODEC has the clips, OUT/run the run: its config, checkpoints and `metrics.jsonl`, a line a step. The same
command goes on from the newest checkpoint. The loop, the packs and the objective are those of `reelmill train`; only
the samples are drawn here, without the way through videos. `reelmill sample` and `reelmill export` take OUT/run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from jobs.fits.transformer.clips import FPS, SEEDS_APART, ClipSet, SceneClips, latents_of, scenes
from jobs.training.run_config import RunConfig, write_run_config
from model.builtin import BUILTIN, run_folder
from model.codec.causal import load_autoencoder
from model.codec.spec import CodecSpec, codec_spec
from model.readers.text_encoder import TextEncoder, load_text_encoder
from model.training.examples import LatentStatistics
from model.training.exported import load_transformer
from model.training.loop import fit
from model.training.step import Metrics
from pipeline.synthetic.world import Scene
from schemas.recipe import Recipe
from schemas.recipe.encode import EncodeConfig
from schemas.recipe.train import ModelConfig, ObjectiveConfig, TaskMix, TrainConfig

CLIPS = (ClipSet("plain", (9, 64, 64), 20_000),)
BATCH_TOKENS = 3072
"""64 clips of 48 tokens."""
RECIPE = TrainConfig(
    tokens_per_pack=BATCH_TOKENS,
    optimizer="muon",
    matrix_learning_rate=0.01,
    learning_rate=1.5e-3,
    warmup_steps=100,
    decay_share=0.3,
    text_drop=0.1,
    tasks=TaskMix(text=0.7, first_frame=0.15, prefix=0.1, region=0.05),
    validate_every=250,
    checkpoint_every=100,
    model=ModelConfig(width=192, depth=6, num_heads=6, modulation="shared", text="in_context"),
    objective=ObjectiveConfig(prediction="x0", weighting="velocity"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder for latents, checkpoints and metrics")
    parser.add_argument("--steps", type=int, default=2500, help="of 64 clips each")
    parser.add_argument(
        "--clips", type=ClipSet.parse, nargs="+", default=CLIPS, metavar="WORLD:FRAMESxWIDTHxHEIGHT:NUMBER"
    )
    parser.add_argument("--init", help="run, or exported folder, or builtin, to start from")
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="processors to use")


def run(args: argparse.Namespace) -> int:
    torch.set_num_threads(args.threads)
    codec, text_encoder = codec_spec("builtin"), load_text_encoder("builtin")
    train = replace(RECIPE, steps=args.steps, seed=args.seed, learning_rate=RECIPE.learning_rate * args.rate)
    train = replace(train, matrix_learning_rate=RECIPE.matrix_learning_rate * args.rate)
    config = run_config(train, codec, text_encoder, args.clips)
    write_run_config(args.out / "run", config)
    last = fit(
        SceneClips(drawn_clips(args.out, args.clips, codec), text_encoder, FPS / codec.stride_thw[0]),
        train,
        LatentStatistics(codec.mean, codec.std),
        args.out / "run",
        text_dim=text_encoder.dim,
        release_hash=config.release_hash,
        init=load_transformer(run_folder(args.init)).state_dict() if args.init else None,
        on_step=_teller(),
    )
    print(last)
    return 0


def drawn_clips(out: Path, sets: Sequence[ClipSet], codec: CodecSpec) -> list[tuple[list[Scene], Tensor]]:
    """Scenes and latents of each set of clips."""
    autoencoder = load_autoencoder(BUILTIN)
    drawn = []
    for number, of_set in enumerate(sets):
        found = scenes(of_set.world, held_out=False, number=of_set.number, first_seed=number * SEEDS_APART)
        name = str(of_set).rpartition(":")[0].replace(":", "-")
        tell = partial(print, f"clips of {name}:", flush=True)
        folder = out / f"latents-{codec.fingerprint[:12]}" / name
        drawn.append((found, latents_of(found, of_set.shape_thw, autoencoder, folder, tell)))
    return drawn


def run_config(train: TrainConfig, codec: CodecSpec, text_encoder: TextEncoder, sets: Sequence[ClipSet]) -> RunConfig:
    """What sampling from the fit needs to know; there is no data set behind it."""
    num_frames, height, width = sets[0].shape_thw
    encode = EncodeConfig(fps=FPS, max_pixels_px=max(H * W for _, H, W in (of_set.shape_thw for of_set in sets)))
    return RunConfig(
        dataset="",
        release="synthetic world",
        release_hash=" ".join(map(str, sets)),
        autoencoder="builtin",
        autoencoder_fingerprint=codec.fingerprint,
        codec_dtype=encode.codec_dtype,
        stride_thw=codec.stride_thw,
        text_encoder="builtin",
        text_dtype=encode.text_dtype,
        text_encoder_fingerprint=text_encoder.fingerprint,
        text_dim=text_encoder.dim,
        latent_mean=codec.mean,
        latent_std=codec.std,
        transform=encode.transform,
        fps=FPS,
        max_pixels_px=encode.max_pixels_px,
        seed=train.seed,
        num_clips=sum(of_set.number for of_set in sets),
        usual_width_px=width,
        usual_height_px=height,
        usual_num_frames=num_frames,
        train=Recipe(train=train).as_dict()["train"],
    )


def _teller() -> Callable[[Metrics], None]:
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
