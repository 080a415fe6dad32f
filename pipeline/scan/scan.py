"""Scanning: a video goes in, its row of `videos` and its rows of `clips` come out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.decode import probe
from pipeline.decode.clock import MICROSECONDS
from pipeline.decode.diagnosis import refusal
from pipeline.decode.frame import Span
from pipeline.decode.reader import FrameReader, open_video
from pipeline.ingest.failures import Failure, MediaError
from pipeline.ingest.filesystems import local_copy
from pipeline.ingest.inputs import ListedInput
from pipeline.measure.registry import stream_fingerprints
from pipeline.scan.single_pass import run_pass
from pipeline.split.clips import clip_spans
from pipeline.split.detectors.catalogue import make_detector
from pipeline.split.fingerprint import split_fingerprint
from pipeline.store.retrying import failure_columns
from schemas.identity import ID_HEX_CHARS, digest
from schemas.recipe import Recipe
from schemas.recipe.measure import MeasureConfig
from schemas.recipe.split import SplitConfig
from schemas.tables.measures import STREAM_MEASURES


@dataclass(frozen=True)
class ScanConfig:
    """The sections of a recipe that scanning depends on."""

    split: SplitConfig
    measure: MeasureConfig
    max_failures: int
    """How often what fails in the world is tried before it is given up."""

    @classmethod
    def of(cls, recipe: Recipe) -> ScanConfig:
        return cls(recipe.split, recipe.measure, recipe.limits.max_failures)


@dataclass(frozen=True)
class ScannedVideo:
    """Rows for the tables, as plain mappings."""

    video: dict[str, Any]
    clips: list[dict[str, Any]]


def scan(listed: ListedInput, config: ScanConfig) -> ScannedVideo:
    """Read an input once; whatever is wrong with it becomes a row with a reason."""
    facts: dict[str, Any] = {}
    try:
        with local_copy(listed.uri) as local:
            facts["video_id"] = local.sha256[:ID_HEX_CHARS]
            listed = replace(listed, file_bytes=listed.file_bytes or local.num_bytes)
            if local.num_bytes == 0:
                raise MediaError("empty_file", "0 bytes")
            return _scan_file(local.path, listed, facts, config)
    except (OSError, MediaError) as error:
        return failed_scan(listed, Failure.of(error), config.max_failures, facts)


def failed_scan(
    listed: ListedInput, failure: Failure, max_failures: int, facts: Mapping[str, Any] | None = None
) -> ScannedVideo:
    """The row of an input that failed, with the facts that were found before."""
    counted = failure_columns(failure.detail, listed.num_failures, max_failures, transient=failure.transient)
    failed = probe.failed(failure.reason, counted.pop("failure")) | dict(facts or {}) | counted
    if failure.transient:
        failed["video_id"] = None  # what is known by its bytes is never read again
    return ScannedVideo(identity_of(listed) | failed, [])


def identity_of(listed: ListedInput) -> dict[str, Any]:
    """The columns of a `videos` row that are known before the file is opened."""
    return {
        "uri": listed.uri,
        "file_bytes": listed.file_bytes,
        "modified_us": listed.modified_us,
        "source": listed.source,
        "video_id": None,
        "duplicate_of": None,
        "transient": None,
        "num_failures": None,
    }


def _scan_file(path: str, listed: ListedInput, facts: dict[str, Any], config: ScanConfig) -> ScannedVideo:
    """The rows of a file that can be read; `facts` are added to as they are found.

    Raises:
        MediaError: nothing in it decodes.
    """
    container, stream = open_video(path)
    detector = make_detector(config.split)
    with container:
        reader = FrameReader(container, stream, prefetch=True, motion_vectors=True)
        found, measures = run_pass(
            reader, probe.header_facts(container, stream), STREAM_MEASURES, config.measure, detector
        )
    facts |= found
    facts |= {
        "decode_errors": len(reader.error_times_us),
        "corrected_times": reader.clock.num_corrected,
        "size_changes": reader.num_size_changes,
    }
    if measures is None:
        raise refusal(path, reader.num_refused)
    facts |= probe.time_facts(reader.times_us, reader.last_duration_us) | {"split": split_fingerprint(config.split)}
    video = identity_of(listed) | probe.probed(facts)
    end_us = reader.times_us[-1] + reader.last_duration_us
    transitions = detector.finish()
    if config.split.stitch_distance:
        from pipeline.split.stitch import stitched  # loads torch

        transitions = stitched(path, transitions, reader.times_us, (facts["width"], facts["height"]), config.split)
    spans = clip_spans(transitions, reader.times_us, end_us, config.split)
    clips = [_clip_row(video, span, reader, config) | measures.scores(span, spans) for span in spans]
    return ScannedVideo(video, clips)


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
        "transfer": video["transfer"],
        "duration_s": duration_s,
        "decode_errors": sum(start_us <= time_us < end_us for time_us in reader.error_times_us),
        "split": video["split"],
        "measured": json.dumps(stream_fingerprints(config.measure), sort_keys=True),
    }
