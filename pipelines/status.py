"""How things stand: the last loads, what is stale, missing or unusual, open variances, what was restated.

What lives here: reading that from the published database, and showing it. What does not: how it came to be.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from rich.table import Table

from pipelines.freshness import Freshness, freshness
from pipelines.load_window import today
from pipelines.progress import unconfigured_line
from pipelines.settings import Settings
from pipelines.stopped import NIGHTLY, read_stopped, sentences
from pipelines.terminal import Terminal
from tollbook_errors import TollbookError
from warehouse.lake import Lake
from warehouse.published import (
    Movement,
    clock_trouble,
    days_in_state,
    movements,
    open_public,
    public_file,
    unconfigured,
    unusual_days,
)
from warehouse.reports.model import show_exact
from warehouse.reports.sections.closed import movement_text

_SHOWN = 20  # variances and unusual days at most; all of them are in audit
_NAMED = 5  # days of a sentence


@dataclass(frozen=True)
class ConnectionStatus:
    """One connection: its newest load, the newest business day it has, and what is not as it should be."""

    name: str
    vendor: str
    fresh: Freshness | None
    """None: it is not in the configuration, so nothing is due from it."""
    last_load: datetime | None = None
    last_status: str = "never loaded"
    newest_day: date | None = None
    missing: tuple[date, ...] = ()
    unread: tuple[date, ...] = ()
    """Days that have ended since they were last read."""
    failed: tuple[date, ...] = ()
    """Days whose latest reading failed."""
    variances: int = 0
    quarantined: int = 0
    restatements: int = 0
    error: str | None = None

    @property
    def stale(self) -> bool:
        return self.fresh is not None and self.fresh.stale

    @property
    def well(self) -> bool:
        """Whether it is loaded, complete and proven; one that is no longer configured is not waited for."""
        return self.fresh is None or not self.troubles

    @property
    def troubles(self) -> list[str]:
        """What is wrong with it, in a sentence each."""
        found = [self.fresh.sentence] if self.fresh and self.fresh.stale else []
        if self.last_status == "failed":
            found.append(f"{self.name}: the last load failed: {self.error}")
        for days, what in (
            (self.missing, "are missing; load them with --from and --to"),
            (self.unread, "were read before they had ended; load them again"),
            (self.failed, "could not be read again; load them again"),
        ):
            if days:
                more = ", …" if len(days) > _NAMED else ""
                named = ", ".join(map(str, days[:_NAMED]))
                what, _, todo = what.partition("; ")
                found.append(f"{self.name}: {len(days)} business days {what} ({named}{more}); {todo}")
        if self.variances:
            found.append(f"{self.name}: {self.variances} variances are open; see audit.control_total")
        return found


@dataclass(frozen=True)
class Status:
    """All connections, the newest open variances and unusual days, where TIM4biz differs, what the last loads restated
    by currency, closed months that moved; which database; and the ``unconfigured`` connections that count.
    """

    path: str
    connections: list[ConnectionStatus]
    variances: list[tuple[Any, ...]]
    unusual: list[tuple[date, str, str, int, int]]
    differing: list[tuple[str, str, int]]
    restated: list[tuple[str, str | None, int, Decimal]]
    movements: list[Movement]
    zone: ZoneInfo
    stopped: tuple[str, ...] | None = ()
    """Schedules and sensors that somebody stopped; None: Dagster's records cannot be read."""
    unconfigured: tuple[str, ...] = ()
    clock: str | None = None
    """What is wrong with the clock of this machine."""

    @property
    def well(self) -> bool:
        return self.clock is None and all(connection.well for connection in self.connections)

    @property
    def summary(self) -> str:
        """How things stand, in a line."""
        due = [connection for connection in self.connections if connection.fresh]
        wrong = [connection.name for connection in due if not connection.well]
        days = [connection.newest_day for connection in due if connection.newest_day]
        until = f"; newest day {max(days)}" if days else ""
        if self.clock:
            return f"Tollbook: {self.clock}"
        if not wrong:
            count = len(due)
            but = ", but nothing loads by itself" if NIGHTLY in (self.stopped or ()) else ""
            return f"Tollbook: all is well with {count} connection{'' if count == 1 else 's'}{until}{but}"
        stale = [connection.name for connection in due if connection.stale]
        what = f"; stale: {', '.join(stale)}" if stale else ""
        return f"Tollbook: {len(wrong)} of {len(due)} connections need attention: {', '.join(wrong)}{what}{until}"


_CONNECTIONS = """
WITH newest AS (
    SELECT connection, any_value(vendor) AS vendor, arg_max(load_id, (sequence, load_id)) AS load_id
    FROM audit.load GROUP BY connection
), last AS (
    SELECT l.connection, max(l.finished_at) AS finished_at,
        bool_or(l.status = 'failed') AS failed, bool_and(l.status = 'unchanged') AS unchanged,
        any_value(l.error) FILTER (l.status = 'failed') AS error
    FROM audit.load l JOIN newest n ON n.connection = l.connection AND n.load_id = l.load_id GROUP BY l.connection
), loaded AS (
    SELECT connection, max(window_to) AS newest_day FROM audit.load WHERE status <> 'failed' GROUP BY connection
)
SELECT n.connection, n.vendor, last.finished_at,
    CASE WHEN last.failed THEN 'failed' WHEN last.unchanged THEN 'unchanged' ELSE 'loaded' END, loaded.newest_day,
    (SELECT count(*) FROM audit.control_total c WHERE c.connection = n.connection AND c.status = 'variance'),
    (SELECT count(*) FROM audit.quarantine q WHERE q.connection = n.connection),
    (SELECT count(*) FROM audit.restatement r WHERE r.connection = n.connection), last.error
FROM newest n JOIN last USING (connection) LEFT JOIN loaded USING (connection) ORDER BY n.connection
"""

_VARIANCES = """
SELECT window_date, connection, account_id, check_name, subject, ours, theirs, difference, currency
FROM audit.control_total WHERE status = 'variance'
ORDER BY window_date DESC, connection, account_id, check_name, subject
"""

_DIFFERING = """
SELECT connection, class, count(*) FROM mart.extension_reconciliation
WHERE class NOT IN ('exact', 'within_tolerance', 'not_compared') GROUP BY ALL ORDER BY ALL
"""

# By the newest load of each connection.
_RESTATED = """
WITH began AS (
    SELECT connection, load_id, max(sequence) AS sequence, min(started_at) AS began_at FROM audit.load
    GROUP BY connection, load_id
), newest AS (
    SELECT connection, arg_max(began_at, (sequence, load_id)) AS began_at FROM began GROUP BY connection
)
SELECT r.connection, r.currency, count(*), coalesce(sum(r.cost_effect), 0)
FROM audit.restatement r JOIN newest n ON n.connection = r.connection AND r.restated_at >= n.began_at
GROUP BY ALL ORDER BY ALL
"""


def read_status(settings: Settings, now: datetime | None = None) -> Status:
    """How things stand, from the published database. StorageError when there is none.

    ConfigError when the zone of the business days was changed since the first load.
    """
    Lake(settings.data_dir).check_timezone(settings.timezone)
    path = public_file(settings.data_dir)
    present = today(settings, now)
    with open_public(path) as con:
        rows = con.execute(_CONNECTIONS).fetchall()
        fresh = {each.connection: each for each in freshness(settings, con, now)}
        variances = con.execute(_VARIANCES).fetchall()
        missing = _by_connection(days_in_state(con, "missing"))
        # The current day is partial by nature.
        unread = _by_connection([entry for entry in days_in_state(con, "partial") if entry[2] < present])
        failed = _by_connection(days_in_state(con, "stale"))
        unusual = unusual_days(con)[:_SHOWN]
        differing = con.execute(_DIFFERING).fetchall()
        changed = con.execute(_RESTATED).fetchall()
        moved = movements(con)
        gone = unconfigured(con, [connection.name for connection in settings.connections])
        clock = clock_trouble(con, now)
    found = {
        name: ConnectionStatus(
            name,
            vendor,
            fresh.get(name),
            finished,
            state,
            newest,
            missing[name],
            unread[name],
            failed[name],
            open_variances,
            quarantined,
            restated,
            error,
        )
        for name, vendor, finished, state, newest, open_variances, quarantined, restated, error in rows
    }
    for connection in settings.connections:
        found.setdefault(connection.name, ConnectionStatus(connection.name, connection.vendor, fresh[connection.name]))
    ordered = [found[name] for name in sorted(found)]
    halted = _stopped(settings, now)
    return Status(str(path), ordered, variances, unusual, differing, changed, moved, settings.zone, halted, gone, clock)


def _stopped(settings: Settings, now: datetime | None = None) -> tuple[str, ...] | None:
    try:
        return tuple(read_stopped(settings, now))
    except TollbookError:
        return None


def _by_connection(days: list[tuple[str, str, date]]) -> defaultdict[str, tuple[date, ...]]:
    """Days by connection, each once whichever of its streams it is of."""
    found: defaultdict[str, tuple[date, ...]] = defaultdict(tuple)
    for connection, day in sorted({(connection, day) for connection, _, day in days}):
        found[connection] += (day,)
    return found


def show_status(status: Status, *, everything: bool = False) -> None:
    """One line, then what is wrong and what is unusual; with ``everything`` the table and the restatements too."""
    console = Terminal()

    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    say(status.summary)
    for line in _warnings(status):
        say(line)
    for each in status.connections:
        for trouble in each.troubles if each.fresh else ():
            say(trouble)
    for name in status.unconfigured:
        say(unconfigured_line(name))
    for *where, ours, theirs, difference, currency in status.variances[:_SHOWN]:
        place = " ".join(str(part) for part in where if part)
        mine, vendors, off = (show_exact(figure, currency) for figure in (ours, theirs, difference))
        say(f"variance: {place}: ours {mine}, theirs {vendors}, difference {off} {currency or ''}".rstrip())
    for day, connection, stream, rows, typical in status.unusual:
        say(f"unusual: {day} {connection} {stream}: {rows} records; usual are {typical}")
    for connection, class_, days in status.differing:
        what = {"only_theirs": "are only in TIM4biz", "only_ours": "are only in the PBX"}.get(class_, "differ")
        say(f"{connection}: {days} days of extensions {what}; see mart.extension_reconciliation")
    for movement in status.movements:
        say(movement_text(movement, status.zone))
    if everything:
        for connection, currency, records, effect in status.restated:
            plus = "+" if effect > 0 else ""
            cost = f"; cost {plus}{show_exact(effect, currency)} {currency}" if currency and effect else ""
            say(f"{connection}: the last load restated {records} records{cost}; see audit.restatement")
        console.print(_table(status))


def _warnings(status: Status) -> list[str]:
    """What is said and is no trouble of a connection's, so that it leaves the exit code as it is."""
    if status.stopped is None:
        return ["warning: Dagster's records cannot be read, so a stopped schedule would not be noticed"]
    return [f"warning: {sentence}" for sentence in sentences(status.stopped)]


def _table(status: Status) -> Table:
    """A row for each connection."""
    table = Table(title=f"Tollbook, {status.path}", title_justify="left")
    for name in ("connection", "vendor", "last load (UTC)", "result", "newest day", "missing", "stale", "variances"):
        table.add_column(name)
    table.add_column("quarantined")
    table.add_column("restated")
    for c in status.connections:
        table.add_row(
            c.name,
            c.vendor,
            f"{c.last_load:%Y-%m-%d %H:%M}" if c.last_load else "never",
            c.last_status.upper() if c.last_status == "failed" else c.last_status,
            str(c.newest_day or "-"),
            f"{len(c.missing)} days" if c.missing else "-",
            "not configured" if c.fresh is None else "STALE" if c.stale else "-",
            str(c.variances or "-"),
            str(c.quarantined or "-"),
            str(c.restatements or "-"),
        )
    return table


# --- for programs -----------------------------------------------------------------------------------------------------


def as_object(status: Status) -> dict[str, Any]:
    """The whole as ``status --json`` gives it: days and instants as ISO 8601, amounts as texts, exact."""
    found: dict[str, Any] = _plain(
        {
            "summary": status.summary,
            "well": status.well,
            "exit_code": 0 if status.well else 1,
            "database": status.path,
            "stopped": status.stopped,
            "warnings": _warnings(status),
            "connections": [_connection(connection) for connection in status.connections],
            "variances": _named(status.variances, *_VARIANCE),
            "unusual_days": _named(status.unusual, "day", "connection", "stream", "records", "typical"),
            "tim4biz_differs": _named(status.differing, "connection", "class", "extension_days"),
            "restated_by_last_load": _named(status.restated, "connection", "currency", "records", "cost_effect"),
            "closed_months_moved": [
                {
                    "month": movement.month,
                    "currency": movement.currency,
                    "moved": movement.moved,
                    "text": movement_text(movement, status.zone),
                }
                for movement in status.movements
            ],
        }
    )
    return found


def without_database(settings: Settings, error: TollbookError) -> dict[str, Any]:
    """What there is to say where no database can be read, in the same form."""
    never = [
        ConnectionStatus(each.connection, settings.connection(each.connection).vendor, each)
        for each in freshness(settings, None)
    ]
    status = Status(str(public_file(settings.data_dir)), never, [], [], [], [], [], settings.zone, _stopped(settings))
    return {**as_object(status), "summary": f"Tollbook: {error}"}


_VARIANCE = ("day", "connection", "account_id", "check_name", "subject", "ours", "theirs", "difference", "currency")


def _connection(connection: ConnectionStatus) -> dict[str, Any]:
    fresh = connection.fresh
    return {
        "name": connection.name,
        "vendor": connection.vendor,
        "configured": fresh is not None,
        "well": connection.well,
        "stale": connection.stale,
        "last_good_load": fresh.good_at if fresh else None,
        "stale_after_hours": fresh.stale_after // timedelta(hours=1) if fresh else None,
        "last_load": connection.last_load,
        "result": connection.last_status,
        "error": connection.error,
        "latest_day": connection.newest_day,
        "missing_days": connection.missing,
        "days_read_too_early": connection.unread,
        "days_failed": connection.failed,
        "open_variances": connection.variances,
        "quarantined": connection.quarantined,
        "restatements": connection.restatements,
        "troubles": connection.troubles if fresh else [],
    }


def _named(rows: Sequence[Sequence[Any]], *names: str) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def _plain(value: Any) -> Any:
    """As JSON can hold it."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else value
