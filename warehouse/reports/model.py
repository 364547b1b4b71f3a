"""What a report is, before it has a form: sections of typed values, charts over them, and the state of the proof.

What lives here: the types that ``content`` fills and ``xlsx``, ``html`` and ``csv_files`` render, and how values read
as text. What does not: SQL (``content``) and anything about one form.

Money is Decimal, exact, in the currency of its row; it is rounded only where a person reads it, to the coins of that
currency.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import StrEnum
from functools import cache, cached_property

from warehouse.money import coin_places

Value = str | int | Decimal | date | datetime | None
Row = tuple[Value, ...]

_EXACT = Context(prec=60)  # a sum in DuckDB has up to 38 digits; the default context would round at 28


@dataclass(frozen=True)
class ReportSettings:
    """What a report needs to know beside the database.

    ``timezone`` is the zone of the business days; times in the report are shown in it. ``connections`` are the names
    configured: one that was never loaded makes the report incomplete. ``today`` is the current business day: the days
    before it are due, also where nothing ran that asked for them; without it the newest loaded day is the last that is
    due. ``sheet_rows`` is how many rows a sheet of the workbook holds before the next one begins, ``html_rows`` how
    many rows of one list the page shows.
    """

    timezone: str
    reporting_currency: str
    connections: tuple[str, ...] = ()
    today: date | None = None
    sheet_rows: int = 1_000_000
    html_rows: int = 500

    def __post_init__(self) -> None:
        if not 0 < self.sheet_rows <= 1_000_000:
            raise ValueError("sheet_rows: expected 1 to 1,000,000")
        if self.html_rows < 1:
            raise ValueError("html_rows: expected at least 1")


class Kind(StrEnum):
    """What a column holds. DURATION is whole seconds, PERCENT a fraction, QUANTITY a decimal without a currency."""

    TEXT = "text"
    MONEY = "money"
    QUANTITY = "quantity"
    INT = "int"
    DATE = "date"
    DATETIME = "datetime"
    DURATION = "duration"
    PERCENT = "percent"


@dataclass(frozen=True)
class Column:
    """``name`` is the CSV header and never changes for a wording; ``title`` is what people read."""

    name: str
    title: str
    kind: Kind = Kind.TEXT
    decimals: int = 2  # shown of money in cents, of other coins as many more or less; single calls show 4
    worse: int = 0  # the sign of amounts that are bad news: 1 of a change in cost, -1 of what is left of a budget

    def places(self, currency: str) -> int:
        """How many decimals an amount in ``currency`` is shown with."""
        return coin_places(currency) + self.decimals - 2


@dataclass(frozen=True)
class Section:
    """One table of the report: a sheet, a part of the page, a CSV file.

    ``rows`` can be gone through again and again and may be larger than memory; ``totals`` are rows too, with a label
    in their first column, computed by the database from exact values. ``file_name`` is its CSV file's, where that is
    not the slug.
    """

    slug: str
    title: str
    columns: tuple[Column, ...]
    rows: Iterable[Row]
    row_count: int
    totals: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
    file_name: str = ""

    @property
    def csv_name(self) -> str:
        return f"{self.file_name or self.slug}.csv"

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def currencies(self, row: Row, reporting_currency: str) -> tuple[str, ...]:
        """The currency of each cell of a row: the row's own, or the reporting currency where rows have none."""
        names = self._names
        own = row[names.index("currency")] if "currency" in names else reporting_currency
        return _currencies(names, str(own or ""), reporting_currency)


@cache
def _currencies(names: tuple[str, ...], own: str, reporting_currency: str) -> tuple[str, ...]:
    return tuple(reporting_currency if name.startswith("reporting_") else own for name in names)


class ChartKind(StrEnum):
    STACKED = "stacked columns"
    COLUMNS = "columns"
    BARS = "bars"


@dataclass(frozen=True)
class Chart:
    """A picture of a section: ``category`` and ``series`` are positions of its columns."""

    title: str
    kind: ChartKind
    section: Section
    category: int
    series: tuple[int, ...]
    unit: str


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ALARM = "alarm"


@dataclass(frozen=True)
class Flag:
    """One word about the state of the month, and the sentence that explains it."""

    level: Level
    word: str
    text: str


@dataclass(frozen=True)
class Headline:
    """A figure of the first page, with what it is compared with."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class Report:
    """One month. ``first_page`` sections stand on the first page, ``sections`` each for themselves."""

    month: date
    as_of: date | None
    timezone: str
    reporting_currency: str
    flags: tuple[Flag, ...]
    headlines: tuple[Headline, ...]
    charts: tuple[Chart, ...]
    first_page: tuple[Section, ...]
    sections: tuple[Section, ...]

    @property
    def title(self) -> str:
        return f"Telephone and hosting cost, {month_name(self.month)}"

    @property
    def subtitle(self) -> str:
        until = f"data up to {show_date(self.as_of)}" if self.as_of else "no data loaded"
        return f"Tollbook · {until} · times in {self.timezone} · reporting currency {self.reporting_currency}"

    @property
    def all_sections(self) -> tuple[Section, ...]:
        return (*self.first_page, *self.sections)


_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def count_of(count: int, what: str = "record") -> str:
    """``1 record``, ``1,200 records``."""
    return f"{count:,} {what}{'s' if count != 1 else ''}"


def month_name(month: date) -> str:
    """``October 2026``, in English whatever the machine's locale."""
    return f"{_MONTHS[month.month - 1]} {month.year}"


def show_date(day: date) -> str:
    """``3 October 2026``."""
    return f"{day.day} {month_name(day)}"


def show_number(value: Decimal, decimals: int = 2) -> str:
    """``1,234.50``; rounded half up, as a bill is."""
    rounded = value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, _EXACT)
    return f"{rounded if rounded else abs(rounded):,f}"


def plain(value: Decimal) -> Decimal:
    """The same amount without trailing zeros: 1.500000 is 1.5, and 20 is not 2E+1 when printed with ``f``."""
    return value.normalize(_EXACT)


def show_money(value: Decimal | None, currency: str) -> str:
    """``1,234.50 EUR``; ``not rated`` where there is no amount."""
    return "not rated" if value is None else f"{show_number(value, coin_places(currency))} {currency}"


def show_exact(value: Decimal, currency: str | None) -> str:
    """``1,234.50``: in the currency's coins, or as many decimals as it takes; without a currency a mere number."""
    places = coin_places(currency) if currency else 0
    return show_number(value, max(places, -int(value.normalize().as_tuple().exponent)))


def show_percent(fraction: Decimal) -> str:
    """``12.3 %``."""
    return f"{(fraction * 100).quantize(Decimal('0.1'), ROUND_HALF_UP):,} %"


def show_duration(seconds: int) -> str:
    """``h:mm:ss``."""
    minutes, second = divmod(abs(seconds), 60)
    return f"{'-' if seconds < 0 else ''}{minutes // 60:,}:{minutes % 60:02}:{second:02}"


def show(value: Value, column: Column, currency: str) -> str:
    """``value`` as a person reads it, an amount as one in ``currency``; nothing for NULL."""
    if value is None:
        return ""
    match column.kind:
        case Kind.MONEY if isinstance(value, Decimal):
            shown = show_number(value, column.places(currency))
            rise = column.worse > 0 and value > 0 and Decimal(shown.replace(",", ""))
            return f"+{shown}" if rise else shown
        case Kind.QUANTITY if isinstance(value, Decimal):
            whole = value == value.to_integral_value()
            return show_number(value, 0) if whole else f"{plain(value):,f}"
        case Kind.PERCENT if isinstance(value, Decimal):
            return show_percent(value)
        case Kind.INT:
            return f"{value:,}"
        case Kind.DURATION if isinstance(value, int):
            return show_duration(value)
        case Kind.DATETIME if isinstance(value, datetime):
            return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)
