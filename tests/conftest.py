"""What several files of tests share: rows for hand-made data sets, the synthetic corpus, a Ray cluster.

`pytest -n 2` runs the tests of a file in one worker, and all tests that use the cluster or vLLM in one
worker each, so that there is one of either. What costs more than a second to make is made once for both workers.
"""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray
from filelock import FileLock
from xdist.scheduler import LoadScopeScheduling

from pipeline.caption.checks.measure import VERSION as CHECKS_VERSION
from pipeline.ingest.inputs import list_inputs
from pipeline.ray_graphs.cluster import connect
from pipeline.scan.scan import ScanConfig, ScannedVideo, scan
from pipeline.store.dataset import Dataset
from pipeline.synthetic.corpus import draw_corpus
from schemas import CAPTION_DECISIONS, CAPTIONS, CLIPS, DECISIONS, VIDEOS
from schemas.recipe import load_recipe
from schemas.tables.captions import FAILED, OK, REJECTED
from schemas.tables.clips import PENDING
from tests.ray_cluster import RayCluster, two_nodes

Row = dict[str, Any]
MakeRow = Callable[..., Row]
MakeOnce = Callable[[str, Callable[[Path], object]], Path]
GROUPS = {
    "ray": {
        "tests/jobs/test_cluster.py",
        "tests/jobs/test_curate.py",
        "tests/jobs/test_demo.py",
        "tests/jobs/test_dying_captioners.py",
        "tests/jobs/test_little_memory.py",
        "tests/jobs/test_other_split.py",
        "tests/jobs/test_encode.py",
        "tests/jobs/test_faulty_store.py",
        "tests/jobs/test_recaption.py",
        "tests/jobs/test_train_under_ray.py",
        "tests/pipeline/ingest/test_object_store.py",
        "tests/pipeline/ray_graphs/test_cluster.py",
    },
    "vllm": {
        "tests/pipeline/caption/test_captioner_backends.py",
        "tests/pipeline/caption/test_engines.py",
    },
}
"""Files that one worker runs, by what they share: a cluster, or an engine and a server. The slowest, so the first."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def pytest_configure() -> None:
    """One thread a process where there are several workers: they would fight over the same cores."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        for name in THREADS:
            os.environ.setdefault(name, "1")


def group_of(nodeid: str) -> str:
    """What a worker is given as a whole: a group, or a file."""
    file = nodeid.partition("::")[0]
    return next((name for name, files in GROUPS.items() if file in files), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        uses_ray = "ray_cluster" in getattr(item, "fixturenames", ())
        assert not uses_ray or group_of(item.nodeid) == "ray", f"{item.nodeid}: name its file in GROUPS"
    order = {name: place for place, name in enumerate(GROUPS)}
    items.sort(key=lambda item: order.get(group_of(item.nodeid), len(order)))


class ByGroup(LoadScopeScheduling):
    """Gives a worker whole groups. xdist 3.8 does so itself by marks, but by a field that pytest 9.2 no longer has."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByGroup:
    return ByGroup(config, log)


@pytest.fixture(autouse=True)
def _logging_as_python_begins() -> None:
    """Warnings are on: vLLM's server, which runs in a process of the tests, and the end of its engine turn them off."""
    logging.disable(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """`made_once(name, fill)`: a folder that `fill` fills, in whichever worker of this run asks for it first."""
    own = tmp_path_factory.getbasetemp()
    of_all = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, done = of_all / name, of_all / f"{name}.done"
        with FileLock(of_all / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return make


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
    """A row of `clips`, kept, changed by keywords; `write_clips` makes a decision of its `status` and `reasons`."""

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
            "transfer": None,
            "duration_s": 2.0,
            "decode_errors": 0,
            "measured": "{}",
            "status": "kept",
            "reasons": [],
        }
        return row | changes

    return make


def write_clips(dataset: Dataset, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of `clips`, and what they say of status and reasons as decisions that any other decision replaces."""
    clips, decisions = apart(rows)
    dataset.write_part(CLIPS, clips)
    dataset.write_part(DECISIONS, decisions)


def apart(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Row], list[Row]]:
    """Rows of `clips`, and the decisions on those that are not pending."""
    facts = ("status", "reasons")
    clips = [{name: row[name] for name in row if name not in facts} for row in rows]
    decisions = [
        {"clip_id": row["clip_id"], "rules_fingerprint": "", "written_us": row.get("written_us") or 0, "run_id": ""}
        | {name: row[name] for name in facts}
        for row in rows
        if row["status"] != PENDING
    ]
    return clips, decisions


@pytest.fixture(scope="session")
def caption_row() -> MakeRow:
    """A row of `captions`, with the status and reasons of the decision on it, ok, changed by keywords."""

    def make(clip_id: str, captioner: str = "cap0", /, **changes: Any) -> Row:
        row = dict.fromkeys(CAPTIONS.schema.names) | {
            "clip_id": clip_id,
            "captioner": captioner,
            "captioner_name": "builtin",
            "language": "en",
            "num_output_tokens": 40,
            "num_attempts": 1,
            "short": f"short of {clip_id}",
            "detailed": f"a detailed text of {clip_id}",
            "num_words": 5,
            "checks_version": CHECKS_VERSION,
            "status": "ok",
            "reasons": [],
        }
        return row | changes

    return make


def write_captions(dataset: Dataset, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of `captions`, and what they say of status and reasons as decisions of the same time."""
    now_us = time.time_ns() // 1000
    captions, decisions = captions_apart([{**row, "written_us": _or(row.get("written_us"), now_us)} for row in rows])
    dataset.write_part(CAPTIONS, captions)
    dataset.write_part(CAPTION_DECISIONS, decisions)


def captions_apart(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Row], list[Row]]:
    """Rows of `captions`, and the decisions on those that are accepted or rejected; one that failed says why itself."""
    facts = ("status", "reasons")
    captions = [{name: row[name] for name in row if name not in facts} for row in rows]
    for caption, row in zip(captions, rows, strict=True):
        if row.get("status") == FAILED:
            caption["failure"] = row["reasons"][0]
    decisions = [
        {name: row[name] for name in ("clip_id", "captioner", "status", "reasons")}
        | {"rules_fingerprint": "", "written_us": row.get("written_us"), "run_id": ""}
        for row in rows
        if row.get("status") in (OK, REJECTED)
    ]
    return captions, decisions


def _or(value: int | None, other: int) -> int:
    return other if value is None else value


@pytest.fixture(scope="session")
def drawn_corpus(made_once: MakeOnce) -> Path:
    """A folder with a synthetic corpus of every kind of video, its list `inputs.jsonl` and `truth.json`."""
    return made_once("drawn", draw_corpus)


@pytest.fixture(scope="session")
def scanned_corpus(made_once: MakeOnce, drawn_corpus: Path) -> dict[str, ScannedVideo]:
    """Every file of the synthetic corpus, scanned by the recipe `demo`, by file name."""

    def scan_all(folder: Path) -> None:
        config = ScanConfig.of(load_recipe("demo"))
        listed = list_inputs([str(drawn_corpus / "inputs.jsonl")]).inputs
        found = {Path(item.uri).name: scan(item, config) for item in listed}
        (folder / "scanned.pickle").write_bytes(pickle.dumps(found))

    return pickle.loads((made_once("scanned", scan_all) / "scanned.pickle").read_bytes())


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """A cluster of two nodes with a logical CPU each, for all tests of the run."""
    with two_nodes() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def two_cpus(ray_cluster: RayCluster) -> Iterator[str]:
    """The address of the cluster, to which this process is connected: jobs that are called here run on it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", ray_cluster.address)
        connect()
    yield ray_cluster.address
    ray.shutdown()
