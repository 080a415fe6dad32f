"""What the captioner's fit learns from a batch of drawn clips: the helper heads' labels and the token sequences.

Shape suffixes: B clips, S time slices, M visual tokens of a slice, O objects, L tokens of a sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from jobs.captioner_clips import MAX_THINGS, PLACE_WORDS, THING_WORDS, ClipBatch, words_of_place, words_of_thing
from model.captioner_heads import NO_LABEL, covering_object
from model.captioner_net import CHAT_TEMPLATE, END, GRID_PX, PAD, VIDEO_PAD, token_id
from pipeline.captioners.prompts import PROMPTS, Kind, chat
from pipeline.drawn.world import SIZES, Scene, detailed_caption, short_caption

QUESTIONS: dict[str, int] = {
    "object": 2,
    **{name: len(words) for name, words in THING_WORDS.items()},
    **{name: len(words) for name, words in PLACE_WORDS.items()},
}
"""Every question the helper heads are asked, and its number of answers."""


def token_labels(batch: ClipBatch) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """True answers of the helper heads: question -> (B, S, M), and the offset to the object, (B, S, M, 2)."""
    height, width = batch.frames.shape[2:4]
    radii_BO = torch.zeros(len(batch.scenes), MAX_THINGS)
    for b, scene in enumerate(batch.scenes):
        for o, thing in enumerate(scene.things):
            radii_BO[b, o] = SIZES[thing.size] * min(width, height) / 2
    centres = torch.from_numpy(np.ascontiguousarray(batch.centres, dtype=np.float32))
    owner_BSM, offset = covering_object(centres, radii_BO, (height // GRID_PX, width // GRID_PX), GRID_PX)
    labels = {"object": (owner_BSM >= 0).long()}
    for name, words in THING_WORDS.items():
        of_object_BO = torch.full((len(batch.scenes), MAX_THINGS + 1), NO_LABEL)
        for b, scene in enumerate(batch.scenes):
            for o, thing in enumerate(scene.things):
                of_object_BO[b, o] = words.index(words_of_thing(thing)[name])
        # Index -1 (no object) reads the last column, which holds NO_LABEL.
        labels[name] = torch.stack([row[owner] for row, owner in zip(of_object_BO, owner_BSM, strict=True)])
    for name, words in PLACE_WORDS.items():
        of_clip_B = torch.tensor([words.index(words_of_place(scene)[name]) for scene in batch.scenes])
        labels[name] = of_clip_B[:, None, None].expand_as(owner_BSM)
    return labels, offset


@dataclass(frozen=True)
class CaptionTokens:
    """Equal-layout sequences. ids (B, L) right-padded; answers start at `prompt_tokens`; vision is at a fixed place."""

    ids_BL: torch.Tensor
    answer_mask_BL: torch.Tensor
    prompt_tokens: int
    vision_span: tuple[int, int]


def prompt_ids(tokenizer: PreTrainedTokenizerBase, kind: Kind, num_visual_tokens: int) -> list[int]:
    """The user turn with its place for the video filled in, up to where the answer starts."""
    text = tokenizer.apply_chat_template(
        chat(PROMPTS[kind]), chat_template=CHAT_TEMPLATE, tokenize=False, add_generation_prompt=True
    )
    return tokenizer(str(text).replace(VIDEO_PAD, VIDEO_PAD * num_visual_tokens)).input_ids


def caption_of(scene: Scene, kind: Kind) -> str:
    return short_caption(scene) if kind == "short" else detailed_caption(scene)


def caption_tokens(
    tokenizer: PreTrainedTokenizerBase, scenes: list[Scene], kind: Kind, num_visual_tokens: int
) -> CaptionTokens:
    """Prompt, true caption and end mark of each scene."""
    prompt = prompt_ids(tokenizer, kind, num_visual_tokens)
    answers = tokenizer([caption_of(scene, kind) + END for scene in scenes]).input_ids
    longest = max(len(a) for a in answers)
    ids = torch.full((len(scenes), len(prompt) + longest), token_id(tokenizer, PAD))
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for b, answer in enumerate(answers):
        row = torch.tensor(prompt + answer)
        ids[b, : len(row)] = row
        mask[b, len(prompt) : len(row)] = True
    start = prompt.index(token_id(tokenizer, VIDEO_PAD))
    return CaptionTokens(ids, mask, len(prompt), (start, start + num_visual_tokens))
