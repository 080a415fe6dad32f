"""How fast stored latents are read, held against bare Parquet and against the disk.

    python -m tests.bench.latent_store [--latents 4000] [--kib 96]

The same made-up latents are read in four ways in one run: the bytes of the files; all rows in their order by pyarrow,
as arrays; all in a random order by `StoredArrays`, packs of eight at a time, as training does; and one by one. Every
array that `StoredArrays` gives has been held against its hash. Files are in the cache of the operating system.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from rich.console import Console
from rich.table import Table

from pipeline.encode.arrays import StoredArrays
from pipeline.store.dataset import Dataset
from schemas import TEXT
from schemas.identity import bytes_digest

PACK, ROWS_A_PART, NUM_ALONE = 8, 32, 200
WIDTH = 512


def write(dataset: Dataset, num_latents: int, kib: int) -> list[str]:
    """As `encode` writes them, in parts of 32; returns their keys."""
    rng = np.random.default_rng(0)
    keys = [f"{number:08}" for number in range(num_latents)]
    for start in range(0, num_latents, ROWS_A_PART):
        rows = []
        for key in keys[start : start + ROWS_A_PART]:
            values = rng.normal(size=(kib, WIDTH)).astype(np.float16)
            data = values.tobytes()
            known = {"text_id": key, "encoder": "e", "text": "", "dtype": "float16", "shape": list(values.shape)}
            rows.append(known | {"data_hash": bytes_digest(data), "data": data})
        dataset.write_part(TEXT, rows)
    return keys


def read_bytes(dataset: Dataset) -> None:
    for path in dataset.part_files(TEXT.folder):
        Path(path).read_bytes()


def read_bare(dataset: Dataset) -> None:
    """Each row as an array, by pyarrow alone."""
    for path in dataset.part_files(TEXT.folder):
        table = pyarrow.parquet.read_table(path, columns=["shape", "data"])
        for shape, data in zip(table["shape"].to_pylist(), table["data"], strict=True):
            np.frombuffer(data.as_buffer(), np.float16).reshape(shape).copy()


def read_packs(store: StoredArrays, packs: Sequence[Sequence[str]]) -> None:
    """One after another; none is kept, as memory that is new to a process costs more time than reading does."""
    for pack in packs:
        store.read(pack)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bench(console: Console, num_latents: int, kib: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset(folder)
        keys = write(dataset, num_latents, kib)
        mib = num_latents * kib / 1024
        shuffled = [keys[place] for place in np.random.default_rng(1).permutation(num_latents)]
        wanted = pa.table({"text_id": keys})
        index_s = seconds(lambda: StoredArrays.of_table(dataset, TEXT, wanted))
        store = StoredArrays.of_table(dataset, TEXT, wanted)
        packs = [shuffled[start : start + PACK] for start in range(0, num_latents, PACK)]
        read_bytes(dataset)
        table = Table("read", "MiB/s", "of bare Parquet", title=f"{num_latents} latents of {kib} KiB")
        bare = mib / seconds(lambda: read_bare(dataset))
        for name, speed in (
            ("bytes of the files", mib / seconds(lambda: read_bytes(dataset))),
            ("bare Parquet, in order", bare),
            ("the store, packs at random", mib / seconds(lambda: read_packs(store, packs))),
        ):
            table.add_row(name, f"{speed:.0f}", f"{speed / bare:.2f}")
        console.print(table)
        alone = seconds(lambda: [store.read([key]) for key in shuffled[:NUM_ALONE]]) / NUM_ALONE
        console.print(f"one at random: {1000 * alone:.2f} ms; index of all: {index_s:.2f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latents", type=int, default=4000)
    parser.add_argument("--kib", type=int, default=96)
    options = parser.parse_args()
    bench(Console(highlight=False, width=100), options.latents, options.kib)
    return 0


if __name__ == "__main__":
    sys.exit(main())
