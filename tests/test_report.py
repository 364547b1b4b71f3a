"""Finance's files: the golden month of ``report_month`` in all three forms, and what hostile or odd data do to them."""

import csv
import zipfile
from datetime import date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import openpyxl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.report_month import (
    HOSTILE,
    HQ,
    MONTH,
    SCRIPT,
    SETTINGS,
    SIP,
    VPS,
    Rows,
    at,
    call,
    charge,
    charged,
    coverage_of,
    destinations_of,
    golden_month,
    load,
    monthly,
    publish,
)

from tollbook_errors import ContractError, StorageError
from warehouse.reports import ReportSettings, write_report
from warehouse.reports.charts import svg
from warehouse.reports.csv_files import neutral, read_back
from warehouse.reports.model import Chart, ChartKind, Column, Kind, Section, show_duration, show_money
from warehouse.reports.query import month_before, next_month
from warehouse.reports.xlsx import CELL_LIMIT, cell_text, fits

pytestmark = pytest.mark.slow  # whole databases

CENT = Decimal("0.01")


class Page(HTMLParser):
    """What a page holds: its tables' cells by section, its flags, everything visible, and what it would fetch."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.footers: dict[str, list[list[str]]] = {}
        self.flags: list[str] = []
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.styled: list[tuple[str, str]] = []  # what a cell shows, with each of its classes
        self._rows: list[list[str]] | None = None
        self._section = ""
        self._cell: list[str] | None = None
        self._exact: str | None = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag == "table":
            self._section = attributes["data-section"] or ""
        elif tag == "tbody":
            self._rows = self.tables.setdefault(self._section, [])
        elif tag == "tfoot":
            self._rows = self.footers.setdefault(self._section, [])
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in ("td", "strong"):
            self._cell, self._exact = [], attributes.get("title")
            self._classes = (attributes.get("class") or "").split()

    def handle_endtag(self, tag: str) -> None:
        if tag == "td" and self._cell is not None and self._rows is not None:
            self.styled += [("".join(self._cell).strip(), kind) for kind in self._classes]
            self._rows[-1].append(self._exact or "".join(self._cell).strip())
            self._cell = None
        elif tag == "strong" and self._cell is not None:
            self.flags.append("".join(self._cell))
            self._cell = None
        elif tag in ("tbody", "tfoot"):
            self._rows = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell is not None:
            self._cell.append(data)


class Files:
    """The three forms of one report, read back."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.workbook = openpyxl.load_workbook(paths[0])
        self.page = Page(paths[1])
        self.folder = paths[2].parent

    def csv(self, slug: str) -> list[dict[str, str]]:
        with (self.folder / f"{slug}.csv").open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))

    def totals(self, slug: str) -> dict[tuple[str, str], Decimal]:
        rows = self.csv("totals")
        return {(row["total"], row["column"]): Decimal(row["value"]) for row in rows if row["section"] == slug}

    def sheet(self, name: str) -> list[tuple[Any, ...]]:
        """Data and total rows of a sheet after the first."""
        return list(self.workbook[name].iter_rows(min_row=4, values_only=True))

    def flags(self) -> list[str]:
        return [row["name"] for row in self.csv("status") if row["kind"] == "flag"]


def report(tmp_path: Path, rows: Rows | None = None, settings: ReportSettings = SETTINGS, month: date = MONTH) -> Files:
    database = publish(tmp_path / "tollbook.duckdb", golden_month() if rows is None else rows)
    return Files(write_report(database, month, tmp_path / "reports", settings=settings))


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return report(tmp_path_factory.mktemp("golden"))


# --- the golden month -------------------------------------------------------------------------------------------------


def test_the_month_is_what_was_worked_out_by_hand(golden: Files) -> None:
    totals = golden.totals("cost_by_vendor")
    assert totals["Total EUR", "cost"] == Decimal("11.234567")
    assert totals["Total GBP", "cost"] == Decimal("25.165")
    assert totals["Total USD", "cost"] == Decimal("36.30")
    totals = golden.totals("cost_by_charge")
    assert totals["All, in GBP", "reporting_cost"] == Decimal("34.714382")
    assert totals["All, in GBP", "reporting_before"] == Decimal("17")
    assert totals["All, in GBP", "unrated"] == 2
    assert totals["All, in GBP", "unconverted"] == 2


def test_the_month_before_is_compared_with(golden: Files) -> None:
    vendors = {row["vendor"]: row for row in golden.csv("cost_by_vendor")}
    assert vendors["pbxware"]["cost_before"] == "20.00"
    assert vendors["pbxware"]["cost_change"] == "-8.765433"
    assert vendors["time4vps"]["cost_before"] == "0.00", "nothing was charged in a month that was loaded"


def test_cost_centres_are_charged_after_allocation_and_against_their_budget(golden: Files) -> None:
    rows = {(row["cost_centre"], row["currency"]): row for row in golden.csv("cost_by_cost_centre")}
    told = ("cost", "cost_before")
    assert {key: tuple(row[name] for name in told) for key, row in rows.items()} == {
        ("Sales", "EUR"): ("1.234567", "20.00"),
        ("Sales", "GBP"): ("16.67", "0.00"),
        ("Sales", "USD"): ("33.02", "0.00"),
        ("Support", "EUR"): ("10.00", "0.00"),
        ("Support", "GBP"): ("8.33", "0.00"),
        ("Support", "USD"): ("3.00", "0.00"),
        ("unassigned", "GBP"): ("0.165", "0.00"),
        ("unassigned", "USD"): ("0.28", "0.00"),
    }
    told = ("reporting_cost", "reporting_before", "reporting_budget", "reporting_budget_left", "budget_used")
    centres = {row["cost_centre"]: tuple(row[name] for name in told) for row in golden.csv("cost_centre_share")}
    assert centres == {
        "Sales": ("17.719382", "17.00", "21.70", "3.980618", "0.8166"),
        "Support": ("16.83", "0.00", "10.20", "-6.63", "1.65"),
        "unassigned": ("0.165", "0.00", "", "", ""),
    }
    for slug in ("vendor_share", "cost_centre_share"):
        totals = golden.totals(slug)
        assert totals["All, in GBP", "reporting_cost"] == Decimal("34.714382")
        assert totals["All, in GBP", "reporting_budget"] == Decimal("31.90")
        assert totals["All, in GBP", "reporting_budget_left"] == Decimal("-2.814382")
    assert ("Budget in GBP", "31.90 GBP (108.8 % of it used, 2.81 GBP over)") in {
        (row["name"], row["text"]) for row in golden.csv("status")
    }


def test_a_budget_without_a_rate_is_not_compared_in_part(tmp_path: Path) -> None:
    rows = golden_month()
    rows["mart.budget"][0] |= {"currency": "USD", "reporting_budget": None}
    files = report(tmp_path, rows)
    left = {row["cost_centre"]: row["reporting_budget_left"] for row in files.csv("cost_centre_share")}
    assert left == {"Sales": "", "Support": "-6.63", "unassigned": ""}
    assert ("All, in GBP", "reporting_budget") not in files.totals("cost_centre_share")
    assert "Budget in GBP" not in {row["name"] for row in files.csv("status")}


def test_a_budget_that_is_not_by_vendor_is_compared_in_all_only(golden: Files) -> None:
    """Two of the three lines name no vendor: they make no row of their own, of which nothing would be left."""
    left = {row["vendor"]: row["reporting_budget_left"] for row in golden.csv("vendor_share")}
    assert left == {"sipcentric": "", "pbxware": "-7.849382", "time4vps": ""}
    assert golden.totals("vendor_share")["All, in GBP", "reporting_budget"] == Decimal("31.90")


def test_each_line_of_the_budget_is_set_against_what_it_is_for(golden: Files) -> None:
    """Sales' calls of the PBX are all in EUR: 2.00 less 1.234567. The other two lines are for several currencies."""
    told = ("cost_centre", "vendor", "charge_kind", "budget", "currency", "cost_left", "reporting_cost", "budget_used")
    assert [tuple(row[name] for name in told) for row in golden.csv("budget")] == [
        ("Sales", "any", "any", "20.00", "GBP", "", "17.719382", "0.886"),
        ("Sales", "pbxware", "call", "2.00", "EUR", "0.765433", "1.049382", "0.6173"),
        ("Support", "any", "any", "12.00", "EUR", "", "16.83", "1.65"),
    ]


def test_a_budget_without_a_rate_is_compared_where_all_of_it_is_in_its_currency(tmp_path: Path) -> None:
    """36.30 USD of hosting and tax, of which Support is charged 3.00; 4 USD of it are budgeted, so 1.00 is left."""
    rows = golden_month()
    line = {"month": MONTH, "cost_centre": "Support", "vendor": "time4vps", "currency": "USD", "budget": Decimal(4)}
    rows["mart.budget"] = [line, {**line, "cost_centre": "Sales", "vendor": None}]
    told = ("cost_centre", "cost", "cost_left", "reporting_budget_left", "budget_used")
    assert [tuple(row[name] for name in told) for row in report(tmp_path, rows).csv("budget")] == [
        ("Sales", "", "", "", ""),
        ("Support", "3.00", "1.00", "", "0.75"),
    ]


def test_no_two_tables_of_the_first_page_say_the_same(tmp_path: Path, golden: Files) -> None:
    """In several currencies vendors and cost centres stand once in GBP and once in those; in GBP alone only once."""
    names = {path.name for path in golden.paths}
    assert {"vendor_share.csv", "cost_centre_share.csv", "cost_by_vendor.csv", "cost_by_cost_centre.csv"} <= names
    for slug in ("cost_by_vendor", "cost_by_cost_centre"):
        assert not {name for name in golden.csv(slug)[0] if name.startswith("reporting_") or "budget" in name}
    rows = golden_month()
    for name in ("mart.cost_daily", "mart.cost_monthly", "mart.chargeback"):
        rows[name] = [row for row in rows[name] if row["currency"] == "GBP"]
    files = report(tmp_path, rows)
    names = {path.name for path in files.paths}
    assert {"vendor_share.csv", "cost_centre_share.csv"} <= names
    assert not {"cost_by_vendor.csv", "cost_by_cost_centre.csv"} & names
    assert "Cost by vendor" not in files.page.text
    assert "Billed in GBP" in {row["name"] for row in files.csv("status")}


def test_a_rise_in_cost_is_the_bad_news_and_a_sign_says_it_too(golden: Files) -> None:
    """Calls were 20.00 EUR and are 11.234567: fallen by 8.765433. Hosting rose by 36.30 USD. Support is over its budget
    by 6.63 GBP, Sales has 3.98 left.
    """
    styled = {(text, kind) for text, kind in golden.page.styled if kind in ("worse", "better")}
    assert {("-8.77", "better"), ("+36.30", "worse"), ("-6.63", "worse")} <= styled
    assert not {text for text, kind in styled if kind == "better" and not text.startswith("-")}
    assert not {text for text, kind in styled if kind == "worse" and text[0] not in "+-"}
    summary = golden.workbook["Summary"]
    formats = {cell.value: cell.number_format for row in summary.iter_rows() for cell in row if cell.value is not None}
    assert formats[-8.765433] == formats[36.3] == "[Red]+#,##0.00;[Color10]-#,##0.00;#,##0.00"
    assert formats[-6.63] == "#,##0.00;[Red]-#,##0.00"
    assert formats[34.714382] == "#,##0.00"


def test_chargeback_says_how_each_amount_was_reached(golden: Files) -> None:
    rows = golden.csv("chargeback")
    assert len(rows) == 12
    (hosting,) = [row for row in rows if row["cost_centre"] == "Sales" and row["charge_kind"] == "hosting"]
    assert {
        name: hosting[name] for name in ("cost", "method", "rule", "pool_cost", "driver", "driver_total", "unit")
    } == {
        "cost": "27.29",
        "method": "minutes",
        "rule": "Servers",
        "pool_cost": "30.00",
        "driver": "7260",
        "driver_total": "7980",
        "unit": "0.01",
    }
    for currency, amount in (("EUR", "11.234567"), ("GBP", "25.165"), ("USD", "36.30")):
        assert golden.totals("chargeback")[f"Total {currency}", "cost"] == Decimal(amount)
        assert sum(Decimal(row["cost"]) for row in rows if row["currency"] == currency) == Decimal(amount)


def test_the_journal_is_a_file_that_a_ledger_reads(golden: Files) -> None:
    rows = golden.csv("journal-2026-10")
    assert list(rows[0])[:8] == [
        *("entry", "line", "posting_date", "account", "cost_centre", "debit", "credit", "currency"),
    ]
    assert [
        (row["account"], row["cost_centre"], row["debit"], row["credit"]) for row in rows if row["entry"][8:11] == "vps"
    ] == [
        ("6400", "Sales", "27.29", ""),
        ("6400", "Support", "2.48", ""),
        ("6400", "unassigned", "0.23", ""),
        ("INPUT-TAX", "", "6.30", ""),
        ("2100", "", "", "36.30"),
    ]
    for currency, amount in (("EUR", "11.23"), ("GBP", "25.17"), ("USD", "36.30")):
        for side in ("debit", "credit"):
            assert golden.totals("journal")[f"Total {currency}", side] == Decimal(amount)
            assert sum(Decimal(row[side] or 0) for row in rows if row["currency"] == currency) == Decimal(amount)


def test_a_cost_that_nothing_divides_is_pointed_at(tmp_path: Path) -> None:
    rows = golden_month()
    left = {"cost_centre": "unallocated", "method": "minutes", "rule": "Servers", "driver": 0, "driver_total": 0}
    rows["mart.chargeback"].append(charged(VPS, "hosting", "IT", "7.50", None, **left))
    files = report(tmp_path, rows)
    assert files.flags()[-1] == "UNALLOCATED"
    assert "7.50 USD charged to no cost centre" in files.page.text


def test_no_sum_crosses_currencies(golden: Files) -> None:
    for slug in ("cost_by_charge", "cost_centres", "departments", "extensions", "connections"):
        assert ("All, in GBP", "cost") not in golden.totals(slug)
        assert {row["currency"] for row in golden.csv(slug)} == {"EUR", "GBP", "USD"}


@pytest.mark.parametrize(
    "slug",
    [
        "cost_by_vendor",
        "cost_by_cost_centre",
        "cost_by_charge",
        "cost_centres",
        "departments",
        "extensions",
        "connections",
    ],
)
def test_every_section_of_all_charges_adds_up_to_the_month(golden: Files, slug: str) -> None:
    expected = {"EUR": Decimal("11.234567"), "GBP": Decimal("25.165"), "USD": Decimal("36.30")}
    for currency, amount in expected.items():
        rows = [Decimal(row["cost"]) for row in golden.csv(slug) if row["currency"] == currency and row["cost"]]
        assert sum(rows) == amount == golden.totals(slug)[f"Total {currency}", "cost"]
    if slug not in ("cost_by_vendor", "cost_by_cost_centre"):
        reporting = [Decimal(row["reporting_cost"]) for row in golden.csv(slug) if row["reporting_cost"]]
        assert sum(reporting) == Decimal("34.714382")


def test_usage_stands_once_a_key_and_adds_up(golden: Files) -> None:
    rows = {row["extension"]: row for row in golden.csv("extensions") if row["calls"]}
    assert {name: (row["calls"], row["talk_seconds"]) for name, row in rows.items()} == {
        "101": ("2", "7260"),
        "102": ("2", "660"),
        "201": ("1", "60"),
    }
    assert golden.totals("extensions")["All, in GBP", "talk_seconds"] == 7980


def test_destinations_are_named_and_outbound_only(golden: Files) -> None:
    rows = {(row["destination_country"], row["charge_kind"]): row for row in golden.csv("destinations")}
    assert rows["Germany (DE)", "call"]["calls"] == "2"
    assert rows["Germany (DE)", "call"]["cost"] == "1.234567"
    assert rows["United Kingdom (GB)", "sms"]["cost"] == "0.04"
    assert rows["United States (US)", "call"]["cost"] == "0.00", "called last month, not this one"


def test_calls_stand_beside_the_currency_they_are_charged_in(tmp_path: Path) -> None:
    """To Germany 2 calls of hq in EUR, one of sip in GBP, and one of hq that nobody rated and that has no currency.

    So each row has its own calls; the same of the departments, where both accounts have one department. Talk: 7200 and
    60 seconds in EUR, 30 in GBP, 15 without.
    """
    rows = golden_month()
    german: dict[str, Any] = {"remote_country": "DE"}
    nobody = {**HQ, "currency": None}
    rows["core.call"] = [
        *rows["core.call"][:2],
        call("g", "2026-10-03 09:00", SIP, "201", "0.50", talk_seconds=30, **german),
        call("u", "2026-10-03 10:00", nobody, "101", None, talk_seconds=15, **german),
    ]
    rows["mart.destination_monthly"] = destinations_of(rows["core.call"])
    outbound = {"direction": "outbound", "destination_country": "DE"}
    rows["mart.cost_daily"] = [
        charge("2026-10-01", HQ, "call", "1.234567", "1.049382", extension="101", **outbound),
        charge("2026-10-03", SIP, "call", "0.50", "0.50", extension="201", **outbound),
        charge("2026-10-03", nobody, "call", None, None, extension="101", **outbound),
    ]
    files = report(tmp_path, rows)
    told = ("currency", "calls", "answered", "talk_seconds", "cost")
    found = [tuple(row[name] for name in told) for row in files.csv("destinations")]
    assert sorted(found) == [
        ("", "1", "1", "15", ""),
        ("EUR", "2", "2", "7260", "1.234567"),
        ("GBP", "1", "1", "30", "0.50"),
    ]
    assert files.totals("destinations")["Total EUR", "calls"] == 2
    assert files.totals("destinations")["All, in GBP", "calls"] == 4
    by_extension = {(row["extension"], row["currency"]): row["calls"] for row in files.csv("extensions")}
    assert by_extension == {("101", "EUR"): "2", ("101", ""): "1", ("201", "GBP"): "1"}


def test_hosting_adds_up_to_its_charges_with_tax_and_what_the_lines_leave(golden: Files) -> None:
    lines = golden.csv("hosting_by_invoice")
    assert [(row["type"], row["amount"]) for row in lines] == [("Hosting", "29.00"), ("Rest", "1.00"), ("Tax", "6.30")]
    assert golden.totals("hosting_by_invoice")["Total USD", "amount"] == Decimal("36.30")
    assert golden.totals("hosting_by_service")["Total USD", "amount"] == Decimal("36.30")
    assert [row["service"] for row in golden.csv("hosting_by_service")] == ["Linux 8", "Tax", "No service"]


def test_invoices_with_due_dates_and_age(golden: Files) -> None:
    (invoice,) = golden.csv("invoices")
    assert (invoice["due_on"], invoice["days_overdue"], invoice["bucket"]) == ("2026-10-22", "10", "1-30")
    (aged,) = golden.csv("invoice_aging")
    assert (aged["bucket"], aged["open_amount"], aged["currency"]) == ("1-30", "36.30", "USD")


def test_lists_of_calls(golden: Files) -> None:
    assert [row["call_id"] for row in golden.csv("calls")] == ["c1", "c2", "c3", "c4", "c5"]
    assert [row["call_id"] for row in golden.csv("top_calls_by_cost")] == ["c3", "c1", "c2", "c5"], "by currency"
    assert [row["call_id"] for row in golden.csv("top_calls_by_duration")][:2] == ["c1", "c3"]
    assert [(row["kind"], row["record_id"]) for row in golden.csv("unrated")] == [("call leg", "c4"), ("message", "m2")]
    assert [row["class"] for row in golden.csv("reconciliation")] == ["mismatch"]


def test_calls_that_nobody_hung_up_are_said_with_their_share(tmp_path: Path) -> None:
    """Of the 7,980 s of the month's five calls c1 talked 7,200; of EUR 11.234567 it cost 1.20."""
    rows = golden_month()
    rows["core.call"] = [{**row, "is_long": row["call_id"] == "c1"} for row in rows["core.call"]]
    rows["core.cdr"] = [{**row, "duration_seconds": 45_000} for row in rows["core.cdr"] if row["cdr_id"] == "c1"]
    rows["core.call_leg"] = [{"cdr_id": "c1", "call_id": "c1", "call_date": date(2026, 10, 1), "leg_number": 1}]
    files = report(tmp_path, rows)
    (listed,) = files.csv("long_calls")
    assert (listed["call_id"], listed["longest_seconds"], listed["talk_seconds"]) == ("c1", "45000", "7200")
    assert files.flags()[-1] == "LONG CALLS"
    share = "1 of 5 calls: 120 minutes (90.2 % of all talk), 1.20 EUR (10.7 % of all calls in EUR)."
    assert share in files.page.text


def test_a_dear_call_that_came_in_is_where_it_was_forwarded_to(tmp_path: Path) -> None:
    rows = golden_month()
    changes = {"cost": Decimal(25), "outbound_legs": 1, "legs": 2}
    rows["core.call"] = [{**row, **changes} if row["call_id"] == "c4" else row for row in rows["core.call"]]
    (inbound,) = (row for row in rows["core.cdr"] if row["cdr_id"] == "c4")
    out = {"direction": "outbound", "extension": "101", "remote_e164": "+33155501234", "remote_country": "FR"}
    rows["core.cdr"].append({**inbound, "cdr_id": "out", **out, "cost": Decimal(25)})
    day = date(2026, 10, 2)
    rows["core.call_leg"] = [
        {"cdr_id": leg, "call_id": "c4", "call_date": day, "leg_number": number, "leg_date": day}
        for number, leg in enumerate(("c4", "out"), 1)
    ]
    files = report(tmp_path, rows)
    dearest = files.csv("top_calls_by_cost")[0]
    shown = ("call_id", "direction", "extension", "remote_country", "cost")
    assert [dearest[name] for name in shown] == ["c4", "outbound", "101", "FR", "25.00"]
    (call,) = (row for row in files.csv("calls") if row["call_id"] == "c4")
    assert (call["direction"], call["extension"], call["remote_country"]) == ("inbound", "102", "GB")


def test_a_month_without_calls_that_nobody_hung_up_lists_none(golden: Files) -> None:
    assert golden.csv("long_calls") == []


def test_sms_and_bundles(golden: Files) -> None:
    assert {(row["direction"], row["quantity"], row["cost"]) for row in golden.csv("sms")} == {
        ("outbound", "1", "0.04"),
        ("inbound", "1", ""),
    }
    (bundle,) = golden.csv("bundles")
    assert (bundle["used_share"], bundle["charged"]) == ("0.25", "25.00")


def test_times_are_in_the_business_zone(golden: Files) -> None:
    calls = {row["call_id"]: row["started_at"] for row in golden.csv("calls")}
    assert calls["c1"] == "2026-10-01T10:00:00+01:00"
    assert calls["c5"] == "2026-10-31T23:30:00+00:00"
    sheet = {row[-1]: row[0] for row in golden.sheet("Calls")}
    assert sheet["c1"] == datetime(2026, 10, 1, 10)
    (bundle,) = golden.csv("bundles")
    assert bundle["valid_from"] == "2026-10-01T00:00:00+01:00"


def test_busy_hours_are_local_and_the_mean_of_the_days(golden: Files) -> None:
    hours = {row["hour"]: row for row in golden.csv("busy_hours")}
    assert len(hours) == 24
    assert (hours["10:00"]["calls"], hours["10:00"]["erlangs"]) == ("1", "0.5"), "9 UTC is 10 in London; two days"


# --- the three forms agree --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sheet", "title", "column", "mart", "measure"),
    [
        ("Departments", "Cost", "cost", "cost_monthly", "cost"),
        ("Chargeback", "Charged", "cost", "chargeback", "cost"),
        ("Budget", "Budget", "budget", "budget", "budget"),
        ("Journal", "Debit", "debit", "journal", "debit"),
        ("Journal", "Credit", "credit", "journal", "credit"),
    ],
)
def test_workbook_page_csv_and_mart_agree_to_the_cent(
    golden: Files, sheet: str, title: str, column: str, mart: str, measure: str
) -> None:
    slug = sheet.lower()
    database = golden.folder.parents[1] / "tollbook.duckdb"
    with duckdb.connect(str(database), read_only=True) as connection:
        sums = dict(
            connection.execute(
                f"SELECT currency, sum({measure}) FROM mart.{mart} WHERE month = DATE '2026-10-01' GROUP BY currency"
            ).fetchall()
        )
    workbook = {row[0]: row for row in golden.sheet(sheet)}
    page = {row[0]: row for row in golden.page.footers[slug]}
    position = [cell.value for cell in golden.workbook[sheet][3]].index(title)
    assert sums
    for currency, amount in sums.items():
        label = f"Total {currency}"
        in_workbook = Decimal(repr(workbook[label][position])).quantize(CENT)
        in_page = Decimal(page[label][position].replace(",", "")).quantize(CENT)
        in_csv = golden.totals(slug)[label, column].quantize(CENT)
        assert in_workbook == in_page == in_csv == amount.quantize(CENT)


def test_every_row_of_every_section_is_in_all_three(golden: Files) -> None:
    for name in golden.workbook.sheetnames[1:]:
        sheet = golden.workbook[name]
        slug = name.lower().replace(" ", "_").replace("control_", "").replace("not_understood", "quarantine")
        slug = "journal-2026-10" if slug == "journal" else slug
        rows = golden.csv(slug)
        page = golden.page.tables.get(slug.removesuffix("-2026-10"), [])
        assert len(rows) == len(page)
        assert sheet.auto_filter.ref
        if rows:
            assert sheet.auto_filter.ref.endswith(str(3 + len(rows)))
        for in_csv, in_page, in_sheet in zip(rows, page, sheet.iter_rows(min_row=4, values_only=True), strict=False):
            for text, shown, value in zip(in_csv.values(), in_page, in_sheet, strict=True):
                if (
                    isinstance(value, (int, float))
                    and not isinstance(value, bool)
                    and shown
                    and "%" not in shown
                    and ":" not in shown
                ):
                    assert Decimal(text) == Decimal(repr(value)) == Decimal(shown.replace(",", ""))
                elif isinstance(value, str):
                    assert read_back(text) == value == shown


def test_cells_have_real_types(golden: Files) -> None:
    by_day = golden.sheet("Cost by day")
    assert by_day[0][0] == datetime(2026, 10, 1)
    assert isinstance(by_day[0][-1], float)
    top = golden.sheet("Top calls by duration")
    assert timedelta(hours=2) in top[0], "7200 seconds are a duration"
    sheet = golden.workbook["Calls"]
    assert sheet.freeze_panes == "B4"
    assert sheet.print_title_rows == "$3:$3"
    assert sheet.page_setup.orientation == "landscape"
    assert sheet.page_setup.fitToHeight == 0
    assert sheet.oddFooter.right.text == "Page &P of &N"


def test_the_workbook_has_charts_over_the_data(golden: Files) -> None:
    with zipfile.ZipFile(golden.paths[0]) as archive:
        charts = [archive.read(name).decode() for name in archive.namelist() if "charts/chart" in name]
    assert len(charts) == 3
    assert any("'Cost by day'!$B$4:$B$34" in chart for chart in charts)
    assert any("'Busy hours'!$D$4:$D$27" in chart for chart in charts)
    assert any("Summary!$B$" in chart for chart in charts)


def test_same_input_same_bytes(tmp_path: Path) -> None:
    database = publish(tmp_path / "tollbook.duckdb", golden_month())
    first = write_report(database, MONTH, tmp_path / "a", settings=SETTINGS)
    second = write_report(database, date(2026, 10, 31), tmp_path / "b", settings=SETTINGS)
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_new_report_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    database = publish(tmp_path / "tollbook.duckdb", golden_month())
    out = tmp_path / "reports"
    write_report(database, MONTH, out, settings=SETTINGS)
    (out / "tollbook-2026-10" / "stale.csv").write_text("old")
    written = write_report(database, MONTH, out, settings=SETTINGS)
    assert sorted(path.name for path in out.iterdir()) == [
        "tollbook-2026-10",
        "tollbook-2026-10.html",
        "tollbook-2026-10.xlsx",
    ]
    assert sorted((out / "tollbook-2026-10").iterdir()) == sorted(written[2:])


# --- the state of the proof -------------------------------------------------------------------------------------------


def test_a_proven_month_says_so(golden: Files) -> None:
    assert golden.flags() == ["COMPLETE", "OPEN", "RECONCILED", "TIM4BIZ DIFFERS", "UNRATED", "UNCONVERTED"]
    assert golden.page.flags == golden.flags()
    summary = [row[0] for row in golden.workbook["Summary"].iter_rows(min_row=4, max_row=9, values_only=True)]
    assert summary == golden.flags()


def test_a_missing_day_is_incomplete(tmp_path: Path) -> None:
    rows = golden_month()
    rows["audit.load"] = [
        load(HQ, "cdr", "2026-10-01", "2026-10-09"),
        load(HQ, "cdr", "2026-10-12", "2026-11-01"),
        load(SIP, "cdr", "2026-10-01", "2026-11-01"),
    ]
    rows["audit.load"] += [load | {"stream": "sms"} for load in rows["audit.load"] if load["connection"] == "hq"]
    files = report(tmp_path, rows)
    assert files.flags()[0] == "INCOMPLETE"
    assert "2 days missing (hq)" in files.page.text, "a day that lacks two streams is one day"
    gap = next(row for row in files.csv("proof_complete") if row["connection"] == "hq")
    assert (gap["days_due"], gap["days_loaded"], gap["days_missing"]) == ("31", "29", "2")
    assert (gap["first_gap"], gap["last_gap"], gap["state"]) == ("2026-10-10", "2026-10-11", "INCOMPLETE")


def test_the_latest_reading_of_a_day_decides(tmp_path: Path) -> None:
    rows = golden_month()
    rows["audit.load"].append(load(HQ, "cdr", "2026-10-20", "2026-10-21", "failed", load_id="2"))
    files = report(tmp_path, rows)
    assert files.flags()[0] == "INCOMPLETE"
    assert files.csv("proof_complete")[0]["days_stale"] == "2"
    assert "2 days stale (hq)" in files.page.text
    rows["audit.load"].append(load(HQ, "cdr", "2026-10-20", "2026-10-21", "unchanged", load_id="3"))
    (tmp_path / "later").mkdir()
    assert report(tmp_path / "later", rows).flags()[0] == "COMPLETE"


@pytest.mark.parametrize(("status", "finished"), [("failed", "2026-11-02 02:05"), ("loaded", "2026-10-20 02:05")])
def test_a_stale_or_failed_list_is_incomplete(tmp_path: Path, status: str, finished: str) -> None:
    rows = golden_month()
    rows["audit.load"][-1] |= {"status": status, "finished_at": at(finished)}
    files = report(tmp_path, rows)
    assert files.flags()[0] == "INCOMPLETE"
    assert next(row for row in files.csv("proof_complete") if row["connection"] == "vps")["state"] != "complete"


def test_a_configured_connection_that_was_never_loaded_is_incomplete(tmp_path: Path) -> None:
    settings = ReportSettings("Europe/London", "GBP", connections=("hq", "sip", "vps", "new"))
    files = report(tmp_path, settings=settings)
    assert files.flags()[0] == "INCOMPLETE"
    assert files.csv("proof_complete")[-1] | {"state": ""} == dict.fromkeys(files.csv("proof_complete")[0], "") | {
        "connection": "new"
    }


def test_an_open_month_is_provisional_and_days_to_come_are_not_missing(tmp_path: Path) -> None:
    rows = golden_month()
    for row in rows["audit.load"]:
        if row["window_to"]:
            row["window_to"] = date(2026, 10, 20)
    files = report(tmp_path, rows)
    assert files.flags()[:2] == ["COMPLETE", "PROVISIONAL"]
    assert files.csv("proof_complete")[0]["days_due"] == "20"


@pytest.mark.parametrize(
    ("today", "flag", "due", "missing"),
    [
        (date(2026, 10, 21), "COMPLETE", "20", "0"),
        (date(2026, 10, 25), "INCOMPLETE", "24", "4"),
        (date(2026, 11, 1), "INCOMPLETE", "31", "11"),
        (date(2027, 3, 1), "INCOMPLETE", "31", "11"),
    ],
)
def test_days_that_are_over_are_due_also_where_nothing_ran(
    tmp_path: Path, today: date, flag: str, due: str, missing: str
) -> None:
    """Nobody asked for a day after the 20th; each of the days before today is due, up to the end of the month."""
    rows = golden_month()
    for row in rows["audit.load"]:
        if row["window_to"]:
            row["window_to"] = date(2026, 10, 20)
    files = report(tmp_path, rows, ReportSettings("Europe/London", "GBP", today=today))
    assert files.flags()[:2] == [flag, "PROVISIONAL"]
    first = files.csv("proof_complete")[0]
    assert (first["days_due"], first["days_missing"]) == (due, missing)


def test_days_read_too_early_and_unusual_days_are_told(tmp_path: Path) -> None:
    rows = golden_month()
    rows["audit.coverage"] = coverage_of(rows["audit.load"])
    at_hq = {row["coverage_date"]: row for row in rows["audit.coverage"] if row["connection"] == "hq"}
    at_hq[date(2026, 10, 31)]["state"] = "partial"
    for day in (date(2026, 10, 8), date(2026, 9, 30)):
        at_hq[day] |= {"rows": 12, "typical_rows": 80, "is_unusual": True}
    files = report(tmp_path, rows)
    assert files.flags()[:2] == ["INCOMPLETE", "UNUSUAL"]
    complete = files.csv("proof_complete")[0]
    states = {name: complete[f"days_{name}"] for name in ("loaded", "partial", "stale", "missing", "unusual")}
    assert states == {"loaded": "30", "partial": "1", "stale": "0", "missing": "0", "unusual": "1"}
    assert files.csv("proof_unusual") == [
        {"coverage_date": "2026-10-08", "connection": "hq", "stream": "cdr", "rows": "12", "typical_rows": "80"}
    ]
    assert "1 day partial (hq)" in files.page.text


def test_a_closed_month_says_what_moved_since_and_why(tmp_path: Path) -> None:
    rows = golden_month()
    # 23:30 UTC on 3 November is the same day in London
    closed = {"month": MONTH, "closed_at": at("2026-11-03 23:30")}
    rows["audit.month_close"] = [{**closed, "version": 1, "is_current": True}]
    sales = {**closed, **HQ, "cost_centre": "Sales", "charge_kind": "call"}
    rows["mart.month_movement"] = [
        {**sales, "as_closed": Decimal("11.234567"), "now": Decimal("11.234567"), "moved": Decimal(0)}
    ]
    files = report(tmp_path, rows)
    assert files.flags()[:2] == ["COMPLETE", "CLOSED"]
    assert "Closed on 3 November 2026; no figure has moved since." in files.page.text
    assert files.csv("proof_moved") == []

    rows["mart.month_movement"][0] |= {"as_closed": Decimal("14.434567"), "moved": Decimal("-3.2")}
    since = {**closed, **HQ, "stream": "cdr", "kind": "changed", "window_date": date(2026, 10, 2)}
    rows["audit.restatement_since_close"] = [
        {**since, "record_id": f"r{n}", "restated_at": at("2026-11-05 02:00"), "cost_effect": Decimal("-0.8")}
        for n in range(4)
    ]
    (tmp_path / "moved").mkdir()
    files = report(tmp_path / "moved", rows)
    assert files.flags()[:2] == ["COMPLETE", "MOVED"]
    sentence = "October 2026 moved by −3.20 EUR since it was closed on 3 November 2026, because of these 4 records"
    assert f"{sentence} (r0, r1, r2, r3)." in files.page.text
    assert [(row["cost_centre"], row["moved"]) for row in files.csv("proof_moved")] == [("Sales", "-3.20")]
    assert files.totals("proof_moved")["Total EUR", "moved"] == Decimal("-3.2")
    assert [row["record_id"] for row in files.csv("since_close")] == ["r0", "r1", "r2", "r3"]
    assert len(files.csv("proof_since_close")) == 4


def test_tim4biz_against_the_pbx_is_counted_by_class(golden: Files) -> None:
    classes = {
        "exact": "1",
        "within_tolerance": "0",
        "not_compared": "0",
        "mismatch": "1",
        "only_theirs": "0",
        "only_ours": "0",
    }
    assert golden.csv("proof_extensions") == [
        {"connection": "tim", "pbx_connection": "hq", "extension_days": "2", **classes}
    ]


def test_provisional_records_make_a_month_provisional(tmp_path: Path) -> None:
    rows = golden_month()
    rows["core.cdr"][0]["is_provisional"] = True
    assert "PROVISIONAL" in report(tmp_path, rows).flags()


def test_variances_and_restatements_are_listed_with_their_effect(tmp_path: Path) -> None:
    rows = golden_month()
    rows["audit.control_total"] += [
        {**rows["audit.control_total"][0], "subject": f"s{n}", "status": "variance", "difference": Decimal(n)}
        for n in range(1, 13)
    ]
    restated = {"window_date": date(2026, 10, 2), "stream": "cdr", "kind": "changed", **HQ}
    rows["audit.restatement"] = [
        {**restated, "record_id": "r1", "restated_at": at("2026-10-05 02:00"), "cost_effect": Decimal("0.25")},
        {**restated, "record_id": "r2", "restated_at": at("2026-11-01 00:30"), "cost_effect": Decimal("-1.50")},
    ]
    files = report(tmp_path, rows)
    assert {"NOT RECONCILED", "RESTATED"} <= set(files.flags())
    assert len(files.csv("variances")) == 12
    assert [row["subject"] for row in files.csv("proof_variances")][:2] == ["s12", "s11"]
    assert len(files.csv("proof_variances")) == 10
    assert files.csv("proof_restated") == [
        {"kind": "changed", "currency": "EUR", "records": "2", "after_month_end": "1", "cost_effect": "-1.25"}
    ]
    assert [row["record_id"] for row in files.csv("proof_restatements")] == ["r2", "r1"]
    assert "-1.25 EUR" in files.page.text


def test_what_finances_files_match_is_said_in_every_form(tmp_path: Path) -> None:
    rows = golden_month()
    notice = {"month": MONTH, "file": "cost_centres.csv", "reason": "there is no such extension"}
    rows["audit.reference_notice"] = [
        notice | {"line": 9, "kind": "unmatched"},
        notice | {"line": 12, "kind": "unknown", "suggestion": "0101"},
        notice | {"line": 3, "kind": "old_rate", "file": "fx_rates.csv"},
        notice | {"line": 4, "kind": "unknown", "month": date(2026, 9, 1)},
    ]
    files = report(tmp_path, rows)
    assert "FINANCE'S FILES" in files.flags()
    text = "2 lines of finance's files name what is not there, or are rates too old; 1 more matched nothing"
    assert text in files.page.text
    expected = [
        ("cost_centres.csv", "12", "unknown", "0101"),
        ("fx_rates.csv", "3", "old rate", ""),
        ("cost_centres.csv", "9", "unmatched", ""),
    ]
    found = files.csv("proof_reference")
    assert [tuple(row[name] for name in ("file", "line", "kind", "suggestion")) for row in found] == expected
    page = [(row[0], row[1], row[2], row[4]) for row in files.page.tables["proof_reference"]]
    assert page == expected
    summary = [row[:3] for row in files.workbook["Summary"].iter_rows(values_only=True)]
    assert ("cost_centres.csv", 12, "unknown") in summary
    rows["audit.reference_notice"] = rows["audit.reference_notice"][:1]
    (tmp_path / "quiet").mkdir()
    quiet = report(tmp_path / "quiet", rows)
    assert "FINANCE'S FILES" not in quiet.flags(), "it may be that nobody called"
    assert len(quiet.csv("proof_reference")) == 1


def test_a_broken_tie_out_and_a_quarantine_are_shouted(tmp_path: Path) -> None:
    rows = golden_month()
    rows["audit.tie_out"] = [{"mart": "cost_daily", "tie_date": date(2026, 10, 3), "difference": Decimal("0.01")}]
    rows["audit.quarantine"] = [{**load(HQ, "cdr", None, None), "window_date": date(2026, 10, 3), "reason": "no time"}]
    rows["audit.quarantine"] = [
        {
            "window_date": date(2026, 10, 3),
            "vendor": "pbxware",
            "connection": "hq",
            "stream": "cdr",
            "reason": "no time",
        }
    ]
    assert {"NOT TIED OUT", "LEFT OUT"} <= set(report(tmp_path, rows).flags())


@pytest.mark.parametrize("rows", [{}, None])
def test_a_month_without_data_says_so_and_is_written(tmp_path: Path, rows: Rows | None) -> None:
    files = report(tmp_path, rows, month=date(2025, 2, 1))
    assert files.paths[0].name == "tollbook-2025-02.xlsx"
    assert files.flags()[0] == "NO DATA"
    assert "INCOMPLETE" in files.flags()
    assert "NO DATA" in files.page.flags
    assert files.csv("calls") == []
    assert files.workbook["Calls"]["A4"].value == "No rows this month."


# --- hostile and odd data ---------------------------------------------------------------------------------------------


def test_a_formula_in_a_name_stays_text(golden: Files) -> None:
    cells = [cell for row in golden.workbook["Extensions"].iter_rows() for cell in row if cell.value == HOSTILE]
    assert [cell.data_type for cell in cells] == ["s"]
    assert not any(cell.data_type == "f" for sheet in golden.workbook for row in sheet.iter_rows() for cell in row)
    assert not any(cell.hyperlink for sheet in golden.workbook for row in sheet.iter_rows() for cell in row)
    (extension,) = [row for row in golden.csv("extensions") if row["extension"] == "102"]
    assert extension["extension_name"] == f"'{HOSTILE}"
    assert read_back(extension["extension_name"]) == HOSTILE


def test_a_script_in_a_name_stays_text(golden: Files) -> None:
    assert SCRIPT in golden.page.text
    assert "script" not in {tag for tag, _ in golden.page.tags}
    assert any(row[0] == SCRIPT for row in golden.page.tables["departments"])


def test_a_page_refers_to_nothing_outside_itself(golden: Files) -> None:
    addresses = [
        value for _, attrs in golden.page.tags for name, value in attrs.items() if name in ("src", "href", "action")
    ]
    assert addresses
    assert all(address and address.startswith(("#", "data:")) for address in addresses)


def test_telephone_numbers_survive(golden: Files) -> None:
    assert "+447700900123" in {row["remote_e164"] for row in golden.csv("calls")}
    assert "+447700900123" in {row[7] for row in golden.sheet("Calls")}


UNSEEN = " \t\n\r\u00a0\u00ad\u115f\u180e\u200b\u200c\u200d\u2060\u3000\u3164\ufe0f\ufeff"  # blank, or of no width


@given(
    st.text(max_size=12) | st.text(UNSEEN + "=+-@1") | st.from_regex(r"[=+@\t\r' -][0-9a-z=+']{0,17}", fullmatch=True)
)
@example("+447700900123")
@example("+44 20 7946 0000")
@example("'=1")
@example("")
@example("\u200b=1")
@example("\u2060\u00a0\t+1")
@example("\ufeff\u3164@x")
def test_neutral_text_is_read_back_and_never_a_formula(text: str) -> None:
    written = neutral(text)
    assert read_back(written) == text
    if not written.lstrip(UNSEEN).startswith(("=", "+", "-", "@")):
        return
    assert written[0] == "+"
    assert written[1:].isascii()
    assert written[1:].isdigit()


@pytest.mark.parametrize(
    "name",
    [
        "\x00\x07bell\x1b",
        "N" * 40_000,
        "😀" * 40_000,
        "lone \ud800".encode("utf-8", "replace").decode(),
        "a\r\nb",
        "_x0041_",
    ],
)
def test_odd_names_do_not_stop_the_report(tmp_path: Path, name: str) -> None:
    rows = golden_month()
    rows["core.extension"][0]["name"] = name
    files = report(tmp_path, rows)
    (cell,) = [row[1] for row in files.sheet("Extensions") if row[0] == "101"]
    assert len(cell.encode("utf-16-le")) // 2 <= CELL_LIMIT
    with zipfile.ZipFile(files.paths[0]) as archive:
        for part in archive.namelist():
            if part.endswith(".xml"):
                ElementTree.fromstring(archive.read(part))
    (row,) = [row for row in files.csv("extensions") if row["extension"] == "101"]
    if len(name) >= 40_000:
        assert cell.endswith("CSV file]")
        assert row["extension_name"] == name
    elif name.startswith("\x00"):
        assert cell == row["extension_name"] == "bell"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=0, max_size=50), st.integers(32_700, 32_800))
def test_cell_text_never_passes_excels_limit(tail: str, length: int) -> None:
    text = "x" * length + tail
    cut = cell_text(text)
    assert len(cut.encode("utf-16-le")) // 2 <= CELL_LIMIT
    if len(text.replace("\r", "").encode("utf-16-le")) // 2 <= CELL_LIMIT:
        assert cut == text.replace("\r", "")


def test_lists_are_split_over_sheets_and_never_cut(tmp_path: Path) -> None:
    rows = golden_month()
    rows["core.call"] = [call(f"k{n:03}", f"2026-10-{1 + n % 28:02} 09:00", HQ, "101", "0.01") for n in range(25)]
    files = report(tmp_path, rows, ReportSettings("Europe/London", "GBP", sheet_rows=10, html_rows=7))
    sheets = ["Calls", "Calls 2", "Calls 3"]
    assert [name for name in files.workbook.sheetnames if name.startswith("Calls")] == sheets
    ids = [row[-1] for name in sheets for row in files.sheet(name) if row[-1]]
    assert sorted(ids) == [f"k{n:03}" for n in range(25)]
    assert ids == [row["call_id"] for row in files.csv("calls")]
    assert [files.workbook[name].max_row for name in sheets] == [13, 13, 9], "header to row 3, the total on the last"
    assert files.sheet("Calls 3")[-1][0] == "Total EUR"
    assert len(files.page.tables["calls"]) == 7
    assert "The first 7 of 25 rows" in files.page.text


def test_an_amount_with_more_digits_than_excel_holds_is_not_altered(tmp_path: Path) -> None:
    rows = golden_month()
    amount = "123456789012.123456"
    rows["mart.cost_daily"] = [charge("2026-10-01", HQ, "call", amount, amount)]
    rows["mart.cost_monthly"] = monthly(rows["mart.cost_daily"])
    files = report(tmp_path, rows)
    (row,) = [row for row in files.sheet("Cost centres") if row[0] == "unassigned"]
    assert amount in row
    assert files.csv("cost_centres")[0]["cost"] == amount
    assert amount in files.page.tables["cost_centres"][0]


@given(st.decimals(min_value=-(10**11), max_value=10**11, places=6))
def test_what_fits_excel_comes_back_exactly(amount: Decimal) -> None:
    assert fits(amount) == (len(amount.normalize().as_tuple().digits) <= 15)
    if fits(amount):
        assert Decimal(f"{float(amount):.15G}") == amount, "what Excel shows of the double it makes"


def test_amounts_are_written_to_the_workbook_as_decimals(tmp_path: Path) -> None:
    rows = golden_month()
    rows["mart.cost_daily"] = [charge("2026-10-01", HQ, "call", "0.008127", "0.008127")]
    rows["mart.cost_monthly"] = monthly(rows["mart.cost_daily"])
    with zipfile.ZipFile(report(tmp_path, rows).paths[0]) as archive:
        sheets = [archive.read(name).decode() for name in archive.namelist() if name.startswith("xl/worksheets/sheet")]
    assert any("<v>0.008127</v>" in sheet for sheet in sheets), "a double printed to 16 digits is 0.008127000000000001"


def test_a_long_note_wraps_and_a_whole_quantity_has_no_point(golden: Files) -> None:
    sheet = golden.workbook["Chargeback"]
    assert "A2:H2" in {str(merged) for merged in sheet.merged_cells.ranges}
    assert (sheet.row_dimensions[2].height, sheet["A2"].alignment.wrap_text) > (30, False), "else print cuts it off"
    column = [cell.value for cell in sheet[3]].index("Driver") + 1
    formats = {cell.number_format for (cell,) in sheet.iter_rows(4, None, column, column) if cell.value == 2}
    assert formats == {"#,##0"}, "Excel shows 2 as “2.” in #,##0.##"


def test_amounts_are_shown_in_the_coins_of_their_currency(tmp_path: Path) -> None:
    """1,358 yen, at 0.0021 dinars 2.8518, and 23.593 dinars: together 26.4448 dinars, in whole coins 26.445."""
    rows = golden_month()
    yen, dinar = {**HQ, "currency": "JPY"}, {**VPS, "currency": "KWD"}
    rows["mart.cost_daily"] = [
        charge("2026-10-01", yen, "call", "1358", "2.8518"),
        charge("2026-10-01", dinar, "hosting", "23.593", "23.593"),
    ]
    rows["mart.cost_monthly"] = monthly(rows["mart.cost_daily"])
    rows["core.call"] = [{**call("c1", "2026-10-01 09:00", HQ, "101", "12.5"), "currency": "JPY"}]
    files = report(tmp_path, rows, ReportSettings("Europe/London", "KWD"))
    found = {row["connection"]: (row["cost"], row["reporting_cost"]) for row in files.csv("cost_centres")}
    assert found == {"hq": ("1358", "2.8518"), "vps": ("23.593", "23.593")}
    page = {row[1]: row for row in files.page.tables["cost_centres"]}
    assert ("1,358" in page["hq"], "2.8518" in page["hq"], "23.593" in page["vps"]) == (True, True, True)
    assert files.page.tables["calls"][0][11] == "12.50", "a single call shows two places more than a coin has"
    assert files.csv("calls")[0]["cost"] == "12.5"
    sheet = files.workbook["Cost centres"]
    names = [cell.value for cell in sheet[3]]
    shown = {
        row[1].value: tuple(row[names.index(name)].number_format for name in ("Cost", "In KWD"))
        for row in sheet.iter_rows(4)
        if row[1].value
    }
    assert shown == {
        "hq": ("#,##0", "#,##0.000"),
        "vps": ("#,##0.000", "#,##0.000"),
    }
    assert {row["name"]: row["text"] for row in files.csv("status")}["All cost in KWD"].startswith("26.445 KWD")
    totals = {(row["section"], row["total"]): row["value"] for row in files.csv("totals") if row["column"] == "cost"}
    assert totals["cost_by_vendor", "Total JPY"] == "1358"
    assert totals["cost_by_vendor", "Total KWD"] == "23.593"


# --- edges ------------------------------------------------------------------------------------------------------------


def test_charges_of_the_neighbouring_months_stay_there(tmp_path: Path) -> None:
    files = report(tmp_path, month=date(2026, 11, 15))
    assert files.totals("cost_by_vendor")["Total EUR", "cost"] == 99
    assert files.totals("cost_by_vendor")["Total EUR", "cost_before"] == Decimal("11.234567")
    assert [row["call_id"] for row in files.csv("calls")] == ["c6"]


def test_a_month_before_that_was_not_loaded_is_said(tmp_path: Path) -> None:
    rows = golden_month()
    rows["audit.load"][0]["window_from"] = date(2026, 10, 1)
    files = report(tmp_path, rows)
    headlines = {row["name"]: row["text"] for row in files.csv("status")}
    assert headlines["All cost in GBP"] == "34.71 GBP (17.00 GBP the month before, without hq)"
    assert "The month before was not loaded for hq: no change is shown where they have a part." in files.page.text
    vendors = {row["vendor"]: (row["cost_before"], row["cost_change"]) for row in files.csv("cost_by_vendor")}
    assert vendors["pbxware"][1] == "", "to what was charged is no change from what was not read"
    assert vendors["sipcentric"] == ("0.00", "25.165"), "which was loaded, and cost nothing"
    (share,) = [row for row in files.csv("vendor_share") if row["vendor"] == "pbxware"]
    assert share["reporting_change"] == ""
    assert ("All, in GBP", "reporting_change") not in files.totals("vendor_share")


def test_without_a_month_before_nothing_is_compared(tmp_path: Path) -> None:
    files = report(tmp_path, month=date(2026, 9, 1))
    (row,) = files.csv("cost_by_vendor")
    assert (row["cost"], row["cost_before"], row["cost_change"]) == ("20.00", "", "")


@given(st.dates(min_value=date(1970, 2, 1), max_value=date(2200, 1, 1)))
def test_months_follow_one_another(day: date) -> None:
    first = day.replace(day=1)
    assert month_before(first) == (first - timedelta(days=1)).replace(day=1)
    assert next_month(first) == (first + timedelta(days=31)).replace(day=1)


def test_a_file_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError):
        write_report(tmp_path / "none.duckdb", MONTH, tmp_path / "out", settings=SETTINGS)
    duckdb.connect(str(tmp_path / "other.duckdb")).close()
    with pytest.raises(ContractError):
        write_report(tmp_path / "other.duckdb", MONTH, tmp_path / "out", settings=SETTINGS)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    database = publish(tmp_path / "tollbook.duckdb", {})
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_report(database, MONTH, tmp_path / "file", settings=SETTINGS)


def test_how_values_read() -> None:
    assert show_money(Decimal("1234.5"), "EUR") == "1,234.50 EUR"
    assert show_money(Decimal("-0.004"), "EUR") == "0.00 EUR"
    assert show_money(Decimal("0.125"), "EUR") == "0.13 EUR"
    assert show_money(Decimal("99999999999999999999999999999999.125"), "EUR").endswith("999.13 EUR")
    assert show_money(Decimal("1234.5"), "JPY") == "1,235 JPY"
    assert show_money(Decimal("1234.5"), "BHD") == "1,234.500 BHD"
    assert show_money(None, "EUR") == "not rated"
    assert show_duration(-3661) == "-1:01:01"


def chart_of(kind: ChartKind, *amounts: str) -> Chart:
    columns = (Column("label", "Label"), Column("amount", "Amount", Kind.MONEY))
    rows = [(f"<{n}>", Decimal(amount)) for n, amount in enumerate(amounts)]
    return Chart("Chart", kind, Section("s", "S", columns, rows, len(rows)), 0, (1,), "EUR")


@pytest.mark.parametrize("kind", [ChartKind.STACKED, ChartKind.COLUMNS])
@pytest.mark.parametrize("amounts", [("1", "2", "3"), ("-1", "2"), ("-5",), ("0.000001",), ("1e11", "0")])
def test_columns_stay_inside_their_picture(kind: ChartKind, amounts: tuple[str, ...]) -> None:
    drawing = ElementTree.fromstring(str(svg(chart_of(kind, *amounts))))
    bars = drawing.findall("rect")
    assert len(bars) == sum(Decimal(amount) != 0 for amount in amounts)
    for bar in bars:
        assert float(bar.get("y", "")) >= 0
        assert float(bar.get("y", "")) + float(bar.get("height", "")) <= 240


def test_more_bars_than_fit_are_added_up() -> None:
    drawing = ElementTree.fromstring(str(svg(chart_of(ChartKind.BARS, *["2"] * 20))))
    assert len(drawing.findall("rect")) == 13
    assert "8 others" in "".join(drawing.itertext())
    assert svg(chart_of(ChartKind.BARS, "0")) == ""
