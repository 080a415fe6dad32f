"""Codecs of every kind with a few thousand random weights, as folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLCogVideoX, AutoencoderKLLTXVideo, AutoencoderKLWan

from model.codec.bottlenecks.config import (
    BottleneckConfig,
    GaussianConfig,
    LookupFreeConfig,
    NoisedConfig,
    PlainConfig,
    ScalarConfig,
    VectorConfig,
)
from model.codec.bottlenecks.vector import VectorQuantised
from model.codec.causal import Autoencoder, AutoencoderConfig, save_autoencoder

MEAN, STD = (0.5, -0.25, 0.125, 1.0), (0.5, 2.0, 1.5, 0.75)
BOTTLENECKS: dict[str, BottleneckConfig] = {
    "none": PlainConfig(),
    "noised": NoisedConfig(),
    "gaussian": GaussianConfig(),
    "vq": VectorConfig(num_codes=32),
    "fsq": ScalarConfig(levels=(5, 4, 3, 4)),
    "lfq": LookupFreeConfig(),
}
"""Of this project's codecs, all of four latent channels."""
STATISTICS = {"latents_mean": list(MEAN), "latents_std": list(STD)}


def wan(**config: Any) -> AutoencoderKLWan:
    """As Wan 2.1, 4 x 8 x 8."""
    sizes = {"base_dim": 4, "z_dim": 4, "dim_mult": [1, 1, 2, 2], "num_res_blocks": 1}
    return AutoencoderKLWan(**sizes | STATISTICS | config)


def wan22() -> AutoencoderKLWan:
    """As Wan 2.2 5B, 4 x 16 x 16."""
    channels = {"in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 16}
    return wan(is_residual=True, decoder_base_dim=6, **channels)


def ltx(**config: Any) -> AutoencoderKLLTXVideo:
    """As LTX-Video 0.9.0, 8 x 32 x 32."""
    sizes = {"latent_channels": 4, "layers_per_block": (1,) * 5, "decoder_layers_per_block": (1,) * 5}
    widths = {"block_out_channels": (4, 4, 6, 6), "decoder_block_out_channels": (4, 4, 6, 6)}
    network = AutoencoderKLLTXVideo(**sizes | widths | {"scaling_factor": 1.25} | config)
    network.latents_mean.copy_(torch.tensor(MEAN))
    network.latents_std.copy_(torch.tensor(STD))
    return network


def ltx095() -> AutoencoderKLLTXVideo:
    """As LTX-Video 0.9.5: other downsamplers, and a decoder that is told a timestep."""
    return ltx(
        block_out_channels=(4, 8, 8, 8, 8),
        down_block_types=("LTXVideo095DownBlock3D",) * 4,
        spatio_temporal_scaling=(True,) * 4,
        downsample_type=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        decoder_block_out_channels=(8, 16, 32),
        decoder_spatio_temporal_scaling=(True,) * 3,
        decoder_layers_per_block=(1,) * 4,
        layers_per_block=(1,) * 5,
        decoder_inject_noise=(False,) * 4,
        upsample_residual=(True,) * 3,
        upsample_factor=(2,) * 3,
        timestep_conditioning=True,
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    )


def cogvideox() -> AutoencoderKLCogVideoX:
    """As CogVideoX, 4 x 8 x 8."""
    sizes = {"block_out_channels": (4, 4, 8, 8), "layers_per_block": 1, "norm_num_groups": 2}
    return AutoencoderKLCogVideoX(latent_channels=4, scaling_factor=0.7, **sizes)


DIFFUSERS: dict[str, Callable[[], Any]] = {
    "wan": wan,
    "wan 2.2": wan22,
    "ltx": ltx,
    "ltx 0.9.5": ltx095,
    "cogvideox": cogvideox,
}


OURS = {f"ours {name}": config for name, config in BOTTLENECKS.items()} | {"ours": NoisedConfig()}


def save_tiny(kind: str, folder: Path) -> str:
    """Write a codec of a kind, one of `OURS` or of `DIFFUSERS`; gives the name by which it is loaded."""
    torch.manual_seed(0)
    if kind in OURS:
        sizes = AutoencoderConfig(latent_channels=4, fine_channels=12, coarse_channels=16, detail_channels=8)
        config = replace(sizes, latent_mean=MEAN, latent_std=STD, bottleneck=OURS[kind])
        network = Autoencoder(config).requires_grad_(False)
        for parameter in network.parameters():  # fresh blocks are the identity
            parameter.add_(torch.randn_like(parameter) * 0.1)
        if isinstance(network.bottleneck, VectorQuantised):  # its first codes are of data
            network.bottleneck(network.before_bottleneck(torch.rand(1, 3, 17, 64, 64) * 2 - 1))
        save_autoencoder(folder, network)
    else:
        DIFFUSERS[kind]().save_pretrained(folder)
    return str(folder)
