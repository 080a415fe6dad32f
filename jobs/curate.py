"""Split, measure, filter and caption videos into a data set.

INPUT is a file, a folder, a glob, a URI, or a .parquet, .csv or .jsonl list with a `uri` column. Running the same
command again does only what is still missing; a killed run is continued the same way.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

from jobs.arguments import add_json_argument, add_recipe_arguments, recipe_from
from jobs.cli import run_job
from jobs.progress import live_progress
from jobs.runs import new_run_id, write_run
from jobs.summary import print_funnel
from pipeline.captioners.captioner import BUILTIN, fingerprint
from pipeline.captioning import captioner_config
from pipeline.dataset import Dataset
from pipeline.listing import Listing, list_inputs
from pipeline.query import funnel, reject_reasons
from pipeline.resume import Pending, find_pending
from schemas.errors import UsageError
from schemas.recipe import Recipe, decode_recipe

FIXED_SECTIONS = ("split", "measure", "rules")
"""Sections that every clip of a data set must have been made with."""


BUILTIN_NOTICE = (
    "captions are by the built-in model, which knows drawn shapes and not footage; "
    "for footage name a model: --set caption.checkpoint=Qwen/Qwen2.5-VL-7B-Instruct"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", nargs="+", metavar="INPUT", help="file, folder, glob, URI or list")
    parser.add_argument("--out", required=True, metavar="DATASET", help="folder or URI prefix of the data set")
    add_recipe_arguments(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    recipe = recipe_from(args)
    _require_models(recipe)
    listing = list_inputs(args.input)
    dataset = Dataset(args.out)
    dataset.make_writable()
    _require_same_rules(dataset, recipe)
    start_s = time.perf_counter()
    dataset.clear_temporaries()
    pending = find_pending(dataset, listing.inputs, _captioner_fingerprint(recipe))
    if pending and recipe.caption.backend != "none" and recipe.caption.checkpoint == BUILTIN:
        print(BUILTIN_NOTICE, file=sys.stderr)
    stages = curate(dataset, pending, recipe) if pending else {}
    _print_summary(args, dataset, listing, pending, stages, time.perf_counter() - start_s)
    return 0


def curate(dataset: Dataset, pending: Pending, recipe: Recipe) -> dict[str, Any]:
    """Run the graph over what is pending and record the run; returns the totals of each stage."""
    from pipeline import runtime

    run_id = new_run_id("curate")
    write_run(dataset, run_id, "curate", recipe, state="running")
    start_s = time.perf_counter()
    runtime.connect()
    ledger = runtime.start_ledger()
    graph = runtime.curation_graph(dataset, pending, recipe, runtime.ActorReporter(ledger))
    total = len(pending.inputs)
    with live_progress(lambda: runtime.read_ledger(ledger), lambda stages: _progress_line(stages, total)):
        runtime.drain(graph)
    stages = runtime.read_ledger(ledger)
    facts = {"stages": stages, "seconds": time.perf_counter() - start_s, "funnel": funnel(dataset)}
    write_run(dataset, run_id, "curate", recipe, state="done", facts=facts)
    return stages


def _require_models(recipe: Recipe) -> None:
    """Models are built in, a folder, or a hub's ORGANISATION/MODEL, which only the hub can look up.

    Raises:
        UsageError: a name that is none of these.
    """
    if recipe.caption.backend == "none":
        return
    for key, name in (("caption.checkpoint", recipe.caption.checkpoint), ("embedding.model", recipe.embedding.model)):
        if name != BUILTIN and not os.path.isdir(name) and (name.count("/") != 1 or name.startswith(("/", ".", "~"))):
            raise UsageError(f"recipe {recipe.name}: {key} = {name!r}: no such folder, and no ORGANISATION/MODEL")


def _captioner_fingerprint(recipe: Recipe) -> str | None:
    if recipe.caption.backend == "none":
        return None
    return fingerprint(captioner_config(recipe.caption))


def _require_same_rules(dataset: Dataset, recipe: Recipe) -> None:
    """A data set is scanned and judged one way; another way is another data set.

    Raises:
        UsageError: an earlier run used other settings; names the first key that differs.
    """
    earlier = [run["recipe"] for run in dataset.runs() if run["job"] == "curate"]
    if not earlier:
        return
    before, now = decode_recipe(earlier[-1], origin="of the data set").as_dict(), recipe.as_dict()
    for section in FIXED_SECTIONS:
        difference = _first_difference(before[section], now[section], section)
        if difference:
            raise UsageError(f"data set {dataset.location} was curated with {difference}; use another --out")


def _first_difference(before: Any, now: Any, path: str) -> str | None:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(k for k in now if k not in before)]:
            difference = _first_difference(before.get(key), now.get(key), f"{path}.{key}")
            if difference:
                return difference
        return None
    return None if before == now else f"{path} = {before!r}, not {now!r}"


def _progress_line(stages: dict[str, dict[str, Any]], num_inputs: int) -> str:
    counts: dict[str, int] = {}
    for totals in stages.values():
        counts |= totals["counts"]
    scan = stages.get("scan", {"rows": 0, "seconds": 0.0})
    kept = counts.get("clips kept", 0)
    parts = [f"videos {scan['rows']}/{num_inputs}"]
    if counts.get("videos failed"):
        parts.append(f"{counts['videos failed']} failed")
    parts.append(f"clips {kept} kept, {counts.get('clips rejected', 0)} rejected")
    parts.append(f"captions {sum(n for name, n in counts.items() if name.startswith('captions '))}")
    if scan["seconds"]:
        parts.append(f"{counts.get('frames', 0) / scan['seconds']:.0f} frames/s a task")
    return " | ".join(parts)


def _print_summary(
    args: argparse.Namespace,
    dataset: Dataset,
    listing: Listing,
    pending: Pending,
    stages: dict[str, Any],
    seconds: float,
) -> None:
    summary = {
        "dataset": dataset.location,
        "funnel": funnel(dataset),
        "reasons": {reason: clips for reason, clips, _ in reject_reasons(dataset)},
        "inputs": len(listing.inputs),
        "inputs_done_before": len(listing.inputs) - len(pending.inputs),
        "files_without_media_suffix": listing.num_other_files,
        "seconds": round(seconds, 2),
        "stages": stages,
    }
    if args.json:
        json.dump(summary, sys.stdout)
        print()
        return
    if listing.num_other_files:
        print(f"{listing.num_other_files} files in folders were left out: not named like a video or an image")
    done = summary["inputs_done_before"]
    print(f"{len(listing.inputs)} inputs, {done} of them done before, in {seconds:.1f} s -> {dataset.location}")
    print_funnel(dataset)


if __name__ == "__main__":
    sys.exit(run_job("curate"))
