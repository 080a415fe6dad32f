"""Fit the small autoencoder to synthetic clips: `python -m jobs.fits.autoencoder --out FOLDER --minutes 25`.

The loss is L1 and L2 on pixels, L1 on their gradients, and a small KL term. Every step renders new clips from seeds
that are not used again. The learning rate is a cosine over the given time, so the fit ends properly at any time limit.
Convolution kernels are fitted by Muon in bfloat16, which needed less than half as many steps here as AdamW.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.codec.causal import Autoencoder, AutoencoderConfig, load_autoencoder, psnr_db, save_autoencoder
from model.training.muon import Muon
from pipeline.synthetic.render import render
from pipeline.synthetic.world import draw_scene

HELD_OUT_SEED = 1_000_000_000
"""Clips with this seed or a higher one are never used for fitting."""
SHAPES_THW = (
    (9, 64, 64),
    (9, 64, 96),
    (9, 96, 64),
    (17, 64, 64),
    (1, 64, 96),
    (1, 96, 64),
    (5, 96, 128),
    (9, 64, 96),
    (9, 96, 64),
    (5, 128, 96),
)
BATCH_PIXELS = 9 * 64 * 64 * 8
"""Pixels in a batch, over all its frames; the number of clips follows from their shape."""
KERNEL_LEARNING_RATE = 2e-2
"""For Muon, on the kernels; AdamW fits the biases and norms."""
VECTOR_LEARNING_RATE = 2e-3
KL_WEIGHT = 3e-4
GRADIENT_WEIGHT = 0.5
SQUARED_WEIGHT = 4.0
WARM_UP_STEPS = 100
LOG_EVERY_STEPS = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, config, card and fit.jsonl")
    parser.add_argument("--minutes", type=float, default=25.0, help="time to spend fitting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--init", default=None, help="checkpoint folder to continue from")


def run(args: argparse.Namespace) -> int:
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    autoencoder = load_autoencoder(args.init).requires_grad_(True) if args.init else Autoencoder(AutoencoderConfig())
    steps = _fit(autoencoder.train(), args.minutes * 60, args.seed, args.out / "fit.jsonl")
    autoencoder = with_latent_statistics(autoencoder.eval(), args.seed)
    save_autoencoder(args.out, autoencoder)
    autoencoder = load_autoencoder(str(args.out))
    psnrs_db = {shape: held_out_psnr_db(autoencoder, shape, 24) for shape in dict.fromkeys(SHAPES_THW)}
    (args.out / "README.md").write_text(_card(autoencoder, psnrs_db, steps, args))
    print(json.dumps({"steps": steps, "held_out_psnr_db": {str(k): round(v, 2) for k, v in psnrs_db.items()}}))
    return 0


def drawn_batch(first_seed: int, shape_thw: tuple[int, int, int], num_clips: int) -> Tensor:
    """Synthetic clips with seeds from `first_seed` on: (B, 3, T, H, W) float32 in [-1, 1]."""
    T, H, W = shape_thw
    clips = [render(draw_scene(first_seed + i), W, H, T) for i in range(num_clips)]
    return torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0


def reconstruction_loss(video: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of pixels and of their differences along width and height, and mean squared error.

    With absolute error alone, small objects vanish whose position is uncertain: the median over the possible positions
    is background.
    """
    error = video - truth
    loss = error.abs().mean() + SQUARED_WEIGHT * error.square().mean()
    for axis in (3, 4):
        loss = loss + GRADIENT_WEIGHT * (video.diff(dim=axis) - truth.diff(dim=axis)).abs().mean()
    return loss


def held_out_psnr_db(autoencoder: Autoencoder, shape_thw: tuple[int, int, int], num_clips: int) -> float:
    """Mean PSNR over held-out clips of one shape."""
    values = []
    with torch.no_grad():
        for i in range(num_clips):
            clip = drawn_batch(HELD_OUT_SEED + i, shape_thw, 1)
            values.append(psnr_db(autoencoder.decode(autoencoder.encode(clip)), clip))
    return sum(values) / len(values)


def with_latent_statistics(autoencoder: Autoencoder, seed: int) -> Autoencoder:
    """The same autoencoder with the per-channel mean and standard deviation of its latents over new synthetic clips."""
    latents = []
    with torch.no_grad():
        for i, shape in enumerate(SHAPES_THW):
            latent = autoencoder.encode(drawn_batch(_first_seed(seed) - 1000 * (i + 1), shape, 16))
            latents.append(latent.transpose(0, 1).flatten(1))
    values = torch.cat(latents, dim=1)
    mean, std = (tuple(round(float(v), 5) for v in f) for f in (values.mean(dim=1), values.std(dim=1)))
    fitted = Autoencoder(replace(autoencoder.config, latent_mean=mean, latent_std=std))
    fitted.load_state_dict(autoencoder.state_dict())
    return fitted.eval()


def _fit(autoencoder: Autoencoder, limit_s: float, seed: int, log: Path) -> int:
    optimizers = _optimizers(autoencoder)
    start_s = time.monotonic()
    next_seed, step = _first_seed(seed), 0
    with log.open("w") as stream:
        while (elapsed_s := time.monotonic() - start_s) < limit_s:
            T, H, W = shape = SHAPES_THW[step % len(SHAPES_THW)]
            num_clips = max(BATCH_PIXELS // (max(T, 4) * H * W), 1)
            clips = drawn_batch(next_seed, shape, num_clips)
            next_seed += num_clips
            loss, kl = _losses(autoencoder, clips)
            autoencoder.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer, rate in optimizers:
                optimizer.param_groups[0]["lr"] = rate * _schedule(step, elapsed_s / limit_s)
                optimizer.step()
            step += 1
            if step % LOG_EVERY_STEPS == 0:
                line = {"step": step, "seconds": round(elapsed_s, 1), "loss": round(loss.item(), 4)}
                line |= {"kl": round(kl.item(), 3)}
                if step % (10 * LOG_EVERY_STEPS) == 0:
                    line["held_out_psnr_db"] = round(held_out_psnr_db(autoencoder, (9, 64, 96), 8), 2)
                print(json.dumps(line), file=stream, flush=True)
    return step


def _losses(autoencoder: Autoencoder, clips: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and the KL term that is part of it."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        posterior = autoencoder.posterior(clips)
        video = autoencoder.decode(posterior.sample())
    kl = posterior.kl()
    return reconstruction_loss(video.float(), clips) + KL_WEIGHT * kl, kl


def _optimizers(autoencoder: Autoencoder) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for kernels, AdamW for vectors, each with its peak learning rate."""
    kernels = [p for p in autoencoder.parameters() if p.ndim > 1]
    vectors = [p for p in autoencoder.parameters() if p.ndim <= 1]
    adamw = torch.optim.AdamW(vectors, lr=VECTOR_LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    return [(Muon(kernels, lr=KERNEL_LEARNING_RATE), KERNEL_LEARNING_RATE), (adamw, VECTOR_LEARNING_RATE)]


def _first_seed(seed: int) -> int:
    """The first seed of a fit. Each fit has ten million seeds of its own, all below the held-out ones."""
    return 10_000_000 * (1 + seed % 90)


def _schedule(step: int, progress: float) -> float:
    """Share of the peak learning rate: a warm-up, and a cosine down to 1% over `progress` in [0, 1]."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def _card(autoencoder: Autoencoder, psnrs_db: dict, steps: int, args: argparse.Namespace) -> str:
    num_parameters = sum(p.numel() for p in autoencoder.parameters())
    rows = "\n".join(f"| {T} x {W}x{H} | {db:.1f} |" for (T, H, W), db in psnrs_db.items())
    start = f" It continued from `{args.init}`." if args.init else ""
    return f"""# A small causal 3D autoencoder

{num_parameters:,} parameters, stride 4x8x8, 16 latent channels, stored as fp16. Code: `model/codec/causal.py`.

Fitted by `python -m jobs.fits.autoencoder --minutes {args.minutes:g} --seed {args.seed}` ({steps} steps on one CPU
core) on synthetic clips (`pipeline/synthetic`) only.{start} It is not meant for footage: reconstructed real video is
recognisable at best.

Reconstruction of 24 synthetic clips with seeds that are never used for fitting:

| frames x size | mean PSNR, dB |
|---|---|
{rows}
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    raise SystemExit(run(parser.parse_args()))
