"""Where a figure comes from: one record followed from the mart back to the vendor's own words.

What lives here: finding a record by its id in the published database, and its landed response in raw. What does not:
how either was made. Telephone numbers and names are shown on a terminal only; anywhere else they are masked.
"""

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
from rich.table import Table

from assets.http import strict_json
from pipelines.settings import Settings
from pipelines.terminal import Terminal
from tollbook_errors import ContractError, StorageError
from warehouse.lake import Lake
from warehouse.published import open_public, public_file

# Where an id may stand, and which columns hold one.
_PLACES = (
    ("core.cdr", ("cdr_id", "native_id")),
    ("core.call", ("call_id",)),
    ("core.sms", ("sms_id", "native_id")),
    ("core.invoice", ("invoice_id", "number")),
)
_PRIVATE = re.compile(r"_text$|_name$|_number$|_e164$|^name$|^description$")


@dataclass
class Row:
    """One row of a table, by column."""

    table: str
    values: dict[str, Any]


@dataclass
class Traced:
    """A record, from the mart rows it is counted in back to what the vendor sent."""

    marts: list[Row] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    restatements: list[Row] = field(default_factory=list)
    raw: list[tuple[str, int, str, Any]] = field(default_factory=list)


def trace(settings: Settings, wanted: str) -> Traced:
    """Follow the record with this id. ContractError when there is none, StorageError when raw is gone.

    ConfigError when the zone of the business days was changed since the first load.
    """
    found = Traced()
    lake = Lake(settings.data_dir)
    lake.check_timezone(settings.timezone)
    with open_public(public_file(settings.data_dir)) as con:
        for table, columns in _PLACES:
            condition = " OR ".join(f"{column} = $wanted" for column in columns)
            found.rows += _rows(con, table, f"SELECT * FROM {table} WHERE {condition} LIMIT 50", {"wanted": wanted})
        if not found.rows:
            raise ContractError(
                "no record has this id", hint="take a cdr_id, call_id, sms_id or invoice_id from the database"
            )
        _add_relatives(con, found)
        for row in list(found.rows):
            found.marts += _marts(con, row)
            record = row.values.get("cdr_id") or row.values.get("sms_id") or row.values.get("invoice_id")
            found.restatements += _rows(
                con,
                "audit.restatement",
                "SELECT * FROM audit.restatement WHERE record_id = $id ORDER BY restated_at",
                {"id": record},
            )
    found.marts = _distinct(found.marts)
    found.restatements = _distinct(found.restatements)
    for file, number in sorted(
        {(r.values["raw_file"], r.values["raw_row"]) for r in found.rows if "raw_file" in r.values}
    ):
        found.raw.append((file, number, *_record(lake, file, number)))
    return found


def _add_relatives(con: duckdb.DuckDBPyConnection, found: Traced) -> None:
    """A leg's call with all its legs; an invoice's lines."""
    calls = {row.values["call_id"] for row in found.rows if row.table == "core.call"}
    for row in found.rows:
        if row.table == "core.cdr":
            query = "SELECT call_id FROM core.call_leg WHERE cdr_id = $id"
            calls |= {call for (call,) in con.execute(query, {"id": row.values["cdr_id"]}).fetchall()}
    for call in sorted(calls):
        found.rows += _rows(con, "core.call", "SELECT * FROM core.call WHERE call_id = $id", {"id": call})
        legs = "SELECT cdr.* FROM core.cdr JOIN core.call_leg USING (cdr_id) WHERE call_id = $id ORDER BY leg_number"
        found.rows += _rows(con, "core.cdr", legs, {"id": call})
    for row in [row for row in found.rows if row.table == "core.invoice"]:
        lines = "SELECT * FROM core.invoice_line WHERE connection = $connection AND invoice_id = $id ORDER BY line_id"
        key = {"connection": row.values["connection"], "id": row.values["invoice_id"]}
        found.rows += _rows(con, "core.invoice_line", lines, key)
    found.rows = _distinct(found.rows)


def _marts(con: duckdb.DuckDBPyConnection, row: Row) -> list[Row]:
    """The rows of the cost and usage marts that a record is counted in."""
    v = row.values
    if row.table == "core.cdr":
        query = """
            SELECT mart.* FROM mart.cost_daily AS mart JOIN core.cdr AS leg ON leg.cdr_id = $id
            WHERE mart.cost_date = leg.call_date AND mart.charge_kind = 'call' AND mart.connection = leg.connection
                AND mart.account_id IS NOT DISTINCT FROM leg.account_id
                AND mart.extension IS NOT DISTINCT FROM leg.extension AND mart.direction = leg.direction
                AND mart.currency = leg.currency
                AND mart.destination_country IS NOT DISTINCT FROM
                    CASE WHEN leg.direction = 'outbound' THEN leg.remote_country END"""
        return _rows(con, "mart.cost_daily", query, {"id": v["cdr_id"]})
    if row.table == "core.call":
        query = """
            SELECT * FROM mart.usage_daily WHERE call_date = $day AND connection = $connection
                AND account_id IS NOT DISTINCT FROM $account AND extension IS NOT DISTINCT FROM $extension
                AND direction = $direction"""
        key = {"day": v["call_date"], "connection": v["connection"], "account": v["account_id"]}
        return _rows(con, "mart.usage_daily", query, {**key, "extension": v["extension"], "direction": v["direction"]})
    if row.table == "core.invoice":
        query = (
            "SELECT * FROM mart.cost_daily WHERE cost_date = $day AND connection = $connection AND currency = $currency"
        )
        key = {"day": v["issued_on"], "connection": v["connection"], "currency": v["currency"]}
        return _rows(con, "mart.cost_daily", query, key)
    if row.table == "core.sms":
        query = """
            SELECT * FROM mart.cost_daily WHERE cost_date = $day AND connection = $connection AND charge_kind = 'sms'
                AND account_id IS NOT DISTINCT FROM $account AND direction = $direction"""
        key = {"day": v["sms_date"], "connection": v["connection"], "account": v["account_id"]}
        return _rows(con, "mart.cost_daily", query, {**key, "direction": v["direction"]})
    return []


def _rows(con: duckdb.DuckDBPyConnection, table: str, query: str, parameters: dict[str, Any]) -> list[Row]:
    result = con.execute(query, parameters)
    names = [column[0] for column in result.description or []]
    return [Row(table, dict(zip(names, row, strict=True))) for row in result.fetchall()]


def _distinct(rows: list[Row]) -> list[Row]:
    return list({(row.table, repr(row.values)): row for row in rows}.values())


def _record(lake: Lake, file: str, number: int) -> tuple[str, Any]:
    """What was asked and the one record of the response, as the vendor sent it; the whole response where it is one."""
    path = lake.data_dir / file
    if not path.exists():
        raise StorageError(f"{file} is not there", hint="restore it from a backup")
    landed = pq.read_table(path, filters=[("first_row", "<=", number)]).to_pylist()
    page = next(p for p in reversed(landed) if p["rows"] and p["first_row"] <= number < p["first_row"] + p["rows"])
    data = strict_json.loads(page["body"])
    position = number - page["first_row"]
    asked = f"{page['kind']} {page['request']} at {page['fetched_at']:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(data, dict) and isinstance(data.get("csv"), list):
        record = data["csv"][position]
        return asked, dict(zip(data["header"], record, strict=True)) if len(data["header"]) == len(record) else record
    if isinstance(data, dict) and isinstance(data.get("items"), list):
        return asked, data["items"][position]
    if isinstance(data, list):
        return asked, data[position]
    return asked, data


def show_trace(found: Traced) -> None:
    """Print the trace, newest layer first; private columns and raw records only where a person is reading."""
    terminal = sys.stdout.isatty()
    console = Terminal()
    for title, rows in (
        ("mart: where it is counted", found.marts),
        ("core: the typed record", found.rows),
        ("audit: how it was restated", found.restatements),
    ):
        for row in rows:
            console.print(_table(f"{title}: {row.table}", row.values, terminal))
    for file, number, asked, record in found.raw:
        console.print(f"raw: {Path(file)} record {number}", soft_wrap=True)
        console.print(f"     {asked}", soft_wrap=True)
        if terminal:
            console.print(json.dumps(record, default=str, ensure_ascii=False, indent=2), soft_wrap=True)
        else:
            console.print("     (the record is shown on a terminal only)")


def _table(title: str, values: dict[str, Any], terminal: bool) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in values.items():
        if value is not None:
            hidden = not terminal and (_PRIVATE.search(name) or name in ("before", "after"))
            table.add_row(name, "(shown on a terminal only)" if hidden else str(value))
    return table
