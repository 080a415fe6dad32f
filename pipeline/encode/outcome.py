"""How many clips of a release have a latent, and which could not be encoded, by query."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from pipeline.encode.latents import OK
from pipeline.store.pending import Released, take

MAX_SHOWN = 20
"""Failed clips that are told one by one; of the others it is said how many there are."""


@dataclass(frozen=True)
class Outcome:
    """Counts of clips, and the first of those that failed with why, by their ids."""

    num_ok: int
    num_frames: int
    """Single frames that have a latent of their own."""
    num_failed: int
    """Clips and single frames."""
    failed: list[tuple[str, str]]


def outcome(
    connection: duckdb.DuckDBPyConnection, released: Released, autoencoder: str, max_shown: int = MAX_SHOWN
) -> Outcome:
    """What there is of the clips of a release.

    Args:
        connection: to the data set.
        released: with the columns `clip_id` and `transform`.
    """
    take(connection, "released", released)
    rows = "latents semi join released using (clip_id, transform) where encoder = ?"
    ((num_ok, num_frames, num_failed),) = connection.execute(
        f"select count(*) filter (where status = '{OK}' and frame is null), "
        f"count(*) filter (where status = '{OK}' and frame is not null), "
        f"count(*) filter (where status <> '{OK}') from {rows}",
        [autoencoder],
    ).fetchall()
    failed = connection.execute(
        f"select clip_id || coalesce(' (' || frame || ' frame)', ''), reason from {rows} and status <> '{OK}' "
        f"order by clip_id, frame nulls first limit {max_shown}",
        [autoencoder],
    ).fetchall()
    return Outcome(num_ok, num_frames, num_failed, failed)
