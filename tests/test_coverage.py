"""audit.coverage: which days are loaded, partial, stale or missing, and which are far off their like."""

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.core_rows import Row, at, leg, load, partition, query, warehouse

from pipelines.cli import main
from warehouse.database import Database
from warehouse.published import days_in_state, open_public, unusual_days
from warehouse.update import Partition

pytestmark = pytest.mark.slow  # whole databases

MONDAY = date(2026, 6, 1)
LATER = at("2026-12-01 03:00:00")


def read(load_id: str, day: date, at_: datetime = LATER, connection: str = "hq", **values: Any) -> Row:
    """A load of one day that began at ``at_``."""
    return load(load_id, day, connection, started_at=at_, finished_at=at_, **values)


def failed(load_id: str, day: date, **values: Any) -> Row:
    return read(
        load_id, day, status="failed", rows=0, error_type="TransientError", error="hq cdr: no response", **values
    )


def day_of(folder: Path, day: date, rows: int, connection: str = "hq") -> Partition:
    legs = [leg(f"{connection} {day} {n}", f"{day} 09:00:00", connection=connection) for n in range(rows)]
    return partition(folder, "cdr", connection, day, "pbxware", {"core.cdr": legs})


def coverage(database: Database, columns: str = "coverage_date, connection, stream, state, rows") -> list[Any]:
    return query(database, f"SELECT {columns} FROM audit.coverage ORDER BY connection, stream, coverage_date")


# --- states -----------------------------------------------------------------------------------------------------------


def test_each_state(tmp_path: Path) -> None:
    days = [MONDAY + timedelta(n) for n in range(6)]
    loads = [
        read("1", days[0]),
        failed("1", days[1]),  # failed, then read
        read("2", days[1]),
        read("1", days[2]),  # read, then failed
        failed("2", days[2]),
        failed("1", days[3]),  # only ever failed; and the next day nobody asked for
        read("2", days[5], at(f"{days[5]} 23:59:59")),  # read a second before it ended
    ]
    database = warehouse(tmp_path / "data")
    database.update([day_of(tmp_path, days[n], 1 + n) for n in (0, 1, 2, 5)], loads)
    assert coverage(database, "state, rows, is_unusual, last_read_at, load_id") == [
        ("loaded", 1, None, LATER, "1"),
        ("loaded", 2, None, LATER, "2"),
        ("stale", 3, None, LATER, "2"),
        ("missing", None, None, None, "1"),
        ("missing", None, None, None, None),
        ("partial", 6, None, at(f"{days[5]} 23:59:59"), "2"),
    ]
    database.update([], [read("3", day) for day in days[2:]])
    assert coverage(database, "state, load_id")[2:] == [("loaded", "3")] * 4


@pytest.mark.parametrize(
    ("zone", "day", "ended"),
    [
        ("Europe/London", date(2026, 3, 29), "2026-03-29 23:00:00"),  # a day of 23 hours
        ("Europe/London", date(2026, 10, 25), "2026-10-26 00:00:00"),  # a day of 25 hours
        ("Asia/Kathmandu", date(2026, 6, 1), "2026-06-01 18:15:00"),
        ("Pacific/Auckland", date(2026, 6, 1), "2026-06-01 12:00:00"),
    ],
)
def test_a_day_ends_in_the_business_zone(tmp_path: Path, zone: str, day: date, ended: str) -> None:
    database = warehouse(tmp_path / "data", timezone=zone)
    database.update([], [read("1", day, at(ended) - timedelta(seconds=1))])
    assert coverage(database, "state") == [("partial",)]
    database.update([], [read("2", day, at(ended))])
    assert coverage(database, "state") == [("loaded",)]


def test_from_the_first_loaded_day_of_a_stream_to_the_newest_of_any(tmp_path: Path) -> None:
    days = [MONDAY + timedelta(n) for n in range(5)]
    loads = [
        failed("1", days[0]),  # before its first good day nothing is due: a vendor may not go back that far
        read("1", days[1]),
        read("1", days[3], connection="branch"),
        failed("1", days[2], connection="never"),
        failed("1", days[4], connection="never"),
        load("1", None, "hosting", stream="invoices", window_from=None),  # a list is of no day
        read("1", days[2], stream="sms", window_from=days[1]),  # a stretch of two days in one window
    ]
    database = warehouse(tmp_path / "data")
    database.update([], loads)
    assert [(entry[0], *entry[1:4]) for entry in coverage(database)] == [
        (days[3], "branch", "cdr", "loaded"),
        (days[4], "branch", "cdr", "missing"),
        (days[1], "hq", "cdr", "loaded"),
        (days[2], "hq", "cdr", "missing"),
        (days[3], "hq", "cdr", "missing"),
        (days[4], "hq", "cdr", "missing"),
        (days[1], "hq", "sms", "loaded"),
        (days[2], "hq", "sms", "loaded"),
        (days[3], "hq", "sms", "missing"),
        (days[4], "hq", "sms", "missing"),
        (days[2], "never", "cdr", "missing"),
        (days[3], "never", "cdr", "missing"),
        (days[4], "never", "cdr", "missing"),
    ]


# --- like days --------------------------------------------------------------------------------------------------------


# Rows of some Mondays (None: nobody loaded it), the last one being in question: its typical rows, is it unusual?
MONDAYS: list[tuple[list[int | None], int | None, bool | None]] = [
    ([40, 40, 10], None, None),  # two days are too few to say what is typical
    ([40, 42, 44, 43], 42, False),
    ([40, 42, 44, 46, 43], 42, False),  # of two middle ones the lower
    ([400, 400, 400, 199], 400, True),
    ([400, 400, 400, 200], 400, False),  # half is not below half
    ([400, 400, 400, 801], 400, True),
    ([400, 400, 400, 800], 400, False),
    ([60, 60, 60, 14], 60, True),  # the fewer rows, the more is within chance
    ([60, 60, 60, 15], 60, False),
    ([60, 60, 60, 138], 60, True),
    ([60, 60, 60, 137], 60, False),
    ([60, 60, 60, 0], 60, True),  # loaded, and nothing in it
    ([17, 17, 17, 0], 17, True),
    ([16, 16, 16, 0], 16, False),
    ([5, 5, 5, 38], 5, False),  # one call to a group brings many legs
    ([5, 5, 5, 39], 5, True),
    ([90, 90, 90, 30, 30, 30, 30, 30, 30, 30, 30, 30], 30, False),  # eight weeks back and no further
    ([60, 60, None, 60, 9], 60, True),  # a day that is not loaded is like no other
    ([60, 60, None, None, 9], None, None),
]


def test_a_day_far_off_the_same_weekday_of_the_weeks_before(tmp_path: Path) -> None:
    last = MONDAY + timedelta(weeks=20)
    partitions, loads = [], []
    for case, (counts, _, _) in enumerate(MONDAYS):
        for weeks, count in enumerate(reversed(counts)):
            if count is not None:
                day, name = last - timedelta(weeks=weeks), f"case{case:02}"
                partitions.append(day_of(tmp_path, day, count, name))
                loads.append(read("1", day, connection=name))
    database = warehouse(tmp_path / "data")
    database.update(partitions, loads)
    found = query(
        database,
        "SELECT rows, typical_rows, is_unusual FROM audit.coverage "
        f"WHERE coverage_date = DATE '{last}' ORDER BY connection",
    )
    assert found == [(counts[-1], typical, unusual) for counts, typical, unusual in MONDAYS]


def test_other_weekdays_and_other_streams_say_nothing_of_a_day(tmp_path: Path) -> None:
    """A PBX that rests on Sundays is not alarming on any of them."""
    days = [MONDAY + timedelta(n) for n in range(35)]
    counts = {day: 3 if day.weekday() == 6 else 80 for day in days}
    partitions = [day_of(tmp_path, day, count) for day, count in counts.items()]
    other = [day_of(tmp_path, day, 2, "branch") for day in days]
    loads = [read("1", day, connection=name) for day in days for name in ("hq", "branch")]
    database = warehouse(tmp_path / "data")
    database.update([*partitions, *other], loads)
    assert query(database, "SELECT count(*) FILTER (is_unusual), count(is_unusual) FROM audit.coverage") == [(0, 28)]


def test_a_partial_day_is_neither_unusual_nor_typical(tmp_path: Path) -> None:
    days = [MONDAY + timedelta(weeks=n) for n in range(4)]
    partitions = [day_of(tmp_path, day, 60) for day in days[:3]] + [day_of(tmp_path, days[3], 2)]
    database = warehouse(tmp_path / "data")
    database.update(partitions, [*(read("1", d) for d in days[:3]), read("1", days[3], at(f"{days[3]} 06:00:00"))])
    assert query(database, "SELECT state, typical_rows, is_unusual FROM audit.coverage WHERE rows = 2") == [
        ("partial", 60, None)
    ]
    database.update([], [read("2", days[3])])
    database.publish()
    with open_public(database.public) as con:
        assert unusual_days(con) == [(days[3], "hq", "cdr", 2, 60)]
        missing = days_in_state(con, "missing")
    assert len(missing) == 18
    assert missing[0] == ("hq", "cdr", days[0] + timedelta(1))


# --- the same whatever the order --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_loads_equals_a_rebuild(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    days = [MONDAY + timedelta(n) for n in range(40)]
    loads: list[Row] = []
    for n in range(60):
        day, name = rng.choice(days), rng.choice(["hq", "branch"])
        began = rng.choice([LATER, at(f"{day} 12:00:00")]) + timedelta(minutes=n)
        status = rng.choice(["loaded", "unchanged", "failed"])
        loads.append(read(f"{n:03}", day, began, name, status=status))
    partitions = {
        (p.connection, p.day): p for p in (day_of(tmp_path, rng.choice(days), rng.randint(0, 60)) for _ in days)
    }
    incremental = warehouse(tmp_path / "incremental")
    rest, parts = rng.sample(loads, len(loads)), list(partitions.values())
    while rest or parts:
        size = rng.randint(1, 15)
        incremental.update(parts[:size], rest[:size])
        rest, parts = rest[size:], parts[size:]
    whole = warehouse(tmp_path / "whole")
    whole.update(list(partitions.values()), loads, full=True)
    every = "coverage_date, vendor, connection, stream, state, rows, typical_rows, is_unusual, last_read_at, load_id"
    assert coverage(incremental, every) == coverage(whole, every)
    assert len({entry[4] for entry in coverage(whole, every)}) == 4


# --- where people look ------------------------------------------------------------------------------------------------


def test_status_says_which_days_want_loading_and_which_are_unusual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "tollbook.toml"
    config.write_text(
        '[tollbook]\ndata_dir = "data"\ntimezone = "UTC"\nreporting_currency = "GBP"\n'
        '[[connections]]\nname = "hq"\nvendor = "pbxware"\nurl = "http://127.0.0.1:9/"\n'
        'api_key = "env:PBXWARE_API_KEY"\ncurrency = "EUR"\n'
    )
    monkeypatch.setenv("PBXWARE_API_KEY", "a-key-of-a-test")
    today = datetime.now(UTC).date()
    days = [today - timedelta(n) for n in range(29)]
    database = warehouse(tmp_path / "data")
    good = [read("1", day, datetime.now(UTC)) for day in days]  # today is partial, and that is well

    def status() -> tuple[int, str]:
        database.publish()
        result = CliRunner().invoke(main, ["--config", str(config), "status"])
        return result.exit_code, result.output

    database.update([day_of(tmp_path, day, 30) for day in days], good)
    assert status()[0] == 0

    database.update([day_of(tmp_path, days[3], 1)], [])
    code, output = status()
    assert code == 0
    assert f"unusual: {days[3]} hq cdr: 1 records; usual are 30" in output

    noon = datetime(days[5].year, days[5].month, days[5].day, 12, tzinfo=UTC)
    database.update([], [read("1", days[5], noon), failed("2", days[6])])
    code, output = status()
    assert code == 1
    assert "hq: 1 business days were read before they had ended" in output
    assert "hq: 1 business days could not be read again" in output
    assert "are missing" not in output

    database.update([day_of(tmp_path, day, 30) for day in days], [*good[:9], *good[10:]], full=True)
    code, output = status()
    assert code == 1
    assert "hq: 1 business days are missing" in output
