"""What the transformer is told besides the tokens: the noise level and the text.

Each document has two rows of conditioning, one for its noisy frames and one for its clean ones (timestep 0), and each
token picks a row, so frames given as a condition are seen as what they are (diffusion forcing, Chen et al. 2024).

Shapes: R rows of conditioning, B documents, M text tokens, D model width, E width of the text encoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

FREQUENCIES = 128
MAX_PERIOD = 10_000.0
"""As in DiT (Peebles & Xie 2023)."""
TIMESTEP_SCALE = 1000.0
"""Timesteps in [0, 1] are spread over the range for which the frequencies were made."""


def timestep_features(timestep_R: Tensor) -> Tensor:
    """Cosines and sines of timesteps in [0, 1], (R, 2 * FREQUENCIES) float32."""
    steps = torch.arange(FREQUENCIES, dtype=torch.float32, device=timestep_R.device)
    frequencies = torch.exp(-math.log(MAX_PERIOD) * steps / FREQUENCIES)
    angles = timestep_R.float()[:, None] * TIMESTEP_SCALE * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class TimestepEmbedding(nn.Module):
    """Timesteps to vectors of the model's width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, timestep_R: Tensor) -> Tensor:
        return self.layers(timestep_features(timestep_R))


class TextConditioning(nn.Module):
    """Unpadded text embeddings to the model's width; a document without text has one learned token instead."""

    def __init__(self, text_dim: int, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(text_dim, eps=1e-6)
        self.project = nn.Linear(text_dim, width)
        self.null = nn.Parameter(torch.randn(1, width) * 0.02)
        self.pool = nn.Linear(width, width)

    def forward(self, text_ME: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Embed the texts of a pack.

        Args:
            text_ME: (M, E) the texts one after another; M is the sum of `lengths`.
            lengths: tokens of each document's text, 0 for none.
        Returns:
            Tokens (M + 1, D), the last one standing for no text; and one vector a document, (B, D), from their means.
        """
        tokens = torch.cat([self.project(self.norm(text_ME)), self.null])
        means = [t.mean(dim=0) if len(t) else self.null[0] for t in tokens[:-1].split(list(lengths))]
        return tokens, self.pool(torch.stack(means))


def modulate(x_ND: Tensor, shift_ND: Tensor, scale_ND: Tensor) -> Tensor:
    """Adaptive layer norm's affine part (adaLN, Peebles & Xie 2023)."""
    return torch.addcmul(x_ND + shift_ND, x_ND, scale_ND)
