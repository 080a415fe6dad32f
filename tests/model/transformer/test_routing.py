"""Tokens that go past blocks: untouched there, seen by nobody, and with the others again behind; tokens left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from model.packing.packs import Document, Pack, pack_documents
from model.packing.tokens import Kind
from model.training.masks import Masks
from model.transformer import plans
from model.transformer.config import TransformerConfig
from model.transformer.routing import Route
from model.transformer.transformer import Transformer
from tests.model.transformer.test_modes import CONFIGS, SIZES, randomised
from tests.model.transformer.test_transformer import random_documents

PATCH = (1, 2, 2)


def masked(dropped: float = 0.3, routed: float = 0.5) -> list[Document]:
    return [
        Masks(dropped, routed).over(document, PATCH, torch.Generator().manual_seed(number))
        for number, document in enumerate(random_documents())
    ]


def packed(transformer: Transformer, *documents: Document) -> Pack:
    return pack_documents(documents, PATCH, transformer.config.text_dim)


def route_of(config: TransformerConfig) -> Route:
    """Past all blocks but the first and the last."""
    return Route(1, config.depth - 2)


@contextmanager
def streams(transformer: Transformer) -> Iterator[dict[str, Tensor]]:
    """What goes into each block, and what comes out of the last, by number."""
    seen: dict[str, Tensor] = {}
    hooks = [
        block.register_forward_pre_hook(lambda _, given, i=i: seen.update({f"into {i}": given[0]}))
        for i, block in enumerate(transformer.blocks)
    ]
    yield seen
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_packed_documents_are_as_one_by_one_in_outputs_and_gradients(config: TransformerConfig) -> None:
    transformer, documents, route = randomised(config), masked(), route_of(config)
    answers, gradients = [], []
    for packs in ([documents], [[document] for document in documents]):
        transformer.zero_grad()
        parts = [transformer(packed(transformer, *pack), route) for pack in packs]
        torch.cat(parts).square().sum().backward()
        answers.append(torch.cat(parts).detach())
        gradients.append({name: p.grad.clone() for name, p in transformer.named_parameters() if p.grad is not None})
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-5)
    assert gradients[0].keys() == gradients[1].keys() == dict(transformer.named_parameters()).keys()
    for name, gradient in gradients[0].items():
        atol = max(1e-3 * float(gradient.abs().max()), 1e-5)
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-3, atol=atol)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_without_a_token_that_is_routed_a_route_changes_no_bit(config: TransformerConfig) -> None:
    transformer, documents = randomised(config), random_documents()
    found = []
    for pack, route in (
        (packed(transformer, *documents), None),
        (packed(transformer, *documents), route_of(config)),
        (packed(transformer, *masked(0.0, 0.0)), route_of(config)),
        (packed(transformer, *masked(0.0, 0.5)), None),  # as in sampling, where there is no route
    ):
        transformer.zero_grad()
        answer = transformer(pack, route)
        answer.square().sum().backward()
        found.append([answer.detach(), *(p.grad.clone() for p in transformer.parameters())])
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


PLAIN = [name for name, config in CONFIGS.items() if "frames" not in config.layouts and not config.long_skips]


@pytest.mark.parametrize("name", PLAIN)
def test_tokens_go_past_blocks_untouched_and_the_others_do_not_see_them(name: str) -> None:
    """The others are as if those were not there; and then all are together again."""
    config = replace(CONFIGS[name], depth=4)
    transformer, documents = randomised(config).requires_grad_(False), masked(0.0, 0.5)
    pack = packed(transformer, *documents)
    routed_V = torch.from_numpy(pack.table.routed_N)
    assert 0 < int(routed_V.sum()) < len(routed_V)
    with streams(transformer) as seen:
        transformer(pack, Route(0, 1))
    start, joined, end = seen["into 0"], seen["into 2"], seen["into 3"]
    without = packed(transformer, *(replace(document, kept_N=~document.routed_N) for document in documents))
    with streams(transformer) as alone:
        transformer(without)
    num_added = len(joined) - len(routed_V)
    through_N = torch.cat([~routed_V, torch.ones(num_added, dtype=torch.bool)])
    assert len(end) == len(joined)
    torch.testing.assert_close(start, alone["into 0"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(joined[through_N], alone["into 2"], rtol=1e-4, atol=1e-5)
    with streams(transformer) as whole:
        transformer(pack)
    assert torch.equal(joined[~through_N], whole["into 0"][~through_N])
    assert not torch.allclose(end[~through_N], joined[~through_N], atol=1e-4)


def test_of_tokens_that_go_past_the_gradient_is_that_of_the_identity() -> None:
    """Their values reach the block behind by nothing else, and change nothing of the others there."""
    config = replace(CONFIGS["block cross"], depth=4)
    transformer, documents = randomised(config).requires_grad_(False), masked(0.0, 0.5)
    pack = packed(transformer, *documents)
    routed_N = torch.from_numpy(pack.table.routed_N)
    tokens_NP = pack.tokens_NP.clone().requires_grad_()
    with streams(transformer) as seen:
        transformer(replace(pack, tokens_NP=tokens_NP), Route(0, 2))
    (of_others,) = torch.autograd.grad(seen["into 3"][~routed_N].square().sum(), tokens_NP, retain_graph=True)
    assert not of_others[routed_N].any()
    (of_routed,) = torch.autograd.grad(seen["into 3"][routed_N].sum(), tokens_NP)
    assert not of_routed[~routed_N].any()
    expected = transformer.embed.weight.sum(dim=0).expand_as(of_routed[routed_N])
    torch.testing.assert_close(of_routed[routed_N], expected)


def test_means_of_frames_are_over_tokens_that_go_through() -> None:
    config = TransformerConfig(**{**SIZES, "depth": 4}, layouts=("spatial", "frames", "frames", "spatial"))
    transformer, documents = randomised(config).requires_grad_(False), masked(0.0, 0.5)
    with streams(transformer) as seen:
        transformer(packed(transformer, *documents), Route(0, 1))
    with streams(transformer) as alone:
        transformer(packed(transformer, *(replace(document, kept_N=~document.routed_N) for document in documents)))
    torch.testing.assert_close(seen["into 1"], alone["into 1"], rtol=1e-4, atol=1e-5)


def test_long_skips_go_from_and_to_the_tokens_of_a_block() -> None:
    config = replace(CONFIGS["long skips"], depth=5)
    transformer, documents = randomised(config), masked()
    route = Route(1, 3)
    route.require_fit(config.depth, long_skips=True)
    read = {}
    for number, skip in enumerate(transformer.skips):
        skip.register_forward_pre_hook(lambda _, given, number=number: read.update({number: len(given[0])}))
    pack = packed(transformer, *documents)
    transformer(pack, route)
    assert read == {0: int((~pack.table.routed_N).sum()), 1: len(pack.table.routed_N)}


def test_plans_are_of_the_tokens_and_layouts_of_a_route_and_are_made_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[tuple[str, int]] = []
    of_layout = plans.buckets_of
    monkeypatch.setattr(
        plans, "buckets_of", lambda layout, at: planned.append((layout, len(at))) or of_layout(layout, at)
    )
    config = TransformerConfig(**{**SIZES, "depth": 4}, layouts=("spatial", "window", "joint", "temporal"))
    transformer, route = randomised(config), Route(1, 2)
    pack = packed(transformer, *masked())
    transformer.prepare(pack.table, torch.device("cpu"), route)
    all_tokens, through = len(pack.table.routed_N), int((~pack.table.routed_N).sum())
    of_all = [(layout, all_tokens) for layout in ("joint", "spatial", "temporal", "window")]
    assert sorted(planned) == sorted([*of_all, ("joint", through), ("window", through)])
    transformer(pack, route)
    assert len(planned) == 6
    transformer(pack)
    assert len(planned) == 10  # another route, another plan


def test_only_tokens_of_the_clip_leave() -> None:
    config = CONFIGS["registers"]
    transformer = randomised(config)
    pack = packed(transformer, *masked(0.0, 0.9))
    prepared = transformer.prepare(pack.table, torch.device("cpu"), Route(1, 1))
    assert prepared.through is not None
    num_clip = len(pack.table.kind_N)
    rows = prepared.through.rows_K.numpy()
    assert np.array_equal(rows[rows < num_clip], np.flatnonzero(~pack.table.routed_N))
    added = len(prepared.every.tokens.row_N) - num_clip
    assert np.array_equal(rows[rows >= num_clip], np.arange(num_clip, num_clip + added))
    assert (pack.table.kind_N == Kind.CLIP).all()


def test_routed_tokens_keep_the_precision_of_the_others() -> None:
    transformer, documents = randomised(CONFIGS["block cross"]).requires_grad_(False), masked()
    pack = packed(transformer, *documents)
    full = transformer(pack, Route(1, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = transformer(pack, Route(1, 1))
    assert (half.float() - full).square().mean() < 1e-3 * full.square().mean()


@pytest.mark.parametrize(
    ("blocks", "depth", "long_skips", "message"),
    [
        ((3, 2), 6, False, "last_block = 2: comes before first_block = 3"),
        ((1, 5), 6, False, "last_block = 5: must be below 5, as the last block sees all"),
        (
            (1, 3),
            6,
            True,
            "last_block = 3: with long_skips it must be 4, as far from the last block as first_block = 1",
        ),
    ],
)
def test_a_route_that_a_transformer_does_not_have_is_refused(
    blocks: tuple[int, int], depth: int, long_skips: bool, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Route(*blocks).require_fit(depth, long_skips=long_skips)


def test_a_route_may_begin_at_the_first_block_and_be_one_block_long() -> None:
    Route(0, 0).require_fit(2)
    Route(4, 4).require_fit(6)
    Route(1, 4).require_fit(6, long_skips=True)
