"""Wrong usage is one line and exit status 2, with nothing written; help is there for every job."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import JOBS, main
from pipeline.store.dataset import Dataset
from schemas import CAPTIONS, CLIPS, VIDEOS

MakeRow = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one input file and some lists."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # submit would set it for the rest of this process
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    (tmp_path / "list.csv").write_text("url\na.mp4\n")
    (tmp_path / "bad.toml").write_text("[spilt]\n")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.fixture
def curated(place: Path, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow) -> Dataset:
    """A tiny data set with one captioned clip, in `ds`."""
    dataset = Dataset(str(place / "ds"))
    dataset.write_part(VIDEOS, [video_row("v0")])
    dataset.write_part(CLIPS, [clip_row("c0", "v0")])
    dataset.write_part(CAPTIONS, [caption_row("c0"), caption_row("c0", "cap1")])
    return dataset


def refusal(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """The one line on standard error with which a command line is refused."""
    try:
        status = main(arguments)
    except SystemExit as stopped:
        status = stopped.code
    captured = capsys.readouterr()
    assert (status, captured.out) == (2, ""), captured
    assert captured.err.count("\n") == 1
    return captured.err


def content(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


NO_CAPTIONS = ["--set", "caption.backend=none"]
COCA = "curate --out ds a.mp4 --set caption.backend=coca"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("curate nosuch.mp4 --out ds", "input nosuch.mp4: no such file or folder"),
        ("curate *.avi --out ds", "input *.avi: matches no file"),
        ("curate empty --out ds", "input empty: no video or image file"),
        ("curate list.csv --out ds", "input list list.csv: no column 'uri'"),
        ("curate nosuch://x/a.mp4 --out ds", "input nosuch://x/a.mp4"),
        ("curate a.mp4 --out /dev/null/x", "output /dev/null/x: cannot be written"),
        ("curate a.mp4 --out a.mp4/x", "a.mp4/x: cannot be written"),
        ("curate a.mp4 --out nosuch://x", "data set nosuch://x"),
        ("curate a.mp4 --out ds --recipe nosuch", "recipe nosuch: no recipe of this name"),
        ("curate a.mp4 --out ds --recipe bad.toml", "recipe bad.toml: unknown key spilt"),
        ("curate a.mp4 --out ds --set split.x=1", "unknown key split.x"),
        ("curate a.mp4 --out ds --set measure.sample_hz=fast", "measure.sample_hz = 'fast'"),
        ("curate a.mp4 --out ds --set measure.sample_hz=0", "measure.sample_hz = 0"),
        ("curate a.mp4 --recipe demo --out ds --set caption.checkpoint=/nosuch", "caption.checkpoint = '/nosuch'"),
        ("curate a.mp4 --recipe demo --out ds --set embedding.model=nosuch", "embedding.model = 'nosuch'"),
        (f"{COCA} --set caption.hints=true", "caption.hints = True: backend 'coca' takes no prompt"),
        (f"{COCA} --set caption.language=de", "caption.language = 'de': backend 'coca' takes no prompt"),
        (f"{COCA} --set caption.rewrite=rewrite", "caption.rewrite = 'rewrite': backend 'coca' takes no prompt"),
        (f"{COCA} --set caption.checkpoint=nosuch", "caption.checkpoint = 'nosuch'"),
        ("curate a.mp4", "--out"),
        ("curate --out ds", "INPUT"),
        ("curate a.mp4 --out ds --nosuch", "--nosuch"),
        ("release empty v1", "no videos table here"),
        ("encode empty --release v1", "no videos table here"),
        ("funnel nosuch", "no videos table here"),
        ("query nosuch", "no videos table here"),
        ("query nosuch://x", "data set nosuch://x"),
        ("submit --", "no job to submit"),
        ("submit -- dance", "no job to submit in -- dance"),
        ("submit --address http://127.0.0.1:9 -- funnel ds", "--address http://127.0.0.1:9"),
        ("dance", "no job 'dance'"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: str, named: str
) -> None:
    before = content(place)
    line = refusal(capsys, arguments.split() + (NO_CAPTIONS if arguments.startswith("curate a.mp4 --out") else []))
    assert line.startswith("reelmill")
    assert named in line
    assert content(place) == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["encode", "ds", "--release", "v2"], "release v2: not in"),
        (["release", "ds", "v1", "--where", "nosuch > 3"], "--where nosuch > 3"),
        (["release", "ds", "v1", "--where", "width > 5000"], "--where width > 5000"),
        (["release", "ds", "v1"], "selects several captions a clip"),
        (["release", "ds", "../v1"], "release name '../v1'"),
        (["query", "ds", "select nosuch from clips"], "SQL:"),
    ],
)
def test_wrong_names_in_a_data_set_are_one_line_and_write_nothing(
    curated: Dataset, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    before = content(Path(curated.location))
    assert named in refusal(capsys, arguments)
    assert content(Path(curated.location)) == before


def test_releases_are_frozen(curated: Dataset, capsys: pytest.CaptureFixture[str], clip_row: MakeRow) -> None:
    first = ["release", "ds", "v1", "--where", "captioner = 'cap0'"]
    assert main(first) == 0
    frozen = content(Path(curated.location))
    assert "frozen: 1 clips, 2.0 s" in capsys.readouterr().out
    assert main(first) == 0
    assert "unchanged" in capsys.readouterr().out
    assert "releases are frozen" in refusal(capsys, ["release", "ds", "v1", "--where", "captioner = 'cap1'"])
    assert content(Path(curated.location)) == frozen


def test_queries_print_tables_and_json(curated: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "ds", "select clip_id, width from kept", "--json"]) == 0
    assert capsys.readouterr().out == '[{"clip_id": "c0", "width": 160}]\n'
    assert main(["query", "ds", "from range(5)", "--limit", "2"]) == 0
    assert "first 2 rows" in capsys.readouterr().out
    assert main(["funnel", "ds"]) == 0
    assert "trainable" in capsys.readouterr().out
    assert main(["funnel", "ds", "--json"]) == 0
    assert '"videos in": 1' in capsys.readouterr().out


def test_the_overview_names_every_job(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"]):
        assert main(arguments) == 0
        text = capsys.readouterr().out
        assert all(name in text for name in JOBS)


@pytest.mark.parametrize("job", JOBS)
def test_every_job_has_help(job: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([job, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: reelmill {job}")


@pytest.mark.parametrize("job", JOBS)
def test_every_job_is_a_module_that_runs_itself(job: str) -> None:
    tree = ast.parse((ROOT / "jobs" / f"{job}.py").read_text())
    assert ast.get_docstring(tree)
    last = ast.unparse(tree.body[-1])
    assert last.startswith("if __name__ == '__main__'")
    assert f"run_job('{job}')" in last


def test_a_job_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "jobs.funnel", "/nosuch"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "reelmill funnel: data set /nosuch: no videos table here; run `reelmill curate` first\n"
