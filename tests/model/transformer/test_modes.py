"""Ways of conditioning: shared modulation against that of each block, and text in the sequence written out."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.packing.packs import Document, pack_documents
from model.packing.patches import patchify
from model.transformer import transformer as transformer_module
from model.transformer.conditioning import timestep_features
from model.transformer.transformer import Transformer, TransformerConfig, count_parameters
from tests.model.transformer.test_transformer import WrittenOut, layer_norm, random_documents, rms_norm, turned

SIZES = {"width": 48, "depth": 3, "num_heads": 4, "text_dim": 10}
CONFIGS = {
    f"{modulation} {text}": TransformerConfig(**SIZES, modulation=modulation, text=text)
    for modulation, text in product(("block", "shared"), ("cross", "in_context"))
}


def randomised(config: TransformerConfig) -> Transformer:
    torch.manual_seed(0)
    transformer = Transformer(config).eval()
    with torch.no_grad():
        for parameter in transformer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return transformer


def answer(transformer: Transformer, *documents: Document) -> Tensor:
    return transformer(pack_documents(documents, transformer.config.patch, transformer.config.text_dim))


def test_shared_modulation_is_that_of_blocks_with_the_same_weights() -> None:
    shared = randomised(CONFIGS["shared cross"])
    own = Transformer(CONFIGS["block cross"])
    weights = shared.state_dict()
    common = {name: weights.pop(f"modulation.{name}") for name in ("weight", "bias")}
    for i in range(SIZES["depth"]):
        bias = weights.pop(f"blocks.{i}.modulation.bias")
        weights |= {
            f"blocks.{i}.modulation.weight": common["weight"],
            f"blocks.{i}.modulation.bias": common["bias"] + bias,
        }
    own.load_state_dict(weights)
    documents = random_documents()
    torch.testing.assert_close(answer(shared, *documents), answer(own, *documents), rtol=1e-4, atol=1e-5)


class InContext(WrittenOut):
    """One document with its text in the sequence: dense attention over all of it."""

    def __call__(self, document: Document) -> Tensor:
        _, T, H, W = document.latent_CTHW.shape
        places = torch.tensor(list(product(range(T), range(H // 2), range(W // 2))))
        text_LE, text = document.text_LE, self.weights["text.null"]
        if text_LE is not None:
            text = self.linear("text.project", rms_norm(text_LE) * self.weights["text.norm.weight"])
        levels = torch.where(document.clean_T, 0.0, document.timestep)[places[:, 0]]
        levels = torch.cat([levels, torch.full((len(text),), document.timestep)])
        hidden = F.silu(self.linear("timestep.layers.0", timestep_features(levels)))
        condition = F.silu(self.linear("timestep.layers.2", hidden) + self.linear("text.pool", text.mean(dim=0)))
        seconds = F.pad(places[:, 0] / document.latent_fps, (0, len(text)))
        everywhere = F.pad(places, (0, 0, 0, len(text)))
        x = torch.cat([self.linear("embed", patchify(document.latent_CTHW, (1, 2, 2))), text])
        mask = torch.ones(len(x), len(x), dtype=torch.bool)

        def turn(part: Tensor) -> Tensor:
            return turned(part, seconds, everywhere)

        for i in range(SIZES["depth"]):
            name = f"blocks.{i}"
            shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(f"{name}.modulation", condition, 6)
            q, k, v = self.linear(f"{name}.attention.to_qkv", layer_norm(x) * (1 + scale1) + shift1).chunk(3, dim=1)
            attended = self.attention(
                f"{name}.attention", q, k, v, mask, lambda part: turned(part, seconds, everywhere)
            )
            x = x + gate1 * attended
            h = self.linear(f"{name}.mlp.0", layer_norm(x) * (1 + scale2) + shift2)
            x = x + gate2 * self.linear(f"{name}.mlp.2", F.gelu(h, approximate="tanh"))
        x, condition = x[: len(places)], condition[: len(places)]
        shift, scale = self.modulation("final_modulation", condition, 2)
        return self.linear("final", layer_norm(x) * (1 + scale) + shift)


def test_text_in_the_sequence_is_as_written_out() -> None:
    transformer = randomised(CONFIGS["block in_context"])
    written = InContext(transformer)
    documents = random_documents()
    expected = torch.cat([written(document) for document in documents])
    torch.testing.assert_close(answer(transformer, *documents), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_packed_documents_are_as_one_by_one_in_outputs_and_gradients(config: TransformerConfig) -> None:
    transformer, documents = randomised(config), random_documents()
    gradients = []
    answers = []
    for packs in ([documents], [[document] for document in documents]):
        transformer.zero_grad()
        parts = [answer(transformer, *pack) for pack in packs]
        torch.cat(parts).square().sum().backward()
        answers.append(torch.cat(parts).detach())
        gradients.append({name: p.grad.clone() for name, p in transformer.named_parameters() if p.grad is not None})
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-5)
    assert gradients[0].keys() == gradients[1].keys() == dict(transformer.named_parameters()).keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-3, atol=1e-3 * float(gradient.abs().max()))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_other_documents_do_not_change_a_bit(config: TransformerConfig) -> None:
    transformer, documents = randomised(config), random_documents()
    before = answer(transformer, *documents)
    text = documents[0].text_LE
    assert text is not None
    changed = replace(documents[0], latent_CTHW=documents[0].latent_CTHW + 1, timestep=0.9, text_LE=text + 1)
    after = answer(transformer, changed, *documents[1:])
    num_tokens = len(patchify(documents[0].latent_CTHW, (1, 2, 2)))
    assert torch.equal(before[num_tokens:], after[num_tokens:])
    assert not torch.allclose(before[:num_tokens], after[:num_tokens])


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_text_is_read(config: TransformerConfig) -> None:
    """Its tokens, and not only their mean."""
    transformer, document = randomised(config), random_documents()[0]
    text = document.text_LE
    assert text is not None
    mixed = text.clone()
    mixed[0], mixed[1] = text[0] + 3 * text[2], text[1] - 3 * text[2]
    assert not torch.allclose(answer(transformer, document), answer(transformer, replace(document, text_LE=mixed)))
    assert not torch.allclose(answer(transformer, document), answer(transformer, replace(document, text_LE=None)))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_new_transformer_answers_zero_and_its_parameters_are_counted(config: TransformerConfig) -> None:
    fresh = Transformer(config)
    assert not answer(fresh, *random_documents()).any()
    assert count_parameters(config) == sum(parameter.numel() for parameter in fresh.parameters())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"modulation": "x"}, "modulation = 'x': none of block, shared"),
        ({"text": "x"}, "text = 'x': none of cross, in_context"),
        ({"text": "in_context", "layouts": ("joint", "spatial")}, "text = 'in_context' needs the layout 'joint'"),
    ],
)
def test_what_does_not_go_together_is_refused(changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformerConfig(**SIZES, **changed)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_new_blocks_are_the_identity(config: TransformerConfig) -> None:
    fresh, documents = Transformer(config).requires_grad_(False), random_documents()
    fresh.final.weight.normal_()
    tokens = torch.cat([patchify(document.latent_CTHW, config.patch) for document in documents])
    torch.testing.assert_close(answer(fresh, *documents), fresh.final(layer_norm(fresh.embed(tokens))))


@pytest.mark.parametrize("name", CONFIGS)
def test_what_follows_from_the_geometry_of_a_pack_is_worked_out_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[int] = []
    of_groups = transformer_module.self_attention_buckets
    monkeypatch.setattr(
        transformer_module, "self_attention_buckets", lambda groups: planned.append(len(groups)) or of_groups(groups)
    )
    transformer = randomised(CONFIGS[name])
    pack = pack_documents(random_documents(), transformer.config.patch, transformer.config.text_dim)
    transformer.prepare(pack.geometry, torch.device("cpu"))
    assert len(planned) == 1
    first = transformer(pack)
    noisier = transformer(replace(pack, tokens_NP=pack.tokens_NP + 1, timestep_B=pack.timestep_B / 2))
    assert len(planned) == 1
    assert not torch.equal(first, noisier)
    again = pack_documents(random_documents(), transformer.config.patch, transformer.config.text_dim)
    assert torch.equal(transformer(again), first)
    assert len(planned) == 2


def test_transformers_of_other_layouts_do_not_share_what_they_worked_out() -> None:
    joint, spatial = (randomised(TransformerConfig(**SIZES, layouts=(layout,))) for layout in ("joint", "spatial"))
    documents = random_documents()
    pack = pack_documents(documents, joint.config.patch, joint.config.text_dim)
    of_joint, of_spatial = joint(pack), spatial(pack)
    torch.testing.assert_close(of_joint, answer(joint, *documents))
    torch.testing.assert_close(of_spatial, answer(spatial, *documents))
    in_context = randomised(CONFIGS["block in_context"])
    torch.testing.assert_close(in_context(pack), answer(in_context, *documents))
