"""What marts read besides tables: settings, finance's files, the closes of months, the register of erased numbers.

What lives here: making temporary tables and macros of them, and a fingerprint of each kind, so that an update knows
what changed since the last one. What does not: reading those files (``reference``, ``close``, ``erasure_register``).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tollbook_errors import IntegrityError
from warehouse.close import CLOSED, Close, current
from warehouse.erasure_register import Register
from warehouse.fraud import FOREIGN_NANP, FraudRules
from warehouse.reference import CostCentreRule, Reference, rule_tables
from warehouse.schema import ERASURE, MONEY, MONTH_CLOSE
from warehouse.update import sql
from warehouse.update.intake import REBUILD
from warehouse.update.sql import columns_of, make_table, quoted, sha


@dataclass(frozen=True)
class Tolerance:
    """How far TIM4biz and the PBX may differ and still be ``within_tolerance``; the number of calls must be equal.

    The seconds suffice by either limit: so many a call, or per cent of TIM4biz's seconds.
    """

    seconds_per_call: int = 0
    seconds_percent: Decimal = Decimal(0)
    cost_percent: Decimal = Decimal(0)


@dataclass(frozen=True)
class Policy:
    """What decides figures beside rows and finance's files; see ``database.Database`` for what each is."""

    data_dir: Path
    timezone: str
    reporting_currency: str
    tolerances: Mapping[str, Tolerance]
    reconciles: Mapping[str, Sequence[str]]
    fraud: FraudRules
    long_call_hours: int
    connections: Mapping[str, str]


def prepare(
    db: duckdb.DuckDBPyConnection,
    policy: Policy,
    reference: Reference,
    closes: Sequence[Close],
    kept_from: date,
) -> dict[str, str]:
    """Make what the marts read besides tables, and return the fingerprints of all that decides about them."""
    prepare_rules(db, reference.rules)
    rates = [(r.day, r.currency, r.rate) for r in reference.rates]
    make_table(db, "fx_rate", "rate_date DATE, currency VARCHAR, rate DECIMAL(18, 9)", rates)
    prepare_finance(db, reference)
    pairs = _reconciliation_pairs(db, policy)
    db.execute("CREATE TEMP TABLE reconciliation_pair (connection VARCHAR, pbx_connection VARCHAR)")
    if pairs:
        db.executemany("INSERT INTO reconciliation_pair VALUES (?, ?)", pairs)
    db.execute(
        "CREATE TEMP TABLE reconciliation_day AS SELECT DISTINCT connection, day AS call_date FROM meta.partition "
        "WHERE day IS NOT NULL AND list_contains(string_split(tables, ','), 'core.extension_total')"
    )
    # Of a connection that is no longer configured its totals stay, and must be exact.
    tolerances = [
        (name, *vars(policy.tolerances.get(name, Tolerance())).values()) for name in _connections(db, "tim4biz")
    ]
    db.execute(
        "CREATE TEMP TABLE tolerance (connection VARCHAR, seconds_per_call BIGINT, "
        "seconds_percent DECIMAL(9, 3), cost_percent DECIMAL(9, 3))"
    )
    if tolerances:
        db.executemany("INSERT INTO tolerance VALUES (?, ?, ?, ?)", tolerances)
    db.execute(f"CREATE TEMP MACRO reporting_currency() AS {quoted(policy.reporting_currency)}")
    db.execute(
        f"CREATE TEMP MACRO end_of(day) AS timezone({quoted(policy.timezone)}, CAST(day AS TIMESTAMP) + INTERVAL 1 DAY)"
    )
    db.execute(f"CREATE TEMP MACRO local_time(moment) AS timezone({quoted(policy.timezone)}, moment)")
    limits = vars(policy.fraud)
    db.execute(
        "CREATE TEMP TABLE fraud_rules AS SELECT " + ", ".join(f"? AS {name}" for name in limits),
        list(limits.values()),
    )
    db.execute("CREATE TEMP TABLE foreign_nanp AS SELECT unnest(?::VARCHAR[]) AS country", [FOREIGN_NANP])
    db.execute(f"CREATE TEMP MACRO kept_from() AS DATE '{kept_from}'")
    db.execute(f"CREATE TEMP MACRO long_call_seconds() AS {policy.long_call_hours * 3600}")
    _prepare_closes(db, policy.data_dir, closes)
    erased = _prepare_erasures(db, policy.data_dir)
    as_of = _as_of(db, policy.timezone)
    db.execute(f"CREATE TEMP MACRO as_of() AS CAST({quoted(str(as_of)) if as_of else 'NULL'} AS DATE)")
    return {
        "derivation": sha(f"{sql.all_text()}\n{policy.long_call_hours}"),
        "charging": sha(f"{policy.reporting_currency} {reference.digest} {reference.accounts}"),
        "reconciliation": sha(json.dumps([pairs, str(tolerances)])),
        "closes": sha(repr(closes)),
        "erasures": erased,
        "fraud": sha(repr((policy.fraud, FOREIGN_NANP))),
        "homes": _homes(db),
        "kept_from": kept_from.isoformat(),
    }


def _homes(db: duckdb.DuckDBPyConnection) -> str:
    """The country of each account, against which a call is one abroad, as JSON."""
    homes = "SELECT DISTINCT connection, account_id, country FROM core.account ORDER BY ALL"
    return json.dumps(db.execute(homes).fetchall())


def prepare_finance(db: duckdb.DuckDBPyConnection, reference: Reference) -> None:
    """Make ``budget_line``, ``allocation_rule`` with ``allocation_share``, and ``account_rule`` of finance's files.

    ``priority`` is 1 for the rule to apply first, and tells the rules apart.
    """
    rules = list(enumerate(reference.allocations, 1))
    tables: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
        "budget_line": (
            f"month DATE, cost_centre VARCHAR, vendor VARCHAR, charge_kind VARCHAR, amount {MONEY}, currency VARCHAR",
            [(b.month, b.cost_centre, b.vendor, b.charge_kind, b.amount, b.currency) for b in reference.budgets],
        ),
        "allocation_rule": (
            "priority INTEGER, rule VARCHAR, vendor VARCHAR, connection VARCHAR, charge_kind VARCHAR, "
            "item VARCHAR, method VARCHAR, calls_of VARCHAR, first_month DATE, last_month DATE",
            [(n, r.name, *r.scope, r.method, r.calls_of, r.first_month, r.last_month) for n, r in rules],
        ),
        "allocation_share": (
            f"priority INTEGER, cost_centre VARCHAR, share {MONEY}",
            [(n, *share) for n, r in rules for share in r.shares],
        ),
        "account_rule": (
            "priority INTEGER, role VARCHAR, vendor VARCHAR, charge_kind VARCHAR, account VARCHAR, "
            "by_cost_centre BOOLEAN",
            [
                (n, a.role, a.vendor, a.charge_kind, a.account, a.by_cost_centre)
                for n, a in enumerate(reference.accounts, 1)
            ],
        ),
    }
    for name, (columns, rows) in tables.items():
        make_table(db, name, columns, rows)


def _prepare_closes(db: duckdb.DuckDBPyConnection, data_dir: Path, closes: Sequence[Close]) -> None:
    """Make ``closed_month`` and ``closed_total`` of the manifests, and ``closed_cost`` of the files that count."""
    known = {(close.month, close.version) for close in closes}
    for month, version in db.execute("SELECT month, version FROM audit.month_close ORDER BY ALL").fetchall():
        if (month, version) not in known:
            raise IntegrityError(
                f"close {version} of {month:%Y-%m} is gone from {data_dir / 'closed'}",
                hint=f"restore it from a backup; to do without it, {REBUILD}",
            )
    counting = current(closes)
    db.execute(f"CREATE TEMP TABLE closed_month ({columns_of(MONTH_CLOSE)})")
    db.execute(f"CREATE TEMP TABLE closed_total (month DATE, currency VARCHAR, cost {MONEY})")
    for close in closes:
        fields = {**close.__dict__, "is_current": counting[close.month] is close}
        db.execute(
            f"INSERT INTO closed_month VALUES ({', '.join('?' for _ in MONTH_CLOSE.columns)})",
            [fields[name] for name in MONTH_CLOSE.column_names],
        )
    for close in counting.values():
        for currency, cost in close.costs:
            db.execute("INSERT INTO closed_total VALUES (?, ?, ?)", [close.month, currency, cost])
    figures = [close.figures(data_dir) for close in counting.values()]
    db.register("closed_figures", pa.concat_tables([CLOSED.arrow().empty_table(), *figures]))
    db.execute("CREATE TEMP TABLE closed_cost AS SELECT * FROM closed_figures")
    db.unregister("closed_figures")


def _prepare_erasures(db: duckdb.DuckDBPyConnection, data_dir: Path) -> str:
    """Make ``erased_number`` of the register; its fingerprint."""
    lines = [
        [erasure.id, at, name, rows]
        for erasure in Register(data_dir).read()
        for at, by_table in erasure.lines
        for name, rows in by_table.items()
    ]
    db.execute(f"CREATE TEMP TABLE erased_number ({columns_of(ERASURE)})")
    if lines:
        db.executemany("INSERT INTO erased_number VALUES (?, ?, ?, ?)", lines)
    return sha(repr(lines))


def _reconciliation_pairs(db: duckdb.DuckDBPyConnection, policy: Policy) -> list[list[str]]:
    every_pbx = _connections(db, "pbxware")
    return [
        [name, pbx] for name in _connections(db, "tim4biz") for pbx in sorted(policy.reconciles.get(name, every_pbx))
    ]


def _connections(db: duckdb.DuckDBPyConnection, vendor: str) -> list[str]:
    """The connections of a vendor of which something is loaded."""
    query = "SELECT DISTINCT connection FROM meta.partition WHERE vendor = ? ORDER BY connection"
    return [name for (name,) in db.execute(query, [vendor]).fetchall()]


def _as_of(db: duckdb.DuckDBPyConnection, timezone: str) -> date | None:
    """The last business day loaded, by the data and not by the clock, so that a rebuild says the same."""
    row = db.execute(
        """
        SELECT coalesce(
            greatest(
                (SELECT max(day) FROM meta.partition),
                (SELECT max(window_to) FROM audit.load WHERE status <> 'failed')
            ),
            -- Only lists were ever loaded.
            (SELECT max(CAST(started_at AT TIME ZONE ? AS DATE)) FROM audit.load WHERE status <> 'failed'),
            (SELECT max(CAST(fetched_at AT TIME ZONE ? AS DATE)) FROM core.invoice)
        )
        """,
        [timezone, timezone],
    ).fetchone()
    return row[0] if row else None


def prepare_rules(db: duckdb.DuckDBPyConnection, rules: Sequence[CostCentreRule]) -> None:
    """Make what ``cost_daily.sql`` looks cost centres up in."""
    tables = rule_tables(rules)
    make_table(db, "cost_centre_scope", "scope INTEGER, connection VARCHAR, account_id VARCHAR", tables.scopes)
    make_table(db, "cost_centre_segment", "segment INTEGER, key_from VARCHAR", tables.segments)
    make_table(db, "cost_centre_match", "segment INTEGER, target INTEGER", tables.matches)
    columns = "target INTEGER, priority INTEGER, cost_centre VARCHAR, valid_from DATE, valid_to DATE"
    make_table(db, "cost_centre_rule", columns, tables.rules)
