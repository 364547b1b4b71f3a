"""The walk over a window, and PBXware's pages under it: everything exactly once whatever happens, or an error."""

import bisect
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fake_pbx import NOON, START, FakeClient, FakePbx, load_day, row, second_of, source_of

from assets.http.slices import NOTHING, Earlier, Found, Reading, Slice, read_slices
from assets.pbxware.api import PBXware
from tollbook_errors import ContractError, IntegrityError
from warehouse.layout import bounds

HOUR = 3600
DAY_SECONDS = 24 * HOUR
# Calls by hour of an office: a quiet night, a busy morning, a lunch break.
OFFICE = (0.2, 0.1, 0.1, 0.1, 0.1, 0.3, 0.6, 2, 6, 12, 14, 13, 8, 7, 12, 12, 11, 7, 3, 1.5, 1, 0.6, 0.4, 0.3)


# --- the walk --------------------------------------------------------------------------------------------------------


class Density:
    """A vendor that is nothing but the times of its records; counts what it is asked."""

    def __init__(self, times: list[int], capacity: int = 1000, *, sort: bool = True, counts: bool = False) -> None:
        self.times, self.capacity, self.sort, self.counts = sorted(times), capacity, sort, counts
        self.requests: list[Slice] = []
        self.paged: list[Slice] = []

    def fetch(self, part: Slice) -> Reading:
        assert part.start < part.end
        self.requests.append(part)
        assert len(self.requests) < 100_000
        low, high = bisect.bisect_left(self.times, part.start), bisect.bisect_left(self.times, part.end)
        found = high - low
        if found <= self.capacity:
            return Reading(part, [], found, True, self.capacity)
        shown = self.times[low:high]
        if not self.sort:
            random.Random(part.start).shuffle(shown)
        shown = shown[: self.capacity]
        total = found if self.counts else None
        return Reading(part, [], self.capacity, False, self.capacity, total, shown)

    def fetch_paged(self, part: Slice) -> Reading:
        assert part.seconds == 1
        self.paged.append(part)
        found = bisect.bisect_left(self.times, part.end) - bisect.bisect_left(self.times, part.start)
        return Reading(part, [], found, True, self.capacity)

    def read(self, window: Slice, in_flight: int = 1, earlier: Earlier = NOTHING) -> list[Reading]:
        client: Any = FakeClient(lambda asked: {}, in_flight)
        return list(read_slices(self.fetch, self.fetch_paged, window, client, capacity=self.capacity, earlier=earlier))


def earlier_of(readings: list[Reading], *, again: bool) -> Earlier:
    return Earlier(tuple(Found(reading.slice, reading.rows) for reading in readings), again)


def office_day(rows: int, seed: int = 0) -> list[int]:
    chance = random.Random(rows + seed)
    return [int((hour + chance.random()) * HOUR) for hour in chance.choices(range(24), OFFICE, k=rows)]


def assert_tiles(readings: list[Reading], window: Slice) -> None:
    parts = sorted((reading.slice.start, reading.slice.end) for reading in readings)
    assert parts[0][0] == window.start
    assert parts[-1][1] == window.end
    assert all(left[1] == right[0] for left, right in zip(parts, parts[1:], strict=False))


@given(
    times=st.lists(st.integers(0, 2000), max_size=300),
    burst=st.tuples(st.integers(0, 2000), st.integers(0, 50)),
    window=st.tuples(st.integers(0, 900), st.integers(901, 2001)),
    capacity=st.integers(1, 40),
    sort=st.booleans(),
    counts=st.booleans(),
    in_flight=st.integers(1, 6),
    hint=st.none() | st.tuples(st.lists(st.integers(0, 2000), max_size=60), st.integers(1, 40), st.integers(-500, 500)),
    again=st.booleans(),
)
@settings(max_examples=300)
def test_slices_tile_the_window_and_hold_every_record_once(
    times: list[int],
    burst: tuple[int, int],
    window: tuple[int, int],
    capacity: int,
    sort: bool,
    counts: bool,
    in_flight: int,
    hint: tuple[list[int], int, int] | None,
    again: bool,
) -> None:
    """Whatever an earlier reading found: of another day, of a longer or a shorter one, or of this one before."""
    every = times + [burst[0]] * burst[1]
    vendor = Density(every, capacity, sort=sort, counts=counts)
    whole = Slice(*window)
    earlier = NOTHING
    if hint is not None:
        length = whole.seconds if again else max(1, whole.seconds + hint[2])
        before = Slice(whole.start if again else 0, (whole.start if again else 0) + length)
        earlier = earlier_of(Density(hint[0], hint[1]).read(before), again=again)
    readings = vendor.read(whole, in_flight, earlier)
    assert_tiles(readings, whole)
    assert sum(reading.rows for reading in readings) == sum(whole.start <= time < whole.end for time in every)
    repeated = Density(every, capacity, sort=sort, counts=counts)
    repeated.read(whole, in_flight, earlier)
    assert repeated.requests == vendor.requests


@pytest.mark.parametrize("again", [False, True])
def test_a_day_without_records_says_nothing_of_the_next(again: bool) -> None:
    """One request tells that there are few or none."""
    window = Slice(0, DAY_SECONDS)
    quiet = earlier_of(Density([]).read(window), again=again)
    for times in ([], [9 * HOUR], office_day(50)):
        vendor = Density(times)
        vendor.read(window, 4, quiet)
        assert len(vendor.requests) == 1


def test_the_next_slice_is_asked_for_before_the_last_is_handed_over() -> None:
    """What is done with a reading takes time, in which the vendor need not be idle."""
    vendor = Density(office_day(5_000))
    client: Any = FakeClient(lambda asked: {})
    window = Slice(0, DAY_SECONDS)
    readings = read_slices(vendor.fetch, vendor.fetch_paged, window, client, capacity=vendor.capacity)
    ahead = [vendor.requests[-1] != reading.slice for reading in readings]
    assert ahead == [True] * (len(ahead) - 1) + [False]


@pytest.mark.slow
@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize(
    ("rows", "most"),
    [(300, 1), (1_000, 1), (3_000, 14), (10_000, 30), (100_000, 310), (1_000_000, 3_000)],
)
def test_a_first_day_ever_needs_at_most_three_requests_a_page(rows: int, most: int, sort: bool, in_flight: int) -> None:
    vendor = Density(office_day(rows), sort=sort)
    readings = vendor.read(Slice(0, DAY_SECONDS), in_flight)
    assert sum(reading.rows for reading in readings) == rows
    assert math.ceil(rows / 1000) <= len(vendor.requests) <= most
    assert not vendor.paged


@pytest.mark.parametrize(("rows", "capacity", "most"), [(100_000, 1000, 1.35), (10_000, 200, 1.7), (1_000, 200, 2)])
def test_a_day_like_an_earlier_one_needs_few_requests(rows: int, capacity: int, most: float) -> None:
    before = Density(office_day(rows), capacity).read(Slice(0, DAY_SECONDS))
    vendor = Density([DAY_SECONDS + second for second in office_day(rows, seed=1)], capacity)
    readings = vendor.read(Slice(DAY_SECONDS, 2 * DAY_SECONDS), 4, earlier_of(before, again=False))
    assert sum(reading.rows for reading in readings) == rows
    assert len(vendor.requests) <= most * rows / capacity


@pytest.mark.parametrize(("rows", "most"), [(1_000, 14), (10_000, 120)])
@pytest.mark.parametrize("sort", [True, False])
def test_a_vendor_that_states_totals_needs_fewer_requests(rows: int, most: int, sort: bool) -> None:
    """200 a response; the responses that did not fit tell how many there are, and when."""
    vendor = Density(office_day(rows), 200, sort=sort, counts=True)
    assert sum(reading.rows for reading in vendor.read(Slice(0, DAY_SECONDS), 4)) == rows
    assert len(vendor.requests) <= most


@pytest.mark.parametrize(
    ("told", "most"),
    [
        (lambda part, times: times[::-1], 20),  # the newest first, and each page the other way round
        (lambda part, times: [part.start + n % 60 for n in range(len(times))], 25),
        (lambda part, times: [part.end - 1 - n % 300 for n in range(len(times))], 25),
        (lambda part, times: [time + 2 * HOUR for time in times], 30),
    ],
    ids=["turned round", "all at the beginning", "all at the end", "two hours off"],
)
def test_times_that_are_not_what_they_seem_cost_few_requests(told: Callable[..., list[int]], most: int) -> None:
    """Of a thousand records, 200 a response. Believed to the end, such times took up to 478 requests."""

    class Odd(Density):
        def fetch(self, part: Slice) -> Reading:
            reading = super().fetch(part)
            within = [time for time in self.times if part.start <= time < part.end]
            newest = within[-self.capacity :][::-1]
            return reading if reading.complete else replace(reading, times=told(part, newest))

    vendor = Odd(office_day(1000), 200, counts=True)
    assert sum(reading.rows for reading in vendor.read(Slice(0, DAY_SECONDS), 4)) == 1000
    assert len(vendor.requests) <= most


def test_a_day_that_has_not_changed_is_asked_for_as_before(tmp_path: Path) -> None:
    """So that its responses are the same, and are not kept twice."""
    day = Slice(0, DAY_SECONDS)
    vendor = Density(office_day(20_000))
    before = vendor.read(day)
    vendor.requests.clear()
    vendor.read(day, 4, earlier_of(before, again=True))
    assert vendor.requests == sorted((reading.slice for reading in before), key=lambda part: part.start)
    pbx = FakePbx([row(NOON + number // 2, number) for number in range(2500)])
    source = source_of(pbx, tmp_path)
    (first,), (second,) = load_day(source).landings, load_day(source).landings
    assert (first.unchanged, second.unchanged) == (False, True)
    assert second.pages == first.pages
    assert second.requests < first.requests


def test_the_next_slice_is_under_way_while_the_last_one_is_landed() -> None:
    vendor = Density(office_day(10_000))
    client: Any = FakeClient(lambda asked: {}, 1)
    readings = read_slices(vendor.fetch, vendor.fetch_paged, Slice(0, DAY_SECONDS), client, capacity=1000)
    first = next(readings)
    assert vendor.requests[-1] != first.slice


def test_an_overfull_slice_is_never_asked_for_again_as_it_was() -> None:
    # 1176 records, of which a response reaches over 85 %: a cut to that would round to one part.
    vendor = Density(list(range(1176)), sort=True)
    vendor.read(Slice(0, 1176))
    assert len(set(vendor.requests)) == len(vendor.requests)


def test_a_vendor_that_keeps_short_pages_is_learnt() -> None:
    """16 a page whatever is asked: the walk must not aim at 1000 again after every slice that fitted."""
    times = [second * 10 for second in range(8640)]

    class Short(Density):
        def fetch(self, part: Slice) -> Reading:
            reading = super().fetch(part)
            return Reading(part, [], reading.rows, reading.complete, 1000, None, reading.times)

    vendor = Short(times, 16)
    vendor.read(Slice(0, DAY_SECONDS))
    assert len(vendor.requests) < 1.35 * len(times) / 16


def test_the_first_error_ends_the_walk() -> None:
    asked = []

    def fetch(part: Slice) -> Reading:
        asked.append(part)
        raise ContractError("not the documented form")

    client: Any = FakeClient(lambda asked: {})
    with pytest.raises(ContractError):
        list(read_slices(fetch, fetch, Slice(0, 100), client, capacity=1000))
    assert len(asked) == 1


# --- PBXware while its data change -----------------------------------------------------------------------------------

MANY = {"true": True, "1": 1, "text": "true", "yes": "yes"}


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, Any]:
    """A PBX with few busy seconds, what happens to it at which request, and how it pages."""
    seconds = draw(st.lists(st.integers(0, 120), min_size=1, max_size=4))
    count = draw(st.integers(0, 25))
    rows = [(draw(st.sampled_from(seconds)), draw(st.integers(0, 40))) for _ in range(count)]
    happenings = st.tuples(
        st.integers(1, 60), st.sampled_from(["insert", "late", "delete", "shuffle"]), st.integers(0, 10**6)
    )
    return {
        "rows": rows,
        "seconds": seconds,
        "happenings": draw(st.lists(happenings, max_size=12)),
        "page_size": draw(st.one_of(st.integers(1, 6), st.integers(1, 1000))),
        "states_limit": draw(st.booleans()),
        "spelling": draw(st.sampled_from(["plain", "text", "number", "missing", "always"])),
        "restless": draw(st.booleans()),
        "in_flight": draw(st.sampled_from([1, 4])),
    }


SPELLINGS: dict[str, Any] = {
    "plain": lambda more: more,
    "text": lambda more: str(more).lower(),
    "number": int,
    "missing": lambda more: "missing",
    "always": lambda more: True,
}


def said(record: list[Any]) -> str:
    return " | ".join(str(cell) for cell in record)


def check_world(world: dict[str, Any]) -> str:
    """Read a changing PBX; gives how it ended, for counting."""
    pbx = FakePbx([row(NOON + second, number) for second, number in world["rows"]])
    pbx.page_size = world["page_size"]
    pbx.stated_limit = world["page_size"] if world["states_limit"] else 1000
    pbx.next_page = SPELLINGS[world["spelling"]]
    stayed, ever = [said(record) for record in pbx.rows], Counter(said(record) for record in pbx.rows)
    fresh = iter(range(1000, 10_000))

    def happen(number: int) -> None:
        if world["restless"]:
            random.Random(number).shuffle(pbx.rows)
        for at, what, seed in world["happenings"]:
            if at != number:
                continue
            chance = random.Random(seed)
            if what == "shuffle":
                chance.shuffle(pbx.rows)
            elif what == "delete" and pbx.rows:
                gone = said(pbx.rows.pop(chance.randrange(len(pbx.rows))))
                if gone in stayed:
                    stayed.remove(gone)
            elif what in {"insert", "late"}:
                record = row(NOON + chance.choice(world["seconds"]), next(fresh))
                pbx.rows.insert(0 if what == "insert" else chance.randint(0, len(pbx.rows)), record)
                ever[said(record)] += 1

    pbx.before = happen
    client: Any = FakeClient(pbx.response, world["in_flight"])
    try:
        pages = list(PBXware(client).cdrs("2", START, START + timedelta(days=1), window="a day"))
    except (IntegrityError, ContractError):
        return "refused"
    got = Counter(said(record) for page in pages for record in page.data["csv"])
    missing = Counter(stayed) - got
    invented = got - ever
    assert not missing, f"lost {missing}"
    assert not invented, f"invented or repeated {invented}"
    return "read"


@pytest.mark.slow
@given(world=worlds())
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_reading_is_exact_or_refused_whatever_happens_meanwhile(world: dict[str, Any]) -> None:
    check_world(world)


@pytest.mark.soak
@given(world=worlds())
@settings(max_examples=10_000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_reading_is_exact_or_refused_ten_thousand_times(world: dict[str, Any]) -> None:
    check_world(world)


@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 400)), max_size=60),
    page_size=st.integers(1, 1000),
    states_limit=st.booleans(),
    spelling=st.sampled_from(sorted(SPELLINGS)),
)
@settings(max_examples=200)
def test_a_pbx_at_rest_is_read_and_not_refused(
    rows: list[tuple[int, int]], page_size: int, states_limit: bool, spelling: str
) -> None:
    """Refusing is always safe, so it has to be shown that a PBX whose data do not change is never refused."""
    world = {
        "rows": rows,
        "seconds": [0],
        "happenings": [],
        "page_size": page_size,
        "states_limit": states_limit,
        "spelling": spelling,
        "restless": False,
        "in_flight": 4,
    }
    assert check_world(world) == "read"


# --- pages of one second ---------------------------------------------------------------------------------------------


def read_second(pbx: FakePbx) -> list[list[Any]]:
    client: Any = FakeClient(pbx.response)
    start = datetime.fromtimestamp(NOON, UTC)
    pages = PBXware(client).cdrs("2", start, start + timedelta(seconds=1), window="a second")
    return [record for page in pages for record in page.data["csv"]]


def test_records_that_leave_while_a_second_is_paged_are_not_papered_over() -> None:
    """S10. With each page a record of the one before is gone, so that another slips over the edge unseen."""
    pbx = FakePbx([row(number=number) for number in range(60)], page_size=5)

    def leave(number: int) -> None:
        if pbx.downloads[-1]["page"] != "1":
            del pbx.rows[0]

    pbx.before = leave
    with pytest.raises(IntegrityError):
        read_second(pbx)


def test_a_record_that_slips_over_the_edge_of_an_only_page_is_not_lost() -> None:
    """One leaves after the first page was read; the second, where the sixth had been, is empty."""
    pbx = FakePbx([row(NOON + number, number) for number in range(6)], page_size=5, stated_limit=1000)

    def leave(number: int) -> None:
        if number == 2:
            del pbx.rows[0]

    pbx.before = leave
    client: Any = FakeClient(pbx.response)
    pages = PBXware(client).cdrs("2", START, START + timedelta(days=1), window="a day")
    assert {record[7] for page in pages for record in page.data["csv"]} == {record[7] for record in pbx.rows}


def test_a_record_on_two_pages_is_not_believed_to_be_two_before_the_order_holds_still() -> None:
    """S06. Two records change places between pages, in the same way for a while: one seems to be there twice."""
    pbx = FakePbx([row(number=1), row(number=2)], page_size=1, stated_limit=1)

    def change_places(number: int) -> None:
        if number < 15:
            pbx.rows.sort(key=lambda record: str(record[7]), reverse=pbx.asked[-1]["page"] == "2")

    pbx.before = change_places
    assert {record[7][-2:] for record in read_second(pbx)} == {".1", ".2"}


def test_identical_records_on_two_pages_are_each_kept() -> None:
    """S06. An order that holds still through all readings shows that they are two."""
    pbx = FakePbx([row(number=1), row(number=2), row(number=1)], page_size=2)
    assert len(read_second(pbx)) == 3


def test_one_page_for_ever_is_refused_after_few_requests() -> None:
    """S12."""
    pbx = FakePbx([row(number=number) for number in range(10)], page_size=5)
    pbx.change = lambda asked, data: (
        data
        | {
            "next_page": True,
            "header": pbx.header,
            "csv": pbx.rows[:5],
        }
    )
    with pytest.raises(ContractError, match="for ever"):
        read_second(pbx)
    assert len(pbx.asked) < 20


def test_pages_without_end_are_refused() -> None:
    """S12. Ever new records: nothing repeats, and it still has to end."""
    pbx = FakePbx(header=["From", "To", "Date/Time", "Duration", "Status", "Unique ID"])
    numbers = iter(range(10**6))

    def ever_new(asked: dict[str, str], data: Any) -> Any:
        record = ["100", "101", str(NOON), "1", "Answered", f"{NOON}.{next(numbers)}"]
        return {"next_page": True, "limit": 1, "header": pbx.header, "csv": [record]}

    pbx.change = ever_new
    with pytest.raises(ContractError, match="pages"):
        read_second(pbx)
    assert len(pbx.asked) <= 1100


# --- business days ---------------------------------------------------------------------------------------------------


def check_days_tile(name: str, first: date, last: date) -> None:
    zone = ZoneInfo(name)
    day, before = first, bounds(first, zone)[0]
    while day <= last:
        start, end = bounds(day, zone)
        assert start == before, f"{name} {day}: a gap or an overlap"
        assert start <= end, f"{name} {day}"
        assert start.utcoffset() == timedelta(0) == end.utcoffset()
        before, day = end, day + timedelta(days=1)


@pytest.mark.parametrize(
    "name",
    [
        "UTC",
        "Europe/London",
        "Europe/Vilnius",
        "America/New_York",
        "America/Sao_Paulo",  # changed its clock at midnight
        "Asia/Beirut",  # so does this one
        "Africa/Cairo",
        "Australia/Lord_Howe",  # by half an hour
        "Pacific/Apia",  # has no 30 December 2011
        "Asia/Kathmandu",
        "America/St_Johns",  # changed at a minute past midnight
        "Africa/Casablanca",
        "Antarctica/Troll",  # by two hours
    ],
)
def test_business_days_tile(name: str) -> None:
    check_days_tile(name, date(2000, 1, 1), date(2037, 12, 30))


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(available_timezones()))
def test_business_days_tile_everywhere(name: str) -> None:
    check_days_tile(name, date(2000, 1, 1), date(2037, 12, 30))


def test_days_are_23_24_or_25_hours_long() -> None:
    zone = ZoneInfo("Europe/London")
    lengths = [bounds(day, zone) for day in (date(2026, 3, 29), date(2026, 3, 30), date(2026, 10, 25))]
    assert [(end - start) / timedelta(hours=1) for start, end in lengths] == [23, 24, 25]


def test_every_second_of_a_long_day_is_asked_for_once() -> None:
    start, end = bounds(date(2026, 10, 25), ZoneInfo("Europe/London"))
    pbx = FakePbx([row(int(start.timestamp()) + second) for second in range(0, 25 * HOUR, 60)])
    client: Any = FakeClient(pbx.response)
    got = [record for page in PBXware(client).cdrs("2", start, end, window="") for record in page.data["csv"]]
    assert sorted(map(second_of, got)) == sorted(map(second_of, pbx.rows))
    assert {asked["server"] for asked in pbx.asked} == {"2"}
