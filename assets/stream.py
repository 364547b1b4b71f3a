"""What a load is about: a connection with all that loading it needs, a stream of it, the windows of days it is read in.

What lives here: those declarations, and how a load tells of itself. What does not: the steps of a load (``load``), the
streams there are (the vendors' modules, gathered in ``vendors``).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb

from assets.http.client import Client
from assets.http.page import Page
from tollbook_errors import (
    TollbookError,
)
from warehouse.core import CorePartition
from warehouse.lake import Lake
from warehouse.merge import Normalised, Parser
from warehouse.raw import Landing, RawWriter
from warehouse.schema import QUARANTINE, Table


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


Fetch = Callable[[RawWriter], Iterable[Page]]


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


Plan = tuple[Sequence[Window], Callable[[Window], Fetch]]  # the windows to read, in order, and how each is fetched
Planner = Callable[[Source, Landing | None, Sequence[date]], Plan]
Begin = Callable[[Source, duckdb.DuckDBPyConnection, str, Mapping[str, str], date, Path], Parser]


@dataclass(frozen=True)
class Stream:
    """A kind of landing: what is asked for, the tables that are made of it, and how a response is read.

    ``responses`` says what is landed, for people. ``plan`` says what to read for some business days, given the newest
    landing of the stream that is ``read_with`` it ("": none); not ``daily``, it is a list that is read whole on every
    load. ``normalise`` finds the rows that were there before as ``previous_<table>`` in its session. ``controls`` are
    the control totals it makes: check name -> what is compared. ``begin``, where there is one, starts the same parser
    on a landing that is still being made, given its ``file``, ``depends_on``, day, and a folder for files.

    ``by_account``: the kind of its responses that hold the records of one account each. An account that a landing has
    no such response of was not asked about, or refused: what is known of it stays. ``nameless``: the account of records
    whose responses name none, which are all records there are.
    """

    name: str
    tables: tuple[Table, ...]
    responses: str
    plan: Planner
    normalise: Callable[[Source, duckdb.DuckDBPyConnection, Landing, date | None], Normalised]
    daily: bool = False
    read_with: str = ""
    controls: Mapping[str, str] = field(default_factory=dict)
    begin: Begin | None = None
    by_account: str = ""
    nameless: str = ""


def whole(fetch: Callable[[Source], Fetch]) -> Planner:
    """The plan of a list: everything, whatever the days."""
    return lambda source, lists, days: ([Window(None, None)], lambda window: fetch(source))


def day_by_day(fetch: Callable[[Source, Landing, Window], Fetch]) -> Planner:
    """The plan of records that are read with the vendor's lists, a window a day."""
    return _with_lists(fetch, lambda days: [Window(day, day) for day in days])


def days_at_once(fetch: Callable[[Source, Landing, Window], Fetch]) -> Planner:
    """The plan of records that are read with the vendor's lists, all days in one window."""
    return _with_lists(fetch, lambda days: [Window(days[0], days[-1])])


def _with_lists(
    fetch: Callable[[Source, Landing, Window], Fetch], windows: Callable[[Sequence[date]], list[Window]]
) -> Planner:
    def plan(source: Source, lists: Landing | None, days: Sequence[date]) -> Plan:
        assert lists is not None
        return windows(days), lambda window: fetch(source, lists, window)

    return plan


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
