"""Sipcentric: its streams, and the assets that load them.

What lives here: fetching the lists, a day's calls and the messages, the three streams, and their Dagster assets. What
does not: what is asked (``api``), what a response means (``directory``, ``calls``, ``messages``), the proof of a day
(``controls``), and the steps that every vendor shares (``assets.load``).
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from dagster import AssetExecutionContext, AssetsDefinition, BackfillPolicy, PartitionsDefinition, multi_asset

from assets.http.errors import Forbidden, HttpStatusError
from assets.http.page import Page
from assets.http.slices import NOTHING
from assets.load import (
    AccountsDenied,
    Fetch,
    Source,
    Stream,
    Window,
    bounds,
    earlier_readings,
    optional_lists,
)
from assets.materialize import (
    RESOURCE,
    Connection,
    asked_days,
    asked_stretch,
    check_specs,
    core_specs,
    materialize_stream,
    raw_spec,
    runtime,
    typed_errors,
)
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
from tollbook_errors import TollbookError
from warehouse.raw import Landing, RawWriter
from warehouse.schema import ACCOUNT_TABLE, BALANCE, BUNDLE, CDR, EXTENSION_TABLE, SMS

__all__ = [
    "CALLS",
    "CALL_CONTROLS",
    "LIST_CONTROLS",
    "MESSAGES",
    "MESSAGE_CONTROLS",
    "calls_stream",
    "fetch_calls",
    "fetch_lists",
    "fetch_messages",
    "lists_stream",
    "messages_stream",
    "sipcentric_assets",
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


def lists_stream(source: Source) -> Stream:
    """Accounts, endpoints and numbers, bundles, balances."""
    return Stream(
        LISTS,
        (ACCOUNT_TABLE, EXTENSION_TABLE, BUNDLE, BALANCE),
        lambda con, landing, day: normalise_lists(source, con, landing, day),
        LIST_CONTROLS,
    )


def calls_stream(source: Source) -> Stream:
    """Calls by business day."""
    return Stream(
        CALLS,
        (CDR,),
        partial(parse, source, partial(CallParser, source)),
        CALL_CONTROLS,
        partial(CallParser, source),
        by_account="calls",
    )


def messages_stream(source: Source) -> Stream:
    """Messages by business day, landed for the whole stretch of a load at once."""
    return Stream(
        MESSAGES,
        (SMS,),
        lambda con, landing, day: normalise_messages(source, con, landing, day),
        MESSAGE_CONTROLS,
        by_account="sms",
    )


def sipcentric_assets(connection: Connection, days: PartitionsDefinition[str]) -> list[AssetsDefinition]:
    """The assets of one Sipcentric connection: lists, whole on every load; calls and messages by day."""
    tables = (ACCOUNT_TABLE, EXTENSION_TABLE, BUNDLE, BALANCE)

    @multi_asset(
        name=f"{connection.key}_lists",
        specs=[
            raw_spec(
                connection,
                LISTS,
                "Responses of Sipcentric's lists: every customer that the user may see, with endpoints, phone numbers, "
                "call bundles and credit status. Loaded whole on every load; landed as they came.",
            ),
            *core_specs(connection, LISTS, tables),
        ],
        check_specs=check_specs(connection, LISTS, LIST_CONTROLS),
        required_resource_keys={RESOURCE},
    )
    @typed_errors
    def lists(context: AssetExecutionContext) -> Iterator[Any]:
        source = runtime(context).source(connection.name, context)
        everything = [Window(None, None)]
        yield from materialize_stream(
            context,
            source,
            lists_stream(source),
            everything,
            lambda window: fetch_lists(source),
            others_need_it=True,
        )

    @multi_asset(
        name=f"{connection.key}_cdr",
        specs=[
            raw_spec(
                connection,
                CALLS,
                "Responses of `/calls`, local calls included, read in time slices that each fit one response, and of "
                "`/calls/stats` where the release offers it. One landing a business day.",
                deps=[connection.asset(f"raw_{LISTS}")],
                partitions=days,
            ),
            *core_specs(connection, CALLS, (CDR,), partitions=days),
        ],
        check_specs=check_specs(connection, CALLS, CALL_CONTROLS),
        required_resource_keys={RESOURCE},
        backfill_policy=BackfillPolicy.single_run(),
    )
    @typed_errors
    def cdr(context: AssetExecutionContext) -> Iterator[Any]:
        source = runtime(context).source(connection.name, context)
        landed = source.lake.raw.newest_list(connection.name, LISTS)
        yield from materialize_stream(
            context,
            source,
            calls_stream(source),
            asked_days(context),
            lambda window: fetch_calls(source, landed, window),
            depends_on={LISTS: landed},
        )

    @multi_asset(
        name=f"{connection.key}_sms",
        specs=[
            raw_spec(
                connection,
                MESSAGES,
                "Responses of `/sms` with the texts taken out before anything is written. The resource cannot be "
                "filtered by time, so one landing holds the whole stretch of days of a load.",
                deps=[connection.asset(f"raw_{LISTS}")],
                partitions=days,
            ),
            *core_specs(connection, MESSAGES, (SMS,), partitions=days),
        ],
        check_specs=check_specs(connection, MESSAGES, MESSAGE_CONTROLS),
        required_resource_keys={RESOURCE},
        backfill_policy=BackfillPolicy.single_run(),
    )
    @typed_errors
    def sms(context: AssetExecutionContext) -> Iterator[Any]:
        source = runtime(context).source(connection.name, context)
        landed = source.lake.raw.newest_list(connection.name, LISTS)
        yield from materialize_stream(
            context,
            source,
            messages_stream(source),
            asked_stretch(context),
            lambda window: fetch_messages(source, landed, window),
            depends_on={LISTS: landed},
        )

    return [lists, cdr, sms]
