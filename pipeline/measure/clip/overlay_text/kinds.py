"""Which text is laid over the picture, which is in the scene, and of what kind an overlay is.

Text that keeps its place while the picture around it moves is laid over it, in any script and at any place. Where the
picture is still too, time tells nothing. Then only upright text in the usual places of overlays is one (a line in the
middle of the foot or the head, a corner, a card of text on plain ground), and it must be legible or on plain ground.
All other text is scene text, as is all that moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.measure.clip.overlay_text.reading import Reading, TextBox
from pipeline.measure.clip.overlay_text.standing import EdgeStack
from pipeline.measure.clip.overlay_text.tracks import Track

MAX_HEIGHT_FRAC = 0.5
"""Height of the tallest line of text, of the picture's. Taller boxes are shapes or textures: on 288 pictures without
text they were a third of the detector's errors. The box around a line is about 1.7 times as tall as the font size."""
LINE_ASPECT = 1.8
"""A box this much longer than wide is a line; the shapes that the detector takes for text are about as wide as tall."""
WORD_ASPECT, WORD_SCORE = 1.4, 0.75
"""Aspect and score of a short word that is there all the time; shapes are closer to square, or score less."""
ONCE_SCORE, ONCE_COHERENCE = 0.65, 0.8
"""Score and coherence that text seen in a single moment needs: opaque letters keep nearly all their edges."""
LEAST_SCORE = 0.6
"""Score of the detector that a line needs."""
LEGIBLE = 0.75
"""Confidence from which a reading counts. Shapes of the synthetic corpus are read as one letter or sign at up to
0.89."""
LEGIBLE_LONG, LONG_LETTERS = 0.6, 4
"""The same for longer readings: no texture was read as four letters or more at above 0.4."""
CORNER_FRAC = 0.1
"""cosmos-curate's corner zone."""
SUBTITLE_OFF_CENTRE_FRAC, SUBTITLE_FOOT_FRAC, SUBTITLE_HEAD_FRAC = 0.08, 0.68, 0.2
"""How far from the middle a subtitle is, of the width; from which height down it is at the foot, and to which at the
head."""
CARD_TEXTURED_FRAC = 0.12
"""At most this share of a card's inner cells, apart from its text, have texture."""
CARD_INNER_FRAC = 0.1
"""Share of each side that is left out of a card's inner cells: the picture may show around a card."""
LARGE_FRAC = 0.08
"""Height of a line, of the picture's, from which it is a title rather than a mark."""
MAX_COLUMN_FRAC = 0.1
"""Width of the widest upright column of text that cannot be read, of the picture's height; test bars and posts are
wider."""
MAX_TILT = 0.12
"""Tilt up to which text counts as upright."""


def is_plausible(box: TextBox, height: int) -> bool:
    """Whether a detected box can be text at all."""
    return min(box.width, box.height) <= MAX_HEIGHT_FRAC * height and box.score >= 0.5


def is_legible(reading: Reading) -> bool:
    """Whether a line can be read; a longer one needs less confidence."""
    least = LEGIBLE_LONG if reading.num_letters >= LONG_LETTERS else LEGIBLE
    return reading.num_different >= 2 and reading.confidence >= least


def is_writing(track: Track, reading: Reading, searched: Sequence[int], card: bool, width: int, height: int) -> bool:
    """Whether a track is text, in any script: by what it says, or by its shape and how it keeps its place.

    Args:
        searched: the frames that were searched for text.
        card: whether the picture is plain ground apart from its text.
    """
    if is_legible(reading):
        return True
    box = track.box
    aspect = max(box.width, box.height) / max(min(box.width, box.height), 1)
    if box.height > LINE_ASPECT * box.width and box.width > MAX_COLUMN_FRAC * height:
        return False
    line = aspect >= LINE_ASPECT
    word = aspect >= WORD_ASPECT and box.score >= WORD_SCORE
    if not track.stands:
        return (word or (line and box.score >= LEAST_SCORE)) and track.echoes >= 0.5 * (len(searched) - 1)
    chances = len(set(searched) & set(track.frames))
    if track.around == "moves":
        if chances == 1:
            return line and box.score >= ONCE_SCORE and track.coherence >= ONCE_COHERENCE
        return len(track.seen) >= 0.5 * chances and (aspect >= WORD_ASPECT or chances == len(searched))
    word = word and len(track.seen) == len(searched)
    if track.around == "plain" or card:
        return word or (line and box.score >= LEAST_SCORE)
    in_place = _in_corner(box, width, height) or _at_foot_or_head(box, width, height)
    lasting = chances >= min(2, len(searched)) and len(track.seen) == chances
    return in_place and (word or (line and lasting))


def is_overlay(track: Track, card: bool, width: int, height: int) -> bool:
    """Whether text is laid over the picture."""
    if not track.stands:
        return False
    if track.around == "moves":
        return True
    placed = card or _in_corner(track.box, width, height) or _at_foot_or_head(track.box, width, height)
    return track.box.tilt <= MAX_TILT and placed


def kind_of(track: Track, card: bool, width: int, height: int) -> str:
    """'subtitle', 'watermark' or 'title card', by place and size; tickers are found by how they move."""
    box = track.box
    if _in_corner(box, width, height):
        return "watermark"
    if _at_foot_or_head(box, width, height):
        return "subtitle"
    if card or box.height >= LARGE_FRAC * height:
        return "title card"
    return "watermark" if track.box.y1 < SUBTITLE_FOOT_FRAC * height else "subtitle"


def is_card(boxes: Sequence[TextBox], edges: EdgeStack) -> bool:
    """Whether the picture is plain ground apart from its text."""
    _, textured = edges.cells(tuple(range(edges.num_frames)))
    rows, columns = textured.shape
    down, across = round(CARD_INNER_FRAC * rows), round(CARD_INNER_FRAC * columns)
    inner = np.zeros_like(textured)
    inner[down : rows - down, across : columns - across] = True
    scale_y, scale_x = rows / edges.height, columns / edges.width
    for box in boxes:
        top, left = int(box.y0 * scale_y), int(box.x0 * scale_x)
        inner[top : int(np.ceil(box.y1 * scale_y)), left : int(np.ceil(box.x1 * scale_x))] = False
    return bool(inner.any()) and float(textured[inner].mean()) <= CARD_TEXTURED_FRAC


def _in_corner(box: TextBox, width: int, height: int) -> bool:
    beside = min(box.x0, width - box.x1) <= CORNER_FRAC * width
    above = min(box.y0, height - box.y1) <= CORNER_FRAC * height
    off_centre = abs(box.x0 + box.x1 - width) / 2 > SUBTITLE_OFF_CENTRE_FRAC * width
    return beside and above and off_centre and box.width <= 0.5 * width


def _at_foot_or_head(box: TextBox, width: int, height: int) -> bool:
    middle_x, middle_y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    central = abs(middle_x - width / 2) <= SUBTITLE_OFF_CENTRE_FRAC * width
    return central and (middle_y >= SUBTITLE_FOOT_FRAC * height or middle_y <= SUBTITLE_HEAD_FRAC * height)
