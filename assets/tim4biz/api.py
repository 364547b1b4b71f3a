"""TIM4biz over HTTP: its totals by extension.

Source: TIM4biz developers' page. What lives here: what is asked, and how a period that is too long is cut. What does
not: HTTP (``assets.http.client``), which field means what (``totals``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from assets.http.client import Client, Wait
from assets.http.errors import HttpStatusError
from assets.http.page import Page, refused
from tollbook_errors import ContractError

RANGE_TOTALS = "ExtensionTotal.stretch"  # kind of the page with the totals of several days at once, as it is landed
SHORTEST = timedelta(hours=1)  # below this, a 400 is not about the length of the period


class Tim4biz:
    """One TIM4biz account; ``zone`` is the account's zone, in which its naive times are read."""

    def __init__(self, client: Client, zone: ZoneInfo) -> None:
        self.client = client
        self.zone = zone

    def probe(self) -> None:
        """One cheap authenticated request: an hour's totals."""
        end = datetime.now(self.zone).replace(minute=0, second=0, microsecond=0, tzinfo=None)
        self._ask(end - SHORTEST, end, "")

    def totals(self, start: datetime, end: datetime, *, window: str) -> Iterator[Page]:
        """Yield the extension totals of [start, end), in as few parts as the vendor accepts; the parts add up.

        The parts meet at the same naive times, so that they tile however the vendor reads an hour that comes twice.
        """
        yield from self._parts(self._naive(start), self._naive(end), window)

    def range_totals(self, start: datetime, end: datetime, *, window: str) -> Page:
        """The extension totals of [start, end) in one response; of kind ``refused`` where TIM4biz does not give it."""
        start, end = self._naive(start), self._naive(end)
        try:
            return replace(self._ask(start, end, window), kind=RANGE_TOTALS, rows=0)
        except ContractError:
            return refused(None, _arguments(start, end), self.client.now())

    def _parts(self, start: datetime, end: datetime, window: str) -> Iterator[Page]:
        try:
            whole = self._ask(start, end, window)
        except HttpStatusError as error:
            if error.status != 400 or end - start <= SHORTEST:
                raise
            whole = None
        if whole is not None:
            yield whole
            return
        middle = (start + (end - start) / 2).replace(second=0, microsecond=0)
        yield from self._parts(start, middle, window)
        yield from self._parts(middle, end, window)

    def _ask(self, start: datetime, end: datetime, window: str) -> Page:
        arguments = _arguments(start, end)
        response = self.client.request(
            "GET", "ExtensionTotal", arguments, endpoint="ExtensionTotal", window=window, rate_headers=rate_wait
        )
        rows = listed(response.data)
        if rows is None:
            raise ContractError(
                "the response is neither a list nor an object with one list of objects",
                connection=self.client.connection,
                endpoint="ExtensionTotal",
                window=window,
            )
        return Page("ExtensionTotal", None, arguments, response.body, response.fetched_at, len(rows), response.data)

    def _naive(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None)


def _arguments(start: datetime, end: datetime) -> dict[str, str]:
    return {"from": f"{start:%Y-%m-%dT%H:%M:%S}", "to": f"{end:%Y-%m-%dT%H:%M:%S}"}


def listed(data: Any) -> list[dict[str, Any]] | None:
    """The one list of objects in a response, bare or wrapped in objects; None where there is no such list.

    An empty object is not an empty list: a response that says nothing must not pass for a day without calls.
    """
    while isinstance(data, dict):
        inner: list[Any] = [value for value in data.values() if isinstance(value, list)]
        inner = inner or [value for value in data.values() if isinstance(value, dict)]
        data = inner[0] if len(inner) == 1 else None
    if isinstance(data, list) and all(isinstance(item, dict) for item in data):
        return data
    return None


def rate_wait(headers: Mapping[str, str], status: int) -> Wait | None:
    """What TIM4biz's own headers say about its limits per 60 minutes and per 24 hours."""
    hour = _pair(headers, "TIM4biz-Rate-Limit-Limit", "TIM4biz-Rate-Limit-Remaining")
    day = _pair(headers, "TIM4biz-Rate-Limit-Limit-24-Hours", "TIM4biz-Rate-Limit-Remaining-24-Hours")
    if 0 in (hour[0], day[0]):
        return Wait(limit=0, remaining=0, seconds=None)
    if day[1] == 0:
        return Wait(limit=day[0], remaining=0, seconds=24 * 3600.0)
    if hour[0] is None and hour[1] is None:
        return None
    return Wait(limit=hour[0], remaining=hour[1], seconds=3600.0 if hour[1] == 0 and status == 429 else None)


def _pair(headers: Mapping[str, str], limit: str, remaining: str) -> tuple[int | None, int | None]:
    return _whole(headers.get(limit)), _whole(headers.get(remaining))


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.strip().isascii() and text.strip().isdigit() and len(text) < 10 else None
