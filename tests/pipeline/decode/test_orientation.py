"""The eight ways a picture may be stored, each brought upright and turned back."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.decode.orientation import EXIF, EXIF_ORIENTATION_TAG, Orientation, orientation_of
from pipeline.decode.reader import FrameReader, open_video

ALL = [Orientation(*flags) for flags in itertools.product((False, True), repeat=3)]
PICTURE = np.arange(6).reshape(2, 3)


@pytest.mark.parametrize("rotation_deg", [0, 90, 180, -90, 270, -180])
def test_quarter_turns_are_counter_clockwise(rotation_deg: int) -> None:
    turned = Orientation.turned(rotation_deg)
    np.testing.assert_array_equal(turned.upright(PICTURE), np.rot90(PICTURE, rotation_deg // 90))
    assert (turned.rotation_deg - rotation_deg) % 360 == 0
    assert not turned.is_mirrored


@pytest.mark.parametrize("orientation", ALL)
def test_rotation_and_mirroring_say_it_all(orientation: Orientation) -> None:
    expected = np.rot90(PICTURE, orientation.rotation_deg // 90)
    if orientation.is_mirrored:
        expected = expected[:, ::-1]
    np.testing.assert_array_equal(orientation.upright(PICTURE), expected)
    assert orientation.displayed(3, 2) == expected.shape[1::-1]


@pytest.mark.parametrize("orientation", ALL)
def test_an_area_is_found_in_the_stored_picture(orientation: Orientation) -> None:
    stored = np.arange(8 * 12).reshape(8, 12)
    upright = orientation.upright(stored)
    rows, columns = upright.shape
    top, bottom, left, right = orientation.stored_area((2 / rows, 6 / rows, 1 / columns, 5 / columns))
    height, width = stored.shape
    cut = stored[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
    assert sorted(cut.ravel()) == sorted(upright[2:6, 1:5].ravel())


@pytest.mark.parametrize("tag", range(1, 9))
def test_a_photo_is_upright_as_pillow_shows_it(tag: int, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[EXIF_ORIENTATION_TAG] = tag
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:16, :16] = 255
    picture[32:, :40] = 120
    Image.fromarray(picture).save(path, exif=exif, quality=95)
    container, stream = open_video(str(path))
    with container:
        (frame,) = FrameReader(container, stream)
        found = orientation_of(frame, str(path))
    assert found == EXIF[tag - 1]
    with Image.open(path) as photo:
        shown = np.asarray(ImageOps.exif_transpose(photo))
    np.testing.assert_array_equal(found.upright(np.asarray(Image.open(path))), shown)
