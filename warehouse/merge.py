"""Merging landings into core: a partition is a function of the landings of its day alone.

What lives here: merging each reading of a day in once, in order, whenever and however often this runs; what of a
reading stays where a later one says nothing of it; control totals. What does not: parsing a landing (``assets``, handed
in), row by row comparison (``restate``), how a partition rests (``core``).
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from tollbook_errors import (
    IntegrityError,
    StorageError,
)
from warehouse.core import CorePartition, StagedFile, check_core, write_parquet
from warehouse.duck import connect
from warehouse.files import disk_errors
from warehouse.lake import Lake
from warehouse.layout import bounds
from warehouse.money import add_amount_of
from warehouse.raw import Landing
from warehouse.restate import Reading, merge, read_rows
from warehouse.schema import CONTROL_TOTAL, QUARANTINE, RESTATEMENT, Table
from warehouse.text import one_line

# Of parsing a day, beyond which it spills to the disk. Each thread needs some 50 MB of it.
MEMORY = "144MB"
MAX_THREADS = 2


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


class StreamFacts(Protocol):
    """What merging has to know of a stream (``assets.stream.Stream``)."""

    @property
    def name(self) -> str: ...
    @property
    def tables(self) -> tuple[Table, ...]: ...
    @property
    def controls(self) -> Mapping[str, str]: ...
    @property
    def by_account(self) -> str: ...
    @property
    def nameless(self) -> str: ...


Normalise = Callable[[duckdb.DuckDBPyConnection, Landing, date | None], Normalised]


@dataclass(frozen=True)
class Parsing:
    """How landings are parsed: those up to generation ``until``, till all was parsed anew at ``at`` (None: as now)."""

    normalise: Normalise
    until: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class Target:
    """What landings are merged into: one stream of one connection. ``zone`` is the one of business days.

    ``parsings``: how its landings were parsed in turn, the present way last.
    """

    lake: Lake
    connection: str
    vendor: str
    zone: ZoneInfo
    stream: StreamFacts
    parsings: tuple[Parsing, ...]


class Ahead(Protocol):
    """Who may have parsed a landing already (``assets.parse_ahead``)."""

    def parser(self, landing: Landing) -> tuple[duckdb.DuckDBPyConnection, Parser] | None:
        """The parser that has all responses of the landing, and its session; None: nobody parsed it."""


def merge_landings(target: Target, day: date | None, ahead: Ahead | None = None) -> CorePartition:
    """Merge every landing of a day that core has not seen yet into its partition; from the first if core is damaged.

    A landing that cannot be understood is passed over once a later one of the day can be: one bad night must not keep
    the day from being read again. Raises what is wrong with the newest.
    """
    lake, stream, latest = target.lake, target.stream, len(target.parsings) - 1
    with disk_errors(lake.data_dir), lake.writing():
        current = lake.core.partition(stream.name, target.connection, day)
        landings = lake.raw.landings(target.connection, stream.name, day)
        if not landings:
            raise IntegrityError(
                "nothing was landed", connection=target.connection, endpoint=stream.name, window=str(day or "all")
            )
        if current is not None:
            seen = [landing for landing in landings if landing.generation <= current.last_generation]
            if len(seen) != current.applied:
                current = None
        todo = landings if current is None else landings[current.applied :]
        if current is not None and not todo:
            return current
        last, last_read_at, previous_files = ("", latest), None, None
        if current is not None:
            last, last_read_at = (current.last_file, latest), datetime.fromisoformat(current.last_read_at)
            previous_files = {name: lake.data_dir / file for name, file in current.files.items()}
        steps = _steps(target, todo, from_the_first=current is None)
        # The others of those to do say what the one before them said.
        news = [new for old, new in pairwise([last, *(step.key for step in steps)]) if new != old]
        if current is not None and not news:
            return lake.core.mark_unchanged(current, applied=len(landings), last=landings[-1])
        with lake.scratch() as scratch:
            for number, step in enumerate(steps):
                if step.key != last:
                    final = step.key == news[-1]
                    try:
                        with _merge_landing(target, step, day, previous_files, last_read_at, ahead) as (
                            rows,
                            normalised,
                        ):
                            if final:
                                return lake.core.commit(
                                    stream.name,
                                    target.connection,
                                    target.vendor,
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
    """A landing to be merged into core, and which of the target's parsings reads it.

    ``again_at``: when it was parsed anew, in another way.
    """

    landing: Landing
    parsing: int
    again_at: datetime | None = None

    @property
    def key(self) -> tuple[str, int]:
        """Two steps of one key say the same."""
        return self.landing.file, self.parsing


def _steps(target: Target, landings: Sequence[Landing], *, from_the_first: bool) -> list[_Step]:
    """The landings in order, each parsed as it was at its time, and the last of them anew where that was changed.

    Those that are not ``from_the_first`` came after the last change.
    """
    parsings = target.parsings
    latest = len(parsings) - 1
    if not from_the_first:
        return [_Step(landing, latest) for landing in landings]
    found: list[_Step] = []
    now = 0
    for landing in [*landings, None]:
        while now < latest and (landing is None or landing.generation > parsings[now].until):
            if found:
                found.append(_Step(found[-1].landing, now + 1, parsings[now].at))
            now += 1
        if landing is not None:
            found.append(_Step(landing, now))
    return found


@contextmanager
def _merge_landing(
    target: Target,
    step: _Step,
    day: date | None,
    previous_files: dict[str, Path] | None,
    last_read_at: datetime | None,
    ahead: Ahead | None,
) -> Iterator[tuple[dict[Table, Rows], Normalised]]:
    """One landing merged into ``previous_files`` by table (None: it is the first); to be read in the block.

    ``last_read_at`` is when the reading before it was made.
    """
    stream, landing, zone = target.stream, step.landing, target.zone
    reading = Reading(
        stream.name,
        target.vendor,
        target.connection,
        day or (last_read_at or landing.started_at).astimezone(zone).date(),
        step.again_at or landing.started_at,
        settled=last_read_at is not None and (day is None or last_read_at >= bounds(day, zone)[1]),
        same_responses=step.again_at is not None,
    )
    rows: dict[Table, Rows] = {}
    con, parser = (ahead.parser(landing) if ahead else None) or (session(target.lake), None)
    with closing(con):
        previous = {
            table_: _previous_rows(con, table_, (previous_files or {}).get(table_.full_name))
            for table_ in (*stream.tables, CONTROL_TOTAL, RESTATEMENT)
        }
        normalised = parser.finish(landing) if parser else target.parsings[step.parsing].normalise(con, landing, day)
        restatements = [previous[RESTATEMENT]]
        retained = _retained_accounts(target.lake, con, stream, landing, previous) if previous_files is not None else ()
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
    lake: Lake, con: duckdb.DuckDBPyConnection, stream: StreamFacts, landing: Landing, previous: Mapping[Table, str]
) -> tuple[str, ...]:
    """The accounts that have rows and that the landing says nothing of; also a relation ``retained``."""
    read = (
        {account for account, _, _ in lake.raw.requests_of(landing, stream.by_account)} if stream.by_account else {None}
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
    stream: StreamFacts, previous: duckdb.DuckDBPyRelation, fresh: list[dict[str, Any]], retained: Collection[str]
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
