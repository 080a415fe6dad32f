"""Clips between known transitions: what they hold, what they leave out, and what is stitched."""

from __future__ import annotations

import itertools

import pytest

from pipeline.decode.frame import Span
from pipeline.split.clips import clip_spans, stitch
from pipeline.split.detectors.detector import Transition
from schemas.recipe.split import SplitConfig

TIMES_US = [40_000 * i for i in range(100)]
END_US = 4_000_000
WHOLE = SplitConfig(max_clip_s=60.0)


def cut(frame: int) -> Transition:
    return Transition(frame, frame)


def frames(spans: list[Span]) -> list[tuple[int, int]]:
    return [(span.first, span.last) for span in spans]


def test_clips_tile_a_video_of_hard_cuts() -> None:
    assert clip_spans([cut(30), cut(70)], TIMES_US, END_US, WHOLE) == [
        Span(0, 0, 30, 0, 1_200_000),
        Span(1, 30, 70, 1_200_000, 2_800_000),
        Span(2, 70, 100, 2_800_000, 4_000_000),
    ]


def test_one_frame_is_one_clip() -> None:
    assert clip_spans([], [0], 40_000, WHOLE) == [Span(0, 0, 1, 0, 40_000)]


def test_no_clip_holds_a_frame_of_a_gradual_transition() -> None:
    gone = [Transition(0, 5), Transition(20, 32), Transition(90, 100)]
    spans = clip_spans(gone, TIMES_US, END_US, WHOLE)
    assert frames(spans) == [(5, 20), (32, 90)]
    assert [(span.start_us, span.end_us) for span in spans] == [(200_000, 800_000), (1_280_000, 3_600_000)]
    assert [span.shot_index for span in spans] == [0, 1]


def test_a_shot_of_one_frame_is_a_clip() -> None:
    assert frames(clip_spans([cut(50), cut(51)], TIMES_US, END_US, WHOLE)) == [(0, 50), (50, 51), (51, 100)]


def test_a_video_that_is_one_transition_does_not_vanish() -> None:
    assert frames(clip_spans([Transition(0, 100)], TIMES_US, END_US, WHOLE)) == [(0, 100)]


def test_long_shots_are_divided_into_equal_parts_of_the_same_shot() -> None:
    times_us = [100_000 * i for i in range(100)]
    spans = clip_spans([cut(40)], times_us, 10_000_000, SplitConfig(max_clip_s=2.5))
    assert [span.shot_index for span in spans] == [0, 0, 1, 1, 1]
    assert all(earlier.end_us == later.start_us for earlier, later in itertools.pairwise(spans))
    assert {span.last - span.first for span in spans} == {20}
    assert max(span.end_us - span.start_us for span in spans) <= 2_500_000


def test_a_frame_that_lasts_is_in_several_parts() -> None:
    spans = clip_spans([], [0, 5_000_000], 10_000_000, SplitConfig(max_clip_s=1.0))
    assert frames(spans) == [(0, 1)] * 5 + [(1, 2)] * 5
    assert [span.start_us for span in spans] == [1_000_000 * second for second in range(10)]


def test_parts_of_a_sparse_video_are_of_like_length_and_none_too_long() -> None:
    """A screen recording: nothing for 50 s, sixty frames within a second, then one that stays."""
    times_us = [0, *(50_000_000 + 16_000 * index for index in range(60)), 51_200_000]
    first, second, third = clip_spans([], times_us, 120_033_312, WHOLE)
    assert (first.start_us, third.end_us) == (0, 120_033_312)
    assert [span.end_us - span.start_us for span in (first, second, third)] == [40_011_104] * 3
    assert frames([first, second, third]) == [(0, 1), (0, 62), (61, 62)]


def test_a_part_starts_with_a_frame_where_one_is_near() -> None:
    times_us = [0, 4_300_000, 5_100_000]
    assert [span.start_us for span in clip_spans([], times_us, 9_000_000, SplitConfig(max_clip_s=5.0))] == [
        0,
        4_300_000,
    ]
    assert [span.start_us for span in clip_spans([], times_us, 9_800_000, SplitConfig(max_clip_s=5.0))] == [
        0,
        4_900_000,
    ]


@pytest.mark.parametrize(("apart", "kept"), [(0.6, []), (0.61, [cut(30)]), (None, [cut(30)])])
def test_a_cut_between_frames_that_look_alike_is_stitched(apart: float | None, kept: list[Transition]) -> None:
    assert stitch([cut(30)], lambda _: apart, 0.6) == kept


def test_gradual_transitions_are_never_stitched() -> None:
    asked = []
    dissolve = Transition(40, 50)

    def distance(transition: Transition) -> float:
        asked.append(transition)
        return 0.0

    assert stitch([cut(30), dissolve, cut(70)], distance, 0.6) == [dissolve]
    assert asked == [cut(30), cut(70)]
