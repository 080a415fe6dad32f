"""Make a video or an image from a prompt, with a model that `reelmill train` has fitted.

With --image or --video the clip starts from that picture, or goes on from the end of that video.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from jobs.cli import run_job
from jobs.console.arguments import add_json_argument, add_recipe_arguments, recipe_from
from jobs.expand import captions_of, expanded
from jobs.sampling.condition import Source, last_frames, open_source
from jobs.sampling.movie import check_target, write_frames
from jobs.training.run_config import RunConfig, read_run_config
from model.codec.causal import STRIDE_HW, STRIDE_T, Autoencoder, load_autoencoder
from model.diffusion.sampling import Request, load_transformer, sample_latent
from model.readers.text_encoder import load_text_encoder
from pipeline.decode.reader import fit_to_budget
from schemas.errors import UsageError


@dataclass(frozen=True)
class Shape:
    """What is asked for, and what is sampled: sides and length as the autoencoder and the patches need them."""

    width_px: int
    height_px: int
    num_frames: int
    grid_px: int
    """Sides are sampled in multiples of this."""

    @property
    def sampled_size_px(self) -> tuple[int, int]:
        width, height = (-(-side // self.grid_px) * self.grid_px for side in (self.width_px, self.height_px))
        return width, height

    @property
    def latent_frames(self) -> int:
        return -(-(self.num_frames - 1) // STRIDE_T) + 1

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        width, height = self.sampled_size_px
        return self.latent_frames, height // STRIDE_HW, width // STRIDE_HW


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("prompt", help='what to show, as "a red circle moves left"')
    parser.add_argument("--expand", action="store_true", help="expand the prompt first, as `reelmill expand` does")
    parser.add_argument("--size", metavar="WxH", help="in pixels; default: the picture's shape, or the usual clip's")
    parser.add_argument("--seconds", type=float, metavar="S", help="length; default: the longest training clip's")
    parser.add_argument("--image", metavar="FILE", help="picture that the clip starts with")
    parser.add_argument("--video", metavar="FILE", help="video whose end the clip starts with")
    parser.add_argument("--steps", type=int, default=30, help="Euler steps (default: %(default)s)")
    parser.add_argument("--guidance", type=float, default=4.0, help="guidance scale, 1 for none (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=".mp4, or .png for an image")
    add_recipe_arguments(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    start_s = time.perf_counter()
    config = read_run_config(args.run)
    source = _source(args)
    shape = shape_of(args, config, source)
    check_target(args.output, shape.num_frames)
    prompt = _expanded(args, config) if args.expand and args.prompt else args.prompt
    frames = sample_frames(args, prompt, config, shape, source)
    write_frames(args.output, frames, config.fps)
    summary = {
        "output": str(args.output),
        "prompt": prompt,
        "width": frames.shape[2],
        "height": frames.shape[1],
        "frames": len(frames),
        "fps": config.fps,
        "seconds": round(time.perf_counter() - start_s, 1),
    }
    if args.json:
        json.dump(summary, sys.stdout)
        print()
    else:
        if args.expand:
            print(prompt)
        size = f"{summary['width']}x{summary['height']}"
        print(f"{args.output}: {size}, {len(frames)} frames at {config.fps:g} a second")
    return 0


def shape_of(args: argparse.Namespace, config: RunConfig, source: Source | None) -> Shape:
    """Size and length asked for, or the usual ones; an image for a png.

    Raises:
        UsageError: not a size or a length, or too short to go on from the source.
    """
    grid_px = STRIDE_HW * max(config.train["model"]["patch"][1:])
    if args.size:
        match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", args.size)
        if not match:
            raise UsageError(f"--size {args.size}: not of the form WIDTHxHEIGHT, as 128x96")
        width, height = (int(side) for side in match.groups())
    elif source is not None:
        width, height = fit_to_budget(source.width_px, source.height_px, config.max_pixels_px, grid_px)
    else:
        width, height = config.usual_width_px, config.usual_height_px
    num_frames = config.usual_num_frames
    if args.seconds is not None:
        if not args.seconds > 0:
            raise UsageError(f"--seconds {args.seconds:g}: must be above 0")
        num_frames = max(round(args.seconds * config.fps), 1)
    elif args.output.suffix == ".png":
        num_frames = 1
    shape = Shape(width, height, num_frames, grid_px)
    if source is not None and shape.latent_frames < 2:
        raise UsageError(
            f"{shape.num_frames} frame leaves nothing to sample after {source.path}; ask for more --seconds"
        )
    return shape


@torch.no_grad()
def sample_frames(
    args: argparse.Namespace, prompt: str, config: RunConfig, shape: Shape, source: Source | None
) -> np.ndarray:
    """Sample a clip: (T, H, W, 3) uint8 RGB of exactly the shape asked for.

    Raises:
        UsageError: no checkpoint, a bad setting, or encoders that are not those of the run.
    """
    if args.steps < 1:
        raise UsageError(f"--steps {args.steps}: must be at least 1")
    autoencoder = load_autoencoder(config.autoencoder)
    text_encoder = load_text_encoder(config.text_encoder)
    _require_same("autoencoder", config.autoencoder, config.autoencoder_fingerprint, autoencoder.fingerprint)
    _require_same("text encoder", config.text_encoder, config.text_encoder_fingerprint, text_encoder.fingerprint)
    try:
        transformer = load_transformer(args.run)
    except FileNotFoundError as error:
        raise UsageError(str(error)) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    latent_T, latent_H, latent_W = shape.latent_shape
    request = Request(
        text_LE=torch.from_numpy(text_encoder.encode([prompt])[0]) if prompt else None,
        latent_shape=(transformer.config.latent_channels, latent_T, latent_H, latent_W),
        latent_fps=config.fps / STRIDE_T,
        seed=args.seed,
        prefix_CTHW=None if source is None else encoded_prefix(autoencoder, source, shape, config.fps),
    )
    latent = sample_latent(transformer.to(device), request, num_steps=args.steps, guidance=args.guidance)
    autoencoder = autoencoder.to(device)
    return cut_to_shape(autoencoder.decode(autoencoder.unwhiten(latent[None]))[0].cpu(), shape)


def encoded_prefix(autoencoder: Autoencoder, source: Source, shape: Shape, fps: float) -> torch.Tensor:
    """Whitened latents of the end of the source, at most half of the clip, (C, T, H, W)."""
    max_frames = (shape.latent_frames // 2 - 1) * STRIDE_T + 1
    frames = last_frames(source, shape.sampled_size_px, fps, max_frames)
    video = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1.0
    return autoencoder.whiten(autoencoder.encode(video))[0]


def cut_to_shape(video_CTHW: torch.Tensor, shape: Shape) -> np.ndarray:
    """The first frames and the middle of the picture, as (T, H, W, 3) uint8."""
    top, left = ((a - b) // 2 for a, b in zip(video_CTHW.shape[2:], (shape.height_px, shape.width_px), strict=True))
    part = video_CTHW[:, : shape.num_frames, top : top + shape.height_px, left : left + shape.width_px]
    pixels = ((part.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.permute(1, 2, 3, 0).numpy()


def _expanded(args: argparse.Namespace, config: RunConfig) -> str:
    """The prompt in the words of the captions that the run was trained on."""
    return expanded(args.prompt, recipe_from(args).expand, captions_of(config.dataset, config.release), args.seed)


def _source(args: argparse.Namespace) -> Source | None:
    if args.image and args.video:
        raise UsageError("--image and --video: give one of them")
    path = args.image or args.video
    return open_source(path) if path else None


def _require_same(role: str, name: str, trained: str, found: str) -> None:
    if trained != found:
        raise UsageError(f"{role} {name!r} is {found}, but the run was trained with {trained}")


if __name__ == "__main__":
    sys.exit(run_job("sample"))
