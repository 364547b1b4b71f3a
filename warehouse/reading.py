"""Reading the published database, for the command line and for Dagster's metadata.

What lives here: opening the public file as any analyst would, and the few questions that the software itself asks of
it. What does not: writing it (``database``), finance's report (``reports``).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb

from tollbook_errors import IntegrityError, StorageError
from warehouse.schema import TABLES

# Days that a day-wise stream has, each once.
_COVERED = """
    SELECT DISTINCT connection, vendor, stream,
        unnest(generate_series(window_from, window_to, INTERVAL 1 DAY))::DATE AS day
    FROM audit.load WHERE status <> 'failed' AND window_from IS NOT NULL
"""


def public_file(data_dir: Path) -> Path:
    """Where the published database stands."""
    return data_dir / "tollbook.duckdb"


@contextmanager
def open_public(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The published database, read-only, in UTC. StorageError when there is none, IntegrityError when it is damaged."""
    if not path.exists():
        raise StorageError(f"there is no published database at {path}", hint="run: tollbook load")
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    try:
        con = duckdb.connect(path, read_only=True, config=config)
    except duckdb.Error as error:
        raise IntegrityError(f"{path} cannot be opened", hint="run: tollbook rebuild") from error
    try:
        con.execute("SET TimeZone = 'UTC'")
        yield con
    finally:
        with suppress(duckdb.Error):
            con.close()


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


def missing_days(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, date]]:
    """(connection, stream, day) for each business day without a load between the first day of its stream and the newest
    day of any stream."""
    return con.execute(
        f"""
        WITH covered AS ({_COVERED}),
        span AS (
            SELECT connection, stream, min(day) AS first, (SELECT max(day) FROM covered) AS last
            FROM covered GROUP BY ALL
        ),
        wanted AS (
            SELECT connection, stream, unnest(generate_series(first, last, INTERVAL 1 DAY))::DATE AS day FROM span
        )
        SELECT connection, stream, day FROM wanted ANTI JOIN covered USING (connection, stream, day) ORDER BY ALL
        """
    ).fetchall()
