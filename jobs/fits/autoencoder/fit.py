"""The loop of the fit: steps, averages, and a state from which a fit that was cut off goes on as if it had not been."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jobs.fits.autoencoder.adversarial import LEARNING_RATE as DISCRIMINATOR_LEARNING_RATE
from jobs.fits.autoencoder.adversarial import Adversary
from jobs.fits.autoencoder.captured import CapturedBackward
from jobs.fits.autoencoder.clips import batches, held_out_clips
from jobs.fits.autoencoder.losses import reconstruction_loss
from jobs.fits.autoencoder.measures import measure
from jobs.fits.batched_render import Plan, draw
from model.codec.bottlenecks.config import as_entry
from model.codec.causal import Autoencoder
from model.codec.layers import NormSiLU
from model.training.muon import Muon

KERNEL_LEARNING_RATE = 2e-2
"""For Muon, on the kernels; AdamW fits the biases and norms."""
VECTOR_LEARNING_RATE = 2e-3
AVERAGE_DECAY = 0.999
WARM_UP_STEPS = 200
LOG_EVERY_STEPS, SAVE_EVERY_S = 100, 120.0


@dataclass(frozen=True)
class Extras:
    """Losses beside that on pixels and the bottleneck's own; none of them unless asked for."""

    perceptual: nn.Module | None = None
    """Takes two videos and gives their distance."""
    perceptual_weight: float = 1.0
    adversary: Adversary | None = None


@dataclass
class Fit:
    """A network with all that a fit adds to it."""

    network: Autoencoder
    seed: int
    device: str
    extras: Extras = Extras()
    precision: torch.dtype = torch.bfloat16
    """Of the networks' activations. A CPU without units for bfloat16 takes three times as long as for float32."""
    batch_px: int | None = None
    """Pixels in a batch, if others than `clips.BATCH_PIXELS` says."""
    step: int = 0
    num_clips: int = 0
    elapsed_s: float = 0.0
    optimizers: list[tuple[torch.optim.Optimizer, float]] = field(init=False)
    """Each with its peak learning rate."""
    average: dict[str, Tensor] = field(init=False)
    """Of all that is saved of the network, its codebook too, so that it stays that of the averaged encoder."""

    _captured: dict[tuple[torch.Size, bool], CapturedBackward] = field(default_factory=dict)
    """By the shape of the clips and whether there is an adversarial loss, on a GPU."""

    def __post_init__(self) -> None:
        self.optimizers = _optimizers(self.network)
        if self.extras.adversary:
            self.optimizers.append((self.extras.adversary.optimizer(), DISCRIMINATOR_LEARNING_RATE))
        self._parameters = [p for optimizer, _ in self.optimizers for p in optimizer.param_groups[0]["params"]]
        self._now = self.network.state_dict()
        self.average = {name: value.clone() for name, value in self._now.items()}

    def run(self, limit_s: float, out: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Take steps until the time is up, with a line in `fit.jsonl` now and then.

        Args:
            clock: gives seconds: those on the wall, or of the processor.
        """
        torch.set_float32_matmul_precision("high")
        planned = batches(self.seed, self.step, self.device, self.batch_px)
        for module in self.network.modules():
            if isinstance(module, NormSiLU) and self.device != "cpu":
                module.compile(dynamic=True)
        start_s, saved_s = clock() - self.elapsed_s, time.monotonic()
        with (out / "fit.jsonl").open("a") as log:
            while self.elapsed_s < limit_s:
                terms = self.take_step(next(planned), self.elapsed_s / limit_s)
                self.elapsed_s = clock() - start_s
                if self.step % LOG_EVERY_STEPS == 0:
                    line: dict[str, Any] = {"step": self.step, "seconds": round(self.elapsed_s, 1)}
                    line |= {name: round(float(value), 4) for name, value in terms.items()}
                    line |= {"clips": self.num_clips}
                    if self.step % (20 * LOG_EVERY_STEPS) == 0:
                        line |= {"held_out": measure(self.averaged(), held_out_clips((9, 64, 96), 16, self.device))}
                    print(json.dumps(line), file=log, flush=True)
                if time.monotonic() - saved_s > SAVE_EVERY_S:
                    self.save(out / "state.pt")
                    saved_s = time.monotonic()

    def take_step(self, planned: Plan, progress: float) -> dict[str, Tensor]:
        """One step on the clips of a plan; returns the loss, as `loss`, and its terms."""
        clips = draw(planned, self.device) / 127.5 - 1.0
        adversary = self.extras.adversary
        judged = adversary is not None and self.step >= adversary.start_step
        if self.device == "cpu":
            for parameter in self._parameters:
                parameter.grad = None
            terms = self.backward(clips, judged)
        else:
            key = clips.shape, judged
            if key not in self._captured:
                backward = partial(self.backward, judged=judged)
                self._captured[key] = CapturedBackward(backward, self._parameters, clips)
            terms = self._captured[key].replay(clips)
        for optimizer, rate in self.optimizers:
            optimizer.param_groups[0]["lr"] = rate * _schedule(self.step, progress)
            optimizer.step()
        with torch.no_grad():
            decay = min(AVERAGE_DECAY, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(list(self.average.values()), list(self._now.values()), 1 - decay)
        self.step += 1
        self.num_clips += len(clips)
        return terms

    def backward(self, clips: Tensor, judged: bool = False) -> dict[str, Tensor]:
        """The loss, as `loss`, and its terms; the loss's gradients are added to those of the network.

        Args:
            judged: whether there is an adversarial loss; the discriminator's gradients are then added to its own.
        """
        lower = self.precision != torch.float32
        autocast = torch.autocast(self.device.split(":")[0], dtype=self.precision if lower else None, enabled=lower)
        bottleneck, extras = self.network.bottleneck, self.extras
        with autocast:
            encoded = self.network.before_bottleneck(bottleneck.corrupted(clips))
        passed = bottleneck(encoded)
        with autocast:
            video = self.network.decode(passed.latent_BCTHW).float()
        terms = {"reconstruction": reconstruction_loss(video, clips)}
        if extras.perceptual:
            terms["perceptual"] = extras.perceptual_weight * extras.perceptual(video, clips)
        if judged and extras.adversary:
            last = self.network.decoder["leave"].get_parameter("weight")
            with autocast:
                judgement = extras.adversary.of_reconstruction(video, sum_of(terms), last)
            terms["adversarial"] = judgement
        terms |= passed.losses
        loss = sum_of(terms)
        loss.backward(inputs=list(self.network.parameters()))
        if judged and extras.adversary:
            with autocast:
                terms["discriminator"] = extras.adversary.of_discriminator(video, clips)
            terms["discriminator"].backward(inputs=list(extras.adversary.discriminator.parameters()))
        return {name: term.detach() for name, term in {"loss": loss, **terms}.items()}

    def averaged(self) -> Autoencoder:
        """A network with the averaged weights, and with the statistics of now."""
        bottleneck = self.network.bottleneck
        mean, std = tuple(bottleneck.running_mean.tolist()), tuple(bottleneck.running_std().tolist())
        network = Autoencoder(replace(self.network.config, latent_mean=mean, latent_std=std)).to(self.device)
        network.load_state_dict(self.average)
        return network.eval().requires_grad_(False)

    def save(self, path: Path) -> None:
        """Write all that the next steps depend on; a reader sees the old file or the new one."""
        state: dict[str, Any] = {"step": self.step, "num_clips": self.num_clips, "elapsed_s": self.elapsed_s}
        state |= {
            "network": self._now,
            "average": self.average,
            "bottleneck": as_entry(self.network.config.bottleneck),
            "buffers": dict(self.network.bottleneck.named_buffers()),
        }
        state |= {"optimizers": [optimizer.state_dict() for optimizer, _ in self.optimizers]}
        if self.extras.adversary:
            state["discriminator"] = self.extras.adversary.discriminator.state_dict()
        state["random"] = torch.get_rng_state()
        if self.device != "cpu":
            state["random_of_gpu"] = torch.cuda.get_rng_state()
        partial_path = path.with_name(path.name + ".partial")
        torch.save(state, partial_path)
        os.replace(partial_path, path)

    def resume(self, path: Path) -> None:
        """Go on from a saved state, if there is one.

        Raises:
            ValueError: it is that of another fit.
        """
        if not path.exists():
            return
        state: dict[str, Any] = torch.load(path, map_location=self.device)
        buffers = dict(self.network.bottleneck.named_buffers())
        same = state["bottleneck"] == as_entry(self.network.config.bottleneck)
        if not same or ("discriminator" in state) != bool(self.extras.adversary):
            raise ValueError(f"{path} is the state of a fit with other options; give those, or another folder")
        self.step, self.num_clips, self.elapsed_s = state["step"], state["num_clips"], state["elapsed_s"]
        self.network.load_state_dict(state["network"])
        for name, value in state["buffers"].items():
            buffers[name].copy_(value)
        for name, value in state["average"].items():
            self.average[name].copy_(value)
        for (optimizer, _), saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self.extras.adversary:
            self.extras.adversary.discriminator.load_state_dict(state["discriminator"])
        torch.set_rng_state(state["random"].cpu())
        if self.device != "cpu":
            torch.cuda.set_rng_state(state["random_of_gpu"].cpu())


def sum_of(terms: dict[str, Tensor]) -> Tensor:
    """The sum of scalars, in their order."""
    return torch.stack(list(terms.values())).sum()


def _optimizers(network: nn.Module) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for kernels, AdamW for vectors, each with its peak learning rate."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    adamw = torch.optim.AdamW(vectors, lr=VECTOR_LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    return [(Muon(kernels, lr=KERNEL_LEARNING_RATE), KERNEL_LEARNING_RATE), (adamw, VECTOR_LEARNING_RATE)]


def _schedule(step: int, progress: float) -> float:
    """Share of the peak learning rate: a warm-up, and a cosine down to 1% over `progress` in [0, 1]."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))
