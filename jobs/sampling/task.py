"""What a clip is made from beside its prompt: a video that it continues, leads up to, edits or goes over into another.

A clip begins with frames that training can have given; its last ones are shown to the transformer as noisy as the rest,
so that any run can end with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from jobs.sampling.condition import Source, frames_of, last_frames, num_frames_of
from jobs.training.run_config import RunConfig
from model.codec.padding import padded
from model.codec.spec import CodecPlan, num_frames
from model.codec.video_codec import VideoCodec, encode_frames, whiten
from model.diffusion.requests import Given, crossfaded
from model.packing.packs import LoneFrame
from schemas.errors import UsageError

LEAST_TO_BLEND = 3
"""Latent frames: a beginning, an end, and what is between them."""


@dataclass(frozen=True)
class Task:
    """Without anything, the prompt alone."""

    source: Source | None = None
    """Its end is what the clip starts with, unless something else is said."""
    strength: float | None = None
    """Of an edit of the beginning of the source, or of a blend: 0 leaves it as it is, 1 leaves nothing of it."""
    region_px: tuple[int, int, int, int] | None = None
    """Of an edit: left, top, width and height in pixels of the clip; what is outside stays."""
    last: Source | None = None
    """The picture that the clip ends with, encoded on its own."""
    backwards: bool = False
    """The clip ends with the beginning of the source."""
    blend: Source | None = None
    """The clip begins as the source begins, and ends as this video ends."""

    @property
    def is_edit(self) -> bool:
        return self.blend is None and (self.strength is not None or self.region_px is not None)


@dataclass(frozen=True)
class Parts:
    """What of a request follows from a task. Latents are whitened."""

    given: tuple[Given, ...] = ()
    frames: tuple[LoneFrame, ...] = ()
    source_CTHW: torch.Tensor | None = None
    kept_T: torch.Tensor | None = None
    period: int | None = None


def parts_of(task: Task, codec: VideoCodec, plan: CodecPlan, config: RunConfig) -> Parts:
    """Read and encode what the task is from.

    Raises:
        UsageError: a frame cannot be decoded, a source or the clip is too short, or a region is outside the clip.
    """
    frames = () if task.last is None else (encoded_last(codec, task.last, plan, config),)
    if task.source is None:
        return Parts(frames=frames)
    if task.blend is not None:
        return _blended(task.source, task.blend, task.strength, codec, plan, config)
    if task.backwards:
        return Parts((_ending(task.source, codec, plan, config),))
    if not task.is_edit:
        shown = last_frames(task.source, plan.valid[1:], config.fps, most_context(plan, config), config.stride_thw[0])
        return Parts((Given(encoded(codec, shown, plan)),), frames)
    latent = encoded(codec, frames_of(task.source, plan.valid[1:], config.fps, plan.valid[0]), plan)
    given = () if task.region_px is None else (Given(latent, mask_THW=outside(task.region_px, plan, config)),)
    return Parts(given, frames, latent if task.strength is not None else None)


def most_context(plan: CodecPlan, config: RunConfig) -> int:
    """Frames of what comes before that a clip starts with at most: half of its latent frames."""
    return num_frames(plan.latent_shape[1] // 2, config.stride_thw[0])


def _blended(
    first: Source, second: Source, strength: float | None, codec: VideoCodec, plan: CodecPlan, config: RunConfig
) -> Parts:
    """The beginning of one video and the end of another, a third of the clip each; between them nothing, or where one
    goes over into the other."""
    T = _latent_frames(plan, config)
    if T < LEAST_TO_BLEND:
        raise UsageError(f"--blend {second.path}: {plan.valid[0]} frames leave nothing between; ask for more --seconds")
    count, size_px, fps = plan.valid[0], plan.valid[1:], config.fps
    beginning = encoded(codec, frames_of(first, size_px, fps, count), plan)
    ending = encoded(codec, frames_of(second, size_px, fps, count, from_end=True), plan)
    third = T // LEAST_TO_BLEND
    given = Given(beginning[:, :third]), Given(ending[:, T - third :], T - third, shown="noisy")
    return Parts(given, source_CTHW=None if strength is None else crossfaded(beginning, ending))


def _ending(source: Source, codec: VideoCodec, plan: CodecPlan, config: RunConfig) -> Given:
    """The beginning of a source as the end of the clip, half of its latent frames or as many as there are.

    They are encoded after a still of its first frame, as latents that are not the first of a clip depend on those
    before.
    """
    T, stride_t = _latent_frames(plan, config), config.stride_thw[0]
    have = num_frames_of(source, config.fps)
    start = next((t for t in range(T - T // 2, T) if plan.valid[0] - num_frames(t, stride_t) <= have), T - 1)
    shown = frames_of(source, plan.valid[1:], config.fps, plan.valid[0] - num_frames(start, stride_t))
    still = np.repeat(shown[:1], num_frames(start, stride_t), axis=0)
    return Given(encoded(codec, np.concatenate([still, shown]), plan)[:, start:], start, shown="noisy")


def _latent_frames(plan: CodecPlan, config: RunConfig) -> int:
    """Latent frames with some of the clip's own frames, and not only with what fills up a patch."""
    return -(-(plan.valid[0] - 1) // config.stride_thw[0]) + 1


def encoded(codec: VideoCodec, frames: np.ndarray, plan: CodecPlan) -> torch.Tensor:
    """Whitened latents, (C, T, H, W), of (T, H, W, 3) uint8 frames of the plan's valid size, padded as it says.

    Fewer frames than those of the plan must be whole latent frames.
    """
    if len(frames) < plan.valid[0]:
        valid, whole = ((len(frames), *size[1:]) for size in (plan.valid, plan.encoded))
        plan = replace(plan, valid=valid, encoded=whole)
    pixels = torch.from_numpy(np.array(padded(frames, plan)))
    return whiten(encode_frames(codec, pixels)[None].float(), codec.spec)[0].cpu()


def encoded_last(codec: VideoCodec, picture: Source, plan: CodecPlan, config: RunConfig) -> LoneFrame:
    """The picture, or the last frame of a video, as the last frame of the clip."""
    frame = last_frames(picture, plan.valid[1:], config.fps, 1, config.stride_thw[0])
    return LoneFrame(encoded(codec, frame, plan)[:, 0], (plan.valid[0] - 1) / config.fps)


def outside(region_px: tuple[int, int, int, int], plan: CodecPlan, config: RunConfig) -> torch.Tensor:
    """Which latents are not of a region, (1, H, W) bool; one that is in it in part is of it.

    Raises:
        UsageError: nothing of the region is in the clip, or all of the clip is in the region.
    """
    left, top, width, height = region_px
    _, _, rows, columns = plan.latent_shape
    _, stride_h, stride_w = config.stride_thw
    inside = torch.zeros(1, rows, columns, dtype=torch.bool)
    first_row, last_row = top // stride_h, -(-(top + height) // stride_h)
    first_column, last_column = left // stride_w, -(-(left + width) // stride_w)
    inside[:, first_row:last_row, first_column:last_column] = True
    if not inside.any() or inside.all():
        size = f"{plan.valid[1]}x{plan.valid[2]}"
        raise UsageError(f"--region {left} {top} {width} {height}: not a part of a clip of {size}")
    return ~inside
