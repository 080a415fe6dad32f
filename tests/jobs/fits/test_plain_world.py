"""The program that reads plain clips is right about true ones, and says so when it is not."""

import numpy as np

from jobs.fits.plain_world import ATTRIBUTES, plain_clips, read_attributes
from jobs.fits.worlds import WORLDS


def test_every_attribute_of_true_clips_is_read():
    clips, scenes = plain_clips(10**9, 40)
    assert WORLDS["plain"].shares_right(clips, scenes) == dict.fromkeys((*ATTRIBUTES, "all"), 1.0)


def test_a_wrong_clip_counts_for_what_is_wrong_with_it():
    clips, scenes = plain_clips(10**9, 40)
    backwards = WORLDS["plain"].shares_right(clips[:, ::-1], scenes)
    assert backwards["shape"] == backwards["colour"] == backwards["background"] == 1.0
    still = sum(scene.things[0].direction == "still" for scene in scenes) / len(scenes)
    assert backwards["direction"] == backwards["all"] == still
    others = WORLDS["plain"].shares_right(np.roll(clips, 1, axis=0), scenes)
    assert max(others.values()) < 0.5


def test_an_empty_picture_shows_its_ground_and_no_object():
    clip = np.full((3, 64, 64, 3), (20, 110, 115), np.uint8)
    assert read_attributes(clip) == {"shape": "", "colour": "", "direction": "", "background": "teal"}
