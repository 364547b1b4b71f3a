"""A vendor that a test writes itself: a function in place of the network, behind the real client and a real load.

What lives here: ``StandIn`` and how to load a stream from it. What does not: what a vendor answers (the tests).
"""

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import duckdb
import pyarrow.parquet as pq
import requests

from assets.http.auth import BasicAuth
from assets.http.client import Client, Clock, Limits
from assets.http.secret import Secret
from assets.http.transport import RawResponse, Transport
from assets.load import load
from assets.stream import Fetch, Outcome, Source, Stream, Window
from warehouse.lake import Lake

HOST = "http://127.0.0.1:9"  # nobody listens there: what is not answered by the stand-in is not answered
BASE = f"{HOST}/api"
LONDON = ZoneInfo("Europe/London")
SAMPLES = Path(__file__).parents[1] / "samples"

Answering = Callable[[str, dict[str, str]], Any]


@dataclass
class Status:
    """A response with another status than 200."""

    code: int
    data: Any = field(default_factory=lambda: {"error": "as told"})


class Literal(str):
    """A body that is sent as it stands."""

    __slots__ = ()


class StandIn(Transport):
    """``answering`` gets the path below the base address and the query, and gives what becomes the JSON of the
    response.

    ``asked`` holds every request as (path, query).
    """

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.client = Client(
            connection="site",
            base_url=BASE,
            auth=BasicAuth(Secret("reader"), Secret("hunter2-secret")),
            clock=Clock(sleep=lambda seconds: None),
            limits=Limits(in_flight=1),
            transport=self,
        )

    def paths(self) -> list[str]:
        """What was asked for, without the queries."""
        return [path for path, _ in self.asked]

    def exchange(
        self,
        request: requests.PreparedRequest,
        *,
        timeout_seconds: float,
        deadline_seconds: float,
        wanted: frozenset[int],
        where: Mapping[str, str],
    ) -> RawResponse:
        address = urlsplit(str(request.url))
        assert f"{address.scheme}://{address.netloc}" == HOST, "a request left the configured address"
        path, query = address.path.removeprefix("/api/"), dict(parse_qsl(address.query))
        self.asked.append((path, query))
        said = self.answering(path, query)
        status, data = (said.code, said.data) if isinstance(said, Status) else (200, said)
        body = data if isinstance(data, Literal) else json.dumps(data, default=_number)
        return RawResponse(status, {}, body.encode() if status in wanted else None, len(body))


def source(stand_in: StandIn, data_dir: Path, vendor: str, **overrides: Any) -> Source:
    """A connection to a stand-in, in London's business days."""
    settings: dict[str, Any] = {
        "name": "site",
        "vendor": vendor,
        "lake": Lake(data_dir),
        "client": lambda: stand_in.client,
        "zone": LONDON,
        "account_zone": LONDON,
        "region": "GB",
        "load_id": "load",
    }
    return Source(**{**settings, **overrides})


def run(
    from_: Source,
    stream: Stream,
    fetch: Callable[[Window], Fetch],
    days: Iterable[date] = (),
    *,
    at_once: bool = False,
    depends_on: Mapping[str, str] | None = None,
) -> Outcome:
    """Load a stream of ``days`` (none: a list), each day by itself or all at once; the first failure is raised."""
    wanted = list(days)
    windows = [Window(day, day) for day in wanted] or [Window(None, None)]
    if at_once:
        windows = [Window(wanted[0], wanted[-1])]
    outcome = load(from_, stream, windows, fetch, depends_on=dict(depends_on or {}))
    if outcome.failures:
        raise outcome.failures[0]
    return outcome


def rows(from_: Source, table: str) -> list[dict[str, Any]]:
    """Every row of a core or audit table of the lake."""
    found = sorted((from_.lake.data_dir / "core" / table).rglob("*.parquet"))
    return [row for file in found for row in pq.read_table(file).to_pylist()]


def controls(from_: Source, check: str) -> dict[tuple[str | None, str], tuple[Any, Any, str]]:
    """(account, subject) -> (ours, theirs, status) of the control totals of one check."""
    return {
        (row["account_id"], row["subject"]): (row["ours"], row["theirs"], row["status"])
        for row in rows(from_, "control_total")
        if row["check_name"] == check
    }


def statuses(from_: Source) -> dict[str, set[str]]:
    """Check -> the statuses of its control totals."""
    found: dict[str, set[str]] = {}
    for row in rows(from_, "control_total"):
        found.setdefault(row["check_name"], set()).add(row["status"])
    return found


def sample(name: str) -> Any:
    """A documented answer of a vendor."""
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"), parse_float=Decimal)


def everything_written(folder: Path) -> bytes:
    """All that is on disk below a folder: names and contents, and what Parquet, DuckDB and workbooks pack, unpacked."""
    parts = []
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        parts += [str(file).encode(), file.read_bytes()]
        if file.suffix == ".parquet":
            parts.append(repr(pq.read_table(file).to_pylist()).encode())
        elif file.suffix == ".duckdb":
            with duckdb.connect(str(file), read_only=True) as con:
                tables = con.execute("SELECT table_schema, table_name FROM information_schema.tables").fetchall()
                parts += [repr(con.execute(f'FROM "{place}"."{name}"').fetchall()).encode() for place, name in tables]
        elif file.suffix == ".xlsx":
            with zipfile.ZipFile(file) as book:
                parts += [book.read(name) for name in book.namelist()]
    return b"\0".join(parts)


def _number(value: object) -> object:
    """A Decimal as the JSON number of its digits: the tests only use those that a float shows unchanged."""
    if isinstance(value, Decimal) and Decimal(repr(float(value))) == value:
        return float(value)
    raise TypeError(f"{value!r} cannot become JSON")
