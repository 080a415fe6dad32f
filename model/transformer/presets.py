"""Published transformers by name, as settings of ours.

What is left out of each is in `model/README.md`. Parameters are as many as theirs, once positions are added that they
keep as a table and ours works out (`tests/model/transformer/test_presets.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SIZES: dict[str, dict[str, int]] = {
    "s": {"width": 384, "depth": 12, "num_heads": 6},
    "b": {"width": 768, "depth": 12, "num_heads": 12},
    "l": {"width": 1024, "depth": 24, "num_heads": 16},
    "xl": {"width": 1152, "depth": 28, "num_heads": 16},
}
"""Of DiT, which others took over."""
DIT = {
    **{"text": "none", "qk_norm": "none", "positions": "sincos", "latent_channels": 4, "answer_factor": 2},
    **{"num_labels": 1000, "patch": (1, 2, 2)},
}
LATTE = DIT | {"num_labels": 0, "positions": "sincos_time"}
LATTE_VARIANTS: dict[int, dict[str, Any]] = {
    1: {"layouts": ("spatial", "temporal")},
    2: {"halves": ("spatial", "temporal")},
    3: {"layouts": ("spatial",), "time_attention": True},
    4: {"layouts": ("spatial+temporal",)},
}
"""Of Latte (Ma et al. 2024), figure 2: blocks in turn; all spatial ones first; both attentions in one block; half of
the heads each."""
STDIT = {
    **{"text": "cross", "text_projection": "mlp", "pooled_text": False, "modulation": "shared", "qk_norm": "none"},
    **{"positions": "sincos_time", "layouts": ("spatial",), "time_attention": True, "text_dim": 4096},
    **{"latent_channels": 4, "answer_factor": 2},
}
VDT = DIT | {"positions": "sincos_time", "layouts": ("spatial",), "time_attention": True}
UVIT = {
    **{"text": "in_context", "conditioning": "in_context", "pooled_text": False, "qk_norm": "none", "long_skips": True},
    **{"positions": "sincos", "latent_channels": 4, "text_dim": 768},
}
UVIT_SIZES = {
    "s": {"width": 512, "depth": 13, "num_heads": 8},
    "m": {"width": 768, "depth": 17, "num_heads": 12},
    "l": {"width": 1024, "depth": 21, "num_heads": 16},
}


def _preset(base: Mapping[str, Any], size: Mapping[str, int]) -> dict[str, Any]:
    settings: dict[str, Any] = {**base, **size}
    if "halves" in settings:
        first, second = settings.pop("halves")
        half = size["depth"] // 2
        settings["layouts"] = (first,) * half + (second,) * (size["depth"] - half)
    return settings


PRESETS: dict[str, dict[str, Any]] = {
    **{f"dit-{name}/2": _preset(DIT, size) for name, size in SIZES.items()},
    **{
        f"latte-{name}/2-{variant}": _preset(LATTE | layout, size)
        for name, size in SIZES.items()
        for variant, layout in LATTE_VARIANTS.items()
    },
    "vdt-s/2": _preset(VDT, SIZES["s"]),
    "vdt-l/2": _preset(VDT, {"width": 1152, "depth": 28, "num_heads": 16}),
    "stdit-xl/2": _preset(STDIT, SIZES["xl"]),
    **{f"u-vit-{name}/2": _preset(UVIT, size) for name, size in UVIT_SIZES.items()},
}
"""Settings of `TransformerConfig` by name."""
