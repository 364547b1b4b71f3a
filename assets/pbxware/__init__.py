"""Bicom PBXware: its streams, and the assets that load them.

What lives here: fetching the directory and a day's call records, the two streams, and their Dagster assets. What does
not: what is asked (``api``), what a response means (``directory``, ``legs``), the proof of a day (``controls``), and
the steps that every vendor shares (``assets.load``).
"""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any

from dagster import AssetExecutionContext, AssetsDefinition, BackfillPolicy, PartitionsDefinition, multi_asset

from assets.http.page import Page
from assets.http.slices import NOTHING
from assets.load import Fetch, Source, Stream, Window, bounds, earlier_readings, optional_lists
from assets.materialize import (
    RESOURCE,
    Connection,
    asked_days,
    check_specs,
    core_specs,
    materialize_stream,
    raw_spec,
    runtime,
    typed_errors,
)
from assets.parsing import parse
from assets.pbxware.api import PBXware, slice_asked
from assets.pbxware.controls import CDRS, CONTROLS, ask_totals, compared, cost_of, counted_rows, outcomes_of
from assets.pbxware.directory import LISTS, SINGLE, normalise_lists, tenant_list
from assets.pbxware.legs import CdrParser
from tollbook_errors import ContractError
from warehouse.money import money
from warehouse.raw import Landing, RawWriter
from warehouse.schema import ACCOUNT_TABLE, CDR, DEPARTMENT, EXTENSION_TABLE, SERVICE_PLAN_RATE

__all__ = ["CDRS", "CONTROLS", "cdr_stream", "fetch_cdrs", "fetch_lists", "lists_stream", "pbxware_assets"]

READINGS = 2  # of a day that does not add up to the PBX's own figures, before the variance is reported


def fetch_lists(source: Source) -> Fetch:
    """Every list of the PBX."""

    def pages(writer: RawWriter) -> Iterator[Page]:
        earlier = source.lake.raw.last_landing(source.name, LISTS, None, None)
        had_tenants = earlier is not None and tenant_list(source, earlier)
        optional = optional_lists(source, LISTS)
        for number, page in enumerate(PBXware(source.client(), source.tenants).lists(optional)):
            # The first page lists the tenants. Without them, all their calls would be loaded again as the PBX's own.
            if number == 0 and had_tenants and not page.data:
                raise ContractError(
                    "tenant.list is empty, and named tenants before",
                    connection=source.name,
                    endpoint="tenant.list",
                    hint="if the PBX really has none any more, give the connection a new name",
                )
            yield page

    return pages


def fetch_cdrs(source: Source, lists: Landing, window: Window) -> Fetch:
    """A day's call records of every tenant, each followed by the PBX's own figures: sums of cost and counts by status.

    A day that does not add up to them is read once more before it is taken as it is.
    """
    day = window.first
    assert day is not None
    start, end = bounds(day, source.zone)

    def pages(writer: RawWriter) -> Iterator[Page]:
        pbx = PBXware(source.client(), source.tenants)
        servers = pbx.servers(tenant_list(source, lists))
        earlier = earlier_readings(source, CDRS, day, "cdr.download", slice_asked)
        for reading in range(READINGS):
            variance = False
            for server in servers:
                ours = Decimal(0)
                outcomes: Counter[str] = Counter()
                for page in pbx.cdrs(server, start, end, window=str(day), earlier=earlier.get(server, NOTHING)):
                    ours += cost_of(page.data)
                    outcomes += outcomes_of(page.data)
                    yield page
                totals = ask_totals(
                    pbx, server, start, end, str(day), outcomes if source.count_by_status else Counter()
                )
                yield from totals
                theirs = money(totals[0].data.get("billamount"))
                rows, reported = compared(outcomes, counted_rows([(page.request, page.data) for page in totals]))
                variance |= theirs not in (None, ours) or reported not in (None, rows)
            if reading == READINGS - 1 or not variance:
                return
            writer.restart()

    return pages


def lists_stream(source: Source) -> Stream:
    """The directory: accounts, extensions, departments, rates."""
    return Stream(
        LISTS,
        (ACCOUNT_TABLE, EXTENSION_TABLE, DEPARTMENT, SERVICE_PLAN_RATE),
        lambda con, landing, day: normalise_lists(source, con, landing),
    )


def cdr_stream(source: Source) -> Stream:
    """Call records by business day."""
    return Stream(
        CDRS,
        (CDR,),
        partial(parse, source, partial(CdrParser, source)),
        CONTROLS,
        partial(CdrParser, source),
        by_account="cdr.download",
        nameless=SINGLE,
    )


def pbxware_assets(connection: Connection, days: PartitionsDefinition[str]) -> list[AssetsDefinition]:
    """The assets of one PBXware connection: its directory, whole on every load, and its call records by day."""
    directory = (ACCOUNT_TABLE, EXTENSION_TABLE, DEPARTMENT, SERVICE_PLAN_RATE)

    @multi_asset(
        name=f"{connection.key}_lists",
        specs=[
            raw_spec(
                connection,
                LISTS,
                "Responses of PBXware's lists: tenants with their configuration, extensions, departments, DIDs, "
                "trunks, service plans with rates. Loaded whole on every load; landed as they came.",
            ),
            *core_specs(connection, LISTS, directory),
        ],
        check_specs=check_specs(connection, LISTS),
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
                CDRS,
                "Responses of `cdr.download`, read in time slices that each fit one response, and of `cdr.billamount`, "
                "the PBX's own sum of their cost. One landing a business day.",
                deps=[connection.asset(f"raw_{LISTS}")],
                partitions=days,
            ),
            *core_specs(connection, CDRS, (CDR,), partitions=days),
        ],
        check_specs=check_specs(connection, CDRS, CONTROLS),
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
            cdr_stream(source),
            asked_days(context),
            lambda window: fetch_cdrs(source, landed, window),
            depends_on={LISTS: landed},
        )

    return [lists, cdr]
