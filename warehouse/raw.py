"""What the vendors said, verbatim: landings, each complete once its manifest exists.

What lives here: writing a landing response by response, finding and reading landings, taking an erased number out of
them. What does not: reading what the responses mean (``assets``), making core of them (``merge``).
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from tollbook_errors import ContractError, IntegrityError
from warehouse.files import (
    StagedParquet,
    as_json,
    commit_file,
    disk_errors,
    file_sha256,
    make_folder,
    manifests_in,
    names_in,
    read_json,
    remove_stale,
    verified_file,
    write_json,
)
from warehouse.layout import (
    ALL,
    next_generation_name,
    parse_day,
    parse_window,
    safe_name,
    share_days,
    window_name,
    windows_in,
)
from warehouse.retention import kept_from, refuse_dropped

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
_BATCH_BYTES = (
    2 * 1024 * 1024
)  # of responses in a row group, which is what is in memory when they are written and parsed
PARSED_BYTES = 2 * _BATCH_BYTES  # of responses that are parsed at once: asking takes 30 ms, however few they are


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


class Raw:
    """Every landing under ``data_dir``. Methods raise StorageError where the disk fails, IntegrityError on a checksum.

    ``now`` is the clock (UTC) by which landings are named.
    """

    def __init__(self, data_dir: Path, now: Callable[[], datetime]) -> None:
        self.data_dir = data_dir
        self.now = now

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
            refuse_dropped(self.data_dir, window_from)
        folder = self.data_dir / "raw" / safe_name(connection) / safe_name(stream) / window_name(window_from, window_to)
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
        root = self.data_dir / "raw" / safe_name(connection) / safe_name(stream)
        found = []
        with disk_errors(root):
            for name in windows_in(root):
                first, last = parse_window(name)
                if day is None and name != ALL or day is not None and not (first and last and first <= day <= last):
                    continue
                for manifest in manifests_in(root / name):
                    if manifest[:-5] > after:
                        found.append(self.read_manifest(root / name / manifest))
        return sorted(found, key=lambda landing: landing.generation)

    def last_landing(
        self, connection: str, stream: str, window_from: date | None, window_to: date | None
    ) -> Landing | None:
        """The newest landing of exactly this window."""
        folder = self.data_dir / "raw" / safe_name(connection) / safe_name(stream) / window_name(window_from, window_to)
        with disk_errors(folder):
            names = manifests_in(folder)
            return self.read_manifest(folder / names[-1]) if names else None

    def next_generation(self, connection: str) -> str:
        """A generation later than those of all landings of a connection."""
        root = self.data_dir / "raw" / safe_name(connection)
        with disk_errors(root):
            folders = (root / stream / window for stream in names_in(root) for window in windows_in(root / stream))
            newest = (name[:-5] for folder in folders for name in manifests_in(folder)[-1:])
            return next_generation_name(self.now(), max(newest, default=""))

    def newest_day(self, connection: str) -> date | None:
        """The newest business day that every day-wise stream of a connection has a landing of; None if one has none."""
        root = self.data_dir / "raw" / safe_name(connection)
        newest = []
        with disk_errors(root):
            for stream in names_in(root):
                days = [(parse_window(name)[1], name) for name in windows_in(root / stream) if name != ALL]
                # A window that was asked for in vain has a folder too, but no manifest.
                landed = (day for day, name in sorted(days, reverse=True) if manifests_in(root / stream / name))
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
        folder = self.data_dir / "raw" / safe_name(connection) / safe_name(stream) / window_name(day, day)
        path = folder / f"{safe_name(generation)}.json"
        with disk_errors(path):
            if not path.exists():
                raise IntegrityError(f"{path.relative_to(self.data_dir)} is missing", hint="restore it from a backup")
            return self.read_manifest(path)

    def connections(self) -> list[str]:
        """The names of all connections of which something is landed."""
        root = self.data_dir / "raw"
        with disk_errors(root):
            return [name for name in names_in(root) if self.has_landed(name)]

    def has_landed(self, connection: str) -> bool:
        """Whether anything of a connection is landed."""
        return self._any_manifest(connection) is not None

    def landed_vendor(self, connection: str) -> str | None:
        """Whose responses are landed under a connection's name; None: no one's."""
        path = self._any_manifest(connection)
        return self.read_manifest(path).vendor if path else None

    def _any_manifest(self, connection: str) -> Path | None:
        root = self.data_dir / "raw" / safe_name(connection)
        with disk_errors(root):
            if connection not in names_in(root.parent):  # where case makes no difference it may be another's
                return None
            for stream in names_in(root):
                for window in windows_in(root / stream):
                    for name in manifests_in(root / stream / window):
                        return root / stream / window / name
        return None

    def windows(self) -> list[tuple[str, str, date | None, date | None]]:
        """Every (connection, stream, from, to) that has a landing and is kept. It reads the whole tree."""
        root, kept = self.data_dir / "raw", kept_from(self.data_dir)
        found = []
        with disk_errors(root):
            for connection in names_in(root):
                for stream in names_in(root / connection):
                    for name in windows_in(root / connection / stream):
                        first, last = parse_window(name)
                        if (last or kept) >= kept and manifests_in(root / connection / stream / name):
                            found.append((connection, stream, first, last))
        return found

    def verified(self, landing: Landing) -> Path:
        """The landing's file, once its checksum holds."""
        return verified_file(self.data_dir, landing.file, landing.sha256)

    def read_manifest(self, path: Path) -> Landing:
        recorded = read_json(path)
        try:
            # A connection's folder may have been renamed since: where the manifest lies, its file lies too.
            folder = path.parent.relative_to(self.data_dir)
            return Landing(
                **{
                    **recorded,
                    "connection": folder.parts[1],
                    "file": str(folder / Path(recorded["file"]).name),
                    "window_from": parse_day(recorded["window_from"]),
                    "window_to": parse_day(recorded["window_to"]),
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
        folder = self.data_dir / "raw" / safe_name(connection) / safe_name(stream) / window_name(first, last)
        files = responses = 0
        with disk_errors(folder):
            remove_stale(folder, "")
            landings = [(folder / name, self.read_manifest(folder / name)) for name in manifests_in(folder)]
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
                            path, {key: as_json(value) for key, value in {**landing.__dict__, **recorded}.items()}
                        )
                    files, responses = files + 1, responses + changed
            named = {Path(self.read_manifest(path).file).name for path, _ in landings}
            for name in names_in(folder):
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


class Watcher(Protocol):
    """Who is told of responses while they are landed."""

    def add(self, responses: pa.Table) -> None:
        """These have come."""

    def restart(self) -> None:
        """None of those so far count."""


class RawWriter:
    """Stages one landing, response by response; ``commit`` makes it count."""

    def __init__(
        self,
        raw: Raw,
        folder: Path,
        connection: str,
        vendor: str,
        stream: str,
        window_from: date | None,
        window_to: date | None,
        depends_on: dict[str, str],
        after: str,
    ) -> None:
        self._raw, self._folder = raw, folder
        self._connection, self._vendor, self._stream = connection, vendor, stream
        self._window_from, self._window_to = window_from, window_to
        self._depends_on = depends_on
        self.started_at = raw.now()
        names = [name[:-5] for name in manifests_in(folder)]
        self._previous = raw.read_manifest(folder / f"{names[-1]}.json") if names else None
        # Days are merged in the order of generations, whatever the windows in which they were read.
        others = (f for f in windows_in(folder.parent) if share_days(f, folder.name))
        known = [name[:-5] for other in others for name in manifests_in(folder.parent / other)[-1:]]
        self.generation = next_generation_name(self.started_at, max([*known, after]))
        remove_stale(folder, "")
        self._staged = folder / f".{self.generation}.{os.getpid()}.tmp"
        self._writer: StagedParquet | None = None
        self._watchers: list[Watcher] = []
        self.restart()

    @property
    def first(self) -> bool:
        """Whether this is the first landing of its window."""
        return self._previous is None

    @property
    def file(self) -> str:
        """What ``Landing.file`` will be, unless it says the same as the landing before."""
        return str((self._folder / f"{self.generation}.parquet").relative_to(self._raw.data_dir))

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
                file, unchanged = str(path.relative_to(self._raw.data_dir)), False
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
                self._raw.now(),
                unchanged,
                self._depends_on,
            )
            write_json(
                self._folder / f"{self.generation}.json",
                {key: as_json(value) for key, value in landing.__dict__.items()},
            )
        return landing

    def _is_unchanged(self, previous: Landing, content: str) -> bool:
        """Whether the earlier landing can stand for this one: same responses, read with the same lists, file intact."""
        path = self._raw.data_dir / previous.file
        return (
            previous.content == content
            and previous.depends_on == self._depends_on
            and path.exists()
            and file_sha256(path) == previous.sha256
        )

    def discard(self) -> None:
        """Leave nothing staged; harmless after ``commit``."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()
            self._writer = None
        with suppress(OSError):
            self._staged.unlink()

    def _flush(self, *, last: bool = False) -> None:
        with disk_errors(self._staged):
            if self._writer is None:
                self._writer = StagedParquet(self._staged, RAW_SCHEMA, dictionaries=False)
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
            with closing(StagedParquet(staged, file.schema_arrow, dictionaries=False)) as writer:
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


def _remove_stale_landings(folder: Path) -> None:
    """Remove landed files without a manifest: of a process that died between the two. The caller holds ``writing``."""
    names = names_in(folder)
    generations = {name[:-5] for name in names if name.endswith(".json")}
    for name in names:
        if name.endswith(".parquet") and name.partition(".")[0] not in generations:
            (folder / name).unlink()
