"""The frame hashes of many clips as flat arrays."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from pipeline.measure.stream.video_hash import GRID, mirrored

HASH_BYTES = 8
ALL_CONTRASTS, STRONG_CONTRASTS = 0, 1
"""Columns of `FrameHashes.hashes`."""
BLOCKS = GRID * GRID


@dataclass(frozen=True)
class FrameHashes:
    """The hashes by which candidates are found, of the frames of clips: of all contrasts, of bright, of dark blocks.

    Frames `starts[i]:starts[i + 1]` belong to clip `i`; `hashes` is (F, 3) uint64.
    """

    starts: np.ndarray
    hashes: np.ndarray

    @classmethod
    def of(cls, stored: pa.ChunkedArray) -> FrameHashes:
        """From what `stored` has given of each clip."""
        hashes, starts = _flat(stored, np.dtype("<u8"))
        return cls(starts // 3, hashes.reshape(-1, 3))

    def stored(self) -> list[bytes]:
        """The hashes of each clip as bytes."""
        rows = np.ascontiguousarray(self.hashes.astype("<u8"))
        return [rows[start:end].tobytes() for start, end in itertools.pairwise(self.starts.tolist())]


@dataclass(frozen=True)
class HashedClips:
    """Clips by number, in the order of their ids; frames `starts[i]:starts[i + 1]` belong to clip `i`.

    `ids` (N,) strings; `shots` (N,), equal for parts of one shot of one video; `durations_s` (N,), 0 for an image;
    `hashes` (F,) uint64; `contrasts` (F, 64) int8; `times_s` (F,) from the clip's start.
    """

    ids: list[str]
    shots: np.ndarray
    durations_s: np.ndarray
    starts: np.ndarray
    hashes: np.ndarray
    contrasts: np.ndarray
    times_s: np.ndarray

    @classmethod
    def of(cls, clips: pa.Table) -> HashedClips:
        """From the columns named below; those of `video_hash` are null for a clip without frames."""
        names = [
            "clip_id",
            "video_id",
            "shot_index",
            "duration_s",
            "video_hash",
            "video_hash_contrasts",
            "video_hash_times_us",
        ]
        clips = clips.select(names).sort_by("clip_id")
        hashes, starts = _flat(clips["video_hash"], np.dtype(">u8"))
        contrasts, _ = _flat(clips["video_hash_contrasts"], np.dtype(np.int8))
        shots = zip(clips["video_id"].to_pylist(), clips["shot_index"].to_pylist(), strict=True)
        numbers: dict[tuple[str, int], int] = {}
        times_us = clips["video_hash_times_us"].combine_chunks().flatten()
        return cls(
            ids=clips["clip_id"].to_pylist(),
            shots=np.array([numbers.setdefault(shot, len(numbers)) for shot in shots], np.int64),
            durations_s=np.asarray(clips["duration_s"].combine_chunks().fill_null(0.0), float),
            starts=starts,
            hashes=hashes.astype(np.uint64),
            contrasts=contrasts.reshape(-1, BLOCKS),
            times_s=np.asarray(times_us, np.float64) / 1e6,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def frame_hashes(self) -> FrameHashes:
        hashes = np.stack([self.hashes, self.strong_hashes, self.dark_hashes], axis=1)
        return FrameHashes(self.starts, hashes)

    @cached_property
    def mirrored_hashes(self) -> np.ndarray:
        return mirrored(self.hashes)

    @cached_property
    def mirrored_strong_hashes(self) -> np.ndarray:
        return mirrored(self.strong_hashes)

    @cached_property
    def strong_hashes(self) -> np.ndarray:
        """Which blocks of each frame are brighter than their surroundings by over half the root mean square, (F,)."""
        return _beyond(self.contrasts, 0.5)

    @cached_property
    def dark_hashes(self) -> np.ndarray:
        """Which blocks are darker than their surroundings by over half the root mean square, (F,) uint64."""
        return _beyond(self.contrasts, -0.5)

    def frames(self, clip: int) -> slice:
        return slice(int(self.starts[clip]), int(self.starts[clip + 1]))


def _flat(column: pa.ChunkedArray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The concatenated bytes of a binary column, without a copy, and where each row starts, in items."""
    whole = pa.chunked_array([*column.chunks], column.type).cast(pa.large_binary()).fill_null(b"").combine_chunks()
    _, offsets, data = whole.buffers()
    starts = np.frombuffer(offsets, np.int64)[whole.offset : whole.offset + len(whole) + 1]
    items = np.frombuffer(data or b"", dtype)[starts[0] // dtype.itemsize : starts[-1] // dtype.itemsize]
    return items, (starts - starts[0]) // dtype.itemsize


BLOCK_FRAMES = 1 << 16


def _beyond(contrasts: np.ndarray, limit: float) -> np.ndarray:
    """Which of (F, 64) int8 contrasts exceed `limit` times the root mean square of their frame, on its side of zero."""
    hashes = np.empty(len(contrasts), np.uint64)
    side = np.sign(limit)
    for start in range(0, len(contrasts), BLOCK_FRAMES):
        block = contrasts[start : start + BLOCK_FRAMES].astype(np.float32)
        size = np.sqrt(np.square(block).mean(axis=1, keepdims=True))
        beyond = side * block > side * limit * size
        hashes[start : start + BLOCK_FRAMES] = np.packbits(beyond, axis=1).view(">u8")[:, 0]
    return hashes
