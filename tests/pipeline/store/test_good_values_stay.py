"""A failure that may pass hides no good value of the same thing, is counted, and is tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.store.dataset import Dataset
from pipeline.store.pending import pending_captions, pending_latents
from pipeline.store.retrying import Retrying
from pipeline.store.views import connect
from schemas import LATENTS, VIDEOS
from schemas.recipe import Recipe
from tests.conftest import write_captions, write_clips

MakeRow = Callable[..., dict[str, Any]]
BOX = [0, 0, 160, 120]
FAILED = {"status": "failed", "reasons": ["frames: unreadable"], "transient": True, "short": None, "detailed": None}
NOW = Retrying("now", max_failures=3)


@pytest.fixture
def dataset(tmp_path: Path, video_row: MakeRow, clip_row: MakeRow) -> Dataset:
    """One kept clip."""
    dataset = Dataset(str(tmp_path / "ds"), run_id="first")
    dataset.write_part(VIDEOS, [video_row("v0")])
    write_clips(dataset, [clip_row("c0", "v0")])
    return dataset


def write_later(dataset: Dataset, row: dict[str, Any], run_id: str) -> None:
    write_captions(replace(dataset, run_id=run_id), [row])


def shown(dataset: Dataset) -> list[tuple[Any, ...]]:
    return connect(dataset).execute("select status, short from captions").fetchall()


def to_caption(dataset: Dataset) -> list[int]:
    """How often each clip that is to be captioned has failed."""
    return [row["failures"] for row in pending_captions(dataset, Recipe().caption, "cap0", NOW)]


def test_a_caption_stays_while_it_cannot_be_made_again(dataset: Dataset, caption_row: MakeRow) -> None:
    """Merging it with its source failed for now, so it is made again; that fails, twice."""
    facts = {"shown_box": BOX, "given": "", "num_failures": 1, "transient": True}
    good = caption_row("c0", **facts)
    given = [pending["given"] for pending in pending_captions(dataset, Recipe().caption, "cap0", NOW)]
    write_captions(dataset, [good | {"given": given[0]}])
    for number in (2, 3):
        assert to_caption(dataset) == [number - 1]
        write_later(dataset, good | FAILED | {"given": given[0], "num_failures": number}, f"run {number}")
        assert shown(dataset) == [("ok", "short of c0")]
    assert to_caption(dataset) == []


@pytest.mark.parametrize("change", [{"shown_box": [0, 0, 160, 100]}, {"given": "other hints"}, {"transient": False}])
def test_a_failure_of_other_frames_or_for_good_is_shown(
    dataset: Dataset, caption_row: MakeRow, change: dict[str, Any]
) -> None:
    facts = {"shown_box": BOX, "given": "hints"}
    write_later(dataset, caption_row("c0", **facts), "run 0")
    write_later(dataset, caption_row("c0", **(facts | FAILED | {"num_failures": 1} | change)), "run 1")
    states = connect(dataset).execute("select failure from standing_captions").fetchall()
    assert states == [("frames: unreadable",)]


def test_the_first_failure_and_a_later_success_are_shown(dataset: Dataset, caption_row: MakeRow) -> None:
    good = caption_row("c0", shown_box=BOX, given="")
    write_later(dataset, good | FAILED | {"num_failures": 1}, "run 0")
    assert shown(dataset) == [("failed", None)]
    write_later(dataset, good, "run 1")
    assert shown(dataset) == [("ok", "short of c0")]


def test_a_latent_stays_when_a_replayed_task_fails(dataset: Dataset) -> None:
    latents = LATENTS.within("e")
    good = dict.fromkeys(LATENTS.schema.names) | {"clip_id": "c0", "transform": "t", "encoder": "e", "status": "ok"}
    dataset.write_part(latents, [good])
    failed = good | {"status": "failed", "reason": "frames: unreadable", "transient": True, "num_failures": 1}
    replace(dataset, run_id="later").write_part(latents, [failed])
    assert connect(dataset).execute("select status from latents").fetchall() == [("ok",)]
    clip = {"clip_id": "c0", "transform": "t", "uri": "/videos/v0.mp4", "start_us": 0}
    assert not pending_latents(dataset, pa.Table.from_pylist([clip]), "e", NOW)
