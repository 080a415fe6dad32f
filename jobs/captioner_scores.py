"""How well the captioner's greedy captions tell what is in drawn clips that it was never fitted on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import Qwen2Tokenizer

from jobs.captioner_batches import caption_of, prompt_ids
from jobs.captioner_clips import Bucket
from model.captioner_net import CLAIMED_FPS, FRAMES_PER_SLICE, MERGE, PATCH_PX, patchify
from pipeline.captioners.prompts import Kind
from pipeline.drawn.world import attributes

MAX_NEW_TOKENS = 96


@torch.no_grad()
def generate(net: Any, tokenizer: Qwen2Tokenizer, bucket: Bucket, kind: Kind) -> list[str]:
    """Greedy captions of a whole bucket through transformers' own generation, as at inference."""
    patches_BSNP = patchify(torch.from_numpy(np.array(bucket.frames)))
    num_clips, num_slices, num_patches, _ = patches_BSNP.shape
    height, width = bucket.frames.shape[2:4]
    prompt = torch.tensor(prompt_ids(tokenizer, kind, num_slices * num_patches // MERGE**2)).expand(num_clips, -1)
    grid = torch.tensor([[num_slices, height // PATCH_PX, width // PATCH_PX]]).expand(num_clips, -1)
    net.eval()
    ids = net.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        mm_token_type_ids=2 * (prompt == net.config.video_token_id).int(),
        pixel_values_videos=patches_BSNP.flatten(0, 2),
        video_grid_thw=grid,
        second_per_grid_ts=torch.full((num_clips,), FRAMES_PER_SLICE / CLAIMED_FPS),
        max_new_tokens=MAX_NEW_TOKENS,
        do_sample=False,
    )
    net.train()
    return tokenizer.batch_decode(ids[:, prompt.shape[1] :], skip_special_tokens=True)


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


def held_out_scores(net: Any, tokenizer: Qwen2Tokenizer, held_out: dict[str, Bucket]) -> dict[str, float]:
    """Accuracy of greedy captions on clips never fitted on; `short_exact` is the share of short captions right."""
    said: dict[Kind, list[str]] = {"short": [], "detailed": []}
    true: dict[Kind, list[str]] = {"short": [], "detailed": []}
    for bucket in held_out.values():
        for kind in said:
            said[kind] += generate(net, tokenizer, bucket, kind)
            true[kind] += [caption_of(scene, kind) for scene in bucket.scenes]
    exact = [a == b for a, b in zip(said["short"], true["short"], strict=True)]
    return {**attribute_accuracy(said["detailed"], true["detailed"]), "short_exact": sum(exact) / len(exact)}


def card(
    scores: Mapping[str, float], num_parameters: int, steps: int, minutes: float, num_clips: int, seed: int
) -> str:
    """The checkpoint's README: what it is, how it was fitted, how well it does, and what it is not for."""
    rows = "\n".join(f"| {name.replace('_', ' ')} | {share:.3f} |" for name, share in scores.items())
    return f"""# Builtin captioner

A video captioner of {num_parameters:,} parameters in the Qwen2.5-VL architecture with a tokenizer of its own. It
looks at 8 frames of about 48 x 48 pixels and answers the two prompts of `pipeline/captioners/prompts.py`.
transformers and vLLM load this folder as it is, and give the same greedy text.

**It knows drawn clips only** (`pipeline/drawn`): one or two coloured shapes before a pattern. It is here so that every
stage can be run and tested with nothing downloaded. It is not meant for footage, of which it says untrue things.

Fitted by `python -m jobs.fit_captioner --out DIR --minutes {minutes:g} --clips {num_clips} --seed {seed}` in {steps:,}
steps on one CPU core: the vision tower first, with helper heads on its tokens (dropped afterwards), then captions.
Weights are stored in half precision.

Share of attributes stated rightly in greedy detailed captions of drawn clips that were never fitted on (seeds from
1,000,000,000); `short exact` is the share of short captions that are right to the letter.

| attribute | right |
|---|---|
{rows}
"""
