"""The autoencoder's shapes, causality, round trips and, for the fitted one, its picture quality on held-out clips."""

from dataclasses import replace
from itertools import product

import pytest
import torch

from model.codec.causal import Autoencoder, AutoencoderConfig, load_autoencoder, save_autoencoder
from model.codec.layers import Block, CausalTimeConv, NormSiLU, fold, unfold
from model.codec.quality import psnr_db


def random_video(frames: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, frames, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def random_autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    autoencoder = Autoencoder().eval().requires_grad_(False)
    for parameter in autoencoder.parameters():  # the identity blocks of a fresh network would hide a leak
        parameter.add_(torch.randn_like(parameter) * 0.05)
    return autoencoder


@pytest.fixture(scope="module")
def builtin() -> Autoencoder:
    return load_autoencoder()


def test_fold_moves_each_place_of_a_patch_to_a_channel_of_its_own():
    video = random_video(4, 4, 6).permute(0, 2, 3, 4, 1)
    folded = fold(video, 2, 2)
    assert folded.shape == (1, 2, 2, 3, 3 * 2 * 2 * 2)
    for i, (channel, t, y, x) in enumerate(product(range(3), range(2), range(2), range(2))):
        assert torch.equal(folded[0, ..., i], video[0, t::2, y::2, x::2, channel])


def test_unfold_undoes_fold():
    video = random_video(8, 16, 24).permute(0, 2, 3, 4, 1)
    assert torch.equal(unfold(fold(video, 4, 8), 4, 8), video)


def test_norm_divides_by_the_root_mean_square_of_the_channels():
    x = torch.tensor([3e-3, -4e-3]).view(1, 1, 1, 1, 2)  # small enough to show the epsilon
    norm = NormSiLU(2).requires_grad_(False)
    norm.weight.copy_(torch.tensor([1.0, 2.0]))
    scale = (12.5e-6 + 1e-6) ** -0.5
    expected = torch.nn.functional.silu(torch.tensor([3e-3 * scale, -8e-3 * scale]))
    torch.testing.assert_close(norm(x).flatten(), expected)
    half = norm(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float().flatten(), expected, rtol=0.01, atol=0.01)


def test_convolution_in_time_sees_the_past_and_repeats_the_first_frame_before_it():
    torch.manual_seed(0)
    layer = CausalTimeConv(1).requires_grad_(False)
    layer.weight.copy_(torch.tensor([[100.0, 10.0, 1.0]]))
    layer.bias.zero_()
    frames = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1, 1)
    torch.testing.assert_close(layer(frames).flatten(), torch.tensor([111.0, 112.0, 123.0, 234.0]))


def test_a_fresh_block_adds_one_number_to_each_channel():
    x, block = torch.randn(1, 3, 5, 5, 4), Block(4)
    added = block(x) - x
    torch.testing.assert_close(added, added[:, :1, :1, :1].expand_as(x))


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 16, 16), (9, 32, 48), (17, 24, 16)])
def test_latents_are_4x8x8_smaller_and_decode_to_the_input_shape(random_autoencoder, frames, height, width):
    video = random_video(frames, height, width)
    latent = random_autoencoder.encode(video)
    assert latent.shape == (1, 8, (frames + 3) // 4, height // 8, width // 8)
    assert random_autoencoder.decode(latent).shape == video.shape


def test_latents_of_a_prefix_are_the_prefix_of_the_latents(random_autoencoder):
    video = random_video(17, 32, 32)
    latent = random_autoencoder.encode(video)
    for frames in (1, 5, 13):
        prefix = random_autoencoder.encode(video[:, :, :frames])
        torch.testing.assert_close(prefix, latent[:, :, : prefix.shape[2]], rtol=1e-5, atol=1e-5)


def test_decoding_is_causal(random_autoencoder):
    latent = torch.randn(1, 8, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    video = random_autoencoder.decode(latent)
    torch.testing.assert_close(random_autoencoder.decode(latent[:, :, :2]), video[:, :, :5], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "shape", [(1, 3, 8, 16, 16), (1, 3, 9, 20, 16), (1, 3, 9, 16, 20), (1, 1, 9, 16, 16), (3, 9, 16, 16)]
)
def test_other_shapes_are_refused(random_autoencoder, shape):
    with pytest.raises(ValueError, match="4k"):
        random_autoencoder.encode(torch.zeros(shape))


def test_whitening_takes_mean_and_deviation_off_each_channel():
    fresh, latent = Autoencoder(), torch.randn(1, 8, 2, 3, 3)
    assert torch.equal(fresh.whiten(latent), latent)
    config = replace(fresh.config, latent_mean=tuple(range(8)), latent_std=(0.5,) * 4 + (4.0,) * 4)
    autoencoder = Autoencoder(config)
    whitened = autoencoder.whiten(latent)
    torch.testing.assert_close(whitened[:, 3], (latent[:, 3] - 3.0) / 0.5)
    torch.testing.assert_close(whitened[:, 7], (latent[:, 7] - 7.0) / 4.0)
    torch.testing.assert_close(autoencoder.unwhiten(whitened), latent)


def test_saved_weights_come_back_and_name_themselves(random_autoencoder, tmp_path):
    assert random_autoencoder.fingerprint == ""
    save_autoencoder(tmp_path / "a", random_autoencoder)
    loaded = load_autoencoder(str(tmp_path / "a"))
    assert loaded.config == random_autoencoder.config
    assert len(loaded.fingerprint) == 16
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, random_autoencoder.state_dict()[name].half().float())


def test_a_folder_without_a_checkpoint_is_named(tmp_path):
    with pytest.raises(ValueError, match=str(tmp_path)):
        load_autoencoder(str(tmp_path))


def test_the_quality_of_a_video_is_measured_after_clipping():
    """An error of 0.2 is a tenth of the range of 2: 20 dB."""
    truth = torch.tensor([0.8, -0.8, 0.1, 0.3])
    assert psnr_db(torch.tensor([3.0, -3.0, 0.3, 0.1]), truth) == pytest.approx(20.0, abs=1e-4)


def test_a_fit_begins_with_the_sizes_of_the_built_in_one(builtin):
    config = AutoencoderConfig()
    sizes = replace(builtin.config, latent_mean=config.latent_mean, latent_std=config.latent_std)
    assert sizes == config


def test_builtin_reconstructs_held_out_drawn_clips(builtin):
    from jobs.fits.autoencoder.clips import HELD_OUT_SEED, drawn_batch

    clips = drawn_batch(HELD_OUT_SEED + 500, (9, 64, 96), 4)
    latent = builtin.encode(clips)
    assert psnr_db(builtin.decode(latent), clips) > 31.0
    whitened = builtin.whiten(latent)
    assert abs(float(whitened.mean())) < 0.3
    assert 0.7 < float(whitened.std()) < 1.3
