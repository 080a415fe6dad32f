"""Losses on pixels, perceptual and adversarial: what they weigh, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import alexnet

from jobs.fits.autoencoder.adversarial import PatchDiscriminator, adaptive_weight, hinge_loss
from jobs.fits.autoencoder.losses import moving_pixels, reconstruction_loss
from jobs.fits.autoencoder.perceptual import CONSTANT, Lpips, PyramidDistance, normalised_bands


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


def checkers(size: int, contrast: float) -> torch.Tensor:
    """Blocks of 2 x 2 pixels, alternately darker and brighter than grey by a contrast."""
    cell = torch.arange(size) // 2
    return (contrast * (1 - 2 * ((cell[:, None] + cell) % 2))).expand(1, 3, 1, size, size).float()


def test_the_bands_of_a_flat_picture_are_empty_whatever_its_grey():
    for grey in (-1.0, 0.3):
        for band in normalised_bands(torch.full((1, 3, 2, 16, 24), grey)):
            torch.testing.assert_close(band, torch.zeros_like(band), rtol=0, atol=1e-5)


def test_bands_are_of_each_frame_and_channel_and_halve():
    shapes = [tuple(band.shape) for band in normalised_bands(torch.rand(2, 3, 5, 16, 24))]
    assert shapes == [(30, 1, 16, 24), (30, 1, 8, 12), (30, 1, 4, 6), (30, 1, 2, 3)]


def test_a_band_is_divided_by_the_amplitude_around():
    """Fine blocks are all in the first band, at half their contrast in [0, 1]; far from edges, by hand."""
    contrast = 0.4
    first, *_ = normalised_bands(checkers(32, contrast))
    inner = first[:, :, 8:-8, 8:-8].abs()
    amplitude = contrast / 2
    assert inner.max() == pytest.approx(amplitude / (CONSTANT + amplitude), rel=0.15)


def test_an_error_counts_less_where_there_is_texture():
    distance, error = PyramidDistance(), torch.zeros(1, 3, 1, 32, 32)
    error[..., 16, 16] = 0.2
    flat, textured = torch.zeros_like(error), checkers(32, 0.8)
    assert distance(flat, flat) == 0
    assert 0 < distance(textured + error, textured) < 0.85 * distance(flat + error, flat)


def test_lpips_is_the_distance_of_unit_features_weighted_by_its_heads(tmp_path):
    torch.manual_seed(0)
    network = alexnet(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "alexnet.pth")
    channels = (64, 192, 384, 256, 256)
    heads = {f"lin{i}.model.1.weight": torch.zeros(1, c, 1, 1) for i, c in enumerate(channels)}
    heads["lin1.model.1.weight"][0, 7] = 2.0
    torch.save(heads, tmp_path / "lpips_alex.pth")
    loss = Lpips(tmp_path)
    video, truth = (torch.rand(1, 3, 1, 48, 40) * 2 - 1 for _ in range(2))
    assert loss(truth, truth) == 0

    def seventh(frame):
        pixels = (frame - torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)) / torch.tensor(
            [0.458, 0.448, 0.450]
        ).view(3, 1, 1)
        second = network.features[:5](pixels[None])[0]
        return second[7] / second.norm(dim=0)

    with torch.no_grad():
        expected = 2.0 * (seventh(video[0, :, 0]) - seventh(truth[0, :, 0])).square().mean()
    torch.testing.assert_close(loss(video, truth), expected)
    assert not any(p.requires_grad for p in loss.parameters())


def test_missing_weights_of_lpips_are_named(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path} does not hold the weights of LPIPS"):
        Lpips(tmp_path)


def test_the_hinge_is_flat_beyond_one():
    """By hand: true patches at 2 and 0 cost 0 and 1, made ones at -3 and 0.5 cost 0 and 1.5."""
    assert hinge_loss(torch.tensor([2.0, 0.0]), torch.tensor([-3.0, 0.5])) == 0.5 * (0.5 + 0.75)


def test_the_adaptive_weight_makes_the_gradients_in_the_last_layer_alike():
    last = nn.Parameter(torch.tensor([1.0, 2.0]))
    weight = adaptive_weight(3 * last.sum(), (0.5 * last).sum(), last)
    assert float(weight) == pytest.approx(6.0, rel=1e-3)
    assert not weight.requires_grad
    assert adaptive_weight(last.sum(), 0 * last.sum(), last) == pytest.approx(1e4)


def test_the_discriminator_judges_patches_each_alike():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator().eval()
    scores = discriminator(torch.rand(2, 3, 5, 32, 48))
    assert scores.shape == (2, 1, 5, 4, 6)
    assert discriminator(torch.rand(1, 3, 1, 16, 16)).shape == (1, 1, 1, 2, 2)


def test_a_discriminator_learns_to_tell_true_from_blurred():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator()
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-3)
    for _ in range(30):
        truth = torch.rand(2, 3, 3, 16, 16) * 2 - 1
        blurred = nn.functional.avg_pool3d(truth, (1, 5, 5), 1, (0, 2, 2))
        loss = hinge_loss(discriminator(truth), discriminator(blurred))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.5
