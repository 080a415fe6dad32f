"""Fingerprints from constructed pictures and frames."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest

from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from pipeline.measure.stream.borders.one_frame import find_bars
from pipeline.measure.stream.video_hash import (
    GRID,
    MIN_INTERVAL_US,
    SIDE_PX,
    SURROUND_PX,
    FingerprintMeasure,
    block_contrasts,
    frame_contrasts,
    frame_hash,
    mirrored,
    square,
)
from schemas.columns import arrow_fields
from schemas.recipe.measure import MeasureConfig
from schemas.tables.measures import Fingerprint

FRAME_US = 40_000
FACTS = VideoFacts(width=256, height=144, stored_pixels=256 * 144, fps=25.0)


def picture(seed: int, height: int = 144, width: int = 256) -> np.ndarray:
    """Smooth blobs, (height, width) uint8, from 40 to 220."""
    coarse = np.random.default_rng(seed).integers(40, 220, (6, 8)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(40, 220)


def frame(luma: np.ndarray, index: int, chroma: int = 128) -> StreamFrame:
    plane = np.full((luma.shape[0] // 2, luma.shape[1] // 2), chroma, np.uint8)
    fields: dict[str, Any] = {"index": index, "time_us": index * FRAME_US, "luma": luma, "blue": plane, "red": plane}
    return cast(StreamFrame, SimpleNamespace(**fields))


def fingerprint(lumas: list[np.ndarray], first: int = 0, last: int | None = None, **kwargs: int) -> dict[str, Any]:
    measure = FingerprintMeasure(FACTS, MeasureConfig())
    for index, luma in enumerate(lumas):
        measure.push(frame(luma, index, **kwargs), None)
    last = len(lumas) if last is None else last
    span = Span(0, first, last, first * FRAME_US, last * FRAME_US)
    return measure.scores(span, [span])


def test_contrasts_are_block_means_less_the_means_of_their_surroundings() -> None:
    pixels = square(picture(1))
    around = cv2.blur(pixels.astype(np.float64), (SURROUND_PX, SURROUND_PX), borderType=cv2.BORDER_REFLECT)
    step = SIDE_PX // GRID
    expected = (pixels - around).reshape(GRID, step, GRID, step).mean(axis=(1, 3))
    assert np.abs(expected).max() > 10
    np.testing.assert_allclose(block_contrasts(pixels), expected, atol=1e-4)


def test_a_mirrored_picture_has_the_mirrored_hash() -> None:
    pixels = square(picture(2))
    plain, turned = block_contrasts(pixels), block_contrasts(np.ascontiguousarray(pixels[:, ::-1]))
    np.testing.assert_array_equal(turned, plain[:, ::-1])
    hashes = np.array([frame_hash(plain)], np.uint64)
    assert mirrored(hashes)[0] == frame_hash(turned) != hashes[0]
    np.testing.assert_array_equal(mirrored(mirrored(hashes)), hashes)


def test_a_level_added_to_the_picture_changes_nothing() -> None:
    pixels = square(picture(3))
    np.testing.assert_array_equal(block_contrasts(pixels + np.uint8(30)), block_contrasts(pixels))


@pytest.mark.parametrize("sides", [(20, 20, 0, 0), (0, 0, 60, 60), (17, 18, 30, 31)])
@pytest.mark.parametrize("level", [16, 90])
def test_the_hash_is_of_the_picture_inside_bars(sides: tuple[int, int, int, int], level: int) -> None:
    inner = picture(4)
    framed = cv2.copyMakeBorder(inner, *sides, cv2.BORDER_CONSTANT, value=[level])
    bars = find_bars(framed)
    assert bars is not None
    assert (*bars.rows, *bars.columns) == sides
    difference = np.abs(block_contrasts(square(bars.inside(framed))) - block_contrasts(square(inner)))
    assert difference.max() <= 8


def test_digest_is_of_the_pictures_and_of_nothing_else() -> None:
    lumas = [picture(seed) for seed in range(4)]
    assert fingerprint(lumas)["content_digest"] == fingerprint(lumas)["content_digest"]
    shifted = fingerprint([picture(9), *lumas], first=1)
    assert shifted["content_digest"] == fingerprint(lumas)["content_digest"]
    changed = [luma.copy() for luma in lumas]
    changed[2][100, 100] += 1
    others = [fingerprint(changed), fingerprint(lumas[::-1]), fingerprint(lumas[:3]), fingerprint(lumas, chroma=129)]
    digests = {row["content_digest"] for row in others} | {fingerprint(lumas)["content_digest"]}
    assert len(digests) == 5


def test_flat_frames_are_not_kept() -> None:
    row = fingerprint([np.full((144, 256), 120, np.uint8)] * 30)
    assert (row["video_hash"], row["video_hash_contrasts"], row["video_hash_times_us"]) == (b"", b"", [])


def test_what_is_seen_by_its_colour_alone_is_described_by_it() -> None:
    luma, grey = np.full((144, 256), 120, np.uint8), np.full((72, 128), 128, np.uint8)
    red = grey.copy()
    cv2.circle(red, (40, 30), 16, (190,), -1)
    assert frame_contrasts(luma, grey, red)[3, 2] > 10
    dim, plain = frame_contrasts(luma, grey, grey), frame_contrasts(picture(1), grey, red)
    assert not dim.any()
    np.testing.assert_array_equal(plain, frame_contrasts(picture(1), grey, grey))  # luma says enough


def test_frames_are_kept_when_they_change_and_now_and_then() -> None:
    still = fingerprint([picture(1)] * 50)
    assert still["video_hash_times_us"] == [0, 520_000, 1_040_000, 1_560_000]
    moving = fingerprint([picture(seed) for seed in range(50)])
    assert np.diff(moving["video_hash_times_us"]).min() >= MIN_INTERVAL_US
    assert len(moving["video_hash_times_us"]) == 25


def test_a_span_has_the_hashes_of_its_own_frames_with_times_from_its_start() -> None:
    lumas = [picture(seed) for seed in range(12)]
    row = fingerprint(lumas, first=4, last=8)
    assert row["video_hash_times_us"] == [0, 2 * FRAME_US]
    expected = [block_contrasts(square(lumas[index])).astype(np.int8) for index in (4, 6)]
    assert row["video_hash_contrasts"] == b"".join(contrasts.tobytes() for contrasts in expected)
    assert row["video_hash"] == b"".join(frame_hash(contrasts).to_bytes(8, "big") for contrasts in expected)


def test_columns_are_those_declared() -> None:
    assert list(fingerprint([picture(1)])) == [field.name for field in arrow_fields(Fingerprint)]
