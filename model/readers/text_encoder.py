"""Texts as unpadded token states, the form in which a video model is conditioned on them.

"builtin" and any other folder in open_clip's format give the last states of a CLIP text tower; every other name is an
encoder that transformers can load (T5, UMT5, Qwen, CLIP, ...). A text's states depend on nothing but the text: batches
are padded on the right and masked, and padding is cut off again.

Shapes: B batch, L tokens, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.builtin import clip_folder
from model.readers.clip import ClipBundle, load_clip, text_states
from model.readers.text_encoder_spec import (
    DTYPE,
    clip_fingerprint,
    config_folder,
    max_tokens,
    transformers_config,
    transformers_fingerprint,
    transformers_width,
)

CLIP_TYPES = ("clip", "clip_text_model")
"""Types of configs, in transformers, of a whole CLIP model and of its text tower alone."""


class TextEncoder(ABC):
    """Token states of texts; `dim` is their width and `fingerprint` covers weights, tokenizer and settings."""

    dim: int
    fingerprint: str

    def __init__(self, device: str, batch: int, dtype: str = DTYPE):
        if batch < 1:
            raise ValueError(f"batch must be at least 1, not {batch}")
        self.device, self.batch, self.dtype = device, batch, dtype

    @torch.inference_mode()
    def encode(self, texts: list[str]) -> list[np.ndarray]:
        """States of each text's own tokens, special tokens included.

        Returns:
            One (L, dim) float32 array a text, L >= 1, in the order of `texts`.
        Raises:
            ValueError: a state is out of the range of the encoder's precision.
        """
        tokens = self._tokens(texts) if texts else []
        states: dict[int, np.ndarray] = {}
        order = sorted(range(len(texts)), key=lambda i: len(tokens[i]))
        for start in range(0, len(order), self.batch):
            part = order[start : start + self.batch]
            longest = len(tokens[part[-1]])
            ids_BL = torch.tensor([tokens[i] + [0] * (longest - len(tokens[i])) for i in part], device=self.device)
            lengths_B = torch.tensor([len(tokens[i]) for i in part], device=self.device)
            mask_BL = torch.arange(longest, device=self.device) < lengths_B[:, None]
            states_BLD = self._states(ids_BL, mask_BL).float().cpu().numpy()
            own = {i: states_BLD[row, : len(tokens[i])].copy() for row, i in enumerate(part)}
            if not all(np.isfinite(states_LD).all() for states_LD in own.values()):
                raise ValueError(f"the text encoder overflows in {self.dtype}; run it in bfloat16 or float32")
            states |= own
        return [states[i] for i in range(len(texts))]

    @abstractmethod
    def _tokens(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, at least one, without padding."""

    @abstractmethod
    def _states(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, L, D) states after the final norm; `mask_BL` is True at real tokens, which come first."""


class ClipTextEncoder(TextEncoder):
    """The text tower of an open_clip model. Its attention is causal, so no mask is needed for padding on the right."""

    def __init__(self, clip: ClipBundle, device: str = "cpu", batch: int = 64, dtype: str = DTYPE):
        super().__init__(device, batch, dtype)
        clip.model.to(getattr(torch, dtype))
        self._clip = clip
        self.dim = int(text_states(clip.model, torch.zeros(1, 1, dtype=torch.long, device=device)).shape[-1])
        self.fingerprint = clip_fingerprint(clip.fingerprint, dtype)

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        # open_clip pads with zeros after the end-of-text token, whose own id is never zero.
        return [row[: int(row.nonzero()[-1]) + 1].tolist() for row in self._clip.tokenize(texts)]

    def _states(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        return text_states(self._clip.model, ids_BL)


class TransformersTextEncoder(TextEncoder):
    """The encoder of a text-to-text model (T5, UMT5), a language model's last states (Qwen), or those of a CLIP text
    tower, from transformers.

    In float16, T5 and its kin clip what overflows inside, so each layer is watched, not only the result.
    """

    def __init__(self, name: str, device: str = "cpu", batch: int = 16, dtype: str = DTYPE):
        """Load by folder or by hub name.

        Raises:
            ValueError: transformers finds no model of that name.
        """
        super().__init__(device, batch, dtype)
        from transformers import AutoModel, AutoModelForTextEncoding, AutoTokenizer, CLIPTextModel  # seconds to import

        folder = config_folder(name)
        config = transformers_config(folder)
        encoder = AutoModelForTextEncoding if config.is_encoder_decoder else AutoModel
        loader: Any = CLIPTextModel if config.model_type in CLIP_TYPES else encoder
        self._model: Any = loader.from_pretrained(name, dtype=getattr(torch, dtype)).to(device).eval()
        self._max_tokens = max_tokens(self._model.config)
        self._overflowed = torch.zeros((), dtype=torch.bool, device=device)
        if dtype == "float16":
            for layer in self._model.modules():
                layer.register_forward_hook(self._watch)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(name)
        self.dim = transformers_width(self._model.config)
        self.fingerprint = transformers_fingerprint(name, folder, dtype)

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        rows = self._tokenizer(texts, truncation=True, max_length=self._max_tokens)["input_ids"]
        # Language models without a start token turn the empty text into nothing; its stand-in is the end token.
        return [row or [self._tokenizer.eos_token_id] for row in rows]

    def _states(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        self._overflowed.zero_()
        states_BLD = self._model(input_ids=ids_BL, attention_mask=mask_BL.long()).last_hidden_state
        return states_BLD.masked_fill(self._overflowed, torch.inf)

    def _watch(self, layer: torch.nn.Module, given: Any, result: Any) -> None:
        """Remember whether the first tensor that a layer gives has infinite values."""
        first = result if isinstance(result, Tensor) else result[0]
        if isinstance(first, Tensor) and first.is_floating_point():
            self._overflowed |= ~torch.isfinite(first).all()


def load_text_encoder(name: str = "builtin", device: str = "cpu", dtype: str = DTYPE) -> TextEncoder:
    """The encoder called `name`: "builtin", a folder in open_clip's format, or what transformers can load.

    Args:
        dtype: float32, bfloat16 or float16, in which it runs; part of its fingerprint.

    Raises:
        ValueError: no such encoder.
    """
    if clip_folder(name) is not None:
        return ClipTextEncoder(load_clip(name, device), device, dtype=dtype)
    return TransformersTextEncoder(name, device, dtype=dtype)
