"""Inputs, lists and data sets on an object store: moto's S3 server, read and written by pyarrow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from jobs.cli import main
from pipeline.decode.clip_frames import VideoClips, by_video, read_clips, spread
from pipeline.ingest.filesystems import local_copy
from pipeline.ingest.inputs import list_inputs
from pipeline.release import releases
from pipeline.scan.scan import ScanConfig, scan
from pipeline.store.compaction import compact
from pipeline.store.dataset import Dataset, DatasetError
from pipeline.store.views import connect, funnel
from schemas import CAPTIONS, CLIPS, VIDEOS
from schemas.recipe import load_recipe
from tests.conftest import write_captions
from tests.faulty_store import query_of, s3_server

MakeRow = Callable[..., dict[str, Any]]
FILES = ("00_cuts.mp4", "copy_exact.mp4", "empty.mp4")
STATUSES = ("probed", "probed", "failed")
RECIPE = """
name = "scan"
[caption]
backend = "none"
[embedding]
model = "none"
[overlay_text]
enabled = false
"""


@pytest.fixture(scope="module")
def query() -> Iterator[str]:
    """The query part of URIs that lead to a store with a bucket `lake`."""
    with s3_server() as port:
        yield query_of(port)


@pytest.fixture(scope="module")
def store(query: str, drawn_corpus: Path) -> str:
    """The same with three synthetic files and a list of them in `lake/in`."""
    filesystem, _ = fs.FileSystem.from_uri(f"s3://lake?{query}")
    rows = []
    for name in FILES:
        with filesystem.open_output_stream(f"lake/in/{name}") as stream:
            stream.write((drawn_corpus / "videos" / name).read_bytes())
        rows.append(json.dumps({"uri": name, "title": name}))
    with filesystem.open_output_stream("lake/in/list.jsonl") as stream:
        stream.write("\n".join(rows).encode())
    return query


def test_folders_globs_and_lists_name_the_same_objects(store: str) -> None:
    folder = list_inputs([f"s3://lake/in?{store}"])
    assert [listed.uri for listed in folder.inputs] == [f"s3://lake/in/{name}?{store}" for name in FILES]
    assert folder.num_other_files == 1
    assert list_inputs([f"s3://lake/in/*.mp4?{store}"]).inputs == folder.inputs
    listed = list_inputs([f"s3://lake/in/list.jsonl?{store}"]).inputs
    assert [replace(x, source="{}") for x in listed] == list(folder.inputs)
    assert json.loads(listed[0].source) == {"title": FILES[0]}


def test_curation_on_the_store(
    store: str, two_cpus: str, tmp_path: Path, caption_row: MakeRow, capsys: pytest.CaptureFixture[str]
) -> None:
    """The curate job, with its inputs and its tables on the store; then sampling, queries and a release there."""
    dataset = Dataset(f"s3://lake/sets/one?{store}")
    with pytest.raises(DatasetError, match="no videos table here"):
        dataset.require()
    recipe = tmp_path / "scan.toml"
    recipe.write_text(RECIPE)
    command = ["curate", f"s3://lake/in/list.jsonl?{store}", "--out", dataset.location]
    command += ["--recipe", str(recipe), "--json"]
    assert main(command) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["inputs"], summary["inputs_done_before"]) == (len(FILES), 0)
    videos = {row["uri"].partition("?")[0].rpartition("/")[2]: row for row in dataset.read(VIDEOS).to_pylist()}
    assert {name: row["status"] for name, row in videos.items()} == dict(zip(FILES, STATUSES, strict=True))
    assert videos["copy_exact.mp4"]["duplicate_of"] == videos["00_cuts.mp4"]["uri"]
    assert [(run["job"], run["state"]) for run in dataset.runs()] == [("curate", "done")]

    clips = dataset.read(CLIPS).to_pylist()
    assert len(clips) == summary["funnel"]["clips kept"] == 3
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["stages"] == {}
    video = VideoClips.of(by_video(clips)[0], lambda clip: [spread(clip, 4, 128 * 128)])
    assert [len(frames) for _, (frames,) in read_clips(video)] == [4] * len(video.clips)
    write_captions(dataset, [caption_row(clip["clip_id"]) for clip in clips])
    assert funnel(dataset)["trainable"] == 3
    release, is_new = releases.freeze(dataset, "v1", "num_frames > 0")
    assert is_new
    assert releases.read(dataset, "v1").clips.equals(release.clips)


def test_compaction_on_the_store(query: str, video_row: MakeRow, caption_row: MakeRow) -> None:
    dataset = Dataset(f"s3://lake/sets/two?{query}")
    for written_us in range(5):
        dataset.write_part(VIDEOS, [video_row("v0", written_us=written_us)])
        rows = [caption_row(name, written_us=written_us) for name in ("c0", f"c{written_us}")]
        write_captions(Dataset(dataset.location, run_id=str(written_us)), rows)
    rows = connect(dataset).execute("from newest_captions order by all").fetchall()
    assert main(["compact", dataset.location]) == 0
    assert [len(dataset.part_files(name)) for name in ("videos", "captions")] == [1, 1]
    assert dataset.read(CAPTIONS).num_rows == 5
    assert connect(dataset).execute("from newest_captions order by all").fetchall() == rows
    assert list(compact(dataset, [])) == []


def test_a_copy_is_whole_and_goes_away(store: str, drawn_corpus: Path) -> None:
    with local_copy(f"s3://lake/in/{FILES[0]}?{store}") as local:
        assert Path(local.path).read_bytes() == (drawn_corpus / "videos" / FILES[0]).read_bytes()
    assert not Path(local.path).exists()


def test_an_object_that_went_away_is_a_row(store: str) -> None:
    (listed,) = list_inputs([f"s3://lake/in/{FILES[0]}?{store}"]).inputs
    gone = scan(type(listed)(listed.uri.replace(FILES[0], "gone.mp4")), ScanConfig.of(load_recipe("demo")))
    assert (gone.video["status"], gone.video["reason"]) == ("failed", "unreadable")
