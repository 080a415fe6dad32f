"""`make mutants`: does a test turn red when the code is wrong?

Runs every named fault and a seeded sample of the systematic mutants, and prints how many were killed and which
survived. Exit status: 0 if every mutant was killed or has a reason to live; 1 if not, or if a table is stale.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.rooms import FOLDER, Room, StaleTable, read_room
from tests.mutants.runner import BrokenTests, Outcome, import_slow_libraries, run_mutants

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("rooms", nargs="*", help="tables in tests/mutants/rooms; default: all")
    parser.add_argument("--count", type=int, default=300, help="systematic mutants to draw (default: %(default)s)")
    parser.add_argument("--all", action="store_true", help="every systematic mutant")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    parser.add_argument("--file", action="append", help="only mutants of this source file")
    parser.add_argument("--jobs", type=int, default=2, help="mutants tested side by side (default: %(default)s)")
    args = parser.parse_args(arguments)
    tables = [FOLDER / f"{name}.toml" for name in args.rooms] or sorted(FOLDER.glob("*.toml"))
    import_slow_libraries()
    start_s = time.monotonic()
    try:
        rooms = [read_room(ROOT, table) for table in tables]
        with tempfile.TemporaryDirectory(prefix="reelmill-mutants-") as folder:
            outcomes = _run(rooms, args, Path(folder))
    except (StaleTable, BrokenTests) as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 1
    return report(rooms, outcomes, time.monotonic() - start_s)


def _run(rooms: list[Room], args: argparse.Namespace, folder: Path) -> list[Outcome]:
    """Test the named faults and the drawn mutants, with a line on each as it ends."""
    faults = [m for room in rooms for m in room.faults]
    systematic = [m for room in rooms for m in room.systematic]
    if args.file:
        faults = [m for m in faults if m.file in args.file]
        systematic = [m for m in systematic if m.file in args.file]
    if not args.all:
        systematic = random.Random(args.seed).sample(systematic, min(args.count, len(systematic)))
    outcomes = []
    mutants = faults + systematic
    for outcome in run_mutants(ROOT, folder, mutants, args.jobs):
        outcomes.append(outcome)
        mutant = outcome.mutant
        what = mutant.breaks or f"{mutant.was}  ->  {mutant.becomes}"
        print(f"[{len(outcomes)}/{len(mutants)}] {outcome.fate}: {mutant.file}:{mutant.line}: {what}", flush=True)
    return outcomes


def report(rooms: Sequence[Room], outcomes: Sequence[Outcome], seconds: float) -> int:
    """Print the table and the survivors; the exit status."""
    survived = [o for o in outcomes if o.fate == "survived"]
    reasons = {o: next((why for room in rooms if (why := room.reason(o.mutant))), None) for o in survived}
    totals, alive = Counter(o.mutant.file for o in outcomes), Counter(o.mutant.file for o in survived)
    print("\nmutants  killed  file")
    for file, count in sorted(totals.items()):
        print(f"{count:7}  {count - alive[file]:6}  {file}")
    killed = len(outcomes) - len(survived)
    stuck = sum(o.fate == "stuck" for o in outcomes)
    for title, chosen in (
        ("let live", [o for o in survived if reasons[o]]),
        ("SURVIVED", [o for o in survived if not reasons[o]]),
    ):
        for outcome in chosen:
            mutant = outcome.mutant
            print(f"\n{title}: {mutant.file}:{mutant.line}\n  - {mutant.was}\n  + {mutant.becomes}")
            if said := mutant.breaks or reasons[outcome]:
                print(f"  {said}")
    unexplained = sum(reasons[o] is None for o in survived)
    cpu_s = sum(o.cpu_s for o in outcomes)
    print(
        f"\n{len(outcomes)} mutants, {killed} killed ({killed / max(len(outcomes), 1):.1%}; {stuck} of them stuck), "
        f"{len(survived) - unexplained} let live for a reason, {unexplained} SURVIVED; "
        f"{seconds:.0f} s, {cpu_s:.0f} s of CPU"
    )
    return int(unexplained > 0)


if __name__ == "__main__":
    sys.exit(main())
