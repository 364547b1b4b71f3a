"""TIM4biz: totals by extension from a reply whose fields are not public, exact and never a zero that was not said."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.stand_in import LONDON, Literal, StandIn, Status, controls, rows, run, source, statuses

from assets import tim4biz
from assets.http.auth import BasicAuth
from assets.http.client import Client
from assets.http.secret import Secret
from assets.load import load, update_partition
from assets.stream import Outcome, Source, Window
from assets.tim4biz import DayRange
from assets.tim4biz.api import Tim4biz, listed, rate_wait
from pipelines.demo import Vendors
from pipelines.settings import DURATION_UNITS
from tollbook_errors import AuthError, ConfigError, ContractError
from warehouse.layout import bounds
from warehouse.money import written_amounts

DAY = date(2026, 10, 21)
CLOCKS_BACK, CLOCKS_FORWARD = date(2026, 10, 25), date(2026, 3, 29)
ROW = {
    "Extension": "101",
    "Name": "Front desk",
    "Calls": 5,
    "Incoming": 3,
    "Outgoing": 2,
    "Duration": 3723,
    "Cost": 1.25,
}
READ = {
    "extension": "101",
    "name": "Front desk",
    "calls": 5,
    "incoming": 3,
    "outgoing": 2,
    "duration_seconds": 3723,
    "cost": Decimal("1.25"),
}


def loaded(folder: Path, reply: Any, **overrides: Any) -> Source:
    """A day's totals out of a reply."""
    answering = reply if callable(reply) else lambda path, query: reply
    from_ = source(StandIn(answering), folder, "tim4biz", **{"currency": "EUR", **overrides})
    run(from_, tim4biz.TOTALS_STREAM, lambda window: tim4biz.fetch_totals(from_, window), [DAY])
    return from_


def read(from_: Source) -> list[dict[str, Any]]:
    """What was read, without where from."""
    return [{name: row[name] for name in READ} for row in rows(from_, "extension_total")]


@pytest.mark.parametrize(
    "reply",
    [
        [ROW],
        {"ExtensionTotals": [ROW]},
        {"Success": True, "Count": 1, "Data": [ROW]},
        {"d": {"results": [ROW], "more": None}},
        [{name.lower(): value for name, value in ROW.items()}],
        [{name.upper(): str(value) for name, value in ROW.items()}],
        [ROW | {"Duration": "01:02:03"}],
        [ROW | {"Duration": "1:02:03"}],
        [ROW | {"Duration": "0.01:02:03.0000000"}],
        [ROW | {"Duration": 3723.0, "Calls": 5.0, "Extension": 101}],
        [ROW | {"Department": "Sales", "Tags": ["a"], "Nested": {"Calls": 9}}],
        [
            {
                "extension_number": 101,
                "Extension Name": "Front desk",
                "total-calls": "5",
                "Calls In": "3",
                "calls_out": "2",
                "TotalDuration": "3723",
                "Total Cost": "1.25",
            }
        ],
    ],
)
def test_a_reply_is_understood_in_whatever_clothes_it_comes(tmp_path: Path, reply: Any) -> None:
    from_ = loaded(tmp_path, reply)
    assert read(from_) == [READ]
    assert [(row["total_date"], row["currency"], row["raw_row"]) for row in rows(from_, "extension_total")] == [
        (DAY, "EUR", 1)
    ]


def test_the_configuration_names_the_fields_before_any_guess(tmp_path: Path) -> None:
    reply = [ROW | {"Nebenstelle": "201", "Calls": 99, "Anzahl": 5}]
    from_ = loaded(tmp_path, reply, fields={"extension": "nebenstelle", "calls": "ANZAHL"})
    assert read(from_) == [READ | {"extension": "201"}]


@pytest.mark.parametrize("absent", ["Name", "Calls", "Incoming", "Outgoing", "Duration", "Cost"])
@pytest.mark.parametrize("how", ["left out", None, ""])
def test_what_is_not_said_is_null_and_never_zero(tmp_path: Path, absent: str, how: str | None) -> None:
    row = {name: value for name, value in ROW.items() if name != absent}
    ours = {"Duration": "duration_seconds"}.get(absent, absent.lower())
    (found,) = read(loaded(tmp_path, [row if how == "left out" else row | {absent: how}]))
    assert found in (READ | {ours: None}, READ | {ours: ""})
    assert absent == "Name" or found[ours] is None


@pytest.mark.parametrize(
    "reply",
    [{}, None, "none", 7, [1], [None], {"error": "x"}, {"a": [ROW], "b": [ROW]}, {"a": {}}, [[ROW]], {"a": [1]}],
)
def test_a_reply_without_a_list_is_never_a_day_without_calls(tmp_path: Path, reply: Any) -> None:
    with pytest.raises(ContractError, match="neither a list"):
        loaded(tmp_path, reply)
    assert rows(source(StandIn(lambda path, query: None), tmp_path, "tim4biz"), "extension_total") == []


@pytest.mark.parametrize("reply", [[], {"ExtensionTotals": []}])
def test_an_empty_list_is_a_day_without_calls(tmp_path: Path, reply: Any) -> None:
    assert read(loaded(tmp_path, reply)) == []


def test_a_reply_in_which_nothing_can_be_the_extension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="can be the extension") as caught:
        loaded(tmp_path, [{"Who": "Front desk", "Calls": 5}])
    assert "Front" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Extension", None),
        ("Extension", " "),
        ("Calls", -1),
        ("Calls", 1.5),
        ("Calls", True),
        ("Calls", "many"),
        ("Calls", 10**15),
        ("Duration", -1),
        ("Duration", "1:2"),
        ("Duration", [3]),
    ],
)
def test_a_row_that_cannot_be_understood_is_quarantined_and_the_rest_loads(
    tmp_path: Path, field: str, value: Any
) -> None:
    from_ = loaded(tmp_path, [ROW | {field: value}, ROW | {"Extension": "102", "Calls": 4, "Incoming": 2}])
    assert [row["extension"] for row in read(from_)] == ["102"]
    assert [(row["window_date"], row["page"], row["raw_row"]) for row in rows(from_, "quarantine")] == [(DAY, 1, 1)]


def test_an_extension_that_comes_twice_is_added_up_and_null_adds_nothing(tmp_path: Path) -> None:
    second = {"Extension": "101", "Calls": 1, "Incoming": None, "Outgoing": 1, "Duration": "00:00:07", "Cost": 0.05}
    third = ROW | {"Extension": "102", "Cost": None}
    found = {row["extension"]: row for row in read(loaded(tmp_path, [second, ROW, third, third]))}
    assert found["101"] == READ | {"calls": 6, "outgoing": 3, "duration_seconds": 3730, "cost": Decimal("1.3")}
    assert (found["102"]["calls"], found["102"]["cost"]) == (10, None)


@settings(max_examples=30)
@given(st.integers(0, 10**18 - 1), st.booleans())
def test_a_cost_arrives_digit_for_digit(units: int, as_text: bool) -> None:
    amount = Decimal(units).scaleb(-6)
    assert written_amounts([f"{amount:f}" if as_text else amount], "EUR") == [amount]


def test_a_cost_of_eighteen_digits_is_stored_exactly(tmp_path: Path) -> None:
    reply = Literal('{"x": [{"Extension": "1", "Cost": 123456789012.345678}, {"Extension": "2", "Cost": 1.5E-3}]}')
    assert [row["cost"] for row in read(loaded(tmp_path, reply))] == [Decimal("123456789012.345678"), Decimal("0.0015")]


# The costs of one reply as they are written, the connection's currency, and what they are by hand; None: not known.
WRITTEN = {
    "a sign before and behind": (["£1.25", "1.25 £", "GBP 0.5", "-£2"], "GBP", ["1.25", "1.25", "0.5", "-2"]),
    "a sign that several currencies have": (["$1.25", "US$2", "1,234.50 USD"], "USD", ["1.25", "2", "1234.5"]),
    "signs of other currencies": (["£1.25", "$1", "1.25 PLN", "€3.00"], "EUR", [None, None, None, "3"]),
    "commas that are decimal for certain": (
        ["1,25", "1.234,56", "0,125", "€ 12,5"],
        "EUR",
        ["1.25", "1234.56", "0.125", "12.5"],
    ),
    "the others show what 1,250 and 1.250 are": (["1,5", "1,250", "1.250"], "EUR", ["1.5", "1.25", "1250"]),
    "or that a comma is between thousands": (["0.5", "1,250", "1.250"], "EUR", ["0.5", "1250", "1.25"]),
    "nothing shows it": (["1,250", "1.250", "7"], "EUR", [None, "1.25", "7"]),
    "they contradict each other": (["1,5", "1.5", "1,250", "1.250"], "EUR", ["1.5", "1.5", None, None]),
    "several groups": (
        ["1.234.567", "1,234,567.89", "1 234,5", "12'345.60"],
        "CHF",
        ["1234567", "1234567.89", "1234.5", "12345.6"],
    ),
    "groups of no thousands": (["1,23,4", "12.34,5", "1,2345.6"], "EUR", [None, None, None]),
    "no amounts": (["free", "1.25 £ 3", "(1.25)", "--1", "1-2", True], "GBP", [None] * 6),
    "numbers": ([1, Decimal("1.250"), "1.5e-3", ""], "EUR", ["1", "1.25", "0.0015", None]),
}


@pytest.mark.parametrize(("written", "currency", "right"), WRITTEN.values(), ids=WRITTEN)
def test_a_cost_is_read_as_people_write_it_where_it_can_mean_one_thing(
    written: list[Any], currency: str, right: list[str | None]
) -> None:
    assert written_amounts(written, currency) == [None if each is None else Decimal(each) for each in right]


def test_a_cost_that_cannot_be_read_takes_nothing_else_with_it(tmp_path: Path) -> None:
    """Calls and seconds stay, the total row is still none, a part that is not known makes the sum unknown."""
    reply = [
        ROW | {"Cost": "€1,25"},
        ROW | {"Extension": "102", "Cost": "£9.99"},
        ROW | {"Extension": "102", "Cost": "2,50"},
        {"Extension": "Total", "Calls": 15, "Incoming": 9, "Outgoing": 6, "Duration": 11_169, "Cost": "€13,74"},
    ]
    from_ = source(StandIn(lambda path, query: reply), tmp_path, "tim4biz", currency="EUR")
    outcome = run(from_, tim4biz.TOTALS_STREAM, lambda window: tim4biz.fetch_totals(from_, window), [DAY])
    assert read(from_) == [
        READ,
        READ | {"extension": "102", "calls": 10, "incoming": 6, "outgoing": 4, "duration_seconds": 7446, "cost": None},
    ]
    assert rows(from_, "quarantine") == []
    left_out, unrated = outcome.warnings
    assert left_out.startswith("1 rows that add up others")
    assert unrated.startswith("the costs of 1 extensions cannot be read and are empty (unrated)")


def test_a_cost_that_cannot_be_read_proves_nothing(tmp_path: Path) -> None:
    def response(path: str, query: dict[str, str]) -> Any:
        rows = spread()(path, query)
        return [row | {"Cost": "£1"} for row in rows] if query["from"].startswith(str(DAYS[1])) else rows

    from_, _ = reading(tmp_path, response)
    assert [status for _, _, status in controls(from_, "stretch_cost").values()] == ["unavailable"]
    assert [status for _, _, status in controls(from_, "stretch_calls").values()] == ["matched"]


def test_a_missing_currency_is_a_warning(tmp_path: Path) -> None:
    from_ = source(StandIn(lambda path, query: [ROW]), tmp_path, "tim4biz")
    outcome = run(from_, tim4biz.TOTALS_STREAM, lambda window: tim4biz.fetch_totals(from_, window), [DAY])
    assert outcome.warnings == ["no currency is known; set currency for this connection"]
    assert rows(from_, "extension_total")[0]["currency"] == "XXX"


def test_figures_that_no_field_is_read_as_are_said_with_the_fields_there_are(tmp_path: Path) -> None:
    reply = [{"Extension": "201", "Calls": 3, "In": 1, "Out": 2, "Cost (GBP)": "1.25", "07700900123": 4}]
    from_ = source(StandIn(lambda path, query: reply), tmp_path, "tim4biz", currency="GBP")
    outcome = run(from_, tim4biz.TOTALS_STREAM, lambda window: tim4biz.fetch_totals(from_, window), [DAY])
    assert outcome.warnings == [
        "no extension has incoming, outgoing, duration_seconds, cost; fields that were not read: Cost (GBP), In, Out "
        "(name them in fields)"
    ]
    assert rows(from_, "extension_total")[0]["cost"] is None


# --- rows of totals ---


def totalled(extension: Any, calls: int, duration: Any, cost: float, **more: Any) -> dict[str, Any]:
    return {"Extension": extension, "Calls": calls, "Duration": duration, "Cost": cost, **more}


ANN, BOB, CY = totalled("101", 10, 600, 1.5), totalled("102", 5, 300, 0.5), totalled("103", 2, 60, 0.25)
TOTAL = 15, 900, 2.0
ALL = 17, 960, 2.25


@pytest.mark.parametrize(
    ("reply", "extensions"),
    [
        *([[ANN, BOB, totalled(word, *TOTAL)], "101 102"] for word in ("Total", "TOTALS:", "Grand total", "Sum")),
        *([[ANN, BOB, totalled(word, *TOTAL)], "101 102"] for word in ("Gesamt", "Итого", "Alle", "", None, " ")),
        ([totalled(None, *TOTAL, Name="Total"), ANN, BOB], "101 102"),
        ([totalled("0", *TOTAL, Name="Grand Total"), ANN, BOB], "101 102"),
        # Of one extension the cell tells: a word that is none for totals is an extension.
        ([ANN, ANN | {"Extension": None}], "101"),
        ([ANN, ANN | {"Extension": "Total"}], "101"),
        ([ANN, ANN | {"Extension": "Reception"}], "101 Reception"),
        # An extension may have a name, and another number the same figures as two others: a group's calls.
        ([ANN, BOB | {"Extension": "Reception"}, totalled("Total", *TOTAL)], "101 Reception"),
        ([totalled("Sales", 10, 600, 1.5), totalled("Lobby", 5, 300, 0.5), totalled("All", *TOTAL)], "Lobby Sales"),
        ([ANN, BOB, totalled("600", *TOTAL)], "101 102 600"),
        # Totals of groups: after them, before them, of one only, within each other, and all in the end.
        ([ANN, BOB, totalled("Sales", *TOTAL), CY, totalled("Support", 2, 60, 0.25), totalled("Total", *ALL)], "3"),
        ([totalled("Sales", *TOTAL), ANN, BOB, totalled(None, 2, 60, 0.25), CY, totalled(None, *ALL)], "3"),
        (
            [ANN, totalled("A Total", 10, 600, 1.5), BOB, CY, totalled("B Total", 7, 360, 0.75), totalled("N", *ALL)],
            "3",
        ),
        ([ANN, CY, BOB, totalled("Sales", *TOTAL), totalled("Support", 2, 60, 0.25), totalled("Total", *ALL)], "3"),
        ([totalled("Total", 0, 0, 0)], ""),
        ([totalled("Sales", 0, 0, 0), totalled("Lobby", 0, 0, 0)], "Lobby Sales"),
        # Few calls are often as many as some others.
        ([totalled("101", 1, 0, 0), totalled("102", 2, 0, 0), totalled("Lobby", 3, 0, 0)], "101 102 Lobby"),
        ([totalled("Total", *TOTAL), ANN, BOB, totalled("Total", *TOTAL)], "101 102"),
        # Minutes and amounts that are rounded one by one add up but for that: 1.24 + 1.24 are 2.48, and were 2.49.
        ([totalled("101", 1, 1.24, 1.24), totalled("102", 2, 1.24, 1.24), totalled("", 3, 2.49, 2.49)], "101 102"),
        # Clocks have hours where they need them: 45:10 and 30:00 are 1:15:10.
        ([totalled("1", 2, "45:10", 1), totalled("2", 3, "30:00", 1), totalled("Total", 5, "1:15:10", 2)], "1 2"),
    ],
)
def test_a_row_that_adds_up_others_is_no_extension(tmp_path: Path, reply: Any, extensions: str) -> None:
    """F09. By its figures, and said: 10 + 5 calls are 15 and never 30."""
    from_ = source(StandIn(lambda path, query: reply), tmp_path, "tim4biz", currency="EUR")
    outcome = run(from_, tim4biz.TOTALS_STREAM, lambda window: tim4biz.fetch_totals(from_, window), [DAY])
    expected = "101 102 103" if extensions == "3" else extensions
    assert " ".join(sorted(row["extension"] for row in rows(from_, "extension_total"))) == expected
    assert rows(from_, "quarantine") == []
    left_out = len(reply) - len(expected.split())
    said = [warning for warning in outcome.warnings if "no extensions" in warning]
    assert said == [f"{left_out} rows that add up others (totals) are no extensions and were left out"][: left_out > 0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (totalled(None, 3, 90, 0.2), "there is no extension"),
        (totalled("", 15, 900, 2.4), "there is no extension"),
        (totalled(None, 15, 901, 2.0), "there is no extension"),
        (totalled("Total", 16, 900, 2.0), "a row of totals that is not the sum of other rows"),
    ],
)
@pytest.mark.parametrize("with_total", [True, False])
def test_a_row_without_extension_that_adds_up_no_others_does_not_vanish(
    tmp_path: Path, row: dict[str, Any], reason: str, with_total: bool
) -> None:
    """F09. It is set aside; also beside the row of totals that it is part of."""
    sums = [a + b for a, b in zip(TOTAL, (row["Calls"], row["Duration"], row["Cost"]), strict=True)]
    total = [totalled("Total", int(sums[0]), sums[1], round(sums[2], 2))]
    from_ = loaded(tmp_path, [ANN, row, BOB] + (total if with_total else []))
    assert [found["extension"] for found in read(from_)] == ["101", "102"]
    assert [(found["reason"], found["raw_row"]) for found in rows(from_, "quarantine")] == [(reason, 2)]


# --- durations ---


def duration(folder: Path, value: Any, name: str = "Duration", **fields: str) -> Any:
    (row,) = rows(loaded(folder, [{"Extension": "101", name: value}], fields=fields), "extension_total")
    return row["duration_seconds"] if row["duration_figure"] is None else ("figure", row["duration_figure"])


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0:10:30", 630),
        ("00:00:15", 15),
        ("26:10:00", 94_200),  # 26 × 3600 + 10 × 60
        ("1.02:10:00", 94_200),
        ("0:00:10.5", 11),
        ("1h 2m 3s", 3723),
        ("1 hour 2 minutes", 3720),
        ("10.5 min", 630),
        ("0,25 hours", 900),
        ("630s", 630),
        ("PT10M30S", 630),
        ("P1DT1H", 90_000),
        ("1:75:00", "set aside"),
        ("12:75", "set aside"),
        ("1,234", "set aside"),  # 1234 or 1.234
        ("-0:10:00", "set aside"),
        ("ten", "set aside"),
    ],
)
def test_a_duration_that_says_its_unit_is_read_and_another_set_aside(tmp_path: Path, value: str, seconds: Any) -> None:
    """F09. Never cut off: half seconds are rounded up."""
    from_ = loaded(tmp_path, [{"Extension": "101", "Duration": value}])
    found = [(row["duration_seconds"], row["duration_figure"]) for row in rows(from_, "extension_total")]
    assert found == ([] if seconds == "set aside" else [(seconds, None)])
    assert len(rows(from_, "quarantine")) == (seconds == "set aside")


@pytest.mark.parametrize(
    ("unit", "value", "seconds"),
    [
        ("seconds", 10.5, 11),
        ("seconds", "0.25", 0),
        ("minutes", 10.5, 630),
        ("minutes", "0.25", 15),
        ("minutes", "10,5", 630),
        ("minutes", "1.234,5", 74_070),
        ("minutes", 10, 600),
        ("minutes", "12:30", 750),
        ("minutes", "1:00:00", 3600),
        ("hours", 0.25, 900),
        ("hours", "1:30", 5400),
        ("mm:ss", "90:10", 5410),
        ("h:mm", "1:30", 5400),
        ("hh:mm", "01:30", 5400),
        ("h:mm:ss", "12:30", 750),
        ("hh:mm:ss", "12:30", 750),
        ("mm:ss", 10.5, ("figure", Decimal("10.5"))),
    ],
)
def test_the_unit_of_durations_is_the_configured_one(tmp_path: Path, unit: str, value: Any, seconds: Any) -> None:
    """F09. A number is no clock: where only the form of clocks is configured, its unit is not known."""
    assert unit in DURATION_UNITS
    assert duration(tmp_path / "plain", value, duration_unit=unit) == seconds
    assert duration(tmp_path / "named", value, "Seconds", duration_unit=unit) == seconds, "it goes before the name"


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        ("DurationMinutes", 10.5, 630),
        ("Duration (min)", "10.5", 630),
        ("Duration (m)", 10, 600),
        ("TotalMinutes", 10, 600),
        ("minutes", 10, 600),
        ("Seconds", 10.5, 11),
        ("duration_secs", "630", 630),
        ("Duration (s)", 630.4, 630),
        ("Duration [h]", 0.25, 900),
        ("Hours", 0.5, 1800),
        ("Duration (sec)", 10.5, 11),
        ("Total talk time (hours)", 0.25, 900),
        ("Duration (hh:mm)", "1:30", 5400),
        ("Duration (mm:ss)", "1:30", 90),
        ("Duration", 630, ("figure", 630)),
        ("Talk time", 10.5, ("figure", Decimal("10.5"))),
    ],
)
def test_the_name_of_the_field_says_the_unit(tmp_path: Path, name: str, value: Any, seconds: Any) -> None:
    """F09."""
    assert duration(tmp_path / "guessed", value, name) == seconds
    assert duration(tmp_path / "configured", value, name, duration_seconds=name) == seconds


def test_a_number_without_a_unit_is_seconds_only_where_all_are_whole(tmp_path: Path) -> None:
    """F09. 12 beside 10.5 is no 12 seconds. What may be minutes or hours is said, with the key to set."""
    whole = loaded(tmp_path / "whole", [ANN, BOB])
    assert [(row["duration_seconds"], row["duration_figure"]) for row in rows(whole, "extension_total")] == [
        (600, 600), (300, 300),
    ]  # fmt: skip
    reply = [ANN | {"Duration": 10.5}, BOB | {"Duration": 12}, CY | {"Duration": "0.25"}, ANN | {"Duration": 0.1}]
    reply += [{"Extension": "104", "Duration": "12:30"}, {"Extension": "105", "Duration": 0}]
    from_ = source(StandIn(lambda path, query: reply), tmp_path, "tim4biz", currency="EUR")
    outcome = run(from_, tim4biz.TOTALS_STREAM, lambda window: tim4biz.fetch_totals(from_, window), [DAY])
    assert [(row["duration_seconds"], row["duration_figure"]) for row in rows(from_, "extension_total")] == [
        (None, Decimal("10.6")), (None, 12), (None, Decimal("0.25")), (750, None), (0, 0),
    ]  # fmt: skip
    assert [warning for warning in outcome.warnings if "duration" in warning] == [
        "1 durations such as 12:30 are read as minutes and seconds unless the PBX's calls tell another unit; set it: "
        'fields = { duration_unit = "mm:ss" } or "h:mm"',
        "the durations of 2 extensions are numbers with a fraction and without a unit: duration_seconds is empty where "
        'the PBX\'s calls do not tell it; set it, as in fields = { duration_unit = "minutes" }',
    ]


def test_a_clock_of_two_parts_is_minutes_and_seconds_for_all_that_is_known(tmp_path: Path) -> None:
    """F09. Beside a clock of three it is; by itself the calls may tell that it is hours and minutes."""
    assert duration(tmp_path / "alone", "12:30") == ("figure", 750)
    for beside, is_known in (("1:00:00", True), ("5 min", True), (10.5, False)):
        reply = [ANN | {"Duration": "12:30"}, BOB | {"Duration": beside}]
        from_ = source(StandIn(lambda path, query, reply=reply: reply), tmp_path / str(beside), "tim4biz")
        stream = tim4biz.TOTALS_STREAM
        outcome = run(from_, stream, lambda window, from_=from_: tim4biz.fetch_totals(from_, window), [DAY])
        row = rows(from_, "extension_total")[0]
        assert (row["duration_seconds"], row["duration_figure"]) == (750, None)
        assert any("12:30" in warning for warning in outcome.warnings) != is_known


# --- periods ---


class Ledger:
    """A vendor that knows the moments of calls by naive local time, and takes no longer periods than ``most``."""

    def __init__(self, most: timedelta, total: Any = False) -> None:
        """``total``: the extension of a row of totals, with which there is a second extension, too."""
        self.most, self.total = most, total
        self.moments = [datetime(2026, 1, 1) + timedelta(minutes=17 * n) for n in range(31 * 1440)]
        self.stand_in = StandIn(self.response)

    def response(self, path: str, query: dict[str, str]) -> Any:
        assert path == "ExtensionTotal"
        start, end = datetime.fromisoformat(query["from"]), datetime.fromisoformat(query["to"])
        if not start < end or end - start > self.most:
            return Status(400, {"Message": "The period is too long."})
        moments = [moment.minute for moment in self.moments if start <= moment < end]
        found = len(moments), sum(minute % 3 == 0 for minute in moments)
        row = [{"Extension": "101", "Calls": found[0], "Cost": found[0] / 4}] if found[0] else []
        other = [{"Extension": "102", "Calls": found[1], "Cost": found[1] / 4}] if found[1] else []
        total = {"Extension": self.total, "Calls": sum(found), "Cost": sum(found) / 4}
        return [*row, *other, total] if self.total is not False else row


@pytest.mark.parametrize("hours", [1, 2, 5, 12, 23, 24, 25])
@pytest.mark.parametrize("day", [DAY, CLOCKS_BACK, CLOCKS_FORWARD])
@pytest.mark.parametrize("zone", ["Europe/London", "Asia/Kolkata", "America/New_York"])
def test_a_period_that_is_too_long_is_cut_and_the_parts_add_up(
    tmp_path: Path, day: date, hours: int, zone: str
) -> None:
    """Also when the vendor's zone is another than that of our business days, and over both clock changes."""
    ledger = Ledger(timedelta(hours=hours))
    from_ = source(ledger.stand_in, tmp_path, "tim4biz", currency="EUR", account_zone=ZoneInfo(zone))
    run(from_, tim4biz.TOTALS_STREAM, lambda window: tim4biz.fetch_totals(from_, window), [day])
    start, end = (edge.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for edge in bounds(day, LONDON))
    expected = sum(start <= moment < end for moment in ledger.moments)
    assert [(row["calls"], row["cost"]) for row in rows(from_, "extension_total")] == [
        (expected, Decimal(expected) / 4)
    ]
    assert len(ledger.stand_in.asked) < 80


@pytest.mark.parametrize("total", ["Total", None])
def test_rows_of_totals_are_left_out_of_every_part_of_a_day_and_of_a_range(tmp_path: Path, total: Any) -> None:
    """F09. In hours with one extension, with two, and with none."""
    ledger = Ledger(timedelta(hours=1), total)
    from_ = source(ledger.stand_in, tmp_path, "tim4biz", currency="EUR")
    run(from_, tim4biz.TOTALS_STREAM, lambda window: tim4biz.fetch_totals(from_, window), [DAY])
    moments = [moment.minute for moment in ledger.moments if moment.date() == DAY]
    found = {row["extension"]: (row["calls"], row["cost"]) for row in rows(from_, "extension_total")}
    others = sum(minute % 3 == 0 for minute in moments)
    assert found == {"101": (len(moments), Decimal(len(moments)) / 4), "102": (others, Decimal(others) / 4)}
    assert rows(from_, "quarantine") == []

    days, outcome = reading(tmp_path / "range", Ledger(timedelta(days=9), total).response)
    assert not outcome.failures
    expected = {"stretch_calls": {"matched"}, "stretch_cost": {"matched"}, "stretch_seconds": {"unavailable"}}
    assert statuses(days) == expected


# --- days that must add up to what is said of all of them ---

DAYS = [DAY + timedelta(days=n) for n in range(4)]


def reading(folder: Path, response: Any, days: list[date] = DAYS, **overrides: Any) -> tuple[Source, Outcome]:
    """A load of several days as the asset does it: the first of them last, and with it the whole range."""
    from_ = source(StandIn(response), folder, "tim4biz", **{"currency": "EUR", **overrides})
    parts = tim4biz.in_day_ranges([Window(day, day) for day in days])
    ranges = [found for part in parts if (found := DayRange.of(part, from_))]
    wanted = [window for part in parts for window in part]
    return from_, load(from_, tim4biz.TOTALS_STREAM, wanted, lambda window: tim4biz.fetch_totals(from_, window, ranges))


def spread(cost: str = "1.25", **changes: Any) -> Any:
    """A vendor with two extensions, the second of which has no figures on the first day; ``changes`` of a range."""

    def response(path: str, query: dict[str, str]) -> Any:
        length = datetime.fromisoformat(query["to"]) - datetime.fromisoformat(query["from"])
        first = query["from"].startswith(str(DAYS[0]))
        many = length.days if length.days > 1 else 1
        row = {"Extension": "101", "Calls": 5 * many, "Duration": 60 * many, "Cost": Decimal(cost) * many}
        other = {"Extension": "102", "Calls": many - first, "Duration": 0, "Cost": None}
        return [row | (changes if length.days > 1 else {}), other]

    return response


def test_the_days_of_a_load_are_proved_by_one_request_for_all_of_them(tmp_path: Path) -> None:
    from_, outcome = reading(tmp_path, spread())
    assert not outcome.failures
    subject = f"{DAYS[0]}..{DAYS[-1]}"
    assert controls(from_, "stretch_calls") == {(None, subject): (23, 23, "matched")}
    assert controls(from_, "stretch_seconds") == {(None, subject): (240, 240, "matched")}
    assert controls(from_, "stretch_cost") == {(None, subject): (Decimal(5), Decimal(5), "matched")}
    assert {row["window_date"] for row in rows(from_, "control_total")} == {DAYS[0]}, "the day that is read last"
    assert from_.client().requests_made == len(DAYS) + 1
    assert len(rows(from_, "extension_total")) == 2 * len(DAYS), "the range itself is no record"


def test_a_range_that_is_off_is_a_variance_and_one_without_a_figure_is_unavailable(tmp_path: Path) -> None:
    from_, _ = reading(tmp_path, spread(Calls=21, Cost=None))
    assert [status for _, _, status in controls(from_, "stretch_calls").values()] == ["variance"]
    assert [status for _, _, status in controls(from_, "stretch_seconds").values()] == ["matched"]
    assert [status for _, _, status in controls(from_, "stretch_cost").values()] == ["unavailable"]


@pytest.mark.parametrize("unit", ["minutes", None])
@pytest.mark.parametrize(("whole", "status"), [(4.97, "matched"), (5.5, "variance")])
def test_rounded_durations_add_up_but_for_their_rounding(
    tmp_path: Path, unit: str | None, whole: float, status: str
) -> None:
    """F09. Four days of 1.24 minutes are 4.96, and may have been 4.97: each figure may be off in its last place."""

    def response(path: str, query: dict[str, str]) -> Any:
        length = datetime.fromisoformat(query["to"]) - datetime.fromisoformat(query["from"])
        return [ROW | {"Duration": whole if length.days > 1 else 1.24}]

    from_, _ = reading(tmp_path, response, fields={"duration_unit": unit} if unit else {})
    assert [status for _, _, status in controls(from_, "stretch_seconds").values()] == [status]


def test_a_long_load_is_proved_in_several_ranges(tmp_path: Path) -> None:
    days = [date(2026, 9, 1) + timedelta(days=n) for n in range(31)]
    from_, outcome = reading(tmp_path, spread(), days)
    assert [str(landing.window_from) for landing in outcome.landings][26:] == [
        "2026-09-28", "2026-09-01", "2026-09-30", "2026-10-01", "2026-09-29",
    ]  # fmt: skip
    assert {subject for _, subject in controls(from_, "stretch_cost")} == {
        "2026-09-01..2026-09-28", "2026-09-29..2026-10-01",
    }  # fmt: skip
    assert from_.client().requests_made == len(days) + 2


def test_a_range_that_cannot_be_understood_proves_nothing(tmp_path: Path) -> None:
    """Nothing of it that is read is no sum of 0: it would agree with days of which nothing was read either."""
    from_, outcome = reading(tmp_path, lambda path, query: [ROW | {"Calls": "many"}])
    assert outcome.quarantined == len(DAYS)
    assert statuses(from_) == dict.fromkeys(tim4biz.CONTROLS, {"unavailable"})


@pytest.mark.parametrize("refusal", [Status(400), Status(404), {"nothing": 1}])
def test_a_range_that_is_refused_is_unavailable_and_asked_for_once(tmp_path: Path, refusal: Any) -> None:
    def response(path: str, query: dict[str, str]) -> Any:
        long = datetime.fromisoformat(query["to"]) - datetime.fromisoformat(query["from"]) > timedelta(hours=25)
        return refusal if long else [ROW]

    from_, outcome = reading(tmp_path, response)
    assert not outcome.failures
    assert statuses(from_) == dict.fromkeys(tim4biz.CONTROLS, {"unavailable"})
    assert from_.client().requests_made == len(DAYS) + 1


def test_no_range_is_asked_for_unless_all_its_days_were_read(tmp_path: Path) -> None:
    """Neither of one day, nor when a day failed; a day that is not over is no part of it."""
    single, _ = reading(tmp_path / "one", spread(), DAYS[:1])
    assert rows(single, "control_total") == []

    gap, _ = reading(tmp_path / "gap", spread(), [*DAYS[:2], DAYS[3]])
    assert rows(gap, "control_total") == []

    sound = spread()
    failing, outcome = reading(
        tmp_path / "failed",
        lambda path, query: Status(404) if query["from"].startswith(str(DAYS[2])) else sound(path, query),
    )
    assert len(outcome.failures) == 1
    assert rows(failing, "control_total") == []

    now = datetime.now(LONDON).date()
    assert DayRange.of([Window(now - timedelta(days=n), now - timedelta(days=n)) for n in range(2)], single) is None


def test_a_range_is_compared_with_what_its_own_load_read(tmp_path: Path) -> None:
    """However often, whatever came since, and also from raw alone."""
    from_, _ = reading(tmp_path, spread())
    before = controls(from_, "stretch_cost")
    reading(tmp_path, spread("2.50"), DAYS[1:])  # the night after: another figure, and the first day is not read again
    assert controls(from_, "stretch_cost")[None, f"{DAYS[0]}..{DAYS[-1]}"] == before[None, f"{DAYS[0]}..{DAYS[-1]}"]
    everything = controls(from_, "stretch_cost")
    assert len(everything) == 2
    from_.lake.core.clear([from_.name])
    for day in DAYS:
        update_partition(from_, tim4biz.TOTALS_STREAM, day)
    assert controls(from_, "stretch_cost") == everything


def test_a_day_is_asked_for_from_midnight_to_midnight_in_the_accounts_zone(tmp_path: Path) -> None:
    stand_in = StandIn(lambda path, query: [])
    for day, zone in ((DAY, LONDON), (CLOCKS_BACK, LONDON), (DAY, ZoneInfo("Europe/Vilnius"))):
        start, end = bounds(day, LONDON)
        list(Tim4biz(stand_in.client, zone).totals(start, end, window=""))
    assert [query for _, query in stand_in.asked] == [
        {"from": "2026-10-21T00:00:00", "to": "2026-10-22T00:00:00"},
        {"from": "2026-10-25T00:00:00", "to": "2026-10-26T00:00:00"},
        {"from": "2026-10-21T02:00:00", "to": "2026-10-22T02:00:00"},
    ]


def test_a_400_that_is_not_about_the_length_ends_soon(tmp_path: Path) -> None:
    stand_in = StandIn(lambda path, query: Status(400))
    start, end = bounds(DAY, LONDON)
    with pytest.raises(ContractError, match="400"):
        list(Tim4biz(stand_in.client, LONDON).totals(start, end, window=""))
    assert len(stand_in.asked) < 10


@pytest.mark.parametrize(("status", "error"), [(401, AuthError), (403, AuthError), (404, ContractError)])
def test_a_refusal_is_not_cut_into_parts(status: int, error: type[Exception]) -> None:
    stand_in = StandIn(lambda path, query: Status(status))
    start, end = bounds(DAY, LONDON)
    with pytest.raises(error):
        list(Tim4biz(stand_in.client, LONDON).totals(start, end, window=""))
    assert len(stand_in.asked) == 1


def test_the_probe_asks_once_for_one_hour() -> None:
    stand_in = StandIn(lambda path, query: [])
    Tim4biz(stand_in.client, LONDON).probe()
    ((_, query),) = stand_in.asked
    assert datetime.fromisoformat(query["to"]) - datetime.fromisoformat(query["from"]) == timedelta(hours=1)


def test_the_list_in_a_reply() -> None:
    assert listed({"a": {"b": {"c": []}}}) == []
    assert listed({"a": [ROW], "b": {"c": [ROW]}}) == [ROW]
    assert listed({"a": {"b": [ROW]}, "c": {"d": [ROW]}}) is None


# --- limits ---


def headers(limit: int | None, left: int | None, day: int | None = None, day_left: int | None = None) -> dict[str, str]:
    names = ("Limit", "Remaining", "Limit-24-Hours", "Remaining-24-Hours")
    values = zip(names, (limit, left, day, day_left), strict=True)
    return {f"TIM4biz-Rate-Limit-{name}": str(value) for name, value in values if value is not None}


def test_limit_headers() -> None:
    assert rate_wait({}, 429) is None
    assert rate_wait({"TIM4biz-Rate-Limit-Limit": "x"}, 200) is None
    for none in (headers(0, 0), headers(600, 5, 0, 0), headers(600, 5, 0)):
        zero = rate_wait(none, 429)
        assert zero is not None
        assert zero.limit == 0
    hour = rate_wait(headers(600, 0, 5000, 10), 429)
    assert hour is not None
    assert (hour.limit, hour.remaining, hour.seconds) == (600, 0, 3600.0)
    day = rate_wait(headers(600, 5, 5000, 0), 429)
    assert day is not None
    assert (day.remaining, day.seconds) == (0, 86_400.0)


def test_an_account_without_access_is_a_configuration_error(tmp_path: Path) -> None:
    with Vendors(first=DAY, last=DAY, options={"tim_limit": 0}) as vendors, pytest.raises(ConfigError):
        load_served(vendors, tmp_path, [DAY])


# --- the bundled vendors ---


def load_served(vendors: Vendors, folder: Path, days: list[date]) -> Source:
    login = BasicAuth(Secret(vendors.secrets["TIM4BIZ_USERNAME"]), Secret(vendors.secrets["TIM4BIZ_PASSWORD"]))
    client = Client(connection="site", base_url=vendors.urls["tim4biz"], auth=login)
    nobody = StandIn(lambda path, query: None)
    from_ = source(nobody, folder, "tim4biz", currency="EUR", client=lambda: client)
    run(from_, tim4biz.TOTALS_STREAM, lambda window: tim4biz.fetch_totals(from_, window), days)
    return from_


@pytest.mark.parametrize("options", [{}, {"tim_duration": "clock", "tim_wrapped": True, "tim_limit_24_hours": None}])
def test_the_bundled_vendor_loads_exactly(tmp_path: Path, options: dict[str, Any]) -> None:
    first, last = date(2026, 10, 24), date(2026, 10, 26)
    days = [first + timedelta(days=n) for n in range(3)]
    with Vendors(first=first, last=last, scale=0.3, options=options) as vendors:
        from_ = load_served(vendors, tmp_path, days)
        by_day: dict[date, set[tuple[Any, ...]]] = defaultdict(set)
        for row in rows(from_, "extension_total"):
            by_day[row["total_date"]].add(tuple(row[name] for name in READ))
        for day in days:
            truth = vendors.truth.extension_totals(day, day)
            assert by_day[day] == {tuple(getattr(total, name) for name in READ) for total in truth}
    assert all(row["fetched_at"] > datetime(2020, 1, 1, tzinfo=UTC) for row in rows(from_, "extension_total"))
