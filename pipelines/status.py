"""How things stand: the last loads, what is stale or missing, open variances.

What lives here: reading that from the published database, and showing it. What does not: how it came to be.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.nights import today
from pipelines.settings import Settings
from warehouse.reading import missing_days, open_public, public_file


@dataclass(frozen=True)
class Connection:
    """One connection: its newest load, the newest business day it has, and what is not as it should be."""

    name: str
    vendor: str
    last_load: Any
    last_status: str
    newest_day: date | None
    missing: int
    stale_days: int
    variances: int
    quarantined: int
    restatements: int
    error: str | None

    @property
    def well(self) -> bool:
        return self.last_status in ("loaded", "unchanged") and not self.missing and not self.variances


@dataclass(frozen=True)
class Status:
    """All connections, the largest open variances, and where the database is."""

    path: str
    connections: list[Connection]
    variances: list[tuple[Any, ...]]

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


def read_status(settings: Settings) -> Status:
    """How things stand, from the published database. StorageError when there is none."""
    path = public_file(settings.data_dir)
    yesterday = (today(settings)).toordinal() - 1
    with open_public(path) as con:
        rows = con.execute(_CONNECTIONS).fetchall()
        variances = con.execute(_VARIANCES).fetchall()
        missing = Counter(connection for connection, _ in {(name, day) for name, _, day in missing_days(con)})
    found = {
        name: Connection(
            name,
            vendor,
            finished,
            state,
            newest,
            missing[name],
            max(0, yesterday - newest.toordinal()) if newest else 0,
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
            Connection(connection.name, connection.vendor, None, "never loaded", None, 0, 0, 0, 0, 0, None),
        )
    return Status(str(path), [found[name] for name in sorted(found)], variances)


def show_status(status: Status) -> None:
    """The table, the open variances, and a word on what to do."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
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
            console.print(f"{c.name}: {c.error}", markup=False)
        if c.missing:
            console.print(
                f"{c.name}: {c.missing} business days are missing; load them with --from and --to", markup=False
            )
    for day, connection, account, check, subject, ours, theirs, difference in status.variances:
        place = " ".join(str(part) for part in (day, connection, account, check, subject) if part)
        console.print(f"variance: {place}: ours {ours}, theirs {theirs}, difference {difference}", markup=False)
