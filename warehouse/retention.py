"""Which business days are kept, and dropping the files of the others.

What lives here: the first day that is kept, once some were dropped. What does not: when to drop (``pipelines``), the
database, which leaves dropped days out by itself (``update``).
"""

import os
import shutil
from datetime import date
from pathlib import Path

from tollbook_errors import ConfigError
from warehouse.files import disk_errors, names_in, read_json, write_json
from warehouse.layout import WINDOW, parse_window, windows_in


def kept_from(data_dir: Path) -> date:
    """The first business day that is kept; ``date.min`` as long as none was dropped.

    What is left of earlier ones counts nowhere: not in a load, a rebuild or the database.
    """
    path = data_dir / "state" / "kept_from.json"
    with disk_errors(path):
        return date.fromisoformat(read_json(path)["day"]) if path.exists() else date.min


def keep_from(data_dir: Path, day: date | None) -> date:
    """Keep business days from ``day`` on (None: as before), for good: from when on days are kept now.

    ``drop`` then removes the files of those before. The caller holds ``writing``.
    """
    known = kept_from(data_dir)
    if day is None or day <= known:
        return known
    path = data_dir / "state" / "kept_from.json"
    with disk_errors(path):
        write_json(path, {"day": day.isoformat()})
    return day


def refuse_dropped(data_dir: Path, day: date) -> None:
    """ConfigError for a business day before those that are kept."""
    kept = kept_from(data_dir)
    if day < kept:
        raise ConfigError(
            f"business days before {kept} were dropped, as tollbook.retention_days says",
            hint="docs/operations.md says how to load them again",
        )


def drop(data_dir: Path) -> None:
    """Remove the files of the days that are not kept: raw, core, what core was made from, and their marks.

    A landing of several days goes with the last of them. Can be repeated. The caller holds ``writing``.
    """
    kept = kept_from(data_dir)
    if kept == date.min:
        return
    raw = data_dir / "raw"
    with disk_errors(raw):
        for connection in names_in(raw):
            for stream in names_in(raw / connection):
                for name in windows_in(raw / connection / stream):
                    if (parse_window(name)[1] or kept) < kept:
                        shutil.rmtree(raw / connection / stream / name)
        for root in (data_dir / "core", data_dir / "state" / "core", data_dir / "state" / "pending"):
            for folder, _, files in os.walk(root):
                for name in files:
                    window = name.rpartition("@")[2].partition(".")[0]
                    if WINDOW.fullmatch(window) and (parse_window(window)[1] or kept) < kept:
                        (Path(folder) / name).unlink()
