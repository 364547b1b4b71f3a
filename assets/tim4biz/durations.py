"""The durations of TIM4biz: clocks, spelled-out times and bare numbers, in whatever unit its fields say.

What lives here: reading one duration, and the unit of those that do not say it. What does not: which field is the
duration (``totals``), and finding by its calls the unit that nothing in the response says
(``warehouse/duration_unit.sql``): core depends on the landings of its own connection alone.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from warehouse.money import money

DURATION = ("seconds", "number")  # fields of a row: its duration in seconds, or a number of an unknown unit
_CLOCK = re.compile(r"(?:(\d{1,4})\.)?(\d{1,6}):([0-5]\d):([0-5]\d(?:[.,]\d{1,9})?)", re.ASCII)
_SHORT_CLOCK = re.compile(r"(\d{1,6}):([0-5]\d)", re.ASCII)
# 1h 2m 3s, 10.5 min, 630 sec, PT10M30S
_AMOUNT = r"(\d{1,9}(?:[.,]\d{1,9})?)\s*"
_SPELLED = re.compile(
    rf"p?\s*(?:{_AMOUNT}(?:d|days?))?[\s,]*t?(?:{_AMOUNT}(?:h|hrs?|hours?))?[\s,]*"
    rf"(?:{_AMOUNT}(?:m|mins?|minutes?))?[\s,]*(?:{_AMOUNT}(?:s|secs?|seconds?))?[.]?",
    re.ASCII,
)


_SECONDS = {  # in one of what a field's name or tollbook.toml names
    r"se[ck](?:o|u)nd|secs?\b|[(\[_/\s]s[)\]]?$": 1,
    r"minut|mins?\b|[(\[_/\s]m[)\]]?$": 60,
    r"hour|stunde|hrs?\b|[(\[_/\s]h[)\]]?$": 3600,
}


@dataclass(frozen=True)
class Unit:
    """The unit of durations that do not say theirs.

    ``number``: how many seconds a bare 1 is (None: not known). ``clock``: how many a 1 in the last part of a clock of
    two parts is, 1 for 12:30 as minutes and seconds, 60 as hours and minutes; ``clock_is_known``: whether the field's
    name or the configuration says so.
    """

    number: int | None
    clock: int
    clock_is_known: bool

    @classmethod
    def of(cls, configured: str | None, field: str | None) -> "Unit":
        """As configured, else as the field's name says."""
        for text in (configured, field):
            name = (text or "").strip().lower()
            number = next((seconds for pattern, seconds in _SECONDS.items() if re.search(pattern, name)), None)
            clock = re.search(r"m+(?::?s+)?\b", name) if re.search(r"hh?:?mm|mm?:?ss", name) else None
            if number or clock:
                hours = number == 3600 if not clock else not clock[0].endswith("s")
                return cls(None if clock else number, 60 if hours else 1, clock_is_known=True)
        return cls(None, 1, clock_is_known=False)

    def to_seconds(self, row: dict[str, Any]) -> Decimal:
        """Set ``seconds`` of a row's duration unless its unit is not known; how much the vendor may have rounded."""
        number, unit = row["number"], self.number or 1
        if row["is_short"]:
            row["seconds"] *= self.clock
            return Decimal(self.clock - 1)
        if number is None:
            return Decimal(0)
        if self.number is not None:
            row["seconds"], row["number"] = number * unit, None
        return last_place([number]) * unit if unit > 1 or has_fraction(number) else Decimal(0)


def read_duration(value: Any) -> dict[str, Any] | None:
    """The fields of ``_row`` that a duration makes; None where it is none."""
    text = str(value).strip().lower()
    if clock := _SHORT_CLOCK.fullmatch(text):
        return {"seconds": Decimal(int(clock[1]) * 60 + int(clock[2])), "is_short": True}
    spelled = _CLOCK.fullmatch(text) or _SPELLED.fullmatch(text)
    if spelled and any(spelled.groups()):
        days, hours, minutes, seconds = (Decimal((part or "0").replace(",", ".")) for part in spelled.groups())
        return {"seconds": ((days * 24 + hours) * 60 + minutes) * 60 + seconds}
    if isinstance(value, str):
        # A comma before three digits may stand between thousands.
        if re.fullmatch(r"\d+,(?!\d{3}$)\d+", text):
            text = text.replace(",", ".")
        elif re.fullmatch(r"\d{1,3}(?:,\d{3})+\.\d+", text):
            text = text.replace(",", "")
        elif re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+", text):
            text = text.replace(".", "").replace(",", ".")
        value = text
    number = money(value)
    return None if number is None or number < 0 else {"number": number}


def has_fraction(number: Decimal | None) -> bool:
    return number is not None and number != number.to_integral_value()


def last_place(numbers: Iterable[Decimal]) -> Decimal:
    """One in the last decimal place that any of these has."""
    exponents = (int(number.normalize().as_tuple().exponent) for number in numbers)
    return Decimal(1).scaleb(min(0, *exponents, 0))


def whole_seconds(seconds: Decimal | int) -> int:
    return int(Decimal(seconds).to_integral_value(ROUND_HALF_UP))
