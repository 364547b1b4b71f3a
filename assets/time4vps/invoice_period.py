"""The days that a line of an invoice pays for: as its text says, else by the billing cycle of its service.

What lives here: reading a period of days from text, and reckoning one from a cycle. What does not: which service a line
is for and what its cycle was (``invoices``), how an amount falls on the days (the FOCUS report).
"""

import re
from calendar import monthrange
from datetime import date, timedelta

Period = tuple[date, date]  # the first day, and the day after the last

_CYCLES = {  # days, months
    "daily": (1, 0),
    "weekly": (7, 0),
    "monthly": (0, 1),
    "quarterly": (0, 3),
    "semiannually": (0, 6),
    "annually": (0, 12),
    "biennially": (0, 24),
    "triennially": (0, 36),
    "quadrennially": (0, 48),
    "quinquennially": (0, 60),
}
_DATES = (r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})", r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})")
_BETWEEN = r"\s*(?:-|–|—|/|to|until)\s*"
_YEAR_FIRST, _YEAR_LAST = (re.compile(rf"(?<!\d){day}{_BETWEEN}{day}(?!\d)") for day in _DATES)
_LONGEST = timedelta(days=3653)  # ten years, for which a domain can be had


def period_of_text(text: str, issued_on: date | None) -> Period | None:
    """The days from the first to the last of two dates in ``text``, such as ``(2026-10-10 - 2026-11-09)``.

    Where day and month can be read either way round, the period that begins nearer to the day of issue is meant.
    """
    if found := _YEAR_FIRST.search(text):
        year, month, day, year2, month2, day2 = map(int, found.groups())
        return _period((year, month, day), (year2, month2, day2))
    if found := _YEAR_LAST.search(text):
        one, other, year, one2, other2, year2 = map(int, found.groups())
        read = (_period((year, other, one), (year2, other2, one2)), _period((year, one, other), (year2, one2, other2)))
        periods = [period for period in read if period]
        near = issued_on or date.min
        return min(periods, key=lambda period: abs(period[0] - near), default=None)
    return None


def _period(first: tuple[int, int, int], last: tuple[int, int, int]) -> Period | None:
    try:
        begins, ends = date(*first), date(*last)
    except ValueError:
        return None
    if not timedelta(0) <= ends - begins < _LONGEST:
        return None
    # The last day is paid for as well, unless it is the first of the next period.
    is_next = ends > begins and ends.day == begins.day
    return begins, ends if is_next else ends + timedelta(days=1)


def period_of_cycle(first: date, cycle: str | None) -> Period | None:
    """A billing cycle from ``first`` on; None for one that has no length, such as ``One Time``."""
    days, months = _CYCLES.get(re.sub(r"[^a-z]", "", (cycle or "").lower()), (0, 0))
    if not days and not months:
        return None
    return first, _months_on(first, months) + timedelta(days=days)


def _months_on(day: date, months: int) -> date:
    """The same day so many months later, or the last of that month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
