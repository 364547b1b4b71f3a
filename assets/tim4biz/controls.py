"""The control totals of TIM4biz: the days of a load against its totals of all of them at once.

What lives here: which days of a load are proved together, and comparing their sum with TIM4biz's own. What does not:
asking for it (``api``), and reading the totals of a day (``totals``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from assets.controls import control_total
from assets.stream import Source, Window
from assets.tim4biz.durations import DURATION
from assets.tim4biz.total_rows import Rows
from warehouse.layout import bounds
from warehouse.raw import RawWriter

TOTALS = "extension_total"

# Control totals of several days at once, by the figure they compare.
RANGE_CHECKS = {"stretch_calls": "calls", "stretch_seconds": "duration_seconds", "stretch_cost": "cost"}
CONTROLS = {
    check: f"Sum of {field} of the days of a load against TIM4biz's own totals of all of them at once."
    for check, field in RANGE_CHECKS.items()
}
LONGEST = 28  # days in a range; TIM4biz refuses long periods, and does not say which are


@dataclass(frozen=True)
class DayRange:
    """Business days in a row, all of them over, that one load reads: their totals must add up to those of the range.

    The first day is read last, when the totals of the others are known, and its landing holds the proof: a day that
    falls out of the look-back keeps it.
    """

    days: tuple[date, ...]
    begun: datetime

    @classmethod
    def of(cls, windows: Sequence[Window], source: Source) -> "DayRange | None":
        """The range that a load of these days can be proved by; None where it is shorter than two days."""
        begun = source.lake.now()
        days = tuple(sorted(w.first for w in windows if w.first and bounds(w.first, source.zone)[1] <= begun))
        whole = len(days) > 1 and (days[-1] - days[0]).days == len(days) - 1
        return cls(days, begun) if whole else None

    def read_before(self, source: Source, writer: RawWriter) -> bool:
        """Whether this load has read every day but the first; the landing then depends on what it read."""
        landings = [source.lake.raw.last_landing(source.name, TOTALS, day, day) for day in self.days[1:]]
        if any(landing is None or landing.started_at < self.begun for landing in landings):
            return False
        for landing in filter(None, landings):
            writer.depend_on(f"{TOTALS} {landing.window_from}", landing.content_generation)
        return True


def in_day_ranges(windows: Sequence[Window]) -> list[Sequence[Window]]:
    """The days of a load in the order in which to read them, range by range."""
    parts = [windows[start : start + LONGEST] for start in range(0, len(windows), LONGEST)]
    return [[*others, first] for first, *others in parts]


def range_controls(
    source: Source,
    days: tuple[date, date],
    ours: Rows,
    theirs: Rows | None,
    read_at: datetime,
    *,
    unread_costs: bool,
    unsure: Decimal,
) -> Rows:
    """The sum of the days of a range, first and last, against TIM4biz's own totals of the whole range.

    ``theirs``: None where there are none that could be compared. ``unread_costs``: a cost could not be read, so neither
    sum of them is known. ``unsure`` is by how much the durations can be off because the vendor rounds them.
    """
    rows = []
    for check, field in RANGE_CHECKS.items():
        comparable = theirs is not None and not (field == "cost" and unread_costs)
        rows.append(
            control_total(
                source,
                TOTALS,
                days[0],
                None,
                check,
                _sum(ours, field),
                _sum(theirs or [], field) if comparable else None,
                read_at,
                f"{days[0]}..{days[1]}",
                (source.currency or "XXX") if field == "cost" else None,
                unsure if field == "duration_seconds" else Decimal(0),
            )
        )
    return rows


def _sum(rows: Rows, field: str) -> Decimal | None:
    """The sum of one figure; None where rows there are, but none says it. Durations exactly, in the unit they have."""
    reported = [Decimal(part) for row in rows for part in given(row, field)]
    return sum(reported, Decimal(0)) if reported or not rows else None


def given(row: dict[str, Any], field: str) -> list[Any]:
    """What a row gives of a figure; of a duration also what has no unit."""
    names = DURATION if field == "duration_seconds" else (field,)
    return [row[name] for name in names if row[name] is not None]
