"""Frames that models are shown: the right ones by time, inside the content box, and failures in words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest

from pipeline.decode import clip_frames, random_access
from pipeline.decode.clip_frames import (
    Clip,
    SampledClip,
    Sampling,
    VideoClips,
    by_video,
    frames_of,
    limits_of,
    read_clips,
    row_of,
    sample_times_us,
    sample_video,
    spread,
    spread_times_us,
)
from pipeline.ingest import filesystems
from pipeline.ingest.failures import Failure
from pipeline.ingest.sandbox import ChildDied, Limits
from pipeline.synthetic.encode import Encoding, encode
from pipeline.synthetic.render import render
from pipeline.synthetic.truth import Truth
from schemas.recipe.limits import LimitsConfig
from tests.numbered_videos import HEIGHT, WIDTH, draw_number, read_number

MakeRow = Callable[..., dict[str, Any]]


def sample_clip(clip: Clip, times_us: list[int], max_pixels_px: int, **limits: float) -> SampledClip:
    """One sampling of one clip."""
    video = VideoClips.of([clip], lambda clip: [Sampling.within(clip, times_us, max_pixels_px)])
    ((number, (sampled,)),) = sample_video(LimitsConfig(**limits), video)
    assert number == 0
    return sampled


@pytest.fixture(scope="module")
def truth(drawn_corpus: Path) -> Truth:
    return Truth.load(drawn_corpus / "truth.json")


def test_times_are_the_middles_of_equal_parts_of_the_whole_span() -> None:
    assert sample_times_us(1_000, 9_000, 4) == [2_000, 4_000, 6_000, 8_000]
    assert sample_times_us(0, 1, 1) == [0]
    assert sample_times_us(5_000, 5_000, 2) == [5_000, 5_000]


@pytest.mark.parametrize(("start_us", "end_us", "num_frames"), [(0, 9, 0), (0, 9, -1), (9, 8, 1)])
def test_no_frames_and_a_span_that_ends_before_it_starts_are_refused(
    start_us: int, end_us: int, num_frames: int
) -> None:
    with pytest.raises(ValueError, match=f"cannot take {num_frames} frames of the span {start_us}..{end_us} us"):
        sample_times_us(start_us, end_us, num_frames)


@pytest.mark.parametrize(
    ("clip", "num_frames", "times_us"),
    [
        ({"is_image": False, "num_frames": 48}, 2, [1_500, 2_500]),
        ({"is_image": False, "num_frames": 2}, 8, [1_500, 2_500]),
        ({"is_image": True, "num_frames": 1}, 8, [2_000]),
        ({"is_image": True, "num_frames": 0}, 8, [2_000]),
    ],
)
def test_a_clip_is_shown_in_as_many_frames_as_it_has_at_most(
    clip: dict[str, Any], num_frames: int, times_us: list[int]
) -> None:
    assert spread_times_us({"start_us": 1_000, "end_us": 3_000, **clip}, num_frames) == times_us


@pytest.mark.parametrize("file", ["00_cuts.mp4", "06_variable.mp4", "07_rotated.mp4", "11_anamorphic.mp4"])
def test_each_frame_shows_what_is_drawn_at_its_time(
    drawn_corpus: Path, truth: Truth, clip_row: MakeRow, file: str
) -> None:
    video = truth.video(file)
    shot = video.shots[0]
    uri = str(drawn_corpus / "videos" / file)
    box = [0, 0, video.width, video.height]
    num_frames = shot.end_frame - shot.start_frame
    span = {"start_us": shot.start_us, "end_us": shot.end_us, "num_frames": num_frames}
    clip = clip_row("c", "v", uri=uri, width=video.width, height=video.height, content_box=box, **span)
    sampled = sample_clip(clip, spread_times_us(clip, 5), video.width * video.height)
    assert sampled.failure is None
    assert sampled.frames.shape == (5, video.height, video.width, 3)
    middles_s = [(i + 0.5) * (shot.end_us - shot.start_us) * 1e-6 / 5 for i in range(5)]
    assert sampled.times_s == pytest.approx(middles_s, abs=1e-5)
    if not video.variable_frame_rate:
        drawn = render(shot.scene, video.width, video.height, num_frames)
        for time_s, frame in zip(sampled.times_s, sampled.frames, strict=True):
            index = min(int(time_s * video.fps + 1e-3), num_frames - 1)
            assert np.abs(frame.astype(int) - drawn[index]).mean() < 8


def test_only_the_content_box_is_shown(drawn_corpus: Path, truth: Truth, clip_row: MakeRow) -> None:
    video = truth.video("03_letterbox.mp4")
    shot = video.shots[1]
    assert shot.content_box is not None
    facts = {"start_us": shot.start_us, "end_us": shot.end_us, "width": 320, "height": 180}
    clip = clip_row("c", "v", uri=str(drawn_corpus / "videos" / video.file), content_box=[*shot.content_box], **facts)
    sampled = sample_clip(clip, spread_times_us(clip, 3), 80 * 34)
    assert shot.start_us > 0
    sixths_s = [place * (shot.end_us - shot.start_us) * 1e-6 / 6 for place in (1, 3, 5)]
    assert sampled.times_s == pytest.approx(sixths_s, abs=1e-5)
    frames = sampled.frames
    assert frames.shape == (3, 34, 80, 3)
    assert frames[:, (0, -1)].mean(axis=(0, 2, 3)).min() > 40


def test_an_image_is_one_frame(drawn_corpus: Path, truth: Truth, clip_row: MakeRow) -> None:
    video = truth.video("image.png")
    facts = {"is_image": True, "start_us": 0, "end_us": 1, "num_frames": 1, "width": 200, "height": 150}
    clip = clip_row("c", "v", uri=str(drawn_corpus / "videos" / video.file), content_box=[0, 0, 200, 150], **facts)
    sampled = sample_clip(clip, spread_times_us(clip, 8), 200 * 150)
    drawn = render(video.shots[0].scene, 200, 150, 1)
    assert sampled.frames.shape == drawn.shape
    assert np.abs(sampled.frames.astype(int) - drawn).max() <= 1
    assert sampled.times_s == [0.0]


def test_a_video_on_an_object_store_crosses_the_network_once_for_all_its_clips(
    drawn_corpus: Path, clip_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, copies, copy = f"memory://frames-{uuid4().hex}/image.png", [], filesystems._copy
    filesystem, path = filesystems.resolve(uri)
    filesystem.create_dir(path.rpartition("/")[0])
    with filesystem.open_output_stream(path) as stream:
        stream.write((drawn_corpus / "videos" / "image.png").read_bytes())
    monkeypatch.setattr(filesystems, "_copy", lambda *asked: copies.append(asked) or copy(*asked))
    facts = {"is_image": True, "num_frames": 1, "width": 200, "height": 150, "content_box": [0, 0, 200, 150]}
    clips = [clip_row(name, "v", uri=uri, **facts) for name in "ab"]
    for _ in range(2):  # the second pass finds the copy
        video = VideoClips.of(clips, lambda clip: [spread(clip, 1, 200 * 150)])
        (_, (first,)), (_, (second,)) = read_clips(video)
        np.testing.assert_array_equal(first, second)
        assert first.shape == (1, 150, 200, 3)
    assert len(copies) == 1


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> str:
    """100 numbered frames, ten a second."""
    path = tmp_path_factory.mktemp("numbered") / "a.mp4"
    times_s = [Fraction(index, 10) for index in range(101)]
    encode(path, map(draw_number, range(100)), times_s, Fraction(10), Encoding(options=(("g", "10"),)))
    return str(path)


def numbered_clip(clip_row: MakeRow, uri: str, first: int, last: int) -> Clip:
    span = {"start_us": first * 100_000, "end_us": last * 100_000, "num_frames": last - first}
    return clip_row(f"c{first}", "v", uri=uri, width=WIDTH, height=HEIGHT, content_box=[0, 0, WIDTH, HEIGHT], **span)


def test_a_video_is_opened_once_for_all_clips_and_all_that_is_wanted_of_them(
    numbered: str, clip_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [numbered_clip(clip_row, numbered, *span) for span in ((0, 10), (10, 50), (50, 100))]
    opened, open_video = [], random_access.open_video
    monkeypatch.setattr(random_access, "open_video", lambda path: opened.append(path) or open_video(path))

    def wanted(clip: Clip) -> list[Sampling]:
        return [spread(clip, 5, WIDTH * HEIGHT), spread(clip, 2, WIDTH * HEIGHT // 4)]

    found = dict(read_clips(VideoClips.of(clips, wanted)))
    assert opened == [numbered]
    assert list(found) == [0, 1, 2]
    for number, clip in enumerate(clips):
        for sampling, frames in zip(wanted(clip), found[number], strict=True):
            assert frames.shape[1:3] == sampling.size[::-1]
            assert [read_number(frame) for frame in frames] == [time_us // 100_000 for time_us in sampling.times_us]


def test_clips_are_grouped_by_file_in_the_order_of_time() -> None:
    rows = [{"uri": uri, "start_us": start, "clip_id": "c"} for uri, start in (("b", 2), ("a", 5), ("b", 1), ("a", 0))]
    assert [[(row["uri"], row["start_us"]) for row in group] for group in by_video(rows)] == [
        [("a", 0), ("a", 5)],
        [("b", 1), ("b", 2)],
    ]


def test_a_decoder_that_dies_costs_the_clip_that_it_was_at(
    numbered: str, clip_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies at the second of three clips, each time; the others are read."""
    clips = [numbered_clip(clip_row, numbered, *span) for span in ((0, 10), (10, 50), (50, 100))]
    asked = []

    def dying(_: Limits, function: Callable[..., Iterator[Any]], video: VideoClips) -> Iterator[Any]:
        asked.append([clip["clip_id"] for clip in video.clips])
        for number, frames in function(video):
            if video.clips[number]["clip_id"] == "c10":
                raise ChildDied("decoder_crashed", "SIGSEGV")
            yield number, frames

    monkeypatch.setattr(clip_frames, "streamed", dying)
    video = VideoClips.of(clips, lambda clip: [spread(clip, 2, 400)])
    found = {number: sampled for number, (sampled,) in sample_video(LimitsConfig(), video)}
    assert [found[number].failure is None for number in range(3)] == [True, False, True]
    assert str(found[1].failure) == "decoder_crashed: SIGSEGV"
    assert asked == [["c0", "c10", "c50"], ["c50"]]


def test_a_decoder_that_dies_at_once_is_not_started_for_every_clip(
    numbered: str, clip_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_calls = []

    def dying(*_: object) -> Iterator[Any]:
        num_calls.append(1)
        raise ChildDied("out_of_memory", "")
        yield

    monkeypatch.setattr(clip_frames, "streamed", dying)
    clips = [numbered_clip(clip_row, numbered, 10 * place, 10 * place + 10) for place in range(10)]
    found = list(sample_video(LimitsConfig(), VideoClips.of(clips, lambda clip: [spread(clip, 2, 400)])))
    assert [number for number, _ in found] == list(range(10))
    assert all(sampled.failure is not None and sampled.failure.transient for _, (sampled,) in found)
    assert len(num_calls) == 1


def test_what_cannot_be_read_is_said_in_words(tmp_path: Path, clip_row: MakeRow) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    for name in ("gone.mp4", "broken.mp4"):
        for is_image in (False, True):
            clip = clip_row("c", "v", uri=str(tmp_path / name), is_image=is_image)
            sampled = sample_clip(clip, spread_times_us(clip, 8), 80 * 60)
            assert sampled.frames.shape == (0, 60, 80, 3)
            assert sampled.frames.dtype == np.uint8
            assert sampled.times_s == []
            assert sampled.failure is not None
            assert sampled.failure.reason == "unreadable"
            assert sampled.failure.transient == (name == "gone.mp4")


def test_a_decoder_that_hangs_is_no_frames_and_a_failure(tmp_path: Path, clip_row: MakeRow) -> None:
    """A pipe into which nobody writes is waited for without end."""
    os.mkfifo(tmp_path / "pipe.mp4")
    clip = clip_row("c", "v", uri=str(tmp_path / "pipe.mp4"))
    sampled = sample_clip(clip, [0], 80 * 60, stall_s=0.5)
    assert (sampled.frames.shape[0], sampled.frames.shape[3], sampled.times_s) == (0, 3, [])
    assert sampled.failure is not None
    assert (sampled.failure.reason, sampled.failure.transient) == ("decoder_hung", True)


def test_the_limits_of_a_recipe_count_memory_in_mebibytes() -> None:
    assert limits_of(LimitsConfig(stall_s=1.0, call_s=2.0, memory_mib=1.5)) == Limits(1.0, 2.0, 1_572_864)


def test_frames_come_back_from_the_bytes_and_the_shape_of_a_row() -> None:
    first, none = np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3), np.zeros((0, 2, 2, 3), np.uint8)
    failure = Failure("unreadable", "a server", transient=True)
    rows = [row_of({"clip_id": "a"}, SampledClip(first, [0.5])), row_of({}, SampledClip(none, [], failure))]
    batch = pa.Table.from_pylist(rows)
    found = frames_of(batch)
    assert batch["failure"].to_pylist() == ["", "frames: unreadable: a server"]
    assert batch["transient"].to_pylist() == [False, True]
    assert batch["times_s"].to_pylist() == [[0.5], []]
    np.testing.assert_array_equal(found[0], first)
    assert (found[1].shape, found[1].dtype) == (none.shape, np.uint8)
