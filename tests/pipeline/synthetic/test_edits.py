"""Composed edits: every picture is what the truth says of its frame, and the same seed gives the same edit."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.synthetic.edits import (
    Edit,
    EditJoint,
    EditTruth,
    TrueTransition,
    encode_edit,
    pictures,
    plan_edit,
    truth,
)
from pipeline.synthetic.edits_footage import Stretches, draw_footage, read_stretches
from pipeline.synthetic.edits_shots import EditShot, Flash, Passer, View, Whip, picture

RED, BLUE = 0, 1


@pytest.fixture(scope="module")
def flat() -> list[np.ndarray]:
    """Two stills of one colour each."""
    footage = np.zeros((2, 1, 90, 160, 3), np.uint8)
    footage[RED, ..., 0] = 200
    footage[BLUE, ..., 2] = 200
    return list(footage)


@pytest.fixture(scope="module")
def pile() -> list[np.ndarray]:
    return [draw_footage(seed)[:40] for seed in range(3)]


def shot(footage: int, **events: tuple) -> EditShot:
    return EditShot(footage, View(), **events)


def test_a_cut_is_where_the_truth_says(flat: list[np.ndarray]) -> None:
    edit = Edit(25, (shot(RED), shot(BLUE)), (5, 4), (EditJoint("cut"),))
    assert truth(edit).transitions == (TrueTransition("cut", 5, 5),)
    assert [int(np.argmax(p[90, 160])) for p in pictures(edit, flat)] == [0] * 5 + [2] * 4


def test_every_frame_of_a_dissolve_is_a_mixture_and_no_other_is(flat: list[np.ndarray]) -> None:
    edit = Edit(25, (shot(RED), shot(BLUE)), (5, 4), (EditJoint("dissolve", 6),))
    known = truth(edit)
    assert known.transitions == (TrueTransition("dissolve", 5, 11),)
    shown = [p[90, 160] for p in pictures(edit, flat)]
    assert len(shown) == known.num_frames == 15
    assert [bool(p[0] and p[2]) for p in shown] == [5 <= frame < 11 for frame in range(15)]
    assert all(later[2] > earlier[2] for earlier, later in itertools.pairwise(shown[4:11]))


@pytest.mark.parametrize("colour", [0, 255])
def test_a_fade_goes_out_stays_and_comes_in(flat: list[np.ndarray], colour: int) -> None:
    edit = Edit(25, (shot(RED), shot(BLUE)), (3, 3), (EditJoint("fade", 4, 2, 5, colour),))
    assert truth(edit).transitions == (TrueTransition("fade", 3, 14),)
    shown = list(pictures(edit, flat))
    assert [bool((p == colour).all()) for p in shown] == [7 <= frame < 9 for frame in range(17)]
    assert len({p[90, 160].tobytes() for p in shown}) == 1 + 4 + 1 + 5 + 1


def test_flashes_and_fast_motion_are_counted_from_the_shots_first_frame(flat: list[np.ndarray]) -> None:
    second = shot(
        BLUE,
        flashes=(Flash(10, 12, 0.9),),
        passers=(Passer(14, 17, 1.0, (0, 255, 0), True),),
        whips=(Whip(20, 25, (1.0, 0.0)),),
    )
    edit = Edit(25, (shot(RED), second), (5, 30), (EditJoint("dissolve", 6),))
    known = truth(edit)
    assert known.flashes == ((15, 17),)
    assert known.fast_motion == ((25, 30), (19, 22))
    plain = next(p for frame, p in enumerate(pictures(edit, flat)) if frame == 12)
    for frame, p in enumerate(pictures(edit, flat)):
        if frame >= 11:
            assert (p != plain).any() == (15 <= frame < 17 or 19 <= frame < 22), frame


def test_a_whip_pan_moves_and_blurs_the_picture(pile: list[np.ndarray]) -> None:
    still = EditShot(0, View(speed=0.0), whips=(Whip(4, 12, (1.5, 0.0)),))
    views = [picture(still, pile[0], frame, 320, 180).astype(float) for frame in range(20)]
    moved = [np.abs(a - b).mean() > 1 for a, b in itertools.pairwise(views)]
    assert not any(moved[:3])
    assert all(moved[4:11])
    assert not any(moved[13:])


def test_planned_edits_hold_all_kinds_and_keep_them_apart(pile: list[np.ndarray]) -> None:
    edit = plan_edit(5, pile, 150.0)
    known = truth(edit)
    assert {t.kind for t in known.transitions} == {"cut", "dissolve", "fade"}
    assert known.flashes
    assert known.fast_motion
    assert known.num_frames >= 150 * known.fps
    ends = [0, *(t.end for t in known.transitions)]
    assert all(t.first - end >= 0.5 * known.fps for t, end in zip(known.transitions, ends, strict=False))
    taken = {frame for t in known.transitions for frame in range(t.first - 4, t.end + 4)}
    assert not any(taken.intersection(range(*span)) for span in (*known.flashes, *known.fast_motion))


def test_the_same_seed_gives_the_same_file(tmp_path: Path, pile: list[np.ndarray]) -> None:
    files = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    known = [encode_edit(path, plan_edit(2, pile, 2.0), pile) for path in files]
    assert known[0] == known[1]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert plan_edit(2, pile, 2.0) != plan_edit(3, pile, 2.0)


def test_stretches_are_read_back_upright(tmp_path: Path, flat: list[np.ndarray]) -> None:
    edit = Edit(25, (shot(RED), shot(BLUE)), (4, 4), (EditJoint("cut"),))
    known: EditTruth = encode_edit(tmp_path / "edit.mp4", edit, flat)
    with av.open(str(tmp_path / "edit.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == known.num_frames == 8
    red, both = read_stretches(tmp_path, Stretches("edit.mp4", ((0, 4), (2, 6)), rotation_deg=90))
    assert red.shape == both.shape == (4, 320, 180, 3)
    assert [int(np.argmax(p[0, 0])) for p in both] == [0, 0, 2, 2]
    with pytest.raises(ValueError, match=r"edit\.mp4: frames 5 to 9"):
        read_stretches(tmp_path, Stretches("edit.mp4", ((5, 9),)))
