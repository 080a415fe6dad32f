"""Fit the small autoencoder to synthetic clips: `python -m jobs.fits.autoencoder --out FOLDER --minutes 25`.

The loss is L1 and L2 on pixels and L1 on their gradients, pixels that move counting more, and what the bottleneck adds
to it. Unless another is named, the decoder is shown latents with noise on them, so that it stays right for latents that
a generative model has nearly right. Every step draws new clips from seeds that are not used again. The learning rate is
a cosine over the given time, so the fit ends properly at any time limit; the weights that are saved are an average over
the last steps. Run again, a fit that was killed goes on. Convolution kernels are fitted by Muon in bfloat16, which
needed less than half as many steps here as AdamW.

A bottleneck is named with its settings, `--bottleneck vq num_codes=512` or `--bottleneck fsq levels=8,5,5,5`:
`model/codec/bottlenecks/config.py` lists them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from jobs.fits.autoencoder import clips
from jobs.fits.autoencoder.adversarial import Adversary
from jobs.fits.autoencoder.card import card
from jobs.fits.autoencoder.fit import Extras, Fit
from jobs.fits.autoencoder.measures import measure, read_of_plain_clips, with_latent_statistics
from jobs.fits.autoencoder.perceptual import perceptual_distance
from model.codec.bottlenecks.config import BottleneckConfig, ScalarConfig, bottleneck_config
from model.codec.causal import Autoencoder, AutoencoderConfig, load_autoencoder, save_autoencoder

PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, config, card and fit.jsonl")
    parser.add_argument("--minutes", type=float, default=25.0, help="time to spend fitting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="bfloat16", help="of activations; some CPUs are faster at float32"
    )
    parser.add_argument("--init", default=None, help="checkpoint folder to continue from")
    parser.add_argument("--clips", type=int, default=48, help="held-out clips of each shape to measure on")
    parser.add_argument("--videos", type=Path, default=None, help="folder of videos to measure on too")
    parser.add_argument(
        "--bottleneck",
        nargs="+",
        default=None,
        metavar=("KIND", "SETTING=VALUE"),
        help="none, noised, gaussian, vq, fsq or lfq; noised if not given, or that of --init",
    )
    parser.add_argument("--latent-channels", type=int, default=None, help="channels of a latent; bits, for lfq")
    parser.add_argument("--perceptual", type=float, default=0.0, metavar="WEIGHT", help="of a perceptual loss")
    parser.add_argument("--lpips", type=Path, default=None, help="folder with the weights of LPIPS, to be that loss")
    parser.add_argument("--adversarial", type=float, default=0.0, metavar="WEIGHT", help="of an adversarial loss")
    parser.add_argument("--adversarial-start", type=int, default=2000, metavar="STEP", help="from which step on")


def run(args: argparse.Namespace) -> int:
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    network = network_of(args)
    precision = PRECISIONS[args.precision]
    fit = Fit(network.to(args.device).train(), args.seed, args.device, extras_of(args), precision)
    fit.resume(args.out / "state.pt")
    fit.run(args.minutes * 60, args.out)
    fitted = with_latent_statistics(fit.averaged(), args.seed, args.device)
    save_autoencoder(args.out, fitted)
    fitted = load_autoencoder(str(args.out)).to(args.device)
    quality = quality_of(fitted, args.clips, args.videos, args.device)
    plain = read_of_plain_clips(fitted, 4 * args.clips)
    (args.out / "README.md").write_text(card(fitted, quality, plain, fit, args))
    print(json.dumps({"steps": fit.step, "clips": fit.num_clips, "held_out": quality, "plain_world": plain}, indent=1))
    return 0


def network_of(args: argparse.Namespace) -> Autoencoder:
    """The network that the fit starts from.

    Raises:
        ValueError: a bottleneck that is not known, or one beside `--init`, which has its own.
    """
    if args.init:
        if args.bottleneck or args.latent_channels:
            raise ValueError(f"--init {args.init} has a bottleneck of its own: leave --bottleneck and channels out")
        return load_autoencoder(args.init).requires_grad_(True)
    config = AutoencoderConfig()
    bottleneck = parsed_bottleneck(args.bottleneck) if args.bottleneck else config.bottleneck
    return Autoencoder(with_bottleneck(config, bottleneck, args.latent_channels))


def extras_of(args: argparse.Namespace) -> Extras:
    """The losses that are asked for; ValueError if weights are missing."""
    distance = perceptual_distance(args.lpips).to(args.device) if args.perceptual else None
    adversary = Adversary.new(args.adversarial, args.adversarial_start, args.device) if args.adversarial else None
    return Extras(distance, args.perceptual, adversary)


def parsed_bottleneck(words: Sequence[str]) -> BottleneckConfig:
    """Of a kind and its settings, such as `["fsq", "levels=8,5,5,5"]`.

    Raises:
        ValueError: a kind or setting that is not known, or a value that is no number.
    """
    entry: dict[str, Any] = {"kind": words[0]}
    for word in words[1:]:
        name, _, text = word.partition("=")
        try:
            values = [json.loads(part) for part in text.split(",")]
        except json.JSONDecodeError as error:
            raise ValueError(f"--bottleneck: {word!r} is not SETTING=NUMBER or SETTING=NUMBER,NUMBER,...") from error
        entry[name] = values if name == "levels" else values[0]
    return bottleneck_config(entry)


def with_bottleneck(
    config: AutoencoderConfig, bottleneck: BottleneckConfig, latent_channels: int | None = None
) -> AutoencoderConfig:
    """The same sizes with another bottleneck, and as many channels as are given or as it says."""
    if latent_channels is None:
        in_levels = len(bottleneck.levels) if isinstance(bottleneck, ScalarConfig) else None
        latent_channels = in_levels or config.latent_channels
    statistics = {"latent_mean": (0.0,) * latent_channels, "latent_std": (1.0,) * latent_channels}
    return replace(config, bottleneck=bottleneck, latent_channels=latent_channels, **statistics)


def quality_of(
    fitted: Autoencoder, num_clips: int, videos: Path | None, device: str = "cpu"
) -> dict[str, dict[str, float]]:
    """What `measure` gives on held-out clips of each shape, and on each video of a folder, by its name."""
    shapes = list(dict.fromkeys((*clips.SHAPES_THW, (1, 64, 96))))
    quality = {
        f"{T} x {W}x{H}": measure(fitted, clips.held_out_clips((T, H, W), num_clips, device)) for T, H, W in shapes
    }
    if videos:
        quality |= {name: measure(fitted, [clip]) for name, clip in clips.clips_of_videos(videos).items()}
    return quality


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    try:
        raise SystemExit(run(parser.parse_args()))
    except ValueError as error:
        parser.error(str(error))
