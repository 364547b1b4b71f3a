"""The lake: what the vendors said, verbatim, and the typed Parquet made of it.

What lives here: landing responses (``raw``), the one gate through which every core Parquet file is written, the
manifests that make either complete, checksums, and the marks that tell the database what has changed. What does not:
reading responses (``assets``), comparing readings (``restate``), the database (``database``).

Layout under the data directory::

    raw/<connection>/<stream>/<window>/<generation>.parquet   responses: page, kind, account_id, request, fetched_at, …
                                       <generation>.1.parquet the same once a number was erased from them
    raw/<connection>/<stream>/<window>/<generation>.json      its manifest; the landing exists once this does
    core/<table>/<connection>/<day or all>.parquet            typed rows of one kind of fact
    state/core/<stream>/<connection>/<day or all>.json        which files make the partition, from which landings
    state/pending/                                            partitions that the database has not seen yet
    state/loads/<load>/                                       what each load did
    state/scratch/                                            readings on their way into core
    state/ahead/                                              what is parsed while it is landed
    state/lock, state/asking/<connection>                     locks: who writes, who asks a vendor
    state/connections/, login_key.json, unfinished.json   see ``identity``
    state/kept_from.json                                      the first business day kept, once some were dropped

A window is a business day, two days joined by ``_`` for a stretch of days, or ``all`` for a list. A generation is the
UTC time of the reading, so that names sort by time. Everything is written aside, synced and renamed.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from tollbook_errors import ConfigError, ContractError, IntegrityError, StorageError
from warehouse.locks import hold
from warehouse.schema import Table, table

# Arrow's own allocator keeps what it once had: after a large day 100 MiB that DuckDB could take.
pa.set_memory_pool(pa.system_memory_pool())

FILE_MODE = 0o600
FOLDER_MODE = 0o700
ALL = "all"
RAW_SCHEMA = pa.schema(
    [
        ("page", pa.int32()),
        ("kind", pa.string()),
        ("account_id", pa.string()),
        ("request", pa.string()),
        ("fetched_at", pa.timestamp("us", tz="UTC")),
        ("first_row", pa.int64()),
        ("rows", pa.int64()),
        ("body", pa.string()),
    ]
)
ROW_GROUP = 32_768
# Columns of which nearly every row has its own value: a dictionary would hold them all.
_ALL_DIFFERENT = frozenset({"cdr_id", "sms_id", "native_id", "linked_id", "started_at", "sent_at", "raw_row"})
_WRITTEN_AT_ONCE = 1024 * 1024  # bytes of Parquet; at most so many are held back
_BATCH_BYTES = (
    2 * 1024 * 1024
)  # of responses in a row group, which is what is in memory when they are written and parsed
PARSED_BYTES = 2 * _BATCH_BYTES  # of responses that are parsed at once: asking takes 30 ms, however few they are
_THIS_PROCESS = uuid4().hex  # a number of a process comes again
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,126}")
_WINDOW = re.compile(r"all|[0-9]{4}-[0-9]{2}-[0-9]{2}(_[0-9]{4}-[0-9]{2}-[0-9]{2})?")


def utc_now() -> datetime:
    """The computer's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Landing:
    """One complete landing of a window: a generation of what the vendor said.

    ``file`` is relative to the data directory; a reading that said the same as the one before keeps no file of its own
    and names the earlier one. ``depends_on`` maps a stream (or one of its days, ``stream day``) to the generation that
    its rows are read with.
    """

    connection: str
    vendor: str
    stream: str
    window_from: date | None
    window_to: date | None
    generation: str
    file: str
    sha256: str
    bytes: int
    rows: int
    pages: int
    requests: int
    content: str
    started_at: datetime
    fetched_at: datetime
    unchanged: bool = False
    depends_on: dict[str, str] = field(default_factory=dict)

    @property
    def content_generation(self) -> str:
        """The generation whose file holds what this landing says: its own, or an earlier one that said the same."""
        return Path(self.file).name.partition(".")[0]


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
    """A file of core rows that is complete but lies aside: ``rows`` of them, more than none, in core's form."""

    path: Path
    rows: int


class Lake:
    """The lake under ``data_dir``. Methods raise StorageError where the disk fails, IntegrityError on a checksum.

    ``now`` is the clock (UTC) by which landings are named. ``spill`` is where parsing responses may put what does not
    fit into memory, while ``writing`` is held; ``scratch_folder`` is there while ``scratch`` is open.
    """

    def __init__(self, data_dir: Path, now: Callable[[], datetime] = utc_now) -> None:
        self.data_dir = data_dir
        self.now = now
        self.spill = data_dir / "state" / "spill"
        self.scratch_folder = data_dir / "state" / "scratch"

    def record_timezone(self, timezone: str) -> None:
        """Refuse (ConfigError) another zone of business days than the landings were cut by; the first one is kept.

        Parsed again by other days, the records between the old edges and the new ones would be lost. What
        else is held is in ``identity``.
        """
        path = self.data_dir / "state" / "timezone.json"
        with disk_errors(path):
            if not path.exists():
                write_json(path, {"timezone": timezone})
        self.check_timezone(timezone)

    def check_timezone(self, timezone: str) -> None:
        """Refuse (ConfigError) another zone, as ``record_timezone`` does, and write nothing."""
        path = self.data_dir / "state" / "timezone.json"
        with disk_errors(path):
            known = read_json(path)["timezone"] if path.exists() else timezone
        if known != timezone:
            raise ConfigError(
                f"tollbook.timezone is {timezone}, but what was landed is cut into the days of {known}",
                hint="set it back, or load into a new data_dir",
            )

    def check_writable(self) -> None:
        """StorageError, before anything is begun, where nothing could be written: a wrong owner, a read-only disk."""
        folder = self.data_dir / "state"
        with disk_errors(folder):
            make_folder(folder)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise StorageError(
                    f"{folder} cannot be written",
                    hint="check whose folder it is, and that the disk is not mounted read-only",
                )

    # --- retention ---------------------------------------------------------------------------------------------

    def kept_from(self) -> date:
        """The first business day that is kept; ``date.min`` as long as none was dropped.

        What is left of earlier ones counts nowhere: not in a load, a rebuild or the database.
        """
        path = self.data_dir / "state" / "kept_from.json"
        with disk_errors(path):
            return date.fromisoformat(read_json(path)["day"]) if path.exists() else date.min

    def keep_from(self, day: date | None) -> date:
        """Keep business days from ``day`` on (None: as before), for good: from when on days are kept now.

        ``drop`` then removes the files of those before. The caller holds ``writing``.
        """
        known = self.kept_from()
        if day is None or day <= known:
            return known
        path = self.data_dir / "state" / "kept_from.json"
        with disk_errors(path):
            write_json(path, {"day": day.isoformat()})
        return day

    def refuse_dropped(self, day: date) -> None:
        """ConfigError for a business day before those that are kept."""
        kept = self.kept_from()
        if day < kept:
            raise ConfigError(
                f"business days before {kept} were dropped, as tollbook.retention_days says",
                hint="docs/operations.md says how to load them again",
            )

    def drop(self) -> None:
        """Remove the files of the days that are not kept: raw, core, what core was made from, and their marks.

        A landing of several days goes with the last of them. Can be repeated. The caller holds ``writing``.
        """
        kept = self.kept_from()
        if kept == date.min:
            return
        raw = self.data_dir / "raw"
        with disk_errors(raw):
            for connection in _names(raw):
                for stream in _names(raw / connection):
                    for name in _windows(raw / connection / stream):
                        if (_parse_window(name)[1] or kept) < kept:
                            shutil.rmtree(raw / connection / stream / name)
            for root in (self.data_dir / "core", self.data_dir / "state" / "core", self.data_dir / "state" / "pending"):
                for folder, _, files in os.walk(root):
                    for name in files:
                        window = name.rpartition("@")[2].partition(".")[0]
                        if _WINDOW.fullmatch(window) and (_parse_window(window)[1] or kept) < kept:
                            (Path(folder) / name).unlink()

    # --- raw ---------------------------------------------------------------------------------------------------

    @contextmanager
    def landing(
        self,
        connection: str,
        vendor: str,
        stream: str,
        window_from: date | None,
        window_to: date | None,
        depends_on: Mapping[str, str] | None = None,
        *,
        after: str = "",
    ) -> Iterator["RawWriter"]:
        """Collect the responses of one window; nothing is left behind unless ``commit`` was called.

        Its generation is later than ``after``. ConfigError for a window with days that were dropped.
        """
        if window_from is not None:
            self.refuse_dropped(window_from)
        folder = self.data_dir / "raw" / _safe(connection) / _safe(stream) / _window(window_from, window_to)
        with disk_errors(folder):
            make_folder(folder)
            writer = RawWriter(
                self, folder, connection, vendor, stream, window_from, window_to, dict(depends_on or {}), after
            )
        try:
            yield writer
        finally:
            writer.discard()

    def landings(self, connection: str, stream: str, day: date | None, after: str = "") -> list[Landing]:
        """The complete landings that hold ``day`` (None: a list), oldest first, later than generation ``after``."""
        root = self.data_dir / "raw" / _safe(connection) / _safe(stream)
        found = []
        with disk_errors(root):
            for name in _windows(root):
                first, last = _parse_window(name)
                if day is None and name != ALL or day is not None and not (first and last and first <= day <= last):
                    continue
                for manifest in _manifests(root / name):
                    if manifest[:-5] > after:
                        found.append(self._read_manifest(root / name / manifest))
        return sorted(found, key=lambda landing: landing.generation)

    def last_landing(
        self, connection: str, stream: str, window_from: date | None, window_to: date | None
    ) -> Landing | None:
        """The newest landing of exactly this window."""
        folder = self.data_dir / "raw" / _safe(connection) / _safe(stream) / _window(window_from, window_to)
        with disk_errors(folder):
            names = _manifests(folder)
            return self._read_manifest(folder / names[-1]) if names else None

    def next_generation(self, connection: str) -> str:
        """A generation later than those of all landings of a connection."""
        root = self.data_dir / "raw" / _safe(connection)
        with disk_errors(root):
            folders = (root / stream / window for stream in _names(root) for window in _windows(root / stream))
            newest = (name[:-5] for folder in folders for name in _manifests(folder)[-1:])
            return _generation(self.now(), max(newest, default=""))

    def newest_day(self, connection: str) -> date | None:
        """The newest business day that every day-wise stream of a connection has a landing of; None if one has none."""
        root = self.data_dir / "raw" / _safe(connection)
        newest = []
        with disk_errors(root):
            for stream in _names(root):
                days = [(_parse_window(name)[1], name) for name in _windows(root / stream) if name != ALL]
                # A window that was asked for in vain has a folder too, but no manifest.
                landed = (day for day, name in sorted(days, reverse=True) if _manifests(root / stream / name))
                if days:
                    newest.append(next(landed, None))
        return None if None in newest else min((day for day in newest if day is not None), default=None)

    def newest_list(self, connection: str, stream: str) -> Landing:
        """The newest landing of a list that must have been loaded before; ContractError when it never was."""
        landing = self.last_landing(connection, stream, None, None)
        if landing is None:
            raise ContractError("its lists were never loaded", connection=connection, hint="load the connection whole")
        return landing

    def landing_at(self, connection: str, stream: str, generation: str, day: date | None = None) -> Landing:
        """The landing of one generation of a day (None: of a list); IntegrityError when it is not there."""
        folder = self.data_dir / "raw" / _safe(connection) / _safe(stream) / _window(day, day)
        path = folder / f"{_safe(generation)}.json"
        with disk_errors(path):
            if not path.exists():
                raise IntegrityError(f"{path.relative_to(self.data_dir)} is missing", hint="restore it from a backup")
            return self._read_manifest(path)

    def connections(self) -> list[str]:
        """The names of all connections of which something is landed."""
        root = self.data_dir / "raw"
        with disk_errors(root):
            return [name for name in _names(root) if self.has_landed(name)]

    def has_landed(self, connection: str) -> bool:
        """Whether anything of a connection is landed."""
        return self._any_manifest(connection) is not None

    def landed_vendor(self, connection: str) -> str | None:
        """Whose responses are landed under a connection's name; None: no one's."""
        path = self._any_manifest(connection)
        return self._read_manifest(path).vendor if path else None

    def _any_manifest(self, connection: str) -> Path | None:
        root = self.data_dir / "raw" / _safe(connection)
        with disk_errors(root):
            if connection not in _names(root.parent):  # where case makes no difference it may be another's
                return None
            for stream in _names(root):
                for window in _windows(root / stream):
                    for name in _manifests(root / stream / window):
                        return root / stream / window / name
        return None

    def windows(self) -> list[tuple[str, str, date | None, date | None]]:
        """Every (connection, stream, from, to) that has a landing and is kept. It reads the whole tree."""
        root, kept = self.data_dir / "raw", self.kept_from()
        found = []
        with disk_errors(root):
            for connection in _names(root):
                for stream in _names(root / connection):
                    for name in _windows(root / connection / stream):
                        first, last = _parse_window(name)
                        if (last or kept) >= kept and _manifests(root / connection / stream / name):
                            found.append((connection, stream, first, last))
        return found

    def verified(self, landing: Landing) -> Path:
        """The landing's file, once its checksum holds."""
        return self._verify(landing.file, landing.sha256)

    def _verify(self, relative: str, sha256: str) -> Path:
        path = self.data_dir / relative
        with disk_errors(path):
            if not path.exists():
                raise IntegrityError(f"{relative} is missing", hint="restore it from a backup, or load its days again")
            if file_sha256(path) != sha256:
                raise IntegrityError(
                    f"{relative} is not what was written: its checksum differs",
                    hint="restore it from a backup, or load its days again",
                )
        return path

    def _read_manifest(self, path: Path) -> Landing:
        recorded = read_json(path)
        try:
            # A connection's folder may have been renamed since: where the manifest lies, its file lies too.
            folder = path.parent.relative_to(self.data_dir)
            return Landing(
                **{
                    **recorded,
                    "connection": folder.parts[1],
                    "file": str(folder / Path(recorded["file"]).name),
                    "window_from": _day(recorded["window_from"]),
                    "window_to": _day(recorded["window_to"]),
                    "started_at": datetime.fromisoformat(recorded["started_at"]),
                    "fetched_at": datetime.fromisoformat(recorded["fetched_at"]),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"the manifest {path.relative_to(self.data_dir)} cannot be read") from error

    def responses(self, landing: Landing) -> list[dict[str, Any]]:
        """The responses of a landing, once its checksum holds; for landings of lists, which are small."""
        responses: list[dict[str, Any]] = pq.read_table(self.verified(landing)).to_pylist()
        return responses

    def response_batches(self, landing: Landing) -> Iterator[pa.Table]:
        """The responses of a landing some megabytes at a time, in the order they were landed. Its checksum holds."""
        path = self.verified(landing)
        with disk_errors(path), pq.ParquetFile(path) as file:
            waiting: list[pa.Table] = []
            for number in range(file.num_row_groups):
                waiting.append(file.read_row_group(number))
                if number == file.num_row_groups - 1 or sum(each.nbytes for each in waiting) >= PARSED_BYTES:
                    yield pa.concat_tables(waiting)
                    waiting = []

    def rewrite_responses(
        self, window: tuple[str, str, date | None, date | None], change: Callable[[str], str]
    ) -> tuple[int, int]:
        """Change the responses landed of a window (see ``windows``): how many files and how many responses were
        changed.

        For what must not be kept; ``change`` has a body and returns it as it is to stay. A changed file is written
        under another name, its manifests are led there, then the earlier file goes: every landing is whole at each
        moment, and what a crash left half-done the same call completes. The caller holds ``writing``.
        """
        connection, stream, first, last = window
        folder = self.data_dir / "raw" / _safe(connection) / _safe(stream) / _window(first, last)
        files = responses = 0
        with disk_errors(folder):
            _remove_stale(folder, "")
            landings = [(folder / name, self._read_manifest(folder / name)) for name in _manifests(folder)]
            for file in dict.fromkeys(landing.file for _, landing in landings):
                sharing = [(path, landing) for path, landing in landings if landing.file == file]
                old = self.verified(sharing[0][1])
                generation, _, version = old.stem.partition(".")
                new = old.with_name(f"{generation}.{int(version or 0) + 1}.parquet")
                changed, content, size = _rewrite(old, new, change)
                if changed:
                    recorded = {
                        "file": str(new.relative_to(self.data_dir)),
                        "sha256": file_sha256(new),
                        "content": content,
                        "bytes": size,
                    }
                    for path, landing in sharing:
                        write_json(
                            path, {key: _plain(value) for key, value in {**landing.__dict__, **recorded}.items()}
                        )
                    files, responses = files + 1, responses + changed
            named = {Path(self._read_manifest(path).file).name for path, _ in landings}
            for name in _names(folder):
                # A file without a manifest may be a landing that is just being committed: of another generation.
                ours = any(name.partition(".")[0] == kept.partition(".")[0] for kept in named)
                if ours and name not in named and name.endswith(".parquet"):
                    (folder / name).unlink()
        return files, responses

    def requests_of(self, landing: Landing, kind: str) -> list[tuple[str | None, dict[str, str], int]]:
        """Account, request and number of records of a landing's responses of a kind. Its checksum is not checked."""
        path = self.data_dir / landing.file
        with disk_errors(path):
            rows = pq.read_table(path, columns=["kind", "account_id", "request", "rows"]).to_pylist()
        return [(row["account_id"], json.loads(row["request"]), row["rows"]) for row in rows if row["kind"] == kind]

    # --- core --------------------------------------------------------------------------------------------------

    def core_file(self, table_: Table, connection: str, day: date | None, stream: str) -> Path:
        """Where a partition's rows of a table rest. Audit tables are filled by several streams, so these say which."""
        name = _window(day, day)
        if table_.schema == "audit":
            return self.data_dir / "core" / table_.name / _safe(connection) / _safe(stream) / f"{name}.parquet"
        return self.data_dir / "core" / table_.name / _safe(connection) / f"{name}.parquet"

    def core_partition(self, stream: str, connection: str, day: date | None) -> CorePartition | None:
        """What stands in core; None where nothing does, or where it is damaged or half-written (it is made again)."""
        path = self._state(stream, connection, day)
        with disk_errors(path):
            if not path.exists():
                return None
            try:
                recorded = read_json(path)
                lists = {name: tuple(recorded[name]) for name in ("tables", "warnings")}
                partition = CorePartition(**{**recorded, **lists, "day": _day(recorded["day"])})
            except (IntegrityError, KeyError, TypeError, ValueError):
                return None
            for name, relative in partition.files.items():
                file = self.data_dir / relative
                if not file.exists() or file_sha256(file) != partition.sha256[name]:
                    return None
        return partition

    def core_files(self, partition: CorePartition) -> dict[str, Path]:
        """The partition's files by table, once their checksums hold."""
        return {name: self._verify(relative, partition.sha256[name]) for name, relative in partition.files.items()}

    def commit_core(
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
                path = self.core_file(table_, connection, day, stream)
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

    def core_partitions(self) -> list[CorePartition]:
        """Every partition in core that is kept. For a rebuild: it reads the whole tree.

        One that a crash left half-written is left out, for it is still marked as pending; IntegrityError for any other
        that is not what was written.
        """
        found = []
        root, kept = self.data_dir / "state" / "core", self.kept_from()
        for stream in _names(root):
            for connection in _names(root / stream):
                for name in _manifests(root / stream / connection):
                    day = _parse_window(name[:-5])[0]
                    if (day or kept) < kept:
                        continue
                    partition = self.core_partition(stream, connection, day)
                    if partition is not None:
                        found.append(partition)
                    elif not self._pending(stream, connection, day).exists():
                        raise IntegrityError(
                            f"core is damaged: {stream}, {name[:-5]}",
                            connection=connection,
                            hint="run: tollbook rebuild",
                        )
        return found

    def core_connections(self) -> set[str]:
        """The connections that have something in core."""
        root = self.data_dir / "state" / "core"
        with disk_errors(root):
            return {name for stream in _names(root) for name in _names(root / stream)}

    def clear_core(self, connections: Iterable[str]) -> None:
        """Forget all of core that belongs to these connections, before a rebuild makes it again from raw."""
        for connection in connections:
            for root in (self.data_dir / "core", self.data_dir / "state" / "core"):
                with disk_errors(root):
                    for part in _names(root):
                        for folder, _, files in os.walk(root / part / _safe(connection)):
                            for name in files:
                                (Path(folder) / name).unlink()

    def pending(self) -> list[tuple[str, str, date | None]]:
        """The partitions (stream, connection, day) that were written since the database last took them in."""
        root, kept = self.data_dir / "state" / "pending", self.kept_from()
        names = [name.split("@") for name in _names(root)]
        found = [(name[0], name[1], _parse_window(name[2])[0]) for name in names if len(name) == 3]
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
        name = f"{_safe(stream)}@{_safe(connection)}@{_window(day, day)}"
        return self.data_dir / "state" / "pending" / name

    def _state(self, stream: str, connection: str, day: date | None) -> Path:
        return self.data_dir / "state" / "core" / _safe(stream) / _safe(connection) / f"{_window(day, day)}.json"

    @contextmanager
    def ahead(self) -> Iterator[Path]:
        """A folder of its own for the time of the block, for what is made of responses before they are all there.

        Nothing in it counts. What a process that was killed left there goes when somebody writes the next time.
        """
        folder = self.data_dir / "state" / "ahead" / f"{os.getpid()}-{_THIS_PROCESS}-{uuid4().hex}"
        with disk_errors(folder):
            make_folder(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for the time of the block, for what is on its way into core. The caller holds ``writing``."""
        folder = self.scratch_folder
        with disk_errors(folder):
            shutil.rmtree(folder, ignore_errors=True)  # of a process that is gone
            make_folder(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # --- loads -------------------------------------------------------------------------------------------------

    def record_load(self, row: Mapping[str, Any]) -> None:
        """Keep one row of ``audit.load``, and the word that the database has not seen this load whole."""
        name = "@".join((_safe(row["connection"]), _safe(row["stream"]), _window(row["window_from"], row["window_to"])))
        path = self.data_dir / "state" / "loads" / _safe(row["load_id"]) / f"{name}.json"
        with disk_errors(path), self.writing():
            pending = self.data_dir / "state" / "pending" / f"load@{_safe(row['load_id'])}"
            if not pending.exists():
                write_bytes(pending, b"")
            sequence = self._sequence_of(row["load_id"])
            write_json(path, {**{key: _plain(value) for key, value in row.items()}, "sequence": sequence})

    def _sequence_of(self, load_id: str) -> int:
        """The number of a load: its own where it has a row, else the next, whatever the clock says."""
        root = self.data_dir / "state" / "loads"
        if not _names(root / load_id):
            return 1 + self.last_sequence()
        return self._recorded_sequence(load_id)

    def last_sequence(self) -> int:
        """The number of the load that was begun last; 0: none has one. It looks into the record of every load."""
        root = self.data_dir / "state" / "loads"
        return max((self._recorded_sequence(load) for load in _names(root)), default=0)

    def _recorded_sequence(self, load_id: str) -> int:
        folder = self.data_dir / "state" / "loads" / load_id
        return max((int(read_json(folder / name).get("sequence", 0)) for name in _names(folder)[:1]), default=0)

    def loads(self) -> list[dict[str, Any]]:
        """The rows of ``audit.load`` of every load, in order."""
        return [row for load in self.load_names() for row in self.loads_of(load)]

    def load_names(self) -> list[str]:
        """The loads that have recorded anything, in order."""
        root = self.data_dir / "state" / "loads"
        with disk_errors(root):
            return list(_names(root))

    def rename_in_loads(self, old: str, new: str) -> None:
        """Give a connection's rows of ``audit.load`` its new name. Can be repeated; the caller holds ``writing``."""
        root = self.data_dir / "state" / "loads"
        for path in (root / load / name for load in _names(root) for name in _names(root / load)):
            if path.name.startswith(f"{old}@"):
                write_json(path.with_name(new + path.name.removeprefix(old)), {**read_json(path), "connection": new})
                path.unlink()

    def pending_loads(self) -> list[str]:
        """The loads that have rows which the database has not seen."""
        names = (name.split("@") for name in _names(self.data_dir / "state" / "pending"))
        return [name[1] for name in names if len(name) == 2]

    def clear_pending_loads(self, loads: Iterable[str]) -> None:
        """The database has taken these in. The caller holds ``writing``."""
        pending = self.data_dir / "state" / "pending"
        for load in loads:
            # No later load writes there again and would do it.
            _remove_stale(self.data_dir / "state" / "loads" / _safe(load), "", locked=True)
            with suppress(FileNotFoundError):
                (pending / f"load@{_safe(load)}").unlink()
        _remove_stale(pending, "", locked=True)

    def loads_of(self, load_id: str) -> list[dict[str, Any]]:
        """The rows of ``audit.load`` of one load, by connection, stream and window."""
        folder = self.data_dir / "state" / "loads" / _safe(load_id)
        with disk_errors(folder):
            return [_typed_load(read_json(folder / name)) for name in _names(folder)]

    # --- locking -----------------------------------------------------------------------------------------------

    @contextmanager
    def rebuilding(self) -> Iterator[None]:
        """Hold the data directory for a rebuild, which loads may write beside; waits for another one."""
        path = self.data_dir / "state" / "rebuilding"
        with disk_errors(path):
            make_folder(path.parent)
        with hold(path, f"is rebuilding {self.data_dir}"):
            yield

    @contextmanager
    def writing(self, *, wait_seconds: float | None = None, poll: float = 0.2) -> Iterator[None]:
        """Hold the data directory for writing core and the database. BusyError after ``wait_seconds``, as ``hold``."""
        path = self.data_dir / "state" / "lock"
        with ExitStack() as held:
            with disk_errors(path):
                make_folder(path.parent)
                held.enter_context(hold(path, f"is writing to {self.data_dir}", wait_seconds=wait_seconds, poll=poll))
            shutil.rmtree(self.spill, ignore_errors=True)  # a process that was killed left it: nobody else writes now
            ahead = self.data_dir / "state" / "ahead"
            for name in _names(ahead):
                pid, _, rest = name.partition("-")
                others = pid.isdigit() and int(pid) != os.getpid() and _lives(int(pid))
                if not (others or rest.startswith(_THIS_PROCESS)):
                    shutil.rmtree(ahead / name, ignore_errors=True)
            yield

    @contextmanager
    def asking(self, connection: str, who: str) -> Iterator[None]:
        """Be the only one that asks a connection's vendor, as ``who``. BusyError after ten minutes of waiting."""
        path = self.data_dir / "state" / "asking" / _safe(connection)
        with ExitStack() as held:
            with disk_errors(path):
                make_folder(path.parent)
                held.enter_context(hold(path, f"is loading {connection}", who=who))
            yield


class Watcher(Protocol):
    """Who is told of responses while they are landed."""

    def add(self, responses: pa.Table) -> None:
        """These have come."""

    def restart(self) -> None:
        """None of those so far count."""


class RawWriter:
    """Writes one landing aside, response by response; ``commit`` makes it count."""

    def __init__(
        self,
        lake: Lake,
        folder: Path,
        connection: str,
        vendor: str,
        stream: str,
        window_from: date | None,
        window_to: date | None,
        depends_on: dict[str, str],
        after: str,
    ) -> None:
        self._lake, self._folder = lake, folder
        self._connection, self._vendor, self._stream = connection, vendor, stream
        self._window_from, self._window_to = window_from, window_to
        self._depends_on = depends_on
        self.started_at = lake.now()
        names = [name[:-5] for name in _manifests(folder)]
        self._previous = lake._read_manifest(folder / f"{names[-1]}.json") if names else None
        # Days are merged in the order of generations, whatever the windows in which they were read.
        others = (f for f in _windows(folder.parent) if _share_days(f, folder.name))
        known = [name[:-5] for other in others for name in _manifests(folder.parent / other)[-1:]]
        self.generation = _generation(self.started_at, max([*known, after]))
        _remove_stale(folder, "")
        self._staged = folder / f".{self.generation}.{os.getpid()}.tmp"
        self._writer: _StagedParquet | None = None
        self._watchers: list[Watcher] = []
        self.restart()

    @property
    def first(self) -> bool:
        """Whether this is the first landing of its window."""
        return self._previous is None

    @property
    def file(self) -> str:
        """What ``Landing.file`` will be, unless it says the same as the landing before."""
        return str((self._folder / f"{self.generation}.parquet").relative_to(self._lake.data_dir))

    @property
    def depends_on(self) -> Mapping[str, str]:
        """What ``Landing.depends_on`` will be, as far as it is known."""
        return self._depends_on

    def watch(self, watcher: "Watcher") -> None:
        """Have somebody told of the responses from now on, some megabytes at a time as they reach the disk."""
        self._watchers.append(watcher)

    def restart(self) -> None:
        """Drop what was added so far: the reading begins anew."""
        self.discard()
        for watcher in self._watchers:
            watcher.restart()
        self._batch: list[dict[str, Any]] = []
        self._batch_bytes = 0
        self._sums: list[str] = []
        self.rows = 0
        self.pages = 0
        self.bytes = 0

    def depend_on(self, what: str, generation: str) -> None:
        """Say that what is landed is read with this generation of something else (see ``Landing.depends_on``)."""
        self._depends_on[what] = generation

    def add(
        self,
        *,
        kind: str,
        account_id: str | None,
        request: Mapping[str, str],
        body: str,
        fetched_at: datetime,
        rows: int,
    ) -> None:
        """Land one response."""
        self.pages += 1
        self._batch.append(
            {
                "page": self.pages,
                "kind": kind,
                "account_id": account_id,
                "request": json.dumps(request, sort_keys=True),
                "fetched_at": fetched_at,
                "first_row": self.rows + 1,
                "rows": rows,
                "body": body,
            }
        )
        encoded = body.encode()
        self._sums.append(_response_sum(kind, account_id, encoded))
        self.rows += rows
        self.bytes += len(encoded)
        self._batch_bytes += len(encoded)
        if self._batch_bytes >= _BATCH_BYTES:
            self._flush()

    def commit(self, *, requests: int) -> Landing:
        """Make the landing count; ``requests`` is how many were made for it, retries included.

        One that says the same as the one before keeps no file of its own, only the word that it did. The caller holds
        ``writing``.
        """
        content = _content(self._sums)
        previous = self._previous
        with disk_errors(self._folder):
            _remove_stale_landings(self._folder)
            if previous is not None and self._is_unchanged(previous, content):
                file, sha256, unchanged = previous.file, previous.sha256, True
            else:
                self._flush(last=True)
                path = self._folder / f"{self.generation}.parquet"
                sha256 = file_sha256(self._staged)
                commit_file(self._staged, path)
                file, unchanged = str(path.relative_to(self._lake.data_dir)), False
            landing = Landing(
                self._connection,
                self._vendor,
                self._stream,
                self._window_from,
                self._window_to,
                self.generation,
                file,
                sha256,
                self.bytes,
                self.rows,
                self.pages,
                requests,
                content,
                self.started_at,
                self._lake.now(),
                unchanged,
                self._depends_on,
            )
            write_json(
                self._folder / f"{self.generation}.json",
                {key: _plain(value) for key, value in landing.__dict__.items()},
            )
        return landing

    def _is_unchanged(self, previous: Landing, content: str) -> bool:
        """Whether the earlier landing can stand for this one: same responses, read with the same lists, file intact."""
        path = self._lake.data_dir / previous.file
        return (
            previous.content == content
            and previous.depends_on == self._depends_on
            and path.exists()
            and file_sha256(path) == previous.sha256
        )

    def discard(self) -> None:
        """Leave nothing aside; harmless after ``commit``."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()
            self._writer = None
        with suppress(OSError):
            self._staged.unlink()

    def _flush(self, *, last: bool = False) -> None:
        with disk_errors(self._staged):
            if self._writer is None:
                self._writer = _StagedParquet(self._staged, RAW_SCHEMA, dictionaries=False)
            if self._batch:
                responses = pa.Table.from_pylist(self._batch, schema=RAW_SCHEMA)
                self._writer.write(responses)
                self._batch, self._batch_bytes = [], 0
                for watcher in self._watchers:
                    watcher.add(responses)
            if last:
                self._writer.close()
                self._writer = None


def _response_sum(kind: str, account_id: str | None, body: bytes) -> str:
    return hashlib.sha256(f"{kind}\0{account_id}\0".encode() + body).hexdigest()


def _content(sums: Iterable[str]) -> str:
    """What a landing says, in one digest: of its responses, in whatever order they came."""
    return hashlib.sha256("\n".join(sorted(sums)).encode()).hexdigest()


def _rewrite(old: Path, new: Path, change: Callable[[str], str]) -> tuple[int, str, int]:
    """Write a landed file again with its responses changed, if one is: how many were, their digest and bytes."""
    with pq.ParquetFile(old) as file:
        groups = range(file.num_row_groups)
        bodies = [[change(b) for b in file.read_row_group(n, ["body"])["body"].to_pylist()] for n in groups]
        before = (b for n in groups for b in file.read_row_group(n, ["body"])["body"].to_pylist())
        changed = sum(a != b for a, b in zip((b for group in bodies for b in group), before, strict=True))
        sums, size = [], 0
        if not changed:
            return 0, "", 0
        staged = new.with_name(f".{new.name}.{os.getpid()}.tmp")
        try:
            with closing(_StagedParquet(staged, file.schema_arrow, dictionaries=False)) as writer:
                for n in groups:
                    rows = file.read_row_group(n)
                    column = rows.schema.get_field_index("body")
                    writer.write(rows.set_column(column, rows.field(column), pa.array(bodies[n], pa.string())))
                    for kind, account, body in zip(
                        rows["kind"].to_pylist(), rows["account_id"].to_pylist(), bodies[n], strict=True
                    ):
                        sums.append(_response_sum(kind, account, body.encode()))
                        size += len(body.encode())
            commit_file(staged, new)
        finally:
            with suppress(FileNotFoundError):
                staged.unlink()
    return changed, _content(sums), size


class _StagedParquet:
    """A Parquet file written aside; in large pieces, since Parquet itself writes every page of a column apart.

    ``dictionaries``: the columns that have them.
    """

    def __init__(self, staged: Path, schema: pa.Schema, *, dictionaries: Sequence[str] | bool) -> None:
        os.close(_open_staged(staged))
        self._sink = pa.output_stream(str(staged), buffer_size=_WRITTEN_AT_ONCE)
        # Of texts nobody asks for the least and the greatest, and they take as long as a fifth of the rest.
        statistics = [column.name for column in schema if not pa.types.is_string(column.type)]
        self._parquet = pq.ParquetWriter(
            self._sink, schema, compression="zstd", use_dictionary=dictionaries, write_statistics=statistics
        )

    def write(self, rows: pa.Table) -> None:
        """Add a row group."""
        self._parquet.write_table(rows)

    def close(self) -> None:
        try:
            self._parquet.close()
        finally:
            self._sink.close()


class CoreWriter:
    """The one gate to core: the declared columns, names and types exactly, nothing else; written aside, piece by piece.

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
        self._file = _StagedParquet(staged, self._schema, dictionaries=names)
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
    """Give rows, or a file of them that lies aside, their name in core through the gate; returns how many.

    With no rows, nothing is written. The file is complete under its name, or not there.
    """
    make_folder(path.parent)
    _remove_stale(path.parent, path.name)
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


# --- files -----------------------------------------------------------------------------------------------------------


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's complaints about ``path`` into StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{error.filename or path}: {error.strerror or error}",
            hint="check that the disk has room and that the folder can be written",
        ) from error


def make_folder(path: Path) -> None:
    """Make a folder and its parents, for the owner only, whatever the umask."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        with suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(FOLDER_MODE)


def _open_staged(staged: Path) -> int:
    """Begin a file aside, for the owner only, whatever the umask."""
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    os.fchmod(handle, FILE_MODE)
    return handle


def _remove_stale(folder: Path, name: str, *, locked: bool = False) -> None:
    """Remove what a process that is gone left aside in ``folder`` when it wrote ``name`` (empty: anything).

    Its number may be another process's by now. Where all write under the lock that is held here, none needs asking.
    """
    for entry in folder.glob(f".{name}*.tmp"):
        pid = entry.name.split(".")[-2]
        if locked or not (pid.isdigit() and int(pid) != os.getpid() and _lives(int(pid))):
            with suppress(FileNotFoundError):
                entry.unlink()


def _remove_stale_landings(folder: Path) -> None:
    """Remove landed files without a manifest: of a process that died between the two. The caller holds ``writing``."""
    names = _names(folder)
    generations = {name[:-5] for name in names if name.endswith(".json")}
    for name in names:
        if name.endswith(".parquet") and name.partition(".")[0] not in generations:
            (folder / name).unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def commit_file(staged: Path, path: Path, mode: int = FILE_MODE) -> None:
    """Give a file that was written aside its name, so that it is there whole, also after a power cut."""
    handle = os.open(staged, os.O_RDONLY)
    try:
        os.fchmod(handle, mode)
        os.fsync(handle)
    finally:
        os.close(handle)
    staged.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Have the names in a folder outlast a power cut."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all."""
    make_folder(path.parent)
    _remove_stale(path.parent, path.name)
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(_open_staged(staged), "wb") as file:
            file.write(content)
        commit_file(staged, path)
    finally:
        with suppress(FileNotFoundError):
            staged.unlink()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a manifest whole or not at all, with a checksum of its own."""
    text = json.dumps(content, sort_keys=True, indent=1)
    sealed = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "content": json.loads(text)}
    write_bytes(path, (json.dumps(sealed, sort_keys=True, indent=1) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a manifest; IntegrityError when it is not what was written."""
    try:
        sealed = json.loads(path.read_bytes())
        content: dict[str, Any] = sealed["content"]
        text = json.dumps(content, sort_keys=True, indent=1)
        whole = hashlib.sha256(text.encode()).hexdigest() == sealed["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"the manifest {path.name} cannot be read", hint="load its days again") from error
    if not whole:
        raise IntegrityError(f"the manifest {path.name} is not what was written", hint="load its days again")
    return content


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _names(folder: Path) -> Sequence[str]:
    """The finished names in a folder, sorted; what is being written aside begins with a dot and is left out."""
    try:
        return sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _manifests(folder: Path) -> list[str]:
    """The manifests in a folder, by generation: with their ending, ``-000001`` would sort before what it follows."""
    return sorted((name for name in _names(folder) if name.endswith(".json")), key=lambda name: name[:-5])


def _windows(folder: Path) -> list[str]:
    """The folders of windows; anything else that somebody put there is not ours to read."""
    return [name for name in _names(folder) if _WINDOW.fullmatch(name)]


def _safe(name: str) -> str:
    """A name that may become a path component; anything else is refused, not mended."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise ContractError("a name from outside cannot be used in a path")
    return name


def _window(first: date | None, last: date | None) -> str:
    if first is None or last is None:
        return ALL
    return first.isoformat() if first == last else f"{first.isoformat()}_{last.isoformat()}"


def _share_days(name: str, other: str) -> bool:
    """Whether two windows, by their names, have a day in common, or are both of lists."""
    (first, last), (begin, end) = _parse_window(name), _parse_window(other)
    if first is None or last is None or begin is None or end is None:
        return name == other
    return first <= end and begin <= last


def _parse_window(name: str) -> tuple[date | None, date | None]:
    if name == ALL:
        return None, None
    first, _, last = name.partition("_")
    return _day(first), _day(last or first)


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _generation(moment: datetime, last: str) -> str:
    """A name that sorts after ``last`` even when the clock was set back."""
    name = f"{moment:%Y%m%dT%H%M%S%f}Z"
    if name > last:
        return name
    stamp, _, number = last.partition("-")
    return f"{stamp}-{int(number or 0) + 1:06d}"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (date, datetime)) else value


def _typed_load(row: dict[str, Any]) -> dict[str, Any]:
    types = {column.name: column.type for column in table("audit.load").columns}
    return {
        name: datetime.fromisoformat(row[name])
        if type_ == "TIMESTAMPTZ" and row.get(name)
        else _day(row[name])
        if type_ == "DATE" and row.get(name)
        else row.get(name)
        for name, type_ in types.items()
    }
