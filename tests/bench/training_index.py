"""What it takes to open the samples of a release for training: seconds, and memory of a worker, by number of clips.

    python -m tests.bench.training_index [--clips 1000,100000] [--folder FOLDER] [--rows-a-group 8]
    python -m tests.bench.training_index --index-only 1000000

Made-up tables, as `encode` and `compact` write them but for the arrays, which are of a few bytes: what is read of the
arrays' files here are their footers and small columns. Each clip has three texts of its own. Every figure is of a fresh
process: the first makes the index, the second finds it made. Files are in the cache of the operating system. Seconds
are those of the process on its CPU, which other work on the machine does not change. With `--index-only` the index
itself is made up, and no part files are behind it, so that a large one costs no minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from rich.console import Console
from rich.table import Table

from jobs.training.samples import Encoding, ReleaseSamples
from pipeline.encode.kept_tables import kept_tables
from pipeline.encode.latents import clip_transform
from pipeline.encode.training_index import CLIPS, TEXTS
from pipeline.store.dataset import ARRAYS_A_GROUP, Dataset, to_parquet
from schemas import LATENTS, RELEASES, TEXT
from schemas.columns import Table as Rows
from schemas.identity import bytes_digest, digest
from schemas.recipe.train import TextMix
from schemas.tables.latents import text_id

ENCODING = Encoding("settings", "vae", "t5", 8.0, 4)
ROWS_A_PART, PACK, NUM_PACKS = 4000, 8, 200
KINDS = ("short", "medium", "detailed")
BOX = [0, 0, 96, 64]
WORDS = "a small red ball rolls slowly over the grey floor while the camera pans from the left to the right "


def captions(number: int) -> dict[str, str]:
    return {kind: f"{number} {kind} {WORDS * (place + 1)}" for place, kind in enumerate(KINDS)}


def write(dataset: Dataset, num_clips: int, rows_a_group: int) -> None:
    """The release, its latents and its texts."""
    values = np.zeros((2, 1, 1, 1), np.float16)
    array = {"dtype": "float16", "shape": list(values.shape), "data_hash": bytes_digest(values.tobytes())}
    array |= {"data": values.tobytes(), "run_id": "run", "written_us": 1}
    transform = clip_transform({"content_box": BOX}, ENCODING.transform)
    of_latent = array | {"transform": transform, "encoder": "vae", "status": "ok", "num_positions": 1}
    of_latent |= {"valid": [1, 96, 64], "times_us": [0], "fps": 8.0}
    facts = {"uri": "video.mp4", "start_us": 0, "end_us": 1_000_000, "is_image": False, "num_frames": 8, "width": 96}
    facts |= {"video_id": "v", "motion_px_s": 2.0, "height": 64, "content_box": BOX, "captioner": "c", "source": "{}"}
    clips = []
    for start in range(0, num_clips, ROWS_A_PART):
        numbers = range(start, min(start + ROWS_A_PART, num_clips))
        ids, texts = [digest(number) for number in numbers], [captions(number) for number in numbers]
        clips.append(table(RELEASES, facts, {"clip_id": ids} | {k: [of[k] for of in texts] for k in KINDS}))
        write_arrays(dataset, LATENTS.within("vae"), table(LATENTS, of_latent, {"clip_id": ids}), rows_a_group)
        every = [text for of in texts for text in of.values()]
        keys = {"text_id": [text_id(text) for text in every], "text": every}
        write_arrays(dataset, TEXT.within("t5"), table(TEXT, array | {"encoder": "t5"}, keys), rows_a_group)
    rows = pa.concat_tables(clips).sort_by("clip_id")
    facts_of_release = json.dumps({"name": "r", "hash": "h", "where": "true"})
    dataset.write_bytes(
        "releases/r.parquet", to_parquet(rows.replace_schema_metadata({"reelmill.release": facts_of_release}))
    )


def make_up_index(dataset: Dataset, num_clips: int) -> None:
    """In place of the index of the clips that are there one of many more, whose arrays are nowhere."""
    names = {Path(path).name.split(".")[1]: Path(path) for path in dataset.files("indexes")}
    folder, key = names["clips"].parent, names["clips"].name.split(".")[0]
    for path in names.values():
        path.unlink()
    of_array = (
        "'float16' as dtype, [8::int, 5, 30, 40] as shape, md5(range::varchar)[:16] as data_hash, range::int as file, "
        "1::int as row_group, 2::int as row, range * 96 as start, 96::bigint as num_bytes"
    )
    key_of = "printf('%016x', range)"
    texts = ", ".join(f"(3 * range + {place})::int as {kind}" for place, kind in enumerate(KINDS))
    of_clip = f"{key_of} as clip_id, {key_of} as video_id, [17::int, 320, 240] as valid, 8.0::double as fps"
    clips = f"select {of_clip}, 2.0::double as motion_px_s, {of_array}, {texts}"
    queries = {
        "clips": f"select {', '.join(CLIPS.names)} from ({clips}, null::int as original from range({num_clips}))",
        "texts": f"select {key_of} as text_id, {of_array} from range({3 * num_clips})",
    }
    within = str(folder.relative_to(dataset.location))
    kept_tables(dataset, within, key, {"clips": CLIPS, "texts": TEXTS}, lambda connection: queries)


def table(of: Rows, facts: dict[str, Any], columns: dict[str, list[Any]]) -> pa.Table:
    num_rows = len(next(iter(columns.values())))
    made = [pa.array(columns.get(field.name, [facts.get(field.name)] * num_rows), field.type) for field in of.schema]
    return pa.table(made, schema=pa.schema([field.with_nullable(True) for field in of.schema]))


def write_arrays(dataset: Dataset, of: Rows, rows: pa.Table, rows_a_group: int) -> None:
    name = f"{of.folder}/part-{digest(rows.column(0)[0].as_py())}.parquet"
    groups = (rows.slice(start, rows_a_group) for start in range(0, rows.num_rows, rows_a_group))
    dataset.write_row_groups(name, of.stored_schema, groups)


def memory() -> dict[str, int]:
    """Resident bytes of this process: its own, those of mapped files, and the most that it has had."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {line[0][:-1]: int(line[1]) * 1024 for line in lines if line[0] in ("RssAnon:", "RssFile:", "VmHWM:")}


def opened(location: str, num_packs: int = NUM_PACKS) -> dict[str, float]:
    """Open the samples, look at all shapes, read some packs; what that took."""
    before, start = memory(), time.process_time()
    samples = ReleaseSamples(Dataset(location), "r", ENCODING, TextMix())
    open_s, after = time.process_time() - start, memory()
    start = time.process_time()
    tokens = sum(shape[1] for shape in samples.shapes.values())
    shapes_s = time.process_time() - start
    ids = list(samples.shapes)
    packs = [ids[number :: len(ids) // PACK][:PACK] for number in range(min(num_packs, len(ids) // PACK))]
    start = time.process_time()
    for pack in packs:
        samples.read(pack)
    return {
        "open_s": open_s,
        "own": after["RssAnon"] - before["RssAnon"],
        "mapped": after["RssFile"] - before["RssFile"],
        "peak": after["VmHWM"] - before["RssAnon"] - before["RssFile"],
        "shapes_s": shapes_s,
        "pack_ms": 1000 * (time.process_time() - start) / max(len(packs), 1),
        "tokens": tokens,
    }


def in_a_process(location: str, num_packs: int = NUM_PACKS) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.training_index", "--open", location, "--packs", str(num_packs)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def rows_of(location: str, num_clips: int, rows_a_group: int) -> Iterator[list[str]]:
    dataset = Dataset(location)
    if not dataset.part_files(RELEASES.folder):
        write(dataset, num_clips, rows_a_group)
    dataset.delete_files(dataset.files("indexes"))
    for name in ("made", "found"):
        yield shown(dataset, num_clips, name, in_a_process(location))


def shown(dataset: Dataset, num_clips: int, name: str, took: dict[str, float]) -> list[str]:
    size = sum(Path(path).stat().st_size for path in dataset.files("indexes"))
    mib = [f"{took[key] / (1 << 20):.0f}" for key in ("own", "mapped", "peak")]
    pack = f"{took['pack_ms']:.1f}" if took["pack_ms"] else ""
    times = f"{took['open_s']:.2f}", f"{took['shapes_s']:.2f}"
    return [f"{num_clips:,}", name, times[0], *mib, f"{size / num_clips:.0f}", times[1], pack]


def made_up(folder: str, num_clips: int) -> list[str]:
    dataset = Dataset(f"{folder}/made-up")
    write(dataset, PACK, ARRAYS_A_GROUP)
    in_a_process(dataset.location)
    make_up_index(dataset, num_clips)
    return shown(dataset, num_clips, "made up", in_a_process(dataset.location, num_packs=0))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", default="1000,100000")
    parser.add_argument("--index-only", type=int)
    parser.add_argument("--folder", help="where the tables are kept between runs")
    parser.add_argument("--rows-a-group", type=int, default=ARRAYS_A_GROUP)
    parser.add_argument("--open", help=argparse.SUPPRESS)
    parser.add_argument("--packs", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        print(json.dumps(opened(options.open, options.packs)))
        return 0
    found = Table("clips", "index", "open, s", "own, MiB", "mapped, MiB", "peak, MiB", "index, bytes a clip")
    for column in ("all shapes, s", "a pack of 8, ms"):
        found.add_column(column)
    with tempfile.TemporaryDirectory() as temporary:
        for num_clips in () if options.index_only else map(int, options.clips.split(",")):
            folder = Path(options.folder or temporary, str(num_clips))
            for row in rows_of(str(folder), num_clips, options.rows_a_group):
                found.add_row(*row)
        if options.index_only:
            found.add_row(*made_up(temporary, options.index_only))
    Console(highlight=False, width=120).print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
