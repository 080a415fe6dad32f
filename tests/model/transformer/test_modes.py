"""Ways of conditioning: shared modulation against that of each block, and text in the sequence written out."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.packing.packs import Document, LoneFrame, pack_documents
from model.packing.patches import patchify
from model.transformer import plans
from model.transformer.conditioning import timestep_features
from model.transformer.config import TransformerConfig
from model.transformer.transformer import Transformer, count_parameters
from tests.model.transformer.test_transformer import WrittenOut, layer_norm, random_documents, rms_norm, turned

SIZES = {"width": 48, "depth": 3, "num_heads": 4, "text_dim": 10}
CONFIGS = {
    f"{modulation} {text}": TransformerConfig(**SIZES, modulation=modulation, text=text)
    for modulation, text in product(("block", "shared"), ("cross", "in_context"))
}
FACTS = ("height", "width", "frame_rate", "duration", "motion")
CHOICES: dict[str, dict[str, Any]] = {
    "window": {"layouts": ("window", "shifted_window")},
    "neighbourhood": {"layouts": ("neighbourhood",)},
    "factorised heads": {"layouts": ("spatial+temporal",)},
    "means of frames": {"layouts": ("spatial", "frames")},
    "time attention": {"layouts": ("spatial",), "time_attention": True},
    "adaln": {"conditioning": "adaln"},
    "adaln, shared": {"conditioning": "adaln", "modulation": "shared"},
    "conditioning by attention": {"conditioning": "cross"},
    "conditioning by attention alone": {"conditioning": "cross", "text": "none"},
    "conditioning in the sequence": {"conditioning": "in_context", "text": "in_context"},
    "joint text": {"text": "joint"},
    "joint text, shared": {"text": "joint", "modulation": "shared", "registers": 2},
    "refined text": {"text_refiner": 2, "text_projection": "mlp", "pooled_text": False},
    "facts": {"conditions": FACTS, "num_labels": 3},
    "norm over all channels": {"qk_norm": "width", "final": "table"},
    "no norm": {"qk_norm": "none", "positions": "frames", "rotary_dims": (4, 4, 4)},
    "added positions": {"positions": "sincos", "layouts": ("spatial", "temporal")},
    "added positions in time": {"positions": "sincos_time"},
    "no positions": {"positions": "none"},
    "registers": {"registers": 3, "text": "in_context"},
    "long skips": {"long_skips": True, "depth": 5},
    "two answers": {"answer_factor": 2},
}
CONFIGS |= {name: replace(TransformerConfig(**SIZES), **changed) for name, changed in CHOICES.items()}


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
        levels = torch.where(document.given_THW.view(-1), 0.0, document.timestep)[places[:, 0]]
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
        atol = max(1e-3 * float(gradient.abs().max()), 1e-5)  # of queries over one key it is noise about 0
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-3, atol=atol)


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
    if config.text == "none":
        return
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
    found = answer(fresh, *random_documents())
    assert not found.any()
    assert found.shape[1] == config.answer_factor * config.patch_values
    assert count_parameters(config) == sum(parameter.numel() for parameter in fresh.parameters())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"modulation": "x"}, "modulation = 'x': none of block, shared"),
        ({"text": "x"}, "text = 'x': none of cross, in_context, joint, none"),
        ({"text": "in_context", "layouts": ("joint", "spatial")}, "text = 'in_context' needs the layout 'joint'"),
        ({"text": "joint", "time_attention": True}, "text = 'joint' needs the layout 'joint'"),
        ({"registers": 1, "layouts": ("frames",)}, "registers needs the layout 'joint'"),
        ({"conditioning": "in_context", "layouts": ("window",)}, "conditioning = 'in_context' needs the layout"),
        ({"conditioning": "cross", "text": "joint"}, "conditioning = 'cross' goes with text = 'cross' or 'none'"),
        ({"conditioning": "cross", "modulation": "shared"}, "conditioning = 'cross' has no modulation"),
        ({"conditions": ("size",)}, "conditions: 'size' is none of height, width, frame_rate, duration, motion"),
        ({"layouts": ("x",)}, "layouts: 'x' is not known"),
        ({"layouts": ("spatial+temporal+joint",)}, "does not divide 4 heads evenly"),
        ({"rotary_dims": (4, 4, 2)}, "rotary_dims = .* not 3 even numbers that sum to the 12 of a head"),
        ({"rotary_dims": (4, 8)}, "rotary_dims = .* not 3 even numbers"),
        ({"long_skips": True, "layouts": ("frames",)}, "long_skips does not go with the layout 'frames'"),
    ],
)
def test_what_does_not_go_together_is_refused(changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformerConfig(**SIZES, **changed)


GATED = [
    name
    for name, config in CONFIGS.items()
    if config.conditioning == "adaln_zero" and config.final == "linear" and config.is_rotary and not config.long_skips
]


@pytest.mark.parametrize("name", GATED)
def test_new_blocks_are_the_identity(name: str) -> None:
    config = CONFIGS[name]
    fresh, documents = Transformer(config).requires_grad_(False), random_documents()
    fresh.final.weight.normal_()
    tokens = torch.cat([patchify(document.latent_CTHW, config.patch) for document in documents])
    torch.testing.assert_close(answer(fresh, *documents), fresh.final(layer_norm(fresh.embed(tokens))))


@pytest.mark.parametrize("name", ["block cross", "shared in_context", "joint text", "refined text"])
def test_what_follows_from_the_geometry_of_a_pack_is_worked_out_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[int] = []
    of_layout = plans.buckets_of
    monkeypatch.setattr(plans, "buckets_of", lambda layout, at: planned.append(len(at)) or of_layout(layout, at))
    transformer = randomised(CONFIGS[name])
    pack = pack_documents(random_documents(), transformer.config.patch, transformer.config.text_dim)
    transformer.prepare(pack.table, torch.device("cpu"))
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


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_order_of_documents_does_not_matter(config: TransformerConfig) -> None:
    transformer, documents = randomised(config), random_documents()
    lengths = [len(patchify(document.latent_CTHW, config.patch)) for document in documents]
    forwards = answer(transformer, *documents).split(lengths)
    backwards = answer(transformer, *documents[::-1]).split(lengths[::-1])
    for one, other in zip(forwards, backwards[::-1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_noise_level_and_what_is_clean_are_read(config: TransformerConfig) -> None:
    transformer, document = randomised(config), random_documents()[1]
    first = answer(transformer, document)
    num_clean = int(document.given_THW.sum()) * 2 * 3
    for changed in (
        replace(document, timestep=0.9),
        replace(document, given_THW=torch.zeros(3, 1, 1, dtype=torch.bool)),
    ):
        other = answer(transformer, changed)
        assert not torch.allclose(first[num_clean:], other[num_clean:], atol=1e-4)


def test_facts_of_a_document_are_told_to_it_alone() -> None:
    transformer, documents = randomised(CONFIGS["facts"]), random_documents()
    first = answer(transformer, *documents)
    told = [replace(documents[0], told={"motion": 3.0}), replace(documents[0], told={"label": 1}), documents[0]]
    others = [answer(transformer, one, *documents[1:]) for one in told]
    num_tokens = len(patchify(documents[0].latent_CTHW, (1, 2, 2)))
    assert torch.equal(first, others[2])
    for other in others[:2]:
        assert torch.equal(first[num_tokens:], other[num_tokens:])
        assert not torch.allclose(first[:num_tokens], other[:num_tokens], atol=1e-4)


@pytest.mark.parametrize("layouts", [("joint",), ("spatial", "temporal"), ("neighbourhood",), ("spatial", "frames")])
def test_frames_on_their_own_are_tokens_beside_those_of_the_clip(layouts: tuple[str, ...]) -> None:
    config = TransformerConfig(**SIZES, layouts=layouts, lone_frames=True)
    transformer, clip = randomised(config), random_documents()[3]
    last = LoneFrame(torch.randn(8, 4, 6), 2 / clip.latent_fps)
    given = replace(clip, frames=(last,))
    alone, with_frame = answer(transformer, clip), answer(transformer, given)
    assert len(with_frame) == len(alone) + 6
    assert not torch.allclose(alone, with_frame[: len(alone)], atol=1e-4)
    moved = replace(clip, frames=(replace(last, seconds=0.0),))
    assert not torch.allclose(with_frame, answer(transformer, moved), atol=1e-4)
    marked = answer(transformer, given)
    change = torch.randn_like(transformer.frame_mark)
    with torch.no_grad():
        transformer.frame_mark.add_(change)
    assert not torch.allclose(marked, answer(transformer, given), atol=1e-4)
    torch.testing.assert_close(alone, answer(transformer, clip))
    with torch.no_grad():
        transformer.frame_mark.sub_(change)
    packed = answer(transformer, given, clip, given)
    torch.testing.assert_close(packed, torch.cat([with_frame, alone, with_frame]), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="lone_frames is off"):
        answer(randomised(replace(config, lone_frames=False)), given)


def test_long_skips_bring_back_what_went_into_the_first_half() -> None:
    transformer = randomised(CONFIGS["long skips"])
    outputs, read = {}, {}
    for number, block in enumerate(transformer.blocks):
        block.register_forward_hook(lambda _, __, out, number=number: outputs.update({number: out}))
    for number, skip in enumerate(transformer.skips):
        skip.register_forward_pre_hook(lambda _, given, number=number: read.update({number: given[0]}))
    answer(transformer, random_documents()[1])
    for number, of_block in ((0, (2, 1)), (1, (3, 0))):
        assert torch.equal(read[number], torch.cat([outputs[block] for block in of_block], dim=1))
    first = answer(transformer, random_documents()[0])
    with torch.no_grad():
        for skip in transformer.skips:
            skip.weight[:, SIZES["width"] :] = 0
    assert not torch.allclose(first, answer(transformer, random_documents()[0]), atol=1e-4)
