"""A CoCa of a few thousand weights that nobody has fitted, in open_clip's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from open_clip.coca_model import CoCa

from jobs.fits.clip.network import build_tokenizer, save_model
from jobs.fits.coca.network import build_coca, model_cfg

WIDTH = 32
TEXTS = ["A large red circle with a plain surface.", "The background is plain grey in bright light."]


def small_coca(seed: int = 0, **text_cfg: Any) -> tuple[CoCa, dict[str, Any]]:
    """The network and what open_clip builds it from; `text_cfg` changes both text towers."""
    cfg = model_cfg(400, WIDTH)
    for tower in ("text_cfg", "multimodal_cfg"):
        cfg[tower] |= text_cfg
    return build_coca(cfg, seed), cfg


def save_small_coca(folder: Path, seed: int = 0, **text_cfg: Any) -> CoCa:
    model, cfg = small_coca(seed, **text_cfg)
    save_model(folder, cfg, model, build_tokenizer(TEXTS, vocab_size=400))
    return model
