"""What broadcasters lay over a picture: a logo that stays in place, and a ticker whose text moves."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np

from pipeline.synthetic.truth import Overlay

FONT = cv2.FONT_HERSHEY_SIMPLEX
TICKER_WIDTHS_PER_S = 0.25
"""Speed of ticker text, in frame widths a second."""
NEWS = (
    "DRAWN NEWS",
    "CIRCLES STILL ROUND",
    "SQUARES HOLD FOUR CORNERS",
    "STARS SEEN SPINNING",
    "RINGS FOUND EMPTY",
    "TEAL OUTSELLS BEIGE",
    "CAMERA SHAKES AGAIN",
)


def logo(width: int, height: int, text: str = "REEL") -> Overlay:
    """A box with a word in the upper right corner, a quarter of the frame wide."""
    w, h = width // 4, height // 7
    return Overlay("logo", text, (width - w - width // 24, height // 20, w, h))


def ticker(width: int, height: int, first: int = 0) -> Overlay:
    """A band along the lower edge, with the news from item `first` on."""
    h = height // 8
    turned = NEWS[first % len(NEWS) :] + NEWS[: first % len(NEWS)]
    return Overlay("ticker", "  +  ".join(turned), (0, height - h - height // 20, width, h))


def paint(overlay: Overlay, frame: np.ndarray, time_s: Fraction) -> None:
    """Draw an overlay at `time_s` into an (H, W, 3) uint8 RGB frame."""
    x, y, w, h = overlay.box
    band = frame[y : y + h, x : x + w]
    size = 0.55 * h / 22  # a capital of FONT is 22 px high at scale 1
    thickness = max(round(2 * size), 1)
    (text_w, text_h), _ = cv2.getTextSize(overlay.text, FONT, size, thickness)
    if overlay.kind == "logo":
        band[:] = (150, 20, 30)
        left = (w - text_w) // 2
    else:
        band[:] = (15, 25, 60)
        left = w // 3 - round(float(time_s) * TICKER_WIDTHS_PER_S * w) % (text_w + w // 3)
    picture = np.ascontiguousarray(band)
    cv2.putText(picture, overlay.text, (left, (h + text_h) // 2), FONT, size, (255, 255, 255), thickness, cv2.LINE_AA)
    band[:] = picture
