"""What the words of a scene say is what its pictures show: measured in pixels, not asked of the renderer."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest

from pipeline.synthetic import render as rendering
from pipeline.synthetic.render import render
from pipeline.synthetic.world import (
    BACKGROUND_COLOURS,
    CAMERAS,
    COLOURS,
    DIRECTIONS,
    PATTERNS,
    SHAPES,
    SIZES,
    SPEEDS,
    Scene,
    Thing,
    attributes,
    detailed_caption,
    draw_scene,
    short_caption,
)

WIDTH, HEIGHT = 192, 128
RED = Thing("circle", "red", size="small")
STILL = Scene(things=(RED,), background="grey")


def mask_of(frame: np.ndarray, colour: str) -> np.ndarray:
    """Where a frame is close to an object colour, (H, W) bool."""
    return np.abs(frame.astype(int) - COLOURS[colour]).max(axis=2) < 40


def centroid(frame: np.ndarray, colour: str) -> np.ndarray:
    """Centre of an object's pixels, (x, y)."""
    ys, xs = np.nonzero(mask_of(frame, colour))
    return np.array([xs.mean(), ys.mean()])


def background_path(frames: np.ndarray) -> np.ndarray:
    """Steps of the whole picture from frame to frame by phase correlation, (T - 1, 2) as (x, y)."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in frames]
    window = cv2.createHanningWindow((WIDTH, HEIGHT), cv2.CV_32F)
    return np.array([cv2.phaseCorrelate(a, b, window)[0] for a, b in itertools.pairwise(grey)])


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_object_travels_as_far_and_where_its_caption_says(direction: str, speed: str) -> None:
    scene = replace(STILL, things=(replace(RED, direction=direction, speed=speed),))
    frames = render(scene, WIDTH, HEIGHT, 9)
    expected = np.array(DIRECTIONS[direction]) * SPEEDS[speed] * np.array([WIDTH, HEIGHT])
    np.testing.assert_allclose(centroid(frames[-1], "red") - centroid(frames[0], "red"), expected, atol=1.0)
    assert f"moves {direction}" in short_caption(scene)
    assert attributes(detailed_caption(scene))["speed"] == speed


def test_a_still_scene_does_not_change() -> None:
    frames = render(STILL, WIDTH, HEIGHT, 5)
    assert (frames == frames[0]).all()


def test_a_spinning_object_turns_in_place() -> None:
    frames = render(replace(STILL, things=(replace(RED, shape="cross", spins=True),)), WIDTH, HEIGHT, 9)
    first, quarter = frames[0], frames[2]  # half a turn in eight steps: two of them are an eighth of a turn
    np.testing.assert_allclose(centroid(first, "red"), centroid(quarter, "red"), atol=1.0)
    changed = (mask_of(first, "red") ^ mask_of(quarter, "red")).sum()
    assert changed > 0.3 * mask_of(first, "red").sum()


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        ("pan left", (rendering.PAN_FRAC * WIDTH, 0)),
        ("pan right", (-rendering.PAN_FRAC * WIDTH, 0)),
        ("tilt up", (0, rendering.PAN_FRAC * HEIGHT)),
        ("tilt down", (0, -rendering.PAN_FRAC * HEIGHT)),
    ],
)
def test_the_picture_moves_against_the_camera(camera: str, expected: tuple[float, float]) -> None:
    scene = replace(STILL, camera=camera, pattern="speckled")
    path = background_path(render(scene, WIDTH, HEIGHT, 25))
    np.testing.assert_allclose(path.sum(axis=0), expected, atol=3.0)


@pytest.mark.parametrize(("camera", "growth"), [("zoom in", rendering.ZOOM**2), ("zoom out", rendering.ZOOM**-2)])
def test_zoom_scales_the_object(camera: str, growth: float) -> None:
    frames = render(replace(STILL, camera=camera, pattern="checkered"), WIDTH, HEIGHT, 7)
    areas = [mask_of(frame, "red").sum() for frame in frames]
    assert areas[-1] / areas[0] == pytest.approx(growth, rel=0.1)


def test_shake_wanders_and_comes_back() -> None:
    frames = render(replace(STILL, camera="shake", pattern="speckled"), WIDTH, HEIGHT, 49)
    path = np.array([centroid(frame, "red") for frame in frames])
    assert np.abs(np.diff(path, axis=0)).sum() > 100
    assert np.ptp(path, axis=0).max() < 0.11 * HEIGHT


def test_dim_light_halves_every_pixel() -> None:
    bright = render(STILL, WIDTH, HEIGHT, 1)[0]
    dim = render(replace(STILL, light="dim"), WIDTH, HEIGHT, 1)[0]
    np.testing.assert_allclose(dim, bright * 0.5, atol=1)


@pytest.mark.parametrize("size", SIZES)
def test_size_is_a_share_of_the_shorter_side(size: str) -> None:
    frame = render(replace(STILL, things=(replace(RED, size=size),)), WIDTH, HEIGHT, 1)[0]
    columns = np.nonzero(mask_of(frame, "red").any(axis=0))[0]
    assert np.ptp(columns) + 1 == pytest.approx(SIZES[size] * HEIGHT, abs=3)


def test_no_two_shapes_look_alike() -> None:
    masks = {}
    for shape in SHAPES:
        scene = replace(STILL, things=(replace(RED, shape=shape, size="large"),))
        masks[shape] = mask_of(render(scene, WIDTH, HEIGHT, 1)[0], "red")
    for one, other in itertools.combinations(SHAPES, 2):
        overlap = (masks[one] & masks[other]).sum() / (masks[one] | masks[other]).sum()
        assert overlap < 0.85, (one, other)


@pytest.mark.parametrize("name", BACKGROUND_COLOURS)
def test_the_background_has_its_colour(name: str) -> None:
    corner = render(replace(STILL, background=name), WIDTH, HEIGHT, 1)[0, :10, :10]
    assert (corner == BACKGROUND_COLOURS[name]).all()


def test_every_pattern_looks_different() -> None:
    pictures = [render(replace(STILL, pattern=pattern), WIDTH, HEIGHT, 1)[0].astype(int) for pattern in PATTERNS]
    for one, other in itertools.combinations(pictures, 2):
        assert np.abs(one - other).mean() > 4


def test_the_seed_fixes_the_speckles() -> None:
    scene = replace(STILL, pattern="speckled", seed=3)
    picture = render(scene, WIDTH, HEIGHT, 1)
    np.testing.assert_array_equal(picture, render(scene, WIDTH, HEIGHT, 1))
    assert (picture != render(replace(scene, seed=4), WIDTH, HEIGHT, 1)).any()


def test_a_detailed_caption_reads_back_as_its_scene() -> None:
    for seed in range(300):
        scene = draw_scene(seed)
        thing = scene.things[0]
        assert attributes(detailed_caption(scene)) == {
            "shape": thing.shape,
            "colour": thing.colour,
            "size": thing.size,
            "texture": thing.texture,
            "direction": thing.direction,
            "speed": "none" if thing.direction == "still" else thing.speed,
            "spin": "spins" if thing.spins else "none",
            "count": str(len(scene.things)),
            "pattern": scene.pattern,
            "background": scene.background,
            "light": scene.light,
            "camera": scene.camera,
        }


def test_what_a_caption_does_not_say_is_absent() -> None:
    assert attributes("A red circle.") == {}
    assert attributes("The camera pans left.") == {"camera": "pan left"}


def test_short_captions_name_every_object() -> None:
    two = Scene(things=(RED, Thing("star", "orange", direction="left")))
    assert short_caption(two) == "a red circle stays still and an orange star moves left"


def test_a_scene_is_a_function_of_its_seed_and_seeds_cover_the_world() -> None:
    scenes = [draw_scene(seed) for seed in range(400)]
    assert scenes == [draw_scene(seed) for seed in range(400)]
    assert {scene.camera for scene in scenes} == set(CAMERAS)
    assert {scene.background for scene in scenes} == set(BACKGROUND_COLOURS)
    assert {scene.things[0].shape for scene in scenes} == set(SHAPES)
    assert {scene.things[0].colour for scene in scenes} == set(COLOURS)


def test_a_travelling_camera_looks_at_things_that_stay() -> None:
    for seed in range(300):
        scene = draw_scene(seed)
        if scene.camera not in ("still", "shake"):
            assert all(thing.direction == "still" for thing in scene.things)
            assert scene.pattern not in ("plain", "gradient")
