"""Whether two clips show the same: their frames compared in order, under one speed and one offset in time.

A copy plays at one speed relative to its original, from one offset. For every speed and offset the frames shown at the
same time are compared, and the best mapping is judged: copies agree throughout a long overlap. Parts of one slow shot
almost agree too, but best where the end of one overlaps the start of the other: if a shorter overlap agrees clearly
better, the clips are neighbours and not copies. Clips that are known to be parts of one shot count as copies only if
nothing moves, so that they show the same picture.

A logo is in a corner. So each corner in turn is left out, and the smallest distance counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.dedup.hashes import ALL_CONTRASTS, STRONG_CONTRASTS, FrameHashes, HashedClips
from pipeline.measure.stream.video_hash import GRID, mirrored
from schemas.recipe.duplicates import DuplicatesConfig

RATES = tuple(1.02**step for step in sorted(range(-10, 11), key=abs))
"""Speeds of a copy, from 0.82 to 1.22, the likely ones first; within one step a clip of 10 s drifts by 0.1 s."""
STEP_S, MAX_STEPS = 0.1, 150
"""Time between the frames that are compared, and the largest number of them in the shorter clip."""
ALIKE_BITS = 0.22
"""Two frames may show the same if at most this share of the bits set in them is not set in both."""
SPARSE_BITS = 12
"""With no more bits set on average, frames are also compared without their corners, as a logo is half of the bits."""
SEARCHED_FRAMES = 12
"""About this many frames, of the clip that has fewer, are searched for in the other."""
PERHAPS_BITS = 0.4
"""Above this distance no other hashes are tried."""
COMPARISONS_AT_A_TIME = 4_000_000
"""Of frames, when many pairs of clips are looked through."""
MIN_ALIKE_FRAC = 0.4
"""Share of those frames that must resemble some frame of the other clip for the clips to be compared in detail."""
CLOSE_DISTANCE = 0.06
"""If clips agree this well at equal speed, no other speed is tried."""
LEAST_OVERLAP, NEIGHBOUR_MARGIN = 0.2, 0.03
"""A shorter overlap of at least this share makes clips neighbours, if its distance is smaller by the margin."""
WORST_FRAME = 0.6
"""Largest distance of a frame: a flash, or a cut that is one frame off, must not decide alone."""
SAME_SHOT_DISTANCE = 0.03
"""Parts of one shot may differ by this much; halves of shots in which a thing moves differed by 0.031 and more."""
FEW_BITS, FEW_BITS_DISTANCE = 6, 0.12
"""Small objects on a plain background resemble each other: two such synthetic clips differed by 0.17 and more, copies
of them (except for logos) by 0.10 and less."""
CONTRAST_FLOOR = 1.0
"""Levels added to the size of contrasts, so that noise in a flat picture is small beside it."""


def _corners() -> np.ndarray:
    """Which blocks count: all of them, and all except two rows of three blocks in each corner, (64, 5) float32."""
    masks = np.ones((5, GRID, GRID), np.float32)
    masks[1, :2, :3] = masks[2, :2, -3:] = masks[3, -2:, :3] = masks[4, -2:, -3:] = 0
    return masks.reshape(5, -1).T.copy()


_MASKS = _corners()
_CORNER_BITS = np.packbits(np.ascontiguousarray(_MASKS.T[1:]) > 0, axis=1).view(">u8")[:, 0].astype(np.uint64)


@dataclass(frozen=True)
class Match:
    """Clip numbers `first` < `second` show the same; `distance` is of their frames, 0 for equal ones."""

    first: int
    second: int
    distance: float
    overlap: float
    rate: float
    mirrored: bool


@dataclass(frozen=True)
class _Mapping:
    distance: float
    overlap: float
    rate: float


def match(clips: HashedClips, first: int, second: int, config: DuplicatesConfig) -> Match | None:
    """Compare two clips; None unless one is a copy of the other. A still image is never a copy of a video."""
    one, other = clips.frames(first), clips.frames(second)
    if one.start == one.stop or other.start == other.stop:
        return None
    if (clips.durations_s[first] == 0) != (clips.durations_s[second] == 0):
        return None
    is_mirrored = _orientation(clips, one, other)
    if is_mirrored is None:
        return None
    contrasts = clips.contrasts[other].reshape(-1, GRID, GRID)
    contrasts = (contrasts[:, :, ::-1] if is_mirrored else contrasts).reshape(-1, GRID * GRID)
    distances = _without_corner(frame_distances(clips.contrasts[one], contrasts))
    still = clips.durations_s[first] == 0
    limit = _limit(clips, first, second, config)
    if _lower_bound(distances, config.near_overlap) > limit:
        return None
    if still:
        best = _Mapping(float(distances.min()), 1.0, 1.0)
    else:
        times = clips.times_s[one], clips.times_s[other]
        best = best_mapping(
            distances, times, (clips.durations_s[first], clips.durations_s[second]), config.near_overlap
        )
    if best is None or best.distance > limit:
        return None
    return Match(first, second, best.distance, best.overlap, best.rate, is_mirrored)


def perhaps_alike(frames: FrameHashes, pairs: np.ndarray) -> np.ndarray:
    """Which pairs of clips, (P, 2), are worth a look by `match`, which finds none of the others: (P,) bool.

    It is what `_orientation` asks, of many pairs at once, and by their hashes alone.
    """
    lengths = np.diff(frames.starts)[pairs]
    swapped = (lengths[:, 0] == lengths[:, 1]) & (lengths[:, 0] >= 2 * SEARCHED_FRAMES)  # either may be searched for
    alike = _perhaps_alike(frames, np.concatenate([pairs, pairs[swapped, ::-1]]))
    of_pairs, of_swapped = alike[: len(pairs)], alike[len(pairs) :]
    of_pairs[swapped] |= of_swapped
    return of_pairs


def _perhaps_alike(frames: FrameHashes, pairs: np.ndarray) -> np.ndarray:
    """The same, of equally long clips with the first one searched for in the second."""
    alike = np.zeros(len(pairs), bool)
    lengths = np.diff(frames.starts)[pairs]
    order = np.argsort(lengths, axis=1, kind="stable")
    few, many = np.take_along_axis(pairs, order, axis=1).T
    num_few, num_many = np.take_along_axis(lengths, order, axis=1).T
    steps = np.maximum(num_few // SEARCHED_FRAMES, 1)
    num_searched = -(-num_few // steps)
    chunk_of = (num_searched * num_many).cumsum() // COMPARISONS_AT_A_TIME
    for chunk in np.split(np.arange(len(pairs)), np.flatnonzero(np.diff(chunk_of)) + 1):
        pair_of, place = _runs(num_searched[chunk])
        searched = frames.starts[few[chunk]][pair_of] + place * steps[chunk][pair_of]
        searched_of, place = _runs(num_many[chunk][pair_of])
        others = frames.starts[many[chunk]][pair_of][searched_of] + place
        edges = np.flatnonzero(np.diff(searched_of, prepend=-1))
        are_near = {limit: np.zeros((2, len(chunk)), bool) for limit in (ALIKE_BITS, PERHAPS_BITS)}
        for view in (ALL_CONTRASTS, STRONG_CONTRASTS):
            hashes = frames.hashes[:, view]
            for turned in (hashes[searched], mirrored(hashes[searched])):
                distances = _bit_distance(turned[searched_of], hashes[others])
                nearest = np.minimum.reduceat(distances, edges) if len(edges) else distances
                for limit, near in are_near.items():
                    num_near = np.bincount(pair_of, nearest <= limit, len(chunk))
                    near[view] |= num_near >= MIN_ALIKE_FRAC * num_searched[chunk]
        found, perhaps = are_near.values()
        num_bits = np.bincount(pair_of, np.bitwise_count(frames.hashes[searched, ALL_CONTRASTS]), len(chunk))
        is_sparse = num_bits <= SPARSE_BITS * num_searched[chunk]
        alike[chunk] = found[ALL_CONTRASTS] | (
            perhaps[ALL_CONTRASTS] & (found[STRONG_CONTRASTS] | (perhaps[STRONG_CONTRASTS] & is_sparse))
        )
    return alike & (num_few > 0)


def _runs(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For runs of some lengths, one after the other: of each place the number of its run, and its place in that."""
    run_of = np.repeat(np.arange(len(lengths)), lengths)
    return run_of, np.arange(len(run_of)) - np.repeat(lengths.cumsum() - lengths, lengths)


def _limit(clips: HashedClips, first: int, second: int, config: DuplicatesConfig) -> float:
    """The largest distance at which two clips, both images or both videos, count as copies."""
    limit = config.image_distance if clips.durations_s[first] == 0 else config.near_distance
    if clips.shots[first] == clips.shots[second]:
        limit = min(limit, SAME_SHOT_DISTANCE)
    if min(_num_bits(clips.hashes[clips.frames(clip)]) for clip in (first, second)) <= FEW_BITS:
        limit = min(limit, FEW_BITS_DISTANCE)
    return limit


def _without_corner(distances: np.ndarray) -> np.ndarray:
    """Of (5, A, B) distances, those with the corner left out that gives the closest frames, (A, B)."""
    return distances[_closest(distances).mean(axis=1).argmin()]


def _lower_bound(distances: np.ndarray, min_overlap: float) -> float:
    """A distance below which a mapping is rarely possible: each frame with its closest one, over the best frames of the
    share that must overlap."""
    closest = np.sort(_closest(distances))
    return float(closest[: math.ceil(min_overlap * len(closest))].mean())


def _closest(distances: np.ndarray) -> np.ndarray:
    """Smallest distance of each frame of the clip that has fewer, over the last two axes."""
    one, other = distances.shape[-2:]
    return distances.min(axis=-1 if one <= other else -2)


def _orientation(clips: HashedClips, one: slice, other: slice) -> bool | None:
    """Whether the other clip resembles the one mirrored; None if too few frames are alike either way."""
    few, many = (one, other) if one.stop - one.start <= other.stop - other.start else (other, one)
    few = slice(few.start, few.stop, max((few.stop - few.start) // SEARCHED_FRAMES, 1))
    for fewer, more in _views(clips, few, many):
        distances = _bit_distances(fewer, more).min(axis=-1)
        is_mirrored = bool(distances[1].sum() < distances[0].sum())
        found = distances[int(is_mirrored)]
        if np.count_nonzero(found <= ALIKE_BITS) >= MIN_ALIKE_FRAC * len(found):
            return is_mirrored
        if np.count_nonzero(found <= PERHAPS_BITS) < MIN_ALIKE_FRAC * len(found):
            return None
    return None


def _views(clips: HashedClips, few: slice, many: slice) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Hashes by which two clips may be alike: of all contrasts, of strong contrasts, and, where so little is visible
    that a logo is half of it, without each corner. Of the few frames as they are and mirrored, (2, F), and (M,)."""
    fewer, more = np.stack([clips.hashes[few], clips.mirrored_hashes[few]]), clips.hashes[many]
    yield fewer, more
    yield np.stack([clips.strong_hashes[few], clips.mirrored_strong_hashes[few]]), clips.strong_hashes[many]
    if max(_num_bits(fewer), _num_bits(more)) <= SPARSE_BITS:
        yield from ((fewer & corner, more & corner) for corner in _CORNER_BITS)


def _num_bits(hashes: np.ndarray) -> float:
    """Average number of bits set."""
    return float(np.bitwise_count(hashes).mean())


def _bit_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Bits that differ over bits set, of every pair, (..., A) and (B,) to (..., A, B) float32."""
    return _bit_distance(one[..., None], other)


def _bit_distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Bits that differ over bits set, of hashes by their places; float32."""
    counts = np.bitwise_count(one) + np.bitwise_count(other)  # at most 128, within a byte
    return np.bitwise_count(one ^ other) / np.maximum(counts, 1).astype(np.float32)


def frame_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Mean difference of contrasts over their root mean square, with all blocks and without each corner, (5, A, B).

    Args:
        one, other: (A, 64) and (B, 64) int8.
    """
    one, other = one.astype(np.float32), other.astype(np.float32)
    num_blocks = _MASKS.sum(axis=0)
    differences = np.abs(one[:, None] - other[None]) @ (_MASKS / num_blocks)
    sizes = [np.sqrt(contrasts**2 @ (_MASKS / num_blocks)) for contrasts in (one, other)]
    mean_sizes = (sizes[0][:, None] + sizes[1][None]) / 2 + CONTRAST_FLOOR
    return np.minimum(differences / mean_sizes, WORST_FRAME).transpose(2, 0, 1)


def best_mapping(
    distances: np.ndarray, times_s: tuple[np.ndarray, np.ndarray], durations_s: tuple[float, float], min_overlap: float
) -> _Mapping | None:
    """The rate and offset under which two clips agree best; None if they are neighbours rather than copies.

    Args:
        distances: (A, B) of frames shown from `times_s` (A,) and (B,) on.
        min_overlap: share of the shorter clip that must overlap the longer one.
    """
    distances = _least_of_neighbours(distances)
    step_s = max(STEP_S, min(durations_s) / MAX_STEPS)
    shown = _shown(times_s[1], durations_s[1], step_s)
    best, neighbour = None, np.inf
    for rate in RATES:
        other_shown = _shown(times_s[0] * rate, durations_s[0] * rate, step_s)
        means, overlaps = _along_offsets(distances[other_shown][:, shown])
        long = overlaps >= min_overlap
        neighbour = min(neighbour, means[~long & (overlaps >= LEAST_OVERLAP)].min(initial=np.inf))
        # Of equal distances the longest overlap.
        chosen = int(np.argmin(np.where(long, means - 1e-3 * overlaps, np.inf)))
        if best is None or means[chosen] < best.distance - 1e-3:
            best = _Mapping(float(means[chosen]), float(overlaps[chosen]), rate)
        if rate == 1 and best.distance <= CLOSE_DISTANCE:
            break
    return None if best is None or neighbour < best.distance - NEIGHBOUR_MARGIN else best


def _least_of_neighbours(distances: np.ndarray) -> np.ndarray:
    """For each pair of frames, the smallest distance to the second one or a frame beside it."""
    padded = np.pad(distances, ((0, 0), (1, 1)), mode="edge")
    return np.minimum(np.minimum(padded[:, :-2], padded[:, 2:]), distances)


def _shown(times_s: np.ndarray, duration_s: float, step_s: float) -> np.ndarray:
    """Number of the frame that is shown at each step: the last one that has started."""
    steps_s = np.arange(max(round(duration_s / step_s), 1)) * step_s + step_s / 2
    return np.clip(np.searchsorted(times_s, steps_s, side="right") - 1, 0, None)


def _along_offsets(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean distance for each offset of one clip against the other, (A + B - 1,), and the share of the shorter one that
    overlaps."""
    num_one, num_other = distances.shape
    offsets = (np.arange(num_other)[None] - np.arange(num_one)[:, None] + num_one - 1).ravel()
    counts = np.bincount(offsets)
    return np.bincount(offsets, distances.ravel()) / counts, counts / min(num_one, num_other)
