"""One of diffusers' codecs from its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import AutoencoderKLCogVideoX
from diffusers.models.autoencoders.autoencoder_kl_ltx import AutoencoderKLLTXVideo
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from model.checkpoint import read_config
from model.codec.published.cogvideox import CogVideoXCodec
from model.codec.published.ltx import LtxCodec
from model.codec.published.specs import CLASS_KEY
from model.codec.published.wan import WanCodec
from model.codec.spec import CodecSpec
from model.codec.video_codec import VideoCodec

CODECS: dict[str, tuple[Any, Callable[[CodecSpec, Any], VideoCodec]]] = {
    "AutoencoderKLWan": (AutoencoderKLWan, WanCodec),
    "AutoencoderKLLTXVideo": (AutoencoderKLLTXVideo, LtxCodec),
    "AutoencoderKLCogVideoX": (AutoencoderKLCogVideoX, CogVideoXCodec),
}
STATISTICS = {"latents_mean", "latents_std"}
"""Of LTX-Video, which may be left out of the weights; the spec has them."""


def load_published(folder: Path, spec: CodecSpec, device: torch.device | str, dtype: torch.dtype) -> VideoCodec:
    """Load a codec for inference.

    Raises:
        ValueError: the weights are not those of the config.
    """
    network_class, codec_class = CODECS[read_config(folder)[CLASS_KEY]]
    try:
        network, found = network_class.from_pretrained(
            folder, torch_dtype=dtype, use_safetensors=True, output_loading_info=True
        )
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{folder} cannot be loaded as {network_class.__name__}: {reason}") from error
    missing = sorted(set(found["missing_keys"]) - STATISTICS)
    if missing:
        raise ValueError(f"{folder} has no weights for {len(missing)} tensors of its config, such as {missing[0]}")
    return codec_class(spec, network.to(device).eval().requires_grad_(False))
