"""`reelmill demo`: the whole chain, from synthetic videos to a sampled one and a page."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from jobs.cli import main
from pipeline.store.views import funnel
from pipeline.synthetic.truth import Truth
from tests.jobs.conftest import DemoRun


def test_the_demo_ends_with_a_funnel_a_sampled_video_and_a_page(demo_run: DemoRun) -> None:
    printed = demo_run.printed
    for job in ("curate", "release", "encode", "train", "sample", "report"):
        assert f"reelmill {job} " in printed
    counts, truth = funnel(demo_run.dataset), Truth.load(demo_run.out / "corpus" / "truth.json")
    assert counts["videos in"] == len(truth.videos)
    assert counts["trainable"] == counts["clips kept"] > 0
    for name in ("videos in", "trainable"):
        assert any(name in line and f" {counts[name]} " in line for line in printed.splitlines()), name
    assert "training loss: " in printed

    for name, shape in (("before.mp4", (9, 64, 64)), ("sample.mp4", (16, 64, 96))):
        with av.open(str(demo_run.out / name)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert np.stack(frames).shape == (*shape, 3)
    page = (demo_run.out / "report.html").read_text()
    assert "data:video/mp4;base64," in page
    assert "overlay_text" in page
    assert page.rstrip().endswith("</html>")


@pytest.mark.parametrize("own_videos", [False, True])
def test_only_the_demo_of_the_synthetic_corpus_trains_the_built_in_model_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn_corpus: Path, own_videos: bool
) -> None:
    begun: list[list[str]] = []

    def run(words: list[str]) -> int:
        begun.append(words)
        return 7 if words[0] == "train" else 0

    monkeypatch.setattr("jobs.demo.main", run)
    (tmp_path / "corpus").symlink_to(drawn_corpus)
    own = ["--input", str(drawn_corpus)] if own_videos else []
    assert main(["demo", "--out", str(tmp_path), *own]) == 7
    assert ("--init" in begun[-1]) is not own_videos
    assert begun[0][:3] == ["sample", "builtin", "a red circle moves left"]


def test_a_demo_draws_its_videos_first_and_ends_with_the_first_job_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[list[str]] = []

    def fail(words: list[str]) -> int:
        begun.append(words)
        return 7 if words[0] == "curate" else 0

    monkeypatch.setattr("jobs.demo.main", fail)
    assert main(["demo", "--out", str(tmp_path), "--videos", "1"]) == 7
    inputs = tmp_path / "corpus" / "inputs.jsonl"
    assert begun == [
        ["sample", "builtin", "a red circle moves left", "-o", str(tmp_path / "before.mp4")],
        ["curate", str(inputs), "--out", str(tmp_path / "dataset"), "--recipe", "demo"],
    ]
    drawn = Truth.load(tmp_path / "corpus" / "truth.json").videos
    assert sorted(path.name for path in (tmp_path / "corpus" / "videos").iterdir()) == sorted(v.file for v in drawn)
