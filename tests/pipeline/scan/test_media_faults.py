"""Small inputs that were once read wrongly, with the right values; skipped where the files are not at hand."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.decode.random_access import frames_at
from pipeline.ingest.inputs import InputError, ListedInput, list_inputs
from pipeline.scan.scan import ScanConfig, ScannedVideo, scan
from schemas.recipe import load_recipe

FAULTS = Path(__file__).parents[4] / "shared" / "media_faults"
pytestmark = pytest.mark.skipif(not FAULTS.is_dir(), reason="the files are not at hand")


def scanned(name: str, *settings: str) -> ScannedVideo:
    path = FAULTS / name
    config = ScanConfig.of(load_recipe("default", ["split.detector=adaptive", *settings]))
    return scan(ListedInput(str(path), path.stat().st_size), config)


@pytest.fixture(scope="module")
def drawn() -> ModuleType:
    """How the numbered files were drawn, and how their numbers are read."""
    spec = importlib.util.spec_from_file_location("numbered_frames", FAULTS / "numbered_frames.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "num_frames", "fps", "numbers"),
    [
        ("c03_editlist_trim.mp4", 99, 30, {0: 21, 50: 71, 98: 119}),
        ("c04_offset10h.mkv", 120, 30, {0: 0, 60: 60, 119: 119}),
        ("c05_concat_same.ts", 240, 30, {0: 0, 119: 119, 120: 0, 239: 119}),
        ("c05_concat_jump.ts", 240, 30, {0: 0, 119: 119, 120: 0, 239: 119}),
        ("x265_default_settings.mp4", 480, 30, {0: 0, 100: 100, 250: 10, 479: 119}),
        ("h264_opengop.mp4", 120, 30, {0: 0, 33: 33, 119: 119}),
        ("hevc_opengop.mp4", 120, 30, {0: 0, 33: 33, 119: 119}),
        ("mpeg2.mkv", 120, 30, {0: 0, 33: 33, 119: 119}),
        ("x264default.avi", 120, 25, {0: 0, 33: 33, 119: 119}),
    ],
)
def test_a_frame_is_at_its_time(
    name: str, num_frames: int, fps: int, numbers: dict[int, int], drawn: ModuleType
) -> None:
    video = scanned(name).video
    assert (video["num_frames"], video["variable_frame_rate"], video["decode_errors"]) == (num_frames, False, 0)
    assert video["duration_us"] == pytest.approx(num_frames / fps * 1e6, abs=1_000)
    assert video["fps"] == pytest.approx(fps, rel=1e-3)
    whole = video["width"], video["height"]
    times_us = [round((index + 0.5) / fps * 1e6) for index in numbers]
    shown = frames_at(str(FAULTS / name), times_us, (0, 0, *whole), whole, whole)
    assert [drawn.read(frame) for frame in shown] == list(numbers.values())


def test_the_same_packets_from_another_start_are_the_same_clips_and_the_same_frames() -> None:
    """The second file rounds to milliseconds."""
    plain, moved = scanned("orig.mp4"), scanned("mkv_offset10.mkv")
    assert len(plain.clips) == len(moved.clips) == 3
    for one, other in zip(plain.clips, moved.clips, strict=True):
        assert other["start_us"] == pytest.approx(one["start_us"], abs=1_000)
        assert (one["start_frame"], one["num_frames"]) == (other["start_frame"], other["num_frames"])
        assert other["sharpness"] == pytest.approx(one["sharpness"])
        whole = one["width"], one["height"]
        middles = [(clip["start_us"] + clip["end_us"]) // 2 for clip in (one, other)]
        pictures = [
            frames_at(str(FAULTS / name), [time_us], (0, 0, *whole), whole, whole)
            for name, time_us in zip(("orig.mp4", "mkv_offset10.mkv"), middles, strict=True)
        ]
        np.testing.assert_array_equal(*pictures)


def test_no_part_of_a_sparse_recording_is_too_long_or_a_sliver() -> None:
    clips = scanned("c07b_screen.mp4", "split.max_clip_s=60.0").clips
    lengths = [clip["duration_s"] for clip in clips]
    assert sum(lengths) == pytest.approx(120.03, abs=0.1)
    assert max(lengths) <= 60.0
    assert min(lengths) > 30.0


def test_a_mirrored_video_is_shown_mirrored() -> None:
    video = scanned("c25_hflip.mp4").video
    assert (video["rotation_deg"], video["mirrored"]) == (0, True)


@pytest.mark.parametrize("name", ["exif1.jpg", "exif2.jpg", "exif6.jpg"])
def test_a_photo_is_shown_as_pillow_shows_it(name: str) -> None:
    """They hold the same stored picture, so a tag is all that tells them apart."""
    video = scanned(name).video
    whole = video["width"], video["height"]
    (shown,) = frames_at(str(FAULTS / name), [0], (0, 0, *whole), whole, whole)
    with Image.open(FAULTS / name) as photo:
        expected = np.asarray(ImageOps.exif_transpose(photo).convert("RGB")).astype(int)
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).mean() < 3


@pytest.mark.parametrize(
    ("name", "reason"), [("trunc.jpg", "truncated"), ("c01_audio_only_cover.mp4", "no_video_stream")]
)
def test_what_holds_no_whole_picture_fails(name: str, reason: str) -> None:
    result = scanned(name)
    assert (result.video["status"], result.video["reason"], result.clips) == ("failed", reason, [])


def test_full_and_limited_range_score_alike() -> None:
    full, limited = (scanned(name).clips[0] for name in ("c12_fullrange.mp4", "c12_tvrange.mp4"))
    for name in ("sharpness", "noise_sigma", "contrast", "brightness"):
        assert full[name] == pytest.approx(limited[name], rel=0.03, abs=0.01), name


def test_what_is_transparent_is_white() -> None:
    video = scanned("alpha.png").video
    whole = video["width"], video["height"]
    picture = frames_at(str(FAULTS / "alpha.png"), [0], (0, 0, *whole), whole, whole)[0]
    assert (picture == 255).all(axis=2).any()


def sources(name: str) -> list[dict[str, Any]]:
    return [json.loads(listed.source) for listed in list_inputs([str(FAULTS / name)]).inputs]


def test_text_of_lists_stays_as_written() -> None:
    first, second, third = sources("ids.csv")
    assert (first["id"], first["code"], first["date"], first["big"]) == (
        "00123",
        "1e5",
        "2024-01-02",
        "12345678901234567890",
    )
    assert (second["id"], second["empty"], third["empty"]) == ("00456", "NA", "null")
    assert sources("numtitle.csv") == [{"title": "007"}, {"title": "1984"}]


def test_a_uri_twice_is_said() -> None:
    listing = list_inputs([str(FAULTS / "sameuri.csv")])
    assert (len(listing.inputs), listing.num_repeated) == (1, 1)


@pytest.mark.parametrize("name", ["upper_http.jsonl", "nul.jsonl"])
def test_a_row_that_cannot_be_fails_alone(name: str) -> None:
    good, bad = list_inputs([str(FAULTS / name)]).inputs
    assert good.file_bytes > 0
    config = ScanConfig.of(load_recipe("default"))
    assert (scan(bad, config).video["status"], scan(bad, config).video["reason"]) == ("failed", "unreadable")


@pytest.mark.parametrize("name", ["list.txt", "list.tsv", "array.json", "crlf.csv.gz", "binary_uri.parquet"])
def test_lists_of_a_kind_that_is_not_read_are_one_line(name: str) -> None:
    with pytest.raises(InputError) as caught:
        list_inputs([str(FAULTS / name)])
    assert "\n" not in str(caught.value)


def test_a_playlist_is_refused_whatever_its_suffix(tmp_path: Path) -> None:
    shutil.copy(FAULTS / "t1.mp4", tmp_path / "t1.mp4")
    playlists = {
        "a.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.5,\nt1.mp4\n#EXT-X-ENDLIST\n",
        "b.mkv": "ffconcat version 1.0\nfile t1.mp4\n",
        "c.ts": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    }
    for name, content in playlists.items():
        (tmp_path / name).write_text(content)
        video = scan(ListedInput(str(tmp_path / name), 9), ScanConfig.of(load_recipe("default"))).video
        assert (name, video["status"], video["reason"]) == (name, "failed", "playlist")
