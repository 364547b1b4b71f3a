"""The private DuckDB database, and the public one that analysts read.

What lives here: opening them, one update in one transaction, and publishing the result by an atomic replace. What does
not: what an update does (``update``), tables and columns (``schema``), Parquet (``lake``).
"""

import hmac
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tollbook_errors import IntegrityError, StorageError
from warehouse.close import Close, read_closes
from warehouse.duck import connect
from warehouse.files import FILE_MODE, commit_file, disk_errors, make_folder
from warehouse.fraud import FraudRules
from warehouse.pseudonyms import copy_pseudonymised
from warehouse.reference import Reference, read_reference
from warehouse.schema import CALL, CALL_LEG, CDR, COVERAGE, LOAD, TABLES, Table
from warehouse.update import REBUILD, Partition, Policy, Tolerance, UpdateResult, run
from warehouse.update.sql import columns_of, get_state, quoted, set_state, sha

STORAGE_VERSION = "v1.4.0"  # the oldest DuckDB that has to be able to open the public file
PUBLIC_MODE = 0o640
LITTLE_MEMORY, MUCH_MEMORY = 144 * 10**6, 12 * 10**8  # bytes, for DuckDB
MUCH_DATA = 256 * 10**6  # bytes, beyond which each may take one more


class Database:
    """The warehouse under ``data_dir``: ``private/warehouse.duckdb``, and ``tollbook.duckdb`` for everybody else.

    ``timezone`` is the IANA zone of the business days, ``reporting_currency`` an ISO 4217 code, ``reconciles`` maps a
    TIM4biz connection to the PBXware connections it watches (default: all of them), ``tolerances`` to how far it may
    differ from them (default: not at all), ``fraud`` are the limits of ``mart.fraud_signal``, from ``long_call_hours``
    on a leg makes its call a long one, and ``connections`` are the configured ones with their vendors. With
    ``pseudonym_key`` (at least 16 bytes, never written down) there is ``tollbook-pseudonymised.duckdb``, too. The
    caller sees to it that one process writes at a time.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        timezone: str,
        reporting_currency: str,
        reference_dir: Path | None,
        tolerances: Mapping[str, Tolerance] | None = None,
        reconciles: Mapping[str, Sequence[str]] | None = None,
        fraud: FraudRules | None = None,
        long_call_hours: int = 12,
        pseudonym_key: Callable[[], bytes] | None = None,
        connections: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.public = data_dir / "tollbook.duckdb"
        self.pseudonymised = data_dir / "tollbook-pseudonymised.duckdb"
        self.pseudonym_key = pseudonym_key
        self.private = data_dir / "private" / "warehouse.duckdb"
        self.reference_dir = reference_dir
        self.policy = Policy(
            data_dir,
            timezone,
            reporting_currency,
            dict(tolerances or {}),
            {name: tuple(others) for name, others in (reconciles or {}).items()},
            fraud or FraudRules(),
            long_call_hours,
            dict(connections or {}),
        )

    def read_reference(self) -> Reference:
        """Finance's files as they are now. ConfigError for a wrong line, StorageError when one cannot be read."""
        return read_reference(self.reference_dir, self.policy.reporting_currency)

    # --- update ------------------------------------------------------------------------------------------------

    def update(
        self,
        partitions: Sequence[Partition],
        loads: pa.Table | Sequence[Mapping[str, Any]] = (),
        *,
        full: bool = False,
        kept_from: date = date.min,
    ) -> UpdateResult:
        """Take in the partitions that are new or changed, and derive what depends on them, all or nothing.

        Finance's files and the closes of months are looked up each time. ``loads`` are rows of ``audit.load``; a row
        with the key of an earlier one replaces it. ``full`` makes the database anew from the given partitions and loads
        only, beside the old one, and then takes its place. What it has of business days before ``kept_from``, the first
        of a month, goes; closed months keep their figures as closed.

        Raises IntegrityError when a mart does not tie out with its facts, when a file holds rows that are not its own
        or a key twice, when the close of a month is damaged or gone, and when the database cannot be opened;
        ContractError for a file with other columns; ConfigError for finance's files or a changed time zone;
        StorageError for the disk. Nothing is committed then.
        """
        reference = self.read_reference()
        closes = read_closes(self.data_dir)
        staged = self.private.with_name("rebuild.duckdb")
        _remove(staged)  # of a rebuild that was killed
        if not full:
            with self._opened(self.private, partitions) as db:
                return self._update(db, partitions, loads, reference, closes, kept_from)
        try:
            with self._opened(staged, partitions) as db:
                result = self._update(db, partitions, loads, reference, closes, kept_from)
            with disk_errors(self.private):
                # Nothing is lost with the old log: an update that returned has left none.
                _remove_logs(self.private)
                commit_file(staged, self.private)
        finally:
            _remove(staged)
        return result

    def _update(
        self,
        db: duckdb.DuckDBPyConnection,
        partitions: Sequence[Partition],
        loads: pa.Table | Sequence[Mapping[str, Any]],
        reference: Reference,
        closes: Sequence[Close],
        kept_from: date,
    ) -> UpdateResult:
        db.execute("BEGIN")
        try:
            self._make_tables(db)
            result = run.update(db, self.policy, reference, closes, kept_from, partitions, loads)
        except BaseException:
            with suppress(duckdb.Error):
                db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
        # Empties the log, so that one found later is of an update that never returned and will be asked for again.
        db.execute("CHECKPOINT")
        if result.everything:
            _compact(db)
        return result

    def _make_tables(self, db: duckdb.DuckDBPyConnection) -> None:
        """All tables with their comments; IntegrityError when the database was made with other columns."""
        found: dict[str, list[tuple[str, str]]] = {}
        for schema, name, column, type_ in db.execute(
            "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = current_database() AND NOT internal ORDER BY ALL"
        ).fetchall():
            found.setdefault(f"{schema}.{name}", []).append((column, type_))
        if found:
            for table_ in TABLES:
                declared = sorted(
                    (c.name, c.type.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")) for c in table_.columns
                )
                if sorted(found.get(table_.full_name, [])) != declared:
                    raise IntegrityError(f"the database has other columns in {table_.full_name}", hint=REBUILD)
        else:
            db.execute("CREATE SCHEMA meta")
            db.execute("CREATE TABLE meta.state (name VARCHAR, value VARCHAR)")
            db.execute(
                "CREATE TABLE meta.partition "
                "(stream VARCHAR, connection VARCHAR, vendor VARCHAR, day DATE, tables VARCHAR, rows BIGINT, "
                "digest VARCHAR)"
            )
            db.execute("CREATE TABLE meta.duration_unit (connection VARCHAR, call_date DATE, unit DECIMAL(4, 0))")
            for schema in sorted({table_.schema for table_ in TABLES}):
                db.execute(f"CREATE SCHEMA {schema}")
            for table_ in TABLES:
                db.execute(f"CREATE TABLE {table_.full_name} ({columns_of(table_)})")
        comments = "\n".join(_comments())
        if get_state(db, "comments") != sha(comments):
            db.execute(comments)
            set_state(db, "comments", sha(comments))

    # --- publish -----------------------------------------------------------------------------------------------

    def publish(self, *, force: bool = False) -> Path:
        """Put what was last committed in the place of the public database, unless it is there already.

        Readers go on undisturbed: those that have the old file open keep it until they open it anew. Raises
        IntegrityError when there is no private database or it cannot be opened, StorageError for the disk.
        """
        if not self.private.exists():
            raise IntegrityError("there is no warehouse to publish yet", hint="run: tollbook load")
        with self._opened(self.private) as db:
            revision = get_state(db, "revision")
            published = (
                not force and revision is not None and get_state(db, "published") == _identity(self.public, revision)
            )
        if not published:
            self._publish(revision or "")
        self._publish_pseudonymised(revision or "", force=force)
        return self.public

    def _publish(self, revision: str) -> None:
        with self._opened(self.private) as db:
            db.execute("CHECKPOINT")
        staged = self.public.with_name(".tollbook.publishing.duckdb")
        _remove(staged)
        try:
            with disk_errors(staged):
                os.close(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))
                shutil.copyfile(self.private, staged)
            with self._opened(staged) as db:
                db.execute("DROP SCHEMA IF EXISTS meta CASCADE")
                db.execute("CHECKPOINT")
            if _logs(staged):
                raise IntegrityError("the database to publish was not closed whole", hint="publish again")
            with disk_errors(self.public):
                # One left by somebody who opened the public file for writing would make the new file unopenable.
                _remove_logs(self.public)
                commit_file(staged, self.public, PUBLIC_MODE)
        finally:
            _remove(staged)
        with self._opened(self.private) as db:
            set_state(db, "published", _identity(self.public, revision))
            db.execute("CHECKPOINT")

    def _publish_pseudonymised(self, revision: str, *, force: bool) -> None:
        """The same for those who must not see numbers and names; where no key is configured, none is left standing."""
        if self.pseudonym_key is None:
            _remove(self.pseudonymised)
            return
        key = self.pseudonym_key()
        state = f"{revision} {hmac.digest(key, b'tollbook', 'sha256').hex()[:16]}"
        with self._opened(self.private) as db:
            if not force and get_state(db, "pseudonymised") == _identity(self.pseudonymised, state):
                return
        staged = self.pseudonymised.with_name(".tollbook.publishing.duckdb")
        _remove(staged)
        try:
            with self._opened(staged, reads=[self.public]) as db:
                self._make_tables(db)
                db.execute("DROP SCHEMA meta CASCADE")
                db.execute(f"ATTACH {quoted(str(self.public))} AS published (READ_ONLY)")
                copy_pseudonymised(db, "published", TABLES, key)
                db.execute("DETACH published")
                db.execute("CHECKPOINT")
            with disk_errors(self.pseudonymised):
                _remove_logs(self.pseudonymised)
                commit_file(staged, self.pseudonymised, PUBLIC_MODE)
        finally:
            _remove(staged)
        with self._opened(self.private) as db:
            set_state(db, "pseudonymised", _identity(self.pseudonymised, state))
            db.execute("CHECKPOINT")

    def digests(self) -> dict[str, str]:
        """A digest of the contents of every table, whatever the order of its rows.

        Without ``audit.load`` and what ``audit.coverage`` takes from it, which tell of each load and so differ where
        everything else is the same.
        """
        with self._opened(self.private) as db:
            self._make_tables(db)
            return {table_.full_name: _digest(db, table_) for table_ in TABLES if table_ is not LOAD}

    # --- opening -----------------------------------------------------------------------------------------------

    @contextmanager
    def _opened(
        self, path: Path, partitions: Sequence[Partition] = (), *, reads: Sequence[Path] = ()
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to a database of ours for the time of the block; makes it when it is not there.

        Beside the database it can read the folders of the partitions' files, and the file or folder ``reads``.
        """
        with disk_errors(path):
            make_folder(self.private.parent)
            swap = self.private.parent / "tmp"
            shutil.rmtree(swap, ignore_errors=True)
            make_folder(swap)
        try:
            files = [file for p in partitions for file in p.files.values()]
            db = self._connect(path, swap, [*reads, *{file.parent for file in files}], _memory(path, files))
            try:
                path.chmod(FILE_MODE)
                yield db
            finally:
                db.close()
        except duckdb.Error as error:
            raise _typed(error) from error

    def _connect(self, path: Path, swap: Path, reads: Iterable[Path], memory: str) -> duckdb.DuckDBPyConnection:
        def opened() -> duckdb.DuckDBPyConnection:
            return connect(path, reads=reads, memory_limit=memory, spill=swap, storage_version=STORAGE_VERSION)

        new = not path.exists()
        try:
            return opened()
        except duckdb.Error as error:
            if new:  # what is there of it is no database, and nobody's
                _remove(path)
                raise
            if holder := re.search(r"lock.*\(PID (\d+)\)", str(error), re.DOTALL | re.IGNORECASE):
                raise StorageError(
                    f"process {holder[1]} has {path} open", hint="close it; analysts read tollbook.duckdb"
                ) from None
            # A log that does not belong to the file keeps it from opening. It can only be of an update that never
            # returned (see _update), so without it the database is whole, as of the update before.
            try:
                with _logs_aside(path):
                    return opened()
            except duckdb.Error:
                raise IntegrityError(f"{path} cannot be opened", hint=REBUILD) from error


# --- tables ---------------------------------------------------------------------------------------------------------


def _comments() -> Iterator[str]:
    for table_ in TABLES:
        yield f"COMMENT ON TABLE {table_.full_name} IS {quoted(table_.grain)};"
        for column in table_.columns:
            yield f'COMMENT ON COLUMN {table_.full_name}."{column.name}" IS {quoted(column.comment)};'


def _compact(db: duckdb.DuckDBPyConnection) -> None:
    """Join the row groups that many inserts left part full, as far as DuckDB joins them.

    Each checkpoint joins some of those that there are, in whatever database it finds them: the next nights would, and
    each copy that is published once more, for tens of seconds each above 50 million legs.
    """
    groups, before = _row_groups(db), -1
    while groups != before:
        set_state(db, "row_groups", str(groups))  # where nothing has changed there is no checkpoint
        db.execute("CHECKPOINT")
        groups, before = _row_groups(db), groups


def _row_groups(db: duckdb.DuckDBPyConnection) -> int:
    """How many row groups the tables of legs and calls have."""
    counts = (
        f"SELECT count(DISTINCT row_group_id) AS groups FROM pragma_storage_info('{table_.full_name}')"
        for table_ in (CALL, CALL_LEG, CDR)
    )
    return int(db.execute(f"SELECT sum(groups) FROM ({' UNION ALL '.join(counts)})").fetchall()[0][0])


def _digest(db: duckdb.DuckDBPyConnection, table_: Table) -> str:
    """Of the number of rows and the sums of both halves of each row's MD5: the same in whatever order they lie."""
    state = "* EXCLUDE (last_read_at, load_id)" if table_ is COVERAGE else "*"
    row = db.execute(
        "SELECT count(*), sum(md5_number_lower(said)), sum(md5_number_upper(said)) "
        f"FROM (SELECT CAST(whole_row AS VARCHAR) AS said FROM (SELECT {state} FROM {table_.full_name}) AS whole_row)"
    ).fetchone()
    return sha(str(row))


# --- files ------------------------------------------------------------------------------------------------------------


def _logs(path: Path) -> list[Path]:
    """Write-ahead logs beside a database file (``….wal``, ``….checkpoint.wal`` and the like)."""
    return [p for p in path.parent.glob("*.wal*") if p.name.startswith(f"{path.name}.") and p.suffix != ".stale"]


def _remove_logs(path: Path) -> None:
    for log in _logs(path):
        log.unlink(missing_ok=True)


@contextmanager
def _logs_aside(path: Path) -> Iterator[None]:
    """Without the logs beside a database; they are gone for good unless the block fails."""
    moved = [(log, log.replace(log.with_name(f"{log.name}.stale"))) for log in _logs(path)]
    try:
        yield
    except BaseException:
        for log, stale in moved:
            stale.replace(log)
        raise
    for _, stale in moved:
        stale.unlink()


def _remove(path: Path) -> None:
    with disk_errors(path):
        path.unlink(missing_ok=True)
        _remove_logs(path)


def _memory(path: Path, files: Iterable[Path]) -> str:
    """How much DuckDB may take for the database ``path`` and the files that come into it.

    What does not fit is spilled, but not all can be: the more rows one transaction writes, the more it keeps, and marts
    of years need more than that. A night above a long history may take much, and takes little.
    """
    with disk_errors(path):
        size = sum(place.stat().st_size for place in (path, *files) if place.exists())
    return f"{min(LITTLE_MEMORY + size // 4 + max(0, size - MUCH_DATA), MUCH_MEMORY)}B"


def _identity(path: Path, revision: str) -> str:
    """Which file stands there and which revision it was made from; another file in its place differs."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return ""
    return f"{revision} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"


# --- errors -----------------------------------------------------------------------------------------------------------


# The last two are what a commit and a checkpoint that could not be written come to: one process writes at a time, and
# no table has constraints that a commit could fail by.
_OF_THE_DISK = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException, duckdb.TransactionException)


def _typed(error: duckdb.Error) -> StorageError | IntegrityError:
    """DuckDB's own words can hold values of the data, so only the kind of error is told; the cause stays chained."""
    kind = type(error).__name__
    if isinstance(error, _OF_THE_DISK):
        return StorageError(
            f"the database could not read or write ({kind})", hint="check the room on the disk and the memory limit"
        )
    return IntegrityError(f"the database refused the update ({kind})", hint=REBUILD)
