"""The report as CSV files for the ledger's import: one file a section, plus ``status.csv`` and ``totals.csv``.

What lives here: the CSV form. What does not: what is in it (``content``).

The form: UTF-8 without a byte order mark, comma, CRLF, a header of column names. Amounts are plain decimals, exact
and without grouping; days are ISO, times ISO with their offset from UTC, durations whole seconds, percentages
fractions; NULL is empty. The sections' files hold no total rows, so that an import counts nothing twice: the totals
are in ``totals.csv``, flags and headlines in ``status.csv``. The journal's file is named by its month.

A spreadsheet takes text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return for a formula, and
vendors' text is anybody's text: such a value gets a leading apostrophe, as does one that begins with an apostrophe,
so that ``read_back`` restores every value exactly. A telephone number (``+`` and 5 to 15 digits) is left as it is, and
numbers are numbers.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from warehouse.money import coin_places, in_coins
from warehouse.reports.model import Column, Kind, Report, Row, Section, Value, plain

_TELEPHONE = re.compile(r"\+[0-9]{5,15}")
# What a spreadsheet may take for a formula, also behind blanks and marks of no width that it strips or does not show.
_FORMULA = re.compile(
    "[\t\r]|[\\s\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0]*[=+@＝＋－＠-]"
)


def write_csv(report: Report, folder: Path) -> list[Path]:
    """Write the files into the new ``folder`` and return them, sections first. Raises OSError."""
    folder.mkdir()
    written = [
        _write(folder / section.csv_name, _header(section), _cells(section, report)) for section in report.all_sections
    ]
    status: list[Row] = [
        ("month", report.month.strftime("%Y-%m"), None),
        ("data up to", report.as_of, None),
        *(("flag", flag.word, flag.text) for flag in report.flags),
        *(("headline", headline.label, f"{headline.value} ({headline.detail})") for headline in report.headlines),
    ]
    totals = [
        [section.slug, cell(row[0]), column.name, cell(value, column.kind, currency)]
        for section in report.all_sections
        for row in section.totals
        for column, value, currency in list(_with_currency(section, row, report))[1:]
        if value is not None and column.name != "currency"
    ]
    written.append(_write(folder / "status.csv", ["kind", "name", "text"], ([cell(v) for v in row] for row in status)))
    written.append(_write(folder / "totals.csv", ["section", "total", "column", "value"], totals))
    return written


def neutral(text: str) -> str:
    """``text`` as a cell that no spreadsheet takes for a formula."""
    formula = _FORMULA.match(text) and not _TELEPHONE.fullmatch(text)
    return f"'{text}" if formula or text.startswith("'") else text


def read_back(cell: str) -> str:
    """The value that ``neutral`` made a text cell from."""
    return cell.removeprefix("'")


def cell(value: Value, kind: Kind = Kind.TEXT, currency: str = "") -> str:
    """``value`` as CSV text; money has the decimals of its currency at least, more where the exact amount has more."""
    if value is None:
        return ""
    if isinstance(value, str):
        return neutral(value)
    if isinstance(value, Decimal):
        whole = kind is Kind.MONEY and in_coins(value, currency) == value
        return f"{value:.{coin_places(currency)}f}" if whole else f"{plain(value):f}"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return str(value)


def _header(section: Section) -> list[str]:
    return [column.name for column in section.columns]


def _cells(section: Section, report: Report) -> Iterator[list[str]]:
    for row in section.rows:
        yield [cell(value, column.kind, currency) for column, value, currency in _with_currency(section, row, report)]


def _with_currency(section: Section, row: Row, report: Report) -> Iterable[tuple[Column, Value, str]]:
    return zip(section.columns, row, section.currencies(row, report.reporting_currency), strict=True)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
    return path
