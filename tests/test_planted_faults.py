"""Planted faults are each found and named, and nothing else is.

A table of faults: how each is planted (in what a vendor answers, in what happens to its records later, in a mart, in
the files), and every place where it must show. All faults of the vendors are planted in one world, each on a day,
account or record of its own; what is found there must be what was planted, no more and no less. Faults of our own
stores must stop the publication, name the figure, and leave the last good database standing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from support.core_rows import at, leg, load, partition, query, warehouse
from support.loading import LONDON, World, read, unwatched, world

from assets.warehouse_asset import rebuild_database, update_and_publish
from pipelines.demo.company import PBX, SIP, TIM, VPS
from pipelines.demo.faults import Fault
from pipelines.demo.hosting import Hosting, Invoice
from pipelines.maintain import run_rebuild
from pipelines.resources import Runtime
from tollbook_errors import IntegrityError
from warehouse.layout import bounds
from warehouse.published import open_public, unusual_days
from warehouse.update import sql as module

pytestmark = pytest.mark.slow  # whole loads

FIRST, LAST = date(2026, 10, 1), date(2026, 10, 12)
TO = LAST + timedelta(days=1)  # legs of calls that began before midnight
TIM_FROM = date(2026, 10, 9)  # before it, no fault of the PBX shows in TIM4biz too
NEVER = date(2026, 10, 11)  # nobody loads Sipcentric on it
READ_AT = at("2026-10-14 03:00:00")
CENT = Decimal("0.01")


def day(number: int) -> date:
    return date(2026, 10, number)


class Found(NamedTuple):
    """A place where something is wrong. ``amount``: of the difference or effect; None in the table = some amount."""

    where: str
    connection: str
    account: str | None
    day: date | None
    what: str
    amount: Decimal | None = None


@dataclass(frozen=True)
class Planted:
    """A fault of a vendor: the rules that plant it, and every place where it must show."""

    name: str
    rules: tuple[Fault, ...]
    shows: tuple[Found, ...]


# --- planted in what the vendors answer -------------------------------------------------------------------------------


def pbx(kind: str, on: int, account: str, endpoint: str = "cdr.download", **params: Any) -> tuple[Fault, ...]:
    """On one day of one tenant, whenever it is asked for."""
    where = {"server": account, "end": f"Oct-{on:02}-2026", "status": None}  # with one, it counts
    return (Fault(kind, "pbxware", endpoint, times=None, where=where, params=params),)


def sip(kind: str, on: int, account: str, endpoint: str = "calls", **params: Any) -> tuple[Fault, ...]:
    """On one day of one customer; the slices of a day all end within it."""
    where = {"startedBefore": f"{bounds(day(on), LONDON)[1]:%Y-%m-%dT%H:%M:%SZ}"}
    return (
        Fault(kind, "sipcentric", endpoint, times=None, where=where, params=params, path=f"/customers/{account}/*"),
    )


def tim(kind: str, on: int, **params: Any) -> tuple[Fault, ...]:
    return (Fault(kind, "tim4biz", times=None, where={"from": f"{day(on)}T00:00:00"}, params=params),)


def vps(kind: str, endpoint: str, path: str = "*", **params: Any) -> tuple[Fault, ...]:
    return (Fault(kind, "time4vps", endpoint, times=None, params=params, path=path),)


def control(connection: str, account: str, on: int | None, check: str, amount: Decimal | None = None) -> Found:
    return Found("control_total", connection, account, day(on) if on else None, check, amount)


def controls(on: int, account: str, amount: Decimal | None, *checks: str) -> tuple[Found, ...]:
    return tuple(control(PBX, account, on, check, amount) for check in ("billamount", *checks))


def counted(on: int, account: str, rows: int | None = -1) -> Found:
    return control(PBX, account, on, "rows_by_status", None if rows is None else Decimal(rows))


def reconciled(on: int, extension: str, class_: str) -> Found:
    return Found("reconciliation", TIM, extension, day(on), class_)


def warned(connection: str, on: int, what: str) -> Found:
    return Found("warning", connection, None, day(on), what)


def refused(connection: str, stream: str, on: int, error: str) -> Found:
    return Found("failed", connection, None, day(on), f"{stream} {error}")


def uncovered(connection: str, stream: str, on: int, state: str) -> Found:
    return Found("coverage", connection, None, day(on), f"{stream} {state}")


OUT, IN = "billamount_outgoing", "billamount_incoming"
INVOICES = Hosting(FIRST, LAST, "USD").invoices


def invoice(wanted: Callable[[Invoice], bool]) -> Invoice:
    return next(each for each in INVOICES if wanted(each))


LATE_FEE = invoice(lambda i: not i.lines[0].taxed)
PAID = [i for i in INVOICES if i.status == "Paid" and i.merged_into is None and i.lines[0].type == "Hosting"]
TAX_OFF, TOTAL_OFF, LIST_OFF, SWAPPED = PAID[:4]
ORIGINAL = invoice(lambda i: i.merged_into is not None)
MERGED = invoice(lambda i: i.id == ORIGINAL.merged_into)


def listed(which: Invoice) -> int:
    """Where an invoice stands in the list: the newest is first."""
    return len(INVOICES) - 1 - INVOICES.index(which)


def billed(which: Invoice, check: str, amount: Decimal | None = None) -> Found:
    return Found("control_total", VPS, "client", which.issued_on, f"{check} {which.id}", amount)


ANSWERED = (
    Planted("a cent is missing on one call", pbx("cost_off", 1, "2"), controls(1, "2", -CENT, OUT)),
    Planted(
        "the PBX's own sum is a cent too high",
        (
            Fault(
                "billamount_off",
                "pbxware",
                "cdr.billamount",
                times=None,
                where={"server": "7", "end": "Oct-01-2026", "cdrtype": None},
            ),
        ),
        controls(1, "7", -CENT),
    ),
    Planted(
        "a call is lost between slices",
        pbx("drop_row", 2, "2", row="charged"),
        (*controls(2, "2", None, OUT), counted(2, "2")),
    ),
    Planted("a call that cost nothing is lost", pbx("drop_row", 5, "7", row="free"), (counted(5, "7"),)),
    Planted(
        "an incoming call is written down as outgoing",
        pbx("turned_call", 4, "7"),
        tuple(control(PBX, "7", 4, check) for check in (IN, OUT)),
    ),
    Planted(
        "a response holds every record twice",
        pbx("repeat_rows", 3, "2"),
        (*controls(3, "2", None, OUT), counted(3, "2", None)),
    ),
    Planted(
        "a row lacks a cell",
        pbx("short_row", 3, "9", row="free"),
        (Found("quarantine", PBX, "9", day(3), "cdr the row has 11 cells, the header 12"), counted(3, "9")),
    ),
    Planted(
        "a charged call has no time",
        pbx("cell", 4, "2", name="Date/Time", value="soon", row="charged"),
        (
            Found("quarantine", PBX, "2", day(4), "cdr Date/Time is not a time"),
            *controls(4, "2", None, OUT),
            counted(4, "2"),
        ),
    ),
    Planted(
        "a status nobody knows",
        pbx("unknown_status", 4, "9"),
        (warned(PBX, 4, "1 call records have a status that is not known"),),
    ),
    Planted(
        "a record of another day",
        pbx("outside_row", 5, "9", row="free"),
        (
            warned(PBX, 5, "1 call records were left out: they started outside the time that was asked for"),
            counted(5, "9"),
        ),
    ),
    Planted(
        "a column nobody knows",
        pbx("extra_column", 5, "2"),
        (warned(PBX, 5, "columns that are not known were left in raw: Codec"),),
    ),
    Planted(
        "a day's response is a login page",
        pbx("html", 6, "2"),
        (refused(PBX, "cdr", 6, "ContractError"), uncovered(PBX, "cdr", 6, "missing")),
    ),
    Planted(
        "a cent is missing on one call of a customer",
        sip("cost_off", 1, "25"),
        (control(SIP, "25", 1, "calls_stats_cost", -CENT),),
    ),
    Planted(
        "a call is a second too long",
        sip("add", 1, "26", name="duration", by=1, row="charged"),
        (control(SIP, "26", 1, "calls_stats_duration", Decimal(1)),),
    ),
    Planted(
        "a call is lost between pages, and not counted",
        sip("drop_row", 2, "25", row="charged", total=True),
        (
            control(SIP, "25", 2, "calls_stats_count", Decimal(-1)),
            control(SIP, "25", 2, "calls_stats_cost"),
            control(SIP, "25", 2, "calls_stats_duration"),
        ),
    ),
    Planted(
        "the vendor's count is one too high",
        (
            Fault(
                "add",
                "sipcentric",
                "calls/stats",
                times=None,
                where={"startedBefore": "2026-10-02T23:00:00Z", "metric": "count"},
                params={"name": "count", "by": 1},
                path="/customers/26/*",
            ),
        ),
        (control(SIP, "26", 2, "calls_stats_count", Decimal(-1)),),
    ),
    Planted(
        "totalItems counts a call that never comes",
        sip("total_items", 3, "31"),
        (refused(SIP, "cdr", 3, "IntegrityError"), uncovered(SIP, "cdr", 3, "missing")),
    ),
    Planted(
        "a call of a customer has no time",
        sip("cell", 5, "26", name="callStarted", value="soon", row="charged"),
        (
            Found("quarantine", SIP, "26", day(5), "cdr callStarted is not a time"),
            control(SIP, "26", 5, "calls_stats_count", Decimal(-1)),
            control(SIP, "26", 5, "calls_stats_cost"),
            control(SIP, "26", 5, "calls_stats_duration"),
        ),
    ),
    Planted(
        "a bundle's minutes do not add up",
        (
            Fault(
                "add",
                "sipcentric",
                "callbundles",
                times=None,
                params={"name": "usedMins", "by": 1, "row": 0},
                path="/customers/25/*",
            ),
        ),
        (control(SIP, "25", None, "bundle_minutes 1040/2026-10-01", Decimal(1)),),
    ),
    Planted("TIM4biz counts a call more", tim("tim_off", 9, row=0), (reconciled(9, "100", "mismatch"),)),
    Planted(
        "TIM4biz counts a second more", tim("tim_off", 9, name="Duration", row=1), (reconciled(9, "101", "mismatch"),)
    ),
    Planted(
        "TIM4biz charges a cent more",
        tim("tim_off", 9, name="Cost", by=0.01, row=2),
        (reconciled(9, "102", "mismatch"),),
    ),
    Planted(
        "an extension that only TIM4biz has",
        tim("added_row", 10, Extension="999"),
        (reconciled(10, "999", "only_theirs"),),
    ),
    Planted("an extension that TIM4biz forgot", tim("drop_row", 10, row=0), (reconciled(10, "100", "only_ours"),)),
    Planted(
        "a total that is no number",
        tim("cell", 11, name="Calls", value="many", row=1),
        (
            Found("quarantine", TIM, None, day(11), "extension_total calls is not a number"),
            reconciled(11, "101", "only_ours"),
        ),
    ),
    Planted(
        "TIM4biz counts a call more in two days than in each",
        (
            Fault(
                "tim_off",
                "tim4biz",
                times=None,
                where={"from": "2026-10-12T00:00:00", "to": "2026-10-14T00:00:00"},
            ),
        ),
        (Found("control_total", TIM, None, day(12), "stretch_calls 2026-10-12..2026-10-13", Decimal(-1)),),
    ),
    Planted(
        "an invoice whose lines do not add up",
        vps("line_off", "invoice/detail", f"/invoice/{LATE_FEE.id}"),
        (billed(LATE_FEE, "invoice_lines", CENT),),
    ),
    Planted(
        "a tax that is off by a cent",
        vps("tax_off", "invoice/detail", f"/invoice/{TAX_OFF.id}"),
        (billed(TAX_OFF, "invoice_tax", -CENT), billed(TAX_OFF, "invoice_total", CENT)),
    ),
    Planted(
        "an invoice whose total is neither its sum nor the list's",
        vps("add", "invoice/detail", f"/invoice/{TOTAL_OFF.id}", name="total", by=0.01),
        (billed(TOTAL_OFF, "invoice_total", -CENT), billed(TOTAL_OFF, "invoice_list", CENT)),
    ),
    Planted(
        "the list's total is off by a cent",
        vps("list_off", "invoice", row=listed(LIST_OFF)),
        (billed(LIST_OFF, "invoice_list", -CENT),),
    ),
    Planted(
        "an invoice in another currency than the list says",
        vps("cell", "invoice", name="currency", value="GBP", row=listed(SWAPPED)),
        (billed(SWAPPED, "invoice_list", SWAPPED.total),),
    ),
    Planted(
        "the balance is not what is unpaid",
        vps("add", "balance", name="acc_balance", by=0.01),
        (control(VPS, "client", None, "unpaid_balance", -CENT),),
    ),
    Planted(
        "a merged invoice counts beside an original",
        vps("cell", "invoice", name="merge_id", value=None, row=listed(ORIGINAL)),
        (billed(MERGED, "merged_originals", Decimal(1)),),
    ),
)


# --- planted in what happens later ------------------------------------------------------------------------------------

LATER = (
    "a call comes late",
    "a customer's call comes late",
    "a call is withdrawn",
    "a customer's call is withdrawn",
    "costs are settled",
    "a day nobody loaded",
    "a day that could not be read again",
)


def change_later(place: World) -> dict[str, tuple[Found, ...]]:
    """Change the vendors' records of the 7th and 8th after they were read; where each change must show, by its name."""
    vendors, shows = place.vendors, {}
    changes: tuple[tuple[str, Callable[[], None], tuple[str, str, date], str], ...] = (
        (LATER[0], lambda: vendors.add_late_rows(day(7), 1), (PBX, "2", day(7)), "new"),
        (LATER[1], lambda: vendors.add_late_rows(day(7), 1, "sipcentric"), (SIP, "25", day(7)), "new"),
        (LATER[2], lambda: vendors.withdraw_row(day(8), account="7"), (PBX, "7", day(8)), "vanished"),
        (LATER[3], lambda: vendors.withdraw_row(day(8), "sipcentric"), (SIP, "25", day(8)), "vanished"),
    )
    for name, make, where, kind in changes:
        before = _cost(place, where)
        make()
        effect = _cost(place, where) - before
        assert effect, "what was changed costs nothing"
        shows[name] = (Found("restatement", *where, kind, effect),)
    before = _known(place)
    vendors.settle_provisional()
    shows[LATER[4]] = tuple(
        Found("restatement", *was[0], "changed", now[1] - was[1])
        for was, now in zip(before, _known(place), strict=True)
        if was != now
    )
    assert {found.connection for found in shows[LATER[4]]} == {PBX, SIP}
    shows[LATER[5]] = tuple(uncovered(SIP, stream, NEVER.day, "missing") for stream in ("cdr", "sms"))
    vendors.faults.add(sip("html", 10, "25")[0])
    shows[LATER[6]] = (refused(SIP, "cdr", 10, "ContractError"), uncovered(SIP, "cdr", 10, "stale"))
    return shows


def _cost(place: World, where: tuple[str, str, date]) -> Decimal:
    return sum((cost for at_, cost, *_ in _known(place) if at_ == where), Decimal(0))


def _known(place: World) -> list[tuple[tuple[str, str, date], Decimal, bool, bool]]:
    """Of each leg of the 7th and 8th: where it is, its cost, whether it is rated and can still change."""
    return [
        ((leg.connection, leg.account_id, leg.call_date), leg.cost or Decimal(0), leg.cost is None, leg.is_provisional)
        for vendor in ("pbxware", "sipcentric")
        for leg in place.vendors.truth.legs(vendor, day(7), day(8))
    ]


# --- what is found ----------------------------------------------------------------------------------------------------

_FOUND = """
SELECT 'control_total', connection, account_id,
    -- Lists are proved on the day they were read, which is the day of this test.
    CASE WHEN check_name NOT IN ('bundle_minutes', 'unpaid_balance') THEN window_date END,
    trim(check_name || ' ' || coalesce(subject, '')), difference
FROM audit.control_total WHERE status = 'variance'
UNION ALL
SELECT 'quarantine', connection, account_id, window_date, stream || ' ' || reason, NULL FROM audit.quarantine
UNION ALL
SELECT 'restatement', connection, account_id, window_date, kind, cost_effect FROM audit.restatement
UNION ALL
SELECT 'reconciliation', connection, extension, call_date, class, NULL
FROM mart.extension_reconciliation WHERE class <> 'exact'
UNION ALL
SELECT 'coverage', connection, NULL, coverage_date,
    stream || ' ' || CASE WHEN is_unusual THEN 'unusual' ELSE state END, NULL
FROM audit.coverage WHERE state <> 'loaded' OR is_unusual
UNION ALL
SELECT 'failed', connection, NULL, window_from, stream || ' ' || error_type, NULL
FROM audit.load WHERE status = 'failed'
UNION ALL
SELECT 'warning', connection, NULL, window_from, unnest(string_split(warnings, chr(10))), NULL
FROM audit.load WHERE warnings IS NOT NULL
UNION ALL
SELECT 'tie_out', mart, NULL, tie_date, measure, difference FROM audit.tie_out WHERE difference IS DISTINCT FROM 0
"""


def found_in(place: World) -> list[Found]:
    """Whatever the published database says is wrong, in any of its places."""
    return [Found(*row) for row in place.query(_FOUND)]


class Told(NamedTuple):
    """All that was found in the world of planted faults, by the fault that it shows; and what shows none."""

    place: World
    by_fault: dict[str, list[Found]]
    missed: dict[str, list[Found]]
    unasked: list[Found]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with world(tmp_path_factory.mktemp("planted"), FIRST, LAST) as place:
        for fault in ANSWERED:
            for rule in fault.rules:
                place.vendors.faults.add(rule)
        runtime = Runtime(place.settings)
        read(runtime, FIRST, TO, [PBX, VPS])
        read(runtime, FIRST, NEVER - timedelta(days=1), [SIP])
        read(runtime, NEVER + timedelta(days=1), TO, [SIP])
        for alone in (9, 10, 11):  # only days that are read together are proved together
            read(runtime, day(alone), day(alone), [TIM])
        read(runtime, day(12), TO, [TIM])
        shows = {fault.name: fault.shows for fault in ANSWERED} | change_later(place)
        read(runtime, day(7), day(8), [PBX, SIP])
        read(runtime, day(10), day(10), [SIP])
        update_and_publish(runtime.lake, runtime.database)
        yield _sorted_out(place, shows)


def _sorted_out(place: World, shows: dict[str, tuple[Found, ...]]) -> Told:
    left, by_fault, missed = found_in(place), {}, {}
    for name, wanted in shows.items():
        by_fault[name], missed[name] = [], []
        for each in wanted:
            same = [found for found in left if found[:5] == each[:5] and each.amount in (None, found.amount)]
            if same:
                left.remove(same[0])
                by_fault[name].append(same[0])
            else:
                missed[name].append(each)
    return Told(place, by_fault, missed, left)


@pytest.mark.parametrize("name", [*(fault.name for fault in ANSWERED), *LATER])
def test_a_planted_fault_is_found_where_it_is(told: Told, name: str) -> None:
    assert told.missed[name] == []
    assert told.by_fault[name]


def test_nothing_else_is_found(told: Told) -> None:
    assert told.unasked == []


def test_status_says_it_too(told: Told) -> None:
    """Days that are missing or stale by connection, and the open variances."""
    status = told.place.command("status")
    assert status.exit_code == 1
    apart = told.place.query(
        "SELECT count(*), CASE class WHEN 'mismatch' THEN 'differ' WHEN 'only_ours' THEN 'are only in the PBX'"
        " ELSE 'are only in TIM4biz' END FROM mart.extension_reconciliation WHERE class <> 'exact' GROUP BY class"
    )
    assert apart
    for line in (
        f"{PBX}: 1 business days are missing",
        f"{SIP}: 2 business days are missing",
        f"{SIP}: 1 business days could not be read again",
        f"variance: {day(4)} {PBX} 7 {IN}: ours ",
        *(f"{TIM}: {days} days of extensions {what}" for days, what in apart),
    ):
        assert line in status.output


def test_an_unusually_small_day_is_the_only_one_that_is_told(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    thursdays = [FIRST - timedelta(weeks=weeks) for weeks in range(5)]
    for thursday in thursdays:
        legs = [leg(f"{thursday} {n}", f"{thursday} 09:00:00") for n in range(12 if thursday == FIRST else 60)]
        parts = {"core.cdr": legs}
        database.update(
            [partition(tmp_path, "cdr", PBX, thursday, "pbxware", parts)], [load("1", thursday, started_at=READ_AT)]
        )
    database.publish()
    with open_public(database.public) as con:
        assert unusual_days(con) == [(FIRST, PBX, "cdr", 12, 60)]
    assert query(database, "SELECT count(*) FILTER (is_unusual) FROM audit.coverage") == [(1,)]


# --- planted in our own stores ----------------------------------------------------------------------------------------


class Mart(NamedTuple):
    """A fault of a mart: ``sql`` stands in the place of its SELECT, ``mart`` being that; what tie-out must name it."""

    name: str
    select: str
    sql: str
    named: str


def more(column: str, by: str = "1", where: str = "true") -> str:
    """One row says ``by`` more."""
    return (
        f"SELECT * REPLACE (CAST(CASE WHEN row_number() OVER (ORDER BY {where} DESC, {column} DESC NULLS LAST) = 1 "
        f"THEN {column} + {by} ELSE {column} END AS {{type}}) AS {column}) FROM mart"
    )


def other(column: str) -> str:
    """One row has another id."""
    first = "row_number() OVER (ORDER BY cdr_id) = 1"
    return f"SELECT * REPLACE (CASE WHEN {first} THEN 'another' ELSE {column} END AS {column}) FROM mart"


COUNT, AMOUNT = "BIGINT", "DECIMAL(18, 6)"
LOST = "SELECT * FROM mart ORDER BY ALL OFFSET 1"
IN_STORES = (
    Mart("a leg is in two calls", "call_leg", "FROM mart UNION ALL (FROM mart ORDER BY ALL LIMIT 1)", "core.call_leg"),
    Mart("a leg is in no call", "call_leg", LOST, "core.call_leg"),
    Mart(
        "a leg goes by another id",
        "call_leg",
        other("cdr_id"),
        "core.call_leg does not tie out: other legs than recorded is 1",
    ),
    Mart(
        "a leg is of a call that is not there",
        "call_leg",
        other("call_id"),
        "core.call does not tie out: other calls than the legs are of is 1",
    ),
    Mart("a call is lost", "call", LOST, "core.call"),
    Mart(
        "a call forgets a cost", "call", more("cost", "-0.01").format(type=AMOUNT), "core.call does not tie out: cost"
    ),
    Mart("a leg counts twice", "marts/usage_daily", more("legs").format(type=COUNT), "mart.usage_daily .*: legs is"),
    Mart("a call counts twice", "marts/usage_daily", more("calls").format(type=COUNT), "mart.usage_daily .*: calls is"),
    Mart(
        "an unanswered call counts as answered",
        "marts/usage_daily",
        "SELECT * REPLACE (answered + no_answer AS answered, CAST(0 AS BIGINT) AS no_answer) FROM mart",
        "mart.usage_daily .*: answered is",
    ),
    Mart(
        "a call has no outcome",
        "marts/usage_daily",
        "SELECT * REPLACE (CAST(0 AS BIGINT) AS no_answer) FROM mart",
        "mart.usage_daily .*: outcomes is",
    ),
    Mart(
        "a second is not talked",
        "marts/usage_daily",
        more("talk_seconds", "-1").format(type=COUNT),
        "mart.usage_daily .*: seconds is",
    ),
    Mart("an hour is lost", "marts/usage_hourly", LOST, "mart.usage_hourly"),
    Mart("a charge is lost", "marts/cost_daily", LOST, "mart.cost_daily"),
    Mart(
        "a cost is a cent higher",
        "marts/cost_daily",
        more("cost", "0.01").format(type=AMOUNT),
        "mart.cost_daily .*: cost",
    ),
    Mart(
        "euros are taken for dollars",
        "marts/cost_daily",
        "SELECT * REPLACE (replace(currency, 'EUR', 'USD') AS currency) FROM mart",
        "mart.cost_daily .*: cost EUR is 0",
    ),
    Mart(
        "an unrated call passes for free",
        "marts/cost_daily",
        "SELECT * REPLACE (CAST(0 AS BIGINT) AS unrated) FROM mart",
        "mart.cost_daily .*: unrated is 0",
    ),
    Mart(
        "a month is short of a cent",
        "marts/cost_monthly",
        more("cost", "-0.01").format(type=AMOUNT),
        "mart.cost_monthly .*: cost",
    ),
    Mart(
        "a month forgets a message",
        "marts/cost_monthly",
        more("quantity", "-1", "charge_kind = 'sms'").format(type=AMOUNT),
        "mart.cost_monthly .*: quantity",
    ),
    Mart(
        "a call to a country counts twice",
        "marts/destination_monthly",
        more("calls").format(type=COUNT),
        "mart.destination_monthly .*: calls is",
    ),
    Mart(
        "a second to a country is lost",
        "marts/destination_monthly",
        more("talk_seconds", "-1").format(type=COUNT),
        "mart.destination_monthly .*: seconds is",
    ),
    Mart(
        "a cost to a country is a cent higher",
        "marts/destination_monthly",
        more("cost", "0.01").format(type=AMOUNT),
        "mart.destination_monthly .*: cost",
    ),
    Mart("an open invoice is lost", "marts/invoice_aging", LOST, "mart.invoice_aging .*: open amount USD"),
    Mart(
        "TIM4biz is given a call more",
        "marts/extension_reconciliation",
        more("their_calls").format(type=COUNT),
        "mart.extension_reconciliation .*: calls in TIM4biz",
    ),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A day without a fault, loaded and published."""
    with world(tmp_path_factory.mktemp("sound"), day(1), day(1), scale=1) as place:
        place.read(day(1), day(2))
        assert found_in(place) == []
        yield place


@pytest.mark.parametrize("fault", IN_STORES, ids=[fault.name for fault in IN_STORES])
def test_a_fault_of_a_mart_is_refused_and_named(sound: World, monkeypatch: pytest.MonkeyPatch, fault: Mart) -> None:
    runtime = Runtime(sound.settings)
    digests, published = runtime.database.digests(), sound.public.read_bytes()
    select = module.read

    def planted(name: str) -> str:
        return f"WITH mart AS ({select(name)}) {fault.sql}" if name == fault.select else select(name)

    with monkeypatch.context() as patch:
        patch.setattr(module, "read", planted)
        with pytest.raises(IntegrityError, match=rf"{fault.named}.*the facts say"):
            update_and_publish(runtime.lake, runtime.database)
    assert runtime.database.digests() == digests
    assert sound.public.read_bytes() == published


ALTERED: dict[str, Callable[[pa.Table], pa.Table]] = {
    "a cost in core is altered": lambda legs: legs.set_column(
        legs.schema.get_field_index("cost"),
        legs.schema.field("cost"),
        pc.add(legs["cost"], pa.scalar(CENT, legs.schema.field("cost").type)).cast(legs.schema.field("cost").type),
    ),
    "a row of core is lost": lambda legs: legs.slice(1),
    "a row of core is there twice": lambda legs: pa.concat_tables([legs, legs.slice(0, 1)]),
}


@pytest.mark.parametrize("name", ALTERED)
def test_core_altered_on_disk_is_refused_and_made_again_from_raw(sound: World, name: str) -> None:
    runtime = Runtime(sound.settings)
    digests, core, published = runtime.database.digests(), sound.core(), sound.public.read_bytes()
    path = sound.data_dir / "core" / "cdr" / PBX / f"{day(1)}.parquet"
    altered = ALTERED[name](pq.read_table(path))
    pq.write_table(altered, path)
    with pytest.raises(IntegrityError, match=f"core is damaged: cdr, {day(1)}"):
        rebuild_database(runtime.lake, runtime.database)
    assert sound.public.read_bytes() == published
    run_rebuild(sound.settings, unwatched)
    assert (sound.core(), runtime.database.digests()) == (core, digests)
