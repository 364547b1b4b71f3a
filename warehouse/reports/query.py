"""Reading the published database for a report: opened read-only, asked with a month's bounds, answered in our types.

What lives here: the connection and how its values become a report's. What does not: what is asked (``content``,
``proof``).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from tollbook_errors import ContractError
from warehouse.duck import connect
from warehouse.reports.model import Column, Kind, Row, Value
from warehouse.text import printable

BATCH = 10_000


class Reader:
    """The published database and the month asked about.

    SQL may name ``$first`` and ``$next`` (the month's first day and the next month's), ``$before`` (the first day of
    the month before), ``$zone`` and whatever is added to ``parameters``.
    """

    def __init__(self, database: Path, month: date, timezone: str, scratch: Path) -> None:
        self.first = month.replace(day=1)
        self.next = next_month(self.first)
        self.zone = ZoneInfo(timezone)
        self.parameters: dict[str, Any] = {
            "first": self.first,
            "next": self.next,
            "before": month_before(self.first),
            "zone": timezone,
        }
        try:
            self._connection = connect(database, read_only=True, spill=scratch / "spill")
        except duckdb.Error as error:
            raise ContractError(
                "the published database cannot be opened", endpoint=database.name, hint="run tollbook load"
            ) from error

    def close(self) -> None:
        with suppress(duckdb.Error):
            self._connection.close()

    @contextmanager
    def _asking(self, relations: Mapping[str, pa.Table]) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of its own for one question, in which ``relations`` have their names."""
        cursor = self._connection.cursor()
        try:
            for name, relation in relations.items():
                cursor.register(name, relation)
            yield cursor
        except duckdb.Error as error:
            raise ContractError(
                "the published database does not have the form this report reads", hint="run tollbook rebuild"
            ) from error
        finally:
            cursor.close()

    def stream(self, sql: str, **relations: pa.Table) -> Iterator[tuple[Any, ...]]:
        """The answer to ``sql`` as DuckDB gives it, a batch at a time; ``sql`` may also name ``relations``."""
        with self._asking(relations) as cursor:
            cursor.execute(sql, self._used(sql))
            while batch := cursor.fetchmany(BATCH):
                yield from batch

    def all(self, sql: str, **relations: pa.Table) -> list[tuple[Any, ...]]:
        return list(self.stream(sql, **relations))

    def table(self, sql: str, **relations: pa.Table) -> pa.Table:
        """The answer as Arrow, whole; ``sql`` is a SELECT, and may also name ``relations``."""
        with self._asking(relations) as cursor:
            return cursor.sql(sql, params=self._used(sql)).to_arrow_table()

    def _used(self, sql: str) -> dict[str, Any]:
        return {name: value for name, value in self.parameters.items() if f"${name}" in sql}

    def one(self, sql: str) -> tuple[Any, ...]:
        """The first row of the answer, which has one."""
        return self.all(sql)[0]

    def row(self, answer: Sequence[Any], columns: Sequence[Column]) -> Row:
        """DuckDB's values as a report's; a DATETIME comes as microseconds since 1970 (``epoch_us``)."""
        return tuple(self._value(value, column) for value, column in zip(answer, columns, strict=True))

    def _value(self, value: Any, column: Column) -> Value:
        if isinstance(value, str):
            return printable(value)
        if column.kind is Kind.DATETIME and isinstance(value, int):
            seconds, micros = divmod(value, 1_000_000)
            return datetime.fromtimestamp(seconds, self.zone).replace(microsecond=micros)
        return value  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Query:
    """Rows that are read from the database each time they are gone through: as many as there are, none in memory."""

    reader: Reader
    sql: str
    columns: tuple[Column, ...]

    def __iter__(self) -> Iterator[Row]:
        return (self.reader.row(answer, self.columns) for answer in self.reader.stream(self.sql))


def next_month(first: date) -> date:
    """The first day of the month after the one that begins on ``first``."""
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)


def month_before(first: date) -> date:
    """The first day of the month before the one that begins on ``first``."""
    return date(first.year - (first.month == 1), (first.month - 2) % 12 + 1, 1)
