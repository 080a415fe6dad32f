"""The synthetic files hold what their truth promises, as PyAV decodes them."""

from __future__ import annotations

import functools
import json
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pipeline.synthetic.corpus import draw_corpus, draw_video, main
from pipeline.synthetic.defects import EMPTY, NO_FRAMES, NO_STREAM, UNREADABLE
from pipeline.synthetic.render import render
from pipeline.synthetic.truth import Truth, VideoTruth
from pipeline.synthetic.world import attributes


@pytest.fixture(scope="module")
def folder(drawn_corpus: Path) -> Path:
    return drawn_corpus


@pytest.fixture(scope="module")
def truth(folder: Path) -> Truth:
    return Truth.load(folder / "truth.json")


@pytest.fixture(scope="module")
def probed(truth: Truth) -> list[VideoTruth]:
    return [video for video in truth.videos if video.status == "probed"]


@functools.cache
def decode(path: Path) -> tuple[np.ndarray, list[int]]:
    """Pictures as stored, (T, H, W, 3) int16 RGB, and presentation times in microseconds."""
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    times_us = [round(frame.pts * frame.time_base * 1_000_000) for frame in decoded]
    return np.stack([frame.to_ndarray(format="rgb24") for frame in decoded]).astype(np.int16), times_us


def steps(path: Path) -> np.ndarray:
    """How far the mean colour of a frame is from the one before, (T - 1,): motion leaves it as it is."""
    pictures, _ = decode(path)
    return np.abs(np.diff(pictures.mean(axis=(1, 2)), axis=0)).max(axis=1)


def failure(path: Path) -> str | None:
    """Why a file has no picture, found by trying."""
    if not path.stat().st_size:
        return EMPTY
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                return NO_STREAM
            return None if next(container.decode(video=0), None) else NO_FRAMES
    except av.FFmpegError:
        return UNREADABLE


def test_files_decode_to_the_promised_frames_sizes_and_times(folder: Path, probed: list[VideoTruth]) -> None:
    for video in probed:
        path = folder / "videos" / video.file
        pictures, times_us = decode(path)
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            ratio = stream.sample_aspect_ratio or Fraction(1)
            codec = stream.codec_context.name
            rotation = next(container.decode(video=0)).rotation
        height, width = pictures.shape[1], round(pictures.shape[2] * ratio)
        if rotation % 180:
            width, height = height, width
        assert (len(pictures), width, height) == (video.num_frames, video.width, video.height), video.file
        assert rotation == video.rotation_deg_ccw
        assert f"{ratio.numerator}:{ratio.denominator}" == video.sample_aspect_ratio
        if not video.is_image:
            assert codec == video.codec
            assert [times_us[cut.frame] for cut in video.cuts] == [cut.pts_us for cut in video.cuts]
            assert [times_us[shot.start_frame] for shot in video.shots] == [shot.start_us for shot in video.shots]
            longest_us = max(np.diff(times_us))
            assert times_us[-1] < video.duration_us <= times_us[-1] + longest_us + 2000


def test_headers_announce_the_true_duration(folder: Path, probed: list[VideoTruth]) -> None:
    for video in probed:
        if not (video.is_image or video.is_damaged):
            with av.open(str(folder / "videos" / video.file)) as container:
                whole_us = max(shot.end_us for shot in video.shots)
                last = [frame.duration * frame.time_base for frame in container.decode(video=0)][-1]
                assert video.duration_us == whole_us
                assert decode(folder / "videos" / video.file)[1][-1] + last * 1_000_000 == pytest.approx(
                    whole_us, abs=1100
                )


def test_only_the_variable_file_has_uneven_intervals(folder: Path, probed: list[VideoTruth]) -> None:
    for video in probed:
        if video.num_frames > 1:
            intervals_us = np.diff(decode(folder / "videos" / video.file)[1])
            assert intervals_us.min() > 0
            assert (np.ptp(intervals_us) > 2000) == video.variable_frame_rate, video.file


def test_a_cut_is_a_jump_and_a_gradual_change_is_not(folder: Path, probed: list[VideoTruth]) -> None:
    for video in probed:
        if not video.shots[1:]:
            continue
        change = steps(folder / "videos" / video.file)
        cuts = [cut.frame - 1 for cut in video.cuts]
        rest = np.delete(change, cuts)
        assert all(change[cuts] > 20), video.file
        assert all(change[cuts] > 1.3 * rest.max()), video.file
        for ramp in video.transitions:
            assert change[ramp.first_frame - 1 : ramp.last_frame + 1].min() > 1


def test_the_rotated_file_is_upright_once_turned(folder: Path, truth: Truth) -> None:
    video = next(video for video in truth.videos if video.rotation_deg_ccw)
    pictures, _ = decode(folder / "videos" / video.file)
    upright = np.rot90(pictures, k=video.rotation_deg_ccw // 90, axes=(1, 2))
    assert upright.shape[1:3] == (video.height, video.width)
    assert video.height > video.width
    for shot in video.shots:
        drawn = render(shot.scene, video.width, video.height, shot.end_frame - shot.start_frame)
        shown = upright[shot.start_frame : shot.end_frame]
        error = np.abs(shown - drawn).mean()
        assert error < 8
        assert np.abs(shown[:, ::-1, ::-1] - drawn).mean() > 3 * error  # the other way up


def test_bars_are_black_and_the_rest_is_not(folder: Path, probed: list[VideoTruth]) -> None:
    boxed = [video for video in probed if video.shots[0].content_box]
    assert len(boxed) == 2
    for video in boxed:
        x, y, w, h = video.shots[0].content_box
        pictures, _ = decode(folder / "videos" / video.file)
        inside = np.zeros(pictures.shape[1:3], bool)
        inside[y : y + h, x : x + w] = True
        near = cv2.dilate(inside.astype(np.uint8), np.ones((5, 5))).astype(bool)  # chroma bleeds over the edge
        assert pictures[:, ~near].mean() < 2
        for edge in (pictures[:, y + 2, x : x + w], pictures[:, y : y + h, x + 2]):
            assert edge.mean() > 10


def test_shots_to_reject_are_short_dark_or_still(folder: Path, probed: list[VideoTruth]) -> None:
    seen = set()
    for video in probed:
        pictures, _ = decode(folder / "videos" / video.file)
        for shot in video.shots:
            span = pictures[shot.clear_start_frame : shot.clear_end_frame]
            brightness = span.mean()
            motion = np.abs(span[-1] - span[0]).mean()
            assert ("duration_s" in shot.rejects) == (not video.is_image and shot.end_us - shot.start_us < 500_000)
            assert ("brightness" in shot.rejects) == (brightness < 16), (video.file, shot.index)
            if "motion_px_s" in shot.rejects:
                assert motion < 3
            elif "motion_px_s" not in shot.may_reject and not video.is_image:
                assert motion > 3, (video.file, shot.index)
            seen.update(shot.rejects)
    assert seen == {"duration_s", "brightness", "motion_px_s"}


def test_broken_files_fail_as_promised(folder: Path, truth: Truth) -> None:
    promised = {video.file: video.reason for video in truth.videos}
    assert {file: failure(folder / "videos" / file) for file in promised} == promised
    assert set(promised.values()) == {None, EMPTY, NO_STREAM, UNREADABLE, NO_FRAMES}


def test_the_damaged_file_announces_more_than_it_holds(folder: Path, truth: Truth) -> None:
    video = next(video for video in truth.videos if video.is_damaged)
    with av.open(str(folder / "videos" / video.file)) as container:
        assert container.duration > video.duration_us + 200_000


def test_copies_are_the_same_bytes_or_the_same_pictures(folder: Path, truth: Truth) -> None:
    files = folder / "videos"
    exact = next(video for video in truth.videos if video.duplicate_of)
    assert (files / exact.file).read_bytes() == (files / exact.duplicate_of).read_bytes()
    near = [video for video in truth.videos if video.near_duplicate_of]
    assert len(near) == 2
    for video in near:
        original, copy = decode(files / video.near_duplicate_of)[0], decode(files / video.file)[0]
        assert (files / video.file).read_bytes() != (files / video.near_duplicate_of).read_bytes()
        for frame in (0, len(copy) // 2, len(copy) - 1):
            small = [
                cv2.resize(p[frame].astype(np.float32), (32, 18), interpolation=cv2.INTER_AREA)
                for p in (original, copy)
            ]
            assert np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1] > 0.9
        assert [shot.near_duplicate_of for shot in video.shots] == [
            f"{video.near_duplicate_of}#{shot.index}" for shot in video.shots
        ]
        twin = truth.video(video.near_duplicate_of)
        assert [shot.detailed_caption for shot in video.shots] == [shot.detailed_caption for shot in twin.shots]


def test_captions_read_back_as_the_scene_that_was_drawn(probed: list[VideoTruth]) -> None:
    for shot in (shot for video in probed for shot in video.shots):
        said, thing = attributes(shot.detailed_caption), shot.scene.things[0]
        assert (said["shape"], said["colour"], said["size"]) == (thing.shape, thing.colour, thing.size)
        assert (said["direction"], said["camera"]) == (thing.direction, shot.scene.camera)
        assert (said["background"], said["light"]) == (shot.scene.background, shot.scene.light)
        assert f"{thing.colour} {thing.shape}" in shot.short_caption
        assert shot.scene.seed >= 1_000_000_000  # held out of every fit


def test_the_corpus_is_varied(probed: list[VideoTruth]) -> None:
    assert {Path(video.file).suffix for video in probed} == {".mp4", ".webm", ".mkv", ".png", ".jpg"}
    assert {video.codec for video in probed} >= {"h264", "hevc", "vp8", "vp9", "mpeg4"}
    assert len({video.width / video.height for video in probed}) >= 6
    assert len({video.fps for video in probed}) >= 6
    assert {ramp.kind for video in probed for ramp in video.transitions} == {"dissolve", "fade_out", "fade_in"}
    assert {overlay.kind for video in probed for overlay in video.overlays} == {"logo", "ticker"}
    shapes = [np.sign(video.width - video.height) for video in probed]
    assert set(shapes) == {-1, 0, 1}


def test_the_list_names_every_file_once(folder: Path, truth: Truth) -> None:
    rows = [json.loads(line) for line in (folder / "inputs.jsonl").read_text().splitlines()]
    assert all(set(row) == {"uri", "title", "alt_text", "licence"} for row in rows)
    files = sorted((folder / "videos").iterdir())
    assert sorted(row["uri"] for row in rows) == [str(path) for path in files]
    assert sorted(video.file for video in truth.videos) == [path.name for path in files]


def test_a_seed_draws_the_same_files_again(tmp_path: Path) -> None:
    once, again = (draw_corpus(tmp_path / name, seed=5, num_videos=1) for name in ("once", "again"))
    assert once == again == Truth.load(tmp_path / "once" / "truth.json")
    for video in once.videos:
        one, other = ((tmp_path / name / "videos" / video.file).read_bytes() for name in ("once", "again"))
        assert one == other, video.file
    assert draw_corpus(tmp_path / "other", seed=6, num_videos=1).videos[0].shots != once.videos[0].shots


def test_a_clip_finds_the_shot_that_it_shows_most_of(truth: Truth) -> None:
    video = truth.videos[0]
    cut_us = video.cuts[0].pts_us
    assert video.shot_at(0, cut_us + 200_000) == video.shots[0]
    assert video.shot_at(cut_us - 200_000, cut_us + 900_000) == video.shots[1]
    assert video.shot_at(video.duration_us, video.duration_us + 1) is None
    image = next(video for video in truth.videos if video.is_image)
    assert image.shot_at(0, 0) == image.shots[0]


def test_a_long_video_repeats_its_loop_without_a_seam(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    video = draw_video(path, seed=1, width=160, height=90, fps=10, duration_s=40)
    pictures, times_us = decode(path)
    assert (len(pictures), video.duration_us) == (video.num_frames, 48_000_000)
    assert times_us == [i * 100_000 for i in range(480)]
    change = steps(path)
    cuts = [cut.frame - 1 for cut in video.cuts]
    assert len(cuts) == 11
    assert change[cuts].min() > 20 > np.delete(change, cuts).max()
    assert np.abs(pictures[240:] - pictures[:240]).max() == 0
    assert video.shots[7].near_duplicate_of == "long.mp4#1"
    assert list(tmp_path.iterdir()) == [path]


def test_a_corpus_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        draw_corpus(tmp_path, num_videos=0)


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["corpus", "--out", str(tmp_path), "--videos", "1", "--seed", "3"])
    main()
    assert Truth.load(tmp_path / "truth.json").seed == 3
    assert "00_cuts.mp4" in capsys.readouterr().out
