"""How old the news of each connection is, and whether that is too old.

What lives here: the one rule for it, for ``tollbook status``, the sensor that notices that nothing ran, and the
heartbeat. What does not: what else can be wrong with a connection (``status``), whom to tell (``alerts``).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb

from pipelines.settings import Settings
from tollbook_errors import IntegrityError
from warehouse.published import open_public, public_file


@dataclass(frozen=True)
class Freshness:
    """A connection's news. ``stream`` is the one that is furthest behind."""

    connection: str
    good_at: datetime | None
    """Up to when every stream of the connection was read well; None: one of them never was."""
    stream: str | None
    failed: bool
    """Its newest load failed, in part or whole, or understood nothing of what it read."""
    age: timedelta | None
    stale_after: timedelta

    @property
    def stale(self) -> bool:
        """Without a good load of yesterday for longer than ``stale_after``."""
        return self.age is None or self.age > self.stale_after

    @property
    def sentence(self) -> str:
        """What is stale, since when, and what to do."""
        what = f"its {self.stream}" if self.stream else "it"
        if self.good_at is None or self.age is None:
            reach = f"{what} was never read"
        else:
            reach = f"{what} reaches to {self.good_at:%Y-%m-%d %H:%M} UTC, {_words(self.age)} ago"
        limit = f"stale_after is {_words(self.stale_after)}"
        return f"{self.connection} is stale: {reach} ({limit}); see why no load went well, then: tollbook load"


# A reading is as old as the load that made it; one that did not reach the day before, as the last day that it did.
_GOOD = """
WITH load AS (
    SELECT load_id, max(sequence) AS sequence, min(started_at) AS began_at FROM audit.load GROUP BY load_id
), began AS (
    -- What came before another load did not come later than that, whatever the clock said then.
    SELECT load_id, min(began_at) OVER later AS began_at FROM load
    WINDOW later AS (ORDER BY sequence, load_id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
), stream AS (
    SELECT connection, stream, max(CASE
        WHEN window_to IS NULL OR window_to >= timezone($zone, began_at)::DATE - 1 THEN began_at
        ELSE timezone($zone, (window_to + 1)::TIMESTAMP)
    END) FILTER (status <> 'failed') AS good_at
    FROM audit.load JOIN began USING (load_id) GROUP BY ALL
), newest AS (
    SELECT connection, arg_max(load_id, (sequence, load_id)) AS load_id FROM audit.load GROUP BY connection
), last AS (
    SELECT l.connection, bool_or(l.status = 'failed' OR (l.quarantined > 0 AND l.quarantined >= l.rows)) AS failed
    FROM audit.load l JOIN newest USING (connection, load_id) GROUP BY l.connection
)
SELECT connection, CASE WHEN count(good_at) = count(*) THEN min(good_at) END,
    first(stream ORDER BY good_at NULLS FIRST, stream), any_value(failed)
FROM stream JOIN last USING (connection) GROUP BY connection
"""


def freshness(
    settings: Settings, con: duckdb.DuckDBPyConnection | None, now: datetime | None = None
) -> list[Freshness]:
    """The news of every configured connection. ``con`` is the published database; None: there is none."""
    now = now or datetime.now(UTC)
    rows = con.execute(_GOOD, {"zone": settings.timezone}).fetchall() if con else []
    known = {name: (good_at, stream, bool(failed)) for name, good_at, stream, failed in rows}
    found = []
    for connection in settings.connections:
        good_at, stream, failed = known.get(connection.name, (None, None, False))
        age = now - good_at if good_at else None
        found.append(Freshness(connection.name, good_at, stream, failed, age, connection.stale_after))
    return found


def read_freshness(settings: Settings, now: datetime | None = None) -> list[Freshness]:
    """The same, of the database that is published now, if any. IntegrityError when it is damaged."""
    path = public_file(settings.data_dir)
    if not path.exists():
        return freshness(settings, None, now)
    with open_public(path) as con:
        try:
            return freshness(settings, con, now)
        except duckdb.Error as error:
            raise IntegrityError(f"{path} cannot be read", hint="run: tollbook rebuild") from error


def _words(time: timedelta) -> str:
    """In days from two of them on, else in hours."""
    hours = int(time.total_seconds() // 3600)
    count, unit = (hours // 24, "day") if hours >= 48 else (hours, "hour")
    return f"{count} {unit}{'' if count == 1 else 's'}"
