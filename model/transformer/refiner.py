"""A refiner of texts: blocks by which the tokens of a text attend to each other before they condition anything.

As in HunyuanVideo (Kong et al. 2024), for encoders whose tokens see only those before them; without its modulation.
"""

from __future__ import annotations

from torch import Tensor, nn

from model.transformer.attention import AttentionPlan, SelfAttention
from model.transformer.blocks import zero_linear
from model.transformer.config import TransformerConfig


class TextRefiner(nn.Module):
    """Pre-norm blocks over the text tokens of a pack."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(RefinerBlock(config) for _ in range(config.text_refiner))

    def forward(self, tokens_MD: Tensor, plan: AttentionPlan) -> Tensor:
        """(M, D) to the same; each token sees those of its group of the plan."""
        for block in self.blocks:
            tokens_MD = block(tokens_MD, plan)
        return tokens_MD


class RefinerBlock(nn.Module):
    """Self-attention and MLP, each after a norm; both start as zero."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        D, hidden = config.width, config.hidden
        self.norms = nn.ModuleList(nn.LayerNorm(D, eps=1e-6) for _ in range(2))
        self.attention = SelfAttention(D, config.num_heads, config.qk_norm)
        self.mlp = nn.Sequential(nn.Linear(D, hidden), nn.GELU("tanh"), zero_linear(hidden, D))
        nn.init.zeros_(self.attention.to_out.weight)
        nn.init.zeros_(self.attention.to_out.bias)

    def forward(self, x_MD: Tensor, plan: AttentionPlan) -> Tensor:
        x_MD = x_MD + self.attention(self.norms[0](x_MD), None, plan)
        return x_MD + self.mlp(self.norms[1](x_MD))
