"""A month as a FOCUS dataset: hand-worked figures, what must add up, what is refused, and the official validator.

What lives here: ``warehouse.reports.focus`` over the golden month of ``report_month``. What does not: the command
(``test_cli``), loading the files as docs/focus.md says (``test_docs``).
"""

import csv
import json
import os
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.report_month import MONTH, SETTINGS, VPS, Rows, charge, golden_month, monthly, publish

from assets.time4vps.invoice_period import period_of_cycle
from warehouse.reports import focus
from warehouse.reports.focus import FOCUS, Focus, FocusError, spread, write_focus

pytestmark = pytest.mark.slow  # whole databases

Row = dict[str, Any]

VALIDATOR = Path(__file__).parents[1] / ".focus-validator"
ZERO = Decimal(0)


def focus_month() -> Rows:
    """The golden month, with hosting paid ahead: service 55 by the month, service 56 by the quarter since September.

    Invoice 900 of 15 October: 29.00 until 15 November (31 days), 1.00 that its lines do not explain, tax 6.30, which
    falls on them as 6.09 and 0.21. Invoice 890 of 20 September: 91.00 and tax 18.20 until 20 December (91 days): 1.00
    and 0.20 a day. Invoice 901 of 20 October: 2 × 4.00 less a credit of 3.00, a fee of 2.00 without tax, tax 1.05.
    """
    rows = golden_month()
    rows["core.service"] = [
        # What their cycles are today does not matter.
        {**VPS, "service_id": "55", "name": "Linux 8", "domain": "a.example.com", "billing_cycle": "Annually"},
        {**VPS, "service_id": "56", "name": "Storage 2", "domain": "b.example.com", "billing_cycle": None},
    ]
    rows["core.invoice_line"][0] |= pays_for("2026-10-15", "2026-11-15")
    rows["core.invoice"] += [invoice("890", "2026-09-20", "91", "18.20"), invoice("901", "2026-10-20", "7", "1.05")]
    rows["core.invoice_line"] += [
        line("890", "1", "Hosting", "56", "Storage 2", "91", taxed=True, **pays_for("2026-09-20", "2026-12-20")),
        line("901", "1", "Other", "0", "Snapshot", "8", quantity=Decimal(2), unit_amount=Decimal(4), taxed=True),
        line("901", "2", "Credit", "0", "Downtime", "-3", taxed=True),
        line("901", "3", "LateFee", "0", "Late fee", "2", taxed=False),
    ]
    new = [
        charge("2026-09-20", VPS, "hosting", "91", None),
        charge("2026-09-20", VPS, "tax", "18.20", None),
        charge("2026-10-20", VPS, "hosting", "8", None),
        charge("2026-10-20", VPS, "credit", "-3", None),
        charge("2026-10-20", VPS, "fee", "2", None),
        charge("2026-10-20", VPS, "tax", "1.05", None),
    ]
    rows["mart.cost_daily"] += new
    rows["mart.cost_monthly"] += monthly(new)
    return rows


def invoice(invoice_id: str, issued: str, subtotal: str, tax: str) -> Row:
    return {
        **VPS,
        "invoice_id": invoice_id,
        "number": f"TV-{invoice_id}",
        "status": "paid",
        "issued_on": date.fromisoformat(issued),
        "subtotal": Decimal(subtotal),
        "tax": Decimal(tax),
        "credit": Decimal(5),
        "total": Decimal(subtotal) + Decimal(tax) - 5,
        "counts_as_expense": True,
    }


def line(invoice_id: str, line_id: str, type_: str, item: str, text: str, total: str, **more: Any) -> Row:
    return {
        **VPS,
        "invoice_id": invoice_id,
        "line_id": line_id,
        "type": type_,
        "item_id": item,
        "description": text,
        "quantity": Decimal(1),
        "unit_amount": Decimal(total),
        "line_total": Decimal(total),
        **more,
    }


def pays_for(first: str, until: str) -> Row:
    return {"period_from": date.fromisoformat(first), "period_until": date.fromisoformat(until)}


def written(tmp_path: Path, rows: Rows, month: date = MONTH) -> tuple[Focus, list[Row]]:
    made = write_focus(publish(tmp_path / "tollbook.duckdb", rows), month, tmp_path / "reports", settings=SETTINGS)
    return made, pq.read_table(made.paths[0]).to_pylist()


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> tuple[Focus, list[Row]]:
    return written(tmp_path_factory.mktemp("focus"), focus_month())


def total(rows: list[Row], column: str, by: str = "BillingCurrency") -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for row in rows:
        sums[row[by]] = sums.get(row[by], ZERO) + row[column]
    return sums


# --- the golden month -------------------------------------------------------------------------------------------------


def test_the_month_is_what_was_worked_out_by_hand(golden: tuple[Focus, list[Row]]) -> None:
    made, rows = golden
    assert [path.name for path in made.paths] == ["focus-2026-10.parquet", "focus-2026-10.csv"]
    billed = {"EUR": Decimal("11.234567"), "GBP": Decimal("25.165"), "USD": Decimal("44.35")}
    assert dict(made.billed) == billed == total(rows, "BilledCost")
    # Of 29.00 the 17 days of October bear 17 × 0.935484, of its tax 17 × 0.196452; of the quarter 31 × 1.20; the rest
    # of invoice 900 and its tax 1.21, invoice 901 8.05: each on its own day.
    usd = 17 * (Decimal("0.935484") + Decimal("0.196452")) + 31 * Decimal("1.20") + Decimal("1.21") + Decimal("8.05")
    assert usd == Decimal("65.702912")
    assert total(rows, "EffectiveCost") == {"EUR": billed["EUR"], "GBP": billed["GBP"], "USD": usd}
    assert {flag.word for flag in made.remarks} == {"OPEN", "TIM4BIZ DIFFERS", "UNRATED"}


def test_calls_stand_by_day_extension_and_destination(golden: tuple[Focus, list[Row]]) -> None:
    (germany,) = [row for row in golden[1] if row["x_DestinationCountry"] == "DE"]
    assert (
        germany
        | {
            "BilledCost": Decimal("1.234567"),
            "ListUnitPrice": Decimal("1.234567"),
            "PricingQuantity": Decimal(1),
            "PricingUnit": "Days",
            "ConsumedQuantity": Decimal(7260),
            "ConsumedUnit": "Seconds",
            "x_Records": 2,
            "ChargeCategory": "Usage",
            "ChargeFrequency": "Usage-Based",
            "ChargeDescription": "Outbound calls to DE",
            "ResourceId": "hq/2/101",
            "ResourceName": "Asha Verne",
            "ResourceType": "Extension",
            "BillingAccountId": "hq",
            "SubAccountId": "hq/2",
            "SubAccountName": "Invented Instruments",
            "InvoiceId": "hq/2/2026-10/EUR",
            "ServiceName": "Telephone calls",
            "SkuId": "pbxware/call/outbound/DE",
            "ChargePeriodStart": datetime(2026, 9, 30, 23, tzinfo=UTC),
            "ChargePeriodEnd": datetime(2026, 10, 1, 23, tzinfo=UTC),
            "BillingPeriodStart": datetime(2026, 9, 30, 23, tzinfo=UTC),
            "BillingPeriodEnd": datetime(2026, 11, 1, tzinfo=UTC),
        }
        == germany
    )
    assert json.loads(germany["Tags"]) == {"cost_centre": "Sales", "department": "Sales"}


def test_what_the_vendor_did_not_rate_is_not_written_as_free(golden: tuple[Focus, list[Row]]) -> None:
    assert {row["x_Direction"] for row in golden[1]} == {"outbound", None}, "both inbound records have no cost"


def test_a_prepayment_is_a_purchase_and_a_share_of_it_on_each_day(golden: tuple[Focus, list[Row]]) -> None:
    hosting = [row for row in golden[1] if row["ResourceId"] == "vps/55"]
    (bought,) = [row for row in hosting if row["ChargeCategory"] == "Purchase"]
    assert (bought["BilledCost"], bought["EffectiveCost"]) == (29, 0)
    assert (bought["ChargePeriodStart"], bought["ChargePeriodEnd"]) == (
        datetime(2026, 10, 14, 23, tzinfo=UTC),
        datetime(2026, 11, 15, tzinfo=UTC),
    )
    days = [row for row in hosting if row["ChargeCategory"] == "Usage"]
    assert [row["EffectiveCost"] for row in days] == [Decimal("0.935484")] * 17
    assert {(row["BilledCost"], row["InvoiceId"], row["x_InvoiceNumber"]) for row in days} == {
        (ZERO, "vps/900", "TV-900")
    }
    earlier = [row for row in golden[1] if row["InvoiceId"] == "vps/890"]
    assert {row["ChargeCategory"] for row in earlier} == {"Usage", "Tax"}, "bought in September"
    assert total(earlier, "EffectiveCost", "ChargeCategory") == {"Usage": 31, "Tax": Decimal("6.2")}
    bundle = [row for row in golden[1] if row["x_ChargeKind"] == "bundle"]
    assert total(bundle, "EffectiveCost") == total(bundle, "BilledCost") == {"GBP": 25}


def test_credits_and_fees_count_at_once_and_tax_follows_its_line(golden: tuple[Focus, list[Row]]) -> None:
    billed = [row for row in golden[1] if row["InvoiceId"] == "vps/901" and row["BilledCost"]]
    assert {
        (row["ChargeCategory"], row["ChargeDescription"], row["BilledCost"], row["EffectiveCost"]) for row in billed
    } == {
        ("Purchase", "Snapshot", 8, 0),
        ("Credit", "Downtime", -3, -3),
        ("Adjustment", "Late fee", 2, 2),
        ("Tax", "Tax: Snapshot", Decimal("1.68"), 0),
        ("Tax", "Tax: Downtime", Decimal("-0.63"), Decimal("-0.63")),
    }
    (bought,) = [row for row in billed if row["ChargeCategory"] == "Purchase"]
    assert (bought["PricingQuantity"], bought["ListUnitPrice"], bought["ListCost"]) == (2, 4, 8)
    assert total([row for row in golden[1] if row["InvoiceId"] == "vps/901"], "EffectiveCost") == {
        "USD": Decimal("8.05")
    }


def test_many_of_a_dear_thing_are_its_price_times_their_number(tmp_path: Path) -> None:
    rows = focus_month()
    new = [charge("2026-10-20", VPS, "hosting", "2000000", None)]
    rows["core.invoice"].append(invoice("902", "2026-10-20", "2000000", "0"))
    rows["core.invoice_line"].append(
        line("902", "1", "Other", "0", "Rack", "2000000", quantity=Decimal(1000), unit_amount=Decimal(2000))
    )
    rows["mart.cost_daily"] += new
    rows["mart.cost_monthly"] += monthly(new)
    (bought,) = [row for row in written(tmp_path, rows)[1] if row["ChargeDescription"] == "Rack" and row["BilledCost"]]
    assert (bought["PricingQuantity"], bought["ListUnitPrice"], bought["ListCost"]) == (1000, 2000, 2_000_000)


def test_money_on_account_is_no_charge(tmp_path: Path) -> None:
    rows = focus_month()
    new = [charge("2026-10-20", VPS, "hosting", "13", None), charge("2026-10-20", VPS, "tax", "1.68", None)]
    funds = {"credit_added": Decimal(20)}
    rows["core.invoice"] += [
        invoice("902", "2026-10-20", "28", "1.68") | funds,
        invoice("903", "2026-10-20", "20", "0") | funds | {"counts_as_expense": False},
        invoice("904", "2026-10-20", "25", "0") | funds,
    ]
    rows["core.invoice_line"] += [
        line("902", "1", "Invoice", "7", "Merged", "28", taxed=True, **funds),
        line("903", "1", "Credit", "0", "Add funds", "20", **funds),
        line("904", "1", "Credit", "0", "Add funds", "20", **funds),
        line("904", "2", "Other", "0", "Snapshot", "5"),
    ]
    rows["mart.cost_daily"] += new
    rows["mart.cost_monthly"] += monthly(new)
    found = [row for row in written(tmp_path, rows)[1] if row["InvoiceId"] in ("vps/902", "vps/903", "vps/904")]
    assert {(row["ChargeDescription"], row["BilledCost"]) for row in found if row["BilledCost"]} == {
        ("Merged", 8),
        ("Tax: Merged", Decimal("1.68")),
        ("Snapshot", 5),
    }
    assert "Add funds" not in {row["ChargeDescription"] for row in found}


def test_days_are_those_of_the_zone_in_utc(golden: tuple[Focus, list[Row]]) -> None:
    bundle = [row for row in golden[1] if row["x_ChargeKind"] == "bundle" and row["ChargeCategory"] == "Usage"]
    assert len(bundle) == 31
    for day, after in zip(bundle, bundle[1:], strict=False):
        assert day["ChargePeriodEnd"] == after["ChargePeriodStart"]
    hours = {row["ChargePeriodEnd"] - row["ChargePeriodStart"] for row in bundle}
    assert hours == {timedelta(hours=24), timedelta(hours=25)}, "clocks went back on the 25th"


# --- over the months --------------------------------------------------------------------------------------------------


@given(
    st.decimals(min_value=-(10**9), max_value=10**9, places=6),
    st.lists(st.decimals(min_value=-(10**6), max_value=10**6, places=6), min_size=1, max_size=40),
)
def test_spreading_loses_nothing_and_keeps_the_proportion(amount: Decimal, weights: list[Decimal]) -> None:
    assume(sum(weights))
    shares = spread(amount, weights)
    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * sum(weights) - amount * weight) < abs(sum(weights)) * Decimal("0.000001")


def test_over_all_months_the_days_come_to_what_was_paid(tmp_path: Path) -> None:
    rows = golden_month()
    cycles = ["Daily", "Weekly", "Monthly", "Quarterly", "Semi-Annually", "Annually", "Hourly"]
    periods = [period_of_cycle(date(2026, 1, 31), cycle) or (None, None) for cycle in cycles]
    rows["core.invoice"] = [invoice(f"i{n}", "2026-01-31", f"{n + 10}.{n}1", "3.337777") for n in range(len(cycles))]
    rows["core.invoice_line"] = [
        line(f"i{n}", "1", "Hosting", str(n), cycle, f"{n + 10}.{n}1", period_from=begins, period_until=until)
        for n, (cycle, (begins, until)) in enumerate(zip(cycles, periods, strict=True))
    ]
    rows["mart.cost_daily"] = [
        charge("2026-01-31", VPS, kind, str(sum(row[column] for row in rows["core.invoice"])), None)
        for kind, column in (("hosting", "subtotal"), ("tax", "tax"))
    ]
    rows["mart.cost_monthly"] = monthly(rows["mart.cost_daily"])
    rows["core.bundle"] = []
    database = publish(tmp_path / "tollbook.duckdb", rows)
    found: list[Row] = []
    for number in range(13):
        month = date(2026 + number // 12, number % 12 + 1, 1)
        made = write_focus(database, month, tmp_path / "reports", settings=SETTINGS)
        found += pq.read_table(made.paths[0]).to_pylist()
    expense = {f"vps/{row['invoice_id']}": row["subtotal"] + row["tax"] for row in rows["core.invoice"]}
    assert total(found, "BilledCost", "InvoiceId") == expense == total(found, "EffectiveCost", "InvoiceId")
    days = [
        sum(row["InvoiceId"] == f"vps/i{n}" and row["ChargeCategory"] == "Usage" for row in found)
        for n in range(len(cycles))
    ]
    assert days == [1, 7, 28, 89, 181, 365, 1]


@pytest.mark.parametrize(
    ("period", "october", "november"),
    [
        (("2026-10-05", "2026-11-04"), "27", "3"),  # 30 days from before the invoice of the 20th, in its own month
        (("2026-11-01", "2026-12-01"), "0", "30"),  # all of it ahead
        (("2026-09-20", "2026-11-10"), "23.25", "6.75"),  # on the 31 and 9 days from October on, 0.75 each
        (("2026-09-01", "2026-10-01"), "30", "0"),  # over when it was billed
        (("2026-10-20", "2026-10-20"), "30", "0"),
    ],
)
def test_a_line_falls_on_the_days_that_it_pays_for(
    tmp_path: Path, period: tuple[str, str], october: str, november: str
) -> None:
    """30.00, billed on 20 October for a service that is gone since. No day lies before the month of the invoice."""
    rows = focus_month()
    new = [charge("2026-10-20", VPS, "hosting", "30", None)]
    rows["core.invoice"].append(invoice("902", "2026-10-20", "30", "0"))
    rows["core.invoice_line"].append(line("902", "1", "Hosting", "99", "VPS", "30", **pays_for(*period)))
    rows["mart.cost_daily"] += new
    rows["mart.cost_monthly"] += monthly(new)
    database = publish(tmp_path / "tollbook.duckdb", rows)
    spent = []
    for month in (MONTH, date(2026, 11, 1)):
        made = write_focus(database, month, tmp_path / "reports", settings=SETTINGS)
        found = [row for row in pq.read_table(made.paths[0]).to_pylist() if row["InvoiceId"] == "vps/902"]
        assert {row["ResourceId"] for row in found} <= {"vps/99"}
        spent.append(sum(row["EffectiveCost"] for row in found))
    assert spent == [Decimal(october), Decimal(november)]


# --- the files --------------------------------------------------------------------------------------------------------


def test_both_files_say_the_same(golden: tuple[Focus, list[Row]]) -> None:
    made, rows = golden
    assert pq.read_schema(made.paths[0]).equals(FOCUS)
    with made.paths[1].open(encoding="utf-8", newline="") as stream:
        texts = list(csv.DictReader(stream))
    assert len(texts) == len(rows) == made.rows

    def text(value: Any) -> str:
        if isinstance(value, datetime):
            return f"{value:%Y-%m-%dT%H:%M:%SZ}"
        return "" if value is None else str(value)

    assert texts == [{name: text(value) for name, value in row.items()} for row in rows]


def test_same_input_same_bytes_and_nothing_else_is_left(tmp_path: Path) -> None:
    first, _ = written(tmp_path, focus_month())
    before = [path.read_bytes() for path in first.paths]
    (first.paths[0].parent / "stale.csv").write_text("old")
    again = write_focus(tmp_path / "tollbook.duckdb", date(2026, 10, 31), tmp_path / "reports", settings=SETTINGS)
    assert [path.read_bytes() for path in again.paths] == before
    assert sorted(path.name for path in (tmp_path / "reports").rglob("*")) == [
        "focus-2026-10",
        "focus-2026-10.csv",
        "focus-2026-10.parquet",
    ]


def test_texts_are_harmless_where_that_is_asked_for(tmp_path: Path) -> None:
    rows = focus_month()
    rows["core.invoice_line"][0]["description"] = "=1+\x1b[31m\u202e2\x00"
    plain, in_parquet = written(tmp_path, rows)
    assert "=1+[31m2" in {row["ChargeDescription"] for row in in_parquet}
    assert {"=1+[31m2"} <= _descriptions(plain)
    careful = write_focus(
        tmp_path / "tollbook.duckdb", MONTH, tmp_path / "reports", settings=SETTINGS, for_spreadsheets=True
    )
    assert pq.read_table(careful.paths[0]).to_pylist() == in_parquet
    assert "'=1+[31m2" in _descriptions(careful)
    assert not [text for text in _descriptions(careful) if text.startswith("=")]


def _descriptions(made: Focus) -> set[str]:
    with made.paths[1].open(encoding="utf-8", newline="") as stream:
        return {row["ChargeDescription"] for row in csv.DictReader(stream)}


def test_a_month_without_charges_is_an_empty_dataset(tmp_path: Path) -> None:
    made, rows = written(tmp_path, focus_month(), date(2025, 1, 1))
    assert (rows, made.billed) == ([], ())
    assert pq.read_schema(made.paths[0]).equals(FOCUS)


# --- what is refused --------------------------------------------------------------------------------------------------


def _mart_says_more(rows: Rows) -> None:
    rows["mart.cost_monthly"][1]["cost"] += Decimal("0.000001")


def _another_cost_centre(rows: Rows) -> None:
    rows["mart.cost_monthly"][1]["cost_centre"] = "Support"


def _invoice_says_less(rows: Rows) -> None:
    rows["core.invoice_line"].append(line("900", "1", "Hosting", "55", "Linux 8 again", "29"))
    rows["core.invoice"][0]["subtotal"] = None


def _no_currency(rows: Rows) -> None:
    for name in ("mart.cost_daily", "mart.cost_monthly"):
        rows[name][1]["currency"] = None


def _unknown_currency(rows: Rows) -> None:
    for name in ("mart.cost_daily", "mart.cost_monthly"):
        for row in rows[name]:
            row["currency"] = "XXX"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_mart_says_more, "not what the invoice or the account's month comes to: hq/2/2026-10/EUR"),
        (_another_cost_centre, "not the month in mart.cost_monthly: hq"),
        (_invoice_says_less, "not the month in mart.cost_monthly: vps"),
        (_no_currency, "without BillingCurrency"),
        (_unknown_currency, "the currency of charges is not known: hq"),
    ],
)
def test_a_month_that_does_not_add_up_is_refused(tmp_path: Path, spoil: Callable[[Rows], None], says: str) -> None:
    rows = focus_month()
    spoil(rows)
    with pytest.raises(FocusError, match=says):
        written(tmp_path, rows)
    assert list((tmp_path / "reports").iterdir()) == []


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("abs(cost.cost) AS unit_price", "abs(cost.cost) / 3 AS unit_price", "not its unit price times its quantity"),
        ("'Seconds' ELSE", "'seconds' ELSE", "not spelt as FOCUS spells it"),
        ("cost.cost_date + 1 AS end_day", "cost.cost_date AS end_day", "a period is empty"),
        ("effective_cost AS EffectiveCost", "list_cost AS EffectiveCost", "a purchase has an effective cost"),
        ("connection || '/' || invoice_id", "connection || '/1' || invoice_id", "not what the invoice"),
    ],
)
def test_rows_that_are_not_focus_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: str, wrong: str, says: str
) -> None:
    sql = focus._SQL.read_text()
    assert sql.count(right) == 1
    (tmp_path / "focus.sql").write_text(sql.replace(right, wrong))
    monkeypatch.setattr(focus, "_SQL", tmp_path / "focus.sql")
    with pytest.raises(FocusError, match=says):
        written(tmp_path, focus_month())


def test_days_that_do_not_add_up_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(focus, "spread", lambda amount, weights: [Decimal(1)] * len(weights))
    with pytest.raises(FocusError, match="is not what its days add up to"):
        written(tmp_path, focus_month())


# --- the official validator -------------------------------------------------------------------------------------------

# What the vendors have: all but commitments and reservations of capacity.
CRITERIA = (
    "ACCOUNT_NAMING_SUPPORTED",
    "AVAILABILITY_ZONE_SUPPORTED",
    "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED",
    "MULTIPLE_BILLING_ACCOUNT_TYPES_SUPPORTED",
    "MULTIPLE_PRICING_CATEGORIES_SUPPORTED",
    "MULTIPLE_SUB_ACCOUNT_TYPES_SUPPORTED",
    "NEGOTIATED_PRICING_SUPPORTED",
    "PRICING_BILLING_CURRENCY_DIFFERENCES_SUPPORTED",
    "PUBLIC_PRICE_LIST_SUPPORTED",
    "REGION_SUPPORTED",
    "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
    "SUB_ACCOUNT_SUPPORTED",
    "TAGGING_SUPPORTED",
    "UNIT_PRICING_SUPPORTED",
    "USAGE_MEASUREMENT_SUPPORTED",
)


@pytest.mark.skipif(
    not (VALIDATOR / ".made-from").exists(),
    reason="no .focus-validator: it needs a Python 3.12, see Makefile",
)
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_the_official_validator_finds_nothing(golden: tuple[Focus, list[Row]], tmp_path: Path, form: str) -> None:
    (packages,) = VALIDATOR.glob("lib/python3*/site-packages")
    (file,) = [path for path in golden[0].paths if path.suffix == f".{form}"]
    report = tmp_path / "report.xml"
    ran = subprocess.run(
        [
            VALIDATOR / "bin" / "focus-validator",
            *("--data-file", file, "--validate-version", "1.2", "--block-download"),
            *("--applicability-criteria", ",".join(CRITERIA)),
            *("--output-type", "unittest", "--output-destination", report),
        ],
        cwd=packages,  # where it looks for its own rules
        env={**os.environ, "LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert report.exists(), ran.stderr[-2000:]
    cases = ET.parse(report).getroot()
    failed = {
        str(case.get("name")).split(" ")[0] for case in cases.iter("testcase") if case.find("failure") is not None
    }
    passed = [case for case in cases.iter("testcase") if not len(case)]
    assert list(cases.iter("error")) == []
    # It holds when every InvoiceId is null, its sibling when none is; one of the two must, and the sibling does.
    assert failed == {"InvoiceId-C-004-C"}
    assert len(passed) > 250


def test_duckdb_reads_money_as_decimals_and_times_as_instants(golden: tuple[Focus, list[Row]]) -> None:
    types = dict(duckdb.sql(f"SELECT column_name, column_type FROM (DESCRIBE FROM '{golden[0].paths[0]}')").fetchall())
    assert {types[name] for name in types if name.endswith(("Cost", "Price", "Quantity"))} == {"DECIMAL(18,6)"}
    assert {types[name] for name in types if "Period" in name} == {"TIMESTAMP WITH TIME ZONE"}
