"""Text boxes in a picture and what they say: PP-OCR's detector and recogniser (Cui et al. 2025) through rapidocr.

The detector finds lines of text in any script. The recogniser knows Latin, Greek, Chinese and Japanese letters, so what
it cannot read may still be text. Both models are inside the rapidocr package; nothing is downloaded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DETECTOR, RECOGNISER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
DETECTOR_STRIDE_PX = 32
"""The detector takes sides that are multiples of this; rapidocr resizes to the nearest."""
LEAN_NOISE_PX = 3.0
"""The corners of an upright line differ by this in height at most."""
MAX_CROP_ASPECT = 20.0
"""Of a longer line only this much is read: 960 px at the recogniser's 48 px height, 0.15 s on one core."""


@dataclass(frozen=True)
class TextBox:
    """A line of text, upright: corners in pixels of the picture, x1 and y1 exclusive.

    `score` is the detector's mean probability of text inside, `tilt` how much the line leans, as height over width.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    score: float
    tilt: float = 0.0

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def area_px(self) -> int:
        return self.width * self.height

    def overlap_px(self, other: TextBox) -> int:
        across = min(self.x1, other.x1) - max(self.x0, other.x0)
        down = min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(across, 0) * max(down, 0)

    def iou(self, other: TextBox) -> float:
        """Intersection over union."""
        both = self.overlap_px(other)
        return both / max(self.area_px + other.area_px - both, 1)


@dataclass(frozen=True)
class Reading:
    """What a line says, as far as the recogniser knows its script, with its mean confidence over the letters."""

    text: str
    confidence: float

    @property
    def num_letters(self) -> int:
        return sum(letter.isalnum() for letter in self.text)

    @property
    def num_different(self) -> int:
        """How many different letters there are: stripes and rings are read as one letter repeated."""
        return len({letter for letter in self.text.lower() if letter.isalnum()})


class TextReader:
    """Loads both models once, on one thread; then pictures in, boxes and text out.

    Raises:
        FileNotFoundError: the rapidocr package does not have these models.
    """

    def __init__(self) -> None:
        import rapidocr

        models = Path(rapidocr.__file__).parent / "models"
        for name in (DETECTOR, RECOGNISER):
            if not (models / name).is_file():
                raise FileNotFoundError(f"the rapidocr package has no model {name}; rapidocr 3.10 has it")
        self._ocr: Any = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,
                "Global.use_preprocess_img": False,
                "Global.use_vertical_padding": False,
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "EngineConfig.onnxruntime.enable_cpu_mem_arena": True,
                "Det.model_path": str(models / DETECTOR),
                "Det.limit_type": "max",
                "Det.limit_side_len": 1 << 20,
                "Rec.model_path": str(models / RECOGNISER),
            }
        )
        logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)

    def find(self, picture: np.ndarray) -> list[TextBox]:
        """Lines of text in an (H, W, 3) uint8 RGB picture, from top to bottom."""
        height, width = picture.shape[:2]
        if min(height, width) < DETECTOR_STRIDE_PX:
            return []
        found = self._ocr(picture[..., ::-1], use_rec=False)
        if found.boxes is None:
            return []
        return [
            _upright(np.asarray(quad), score, width, height)
            for quad, score in zip(found.boxes, found.scores, strict=True)
        ]

    def read(self, crops: Sequence[np.ndarray]) -> list[Reading]:
        """What cut-out lines say, (h, w, 3) uint8 RGB each; a very long one is read from its start."""
        if not crops:
            return []
        kept = [crop[:, : round(MAX_CROP_ASPECT * len(crop)), ::-1] for crop in crops]
        result = self._ocr.recognize_txt([np.ascontiguousarray(crop) for crop in kept])
        return [Reading(" ".join(t.split()), float(c)) for t, c in zip(result.txts, result.scores, strict=True)]


def _upright(quad: np.ndarray, score: float, width: int, height: int) -> TextBox:
    x0, y0 = (int(v) for v in np.floor(quad.min(axis=0)))
    x1, y1 = (int(v) for v in np.ceil(quad.max(axis=0)))
    lean = np.abs(quad[1] - quad[0])
    tilt = float(min(lean) / max(lean)) if min(lean) > LEAN_NOISE_PX else 0.0
    return TextBox(max(x0, 0), max(y0, 0), min(x1 + 1, width), min(y1 + 1, height), float(score), tilt)
