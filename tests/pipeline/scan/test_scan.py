"""The one decode pass over the synthetic corpus, marked with its answer sheet."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.ingest.inputs import ListedInput
from pipeline.scan.scan import ScanConfig, ScannedVideo, scan
from pipeline.synthetic.truth import ShotTruth, Truth, VideoTruth
from schemas import CLIPS, VIDEOS
from schemas.identity import ID_HEX_CHARS, digest, file_digest
from schemas.recipe import load_recipe
from tests.pipeline.scan.accounting import reasons_of

TOLERANCE_FRAMES = 2
RECIPE = load_recipe("demo")
DEMO = ScanConfig.of(RECIPE)


@pytest.fixture(scope="module")
def truth(drawn_corpus: Path) -> Truth:
    return Truth.load(drawn_corpus / "truth.json")


@pytest.fixture(scope="module")
def pairs(truth: Truth, scanned_corpus: dict[str, ScannedVideo]) -> list[tuple[VideoTruth, ScannedVideo]]:
    """Files with clips, beside their truth."""
    return [(video, scanned_corpus[video.file]) for video in truth.videos if scanned_corpus[video.file].clips]


def judged(video: VideoTruth, result: ScannedVideo) -> list[tuple[ShotTruth, dict[str, Any]]]:
    """Clips beside the shot that they show."""
    return [(shot, clip) for clip in result.clips if (shot := video.shot_at(clip["start_us"], clip["end_us"]))]


def boundaries(result: ScannedVideo) -> list[tuple[int, int]]:
    """The frames [first, end) between consecutive clips; empty at a hard cut."""
    return [(a["start_frame"] + a["num_frames"], b["start_frame"]) for a, b in itertools.pairwise(result.clips)]


def test_rows_fit_their_tables(scanned_corpus: dict[str, ScannedVideo]) -> None:
    assert VIDEOS.encode([result.video for result in scanned_corpus.values()]).num_rows == len(scanned_corpus)
    clips = [clip for name, result in scanned_corpus.items() for clip in result.clips if name != "copy_exact.mp4"]
    assert len({clip["clip_id"] for clip in clips}) == CLIPS.encode(clips).num_rows > 30


def test_every_file_has_the_status_and_the_reason_that_it_was_made_for(
    truth: Truth, scanned_corpus: dict[str, ScannedVideo]
) -> None:
    found = {name: (result.video["status"], result.video["reason"]) for name, result in scanned_corpus.items()}
    assert found == {video.file: (video.status, video.reason) for video in truth.videos}
    for video in truth.videos:
        assert bool(scanned_corpus[video.file].clips) == (video.status == "probed")


def test_sizes_times_and_rotation(pairs: list[tuple[VideoTruth, ScannedVideo]]) -> None:
    for video, result in pairs:
        row = result.video
        assert (row["width"], row["height"], row["num_frames"]) == (video.width, video.height, video.num_frames)
        assert row["rotation_deg"] == video.rotation_deg_ccw
        assert row["variable_frame_rate"] == video.variable_frame_rate
        ratio = [int(part) for part in video.sample_aspect_ratio.split(":")]
        assert row["sample_aspect_ratio"] == pytest.approx(ratio[0] / ratio[1])
        if not video.is_image:
            assert row["codec"] == video.codec
            assert row["duration_us"] == pytest.approx(video.duration_us, abs=1_000)
            assert row["fps"] == pytest.approx(video.fps, rel=1e-3)


def test_every_cut_is_found_and_every_boundary_is_a_change(pairs: list[tuple[VideoTruth, ScannedVideo]]) -> None:
    for video, result in pairs:
        changes = [(cut.frame, cut.frame) for cut in video.cuts]
        changes += [(ramp.first_frame, ramp.last_frame) for ramp in video.transitions]
        found = [(first - TOLERANCE_FRAMES, end + TOLERANCE_FRAMES) for first, end in boundaries(result)]
        for cut in video.cuts:
            assert any(first <= cut.frame <= end for first, end in found), (video.file, cut)
        for first, end in found:
            assert any(first <= last and begin <= end for begin, last in changes), (video.file, first, end)


def test_frames_of_dissolves_and_fades_lie_in_no_clip(pairs: list[tuple[VideoTruth, ScannedVideo]]) -> None:
    """But for those at the faint ends of a change, and for changes that were not found."""
    num_found = num_changes = 0
    for video, result in pairs:
        for change in video.transitions:
            middle = (change.first_frame + change.last_frame) // 2
            num_changes += 1
            num_found += not any(c["start_frame"] <= middle < c["start_frame"] + c["num_frames"] for c in result.clips)
    assert num_changes >= 5
    assert num_found >= 0.8 * num_changes


def test_spans_are_presentation_times_to_the_microsecond(
    drawn_corpus: Path, pairs: list[tuple[VideoTruth, ScannedVideo]]
) -> None:
    for video, result in pairs:
        clips = result.clips
        assert all(before["end_us"] <= after["start_us"] for before, after in itertools.pairwise(clips))
        if video.is_image:
            continue
        with av.open(str(drawn_corpus / "videos" / video.file)) as container:
            shown_us = [round(frame.pts * frame.time_base * 1_000_000) for frame in container.decode(video=0)]
        assert [clip["start_us"] for clip in clips] == [shown_us[clip["start_frame"]] for clip in clips]
        ends = [clip["start_frame"] + clip["num_frames"] for clip in clips]
        assert [clip["end_us"] for clip in clips if clip["end_us"] < shown_us[-1]] == [
            shown_us[end] for end in ends if end < len(shown_us)
        ]
        starts = {cut.pts_us for cut in video.cuts}
        assert {clip["start_us"] for clip in clips} >= starts if video.variable_frame_rate else True


def test_reasons_are_those_that_the_shots_were_drawn_for(pairs: list[tuple[VideoTruth, ScannedVideo]]) -> None:
    column_of = {rule.reason: rule.column for rule in RECIPE.rules.values()}
    num_rejected = 0
    for video, result in pairs:
        for shot, clip in judged(video, result):
            columns = {column_of[reason] for reason in reasons_of(clip, RECIPE) if reason in column_of}
            assert set(shot.rejects) <= columns <= {*shot.rejects, *shot.may_reject}, (video.file, shot.index, clip)
            num_rejected += bool(shot.rejects)
    assert num_rejected >= 4


def test_each_drawn_defect_is_met_by_a_clip_of_its_own(
    truth: Truth, pairs: list[tuple[VideoTruth, ScannedVideo]]
) -> None:
    wanted = {(v.file, s.index) for v in truth.videos if not v.duplicate_of for s in v.shots if s.rejects}
    assert wanted <= {(video.file, shot.index) for video, result in pairs for shot, _ in judged(video, result)}


def test_the_content_box_is_within_two_pixels(pairs: list[tuple[VideoTruth, ScannedVideo]]) -> None:
    for video, result in pairs:
        for shot, clip in judged(video, result):
            if "brightness" in shot.rejects:
                continue
            box = shot.content_box or (0, 0, video.width, video.height)
            assert np.abs(np.subtract(clip["content_box"], box)).max() <= 2, (video.file, clip["content_box"])
            width, height = clip["content_box"][2:]
            assert clip["bars_frac"] == pytest.approx(1 - width * height / (video.width * video.height))
            assert clip["short_side_px"] == min(width, height)


def test_thresholds_keep_the_distance_that_the_recipe_claims(pairs: list[tuple[VideoTruth, ScannedVideo]]) -> None:
    """The `source` of the rules on motion and brightness quotes these bounds."""
    for video, result in pairs:
        for shot, clip in judged(video, result):
            if "motion_px_s" in shot.rejects:
                assert clip["motion_px_s"] < 0.01
            elif clip["motion_px_s"] is not None and "motion_px_s" not in shot.may_reject:
                assert clip["motion_px_s"] > 1
            if "brightness" in shot.rejects:
                assert clip["brightness"] < 0.04
            else:
                assert clip["brightness"] > 0.08


def test_an_image_is_one_frame_without_duration_or_motion(
    truth: Truth, scanned_corpus: dict[str, ScannedVideo]
) -> None:
    images = [scanned_corpus[video.file].clips for video in truth.videos if video.is_image]
    assert len(images) == 2
    for (clip,) in images:
        assert (clip["is_image"], clip["start_us"], clip["end_us"], clip["num_frames"]) == (True, 0, 1, 1)
        assert clip["fps"] is clip["duration_s"] is clip["motion_px_s"] is None
        assert reasons_of(clip, RECIPE) == []


def test_ids_are_hashes_of_the_content(drawn_corpus: Path, scanned_corpus: dict[str, ScannedVideo]) -> None:
    result = scanned_corpus["00_cuts.mp4"]
    video_id = file_digest(drawn_corpus / "videos" / "00_cuts.mp4")[:ID_HEX_CHARS]
    assert result.video["video_id"] == scanned_corpus["copy_exact.mp4"].video["video_id"] == video_id
    for clip in result.clips:
        assert clip["clip_id"] == digest(video_id, clip["start_us"], clip["end_us"])


def test_what_the_list_says_travels_along(scanned_corpus: dict[str, ScannedVideo]) -> None:
    source = json.loads(scanned_corpus["empty.mp4"].video["source"])
    assert source["licence"] == "CC0-1.0"
    assert set(source) == {"title", "alt_text", "licence"}


def encode(path: Path, pictures: list[np.ndarray], **settings: Any) -> Path:
    """Write (H, W, 3) uint8 pictures at ten a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def scan_file(path: Path) -> ScannedVideo:
    return scan(ListedInput(str(path), path.stat().st_size), DEMO)


def test_bars_are_given_in_displayed_pixels_where_pixels_are_not_square(tmp_path: Path) -> None:
    picture = np.zeros((96, 128, 3), np.uint8)
    picture[:, 16:112] = 180
    path = encode(tmp_path / "wide.mp4", [picture] * 8, sample_aspect_ratio=Fraction(2))
    (clip,) = scan_file(path).clips
    assert (clip["width"], clip["height"]) == (256, 96)
    assert np.abs(np.subtract(clip["content_box"], [32, 0, 192, 96])).max() <= 2


def test_a_stream_may_change_its_size(tmp_path: Path) -> None:
    """The second part is brought into the size of the first without being stretched."""
    parts = [
        encode(tmp_path / "a.h264", [np.full((120, 160, 3), 60, np.uint8)] * 15),
        encode(tmp_path / "b.h264", [np.full((180, 320, 3), 200, np.uint8)] * 15),
    ]
    whole = tmp_path / "whole.h264"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    result = scan_file(whole)
    assert (result.video["status"], result.video["width"], result.video["num_frames"]) == ("probed", 160, 30)
    assert result.video["size_changes"] == 1
    assert [clip["num_frames"] for clip in result.clips] == [15, 15]
    assert [clip["brightness"] for clip in result.clips] == pytest.approx([60 / 255, 200 / 255 * 90 / 120], abs=0.02)
    assert [clip["content_box"] for clip in result.clips] == [[0, 0, 160, 120], [0, 15, 160, 90]]


@pytest.mark.parametrize(
    ("mode", "white", "black"),
    [
        ("L", 255, 0),
        ("RGB", (255, 255, 255), (0, 0, 0)),
        ("RGBA", (255, 255, 255, 255), (0, 0, 0, 255)),
        ("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)),
    ],
)
def test_images_of_any_colour_model_measure_alike(tmp_path: Path, mode: str, white: Any, black: Any) -> None:
    """What is transparent is on white."""
    for name, value, expected in (("white", white, 1.0), ("black", black, 0.0)):
        Image.new(mode, (64, 48), value).save(tmp_path / f"{name}.png")
        (clip,) = scan_file(tmp_path / f"{name}.png").clips
        assert clip["brightness"] == pytest.approx(expected, abs=0.01)
        assert clip["content_box"] == [0, 0, 64, 48]


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (3, 5), (13, 7), (3000, 3)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_pictures_too_small_to_measure_are_rows_that_say_so(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.new("RGB", size, (128, 128, 128)).save(path)
    result = scan_file(path)
    assert (result.video["status"], result.video["reason"], result.clips) == ("failed", "too_small", [])


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (250, 16)])
def test_the_smallest_pictures_are_measured(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "image.png"
    Image.new("RGB", size, (128, 128, 128)).save(path)
    (clip,) = scan_file(path).clips
    assert (clip["width"], clip["height"]) == size
    assert clip["brightness"] == pytest.approx(0.5, abs=0.02)
    assert "too_small" in reasons_of(clip, RECIPE)


def test_an_animated_image_is_a_video(tmp_path: Path) -> None:
    pictures = [Image.new("L", (64, 48), 20 * i) for i in range(10)]
    pictures[0].save(tmp_path / "x.gif", save_all=True, append_images=pictures[1:], duration=100)
    (clip,) = scan_file(tmp_path / "x.gif").clips
    assert (clip["is_image"], clip["num_frames"]) == (False, 10)
    assert clip["duration_s"] == pytest.approx(1.0, abs=0.01)


def test_what_cannot_be_read_is_a_row(tmp_path: Path) -> None:
    gone = scan(ListedInput(str(tmp_path / "gone.mp4")), DEMO)
    assert (gone.video["status"], gone.video["reason"], gone.clips) == ("failed", "unreadable", [])
    assert gone.video["video_id"] is None
    assert scan(ListedInput(str(tmp_path)), DEMO).video["reason"] == "unreadable"


def test_what_cannot_be_read_is_counted_until_it_is_given_up(tmp_path: Path) -> None:
    config = ScanConfig.of(load_recipe("demo", ["limits.max_failures=2"]))
    gone = ListedInput(str(tmp_path / "gone.mp4"))
    first, last = (scan(replace(gone, num_failures=number), config).video for number in (0, 1))
    assert [(row["transient"], row["num_failures"]) for row in (first, last)] == [(True, 1), (True, 2)]
    assert last["detail"] == f"{first['detail']} (given up after 2 times)"
    (tmp_path / "text.mp4").write_text("no video")
    refused = scan(ListedInput(str(tmp_path / "text.mp4"), num_failures=1), config).video
    assert (refused["transient"], refused["num_failures"]) == (False, 2)
    assert "given up" not in refused["detail"]
    assert refused["file_bytes"] == len("no video")


def test_long_shots_are_divided(tmp_path: Path) -> None:
    path = encode(tmp_path / "long.mp4", [np.full((32, 48, 3), 90, np.uint8)] * 50)
    config = ScanConfig.of(load_recipe("demo", ["split.max_clip_s=2.0"]))
    clips = scan(ListedInput(str(path), 1), config).clips
    assert [(clip["shot_index"], clip["num_frames"]) for clip in clips] == [(0, 17), (0, 16), (0, 17)]
    assert max(clip["duration_s"] for clip in clips) <= 2.0
