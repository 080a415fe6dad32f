"""What a clip is made from beside its prompt: the end of a video, a last picture, a video that is edited."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from jobs.sampling.condition import Source, first_frames, last_frames
from jobs.training.run_config import RunConfig
from model.codec.padding import padded
from model.codec.spec import CodecPlan, num_frames
from model.codec.video_codec import VideoCodec, encode_frames, whiten
from model.diffusion.requests import Given
from model.packing.packs import LoneFrame
from schemas.errors import UsageError


@dataclass(frozen=True)
class Task:
    """Without anything, the prompt alone."""

    source: Source | None = None
    """Its end is what the clip starts with; or the clip is an edit of its beginning."""
    strength: float | None = None
    """Of an edit: 0 leaves the source as it is, 1 leaves nothing of it."""
    region_px: tuple[int, int, int, int] | None = None
    """Of an edit: left, top, width and height in pixels of the clip; what is outside stays."""
    last: Source | None = None
    """The picture that the clip ends with."""

    @property
    def is_edit(self) -> bool:
        return self.strength is not None or self.region_px is not None


@dataclass(frozen=True)
class Parts:
    """What of a request follows from a task. Latents are whitened."""

    given: tuple[Given, ...] = ()
    frames: tuple[LoneFrame, ...] = ()
    source_CTHW: torch.Tensor | None = None


def parts_of(task: Task, codec: VideoCodec, plan: CodecPlan, config: RunConfig) -> Parts:
    """Read and encode what the task is from.

    Raises:
        UsageError: a frame cannot be decoded, the source is too short to be edited, or a region outside the clip.
    """
    frames = () if task.last is None else (encoded_last(codec, task.last, plan, config),)
    if task.source is None:
        return Parts(frames=frames)
    if not task.is_edit:
        shown = last_frames(task.source, plan.valid[1:], config.fps, most_context(plan, config), config.stride_thw[0])
        return Parts((Given(encoded(codec, shown, plan)),), frames)
    latent = encoded(codec, first_frames(task.source, plan.valid[1:], config.fps, plan.valid[0]), plan)
    given = () if task.region_px is None else (Given(latent, mask_THW=outside(task.region_px, plan, config)),)
    return Parts(given, frames, latent if task.strength is not None else None)


def most_context(plan: CodecPlan, config: RunConfig) -> int:
    """Frames of what comes before that a clip starts with at most: half of its latent frames."""
    return num_frames(plan.latent_shape[1] // 2, config.stride_thw[0])


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
