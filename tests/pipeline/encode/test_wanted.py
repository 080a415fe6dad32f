"""What a release wants: the key of each clip's latent and every text, from its file."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.dataset

from pipeline.encode import wanted
from pipeline.encode.latents import clip_transform
from pipeline.encode.wanted import training_texts, wanted_clips, wanted_samples, wanted_texts
from schemas import RELEASES
from schemas.tables.latents import text_id
from tests.jobs.conftest import release_row


def released(rows: list[dict]) -> pa.dataset.Dataset:
    return pa.dataset.dataset(RELEASES.encode(rows))


def test_each_clip_has_the_key_of_its_box(monkeypatch) -> None:
    monkeypatch.setattr(wanted, "ROWS_A_BATCH", 4)
    rows = [release_row(f"c{number}", number) | {"content_box": [0, number % 3, 96, 64]} for number in range(11)]
    found = wanted_clips(released(rows), "settings").read_all().to_pylist()
    assert [(row["clip_id"], row["transform"]) for row in found] == [
        (row["clip_id"], clip_transform(row, "settings")) for row in rows
    ]
    assert len({row["transform"] for row in found}) == 3
    assert not {"short", "detailed", "source"} & found[0].keys()


def test_single_frames_are_wanted_beside_clips_that_are_no_images() -> None:
    rows = [release_row(f"c{number}", number) | {"is_image": number == 1} for number in range(3)]
    found = wanted_clips(released(rows), "settings", ("last", "first", "last")).read_all().to_pylist()
    wanted = {(row["clip_id"], frame) for row in rows for frame in ("first", "last", None)[row["is_image"] * 2 :]}
    assert len(found) == len(wanted)
    assert {(row["clip_id"], row["frame"]) for row in found} == wanted
    of_row = {row["clip_id"]: row for row in rows}
    for row in found:
        assert row["transform"] == clip_transform(of_row[row["clip_id"]], "settings", row["frame"])


def test_all_texts_are_there_with_their_ids_and_the_empty_one(monkeypatch) -> None:
    monkeypatch.setattr(wanted, "ROWS_A_BATCH", 2)
    rows = [release_row(f"c{number}", number) for number in range(5)]
    rows[3] |= {"medium": 'it\'s a "ball"\n', "source": '{"title": "A ball"}'}
    found = wanted_texts(released(rows)).read_all().to_pylist()
    texts = {"", *(row[name] for row in rows for name in ("short", "detailed")), 'it\'s a "ball"\n', "A ball"}
    assert {row["text"] for row in found} == texts
    assert all(row["text_id"] == text_id(row["text"]) for row in found)
    assert training_texts(rows[3])["original"] == "A ball"


def test_each_sample_has_the_keys_of_its_latent_and_its_texts(monkeypatch) -> None:
    monkeypatch.setattr(wanted, "ROWS_A_BATCH", 2)
    rows = [release_row(f"c{number}", number) for number in range(5)]
    rows[3] |= {"medium": "m", "source": '{"title": "A ball"}'}
    found = wanted_samples(released(rows), "settings").read_all().to_pylist()
    assert [row["transform"] for row in found] == [clip_transform(row, "settings") for row in rows]
    for row, keys in zip(rows, found, strict=True):
        texts = {"detailed": row["detailed"], "medium": None, "short": row["short"], "original": None}
        texts |= {"medium": "m", "original": "A ball"} if row is rows[3] else {}
        assert {kind: keys[kind] for kind in texts} == {kind: text and text_id(text) for kind, text in texts.items()}
        assert (keys["video_id"], keys["motion_px_s"]) == (row["video_id"], row["motion_px_s"])
    assert found[1]["motion_px_s"] == 1.0
    assert list(training_texts(rows[0])) == ["detailed", "short"]
