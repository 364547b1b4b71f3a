"""Calls put together from legs: all of them, or those that replaced legs are or were in.

What lives here: which legs are looked at, and how many at once. What does not: which of them are one call
(``linking.sql``), and what a call is (``call.sql``, ``call_leg.sql``).
"""

from collections.abc import Sequence
from datetime import date

import duckdb

from warehouse.schema import CALL, CALL_LEG
from warehouse.update import intake, sql
from warehouse.update.intake import Partition, batches_of
from warehouse.update.scopes import days_of, in_days, spans_of, stretch

# A leg's link as a number. Two links of one number only bring legs together that linking.sql then tells apart.
_LINK_HASH = "CASE WHEN linked_id IS NOT NULL THEN hash(connection, account_id, linked_id) END"
# What calls are put together from.
_LEG = (
    f"cdr_id, vendor, connection, account_id, native_id, linked_id, {_LINK_HASH} AS link_hash, started_at, call_date, "
    "direction, outcome, extension, from_number, to_number, to_kind, remote_e164, remote_country, remote_type, "
    "duration_seconds, cost, currency"
)


def snapshot_removed(db: duckdb.DuckDBPyConnection, partitions: Sequence[Partition]) -> None:
    """Keep of the legs that are about to be replaced what finds the calls they were in: those are made again."""
    db.execute("CREATE TEMP TABLE replaced (connection VARCHAR, call_date DATE)")
    by_connection: dict[str, set[date]] = {}
    for p in partitions:
        if "core.cdr" in p.tables and p.day is not None:
            by_connection.setdefault(p.connection, set()).add(p.day)
    for connection, days in by_connection.items():
        db.execute("INSERT INTO replaced SELECT ?, unnest(?::DATE[])", [connection, sorted(days)])
    every = {day for days in by_connection.values() for day in days}
    db.execute(
        f"CREATE TEMP TABLE removed_leg AS SELECT cdr_id, {_LINK_HASH} AS link_hash, call_date, duration_seconds "
        f"FROM core.cdr SEMI JOIN replaced USING (connection, call_date) WHERE {in_days('call_date', every)}"
    )


def link_all_calls(db: duckdb.DuckDBPyConnection) -> None:
    """Put all calls together, some days at a time.

    A link with a leg that the days after them may go on with waits, with all its legs, and is put together with
    those: none of its calls is cut.
    """
    made = _Made(db)
    db.execute("TRUNCATE core.call_leg")
    db.execute("TRUNCATE core.call")
    db.execute(f"CREATE TEMP TABLE waiting AS SELECT {_LEG} FROM core.cdr LIMIT 0")
    sizes = db.execute("SELECT call_date, count(*) FROM core.cdr GROUP BY call_date ORDER BY call_date").fetchall()
    stretches = list(batches_of(sizes))
    for number, (days, rows) in enumerate(stretches, 1):
        legs = f"SELECT {_LEG} FROM core.cdr WHERE {in_days('call_date', set(days))} UNION ALL FROM waiting"
        if number == len(stretches):
            made.link_batch(legs, rows)
            made.write()
            return
        next_day = stretches[number][0][0]
        (next_start,) = db.execute(
            f"SELECT min(started_at) FROM core.cdr WHERE call_date = DATE '{next_day}'"
        ).fetchall()[0]
        db.execute(
            f"CREATE OR REPLACE TEMP TABLE open_link AS SELECT DISTINCT link_hash FROM ({legs}) "
            "WHERE link_hash IS NOT NULL "
            "AND started_at + to_seconds(leg_seconds(duration_seconds)) >= $next - to_seconds(link_gap_seconds())",
            {"next": next_start},
        )
        db.execute(f"CREATE OR REPLACE TEMP TABLE legs_to_wait AS FROM ({legs}) SEMI JOIN open_link USING (link_hash)")
        made.link_batch(f"FROM ({legs}) ANTI JOIN open_link USING (link_hash)", rows)
        db.execute("CREATE OR REPLACE TEMP TABLE waiting AS FROM legs_to_wait")


def link_calls(db: duckdb.DuckDBPyConnection, replaced: set[date]) -> tuple[set[date], set[date], set[date]]:
    """Put together again every call that has, or had, a leg in the replaced partitions.

    Returns the business days of those calls as they were and as they are, those of their legs, and the UTC days
    on which they were talked.
    """
    _find_legs(db, replaced)
    legs = (
        f"SELECT {_LEG} FROM core.cdr SEMI JOIN replaced USING (connection, call_date) "
        f"WHERE {in_days('call_date', replaced)} UNION ALL FROM related_leg"
    )
    leg_days = replaced | days_of(db, "SELECT DISTINCT call_date FROM related_leg")
    near = in_days("call_date", leg_days)
    # A leg that is new was in no call.
    involved = "(SELECT cdr_id FROM related_leg UNION ALL SELECT cdr_id FROM removed_leg)"
    call_days = replaced | days_of(
        db, f"SELECT DISTINCT call_date FROM core.call WHERE {near} AND call_id IN {involved}"
    )
    talked = "SELECT min(started_at)::DATE, max(started_at + to_seconds(talk_seconds))::DATE FROM core.call WHERE "
    hours = spans_of(db, f"{talked} {in_days('call_date', call_days)} GROUP BY call_date")
    db.execute(f"DELETE FROM core.call WHERE {near} AND call_id IN {involved}")
    db.execute(f"DELETE FROM core.call_leg WHERE {near} AND cdr_id IN {involved}")
    rows = db.execute(f"SELECT count(*) FROM ({legs})").fetchall()[0][0]
    made = _Made(db)
    made.link_batch(legs, rows)
    made.write()
    call_days |= days_of(
        db, f"SELECT DISTINCT call_date FROM core.call_leg WHERE {near} AND cdr_id IN (SELECT cdr_id FROM related_leg)"
    )
    hours |= spans_of(db, f"{talked} {in_days('call_date', call_days)} GROUP BY call_date")
    return call_days, leg_days, hours


class _Made:
    """Calls and legs that are put together, kept until they are enough to be written.

    Each time some of the file's blocks stay part empty, so much is written at once.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self.db = db
        self.parts = 0  # how many made_call_… there are

    def link_batch(self, legs: str, rows: int) -> None:
        """Put these legs together, no call of which has a leg elsewhere.

        In parts when they are many; a call is all in one. Legs that are a call of their own take no sorting.
        """
        db = self.db
        parts = -(-rows // intake.ROWS_AT_ONCE)
        for part in range(parts):
            mine = f"WHERE coalesce(link_hash, hash(cdr_id)) % {parts} = {part}" if parts > 1 else ""
            db.execute(f"CREATE OR REPLACE TEMP VIEW leg AS FROM ({legs}) {mine}")
            db.execute(
                "CREATE OR REPLACE TEMP TABLE multi_leg_key AS SELECT link_hash, "
                "max(started_at) - min(started_at) > to_seconds(link_gap_seconds()) AS is_long "
                "FROM leg WHERE link_hash IS NOT NULL GROUP BY link_hash HAVING count(*) > 1"
            )
            db.execute("CREATE OR REPLACE TEMP TABLE multi_leg AS FROM leg JOIN multi_leg_key USING (link_hash)")
            db.execute(f"CREATE OR REPLACE TEMP TABLE linking AS {sql.read('linking')}")
            for table_ in (CALL_LEG, CALL):
                names = ", ".join(table_.column_names)
                db.execute(
                    f"CREATE TEMP TABLE made_{table_.name}_{self.parts} AS "
                    f"SELECT {names} FROM ({sql.read(table_.name)}) ORDER BY call_date"
                )
            # A table for each: DuckDB 2.0 loses rows of a temporary one that is added to again and again.
            self.parts += 1
            if self.parts == intake.KEPT_AT_ONCE:
                self.write()

    def write(self) -> None:
        """Write what was put together so far."""
        if not self.parts:
            return
        for name in ("call_leg", "call"):
            made = [f"made_{name}_{number}" for number in range(self.parts)]
            self.db.execute(f"INSERT INTO core.{name} " + " UNION ALL ".join(f"FROM {part}" for part in made))
            for part in made:
                self.db.execute(f"DROP TABLE {part}")
        self.parts = 0


def _find_legs(db: duckdb.DuckDBPyConnection, replaced: set[date]) -> None:
    """Make ``related_leg``: all legs of other partitions that can be of one call with those replaced, now or once.

    A leg is looked for on the days that one known so far reaches to, until no day brings another: two days back,
    since a leg of a day at most and the gap end within them; forward as long as the leg lasted. Legs of more than
    a day are looked for wherever they are; the database finds them by their length without reading the others.
    """
    db.execute(f"CREATE TEMP TABLE related_leg AS SELECT {_LEG} FROM core.cdr LIMIT 0")
    known = (
        f"SELECT {_LINK_HASH} AS link_hash, call_date, duration_seconds FROM core.cdr SEMI JOIN replaced "
        f"USING (connection, call_date) WHERE {in_days('call_date', replaced)} "
        "UNION ALL SELECT link_hash, call_date, duration_seconds FROM removed_leg"
    )
    db.execute(f"CREATE TEMP TABLE link_hash AS SELECT DISTINCT link_hash FROM ({known}) WHERE link_hash IS NOT NULL")
    linked = (
        f"FROM (SELECT {_LEG} FROM core.cdr) SEMI JOIN link_hash USING (link_hash) "
        "ANTI JOIN replaced USING (connection, call_date)"
    )
    seen: set[date] = set()
    wanted = days_of(db, f"SELECT DISTINCT call_date FROM ({linked} WHERE duration_seconds > 86400)")
    while True:
        for first, last in db.execute(
            "SELECT DISTINCT call_date - 2, "
            "call_date + "
            "CAST(1 + (greatest(coalesce(duration_seconds, 0), 0) + link_gap_seconds()) // 86400 AS INTEGER) "
            f"FROM ({known} UNION ALL SELECT link_hash, call_date, duration_seconds FROM related_leg) "
            "WHERE link_hash IS NOT NULL"
        ).fetchall():
            wanted |= set(stretch(first, last))
        if not wanted - seen:
            return
        db.execute(f"INSERT INTO related_leg {linked} WHERE {in_days('call_date', wanted - seen)}")
        seen |= wanted
