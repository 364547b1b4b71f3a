"""Loading one stream of one connection: land what the vendor says, then make its core partition.

What lives here: the steps that are the same for every vendor: landing, merging the landings of a day into core in the
order in which they were read, and the record of the load. What does not: what to ask and what a response means (the
vendor modules), how files rest (``warehouse.lake``), how the steps hang together in Dagster (the vendor modules too).

Core is a function of the landings alone: each reading of a day is merged in once, in order, whenever and however often
this runs. A rebuild does the same from the first landing on.
"""

import atexit
import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, Protocol, TypeAlias
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from assets.http.client import Client
from assets.http.errors import ServerError
from assets.http.optional_lists import OptionalLists
from assets.http.page import Page
from assets.http.slices import Earlier, Found, Slice
from assets.redaction import eraser
from tollbook_errors import (
    AuthError,
    ConfigError,
    ContractError,
    IntegrityError,
    InternalError,
    QuotaError,
    SecurityError,
    StorageError,
    TollbookError,
    TransientError,
)
from warehouse.core import CorePartition, StagedFile, check_core, write_parquet
from warehouse.duck import connect
from warehouse.erasure_register import Register
from warehouse.files import disk_errors
from warehouse.lake import Lake
from warehouse.money import add_amount_of
from warehouse.raw import PARSED_BYTES, Landing, RawWriter
from warehouse.restate import Reading, merge, read_rows
from warehouse.schema import CONTROL_TOTAL, QUARANTINE, RESTATEMENT, Table
from warehouse.text import one_line

# Of parsing a day, beyond which it spills to the disk. Each thread needs some 50 MB of it.
MEMORY = "144MB"
MAX_THREADS = 2

# After one of these the rest of the days would fail the same way, or make it worse.
_STOPS = (AuthError, ConfigError, QuotaError, SecurityError, StorageError, TransientError)

# After one of these the vendor is there and lets us in, and it is the list alone that cannot be read.
_OF_THE_LIST = (ContractError, IntegrityError, ServerError)


@dataclass(frozen=True)
class Progress:
    """One step of a load, for whoever watches: ``done`` of ``total`` windows, ``rows`` read so far in this one.

    ``done`` are those that went well, ``failed`` the others that are over.
    """

    connection: str
    stream: str
    window: str
    done: int
    total: int
    rows: int
    failed: int = 0


@dataclass(frozen=True)
class Source:
    """One connection, with all that loading it needs; made by ``pipelines.resources`` from the settings.

    ``zone`` is the business zone, ``account_zone`` the one the vendor's naive times are in; ``currency`` is the
    configured one (None: the vendor must say), ``region`` the country that national numbers are read in, and
    ``outside_line`` the digits that are dialled before an outside number. ``past``: how what is landed was read before.
    """

    name: str
    vendor: str
    lake: Lake
    client: Callable[[], Client]
    zone: ZoneInfo
    account_zone: ZoneInfo
    region: str
    outside_line: str = ""
    currency: str | None = None
    tenants: tuple[str, ...] = ()
    count_by_status: bool = True
    fields: dict[str, str] = field(default_factory=dict)
    load_id: str = ""
    watch: Callable[[Progress], None] = lambda progress: None
    past: tuple["Past", ...] = ()


@dataclass(frozen=True)
class Past:
    """Until ``at``, what is landed up to ``generation`` was read as ``source`` says; then it was all read anew."""

    source: Source
    generation: str
    at: datetime


class AccountsDenied(Exception):
    """Raised by a fetch that has handed over all the responses there were: the vendor denies some ``accounts``.

    ``error`` is what it said of the first of them.
    """

    def __init__(self, error: TollbookError, accounts: int) -> None:
        super().__init__(error, accounts)
        self.error, self.accounts = error, accounts

    def as_error(self) -> TollbookError:
        """The error of a load that has all the others."""
        error = copy(self.error)
        error.what = f"{self.error.what}: {self.accounts} accounts were not loaded, the others were"
        return error


@dataclass
class Normalised:
    """What one landing means for one day: rows by table, and what was noticed.

    Rows are the name of a relation in the connection, or a file that holds them as they rest in core: by ``raw_row``,
    each key once.
    """

    tables: dict[Table, str | StagedFile]
    controls: list[dict[str, Any]] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    out_of_window: int = 0
    warnings: list[str] = field(default_factory=list)


class Parser(Protocol):
    """Makes core rows of the responses of one landing as they come."""

    def add(self, responses: pa.Table) -> None:
        """Type these, the next of the landing."""

    def finish(self, landing: Landing) -> Normalised:
        """What all of them together mean."""


Rows: TypeAlias = pa.Table | pa.RecordBatchReader | StagedFile
Normalise = Callable[[duckdb.DuckDBPyConnection, Landing, date | None], Normalised]
Begin = Callable[[duckdb.DuckDBPyConnection, str, Mapping[str, str], date, Path], Parser]
Fetch = Callable[[RawWriter], Iterable[Page]]


@dataclass(frozen=True)
class Stream:
    """A kind of landing: its name, the tables that are made of it, and how a response is read.

    ``normalise`` finds the rows that were there before as ``previous_<table>`` in its connection. ``controls`` are the
    control totals it makes: check name -> what is compared. ``begin``, where there is one, starts the same parser on a
    landing that is still being made, given its ``file``, ``depends_on``, day, and a folder for files.

    ``by_account``: the kind of its responses that hold the records of one account each. An account that a landing has
    no such response of was not asked about, or refused: what is known of it stays. ``nameless``: the account of records
    whose responses name none, which are all records there are.
    """

    name: str
    tables: tuple[Table, ...]
    normalise: Normalise
    controls: Mapping[str, str] = field(default_factory=dict)
    begin: Begin | None = None
    by_account: str = ""
    nameless: str = ""


@dataclass(frozen=True)
class Window:
    """Business days ``first`` to ``last``, both included; None for a list."""

    first: date | None
    last: date | None

    @property
    def days(self) -> list[date | None]:
        if self.first is None or self.last is None:
            return [None]
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]

    def __str__(self) -> str:
        if self.first is None:
            return "all"
        return str(self.first) if self.first == self.last else f"{self.first}..{self.last}"


@dataclass(frozen=True)
class Outcome:
    """What came of loading the windows of one stream.

    ``known`` is the earlier landing that stands for a list which could not be read.
    """

    landings: list[Landing]
    partitions: list[CorePartition]
    failures: list[TollbookError]
    warnings: list[str]
    known: list[Landing] = field(default_factory=list)

    @property
    def quarantined(self) -> int:
        """Records of the partitions that could not be understood."""
        return sum(partition.rows.get(QUARANTINE.full_name, 0) for partition in self.partitions)


def bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """A business day as UTC instants, end excluded: 23, 24 or 25 hours."""
    start = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    after = day + timedelta(days=1)
    return start, datetime(after.year, after.month, after.day, tzinfo=zone).astimezone(UTC)


def earlier_readings(
    source: Source, stream: str, day: date, kind: str, slice_asked: Callable[[dict[str, str]], Slice]
) -> dict[str | None, Earlier]:
    """By account, what the newest reading of ``day`` found in its slices, or one of the week before most like it.

    It only spares requests: where there is none, or none that can be read, the day is read without.
    """
    for back in (0, 7, 1, 2, 3, 4, 5, 6):
        like = day - timedelta(days=back)
        try:
            landing = source.lake.raw.last_landing(source.name, stream, like, like)
            asked = source.lake.raw.requests_of(landing, kind) if landing else []
            rows: dict[str | None, Counter[Slice]] = {}
            for account, request, count in asked:
                rows.setdefault(account, Counter())[slice_asked(request)] += count
        except (IntegrityError, StorageError, pa.ArrowException, KeyError, ValueError):
            continue
        if rows:
            return {
                account: Earlier(tuple(Found(part, count) for part, count in found.items()), again=back == 0)
                for account, found in rows.items()
            }
    return {}


def optional_lists(source: Source, stream: str) -> OptionalLists:
    """What need not be given of a stream that is a list, with what its newest landing has of that."""

    def landed() -> list[dict[str, Any]]:
        landing = source.lake.raw.last_landing(source.name, stream, None, None)
        return source.lake.raw.responses(landing) if landing else []

    return OptionalLists(landed, source.client().now)


def _what_stays(source: Source, stream: Stream, error: TollbookError) -> Landing | None:
    """The landing that stands for a list which could not be read; None: there is none, or nothing can be read."""
    if not isinstance(error, _OF_THE_LIST):
        return None
    try:
        return source.lake.raw.last_landing(source.name, stream.name, None, None)
    except (IntegrityError, StorageError):
        return None


def load(
    source: Source,
    stream: Stream,
    windows: Sequence[Window],
    fetch: Callable[[Window], Fetch],
    *,
    depends_on: dict[str, str] | None = None,
) -> Outcome:
    """Land each window and make core of it; a failure of one window leaves the others standing.

    After a failure that the next window would only repeat, the rest are recorded as failed without asking. A window of
    which the vendor denied an account is landed with the others, and recorded as failed. One load at a time asks a
    connection.
    """
    _leave_imports_alone()
    busy: StorageError | None = None
    with ExitStack() as held:
        try:
            held.enter_context(source.lake.asking(source.name, f"load {source.load_id}"))
        except StorageError as error:  # another load has been asking it for too long
            busy = error
        return _load(source, stream, windows, fetch, depends_on or {}, busy)


def _load(
    source: Source,
    stream: Stream,
    windows: Sequence[Window],
    fetch: Callable[[Window], Fetch],
    depends_on: dict[str, str],
    stopped: TollbookError | None,
) -> Outcome:
    """The same, with what already keeps it from asking."""
    outcome = Outcome([], [], [], [])
    outcome.failures.extend([stopped] if stopped else [])
    failed = 0

    def report(window: Window, over: int, rows: int) -> None:
        source.watch(Progress(source.name, stream.name, str(window), over - failed, len(windows), rows, failed))

    for number, window in enumerate(windows):
        landing: Landing | None = None
        started_at = source.lake.now()
        row = _load_row(source, stream, window, started_at)
        requests = source.client().requests_made
        try:
            if stopped is not None:
                raise stopped
            report(window, number, 0)
            with _Ahead(source, stream, window) as ahead:
                landing, denied = _land(
                    source, stream, window, fetch(window), depends_on, partial(report, window, number), ahead
                )
                partitions = [update_partition(source, stream, day, ahead) for day in window.days]
            warnings = sorted({warning for partition in partitions for warning in partition.warnings})
            out_of_window = sum(partition.out_of_window for partition in partitions)
            row |= {
                "status": "unchanged" if landing.unchanged else "loaded",
                "rows": landing.rows - out_of_window,
                "pages": landing.pages,
                "requests": landing.requests,
                "bytes": landing.bytes,
                "out_of_window": out_of_window,
                "quarantined": sum(partition.rows.get(QUARANTINE.full_name, 0) for partition in partitions),
                "warnings": "\n".join(warnings) or None,
            }
            outcome.landings.append(landing)
            outcome.partitions.extend(partitions)
            outcome.warnings.extend(warnings)
            if denied is not None:
                error = denied.as_error()
                outcome.failures.append(error)
                row |= {"status": "failed", "error_type": error.kind, "error": str(error)}
        except Exception as caught:
            error = caught if isinstance(caught, TollbookError) else _internal(caught, row, landing)
            if window.first is None and landing is None and (known := _what_stays(source, stream, error)):
                outcome.known.append(known)
                error.what += f": what the lists said on {known.started_at:%Y-%m-%d %H:%M} UTC stays"
            if stopped is None:
                outcome.failures.append(error)
            if isinstance(error, _STOPS):
                stopped = error
            row |= {
                "status": "failed",
                "requests": source.client().requests_made - requests,
                "error_type": error.kind,
                "error": str(error),
            }
        failed += row["status"] == "failed"
        row["finished_at"] = source.lake.now()
        source.lake.loads.record(row)
        report(window, number + 1, row["rows"])
    return outcome


def _leave_imports_alone() -> None:
    """Have no garbage looked for among the hundreds of thousands of objects that imports made: it took a twentieth of
    a large load.

    Once only: what is garbage by then stays, too. In the end all is let go, or DuckDB calls it leaked on the terminal.
    """
    if not gc.get_freeze_count():
        gc.freeze()
        atexit.register(gc.unfreeze)


def scrub(lake: Lake, dialling: Mapping[str, tuple[str, str]], watch: Callable[[Progress], None]) -> None:
    """Take every erased number out of what was landed, so that a backup put back brings none; none: nothing to do.

    ``dialling``: by connection, the ISO 3166 country its national numbers are of, and the digits for an outside line.
    The caller holds ``lake.writing``.
    """
    windows = [window for window in lake.raw.windows() if window[0] in dialling]
    cleaners = {way: eraser(lake.data_dir, *way) for way in sorted(set(dialling.values()))}
    for number, window in enumerate(windows):
        connection, stream, first, last = window
        cleaner = cleaners[dialling[connection]]
        if cleaner is not None:
            watch(Progress(connection, stream, str(Window(first, last)), number, len(windows), 0))
            lake.raw.rewrite_responses(window, cleaner.body)


def update_partition(source: Source, stream: Stream, day: date | None, ahead: "_Ahead | None" = None) -> CorePartition:
    """Fold every landing of a day that core has not seen yet into its partition; from the first if core is damaged.

    A landing that cannot be understood is passed over once a later one of the day can be: one bad night must not keep
    the day from being read again. Raises what is wrong with the newest.
    """
    lake = source.lake
    with disk_errors(lake.data_dir), lake.writing():
        current = lake.core.partition(stream.name, source.name, day)
        landings = lake.raw.landings(source.name, stream.name, day)
        if not landings:
            raise IntegrityError(
                "nothing was landed", connection=source.name, endpoint=stream.name, window=str(day or "all")
            )
        if current is not None:
            seen = [landing for landing in landings if landing.generation <= current.last_generation]
            if len(seen) != current.applied:
                current = None
        todo = landings if current is None else landings[current.applied :]
        if current is not None and not todo:
            return current
        last, last_read_at, previous_files = ("", len(source.past)), None, None
        if current is not None:
            last, last_read_at = (current.last_file, len(source.past)), datetime.fromisoformat(current.last_read_at)
            previous_files = {name: lake.data_dir / file for name, file in current.files.items()}
        steps = _steps(source, stream, todo, from_the_first=current is None)
        # The others of those to do say what the one before them said.
        news = [new for old, new in pairwise([last, *(step.key for step in steps)]) if new != old]
        if current is not None and not news:
            return lake.core.mark_unchanged(current, applied=len(landings), last=landings[-1])
        with lake.scratch() as scratch:
            for number, step in enumerate(steps):
                if step.key != last:
                    final = step.key == news[-1]
                    try:
                        with _merge_landing(step, day, previous_files, last_read_at, ahead) as (rows, normalised):
                            if final:
                                return lake.core.commit(
                                    stream.name,
                                    source.name,
                                    source.vendor,
                                    day,
                                    rows,
                                    applied=len(landings),
                                    last=landings[-1],
                                    out_of_window=normalised.out_of_window,
                                    warnings=tuple(map(one_line, normalised.warnings)),
                                )
                            previous_files = _set_aside(rows, scratch / str(number))
                    except Exception as error:
                        if final or isinstance(error, (StorageError, IntegrityError)):
                            raise
                        continue
                last, last_read_at = step.key, step.landing.started_at
        raise AssertionError("the newest reading is either merged or raises")


@dataclass(frozen=True)
class _Step:
    """A landing to be merged into core, and how it is read; ``again_at``: when it was read anew, in another way.

    ``way`` counts the ways in which it was read before.
    """

    landing: Landing
    source: Source
    stream: Stream
    way: int
    again_at: datetime | None = None

    @property
    def key(self) -> tuple[str, int]:
        """Two steps of one key say the same."""
        return self.landing.file, self.way


def _steps(source: Source, stream: Stream, landings: Sequence[Landing], *, from_the_first: bool) -> list[_Step]:
    """The landings in order, each read as it was at its time, and the last of them anew where that was changed.

    Those that are not ``from_the_first`` came after the last change.
    """
    if not (source.past and from_the_first):
        return [_Step(landing, source, stream, len(source.past)) for landing in landings]
    from assets.vendors import streams_of  # here, since the vendors' modules import this one

    ways = [past.source for past in source.past] + [source]
    streams = [streams_of(way)[stream.name] for way in ways]
    found: list[_Step] = []
    way = 0
    for landing in [*landings, None]:
        while way < len(source.past) and (landing is None or landing.generation > source.past[way].generation):
            way += 1
            if found:
                at = source.past[way - 1].at
                found.append(_Step(found[-1].landing, ways[way], streams[way], way, at))
        if landing is not None:
            found.append(_Step(landing, ways[way], streams[way], way))
    return found


@contextmanager
def _merge_landing(
    step: _Step,
    day: date | None,
    previous_files: dict[str, Path] | None,
    last_read_at: datetime | None,
    ahead: "_Ahead | None",
) -> Iterator[tuple[dict[Table, Rows], Normalised]]:
    """One landing merged into ``previous_files`` by table (None: it is the first); to be read in the block.

    ``last_read_at`` is when the reading before it was made.
    """
    source, stream, landing = step.source, step.stream, step.landing
    reading = Reading(
        stream.name,
        source.vendor,
        source.name,
        day or (last_read_at or landing.started_at).astimezone(source.zone).date(),
        step.again_at or landing.started_at,
        settled=last_read_at is not None and (day is None or last_read_at >= bounds(day, source.zone)[1]),
        same_responses=step.again_at is not None,
    )
    rows: dict[Table, Rows] = {}
    con, parser = (ahead.parser(landing) if ahead else None) or (session(source.lake), None)
    with closing(con):
        previous = {
            table_: _previous_rows(con, table_, (previous_files or {}).get(table_.full_name))
            for table_ in (*stream.tables, CONTROL_TOTAL, RESTATEMENT)
        }
        normalised = parser.finish(landing) if parser else stream.normalise(con, landing, day)
        restatements = [previous[RESTATEMENT]]
        retained = _retained_accounts(source, con, stream, landing, previous) if previous_files is not None else ()
        for table_ in stream.tables:
            before = None if previous_files is None else previous[table_]
            fresh = normalised.tables[table_]
            if isinstance(fresh, StagedFile):
                if before is None:
                    rows[table_] = fresh
                    continue
                con.read_parquet(str(fresh.path)).create_view(f"fresh_{table_.name}")
                fresh = f"fresh_{table_.name}"
            if retained:
                con.execute(
                    f"CREATE TEMP VIEW all_{table_.name} AS FROM {fresh} UNION ALL BY NAME"
                    f" FROM {previous[table_]} SEMI JOIN retained USING (account_id)"
                )
                fresh = f"all_{table_.name}"
            rows[table_], restated = merge(con, table_, before, fresh, reading)
            restatements += [restated] if restated else []
        rows[CONTROL_TOTAL] = _controls(stream, con.table(previous[CONTROL_TOTAL]), normalised.controls, retained)
        if retained:
            normalised.warnings.append(f"{len(retained)} accounts are no longer given: what was known of them stays")
        rows[QUARANTINE] = pa.Table.from_pylist(normalised.quarantine, schema=QUARANTINE.arrow())
        every = " UNION ALL ".join(f"FROM {name}" for name in restatements)
        rows[RESTATEMENT] = read_rows(
            con, RESTATEMENT, f"FROM ({every}) ORDER BY restated_at, record_id, kind, currency"
        )
        yield rows, normalised


def _retained_accounts(
    source: Source, con: duckdb.DuckDBPyConnection, stream: Stream, landing: Landing, previous: Mapping[Table, str]
) -> tuple[str, ...]:
    """The accounts that have rows and that the landing says nothing of; also a relation ``retained``."""
    read = (
        {account for account, _, _ in source.lake.raw.requests_of(landing, stream.by_account)}
        if stream.by_account
        else {None}
    )
    if None in read:  # records of the one account there is
        return ()
    (table_,) = stream.tables
    known = {account for (account,) in con.execute(f"SELECT DISTINCT account_id FROM {previous[table_]}").fetchall()}
    gone = tuple(sorted(known - read - {stream.nameless}))
    con.register("retained", pa.table({"account_id": pa.array(gone, pa.string())}))
    return gone


def _previous_rows(con: duckdb.DuckDBPyConnection, table_: Table, file: Path | None) -> str:
    """The name of a relation with the rows of a core file (None: no rows)."""
    name = f"previous_{table_.name}"
    if file is None:
        con.register(name, table_.arrow().empty_table())
    else:
        check_core(table_, file)
        con.read_parquet(str(file)).create_view(name)
    return name


def _set_aside(rows: dict[Table, Rows], folder: Path) -> dict[str, Path]:
    """Write what a reading that is not the last comes to; the files of the tables that have rows."""
    files = {table_: folder / f"{table_.full_name}.parquet" for table_ in rows}
    return {table_.full_name: path for table_, path in files.items() if write_parquet(table_, rows[table_], path)}


def _controls(
    stream: Stream, previous: duckdb.DuckDBPyRelation, fresh: list[dict[str, Any]], retained: Collection[str]
) -> pa.Table:
    """The control totals of the newest reading; one that says what it said before keeps when it was first read.

    Those of accounts whose records stay do so as well.
    """
    known = {tuple(row[key] for key in CONTROL_TOTAL.key): row for row in previous.to_arrow_table().to_pylist()}
    kept = [row for row in known.values() if row["account_id"] in retained]
    for row in fresh:
        before = known.get(tuple(row[key] for key in CONTROL_TOTAL.key))
        compares = " ".join(filter(None, (stream.controls[row["check_name"]], row.get("remark"))))
        if before is not None and all(before[name] == row[name] for name in ("ours", "theirs", "currency", "status")):
            row = before
        kept.append({**row, "compares": compares})
    return pa.Table.from_pylist(kept, schema=CONTROL_TOTAL.arrow())


def session(lake: Lake, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory for parsing responses: reads what was landed or parsed, no more, spills to ``spill``.

    Without one it spills to the lake's own place, for whoever holds ``lake.writing``.
    """
    con = connect(
        reads=[lake.data_dir / name for name in ("raw", "core", "state/scratch", "state/ahead")],
        memory_limit=MEMORY,
        threads=min(MAX_THREADS, os.cpu_count() or 1),
        spill=spill or lake.spill,
    )
    add_amount_of(con)
    return con


def _land(
    source: Source,
    stream: Stream,
    window: Window,
    fetch: Fetch,
    depends_on: dict[str, str],
    report: Callable[[int], None],
    ahead: "_Ahead",
) -> tuple[Landing, AccountsDenied | None]:
    client = source.client()
    denied: AccountsDenied | None = None
    before = client.requests_made
    reported_at = time.monotonic()
    cleaner = eraser(source.lake.data_dir, source.region, source.outside_line)
    where = (source.name, source.vendor, stream.name, window.first, window.last)
    after = source.past[-1].generation if source.past else ""
    with source.lake.raw.landing(*where, depends_on, after=after) as writer:
        ahead.watch(writer)
        try:
            for page in fetch(writer):
                writer.add(
                    kind=page.kind,
                    account_id=page.account_id,
                    request=page.request,
                    body=cleaner.body(page.body) if cleaner else page.body,
                    fetched_at=page.fetched_at,
                    rows=page.rows,
                )
                if time.monotonic() - reported_at > 0.2:
                    reported_at = time.monotonic()
                    report(writer.rows)
        except AccountsDenied as caught:
            denied = caught
        with source.lake.writing():
            if not Register(source.lake.data_dir).holds_only(cleaner.numbers if cleaner else ()):
                raise TransientError(
                    "a number was erased while it was read",
                    connection=source.name,
                    endpoint=stream.name,
                    window=str(window),
                    hint="load its days again",
                )
            return writer.commit(requests=client.requests_made - before), denied


class _Ahead:
    """Types the first landing of a day in a thread of its own, while the vendor is still being read.

    It does nothing that is not done anyway once the responses are landed, and the same way. What becomes of it is a
    file aside, which is thrown away where the reading begins anew or fails, or where parsing fails: then it is done
    again from the landing, and fails there. A landing that fits into one batch is not worth a thread.
    """

    def __init__(self, source: Source, stream: Stream, window: Window) -> None:
        self._source, self._stream, self._window = source, stream, window
        self._landed: RawWriter | None = None
        self._held: pa.Table | None = None
        self._run: _Run | None = None

    def __enter__(self) -> "_Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self.restart()

    def watch(self, writer: RawWriter) -> None:
        """Follow this landing, if it is one whose rows will stand as they are parsed."""
        if self._stream.begin is not None and writer.first and self._window.first == self._window.last:
            self._landed = writer
            writer.watch(self)

    def add(self, responses: pa.Table) -> None:
        """These have been landed."""
        if self._run is None and self._held is None:
            self._held = responses
            return
        if self._run is None:
            assert self._landed is not None
            self._run = _Run(self._source, self._stream, self._landed, self._window)
        if self._held is not None:
            self._run.add(self._held)
            self._held = None
        self._run.add(responses)

    def restart(self) -> None:
        """What was landed so far does not count."""
        self._held = None
        if self._run is not None:
            self._run.close()
            self._run = None

    def parser(self, landing: Landing) -> tuple[duckdb.DuckDBPyConnection, Parser] | None:
        """The parser of this landing with all its responses, and its session, if it was followed to the end."""
        if self._run is None or self._landed is None or self._landed.file != landing.file:
            return None
        return self._run.result()


class _Run:
    """One thread that types what it is handed, with a session and a folder of its own."""

    def __init__(self, source: Source, stream: Stream, writer: RawWriter, window: Window) -> None:
        assert stream.begin is not None
        assert window.first is not None
        self._begin = stream.begin
        self._writer, self._day = writer, window.first
        self._open = ExitStack()
        self._folder = self._open.enter_context(source.lake.ahead())
        self._con = self._open.enter_context(closing(session(source.lake, self._folder / "spill")))
        self._waiting: Queue[pa.Table | None] = Queue(maxsize=4)  # what waits is in memory
        self._parser: Parser | None = None
        self._failed = self._ended = False
        self._thread = Thread(target=self._work, name="parsing", daemon=True)
        self._thread.start()

    def add(self, responses: pa.Table) -> None:
        self._waiting.put(responses)

    def result(self) -> tuple[duckdb.DuckDBPyConnection, Parser] | None:
        self._end()
        return None if self._failed or self._parser is None else (self._con, self._parser)

    def close(self) -> None:
        self._failed = True
        self._end()
        self._open.close()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def _work(self) -> None:
        try:
            self._parser = self._begin(self._con, self._writer.file, self._writer.depends_on, self._day, self._folder)
            while responses := self._come():
                if not self._failed:
                    self._parser.add(pa.concat_tables(responses))
        except Exception:
            self._failed = True
            while self._come():
                pass  # nobody shall wait for room in the queue

    def _come(self) -> list[pa.Table]:
        """As many as are parsed at once, or the last; [] once nothing more comes."""
        come: list[pa.Table] = []
        while not self._ended and sum(each.nbytes for each in come) < PARSED_BYTES:
            responses = self._waiting.get()
            self._ended = responses is None
            come += [] if responses is None else [responses]
        return come


def _internal(error: Exception, row: Mapping[str, Any], landing: Landing | None) -> InternalError:
    """What nobody foresaw in the load that ``row`` tells of; ``landing`` is what it had landed by then."""
    landed = "what was read is landed: after an upgrade run tollbook rebuild" if landing else "nothing was landed"
    window = Window(row["window_from"], row["window_to"])
    where = {"connection": row["connection"], "endpoint": row["stream"], "window": str(window)}
    return InternalError.of(error, **where, hint=f"report this; {landed}")


def _load_row(source: Source, stream: Stream, window: Window, started_at: datetime) -> dict[str, Any]:
    return {
        "load_id": source.load_id,
        "started_at": started_at,
        "finished_at": started_at,
        "vendor": source.vendor,
        "connection": source.name,
        "stream": stream.name,
        "window_from": window.first,
        "window_to": window.last,
        "status": "failed",
        "rows": 0,
        "pages": 0,
        "requests": 0,
        "bytes": 0,
        "out_of_window": 0,
        "quarantined": 0,
        "error_type": None,
        "error": None,
        "warnings": None,
    }
