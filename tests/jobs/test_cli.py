"""Wrong usage is one line and exit status 2, with nothing written; help is there for every job."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import COMMANDS, app, main
from jobs.steps.records import write_run
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from schemas import CAPTIONS, CLIPS, VIDEOS
from schemas.recipe import Recipe, load_recipe
from schemas.recipe.keys import recipe_sections

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
    releases.freeze(dataset, "frozen", "captioner = 'cap0'")
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
        ("dance", "no job 'dance'; there are demo, recipe, curate"),
        ("funel ds", "no job 'funel'; did you mean funnel?"),
        ("recipe shwo", "no job 'shwo'; did you mean show?"),
        ("recipe show demmo", "recipe demmo: no recipe of this name and no such file; did you mean demo?"),
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


def test_the_overview_is_quick_to_import() -> None:
    program = (
        "import sys; from jobs.cli import main; main(['--help']); "
        "print(sorted({'cv2', 'duckdb', 'numpy', 'pyarrow', 'pydantic', 'ray', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_overview_says_where_to_begin_and_gives_each_command_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith("Start with `reelmill demo") for line in lines)
    for name, command in COMMANDS.items():
        assert [line.split(maxsplit=1)[1] for line in lines if line.split()[:1] == [name]] == [command.line]


def test_the_overview_names_every_job(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"]):
        assert main(arguments) == 0
        text = capsys.readouterr().out
        assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("job", COMMANDS)
def test_every_job_has_help(job: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([job, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: reelmill {job}")


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


@pytest.mark.parametrize("job", [name for name, command in COMMANDS.items() if command.reads])
def test_help_lists_the_recipe_keys_that_a_job_reads(job: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([job, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for section in recipe_sections():
        assert (f"[{section.path}] {section.meaning}" in text) == (section.top in COMMANDS[job].reads)
        for key in section.keys if section.top in COMMANDS[job].reads else ():
            assert f"{key.name} {key.meaning} [{key.type}" in text


def test_help_of_other_jobs_lists_no_keys_and_is_all_of_the_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["release", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "clips and seed determine it" in text
    assert "Recipe keys" not in text


@pytest.mark.parametrize("job", ["funnel", "rejudge"])
def test_the_sections_that_are_declared_are_those_that_are_read(
    job: str, curated: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(curated, "20260101T000000Z-curate", "curate", load_recipe(), state="done")
    sections, read, get = {section.top for section in recipe_sections()}, set(), Recipe.__getattribute__

    def recording(self: Recipe, name: str) -> Any:
        # Storing a recipe and comparing two reads every field, and uses none.
        if name in sections and sys._getframe(1).f_code.co_name not in ("_asdict_inner", "__eq__"):
            read.add(name)
        return get(self, name)

    monkeypatch.setattr(Recipe, "__getattribute__", recording)
    assert main([job, "ds"]) == 0
    assert read == set(COMMANDS[job].reads)


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
    arguments: list[str], curated: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(curated, "20260101T000000Z-curate", "curate", Recipe(name="mine"), state="done")
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


def test_a_job_that_fails_is_one_line_and_exit_status_1(
    curated: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
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


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["train", "ds", "--set", "train.wa"], {"train.warmup_steps"}),
        (["funnel", "ds", "--set", "caption_rules.min_words.mi"], {"caption_rules.min_words.min"}),
        (["curate", "--recipe", "de"], {"default", "demo"}),
        (["encode", "ds", "--release", "fr"], {"frozen"}),
    ],
)
def test_values_complete(
    words: list[str], found: set[str], curated: Dataset, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["__complete", *words]) == 0
    values = [line.split("\t")[0] for line in capfd.readouterr().out.splitlines()]
    assert {value for value in values if value.startswith(words[-1])} == found


COMPLETE = """
source "$1"; shift
COMP_WORDS=(reelmill "$@"); COMP_CWORD=$#; COMP_LINE="reelmill $*"; COMP_POINT=${#COMP_LINE}
_reelmill reelmill "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""


def test_commands_and_options_complete_in_a_shell(tmp_path: Path) -> None:
    for shell in ("zsh", "fish"):
        assert "--release" in app.generate_completion(shell=shell)
    (tmp_path / "reelmill.bash").write_text(app.generate_completion(shell="bash"))
    for words, found in ((["rej"], ["rejudge"]), (["train", "--rel"], ["--release"]), (["recipe", "s"], ["show"])):
        command = ["bash", "-c", COMPLETE, "bash", str(tmp_path / "reelmill.bash"), *words]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == found
