"""Pictures of clips, each in the page once however often it is shown.

A picture is a film strip of frames spread over the clip, whole frames with their borders, since those are judged too.
It becomes a class of the page's style sheet with the strip as its background, so that a contact sheet, a timeline and
a group of duplicates share it. A video is opened once for all of its clips.
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
from pipeline.decode.reader import MediaError
from pipeline.ingest.filesystems import local_copy
from pipeline.ingest.sandbox import ChildDied, isolated
from pipeline.report.thumbnails import data_uri
from schemas.recipe.limits import LimitsConfig

NUM_FRAMES = 3
HEIGHT_PX = 68
MAX_ASPECT = 2.0
"""Wider frames are reduced further."""
JPEG_QUALITY = 68

Progress = Callable[[], None]
"""Called after each clip whose frames were read."""


@dataclass(frozen=True)
class Picture:
    """How a clip's film strip is shown: `num_frames` frames side by side, each of some size."""

    style_class: str
    num_frames: int
    width_px: int
    height_px: int

    @property
    def strip(self) -> Markup:
        """Style of an element that shows the whole strip."""
        return Markup("width:{}px;height:{}px").format(self.num_frames * self.width_px, self.height_px)

    @property
    def middle(self) -> Markup:
        """Style of an element that shows the middle frame, whatever its size."""
        return Markup("aspect-ratio:{}/{};background-size:{}% 100%;background-position:50%").format(
            self.width_px, self.height_px, 100 * self.num_frames
        )


@dataclass
class Shelf:
    """Collects the clips that a page shows, then reads them all."""

    _wanted: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Why pictures are missing, by video."""

    def picture(self, clip: Mapping[str, Any]) -> Picture:
        """The picture of a row of `clips`; it is there once `style_sheet` has read it."""
        self._wanted.setdefault(clip["clip_id"], clip)
        return Picture(f"p-{clip['clip_id']}", _num_frames(clip), *_frame_size(clip))

    def style_sheet(self, progress: Progress) -> Markup:
        """Read the pictures of all clips asked for, video by video, and write their classes."""
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
    """The film strips of clips of one video, as JPEG.

    Raises:
        OSError, MediaError: the file is gone or does not decode.
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
    """Width and height of a frame in its strip."""
    aspect = clip["width"] / clip["height"]
    height = HEIGHT_PX * min(1.0, MAX_ASPECT / aspect)
    return max(1, round(height * aspect)), max(1, round(height))


def _jpeg(image_HW3: np.ndarray) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(image_HW3).save(sink, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return sink.getvalue()
