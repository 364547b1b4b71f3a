"""Which days an update derives again, and the SQL macros that say so.

What lives here: the days as sets, from what changed to each scope, and the macros made of them. What does not: which
scope a table has (``schema``), or the SQL that asks the macros.

The SQL reads whole tables by name and asks macros which days it is about: ``in_call_days(day)`` and its like. They are
made anew by each update as literal ranges of dates, so that a night reads a few days of each table however long its
history is; in a rebuild they say ``true``. Those of a ``kept`` scope never say true of a day before ``kept_from()``: of
days that were dropped there is nothing to derive, though invoices and bundles of theirs are still there.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import duckdb

from warehouse.schema.types import (
    CALL_DAYS,
    CALL_MONTHS,
    CALLBACK_DAYS,
    CLOSED_MONTHS,
    COST_DAYS,
    COST_MONTHS,
    FRAUD_DAYS,
    HOURS,
    MOVED_MONTHS,
    RECONCILED_DAYS,
    Scope,
)
from warehouse.update import sql

Days = set[date] | None  # None: all days there are

AROUND_HOURS = Scope("around_hours")
NEAR_LEGS = Scope("near_legs")
NEAR_CALL_MONTHS = Scope("near_call_months", instants=True)
NEAR_SPLIT = Scope("near_split")
AROUND_CALLBACK_DAYS = Scope("around_callback_days")
FRAUD_HISTORY_DAYS = Scope("fraud_history_days")
UNIT_DAYS = Scope("in_unit_days")


@dataclass(frozen=True)
class Changes:
    """The days that the scopes are made of.

    ``calls``: business days whose calls were put together again. ``legs``: those of their legs. ``hours``: UTC days on
    which those calls were talked. ``cost``: business days whose charges changed. ``reconciled``: those on which TIM4biz
    or the calls changed.
    """

    calls: Days
    legs: Days
    hours: Days
    cost: Days
    reconciled: Days


def set_scopes(db: duckdb.DuckDBPyConnection, changes: Changes, *, all_closes: bool) -> None:
    """The macros of all scopes but those that lean on what the update derives (``set_fraud_days``)."""
    cost_months = whole_months(changes.cost)
    closed_months = None if all_closes else cost_months
    # An hour belongs to the business day of its start, which can be the UTC day before or after.
    talked = spread(changes.hours, -1, 0, 1)
    call_months = whole_months(union(changes.calls, changes.legs, talked))
    callback_days = spread(changes.calls, -1, 0)
    days_in: dict[Scope, Days] = {
        CALL_DAYS: changes.calls,
        COST_DAYS: changes.cost,
        COST_MONTHS: cost_months,
        CLOSED_MONTHS: closed_months,  # all of them when a month was closed
        MOVED_MONTHS: closed_months,
        RECONCILED_DAYS: changes.reconciled,
        # Whole UTC days whose traffic changed, and business days near enough to matter.
        HOURS: changes.hours,
        AROUND_HOURS: spread(changes.hours, -2, -1, 0, 1),
        # Whole months of the calls, of their legs, and of when they were talked; and a day around them, in any zone.
        CALL_MONTHS: call_months,
        NEAR_CALL_MONTHS: spread(call_months, -1, 0, 1),
        # Also the day before each, whose callers may have been called back; and the day after.
        CALLBACK_DAYS: callback_days,
        AROUND_CALLBACK_DAYS: spread(callback_days, 0, 1),
    }
    for scope, days in days_in.items():
        set_scope(db, scope, days)

    # Days of those months, and those beyond their edges that calls across them have legs on.
    across = "leg_date <> call_date AND (in_call_months(call_date) OR in_call_months(leg_date))"
    beyond = days_of(db, f"SELECT DISTINCT unnest([call_date, leg_date]) FROM core.call_leg WHERE {across}")
    set_scope(db, NEAR_LEGS, union(call_months, beyond))
    # Days of the few calls whose legs are of several days or currencies.
    moved = "leg_date <> call_date AND (in_call_days(call_date) OR in_call_days(leg_date))"
    mixed = "legs > 1 AND currency IS NULL AND cost IS NULL AND in_call_days(call_date)"
    split = days_of(db, f"SELECT DISTINCT unnest([call_date, leg_date]) FROM core.call_leg WHERE {moved}")
    split |= days_of(db, f"SELECT DISTINCT call_date FROM core.call WHERE {mixed}")
    set_scope(db, NEAR_SPLIT, split)


def set_fraud_days(db: duckdb.DuckDBPyConnection, days: Days) -> None:
    """Days whose calls, charges or accounts' country changed, the same weekday of the weeks after, which are compared
    with them, and days on which the first call to a country now is, or was before (``first_call_before``)."""
    weeks = 7 * int(db.execute("SELECT weeks_compared()").fetchall()[0][0])
    if days is not None:
        days = (spread(days, *range(0, weeks + 1, 7)) or set()) | days_of(
            db,
            "SELECT DISTINCT first_date FROM ((FROM first_call_before EXCEPT FROM first_call) UNION ALL "
            "(FROM first_call EXCEPT FROM first_call_before))",
        )
    set_scope(db, FRAUD_DAYS, days)
    set_scope(db, FRAUD_HISTORY_DAYS, spread(days, *range(-weeks, 1, 7)))


def set_scope(db: duckdb.DuckDBPyConnection, scope: Scope, days: Days) -> None:
    """Make the macro of a scope true of these days."""
    if scope.instants:
        spans = [
            f"(moment >= TIMESTAMPTZ '{first} 00:00+00' AND moment < TIMESTAMPTZ '{last + timedelta(1)} 00:00+00')"
            for first, last in _ranges(days or ())
        ]
        parameter, condition = "moment", "true" if days is None else " OR ".join(spans) or "false"
    else:
        parameter, condition = "day", in_days("day", days) + (" AND day >= kept_from()" if scope.kept else "")
    db.execute(f"CREATE OR REPLACE TEMP MACRO {scope.macro}({parameter}) AS ({condition})")


# --- what changed -----------------------------------------------------------------------------------------------------


def days_of_changed_charges(db: duckdb.DuckDBPyConnection) -> set[date]:
    """The days whose invoices and bundles, or whose extensions' departments, were others in ``charges_before``."""
    db.execute(
        "CREATE TEMP TABLE charge_change AS (FROM charges_before EXCEPT FROM listed_charge) "
        "UNION ALL (FROM listed_charge EXCEPT FROM charges_before)"
    )
    return days_of(db, "SELECT DISTINCT day FROM charge_change WHERE day IS NOT NULL") | days_of(
        db,
        "SELECT DISTINCT m.cost_date FROM mart.cost_daily AS m SEMI JOIN charge_change AS c ON m.connection = "
        "c.connection AND m.account_id IS NOT DISTINCT FROM c.account_id AND m.extension = c.extension",
    )


def days_of_other_homes(db: duckdb.DuckDBPyConnection, before: str | None, now: str) -> set[date]:
    """The days with calls of accounts whose country is another one than it was, or known now."""
    known, homes = ({tuple(home) for home in json.loads(text or "[]")} for text in (before, now))
    if known == homes:
        return set()
    sql.make_table(db, "moved", "connection VARCHAR, account_id VARCHAR", [home[:2] for home in known ^ homes])
    return days_of(
        db,
        "SELECT DISTINCT call_date FROM mart.usage_daily AS u SEMI JOIN moved AS m "
        "ON m.connection = u.connection AND m.account_id IS NOT DISTINCT FROM u.account_id",
    )


def find_duration_units(db: duckdb.DuckDBPyConnection, days: Days) -> set[date]:
    """Give TIM4biz's durations without a unit the one that the calls tell; the days on which that changed any."""
    set_scope(db, UNIT_DAYS, days)
    db.execute(sql.read("duration_unit"))
    return days_of(db, "SELECT DISTINCT total_date FROM total_seconds")


# --- days -------------------------------------------------------------------------------------------------------------


def days_of(db: duckdb.DuckDBPyConnection, query: str) -> set[date]:
    return {row[0] for row in db.execute(query).fetchall()}


def spans_of(db: duckdb.DuckDBPyConnection, query: str) -> set[date]:
    """All days from the first to the last of each row."""
    return {day for first, last in db.execute(query).fetchall() for day in stretch(first, last)}


def in_days(column: str, days: Days) -> str:
    """A condition on a DATE, as literal ranges: those the database can skip the other days by."""
    if days is None:
        return f"{column} IS NOT NULL"
    spans = [f"{column} BETWEEN DATE '{first}' AND DATE '{last}'" for first, last in _ranges(days)]
    return f"({' OR '.join(spans)})" if spans else "false"


def _ranges(days: Iterable[date]) -> list[tuple[date, date]]:
    """The days as stretches without a gap, in order."""
    ordered = sorted(days)
    breaks = [(a, b) for a, b in pairwise(ordered) if (b - a).days > 1]
    if not ordered:
        return []
    return list(zip([ordered[0], *(b for _, b in breaks)], [*(a for a, _ in breaks), ordered[-1]], strict=True))


def stretch(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(n) for n in range((last - first).days + 1))


def spread(days: Days, *offsets: int) -> Days:
    """The days that lie so many days from one of these."""
    return None if days is None else {day + timedelta(offset) for day in days for offset in offsets}


def union(*parts: Days) -> Days:
    together: set[date] = set()
    for days in parts:
        if days is None:
            return None
        together |= days
    return together


def whole_months(days: Days) -> Days:
    return None if days is None else {day for month in {d.replace(day=1) for d in days} for day in _month(month)}


def _month(first: date) -> Iterator[date]:
    return stretch(first, (first + timedelta(31)).replace(day=1) - timedelta(1))
