"""TIM4biz: its stream, and the assets that load it.

What lives here: fetching a day's totals, the one stream, and its Dagster assets. What does not: what is asked
(``api``), what a response means (``totals``), the proof of several days (``controls``), and the steps that every vendor
shares (``assets.load``).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from dagster import AssetExecutionContext, AssetsDefinition, BackfillPolicy, PartitionsDefinition, multi_asset

from assets.http.page import Page
from assets.load import Fetch, Source, Stream, Window, bounds
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
from assets.tim4biz.api import Tim4biz
from assets.tim4biz.controls import CONTROLS, TOTALS, DayRange, in_day_ranges
from assets.tim4biz.totals import normalise_totals
from warehouse.raw import RawWriter
from warehouse.schema import EXTENSION_TOTAL

__all__ = ["CONTROLS", "TOTALS", "DayRange", "fetch_totals", "in_day_ranges", "tim4biz_assets", "totals_stream"]


def fetch_totals(source: Source, window: Window, ranges: Sequence[DayRange] = ()) -> Fetch:
    """A day's totals by extension; with the first day of a range also those of the whole range."""
    day = window.first
    assert day is not None
    start, end = bounds(day, source.zone)

    def pages(writer: RawWriter) -> Iterator[Page]:
        vendor = Tim4biz(source.client(), source.account_zone)
        yield from vendor.totals(start, end, window=str(day))
        for each in ranges:
            if day == each.days[0] and each.read_before(source, writer):
                yield vendor.range_totals(start, bounds(each.days[-1], source.zone)[1], window=str(day))

    return pages


def totals_stream(source: Source) -> Stream:
    """Extension totals by business day."""
    return Stream(
        TOTALS, (EXTENSION_TOTAL,), lambda con, landing, day: normalise_totals(source, con, landing, day), CONTROLS
    )


def tim4biz_assets(connection: Connection, days: PartitionsDefinition[str]) -> list[AssetsDefinition]:
    """The assets of one TIM4biz connection: its totals by extension and day."""

    @multi_asset(
        name=f"{connection.key}_{TOTALS}",
        specs=[
            raw_spec(
                connection,
                TOTALS,
                "Responses of `ExtensionTotal`, one business day each; a day that is too long a period for TIM4biz is "
                "asked for in parts.",
                partitions=days,
            ),
            *core_specs(connection, TOTALS, (EXTENSION_TOTAL,), partitions=days),
        ],
        check_specs=check_specs(connection, TOTALS, CONTROLS),
        required_resource_keys={RESOURCE},
        backfill_policy=BackfillPolicy.single_run(),
    )
    @typed_errors
    def extension_total(context: AssetExecutionContext) -> Iterator[Any]:
        source = runtime(context).source(connection.name, context)
        parts = in_day_ranges(asked_days(context))
        ranges = [found for part in parts if (found := DayRange.of(part, source))]
        yield from materialize_stream(
            context,
            source,
            totals_stream(source),
            [window for part in parts for window in part],
            lambda window: fetch_totals(source, window, ranges),
        )

    return [extension_total]
