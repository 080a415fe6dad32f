"""The frames of clips that models are shown: at given times, inside the content box, reduced to a size.

A video is read once, in the order of time, for all its clips and for all that wants frames of them.
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.decode.random_access import TimedFrames
from pipeline.decode.sizes import fit_to_budget
from pipeline.ingest.failures import Failure, MediaError
from pipeline.ingest.filesystems import local_copy
from pipeline.ingest.sandbox import ChildDied, Limits, streamed
from schemas.recipe.limits import LimitsConfig

Clip = Mapping[str, Any]
"""A row of `clips`."""


@dataclass(frozen=True)
class Sampling:
    """Which frames of a clip to read: when they are shown, ascending, and their width and height."""

    times_us: tuple[int, ...]
    size: tuple[int, int]

    @classmethod
    def within(cls, clip: Clip, times_us: Sequence[int], max_pixels_px: int) -> Sampling:
        """At the clip's native aspect ratio, with no more pixels than a budget."""
        return cls(
            tuple(times_us), fit_to_budget(clip["content_box"][2], clip["content_box"][3], max_pixels_px, multiple=1)
        )


@dataclass(frozen=True)
class SampledClip:
    """Frames (T, H, W, 3) uint8 RGB with their times from the clip's start; or none, and why they could not be read."""

    frames: np.ndarray
    times_s: list[float]
    failure: Failure | None = None


@dataclass(frozen=True)
class VideoClips:
    """Clips of one video, in the order of time, each with the samplings that are wanted of it."""

    uri: str
    regular: bool
    """Whether the file's own clock is known to be right, so that gaps may be skipped."""
    clips: Sequence[Clip]
    samplings: Sequence[Sequence[Sampling]]

    @classmethod
    def of(cls, clips: Sequence[Clip], wanted: Callable[[Clip], Sequence[Sampling]]) -> VideoClips:
        """Clips of one video, which say where it is."""
        first = clips[0]
        return cls(first["uri"], bool(first.get("regular")), clips, [wanted(clip) for clip in clips])


def by_video(clips: Iterable[Clip]) -> list[list[Clip]]:
    """Clips grouped by the file that they are read from, in the order of time within each."""
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip["uri"]].append(clip)
    return [sorted(groups[uri], key=lambda clip: (clip["start_us"], clip["clip_id"])) for uri in sorted(groups)]


def sample_times_us(start_us: int, end_us: int, num_frames: int) -> list[int]:
    """Middles of `num_frames` equal parts of a span, so that the first and the last count like any other.

    Raises:
        ValueError: fewer than one frame, or a span that ends before it starts.
    """
    if num_frames < 1 or end_us < start_us:
        raise ValueError(f"cannot take {num_frames} frames of the span {start_us}..{end_us} us")
    return [start_us + (2 * i + 1) * (end_us - start_us) // (2 * num_frames) for i in range(num_frames)]


def spread_times_us(clip: Mapping[str, Any], num_frames: int) -> list[int]:
    """Times of `num_frames` frames spread over a clip, or of as many as it has; one for an image."""
    num_frames = 1 if clip["is_image"] else min(num_frames, clip["num_frames"])
    return sample_times_us(clip["start_us"], clip["end_us"], num_frames)


def spread(clip: Clip, num_frames: int, max_pixels_px: int) -> Sampling:
    """Frames spread over a clip, within a budget of pixels each."""
    return Sampling.within(clip, spread_times_us(clip, num_frames), max_pixels_px)


def read_clips(video: VideoClips) -> Iterator[tuple[int, list[np.ndarray]]]:
    """The number of each clip, and the frames of each of its samplings, as soon as all are there.

    Raises:
        OSError: the file cannot be read.
        MediaError: the file does not decode.
    """
    wanted = sorted(
        (time_us, clip, number)
        for clip, samplings in enumerate(video.samplings)
        for number, sampling in enumerate(samplings)
        for time_us in sampling.times_us
    )
    found: dict[int, list[list[np.ndarray]]] = {}
    with local_copy(video.uri, hashed=False) as local, TimedFrames(local.path, regular=video.regular) as frames:
        for (_, clip, number), shown in zip(wanted, frames.at(time_us for time_us, _, _ in wanted), strict=True):
            row, samplings = video.clips[clip], video.samplings[clip]
            of_clip = found.setdefault(clip, [[] for _ in samplings])
            displayed = (row["width"], row["height"])
            of_clip[number].append(shown.cut(row["content_box"], displayed, samplings[number].size))
            if all(len(seen) == len(sampling.times_us) for seen, sampling in zip(of_clip, samplings, strict=True)):
                yield clip, [np.stack(seen) for seen in found.pop(clip)]


def sample_video(limits: LimitsConfig, video: VideoClips) -> Iterator[tuple[int, list[SampledClip]]]:
    """The number of each clip, and what each of its samplings gives or why it gives nothing.

    The video is read in a process of its own. If that dies, the clip that it was at has failed, and the others are read
    by another one; if that dies too without having read a clip, none of them is.
    """
    left = list(range(len(video.clips)))
    while left:
        part = VideoClips(video.uri, video.regular, [video.clips[i] for i in left], [video.samplings[i] for i in left])
        done: set[int] = set()
        failure, num_failed = None, len(left)
        try:
            for number, frames in streamed(limits_of(limits), read_clips, part):
                done.add(left[number])
                yield left[number], _sampled(video, left[number], frames, None)
        except (OSError, MediaError) as error:
            failure = Failure.of(error)
        except ChildDied as death:
            failure, num_failed = Failure.of(death), 1 if done else len(left)
        left = [number for number in left if number not in done]
        if failure is None:
            return
        for number in left[:num_failed]:
            yield number, _sampled(video, number, None, failure)
        left = left[num_failed:]


def _sampled(
    video: VideoClips, number: int, frames: Sequence[np.ndarray] | None, failure: Failure | None
) -> list[SampledClip]:
    start_us, samplings = video.clips[number]["start_us"], video.samplings[number]
    if frames is None:
        return [SampledClip(np.zeros((0, *sampling.size[::-1], 3), np.uint8), [], failure) for sampling in samplings]
    return [
        SampledClip(seen, [(time_us - start_us) * 1e-6 for time_us in sampling.times_us])
        for seen, sampling in zip(frames, samplings, strict=True)
    ]


def row_of(clip: Clip, sampled: SampledClip) -> dict[str, Any]:
    """A clip and its frames as a row between operators; `frames_of` and `failures_of` read it."""
    failure = sampled.failure
    return {
        "clip": pickle.dumps(clip),
        "frames": sampled.frames.tobytes(),
        "shape": list(sampled.frames.shape),
        "times_s": [float(time_s) for time_s in sampled.times_s],
        "failure": f"frames: {failure}" if failure else "",
        "transient": failure is not None and failure.transient,
    }


def frames_of(batch: pa.Table) -> list[np.ndarray]:
    """The frames of each row, from columns `frames` (bytes) and `shape`: (T, H, W, 3) uint8, T = 0 if unreadable."""
    pairs = zip(batch["frames"].to_pylist(), batch["shape"].to_pylist(), strict=True)
    return [np.frombuffer(data, np.uint8).reshape(shape) for data, shape in pairs]


def limits_of(config: LimitsConfig) -> Limits:
    """The recipe's limits for a process of its own."""
    return Limits(stall_s=config.stall_s, call_s=config.call_s, memory_bytes=round(config.memory_mib * 2**20))
