"""Tiles cover a frame once, and their margins are just what a latent or its pixels depend on."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.codec.causal import Autoencoder, AutoencoderConfig
from model.codec.streaming import decode_stream, encode_stream
from model.codec.tiles import decoder_margin, encoder_margin, tiles_of

SMALL = AutoencoderConfig(fine_channels=12, coarse_channels=16, detail_channels=8)
DEPTHS = [((2, 2), (3, 3, 2)), ((3, 1), (1, 2, 3)), ((1, 3), (2, 4, 0)), ((0, 1), (0, 0, 1))]
LENGTH = 24
"""Latents of a row that is longer than any field of view here."""


def autoencoder_of(encoder_blocks: tuple[int, int], decoder_blocks: tuple[int, int, int]) -> Autoencoder:
    torch.manual_seed(0)
    config = replace(SMALL, encoder_blocks=encoder_blocks, decoder_blocks=decoder_blocks)
    autoencoder = Autoencoder(config).eval().requires_grad_(False)
    for parameter in autoencoder.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.15)
    return autoencoder


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (9, 4), (40, 17)])
@pytest.mark.parametrize("max_latents", [1, 30, 200, 1000])
@pytest.mark.parametrize("margin", [0, 2, 5])
def test_tiles_keep_each_latent_once_and_have_margins_up_to_the_edge(height, width, max_latents, margin):
    tiles = tiles_of(height, width, margin, max_latents)
    kept = torch.zeros(height, width)
    for tile in tiles:
        kept[tile.rows.keep : tile.rows.keep_stop, tile.columns.keep : tile.columns.keep_stop] += 1
        for span, length in ((tile.rows, height), (tile.columns, width)):
            assert span.start == max(0, span.keep - margin)
            assert span.stop == min(length, span.keep_stop + margin)
        if max_latents >= (2 * margin + 1) ** 2:
            assert tile.rows.computed * tile.columns.computed <= max_latents
    assert torch.equal(kept, torch.ones(height, width))
    assert (len(tiles) == 1) == (height * width <= max_latents or height * width == 1)


def test_tiles_are_few_and_each_has_a_cache_of_its_own():
    tiles = tiles_of(90, 160, 3, 8192)
    assert [(tile.rows.computed, tile.columns.computed) for tile in tiles] == [(90, 83), (90, 83)]
    assert tiles[0].cache is not tiles[1].cache


@pytest.mark.parametrize("depths", DEPTHS)
@pytest.mark.parametrize("axis", [3, 4])
def test_the_encoders_margin_is_how_far_it_sees(depths, axis):
    autoencoder = autoencoder_of(*depths)
    video = noise(1, 3, 1, *((LENGTH * 8, 8) if axis == 3 else (8, LENGTH * 8)))
    before = autoencoder.encode(video)
    reached = set()
    for at in (LENGTH // 2 * 8, LENGTH // 2 * 8 + 7):  # the first and the last pixel of one latent
        changed = video.clone()
        changed.select(axis, at).neg_()
        differs = (autoencoder.encode(changed) != before).transpose(axis, 0).flatten(1).any(dim=1)
        reached |= {abs(int(i) - LENGTH // 2) for i in differs.nonzero()}
    assert max(reached) == encoder_margin(autoencoder.config)


@pytest.mark.parametrize("depths", DEPTHS)
@pytest.mark.parametrize("axis", [3, 4])
def test_the_decoders_margin_is_how_far_it_sees(depths, axis):
    autoencoder = autoencoder_of(*depths)
    latent = noise(1, 8, 1, *((LENGTH, 1) if axis == 3 else (1, LENGTH)))
    before = autoencoder.decode(latent)
    changed = latent.clone()
    changed.select(axis, LENGTH // 2).neg_()
    differs = (autoencoder.decode(changed) != before).transpose(axis, 0).flatten(1).any(dim=1)
    reached = {abs(int(i) // 8 - LENGTH // 2) for i in differs.nonzero()}
    assert max(reached) == decoder_margin(autoencoder.config)


@pytest.mark.parametrize("depths", DEPTHS[:2])
@pytest.mark.parametrize(("height", "width"), [(24, 26), (5, 33)])
def test_tiled_equals_untiled_up_to_rounding(depths, height, width):
    """Largest difference 1e-5 of values of about 1, in each frame of several pieces."""
    autoencoder = autoencoder_of(*depths)
    video = noise(2, 3, 9, height * 8, width * 8)
    latents = [torch.cat(list(encode_stream(autoencoder, [video], **tiled)), dim=2) for tiled in TILINGS]
    torch.testing.assert_close(latents[1], latents[0], rtol=1e-5, atol=1e-5)
    videos = [torch.cat(list(decode_stream(autoencoder, [latents[0]], **tiled)), dim=2) for tiled in TILINGS]
    torch.testing.assert_close(videos[1], videos[0], rtol=1e-5, atol=1e-5)
    assert videos[0].std() > 0.1


TILINGS: list[dict[str, int]] = [{}, {"tile_px": 300 * 64}]
