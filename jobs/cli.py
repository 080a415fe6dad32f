"""The `reelmill` command: one sub-command a job, each a typed function in a module of its own.

A command's module is imported when the command is run or asked for help, so that the overview needs none of them.
Exit status: 0 done, even if some inputs failed; 1 the job failed; 2 usage or recipe is wrong, said in one line.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import BoundArguments

from cyclopts import App, Group, Parameter

from jobs.console.refusal import refusal

BEGIN = Group.create_ordered("Where to begin")
DATA = Group.create_ordered("Data")
TRAINING = Group.create_ordered("Training")
RESULTS = Group.create_ordered("Looking at results")
CLUSTER = Group.create_ordered("Cluster")
SHELL = Group.create_ordered("This program")
SUBMITTED_BY = "REELMILL_SUBMITTED_BY"
"""Environment variable with the version of the Reelmill that submitted this job, if one did."""


@dataclass(frozen=True)
class Command:
    """A command's line in the overview, and the sections of the recipe that it reads."""

    group: Group
    line: str
    reads: tuple[str, ...] = ()


MEASURES = ("measure", "overlay_text", "frames", "embedding", "aesthetic", "safety")
RULES = ("rules", "caption_rules", "duplicates", "limits")

COMMANDS = {
    "demo": Command(BEGIN, "Run the whole chain, on synthetic videos or on a folder of yours"),
    "recipe": Command(BEGIN, "Show a recipe with the meaning of every key, or list the recipes"),
    "curate": Command(
        DATA,
        "Split, measure, filter and caption videos into a data set",
        ("split", *MEASURES, *RULES, "caption"),
    ),
    "recaption": Command(
        DATA,
        "Write new captions for a data set's clips, beside the old ones",
        ("caption", "caption_rules", "embedding", "limits"),
    ),
    "rejudge": Command(DATA, "Judge the clips of a data set again by other rules", (*RULES, *MEASURES)),
    "release": Command(DATA, "Freeze a selection of captioned clips under a name"),
    "compact": Command(DATA, "Fold a data set's many small files into few large ones"),
    "encode": Command(TRAINING, "Compute latents and text embeddings of a release", ("encode", "limits")),
    "train": Command(TRAINING, "Fit the diffusion transformer to a release", ("encode", "train")),
    "grid": Command(TRAINING, "Show what a run sampled for the same prompts as it was trained"),
    "export": Command(TRAINING, "Put the trained weights of a run into a folder of their own"),
    "expand": Command(TRAINING, "Turn a short prompt into the style of the training captions", ("expand",)),
    "sample": Command(TRAINING, "Make a video or an image from a prompt", ("expand",)),
    "funnel": Command(
        RESULTS, "Show what each step and each rule keeps, and what other rules would", (*RULES, *MEASURES)
    ),
    "report": Command(RESULTS, "Write a page with funnel, histograms and contact sheets"),
    "query": Command(RESULTS, "Run SQL over a data set with DuckDB"),
    "diff": Command(RESULTS, "Say what two releases of a data set differ in, and why"),
    "submit": Command(CLUSTER, "Run any of these on a Ray cluster, through Ray Jobs"),
}

app = App(
    name="reelmill",
    help=(
        "From raw video to a text-to-video training run.\n\n"
        "Start with `reelmill demo --out out/demo`. `reelmill COMMAND --help` says what a command takes."
    ),
    help_format="plaintext",
    default_parameter=Parameter(negative=(), json_list=False, allow_repeating=True),
    version=lambda: importlib.metadata.version("reelmill"),
    group_commands=SHELL,
)
for number, (name, command) in enumerate(COMMANDS.items()):
    app.command(f"jobs.{name}:{name}", name=name, help=command.line, group=command.group, sort_key=number)
app.register_install_completion_command(group=SHELL, help="Complete words with the Tab key, in bash, zsh or fish.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, or what follows the program's name; returns the exit status."""
    # vLLM, Ray and FFmpeg each announce themselves; the user asked for none of it.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words[0] if words and words[0] in COMMANDS else ""
    location = ""
    try:
        call, bound, _ = app.parse_args(words, print_error=False, exit_on_error=False)
        location = bound.arguments.get("dataset") or bound.arguments.get("out") or ""
        status = _print_help(name, bound) if call == app.help_print and name else call(*bound.args, **bound.kwargs)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (whatever ends a job is told in one line)
        return refusal(f"reelmill {name}".strip(), error, str(location))
    return status if isinstance(status, int) else 0


def _print_help(name: str, bound: BoundArguments) -> None:
    """Print all that a command's docstring says, its arguments, and the recipe's keys that it reads."""
    command = app[name]
    if command.default_command:
        command.help = None  # type: ignore[assignment]  # the overview's line gives way to the docstring
        command.help_format = "markdown"  # which joins the lines of a paragraph; the overview is faster without
    app.help_print(*bound.args, **bound.kwargs)
    if COMMANDS[name].reads:
        from jobs.console.recipe_text import print_recipe_keys  # imports what the overview does without

        print_recipe_keys(COMMANDS[name].reads)


def run_job(name: str, arguments: Sequence[str] | None = None) -> int:
    """Run one command with what follows its name; `python -m jobs.NAME` enters here."""
    own, other = importlib.metadata.version("reelmill"), os.environ.get(SUBMITTED_BY)
    if other and other != own:
        print(f"reelmill {name}: version {own} here, {other} where the job was submitted", file=sys.stderr)
    return main([name, *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
