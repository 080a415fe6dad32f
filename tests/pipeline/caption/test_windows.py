"""Captions of windows make one caption that says nothing else."""

from __future__ import annotations

import numpy as np

from pipeline.caption.captioner import ClipFrames
from pipeline.caption.windows import merged
from schemas.structured_caption import StructuredCaption, text_of


def test_one_window_is_the_caption() -> None:
    caption = StructuredCaption("a dog", "runs")
    assert merged([caption]) is caption


def test_what_changes_is_told_in_order_and_what_stays_once() -> None:
    first = StructuredCaption(
        "a dog", "runs along a beach.", "A beach.", "The camera pans left.", on_screen_text="NEWS"
    )
    second = StructuredCaption("a brown dog", "runs along a beach", "A beach at dusk.", "The camera pans left.")
    third = StructuredCaption("a dog", "lies down.", "A beach.", "The camera is still.", on_screen_text="END")
    whole = merged([first, second, third])
    assert whole.subject == "a brown dog"
    assert whole.action == "runs along a beach, then lies down"
    assert whole.setting == "A beach at dusk."
    assert whole.camera == "The camera pans left. The camera is still."
    assert whole.on_screen_text == "NEWS END"
    assert text_of(whole, "short").startswith("A brown dog runs along a beach, then ")


def test_frames_are_parted_evenly_with_their_times() -> None:
    clip = ClipFrames(np.zeros((20, 2, 2, 3), np.uint8), [float(i) for i in range(20)])
    assert [len(window.frames) for window in clip.windows(8)] == [10, 10]
    assert [len(window.frames) for window in clip.windows(5)] == [5, 5, 5, 5]
    assert [window.timestamps_s[0] for window in clip.windows(8)] == [0.0, 10.0]
    assert len(clip.windows(16)) == len(clip.windows(20)) == len(clip.windows(40)) == 1
