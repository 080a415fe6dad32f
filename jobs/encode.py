"""Compute the latents and text embeddings of a release.

Both are cached by content: what an earlier run or another release encoded with the same settings is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

from jobs.cli import run_job
from jobs.console.arguments import add_json_argument, add_recipe_arguments, recipe_from
from jobs.console.progress import live_progress
from jobs.steps.records import new_run_id, write_run
from jobs.training.samples import release_texts
from pipeline.release import releases
from pipeline.release.releases import Release
from pipeline.store.dataset import Dataset
from schemas import LATENTS, TEXT
from schemas.recipe import Recipe
from schemas.recipe.encode import EncodeConfig
from schemas.tables.latents import text_id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET")
    parser.add_argument("--release", required=True, metavar="NAME")
    add_recipe_arguments(parser)
    add_json_argument(parser)


@dataclass(frozen=True)
class Encoders:
    """Fingerprints that say which cache a release's latents and texts are in."""

    autoencoder: str
    text_encoder: str
    transform: str


def encoders_of(config: EncodeConfig) -> Encoders:
    """Load both encoders by name, once, for their fingerprints."""
    from model.codec.causal import load_autoencoder
    from model.readers.text_encoder import load_text_encoder

    return Encoders(
        load_autoencoder(config.autoencoder).fingerprint,
        load_text_encoder(config.text_encoder).fingerprint,
        config.transform,
    )


def run(args: argparse.Namespace) -> int:
    recipe = recipe_from(args)
    dataset = Dataset(args.dataset).require()
    release = releases.read(dataset, args.release)
    start_s = time.perf_counter()
    encoders = encoders_of(recipe.encode)
    clips, texts = missing(dataset, release, encoders)
    stages = encode(dataset, clips, texts, recipe) if clips or texts else {}
    _print_summary(args, dataset, release, encoders, len(clips), stages, time.perf_counter() - start_s)
    return 0


def missing(dataset: Dataset, release: Release, encoders: Encoders) -> tuple[list[dict[str, Any]], list[str]]:
    """Released clips without a latent, and texts without an embedding; the empty text stands for a dropped one."""
    have = dataset.keys(LATENTS.within(encoders.autoencoder))
    rows = release.clips.to_pylist()
    clips = [row for row in rows if (row["clip_id"], encoders.transform, encoders.autoencoder) not in have]
    texts = sorted({"", *release_texts(release)})
    have_text = dataset.keys(TEXT.within(encoders.text_encoder))
    return clips, [text for text in texts if (text_id(text), encoders.text_encoder) not in have_text]


def encode(dataset: Dataset, clips: list[dict[str, Any]], texts: list[str], recipe: Recipe) -> dict[str, Any]:
    """Run both graphs and record the run; returns the totals of each stage."""
    from pipeline.ray_graphs import cluster
    from pipeline.ray_graphs.encode import latent_graph, text_graph

    run_id = new_run_id("encode")
    write_run(dataset, run_id, "encode", recipe, state="running")
    start_s = time.perf_counter()
    cluster.connect()
    statistics = cluster.start_statistics()
    report = cluster.ActorReporter(statistics)
    total = len(clips)
    with live_progress(lambda: cluster.read_statistics(statistics), lambda stages: _progress_line(stages, total)):
        if texts:
            cluster.drain(text_graph(dataset, texts, recipe.encode, report))
        if clips:
            cluster.drain(latent_graph(dataset, clips, recipe.encode, report))
    stages = cluster.read_statistics(statistics)
    facts = {"stages": stages, "seconds": time.perf_counter() - start_s}
    write_run(dataset, run_id, "encode", recipe, state="done", facts=facts)
    return stages


def _progress_line(stages: dict[str, dict[str, Any]], num_clips: int) -> str:
    done = {name: totals["rows"] for name, totals in stages.items()}
    return f"texts {done.get('text', 0)} | clips decoded {done.get('frames', 0)}/{num_clips}, " + (
        f"encoded {done.get('latents', 0)}/{num_clips}"
    )


def _print_summary(
    args: argparse.Namespace,
    dataset: Dataset,
    release: Release,
    encoders: Encoders,
    num_new: int,
    stages: dict[str, Any],
    seconds: float,
) -> None:
    table = dataset.read(LATENTS.within(encoders.autoencoder), ["clip_id", "transform", "status", "reason"])
    released = set(release.clips["clip_id"].to_pylist())
    rows = [r for r in table.to_pylist() if r["clip_id"] in released and r["transform"] == encoders.transform]
    failed = [row for row in rows if row["status"] != "ok"]
    summary = {
        "release": release.name,
        "latents": len(rows) - len(failed),
        "failed": len(failed),
        "encoded_now": num_new,
        "autoencoder": encoders.autoencoder,
        "text_encoder": encoders.text_encoder,
        "seconds": round(seconds, 2),
        "stages": stages,
    }
    if args.json:
        json.dump(summary, sys.stdout)
        print()
        return
    print(
        f"release {release.name}: {summary['latents']} latents, {num_new} of them new, "
        f"{len(failed)} failed, in {seconds:.1f} s"
    )
    for row in failed:
        print(f"  {row['clip_id']}: {row['reason']}")


if __name__ == "__main__":
    sys.exit(run_job("encode"))
