"""A video captioner of a few million parameters in the Qwen2.5-VL architecture (Bai et al. 2025, arXiv:2502.13923).

The network is transformers' `Qwen2_5_VLForConditionalGeneration` with small dimensions, so a checkpoint folder
written here is loaded unchanged by transformers and by vLLM. What is ours: the dimensions, the tokenizer (byte-level
BPE in the Qwen2 format, fitted to a list of sentences), the processor settings, and a batched vision pass.

All vision blocks attend within one time slice (two frames), so `encode_patches` can batch equal-size clips; it gives
what the stock forward gives (asserted in the tests) several times faster on a CPU.

Shape suffixes: B clips, S time slices of a clip, N patches of a slice, M visual tokens of a slice (N / 4), P numbers
of a patch, D vision width, E language width, H heads, K head width, L tokens of a sequence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerBase,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_position_ids

PATCH_PX = 8
MERGE = 2
GRID_PX = PATCH_PX * MERGE
"""Frame sides are multiples of this; a visual token covers one such square of two frames."""
FRAMES_PER_SLICE = 2
TOKENS_PER_SECOND = 2
"""Steps of the temporal position per second, as in the published Qwen2.5-VL checkpoints."""
CLAIMED_FPS = 5.0
"""Rate of sampled frames that this network is always told. Its words for motion are shares of a clip, not of a second.

It is also fast enough for the last temporal position (2) to stay within a grid of three rows or columns: past that,
transformers 5 and vLLM 0.32 disagree on the position of the text that follows (after the larger side of the grid, or
after the last instant), and the same weights would say different things.
"""
MAX_FRAME_PX = 96 * 96
MIN_FRAME_PX = GRID_PX * GRID_PX
MAX_POSITIONS = 4096
VOCABULARY = 1024
PIXEL_MEAN = PIXEL_STD = (0.5, 0.5, 0.5)

PAD = END_OF_TEXT = "<|endoftext|>"
START, END = "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE_PAD, VIDEO_PAD = "<|image_pad|>", "<|video_pad|>"
SPECIAL_TOKENS = (END_OF_TEXT, START, END, VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD)

WORD_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How the Qwen2 tokenizer splits text before the merges."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def fit_tokenizer(sentences: Iterable[str]) -> Qwen2Tokenizer:
    """Byte-level BPE on `sentences` with Qwen's special tokens; any text survives a round trip (256 byte tokens)."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    room = VOCABULARY - len(SPECIAL_TOKENS)
    bpe.train_from_iterator(
        sentences, trainers.BpeTrainer(vocab_size=room, initial_alphabet=alphabet, show_progress=False)
    )
    fitted = json.loads(bpe.to_str())["model"]
    merges: Any = [tuple(m) for m in fitted["merges"]]
    return Qwen2Tokenizer(
        vocab=fitted["vocab"],
        merges=merges,
        unk_token=END_OF_TEXT,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=[t for t in SPECIAL_TOKENS if t not in (END, PAD)],
        model_max_length=MAX_POSITIONS,
    )


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """Number of one special token."""
    number = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(number, int)
    return number


def captioner_config(tokenizer: PreTrainedTokenizerBase) -> Qwen2_5_VLConfig:
    """The small dimensions: about three million parameters. `told_fps` is ours; backends leave it alone."""
    ours: Any = {"told_fps": CLAIMED_FPS}
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": VOCABULARY,
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 3,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "max_position_embeddings": MAX_POSITIONS,
            "rms_norm_eps": 1e-6,
            # A head has 32 channels, so 16 angles: 4 for time, 6 for height, 6 for width.
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 6, 6]},
            "bos_token_id": token_id(tokenizer, END_OF_TEXT),
            "eos_token_id": token_id(tokenizer, END),
            "pad_token_id": token_id(tokenizer, PAD),
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_heads": 4,
            "patch_size": PATCH_PX,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": FRAMES_PER_SLICE,
            "tokens_per_second": TOKENS_PER_SECOND,
            "out_hidden_size": 192,
            "window_size": 64,
            "fullatt_block_indexes": [0, 1, 2, 3],
        },
        image_token_id=token_id(tokenizer, IMAGE_PAD),
        video_token_id=token_id(tokenizer, VIDEO_PAD),
        vision_start_token_id=token_id(tokenizer, VISION_START),
        vision_end_token_id=token_id(tokenizer, VISION_END),
        **ours,
    )


def build_processor(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLProcessor:
    """Image and video settings of the small network around its tokenizer."""
    shared = {
        "patch_size": PATCH_PX,
        "merge_size": MERGE,
        "temporal_patch_size": FRAMES_PER_SLICE,
        "size": {"shortest_edge": MIN_FRAME_PX, "longest_edge": MAX_FRAME_PX},
        "image_mean": list(PIXEL_MEAN),
        "image_std": list(PIXEL_STD),
    }
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**shared),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(**shared, do_sample_frames=False, cap_pixels_per_frame=False),
        chat_template=CHAT_TEMPLATE,
    )


def build_captioner(tokenizer: Qwen2Tokenizer, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """A network with fresh weights drawn from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen2_5_VLForConditionalGeneration(captioner_config(tokenizer))


def save_captioner(net: Qwen2_5_VLForConditionalGeneration, tokenizer: Qwen2Tokenizer, folder: Path | str) -> None:
    """Write a checkpoint folder (fp16 weights, configs, tokenizer, chat template) that transformers and vLLM load."""
    half: Any = Qwen2_5_VLForConditionalGeneration(net.config)
    half.to(torch.float16)
    half.load_state_dict({name: value.to(torch.float16) for name, value in net.state_dict().items()})
    half.generation_config.do_sample = False
    half.save_pretrained(folder)
    build_processor(tokenizer).save_pretrained(folder)


def patchify(frames_BTHWC: torch.Tensor) -> torch.Tensor:
    """Cut clips into normalised patches in the order of Qwen's processors.

    Args:
        frames_BTHWC: (B, T, H, W, 3) uint8, T even, H and W multiples of GRID_PX.
    Returns:
        (B, S, N, P) float32.
    """
    b, t, h, w, c = frames_BTHWC.shape
    mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    x = (frames_BTHWC.float() / 255 - mean) / std
    x = x.reshape(b, t // 2, 2, h // GRID_PX, MERGE, PATCH_PX, w // GRID_PX, MERGE, PATCH_PX, c)
    x = x.permute(0, 1, 3, 6, 4, 7, 9, 2, 5, 8)
    return x.reshape(b, t // 2, (h // PATCH_PX) * (w // PATCH_PX), c * 2 * PATCH_PX * PATCH_PX)


def encode_patches(visual: Any, patches_BSNP: torch.Tensor, height_px: int, width_px: int) -> torch.Tensor:
    """Visual tokens (B, S, M, E) of equal-size clips; equal to the stock vision forward, batched over slices."""
    b, s, n, p = patches_BSNP.shape
    grid = torch.tensor([[1, height_px // PATCH_PX, width_px // PATCH_PX]])
    x_XND = F.linear(patches_BSNP.reshape(b * s, n, p), visual.patch_embed.proj.weight.flatten(1))
    cos_sin = visual.rotary_pos_emb(x_XND, get_vision_position_ids(grid, MERGE))
    for block in visual.blocks:
        attention, heads = block.attn, block.attn.num_heads
        qkv = attention.qkv(block.norm1(x_XND)).reshape(b * s, n, 3, heads, -1)
        q, k, v = qkv.unbind(2)
        q, k = apply_rotary_pos_emb_vision(q, k, *cos_sin)
        mixed_XHNK = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        x_XND = x_XND + attention.proj(mixed_XHNK.transpose(1, 2).reshape(b * s, n, -1))
        x_XND = x_XND + block.mlp(block.norm2(x_XND))
    return visual.merger(x_XND).reshape(b, s, n // MERGE**2, -1)
