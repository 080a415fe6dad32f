"""The autoencoder's fit: what its loss weighs, that it learns, is saved whole and goes on where it was."""

import argparse
import json

import pytest
import torch

from jobs.fits import autoencoder
from jobs.fits.autoencoder import Fit, moving_pixels, reconstruction_loss
from model.codec.causal import Autoencoder, AutoencoderConfig, load_autoencoder

TINY = AutoencoderConfig(
    fine_channels=8, coarse_channels=8, detail_channels=4, encoder_blocks=(1, 1), decoder_blocks=(1, 1, 1)
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(autoencoder, "BATCH_PIXELS", {"cpu": 2 * 9 * 16 * 16})
    monkeypatch.setattr(autoencoder, "SHAPES_THW", ((9, 16, 16), (5, 16, 24)))


def test_pixels_move_where_they_differ_from_the_frame_before():
    video = torch.zeros(1, 3, 3, 4, 4)
    video[0, 1, 1:, 2, 3] = 0.1
    video[0, 0, 2, 0, 0] = 0.05  # six levels
    moving = moving_pixels(video)
    assert moving.shape == (1, 1, 3, 4, 4)
    assert moving.nonzero().tolist() == [[0, 0, 1, 2, 3]]


def test_an_error_where_something_moves_weighs_three_times_as_much():
    truth = torch.zeros(1, 3, 2, 8, 8)
    truth[:, :, 1, :, 4:] = 1.0
    left, right = truth.clone(), truth.clone()
    left[:, :, 1, 2, 1] += 0.5
    right[:, :, 1, 2, 6] += 0.5
    assert reconstruction_loss(truth, truth) == 0
    assert float(reconstruction_loss(right, truth)) == pytest.approx(3 * float(reconstruction_loss(left, truth)))


def test_noise_on_latents_is_in_proportion_to_their_spread():
    torch.manual_seed(0)
    fit = Fit(Autoencoder(TINY), seed=0, device="cpu")
    spread = torch.tensor([0.1, 1.0, 10.0, 1.0, 1.0, 1.0, 1.0, 1.0]).view(1, 8, 1, 1, 1)
    latent = torch.randn(400, 8, 2, 4, 4) * spread
    for _ in range(1200):
        fit.statistics.lerp_(torch.stack([torch.zeros(8), spread.flatten().square()]), 0.01)
    ratio = (fit._noised(latent) - latent).square().mean(dim=(2, 3, 4)).sqrt() / spread.flatten()
    assert ratio.max() < 0.45
    torch.testing.assert_close(ratio.mean(dim=0), torch.full((8,), 0.15), rtol=0.15, atol=0.0)
    assert ratio.std(dim=0).min() > 0.05


def test_a_fit_learns_and_what_is_saved_is_an_average():
    torch.manual_seed(0)
    fit = Fit(Autoencoder(TINY).train(), seed=0, device="cpu")
    same = next(autoencoder._batches(0, 0, "cpu"))
    losses = [float(fit.take_step(same, 0.5)) for _ in range(60)]
    assert losses[-1] < 0.9 * losses[0]
    name, weight = next(iter(fit.network.named_parameters()))
    averaged = dict(fit.averaged().named_parameters())[name]
    assert not torch.equal(averaged, weight)
    assert not averaged.requires_grad


def test_a_fit_that_was_cut_off_goes_on_as_if_it_had_not_been(tmp_path):
    def fit_of(seed: int) -> Fit:
        torch.manual_seed(seed)
        return Fit(Autoencoder(TINY).train(), seed=0, device="cpu")

    def steps(fit: Fit, first: int, number: int) -> None:
        batches = autoencoder._batches(0, first, "cpu")
        for step in range(first, first + number):
            torch.manual_seed(step)
            fit.take_step(next(batches), 0.5)

    whole, part, resumed = fit_of(0), fit_of(0), fit_of(1)
    steps(whole, 0, 4)
    steps(part, 0, 2)
    part.save(tmp_path / "state.pt")
    resumed.resume(tmp_path / "state.pt")
    assert (resumed.step, resumed.num_clips) == (2, part.num_clips)
    steps(resumed, 2, 2)
    for one, other in zip(whole.average.values(), resumed.average.values(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_job_writes_weights_a_card_and_a_log(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(autoencoder, "AutoencoderConfig", lambda: TINY)
    monkeypatch.setattr(autoencoder, "LOG_EVERY_STEPS", 1)
    parser = argparse.ArgumentParser()
    autoencoder.add_arguments(parser)
    args = parser.parse_args(["--out", str(tmp_path), "--minutes", "0.02", "--clips", "1"])
    assert autoencoder.run(args) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["plain_world"]) == {"true clips", "reconstructions"}
    assert set(told["held_out"]["9 x 16x16"]) >= {"all", "noised"}
    assert load_autoencoder(str(tmp_path)).config.latent_std != TINY.latent_std
    assert "8 latent channels" in (tmp_path / "README.md").read_text()
    assert json.loads((tmp_path / "fit.jsonl").read_text().splitlines()[0])["step"] == 1
