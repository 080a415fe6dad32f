"""Helper heads: which object a visual token belongs to, and a loss over the questions that have an answer."""

import pytest
import torch
import torch.nn.functional as F

from model.readers.captioner_heads import NO_LABEL, TokenHeads, covering_object, heads_loss

NOT_THERE = float("nan")


def owners(centres: list, radii: list[float], grid_hw: tuple[int, int]) -> tuple[list[int], torch.Tensor]:
    """Owner of each token of 16 px in one slice of one clip, and the offsets."""
    owner, offset = covering_object(torch.tensor([[centres]]), torch.tensor([radii]), grid_hw, 16)
    return owner[0, 0].tolist(), offset[0, 0]


def test_tokens_belong_to_the_object_over_them():
    """The first over the top left token, the second over the last of the second row."""
    owner, offset = owners([[8.0, 8.0], [40.0, 22.0]], [6.0, 6.0], (2, 3))
    assert owner == [0, -1, -1, -1, -1, 1]
    assert offset[5].tolist() == pytest.approx([0.0, -2 / 16])
    assert offset[0].tolist() == [0.0, 0.0]


def test_a_disc_must_reach_the_inner_half_of_a_token():
    """The token's centre is 16 px from the object's, and its inner half begins 4 px nearer."""
    assert owners([[24.0, 8.0]], [12.5], (1, 1))[0] == [0]
    assert owners([[24.0, 8.0]], [12.0], (1, 1))[0] == [-1]
    assert owners([[24.0, 8.0]], [11.5], (1, 1))[0] == [-1]


def test_of_two_objects_the_one_that_reaches_further_over_the_token_owns_it():
    assert owners([[12.0, 8.0], [20.0, 8.0]], [2.0, 12.0], (1, 1))[0] == [1]
    assert owners([[12.0, 8.0], [20.0, 8.0]], [2.0, 8.0], (1, 1))[0] == [0]


def test_an_object_that_is_not_there_owns_nothing():
    assert owners([[8.0, 8.0], [NOT_THERE, NOT_THERE]], [6.0, 0.0], (1, 2))[0] == [0, -1]
    assert owners([[NOT_THERE, NOT_THERE]], [6.0], (1, 2))[0] == [-1, -1]


def test_slices_and_clips_have_owners_of_their_own():
    centres = torch.tensor([[[[8.0, 8.0]], [[24.0, 8.0]]], [[[24.0, 8.0]], [[24.0, 8.0]]]])
    owner, offset = covering_object(centres, torch.tensor([[6.0], [30.0]]), (1, 2), 16)
    assert owner.tolist() == [[[0, -1], [-1, 0]], [[0, 0], [0, 0]]]
    assert offset[1, 0].tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_scores_and_offset_are_parts_of_one_linear_map_of_normed_tokens():
    torch.manual_seed(0)
    heads = TokenHeads({"object": 2, "shape": 3}, width=8)
    tokens = torch.randn(2, 1, 4, 8)
    whole = heads.to_scores(F.layer_norm(tokens, (8,)))
    scores, offset = heads(tokens)
    assert list(scores) == ["object", "shape"]
    torch.testing.assert_close(torch.cat([scores["object"], scores["shape"], offset], dim=-1), whole)
    assert (scores["object"].shape[-1], scores["shape"].shape[-1], offset.shape[-1]) == (2, 3, 2)


ANSWERS = (
    {"object": torch.tensor([[[[0.0, 2.0], [3.0, 0.0], [0.0, 1.0]]]]), "shape": torch.randn(1, 1, 3, 3)},
    torch.tensor([[[[0.5, -0.25], [9.0, 9.0], [0.0, 0.0]]]]),
)
OFFSETS = torch.tensor([[[[0.0, 0.0], [0.0, 0.0], [0.0, 3.0]]]])
HERE = torch.tensor([[[1, 0, 1]]])


def test_the_loss_is_the_mean_of_questions_and_of_the_offsets_of_what_is_there():
    scores, _ = ANSWERS
    labels = {"object": HERE, "shape": torch.tensor([[[2, NO_LABEL, 0]]])}
    loss, accuracy = heads_loss(ANSWERS, labels, OFFSETS)
    object_loss = F.cross_entropy(scores["object"][0, 0], HERE[0, 0])
    shape_loss = F.cross_entropy(scores["shape"][0, 0, [0, 2]], torch.tensor([2, 0]))
    offset_loss = (0.5 * 0.5**2 + 0.5 * 0.25**2 + 0.0 + (3.0 - 0.5)) / 4  # smooth L1 of the first and the last
    torch.testing.assert_close(loss, (object_loss + shape_loss + offset_loss) / 3)
    assert accuracy["object"] == 1.0
    right = (scores["shape"][0, 0, 0].argmax() == 2).float() + (scores["shape"][0, 0, 2].argmax() == 0).float()
    assert accuracy["shape"] == pytest.approx(right.item() / 2)


def test_a_question_without_any_answer_does_not_count():
    labels = {"shape": torch.full((1, 1, 3), NO_LABEL), "object": HERE}
    loss, accuracy = heads_loss(ANSWERS, labels, OFFSETS)
    alone, _ = heads_loss(ANSWERS, {"object": HERE}, OFFSETS)
    torch.testing.assert_close(loss, alone)
    assert accuracy.keys() == {"object"}


def test_no_label_is_what_torch_leaves_out():
    assert F.cross_entropy(torch.randn(2, 3), torch.tensor([NO_LABEL, NO_LABEL]), reduction="sum") == 0.0
