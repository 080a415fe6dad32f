"""What must be made again when something changes: exactly that, neither less nor more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.caption.checks.measure import VERSION as CHECKS_VERSION
from pipeline.caption.fingerprint import fingerprint
from pipeline.caption.stage import CheckingAgain
from pipeline.encode.latents import clip_transform
from pipeline.ingest.inputs import as_table
from pipeline.measure.registry import clip_measure_fingerprints, stream_fingerprints
from pipeline.rules.captions import judge_captions
from pipeline.split.fingerprint import split_fingerprint
from pipeline.store.dataset import Dataset
from pipeline.store.pending import (
    pending_caption_checks,
    pending_captions,
    pending_clip_measures,
    pending_latents,
    pending_stream_measures,
)
from pipeline.store.pending_inputs import IDENTIFIED, InputStates
from pipeline.store.retrying import Retrying
from pipeline.store.views import connect
from schemas import CAPTIONS, LATENTS, MEASURES, VIDEOS
from schemas.recipe import Recipe, change_recipe
from schemas.rules import Rule
from schemas.tables.measures import columns_of
from tests import staleness
from tests.conftest import write_captions, write_clips
from tests.staleness import Ground

MakeRow = Callable[..., dict[str, Any]]
BOX, OTHER_BOX = [0, 0, 160, 120], [0, 8, 160, 104]
NOW = Retrying("now")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, set[str], set[str]]]:
    return list(staleness.matrix(Ground(tmp_path_factory.mktemp("ground"))))


def test_each_field_and_version_makes_stale_what_depends_on_it(rows: list[tuple[str, set[str], set[str]]]) -> None:
    assert {what: found for what, found, expected in rows if found != expected} == {}
    assert len(rows) > 80


NOTHING = IDENTIFIED.empty_table()


def test_every_product_is_made_stale_by_something(rows: list[tuple[str, set[str], set[str]]]) -> None:
    assert set().union(*(found for _, found, _ in rows)) == set(staleness.PRODUCTS)


class Fresh:
    """A data set in which everything is there that a recipe wants, of one clip."""

    def __init__(self, folder: Path, recipe: Recipe, make: dict[str, MakeRow]) -> None:
        self.dataset, self.recipe = Dataset(str(folder), run_id="before"), recipe
        split = split_fingerprint(recipe.split)
        self.stream = stream_fingerprints(recipe.measure)
        self.shown = clip_measure_fingerprints(recipe)
        self.captioner = fingerprint(recipe.caption)
        measured = str(self.stream).replace("'", '"')
        self.dataset.write_part(VIDEOS, [make["video"]("v0", split=split)])
        write_clips(self.dataset, [make["clip"]("c0", "v0", split=split, measured=measured)])
        for name in self.shown:
            self.measure(name, BOX, **({"encoder": "e"} if name == "embedding" else {}))
        given = next(iter(pending_captions(self.dataset, recipe.caption, self.captioner, NOW)))["given"]
        caption = make["caption"]("c0", self.captioner, shown_box=BOX, given=given)
        write_captions(self.dataset, [caption | {"text_video_similarity": 0.5, "similarity_encoder": "e"}])
        latent = dict.fromkeys(LATENTS.schema.names) | {"clip_id": "c0", "encoder": "vae", "status": "ok"}
        self.dataset.write_part(LATENTS.within("vae"), [latent | {"transform": self._transform(BOX)}])

    def measure(self, name: str, box: list[int] | None, fingerprint: str = "", **scores: Any) -> None:
        """A newer row of a measure."""
        row = dict.fromkeys(MEASURES[name].schema.names) | {"clip_id": "c0", "shown_box": box}
        row |= {"measure": fingerprint or (self.stream | self.shown)[name]}
        self.dataset.write_part(MEASURES[name], [row | dict.fromkeys(columns_of(name)) | scores])

    def _transform(self, box: list[int]) -> str:
        return clip_transform({"content_box": box}, self.recipe.encode.transform)

    def stale(self) -> set[str]:
        """What is pending."""
        dataset, recipe, found = self.dataset, self.recipe, set()
        if InputStates(dataset, as_table([]), split_fingerprint(recipe.split), NOW).pending(NOTHING).to_scan:
            found.add("clips")
        for clip in pending_stream_measures(dataset, self.stream, NOW):
            found |= set(clip["needs"])
        for clip in pending_clip_measures(dataset, self.shown, NOW):
            found |= set(clip["needs"])
        if pending_captions(dataset, recipe.caption, self.captioner, NOW):
            found.add("captions")
        if pending_caption_checks(dataset, CHECKS_VERSION):
            found.add("caption checks")
        ((box,),) = connect(dataset).execute("select content_box from clips").fetchall()
        released = [{"clip_id": "c0", "uri": "a", "start_us": 0, "transform": self._transform(box)}]
        if pending_latents(dataset, pa.Table.from_pylist(released), "vae", NOW):
            found.add("latents")
        return found


@pytest.fixture(params=[(), ("caption.hints=true",), ('caption.rewrite="rewrite"',)], ids=["plain", "hints", "rewrite"])
def fresh(
    request: pytest.FixtureRequest, tmp_path: Path, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow
) -> Fresh:
    (tmp_path / "ground").mkdir()
    recipe = change_recipe(Ground(tmp_path / "ground").recipe, request.param)
    make = {"video": video_row, "clip": clip_row, "caption": caption_row}
    fresh = Fresh(tmp_path / "ds", recipe, make)
    assert fresh.stale() == set()
    return fresh


OF_BOX = {"overlay_text", "embedding", "aesthetic", "safety", "captions", "latents"}


def test_another_content_box_makes_stale_what_was_made_of_frames_inside_it(fresh: Fresh) -> None:
    fresh.measure("letterbox", None, content_box=OTHER_BOX)
    assert fresh.stale() == OF_BOX
    assert connect(fresh.dataset).execute("select count(*) from captions").fetchall() == [(0,)]
    fresh.measure("letterbox", None, content_box=BOX)
    assert fresh.stale() == set()


def test_the_same_content_box_by_other_code_makes_nothing_else_stale(fresh: Fresh) -> None:
    fresh.measure("letterbox", None, "other", content_box=BOX)
    assert fresh.stale() == {"letterbox"}


@pytest.mark.parametrize(
    ("name", "scores"),
    [
        ("camera", {"camera_motion": "pan left", "camera_confidence": 0.9}),
        ("overlay_text", {"overlay_texts": ["SALE"], "overlay_text_frac": 0.1}),
    ],
)
def test_other_hints_make_captions_stale_where_hints_are_given(fresh: Fresh, name: str, scores: dict[str, Any]) -> None:
    fresh.measure(name, BOX if name == "overlay_text" else None, **scores)
    assert fresh.stale() == ({"captions"} if fresh.recipe.caption.hints else set())


def test_another_camera_makes_no_caption_stale_and_is_held_against_what_it_claims(
    fresh: Fresh, caption_row: MakeRow
) -> None:
    """What a caption claims is a fact of its text; its verdict follows from that and the camera's newest scores."""
    hints = fresh.recipe.caption.hints
    rules = {"camera": Rule("contradicts_camera", "camera", max=0.5)}
    given = connect(fresh.dataset).execute("select given, shown_box from newest_captions").fetchall()[0]
    claiming = caption_row("c0", fresh.captioner, camera_claims=["pan left"], given=given[0], shown_box=given[1])
    write_captions(Dataset(fresh.dataset.location, "again"), [claiming])

    def verdict() -> list[tuple[Any, ...]]:
        connection = connect(fresh.dataset)
        judged = judge_captions(connection, replace(fresh.recipe, caption_rules=rules))
        return connection.execute(
            f"select contradicts_camera, v.status from captions join {judged.table} v using (clip_id)"
        ).fetchall()

    assert verdict() == [(None, "ok")]
    for motion, expected in (("pan right", (1.0, "rejected")), ("pan left", (0.0, "ok")), ("shake", (None, "ok"))):
        fresh.measure("camera", None, camera_motion=motion, camera_strength=9.0, camera_confidence=0.9)
        assert verdict() == [expected]
        assert fresh.stale() == ({"captions"} if hints else set())


def test_captions_that_other_code_has_checked_are_checked_again_and_keep_all_else(
    fresh: Fresh, caption_row: MakeRow
) -> None:
    """Whether or not the caption could be made again since; one that failed or does not stand has nothing to check."""
    given, box = connect(fresh.dataset).execute("select given, shown_box from newest_captions").fetchall()[0]
    shown = {"given": given, "shown_box": box}
    old = caption_row("c0", fresh.captioner, **shown, refusal=0.5, text_embedding=[1.0], checks_version=None)
    write_captions(Dataset(fresh.dataset.location, "old"), [old, caption_row("gone", checks_version=None)])
    assert fresh.stale() == {"caption checks"}
    failed = caption_row("c0", fresh.captioner, **shown, detailed=None, failure="gone", transient=True, num_failures=2)
    write_captions(Dataset(fresh.dataset.location, "failed"), [failed])
    (row,) = pending_caption_checks(fresh.dataset, CHECKS_VERSION)
    (again,) = CheckingAgain({}, lambda *told: None)([row])
    assert {name for name, value in again.items() if value != old[name]} == {
        *("refusal", "repetition_frac", "truncated", "wrong_language", "padding_frac", "camera_claims"),
        *("transient", "num_failures", "checks_version"),
    } - {name for name in again if again[name] is None}
    assert (again["refusal"], again["transient"], again["num_failures"]) == (0.0, True, 2)
    fresh.dataset.write_part(CAPTIONS, [again])
    assert "caption checks" not in fresh.stale()
    assert connect(fresh.dataset).execute("select clip_id, refusal from captions").fetchall() == [("c0", 0.0)]


def test_single_frames_that_are_wanted_now_are_missing_alone_and_no_longer_wanted_ones_do_no_harm(fresh: Fresh) -> None:
    settings = fresh.recipe.encode.transform

    def missing(*frames: str) -> list[str | None]:
        keys = {frame: clip_transform({"content_box": BOX}, settings, frame) for frame in (None, *frames)}
        clip = {"clip_id": "c0", "uri": "a", "start_us": 0}
        rows = [clip | {"transform": key, "frame": frame} for frame, key in keys.items()]
        return [row["frame"] for row in pending_latents(fresh.dataset, pa.Table.from_pylist(rows), "vae", NOW)]

    assert missing() == []
    assert sorted(map(str, missing("first", "last"))) == ["first", "last"]
    row = dict.fromkeys(LATENTS.schema.names) | {"clip_id": "c0", "encoder": "vae", "status": "ok", "frame": "last"}
    key = clip_transform({"content_box": BOX}, settings, "last")
    fresh.dataset.write_part(LATENTS.within("vae"), [row | {"transform": key}])
    assert missing("first", "last") == ["first"]
    assert missing() == missing("last") == []
    assert fresh.stale() == set()


def test_another_title_makes_captions_stale_where_they_are_merged_with_it(fresh: Fresh, video_row: MakeRow) -> None:
    split = split_fingerprint(fresh.recipe.split)
    Dataset(fresh.dataset.location, "later").write_part(VIDEOS, [video_row("v0", split=split, source='{"title": "A"}')])
    assert fresh.stale() == ({"captions"} if fresh.recipe.caption.rewrite else set())


def test_another_embedding_leaves_no_similarity_to_be_read(fresh: Fresh) -> None:
    read = "select text_video_similarity from captions"
    assert connect(fresh.dataset).execute(read).fetchall() == [(0.5,)]
    fresh.measure("embedding", BOX, encoder="f")
    assert fresh.stale() == set()
    assert connect(fresh.dataset).execute(read).fetchall() == [(None,)]


def test_a_span_that_is_in_both_divisions_keeps_all_that_was_made_of_it(
    fresh: Fresh, video_row: MakeRow, clip_row: MakeRow
) -> None:
    fresh.recipe = change_recipe(fresh.recipe, ["split.max_clip_s=30.0"])
    split = split_fingerprint(fresh.recipe.split)
    later = Dataset(fresh.dataset.location, "later")
    write_clips(later, [clip_row("c0", "v0", split=split, measured=str(fresh.stream).replace("'", '"'))])
    later.write_part(VIDEOS, [video_row("v0", split=split)])
    assert fresh.stale() == set()
    assert connect(later).execute("select clip_id, text_video_similarity from captions").fetchall() == [("c0", 0.5)]


def test_a_video_divided_otherwise_is_read_again_and_its_old_clips_do_not_stand(
    fresh: Fresh, video_row: MakeRow, clip_row: MakeRow
) -> None:
    fresh.recipe = change_recipe(fresh.recipe, ["split.max_clip_s=30.0"])
    assert "clips" in fresh.stale()
    split = split_fingerprint(fresh.recipe.split)
    later = Dataset(fresh.dataset.location, "later")
    write_clips(later, [clip_row("c1", "v0", split=split, measured=str(fresh.stream).replace("'", '"'))])
    later.write_part(VIDEOS, [video_row("v0", split=split)])
    assert "clips" not in fresh.stale()
    assert connect(later).execute("select clip_id from clips").fetchall() == [("c1",)]
    assert connect(later).execute("select count(*) from captions").fetchall() == [(0,)]
