"""The schema page: every table and column with type, unit and meaning. `python -m schemas.page > schemas/README.md`."""

from __future__ import annotations

from schemas import TABLES
from schemas.columns import Table

HEAD = """# Tables of a data set

Made by `python -m schemas.page`; the declarations beside this file are the source.
"""


def schema_page() -> str:
    """Markdown for all tables."""
    return "\n".join([HEAD, *map(_section, TABLES)])


def _section(table: Table) -> str:
    doc = " ".join((part.__doc__ or "").strip() for part in (table.row_type, *table.parts))
    lines = [f"## {table.folder}\n", doc, "", f"Key: {', '.join(table.key)}.", ""]
    lines += ["| column | type | unit | null | meaning |", "|---|---|---|---|---|"]
    for field in table.schema:
        metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        null = "yes" if field.nullable else ""
        lines.append(f"| `{field.name}` | {field.type} | {metadata['unit']} | {null} | {metadata['doc']} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(schema_page(), end="")
