"""Fingerprints of a clip: a digest that is equal for equal pictures, and frame hashes that edited copies nearly share.

A frame is described by how much brighter each block of an 8x8 grid is than its surroundings: 64 contrasts, in levels of
255. Their signs are its hash: 64 bits, row by row, the leftmost block in a row's highest bit. A contrast depends only
on its neighbourhood. So a logo changes the contrasts under it and no others (a bit of the usual DCT hash, Zauner 2010,
depends on the whole picture), and a level that is added to the picture changes none. Where luma is nearly flat, the
contrasts of colour are added. A mirrored picture has every row reversed. The hashes find candidates, and the contrasts
decide.

A frame is kept when it differs from the last kept one, and at longer intervals while nothing changes. So any frame of a
copy is near a kept frame of the original, however the copy is sampled, and a still shot costs little: 76 bytes for each
kept frame, 2 a second in a still shot and up to 16 a second in fast motion.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from pipeline.measure.stream.borders.one_frame import Bars, find_bars
from schemas.recipe.measure import MeasureConfig

GRID = 8
SIDE_PX = 32
"""The picture is squeezed to a square of this side, whatever its shape: a copy may have another aspect ratio."""
SURROUND_PX = 13
"""Side of the square around each pixel whose mean it is compared with. Of 9, 13, 17 and 21, on twelve edits of real
and synthetic clips, 13 kept copies closest compared with the distance of other clips."""
MIN_BITS, MIN_CONTRAST = 4, 1.0
"""A frame with fewer bits set, or a smaller root mean square of contrasts, has too little detail to be told from others
(flat, black, a fade), and is not kept."""
WEAK_CONTRAST, NO_CONTRAST = 4.0, 2.0
"""Below the first root mean square of luma's contrasts those of colour are added, below the second in full: an object
may differ from its background only in colour."""
CHANGED_BITS = 3
"""Bits by which a frame differs from the last kept one to be kept early."""
MIN_INTERVAL_US, MAX_INTERVAL_US = 60_000, 500_000
"""A frame that differs is kept if the last kept one is this long ago; one that does not, after the longer time."""


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
_SUMMED = ((SIDE_PX // GRID) * SURROUND_PX) ** 2
"""How often each pixel counts in those sums, for a block and its surroundings alike."""


def square(luma: np.ndarray) -> np.ndarray:
    """Squeeze (h, w) uint8 luma to (32, 32) uint8 by area, halving first, which OpenCV does an order faster."""
    while min(luma.shape) >= 2 * SIDE_PX:
        luma = cv2.resize(luma, (luma.shape[1] // 2, luma.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(luma, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)


def block_contrasts(picture: np.ndarray) -> np.ndarray:
    """By how many levels each block of a (32, 32) uint8 picture is brighter than its surroundings, (8, 8) float32.

    The sums are whole numbers below 2^24, exact in float32 in whatever order they are added.
    """
    pixels = picture.astype(np.float32)
    own = _BLOCKS @ pixels @ _BLOCKS.T
    around = _SURROUNDINGS @ pixels @ _SURROUNDINGS.T
    return (own * np.float32(SURROUND_PX**2) - around) / np.float32(_SUMMED)


def frame_contrasts(luma: np.ndarray, blue: np.ndarray, red: np.ndarray, bars: Bars | None = None) -> np.ndarray:
    """What describes a frame, (8, 8) int8: the contrasts of luma, and where those are weak also of colour.

    Rounded towards zero, and within -127 to 127. Colour is added gradually, so that copies whose contrast differs a
    little are described alike.

    Args:
        luma, blue, red: (h, w) and twice (h/2, w/2) uint8.
        bars: what of them is not picture.
    """
    contrasts = block_contrasts(square(bars.inside(luma) if bars else luma))
    lacking = (WEAK_CONTRAST - _size(contrasts)) / (WEAK_CONTRAST - NO_CONTRAST)
    if lacking > 0:
        colours = (block_contrasts(square(bars.inside(plane, 2) if bars else plane)) for plane in (red, blue))
        contrasts += np.float32(min(lacking, 1.0)) * np.subtract(*colours)
    return np.clip(contrasts, -127, 127).astype(np.int8)


def _size(contrasts: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(contrasts, dtype=np.float32).mean()))


def frame_hash(contrasts: np.ndarray) -> int:
    """64 bits: whether each block is brighter than its surroundings by a level or more; less is the encoder's doing."""
    return int.from_bytes(np.packbits(contrasts > 0).tobytes(), "big")


def mirrored(hashes: np.ndarray) -> np.ndarray:
    """The hashes of the pictures seen in a mirror: the bits of every byte reversed, (N,) uint64."""
    for shift, mask in ((1, 0x5555555555555555), (2, 0x3333333333333333), (4, 0x0F0F0F0F0F0F0F0F)):
        low = np.uint64(mask)
        step = np.uint64(shift)
        hashes = ((hashes >> step) & low) | ((hashes & low) << step)
    return hashes


class FingerprintMeasure:
    """Digest and hashes of a video's frames, from which those of any clip are cut."""

    every_frame = True

    def __init__(self, video: VideoFacts, config: MeasureConfig) -> None:
        self._digests = array("Q")
        self._kept_frames = array("q")
        self._kept_times_us = array("q")
        self._kept_hashes = array("Q")
        self._kept_contrasts = bytearray()
        self._bars: Bars | None = None

    def push(self, frame: StreamFrame, previous: StreamFrame | None) -> None:
        self._digests.append(_frame_digest(frame))
        since_us = frame.time_us - self._kept_times_us[-1] if self._kept_times_us else MAX_INTERVAL_US
        if since_us < MIN_INTERVAL_US:
            return
        self._bars = find_bars(frame.luma, self._bars)
        contrasts = frame_contrasts(frame.luma, frame.blue, frame.red, self._bars)
        value = frame_hash(contrasts)
        if value.bit_count() < MIN_BITS or _size(contrasts) < MIN_CONTRAST:
            return
        if since_us < MAX_INTERVAL_US and (value ^ self._kept_hashes[-1]).bit_count() < CHANGED_BITS:
            return
        self._kept_frames.append(frame.index)
        self._kept_times_us.append(frame.time_us)
        self._kept_hashes.append(value)
        self._kept_contrasts += contrasts.tobytes()

    def scores(self, span: Span, spans: Sequence[Span]) -> dict[str, Any]:
        digests = np.array(self._digests[span.first : span.last], ">u8")
        first, last = (bisect_left(self._kept_frames, frame) for frame in (span.first, span.last))
        return {
            "content_digest": hashlib.sha256(digests.tobytes()).hexdigest()[:32],
            "video_hash": np.array(self._kept_hashes[first:last], ">u8").tobytes(),
            "video_hash_contrasts": bytes(self._kept_contrasts[first * GRID**2 : last * GRID**2]),
            "video_hash_times_us": [time_us - span.start_us for time_us in self._kept_times_us[first:last]],
        }


def _frame_digest(frame: StreamFrame) -> int:
    """64 bits of the SHA-256 of a frame's reduced planes and their size."""
    state = hashlib.sha256(repr(frame.luma.shape).encode())
    for plane in (frame.luma, frame.blue, frame.red):
        state.update(np.ascontiguousarray(plane).data)
    return int.from_bytes(state.digest()[:8], "big")
