"""TIM4biz: what its extension totals mean, and the assets that load them. Reads top to bottom: raw, normalise, core.

What lives here: finding the fields of a reply whose schema is not public, and the rows and units in it; adding up the
parts of a day, and proving that days add up to what TIM4biz says of all of them at once. What does not: what is asked
(``sources.tim4biz``), comparing with the PBX (``warehouse/marts/extension_reconciliation.sql``), and finding by its
calls the unit of durations that nothing in the reply says (``warehouse/duration_unit.sql``): core depends on the
landings of its own connection alone.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import reduce
from typing import Any

import duckdb
import pyarrow as pa
from dagster import AssetExecutionContext, AssetsDefinition, BackfillPolicy, PartitionsDefinition, multi_asset

from assets.controls import control_total
from assets.http import strict_json
from assets.http.page import REFUSED, Page
from assets.load import Fetch, Normalised, Source, Stream, Window, bounds
from assets.materialize import (
    RESOURCE,
    Connection,
    asked_days,
    check_specs,
    core_specs,
    materialize_stream,
    raw_spec,
    runtime,
    typed_errors,
)
from assets.tim4biz.api import STRETCH, Tim4biz, listed
from tollbook_errors import ContractError
from warehouse.lake import Landing, RawWriter
from warehouse.money import money, written_amounts
from warehouse.schema import EXTENSION_TOTAL

TOTALS = "extension_total"
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
# Words that name a row of totals, in the languages of those who use TIM4biz.
_TOTAL_WORDS = (
    "totals?|subtotals?|totale|totali|totaux|totaal|totales|totalt|sum|sums|somme|summe|gesamt|gesamtsumme|insgesamt|"
    "zwischensumme|suma|razem|summa|viso|toplam|итого|всего|合計|总计|總計"
)
_NAMES_TOTALS = re.compile(rf"\b(?:{_TOTAL_WORDS})\b", re.IGNORECASE)
_IS_TOTALS = re.compile(rf"(?:(?:grand|sub|overall|iš|all|{_TOTAL_WORDS})[\s:.-]*)+", re.IGNORECASE)
# Control totals of several days at once, by the figure they compare.
STRETCHES = {"stretch_calls": "calls", "stretch_seconds": "duration_seconds", "stretch_cost": "cost"}
CONTROLS = {
    check: f"Sum of {field} of the days of a load against TIM4biz's own totals of all of them at once."
    for check, field in STRETCHES.items()
}
LONGEST = 28  # days in a stretch; TIM4biz refuses long periods, and does not say which are
_COUNTS = ("calls", "incoming", "outgoing")
_DURATION = ("seconds", "number")
_CLOCK = re.compile(r"(?:(\d{1,4})\.)?(\d{1,6}):([0-5]\d):([0-5]\d(?:[.,]\d{1,9})?)", re.ASCII)
_SHORT_CLOCK = re.compile(r"(\d{1,6}):([0-5]\d)", re.ASCII)
# 1h 2m 3s, 10.5 min, 630 sec, PT10M30S
_AMOUNT = r"(\d{1,9}(?:[.,]\d{1,9})?)\s*"
_SPELLED = re.compile(
    rf"p?\s*(?:{_AMOUNT}(?:d|days?))?[\s,]*t?(?:{_AMOUNT}(?:h|hrs?|hours?))?[\s,]*"
    rf"(?:{_AMOUNT}(?:m|mins?|minutes?))?[\s,]*(?:{_AMOUNT}(?:s|secs?|seconds?))?[.]?",
    re.ASCII,
)

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
    responses = source.lake.responses(landing)
    of_stretch = [response for response in responses if response["kind"] in (STRETCH, REFUSED)]
    of_day = [response for response in responses if response not in of_stretch]
    found = _totals(source, landing, of_day, day)
    rows = found.rows
    controls = _stretch_controls(source, landing, of_stretch[0], found, day) if of_stretch else []
    con.register("fresh_total", pa.Table.from_pylist(rows, schema=EXTENSION_TOTAL.arrow()))
    warnings = [] if source.currency else ["no currency is known; set currency for this connection"]
    fields = (*_COUNTS, "duration_seconds", "cost")
    absent = [field for field in fields if rows and not any(_given(row, field) for row in rows)]
    if absent:
        others = ", ".join(_others(source, of_day, day)) or "none"
        warnings.append(
            f"no extension has {', '.join(absent)}; fields that were not read: {others} (name them in fields)"
        )
    return Normalised(
        {EXTENSION_TOTAL: "fresh_total"}, controls, found.quarantine, warnings=warnings + found.warnings()
    )


Rows = list[dict[str, Any]]


@dataclass
class _Totals:
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


def _totals(source: Source, landing: Landing, responses: Rows, day: date) -> _Totals:
    """What these responses, the parts of a day or a whole stretch, say of each extension."""
    totals: dict[str, dict[str, Any]] = {}
    unrated: set[str] = set()
    found = _Totals([], [])
    for response in responses:
        entries = listed(strict_json.loads(response["body"])) or []
        columns = _columns(source, entries, day)
        unit = _Unit.of(source.fields.get("duration_unit"), columns["duration_seconds"])
        reported = [entry.get(columns["cost"]) if columns["cost"] else None for entry in entries]
        costs = written_amounts(reported, source.currency)
        unrated_rows = [cost is None and text not in (None, "") for cost, text in zip(costs, reported, strict=True)]
        read = [_row(entry, columns, cost) for entry, cost in zip(entries, costs, strict=True)]
        understood = [number for number, (_, problem) in enumerate(read) if problem is None]
        # The costs add up to nothing where one of them is not known.
        whole = {"cost": None} if any(unrated_rows) else {}
        sums = {understood[n] for n in _sums_of_others([read[number][0] | whole for number in understood])}
        found.left_out += len(sums)
        # Beside a clock of three parts one of two has minutes and seconds; by itself it may have hours and minutes.
        full = [row for row, problem in read if not problem and not row["is_short"]]
        tells_clock = unit.tells_clock or any(row["seconds"] for row in full)
        has_numbers = any(row["number"] for row in full)  # whose unit the calls may tell, and not that of a clock
        for number, (row, unread) in enumerate(read):
            if number in sums:
                continue
            place = {"raw_file": landing.file, "raw_row": response["first_row"] + number}
            problem = unread or _no_extension(row["extension"])
            if problem:
                found.quarantine.append(
                    {
                        "window_date": day,
                        "vendor": source.vendor,
                        "connection": source.name,
                        "stream": TOTALS,
                        "reason": problem,
                        "page": response["page"],
                        "fetched_at": response["fetched_at"],
                        **place,
                    }
                )
                continue
            if unrated_rows[number]:
                unrated.add(row["extension"])
            found.short_clocks += row["is_short"] and not tells_clock
            if row["is_short"] and not tells_clock and not has_numbers:
                row["seconds"], row["number"] = None, row["seconds"]
            else:
                found.unsure += unit.to_seconds(row)
            known = totals.get(row["extension"])
            if known is None:
                totals[row["extension"]] = {
                    "vendor": source.vendor,
                    "connection": source.name,
                    "total_date": day,
                    "currency": source.currency or "XXX",
                    "fetched_at": response["fetched_at"],
                    **place,
                    **row,
                }
            else:
                known["name"] = known["name"] or row["name"]
                for field in (*_COUNTS, *_DURATION, "cost"):
                    parts = [part for part in (known[field], row[field]) if part is not None]
                    known[field] = sum(parts[1:], parts[0]) if parts else None
    found.rows = list(totals.values())
    found.unread_costs = len(unrated)
    for extension in unrated:
        totals[extension]["cost"] = None
    found.fractions = sum(_has_fraction(row["number"]) for row in found.rows)
    for row in found.rows:
        row["duration_figure"] = row["number"] if row["seconds"] is None else None
        exact = [part for part in (row["seconds"], row["number"]) if part is not None]
        row["duration_seconds"] = _whole(sum(exact)) if exact and not (found.fractions and row["number"]) else None
    return found


def _stretch_controls(source: Source, landing: Landing, whole: dict[str, Any], first: _Totals, day: date) -> Rows:
    """The sum of the days of a stretch, as this load read them, against TIM4biz's own totals of the whole stretch."""
    parts, last = [first], day
    for what, generation in landing.depends_on.items():
        stream, _, name = what.partition(" ")
        if stream == TOTALS and name:
            other = date.fromisoformat(name)
            last = max(last, other)
            read = source.lake.landing_at(source.name, TOTALS, generation, other)
            responses = [a for a in source.lake.responses(read) if a["kind"] not in (STRETCH, REFUSED)]
            parts.append(_totals(source, read, responses, other))
    theirs = _totals(source, landing, [whole], day)
    ours = [row for part in parts for row in part.rows]
    # What was set aside of the whole is missing from its sum.
    comparable = whole["kind"] == STRETCH and not theirs.quarantine
    subject = f"{day}..{last}"
    rows = []
    for check, field in STRETCHES.items():
        unread = field == "cost" and any(part.unread_costs for part in (*parts, theirs))
        figures = _sum(ours, field), _sum(theirs.rows, field) if comparable and not unread else None
        currency = (source.currency or "XXX") if field == "cost" else None
        unsure = sum((part.unsure for part in (*parts, theirs) if field == "duration_seconds"), Decimal(0))
        rows.append(
            control_total(source, TOTALS, day, None, check, *figures, whole["fetched_at"], subject, currency, unsure)
        )
    return rows


def _sum(rows: Rows, field: str) -> Decimal | None:
    """The sum of one figure; None where rows there are, but none says it. Durations exactly, in the unit they have."""
    reported = [Decimal(part) for row in rows for part in _given(row, field)]
    return sum(reported, Decimal(0)) if reported or not rows else None


def _given(row: dict[str, Any], field: str) -> list[Any]:
    """What a row gives of a figure; of a duration also what has no unit."""
    names = _DURATION if field == "duration_seconds" else (field,)
    return [row[name] for name in names if row[name] is not None]


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
    for field in _COUNTS:
        row[field] = _count(reported[field])
        if row[field] is None and reported[field] not in (None, ""):
            return row, f"{field} is not a number"
    if reported["duration_seconds"] not in (None, ""):
        duration = _duration(reported["duration_seconds"])
        if duration is None:
            return row, "the duration is not understood"
        row |= duration
    return row, None


def _count(value: Any) -> int | None:
    amount = money(value)
    return int(amount) if amount is not None and amount == int(amount) and amount >= 0 else None


def _no_extension(extension: str) -> str | None:
    """Why a row that adds up no others is no extension all the same; None where it is one."""
    if not extension:
        return "there is no extension"
    return "a row of totals that is not the sum of other rows" if _NAMES_TOTALS.search(extension) else None


# --- normalise: durations --------------------------------------------------------------------------------------------

_SECONDS = {  # in one of what a field's name or tollbook.toml names
    r"se[ck](?:o|u)nd|secs?\b|[(\[_/\s]s[)\]]?$": 1,
    r"minut|mins?\b|[(\[_/\s]m[)\]]?$": 60,
    r"hour|stunde|hrs?\b|[(\[_/\s]h[)\]]?$": 3600,
}


@dataclass(frozen=True)
class _Unit:
    """What durations are in where they do not say it: seconds in a ``number`` of 1 (None: unknown) and in a ``clock``'s
    last part, 1 for 12:30 as minutes and seconds, 60 as hours and minutes. ``tells_clock``: that this is known.
    """

    number: int | None
    clock: int
    tells_clock: bool

    @classmethod
    def of(cls, configured: str | None, field: str | None) -> "_Unit":
        """As configured, else as the field's name says."""
        for text in (configured, field):
            name = (text or "").strip().lower()
            number = next((seconds for pattern, seconds in _SECONDS.items() if re.search(pattern, name)), None)
            clock = re.search(r"m+(?::?s+)?\b", name) if re.search(r"hh?:?mm|mm?:?ss", name) else None
            if number or clock:
                hours = number == 3600 if not clock else not clock[0].endswith("s")
                return cls(None if clock else number, 60 if hours else 1, tells_clock=True)
        return cls(None, 1, tells_clock=False)

    def to_seconds(self, row: dict[str, Any]) -> Decimal:
        """Make ``seconds`` of a row's duration unless its unit is unknown; by how much the vendor may have rounded."""
        number, unit = row["number"], self.number or 1
        if row["is_short"]:
            row["seconds"] *= self.clock
            return Decimal(self.clock - 1)
        if number is None:
            return Decimal(0)
        if self.number is not None:
            row["seconds"], row["number"] = number * unit, None
        return _last_place([number]) * unit if unit > 1 or _has_fraction(number) else Decimal(0)


def _duration(value: Any) -> dict[str, Any] | None:
    """The fields of ``_row`` that a duration makes; None where it is none."""
    text = str(value).strip().lower()
    if clock := _SHORT_CLOCK.fullmatch(text):
        return {"seconds": Decimal(int(clock[1]) * 60 + int(clock[2])), "is_short": True}
    spelled = _CLOCK.fullmatch(text) or _SPELLED.fullmatch(text)
    if spelled and any(spelled.groups()):
        days, hours, minutes, seconds = (Decimal((part or "0").replace(",", ".")) for part in spelled.groups())
        return {"seconds": ((days * 24 + hours) * 60 + minutes) * 60 + seconds}
    if isinstance(value, str):
        # A comma before three digits may stand between thousands.
        if re.fullmatch(r"\d+,(?!\d{3}$)\d+", text):
            text = text.replace(",", ".")
        elif re.fullmatch(r"\d{1,3}(?:,\d{3})+\.\d+", text):
            text = text.replace(",", "")
        elif re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+", text):
            text = text.replace(".", "").replace(",", ".")
        value = text
    number = money(value)
    return None if number is None or number < 0 else {"number": number}


def _has_fraction(number: Decimal | None) -> bool:
    return number is not None and number != number.to_integral_value()


def _last_place(numbers: Iterable[Decimal]) -> Decimal:
    """One in the last decimal place that any of these has."""
    exponents = (int(number.normalize().as_tuple().exponent) for number in numbers)
    return Decimal(1).scaleb(min(0, *exponents, 0))


def _whole(seconds: Decimal | int) -> int:
    return int(Decimal(seconds).to_integral_value(ROUND_HALF_UP))


# --- normalise: rows of totals ---------------------------------------------------------------------------------------

_FIGURES = (*_COUNTS, *_DURATION, "cost")
_Sums = dict[str, Decimal]


def _sums_of_others(rows: Rows) -> set[int]:
    """Which of these rows, by number, add up others and so are no extensions of their own.

    Only one whose extension is empty, a word or named a total can be; and its figures must be those of all others, or
    of a run of rows with numbers before or after it, as a group's are. A word that is no known one for totals must add
    up several rows, and more than calls: an extension may have a name.
    """
    ranks = [_rank(row) for row in rows]
    maybe = sorted((number for number, rank in enumerate(ranks) if rank), key=lambda number: -ranks[number])
    upto = [_total([])]
    if not maybe:
        return set()
    for row, rank in zip(rows, ranks, strict=True):
        upto.append(upto[-1] if rank else _added(upto[-1], row))
    places = {name: _last_place(row[name] for row in rows if row[name] is not None) for name in ("number", "cost")}
    edges = list({upto[edge]["rows"]: edge for edge in (0, len(rows), *maybe)}.values())  # between different runs
    found: set[int] = set()

    def adds_up(number: int, sums: _Sums, without: Mapping[str, Any]) -> bool:
        row, others = rows[number], sums["rows"] - without.get("rows", 1)
        # Calls are never rounded: where they are equal, amounts may be off in the last place of each.
        counted = row["calls"] is not None
        for name in _FIGURES:
            if row[name] is None:
                continue
            off = places[name] * (others + 1) if counted and name in places and places[name] < 1 else 0
            if abs(row[name] - sums[name] + (without[name] or 0)) > off:
                return False
        if ranks[number] > 1:
            return any(row[name] is not None for name in _FIGURES)
        return bool((others > 1 or found) and _weighs(row))

    while True:
        before = len(found)
        left = [number for number in maybe if number not in found]
        everything = _total(row for number, row in enumerate(rows) if number not in found)
        for number in left:
            if adds_up(number, everything, rows[number]):
                return found | {number}
        for number in left:
            runs = ((upto[max(number, edge)], upto[min(number, edge)]) for edge in edges)
            if any(last["rows"] > first["rows"] and adds_up(number, last, first) for last, first in runs):
                found.add(number)
        words = [number for number in left if ranks[number] == 1 and number not in found]
        together = _total(rows[number] for number in words)
        if len(words) > 1 and _weighs(together) and together | {"rows": upto[-1]["rows"]} == upto[-1]:
            found.update(words)  # the groups of all rows with numbers, wherever they stand
        if len(found) == before:
            return found


def _rank(row: dict[str, Any]) -> int:
    """How much a row looks like one of totals: 3 it is called so, 2 it has no extension, 1 that is a word, 0 not."""
    extension, name = row["extension"], (row["name"] or "").strip()
    if _NAMES_TOTALS.search(extension) or _IS_TOTALS.fullmatch(name):
        return 3
    return 2 if not extension else 0 if re.search(r"\d", extension) else 1


def _weighs(row: Mapping[str, Any]) -> bool:
    """Whether there is more to compare than calls: small numbers of them are often the sum of others."""
    return any(row[name] for name in (*_DURATION, "cost"))


def _total(rows: Iterable[Mapping[str, Any]]) -> _Sums:
    """The sum of each figure of these rows, and how many they are."""
    return reduce(_added, rows, dict.fromkeys((*_FIGURES, "rows"), Decimal(0)))


def _added(sums: _Sums, row: Mapping[str, Any]) -> _Sums:
    return {name: amount + (row.get(name, 1) or 0) for name, amount in sums.items()}


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
                "Responses of `ExtensionTotal`, one business day each; a day that is too long a period for TIM4biz is "
                "asked for in parts.",
                partitions=days,
            ),
            *core_specs(connection, TOTALS, (EXTENSION_TOTAL,), partitions=days),
        ],
        check_specs=check_specs(connection, TOTALS, CONTROLS),
        required_resource_keys={RESOURCE},
        backfill_policy=BackfillPolicy.single_run(),
    )
    @typed_errors
    def extension_total(context: AssetExecutionContext) -> Iterator[Any]:
        source = runtime(context).source(connection.name, context)
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
