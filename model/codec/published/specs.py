"""What the files of diffusers' codecs say of them, as the library's classes and pipelines read them.

Configs hold only what was known when they were written; what one lacks is the default of the class. Statistics are such
that (raw - mean) / std is what the pipelines give to their transformers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from model.checkpoint import read_floats, require_weights

CLASS_KEY = "_class_name"
"""Of a config: which of diffusers' classes it is of."""
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
EXTRA = "diffusers"


class Facts(NamedTuple):
    """Of a `CodecSpec`, all but the fingerprint."""

    stride_thw: tuple[int, int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    causal: bool = True
    decodes_whole: bool = False


def published_facts(folder: Path, config: Mapping[str, Any]) -> Facts:
    """The facts of the codec in a folder whose config names its class.

    Raises:
        ValueError: a class that is not known here, weights that are not there, or diffusers is not installed.
    """
    name = config[CLASS_KEY]
    if name not in READERS:
        raise ValueError(f"{folder} holds {name}, which is no codec that is known here: {', '.join(READERS)}")
    if find_spec("diffusers") is None:
        raise ValueError(f"{folder} holds {name}; to use it, install Reelmill with the extra `{EXTRA}`")
    for file in weight_files(folder):
        require_weights(folder, file)
    return READERS[name](folder, config)


def weight_files(folder: Path) -> list[str]:
    """Names of the files that the weights are in: one, or those of an index.

    Raises:
        ValueError: the index cannot be read.
    """
    index = folder / f"{WEIGHTS_FILE}.index.json"
    if not index.is_file():
        return [WEIGHTS_FILE]
    try:
        return sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{index} is no index of weights: {error}") from error


def _wan(folder: Path, config: Mapping[str, Any]) -> Facts:
    """Wan 2.1, 2.2 (Wan team 2025). `AutoencoderKLWan`, `WanPipeline`: (raw - latents_mean) / latents_std."""
    _require(folder, config, temperal_downsample=sum(config["temperal_downsample"]) == 2)
    stride_hw = 2 ** (len(config["dim_mult"]) - 1) * (config.get("patch_size") or 1)
    statistics = tuple(config["latents_mean"]), tuple(config["latents_std"])
    return Facts((4, stride_hw, stride_hw), config["z_dim"], *statistics)


def _ltx(folder: Path, config: Mapping[str, Any]) -> Facts:
    """LTX-Video (HaCohen et al. 2024). `AutoencoderKLLTXVideo`; `LTXPipeline._normalize_latents`:
    (raw - mean) * scaling_factor / std, whose statistics are among the weights.
    """
    _require(
        folder,
        config,
        encoder_causal=config.get("encoder_causal", True),
        patch_size_t=config.get("patch_size_t", 1) == 1,
    )
    stride_t, stride_hw = 1, config["patch_size"]
    kinds = zip(
        config["spatio_temporal_scaling"],
        config.get("down_block_types", [LTX_CONV_BLOCK] * len(config["spatio_temporal_scaling"])),
        config.get("downsample_type", ["conv"] * len(config["spatio_temporal_scaling"])),
        strict=False,
    )
    for scaled, block, kind in kinds:
        if scaled:
            stride_t *= 1 if block != LTX_CONV_BLOCK and kind == "spatial" else 2
            stride_hw *= 1 if block != LTX_CONV_BLOCK and kind == "temporal" else 2
    channels, scale = config["latent_channels"], config.get("scaling_factor", 1.0)
    mean = _statistic(folder, "latents_mean") or (0.0,) * channels
    std = _statistic(folder, "latents_std") or (1.0,) * channels
    whitened_std = tuple(value / scale for value in std)
    return Facts((stride_t, stride_hw, stride_hw), channels, mean, whitened_std, decodes_whole=True)


def _cogvideox(folder: Path, config: Mapping[str, Any]) -> Facts:
    """CogVideoX (Yang et al. 2024). `AutoencoderKLCogVideoX`, `CogVideoXPipeline`: raw * scaling_factor.

    `invert_scale_latents` is of the images that condition CogVideoX 1.5, not of the videos. Norms are over all frames
    of a piece, so a latent depends on later frames.
    """
    _require(
        folder,
        config,
        temporal_compression_ratio=config.get("temporal_compression_ratio", 4) == 4,
        use_quant_conv=not config.get("use_quant_conv", False),
        use_post_quant_conv=not config.get("use_post_quant_conv", False),
    )
    stride_hw = 2 ** (len(config["block_out_channels"]) - 1)
    channels, std = config["latent_channels"], 1 / config["scaling_factor"]
    return Facts((4, stride_hw, stride_hw), channels, (0.0,) * channels, (std,) * channels, causal=False)


LTX_CONV_BLOCK = "LTXVideoDownBlock3D"
"""Of LTX-Video 0.9.0 and 0.9.1: halves time and space, whatever `downsample_type` says."""
READERS: dict[str, Callable[[Path, Mapping[str, Any]], Facts]] = {
    "AutoencoderKLWan": _wan,
    "AutoencoderKLLTXVideo": _ltx,
    "AutoencoderKLCogVideoX": _cogvideox,
}


def _require(folder: Path, config: Mapping[str, Any], **holds: bool) -> None:
    """Refuse variants of a class of which there are no published weights."""
    for key, fits in holds.items():
        if not fits:
            raise ValueError(f"{folder}: {config[CLASS_KEY]} with another {key} than published ones is not known here")


def _statistic(folder: Path, name: str) -> tuple[float, ...] | None:
    found = (read_floats(folder / file, name) for file in weight_files(folder))
    return next((values for values in found if values is not None), None)
