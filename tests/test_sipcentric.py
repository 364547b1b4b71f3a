"""Sipcentric: reading lists, calls and messages whole under all that can happen meanwhile, and typing them exactly."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support import core_rows
from support.stand_in import (
    LONDON,
    Literal,
    StandIn,
    Status,
    controls,
    everything_written,
    rows,
    run,
    sample,
    source,
    statuses,
)

from assets import sipcentric
from assets.http.auth import BasicAuth
from assets.http.client import Client
from assets.http.secret import Secret
from assets.load import load, update_partition
from assets.sipcentric.api import PAGE_SIZE, READINGS, Sipcentric, identifier, instant
from assets.sipcentric.calls import CallParser
from assets.sipcentric.controls import total_of_stats
from assets.stream import Source, Window
from pipelines.demo import Fault, Vendors
from tollbook_errors import AuthError, ContractError, IntegrityError, TollbookError
from warehouse import raw
from warehouse.layout import bounds
from warehouse.money import add_amount_of, money

URI = "https://pbx.sipcentric.com/api/v1/customers"
DAY = date(2026, 10, 21)
CLOCKS_BACK, CLOCKS_FORWARD = date(2026, 10, 25), date(2026, 3, 29)
START, END = bounds(DAY, LONDON)
NUMBERS = count(1)
DUCK = duckdb.connect()
add_amount_of(DUCK)

Item = dict[str, Any]


def page(items: list[Item], query: dict[str, str], cap: int = PAGE_SIZE, **fields: Any) -> dict[str, Any]:
    """One page of a list as documented; ``cap`` is the page size that the vendor allows at most."""
    size, number = min(cap, int(query.get("pageSize", 20))), int(query.get("page", 1))
    response: dict[str, Any] = {
        "totalItems": len(items),
        "pageSize": size,
        "page": number,
        "items": items[(number - 1) * size : number * size],
    }
    if number * size < len(items):
        response["nextPage"] = f"{URI}/25/list?pageSize={size}&page={number + 1}"
    return response | fields


def call(started: datetime | str, number: int | None = None, customer: str = "25", **fields: Any) -> Item:
    """An older call object; fields that are None are null."""
    moment = (
        started if isinstance(started, str) else f"{started:%Y-%m-%dT%H:%M:%S}.{started.microsecond // 1000:03}+0000"
    )
    identity = number or next(NUMBERS)
    return {
        "type": "call",
        "uri": f"{URI}/{customer}/calls/{identity}",
        "created": moment,
        "scope": "EXTERNAL",
        "direction": "OUT",
        "from": "Mary - Clients <103>",
        "to": "02079460123",
        "callStarted": moment,
        "outcome": "ANSWERED",
        "duration": 60,
        "cost": 0.09,
        "callId": f"ast01-{identity}.1",
        "linkedId": f"ast01-{identity}.1",
    } | fields


def message(created: datetime | str, identity: int | None = None, **fields: Any) -> Item:
    moment = created if isinstance(created, str) else f"{created:%Y-%m-%dT%H:%M:%S.000+0000}"
    return {
        "type": "smsmessage",
        "uri": f"{URI}/25/sms/{identity or next(NUMBERS)}",
        "created": moment,
        "direction": "OUT",
        "from": "02079460123",
        "to": "07700900200",
        "body": "Not to be kept",
        "sendStatus": "SENT",
        "deliveryStatus": 1,
        "cost": 0.1,
    } | fields


def endpoint(number: int, short: Any = 103, **fields: Any) -> Item:
    uri = f"{URI}/25/endpoints/{number}"
    return {"type": "phone", "uri": uri, "shortNumber": short, "name": "Desk"} | fields


class Account:
    """One customer, 25, as documented. ``inclusive``: whether startedAfter and startedBefore hold the moment itself."""

    def __init__(self, calls: list[Item] | None = None, **lists: Any) -> None:
        self.calls = calls or []
        self.lists: dict[str, Any] = {
            "endpoints": [endpoint(1)],
            "phonenumbers": [],
            "callbundles": [],
            "sms": [],
        } | lists
        self.credit: Any = {"type": "creditstatus", "accountType": "PREPAID", "balance": 19.571}
        self.customers: list[Item] = [{"type": "customer", "uri": f"{URI}/25", "company": "Bloggs co"}]
        self.currency: str | None = None
        self.inclusive = False
        self.cap = PAGE_SIZE
        self.stats = True
        self.outside_line = ""
        self.change: Callable[[dict[str, Any], str], Any] = lambda response, kind: response
        self.stand_in = StandIn(self.response)

    def response(self, path: str, query: dict[str, str]) -> Any:
        kind = path.removeprefix("customers").removeprefix("/25").strip("/") or "customers"
        return self.change(self._plain(kind, query), kind)

    def _plain(self, kind: str, query: dict[str, str]) -> Any:
        if kind == "customers":
            return page(self.customers, query, self.cap)
        if kind == "calls":
            return page(self._selected(query), query, self.cap)
        if kind == "calls/stats":
            return self._stats(query) if self.stats else Status(404)
        if kind == "creditstatus":
            return self.credit
        return page(self.lists[kind], query, self.cap) if kind in self.lists else Status(404)

    def _selected(self, query: dict[str, str]) -> list[Item]:
        after, before = (datetime.fromisoformat(query[name]) for name in ("startedAfter", "startedBefore"))
        edge = timedelta(0) if self.inclusive else timedelta(microseconds=1)

        def within(item: Item) -> bool:
            started = instant(item["callStarted"])
            return started is None or after + edge <= started <= before - edge

        assert query["includeLocal"] == "true", "local calls would be left out"
        return [item for item in self.calls if within(item)]

    def _stats(self, query: dict[str, str]) -> Any:
        found = self._selected(query)
        amounts: dict[str, Any] = {
            "count": len(found),
            "cost": float(sum((Decimal(str(item["cost"] or 0)) for item in found), Decimal(0))),
            "duration": sum(int(item["duration"] or 0) for item in found),
        }
        amount = amounts[query["metric"]]
        headers = [{"name": "day"}, {"name": query["metric"]}]
        return {"type": "datatable", "columnHeaders": headers, "rows": [["x", amount]], "totals": {"x": amount}}

    def source(self, folder: Path) -> Source:
        own = {"currency": self.currency, "outside_line": self.outside_line}
        return source(self.stand_in, folder, "sipcentric", **own)

    def load_lists(self, folder: Path) -> Source:
        from_ = self.source(folder)
        run(from_, sipcentric.LISTS_STREAM, lambda window: sipcentric.fetch_lists(from_))
        return from_

    def load_calls(self, folder: Path, *days: date) -> Source:
        from_ = self.load_lists(folder)
        lists = from_.lake.raw.newest_list(from_.name, "lists")
        run(
            from_,
            sipcentric.CALL_STREAM,
            lambda window: sipcentric.fetch_calls(from_, lists, window),
            days or (DAY,),
            depends_on={"lists": lists.content_generation},
        )
        return from_

    def load_messages(self, folder: Path, *days: date) -> Source:
        from_ = self.load_lists(folder)
        lists = from_.lake.raw.newest_list(from_.name, "lists")
        run(
            from_,
            sipcentric.MESSAGE_STREAM,
            lambda window: sipcentric.fetch_messages(from_, lists, window),
            days or (DAY,),
            at_once=True,
            depends_on={"lists": lists.content_generation},
        )
        return from_


# --- the documented samples ---


def test_the_documented_samples_are_read(tmp_path: Path) -> None:
    day = date(2014, 3, 10)
    one, listed = sample("sipcentric_call"), sample("sipcentric_calls")["items"]
    account = Account(
        [one, *listed],
        endpoints=sample("sipcentric_endpoints")["items"],
        phonenumbers=sample("sipcentric_phonenumbers")["items"],
        callbundles=sample("sipcentric_callbundles")["items"],
        sms=sample("sipcentric_sms")["items"],
    )
    account.customers = sample("sipcentric_customers")["items"]
    account.credit = sample("sipcentric_creditstatus")[0]
    account.load_calls(tmp_path, day)
    from_ = account.load_messages(tmp_path, day)

    calls = {row["native_id"].rpartition("/")[2]: row for row in rows(from_, "cdr")}
    assert set(calls) == {"7592317", "7592432", "7592134"}
    out = calls["7592134"]
    assert (out["direction"], out["outcome"], out["duration_seconds"], out["cost"]) == (
        "outbound",
        "answered",
        60,
        Decimal("0.09"),
    )
    assert out["started_at"] == datetime(2014, 3, 10, 13, 35, 51, tzinfo=UTC)
    assert (out["from_name"], out["from_number"], out["extension"], out["to_e164"]) == (
        "Greg Sanderson",
        "103",
        "103",
        "+447700900100",
    )
    into = calls["7592432"]
    assert (into["direction"], into["outcome"], into["cost"], into["extension"]) == ("inbound", "no_answer", 0, "500")

    bundle = rows(from_, "bundle")[0]
    assert (bundle["bundle_id"], bundle["inclusive_minutes"], bundle["used_minutes"], bundle["price_monthly"]) == (
        "1040",
        1000,
        57,
        Decimal(5),
    )
    assert bundle["valid_from"] == datetime(2014, 3, 1, tzinfo=UTC)
    assert bundle["valid_to"] == datetime(2014, 3, 31, 23, 59, 59, 999_000, tzinfo=UTC)
    assert controls(from_, "bundle_minutes") == {("25", "1040/2014-03-01"): (1000, 1000, "matched")}
    assert [row["balance"] for row in rows(from_, "balance")] == [Decimal("19.571")]
    numbers = {(row["type"], row["extension"]) for row in rows(from_, "extension")}
    assert ("did", sample("sipcentric_phonenumbers")["items"][0]["number"]) in numbers
    sent = {row["direction"]: row for row in rows(from_, "sms")}
    assert (sent["outbound"]["status"], sent["outbound"]["delivery_status"], sent["outbound"]["cost"]) == (
        "sent",
        1,
        Decimal("0.1"),
    )
    assert (sent["inbound"]["status"], sent["inbound"]["delivery_status"]) == (None, None)


# --- typing while reading ---


@pytest.mark.parametrize("inclusive", [True, False])
def test_calls_typed_while_they_are_read_are_those_typed_afterwards(
    inclusive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In many batches, and with the calls of a second that two responses hold in different ones."""
    monkeypatch.setattr(raw, "_BATCH_BYTES", 30_000)
    threads: list[str] = []
    add = CallParser.add

    def watched(typing: CallParser, responses: Any) -> None:
        threads.append(threading.current_thread().name)
        add(typing, responses)

    monkeypatch.setattr(CallParser, "add", watched)
    account = Account([call(START + timedelta(seconds=70 * number // 3), cost="0.01") for number in range(1_500)])
    account.calls[700]["uri"] = ""
    account.inclusive = inclusive
    from_ = account.load_calls(tmp_path)
    assert set(threads) == {"parsing"}
    found = rows(from_, "cdr")
    assert len(found) == len({row["native_id"] for row in found}) == 1_499
    assert [row["raw_row"] for row in found] == sorted(row["raw_row"] for row in found)
    assert statuses(from_)["total_items"] == {"matched"}
    stream = sipcentric.CALL_STREAM
    ahead = from_.lake.core.partition(stream.name, from_.name, DAY)
    assert ahead is not None
    assert ahead.rows["audit.quarantine"] >= 1

    from_.lake.core.clear([from_.name])
    afterwards = update_partition(from_, stream, DAY)
    assert threads[-1] == "MainThread"
    assert afterwards.sha256 == ahead.sha256


# --- what another stand-in may answer ---


@pytest.mark.parametrize("credit", sample("sipcentric_creditstatus") + [{"balance": None, "creditRemaining": "19.571"}])
def test_credit_is_read_in_both_documented_forms(tmp_path: Path, credit: Item) -> None:
    account = Account()
    account.credit = credit
    assert [row["balance"] for row in rows(account.load_lists(tmp_path), "balance")] == [Decimal("19.571")]


@pytest.mark.parametrize("credit", [{}, [], None, {"error": "x"}, "19.571"])
def test_an_answer_that_is_no_credit_status_is_refused(tmp_path: Path, credit: Any) -> None:
    account = Account()
    account.credit = credit
    with pytest.raises(ContractError, match="credit status"):
        account.load_lists(tmp_path)


CONTRADICTION = "account 25: Sipcentric says EUR, tollbook.toml says USD; EUR is used"


@pytest.mark.parametrize(
    ("customer", "credit", "configured", "currency", "warnings"),
    [
        ({}, {}, None, "GBP", []),
        ({}, {}, "EUR", "EUR", []),
        ({"currency": "EUR"}, {}, None, "EUR", []),
        ({"currency": "eur"}, {}, "EUR", "EUR", []),
        ({"currencyCode": "EUR"}, {}, "USD", "EUR", [CONTRADICTION]),
        ({"currency": {"code": "EUR", "symbol": "€"}}, {}, "USD", "EUR", [CONTRADICTION]),
        ({"currency": ""}, {"currency": "€"}, None, "EUR", []),
        ({"currency": "$"}, {}, "USD", "USD", []),
        (
            {"currency": "$"},
            {},
            None,
            "XXX",
            ["account 25: its currency is not understood; set currency for this connection"],
        ),
    ],
)
def test_amounts_are_in_the_customers_currency_else_the_configured_one_else_gbp(
    tmp_path: Path, customer: Item, credit: Item, configured: str | None, currency: str, warnings: list[str]
) -> None:
    """F08. In calls, messages, bundles, balance, account and the control of the cost. $ is no one currency."""
    bundles = sample("sipcentric_callbundles")["items"]
    account = Account([call(START)], callbundles=bundles, sms=[message(START)])
    account.customers[0] |= customer
    account.credit |= credit
    account.currency = configured
    outcome = run(
        from_ := account.source(tmp_path), sipcentric.LISTS_STREAM, lambda window: sipcentric.fetch_lists(from_)
    )
    assert outcome.warnings == warnings
    account.load_calls(tmp_path)
    account.load_messages(tmp_path)
    for table in ("cdr", "sms", "bundle", "balance", "account"):
        assert {row["currency"] for row in rows(from_, table)} == {currency}, table
    said = {row["check_name"]: row["currency"] for row in rows(from_, "control_total")}
    assert (said["calls_stats_cost"], said["calls_stats_count"]) == (currency, None)


def test_each_customer_has_a_currency_and_a_bundle_or_balance_may_name_its_own(tmp_path: Path) -> None:
    """F08. 26 says CHF, 25 nothing; 25's bundle says EUR, its credit USD: its calls are in what its credit is in."""
    bundle = sample("sipcentric_callbundles")["items"][0] | {"currency": "EUR"}
    account = Account([call(START)], callbundles=[bundle])
    account.customers.append({"type": "customer", "uri": f"{URI}/26", "currency": "CHF"})
    account.credit["currency"] = "USD"

    def response(path: str, query: dict[str, str]) -> Any:
        if not path.startswith("customers/26"):
            return account.response(path, query)
        if path.endswith("calls"):
            return page([call(START, 900, "26")], query)
        return {"creditRemaining": 1} if path.endswith("creditstatus") else page([], query)

    account.stand_in = StandIn(response)
    from_ = account.load_calls(tmp_path)
    found = {
        table: {row["account_id"]: row["currency"] for row in rows(from_, table)}
        for table in ("cdr", "bundle", "balance", "account")
    }
    assert found == {
        "cdr": {"25": "USD", "26": "CHF"},
        "bundle": {"25": "EUR"},
        "balance": {"25": "USD", "26": "CHF"},
        "account": {"25": "USD", "26": "CHF"},
    }


@pytest.mark.parametrize("missing", ["phonenumbers", "callbundles", "endpoints"])
def test_a_list_that_the_vendor_does_not_offer_is_a_warning_and_the_rest_loads(tmp_path: Path, missing: str) -> None:
    account = Account([call(START)])
    del account.lists[missing]
    from_ = account.source(tmp_path)
    outcome = run(from_, sipcentric.LISTS_STREAM, lambda window: sipcentric.fetch_lists(from_))
    assert outcome.warnings == [f"the vendor does not give {missing} of 1 account: the server answered 404"]
    assert len(rows(account.load_calls(tmp_path), "cdr")) == 1


@pytest.mark.parametrize("status", [403, 404, 501])
@pytest.mark.parametrize("kind", ["creditstatus", "callbundles", "sms"])
def test_what_an_account_may_be_without_is_a_warning(tmp_path: Path, kind: str, status: int) -> None:
    account = Account([call(START)])
    account.change = lambda response, asked: Status(status) if asked == kind else response
    assert len(rows(account.load_calls(tmp_path), "cdr")) == 1
    from_ = account.load_messages(tmp_path)
    said = {row["stream"]: row["warnings"] for row in from_.lake.loads.all() if row["warnings"]}
    assert list(said) == ["sms" if kind == "sms" else "lists"]
    assert all(warning.startswith(f"the vendor does not give {kind} of 1 ") for warning in said.values())


@pytest.mark.parametrize("names", [("callbundles",), ("callbundles", "creditstatus"), ("endpoints",)])
def test_a_401_for_one_list_is_not_about_the_credentials(tmp_path: Path, names: tuple[str, ...]) -> None:
    """The customers came with the same ones, and come again: the user is not offered the list, and calls are loaded."""
    account = Account([call(START)])
    account.change = lambda response, kind: Status(401) if kind in names else response
    from_ = account.source(tmp_path)
    outcome = run(from_, sipcentric.LISTS_STREAM, lambda window: sipcentric.fetch_lists(from_))
    assert outcome.warnings == [
        f"the vendor does not give {name} of 1 account: the vendor does not allow this account to ask for this (401)"
        for name in names
    ]
    assert len(rows(account.load_calls(tmp_path), "cdr")) == 1


def test_credentials_that_are_refused_meanwhile_are_sent_once_more_and_no_more(tmp_path: Path) -> None:
    account = Account()
    account.change = lambda response, kind: response if len(account.stand_in.asked) == 1 else Status(401)
    with pytest.raises(AuthError, match="refused the credentials"):
        account.load_lists(tmp_path)
    assert account.stand_in.paths() == ["customers", "customers/25/endpoints", "customers"]


def test_another_error_of_a_list_is_an_error(tmp_path: Path) -> None:
    account = Account()
    account.change = lambda response, kind: Status(400) if kind == "endpoints" else response
    with pytest.raises(ContractError, match="400"):
        account.load_lists(tmp_path)


def test_customers_are_paged_and_may_have_nothing(tmp_path: Path) -> None:
    account = Account([], endpoints=[])
    customers: list[Item] = [{"uri": f"{URI}/{n}", "company": 7 if n == 25 else f"Co {n}"} for n in range(20, 70)]
    account.customers = customers
    account.cap = 20

    def other_customers_have_nothing(path: str, query: dict[str, str]) -> Any:
        if path == "customers" or path.startswith("customers/25"):
            return account.response(path, query)
        return account.credit if path.endswith("creditstatus") else page([], query)

    account.stand_in.answering = other_customers_have_nothing
    from_ = account.load_calls(tmp_path)
    assert {row["account_id"] for row in rows(from_, "account")} == {str(n) for n in range(20, 70)}
    asked = {path.split("/")[1] for path in account.stand_in.paths() if path.endswith("/calls")}
    assert asked == {str(n) for n in range(20, 70)}
    assert rows(from_, "cdr") == []
    assert statuses(from_)["total_items"] == {"matched"}


def test_what_a_customer_had_stays_when_the_list_no_longer_names_it(tmp_path: Path) -> None:
    running = sample("sipcentric_callbundles")["items"][0] | {"validTo": "2099-01-01T00:00:00Z"}
    account = Account([call(START)], sms=[message(START)], callbundles=[running])
    account.load_calls(tmp_path)
    from_ = account.load_messages(tmp_path)
    before = [rows(from_, table) for table in ("cdr", "sms", "bundle")]
    assert [len(kept) for kept in before] == [1, 1, 1]
    account.customers = [{"uri": f"{URI}/26", "company": "Other co"}]
    plain = account.response
    account.stand_in.answering = lambda path, query: (
        plain(path, query)
        if path == "customers"
        else Status(404)
        if path.endswith("stats")
        else account.credit
        if path.endswith("creditstatus")
        else page([], query)
    )
    account.load_calls(tmp_path)
    from_ = account.load_messages(tmp_path)
    assert [rows(from_, table) for table in ("cdr", "sms", "bundle")] == before
    assert rows(from_, "restatement") == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"linkedId": None, "callId": None}, {"linked_id": None}),
        ({"linkedId": None, "callId": "a.1"}, {"linked_id": "a.1"}),
        ({"linkedId": "a.1", "callId": "a.2"}, {"linked_id": "a.1"}),
        ({"scope": "external", "direction": "out", "outcome": "no-answer"}, {"outcome": "no_answer"}),
        ({"outcome": "NO ANSWER", "direction": "Outbound"}, {"outcome": "no_answer", "direction": "outbound"}),
        ({"scope": "Local"}, {"direction": "internal", "remote_e164": None, "extension": "103"}),
        ({"scope": "DOMAIN", "direction": "in"}, {"direction": "inbound"}),
        (
            {"scope": "DOMAIN", "direction": "in", "from": "Ann <102>", "to": "Bob <201>"},
            {"direction": "inbound", "extension": "201"},
        ),
        (
            {"scope": "DOMAIN", "direction": "out", "from": "Ann <102>", "to": "Bob <201>"},
            {"direction": "outbound", "extension": "102"},
        ),
        ({"from": None}, {"from_text": None, "from_number": None, "extension": None}),
        (
            {"from": "anonymous", "direction": "IN"},
            {"from_text": "anonymous", "from_number": None, "remote_e164": None},
        ),
        ({"from": "Mary <Anne> - <x> <103>"}, {"from_name": "Mary <Anne> - <x>", "extension": "103"}),
        ({"cost": None}, {"cost": None}),
        ({"cost": ""}, {"cost": None}),
        ({"cost": "0.09"}, {"cost": Decimal("0.09")}),
        ({"cost": 0}, {"cost": Decimal(0)}),
        ({"duration": "60"}, {"duration_seconds": 60}),
        ({"duration": 60.0}, {"duration_seconds": 60}),
        ({"duration": None}, {"duration_seconds": None}),
        ({"final": False}, {"is_provisional": True}),
        ({"final": True}, {"is_provisional": False}),
        ({"srcEndpoint": f"{URI}/25/endpoints/1", "from": "02079460999"}, {"extension": "103"}),
        ({"callStarted": "2026-10-21T11:00:00Z"}, {"started_at": datetime(2026, 10, 21, 11, tzinfo=UTC)}),
        ({"callStarted": "2026-10-21T12:00:00+0100"}, {"started_at": datetime(2026, 10, 21, 11, tzinfo=UTC)}),
        ({"callStarted": "2026-10-21T11:00:00.0000000+00:00"}, {"started_at": datetime(2026, 10, 21, 11, tzinfo=UTC)}),
        ({"callStarted": "2026-10-21T11:00:00"}, {"started_at": datetime(2026, 10, 21, 11, tzinfo=UTC)}),
        ({"new": {"a": ['"cost": 7', 1e300]}, "links": None}, {"cost": Decimal("0.09")}),
        ({"to": 'x "cost": 5 <0>'}, {"cost": Decimal("0.09"), "to_name": 'x "cost": 5'}),
    ],
)
def test_variations_of_a_call_are_understood(tmp_path: Path, changes: Item, expected: Item) -> None:
    item = call(START + timedelta(hours=11), **changes)
    account = Account([{name: value for name, value in item.items() if value is not None or name in ("from", "cost")}])
    account.stats = False
    found = rows(from_ := account.load_calls(tmp_path), "cdr")
    assert len(found) == 1
    assert {name: found[0][name] for name in expected} == expected
    assert rows(from_, "quarantine") == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"duration": -1}, "duration"),
        ({"duration": 10**12}, "duration"),
        ({"duration": True}, "duration"),
        ({"duration": 1.5}, "duration"),
        ({"duration": "one"}, "duration"),
        ({"cost": True}, "cost"),
        ({"cost": "£0.09"}, "cost"),
        ({"cost": 1e30}, "cost"),
        ({"cost": 1e12}, "cost"),
        ({"cost": "nan"}, "cost"),
        ({"callStarted": "infinity"}, "callStarted"),
        ({"callStarted": "0000-00-00T00:00:00Z"}, "callStarted"),
        ({"callStarted": 1413979200}, "callStarted"),
        ({"callStarted": None}, "callStarted"),
        ({"uri": None}, "uri"),
        ({"uri": ""}, "uri"),
    ],
)
def test_what_cannot_be_understood_is_quarantined_and_the_rest_loads(
    tmp_path: Path, changes: Item, reason: str
) -> None:
    account = Account([call(START, 1), call(START + timedelta(hours=1), 2, **changes)])
    account.calls.append(call(START + timedelta(hours=1), 3, **changes))
    account.stats = False
    from_ = account.load_calls(tmp_path)
    assert [row["native_id"] for row in rows(from_, "cdr")] == [f"{URI}/25/calls/1"]
    refused = rows(from_, "quarantine")
    assert len({(row["raw_file"], row["raw_row"]) for row in refused}) == 2
    assert all(reason in row["reason"] and row["account_id"] == "25" for row in refused)


DIALLED = [
    ("4721234567", "NO", "fixed"),  # with its calling code, as the vendor writes them
    ("33142685300", "FR", "fixed"),
    ("0022507081234", "CI", "unknown"),  # eight digits, as until 2021
    ("#31#004721234567", "NO", "fixed"),
    ("14102079460123", "GB", "fixed"),
    ("9004721234567", "NO", "fixed"),
    ("9999", None, "emergency"),
    ("*67103", None, "unknown"),  # an extension of ours
    ("*97", None, "unknown"),
]


def test_the_number_behind_what_was_dialled_decides(tmp_path: Path) -> None:
    account = Account(calls=[call(START + timedelta(minutes=n), to=to) for n, (to, *_) in enumerate(DIALLED)])
    account.outside_line = "9"
    found = sorted(rows(account.load_calls(tmp_path), "cdr"), key=itemgetter("started_at"))
    assert [(row["to_number"], row["remote_country"], row["remote_type"]) for row in found] == DIALLED


def test_a_callers_number_has_no_digits_for_an_outside_line(tmp_path: Path) -> None:
    account = Account(calls=[call(START, direction="IN", to="103") | {"from": "9004721234567"}])
    account.outside_line = "9"
    (found,) = rows(account.load_calls(tmp_path), "cdr")
    assert (found["remote_e164"], found["remote_country"]) == (None, None)


def test_messages_are_read_like_calls(tmp_path: Path) -> None:
    texts = [(to, country) for to, country, _ in DIALLED[:3]]
    items = [message(START + timedelta(minutes=n), to=to) for n, (to, _) in enumerate(texts)][::-1]
    found = sorted(rows(Account(sms=items).load_messages(tmp_path), "sms"), key=itemgetter("sent_at"))
    assert [(row["to_text"], row["remote_country"]) for row in found] == texts


def test_an_unknown_outcome_or_direction_is_unknown_with_a_warning(tmp_path: Path) -> None:
    account = Account([call(START, outcome="TELEPORTED", direction="SIDEWAYS")])
    from_ = account.load_lists(tmp_path)
    lists = from_.lake.raw.newest_list("site", "lists")
    outcome = run(
        from_,
        sipcentric.CALL_STREAM,
        lambda window: sipcentric.fetch_calls(from_, lists, window),
        [DAY],
        depends_on={"lists": lists.content_generation},
    )
    assert [(row["outcome"], row["direction"]) for row in rows(from_, "cdr")] == [("unknown", "unknown")]
    assert len(outcome.warnings) == 2


@pytest.mark.parametrize("broken", [{}, [], None, {"items": []}, {"totalItems": 0}, {"totalItems": 0, "items": None}])
@pytest.mark.parametrize("kind", ["customers", "endpoints", "calls"])
def test_an_answer_without_a_list_is_never_no_rows(tmp_path: Path, kind: str, broken: Any) -> None:
    account = Account([call(START)])
    account.change = lambda response, asked: broken if asked == kind else response
    with pytest.raises(ContractError):
        account.load_calls(tmp_path)


@pytest.mark.parametrize("total", [-1, "many", True, None, 1.5])
def test_a_total_that_is_no_count_is_refused(tmp_path: Path, total: Any) -> None:
    account = Account([call(START)])
    account.change = lambda response, kind: {**response, "totalItems": total} if kind == "calls" else response
    with pytest.raises(ContractError, match="totalItems"):
        account.load_calls(tmp_path)


def test_totals_as_text_are_read(tmp_path: Path) -> None:
    account = Account([call(START + timedelta(minutes=n)) for n in range(30)])
    account.cap = 20
    account.change = lambda response, kind: (
        {**response, "totalItems": str(response["totalItems"])} if "totalItems" in response else response
    )
    from_ = account.load_calls(tmp_path)
    assert len(rows(from_, "cdr")) == 30
    assert controls(from_, "total_items")["25", ""][2] == "matched"


# --- calls: windows, slices, control totals ---


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("cap", [7, 20, 200])
@pytest.mark.parametrize("day", [DAY, CLOCKS_BACK, CLOCKS_FORWARD])
def test_every_call_is_loaded_on_the_day_it_started(tmp_path: Path, day: date, cap: int, inclusive: bool) -> None:
    """Also those on the edges of days and of slices, with fractions of seconds, whatever the vendor's bounds hold."""
    days = [day - timedelta(days=1), day, day + timedelta(days=1)]
    edges = [bounds(each, LONDON)[0] for each in days] + [bounds(days[-1], LONDON)[1]]
    near = [edge + timedelta(milliseconds=ms) for edge in edges for ms in (-1000, -999, -500, -1, 0, 1, 999, 1000)]
    picked = random.Random(7)
    spread = [edges[0] + timedelta(seconds=picked.randrange(72 * 3600)) for _ in range(120)]
    crowd = [edges[1] + timedelta(hours=10)] * 9  # more in one second than the smallest page holds
    account = Account([call(moment) for moment in [*near, *spread, *crowd]])
    account.calls[-1]["created"] = "2026-12-24T00:00:00Z"  # when it was created plays no part
    account.cap, account.inclusive = cap, inclusive
    from_ = account.load_calls(tmp_path, *days)

    found: dict[str, date] = {}
    for row in rows(from_, "cdr"):
        assert row["native_id"] not in found, "a call is on two days"
        found[row["native_id"]] = row["call_date"]
    expected = {item["uri"]: instant(item["callStarted"]) for item in account.calls}
    assert found == {
        uri: started.astimezone(LONDON).date()
        for uri, started in expected.items()
        if started is not None and edges[0] <= started < edges[-1]
    }
    assert all(found == {"matched"} for found in statuses(from_).values()), "a false alarm"


def test_a_call_over_midnight_belongs_to_the_day_it_started_once(tmp_path: Path) -> None:
    late = END - timedelta(seconds=5)
    item = call(late, created=f"{END + timedelta(hours=30):%Y-%m-%dT%H:%M:%SZ}", duration=30 * 3600)
    from_ = Account([item]).load_calls(tmp_path, DAY, DAY + timedelta(days=1))
    assert [(row["call_date"], row["duration_seconds"]) for row in rows(from_, "cdr")] == [(DAY, 108_000)]


def test_rows_outside_the_window_are_left_out_and_counted(tmp_path: Path) -> None:
    account = Account([call(START)])
    stray = call("2020-02-29T12:00:00Z")
    account.change = lambda response, kind: (
        {**response, "items": [*response["items"], stray], "totalItems": 2} if kind == "calls" else response
    )
    from_ = account.load_calls(tmp_path)
    assert len(rows(from_, "cdr")) == 1
    (load,) = (row for row in from_.lake.loads.all() if row["stream"] == "cdr")
    assert (load["rows"], load["out_of_window"]) == (1, 1)
    assert statuses(from_)["calls_stats_count"] == {"matched"}


def test_legs_that_share_a_linked_id_are_one_call_whatever_page_they_stand_on(tmp_path: Path) -> None:
    """A queue with its LOCAL legs, over several answers and over midnight; a LOCAL call by itself stays internal."""
    account = Account(endpoints=[endpoint(1), endpoint(2, 104)])
    account.cap = 2
    late = END - timedelta(seconds=30)

    def leg(number: int, seconds: int, linked: str, **fields: Any) -> Item:
        own = f"ast01-{number}.1"
        return call(late + timedelta(seconds=seconds), number, callId=own, linkedId=linked, cost=0, **fields)

    inbound = {"direction": "IN", "from": "02079460123"}
    local = {"scope": "LOCAL", "from": "Queue <600>"}
    account.calls = [
        leg(1, 0, "ast01-1.1", to="Queue <600>", duration=100, **inbound),
        leg(2, 5, "ast01-1.1", to="Desk <103>", duration=0, outcome="NO_ANSWER", **local),
        leg(3, 6, "ast01-1.1", to="Desk <104>", duration=20, **local),
        leg(4, 40, "ast01-1.1", to="Desk <103>", duration=50, **local),  # transferred, after midnight
        leg(5, 7, "ast01-5.1", to="Desk <104>", duration=9, **{**local, "from": "Desk <103>"}),
        leg(6, 8, "ast01-6.1", to="Desk <103>", duration=8, **inbound),  # the same caller again: another linkedId
    ]
    next_day = DAY + timedelta(days=1)
    from_ = account.load_calls(tmp_path, DAY, next_day)
    assert statuses(from_)["total_items"] == {"matched"}
    database = core_rows.warehouse(tmp_path)
    database.update(core_rows.cdr_days(tmp_path / "core_rows", rows(from_, "cdr")))
    found = core_rows.query(
        database,
        "SELECT linked_id, call_date, legs, attempts, direction, outcome, talk_seconds, linking FROM core.call"
        " ORDER BY ALL",
    )
    assert found == [
        ("ast01-1.1", DAY, 4, 1, "inbound", "answered", 50, "linked_id"),  # talked at the desks, not in the queue
        ("ast01-5.1", DAY, 1, 0, "internal", "answered", 9, "single"),
        ("ast01-6.1", DAY, 1, 0, "inbound", "answered", 8, "single"),
    ]


ENDPOINTS = [(kind, "person") for kind in ("phone", "virtual")]
ENDPOINTS += [(kind, "machine") for kind in ("GROUP", "queue", "ivr", "mailbox")]


@pytest.mark.parametrize(("kind", "who"), ENDPOINTS)
def test_who_is_behind_an_endpoint(kind: str, who: str, tmp_path: Path) -> None:
    """By number, and by the endpoint that newer releases name. A number of ours does not say; outside is a person."""
    account = Account(endpoints=[endpoint(1, 500, type=kind), endpoint(2, 103)])
    inbound = {"direction": "IN", "from": "02079460123"}
    account.calls = [
        call(START, 1, to="Sales Group <500>", **inbound),
        call(START, 2, to="02079460999", dstEndpoint=f"{URI}/25/endpoints/1", **inbound),
        call(START, 3, to="02079460999", **inbound),
        call(START, 4),
        call(START, 5, scope="LOCAL", to="*97"),
        call(START, 6, to="anonymous", **inbound),
    ]
    found = sorted(rows(account.load_calls(tmp_path), "cdr"), key=lambda leg: leg["native_id"])
    assert [leg["to_kind"] for leg in found] == [who, who, "number", "person", None, None]


def test_a_leg_out_that_names_no_endpoint_is_of_the_telephone_that_its_call_led_to(tmp_path: Path) -> None:
    """A desk's call that is forwarded to Spain; one that a group of two forwards; one that nothing is known of."""
    account = Account(endpoints=[endpoint(1, 103), endpoint(2, 104), endpoint(3, 600, type="group")])
    caller = {"from": "02079460123"}
    out = {**caller, "to": "0034915550100", "cost": 0.5}

    def leg(number: int, linked: str, **fields: Any) -> Item:
        return call(START + timedelta(seconds=number), number, linkedId=linked, **fields)

    account.calls = [
        leg(1, "a", direction="IN", to="Desk <103>", outcome="NO_ANSWER", **caller),
        leg(2, "a", **out),
        leg(3, "b", direction="IN", to="Group <600>", **caller),
        leg(4, "b", direction="IN", to="Desk <103>", outcome="NO_ANSWER", **caller),
        leg(5, "b", scope="LOCAL", **{"from": "Group <600>"}, to="Desk <104>", outcome="NO_ANSWER"),
        leg(6, "b", **out),
        leg(7, "c", **out),
    ]
    found = sorted(rows(account.load_calls(tmp_path), "cdr"), key=lambda leg: leg["native_id"])
    sent = [
        (leg["direction"], leg["extension"], leg["remote_country"]) for leg in found if leg["cost"] == Decimal("0.5")
    ]
    assert sent == [("outbound", "103", "ES"), ("outbound", None, "ES"), ("outbound", None, "ES")]


def test_stats_may_leave_local_calls_out(tmp_path: Path) -> None:
    """No document says whether they count them."""
    account = Account([call(START, 1), call(START + timedelta(hours=1), 2, scope="LOCAL", cost=0)])
    account.change = lambda response, kind: (
        response | {"totals": {"x": {"count": 1, "cost": 0.09, "duration": 60}[response["columnHeaders"][1]["name"]]}}
        if kind == "calls/stats"
        else response
    )
    from_ = account.load_calls(tmp_path)
    assert {
        name: statuses(from_)[name] for name in ("calls_stats_count", "calls_stats_cost", "calls_stats_duration")
    } == {
        "calls_stats_count": {"matched"},
        "calls_stats_cost": {"matched"},
        "calls_stats_duration": {"matched"},
    }


def test_control_totals_show_a_cent_and_a_call(tmp_path: Path) -> None:
    account = Account([call(START), call(START + timedelta(hours=1), cost=None)])

    def off(response: dict[str, Any], kind: str) -> Any:
        if kind == "calls/stats" and response["columnHeaders"][1]["name"] != "duration":
            step = 1 if response["columnHeaders"][1]["name"] == "count" else 0.01
            return {**response, "totals": {"x": round(response["totals"]["x"] + step, 2)}}
        return response

    account.change = off
    from_ = account.load_calls(tmp_path)
    assert controls(from_, "calls_stats_count") == {("25", ""): (2, 3, "variance")}
    assert controls(from_, "calls_stats_cost") == {("25", ""): (Decimal("0.09"), Decimal("0.1"), "variance")}
    assert controls(from_, "calls_stats_duration") == {("25", ""): (120, 120, "matched")}
    assert controls(from_, "total_items")["25", ""] == (2, 2, "matched")
    said = {row["check_name"]: (row["currency"], row["compares"]) for row in rows(from_, "control_total")}
    assert said["calls_stats_cost"] == ("GBP", sipcentric.CALL_CONTROLS["calls_stats_cost"])
    assert said["calls_stats_count"] == (None, sipcentric.CALL_CONTROLS["calls_stats_count"])


def test_every_list_is_counted(tmp_path: Path) -> None:
    account = Account(endpoints=[{**sample("sipcentric_endpoints")["items"][0], "uri": "nowhere"}])
    from_ = account.load_lists(tmp_path)
    assert controls(from_, "total_items") == {
        (None, "customers"): (1, 1, "matched"),
        ("25", "endpoints"): (1, 1, "matched"),  # set aside, but not lost
        ("25", "phonenumbers"): (0, 0, "matched"),
        ("25", "callbundles"): (0, 0, "matched"),
    }
    assert len(rows(from_, "quarantine")) == 1


def test_a_count_that_differs_from_the_rows_is_refused(tmp_path: Path) -> None:
    account = Account([call(START)])
    account.change = lambda response, kind: (
        {**response, "totalItems": response["totalItems"] + bool(response["items"])} if kind == "calls" else response
    )
    with pytest.raises(IntegrityError):
        account.load_calls(tmp_path)
    assert len(account.stand_in.asked) < 100


@pytest.mark.parametrize(
    "said",
    [
        *(Status(code) for code in (400, 403, 404, 405, 410, 500)),
        Status(404, Literal("<html>Not here</html>")),
        Literal("<html>Not here</html>"),
        {},
        [],
        {"type": "datatable"},
        {"totals": {"a": 1, "b": 2}},
        {"totals": None, "rows": [["a", "b"]]},
        {"totals": "many"},
    ],
)
def test_statistics_that_are_not_offered_are_unavailable_and_no_failure(tmp_path: Path, said: Any) -> None:
    account = Account([call(START)])
    account.change = lambda response, kind: said if kind == "calls/stats" else response
    from_ = account.load_calls(tmp_path)
    assert len(rows(from_, "cdr")) == 1
    assert controls(from_, "calls_stats_cost") == {("25", ""): (Decimal("0.09"), None, "unavailable")}
    assert controls(from_, "total_items")["25", ""][2] == "matched"


@pytest.mark.parametrize(
    "totals", [{"totals": {"cost": 0.09, "count": 1}}, {"totals": [0.09]}, {"totals": 0.09}, {"rows": [["d", 0.09]]}]
)
def test_statistics_are_read_in_several_shapes(totals: Any) -> None:
    exact = json.loads(json.dumps(totals), parse_float=Decimal)
    assert total_of_stats(exact, "cost") == Decimal("0.09")


def test_refused_credentials_are_not_taken_for_missing_statistics(tmp_path: Path) -> None:
    account = Account([call(START)])
    account.change = lambda response, kind: Status(401) if kind == "calls/stats" else response
    with pytest.raises(AuthError):
        account.load_calls(tmp_path)


def test_of_a_call_in_two_answers_the_last_counts_and_of_those_that_say_the_same_the_first(tmp_path: Path) -> None:
    """Slices overlap by a second. Some calls are rated between two responses."""
    seconds = [timedelta(seconds=100 * n) for n in range(800)]
    account = Account([call(START + second, 2 * n + k, cost=0) for n, second in enumerate(seconds) for k in (1, 2)])
    account.inclusive = True
    asked = count(1)

    def rated(response: Any, kind: str) -> Any:
        if kind != "calls":
            return response
        cost = next(asked)
        items = [item | {"cost": cost} if int(item["uri"][-1]) % 2 else item for item in response["items"]]
        return response | {"items": items}

    account.change = rated
    from_ = account.load_calls(tmp_path)
    said: dict[str, list[tuple[datetime, int, str]]] = {}
    for response in from_.lake.raw.responses(from_.lake.raw.landings(from_.name, "cdr", DAY)[0]):
        if response["kind"] == "calls":
            for number, item in enumerate(json.loads(response["body"])["items"]):
                version = (response["fetched_at"], response["first_row"] + number, str(item["cost"]))
                said.setdefault(item["uri"], []).append(version)
    expected = set()
    for uri, versions in said.items():
        *_, last = max(versions)
        expected.add((uri, min(row for _, row, cost in versions if cost == last), Decimal(last)))
    found = rows(from_, "cdr")
    assert {(row["native_id"], row["raw_row"], row["cost"]) for row in found} == expected
    assert len(found) == 1600
    several = [{cost for *_, cost in versions} for versions in said.values() if len(versions) > 1]
    assert {len(costs) for costs in several} == {1, 2}


@pytest.mark.slow
@pytest.mark.parametrize(("status", "kind"), [(403, "AuthError"), (404, "ContractError")])
def test_a_customer_whose_calls_are_denied_leaves_the_others_loaded(tmp_path: Path, status: int, kind: str) -> None:
    account = Account([call(START)])
    account.customers += [{"type": "customer", "uri": f"{URI}/{n}", "company": "Quill and Sons"} for n in ("24", "26")]
    kept_back = {"24/calls", "26/calls"}

    def change(response: Any, asked: str) -> Any:
        customer, _, what = asked.partition("/")
        if customer not in ("24", "26"):
            return response
        if asked in kept_back:
            return Status(status)
        others = {"creditstatus": account.credit, "calls": page([call(START, customer=customer)], {})}
        return others.get(what, Status(404) if what == "calls/stats" else page([], {}))

    account.change = change
    from_ = account.load_lists(tmp_path)
    lists = from_.lake.raw.newest_list(from_.name, "lists")

    def loaded() -> tuple[list[TollbookError], list[str]]:
        outcome = load(
            from_,
            sipcentric.CALL_STREAM,
            [Window(DAY, DAY)],
            lambda window: sipcentric.fetch_calls(from_, lists, window),
            depends_on={"lists": lists.content_generation},
        )
        return outcome.failures, sorted(row["account_id"] for row in rows(from_, "cdr"))

    (failure,), accounts = loaded()
    assert accounts == ["25"]
    assert (failure.kind, failure.window) == (kind, str(DAY))
    assert failure.what.endswith("2 accounts were not loaded, the others were")
    (said,) = [row for row in from_.lake.loads.all() if row["stream"] == "cdr"]
    assert (said["status"], said["rows"], said["error"]) == ("failed", 1, str(failure))
    kept_back.remove("24/calls")
    (failure,), accounts = loaded()
    assert accounts == ["24", "25"]
    kept_back.clear()
    assert loaded() == ([], ["24", "25", "26"])
    kept_back.add("26/calls")  # what is known of it stays
    assert len(loaded()[0]) == 1
    assert loaded()[1] == ["24", "25", "26"]
    kept_back |= {"24/calls", "calls"}
    account.change = lambda response, asked: Status(status) if asked.endswith("calls") else change(response, asked)
    (failure,), accounts = loaded()
    assert "the others" not in failure.what
    assert accounts == ["24", "25", "26"]


def test_statistics_that_are_kept_from_one_customer_are_asked_of_the_next(tmp_path: Path) -> None:
    account = Account([call(START)])
    account.customers.append({"type": "customer", "uri": f"{URI}/26", "company": "Quill and Sons"})

    def change(response: Any, kind: str) -> Any:
        if kind.startswith("26/"):
            others = {"26/calls/stats": {"totals": 0}, "26/creditstatus": account.credit}
            return others.get(kind, page([], {}))
        return Status(403) if kind == "calls/stats" else response

    account.change = change
    found = {
        (row["account_id"], row["status"])
        for row in rows(account.load_calls(tmp_path), "control_total")
        if row["check_name"].startswith("calls_stats")
    }
    assert found == {("25", "unavailable"), ("26", "matched")}


def test_statistics_are_no_records(tmp_path: Path) -> None:
    from_ = Account([call(START)]).load_calls(tmp_path)
    assert from_.lake.raw.landings("site", "cdr", DAY)[0].rows == 1
    assert [row["raw_row"] for row in rows(from_, "cdr")] == [1]


def test_a_cost_that_comes_later_is_restated(tmp_path: Path) -> None:
    account = Account([call(START, 1, cost=None, final=False)])
    account.load_calls(tmp_path)
    account.calls = [call(START, 1, cost=0.09, final=True), call(START + timedelta(hours=1), 2)]
    from_ = account.load_calls(tmp_path)
    restated = {row["kind"]: row for row in rows(from_, "restatement") if row["stream"] == "cdr"}
    assert (restated["changed"]["before_cost"], restated["changed"]["after_cost"]) == (None, Decimal("0.09"))
    assert {row["cost"] for row in rows(from_, "cdr")} == {Decimal("0.09")}


def amounts(most: int, size: int) -> st.SearchStrategy[list[tuple[int, bool, str]]]:
    """Up to ``size`` amounts in millionths, each with a sign and a way of writing it."""
    ways = st.sampled_from(["plain", "e", "E+", "up", "text"])
    return st.lists(st.tuples(st.integers(0, most), st.booleans(), ways), max_size=size)


@pytest.mark.slow
@settings(max_examples=10)
@given(amounts(10**18 - 1, 1) | amounts(10**16, 40))  # so that their sum fits as well
@example([(123456789012345678, False, "plain"), (1, False, "up"), (0, True, "E+"), (90_000, False, "text")])
@example([(999_999_999_999_999_999, True, "e")])
def test_every_amount_that_fits_arrives_digit_for_digit(written_as: list[tuple[int, bool, str]]) -> None:
    expected, written = {}, []
    for number, (units, negative, style) in enumerate(written_as, 1):
        amount = Decimal(-units if negative else units).scaleb(-6)
        text = {
            "plain": f"{amount:f}",
            "e": f"{amount:e}",
            "E+": f"{amount * 1000:f}E-3",
            "up": f"{int(amount.scaleb(6))}e-6",
            "text": f'"{amount:f}"',
        }[style]
        item = json.dumps(call(START + timedelta(seconds=number), number, cost="AMOUNT"))
        written.append(item.replace('"cost": "AMOUNT"', f'"cost" :\n {text}'))
        expected[f"{URI}/25/calls/{number}"] = amount
    body = Literal(f'{{"totalItems": {len(written)}, "items": [{", ".join(written)}]}}')
    account = Account()
    account.stats = False
    account.change = lambda response, kind: body if kind == "calls" else response
    with TemporaryDirectory() as folder:
        found = {row["native_id"]: row["cost"] for row in rows(account.load_calls(Path(folder)), "cdr")}
    assert found == expected


@pytest.mark.slow
@settings(max_examples=300)
@given(
    st.from_regex(r"[-+]?[0-9]{1,12}(\.[0-9]{1,12})?([eE][-+]?[0-9]{1,2})?", fullmatch=True)
    | st.sampled_from(["", " ", "1.", ".5", "1,5", "nan", "1e", "--1", "0x1", "1_0", "1e999"])
)
def test_an_amount_is_read_by_the_database_as_by_python(text: str) -> None:
    (found,) = DUCK.execute("SELECT amount_of($text)", {"text": text}).fetchall()
    assert found[0] == money(text)


@settings(max_examples=200)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**11), max_value=10**11))
def test_a_message_keeps_every_digit_when_its_text_is_taken_out(amount: Decimal) -> None:
    text = str(amount)
    item = json.dumps(message(START, cost="AMOUNT")).replace('"AMOUNT"', text)
    stand_in = StandIn(lambda path, query: Literal(f'{{"totalItems": 1, "items": [{item}]}}'))
    kept = Sipcentric(stand_in.client).messages("25", START, window="")[0].body
    assert json.loads(kept, parse_float=str, parse_int=str)["items"][0]["cost"] == text


# --- messages ---

SECRETS = ("Marzipan", "кулич", "Zwetschge", "8305517")
TEXTS = [
    'Marzipan "quoted" \\ and \\"body\\": \\"more Marzipan\\"',
    "Zwetschge\n\t\u2028{}[],:",
    "кулич 🎂 Marzipan",
    "",
    '", "body": "Marzipan',
]


def as_written(body: str) -> Callable[[dict[str, Any], str], Any]:
    return lambda response, kind: Literal(body) if kind == "sms" else response


def test_the_text_of_a_message_is_never_written(tmp_path: Path) -> None:
    account = Account(sms=[message(START + timedelta(minutes=5 - n), body=text) for n, text in enumerate(TEXTS)])
    account.lists["sms"].append(
        message(START, Text="Marzipan", meta={"preview": "Marzipan"}, parts=["Zwetschge"], size=3)
    )
    account.lists["sms"].append(message(START, body=8305517))
    bodies = json.dumps(page(account.lists["sms"], {}) | {"latest": {"body": "Zwetschge"}})
    styles = [bodies, bodies.replace('"body"', r'"\u0062ody"'), bodies.replace('"body": ', '"body"\n\t:  ')]
    styles += [json.dumps(page(account.lists["sms"], {}), ensure_ascii=False), bodies.replace('"body"', '"Body"')]
    for number, style in enumerate(styles):
        account.change = as_written(style)
        folder = tmp_path / str(number)
        from_ = account.load_messages(folder)
        assert len(rows(from_, "sms")) == len(TEXTS) + 2
        assert {row["cost"] for row in rows(from_, "sms")} == {Decimal("0.1")}
        written = everything_written(folder)
        assert b"07700900200" in written  # the search can find
        for secret in SECRETS:
            for form in (secret.encode(), json.dumps(secret)[1:-1].encode(), ascii(secret)[1:-1].encode()):
                assert form not in written


def test_messages_are_loaded_by_their_day_and_typed(tmp_path: Path) -> None:
    after = DAY + timedelta(days=1)
    items = [
        message(END + timedelta(hours=30)),
        message(END, direction="in", to="07700900123") | {"from": "Acme"},
        message(END - timedelta(seconds=1), sendStatus="failed", deliveryStatus=16),
        message(f"{START:%Y-%m-%dT%H:%M:%SZ}", sendStatus="Teleported", cost=None),
        message(START - timedelta(seconds=1)),
    ]
    for name in ("deliveryStatus", "sendStatus"):
        del items[1][name]
    from_ = Account(sms=items).load_messages(tmp_path, DAY, after)
    found = {row["native_id"]: row for row in rows(from_, "sms")}
    assert [found[item["uri"]]["sms_date"] for item in items[1:4]] == [after, DAY, DAY]
    assert len(found) == 3
    inbound = found[items[1]["uri"]]
    assert (inbound["direction"], inbound["status"], inbound["delivery_status"], inbound["remote_e164"]) == (
        "inbound",
        None,
        None,
        None,
    )
    assert [found[item["uri"]]["status"] for item in items[2:4]] == ["failed", "unknown"]
    assert found[items[3]["uri"]]["cost"] is None
    assert found[items[2]["uri"]]["remote_e164"] == "+447700900200"


@pytest.mark.parametrize("order", ["newest first", "oldest first", "none"])
@pytest.mark.parametrize("cap", [1, 3, 200])
def test_messages_are_complete_in_whatever_order_they_come(order: str, cap: int) -> None:
    items = [message(END - timedelta(hours=n)) for n in range(60)]
    if order == "oldest first":
        items.reverse()
    elif order == "none":
        random.Random(5).shuffle(items)
    stand_in = StandIn(lambda path, query: page(items, query, cap))
    pages = Sipcentric(stand_in.client).messages("25", START, window="")
    wanted = {item["uri"] for item in items if item["created"] >= f"{START:%Y-%m-%dT%H:%M:%S}"}
    assert wanted <= {item["uri"] for found in pages for item in found.data["items"]}
    if order == "newest first" and cap == 3:
        assert max(int(query["page"]) for _, query in stand_in.asked) == 10  # 26 that are wanted, and no more pages


@pytest.mark.parametrize(("count", "theirs", "status"), [(60, 60, "matched"), (460, None, "unavailable")])
def test_messages_are_counted_where_all_were_read(tmp_path: Path, count: int, theirs: int | None, status: str) -> None:
    """Of 460 the reading ends with the 400th, for the days before are not asked for."""
    account = Account(sms=[message(END - timedelta(hours=n)) for n in range(count)])
    from_ = account.load_messages(tmp_path, DAY, DAY + timedelta(days=1))
    stretch = f"{DAY}..{DAY + timedelta(days=1)}"
    assert controls(from_, "total_items")["25", stretch] == (theirs or 400, theirs, status)


def test_a_message_without_a_time_is_quarantined_once(tmp_path: Path) -> None:
    account = Account(sms=[message("yesterday"), message(START)])
    from_ = account.load_messages(tmp_path, DAY, DAY + timedelta(days=1))
    assert [(row["window_date"], row["reason"]) for row in rows(from_, "quarantine")] == [
        (DAY, "created is not a time")
    ]


# --- paging under drift ---


class Drifting:
    """A list whose items come and go while it is paged: ``steps`` says what happens before each response."""

    def __init__(self, size: int, cap: int, steps: Iterator[str], picked: random.Random, loose: bool) -> None:
        self.cap, self.steps, self.picked, self.loose = cap, steps, picked, loose
        self.numbers = count(1)
        self.items = [self._new() for _ in range(size)]
        self.stayed = {item["uri"] for item in self.items}
        self.ever = set(self.stayed)
        self.stand_in = StandIn(self.response)

    def _new(self) -> Item:
        return {"uri": f"{URI}/25/endpoints/{next(self.numbers)}"}

    def response(self, path: str, query: dict[str, str]) -> Any:
        repeated = self._step(next(self.steps, ""))
        self.stayed &= {item["uri"] for item in self.items}
        self.ever |= {item["uri"] for item in self.items}
        response = page(self.items, query, self.cap)
        if repeated and response["items"]:
            response["items"] = [*response["items"][1:], response["items"][-1]] if len(response["items"]) > 1 else []
        if self.loose and response["items"]:
            response["nextPage"] = self.picked.choice(HOSTILE)
        return response

    def _step(self, step: str) -> bool:
        if "d" in step and self.items:
            del self.items[self.picked.randrange(len(self.items)) if "e" in step else 0]
        if "i" in step:
            self.items.insert(self.picked.choice([0, len(self.items) // 2, len(self.items)]), self._new())
        if "s" in step:
            self.picked.shuffle(self.items)
        if "r" in step and self.items:
            self.items.append(self.items.pop(self.picked.randrange(len(self.items))))
        return "x" in step


HOSTILE = [
    "http://169.254.169.254/latest?page=2",
    "https://reader:hunter2@pbx.example.net/customers?page=2",
    "http://127.0.0.1:9\\@evil.example/api?page=2",
    "//evil.example/api/customers?page=2",
    "file:///etc/passwd?page=2",
    f"{URI}/26/endpoints?page=2",
    "gopher://x/?page=2",
    "https://[::1",
    "?page=1&createdBefore=2020-01-01T00:00:00Z",
    "javascript:alert(1)",
    "a" * 10_000,
]
STEPS = st.lists(st.sampled_from(["", "", "", "i", "d", "id", "de", "ide", "s", "r", "x", "ider"]), max_size=40)


def check_drift(size: int, cap: int, steps: list[str], seed: int, loose: bool) -> None:
    drifting = Drifting(size, cap, iter(steps), random.Random(seed), loose)
    sip = Sipcentric(drifting.stand_in.client)
    try:
        pages = sip._all("customers/25/endpoints", "endpoints", "25", {}, "")
    except (IntegrityError, ContractError):
        assert any(steps), "a list that stands still was refused"
    else:
        found = [item["uri"] for each in pages for item in each.data["items"]]
        assert len(found) == len(set(found)), "an item twice"
        assert drifting.stayed <= set(found) <= drifting.ever, "silently less"
    assert len(drifting.stand_in.asked) <= READINGS * (size + len(steps) + 2)
    assert set(drifting.stand_in.paths()) == {"customers/25/endpoints"}


DRIFT = {
    "size": st.integers(0, 14),
    "cap": st.integers(1, 6),
    "steps": STEPS,
    "seed": st.integers(0, 2**32),
    "loose": st.booleans(),
}


@pytest.mark.slow
@settings(max_examples=400)
@given(**DRIFT)
def test_a_list_that_drifts_is_read_whole_or_refused(
    size: int, cap: int, steps: list[str], seed: int, loose: bool
) -> None:
    check_drift(size, cap, steps, seed, loose)


@pytest.mark.soak
@settings(max_examples=10_000, suppress_health_check=list(HealthCheck))
@given(**DRIFT)
def test_a_list_that_drifts_is_read_whole_or_refused_soak(
    size: int, cap: int, steps: list[str], seed: int, loose: bool
) -> None:
    check_drift(size, cap, steps, seed, loose)


def check_message_drift(size: int, cap: int, steps: list[str], seed: int) -> None:
    """Messages come at the front and go anywhere; all that stay and are not too old are read, or it is refused."""
    picked = random.Random(seed)
    times = count(size)
    numbers = count(1)

    def new(minute: int) -> Item:
        return message(START + timedelta(minutes=minute - size // 2), next(numbers))

    items = [new(minute) for minute in reversed(range(size))]
    stayed = {item["uri"] for item in items if item["created"] >= f"{START:%Y-%m-%dT%H:%M:%S}"}
    script = iter(steps)

    def response(path: str, query: dict[str, str]) -> Any:
        step = next(script, "")
        if "i" in step:
            items.insert(0, new(next(times)))
        if "d" in step and items:
            del items[picked.randrange(len(items)) if picked.random() < 0.5 else 0]
        if "o" in step:
            items.append(message("2020-02-29T12:00:00Z", next(numbers)))
        stayed.intersection_update(item["uri"] for item in items)
        return page(items, query, cap)

    stand_in = StandIn(response)
    try:
        pages = Sipcentric(stand_in.client).messages("25", START, window="")
    except (IntegrityError, ContractError):
        assert any(steps)
    else:
        found = [item["uri"] for each in pages for item in each.data["items"]]
        assert len(found) == len(set(found))
        assert stayed <= set(found)


def test_messages_that_come_in_all_the_time_keep_no_day_from_being_read(tmp_path: Path) -> None:
    account = Account(sms=[message(END - timedelta(minutes=n), n + 1) for n in range(700)])
    numbers = count(1)

    def busy(response: Any, kind: str) -> Any:
        if kind == "sms":
            number = next(numbers)
            account.lists["sms"].insert(0, message(END + timedelta(seconds=number), 1000 + number))
        return response

    account.change = busy
    from_ = account.load_messages(tmp_path)
    read = sorted(int(row["native_id"].rpartition("/")[2]) for row in rows(from_, "sms"))
    assert read == list(range(2, 701))
    landed = from_.lake.raw.responses(from_.lake.raw.landings(from_.name, "sms", DAY)[0])
    found = [item["uri"] for response in landed for item in json.loads(response["body"])["items"]]
    assert len(found) == len(set(found)) == sum(response["rows"] for response in landed)


def test_messages_of_which_one_stands_twice_on_the_first_page_are_refused(tmp_path: Path) -> None:
    account = Account(sms=[message(START, 1), message(START, 1)])
    with pytest.raises(IntegrityError):
        account.load_messages(tmp_path)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("sms", [(6, "abc"), (7, "cdy"), (6, "f")]),  # one went, and e with it to the page before
        ("sms", [(4, "abc"), (4, "cd")]),  # one comes again, although none came in
        ("endpoints", [(4, "abc"), (4, "cd")]),
        ("endpoints", [(3, "ab"), (4, "c")]),
    ],
)
def test_a_reading_whose_count_and_pages_do_not_agree_is_no_proof_however_often_it_comes(
    kind: str, told: list[tuple[int, str]]
) -> None:
    """By number of the page: how many there are, and which it holds, newest first."""

    def response(path: str, query: dict[str, str]) -> Any:
        number = int(query["page"])
        total, letters = told[number - 1] if number <= len(told) else (told[-1][0], "")
        items = [
            {
                "uri": f"{URI}/25/{kind}/{letter}",
                "created": f"{END - timedelta(minutes=ord(letter)):%Y-%m-%dT%H:%M:%SZ}",
            }
            for letter in letters
        ]
        link = {"nextPage": f"{URI}/25/{kind}?page={number + 1}"} if number < len(told) else {}
        return {"totalItems": total, "items": items, **link}

    sip = Sipcentric(StandIn(response).client)
    with pytest.raises(IntegrityError):
        sip.messages("25", START, window="") if kind == "sms" else sip._list_of("25", kind)


def test_messages_that_go_all_the_time_are_refused(tmp_path: Path) -> None:
    account = Account(sms=[message(END - timedelta(minutes=n), n + 1) for n in range(700)])

    def change(response: Any, kind: str) -> Any:
        if kind == "sms":
            account.lists["sms"].pop(3)
        return response

    account.change = change
    with pytest.raises(IntegrityError):
        account.load_messages(tmp_path)


MESSAGE_STEPS = st.lists(st.sampled_from(["", "", "", "i", "d", "id", "do"]), max_size=30)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.integers(0, 24), st.integers(1, 6), MESSAGE_STEPS, st.integers(0, 2**32))
def test_messages_that_drift_are_read_whole_or_refused(size: int, cap: int, steps: list[str], seed: int) -> None:
    check_message_drift(size, cap, steps, seed)


@pytest.mark.soak
@settings(max_examples=10_000, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 24), st.integers(1, 6), MESSAGE_STEPS, st.integers(0, 2**32))
def test_messages_that_drift_are_read_whole_or_refused_soak(size: int, cap: int, steps: list[str], seed: int) -> None:
    check_message_drift(size, cap, steps, seed)


def test_a_list_that_changed_once_is_read_again() -> None:
    drifting = Drifting(10, 3, iter(["", "d"]), random.Random(1), loose=False)
    pages = Sipcentric(drifting.stand_in.client)._all("customers/25/endpoints", "endpoints", "25", {}, "")
    assert {item["uri"] for each in pages for item in each.data["items"]} == drifting.stayed


def test_a_reading_whose_count_changes_ends_at_once() -> None:
    drifting = Drifting(30, 10, iter(["", "d"]), random.Random(1), loose=False)
    Sipcentric(drifting.stand_in.client)._all("customers/25/endpoints", "endpoints", "25", {}, "")
    assert [query["page"] for _, query in drifting.stand_in.asked] == ["1", "2", *"123", *"123"]


def test_a_page_that_repeats_for_ever_is_refused_after_few_requests() -> None:
    items = [endpoint(n) for n in range(1000)]
    stand_in = StandIn(lambda path, query: page(items, {**query, "page": "1"}))
    with pytest.raises(ContractError, match="again and again"):
        Sipcentric(stand_in.client)._all("customers/25/endpoints", "endpoints", "25", {}, "")
    assert len(stand_in.asked) == 2 * READINGS


def test_a_link_for_ever_ends_with_the_items() -> None:
    items = [endpoint(n) for n in range(30)]
    stand_in = StandIn(lambda path, query: page(items, query, 10, nextPage=f"{URI}/25/endpoints?page=2"))
    pages = Sipcentric(stand_in.client)._all("customers/25/endpoints", "endpoints", "25", {}, "")
    assert sum(len(each.data["items"]) for each in pages) == 30
    assert len(stand_in.asked) == 2 * 4


def test_a_bound_that_the_server_adds_is_kept_and_our_filters_too() -> None:
    """The links have lost the filter of the request; the second freezes the list by ``createdBefore``."""
    items = [call(START + timedelta(seconds=n), n + 1) for n in range(30)]
    frozen = f"{URI}/25/calls?page=2&createdBefore=2026-10-21T09%3A00%3A00Z&startedAfter=1999-01-01T00%3A00%3A00Z"
    stand_in = StandIn(lambda path, query: page(items, query, 10, nextPage=frozen))
    filters = {"startedAfter": "2026-10-21T00:00:00Z"}
    Sipcentric(stand_in.client)._all("customers/25/calls", "calls", "25", filters, "")
    for _, query in stand_in.asked:
        assert query["startedAfter"] == "2026-10-21T00:00:00Z"
        assert query.get("createdBefore") == (None if query["page"] == "1" else "2026-10-21T09:00:00Z")


@pytest.mark.parametrize("uri", [None, 5, "", "x", f"{URI}/", f"{URI}/../../etc", f"{URI}/%2e%2e", f"{URI}/a b"])
def test_a_customer_without_a_safe_id_is_refused(tmp_path: Path, uri: Any) -> None:
    account = Account()
    account.customers = [{"uri": uri, "company": "Bloggs co"}]
    with pytest.raises(ContractError, match="no id"):
        account.load_lists(tmp_path)
    assert set(account.stand_in.paths()) == {"customers"}


def test_ids_are_taken_from_uris() -> None:
    assert identifier(f"{URI}/25/endpoints/77?x=1", "endpoints") == "77"
    assert identifier(f"{URI}/25", "customers") == "25"
    assert identifier(f"{URI}/25/calls/7/../8", "calls") == "7"
    assert identifier(f"{URI}/{'9' * 65}", "customers") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2014-03-10T13:37:00.000+0000", datetime(2014, 3, 10, 13, 37, tzinfo=UTC)),
        ("2014-03-10T13:37:00.0000+0000", datetime(2014, 3, 10, 13, 37, tzinfo=UTC)),
        ("2023-04-05T12:59:05Z", datetime(2023, 4, 5, 12, 59, 5, tzinfo=UTC)),
        ("2023-04-05T12:59:05.123456789Z", datetime(2023, 4, 5, 12, 59, 5, 123_456, tzinfo=UTC)),
        ("2023-04-05T12:59:05", datetime(2023, 4, 5, 12, 59, 5, tzinfo=UTC)),
        ("2023-04-05T13:59:05+0100", datetime(2023, 4, 5, 12, 59, 5, tzinfo=UTC)),
        ("0000-00-00T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("", None),
        ("soon", None),
        (None, None),
        (1413979200, None),
    ],
)
def test_instants_are_read_in_both_styles(text: Any, expected: datetime | None) -> None:
    assert instant(text) == expected


# --- bundles ---


def test_a_bundle_of_a_past_period_stays_when_the_list_has_only_the_new_one(tmp_path: Path) -> None:
    account = Account()
    bundle = sample("sipcentric_callbundles")["items"][0] | {"usedMins": "60"}
    account.lists["callbundles"] = [bundle]
    from_ = account.load_lists(tmp_path)
    assert controls(from_, "bundle_minutes") == {("25", "1040/2014-03-01"): (1003, 1000, "variance")}
    april = {
        "validFrom": "2014-03-31T23:00:00Z",
        "validTo": "2014-04-30T22:59:59Z",
        "usedMins": 0,
        "availableMins": None,
    }
    account.lists["callbundles"] = [bundle | april, {**bundle, "uri": f"{URI}/25/callbundles/9", "validFrom": None}]
    from_ = account.load_lists(tmp_path)
    assert [(row["valid_from_date"], row["used_minutes"]) for row in rows(from_, "bundle")] == [
        (date(2014, 3, 1), 60),
        (date(2014, 4, 1), 0),
    ]
    assert controls(from_, "bundle_minutes") == {("25", "1040/2014-03-31"): (None, None, "unavailable")}
    assert [row["reason"] for row in rows(from_, "quarantine")] == ["an entry of callbundles has no id or no period"]


# --- the bundled vendors ---


@pytest.mark.slow
def test_the_bundled_vendor_loads_exactly_and_without_false_alarms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = date(2026, 10, 23), date(2026, 10, 26)
    days = [first + timedelta(days=n) for n in range(4)]
    with Vendors(first=first - timedelta(days=2), last=last + timedelta(days=1)) as vendors:
        from_ = served(vendors, tmp_path)
        vendors.faults.add(Fault("insert_rows", "sipcentric", "calls", nth=3, params={"n": 4}))
        vendors.faults.add(Fault("page_size_ignored", "sipcentric", "*", times=None, params={"size": 10}))
        load_all(from_, days)
        truth = vendors.truth.legs("sipcentric", first, last)
        found = rows(from_, "cdr")
        names: tuple[str, ...] = (
            "account_id",
            "native_id",
            "call_date",
            "direction",
            "outcome",
            "duration_seconds",
            "cost",
            "extension",
        )
        names += ("started_at", "linked_id", "is_provisional")
        expected = {tuple(getattr(leg, name) for name in names) for leg in truth}
        missing = expected - {tuple(row[name] for name in names) for row in found}
        # What came in after its slice was read is the next night's restatement.
        assert len(missing) <= 4
        load_all(from_, days)
        found = rows(from_, "cdr")
        assert sorted(tuple(row[name] for name in names) for row in found) == sorted(expected)
        assert {leg.native_id: leg.remote for leg in truth if leg.remote} == {
            row["native_id"]: row["remote_e164"] for row in found if row["remote_e164"]
        }
        texts = vendors.truth.sms(first, last)
        assert {(m.native_id, m.sent_at, m.sms_date, m.status, m.cost, m.remote) for m in texts} == {
            (r["native_id"], r["sent_at"], r["sms_date"], r["status"], r["cost"], r["remote_e164"])
            for r in rows(from_, "sms")
        }
        assert len(texts) == len(rows(from_, "sms"))
        assert all(found == {"matched"} for found in statuses(from_).values())


def served(vendors: Vendors, folder: Path) -> Source:
    """A connection to the bundled Sipcentric over loopback."""
    login = BasicAuth(Secret(vendors.secrets["SIPCENTRIC_USERNAME"]), Secret(vendors.secrets["SIPCENTRIC_PASSWORD"]))
    client = Client(connection="site", base_url=vendors.urls["sipcentric"], auth=login)
    return source(StandIn(lambda path, query: None), folder, "sipcentric", client=lambda: client)


def load_all(from_: Source, days: list[date]) -> None:
    run(from_, sipcentric.LISTS_STREAM, lambda window: sipcentric.fetch_lists(from_))
    lists = from_.lake.raw.newest_list(from_.name, "lists")
    depends_on = {"lists": lists.content_generation}
    run(
        from_,
        sipcentric.CALL_STREAM,
        lambda window: sipcentric.fetch_calls(from_, lists, window),
        days,
        depends_on=depends_on,
    )
    run(
        from_,
        sipcentric.MESSAGE_STREAM,
        lambda window: sipcentric.fetch_messages(from_, lists, window),
        days,
        at_once=True,
        depends_on=depends_on,
    )
