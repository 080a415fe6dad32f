"""The small captioner is the stock architecture: its fast vision pass, patches and files against transformers' own."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

from model.builtin import WEIGHTS
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


def test_words_are_learnt_within_the_splits_of_qwen_and_in_composed_letters():
    tokenizer = fit_tokenizer(["half-dark cafe\u0301, it's 42 m"] * 3)
    assert [tokenizer.decode(i) for i in tokenizer("half-dark caf\u00e9, it's 42 m").input_ids] == [
        "half",
        "-dark",
        " caf\u00e9",
        ",",
        " it",
        "'s",
        " ",
        "4",
        "2",
        " m",
    ]


def test_words_and_their_scores_share_their_weights(net):
    assert net.lm_head.weight is net.get_input_embeddings().weight


def test_a_saved_folder_holds_the_same_network_in_half_precision(net, folder):
    loaded = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    assert sum(p.numel() for p in loaded.parameters()) < 4_000_000
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, net.state_dict()[name].half().float(), rtol=0, atol=0)


def test_settings_are_those_of_the_checkpoint_in_the_repository(folder):
    """The tokenizer numbers its special tokens after the words that it was fitted to; all else is the same."""

    def settings(where: Path) -> dict[str, Any]:
        return {
            name: json.loads((where / name).read_text())
            for name in ("config.json", "processor_config.json", "generation_config.json")
        }

    def without_numbers(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {k: without_numbers(v) for k, v in tree.items() if not k.endswith(("token_id", "version"))}
        return tree

    assert without_numbers(settings(folder)) == without_numbers(settings(WEIGHTS / "captioner"))
    assert (folder / "chat_template.jinja").read_text() == (WEIGHTS / "captioner" / "chat_template.jinja").read_text()


def test_special_tokens_have_their_roles(folder, tokenizer):
    config = json.loads((folder / "config.json").read_text())
    generation = json.loads((folder / "generation_config.json").read_text())
    roles = [
        (config["image_token_id"], "<|image_pad|>"),
        (config["video_token_id"], "<|video_pad|>"),
        (config["vision_start_token_id"], "<|vision_start|>"),
        (config["vision_end_token_id"], "<|vision_end|>"),
        (config["text_config"]["bos_token_id"], "<|endoftext|>"),
        (config["text_config"]["eos_token_id"], "<|im_end|>"),
        (config["text_config"]["pad_token_id"], "<|endoftext|>"),
        (generation["eos_token_id"], "<|im_end|>"),
        (generation["pad_token_id"], "<|endoftext|>"),
    ]
    for number, token in roles:
        assert tokenizer.convert_ids_to_tokens(number) == token
    assert tokenizer.model_max_length == 4096


def test_a_vocabulary_of_at_most_1024_is_fitted():
    words = ["".join(letters) for letters in product("abcdefghijkl", repeat=3)]
    assert len(fit_tokenizer([" ".join(words)] * 3)) == 1024


def test_the_same_seed_draws_the_same_weights(tokenizer, net):
    again = build_captioner(tokenizer, seed=0).state_dict()
    other = build_captioner(tokenizer, seed=1).state_dict()
    name = "model.visual.blocks.0.attn.qkv.weight"
    assert torch.equal(again[name], net.state_dict()[name])
    assert not torch.equal(other[name], again[name])
