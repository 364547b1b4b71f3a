"""Bicom PBXware: what its streams are, and how each is fetched.

What lives here: fetching the directory and a day's call records, and the declarations of both streams. What does
not: what is asked (``api``), what a response means (``directory``, ``legs``), the proof of a day (``controls``), and
the steps that every vendor shares (``assets.load``).
"""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import partial

from duckdb import DuckDBPyConnection

from assets.earlier import earlier_readings, optional_lists
from assets.http.page import Page
from assets.http.slices import NOTHING
from assets.parsing import parse
from assets.pbxware.api import PBXware, slice_asked
from assets.pbxware.controls import CDRS, CONTROLS, ask_totals, compared, cost_of, counted_rows, outcomes_of
from assets.pbxware.directory import LISTS, SINGLE, normalise_lists, tenant_list
from assets.pbxware.legs import CdrParser
from assets.stream import Fetch, Source, Stream, Window, day_by_day, whole
from tollbook_errors import ContractError
from warehouse.layout import bounds
from warehouse.merge import Normalised
from warehouse.money import money
from warehouse.raw import Landing, RawWriter
from warehouse.schema import ACCOUNT_TABLE, CDR, DEPARTMENT, EXTENSION_TABLE, SERVICE_PLAN_RATE

__all__ = ["CDRS", "CONTROLS", "CDR_STREAM", "fetch_cdrs", "fetch_lists", "LISTS_STREAM", "STREAMS"]

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


def _lists(source: Source, con: DuckDBPyConnection, landing: Landing, day: date | None) -> Normalised:
    return normalise_lists(source, con, landing)


LISTS_STREAM = Stream(
    LISTS,
    (ACCOUNT_TABLE, EXTENSION_TABLE, DEPARTMENT, SERVICE_PLAN_RATE),
    "Responses of PBXware's lists: tenants with their configuration, extensions, departments, DIDs, trunks, service "
    "plans with rates. Loaded whole on every load; landed as they came.",
    plan=whole(fetch_lists),
    normalise=_lists,
)
CDR_STREAM = Stream(
    CDRS,
    (CDR,),
    "Responses of `cdr.download`, read in time slices that each fit one response, and of `cdr.billamount`, the PBX's "
    "own sum of their cost. One landing a business day.",
    plan=day_by_day(fetch_cdrs),
    normalise=partial(parse, CdrParser),
    daily=True,
    read_with=LISTS,
    controls=CONTROLS,
    begin=CdrParser,
    by_account="cdr.download",
    nameless=SINGLE,
)
STREAMS = (LISTS_STREAM, CDR_STREAM)
