"""What the Tab key completes: commands, options, recipes, keys of recipes, releases."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from jobs.cli import app, main
from pipeline.store.dataset import Dataset


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
    words: list[str], found: set[str], tiny_dataset: Dataset, capfd: pytest.CaptureFixture[str]
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
