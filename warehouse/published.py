"""Reading the published database, for the command line and for Dagster's metadata.

What lives here: opening the public file as any analyst would, and the few questions that the software itself asks of
it. What does not: writing it (``database``), finance's report (``reports``).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from tollbook_errors import IntegrityError, StorageError
from warehouse.duck import connect
from warehouse.reference_notices import Notice
from warehouse.schema import TABLES

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Movement:
    """What a closed month has done since, in one currency, over all connections.

    ``records`` are the ids of the records restated since with an effect on its cost, ``explained`` the sum of those
    effects in ``currency``. ``shifted`` says that cost is with another account, cost centre or kind of charge than it
    was, though no restated record of its connection says why.
    """

    month: date
    closed_at: datetime
    currency: str
    as_closed: Decimal
    now: Decimal
    moved: Decimal
    records: tuple[str, ...]
    explained: Decimal
    shifted: bool

    @classmethod
    def of(cls, row: Sequence[Any]) -> "Movement":
        """A row that ``MOVEMENTS`` answers with."""
        month, closed_at, currency, as_closed, now, moved, records, explained, shifted = row
        return cls(month, closed_at, currency, as_closed, now, moved, tuple(records), explained, shifted)


def public_file(data_dir: Path) -> Path:
    """Where the published database stands."""
    return data_dir / "tollbook.duckdb"


@contextmanager
def open_public(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The published database, read-only, in UTC. StorageError when there is none, IntegrityError when it is damaged."""
    if not path.exists():
        raise StorageError(f"there is no published database at {path}", hint="run: tollbook load")
    try:
        con = connect(path, read_only=True)
    except duckdb.Error as error:
        raise IntegrityError(f"{path} cannot be opened", hint="run: tollbook rebuild") from error
    try:
        yield con
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise IntegrityError(
            f"{path} has other columns than this version knows", hint="run: tollbook rebuild"
        ) from error
    finally:
        with suppress(duckdb.Error):
            con.close()


def ask_public(path: Path, question: Callable[[duckdb.DuckDBPyConnection], _Answer]) -> _Answer | None:
    """What the published database answers; None where there is none or it cannot be read: publishing mends it."""
    try:
        with open_public(path) as con:
            return question(con)
    except (StorageError, IntegrityError, duckdb.Error):
        return None


def row_counts(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows by full table name."""
    return {t.full_name: con.execute(f"SELECT count(*) FROM {t.full_name}").fetchall()[0][0] for t in TABLES}


def costs(con: duckdb.DuckDBPyConnection, days: Sequence[date]) -> list[tuple[str, str, Decimal]]:
    """(connection, currency, cost) over the business days from the first to the last of ``days``."""
    if not days:
        return []
    return con.execute(
        "SELECT connection, currency, sum(cost) FROM mart.cost_daily WHERE cost_date BETWEEN ? AND ?"
        " AND cost IS NOT NULL GROUP BY ALL ORDER BY ALL",
        [min(days), max(days)],
    ).fetchall()


def control_counts(con: duckdb.DuckDBPyConnection, days: Sequence[date]) -> list[tuple[str, str, int]]:
    """(connection, status, control totals) of the business days from first to last of ``days``, and of the lists."""
    first, last = (min(days), max(days)) if days else (date.min, date.max)
    return con.execute(
        "SELECT connection, status, count(*) FROM audit.control_total"
        " WHERE window_date BETWEEN ? AND ? OR stream IN ('lists', 'invoices') GROUP BY ALL ORDER BY ALL",
        [first, last],
    ).fetchall()


def days_in_state(con: duckdb.DuckDBPyConnection, state: str) -> list[tuple[str, str, date]]:
    """(connection, stream, business day) of the days in a state of ``audit.coverage``: missing, partial, stale …"""
    return con.execute(
        "SELECT connection, stream, coverage_date FROM audit.coverage WHERE state = ? ORDER BY ALL", [state]
    ).fetchall()


def clock_trouble(con: duckdb.DuckDBPyConnection, now: datetime | None = None) -> str | None:
    """What is wrong where the clock stands before the last load; None: nothing is."""
    now = now or datetime.now(UTC)
    (began,) = con.execute("SELECT arg_max(started_at, (sequence, load_id, started_at)) FROM audit.load").fetchall()[0]
    if began is None or began <= now:
        return None
    return (
        f"the clock of this machine stands at {now.astimezone(UTC):%Y-%m-%d %H:%M} UTC, before the last load, which "
        f"began at {began:%Y-%m-%d %H:%M} UTC: what is stale cannot be told until it is right"
    )


def unconfigured(con: duckdb.DuckDBPyConnection, names: Sequence[str]) -> tuple[str, ...]:
    """The connections that have records, which count, and are not among ``names``."""
    rows = con.execute(
        "SELECT connection FROM audit.coverage WHERE rows > 0 UNION SELECT connection FROM core.invoice ORDER BY ALL"
    ).fetchall()
    return tuple(name for (name,) in rows if name not in names)


def same_records(con: duckdb.DuckDBPyConnection) -> tuple[str, str] | None:
    """Two connections that hold the same records, of their newest week or invoices; None: no two do.

    At least three, and half of what one of them holds.
    """
    row = con.execute(_SAME_RECORDS).fetchone()
    return (row[0], row[1]) if row else None


_SAME_RECORDS = """
WITH recent AS (
    SELECT connection, hash(vendor, account_id, native_id, started_at, from_text, to_text, duration_seconds) AS record
    FROM core.cdr WHERE call_date > (SELECT max(call_date) FROM core.cdr) - 7
    UNION ALL
    SELECT connection, hash(vendor, invoice_id, number, issued_on, total, currency) FROM core.invoice
), counted AS (
    SELECT connection, count(*) AS records FROM recent GROUP BY connection
), same AS (
    SELECT a.connection AS one, b.connection AS other, count(*) AS records
    FROM (SELECT DISTINCT * FROM recent) a JOIN (SELECT DISTINCT * FROM recent) b USING (record)
    WHERE a.connection < b.connection GROUP BY ALL
)
SELECT one, other FROM same
JOIN counted AS c ON c.connection = one JOIN counted AS d ON d.connection = other
WHERE same.records >= 3 AND same.records * 2 >= least(c.records, d.records) ORDER BY ALL LIMIT 1
"""


def unusual_days(con: duckdb.DuckDBPyConnection) -> list[tuple[date, str, str, int, int]]:
    """(business day, connection, stream, rows, typical rows) of the days far off their like, the newest first."""
    return con.execute(
        "SELECT coverage_date, connection, stream, rows, typical_rows FROM audit.coverage WHERE is_unusual "
        "ORDER BY coverage_date DESC, connection, stream"
    ).fetchall()


def reference_notices(con: duckdb.DuckDBPyConnection, first: date, last: date) -> tuple[Notice, ...]:
    """What finance's files have to be looked at for in the months from one day to another, each once."""
    rows = con.execute(
        "SELECT DISTINCT file, line, kind, reason, suggestion FROM audit.reference_notice WHERE month BETWEEN ? AND ? "
        "ORDER BY ALL",
        [first.replace(day=1), last],
    ).fetchall()
    return tuple(Notice(*row) for row in rows)


def movements(con: duckdb.DuckDBPyConnection) -> list[Movement]:
    """What each closed month has done since its latest close, by currency; months that did nothing are left out."""
    return [Movement.of(row) for row in con.execute(MOVEMENTS).fetchall()]


MOVEMENTS = """
WITH restated AS (
    SELECT month, connection, currency, list(record_id) AS records, sum(cost_effect) AS effect
    FROM audit.restatement_since_close WHERE cost_effect <> 0 GROUP BY ALL
), moved AS (
    SELECT month, closed_at, connection, currency, sum(as_closed) AS as_closed, sum(now) AS now, sum(moved) AS moved,
        bool_or(moved <> 0) AS anything
    FROM mart.month_movement GROUP BY ALL
)
SELECT month, closed_at, coalesce(currency, ''), sum(as_closed), sum(now), sum(moved),
    list_sort(list_distinct(flatten(list(coalesce(records, []))))) AS records, coalesce(sum(effect), 0),
    bool_or(anything AND moved = 0 AND effect IS NULL)
FROM moved LEFT JOIN restated USING (month, connection, currency)
GROUP BY month, closed_at, currency HAVING bool_or(anything OR effect IS NOT NULL)
ORDER BY month, currency
"""
