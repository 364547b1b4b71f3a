"""TIM4biz's totals by extension as rows of ``core.extension_total``.

What lives here: finding the fields of a response whose schema is not public, reading its rows, and adding up the parts
of a day. What does not: what is asked (``api``), reading a duration (``durations``), which rows add up others
(``total_rows``), the proof of several days (``controls``), and comparing with the PBX
(``warehouse/marts/extension_reconciliation.sql``).
"""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb

from assets.controls import quarantined_as
from assets.http import strict_json
from assets.http.page import REFUSED
from assets.parsing import origin, register_rows, whole_number
from assets.stream import Source
from assets.tim4biz.api import RANGE_TOTALS, listed
from assets.tim4biz.controls import TOTALS, given, range_controls
from assets.tim4biz.durations import DURATION, Unit, has_fraction, read_duration, whole_seconds
from assets.tim4biz.total_rows import COUNTS, Rows, no_extension, sums_of_others
from tollbook_errors import ContractError
from warehouse.merge import Normalised
from warehouse.money import written_amounts
from warehouse.raw import Landing
from warehouse.schema import EXTENSION_TOTAL

_DURATIONS = ("duration", "totalduration", "talktime", "totaltalktime", "callduration")


def _names_of_durations(*units: str) -> tuple[str, ...]:
    """Names of a duration with its unit, such as ``durationminutes``, ``totalminutes`` and ``minutes``."""
    bases = (*_DURATIONS, "total", "")
    return tuple(base + unit for base in bases for unit in units if base in _DURATIONS or len(unit) > 2)


# Names under which each field has been guessed or seen; compared without case and separators. The configuration's
# ``fields`` come first.
NAMES = {
    "extension": ("extension", "extensionnumber", "extensionno", "extn", "ext", "number"),
    "name": ("name", "extensionname", "username", "user", "description"),
    "calls": ("calls", "totalcalls", "callcount", "numberofcalls", "count"),
    "incoming": ("incoming", "incomingcalls", "inbound", "inboundcalls", "callsin"),
    "outgoing": ("outgoing", "outgoingcalls", "outbound", "outboundcalls", "callsout"),
    "duration_seconds": (
        *_names_of_durations("seconds", "secs", "sec", "s"),
        *_DURATIONS,
        *_names_of_durations("hhmmss", "hmmss", "mmss", "hhmm", "hmm"),
        *_names_of_durations("minutes", "mins", "min", "m"),
        *_names_of_durations("hours", "hrs", "h"),
    ),
    "cost": ("cost", "totalcost", "callcost", "charge", "totalcharge", "amount"),
}


def normalise_totals(source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date | None) -> Normalised:
    """One row per extension; the parts of a day that was asked for in parts are added up."""
    assert day is not None
    responses = source.lake.raw.responses(landing)
    of_range = [response for response in responses if response["kind"] in (RANGE_TOTALS, REFUSED)]
    of_day = [response for response in responses if response not in of_range]
    found = read_totals(source, landing, of_day, day)
    rows = found.rows
    controls = _range_controls(source, landing, of_range[0], found, day) if of_range else []
    warnings = [] if source.currency else ["no currency is known; set currency for this connection"]
    fields = (*COUNTS, "duration_seconds", "cost")
    absent = [field for field in fields if rows and not any(given(row, field) for row in rows)]
    if absent:
        others = ", ".join(_others(source, of_day, day)) or "none"
        warnings.append(
            f"no extension has {', '.join(absent)}; fields that were not read: {others} (name them in fields)"
        )
    tables = register_rows(con, {EXTENSION_TOTAL: rows})
    return Normalised(tables, controls, found.quarantine, warnings=warnings + found.warnings())


@dataclass
class Totals:
    """The totals by extension that the responses add up to, the rows for what could not be understood, and the
    warnings.

    Each total has its duration exactly as well: ``seconds``, and ``number`` of an unknown unit. ``unsure`` is by how
    much the durations can be off because the vendor rounds them.
    """

    rows: Rows
    quarantine: Rows
    left_out: int = 0
    unread_costs: int = 0
    fractions: int = 0
    short_clocks: int = 0
    unsure: Decimal = Decimal(0)

    def warnings(self) -> list[str]:
        found = []
        if self.left_out:
            found.append(f"{self.left_out} rows that add up others (totals) are no extensions and were left out")
        if self.unread_costs:
            found.append(
                f"the costs of {self.unread_costs} extensions cannot be read and are empty (unrated): they are not "
                "in the connection's currency, or a comma or point in them can stand for two things"
            )
        if self.fractions:
            found.append(
                f"the durations of {self.fractions} extensions are numbers with a fraction and without a unit: "
                "duration_seconds is empty where the PBX's calls do not tell it; set it, as in "
                'fields = { duration_unit = "minutes" }'
            )
        if self.short_clocks:
            found.append(
                f"{self.short_clocks} durations such as 12:30 are read as minutes and seconds unless the PBX's calls "
                'tell another unit; set it: fields = { duration_unit = "mm:ss" } or "h:mm"'
            )
        return found


def read_totals(source: Source, landing: Landing, responses: Rows, day: date) -> Totals:
    """What these responses, the parts of a day or a whole range, say of each extension."""
    totals: dict[str, dict[str, Any]] = {}
    unrated: set[str] = set()
    found = Totals([], [])
    for response in responses:
        entries = listed(strict_json.loads(response["body"])) or []
        columns = _columns(source, entries, day)
        unit = Unit.of(source.fields.get("duration_unit"), columns["duration_seconds"])
        reported = [entry.get(columns["cost"]) if columns["cost"] else None for entry in entries]
        costs = written_amounts(reported, source.currency)
        unrated_rows = [cost is None and text not in (None, "") for cost, text in zip(costs, reported, strict=True)]
        read = [_row(entry, columns, cost) for entry, cost in zip(entries, costs, strict=True)]
        understood = [number for number, (_, problem) in enumerate(read) if problem is None]
        # The costs add up to nothing where one of them is not known.
        whole = {"cost": None} if any(unrated_rows) else {}
        sums = {understood[n] for n in sums_of_others([read[number][0] | whole for number in understood])}
        found.left_out += len(sums)
        # Beside a clock of three parts one of two has minutes and seconds; by itself it may have hours and minutes.
        full = [row for row, problem in read if not problem and not row["is_short"]]
        clock_is_known = unit.clock_is_known or any(row["seconds"] for row in full)
        has_numbers = any(row["number"] for row in full)  # the calls may show the unit of these, never that of a clock
        for number, (row, unread) in enumerate(read):
            if number in sums:
                continue
            place = origin(source, landing, response, number)
            problem = unread or no_extension(row["extension"])
            if problem:
                found.quarantine.append({**place, **quarantined_as(TOTALS, day, problem, response["page"])})
                continue
            if unrated_rows[number]:
                unrated.add(row["extension"])
            found.short_clocks += row["is_short"] and not clock_is_known
            if row["is_short"] and not clock_is_known and not has_numbers:
                row["seconds"], row["number"] = None, row["seconds"]
            else:
                found.unsure += unit.to_seconds(row)
            known = totals.get(row["extension"])
            if known is None:
                currency = source.currency or "XXX"
                totals[row["extension"]] = {**place, "total_date": day, "currency": currency, **row}
            else:
                known["name"] = known["name"] or row["name"]
                for field in (*COUNTS, *DURATION, "cost"):
                    parts = [part for part in (known[field], row[field]) if part is not None]
                    known[field] = sum(parts[1:], parts[0]) if parts else None
    found.rows = list(totals.values())
    found.unread_costs = len(unrated)
    for extension in unrated:
        totals[extension]["cost"] = None
    found.fractions = sum(has_fraction(row["number"]) for row in found.rows)
    for row in found.rows:
        row["duration_figure"] = row["number"] if row["seconds"] is None else None
        exact = [part for part in (row["seconds"], row["number"]) if part is not None]
        row["duration_seconds"] = (
            whole_seconds(sum(exact)) if exact and not (found.fractions and row["number"]) else None
        )
    return found


def _range_controls(source: Source, landing: Landing, whole: dict[str, Any], first: Totals, day: date) -> Rows:
    """The control totals of a range, of its days as this load read them."""
    parts, last = [first], day
    for what, generation in landing.depends_on.items():
        stream, _, name = what.partition(" ")
        if stream == TOTALS and name:
            other = date.fromisoformat(name)
            last = max(last, other)
            read = source.lake.raw.landing_at(source.name, TOTALS, generation, other)
            responses = [a for a in source.lake.raw.responses(read) if a["kind"] not in (RANGE_TOTALS, REFUSED)]
            parts.append(read_totals(source, read, responses, other))
    theirs = read_totals(source, landing, [whole], day)
    # What was set aside of the whole is missing from its sum.
    comparable = whole["kind"] == RANGE_TOTALS and not theirs.quarantine
    return range_controls(
        source,
        (day, last),
        [row for part in parts for row in part.rows],
        theirs.rows if comparable else None,
        whole["fetched_at"],
        unread_costs=any(part.unread_costs for part in (*parts, theirs)),
        unsure=sum((part.unsure for part in (*parts, theirs)), Decimal(0)),
    )


def _columns(source: Source, entries: list[dict[str, Any]], day: date) -> dict[str, str | None]:
    """Our name of each field -> the name it has in this response; ContractError when none can be the extension."""
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
            "no field of the response can be the extension",
            connection=source.name,
            endpoint="ExtensionTotal",
            window=str(day),
            hint='name the fields in tollbook.toml: fields = { extension = "…", calls = "…" }',
        )
    return found


def _others(source: Source, responses: Rows, day: date) -> list[str]:
    """The names of the fields that stand for none of ours; what is not a name but may be a number is left out."""
    found: set[str] = set()
    for response in responses:
        entries = listed(strict_json.loads(response["body"])) or []
        found |= {name for entry in entries for name in entry} - set(_columns(source, entries, day).values())
    return sorted(
        name for name in found if re.fullmatch(r"[\w .()%£$€/-]{1,40}", name) and not re.search(r"\d{3}", name)
    )


def _row(
    entry: dict[str, Any], columns: dict[str, str | None], cost: Decimal | None
) -> tuple[dict[str, Any], str | None]:
    """The fields of one row with its cost, and what is wrong with them. What is absent is None, never zero.

    Its duration is a ``number`` without a unit, or ``seconds``; ``is_short``: of a clock of two parts, read as minutes
    and seconds.
    """
    reported = {ours: entry.get(theirs) if theirs else None for ours, theirs in columns.items()}
    extension = str(reported["extension"]).strip() if reported["extension"] is not None else ""
    row: dict[str, Any] = {
        "extension": extension,
        "name": str(reported["name"]) if reported["name"] is not None else None,
    }
    row |= {"seconds": None, "number": None, "is_short": False, "cost": cost}
    for field in COUNTS:
        count = whole_number(reported[field])
        row[field] = count if count is not None and count >= 0 else None
        if row[field] is None and reported[field] not in (None, ""):
            return row, f"{field} is not a number"
    if reported["duration_seconds"] not in (None, ""):
        duration = read_duration(reported["duration_seconds"])
        if duration is None:
            return row, "the duration is not understood"
        row |= duration
    return row, None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
