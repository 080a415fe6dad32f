"""Timestep features by their formula; texts are embedded alone and without text there is one learned token."""

import math

import torch

from model.transformer.conditioning import TextConditioning, TimestepEmbedding, modulate, timestep_features


def test_timestep_features_are_cosines_and_sines_of_geometric_frequencies():
    features = timestep_features(torch.tensor([0.0, 0.25], dtype=torch.float64))
    angles = [250.0 * math.exp(-math.log(10_000.0) * i / 128) for i in range(128)]
    expected = torch.tensor([[math.cos(a) for a in angles] + [math.sin(a) for a in angles]])
    torch.testing.assert_close(features[1:], expected, rtol=1e-3, atol=1e-4)
    assert features[0].tolist() == [1.0] * 128 + [0.0] * 128


def test_timesteps_are_embedded_by_two_layers():
    embedding = TimestepEmbedding(8)
    first, _, second = embedding.layers
    hidden = timestep_features(torch.tensor([0.3])) @ first.weight.T + first.bias
    expected = (hidden * hidden.sigmoid()) @ second.weight.T + second.bias
    torch.testing.assert_close(embedding(torch.tensor([0.3])), expected)


def test_texts_are_normed_projected_and_pooled_by_their_means():
    torch.manual_seed(0)
    layer = TextConditioning(text_dim=6, width=4).requires_grad_(False)
    layer.norm.weight.copy_(torch.rand(6))
    text_ME = torch.randn(5, 6) * 1e-3  # small enough to show the epsilon
    normed = text_ME / (text_ME.square().mean(dim=1, keepdim=True) + 1e-6).sqrt() * layer.norm.weight
    expected = normed @ layer.project.weight.T + layer.project.bias
    tokens, pooled = layer(text_ME, (2, 0, 3))
    torch.testing.assert_close(tokens, torch.cat([expected, layer.null]))
    means = torch.stack([expected[:2].mean(dim=0), layer.null[0], expected[2:].mean(dim=0)])
    torch.testing.assert_close(pooled, means @ layer.pool.weight.T + layer.pool.bias)


def test_the_token_for_no_text_starts_small():
    torch.manual_seed(0)
    assert 0.015 < TextConditioning(text_dim=6, width=1000).null.std() < 0.025


def test_modulation_scales_and_shifts():
    x, shift, scale = torch.randn(3, 5, 4)
    torch.testing.assert_close(modulate(x, shift, scale), x * (1 + scale) + shift)
