"""Image-text models in open_clip's format (Radford et al. 2021, Ilharco et al. 2021): loading, naming, text states.

A model is named by one string: "builtin" (the small model of this repository), a folder in open_clip's own format,
"hf-hub:ORG/REPO", or "ARCHITECTURE/TAG" such as "ViT-B-32/laion2b_s34b_b79k".

Shapes: B batch, L tokens, D width of the text tower.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from model.builtin import CLIP_CONFIG_NAME, WEIGHTS, clip_folder
from schemas.identity import digest, folder_digest

BUILTIN_FOLDER = WEIGHTS / "clip"


@dataclass(frozen=True)
class ClipBundle:
    """A loaded model with its image transform, its tokenizer and the fingerprint of its weights."""

    model: Any
    transform: Callable[[Image], Tensor]
    tokenize: Any
    fingerprint: str


def load_clip(name: str = "builtin", device: str = "cpu") -> ClipBundle:
    """Load a model for inference, in float32.

    Raises:
        ValueError: `name` is neither a folder in open_clip's format nor a known model, or its weights cannot be had.
    """
    import open_clip  # takes seconds to import
    from open_clip.transform import PreprocessCfg, image_transform_v2

    folder = clip_folder(name)
    if folder is not None:
        source, tag = f"local-dir:{folder}", None
    elif name.startswith("hf-hub:"):
        source, tag = name, None
    else:
        source, _, tag = name.partition("/")
        if not open_clip.get_model_config(source) or tag not in open_clip.list_pretrained_tags_by_model(source):
            raise ValueError(f"{name!r} is no folder with {CLIP_CONFIG_NAME} and no open_clip ARCHITECTURE/TAG")
    try:
        model = open_clip.create_model(source, pretrained=tag, require_pretrained=True, device=device)
    except RuntimeError as error:
        raise ValueError(f"image-text model {name!r} could not be loaded: {error}") from error
    config = PreprocessCfg(**open_clip.get_model_preprocess_cfg(model))
    transform: Any = image_transform_v2(config, is_train=False)
    fingerprint = folder_digest(folder) if folder is not None else digest(name, _weights_digest(model))
    return ClipBundle(model.eval().requires_grad_(False), transform, open_clip.get_tokenizer(source), fingerprint)


def text_states(model: nn.Module, ids_BL: Tensor) -> Tensor:
    """Hidden state of each token after the final norm, (B, L, D); L may be anything up to the context length.

    Attention is causal, so what follows a token (padding too) does not change its state.

    Raises:
        ValueError: the text tower is not open_clip's own causal transformer.
    """
    tower: Any = getattr(model, "text", model)
    if getattr(tower, "attn_mask", None) is None:
        raise ValueError(f"text tower {type(tower).__name__} is not open_clip's causal transformer")
    length = ids_BL.shape[1]
    x_BLD = tower.token_embedding(ids_BL) + tower.positional_embedding[:length]
    return tower.ln_final(tower.transformer(x_BLD, attn_mask=tower.attn_mask[:length, :length]))


def _weights_digest(model: nn.Module) -> str:
    """SHA-256 over all parameters and buffers, for weights whose files belong to another library's cache."""
    state = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        state.update(name.encode())
        state.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return state.hexdigest()
