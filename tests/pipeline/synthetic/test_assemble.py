"""Scripts: where shots meet, how they mix, and what is claimed of them, without any file."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pipeline.synthetic.assemble import DARK_GAIN, Joint, Script, Shot, frames, video_truth
from pipeline.synthetic.overlays import logo, ticker
from pipeline.synthetic.render import render
from pipeline.synthetic.truth import Cut, Transition
from pipeline.synthetic.world import Scene, Thing

WIDTH, HEIGHT, FPS = 96, 64, 10
MOVING = Scene(things=(Thing("circle", "red", direction="left", speed="quickly"),), background="grey")
STILL = Scene(things=(Thing("star", "blue"),), background="beige")
MILLISECOND = Fraction(1, 1000)


def script(*joints: Joint, shots: tuple[Shot, ...] | None = None, **changes) -> Script:
    shots = shots or (Shot(MOVING, 12), Shot(STILL, 10))[: len(joints) + 1]
    return replace(Script(WIDTH, HEIGHT, FPS, shots, joints), **changes)


def drawn(what: Script) -> np.ndarray:
    return np.stack(list(frames(what))).astype(int)


def test_a_cut_shows_each_shot_as_it_is() -> None:
    expected = np.concatenate([render(MOVING, WIDTH, HEIGHT, 12), render(STILL, WIDTH, HEIGHT, 10)])
    np.testing.assert_array_equal(drawn(script(Joint("cut"))), expected)
    truth = video_truth(script(Joint("cut")), "a.mkv", MILLISECOND)
    assert truth.cuts == (Cut(12, 1_200_000),)
    assert (truth.transitions, truth.num_frames, truth.fps, truth.duration_us) == ((), 22, 10.0, 2_200_000)
    assert [(s.start_frame, s.end_frame, s.start_us, s.end_us) for s in truth.shots] == [
        (0, 12, 0, 1_200_000),
        (12, 22, 1_200_000, 2_200_000),
    ]


def test_a_dissolve_overlaps_two_shots_in_complementary_shares() -> None:
    first, second = render(MOVING, WIDTH, HEIGHT, 12).astype(float), render(STILL, WIDTH, HEIGHT, 10).astype(float)
    pictures = drawn(script(Joint("dissolve", 4)))
    assert len(pictures) == 12 + 10 - 4
    for k in range(4):
        mixed = first[8 + k] * (4 - k) / 5 + second[k] * (k + 1) / 5
        np.testing.assert_allclose(pictures[8 + k], mixed, atol=1)
    truth = video_truth(script(Joint("dissolve", 4)), "a.mkv", MILLISECOND)
    assert truth.cuts == ()
    assert truth.transitions == (Transition("dissolve", 8, 11),)
    assert [(s.start_frame, s.clear_start_frame, s.clear_end_frame, s.end_frame) for s in truth.shots] == [
        (0, 0, 8, 12),
        (8, 12, 18, 18),
    ]


def test_a_fade_goes_through_black() -> None:
    brightness = drawn(script(Joint("fade", 4))).mean(axis=(1, 2, 3))
    assert (np.diff(brightness[7:12]) < 0).all()
    assert (np.diff(brightness[12:17]) > 0).all()
    assert brightness[11] < 0.25 * brightness[7]
    assert brightness[12] < 0.25 * brightness[16]
    truth = video_truth(script(Joint("fade", 4)), "a.mkv", MILLISECOND)
    assert truth.transitions == (Transition("fade_out", 8, 11), Transition("fade_in", 12, 15))


def test_bars_are_black_and_the_picture_is_drawn_for_its_box() -> None:
    box = (0, 12, WIDTH, 40)
    pictures = drawn(script(content_box=box))
    assert not pictures[:, :12].any()
    assert not pictures[:, 52:].any()
    np.testing.assert_array_equal(pictures[:, 12:52], render(MOVING, WIDTH, 40, 12))


def test_a_logo_stays_and_a_ticker_runs() -> None:
    overlays = (logo(WIDTH, HEIGHT), ticker(WIDTH, HEIGHT))
    pictures = drawn(script(overlays=overlays))
    steps = []
    for overlay in overlays:
        x, y, w, h = overlay.box
        band = pictures[:, y : y + h, x : x + w]
        assert band.std(axis=(1, 2)).min() > 5  # there is text in it, at all times
        steps.append(np.abs(np.diff(band, axis=0)).mean(axis=(1, 2, 3)))
    assert not steps[0].any()
    assert (steps[1] > 1).all()


def test_uneven_holds_move_the_object_by_time_not_by_frame() -> None:
    uneven = script(holds=(1, 3))
    truth = video_truth(uneven, "a.mkv", MILLISECOND)
    assert truth.variable_frame_rate
    assert truth.duration_us == 2_400_000
    reds = [np.nonzero((p[..., 0] > 190) & (p[..., 1] < 80))[1].mean() for p in drawn(uneven)]
    steps = -np.diff(reds)
    assert steps[1::2].mean() == pytest.approx(3 * steps[::2].mean(), rel=0.15)


def test_times_are_rounded_as_the_container_does() -> None:
    odd = script(Joint("cut"), tick_fps=30)
    assert video_truth(odd, "a.mkv", MILLISECOND).cuts == (Cut(12, 400_000),)
    assert video_truth(replace(odd, tick_fps=7), "a.mkv", MILLISECOND).cuts == (Cut(12, 1_714_000),)
    assert video_truth(replace(odd, tick_fps=7), "a.mp4", Fraction(1, 90_000)).cuts == (Cut(12, 1_714_289),)


@pytest.mark.parametrize(
    ("shot", "rejects", "may_reject"),
    [
        (Shot(MOVING, 20), (), ()),
        (Shot(MOVING, 4), ("duration_s",), ()),
        (Shot(STILL, 20), ("motion_px_s",), ()),
        (Shot(STILL, 4), ("duration_s", "motion_px_s"), ()),
        (Shot(MOVING, 20, gain=DARK_GAIN), ("brightness",), ("motion_px_s",)),
        (Shot(replace(STILL, things=(Thing("star", "blue", spins=True),)), 20), (), ("motion_px_s",)),
        (Shot(replace(STILL, camera="shake"), 20), (), ()),
        (Shot(replace(MOVING, things=(replace(MOVING.things[0], size="small"),)), 20), (), ("motion_px_s",)),
    ],
)
def test_each_shot_says_which_measures_must_reject_it(
    shot: Shot, rejects: tuple[str, ...], may_reject: tuple[str, ...]
) -> None:
    truth = video_truth(script(shots=(shot,)), "a.mkv", MILLISECOND).shots[0]
    assert (truth.rejects, truth.may_reject) == (rejects, may_reject)


def test_nothing_is_still_under_a_ticker() -> None:
    under = script(shots=(Shot(STILL, 20),), overlays=(ticker(WIDTH, HEIGHT),))
    assert video_truth(under, "a.mkv", MILLISECOND).shots[0].rejects == ()


def test_of_a_damaged_file_only_what_is_left_is_claimed() -> None:
    whole = script(Joint("cut"))
    assert len(video_truth(replace(whole, num_frames_kept=15), "a.mkv", MILLISECOND).shots) == 2
    rest = video_truth(replace(whole, num_frames_kept=11), "a.mkv", MILLISECOND)
    assert (rest.num_frames, rest.duration_us, rest.cuts) == (11, 1_100_000, ())
    assert [(s.start_frame, s.end_frame) for s in rest.shots] == [(0, 11)]
