"""Camera motion: labels of a virtual camera whose motion is known, and of flow written down by hand."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.measure.stream.camera import fit_camera, label_motion
from pipeline.synthetic.camera_moves import TEXTURES, CameraMove, MoveKind, MovingObject, Texture, draw_texture, render
from tests.bench.camera import KINDS, Case, frames_of, measure, plan, real_stills

FOLDER = Path(__file__).parents[5] / "shared" / "videos"
SIZE = (256, 144)


def label(case: Case, stills: dict[str, np.ndarray] | None = None) -> str:
    return measure(frames_of(case, stills or {}), case.move.fps)["camera_motion"]


def moving(kind: MoveKind, speed_frac: float = 0.1, **changes: object) -> CameraMove:
    return CameraMove(kind, speed_frac, fps=24.0, duration_s=1.5, **changes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("speed_frac", [0.02, 0.5])
def test_each_move_is_named_slow_and_fast(kind: MoveKind, speed_frac: float) -> None:
    assert label(Case(moving(kind, speed_frac), "clouds", SIZE, None)) == kind


@pytest.mark.parametrize("texture", TEXTURES)
def test_the_texture_does_not_matter_nor_does_the_encoder(texture: Texture) -> None:
    kind = KINDS[1 + TEXTURES.index(texture)]
    assert label(Case(moving(kind, noise_sigma=4.0), texture, (180, 256), {"crf": "28"})) == kind


@pytest.mark.parametrize(("area_frac", "speed_frac"), [(0.15, 0.3), (0.3, 0.3), (0.5, 0.15)])
def test_an_object_before_a_still_camera_is_not_the_camera(area_frac: float, speed_frac: float) -> None:
    thing = MovingObject(area_frac, speed_frac, direction_deg=30.0)
    scores = measure(frames_of(Case(moving("still", moving_object=thing), "clouds", SIZE, None), {}), 24.0)
    assert scores["camera_motion"] == "still"
    assert scores["object_motion_px_s"] == pytest.approx(area_frac * speed_frac * 256, rel=0.5)


def test_an_object_before_a_moving_camera_is_not_the_camera() -> None:
    thing = MovingObject(0.15, 0.25, direction_deg=200.0)
    assert label(Case(moving("pan left", moving_object=thing), "clouds", SIZE, None)) == "pan left"


@pytest.mark.parametrize("kind", ["pan right", "tilt up", "zoom in", "roll"])
def test_strength_is_the_speed_at_the_edge_of_256_px(kind: MoveKind) -> None:
    scores = measure(frames_of(Case(moving(kind, 0.2), "clouds", (320, 180), None), {}), 24.0)
    assert scores["camera_strength"] == pytest.approx(0.2 * 256, rel=0.1)
    assert scores["camera_confidence"] > 0.8
    assert scores["object_motion_px_s"] < 0.1 * scores["camera_strength"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_several_moves_at_once_or_in_turn_are_complex(seed: int) -> None:
    assert label(Case(moving("complex", 0.2, seed=seed), "clouds", SIZE, None)) == "complex"


def test_trembling_is_shake() -> None:
    assert label(Case(moving("shake", 0.15), "clouds", SIZE, None)) == "shake"


def test_bars_stand_still_though_the_picture_tilts() -> None:
    picture = draw_texture("clouds", 960, 720)
    frames = np.stack(list(render(picture, moving("tilt up", 0.1), *SIZE)))
    frames[:, :24] = frames[:, -24:] = 16
    raw = [av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p") for frame in frames]
    assert measure(raw, 24.0)["camera_motion"] == "tilt up"


def test_a_picture_without_texture_has_no_camera() -> None:
    flat = np.full((36, 64), 90, np.uint8)
    assert fit_camera(np.zeros((36, 64, 2), np.float32), flat, flat) is None


def test_the_fit_gives_back_a_similarity_written_as_flow() -> None:
    truth = np.array([3.0, -1.0, 2.0, 1.5])
    y, x = np.mgrid[0:36, 0:64].astype(np.float32)
    x, y = (x - 31.5) / 32, (y - 17.5) / 32
    flow = np.stack([truth[0] + truth[2] * x - truth[3] * y, truth[1] + truth[2] * y + truth[3] * x], axis=-1)
    flow[5:15, 10:30] = (-20, 14)
    before, after = (np.random.default_rng(seed).integers(50, 200, (36, 64)).astype(np.uint8) for seed in (0, 1))
    fit = fit_camera(flow.astype(np.float32), before, after)
    assert fit is not None
    np.testing.assert_allclose(fit.motion, truth, atol=0.15)


@pytest.mark.parametrize(
    ("axis", "sign", "name"),
    [
        (0, 1, "pan left"),
        (0, -1, "pan right"),
        (1, 1, "tilt up"),
        (1, -1, "tilt down"),
        (2, 1, "zoom in"),
        (2, -1, "zoom out"),
        (3, 1, "roll"),
        (3, -1, "roll"),
    ],
)
def test_signs(axis: int, sign: int, name: str) -> None:
    motion = np.zeros((10, 4))
    motion[:, axis] = sign * 20.0
    motion[4] = (70, 70, -70, 70)  # one sample led astray
    assert label_motion(motion) == (name, pytest.approx(20.0))


@pytest.mark.skipif(not (FOLDER / "manifest.json").is_file(), reason=f"no videos in {FOLDER}")
def test_moves_over_stills_of_real_footage() -> None:
    stills = real_stills(FOLDER, only=("dev03", "dev08"))
    cases = [case for case in plan(48, stills, seed=3) if case.picture in stills and not case.move.moving_object]
    assert len(cases) >= 10
    said = [(case.move.kind, label(case, stills)) for case in cases[:10]]
    assert sum(kind != name for kind, name in said) <= 1, said
