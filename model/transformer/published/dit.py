"""DiT (Peebles & Xie 2023) as diffusers' `DiTTransformer2DModel` has it.

Its step i, from 0 to 999, leads from the noise of our timestep (i + 1) / 1,000. diffusers spreads the frequencies of
timesteps with an offset of one (`downscale_freq_shift = 1`), which the DiT of the paper does not: `timesteps = "steps"`
is as there. Norms have an epsilon of 1e-6, as in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.transformer.config import TransformerConfig
from model.transformer.published.weights import Entry, fused, layer, patch_output, same, shaped

CLASS = "DiTTransformer2DModel"
SCHEDULER = "DDIMScheduler"
MAKES_SQUARES = True
"""Whether it makes nothing but square images."""
IGNORED = ("pos_embed.pos_embed",)


def config_of(settings: Mapping[str, Any]) -> TransformerConfig:
    """Ours of the settings in diffusers' `config.json`."""
    in_channels, patch = settings["in_channels"], settings["patch_size"]
    return TransformerConfig(
        width=settings["num_attention_heads"] * settings["attention_head_dim"],
        depth=settings["num_layers"],
        num_heads=settings["num_attention_heads"],
        patch=(1, patch, patch),
        latent_channels=in_channels,
        text="none",
        num_labels=settings["num_embeds_ada_norm"],
        timesteps="steps",
        qk_norm="none",
        positions="sincos",
        answer_factor=(settings["out_channels"] or in_channels) // in_channels,
    )


def settings_of(config: TransformerConfig, rows: int = 0) -> dict[str, Any]:
    """The settings of diffusers for a config like those of `config_of`.

    Args:
        rows: of latents, which are squares there.
    """
    return {
        "_class_name": CLASS,
        "num_attention_heads": config.num_heads,
        "attention_head_dim": config.head_dim,
        "in_channels": config.latent_channels,
        "out_channels": config.answer_factor * config.latent_channels,
        "num_layers": config.depth,
        "sample_size": rows,
        "patch_size": config.patch[1],
        "num_embeds_ada_norm": max(config.num_labels, 1),
        "norm_eps": 1e-6,
    }


def predicted(config: TransformerConfig) -> str:
    """What its weights answer, as a run says it."""
    return "noise on ddpm_linear" + (" with a learned variance" if config.answer_factor == 2 else "")


def entries(config: TransformerConfig) -> list[Entry]:
    """The map of weights."""
    D, C, (_, ph, pw) = config.width, config.latent_channels, config.patch
    blocks = [f"transformer_blocks.{i}" for i in range(config.depth)]
    found = [
        shaped("embed.weight", "pos_embed.proj.weight", (D, C * ph * pw), (D, C, ph, pw)),
        same("embed.bias", "pos_embed.proj.bias"),
        *layer("timestep.layers.0", *(f"{block}.norm1.emb.timestep_embedder.linear_1" for block in blocks)),
        *layer("timestep.layers.2", *(f"{block}.norm1.emb.timestep_embedder.linear_2" for block in blocks)),
        same("facts.labels.weight", *(f"{b}.norm1.emb.class_embedder.embedding_table.weight" for b in blocks)),
        *layer("final_modulation", "proj_out_1"),
        *patch_output("final", "proj_out_2", config.answer_factor, C, config.patch),
    ]
    for i, theirs in enumerate(blocks):
        ours = f"blocks.{i}"
        found += fused(f"{ours}.attention.to_qkv", *(f"{theirs}.attn1.to_{part}" for part in "qkv"))
        found += layer(f"{ours}.attention.to_out", f"{theirs}.attn1.to_out.0")
        found += layer(f"{ours}.mlp.0", f"{theirs}.ff.net.0.proj")
        found += layer(f"{ours}.mlp.2", f"{theirs}.ff.net.2")
        found += layer(f"{ours}.modulation", f"{theirs}.norm1.linear")
    return found
