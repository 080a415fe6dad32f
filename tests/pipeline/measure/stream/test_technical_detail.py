"""Sharpness, noise, blockiness and interlacing on stimuli whose truth is known, on arrays and through real encodes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.decode.orientation import Orientation
from pipeline.measure.stream.technical.blockiness import blockiness
from pipeline.measure.stream.technical.interlacing import combed_blocks, is_combed
from pipeline.measure.stream.technical.noise import noise_sigma
from pipeline.measure.stream.technical.sharpness import laplacian_variance
from pipeline.synthetic import blemishes
from pipeline.synthetic.encode import Encoding
from tests.pipeline.measure.stream.technical_frames import TEXTURED, measured, of_luma, through_codec


def test_more_blur_is_less_sharp() -> None:
    values = [laplacian_variance([blemishes.blurred(TEXTURED, s)], 0.0) for s in (0.0, 0.6, 1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 10 * values[2] > 50 * values[-1]


def test_noise_is_not_taken_for_sharpness() -> None:
    soft = blemishes.blurred(TEXTURED, 2.0)
    clean, grainy = of_luma([soft])["sharpness"], of_luma([blemishes.noisy(soft, 6.0)])["sharpness"]
    sharp = of_luma([TEXTURED])["sharpness"]
    assert clean is not None
    assert grainy is not None
    assert sharp is not None
    assert abs(grainy - clean) < 0.15 * 20 * 6.0**2  # what is left of the variance that the noise adds
    assert grainy < 0.5 * sharp


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0, 8.0, 16.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_noise_is_found_on_a_textured_picture(sigma: float, seed: int) -> None:
    picture = blemishes.noisy(blemishes.textured(480, 640, seed), sigma, seed)
    assert noise_sigma([picture]) == pytest.approx(sigma, rel=0.15)


def test_a_page_of_writing_has_no_noise() -> None:
    page = np.full((240, 480), 235, np.uint8)
    for row in range(20, 120, 16):
        cv2.putText(page, "the quick brown fox jumps", (10, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 16, 1)
    assert noise_sigma([page]) == 0.0


def test_black_bars_change_nothing_but_brightness() -> None:
    barred = cv2.copyMakeBorder(TEXTURED, 64, 64, 0, 0, cv2.BORDER_CONSTANT, value=16)
    alone, within = of_luma([TEXTURED]), of_luma([barred])
    for name in ("sharpness", "contrast", "noise_sigma", "blockiness"):
        assert within[name] == pytest.approx(alone[name], rel=0.25, abs=0.1), name
    assert within["clipped_frac"] == 0.0


def test_a_turned_picture_scores_as_it_is_stored() -> None:
    pictures = [TEXTURED, np.roll(TEXTURED, 3, axis=1)]
    upright, turned = of_luma(pictures), of_luma(pictures, orientation=Orientation.turned(-90))
    for name in ("sharpness", "noise_sigma", "blockiness", "interlaced_frac", "clipped_frac"):
        assert turned[name] == upright[name], name


def test_without_blocks_it_is_one() -> None:
    assert blockiness([np.full((48, 64), 90, np.uint8)]) == 1.0
    assert blockiness([TEXTURED]) == pytest.approx(1.0, abs=0.1)
    assert blockiness([blemishes.noisy(np.full((96, 512), 128, np.uint8), 5.0)]) == pytest.approx(1.0, abs=0.03)


def test_it_rises_with_jpeg_compression() -> None:
    values = []
    for quality in (95, 50, 25, 10, 5):
        coded = cv2.imencode(".jpg", TEXTURED, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        values.append(blockiness([cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)]))
    assert values == sorted(values)
    assert values[0] < 1.1
    assert values[-1] > 2.0


def test_it_rises_with_the_quantiser_of_a_video(tmp_path: Path) -> None:
    pictures = blemishes.panned(blemishes.textured(192, 340, 2), 11, 2)
    values = []
    for crf in ("18", "34", "46"):
        encoding = Encoding(options=(("crf", crf), ("x264-params", "no-deblock=1:threads=1")))
        frames = through_codec(tmp_path / f"{crf}.mp4", pictures, encoding)
        values.append(measured(frames)[0]["blockiness"])
    assert values == sorted(values)
    assert values[-1] > 1.3 * values[0]


def test_woven_fields_are_found_in_every_frame_and_whole_frames_in_none() -> None:
    for seed in range(3):
        whole = blemishes.panned(blemishes.textured(240, 560, seed), 16, 4)
        woven = blemishes.interlaced(whole)
        assert of_luma(woven)["interlaced_frac"] == 1.0
        assert of_luma(whole)["interlaced_frac"] == 0.0


def test_noise_and_still_lines_are_not_combing() -> None:
    noise = [blemishes.noisy(TEXTURED, 12.0, seed) for seed in range(2)]
    assert not is_combed([noise[1]], [noise[0]])
    lines = np.full((96, 128), 60, np.uint8)
    lines[::2] = 160
    assert combed_blocks(lines, None).all()
    assert not is_combed([lines], [lines])


def test_it_is_seen_after_an_encode(tmp_path: Path) -> None:
    whole = blemishes.panned(blemishes.textured(192, 400, 5), 20, 4)
    frames = through_codec(tmp_path / "woven.mp4", blemishes.interlaced(whole), Encoding())
    assert measured(frames)[0]["interlaced_frac"] == 1.0
    frames = through_codec(tmp_path / "whole.mp4", whole, Encoding())
    assert measured(frames)[0]["interlaced_frac"] == 0.0
