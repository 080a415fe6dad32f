"""Every captioner backend on the same clips: `curate` runs once, then `recaption` on a copy of the data set for each.

    python -m tests.bench.backends [--videos FOLDER] [--backends transformers,vllm,openai,coca]

Without FOLDER it uses the demo's synthetic corpus. `openai` asks a live vLLM server that is started here. transformers,
vllm and openai use the same weights, so their greedy texts are compared with those of the first backend. A caption that
was retried is not compared, because its second text is sampled. The built-in model's captions of footage are wrong; on
footage this only tests that all backends agree.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs.cli import main as reelmill
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from pipeline.synthetic.corpus import draw_corpus
from tests.pipeline.caption.serving import start_vllm, vllm_server

BACKENDS = ("transformers", "vllm", "openai", "coca")
SAME_WEIGHTS = BACKENDS[:3]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path)
    parser.add_argument("--backends", default=",".join(BACKENDS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        videos = options.videos
        if videos is None:
            draw_corpus(Path(folder) / "corpus")
            videos = Path(folder) / "corpus" / "inputs.jsonl"
        run(["curate", str(videos), "--out", f"{folder}/plain", "--recipe", "demo", "--set", "caption.backend=none"])
        captions = {name: captioned(name, Path(folder)) for name in options.backends.split(",")}
    Console(highlight=False, width=160).print(table_of(captions))
    for name, (rows, _) in captions.items():
        print(f"{name}: {rows[0]['captioner_name']}: {rows[0]['detailed']}")
    return 0


def run(arguments: Sequence[str]) -> dict[str, Any]:
    """Run one command of reelmill; returns its summary."""
    output = StringIO()
    with contextlib.redirect_stdout(output):
        status = reelmill([*arguments, "--json"])
    if status:
        raise RuntimeError(f"reelmill {' '.join(arguments)}: exit {status}")
    return json.loads(output.getvalue())


def captioned(backend: str, folder: Path) -> tuple[list[dict[str, Any]], float]:
    """The view `captions` of a copy of the data set, by clip, and the seconds of the job with its start."""
    location = folder / backend
    shutil.copytree(folder / "plain", location)
    with settings_of(backend) as settings:
        start_s = time.perf_counter()
        run(["recaption", str(location), *(word for setting in settings for word in ("--set", setting))])
        seconds = time.perf_counter() - start_s
    rows = connect(Dataset(str(location))).sql("from captions order by clip_id").to_arrow_table().to_pylist()
    return rows, seconds


@contextlib.contextmanager
def settings_of(backend: str) -> Iterator[list[str]]:
    if backend != "openai":
        # The demo's recipe merges captions with titles, which CoCa cannot do.
        yield [f"caption.backend={backend}", *(["caption.rewrite="] if backend == "coca" else [])]
        return
    with vllm_server(start_vllm()) as url:
        yield ["caption.backend=openai", f"caption.url={url}"]


def table_of(captions: Mapping[str, tuple[list[dict[str, Any]], float]]) -> Table:
    table = Table(
        "backend", "clips", "ok", "rejected", "failed", "greedy texts equal to the first's", "tokens", "job, s"
    )
    reference = next(iter(captions.values()))[0]
    for name, (rows, seconds) in captions.items():
        counts = Counter(row["status"] for row in rows)
        rejected = Counter(reason for row in rows if row["status"] == "rejected" for reason in row["reasons"])
        pairs = [
            (one["detailed"], other["detailed"])
            for one, other in zip(reference, rows, strict=True)
            if one["num_attempts"] == other["num_attempts"] == 1
        ]
        num_equal = f"{sum(one == other for one, other in pairs)} of {len(pairs)}" if name in SAME_WEIGHTS else "-"
        reasons = ", ".join(f"{reason} {number}" for reason, number in rejected.most_common())
        tokens = sum(row["num_output_tokens"] for row in rows)
        table.add_row(
            name,
            str(len(rows)),
            str(counts["ok"]),
            f"{counts['rejected']} {reasons}".strip(),
            str(counts["failed"]),
            num_equal,
            str(tokens),
            f"{seconds:.0f}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
