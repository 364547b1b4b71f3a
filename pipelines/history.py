"""Dagster's own records: runs, their events, which schedules are on.

What lives here: where they are, opening them so that nothing wrong with them stands in the way of a load, and Dagster's
complaints about them as errors of ours. What does not: which runs are alive (``run_locks``), the runs (``running``).

Nothing of Tollbook's depends on what stands in them: what is loaded and when is known by the lake and the published
database. So damaged ones are put aside, and Dagster begins new ones.
"""

import logging
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stderr, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from pipelines.settings import Settings, configured_home
from tollbook_errors import ConfigError, StorageError
from warehouse.files import FILE_MODE, FOLDER_MODE, disk_errors, make_folder
from warehouse.locks import hold

if TYPE_CHECKING:
    from dagster import DagsterInstance

_log = logging.getLogger("tollbook")

# Where Dagster keeps them unless its configuration says otherwise: a folder each, and the files that others go by.
_KEPT = {"history": ("runs.db", "runs/index.db"), "schedules": ("schedules.db",)}
_DAMAGED = ("malformed", "not a database", "no such table", "no such column", "unsupported file format")


def home_of(settings: Settings) -> Path:
    """Where Dagster's home is: as DAGSTER_HOME says, else in the data directory."""
    return configured_home() or settings.data_dir / "dagster"


def dagster_home(settings: Settings) -> Path:
    """Dagster's home: runs, schedules and logs; the data directory's own is made if need be.

    What lies in our own is for the owner only, also what an earlier version or another umask left there.
    """
    home = home_of(settings)
    if home.resolve() != (settings.data_dir / "dagster").resolve():
        return home
    with disk_errors(home):
        make_folder(home)
        configuration = home / "dagster.yaml"
        if not configuration.exists():
            configuration.write_text(
                "# Made by Tollbook; yours to change.\ntelemetry:\n  enabled: false\nnux:\n  enabled: false\n"
                "freshness:\n  enabled: true\nrun_monitoring:\n  enabled: true\n"
            )
        _for_the_owner_only(home)
    return home


def keep_to_one_data_dir(home: Path, data_dir: Path) -> None:
    """ConfigError where a daemon of another data directory uses this home.

    They would share the nightly schedule, of which each tick is one run, of one of them: the other would not be loaded.
    """
    path = home / "tollbook_data_dir"
    with disk_errors(path):
        known = Path(path.read_text(encoding="utf-8")) if path.exists() else None
        if known is not None and known.is_dir() and known.resolve() != data_dir.resolve():
            raise ConfigError(
                f"DAGSTER_HOME {home} has the schedule of the data directory {known}",
                hint="give each data directory a home of its own, or leave DAGSTER_HOME out",
            )
        path.write_text(str(data_dir.absolute()), encoding="utf-8")


@contextmanager
def open_history(settings: Settings) -> Iterator["DagsterInstance"]:
    """The Dagster instance in which runs are recorded.

    StorageError where its records cannot be read or written, also in the block; ConfigError for a wrong dagster.yaml.
    """
    from dagster import DagsterInstance

    home = dagster_home(settings)
    if not home.is_dir():
        raise ConfigError(f"DAGSTER_HOME is {home}, and there is no such folder")
    with storage_errors(home):
        with disk_errors(home), hold(home / "opening", f"is opening Dagster's records in {home}"):
            _put_damaged_aside(home)
            try:
                instance = DagsterInstance.from_config(str(home))
            except Exception as error:
                if trouble := storage_trouble(error, home):
                    raise trouble from error
                raise ConfigError(
                    f"the Dagster instance in {home} cannot be opened ({type(error).__name__})",
                    hint="see its dagster.yaml",
                ) from error
        with instance, redirect_stderr(cast(TextIO, _WithoutSQL(sys.stderr))):
            yield instance


class _WithoutSQL:
    """Standard error without what Dagster writes there of its records and quotes from them; the error is raised."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if text.startswith("Exception while writing logger call") else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def storage_errors(home: Path) -> Iterator[None]:
    """Turn what Dagster's storage complains of in the block into a StorageError of one sentence."""
    try:
        yield
    except Exception as error:
        if trouble := storage_trouble(error, home):
            raise trouble from error
        raise


def storage_trouble(error: BaseException | None, home: Path) -> StorageError | None:
    """What an error says of Dagster's storage; None where neither it nor what it came of is about that."""
    from sqlalchemy.exc import DBAPIError

    while error is not None and not isinstance(error, DBAPIError | sqlite3.Error | OSError | StorageError):
        error = error.__cause__ or error.__context__
    if error is None or isinstance(error, StorageError):
        return error
    what = error.strerror or "" if isinstance(error, OSError) else str(getattr(error, "orig", None) or error)
    return sentence_of(what, home)


def sentence_of(what: str, home: Path | None = None) -> StorageError:
    """The StorageError for a complaint of SQLite's or the system's."""
    text = what.lower()
    records = f"Dagster's records in {home}" if home else "Dagster's records"
    if any(word in text for word in _DAMAGED):
        problem = f"{records} are damaged"
        hint = "run this again: they are put aside then and begun anew; nothing that was loaded depends on them"
    elif "locked" in text or "busy" in text:
        problem = f"{records} are locked by another program"
        hint = "end what has them open, such as a backup or a database browser; then run this again"
    elif "readonly" in text or "read-only" in text or "permission" in text:
        problem = f"{records} cannot be written"
        hint = "check who owns them and that the disk is not mounted read-only"
    elif any(word in text for word in ("full", "space", "quota", "unable to open", "i/o error", "too many")):
        problem = f"{records} cannot be written: {_first_line(what)}"
        hint = "make room on the disk, then run this again: it goes on from what was loaded"
    else:
        problem = f"{records} cannot be read or written"
        hint = "check the disk, then run this again"
    return StorageError(problem, hint=hint)


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0].lower()


def _put_damaged_aside(home: Path) -> None:
    """Give damaged records another name, so that Dagster begins new ones. The caller holds the lock of opening them."""
    for folder, files in _KEPT.items():
        if any(_is_damaged(home / folder / file) for file in files):
            staged = home / f"{folder}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
            (home / folder).rename(staged)
            lost = (
                "which runs there were is no longer shown, and nothing else is lost"
                if folder == "history"
                else "schedules and sensors that somebody had stopped or started are as the configuration has them"
            )
            _log.warning("Dagster's records were damaged and are put aside in %s: %s", staged, lost)


def _is_damaged(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        with closing(sqlite3.connect(file, timeout=1)) as db:
            return bool(db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",))
    except sqlite3.Error as error:  # any other trouble is said by who needs them
        return any(word in str(error).lower() for word in _DAMAGED)


def _for_the_owner_only(home: Path) -> None:
    for folder, _, files in os.walk(home):
        for path, mode in [(Path(folder), FOLDER_MODE), *((Path(folder, name), FILE_MODE) for name in files)]:
            # It is gone by now, or another's, whose mode is theirs.
            with suppress(FileNotFoundError, PermissionError):
                if not path.is_symlink() and path.stat().st_mode & 0o777 != mode:
                    path.chmod(mode)
