"""Compaction: fewer files and rows, and every view as before, now and at each release, wherever it was killed."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.ingest.inputs import COLUMNS
from pipeline.release.releases import frozen_times
from pipeline.store import compaction
from pipeline.store.compaction import CompactionError, Folded, compact
from pipeline.store.dataset import Dataset, to_parquet
from pipeline.store.pending_inputs import IDENTIFIED, InputStates
from pipeline.store.retrying import Retrying
from pipeline.store.views import QUERY_NAMES, connect, write_portable_views
from schemas import DECISIONS, TEXT, VIDEOS
from tests.pipeline.store.histories import VALUES, shown, write_history, write_rows

SEEDS = (7, 5)
VIEWS = ("video_locations", "duplicates")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(str(tmp_path / "ds"))


def fold(dataset: Dataset, **options: Any) -> dict[str, Folded]:
    return {folded.table: folded for folded in compact(dataset, frozen_times(dataset), **options)}


def files(dataset: Dataset) -> dict[str, bytes]:
    return {path: Path(path).read_bytes() for path in dataset.files("")}


def folders(dataset: Dataset) -> set[str]:
    return {of_folder.folder for table in QUERY_NAMES.values() for of_folder, _ in dataset.parts(table)}


def text_row(text_id: str, num_bytes: int, written_us: int = 99) -> dict[str, Any]:
    data = np.random.default_rng(written_us).bytes(num_bytes)
    row = {
        "text_id": text_id,
        "encoder": "e",
        "text": "",
        "dtype": "uint8",
        "shape": [num_bytes],
        "data_hash": None,
    } | {"data": data}
    return row | {"run_id": "", "written_us": written_us}


@dataclass(frozen=True)
class History:
    """A folder with a history, and all that depends on its rows."""

    folder: Path
    shown: dict[tuple[str, str], list[str]]
    pending: list[Any]
    newest_ok: list[tuple]


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], History]:
    @cache
    def make(seed: int) -> History:
        dataset = Dataset(str(tmp_path_factory.mktemp("history")))
        write_history(dataset, seed, num_undated=seed % 3)
        return History(Path(dataset.location), shown(dataset, VIEWS), pending_inputs(dataset), newest_ok(dataset))

    return make


@pytest.fixture
def history(histories: Callable[[int], History], request: pytest.FixtureRequest, dataset: Dataset) -> History:
    """A history, of which `dataset` is a copy."""
    history = histories(getattr(request, "param", SEEDS[0]))
    shutil.copytree(history.folder, dataset.location)
    return history


@pytest.mark.parametrize("history", SEEDS, indirect=True)
def test_views_now_and_at_each_release_and_plans_are_as_before(dataset: Dataset, history: History) -> None:
    """Plans and training read rows that no view shows: failures of inputs, bytes that were known before, latents that
    are ok and failed later."""
    folded = fold(dataset)
    assert shown(dataset, VIEWS) == history.shown
    assert pending_inputs(dataset) == history.pending
    assert newest_ok(dataset) == history.newest_ok
    assert folded.keys() == folders(dataset)
    assert {table.after.num_files for table in folded.values()} == {1}
    fewer = {name for name, table in folded.items() if table.after.num_rows < table.before.num_rows}
    # Nearly all captions and latents differ in what they were made of or in how it went.
    assert fewer >= {name for name in folded if not name.startswith(("captions", "latents"))}


def test_the_histories_have_rows_to_show(histories: Callable[[int], History]) -> None:
    views: dict[str, int] = defaultdict(int)
    for seed in SEEDS:
        for (_, view), rows in histories(seed).shown.items():
            views[view] += len(rows)
    found = [any(lists) for lists in zip(*(histories(seed).pending for seed in SEEDS), strict=True)]
    assert found[:3] == [True] * 3
    assert [view for view, num_rows in views.items() if not num_rows] == []


def pending_inputs(dataset: Dataset) -> list[Any]:
    """What is to be done about inputs, wherever their bytes are now and however they are to be divided."""
    found: list[Any] = []
    uris = [*VALUES["uri"], "/new.mp4"]
    sources = ["{}", '{"title": "b"}', "{}"]
    given = {"uri": uris, "file_bytes": [100, 100, 200], "modified_us": [1] * 3, "source": sources}
    listed = pa.table({name: pa.array(given.get(name, [0] * 3), kind) for name, kind in COLUMNS.items()})
    for split, video_id in (("s", "v0"), ("t", "v1")):
        states = InputStates(dataset, listed, split, Retrying("now", max_failures=2))
        pending = states.pending(pa.table({"uri": uris, "video_id": [video_id, None, video_id]}, IDENTIFIED))
        tables = [sorted(map(str, rows.to_pylist())) for rows in (pending.relocated, pending.retold)]
        found += [list(states.to_identify()), list(pending.to_scan), *tables]
    return found


def newest_ok(dataset: Dataset) -> list[tuple]:
    """The latents that training may read."""
    query = "select clip_id, transform, encoder, arg_max(data, written_us) from latents_raw where status = 'ok'"
    return connect(dataset).execute(f"{query} group by all order by all").fetchall()


def test_killed_before_old_parts_are_deleted_it_shows_the_same_and_the_next_one_finishes(
    dataset: Dataset, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete_files = Dataset.delete_files
    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "delete_files", lambda self, paths: delete_files(self, list(paths)[:2]))
        fold(dataset)
    assert shown(dataset, VIEWS) == history.shown
    assert pending_inputs(dataset) == history.pending
    num_rows = {name: table.after.num_rows for name, table in fold(dataset).items()}
    done = files(dataset)
    assert fold(dataset) == {}
    assert files(dataset) == done
    once = Dataset(f"{dataset.location}-once")
    shutil.copytree(history.folder, once.location)
    assert num_rows == {name: table.after.num_rows for name, table in fold(once).items()}
    assert {Path(path).parent for path in done} == {Path(path).parent for path in dataset.part_files("")}
    assert len(dataset.part_files("")) == len(num_rows) + len(frozen_times(dataset))


def test_killed_while_a_part_is_written_it_has_deleted_nothing(
    dataset: Dataset, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(dataset)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        fold(dataset)
    assert files(dataset) == before


def test_rows_that_do_not_arrive_stop_it_before_anything_is_deleted(
    dataset: Dataset, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a part is replaced by one with fewer rows while it runs."""
    before = files(dataset)
    kept_rows = compaction._kept_rows
    monkeypatch.setattr(compaction, "_kept_rows", lambda *given: (batch.slice(1) for batch in kept_rows(*given)))
    with pytest.raises(CompactionError, match=r"table videos: \d+ rows of \d+ to keep"):
        fold(dataset)
    assert before.items() <= files(dataset).items()


@pytest.fixture
def embedded(dataset: Dataset) -> Dataset:
    """Twenty texts of 100 kB that nothing compresses, a part each; the first is written again in the last part."""
    for number in range(20):
        write_rows(dataset, TEXT, f"{number:02}", [text_row(f"x{number % 19}", 100_000, number)])
    return dataset


def test_parts_end_at_their_size_and_large_ones_are_left_alone(embedded: Dataset) -> None:
    (folded,) = fold(embedded, part_bytes=450_000, group_bytes=100_000).values()
    sizes = [os.path.getsize(path) for path in embedded.part_files("text")]
    assert sorted(round(size / 100_000) for size in sizes) == [4, 5, 5, 5]
    assert (folded.before.num_files, folded.before.num_rows) == (20, 20)
    assert (folded.after.num_files, folded.after.num_bytes, folded.after.num_rows) == (4, sum(sizes), 19)
    before = files(embedded)
    write_rows(embedded, TEXT, "new", [text_row("x100", 1000)])
    assert fold(embedded, part_bytes=450_000) == {}  # one small part is as it should be
    write_rows(embedded, TEXT, "newer", [text_row("x101", 1000)])
    (folded,) = fold(embedded, part_bytes=450_000).values()
    assert (folded.before.num_files, folded.after.num_files) == (6, 5)
    assert before.items() <= files(embedded).items()


def test_rows_are_in_the_order_of_writing_in_row_groups_of_a_few_arrays(embedded: Dataset) -> None:
    fold(embedded, group_bytes=250_000)
    (path,) = embedded.part_files("text")
    with pyarrow.parquet.ParquetFile(path) as file:
        assert file.read(["written_us"])["written_us"].to_pylist() == list(range(1, 20))
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert sizes == [3] * 6 + [1]


def test_a_dry_run_says_the_same_and_writes_nothing(embedded: Dataset) -> None:
    before = files(embedded)
    (expected,) = fold(embedded, dry_run=True).values()
    assert files(embedded) == before
    (done,) = fold(embedded).values()
    assert (expected.table, expected.before, expected.after.num_rows) == (done.table, done.before, done.after.num_rows)
    assert expected.after.num_files == done.after.num_files == 1
    assert expected.after.num_bytes == pytest.approx(done.after.num_bytes, rel=0.05)


def test_a_table_without_rows_stays_a_table(dataset: Dataset) -> None:
    for name in ("one", "two"):
        write_rows(dataset, VIDEOS, name, [])
    assert fold(dataset) == {}
    assert dataset.exists()


def test_captions_of_earlier_versions_keep_their_first_decision(dataset: Dataset) -> None:
    """Their status was in the row of the caption."""
    write_rows(dataset, VIDEOS, "v", [])
    caption = {"captioner": "cap", "short": "s", "medium": None, "detailed": "d", "captioned_us": 5}
    for number, status in enumerate(("ok", "rejected", "failed")):
        row = caption | {"clip_id": f"c{number}", "status": status, "reasons": [] if status == "ok" else ["why"]}
        dataset.write_bytes(f"captions/part-{number}.parquet", to_parquet(pa.Table.from_pylist([row])))
    before = shown(dataset, ["caption_decisions", "newest_captions"])
    assert fold(dataset).keys() == {"captions"}
    assert len(dataset.part_files("captions")) == 1
    assert shown(dataset, ["caption_decisions", "newest_captions"]) == before
    assert "rejected" in str(before)


@pytest.mark.parametrize("written", ["then", "now"])
def test_columns_of_earlier_versions_are_copied_where_there_are_some(
    dataset: Dataset, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Reelmill wrote them when the fingerprint of rules was called `gate`, and before there were reasons."""
    rows = [{"clip_id": f"c{number}", "decided_us": number, "gate": "g", "status": "kept"} for number in range(3)]
    if written == "now":
        rows = [{DECISIONS.formerly.get(name, name): value for name, value in row.items()} for row in rows]
    for number, row in enumerate(rows):
        dataset.write_bytes(f"decisions/part-{number}.parquet", to_parquet(pa.Table.from_pylist([row])))
    before = connect(dataset).execute("from decisions order by all").fetchall()
    assert fold(dataset).keys() == {"decisions"}
    (path,) = dataset.part_files("decisions")
    part = pyarrow.parquet.read_schema(path)
    assert part.names == (DECISIONS.stored_schema if written == "then" else DECISIONS.schema).names
    assert part.field("reasons").metadata == DECISIONS.schema.field("reasons").metadata
    assert connect(dataset).execute("from decisions order by all").fetchall() == before
    assert fold(dataset) == {}
    write_portable_views(dataset)
    monkeypatch.chdir(dataset.location)
    plain = duckdb.connect()
    plain.execute(Path("views.sql").read_text())
    found = plain.execute("select rules_fingerprint, written_us from decisions order by all").fetchall()
    assert found == [("g", 0), ("g", 1), ("g", 2)]
