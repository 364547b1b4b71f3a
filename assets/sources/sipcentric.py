"""Sipcentric over HTTP: customers and what they have, calls, messages, bundles, credit, and the vendor's own counts.

Source: Sipcentric API v1. What lives here: what is asked, and when a reading is complete. What does not: HTTP
(``client``), the walk over a day (``slices``), what a field means (``assets.sipcentric``).

The stop rules: a slice of calls is complete when the one answer holds ``totalItems`` different calls; a list, when its
pages hold ``totalItems`` different items and a second reading says the same. The server's links are never followed:
of ``nextPage`` only the page number and a ``createdBefore`` that freezes the result are taken.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from assets.sources.client import Answer, Client, HttpStatusError, Wait, link_query
from assets.sources.page import Page
from assets.sources.slices import Reading, Slice, read_slices
from tollbook_errors import ContractError, IntegrityError

PAGE_SIZE = 200  # the documented maximum
READINGS = 4  # how often a list that changes while it is read is read before it is refused
LISTS = ("endpoints", "phonenumbers", "callbundles")
_BODY = re.compile(r'("body"\s*:\s*)"(?:[^"\\]|\\.)*"')


class Sipcentric:
    """One Sipcentric user and all the customers that the user may see."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def lists(self) -> Iterator[Page]:
        """Yield the customers, and of each the endpoints, phone numbers, call bundles and credit status."""
        customers: list[str] = []
        for page in self._all("customers", "customers", None, {}, ""):
            customers += self.customers(page.data)
            yield page
        for customer in customers:
            for name in LISTS:
                yield from self._all(f"customers/{customer}/{name}", name, customer, {}, "")
            answer = self._ask(f"customers/{customer}/creditstatus", "creditstatus", {}, "")
            yield Page("creditstatus", customer, {}, answer.body, answer.fetched_at, 1, answer.data)

    def customers(self, data: Any) -> list[str]:
        """The customer ids in one answer of ``/customers``."""
        ids = [identifier(item.get("uri"), "customers") for item in data["items"]]
        if None in ids:
            raise self._contract("customers", "", "a customer has no id in its uri")
        return [found for found in ids if found is not None]

    def probe(self) -> None:
        """One cheap authenticated request."""
        self._ask("customers", "customers", {"pageSize": "1", "page": "1"}, "")

    def calls(self, customer: str, start: datetime, end: datetime, *, window: str) -> Iterator[Page]:
        """Yield the calls of a customer that started in [start, end), local ones included, each slice as one answer.

        Whether the vendor's bounds are inclusive is not documented, so each slice is asked from a second earlier; what
        lies outside is left out when the calls are typed.
        """

        def fetch(part: Slice) -> Reading:
            page = self._calls_page(customer, part, {"page": "1"}, window)
            total = _count(page.data["totalItems"])
            found = _uris(page)
            capacity = max(1, page.rows if page.rows < total else PAGE_SIZE)
            complete = len(set(found)) == page.rows == total
            return Reading(part, [page], page.rows, complete, capacity, total=total)

        def fetch_paged(part: Slice) -> Reading:
            filters = _calls_filters(part)
            pages = self._all(f"customers/{customer}/calls", "calls", customer, filters, window)
            return Reading(part, pages, sum(page.rows for page in pages), True, PAGE_SIZE)

        whole = Slice(int(start.timestamp()), int(end.timestamp()))
        for reading in read_slices(fetch, fetch_paged, whole, self.client):
            yield from reading.pages

    def call_stats(self, customer: str, start: datetime, end: datetime, metric: str, *, window: str) -> Page | None:
        """The vendor's own total of ``metric`` (cost, count, duration) by day; None where the release has no stats."""
        arguments = {
            "dimension": "day",
            "metric": metric,
            "startedAfter": _stamp(start - timedelta(seconds=1)),
            "startedBefore": _stamp(end),
            "includeLocal": "true",
        }
        try:
            answer = self._ask(f"customers/{customer}/calls/stats", "calls/stats", arguments, window)
        except HttpStatusError as error:
            if error.status == 404:
                return None
            raise
        return Page("calls/stats", customer, arguments, answer.body, answer.fetched_at, 1, answer.data)

    def messages(self, customer: str, since: datetime, *, window: str) -> list[Page]:
        """Messages of a customer, newest first, at least back to ``since``; their texts are taken out here.

        The resource has no documented filter, so it is paged from the newest until everything is older.
        """
        pages = self._all(f"customers/{customer}/sms", "sms", customer, {}, window, since=since)
        return [self._without_text(page, window) for page in pages]

    def _calls_page(self, customer: str, part: Slice, extra: Mapping[str, str], window: str) -> Page:
        arguments = {**_calls_filters(part), "pageSize": str(PAGE_SIZE), **extra}
        answer = self._ask(f"customers/{customer}/calls", "calls", arguments, window)
        return self._listed("calls", customer, arguments, answer, window)

    def _all(
        self,
        path: str,
        kind: str,
        customer: str | None,
        filters: Mapping[str, str],
        window: str,
        since: datetime | None = None,
    ) -> list[Page]:
        """Every page of a list. One page is a state of one moment; several are read until two readings agree."""
        before: list[str] | None = None
        for _ in range(READINGS):
            pages, stable = self._pages(path, kind, customer, filters, window, since)
            if stable and len(pages) == 1:
                return pages
            content = sorted(repr(item) for page in pages for item in page.data["items"])
            if stable and content == before:
                return pages
            before = content if stable else None
        raise IntegrityError(
            "the list changed every time it was read",
            connection=self.client.connection,
            endpoint=kind,
            window=window,
            hint="load again when the account is quieter",
        )

    def _pages(
        self,
        path: str,
        kind: str,
        customer: str | None,
        filters: Mapping[str, str],
        window: str,
        since: datetime | None,
    ) -> tuple[list[Page], bool]:
        """One reading of a list, and whether it holds what the vendor counts, each item once."""
        pages: list[Page] = []
        uris: list[str] = []
        totals: set[int] = set()
        frozen: dict[str, str] = {}
        number = 1
        while True:
            arguments = {**filters, **frozen, "pageSize": str(PAGE_SIZE), "page": str(number)}
            page = self._listed(kind, customer, arguments, self._ask(path, kind, arguments, window), window)
            found = _uris(page)
            if page.rows and pages and found == _uris(pages[-1]):
                raise self._contract(kind, window, "the same page comes again and again")
            pages.append(page)
            uris += found
            totals.add(_count(page.data["totalItems"]))
            link = page.data.get("nextPage")
            if since is not None and page.rows and _all_older(page, since):
                return pages, len(totals) == 1 and len(set(uris)) == len(uris)
            if not page.rows or (len(uris) >= max(totals) and not link):
                break
            query = link_query(link)
            frozen |= {name: query[name] for name in ("createdBefore",) if name in query and name not in filters}
            number += 1
            if number > max(totals) + 2:
                raise self._contract(kind, window, "there are more pages than items")
        if len(pages) > 1 and not pages[-1].rows:
            pages.pop()
        complete = len(totals) == 1 and len(set(uris)) == len(uris) == max(totals)
        return pages, complete

    def _listed(
        self, kind: str, customer: str | None, arguments: Mapping[str, str], answer: Answer, window: str
    ) -> Page:
        data = answer.data
        if not isinstance(data, dict) or not isinstance(data.get("items"), list) or "totalItems" not in data:
            raise self._contract(kind, window, "the answer has no items and totalItems")
        if not all(isinstance(item, dict) for item in data["items"]):
            raise self._contract(kind, window, "an item is not an object")
        if _count(data["totalItems"]) < 0:
            raise self._contract(kind, window, "totalItems is not a count")
        return Page(kind, customer, dict(arguments), answer.body, answer.fetched_at, len(data["items"]), data)

    def _without_text(self, page: Page, window: str) -> Page:
        body = _BODY.sub(r"\1null", page.body)
        data = self.client.parse(body, endpoint="sms", window=window)
        if any(item.get("body") is not None for item in data["items"]):
            raise self._contract("sms", window, "a message's text could not be taken out")
        return Page(page.kind, page.account_id, page.request, body, page.fetched_at, page.rows, data)

    def _ask(self, path: str, kind: str, arguments: Mapping[str, str], window: str) -> Answer:
        return self.client.request(
            "GET", path, arguments, endpoint=kind, window=window, rate_headers=rate_wait
        )

    def _contract(self, endpoint: str, window: str, what: str) -> ContractError:
        return ContractError(what, connection=self.client.connection, endpoint=endpoint, window=window)


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
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _calls_filters(part: Slice) -> dict[str, str]:
    return {
        "startedAfter": _stamp(datetime.fromtimestamp(part.start - 1, UTC)),
        "startedBefore": _stamp(datetime.fromtimestamp(part.end, UTC)),
        "includeLocal": "true",
    }


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _uris(page: Page) -> list[str]:
    return [str(item.get("uri")) for item in page.data["items"]]


def _count(value: Any) -> int:
    """A count as a number or a string of digits; −1 for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else -1


def _header_count(text: str | None) -> int | None:
    count = _count(text.strip()) if text else -1
    return count if count >= 0 else None


def _all_older(page: Page, since: datetime) -> bool:
    times = [instant(item.get("created")) for item in page.data["items"]]
    return all(time is not None and time < since for time in times)
