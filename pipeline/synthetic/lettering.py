"""Text and logos painted onto given frames, with their truth: what an overlay detector is to find.

Four kinds of text are laid over the picture, whatever moves beneath: subtitles, tickers, watermarks and title cards. A
logo is a sign without letters. Scene text is a board that moves through the picture. The letters are OpenCV's own,
which has seven scripts built in.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

OVERLAY_KINDS = ("subtitle", "ticker", "watermark", "title card")
KINDS = (*OVERLAY_KINDS, "scene text")
PHRASES: dict[str, tuple[str, ...]] = {
    "latin": ("Lake", "Still water", "The lake is calm today", "Nobody saw the boat leave the harbour"),
    "cyrillic": ("Озеро", "Тихая вода", "Сегодня озеро спокойно", "Никто не видел, как лодка ушла из гавани"),
    "greek": ("Λίμνη", "Ήσυχο νερό", "Η λίμνη είναι ήρεμη σήμερα", "Κανείς δεν είδε τη βάρκα να φεύγει"),
    "chinese": ("湖水", "平静的水面", "今天湖面非常平静", "没有人看见小船离开港口的那一刻"),
    "kana": ("みずうみ", "しずかなみず", "きょうのみずうみはしずか", "ボートがみなとをでるのをだれもみなかった"),
    "hangul": ("호수", "고요한 물결", "오늘 호수는 고요하다", "배가 항구를 떠나는 것을 아무도 못 봤다"),
    "arabic": ("بحيرة", "ماء هادئ", "البحيرة هادئة اليوم", "لم ير أحد القارب يغادر الميناء"),
}
"""Phrases of each script, shortest first."""
SCRIPTS = tuple(PHRASES)
WEIGHTS = (400, 700)
TICKER_WIDTHS_PER_S = (0.06, 0.25)
WATERMARK_ALPHA = (0.45, 1.0)


@dataclass(frozen=True)
class Lettered:
    """Painted frames and what was painted; `boxes` has one x, y, width, height a frame, None where nothing shows."""

    frames: np.ndarray
    kind: str
    texts: tuple[str, ...]
    boxes: tuple[tuple[int, int, int, int] | None, ...]
    alpha: float = 1.0

    @property
    def area_frac(self) -> float:
        """Largest share of the picture under the text at a time."""
        height, width = self.frames.shape[1:3]
        return max((b[2] * b[3] for b in self.boxes if b), default=0) / (width * height)


def letter(
    frames: np.ndarray, times_s: Sequence[float], kind: str, script: str, size_px: int, seed: int | str
) -> Lettered:
    """Paint text of a kind, chosen from a seed, onto a copy of the frames.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
        size_px: font size, about the height from the top of a capital to the foot of a descender.
    Raises:
        KeyError: no such kind or script.
    """
    rng = random.Random(f"lettering-{seed}")
    return _PAINTERS[kind](frames.copy(), list(times_s), script, size_px, rng)


def stamp_logo(frames: np.ndarray, size_px: int, alpha: float, seed: int | str) -> Lettered:
    """Paint a logo without letters, `size_px` across, into a corner of a copy of the frames."""
    rng = random.Random(f"logo-{seed}")
    frames = frames.copy()
    sign = np.zeros((size_px, size_px), np.uint8)
    middle, radius = size_px // 2, size_px // 2 - 1
    cv2.circle(sign, (middle, middle), radius, 255, max(size_px // 9, 2), cv2.LINE_AA)
    turns = np.arange(rng.choice((3, 4, 5))) * 2 * np.pi / 5 + rng.uniform(0, 3)
    points = middle + radius * 0.62 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    cv2.fillPoly(sign, [np.round(points).astype(np.int32)], 255, cv2.LINE_AA)
    corner = _corner(frames.shape[2], frames.shape[1], size_px, size_px, rng)
    colour = _standing_out(frames, (*corner, size_px, size_px))
    for frame in frames:
        _blend(frame, sign, corner, colour, alpha)
    return Lettered(frames, "logo", (), ((*corner, size_px, size_px),) * len(frames), alpha)


def _subtitle(frames: np.ndarray, times_s: list[float], script: str, size_px: int, rng: random.Random) -> Lettered:
    height, width = frames.shape[1:3]
    fits = _phrases_within(script, size_px, 0.94 * width)
    lines = rng.sample(fits, min(len(fits), rng.choice((1, 2))))
    masks = [_text_mask(line, size_px, rng.choice(WEIGHTS)) for line in lines]
    colour = rng.choice(((255, 255, 255), (255, 240, 90)))
    backing = rng.choice(("outline", "outline", "box"))
    foot = rng.uniform(0.03, 0.1) * height
    boxes: list[tuple[int, int, int, int] | None] = []
    for index, frame in enumerate(frames):
        mask = masks[index * len(masks) // len(frames)]
        left, top = (width - mask.shape[1]) // 2, round(height - foot - mask.shape[0])
        _back(frame, mask, (left, top), backing, size_px)
        boxes.append(_blend(frame, mask, (left, top), colour, 1.0))
    return Lettered(frames, "subtitle", tuple(lines), tuple(boxes))


def _ticker(frames: np.ndarray, times_s: list[float], script: str, size_px: int, rng: random.Random) -> Lettered:
    height, width = frames.shape[1:3]
    phrases = list(PHRASES[script])
    rng.shuffle(phrases)
    mask = _text_mask("   ".join(phrases), size_px, rng.choice(WEIGHTS))
    mask = np.hstack([mask, np.zeros((len(mask), size_px), np.uint8)])
    mask = np.tile(mask, (1, 2 + width // mask.shape[1]))
    period = mask.shape[1] // (2 + width // mask.shape[1])
    band = round(1.7 * size_px)
    top = height - band - rng.randrange(max(height // 12, 1))
    alpha, dark = rng.choice((1.0, 0.8)), rng.choice((True, False))
    ground, colour = ((20, 25, 60), (250, 250, 250)) if dark else ((235, 235, 225), (15, 15, 25))
    speed, start = rng.uniform(*TICKER_WIDTHS_PER_S) * width, rng.randrange(period)
    inner = top + (band - len(mask)) // 2
    for frame, time_s in zip(frames, times_s, strict=True):
        _fill(frame, (0, top, width, band), ground, alpha)
        gone = round(start + (-speed if script == "arabic" else speed) * time_s) % period
        _blend(frame, mask[:, gone : gone + width], (0, inner), colour, 1.0)
    box = (0, inner, width, len(mask))
    return Lettered(frames, "ticker", tuple(phrases), (box,) * len(frames), alpha)


def _watermark(frames: np.ndarray, times_s: list[float], script: str, size_px: int, rng: random.Random) -> Lettered:
    height, width = frames.shape[1:3]
    text = rng.choice(_phrases_within(script, size_px, 0.4 * width)[:2])
    mask = _text_mask(text, size_px, rng.choice(WEIGHTS))
    corner = _corner(width, height, mask.shape[1], mask.shape[0], rng)
    alpha = rng.uniform(*WATERMARK_ALPHA)
    colour = _standing_out(frames, (*corner, mask.shape[1], mask.shape[0]))
    boxes = tuple(_blend(frame, mask, corner, colour, alpha) for frame in frames)
    return Lettered(frames, "watermark", (text,), boxes, alpha)


def _title_card(frames: np.ndarray, times_s: list[float], script: str, size_px: int, rng: random.Random) -> Lettered:
    """Lines on a plain card that fills the frame, or all of it but a margin; large words also without a card."""
    height, width = frames.shape[1:3]
    fits = _phrases_within(script, size_px, 0.8 * width)
    bare = size_px >= height / 10 and rng.random() < 0.4
    lines = rng.sample(fits, min(len(fits), 1 if bare else rng.choice((1, 2, 3)), max(int(0.7 * height / size_px), 1)))
    mask = _stack([_text_mask(line, size_px, rng.choice(WEIGHTS)) for line in lines], size_px // 3)
    left, top = (width - mask.shape[1]) // 2, (height - mask.shape[0]) // 2
    dark = rng.random() < 0.6
    ground, colour = ((18, 18, 24), (240, 240, 235)) if dark else ((238, 236, 228), (25, 25, 40))
    margin = 0.0 if rng.random() < 0.6 else 0.06
    card = (
        round(margin * width),
        round(margin * height),
        round(width * (1 - 2 * margin)),
        round(height * (1 - 2 * margin)),
    )
    boxes: list[tuple[int, int, int, int] | None] = []
    for frame in frames:
        if bare:
            _back(frame, mask, (left, top), "outline", size_px)
        else:
            _fill(frame, card, ground, 1.0)
        boxes.append(_blend(frame, mask, (left, top), (255, 255, 255) if bare else colour, 1.0))
    return Lettered(frames, "title card", tuple(lines), tuple(boxes))


def _scene_text(frames: np.ndarray, times_s: list[float], script: str, size_px: int, rng: random.Random) -> Lettered:
    """A board that moves by a fifth of the picture or more during the clip, and turns and grows a little."""
    height, width = frames.shape[1:3]
    text = rng.choice(_phrases_within(script, size_px, 0.5 * width))
    mask = _text_mask(text, size_px, 700)
    tall, wide = mask.shape[0] + size_px, mask.shape[1] + size_px
    board = np.full((tall, wide, 3), (35, 60, 45), np.uint8)
    _blend(board, mask, (size_px // 2, size_px // 2), (245, 245, 240), 1.0)
    inside = np.zeros((tall, wide), np.uint8)
    inside[size_px // 2 : size_px // 2 + mask.shape[0], size_px // 2 : size_px // 2 + mask.shape[1]] = mask
    way = np.array([rng.choice((-1, 1)) * rng.uniform(0.2, 0.4) * width, rng.uniform(-0.12, 0.12) * height])
    span = max(times_s[-1] - times_s[0], 1e-6)
    tilt, growth = rng.uniform(-4, 4), rng.uniform(0.95, 1.15)
    boxes = []
    for frame, time_s in zip(frames, times_s, strict=True):
        u = (time_s - times_s[0]) / span
        turn = cv2.getRotationMatrix2D((wide / 2, tall / 2), tilt, growth**u)
        turn[:, 2] += np.array([width - wide, height - tall]) / 2 + way * (u - 0.5)
        there = cv2.warpAffine(np.full_like(inside, 255), turn, (width, height))
        picture = cv2.warpAffine(board, turn, (width, height))
        frame[:] = np.where(there[..., None] > 127, picture, frame)
        x, y, w, h = cv2.boundingRect(cv2.warpAffine(inside, turn, (width, height)))
        boxes.append((x, y, w, h) if w * h else None)
    return Lettered(frames, "scene text", (text,), tuple(boxes))


_PAINTERS = {
    "subtitle": _subtitle,
    "ticker": _ticker,
    "watermark": _watermark,
    "title card": _title_card,
    "scene text": _scene_text,
}


def _text_mask(text: str, size_px: int, weight: int) -> np.ndarray:
    """Coverage of the letters, cut to their bounding box, (h, w) uint8."""
    paper = np.zeros((3 * size_px, (len(text) + 4) * size_px * 3 // 2, 3), np.uint8)
    cv2.putText(paper, text, (size_px, 2 * size_px), (255, 255, 255), cv2.FontFace("sans"), size_px, weight)
    x, y, w, h = cv2.boundingRect(paper[..., 0])
    return paper[y : y + h, x : x + w, 0]


def _phrases_within(script: str, size_px: int, width_px: float) -> list[str]:
    """The phrases of a script that fit a width, shortest first; the start of the shortest where none does."""
    fits = [phrase for phrase in PHRASES[script] if _text_mask(phrase, size_px, 700).shape[1] <= width_px]
    shortest = PHRASES[script][0]
    while not fits and len(shortest) > 1:
        shortest = shortest[:-1]
        fits = [shortest] if _text_mask(shortest, size_px, 700).shape[1] <= width_px else []
    return fits or [shortest]


def _stack(masks: list[np.ndarray], gap: int) -> np.ndarray:
    """Lines below each other, centred."""
    width = max(mask.shape[1] for mask in masks)
    rows = []
    for mask in masks:
        left = (width - mask.shape[1]) // 2
        rows += [np.pad(mask, ((0, 0), (left, width - mask.shape[1] - left))), np.zeros((gap, width), np.uint8)]
    return np.vstack(rows[:-1])


def _corner(width: int, height: int, w: int, h: int, rng: random.Random) -> tuple[int, int]:
    """Left and top of a box in one of the corners, a few hundredths of the picture from its edges."""
    across, down = round(rng.uniform(0.02, 0.06) * width), round(rng.uniform(0.02, 0.06) * height)
    return rng.choice((across, width - w - across)), rng.choice((down, height - h - down))


def _standing_out(frames: np.ndarray, box: tuple[int, int, int, int]) -> tuple[int, int, int]:
    """White over what is dark on average, black over what is bright."""
    x, y, w, h = box
    return (255, 255, 255) if frames[:, y : y + h, x : x + w].mean() < 140 else (10, 10, 10)


def _back(frame: np.ndarray, mask: np.ndarray, at: tuple[int, int], backing: str, size_px: int) -> None:
    """What makes letters readable over any picture: a dark outline around them, or a dim box behind them."""
    left, top = at
    if backing == "box":
        pad = max(size_px // 4, 2)
        _fill(frame, (left - pad, top - pad, mask.shape[1] + 2 * pad, mask.shape[0] + 2 * pad), (0, 0, 0), 0.65)
        return
    reach = max(size_px // 12, 1)
    wide = cv2.dilate(np.pad(mask, reach), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    _blend(frame, wide, (left - reach, top - reach), (0, 0, 0), 1.0)


def _fill(frame: np.ndarray, box: tuple[int, int, int, int], colour: tuple[int, int, int], alpha: float) -> None:
    x, y, w, h = box
    _blend(frame, np.full((h, w), 255, np.uint8), (x, y), colour, alpha)


def _blend(
    frame: np.ndarray, mask: np.ndarray, at: tuple[int, int], colour: tuple[int, int, int], alpha: float
) -> tuple[int, int, int, int] | None:
    """Lay a colour over a frame where the mask is; returns the box that shows, x, y, width, height."""
    (left, top), (height, width) = at, frame.shape[:2]
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + mask.shape[1], width), min(top + mask.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return None
    cover = mask[y0 - top : y1 - top, x0 - left : x1 - left, None].astype(np.float32) * (alpha / 255)
    region = frame[y0:y1, x0:x1]
    region[:] = (region * (1 - cover) + np.array(colour, np.float32) * cover + 0.5).astype(np.uint8)
    return x0, y0, x1 - x0, y1 - y0
