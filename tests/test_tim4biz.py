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
from stand_in import LONDON, Literal, StandIn, Status, controls, rows, run, source, statuses

from assets import tim4biz
from assets.loading import Outcome, Source, Window, bounds, load, refine
from assets.sources.client import BasicAuth, Client
from assets.sources.secret import Secret
from assets.sources.tim4biz import Tim4biz, listed, rate_wait
from assets.tim4biz import Stretch
from pipelines.demo import Vendors
from tollbook_errors import AuthError, ConfigError, ContractError

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
    run(from_, tim4biz.totals_stream(from_), lambda window: tim4biz.fetch_totals(from_, window), [DAY])
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
        ("Cost", "£1.25"),
        ("Cost", "1,25"),
        ("Cost", False),
    ],
)
def test_a_row_that_cannot_be_understood_is_quarantined_and_the_rest_loads(
    tmp_path: Path, field: str, value: Any
) -> None:
    from_ = loaded(tmp_path, [ROW | {field: value}, ROW | {"Extension": "102"}])
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
    row, problem = tim4biz._row({"E": "1", "C": f"{amount:f}" if as_text else amount}, _columns("E", "C"))
    assert (row["cost"], problem) == (amount, None)


def _columns(extension: str, cost: str) -> dict[str, str | None]:
    return {**dict.fromkeys(tim4biz.NAMES), "extension": extension, "cost": cost}


def test_a_cost_of_eighteen_digits_is_stored_exactly(tmp_path: Path) -> None:
    reply = Literal('{"x": [{"Extension": "1", "Cost": 123456789012.345678}, {"Extension": "2", "Cost": 1.5E-3}]}')
    assert [row["cost"] for row in read(loaded(tmp_path, reply))] == [Decimal("123456789012.345678"), Decimal("0.0015")]


def test_a_missing_currency_is_a_warning(tmp_path: Path) -> None:
    from_ = source(StandIn(lambda path, query: [ROW]), tmp_path, "tim4biz")
    outcome = run(from_, tim4biz.totals_stream(from_), lambda window: tim4biz.fetch_totals(from_, window), [DAY])
    assert outcome.warnings == ["no currency is known; set currency for this connection"]
    assert rows(from_, "extension_total")[0]["currency"] == "XXX"


def test_figures_that_no_field_is_read_as_are_said_with_the_fields_there_are(tmp_path: Path) -> None:
    reply = [{"Extension": "201", "Calls": 3, "In": 1, "Out": 2, "Cost (GBP)": "1.25", "07700900123": 4}]
    from_ = source(StandIn(lambda path, query: reply), tmp_path, "tim4biz", currency="GBP")
    outcome = run(from_, tim4biz.totals_stream(from_), lambda window: tim4biz.fetch_totals(from_, window), [DAY])
    assert outcome.warnings == [
        "no extension has incoming, outgoing, duration_seconds, cost; fields that were not read: Cost (GBP), In, Out "
        "(name them in fields)"
    ]
    assert rows(from_, "extension_total")[0]["cost"] is None


# --- periods ---


class Ledger:
    """A vendor that knows the moments of calls by naive local time, and takes no longer periods than ``most``."""

    def __init__(self, most: timedelta) -> None:
        self.most = most
        self.moments = [datetime(2026, 1, 1) + timedelta(minutes=17 * n) for n in range(31 * 1440)]
        self.stand_in = StandIn(self.answer)

    def answer(self, path: str, query: dict[str, str]) -> Any:
        assert path == "ExtensionTotal"
        start, end = datetime.fromisoformat(query["from"]), datetime.fromisoformat(query["to"])
        if not start < end or end - start > self.most:
            return Status(400, {"Message": "The period is too long."})
        found = sum(start <= moment < end for moment in self.moments)
        return [{"Extension": "101", "Calls": found, "Cost": found / 4}] if found else []


@pytest.mark.parametrize("hours", [1, 2, 5, 12, 23, 24, 25])
@pytest.mark.parametrize("day", [DAY, CLOCKS_BACK, CLOCKS_FORWARD])
@pytest.mark.parametrize("zone", ["Europe/London", "Asia/Kolkata", "America/New_York"])
def test_a_period_that_is_too_long_is_cut_and_the_parts_add_up(
    tmp_path: Path, day: date, hours: int, zone: str
) -> None:
    """Also when the vendor's zone is another than that of our business days, and over both clock changes."""
    ledger = Ledger(timedelta(hours=hours))
    from_ = source(ledger.stand_in, tmp_path, "tim4biz", currency="EUR", account_zone=ZoneInfo(zone))
    run(from_, tim4biz.totals_stream(from_), lambda window: tim4biz.fetch_totals(from_, window), [day])
    start, end = (edge.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for edge in bounds(day, LONDON))
    expected = sum(start <= moment < end for moment in ledger.moments)
    assert [(row["calls"], row["cost"]) for row in rows(from_, "extension_total")] == [
        (expected, Decimal(expected) / 4)
    ]
    assert len(ledger.stand_in.asked) < 80


# --- days that must add up to what is said of all of them ---

DAYS = [DAY + timedelta(days=n) for n in range(4)]


def reading(folder: Path, answer: Any, days: list[date] = DAYS, **overrides: Any) -> tuple[Source, Outcome]:
    """A load of several days as the asset does it: the first of them last, and with it the whole stretch."""
    from_ = source(StandIn(answer), folder, "tim4biz", **{"currency": "EUR", **overrides})
    parts = tim4biz.in_stretches([Window(day, day) for day in days])
    stretches = [stretch for part in parts if (stretch := Stretch.of(part, from_))]
    wanted = [window for part in parts for window in part]
    return from_, load(
        from_, tim4biz.totals_stream(from_), wanted, lambda window: tim4biz.fetch_totals(from_, window, stretches)
    )


def spread(cost: str = "1.25", **changes: Any) -> Any:
    """A vendor with two extensions, the second of which has no figures on the first day; ``changes`` of a stretch."""

    def answer(path: str, query: dict[str, str]) -> Any:
        length = datetime.fromisoformat(query["to"]) - datetime.fromisoformat(query["from"])
        first = query["from"].startswith(str(DAYS[0]))
        many = length.days if length.days > 1 else 1
        row = {"Extension": "101", "Calls": 5 * many, "Duration": 60 * many, "Cost": Decimal(cost) * many}
        other = {"Extension": "102", "Calls": many - first, "Duration": 0, "Cost": None}
        return [row | (changes if length.days > 1 else {}), other]

    return answer


def test_the_days_of_a_load_are_proved_by_one_request_for_all_of_them(tmp_path: Path) -> None:
    from_, outcome = reading(tmp_path, spread())
    assert not outcome.failures
    subject = f"{DAYS[0]}..{DAYS[-1]}"
    assert controls(from_, "stretch_calls") == {(None, subject): (23, 23, "matched")}
    assert controls(from_, "stretch_seconds") == {(None, subject): (240, 240, "matched")}
    assert controls(from_, "stretch_cost") == {(None, subject): (Decimal(5), Decimal(5), "matched")}
    assert {row["window_date"] for row in rows(from_, "control_total")} == {DAYS[0]}, "the day that is read last"
    assert from_.client().requests_made == len(DAYS) + 1
    assert len(rows(from_, "extension_total")) == 2 * len(DAYS), "the stretch itself is no record"


def test_a_stretch_that_is_off_is_a_variance_and_one_without_a_figure_is_unavailable(tmp_path: Path) -> None:
    from_, _ = reading(tmp_path, spread(Calls=21, Cost=None))
    assert [status for _, _, status in controls(from_, "stretch_calls").values()] == ["variance"]
    assert [status for _, _, status in controls(from_, "stretch_seconds").values()] == ["matched"]
    assert [status for _, _, status in controls(from_, "stretch_cost").values()] == ["unavailable"]


def test_a_long_load_is_proved_in_several_stretches(tmp_path: Path) -> None:
    days = [date(2026, 9, 1) + timedelta(days=n) for n in range(31)]
    from_, outcome = reading(tmp_path, spread(), days)
    assert [str(landing.window_from) for landing in outcome.landings][26:] == [
        "2026-09-28", "2026-09-01", "2026-09-30", "2026-10-01", "2026-09-29",
    ]  # fmt: skip
    assert {subject for _, subject in controls(from_, "stretch_cost")} == {
        "2026-09-01..2026-09-28", "2026-09-29..2026-10-01",
    }  # fmt: skip
    assert from_.client().requests_made == len(days) + 2


def test_a_stretch_that_cannot_be_understood_proves_nothing(tmp_path: Path) -> None:
    """Nothing of it that is read is no sum of 0: it would agree with days of which nothing was read either."""
    from_, outcome = reading(tmp_path, lambda path, query: [ROW | {"Cost": "free"}])
    assert outcome.quarantined == len(DAYS)
    assert statuses(from_) == dict.fromkeys(tim4biz.CONTROLS, {"unavailable"})


@pytest.mark.parametrize("refusal", [Status(400), Status(404), {"nothing": 1}])
def test_a_stretch_that_is_refused_is_unavailable_and_asked_for_once(tmp_path: Path, refusal: Any) -> None:
    def answer(path: str, query: dict[str, str]) -> Any:
        long = datetime.fromisoformat(query["to"]) - datetime.fromisoformat(query["from"]) > timedelta(hours=25)
        return refusal if long else [ROW]

    from_, outcome = reading(tmp_path, answer)
    assert not outcome.failures
    assert statuses(from_) == dict.fromkeys(tim4biz.CONTROLS, {"unavailable"})
    assert from_.client().requests_made == len(DAYS) + 1


def test_no_stretch_is_asked_for_unless_all_its_days_were_read(tmp_path: Path) -> None:
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
    assert Stretch.of([Window(now - timedelta(days=n), now - timedelta(days=n)) for n in range(2)], single) is None


def test_a_stretch_is_compared_with_what_its_own_load_read(tmp_path: Path) -> None:
    """However often, whatever came since, and also from raw alone."""
    from_, _ = reading(tmp_path, spread())
    before = controls(from_, "stretch_cost")
    reading(tmp_path, spread("2.50"), DAYS[1:])  # the night after: another figure, and the first day is not read again
    assert controls(from_, "stretch_cost")[None, f"{DAYS[0]}..{DAYS[-1]}"] == before[None, f"{DAYS[0]}..{DAYS[-1]}"]
    everything = controls(from_, "stretch_cost")
    assert len(everything) == 2
    from_.lake.clear_core([from_.name])
    for day in DAYS:
        refine(from_, tim4biz.totals_stream(from_), day)
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
    run(from_, tim4biz.totals_stream(from_), lambda window: tim4biz.fetch_totals(from_, window), days)
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
