"""Overlaid text is found whatever its script, told from scene text, and not seen where there is none.

Truth is what was painted. The bench (`python -m tests.bench.overlay_text`) asks the same of hundreds of clips.
"""

from __future__ import annotations

from dataclasses import fields

import cv2
import numpy as np
import pytest

from pipeline.measure.clip.overlay_text.measure import OverlayTextMeasure, pair_times_us
from pipeline.measure.clip.overlay_text.standing import EdgeStack
from pipeline.synthetic.lettering import OVERLAY_KINDS, SCRIPTS, letter
from pipeline.synthetic.overlays import logo, paint, ticker
from pipeline.synthetic.render import render_at
from pipeline.synthetic.world import Scene, Thing
from schemas.recipe.overlay_text import OverlayTextConfig
from schemas.tables.measures import OverlayText

WIDTH, HEIGHT = 320, 180
TIMES_S = [t * 1e-6 for t in pair_times_us(0, 3_000_000, OverlayTextConfig())]
PAN = Scene((Thing("star", "red", "small", "striped"),), "teal", "speckled", "bright", "pan left", 5)
STILL = Scene((Thing("ring", "yellow"),), "brown", "checkered")


@pytest.fixture(scope="module")
def measure() -> OverlayTextMeasure:
    return OverlayTextMeasure()


def scene_frames(scene: Scene, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.stack(list(render_at(scene, width, height, [t / TIMES_S[-1] for t in TIMES_S])))


def noise_frames(seed: int, shift_px: int = 4) -> np.ndarray:
    """A rough texture under a panning camera."""
    grain = np.random.default_rng(seed).random((60, 160, 3), np.float32)
    canvas = (200 * cv2.resize(grain, (WIDTH + 200, HEIGHT), interpolation=cv2.INTER_CUBIC).clip(0, 1)).astype(np.uint8)
    return np.stack([canvas[:, shift_px * i : shift_px * i + WIDTH] for i in range(len(TIMES_S))])


@pytest.mark.parametrize(
    ("kind", "script", "size_px"),
    [(kind, script, (12, 16, 24)[i % 3]) for i, script in enumerate(SCRIPTS) for kind in (OVERLAY_KINDS[i % 4],)]
    + [("watermark", "latin", 12), ("title card", "hangul", 24), ("subtitle", "arabic", 40), ("ticker", "greek", 16)],
)
def test_overlays_are_found_in_every_script(measure: OverlayTextMeasure, kind: str, script: str, size_px: int) -> None:
    painted = letter(noise_frames(3), TIMES_S, kind, script, size_px, f"{kind}-{script}")
    row = measure.measure(painted.frames, TIMES_S)
    assert row["overlay_kind"] == kind
    assert 0.5 * painted.area_frac <= row["overlay_text_frac"] <= 4 * painted.area_frac + 0.01
    assert row["scene_text_frac"] == 0


def test_what_an_overlay_says_is_read_once(measure: OverlayTextMeasure) -> None:
    painted = letter(noise_frames(4), TIMES_S, "subtitle", "latin", 16, 8)
    row = measure.measure(painted.frames, TIMES_S)
    assert sorted(row["overlay_texts"]) == sorted(painted.texts)


def test_scene_text_moves_with_the_scene(measure: OverlayTextMeasure) -> None:
    painted = letter(scene_frames(PAN), TIMES_S, "scene text", "latin", 24, 1)
    row = measure.measure(painted.frames, TIMES_S)
    assert row["overlay_text_frac"] == 0
    assert row["overlay_kind"] == "none"
    assert row["scene_text_frac"] > 0


@pytest.mark.parametrize(
    "frames", [noise_frames(9), scene_frames(PAN), scene_frames(STILL)], ids=("noise", "pan", "still")
)
def test_nothing_is_found_where_nothing_is_written(measure: OverlayTextMeasure, frames: np.ndarray) -> None:
    row = measure.measure(frames, TIMES_S)
    assert list(row) == [field.name for field in fields(OverlayText)]
    assert row == {
        "overlay_text_frac": 0.0,
        "overlay_kind": "none",
        "overlay_texts": [],
        "scene_text_frac": 0.0,
        "logo_frac": 0.0,
    }


@pytest.mark.parametrize(("width", "height"), [(160, 120), (320, 180)])
def test_the_drawn_corpus_logo_and_ticker(measure: OverlayTextMeasure, width: int, height: int) -> None:
    for overlay, kind in ((logo(width, height), "watermark"), (ticker(width, height), "ticker")):
        frames = scene_frames(PAN, width, height)
        for frame, time_s in zip(frames, TIMES_S, strict=True):
            paint(overlay, frame, time_s)
        row = measure.measure(frames, TIMES_S)
        assert row["overlay_kind"] == kind
        assert kind == "ticker" or row["overlay_texts"] == ["REEL"]


def test_an_image_has_overlays_by_their_place_alone(measure: OverlayTextMeasure) -> None:
    subtitled = letter(scene_frames(STILL), TIMES_S, "subtitle", "latin", 16, 2).frames[:1]
    assert measure.measure(subtitled, [0.0])["overlay_kind"] == "subtitle"
    assert measure.measure(scene_frames(STILL)[:1], [0.0])["overlay_kind"] == "none"


def test_measuring_twice_gives_the_same(measure: OverlayTextMeasure) -> None:
    painted = letter(noise_frames(5), TIMES_S, "watermark", "kana", 16, 3)
    assert measure.measure(painted.frames, TIMES_S) == measure.measure(painted.frames.copy(), TIMES_S)


def test_frames_of_another_shape_are_refused(measure: OverlayTextMeasure) -> None:
    with pytest.raises(ValueError, match="one time each"):
        measure.measure(noise_frames(1), TIMES_S[:-1])


def test_loading_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    OverlayTextMeasure()
    assert capfd.readouterr() == ("", "")


def test_coherence_is_one_where_frames_agree_and_none_where_they_do_not() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (4, 64, 64, 3), dtype=np.uint8)
    frames[:, :, :32] = frames[0, :, :32]
    edges = EdgeStack(frames)
    assert edges.coherence((0, 0, 30, 64), range(4)) == pytest.approx(1.0, abs=1e-4)
    assert abs(edges.coherence((34, 0, 64, 64), range(4))) < 0.1
    assert edges.pair_coherence((0, 0, 30, 64), 0)[3] == pytest.approx(1.0, abs=1e-4)


def test_moments_are_spread_over_the_whole_clip_and_companions_follow_them() -> None:
    times_us = pair_times_us(1_000_000, 11_000_000, OverlayTextConfig(num_moments=5, companion_gap_s=0.2))
    assert times_us[::2] == [2_000_000, 4_000_000, 6_000_000, 8_000_000, 10_000_000]
    assert [after - at for at, after in zip(times_us[::2], times_us[1::2], strict=True)] == [200_000] * 5
