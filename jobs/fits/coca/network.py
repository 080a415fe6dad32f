"""The small CoCa in open_clip's format: architecture, tokenizer, initial weights (Yu et al. 2022, arXiv:2205.01917).

Its kind of tokenizer, picture size and transform are those of the small image-text model (`jobs/fits/clip/network.py`).
"""

from __future__ import annotations

from typing import Any

import torch
from open_clip.coca_model import CoCa
from transformers import PreTrainedTokenizerFast

from jobs.fits.clip.network import build_tokenizer
from jobs.fits.clip.pairs import IMAGE_PX, text_of
from model.readers.coca import start_decoder
from pipeline.synthetic.world import draw_scene

PATCH_PX = 8
WIDTH = 128
CONTEXT_LENGTH = 32
"""In tokens; a caption of two objects and a background has 29."""
TOKENIZER_SCENES = 4000
CAPTION_KIND = "seen"
"""Kind of text of `jobs.fits.clip.pairs.text_of`: what a still picture shows, so neither motion nor camera."""


def fitted_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, fitted to synthetic captions; always the same."""
    return build_tokenizer([text_of(draw_scene(seed), CAPTION_KIND) for seed in range(TOKENIZER_SCENES)])


def model_cfg(vocab_size: int, width: int = WIDTH) -> dict[str, Any]:
    """The configuration from which open_clip builds the network."""
    words = {"context_length": CONTEXT_LENGTH, "vocab_size": vocab_size, "width": width, "heads": width // 32}
    return {
        "embed_dim": width,
        "vision_cfg": {
            "image_size": IMAGE_PX,
            "patch_size": PATCH_PX,
            "width": width,
            "layers": 4,
            "head_width": 32,
            "attentional_pool": True,
            "attn_pooler_heads": width // 32,
            "attn_pooler_queries": 32,
            "output_tokens": True,
        },
        "text_cfg": words
        | {"layers": 2, "mlp_ratio": 2.0, "embed_cls": True, "output_tokens": True, "hf_tokenizer_name": "local"},
        "multimodal_cfg": words | {"layers": 2},
        "custom_text": True,
    }


def build_coca(cfg: dict[str, Any], seed: int) -> CoCa:
    """The network with random weights."""
    torch.manual_seed(seed)
    model = CoCa(**{name: value for name, value in cfg.items() if name != "custom_text"})
    start_decoder(model)
    return model
