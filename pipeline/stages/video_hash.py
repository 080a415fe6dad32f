"""Fingerprints of a clip: a digest that equal pictures share, and frame hashes that edited copies nearly share.

A frame hash says of each block of an 8x8 grid whether it is brighter than its surroundings: 64 bits, row by row, the
leftmost block in a row's highest bit. Such a bit depends on its neighbourhood alone, so a logo changes those under
it and no others (a bit of the usual DCT hash, Zauner 2010, depends on the whole picture), and a level that is added
to the picture changes none. A mirrored picture has the same bits with every row reversed.

Frames are hashed as they come, and kept when they differ from the last one kept, or now and then while nothing
changes. So any frame of a copy lies near a kept one of the original, wherever its own sampling falls, and a still
shot costs little: 12 bytes for each kept frame, at 2 frames (24 bytes) a second of stillness and up to 10 (120 bytes)
a second of fast motion.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from pipeline.stream import Span, StreamFrame, VideoFacts
from schemas.splitting import MeasureConfig

VERSION = 1

GRID = 8
SIDE_PX = 32
"""The picture is squeezed to a square of this side, whatever its shape: a copy may have another aspect ratio."""
SURROUND_PX = 13
"""Side of the square around each pixel whose mean it is compared with. Of 9, 13, 17 and 21, on twelve edits of real
and drawn clips, 13 kept copies closest for the distance at which other clips lie."""
CONTRAST_LEVELS = 1
"""A block counts as brighter when it is so by this much, of 255: less is the encoder's doing."""
MIN_BITS = 6
"""Below, a frame has too little detail to be told from others (flat, black, a fade), and is not kept."""
CHANGED_BITS = 3
MIN_INTERVAL_US, MAX_INTERVAL_US = 90_000, 500_000
"""A frame that differs is kept when the last kept one lies this far back; one that does not, after the longer."""
BAR_LEVEL = 32
"""Luma of video black is 16; what a codec makes of a bar stays below this."""
BAR_FRAC = 0.4
"""A bar is at most this share of its side."""


def _block_sums() -> tuple[np.ndarray, np.ndarray]:
    """Matrices that sum the pixels of each block, and the surroundings of those pixels (reflected at the edge)."""
    blocks = np.kron(np.eye(GRID), np.ones(SIDE_PX // GRID))
    reach = SURROUND_PX // 2
    surround = np.zeros((SIDE_PX, SIDE_PX))
    for pixel in range(SIDE_PX):
        for other in range(pixel - reach, pixel + reach + 1):
            inside = -1 - other if other < 0 else 2 * SIDE_PX - 1 - other if other >= SIDE_PX else other
            surround[pixel, inside] += 1
    return blocks.astype(np.float32), (blocks @ surround).astype(np.float32)


_BLOCKS, _SURROUNDINGS = _block_sums()
_SURROUND_AREA = SURROUND_PX**2
_THRESHOLD = CONTRAST_LEVELS * (SIDE_PX // GRID) ** 2 * _SURROUND_AREA


def square(luma: np.ndarray) -> np.ndarray:
    """Squeeze (h, w) uint8 luma to (32, 32) uint8 by area, halving first, which OpenCV does an order faster."""
    while min(luma.shape) >= 2 * SIDE_PX:
        luma = cv2.resize(luma, (luma.shape[1] // 2, luma.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(luma, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)


def frame_hash(picture: np.ndarray) -> int:
    """64-bit hash of a (32, 32) uint8 picture.

    The sums are whole numbers below 2^24, exact in float32 in whatever order they are added.
    """
    pixels = picture.astype(np.float32)
    own = _BLOCKS @ pixels @ _BLOCKS.T
    around = _SURROUNDINGS @ pixels @ _SURROUNDINGS.T
    bits = own * np.float32(_SURROUND_AREA) - around > _THRESHOLD
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def mirrored(hashes: np.ndarray) -> np.ndarray:
    """The hashes of the pictures seen in a mirror: the bits of every byte reversed, (N,) uint64."""
    for shift, mask in ((1, 0x5555555555555555), (2, 0x3333333333333333), (4, 0x0F0F0F0F0F0F0F0F)):
        low = np.uint64(mask)
        step = np.uint64(shift)
        hashes = ((hashes >> step) & low) | ((hashes & low) << step)
    return hashes


def inside_bars(luma: np.ndarray) -> np.ndarray | None:
    """The picture inside black bars above and below, or left and right; None without such bars."""
    rows = _bars(luma) if _is_dark(luma[0]) and _is_dark(luma[-1]) else (0, 0)
    columns = _bars(luma.T) if _is_dark(luma[:, 0]) and _is_dark(luma[:, -1]) else (0, 0)
    if not (any(rows) or any(columns)):
        return None
    (top, bottom), (left, right) = rows, columns
    return luma[top : luma.shape[0] - bottom, left : luma.shape[1] - right]


def _is_dark(line: np.ndarray) -> bool:
    return int(line.max()) <= BAR_LEVEL


def _bars(lines: np.ndarray) -> tuple[int, int]:
    """How many lines at the beginning and at the end are black; none where either bar would be too wide."""
    bright = np.flatnonzero((lines > BAR_LEVEL).any(axis=1))
    if bright.size == 0:
        return 0, 0
    before, after = int(bright[0]), int(len(lines) - 1 - bright[-1])
    return (0, 0) if max(before, after) > BAR_FRAC * len(lines) else (before, after)


class FingerprintMeasure:
    """Digest and hashes of a video's frames, from which those of any clip are cut."""

    every_frame = True

    def __init__(self, video: VideoFacts, config: MeasureConfig) -> None:
        self._digests = array("Q")
        self._kept_frames = array("q")
        self._kept_times_us = array("q")
        self._kept_hashes = array("Q")
        self._last_hash = 0

    def push(self, frame: StreamFrame, previous: StreamFrame | None) -> None:
        self._digests.append(_frame_digest(frame))
        since_us = frame.time_us - self._kept_times_us[-1] if self._kept_times_us else MAX_INTERVAL_US
        if since_us < MIN_INTERVAL_US:
            return
        whole = frame_hash(square(frame.luma))
        if since_us < MAX_INTERVAL_US and (whole ^ self._last_hash).bit_count() < CHANGED_BITS:
            return
        self._keep(frame, whole)
        self._last_hash = whole
        picture = inside_bars(frame.luma)
        if picture is not None:
            self._keep(frame, frame_hash(square(picture)))

    def _keep(self, frame: StreamFrame, value: int) -> None:
        if value.bit_count() >= MIN_BITS:
            self._kept_frames.append(frame.index)
            self._kept_times_us.append(frame.time_us)
            self._kept_hashes.append(value)

    def scores(self, span: Span, spans: Sequence[Span]) -> dict[str, Any]:
        digests = np.array(self._digests[span.first : span.last], ">u8")
        first, last = (bisect_left(self._kept_frames, frame) for frame in (span.first, span.last))
        return {
            "content_digest": hashlib.sha256(digests.tobytes()).hexdigest()[:32],
            "video_hash": np.array(self._kept_hashes[first:last], ">u8").tobytes(),
            "video_hash_times_us": [time_us - span.start_us for time_us in self._kept_times_us[first:last]],
        }


def _frame_digest(frame: StreamFrame) -> int:
    """64 bits of the SHA-256 of a frame's reduced planes and their size."""
    state = hashlib.sha256(repr(frame.luma.shape).encode())
    for plane in (frame.luma, frame.blue, frame.red):
        state.update(np.ascontiguousarray(plane))
    return int.from_bytes(state.digest()[:8], "big")
