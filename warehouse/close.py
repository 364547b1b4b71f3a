"""Closing a month: its costs frozen as they are known, so that whatever moves later shows beside them.

What lives here: when a month can be closed, the sealed files of the closes, and reading them back. What does not: the
marts made of them (``marts/cost_monthly_as_closed.sql``, ``marts/month_movement.sql``), taking them into the database
(``database``).

Layout under the data directory; neither is ever changed, and no rebuild makes them again: they are what was known::

    closed/<YYYY-MM>.parquet    rows of mart.cost_monthly_as_closed
    closed/<YYYY-MM>.json       its sealed manifest; the close exists once this does
    closed/<YYYY-MM>.2.json     a later close of a month that was reopened, and so on
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tollbook_errors import ContractError, IntegrityError, TollbookError
from warehouse.core import write_parquet
from warehouse.files import disk_errors, file_sha256, read_json, write_json
from warehouse.published import open_public
from warehouse.schema import table

FOLDER = "closed"
CLOSED = table("mart.cost_monthly_as_closed")

_NAME = re.compile(r"\d{4}-\d{2}(\.[1-9]\d*)?\.json")
_RESTORE = "restore it from a backup"


class CloseError(TollbookError):
    """The month cannot be closed as things stand; nothing was written."""


@dataclass(frozen=True)
class Close:
    """One close of a month, as its manifest says.

    ``costs`` are the frozen sums by currency, of the rows that are rated; ``file`` is relative to the data directory,
    None when there was no row to freeze. ``despite`` says what was incomplete, None: nothing was.
    """

    month: date
    version: int
    closed_at: datetime
    closed_by_load: str
    rows: int
    costs: tuple[tuple[str | None, Decimal], ...]
    despite: str | None
    file: str | None
    sha256: str | None

    def figures(self, data_dir: Path) -> pa.Table:
        """The frozen rows. IntegrityError when the file is gone or damaged, ContractError for other columns."""
        if self.file is None:
            return CLOSED.arrow().empty_table()
        path = data_dir / self.file
        with disk_errors(path):
            if not path.exists():
                raise IntegrityError(f"{self.file} is missing", hint=_RESTORE)
            if file_sha256(path) != self.sha256:
                raise IntegrityError(f"{self.file} is not what was written: its checksum differs", hint=_RESTORE)
            rows = pq.read_table(path)
        expected = CLOSED.arrow()
        if rows.schema.names != expected.names or rows.schema.types != expected.types:
            raise ContractError(f"{self.file} has other columns than this version of Tollbook knows")
        return rows


@dataclass(frozen=True)
class Remark:
    """What is not final or not proven in the figures of a month, and the amounts it concerns, by currency.

    ``word`` is provisional, unrated, stale, partial or variance. Of a variance the amount is ours less the vendor's;
    one without a currency is a count.
    """

    word: str
    text: str
    amounts: tuple[tuple[str | None, Decimal], ...] = ()


@dataclass(frozen=True)
class Freeze:
    """What closing a month would freeze: the sums by currency of the rows that are rated, and what is to be known."""

    month: date
    costs: tuple[tuple[str | None, Decimal], ...]
    remarks: tuple[Remark, ...]


def read_closes(data_dir: Path) -> list[Close]:
    """Every close there is, by month and version. IntegrityError when a manifest is not what was written."""
    folder = data_dir / FOLDER
    with disk_errors(folder):
        paths = [path for path in folder.glob("*.json") if _NAME.fullmatch(path.name)]
        return sorted((_read_manifest(path) for path in paths), key=lambda close: (close.month, close.version))


def current(closes: Collection[Close]) -> dict[date, Close]:
    """The close that counts for each month: the latest. ``closes`` in the order of ``read_closes``."""
    return {close.month: close for close in closes}


def close_month(
    data_dir: Path,
    month: date,
    *,
    timezone: str,
    today: date,
    connections: Collection[str],
    anyway: bool = False,
    reopen: bool = False,
    announce: Callable[[Freeze], None] = lambda freeze: None,
) -> Close:
    """Freeze the published figures of a month; the caller holds the data directory for writing.

    ``month`` is any day in it, ``today`` the current business day in ``timezone``, ``connections`` the configured ones.
    ``anyway`` closes an incomplete or unproven month and keeps on record what was wrong; ``reopen`` closes a closed
    month once more, as its next version, and leaves the earlier one on disk and in ``audit.month_close``.

    Raises CloseError, and writes nothing, for a month that is not over, is incomplete or is closed already;
    StorageError and IntegrityError as reading the published database does. A reading that was under way at this moment
    counts as known: close between loads.
    """
    first = month.replace(day=1)
    closes = [close for close in read_closes(data_dir) if close.month == first]
    if today < _next(first):
        raise CloseError(f"{first:%Y-%m} is not over: today is {today} in {timezone}", hint="close it when it is")
    if closes and not reopen:
        raise CloseError(
            f"{first:%Y-%m} was closed at {closes[-1].closed_at:%Y-%m-%d %H:%M} UTC",
            hint="with --reopen it is closed anew, and the earlier close is kept as a version",
        )
    with open_public(data_dir / "tollbook.duckdb") as con:
        (anything,) = con.execute(_ANYTHING, {"first": first, "last": _next(first) - timedelta(days=1)}).fetchall()[0]
        if not anything:
            raise CloseError(f"nothing of {first:%Y-%m} was loaded", hint="load it with --from and --to")
        freeze = _to_freeze(con, first)
        announce(freeze)
        wrong = obstacles(con, first, timezone=timezone, connections=connections)
        if wrong and not anyway:
            raise CloseError(
                f"{first:%Y-%m} is not complete and proven: {'; '.join(wrong)}",
                hint="put it right, or with --anyway close it as it is",
            )
        return _freeze(con, data_dir, freeze, closes[-1].version + 1 if closes else 1, "; ".join(wrong) or None)


def obstacles(con: duckdb.DuckDBPyConnection, first: date, *, timezone: str, connections: Collection[str]) -> list[str]:
    """What is incomplete or unproven in the month that begins with ``first``, a phrase each, of ``connections``."""
    last = _next(first) - timedelta(days=1)
    ended = datetime.combine(_next(first), datetime.min.time(), ZoneInfo(timezone)).astimezone(UTC)
    asked = {"first": first, "last": last, "names": sorted(connections)}
    found = [f"{name}: never loaded" for (name,) in con.execute(_NEVER_LOADED, {"names": asked["names"]}).fetchall()]
    for connection, stream, state, days, day_from, day_to in con.execute(_DAYS, asked).fetchall():
        span = str(day_from) if days == 1 else f"{days} days from {day_from} to {day_to}"
        found.append(f"{connection} {stream}: {state} {span}")
    for connection, stream, failed, read_at in con.execute(_LISTS, {"names": asked["names"]}).fetchall():
        if failed:
            found.append(f"{connection} {stream}: the latest reading failed")
        elif read_at < ended:
            found.append(f"{connection} {stream}: not read since the month ended")
    for connection, check, count in con.execute(_VARIANCES, asked).fetchall():
        found.append(f"{connection} {check}: {count} open variance{'s' if count > 1 else ''}")
    for connection, stream, count in con.execute(_QUARANTINE, asked).fetchall():
        found.append(f"{connection} {stream}: {count} record{'s' if count > 1 else ''} not understood")
    return found


_NEVER_LOADED = """
SELECT name FROM (SELECT unnest($names::VARCHAR[]) AS name)
WHERE name NOT IN (SELECT connection FROM audit.load WHERE status <> 'failed') ORDER BY name
"""

_ANYTHING = """
SELECT EXISTS (FROM audit.coverage WHERE coverage_date BETWEEN $first AND $last AND state <> 'missing')
    OR EXISTS (FROM mart.cost_monthly WHERE month = $first)
"""

# Coverage ends with the newest day that was asked for; the month may not.
_DAYS = """
WITH stream AS (
    SELECT connection, stream, min(coverage_date) AS first_day
    FROM audit.coverage WHERE list_contains($names, connection) GROUP BY ALL
), due AS (
    SELECT connection, stream,
        unnest(generate_series(greatest(first_day, $first::DATE), $last::DATE, INTERVAL 1 DAY))::DATE AS coverage_date
    FROM stream WHERE first_day <= $last
)
SELECT connection, stream, coalesce(state, 'missing') AS state, count(*), min(coverage_date), max(coverage_date)
FROM due LEFT JOIN audit.coverage USING (connection, stream, coverage_date)
WHERE coalesce(state, 'missing') <> 'loaded' GROUP BY ALL ORDER BY ALL
"""

_LISTS = """
SELECT connection, stream, arg_max(status, (sequence, load_id, finished_at)) = 'failed',
    arg_max(started_at, (sequence, load_id, finished_at)) FILTER (status <> 'failed')
FROM audit.load WHERE window_from IS NULL AND list_contains($names, connection) GROUP BY ALL ORDER BY ALL
"""

_VARIANCES = """
SELECT connection, check_name, count(*) FROM audit.control_total
WHERE status = 'variance' AND window_date BETWEEN $first AND $last AND list_contains($names, connection)
GROUP BY ALL ORDER BY ALL
"""

_QUARANTINE = """
SELECT connection, stream, count(*) FROM audit.quarantine
WHERE window_date BETWEEN $first AND $last AND list_contains($names, connection) GROUP BY ALL ORDER BY ALL
"""


def _to_freeze(con: duckdb.DuckDBPyConnection, first: date) -> Freeze:
    within = {"first": first, "last": _next(first) - timedelta(days=1)}
    costs = con.execute(
        "SELECT currency, sum(cost) FROM mart.cost_monthly WHERE month = ? AND cost IS NOT NULL "
        "GROUP BY ALL ORDER BY ALL",
        [first],
    ).fetchall()
    return Freeze(first, tuple(costs), tuple(_remarks(con, within)))


def _remarks(con: duckdb.DuckDBPyConnection, within: Mapping[str, date]) -> Iterator[Remark]:
    found = con.execute(_PROVISIONAL, within).fetchall()
    if found:
        count = sum(count for count, *_ in found)
        yield Remark("provisional", f"{_many(count, 'record')} can still be changed by the vendor", _amounts(found))
    (unrated,) = con.execute(_UNRATED, {"first": within["first"]}).fetchall()[0]
    if unrated:
        yield Remark("unrated", f"{_many(unrated, 'record')} without a cost from the vendor: unknown, not free")
    for (state, connection, stream, days), rows in groupby(
        con.execute(_UNREAD, within).fetchall(), lambda row: row[:4]
    ):
        what = f"{connection} {stream}, {_many(days, 'day')}" if days else f"{connection} {stream}"
        why = "the latest reading failed" if state == "stale" else "read before the day had ended"
        yield Remark(state, f"{what}: {why}", _amounts(rows))
    for (connection, check), rows in groupby(con.execute(_DIFFERENCES, within).fetchall(), lambda row: row[:2]):
        differences = list(rows)
        count = sum(row[2] for row in differences)
        yield Remark("variance", f"{connection} {check}: {_many(count, 'variance')}", _amounts(differences))


def _amounts(rows: Iterable[Sequence[Any]]) -> tuple[tuple[str | None, Decimal], ...]:
    """The last two columns, currency and amount, of the rows that have an amount."""
    return tuple((currency, amount) for *_, currency, amount in rows if amount is not None)


def _many(count: int, one: str) -> str:
    return f"{count:,} {one}{'s' if count != 1 else ''}"


_PROVISIONAL = """
SELECT count(*), currency, sum(cost) FROM core.cdr
WHERE is_provisional AND call_date BETWEEN $first AND $last GROUP BY currency ORDER BY currency
"""

_UNRATED = "SELECT sum(unrated)::BIGINT FROM mart.cost_monthly WHERE month = $first"

# What stands as an earlier reading left it, or as it was before the day had ended, and what is charged for it.
_UNREAD = """
WITH unread AS (
    SELECT state, connection, stream, count(*) AS days, list(coverage_date) AS on_days FROM audit.coverage
    WHERE state IN ('stale', 'partial') AND coverage_date BETWEEN $first AND $last GROUP BY ALL
    UNION ALL
    SELECT 'stale', connection, stream, NULL, NULL FROM audit.load
    WHERE window_from IS NULL GROUP BY ALL HAVING arg_max(status, (sequence, load_id, finished_at)) = 'failed'
), charged AS (
    SELECT connection, cost_date, currency, cost,
        CASE charge_kind WHEN 'call' THEN 'cdr' WHEN 'sms' THEN 'sms' WHEN 'bundle' THEN 'lists' ELSE 'invoices' END
            AS stream
    FROM mart.cost_daily WHERE cost_date BETWEEN $first AND $last AND cost IS NOT NULL
)
SELECT state, unread.connection, unread.stream, days, currency, sum(cost)
FROM unread LEFT JOIN charged ON charged.connection = unread.connection AND charged.stream = unread.stream
    AND (on_days IS NULL OR list_contains(on_days, cost_date))
GROUP BY ALL ORDER BY ALL
"""

_DIFFERENCES = """
SELECT connection, check_name, count(*), currency, sum(difference) FROM audit.control_total
WHERE status = 'variance' AND window_date BETWEEN $first AND $last
GROUP BY connection, check_name, currency ORDER BY connection, check_name, currency
"""


def rename_in_closes(data_dir: Path, old: str, new: str) -> None:
    """Give a connection's rows in what was closed its new name; every figure stays.

    A changed file is written under another name, its manifest is led there, then the earlier file goes. Can be
    repeated. The caller holds the data directory for writing.
    """
    for close in read_closes(data_dir):
        rows = close.figures(data_dir)
        place = rows.schema.get_field_index("connection")
        names = ["" if name is None else name for name in rows["connection"].to_pylist()]
        if close.file is not None and old in names:
            renamed = pa.array([new if name == old else name for name in names], pa.string())
            earlier = data_dir / close.file
            path = earlier.with_name(f"{earlier.stem}.{new}.parquet")
            write_parquet(CLOSED, rows.set_column(place, rows.schema.field(place), renamed), path)
            led = replace(close, file=str(path.relative_to(data_dir)), sha256=file_sha256(path))
            stem = f"{close.month:%Y-%m}" + (f".{close.version}" if close.version > 1 else "")
            write_json(data_dir / FOLDER / f"{stem}.json", dict(_said(led)))
            earlier.unlink()


def _freeze(con: duckdb.DuckDBPyConnection, data_dir: Path, freeze: Freeze, version: int, despite: str | None) -> Close:
    first = freeze.month
    closed_at = datetime.now(UTC)
    (load_id,) = con.execute("SELECT coalesce(arg_max(load_id, (sequence, load_id)), '') FROM audit.load").fetchall()[0]
    rows = con.sql(
        "SELECT *, $at::TIMESTAMPTZ AS closed_at, $load::VARCHAR AS closed_by_load FROM mart.cost_monthly "
        f"WHERE month = $month ORDER BY {', '.join(CLOSED.key)}",
        params={"at": closed_at, "load": load_id, "month": first},
    ).to_arrow_table()
    name = f"{first:%Y-%m}" if version == 1 else f"{first:%Y-%m}.{version}"
    path = data_dir / FOLDER / f"{name}.parquet"
    with disk_errors(path):
        count = write_parquet(CLOSED, rows.select(list(CLOSED.column_names)).cast(CLOSED.arrow()), path)
        close = Close(
            first,
            version,
            closed_at,
            load_id,
            count,
            freeze.costs,
            despite,
            str(path.relative_to(data_dir)) if count else None,
            file_sha256(path) if count else None,
        )
        write_json(path.with_suffix(".json"), dict(_said(close)))
    return close


def _said(close: Close) -> Iterator[tuple[str, Any]]:
    """A close as its manifest says it: JSON has no dates and no decimals."""
    for name, value in close.__dict__.items():
        if name == "costs":
            yield name, [[currency, str(cost)] for currency, cost in value]
        else:
            yield name, value.isoformat() if isinstance(value, date) else value


def _read_manifest(path: Path) -> Close:
    name = f"{FOLDER}/{path.name}"
    try:
        content: Mapping[str, Any] = read_json(path)
        close = Close(
            **{
                **content,
                "month": date.fromisoformat(content["month"]),
                "closed_at": datetime.fromisoformat(content["closed_at"]),
                "costs": tuple((currency, Decimal(cost)) for currency, cost in content["costs"]),
            }
        )
    except (IntegrityError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise IntegrityError(f"{name} is not what was written", hint=_RESTORE) from error
    expected = f"{close.month:%Y-%m}" if close.version == 1 else f"{close.month:%Y-%m}.{close.version}"
    if path.stem != expected:
        raise IntegrityError(f"{name} is the close of {expected}", hint=_RESTORE)
    return close


def _next(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)
