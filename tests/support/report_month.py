"""A published database with one month small enough to add up by hand: October 2026, business days in London.

The month, in short (rates to GBP: EUR 0.85; USD has none):

    hq   PBXware     EUR  Sales    2 calls to Germany 1.234567, of which the dear one 1.200000 and a cheap one 0.034567
                          Support  1 call to France 10.00, 1 inbound call unrated
    sip  Sipcentric  GBP  unassigned  1 call to a British mobile 0.125, 1 message 0.04, 1 message unrated, bundle 25.00
    vps  Time4VPS    USD  invoice 30.00 + tax 6.30, unpaid
    September: Sales 20.00 EUR = 17.00 GBP

so October is 11.234567 EUR, 25.165 GBP and 36.30 USD; in GBP 1.049382 + 8.50 + 0.125 + 0.04 + 25.00 = 34.714382.

Charged back: hosting and its tax by minutes, 7260, 660 and 60 of 7980 seconds for Sales, Support and unassigned, so of
30.00 27.2932…, 2.4812…, 0.2256…: in cents 27.29, 2.48 and, with the largest remainder, 0.23; of 6.30 5.7316, 0.5211 and
0.0474, so 5.73, 0.52, 0.05. The bundle in shares 2 to 1: 16.67 and 8.33. So

    Sales       1.234567 EUR  16.67 GBP   33.02 USD      in GBP 17.719382   budget 20.00 GBP and 2.00 EUR = 21.70 GBP
    Support    10.00     EUR   8.33 GBP    3.00 USD             16.83       budget 12.00 EUR = 10.20 GBP
    unassigned                 0.165 GBP   0.28 USD              0.165

Booked: hq 11.23 (Sales 1.23, Support 10.00); sip 25.165, half up 25.17: the cent to the largest fraction, the calls.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from warehouse.reports import ReportSettings
from warehouse.schema import TABLES, table

MONTH = date(2026, 10, 1)
SETTINGS = ReportSettings(timezone="Europe/London", reporting_currency="GBP")
HOSTILE = '=HYPERLINK("http://x.invalid","pay")'
SCRIPT = "<script>document.title='owned'</script>"

BUDGETS = """month,cost_centre,vendor,charge_kind,amount,currency
2026-10,Sales,,,20.00,GBP
2026-10,Sales,pbxware,call,2,EUR
2026-10,Support,,,12.00,EUR
"""
ALLOCATION = """rule,vendor,connection,charge_kind,item,method,calls_of,cost_centre,share,from,to
Servers,time4vps,,,,minutes,,,,,
Minutes bought,sipcentric,,bundle,,shares,,Sales,2,2026-10,
Minutes bought,sipcentric,,bundle,,shares,,Support,1,2026-10,
"""
ACCOUNTS = """role,vendor,charge_kind,account,by_cost_centre
cost,,hosting,6400,
creditor,time4vps,,2100,
"""

HQ = {"vendor": "pbxware", "connection": "hq", "account_id": "2", "currency": "EUR"}
SIP = {"vendor": "sipcentric", "connection": "sip", "account_id": "77", "currency": "GBP"}
VPS = {"vendor": "time4vps", "connection": "vps", "currency": "USD"}

Rows = dict[str, list[dict[str, Any]]]


def publish(path: Path, rows: Rows) -> Path:
    """A database with every table of the schema, holding ``rows`` (a column that is not named is NULL).

    What they do not say of audit.coverage is what their loads make of it.
    """
    rows = {"audit.coverage": coverage_of(rows.get("audit.load", [])), **rows}
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in ("core", "mart", "audit"):
            connection.execute(f"CREATE SCHEMA {name}")
        for declared in TABLES:
            columns = ", ".join(f'"{column.name}" {column.type}' for column in declared.columns)
            connection.execute(f"CREATE TABLE {declared.full_name} ({columns})")
        for full_name, values in rows.items():
            for row in values:
                unknown = set(row) - set(table(full_name).column_names)
                assert not unknown, f"{full_name} has no {unknown}"
                names = ", ".join(f'"{name}"' for name in row)
                marks = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {full_name} ({names}) VALUES ({marks})", list(row.values()))
    return path


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def charge(
    day: str, who: Mapping[str, Any], kind: str, cost: str | None, reporting: str | None, **more: Any
) -> dict[str, Any]:
    unconverted = int(cost is not None and reporting is None)
    return {
        "cost_date": date.fromisoformat(day),
        **who,
        "charge_kind": kind,
        "cost_centre": "unassigned",
        "quantity": 1,
        "cost": cost and Decimal(cost),
        "unrated": int(cost is None),
        "reporting_cost": reporting and Decimal(reporting),
        "unconverted": unconverted,
        **more,
    }


def monthly(daily: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``mart.cost_monthly`` of the daily rows, without adding up: the grain does not matter to a sum."""
    return [
        {
            **{name: value for name, value in row.items() if name not in ("cost_date", "extension")},
            "month": row["cost_date"].replace(day=1),
        }
        for row in daily
    ]


def charged(
    who: Mapping[str, Any], kind: str, centre: str, cost: str, reporting: str | None, month: date = MONTH, **more: Any
) -> dict[str, Any]:
    """A row of ``mart.chargeback``; without ``more`` a direct cost."""
    amount = Decimal(cost)
    return {
        "month": month,
        **who,
        "charge_kind": kind,
        "source_cost_centre": centre,
        "cost_centre": centre,
        "method": "direct",
        "pool_cost": amount,
        "unit": Decimal("0.000001") if kind in ("call", "sms") else Decimal("0.01"),
        "cost": amount,
        "reporting_cost": reporting and Decimal(reporting),
        **more,
    }


def chargeback() -> list[dict[str, Any]]:
    sales: dict[str, Any] = {"driver": 7260, "driver_total": 7980, "share": Decimal("0.909774")}
    support: dict[str, Any] = {"driver": 660, "driver_total": 7980, "share": Decimal("0.082707")}
    nobody: dict[str, Any] = {"driver": 60, "driver_total": 7980, "share": Decimal("0.007519")}
    servers = {"source_cost_centre": "unassigned", "method": "minutes", "rule": "Servers"}
    hosting = {**servers, "pool_cost": Decimal("30")}
    tax = {**servers, "pool_cost": Decimal("6.30")}
    bundle = {
        "source_cost_centre": "unassigned",
        "method": "shares",
        "rule": "Minutes bought",
        "pool_cost": Decimal("25"),
        "driver_total": 3,
    }
    return [
        charged(HQ, "call", "Sales", "20", "17", date(2026, 9, 1)),
        charged(HQ, "call", "Sales", "1.234567", "1.049382"),
        charged(HQ, "call", "Support", "10", "8.5"),
        charged(SIP, "call", "unassigned", "0.125", "0.125"),
        charged(SIP, "sms", "unassigned", "0.04", "0.04"),
        charged(SIP, "bundle", "Sales", "16.67", "16.67", **bundle, driver=2, share=Decimal("0.666667")),
        charged(SIP, "bundle", "Support", "8.33", "8.33", **bundle, driver=1, share=Decimal("0.333333")),
        charged(VPS, "hosting", "Sales", "27.29", None, **hosting, **sales),
        charged(VPS, "hosting", "Support", "2.48", None, **hosting, **support),
        charged(VPS, "hosting", "unassigned", "0.23", None, **hosting, **nobody),
        charged(VPS, "tax", "Sales", "5.73", None, **tax, **sales),
        charged(VPS, "tax", "Support", "0.52", None, **tax, **support),
        charged(VPS, "tax", "unassigned", "0.05", None, **tax, **nobody),
        charged(HQ, "call", "Sales", "99", "84.15", date(2026, 11, 1)),
    ]


def journal() -> list[dict[str, Any]]:
    """October's. A line is role, account, cost centre, kind, document, amount (credit is negative), exact amount."""
    kinds = {"call": "Calls", "sms": "Messages", "bundle": "Bundles", "hosting": "Hosting", "tax": "Tax"}
    entries: dict[str, tuple[Mapping[str, Any], list[tuple[Any, ...]]]] = {
        "hq EUR": (
            HQ,
            [
                ("cost", "EXPENSE-CALL", "Sales", "call", None, "1.23", "1.234567"),
                ("cost", "EXPENSE-CALL", "Support", "call", None, "10.00", "10"),
                ("creditor", "ACCRUED-PBXWARE", None, "call", None, "-11.23", "-11.234567"),
            ],
        ),
        "sip GBP": (
            SIP,
            [
                ("cost", "EXPENSE-BUNDLE", "Sales", "bundle", None, "16.67", "16.67"),
                ("cost", "EXPENSE-BUNDLE", "Support", "bundle", None, "8.33", "8.33"),
                ("cost", "EXPENSE-CALL", "unassigned", "call", None, "0.13", "0.125"),
                ("cost", "EXPENSE-SMS", "unassigned", "sms", None, "0.04", "0.04"),
                ("creditor", "ACCRUED-SIPCENTRIC", None, "bundle", None, "-25.00", "-25"),
                ("creditor", "ACCRUED-SIPCENTRIC", None, "call", None, "-0.13", "-0.125"),
                ("creditor", "ACCRUED-SIPCENTRIC", None, "sms", None, "-0.04", "-0.04"),
            ],
        ),
        "vps USD": (
            VPS,
            [
                ("cost", "6400", "Sales", "hosting", None, "27.29", "27.29"),
                ("cost", "6400", "Support", "hosting", None, "2.48", "2.48"),
                ("cost", "6400", "unassigned", "hosting", None, "0.23", "0.23"),
                ("tax", "INPUT-TAX", None, "tax", None, "6.30", "6.30"),
                ("creditor", "2100", None, None, "TV-900", "-36.30", "-36.30"),
            ],
        ),
    }
    return [
        {
            "month": MONTH,
            "entry": f"2026-10 {entry}",
            "line": number,
            "posting_date": date(2026, 10, 31),
            **{name: who[name] for name in ("vendor", "connection", "currency")},
            "role": role,
            "account": account,
            "cost_centre": centre,
            "charge_kind": kind,
            "document": document,
            "description": f"{kinds[kind] if kind else f'Invoice {document}'}, {who['connection']} 2026-10",
            "debit": max(Decimal(amount), Decimal(0)),
            "credit": max(-Decimal(amount), Decimal(0)),
            "exact": Decimal(exact),
        }
        for entry, (who, lines) in entries.items()
        for number, (role, account, centre, kind, document, amount, exact) in enumerate(lines, 1)
    ]


def budget() -> list[dict[str, Any]]:
    lines = [
        ("Sales", None, None, "GBP", Decimal("20"), Decimal("20")),
        ("Sales", "pbxware", "call", "EUR", Decimal("2"), Decimal("1.70")),
        ("Support", None, None, "EUR", Decimal("12"), Decimal("10.20")),
    ]
    names = ("cost_centre", "vendor", "charge_kind", "currency", "budget", "reporting_budget")
    return [{"month": MONTH, **dict(zip(names, line, strict=True))} for line in lines]


def call(
    call_id: str, started: str, who: Mapping[str, Any], extension: str, cost: str | None, **more: Any
) -> dict[str, Any]:
    moment = at(started)
    return {
        "call_id": call_id,
        **who,
        "started_at": moment,
        "call_date": moment.date(),
        "direction": "outbound",
        "outcome": "answered",
        "extension": extension,
        "legs": 1,
        "attempts": 0,
        "linking": "single",
        "talk_seconds": 60,
        "cost": cost and Decimal(cost),
        "unrated_legs": int(cost is None),
        **more,
    }


def legs_of(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One leg for each call, which is all that the golden month has."""
    names = (
        "vendor",
        "connection",
        "account_id",
        "started_at",
        "call_date",
        "direction",
        "outcome",
        "extension",
        "remote_e164",
        "remote_country",
        "cost",
        "currency",
    )
    return [
        {
            "cdr_id": row["call_id"],
            "is_provisional": False,
            "duration_seconds": row["talk_seconds"],
            **{name: row.get(name) for name in names},
        }
        for row in calls
    ]


def usage_of(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ("call_date", "vendor", "connection", "account_id", "extension", "direction", "talk_seconds")
    return [{**{name: row[name] for name in names}, "calls": 1, "answered": 1, "legs": 1} for row in calls]


def destinations_of(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ("vendor", "connection", "account_id", "currency", "talk_seconds")
    return [
        {
            **{name: row.get(name) for name in names},
            "month": row["call_date"].replace(day=1),
            "destination_country": row.get("remote_country"),
            "calls": 1,
            "answered": 1,
        }
        for row in calls
        if row["direction"] == "outbound"
    ]


def load(
    who: Mapping[str, Any], stream: str, first: str | None, last: str | None, status: str = "loaded", load_id: str = "1"
) -> dict[str, Any]:
    return {
        "load_id": load_id,
        "started_at": at("2026-11-02 02:00"),
        "finished_at": at("2026-11-02 02:05"),
        "vendor": who["vendor"],
        "connection": who["connection"],
        "stream": stream,
        "window_from": first and date.fromisoformat(first),
        "window_to": last and date.fromisoformat(last),
        "status": status,
    }


def coverage_of(loads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The state of each day that was asked for: the latest reading decides whether it is stale."""
    days: dict[tuple[str, str, date], dict[str, Any]] = {}
    for row in sorted(loads, key=lambda row: (row["load_id"], row["finished_at"])):
        day, failed = row["window_from"], row["status"] == "failed"
        while day is not None and day <= row["window_to"]:
            key = (row["connection"], row["stream"], day)
            known = days.setdefault(key, {"coverage_date": day, "state": "missing"})
            known |= {name: row[name] for name in ("vendor", "connection", "stream")}
            known["state"] = ("missing" if known["state"] == "missing" else "stale") if failed else "loaded"
            day += timedelta(days=1)
    return list(days.values())


def golden_month() -> Rows:
    sales = {"extension": "101", "cost_centre": "Sales", "direction": "outbound"}
    support = {"extension": "102", "cost_centre": "Support"}
    abroad = {"direction": "outbound", "remote_e164": "+15550100", "remote_country": "US"}
    mobile = {"remote_e164": "+447700900123", "remote_country": "GB"}
    calls = [
        call("c1", "2026-10-01 09:00", HQ, "101", "1.200000", remote_country="DE", talk_seconds=7200),
        call("c2", "2026-10-01 10:00", HQ, "101", "0.034567", remote_country="DE"),
        call("c3", "2026-10-02 10:30", HQ, "102", "10.000000", remote_country="FR", talk_seconds=600),
        call(
            "c4",
            "2026-10-02 11:00",
            HQ,
            "102",
            None,
            direction="inbound",
            remote_e164="+442079460001",
            remote_country="GB",
        ),
        # 23:30 UTC on 31 October is still October in London (winter time since the 25th)
        call("c5", "2026-10-31 23:30", SIP, "201", "0.125000", **mobile),
    ]
    elsewhere = [
        # 23:30 UTC on 30 September is 00:30 on 1 October in London, but this one started an hour earlier
        call("c0", "2026-09-30 22:30", HQ, "101", "20.000000", **abroad),
        call("c6", "2026-11-01 00:00", HQ, "101", "99.000000", **abroad),
    ]
    daily = [
        charge("2026-09-30", HQ, "call", "20.000000", "17.000000", **sales, destination_country="US"),
        charge("2026-10-01", HQ, "call", "1.234567", "1.049382", **sales, destination_country="DE", quantity=2),
        charge(
            "2026-10-02", HQ, "call", "10.000000", "8.500000", **support, direction="outbound", destination_country="FR"
        ),
        charge("2026-10-02", HQ, "call", None, None, **support, direction="inbound"),
        charge(
            "2026-10-31",
            SIP,
            "call",
            "0.125000",
            "0.125000",
            extension="201",
            direction="outbound",
            destination_country="GB",
        ),
        charge(
            "2026-10-31",
            SIP,
            "sms",
            "0.040000",
            "0.040000",
            extension=None,
            direction="outbound",
            destination_country="GB",
        ),
        charge("2026-10-31", SIP, "sms", None, None, extension=None, direction="inbound"),
        charge("2026-10-01", SIP, "bundle", "25.000000", "25.000000"),
        charge("2026-10-15", VPS, "hosting", "30.000000", None),
        charge("2026-10-15", VPS, "tax", "6.300000", None),
        charge("2026-11-01", HQ, "call", "99.000000", "84.150000", **sales, destination_country="US"),
    ]
    extension = {"vendor": "pbxware", "connection": "hq", "account_id": "2", "type": "phone"}
    return {
        "core.account": [
            {**HQ, "name": "Invented Instruments"},
            {**SIP, "name": "Invented Shops"},
        ],
        "core.extension": [
            {**extension, "extension_id": "e1", "extension": "101", "name": "Asha Verne", "department": "Sales"},
            {**extension, "extension_id": "e2", "extension": "102", "name": HOSTILE, "department": SCRIPT},
            {**extension, "extension_id": "e3", "extension": "102", "name": "mailbox", "type": "mailbox"},
        ],
        "core.call": calls + elsewhere,
        "core.cdr": legs_of(calls + elsewhere),
        "core.call_leg": [
            {"cdr_id": row["call_id"], "call_id": row["call_id"], "call_date": row["call_date"], "leg_number": 1}
            for row in calls + elsewhere
        ],
        "core.sms": [
            {
                **SIP,
                "sms_id": "m1",
                "sent_at": at("2026-10-31 12:00"),
                "sms_date": date(2026, 10, 31),
                "direction": "outbound",
                "cost": Decimal("0.04"),
                **mobile,
            },
            {
                **SIP,
                "sms_id": "m2",
                "sent_at": at("2026-10-31 13:00"),
                "sms_date": date(2026, 10, 31),
                "direction": "inbound",
            },
        ],
        "core.bundle": [
            {
                **SIP,
                "bundle_id": "b1",
                "name": "2000 minutes",
                "valid_from": at("2026-09-30 23:00"),
                "valid_to": at("2026-11-01 00:00"),
                "valid_from_date": date(2026, 10, 1),
                "inclusive_minutes": 2000,
                "used_minutes": 500,
                "available_minutes": 1500,
                "price_monthly": Decimal("25"),
            }
        ],
        "core.invoice": [
            {
                **VPS,
                "invoice_id": "900",
                "number": "TV-900",
                "status": "unpaid",
                "issued_on": date(2026, 10, 15),
                "due_on": date(2026, 10, 22),
                "subtotal": Decimal("30"),
                "tax": Decimal("6.30"),
                "credit": Decimal("0"),
                "total": Decimal("36.30"),
                "counts_as_expense": True,
            }
        ],
        "core.invoice_line": [
            {
                **VPS,
                "invoice_id": "900",
                "line_id": "1",
                "type": "Hosting",
                "item_id": "55",
                "description": "Linux 8",
                "quantity": 1,
                "unit_amount": Decimal("29"),
                "line_total": Decimal("29"),
            },
        ],
        "core.service": [{**VPS, "service_id": "55", "name": "Linux 8", "domain": "a.example.com"}],
        "mart.invoice_aging": [
            {
                **VPS,
                "invoice_id": "900",
                "number": "TV-900",
                "status": "unpaid",
                "due_on": date(2026, 10, 22),
                "as_of": date(2026, 11, 1),
                "days_overdue": 10,
                "bucket": "1-30",
                "open_amount": Decimal("36.30"),
            }
        ],
        "mart.cost_daily": daily,
        "mart.cost_monthly": monthly(daily),
        "mart.chargeback": chargeback(),
        "mart.budget": budget(),
        "mart.journal": journal(),
        "mart.usage_daily": usage_of(calls + elsewhere),
        "mart.destination_monthly": destinations_of(calls + elsewhere),
        "mart.usage_hourly": [
            {
                "hour": at("2026-10-01 09:00"),
                "vendor": "pbxware",
                "connection": "hq",
                "account_id": "2",
                "direction": "outbound",
                "calls": 1,
                "answered": 1,
                "erlangs": Decimal("1"),
                "peak_concurrent": 1,
            },
            {
                "hour": at("2026-10-02 10:00"),
                "vendor": "pbxware",
                "connection": "hq",
                "account_id": "2",
                "direction": "outbound",
                "calls": 1,
                "answered": 1,
                "erlangs": Decimal("0.166667"),
                "peak_concurrent": 1,
            },
        ],
        "mart.extension_reconciliation": [
            {
                "call_date": date(2026, 10, 1),
                "connection": "tim",
                "pbx_connection": "hq",
                "extension": "101",
                "our_calls": 2,
                "their_calls": 2,
                "class": "exact",
            },
            {
                "call_date": date(2026, 10, 2),
                "connection": "tim",
                "pbx_connection": "hq",
                "extension": "102",
                "our_calls": 2,
                "their_calls": 3,
                "calls_difference": -1,
                "class": "mismatch",
            },
        ],
        "audit.control_total": [
            {
                "window_date": date(2026, 10, 1),
                "vendor": "pbxware",
                "connection": "hq",
                "account_id": "2",
                "check_name": "billamount",
                "subject": "",
                "ours": Decimal("1.234567"),
                "theirs": Decimal("1.234567"),
                "difference": Decimal("0"),
                "status": "matched",
            },
        ],
        "audit.load": [
            load(HQ, "cdr", "2026-09-01", "2026-11-01"),
            load(SIP, "cdr", "2026-09-01", "2026-11-01"),
            load(VPS, "invoices", None, None),
        ],
    }
