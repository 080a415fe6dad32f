"""Releases: a frozen selection of trainable clips, one Parquet file, sorted, with the hash of its rows.

When and by which condition it was made is in the metadata of the file and not in the hash.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from pipeline.dedup.semantic import cluster_embeddings
from pipeline.release.balance import balanced_sample, merge_alike
from pipeline.store.dataset import Dataset, DatasetError, to_parquet
from pipeline.store.views import connect
from schemas import RELEASES
from schemas.errors import UsageError, did_you_mean, is_outage
from schemas.identity import digest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
METADATA_KEY = b"reelmill.release"


@dataclass(frozen=True)
class Release:
    """A release as read back: its rows, and the facts frozen with them."""

    name: str
    content_hash: str
    where: str
    clips: pa.Table
    frozen_us: int | None
    """When the selection was made, Unix time; None if it was not recorded."""


@dataclass(frozen=True)
class Balance:
    """A sample of `count` clips in which clips of large clusters have less weight (`balance.py`)."""

    count: int
    seed: int = 0


def select(dataset: Dataset, where: str, balance: Balance | None = None) -> pa.Table:
    """The rows of `trainable` that satisfy a SQL condition, or a balanced sample of them, sorted by clip.

    Raises:
        UsageError: bad SQL, nothing selected, more than one caption for a clip, or a sample of clips without
            embeddings.
    """
    columns = ", ".join(RELEASES.schema.names)
    connection = connect(dataset)
    try:
        rows = connection.sql(f"select {columns} from trainable where ({where}) order by clip_id, captioner")
        table = rows.to_arrow_table()
    except duckdb.Error as error:
        if is_outage(error):
            raise
        raise UsageError(f"--where {where}: {' '.join(str(error).split())}") from None
    if table.num_rows == 0:
        raise UsageError(f"--where {where}: selects no clip of {dataset.location}")
    captioners = sorted(set(table["captioner"].to_pylist()))
    if len(set(table["clip_id"].to_pylist())) < table.num_rows:
        raise UsageError(
            f"--where {where}: selects several captions a clip, of captioners {', '.join(captioners)}; "
            f"add \"captioner = '{captioners[0]}'\" or another"
        )
    rows = table.to_pylist()
    if balance is not None:
        sampled = _sampled(connection, [row["clip_id"] for row in rows], balance)
        rows = [row for row in rows if row["clip_id"] in sampled]
    return RELEASES.encode(rows)


def _sampled(connection: duckdb.DuckDBPyConnection, clip_ids: list[str], balance: Balance) -> set[str]:
    rows = connection.execute(
        "select clip_id, embedding from clips join embeddings using (clip_id, encoder) "
        "where clip_id in (select unnest(?)) order by clip_id",
        [clip_ids],
    ).fetchall()
    if len(rows) < len(clip_ids):
        missing = len(clip_ids) - len(rows)
        raise UsageError(f"--balance: {missing} of {len(clip_ids)} clips have no embedding; run `reelmill curate`")
    vectors = np.array([vector for _, vector in rows], np.float32)
    clusters = merge_alike(cluster_embeddings(vectors, balance.seed), vectors)
    return balanced_sample([clip_id for clip_id, _ in rows], clusters.tolist(), balance.count, balance.seed)


def freeze(dataset: Dataset, name: str, where: str, balance: Balance | None = None) -> tuple[Release, bool]:
    """Write a release; returns it, and whether it is new. The same selection again changes nothing.

    Raises:
        UsageError: a bad name, a bad selection, or there is a release of this name with other content.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"release name {name!r}: use letters, digits, '.', '_' and '-'")
    frozen_us = time.time_ns() // 1000
    clips = select(dataset, where, balance)
    release = Release(name, _hash_of(clips, clips.column_names), where, clips, frozen_us)
    if name in names(dataset):
        frozen = read(dataset, name)
        if frozen.content_hash != _hash_of(clips, frozen.clips.column_names):
            raise UsageError(f"release {name}: exists with other content, and releases are frozen; choose another name")
        return frozen, False
    facts = {"name": name, "hash": release.content_hash, "where": where, "frozen_us": frozen_us}
    facts |= {"balance": asdict(balance) if balance else None}
    metadata = {**(clips.schema.metadata or {}), METADATA_KEY: json.dumps(facts).encode()}
    dataset.write_bytes(_file(name), to_parquet(clips.replace_schema_metadata(metadata)))
    return release, True


def _hash_of(clips: pa.Table, columns: Sequence[str]) -> str:
    """The hash of rows in the columns of a release: one of an earlier version may have fewer."""
    return digest(*clips.select([name for name in columns if name in clips.column_names]).to_pylist())


def names(dataset: Dataset) -> list[str]:
    """Names of all releases, sorted."""
    return [_name(path) for path in dataset.part_files(RELEASES.folder)]


def frozen_times(dataset: Dataset) -> list[int]:
    """When releases were frozen, Unix time in us, sorted; those that do not record it are left out."""
    times = []
    for name in names(dataset):
        with dataset.open(_file(name)) as stream:
            times.append(_facts(pyarrow.parquet.read_schema(stream)).get("frozen_us"))
    return sorted(time_us for time_us in times if time_us is not None)


def read(dataset: Dataset, name: str) -> Release:
    """Read a release.

    Raises:
        DatasetError: there is no release of this name.
    """
    _require(dataset, name)
    table = pyarrow.parquet.read_table(pa.BufferReader(dataset.read_bytes(_file(name))))
    facts = _facts(table.schema)
    return Release(name, facts["hash"], facts["where"], table, facts.get("frozen_us"))


def scanner(dataset: Dataset, name: str) -> pyarrow.dataset.Dataset:
    """The rows of a release, which are read as they are asked for.

    Raises:
        DatasetError: there is no release of this name.
    """
    _require(dataset, name)
    (path,) = (path for path in dataset.part_files(RELEASES.folder) if _name(path) == name)
    return dataset.scanner(RELEASES, [path])


def content_hash(dataset: Dataset, name: str) -> str:
    """The hash of a release's rows, which are not read.

    Raises:
        DatasetError: there is no release of this name.
    """
    _require(dataset, name)
    with dataset.open(_file(name)) as stream:
        return _facts(pyarrow.parquet.read_schema(stream))["hash"]


def _require(dataset: Dataset, name: str) -> None:
    known = names(dataset)
    if name not in known:
        known_text = ", ".join(known) or "there are none; make one with `reelmill release`"
        hint = did_you_mean(name, known)
        raise DatasetError(f"release {name}: not in {dataset.location} ({known_text}){hint}")


def _name(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".parquet")


def _facts(schema: pa.Schema) -> dict[str, Any]:
    return json.loads((schema.metadata or {}).get(METADATA_KEY, b"{}"))


def _file(name: str) -> str:
    return f"{RELEASES.folder}/{name}.parquet"
