"""Rows of `clips` of a short video: where each clip begins and ends, and the id that follows from it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.ingest.inputs import ListedInput
from pipeline.scan.scan import ScanConfig, scan
from pipeline.synthetic.encode import Encoding, encode
from schemas.identity import ID_HEX_CHARS, digest, file_digest
from schemas.recipe import Recipe
from schemas.recipe.embedding import EmbeddingConfig
from schemas.recipe.overlay_text import OverlayTextConfig
from schemas.recipe.split import SplitConfig

FPS, NUM_FRAMES = 10, 25
CONFIG = ScanConfig.of(
    Recipe(
        split=SplitConfig(detector="content", max_clip_s=1.0),
        overlay_text=OverlayTextConfig(enabled=False),
        embedding=EmbeddingConfig(model="none"),
    )
)
"""Nothing loads torch, and a shot is divided at every second."""


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """One shot of 2.5 seconds."""
    picture = np.full((48, 64, 3), 90, np.uint8)
    times_s = [Fraction(i, FPS) for i in range(NUM_FRAMES + 1)]
    encode(tmp_path / "still.mp4", [picture] * NUM_FRAMES, times_s, Fraction(FPS), Encoding())
    return tmp_path / "still.mp4"


def test_clips_tile_a_shot_and_are_named_by_video_start_and_end(video: Path) -> None:
    clips = scan(ListedInput(str(video)), CONFIG).clips
    places = [(clip["start_frame"], clip["num_frames"], clip["start_us"], clip["end_us"]) for clip in clips]
    assert places == [(0, 8, 0, 800_000), (8, 8, 800_000, 1_600_000), (16, 9, 1_600_000, 2_500_000)]
    video_id = file_digest(video)[:ID_HEX_CHARS]
    assert [clip["clip_id"] for clip in clips] == [
        digest(video_id, start_us, end_us) for *_, start_us, end_us in places
    ]
    assert [(clip["duration_s"], clip["fps"]) for clip in clips] == [(0.8, 10.0), (0.8, 10.0), (0.9, 10.0)]
