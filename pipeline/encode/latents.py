"""Latents: a whole clip at its native size, or within a budget of pixels and tokens, through the video codec.

Frames are read at a fixed rate over the clip, for all of it is what its caption describes. A clip of more tokens than
its budget has its frames reduced, aspect kept; none is left out. Nothing is stretched to fit the codec: what lacks to
whole latents, and to patches of 2 x 2 of them, is padded, and the row says which part is the clip's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.codec.padding import padded
from model.codec.spec import CodecPlan, CodecSpec
from pipeline import decode
from pipeline.decode.clip_frames import Clip, Sampling
from pipeline.decode.clock import MICROSECONDS
from pipeline.decode.sizes import fit_to_budget
from pipeline.ingest.failures import one_line
from schemas.identity import digest
from schemas.recipe.encode import EncodeConfig

PATCH_HW = 2
"""Rows and columns of latents in a patch of the transformer, by default ([train.model])."""
OK, FAILED = "ok", "failed"
STEP_DOWN = 0.98
"""Factor by which pixels are reduced, or more, to save tokens: padding may leave their number as it was."""


@dataclass(frozen=True)
class LatentPlan:
    """Which frames of a clip are read, at what size, and how they are padded."""

    sampling: Sampling
    codec: CodecPlan


class TooManyTokens(ValueError):
    """A clip that is over its budget of tokens even if each frame is one patch."""


def whole_frames(clip: Clip, fps: float) -> int:
    """Frames of a whole clip at a rate."""
    return 1 if clip["is_image"] else max(1, int((clip["end_us"] - clip["start_us"]) * fps / MICROSECONDS))


def num_frames(clip: Clip, config: EncodeConfig) -> int:
    """Frames that are read of a clip."""
    frames = whole_frames(clip, config.fps)
    return min(frames, config.max_frames) if config.max_frames else frames


def sizes_of(frames: int, width: int, height: int, config: EncodeConfig, codec: CodecSpec) -> CodecPlan:
    """At what sizes a clip is encoded.

    Args:
        frames: that are read of it.
        width, height: of its content box, in pixels.
    Raises:
        TooManyTokens: no size is small enough.
    """
    patch_thw = (1, PATCH_HW, PATCH_HW)
    return largest_plan(codec, frames, (width, height), config.max_pixels_px, config.max_tokens, patch_thw)


def largest_plan(
    codec: CodecSpec,
    frames: int,
    size: tuple[int, int],
    max_pixels_px: int,
    max_tokens: int,
    patch_thw: tuple[int, int, int],
    multiple: int = 1,
) -> CodecPlan:
    """The plan of frames of a size, reduced until they are within a budget of pixels and of tokens.

    Args:
        size: width and height in pixels.
        multiple: of which reduced sides are.
    Raises:
        TooManyTokens: no size is small enough.
    """
    budget_px = float(min(max_pixels_px, math.prod(size)))
    while True:
        plan = codec.plan(frames, *fit_to_budget(*size, round(budget_px), multiple), patch_thw=patch_thw)
        tokens = math.prod(plan.latent_shape[1:]) / math.prod(patch_thw)
        if tokens <= max_tokens:
            return plan
        if plan.latent_shape[2:] == patch_thw[1:]:
            raise TooManyTokens(f"{frames} frames are {tokens:g} tokens at the smallest size, more than {max_tokens}")
        budget_px *= min(max_tokens / tokens, STEP_DOWN)


def place_of(frame: str, num_frames: int) -> int:
    """Which of the frames that are read of a clip is the `first`, `middle` or `last`, from 0."""
    return {"first": 0, "middle": num_frames // 2, "last": num_frames - 1}[frame]


def plan_clip(clip: Clip, config: EncodeConfig, codec: CodecSpec) -> LatentPlan:
    """What is encoded of a clip of a release.

    Args:
        clip: where it has a `frame`, that one alone is encoded, at the size of the clip.
    Raises:
        TooManyTokens: it is too long for its budget.
    """
    span_us = clip["end_us"] - clip["start_us"]
    frames = num_frames(clip, config)
    step_us = MICROSECONDS / config.fps
    first_us = clip["start_us"] + (span_us - frames * step_us) / 2 if frames > 1 else clip["start_us"] + span_us / 2
    times_us = [int(first_us + (i + 0.5) * step_us) if frames > 1 else int(first_us) for i in range(frames)]
    _, _, width, height = clip["content_box"]
    plan = sizes_of(frames, width, height, config, codec)
    if frame := clip.get("frame"):
        times_us, plan = [times_us[place_of(frame, frames)]], one_frame(plan, codec)
    return LatentPlan(Sampling(tuple(times_us), plan.valid[1:]), plan)


def one_frame(plan: CodecPlan, codec: CodecSpec) -> CodecPlan:
    """The plan of one frame of a clip alone: its latent has the rows and columns of the clip's."""
    return codec.plan(1, *plan.valid[1:], patch_thw=(1, PATCH_HW, PATCH_HW))


BATCH_PX = 1 << 19
"""Pixels of all frames of the clips that are encoded together, where they are small: on two cores, clips of 17 frames
of 96 x 64 are a quarter faster in batches of four, those of 320 x 240 are not, and on one core none is."""
VERSION = 3
"""Raised when other frames are read of a clip, are prepared otherwise, or give latents of other bits."""


def clip_transform(clip: Clip, transform: str, frame: str | None = None) -> str:
    """Fingerprint of what a latent is of, beside the clip's span and the autoencoder.

    Args:
        transform: of the settings (`EncodeConfig.transform`).
        frame: that is encoded alone; None for the whole clip.
    """
    whole = digest("latent", decode.VERSION, VERSION, transform, list(clip["content_box"]))
    return whole if frame is None else digest("latent of a frame", whole, frame)


class LatentEncoder:
    """Loads the codec once; then frames in, raw latents out."""

    def __init__(self, config: EncodeConfig, device: str = "cpu") -> None:
        """Load it.

        Args:
            device: of PyTorch, `cpu` or `cuda`.
        """
        import torch

        from model.codec.loading import load_codec
        from model.codec.video_codec import encode_batch

        self._torch, self._encode = torch, encode_batch
        self.codec = load_codec(config.autoencoder, device, getattr(torch, config.codec_dtype))
        self.fingerprint: str = self.codec.spec.fingerprint

    def __call__(self, frames: Sequence[np.ndarray], plan: CodecPlan) -> list[np.ndarray]:
        """Raw latents of clips that have the same plan.

        Args:
            frames: (T, H, W, 3) uint8 RGB of the plan's valid size.
        Returns:
            (C, T', H', W') floats of 32 bits a clip, the same bits for a clip alone and among others.
        Raises:
            MemoryError: a GPU has too little memory for the plan's size.
        """
        at_once = self.clips_at_once(plan)
        parts = [frames[start : start + at_once] for start in range(0, len(frames), at_once)]
        return [latent for part in parts for latent in self._encoded(np.stack([padded(clip, plan) for clip in part]))]

    def clips_at_once(self, plan: CodecPlan) -> int:
        """How many clips of a plan are taken through the codec together."""
        if not self.codec.is_exact_in_batches or self._torch.get_num_threads() == 1:
            return 1
        return max(1, BATCH_PX // math.prod(plan.encoded))

    def _encoded(self, frames_BTHWC: np.ndarray) -> np.ndarray:
        try:
            return self._encode(self.codec, self._torch.from_numpy(frames_BTHWC)).float().cpu().numpy()
        except self._torch.OutOfMemoryError as error:
            num_clips, frames, height, width, _ = frames_BTHWC.shape
            size = f"{num_clips} x {frames} frames of {width} x {height}"
            raise MemoryError(f"out_of_memory: the codec, at {size}: {one_line(error)}") from error


class OutOfRange(ValueError):
    """A value that float16 cannot hold."""


def as_half(values: np.ndarray, what: str) -> np.ndarray:
    """Floats as they are stored.

    Raises:
        OutOfRange: one is out of the range of float16.
    """
    if not np.abs(values).max() <= np.finfo(np.float16).max:
        raise OutOfRange(f"{what} cannot be stored as float16: it has values beyond 65504")
    return values.astype(np.float16)
