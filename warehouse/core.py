"""The typed Parquet made of landings: what rests there, the one gate through which it is written, what is new in it.

What lives here: a partition's files and the state that makes them count, the columns that are let in, the marks that
tell the database what has changed. What does not: what comes into a partition (``merge``).
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tollbook_errors import ContractError, IntegrityError
from warehouse.files import (
    StagedParquet,
    commit_file,
    disk_errors,
    file_sha256,
    make_folder,
    manifests_in,
    names_in,
    read_json,
    remove_stale,
    verified_file,
    write_bytes,
    write_json,
)
from warehouse.layout import (
    parse_day,
    parse_window,
    safe_name,
    window_name,
)
from warehouse.raw import Landing
from warehouse.retention import kept_from
from warehouse.schema import Table

ROW_GROUP = 32_768
# Columns of which nearly every row has its own value: a dictionary would hold them all.
_ALL_DIFFERENT = frozenset({"cdr_id", "sms_id", "native_id", "linked_id", "started_at", "sent_at", "raw_row"})


@dataclass(frozen=True)
class CorePartition:
    """What the lake holds of one stream, connection and day (None: a list), by table.

    ``out_of_window`` and ``warnings`` are what was noticed when the newest landing was read.
    """

    stream: str
    connection: str
    vendor: str
    day: date | None
    files: dict[str, str]
    sha256: dict[str, str]
    rows: dict[str, int]
    tables: tuple[str, ...]
    applied: int
    last_generation: str
    last_file: str
    last_read_at: str
    out_of_window: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Changes exactly when the contents of a file do."""
        return hashlib.sha256(json.dumps(sorted(self.sha256.items())).encode()).hexdigest()


@dataclass(frozen=True)
class StagedFile:
    """A file of core rows that is complete but staged: ``rows`` of them, more than none, in core's form."""

    path: Path
    rows: int


class Core:
    """The partitions under ``data_dir``. StorageError where the disk fails, IntegrityError on a checksum."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def file(self, table_: Table, connection: str, day: date | None, stream: str) -> Path:
        """Where a partition's rows of a table rest. Audit tables are filled by several streams, so these say which."""
        name = window_name(day, day)
        if table_.schema == "audit":
            return self.data_dir / "core" / table_.name / safe_name(connection) / safe_name(stream) / f"{name}.parquet"
        return self.data_dir / "core" / table_.name / safe_name(connection) / f"{name}.parquet"

    def partition(self, stream: str, connection: str, day: date | None) -> CorePartition | None:
        """What stands in core; None where nothing does, or where it is damaged or half-written (it is made again)."""
        path = self._state(stream, connection, day)
        with disk_errors(path):
            if not path.exists():
                return None
            try:
                recorded = read_json(path)
                lists = {name: tuple(recorded[name]) for name in ("tables", "warnings")}
                partition = CorePartition(**{**recorded, **lists, "day": parse_day(recorded["day"])})
            except (IntegrityError, KeyError, TypeError, ValueError):
                return None
            for name, relative in partition.files.items():
                file = self.data_dir / relative
                if not file.exists() or file_sha256(file) != partition.sha256[name]:
                    return None
        return partition

    def files(self, partition: CorePartition) -> dict[str, Path]:
        """The partition's files by table, once their checksums hold."""
        return {
            name: verified_file(self.data_dir, relative, partition.sha256[name])
            for name, relative in partition.files.items()
        }

    def commit(
        self,
        stream: str,
        connection: str,
        vendor: str,
        day: date | None,
        tables: Mapping[Table, pa.Table | pa.RecordBatchReader | StagedFile],
        *,
        applied: int,
        last: Landing,
        out_of_window: int = 0,
        warnings: Sequence[str] = (),
    ) -> CorePartition:
        """Replace one partition whole: its files, then the state that makes them count; files with no rows go.

        ``applied`` landings were merged into it, ``last`` being the newest; ``out_of_window`` and ``warnings`` are what
        was noticed in it. The caller holds ``writing``.
        """
        files: dict[str, str] = {}
        sums: dict[str, str] = {}
        counts: dict[str, int] = {}
        state = self._state(stream, connection, day)
        with disk_errors(state):
            self._mark_pending(stream, connection, day)
            for table_, rows in tables.items():
                path = self.file(table_, connection, day, stream)
                count = write_parquet(table_, rows, path)
                if count:
                    files[table_.full_name] = str(path.relative_to(self.data_dir))
                    sums[table_.full_name] = file_sha256(path)
                    counts[table_.full_name] = count
                else:
                    with suppress(FileNotFoundError):
                        path.unlink()
            partition = CorePartition(
                stream,
                connection,
                vendor,
                day,
                files,
                sums,
                counts,
                tuple(table_.full_name for table_ in tables),
                applied,
                last.generation,
                last.file,
                last.started_at.isoformat(),
                out_of_window,
                tuple(warnings),
            )
            self._write_state(partition)
        return partition

    def mark_unchanged(self, partition: CorePartition, *, applied: int, last: Landing) -> CorePartition:
        """Note that the landings up to ``last``, ``applied`` in all, say no more than what stands in the partition."""
        again = replace(
            partition,
            applied=applied,
            last_generation=last.generation,
            last_file=last.file,
            last_read_at=last.started_at.isoformat(),
        )
        with disk_errors(self._state(again.stream, again.connection, again.day)):
            self._write_state(again)
        return again

    def _write_state(self, partition: CorePartition) -> None:
        day = partition.day.isoformat() if partition.day else None
        path = self._state(partition.stream, partition.connection, partition.day)
        write_json(path, {**partition.__dict__, "day": day})

    def partitions(self) -> list[CorePartition]:
        """Every partition in core that is kept. For a rebuild: it reads the whole tree.

        One that a crash left half-written is left out, for it is still marked as pending; IntegrityError for any other
        that is not what was written.
        """
        found = []
        root, kept = self.data_dir / "state" / "core", kept_from(self.data_dir)
        for stream in names_in(root):
            for connection in names_in(root / stream):
                for name in manifests_in(root / stream / connection):
                    day = parse_window(name[:-5])[0]
                    if (day or kept) < kept:
                        continue
                    partition = self.partition(stream, connection, day)
                    if partition is not None:
                        found.append(partition)
                    elif not self._pending(stream, connection, day).exists():
                        raise IntegrityError(
                            f"core is damaged: {stream}, {name[:-5]}",
                            connection=connection,
                            hint="run: tollbook rebuild",
                        )
        return found

    def connections(self) -> set[str]:
        """The connections that have something in core."""
        root = self.data_dir / "state" / "core"
        with disk_errors(root):
            return {name for stream in names_in(root) for name in names_in(root / stream)}

    def clear(self, connections: Iterable[str]) -> None:
        """Forget all of core that belongs to these connections, before a rebuild makes it again from raw."""
        for connection in connections:
            for root in (self.data_dir / "core", self.data_dir / "state" / "core"):
                with disk_errors(root):
                    for part in names_in(root):
                        for folder, _, files in os.walk(root / part / safe_name(connection)):
                            for name in files:
                                (Path(folder) / name).unlink()

    def pending(self) -> list[tuple[str, str, date | None]]:
        """The partitions (stream, connection, day) that were written since the database last took them in."""
        root, kept = self.data_dir / "state" / "pending", kept_from(self.data_dir)
        names = [name.split("@") for name in names_in(root)]
        found = [(name[0], name[1], parse_window(name[2])[0]) for name in names if len(name) == 3]
        return [(stream, connection, day) for stream, connection, day in found if (day or kept) >= kept]

    def clear_pending(self, partitions: Iterable[tuple[str, str, date | None]]) -> None:
        """The database has taken these in."""
        for stream, connection, day in partitions:
            with suppress(FileNotFoundError):
                self._pending(stream, connection, day).unlink()

    def _mark_pending(self, stream: str, connection: str, day: date | None) -> None:
        path = self._pending(stream, connection, day)
        if not path.exists():
            write_bytes(path, b"")

    def _pending(self, stream: str, connection: str, day: date | None) -> Path:
        name = f"{safe_name(stream)}@{safe_name(connection)}@{window_name(day, day)}"
        return self.data_dir / "state" / "pending" / name

    def _state(self, stream: str, connection: str, day: date | None) -> Path:
        return (
            self.data_dir
            / "state"
            / "core"
            / safe_name(stream)
            / safe_name(connection)
            / f"{window_name(day, day)}.json"
        )


class CoreWriter:
    """The one gate to core: the declared columns, names and types exactly, nothing else; staged, piece by piece.

    The same rows in the same order give the same bytes, whatever pieces they come in. Rows of another shape are refused
    (ContractError). While more are made, a full row group is written by a thread; what goes wrong there is raised by
    the next call.
    """

    def __init__(self, table_: Table, staged: Path) -> None:
        self._table, self._schema = table_, table_.arrow()
        self.rows = 0
        self._waiting: list[pa.RecordBatch] = []
        self._held = 0
        names = [name for name in self._schema.names if name not in _ALL_DIFFERENT]
        self._file = StagedParquet(staged, self._schema, dictionaries=names)
        self._thread = ThreadPoolExecutor(1, "parquet")
        self._writing: Future[None] | None = None

    def write(self, rows: pa.Table | pa.RecordBatch) -> None:
        check_shape(self._table, rows.schema)
        self._waiting += rows.to_batches() if isinstance(rows, pa.Table) else [rows]
        self._held += rows.num_rows
        while self._held >= ROW_GROUP:
            self._committed()
            chunk = pa.Table.from_batches(self._waiting, schema=self._schema)
            # Made one piece here, so that the thread does not hold those that it is made of.
            self._writing = self._thread.submit(self._file.write, chunk.slice(0, ROW_GROUP).combine_chunks())
            self._waiting = chunk.slice(ROW_GROUP).to_batches()
            self._held -= ROW_GROUP
            self.rows += ROW_GROUP

    def close(self) -> int:
        """Write what is left; the number of rows."""
        try:
            self._committed()
            if self._held:
                self._file.write(pa.Table.from_batches(self._waiting, schema=self._schema).combine_chunks())
                self.rows += self._held
        finally:
            self._thread.shutdown()
            self._file.close()
        return self.rows

    def _committed(self) -> None:
        """Wait for the row group before."""
        if self._writing is not None:
            self._writing.result()


def write_parquet(table_: Table, rows: pa.Table | pa.RecordBatchReader | StagedFile, path: Path) -> int:
    """Give rows, or a file of them that is staged, their name in core through the gate; returns how many.

    With no rows, nothing is written. The file is complete under its name, or not there.
    """
    make_folder(path.parent)
    remove_stale(path.parent, path.name)
    if isinstance(rows, StagedFile):
        commit_file(rows.path, path)
        return rows.rows
    check_shape(table_, rows.schema)
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with closing(CoreWriter(table_, staged)) as writer:
            for batch in rows.to_batches() if isinstance(rows, pa.Table) else rows:
                writer.write(batch)
        if writer.rows:
            commit_file(staged, path)
    finally:
        with suppress(FileNotFoundError):
            staged.unlink()
    return writer.rows


def check_shape(table_: Table, schema: pa.Schema) -> None:
    """ContractError for rows that do not have the columns of ``table_``, in their order and of their types."""
    declared = table_.arrow()
    if schema.names != declared.names or schema.types != declared.types:
        raise ContractError(
            f"rows for {table_.full_name} do not have its columns",
            hint=f"expected {declared.names}, got {schema.names}",
        )


def read_core(table_: Table, path: Path) -> pa.Table:
    """The rows of one core file; ContractError when it does not have the declared columns."""
    check_core(table_, path)
    return pq.read_table(path)


def check_core(table_: Table, path: Path) -> None:
    """ContractError when a core file does not have the declared columns."""
    schema = pq.read_schema(path)
    if schema.names != table_.arrow().names or schema.types != table_.arrow().types:
        raise ContractError(
            f"a file of {table_.full_name} has other columns than this version writes", hint="run: tollbook rebuild"
        )
