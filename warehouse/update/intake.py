"""What an update takes in: the rows of core partitions, and the record of loads.

What lives here: which partitions changed, replacing their rows, refusing a file that is not what its partition says.
What does not: writing those files (``lake``), anything that is derived from them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tollbook_errors import ContractError, IntegrityError
from warehouse.schema import LAKE_TABLES, LOAD, Table
from warehouse.update.scopes import in_days

REBUILD = "run: tollbook rebuild"
ROWS_AT_ONCE = 250_000  # looked at, or put together as calls, at a time; more would need more memory
KEPT_AT_ONCE = 8  # times as many are written at a time; fewer would leave more of the file's blocks part empty

_Thing = TypeVar("_Thing", date, str)


@dataclass(frozen=True)
class Partition:
    """The core files of one stream, connection and business day (``day`` None: a list that is replaced whole).

    ``tables`` are all tables that the stream writes, by full name; one without a file in ``files`` has no rows.
    ``digest`` changes when the contents do.
    """

    stream: str
    connection: str
    vendor: str
    day: date | None
    files: Mapping[str, Path]
    tables: tuple[str, ...]
    digest: str


def changed_partitions(db: duckdb.DuckDBPyConnection, partitions: Sequence[Partition]) -> list[Partition]:
    """The partitions whose contents are not those that were last applied."""
    applied = {
        (stream, connection, day): (digest, tables)
        for stream, connection, day, digest, tables in db.execute(
            "SELECT stream, connection, day, digest, tables FROM meta.partition"
        ).fetchall()
    }
    asked = {(p.stream, p.connection, p.day): p for p in partitions}
    if len(asked) != len(partitions):
        raise IntegrityError("the same partition was given twice in one update", hint="load its days again")
    return [p for key, p in asked.items() if applied.get(key) != (p.digest, ",".join(p.tables))]


def dropped_partitions(db: duckdb.DuckDBPyConnection, kept_from: date) -> list[Partition]:
    """The days that are no longer kept, each as a partition that has become empty."""
    return [
        Partition(stream, connection, vendor, day, {}, tuple(tables.split(",")), "")
        for stream, connection, vendor, day, tables in db.execute(
            "SELECT stream, connection, vendor, day, tables FROM meta.partition WHERE day < ? ORDER BY ALL",
            [kept_from],
        ).fetchall()
    ]


def replace_rows(db: duckdb.DuckDBPyConnection, partitions: Sequence[Partition], kept_from: date) -> None:
    for table_ in LAKE_TABLES:
        owners = [p for p in partitions if table_.full_name in p.tables]
        if owners:
            _delete(db, table_, owners)
            files = sorted(
                (
                    (p.day or date.min, p.connection, p.stream, p.files[table_.full_name], p)
                    for p in owners
                    if table_.full_name in p.files
                ),
                key=lambda entry: entry[:3],
            )
            if files:
                _insert(db, table_, {str(path): p for *_, path, p in files})
    applied = pa.table(
        {
            "stream": pa.array([p.stream for p in partitions], pa.string()),
            "connection": pa.array([p.connection for p in partitions], pa.string()),
            "vendor": pa.array([p.vendor for p in partitions], pa.string()),
            "day": pa.array([p.day for p in partitions], pa.date32()),
            "tables": pa.array([",".join(p.tables) for p in partitions], pa.string()),
            "rows": pa.array([_core_rows(p) for p in partitions], pa.int64()),
            "digest": pa.array([p.digest for p in partitions], pa.string()),
        }
    )
    db.register("applied", applied)
    db.execute(
        "DELETE FROM meta.partition AS p USING applied AS a "
        "WHERE p.stream = a.stream AND p.connection = a.connection AND p.day IS NOT DISTINCT FROM a.day"
    )
    db.execute("INSERT INTO meta.partition BY NAME SELECT * FROM applied")
    db.unregister("applied")
    db.execute("DELETE FROM meta.partition WHERE day < ?", [kept_from])


def _delete(db: duckdb.DuckDBPyConnection, table_: Table, owners: Sequence[Partition]) -> None:
    """Delete what the partitions wrote before; a table of several streams tells them by its column ``stream``."""
    groups: dict[tuple[str, str, bool], set[date]] = {}
    for p in owners:
        whole = p.day is None or table_.date_column is None
        days = groups.setdefault((p.connection, p.stream, whole), set())
        if p.day is not None:
            days.add(p.day)
    for (connection, stream, whole), days in groups.items():
        where, values = "connection = ?", [connection]
        if "stream" in table_.column_names:
            where, values = f"{where} AND stream = ?", [connection, stream]
        if not whole:
            where = f"{where} AND {in_days(table_.date_column or '', days)}"
        db.execute(f"DELETE FROM {table_.full_name} WHERE {where}", values)


def _insert(db: duckdb.DuckDBPyConnection, table_: Table, files: Mapping[str, Partition]) -> None:
    expected = table_.arrow()
    sizes = []
    for path, p in files.items():
        metadata = pq.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
        if schema.names != expected.names or schema.types != expected.types:
            raise ContractError(
                f"a file of {table_.full_name} has other columns than this version knows",
                connection=p.connection,
                endpoint=p.stream,
                window=str(p.day or ""),
                hint=REBUILD,
            )
        sizes.append((path, metadata.num_rows))
    names = ", ".join(f'"{name}"' for name in table_.column_names)
    batches = [paths for paths, _ in batches_of(sizes)]
    for paths in batches:
        _check_owners(db, table_, {path: files[path] for path in paths})
    for first in range(0, len(batches), KEPT_AT_ONCE):
        db.execute(
            f"INSERT INTO {table_.full_name} ({names}) SELECT {names} FROM read_parquet(?, hive_partitioning = false)",
            [[path for paths in batches[first : first + KEPT_AT_ONCE] for path in paths]],
        )


def _check_owners(db: duckdb.DuckDBPyConnection, table_: Table, files: Mapping[str, Partition]) -> None:
    """A row that is not of its partition would stay behind when that is replaced; a key twice counts twice."""
    has_stream = "stream" in table_.column_names
    day_column = table_.date_column
    rows = "FROM read_parquet($files, filename = true, hive_partitioning = false)"
    found = db.execute(
        f"SELECT DISTINCT filename, connection, {'stream' if has_stream else 'NULL'}, {day_column or 'NULL'} {rows}",
        {"files": list(files)},
    ).fetchall()
    for path, connection, stream, day in found:
        p = files[path]
        strange = (
            connection != p.connection
            or (has_stream and stream != p.stream)
            or (day_column is not None and p.day is not None and day != p.day)
        )
        if strange:
            raise _not_whole(p, f"a file of {table_.full_name} holds rows of another connection, stream or day")
    if table_.schema != "core":
        return
    # Days and connections have no key in common, so it is enough to look within each file; at the keys themselves
    # only where their hashes are equal.
    key = ", ".join(f'"{name}"' for name in table_.key)
    duplicates = f"SELECT hash(filename, {key}) AS h {rows} GROUP BY h HAVING count(*) > 1"
    twice = db.execute(
        f"SELECT filename {rows} WHERE hash(filename, {key}) IN ({duplicates}) "
        f"GROUP BY filename, {key} HAVING count(*) > 1 LIMIT 1",
        {"files": list(files)},
    ).fetchone()
    if twice:
        raise _not_whole(files[twice[0]], f"a file of {table_.full_name} holds two rows of one key")


def find_new_loads(db: duckdb.DuckDBPyConnection, loads: pa.Table | Sequence[Mapping[str, Any]]) -> int:
    """Put the rows into ``new_load``; the number of those that are not in ``audit.load`` as they are."""
    names = LOAD.column_names
    rows = loads if isinstance(loads, pa.Table) else pa.Table.from_pylist([dict(row) for row in loads], LOAD.arrow())
    db.register("given_load", rows.select(list(names)).cast(LOAD.arrow()))
    db.execute(
        "CREATE TEMP TABLE new_load AS SELECT DISTINCT * REPLACE (coalesce(sequence, 0) AS sequence) "
        "FROM given_load EXCEPT SELECT * FROM audit.load"
    )
    db.unregister("given_load")
    row = db.execute("SELECT count(*) FROM new_load").fetchone()
    return int(row[0]) if row else 0


def replace_loads(db: duckdb.DuckDBPyConnection) -> None:
    same = " AND ".join(f"l.{name} IS NOT DISTINCT FROM n.{name}" for name in LOAD.key)
    db.execute(f"DELETE FROM audit.load AS l USING new_load AS n WHERE {same}")
    db.execute("INSERT INTO audit.load SELECT * FROM new_load")


def _core_rows(p: Partition) -> int | None:
    """Records of a day's partition; None for a list, whose rows are of no day."""
    if p.day is None:
        return None
    return sum(int(pq.read_metadata(path).num_rows) for name, path in p.files.items() if name.startswith("core."))


def _not_whole(p: Partition, what: str) -> IntegrityError:
    return IntegrityError(
        what, connection=p.connection, endpoint=p.stream, window=str(p.day or ""), hint="load its days again"
    )


def batches_of(sizes: Iterable[tuple[_Thing, int]]) -> Iterator[tuple[list[_Thing], int]]:
    """The things in order, as many together as have ``ROWS_AT_ONCE`` rows, or a single one; and how many rows."""
    batch: list[_Thing] = []
    rows = 0
    for thing, more in sizes:
        if batch and rows + more > ROWS_AT_ONCE:
            yield batch, rows
            batch, rows = [], 0
        batch.append(thing)
        rows += more
    if batch:
        yield batch, rows
