"""The steps of one update, in their order: ``update`` reads as a script.

What lives here: the order, deriving a mart, and its proof. What does not: how each step does its work (``intake``,
``calls``, ``scopes``, ``inputs``); opening the database, and committing (``database``).

Some small tables of ``audit`` say something of all days at once: a day's coverage leans on the weeks before it and on
the newest day of any stream. They are made whole, and only the rows that came out otherwise are written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from tollbook_errors import ConfigError, IntegrityError
from warehouse.close import Close
from warehouse.reference import Reference
from warehouse.reference_notices import notices, read_facts
from warehouse.schema import (
    COVERAGE,
    DERIVED,
    ERASURE,
    MARTS,
    MONTH_CLOSE,
    REFERENCE_NOTICE,
    RESTATEMENT_SINCE_CLOSE,
    TIE_OUT,
    Table,
)
from warehouse.schema.types import FRAUD_DAYS
from warehouse.update import calls, inputs, intake, scopes, sql
from warehouse.update.inputs import Policy
from warehouse.update.intake import REBUILD, Partition
from warehouse.update.scopes import Changes
from warehouse.update.sql import get_state, set_state


@dataclass(frozen=True)
class UpdateResult:
    """What an update did: the partitions whose rows were replaced, and the business days derived from anew.

    ``everything`` says that all other days were derived again, too: in a new database, or with other SQL. ``dropped``
    are the business days whose rows went because they are no longer kept.
    """

    applied: tuple[Partition, ...]
    touched: tuple[date, ...]
    everything: bool
    changed: bool
    dropped: tuple[date, ...] = ()


def update(
    db: duckdb.DuckDBPyConnection,
    policy: Policy,
    reference: Reference,
    closes: Sequence[Close],
    kept_from: date,
    partitions: Sequence[Partition],
    loads: pa.Table | Sequence[Mapping[str, Any]],
) -> UpdateResult:
    """One update inside its transaction; see ``database.Database.update``."""
    check_timezone(db, policy.timezone)
    fresh = get_state(db, "revision") is None
    sql.make_rules(db)

    dropped = intake.dropped_partitions(db, kept_from)
    changed = [*intake.changed_partitions(db, partitions), *dropped]
    new_loads = intake.find_new_loads(db, loads)
    db.execute("CREATE TEMP TABLE charges_before AS FROM listed_charge")
    calls.snapshot_removed(db, changed)
    intake.replace_rows(db, changed, kept_from)
    intake.replace_loads(db)

    # Each is a fingerprint of something other than rows; when it changed, everything it decides is derived again.
    settings = inputs.prepare(db, policy, reference, closes, kept_from)
    stale = {name for name, value in settings.items() if get_state(db, name) != value}
    if not (changed or new_loads or stale):
        return UpdateResult((), (), everything=False, changed=False)
    # Days can be wanted again that were dropped: of their invoices and bundles no mart was made.
    wanted_again = not fresh and (get_state(db, "kept_from") or "") > settings["kept_from"]
    everything = fresh or "derivation" in stale or wanted_again

    changes = link_calls(db, changed, stale, everything=everything)
    scopes.set_scopes(db, changes, all_closes=everything or "closes" in stale)
    delete_dropped(db, kept_from)
    db.execute("CREATE TEMP TABLE first_call_before AS FROM first_call")
    for mart in MARTS:
        if mart.scope == FRAUD_DAYS:
            moved = scopes.days_of_other_homes(db, get_state(db, "homes"), settings["homes"])
            scopes.set_fraud_days(db, None if "fraud" in stale else scopes.union(changes.calls, changes.cost, moved))
        derive(db, mart)
    tie_out(db)

    find_notices(db, policy, reference)
    for table_ in (COVERAGE, MONTH_CLOSE, RESTATEMENT_SINCE_CLOSE, ERASURE, REFERENCE_NOTICE):
        derive_whole(db, table_)
    for name, value in settings.items():
        set_state(db, name, value)
    set_state(db, "revision", str(int(get_state(db, "revision") or 0) + 1))

    touched = {p.day for p in changed if p.day is not None}
    for days in (changes.calls, changes.cost, changes.reconciled):
        touched |= days or set()
    return UpdateResult(
        applied=tuple(p for p in changed if p not in dropped),
        touched=tuple(sorted(day for day in touched if day >= kept_from)),
        everything=everything,
        changed=True,
        dropped=tuple(sorted({p.day for p in dropped if p.day is not None})),
    )


def check_timezone(db: duckdb.DuckDBPyConnection, timezone: str) -> None:
    known = get_state(db, "timezone")
    if known is None:
        set_state(db, "timezone", timezone)
    elif known != timezone:
        raise ConfigError(
            f"tollbook.timezone is {timezone}, but the business days in the warehouse are of {known}",
            hint="set it back, or load into a new data_dir",
        )


def link_calls(
    db: duckdb.DuckDBPyConnection, changed: Sequence[Partition], stale: set[str], *, everything: bool
) -> Changes:
    """Put calls together from legs, all of them or those that changed; the days on which anything changed."""

    def days_with(*tables: str) -> set[date]:
        return {p.day for p in changed if p.day is not None and not set(tables).isdisjoint(p.tables)}

    if everything:
        calls.link_all_calls(db)
        scopes.find_duration_units(db, None)
        return Changes(None, None, None, None, None)
    call_days, leg_days, hours = calls.link_calls(db, days_with("core.cdr"))
    charge_days = days_with("core.cdr", "core.sms") | scopes.days_of_changed_charges(db)
    total_days = days_with("core.extension_total")
    reconciled = None if "reconciliation" in stale else call_days | total_days
    return Changes(
        calls=call_days,
        legs=leg_days,
        hours=hours,
        cost=None if "charging" in stale else call_days | leg_days | charge_days,
        reconciled=scopes.union(reconciled, scopes.find_duration_units(db, reconciled)),
    )


def delete_dropped(db: duckdb.DuckDBPyConnection, kept_from: date) -> None:
    """Delete what was derived of the days that are no longer kept; the scopes leave them out."""
    for table_ in DERIVED:
        if table_.scope.kept:
            db.execute(f"DELETE FROM {table_.full_name} WHERE {table_.date_column} < ?", [kept_from])
            db.execute("DELETE FROM audit.tie_out WHERE mart = ? AND tie_date < ?", [table_.full_name, kept_from])


def derive(db: duckdb.DuckDBPyConnection, mart: Table) -> None:
    """Make the rows of a mart again that are in its scope."""
    column = mart.date_column or ""
    db.execute(f"DELETE FROM {mart.full_name} WHERE {mart.scope.holds(column)}")
    # Rows of a day lie together, so that a day is found without reading the others.
    order = f"ORDER BY {column}" if column else ""
    db.execute(f"INSERT INTO {mart.full_name} BY NAME SELECT * FROM ({sql.read_mart(mart)}) {order}")


def tie_out(db: duckdb.DuckDBPyConnection) -> None:
    """Prove the tables against their facts, in the order they are made; IntegrityError where a figure differs."""
    db.execute(sql.read("tie_out_sums"))
    for table_ in DERIVED:
        if not table_.tied_out:
            continue
        again = table_.scope.holds("tie_date::TIMESTAMPTZ" if table_.scope.instants else "tie_date")
        db.execute(f"DELETE FROM audit.tie_out WHERE mart = '{table_.full_name}' AND {again}")
        db.execute(sql.read(f"tie_outs/{table_.name}"))
        db.execute(
            f"INSERT INTO audit.tie_out BY NAME SELECT '{table_.full_name}' AS mart, * FROM ({sql.read('compared')}) "
            f"ORDER BY {TIE_OUT.date_column}"
        )
        wrong = db.execute(
            "SELECT tie_date, measure, currency, fact, in_mart FROM audit.tie_out "
            "WHERE mart = ? AND (difference <> 0 OR difference IS NULL) "
            "ORDER BY tie_date, measure, currency LIMIT 1",
            [table_.full_name],
        ).fetchone()
        if wrong:
            day, measure, currency, fact, in_mart = wrong
            what = f"{table_.full_name} does not tie out: {measure} {currency}".rstrip()
            raise IntegrityError(
                f"{what} is {in_mart}, the facts say {fact}",
                window=str(day or ""),
                hint=f"nothing was changed; {REBUILD}",
            )


def find_notices(db: duckdb.DuckDBPyConnection, policy: Policy, reference: Reference) -> None:
    """Make ``found_notice`` of what the marts and lists now say of finance's files."""
    found = []
    if reference.digest:
        facts = read_facts(db, policy.connections)
        found = [
            [month, notice.file, notice.line, notice.kind, notice.reason, notice.suggestion]
            for month in facts.months
            for notice in notices(reference, facts, month, policy.reporting_currency)
        ]
    sql.make_table(db, "found_notice", sql.columns_of(REFERENCE_NOTICE), found)


def derive_whole(db: duckdb.DuckDBPyConnection, table_: Table) -> None:
    """Make all of a table again, and write the rows that are not there as they came out."""
    prepared = {
        MONTH_CLOSE: "FROM closed_month",
        ERASURE: "FROM erased_number",
        REFERENCE_NOTICE: "FROM found_notice",
    }
    select = prepared.get(table_) or sql.read(table_.name)
    names = ", ".join(f'"{name}"' for name in table_.column_names)
    same = " AND ".join(f't."{name}" = gone."{name}"' for name in table_.key)
    db.execute(f"CREATE TEMP TABLE fresh AS SELECT {names} FROM ({select})")
    db.execute(
        f"DELETE FROM {table_.full_name} AS t "
        f"USING (SELECT {names} FROM {table_.full_name} EXCEPT FROM fresh) AS gone WHERE {same}"
    )
    db.execute(
        f"INSERT INTO {table_.full_name} "
        f"SELECT * FROM (FROM fresh EXCEPT SELECT {names} FROM {table_.full_name}) ORDER BY {table_.date_column}"
    )
    db.execute("DROP TABLE fresh")
