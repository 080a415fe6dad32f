"""`reelmill recaption`: other captions for the clips that are kept."""

from __future__ import annotations

import sys

from jobs.cli import run_job
from jobs.console.options import NO_CHANGES, DatasetLocation, Json, RecipeOptions, RetryFailed
from jobs.console.summary import print_json
from jobs.steps.captioning import require_captioner, tell_of_builtin
from jobs.steps.curation import Curation
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas.errors import UsageError


def recaption(
    dataset: DatasetLocation,
    /,
    *,
    options: RecipeOptions = NO_CHANGES,
    retry_failed: RetryFailed = False,
    json: Json = False,
) -> None:
    """Write new captions for the kept clips of a data set; nothing else is done, and old captions stay beside them.

    A caption that is there already, by the same captioner with the same settings, is not written again. All captions
    are judged by the caption rules of this run.
    """
    tables = Dataset(dataset).require()
    recipe = options.over(tables)
    if recipe.caption.backend == "none":
        raise UsageError(f"recipe {recipe.name}: caption.backend = 'none' writes no captions")
    require_captioner(recipe)
    with tables.writing("recaption"):
        curation = Curation(tables, recipe, lambda: tell_of_builtin(recipe), "recaption", retry_failed)
        num_clips, num_judged = curation.recaption()
    totals = dict(
        connect(tables).sql("select status, count(*) from captions group by status order by status").fetchall()
    )
    if json:
        summary = {"dataset": tables.location, "captioned": num_clips, "judged_otherwise": num_judged}
        print_json(summary | {"captions": totals, "stages": curation.stages})
        return
    in_all = ", ".join(f"{n} {s}" for s, n in totals.items())
    print(f"{num_clips} clips captioned, {num_judged} captions judged otherwise; captions in all: {in_all}")


if __name__ == "__main__":
    sys.exit(run_job("recaption"))
