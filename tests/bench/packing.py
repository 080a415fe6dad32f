"""Packing beside bucketing and padding: what of a step is useful, and how evenly ranks share it.

    python -m tests.bench.packing [--samples 20000] [--sizes LATENTS.parquet] [--capacity 2048]

Sizes are drawn from a mixture that is like the clips of a release (`drawn_grids`), or are those of the latents in a
part file of the table `latents`. The same samples go through one epoch in four ways:

- packing: `model.packing.plan`, whose packs hold at most `capacity` tokens;
- buckets by shape: a batch has samples of one shape, as many as fit into `capacity`, and the last batch of a bucket,
  which is not full, is dropped (finetrainers, Open-Sora);
- buckets, lengths cut: the same, with clips cut to the next shorter of a few lengths, which leaves fewer buckets;
- padding: any eight samples, padded to the longest.

Every rank computes one pack or batch a step and waits for the one that has most. Seconds are processor seconds of one
thread, because the machine may be busy. Speed is that of a small transformer, forward and backward, on a few batches of
each way in turn. Nothing is tuned on the mixture.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from model.packing.cost import document_costs
from model.packing.packs import Document, pack_documents
from model.packing.plan import Plan
from model.transformer.transformer import Transformer, TransformerConfig
from schemas.identity import digest
from tests.bench.clip_sizes import PATCH, Grid, drawn_grids, read_grids

RANKS = (8, 64)
TIMED_BATCHES, PADDED_BATCH = 16, 8
KEPT_FRAMES = (1, 2, 4, 8, 12, 16, 20)
"""Lengths of the second kind of bucket, in latent frames."""
TEXT_TOKENS, TEXT_DIM, CHANNELS = 16, 32, 4
NETWORK = TransformerConfig(width=96, depth=2, num_heads=2, patch=PATCH, latent_channels=CHANNELS, text_dim=TEXT_DIM)
costs_of = partial(document_costs, width=NETWORK.width, depth=NETWORK.depth)


@dataclass(frozen=True)
class Batches:
    """One epoch in batches, one a rank and step."""

    computed: list[list[Grid]]
    """Grids that the network computes."""
    useful: list[int]
    """Tokens in each that are of samples."""
    num_samples: int
    """Samples in all of them."""


def packing(grids: np.ndarray, capacity: int, num_ranks: int) -> Batches:
    """Steps of the first epoch, and the last of them whole."""
    plan = planned(grids.prod(axis=1), capacity, num_ranks)
    packs: list[list[int]] = []
    num_samples = 0
    for step in plan.steps():
        packs += [[int(i) for i in pack.ids] for pack in step.packs]
        num_samples += sum(len(pack.ids) for pack in step.packs if pack.epoch == 0)
        if step.epoch > 0 or num_samples == len(grids):
            break
    computed = [[tuple(grids[i].tolist()) for i in pack] for pack in packs]
    return Batches(computed, [int(grids[pack].prod(axis=1).sum()) for pack in packs], num_samples)


def planned(counts: np.ndarray, capacity: int, packs_per_step: int) -> Plan:
    return Plan(
        [f"{i:08}" for i in range(len(counts))],
        counts,
        capacity,
        packs_per_step,
        costs_of,
        lambda epoch: digest("bench", epoch),
    )


def buckets(grids: np.ndarray, capacity: int) -> Batches:
    buckets: dict[Grid, int] = defaultdict(int)
    batches = []
    for grid in map(tuple, grids.tolist()):
        buckets[grid] += 1
        size = capacity // int(np.prod(grid))
        if buckets[grid] == size:
            batches.append([grid] * size)
            buckets[grid] = 0
    order = np.random.default_rng(0).permutation(len(batches))
    batches = [batches[i] for i in order]
    return Batches(batches, [num_tokens(batch) for batch in batches], sum(map(len, batches)))


def cut_to_lengths(grids: np.ndarray) -> np.ndarray:
    kept = np.array(KEPT_FRAMES)
    cut = grids.copy()
    cut[:, 0] = kept[np.searchsorted(kept, grids[:, 0], side="right") - 1]
    return cut


def padding(grids: np.ndarray) -> Batches:
    counts = grids.prod(axis=1)
    parts = [range(i, min(i + PADDED_BATCH, len(grids))) for i in range(0, len(grids), PADDED_BATCH)]
    longest = [max(part, key=lambda i: counts[i]) for part in parts]
    computed = [[tuple(grids[i].tolist())] * len(part) for i, part in zip(longest, parts, strict=True)]
    return Batches(computed, [int(counts[part].sum()) for part in parts], len(grids))


def num_tokens(batch: list[Grid]) -> int:
    return int(np.prod(batch, axis=1).sum())


def num_cost(batch: list[Grid]) -> int:
    return int(costs_of(np.prod(batch, axis=1)).sum())


def waiting(values: list[int], num_ranks: int) -> float:
    """How much longer steps are than if all ranks had the same: the sum of maxima over that of means, less 1."""
    whole = len(values) // num_ranks * num_ranks
    steps = np.array(values[:whole], dtype=float).reshape(-1, num_ranks)
    return steps.max(axis=1).sum() / steps.mean(axis=1).sum() - 1 if whole else float("nan")


def useful_tokens_per_s(ways: Sequence[Batches], num: int) -> list[float]:
    """Of a small transformer, forward and backward, over batches drawn at random."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Transformer(NETWORK)
    tokens, seconds = [0] * len(ways), [0.0] * len(ways)
    drawn = [np.random.default_rng(1).permutation(len(way.computed))[:num] for way in ways]
    _train_s(model, ways[0].computed[0])
    for turn in range(num):
        for number, way in enumerate(ways):
            batch = drawn[number][turn % len(drawn[number])]
            seconds[number] += _train_s(model, way.computed[batch])
            tokens[number] += way.useful[batch]
    return [of_tokens / of_s for of_tokens, of_s in zip(tokens, seconds, strict=True)]


def _train_s(model: Transformer, grids: list[Grid]) -> float:
    pack = pack_documents([_document(grid) for grid in sorted(grids)], PATCH, TEXT_DIM)
    model.prepare(pack.table, torch.device("cpu"))
    start_s = time.process_time()
    (model(pack) - 1).square().mean().backward()
    return time.process_time() - start_s


def _document(grid: Grid) -> Document:
    T, H, W = grid
    latent = torch.randn(CHANNELS, T, 2 * H, 2 * W)
    return Document(latent, torch.zeros(1, 1, 1, dtype=torch.bool), 0.5, 2.0, torch.randn(TEXT_TOKENS, TEXT_DIM))


def planning(num: int, capacity: int) -> str:
    """Seconds for one epoch, and by how much it raises the peak of this process's memory."""
    counts = drawn_grids(num).prod(axis=1)
    names = [f"{i:08}" for i in range(num)]
    before_kib, start_s = peak_kib(), time.process_time()
    steps = Plan(names, counts, capacity, 64, costs_of, lambda epoch: digest("bench", epoch)).steps()
    next(steps)
    first_s = time.process_time() - start_s
    num_steps = 1 + sum(1 for _ in takewhile(lambda step: step.epoch == 0, steps))
    seconds, mib = time.process_time() - start_s, (peak_kib() - before_kib) / 1024
    return (
        f"{num:,} samples are planned in {seconds:.1f} s, as {num_steps} steps of 64 packs; "
        f"the first after {first_s:.1f} s; with {mib:.0f} MiB beside the names"
    )


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


FIGURES = (
    "useful tokens, of those computed",
    "fill: useful tokens, of a pack's",
    "samples dropped",
    "tokens cut off",
    "largest batch, tokens",
    *(f"waiting by {of}, {num} ranks" for of in ("tokens", "cost") for num in RANKS),
)


def figures(way: dict[int, Batches], used: np.ndarray, grids: np.ndarray, capacity: int) -> list[str]:
    """FIGURES of batches by number of ranks, which hold the samples at the sizes that are used."""
    batches = way[RANKS[0]]
    tokens = [num_tokens(batch) for batch in batches.computed]
    fill = np.mean(batches.useful) / capacity
    return [
        f"{sum(batches.useful) / sum(tokens):.1%}",
        f"{fill:.1%}" if max(tokens) <= capacity else "-",
        f"{1 - batches.num_samples / len(grids):.1%}",
        f"{1 - used.prod(axis=1).sum() / grids.prod(axis=1).sum():.1%}",
        f"{max(tokens)}",
        *(f"{waiting([num_tokens(batch) for batch in way[num].computed], num):.1%}" for num in RANKS),
        *(f"{waiting([num_cost(batch) for batch in way[num].computed], num):.1%}" for num in RANKS),
    ]


def bench(console: Console, grids: np.ndarray, capacity: int, num_timed: int) -> None:
    counts, cut = grids.prod(axis=1), cut_to_lengths(grids)
    ways = {
        "packing": ({num: packing(grids, capacity, num) for num in RANKS}, grids),
        "buckets by shape": (dict.fromkeys(RANKS, buckets(grids, capacity)), grids),
        "buckets, lengths cut": (dict.fromkeys(RANKS, buckets(cut, capacity)), cut),
        "padding": (dict.fromkeys(RANKS, padding(grids)), grids),
    }
    columns = [figures(way, used, grids, capacity) for way, used in ways.values()]
    speeds = useful_tokens_per_s([way[RANKS[0]] for way, _ in ways.values()], num_timed)
    console.print(f"{len(grids)} samples of {counts.min()} to {counts.max()} tokens, packs of {capacity}")
    table = Table("", *ways)
    for name, *values in zip(FIGURES, *columns, strict=True):
        table.add_row(name, *values)
    table.add_row("useful tokens/s", *(f"{speed:.0f}" for speed in speeds))
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20_000, help="to draw")
    parser.add_argument("--sizes", type=Path, help="part file of the table `latents`, in place of drawn sizes")
    parser.add_argument("--capacity", type=int, default=2048, help="tokens of a pack or batch at most")
    parser.add_argument("--timed", type=int, default=TIMED_BATCHES, help="batches to compute in each way")
    parser.add_argument("--planned", type=int, default=1_000_000, help="samples of which an epoch is planned")
    options = parser.parse_args()
    console = Console(highlight=False, width=160)
    if options.planned:
        console.print(planning(options.planned, options.capacity))
    grids = read_grids(options.sizes) if options.sizes else drawn_grids(options.samples)
    bench(console, grids, options.capacity, options.timed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
