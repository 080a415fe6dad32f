"""A codec by its name: this project's own, or one of diffusers', whichever the config in its folder says."""

from __future__ import annotations

import torch

from model.checkpoint import read_config
from model.codec.causal import load_autoencoder
from model.codec.folders import codec_folder
from model.codec.published.specs import CLASS_KEY
from model.codec.spec import codec_spec
from model.codec.streaming import CausalCodec
from model.codec.video_codec import VideoCodec


def load_codec(
    name: str = "builtin", device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> VideoCodec:
    """Load a codec for inference.

    Args:
        name: `builtin`; a folder of this project's or of diffusers' files; or `owner/name` on the hub.
        dtype: of the network, and of the latents and frames that it gives.
    Raises:
        ValueError: no checkpoint there, one of no codec that is known, or one whose library is not installed.
    """
    spec, folder = codec_spec(name), codec_folder(name)
    if CLASS_KEY in read_config(folder):
        from model.codec.published.loading import load_published  # diffusers takes seconds to import

        return load_published(folder, spec, device, dtype)
    return CausalCodec(spec, load_autoencoder(name).to(device, dtype))
