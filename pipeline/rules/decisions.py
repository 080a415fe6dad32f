"""Writing decisions: those that differ from the ones before, and no others."""

from __future__ import annotations

import time

from pipeline.rules.judging import Verdicts
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas.identity import digest
from schemas.recipe import Recipe


def write_decisions(dataset: Dataset, verdicts: Verdicts, recipe: Recipe) -> int:
    """Write what has changed since the rows were last judged; returns how many rows that is."""
    subject = verdicts.subject
    current = connect(dataset).sql(f"select {', '.join(subject.key)}, status, reasons from {subject.view}")
    before = {
        tuple(row[name] for name in subject.key): (row["status"], row["reasons"])
        for row in current.to_arrow_table().to_pylist()
    }
    facts = {
        "rules_fingerprint": digest(subject.decisions.name, *subject.settings(recipe)),
        "written_us": time.time_ns() // 1000,
    }
    rows = [
        {**dict(zip(subject.key, key, strict=True)), **facts, "status": status, "reasons": reasons}
        for key, status, reasons in zip(verdicts.keys, verdicts.statuses, verdicts.reasons, strict=True)
        if before[key] != (status, reasons)
    ]
    dataset.write_part(subject.decisions, rows)
    return len(rows)
