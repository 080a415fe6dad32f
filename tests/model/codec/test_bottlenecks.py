"""Bottlenecks, by identities and by hand: gradients, codes, losses, codebooks; and by the codecs that have them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from model.codec.bottlenecks.bottleneck import DiscreteBottleneck, code_use
from model.codec.bottlenecks.config import (
    DISCRETE,
    KINDS,
    GaussianConfig,
    LookupFreeConfig,
    NoisedConfig,
    PlainConfig,
    ScalarConfig,
    VectorConfig,
    as_entry,
    bottleneck_config,
)
from model.codec.bottlenecks.continuous import kl_nats
from model.codec.bottlenecks.lookup_free import entropies
from model.codec.bottlenecks.making import make_bottleneck
from model.codec.causal import Autoencoder, AutoencoderConfig, load_autoencoder, save_autoencoder
from model.codec.spec import codec_spec
from tests.model.codec.tiny_codecs import BOTTLENECKS, save_tiny

CODED = [kind for kind, config in BOTTLENECKS.items() if isinstance(config, DISCRETE)]


def encoded(kind: str, seed: int = 0, batch: int = 2) -> Tensor:
    """What an encoder might give a bottleneck of four latent channels."""
    channels = made(kind).encoder_channels
    return torch.randn(batch, channels, 3, 4, 5, generator=torch.Generator().manual_seed(seed))


def made(kind: str):
    torch.manual_seed(0)
    return make_bottleneck(BOTTLENECKS[kind], 4)


@pytest.mark.parametrize("kind", BOTTLENECKS)
def test_each_position_is_taken_alone(kind):
    """Any part of the encoder's output has that part of the latents."""
    bottleneck, whole = made(kind), encoded(kind)
    latent = bottleneck.latent(whole)
    assert latent.shape == (2, 4, 3, 4, 5)
    assert torch.equal(bottleneck.latent(whole), latent)
    assert torch.equal(bottleneck.latent(whole[:1, :, 1:2, 2:, :3]), latent[:1, :, 1:2, 2:, :3])


@pytest.mark.parametrize("kind", CODED)
def test_what_the_decoder_sees_in_the_fit_is_what_is_stored(kind):
    bottleneck, whole = made(kind), encoded(kind)
    if kind == "vq":
        bottleneck(whole)  # the first codes come from data
        bottleneck.uses.fill_(1e6)  # and none is dead
        before = bottleneck.latent(whole)
        torch.testing.assert_close(bottleneck(whole).latent_BCTHW, before)
    else:
        torch.testing.assert_close(bottleneck(whole).latent_BCTHW, bottleneck.latent(whole))


@pytest.mark.parametrize("kind", ["vq", "lfq"])
def test_gradients_go_straight_through(kind):
    """As if the bottleneck were the identity, whatever comes after it."""
    bottleneck, x = made(kind), encoded(kind).requires_grad_()
    after = torch.randn(2, 4, 3, 4, 5)
    (bottleneck(x).latent_BCTHW * after).sum().backward()
    assert torch.equal(x.grad, after)


def test_gradients_of_finite_scalars_are_those_of_their_bounds():
    """Rounding is the identity to them: the derivative of the bound, over the half width of the grid."""
    bottleneck, x = made("fsq"), encoded("fsq").requires_grad_()
    bottleneck(x).latent_BCTHW.sum().backward()
    y = x.detach().clone().requires_grad_()
    half = torch.tensor([float(n // 2) for n in bottleneck.levels]).view(1, -1, 1, 1, 1)
    (bottleneck._bounded(y) / half).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    assert x.grad.min() > 0


@pytest.mark.parametrize("kind", CODED)
def test_codes_and_latents_lead_to_each_other(kind):
    bottleneck = made(kind)
    codes = torch.arange(bottleneck.num_codes).view(1, 1, 1, -1)
    latents = bottleneck.latent_of(codes)
    assert torch.equal(bottleneck.codes(latents), codes)
    assert len(latents.flatten(2).squeeze(0).T.unique(dim=0)) == bottleneck.num_codes
    assert torch.equal(bottleneck.codes(latents + 0.01 * torch.randn_like(latents)), codes)
    latent = bottleneck.latent(encoded(kind))
    torch.testing.assert_close(bottleneck.latent_of(bottleneck.codes(latent)), latent)
    assert bottleneck.bits == pytest.approx(math.log2(bottleneck.num_codes))


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (2, 3), (4, 7, 2)])
def test_finite_scalars_have_the_product_of_their_levels_as_codes_and_reach_each(levels):
    bottleneck = make_bottleneck(ScalarConfig(levels=levels), len(levels))
    assert bottleneck.num_codes == math.prod(levels)
    grids = torch.meshgrid(*[torch.linspace(-6, 6, 41)] * len(levels), indexing="ij")
    if len(levels) < 4:
        outputs = torch.stack(grids).flatten(1).T.view(1, -1, 1, 1, len(levels)).movedim(-1, 1)
        codes = bottleneck.codes(bottleneck.latent(outputs))
        assert sorted(codes.unique().tolist()) == list(range(bottleneck.num_codes))
    else:
        for channel, count in enumerate(levels):
            outputs = torch.zeros(1, len(levels), 1, 1, 41)
            outputs[0, channel] = torch.linspace(-6, 6, 41)
            assert len(bottleneck.latent(outputs)[0, channel].unique()) == count


def test_nothing_of_the_encoder_is_the_middle_of_finite_scalars():
    bottleneck = make_bottleneck(ScalarConfig(levels=(8, 5)), 2)
    assert torch.equal(bottleneck.latent(torch.zeros(1, 2, 1, 1, 1)), torch.zeros(1, 2, 1, 1, 1))
    far = bottleneck.latent(torch.tensor([[100.0, -100.0]]).view(1, 2, 1, 1, 1)).flatten()
    assert far.tolist() == [0.75, -1.0]  # 8 levels are -4 to 3, 5 are -2 to 2


def test_the_first_channel_of_lookup_free_codes_is_the_lowest_bit():
    bottleneck = make_bottleneck(LookupFreeConfig(), 3)
    latent = torch.tensor([1.0, 1.0, -1.0]).view(1, 3, 1, 1, 1)
    assert bottleneck.codes(latent).item() == 3
    assert torch.equal(bottleneck.latent_of(torch.tensor([[[[3]]]])), latent)


def test_the_kl_term_is_that_of_torch():
    mean, log_variance = torch.randn(50), torch.randn(50)
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(kl_nats(mean, log_variance), expected)
    bottleneck = make_bottleneck(GaussianConfig(kl_weight=0.5), 2)
    x = torch.randn(3, 4, 1, 2, 2)
    losses = bottleneck(x).losses
    torch.testing.assert_close(losses["kl"], 0.5 * kl_nats(x[:, :2], x[:, 2:]).mean())


def test_a_gaussian_is_sampled_in_the_fit_and_stored_as_its_mean():
    torch.manual_seed(0)
    bottleneck = make_bottleneck(GaussianConfig(), 1)
    assert bottleneck.encoder_channels == 2
    x = torch.tensor([3.0, 2 * math.log(0.5)]).view(1, 2, 1, 1, 1).expand(1, 2, 1, 100, 100)
    assert torch.equal(bottleneck.latent(x), x[:, :1])
    sample = bottleneck(x).latent_BCTHW
    assert float(sample.mean()) == pytest.approx(3.0, abs=0.02)
    assert float(sample.std()) == pytest.approx(0.5, abs=0.02)


def test_a_variance_that_would_overflow_is_bounded():
    x = torch.tensor([0.0, 1e4]).view(1, 2, 1, 1, 1)
    passed = make_bottleneck(GaussianConfig(), 1)(x)
    assert passed.latent_BCTHW.isfinite().all()
    assert passed.losses["kl"].isfinite()


def test_noise_on_latents_is_in_proportion_to_their_spread():
    torch.manual_seed(0)
    bottleneck = make_bottleneck(NoisedConfig(), 8)
    spread = torch.tensor([0.1, 1.0, 10.0, 1.0, 1.0, 1.0, 1.0, 1.0]).view(1, 8, 1, 1, 1)
    latent = torch.randn(400, 8, 2, 4, 4) * spread
    bottleneck.running_square.copy_(spread.flatten().square())
    ratio = (bottleneck(latent).latent_BCTHW - latent).square().mean(dim=(2, 3, 4)).sqrt() / spread.flatten()
    assert ratio.max() < 0.45
    torch.testing.assert_close(ratio.mean(dim=0), torch.full((8,), 0.15), rtol=0.15, atol=0.0)
    assert ratio.std(dim=0).min() > 0.05


def test_noise_is_in_the_fit_only_and_on_frames_where_asked_for():
    latent = torch.randn(2, 4, 1, 3, 3)
    video = torch.zeros(2, 3, 5, 64, 64)
    default, on_input = made("noised"), make_bottleneck(NoisedConfig(input_noise=0.2), 4)
    assert torch.equal(default.latent(latent), latent)
    assert torch.equal(default.corrupted(video), video)
    assert float(on_input.corrupted(video).std()) == pytest.approx(0.2, rel=0.02)
    plain = made("none")
    assert torch.equal(plain(latent).latent_BCTHW, latent)
    assert float(plain(latent).losses["scale"]) == pytest.approx(1e-3 * float(latent.square().mean()))


def clusters(count: int, spread: float = 0.05) -> tuple[Tensor, Tensor]:
    """Four means, and `count` encoder outputs (1, 2, 1, 1, 4 * count) near each."""
    means = torch.tensor([[2.0, 0.0], [-1.0, 3.0], [0.0, -2.0], [5.0, 5.0]])
    points = (means[:, None] + spread * torch.randn(4, count, 2)).flatten(0, 1)
    return means, points.T.reshape(1, 2, 1, 1, -1)


def test_a_codebook_goes_to_the_means_of_clusters():
    torch.manual_seed(0)
    bottleneck = make_bottleneck(VectorConfig(num_codes=4, decay=0.9), 2)
    bottleneck.codebook.copy_(clusters(1, spread=0.5)[1].flatten(2)[0].T)
    bottleneck.uses.fill_(64.0)
    bottleneck.sums.copy_(64 * bottleneck.codebook)
    for _ in range(100):
        means, points = clusters(64)
        bottleneck(points)
    order = torch.cdist(means, bottleneck.codebook).argmin(dim=1)
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    torch.testing.assert_close(bottleneck.codebook[order], means, rtol=0, atol=0.02)
    torch.testing.assert_close(bottleneck.uses, torch.full((4,), 64.0), rtol=0.05, atol=0.0)


def test_a_code_follows_its_vectors_by_the_decay():
    """By hand: uses and sums are running means, a code their quotient."""
    bottleneck = make_bottleneck(VectorConfig(num_codes=2, decay=0.75), 1)
    bottleneck.codebook.copy_(torch.tensor([[0.0], [10.0]]))
    bottleneck.uses.fill_(2.0)
    bottleneck.sums.copy_(2 * bottleneck.codebook)
    bottleneck(torch.tensor([1.0, 1.0, 1.0, 9.0]).view(1, 1, 1, 1, 4))
    uses = [0.75 * 2 + 0.25 * 3, 0.75 * 2 + 0.25 * 1]
    assert bottleneck.uses.tolist() == uses
    expected = [0.25 * 3 / uses[0], (0.75 * 20 + 0.25 * 9) / uses[1]]
    torch.testing.assert_close(bottleneck.codebook.flatten(), torch.tensor(expected))


def test_dead_codes_are_moved_to_data_and_used_ones_are_not():
    torch.manual_seed(0)
    bottleneck = make_bottleneck(VectorConfig(num_codes=4, decay=0.9), 2)
    means, points = clusters(16)
    points = points[..., : 3 * 16]
    bottleneck.codebook.copy_(torch.cat([means[:3], torch.tensor([[1e3, 1e3]])]))
    bottleneck.uses.fill_(12.0)
    bottleneck.sums.copy_(12 * bottleneck.codebook)
    moved = 0
    while bottleneck.codebook.max() > 100:
        bottleneck(points)
        moved += 1
    assert moved == 23  # .9 ** 22 is the first power below a tenth, which the next step sees
    torch.testing.assert_close(bottleneck.codebook[:3], means[:3], rtol=0, atol=0.1)
    assert code_use(bottleneck.codes(bottleneck.latent(points)), 4)["codes_used"] == 1.0
    kept = make_bottleneck(VectorConfig(num_codes=4, decay=0.9, dead_share=0.0), 2)
    kept.codebook.copy_(torch.cat([means[:3], torch.tensor([[1e3, 1e3]])]))
    kept.uses.fill_(12.0)
    kept.sums.copy_(12 * kept.codebook)
    for _ in range(30):
        kept(points)
    assert kept.codebook.max() > 100


def test_the_first_codes_are_encoder_outputs():
    bottleneck, x = make_bottleneck(VectorConfig(num_codes=8, decay=0.0, dead_share=0.0), 4), encoded("vq")
    bottleneck(x)
    assert code_use(bottleneck.codes(x), 8)["codes_used"] == 1.0


def test_the_commitment_term_pulls_the_encoder_to_its_codes():
    bottleneck = make_bottleneck(VectorConfig(num_codes=2, commitment_weight=0.5), 1)
    bottleneck.codebook.copy_(torch.tensor([[0.0], [10.0]]))
    bottleneck.uses.fill_(1.0)
    x = torch.tensor([1.0, 8.0]).view(1, 1, 1, 1, 2).requires_grad_()
    loss = bottleneck(x).losses["commitment"]
    assert float(loss.detach()) == 0.5 * (1.0 + 4.0) / 2
    loss.backward()
    assert x.grad.flatten().tolist() == [0.5, -1.0]


def test_entropies_of_two_codes_by_hand():
    """Positions with probabilities .8 and .4 of one bit; their mean is .6."""
    probability = torch.tensor([[0.8], [0.4]])
    encoded_NC = (probability / (1 - probability)).log() / 4

    def entropy(p: float) -> float:
        return -p * math.log(p) - (1 - p) * math.log(1 - p)

    of_each, of_all = entropies(encoded_NC, 1.0)
    assert float(of_each) == pytest.approx((entropy(0.8) + entropy(0.4)) / 2, rel=1e-5)
    assert float(of_all) == pytest.approx(entropy(0.6), rel=1e-5)
    of_each, _ = entropies(2 * encoded_NC, 2.0)
    assert float(of_each) == pytest.approx((entropy(0.8) + entropy(0.4)) / 2, rel=1e-5)


def test_entropies_are_those_of_the_softmax_over_all_codes():
    """Of the negative squared distance from each code, which are enumerated here."""
    bottleneck = make_bottleneck(LookupFreeConfig(entropy_weight=0.5, temperature=0.7, commitment_weight=0.0), 4)
    x = encoded("lfq")
    vectors = x.movedim(1, -1).flatten(0, -2)
    codebook = bottleneck.latent_of(torch.arange(16).view(1, 1, 1, -1)).flatten(1).view(4, 16).T
    assignment = (-torch.cdist(vectors, codebook).square() / 0.7).softmax(dim=1)
    of_each = -(assignment * assignment.log()).sum(dim=1).mean()
    of_all = -(assignment.mean(dim=0) * assignment.mean(dim=0).log()).sum()
    found = entropies(vectors, 0.7)
    torch.testing.assert_close(found[0], of_each, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1], of_all, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(bottleneck(x).losses["entropy"], 0.5 * (of_each - of_all), rtol=1e-4, atol=1e-5)


def test_many_bits_are_taken_in_groups_whose_entropies_add_up():
    x = torch.randn(300, 13)
    _, of_all = entropies(x, 1.0)
    torch.testing.assert_close(of_all, entropies(x[:, :10], 1.0)[1] + entropies(x[:, 10:], 1.0)[1])


def test_statistics_follow_what_is_stored():
    bottleneck = made("none")
    for seed in range(1000):
        bottleneck(3.0 + 2.0 * encoded("none", seed, batch=1))
    torch.testing.assert_close(bottleneck.running_mean, torch.full((4,), 3.0), rtol=0.05, atol=0.0)
    torch.testing.assert_close(bottleneck.running_std(), torch.full((4,), 2.0), rtol=0.05, atol=0.0)


def test_use_of_a_codebook_by_hand():
    """Two of five codes, alike: as good as two. One four times as often: e to the entropy."""
    assert code_use(torch.tensor([3, 1, 1, 3]), 5) == {"codes_used": 0.4, "perplexity": pytest.approx(2.0)}
    entropy = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    assert code_use(torch.tensor([[0, 0], [0, 0], [7, 7], [0, 0], [0, 0]]), 8)["perplexity"] == pytest.approx(
        math.exp(entropy)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_settings_are_written_and_read_again(kind):
    config = bottleneck_config({"kind": kind})
    assert config == KINDS[kind]()
    entry = json.loads(json.dumps(as_entry(config)))
    assert next(iter(entry)) == "kind"
    assert bottleneck_config(entry) == config


def test_a_config_without_the_entry_is_of_a_codec_fitted_with_noise():
    assert bottleneck_config(None) == AutoencoderConfig().bottleneck == NoisedConfig()


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"kind": "fsg"}, "kind 'fsg' is none of none, noised, gaussian, vq, fsq, lfq; did you mean 'fsq'"),
        ({}, "kind None is none of"),
        ({"kind": "vq", "codes": 8}, "'vq' has no setting 'codes'; it has num_codes, commitment_weight, decay"),
        ({"kind": "vq", "num_codes": 1}, "num_codes must be 2 or more, got 1"),
        ({"kind": "vq", "decay": 1.0}, r"decay must be in \[0, 1\), got 1.0"),
        ({"kind": "fsq", "levels": [5, 1]}, "levels must be two or more for each channel"),
        ({"kind": "fsq", "levels": []}, "levels must be two or more"),
        ({"kind": "lfq", "temperature": 0.0}, "temperature must be above 0"),
        ({"kind": "gaussian", "kl_weight": -1.0}, "kl_weight must be 0 or more"),
    ],
)
def test_other_settings_are_refused_in_one_line(entry, told):
    with pytest.raises(ValueError, match=told) as raised:
        bottleneck_config(entry)
    assert "\n" not in str(raised.value)


def test_channels_that_a_bottleneck_cannot_have_are_refused():
    with pytest.raises(ValueError, match="levels for 4 channels; a latent has 8"):
        Autoencoder(AutoencoderConfig(bottleneck=ScalarConfig()))
    with pytest.raises(ValueError, match="at most 62 channels, got 63"):
        make_bottleneck(LookupFreeConfig(), 63)


def test_a_codec_of_an_unknown_bottleneck_is_refused_before_its_weights_are_loaded(tmp_path):
    folder = Path(save_tiny("ours", tmp_path / "codec"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"bottleneck": {"kind": "rvq"}}))
    with pytest.raises(ValueError, match=f"{folder / 'config.json'} is of no codec that is known: .*'rvq'"):
        codec_spec(str(folder))


@pytest.mark.parametrize("kind", BOTTLENECKS)
def test_a_saved_codec_comes_back_with_its_bottleneck(tmp_path, kind):
    network = load_autoencoder(save_tiny(f"ours {kind}", tmp_path / "a"))
    assert network.config.bottleneck == BOTTLENECKS[kind]
    save_autoencoder(tmp_path / "b", network)
    again = load_autoencoder(str(tmp_path / "b"))
    assert again.config == network.config
    assert again.fingerprint == network.fingerprint
    video = torch.rand(1, 3, 5, 16, 16) * 2 - 1
    assert torch.equal(again.encode(video), network.encode(video))


def test_what_only_a_fit_needs_is_not_saved():
    codec = Autoencoder(replace(AutoencoderConfig(), bottleneck=VectorConfig(num_codes=8)))
    saved = [name for name in codec.state_dict() if name.startswith("bottleneck")]
    assert saved == ["bottleneck.codebook"]
    assert not [name for name in Autoencoder().state_dict() if name.startswith("bottleneck")]


def test_kinds_with_codes_are_those_that_say_so():
    for kind, config in BOTTLENECKS.items():
        assert isinstance(made(kind), DiscreteBottleneck) == isinstance(config, DISCRETE)
    assert [type(config) for config in BOTTLENECKS.values()] == list(KINDS.values())
    assert PlainConfig in KINDS.values()
