"""Wan 2.1 and 2.2, text to video (Wan 2025), as diffusers' `WanTransformer3DModel` has them.

Its timesteps run to 1,000, ours to 1. Its pipelines pad texts with zeros to 512 tokens, which are attended to: a text
must come padded like that to be read as there. A document without text reads one such zero. Conditions by images
(`image_dim`, `added_kv_proj_dim`) are not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.transformer.config import TransformerConfig
from model.transformer.published.weights import Entry, fused, layer, patch_output, same, shaped

CLASS = "WanTransformer3DModel"
SCHEDULER = "FlowMatchEulerDiscreteScheduler"
MAKES_SQUARES = False
IGNORED: tuple[str, ...] = ()


def config_of(settings: Mapping[str, Any]) -> TransformerConfig:
    """Ours of the settings in diffusers' `config.json`.

    Raises:
        ValueError: a variant that ours does not express.
    """
    wanted = {"qk_norm": "rms_norm_across_heads", "cross_attn_norm": True, "freq_dim": 256}
    wanted |= {"image_dim": None, "added_kv_proj_dim": None, "pos_embed_seq_len": None}
    for name, value in wanted.items():
        if settings.get(name, value) != value:
            raise ValueError(f"{CLASS} with {name} = {settings[name]!r} is not known here, only {value!r}")
    head = settings["attention_head_dim"]
    space = 2 * (head // 6)
    width = settings["num_attention_heads"] * head
    return TransformerConfig(
        width=width,
        depth=settings["num_layers"],
        num_heads=settings["num_attention_heads"],
        patch=tuple(settings["patch_size"]),
        mlp_ratio=settings["ffn_dim"] / width,
        latent_channels=settings["in_channels"],
        text_dim=settings["text_dim"],
        modulation="shared",
        text_projection="mlp",
        pooled_text=False,
        null_text="zeros",
        qk_norm="width",
        positions="frames",
        rotary_dims=(head - 2 * space, space, space),
        final="table",
        answer_factor=(settings["out_channels"] or settings["in_channels"]) // settings["in_channels"],
    )


def settings_of(config: TransformerConfig, rows: int = 0) -> dict[str, Any]:
    """The settings of diffusers for a config like those of `config_of`, whatever the rows of latents."""
    return {
        "_class_name": CLASS,
        "patch_size": list(config.patch),
        "num_attention_heads": config.num_heads,
        "attention_head_dim": config.head_dim,
        "in_channels": config.latent_channels,
        "out_channels": config.answer_factor * config.latent_channels,
        "text_dim": config.text_dim,
        "freq_dim": 256,
        "ffn_dim": config.hidden,
        "num_layers": config.depth,
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
        "eps": 1e-6,
    }


def predicted(config: TransformerConfig) -> str:
    """What its weights answer, as a run says it."""
    return "velocity on rectified_flow"


def entries(config: TransformerConfig) -> list[Entry]:
    """The map of weights."""
    D, C, patch = config.width, config.latent_channels, config.patch
    embedder = "condition_embedder"
    found = [
        shaped("embed.weight", "patch_embedding.weight", (D, config.patch_values), (D, C, *patch)),
        same("embed.bias", "patch_embedding.bias"),
        *layer("timestep.layers.0", f"{embedder}.time_embedder.linear_1"),
        *layer("timestep.layers.2", f"{embedder}.time_embedder.linear_2"),
        *layer("modulation", f"{embedder}.time_proj"),
        *layer("text.project.0", f"{embedder}.text_embedder.linear_1"),
        *layer("text.project.2", f"{embedder}.text_embedder.linear_2"),
        shaped("final_table", "scale_shift_table", (2, D), (1, 2, D)),
        *patch_output("final", "proj_out", config.answer_factor, C, patch),
    ]
    for i in range(config.depth):
        block = f"blocks.{i}"
        found.append(shaped(f"{block}.modulation.bias", f"{block}.scale_shift_table", (6 * D,), (1, 6, D)))
        found += fused(f"{block}.attention.to_qkv", *(f"{block}.attn1.to_{part}" for part in "qkv"))
        found += layer(f"{block}.text_attention.to_q", f"{block}.attn2.to_q")
        found += fused(f"{block}.text_attention.to_kv", *(f"{block}.attn2.to_{part}" for part in "kv"))
        for ours, theirs in (("attention", "attn1"), ("text_attention", "attn2")):
            found += layer(f"{block}.{ours}.to_out", f"{block}.{theirs}.to_out.0")
            for name, part in (("query", "q"), ("key", "k")):
                found.append(same(f"{block}.{ours}.{name}_norm.weight", f"{block}.{theirs}.norm_{part}.weight"))
        found += layer(f"{block}.text_norm", f"{block}.norm2")
        found += layer(f"{block}.mlp.0", f"{block}.ffn.net.0.proj")
        found += layer(f"{block}.mlp.2", f"{block}.ffn.net.2")
    return found
