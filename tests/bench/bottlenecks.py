"""Bottlenecks of the built-in codec, fitted alike: `python -m tests.bench.bottlenecks --minutes 2`.

Each kind is fitted for the same time of the processor, whatever else the machine does, from the same seed, in a small
network, to the same synthetic clips in the same order. It is measured on synthetic clips of held-out seeds and, with
`--videos FOLDER`, on a clip of each video there. So little time tells how the kinds start, not where they end. The
settings of each kind are the defaults in `model/codec/bottlenecks/config.py`, none of them tuned on these clips; the
kinds with codes have about 2**10 of them.

Prints a table, writes the measures as JSON, and with `--out` keeps the fitted codecs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from jobs.fits.autoencoder.__main__ import with_bottleneck
from jobs.fits.autoencoder.card import COLUMNS, OF_CODES
from jobs.fits.autoencoder.clips import clips_of_videos, held_out_clips
from jobs.fits.autoencoder.fit import Fit
from jobs.fits.autoencoder.measures import measure, with_latent_statistics
from model.codec.bottlenecks.config import KINDS, LookupFreeConfig
from model.codec.causal import Autoencoder, AutoencoderConfig, load_autoencoder, save_autoencoder

SMALL = AutoencoderConfig(
    fine_channels=32, coarse_channels=48, detail_channels=16, encoder_blocks=(1, 1), decoder_blocks=(1, 1, 1)
)
BATCH_PX = 9 * 64 * 64 * 4
"""Half of a batch on a CPU, for twice the steps."""
BITS = 10
"""Channels of lookup-free codes, which thus are as many as those of the other kinds."""
SHAPE_THW, NUM_CLIPS = (17, 64, 96), 24
FORMATS = COLUMNS | {"floats_per_px": ".4f"} | OF_CODES


def fitted(kind: str, minutes: float, seed: int, folder: Path) -> tuple[Autoencoder, int]:
    """A codec with a bottleneck of a kind, as it is loaded from its folder, and the number of its steps."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    bottleneck = KINDS[kind]()
    channels = BITS if isinstance(bottleneck, LookupFreeConfig) else None
    network = Autoencoder(with_bottleneck(SMALL, bottleneck, channels)).train()
    fit = Fit(network, seed, "cpu", precision=torch.float32, batch_px=BATCH_PX)
    fit.run(60 * minutes, folder, clock=time.process_time)
    save_autoencoder(folder, with_latent_statistics(fit.averaged(), seed, "cpu"))
    return load_autoencoder(str(folder)), fit.step


def show(console: Console, title: str, rows: list[dict[str, Any]], measures: str) -> None:
    columns = {name: form for name, form in FORMATS.items() if any(name in row[measures] for row in rows)}
    table = Table("kind", "steps", *[name.replace("_", " ") for name in columns], title=title, title_justify="left")
    for row in rows:
        cells = [format(row[measures][name], form) if name in row[measures] else "" for name, form in columns.items()]
        table.add_row(row["kind"], str(row["steps"]), *cells)
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0, help="of the processor, to fit each kind for")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of torch; one is the fastest on cores that are shared")
    parser.add_argument("--videos", type=Path, default=None, help="folder of videos to measure on too")
    parser.add_argument("--out", type=Path, default=None, help="folder to keep the codecs in")
    parser.add_argument("--json", type=Path, default=Path("out/bottlenecks.json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    console = Console(width=180, highlight=False)
    videos = clips_of_videos(args.videos) if args.videos else {}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for kind in args.kinds:
            codec, steps = fitted(kind, args.minutes, args.seed, (args.out or Path(temporary)) / kind)
            row = {"kind": kind, "steps": steps, "synthetic": measure(codec, held_out_clips(SHAPE_THW, NUM_CLIPS))}
            if videos:
                row["videos"] = measure(codec, videos.values())
            console.print(json.dumps(row))
            rows.append(row)
    T, H, W = SHAPE_THW
    show(console, f"{NUM_CLIPS} held-out synthetic clips of {T} x {W}x{H}", rows, "synthetic")
    if videos:
        show(console, f"a clip of each of {len(videos)} videos", rows, "videos")
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps({"minutes": args.minutes, "seed": args.seed, "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
