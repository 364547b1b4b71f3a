"""Rows of core tables for the tests of the warehouse, written as the Parquet files that the lake hands over."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.database import Database
from warehouse.schema import table
from warehouse.update import Partition

OWNED = {
    "cdr": ("core.cdr", "audit.control_total", "audit.quarantine", "audit.restatement"),
    "sms": ("core.sms", "audit.control_total", "audit.quarantine", "audit.restatement"),
    "extension_total": ("core.extension_total", "audit.control_total"),
    "lists": ("core.account", "core.extension", "core.department", "core.bundle", "audit.restatement"),
    "invoices": ("core.invoice", "core.invoice_line", "audit.control_total"),
}
FETCHED = datetime(2026, 3, 20, 4, tzinfo=UTC)

Row = dict[str, Any]


def at(text: str) -> datetime:
    """``2026-03-02 09:00:00`` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def row(full_name: str, **values: Any) -> Row:
    """A row with every column; those not named are NULL."""
    names = table(full_name).column_names
    assert set(values) <= set(names), set(values) - set(names)
    return {name: values.get(name) for name in names}


def leg(cdr_id: str, started: str, seconds: int = 0, **values: Any) -> Row:
    """A leg of PBXware connection ``hq``, answered when it lasted; ``values`` override."""
    moment = at(started)
    known: Row = {
        "vendor": "pbxware",
        "connection": "hq",
        "account_id": "2",
        "native_id": values.get("linked_id", cdr_id),
        "linked_id": cdr_id,
        "occurrence": 1,
        "started_at": moment,
        "call_date": moment.date(),
        "direction": "outbound",
        "outcome": "answered" if seconds else "no_answer",
        "extension": "101",
        "duration_seconds": seconds,
        "currency": "EUR",
        "raw_row": 1,
        "fetched_at": FETCHED,
    }
    return row("core.cdr", cdr_id=cdr_id, **{**known, **values})


def invoice(invoice_id: str, issued_on: date, subtotal: str, tax: str = "0", **values: Any) -> Row:
    known: Row = {
        "vendor": "time4vps",
        "connection": "hosting",
        "number": f"N-{invoice_id}",
        "status": "paid",
        "issued_on": issued_on,
        "due_on": issued_on,
        "subtotal": Decimal(subtotal),
        "tax": Decimal(tax),
        "total": Decimal(subtotal) + Decimal(tax),
        "currency": "EUR",
        "counts_as_expense": True,
    }
    return row("core.invoice", invoice_id=invoice_id, **{**known, **values})


def line(invoice_id: str, line_id: str, total: str | None, **values: Any) -> Row:
    known: Row = {
        "vendor": "time4vps",
        "connection": "hosting",
        "type": "Hosting",
        "item_id": "7",
        "quantity": Decimal(1),
        "line_total": None if total is None else Decimal(total),
        "currency": "EUR",
    }
    return row("core.invoice_line", invoice_id=invoice_id, line_id=line_id, **{**known, **values})


def partition(
    folder: Path, stream: str, connection: str, day: date | None, vendor: str, rows: Mapping[str, Sequence[Row]]
) -> Partition:
    """Write the rows, by table, and name the files as a partition of the stream."""
    files = {}
    digest = hashlib.sha256()
    for full_name, entries in rows.items():
        if not entries:
            continue
        digest.update(repr((full_name, entries)).encode())
        path = folder / f"{digest.hexdigest()[:16]}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(list(entries), table(full_name).arrow()), path)
        files[full_name] = path
    return Partition(stream, connection, vendor, day, files, OWNED[stream], digest.hexdigest())


def cdr_days(folder: Path, legs: Sequence[Row], also: Sequence[date] = ()) -> list[Partition]:
    """The partitions of the legs, one a connection and day; ``also`` adds days of ``hq`` without legs."""
    days: dict[tuple[str, str, date], list[Row]] = {("hq", "pbxware", day): [] for day in also}
    for entry in legs:
        days.setdefault((entry["connection"], entry["vendor"], entry["call_date"]), []).append(entry)
    return [
        partition(folder, "cdr", connection, day, vendor, {"core.cdr": entries})
        for (connection, vendor, day), entries in days.items()
    ]


def load(load_id: str, window_to: date | None, connection: str = "hq", **values: Any) -> Row:
    known: Row = {
        "started_at": FETCHED,
        "finished_at": FETCHED,
        "vendor": "pbxware",
        "stream": "cdr",
        "window_from": window_to,
        "window_to": window_to,
        "status": "loaded",
        "rows": 1,
    }
    return row("audit.load", load_id=load_id, connection=connection, **{**known, **values})


def warehouse(data_dir: Path, **settings: Any) -> Database:
    """A database with UTC days, reporting in GBP."""
    known: Row = {"timezone": "UTC", "reporting_currency": "GBP", "reference_dir": None}
    return Database(data_dir, **{**known, **settings})


def query(database: Database, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query on the private database."""
    with duckdb.connect(database.private, read_only=True) as db:
        db.execute("SET TimeZone = 'UTC'")
        return db.execute(sql).fetchall()
