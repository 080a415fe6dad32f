"""Tickers: a row of text from edge to edge that moves sideways at a speed of its own.

Between two frames shortly after each other the row's edges match best when shifted. The rows above and below do not
match at that shift, as they would if the camera panned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.measure.clip.overlay_text.reading import TextBox
from pipeline.measure.clip.overlay_text.standing import EdgeStack

MAX_GAP_S = 0.5
"""Frames further apart are not compared: the text may have changed."""
MAX_WIDTHS_PER_S = 0.6
"""Faster text cannot be read."""
LEAST_MATCH, LEAST_GAIN = 0.5, 0.2
"""Correlation of the row with the shifted one, and by how much it exceeds that of the row left in place."""
LEAST_ROW_PX = 4
"""Height from which the rows above and below can be compared."""
LEAST_ROW_FRAC, LEAST_UNION_FRAC = 0.3, 0.6
"""Share of the picture's width that the row's text covers in each frame, and in all frames together."""
LEAST_RIBBON_FRAC, LEAST_RIBBON_MATCH = 0.9, 0.65
"""A row with edges along this share of the width that all move is a ticker, even if only some of its text is found. Its
edges are compared by sign alone, so that bold ones do not outweigh the others."""
CUT_FRAC, LEAST_CUT_SHARE = 0.08, 0.7
"""The row comes this near to a side of the picture in this share of the frames; signs that pass by do not."""
SAME_SPEED_FRAC, SAME_SPEED_SHARE = 0.4, 0.65
"""Speeds this near to their median agree, and this share of them must. They are not exact, since a frame is shown up to
one frame interval before its time, a fifth of the time between two samples."""


@dataclass(frozen=True)
class Ticker:
    """A moving row: where it is, its speed in widths a second (positive to the left), and its boxes by frame."""

    y0: int
    y1: int
    speed: float
    boxes: dict[int, list[TextBox]]

    def holds(self, box: TextBox) -> bool:
        """Whether more than half of a box's height is in the row."""
        return min(box.y1, self.y1) - max(box.y0, self.y0) > 0.5 * box.height


def find_tickers(found: Mapping[int, Sequence[TextBox]], edges: EdgeStack, times_s: Sequence[float]) -> list[Ticker]:
    """The rows that move. Nothing is found where no two frames are close enough in time."""
    tickers = []
    for boxes in _rows(found):
        every = [box for row in boxes.values() for box in row]
        y0, y1 = (round(float(np.median([getattr(box, side) for box in every]))) for side in ("y0", "y1"))
        if len(boxes) < min(2, len(found)):
            continue
        if _spans_picture(boxes, edges.width):
            speeds = _speeds(edges.across, y0, y1, times_s, sorted(boxes), LEAST_MATCH)
        elif _is_ribbon(edges, y0, y1):
            speeds = _speeds(np.sign(edges.across), y0, y1, times_s, range(edges.num_frames), LEAST_RIBBON_MATCH)
        else:
            continue
        if speeds and _agree(speeds):
            tickers.append(Ticker(y0, y1, float(np.median(speeds)), boxes))
    return tickers


def _is_ribbon(edges: EdgeStack, y0: int, y1: int) -> bool:
    """Whether a row has edges along all of the picture's width in every frame, in steps of its height."""
    for across in edges.across:
        columns = (across[y0:y1] != 0).any(axis=0)
        steps = np.add.reduceat(columns, range(0, len(columns), max(y1 - y0, 1))) > 0
        if steps.mean() < LEAST_RIBBON_FRAC:
            return False
    return True


def _rows(found: Mapping[int, Sequence[TextBox]]) -> list[dict[int, list[TextBox]]]:
    """Boxes of all frames at the same height, by frame."""
    rows: list[tuple[TextBox, dict[int, list[TextBox]]]] = []
    for frame, boxes in found.items():
        for box in boxes:
            for first, row in rows:
                shared = min(box.y1, first.y1) - max(box.y0, first.y0)
                if shared >= 0.6 * max(box.height, first.height):
                    row.setdefault(frame, []).append(box)
                    break
            else:
                rows.append((box, {frame: [box]}))
    return [row for _, row in rows]


def _spans_picture(row: Mapping[int, Sequence[TextBox]], width: int) -> bool:
    """Whether the text found in a row is long and reaches out of the picture, as a ticker's does."""
    covered = np.zeros(width, bool)
    cut = 0
    for boxes in row.values():
        now = np.zeros(width, bool)
        for box in boxes:
            now[box.x0 : box.x1] = True
        if now.mean() < LEAST_ROW_FRAC:
            return False
        margin = max(round(CUT_FRAC * width), 1)
        cut += bool(now[:margin].any() or now[-margin:].any())
        covered |= now
    return bool(covered.mean() >= LEAST_UNION_FRAC) and cut >= LEAST_CUT_SHARE * len(row)


def _speeds(
    across: np.ndarray, y0: int, y1: int, times_s: Sequence[float], frames: Sequence[int], least: float
) -> list[float]:
    """Speeds of a row between neighbouring frames, in widths a second; empty if it does not move in most of them.

    Args:
        across: (T, H, W) horizontal gradients.
        frames: those with text in the row; pairs with neither of them are left out.
    """
    num_frames, height, width = across.shape
    speeds, num_pairs = [], 0
    for first, second in zip(range(num_frames - 1), range(1, num_frames), strict=True):
        gap = times_s[second] - times_s[first]
        if not 0 < gap <= MAX_GAP_S or (first not in frames and second not in frames):
            continue
        reach = max(min(round(MAX_WIDTHS_PER_S * gap * width), width // 3), 2)
        row = _matches(across, y0, y1, first, second, reach)
        if row is None:
            continue
        num_pairs += 1
        shift = int(np.argmax(row)) - reach
        beside = [_matches(across, *rows, first, second, reach) for rows in _beside(y0, y1, height)]
        follows = not beside or any(
            m is not None and m[shift + reach] >= row[shift + reach] - LEAST_GAIN for m in beside
        )
        if abs(shift) >= 1 and row.max() >= least and row.max() - row[reach] >= LEAST_GAIN and not follows:
            speeds.append(-shift / width / gap)
    return speeds if 2 * len(speeds) > num_pairs else []


def _agree(speeds: Sequence[float]) -> bool:
    middle = float(np.median(speeds))
    near = [abs(speed - middle) <= SAME_SPEED_FRAC * abs(middle) for speed in speeds]
    return middle != 0 and float(np.mean(near)) >= SAME_SPEED_SHARE


def _matches(across: np.ndarray, y0: int, y1: int, first: int, second: int, reach: int) -> np.ndarray | None:
    """Correlation of the row with itself in the other frame, for shifts of -reach to reach, (2 reach + 1,)."""
    row = np.ascontiguousarray(across[first, y0:y1, reach:-reach], np.float32)
    other = np.ascontiguousarray(across[second, y0:y1], np.float32)
    if not row.any() or not other.any():
        return None
    return cv2.matchTemplate(other, row, cv2.TM_CCORR_NORMED)[0]


def _beside(y0: int, y1: int, height: int) -> list[tuple[int, int]]:
    """The rows above and below, equally tall where there is room, clear of the band behind the text."""
    tall, clear = y1 - y0, (y1 - y0) // 2
    rows = [(max(y0 - clear - tall, 0), y0 - clear), (y1 + clear, min(y1 + clear + tall, height))]
    return [(top, foot) for top, foot in rows if foot - top >= LEAST_ROW_PX]
