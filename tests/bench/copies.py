"""Clips as files, for the duplicates bench, and their fingerprints as the single pass computes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from pipeline.decode.orientation import orientation_of
from pipeline.decode.reader import FrameReader, open_video
from pipeline.measure.stream.video_hash import FingerprintMeasure
from pipeline.synthetic.edited_copies import write_clip
from pipeline.synthetic.encode import Encoding
from pipeline.synthetic.render import render_at
from pipeline.synthetic.world import draw_scene
from schemas.recipe.measure import MeasureConfig

SOURCE = Encoding(options=(("crf", "18"),))
DRAWN_SIZES = ((320, 180), (256, 192), (180, 320), (240, 240))
DRAWN_FPS = (24, 30, 15, 25)
HELD_OUT_SEED = 1_000_900_000
LONG_SIDE_PX = 640
"""Real clips are reduced to this, so that encoding them takes less time."""

REAL_STRETCHES: dict[str, tuple[tuple[int, int], ...]] = {
    "dev01_sintel_trailer_letterbox_fades.mp4": (
        (0, 72), (93, 160), (252, 286), (286, 308), (412, 448), (492, 523), (523, 573), (573, 610), (652, 708),
    ),
    "dev02_nasa_two_video_streams.mp4": ((0, 150), (177, 240), (240, 390)),
    "dev03_flower_timelapse.mp4": ((0, 150),),
    "dev05_laion_slides_text_static.mp4": (
        (0, 90), (700, 790), (1800, 1890), (2300, 2390), (2720, 2780), (2850, 2940), (3100, 3190), (3450, 3540),
    ),
    "dev06_rooftop_portrait_rot90_hevc_editlist.mp4": ((0, 77),),
    "dev07_square_line_animation_60fps.mp4": ((0, 250), (251, 600), (600, 1016)),
    "dev08_asl_sign_again_person.mkv": ((0, 77),),
    "dev09_fireplace_dog_rot180_vfr.mp4": ((0, 25),),
    "dev13_portrait_hdr10_av1.mp4": ((0, 127),),
}  # fmt: skip
"""Parts of the real videos that are within one shot, as [first, last) frames, without most of their fades."""


def write_drawn_clip(folder: Path, number: int, *, size: tuple[int, int] | None = None) -> Path:
    """Write one synthetic scene of 2 to 5 s; its size and frame rate depend on its number."""
    width, height = size or DRAWN_SIZES[number % len(DRAWN_SIZES)]
    fps = DRAWN_FPS[number % len(DRAWN_FPS)]
    num_frames = int(fps * (2 + number % 5 * 0.8))
    positions = [index / (num_frames - 1) for index in range(num_frames)]
    path = folder / f"drawn{number:03d}.mp4"
    pictures = render_at(draw_scene(HELD_OUT_SEED + number), width, height, positions)
    write_clip(path, pictures, num_frames, Fraction(fps), SOURCE)
    return path


def write_real_clips(videos: Path, folder: Path) -> Iterator[Path]:
    """Write the parts REAL_STRETCHES of the real videos as clips with a constant frame rate."""
    for file, stretches in REAL_STRETCHES.items():
        source = str(videos / file)
        container, stream = open_video(source)
        fps = Fraction(stream.average_rate or 25).limit_denominator(1000)
        pictures: list[np.ndarray] = []
        waiting = list(stretches)
        for index, frame in enumerate(FrameReader(container, stream)):
            first, last = waiting[0]
            if first <= index < last:
                turned = orientation_of(frame, source).upright(frame.to_ndarray(format="rgb24"))
                pictures.append(_limited(np.ascontiguousarray(turned)))
            if index == last - 1:
                path = folder / f"{file[:5]}_{first:04d}.mp4"
                write_clip(path, pictures, len(pictures), fps, SOURCE)
                yield path
                pictures, waiting = [], waiting[1:]
                if not waiting:
                    break
        container.close()


def _limited(picture: np.ndarray) -> np.ndarray:
    factor = min(1.0, LONG_SIDE_PX / max(picture.shape[:2]))
    height, width = (int(side * factor) // 2 * 2 for side in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def fingerprints(path: Path, cuts: Sequence[float] = ()) -> list[dict[str, Any]]:
    """Rows as in the clips table, of the whole file or of its parts between `cuts` (shares of its frames)."""
    container, stream = open_video(str(path))
    reader = FrameReader(container, stream)
    measure = FingerprintMeasure(
        VideoFacts(stream.width, stream.height, stream.width * stream.height, 0), MeasureConfig()
    )
    for index, raw in enumerate(reader):
        measure.push(StreamFrame.of(raw, index, reader.times_us[index]), None)
    container.close()
    times_us = [*reader.times_us, reader.times_us[-1] + reader.last_duration_us]
    bounds = [round(cut * len(reader.times_us)) for cut in (0, *cuts, 1)]
    rows = []
    for first, last in pairwise(bounds):
        span = Span(0, first, last, times_us[first], times_us[last])
        name = path.stem if not cuts else f"{path.stem} from {first}"
        shot = {"clip_id": name, "video_id": path.stem, "shot_index": 0}
        rows.append(shot | {"duration_s": (span.end_us - span.start_us) / 1e6} | measure.scores(span, [span]))
    return rows


def as_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    schema = pa.schema(
        {
            "clip_id": pa.string(),
            "video_id": pa.string(),
            "shot_index": pa.int32(),
            "duration_s": pa.float64(),
            "content_digest": pa.string(),
            "video_hash": pa.binary(),
            "video_hash_contrasts": pa.binary(),
            "video_hash_times_us": pa.list_(pa.int32()),
        }
    )
    return pa.Table.from_pylist(list(rows), schema=schema)
