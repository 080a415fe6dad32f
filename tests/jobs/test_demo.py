"""`reelmill demo` in its smallest form: the whole chain, from videos that it draws to a sampled one and a page."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from jobs.cli import main
from pipeline.store.dataset import Dataset
from pipeline.store.views import funnel
from pipeline.synthetic.truth import Truth

STEPS = 3


def test_the_demo_ends_with_a_funnel_a_sampled_video_and_a_page(
    two_cpus: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--videos", "1", "--steps", str(STEPS)]) == 0
    printed = capsys.readouterr().out
    for job in ("curate", "release", "encode", "train", "sample", "report"):
        assert f"reelmill {job} " in printed
    counts, truth = funnel(Dataset(str(out / "dataset"))), Truth.load(out / "corpus" / "truth.json")
    assert counts["videos in"] == len(truth.videos)
    assert counts["trainable"] == counts["clips kept"] > 0
    for name in ("videos in", "trainable"):
        assert any(name in line and f" {counts[name]} " in line for line in printed.splitlines()), name
    assert "training loss: " in printed

    with av.open(str(out / "sample.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert (len(frames), frames[0].shape) == (16, (64, 96, 3))
    page = (out / "report.html").read_text()
    assert "data:video/mp4;base64," in page
    assert "overlay_text" in page
    assert page.rstrip().endswith("</html>")
