"""Embeddings of clips and captions in one space, so that their dot product says how well they agree.

A clip's embedding is the mean of its frames' unit vectors, scaled to unit length (CLIP4Clip's parameter-free pooling,
Luo et al. 2021). The order of the frames is lost, and with it the direction of motion and camera moves. The same
vectors serve to find semantic duplicates and to balance releases by cluster.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from model.readers.clip import load_clip
from schemas.identity import digest
from schemas.recipe.embedding import EmbeddingConfig


class ClipEmbedder:
    """Loads the model once; then frames and texts in, unit vectors out.

    Raises:
        ValueError: the configuration names no model that can be loaded.
    """

    def __init__(self, config: EmbeddingConfig | None = None) -> None:
        self.config = config or EmbeddingConfig()
        if self.config.batch < 1:
            raise ValueError(f"batch must be at least 1, not {self.config.batch}")
        self._clip = load_clip(self.config.model, self.config.device)
        self.fingerprint = digest("clip embedding", self._clip.fingerprint)
        self.dim = self.embed_texts([""]).shape[1]

    @torch.inference_mode()
    def embed_frames(self, clips: list[np.ndarray]) -> np.ndarray:
        """One unit vector for each clip.

        Args:
            clips: (T, H, W, 3) uint8 RGB each, T >= 1; sizes and lengths may differ.
        Returns:
            (N, D) float32.
        Raises:
            ValueError: a clip without frames or not of this shape.
        """
        for clip in clips:
            if clip.ndim != 4 or clip.shape[0] == 0 or clip.shape[-1] != 3:
                raise ValueError(f"a clip must be (T, H, W, 3) with T >= 1, not {clip.shape}")
        if not clips:
            return np.zeros((0, self.dim), np.float32)
        # Clip by clip, so that no more than one batch of network inputs is in memory beside the frames.
        return np.stack([self._embed_clip(clip) for clip in clips])

    def measure(self, frames: np.ndarray, times_s: list[float]) -> dict[str, Any]:
        """The columns of `schemas.tables.measures.Embedded`, and `embedding`, the vector for the table `embeddings`."""
        return {"encoder": self.fingerprint, "embedding": self.embed_frames([frames])[0].tolist()}

    def _embed_clip(self, clip: np.ndarray) -> np.ndarray:
        total = torch.zeros(self.dim)
        for start in range(0, len(clip), self.config.batch):
            frames = [self._clip.transform(Image.fromarray(frame)) for frame in clip[start : start + self.config.batch]]
            features = self._clip.model.encode_image(torch.stack(frames).to(self.config.device), normalize=True)
            total += features.float().sum(0).cpu()
        return _unit(total)

    @torch.inference_mode()
    def embed_texts(self, texts: list[str]) -> np.ndarray:
        """One unit vector for each text, (N, D) float32; a text longer than the model's context is cut."""
        parts = [
            self._clip.model.encode_text(
                self._clip.tokenize(texts[start : start + self.config.batch]).to(self.config.device)
            )
            for start in range(0, len(texts), self.config.batch)
        ]
        return _unit(torch.cat(parts).float().cpu()) if parts else np.zeros((0, self.dim), np.float32)


def text_video_similarity(texts: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Cosine of each text with the clip of the same row, in [-1, 1].

    Args:
        texts, clips: (N, D) unit vectors.
    Returns:
        (N,) float32.
    """
    return np.einsum("nd,nd->n", texts, clips)


def _unit(vectors: Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(vectors, dim=-1).numpy()
