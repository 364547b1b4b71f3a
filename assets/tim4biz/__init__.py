"""TIM4biz: what its stream is, and how it is fetched.

What lives here: fetching a day's totals, and the declaration of the one stream. What does not: what is asked (``api``),
what a response means (``totals``), the proof of several days (``controls``), and the steps that every vendor shares
(``assets.load``).
"""

from collections.abc import Iterator, Sequence
from datetime import date

from assets.http.page import Page
from assets.stream import Fetch, Plan, Source, Stream, Window
from assets.tim4biz.api import Tim4biz
from assets.tim4biz.controls import CONTROLS, TOTALS, DayRange, in_day_ranges
from assets.tim4biz.totals import normalise_totals
from warehouse.layout import bounds
from warehouse.raw import Landing, RawWriter
from warehouse.schema import EXTENSION_TOTAL

__all__ = ["CONTROLS", "TOTALS", "DayRange", "fetch_totals", "in_day_ranges", "STREAMS", "TOTALS_STREAM"]


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


def _plan(source: Source, lists: Landing | None, days: Sequence[date]) -> Plan:
    parts = in_day_ranges([Window(day, day) for day in days])
    ranges = [found for part in parts if (found := DayRange.of(part, source))]
    return [window for part in parts for window in part], lambda window: fetch_totals(source, window, ranges)


TOTALS_STREAM = Stream(
    TOTALS,
    (EXTENSION_TOTAL,),
    "Responses of `ExtensionTotal`, one business day each; a day that is too long a period for TIM4biz is asked for in "
    "parts.",
    plan=_plan,
    normalise=normalise_totals,
    daily=True,
    controls=CONTROLS,
)
STREAMS = (TOTALS_STREAM,)
