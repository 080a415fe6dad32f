"""Scanning: a video goes in, its row of `videos` and its rows of `clips` come out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.decode import probe
from pipeline.decode.diagnosis import refusal
from pipeline.decode.frame import Span
from pipeline.decode.reader import MICROSECONDS, FrameReader, MediaError, open_video
from pipeline.ingest.filesystems import local_copy
from pipeline.ingest.inputs import ListedInput
from pipeline.measure.registry import stream_fingerprints
from pipeline.rules.clips import decide
from pipeline.scan.single_pass import run_pass
from pipeline.split.clips import clip_spans
from pipeline.split.detectors.catalogue import make_detector
from schemas.identity import ID_HEX_CHARS, digest
from schemas.recipe import Recipe
from schemas.recipe.measure import MeasureConfig
from schemas.recipe.split import SplitConfig
from schemas.rules import Rule
from schemas.tables.measures import STREAM_MEASURES


@dataclass(frozen=True)
class ScanConfig:
    """The sections of a recipe that scanning depends on."""

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


def scan(listed: ListedInput, config: ScanConfig) -> ScannedVideo:
    """Read an input once; whatever is wrong with it becomes a row with a reason."""
    identity = identity_of(listed)
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


def failed_scan(listed: ListedInput, reason: str, detail: str) -> ScannedVideo:
    """The row of an input whose decoder died."""
    return ScannedVideo(identity_of(listed) | probe.failed(reason, detail), [])


def identity_of(listed: ListedInput) -> dict[str, Any]:
    """The columns of a `videos` row that are known before the file is opened."""
    return {
        "uri": listed.uri,
        "file_bytes": listed.file_bytes,
        "modified_us": listed.modified_us,
        "source": listed.source,
        "video_id": None,
        "duplicate_of": listed.duplicate_of,
    }


def _read_header(path: str) -> dict[str, Any]:
    """What the header and the first frame say, for a file whose bytes are scanned under another name.

    Raises:
        MediaError: the file fails as its original does.
    """
    container, stream = open_video(path)
    with container:
        facts = probe.header_facts(container, stream)
        reader = FrameReader(container, stream)
        frame = next(iter(reader), None)
        if frame is None:
            raise refusal(path, len(reader.error_times_us))
        return facts | probe.size_facts(frame, facts["sample_aspect_ratio"])


def _scan_file(path: str, identity: dict[str, Any], config: ScanConfig) -> ScannedVideo:
    container, stream = open_video(path)
    detector = make_detector(config.split)
    with container:
        reader = FrameReader(container, stream, prefetch=True, motion_vectors=True)
        facts, measures = run_pass(
            reader, probe.header_facts(container, stream), STREAM_MEASURES, config.measure, detector
        )
    facts["decode_errors"] = len(reader.error_times_us)
    if measures is None:
        error = refusal(path, len(reader.error_times_us))
        return ScannedVideo(identity | probe.failed(error.reason, error.detail, facts), [])
    facts |= probe.time_facts(reader.times_us, reader.last_duration_us)
    video = identity | probe.probed(facts)
    end_us = reader.times_us[-1] + reader.last_duration_us
    transitions = detector.finish()
    if config.split.stitch_distance:
        from pipeline.split.stitch import stitched  # loads torch

        transitions = stitched(path, transitions, reader.times_us, (facts["width"], facts["height"]), config.split)
    spans = clip_spans(transitions, reader.times_us, end_us, config.split)
    clips = [_clip_row(video, span, reader, config) | measures.scores(span, spans) for span in spans]
    return ScannedVideo(video, [clip | decide(clip, config.rules) for clip in clips])


def _clip_row(video: Mapping[str, Any], span: Span, reader: FrameReader, config: ScanConfig) -> dict[str, Any]:
    """The columns of a clip that are not measures."""
    still = len(reader.times_us) == 1
    start_us, end_us = (0, 1) if still else (span.start_us, span.end_us)
    num_frames = span.last - span.first
    duration_s = None if still else (end_us - start_us) / MICROSECONDS
    return {
        "clip_id": digest(video["video_id"], start_us, end_us),
        "video_id": video["video_id"],
        "uri": video["uri"],
        "shot_index": span.shot_index,
        "start_frame": span.first,
        "start_us": start_us,
        "end_us": end_us,
        "is_image": still,
        "num_frames": num_frames,
        "fps": num_frames / duration_s if duration_s else None,
        "width": video["width"],
        "height": video["height"],
        "duration_s": duration_s,
        "decode_errors": sum(start_us <= time_us < end_us for time_us in reader.error_times_us),
        "measured": json.dumps(stream_fingerprints(config.measure), sort_keys=True),
    }
