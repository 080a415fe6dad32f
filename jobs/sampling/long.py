"""Clips that are longer than what is sampled at once: each window continues what there is, from a choice of it.

`recent`: the last frames, half a window of them. They are encoded anew, as those of a video are that `--video`
continues, so that any run can go on from them that was trained with first frames given.

`fdm`: as many frames, half of them the last ones and half spread over the further past (Flexible Diffusion Modeling,
Harvey et al. 2022, its long-range sampling; not its hierarchy, which samples spread frames first). `anchor`: the first
frame of all, and the last eight before an overlap of eight, which is sampled again and blended at random with what was
there (StreamingT2V, Henschel et al. 2024). Both give latents of the whole long clip at their true times, and leave the
rest out, for which a run must be trained (`train.tasks.past`). Times are never further apart than in training: the
frames of `fdm` lie within the length of its longest clip, and an anchor that is older is told at that distance.

Shapes: C T H W a latent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from jobs.sampling.clip import Model, Settings, load_model
from jobs.sampling.task import Parts, Task, encoded, most_context, parts_of
from jobs.training.run_config import RunConfig
from model.codec.spec import CodecPlan, num_frames
from model.diffusion.requests import Given
from schemas.errors import UsageError

Context = Literal["recent", "fdm", "anchor"]
ANCHOR_FRAMES = 8
"""Before the overlap, and in it (StreamingT2V)."""


@torch.no_grad()
def sample_long(
    run: Path,
    prompt: str,
    config: RunConfig,
    window: CodecPlan,
    length: int,
    task: Task,
    settings: Settings,
    context: Context = "recent",
) -> np.ndarray:
    """Sample a long clip of `length` frames, (T, H, W, 3) uint8 RGB. Each window has noise of its own.

    Raises:
        UsageError: as `sample_frames`, or the run was not trained for the context, or the window has no room for it.
    """
    if context == "recent":
        return _by_frames(load_model(run, prompt, config, settings), window, length, task, settings)
    _require_possible(run, config, window, context)
    patch = config.train["model"]["patch"]
    plan = config.codec.plan(length, *window.valid[1:], patch)
    model = load_model(run, prompt, config, settings)
    latent = model.latent(window.latent_shape, parts_of(task, model.codec, window, config), settings).cpu()
    while latent.shape[1] < plan.latent_shape[1]:
        settings = replace(settings, seed=settings.seed + 1)
        latent = _CONTEXTS[context](model, latent, window.latent_shape[1], settings)
    return model.decoded(latent[:, : plan.latent_shape[1]], plan)


def _by_frames(model: Model, window: CodecPlan, length: int, task: Task, settings: Settings) -> np.ndarray:
    config = model.config
    frames = model.frames(window, parts_of(task, model.codec, window, config), settings)
    while len(frames) < length:
        settings = replace(settings, seed=settings.seed + 1)
        context = frames[-most_context(window, config) :]
        given = Parts((Given(encoded(model.codec, context, window)),))
        frames = np.concatenate([frames, model.frames(window, given, settings)[len(context) :]])
    return frames[:length]


def _with_spread_frames(model: Model, latent_CTHW: torch.Tensor, size: int, settings: Settings) -> torch.Tensor:
    """`fdm`: a window of `size` latent frames more."""
    there, most = latent_CTHW.shape[1], size // 2
    recent = -(-most // 2)
    new = size - most
    past = range(max(there + new - longest(model.config, size), 0), there - recent)
    spread = [past[int(i)] for i in np.linspace(0, len(past), min(most - recent, len(past)), endpoint=False)]
    return _continued(model, latent_CTHW, [*spread, *range(there - recent, there)], there, there + new, settings)


def _with_anchor(model: Model, latent_CTHW: torch.Tensor, size: int, settings: Settings) -> torch.Tensor:
    """`anchor`: a window of `size` latent frames more, of which some are there and blended."""
    before = overlap = anchor_frames(model.config)
    new = size - 1 - before - overlap
    there = latent_CTHW.shape[1]
    start = there - overlap
    return _continued(model, latent_CTHW, [0, *range(start - before, start)], start, there + new, settings)


_CONTEXTS: dict[str, Callable[[Model, torch.Tensor, int, Settings], torch.Tensor]] = {
    "fdm": _with_spread_frames,
    "anchor": _with_anchor,
}


def _continued(
    model: Model, latent_CTHW: torch.Tensor, context: list[int], start: int, end: int, settings: Settings
) -> torch.Tensor:
    """With frames from `start` to `end` sampled, given those of the context; those that are there are blended."""
    C, there, H, W = latent_CTHW.shape
    first = max(min(context), end - longest(model.config, end - start + len(context)))
    given = [Given(latent_CTHW[:, i : i + 1], max(i - first, 0)) for i in context]
    if start < there:
        given.append(Given(latent_CTHW[:, start:there], start - first, shown="blended"))
    kept_T = torch.zeros(end - first, dtype=torch.bool)
    kept_T[[max(i - first, 0) for i in context]] = True
    kept_T[start - first :] = True
    found = model.latent((C, end - first, H, W), Parts(tuple(given), kept_T=kept_T), settings)
    return torch.cat([latent_CTHW[:, :start], found[:, start - first :].cpu()], dim=1)


def longest(config: RunConfig, size: int) -> int:
    """Latent frames of the longest clip of training, or `size` if that is more."""
    return max((config.usual_num_frames - 1) // config.stride_thw[0] + 1, size)


def anchor_frames(config: RunConfig) -> int:
    """Latent frames of the last eight frames."""
    return -(-ANCHOR_FRAMES // config.stride_thw[0])


def _require_possible(run: Path, config: RunConfig, window: CodecPlan, context: Context) -> None:
    if not config.train.get("tasks", {}).get("past"):
        raise UsageError(f"--context {context}: run {run} was not trained on a part of the past (train.tasks.past)")
    if config.train["model"]["patch"][0] != 1:
        raise UsageError(f"--context {context}: frames of run {run} cannot be left out: its patches have several")
    taken = 1 + 2 * anchor_frames(config)
    if context == "anchor" and window.latent_shape[1] <= taken:
        least_s = num_frames(taken, config.stride_thw[0]) / config.fps
        raise UsageError(f"--context anchor: give a --window of more than {least_s:g} s, which it takes itself")
