"""The codecs of diffusers behind the seam are the library's own on the same weights, up to rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.pipelines.ltx.pipeline_ltx import LTXPipeline
from torch import Tensor

from model.codec.loading import load_codec
from model.codec.published.loading import CODECS
from model.codec.video_codec import VideoCodec, unwhiten, whiten
from tests.model.codec.tiny_codecs import DIFFUSERS, save_tiny

ROUNDING = 1e-5
"""Of latents and pixels of the order of 1."""


@pytest.fixture(scope="module", params=DIFFUSERS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[VideoCodec, Any]:
    """A codec, and the network that the library itself loads from the same folder."""
    name = save_tiny(request.param, tmp_path_factory.mktemp("codec") / "codec")
    network_class = type(DIFFUSERS[request.param]())
    assert network_class.__name__ in CODECS
    return load_codec(name), network_class.from_pretrained(name).eval().requires_grad_(False)


def noise(codec: VideoCodec, num_latents: int) -> Tensor:
    stride_t, stride_h, stride_w = codec.spec.stride_thw
    shape = (1, 3, (num_latents - 1) * stride_t + 1, 2 * stride_h, 3 * stride_w)
    return torch.rand(shape, generator=torch.Generator().manual_seed(3)) * 2 - 1


def decoded_by(network: Any, latent: Tensor) -> Tensor:
    is_conditioned = network.config.get("timestep_conditioning")
    return network.decode(latent, **({"temb": torch.tensor([0.0])} if is_conditioned else {})).sample


@pytest.mark.parametrize("num_latents", [1, 3, 7])
def test_latents_are_the_modes_of_the_library(pair, num_latents):
    codec, network = pair
    video = noise(codec, num_latents)
    expected = network.encode(video).latent_dist.mode()
    found = torch.cat(list(codec.encode_stream(video.split(2, dim=2))), dim=2)
    torch.testing.assert_close(found, expected, rtol=0, atol=ROUNDING)
    assert expected.std() > 0.05


@pytest.mark.parametrize("num_latents", [1, 3, 7])
def test_videos_are_those_of_the_library(pair, num_latents):
    codec, network = pair
    latent = torch.randn(1, codec.spec.channels, num_latents, 2, 3, generator=torch.Generator().manual_seed(4))
    expected = decoded_by(network, latent)
    found = torch.cat(list(codec.decode_stream(latent.split(2, dim=2))), dim=2)
    torch.testing.assert_close(found, expected, rtol=0, atol=ROUNDING)
    assert expected.std() > 0.05


def test_latents_are_whitened_as_by_the_pipelines(pair):
    codec, network = pair
    raw = torch.randn(1, codec.spec.channels, 2, 2, 3, generator=torch.Generator().manual_seed(5))
    kind = type(network).__name__
    if kind == "AutoencoderKLLTXVideo":
        statistics = network.latents_mean, network.latents_std, network.config.scaling_factor
        expected = LTXPipeline._normalize_latents(raw, *statistics)
        back = LTXPipeline._denormalize_latents(expected, *statistics)
    elif kind == "AutoencoderKLWan":  # WanVideoToVideoPipeline.prepare_latents
        mean = torch.tensor(network.config.latents_mean).view(1, -1, 1, 1, 1)
        expected = (raw - mean) * (1.0 / torch.tensor(network.config.latents_std).view(1, -1, 1, 1, 1))
        back = raw
    else:  # CogVideoXVideoToVideoPipeline.prepare_latents
        expected, back = network.config.scaling_factor * raw, raw
    torch.testing.assert_close(whiten(raw, codec.spec), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(unwhiten(expected, codec.spec), back, rtol=1e-5, atol=1e-6)
    assert (expected - raw).abs().max() > 0.1


def test_lengths_between_are_cut_from_what_is_filled_up(tmp_path: Path):
    """CogVideoX takes 8k + 1 frames; of 8k + 5 the latents are those of a video whose last frame stands still."""
    codec = load_codec(save_tiny("cogvideox", tmp_path / "codec"))
    video = noise(codec, 4)
    still = torch.cat([video, video[:, :, -1:].expand(-1, -1, 4, -1, -1)], dim=2)
    (*_, found), (*_, filled) = codec.encode_stream([video]), codec.encode_stream([still])
    assert torch.equal(found, filled[:, :, :1])
