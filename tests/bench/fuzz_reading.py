"""What the sandboxed process of the fuzz bench does with one file: it reads it as curation does, into rows of
tables."""

from __future__ import annotations

import functools
import os
from dataclasses import replace

import numpy as np

from pipeline.decode.clip_frames import Clip, Sampling, VideoClips, read_clips, sample_times_us
from pipeline.ingest.failures import MediaError
from pipeline.ingest.inputs import ListedInput
from pipeline.ingest.sandbox import Limits
from pipeline.scan.scan import ScanConfig, scan
from schemas import CLIPS, VIDEOS
from schemas.recipe import load_recipe

LIMITS = Limits(stall_s=60.0, call_s=300.0, memory_bytes=3 << 30)
NUM_FRAMES, FRAME_PX = 4, (32, 32)


@functools.cache
def default_config() -> ScanConfig:
    return ScanConfig.of(load_recipe("default"))


def read_lightly(path: str) -> str:
    """`read_file` with a shot detector that needs no neural network."""
    config = default_config()
    return read_file(path, replace(config, split=replace(config.split, detector="adaptive")))


def read_file(path: str, config: ScanConfig | None = None) -> str:
    """Scan a file, then read frames of its first and last clip; returns the outcome in a word or two.

    Any exception from here is an error in Reelmill.
    """
    scanned = scan(ListedInput(path, file_bytes=os.path.getsize(path)), config or default_config())
    VIDEOS.encode([scanned.video])
    CLIPS.encode(scanned.clips)
    if scanned.video["status"] == "failed":
        assert scanned.video["reason"]
        assert not scanned.clips
        return scanned.video["reason"]
    outcome = "probed, with decode errors" if scanned.video["decode_errors"] else "probed"
    clips = scanned.clips[:: max(len(scanned.clips) - 1, 1)]
    try:
        for _, (frames,) in read_clips(VideoClips.of(clips, _sampling)):
            assert frames.shape == (NUM_FRAMES, *FRAME_PX, 3)
            assert frames.dtype == np.uint8
    except MediaError as error:
        return f"{outcome}; frames {error.reason}"
    return outcome


def _sampling(clip: Clip) -> list[Sampling]:
    return [Sampling(tuple(sample_times_us(clip["start_us"], clip["end_us"], NUM_FRAMES)), FRAME_PX)]
