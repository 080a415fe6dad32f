"""The bottleneck against torch's own normal distribution."""

import torch
from torch.distributions import Normal, kl_divergence

from model.codec.bottlenecks import DiagonalGaussian

MEAN, LOG_VARIANCE = torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(0))


def test_moments_are_the_mean_and_then_the_log_variance():
    posterior = DiagonalGaussian.from_moments(torch.cat([MEAN, LOG_VARIANCE], dim=1))
    assert torch.equal(posterior.mean, MEAN)
    assert torch.equal(posterior.log_variance, LOG_VARIANCE)
    assert torch.equal(posterior.mode(), MEAN)


def test_log_variance_is_kept_where_its_exponential_is_finite():
    posterior = DiagonalGaussian.from_moments(torch.tensor([[0.0, 0.0, -50.0, 50.0]]))
    assert posterior.log_variance.tolist() == [[-20.0, 10.0]]


def test_samples_are_the_mean_and_scaled_noise():
    posterior = DiagonalGaussian(MEAN, LOG_VARIANCE)
    noise = torch.randn(MEAN.shape, generator=torch.Generator().manual_seed(1))
    sample = posterior.sample(torch.Generator().manual_seed(1))
    torch.testing.assert_close(sample, MEAN + LOG_VARIANCE.exp().sqrt() * noise)


def test_divergence_is_that_of_torch():
    expected = kl_divergence(Normal(MEAN, LOG_VARIANCE.exp().sqrt()), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(DiagonalGaussian(MEAN, LOG_VARIANCE).kl(), expected)
