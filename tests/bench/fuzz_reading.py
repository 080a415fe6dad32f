"""What the fuzzer has an isolated process do with one file: read it as curation does, to rows that can be stored."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from pipeline.frames import frames_at
from pipeline.isolation import IsolatedWorker, Limits
from pipeline.media import FrameReader, MediaError, open_video, reduce_planes
from pipeline.stages import probe
from schemas import VIDEOS

LIMITS = Limits(stall_s=20.0, call_s=120.0, memory_bytes=2 << 30)
WORK_SIDE_PX = 256
NUM_LOOKS = 4


def read_file(path: str) -> str:
    """Read a file whole, then at random places; what came of it, in a word or two.

    Whatever is raised from here is a fault of ours.
    """
    row = {"uri": path, "file_bytes": os.path.getsize(path), "modified_us": 0, "source": "{}", "video_id": "0"}
    row |= {"duplicate_of": None} | _read(path)
    VIDEOS.encode([row])
    if row["status"] == "failed":
        return row["reason"]
    outcome = "probed, packets refused" if row["decode_errors"] else "probed"
    times_us = [round(i * row["duration_us"] / NUM_LOOKS) for i in range(NUM_LOOKS)]
    whole = (row["width"], row["height"])
    try:
        frames = frames_at(path, times_us, (0, 0, *whole), whole, (32, 32))
    except MediaError as error:
        return f"{outcome}; frames {error.reason}"
    assert frames.shape == (NUM_LOOKS, 32, 32, 3)
    assert frames.dtype == np.uint8
    return outcome


def _read(path: str) -> dict[str, Any]:
    try:
        if not os.path.getsize(path):
            raise MediaError("empty_file", "0 bytes")
        container, stream = open_video(path)
        with container:
            facts = probe.header_facts(container, stream)
            reader = FrameReader(container, stream)
            for index, frame in enumerate(reader):
                if index == 0:
                    facts |= probe.size_facts(frame, facts["sample_aspect_ratio"])
                reduce_planes(frame, WORK_SIDE_PX)
        facts["decode_errors"] = len(reader.error_times_us)
        if not reader.times_us:
            return probe.failed("no_frames", f"{len(reader.error_times_us)} packets refused", facts)
        return probe.probed(facts | probe.time_facts(reader.times_us, reader.last_duration_us))
    except MediaError as error:
        return probe.failed(error.reason, error.detail)


def new_worker() -> IsolatedWorker:
    return IsolatedWorker(LIMITS)
