"""Writing decisions: those that differ from the ones before, and no others.

A row without a decision is pending. That it waits is written only where a decision stood before, as one without a
status: so no decision in the tables says of a clip that is kept now that it is pending.
"""

from __future__ import annotations

import time

from pipeline.rules.judging import Verdicts
from pipeline.store.dataset import Dataset
from schemas.identity import digest
from schemas.recipe import Recipe
from schemas.tables.clips import PENDING


def write_decisions(dataset: Dataset, verdicts: Verdicts, recipe: Recipe) -> int:
    """Write what has changed since the rows were last judged; returns how many rows that is.

    Args:
        verdicts: made in a connection to this data set.
    """
    subject = verdicts.subject
    keys = ", ".join(subject.key)
    facts = f"'{digest(subject.decisions.name, *subject.settings(recipe))}' as rules_fingerprint"
    stamps = f"'{dataset.run_id}' as run_id, {time.time_ns() // 1000} as written_us"
    rows = verdicts.connection.sql(
        f"""
        select {keys}, {facts}, nullif(status, '{PENDING}') as status, reasons, {stamps}
        from {verdicts.table}
        where (status, reasons) is distinct from (old_status, old_reasons)
          and not (status = '{PENDING}' and old_status = '{PENDING}' and len(old_reasons) = 0)
        order by {keys}
        """
    )
    return dataset.append(subject.decisions, rows)
