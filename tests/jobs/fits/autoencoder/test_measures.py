"""Measures on held-out clips, by construction: codecs whose faults are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.fits.autoencoder import clips
from jobs.fits.autoencoder.measures import measure, with_latent_statistics
from model.codec.bottlenecks.config import LookupFreeConfig, VectorConfig
from model.codec.causal import Autoencoder, load_autoencoder
from model.codec.quality import psnr_db
from pipeline.synthetic.edited_copies import write_clip
from pipeline.synthetic.encode import Encoding
from tests.jobs.fits.autoencoder.conftest import TINY


class Offset(Autoencoder):
    """Gives the true clip with an error of .2 in the first frame, and of .02 in the others."""

    def encode(self, video_BCTHW):
        self.truth = video_BCTHW
        return super().encode(video_BCTHW)

    def decode(self, latent_BCTHW):
        video = self.truth + 0.02
        video[:, :, 0] += 0.18
        return video


def moving_clip() -> torch.Tensor:
    clip = torch.zeros(1, 3, 5, 16, 16)
    clip[:, :, 1::2, :8] = 0.5
    return clip


def test_frames_and_moving_pixels_are_measured_apart():
    found = measure(Offset(TINY), [moving_clip(), moving_clip()])
    assert found["first"] == pytest.approx(20.0, abs=0.01)
    assert found["others"] == found["moving"] == pytest.approx(40.0, abs=0.01)
    mean_square = (0.2**2 + 4 * 0.02**2) / 5
    assert found["all"] == pytest.approx(10 * np.log10(4 / mean_square), abs=0.01)
    assert found["ssim"] < found["ssim_moving"]
    assert found["floats_per_px"] == 8 * 2 * 2 * 2 / (5 * 16 * 16)
    assert not {"bits_per_px", "codes_used", "perplexity"} & found.keys()


def test_a_still_clip_and_an_image_have_no_moving_pixels():
    found = measure(Offset(TINY), [torch.zeros(1, 3, 1, 16, 16)])
    assert found.keys() == {"all", "first", "noised", "ssim", "floats_per_px"}


def test_codes_are_counted_over_all_clips():
    torch.manual_seed(0)
    codec = Autoencoder(replace(TINY, bottleneck=VectorConfig(num_codes=16))).eval()
    videos = [torch.rand(1, 3, 5, 16, 16) * 2 - 1 for _ in range(3)]
    codec.bottleneck(codec.before_bottleneck(torch.cat(videos)))  # the first codes are of data
    found = measure(codec, videos)
    codes = torch.cat([codec.bottleneck.codes(codec.encode(video)).flatten() for video in videos])
    assert found["codes_used"] > measure(codec, videos[:1])["codes_used"]
    assert found["codes_used"] == pytest.approx(len(set(codes.tolist())) / 16, abs=1e-4)
    assert found["bits_per_px"] == pytest.approx(4 * 8 / (5 * 16 * 16), abs=1e-4)
    assert 1 <= found["perplexity"] <= 16


def test_noise_is_on_whitened_latents():
    """A channel with a wide spread is given wide noise."""
    torch.manual_seed(0)
    plain = Autoencoder(TINY).eval()
    wide = Autoencoder(replace(TINY, latent_std=(30.0,) * 8)).eval()
    wide.load_state_dict(plain.state_dict())
    one, other = (measure(codec, [moving_clip()]) for codec in (plain, wide))
    assert one["all"] == other["all"]
    assert one["noised"] != other["noised"]


def test_statistics_of_latents_are_those_of_new_clips_and_never_zero(monkeypatch):
    codec = Autoencoder(replace(TINY, bottleneck=LookupFreeConfig()))
    with torch.no_grad():
        codec.encoder["leave"][1].bias[0] = 1e6
    found = with_latent_statistics(codec, 0, "cpu").config
    assert (found.latent_mean[0], found.latent_std[0]) == (1.0, 1e-3)
    assert len(found.latent_mean) == 8


def test_built_in_codec_is_as_good_as_its_card_says():
    """17 x 96x64: 34.2 dB of all pixels, 27.0 of moving ones, 33.2 with noise, over 48 clips."""
    found = measure(load_autoencoder(), clips.held_out_clips((17, 64, 96), 6))
    assert found["all"] == pytest.approx(34.2, abs=2.0)
    assert found["moving"] == pytest.approx(27.0, abs=2.0)
    assert found["all"] - found["noised"] == pytest.approx(1.0, abs=0.5)
    assert 0.8 < found["ssim_moving"] < found["ssim"] < 1


def test_held_out_clips_are_those_of_the_held_out_seeds():
    (first, second) = clips.held_out_clips((5, 16, 24), 2)
    assert torch.equal(second, clips.drawn_batch(clips.HELD_OUT_SEED + 1, (5, 16, 24), 1))
    assert first.shape == (1, 3, 5, 16, 24)


def test_a_given_video_is_read_upright_and_reduced(tmp_path: Path):
    pictures = np.zeros((40, 200, 320, 3), np.uint8)
    pictures[:, :, :160] = 255
    write_clip(tmp_path / "a.mp4", iter(pictures), 40, 24, Encoding(options=(("crf", "18"),)))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    found = clips.clips_of_videos(tmp_path)
    assert list(found) == ["a.mp4"]
    clip = found["a.mp4"]
    assert clip.shape == (1, 3, 17, 120, 200)
    expected = torch.ones_like(clip)
    expected[..., 100:] = -1.0
    assert psnr_db(clip, expected) > 25
