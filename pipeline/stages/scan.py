"""The one decode pass: a video goes in, its `videos` row and its `clips` rows come out.

Frames stream past once. Each is reduced by area; shots, brightness, motion and bars are read off the reduced frame and
kept as a few numbers a frame, so memory grows by bytes a frame, not by pictures. When the last frame has passed, the
cuts are known, and the numbers within each span become the scores of its clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from av.video.reformatter import ColorRange

from pipeline.filesystems import local_copy
from pipeline.listing import ListedInput
from pipeline.media import (
    MICROSECONDS,
    FrameReader,
    MediaError,
    displayed_luma,
    open_video,
    reduce_frame,
)
from pipeline.stages import probe
from pipeline.stages.brightness import mean_brightness
from pipeline.stages.letterbox import bars_px, content_box
from pipeline.stages.motion import FlowSpeed
from pipeline.stages.shots import ShotDetector, Span, clip_spans
from schemas.clips import KEPT, REJECTED
from schemas.identity import ID_HEX_CHARS, digest
from schemas.recipe import MeasureConfig, Recipe, Rule, SplitConfig, reasons_against


@dataclass(frozen=True)
class ScanConfig:
    """What the pass depends on; its digest says whether two data sets were scanned alike."""

    split: SplitConfig
    measure: MeasureConfig
    rules: Mapping[str, Rule]

    @classmethod
    def of(cls, recipe: Recipe) -> ScanConfig:
        return cls(recipe.split, recipe.measure, recipe.rules)


@dataclass(frozen=True)
class ScannedVideo:
    """Rows for the tables, as plain mappings."""

    video: dict[str, Any]
    clips: list[dict[str, Any]]


@dataclass
class Signals:
    """What is kept of the frames: one brightness a frame; flow and bars at the sampled ones."""

    brightness: list[float] = field(default_factory=list)
    sample_frames: list[int] = field(default_factory=list)
    flow_px_s: list[float | None] = field(default_factory=list)
    bars_px: list[tuple[int, int, int, int] | None] = field(default_factory=list)


def scan(listed: ListedInput, config: ScanConfig) -> ScannedVideo:
    """Read an input once; whatever is wrong with it becomes a row with a reason."""
    identity = {
        "uri": listed.uri,
        "file_bytes": listed.file_bytes,
        "modified_us": listed.modified_us,
        "source": listed.source,
        "video_id": None,
        "duplicate_of": listed.duplicate_of,
    }
    try:
        with local_copy(listed.uri) as local:
            identity["video_id"] = local.sha256[:ID_HEX_CHARS]
            if local.num_bytes == 0:
                raise MediaError("empty_file", "0 bytes")
            if listed.duplicate_of is not None:
                return ScannedVideo(identity | probe.probed(_read_header(local.path)), [])
            return _scan_file(local.path, identity, config)
    except OSError as error:
        return ScannedVideo(identity | probe.failed("unreadable", str(error)), [])
    except MediaError as error:
        return ScannedVideo(identity | probe.failed(error.reason, error.detail), [])


def _read_header(path: str) -> dict[str, Any]:
    """What the header and the first frame say, for a file whose frames were scanned under another name.

    Raises:
        MediaError: the file fails as its original does.
    """
    container, stream = open_video(path)
    with container:
        facts = probe.header_facts(container, stream)
        frame = next(iter(FrameReader(container, stream)), None)
        if frame is None:
            raise MediaError("no_frames", "nothing decodes")
        return facts | probe.size_facts(frame, facts["sample_aspect_ratio"])


def _scan_file(path: str, identity: dict[str, Any], config: ScanConfig) -> ScannedVideo:
    container, stream = open_video(path)
    with container:
        facts = probe.header_facts(container, stream)
        reader = FrameReader(container, stream)
        shots = ShotDetector(config.split)
        signals = Signals()
        _read_frames(reader, facts, shots, signals, config.measure)
    facts["decode_errors"] = len(reader.error_times_us)
    if not reader.times_us:
        return ScannedVideo(
            identity | probe.failed("no_frames", f"{len(reader.error_times_us)} packets refused", facts), []
        )
    facts |= probe.time_facts(reader.times_us, reader.last_duration_us)
    video = identity | probe.probed(facts)
    spans = clip_spans(shots.cuts, reader.times_us, config.split.max_clip_s)
    return ScannedVideo(video, [_clip_row(video, span, reader, signals, config) for span in spans])


def _read_frames(
    reader: FrameReader, facts: dict[str, Any], shots: ShotDetector, signals: Signals, measure: MeasureConfig
) -> None:
    """Drive the pass; fills `facts`, `shots` and `signals`."""
    flow = FlowSpeed()
    next_sample_us = None
    stored_px = None
    for index, frame in enumerate(reader):
        if stored_px is None:
            facts |= probe.size_facts(frame, facts["sample_aspect_ratio"])
            stored_px = frame.width, frame.height
        elif (frame.width, frame.height) != stored_px:  # a stream may change its size; all is measured at the first
            frame = frame.reformat(*stored_px)
        time_us = reader.times_us[index]
        luma, colour = reduce_frame(frame, measure.work_side_px, facts["rotation_deg"])
        shots.push(index, time_us, colour)
        full_range = frame.format.name.startswith("yuvj") or frame.color_range == ColorRange.JPEG
        signals.brightness.append(mean_brightness(luma, full_range=full_range))
        if next_sample_us is None or time_us >= next_sample_us:
            next_sample_us = time_us + round(MICROSECONDS / measure.sample_hz)
            signals.sample_frames.append(index)
            signals.flow_px_s.append(flow.push(luma, time_us))
            signals.bars_px.append(_displayed_bars(displayed_luma(frame, facts["rotation_deg"]), facts, measure))


def _displayed_bars(
    luma: np.ndarray, facts: Mapping[str, Any], measure: MeasureConfig
) -> tuple[int, int, int, int] | None:
    """Bars of an upright frame in displayed pixels, which differ from stored ones where pixels are not square."""
    bars = bars_px(luma, measure.bar_luma)
    if bars is None:
        return None
    fx, fy = facts["width"] / luma.shape[1], facts["height"] / luma.shape[0]
    top, bottom, left, right = bars
    return round(top * fy), round(bottom * fy), round(left * fx), round(right * fx)


def _clip_row(
    video: Mapping[str, Any], span: Span, reader: FrameReader, signals: Signals, config: ScanConfig
) -> dict[str, Any]:
    still = len(reader.times_us) == 1
    last = span.last == len(reader.times_us)
    start_us = 0 if still else reader.times_us[span.first]
    end_us = 1 if still else reader.times_us[-1] + reader.last_duration_us if last else reader.times_us[span.last]
    row = {
        "clip_id": digest(video["video_id"], start_us, end_us),
        "video_id": video["video_id"],
        "uri": video["uri"],
        "shot_index": span.shot_index,
        "start_us": start_us,
        "end_us": end_us,
        "is_image": still,
        "num_frames": span.last - span.first,
        "width": video["width"],
        "height": video["height"],
        "decode_errors": sum(start_us <= time_us < end_us for time_us in reader.error_times_us),
    }
    duration_s = None if still else (end_us - start_us) / MICROSECONDS
    row |= {"duration_s": duration_s, "fps": row["num_frames"] / duration_s if duration_s else None}
    row |= _scores(span, signals, video["width"], video["height"])
    reasons = reasons_against(config.rules, row)
    return row | {"status": REJECTED if reasons else KEPT, "reasons": reasons}


def _scores(span: Span, signals: Signals, width: int, height: int) -> dict[str, Any]:
    """Scores of a clip from the signals of its own frames; flow only between two samples that both lie inside."""
    samples = [i for i, index in enumerate(signals.sample_frames) if span.first <= index < span.last]
    flows = [speed for i in samples[1:] if (speed := signals.flow_px_s[i]) is not None]
    box = content_box(_seen([signals.bars_px[i] for i in samples]), width, height)
    return {
        "brightness": float(np.mean(signals.brightness[span.first : span.last])),
        "motion_px_s": float(np.mean(flows)) if flows else None,
        "content_box": box,
        "short_side_px": min(box[2:]),
        "bars_frac": 1.0 - box[2] * box[3] / (width * height),
    }


def _seen(bars: Sequence[tuple[int, int, int, int] | None]) -> list[tuple[int, int, int, int]]:
    return [sides for sides in bars if sides is not None]
