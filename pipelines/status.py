"""How things stand: the last loads, what is stale, missing or unusual, open variances, what was restated.

What lives here: reading that from the published database, and showing it. What does not: how it came to be.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from rich.table import Table

from pipelines.nights import today
from pipelines.settings import Settings
from pipelines.terminal import Terminal
from warehouse.reading import Movement, days_in_state, movements, open_public, public_file, unusual_days
from warehouse.reports.proof import movement_text


@dataclass(frozen=True)
class Connection:
    """One connection: its newest load, the newest business day it has, and what is not as it should be."""

    name: str
    vendor: str
    last_load: Any
    last_status: str
    newest_day: date | None
    missing: int
    unread: int  # days that have ended since they were last read
    failed: int  # days whose latest reading failed
    stale_days: int
    variances: int
    quarantined: int
    restatements: int
    error: str | None

    @property
    def well(self) -> bool:
        """Whether it is loaded, complete and proven."""
        incomplete = self.missing or self.unread or self.failed
        return self.last_status in ("loaded", "unchanged") and not incomplete and not self.variances


@dataclass(frozen=True)
class Status:
    """All connections, the newest open variances and unusual days, where TIM4biz differs, what the last loads restated
    by currency, closed months that moved; and which database.
    """

    path: str
    connections: list[Connection]
    variances: list[tuple[Any, ...]]
    unusual: list[tuple[date, str, str, int, int]]
    differing: list[tuple[str, str, int]]
    restated: list[tuple[str, str | None, int, Decimal]]
    movements: list[Movement]
    zone: ZoneInfo

    @property
    def well(self) -> bool:
        return all(connection.well for connection in self.connections)


_CONNECTIONS = """
WITH newest AS (
    SELECT connection, any_value(vendor) AS vendor, max(load_id) AS load_id, max(finished_at) AS finished_at
    FROM audit.load GROUP BY connection
), last AS (
    SELECT l.connection, bool_or(l.status = 'failed') AS failed, bool_and(l.status = 'unchanged') AS unchanged,
        any_value(l.error) FILTER (l.status = 'failed') AS error
    FROM audit.load l JOIN newest n ON n.connection = l.connection AND n.load_id = l.load_id GROUP BY l.connection
), loaded AS (
    SELECT connection, max(window_to) AS newest_day FROM audit.load WHERE status <> 'failed' GROUP BY connection
)
SELECT n.connection, n.vendor, n.finished_at,
    CASE WHEN last.failed THEN 'failed' WHEN last.unchanged THEN 'unchanged' ELSE 'loaded' END, loaded.newest_day,
    (SELECT count(*) FROM audit.control_total c WHERE c.connection = n.connection AND c.status = 'variance'),
    (SELECT count(*) FROM audit.quarantine q WHERE q.connection = n.connection),
    (SELECT count(*) FROM audit.restatement r WHERE r.connection = n.connection), last.error
FROM newest n JOIN last USING (connection) LEFT JOIN loaded USING (connection) ORDER BY n.connection
"""

_VARIANCES = """
SELECT window_date, connection, account_id, check_name, subject, ours, theirs, difference FROM audit.control_total
WHERE status = 'variance' ORDER BY window_date DESC, connection, check_name LIMIT 20
"""

_DIFFERING = """
SELECT connection, class, count(*) FROM mart.extension_reconciliation
WHERE class NOT IN ('exact', 'within_tolerance') GROUP BY ALL ORDER BY ALL
"""

# By the newest load of each connection.
_RESTATED = """
WITH began AS (
    SELECT connection, load_id, min(started_at) AS began_at FROM audit.load GROUP BY ALL
), newest AS (
    SELECT connection, arg_max(began_at, load_id) AS began_at FROM began GROUP BY connection
)
SELECT r.connection, r.currency, count(*), coalesce(sum(r.cost_effect), 0)
FROM audit.restatement r JOIN newest n ON n.connection = r.connection AND r.restated_at >= n.began_at
GROUP BY ALL ORDER BY ALL
"""


def read_status(settings: Settings) -> Status:
    """How things stand, from the published database. StorageError when there is none."""
    path = public_file(settings.data_dir)
    present = today(settings)
    with open_public(path) as con:
        rows = con.execute(_CONNECTIONS).fetchall()
        variances = con.execute(_VARIANCES).fetchall()
        missing = _by_connection(days_in_state(con, "missing"))
        # The current day is partial by nature.
        unread = _by_connection([entry for entry in days_in_state(con, "partial") if entry[2] < present])
        failed = _by_connection(days_in_state(con, "stale"))
        unusual = unusual_days(con)[:20]
        differing = con.execute(_DIFFERING).fetchall()
        changed = con.execute(_RESTATED).fetchall()
        moved = movements(con)
    found = {
        name: Connection(
            name,
            vendor,
            finished,
            state,
            newest,
            missing[name],
            unread[name],
            failed[name],
            max(0, (present - newest).days - 1) if newest else 0,
            open_variances,
            quarantined,
            restated,
            error,
        )
        for name, vendor, finished, state, newest, open_variances, quarantined, restated, error in rows
    }
    for connection in settings.connections:
        found.setdefault(
            connection.name,
            Connection(connection.name, connection.vendor, None, "never loaded", None, 0, 0, 0, 0, 0, 0, 0, None),
        )
    ordered = [found[name] for name in sorted(found)]
    return Status(str(path), ordered, variances, unusual, differing, changed, moved, settings.zone)


def _by_connection(days: list[tuple[str, str, date]]) -> Counter[str]:
    """Days by connection, each counted once whichever of its streams it is of."""
    return Counter(connection for connection, _ in {(connection, day) for connection, _, day in days})


def show_status(status: Status) -> None:
    """The table, the open variances, and a word on what to do."""
    console = Terminal()
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
            f"{c.missing} days" if c.missing else "-",
            f"{c.stale_days} days" if c.stale_days else "-",
            str(c.variances or "-"),
            str(c.quarantined or "-"),
            str(c.restatements or "-"),
        )
    console.print(table)
    for c in status.connections:
        if c.error:
            console.print(f"{c.name}: {c.error}", soft_wrap=True)
        if c.missing:
            console.print(f"{c.name}: {c.missing} business days are missing; load them with --from and --to")
        for count, what in ((c.unread, "were read before they had ended"), (c.failed, "could not be read again")):
            if count:
                console.print(f"{c.name}: {count} business days {what}; load them again")
    for day, connection, account, check, subject, ours, theirs, difference in status.variances:
        place = " ".join(str(part) for part in (day, connection, account, check, subject) if part)
        console.print(f"variance: {place}: ours {ours}, theirs {theirs}, difference {difference}", soft_wrap=True)
    for day, connection, stream, rows, typical in status.unusual:
        console.print(f"unusual: {day} {connection} {stream}: {rows} records, typical are {typical}")
    for connection, class_, days in status.differing:
        what = {"only_theirs": "are only in TIM4biz", "only_ours": "are only in the PBX"}.get(class_, "differ")
        console.print(f"{connection}: {days} days of extensions {what}: mart.extension_reconciliation")
    for connection, currency, records, effect in status.restated:
        cost = f"; cost {effect:+f} {currency}" if currency and effect else ""
        console.print(f"{connection}: the last load restated {records} records{cost}: audit.restatement")
    for movement in status.movements:
        console.print(movement_text(movement, status.zone), soft_wrap=True)
