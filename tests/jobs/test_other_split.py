"""Videos divided again by another [split] section: old clips or new ones, and what spans have in common is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from jobs.cli import main
from pipeline.release.diff import ADDED, REMOVED, compare
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from pipeline.synthetic.encode import Encoding, encode
from pipeline.synthetic.render import render
from pipeline.synthetic.world import draw_scene
from schemas import CAPTIONS, VIDEOS
from schemas.structured_caption import StructuredCaption, to_json
from tests.jobs.conftest import CAPTIONED, FPS
from tests.pipeline.caption.serving import ScriptedServer, completion

SHORTER = ["--set", "split.max_clip_s=3", "--json"]
SECONDS = {"long.mp4": 4, "short.mp4": 2}
RELEASE = "before"
DIVIDED = ["its video was divided otherwise"]
Standing = dict[tuple[str, int, int], str]


def standing(dataset: Dataset) -> Standing:
    """The text of each clip that stands, by its file and span."""
    query = "select uri, start_us, end_us, detailed from clips left join captions using (clip_id)"
    rows = connect(dataset).execute(query).fetchall()
    found = {(Path(uri).name, start_us, end_us): text for uri, start_us, end_us, text in rows}
    assert len(found) == len(rows)
    return found


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What was asked of the captioner, as it was asked."""
    return []


@pytest.fixture(scope="module")
def curate(two_cpus: str, said: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The command that curates two videos of one shot, but for the data set. No two captions are the same."""
    folder = tmp_path_factory.mktemp("split")
    (folder / "videos").mkdir()
    for seed, (name, seconds) in enumerate(SECONDS.items()):
        num_frames = round(seconds * FPS)
        times_s = [Fraction(i, int(FPS)) for i in range(num_frames + 1)]
        pictures = render(draw_scene(seed), 160, 120, num_frames)
        encode(folder / "videos" / name, pictures, times_s, Fraction(int(FPS)), Encoding())

    def answer(asked: str, before: int) -> tuple[int, dict]:
        said.append(asked)
        return 200, completion(to_json(StructuredCaption(subject=f"Ring number {len(said)}", action="moves left")))

    with ScriptedServer(answer).listening() as url:
        (folder / "recipe.toml").write_text(CAPTIONED.format(url=url))
        yield ["curate", str(folder / "videos"), "--recipe", str(folder / "recipe.toml"), "--out"]


@pytest.fixture(scope="module")
def before(curate: list[str], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Both videos in one clip each, captioned and released."""
    dataset = Dataset(str(tmp_path_factory.mktemp("before") / "ds"))
    assert main([*curate, dataset.location]) == 0
    assert main(["release", dataset.location, RELEASE]) == 0
    return dataset


@pytest.fixture
def dataset(before: Dataset, tmp_path: Path) -> Dataset:
    return Dataset(str(shutil.copytree(before.location, tmp_path / "ds")))


def test_another_split_divides_the_videos_again_and_keeps_what_is_of_the_same_span(
    curate: list[str], dataset: Dataset, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, num_asked = standing(dataset), len(said)
    assert set(first) == {("long.mp4", 0, 4_000_000), ("short.mp4", 0, 2_000_000)}
    capsys.readouterr()
    assert main([*curate, dataset.location, *SHORTER]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert {name: summary["stages"][name]["rows"] for name in ("scan", "caption")} == {"scan": 2, "caption": 2}
    assert len(said) == num_asked + 2
    second = standing(dataset)
    halves = {("long.mp4", 0, 2_000_000), ("long.mp4", 2_000_000, 4_000_000)}
    unchanged = ("short.mp4", 0, 2_000_000)
    assert set(second) == {*halves, unchanged}
    assert second[unchanged] == first[unchanged]
    assert len(set(second.values()) | set(first.values())) == 4
    assert (summary["funnel"]["clips"], summary["funnel"]["trainable"]) == (3, 3)
    assert main([*curate, dataset.location, *SHORTER]) == 0
    assert json.loads(capsys.readouterr().out)["stages"] == {}

    assert main(["release", dataset.location, "after"]) == 0
    found = compare(dataset, RELEASE, "after")
    assert {(d.kind, Path(d.clip["uri"]).name, *d.reasons) for d in found.clips} == {
        (ADDED, "long.mp4", *DIVIDED),
        (REMOVED, "long.mp4", *DIVIDED),
    }
    assert (found.counts[ADDED], found.counts[REMOVED], found.num_same) == (2, 1, 1)
    assert main(["report", dataset.location, "-o", f"{dataset.location}/report.html"]) == 0

    capsys.readouterr()
    assert main([*curate, dataset.location, "--json"]) == 0  # and back
    assert standing(dataset) == first
    assert "caption" not in json.loads(capsys.readouterr().out)["stages"]


def test_a_run_killed_while_it_divides_again_leaves_the_old_clips_or_the_new_ones(
    curate: list[str], dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of clips are written before those of their videos: the states between are made by taking rows away."""
    first, old_parts = standing(dataset), set(dataset.part_files(""))
    assert main([*curate, dataset.location, *SHORTER]) == 0
    second = standing(dataset)
    new_videos = dataset.scanner(VIDEOS, [p for p in dataset.part_files("videos") if p not in old_parts]).to_table()
    for path in [p for folder in ("videos", "captions") for p in dataset.part_files(folder) if p not in old_parts]:
        Path(path).unlink()
    assert standing(dataset) == first
    (of_long,) = [row for row in new_videos.to_pylist() if row["uri"].endswith("long.mp4")]
    dataset.write_part(VIDEOS, [of_long])
    between = standing(dataset)
    assert set(between) == {span for span in second if span[0] == "long.mp4"} | {("short.mp4", 0, 2_000_000)}
    capsys.readouterr()
    assert main([*curate, dataset.location, *SHORTER]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert {name: stages[name]["rows"] for name in ("scan", "caption")} == {"scan": 1, "caption": 2}
    assert set(standing(dataset)) == set(second)
    assert all(standing(dataset).values())
    assert dataset.read(CAPTIONS).num_rows == 4
