"""Rows to build hand-made data sets from, and the synthetic corpus that several files read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from pipeline.synthetic.corpus import draw_corpus
from schemas import CAPTIONS, CLIPS, VIDEOS

Row = dict[str, Any]
MakeRow = Callable[..., Row]


@pytest.fixture(scope="session")
def video_row() -> MakeRow:
    """A row of `videos`, probed, changed by keywords."""

    def make(video_id: str, /, **changes: Any) -> Row:
        row = dict.fromkeys(VIDEOS.schema.names) | {
            "uri": f"/videos/{video_id}.mp4",
            "video_id": video_id,
            "status": "probed",
            "file_bytes": 100,
            "modified_us": 5,
            "source": "{}",
        }
        return row | changes

    return make


@pytest.fixture(scope="session")
def clip_row() -> MakeRow:
    """A row of `clips`, kept, changed by keywords."""

    def make(clip_id: str, video_id: str, /, **changes: Any) -> Row:
        row = dict.fromkeys(CLIPS.schema.names) | {
            "clip_id": clip_id,
            "video_id": video_id,
            "uri": f"/videos/{video_id}.mp4",
            "shot_index": 0,
            "start_frame": 0,
            "start_us": 0,
            "end_us": 2_000_000,
            "is_image": False,
            "num_frames": 48,
            "fps": 24.0,
            "width": 160,
            "height": 120,
            "content_box": [0, 0, 160, 120],
            "duration_s": 2.0,
            "decode_errors": 0,
            "measured": "{}",
            "status": "kept",
            "reasons": [],
        }
        return row | changes

    return make


@pytest.fixture(scope="session")
def caption_row() -> MakeRow:
    """A row of `captions`, ok, changed by keywords."""

    def make(clip_id: str, captioner: str = "cap0", /, **changes: Any) -> Row:
        row = dict.fromkeys(CAPTIONS.schema.names) | {
            "clip_id": clip_id,
            "captioner": captioner,
            "captioner_name": "builtin",
            "captioned_us": 0,
            "language": "en",
            "num_output_tokens": 40,
            "num_attempts": 1,
            "short": f"short of {clip_id}",
            "detailed": f"a detailed text of {clip_id}",
            "num_words": 5,
            "status": "ok",
            "reasons": [],
        }
        return row | changes

    return make


@pytest.fixture(scope="session")
def drawn_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a synthetic corpus of every kind of video, its list `inputs.jsonl` and `truth.json`."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_corpus(folder)
    return folder


@pytest.fixture(scope="session")
def two_cpus() -> Iterator[str]:
    """The address of a Ray of two logical CPUs, to which this process is connected."""
    context = ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield context.address_info["gcs_address"]
    ray.shutdown()
