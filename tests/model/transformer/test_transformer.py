"""The transformer against one written out for a single document; packs, clean frames, and parameter counts."""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.packing.packs import Document, pack_documents
from model.packing.patches import patchify
from model.transformer.conditioning import timestep_features
from model.transformer.config import TransformerConfig
from model.transformer.transformer import Transformer, count_parameters

CONFIG = TransformerConfig(width=48, depth=3, num_heads=4, text_dim=10, layouts=("joint", "spatial", "temporal"))


@pytest.fixture(scope="module")
def transformer() -> Transformer:
    """Zero-initialised layers would hide everything, so all weights are random."""
    torch.manual_seed(0)
    transformer = Transformer(CONFIG).eval().requires_grad_(False)
    for parameter in transformer.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    return transformer


def random_documents() -> list[Document]:
    generator = torch.Generator().manual_seed(3)
    shapes = [(1, 4, 4), (3, 4, 6), (2, 8, 4), (3, 4, 6)]
    texts = [5, None, 2, 7]
    return [
        Document(
            torch.randn((8, *shape), generator=generator),
            (torch.arange(shape[0]) < i % 2).view(-1, 1, 1),
            timestep=0.2 * (i + 1),
            latent_fps=1.5 + i,
            text_LE=None if length is None else torch.randn((length, 10), generator=generator),
        )
        for i, (shape, length) in enumerate(zip(shapes, texts, strict=True))
    ]


def answer(transformer: Transformer, *documents: Document) -> Tensor:
    return transformer(pack_documents(documents, CONFIG.patch, CONFIG.text_dim))


class WrittenOut:
    """The same network for one document: plain linear algebra on its weights, attention by a dense mask."""

    def __init__(self, transformer: Transformer) -> None:
        self.weights = transformer.state_dict()

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def modulation(self, name: str, condition_ND: Tensor, parts: int) -> tuple[Tensor, ...]:
        return self.linear(name, condition_ND).chunk(parts, dim=1)

    def attention(self, name: str, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, turn) -> Tensor:
        outputs = []
        for q_h, k_h, v_h in zip(q.chunk(4, dim=1), k.chunk(4, dim=1), v.chunk(4, dim=1), strict=True):
            q_h = turn(rms_norm(q_h) * self.weights[f"{name}.query_norm.weight"])
            k_h = turn(rms_norm(k_h) * self.weights[f"{name}.key_norm.weight"])
            scores = (q_h @ k_h.T / math.sqrt(12)).masked_fill(~mask, -math.inf)
            outputs.append(scores.softmax(dim=1) @ v_h)
        return self.linear(f"{name}.to_out", torch.cat(outputs, dim=1))

    def block(self, i: int, x: Tensor, condition: Tensor, text: Tensor, mask: Tensor, turn) -> Tensor:
        name = f"blocks.{i}"
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(f"{name}.modulation", condition, 6)
        q, k, v = self.linear(f"{name}.attention.to_qkv", layer_norm(x) * (1 + scale1) + shift1).chunk(3, dim=1)
        x = x + gate1 * self.attention(f"{name}.attention", q, k, v, mask, turn)
        h = layer_norm(x) * self.weights[f"{name}.text_norm.weight"] + self.weights[f"{name}.text_norm.bias"]
        q = self.linear(f"{name}.text_attention.to_q", h)
        k, v = self.linear(f"{name}.text_attention.to_kv", text).chunk(2, dim=1)
        everything = torch.ones(len(q), len(k), dtype=torch.bool)
        x = x + self.attention(f"{name}.text_attention", q, k, v, everything, lambda part: part)
        h = self.linear(f"{name}.mlp.0", layer_norm(x) * (1 + scale2) + shift2)
        return x + gate2 * self.linear(f"{name}.mlp.2", F.gelu(h, approximate="tanh"))

    def __call__(self, document: Document) -> Tensor:
        _, T, H, W = document.latent_CTHW.shape
        places = torch.tensor(list(product(range(T), range(H // 2), range(W // 2))))
        null, text_LE = self.weights["text.null"], document.text_LE
        if text_LE is None:
            text, mean = null, null[0]
        else:
            normed = text_LE / (text_LE.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
            text = self.linear("text.project", normed * self.weights["text.norm.weight"])
            mean = text.mean(dim=0)
        level = torch.where(document.given_THW.view(-1), 0.0, document.timestep)[places[:, 0]]
        hidden = F.silu(self.linear("timestep.layers.0", timestep_features(level)))
        condition = F.silu(self.linear("timestep.layers.2", hidden) + self.linear("text.pool", mean))
        seconds = places[:, 0] / document.latent_fps
        frame, place = (places[:, None, :1] == places[:, :1])[..., 0], (places[:, None, 1:] == places[:, 1:]).all(dim=2)
        masks = (torch.ones_like(frame), frame, place)
        x = self.linear("embed", patchify(document.latent_CTHW, (1, 2, 2)))
        for i, mask in enumerate(masks):
            x = self.block(i, x, condition, text, mask, lambda part: turned(part, seconds, places))
        shift, scale = self.modulation("final_modulation", condition, 2)
        return self.linear("final", layer_norm(x) * (1 + scale) + shift)


def rms_norm(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()


def layer_norm(x: Tensor) -> Tensor:
    return (x - x.mean(dim=1, keepdim=True)) / (x.var(dim=1, keepdim=True, unbiased=False) + 1e-6).sqrt()


def turned(x_Nd: Tensor, seconds_N: Tensor, places_N3: Tensor) -> Tensor:
    """Rotary positions of a head of 12 channels: two pairs each for time, row and column."""
    axes = (4.0 * seconds_N, places_N3[:, 1].float(), places_N3[:, 2].float())
    phase_Nr = torch.stack([axis / 10_000 ** (i / 2) for axis in axes for i in range(2)], dim=1)
    pairs = torch.view_as_complex(x_Nd.unflatten(1, (-1, 2)).contiguous()) * torch.polar(torch.ones(()), phase_Nr)
    return torch.view_as_real(pairs).flatten(1)


@pytest.mark.parametrize("i", range(4))
def test_a_document_is_answered_as_by_the_network_written_out(transformer, i):
    document = random_documents()[i]
    torch.testing.assert_close(answer(transformer, document), WrittenOut(transformer)(document), rtol=1e-3, atol=1e-4)


def test_packed_equals_unpacked(transformer):
    documents = random_documents()
    alone = [answer(transformer, document) for document in documents]
    torch.testing.assert_close(answer(transformer, *documents), torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_every_input_matters_to_its_own_document_only(transformer):
    documents = random_documents()

    def answers(changed: Document) -> list[Tensor]:
        lengths = [4, 18, 16, 18]
        return list(answer(transformer, documents[0], changed, *documents[2:]).split(lengths))

    before, document = answers(documents[1]), documents[1]
    for change in (
        {"timestep": 0.9},
        {"latent_fps": 30.0},
        {"text_LE": torch.ones(3, 10)},
        {"given_THW": torch.tensor([False, False, True]).view(3, 1, 1)},
        {"latent_CTHW": document.latent_CTHW + 1},
    ):
        after = answers(replace(document, **change))
        assert not torch.allclose(before[1], after[1], atol=1e-4), change
        for i in (0, 2, 3):
            torch.testing.assert_close(before[i], after[i], rtol=1e-4, atol=1e-5)


def test_clean_frames_are_seen_at_timestep_zero(transformer):
    """A document whose frames are all clean is answered alike whatever its timestep."""
    document = random_documents()[1]
    clean = replace(document, given_THW=torch.ones(3, 1, 1, dtype=torch.bool))
    noisy_at_zero = replace(document, given_THW=torch.zeros(3, 1, 1, dtype=torch.bool), timestep=0.0)
    assert torch.equal(answer(transformer, clean), answer(transformer, replace(clean, timestep=0.1)))
    torch.testing.assert_close(answer(transformer, clean), answer(transformer, noisy_at_zero))


def test_a_fresh_transformer_answers_zero_and_its_blocks_pass_tokens_on():
    fresh = Transformer(CONFIG)
    assert not answer(fresh, *random_documents()).any()
    fresh.final.weight.data.normal_()
    documents = random_documents()
    tokens = torch.cat([patchify(d.latent_CTHW, CONFIG.patch) for d in documents])
    torch.testing.assert_close(answer(fresh, *documents), fresh.final(layer_norm(fresh.embed(tokens))))


def test_layouts_are_repeated_over_the_depth(transformer):
    """Without layouts of frames or places in the second and third block, another answer."""
    joint = Transformer(replace(CONFIG, layouts=("joint",))).requires_grad_(False)
    joint.load_state_dict(transformer.state_dict())
    longer = Transformer(replace(CONFIG, layouts=("joint", "spatial"))).requires_grad_(False)
    longer.load_state_dict(transformer.state_dict())
    image, clip = random_documents()[0], random_documents()[1]
    assert not torch.allclose(answer(joint, clip), answer(transformer, clip), atol=1e-4)
    assert not torch.allclose(answer(joint, clip), answer(longer, clip), atol=1e-4)
    torch.testing.assert_close(answer(joint, image), answer(longer, image))  # one frame: all that is in it


def test_the_default_is_a_small_transformer_for_the_built_in_encoders():
    config = TransformerConfig()
    assert (config.width, config.depth, config.num_heads, config.mlp_ratio) == (192, 6, 6, 4.0)
    assert (config.patch, config.latent_channels, config.text_dim) == ((1, 2, 2), 8, 64)
    assert TransformerConfig(patch=(2, 4, 3), latent_channels=5).patch_values == 5 * 2 * 4 * 3


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        TransformerConfig(),
        TransformerConfig(width=128, depth=4, num_heads=2, patch=(2, 4, 3), mlp_ratio=2.5, latent_channels=5),
        TransformerConfig(answer_factor=2),
    ],
)
def test_parameters_are_counted_by_formula(config):
    with torch.device("meta"):
        assert sum(p.numel() for p in Transformer(config).parameters()) == count_parameters(config)


def test_dit_xl_has_its_published_number_of_parameters():
    """DiT-XL/2 (Peebles & Xie 2023) is this network without texts and norms of queries and keys, and with a table of
    positions, one of labels, and a second output for the variance."""
    D = 1152
    with torch.device("meta"):
        transformer = Transformer(TransformerConfig(width=D, depth=28, num_heads=16, latent_channels=4))
    ours_only = ("text.", ".text_attention.", ".text_norm.", ".query_norm.", ".key_norm.")
    shared = sum(
        p.numel() for name, p in transformer.named_parameters() if not any(part in f".{name}" for part in ours_only)
    )
    positions, labels, variance = 256 * D, 1001 * D, D * 16 + 16
    assert shared + positions + labels + variance == 675_129_632


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="num_heads = 5"):
        TransformerConfig(width=48, num_heads=5)
    with pytest.raises(ValueError, match="head dimension"):
        TransformerConfig(width=48, num_heads=12)


def test_bfloat16_autocast_is_close(transformer):
    documents = random_documents()
    full = answer(transformer, *documents)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = answer(transformer, *documents)
    assert (half.float() - full).square().mean() < 1e-3 * full.square().mean()
