"""Each technical measure answers a stimulus whose truth is known, on arrays and through a real encode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pipeline.drawn import blemishes
from pipeline.drawn.encode import Encoding, encode
from pipeline.media import FrameReader, open_video
from pipeline.stages.technical.blockiness import blockiness
from pipeline.stages.technical.colourfulness import colourfulness
from pipeline.stages.technical.flicker import flicker
from pipeline.stages.technical.freezing import largest_change, repeats
from pipeline.stages.technical.interlacing import combed_blocks, is_combed
from pipeline.stages.technical.levels import clipped_frac, mean_brightness, rms_contrast
from pipeline.stages.technical.measure import TechnicalMeasure
from pipeline.stages.technical.noise import noise_sigma
from pipeline.stages.technical.sharpness import laplacian_variance
from pipeline.stages.technical.strips import GRID_PX, MAX_STRIP_COLUMNS, NUM_STRIPS, STRIP_ROWS, places_within
from pipeline.stream import Span, StreamFrame, VideoFacts
from schemas.measures import Technical
from schemas.splitting import MeasureConfig

FPS = 25
TEXTURED = blemishes.textured(240, 480)


def stream_frame(luma: np.ndarray, index: int = 0, *, fps: int = FPS, rotation_deg: int = 0) -> StreamFrame:
    """A frame as it would leave the decoder: stored luma with grey chroma."""
    height, width = luma.shape
    planes = np.concatenate([luma, np.full((height // 2, width), 128, np.uint8)])
    raw = av.VideoFrame.from_ndarray(np.ascontiguousarray(planes), format="yuv420p")
    return StreamFrame.of(raw, index, round(index * 1e6 / fps), rotation_deg=rotation_deg, packet_bytes=1000)


def measured(frames: Sequence[StreamFrame], spans: Sequence[tuple[int, int]] = ()) -> list[dict[str, float | None]]:
    """Scores of spans of frames, or of all."""
    height, width = frames[0].luma.shape
    raw = frames[0].raw
    measure = TechnicalMeasure(VideoFacts(width, height, raw.width * raw.height, FPS), MeasureConfig())
    previous = None
    for frame in frames:
        measure.push(frame, previous)
        previous = frame
    shots = [Span(i, first, last, 0, 0) for i, (first, last) in enumerate(spans or [(0, len(frames))])]
    return [measure.scores(shot, shots) for shot in shots]


def of_luma(pictures: Sequence[np.ndarray], **kwargs: int) -> dict[str, float | None]:
    return measured([stream_frame(picture, i, **kwargs) for i, picture in enumerate(pictures)])[0]


def through_codec(path: Path, pictures: Sequence[np.ndarray], encoding: Encoding) -> list[StreamFrame]:
    times = [Fraction(i, FPS) for i in range(len(pictures) + 1)]
    encode(path, [blemishes.rgb(picture) for picture in pictures], times, Fraction(FPS), encoding)
    container, stream = open_video(str(path))
    with container:
        reader = FrameReader(container, stream)
        return [
            StreamFrame.of(raw, i, reader.times_us[i], packet_bytes=reader.packet_bytes) for i, raw in enumerate(reader)
        ]


class TestLevels:
    @pytest.mark.parametrize(
        ("luma", "full_range", "expected"),
        [(16, False, 0.0), (235, False, 1.0), (0, True, 0.0), (255, True, 1.0), (0, False, 0.0), (255, False, 1.0)],
    )
    def test_black_is_zero_and_white_is_one(self, luma: int, full_range: bool, expected: float) -> None:
        assert mean_brightness(np.full((8, 8), luma, np.uint8), full_range=full_range) == expected

    def test_brightness_is_the_mean_over_the_frame(self) -> None:
        luma = np.array([[0, 255], [255, 255]], np.uint8)
        assert mean_brightness(luma, full_range=True) == pytest.approx(0.75)

    def test_contrast_is_the_standard_deviation(self) -> None:
        luma = np.array([[51, 204]], np.uint8)
        assert rms_contrast(luma, full_range=True) == pytest.approx(0.3)
        assert rms_contrast(luma, full_range=False) == pytest.approx(0.3 * 255 / 219)

    @pytest.mark.parametrize(("full_range", "ends"), [(True, (2, 253)), (False, (18, 233))])
    def test_clipped_is_within_a_hundredth_of_the_range(self, full_range: bool, ends: tuple[int, int]) -> None:
        black, white = ends
        luma = np.array([[0, black, black + 1, white - 1], [white, 255, 128, 128]], np.uint8)
        assert clipped_frac(luma, full_range=full_range) == 4 / 8


class TestColourfulness:
    def test_it_is_the_papers_formula_on_rgb(self) -> None:
        rng = np.random.default_rng(3)
        rgb = cv2.resize(rng.integers(60, 200, (8, 8, 3), np.uint8), (64, 64)).astype(np.float64)
        r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
        rg, yb = r - g, 0.5 * (r + g) - b
        expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
        y = 0.299 * r + 0.587 * g + 0.114 * b
        blue, red = (np.rint(128 + v).astype(np.uint8) for v in ((b - y) / 1.772, (r - y) / 1.402))
        assert colourfulness(blue, red, full_range=True) == pytest.approx(expected, rel=0.01)
        narrow = [np.rint(128 + (v.astype(np.float64) - 128) * 224 / 255).astype(np.uint8) for v in (blue, red)]
        assert colourfulness(*narrow, full_range=False) == pytest.approx(expected, rel=0.01)

    def test_grey_has_none(self) -> None:
        grey = np.full((9, 16), 128, np.uint8)
        assert colourfulness(grey, grey, full_range=False) == 0.0


class TestDetail:
    def test_more_blur_is_less_sharp(self) -> None:
        values = [laplacian_variance([blemishes.blurred(TEXTURED, s)], 0.0) for s in (0.0, 0.6, 1.0, 2.0, 4.0)]
        assert values == sorted(values, reverse=True)
        assert values[0] > 10 * values[2] > 50 * values[-1]

    def test_noise_is_not_taken_for_sharpness(self) -> None:
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
    def test_noise_is_found_on_a_textured_picture(self, sigma: float, seed: int) -> None:
        picture = blemishes.noisy(blemishes.textured(480, 640, seed), sigma, seed)
        assert noise_sigma([picture], full_range=True) == pytest.approx(sigma, rel=0.15)

    def test_a_page_of_writing_has_no_noise(self) -> None:
        page = np.full((240, 480), 255, np.uint8)
        for row in range(20, 120, 16):
            cv2.putText(page, "the quick brown fox jumps", (10, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 0, 1)
        assert noise_sigma([page], full_range=True) == 0.0

    def test_black_bars_change_nothing_but_brightness(self) -> None:
        barred = cv2.copyMakeBorder(TEXTURED, 64, 64, 0, 0, cv2.BORDER_CONSTANT, value=16)
        alone, within = of_luma([TEXTURED]), of_luma([barred])
        for name in ("sharpness", "contrast", "noise_sigma", "blockiness"):
            assert within[name] == pytest.approx(alone[name], rel=0.25, abs=0.1), name
        assert within["clipped_frac"] == 0.0

    def test_a_turned_picture_scores_as_it_is_stored(self) -> None:
        pictures = [TEXTURED, np.roll(TEXTURED, 3, axis=1)]
        upright, turned = of_luma(pictures), of_luma(pictures, rotation_deg=-90)
        for name in ("sharpness", "noise_sigma", "blockiness", "interlaced_frac", "clipped_frac"):
            assert turned[name] == upright[name], name


class TestStrips:
    @pytest.mark.parametrize(("height", "width"), [(2160, 3840), (720, 1280), (1080, 608), (150, 200), (36, 64)])
    def test_they_lie_apart_on_the_grid_inside_the_picture(self, height: int, width: int) -> None:
        places = places_within((0.0, 1.0, 0.0, 1.0), (height, width))
        assert 1 <= len(places) <= NUM_STRIPS
        below = 0
        for rows, columns in places:
            assert rows.start % GRID_PX == columns.start % GRID_PX == 0
            assert below <= rows.start < rows.stop <= height
            assert 0 <= columns.start < columns.stop <= width
            assert columns.stop - columns.start <= MAX_STRIP_COLUMNS + GRID_PX
            below = rows.stop
        if height >= 2 * STRIP_ROWS:
            assert places[0][0].start < height / 3
            assert places[-1][0].stop > height * 2 / 3

    def test_they_keep_off_the_borders(self) -> None:
        for rows, columns in places_within((0.1, 0.9, 0.25, 0.75), (720, 1280)):
            assert rows.start > 72
            assert rows.stop < 648
            assert columns.start > 320
            assert columns.stop < 960


class TestBlockiness:
    def test_without_blocks_it_is_one(self) -> None:
        assert blockiness([np.full((48, 64), 90, np.uint8)]) == 1.0
        assert blockiness([TEXTURED]) == pytest.approx(1.0, abs=0.1)
        assert blockiness([blemishes.noisy(np.full((96, 512), 128, np.uint8), 5.0)]) == pytest.approx(1.0, abs=0.03)

    def test_it_rises_with_jpeg_compression(self) -> None:
        values = []
        for quality in (95, 50, 25, 10, 5):
            coded = cv2.imencode(".jpg", TEXTURED, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            values.append(blockiness([cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)]))
        assert values == sorted(values)
        assert values[0] < 1.1
        assert values[-1] > 2.0

    def test_it_rises_with_the_quantiser_of_a_video(self, tmp_path: Path) -> None:
        pictures = blemishes.panned(blemishes.textured(192, 340, 2), 11, 2)
        values = []
        for crf in ("18", "34", "46"):
            encoding = Encoding(options=(("crf", crf), ("x264-params", "no-deblock=1:threads=1")))
            frames = through_codec(tmp_path / f"{crf}.mp4", pictures, encoding)
            values.append(measured(frames)[0]["blockiness"])
        assert values == sorted(values)
        assert values[-1] > 1.3 * values[0]


class TestInterlacing:
    def test_woven_fields_are_found_in_every_frame_and_whole_frames_in_none(self) -> None:
        for seed in range(3):
            whole = blemishes.panned(blemishes.textured(240, 560, seed), 16, 4)
            woven = blemishes.interlaced(whole)
            assert of_luma(woven)["interlaced_frac"] == 1.0
            assert of_luma(whole)["interlaced_frac"] == 0.0

    def test_noise_and_still_lines_are_not_combing(self) -> None:
        noise = [blemishes.noisy(TEXTURED, 12.0, seed) for seed in range(2)]
        assert not is_combed([noise[1]], [noise[0]])
        lines = np.full((96, 128), 60, np.uint8)
        lines[::2] = 160
        assert combed_blocks(lines, None).all()
        assert not is_combed([lines], [lines])

    def test_it_is_seen_after_an_encode(self, tmp_path: Path) -> None:
        whole = blemishes.panned(blemishes.textured(192, 400, 5), 20, 4)
        frames = through_codec(tmp_path / "woven.mp4", blemishes.interlaced(whole), Encoding())
        assert measured(frames)[0]["interlaced_frac"] == 1.0
        frames = through_codec(tmp_path / "whole.mp4", whole, Encoding())
        assert measured(frames)[0]["interlaced_frac"] == 0.0


class TestRepeats:
    MOVING = blemishes.panned(blemishes.textured(144, 401, 1), 40, 3)

    @pytest.mark.parametrize("every", [2, 4])
    def test_frames_shown_twice_are_counted_after_an_encode(self, tmp_path: Path, every: int) -> None:
        shown = blemishes.repeated(self.MOVING, every)
        scores = measured(through_codec(tmp_path / "padded.mp4", shown, Encoding()))[0]
        expected = (len(shown) - len(self.MOVING)) / (len(shown) - 1)
        assert scores["duplicate_frames_frac"] == pytest.approx(expected, abs=0.03)

    def test_frames_that_all_move_are_none(self, tmp_path: Path) -> None:
        scores = measured(through_codec(tmp_path / "moving.mp4", self.MOVING, Encoding()))[0]
        assert scores["duplicate_frames_frac"] == 0.0
        assert scores["frozen_s"] == 0.0

    def test_a_frozen_stretch_is_timed(self, tmp_path: Path) -> None:
        held = blemishes.frozen(self.MOVING, 10, 21)
        scores = measured(through_codec(tmp_path / "frozen.mp4", held, Encoding()))[0]
        assert scores["frozen_s"] == pytest.approx(20 / FPS)

    def test_it_is_cut_to_the_span(self) -> None:
        frames = [stream_frame(picture, i) for i, picture in enumerate(blemishes.frozen(self.MOVING, 10, 21))]
        before, within, after = measured(frames, [(0, 16), (16, 26), (26, 40)])
        assert before["frozen_s"] == pytest.approx(5 / FPS)
        assert within["frozen_s"] == pytest.approx(9 / FPS)
        assert within["duplicate_frames_frac"] == 1.0
        assert after["frozen_s"] == pytest.approx(4 / FPS)

    def test_slow_change_is_no_freeze(self) -> None:
        brighter = [np.full((144, 256), 60 + i // 2, np.uint8) for i in range(60)]
        assert of_luma(brighter)["frozen_s"] == pytest.approx(5 / FPS)  # six frames within three levels

    def test_change_is_the_largest_of_a_cell(self) -> None:
        one = np.zeros((144, 256), np.uint8)
        other = one.copy()
        other[8:16, 16:24] = 40
        assert largest_change(one, other) == 40.0

    def test_a_repeat_changes_far_less_than_both_sides(self) -> None:
        changes = np.array([9.0, 9.0, 3.0, 9.0, 9.0, 5.0, 0.2, 0.2])
        assert repeats(changes).tolist() == [False, False, True, False, False, False, True, True]
        assert repeats(np.array([1.0, 2.0, 4.0, 8.0])).tolist() == [False] * 4


class TestFlicker:
    FRAMES = [TEXTURED] * 24

    @pytest.mark.parametrize("period", [2, 3, 4, 6])
    def test_it_is_the_swing_of_light_that_comes_and_goes(self, period: int) -> None:
        scores = of_luma(blemishes.flickering(self.FRAMES, 0.05, period))
        assert scores["flicker"] == pytest.approx(2 * 0.05 * TEXTURED.mean() / 219, rel=0.25)

    @pytest.mark.parametrize(
        "change",
        [blemishes.faded, lambda frames: frames[:12] + [frame // 2 for frame in frames[12:]]],
    )
    def test_a_fade_and_a_cut_are_none(self, change: Callable[[list[np.ndarray]], list[np.ndarray]]) -> None:
        assert of_luma(change(self.FRAMES))["flicker"] == pytest.approx(0.0, abs=1e-4)

    def test_two_frames_say_nothing(self) -> None:
        assert flicker(np.array([0.1, 0.9])) is None


class TestMeasure:
    def test_scores_are_the_columns_of_the_row(self) -> None:
        assert list(of_luma([TEXTURED] * 3)) == list(Technical.__dataclass_fields__)

    def test_an_image_has_no_time(self) -> None:
        scores = of_luma([TEXTURED])
        unknown = {name for name, value in scores.items() if value is None}
        assert unknown == {"duplicate_frames_frac", "frozen_s", "flicker"}

    def test_bits_per_pixel_are_those_of_the_spans_packets(self) -> None:
        scores = of_luma([TEXTURED] * 4)
        assert scores["bits_per_pixel"] == pytest.approx(8 * 1000 / TEXTURED.size)

    def test_a_span_has_the_scores_of_its_own_frames(self) -> None:
        dark = TEXTURED // 2
        frames = [stream_frame(p, i) for i, p in enumerate([TEXTURED] * 25 + [dark] * 25)]
        first, second = measured(frames, [(0, 25), (25, 50)])
        assert first == pytest.approx(of_luma([TEXTURED] * 25))
        assert second["brightness"] == pytest.approx(float((dark.mean() - 16) / 219), abs=0.01)
        assert second["contrast"] == pytest.approx(float(first["contrast"] or 0) / 2, rel=0.02)
