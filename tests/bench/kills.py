"""`python -m tests.bench.kills [--job encode]`: a job killed at random moments, and what its data sets hold in the end.

Each data set is curated from a few synthetic videos; for `encode`, one that has been curated and released is copied. A
run is killed after a random time: its whole process group, or one random process below it, as when a worker runs out of
memory. Then another run starts, which is killed too or not, until one ends with exit status 0. The newest rows of the
data set must be those of one that nobody disturbed. Where they are not, a passing failure may be left for the next run:
one more is made, which is told. Of two files with the same bytes either may be the one that was read. Nothing was tuned
on this.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.store.dataset import Dataset
from pipeline.synthetic.corpus import draw_corpus
from tests.jobs.conftest import FEW_FILES, SCRIPTED, said_of
from tests.newest_rows import Rows, newest_rows
from tests.pipeline.caption.serving import ScriptedServer, completion

RELEASE = "v1"
COPIES = ("00_cuts.mp4", "copy_exact.mp4")
"""Two files with the same bytes."""
MOST_KILLS = 4
"""Of one data set, so that several are begun anew."""
HUNG_S = 900.0
"""A run that takes longer is killed as hung, which is told."""
RECIPE = f"{SCRIPTED}batch_clips = 2\n[limits]\nmax_failures = 100\n"
"""Captions that only the frames decide. A killed worker is a failure of the world, which must not be given up here."""


def curate(dataset: Path) -> list[str]:
    folder = dataset.parent
    options = ["--out", str(dataset), "--recipe", str(folder / "recipe.toml")]
    return [sys.executable, "-m", "jobs.curate", str(folder / "in"), *options]


def encode(dataset: Path) -> list[str]:
    return [sys.executable, "-m", "jobs.encode", str(dataset), "--release", RELEASE]


def release(dataset: Path) -> None:
    """Curate a data set and release it, undisturbed."""
    log = dataset.with_suffix(".log")
    assert end(started(curate(dataset), log)) == 0
    assert end(started([sys.executable, "-m", "jobs.release", str(dataset), RELEASE], log)) == 0


JOBS: dict[str, tuple[Callable[[Path], list[str]], Callable[[Path], None] | None]] = {
    "curate": (curate, None),
    "encode": (encode, release),
}
"""The command that is killed, and what makes the data set that it starts from, if there is one."""


def started(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)


def below(pid: int) -> list[int]:
    """The processes that descend from one."""
    found = [pid]
    for parent in found:
        with suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found[1:]


def kill_one(run: subprocess.Popen[bytes], draw: random.Random) -> str:
    """Kill the whole run or one process of it; returns which."""
    workers = below(run.pid)
    if draw.random() < 0.5 or not workers:
        kill_all(run, workers)
        return "the run"
    with suppress(ProcessLookupError):
        os.kill(draw.choice(workers), signal.SIGKILL)
    return "a process"


def kill_all(run: subprocess.Popen[bytes], workers: Sequence[int]) -> None:
    for pid in (run.pid, *workers):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    run.wait()


def end(run: subprocess.Popen[bytes]) -> int:
    """Wait for a run; returns its exit status."""
    try:
        return run.wait(HUNG_S)
    except subprocess.TimeoutExpired:
        print(f"  process {run.pid} has hung", flush=True)
        kill_all(run, below(run.pid))
        return run.returncode


def disturbed(command: Sequence[str], dataset: Path, most_kills: int, whole_s: float, draw: random.Random) -> int:
    """Run a command on a data set until it ends well; returns how often it was disturbed."""
    num_kills = 0
    while True:
        run = started(command, dataset.with_suffix(".log"))
        if num_kills < most_kills:
            with suppress(subprocess.TimeoutExpired):
                run.wait(draw.uniform(0, whole_s))
            if run.poll() is None:
                num_kills += 1
                print(f"  {dataset.name}: kill {num_kills}, {kill_one(run, draw)}", flush=True)
        if end(run) == 0:
            return num_kills


def copies_exchanged(rows: Rows) -> Rows:
    """The rows of a data set that has read the other one of two files with the same bytes."""
    one, other = COPIES
    names = {one: other, other: one}
    return {
        table: sorted((tuple(names.get(v, v) if isinstance(v, str) else v for v in row) for row in found), key=repr)
        for table, found in rows.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--job", choices=JOBS, default="curate")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    draw = random.Random(options.seed)
    server = ScriptedServer(lambda asked, before: (200, completion(said_of(asked))))
    with tempfile.TemporaryDirectory(prefix="reelmill-kills-") as name, server.listening() as url:
        folder = Path(name)
        (folder / "recipe.toml").write_text(RECIPE.format(url=url))
        draw_corpus(folder / "corpus")
        inputs = folder / "in"
        inputs.mkdir()
        for file in FEW_FILES:
            (inputs / file).symlink_to(folder / "corpus" / "videos" / file)
        command, prepare = JOBS[options.job]
        whole, fresh = folder / "whole", folder / "fresh"
        if prepare:
            prepare(fresh)
            shutil.copytree(fresh, whole)
        start_s = time.monotonic()
        assert end(started(command(whole), folder / "whole.log")) == 0
        whole_s = time.monotonic() - start_s
        print(f"undisturbed: {whole_s:.0f} s", flush=True)
        expected = newest_rows(Dataset(str(whole)))
        equal = expected, copies_exchanged(expected)
        num_kills = num_sets = num_again = num_unequal = 0
        while num_kills < options.kills:
            dataset = folder / f"set-{num_sets}"
            if prepare:
                shutil.copytree(fresh, dataset)
            most_kills = min(MOST_KILLS, options.kills - num_kills)
            num_kills += disturbed(command(dataset), dataset, most_kills, whole_s, draw)
            num_sets += 1
            found = newest_rows(Dataset(str(dataset)))
            if found not in equal:
                num_again += 1
                assert end(started(command(dataset), dataset.with_suffix(".log"))) == 0
                found = newest_rows(Dataset(str(dataset)))
            if found not in equal:
                num_unequal += 1
                others = [table for table in {*found, *expected} if found.get(table) != expected.get(table)]
                print(f"  {dataset.name}: differs in {', '.join(sorted(others))}", flush=True)
    print(
        f"{num_kills} kills in {num_sets} data sets; {num_again} had a passing failure left, which one more run was to "
        f"mend; {num_unequal} not equal"
    )


if __name__ == "__main__":
    main()
