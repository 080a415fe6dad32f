"""The decode pass over real videos, where a folder of them lies beside the repository: `../shared/videos`.

Its manifest gives sizes, frame counts and hard cuts that a person has verified.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

from pipeline.scan.scan import ScannedVideo
from schemas import CLIPS, VIDEOS
from schemas.recipe import load_recipe
from tests.pipeline.scan.accounting import reasons_of
from tests.pipeline.scan.conftest import FOOTAGE

TOLERANCE_FRAMES = 2
FAILURES = {
    "dev10_audio_only.mp4": "no_video_stream",
    "dev11_zero_length.webm": "empty_file",
}
BEST_STREAM = {
    "dev02_nasa_two_video_streams.mp4": {
        "display_width": 480,
        "display_height": 270,
        "frames": 390,
        "verified_cuts": [240],
        "gradual_transitions": [{"first_frame": 150, "last_frame": 176}],
    }
}
"""The manifest describes another stream of this file than FFmpeg's best; its note gives these figures for that one."""


@pytest.fixture(scope="module")
def facts(scanned_footage: dict[str, ScannedVideo]) -> dict[str, dict[str, Any]]:
    """The manifest by file name."""
    files = json.loads((FOOTAGE / "manifest.json").read_text())["files"]
    return {f["file"]: f | BEST_STREAM.get(f["file"], {}) for f in files}


def test_every_file_is_a_row_and_failures_say_why(
    facts: dict[str, dict[str, Any]], scanned_footage: dict[str, ScannedVideo]
) -> None:
    assert set(scanned_footage) == set(facts)
    VIDEOS.encode([result.video for result in scanned_footage.values()])
    CLIPS.encode([clip for result in scanned_footage.values() for clip in result.clips])
    failures = {name: r.video["reason"] for name, r in scanned_footage.items() if r.video["status"] == "failed"}
    assert failures == FAILURES
    for name, result in scanned_footage.items():
        assert bool(result.clips) == (name not in FAILURES)
        if result.video["video_id"]:
            assert facts[name]["sha256"].startswith(result.video["video_id"])


def test_sizes_frames_and_rotation_are_the_manifests(
    facts: dict[str, dict[str, Any]], scanned_footage: dict[str, ScannedVideo]
) -> None:
    for name, result in scanned_footage.items():
        known, row = facts[name], result.video
        if name in FAILURES:
            continue
        assert row["num_frames"] == known["frames"], name
        if known.get("display_width"):
            assert (row["width"], row["height"]) == (known["display_width"], known["display_height"]), name
            assert abs(row["rotation_deg"] - known["rotation_deg_ccw"]) % 360 == 0, name
        if known.get("variable_frame_rate") is not None:
            assert row["variable_frame_rate"] == known["variable_frame_rate"], name


def test_a_refused_packet_is_counted_and_rejects_its_clip(scanned_footage: dict[str, ScannedVideo]) -> None:
    result = scanned_footage["dev12_corrupted_testpattern.mp4"]
    assert result.video["decode_errors"] == 1
    assert [reasons_of(clip, load_recipe("default")) for clip in result.clips] == [["corrupt", "blocky", "colour_bars"]]


def test_permanent_bars_are_outside_the_content_box(scanned_footage: dict[str, ScannedVideo]) -> None:
    clips = [
        clip
        for clip in scanned_footage["dev01_sintel_trailer_letterbox_fades.mp4"].clips
        if not reasons_of(clip, load_recipe("default"))
    ]
    assert len(clips) >= 3
    for clip in clips:
        assert np.abs(np.subtract(clip["content_box"], [0, 57, 854, 367])).max() <= 2


def test_hard_cuts_are_found(
    facts: dict[str, dict[str, Any]], scanned_footage: dict[str, ScannedVideo], record_property: Any
) -> None:
    """A boundary on a listed fade or dissolve is no false alarm: something does change there."""
    num_cuts = num_found = num_boundaries = num_false = 0
    for name, result in scanned_footage.items():
        cuts = facts[name].get("verified_cuts")
        if not result.clips or cuts is None:
            continue
        spans = [(clip["start_frame"], clip["start_frame"] + clip["num_frames"]) for clip in result.clips]
        boundaries = [(a[1] - TOLERANCE_FRAMES, b[0] + TOLERANCE_FRAMES) for a, b in itertools.pairwise(spans)]
        changes = [(cut, cut) for cut in cuts]
        changes += [(t["first_frame"], t["last_frame"]) for t in facts[name]["gradual_transitions"] or ()]
        near = [any(a <= z and first <= end for first, z in changes) for a, end in boundaries]
        num_cuts += len(cuts)
        num_found += sum(any(a <= cut <= end for a, end in boundaries) for cut in cuts)
        num_boundaries += len(near)
        num_false += near.count(False)
    recall, precision = num_found / num_cuts, 1 - num_false / num_boundaries
    record_property("cut_recall", recall)
    record_property("cut_precision", precision)
    print(f"hard cuts: {num_found} of {num_cuts} found; {num_false} of {num_boundaries} boundaries false")
    assert recall >= 0.9
    assert precision >= 0.9
