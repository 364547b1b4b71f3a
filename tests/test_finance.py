"""Finance's side: budgets, allocation, chargeback and journal, by hand and for any amounts.

The SQL of the marts is run on a small database in memory; ``report_month`` has the figures worked out by hand.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.core_rows import cdr_days, invoice, leg, line, partition, query, warehouse
from support.report_month import ACCOUNTS, ALLOCATION, BUDGETS, HQ, SIP, VPS, Rows, charge, golden_month

from tollbook_errors import ConfigError, IntegrityError
from warehouse.money import MACROS
from warehouse.reference import DEFAULT_ACCOUNTS, AllocationRule, Reference, read_reference
from warehouse.schema import TABLES, table
from warehouse.update import sql
from warehouse.update.inputs import prepare_finance

pytestmark = pytest.mark.slow  # whole databases

MONTH = date(2026, 10, 1)
CENT = Decimal("0.01")
HEADERS = {
    "budgets.csv": "month,cost_centre,vendor,charge_kind,amount,currency\n",
    "allocation.csv": "rule,vendor,connection,charge_kind,item,method,calls_of,cost_centre,share,from,to\n",
    "accounts.csv": "role,vendor,charge_kind,account,by_cost_centre\n",
}


def folder(tmp_path: Path, **files: str) -> Path:
    place = tmp_path / "reference"
    place.mkdir(exist_ok=True)
    for name, text in files.items():
        (place / f"{name}.csv").write_text(text)
    return place


class Books:
    """A database in memory with every table, rows in some of them, and finance's rules: made once, filled anew."""

    def __init__(self) -> None:
        self.db = duckdb.connect()
        for schema in ("core", "mart", "audit"):
            self.db.execute(f"CREATE SCHEMA {schema}")
        for declared in TABLES:
            columns = ", ".join(f'"{column.name}" {column.type}' for column in declared.columns)
            self.db.execute(f"CREATE TABLE {declared.full_name} ({columns})")
        self.db.execute(MACROS)
        self.db.execute("CREATE TEMP MACRO in_cost_months(day) AS day IS NOT NULL")
        self.db.execute("CREATE TEMP MACRO reporting_currency() AS 'GBP'")
        self.db.execute(
            "CREATE TEMP TABLE fx_rate AS SELECT DATE '2026-10-01' AS rate_date, 'EUR' AS currency, "
            "0.85::DECIMAL(18, 9) AS rate"
        )
        self.filled: set[str] = set()

    def fill(self, rows: Rows, reference: Reference) -> None:
        for name in ("budget_line", "allocation_rule", "allocation_share", "account_rule"):
            self.db.execute(f"DROP TABLE IF EXISTS {name}")
        prepare_finance(self.db, reference)
        for name in self.filled:
            self.db.execute(f"TRUNCATE {name}")
        self.filled = set(rows)
        for name, values in rows.items():
            for value in values:
                names = ", ".join(f'"{column}"' for column in value)
                marks = ", ".join("?" * len(value))
                self.db.execute(f"INSERT INTO {name} ({names}) VALUES ({marks})", list(value.values()))

    def make(self, name: str) -> list[dict[str, Any]]:
        """Derive a mart, and give its rows."""
        declared = table(f"mart.{name}")
        self.db.execute(f"TRUNCATE mart.{name}")
        self.db.execute(f"INSERT INTO mart.{name} BY NAME {sql.read_mart(declared)}")
        self.filled.add(f"mart.{name}")
        rows = self.db.execute(f"SELECT {', '.join(declared.column_names)} FROM mart.{name}").fetchall()
        return [dict(zip(declared.column_names, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def books() -> Iterator[Books]:
    made = Books()
    yield made
    made.db.close()


def same(found: Sequence[Mapping[str, Any]], by_hand: Sequence[Mapping[str, Any]], mart: str) -> None:
    """Whether two marts have the same rows; amounts compare as numbers."""
    names = table(mart).column_names
    remaining = [{name: row.get(name) for name in names} for row in by_hand]
    for row in found:
        assert row in remaining
        remaining.remove(dict(row))
    assert remaining == []


# --- the golden month -------------------------------------------------------------------------------------------------


def test_the_marts_say_what_was_worked_out_by_hand(books: Books, tmp_path: Path) -> None:
    month = golden_month()
    reference = read_reference(folder(tmp_path, budgets=BUDGETS, allocation=ALLOCATION, accounts=ACCOUNTS), "GBP")
    facts = ("mart.cost_daily", "mart.cost_monthly", "mart.usage_daily", "core.invoice", "core.invoice_line")
    books.fill({name: month[name] for name in facts}, reference)
    usage = {row["cost_centre"]: row for row in books.make("cost_centre_usage") if row["month"] == MONTH}
    assert {name: (row["calls"], row["talk_seconds"], row["extensions"]) for name, row in usage.items()} == {
        "Sales": (2, 7260, 1),
        "Support": (2, 660, 1),
        "unassigned": (1, 60, 1),
    }
    same(books.make("chargeback"), month["mart.chargeback"], "mart.chargeback")
    same(books.make("budget"), month["mart.budget"], "mart.budget")
    same([row for row in books.make("journal") if row["month"] == MONTH], month["mart.journal"], "mart.journal")


# --- dividing ---------------------------------------------------------------------------------------------------------


def shares(weights: Mapping[str, Decimal]) -> Reference:
    rule = AllocationRule(
        "R", None, None, None, None, "shares", None, date(2000, 1, 1), date(2100, 1, 1), tuple(weights.items()), 2
    )
    return Reference(allocations=(rule,))


def divided(
    books: Books, pools: Sequence[tuple[str, str, Decimal]], weights: Mapping[str, Decimal]
) -> list[dict[str, Any]]:
    """The rows of mart.chargeback for pools of (currency, kind, amount), each on a connection of its own."""
    daily = [
        charge("2026-10-05", {**HQ, "connection": f"c{n:02}", "currency": currency}, kind, str(amount), None)
        for n, (currency, kind, amount) in enumerate(pools)
    ]
    books.fill({"mart.cost_daily": daily}, shares(weights))
    return books.make("chargeback")


AMOUNTS = st.integers(-(10**17), 10**17).map(lambda n: Decimal(n).scaleb(-6)) | st.integers(-9999, 9999).map(
    lambda n: Decimal(n).scaleb(-2)
)
POOLS = st.lists(
    st.tuples(st.sampled_from(["EUR", "JPY", "KWD"]), st.sampled_from(["call", "hosting", "tax", "credit"]), AMOUNTS),
    min_size=1,
    max_size=6,
)
WEIGHTS = st.dictionaries(
    st.sampled_from([f"CC-{n}" for n in range(12)]),
    st.integers(1, 10**15).map(lambda n: Decimal(n).scaleb(-6)) | st.integers(1, 9).map(Decimal),
    min_size=1,
    max_size=12,
)
COINS = {"EUR": CENT, "JPY": Decimal(1), "KWD": Decimal("0.001")}


@settings(max_examples=20)
@given(pools=POOLS, weights=WEIGHTS, chance=st.randoms(use_true_random=False))
def test_the_largest_remainder_is_exact_near_the_ideal_and_whatever_the_order(
    books: Books, pools: list[tuple[str, str, Decimal]], weights: dict[str, Decimal], chance: random.Random
) -> None:
    there = [*pools, *((currency, kind, -amount) for currency, kind, amount in pools)]
    rows = divided(books, there, weights)
    total = sum(weights.values())
    cost = {(row["connection"], row["cost_centre"]): row["cost"] for row in rows}
    for n, (currency, kind, amount) in enumerate(there):
        of_pool = [row for row in rows if row["connection"] == f"c{n:02}"]
        assert sum(row["cost"] for row in of_pool) == amount
        assert {row["cost_centre"] for row in of_pool} == set(weights)
        whole = kind != "call" and amount % COINS[currency] == 0
        for row in of_pool:
            assert row["unit"] == (COINS[currency] if whole else Decimal("0.000001"))
            assert row["cost"] % row["unit"] == 0
            ideal = Fraction(amount) * Fraction(weights[row["cost_centre"]]) / Fraction(total)
            assert abs(Fraction(row["cost"]) - ideal) < Fraction(row["unit"])
            undone = f"c{(n + len(pools)) % len(there):02}", row["cost_centre"]
            assert cost[undone] == -row["cost"], "a credit undoes the charge"
    shuffled = list(weights.items())
    chance.shuffle(shuffled)
    assert sorted(divided(books, there, dict(shuffled)), key=repr) == sorted(rows, key=repr)


def test_equal_remainders_go_to_the_name_that_sorts_first(books: Books) -> None:
    rows = divided(books, [("EUR", "hosting", Decimal("10.00"))], {"C": Decimal(1), "A": Decimal(1), "B": Decimal(1)})
    assert {row["cost_centre"]: row["cost"] for row in rows} == {
        "A": Decimal("3.34"),
        "B": Decimal("3.33"),
        "C": Decimal("3.33"),
    }


def test_the_most_specific_rule_of_the_month_divides_and_the_rest_is_direct(books: Books, tmp_path: Path) -> None:
    allocation = HEADERS["allocation.csv"] + (
        "All hosting,time4vps,,,,calls,,,,,\n"
        "Fees,,,fee,,shares,,Legal,100%,,2026-09\n"
        "Fees,,,fee,,shares,,Board,1,2026-10,\n"
        "CRM,,,,302,shares,,Sales,60%,,\n"
        "CRM,,,,302,shares,,Support,40 %,,\n"
        "Wires,,wires,,,extensions,hq,,,,\n"
        "Nothing there,,,bundle,,minutes,nowhere,,,,\n"
    )
    wires = {**VPS, "connection": "wires"}
    daily = [
        charge("2026-10-02", VPS, "hosting", "10.00", None, item="302"),
        charge("2026-10-02", VPS, "hosting", "9.00", None, item="301"),
        charge("2026-10-02", VPS, "fee", "1.24", None),
        charge("2026-10-02", wires, "hosting", "5.00", None),
        charge("2026-10-02", SIP, "bundle", "25.00", "25.00"),
        charge("2026-10-02", HQ, "call", "0.0123", None, cost_centre="Sales"),
        charge("2026-10-02", HQ, "call", None, None, cost_centre="Sales"),
    ]
    usage = [
        {"month": MONTH, **who, "cost_centre": centre, "calls": calls, "talk_seconds": 0, "extensions": phones}
        for who, centre, calls, phones in (
            ({"vendor": "pbxware", "connection": "hq", "account_id": "2"}, "Sales", 1, 3),
            ({"vendor": "pbxware", "connection": "hq", "account_id": "7"}, "Support", 0, 1),
            ({"vendor": "sipcentric", "connection": "sip", "account_id": "9"}, "Support", 2, 5),
        )
    ]
    books.fill(
        {"mart.cost_daily": daily, "mart.cost_centre_usage": usage},
        read_reference(folder(tmp_path, allocation=allocation), "GBP"),
    )
    found = sorted(
        (row["connection"], row["charge_kind"], row["rule"] or "", row["cost_centre"], row["cost"], row["driver"])
        for row in books.make("chargeback")
    )
    assert found == [
        ("hq", "call", "", "Sales", Decimal("0.0123"), None),
        ("sip", "bundle", "Nothing there", "unallocated", Decimal("25"), 0),
        ("vps", "fee", "Fees", "Board", Decimal("1.24"), 1),
        ("vps", "hosting", "All hosting", "Sales", Decimal("3"), 1),
        ("vps", "hosting", "All hosting", "Support", Decimal("6"), 2),
        ("vps", "hosting", "CRM", "Sales", Decimal("6"), 60),
        ("vps", "hosting", "CRM", "Support", Decimal("4"), 40),
        ("wires", "hosting", "Wires", "Sales", Decimal("3.75"), 3),
        ("wires", "hosting", "Wires", "Support", Decimal("1.25"), 1),
    ]


# --- the journal ------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(
    charges=st.lists(
        st.tuples(
            st.sampled_from(["call", "sms", "bundle"]),
            st.sampled_from(["Sales", "Support", "IT"]),
            st.sampled_from(["EUR", "JPY"]),
            st.integers(-(10**9), 10**9).map(lambda n: Decimal(n).scaleb(-6)),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_an_entry_balances_in_whole_coins_near_the_exact_amounts(
    books: Books, charges: list[tuple[str, str, str, Decimal]]
) -> None:
    daily = [
        charge("2026-10-05", {**HQ, "currency": currency}, kind, str(amount), None, cost_centre=centre)
        for kind, centre, currency, amount in charges
    ]
    monthly = [{**{k: v for k, v in row.items() if k != "cost_date"}, "month": MONTH} for row in daily]
    books.fill({"mart.cost_daily": daily, "mart.cost_monthly": monthly}, Reference())
    books.make("chargeback")
    rows = books.make("journal")
    for currency in {currency for *_, currency, _ in charges}:
        lines = [row for row in rows if row["currency"] == currency]
        exact = sum(amount for *_, c, amount in charges if c == currency)
        booked = sum(row["debit"] - row["credit"] for row in lines if row["role"] == "cost")
        assert sum(row["debit"] for row in lines) == sum(row["credit"] for row in lines)
        assert abs(booked - exact) * 2 <= COINS[currency]
        assert sum(row["exact"] for row in lines if row["role"] == "cost") == exact
        assert sorted(row["line"] for row in lines) == list(range(1, len(lines) + 1))
        for row in lines:
            assert row["debit"] % COINS[currency] == row["credit"] % COINS[currency] == 0
            assert min(row["debit"], row["credit"]) == 0
            assert abs(row["debit"] - row["credit"] - row["exact"]) < COINS[currency]


def test_invoices_are_booked_once_with_tax_credit_and_credit_notes(tmp_path: Path) -> None:
    day = date(2026, 10, 10)
    reference = folder(
        tmp_path,
        allocation=HEADERS["allocation.csv"] + "Servers,time4vps,,,,calls,,,,,\n",
        accounts=HEADERS["accounts.csv"]
        + "cost,,,7000,\ncost,time4vps,,7100,\ncost,,credit,7190,no\ntax,,,1200,\ncreditor,time4vps,,2100,\n",
    )
    database = warehouse(tmp_path / "data", reference_dir=reference)

    def invoices(credit: str) -> list[Any]:
        rows = {
            "core.invoice": [
                invoice("1", day, "10.00", "2.10", credit=Decimal(credit), total=Decimal("12.10") - Decimal(credit)),
                invoice("2", day, "4.00", "0.84", merged_into="4", counts_as_expense=False),
                invoice("3", day, "6.00", "1.26", merged_into="4", counts_as_expense=False),
                invoice("4", day, "10.00", "2.10"),
                invoice("5", day, "-5.00", "-1.05", status="creditnote"),
                invoice("6", day, "99.00", "9.00", status="refunded", counts_as_expense=False),
                invoice("7", day, "8.00", currency="USD", number=None),
            ],
            "core.invoice_line": [
                line("1", "1", "10.00"),
                line("2", "2", "4.00"),
                line("3", "3", "6.00"),
                line("4", "4", "4.00", type="Invoice", item_id="2"),
                line("4", "5", "6.00", type="Invoice", item_id="3"),
                line("5", "6", "-5.00", type="RefundedItem"),
                line("6", "7", "99.00"),
                line("7", "8", "8.00"),
            ],
        }
        return [partition(tmp_path / "core", "invoices", "hosting", None, "time4vps", rows)]

    def booked() -> list[tuple[Any, ...]]:
        return query(
            database,
            "SELECT entry, line, account, cost_centre, document, debit, credit FROM mart.journal "
            "WHERE connection = 'hosting' ORDER BY entry, line",
        )

    legs = [leg("a", "2026-10-01 09:00:00", 60, cost=Decimal("0.004"))]
    database.update([*cdr_days(tmp_path / "core", legs), *invoices("4.00")])
    euro = "2026-10 hosting EUR"
    assert booked() == [
        (euro, 1, "7100", "unassigned", None, 20, 0),
        (euro, 2, "7190", None, None, 0, 5),
        (euro, 3, "1200", None, None, Decimal("3.15"), 0),
        (euro, 4, "2100", None, "N-1", 0, Decimal("12.10")),
        (euro, 5, "2100", None, "N-4", 0, Decimal("12.10")),
        (euro, 6, "2100", None, "N-5", Decimal("6.05"), 0),
        (euro, 7, "VENDOR-CREDIT-TIME4VPS", None, "N-1", 0, 4),
        (euro, 8, "2100", None, "N-1", 4, 0),
        ("2026-10 hosting USD", 1, "7100", "unassigned", None, 8, 0),
        ("2026-10 hosting USD", 2, "2100", None, "7", 0, 8),
    ]
    said = dict(query(database, "SELECT document, description FROM mart.journal WHERE document = 'N-5'"))
    assert said == {"N-5": "Credit note N-5, hosting 2026-10"}
    assert query(
        database, "SELECT account, debit, credit, exact FROM mart.journal WHERE connection = 'hq' ORDER BY 1"
    ) == [
        ("7000", 0, 0, Decimal("0.004")),
        ("ACCRUED-PBXWARE", 0, 0, Decimal("-0.004")),
    ]
    marts = ("mart.budget", "mart.chargeback", "mart.cost_centre_usage", "mart.journal")
    ties = query(database, f"SELECT DISTINCT mart, difference FROM audit.tie_out WHERE mart IN {marts} ORDER BY ALL")
    assert ties == [(mart, 0) for mart in marts if mart != "mart.budget"]
    # Applying more credit changes no cost, but the journal.
    database.update(invoices("5.00"))
    assert [row[5] for row in booked() if row[1] == 8] == [5]


def test_money_on_account_is_an_asset_until_it_is_spent(tmp_path: Path) -> None:
    """A receipt of 100 in September; in October hosting 30 with 6.30 tax and 20 on account, of which 50 was paid from
    it; one such, unpaid, is 36.30 of debt; a receipt that nobody paid is nothing; 10 of the 100 are given back.
    """
    september, october = date(2026, 9, 20), date(2026, 10, 10)
    ten, twenty, fifty, hundred = map(Decimal, (10, 20, 50, 100))
    unpaid = {"status": "unpaid", "paid_at": None}
    rows = {
        "core.invoice": [
            invoice("1", september, "100", status="receiptpaid", credit_added=hundred, counts_as_expense=False),
            invoice("2", october, "50.00", "6.30", credit_added=twenty, credit=fifty, total=Decimal("6.30")),
            invoice("3", october, "50.00", "6.30", credit_added=twenty, **unpaid),
            invoice("4", october, "70", credit_added=Decimal(70), counts_as_expense=False, status="receiptunpaid"),
            invoice("5", october, "-10", status="creditnote", credit_added=-ten, counts_as_expense=False),
        ],
        "core.invoice_line": [
            line("1", "1", "100", type="Credit", credit_added=hundred),
            line("2", "2", "30.00"),
            line("2", "3", "20.00", type="Credit", credit_added=twenty),
            line("3", "4", "50.00", type="Invoice", item_id="8", credit_added=twenty),  # merged of such
            line("4", "6", "70", type="Credit", credit_added=Decimal(70)),
            line("5", "7", "-10", type="RefundedItem", credit_added=-ten),
        ],
    }
    database = warehouse(tmp_path / "data")
    database.update([partition(tmp_path / "core", "invoices", "hosting", None, "time4vps", rows)])
    costs = "SELECT charge_kind, sum(cost), sum(quantity) FROM mart.cost_daily GROUP BY ALL ORDER BY ALL"
    assert query(database, costs) == [
        ("hosting", 60, 2),
        ("tax", Decimal("12.60"), 2),
    ]
    assert query(database, "SELECT invoice_id, open_amount FROM mart.invoice_aging") == [("3", Decimal("36.30"))]
    booked = query(
        database, "SELECT month, account, document, debit - credit, description FROM mart.journal ORDER BY entry, line"
    )
    asset, owed = "VENDOR-CREDIT-TIME4VPS", "CREDITOR-TIME4VPS"
    assert [row[1:] for row in booked if row[0] == date(2026, 9, 1)] == [
        (asset, "N-1", 100, "Credit added by N-1, hosting 2026-09"),
        (owed, "N-1", -100, "Credit added by N-1, hosting 2026-09"),
    ]
    credit = [(account, document, amount) for _, account, document, amount, _ in booked if account == asset]
    assert sorted(credit) == [(asset, "N-1", 100), (asset, "N-2", -50), (asset, "N-2", 20), (asset, "N-5", -10)]
    creditor = [(document, amount) for _, account, document, amount, _ in booked if account == owed]
    assert sum(amount for document, amount in creditor if document == "N-2") == Decimal("-6.30"), "paid in money"
    assert sum(amount for document, amount in creditor if document == "N-3") == Decimal("-36.30")
    assert "N-4" not in {document for _, _, document, _, _ in booked}
    # Paid at last, it is booked, though it costs nothing.
    rows["core.invoice"][3] |= {"status": "receiptpaid"}
    database.update([partition(tmp_path / "core", "invoices", "hosting", None, "time4vps", rows)])
    assert query(database, "SELECT debit FROM mart.journal WHERE document = 'N-4' ORDER BY line") == [(70,), (0,)]


def test_a_journal_or_a_chargeback_that_does_not_add_up_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_mart = sql.read_mart
    legs = [leg("a", "2026-10-01 09:00:00", 60, cost=Decimal("1.234"))]
    for number, (mart, column) in enumerate((("chargeback", "cost"), ("journal", "debit"), ("journal", "exact"))):
        database = warehouse(tmp_path / str(number))
        monkeypatch.setattr(
            "warehouse.update.sql.read_mart",
            lambda declared, mart=mart, column=column: (
                f"SELECT * REPLACE ({column} + 1 AS {column}) FROM ({read_mart(declared)})"
                if declared.name == mart
                else read_mart(declared)
            ),
        )
        with pytest.raises(IntegrityError, match=f"mart.{mart} does not tie out"):
            database.update(cdr_days(tmp_path / "core", legs))


# --- finance's files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "lines", "said"),
    [
        ("budgets", "2026-13,Sales,,,1,GBP\n", "line 2: month is no month"),
        ("budgets", "2026-10-01,Sales,,,1,GBP\n", "line 2: month is no month"),
        ("budgets", "2026-10,,,,1,GBP\n", "line 2: the cost centre"),
        ("budgets", "2026-10,Sales,acme,,1,GBP\n", "line 2: the vendor is none of pbxware"),
        ("budgets", "2026-10,Sales,,calls,1,GBP\n", "line 2: the kind of charge is none of call"),
        ("budgets", "2026-10,Sales,,,-1,GBP\n", "line 2: the amount"),
        ("budgets", "2026-10,Sales,,,1e3,GBP\n", "line 2: the amount"),
        ("budgets", "2026-10,Sales,,,1,gbp\n", "line 2: the currency"),
        ("budgets", "2026-10,Sales,,,1,GBP\n2026-10,Sales,,,1,EUR\n2026-10,Sales,,,2,GBP\n", "line 4: line 2 is for"),
        ("allocation", ",,,,,calls,,,,,\n", "line 2: the rule has no name"),
        ("allocation", "A,,,,,turns,,,,,\n", "line 2: the method is none of calls"),
        ("allocation", "A,,,,,calls,,Sales,,,\n", "line 2: only a rule of fixed shares"),
        ("allocation", "A,,,,,shares,,Sales,0,,\n", "line 2: the share"),
        ("allocation", "A,,,,,shares,,,1,,\n", "line 2: the cost centre"),
        ("allocation", "A,,,,,shares,hq,Sales,1,,\n", "line 2: fixed shares"),
        ("allocation", "A,,,,,calls,,,,2026-10,2026-09\n", "line 2: it ends before"),
        ("allocation", "A,,,,,calls,,,,2026-10-01,\n", "line 2: from is no month"),
        ("allocation", "A,,,,,calls,,,,,\nB,,,,,calls,,,,2026-10,\n", "line 3: line 2 is for the same charges"),
        ("allocation", "A,,,,,calls,,,,,\nA,,,tax,,calls,,,,2026-10,\n", "line 3: line 2 is of the same rule"),
        ("allocation", "A,,,,,calls,,,,,\nA,,,tax,,calls,,,,,\n", "line 3: line 2 begins the same rule otherwise"),
        ("allocation", "A,,,,,calls,,,,,\nA,,,,,calls,,,,,\n", "line 3: an earlier line"),
        ("allocation", "A,,,,,shares,,X,1,,\nA,,,,,shares,,X,2,,\n", "line 3: an earlier line"),
        ("allocation", "A,,,,,shares,,X,50%,,\nA,,,,,shares,,Y,2,,\n", "line 3: the shares of a rule are all"),
        ("allocation", "A,,,,,shares,,X,50%,,\nA,,,,,shares,,Y,49.9%,,\n", "line 2: the percentages"),
        ("accounts", "debtor,,,1,\n", "line 2: the role is none of cost"),
        ("accounts", "cost,,tax,1,\n", "line 2: a cost is not by this kind"),
        ("accounts", "creditor,,hosting,1,\n", "line 2: a creditor is not by this kind"),
        ("accounts", "cost,,,=1,\n", "line 2: the account"),
        ("accounts", "cost,,,1,maybe\n", "line 2: by_cost_centre"),
        ("accounts", "creditor,,,1,yes\n", "line 2: by_cost_centre"),
        ("accounts", "cost,,call,1,\ncost,,call,2,\n", "line 3: line 2 is for the same role"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, name: str, lines: str, said: str) -> None:
    place = folder(tmp_path, **{name: HEADERS[f"{name}.csv"] + lines})
    with pytest.raises(ConfigError) as caught:
        read_reference(place, "GBP")
    assert f"{name}.csv {said}" in str(caught.value)


def test_a_rule_may_begin_anew_in_another_month_and_absent_files_leave_defaults(tmp_path: Path) -> None:
    lines = "A,,,,,shares,,X,1,,2026-09\nA,,,,,calls,hq,,,2026-10,\n"
    found = read_reference(folder(tmp_path, allocation=HEADERS["allocation.csv"] + lines), "GBP")
    assert [(rule.method, rule.first_month, rule.last_month) for rule in found.allocations] == [
        ("shares", date(1, 1, 1), date(2026, 9, 1)),
        ("calls", date(2026, 10, 1), date(9999, 12, 1)),
    ]
    assert found.accounts == DEFAULT_ACCOUNTS == Reference().accounts
    assert found.budgets == ()
