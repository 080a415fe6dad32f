"""Which tokens are left out and which are routed: a share, of those that may be, drawn from seed, sample and epoch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from model.diffusion.objectives import Objective
from model.diffusion.timesteps import Density
from model.packing.packs import Document, LoneFrame, clip_tokens, pack_documents
from model.packing.patches import patchify
from model.packing.tokens import Kind
from model.training.examples import Example, Sample, document_losses, draw_example, noised_example, pack_examples
from model.training.masks import NO_MASKS, Masks, route_of
from model.transformer.routing import Route
from schemas.recipe.train import ModelConfig, RoutingConfig, TaskMix, TrainConfig
from tests.model.training.drawn import STATISTICS, TEXT_DIM

PATCH = (1, 2, 2)
NOTHING = torch.zeros(1, 1, 1, dtype=torch.bool)
FIRST_FRAME = torch.tensor([True, False, False]).view(3, 1, 1)


def document(given_THW: Tensor = NOTHING, shape: tuple[int, ...] = (4, 3, 8, 12)) -> Document:
    return Document(torch.randn(shape), given_THW, 0.5, 2.0, None)


def masked(masks: Masks, of: Document, patch: tuple[int, int, int] = PATCH, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Which tokens remain, and which are routed."""
    found = masks.over(of, patch, torch.Generator().manual_seed(seed))
    assert found.kept_N is not None
    assert found.routed_N is not None
    return found.kept_N, found.routed_N


def test_a_share_of_the_tokens_is_left_out_and_a_share_of_the_others_routed() -> None:
    kept_N, routed_N = masked(Masks(0.25, 0.5), document())
    assert len(kept_N) == 72
    assert int(kept_N.sum()) == 54
    assert int(routed_N.sum()) == 27
    assert not (routed_N & ~kept_N).any()
    only_routed = masked(Masks(routed=0.4), document())
    assert (int(only_routed[0].sum()), int(only_routed[1].sum())) == (72, 29)
    only_dropped = masked(Masks(dropped=0.4), document())
    assert (int(only_dropped[0].sum()), int(only_dropped[1].sum())) == (43, 0)


def test_without_shares_a_document_is_as_it_was() -> None:
    of = document()
    assert NO_MASKS.over(of, PATCH, torch.Generator()) is of


def test_every_token_is_left_out_and_routed_as_often_as_others() -> None:
    of, draws = document(), 600
    found = [masked(Masks(0.25, 0.5), of, seed=seed) for seed in range(draws)]
    for times_N, expected in (
        (sum((~kept_N).int() for kept_N, _ in found), 0.25),
        (sum(routed_N.int() for _, routed_N in found), 0.375),
    ):
        assert isinstance(times_N, Tensor)
        assert (times_N / draws - expected).abs().max() < 0.09  # four deviations and more


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_one_token_at_least_remains_and_goes_through_all_blocks(share: float) -> None:
    kept_N, routed_N = masked(Masks(share, share), document(shape=(4, 1, 2, 2)))
    assert (kept_N.tolist(), routed_N.tolist()) == ([True], [False])
    kept_N, routed_N = masked(Masks(share, share), document(shape=(4, 1, 4, 4)))
    assert (int(kept_N.sum()), int(routed_N.sum())) == ((2, 1) if share == 0.5 else (1, 0))


def test_what_is_given_stays_and_something_to_denoise_too() -> None:
    """Of a token that is given in part, nothing is taken away either."""
    kept_N, _ = masked(Masks(0.99), document(FIRST_FRAME))
    assert kept_N[:24].all()
    assert int(kept_N[24:].sum()) == 1
    of_two_frames = document(torch.tensor([True, True, True, False, False, False]).view(6, 1, 1), (4, 6, 4, 4))
    kept_N, _ = masked(Masks(0.5), of_two_frames, (2, 2, 2))
    assert kept_N[:8].all()  # the second four are given in part
    assert int(kept_N[8:].sum()) == 2
    in_part = document(torch.tensor([True, False]).view(2, 1, 1), (4, 2, 4, 4))
    assert masked(Masks(0.5), in_part, (2, 2, 2))[0].all()


def test_given_tokens_may_be_routed() -> None:
    _, routed_N = masked(Masks(routed=0.9), document(FIRST_FRAME))
    assert routed_N[:24].any()


def test_a_token_that_is_left_out_is_no_row_and_the_others_are_where_they_were() -> None:
    of = document(FIRST_FRAME)
    frame = LoneFrame(torch.randn(4, 8, 12), 1.0)
    left = Masks(0.5, 0.3).over(replace(of, frames=(frame,)), PATCH, torch.Generator().manual_seed(0))
    whole, pack = (pack_documents([one, of], PATCH, TEXT_DIM) for one in (replace(of, frames=(frame,)), left))
    assert left.kept_N is not None
    assert left.routed_N is not None
    rows = torch.cat([left.kept_N, torch.ones(24 + 72, dtype=torch.bool)]).numpy()
    assert pack.table.lengths == [int(left.kept_N.sum()) + 24, 72]
    for name in ("document_N", "place_N3", "seconds_N", "kind_N", "clean_N"):
        assert np.array_equal(getattr(pack.table, name), getattr(whole.table, name)[rows]), name
    assert torch.equal(pack.tokens_NP, whole.tokens_NP[rows])
    assert torch.equal(pack.given_NP, whole.given_NP[rows])
    assert torch.equal(pack.conditions_BK.nan_to_num(), whole.conditions_BK.nan_to_num())
    expected = [*left.routed_N[left.kept_N].tolist(), *[False] * (24 + 72)]
    assert pack.table.routed_N.tolist() == expected
    assert not whole.table.routed_N.any()
    kinds = pack.table.kind_N[clip_tokens(pack).numpy()]
    assert (kinds == Kind.CLIP).all()


def test_the_loss_is_the_mean_over_what_remained_and_is_not_given() -> None:
    examples = [
        noised_example(Objective(), torch.randn(4, 3, 4, 4), 2.0, None, given, 0.5, torch.Generator())
        for given in (NOTHING, FIRST_FRAME)
    ]
    examples = [
        replace(one, document=Masks(0.5, 0.5).over(one.document, PATCH, torch.Generator().manual_seed(i)))
        for i, one in enumerate(examples)
    ]
    pack, targets = pack_examples(examples, PATCH, TEXT_DIM)
    assert pack.table.lengths == [6, 4 + 4]
    expected = torch.cat([patchify(one.target_CTHW, PATCH)[one.document.kept_N] for one in examples])
    assert torch.equal(targets.answer_NP, expected)
    answer = targets.answer_NP.clone()
    answer[6:10] += 100.0  # given
    answer[0] += 3.0
    answer[10:12] += 2.0
    assert document_losses(answer, targets, pack).tolist() == pytest.approx([9.0 / 6, 4.0 / 2])


TASKS = TaskMix(1, 0, 0, 0)


def drawn(seed: int = 0, name: str = "a", epoch: int = 0, masks: Masks = Masks(0.5, 0.5)) -> Example:  # noqa: B008
    latent = np.random.default_rng(0).standard_normal((4, 3, 8, 12)).astype(np.float16)
    settings = {"patch": PATCH, "text_drop": 0.0, "tasks": TASKS, "masks": masks}
    return draw_example(
        Sample(name, latent, [], 2.0), STATISTICS, Objective(), Density(), seed=seed, epoch=epoch, **settings
    )


def test_tokens_are_a_function_of_seed_sample_and_epoch() -> None:
    first, again = drawn().document, drawn().document
    assert first.kept_N is not None
    assert first.routed_N is not None
    assert again.kept_N is not None
    assert torch.equal(first.kept_N, again.kept_N)
    assert torch.equal(first.routed_N, again.routed_N)  # type: ignore[arg-type]
    for other in (drawn(seed=1), drawn(name="b"), drawn(epoch=1)):
        assert not torch.equal(first.kept_N, other.document.kept_N)  # type: ignore[arg-type]
        assert not torch.equal(first.routed_N, other.document.routed_N)  # type: ignore[arg-type]


def test_noise_and_level_are_those_of_the_sample_without_masks() -> None:
    with_masks, without = drawn(), drawn(masks=NO_MASKS)
    assert torch.equal(with_masks.target_CTHW, without.target_CTHW)
    assert torch.equal(with_masks.document.latent_CTHW, without.document.latent_CTHW)
    assert with_masks.document.timestep == without.document.timestep
    assert without.document.kept_N is without.document.routed_N is None


def test_shares_and_blocks_are_those_of_the_recipe() -> None:
    config = TrainConfig(token_drop=0.25, routing=RoutingConfig(0.5, 2, 3))
    assert Masks.of(config) == Masks(0.25, 0.5)
    assert route_of(config) == Route(2, 3)
    assert route_of(TrainConfig(model=ModelConfig(depth=1))) is None  # as nothing is routed
    with pytest.raises(ValueError, match=r"^routing\.last_block = 4: must be below 3, as the last block sees all"):
        route_of(TrainConfig(routing=RoutingConfig(0.5), model=ModelConfig(depth=4)))
    with pytest.raises(ValueError, match=r"^routing\.last_block = 3: with long_skips it must be 4"):
        route_of(TrainConfig(routing=RoutingConfig(0.5, 1, 3), model=ModelConfig(long_skips=True)))
