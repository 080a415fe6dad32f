"""How well the builtin model does on synthetic clips and texts that it was never fitted on."""

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
NUM_TEXTS = 200


@torch.no_grad()
def generate(net: Any, tokenizer: Qwen2Tokenizer, bucket: Bucket) -> list[str]:
    """Greedy answers for a whole bucket through transformers' own generation, as at inference."""
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
    said = net.generate(input_ids=ids, attention_mask=mask, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, **more)
    net.train()
    return tokenizer.batch_decode(said[:, ids.shape[1] :], skip_special_tokens=True)


def attribute_accuracy(captions: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
    """Share of the true captions' attributes that the captions state rightly: by attribute and overall."""
    hits: dict[str, list[bool]] = defaultdict(list)
    for caption, truth in zip(captions, truths, strict=True):
        said = attributes(caption)
        for name, word in attributes(truth).items():
            hits[name].append(said.get(name) == word)
    by_name = {name: sum(h) / len(h) for name, h in sorted(hits.items())}
    overall = [hit for h in hits.values() for hit in h]
    return {"overall": sum(overall) / len(overall), **by_name}


def caption_scores(net: Any, tokenizer: Qwen2Tokenizer, buckets: Sequence[Bucket]) -> dict[str, float]:
    """Attributes right in the detailed text, by attribute; overall in the shorter ones; share of valid JSON."""
    answers = [answer for bucket in buckets for answer in generate(net, tokenizer, bucket)]
    truths = [detailed_caption(scene) for bucket in buckets for scene in bucket.scenes]
    said = [_parsed(answer) for answer in answers]
    scores = attribute_accuracy([text_of(caption, "detailed") for caption in said], truths)
    for length in LENGTHS[:2]:
        texts = [text_of(caption, length) for caption in said]
        scores[length] = _accuracy_of_stated(texts, truths)
    return scores | {"valid json": sum(bool(caption.subject) for caption in said) / len(said)}


def _parsed(answer: str) -> StructuredCaption:
    try:
        return from_json(answer)
    except ValueError:
        return StructuredCaption()


def _accuracy_of_stated(captions: Sequence[str], truths: Sequence[str]) -> float:
    """Share of what the captions state that is right; a shorter text need not state all."""
    pairs = [(attributes(caption), attributes(truth)) for caption, truth in zip(captions, truths, strict=True)]
    hits = [true[name] == word for said, true in pairs for name, word in said.items()]
    return sum(hits) / max(len(hits), 1)


def text_scores(net: Any, tokenizer: Qwen2Tokenizer) -> dict[str, float]:
    """Of held-out scenes: share of what short prompts ask for that their expansion keeps; of merged captions by kind of
    title the share that is right to the letter."""
    scenes = [draw_scene(HELD_OUT_SEED + number) for number in range(NUM_TEXTS)]
    rng = random.Random(0)
    asked = [short_prompt(scene, rng) for scene in scenes]
    expanded = generate_texts(net, tokenizer, [text_prompt(tokenizer, "expand", prompt=p.text) for p in asked])
    kept = [
        attributes(text).get(name) == word
        for text, prompt in zip(expanded, asked, strict=True)
        for name, word in prompt.asked.items()
    ]
    titles = [title(scene, TITLE_KINDS[number % len(TITLE_KINDS)], rng) for number, scene in enumerate(scenes)]
    merged = generate_texts(
        net,
        tokenizer,
        [
            text_prompt(tokenizer, "rewrite", caption=detailed_caption(scene), title=came_with.text)
            for scene, came_with in zip(scenes, titles, strict=True)
        ],
    )
    right: dict[TitleKind, list[bool]] = defaultdict(list)
    for text, scene, came_with in zip(merged, scenes, titles, strict=True):
        right[came_with.kind].append(text == merged_caption(scene, came_with))
    return {"expand keeps": sum(kept) / len(kept)} | {
        f"rewrite, title {kind}": sum(hits) / len(hits) for kind, hits in right.items()
    }


def held_out_scores(
    net: Any, tokenizer: Qwen2Tokenizer, held_out: Mapping[bool, Sequence[Bucket]]
) -> dict[str, dict[str, float]]:
    """Scores of clips (of pairs of shape and colour that were fitted on, and of ones that were not) and of texts."""
    return {
        "seen pairs": caption_scores(net, tokenizer, held_out[False]),
        "unseen pairs": caption_scores(net, tokenizer, held_out[True]),
        "texts": text_scores(net, tokenizer),
    }


def card(scores: Mapping[str, Mapping[str, float]], num_parameters: int, fitted: str) -> str:
    """The checkpoint's README: what it is, how it was fitted, how well it does, and what it is not for."""
    captions = "\n".join(
        f"| {name} | {share:.3f} | {scores['unseen pairs'][name]:.3f} |" for name, share in scores["seen pairs"].items()
    )
    texts = "\n".join(f"| {name} | {share:.3f} |" for name, share in scores["texts"].items())
    return f"""# Builtin captioner

A video-language model of {num_parameters:,} parameters in the Qwen2.5-VL architecture with a tokenizer of its own. It
looks at 8 frames of about 5,120 pixels and answers with a structured caption in JSON; it merges a caption with a title;
and it expands a short prompt. It knows the three questions in `pipeline/prompts/*-builtin.toml` and no others.
transformers and vLLM load this folder as it is, and give the same greedy text.

**It knows synthetic clips only** (`pipeline/synthetic`): one or two coloured shapes before a pattern. It is here so
that every stage can be run and tested with nothing downloaded. It is not meant for footage, of which it says untrue
things.

{fitted} The vision tower was fitted first, with helper heads on its tokens (dropped afterwards),
then all of it. Weights are stored in half precision.

Share of attributes stated rightly in greedy detailed captions of synthetic clips that were never fitted on (seeds from
1,000,000,000), and of what the shorter texts state. In the right column every clip holds a pair of shape and colour
that no clip of the fit held. No grammar held the answers to JSON.

| attribute | right | unseen pairs |
|---|---|---|
{captions}

Texts: share of what a short prompt asks for that its expansion keeps; share of captions merged with a title that are
right to the letter, by kind of title (what a false title says is left out).

| task | right |
|---|---|
{texts}
"""
