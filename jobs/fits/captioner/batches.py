"""Training targets of the captioner for a batch of synthetic clips: labels of the auxiliary heads, and token sequences.

Shape suffixes: B clips, S time slices, M visual tokens of a slice, O objects, L tokens of a sequence.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from jobs.fits.captioner.clips import MAX_THINGS, PLACE_WORDS, THING_WORDS, ClipBatch, words_of_place, words_of_thing
from model.readers.captioner_heads import NO_LABEL, covering_object
from model.readers.captioner_network import CHAT_TEMPLATE, END, GRID_PX, PAD, VIDEO_PAD, token_id
from pipeline.caption.prompts.templates import PromptTemplate, chat, load_prompt
from pipeline.synthetic.texts import TITLE_KINDS, merged_caption, short_prompt, title
from pipeline.synthetic.world import SIZES, Scene, detailed_caption, structured_caption
from schemas.structured_caption import to_json

QUESTIONS: dict[str, int] = {
    "object": 2,
    **{name: len(words) for name, words in THING_WORDS.items()},
    **{name: len(words) for name, words in PLACE_WORDS.items()},
}
"""Every question that the auxiliary heads answer, and its number of possible answers."""


def token_labels(batch: ClipBatch, grid_px: int = GRID_PX) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """True answers for the auxiliary heads: question -> (B, S, M), and the offset to the object, (B, S, M, 2).

    Args:
        grid_px: side of the square that a visual token stands for.
    """
    height, width = batch.frames.shape[2:4]
    radii_BO = torch.zeros(len(batch.scenes), MAX_THINGS)
    for b, scene in enumerate(batch.scenes):
        for o, thing in enumerate(scene.things):
            radii_BO[b, o] = SIZES[thing.size] * min(width, height) / 2
    centres = torch.from_numpy(np.ascontiguousarray(batch.centres, dtype=np.float32))
    owner_BSM, offset = covering_object(centres, radii_BO, (height // grid_px, width // grid_px), grid_px)
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


COLOUR_QUESTIONS = ("colour", "background", "light")


def without_colour_labels(labels: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same labels, without those that can only be told from colour."""
    return labels | {name: torch.full_like(labels[name], NO_LABEL) for name in COLOUR_QUESTIONS}


@dataclass(frozen=True)
class CaptionTokens:
    """Token ids (B, L), right-padded, and a mask of the tokens that are answers. Where there is a video, `vision_span`
    is the range of its tokens, the same in each sequence."""

    ids_BL: torch.Tensor
    answer_mask_BL: torch.Tensor
    vision_span: tuple[int, int] | None = None


def caption_prompt_ids(tokenizer: PreTrainedTokenizerBase, num_visual_tokens: int) -> list[int]:
    """The user turn up to where the answer starts, with a placeholder token for each visual token of the video."""
    template = load_prompt("caption-builtin", ())
    text = _chat_text(tokenizer, template, template.fill(), video=True)
    return tokenizer(text.replace(VIDEO_PAD, VIDEO_PAD * num_visual_tokens)).input_ids


def _chat_text(tokenizer: PreTrainedTokenizerBase, template: PromptTemplate, user: str, *, video: bool) -> str:
    messages = chat(template.system, user, video=video)
    return str(
        tokenizer.apply_chat_template(messages, chat_template=CHAT_TEMPLATE, tokenize=False, add_generation_prompt=True)
    )


def caption_tokens(
    tokenizer: PreTrainedTokenizerBase, scenes: Sequence[Scene], num_visual_tokens: int
) -> CaptionTokens:
    """Prompt, true structured caption and end token of each scene."""
    prompt = caption_prompt_ids(tokenizer, num_visual_tokens)
    answers = tokenizer([to_json(structured_caption(scene)) + END for scene in scenes]).input_ids
    start = prompt.index(token_id(tokenizer, VIDEO_PAD))
    ids, mask = _padded(tokenizer, [(prompt, answer) for answer in answers])
    return CaptionTokens(ids, mask, (start, start + num_visual_tokens))


def text_prompt(tokenizer: PreTrainedTokenizerBase, task: TextTask, **values: str) -> str:
    """The user turn of a text task, up to where the answer starts."""
    template = load_prompt(f"{task}-builtin", TEXT_TASKS[task])
    return _chat_text(tokenizer, template, template.fill(**values), video=False)


def text_tokens(tokenizer: PreTrainedTokenizerBase, scenes: Sequence[Scene], rng: random.Random) -> CaptionTokens:
    """For each scene, either its short prompt expanded or its caption merged with a title, which is learnt more
    slowly."""
    pairs = []
    for scene in scenes:
        if rng.random() < EXPAND_SHARE:
            prompt = text_prompt(tokenizer, "expand", prompt=short_prompt(scene, rng).text)
            answer = detailed_caption(scene)
        else:
            source_title = title(scene, rng.choices(TITLE_KINDS, TITLE_SHARES)[0], rng, made_up=rng.random() < 0.7)
            prompt = text_prompt(tokenizer, "rewrite", caption=detailed_caption(scene), title=source_title.text)
            answer = merged_caption(scene, source_title)
        pairs.append((tokenizer(prompt).input_ids, tokenizer(answer + END).input_ids))
    return CaptionTokens(*_padded(tokenizer, pairs))


EXPAND_SHARE = 0.15
TITLE_SHARES = (0.34, 0.08, 0.06, 0.06, 0.4, 0.06)
"""Share of each of `TITLE_KINDS` in the fit. Telling names that fit from names that do not takes the most examples."""
TextTask = Literal["expand", "rewrite"]
TEXT_TASKS: dict[TextTask, tuple[str, ...]] = {"expand": ("prompt",), "rewrite": ("caption", "title")}


def _padded(
    tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[list[int], list[int]]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts followed by answers as token ids (B, L), right-padded, and a mask of the answers."""
    length = max(len(prompt) + len(answer) for prompt, answer in pairs)
    ids = torch.full((len(pairs), length), token_id(tokenizer, PAD))
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for b, (prompt, answer) in enumerate(pairs):
        end = len(prompt) + len(answer)
        ids[b, :end] = torch.tensor(prompt + answer)
        mask[b, len(prompt) : end] = True
    return ids, mask
