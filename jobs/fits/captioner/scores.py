"""Scores of the built-in captioner on synthetic clips and texts that it was never fitted on, and its card."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import Qwen2Tokenizer

from jobs.fits.captioner.batches import caption_prompt_ids, text_prompt
from jobs.fits.captioner.clips import HELD_OUT_SEED, Bucket
from model.readers.captioner_network import CLAIMED_FPS, FRAMES_PER_SLICE, MERGE, PATCH_PX, patchify
from pipeline.synthetic.texts import TITLE_KINDS, TitleKind, merged_caption, short_prompt, title
from pipeline.synthetic.world import attributes, detailed_caption, draw_scene
from schemas.structured_caption import Length, StructuredCaption, from_json, text_of

MAX_NEW_TOKENS = 192
LENGTHS: tuple[Length, ...] = ("short", "medium", "detailed")


@torch.no_grad()
def generate(net: Any, tokenizer: Qwen2Tokenizer, bucket: Bucket) -> list[str]:
    """Greedy answers for a whole bucket by transformers' own generation, as at inference."""
    patches_BSNP = patchify(torch.from_numpy(np.array(bucket.frames)))
    num_clips, num_slices, num_patches, _ = patches_BSNP.shape
    height, width = bucket.frames.shape[2:4]
    prompt = torch.tensor(caption_prompt_ids(tokenizer, num_slices * num_patches // MERGE**2)).expand(num_clips, -1)
    grid = torch.tensor([[num_slices, height // PATCH_PX, width // PATCH_PX]]).expand(num_clips, -1)
    video = {
        "mm_token_type_ids": 2 * (prompt == net.config.video_token_id).int(),
        "pixel_values_videos": patches_BSNP.flatten(0, 2),
        "video_grid_thw": grid,
        "second_per_grid_ts": torch.full((num_clips,), FRAMES_PER_SLICE / CLAIMED_FPS),
    }
    return _answers(net, tokenizer, prompt, torch.ones_like(prompt), video)


@torch.no_grad()
def generate_texts(net: Any, tokenizer: Qwen2Tokenizer, prompts: Sequence[str]) -> list[str]:
    """Greedy answers to prompts without a video."""
    tokenizer.padding_side = "left"
    inputs = tokenizer(list(prompts), return_tensors="pt", padding=True)
    return _answers(net, tokenizer, inputs.input_ids, inputs.attention_mask, {})


def _answers(
    net: Any, tokenizer: Qwen2Tokenizer, ids: torch.Tensor, mask: torch.Tensor, more: Mapping[str, torch.Tensor]
) -> list[str]:
    net.eval()
    output = net.generate(input_ids=ids, attention_mask=mask, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, **more)
    net.train()
    return tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)


def attribute_accuracy(captions: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
    """Share of the true captions' attributes that the captions state correctly: overall and by attribute."""
    hits: dict[str, list[bool]] = defaultdict(list)
    for caption, truth in zip(captions, truths, strict=True):
        stated = attributes(caption)
        for name, word in attributes(truth).items():
            hits[name].append(stated.get(name) == word)
    by_name = {name: sum(h) / len(h) for name, h in sorted(hits.items())}
    overall = [hit for h in hits.values() for hit in h]
    return {"overall": sum(overall) / len(overall), **by_name}


def caption_scores(net: Any, tokenizer: Qwen2Tokenizer, buckets: Sequence[Bucket]) -> dict[str, float]:
    """Share of attributes that are right in the detailed text, by attribute; in the shorter texts; share of valid
    JSON."""
    answers = [answer for bucket in buckets for answer in generate(net, tokenizer, bucket)]
    truths = [detailed_caption(scene) for bucket in buckets for scene in bucket.scenes]
    captions = [_parsed(answer) for answer in answers]
    scores = attribute_accuracy([text_of(caption, "detailed") for caption in captions], truths)
    for length in LENGTHS[:2]:
        texts = [text_of(caption, length) for caption in captions]
        scores[length] = _accuracy_of_stated(texts, truths)
    return scores | {"valid json": sum(bool(caption.subject) for caption in captions) / len(captions)}


def _parsed(answer: str) -> StructuredCaption:
    try:
        return from_json(answer)
    except ValueError:
        return StructuredCaption()


def _accuracy_of_stated(captions: Sequence[str], truths: Sequence[str]) -> float:
    """Share of the stated attributes that are right; a shorter text does not have to state all."""
    pairs = [(attributes(caption), attributes(truth)) for caption, truth in zip(captions, truths, strict=True)]
    hits = [true[name] == word for stated, true in pairs for name, word in stated.items()]
    return sum(hits) / max(len(hits), 1)


def text_scores(net: Any, tokenizer: Qwen2Tokenizer, num_texts: int) -> dict[str, float]:
    """How well held-out scenes are put into words: the share of what short prompts ask for that their expansions keep,
    and the share of merged captions that equal the true text exactly, by kind of title."""
    scenes = [draw_scene(HELD_OUT_SEED + number) for number in range(num_texts)]
    rng = random.Random(0)
    prompts = [short_prompt(scene, rng) for scene in scenes]
    expanded = generate_texts(net, tokenizer, [text_prompt(tokenizer, "expand", prompt=p.text) for p in prompts])
    kept = [
        attributes(text).get(name) == word
        for text, prompt in zip(expanded, prompts, strict=True)
        for name, word in prompt.asked.items()
    ]
    titles = [title(scene, TITLE_KINDS[number % len(TITLE_KINDS)], rng) for number, scene in enumerate(scenes)]
    merged = generate_texts(
        net,
        tokenizer,
        [
            text_prompt(tokenizer, "rewrite", caption=detailed_caption(scene), title=source_title.text)
            for scene, source_title in zip(scenes, titles, strict=True)
        ],
    )
    right: dict[TitleKind, list[bool]] = defaultdict(list)
    for text, scene, source_title in zip(merged, scenes, titles, strict=True):
        right[source_title.kind].append(text == merged_caption(scene, source_title))
    return {"expand keeps": sum(kept) / len(kept)} | {
        f"rewrite, title {kind}": sum(hits) / len(hits) for kind, hits in right.items()
    }


def held_out_scores(
    net: Any, tokenizer: Qwen2Tokenizer, held_out: Mapping[bool, Sequence[Bucket]], num_texts: int
) -> dict[str, dict[str, float]]:
    """Scores of clips whose pairs of shape and colour were in the fit, of clips with pairs that were not, and of
    texts."""
    return {
        "seen pairs": caption_scores(net, tokenizer, held_out[False]),
        "unseen pairs": caption_scores(net, tokenizer, held_out[True]),
        "texts": text_scores(net, tokenizer, num_texts),
    }


def card(scores: Mapping[str, Mapping[str, float]], num_parameters: int, fitted: str) -> str:
    """The checkpoint's README: what it is, how it was fitted, how well it does, and what it is not for."""
    captions = "\n".join(
        f"| {name} | {share:.3f} | {scores['unseen pairs'][name]:.3f} |" for name, share in scores["seen pairs"].items()
    )
    texts = "\n".join(f"| {name} | {share:.3f} |" for name, share in scores["texts"].items())
    return f"""# Built-in captioner

A video-language model of {num_parameters:,} parameters in the Qwen2.5-VL architecture with a tokenizer of its own. It
has three tasks: it describes 8 frames of about 5,120 pixels each by a structured caption in JSON; it merges a caption
with a title; and it expands a short prompt. It knows the prompts in `pipeline/caption/prompts/*-builtin.toml` and no
others. transformers and vLLM load this folder as it is, and give the same greedy text.

**It knows synthetic clips only** (`pipeline/synthetic`): one or two coloured shapes in front of a pattern. It is here
so that every stage can be run and tested with nothing downloaded. It is not meant for footage: its captions of footage
are wrong.

{fitted} The vision tower was fitted first, with auxiliary heads on its tokens (removed
afterwards), then the whole network. Weights are stored in half precision.

Share of attributes that greedy detailed captions state correctly, on synthetic clips that were never used for fitting
(seeds from 1,000,000,000); for the short and medium texts, the share of the stated attributes that is correct. In the
right column every clip has a pair of shape and colour that is in no clip of the fit. No grammar constrained the answers
to JSON.

| attribute | right | unseen pairs |
|---|---|---|
{captions}

Text tasks: the share of what a short prompt asks for that its expansion keeps; and, by kind of title, the share of
captions merged with a title that equal the true text exactly (which leaves out what a false title says).

| task | right |
|---|---|
{texts}
"""
