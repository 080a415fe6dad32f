"""Captions on the wrong clips, injected into tables of synthetic clips: how many are refused, and how many right ones.

    python -m tests.bench.caption_identity [--first-seed 1600000000] [--clips 2500] [--captions true,builtin]

Clips are held-out synthetic scenes; a tenth are scenes that are there already, at another size, which rightly have the
same caption. They are drawn and embedded once, and kept with the captions of the built-in captioner in a temporary
folder. Each fault is injected into tables of its own, which are then checked and judged by the rules of `default.toml`.
Captions move with their vectors, as they do if a captioner's answers are given to the wrong clips.

Thresholds were tuned on the clips of --first-seed 1500000000, which the default leaves out.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import torch
from rich.console import Console
from rich.table import Table as Printed

from jobs.fits.batched_render import draw, plan
from pipeline.caption.identity.check import check_captions, pending_checks
from pipeline.caption.stage import Captioning
from pipeline.measure.clip.embedding import ClipEmbedder
from pipeline.rules.captions import judge_captions
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from pipeline.synthetic.world import detailed_caption, draw_scene
from schemas import CAPTIONS, CLIPS, DECISIONS, EMBEDDINGS, MEASURES, VIDEOS
from schemas.columns import Table
from schemas.recipe import change_recipe, load_recipe

SIZES = ((128, 128), (160, 120), (192, 108), (120, 160), (108, 192))
SEEN_AGAIN = 0.1
NUM_FRAMES = 8
BATCH = 32
SHUFFLED, NUM_SHUFFLES = 0.01, 20
REPEATS = 400
SHIFTED_BATCHES = 8
BOX = [0, 0, 160, 120]


@dataclass(frozen=True)
class Captioned:
    """Clips with their captions. Clips of equal seeds show the same scene."""

    seeds: np.ndarray
    clips: np.ndarray
    """(N, D) embeddings."""
    said: list[str]
    texts: np.ndarray
    """(N, D) embeddings of the captions."""


@dataclass(frozen=True)
class Fault:
    """Which caption each clip is given: that of another clip, by number."""

    name: str
    given: np.ndarray


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first-seed", type=int, default=1_600_000_000)
    parser.add_argument("--clips", type=int, default=2500)
    parser.add_argument("--captions", default="true,builtin")
    parser.add_argument("--backend", default="vllm", choices=("vllm", "transformers"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    folder = Path(tempfile.gettempdir()) / "reelmill-caption-identity"
    folder.mkdir(exist_ok=True)
    console = Console(highlight=False, width=140)
    for kind in options.captions.split(","):
        captioned = made_once(folder, kind, options.first_seed, options.clips, options.backend)
        console.print(scores(captioned, kind))
    return 0


def scores(captioned: Captioned, kind: str) -> Printed:
    """A line for each fault: faulty captions refused, and right ones."""
    table = Printed(
        "fault", "faulty captions", "refused", "recall", "right captions", "refused", "false alarms", "reasons"
    )
    table.title = f"{kind} captions of {len(captioned.said)} clips"
    totals: dict[str, list[Any]] = {}
    for fault in faults(len(captioned.said), np.random.default_rng(0)):
        refused, reasons = judged(captioned, fault)
        faulty = np.array(captioned.seeds[fault.given] != captioned.seeds)
        counts = np.array([faulty.sum(), refused[faulty].sum(), (~faulty).sum(), refused[~faulty].sum()])
        before = totals.get(fault.name, [0, {}])
        totals[fault.name] = [
            before[0] + counts,
            {n: before[1].get(n, 0) + reasons.get(n, 0) for n in {*before[1], *reasons}},
        ]
    for name, ((num_faulty, found, num_right, alarms), reasons) in totals.items():
        recall = f"{found / num_faulty:.4f}" if num_faulty else ""
        false = f"{alarms / num_right:.2%}" if num_right else ""
        by_reason = ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items()))
        table.add_row(name, str(num_faulty), str(found), recall, str(num_right), str(alarms), false, by_reason)
    return table


def faults(num_clips: int, rng: np.random.Generator) -> Iterator[Fault]:
    own = np.arange(num_clips)
    yield Fault("none", own)
    given = own.copy()
    for batch in rng.choice(num_clips // BATCH, SHIFTED_BATCHES, replace=False):
        some = slice(batch * BATCH, (batch + 1) * BATCH)
        given[some] = np.roll(own[some], 1)
    yield Fault(f"{SHIFTED_BATCHES} batches of {BATCH} off by one", given)
    yield Fault("the whole run off by one", np.roll(own, 1))
    for _ in range(NUM_SHUFFLES):
        given = own.copy()
        some = rng.choice(num_clips, round(num_clips * SHUFFLED), replace=False)
        given[some] = np.roll(own[some], 1)
        yield Fault(f"1% shuffled, {NUM_SHUFFLES} times", given)
    given = own.copy()
    source, *others = rng.choice(num_clips, REPEATS + 1, replace=False)
    given[others] = source
    yield Fault(f"one caption repeated {REPEATS} times", given)


def judged(captioned: Captioned, fault: Fault) -> tuple[np.ndarray, dict[str, int]]:
    """Which captions the rules refuse that read the checks across clips, (N,) bool; and how many for which reason."""
    recipe = load_recipe("default")
    rules = {name: recipe.caption_rules[name].reason for name in ("own_clip", "shifted", "repeated")}
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset(folder, run_id="run")
        write(dataset, captioned, fault)
        check_captions(dataset, pending_checks(dataset))
        verdicts = judge_captions(connect(dataset), recipe)
    columns = verdicts.connection.sql(f"from {verdicts.table} order by clip_id").fetchnumpy()
    by_rule = {name: columns[verdicts.rejects(name)] for name in rules}
    refused = np.any(list(by_rule.values()), axis=0)
    return refused, {rules[name]: int(found.sum()) for name, found in by_rule.items() if found.any()}


def write(dataset: Dataset, captioned: Captioned, fault: Fault) -> None:
    """Tables in which every clip is kept, embedded and captioned, in batches as the caption stage writes them."""
    num_clips = len(captioned.said)
    ids = [f"{i:06}" for i in range(num_clips)]
    of_clip = {"clip_id": ids, "content_box": [BOX] * num_clips, "shown_box": [BOX] * num_clips}
    _write(dataset, VIDEOS, {"uri": ["/v.mp4"], "video_id": ["v"], "status": ["probed"], "source": ["{}"]})
    standing = {"video_id": ["v"] * num_clips, "uri": ["/v.mp4"] * num_clips, "measured": ["{}"] * num_clips}
    _write(dataset, CLIPS, of_clip | standing)
    _write(dataset, DECISIONS, of_clip | {"status": ["kept"] * num_clips, "reasons": [[]] * num_clips})
    _write(dataset, MEASURES["embedding"], of_clip | {"measure": ["m"] * num_clips, "encoder": ["e"] * num_clips})
    _write(dataset, EMBEDDINGS, of_clip | {"encoder": ["e"] * num_clips, "embedding": list(captioned.clips)})
    for start in range(0, num_clips, BATCH):
        given = fault.given[start : start + BATCH]
        written = {
            "clip_id": ids[start : start + BATCH],
            "captioner": ["c"] * len(given),
            "shown_box": [BOX] * len(given),
            "detailed": [captioned.said[i] for i in given],
            "text_embedding": list(captioned.texts[given]),
            "similarity_encoder": ["e"] * len(given),
            "batch_id": [str(start)] * len(given),
            "batch_place": list(range(len(given))),
        }
        _write(dataset, CAPTIONS, written)


def _write(dataset: Dataset, table: Table, columns: dict[str, list[Any]]) -> None:
    num_rows = len(next(iter(columns.values())))
    stamps = ("run_id", "written_us")
    full = {
        field.name: pa.array(columns.get(field.name, [_nothing(field)] * num_rows), field.type)
        for field in table.schema
        if field.name not in stamps
    }
    dataset.write_table(table, pa.table(full))


def _nothing(field: pa.Field) -> Any:
    """What a column holds that the checks do not read."""
    if field.nullable:
        return None
    return "" if pa.types.is_string(field.type) else (False if pa.types.is_boolean(field.type) else 0)


def made_once(folder: Path, kind: str, first_seed: int, num_clips: int, backend: str) -> Captioned:
    """The clips with captions of one kind; drawn, embedded and captioned only if they are not in the folder."""
    embedder = ClipEmbedder()
    num_scenes = round(num_clips * (1 - SEEN_AGAIN))
    seeds = first_seed + np.arange(num_clips) % num_scenes
    stem = folder / f"{first_seed}-{num_clips}"
    clips_file, said_file = stem.with_suffix(".clips.npy"), stem.with_suffix(".said.json")
    said = [detailed_caption(draw_scene(int(seed))) for seed in seeds]
    if not clips_file.exists() or (kind == "builtin" and not said_file.exists()):
        stage = _captioning(backend) if kind == "builtin" else None
        clips, captions = np.zeros((num_clips, embedder.dim), np.float32), [""] * num_clips
        for numbers, frames in drawn(seeds, num_scenes):
            clips[numbers] = embedder.embed_frames([clip[1::2] for clip in frames])
            if stage is not None:
                for i, text in zip(numbers, _said(stage, frames), strict=True):
                    captions[i] = text
        np.save(clips_file, clips)
        if stage is not None:
            said_file.write_text(json.dumps(captions))
    if kind == "builtin":
        said = json.loads(said_file.read_text())
    return Captioned(seeds, np.load(clips_file), said, embedder.embed_texts(said))


def drawn(seeds: np.ndarray, num_scenes: int) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Numbers of clips and their frames, (T, H, W, 3) uint8 each, by sizes; a scene seen again has another size."""
    for k, (width, height) in enumerate(SIZES):
        of_size = [i for i in range(len(seeds)) if (i + (i >= num_scenes)) % len(SIZES) == k]
        for start in range(0, len(of_size), BATCH):
            numbers = of_size[start : start + BATCH]
            scenes = [draw_scene(int(seeds[i])) for i in numbers]
            frames = draw(plan(scenes, width, height, NUM_FRAMES)).byte().permute(0, 2, 3, 4, 1)
            yield numbers, list(frames.contiguous().numpy())


def _captioning(backend: str) -> Captioning:
    settings = [f"caption.backend={backend}", "embedding.model=none"]
    if backend == "vllm":
        settings.append("caption.engine_options={max_model_len=2048}")
    recipe = change_recipe(load_recipe("default"), settings)
    return Captioning(recipe, lambda stage, rows, seconds, num_bytes, counts: None)


def _said(stage: Captioning, clips: list[np.ndarray]) -> list[str]:
    """Detailed captions of clips, by the caption stage; empty where it has none."""
    facts = {"clip_id": "", "encoder": None, "source": "{}", "camera_motion": None, "content_box": None}
    columns = {
        "clip": [pickle.dumps(facts | {"failures": 0, "given": None})] * len(clips),
        "frames": [clip.tobytes() for clip in clips],
        "shape": [list(clip.shape) for clip in clips],
        "times_s": [[t / 4 for t in range(NUM_FRAMES)]] * len(clips),
        "failure": [""] * len(clips),
        "transient": [False] * len(clips),
    }
    return [row["detailed"] or "" for row in stage.rows(pa.table(columns))]


if __name__ == "__main__":
    sys.exit(main())
