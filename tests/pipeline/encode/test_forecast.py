"""What encoding will cost: sums that equal those over the clips' own plans."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from model.codec.spec import codec_spec
from pipeline.encode.forecast import Measured, as_dict, codec_seconds, forecast, tried_first, workload
from pipeline.encode.latents import plan_clip
from schemas.recipe.encode import EncodeConfig

CODEC = codec_spec()


def test_sums_are_those_of_the_plans_of_all_clips(clip_row: Callable[..., dict[str, Any]]) -> None:
    rng, config = np.random.default_rng(0), EncodeConfig(fps=7.3, max_frames=12, max_pixels_px=100_000, max_tokens=700)
    clips = []
    for number in range(300):
        start_us, span_us = (int(value) for value in rng.integers(1, 3_000_000, 2))
        size = [int(side) for side in rng.choice([64, 96, 200, 640], 2)]
        row = clip_row(f"c{number}", "v", start_us=start_us, end_us=start_us + span_us, is_image=number % 7 == 0)
        clips.append(row | {"content_box": [0, 0, *size], "uri": f"/{number % 9}.mp4"})
    connection = duckdb.connect()
    boxes = pa.array([clip["content_box"] for clip in clips], pa.list_(pa.int32(), 4))
    names = ("uri", "start_us", "end_us", "is_image")
    columns: dict[str, Any] = {name: [clip[name] for clip in clips] for name in names} | {"content_box": boxes}
    connection.register("c", pa.table(columns | {"frame": pa.nulls(len(clips), pa.string())}))
    connection.register("t", pa.table({"text_id": ["1", "0"], "text": ["a ball", "it"]}))
    work = workload(connection, "from c", "from t", config, CODEC)
    plans = [plan_clip(clip, config, CODEC).codec for clip in clips]
    assert (work.clips, work.videos, work.texts, work.text_chars) == (300, 9, 2, 8)
    assert work.frames == sum(plan.valid[0] for plan in plans)
    assert work.frames_padded == sum(plan.encoded[0] - plan.valid[0] for plan in plans)
    whole = [plan_clip(clip, EncodeConfig(fps=7.3), CODEC).codec.valid[0] for clip in clips]
    assert work.frames_cut == sum(whole) - work.frames > 0
    reduced = [plan.valid[1:] != tuple(clip["content_box"][2:]) for plan, clip in zip(plans, clips, strict=True)]
    assert work.clips_reduced == sum(reduced) > 0
    assert work.clips_too_long == 0
    assert work.positions == sum(math.prod(plan.latent_shape[1:]) for plan in plans)
    assert work.latent_bytes == 2 * sum(math.prod(plan.latent_shape) for plan in plans)
    assert work.pixel_bytes == 3 * sum(math.prod(plan.valid) for plan in plans)
    assert work.shapes == Counter(plan.encoded for plan in plans)
    assert work.sample_texts == ["it", "a ball"]
    assert sum(shape["clips"] for shape in as_dict(work)["shapes"]) == 300
    assert as_dict(work)["tokens"] == work.positions // 4


def lasting(*spans: tuple[int, str | None]) -> duckdb.DuckDBPyConnection:
    """A connection with clips of so many seconds, or of which one frame is wanted."""
    connection = duckdb.connect()
    lengths, frames = zip(*spans, strict=True)
    connection.register("spans", pa.table({"length": lengths, "frame": frames}))
    connection.execute(
        "create table c as select 'u' as uri, 0 as start_us, 1000000 * length as end_us, false as is_image, "
        "[0, 0, 96, 64]::int[4] as content_box, frame::varchar as frame from spans"
    )
    connection.execute("create table t (text_id varchar, text varchar)")
    return connection


def test_single_frames_are_counted_apart_at_the_size_of_their_clips() -> None:
    config = EncodeConfig(max_tokens=60)
    wanted: list[tuple[int, str | None]] = [(1, None), (1, "last"), (1, "first"), (3, "last"), (100, "last")]
    work = workload(lasting(*wanted), "from c", "from t", config, CODEC)
    facts = {"start_us": 0, "is_image": False, "content_box": [0, 0, 96, 64]}
    clips = [facts | {"end_us": 1_000_000 * length, "frame": frame} for length, frame in wanted[:4]]
    plans = [plan_clip(clip, config, CODEC).codec for clip in clips]
    assert (work.clips, work.single_frames, work.clips_reduced, work.clips_too_long) == (1, 3, 1, 0)
    assert (work.frames, work.frames_padded, work.frames_cut) == (8 + 3, 1, 0)
    assert work.latent_bytes == 2 * sum(math.prod(plan.latent_shape) for plan in plans)
    assert work.sizes == Counter(plans)
    assert as_dict(work)["single_frames"] == 3


def test_clips_that_are_too_long_are_counted_apart() -> None:
    connection = lasting((1, None), (1, None), (100, None))
    work = workload(connection, "from c", "from t", EncodeConfig(max_tokens=100), CODEC)
    assert (work.clips, work.clips_too_long, work.frames) == (2, 1, 16)


def test_a_size_that_was_not_tried_takes_as_long_a_pixel_as_the_nearest() -> None:
    tried = {(1, 16, 16): 0.1, (17, 64, 64): 2.0}
    assert codec_seconds({(17, 64, 64): 3, (1, 16, 16): 2}, tried) == pytest.approx(6.2)
    assert codec_seconds({(17, 64, 128): 1}, tried) == pytest.approx(4.0)
    assert codec_seconds({(1, 16, 32): 1}, tried) == pytest.approx(0.2)
    assert codec_seconds({}, {}) == 0.0


def test_the_largest_size_is_tried_first_then_those_with_the_most_to_do() -> None:
    shapes = {(17, 64, 64): 9, (17, 640, 640): 1, (1, 640, 640): 1, (1, 64, 64): 2}
    assert tried_first(shapes) == [(17, 640, 640), (17, 64, 64), (1, 640, 640), (1, 64, 64)]


def test_time_is_shared_by_actors_and_memory_is_not(clip_row: Callable[..., dict[str, Any]]) -> None:
    connection = duckdb.connect()
    connection.execute(
        "create table c as select 'u' as uri, 0 as start_us, 1000000 as end_us, false as is_image, "
        "[0, 0, 96, 64]::int[4] as content_box, null::varchar as frame from range(10)"
    )
    connection.execute("create table t as select '1' as text_id, 'four' as text")
    work = workload(connection, "from c", "from t", EncodeConfig(), CODEC)
    (shape,) = work.shapes
    cost = forecast(work, Measured({shape: 2.0}, 3.0, 5.0, 1000, 700), held_bytes=50, num_actors=4)
    assert (cost.seconds, cost.latent_peak_bytes, cost.text_peak_bytes, cost.text_bytes) == (8.0, 1050, 700, 20)
