"""The transformer on packs: packed equals unpacked, clean frames are conditions, parameters count as by formula."""

from dataclasses import replace

import pytest
import torch

from model.packing.packing import Document, pack_documents
from model.transformer.conditioning import timestep_features
from model.transformer.transformer import Transformer, TransformerConfig, count_parameters

CONFIG = TransformerConfig(width=48, depth=3, num_heads=4, text_dim=10, layouts=("joint", "spatial", "temporal"))


def random_transformer(config: TransformerConfig = CONFIG) -> Transformer:
    """Zero-initialised layers would hide everything, so all weights are random."""
    torch.manual_seed(0)
    transformer = Transformer(config).eval().requires_grad_(False)
    for parameter in transformer.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    return transformer


def random_documents() -> list[Document]:
    generator = torch.Generator().manual_seed(3)
    shapes = [(1, 4, 4), (3, 4, 6), (2, 8, 4), (3, 4, 6)]
    texts = [5, None, 2, 7]
    return [
        Document(
            torch.randn((16, *shape), generator=generator),
            torch.arange(shape[0]) < i % 2,
            timestep=0.2 * (i + 1),
            latent_fps=1.5 + i,
            text_LE=None if length is None else torch.randn((length, 10), generator=generator),
        )
        for i, (shape, length) in enumerate(zip(shapes, texts, strict=True))
    ]


def test_packed_equals_unpacked():
    transformer, documents = random_transformer(), random_documents()
    together = transformer(pack_documents(documents, CONFIG.patch, CONFIG.text_dim))
    alone = [transformer(pack_documents([d], CONFIG.patch, CONFIG.text_dim)) for d in documents]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_every_input_matters_to_its_own_document_only():
    transformer, documents = random_transformer(), random_documents()

    def answers(changed: Document) -> list[torch.Tensor]:
        pack = pack_documents([documents[0], changed, *documents[2:]], CONFIG.patch, CONFIG.text_dim)
        return list(transformer(pack).split(pack.geometry.lengths))

    before, document = answers(documents[1]), documents[1]
    for change in (
        {"timestep": 0.9},
        {"latent_fps": 30.0},
        {"text_LE": torch.ones(3, 10)},
        {"clean_T": torch.tensor([False, False, True])},
        {"latent_CTHW": document.latent_CTHW + 1},
    ):
        after = answers(replace(document, **change))
        assert not torch.allclose(before[1], after[1], atol=1e-4), change
        for i in (0, 2, 3):
            torch.testing.assert_close(before[i], after[i], rtol=1e-4, atol=1e-5)


def test_clean_frames_are_seen_at_timestep_zero():
    """A document whose frames are all clean is answered alike whatever its timestep."""
    transformer, document = random_transformer(), random_documents()[1]
    clean = replace(document, clean_T=torch.ones(3, dtype=torch.bool))
    noisy_at_zero = replace(document, clean_T=torch.zeros(3, dtype=torch.bool), timestep=0.0)
    one, other, third = (
        transformer(pack_documents([d], CONFIG.patch, CONFIG.text_dim))
        for d in (clean, replace(clean, timestep=0.1), noisy_at_zero)
    )
    assert torch.equal(one, other)
    torch.testing.assert_close(one, third)


def test_a_fresh_transformer_answers_zero():
    pack = pack_documents(random_documents(), CONFIG.patch, CONFIG.text_dim)
    assert not Transformer(CONFIG)(pack).any()


@pytest.mark.parametrize(
    "config", [CONFIG, TransformerConfig(), TransformerConfig(width=128, depth=4, num_heads=2, patch=(2, 4, 4))]
)
def test_parameters_are_counted_by_formula(config):
    assert sum(p.numel() for p in Transformer(config).parameters()) == count_parameters(config)


def test_dit_xl_block_arithmetic_matches_the_published_count():
    """Without text attention, text and q/k norms, a DiT block is 18 D^2 + 15 D; XL/2 has 28 of them at D = 1152."""
    D, depth = 1152, 28
    with_text = TransformerConfig(width=D, depth=depth, num_heads=16)
    shallower = TransformerConfig(width=D, depth=depth - 1, num_heads=16)
    block = count_parameters(with_text) - count_parameters(shallower)
    text_attention = 4 * (D * D + D) + 2 * D  # with its norm
    norms = 4 * (D // 16)
    assert block - text_attention - norms == 18 * D * D + 15 * D
    positions, patch_embedding, labels = 256 * D, 4 * 4 * D + D, 1001 * D
    timestep = (256 * D + D) + (D * D + D)
    final = (2 * D * D + 2 * D) + (D * 32 + 32)
    dit_xl_2 = depth * (18 * D * D + 15 * D) + positions + patch_embedding + labels + timestep + final
    assert dit_xl_2 == 675_129_632  # as published


def test_timestep_features_follow_the_formula():
    features = timestep_features(torch.tensor([0.25]))[0]
    frequency = 10_000.0 ** (-5 / 128)
    assert features[5].item() == pytest.approx(torch.tensor(250.0 * frequency).cos().item(), abs=1e-4)
    assert features[128 + 5].item() == pytest.approx(torch.tensor(250.0 * frequency).sin().item(), abs=1e-4)


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="num_heads = 5"):
        TransformerConfig(width=48, num_heads=5)


def test_bfloat16_autocast_is_close():
    transformer, documents = random_transformer(), random_documents()
    pack = pack_documents(documents, CONFIG.patch, CONFIG.text_dim)
    full = transformer(pack)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = transformer(pack)
    assert (half.float() - full).square().mean() < 1e-3 * full.square().mean()
