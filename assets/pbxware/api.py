"""Bicom PBXware over HTTP: tenants and what they have, call records, and the vendor's own sum of their cost.

Source: PBXware API reference (October 2025) and its introduction. What lives here: what is asked, and when a reading
is complete. What does not: HTTP (``assets.http.client``), the walk over a day (``assets.http.slices``), what a cell
means (``legs``), what an entry of a list means (``directory``).

The stop rule: a slice is complete when its first response says that there is no next page, and has room left. Where it
says anything else, or is full, the next page is asked for too; the slice is complete if that one is empty and the first
still says the same, and overfull otherwise.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from assets.http.client import Client, Response
from assets.http.errors import Refused
from assets.http.optional_lists import OptionalLists
from assets.http.page import REFUSED, Page, refused
from assets.http.slices import NOTHING, Earlier, Reading, Slice, read_slices
from tollbook_errors import AuthError, ContractError, IntegrityError, TollbookError, TransientError

LIMIT = 1000  # the documented maximum of ``limit``
MASTER = "1"  # the master tenant: holds no calls in tenant mode
READINGS = 12  # of an unstable second before it is refused, and of one with equal records before it is believed
PAGES = 1000  # of one second, before the PBX is taken to go on for ever
REPEATS = 10  # of one page in one reading; fewer can be equal records, on a PBX with very short pages
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


STATUSES = ("8", "4", "2", "1")  # values of the filter ``status``: answered, unanswered, busy, failed
COUNT_LIMIT = 100  # of a response that is read only to count
COUNT_REQUESTS = 24  # for one status, before a PBX whose pages never end is believed to have no count

COUNT = "cdr.count"  # kind of the page of ``cdr.download`` that was asked for only to count

# In an error these words are about what a key may do, and not about the key: the PBX grants each key its actions.
_OF_PERMISSION = ("permission", "permitted", "allowed", "denied", "privilege", "ized to", "ised to")


class PBXware:
    """One PBXware. ``tenants`` limits it to these keys of ``tenant.list``; empty = all of them."""

    def __init__(self, client: Client, tenants: tuple[str, ...] = ()) -> None:
        self.client = client
        self.tenants = tenants

    def lists(self, optional: OptionalLists) -> Iterator[Page]:
        """Yield every list: tenants with their configuration, extensions, departments, DIDs, trunks, plans, rates.

        Extensions there must be. A release or a key that does not give one of the others is no reason to load nothing.
        """

        def checked(page: Page) -> Page:
            """An empty list comes as ``[]``: an object without any entry is no list where there were entries before."""
            if page.kind == REFUSED or page.data == [] or _has_entries(page):
                return page
            if any(map(_has_entries, optional.known(page.kind, page.account_id, page.request.get("id")))):
                raise self._contract(page.kind, "", "the response has no entry, and had some before")
            return page

        def ask(action: str, server: str | None, **arguments: str) -> list[Page]:
            return optional.ask(action, server, lambda: [checked(self._optional(action, server, arguments))], arguments)

        tenants = checked(self._tenants())
        yield tenants
        servers = self.servers(tenants.data)
        for server in servers:
            if server is not None:
                yield from ask("tenant.configuration", server, id=server)
        for server in servers:
            yield checked(self._list("ext.list", server))
            for action in ("department.list", "did.list"):
                yield from ask(action, server)
        yield from ask("trunk.list", None)
        plans = ask("splan.list", None)
        yield from plans
        for plan in plans[-1].data or {}:
            yield from ask("splan.rates", None, id=str(plan))

    def servers(self, tenants: Any) -> tuple[str | None, ...]:
        """The servers that hold calls, from a ``tenant.list``; one None where the PBX is not in tenant mode."""
        known = [str(key) for key in tenants] if isinstance(tenants, dict) else []
        if self.tenants:
            missing = [server for server in self.tenants if server not in known]
            if missing and known:
                raise ContractError(
                    f"the PBX has no tenant {', '.join(missing)}",
                    connection=self.client.connection,
                    endpoint="tenant.list",
                    hint="correct tenants in tollbook.toml: they are the keys of tenant.list, not tenant codes",
                )
            return self.tenants
        if len(known) > 1:
            known = [server for server in known if server != MASTER]
        return tuple(known) or (None,)

    def probe(self) -> None:
        """One cheap authenticated request."""
        self._tenants()

    def cdrs(
        self, server: str | None, start: datetime, end: datetime, *, window: str, earlier: Earlier = NOTHING
    ) -> Iterator[Page]:
        """Yield the call records that started in [start, end), each slice as one response.

        What an ``earlier`` reading found spares requests; it changes nothing in what is read.
        """

        def fetch(part: Slice) -> Reading:
            return self._slice(server, part, window)

        def fetch_paged(part: Slice) -> Reading:
            return self._stable_second(server, part, window)

        whole = Slice(int(start.timestamp()), int(end.timestamp()))
        for reading in read_slices(fetch, fetch_paged, whole, self.client, capacity=LIMIT, earlier=earlier):
            yield from reading.pages

    def billamount(
        self, server: str | None, start: datetime, end: datetime, *, window: str, cdrtype: str | None = None
    ) -> Page:
        """The PBX's own sum of cost over [start, end); ``cdrtype`` 1 incoming, 2 outgoing, None all.

        Of kind ``refused`` where the PBX does not give it: a proof that is not offered is no reason to load nothing.
        """
        arguments = _window_arguments(Slice(int(start.timestamp()), int(end.timestamp())))
        if cdrtype:
            arguments["cdrtype"] = cdrtype
        try:
            page = self._page("cdr.billamount", server, arguments, window=window)
        except (ContractError, TransientError) as error:
            return self._refused("cdr.billamount", server, arguments, error)
        if not isinstance(page.data, dict) or "billamount" not in page.data:
            raise self._contract("cdr.billamount", window, "the response has no billamount")
        return replace(page, rows=0)

    def count(
        self, server: str | None, start: datetime, end: datetime, status: str, near: int, *, window: str
    ) -> Iterator[Page]:
        """Yield the responses from which :func:`counted` reads how many records of [start, end) have a ``status``.

        PBXware states no totals. One request for the page on which the last of ``near`` records would stand shows
        whether there are about as many; from there the last page is searched for. A PBX that does not take the filter
        yields a page of kind ``refused``.
        """
        window_arguments = _window_arguments(Slice(int(start.timestamp()), int(end.timestamp())))
        low = 0  # the last page known to be full; 0 while none is
        high: int | None = None  # the first page known to be empty
        number, step = max(1, -(-near // COUNT_LIMIT)), 1
        for _ in range(COUNT_REQUESTS):
            arguments = {**window_arguments, "status": status, "limit": str(COUNT_LIMIT), "page": str(number)}
            try:
                page = self._rows(server, arguments, window)
            except ContractError as error:
                yield self._refused("cdr.download", server, arguments, error)
                return
            yield replace(page, kind=COUNT, rows=0)
            if page.rows == 0:
                high = number
            elif page.rows == COUNT_LIMIT:
                low = number
            else:
                return
            if high == low + 1:
                return
            if low and high is not None:
                number = (low + high) // 2
            else:
                number = low + step if high is None else max(1, high - step)
            step *= 2

    def _slice(self, server: str | None, part: Slice, window: str) -> Reading:
        page = self._cdr_page(server, part, 1, window)
        stated = min(LIMIT, _number(page.data.get("limit")) or LIMIT)
        more = _flag(page.data.get("next_page"))
        if page.rows == 0 or (more is False and page.rows < stated):
            complete = True
        elif more is True and page.rows >= stated:
            complete = False
        else:
            # What it says and what it holds disagree: only the next page shows which is right. Where that is empty the
            # first is asked for again, for a record that left in between would have pulled another one over to it.
            complete = self._cdr_page(server, part, 2, window).rows == 0 and _records(page) == _records(
                self._cdr_page(server, part, 1, window)
            )
        times = [] if complete else _times(page)
        return Reading(part, [page], page.rows, complete, max(page.rows, stated), times=times)

    def _stable_second(self, server: str | None, part: Slice, window: str) -> Reading:
        """Page through one second until readings in a row say the same.

        Two are proof, whatever order the pages come in, as long as no record is on two pages: everything that the first
        reading saw was still there when it ended, and then the PBX counted no more. A record on two pages is either one
        that moved or two that are equal: that is known only where the order is the same in all readings.
        """
        before: list[list[str]] | None = None
        agreeing = 1
        for _ in range(READINGS):
            pages, rows = self._paged(server, part, window)
            found = Counter(row for page in rows for row in set(page))
            proved = max(found.values(), default=1) == 1
            reported = [sorted(row for page in rows for row in page)] if proved else rows
            agreeing = agreeing + 1 if reported == before else 1
            if agreeing >= (2 if proved else READINGS):
                return Reading(part, pages, sum(len(page) for page in rows), True, LIMIT)
            before = reported
        raise IntegrityError(
            "the call records of one second changed every time they were read",
            connection=self.client.connection,
            endpoint="cdr.download",
            window=window,
            hint="load the day again when the PBX is quieter",
        )

    def _paged(self, server: str | None, part: Slice, window: str) -> tuple[list[Page], list[list[str]]]:
        """One reading of a second: its pages, and the records of each."""
        pages: list[Page] = []
        rows: list[list[str]] = []
        seen: Counter[str] = Counter()
        for number in range(1, PAGES + 1):
            page = self._cdr_page(server, part, number, window)
            if page.rows == 0:
                return pages, rows
            pages.append(page)
            rows.append([repr(row) for row in page.data["csv"]])
            if _flag(page.data.get("next_page")) is False and page.rows < pages[0].rows:
                return pages, rows
            seen["".join(rows[-1])] += 1
            if max(seen.values()) > REPEATS:
                raise self._contract("cdr.download", window, "the PBX sends the same page for ever")
        raise self._contract("cdr.download", window, f"one second has more than {PAGES} pages")

    def _cdr_page(self, server: str | None, part: Slice, number: int, window: str) -> Page:
        return self._rows(server, {**_window_arguments(part), "limit": str(LIMIT), "page": str(number)}, window)

    def _rows(self, server: str | None, arguments: Mapping[str, str], window: str) -> Page:
        """One response with call records."""
        response = self._ask("cdr.download", server, arguments, window)
        data = response.data
        if not isinstance(data, dict) or not isinstance(data.get("csv"), list):
            raise self._contract("cdr.download", window, "the response has no csv list")
        header = data.get("header")
        if (data["csv"] or header) and not (isinstance(header, list) and all(isinstance(name, str) for name in header)):
            raise self._contract("cdr.download", window, "the header is no list of names")
        if (_number(data.get("records")) or 0) > len(data["csv"]):
            raise self._contract("cdr.download", window, "the response holds fewer records than it says")
        return _page("cdr.download", server, arguments, response, len(data["csv"]))

    def _tenants(self) -> Page:
        """``tenant.list``; of kind ``refused`` where the PBX says that it has none, as one not in tenant mode may."""
        try:
            return self._list("tenant.list", None)
        except Refused as error:
            return self._refused("tenant.list", None, {}, error)

    def _list(self, action: str, server: str | None, arguments: Mapping[str, str] | None = None) -> Page:
        return self._keyed(self._page(action, server, arguments or {}))

    def _optional(self, action: str, server: str | None, arguments: Mapping[str, str]) -> Page:
        """A list that a release need not have: it then answers with an error, words of PHP's, nothing, or a 500."""
        word: Refused | None = None
        try:
            page = self._page(action, server, arguments)
        except (ContractError, TransientError) as error:
            word = Refused(error.what, connection=error.connection, endpoint=error.endpoint, hint=error.hint)
        if word is not None:
            raise word
        return self._keyed(page)

    def _keyed(self, page: Page) -> Page:
        if not isinstance(page.data, dict) and page.data != []:
            raise self._contract(page.kind, "", "the response is not a keyed list")
        return page

    def _refused(self, action: str, server: str | None, arguments: Mapping[str, str], error: TollbookError) -> Page:
        return refused(server, {"action": action, **arguments, "because": error.what}, self.client.now())

    def _page(self, action: str, server: str | None, arguments: Mapping[str, str], window: str = "") -> Page:
        response = self._ask(action, server, arguments, window)
        return _page(
            action, server, arguments, response, len(response.data) if isinstance(response.data, (dict, list)) else 0
        )

    def _ask(self, action: str, server: str | None, arguments: Mapping[str, str], window: str) -> Response:
        """Ask as the connection says: by GET, which every release reads, or by POST, out of the PBX's access log."""
        asked = {"action": f"pbxware.{action}", **arguments}
        if server is not None and action != "tenant.configuration":
            asked["server"] = server
        form = self.client.posts_forms
        response = self.client.request("POST" if form else "GET", "", asked, form=form, endpoint=action, window=window)
        if isinstance(response.data, dict) and (
            "error" in response.data or _flag(response.data.get("success", True)) is False
        ):
            reported = str(response.data.get("error", "")).lower()
            if ("key" in reported or "auth" in reported) and not any(word in reported for word in _OF_PERMISSION):
                raise self.client.mark_unauthorized(
                    AuthError(
                        "the PBX refused the API key",
                        connection=self.client.connection,
                        endpoint=action,
                        window=window,
                        hint="check api_key and the key's permissions in Admin Settings, API Keys",
                    )
                )
            raise Refused(
                "the PBX answered with an error (its text is not shown)",
                connection=self.client.connection,
                endpoint=action,
                window=window,
                hint="check that the API key may do this, in Admin Settings, API Keys",
            )
        return response

    def _contract(self, endpoint: str, window: str, what: str) -> ContractError:
        return ContractError(what, connection=self.client.connection, endpoint=endpoint, window=window)


def counted(responses: Iterable[tuple[int, Any]]) -> int | None:
    """How many records there are by the responses of one ``count`` (number of the page, data); None where they do
    not show it.

    A response of another limit than was asked for, or one that is not full and yet promises more, shows nothing.
    """
    low = 0
    high: int | None = None
    for number, data in responses:
        rows = len(data.get("csv", ())) if isinstance(data, dict) and "csv" in data else None
        limit, more = (_number(data.get("limit")), _flag(data.get("next_page"))) if rows is not None else (None, None)
        if rows is None or rows > COUNT_LIMIT or limit not in (None, COUNT_LIMIT) or (0 < rows < COUNT_LIMIT and more):
            return None
        if 0 < rows < COUNT_LIMIT:
            return (number - 1) * COUNT_LIMIT + rows
        low, high = (number, high) if rows else (low, number)
    return low * COUNT_LIMIT if high == low + 1 else None


def _has_entries(page: Page) -> bool:
    """Whether a keyed list has any entry; fields of ``tenant.configuration`` may stand in the response itself."""
    entries = page.data.values() if isinstance(page.data, dict) else ()
    return any(isinstance(each, dict) or page.kind == "tenant.configuration" for each in entries)


def _page(action: str, server: str | None, arguments: Mapping[str, str], response: Response, rows: int) -> Page:
    return Page(action, server, dict(arguments), response.body, response.fetched_at, rows, response.data)


def _window_arguments(part: Slice) -> dict[str, str]:
    """Both ends in UTC, the end inclusive to the second, month names in English whatever the locale."""
    first = datetime.fromtimestamp(part.start, UTC)
    last = datetime.fromtimestamp(part.end - 1, UTC)
    return {
        "start": f"{MONTHS[first.month - 1]}-{first:%d-%Y}",
        "starttime": f"{first:%H:%M:%S}",
        "end": f"{MONTHS[last.month - 1]}-{last:%d-%Y}",
        "endtime": f"{last:%H:%M:%S}",
        "timezone": "UTC",
    }


def slice_asked(request: Mapping[str, str]) -> Slice:
    """The slice that a request for call records was about."""
    first, last = (_moment(request[day], request[time]) for day, time in (("start", "starttime"), ("end", "endtime")))
    return Slice(first, last + 1)


def _moment(day: str, time: str) -> int:
    month, rest = day.split("-", 1)
    stamp = f"{MONTHS.index(month) + 1:02}-{rest} {time}"
    return int(datetime.strptime(stamp, "%m-%d-%Y %H:%M:%S").replace(tzinfo=UTC).timestamp())


def _records(page: Page) -> list[str]:
    return sorted(repr(row) for row in page.data["csv"])


def _flag(value: Any) -> bool | None:
    """``next_page`` or ``success`` in any of its spellings; None where it says nothing."""
    text = str(value).strip().lower()
    if text in {"true", "1", "yes"}:
        return True
    if text in {"false", "0", "no"}:
        return False
    return None


def _number(value: Any) -> int | None:
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None


def _times(page: Page) -> list[int]:
    """When the records of a response started, in epoch seconds; a hint for sizing, nothing more."""
    header = page.data.get("header") or []
    if "Date/Time" not in header:
        return []
    column = header.index("Date/Time")
    times = [_number(row[column]) for row in page.data["csv"] if isinstance(row, list) and len(row) > column]
    return [time for time in times if time is not None]
