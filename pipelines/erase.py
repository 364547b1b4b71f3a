"""Erasing a telephone number from everything under the data directory.

What lives here: the order of it: the register, what was landed, what was left lying about, all that is made of the
landings, and the search that proves it. What does not: finding a number in a text (``assets.redaction``), rewriting a
landing (``warehouse``), making core and the database again (``running.run_rebuild``).

Every step can be repeated: whoever was interrupted erases the same number again. Until then the register keeps it from
being landed anew, and a rebuild takes it out of what was landed before.
"""

import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.phone import Digits, digits_of
from assets.redaction import Eraser, scrub
from pipelines.history import dagster_home
from pipelines.maintain import run_rebuild
from pipelines.progress import Watch
from pipelines.resources import Runtime
from pipelines.settings import Settings
from tollbook_errors import ConfigError, IntegrityError, TollbookError
from warehouse.erasure_register import Erasure, Register
from warehouse.files import disk_errors
from warehouse.schema import LAKE_TABLES

RAW = "raw"  # as a table's name: the landed answers
_ID = re.compile("_id$|^raw_file$|^request$")
_JSON = ("body", "before", "after")


class NumberError(TollbookError):
    """What was given is no telephone number. Does not repeat it."""


class NotHeldError(TollbookError):
    """The number is held nowhere, and was never erased: nothing was changed. Does not repeat it."""


@dataclass(frozen=True)
class Held:
    """A number that something holds, before it is erased: rows that hold it by table, under ``raw`` the answers."""

    number: Digits
    erasure: Erasure
    only: Eraser
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Erased:
    """What erasing did: the number's id in the register, rows that held it by table, and reports that are gone."""

    id: str
    rows: Mapping[str, int]
    reports: tuple[Path, ...]


def find_number(settings: Settings, written: str) -> Held:
    """What holds a number, as written in ``settings.region``; nothing is changed.

    NumberError when it is none, NotHeldError when nothing holds it, ConfigError when a connection that was loaded is
    not configured any more, or the zone of the business days was changed.
    """
    number = digits_of(written, settings.region)
    if number is None:
        raise NumberError("this is no public telephone number", hint="write it as +442079460123, or as dialled here")
    lake = Runtime(settings).lake
    lake.check_timezone(settings.timezone)
    configured = {connection.name for connection in settings.connections}
    gone = sorted({connection for connection, *_ in lake.raw.windows()} - configured)
    if gone:
        raise ConfigError(
            f"connection {gone[0]} was loaded, but is not configured: its days could not be made again",
            hint="configure it again; its secrets need not be there",
        )
    register = Register(settings.data_dir)
    erasure = register.erasure(*number)
    only = Eraser(register.digest, [erasure], settings.region)
    rows = _rows_holding(settings.data_dir, only)
    # One that was interrupted is in the register: only the database, or a report, may still hold the number.
    held = erasure.lines or any(rows.values()) or any(_holds(path, only, number) for path in _files(settings))
    if not held:
        raise NotHeldError("no file holds this number: nothing was erased", hint="is it the number that was meant?")
    return Held(number, erasure, only, rows)


def run_erase(settings: Settings, held: Held, watch: Watch) -> Erased:
    """Erase a number, and publish without it.

    IntegrityError when a file is damaged or still holds the number at the end.
    """
    lake = Runtime(settings, watch).lake
    with lake.writing():
        # Kept first: from here on no load lands the number, and whatever stops this, a repetition finishes.
        Register(settings.data_dir).keep(held.erasure, held.rows)
        scrub(lake, {each.name: (each.region, each.outside_line) for each in settings.connections}, watch)
        _clear_leftovers(settings.data_dir)
        reports = _remove_reports(settings.data_dir / "reports", held.only)
    if lake.raw.windows():
        run_rebuild(settings, watch)
    left = [path for path in _files(settings) if _holds(path, held.only, held.number)]
    if left:
        raise IntegrityError(
            f"{len(left)} files still hold the number: {', '.join(str(path) for path in left[:3])}",
            hint="erase it again; if that does not help, delete them",
        )
    return Erased(held.erasure.id, held.rows, reports)


def _rows_holding(data_dir: Path, only: Eraser) -> dict[str, int]:
    """Rows of each table of core that hold the number, by full name, and under ``raw`` the landed answers."""
    names = {table_.name: table_.full_name for table_ in LAKE_TABLES}
    rows = {RAW: 0}
    for path in sorted((data_dir / "raw").rglob("*.parquet")):
        rows[RAW] += _rows(path, only)
    for path in sorted((data_dir / "core").rglob("*.parquet")):
        name = names.get(path.relative_to(data_dir / "core").parts[0], "other")
        rows[name] = rows.get(name, 0) + _rows(path, only)
    return {name: count for name, count in rows.items() if count or name == RAW}


def _rows(path: Path, only: Eraser) -> int:
    """Rows of a Parquet file that hold the number in any column that is no id."""
    count = 0
    with disk_errors(path), pq.ParquetFile(path) as file:
        names = [f.name for f in file.schema_arrow if pa.types.is_string(f.type) and not _ID.search(f.name)]
        for group in range(file.num_row_groups):
            held = [False] * file.metadata.row_group(group).num_rows
            for name, column in zip(names, file.read_row_group(group, names).columns, strict=True):
                clean = only.body if name in _JSON else only.text
                found = [text for text in column.unique().to_pylist() if text and clean(text) != text]
                if found:
                    hits = pc.is_in(column, pa.array(found, pa.string())).to_pylist()
                    held = [a or b for a, b in zip(held, hits, strict=True)]
            count += sum(held)
    return count


def _clear_leftovers(data_dir: Path) -> None:
    """Remove what a crash may have left: spilled rows, staged files, logs put aside. Nobody else is writing now."""
    for folder in (data_dir / "state" / "spill", data_dir / "private" / "tmp"):
        shutil.rmtree(folder, ignore_errors=True)
    for pattern in ("core/**/.*.tmp", "state/**/.*.tmp", "closed/.*.tmp", "private/*.stale", "private/rebuild.duckdb*"):
        for path in data_dir.glob(pattern):
            path.unlink(missing_ok=True)
    for path in data_dir.glob(".tollbook.publishing.duckdb*"):
        path.unlink(missing_ok=True)


def _remove_reports(folder: Path, only: Eraser) -> tuple[Path, ...]:
    """Delete the reports that hold the number; which they were."""
    found = tuple(path for path in sorted(folder.rglob("*")) if path.is_file() and _text_holds(path, only))
    for path in found:
        with disk_errors(path):
            path.unlink()
    return found


def _text_holds(path: Path, only: Eraser) -> bool:
    with disk_errors(path):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return any(only.holds(archive.read(name).decode("utf-8", "replace")) for name in archive.namelist())
        return only.holds(path.read_text(encoding="utf-8", errors="replace"))


def _files(settings: Settings) -> Iterator[Path]:
    """Every file that is ours to keep clean: below the data directory, and Dagster's own."""
    for folder in dict.fromkeys((settings.data_dir, dagster_home(settings))):
        yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def _holds(path: Path, only: Eraser, number: Digits) -> bool:
    """Whether a file still holds the number; one that is no text is searched for its digits as they are written."""
    if path.suffix == ".parquet":
        return _rows(path, only) > 0
    if path.suffix in (".xlsx", ".html", ".csv", ".json"):
        return _text_holds(path, only)
    forms = [f"{prefix}{number.national}".encode() for prefix in (number.calling_code, "0")]
    with disk_errors(path), path.open("rb") as file:
        tail = b""
        while block := file.read(1 << 20):
            if any(form in tail + block for form in forms):
                return True
            tail = block[-32:]
    return False
