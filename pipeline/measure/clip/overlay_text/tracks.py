"""Text boxes over time: which of them are the same text, how long it keeps its place, and what moves around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.measure.clip.overlay_text.reading import TextBox
from pipeline.measure.clip.overlay_text.standing import CELL_PX, MOVES_BELOW, EdgeStack

SAME_PLACE_IOU = 0.5
"""Overlap (intersection over union) of two boxes of one text. They differ by a pixel or two from frame to frame:
cosmos-curate asks for 0.9, which 12 px lines do not reach. Whether the text is the same is told by its edges."""
SAME_PLACE_INSIDE = 0.8
"""A box of which this share is inside another one is a part of it."""
PAIR_STANDS = 0.5
"""Correlation of a box between two frames from which it shows the same letters."""
STANDS = 0.25
"""Coherence over the whole clip from which a box keeps its place: behind faint letters the picture moves in the box."""
LEAST_LEAD = 0.2
"""By how much that must exceed the coherence of the picture around it."""
LEAST_MOVING_SHARE, LEAST_MOVING_SHARE_AFAR = 0.5, 0.7
"""Share of the cells around a box that must move for the surroundings to move; the second, of the whole picture's
cells, where the surroundings are plain."""
LEAST_CELLS = 5
"""Cells that the surroundings need for anything to be told of them."""


@dataclass(frozen=True)
class Track:
    """One piece of text. `frames` are those it is there in, `seen` those it was detected in.

    `stands`: it keeps its place in them. `around` is what the picture around it does meanwhile: 'moves', 'still', or
    'plain' if neither can be seen. `echoes` counts the other searched frames with a box of about the same size
    anywhere.
    """

    box: TextBox
    frames: tuple[int, ...]
    seen: tuple[int, ...]
    coherence: float
    stands: bool
    around: str = "plain"
    echoes: int = 0


def follow(found: Mapping[int, Sequence[TextBox]], edges: EdgeStack) -> list[Track]:
    """Join the boxes found in some frames to tracks; a track's box is the one of median area."""
    tracks: list[Track] = []
    boxes_of: list[list[TextBox]] = []
    for frame, boxes in found.items():
        for box in boxes:
            for index, track in enumerate(tracks):
                if frame in track.frames and _same_place(box, track.box):
                    tracks[index] = replace(track, seen=tuple(sorted({*track.seen, frame})))
                    boxes_of[index].append(box)
                    break
            else:
                tracks.append(_begin(box, frame, edges))
                boxes_of.append([box])
    everything = [box for boxes in found.values() for box in boxes]
    tracks = [replace(track, box=_typical(boxes)) for track, boxes in zip(tracks, boxes_of, strict=True)]
    tracks = [_with_surroundings(track, everything, edges) for track in tracks]
    return [replace(track, echoes=_echoes(track, found)) for track in tracks]


def _typical(boxes: Sequence[TextBox]) -> TextBox:
    """The box of median area, with the best score of all."""
    by_area = sorted(boxes, key=lambda box: box.area_px)
    return replace(by_area[len(boxes) // 2], score=max(box.score for box in boxes))


def _echoes(track: Track, found: Mapping[int, Sequence[TextBox]]) -> int:
    others = [boxes for frame, boxes in found.items() if frame not in track.seen]
    return sum(any(_alike(box, track.box) for box in boxes) for boxes in others)


def _alike(a: TextBox, b: TextBox) -> bool:
    return abs(a.height - b.height) <= 0.25 * b.height and abs(a.width - b.width) <= 0.25 * b.width


def _same_place(a: TextBox, b: TextBox) -> bool:
    return a.iou(b) >= SAME_PLACE_IOU or a.overlap_px(b) >= SAME_PLACE_INSIDE * min(a.area_px, b.area_px)


def stands_throughout(box: TextBox, edges: EdgeStack) -> bool:
    """Whether a box keeps its edges over the whole clip, judged without its surroundings."""
    return edges.coherence((box.x0, box.y0, box.x1, box.y1), range(edges.num_frames)) >= STANDS


def _begin(box: TextBox, frame: int, edges: EdgeStack) -> Track:
    """A track from its first box: the unbroken run of frames that show the same edges, or the whole clip."""
    if edges.num_frames == 1:
        return Track(box, (frame,), (frame,), 1.0, stands=True)
    corners = (box.x0, box.y0, box.x1, box.y1)
    pairs = edges.pair_coherence(corners, frame)
    first = last = frame
    while first > 0 and pairs[first - 1] >= PAIR_STANDS:
        first -= 1
    while last < edges.num_frames - 1 and pairs[last + 1] >= PAIR_STANDS:
        last += 1
    run = tuple(range(first, last + 1))
    outside = [pair for index, pair in enumerate(pairs) if index not in run]
    if len(run) > 1 and (not outside or np.mean(outside) < PAIR_STANDS):
        return Track(box, run, (frame,), edges.coherence(corners, run), stands=True)
    coherence = edges.coherence(corners, range(edges.num_frames))
    if coherence >= STANDS:
        return Track(box, tuple(range(edges.num_frames)), (frame,), coherence, stands=True)
    return Track(box, (frame,), (frame,), coherence, stands=False)


def _with_surroundings(track: Track, boxes: Sequence[TextBox], edges: EdgeStack) -> Track:
    """Add what the picture around a track does, without any text; a track that moves as it does keeps no place."""
    if not track.stands:
        return track
    coherence, textured = edges.cells(track.frames)
    usable = textured.copy()
    for box in boxes:
        usable[_cell_slices(box, 0, 0)] = False
    reach = max(3 * track.box.height, 0.15 * edges.height)
    near = np.zeros_like(usable)
    near[_cell_slices(track.box, reach, reach)] = True
    near &= usable
    least = LEAST_MOVING_SHARE
    if near.sum() < LEAST_CELLS:
        near, least = usable, LEAST_MOVING_SHARE_AFAR
    if near.sum() < LEAST_CELLS:
        return track
    if len(track.frames) == 1:
        return replace(track, around="still")
    moves = float((coherence[near] < MOVES_BELOW).mean()) >= least
    stands = not moves or track.coherence >= float(np.median(coherence[near])) + LEAST_LEAD
    return replace(track, around="moves" if moves else "still", stands=stands)


def _cell_slices(box: TextBox, across_px: float, down_px: float) -> tuple[slice, slice]:
    rows = slice(int(max(box.y0 - down_px, 0)) // CELL_PX, -int(-(box.y1 + down_px) // CELL_PX))
    columns = slice(int(max(box.x0 - across_px, 0)) // CELL_PX, -int(-(box.x1 + across_px) // CELL_PX))
    return rows, columns
