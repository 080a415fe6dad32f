"""Timestep features by their formula; texts are embedded alone and without text there is one learned token."""

import math

import torch

from model.packing.packs import CONDITIONS
from model.transformer.conditioning import FactsEmbedding, TextConditioning, TimestepEmbedding, timestep_features
from model.transformer.config import TransformerConfig


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
    layer = text_conditioning(width=36).requires_grad_(False)
    layer.norm.weight.copy_(torch.rand(6))
    text_ME = torch.randn(5, 6) * 1e-3  # small enough to show the epsilon
    normed = text_ME / (text_ME.square().mean(dim=1, keepdim=True) + 1e-6).sqrt() * layer.norm.weight
    expected = normed @ layer.project.weight.T + layer.project.bias
    tokens = layer(text_ME)
    pooled = layer.pooled(tokens, (2, 0, 3))
    torch.testing.assert_close(tokens, torch.cat([expected, layer.null]))
    means = torch.stack([expected[:2].mean(dim=0), layer.null[0], expected[2:].mean(dim=0)])
    torch.testing.assert_close(pooled, means @ layer.pool.weight.T + layer.pool.bias)


def test_the_token_for_no_text_starts_small():
    torch.manual_seed(0)
    assert 0.015 < text_conditioning(width=1008).null.std() < 0.025


def test_a_text_may_be_projected_by_two_layers_and_be_no_part_of_the_conditioning():
    layer = text_conditioning(width=36, text_projection="mlp", pooled_text=False)
    first, _, second = layer.project
    text_ME = torch.randn(5, 6)
    hidden = torch.nn.functional.gelu(text_ME @ first.weight.T + first.bias, approximate="tanh")
    torch.testing.assert_close(layer(text_ME)[:-1], hidden @ second.weight.T + second.bias)
    assert layer.pooled(layer(text_ME), (2, 0, 3)) == 0.0


def text_conditioning(**settings: object) -> TextConditioning:
    return TextConditioning(TransformerConfig(text_dim=6, num_heads=6, **settings))


def test_facts_are_told_by_their_logarithms_and_what_is_not_told_is_known_as_that():
    torch.manual_seed(0)
    config = TransformerConfig(width=36, conditions=("frame_rate", "motion"), num_labels=3)
    facts = FactsEmbedding(config).requires_grad_(False)
    facts.unknown.copy_(torch.randn(2, 36))
    nan = math.nan
    rows = [(8.0, nan, nan), (16.0, nan, nan), (8.0, 2.0, 1.0), (nan, nan, 2.0)]
    told = torch.full((4, len(CONDITIONS)), nan)
    for row, values in enumerate(rows):
        for name, value in zip(("frame_rate", "motion", "label"), values, strict=True):
            told[row, CONDITIONS.index(name)] = value
    found = facts(told)
    labels = facts.labels.weight
    rate = facts.numbers[0](timestep_features(torch.tensor([9.0, 17.0, 9.0]).log() / 10))
    motion = facts.numbers[1](timestep_features(torch.tensor([3.0]).log() / 10))
    torch.testing.assert_close(found[0], rate[0] + facts.unknown[1] + labels[3], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[1], rate[1] + facts.unknown[1] + labels[3], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[2], rate[2] + motion[0] + labels[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[3], facts.unknown.sum(dim=0) + labels[2])
    assert FactsEmbedding(TransformerConfig())(told) == 0.0
