"""What encoding a release will cost, before any of it is spent: counts by query, and a short run of the codec.

Sizes, tokens and bytes of latents follow from the clips' spans and boxes. The time is that of the codec on the plan's
own sizes, measured here for a few seconds on made-up frames, since what they show changes nothing. Bytes of embeddings
follow from some of the plan's own texts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import duckdb
import pyarrow as pa

from model.codec.spec import CodecPlan, CodecSpec
from pipeline.decode.clip_frames import Clip
from pipeline.encode.latents import PATCH_HW, TooManyTokens, num_frames, one_frame, sizes_of, whole_frames
from pipeline.store.dataset import ROWS_AT_A_TIME
from schemas.recipe.encode import EncodeConfig

HALF_BYTES = 2
NUM_SAMPLE_TEXTS = 64
RGB_BYTES = 3
MAX_SIZES = 1 << 16


@dataclass
class Workload:
    """What is to be encoded: sums over clips, and how many clips there are of each size."""

    clips: int = 0
    videos: int = 0
    single_frames: int = 0
    """That are encoded alone."""
    texts: int = 0
    text_chars: int = 0
    frames: int = 0
    """That are read, the clips' own."""
    frames_cut: int = 0
    """Of whole clips at the rate of the recipe, that are beyond `max_frames`."""
    clips_too_long: int = 0
    """Clips that no size brings within `max_tokens`; they will fail, and nothing else here counts them."""
    clips_reduced: int = 0
    """Clips whose frames are smaller than their content."""
    frames_padded: int = 0
    """That are repeated up to whole strides."""
    positions: int = 0
    """Latent frames x rows x columns."""
    latent_bytes: int = 0
    pixel_bytes: int = 0
    """Of decoded frames."""
    sizes: Counter[CodecPlan] = field(default_factory=Counter)
    """Clips and single frames of each plan."""
    sample_texts: list[str] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Of the transformer, by its default patch."""
        return self.positions // PATCH_HW**2

    @property
    def shapes(self) -> Counter[tuple[int, int, int]]:
        """Clips by frames, width and height as encoded."""
        counts: Counter[tuple[int, int, int]] = Counter()
        for plan, count in self.sizes.items():
            counts[plan.encoded] += count
        return counts


def workload(
    connection: duckdb.DuckDBPyConnection, clips: str, texts: str, config: EncodeConfig, codec: CodecSpec
) -> Workload:
    """What queries for clips and texts find, in memory that grows with the number of sizes only.

    Args:
        clips, texts: SQL of what is missing (`pipeline.store.pending`).
    """
    found = Workload()
    connection.execute(f"create or replace temp table clips_to_do as {clips}")
    connection.execute(f"create or replace temp table texts_to_do as {texts}")
    ((found.videos,),) = connection.execute("select count(distinct uri) from clips_to_do").fetchall()
    counted = """
        select content_box[3] as width, content_box[4] as height, is_image, frame, end_us - start_us as end_us,
               count(*) as clips
        from clips_to_do group by all
        """
    for batch in connection.sql(counted).to_arrow_reader(ROWS_AT_A_TIME):
        _add(found, batch, config, codec)
    summed = "select count(*), coalesce(sum(length(text)), 0)::bigint from texts_to_do"
    ((found.texts, found.text_chars),) = connection.execute(summed).fetchall()
    sample = (
        f"select text from texts_to_do order by text_id limit {NUM_SAMPLE_TEXTS}"  # ids are hashes: a random sample
    )
    found.sample_texts = [text for (text,) in connection.execute(sample).fetchall()]
    return found


def _add(found: Workload, batch: pa.RecordBatch, config: EncodeConfig, codec: CodecSpec) -> None:
    @lru_cache(MAX_SIZES)
    def plan_of(frames: int, width: int, height: int) -> CodecPlan:
        return sizes_of(frames, width, height, config, codec)

    for row in batch.to_pylist():
        clip: Clip = row | {"start_us": 0}
        whole, frames, clips = whole_frames(clip, config.fps), num_frames(clip, config), row["clips"]
        try:
            plan = plan_of(frames, row["width"], row["height"])
        except TooManyTokens:
            found.clips_too_long += clips * (row["frame"] is None)
            continue
        if row["frame"] is None:
            found.clips += clips
            found.clips_reduced += clips * (plan.valid[1:] != (row["width"], row["height"]))
        else:
            found.single_frames += clips
            plan, whole, frames = one_frame(plan, codec), 1, 1
        found.frames += clips * frames
        found.frames_cut += clips * (whole - frames)
        found.frames_padded += clips * (plan.encoded[0] - frames)
        found.positions += clips * math.prod(plan.latent_shape[1:])
        found.latent_bytes += clips * math.prod(plan.latent_shape) * HALF_BYTES
        found.pixel_bytes += clips * math.prod(plan.valid) * RGB_BYTES
        found.sizes[plan] += clips


@dataclass(frozen=True)
class Measured:
    """What a short run of codec and text encoder has shown."""

    codec_s: Mapping[tuple[int, int, int], float]
    """Seconds a clip, by frames, width and height as encoded, of the sizes that were tried."""
    text_s: float
    """Seconds a text."""
    text_bytes_a_char: float
    codec_peak_bytes: int
    """Of the process of the codec, at the largest size."""
    text_peak_bytes: int
    """Of that of the text encoder."""


@dataclass(frozen=True)
class Forecast:
    """What the work will cost."""

    seconds: float
    """Of codec and text encoder; a run also starts Ray and loads them, and waits for the first clip to be decoded."""
    latent_peak_bytes: int
    """Of an actor's process; that in which it decodes has its own limit, `limits.memory_mib`."""
    text_peak_bytes: int
    """Of the actor that embeds texts."""
    latent_bytes: int
    text_bytes: int


def forecast(work: Workload, measured: Measured, held_bytes: int, num_actors: int) -> Forecast:
    """From what there is to do and what was measured to what it will cost.

    Args:
        held_bytes: that an actor holds beside the codec: clips at hand, and latents that wait to be written.
    """
    return Forecast(
        seconds=codec_seconds(work.shapes, measured.codec_s) / num_actors + work.texts * measured.text_s,
        latent_peak_bytes=measured.codec_peak_bytes + held_bytes,
        text_peak_bytes=measured.text_peak_bytes,
        latent_bytes=work.latent_bytes,
        text_bytes=round(work.text_chars * measured.text_bytes_a_char),
    )


def codec_seconds(shapes: Mapping[tuple[int, int, int], int], codec_s: Mapping[tuple[int, int, int], float]) -> float:
    """Of clips of some sizes; a size that was not tried takes as long a pixel as the nearest one that was."""
    seconds = 0.0
    for shape, clips in shapes.items():
        if shape in codec_s:
            seconds += clips * codec_s[shape]
        elif codec_s:
            pixels = math.prod(shape)
            nearest = min(codec_s, key=lambda tried: abs(math.log(math.prod(tried) / pixels)))
            seconds += clips * codec_s[nearest] * pixels / math.prod(nearest)
    return seconds


def tried_first(shapes: Mapping[tuple[int, int, int], int]) -> Iterable[tuple[int, int, int]]:
    """Sizes in the order in which they should be tried: the largest, which decides on memory, then by their pixels in
    all."""
    largest = max(shapes, key=math.prod)
    rest = sorted((shape for shape in shapes if shape != largest), key=lambda shape: -math.prod(shape) * shapes[shape])
    return [largest, *rest]


def as_dict(work: Workload) -> dict[str, Any]:
    """The workload for a summary."""
    names = ("clips", "single_frames", "videos", "texts", "clips_too_long", "clips_reduced", "frames", "frames_cut")
    names += ("frames_padded", "positions", "tokens", "latent_bytes")
    shapes = [{"encoded": list(shape), "clips": clips} for shape, clips in work.shapes.most_common()]
    return {name: getattr(work, name) for name in names} | {"shapes": shapes}
