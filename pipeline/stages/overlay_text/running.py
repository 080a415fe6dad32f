"""Tickers: a row of writing from edge to edge that runs sideways at a speed of its own.

Between two frames shortly after each other the row's edges match best when shifted; the rows above and below do not
match at that shift, as they would if the camera panned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.stages.overlay_text.reading import TextBox
from pipeline.stages.overlay_text.standing import EdgeStack

MAX_GAP_S = 0.5
"""Frames further apart are not compared: the text may be another one."""
MAX_WIDTHS_PER_S = 0.6
"""Faster text cannot be read."""
LEAST_MATCH, LEAST_GAIN = 0.5, 0.2
"""Correlation of the shifted row with itself, and how far it lies above that of the row left in place."""
LEAST_ROW_FRAC, LEAST_UNION_FRAC = 0.3, 0.6
"""Share of the picture's width that the row's text covers in each frame, and in all frames together."""
CUT_FRAC, LEAST_CUT_SHARE = 0.08, 0.7
"""The row comes this near to a side of the picture, in this share of the frames: signs that pass by do not."""
SAME_SPEED_FRAC, SAME_SPEED_SHARE = 0.4, 0.65
"""Speeds within this of their median agree, and this share of them must: the times of frames are known to one frame
interval, which is a fifth of the time between two."""


@dataclass(frozen=True)
class Ticker:
    """A running row: where it is, its speed in widths a second (positive to the left), and its boxes by frame."""

    y0: int
    y1: int
    speed: float
    boxes: dict[int, list[TextBox]]

    def holds(self, box: TextBox) -> bool:
        """Whether a box lies in the row by more than half of its height."""
        return min(box.y1, self.y1) - max(box.y0, self.y0) > 0.5 * box.height


def find_tickers(found: Mapping[int, Sequence[TextBox]], edges: EdgeStack, times_s: Sequence[float]) -> list[Ticker]:
    """The rows that run. Nothing is found where no two frames are close enough in time."""
    tickers = []
    for boxes in _rows(found):
        y0, y1 = (
            round(float(np.median([getattr(b, side) for row in boxes.values() for b in row]))) for side in ("y0", "y1")
        )
        if not _spans_picture(boxes, len(found), edges.width):
            continue
        speeds = _speeds(edges, y0, y1, times_s, sorted(boxes))
        if speeds and _agree(speeds):
            tickers.append(Ticker(y0, y1, float(np.median(speeds)), boxes))
    return tickers


def _rows(found: Mapping[int, Sequence[TextBox]]) -> list[dict[int, list[TextBox]]]:
    """Boxes of all frames that lie at the same height, by frame."""
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


def _spans_picture(row: Mapping[int, Sequence[TextBox]], num_searched: int, width: int) -> bool:
    """Whether the row is there most of the time, is long, and runs out of the picture, as a ribbon does."""
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
    return len(row) >= min(2, num_searched) and covered.mean() >= LEAST_UNION_FRAC and cut >= LEAST_CUT_SHARE * len(row)


def _speeds(edges: EdgeStack, y0: int, y1: int, times_s: Sequence[float], frames: Sequence[int]) -> list[float]:
    """Speeds of the row between neighbouring frames, in widths a second; empty if it does not run in most of them."""
    speeds, num_pairs = [], 0
    for first, second in zip(range(edges.num_frames - 1), range(1, edges.num_frames), strict=True):
        gap = times_s[second] - times_s[first]
        if not 0 < gap <= MAX_GAP_S or (first not in frames and second not in frames):
            continue
        reach = max(min(round(MAX_WIDTHS_PER_S * gap * edges.width), edges.width // 3), 2)
        row = _matches(edges, y0, y1, first, second, reach)
        if row is None:
            continue
        num_pairs += 1
        shift = int(np.argmax(row)) - reach
        beside = [_matches(edges, *rows, first, second, reach) for rows in _beside(y0, y1, edges.height)]
        follows = any(m is not None and m[shift + reach] >= row[shift + reach] - LEAST_GAIN for m in beside)
        if abs(shift) >= 1 and row.max() >= LEAST_MATCH and row.max() - row[reach] >= LEAST_GAIN and not follows:
            speeds.append(-shift / edges.width / gap)
    return speeds if 2 * len(speeds) > num_pairs else []


def _agree(speeds: Sequence[float]) -> bool:
    middle = float(np.median(speeds))
    near = [abs(speed - middle) <= SAME_SPEED_FRAC * abs(middle) for speed in speeds]
    return middle != 0 and float(np.mean(near)) >= SAME_SPEED_SHARE


def _matches(edges: EdgeStack, y0: int, y1: int, first: int, second: int, reach: int) -> np.ndarray | None:
    """Correlation of the row with itself in the other frame, for shifts of -reach to reach, (2 reach + 1,)."""
    row = np.ascontiguousarray(edges.across[first, y0:y1, reach:-reach], np.float32)
    other = np.ascontiguousarray(edges.across[second, y0:y1], np.float32)
    if not row.any() or not other.any():
        return None
    return cv2.matchTemplate(other, row, cv2.TM_CCORR_NORMED)[0]


def _beside(y0: int, y1: int, height: int) -> list[tuple[int, int]]:
    """The rows of the same height above and below, clear of the band that the text runs on."""
    tall, clear = y1 - y0, (y1 - y0) // 2
    rows = [(y0 - clear - tall, y0 - clear), (y1 + clear, y1 + clear + tall)]
    return [(top, foot) for top, foot in rows if top >= 0 and foot <= height]
