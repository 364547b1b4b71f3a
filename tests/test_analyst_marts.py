"""The marts that analysts ask: busy hour, unanswered calls, destinations, top calls, signals of fraud."""

import re
from datetime import date, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

import pytest
from support.core_rows import Row, cdr_days, leg, partition, query, row, warehouse
from support.fraud_year import Measured, Year

from warehouse.database import Database
from warehouse.fraud import FraudRules
from warehouse.update import Partition, scopes
from warehouse.update.scopes import Days

pytestmark = pytest.mark.slow  # whole databases

ROOT = Path(__file__).parent.parent
MONDAY = "2026-03-02"


def built(tmp_path: Path, legs: list[Row], *others: Partition, **settings: Any) -> Database:
    database = warehouse(tmp_path / "data", **settings)
    database.update([*cdr_days(tmp_path / "core", legs), *others])
    return database


def talked(name: str, started: str, seconds: int, **values: Any) -> list[Row]:
    """Calls of at most an hour each, all begun at once, that make up so many seconds."""
    whole, rest = divmod(seconds, 3600)
    lengths = [3600] * whole + [rest] * (rest > 0)
    return [leg(f"{name}-{n}", started, length, **values) for n, length in enumerate(lengths)]


# --- busy hour --------------------------------------------------------------------------------------------------------

# Erlangs that so many lines carry at a blocking of 1, 2 and 5 %, as Erlang B tables print them.
PUBLISHED = {
    1: ("0.0101", "0.0204", "0.0526"),
    2: ("0.153", "0.223", "0.381"),
    5: ("1.36", "1.66", "2.22"),
    10: ("4.46", "5.08", "6.22"),
    20: ("12.03", "13.18", "15.25"),
    30: ("20.34", "21.93", "24.80"),
    50: ("37.90", "40.26", "44.53"),
    100: ("84.06", "87.97", "95.24"),
}


def test_lines_are_those_of_the_published_erlang_b_tables(tmp_path: Path) -> None:
    """A little less than the printed traffic takes those lines, a little more takes one more."""
    legs: list[Row] = []
    expected = {}
    for lines, erlangs in PUBLISHED.items():
        for column, printed in enumerate(erlangs):
            for percent, needed in ((99, lines), (101, lines + 1)):
                account = f"{lines} {column} {percent}"
                rounding = ROUND_FLOOR if needed == lines else ROUND_CEILING
                seconds = int((Decimal(printed) * 36 * percent).to_integral_value(rounding))
                legs += talked(account, f"{MONDAY} 09:00:00", seconds, account_id=account)
                expected[account] = needed
    found = query(
        built(tmp_path, legs),
        "SELECT account_id, [lines_1_percent, lines_2_percent, lines_5_percent] FROM mart.busy_hour "
        "WHERE scope = 'account' AND definition = 'TCBH'",
    )
    assert {account: lines[int(account.split()[1])] for account, lines in found} == expected


def test_both_busy_hours_by_hand(tmp_path: Path) -> None:
    """Two working days of 2 h at nine and 1 h at ten, or the other way round with 3 h; the rest must not count."""
    database = built(
        tmp_path,
        [
            *talked("a", "2026-03-02 09:00:00", 7200),
            *talked("b", "2026-03-02 10:00:00", 3600, direction="inbound"),
            *talked("c", "2026-03-03 09:00:00", 3600),
            *talked("d", "2026-03-03 10:00:00", 10800),
            *talked("e", "2026-03-03 10:00:00", 36000, direction="internal"),
            *talked("f", "2026-03-03 10:00:00", 36000, direction="unknown"),
            *talked("g", "2026-03-07 10:00:00", 36000),  # a Saturday
            *talked("h", "2026-03-03 09:00:00", 7200, account_id="7"),
            leg("i", "2026-03-04 10:00:00", 0),  # a day on which nobody talked
        ],
        timezone="Asia/Kolkata",  # the full hours begin at half past
    )
    assert query(
        database,
        "SELECT scope, account_id, definition, starts_at, days, erlangs, lines_1_percent FROM mart.busy_hour "
        "ORDER BY ALL",
    ) == [
        ("account", "2", "ADPFH", None, 2, Decimal("2.5"), 7),
        ("account", "2", "TCBH", "15:30", 2, Decimal(2), 7),
        ("account", "7", "ADPFH", None, 1, Decimal(2), 7),
        ("account", "7", "TCBH", "14:30", 1, Decimal(2), 7),
        ("connection", None, "ADPFH", None, 2, Decimal("2.5"), 7),
        ("connection", None, "TCBH", "14:30", 2, Decimal("2.5"), 7),
    ]


# --- unanswered -------------------------------------------------------------------------------------------------------


def test_unanswered_by_hour_and_who_was_called_back(tmp_path: Path) -> None:
    caller: Row = {"remote_e164": "+442079460123", "direction": "inbound"}
    back: Row = {"remote_e164": "+442079460123", "extension": "109"}
    missed = [
        leg("tried", f"{MONDAY} 08:05:00", 0, **caller),
        leg("again", f"{MONDAY} 08:50:00", 0, **{**caller, "extension": "102"}),
        leg("left word", f"{MONDAY} 08:55:00", 20, outcome="voicemail", **caller),
        leg("withheld", f"{MONDAY} 08:56:00", 0, direction="inbound"),
        leg("taken", f"{MONDAY} 08:57:00", 60, **caller),
        leg("too late", f"{MONDAY} 17:00:00", 0, **caller),
        leg("stranger", f"{MONDAY} 08:00:00", 0, **{**caller, "remote_e164": "+442079460124"}),
    ]
    found = (
        "SELECT hour_of_day, extension, offered, answered, unanswered, voicemail, called_back, unanswered_percent "
        "FROM mart.unanswered WHERE call_date = DATE '2026-03-02' ORDER BY ALL"
    )
    database = built(
        tmp_path,
        [
            *missed,
            leg("not reached", f"{MONDAY} 17:30:00", 0, **back),
            leg("other account", f"{MONDAY} 17:40:00", 60, account_id="7", **back),
            leg("in between", f"{MONDAY} 08:52:00", 60, **back),
        ],
    )
    percent = Decimal("80")
    assert query(database, found) == [
        (8, "101", 5, 1, 4, 1, 1, percent),
        (8, "102", 1, 0, 1, 0, 1, Decimal(100)),
        (17, "101", 1, 0, 1, 0, 0, Decimal(100)),
    ]
    # A call of the next day reaches the day before; one of the day after that is too late.
    database.update(cdr_days(tmp_path / "core", [leg("day after", "2026-03-04 09:00:00", 60, **back)]))
    assert query(database, found)[0][6] == 1
    database.update(cdr_days(tmp_path / "core", [leg("next day", "2026-03-03 09:00:00", 60, **back)]))
    assert [called_back for *_, called_back, _ in query(database, found)] == [2, 1, 1]


# --- destinations and top calls ---------------------------------------------------------------------------------------


def test_destinations_with_the_mean_cost_of_an_answered_call(tmp_path: Path) -> None:
    abroad: Row = {"remote_e164": "+493023125001", "remote_country": "DE", "remote_type": "fixed"}
    both: Row = {**abroad, "linked_id": "x"}
    database = built(
        tmp_path,
        [
            leg("1", f"{MONDAY} 09:00:00", 100, cost=Decimal("0.10"), **abroad),
            leg("2", f"{MONDAY} 09:10:00", 20, cost=Decimal("0.10"), **abroad),
            leg("3", f"{MONDAY} 09:20:00", 7, cost=Decimal("0.0001"), **abroad),
            leg("4", f"{MONDAY} 09:30:00", 0, cost=Decimal("0.02"), **abroad),
            leg("5", f"{MONDAY} 09:40:00", 30, **abroad),
            leg("6", f"{MONDAY} 09:50:00", 30, cost=Decimal(1), **both),
            leg("7", f"{MONDAY} 09:50:01", 30, cost=Decimal(1), **{**both, "currency": "USD"}),
            leg("8", f"{MONDAY} 10:00:00", 30, cost=Decimal(9), direction="inbound", **{**abroad, "linked_id": "y"}),
            leg("9", f"{MONDAY} 10:10:00", 60, cost=Decimal(5), remote_type="short"),
        ],
    )
    assert query(
        database,
        "SELECT destination_country, destination_type, currency, calls, answered, talk_seconds, minutes, cost, "
        "unrated, average_cost FROM mart.destination_monthly ORDER BY calls DESC, cost",
    ) == [
        # Five answered, one of them unrated: (0.10 + 0.10 + 0.0001 + 1) / 4. Call x is one in each of its currencies.
        ("DE", "fixed", "EUR", 6, 5, 187, Decimal("3.116667"), Decimal("1.2201"), 1, Decimal("0.300025")),
        ("DE", "fixed", "USD", 1, 1, 30, Decimal("0.5"), Decimal(1), 0, Decimal(1)),
        (None, "short", "EUR", 1, 1, 60, Decimal(1), Decimal(5), 0, Decimal(5)),
    ]


def test_the_fifty_dearest_and_the_fifty_longest_of_each_currency(tmp_path: Path) -> None:
    legs = [leg(f"{n:03}", f"{MONDAY} 09:{n:02}:00", 600 - n, cost=Decimal(n // 2)) for n in range(55)]
    legs.append(leg("usd", f"{MONDAY} 09:00:00", 5, cost=Decimal(1), currency="USD"))
    database = built(tmp_path, legs)
    ranked = "SELECT call_id FROM mart.top_calls WHERE ranking = '{}' AND currency = '{}' ORDER BY place"
    by_cost = [call for (call,) in query(database, ranked.format("cost", "EUR"))]
    assert by_cost[:3] == ["054", "052", "053"]  # of equal ones the earlier first
    assert (len(by_cost), by_cost[-1]) == (50, "004")
    assert query(database, ranked.format("duration", "EUR")) == [(f"{n:03}",) for n in range(50)]
    assert query(database, ranked.format("cost", "USD")) == [("usd",)]


# --- fraud ------------------------------------------------------------------------------------------------------------


def home(tmp_path: Path, *accounts: str) -> Partition:
    rows = [row("core.account", vendor="pbxware", connection="hq", account_id=a, country="GB") for a in accounts]
    return partition(tmp_path / "core", "lists", "hq", None, "pbxware", {"core.account": rows})


SIGNALS = (
    "SELECT signal_date::VARCHAR, extension, rule, country, severity, measured FROM mart.fraud_signal ORDER BY ALL"
)


def test_each_rule_counts_what_it_is_about_from_its_limit_on(tmp_path: Path) -> None:
    germany: Row = {"remote_e164": "+493023125001", "remote_country": "DE"}
    premium: Row = {"remote_e164": "+449098790001", "remote_country": "GB", "remote_type": "premium"}
    legs = [
        *(leg(f"n{n}", f"{MONDAY} 06:{n}0:00", 0, **germany) for n in range(5)),  # attempts count
        *(leg(f"o{n}", f"{MONDAY} 0{7 + n % 2}:{n}0:00", 60, **germany, extension="102") for n in range(6)),  # open
        *(leg(f"s{n}", f"2026-03-07 12:{n}0:00", 60, **germany, extension="103") for n in range(4)),  # one too few
        *(leg(f"p{n}", f"{MONDAY} 12:{n:02}:00", 60, **premium, extension="104") for n in range(9)),
        *(leg(f"q{n}", f"{MONDAY} 12:{n:02}:00", 60, **premium, extension="105") for n in range(2)),
        leg("jm", f"{MONDAY} 12:00:00", 60, remote_e164="+18765550100", remote_country="JM"),
        leg("us", f"{MONDAY} 12:00:00", 60, remote_e164="+12025550100", remote_country="US"),
        leg("pr", f"{MONDAY} 12:00:00", 60, remote_e164="+17875550100", remote_country="PR"),
        leg("in", f"{MONDAY} 12:00:00", 60, remote_e164="+18765550100", remote_country="JM", direction="inbound"),
        # An account whose country nobody told.
        *(leg(f"x{n}", f"{MONDAY} 03:{n}0:00", 60, **germany, account_id="7") for n in range(6)),
    ]
    database = built(tmp_path, legs, home(tmp_path, "2"))
    expected = [
        ("2026-03-02", "101", "foreign_nanp", "JM", "medium", 1),
        ("2026-03-02", "101", "out_of_hours", None, "medium", 5),
        ("2026-03-02", "104", "premium", None, "high", 9),
    ]
    assert query(database, SIGNALS) == expected
    # Other limits, and an account's country, reach days that were loaded before.
    open_late = FraudRules(opens=6, open_weekends=True)
    database = warehouse(tmp_path / "data", fraud=open_late)
    database.update([])
    assert query(database, SIGNALS) == [expected[0], expected[2]]
    database = warehouse(tmp_path / "data", fraud=open_late)
    database.update([home(tmp_path, "2", "7")])
    assert query(database, SIGNALS) == [
        expected[0],
        ("2026-03-02", "101", "out_of_hours", None, "medium", 6),
        expected[2],
    ]


def test_the_country_of_an_account_reaches_the_days_on_which_it_has_calls_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    legs = [leg("a", f"{MONDAY} 12:00:00", 60), leg("b", "2026-03-04 12:00:00", 60, account_id="7")]
    database = built(tmp_path, legs, home(tmp_path, "2"))
    asked: list[Days] = []
    set_fraud_days = scopes.set_fraud_days

    def told(db: Any, days: Days) -> None:
        asked.append(days)
        set_fraud_days(db, days)

    monkeypatch.setattr(scopes, "set_fraud_days", told)
    database.update([home(tmp_path, "2", "9")])  # has no calls
    database.update([home(tmp_path, "2", "9", "7")])
    database.update([home(tmp_path, "9", "7")])
    assert asked == [set(), {date(2026, 3, 4)}, {date(2026, 3, 2)}]


def test_a_country_is_new_once_and_not_while_habits_are_learned(tmp_path: Path) -> None:
    def to(country: str, day: str, **values: Any) -> Row:
        return leg(
            f"{country} {day}", f"{day} 12:00:00", 60, remote_e164="+3491555000", remote_country=country, **values
        )

    early = [to("GB", "2026-03-02"), to("ES", "2026-03-29")]
    later = [to("FR", "2026-03-30"), to("FR", "2026-04-20"), to("GB", "2026-04-20"), to("ES", "2026-04-20")]
    found = "SELECT signal_date::VARCHAR, country FROM mart.fraud_signal WHERE rule = 'new_country' ORDER BY ALL"
    database = built(tmp_path, [*early, *later], home(tmp_path, "2"))
    assert query(database, found) == [("2026-03-30", "FR")]
    # A day loaded later, from before, moves what was the first call; and one of the first day moves the learning.
    database.update(cdr_days(tmp_path / "core", [to("FR", "2026-03-10")]))
    assert query(database, found) == []
    database.update(cdr_days(tmp_path / "core", [], also=[date(2026, 3, 10)]))
    assert query(database, found) == [("2026-03-30", "FR")]
    database.update(cdr_days(tmp_path / "core", [to("GB", "2026-02-01")]))
    assert query(database, found) == [("2026-03-29", "ES"), ("2026-03-30", "FR")]


def test_calls_forwarded_abroad_at_night_are_signals_of_who_forwarded_them(tmp_path: Path) -> None:
    """Six calls came in and were forwarded to a satellite, by two attempts each: six calls, 6 * (0 + 18)."""
    satellite: Row = {"remote_e164": "+881612345678", "remote_type": "mobile", "to_kind": "person", "extension": "104"}
    legs = [
        leg(f"{n}{kind}", f"{MONDAY} 23:0{n}:0{second}", seconds, linked_id=str(n), **values)
        for n in range(6)
        for kind, second, seconds, values in (
            ("in", 0, 65, {"direction": "inbound", "extension": "101", "to_kind": "number"}),
            ("try", 4, 0, {**satellite, "outcome": "failed", "cost": Decimal(0)}),
            ("out", 5, 60, {**satellite, "cost": Decimal(18)}),
        )
    ]
    database = built(tmp_path, legs, home(tmp_path, "2"))
    found = "SELECT extension, rule, country, calls, cost, severity FROM mart.fraud_signal ORDER BY ALL"
    assert query(database, found) == [("104", "out_of_hours", None, 6, Decimal(108), "medium")]
    # The night after, in which a signal's call gets a leg more, says the same as a database made anew.
    later = leg("late", "2026-03-03 00:10:00", 60, linked_id="5", **satellite, cost=Decimal(1))
    database.update(cdr_days(tmp_path / "core", [later]))
    assert query(database, found) == [("104", "out_of_hours", None, 6, Decimal(108), "medium")]
    destinations = "SELECT calls, answered, talk_seconds, cost, average_cost FROM mart.destination_monthly"
    # Each call once, with its longest leg there: 6 * 60 s, and 109 / 6.
    assert query(database, destinations) == [(6, 6, 360, Decimal(109), Decimal("18.166667"))]


def test_a_spike_counts_the_calls_that_were_forwarded(tmp_path: Path) -> None:
    def forwarded(day: str, cost: int) -> list[Row]:
        inbound = {"direction": "inbound", "linked_id": day, "to_kind": "number"}
        return [
            leg(f"{day} in", f"{day} 12:00:00", 65, **inbound),
            leg(f"{day} out", f"{day} 12:00:05", 60, linked_id=day, cost=Decimal(cost)),
        ]

    legs = [part for n in range(4) for part in forwarded(str(date(2026, 3, 2) + timedelta(7 * n)), 60 if n == 3 else 9)]
    database = built(tmp_path, legs)
    found = "SELECT signal_date::VARCHAR, rule, calls, cost, threshold FROM mart.fraud_signal"
    assert query(database, found) == [("2026-03-23", "spend_spike", 1, Decimal(60), Decimal(27))]


def test_a_forwarded_call_is_shown_by_its_dearest_and_by_its_longest_leg(tmp_path: Path) -> None:
    spain: Row = {"remote_e164": "+34915550100", "remote_country": "ES", "remote_type": "fixed", "to_kind": "person"}
    inbound: Row = {"direction": "inbound", "remote_country": "GB", "extension": "101"}
    database = built(
        tmp_path,
        [
            leg("in", f"{MONDAY} 09:00:00", 300, linked_id="a", **inbound, to_kind="number"),
            leg("desk", f"{MONDAY} 09:00:01", 200, linked_id="a", **inbound, to_kind="person"),
            leg("out", f"{MONDAY} 09:03:20", 90, linked_id="a", **spain, extension="102", cost=Decimal(7)),
        ],
    )
    shown = "SELECT ranking, extension, direction, remote_country, remote_type, talk_seconds, cost FROM mart.top_calls"
    assert query(database, f"{shown} ORDER BY ranking") == [
        ("cost", "102", "outbound", "ES", "fixed", 200, Decimal(7)),
        ("duration", "101", "inbound", "GB", None, 200, Decimal(7)),
    ]


def test_unanswered_calls_that_a_machine_took_are_abandoned(tmp_path: Path) -> None:
    inbound: Row = {"direction": "inbound", "extension": "600"}
    database = built(
        tmp_path,
        [
            leg("queue", f"{MONDAY} 09:00:00", 40, **inbound, to_kind="machine"),
            leg("desk", f"{MONDAY} 09:10:00", 40, **inbound, to_kind="person"),
            leg("message", f"{MONDAY} 09:20:00", 9, **inbound, outcome="voicemail", to_kind="machine"),
            leg("nobody", f"{MONDAY} 09:30:00", 0, **inbound, to_kind="person"),
        ],
    )
    columns = "offered, answered, unanswered, voicemail, abandoned, unanswered_percent"
    assert query(database, f"SELECT {columns} FROM mart.unanswered") == [(4, 1, 3, 1, 1, Decimal(75))]
    daily = "calls, answered, no_answer, busy, failed, abandoned, other, talk_seconds"
    assert query(database, f"SELECT {daily} FROM mart.usage_daily") == [(4, 1, 1, 0, 0, 1, 1, 40)]
    assert query(database, "SELECT calls, answered FROM mart.usage_hourly") == [(4, 1)]


def test_a_spike_is_held_against_the_same_weekday_of_eight_weeks(tmp_path: Path) -> None:
    def spending(day: date, cost: str, **values: Any) -> Row:
        return leg(f"{day} {cost}", f"{day} 12:00:00", 60, cost=Decimal(cost), **values)

    monday = date(2026, 3, 2)
    weeks = [monday + timedelta(7 * n) for n in range(11)]
    usual = ["1", "90", "8", "8", "9", "9", "9", "9", "9"]  # median of the eight before the tenth week: 9
    legs = [spending(day, cost) for day, cost in zip(weeks, usual, strict=False)]
    legs += [spending(weeks[9], "27"), spending(monday + timedelta(64), "500"), spending(weeks[10], "26.99")]
    database = built(tmp_path, legs)
    found = (
        "SELECT signal_date, measured, threshold, severity, extension FROM mart.fraud_signal "
        "WHERE rule = 'spend_spike' ORDER BY ALL"
    )
    assert query(database, found) == [(weeks[9], Decimal(27), Decimal(27), "medium", None)]
    # When an earlier week is restated, the weeks after it are judged again: now the median is 19.
    database.update(cdr_days(tmp_path / "core", [spending(weeks[n], "19") for n in (4, 5, 6, 7, 8)]))
    assert query(database, found) == []
    database = warehouse(tmp_path / "data", fraud=FraudRules(spike_times=1))
    database.update([])
    assert query(database, found) == [
        (weeks[9], Decimal(27), Decimal(20), "medium", None),
        (weeks[10], Decimal("26.99"), Decimal(20), "medium", None),
    ]


def tables(found: Measured) -> str:
    """The two tables of docs/operations.md."""
    lines = ["| attack | planted | caught |", "|---|--:|--:|"]
    lines += [f"| {kind} | {count} | {found.caught[kind]} |" for kind, count in sorted(found.planted.items())]
    lines += ["", "| rule | days of an account flagged | with an attack |", "|---|--:|--:|"]
    lines += [f"| `{rule}` | {count} | {found.right[rule]} |" for rule, count in sorted(found.flagged.items())]
    return "\n".join(lines)


def test_the_documented_precision_and_recall_are_those_of_a_year_with_planted_attacks(tmp_path: Path) -> None:
    year = Year(365)
    database = built(tmp_path, year.legs, home(tmp_path, "2", "7"))
    found = year.measure(query(database, "SELECT signal_date, account_id, rule FROM mart.fraud_signal"))
    loud = [kind for kind in found.planted if kind != "night drip"]
    assert [found.caught[kind] for kind in loud] == [found.planted[kind] for kind in loud]
    assert tables(found) in (ROOT / "docs" / "operations.md").read_text()
    assert not re.search(r"\+\d{6}|\d{9}", repr(query(database, "FROM mart.fraud_signal"))), "a signal names a number"
