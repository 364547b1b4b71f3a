"""The data dictionary: every table and column of the public database as one Markdown page.

What lives here: turning the declarations of ``schema`` into ``docs/data-dictionary.md``. What does not: any meaning
of its own: a description is corrected in ``schema``, and with it this page and the database's comments.

    python -m warehouse.dictionary > docs/data-dictionary.md
"""

import sys
from collections.abc import Iterator

from warehouse.schema import TABLES, Table

_SCHEMAS = {
    "core": "What the vendors recorded, typed; and the calls put together from it.",
    "mart": "Sums for questions about usage and cost. Each ties out to the facts it was summed from.",
    "audit": "What was loaded, what was proved, what was restated, what could not be understood.",
}

_HEAD = """\
# Data dictionary

Generated from `warehouse/schema/` by `python -m warehouse.dictionary`; correct a description there. The same words
stand in the database as comments: `SELECT table_name, comment FROM duckdb_tables()`, and `duckdb_columns()`.

Money is DECIMAL(18,6) in the `currency` of its row, and never summed across currencies. NULL is "not known" or "not
rated", never 0. A TIMESTAMPTZ is an instant in UTC. A `*_date` is the business day in the configured zone; an invoice's
`*_on` is the vendor's own date. *Key* is what is unique in a table; columns of a key can be NULL where the column says
so. *Provenance*: `raw_file` and `raw_row` lead from a row back to what the vendor answered.
"""


def dictionary() -> str:
    """The whole page, ending with one newline."""
    return "\n".join([_HEAD, *_contents(), *(line for table in _ordered() for line in _section(table))]).rstrip() + "\n"


def _ordered() -> list[Table]:
    """By schema in the order of a record's way, then as declared."""
    return sorted(TABLES, key=lambda table: list(_SCHEMAS).index(table.schema))


def _contents() -> Iterator[str]:
    for schema, meaning in _SCHEMAS.items():
        yield f"**`{schema}`** {meaning}\n"
        for table in _ordered():
            if table.schema == schema:
                yield f"- [`{table.full_name}`](#{table.full_name.replace('.', '')}): {_cell(table.grain)}"
        yield ""


def _section(table: Table) -> Iterator[str]:
    yield f"## {table.full_name}\n"
    yield f"{_cell(table.grain)}.\n"
    yield f"Key: {', '.join(f'`{name}`' for name in table.key)}. {_rest(table)}\n"
    yield "| column | type | meaning |"
    yield "|---|---|---|"
    for column in table.columns:
        yield f"| `{column.name}` | {column.type} | {_cell(column.comment)} |"
    yield ""


def _rest(table: Table) -> str:
    """Where its rows come from, and what is replaced when they change."""
    made = "Also in the lake, as Parquet" if table.in_lake else "Made in the database"
    by = f"replaced by `{table.date_column}`" if table.date_column else "replaced whole"
    return f"{made}; {by}." if table.full_name != "audit.load" else "Made in the database; only ever added to."


def _cell(text: str) -> str:
    """``text`` where a vertical bar would end the cell."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(dictionary())
