"""TIM4biz: what its extension totals mean, and the assets that load them. Reads top to bottom: raw, normalise, core.

What lives here: finding the fields of a reply whose schema is not public, adding up the parts of a day, and proving
that days add up to what TIM4biz says of all of them at once. What does not: what is asked (``sources.tim4biz``),
comparing with the PBX (``warehouse/marts/extension_reconciliation.sql``).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
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
from assets.proof import control_total
from assets.sources import strict_json
from assets.sources.page import Page
from assets.sources.tim4biz import REFUSED, STRETCH, Tim4biz, listed
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
# Control totals of several days at once, by the figure they compare.
STRETCHES = {"stretch_calls": "calls", "stretch_seconds": "duration_seconds", "stretch_cost": "cost"}
CONTROLS = {
    check: f"Sum of {field} of the days of a load against TIM4biz's own totals of all of them at once."
    for check, field in STRETCHES.items()
}
LONGEST = 28  # days in a stretch; TIM4biz refuses long periods, and does not say which are
_COUNTS = ("calls", "incoming", "outgoing", "duration_seconds")
_CLOCK = re.compile(r"(?:(\d{1,4})\.)?(\d{1,6}):(\d{2}):(\d{2})(?:\.\d+)?")

# --- raw -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stretch:
    """Business days in a row, all over, that one load reads: their totals must be those of all of them at once.

    The first is read last, when what the others said is known, and has the proof: a day that falls out of the
    look-back keeps it.
    """

    days: tuple[date, ...]
    begun: datetime

    @classmethod
    def of(cls, windows: Sequence[Window], source: Source) -> "Stretch | None":
        """The stretch that a load of these days can be proved by; None where it is shorter than two days."""
        begun = source.lake.now()
        days = tuple(sorted(w.first for w in windows if w.first and bounds(w.first, source.zone)[1] <= begun))
        whole = len(days) > 1 and (days[-1] - days[0]).days == len(days) - 1
        return cls(days, begun) if whole else None

    def read_before(self, source: Source, writer: RawWriter) -> bool:
        """Whether this load has read every day but the first; the landing then depends on what it read."""
        landings = [source.lake.last_landing(source.name, TOTALS, day, day) for day in self.days[1:]]
        if any(landing is None or landing.started_at < self.begun for landing in landings):
            return False
        for landing in filter(None, landings):
            writer.depend_on(f"{TOTALS} {landing.window_from}", landing.content_generation)
        return True


def in_stretches(windows: Sequence[Window]) -> list[Sequence[Window]]:
    """The days of a load in the order in which to read them, stretch by stretch."""
    parts = [windows[start : start + LONGEST] for start in range(0, len(windows), LONGEST)]
    return [[*others, first] for first, *others in parts]


def fetch_totals(source: Source, window: Window, stretches: Sequence[Stretch] = ()) -> Fetch:
    """A day's totals by extension; with the first day of a stretch those of all of it as well."""
    day = window.first
    assert day is not None
    start, end = bounds(day, source.zone)

    def pages(writer: RawWriter) -> Iterator[Page]:
        vendor = Tim4biz(source.client(), source.account_zone)
        yield from vendor.totals(start, end, window=str(day))
        for stretch in stretches:
            if day == stretch.days[0] and stretch.read_before(source, writer):
                yield vendor.stretch(start, bounds(stretch.days[-1], source.zone)[1], window=str(day))

    return pages


# --- normalise -------------------------------------------------------------------------------------------------------


def normalise_totals(source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date | None) -> Normalised:
    """One row per extension; the parts of a day that was asked for in parts are added up."""
    assert day is not None
    answers = source.lake.answers(landing)
    of_stretch = [answer for answer in answers if answer["kind"] in (STRETCH, REFUSED)]
    of_day = [answer for answer in answers if answer not in of_stretch]
    rows, quarantine = _totals(source, landing, of_day, day)
    controls = _stretch_controls(source, landing, of_stretch[0], rows, day) if of_stretch else []
    con.register("fresh_total", pa.Table.from_pylist(rows, schema=EXTENSION_TOTAL.arrow()))
    warnings = [] if source.currency else ["no currency is known; set currency for this connection"]
    if absent := [field for field in (*_COUNTS, "cost") if rows and all(row[field] is None for row in rows)]:
        others = ", ".join(_others(source, of_day, day)) or "none"
        warnings.append(
            f"no extension has {', '.join(absent)}; fields that were not read: {others} (name them in fields)"
        )
    return Normalised({EXTENSION_TOTAL: "fresh_total"}, controls, quarantine, warnings=warnings)


Rows = list[dict[str, Any]]


def _totals(source: Source, landing: Landing, answers: Rows, day: date) -> tuple[Rows, Rows]:
    """The totals by extension that these answers add up to, and the rows for what could not be understood."""
    totals: dict[str, dict[str, Any]] = {}
    quarantine: list[dict[str, Any]] = []
    for answer in answers:
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
    return list(totals.values()), quarantine


def _stretch_controls(source: Source, landing: Landing, whole: dict[str, Any], first: Rows, day: date) -> Rows:
    """The sum of the days of a stretch, as this load read them, against TIM4biz's own totals of the whole stretch."""
    ours, last = list(first), day
    for what, generation in landing.depends_on.items():
        stream, _, name = what.partition(" ")
        if stream == TOTALS and name:
            other = date.fromisoformat(name)
            last = max(last, other)
            read = source.lake.landing_at(source.name, TOTALS, generation, other)
            answers = [a for a in source.lake.answers(read) if a["kind"] not in (STRETCH, REFUSED)]
            ours += _totals(source, read, answers, other)[0]
    theirs, unread = _totals(source, landing, [whole], day)
    told = whole["kind"] == STRETCH and not unread  # what was set aside of the whole is missing from its sum
    subject = f"{day}..{last}"
    rows = []
    for check, field in STRETCHES.items():
        figures = _sum(ours, field), _sum(theirs, field) if told else None
        currency = (source.currency or "XXX") if field == "cost" else None
        rows.append(control_total(source, TOTALS, day, None, check, *figures, whole["fetched_at"], subject, currency))
    return rows


def _sum(rows: Rows, field: str) -> Decimal | None:
    """The sum of one figure; None where rows there are, but none says it."""
    said = [Decimal(row[field]) for row in rows if row[field] is not None]
    return sum(said, Decimal(0)) if said or not rows else None


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


def _others(source: Source, answers: Rows, day: date) -> list[str]:
    """The names of the fields that stand for none of ours; what is not a name but may be a number is left out."""
    found: set[str] = set()
    for answer in answers:
        entries = listed(strict_json.loads(answer["body"])) or []
        found |= {name for entry in entries for name in entry} - set(_columns(source, entries, day).values())
    return sorted(
        name for name in found if re.fullmatch(r"[\w .()%£$€/-]{1,40}", name) and not re.search(r"\d{3}", name)
    )


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
    return Stream(
        TOTALS, (EXTENSION_TOTAL,), lambda con, landing, day: normalise_totals(source, con, landing, day), CONTROLS
    )


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
        check_specs=check_specs(connection, TOTALS, CONTROLS),
        required_resource_keys={RESOURCE},
        backfill_policy=BackfillPolicy.single_run(),
        pool=connection.pool,
    )
    def extension_total(context: AssetExecutionContext) -> Iterator[Any]:
        source = house(context).source(connection.name, context)
        parts = in_stretches(asked_days(context))
        stretches = [stretch for part in parts if (stretch := Stretch.of(part, source))]
        yield from materialize_stream(
            context,
            source,
            totals_stream(source),
            [window for part in parts for window in part],
            lambda window: fetch_totals(source, window, stretches),
        )

    return [extension_total]
