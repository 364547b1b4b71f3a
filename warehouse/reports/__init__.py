"""Finance's files for one month: an Excel workbook, one self-contained HTML page and a folder of CSV files.

What lives here: ``write_report``, which reads the published database once into a ``model.Report`` and lets the three
renderers write it, so that they agree by construction. What does not: which sections there are (``content``), what they
say (``sections``, ``proof``), how a form looks (``xlsx``, ``html``, ``csv_files``, ``charts``), where the files go and
when (the command line, the assets).
"""

from collections.abc import Callable
from datetime import date
from pathlib import Path

from warehouse.reports.content import read_report
from warehouse.reports.csv_files import write_csv
from warehouse.reports.html import write_html
from warehouse.reports.model import Flag, ReportSettings
from warehouse.reports.staging import FILE_MODE, FOLDER_MODE, staging, sync
from warehouse.reports.xlsx import write_xlsx

__all__ = ["ReportSettings", "write_report"]


def write_report(
    database: Path,
    month: date,
    out: Path,
    *,
    settings: ReportSettings,
    say: Callable[[Flag], None] = lambda flag: None,
) -> list[Path]:
    """Write ``tollbook-YYYY-MM.xlsx``, ``.html`` and the folder ``tollbook-YYYY-MM`` of CSV files into ``out``.

    ``database`` is the published DuckDB file, opened read-only; ``month`` is any day of the month of business days in
    ``settings.timezone``. Earlier files of the month are replaced, each at once. The same database and settings give
    the same bytes. Returns every file written: the workbook, the page, then the CSV files. ``say`` is told the state
    of the month, as the first page says it, once they are in place.

    Raises ContractError when the database cannot be opened or is not one of ours, StorageError when ``out`` cannot
    be written.
    """
    name = f"tollbook-{month:%Y-%m}"
    with staging(out) as staged:
        with read_report(database, month, settings, scratch=staged) as report:
            workbook = write_xlsx(report, staged / f"{name}.xlsx", sheet_rows=settings.sheet_rows)
            page = write_html(report, staged / f"{name}.html", row_limit=settings.html_rows)
            tables = write_csv(report, staged / name)
        for path in (workbook, page, *tables):
            sync(path, FILE_MODE)
        sync(staged / name, FOLDER_MODE)
        if (out / name).is_dir():
            (out / name).rename(staged / "replaced")
        for written in (staged / name, workbook, page):
            written.replace(out / written.name)
        sync(out)
    for flag in report.flags:
        say(flag)
    return [out / workbook.name, out / page.name, *(out / name / path.name for path in tables)]
