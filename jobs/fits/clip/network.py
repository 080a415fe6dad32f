"""The small image-text model in open_clip's format: architecture, image transform, tokenizer, files.

The image tower is a very small residual network of Radford et al. 2021. On pictures of 64 px it learns within an hour
on two CPU cores; a vision transformer needs many more pictures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from jobs.fits.clip.pairs import IMAGE_PX
from model.builtin import CLIP_CONFIG_NAME

PAD, START, END = "<|pad|>", "<|start|>", "<|end|>"
MODEL_CFG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": IMAGE_PX, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 0,  # set from the tokenizer
        "hf_tokenizer_name": "local",
        "width": 128,
        "heads": 4,
        "layers": 4,
        "pool_type": "eos",
        "pad_id": 0,
        "eos_id": 2,
    },
}
PREPROCESS_CFG: dict[str, Any] = {
    "size": IMAGE_PX,
    "mean": [0.45, 0.45, 0.45],
    "std": [0.25, 0.25, 0.25],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}


def build_tokenizer(texts: list[str], vocab_size: int = 1024) -> PreTrainedTokenizerFast:
    """Byte-level BPE on lower-case text (Sennrich et al. 2016): it can encode any text, and a frequent word is one
    token."""
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])  # type: ignore[assignment]
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)  # type: ignore[assignment]
    core.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[PAD, START, END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    core.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single=f"{START} $A {END}", special_tokens=[(START, 1), (END, 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, bos_token=START, eos_token=END, split_special_tokens=True
    )


def normalised(pixels: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float32, as the saved image transform does it."""
    mean, std = PREPROCESS_CFG["mean"][0], PREPROCESS_CFG["std"][0]
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std


def save_model(folder: Path, model_cfg: dict[str, Any], model: nn.Module, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write open_clip's own format: config, fp16 weights, tokenizer files."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": model_cfg, "preprocess_cfg": PREPROCESS_CFG}
    (folder / CLIP_CONFIG_NAME).write_text(json.dumps(config, indent=2) + "\n")
    half = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
    }
    save_file(half, folder / "open_clip_model.safetensors")
    tokenizer.save_pretrained(folder)
