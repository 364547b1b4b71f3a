"""Finance's files as spreadsheets write them, and what is said of a line that matches nothing."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.core_rows import at, cdr_days, leg, load, partition, query, row, warehouse

from tollbook_errors import ConfigError
from warehouse.published import open_public, reference_notices
from warehouse.reference import did_you_mean, read_reference
from warehouse.reference_notices import Facts, Month, notices, old_rates, read_facts, unknown_connections

OCTOBER = date(2026, 10, 1)
CENTRES = "connection,account,extension,cost_centre,from,to\n"
RATES = "date,currency,rate\n"
BUDGETS = "month,cost_centre,vendor,charge_kind,amount,currency\n"
ALLOCATION = "rule,vendor,connection,charge_kind,item,method,calls_of,cost_centre,share,from,to\n"
ACCOUNTS = "role,vendor,charge_kind,account,by_cost_centre\n"


def folder(place: Path, **files: str) -> Path:
    for name, text in files.items():
        (place / f"{name}.csv").write_text(text, encoding="utf-8", newline="")
    return place


# --- what a spreadsheet leaves in a file ------------------------------------------------------------------------------

ONE = ("hq", "2", "0101", "0101", "Sales North")
RANGE = ("hq", "2", "0101", "0199", "Sales North")
PLAIN = "hq,2,0101,Sales North,,\n"
WRITTEN: dict[str, tuple[str, tuple[str, ...]]] = {
    "as it should be": (CENTRES + PLAIN, ONE),
    "spaces that are none": (CENTRES + "hq\u00a0,\u2003 2,0101\u00a0,Sales\u00a0 North\u202f,,\n", ONE),
    "marks of no width": (CENTRES + "\u200bhq,2\u2060,0101\u200b,Sales\u00ad \u200eNorth,,\n", ONE),
    "a line break in a cell": (CENTRES + 'hq,2,0101,"Sales\nNorth",,\n', ONE),
    "Windows' line breaks": (CENTRES.replace("\n", "\r\n") + 'hq,2,0101,"Sales\r\nNorth",,\r\n', ONE),
    "an old Mac's line breaks": ((CENTRES + PLAIN).replace("\n", "\r"), ONE),
    "semicolons": ((CENTRES + PLAIN).replace(",", ";"), ONE),
    "tabs": ((CENTRES + PLAIN).replace(",", "\t"), ONE),
    "commas in semicolons": (CENTRES.replace(",", ";") + "hq;2;0101;Sales North;;\n", ONE),
    "a line that names the separator": (f"sep=,\n{CENTRES}{PLAIN}", ONE),
    "the same of semicolons": ("sep=;\r\n" + (CENTRES + PLAIN).replace(",", ";"), ONE),
    "a mark of the order of bytes": (f"\ufeff{CENTRES}{PLAIN}", ONE),
    "header with odd spaces and case": (CENTRES.replace("extension", "\u00a0Extension ") + PLAIN, ONE),
    "an apostrophe for text": (CENTRES + "'hq,'2,'0101,Sales North,,\n", ONE),
    "a formula for text": (CENTRES + 'hq,"=""2""","=""0101""",Sales North,,\n', ONE),
    "a range": (CENTRES + "hq,2,0101-0199,Sales North,,\n", RANGE),
    "a range with a long dash": (CENTRES + "hq,2,0101–0199,Sales North,,\n", RANGE),
    "a range with spaces": (CENTRES + "hq,2,0101 - 0199,Sales North,,\n", RANGE),
    "a range with both": (CENTRES + "hq,2,0101\u00a0— 0199,Sales North,,\n", RANGE),
    "a minus in a range": (CENTRES + "hq,2,0101−0199,Sales North,,\n", RANGE),
}


@pytest.mark.parametrize(("text", "read"), WRITTEN.values(), ids=WRITTEN)
def test_what_a_spreadsheet_leaves_in_a_file_is_taken_away(tmp_path: Path, text: str, read: tuple[str, ...]) -> None:
    (rule,) = read_reference(folder(tmp_path, cost_centres=text), "GBP").rules
    found = (rule.connection, rule.account_id, rule.extension_from, rule.extension_to, rule.cost_centre)
    assert found == read


def test_two_ways_to_write_one_letter_are_one_name(tmp_path: Path) -> None:
    """Å as one character, and as A with a ring, which a Mac writes: one cost centre, so one line says it twice."""
    lines = "2026-10,Sm\u00e5land,,,1,GBP\n2026-10,Sma\u030aland,,,2,GBP\n"
    with pytest.raises(ConfigError, match=r"budgets.csv line 3: line 2 is for the same month"):
        read_reference(folder(tmp_path, budgets=BUDGETS + lines), "GBP")


REFUSED: dict[str, tuple[str, str, str]] = {
    "day first": (
        "cost_centres",
        CENTRES + "hq,2,0101,Sales,01/10/2026,\n",
        "line 2: from is no date of the form YYYY",
    ),
    "a point as separator": ("cost_centres", CENTRES + "hq,2,0101,Sales,01.10.2026,\n", "line 2: from is no date"),
    "a list of extensions": (
        "cost_centres",
        CENTRES + 'hq,2,"0101,0102",Sales,,\n',
        "line 2: an extension is one number",
    ),
    "a range in words": ("cost_centres", CENTRES + "hq,2,0101 to 0105,Sales,,\n", "line 2: an extension is one number"),
    "a decimal comma": ("fx_rates", "date;currency;rate\n2026-10-01;EUR;0,86\n", "line 2: the rate is no positive"),
    "thousands": ("budgets", BUDGETS + '2026-10,Sales,,,"1,000.00",GBP\n', "line 2: the amount is no decimal"),
    "after a cell of two lines": ("cost_centres", CENTRES + '\nhq,2,1,"A\nB",,\nhq,2,2,C,1/2/26,\n', "line 5: from"),
    "in a cell of two lines": ("cost_centres", CENTRES + '\nhq,2,2,"A\nB",1/2/26,\n', "line 3: from"),
    "after the separator's line": ("cost_centres", f"sep=,\n{CENTRES}hq,2,2,C,1/2/26,\n", "line 3: from"),
    "a missing column after it": ("fx_rates", "sep=;\ndate;rate\n", "line 2: there must be one column currency"),
    "a vendor's capitals": ("budgets", BUDGETS + "2026-10,A,PBXware,,1,GBP\n", "; did you mean pbxware?"),
    "a kind's plural": ("budgets", BUDGETS + "2026-10,A,,calls,1,GBP\n", "; did you mean call?"),
    "a method": ("allocation", ALLOCATION + "A,,,,,minute,,,,,\n", "; did you mean minutes?"),
    "a range end of 5,000 digits": (
        "cost_centres",
        CENTRES + f"hq,2,1-{'9' * 5_000},Sales,,\n",
        "line 2: a cell has more than 1,000 characters",
    ),
    "a long range": ("cost_centres", CENTRES + f"hq,2,1-{'9' * 999},Sales,,\n", "line 2: a cell has more"),
    "an amount of 5,000 digits": ("budgets", BUDGETS + f"2026-10,A,,,{'9' * 5_000},GBP\n", "line 2: a cell has more"),
    "a rate of 900 digits": ("fx_rates", RATES + f"2026-10-01,EUR,{'9' * 900}\n", "line 2: the rate is no positive"),
    "a role": ("accounts", ACCOUNTS + "Credit balance,,,1,\n", "; did you mean credit_balance?"),
}


@pytest.mark.parametrize(("name", "text", "said"), REFUSED.values(), ids=REFUSED)
def test_what_can_mean_two_things_is_refused_with_its_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_reference(folder(tmp_path, **{name: text}), "GBP")
    assert f"{name}.csv line" in str(caught.value)
    assert said in str(caught.value)


# --- names that are alike ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "known", "meant"),
    [
        ("101", {"0101", "0102"}, "0101"),
        ("00101", {"0101"}, "0101"),
        ("101.0", {"101"}, "101"),
        ("2.0", {"2", "20"}, "2"),
        ("HQ", {"hq", "sip"}, "hq"),
        ("hq1", {"hq", "sip"}, "hq"),
        ("head office", {"head-office"}, "head-office"),
        ("cc-1 sales", {"CC-001 Sales", "CC-002 Sales"}, "CC-001 Sales"),
        ("CC-1-5", {"CC-01-05", "CC-15"}, "CC-01-05"),
        ("O'Neil & Co", {"O’Neil & Co"}, "O’Neil & Co"),
        ("Slaes", {"Sales", "Support"}, "Sales"),
        ("103", {"0101", "0102"}, None),
        ("7", {"2"}, None),
        ("Board", {"Sales", "Support"}, None),
        ("CC-300 Leisure", {"CC-100 Leisure", "CC-200 Sales"}, None),
        ("CC-310 Warehouse", {"Warehouse", "CC-100 Sales"}, "Warehouse"),
        ("EUO", {"EUR", "USD"}, "EUR"),
        ("", set(), None),
    ],
)
def test_what_was_probably_meant(text: str, known: set[str], meant: str | None) -> None:
    assert did_you_mean(text, known) == meant


# --- what matches nothing ---------------------------------------------------------------------------------------------


def october(**of_month: Any) -> Facts:
    """October: extensions 0101 (account 2 of hq, in the department Sales) with calls in EUR, 0102 without; and sip's
    account 77 with messages in GBP, which has no list of extensions.
    """
    known: dict[str, Any] = {
        "parties": {("hq", "2", "0101"), ("sip", "77", None)},
        "charges": {("pbxware", "hq", "call", None), ("sipcentric", "sip", "sms", None)},
        "charged": {("Sales", "pbxware", "call"), ("unassigned", "sipcentric", "sms")},
        "centres": {"Sales", "unassigned"},
        "days": {"EUR": {date(2026, 10, 5), date(2026, 10, 20)}, "GBP": {date(2026, 10, 6)}},
        "posted": {("cost", "pbxware", "call"), ("creditor", "pbxware", "call")},
    }
    return Facts(
        {"hq": "pbxware", "sip": "sipcentric", "vps": "time4vps"},
        {("hq", "2"): "Acme", ("sip", "77"): "Larkspur"},
        frozenset({("hq", "2", "0101"), ("hq", "2", "0102")}),
        frozenset({"302"}),
        frozenset({"Sales"}),
        {OCTOBER: Month(**(known | of_month))},
    )


def noticed(place: Path, facts: Facts | None = None, month: date = OCTOBER, **files: str) -> list[str]:
    reference = read_reference(folder(place, **files), "GBP")
    return [f"{notice.kind}: {notice}" for notice in notices(reference, facts or october(), month, "GBP")]


NO_CHARGE = "nothing was charged that it is for"
SAID: dict[str, tuple[str, str, str | None]] = {
    "it matches": ("cost_centres", CENTRES + "hq,2,0101,Sales,,\n,,,Rest,,\n", None),
    "a leading zero": (
        "cost_centres",
        CENTRES + "hq,2,101,Sales,,\n",
        "unknown: cost_centres.csv line 2: there is no such extension on this connection; did you mean 0101?",
    ),
    "a range that lost its zeros": (
        "cost_centres",
        CENTRES + "\n,2,101-199,Sales,,\n",
        "unknown: cost_centres.csv line 3: there is no such extension; did you mean 0101-0199?",
    ),
    "an extension nobody has": (
        "cost_centres",
        CENTRES + "hq,,0105,Sales,,\n",
        "unknown: cost_centres.csv line 2: there is no such extension on this connection",
    ),
    "an extension without a call": (
        "cost_centres",
        CENTRES + "hq,2,0102,Sales,,\n",
        f"unmatched: cost_centres.csv line 2: {NO_CHARGE}",
    ),
    "an extension where none are listed": (
        "cost_centres",
        CENTRES + "sip,77,5,Sales,,\n",
        f"unmatched: cost_centres.csv line 2: {NO_CHARGE}",
    ),
    "an account by its name": (
        "cost_centres",
        CENTRES + "hq,acme,,Sales,,\n",
        "unknown: cost_centres.csv line 2: there is no such account on this connection; did you mean 2?",
    ),
    "an account as a fraction": (
        "cost_centres",
        CENTRES + "hq,2.0,0101,Sales,,\n",
        "unknown: cost_centres.csv line 2: there is no such account on this connection; did you mean 2?",
    ),
    "an account of another connection": (
        "cost_centres",
        CENTRES + "hq,77,,Sales,,\n",
        "unknown: cost_centres.csv line 2: there is no such account on this connection",
    ),
    "a connection's capitals": (
        "cost_centres",
        CENTRES + "HQ,2,0101,Sales,,\n",
        "unknown: cost_centres.csv line 2: there is no connection of the name in connection; did you mean hq?",
    ),
    "another month's rule": ("cost_centres", CENTRES + "hq,2,9,Sales,,2026-09-30\nhq,2,9,Sales,2026-11-01,\n", None),
    "a connection without a charge": (
        "cost_centres",
        CENTRES + "vps,,,IT,,\n",
        f"unmatched: cost_centres.csv line 2: {NO_CHARGE}",
    ),
    "a centre written in two ways": (
        "cost_centres",
        CENTRES + "hq,2,0101,CC-1 North,,\nsip,,,cc 01 north,,\n",
        "unknown: cost_centres.csv line 3: this cost centre is written otherwise elsewhere; did you mean CC-1 North?",
    ),
    "a centre that is a department": (
        "cost_centres",
        CENTRES + "hq,2,0101,SALES,,\n",
        "unknown: cost_centres.csv line 2: this cost centre is written otherwise elsewhere; did you mean Sales?",
    ),
    "a budget's centre": (
        "budgets",
        BUDGETS + "2026-10,sales,,,5,GBP\n",
        "unknown: budgets.csv line 2: this cost centre is written otherwise elsewhere; did you mean Sales?",
    ),
    "a budget's slip": (
        "budgets",
        BUDGETS + "2026-09,Slaes,,,5,GBP\n2026-10,Slaes,,,5,GBP\n",
        "unknown: budgets.csv line 3: nothing else knows this cost centre; did you mean Sales?",
    ),
    "a budget for nothing": (
        "budgets",
        BUDGETS + "2026-10,Sales,sipcentric,,5,GBP\n2026-10,Sales,,call,5,GBP\n",
        f"unmatched: budgets.csv line 2: {NO_CHARGE}",
    ),
    "calls_of": (
        "allocation",
        ALLOCATION + "Phones,pbxware,hq,call,,minutes,hq2,,,,\n",
        "unknown: allocation.csv line 2: there is no connection of the name in calls_of; did you mean hq?",
    ),
    "an allocation's connection": (
        "allocation",
        ALLOCATION + "Phones,,Sip,,,minutes,,,,,\n",
        "unknown: allocation.csv line 2: there is no connection of the name in connection; did you mean sip?",
    ),
    "an allocation for nothing": (
        "allocation",
        ALLOCATION + "Servers,time4vps,,,,calls,,,,,\nPhones,pbxware,,,,calls,,,,,\n",
        f"unmatched: allocation.csv line 2: {NO_CHARGE}",
    ),
    "a vendor that nobody has": (
        "allocation",
        ALLOCATION + "T,tim4biz,,,,calls,,,,,\n",
        "unmatched: allocation.csv line 2: there is no connection of this vendor",
    ),
    "an item": (
        "allocation",
        ALLOCATION + "CRM,time4vps,,,0302,calls,,,,,\n",
        "unknown: allocation.csv line 2: there is no such service or bundle; did you mean 302?",
    ),
    "a share's centre": (
        "allocation",
        ALLOCATION + "A,,hq,,,shares,,Board,1,,\nA,,hq,,,shares,,sales,1,,\n",
        "unknown: allocation.csv line 3: this cost centre is written otherwise elsewhere; did you mean Sales?",
    ),
    "an account without a line": (
        "accounts",
        ACCOUNTS + "cost,,,7500,\ncost,time4vps,,7600,\n",
        "unmatched: accounts.csv line 3: the journal has no line that it is for",
    ),
    "a currency nobody charges": (
        "fx_rates",
        RATES + "2026-10-01,EUR,0.86\n2026-09-01,SEK,0.08\n2026-10-02,SEK,0.08\n2026-11-02,SEK,0.08\n",
        "unmatched: fx_rates.csv line 4: no charge and no budget of the month is in SEK",
    ),
    "a currency's slip": (
        "fx_rates",
        RATES + "2026-10-01,EUO,0.86\n",
        "unknown: fx_rates.csv line 2: no charge and no budget of the month is in EUO; did you mean EUR?",
    ),
    "an old rate": (
        "fx_rates",
        RATES + "2026-09-04,EUR,0.87\n2025-01-02,EUR,0.83\n",
        "old_rate: fx_rates.csv line 2: the rate of EUR is of 2026-09-04, and 46 days old on 2026-10-20",
    ),
    "a rate 45 days old": ("fx_rates", RATES + "2026-09-05,EUR,0.87\n", None),
    "a rate 21 months old": (
        "fx_rates",
        RATES + "2025-01-02,EUR,0.83\n2026-10-06,EUR,0.87\n",
        "old_rate: fx_rates.csv line 2: the rate of EUR is of 2025-01-02, and 641 days old on 2026-10-05",
    ),
}


@pytest.mark.parametrize(("name", "text", "said"), SAID.values(), ids=SAID)
def test_a_line_that_matches_nothing_is_said(tmp_path: Path, name: str, text: str, said: str | None) -> None:
    """From 2026-09-04 to 2026-10-20 there are 26 + 20 = 46 days; from 2025-01-02 to 2026-10-05 365 + 276 = 641."""
    found = noticed(tmp_path, **{name: text})
    assert found == ([] if said is None else [said])


def test_a_budget_is_converted_on_the_first_of_the_month(tmp_path: Path) -> None:
    """In SEK there is no charge; the rate of 2 August is 60 days old on 1 October."""
    files = {"budgets": BUDGETS + "2026-10,Sales,,,5,SEK\n", "fx_rates": RATES + "2026-08-02,SEK,0.08\n"}
    assert noticed(tmp_path, **files) == [
        "old_rate: fx_rates.csv line 2: the rate of SEK is of 2026-08-02, and 60 days old on 2026-10-01"
    ]


def test_of_a_month_without_a_charge_nothing_is_said(tmp_path: Path) -> None:
    assert noticed(tmp_path, month=date(2026, 9, 1), cost_centres=CENTRES + "HQ,2,9,Sales,,\n") == []


def test_before_any_load_connections_and_rates_are_looked_at(tmp_path: Path) -> None:
    files = {"cost_centres": CENTRES + "Sip,,,Sales,,\n", "fx_rates": RATES + "2026-08-02,EUR,0.86\n"}
    reference = read_reference(folder(tmp_path, **files), "GBP")
    (unknown,) = unknown_connections(reference, {"sip", "hq"})
    assert (unknown.line, unknown.suggestion) == (2, "sip")
    assert list(old_rates(reference, {"EUR": [date(2026, 9, 16)]})) == []
    assert [notice.line for notice in old_rates(reference, {"EUR": [date(2026, 9, 17)]})] == [2]


def test_the_database_holds_what_is_to_be_looked_at(tmp_path: Path) -> None:
    """Extension 0101 calls in March and April; cost_centres.csv has it as 101 until the end of March.

    A rebuild says the same as one update after another; a file that is put right is taken in by the next.
    """
    place = folder(tmp_path, cost_centres=CENTRES + "hq,2,101,Sales,,2026-03-31\n")
    database = warehouse(tmp_path / "data", reference_dir=place, connections={"hq": "pbxware"})
    called = {"extension": "0101", "cost": Decimal("0.10")}
    march = leg("a", "2026-03-02 09:00:00", 60, **called)
    april = leg("b", "2026-04-02 09:00:00", 60, **called)
    account = row("core.account", vendor="pbxware", connection="hq", account_id="2", name="Acme")
    lists = partition(tmp_path / "core", "lists", "hq", None, "pbxware", {"core.account": [account]})
    parts = [*cdr_days(tmp_path / "core", [march, april]), lists]
    loads = [load("1", date(2026, 4, 2), window_from=date(2026, 3, 1), started_at=at("2026-04-03 04:00:00"))]
    for part in parts:
        database.update([part], loads)
    expected = [(date(2026, 3, 1), "cost_centres.csv", 2, "unknown", "0101")]
    asked = "SELECT month, file, line, kind, suggestion FROM audit.reference_notice"
    assert query(database, asked) == expected
    before = database.digests()
    database.update(parts, loads, full=True)
    assert database.digests() == before
    database.publish()
    with open_public(database.public) as con:
        (notice,) = reference_notices(con, date(2026, 3, 15), date(2026, 4, 2))
        assert str(notice) == (
            "cost_centres.csv line 2: there is no such extension on this connection; did you mean 0101?"
        )
        assert reference_notices(con, date(2026, 4, 1), date(2026, 4, 2)) == ()
        assert set(read_facts(con, {"sip": "sipcentric"}).connections) == {"hq", "sip"}
    folder(tmp_path, cost_centres=CENTRES + "hq,2,0101,Sales,,\n")
    database.update([])
    assert query(database, asked) == []
