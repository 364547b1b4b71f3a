"""Our SQL files, and what every step of an update does with a connection.

What lives here: reading the files, the macros and views that they share, temporary tables of rows, and the few values
that the database keeps for the next update (``meta.state``). What does not: any step of an update.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from warehouse.duck import packaged_sql
from warehouse.money import MACROS
from warehouse.schema import Table

_HERE = Path(__file__).parents[1]
FOLDERS = ("views", "marts", "tie_outs")
VIEWS = ("extension_department", "first_call", "listed_charge")  # one that reads another comes after it


def read(name: str) -> str:
    """The text of ``warehouse/<name>.sql``."""
    return packaged_sql(_HERE, name)


def read_mart(mart: Table) -> str:
    return read(f"marts/{mart.name}")


def names() -> list[str]:
    """The names of all SQL that an update reads."""
    paths = [*_HERE.glob("*.sql"), *(path for folder in FOLDERS for path in (_HERE / folder).glob("*.sql"))]
    return sorted(path.relative_to(_HERE).with_suffix("").as_posix() for path in paths)


def all_text() -> str:
    """All that decides how a figure is derived, to be compared with what derived those that there are."""
    return "\n".join((MACROS, *(read(name) for name in names())))


def make_rules(db: duckdb.DuckDBPyConnection) -> None:
    """The macros and views that several statements ask for."""
    db.execute(MACROS)
    db.execute(read("rules"))
    for name in VIEWS:
        db.execute(f"CREATE TEMP VIEW {name} AS {read(f'views/{name}')}")


def make_table(db: duckdb.DuckDBPyConnection, name: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
    """A temporary table of rows; by whole columns, since a statement for each row takes a millisecond."""
    db.execute(f"CREATE TEMP TABLE {name} ({columns})")
    if rows:
        texts = [[None if value is None else str(value) for value in column] for column in zip(*rows, strict=True)]
        db.execute(f"INSERT INTO {name} SELECT {', '.join('unnest(?::VARCHAR[])' for _ in texts)}", texts)


def columns_of(table_: Table) -> str:
    """The columns of a table as SQL declares them."""
    return ", ".join(f'"{column.name}" {column.type}' for column in table_.columns)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def get_state(db: duckdb.DuckDBPyConnection, name: str) -> str | None:
    row = db.execute("SELECT value FROM meta.state WHERE name = ?", [name]).fetchone()
    return str(row[0]) if row else None


def set_state(db: duckdb.DuckDBPyConnection, name: str, value: str) -> None:
    if get_state(db, name) != value:
        db.execute("DELETE FROM meta.state WHERE name = ?", [name])
        db.execute("INSERT INTO meta.state VALUES (?, ?)", [name, value])


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
