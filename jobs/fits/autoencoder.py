"""Fit the small autoencoder to synthetic clips: `python -m jobs.fits.autoencoder --out FOLDER --minutes 25`.

The loss is L1 and L2 on pixels and L1 on their gradients, pixels that move counting more. The decoder is shown latents
with noise on them, so that it stays right for latents that a generative model has nearly right. Every step draws new
clips from seeds that are not used again. The learning rate is a cosine over the given time, so the fit ends properly at
any time limit; the weights that are saved are an average over the last steps. Run again, a fit that was killed goes on.
Convolution kernels are fitted by Muon in bfloat16, which needed less than half as many steps here as AdamW.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jobs.fits.batched_render import Plan, draw, plan
from jobs.fits.plain_world import plain_clips, share_read
from model.codec.causal import Autoencoder, AutoencoderConfig, NormSiLU, load_autoencoder, psnr_db, save_autoencoder
from model.training.muon import Muon
from pipeline.synthetic.world import draw_scene

HELD_OUT_SEED = 1_000_000_000
"""Clips with this seed or a higher one are never used for fitting."""
SHAPES_THW = ((17, 64, 96), (9, 96, 64), (9, 64, 64), (5, 96, 128), (17, 64, 96), (9, 128, 96))
BATCH_PIXELS = {"cpu": 9 * 64 * 64 * 8, "cuda": 17 * 64 * 96 * 36}
"""Pixels in a batch, over all its frames; the number of clips follows from their shape."""
KERNEL_LEARNING_RATE = 2e-2
"""For Muon, on the kernels; AdamW fits the biases and norms."""
VECTOR_LEARNING_RATE = 2e-3
GRADIENT_WEIGHT = 0.5
SQUARED_WEIGHT = 4.0
MOVING_WEIGHT = 3.0
"""How much a pixel counts that has changed since the frame before."""
MOVING_LEVEL = 8 / 127.5
"""Change by which a pixel counts as moving: 8 of 255 levels."""
MAX_NOISE = 0.3
"""Standard deviation of the noise on whitened latents, drawn for each clip from 0 to this."""
SCALE_WEIGHT = 1e-3
"""Of the mean square of the latents, which would otherwise drift."""
STATISTICS_DECAY = 0.99
AVERAGE_DECAY = 0.999
WARM_UP_STEPS = 200
LOG_EVERY_STEPS, SAVE_EVERY_S = 100, 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, config, card and fit.jsonl")
    parser.add_argument("--minutes", type=float, default=25.0, help="time to spend fitting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--init", default=None, help="checkpoint folder to continue from")
    parser.add_argument("--clips", type=int, default=48, help="held-out clips of each shape to measure on")


def run(args: argparse.Namespace) -> int:
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    network = load_autoencoder(args.init).requires_grad_(True) if args.init else Autoencoder(AutoencoderConfig())
    fit = Fit(network.to(args.device).train(), args.seed, args.device)
    fit.resume(args.out / "state.pt")
    fit.run(args.minutes * 60, args.out)
    fitted = with_latent_statistics(fit.averaged(), args.seed, args.device)
    save_autoencoder(args.out, fitted)
    fitted = load_autoencoder(str(args.out)).to(args.device)
    shapes = list(dict.fromkeys((*SHAPES_THW, (1, 64, 96))))
    quality = {f"{T} x {W}x{H}": measure(fitted, (T, H, W), args.clips) for T, H, W in shapes}
    plain = read_of_plain_clips(fitted, 4 * args.clips)
    (args.out / "README.md").write_text(_card(fitted, quality, plain, fit, args))
    print(json.dumps({"steps": fit.step, "clips": fit.num_clips, "held_out": quality, "plain_world": plain}, indent=1))
    return 0


def drawn_batch(first_seed: int, shape_thw: tuple[int, int, int], num_clips: int, device: str = "cpu") -> Tensor:
    """Synthetic clips with seeds from `first_seed` on: (B, 3, T, H, W) float32 in [-1, 1]."""
    return draw(_planned(first_seed, shape_thw, num_clips), device) / 127.5 - 1.0


def _planned(first_seed: int, shape_thw: tuple[int, int, int], num_clips: int) -> Plan:
    T, H, W = shape_thw
    return plan([draw_scene(first_seed + i) for i in range(num_clips)], W, H, T)


def moving_pixels(truth: Tensor) -> Tensor:
    """Which pixels of (B, 3, T, H, W) have changed since the frame before: (B, 1, T, H, W) bool; none of the first."""
    change = truth.diff(dim=2, prepend=truth[:, :, :1]).abs()
    return change.amax(dim=1, keepdim=True) > MOVING_LEVEL


def reconstruction_loss(video: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of pixels and of their differences along width and height, and mean squared error, each
    weighted to pixels that move.

    With absolute error alone, small objects vanish whose position is uncertain: the median over the possible positions
    is background.
    """
    weight = 1 + (MOVING_WEIGHT - 1) * moving_pixels(truth).float()
    error = video - truth
    loss = (weight * (error.abs() + SQUARED_WEIGHT * error.square())).mean()
    for axis in (3, 4):
        inner = weight.narrow(axis, 1, weight.shape[axis] - 1)
        loss = loss + GRADIENT_WEIGHT * (inner * error.diff(dim=axis).abs()).mean()
    return loss


@torch.no_grad()
def measure(autoencoder: Autoencoder, shape_thw: tuple[int, int, int], num_clips: int) -> dict[str, float]:
    """Mean PSNR over held-out clips of one shape: of all pixels, of those that move, of all with noise on the latents.

    The noise has a standard deviation of `MAX_NOISE` on whitened latents. Clips in which nothing moves do not count for
    the second.
    """
    device = autoencoder.latent_mean.device
    found: dict[str, list[float]] = {"all": [], "moving": [], "noised": []}
    generator = torch.Generator(device).manual_seed(0)
    for i in range(num_clips):
        clip = drawn_batch(HELD_OUT_SEED + i, shape_thw, 1, str(device))
        latent = autoencoder.encode(clip)
        video = autoencoder.decode(latent)
        found["all"].append(psnr_db(video, clip))
        moving = moving_pixels(clip).expand_as(clip)
        if moving.any():
            found["moving"].append(psnr_db(video[moving], clip[moving]))
        noise = torch.randn(latent.shape, generator=generator, device=device)
        noised = autoencoder.unwhiten(autoencoder.whiten(latent) + MAX_NOISE * noise)
        found["noised"].append(psnr_db(autoencoder.decode(noised), clip))
    return {name: round(sum(values) / len(values), 2) for name, values in found.items() if values}


@torch.no_grad()
def read_of_plain_clips(autoencoder: Autoencoder, num_clips: int) -> dict[str, dict[str, float]]:
    """What a program reads rightly of true held-out clips of the plain world, and of their reconstructions."""
    clips, scenes = plain_clips(HELD_OUT_SEED, num_clips)
    video = torch.from_numpy(clips).permute(0, 4, 1, 2, 3).to(autoencoder.latent_mean) / 127.5 - 1
    parts = [autoencoder.decode(autoencoder.encode(part)) for part in video.split(16)]
    levels = ((torch.cat(parts).clamp(-1, 1) + 1) * 127.5).round().byte()
    return {
        "true clips": share_read(clips, scenes),
        "reconstructions": share_read(levels.permute(0, 2, 3, 4, 1).cpu().numpy(), scenes),
    }


@torch.no_grad()
def with_latent_statistics(autoencoder: Autoencoder, seed: int, device: str) -> Autoencoder:
    """The same autoencoder with the per-channel mean and standard deviation of its latents over new synthetic clips."""
    latents = []
    for i, shape in enumerate(SHAPES_THW):
        latent = autoencoder.encode(drawn_batch(_first_seed(seed) - 1000 * (i + 1), shape, 16, device))
        latents.append(latent.transpose(0, 1).flatten(1))
    values = torch.cat(latents, dim=1)
    mean, std = (tuple(round(float(v), 5) for v in f) for f in (values.mean(dim=1), values.std(dim=1)))
    fitted = Autoencoder(replace(autoencoder.config, latent_mean=mean, latent_std=std)).to(device)
    fitted.load_state_dict(autoencoder.state_dict())
    return fitted.eval()


@dataclass
class Fit:
    """A network with all that a fit adds to it."""

    network: Autoencoder
    seed: int
    device: str
    step: int = 0
    num_clips: int = 0
    elapsed_s: float = 0.0
    optimizers: list[tuple[torch.optim.Optimizer, float]] = field(init=False)
    """Each with its peak learning rate."""
    average: dict[str, Tensor] = field(init=False)
    statistics: Tensor = field(init=False)
    """(2, channels): running mean and mean square of the latents."""

    _captured: dict[torch.Size, _CapturedBackward] = field(default_factory=dict)
    """By the shape of the clips, on a GPU."""

    def __post_init__(self) -> None:
        self.optimizers = _optimizers(self.network)
        self.average = {name: value.detach().clone() for name, value in self.network.named_parameters()}
        channels = self.network.config.latent_channels
        self.statistics = torch.stack([torch.zeros(channels), torch.ones(channels)]).to(self.device)

    def run(self, limit_s: float, out: Path) -> None:
        """Take steps until the time is up, with a line in `fit.jsonl` now and then."""
        torch.set_float32_matmul_precision("high")
        batches = _batches(self.seed, self.step, self.device)
        for module in self.network.modules():
            if isinstance(module, NormSiLU) and self.device != "cpu":
                module.compile(dynamic=True)
        start_s, saved_s = time.monotonic() - self.elapsed_s, time.monotonic()
        with (out / "fit.jsonl").open("a") as log:
            while self.elapsed_s < limit_s:
                loss = self.take_step(next(batches), self.elapsed_s / limit_s)
                self.elapsed_s = time.monotonic() - start_s
                if self.step % LOG_EVERY_STEPS == 0:
                    line = {"step": self.step, "seconds": round(self.elapsed_s, 1), "loss": round(float(loss), 4)}
                    line |= {"clips": self.num_clips}
                    if self.step % (20 * LOG_EVERY_STEPS) == 0:
                        line |= {"held_out": measure(self.averaged(), (9, 64, 96), 16)}
                    print(json.dumps(line), file=log, flush=True)
                if time.monotonic() - saved_s > SAVE_EVERY_S:
                    self.save(out / "state.pt")
                    saved_s = time.monotonic()

    def take_step(self, planned: Plan, progress: float) -> Tensor:
        """One step on the clips of a plan; returns the loss."""
        clips = draw(planned, self.device) / 127.5 - 1.0
        if self.device == "cpu":
            self.network.zero_grad(set_to_none=True)
            loss = self.backward(clips)
        else:
            if clips.shape not in self._captured:
                self._captured[clips.shape] = _CapturedBackward(self, clips)
            loss = self._captured[clips.shape].replay(clips)
        for optimizer, rate in self.optimizers:
            optimizer.param_groups[0]["lr"] = rate * _schedule(self.step, progress)
            optimizer.step()
        with torch.no_grad():
            decay = min(AVERAGE_DECAY, (1 + self.step) / (10 + self.step))
            averages: list[Tensor] = list(self.average.values())
            values: list[Tensor] = list(self.network.parameters())
            torch._foreach_lerp_(averages, values, 1 - decay)
        self.step += 1
        self.num_clips += len(clips)
        return loss.detach()

    def backward(self, clips: Tensor) -> Tensor:
        """The loss, whose gradients are added to those of the network."""
        with torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16):
            latent = self.network.encode(clips)
            video = self.network.decode(self._noised(latent))
        loss = reconstruction_loss(video.float(), clips) + SCALE_WEIGHT * latent.float().square().mean()
        loss.backward()
        return loss

    def _noised(self, latent: Tensor) -> Tensor:
        """Latents with noise in proportion to the spread of their channels, of an amount that differs by clip."""
        with torch.no_grad():
            flat = latent.float().transpose(0, 1).flatten(1)
            now = torch.stack([flat.mean(dim=1), flat.square().mean(dim=1)])
            self.statistics.lerp_(now, 1 - STATISTICS_DECAY)
            mean, square = self.statistics
            deviation = (square - mean.square()).clamp(min=1e-8).sqrt().view(1, -1, 1, 1, 1)
            amount = MAX_NOISE * torch.rand(len(latent), 1, 1, 1, 1, device=latent.device)
            noise = amount * deviation * torch.randn_like(latent, dtype=torch.float32)
        return latent + noise.to(latent.dtype)

    def averaged(self) -> Autoencoder:
        """A network with the averaged weights, and with the statistics of now."""
        mean, square = self.statistics
        std = (square - mean.square()).clamp(min=1e-8).sqrt()
        config = replace(self.network.config, latent_mean=tuple(mean.tolist()), latent_std=tuple(std.tolist()))
        network = Autoencoder(config).to(self.device)
        network.load_state_dict(self.average)
        return network.eval().requires_grad_(False)

    def save(self, path: Path) -> None:
        state = {"step": self.step, "num_clips": self.num_clips, "elapsed_s": self.elapsed_s}
        state |= {"network": self.network.state_dict(), "average": self.average, "statistics": self.statistics}
        partial = path.with_name(path.name + ".partial")
        torch.save(state | {"optimizers": [o.state_dict() for o, _ in self.optimizers]}, partial)
        os.replace(partial, path)

    def resume(self, path: Path) -> None:
        """Go on from a saved state, if there is one."""
        if not path.exists():
            return
        state: dict[str, Any] = torch.load(path, map_location=self.device)
        self.step, self.num_clips, self.elapsed_s = state["step"], state["num_clips"], state["elapsed_s"]
        self.network.load_state_dict(state["network"])
        self.average, self.statistics = state["average"], state["statistics"]
        for (optimizer, _), saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


class _CapturedBackward:
    """`Fit.backward` on clips of one shape as a CUDA graph: its thousand kernels start at once, which takes the
    interpreter longer than the GPU needs to run them."""

    def __init__(self, fit: Fit, clips: Tensor) -> None:
        self._network, self._clips = fit.network, clips.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_CALLS):
                fit.backward(self._clips)
        torch.cuda.current_stream().wait_stream(side)
        fit.network.zero_grad(set_to_none=True)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._loss = fit.backward(self._clips)
        self._gradients = [parameter.grad for parameter in fit.network.parameters()]

    def replay(self, clips: Tensor) -> Tensor:
        self._clips.copy_(clips)
        self._graph.replay()
        for parameter, gradient in zip(self._network.parameters(), self._gradients, strict=True):
            parameter.grad = gradient
        return self._loss


WARM_UP_CALLS = 3
"""Before a capture, as PyTorch asks for."""


def _optimizers(network: nn.Module) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for kernels, AdamW for vectors, each with its peak learning rate."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    adamw = torch.optim.AdamW(vectors, lr=VECTOR_LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    return [(Muon(kernels, lr=KERNEL_LEARNING_RATE), KERNEL_LEARNING_RATE), (adamw, VECTOR_LEARNING_RATE)]


def _batches(seed: int, first_step: int, device: str) -> Iterator[Plan]:
    """The plans of all steps from one on, in order, made ahead by all processors but two; on a CPU as they come."""
    kind = device.split(":")[0]
    num_makers = max((os.cpu_count() or 1) - 2, 1)
    if kind == "cpu":
        step = first_step
        while True:
            yield _plan_of_step(seed, step, kind)
            step += 1
    context = multiprocessing.get_context("spawn")
    queues: list[Queue[Plan]] = [context.Queue(maxsize=4) for _ in range(num_makers)]
    for rank, queue in enumerate(queues):
        context.Process(
            target=_make_plans, args=(queue, seed, first_step + rank, num_makers, kind), daemon=True
        ).start()
    while True:
        for queue in queues:
            yield queue.get()


def _make_plans(queue: Queue[Plan], seed: int, first_step: int, stride: int, kind: str) -> None:
    step = first_step
    while True:
        queue.put(_plan_of_step(seed, step, kind))
        step += stride


def _plan_of_step(seed: int, step: int, kind: str) -> Plan:
    T, H, W = shape = SHAPES_THW[step % len(SHAPES_THW)]
    most = max(BATCH_PIXELS[kind] // (t * h * w) for t, h, w in SHAPES_THW)
    return _planned(_first_seed(seed) + step * most, shape, max(BATCH_PIXELS[kind] // (T * H * W), 1))


def _first_seed(seed: int) -> int:
    """The first seed of a fit. Each fit has ten million seeds of its own, all below the held-out ones."""
    return 10_000_000 * (1 + seed % 90)


def _schedule(step: int, progress: float) -> float:
    """Share of the peak learning rate: a warm-up, and a cosine down to 1% over `progress` in [0, 1]."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def _card(
    autoencoder: Autoencoder,
    quality: dict[str, dict[str, float]],
    plain: dict[str, dict[str, float]],
    fit: Fit,
    args: argparse.Namespace,
) -> str:
    num_parameters = sum(p.numel() for p in autoencoder.parameters())
    rows = "\n".join(
        f"| {shape} | {db['all']:.1f} | {format(db['moving'], '.1f') if 'moving' in db else ''} | {db['noised']:.1f} |"
        for shape, db in quality.items()
    )
    shares = "\n".join(
        f"| {what} | " + " | ".join(f"{100 * share:.1f}" for share in of.values()) + " |" for what, of in plain.items()
    )
    start = f" It continued from `{args.init}`." if args.init else ""
    where = torch.cuda.get_device_name() if args.device != "cpu" else "a CPU"
    return f"""# A small causal 3D autoencoder

{num_parameters:,} parameters, stride 4x8x8, {autoencoder.config.latent_channels} latent channels, stored as fp16.
Code: `model/codec/causal.py`.

Fitted by `python -m jobs.fits.autoencoder --minutes {args.minutes:g} --seed {args.seed} --device {args.device}`
({fit.step:,} steps, {fit.num_clips:,} clips, {where}) on synthetic clips (`pipeline/synthetic`) only.{start} It is not
meant for footage: reconstructed real video is recognisable at best.

Reconstruction of {args.clips} synthetic clips of each shape with seeds that are never used for fitting, PSNR in dB:
of all pixels, of pixels that change by more than 8 levels from frame to frame, and of all with noise of standard
deviation {MAX_NOISE} on the whitened latents.

| frames x size | all | moving | noised |
|---|---|---|---|
{rows}

What a program (`jobs/fits/plain_world.py`) reads rightly of {4 * args.clips} held-out clips of one large plain object
on a plain ground, in %:

| | shape | colour | direction | background | all at once |
|---|---|---|---|---|---|
{shares}
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    raise SystemExit(run(parser.parse_args()))
