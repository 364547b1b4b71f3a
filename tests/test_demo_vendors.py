"""The bundled vendors behave as their documents say, and serve exactly what their truth says."""

import http.client
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import phonenumbers
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.demo import Fault, Vendors
from pipelines.demo.faults import KINDS
from pipelines.demo.pbx_traffic import STATUSES, Outside, day_bounds

WEDNESDAY = date(2026, 10, 21)
CLOCKS_BACK = date(2026, 10, 25)  # Europe/London: a day of 25 hours
FIRST, LAST = WEDNESDAY, date(2026, 10, 27)
OUTCOME = {status.spelling: status.outcome for status in STATUSES}


@pytest.fixture(scope="module")
def vendors() -> Iterator[Vendors]:
    with Vendors(seed=3, first=FIRST, last=LAST, options={"sip_limit": 100_000}) as served:
        yield served


@pytest.fixture(scope="module")
def small() -> Iterator[Vendors]:
    """A smaller world, for the tests that ask many times."""
    with Vendors(first=FIRST, last=LAST, scale=0.3, options={"tim_limit": 10_000}) as served:
        yield served


def pbx(served: Vendors, action: str = "cdr.download", **params: Any) -> Any:
    params = {"apikey": served.secrets["PBXWARE_API_KEY"], "action": f"pbxware.{action}", **params}
    return requests.post(served.urls["pbxware"], data=params, timeout=10).json()


def window(day: date, last: date | None = None) -> dict[str, Any]:
    return {"start": f"{day:%b-%d-%Y}", "end": f"{last or day:%b-%d-%Y}"}


def utc_window(start: int, end: int) -> dict[str, Any]:
    """A window in epoch seconds, both inclusive, as the PBX is asked for it."""
    first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
    times = {"starttime": f"{first:%H:%M:%S}", "endtime": f"{last:%H:%M:%S}", "timezone": "UTC"}
    return window(first.date(), last.date()) | times


def pbx_rows(served: Vendors, limit: int = 1000, **params: Any) -> list[dict[str, Any]]:
    """Every row of a window, page by page, as dictionaries."""
    rows, page = [], 1
    while True:
        response = pbx(served, limit=limit, page=page, **params)
        rows += [dict(zip(response["header"], row, strict=True)) for row in response["csv"]]
        if not response["next_page"]:
            return rows
        page += 1


def sip(served: Vendors, path: str, **params: Any) -> requests.Response:
    login = (served.secrets["SIPCENTRIC_USERNAME"], served.secrets["SIPCENTRIC_PASSWORD"])
    return requests.get(f"{served.urls['sipcentric']}/{path}", params=params, auth=login, timeout=10)


def sip_items(served: Vendors, path: str, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    page = 1
    while True:
        response = sip(served, path, **params, pageSize=200, page=page).json()
        items += response["items"]
        if "nextPage" not in response:
            assert len(items) == response["totalItems"]
            return items
        page += 1


def tim(served: Vendors, start: str, end: str, method: str = "GET") -> requests.Response:
    login = (served.secrets["TIM4BIZ_USERNAME"], served.secrets["TIM4BIZ_PASSWORD"])
    url = f"{served.urls['tim4biz']}/ExtensionTotal"
    return requests.request(method, url, params={"from": start, "to": end}, auth=login, timeout=10)


def vps(served: Vendors, path: str) -> Any:
    login = (served.secrets["TIME4VPS_USERNAME"], served.secrets["TIME4VPS_PASSWORD"])
    return json.loads(
        requests.get(f"{served.urls['time4vps']}/{path}", auth=login, timeout=10).text, parse_float=Decimal
    )


# --- PBXware ---


def test_pbx_errors_are_http_200(vendors: Vendors) -> None:
    response = requests.get(
        vendors.urls["pbxware"], params={"apikey": "wrong", "action": "pbxware.ext.list"}, timeout=10
    )
    assert (response.status_code, response.json()) == (200, {"error": "Invalid API key."})
    assert "error" in pbx(vendors, "ext.nonsense")
    assert "error" in pbx(vendors, end="Oct-21-2026")
    assert "error" in pbx(vendors, start="Okt-21-2026", end="Oct-21-2026")
    assert "error" in pbx(vendors, server="4711", **window(WEDNESDAY))
    assert "error" in pbx(vendors, timezone="Mars/Olympus", **window(WEDNESDAY))


def test_pbx_takes_get_and_post(vendors: Vendors) -> None:
    params = {"apikey": vendors.secrets["PBXWARE_API_KEY"], "action": "pbxware.tenant.list"}
    assert requests.get(vendors.urls["pbxware"], params=params, timeout=10).json() == pbx(vendors, "tenant.list")


def test_pbx_paging(vendors: Vendors) -> None:
    default = pbx(vendors, server="2", **window(WEDNESDAY))
    assert (default["limit"], default["records"], len(default["csv"]), default["next_page"]) == (16, 16, 16, True)
    whole = pbx(vendors, server="2", limit=5000, **window(FIRST, LAST))
    assert whole["limit"] == 1000
    assert whole["records"] == len(whole["csv"]) > 400
    by_pages = pbx_rows(vendors, server="2", limit=37, **window(FIRST, LAST))
    assert [list(row.values()) for row in by_pages] == whole["csv"]


def test_pbx_says_exactly_its_truth(vendors: Vendors) -> None:
    served = Counter(
        (
            server,
            row["Unique ID"],
            int(row["Date/Time"]),
            OUTCOME[row["Status"]],
            int(row["Total Duration"]),
            Decimal(row["Rating Cost"]) if row["Rating Cost"] else None,
        )
        for server in ("2", "7", "9")
        for row in pbx_rows(vendors, server=server, **window(FIRST, LAST))
    )
    meant = Counter(
        (x.account_id, x.native_id, int(x.started_at.timestamp()), x.outcome, x.duration_seconds, x.cost)
        for x in vendors.truth.legs("pbxware", FIRST, LAST)
    )
    assert served == meant


@pytest.mark.parametrize("day", [WEDNESDAY, CLOCKS_BACK])
def test_pbx_ends_are_inclusive_to_the_second(vendors: Vendors, day: date) -> None:
    begin, end = day_bounds(day)
    times = sorted(int(row["Date/Time"]) for row in pbx_rows(vendors, server="2", **window(day)))
    assert begin <= times[0] <= times[-1] < end
    first, last = times[2], times[-3]
    asked = pbx_rows(vendors, server="2", **utc_window(first, last))
    assert sorted(int(row["Date/Time"]) for row in asked) == [t for t in times if first <= t <= last]


def test_pbx_reads_the_window_in_the_zone_asked_for(vendors: Vendors) -> None:
    rows = pbx_rows(vendors, server="2", timezone="America/New_York", **window(WEDNESDAY))
    begin = int(datetime(2026, 10, 21, 4, tzinfo=UTC).timestamp())
    assert rows
    assert all(begin <= int(row["Date/Time"]) < begin + 86_400 for row in rows)


def test_the_repeated_hour_has_calls_in_both_its_passes(vendors: Vendors) -> None:
    begin, end = day_bounds(CLOCKS_BACK)
    assert end - begin == 25 * 3600
    for hour in (1, 2):
        assert pbx_rows(vendors, **utc_window(begin + hour * 3600, begin + hour * 3600 + 3599))


def test_pbx_filters_part_the_rows(vendors: Vendors) -> None:
    def uids(**params: Any) -> Counter[str]:
        return Counter(row["Unique ID"] for row in pbx_rows(vendors, server="2", **window(FIRST, LAST), **params))

    whole = uids()
    assert sum((uids(status=bit) for bit in (8, 4, 2, 1)), Counter()) == whole == uids(cdrtype=3)
    assert uids(status=12) == uids(status=8) + uids(status=4)
    incoming, outgoing = uids(cdrtype=1), uids(cdrtype=2)
    internal = Counter(
        leg.native_id
        for leg in vendors.truth.legs("pbxware", FIRST, LAST)
        if (leg.direction, leg.account_id) == ("internal", "2")
    )
    assert incoming + outgoing + internal == whole
    assert min(map(len, (incoming, outgoing, internal))) > 20
    rows = pbx_rows(vendors, server="2", ext="101,102", **window(FIRST, LAST))
    assert rows
    assert all(row["From"].rstrip(")").endswith(("101", "102")) for row in rows)
    assert uids(trunk="6099") == incoming
    assert "error" in pbx(vendors, trunk="6099", ext="101", **window(WEDNESDAY))


def test_pbx_empty_answer(vendors: Vendors) -> None:
    response = pbx(vendors, server="2", **window(date(2026, 9, 1)))
    assert (response["header"], response["records"], response["csv"], response["next_page"]) == (None, 0, [], False)
    assert pbx(vendors, server="1", **window(WEDNESDAY))["csv"] == []
    assert pbx(vendors, server="2", page=9999, **window(WEDNESDAY))["csv"] == []


def test_pbx_headers_with_and_without_server(vendors: Vendors) -> None:
    with_server = pbx(vendors, server="2", **window(WEDNESDAY))
    assert with_server["header"][0] == "From"
    assert with_server["header"][-1] == "MOS"
    assert "Unique ID" in with_server["header"]
    without = pbx(vendors, **window(WEDNESDAY))
    assert (without["header"][0], len(without["header"])) == ("Tenant", 12)
    assert "ID" in without["header"]
    assert {"Unique ID", "MOS"}.isdisjoint(without["header"])
    assert {len(row) for row in without["csv"] + with_server["csv"]} == {12}


def test_pbx_variations() -> None:
    options = {"pbx_old_names": True, "pbx_next_page": "text", "pbx_billamount": "text", "pbx_sorted": True}
    with Vendors(first=WEDNESDAY, last=WEDNESDAY, scale=0.3, options=options) as served:
        response = pbx(served, server="2", **window(WEDNESDAY))
        assert response["next_page"] == "true"
        assert {"Duration", "Billing Duration", "Billing Cost"} <= set(response["header"])
        times = [int(row[2]) for row in response["csv"]]
        assert times == sorted(times)
        assert isinstance(pbx(served, "cdr.billamount", server="2", **window(WEDNESDAY))["billamount"], str)
    with Vendors(first=WEDNESDAY, last=WEDNESDAY, options={"pbx_rating": False, "pbx_next_page": "number"}) as served:
        response = pbx(served, server="2", **window(WEDNESDAY))
        assert response["next_page"] == 1
        assert len(response["header"]) == len(response["csv"][0]) == 10
    with pytest.raises(TypeError):
        Vendors(options={"pbx_typo": True})


def test_pbx_rows_come_unsorted_and_always_the_same(vendors: Vendors) -> None:
    first, again = (pbx(vendors, server="2", limit=200, **window(WEDNESDAY))["csv"] for _ in range(2))
    times = [int(row[2]) for row in first]
    assert first == again
    assert times != sorted(times)
    assert times != sorted(times, reverse=True)


@pytest.mark.parametrize("cdrtype", ["", "1", "2"])
def test_billamount_is_the_sum_of_cost(vendors: Vendors, cdrtype: str) -> None:
    asked = {"server": "7", "cdrtype": cdrtype, **window(FIRST, LAST)}
    costs = [row["Rating Cost"] for row in pbx_rows(vendors, **asked)]
    said = pbx(vendors, "cdr.billamount", **asked)["billamount"]
    assert Decimal(str(said)) == sum(Decimal(cost) for cost in costs if cost)
    assert said > 0


def test_pbx_lists(vendors: Vendors) -> None:
    tenants = pbx(vendors, "tenant.list")
    assert set(tenants) == {"1", "2", "7", "9"}
    assert tenants["2"]["tenantcode"] == "344"
    assert pbx(vendors, "department.list", server="9") == []
    assert pbx(vendors, "ext.list", server="1") == []
    extensions = [pbx(vendors, "ext.list", server=server) for server in ("2", "7", "9")]
    assert pbx(vendors, "ext.list") == {k: v for one in extensions for k, v in one.items()}
    departments = pbx(vendors, "department.list", server="2")
    assert {d for e in extensions[0].values() for d in e["department"].split(",")} <= set(departments)
    assert "error" in pbx(vendors, "did.list")
    assert "error" in pbx(vendors, "did.list", server="1")
    assert {did["server"] for did in pbx(vendors, "did.list", server="7").values()} == {"7"}
    assert "6099" in pbx(vendors, "trunk.list")
    currencies = [pbx(vendors, "tenant.configuration", id=s)["currency"] for s in ("2", "7", "9")]
    assert currencies == ["EUR", "€", ""]
    flat, by_time = (pbx(vendors, "splan.rates", id=plan) for plan in pbx(vendors, "splan.list"))
    assert flat["1:135:1"]["outbound"] == by_time["2:135:1"]["70"]["outbound"] == "0.00800"
    assert list(pbx(vendors, "splan.rates", id="1", route="135", dgroup="3")) == ["1:135:3"]


def test_pbx_without_tenants() -> None:
    with Vendors(first=WEDNESDAY, last=WEDNESDAY, scale=0.2, options={"pbx_tenant_mode": False}) as served:
        assert pbx(served, "tenant.list") == []
        assert pbx(served, **window(WEDNESDAY))["header"][0] == "From"
        assert pbx(served, "did.list")


# --- the world ---


@pytest.fixture(scope="module")
def month() -> Vendors:
    """A month's world, never served."""
    return Vendors(seed=7)


def test_the_awkward_calls_are_there(month: Vendors) -> None:
    first, last = month.first, month.last
    legs = month.truth.legs("pbxware", first, last)
    assert max(Counter(legs).values()) > 1, "no identical rows"
    by_uid = defaultdict(list)
    for leg in legs:
        by_uid[leg.account_id, leg.native_id].append(leg)
    shapes = Counter(tuple(leg.outcome for leg in sorted(same, key=lambda x: x.started_at)) for same in by_uid.values())
    assert shapes["failed", "failed", "answered"] > 5
    assert shapes["no_answer", "voicemail"] > 20
    assert (
        shapes["no_answer", "no_answer", "no_answer", "answered"]
        + shapes["answered", "no_answer", "no_answer", "no_answer"]
    )
    assert {len({leg.call for leg in same}) for same in by_uid.values()} == {1}, "one id on two calls"
    assert any(f"{uid[:-1]}10" in {u for _, u in by_uid} for _, uid in by_uid if uid.endswith(".1"))
    assert any(("7", uid) in by_uid for account, uid in by_uid if account == "2")
    assert any(len({leg.call_date for leg in same}) == 2 for same in by_uid.values()), "no call over midnight"
    assert any((leg.started_at + timedelta(seconds=leg.duration_seconds)).date() > leg.call_date for leg in legs)
    assert max(leg.duration_seconds for leg in legs) > 86_400
    assert any(leg.cost is None for leg in legs)
    assert {leg.outcome for leg in legs} == set(OUTCOME.values())
    assert {leg.direction for leg in legs} == {"inbound", "outbound", "internal"}
    assert any(leg.direction == "inbound" and leg.remote is None for leg in legs)


def test_every_spelling_of_a_status_and_every_kind_of_party_is_served() -> None:
    with Vendors() as served:
        rows = pbx_rows(served, **window(served.first, served.last))
    assert {row["Status"] for row in rows} == set(OUTCOME)
    texts = {row[side] for row in rows for side in ("From", "To")}
    assert {"anonymous", "", "*97", "100", "344100", "Ring Group 601 Voicemail (106)"} <= texts
    assert {
        "山田 花子 (107)",
        'Rosa "Rosie" Fennimore (103)',
        "Halvard, Ingrid (104)",
        "Reception (front desk) (100)",
    } <= texts


def test_one_unique_id_comes_again_months_later() -> None:
    world = Vendors(first=date(2026, 10, 1), last=date(2027, 1, 2), scale=0.01)
    legs = [leg for leg in world.truth.legs("pbxware", world.first, world.last) if leg.native_id == "1577836800.7"]
    assert [leg.call_date for leg in legs] == [date(2026, 10, 1), date(2027, 1, 1)]
    assert len({leg.call for leg in legs}) == 2


def test_office_hours(month: Vendors) -> None:
    hours = Counter(call.started_at.hour for call in month.truth.calls("pbxware", month.first, date(2026, 10, 23)))
    assert hours[9] > hours[12] > hours[18] > hours[2]
    weekdays = Counter(
        call.call_date.weekday() for call in month.truth.calls("pbxware", date(2026, 10, 5), date(2026, 10, 11))
    )
    assert weekdays[2] > 4 * weekdays[6] > 0


def test_calls_are_fewer_than_legs_and_cost_the_same(month: Vendors) -> None:
    for vendor in ("pbxware", "sipcentric"):
        legs = month.truth.legs(vendor, month.first, month.last + timedelta(days=1))
        calls = month.truth.calls(vendor, month.first, month.last)
        assert len(calls) < len(legs) == sum(call.legs for call in calls)
        assert sum(call.cost or 0 for call in calls) == sum(leg.cost or 0 for leg in legs)


@pytest.mark.parametrize("day", [date(2026, 3, 29), CLOCKS_BACK])
def test_both_clock_changes_have_calls_in_every_early_hour(day: date) -> None:
    world = Vendors(first=day, last=day, scale=0.01)
    begin, end = day_bounds(day)
    assert (end - begin) // 3600 == (23 if day.month == 3 else 25)
    for vendor in ("pbxware", "sipcentric"):
        hours = {int(leg.started_at.timestamp() - begin) // 3600 for leg in world.truth.legs(vendor, day, day)}
        assert {0, 1, 2} <= hours


def test_the_same_seed_gives_the_same_data_whatever_is_asked_first() -> None:
    one, two, other = (Vendors(seed=seed, first=FIRST, last=LAST, scale=0.2) for seed in (5, 5, 6))
    late = two.truth.legs("pbxware", LAST, LAST)
    two.truth.legs("sipcentric", LAST, LAST)
    for vendor in ("pbxware", "sipcentric"):
        legs = one.truth.legs(vendor, FIRST, LAST)
        assert legs == two.truth.legs(vendor, FIRST, LAST) != other.truth.legs(vendor, FIRST, LAST)
    assert late == one.truth.legs("pbxware", LAST, LAST)


def test_a_day_is_the_same_in_a_longer_range() -> None:
    short, long = (Vendors(seed=5, first=first, last=LAST, scale=0.2) for first in (date(2026, 10, 24), FIRST))
    assert short.truth.legs("pbxware", LAST, LAST) == long.truth.legs("pbxware", LAST, LAST)


def test_outside_numbers_are_readable_telephone_numbers() -> None:
    for e164 in Outside.e164:
        number = phonenumbers.parse(e164)
        fictional = e164.startswith("+447700900")  # kept free, so not counted as valid
        assert phonenumbers.is_valid_number(number) or fictional
        assert phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) == e164


# --- Sipcentric ---


def test_sip_refusals(vendors: Vendors) -> None:
    url = f"{vendors.urls['sipcentric']}/customers"
    assert requests.get(url, timeout=10).status_code == 401
    assert requests.get(url, auth=("reseller-demo", "wrong"), timeout=10).status_code == 401
    for path in ("customers/me", "customers/25/nothing", "customers/25/calls/1", "nothing"):
        assert sip(vendors, path).status_code == 404
    assert sip(vendors, "customers/25/calls", startedAfter="yesterday").status_code == 400


def test_sip_paging(vendors: Vendors) -> None:
    default = sip(vendors, "customers/25/calls").json()
    assert (default["pageSize"], default["page"], len(default["items"])) == (20, 1, 20)
    assert "prevPage" not in default
    large = sip(vendors, "customers/25/calls", pageSize=1000).json()
    assert (large["pageSize"], len(large["items"])) == (200, 200)
    created = [stamp(item["created"]) for item in sip_items(vendors, "customers/25/calls")]
    assert created == sorted(created, reverse=True)
    assert len(sip_items(vendors, "customers")) == 4
    assert sip(vendors, "customers", pageSize=3, page=2).json()["items"][0]["uri"].endswith("/customers/48")


def stamp(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_sip_says_exactly_its_truth(vendors: Vendors) -> None:
    served = set()
    for customer in ("25", "26", "31", "48"):
        for item in sip_items(vendors, f"customers/{customer}/calls", includeLocal="true"):
            cost = None if item["cost"] is None else Decimal(str(item["cost"]))
            outcome = item["outcome"].lower().replace("-", "_").replace(" ", "_")
            started = stamp(item["callStarted"])
            final = item.get("final", True)
            served.add((customer, item["uri"], item["linkedId"], started, outcome, item["duration"], cost, final))
    meant = {
        (
            x.account_id,
            x.native_id,
            x.linked_id,
            x.started_at,
            x.outcome,
            x.duration_seconds,
            x.cost,
            not x.is_provisional,
        )
        for x in vendors.truth.legs("sipcentric", FIRST, LAST)
    }
    assert served == meant
    assert {final for *_, final in served} == {True, False}


def test_sip_objects_old_and_new(vendors: Vendors) -> None:
    old = sip_items(vendors, "customers/25/calls", includeLocal="true")
    new = sip_items(vendors, "customers/26/calls", includeLocal="true")
    assert {"final", "id", "parent"}.isdisjoint(old[0])
    assert {"final", "id", "parent", "srcEndpoint"} <= set(new[0])
    assert old[0]["created"].endswith(".000+0000")
    assert new[0]["created"].endswith("Z")
    assert {item["scope"] for item in old} == {"LOCAL", "DOMAIN", "EXTERNAL"}
    legs = defaultdict(list)
    for item in old:
        legs[item["linkedId"]].append(item["callId"])
    assert all(linked in calls for linked, calls in legs.items())
    assert max(map(len, legs.values())) >= 5
    assert sip(vendors, f"customers/25/calls/{old[0]['uri'].split('/')[-1]}").json() == old[0]


def test_sip_filters(vendors: Vendors) -> None:
    whole = sip_items(vendors, "customers/25/calls", includeLocal="true")
    default = sip_items(vendors, "customers/25/calls")
    assert [i for i in whole if i["scope"] != "LOCAL"] == default
    assert len(default) < len(whole)
    directions = [sip_items(vendors, "customers/25/calls", direction=way) for way in ("in", "out")]
    assert sorted(i["uri"] for way in directions for i in way) == sorted(i["uri"] for i in default)
    party = next(i["to"] for i in default if i["direction"] == "OUT")
    assert sip_items(vendors, "customers/25/calls", to=party) == [i for i in default if i["to"] == party]


@pytest.mark.parametrize("inclusive", [False, True])
def test_sip_bounds_are_strict_unless_told(inclusive: bool) -> None:
    with Vendors(first=WEDNESDAY, last=WEDNESDAY, options={"sip_inclusive": inclusive}) as served:
        items = sip_items(served, "customers/25/calls")
        for field, after, before in (
            ("callStarted", "startedAfter", "startedBefore"),
            ("created", "createdAfter", "createdBefore"),
        ):
            times = sorted(i[field] for i in items)
            low, high = times[3], times[-4]
            found = sip_items(served, "customers/25/calls", **{after: low, before: high})
            expected = [t for t in times if (low <= t <= high if inclusive else low < t < high)]
            assert sorted(i[field] for i in found) == expected
            assert expected


def test_sip_links(vendors: Vendors) -> None:
    asked = {"startedAfter": "2026-10-21T00:00:00Z", "pageSize": 20}
    links = [sip(vendors, "customers/25/calls", page=page, **asked).json()["nextPage"] for page in (1, 2, 3)]
    assert all("startedAfter" not in link for link in links)
    assert urlsplit(links[1]).scheme == "http"
    assert urlsplit(links[2]).hostname == "pbx2.example.net"
    frozen = parse_qs(urlsplit(links[2]).query)["createdBefore"][0]
    whole = sip(vendors, "customers/25/calls", **asked).json()["totalItems"]
    assert sip(vendors, "customers/25/calls", createdBefore=frozen, **asked).json()["totalItems"] == whole
    tidy = sip(vendors, "customers/25/sms", pageSize=2).json()["nextPage"]
    assert tidy.endswith("/customers/25/sms?pageSize=2&page=2")


def test_sip_stats(vendors: Vendors) -> None:
    asked = {"includeLocal": "true", "startedAfter": "2026-10-21T23:00:00Z", "startedBefore": "2026-10-23T23:00:00Z"}
    items = sip_items(vendors, "customers/26/calls", **asked)
    totals = {
        metric: sip(vendors, "customers/26/calls/stats", dimension="day", metric=metric, **asked).json()
        for metric in ("count", "cost", "duration")
    }
    assert totals["count"]["totals"]["count"] == len(items) > 0
    assert totals["duration"]["totals"]["duration"] == sum(i["duration"] for i in items)
    assert Decimal(str(totals["cost"]["totals"]["cost"])) == sum(Decimal(str(i["cost"] or 0)) for i in items)
    assert [day for day, _ in totals["count"]["rows"]] == ["2026-10-22", "2026-10-23"]


def test_sip_without_stats_and_beyond_the_limit() -> None:
    with Vendors(first=WEDNESDAY, last=WEDNESDAY, options={"sip_stats": False, "sip_limit": 2}) as served:
        first = sip(served, "customers/25/calls/stats")
        assert first.status_code == 404
        assert first.headers["X-RateLimit-Remaining"] == "1"
        assert sip(served, "customers").status_code == 200
        refused = sip(served, "customers")
        assert refused.status_code == 429
        assert refused.headers["X-RateLimit-Limit"] == "2"
        assert refused.headers["X-RateLimit-Remaining"] == "0"
        assert 0 < int(refused.headers["X-RateLimit-Reset"]) <= 3600


def test_sip_lists(vendors: Vendors) -> None:
    assert {e["type"] for e in sip_items(vendors, "customers/25/endpoints")} == {"ivr", "phone", "virtual", "group"}
    assert sip_items(vendors, "customers/25/phonenumbers")[0]["type"] == "did"
    bundles = sip_items(vendors, "customers/26/callbundles")
    assert len({b["uri"] for b in bundles}) == len(bundles) == 4
    assert all(b["usedMins"] + b["availableMins"] == b["inclusiveMins"] for b in bundles)
    fields = [
        set(sip(vendors, f"customers/{c}/creditstatus").json()) - {"type", "uri", "accountType"} for c in ("25", "26")
    ]
    assert fields == [{"creditRemaining"}, {"balance"}]


def test_sip_messages(vendors: Vendors) -> None:
    messages = [m for c in ("25", "26", "31", "48") for m in sip_items(vendors, f"customers/{c}/sms")]
    truth = vendors.truth.sms(FIRST, LAST)
    assert {m["uri"] for m in messages} == {m.native_id for m in truth}
    assert {m["direction"] for m in messages} == {"IN", "OUT"}
    assert sum(Decimal(str(m["cost"])) for m in messages) == sum(m.cost for m in truth) > 0


# --- TIM4biz ---


def test_tim_agrees_with_the_pbx(vendors: Vendors) -> None:
    for day in (WEDNESDAY, CLOCKS_BACK):
        served = {
            r["Extension"]: r for r in tim(vendors, f"{day}T00:00:00", f"{day + timedelta(days=1)}T00:00:00").json()
        }
        calls = defaultdict(list)
        for call in vendors.truth.calls("pbxware", day, day):
            calls[call.extension].append(call)
        assert set(served) == set(calls)
        for extension, own in calls.items():
            row = served[extension]
            assert row["Calls"] == len(own) == row["Incoming"] + row["Outgoing"]
            assert row["Incoming"] == sum(call.direction == "inbound" for call in own)
            assert row["Duration"] == sum(call.talk_seconds for call in own)
            assert Decimal(str(row["Cost"] or 0)) == sum(call.cost or 0 for call in own)
        assert {t.extension: t.calls for t in vendors.truth.extension_totals(day, day)} == {
            extension: row["Calls"] for extension, row in served.items()
        }


@settings(max_examples=15)
@given(minutes=st.integers(1, 1439))
def test_tim_totals_add_up(small: Vendors, minutes: int) -> None:
    start, end = datetime(2026, 10, 22), datetime(2026, 10, 23)
    middle = start + timedelta(minutes=minutes)

    def totals(low: datetime, high: datetime) -> Counter[str]:
        rows = tim(small, low.isoformat(), high.isoformat()).json()
        return Counter({r["Extension"]: r["Calls"] for r in rows})

    assert totals(start, middle) + totals(middle, end) == totals(start, end)


@settings(max_examples=15)
@given(cut=st.integers(1, 86_399))
def test_pbx_windows_tile(small: Vendors, cut: int) -> None:
    begin, end = day_bounds(WEDNESDAY)
    parts = [pbx_rows(small, server="2", **utc_window(*w)) for w in ((begin, begin + cut - 1), (begin + cut, end - 1))]
    whole = pbx_rows(small, server="2", **window(WEDNESDAY))
    assert Counter(str(row) for part in parts for row in part) == Counter(map(str, whole))


def test_tim_refusals(vendors: Vendors) -> None:
    day, month = ("2026-10-21T00:00:00", "2026-10-22T00:00:00"), ("2026-10-01T00:00:00", "2026-11-01T00:00:00")
    assert tim(vendors, *month).status_code == 200
    assert tim(vendors, month[0], "2026-11-01T00:00:01").status_code == 400
    assert tim(vendors, *day, method="POST").status_code == 400
    assert tim(vendors, day[1], day[0]).status_code == 400
    assert tim(vendors, "", day[1]).status_code == 400
    url = f"{vendors.urls['tim4biz']}/ExtensionTotal"
    assert requests.get(url, timeout=10).status_code == 401
    login = (vendors.secrets["TIM4BIZ_USERNAME"], vendors.secrets["TIM4BIZ_PASSWORD"])
    assert requests.get(f"{vendors.urls['tim4biz']}/Other", auth=login, timeout=10).status_code == 404


def test_tim_limits() -> None:
    asked = ("2026-10-21T00:00:00", "2026-10-22T00:00:00")
    with Vendors(first=WEDNESDAY, last=WEDNESDAY, options={"tim_limit": 0}) as served:
        refused = tim(served, *asked)
        assert (refused.status_code, refused.headers["TIM4biz-Rate-Limit-Limit"]) == (429, "0")
    options = {"tim_limit_24_hours": 1, "tim_duration": "clock", "tim_wrapped": True}
    with Vendors(first=WEDNESDAY, last=WEDNESDAY, options=options) as served:
        first = tim(served, *asked)
        assert first.json()["ExtensionTotals"][0]["Duration"].count(":") == 2
        refused = tim(served, *asked)
        assert refused.status_code == 429
        assert refused.headers["TIM4biz-Rate-Limit-Remaining-24-Hours"] == "0"
        assert int(refused.headers["TIM4biz-Rate-Limit-Remaining"]) > 0


# --- Time4VPS ---


def test_vps_invoices_add_up_and_the_list_agrees_with_the_detail(vendors: Vendors) -> None:
    listed = vps(vendors, "invoice")["invoices"]
    assert {i["status"] for i in listed} == {"Paid", "Unpaid", "Cancelled", "Refunded", "Creditnote", "Draft"}
    assert len({i["currency"] for i in listed}) == 2
    types, items = set(), set()
    for one in listed:
        detail = vps(vendors, f"invoice/{one['id']}")["invoice"]
        assert {"dateorig", "merge_id"} <= set(one)
        assert {"dateorig", "merge_id"}.isdisjoint(detail)
        assert Decimal(one["total"]) == detail["total"]
        assert sum(Decimal(line["linetotal"]) for line in detail["items"]) == detail["subtotal"]
        taxed = sum(Decimal(line["linetotal"]) for line in detail["items"] if line["taxed"] == "1")
        assert abs(taxed * detail["taxrate"] / 100 - detail["tax"]) <= Decimal("0.005")
        assert detail["subtotal"] + detail["tax"] - detail["credit"] == detail["total"]
        assert (one["datepaid"] == "0000-00-00 00:00:00") == (one["status"] not in {"Paid", "Refunded"})
        types |= {line["type"] for line in detail["items"]}
        items |= {line["item_id"] for line in detail["items"]}
    assert {"Hosting", "Addon", "Other", "Upgrade", "Invoice", "RefundedItem", "LateFee"} <= types
    assert {"0", "-2", "301"} <= items
    assert any(i.credit for i in vendors.truth.invoices())


def test_vps_merged_invoice_is_the_sum_of_its_originals(vendors: Vendors) -> None:
    listed = vps(vendors, "invoice")["invoices"]
    originals = [i for i in listed if i["merge_id"]]
    assert len({i["merge_id"] for i in originals}) == 1
    merged = vps(vendors, f"invoice/{originals[0]['merge_id']}")["invoice"]
    assert {line["item_id"] for line in merged["items"]} == {i["id"] for i in originals}
    expected = {i.id for i in vendors.truth.invoices() if not i.counts_as_expense}
    assert {i["id"] for i in originals} <= expected
    assert merged["id"] not in expected


def test_vps_balance_and_services(vendors: Vendors) -> None:
    response = vps(vendors, "balance")
    unpaid = [i for i in vps(vendors, "invoice")["invoices"] if i["status"] == "Unpaid"]
    assert response["success"] is True
    assert Decimal(response["details"]["acc_balance"]) == sum(Decimal(i["total"]) for i in unpaid) > 0
    services = vps(vendors, "service")["services"]
    assert vps(vendors, f"service/{services[0]['id']}")["service"]["domain"] == services[0]["domain"]
    assert "0000-00-00" in {s["next_due"] for s in services}
    with Vendors(options={"vps_balance": "flat", "vps_currency": "EUR"}) as served:
        assert set(vps(served, "balance")) == {"currency", "acc_balance", "acc_credit"}


@pytest.mark.parametrize("status", [401, 200])
def test_vps_wrong_login(status: int) -> None:
    with Vendors(options={"vps_login_error_status": status}) as served:
        response = requests.get(f"{served.urls['time4vps']}/balance", auth=("a", "b"), timeout=10)
        assert (response.status_code, response.json()) == (status, {"error": ["wronglogin"]})


# --- changes afterwards ---


def test_changes_show_in_what_is_served_and_in_the_truth() -> None:
    with Vendors(first=FIRST, last=LAST, scale=0.5) as served:
        before = pbx_rows(served, server="2", **window(WEDNESDAY))
        served.add_late_rows(WEDNESDAY, 4)
        late = pbx_rows(served, server="2", **window(WEDNESDAY))
        assert len(late) == len(before) + 4
        assert Counter(map(str, before)) <= Counter(map(str, late))
        assert len(served.truth.legs("pbxware", WEDNESDAY, WEDNESDAY)) == len(pbx_rows(served, **window(WEDNESDAY)))
        served.withdraw_row(WEDNESDAY)
        assert len(pbx_rows(served, server="2", **window(WEDNESDAY))) == len(before) + 3

        day = {"startedAfter": "2026-10-20T22:59:59Z", "startedBefore": "2026-10-21T23:00:00Z", "includeLocal": "true"}
        calls = {i["uri"] for i in sip_items(served, "customers/25/calls", **day)}
        served.add_late_rows(WEDNESDAY, 2, "sipcentric")
        more = {i["uri"] for i in sip_items(served, "customers/25/calls", **day)}
        assert calls < more
        assert len(more) == len(calls) + 2
        served.withdraw_row(WEDNESDAY, "sipcentric")
        assert len(sip_items(served, "customers/25/calls", **day)) == len(calls) + 1


def test_settling_rates_what_was_unrated_and_nothing_else() -> None:
    with Vendors(first=FIRST, last=LAST) as served:
        before = served.truth.legs("pbxware", FIRST, LAST)
        provisional = [x for x in served.truth.legs("sipcentric", FIRST, LAST) if x.is_provisional]
        assert any(leg.cost is None for leg in before)
        assert provisional
        url = f"{served.urls['pbxware'].removesuffix('/pbxware/')}/_demo/settle_provisional"
        assert requests.post(url, timeout=10).json() == {"success": True}
        after = served.truth.legs("pbxware", FIRST, LAST)
        assert all(row["Rating Cost"] for row in pbx_rows(served, **window(FIRST, LAST)))
        assert [(a.native_id, a.cost) for a in after if a.cost is not None and a not in before]
        assert all(b.cost in (None, a.cost) for b, a in zip(before, after, strict=True))
        calls = {x.native_id: x for x in served.truth.legs("sipcentric", FIRST, LAST)}
        assert all(not x.is_provisional and x.cost for x in (calls[p.native_id] for p in provisional))


def test_paying_an_invoice_changes_its_number_and_date_not_its_id() -> None:
    with Vendors() as served:
        unpaid = next(i for i in vps(served, "invoice")["invoices"] if i["status"] == "Unpaid")
        url = f"{served.urls['pbxware'].removesuffix('/pbxware/')}/_demo/pay_invoice"
        assert requests.post(url, data={"id": unpaid["id"]}, timeout=10).status_code == 200
        paid = next(i for i in vps(served, "invoice")["invoices"] if i["id"] == unpaid["id"])
        assert paid["status"] == "Paid"
        assert (paid["dateorig"], paid["total"]) == (unpaid["dateorig"], unpaid["total"])
        assert {"number", "date", "datepaid"} <= {name for name in paid if paid[name] != unpaid[name]}
        assert requests.post(url, data={"id": unpaid["id"]}, timeout=10).status_code == 400
        assert requests.post(url.replace("pay_invoice", "nothing"), timeout=10).status_code == 404
        assert requests.get(url, timeout=10).status_code == 404


# --- misbehaviour ---


def served_with(*faults: Fault) -> Vendors:
    return Vendors(first=WEDNESDAY, last=WEDNESDAY, scale=0.5, faults=faults)


def test_a_fault_strikes_the_requests_it_is_meant_for() -> None:
    fault = Fault(
        "status", "pbxware", "cdr.*", nth=2, times=2, where={"server": "2"}, params={"status": 503, "Retry_After": 7}
    )
    with served_with(fault) as served:
        key = {"apikey": served.secrets["PBXWARE_API_KEY"], "action": "pbxware.cdr.download", **window(WEDNESDAY)}

        def ask(server: str) -> requests.Response:
            return requests.get(served.urls["pbxware"], params={**key, "server": server}, timeout=10)

        assert [ask(server).status_code for server in ("2", "7", "2", "2", "2")] == [200, 200, 503, 503, 200]
        assert pbx(served, "ext.list")
        struck = [logged for logged in served.requests if logged.status == 503]
        assert [(x.vendor, x.endpoint, x.params["server"]) for x in struck] == [("pbxware", "cdr.download", "2")] * 2
        assert "apikey" not in struck[0].params
        served.faults.clear()
        served.faults.add(Fault("status", times=None, params={"status": 429, "Retry_After": 7}))
        assert (ask("2").status_code, ask("2").headers["Retry-After"]) == (429, "7")


def test_faults_are_read_from_text() -> None:
    fault = Fault.parse("status,vendor=pbxware,endpoint=cdr.download,nth=3,times=0,status=429,Retry_After=5")
    assert fault == Fault("status", "pbxware", "cdr.download", 3, None, {}, {"status": 429, "Retry_After": 5})
    with pytest.raises(ValueError, match="no such fault"):
        Fault.parse("explode")


CDR_FAULTS: dict[str, tuple[dict[str, Any], Any]] = {
    "drop_column": ({"name": "Rating Cost"}, lambda a: "Rating Cost" not in a["header"] and len(a["csv"][0]) == 11),
    "rename_column": ({"name": "Status", "to": "State"}, lambda a: "State" in a["header"]),
    "drop_header": ({}, lambda a: len(a["header"]) == len(a["csv"][0]) - 1),
    "reorder_columns": ({}, lambda a: a["header"][0] == "MOS" and a["csv"][0][-2] != ""),
    "extra_column": ({}, lambda a: a["header"][2] == "Codec" and a["csv"][3][2] == "opus"),
    "short_row": ({"row": 4}, lambda a: [i for i, row in enumerate(a["csv"]) if len(row) == 11] == [4]),
    "long_row": ({"row": 4}, lambda a: [i for i, row in enumerate(a["csv"]) if len(row) == 13] == [4]),
    "cell": ({"name": "MOS", "value": "n/a"}, lambda a: a["csv"][0][-1] == "n/a"),
    "unknown_status": ({}, lambda a: a["csv"][0][6] == "Teleported"),
    "weird_duration": ({"value": True}, lambda a: a["csv"][0][3] is True),
    "drop_row": ({}, lambda a: a["records"] == len(a["csv"]) == 15),
    "repeat_row": ({}, lambda a: a["csv"][0] == a["csv"][-1]),
    "repeat_rows": ({}, lambda a: a["records"] == 32 and a["csv"][:16] == a["csv"][16:]),
    "outside_row": ({}, lambda a: int(a["csv"][0][2]) < day_bounds(WEDNESDAY)[0]),
    "field": ({"limit": 7}, lambda a: a["limit"] == 7),
    "without": ({"name": "csv"}, lambda a: "csv" not in a),
    "next_page": ({"value": "maybe"}, lambda a: a["next_page"] == "maybe"),
    "page_size_ignored": ({"size": 3}, lambda a: len(a["csv"]) == 3),
}


@pytest.mark.parametrize("kind", CDR_FAULTS)
def test_faults_of_the_call_records(kind: str) -> None:
    params, shows = CDR_FAULTS[kind]
    with served_with(Fault(kind, "pbxware", "cdr.download", params=params)) as served:
        asked = {"server": "2", **window(WEDNESDAY)}
        assert shows(pbx(served, **asked))
        sound = pbx(served, **asked)
        assert not shows(sound)


def test_faults_of_paging() -> None:
    asked: dict[str, Any] = {"server": "2", "limit": 20, **window(WEDNESDAY)}
    with served_with() as served:
        first, second = (pbx(served, page=page, **asked)["csv"] for page in (1, 2))
        total = len(pbx_rows(served, server="2", **window(WEDNESDAY)))
        served.faults.add(Fault("repeat_page", times=None, params={}))
        assert pbx(served, page=5, **asked)["csv"] == first
        served.faults.clear()
        served.faults.add(Fault("duplicate_page"))
        assert [pbx(served, page=2, **asked)["csv"] for _ in range(2)] == [first, second]
        served.faults.add(Fault("insert_rows", params={"n": 5}))
        pbx(served, page=2, **asked)
        assert len(pbx_rows(served, server="2", **window(WEDNESDAY))) == total + 5
        served.faults.add(Fault("remove_rows", params={"n": 2}))
        pbx(served, page=2, **asked)
        assert len(pbx_rows(served, server="2", **window(WEDNESDAY))) == total + 3


def test_faults_of_figures() -> None:
    figures = [
        Fault("billamount_off", "pbxware", "cdr.billamount"),
        Fault("tim_off", "tim4biz"),
        Fault("line_off", "time4vps", "invoice/detail", nth=1),
        Fault("tax_off", "time4vps", "invoice/detail", nth=2),
        Fault("list_off", "time4vps", "invoice"),
        Fault("total_items", "sipcentric", "calls", params={"by": 3}),
        Fault("hostile_next", "sipcentric", "calls", nth=2),
        Fault("add", "time4vps", "balance", params={"name": "acc_balance", "by": -1}),
        Fault("cost_off", "sipcentric", "calls", path="/customers/26/*"),
        Fault("added_row", "tim4biz", nth=3, params={"Extension": "999"}),
        Fault("turned_call", "pbxware", "cdr.download", where={"server": "7"}),
    ]
    with served_with(*figures) as served:
        wrong, right = (
            Decimal(str(pbx(served, "cdr.billamount", **window(WEDNESDAY))["billamount"])) for _ in range(2)
        )
        assert wrong - right == Decimal("0.01")
        wrong, right = (tim(served, "2026-10-21T00:00:00", "2026-10-22T00:00:00").json()[0]["Calls"] for _ in range(2))
        assert wrong - right == 1
        line, tax, sound = (vps(served, "invoice/308002")["invoice"] for _ in range(3))
        assert sum(Decimal(i["linetotal"]) for i in line["items"]) - line["subtotal"] == Decimal("0.01")
        assert tax["tax"] - sound["tax"] == Decimal("0.01")
        wrong, right = (Decimal(vps(served, "invoice")["invoices"][0]["total"]) for _ in range(2))
        assert wrong - right == Decimal("0.01")
        counted, hostile, sound = (sip(served, "customers/25/calls", pageSize=5).json() for _ in range(3))
        assert counted["totalItems"] == sound["totalItems"] + 3
        assert hostile["nextPage"].startswith("http://169.254.169.254/")
        wrong, right = (Decimal(vps(served, "balance")["details"]["acc_balance"]) for _ in range(2))
        assert wrong - right == -1
        calls = [sip(served, "customers/26/calls", pageSize=50).json()["items"] for _ in range(2)]
        costs = [Decimal(str(w["cost"])) - Decimal(str(r["cost"])) for w, r in zip(*calls, strict=True) if w != r]
        assert costs == [Decimal("-0.01")]
        wrong, right = (tim(served, "2026-10-21T00:00:00", "2026-10-22T00:00:00").json() for _ in range(2))
        assert (wrong[:-1], wrong[-1]["Extension"]) == (right, "999")
        turned = [pbx(served, limit=500, server="7", **window(WEDNESDAY))["csv"] for _ in range(2)]
        assert [w[:2] for w, r in zip(*turned, strict=True) if w != r] == [
            r[1::-1] for w, r in zip(*turned, strict=True) if w != r
        ]
        assert turned[0] != turned[1]


def raw_get(served: Vendors) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(urlsplit(served.urls["pbxware"]).netloc, timeout=5)
    connection.request("GET", f"/pbxware/?apikey={served.secrets['PBXWARE_API_KEY']}&action=pbxware.tenant.list")
    return connection.getresponse(), connection


WIRE_FAULTS: list[tuple[str, dict[str, Any], Any]] = [
    ("status", {"status": 204}, lambda r: (r.status, r.read()) == (204, b"")),
    ("headers", {"X_Extra": "1"}, lambda r: r.headers["X-Extra"] == "1"),
    ("body", {"body": b"\xff\xfe"}, lambda r: r.read() == b"\xff\xfe"),
    ("html", {}, lambda r: r.status == 200 and b"<form>" in r.read()),
    ("redirect", {"url": "https://elsewhere.example"}, lambda r: r.headers["Location"] == "https://elsewhere.example"),
    ("unframed", {}, lambda r: "Content-Length" not in r.headers and not r.read().endswith(b"}")),
]


@pytest.mark.parametrize(("kind", "params", "shows"), WIRE_FAULTS, ids=[kind for kind, *_ in WIRE_FAULTS])
def test_faults_of_the_wire(kind: str, params: dict[str, Any], shows: Any) -> None:
    with served_with(Fault(kind, params=params)) as served:
        assert shows(raw_get(served)[0])
        assert json.loads(raw_get(served)[0].read())["2"]


@pytest.mark.parametrize("kind", ["reset", "truncate", "cut_chunk"])
def test_faults_that_break_the_connection(kind: str) -> None:
    with served_with(Fault(kind)) as served:
        with pytest.raises((ConnectionError, http.client.IncompleteRead)):
            raw_get(served)[0].read()
        assert raw_get(served)[0].status == 200


def test_faults_of_time() -> None:
    with served_with(
        Fault("delay", params={"seconds": 0.2}), Fault("drip", nth=2, params={"seconds": 0.0005})
    ) as served:
        for least in (0.2, 0.2):
            started = time.monotonic()
            assert json.loads(raw_get(served)[0].read())
            assert time.monotonic() - started >= least


def test_no_headers_takes_the_limits_headers_away() -> None:
    with served_with(Fault("no_headers", "sipcentric")) as served:
        assert "X-RateLimit-Limit" not in sip(served, "customers").headers
        assert "X-RateLimit-Limit" in sip(served, "customers").headers


def test_every_kind_of_fault_is_tested() -> None:
    elsewhere = {
        *("delay", "drip", "reset", "truncate", "cut_chunk", "no_headers", "insert_rows", "remove_rows"),
        *("repeat_page", "duplicate_page", "billamount_off", "tim_off", "line_off", "tax_off", "list_off"),
        *("total_items", "hostile_next", "add", "cost_off", "added_row", "turned_call"),
    }
    assert set(CDR_FAULTS) | {kind for kind, *_ in WIRE_FAULTS} | elsewhere == KINDS


# --- the server and what goes with it ---


def test_connections_are_kept_and_eight_are_served_at_once(vendors: Vendors) -> None:
    def pages(_: int) -> int:
        session = requests.Session()
        params = {"apikey": vendors.secrets["PBXWARE_API_KEY"], "action": "pbxware.cdr.download", **window(WEDNESDAY)}
        rows = 0
        for page in range(1, 6):
            response = session.post(vendors.urls["pbxware"], data={**params, "page": page}, timeout=10)
            rows += response.json()["records"]
        assert response.raw.version == 11
        return rows

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(pages, range(8))) == [80] * 8


def test_a_large_day_is_made_and_served_by_page() -> None:
    with Vendors(first=WEDNESDAY, last=WEDNESDAY, scale=150) as served:
        rows = pbx_rows(
            served, server="2", **utc_window(day_bounds(WEDNESDAY)[0] + 36_000, day_bounds(WEDNESDAY)[0] + 37_199)
        )
        assert len(rows) > 600
        assert len(served.pbx.day("2", WEDNESDAY)) > 20_000


def test_the_sample_configuration_is_a_valid_one(tmp_path: Path, vendors: Vendors) -> None:
    settings_module = pytest.importorskip("pipelines.settings")
    path = vendors.write_config(
        tmp_path / "tollbook.toml", data_dir=tmp_path / "data", lookback_days=1, connections={"hq": {"tenants": ["2"]}}
    )
    loaded = settings_module.load_settings(path)
    assert [c.name for c in loaded.connections] == ["hq", "sip", "tim", "vps"]
    assert loaded.connection("hq").tenants == ("2",)
    assert loaded.lookback_days == 1
    assert loaded.connection("vps").currency == "USD"
    text = path.read_text(encoding="utf-8")
    assert not any(secret in text for secret in vendors.secrets.values())
    rates = (tmp_path / "reference" / "fx_rates.csv").read_text(encoding="utf-8").splitlines()
    assert rates[0] == "date,currency,rate"
    assert rates[1].split(",")[0] < min(str(i.issued_on) for i in vendors.truth.invoices())
    assert (tmp_path / "reference" / "cost_centres.csv").is_file()
    only = vendors.write_config(tmp_path / "one.toml", only=("vps",))
    assert [c.name for c in settings_module.load_settings(only).connections] == ["vps"]


def test_the_documented_samples_are_json() -> None:
    samples = sorted((Path(__file__).parent / "samples").glob("*.json"))
    assert len(samples) == 23
    assert all(json.loads(sample.read_text(encoding="utf-8")) for sample in samples)
