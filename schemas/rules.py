"""Rules: a column, what it may be, and the reason to give when it is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import pyarrow as pa
from pydantic.dataclasses import dataclass

from schemas.columns import arrow_fields
from schemas.contradiction import CONTRADICTS_CAMERA
from schemas.strict import STRICT
from schemas.tables.caption_identity import IdentityChecks
from schemas.tables.captions import CAPTIONS
from schemas.tables.clips import CLIPS
from schemas.tables.measures import CLIP_MEASURES

Bound = Literal["min", "max"]

DUPLICATE_RANK = pa.field(
    "duplicate_rank",
    pa.int32(),
    metadata={"doc": "place among the clips that show the same and pass all other rules, 0 the one kept", "unit": ""},
)

CLIP_COLUMNS = pa.schema(
    [*CLIPS.schema, *(field for row_type in CLIP_MEASURES.values() for field in arrow_fields(row_type)), DUPLICATE_RANK]
)
"""The columns that rules on clips may name: those of a clip, of every measure, and of the groups of duplicates."""
CAPTION_COLUMNS = pa.schema([*CAPTIONS.schema, CONTRADICTS_CAMERA, *arrow_fields(IdentityChecks)])
"""The columns that rules on captions may name."""


@dataclasses.dataclass(frozen=True)
class Threshold:
    """One bound of a rule: values below a `min` or above a `max` are rejected."""

    column: str
    bound: Bound
    value: float
    reason: str
    source: str = ""

    def rejects(self, value: float | None) -> bool:
        if value is None:
            return False
        return not (value >= self.value if self.bound == "min" else value <= self.value)  # NaN passes no rule


@dataclass(frozen=True, config=STRICT)
class Rule:
    """Reject values of a column outside [min, max], or those in `reject`.

    A null score is not judged: it has no meaning for that row. One that is no number (NaN) passes no rule. What was
    never measured is another matter: it leaves the row pending (`pipeline/rules`).
    """

    column: str
    """Column of the clips or captions table whose values are judged; schemas/README.md lists them with units."""
    reason: str
    """Word that is stored with what the rule rejects."""
    min: float | None = None
    """Smallest value that is kept, in the column's unit."""
    max: float | None = None
    """Largest value that is kept, in the column's unit."""
    reject: tuple[str, ...] = ()
    """Values that are rejected, for a column of text; goes without min and max."""
    source: str = ""
    """Where the bounds come from: a paper, a peer, or a measurement."""

    @property
    def thresholds(self) -> list[Threshold]:
        """The bounds that it has."""
        bounds: dict[Bound, float | None] = {"min": self.min, "max": self.max}
        return [
            Threshold(self.column, bound, value, self.reason, self.source)
            for bound, value in bounds.items()
            if value is not None
        ]

    def rejects(self, row: Mapping[str, Any]) -> bool:
        """Whether the rule rejects one row."""
        value = row[self.column]
        return value in self.reject or any(threshold.rejects(value) for threshold in self.thresholds)

    @property
    def rejects_sql(self) -> str:
        """The same of rows of a table, as SQL that is true or false."""
        if self.reject:
            texts = ", ".join("'" + text.replace("'", "''") + "'" for text in self.reject)
            return f"coalesce({self.column} in ({texts}), false)"
        number = f"{self.column}::double"
        signs = {"min": "<", "max": ">"}
        outside = [f"{number} {signs[bound.bound]} {bound.value!r}" for bound in self.thresholds]
        return f"coalesce({' or '.join([*outside, f'isnan({number})'])}, false)"

    def problem(self, schema: pa.Schema) -> str | None:
        """What is wrong with the rule for tables of this schema, as it follows the rule's key; or None."""
        if self.column not in schema.names:
            return f".column: no column {self.column!r}"
        arrow_type = schema.field(self.column).type
        if self.reject:
            if not pa.types.is_string(arrow_type):
                return f".reject: column {self.column!r} is no text"
            return ": reject goes without min and max" if (self.min, self.max) != (None, None) else None
        if not (pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type) or pa.types.is_boolean(arrow_type)):
            return f".column: column {self.column!r} is no number"
        if self.min is None and self.max is None:
            return ": neither min nor max"
        if self.min is not None and self.max is not None and self.min > self.max:
            return f": min {self.min:g} is above max {self.max:g}"
        return None

    def __str__(self) -> str:
        if self.reject:
            return f"{self.column} not {' or '.join(self.reject)}"
        if self.min is None:
            return f"{self.column} <= {self.max:g}"
        return (
            f"{self.column} >= {self.min:g}" if self.max is None else f"{self.min:g} <= {self.column} <= {self.max:g}"
        )


def reasons_against(rules: Mapping[str, Rule], row: Mapping[str, Any]) -> list[str]:
    """Every reason that applies to a row, in the order of the rules, without repeats."""
    return list(dict.fromkeys(rule.reason for rule in rules.values() if rule.rejects(row)))
