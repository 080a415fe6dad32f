"""Tiny transformers of diffusers with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

DIT: dict[str, Any] = {
    **{"num_attention_heads": 4, "attention_head_dim": 12, "in_channels": 4, "out_channels": 8, "num_layers": 3},
    **{"sample_size": 8, "num_embeds_ada_norm": 10, "norm_eps": 1e-6},
}
WAN: dict[str, Any] = {
    **{"num_attention_heads": 4, "attention_head_dim": 12, "in_channels": 4, "out_channels": 4, "num_layers": 3},
    **{"text_dim": 10, "ffn_dim": 70, "patch_size": (1, 2, 2)},
}


def randomised(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return module.eval().requires_grad_(False)


def tiny_dit(**changes: Any) -> Any:
    """diffusers makes the embeddings of timestep and class in each block: those of a published DiT are all the same."""
    import diffusers

    theirs: Any = randomised(diffusers.DiTTransformer2DModel(**DIT | changes))
    for block in theirs.transformer_blocks:
        block.norm1.emb.load_state_dict(theirs.transformer_blocks[0].norm1.emb.state_dict())
    return theirs


def tiny_wan(**changes: Any) -> Any:
    import diffusers

    return randomised(diffusers.WanTransformer3DModel(**WAN | changes))


def saved(theirs: Any, folder: Path) -> Path:
    theirs.save_pretrained(folder)
    return folder
