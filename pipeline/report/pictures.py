"""Pictures of clips; each is in the page once, however often it is shown.

A picture is a row of frames spread over the clip. Frames are shown whole, because rules also look at their borders.
Each picture becomes the background of a CSS class, so that contact sheets, timelines and groups of duplicates share it.
A video is opened once for all of its clips.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from pipeline.decode.clip_frames import limits_of, sample_times_us
from pipeline.decode.random_access import frames_at
from pipeline.ingest.failures import MediaError
from pipeline.ingest.filesystems import local_copy
from pipeline.ingest.sandbox import ChildDied, isolated
from pipeline.report.thumbnails import data_uri
from schemas.recipe.limits import LimitsConfig

NUM_FRAMES = 3
HEIGHT_PX = 68
MAX_ASPECT = 2.0
"""Frames that are wider than this many times their height are shown lower than HEIGHT_PX."""
JPEG_QUALITY = 68

Progress = Callable[[], None]
"""Called after each clip whose frames were read."""


@dataclass(frozen=True)
class Picture:
    """How a clip's frames are shown: `num_frames` side by side, each of the given size."""

    style_class: str
    num_frames: int
    width_px: int
    height_px: int

    @property
    def strip(self) -> Markup:
        """CSS of an element that shows all frames."""
        return Markup("width:{}px;height:{}px").format(self.num_frames * self.width_px, self.height_px)

    @property
    def middle(self) -> Markup:
        """CSS of an element, of any size, that shows the middle frame."""
        return Markup("aspect-ratio:{}/{};background-size:{}% 100%;background-position:50%").format(
            self.width_px, self.height_px, 100 * self.num_frames
        )


@dataclass
class PictureCollector:
    """Collects the clips that a page shows, then reads the frames of all of them."""

    _wanted: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Videos whose pictures are missing, each with the reason."""

    def picture(self, clip: Mapping[str, Any]) -> Picture:
        """The picture of a row of `clips`, which `style_sheet` will read."""
        self._wanted.setdefault(clip["clip_id"], clip)
        return Picture(f"p-{clip['clip_id']}", _num_frames(clip), *_frame_size(clip))

    def style_sheet(self, progress: Progress) -> Markup:
        """Read the pictures of all collected clips, video by video; returns their CSS classes."""
        by_video: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for clip in self._wanted.values():
            by_video[clip["uri"]].append(clip)
        rules = []
        for uri, clips in sorted(by_video.items()):
            try:
                strips = isolated(limits_of(LimitsConfig()), read_strips, uri, clips)
            except (OSError, MediaError, ChildDied) as error:
                self.failures[uri] = str(error)
                continue
            for clip, strip in zip(clips, strips, strict=True):
                rule = Markup(".p-{}{{background-image:url({})}}\n")
                rules.append(rule.format(clip["clip_id"], data_uri("image/jpeg", strip)))
                progress()
        return Markup("").join(rules)


def read_strips(uri: str, clips: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """The pictures of some clips of one video, as JPEG.

    Raises:
        OSError, MediaError: the file is gone or cannot be decoded.
    """
    times_us = [sample_times_us(clip["start_us"], clip["end_us"], _num_frames(clip)) for clip in clips]
    ascending = sorted({time for times in times_us for time in times})
    place = {time: i for i, time in enumerate(ascending)}
    width, height = clips[0]["width"], clips[0]["height"]
    with local_copy(uri, hashed=False) as local:
        frames = frames_at(local.path, ascending, (0, 0, width, height), (width, height), _frame_size(clips[0]))
    return [_jpeg(np.concatenate([frames[place[time]] for time in times], axis=1)) for times in times_us]


def _num_frames(clip: Mapping[str, Any]) -> int:
    return 1 if clip["is_image"] else min(NUM_FRAMES, clip["num_frames"])


def _frame_size(clip: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of a frame in the picture of a clip."""
    aspect = clip["width"] / clip["height"]
    height = HEIGHT_PX * min(1.0, MAX_ASPECT / aspect)
    return max(1, round(height * aspect)), max(1, round(height))


def _jpeg(image_HW3: np.ndarray) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(image_HW3).save(sink, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return sink.getvalue()
