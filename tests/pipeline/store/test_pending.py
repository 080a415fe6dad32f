"""What is left to do, from the tables alone: in particular after a run was killed between two writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.store.dataset import Dataset
from pipeline.store.pending import (
    groups_are_pending,
    pending_captions,
    pending_clip_measures,
    pending_latents,
    pending_stream_measures,
    pending_texts,
)
from pipeline.store.retrying import Retrying
from pipeline.store.views import connect
from schemas import EMBEDDINGS, LATENTS, MEASURES, TEXT, VIDEOS
from schemas.recipe import Recipe
from schemas.recipe.caption import CaptionConfig
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.tables.latents import text_id
from schemas.tables.measures import CLIP_MEASURES
from tests.conftest import write_captions, write_clips

BOX = [0, 0, 160, 120]
MakeRow = Callable[..., dict[str, Any]]
NOW = Retrying("now", max_failures=3)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(str(tmp_path / "ds"))


def test_clips_wait_for_the_captioner_that_is_asked_for(
    dataset: Dataset, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [video_row("v0")])
    rows = [
        clip_row("kept", "v0"),
        clip_row("done", "v0"),
        clip_row("out", "v0", status="rejected", reasons=["still"]),
        clip_row("orphan", "video without a row"),
    ]
    write_clips(dataset, rows)
    write_captions(dataset, [caption_row("done", "cap0")])
    point = {"encoder": "e", "embedding": [1.0]}
    dataset.write_part(EMBEDDINGS, [{"clip_id": name, **point} for name in ("kept", "done")])
    dataset.write_part(MEASURES["embedding"], [measured("embedding", "kept", "m", encoder="e")])
    (waiting,) = pending_captions(dataset, CaptionConfig(), "cap0", NOW)
    assert (waiting["clip_id"], waiting["embedding"]) == ("kept", [1.0])
    assert [clip["clip_id"] for clip in pending_captions(dataset, CaptionConfig(), "cap1", NOW)] == ["done", "kept"]


def measured(name: str, clip_id: str, fingerprint: str, **scores: Any) -> dict[str, Any]:
    row = dict.fromkeys(MEASURES[name].schema.names) | {"clip_id": clip_id, "measure": fingerprint, "written_us": 1}
    return row | {"shown_box": BOX if name in CLIP_MEASURES else None} | scores


def test_a_measure_with_another_fingerprint_is_taken_again_and_only_that_one(
    dataset: Dataset, video_row: MakeRow, clip_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [video_row("v0"), video_row("v1")])
    rows = [clip_row(f"c{i}", f"v{i // 2}", measured='{"motion": "m1", "tells": "t1"}', written_us=0) for i in range(4)]
    write_clips(dataset, rows)
    assert not pending_stream_measures(dataset, {"motion": "m1", "tells": "t1"}, NOW)
    dataset.write_part(MEASURES["motion"], [measured("motion", "c2", "m2")])
    work = pending_stream_measures(dataset, {"motion": "m2", "tells": "t1"}, NOW)
    assert [(row["uri"], row["clip_id"], row["needs"]) for row in work] == [
        ("/videos/v0.mp4", "c0", {"motion": "m2"}),
        ("/videos/v0.mp4", "c1", {"motion": "m2"}),
        ("/videos/v1.mp4", "c3", {"motion": "m2"}),
    ]
    assert (len(work), work.num_videos) == (3, 2)


def test_the_newest_scores_of_a_clip_count(dataset: Dataset, video_row: MakeRow, clip_row: MakeRow) -> None:
    """Three times measured; the rows are in parts whose names do not tell which is newest."""
    dataset.write_part(VIDEOS, [video_row("v0")])
    write_clips(dataset, [clip_row("c0", "v0", measured='{"motion": "m0"}', motion_px_s=0.0, written_us=0)])
    for fingerprint, written_us in (("m1", 1), ("m3", 3), ("m2", 2)):
        row = measured("motion", "c0", fingerprint, motion_px_s=float(written_us))
        dataset.write_part(MEASURES["motion"], [row | {"written_us": written_us}])
    scores = connect(dataset).execute("select has_motion, motion_px_s from scored").fetchall()
    assert scores == [("m3", 3.0)]
    assert not pending_stream_measures(dataset, {"motion": "m3"}, NOW)


def test_clips_that_are_not_rejected_get_the_clip_measures_that_they_lack(
    dataset: Dataset, video_row: MakeRow, clip_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [video_row("v0")])
    rows = [clip_row("kept", "v0"), clip_row("waits", "v0", status="pending"), clip_row("out", "v0", status="rejected")]
    write_clips(dataset, rows)
    dataset.write_part(MEASURES["safety"], [measured("safety", "kept", "s1", nsfw=0.5)])
    needs = {
        row["clip_id"]: row["needs"]
        for row in pending_clip_measures(dataset, {"overlay_text": "o1", "safety": "s1"}, NOW)
    }
    assert needs == {"kept": {"overlay_text": "o1"}, "waits": {"overlay_text": "o1", "safety": "s1"}}
    assert not pending_clip_measures(dataset, {}, NOW)


def test_latents_and_texts_are_missing_until_there_by_the_same_encoder(dataset: Dataset) -> None:
    latent = dict.fromkeys(LATENTS.schema.names) | {"clip_id": "c0", "transform": "t0", "status": "failed"}
    dataset.write_part(LATENTS.within("vae"), [latent | {"encoder": "vae"}])
    clips = [{"clip_id": name, "uri": "a", "start_us": 0} for name in ("c0", "c1")]

    def waiting(transform: str, encoder: str) -> list[str]:
        wanted = [clip | {"transform": transform} for clip in clips]
        return [row["clip_id"] for row in pending_latents(dataset, pa.Table.from_pylist(wanted), encoder, NOW)]

    assert waiting("t0", "vae") == ["c1"]
    assert waiting("t1", "vae") == waiting("t0", "other") == ["c0", "c1"]
    text = {"text_id": text_id("a"), "encoder": "clip", "text": "a", "dtype": "float16", "shape": [1, 1]}
    text |= {"data_hash": None, "data": b"ab"}
    dataset.write_part(TEXT.within("clip"), [text])
    wanted = pa.table({"text": ["b", "a", "b"], "text_id": [text_id(text) for text in ("b", "a", "b")]})

    def lacking(encoder: str, corrupt: Sequence[str] = ()) -> list[str]:
        return sorted(row["text"] for row in pending_texts(dataset, wanted, encoder, corrupt))

    assert lacking("clip") == ["b"]
    assert lacking("clip", [text_id("a")]) == ["a", "b"]
    assert lacking("other") == ["a", "b"]


def test_duplicates_are_grouped_again_under_another_recipe_or_after_a_killed_run(dataset: Dataset) -> None:
    recipe, other = Recipe(name="mine"), Recipe(name="mine", duplicates=DuplicatesConfig(near_distance=0.1))
    assert groups_are_pending(dataset, recipe)
    record = {"job": "curate", "recipe": recipe.as_dict()}
    dataset.write_run("20260101T000000Z-curate-a", record | {"state": "done"})
    assert not groups_are_pending(dataset, recipe)
    assert groups_are_pending(dataset, other)
    dataset.write_run("20260102T000000Z-recaption-b", record | {"job": "recaption", "state": "running"})
    assert not groups_are_pending(dataset, recipe)
    dataset.write_run("20260103T000000Z-rejudge-c", record | {"job": "rejudge", "state": "running"})
    assert groups_are_pending(dataset, recipe)


FAILURES = {
    "passes": {"transient": True, "num_failures": 2, "run_id": "before"},
    "given up": {"transient": True, "num_failures": 3, "run_id": "before"},
    "content": {"transient": False, "num_failures": 1, "run_id": "before"},
    "just now": {"transient": True, "num_failures": 1, "run_id": "now"},
}
TRIED = [(NOW, {"passes": 2}), (Retrying("now", 3, all_failures=True), {"passes": 2, "given up": 3, "content": 1})]


@pytest.mark.parametrize(("retrying", "expected"), TRIED)
def test_what_failed_and_may_pass_is_pending_at_the_next_run(
    dataset: Dataset,
    video_row: MakeRow,
    clip_row: MakeRow,
    caption_row: MakeRow,
    retrying: Retrying,
    expected: dict[str, int],
) -> None:
    """For each product in the same way; with how often it has failed before."""
    dataset.write_part(VIDEOS, [video_row("v0")])
    write_clips(dataset, [clip_row(name, "v0", measured='{"motion": "m0"}', motion_px_s=1.0) for name in FAILURES])
    for name, facts in FAILURES.items():
        for measure, fingerprint in (("motion", "m1"), ("safety", "s1")):
            row = measured(measure, name, fingerprint, failure="gone", **facts)
            dataset.write_part(MEASURES[measure], [row | {"written_us": 5}])
        write_captions(dataset, [caption_row(name, status="failed", reasons=["503"], **facts)])
        latent = dict.fromkeys(LATENTS.schema.names) | {"clip_id": name, "transform": "t", "encoder": "vae"}
        dataset.write_part(LATENTS.within("vae"), [latent | {"status": "failed"} | facts])
    clips = pending_stream_measures(dataset, {"motion": "m1"}, retrying)
    assert {clip["clip_id"]: clip["failures"]["motion"] for clip in clips} == expected
    clips = pending_clip_measures(dataset, {"safety": "s1"}, retrying)
    assert {clip["clip_id"]: clip["failures"]["safety"] for clip in clips} == expected
    assert {
        row["clip_id"]: row["failures"] for row in pending_captions(dataset, CaptionConfig(), "cap0", retrying)
    } == expected
    released = [{"clip_id": name, "uri": "a", "start_us": 0, "transform": "t"} for name in FAILURES]
    latents = pending_latents(dataset, pa.Table.from_pylist(released), "vae", retrying)
    assert {row["clip_id"]: row["failures"] for row in latents} == expected


def test_a_failure_does_not_replace_what_was_measured(dataset: Dataset, video_row: MakeRow, clip_row: MakeRow) -> None:
    dataset.write_part(VIDEOS, [video_row("v0")])
    scanned = {"measured": '{"motion": "m0"}', "motion_px_s": 1.0, "written_us": 0}
    rows = [clip_row(name, "v0", **scanned) for name in ("scanned", "measured")]
    write_clips(dataset, rows)
    dataset.write_part(MEASURES["motion"], [measured("motion", "measured", "m1", motion_px_s=2.0)])
    for name in ("scanned", "measured"):
        failed = measured("motion", name, "m2", failure="gone", transient=True, num_failures=1)
        dataset.write_part(MEASURES["motion"], [failed | {"written_us": 9}])
    found = connect(dataset).execute("select clip_id, has_motion, motion_px_s from scored order by clip_id").fetchall()
    assert found == [("measured", "m1", 2.0), ("scanned", "m0", 1.0)]


def test_a_caption_that_was_not_merged_because_of_a_server_is_made_again(
    dataset: Dataset, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [video_row("v0")])
    write_clips(dataset, [clip_row("c0", "v0")])
    write_captions(dataset, [caption_row("c0", transient=True, num_failures=1, run_id="before")])
    assert [row["clip_id"] for row in pending_captions(dataset, CaptionConfig(), "cap0", NOW)] == ["c0"]
