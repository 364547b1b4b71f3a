"""Bicom PBXware: what its responses mean, and the assets that load them. Reads top to bottom: raw, normalise, core.

What lives here: the directory of a PBX (tenants, their extensions, numbers, departments, rates), the reading of call
records with direction and outcome, the PBX's own sum of cost as a control total. What does not: what is asked
(``sources.pbxware``), the steps every vendor shares (``loading``), calls put together from legs (``warehouse``).
"""

import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache, partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from dagster import AssetExecutionContext, AssetsDefinition, BackfillPolicy, PartitionsDefinition, multi_asset

from assets.controls import control_total, quarantined
from assets.http import strict_json
from assets.http.optional_lists import not_given
from assets.http.page import REFUSED, Page
from assets.http.slices import NOTHING
from assets.load import Fetch, Normalised, Source, Stream, Window, bounds, earlier_readings, optional_lists
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
from assets.pbxware.api import COUNT, STATUSES, PBXware, counted, slice_asked
from assets.phone import (
    UNREADABLE,
    Number,
    dialled_number,
    is_emergency,
    is_public_short,
    is_withheld,
    outside_country,
    read_number,
    region_of_calling_code,
)
from tollbook_errors import ContractError
from warehouse.lake import CoreWriter, Landing, RawWriter, StagedFile, make_folder
from warehouse.money import amount_sql, currency_code, money
from warehouse.restate import Changes, as_landed, with_values
from warehouse.schema import ACCOUNT_TABLE, CDR, DEPARTMENT, EXTENSION_TABLE, MONEY, SERVICE_PLAN_RATE

INCOMING, OUTGOING = "1", "2"  # ``cdrtype``
_TYPE_OF = {"inbound": INCOMING, "outbound": OUTGOING}
_CHECKS = {"": "billamount", INCOMING: "billamount_incoming", OUTGOING: "billamount_outgoing"}
ROWS_BY_STATUS = "rows_by_status"
CONTROLS = {
    "billamount": "Sum of the legs' cost against the PBX's own, cdr.billamount, by tenant and day.",
    "billamount_incoming": "Sum of the inbound legs' cost against cdr.billamount of incoming calls.",
    "billamount_outgoing": "Sum of the outbound legs' cost against cdr.billamount of outgoing calls.",
    ROWS_BY_STATUS: "Number of legs against what the PBX counts as answered, unanswered, busy and failed.",
}
SINGLE = "1"  # account_id of a PBX that is not in tenant mode
_CODE_ALONE = re.compile("[*#]+[0-9]{0,4}[*#]?")
_PLAIN_COST = r"(?:[0-9]{1,11}(?:\.[0-9]{1,6})?)?"
_PLAIN_COSTS = re.compile(rf"(?:{_PLAIN_COST}\n)*{_PLAIN_COST}")  # of a response, one a line
LARGEST_BLOCK = 10_000  # numbers of one DID
LONGEST_EXTENSION = 6  # digits of a number that is taken for an own one by its length; public ones are longer
READINGS = 2  # of a day whose cost does not add up to the PBX's own sum, before the variance is reported

# --- raw -------------------------------------------------------------------------------------------------------------


def fetch_lists(source: Source) -> Fetch:
    """Every list of the PBX."""

    def pages(writer: RawWriter) -> Iterator[Page]:
        earlier = source.lake.last_landing(source.name, LISTS, None, None)
        had_tenants = earlier is not None and _tenant_list(source, earlier)
        optional = optional_lists(source, LISTS)
        for number, page in enumerate(PBXware(source.client(), source.tenants).lists(optional)):
            # The first is of tenants; without any, each of their calls would be read again as one of the PBX itself.
            if number == 0 and had_tenants and not page.data:
                raise ContractError(
                    "tenant.list is empty, and named tenants before",
                    connection=source.name,
                    endpoint="tenant.list",
                    hint="if the PBX really has none any more, give the connection a new name",
                )
            yield page

    return pages


def fetch_cdrs(source: Source, lists: Landing, window: Window) -> Fetch:
    """A day's call records of every tenant, each followed by the PBX's own sums of their cost, in all and by direction,
    and by what counts them by status.

    A day that does not add up is read once more before it is believed.
    """
    day = window.first
    assert day is not None
    start, end = bounds(day, source.zone)

    def pages(writer: RawWriter) -> Iterator[Page]:
        pbx = PBXware(source.client(), source.tenants)
        servers = pbx.servers(_tenant_list(source, lists))
        earlier = earlier_readings(source, CDRS, day, "cdr.download", slice_asked)
        for reading in range(READINGS):
            variance = False
            for server in servers:
                ours = Decimal(0)
                outcomes: Counter[str] = Counter()
                for page in pbx.cdrs(server, start, end, window=str(day), earlier=earlier.get(server, NOTHING)):
                    ours += _cost_of(page.data)
                    outcomes += _outcomes_of(page.data)
                    yield page
                totals = _totals(pbx, server, start, end, str(day), outcomes if source.count_by_status else Counter())
                yield from totals
                theirs = money(totals[0].data.get("billamount"))
                rows, reported = _compared(outcomes, _counted([(page.request, page.data) for page in totals]))
                variance |= theirs not in (None, ours) or reported not in (None, rows)
            if reading == READINGS - 1 or not variance:
                return
            writer.restart()

    return pages


def _cost_of(data: dict[str, Any]) -> Decimal:
    """The sum of cost of one response, as far as it can be read."""
    cells = list(_cells(data, "cost"))
    if set(map(type, cells)) == {str}:
        counts = Counter(cells)  # most come often
        lines = "\n".join(counts)
        if lines.count("\n") == len(counts) - 1 and _PLAIN_COSTS.fullmatch(lines):  # as nearly always
            return sum((_plain_cost(cell) * number for cell, number in counts.items() if cell), Decimal(0))
    return sum((cost for cost in map(money, cells) if cost is not None), Decimal(0))


@lru_cache(maxsize=10_000)  # the same costs come again in every response
def _plain_cost(cell: str) -> Decimal:
    return Decimal(cell)


def _totals(
    pbx: PBXware, server: str | None, start: datetime, end: datetime, window: str, outcomes: Counter[str]
) -> list[Page]:
    """What the PBX itself says of a tenant's day: the sum of cost first, then the rest, several at a time.

    The sums by direction are not worth a request where there is no cost, nor the counts by status where there are no
    ``outcomes``, or where the first of them tells nothing.
    """

    def sum_of(cdrtype: str | None) -> list[Page]:
        return [pbx.billamount(server, start, end, window=window, cdrtype=cdrtype)]

    def count_of(status: str) -> list[Page]:
        near = sum(number for outcome, number in outcomes.items() if _FILTERED_AS.get(outcome) == status)
        pages = []
        for page in pbx.count(server, start, end, status, near, window=window):
            pages.append(page)
            if not _filter_respected(status, page.data):
                break
        return pages

    def asked(*asks: Callable[[], list[Page]]) -> list[Page]:
        return [page for pages in pbx.client.map(lambda ask: ask(), asks) for page in pages]

    probe, *others = STATUSES
    whole, *counts = asked(partial(sum_of, None), *([partial(count_of, probe)] if outcomes else ()))
    rest = [partial(sum_of, cdrtype) for cdrtype in (INCOMING, OUTGOING)] if money(whole.data.get("billamount")) else []
    if _count_of(probe, [(page.request, page.data) for page in counts]) is not None:
        rest += [partial(count_of, status) for status in others]
    return [whole, *counts, *asked(*rest)]


def _outcomes_of(data: dict[str, Any]) -> Counter[str]:
    """How often each outcome stands in one response."""
    outcomes: Counter[str] = Counter()
    for word, number in Counter(map(str, _cells(data, "status"))).items():
        outcomes[_outcome(word)] += number
    return outcomes


def _cells(data: dict[str, Any], wanted: str) -> Iterable[Any]:
    """The cells of one column of a response, of every row that has as many cells as the header."""
    names = [_column(name) for name in data.get("header") or []]
    if wanted not in names:
        return ()
    rows = data["csv"]
    if set(map(type, rows)) != {list} or set(map(len, rows)) != {len(names)}:
        rows = [row for row in rows if isinstance(row, list) and len(row) == len(names)]
    return map(itemgetter(names.index(wanted)), rows)


# --- normalise: the directory ----------------------------------------------------------------------------------------


@dataclass
class Tenant:
    """One account of the PBX, with what tells its own numbers from others'."""

    account_id: str
    name: str | None
    code: str
    region: str
    currency: str | None
    digits: int | None
    extensions: dict[str, str] = field(default_factory=dict)  # number -> name
    dids: dict[str, str | None] = field(default_factory=dict)  # our outside number in E.164 -> extension
    targets: dict[str, str] = field(default_factory=dict)  # our outside number -> what it leads to, also a group or IVR
    groups: set[str] = field(default_factory=set)  # what our outside numbers lead to: our own numbers, whatever rings
    lengths: frozenset[int] = frozenset()  # of extensions, where there is no ext_length
    outside_line: str = ""
    machines: set[str] = field(default_factory=set)  # our outside numbers that lead to a group, IVR, …, and what to


@dataclass
class Directory:
    """What the lists of one landing say."""

    tenants: dict[str, Tenant]
    extensions: list[dict[str, Any]]
    departments: list[dict[str, Any]]
    rates: list[dict[str, Any]]
    warnings: list[str]
    tenants_listed: bool

    @property
    def codes(self) -> frozenset[str]:
        return frozenset(tenant.code for tenant in self.tenants.values())


def read_directory(source: Source, landing: Landing) -> Directory:
    """Read the lists of a landing."""
    responses = source.lake.responses(landing)
    reported: dict[tuple[str, str | None], tuple[Any, dict[str, Any]]] = {}
    plans: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    tenants_listed = True
    for response in responses:
        data = strict_json.loads(response["body"])
        where = {"raw_file": landing.file, "fetched_at": response["fetched_at"], "first_row": response["first_row"]}
        if response["kind"] == REFUSED:
            tenants_listed &= strict_json.loads(response["request"])["action"] != "tenant.list"
        elif response["kind"] == "splan.rates":
            plans.append((strict_json.loads(response["request"])["id"], data if isinstance(data, dict) else {}, where))
        else:
            reported[(response["kind"], response["account_id"])] = (data if isinstance(data, dict) else {}, where)
    listed, where = reported.get(("tenant.list", None), ({}, where))
    found = Directory({}, [], [], [], not_given(responses), tenants_listed)
    servers = {account for kind, account in reported if kind == "ext.list"}
    for server in sorted(servers, key=str):
        account = server or SINGLE
        about = listed.get(account, {}) if isinstance(listed.get(account), dict) else {}
        configuration = reported.get(("tenant.configuration", server), ({}, where))[0]
        found.tenants[account] = _tenant(source, account, about, configuration, found.warnings)
        _departments(source, account, reported.get(("department.list", server)), found)
        _extensions(source, account, reported.get(("ext.list", server)), found)
        _dids(source, account, reported.get(("did.list", server)), found)
        tenant = found.tenants[account]
        if tenant.digits is None:  # as where there are no tenants
            tenant.lengths = frozenset(len(number) for number in tenant.extensions if len(number) <= LONGEST_EXTENSION)
    _trunks(source, reported.get(("trunk.list", None)), found)
    names = {key: _text(plan.get("name")) for key, plan, _ in _entries(reported.get(("splan.list", None)))}
    currency = next((tenant.currency for tenant in found.tenants.values() if tenant.currency), None)
    for plan, rates, place in plans:
        _rates(source, plan, names.get(plan), rates, place, currency, found)
    return found


def _tenant(
    source: Source, account: str, about: dict[str, Any], configuration: dict[str, Any], warnings: list[str]
) -> Tenant:
    reported = currency_code(_nested(configuration, "currency"))
    if reported and source.currency and reported != source.currency:
        warnings.append(
            f"account {account}: the PBX says {reported}, tollbook.toml says {source.currency}; {reported} is used"
        )
    if not reported and not source.currency:
        warnings.append(f"account {account}: no currency is known; set currency for this connection")
    digits = str(about.get("ext_length") or "")
    return Tenant(
        account,
        _text(about.get("name")),
        str(about.get("tenantcode") or ""),
        region_of_calling_code(about.get("country_code")) or source.region,
        reported or source.currency,
        int(digits) if digits.isdigit() and int(digits) < 10 else None,
        outside_line=source.outside_line,
    )


def _nested(configuration: dict[str, Any], name: str) -> Any:
    """A field of ``tenant.configuration``, which some releases wrap in the tenant's id."""
    if name in configuration:
        return configuration[name]
    inner = [value for value in configuration.values() if isinstance(value, dict) and name in value]
    return inner[0][name] if inner else None


Listed = tuple[dict[str, Any], dict[str, Any]] | None


def _entries(listed: Listed) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each entry of a keyed list with its key and where it stands."""
    if listed is None:
        return
    data, where = listed
    for number, (key, entry) in enumerate(data.items()):
        if isinstance(entry, dict):
            place = {"raw_file": where["raw_file"], "raw_row": where["first_row"] + number}
            yield str(key), entry, {**place, "fetched_at": where["fetched_at"]}


def _departments(source: Source, account: str, listed: Listed, found: Directory) -> None:
    for key, entry, place in _entries(listed):
        found.departments.append(
            {**_whose(source, account), "department_id": key, "name": _text(entry.get("name")), **place}
        )


def _extensions(source: Source, account: str, listed: Listed, found: Directory) -> None:
    names = {d["department_id"]: d["name"] for d in found.departments if d["account_id"] == account}
    for key, entry, place in _entries(listed):
        number = str(entry.get("ext") or "")
        if not number:
            continue
        found.tenants[account].extensions[number] = _text(entry.get("name")) or ""
        department = next(
            (part.strip() for part in str(entry.get("department") or "").split(",") if part.strip()), None
        )
        found.extensions.append(
            {
                **_whose(source, account),
                "extension_id": key,
                "extension": number,
                "name": _text(entry.get("name")),
                "type": "phone",
                "status": _text(entry.get("status")),
                "department_id": department,
                "department": names.get(department or ""),
                **place,
            }
        )


_LEADS_OUT = re.compile("external.*|5|trunk|10", re.IGNORECASE)  # types of DID whose target is no number of ours


def _dids(source: Source, account: str, listed: Listed, found: Directory) -> None:
    tenant = found.tenants[account]
    for key, entry, place in _entries(listed):
        number = str(entry.get("e164") or entry.get("number") or "")
        target = str(entry.get("ext") or "")
        if not _LEADS_OUT.fullmatch(str(entry.get("type"))):
            tenant.groups.update(filter(None, map(str.strip, target.split(","))))
        target = target if "," not in target else ""
        extension = target if entry.get("type") == "Extension" else ""
        for one in (*_block(entry, "e164", "e164_2"), *_block(entry, "number", "number2")):
            for written in {one, read_number(one, tenant.region).e164 or one}:
                tenant.dids[written] = extension or None
                tenant.targets[written] = target
                if _OF_MACHINES.search(str(entry.get("type") or "")):
                    tenant.machines |= {written, target} - {""}
        found.extensions.append(
            {
                **_whose(source, account),
                "extension_id": key,
                "extension": number,
                "name": _text(entry.get("name")),
                "type": "did",
                "status": _text(entry.get("status")),
                **place,
            }
        )


# Destination types of ``did.list`` behind which there is no person: of the others (Extension, Multi User, External
# Number, Trunk, Agents, CRM Routing) somebody may be reached.
_OF_MACHINES = re.compile(
    r"group|ivr|queue|conference|voicemail|remote access|fax|callback|deny|\bari\b|parking", re.IGNORECASE
)


def _block(entry: dict[str, Any], first: str, last: str) -> list[str]:
    """The numbers of a DID: one, or where it names a last one all of the block; none where it names none."""
    begin, end = str(entry.get(first) or ""), str(entry.get(last) or "")
    plus, digits = begin[: begin.startswith("+")], begin.removeprefix("+")
    end = end.removeprefix("+")
    if all(text.isascii() and text.isdigit() and len(text) < 20 for text in (digits, end)) and len(digits) == len(end):
        numbers = range(int(digits), int(end) + 1)
        if 0 < len(numbers) <= LARGEST_BLOCK:
            return [f"{plus}{number:0{len(digits)}}" for number in numbers]
    return [begin] if begin else []


def _trunks(source: Source, listed: Listed, found: Directory) -> None:
    """Trunks belong to the whole system, so they have no account."""
    for key, entry, place in _entries(listed):
        found.extensions.append(
            {
                **_whose(source, None),
                "extension_id": key,
                "extension": None,
                "name": _text(entry.get("name")),
                "type": "trunk",
                "status": _text(entry.get("status")),
                **place,
            }
        )


def _rates(
    source: Source,
    plan: str,
    plan_name: Any,
    rates: dict[str, Any],
    where: dict[str, Any],
    currency: str | None,
    found: Directory,
) -> None:
    """A plan's rates; with time bands (tbd) an entry holds one rate a band."""
    row = where["first_row"]
    for key, entry in rates.items():
        if not isinstance(entry, dict):
            continue
        bands = entry if entry and all(isinstance(value, dict) for value in entry.values()) else {"": entry}
        for band, rate in bands.items():
            found.rates.append(
                {
                    "vendor": source.vendor,
                    "connection": source.name,
                    "rate_id": f"{key}:{band}" if band else key,
                    "plan_id": plan,
                    "plan_name": plan_name,
                    "inbound_price": money(rate.get("inbound")),
                    "outbound_price": money(rate.get("outbound")),
                    "min_charge": money(rate.get("min_charge")),
                    "connection_charge": money(rate.get("connection_charge")),
                    "rating": _text(rate.get("call_rating") or rate.get("billing")),
                    "currency": currency,
                    "raw_file": where["raw_file"],
                    "raw_row": row,
                    "fetched_at": where["fetched_at"],
                }
            )
        row += 1


def _text(value: Any) -> str | None:
    """A cell of a list as text: numbers arrive as numbers or as text."""
    return str(value) if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool) else None


def _whose(source: Source, account: str | None) -> dict[str, Any]:
    return {"vendor": source.vendor, "connection": source.name, "account_id": account}


def normalise_lists(source: Source, con: duckdb.DuckDBPyConnection, landing: Landing) -> Normalised:
    """The tables of the directory."""
    found = read_directory(source, landing)
    accounts = [
        {
            **_whose(source, tenant.account_id),
            "name": tenant.name,
            "code": tenant.code or None,
            "country": tenant.region,
            "currency": tenant.currency,
            "raw_file": landing.file,
            "raw_row": 1,
            "fetched_at": landing.started_at,
        }
        for tenant in found.tenants.values()
    ]
    rows = {
        ACCOUNT_TABLE: accounts,
        EXTENSION_TABLE: found.extensions,
        DEPARTMENT: found.departments,
        SERVICE_PLAN_RATE: found.rates,
    }
    for table_, entries in rows.items():
        con.register(f"fresh_{table_.name}", pa.Table.from_pylist(entries, schema=table_.arrow()))
    return Normalised({table_: f"fresh_{table_.name}" for table_ in rows}, warnings=found.warnings)


# --- normalise: call records -----------------------------------------------------------------------------------------

_COLUMNS = {
    "from": "from_text",
    "to": "to_text",
    "date/time": "started",
    "start date": "started",
    "total duration": "duration",
    "duration": "duration",
    "rating duration": "rated",
    "billing duration": "rated",
    "rating cost": "cost",
    "billing cost": "cost",
    "cost of the call": "cost",
    "status": "status",
    "unique id": "unique_id",
    "uniqueid": "unique_id",
    "id": "unique_id",
    "recording path": "recording_path",
    "recording available": "recording",
    "location type": "location",
    "mos": "mos",
    "tenant": "tenant",
}
_REQUIRED = ("from_text", "to_text", "started", "duration", "status", "unique_id")
_NAME_OF = {column: name.title() for name, column in reversed(_COLUMNS.items())}  # as the vendor usually says it
_CELLS = tuple(dict.fromkeys(_COLUMNS.values()))
_COLUMN_MAP = "MAP " + str(_COLUMNS)

_OUTCOME_OF = {
    "ANSWERED": "answered",
    "ANSWER": "answered",
    "UNANSWERED": "no_answer",
    "NOTANSWERED": "no_answer",
    "NOANSWER": "no_answer",
    "BUSY": "busy",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "CANCELED": "cancelled",
    "CANCEL": "cancelled",
    "VOICEMAIL": "voicemail",
}
_OUTCOMES = f"""CASE status WHEN 'Answered' THEN 'answered' WHEN 'Not Answered' THEN 'no_answer'  -- as nearly always
    ELSE coalesce(MAP {_OUTCOME_OF}[regexp_replace(upper(coalesce(status, '')), '[^A-Z]', '', 'g')], 'unknown') END"""
# The filter ``status`` that an outcome is documented under; of the last two only where it is looked for first.
_DOCUMENTED = {"answered": "8", "no_answer": "4", "busy": "2", "failed": "1"}
_FILTERED_AS = {**_DOCUMENTED, "cancelled": "4", "voicemail": "8"}


def _outcome(status: str) -> str:
    """The outcome that a status means, as ``_OUTCOMES`` tells it."""
    return _OUTCOME_OF.get(re.sub("[^A-Z]", "", status.upper()), "unknown")


# DuckDB hands out a JSON number only as exactly as a double holds it, which is 15 digits.
_LONG_NUMBER = r"[,\[]\s*[+-]?[0-9.]{16}"


def _long_numbers_as_text(responses: pa.Table) -> pa.Table:
    """The responses, with all cells as text in those that hold a number longer than DuckDB reads exactly."""
    long = pc.match_substring_regex(responses["body"], _LONG_NUMBER).to_pylist()
    if not any(long):
        return responses
    bodies = [
        _cells_as_text(body) if found and kind == "cdr.download" else body
        for body, kind, found in zip(responses["body"].to_pylist(), responses["kind"].to_pylist(), long, strict=True)
    ]
    place = responses.schema.get_field_index("body")
    return responses.set_column(place, responses.schema.field(place), pa.array(bodies, responses["body"].type))


def _cells_as_text(body: str) -> str:
    data = strict_json.loads(body)
    return json.dumps(data | {"csv": [_as_text(row) for row in data["csv"]]}, default=str)


def _as_text(row: Any) -> Any:
    if not isinstance(row, list):
        return row
    return [str(cell) if isinstance(cell, (int, Decimal)) and not isinstance(cell, bool) else cell for cell in row]


# Cells by name, whatever order each response has them in; what cannot be understood is named in ``problem``.
# Only what is read again is kept: a column more takes as long as a fortieth of the rest.
_PARSED = f"""
CREATE OR REPLACE TEMP TABLE parsed AS
WITH page AS (
    SELECT page, coalesce(account_id, '{SINGLE}') AS account_id, first_row, fetched_at,
        epoch(strptime(request->>'start' || (request->>'starttime'), '%b-%d-%Y%H:%M:%S'))::BIGINT AS first_second,
        epoch(strptime(request->>'end' || (request->>'endtime'), '%b-%d-%Y%H:%M:%S'))::BIGINT AS last_second,
        from_json(body, '{{"header":["VARCHAR"],"csv":[["VARCHAR"]]}}') AS response
    FROM response WHERE kind = 'cdr.download' AND rows > 0
), named AS (
    SELECT page, account_id, first_row, fetched_at, first_second, last_second, response.csv AS csv,
        to_json(coalesce(response.header, []))::VARCHAR AS header, len(response.header) AS width,
        list_transform(response.header, lambda name: {_COLUMN_MAP}[lower(trim(name))]) AS names
    FROM page
), placed AS (
    SELECT * EXCLUDE (names), {", ".join(f"list_position(names, '{name}') AS {name}_at" for name in _CELLS)} FROM named
), cell AS (
    -- Unnested side by side: a join with the page would hold the whole page once for every row of it.
    SELECT placed.* EXCLUDE (csv), first_row + unnest(range(len(csv))) AS raw_row, unnest(csv) AS cells FROM placed
), split AS (
    SELECT page, account_id, fetched_at, first_second, last_second, raw_row, width, len(cells) AS found,
        CASE WHEN raw_row = first_row THEN header END AS header,  -- once a response
        {", ".join(f"cells[{name}_at] AS {name}" for name in _CELLS)}
    FROM cell
)
SELECT page, account_id, fetched_at, raw_row, header, {amount_sql("trim(cost)")} AS amount,
    from_text, to_text, status, unique_id, mos, recording,
    try_cast(started AS BIGINT) AS second, try_cast(nullif(duration, '') AS BIGINT) AS seconds,
    try_cast(nullif(rated, '') AS BIGINT) AS rated_seconds,
    CASE WHEN $duplicates THEN
        concat_ws(chr(31), coalesce(amount::VARCHAR, ''), coalesce(rated, ''), coalesce(recording_path, ''),
            coalesce(recording, ''), coalesce(location, ''), coalesce(mos, '')) END AS rest, CASE
    WHEN found IS NULL THEN 'the row is not a list of cells'
    WHEN found <> width THEN 'the row has ' || found || ' cells, the header ' || width
    WHEN NOT coalesce(regexp_full_match(started, '[0-9]{{1,10}}'), false) THEN 'Date/Time is not a time'
    WHEN coalesce(unique_id, '') = '' THEN 'there is no Unique ID'
    WHEN NOT regexp_full_match(coalesce(duration, ''), '[0-9]{{0,8}}') THEN 'the duration is not a number of seconds'
    WHEN NOT regexp_full_match(coalesce(rated, ''), '[0-9]{{0,8}}') THEN 'the rated duration is not a number of seconds'
    WHEN coalesce(trim(cost), '') <> '' AND amount IS NULL THEN 'the cost is not an amount'
    END AS problem,
    problem IS NULL AND NOT second BETWEEN first_second AND last_second AS outside,
    CASE WHEN problem IS NULL AND NOT outside THEN
        md5(concat_ws(chr(31), $connection, account_id, coalesce(from_text, ''), coalesce(to_text, ''), started,
            coalesce(duration, ''), coalesce(status, ''), unique_id)) END AS identity
FROM split
"""

# The Unique IDs whose legs all come from one of the PBX's own numbers that no extension has: a ring group, a queue, an
# IVR. Such a number calls nobody by itself, so its legs belong to the call that was put through to it, which is told
# when the legs of exactly one other Unique ID to that number span them (within the second that rounding takes). Spans
# are looked up by the stretches of ten minutes that they touch; one of more than a day ends after it here.
_LEG_OF_A_GROUP = """
    SELECT c.account_id, native_id AS unique_id, raw_row, epoch(started_at)::BIGINT AS start,
        start + least(coalesce(duration_seconds, 0), 90000) AS until, f.from_group, t.routed_to_group,
        outcome = 'answered' AND to_kind = 'person' AS is_talk
    FROM read_parquet($legs) c
    LEFT JOIN party f ON f.account_id = c.account_id AND f.text = coalesce(from_text, '') AND NOT f.called
    LEFT JOIN party t ON t.account_id = c.account_id AND t.text = coalesce(to_text, '') AND t.called
"""
_CHILDREN = f"""
CREATE OR REPLACE TEMP TABLE child AS
WITH leg AS ({_LEG_OF_A_GROUP})
SELECT account_id, unique_id, min(from_group) AS from_group, min(start) AS start, max(until) AS until,
    bool_or(is_talk) AS is_talk
FROM leg SEMI JOIN (FROM leg WHERE from_group IS NOT NULL) AS made USING (account_id, unique_id)
GROUP BY account_id, unique_id HAVING count(from_group) = count(*) AND min(from_group) = max(from_group)
"""
_SPANS = f"""
CREATE OR REPLACE TEMP TABLE span AS
SELECT *, unnest(range(start // 600, until // 600 + 1)) AS stretch
FROM ({_LEG_OF_A_GROUP}) WHERE routed_to_group IS NOT NULL
"""
_PUT_THROUGH = """
CREATE OR REPLACE TEMP TABLE put_through AS
WITH RECURSIVE parent AS (
    SELECT child.account_id, child.unique_id, min(span.unique_id) AS parent
    FROM child JOIN span ON span.account_id = child.account_id AND span.routed_to_group = child.from_group
        AND span.stretch = child.start // 600 AND span.unique_id <> child.unique_id
        AND span.start <= child.start AND child.until <= span.until + 1
    GROUP BY ALL HAVING count(DISTINCT span.unique_id) = 1
), walk AS (
    SELECT account_id, unique_id, parent AS root, 1 AS depth FROM parent
    UNION ALL
    SELECT walk.account_id, walk.unique_id, parent.parent, depth + 1
    FROM walk JOIN parent ON parent.account_id = walk.account_id AND parent.unique_id = walk.root WHERE depth < 9
)
SELECT account_id, unique_id, arg_max(root, depth) AS root FROM walk GROUP BY ALL
HAVING max(depth) < 9  -- else two put through to each other, and neither was first
"""
# The legs to a group while somebody answered it for a caller who could not be told: that may have been theirs, so that
# it is not known whether it was a machine alone that answered them.
_UNKNOWN_LINK = """
SELECT DISTINCT span.raw_row, NULL
FROM child ANTI JOIN put_through USING (account_id, unique_id)
JOIN span ON span.account_id = child.account_id AND span.routed_to_group = child.from_group
    AND span.stretch = child.start // 600 AND child.start BETWEEN span.start AND span.until
WHERE child.is_talk
"""
_NONE_PUT_THROUGH = "CREATE OR REPLACE TEMP TABLE put_through (account_id VARCHAR, unique_id VARCHAR, root VARCHAR)"

# The legs from one outside party to another: few.
_OUTSIDE_TO_OUTSIDE = """
CREATE OR REPLACE TEMP TABLE sent AS
SELECT c.account_id, native_id AS unique_id, raw_row, outcome, cost, epoch(started_at)::BIGINT AS start,
    start + coalesce(duration_seconds, 0) AS until, coalesce(from_e164, from_number, '') AS caller,
    t.e164, t.country, t.type
FROM read_parquet($legs) c
JOIN party f ON f.account_id = c.account_id AND f.text = coalesce(from_text, '') AND NOT f.called
JOIN party t ON t.account_id = c.account_id AND t.text = coalesce(to_text, '') AND t.called
WHERE direction = 'unknown' AND f.kind IN ('outside', 'withheld') AND t.kind = 'outside'
"""
# Those of them by which the PBX forwarded a call of ours: one with other legs of their Unique ID, which say so, or else
# one that the same caller had come in by, and whose leg spans them; only where none does, one that had begun and not
# ended when they began. Where that is one call they belong to it, and where one telephone of ours is all that it and
# its like led to, they are that telephone's.
_FORWARDED = """
CREATE OR REPLACE TEMP TABLE forwarded AS
WITH attempt AS (
    SELECT account_id, unique_id, min(start) AS start, max(until) AS until,
        CASE WHEN min(caller) = max(caller) THEN min(caller) END AS caller
    FROM sent GROUP BY ALL
), leg AS (
    SELECT c.account_id, coalesce(p.root, native_id) AS call, direction, epoch(started_at)::BIGINT AS start,
        start + least(coalesce(duration_seconds, 0), 90000) AS until,
        coalesce(from_e164, from_number, '') AS caller,
        CASE WHEN t.who <> 'machine' THEN t.extension END AS to_telephone,
        CASE WHEN f.who <> 'machine' THEN f.extension END AS from_telephone
    FROM read_parquet($legs) c
    LEFT JOIN put_through p ON p.account_id = c.account_id AND p.unique_id = native_id
    LEFT JOIN party f ON f.account_id = c.account_id AND f.text = coalesce(from_text, '') AND NOT f.called
    LEFT JOIN party t ON t.account_id = c.account_id AND t.text = coalesce(to_text, '') AND t.called
    WHERE direction <> 'unknown'
), of_own_id AS (
    SELECT account_id, unique_id, unique_id AS call, true AS spans FROM attempt
    SEMI JOIN leg ON leg.account_id = attempt.account_id AND leg.call = attempt.unique_id
), candidate AS (
    FROM of_own_id
    UNION
    SELECT attempt.account_id, attempt.unique_id, leg.call, bool_or(attempt.until <= leg.until + 1)
    FROM attempt ANTI JOIN of_own_id USING (account_id, unique_id)
    JOIN leg ON leg.account_id = attempt.account_id AND leg.caller = attempt.caller AND leg.direction = 'inbound'
        AND attempt.start BETWEEN leg.start AND leg.until
    GROUP BY ALL
), origin AS (
    FROM candidate QUALIFY spans OR NOT bool_or(spans) OVER (PARTITION BY account_id, unique_id)
), telephone AS (
    SELECT account_id, call, unnest([to_telephone, from_telephone]) AS extension
    FROM leg SEMI JOIN origin USING (account_id, call)
), owner AS (
    SELECT account_id, call, CASE WHEN min(extension) = max(extension) THEN min(extension) END AS extension
    FROM telephone GROUP BY ALL
), told AS (
    SELECT account_id, unique_id, CASE WHEN count(*) = 1 THEN min(call) END AS call,
        CASE WHEN count(extension) = count(*) AND min(extension) = max(extension) THEN min(extension) END AS extension
    FROM origin JOIN owner USING (account_id, call) GROUP BY ALL
)
SELECT raw_row, account_id, unique_id, call, extension, e164, country, type, outcome, cost
FROM sent JOIN told USING (account_id, unique_id)
"""

# The rows that are alike in what identifies a leg, told apart by the rest: all but the first have another id or number.
_DUPLICATE_LEGS = """
INSERT INTO duplicate_leg SELECT identity, raw_row, amount, rest FROM parsed SEMI JOIN duplicates USING (raw_row)
"""
_RANKED = """
SELECT raw_row, CASE WHEN rank = 1 THEN identity ELSE md5(identity || '#' || rank) END, occurrence
FROM (
    SELECT *, row_number() OVER (PARTITION BY identity ORDER BY amount NULLS FIRST, rest, raw_row) AS rank,
        row_number() OVER (PARTITION BY identity, rest ORDER BY raw_row) AS occurrence
    FROM duplicate_leg
) WHERE rank > 1 OR occurrence > 1
"""

_NEW_TEXTS = """
FROM (
    SELECT account_id, coalesce(from_text, '') AS text, false AS called FROM parsed WHERE problem IS NULL
    UNION SELECT account_id, coalesce(to_text, ''), true FROM parsed WHERE problem IS NULL
) ANTI JOIN party USING (account_id, text, called)
"""

# As if no two were alike and none was put through or forwarded: of these there are few.
_CDRS = f"""
WITH placed AS (
    SELECT n.*, coalesce(f.currency, 'XXX') AS currency,
        f.name AS from_name, f.number AS from_number, f.e164 AS from_e164,
        t.name AS to_name, t.number AS to_number, t.e164 AS to_e164, t.who AS to_kind,
        CASE
            WHEN f.kind = 'own' AND t.kind IN ('own', 'feature') THEN 'internal'
            WHEN f.kind IN ('own', 'did') AND t.kind = 'outside' THEN 'outbound'
            WHEN f.kind = 'own' AND t.kind = 'did' THEN 'internal'
            WHEN f.kind IN ('outside', 'withheld', 'did') AND t.kind IN ('own', 'did', 'feature') THEN 'inbound'
            WHEN f.kind = 'outside' AND t.kind = 'withheld' THEN 'inbound'
            -- Nobody is put through to a public short number: it was an extension or a group once.
            WHEN f.kind IN ('outside', 'withheld') AND t.kind = 'outside' AND t.type = 'short' THEN 'inbound'
            ELSE 'unknown' END AS direction,
        f.extension AS from_extension, t.extension AS to_extension, f.phone AS from_phone, t.phone AS to_phone,
        f.country AS from_country, t.country AS to_country, f.type AS from_type, t.type AS to_type
    FROM parsed n
    LEFT JOIN party f ON f.account_id = n.account_id AND f.text = coalesce(n.from_text, '') AND NOT f.called
    LEFT JOIN party t ON t.account_id = n.account_id AND t.text = coalesce(n.to_text, '') AND t.called
    WHERE identity IS NOT NULL
)
SELECT
    identity AS cdr_id,
    'pbxware' AS vendor, $connection AS connection, account_id, unique_id AS native_id,
    unique_id AS linked_id, 1::INTEGER AS occurrence, to_timestamp(second) AS started_at, $day::DATE AS call_date,
    direction, {_OUTCOMES} AS outcome,
    from_text, from_name, from_number, from_e164, to_text, to_name, to_number, to_e164, to_kind,
    CASE WHEN direction = 'inbound' OR (to_phone AND NOT from_phone) THEN to_extension
        ELSE coalesce(from_extension, to_extension) END AS extension,
    CASE direction WHEN 'outbound' THEN to_e164 WHEN 'inbound' THEN from_e164 END AS remote_e164,
    CASE direction WHEN 'outbound' THEN to_country WHEN 'inbound' THEN from_country END AS remote_country,
    CASE direction WHEN 'outbound' THEN to_type WHEN 'inbound' THEN from_type END AS remote_type,
    seconds AS duration_seconds, rated_seconds, amount AS cost, currency, false AS is_provisional,
    CASE WHEN try_cast(mos AS DECIMAL(6, 3)) > 0 THEN try_cast(mos AS DECIMAL(6, 3)) END AS mos,
    CASE WHEN lower(recording) IN ('true', '1', 'yes') THEN true
        WHEN lower(recording) IN ('false', '0', 'no') THEN false END AS has_recording,
    $file AS raw_file, raw_row, fetched_at
FROM placed
"""


class CdrParser:
    """The legs of one landing, parsed batch by batch; what of them can only be told in the end, then.

    ``file`` is the landing's; ``folder`` takes the rows until they are core's, in the order in which they were landed.
    """

    def __init__(
        self,
        source: Source,
        con: duckdb.DuckDBPyConnection,
        file: str,
        depends_on: Mapping[str, str],
        day: date,
        folder: Path,
    ) -> None:
        self._source, self._con, self._file, self._day = source, con, file, day
        self._directory = read_directory(source, source.lake.landing_at(source.name, LISTS, depends_on[LISTS]))
        self._unknown_columns: set[str] = set()
        self._outside = 0
        self._quarantine: list[dict[str, Any]] = []
        self._tally: Tally = {}
        self._charged_internally: dict[str, Decimal] = {}
        self._path = folder / f"{CDR.full_name}.parquet"
        self._legs = CoreWriter(CDR, self._path)
        con.register("nobody", _party_table(self._directory, []))
        con.execute("CREATE TEMP TABLE party AS FROM nobody; CREATE TEMP TABLE seen (digest UBIGINT, raw_row BIGINT)")

    def add(self, responses: pa.Table) -> None:
        """Type these, the next of the landing. Raises ContractError for a header that cannot be understood."""
        con = self._con
        con.register("response", _long_numbers_as_text(responses))
        con.execute(_PARSED, {"connection": self._source.name, "duplicates": False})
        self._unknown_columns |= _check_headers(self._source, con, self._day, self._directory)
        con.register("somebody", _party_table(self._directory, con.execute(_NEW_TEXTS).fetchall()))
        con.execute("INSERT INTO party FROM somebody")
        con.execute("INSERT INTO seen SELECT hash(identity), raw_row FROM parsed WHERE identity IS NOT NULL")
        self._outside += con.execute("SELECT count(*) FROM parsed WHERE outside").fetchall()[0][0]
        self._quarantine += quarantined(self._source, CDRS, con, self._file, self._day)
        known = {"connection": self._source.name, "day": self._day, "file": self._file}
        legs = as_landed(con.sql(_CDRS, params=known).to_arrow_table())
        self._legs.write(legs.cast(CDR.arrow()))
        _count(self._tally, legs)
        _add_certain(self._charged_internally, legs, self._directory)

    def finish(self, landing: Landing) -> Normalised:
        """The legs of the whole landing, with what could not be understood, and the PBX's own figures beside ours."""
        self._legs.close()
        written = self._amended(landing)  # the tally is of what legs are known to be in the end
        warnings = list(self._directory.warnings)
        if self._unknown_columns:
            names = ", ".join(sorted(self._unknown_columns))
            warnings.insert(0, f"columns that are not known were left in raw: {names}")
        unknown = sum(number for (_, _, outcome), (number, _) in self._tally.items() if outcome == "unknown")
        if unknown:
            warnings.append(f"{unknown} call records have a status that is not known")
        if self._outside:
            warnings.append(
                f"{self._outside} call records were left out: they started outside the time that was asked for"
            )
        certain = self._charged_internally
        controls = _controls(self._source, self._con, landing, self._day, self._directory, self._tally, certain)
        warnings += [f"account {row['account_id']}: {row['remark']}" for row in controls if row.get("remark")]
        return Normalised({CDR: written}, controls, self._quarantine, self._outside, warnings)

    def _amended(self, landing: Landing) -> StagedFile:
        """The file of legs; another one where some are alike or were put through or forwarded."""
        changes = self._find_duplicates(landing)
        links = self._put_through(changes)
        self._forward(changes, links)
        if not changes and not links:
            return StagedFile(self._path, self._legs.rows)
        path = self._path.with_suffix(".amended.parquet")
        with closing(CoreWriter(CDR, path)) as amended, pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches():
                amended.write(_amend(batch, changes, links))
        self._path.unlink()
        return StagedFile(path, amended.rows)

    def _find_duplicates(self, landing: Landing) -> Changes:
        """Id and occurrence of the legs that are identified as one before them is."""
        con = self._con
        con.execute(
            "CREATE TEMP TABLE duplicates AS SELECT raw_row FROM seen"
            " WHERE digest IN (SELECT digest FROM seen GROUP BY digest HAVING count(*) > 1)"
        )
        places = [row for (row,) in con.execute("FROM duplicates ORDER BY raw_row").fetchall()]
        if not places:
            return {}
        con.execute(f"CREATE TEMP TABLE duplicate_leg (identity VARCHAR, raw_row BIGINT, amount {MONEY}, rest VARCHAR)")
        for responses in self._source.lake.response_batches(landing):
            spans = zip(responses["first_row"].to_pylist(), responses["rows"].to_pylist(), strict=True)
            held = [bisect_left(places, first) < bisect_left(places, first + rows) for first, rows in spans]
            if any(held):
                con.register("response", _long_numbers_as_text(responses.filter(pa.array(held))))
                con.execute(_PARSED, {"connection": self._source.name, "duplicates": True})
                con.execute(_DUPLICATE_LEGS)
        return _changes(("cdr_id", "occurrence"), con.execute(_RANKED).fetchall())

    def _put_through(self, changes: Changes) -> dict[tuple[str, str], str]:
        """By account and Unique ID, the Unique ID of the call that was put through to it; add what cannot be told."""
        made, led = self._con.execute("SELECT count(from_group), count(routed_to_group) FROM party").fetchall()[0]
        if not (made and led):
            self._con.execute(_NONE_PUT_THROUGH)
            return {}
        self._con.execute(_CHILDREN, {"legs": str(self._path)})
        self._con.execute(_SPANS, {"legs": str(self._path)})
        self._con.execute(_PUT_THROUGH)
        changes |= _changes(("to_kind",), self._con.execute(_UNKNOWN_LINK).fetchall())
        return {
            (account, unique_id): root for account, unique_id, root in self._con.execute("FROM put_through").fetchall()
        }

    def _forward(self, changes: Changes, links: dict[tuple[str, str], str]) -> None:
        """Add what is told in the end of legs by which a call was forwarded; they count as outbound ones."""
        con, legs = self._con, {"legs": str(self._path)}
        if not any(direction == "unknown" for _, direction, _ in self._tally):
            return
        con.execute(_OUTSIDE_TO_OUTSIDE, legs)
        con.execute(_FORWARDED, legs)
        names = ("extension", "remote_e164", "remote_country", "remote_type", "direction")
        rows = con.execute("SELECT raw_row, extension, e164, country, type, 'outbound' FROM forwarded").fetchall()
        changes |= _changes(names, rows)
        for account, unique_id, call in con.execute(
            "SELECT DISTINCT account_id, unique_id, call FROM forwarded WHERE call <> unique_id"
        ).fetchall():
            links[account, unique_id] = call
        for account, outcome, number, cost in con.execute(
            "SELECT account_id, outcome, count(*), coalesce(sum(cost), 0) FROM forwarded GROUP BY ALL"
        ).fetchall():
            _add(self._tally, (account, "unknown", outcome), -number, -cost)
            _add(self._tally, (account, "outbound", outcome), number, cost)


def normalise_cdrs(source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date | None) -> Normalised:
    """The legs of a day, with what could not be understood, and the PBX's own sum beside ours."""
    assert day is not None
    folder = source.lake.scratch_folder / f"{landing.generation}.parsed"
    make_folder(folder)
    parser = CdrParser(source, con, landing.file, landing.depends_on, day, folder)
    for responses in source.lake.response_batches(landing):
        parser.add(responses)
    return parser.finish(landing)


# By account, direction and outcome: the number of legs, and the sum of their cost.
Tally = dict[tuple[str, str, str], tuple[int, Decimal]]


def _count(tally: Tally, legs: pa.Table) -> None:
    by = ["account_id", "direction", "outcome"]
    for row in legs.group_by(by).aggregate([([], "count_all"), ("cost", "sum")]).to_pylist():
        _add(
            tally,
            (row["account_id"], row["direction"], row["outcome"]),
            row["count_all"],
            row["cost_sum"] or Decimal(0),
        )


def _add_certain(sums: dict[str, Decimal], legs: pa.Table, directory: Directory) -> None:
    """By account, the cost of internal legs to a number that the PBX lists as the tenant's own, or to a code alone.

    Any other internal leg that is charged might be one to the outside which is read wrongly here.
    """
    internal = legs.filter(pc.field("direction") == "internal")
    for row in internal.group_by(["account_id", "to_text"]).aggregate([("cost", "sum")]).to_pylist():
        if not row["cost_sum"]:
            continue
        tenant = directory.tenants[row["account_id"]]
        party = read_party(row["to_text"] or "", tenant, directory.codes, called=True)
        number = party.number or ""
        if party.kind == "did" or _listed(number, tenant) or _CODE_ALONE.fullmatch(number):
            sums[tenant.account_id] = sums.get(tenant.account_id, Decimal(0)) + row["cost_sum"]


def _add(tally: Tally, key: tuple[str, str, str], number: int, cost: Decimal) -> None:
    numbers, costs = tally.get(key, (0, Decimal(0)))
    tally[key] = (numbers + number, costs + cost)


def _changes(names: Iterable[str], rows: list[tuple[Any, ...]]) -> Changes:
    """What rows of ``raw_row`` and values of these columns say; nothing when there are none."""
    return {name: {row[0]: row[place] for row in rows} for place, name in enumerate(names, 1)} if rows else {}


def _amend(legs: pa.RecordBatch, changes: Changes, links: dict[tuple[str, str], str]) -> pa.RecordBatch:
    """These legs with the values and links that were known in the end."""
    if links:
        each = zip(*(legs[name].to_pylist() for name in ("raw_row", "account_id", "native_id")), strict=True)
        changes = {**changes, "linked_id": {row: links[key] for row, *key_ in each if (key := tuple(key_)) in links}}
    return with_values(legs, changes)


def _check_headers(source: Source, con: duckdb.DuckDBPyConnection, day: date, directory: Directory) -> set[str]:
    """Refuse a response whose header lacks a required column; the columns that are not known.

    Tenants in the records of a PBX that did not list them are refused as well: whose they are could not be told.
    """
    headers = con.execute("SELECT DISTINCT header FROM parsed WHERE header IS NOT NULL").fetchall()
    extra: set[str] = set()
    for (reported,) in headers:
        header = strict_json.loads(reported)
        names = [_column(name or "") for name in header]
        missing = [_NAME_OF[name] for name in _REQUIRED if name not in names]
        if missing or len({name for name in names if name}) < len([name for name in names if name]):
            raise ContractError(
                f"the header lacks or repeats columns ({', '.join(missing) or 'a repeated one'})",
                connection=source.name,
                endpoint="cdr.download",
                window=str(day),
            )
        if "tenant" in names and not directory.tenants_listed:
            raise ContractError(
                "the records are of tenants, and the PBX does not give tenant.list",
                connection=source.name,
                endpoint="cdr.download",
                window=str(day),
                hint="let the API key list tenants, in Admin Settings, API Keys",
            )
        extra |= {str(name) for name, known in zip(header, names, strict=True) if known is None}
    return extra


def _column(name: str) -> str | None:
    return _COLUMNS.get(name.strip(" ").lower())


def _controls(
    source: Source,
    con: duckdb.DuckDBPyConnection,
    landing: Landing,
    day: date,
    directory: Directory,
    tally: Tally,
    certain: Mapping[str, Decimal],
) -> list[dict[str, Any]]:
    """What the PBX says of each tenant's day against what we have: ``billamount``, and the number of rows by status.

    The PBX's own direction proves ours. It may count charged internal calls as outgoing: those that are ``certain`` to
    be internal are let pass where its other sums are ours and it is exactly they that it has more, and that is said.
    """
    nothing = dict.fromkeys(("", INCOMING, OUTGOING, "internal"), Decimal(0))
    ours: dict[str, dict[str, Decimal]] = {}
    for (account, direction, _), (_, cost) in tally.items():
        sums = ours.setdefault(account, dict(nothing))
        sums[""] += cost
        kind = _TYPE_OF.get(direction, direction)
        if kind in sums:
            sums[kind] += cost
    responses = con.execute(
        "SELECT coalesce(account_id, $single), coalesce(request->>'cdrtype', ''), body, fetched_at"
        " FROM read_parquet($raw)"
        " WHERE kind = 'cdr.billamount' OR (kind = $refused AND request->>'action' = 'cdr.billamount')",
        {"raw": str(source.lake.data_dir / landing.file), "single": SINGLE, "refused": REFUSED},
    ).fetchall()
    reported = {
        (account, kind): money(strict_json.loads(body).get("billamount")) for account, kind, body, _ in responses
    }
    rows = []
    for account, kind, _, fetched_at in responses:
        have = ours.get(account, nothing)
        mine, theirs = have[kind], reported[(account, kind)]
        if kind and len({reported.get((account, each)) for each in ("", INCOMING, OUTGOING)}) == 1:
            theirs = None  # the PBX does not heed cdrtype
        tenant = directory.tenants.get(account)
        currency = tenant.currency if tenant else source.currency
        internal, remark = certain.get(account, Decimal(0)), ""
        others_match = all(reported.get((account, each)) == have[each] for each in ("", INCOMING))
        if kind == OUTGOING and internal and others_match and theirs == mine + internal:
            mine = theirs
            remark = (
                f"{internal.normalize():f} {currency or ''} of ours are internal calls that the PBX counts as outgoing"
            )
        control = control_total(source, CDRS, day, account, _CHECKS[kind], mine, theirs, fetched_at, currency=currency)
        rows.append({**control, "remark": remark})
    return rows + _row_controls(source, con, landing, day, tally)


def _row_controls(
    source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date, tally: Tally
) -> list[dict[str, Any]]:
    """The rows of each tenant against the PBX's own counts by status, where it was asked for them."""
    outcomes: dict[str, Counter[str]] = {}
    for (account, _, outcome), (number, _) in tally.items():
        outcomes.setdefault(account, Counter())[outcome] += number
    counts: dict[str, list[tuple[dict[str, str], Any]]] = {}
    read_at: dict[str, datetime] = {}
    for account, request, body, fetched_at in con.execute(
        "SELECT coalesce(account_id, $single), request, body, fetched_at FROM read_parquet($raw)"
        " WHERE kind = $count OR (kind = $refused AND request->>'action' = 'cdr.download') ORDER BY page",
        {
            "raw": str(source.lake.data_dir / landing.file),
            "single": SINGLE,
            "count": COUNT,
            "refused": REFUSED,
        },
    ).fetchall():
        counts.setdefault(account, []).append((strict_json.loads(request), strict_json.loads(body)))
        read_at[account] = fetched_at
    rows = []
    for account, responses in counts.items():
        ours, theirs = _compared(outcomes.get(account, Counter()), _counted(responses))
        figures = Decimal(ours), None if theirs is None else Decimal(theirs)
        rows.append(control_total(source, CDRS, day, account, ROWS_BY_STATUS, *figures, read_at[account]))
    return rows


def _counted(responses: list[tuple[dict[str, str], Any]]) -> int | None:
    """The sum of the PBX's counts by status; None where one is missing, or where it does not heed the filter."""
    counts = [_count_of(status, responses) for status in STATUSES]
    numbers = [number for number in counts if number is not None]
    repeats = len(numbers) == len(counts) and (len(set(numbers)) > 1 or not any(numbers))
    return sum(numbers) if repeats else None


def _count_of(status: str, responses: list[tuple[dict[str, str], Any]]) -> int | None:
    """The PBX's count of one status, as far as these responses tell it."""
    asked = [(int(request["page"]), data) for request, data in responses if request.get("status") == status]
    return counted(asked) if all(_filter_respected(status, data) for _, data in asked) else None


def _filter_respected(status: str, data: dict[str, Any]) -> bool:
    """Whether a response can be one to this filter: answered calls where they were asked for, and nowhere else.

    Which of the others a PBX files where is its own affair.
    """
    found = {_DOCUMENTED.get(outcome) for outcome in _outcomes_of(data)} - {None}
    return found <= {"8"} if status == "8" else "8" not in found


def _compared(outcomes: Counter[str], counts: int | None) -> tuple[int, int | None]:
    """Our number of rows and the PBX's. None: it has none that could be compared.

    The filter knows four statuses. Rows of others (Voicemail, Cancelled, …) it may count under one of those or not at
    all; where it seems to count some of them, nothing can be said.
    """
    every = outcomes.total()
    certain = sum(number for outcome, number in outcomes.items() if outcome in _DOCUMENTED)
    if counts == certain:
        return certain, counts
    return every, None if counts is not None and certain < counts < every else counts


# --- normalise: parties ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Party:
    """Who stands in From or To. ``kind``: own, did (our outside number), feature, withheld or outside.

    ``target`` is what a did leads to, when that is no extension: a ring group, a queue, an IVR.
    """

    name: str | None
    number: str | None
    kind: str
    extension: str | None = None
    public: Number = UNREADABLE
    target: str | None = None


def read_party(text: str, tenant: Tenant, codes: frozenset[str], *, called: bool = False) -> Party:
    """Read one party of a tenant: ``Name (1000)``, a bare number, a number with a tenant code in front, …

    What is ``called`` may begin with the digits for an outside line, and be a short number that is public.
    """
    name, number = _split(text.strip())
    if is_withheld(number):
        return Party(name, None, "withheld")
    extension = _listed(number, tenant)
    if extension:
        return Party(name, number, "own", extension)
    dialled = dialled_number(number, tenant.region, tenant.outside_line if called else "")
    if number.startswith(("*", "#")) and (dialled == number or _listed(dialled, tenant)):
        return Party(name, number, "feature")
    extension = _own_by_form(number, name, tenant, called=called) if dialled == number else None
    if extension:
        return Party(name, number, "own", extension)
    if dialled in tenant.dids:
        return _of_did(name, number, dialled, read_number(dialled, tenant.region), tenant)
    if not is_emergency(dialled, tenant.region) and any(
        code and dialled.startswith(code) and 2 <= len(dialled.removeprefix(code).removeprefix("+")) <= 5
        for code in codes - {tenant.code}
    ):
        return Party(name, number, "outside")  # another tenant's extension: no public number
    public = read_number(dialled, tenant.region)
    if public.e164 in tenant.dids:
        return _of_did(name, number, public.e164 or "", public, tenant)
    return Party(name, number, "outside", None, public)


def _of_did(name: str | None, number: str, did: str, public: Number, tenant: Tenant) -> Party:
    return Party(name, number, "did", tenant.dids[did], public, tenant.targets.get(did))


def _split(text: str) -> tuple[str | None, str]:
    """Name and number of ``Name (number)`` or ``Name <number>``: the last bracket counts, for names hold some too."""
    for opens, closes in ("()", "<>"):
        if text.endswith(closes) and opens in text:
            name, _, number = text[:-1].rpartition(opens)
            return name.strip() or None, number.strip()
    return None, text


def _listed(number: str, tenant: Tenant) -> str | None:
    """The tenant's own number that a number means, if the PBX lists it: an extension, or what a DID leads to."""
    for joined in ("", tenant.code, f"{tenant.code}+") if tenant.code else ("",):
        own = number.removeprefix(joined)
        if number.startswith(joined) and (own in tenant.extensions or own in tenant.groups):
            return own
    return None


def _own_by_form(number: str, name: str | None, tenant: Tenant, *, called: bool) -> str | None:
    """The tenant's own number that a number can only be, by its form; None if it is not one."""
    if not (number.isascii() and number.isdigit()) or is_emergency(number, tenant.region):
        return None
    if name and len(number) <= LONGEST_EXTENSION:
        return number  # a ring group, queue or voicemail box: only the PBX itself names short numbers
    if number.startswith("0") or (called and is_public_short(number, tenant.region)):
        return None
    lengths = {tenant.digits} if tenant.digits else tenant.lengths
    rest = number.removeprefix(tenant.code)
    return next((own for own in (number, rest) if len(own) in lengths), None)


# What the PBX itself calls a mailbox; and groups and the like, which are known by it where no extensions are listed.
_MAILBOX = re.compile(r"\bvoicemail$", re.IGNORECASE)
_GROUP = re.compile(r"(enhanced |dial |ring )+group\b|queue\b|ivr\b|conference\b", re.IGNORECASE)


def _who_is(party: Party, tenant: Tenant) -> str | None:
    """Who is reached by a call to this party, as ``core.cdr.to_kind`` says it."""
    if party.kind == "own":
        return "person" if _is_telephone(party.extension or "", party.name or "", tenant) else "machine"
    if party.kind == "did":
        return "machine" if {party.number, party.public.e164} & tenant.machines else "number"
    # A feature code can be a mailbox, or pick up a colleague's call.
    return "person" if party.kind == "outside" else None


def _is_telephone(extension: str, name: str, tenant: Tenant) -> bool:
    if extension in tenant.extensions:
        return name == tenant.extensions[extension] or not _MAILBOX.search(name)
    return not (tenant.extensions or extension in tenant.machines or _GROUP.match(name) or _MAILBOX.search(name))


_PARTY = pa.schema(
    [
        *((name, pa.string()) for name in ("account_id", "text", "name", "number", "kind", "extension")),
        *(
            (name, pa.string())
            for name in ("e164", "country", "type", "currency", "who", "from_group", "routed_to_group")
        ),
        *((name, pa.bool_()) for name in ("phone", "called")),
    ]
)


def _party_table(directory: Directory, texts: list[tuple[str, str, bool]]) -> pa.Table:
    """The dimension of parties: one row per tenant, distinct text and side, with the tenant's currency.

    ``who`` is in ``core.cdr.to_kind`` where a leg is to this party; ``from_group`` and ``routed_to_group`` are the
    number without a phone of its own that a leg from or to it is by.
    """
    codes = directory.codes
    rows = []
    for account, text, called in texts:
        tenant = directory.tenants.get(account)
        party = read_party(text, tenant, codes, called=called) if tenant else Party(None, text, "outside")
        leads_to = party.extension or party.target
        phone = tenant is not None and leads_to in tenant.extensions
        public = (party.public.e164, outside_country(party.public), party.public.type)
        own = (account, text, party.name, party.number, party.kind, party.extension, *public)
        currency = tenant.currency if tenant else None
        rows.append(
            (
                *own,
                currency,
                _who_is(party, tenant) if tenant else None,
                party.extension if party.kind == "own" and not phone else None,
                None if phone else leads_to,
                phone,
                called,
            )
        )
    columns = zip(*rows, strict=True) if rows else [()] * len(_PARTY)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _PARTY, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_PARTY)


# --- core ------------------------------------------------------------------------------------------------------------

LISTS = "lists"
CDRS = "cdr"


def lists_stream(source: Source) -> Stream:
    """The directory: accounts, extensions, departments, rates."""
    return Stream(
        LISTS,
        (ACCOUNT_TABLE, EXTENSION_TABLE, DEPARTMENT, SERVICE_PLAN_RATE),
        lambda con, landing, day: normalise_lists(source, con, landing),
    )


def cdr_stream(source: Source) -> Stream:
    """Call records by business day."""
    return Stream(
        CDRS,
        (CDR,),
        lambda con, landing, day: normalise_cdrs(source, con, landing, day),
        CONTROLS,
        partial(CdrParser, source),
        by_account="cdr.download",
        nameless=SINGLE,
    )


def _tenant_list(source: Source, lists: Landing) -> Any:
    """What ``tenant.list`` said; None where the PBX does not give it, as one that is not in tenant mode may not."""
    responses = source.lake.responses(lists)
    return next(
        (strict_json.loads(response["body"]) for response in responses if response["kind"] == "tenant.list"), None
    )


# --- assets ----------------------------------------------------------------------------------------------------------


def pbxware_assets(connection: Connection, days: PartitionsDefinition[str]) -> list[AssetsDefinition]:
    """The assets of one PBXware connection: its directory, whole on every load, and its call records by day."""
    directory = (ACCOUNT_TABLE, EXTENSION_TABLE, DEPARTMENT, SERVICE_PLAN_RATE)

    @multi_asset(
        name=f"{connection.key}_lists",
        specs=[
            raw_spec(
                connection,
                LISTS,
                "Responses of PBXware's lists: tenants with their configuration, extensions, departments, DIDs, "
                "trunks, service plans with rates. Loaded whole on every load; landed as they came.",
            ),
            *core_specs(connection, LISTS, directory),
        ],
        check_specs=check_specs(connection, LISTS),
        required_resource_keys={RESOURCE},
    )
    @typed_errors
    def lists(context: AssetExecutionContext) -> Iterator[Any]:
        source = runtime(context).source(connection.name, context)
        everything = [Window(None, None)]
        yield from materialize_stream(
            context,
            source,
            lists_stream(source),
            everything,
            lambda window: fetch_lists(source),
            others_need_it=True,
        )

    @multi_asset(
        name=f"{connection.key}_cdr",
        specs=[
            raw_spec(
                connection,
                CDRS,
                "Responses of `cdr.download`, read in time slices that each fit one response, and of `cdr.billamount`, "
                "the PBX's own sum of their cost. One landing a business day.",
                deps=[connection.asset(f"raw_{LISTS}")],
                partitions=days,
            ),
            *core_specs(connection, CDRS, (CDR,), partitions=days),
        ],
        check_specs=check_specs(connection, CDRS, CONTROLS),
        required_resource_keys={RESOURCE},
        backfill_policy=BackfillPolicy.single_run(),
    )
    @typed_errors
    def cdr(context: AssetExecutionContext) -> Iterator[Any]:
        source = runtime(context).source(connection.name, context)
        landed = source.lake.newest_list(connection.name, LISTS)
        yield from materialize_stream(
            context,
            source,
            cdr_stream(source),
            asked_days(context),
            lambda window: fetch_cdrs(source, landed, window),
            depends_on={LISTS: landed},
        )

    return [lists, cdr]
