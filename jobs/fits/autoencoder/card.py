"""The page that lies beside fitted weights."""

from __future__ import annotations

import argparse

import torch

from jobs.fits.autoencoder.fit import Fit
from jobs.fits.autoencoder.measures import NOISE
from model.codec.bottlenecks.config import DISCRETE, as_entry
from model.codec.causal import Autoencoder

COLUMNS = {
    "all": ".1f",
    "moving": ".1f",
    "noised": ".1f",
    "first": ".1f",
    "others": ".1f",
    "ssim": ".3f",
    "ssim_moving": ".3f",
}
OF_CODES = {"bits_per_px": ".3f", "codes_used": ".3f", "perplexity": ".0f"}


def card(
    autoencoder: Autoencoder,
    quality: dict[str, dict[str, float]],
    plain: dict[str, dict[str, float]],
    fit: Fit,
    args: argparse.Namespace,
) -> str:
    """What the network is, how it was fitted, and how good it is; `quality` is what `measure` gives, by clips."""
    config = autoencoder.config
    num_parameters = sum(p.numel() for p in autoencoder.parameters())
    shares = "\n".join(
        f"| {what} | " + " | ".join(f"{100 * share:.1f}" for share in of.values()) + " |" for what, of in plain.items()
    )
    start = f" It continued from `{args.init}`." if args.init else ""
    where = torch.cuda.get_device_name() if args.device != "cpu" else "a CPU"
    settings = ", ".join(f"{key} {value}" for key, value in as_entry(config.bottleneck).items() if key != "kind")
    return f"""# A small causal 3D autoencoder

{num_parameters:,} parameters, stride 4x8x8, {config.latent_channels} latent channels, stored as fp16. Bottleneck:
{config.bottleneck.KIND} ({settings}). Code: `model/codec/causal.py`.

Fitted by `{_command(args)}`
({fit.step:,} steps, {fit.num_clips:,} clips, {where}) on synthetic clips (`pipeline/synthetic`) only.{start} It is not
meant for footage: reconstructed real video is recognisable at best.

Reconstruction of {args.clips} synthetic clips of each shape with seeds that are never used for fitting{_videos(args)}.
PSNR in dB: of all pixels, of pixels that change by more than 8 levels from frame to frame, of all with noise of
standard deviation {NOISE} on the whitened latents, of the first frame and of the others; SSIM of all pixels and of
moving ones.

{quality_table(quality, "frames x size", isinstance(config.bottleneck, DISCRETE))}

What a program (`jobs/fits/plain_world.py`) reads rightly of {4 * args.clips} held-out clips of one large plain object
on a plain ground, in %:

| | shape | colour | direction | background | all at once |
|---|---|---|---|---|---|
{shares}
"""


def quality_table(quality: dict[str, dict[str, float]], head: str, discrete: bool) -> str:
    """A row for each set of clips, in Markdown; what a set does not have is left empty."""
    columns = COLUMNS | (OF_CODES if discrete else {"floats_per_px": ".3f"})
    rows = [
        f"| {name} | " + " | ".join(format(of[key], form) if key in of else "" for key, form in columns.items()) + " |"
        for name, of in quality.items()
    ]
    names = [column.replace("_", " ").replace("per px", "a pixel").replace("ssim", "SSIM") for column in columns]
    return "\n".join([f"| {head} | {' | '.join(names)} |", "|---" * (len(columns) + 1) + "|", *rows])


def _command(args: argparse.Namespace) -> str:
    words = f"python -m jobs.fits.autoencoder --minutes {args.minutes:g} --seed {args.seed} --device {args.device}"
    if args.precision != "bfloat16":
        words += f" --precision {args.precision}"
    if args.bottleneck:
        words += f" --bottleneck {' '.join(args.bottleneck)}"
    if args.latent_channels:
        words += f" --latent-channels {args.latent_channels}"
    if args.perceptual:
        words += f" --perceptual {args.perceptual:g}" + (" --lpips FOLDER" if args.lpips else "")
    if args.adversarial:
        words += f" --adversarial {args.adversarial:g} --adversarial-start {args.adversarial_start}"
    return words


def _videos(args: argparse.Namespace) -> str:
    return f", and of a clip of each video in `{args.videos.name}`" if args.videos else ""
