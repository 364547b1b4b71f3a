"""Sipcentric: what its streams are, and how each is fetched.

What lives here: fetching the lists, a day's calls and the messages, and the declarations of the three streams.
What does not: what is asked (``api``), what a response means (``directory``, ``calls``, ``messages``), the proof of a
day (``controls``), and the steps that every vendor shares (``assets.load``).
"""

from collections.abc import Iterable, Iterator
from functools import partial

from assets.earlier import earlier_readings, optional_lists
from assets.http.errors import Forbidden, HttpStatusError
from assets.http.page import Page
from assets.http.slices import NOTHING
from assets.parsing import parse
from assets.sipcentric.api import Sipcentric, slice_asked
from assets.sipcentric.calls import CallParser
from assets.sipcentric.controls import (
    CALL_CONTROLS,
    CALLS,
    LIST_CONTROLS,
    LISTS,
    MESSAGE_CONTROLS,
    MESSAGES,
    METRICS,
)
from assets.sipcentric.directory import customers_of, normalise_lists
from assets.sipcentric.messages import normalise_messages
from assets.stream import AccountsDenied, Fetch, Source, Stream, Window, day_by_day, days_at_once, whole
from tollbook_errors import TollbookError
from warehouse.layout import bounds
from warehouse.raw import Landing, RawWriter
from warehouse.schema import ACCOUNT_TABLE, BALANCE, BUNDLE, CDR, EXTENSION_TABLE, SMS

__all__ = [
    "CALLS",
    "CALL_CONTROLS",
    "LIST_CONTROLS",
    "MESSAGES",
    "MESSAGE_CONTROLS",
    "CALL_STREAM",
    "fetch_calls",
    "fetch_lists",
    "fetch_messages",
    "LISTS_STREAM",
    "MESSAGE_STREAM",
    "STREAMS",
]


def fetch_lists(source: Source) -> Fetch:
    """Customers, and of each the endpoints, phone numbers, bundles and credit status."""

    def pages(writer: RawWriter) -> Iterable[Page]:
        return Sipcentric(source.client()).lists(optional_lists(source, LISTS))

    return pages


def fetch_calls(source: Source, lists: Landing, window: Window) -> Fetch:
    """A day's calls of every customer, each followed by the vendor's own totals where its release has them.

    Where the vendor denies the calls of a customer (403) or does not know them (404), the others are read all the same.
    Raises AccountsDenied in the end.
    """
    day = window.first
    assert day is not None
    start, end = bounds(day, source.zone)

    def pages(writer: RawWriter) -> Iterator[Page]:
        sip = Sipcentric(source.client())
        earlier = earlier_readings(source, CALLS, day, "calls", slice_asked)
        has_stats = True
        denied: list[TollbookError] = []
        customers = customers_of(source, lists)
        for customer in customers:
            found = earlier.get(customer, NOTHING)
            calls = sip.calls(customer, start, end, window=str(day), earlier=found)
            try:
                first = next(calls, None)
            except (Forbidden, HttpStatusError) as error:
                if isinstance(error, HttpStatusError) and error.status not in (404, 410):
                    raise
                denied.append(error)
                continue
            if first is not None:
                yield first
            yield from calls
            for metric in METRICS if has_stats else ():
                try:
                    stats = sip.call_stats(customer, start, end, metric, window=str(day))
                except Forbidden:  # another customer's may be allowed
                    break
                if stats is None:
                    has_stats = False
                    break
                yield stats
        if denied:
            raise denied[0] if len(denied) == len(customers) else AccountsDenied(denied[0], len(denied))

    return pages


def fetch_messages(source: Source, lists: Landing, window: Window) -> Fetch:
    """The messages of every customer, back to the first day of the window."""
    assert window.first is not None
    since, _ = bounds(window.first, source.zone)

    def pages(writer: RawWriter) -> Iterator[Page]:
        sip = Sipcentric(source.client())
        for customer in customers_of(source, lists):
            yield from sip.messages(customer, since, window=str(window))

    return pages


LISTS_STREAM = Stream(
    LISTS,
    (ACCOUNT_TABLE, EXTENSION_TABLE, BUNDLE, BALANCE),
    "Responses of Sipcentric's lists: every customer that the user may see, with endpoints, phone numbers, call "
    "bundles and credit status. Loaded whole on every load; landed as they came.",
    plan=whole(fetch_lists),
    normalise=normalise_lists,
    controls=LIST_CONTROLS,
)
CALL_STREAM = Stream(
    CALLS,
    (CDR,),
    "Responses of `/calls`, local calls included, read in time slices that each fit one response, and of "
    "`/calls/stats` where the release offers it. One landing a business day.",
    plan=day_by_day(fetch_calls),
    normalise=partial(parse, CallParser),
    daily=True,
    read_with=LISTS,
    controls=CALL_CONTROLS,
    begin=CallParser,
    by_account="calls",
)
MESSAGE_STREAM = Stream(
    MESSAGES,
    (SMS,),
    "Responses of `/sms` with the texts taken out before anything is written. The resource cannot be filtered by time, "
    "so one landing holds the whole stretch of days of a load.",
    plan=days_at_once(fetch_messages),
    normalise=normalise_messages,
    daily=True,
    read_with=LISTS,
    controls=MESSAGE_CONTROLS,
    by_account="sms",
)
STREAMS = (LISTS_STREAM, CALL_STREAM, MESSAGE_STREAM)
