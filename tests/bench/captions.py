"""Output tokens a second of the caption stage as a share of the bare engine's on the same requests, in one process.

    python -m tests.bench.captions [--backend vllm] [--clips 256]

The clips are held-out synthetic ones and the model is the built-in one. Both use the same engine object, with its
caches switched off. The stage gets batches as its Ray actor does, several at a time; the bare engine gets all requests
at once. Beside asking the engine, the stage resizes frames, parses and checks answers, retries, and compares texts with
clips. After a warm-up pass, passes of the two alternate.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import pyarrow as pa
import torch
from rich.console import Console
from rich.table import Table

from pipeline.caption.engine import Answer, Engine, Fault, Request, Sampling
from pipeline.caption.stage import Captioning, Try
from pipeline.ray_graphs.caption import calls_at_once
from pipeline.synthetic.render import render
from pipeline.synthetic.world import draw_scene
from schemas.recipe import change_recipe, load_recipe
from schemas.tables.captions import OK

HELD_OUT_SEED = 1_000_000_000
SIZES = ((192, 192), (256, 144), (144, 256), (256, 192))
NO_CACHES = "{enable_prefix_caching=false,mm_processor_cache_gb=0,max_model_len=2048}"
"""Options of vLLM, so that a pass does not profit from an earlier one."""
PASSES = 2


class Recording:
    """An engine that records its requests, the number of its output tokens, and how long it is idle."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.grid_px, self.told_fps = engine, engine.grid_px, engine.told_fps
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.requests: list[Request] = []
        self.num_tokens, self._num_calls, self.idle_s, self._idle_since_s = 0, 0, 0.0, time.perf_counter()

    def answer(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        if not requests:
            return []
        with self._lock:
            if self._num_calls == 0:
                self.idle_s += time.perf_counter() - self._idle_since_s
            self._num_calls += 1
        answers = self.engine.answer(requests, sampling)
        with self._lock:
            self._num_calls -= 1
            self._idle_since_s = time.perf_counter()
            self.requests += requests
            self.num_tokens += sum(answer.num_tokens for answer in answers if isinstance(answer, Answer))
        return answers


@dataclass(frozen=True)
class Pass:
    """One pass: seconds, output tokens, and seconds in which the engine was idle."""

    seconds: float
    num_tokens: int
    idle_s: float

    @property
    def tokens_per_s(self) -> float:
        return self.num_tokens / self.seconds


def batch_of(seeds: Sequence[int], titles: Sequence[str] = ()) -> pa.Table:
    """Synthetic clips as the caption stage receives them, with the titles of their sources."""
    rows: dict[str, list[Any]] = defaultdict(list)
    for i, seed in enumerate(seeds):
        frames = render(draw_scene(seed), *SIZES[seed % len(SIZES)], 8)
        source = json.dumps({"title": titles[i]} if titles else {})
        facts = {"clip_id": str(seed), "encoder": None, "source": source, "camera_motion": None, "given": ""}
        facts |= {"failures": 0, "content_box": [0, 0, frames.shape[2], frames.shape[1]]}
        values = (pickle.dumps(facts), frames.tobytes(), list(frames.shape), [i / 4 for i in range(8)], "", False)
        for name, value in zip(("clip", "frames", "shape", "times_s", "failure", "transient"), values, strict=True):
            rows[name].append(value)
    return pa.table(dict(rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="vllm", choices=("vllm", "transformers"))
    parser.add_argument("--clips", type=int, default=256)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    settings = [f"caption.backend={options.backend}"]
    if options.backend == "vllm":
        settings.append(f"caption.engine_options={NO_CACHES}")
    recipe = change_recipe(load_recipe("default"), settings)
    stage = Captioning(recipe, lambda stage, rows, seconds, num_bytes, counts: None)
    captioner: Any = stage._captioner
    recording = Recording(captioner.engine)
    object.__setattr__(captioner, "engine", recording)
    size, seeds = recipe.caption.batch_clips, range(HELD_OUT_SEED, HELD_OUT_SEED + options.clips)
    batches = [batch_of(seeds[start : start + size]) for start in range(0, options.clips, size)]

    def run_stage() -> list[Try]:
        with ThreadPoolExecutor(calls_at_once(recipe)) as calls:
            return [made for tries in calls.map(stage.tries, batches) for made in tries]

    tries = run_stage()
    requests = list(recording.requests)
    bare: list[Pass] = []
    staged: list[Pass] = []
    for _ in range(PASSES):
        bare.append(timed_pass(recording, lambda: recording.answer(requests, captioner.greedy)))
        staged.append(timed_pass(recording, run_stage))
    print_passes(bare, staged, tries, len(requests))
    return 0


def timed_pass(recording: Recording, run: Any) -> Pass:
    recording.reset()
    start_s = time.perf_counter()
    run()
    seconds = time.perf_counter() - start_s
    return Pass(seconds, recording.num_tokens, recording.idle_s)


def print_passes(bare: Sequence[Pass], staged: Sequence[Pass], tries: Sequence[Try], num_requests: int) -> None:
    table = Table("what", "requests", "tokens", "s", "tokens/s", "of bare engine", "engine idle, s")
    for bare_pass, stage_pass in zip(bare, staged, strict=True):
        for name, done in (("bare engine", bare_pass), ("caption stage", stage_pass)):
            share = done.tokens_per_s / bare_pass.tokens_per_s
            figures = (f"{done.seconds:.1f}", f"{done.tokens_per_s:.0f}", f"{share:.2f}", f"{done.idle_s:.2f}")
            table.add_row(name, str(num_requests), str(done.num_tokens), *figures)
    console = Console(highlight=False)
    console.print(table)
    second_tries = sum(made.row["num_attempts"] == 2 for made in tries)
    accepted = sum(made.outcome == OK for made in tries)
    rates = ", ".join(f"{len(tries) / done.seconds:.1f}" for done in staged)
    console.print(
        f"{rates} clips/s; {accepted} of {len(tries)} captions accepted; {second_tries} clips were asked about twice"
    )


if __name__ == "__main__":
    sys.exit(main())
