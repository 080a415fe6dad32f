"""What is left to do, from the tables alone: in particular after a run was killed between two writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.ingest.inputs import ListedInput, list_inputs
from pipeline.store.dataset import Dataset
from pipeline.store.pending import (
    groups_are_pending,
    pending_captions,
    pending_clip_measures,
    pending_inputs,
    pending_latents,
    pending_stream_measures,
    pending_texts,
    present_embeddings,
)
from pipeline.store.views import connect
from schemas import CAPTIONS, CLIPS, EMBEDDINGS, LATENTS, MEASURES, TEXT, VIDEOS
from schemas.identity import ID_HEX_CHARS, file_digest
from schemas.recipe import Recipe
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.tables.latents import text_id

MakeRow = Callable[..., dict[str, Any]]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(str(tmp_path / "ds"))


@pytest.fixture
def files(tmp_path: Path) -> list[ListedInput]:
    """Four inputs: two with the same bytes, one of the same size with others, one of its own size."""
    for name, content in {"a": b"same", "b": b"same", "c": b"else", "d": b"longer"}.items():
        (tmp_path / f"{name}.mp4").write_bytes(content)
    return list(list_inputs([str(tmp_path)]).inputs)


def row_of(video_row: MakeRow, listed: ListedInput, **changes: Any) -> dict[str, Any]:
    video_id = file_digest(listed.uri)[:ID_HEX_CHARS]
    facts = {"uri": listed.uri, "file_bytes": listed.file_bytes, "modified_us": listed.modified_us}
    return video_row(video_id, **(facts | changes))


def copies(inputs: tuple[ListedInput, ...]) -> dict[str, str | None]:
    return {Path(x.uri).stem: Path(x.duplicate_of).stem if x.duplicate_of else None for x in inputs}


def test_everything_is_pending_at_first_and_the_second_copy_is_marked(
    dataset: Dataset, files: list[ListedInput]
) -> None:
    pending = pending_inputs(dataset, files)
    assert copies(pending.inputs) == {"a": None, "b": "a", "c": None, "d": None}
    assert not pending.orphans


def test_nothing_is_pending_once_every_input_has_its_row(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [row_of(video_row, listed) for listed in files])
    assert not pending_inputs(dataset, files).inputs


def test_a_file_that_changed_is_read_again(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, tmp_path: Path
) -> None:
    dataset.write_part(VIDEOS, [row_of(video_row, listed) for listed in files])
    (tmp_path / "d.mp4").write_bytes(b"changed")
    pending = pending_inputs(dataset, list_inputs([str(tmp_path / "*.mp4")]).inputs)
    assert copies(pending.inputs) == {"d": None}


def test_a_new_file_can_be_a_copy_of_one_done_before(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [row_of(video_row, files[0])])
    assert copies(pending_inputs(dataset, files).inputs) == {"b": "a", "c": None, "d": None}


def test_a_duplicate_whose_row_came_first_does_not_complete_its_original(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow
) -> None:
    """Killed after the copy's row and the original's clips were written, before the original's row was."""
    a, b, *_ = files
    dataset.write_part(VIDEOS, [row_of(video_row, b, duplicate_of=a.uri)])
    dataset.write_part(CLIPS, [clip_row("c0", file_digest(a.uri)[:ID_HEX_CHARS])])
    pending = pending_inputs(dataset, files)
    assert copies(pending.inputs) == {"a": None, "c": None, "d": None}
    assert pending.orphans == {("c0",)}


def test_clips_wait_for_the_captioner_that_is_asked_for(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [row_of(video_row, listed) for listed in files])
    video_id = file_digest(files[0].uri)[:ID_HEX_CHARS]
    rows = [
        clip_row("kept", video_id),
        clip_row("done", video_id),
        clip_row("out", video_id, status="rejected", reasons=["still"]),
        clip_row("orphan", "video without a row"),
    ]
    dataset.write_part(CLIPS, rows)
    dataset.write_part(CAPTIONS, [caption_row("done", "cap0")])
    point = {"encoder": "e", "embedding": [1.0]}
    dataset.write_part(EMBEDDINGS, [{"clip_id": name, **point} for name in ("kept", "done")])
    dataset.write_part(MEASURES["embedding"], [measured("embedding", "kept", "m", encoder="e")])
    (waiting,) = pending_captions(dataset, "cap0")
    assert (waiting["clip_id"], waiting["embedding"]) == ("kept", [1.0])
    assert [clip["clip_id"] for clip in pending_captions(dataset, "cap1")] == ["done", "kept"]


def measured(name: str, clip_id: str, fingerprint: str, **scores: Any) -> dict[str, Any]:
    row = dict.fromkeys(MEASURES[name].schema.names) | {"clip_id": clip_id, "measure": fingerprint, "measured_us": 1}
    return row | scores


def test_a_measure_with_another_fingerprint_is_taken_again_and_only_that_one(
    dataset: Dataset, video_row: MakeRow, clip_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [video_row("v0"), video_row("v1")])
    rows = [clip_row(f"c{i}", f"v{i // 2}", measured='{"motion": "m1", "tells": "t1"}') for i in range(4)]
    dataset.write_part(CLIPS, rows)
    assert pending_stream_measures(dataset, {"motion": "m1", "tells": "t1"}) == []
    dataset.write_part(MEASURES["motion"], [measured("motion", "c2", "m2")])
    work = pending_stream_measures(dataset, {"motion": "m2", "tells": "t1"})
    assert [(w.uri, [c["clip_id"] for c in w.clips], w.measures) for w in work] == [
        ("/videos/v0.mp4", ["c0", "c1"], {"motion": "m2"}),
        ("/videos/v1.mp4", ["c3"], {"motion": "m2"}),
    ]


def test_the_newest_scores_of_a_clip_count(dataset: Dataset, video_row: MakeRow, clip_row: MakeRow) -> None:
    """Three times measured; the rows are in parts whose names do not tell which is newest."""
    dataset.write_part(VIDEOS, [video_row("v0")])
    dataset.write_part(CLIPS, [clip_row("c0", "v0", measured='{"motion": "m0"}', motion_px_s=0.0)])
    for fingerprint, measured_us in (("m1", 1), ("m3", 3), ("m2", 2)):
        row = measured("motion", "c0", fingerprint, motion_px_s=float(measured_us))
        dataset.write_part(MEASURES["motion"], [row | {"measured_us": measured_us}])
    scores = connect(dataset).execute("select has_motion, motion_px_s from scored").fetchall()
    assert scores == [("m3", 3.0)]
    assert pending_stream_measures(dataset, {"motion": "m3"}) == []


def test_clips_that_are_not_rejected_get_the_clip_measures_that_they_lack(
    dataset: Dataset, video_row: MakeRow, clip_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [video_row("v0")])
    rows = [clip_row("kept", "v0"), clip_row("waits", "v0", status="pending"), clip_row("out", "v0", status="rejected")]
    dataset.write_part(CLIPS, rows)
    dataset.write_part(MEASURES["safety"], [measured("safety", "kept", "s1", nsfw=0.5)])
    needs = {
        row["clip_id"]: row["needs"] for row in pending_clip_measures(dataset, {"overlay_text": "o1", "safety": "s1"})
    }
    assert needs == {"kept": {"overlay_text": "o1"}, "waits": {"overlay_text": "o1", "safety": "s1"}}
    assert pending_clip_measures(dataset, {}) == []


def test_embeddings_that_are_there_are_known_by_clip_and_encoder(dataset: Dataset) -> None:
    rows = [{"clip_id": name, "encoder": "e", "embedding": [1.0]} for name in ("c0", "c1")]
    dataset.write_part(EMBEDDINGS, [*rows, rows[0] | {"encoder": "f"}])
    assert present_embeddings(dataset, [{"clip_id": "c0"}, {"clip_id": "c2"}]) == {("c0", "e"), ("c0", "f")}


def test_latents_and_texts_are_missing_until_there_by_the_same_encoder(dataset: Dataset) -> None:
    latent = dict.fromkeys(LATENTS.schema.names) | {"clip_id": "c0", "transform": "t0", "status": "failed"}
    dataset.write_part(LATENTS.within("vae"), [latent | {"encoder": "vae"}])
    clips = [{"clip_id": "c0"}, {"clip_id": "c1"}]
    assert pending_latents(dataset, clips, "t0", "vae") == clips[1:]
    assert pending_latents(dataset, clips, "t1", "vae") == pending_latents(dataset, clips, "t0", "other") == clips
    text = {"text_id": text_id("a"), "encoder": "clip", "text": "a", "dtype": "float16", "shape": [1, 1], "data": b"ab"}
    dataset.write_part(TEXT.within("clip"), [text])
    assert pending_texts(dataset, ["b", "a", "b"], "clip") == ["b"]
    assert pending_texts(dataset, ["b", "a", "b"], "other") == ["a", "b"]


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
