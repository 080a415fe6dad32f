"""How long a step of training takes beside what it computes, as a share of what matrix products reach.

    python -m tests.bench.training_step [--networks builtin,dit-s/2,latte-s/2-1] [--tokens 3072] [--steps 6]

Each network is trained for some steps on clips of the sizes of a release (`clip_sizes.py`), packed. FLOPs are counted
in two ways: every operation of a step as PyTorch runs it (FlopCounterMode), and by the formula that training prints
(`model/training/speed.py`), which leaves out what lies outside the blocks and takes all of a clip to attend to all of
it. A step has its optimizer and its averages, which are not in either. The limit is measured in the same run: the
product of a pack's tokens and a matrix of the network's own width, in the same precision and threads. The waits are
those for samples, made by a thread beside the step as in a run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.training.examples import LatentStatistics, Sample
from model.training.model_settings import whole_model
from model.training.parallel import ALONE
from model.training.progress import Progress
from model.training.samples import HeldSamples, ahead
from model.training.speed import with_waits
from model.training.step import TrainState
from schemas.recipe.train import ModelConfig, TrainConfig
from tests.bench.clip_sizes import PATCH, drawn_grids

CHANNELS, TEXT_TOKENS, TEXT_DIM, NUM_CLIPS = 8, 24, 128, 400
STATISTICS = LatentStatistics((0.0,) * CHANNELS, (1.0,) * CHANNELS)
PRODUCT_S = 1.0
"""Seconds for which matrix products are timed."""


@dataclass(frozen=True)
class Speed:
    """Of one network: means over its steps."""

    parameters: int
    step_s: float
    waited_s: float
    tokens: float
    counted_flops: float
    formula_flops: float
    limit_flops_per_s: float


def clips(largest: int) -> list[Sample]:
    """Samples of random values with sizes of a release, without those of more tokens than a pack."""
    grids = drawn_grids(NUM_CLIPS)
    grids = grids[grids.prod(axis=1) <= largest]
    _, rows, columns = PATCH
    rng = np.random.default_rng(0)
    return [
        Sample(
            f"{number:05}",
            rng.standard_normal((CHANNELS, T, H * rows, W * columns), np.float32).astype(np.float16),
            [rng.standard_normal((TEXT_TOKENS, TEXT_DIM), np.float32)],
            latent_fps=2.0,
        )
        for number, (T, H, W) in enumerate(grids.tolist())
    ]


def product_flops_per_s(tokens: int, width: int) -> float:
    """Of products of (tokens, width) and (width, 4 width), the largest of a block."""
    left, right = torch.randn(tokens, width), torch.randn(width, 4 * width)
    left @ right
    count, start_s = 0, time.perf_counter()
    while time.perf_counter() - start_s < PRODUCT_S:
        left @ right
        count += 1
    return count * 8 * tokens * width**2 / (time.perf_counter() - start_s)


def speed_of(name: str, samples: Sequence[Sample], tokens_per_pack: int, num_steps: int) -> Speed:
    """Train one network; the first step, which warms up and is counted, is not timed."""
    model = whole_model(ModelConfig(preset=name))
    model = replace(model, num_labels=0, text="cross" if model.text == "none" else model.text)
    config = TrainConfig(steps=num_steps + 1, tokens_per_pack=tokens_per_pack, packs_per_step=1, model=model)
    state = TrainState(HeldSamples(samples), config, STATISTICS, TEXT_DIM, ALONE)
    timed, formula, tokens, waits = [], [], [], []
    counted = 0.0
    steps = ahead(state.steps_from(Progress()), lambda step: state.batch(step[1]))
    for ((progress, _), batch), waited_s in with_waits(steps):
        if progress.step == 1:
            with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # the kernel that it counts
                metrics = state.step(progress, batch)
            counted = counter.get_total_flops() / metrics["flops"]
            continue
        metrics = state.step(progress, batch)
        timed.append(metrics["seconds"])
        formula.append(metrics["flops"])
        tokens.append(metrics["tokens"])
        waits.append(waited_s)
    flops, parameters = statistics.mean(formula), sum(one.numel() for one in state.model.parameters())
    limit = product_flops_per_s(tokens_per_pack, model.width)
    means = statistics.mean(timed), statistics.mean(waits), statistics.mean(tokens)
    return Speed(parameters, *means, counted * flops, flops, limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="builtin,dit-s/2,latte-s/2-1")
    parser.add_argument("--tokens", type=int, default=3072)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    samples = clips(options.tokens)
    title = f"{len(samples)} clips, packs of at most {options.tokens} tokens, {options.threads} threads, float32"
    columns = ("network", "parameters", "tokens", "GFLOP counted", "by formula", "s a step", "tokens/s", "GFLOP/s")
    table = Table(*columns, "of products", "waits", title=title, title_justify="left")
    for name in options.networks.split(","):
        speed = speed_of(name, samples, options.tokens, options.steps)
        rate = speed.counted_flops / speed.step_s
        table.add_row(
            name,
            f"{speed.parameters / 1e6:.1f} M",
            f"{speed.tokens:.0f}",
            f"{speed.counted_flops / 1e9:.0f}",
            f"{speed.formula_flops / 1e9:.0f}",
            f"{speed.step_s:.2f}",
            f"{speed.tokens / speed.step_s:.0f}",
            f"{rate / 1e9:.0f}",
            f"{rate / speed.limit_flops_per_s:.0%}",
            f"{speed.waited_s / (speed.step_s + speed.waited_s):.1%}",
        )
    Console(width=140, highlight=False).print(table)


if __name__ == "__main__":
    main()
