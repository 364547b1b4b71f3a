"""The report as one self-contained HTML page: no script, no request, for a screen, a telephone and a printer.

What lives here: the page's form, with ``report.html.j2`` and ``report.css`` beside it. What does not: what is in it
(``content``) or the drawing of charts (``charts``).

A long list shows its first rows and says how many there are; its totals cover all of it. Amounts are shown rounded;
one that has more places carries the exact amount in its ``title``.
"""

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from warehouse.reports import charts
from warehouse.reports.model import Column, Kind, Report, Row, Section, Value, plain, show

LONG_TEXT = 200  # characters of one cell on the page; the CSV file has the rest


def write_html(report: Report, path: Path, *, row_limit: int) -> Path:
    """Write the page, at most ``row_limit`` rows of each section. Raises OSError."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = templates.get_template("report.html.j2")
    page = template.stream(
        report=report,
        pictures=[
            (chart, picture, charts.legend(chart.section, chart.series))
            for chart in report.charts
            if (picture := charts.svg(chart))
        ],
        row_limit=row_limit,
        first_rows=lambda section: first_rows(section, row_limit),
        cells=lambda section, row: zip(
            row, section.columns, section.currencies(row, report.reporting_currency), strict=True
        ),
        text=text,
        exact=exact,
        is_number=lambda column: column.kind not in (Kind.TEXT, Kind.DATE, Kind.DATETIME),
        tone=tone,
    )
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(page)
    return path


def first_rows(section: Section, row_limit: int) -> Iterator[Row]:
    return islice(section.rows, row_limit)


def text(value: Value, column: Column, currency: str) -> str:
    """``value`` as the page shows it."""
    shown = show(value, column, currency)
    return shown if len(shown) <= LONG_TEXT else f"{shown[:LONG_TEXT]}… ({len(shown):,} characters)"


def tone(value: Value, column: Column) -> str:
    """The class of an amount that is bad or good news; its sign says so as well."""
    news = value * column.worse if isinstance(value, Decimal) else 0
    return "worse" if news > 0 else "better" if news < 0 and column.worse > 0 else ""


def exact(value: Value, column: Column, currency: str) -> str:
    """The exact amount, where ``text`` rounds it; else nothing."""
    if column.kind is not Kind.MONEY or not isinstance(value, Decimal):
        return ""
    amount = plain(value)
    return f"{amount:f}" if amount != Decimal(show(value, column, currency).replace(",", "")) else ""
