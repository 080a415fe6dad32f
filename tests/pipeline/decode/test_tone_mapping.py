"""HDR and SDR copies of one clip are measured alike, and are shown alike to models."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from pipeline.decode.random_access import frames_at
from pipeline.decode.tone_mapping import (
    BT2020_TO_BT709,
    HLG,
    HLG_GAMMA,
    PEAK_NITS,
    PQ,
    SDR_GAMMA,
    WHITE_NITS,
    luma_curve,
    to_sdr,
)
from pipeline.ingest.inputs import ListedInput
from pipeline.scan.scan import ScanConfig, scan
from pipeline.synthetic.encode import Encoding, encode
from pipeline.synthetic.render import render
from pipeline.synthetic.world import draw_scene
from schemas.recipe import load_recipe
from tests.pipeline.scan.accounting import reasons_of

WIDTH, HEIGHT, NUM_FRAMES, FPS = 320, 192, 24, 24


def pq_code(relative: np.ndarray) -> np.ndarray:
    """Light in units of reference white as PQ codes it (SMPTE ST 2084)."""
    y = np.clip(relative * WHITE_NITS / 10_000, 0, 1) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg_code(relative: np.ndarray) -> np.ndarray:
    """The same by HLG (ARIB STD-B67) for a screen of 1,000 nits."""
    display = np.clip(relative * WHITE_NITS / PEAK_NITS, 0, 1)
    luminance = display @ np.array([0.2627, 0.6780, 0.0593])
    scene = display * np.maximum(luminance, 1e-9)[..., None] ** (1 / HLG_GAMMA - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def hdr_copy(picture: np.ndarray, transfer: int) -> np.ndarray:
    """An SDR picture as an HDR camera would have coded what a reference screen shows: (H, W, 3) float in [0, 1]."""
    light = (picture / 255.0) ** SDR_GAMMA
    wide = np.maximum(light @ np.linalg.inv(BT2020_TO_BT709).T, 0)
    return pq_code(wide) if transfer == PQ else hlg_code(wide)


def write_hdr(path: Path, pictures: np.ndarray, transfer: int) -> str:
    """HEVC of 10 bits, tagged as BT.2020."""
    name = {PQ: "smpte2084", HLG: "arib-std-b67"}[transfer]
    tags = f"colorprim=bt2020:transfer={name}:colormatrix=bt2020nc:range=limited"
    with av.open(str(path), "w") as container:
        stream = cast(av.VideoStream, container.add_stream("libx265", rate=FPS))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p10le"
        stream.options = {"preset": "ultrafast", "crf": "8", "x265-params": f"log-level=none:pools=none:{tags}"}
        stream.codec_context.color_primaries, stream.codec_context.color_trc = 9, transfer
        stream.codec_context.colorspace = 9
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p10le")
            rgb = hdr_copy(picture, transfer)
            luma = rgb @ np.array([0.2627, 0.6780, 0.0593])
            planes = (
                64 + 876 * luma,
                512 + 896 * ((rgb[..., 2] - luma) / 1.8814)[::2, ::2],
                512 + 896 * ((rgb[..., 0] - luma) / 1.4746)[::2, ::2],
            )
            for target, plane in zip(frame.planes, planes, strict=True):
                rows = np.frombuffer(memoryview(target), np.uint16).reshape(target.height, -1)
                rows[:, : target.width] = np.clip(np.rint(plane), 0, 1023)
            frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = 9, 9, transfer, 1
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.stack(list(render(draw_scene(11), WIDTH, HEIGHT, NUM_FRAMES)))


def scanned(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    result = scan(ListedInput(path, 1), ScanConfig.of(load_recipe("default")))
    (clip,) = result.clips
    return result.video, clip


@pytest.fixture(scope="module")
def sdr(pictures: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("sdr") / "a.mp4"
    times_s = [Fraction(index, FPS) for index in range(NUM_FRAMES + 1)]
    encode(path, pictures, times_s, Fraction(FPS), Encoding(options=(("crf", "8"),)))
    return str(path)


@pytest.fixture(scope="module", params=[PQ, HLG], ids=["pq", "hlg"])
def hdr(request: pytest.FixtureRequest, pictures: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_hdr(
        tmp_path_factory.mktemp("hdr") / {PQ: "pq.mp4", HLG: "hlg.mp4"}[request.param], pictures, request.param
    )


def test_scores_are_like_those_of_the_sdr_copy(sdr: str, hdr: str) -> None:
    (_, plain), (video, clip) = scanned(sdr), scanned(hdr)
    assert (video["transfer"], video["primaries"], video["bit_depth"]) == (Path(hdr).stem, "bt2020", 10)
    assert clip["transfer"] == Path(hdr).stem
    for name, tolerance in (("brightness", 0.06), ("contrast", 0.04), ("clipped_frac", 0.02)):
        assert clip[name] == pytest.approx(plain[name], abs=tolerance), name
    for name, tolerance in (("colourfulness", 0.15), ("sharpness", 0.3), ("motion_px_s", 0.25)):
        assert clip[name] == pytest.approx(plain[name], rel=tolerance), name
    assert clip["content_box"] == plain["content_box"]


def test_models_are_shown_the_picture_of_the_sdr_copy(sdr: str, hdr: str) -> None:
    whole = (0, 0, WIDTH, HEIGHT), (WIDTH, HEIGHT), (WIDTH // 2, HEIGHT // 2)
    plain, mapped = (frames_at(path, [500_000], *whole)[0].astype(int) for path in (sdr, hdr))
    assert np.abs(plain - mapped).mean() < 10


def test_a_rule_can_refuse_it(hdr: str, sdr: str) -> None:
    rule = ('rules.sdr.column="transfer"', 'rules.sdr.reason="hdr"', 'rules.sdr.reject=["pq", "hlg"]')
    recipe = load_recipe("default", rule)
    assert "hdr" in reasons_of(scanned(hdr)[1], recipe)
    assert "hdr" not in reasons_of(scanned(sdr)[1], recipe)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_what_is_darker_than_half_of_white_is_as_in_sdr(transfer: int) -> None:
    colours = np.random.default_rng(0).integers(0, 180, (50, 3))
    found = to_sdr(hdr_copy(colours, transfer), transfer)
    assert np.abs(found.astype(int) - colours).max() <= 4


def test_highlights_are_compressed_in_order_and_keep_their_hue() -> None:
    light = np.array([1.0, 2.0, 4.0, 4.9])
    greys = to_sdr(np.repeat(pq_code(light)[:, None], 3, axis=1), PQ)[:, 0]
    assert list(greys) == sorted(greys)
    assert len(set(greys.tolist())) == 4
    assert 215 <= greys[0] <= 235
    assert greys[3] >= 253
    red = to_sdr(hdr_copy(np.array([[255, 64, 64]]), PQ), PQ)[0].astype(int)
    assert red[0] - red[1] > 150
    assert abs(red[1] - red[2]) <= 2


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_the_curve_of_luma_is_that_of_greys(transfer: int) -> None:
    curve = luma_curve(transfer)
    assert (curve[64], curve[940]) == (16, 235)
    assert (np.diff(curve.astype(int)) >= 0).all()
    grey = np.full((1, 1, 3), (500 - 64) / 876)
    assert curve[500] == pytest.approx(16 + int(to_sdr(grey, transfer)[0, 0, 0]) * 219 / 255, abs=1)
