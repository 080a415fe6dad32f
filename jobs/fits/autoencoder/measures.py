"""How good a fitted codec is on clips that it was not fitted to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from jobs.fits.autoencoder import clips
from jobs.fits.autoencoder.losses import moving_pixels
from jobs.fits.plain_world import plain_clips
from jobs.fits.worlds import WORLDS
from model.codec.bottlenecks.bottleneck import DiscreteBottleneck, code_use
from model.codec.causal import Autoencoder
from model.codec.quality import SSIM_WINDOW_PX, inside_windows, psnr_db, ssim

NOISE = 0.3
"""Standard deviation, on whitened latents, of the noise that a generative model's latents are likened to."""


@torch.no_grad()
def measure(autoencoder: Autoencoder, held_out: Iterable[Tensor]) -> dict[str, float]:
    """Means over clips, (1, 3, T, H, W) in [-1, 1].

    Returns:
        `all`, `moving`, `first`, `others`: PSNR in dB of all pixels, of those that move, of the first frame, of the
        others; `noised`: of all with noise of `NOISE` on the whitened latents; `ssim`, `ssim_moving`; `floats_per_px`
        of a latent, or, where there are codes, `bits_per_px`, `codes_used` and `perplexity` over all clips. What no
        clip has, such as moving pixels, is left out.
    """
    found: dict[str, list[float]] = defaultdict(list)
    codes: list[Tensor] = []
    bottleneck = autoencoder.bottleneck
    generator = torch.Generator(autoencoder.latent_mean.device).manual_seed(0)
    for clip in held_out:
        clip = clip.to(autoencoder.latent_mean)
        latent = autoencoder.encode(clip)
        video = autoencoder.decode(latent)
        for name, value in _of_pixels(video, clip).items():
            found[name].append(value)
        noise = torch.randn(latent.shape, generator=generator, device=latent.device)
        noised = autoencoder.unwhiten(autoencoder.whiten(latent) + NOISE * noise)
        found["noised"].append(psnr_db(autoencoder.decode(noised), clip))
        pixels = clip[:, 0].numel()
        if isinstance(bottleneck, DiscreteBottleneck):
            codes.append(bottleneck.codes(latent).flatten())
            found["bits_per_px"].append(bottleneck.bits * len(codes[-1]) / pixels)
        else:
            found["floats_per_px"].append(latent.numel() / pixels)
    means = {name: sum(values) / len(values) for name, values in found.items()}
    if isinstance(bottleneck, DiscreteBottleneck):
        means |= code_use(torch.cat(codes), bottleneck.num_codes)
    return {name: round(value, 2 if name in PSNRS else 4) for name, value in means.items()}


PSNRS = ("all", "moving", "noised", "first", "others")


def _of_pixels(video: Tensor, truth: Tensor) -> dict[str, float]:
    found = {"all": psnr_db(video, truth), "first": psnr_db(video[:, :, :1], truth[:, :, :1])}
    if truth.shape[2] > 1:
        found["others"] = psnr_db(video[:, :, 1:], truth[:, :, 1:])
    moving = moving_pixels(truth).expand_as(truth)
    if moving.any():
        found["moving"] = psnr_db(video[moving], truth[moving])
    if min(truth.shape[-2:]) >= SSIM_WINDOW_PX:
        similarity, moving = ssim(video, truth), inside_windows(moving)
        found["ssim"] = float(similarity.mean())
        if moving.any():
            found["ssim_moving"] = float(similarity[moving].mean())
    return found


@torch.no_grad()
def read_of_plain_clips(autoencoder: Autoencoder, num_clips: int) -> dict[str, dict[str, float]]:
    """What a program reads rightly of true held-out clips of the plain world, and of their reconstructions."""
    pictures, scenes = plain_clips(clips.HELD_OUT_SEED, num_clips)
    video = torch.from_numpy(pictures).permute(0, 4, 1, 2, 3).to(autoencoder.latent_mean) / 127.5 - 1
    parts = [autoencoder.decode(autoencoder.encode(part)) for part in video.split(16)]
    levels = ((torch.cat(parts).clamp(-1, 1) + 1) * 127.5).round().byte()
    return {
        "true clips": WORLDS["plain"].shares_right(pictures, scenes),
        "reconstructions": WORLDS["plain"].shares_right(levels.permute(0, 2, 3, 4, 1).cpu().numpy(), scenes),
    }


@torch.no_grad()
def with_latent_statistics(autoencoder: Autoencoder, seed: int, device: str) -> Autoencoder:
    """The same autoencoder with the per-channel mean and standard deviation of its latents over new synthetic clips."""
    latents = []
    for i, shape in enumerate(clips.SHAPES_THW):
        batch = clips.drawn_batch(clips.first_seed(seed) - 1000 * (i + 1), shape, 16, device)
        latents.append(autoencoder.encode(batch).transpose(0, 1).flatten(1))
    values = torch.cat(latents, dim=1)
    std_C = values.std(dim=1).clamp(min=MIN_STD)
    mean, std = (tuple(round(float(v), 5) for v in f) for f in (values.mean(dim=1), std_C))
    fitted = Autoencoder(replace(autoencoder.config, latent_mean=mean, latent_std=std)).to(device)
    fitted.load_state_dict(autoencoder.state_dict())
    return fitted.eval()


MIN_STD = 1e-3
"""A channel that is always the same, as a bit may be, is not divided by zero."""
