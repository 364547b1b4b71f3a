"""TIM4biz: what its extension totals mean, and the assets that load them. Reads top to bottom: raw, normalise, core.

What lives here: finding the fields of a reply whose schema is not public, and adding up the parts of a day. What does
not: what is asked (``sources.tim4biz``), comparing with the PBX (``warehouse/marts/extension_reconciliation.sql``).
"""

import re
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
from dagster import AssetExecutionContext, AssetsDefinition, BackfillPolicy, PartitionsDefinition, multi_asset

from assets.loading import Fetch, Normalised, Source, Stream, Window, bounds
from assets.materialize import (
    RESOURCE,
    Connection,
    asked_days,
    check_specs,
    core_specs,
    house,
    materialize_stream,
    raw_spec,
)
from assets.sources import strict_json
from assets.sources.page import Page
from assets.sources.tim4biz import Tim4biz, listed
from tollbook_errors import ContractError
from warehouse.lake import Landing, RawWriter
from warehouse.money import money
from warehouse.schema import EXTENSION_TOTAL

TOTALS = "extension_total"
# Names under which each field has been guessed or seen; compared without case and separators. The configuration's
# ``fields`` come first.
NAMES = {
    "extension": ("extension", "extensionnumber", "extensionno", "extn", "ext", "number"),
    "name": ("name", "extensionname", "username", "user", "description"),
    "calls": ("calls", "totalcalls", "callcount", "numberofcalls", "count"),
    "incoming": ("incoming", "incomingcalls", "inbound", "inboundcalls", "callsin"),
    "outgoing": ("outgoing", "outgoingcalls", "outbound", "outboundcalls", "callsout"),
    "duration_seconds": ("duration", "durationseconds", "totalduration", "seconds", "talktime", "totalseconds"),
    "cost": ("cost", "totalcost", "callcost", "charge", "totalcharge", "amount"),
}
_COUNTS = ("calls", "incoming", "outgoing", "duration_seconds")
_CLOCK = re.compile(r"(?:(\d{1,4})\.)?(\d{1,6}):(\d{2}):(\d{2})(?:\.\d+)?")

# --- raw -------------------------------------------------------------------------------------------------------------


def fetch_totals(source: Source, window: Window) -> Fetch:
    """A day's totals by extension."""
    day = window.first
    assert day is not None
    start, end = bounds(day, source.zone)

    def pages(writer: RawWriter) -> Iterable[Page]:
        return Tim4biz(source.client(), source.account_zone).totals(start, end, window=str(day))

    return pages


# --- normalise -------------------------------------------------------------------------------------------------------


def normalise_totals(source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date | None) -> Normalised:
    """One row per extension; the parts of a day that was asked for in parts are added up."""
    assert day is not None
    totals: dict[str, dict[str, Any]] = {}
    quarantine: list[dict[str, Any]] = []
    warnings: set[str] = set()
    for answer in source.lake.answers(landing):
        entries = listed(strict_json.loads(answer["body"])) or []
        columns = _columns(source, entries, day)
        for number, entry in enumerate(entries):
            place = {"raw_file": landing.file, "raw_row": answer["first_row"] + number}
            row, problem = _row(entry, columns)
            if problem:
                quarantine.append(
                    {
                        "window_date": day,
                        "vendor": source.vendor,
                        "connection": source.name,
                        "stream": TOTALS,
                        "reason": problem,
                        "page": answer["page"],
                        "fetched_at": answer["fetched_at"],
                        **place,
                    }
                )
                continue
            known = totals.get(row["extension"])
            if known is None:
                totals[row["extension"]] = {
                    "vendor": source.vendor,
                    "connection": source.name,
                    "total_date": day,
                    "currency": source.currency or "XXX",
                    "fetched_at": answer["fetched_at"],
                    **place,
                    **row,
                }
            else:
                known["name"] = known["name"] or row["name"]
                for field in (*_COUNTS, "cost"):
                    parts = [part for part in (known[field], row[field]) if part is not None]
                    known[field] = sum(parts[1:], parts[0]) if parts else None
    if source.currency is None:
        warnings.add("no currency is known; set currency for this connection")
    con.register("fresh_total", pa.Table.from_pylist(list(totals.values()), schema=EXTENSION_TOTAL.arrow()))
    return Normalised({EXTENSION_TOTAL: "fresh_total"}, quarantine=quarantine, warnings=sorted(warnings))


def _columns(source: Source, entries: list[dict[str, Any]], day: date) -> dict[str, str | None]:
    """Our name of each field -> the name it has in this reply; ContractError when none can be the extension."""
    theirs: dict[str, str] = {}
    for entry in entries:
        for name in entry:
            theirs.setdefault(_plain(name), name)
    found = {
        ours: next(
            (theirs[_plain(name)] for name in (source.fields.get(ours, ""), *names) if name and _plain(name) in theirs),
            None,
        )
        for ours, names in NAMES.items()
    }
    if entries and found["extension"] is None:
        raise ContractError(
            "no field of the reply can be the extension",
            connection=source.name,
            endpoint="ExtensionTotal",
            window=str(day),
            hint='name the fields in tollbook.toml: fields = { extension = "…", calls = "…" }',
        )
    return found


def _row(entry: dict[str, Any], columns: dict[str, str | None]) -> tuple[dict[str, Any], str | None]:
    """The fields of one extension, and what is wrong with them. What is absent is None, never zero."""
    said = {ours: entry.get(theirs) if theirs else None for ours, theirs in columns.items()}
    extension = str(said["extension"]).strip() if said["extension"] is not None else ""
    row: dict[str, Any] = {"extension": extension, "name": str(said["name"]) if said["name"] is not None else None}
    if not extension:
        return row, "there is no extension"
    for field in _COUNTS:
        row[field] = _seconds(said[field]) if field == "duration_seconds" else _count(said[field])
        if row[field] is None and said[field] not in (None, ""):
            return row, f"{field} is not a number"
    row["cost"] = money(said["cost"])
    if row["cost"] is None and said["cost"] not in (None, ""):
        return row, "the cost is not an amount"
    return row, None


def _count(value: Any) -> int | None:
    amount = money(value)
    return int(amount) if amount is not None and amount == int(amount) and amount >= 0 else None


def _seconds(value: Any) -> int | None:
    """Seconds given as a number, as ``hh:mm:ss`` or as ``d.hh:mm:ss``."""
    clock = _CLOCK.fullmatch(str(value).strip()) if value is not None else None
    if clock:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    amount = money(value)
    return int(amount.to_integral_value()) if amount is not None and amount >= Decimal(0) else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


# --- core ------------------------------------------------------------------------------------------------------------


def totals_stream(source: Source) -> Stream:
    """Extension totals by business day."""
    return Stream(TOTALS, (EXTENSION_TOTAL,), lambda con, landing, day: normalise_totals(source, con, landing, day))


# --- assets ----------------------------------------------------------------------------------------------------------


def tim4biz_assets(connection: Connection, days: PartitionsDefinition[str]) -> list[AssetsDefinition]:
    """The assets of one TIM4biz connection: its totals by extension and day."""

    @multi_asset(
        name=f"{connection.key}_{TOTALS}",
        specs=[
            raw_spec(
                connection,
                TOTALS,
                "Answers of `ExtensionTotal`, one business day each; a day that is too long a period for TIM4biz is "
                "asked for in parts.",
                partitions=days,
            ),
            *core_specs(connection, TOTALS, (EXTENSION_TOTAL,), partitions=days),
        ],
        check_specs=check_specs(connection, TOTALS),
        required_resource_keys={RESOURCE},
        backfill_policy=BackfillPolicy.single_run(),
        pool=connection.pool,
    )
    def extension_total(context: AssetExecutionContext) -> Iterator[Any]:
        source = house(context).source(connection.name, context)
        yield from materialize_stream(
            context, source, totals_stream(source), asked_days(context), lambda window: fetch_totals(source, window)
        )

    return [extension_total]
