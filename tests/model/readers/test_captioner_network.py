"""The small captioner is the stock architecture: its fast vision pass, patches and files against transformers' own."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

from model.readers.captioner_heads import NO_LABEL, TokenHeads, covering_object, heads_loss
from model.readers.captioner_network import (
    SPECIAL_TOKENS,
    build_captioner,
    encode_patches,
    fit_tokenizer,
    patchify,
    save_captioner,
    token_id,
)

SENTENCES = ["A red circle moves left.", "A blue star stays still. The camera pans right."]
SIZES = [(48, 48), (64, 32), (32, 64)]


@pytest.fixture(scope="module")
def tokenizer():
    return fit_tokenizer(SENTENCES * 3)


@pytest.fixture(scope="module")
def net(tokenizer):
    return build_captioner(tokenizer, seed=0).eval()


@pytest.fixture(scope="module")
def folder(net, tokenizer, tmp_path_factory):
    where = tmp_path_factory.mktemp("captioner")
    save_captioner(net, tokenizer, where)
    return where


def _clips(width: int, height: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(width)
    return torch.randint(0, 256, (2, 8, height, width, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_patches_are_those_of_the_saved_video_processor(folder, width, height):
    clips = _clips(width, height)
    processor = AutoProcessor.from_pretrained(folder).video_processor
    stock = processor(videos=[clip.permute(0, 3, 1, 2) for clip in clips], do_sample_frames=False, return_tensors="pt")
    torch.testing.assert_close(patchify(clips).flatten(0, 2), stock["pixel_values_videos"])


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_batched_vision_equals_the_stock_forward(net, width, height):
    patches = patchify(_clips(width, height))
    grid = torch.tensor([[4, height // 8, width // 8]]).expand(len(patches), -1)
    with torch.no_grad():
        stock = net.model.visual(patches.flatten(0, 2), grid_thw=grid).pooler_output
        ours = encode_patches(net.model.visual, patches, height, width)
    torch.testing.assert_close(ours.flatten(0, 2), stock, rtol=1e-4, atol=1e-5)


def test_any_text_survives_the_tokenizer_and_special_tokens_are_single(tokenizer):
    text = "Ünseen wörds, 42 % & 漢字 stay."
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    for token in SPECIAL_TOKENS:
        assert tokenizer(token).input_ids == [token_id(tokenizer, token)]


def test_a_saved_folder_holds_the_same_network_in_half_precision(net, folder):
    loaded = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    assert sum(p.numel() for p in loaded.parameters()) < 4_000_000
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, net.state_dict()[name].half().float(), rtol=0, atol=0)


def test_the_same_seed_draws_the_same_weights(tokenizer, net):
    again = build_captioner(tokenizer, seed=0).state_dict()
    other = build_captioner(tokenizer, seed=1).state_dict()
    name = "model.visual.blocks.0.attn.qkv.weight"
    assert torch.equal(again[name], net.state_dict()[name])
    assert not torch.equal(other[name], again[name])


def test_tokens_belong_to_the_object_over_them():
    # A 3 x 3 grid of 16 px tokens; the first object over the top left token, the second over the bottom right one.
    centres = torch.tensor([[[[8.0, 8.0], [40.0, 38.0]]]])
    owner, offset = covering_object(centres, torch.tensor([[6.0, 6.0]]), (3, 3), 16)
    assert owner[0, 0].tolist() == [0, -1, -1, -1, -1, -1, -1, -1, 1]
    assert offset[0, 0, 8].tolist() == pytest.approx([0.0, -2 / 16])


def test_an_object_that_is_not_there_owns_nothing():
    centres = torch.tensor([[[[8.0, 8.0], [float("nan"), float("nan")]]]])
    owner, _ = covering_object(centres, torch.tensor([[6.0, 0.0]]), (3, 3), 16)
    assert (owner == 1).sum() == 0


def test_questions_without_an_answer_do_not_count():
    heads = TokenHeads({"object": 2, "shape": 3}, width=8)
    tokens = torch.randn(1, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    labels = {"object": torch.tensor([[[1, 0, 0, 0]]]), "shape": torch.tensor([[[2, NO_LABEL, NO_LABEL, NO_LABEL]]])}
    answers = heads(tokens)
    loss, accuracy = heads_loss(answers, labels, torch.zeros(1, 1, 4, 2))
    shape_loss = torch.nn.functional.cross_entropy(answers[0]["shape"][0, 0, :1], torch.tensor([2]))
    object_loss = torch.nn.functional.cross_entropy(answers[0]["object"].flatten(0, 2), labels["object"].flatten())
    offset_loss = torch.nn.functional.smooth_l1_loss(answers[1][0, 0, 0], torch.zeros(2))
    torch.testing.assert_close(loss, (shape_loss + object_loss + offset_loss) / 3)
    assert accuracy["shape"] in (0.0, 1.0)
