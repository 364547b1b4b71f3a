"""Sipcentric: what its responses mean, and the assets that load them. Reads top to bottom: raw, normalise, core.

What lives here: customers, endpoints, numbers, bundles, credit; the reading of calls and messages with direction and
outcome; the vendor's own counts as control totals. What does not: what is asked (``sources.sipcentric``), the steps
every vendor shares (``loading``), calls put together from legs (``warehouse``).

Amounts are in the customer's own currency where Sipcentric names one, else in the configured one, else in GBP [API v1].
Message texts never reach this module: the source takes them out.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from dagster import AssetExecutionContext, AssetsDefinition, BackfillPolicy, PartitionsDefinition, multi_asset

from assets.controls import control_total, quarantined
from assets.http import strict_json
from assets.http.client import Forbidden, HttpStatusError
from assets.http.optional_lists import kept, not_given
from assets.http.page import REFUSED, Page
from assets.http.slices import NOTHING
from assets.load import (
    AccountsDenied,
    Fetch,
    Normalised,
    Source,
    Stream,
    Window,
    bounds,
    earlier_readings,
    optional_lists,
)
from assets.materialize import (
    RESOURCE,
    Connection,
    asked_days,
    asked_stretch,
    check_specs,
    core_specs,
    materialize_stream,
    raw_spec,
    runtime,
    typed_errors,
)
from assets.phone import UNREADABLE, dialled_number, is_withheld, outside_country, read_number
from assets.sipcentric.api import CREDIT_STATUS, Sipcentric, identifier, instant, slice_asked
from tollbook_errors import TollbookError
from warehouse.lake import CoreWriter, Landing, RawWriter, StagedFile, make_folder
from warehouse.money import amount_sql, currency_code, money
from warehouse.restate import Changes, as_landed, with_values
from warehouse.schema import ACCOUNT_TABLE, BALANCE, BUNDLE, CDR, EXTENSION_TABLE, SMS, Table

METRICS = ("count", "cost", "duration")
TOTAL_ITEMS = "total_items"
LIST_CONTROLS = {
    TOTAL_ITEMS: "Number of entries of a customer's list against its totalItems.",
    "bundle_minutes": "A bundle's used and available minutes against its inclusive ones.",
}
MESSAGE_CONTROLS = {
    TOTAL_ITEMS: "Number of different messages against totalItems, which counts all there are: where all were read.",
}
CALL_CONTROLS = {
    TOTAL_ITEMS: "Number of different calls read against totalItems of what was asked for.",
    "calls_stats_count": "Number of the day's calls against calls/stats, where the release has it.",
    "calls_stats_cost": "Sum of the day's cost against calls/stats, where the release has it.",
    "calls_stats_duration": "Seconds of the day's calls against calls/stats, where the release has it.",
}

# --- raw -------------------------------------------------------------------------------------------------------------


def fetch_lists(source: Source) -> Fetch:
    """Customers, and of each the endpoints, phone numbers, bundles and credit status."""

    def pages(writer: RawWriter) -> Iterable[Page]:
        return Sipcentric(source.client()).lists(optional_lists(source, LISTS))

    return pages


def fetch_calls(source: Source, lists: Landing, window: Window) -> Fetch:
    """A day's calls of every customer, each followed by the vendor's own totals where its release has them.

    A customer whose calls the vendor denies (403) or does not know (404) keeps no other's back. Raises AccountsDenied.
    """
    day = window.first
    assert day is not None
    start, end = bounds(day, source.zone)

    def pages(writer: RawWriter) -> Iterator[Page]:
        sip = Sipcentric(source.client())
        earlier = earlier_readings(source, CALLS, day, "calls", slice_asked)
        offered = True
        denied: list[TollbookError] = []
        customers = _customers(source, lists)
        for customer in customers:
            found = earlier.get(customer, NOTHING)
            calls = sip.calls(customer, start, end, window=str(day), earlier=found)
            try:
                first = next(calls, None)
            except (Forbidden, HttpStatusError) as error:
                if isinstance(error, HttpStatusError) and error.status not in (404, 410):
                    raise
                denied.append(error)
                continue
            if first is not None:
                yield first
            yield from calls
            for metric in METRICS if offered else ():
                try:
                    stats = sip.call_stats(customer, start, end, metric, window=str(day))
                except Forbidden:  # another customer's may be allowed
                    break
                if stats is None:
                    offered = False
                    break
                yield stats
        if denied:
            raise denied[0] if len(denied) == len(customers) else AccountsDenied(denied[0], len(denied))

    return pages


def fetch_messages(source: Source, lists: Landing, window: Window) -> Fetch:
    """The messages of every customer, back to the first day of the window."""
    assert window.first is not None
    since, _ = bounds(window.first, source.zone)

    def pages(writer: RawWriter) -> Iterator[Page]:
        sip = Sipcentric(source.client())
        for customer in _customers(source, lists):
            yield from sip.messages(customer, since, window=str(window))

    return pages


def _customers(source: Source, lists: Landing) -> list[str]:
    responses = [a for a in source.lake.responses(lists) if a["kind"] == "customers"]
    items = [item for response in responses for item in strict_json.loads(response["body"])["items"]]
    found = (identifier(item.get("uri"), "customers") for item in items)
    return sorted({customer for customer in found if customer is not None})


# --- normalise: lists ------------------------------------------------------------------------------------------------


def normalise_lists(source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date | None) -> Normalised:
    """Accounts, endpoints and numbers, balances, and bundles: those of past periods stay when the list drops them."""
    rows: dict[Any, list[dict[str, Any]]] = {ACCOUNT_TABLE: [], EXTENSION_TABLE: [], BUNDLE: [], BALANCE: []}
    quarantine: list[dict[str, Any]] = []
    answered: set[tuple[str | None, str]] = set()
    counts: Counter[tuple[str | None, str]] = Counter()
    totals: dict[tuple[str | None, str], tuple[Any, datetime]] = {}
    today = landing.started_at.astimezone(source.zone).date()
    currencies, warnings = _currencies(source, landing)
    responses = source.lake.responses(landing)
    known_before = kept(responses)
    for response in responses:
        if response["kind"] == REFUSED:
            continue
        data = strict_json.loads(response["body"])
        items = [data] if response["kind"] == CREDIT_STATUS else data["items"]
        listed = response["account_id"], response["kind"]
        answered.add(listed)
        if response["kind"] != CREDIT_STATUS:
            # What was known before proves nothing tonight.
            totals[listed] = None if listed in known_before else data["totalItems"], response["fetched_at"]
        for number, item in enumerate(items):
            place = {
                "vendor": source.vendor,
                "connection": source.name,
                "account_id": response["account_id"],
                "raw_file": landing.file,
                "raw_row": response["first_row"] + number,
                "fetched_at": response["fetched_at"],
            }
            made = _list_row(source, response["kind"], item, response["account_id"], currencies)
            counts[listed] += 1
            if made is None:
                quarantine.append(
                    {
                        **place,
                        "window_date": today,
                        "stream": LISTS,
                        "reason": f"an entry of {response['kind']} has no id or no period",
                        "page": response["page"],
                    }
                )
            else:
                table_, row = made
                rows[table_].append({**place, **row})
    for table_, entries in rows.items():
        con.register(f"fresh_{table_.name}", pa.Table.from_pylist(entries, schema=table_.arrow()))
    con.execute(
        "CREATE TEMP TABLE all_bundles AS FROM fresh_bundle UNION ALL BY NAME SELECT * FROM previous_bundle old"
        " ANTI JOIN fresh_bundle USING (account_id, bundle_id, valid_from)"
        " WHERE old.valid_to < $read_at OR NOT list_contains($given, old.account_id)",
        {"read_at": landing.started_at, "given": [account for account, kind in answered if kind == "callbundles"]},
    )
    names: dict[Table, str | StagedFile] = {table_: f"fresh_{table_.name}" for table_ in rows}
    names[BUNDLE] = "all_bundles"
    controls = [
        control_total(
            source, LISTS, today, account, TOTAL_ITEMS, Decimal(counts[account, kind]), money(reported), at, kind
        )
        for (account, kind), (reported, at) in totals.items()
    ]
    controls += _bundle_controls(source, rows[BUNDLE], today)
    return Normalised(names, controls, quarantine, warnings=warnings + not_given(responses))


def _currencies(source: Source, lists: Landing) -> tuple[dict[str, str], list[str]]:
    """Each customer's currency, and the warnings about it.

    It is the customer's own or that of its credit, else the configured one, else GBP. None is documented, so what
    cannot be understood without a configured one is XXX.
    """
    named: dict[str | None, Any] = {}
    for response in source.lake.responses(lists):
        data = strict_json.loads(response["body"])
        if response["kind"] == "customers":
            named |= {identifier(item.get("uri"), "customers"): _named_currency(item) for item in data["items"]}
        elif response["kind"] == CREDIT_STATUS and not named.get(response["account_id"]):
            named[response["account_id"]] = _named_currency(data)
    currencies: dict[str, str] = {}
    warnings = []
    for account, name in named.items():
        if account is None:
            continue
        code = currency_code(name)
        if code and source.currency and code != source.currency:
            warnings.append(
                f"account {account}: Sipcentric says {code}, tollbook.toml says {source.currency}; {code} is used"
            )
        if name and not code and not source.currency:
            warnings.append(f"account {account}: its currency is not understood; set currency for this connection")
        currencies[account] = code or source.currency or ("XXX" if name else DEFAULT_CURRENCY)
    return currencies, warnings


def _named_currency(item: dict[str, Any]) -> Any:
    """What an object calls its currency: a code or a symbol, bare or as the ``code`` of an object."""
    name = item.get("currency") or item.get("currencyCode")
    return name.get("code") if isinstance(name, dict) else name


def _list_row(
    source: Source, kind: str, item: dict[str, Any], account: str | None, currencies: Mapping[str, str]
) -> tuple[Any, dict[str, Any]] | None:
    """The table and row that an entry of a list makes; None when it cannot be understood."""
    uri = item.get("uri")
    row: dict[str, Any]
    if kind == "customers":
        account = identifier(uri, "customers")
    currency = currency_code(_named_currency(item)) or currencies.get(account or "")
    if kind == "customers":
        row = {
            "account_id": account,
            "name": _text(item.get("company")),
            "country": source.region,
            "currency": currency,
        }
        return (ACCOUNT_TABLE, row) if account else None
    if kind == "creditstatus":
        left = item.get("balance")
        balance = money(left if left is not None else item.get("creditRemaining"))
        account_type = str(item.get("accountType") or "").lower() or None
        return BALANCE, {"account_type": account_type, "balance": balance, "currency": currency}
    found = identifier(uri, kind)
    if found is None:
        return None
    if kind == "callbundles":
        start = instant(item.get("validFrom"))
        row = {
            "bundle_id": found,
            "name": _text(item.get("name")),
            "valid_from": start,
            "valid_to": instant(item.get("validTo")),
            "valid_from_date": start.astimezone(source.zone).date() if start else None,
            "inclusive_minutes": _whole(item.get("inclusiveMins")),
            "used_minutes": _whole(item.get("usedMins")),
            "available_minutes": _whole(item.get("availableMins")),
            "price_monthly": money(item.get("priceMonthly")),
            "auto_renew": item.get("autoRenew") if isinstance(item.get("autoRenew"), bool) else None,
            "status": str(item.get("status") or "unknown").lower(),
            "currency": currency,
        }
        return (BUNDLE, row) if start else None
    number = item.get("shortNumber") if kind == "endpoints" else item.get("number")
    return EXTENSION_TABLE, {
        "extension_id": found,
        "extension": _text(number),
        "name": _text(item.get("name") if kind == "endpoints" else item.get("identifier")),
        "type": str(item.get("type") or ("did" if kind == "phonenumbers" else "phone")).lower(),
    }


def _bundle_controls(source: Source, bundles: list[dict[str, Any]], today: date) -> list[dict[str, Any]]:
    """A bundle's used and available minutes make its inclusive ones."""
    rows = []
    for bundle in bundles:
        parts = (bundle["used_minutes"], bundle["available_minutes"], bundle["inclusive_minutes"])
        known = None not in parts
        ours = Decimal(parts[0] + parts[1]) if known else None
        theirs = Decimal(parts[2]) if known else None
        subject = f"{bundle['bundle_id']}/{bundle['valid_from']:%Y-%m-%d}"
        account, read_at = bundle["account_id"], bundle["fetched_at"]
        rows.append(control_total(source, LISTS, today, account, "bundle_minutes", ours, theirs, read_at, subject))
    return rows


def _whole(value: Any) -> int | None:
    amount = money(value)
    return int(amount) if amount is not None and amount == int(amount) else None


def _text(value: Any) -> str | None:
    return str(value) if value is not None else None


# --- normalise: calls ------------------------------------------------------------------------------------------------

_FIELDS = (
    "uri",
    "created",
    "scope",
    "direction",
    "from",
    "to",
    "callStarted",
    "outcome",
    "duration",
    "cost",
    "callId",
    "linkedId",
    "final",
    "srcEndpoint",
    "dstEndpoint",
)

# DuckDB hands a number on as a double: costs are made text first, so that every digit arrives.
_EXACT = """regexp_replace(body, '("cost"[ \\t\\r\\n]*:[ \\t\\r\\n]*)(-?[0-9][0-9.eE+-]*)', '\\1"\\2"', 'g')"""

# Both timestamp styles say their offset; a time without one is UTC, as the session is.
_INSTANT = "CASE WHEN {text} LIKE '____-__-__T%' THEN try_cast({text} AS TIMESTAMPTZ) END"


def _items(fields: tuple[str, ...]) -> str:
    """The form of a response's items for ``from_json``: these fields, each as text."""
    return json.dumps({"items": [dict.fromkeys(fields, "VARCHAR")]})


_PARSED_CALLS = f"""
CREATE OR REPLACE TEMP TABLE parsed AS
WITH entry AS (
    SELECT page, account_id, fetched_at, first_row, from_json({_EXACT}, '{_items(_FIELDS)}').items AS items
    FROM response WHERE kind = 'calls' AND rows > 0
), listed AS (
    -- Unnested side by side: a join with the page would hold the whole page once for every item of it.
    SELECT page, account_id, fetched_at, first_row + unnest(range(len(items))) AS raw_row, unnest(items) AS item
    FROM entry
), split AS (
    SELECT page, account_id, fetched_at, raw_row, {", ".join(f'item."{name}"' for name in _FIELDS)}
    FROM listed
)
SELECT *, {_INSTANT.format(text='"callStarted"')} AS started, {amount_sql("cost")} AS amount,
    CASE WHEN regexp_full_match(duration, '[0-9]{{1,8}}([.]0+)?') THEN duration::DECIMAL(18, 6)::BIGINT END AS seconds,
CASE
    WHEN coalesce(uri, '') = '' THEN 'there is no uri'
    WHEN started IS NULL THEN 'callStarted is not a time'
    WHEN duration <> '' AND seconds IS NULL THEN 'the duration is not a number of seconds'
    WHEN cost <> '' AND amount IS NULL THEN 'the cost is not an amount'
    END AS problem,
    problem IS NULL AND NOT (started >= $start AND started < $end) AS outside
FROM split
"""

_LETTERS = "regexp_replace(upper(coalesce({text}, '')), '[^A-Z]', '', 'g')"

# What was read, in little: what tells which of the responses with the same call is the last, and what is counted.
# ``said`` is all that a response says of a call, by its hash.
_READ = """
CREATE TEMP TABLE read (
    account_id VARCHAR, uri UHUGEINT, page INTEGER, raw_row BIGINT, fetched_at TIMESTAMPTZ, started TIMESTAMPTZ,
    amount DECIMAL(18, 6), seconds BIGINT, good BOOLEAN, outside BOOLEAN, local BOOLEAN, said UBIGINT
)
"""
_HAVE_READ = f"""
INSERT INTO read SELECT account_id, md5_number(uri) AS uri, page, raw_row, fetched_at, started, amount, seconds,
    problem IS NULL AS good, outside, {_LETTERS.format(text="scope")} = 'LOCAL' AS local,
    hash({", ".join(f'"{name}"' for name in _FIELDS)}) AS said
FROM parsed
"""
# Neighbouring slices overlap by a second, so some calls stand in two responses. The last one counts, and of those that
# say the same the first: the others need not be written. These are they, as far as they come soon after it, from the
# row $first on.
_AGAIN = """
SELECT raw_row FROM read SEMI JOIN (
    SELECT account_id, uri, said, min(raw_row) AS told FROM read
    WHERE good AND NOT outside AND raw_row >= $first - 50000 GROUP BY ALL HAVING count(*) > 1
) AS again ON again.account_id = read.account_id AND again.uri = read.uri AND again.said = read.said AND told < raw_row
WHERE good AND NOT outside AND raw_row >= $first
"""
_REPEATED = """
CREATE TEMP TABLE repeated AS SELECT account_id, uri FROM read WHERE good GROUP BY ALL HAVING count(*) > 1
"""
_EARLIER = """
WITH version AS (
    SELECT account_id, uri, raw_row, said,
        first_value(said) OVER (PARTITION BY account_id, uri ORDER BY fetched_at DESC, raw_row DESC) AS last_said
    FROM read SEMI JOIN repeated USING (account_id, uri) WHERE good AND NOT outside
)
SELECT raw_row FROM version
QUALIFY raw_row <> min(raw_row) FILTER (said = last_said) OVER (PARTITION BY account_id, uri)
"""

_CDRS = f"""
WITH call AS (
    SELECT *, {_LETTERS.format(text="scope")} AS scope_word, {_LETTERS.format(text="direction")} AS direction_word,
        {_LETTERS.format(text="outcome")} AS outcome_word
    FROM parsed WHERE problem IS NULL AND NOT outside
), placed AS (
    SELECT c.*, f.name AS from_name, f.number AS from_number, f.e164 AS from_e164,
        t.name AS to_name, t.number AS to_number, t.e164 AS to_e164,
        CASE WHEN scope_word = 'LOCAL' OR (f.own AND t.own AND scope_word <> 'DOMAIN') THEN 'internal'
            WHEN direction_word IN ('IN', 'INBOUND') THEN 'inbound'
            WHEN direction_word IN ('OUT', 'OUTBOUND') THEN 'outbound' ELSE 'unknown' END AS direction_found,
        coalesce(src.extension, CASE WHEN f.own THEN f.number END) AS from_extension,
        coalesce(dst.extension, CASE WHEN t.own THEN t.number END) AS to_extension,
        CASE WHEN dst.kind IS NOT NULL THEN dst.kind WHEN t.own THEN t.kind WHEN t.number IS NULL THEN NULL
            WHEN direction_found = 'outbound' THEN 'person' WHEN direction_found = 'inbound' THEN 'number'
            END AS to_kind,
        f.country AS from_country, t.country AS to_country, f.type AS from_type, t.type AS to_type, k.currency
    FROM call c
    LEFT JOIN party f ON f.account_id = c.account_id AND f.text = coalesce(c."from", '') AND NOT f.called
    LEFT JOIN party t ON t.account_id = c.account_id AND t.text = coalesce(c."to", '') AND t.called
    LEFT JOIN account_currency AS k ON k.account_id = c.account_id
    LEFT JOIN endpoint src ON src.account_id = c.account_id
        AND src.uri_id = regexp_extract(c."srcEndpoint", '/endpoints/([^/?#]+)', 1)
    LEFT JOIN endpoint dst ON dst.account_id = c.account_id
        AND dst.uri_id = regexp_extract(c."dstEndpoint", '/endpoints/([^/?#]+)', 1)
)
SELECT
    md5(concat_ws(chr(31), $connection, account_id, uri)) AS cdr_id, 'sipcentric' AS vendor, $connection AS connection,
    account_id, uri AS native_id, coalesce(nullif("linkedId", ''), nullif("callId", '')) AS linked_id,
    1::INTEGER AS occurrence, started AS started_at, $day::DATE AS call_date, direction_found AS direction,
    CASE outcome_word WHEN 'ANSWERED' THEN 'answered' WHEN 'ANSWER' THEN 'answered'
        WHEN 'NOANSWER' THEN 'no_answer' WHEN 'NOTANSWERED' THEN 'no_answer' WHEN 'UNANSWERED' THEN 'no_answer'
        WHEN 'BUSY' THEN 'busy' WHEN 'FAILED' THEN 'failed'
        WHEN 'CANCELLED' THEN 'cancelled' WHEN 'CANCELED' THEN 'cancelled' WHEN 'CANCEL' THEN 'cancelled'
        WHEN 'VOICEMAIL' THEN 'voicemail' ELSE 'unknown' END AS outcome,
    "from" AS from_text, from_name, from_number, from_e164, "to" AS to_text, to_name, to_number, to_e164, to_kind,
    CASE direction_found WHEN 'inbound' THEN to_extension WHEN 'outbound' THEN from_extension
        ELSE coalesce(from_extension, to_extension) END AS extension,
    CASE direction_found WHEN 'outbound' THEN to_e164 WHEN 'inbound' THEN from_e164 END AS remote_e164,
    CASE direction_found WHEN 'outbound' THEN to_country WHEN 'inbound' THEN from_country END AS remote_country,
    CASE direction_found WHEN 'outbound' THEN to_type WHEN 'inbound' THEN from_type END AS remote_type,
    seconds AS duration_seconds, NULL::BIGINT AS rated_seconds, amount AS cost,
    currency, coalesce(lower(final) = 'false', false) AS is_provisional, NULL::DECIMAL(6, 3) AS mos,
    NULL::BOOLEAN AS has_recording, $file AS raw_file, raw_row, fetched_at
FROM placed
"""


# A leg out that names no endpoint of ours was forwarded: where one telephone of ours is all that its call led to, it is
# that telephone's.
_FORWARDED = """
WITH leg AS (
    SELECT account_id, linked_id, raw_row, direction = 'outbound' AND extension IS NULL AS is_forwarded,
        CASE WHEN to_kind = 'person' AND direction <> 'outbound'
            THEN CASE direction WHEN 'inbound' THEN extension ELSE to_number END END AS telephone
    FROM read_parquet($calls) WHERE linked_id IS NOT NULL
), owner AS (
    SELECT account_id, linked_id, min(telephone) AS telephone FROM leg
    GROUP BY ALL HAVING bool_or(is_forwarded) AND min(telephone) = max(telephone)
)
SELECT raw_row, owner.telephone FROM leg JOIN owner USING (account_id, linked_id) WHERE is_forwarded
"""

_Calls = TypeVar("_Calls", pa.Table, pa.RecordBatch)


class CallParser:
    """The calls of one landing, parsed batch by batch; what of them can only be told in the end, then.

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
        self._bounds = dict(zip(("start", "end"), bounds(day, source.zone), strict=True))
        self._quarantine: list[dict[str, Any]] = []
        self._again: set[int] = set()  # rows that say what one before them said
        self._path = folder / f"{CDR.full_name}.parquet"
        self._calls = CoreWriter(CDR, self._path)
        _register_lists(source, con, source.lake.landing_at(source.name, LISTS, depends_on[LISTS]))
        self._own = _own_numbers(con)
        con.register("nobody", _party_table(source, self._own, []))
        con.execute("CREATE TEMP TABLE party AS FROM nobody")
        con.execute(_READ)

    def add(self, responses: pa.Table) -> None:
        """Type these, the next of the landing."""
        source, con = self._source, self._con
        con.register("response", responses)
        con.execute(_PARSED_CALLS, self._bounds)
        texts = con.execute(f"FROM ({_TEXTS}) ANTI JOIN party USING (account_id, text, called)").fetchall()
        con.register("somebody", _party_table(source, self._own, texts))
        con.execute("INSERT INTO party FROM somebody")
        con.execute(_HAVE_READ)
        self._quarantine += quarantined(source, CALLS, con, self._file, self._day)
        again = [row for (row,) in con.execute(_AGAIN, {"first": responses["first_row"][0].as_py()}).fetchall()]
        self._again.update(again)
        known = {"connection": source.name, "day": self._day, "file": self._file}
        calls = as_landed(con.sql(_CDRS, params=known).to_arrow_table()).cast(CDR.arrow())
        self._calls.write(_without(calls, again))

    def finish(self, landing: Landing) -> Normalised:
        """The calls of the whole landing, what could not be understood, and the vendor's own counts beside ours."""
        con = self._con
        self._calls.close()
        con.execute(_REPEATED)
        earlier = [row for (row,) in con.execute(_EARLIER).fetchall() if row not in self._again]
        forwarded = dict(con.execute(_FORWARDED, {"calls": str(self._path)}).fetchall())
        written = self._amended(earlier, {"extension": forwarded} if forwarded else {})
        warnings = []
        columns = ("outcome", "direction")
        counts = ", ".join(f"count(*) FILTER ({column} = 'unknown')" for column in columns)
        found = con.execute(f"SELECT {counts} FROM read_parquet($calls)", {"calls": str(written.path)}).fetchall()[0]
        for column, unknown in zip(columns, found, strict=True):
            if unknown:
                warnings.append(f"{unknown} calls have a value of {column} that is not known")
        outside = con.execute("SELECT count(*) FROM read WHERE outside").fetchall()[0][0]
        raw = str(self._source.lake.data_dir / landing.file)
        controls = _call_controls(self._source, con, raw, self._day, **self._bounds)
        return Normalised({CDR: written}, controls, self._quarantine, outside, warnings)

    def _amended(self, earlier: list[int], changes: Changes) -> StagedFile:
        """The file of calls; another one without those that were changed between two responses, of which the last one
        counts, and where some were forwarded.
        """
        if not earlier and not changes:
            return StagedFile(self._path, self._calls.rows)
        path = self._path.with_suffix(".amended.parquet")
        with closing(CoreWriter(CDR, path)) as amended, pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches():
                amended.write(_without(with_values(batch, changes), earlier))
        self._path.unlink()
        return StagedFile(path, amended.rows)


def _without(calls: _Calls, gone: list[int]) -> _Calls:
    """These calls without the rows ``gone``, by ``raw_row``."""
    return calls.filter(pc.invert(pc.is_in(calls["raw_row"], pa.array(gone, pa.int64())))) if gone else calls


def normalise_calls(source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date | None) -> Normalised:
    """The calls of a day, with what could not be understood, and the vendor's own counts beside ours."""
    assert day is not None
    folder = source.lake.scratch_folder / f"{landing.generation}.parsed"
    make_folder(folder)
    parser = CallParser(source, con, landing.file, landing.depends_on, day, folder)
    for responses in source.lake.response_batches(landing):
        parser.add(responses)
    return parser.finish(landing)


def _call_controls(
    source: Source, con: duckdb.DuckDBPyConnection, raw: str, day: date, start: datetime, end: datetime
) -> list[dict[str, Any]]:
    """``totalItems`` of what was asked against the different calls read; ``calls/stats`` where the release has it."""
    rows = []
    read = con.execute("SELECT account_id, count(DISTINCT uri) FROM read WHERE uri IS NOT NULL GROUP BY ALL").fetchall()
    counted = dict(read)
    currencies = dict(con.execute("SELECT account_id, currency FROM account_currency").fetchall())
    asked: dict[str, dict[str, int]] = {}
    stats: dict[str, dict[str, Any]] = {}
    at: dict[str, datetime] = {}
    landed = con.execute(
        "SELECT account_id, request, fetched_at, CASE kind WHEN 'calls' THEN body->>'totalItems' END,"
        " CASE WHEN kind <> 'calls' THEN body END FROM read_parquet($raw)",
        {"raw": raw},
    )
    for account, request, fetched_at, total, figure in landed.fetchall():
        at[account] = fetched_at
        arguments = strict_json.loads(request)
        if total is not None:
            part = f"{arguments['startedAfter']}/{arguments['startedBefore']}"
            asked.setdefault(account, {})[part] = int(total)
        else:
            metric = arguments["metric"]
            stats.setdefault(account, {})[metric] = _stat(strict_json.loads(figure), metric)
    # The bounds that were asked reach a second beyond the day, and whether they count in themselves is not documented;
    # nor is it whether stats count local calls.
    wide = (start - timedelta(seconds=1), end + timedelta(microseconds=1))
    within = [_sums(con, *stretch, local) for local in (True, False) for stretch in ((start, end), wide)]
    for account in sorted(at):
        theirs = Decimal(sum(asked.get(account, {}).values()))
        overlap = _twice(con, account)
        mine = Decimal(counted.get(account, 0)) + overlap
        rows.append(control_total(source, CALLS, day, account, TOTAL_ITEMS, mine, theirs, at[account]))
        for metric in METRICS:
            reported = stats.get(account, {}).get(metric)
            sums = [of_account.get(account, {}).get(metric, Decimal(0)) for of_account in within]
            mine = reported if reported in sums else sums[0]
            check, currency = f"calls_stats_{metric}", currencies.get(account) if metric == "cost" else None
            rows.append(
                control_total(source, CALLS, day, account, check, mine, reported, at[account], currency=currency)
            )
    return rows


def _sums(con: duckdb.DuckDBPyConnection, start: datetime, end: datetime, local: bool) -> dict[str, dict[str, Decimal]]:
    """Of each account the different calls that started in [start, end): number, cost, seconds.

    Without ``local`` only those that are not within the account.
    """
    asked = "WHERE good AND ($local OR NOT local) AND started >= $start AND started < $end"
    found = con.execute(
        "SELECT account_id, count(*), sum(amount), sum(seconds) FROM ("
        f"SELECT account_id, amount, seconds FROM read ANTI JOIN repeated USING (account_id, uri) {asked} UNION ALL"
        f" SELECT account_id, amount, seconds FROM read SEMI JOIN repeated USING (account_id, uri) {asked}"
        " QUALIFY row_number() OVER (PARTITION BY account_id, uri ORDER BY fetched_at DESC, raw_row DESC) = 1"
        ") GROUP BY account_id",
        {"start": start, "end": end, "local": local},
    ).fetchall()
    return {
        account: {"count": Decimal(count), "cost": cost or Decimal(0), "duration": Decimal(seconds or 0)}
        for account, count, cost, seconds in found
    }


def _twice(con: duckdb.DuckDBPyConnection, account: str) -> Decimal:
    """Calls that stand in two responses: those in the second by which neighbouring slices overlap."""
    found = con.execute(
        "SELECT count(*) - count(DISTINCT uri) FROM (SELECT DISTINCT page, uri FROM read WHERE account_id = $account)",
        {"account": account},
    ).fetchall()
    return Decimal(found[0][0])


def _stat(data: Any, metric: str) -> Decimal | None:
    """A ``calls/stats`` response's total: its ``totals``, else the sum of its rows' last column; None if unreadable."""
    if not isinstance(data, dict):
        return None
    totals = data.get("totals")
    if isinstance(totals, dict):
        amounts = [money(value) for value in ([totals[metric]] if metric in totals else totals.values())]
        known = [amount for amount in amounts if amount is not None]
        if len(known) == 1:
            return known[0]
    if isinstance(totals, list) and totals:
        return money(totals[-1])
    if totals is not None and not isinstance(totals, (dict, list)):
        return money(totals)
    rows = data.get("rows")
    if isinstance(rows, list) and all(isinstance(row, list) and row for row in rows):
        amounts = [money(row[-1]) for row in rows]
        return None if None in amounts else sum((a for a in amounts if a is not None), Decimal(0))
    return None


def _register_lists(source: Source, con: duckdb.DuckDBPyConnection, lists: Landing) -> None:
    """The endpoints: which numbers are ours, and behind which of them there is a person; and ``account_currency``."""
    rows = []
    for response in source.lake.responses(lists):
        if response["kind"] == "endpoints":
            for item in strict_json.loads(response["body"])["items"]:
                found = identifier(item.get("uri"), "endpoints")
                if found and item.get("shortNumber") is not None:
                    kind = "machine" if str(item.get("type")).lower() in MACHINES else "person"
                    row = {"account_id": response["account_id"], "uri_id": found, "kind": kind}
                    rows.append({**row, "extension": str(item["shortNumber"])})
    schema = pa.schema([(name, pa.string()) for name in ("account_id", "uri_id", "extension", "kind")])
    con.register("endpoint", pa.Table.from_pylist(rows, schema=schema))
    currencies, _ = _currencies(source, lists)
    columns = {"account_id": list(currencies), "currency": list(currencies.values())}
    schema = pa.schema([(name, pa.string()) for name in columns])
    con.register("account_currency", pa.table(columns, schema=schema))


def _own_numbers(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """By account the numbers of its endpoints, each with who is behind it: a person, where a telephone has it too."""
    own: dict[str, dict[str, str]] = {}
    found = con.execute("SELECT account_id, extension, max(kind) FROM endpoint GROUP BY ALL").fetchall()
    for account, extension, kind in found:
        own.setdefault(account, {})[extension] = kind
    return own


# The parties of the relation ``parsed``: account, distinct text, and whether it was called.
_TEXTS = """
SELECT account_id, coalesce("from", '') AS text, false AS called FROM parsed WHERE problem IS NULL
UNION SELECT account_id, coalesce("to", ''), true FROM parsed WHERE problem IS NULL
"""


def _party_table(source: Source, own: dict[str, dict[str, str]], texts: list[tuple[str, str, bool]]) -> pa.Table:
    """The dimension of parties: one row per account, distinct text and side."""
    rows = [
        {
            "account_id": account,
            "text": text,
            "called": called,
            **_party(text, own.get(account, {}), source.region, source.outside_line if called else ""),
        }
        for account, text, called in texts
    ]
    schema = pa.schema(
        [(name, pa.string()) for name in ("account_id", "text", "name", "number", "kind", "e164", "country", "type")]
        + [(name, pa.bool_()) for name in ("own", "called")]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def _party(text: str, own: dict[str, str], region: str, outside_line: str) -> dict[str, Any]:
    """Read ``Name <103>``, ``Mary - Clients <103>``, a bare number or ``anonymous``."""
    name, number = None, text.strip()
    if number.endswith(">") and "<" in number:
        before, _, inside = number[:-1].rpartition("<")
        name, number = before.strip() or None, inside.strip()
    if is_withheld(number):
        return {"name": name, "number": None, "own": False}
    ours = number in own or (len(number) <= 4 and number.isdigit() and name is not None)
    dialled = number if ours else dialled_number(number, region, outside_line)
    read = UNREADABLE if dialled in own or ours else read_number(dialled, region)
    return {
        "name": name,
        "number": number,
        "own": ours,
        "kind": own.get(number),
        "e164": read.e164,
        "country": outside_country(read),
        "type": read.type,
    }


# --- normalise: messages ---------------------------------------------------------------------------------------------

_SMS_FIELDS = ("uri", "created", "direction", "from", "to", "sendStatus", "deliveryStatus", "cost")

_PARSED_SMS = f"""
CREATE OR REPLACE TEMP TABLE parsed AS
WITH entry AS (
    SELECT page, account_id, fetched_at, first_row, from_json({_EXACT}, '{_items(_SMS_FIELDS)}').items AS items
    FROM read_parquet($raw) WHERE kind = 'sms' AND rows > 0
), listed AS (
    -- Unnested side by side: a join with the page would hold the whole page once for every item of it.
    SELECT page, account_id, fetched_at, first_row + unnest(range(len(items))) AS raw_row, unnest(items) AS item
    FROM entry
), split AS (
    SELECT page, account_id, fetched_at, raw_row, {", ".join(f'item."{name}"' for name in _SMS_FIELDS)}
    FROM listed
)
SELECT *, {_INSTANT.format(text="created")} AS sent, {amount_sql("cost")} AS amount, CASE
    WHEN coalesce(uri, '') = '' THEN 'there is no uri'
    WHEN sent IS NULL THEN 'created is not a time'
    WHEN cost <> '' AND amount IS NULL THEN 'the cost is not an amount'
    END AS problem
FROM split
"""

_SMS = f"""
CREATE OR REPLACE TEMP TABLE fresh_sms AS
WITH message AS (
    SELECT * FROM parsed WHERE problem IS NULL AND sent >= $start AND sent < $end
    QUALIFY row_number() OVER (PARTITION BY account_id, uri ORDER BY fetched_at DESC, raw_row DESC) = 1
), placed AS (
    SELECT m.*, k.currency, f.e164 AS from_e164, t.e164 AS to_e164, f.country AS from_country, t.country AS to_country,
        CASE WHEN {_LETTERS.format(text="direction")} IN ('IN', 'INBOUND') THEN 'inbound'
            WHEN {_LETTERS.format(text="direction")} IN ('OUT', 'OUTBOUND') THEN 'outbound' ELSE 'unknown' END
            AS direction_found
    FROM message m
    LEFT JOIN party f ON f.account_id = m.account_id AND f.text = coalesce(m."from", '') AND NOT f.called
    LEFT JOIN party t ON t.account_id = m.account_id AND t.text = coalesce(m."to", '') AND t.called
    LEFT JOIN account_currency AS k ON k.account_id = m.account_id
)
SELECT
    md5(concat_ws(chr(31), $connection, account_id, uri)) AS sms_id, 'sipcentric' AS vendor, $connection AS connection,
    account_id, uri AS native_id, sent AS sent_at, $day::DATE AS sms_date, direction_found AS direction,
    CASE WHEN "sendStatus" IS NOT NULL THEN CASE {_LETTERS.format(text='"sendStatus"')} WHEN 'PENDING' THEN 'pending'
        WHEN 'SENT' THEN 'sent' WHEN 'FAILED' THEN 'failed' ELSE 'unknown' END END AS status,
    "from" AS from_text, from_e164, "to" AS to_text, to_e164,
    CASE direction_found WHEN 'outbound' THEN to_e164 WHEN 'inbound' THEN from_e164 END AS remote_e164,
    CASE direction_found WHEN 'outbound' THEN to_country WHEN 'inbound' THEN from_country END AS remote_country,
    try_cast("deliveryStatus" AS INTEGER) AS delivery_status,
    amount AS cost, currency, $file AS raw_file, raw_row, fetched_at
FROM placed
"""


def normalise_messages(
    source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date | None
) -> Normalised:
    """The messages of a day out of a landing that holds several days.

    A message whose day cannot be read is quarantined on the first day of the landing; one that lies before or after
    them all is counted there as out of window.
    """
    assert day is not None
    start, end = bounds(day, source.zone)
    _register_lists(source, con, source.lake.landing_at(source.name, LISTS, landing.depends_on[LISTS]))
    con.execute(_PARSED_SMS, {"raw": str(source.lake.verified(landing))})
    con.register("party", _party_table(source, _own_numbers(con), con.execute(_TEXTS).fetchall()))
    parameters = {"connection": source.name, "day": day, "file": landing.file, "start": start, "end": end}
    con.execute(_SMS, parameters)
    if day != landing.window_from:
        return Normalised({SMS: "fresh_sms"})
    lists = source.lake.landing_at(source.name, LISTS, landing.depends_on[LISTS])
    missing = len(_customers(source, lists)) - len(
        {response["account_id"] for response in source.lake.responses(landing)}
    )
    warnings = [f"the vendor does not give {MESSAGES} of {missing} customers"] if missing else []
    assert landing.window_to is not None
    _, end = bounds(landing.window_to, source.zone)
    outside = con.execute(
        "SELECT count(*) FROM parsed WHERE problem IS NULL AND NOT (sent >= $start AND sent < $end)",
        {"start": start, "end": end},
    ).fetchall()[0][0]
    controls = _message_controls(source, con, landing, day)
    quarantine = quarantined(source, MESSAGES, con, landing.file, day)
    return Normalised({SMS: "fresh_sms"}, controls, quarantine, outside, warnings)


def _message_controls(
    source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date
) -> list[dict[str, Any]]:
    """``totalItems`` of each customer's messages against those that were understood or set aside.

    It counts the messages of all time. Where the reading could end before it came to them all, there is no figure to
    compare with.
    """
    parsed = dict(
        con.execute(
            "SELECT account_id, count(DISTINCT coalesce(nullif(uri, ''), raw_row::VARCHAR)) FROM parsed GROUP BY ALL"
        ).fetchall()
    )
    rows = []
    for account, landed, total, read_at in con.execute(
        "SELECT account_id, sum(rows), max(try_cast(body->>'totalItems' AS BIGINT)), max(fetched_at)"
        " FROM read_parquet($raw) WHERE kind = 'sms' GROUP BY account_id ORDER BY account_id",
        {"raw": str(source.lake.data_dir / landing.file)},
    ).fetchall():
        theirs = Decimal(total) if total is not None and landed == total else None
        subject = f"{landing.window_from}..{landing.window_to}"
        ours = Decimal(parsed.get(account, 0))
        rows.append(control_total(source, MESSAGES, day, account, TOTAL_ITEMS, ours, theirs, read_at, subject))
    return rows


# --- core ------------------------------------------------------------------------------------------------------------

LISTS = "lists"
CALLS = "cdr"
MESSAGES = "sms"
DEFAULT_CURRENCY = "GBP"  # costs are in GBP [API v1]
MACHINES = ("group", "queue", "ivr", "mailbox")  # types of endpoints behind which there is no person


def lists_stream(source: Source) -> Stream:
    """Accounts, endpoints and numbers, bundles, balances."""
    return Stream(
        LISTS,
        (ACCOUNT_TABLE, EXTENSION_TABLE, BUNDLE, BALANCE),
        lambda con, landing, day: normalise_lists(source, con, landing, day),
        LIST_CONTROLS,
    )


def calls_stream(source: Source) -> Stream:
    """Calls by business day."""
    return Stream(
        CALLS,
        (CDR,),
        lambda con, landing, day: normalise_calls(source, con, landing, day),
        CALL_CONTROLS,
        partial(CallParser, source),
        by_account="calls",
    )


def messages_stream(source: Source) -> Stream:
    """Messages by business day, landed for the whole stretch of a load at once."""
    return Stream(
        MESSAGES,
        (SMS,),
        lambda con, landing, day: normalise_messages(source, con, landing, day),
        MESSAGE_CONTROLS,
        by_account="sms",
    )


# --- assets ----------------------------------------------------------------------------------------------------------


def sipcentric_assets(connection: Connection, days: PartitionsDefinition[str]) -> list[AssetsDefinition]:
    """The assets of one Sipcentric connection: lists, whole on every load; calls and messages by day."""
    tables = (ACCOUNT_TABLE, EXTENSION_TABLE, BUNDLE, BALANCE)

    @multi_asset(
        name=f"{connection.key}_lists",
        specs=[
            raw_spec(
                connection,
                LISTS,
                "Responses of Sipcentric's lists: every customer that the user may see, with endpoints, phone numbers, "
                "call bundles and credit status. Loaded whole on every load; landed as they came.",
            ),
            *core_specs(connection, LISTS, tables),
        ],
        check_specs=check_specs(connection, LISTS, LIST_CONTROLS),
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
                CALLS,
                "Responses of `/calls`, local calls included, read in time slices that each fit one response, and of "
                "`/calls/stats` where the release offers it. One landing a business day.",
                deps=[connection.asset(f"raw_{LISTS}")],
                partitions=days,
            ),
            *core_specs(connection, CALLS, (CDR,), partitions=days),
        ],
        check_specs=check_specs(connection, CALLS, CALL_CONTROLS),
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
            calls_stream(source),
            asked_days(context),
            lambda window: fetch_calls(source, landed, window),
            depends_on={LISTS: landed},
        )

    @multi_asset(
        name=f"{connection.key}_sms",
        specs=[
            raw_spec(
                connection,
                MESSAGES,
                "Responses of `/sms` with the texts taken out before anything is written. The resource cannot be "
                "filtered by time, so one landing holds the whole stretch of days of a load.",
                deps=[connection.asset(f"raw_{LISTS}")],
                partitions=days,
            ),
            *core_specs(connection, MESSAGES, (SMS,), partitions=days),
        ],
        check_specs=check_specs(connection, MESSAGES, MESSAGE_CONTROLS),
        required_resource_keys={RESOURCE},
        backfill_policy=BackfillPolicy.single_run(),
    )
    @typed_errors
    def sms(context: AssetExecutionContext) -> Iterator[Any]:
        source = runtime(context).source(connection.name, context)
        landed = source.lake.newest_list(connection.name, LISTS)
        yield from materialize_stream(
            context,
            source,
            messages_stream(source),
            asked_stretch(context),
            lambda window: fetch_messages(source, landed, window),
            depends_on={LISTS: landed},
        )

    return [lists, cdr, sms]
