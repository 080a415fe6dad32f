"""Tables declared once, as dataclasses whose fields carry Arrow type, unit and meaning.

From one declaration come the row type, the Arrow and Parquet schema (doc and unit as field metadata), the DuckDB
view column and a line of the schema page. Encoding is strict: an unknown key, a missing key, or a null in a column
that allows none is an error that names the table, the column and the row.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa


class SchemaError(ValueError):
    """A row that does not fit its table."""


def column(arrow_type: pa.DataType, doc: str, *, unit: str = "") -> Any:
    """Declare a dataclass field as a table column."""
    return dataclasses.field(metadata={"arrow": arrow_type, "doc": doc, "unit": unit})


FAILED_FOR_NOW = "the failure lies in the world and not in the content, so it is tried again at the next run"
FAILED_SO_OFTEN = "how often it has failed in this way, this time included; null if it did not"


def _allows_null(annotation: Any) -> bool:
    return type(None) in typing.get_args(annotation)


def arrow_fields(row_type: type) -> list[pa.Field]:
    """The columns that a row type declares, in order."""
    hints = typing.get_type_hints(row_type)
    return [
        pa.field(
            f.name,
            f.metadata["arrow"],
            nullable=_allows_null(hints[f.name]),
            metadata={"doc": f.metadata["doc"], "unit": f.metadata["unit"]},
        )
        for f in dataclasses.fields(row_type)
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stamp:
    """When a row was written, and by which run; the last columns of every table but the frozen ones."""

    run_id: str | None = column(pa.string(), "the run that wrote the row: the name of its file under `runs/`")
    written_us: int | None = column(
        pa.int64(), "when it was written, Unix time; the newest row of a key counts", unit="us"
    )


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a data set: a row type, where its part files live, and the columns that identify a row."""

    row_type: type
    folder: str
    key: tuple[str, ...]
    parts: tuple[type, ...] = ()
    """Row types whose columns follow those of `row_type`."""
    formerly: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    """Former names of columns, which part files written before still have, with the names of now."""
    former_columns: Mapping[str, pa.DataType] = dataclasses.field(default_factory=dict, hash=False)
    """Columns that part files written before have and rows of now do not."""
    recovered: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    """Columns of now whose values in rows written before follow from those: SQL of each."""
    is_stamped: bool = True
    """Whether rows say when and by which run they were written, so that of several rows of a key the newest counts."""

    @property
    def name(self) -> str:
        return self.folder.split("/")[0]

    @property
    def schema(self) -> pa.Schema:
        stamps = (Stamp,) if self.is_stamped else ()
        fields = [field for part in (self.row_type, *self.parts, *stamps) for field in arrow_fields(part)]
        return pa.schema(fields, metadata={"reelmill.table": self.name})

    @property
    def stored_schema(self) -> pa.Schema:
        """The columns that part files may have: those of now, and behind them those of rows written before."""
        schema = self.schema
        for former, name in self.formerly.items():
            schema = schema.append(schema.field(name).with_name(former).with_nullable(True))
        for name, arrow_type in self.former_columns.items():
            schema = schema.append(pa.field(name, arrow_type))
        return schema

    @property
    def former_names(self) -> list[str]:
        """Columns that only rows written before have."""
        return [*self.formerly, *self.former_columns]

    def sql_of_now(self, query: str, names: Sequence[str] | None = None) -> str:
        """SQL of the columns of now, from a query for those of `stored_schema`.

        Args:
            names: the columns of now that the query gives; all by default.
        """
        hidden = self.former_names
        if not hidden:
            return query
        values = {**{name: former for former, name in self.formerly.items()}, **self.recovered}
        some = {name: value for name, value in values.items() if names is None or name in names}
        replaced = ", ".join(f"coalesce({name}, {value}) as {name}" for name, value in some.items())
        return f"select * exclude ({', '.join(hidden)}) replace ({replaced}) from ({query})"

    def encode(self, rows: Iterable[Mapping[str, Any]], *, run_id: str = "", written_us: int = 0) -> pa.Table:
        """Build an Arrow table from row mappings.

        Args:
            run_id, written_us: stamps of rows that do not bring their own.
        Raises:
            SchemaError: unknown or missing key, null where none is allowed, or a value of the wrong type.
        """
        schema = self.schema
        names = set(schema.names)
        stamp = {"run_id": run_id, "written_us": written_us} if self.is_stamped else {}
        rows = [dict(row) | {name: value for name, value in stamp.items() if row.get(name) is None} for row in rows]
        for row in rows:
            self._check(row, schema, names)
        try:
            return pa.Table.from_pylist(rows, schema=schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SchemaError(f"table {self.folder}: {error}") from error

    @property
    def unstamped_names(self) -> list[str]:
        """The columns but for the stamps."""
        stamps = {field.name for field in arrow_fields(Stamp)}
        return [name for name in self.schema.names if name not in stamps]

    def unstamped(self, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        """The same without the stamps, which are given as rows are written."""
        return self.encode(rows).drop_columns([field.name for field in arrow_fields(Stamp)])

    def _check(self, row: Mapping[str, Any], schema: pa.Schema, names: set[str]) -> None:
        if row.keys() != names:
            unknown, missing = sorted(row.keys() - names), sorted(names - row.keys())
            raise SchemaError(f"table {self.folder}: unknown columns {unknown}, missing columns {missing}")
        for field in schema:
            if not field.nullable and row[field.name] is None:
                raise SchemaError(f"table {self.folder}: column {field.name!r} is null in row {self.key_of(row)}")

    def key_of(self, row: Mapping[str, Any]) -> tuple:
        return tuple(row.get(name) for name in self.key)

    def within(self, subfolder: str) -> Table:
        """The same table in a subfolder of its own, for tables that are kept apart by encoder."""
        return dataclasses.replace(self, folder=f"{self.name}/{subfolder}")
