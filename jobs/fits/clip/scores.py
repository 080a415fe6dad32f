"""Scores of an image-text model on held-out synthetic clips: `python -m jobs.fits.clip.scores FOLDER [--clips N]`.

They are computed from the files on disk by the classes that curation uses, so they include the effects of half
precision, the image transform and the tokenizer.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np

from jobs.fits.clip.pairs import HELD_OUT_SEED, PLACE_FACTS, THING_FACTS, small_frames, text_of, with_wrong
from pipeline.measure.clip.embedding import ClipEmbedder, text_video_similarity
from pipeline.synthetic.world import Scene, draw_scene
from schemas.recipe.embedding import EmbeddingConfig

POSITIONS = [(i + 0.5) / 8 for i in range(8)]


def retrieval_scores(folder: Path, first_seed: int, num_clips: int = 100) -> dict[str, float]:
    """Scores over clips with seeds from `first_seed` on, as fractions of clips unless stated otherwise.

    Returns:
        recall_at_1, recall_at_5: the right clip among all, given its detailed caption.
        short_recall_at_5: the same for the short caption, which several clips may share.
        right_colour, ...: the true detailed caption scores above one in which only this word is wrong.
        similarity_true, similarity_other: mean dot product with the true caption and with those of other clips;
            the 5th percentile of the former and the 95th of the latter show how well a threshold can separate them.
    """
    embedder = ClipEmbedder(EmbeddingConfig(model=str(folder)))
    scenes = [draw_scene(seed) for seed in range(first_seed, first_seed + num_clips)]
    video = embedder.embed_frames([small_frames(scene, POSITIONS) for scene in scenes])
    detailed = embedder.embed_texts([text_of(scene, "detailed") for scene in scenes]) @ video.T
    short = embedder.embed_texts([text_of(scene, "short") for scene in scenes]) @ video.T
    true, other = detailed.diagonal(), detailed[~np.eye(num_clips, dtype=bool)]
    return {
        "recall_at_1": _recall(detailed, 1),
        "recall_at_5": _recall(detailed, 5),
        "short_recall_at_5": _recall(short, 5),
        **{f"right_{name}": _right_word(embedder, scenes, video, name) for name in (*THING_FACTS, *PLACE_FACTS)},
        "similarity_true": float(true.mean()),
        "similarity_true_p05": float(np.percentile(true, 5)),
        "similarity_other": float(other.mean()),
        "similarity_other_p95": float(np.percentile(other, 95)),
    }


def _recall(similarity: np.ndarray, k: int) -> float:
    """Fraction of texts (rows) whose own clip (same column) is among the k most similar ones."""
    better = (similarity > similarity.diagonal()[:, None]).sum(1)
    return float((better < k).mean())


def _right_word(embedder: ClipEmbedder, scenes: list[Scene], video: np.ndarray, name: str) -> float:
    rng = random.Random(name)
    true = embedder.embed_texts([text_of(scene, "detailed") for scene in scenes])
    wrong = embedder.embed_texts([text_of(with_wrong(scene, name, rng), "detailed") for scene in scenes])
    return float((text_video_similarity(true, video) > text_video_similarity(wrong, video)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="Score an image-text model on held-out synthetic clips.")
    parser.add_argument("folder", type=Path, help="model in open_clip's format")
    parser.add_argument("--clips", type=int, default=100)
    args = parser.parse_args()
    print(json.dumps(retrieval_scores(args.folder, HELD_OUT_SEED, args.clips), indent=2))


if __name__ == "__main__":
    main()
