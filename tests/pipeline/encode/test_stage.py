"""Clips to latents as they are decoded: which are next, what fails costs its own row, and videos are opened once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.codec.spec import CodecPlan, codec_spec
from pipeline.decode.clip_frames import SampledClip, Sampling, VideoClips
from pipeline.encode import stage
from pipeline.encode.latents import LatentEncoder, plan_clip
from pipeline.encode.stage import DecodedClip, LatentWriting, longest_alike
from pipeline.ingest.failures import Failure
from pipeline.store.dataset import Dataset
from schemas import LATENTS
from schemas.recipe.encode import EncodeConfig
from schemas.recipe.limits import LimitsConfig

MakeRow = Callable[..., dict[str, Any]]
CODEC = codec_spec()
GONE = Failure("unreadable", "gone", transient=True)


def clip_of(make: MakeRow, name: str, uri: str = "/v.mp4", **changes: Any) -> dict[str, Any]:
    row = make(name, "v", is_image=True, content_box=[0, 0, 20, 16], **changes)
    return row | {"uri": uri, "transform": "t", "failures": 0}


def decoded_by(level_of: Callable[[str], int | None], opened: list[str]) -> Callable[..., Any]:
    """In place of the decoder: frames of one grey level, or a failure where there is none."""

    def sample(limits: LimitsConfig, video: VideoClips) -> Iterator[tuple[int, list[SampledClip]]]:
        opened.append(video.uri)
        for number, (clip, (sampling,)) in enumerate(zip(video.clips, video.samplings, strict=True)):
            level = level_of(clip["clip_id"])
            shape = (len(sampling.times_us), *sampling.size[::-1], 3)
            frames = np.full((0, *shape[1:]) if level is None else shape, level or 0, np.uint8)
            yield number, [SampledClip(frames, [], GONE if level is None else None)]

    return sample


def rows_of(dataset: Dataset) -> dict[str, dict[str, Any]]:
    rows = dataset.read(LATENTS.within(CODEC.fingerprint)).to_pylist()
    assert len({row["clip_id"] for row in rows}) == len(rows)
    return {row["clip_id"]: row for row in rows}


def test_what_cannot_be_encoded_or_read_is_a_failed_row_and_the_others_are_written(
    clip_row: MakeRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, levels = LatentEncoder._encoded, {"black": 0, "grey": 128, "white": 255, "gone": None}

    def odd(self: LatentEncoder, frames: np.ndarray) -> np.ndarray:
        if frames.min() == 255:
            raise MemoryError("out_of_memory: the codec")
        return real(self, frames) + (1e9 if not frames.any() else 0)

    monkeypatch.setattr(LatentEncoder, "_encoded", odd)
    monkeypatch.setattr(LatentEncoder, "clips_at_once", lambda self, plan: 1)
    monkeypatch.setattr(stage, "sample_video", decoded_by(levels.__getitem__, []))
    dataset = Dataset(str(tmp_path))
    writing = LatentWriting(dataset, EncodeConfig(), CODEC, LimitsConfig(max_failures=3), lambda *counts: None)
    long = clip_of(clip_row, "long", end_us=10_000_000_000) | {"is_image": False}
    alone = long | {"clip_id": "alone", "uri": "/w.mp4"}
    writing.write([[*(clip_of(clip_row, name) for name in levels), long], [alone]])
    found = rows_of(dataset)
    for name in ("long", "alone"):
        row = found.pop(name)
        assert (row["status"], row["transient"]) == ("failed", False)
        assert row["reason"] == (
            "frames: too_many_tokens: 80000 frames are 20001 tokens at the smallest size, more than 2048"
        )
    assert {name: row["status"] for name, row in found.items()} == dict.fromkeys(levels, "failed") | {"grey": "ok"}
    assert (found["black"]["transient"], found["black"]["data"]) == (False, None)
    assert found["black"]["reason"] == "a latent cannot be stored as float16: it has values beyond 65504"
    assert (found["white"]["reason"], found["white"]["transient"]) == ("out_of_memory: the codec", True)
    assert (found["gone"]["reason"], found["gone"]["num_failures"]) == ("frames: unreadable: gone", 1)
    assert found["grey"]["valid"] == [1, 20, 16]


def test_each_video_is_opened_once_and_every_clip_of_many_is_written_as_alone(
    clip_row: MakeRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of sizes that are mixed, and with less room than two of them take."""
    opened: list[str] = []
    levels = {f"{video}{clip}": 10 * video + clip for video in range(3) for clip in range(6)}
    monkeypatch.setattr(stage, "sample_video", decoded_by(levels.__getitem__, opened))
    monkeypatch.setattr(stage, "AT_HAND_BYTES", 40_000)
    videos = [
        [
            clip_of(clip_row, f"{video}{clip}", f"/{video}.mp4", start_us=0, end_us=10_000_000)
            | {"content_box": [0, 0, 96, 64] if clip % 2 else [0, 0, 30, 40], "is_image": clip % 3 == 0}
            for clip in range(6)
        ]
        for video in range(3)
    ]
    dataset, config = Dataset(str(tmp_path)), EncodeConfig()
    writing = LatentWriting(dataset, config, CODEC, LimitsConfig(), lambda *counts: None)
    writing.write(videos)
    found = rows_of(dataset)
    assert opened == ["/0.mp4", "/1.mp4", "/2.mp4"]
    assert found.keys() == levels.keys()
    encoder = LatentEncoder(config)
    for clip in (clip for of_video in videos for clip in of_video):
        plan, row = plan_clip(clip, config, CODEC), found[clip["clip_id"]]
        frames = np.full((*plan.codec.valid[:1], *plan.codec.valid[:0:-1], 3), levels[clip["clip_id"]], np.uint8)
        (alone,) = encoder([frames], plan.codec)
        stored = np.frombuffer(row["data"], row["dtype"]).reshape(row["shape"])
        assert np.array_equal(stored, alone.astype(np.float16))


def by_their_times(opened: list[tuple[int, int]]) -> Callable[..., Any]:
    """In place of the decoder: frames that differ by their times."""

    def sample(limits: LimitsConfig, video: VideoClips) -> Iterator[tuple[int, list[SampledClip]]]:
        num_frames = sum(len(sampling.times_us) for samplings in video.samplings for sampling in samplings)
        opened.append((len(video.clips), num_frames))
        for number, samplings in enumerate(video.samplings):
            yield number, [SampledClip(shown(sampling), []) for sampling in samplings]

    return sample


def shown(sampling: Sampling) -> np.ndarray:
    levels = [time_us // 9000 % 256 for time_us in sampling.times_us]
    return np.stack([np.full((*sampling.size[::-1], 3), level, np.uint8) for level in levels])


def test_single_frames_are_encoded_as_videos_of_one_frame_from_one_reading_of_the_clip(
    clip_row: MakeRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first clip all is wanted, of the second two frames."""
    opened: list[tuple[int, int]] = []
    monkeypatch.setattr(stage, "sample_video", by_their_times(opened))
    clips = [clip_of(clip_row, name, end_us=1_000_000) | {"is_image": False} for name in "ab"]
    wanted = [(clips[0], None), (clips[0], "first"), (clips[0], "last"), (clips[1], "middle"), (clips[1], "last")]
    rows = [clip | {"frame": frame, "transform": str(frame)} for clip, frame in wanted]
    dataset, config = Dataset(str(tmp_path)), EncodeConfig()
    writing = LatentWriting(dataset, config, CODEC, LimitsConfig(), lambda *counts: None)
    writing.write([rows])
    assert opened == [(2, 8 + 2 + 2)]
    found = dataset.read(LATENTS.within(CODEC.fingerprint)).to_pylist()
    assert len(found) == 5
    encoder = LatentEncoder(config)
    for row in rows:
        (stored,) = (kept for kept in found if (kept["clip_id"], kept["frame"]) == (row["clip_id"], row["frame"]))
        plan = plan_clip(row, config, CODEC)
        (alone,) = encoder([shown(plan.sampling)], plan.codec)
        assert np.array_equal(
            np.frombuffer(stored["data"], np.float16).reshape(stored["shape"]), alone.astype(np.float16)
        )
        assert (stored["transform"], stored["times_us"]) == (row["transform"], list(plan.sampling.times_us))
        assert (stored["valid"], stored["shape"][1]) == ([8, 20, 16], 3) if row["frame"] is None else ([1, 20, 16], 1)


def test_where_a_clip_cannot_be_read_all_that_is_wanted_of_it_has_failed(
    clip_row: MakeRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(limits: LimitsConfig, video: VideoClips) -> Iterator[tuple[int, list[SampledClip]]]:
        yield 0, [SampledClip(np.zeros((0, 16, 20, 3), np.uint8), [], GONE) for _ in video.samplings[0]]

    monkeypatch.setattr(stage, "sample_video", gone)
    clip = clip_of(clip_row, "a", end_us=1_000_000) | {"is_image": False}
    long = clip_of(clip_row, "long", end_us=10_000_000_000) | {"is_image": False}
    dataset = Dataset(str(tmp_path))
    writing = LatentWriting(dataset, EncodeConfig(), CODEC, LimitsConfig(), lambda *counts: None)
    writing.write([[one | {"frame": frame} for one in (clip, long) for frame in (None, "last")]])
    found = dataset.read(LATENTS.within(CODEC.fingerprint)).to_pylist()
    assert {(row["clip_id"], row["frame"], row["status"]) for row in found} == {
        (name, frame, "failed") for name in ("a", "long") for frame in (None, "last")
    }


def decoded(clip: dict[str, Any], failure: Failure | None = None) -> DecodedClip:
    plan = plan_clip(clip, EncodeConfig(), CODEC)
    frames = np.zeros((0 if failure else plan.codec.valid[0], *plan.sampling.size[::-1], 3), np.uint8)
    return DecodedClip(clip, plan, SampledClip(frames, [], failure))


def test_the_longest_of_those_at_hand_are_next_with_all_of_their_size(clip_row: MakeRow) -> None:
    lengths = (200_000, 900_000, 900_000, 500_000, 950_000, 900_000)
    clips = [clip_row(str(number), "v", end_us=end_us) for number, end_us in enumerate(lengths)]
    assert longest_alike([decoded(clip) for clip in clips]) == [1, 2, 4, 5]
    failed = [decoded(clip, GONE if number == 3 else None) for number, clip in enumerate(clips)]
    assert longest_alike(failed) == [3]


@pytest.mark.parametrize("size", [(1, 16, 16), (5, 48, 112), (17, 64, 96), (9, 80, 80), (17, 240, 320)])
def test_clips_have_the_same_bits_in_a_batch_as_alone(size: tuple[int, int, int], two_threads: None) -> None:
    frames, height, width = size
    plan = CodecPlan((frames, width, height), (frames, width, height), (8, (frames + 3) // 4, height // 8, width // 8))
    clips = np.random.default_rng(0).integers(0, 256, (7, *size, 3), np.uint8)
    encoder = LatentEncoder(EncodeConfig())
    assert encoder.clips_at_once(plan) == max(1, (1 << 19) // (frames * height * width))
    together = encoder(list(clips), plan)
    for clip, latent in zip(clips, together, strict=True):
        assert np.array_equal(encoder([clip], plan)[0], latent)


@pytest.fixture
def two_threads() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_the_codec_runs_in_the_precision_that_is_asked_for() -> None:
    plan = CodecPlan((5, 32, 32), (5, 32, 32), (8, 2, 4, 4))
    clip = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    exact, coarse = (
        LatentEncoder(EncodeConfig(codec_dtype=dtype))([clip], plan)[0] for dtype in ("float32", "bfloat16")
    )
    assert np.array_equal(coarse.view(np.uint32) & 0xFFFF, np.zeros_like(coarse, np.uint32))
    assert 1e-4 < np.abs(coarse - exact).max() < 0.2
