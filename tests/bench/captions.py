"""Captions: output tokens a second of the stage beside those of the bare engine on the same requests, in one process.

    python -m tests.bench.captions [--backend vllm] [--clips 64]

Held-out drawn clips, the built-in model. The engine is the same one for both; what it could remember of the first pass
is switched off. Besides the engine the stage fits frames, reads and checks answers, and compares texts with clips.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import cv2
import pyarrow as pa
import torch
from rich.console import Console
from rich.table import Table

from pipeline.captioning import Captioning
from pipeline.drawn.render import render
from pipeline.drawn.world import draw_scene
from pipeline.engines.engine import Answer, Engine, Fault, Request, Sampling
from schemas.recipe import change_recipe, load_recipe

HELD_OUT_SEED = 1_000_000_000
SIZES = ((192, 192), (256, 144), (144, 256), (256, 192))
FORGETFUL = "{enable_prefix_caching=false,mm_processor_cache_gb=0,max_model_len=2048}"


class Recording:
    """An engine that notes what it is asked, and how long it takes."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.grid_px, self.told_fps = engine, engine.grid_px, engine.told_fps
        self.requests: list[Request] = []
        self.seconds, self.num_tokens = 0.0, 0

    def answer(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        start_s = time.perf_counter()
        answers = self.engine.answer(requests, sampling)
        self.seconds += time.perf_counter() - start_s
        self.requests += requests
        self.num_tokens += sum(answer.num_tokens for answer in answers if isinstance(answer, Answer))
        return answers


def batch_of(seeds: Sequence[int]) -> pa.Table:
    """Drawn clips as the frames operator hands them on."""
    rows: dict[str, list[Any]] = defaultdict(list)
    for seed in seeds:
        frames = render(draw_scene(seed), *SIZES[seed % len(SIZES)], 8)
        facts = {"clip_id": str(seed), "encoder": None, "source": "{}", "camera_motion": None}
        values = (json.dumps(facts), frames.tobytes(), list(frames.shape), [i / 4 for i in range(8)], "")
        for name, value in zip(("clip", "frames", "shape", "times_s", "failure"), values, strict=True):
            rows[name].append(value)
    return pa.table(dict(rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="vllm", choices=("vllm", "transformers"))
    parser.add_argument("--clips", type=int, default=64)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    settings = [f"caption.backend={options.backend}"]
    if options.backend == "vllm":
        settings.append(f"caption.engine_options={FORGETFUL}")
    recipe = change_recipe(load_recipe("default"), settings)
    stage = Captioning(recipe, _unreported)
    captioner: Any = stage._captioner
    recording = Recording(captioner.engine)
    object.__setattr__(captioner, "engine", recording)
    stage(batch_of([HELD_OUT_SEED - 1]))
    recording.requests, recording.seconds, recording.num_tokens = [], 0.0, 0
    size = recipe.caption.batch_clips
    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + options.clips)
    batches = [batch_of(seeds[start : start + size]) for start in range(0, options.clips, size)]
    start_s = time.perf_counter()
    rows = [json.loads(text) for batch in batches for text in stage(batch)["row"].to_pylist()]
    stage_s = time.perf_counter() - start_s
    stage_tokens, inside_s = recording.num_tokens, recording.seconds
    asked, recording.requests = list(recording.requests), []
    start_s = time.perf_counter()
    answers = recording.engine.answer(asked, captioner.greedy)
    bare_s = time.perf_counter() - start_s
    bare_tokens = sum(answer.num_tokens for answer in answers if isinstance(answer, Answer))
    table = Table("what", "requests", "tokens", "s", "tokens/s", "of bare engine")
    bare_rate = bare_tokens / bare_s
    for name, tokens, seconds in (("bare engine", bare_tokens, bare_s), ("caption stage", stage_tokens, stage_s)):
        rate = tokens / seconds
        table.add_row(name, str(len(asked)), str(tokens), f"{seconds:.2f}", f"{rate:.0f}", f"{rate / bare_rate:.2f}")
    console = Console(highlight=False)
    console.print(table)
    console.print(f"{len(rows) / stage_s:.1f} clips/s; {stage_s - inside_s:.2f} s of the stage outside the engine")
    console.print(f"accepted {sum(row['status'] == 'ok' for row in rows)} of {len(rows)}")
    return 0


def _unreported(*_: Any) -> None:
    """Nobody keeps the ledger here."""


if __name__ == "__main__":
    sys.exit(main())
