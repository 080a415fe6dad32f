"""Captions of a data set are checked against each other, again when something was added, and not otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.caption.identity import check
from pipeline.caption.identity.check import Checked, check_captions, pending_checks
from pipeline.caption.identity.fit import LEAST_MARGIN, fits
from pipeline.rules.captions import judge_captions
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import CAPTION_IDENTITY, CAPTIONS, EMBEDDINGS
from schemas.recipe import load_recipe
from tests.conftest import write_captions
from tests.pipeline.caption.identity.drawn import drawn_pairs

MakeRow = Callable[..., dict[str, Any]]
MakeDataset = Callable[..., Dataset]
COLUMNS = ("own_fit", "fit_margin", "better_clip", "batch_shift", "num_unlike")


def checked(dataset: Dataset) -> list[Checked]:
    return check_captions(dataset, pending_checks(dataset))


def values(dataset: Dataset, name: str) -> list[Any]:
    """A column of the view `captions`, in the order of clips."""
    return [value for (value,) in connect(dataset).execute(f"select {name} from captions order by clip_id").fetchall()]


def refused(dataset: Dataset) -> dict[str, set[str]]:
    """The clips whose captions the rules of `default.toml` refuse, by reason."""
    verdicts = judge_captions(connect(dataset), load_recipe("default"))
    found: dict[str, set[str]] = {}
    for clip_id, reasons in verdicts.connection.execute(f"select clip_id, reasons from {verdicts.table}").fetchall():
        for reason in reasons:
            found.setdefault(reason, set()).add(clip_id)
    return found


def test_right_captions_are_refused_by_no_rule(captioned: MakeDataset) -> None:
    dataset = captioned(*drawn_pairs(200))
    assert checked(dataset) == [Checked("cap0", 200, True)]
    assert refused(dataset) == {}
    assert min(values(dataset, "fit_margin")) > 0
    assert max(values(dataset, "batch_shift")[:192]) < -5
    assert set(values(dataset, "num_unlike")) == {0}
    assert set(values(dataset, "better_clip")) == {None}


def test_two_captions_that_were_exchanged_are_refused(captioned: MakeDataset) -> None:
    texts, clips = drawn_pairs(200)
    texts[[3, 150]] = texts[[150, 3]]
    dataset = captioned(texts, clips)
    checked(dataset)
    assert refused(dataset) == {"fits_another_clip": {"c003", "c150"}}
    better = values(dataset, "better_clip")
    assert (better[3], better[150]) == ("c150", "c003")


def test_a_batch_that_slipped_by_one_is_refused_as_a_whole(captioned: MakeDataset) -> None:
    """Two clips of it are alike, so that their captions fit either way."""
    texts, clips = drawn_pairs(200)
    texts[70], clips[70] = texts[69], clips[69]
    texts[64:96] = np.roll(texts[64:96], 1, axis=0)
    dataset = captioned(texts, clips)
    checked(dataset)
    batch = {f"c{i:03}" for i in range(64, 96)}
    assert refused(dataset)["captions_shifted"] == batch
    assert refused(dataset)["fits_another_clip"] == batch - {"c070"}


def test_the_order_of_captioning_decides_and_not_that_of_ids(captioned: MakeDataset) -> None:
    texts, clips = drawn_pairs(64)
    order = np.random.default_rng(2).permutation(32)
    texts[order] = texts[np.roll(order, 1)]
    dataset = captioned(texts, clips)
    place = {f"c{clip:03}": number for number, clip in enumerate(order)}
    rows = [row | {"batch_place": place.get(row["clip_id"], 0)} for row in dataset.read(CAPTIONS).to_pylist()]
    write_captions(replace(dataset, run_id="run1"), [row | {"run_id": "run1"} for row in rows[:32]])
    checked(dataset)
    assert refused(dataset)["captions_shifted"] == set(place)


def test_one_caption_on_many_clips_is_refused_and_on_parts_of_a_scene_it_is_not(captioned: MakeDataset) -> None:
    texts, clips = drawn_pairs(300)
    said = [f"caption number {i} says thing{i}" for i in range(300)]
    said[100:180] = ["A man talks."] * 80
    said[150] = "the man TALKS"
    said[200:270] = ["A woman sings."] * 70
    clips[200:270], texts[200:270] = clips[200], texts[200]
    dataset = captioned(texts, clips, said)
    checked(dataset)
    counts = values(dataset, "num_unlike")
    assert counts[100:180] == [79] * 80
    assert set(counts[:100] + counts[180:]) == {0}
    assert refused(dataset) == {"repeated_caption": {f"c{i:03}" for i in range(100, 180)}}


def test_a_large_group_is_counted_by_those_that_stand_for_it(
    captioned: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "SAMPLE", 25)
    monkeypatch.setattr(check, "BLOCK", 40)
    dataset = captioned(*drawn_pairs(300), ["the same"] * 260 + [f"other{i}" for i in range(40)])
    checked(dataset)
    counts = np.array(values(dataset, "num_unlike"))
    assert (counts[260:] == 0).all()
    assert (abs(counts[:260] - 259) <= 11).all()


def test_blocks_give_what_their_captions_alone_give(captioned: MakeDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "BLOCK", 64)
    texts, clips = drawn_pairs(128)
    dataset = captioned(texts, clips)
    checked(dataset)
    halves = [fits(texts[part], clips[part]) for part in (slice(64), slice(64, None))]
    expected = np.concatenate([half.margin for half in halves if half is not None])
    assert values(dataset, "fit_margin") == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_model_that_does_not_know_the_clips_refuses_no_caption(captioned: MakeDataset) -> None:
    texts, clips = drawn_pairs(200)
    dataset = captioned(texts[np.random.default_rng(0).permutation(200)], clips)
    assert checked(dataset) == [Checked("cap0", 200, False)]
    assert set(values(dataset, "fit_margin")) == {None}
    assert None not in values(dataset, "own_fit")
    assert refused(dataset) == {}


def test_few_captions_are_checked_and_not_judged(captioned: MakeDataset) -> None:
    dataset = captioned(*drawn_pairs(3))
    assert checked(dataset) == [Checked("cap0", 3, False)]
    assert connect(dataset).execute("select count(own_fit), count(batch_shift) from captions").fetchall() == [(0, 0)]
    assert pending_checks(dataset) == []


def test_nothing_new_is_not_checked_again(captioned: MakeDataset) -> None:
    dataset = captioned(*drawn_pairs(40))
    checked(dataset)
    parts = dataset.part_files(CAPTION_IDENTITY.folder)
    assert pending_checks(dataset) == []
    assert checked(dataset) == []
    assert dataset.part_files(CAPTION_IDENTITY.folder) == parts


def test_another_caption_or_embedding_makes_the_checks_stale(captioned: MakeDataset) -> None:
    texts, clips = drawn_pairs(40)
    dataset = captioned(texts, clips)
    checked(dataset)
    later = replace(dataset, run_id="run1")
    row = dataset.read(CAPTIONS).to_pylist()[7]
    write_captions(later, [row | {"run_id": "run1", "written_us": 9000, "text_embedding": texts[8].tolist()}])
    of_caption = dict(
        zip(
            COLUMNS,
            zip(
                *connect(dataset).execute(f"select {', '.join(COLUMNS)} from captions order by clip_id").fetchall(),
                strict=True,
            ),
            strict=True,
        )
    )
    assert all(column[7] is None for column in of_caption.values())
    assert None not in of_caption["own_fit"][:7]
    assert len(pending_checks(dataset)) == 1
    checked(later)
    assert values(dataset, "fit_margin")[7] < LEAST_MARGIN
    later.write_part(EMBEDDINGS, [{"clip_id": "c009", "encoder": "e", "embedding": clips[10].tolist()}])
    assert len(pending_checks(dataset)) == 1


def test_captions_without_a_vector_are_left_out(captioned: MakeDataset, caption_row: MakeRow) -> None:
    dataset = captioned(*drawn_pairs(40))
    write_captions(dataset, [caption_row("c005", "cap1", text_embedding=None)])
    assert [one.captioner for one in pending_checks(dataset)] == ["cap0"]


def test_captioners_are_checked_by_themselves(captioned: MakeDataset, tmp_path: Path) -> None:
    texts, clips = drawn_pairs(100)
    dataset = captioned(texts, clips)
    rows = dataset.read(CAPTIONS).to_pylist()
    write_captions(dataset, [row | {"captioner": "cap1"} for row in rows])
    assert checked(dataset) == [Checked("cap0", 100, True), Checked("cap1", 100, True)]
    assert refused(dataset) == {}
    assert set(values(dataset, "num_unlike")) == {0}
