"""Finance's files for one month: an Excel workbook, one self-contained HTML page and a folder of CSV files.

What lives here: ``write_report``, which reads the published database once into a ``model.Report`` and lets the three
renderers write it, so that they agree by construction. What does not: what the sections say (``content``), how a form
looks (``xlsx``, ``html``, ``csv_files``, ``charts``), where the files go and when (the command line, the assets).
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from tollbook_errors import StorageError
from warehouse.reports.content import read_report
from warehouse.reports.csv_files import write_csv
from warehouse.reports.html import write_html
from warehouse.reports.model import ReportSettings
from warehouse.reports.xlsx import write_xlsx

__all__ = ["ReportSettings", "write_report"]

FILE_MODE = 0o640
FOLDER_MODE = 0o750


def write_report(database: Path, month: date, out: Path, *, settings: ReportSettings) -> list[Path]:
    """Write ``tollbook-YYYY-MM.xlsx``, ``.html`` and the folder ``tollbook-YYYY-MM`` of CSV files into ``out``.

    ``database`` is the published DuckDB file, opened read-only; ``month`` is any day of the month of business days in
    ``settings.timezone``. Earlier files of the month are replaced, each at once. The same database and settings give
    the same bytes. Returns every file written: the workbook, the page, then the CSV files.

    Raises ContractError when the database cannot be opened or is not one of ours, StorageError when ``out`` cannot
    be written.
    """
    name = f"tollbook-{month:%Y-%m}"
    with _staging(out) as staging:
        with read_report(database, month, settings, scratch=staging) as report:
            workbook = write_xlsx(report, staging / f"{name}.xlsx", sheet_rows=settings.sheet_rows)
            page = write_html(report, staging / f"{name}.html", row_limit=settings.html_rows)
            tables = write_csv(report, staging / name)
        for path in (workbook, page, *tables):
            _settle(path, FILE_MODE)
        _settle(staging / name, FOLDER_MODE)
        if (out / name).is_dir():
            (out / name).rename(staging / "replaced")
        for written in (staging / name, workbook, page):
            written.replace(out / written.name)
        _settle(out)
    return [out / workbook.name, out / page.name, *(out / name / path.name for path in tables)]


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A private folder beside the finished files (one file system, so that a rename puts them in place)."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".report-", dir=out))
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"the report cannot be written: {error.strerror}", hint="see the report folder") from error


def _settle(path: Path, mode: int | None = None) -> None:
    """Set the mode whatever the umask, and make the file or folder survive a power cut."""
    if mode is not None:
        path.chmod(mode)
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
