"""How well the builtin CoCa does on synthetic clips that it was never fitted on, and its card."""

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
    """Greedy captions of clips' frames, as the captioner writes them."""
    said = []
    for start in range(0, len(clips), CLIPS_AT_ONCE):
        part = clips[start : start + CLIPS_AT_ONCE]
        said += coca.describe(part, CONTEXT_LENGTH, [likeliest] * len(part))
    return [sentences(coca.decode(words.ids)) for words in said]


def held_out_scores(folder: Path, held_out: Mapping[bool, Sequence[Bucket]]) -> dict[str, dict[str, float]]:
    """Share of attributes stated rightly, of whole clips and of one frame, with pairs that were fitted on and not."""
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
    return f"""# Builtin CoCa

A contrastive captioner (Yu et al. 2022, arXiv:2205.01917) of {num_parameters:,} parameters in open_clip's format, with
a tokenizer of its own. It looks at frames squashed to 64 x 64 pixels, pools those of a clip together as VideoCoCa does
(Yan et al. 2022, arXiv:2212.04979), and says what they show in two or three sentences: things and background, neither
motion nor camera. open_clip loads this folder as it is.

**It knows synthetic clips only** (`pipeline/synthetic`): one or two coloured shapes before a pattern. It is here so
that the captioner backend `coca` can be run and tested with nothing downloaded. It is not meant for footage, of which
it says untrue things.

{fitted}
Its loss is the contrastive one and that of captions, 1 : 2; helper heads on the patches, dropped afterwards, came first
and went along. Weights are stored in half precision.

Share of attributes stated rightly in greedy captions of synthetic clips that were never fitted on (seeds from
1,000,000,000): of 8 frames pooled, and of one frame alone. In the columns of unseen pairs every clip holds a pair of
shape and colour that no clip of the fit held.

| attribute | {" | ".join(columns)} |
|---|{"---|" * len(columns)}
{rows}
"""
