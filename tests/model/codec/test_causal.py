"""The autoencoder's shapes, causality, round trips and, for the fitted one, its picture quality on held-out clips."""

import pytest
import torch

from model.codec.causal import Autoencoder, fold, load_autoencoder, psnr_db, save_autoencoder, unfold


def random_video(frames: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, frames, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def random_autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    autoencoder = Autoencoder().eval().requires_grad_(False)
    for parameter in autoencoder.parameters():  # the identity blocks of a fresh network would hide a leak
        parameter.add_(torch.randn_like(parameter) * 0.05)
    return autoencoder


def test_unfold_undoes_fold():
    video = random_video(8, 16, 24)
    assert fold(video, 4, 8).shape == (1, 3 * 4 * 64, 2, 2, 3)
    assert torch.equal(unfold(fold(video, 4, 8), 4, 8), video)


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 16, 16), (9, 32, 48), (17, 24, 16)])
def test_latents_are_4x8x8_smaller_and_decode_to_the_input_shape(random_autoencoder, frames, height, width):
    video = random_video(frames, height, width)
    latent = random_autoencoder.encode(video)
    assert latent.shape == (1, 16, (frames + 3) // 4, height // 8, width // 8)
    assert random_autoencoder.decode(latent).shape == video.shape


def test_latents_of_a_prefix_are_the_prefix_of_the_latents(random_autoencoder):
    video = random_video(17, 32, 32)
    latent = random_autoencoder.encode(video)
    for frames in (1, 5, 13):
        prefix = random_autoencoder.encode(video[:, :, :frames])
        torch.testing.assert_close(prefix, latent[:, :, : prefix.shape[2]], rtol=1e-5, atol=1e-5)


def test_decoding_is_causal(random_autoencoder):
    latent = torch.randn(1, 16, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    video = random_autoencoder.decode(latent)
    torch.testing.assert_close(random_autoencoder.decode(latent[:, :, :2]), video[:, :, :5], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 3, 8, 16, 16), (1, 3, 9, 20, 16), (1, 1, 9, 16, 16), (3, 9, 16, 16)])
def test_other_shapes_are_refused(random_autoencoder, shape):
    with pytest.raises(ValueError, match="4k"):
        random_autoencoder.encode(torch.zeros(shape))


def test_whitening_inverts(random_autoencoder):
    latent = torch.randn(1, 16, 2, 3, 3)
    torch.testing.assert_close(random_autoencoder.unwhiten(random_autoencoder.whiten(latent)), latent)


def test_saved_weights_come_back_and_name_themselves(random_autoencoder, tmp_path):
    save_autoencoder(tmp_path / "a", random_autoencoder)
    loaded = load_autoencoder(str(tmp_path / "a"))
    assert loaded.config == random_autoencoder.config
    assert len(loaded.fingerprint) == 16
    video = random_video(5, 16, 16)
    torch.testing.assert_close(loaded.encode(video), random_autoencoder.encode(video), rtol=0.05, atol=0.05)  # fp16


def test_builtin_reconstructs_held_out_drawn_clips():
    from jobs.fits.autoencoder import HELD_OUT_SEED, drawn_batch

    autoencoder = load_autoencoder("builtin")
    clips = drawn_batch(HELD_OUT_SEED + 500, (9, 64, 96), 8)
    latent = autoencoder.encode(clips)
    assert psnr_db(autoencoder.decode(latent), clips) > 24.0
    whitened = autoencoder.whiten(latent)
    assert abs(float(whitened.mean())) < 0.3
    assert 0.7 < float(whitened.std()) < 1.3
