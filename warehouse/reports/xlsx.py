"""The report as an Excel workbook: a first page, then one sheet a section.

What lives here: the workbook's form. What does not: what is in it (``content``).

Every sheet after the first has its title in row 1, state and notes in row 2, the header in row 3, data from row 4
and the totals below, outside the filter. Amounts are numbers, days are dates, times are in the business zone. Excel
holds 15 significant digits: an amount with more is written as text, exactly, rather than altered. Vendors' text is
always written as text, never as a formula or a link. A list longer than a sheet goes on in ``… 2``, ``… 3``. Nothing
in the file tells when it was made: the same report gives the same bytes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from itertools import chain, islice
from pathlib import Path

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

from warehouse.reports.model import Chart, ChartKind, Column, Kind, Level, Report, Row, Section, Value, plain

CELL_LIMIT = 32_767  # UTF-16 units in a cell
CUT = " … [cut: the whole text is in the CSV file]"
EXCEL_DIGITS = 15
HEADER_ROW = 2
CHART_ROWS = 16
NOTE_COLUMNS = 8  # that a long text stands over
WIDTH_ROWS = 200  # rows that decide how wide the columns of a sheet are

_WIDTHS = {
    Kind.MONEY: 16,
    Kind.QUANTITY: 14,
    Kind.INT: 11,
    Kind.DATE: 12,
    Kind.DATETIME: 20,
    Kind.DURATION: 12,
    Kind.PERCENT: 10,
    Kind.TEXT: 14,
}
_NUMBERS = {
    Kind.QUANTITY: "#,##0.0#####",
    Kind.INT: "#,##0",
    Kind.DATE: "yyyy-mm-dd",
    Kind.DATETIME: "yyyy-mm-dd hh:mm:ss",
    Kind.DURATION: "[h]:mm:ss",
    Kind.PERCENT: "0.0%",
}
_WHOLE = "#,##0"  # of a quantity without decimals
PALETTE = ("#0B6E99", "#E08A1E", "#4F9D69", "#8C4A8C", "#B5473C", "#6B7A8F", "#C2A83E")
_FLAG_COLOURS = {Level.OK: "#E3F1E7", Level.WARNING: "#FFF1D6", Level.ALARM: "#F9DCD8"}


@dataclass(frozen=True)
class _Place:
    """Where a section's data stand: chart ranges need it."""

    sheet: str
    first_row: int
    last_row: int


def write_xlsx(report: Report, path: Path, *, sheet_rows: int) -> Path:
    """Write the workbook, at most ``sheet_rows`` rows of data a sheet. Raises OSError."""
    book = xlsxwriter.Workbook(
        str(path),
        {
            "constant_memory": True,  # rows go to a file as they come: a month of calls does not fit in memory
            "tmpdir": str(path.parent),
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
        },
    )
    book.set_properties(
        {
            "title": report.title,
            "subject": "Cost report",
            "author": "Tollbook",
            "created": datetime.combine(report.as_of or report.month, time()),
        }
    )
    _Workbook(book, report, sheet_rows).write()
    book.close()
    return path


class _Workbook:
    """One workbook while it is written. Rows must be written downwards, once: nothing goes back."""

    def __init__(self, book: Workbook, report: Report, sheet_rows: int) -> None:
        self.book = book
        self.report = report
        self.sheet_rows = sheet_rows
        self.places: dict[str, _Place] = {}
        self.formats: dict[tuple[tuple[str, object], ...], Format] = {}

    def format(self, **properties: object) -> Format:
        key = tuple(sorted(properties.items()))
        if key not in self.formats:
            self.formats[key] = self.book.add_format({"valign": "top", **properties})
        return self.formats[key]

    def number_format(self, column: Column, currency: str, *, bold: bool = False) -> Format:
        code = _NUMBERS.get(column.kind, "")
        if column.kind is Kind.MONEY:
            amount = amount_code(column.places(currency))
            signed = {1: f"[Red]+{amount};[Color10]-{amount};{amount}", -1: f"{amount};[Red]-{amount}"}
            code = signed.get(column.worse, amount)
        numeric = column.kind is not Kind.TEXT
        return self.format(
            **({"num_format": code} if code else {}),
            **({"align": "right"} if numeric else {}),
            **({"bold": True, "top": 1} if bold else {}),
        )

    # --- values -------------------------------------------------------------------------------------------------------

    def write_row(self, sheet: Worksheet, row: int, values: Sequence[Value], formats: Sequence[Format]) -> None:
        for column, (value, style) in enumerate(zip(values, formats, strict=True)):
            whole = isinstance(value, Decimal) and value == value.to_integral_value()
            if whole and style.num_format == _NUMBERS[Kind.QUANTITY]:
                style = self.format(
                    num_format=_WHOLE, align="right", **({"bold": True, "top": 1} if style.bold else {})
                )
            self.write_value(sheet, row, column, value, style)

    @staticmethod
    def write_value(sheet: Worksheet, row: int, column: int, value: Value, style: Format) -> None:
        if value is None:
            sheet.write_blank(row, column, None, style)
        elif isinstance(value, str):
            sheet.write_string(row, column, cell_text(value), style)
        elif isinstance(value, datetime):
            sheet.write_datetime(row, column, value.replace(tzinfo=None), style)
        elif isinstance(value, date):
            sheet.write_datetime(row, column, datetime.combine(value, time()), style)
        elif style.num_format == _NUMBERS[Kind.DURATION]:
            sheet.write_number(row, column, int(value) / 86_400, style)
        elif fits(value):
            # As Decimal: the library formats what it is given to 16 digits, and so the file says 0.008127, exactly.
            sheet.write_number(row, column, plain(Decimal(value)), style)
        else:
            sheet.write_string(row, column, f"{plain(Decimal(value)):f}", style)

    def write_wrapped(
        self, sheet: Worksheet, row: int, columns: tuple[int, int], text: str, style: Format, widths: dict[int, int]
    ) -> None:
        """``text`` over the first to the last of ``columns``, in as many lines as it takes there: print cuts it off."""
        first, last = columns
        room = sum(widths.get(column, 8) for column in range(first, last + 1))
        lines = -(-len(text) // max(1, room - 5))
        sheet.set_row(row, min(15 * max(1, lines), 400))  # Excel has no row higher than 409 points
        sheet.merge_range(row, first, row, last, "", style)
        sheet.write_string(row, first, cell_text(text), style)

    # --- sheets -------------------------------------------------------------------------------------------------------

    def write(self) -> None:
        first = self.new_sheet("Summary")
        sections = [(section, self.new_sheets(section)) for section in self.report.sections]
        below = self.first_page(first)
        for section, sheets in sections:
            self.section_sheets(section, sheets)
        self.charts(first, below)
        first.activate()

    def new_sheet(self, name: str) -> Worksheet:
        sheet = self.book.add_worksheet(name)
        sheet.set_landscape()
        sheet.set_paper(9)  # A4
        sheet.fit_to_pages(1, 0)
        sheet.set_margins(left=0.4, right=0.4, top=0.6, bottom=0.6)
        sheet.set_header(f"&L{self.report.title}&R&A")
        sheet.set_footer("&LTollbook&RPage &P of &N")
        return sheet

    def new_sheets(self, section: Section) -> list[Worksheet]:
        """As many sheets as the section needs, one at least, in their place in the workbook."""
        count = max(1, -(-section.row_count // self.sheet_rows))
        return [self.new_sheet(section.title if n == 1 else f"{section.title} {n}") for n in range(1, count + 1)]

    def section_sheets(self, section: Section, sheets: Sequence[Worksheet]) -> None:
        rows = iter(section.rows)
        head = list(islice(rows, WIDTH_ROWS))
        rows = chain(head, rows)
        for number, sheet in enumerate(sheets, 1):
            part = islice(rows, self.sheet_rows)
            totals = section.totals if number == len(sheets) else ()
            part_of = (f"Sheet {number} of {len(sheets)}, {section.row_count:,} rows in all.",) if sheets[1:] else ()
            sheet.write_string(0, 0, f"{sheet.name}, {self.report.title}", self.format(bold=True, font_size=14))
            state = " · ".join(flag.word for flag in self.report.flags)
            widths = self.widths(sheet, [(section, head)])
            across = (0, min(len(section.columns), NOTE_COLUMNS) - 1)
            notes = " ".join((f"{state}.", *part_of, *section.notes))
            self.write_wrapped(sheet, 1, across, notes, self.format(italic=True, text_wrap=True), widths)
            end = self.table(sheet, HEADER_ROW, section, part, totals)
            data_end = end - len(totals) - 1
            sheet.freeze_panes(HEADER_ROW + 1, 1)
            sheet.autofilter(HEADER_ROW, 0, max(data_end, HEADER_ROW + 1), len(section.columns) - 1)
            sheet.repeat_rows(HEADER_ROW)
            self.places.setdefault(section.slug, _Place(sheet.name, HEADER_ROW + 1, data_end))

    def table(self, sheet: Worksheet, row: int, section: Section, rows: Iterable[Row], totals: Sequence[Row]) -> int:
        """Header, data and totals from ``row`` on; returns the row after them."""
        money = self.report.reporting_currency
        header = self.format(bold=True, bottom=1, bg_color="#DCE6EC", text_wrap=True, valign="vcenter")
        sheet.set_row(row, 32)
        right = self.format(bold=True, bottom=1, bg_color="#DCE6EC", text_wrap=True, valign="vcenter", align="right")
        for position, column in enumerate(section.columns):
            sheet.write_string(row, position, column.title, header if column.kind is Kind.TEXT else right)

        @cache
        def formats(currencies: tuple[str, ...], bold: bool) -> list[Format]:
            pairs = zip(section.columns, currencies, strict=True)
            return [self.number_format(column, currency, bold=bold) for column, currency in pairs]

        row += 1
        for values in rows:
            self.write_row(sheet, row, values, formats(section.currencies(values, money), False))
            row += 1
        if not section.row_count:
            sheet.write_string(row, 0, "No rows this month.", self.format(italic=True))
            row += 1
        for values in totals:
            self.write_row(sheet, row, values, formats(section.currencies(values, money), True))
            row += 1
        return row

    @staticmethod
    def widths(sheet: Worksheet, sections: Iterable[tuple[Section, Iterable[Row]]]) -> dict[int, int]:
        """Make columns wide enough for the given rows of all ``sections``, within reason; how wide each is."""
        widths: dict[int, int] = {}
        for section, rows in sections:
            for position, column in enumerate(section.columns):
                widths[position] = max(widths.get(position, 0), _WIDTHS[column.kind], min(len(column.title), 18) + 2)
            for values in (*rows, *section.totals):
                for position, value in enumerate(values):
                    if isinstance(value, str):
                        widths[position] = max(widths[position], min(len(value) + 2, 44))
        for position, width in widths.items():
            sheet.set_column(position, position, width)
        return widths

    # --- the first page -----------------------------------------------------------------------------------------------

    def first_page(self, sheet: Worksheet) -> int:
        """Title, flags, headlines, room for the charts, tables; returns the row the charts begin in."""
        report = self.report
        widths = self.widths(sheet, [(section, islice(section.rows, WIDTH_ROWS)) for section in report.first_page])
        sheet.hide_gridlines(2)
        sheet.set_row(0, 28)
        sheet.write_string(0, 0, report.title, self.format(bold=True, font_size=18))
        sheet.write_string(1, 0, report.subtitle, self.format(font_color="#555555"))
        row = 3
        for flag in report.flags:
            colour = _FLAG_COLOURS[flag.level]
            sheet.write_string(row, 0, flag.word, self.format(bold=True, bg_color=colour))
            style = self.format(bg_color=colour, text_wrap=True)
            self.write_wrapped(sheet, row, (1, NOTE_COLUMNS - 1), flag.text, style, widths)
            row += 1
        row += 1
        for headline in report.headlines:
            sheet.write_string(row, 0, headline.label, self.format(font_color="#555555"))
            sheet.write_string(row, 1, headline.value, self.format(bold=True))
            sheet.write_string(row, 3, headline.detail, self.format(font_color="#555555"))
            row += 1
        charts = row + 1
        row = charts + CHART_ROWS
        for section in report.first_page:
            sheet.write_string(row, 0, section.title, self.format(bold=True, font_size=13))
            if section.notes:
                style = self.format(italic=True, font_color="#555555", text_wrap=True)
                self.write_wrapped(sheet, row + 1, (0, NOTE_COLUMNS - 1), " ".join(section.notes), style, widths)
                row += 1
            data = row + 2
            row = self.table(sheet, row + 1, section, section.rows, section.totals) + 1
            self.places[section.slug] = _Place(sheet.name, data, data + section.row_count - 1)
        return charts

    def charts(self, sheet: Worksheet, row: int) -> None:
        """The report's charts over the cells they picture, side by side; none over an empty section."""
        offset = 0
        for chart in self.report.charts:
            if chart.section.row_count and chart.series:
                drawn = self.chart(chart)
                drawn.set_size({"width": 470, "height": 310})
                sheet.insert_chart(row, 0, drawn, {"x_offset": offset, "object_position": 3})
                offset += 480

    def chart(self, chart: Chart) -> "xlsxwriter.chart.Chart":
        place = self.places[chart.section.slug]
        kinds = {
            ChartKind.STACKED: {"type": "column", "subtype": "stacked"},
            ChartKind.COLUMNS: {"type": "column"},
            ChartKind.BARS: {"type": "bar"},
        }
        bars = chart.kind is ChartKind.BARS
        last = min(place.last_row, place.first_row + 11) if bars else place.last_row
        drawn = self.book.add_chart(kinds[chart.kind])
        labels = amount_code(chart.section.columns[chart.series[0]].places(chart.unit))
        for number, series in enumerate(chart.series):
            drawn.add_series(
                {
                    "name": chart.section.columns[series].title,
                    "categories": [place.sheet, place.first_row, chart.category, last, chart.category],
                    "values": [place.sheet, place.first_row, series, last, series],
                    "fill": {"color": PALETTE[number % len(PALETTE)]},
                    "gap": 40,
                    **({"data_labels": {"value": True, "num_format": labels}} if bars else {}),
                }
            )
        drawn.set_title({"name": f"{chart.title} ({chart.unit})", "name_font": {"size": 11}, "overlay": False})
        if len(chart.series) == 1:
            drawn.set_legend({"none": True})
        else:
            drawn.set_legend({"position": "bottom"})
        amounts: dict[str, object] = {
            "num_format": "General",  # with #,##0.## Excel writes 50 as "50."
            "major_gridlines": {"visible": True, "line": {"color": "#DDDDDD"}},
        }
        if bars:  # the axes of a bar chart are named the other way round
            drawn.set_y_axis({"reverse": True})  # the largest on top
            drawn.set_x_axis({"visible": False, "major_gridlines": {"visible": False}})
            return drawn
        dates = chart.section.columns[chart.category].kind is Kind.DATE
        axis: dict[str, object] = {"num_format": "d", "date_axis": True} if dates else {}
        drawn.set_x_axis(axis)
        drawn.set_y_axis(amounts)
        return drawn


def amount_code(places: int) -> str:
    """Excel's number format of an amount with ``places`` decimals."""
    return f"#,##0.{'0' * places}" if places else "#,##0"


def fits(value: int | Decimal) -> bool:
    """Whether a double, as Excel shows it, holds ``value`` exactly."""
    return len(Decimal(value).as_tuple().digits) <= EXCEL_DIGITS or (
        len(plain(Decimal(value)).as_tuple().digits) <= EXCEL_DIGITS
    )


def cell_text(text: str) -> str:
    """``text`` without carriage returns (a cell breaks lines at line feeds), cut with a mark at Excel's limit."""
    text = text.replace("\r", "")
    if _units(text) <= CELL_LIMIT:
        return text
    kept = text[: CELL_LIMIT - len(CUT)]
    while _units(kept) > CELL_LIMIT - len(CUT):
        kept = kept[: -max(1, (_units(kept) - CELL_LIMIT + len(CUT)) // 2)]
    return kept + CUT


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
