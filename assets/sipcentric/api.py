"""Sipcentric over HTTP: customers and what they have, calls, messages, bundles, credit, and the vendor's own counts.

Source: Sipcentric API v1. What lives here: what is asked, and when a reading is complete. What does not: HTTP
(``assets.http.client``), the walk over a day (``assets.http.slices``), what a field means (``directory``, ``calls``,
``messages``).

The stop rules: a slice of calls is complete when the one response holds ``totalItems`` different calls; a list, when
its pages hold ``totalItems`` different items and a second reading has the same ones; messages may come in meanwhile,
and those need not be the same. The server's links are never followed: of ``nextPage`` only a ``createdBefore`` that
freezes the result is taken.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from assets.http import strict_json
from assets.http.client import Client, Response, Wait
from assets.http.errors import Forbidden, Unauthorized, if_available
from assets.http.optional_lists import OptionalLists
from assets.http.page import Page
from assets.http.slices import NOTHING, Earlier, Reading, Slice, read_slices
from assets.http.urls import link_query
from tollbook_errors import ContractError, IntegrityError, TransientError

PAGE_SIZE = 200  # the documented maximum
READINGS = 4  # how often a list that changes while it is read is read before it is refused
LISTS = ("endpoints", "phonenumbers", "callbundles")
CREDIT_STATUS = "creditstatus"
REPEATS = "the same page comes again and again"
CHANGES = "the list changed every time it was read"
# What of a message may be kept: everything documented but its text, which some software writes as a number where it
# is one (a code to log in with). Of other fields only what cannot hold a text.
_MESSAGE_FIELDS = frozenset(
    {"type", "uri", "id", "created", "direction", "from", "to", "sendStatus", "deliveryStatus", "cost"}
)
_TEXT_FIELDS = frozenset({"body", "text", "message", "content"})


class Sipcentric:
    """One Sipcentric user and all the customers that the user may see."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def lists(self, optional: OptionalLists) -> Iterator[Page]:
        """Yield the customers, and of each the endpoints, phone numbers, call bundles and credit status."""
        customers: list[str] = []
        for page in self._all("customers", "customers", None, {}, ""):
            customers += self.customers(page.data)
            yield page
        for customer in customers:
            for name in (*LISTS, CREDIT_STATUS):
                yield from optional.ask(name, customer, partial(self._offered_list, customer, name))

    def _offered_list(self, customer: str, name: str) -> list[Page]:
        """A list that need not be given: a 401 is about the list where the same credentials are let in elsewhere."""
        unauthorized: Unauthorized | None = None
        try:
            return self._list_of(customer, name)
        except Unauthorized as error:
            unauthorized = error
        self.probe()
        raise Forbidden(
            "the vendor does not allow this account to ask for this (401)",
            connection=unauthorized.connection,
            endpoint=name,
            hint="check the account's permissions and licence",
        )

    def _list_of(self, customer: str, name: str) -> list[Page]:
        path = f"customers/{customer}/{name}"
        if name != CREDIT_STATUS:
            return self._all(path, name, customer, {}, "")
        response = self._ask(path, name, {}, "")
        if not isinstance(response.data, dict) or not {"balance", "creditRemaining", "accountType"} & set(
            response.data
        ):
            raise self._contract(name, "", "the response is no credit status")
        return [Page(name, customer, {}, response.body, response.fetched_at, 1, response.data)]

    def customers(self, data: Any) -> list[str]:
        """The customer ids in one response of ``/customers``."""
        ids = [identifier(item.get("uri"), "customers") for item in data["items"]]
        if None in ids:
            raise self._contract("customers", "", "a customer has no id in its uri")
        return [found for found in ids if found is not None]

    def probe(self) -> None:
        """One cheap authenticated request."""
        self._ask("customers", "customers", {"pageSize": "1", "page": "1"}, "")

    def calls(
        self, customer: str, start: datetime, end: datetime, *, window: str, earlier: Earlier = NOTHING
    ) -> Iterator[Page]:
        """Yield the calls of a customer that started in [start, end), local ones included, each slice as one response.

        What an ``earlier`` reading found spares requests; it changes nothing in what is read.

        Whether the vendor's bounds are inclusive is not documented, so each slice is asked from a second earlier; what
        lies outside is left out when the calls are parsed.
        """

        def fetch(part: Slice) -> Reading:
            page = self._calls_page(customer, part, {"page": "1"}, window)
            total = _count(page.data["totalItems"])
            found = _keys(page)
            capacity = max(1, page.rows if page.rows < total else PAGE_SIZE)
            complete = len(set(found)) == page.rows == total
            times = [] if complete else _times(page)
            return Reading(part, [page], page.rows, complete, capacity, total=total, times=times)

        def fetch_paged(part: Slice) -> Reading:
            filters = _calls_filters(part)
            pages = self._all(f"customers/{customer}/calls", "calls", customer, filters, window)
            return Reading(part, pages, sum(page.rows for page in pages), True, PAGE_SIZE)

        whole = Slice(int(start.timestamp()), int(end.timestamp()))
        for reading in read_slices(fetch, fetch_paged, whole, self.client, capacity=PAGE_SIZE, earlier=earlier):
            yield from reading.pages

    def call_stats(self, customer: str, start: datetime, end: datetime, metric: str, *, window: str) -> Page | None:
        """The vendor's own total of ``metric`` (cost, count, duration) by day, over the same bounds as the calls.

        None where the release has no stats, or none that can be read: a proof that is not offered is no failure. Raises
        Forbidden where it keeps those of this customer from the user.
        """
        arguments = {
            "dimension": "day",
            "metric": metric,
            "startedAfter": _stamp(start - timedelta(seconds=1)),
            "startedBefore": _stamp(end),
            "includeLocal": "true",
        }
        try:
            response = self._ask(f"customers/{customer}/calls/stats", "calls/stats", arguments, window)
        except (ContractError, TransientError):
            return None
        return Page("calls/stats", customer, arguments, response.body, response.fetched_at, 0, response.data)

    def messages(self, customer: str, since: datetime, *, window: str) -> list[Page]:
        """Messages of a customer, at least back to ``since``; their texts are taken out here.

        The resource has no documented filter or order: where it is seen to be newest first it is paged until everything
        is older, else to its end. Each message stands on one page only. No pages where messages are not offered.
        """
        path = f"customers/{customer}/sms"
        pages = if_available(lambda: self._all(path, "sms", customer, {}, window, since=since))
        seen: set[str] = set()
        return [_without_text(page, seen) for page in pages or ()]

    def _calls_page(self, customer: str, part: Slice, extra: Mapping[str, str], window: str) -> Page:
        arguments = {**_calls_filters(part), "pageSize": str(PAGE_SIZE), **extra}
        response = self._ask(f"customers/{customer}/calls", "calls", arguments, window)
        return self._listed("calls", customer, arguments, response, window)

    def _all(
        self,
        path: str,
        kind: str,
        customer: str | None,
        filters: Mapping[str, str],
        window: str,
        since: datetime | None = None,
    ) -> list[Page]:
        """Every page of a list. One page is a state of one moment; several are read until two readings agree.

        Of what goes back to ``since``, they need not agree about what came in after the first of them began.
        """
        before: set[str] | None = None
        newest: datetime | None = None
        trouble = CHANGES
        for _ in range(READINGS):
            pages, trouble = self._reading(path, kind, customer, filters, window, since)
            if since is not None and newest is None:
                times = [instant(item.get("created")) for page in pages[:1] for item in page.data["items"]]
                newest = max((time for time in times if time is not None), default=None)
            found = {key for page in pages for key in _keys(page, newest)} if not trouble else None
            if found is not None and (len(pages) == 1 or found == before):
                return pages
            before = found
        if trouble == REPEATS:
            raise self._contract(kind, window, REPEATS)
        raise IntegrityError(
            CHANGES,
            connection=self.client.connection,
            endpoint=kind,
            window=window,
            hint="load again when the account is quieter",
        )

    def _reading(
        self,
        path: str,
        kind: str,
        customer: str | None,
        filters: Mapping[str, str],
        window: str,
        since: datetime | None,
    ) -> tuple[list[Page], str]:
        """One reading of a list, and what shows that it changed meanwhile; "" where it has all that the vendor counts.

        Every page but the last brings something new, or the reading ends: there are no more requests than items. What
        goes back to ``since`` may grow in front meanwhile, which only brings items again: as long as there never are
        fewer, none has moved over to a page that was read.
        """
        pages: list[Page] = []
        seen: set[str] = set()
        totals: list[int] = []
        frozen: dict[str, str] = {}
        order = _Order()
        while True:
            arguments = {**filters, **frozen, "pageSize": str(PAGE_SIZE), "page": str(len(pages) + 1)}
            page = self._listed(kind, customer, arguments, self._ask(path, kind, arguments, window), window)
            total, found, link = _count(page.data["totalItems"]), _keys(page), page.data.get("nextPage")
            may_grow = since is not None and len(set(found)) == len(found)
            if totals and (total < totals[-1] or (total > totals[-1] and not may_grow)):
                return pages, CHANGES
            totals.append(total)
            grown = total > totals[0]
            if len(seen.union(found)) < len(seen) + len(found):  # some stand on a page for the second time
                nothing_new = seen.issuperset(found)
                if nothing_new or not (grown and may_grow):
                    return pages, REPEATS if nothing_new and not grown else CHANGES
            seen.update(found)
            if page.rows or not pages:
                pages.append(page)
            if since is not None and order.reaches(page, since):
                return pages, ""
            enough = totals[0] <= len(seen) <= total
            if len(seen) > total or not page.rows or (enough and (grown or not link)):
                return pages, "" if enough else CHANGES
            query = link_query(link)
            frozen |= {name: query[name] for name in ("createdBefore",) if name in query and name not in filters}

    def _listed(
        self, kind: str, customer: str | None, arguments: Mapping[str, str], response: Response, window: str
    ) -> Page:
        data = response.data
        if not isinstance(data, dict) or not isinstance(data.get("items"), list) or "totalItems" not in data:
            raise self._contract(kind, window, "the response has no items and totalItems")
        if not all(isinstance(item, dict) for item in data["items"]):
            raise self._contract(kind, window, "an item is not an object")
        if _count(data["totalItems"]) < 0:
            raise self._contract(kind, window, "totalItems is not a count")
        return Page(kind, customer, dict(arguments), response.body, response.fetched_at, len(data["items"]), data)

    def _ask(self, path: str, kind: str, arguments: Mapping[str, str], window: str) -> Response:
        return self.client.request(
            "GET",
            path,
            arguments,
            endpoint=kind,
            window=window,
            rate_headers=rate_wait,
            remember_refusal=kind not in (*LISTS, CREDIT_STATUS),
        )

    def _contract(self, endpoint: str, window: str, what: str) -> ContractError:
        return ContractError(what, connection=self.client.connection, endpoint=endpoint, window=window)


class _Order:
    """Whether the items of a reading are seen to come newest first: no documented rule says so."""

    def __init__(self) -> None:
        self._newest: datetime | None = None
        self._last: datetime | None = None
        self._kept = True

    def reaches(self, page: Page, since: datetime) -> bool:
        """Whether this page, and so all that follow it, hold only what is older than ``since``."""
        times = [instant(item.get("created")) for item in page.data["items"]]
        for time in times:
            if time is None or (self._last is not None and time > self._last):
                self._kept = False
                break
            self._newest = self._newest or time
            self._last = time
        if not times or not self._kept or self._newest is None or self._last is None:
            return False
        return times[0] is not None and times[0] < since and self._newest > self._last


def rate_wait(headers: Mapping[str, str], status: int) -> Wait | None:
    """What the X-RateLimit headers say; Reset is the number of seconds until the window begins anew."""
    limit, remaining, reset = (
        _header_count(headers.get(f"X-RateLimit-{name}")) for name in ("Limit", "Remaining", "Reset")
    )
    if limit is None and remaining is None:
        return None
    seconds = float(reset) if reset is not None and (status == 429 or remaining == 0) else None
    return Wait(limit=limit, remaining=remaining, seconds=seconds)


def identifier(uri: Any, collection: str) -> str | None:
    """The id that follows ``collection`` in a uri; None where there is none that is safe to put into a path."""
    found = re.search(rf"/{collection}/([A-Za-z0-9_-]{{1,64}})(?:[/?#]|$)", uri) if isinstance(uri, str) else None
    return found.group(1) if found else None


def instant(text: Any) -> datetime | None:
    """A timestamp in either of the vendor's styles, as UTC; None where it cannot be read."""
    if not isinstance(text, str):
        return None
    mended = re.sub(r"(\.\d{1,6})\d*", r"\1", text.strip().replace("Z", "+00:00"))
    try:
        parsed = datetime.fromisoformat(mended)
    except ValueError:
        return None
    if not 1 < parsed.year < 9999:  # at the edges no other zone can say the same
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _calls_filters(part: Slice) -> dict[str, str]:
    return {
        "startedAfter": _stamp(datetime.fromtimestamp(part.start - 1, UTC)),
        "startedBefore": _stamp(datetime.fromtimestamp(part.end, UTC)),
        "includeLocal": "true",
    }


def slice_asked(request: Mapping[str, str]) -> Slice:
    """The slice that a request for calls was about."""
    first, last = (datetime.fromisoformat(request[name]) for name in ("startedAfter", "startedBefore"))
    return Slice(int(first.timestamp()) + 1, int(last.timestamp()))


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _keys(page: Page, newest: datetime | None = None) -> list[str]:
    """The key of each item of a page: its uri, or where there is none the whole item.

    Without those that were made after ``newest``.
    """
    return [
        str(item.get("uri") or item)
        for item in page.data["items"]
        if newest is None or (instant(item.get("created")) or newest) <= newest
    ]


def _times(page: Page) -> list[int]:
    """When the calls of a response started, in epoch seconds; a hint for sizing, nothing more."""
    times = (instant(item.get("callStarted")) for item in page.data["items"])
    return [int(time.timestamp()) for time in times if time is not None]


def _without_text(page: Page, seen: set[str]) -> Page:
    """A page of messages with only what may be kept of them, every number as the vendor wrote it.

    Items whose keys were ``seen`` on a page before are left out; the keys of the others are added to it.
    """
    fresh = [(key, item) for key, item in zip(_keys(page), page.data["items"], strict=True) if key not in seen]
    seen.update(key for key, _ in fresh)
    items = [
        {
            name: value
            for name, value in item.items()
            if name in _MESSAGE_FIELDS
            or (name.lower() not in _TEXT_FIELDS and not isinstance(value, (str, list, dict)))
        }
        for _, item in fresh
    ]
    data = {name: value for name, value in page.data.items() if not isinstance(value, (list, dict))} | {"items": items}
    return Page(page.kind, page.account_id, page.request, strict_json.dumps(data), page.fetched_at, len(items), data)


def _count(value: Any) -> int:
    """A count as a number or a string of digits; −1 for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else -1


def _header_count(text: str | None) -> int | None:
    count = _count(text.strip()) if text else -1
    return count if count >= 0 else None
