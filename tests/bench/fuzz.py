"""Reads damaged video files as curation does: `python -m tests.bench.fuzz --files 5000`.

Each file is an intact one (`fuzz_seeds`) with damage (`pipeline.synthetic.mutations`) that depends on the seed and the
file's number only, so a finding can be reproduced with `--seed S --first N --files 1`. Two sandboxed processes read the
files. Every file must become a row with a reason, or rows that fit the tables; an exception is an error in Reelmill.
Prints a table of outcomes, and writes `out/fuzz.json`. Exit status 1: there was an exception.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.ingest.sandbox import CRASHED, HUNG, OUT_OF_MEMORY, ChildDied, IsolatedWorker
from pipeline.synthetic.mutations import mutate, splice
from tests.bench.fuzz_reading import LIMITS, read_file
from tests.bench.fuzz_seeds import make_seeds

NUM_PROCESSES = 2
SPLICED_FRAC, MISNAMED_FRAC = 0.05, 0.05
SLOW_S = 5.0
"""Files that take longer are reported, as those that crash are."""


@dataclass(frozen=True)
class Finding:
    """A file that crashed, hung, was slow, or raised."""

    number: int
    name: str
    damage: str
    outcome: str
    detail: str
    seconds: float

    @property
    def is_row(self) -> bool:
        """Whether it became rows of the tables: no exception, and the process that read it did not die."""
        return not self.outcome.startswith(("raised ", CRASHED, HUNG, OUT_OF_MEMORY))

    @property
    def kind(self) -> str:
        """Outcome and, for an exception, the innermost line of its traceback and its message."""
        place = [line.strip() for line in self.detail.splitlines() if line.startswith("  File")][-1:]
        return " ".join([self.outcome, *place, *self.detail.splitlines()[-1:]])


@dataclass
class Tally:
    """The outcomes of all files."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    by_seed: dict[str, Counter[str]] = field(default_factory=dict)
    longest_s: float = 0.0

    @property
    def num_raised(self) -> int:
        return sum(count for outcome, count in self.outcomes.items() if outcome.startswith("raised "))


def damaged(seeds: list[Path], seed: str, number: int) -> tuple[str, str, bytes]:
    """File number `number`: its name, its damage in words, and its bytes."""
    rng = random.Random(f"fuzz-{seed}-{number}")
    source = rng.choice(seeds)
    data, suffix, steps = source.read_bytes(), source.suffix, []
    if rng.random() < SPLICED_FRAC:
        other = rng.choice(seeds)
        data = splice(data, other.read_bytes(), rng)
        steps.append(f"splice({other.name})")
    if rng.random() < MISNAMED_FRAC:
        suffix = rng.choice(seeds).suffix
        steps.append(f"name({suffix})")
    damage, data = mutate(data, rng)
    return f"{source.stem}{suffix}", "+".join([*steps, damage]), data


def read_damaged(worker: IsolatedWorker, path: Path) -> tuple[str, str]:
    """Outcome and detail of reading one file."""
    try:
        return worker.call(read_file, str(path)), ""
    except ChildDied as death:
        return death.reason, death.detail
    except Exception as error:  # noqa: BLE001 - any exception that a file causes is a finding
        return f"raised {type(error).__name__}", "\n".join([str(error), *getattr(error, "__notes__", [])])


def fuzz(
    seeds: list[Path], seed: str, numbers: range, *, keep: Path | None = None, limit_s: float = float("inf")
) -> Tally:
    """Read damaged files in sandboxed processes, until all are read or the time is up."""
    tally = Tally()
    waiting = iter(numbers)
    end_s = time.monotonic() + limit_s

    def work(folder: str) -> None:
        with IsolatedWorker(LIMITS) as worker:
            for number in waiting:  # both threads share this iterator, which a range's iterator allows
                if time.monotonic() > end_s:
                    return
                name, damage, data = damaged(seeds, seed, number)
                path = Path(folder) / f"{number:06d}_{name}"
                path.write_bytes(data)
                start_s = time.monotonic()
                outcome, detail = read_damaged(worker, path)
                seconds = time.monotonic() - start_s
                if _note(tally, Finding(number, name, damage, outcome, detail, round(seconds, 3))) and keep is not None:
                    shutil.copy(path, keep / path.name)
                path.unlink()

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(NUM_PROCESSES) as pool:
        for other in seeds:  # playlists refer to these files
            shutil.copy(other, folder)
        for done in [pool.submit(work, folder) for _ in range(NUM_PROCESSES)]:
            done.result()
    return tally


def _note(tally: Tally, finding: Finding) -> bool:
    """Count an outcome; returns whether the file is to be reported."""
    tally.outcomes[finding.outcome] += 1
    tally.by_seed.setdefault(finding.name, Counter())[finding.outcome] += 1
    tally.longest_s = max(tally.longest_s, finding.seconds)
    is_reported = not finding.is_row or finding.seconds > SLOW_S
    if is_reported:
        tally.findings.append(finding)
    return is_reported


def main() -> int:
    parser = argparse.ArgumentParser(description="Read damaged video files as curation does.")
    parser.add_argument("--files", type=int, default=5000, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first file")
    parser.add_argument("--seed", default="0", metavar="S")
    parser.add_argument("--seconds", type=float, default=float("inf"), metavar="S", help="stop after this time")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep files that crash, hang, are slow or raise")
    args = parser.parse_args()
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
    os.environ["SVT_LOG"] = "0"
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        seeds = make_seeds(Path(folder))
        numbers = range(args.first, args.first + args.files)
        tally = fuzz(seeds, args.seed, numbers, keep=args.keep, limit_s=args.seconds)
    seconds = round(time.monotonic() - start_s, 1)
    report = {"seed": args.seed, "first": args.first, "files": tally.outcomes.total(), "seconds": seconds}
    report |= {"whole_files": len(seeds)} | vars(tally)
    Path("out").mkdir(exist_ok=True)
    Path("out/fuzz.json").write_text(json.dumps(report, indent=1, default=asdict))
    _show(tally, seconds)
    return 1 if tally.num_raised else 0


def _show(tally: Tally, seconds: float) -> None:
    console = Console(highlight=False)
    table = Table("outcome", "files")
    for outcome, count in tally.outcomes.most_common():
        table.add_row(outcome, str(count))
    console.print(table)
    kinds: dict[str, list[Finding]] = {}
    for finding in sorted(tally.findings, key=lambda f: f.number):
        kinds.setdefault(finding.kind, []).append(finding)
    for kind, alike in kinds.items():
        first = alike[0]
        console.print(f"{len(alike)} x {kind}, first {first.number}: {first.name} {first.damage}", markup=False)
    console.print(f"{tally.outcomes.total()} files in {seconds} s; the longest took {tally.longest_s:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
