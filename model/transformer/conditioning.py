"""What the transformer is told besides the tokens: the noise level, the text, and facts of the whole document.

Each document has two rows of conditioning, one for its noisy tokens and one for its clean ones (timestep 0), and each
token picks a row, so frames given as a condition are seen as what they are (diffusion forcing, Chen et al. 2024).

Shapes: R rows of conditioning, B documents, K conditions, M text tokens, D model width, E width of the text encoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.packing.packs import CONDITIONS
from model.transformer.config import TransformerConfig

FREQUENCIES = 128
MAX_PERIOD = 10_000.0
"""As in DiT (Peebles & Xie 2023)."""
TIMESTEP_SCALE = 1000.0
"""Timesteps in [0, 1] are spread over the range for which the frequencies were made."""
SPREAD = 100.0
"""Logarithms of conditions are spread so far for the same frequencies: twice the value is 69 apart."""


def timestep_features(timestep_R: Tensor, told: str = "thousandths") -> Tensor:
    """Cosines and sines of timesteps in [0, 1], (R, 2 * FREQUENCIES) float32.

    Args:
        told: as in `TransformerConfig.timesteps`. Of a thousand steps, the one that diffusers calls i leads from the
            noise of timestep (i + 1) / 1000.
    """
    scaled_R = timestep_R.float() * TIMESTEP_SCALE
    return _features(scaled_R) if told == "thousandths" else _features(scaled_R - 1, FREQUENCIES - 1)


def _features(value_R: Tensor, steps_to_last: int = FREQUENCIES) -> Tensor:
    steps = torch.arange(FREQUENCIES, dtype=torch.float32, device=value_R.device)
    frequencies = torch.exp(-math.log(MAX_PERIOD) * steps / steps_to_last)
    angles = value_R[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class TimestepEmbedding(nn.Module):
    """Timesteps to vectors of the model's width."""

    def __init__(self, width: int, told: str = "thousandths") -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.told = told

    def forward(self, timestep_R: Tensor) -> Tensor:
        return self.layers(timestep_features(timestep_R, self.told))


class TextConditioning(nn.Module):
    """Unpadded text embeddings to the model's width; a document without text has one token instead, which is learned or
    stands for zeros."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        E, D = config.text_dim, config.width
        if config.text_projection == "linear":
            self.norm = nn.RMSNorm(E, eps=1e-6)
            self.project: nn.Module = nn.Linear(E, D)
        else:
            self.norm = nn.Identity()
            self.project = nn.Sequential(nn.Linear(E, D), nn.GELU("tanh"), nn.Linear(D, D))
        self.null = nn.Parameter(torch.randn(1, D) * 0.02) if config.null_text == "learned" else None
        self.pool = nn.Linear(D, D) if config.pooled_text else None

    def forward(self, text_ME: Tensor) -> Tensor:
        """Tokens, (M + 1, D), of the texts one after another; the last one stands for no text."""
        if self.null is None:
            return self.project(self.norm(torch.cat([text_ME, text_ME.new_zeros(1, text_ME.shape[1])])))
        return torch.cat([self.project(self.norm(text_ME)), self.null.to(text_ME.dtype)])

    def pooled(self, tokens_MD: Tensor, lengths: Sequence[int]) -> Tensor | float:
        """One vector a document, (B, D), from the means of their tokens; 0 if that is no part of the conditioning.

        Args:
            tokens_MD: as `forward` gives them.
            lengths: tokens of each document's text, 0 for none.
        """
        if self.pool is None:
            return 0.0
        *texts, null = tokens_MD.split([*lengths, 1])
        return self.pool(torch.stack([t.mean(dim=0) if len(t) else null[0] for t in texts]))


class FactsEmbedding(nn.Module):
    """Conditions of whole documents to one vector each: numbers by their logarithm, and a class."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        D = config.width
        self.columns = [CONDITIONS.index(name) for name in config.conditions]
        self.numbers = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * FREQUENCIES, D), nn.SiLU(), nn.Linear(D, D)) for _ in self.columns
        )
        self.unknown = nn.Parameter(torch.zeros(len(self.columns), D)) if self.columns else None
        self.labels = nn.Embedding(config.num_labels + 1, D) if config.num_labels else None

    def forward(self, conditions_BK: Tensor) -> Tensor | float:
        """(B, D), or 0 if nothing is told."""
        parts = []
        for place, (column, layers) in enumerate(zip(self.columns, self.numbers, strict=True)):
            value_B = conditions_BK[:, column]
            told = layers(_features(value_B.nan_to_num().log1p() * SPREAD))
            assert self.unknown is not None
            parts.append(torch.where(value_B.isnan()[:, None], self.unknown[place].to(told.dtype), told))
        if self.labels is not None:
            label_B = conditions_BK[:, CONDITIONS.index("label")]
            parts.append(self.labels(label_B.nan_to_num(nan=self.labels.num_embeddings - 1).long()))
        return sum(parts) if parts else 0.0
