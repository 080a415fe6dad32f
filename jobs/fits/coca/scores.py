"""Scores of the built-in CoCa on synthetic clips that it was never fitted on, and its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jobs.fits.captioner.clips import Bucket
from jobs.fits.captioner.scores import attribute_accuracy
from jobs.fits.clip.pairs import text_of
from jobs.fits.coca.network import CAPTION_KIND, CONTEXT_LENGTH
from model.readers.coca import Coca, likeliest, load_coca, sentences

CLIPS_AT_ONCE = 20


def captions_of(coca: Coca, clips: Sequence[np.ndarray]) -> list[str]:
    """Greedy captions of clips' frames, as the captioner backend writes them."""
    captions = []
    for start in range(0, len(clips), CLIPS_AT_ONCE):
        part = clips[start : start + CLIPS_AT_ONCE]
        captions += coca.describe(part, CONTEXT_LENGTH, [likeliest] * len(part))
    return [sentences(coca.decode(words.ids)) for words in captions]


def held_out_scores(folder: Path, held_out: Mapping[bool, Sequence[Bucket]]) -> dict[str, dict[str, float]]:
    """Share of attributes stated correctly for whole clips and for one frame, each with pairs of shape and colour that
    were in the fit and with pairs that were not."""
    coca, scores = load_coca(str(folder)), {}
    for is_unseen, buckets in held_out.items():
        truths = [text_of(scene, CAPTION_KIND) for bucket in buckets for scene in bucket.scenes]
        for name, frames in {"clips": slice(None), "single frames": slice(4, 5)}.items():
            clips = [np.array(clip[frames]) for bucket in buckets for clip in bucket.frames]
            key = f"{name}, unseen pairs" if is_unseen else name
            scores[key] = attribute_accuracy(captions_of(coca, clips), truths)
    return scores


def card(scores: Mapping[str, Mapping[str, float]], num_parameters: int, fitted: str) -> str:
    """The checkpoint's README: what it is, how it was fitted, how well it does, and what it is not for."""
    columns = sorted(scores)
    rows = "\n".join(
        f"| {name} | " + " | ".join(f"{scores[column][name]:.3f}" for column in columns) + " |"
        for name in scores["clips"]
    )
    return f"""# Built-in CoCa

A contrastive captioner (Yu et al. 2022, arXiv:2205.01917) of {num_parameters:,} parameters in open_clip's format, with
a tokenizer of its own. It takes frames squashed to 64 x 64 pixels, pools the frames of a clip as VideoCoCa does (Yan et
al. 2022, arXiv:2212.04979), and describes what they show in two or three sentences: objects and background, but neither
motion nor camera. open_clip loads this folder as it is.

**It knows synthetic clips only** (`pipeline/synthetic`): one or two coloured shapes in front of a pattern. It is here
so that the captioner backend `coca` can be run and tested with nothing downloaded. It is not meant for footage: its
captions of footage are wrong.

{fitted}
The loss is the contrastive loss plus twice the caption loss. Auxiliary heads on the patches (removed afterwards) were
fitted first, and then together with it. Weights are stored in half precision.

Share of attributes that greedy captions state correctly, on synthetic clips that were never used for fitting (seeds
from 1,000,000,000): from 8 pooled frames, and from a single frame. In the columns of unseen pairs every clip has a pair
of shape and colour that is in no clip of the fit.

| attribute | {" | ".join(columns)} |
|---|{"---|" * len(columns)}
{rows}
"""
