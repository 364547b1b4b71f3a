"""Opening DuckDB: the one place that does.

What lives here: connections that read what they were opened for and nothing else, whatever SQL reaches them, and the
reading of SQL that is packaged in files. What does not: what is asked of them (``database``, ``published``,
``reports``, ``assets.load``).

Vendors' answers are data in our SQL, never SQL; should that ever fail, a connection can still not read another file,
reach the network, install or load an extension, or turn any of this off again.
"""

from collections.abc import Iterable
from pathlib import Path
from threading import Lock

import duckdb

# One database file is one instance in a process, with one configuration: its second connection finds it locked.
_opening = Lock()


def connect(
    database: Path | None = None,
    *,
    reads: Iterable[Path] = (),
    read_only: bool = False,
    memory_limit: str | None = None,
    threads: int | None = None,
    spill: Path | None = None,
    storage_version: str | None = None,
) -> duckdb.DuckDBPyConnection:
    """A connection in UTC to ``database`` (None: in memory) that may read ``reads``, locked so.

    ``reads`` are files, and folders with all below them. ``spill`` is the folder for what does not fit into
    ``memory_limit``; without it DuckDB puts that beside the database. ``storage_version`` is that of a new file. Raises
    duckdb.Error as ``duckdb.connect`` does.
    """
    given: dict[str, str | int | None] = {
        "memory_limit": memory_limit,
        "threads": threads,
        "temp_directory": str(spill) if spill else None,
        "storage_compatibility_version": storage_version,
    }
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "allow_persistent_secrets": "false",
        **{name: value for name, value in given.items() if value is not None},
    }
    # A database that is attached is looked at together with the log that may lie beside it.
    places = [place.absolute() for place in reads]
    files = [name for place in places if place.is_file() for name in (place, place.with_name(f"{place.name}.wal"))]
    with _opening:
        con = duckdb.connect(database or ":memory:", read_only=read_only, config=config)
        try:
            locked = con.execute("SELECT current_setting('lock_configuration')").fetchall()[0][0]
            if not locked:
                con.execute(
                    f"SET GLOBAL TimeZone = 'UTC'; SET allowed_directories = {_listed(places)}; "
                    f"SET allowed_paths = {_listed(files)}; "
                    "SET enable_external_access = false; SET python_enable_replacements = false; "
                    "SET lock_configuration = true"
                )
        except BaseException:
            con.close()
            raise
    return con


def packaged_sql(folder: Path, name: str) -> str:
    """The SQL of ``<name>.sql`` in the folder of a package."""
    return (folder / f"{name}.sql").read_text(encoding="utf-8")


def _listed(paths: Iterable[Path]) -> str:
    return "[" + ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths) + "]"
