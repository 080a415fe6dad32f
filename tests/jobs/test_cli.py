"""Wrong usage is one line and exit status 2, with nothing written; every job is a module and a command."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import COMMANDS, SUBMITTED_BY, app, main, run_job
from jobs.steps.records import write_run
from jobs.submission.cluster import Job
from jobs.submit import exit_status
from pipeline.store.dataset import Dataset
from schemas.recipe import Recipe

MakeRow = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[2]


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
        ("dance", "no job 'dance'; there are demo, recipe, curate"),
        ("submit -- curate a.mp4 --otu ds", "unknown option --otu; did you mean --out?"),
        ("submit --attach job -- funnel ds", "a job, --attach and --stop: give one of them"),
        ("submit --attach job --stop job", "a job, --attach and --stop: give one of them"),
        ("submit --env =secret -- funnel ds", "--env, number 1: must be NAME=VALUE"),
        ("submit -- curate a.mp4 --out ds --recipe bad.toml", "unknown key spilt; did you mean split?"),
        ("submit --working-dir nosuch -- funnel ds", "--working-dir nosuch: no such folder"),
        ("funel ds", "no job 'funel'; did you mean funnel?"),
        ("recipe shwo", "no job 'shwo'; did you mean show?"),
        ("recipe show demmo", "recipe demmo: no recipe of this name and no such file; did you mean demo?"),
        ("recipe show env:NOSUCH", "recipe env:NOSUCH: NOSUCH is not set in the environment"),
        ("submit -- fnnel ds", "no job to submit in -- fnnel ds; did you mean funnel?"),
        ("funnel --jsn ds", "unknown option --jsn; did you mean --json?"),
        ("curate a.mp4 --out ds --set rules.min_motoin.min=1", "did you mean rules.min_motion.min?"),
        ("curate a.mp4 --out ds --recipe bad.toml", "unknown key spilt; did you mean split?"),
        ("curate --out ds a.mp4 --set caption.backend=vlm", "'coca' or 'none'; did you mean vllm?"),
        ("release ds v1 --balance 0", "--balance 0: must be >= 1"),
        ("release ds v1 --seed x", "--seed x: must be an integer"),
        ("query ds --limit", "--limit needs a value"),
        ("query ds a b", "'b' is one argument too many"),
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
        (["encode", "ds", "--release", "frozn"], "(frozen); did you mean frozen?"),
        (["release", "ds", "v1", "--where", "nosuch > 3"], "--where nosuch > 3"),
        (["release", "ds", "v1", "--where", "width > 5000"], "--where width > 5000"),
        (["release", "ds", "v1"], "selects several captions a clip"),
        (["release", "ds", "../v1"], "release name '../v1'"),
        (["query", "ds", "select nosuch from clips"], "SQL:"),
    ],
)
def test_wrong_names_in_a_data_set_are_one_line_and_write_nothing(
    tiny_dataset: Dataset, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    before = content(Path(tiny_dataset.location))
    assert named in refusal(capsys, arguments)
    assert content(Path(tiny_dataset.location)) == before


def test_releases_are_frozen(tiny_dataset: Dataset, capsys: pytest.CaptureFixture[str], clip_row: MakeRow) -> None:
    first = ["release", "ds", "v1", "--where", "captioner = 'cap0'"]
    assert main(first) == 0
    frozen = content(Path(tiny_dataset.location))
    assert "frozen: 1 clips, 2.0 s" in capsys.readouterr().out
    assert main(first) == 0
    assert "unchanged" in capsys.readouterr().out
    assert "releases are frozen" in refusal(capsys, ["release", "ds", "v1", "--where", "captioner = 'cap1'"])
    assert content(Path(tiny_dataset.location)) == frozen


def test_queries_print_tables_and_json(tiny_dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "ds", "select clip_id, width from kept", "--json"]) == 0
    assert capsys.readouterr().out == '[{"clip_id": "c0", "width": 160}]\n'
    assert main(["query", "ds", "from range(5)", "--limit", "2"]) == 0
    assert "first 2 rows" in capsys.readouterr().out
    assert main(["funnel", "ds"]) == 0
    assert "trainable" in capsys.readouterr().out
    assert main(["funnel", "ds", "--json"]) == 0
    assert '"videos in": 1' in capsys.readouterr().out


@pytest.mark.parametrize("job", COMMANDS)
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


@pytest.mark.parametrize(
    "arguments",
    [
        ["recaption", "ds"],
        ["rejudge", "ds"],
        ["funnel", "ds"],
        ["encode", "ds", "--release", "frozen"],
        ["train", "ds", "--release", "frozen", "--out", "run"],
        ["expand", "a dog", "--dataset", "ds", "--release", "frozen"],
        ["recipe", "show", "--dataset", "ds"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_jobs_on_a_data_set_start_from_its_own_recipe(
    arguments: list[str], tiny_dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tiny_dataset, "20260101T000000Z-curate", "curate", Recipe(name="mine"), state="done")
    assert "recipe mine: unknown key nosuch" in refusal(capsys, [*arguments, "--set", "nosuch=1"])
    if arguments[0] != "recipe":
        assert "recipe demo: unknown key nosuch" in refusal(
            capsys, [*arguments, "--set", "nosuch=1", "--recipe", "demo"]
        )


def test_options_may_stand_between_positional_arguments_and_the_last_of_a_kind_counts() -> None:
    words = ["curate", "a", "--out", "x", "b", "--set", "c=1", "d", "--out=y", "--set", "e=2"]
    _, bound, _ = app.parse_args(words, print_error=False, exit_on_error=False)
    assert bound.args == ("a", "b", "d")
    assert bound.kwargs == {"out": "y", "settings": ("c=1", "e=2")}


@pytest.mark.parametrize("separator", [["--"], []])
def test_submit_passes_on_what_belongs_to_the_job(separator: list[str]) -> None:
    words = ["submit", "--address", "http://x", *separator, "curate", "a", "--out", "b", "--set", "k=v", "--json"]
    _, bound, _ = app.parse_args(words, print_error=False, exit_on_error=False)
    assert bound.args == ("curate", "a", "--out", "b", "--set", "k=v", "--json")
    assert bound.kwargs["address"] == "http://x"


def test_the_cluster_of_the_environment_is_submitted_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://head:8265")
    _, bound, _ = app.parse_args(["submit", "--", "curate"], print_error=False, exit_on_error=False)
    assert bound.kwargs == {"address": "http://head:8265"}


def test_the_address_that_is_given_comes_before_the_environments(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.setenv(name, "http://127.0.0.1:10")
    line = refusal(capsys, ["submit", "--address", "http://127.0.0.1:9", "--", "funnel", "ds"])
    assert line.endswith("--address http://127.0.0.1:9: Failed to connect to Ray at address: http://127.0.0.1:9.\n")


@pytest.mark.parametrize(
    ("state", "exit_code", "status"),
    [
        ("succeeded", 0, 0),
        ("failed", 1, 1),
        ("failed", 2, 2),
        ("failed", None, 1),
        ("stopped", 2, 1),
    ],
)
def test_submit_ends_with_0_1_or_2(state: str, exit_code: int | None, status: int) -> None:
    assert exit_status(Job("job", state, exit_code)) == status


def test_a_job_of_another_version_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    own = importlib.metadata.version("reelmill")
    monkeypatch.setenv(SUBMITTED_BY, own)
    assert run_job("recipe", ["list"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(SUBMITTED_BY, "9.9")
    assert run_job("recipe", ["list"]) == 0
    assert capsys.readouterr().err == f"reelmill recipe: version {own} here, 9.9 where the job was submitted\n"


def test_a_job_that_fails_is_one_line_and_exit_status_1(
    tiny_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("jobs.query.connect", fail)
    assert main(["query", "ds"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("reelmill query: failed: OSError: disk full (traceback in ")
    assert captured.err.count("\n") == 1
