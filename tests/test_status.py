"""`tollbook status`: which connections are stale, what it says of that, and what a program is given."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.core_rows import Row, at, load, partition, row, warehouse
from support.loading import LONDON

from pipelines.cli import main
from pipelines.freshness import read_freshness
from pipelines.settings import load_settings
from pipelines.status import read_status

pytestmark = pytest.mark.slow  # whole databases

DAY = date(2026, 11, 16)
HQ = '[[connections]]\nname = "hq"\nvendor = "pbxware"\nurl = "http://127.0.0.1:9/"\napi_key = "env:K"\n'
VPS = '[[connections]]\nname = "vps"\nvendor = "time4vps"\nusername = "env:U"\npassword = "env:P"\n'


def configured(folder: Path, *connections: str) -> Path:
    config = folder / "tollbook.toml"
    config.write_text('[tollbook]\ntimezone = "Europe/London"\n' + "".join(connections))
    return config


def publish(folder: Path, loads: list[Row]) -> None:
    database = warehouse(folder / "data", timezone="Europe/London")
    database.update([], loads)
    database.publish()


def night(began: datetime, day: date | None, connection: str = "hq", stream: str = "cdr", **values: Any) -> Row:
    """What a load that began at an instant recorded of a day; None: of a list."""
    load_id = f"{began.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return load(
        load_id, day, connection, stream=stream, **{"started_at": began, "finished_at": began, "rows": 9, **values}
    )


def status(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(folder / "tollbook.toml"), "status", *arguments])


# --- the rule ---------------------------------------------------------------------------------------------------------

# When it is looked at, and what was loaded when; up to when that is good news, and whether it is old.
NIGHT = at("2026-11-17 02:15:00")  # in London it is the same
BEFORE = timedelta(days=1)
RULE: dict[str, tuple[str, list[Row], str | None, bool]] = {
    "this night, of yesterday": ("2026-11-17 10:00:00", [night(NIGHT, DAY)], "2026-11-17 02:15", False),
    "36 hours ago to the minute": ("2026-11-18 14:15:00", [night(NIGHT, DAY)], "2026-11-17 02:15", False),
    "36 hours and a minute ago": ("2026-11-18 14:16:00", [night(NIGHT, DAY)], "2026-11-17 02:15", True),
    "fourteen days ago": ("2026-12-01 10:00:00", [night(NIGHT, DAY)], "2026-11-17 02:15", True),
    "every day at two, an hour before": (
        "2026-11-18 13:00:00",
        [night(at("2026-11-17 14:00:00"), DAY)],
        "2026-11-17 14:00",
        False,
    ),
    "just now, of an old month only": (
        "2026-11-17 10:00:00",
        [night(at("2026-11-17 09:00:00"), date(2026, 7, 31))],
        "2026-07-31 23:00",  # the end of July in London
        True,
    ),
    "an old month just now, after the night": (
        "2026-11-17 10:00:00",
        [night(NIGHT, DAY), night(at("2026-11-17 09:00:00"), date(2026, 7, 31))],
        "2026-11-17 02:15",
        False,
    ),
    "of today": ("2026-11-17 22:00:00", [night(at("2026-11-17 20:00:00"), DAY + BEFORE)], "2026-11-17 20:00", False),
    "over midnight": (
        "2026-11-18 10:00:00",
        [
            night(at("2026-11-17 23:50:00"), DAY - BEFORE),
            night(at("2026-11-17 23:50:00"), DAY, started_at=at("2026-11-18 00:20:00")),
        ],
        "2026-11-17 23:50",
        False,
    ),
    "a failed night after a good one": (
        "2026-11-18 15:00:00",
        [night(NIGHT, DAY), night(NIGHT + BEFORE, DAY + BEFORE, status="failed", rows=0)],
        "2026-11-17 02:15",
        True,
    ),
    "nothing new is good news": (
        "2026-11-18 10:00:00",
        [night(NIGHT + BEFORE, DAY + BEFORE, status="unchanged")],
        "2026-11-18 02:15",
        False,
    ),
    "one stream of two": (
        "2026-11-20 10:00:00",
        [night(NIGHT, DAY, stream="sms"), night(NIGHT + 3 * BEFORE, DAY + 3 * BEFORE)],
        "2026-11-17 02:15",
        True,
    ),
    "a list only, this night": ("2026-11-17 10:00:00", [night(NIGHT, None, stream="lists")], "2026-11-17 02:15", False),
    "a list only, long ago": ("2026-11-20 10:00:00", [night(NIGHT, None, stream="lists")], "2026-11-17 02:15", True),
    "one stream never": (
        "2026-11-17 10:00:00",
        [night(NIGHT, DAY), night(NIGHT, DAY, stream="sms", status="failed", rows=0)],
        None,
        True,
    ),
    "never": ("2026-11-17 10:00:00", [night(NIGHT, DAY, "another")], None, True),
}


@pytest.mark.parametrize(("now", "loads", "good_at", "stale"), RULE.values(), ids=RULE)
def test_a_connection_is_stale_without_a_good_load_of_yesterday(
    tmp_path: Path, now: str, loads: list[Row], good_at: str | None, stale: bool
) -> None:
    settings = load_settings(configured(tmp_path, HQ))
    publish(tmp_path, loads)
    [found] = read_freshness(settings, at(now))
    assert (found.good_at and f"{found.good_at:%Y-%m-%d %H:%M}", found.stale) == (good_at, stale)


@pytest.mark.parametrize(("written", "hours"), [("", 36), ("stale_after = 12\n", 12), ('stale_after = "3d"\n', 72)])
def test_each_connection_has_its_own_time(tmp_path: Path, written: str, hours: int) -> None:
    settings = load_settings(configured(tmp_path, HQ + written))
    publish(tmp_path, [night(NIGHT, DAY)])
    limit = NIGHT + timedelta(hours=hours)
    [just_yet], [no_more] = (read_freshness(settings, limit + timedelta(seconds=n)) for n in (0, 1))
    assert (just_yet.stale, no_more.stale) == (False, True)


# --- what is said -----------------------------------------------------------------------------------------------------


def test_after_fourteen_days_without_any_load_status_is_not_green(tmp_path: Path) -> None:
    """Every day that anybody asked for is there; nobody asked for the last fourteen."""
    configured(tmp_path, HQ, VPS)
    then = datetime.now(UTC) - timedelta(days=14)
    days = [then.date() - timedelta(days=n) for n in range(1, 9)]
    publish(tmp_path, [*(night(then, day) for day in days), night(then, None, "vps", "invoices", vendor="time4vps")])
    told = status(tmp_path)
    assert told.exit_code == 1
    first, *lines = told.output.splitlines()
    assert first == (f"Tollbook: 2 of 2 connections need attention: hq, vps; stale: hq, vps; newest day {max(days)}")
    assert lines[0] == (
        f"hq is stale: its cdr reaches to {then:%Y-%m-%d %H:%M} UTC, 14 days ago (stale_after is 36 hours); "
        "see why no load went well, then: tollbook load"
    )
    assert lines[1].startswith("vps is stale: its invoices reaches to ")
    assert len(lines) == 2


def test_what_is_well_is_one_line_and_the_rest_comes_with_all(tmp_path: Path) -> None:
    configured(tmp_path, HQ)
    now = datetime.now(UTC)
    day = read_day(now)
    publish(tmp_path, [night(now, day), night(now, None, stream="lists")])
    told = status(tmp_path)
    assert (told.exit_code, told.output) == (0, f"Tollbook: all is well with 1 connection; newest day {day}\n")
    whole = status(tmp_path, "--all")
    assert whole.exit_code == 0
    assert whole.output.startswith(told.output)
    assert "│ hq " in whole.output


def test_a_stopped_schedule_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that was asked for is there, so the exit code is that of a good night; it will be stale soon enough."""
    monkeypatch.setattr("pipelines.status.read_stopped", lambda settings, now: ["nightly"])
    configured(tmp_path, HQ)
    now = datetime.now(UTC)
    publish(tmp_path, [night(now, read_day(now)), night(now, None, stream="lists")])
    told = status(tmp_path)
    assert told.exit_code == 0, told.output
    assert told.output.splitlines() == [
        f"Tollbook: all is well with 1 connection; newest day {read_day(now)}, but nothing loads by itself",
        "warning: the schedule nightly was stopped by somebody, so nothing loads by itself: "
        "start it in Dagster's pages",
    ]


def test_records_of_dagsters_that_cannot_be_read_take_nothing_from_the_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(tmp_path, HQ)
    home = tmp_path / "data" / "dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text("storage:\n  sqlite:\n    base_dir: /proc/1/nowhere\n")
    now = datetime.now(UTC)
    publish(tmp_path, [night(now, read_day(now)), night(now, None, stream="lists")])
    told = status(tmp_path)
    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[1:] == [
        "warning: Dagster's records cannot be read, so a stopped schedule would not be noticed"
    ]


def read_day(now: datetime) -> date:
    """The day before it in London."""
    return now.astimezone(LONDON).date() - timedelta(days=1)


def test_a_connection_that_is_no_longer_configured_is_not_waited_for(tmp_path: Path) -> None:
    configured(tmp_path, HQ)
    now = datetime.now(UTC)
    old = now - timedelta(days=100)
    publish(tmp_path, [night(now, read_day(now)), night(old, read_day(old), "branch", status="failed", rows=0)])
    told = status(tmp_path)
    assert told.exit_code == 0, told.output
    assert "not configured" in status(tmp_path, "--all").output


def test_a_program_is_given_one_object(tmp_path: Path) -> None:
    config = configured(tmp_path, HQ, VPS)
    then = at("2026-11-03 02:15:00")
    publish(
        tmp_path,
        [
            night(then, date(2026, 10, 30)),
            night(then, date(2026, 11, 2)),
            night(then + timedelta(days=14), None, "vps", "invoices", vendor="time4vps"),
        ],
    )
    told = status(tmp_path, "--json")
    assert told.exit_code == 1
    found = json.loads(told.output)
    assert (found["well"], found["exit_code"]) == (False, 1)
    assert found["summary"].startswith("Tollbook: 2 of 2 connections need attention: hq, vps; stale: hq, vps")
    hq, vps = found["connections"]
    assert {
        name: hq[name] for name in ("name", "vendor", "stale", "well", "last_good_load", "latest_day", "result")
    } == {
        "name": "hq",
        "vendor": "pbxware",
        "stale": True,
        "well": False,
        "last_good_load": "2026-11-03T02:15:00Z",
        "latest_day": "2026-11-02",
        "result": "loaded",
    }
    assert hq["missing_days"] == ["2026-10-31", "2026-11-01"]
    assert (vps["latest_day"], vps["missing_days"], vps["stale_after_hours"]) == (None, [], 36)
    assert found["variances"] == []
    # An hour after vps was read, vps is no longer what is wrong.
    later = read_status(load_settings(config), then + timedelta(days=14, hours=1))
    assert [(each.name, each.stale) for each in later.connections] == [("hq", True), ("vps", False)]


def test_variances_are_shown_in_the_coins_of_their_currency(tmp_path: Path) -> None:
    """A yen has none, a dinar's has three places; what is smaller than a coin is shown; a count is a whole number."""
    configured(tmp_path, HQ)
    day = date(2026, 11, 16)
    figures = [
        ("EUR", "10", "9.5"),
        ("EUR", "1.2345", "1"),
        ("JPY", "1500", "1400"),
        ("KWD", "2.5", "2"),
        (None, "7", "6"),
    ]
    controls = [
        row(
            "audit.control_total",
            window_date=day,
            vendor="pbxware",
            connection="hq",
            stream="cdr",
            check_name="billamount",
            subject=str(n),
            compares="",
            ours=Decimal(ours),
            theirs=Decimal(theirs),
            difference=Decimal(ours) - Decimal(theirs),
            currency=currency,
            status="variance",
        )
        for n, (currency, ours, theirs) in enumerate(figures)
    ]
    part = partition(tmp_path / "core", "cdr", "hq", day, "pbxware", {"audit.control_total": controls})
    database = warehouse(tmp_path / "data", timezone="Europe/London")
    database.update([part], [night(NIGHT, day)])
    database.publish()
    lines = [line for line in status(tmp_path).output.splitlines() if line.startswith("variance: ")]
    assert [line.partition(": ours ")[2] for line in lines] == [
        "10.00, theirs 9.50, difference 0.50 EUR",
        "1.2345, theirs 1.00, difference 0.2345 EUR",
        "1,500, theirs 1,400, difference 100 JPY",
        "2.500, theirs 2.000, difference 0.500 KWD",
        "7, theirs 6, difference 1",
    ]


def test_before_the_first_load_nothing_is_well(tmp_path: Path) -> None:
    configured(tmp_path, HQ)
    told = status(tmp_path)
    assert told.exit_code == 1
    assert "there is no published database" in told.stderr
    found = json.loads(status(tmp_path, "--json").stdout)
    assert (found["well"], found["exit_code"], found["connections"][0]["stale"]) == (False, 1, True)
    assert "run: tollbook load" in found["summary"]


def test_a_wrong_configuration_is_no_object(tmp_path: Path) -> None:
    configured(tmp_path, HQ + 'stale_after = "soon"\n')
    told = status(tmp_path, "--json")
    assert (told.exit_code, told.stdout) == (2, "")
    assert "connections[hq].stale_after: expected a whole number of hours from 1 to 87600" in told.stderr
