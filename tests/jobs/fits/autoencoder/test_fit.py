"""The loop of the fit: with every bottleneck and loss it learns, and goes on where it was cut off."""

from __future__ import annotations

import json

import pytest
import torch

from jobs.fits.autoencoder import fit as fits
from jobs.fits.autoencoder.adversarial import Adversary
from jobs.fits.autoencoder.clips import batches
from jobs.fits.autoencoder.fit import Extras, Fit
from jobs.fits.autoencoder.perceptual import PyramidDistance
from model.codec.bottlenecks.config import GaussianConfig, NoisedConfig, PlainConfig, VectorConfig
from tests.jobs.fits.autoencoder.conftest import BOTTLENECKS


def judged(start_step: int) -> Extras:
    """All losses that there are; the discriminator's weights follow from the fit's seed."""
    return Extras(PyramidDistance(), 0.5, Adversary.new(0.5, start_step, "cpu"))


def steps(fit: Fit, number: int) -> list[dict[str, float]]:
    planned = batches(0, fit.step, "cpu")
    return [{name: float(term) for name, term in fit.take_step(next(planned), 0.5).items()} for _ in range(number)]


@pytest.mark.parametrize("kind", BOTTLENECKS)
def test_a_fit_learns_with_every_bottleneck(fit_of, kind):
    fit = fit_of(bottleneck=BOTTLENECKS[kind])
    same = next(batches(0, 0, "cpu"))
    losses = [fit.take_step(same, 0.5) for _ in range(60)]
    first, last = (sum(float(terms["reconstruction"]) for terms in part) for part in (losses[:3], losses[-3:]))
    assert last < 0.9 * first
    assert set(losses[0]) == {"loss", "reconstruction"} | set(TERMS[kind])


TERMS = {
    "none": ["scale"],
    "noised": ["scale"],
    "gaussian": ["kl"],
    "vq": ["commitment"],
    "fsq": [],
    "lfq": ["entropy", "commitment"],
}


def test_what_is_saved_is_an_average(fit_of):
    fit = fit_of()
    steps(fit, 5)
    name, weight = next(iter(fit.network.named_parameters()))
    averaged = dict(fit.averaged().named_parameters())[name]
    assert not torch.equal(averaged, weight)
    assert not averaged.requires_grad
    assert fit.averaged().config.latent_std == tuple(fit.network.bottleneck.running_std().tolist())


def test_the_codebook_is_averaged_with_the_weights(fit_of):
    fit = fit_of(bottleneck=VectorConfig(num_codes=8))
    before = fit.average["bottleneck.codebook"].clone()
    steps(fit, 1)
    now = fit.network.bottleneck.codebook
    torch.testing.assert_close(fit.averaged().bottleneck.codebook, before.lerp(now, 0.9))
    assert not torch.equal(before, now)


@pytest.mark.parametrize("kind", [*BOTTLENECKS, "with all losses"])
def test_a_fit_that_was_cut_off_goes_on_as_if_it_had_not_been(fit_of, tmp_path, kind):
    """With another seed at the second start: all that is random comes from what was saved."""

    def new(seed: int) -> Fit:
        torch.manual_seed(seed)
        extras = judged(1) if kind == "with all losses" else Extras()
        return fit_of(seed, BOTTLENECKS.get(kind, NoisedConfig()), extras)

    whole = new(0)
    losses = steps(whole, 4)
    part = new(0)
    steps(part, 2)
    part.save(tmp_path / "state.pt")
    resumed = new(1)
    resumed.resume(tmp_path / "state.pt")
    assert (resumed.step, resumed.num_clips) == (2, part.num_clips)
    assert steps(resumed, 2) == losses[2:]
    for one, other in zip(whole.average.values(), resumed.average.values(), strict=True):
        assert torch.equal(one, other)
    buffers = zip(whole.network.bottleneck.buffers(), resumed.network.bottleneck.buffers(), strict=True)
    assert all(torch.equal(one, other) for one, other in buffers)


def test_the_state_of_another_fit_is_refused_in_one_line(fit_of, tmp_path):
    path = tmp_path / "state.pt"
    fit_of(bottleneck=NoisedConfig()).save(path)
    for other in (fit_of(bottleneck=PlainConfig()), fit_of(extras=judged(0))):
        with pytest.raises(ValueError, match=f"{path} is the state of a fit with other options"):
            other.resume(path)
    fit_of().resume(tmp_path / "none.pt")


def test_the_discriminator_is_fitted_from_its_step_on(fit_of):
    extras = judged(2)
    fit = fit_of(extras=extras)
    before = [p.detach().clone() for p in extras.adversary.discriminator.parameters()]
    early = steps(fit, 2)
    assert all("adversarial" not in terms and "perceptual" in terms for terms in early)
    assert all(torch.equal(p, was) for p, was in zip(extras.adversary.discriminator.parameters(), before, strict=True))
    (late,) = steps(fit, 1)
    assert {"adversarial", "discriminator"} <= late.keys()
    *after, last_bias = extras.adversary.discriminator.parameters()
    assert not any(torch.equal(p, was) for p, was in zip(after, before[:-1], strict=True))
    assert torch.equal(last_bias, before[-1])  # while no score is beyond the hinge, true and made ones pull alike


def test_the_loss_is_the_sum_of_its_terms_and_leaves_the_discriminators_own_out(fit_of):
    (terms,) = steps(fit_of(bottleneck=GaussianConfig(), extras=judged(0)), 1)
    parts = [terms[name] for name in ("reconstruction", "perceptual", "adversarial", "kl")]
    assert terms["loss"] == pytest.approx(sum(parts), rel=1e-5)
    assert terms["discriminator"] > 0


def test_the_perceptual_loss_has_its_weight(fit_of):
    half, whole = (steps(fit_of(extras=Extras(PyramidDistance(), weight)), 1)[0] for weight in (0.5, 1.0))
    assert half["perceptual"] == pytest.approx(0.5 * whole["perceptual"])
    assert half["reconstruction"] == whole["reconstruction"]


def test_the_decoders_loss_gives_the_discriminator_no_gradient(fit_of):
    """It would teach the discriminator to be deceived."""
    extras = judged(0)
    fit = fit_of(bottleneck=PlainConfig(), extras=extras)
    clips = torch.rand(2, 3, 5, 16, 16) * 2 - 1
    fit.backward(clips, judged=True)
    found = [p.grad.clone() for p in extras.adversary.discriminator.parameters()]
    extras.adversary.discriminator.zero_grad()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        video = fit.network.decode(fit.network.encode(clips)).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = extras.adversary.of_discriminator(video, clips)
    loss.backward()
    expected = [p.grad for p in extras.adversary.discriminator.parameters()]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_run_writes_each_term_and_its_state(fit_of, tmp_path, monkeypatch):
    monkeypatch.setattr(fits, "LOG_EVERY_STEPS", 1)
    monkeypatch.setattr(fits, "SAVE_EVERY_S", 0.0)
    fit = fit_of(bottleneck=VectorConfig(num_codes=8))
    fit.run(1.0, tmp_path)
    line = json.loads((tmp_path / "fit.jsonl").read_text().splitlines()[0])
    assert line["step"] == 1
    assert line["loss"] == pytest.approx(line["reconstruction"] + line["commitment"], abs=2e-4)
    again = fit_of(1, VectorConfig(num_codes=8))
    again.resume(tmp_path / "state.pt")
    assert again.step == fit.step
