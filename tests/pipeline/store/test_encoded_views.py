"""What is asked of latents and embeddings in SQL is answered without reading an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import CAPTION_DECISIONS, CAPTIONS, LATENTS, TEXT, VIDEOS
from schemas.tables.latents import text_id
from tests.conftest import MakeRow, captions_apart, write_clips


def latent(clip: int, encoder: str, valid: tuple[int, int, int], shape: tuple[int, ...]) -> dict[str, Any]:
    row = dict.fromkeys(LATENTS.schema.names) | {"clip_id": f"c{clip}", "transform": "t", "encoder": encoder}
    data = np.zeros(shape, np.float16).tobytes()
    sizes = {"shape": list(shape), "valid": list(valid), "num_positions": int(np.prod(shape[1:]))}
    return row | sizes | {"status": "ok", "dtype": "float16", "data": data}


def destroy_arrays(dataset: Dataset, path: str) -> None:
    """Overwrite the column of arrays in a part file."""
    file = Path(dataset.location, path)
    content = bytearray(file.read_bytes())
    metadata = pyarrow.parquet.read_metadata(file)
    for group in range(metadata.num_row_groups):
        columns = (metadata.row_group(group).column(number) for number in range(metadata.num_columns))
        (arrays,) = (column for column in columns if column.path_in_schema == "data")
        end = arrays.data_page_offset + arrays.total_compressed_size
        content[arrays.data_page_offset : end] = b"\xff" * arrays.total_compressed_size
    file.write_bytes(content)


@pytest.fixture
def dataset(tmp_path: Path, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow) -> Dataset:
    dataset = Dataset(str(tmp_path / "ds"), run_id="r")
    dataset.write_part(VIDEOS, [video_row("v")])
    write_clips(dataset, [clip_row(f"c{number}", "v") for number in range(3)])
    captions, decisions = captions_apart([caption_row(f"c{number}", detailed=f"text {number}") for number in range(3)])
    dataset.write_part(CAPTIONS, captions)
    dataset.write_part(CAPTION_DECISIONS, decisions)
    wide, high = ((9, 96, 64), (8, 3, 8, 12)), ((9, 64, 96), (8, 3, 12, 8))
    dataset.write_part(LATENTS.within("ours"), [latent(0, "ours", *wide), latent(1, "ours", *wide)])
    dataset.write_part(LATENTS.within("wan"), [latent(2, "wan", *high)])
    failed = dict.fromkeys(LATENTS.schema.names) | {"clip_id": "c2", "transform": "t", "encoder": "ours"}
    dataset.write_part(LATENTS.within("ours"), [failed | {"status": "failed", "reason": "frames: unreadable"}])
    texts = {"encoder": "e", "dtype": "float16", "shape": [1, 2], "data_hash": None, "data": b"\0" * 4}
    dataset.write_part(TEXT.within("e"), [texts | {"text_id": text_id(text), "text": text} for text in ("text 0", "x")])
    for table in (LATENTS, TEXT):
        for path in dataset.part_files(table.folder):
            destroy_arrays(dataset, path)
    return dataset


def test_sizes_tokens_and_bytes_by_codec(dataset: Dataset) -> None:
    rows = connect(dataset).execute("from latent_sizes order by encoder").fetchall()
    assert rows == [
        ("ours", None, 9, 96, 64, 2, 2 * 3 * 8 * 12, 2 * 2 * 8 * 3 * 8 * 12),
        ("wan", None, 9, 64, 96, 1, 288, 4608),
    ]


def test_captions_that_were_written_since_texts_were_embedded(dataset: Dataset) -> None:
    rows = connect(dataset).execute("select clip_id, detailed from unembedded_captions order by all").fetchall()
    assert rows == [("c1", "text 1"), ("c2", "text 2")]


def test_arrays_are_destroyed_here(dataset: Dataset) -> None:
    with pytest.raises(Exception, match=r"(?i)parquet|page|thrift|invalid|type"):
        connect(dataset).execute("select data from latents").fetchall()
