"""Vectors of captions and clips that belong together by construction."""

from __future__ import annotations

import numpy as np


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def drawn_pairs(num: int, seed: int = 0, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Texts and clips, (num, 64) each: two noisy views of what is shown, away from the origin as CLIP's are."""
    rng = np.random.default_rng(seed)
    shown, common = rng.normal(size=(num, 64)), 0.5 * rng.normal(size=(2, 64))
    texts, clips = (shown + common[i] + noise * rng.normal(size=shown.shape) for i in range(2))
    return unit(texts), unit(clips)
