"""A PBXware inside the test's own process: the same responses as over HTTP, without the wire, and as wrong as asked.

What lives here: ``FakePbx``, the client that asks it, and the driving of a load against it. What does not: tests.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow.parquet as pq

from assets import pbxware
from assets.http import strict_json
from assets.http.client import Response
from assets.load import load
from assets.stream import Outcome, Source, Window
from tollbook_errors import AuthError
from warehouse.lake import Lake

DAY = date(2026, 3, 10)
START = datetime(2026, 3, 10, tzinfo=UTC)
NOON = int(START.timestamp()) + 12 * 3600
HEADER = [
    "From",
    "To",
    "Date/Time",
    "Total Duration",
    "Rating Duration",
    "Rating Cost",
    "Status",
    "Unique ID",
    "Recording Path",
    "Recording Available",
    "Location Type",
    "MOS",
]
FILED = {"Unanswered": "4", "Not Answered": "4", "No Answer": "4", "Cancelled": "4", "Busy": "2", "Failed": "1"}
TENANTS = {
    "1": {"name": "master.example.com", "tenantcode": "", "ext_length": 3, "country_code": "44"},
    "2": {"name": "one.example.com", "tenantcode": "344", "ext_length": 3, "country_code": "44"},
}
LISTS: dict[str, Any] = {
    "tenant.list": TENANTS,
    "tenant.configuration": {"2": {"currency": "EUR"}},
    "ext.list": {"7": {"name": "Ada Quill", "ext": "100", "status": "enabled", "department": "4,6"}},
    "department.list": {"4": {"name": "Sales"}},
    "did.list": {"9": {"number": "442079460100", "type": "Extension", "ext": "100", "e164": "+442079460100"}},
    "trunk.list": {"11": {"name": "Carrier A", "status": "enabled"}},
    "splan.list": [],
}


def row(second: int = NOON, number: int = 0, **cells: Any) -> list[Any]:
    """A record; ``cells`` are given by the header's names in lower case with underscores."""
    values: dict[str, Any] = {
        "from": "Ada Quill (100)",
        "to": "02079460123",
        "date/time": str(second),
        "total_duration": "60",
        "rating_duration": "60",
        "rating_cost": "0.10000",
        "status": "Answered",
        "unique_id": f"{NOON}.{number}",
        "recording_path": "",
        "recording_available": "False",
        "location_type": "Remote",
        "mos": 4.4,
    } | cells
    return [values[name.lower().replace(" ", "_")] for name in HEADER]


def second_of(record: list[Any]) -> int:
    return int(record[2])


@dataclass
class FakePbx:
    """``rows`` in the order in which pages give them. ``page_size`` is what it really keeps to (None: as asked).

    ``filed`` is the value of the filter ``status`` under which it finds a status. ``before`` is called with the number
    of each request, from 1, before it is answered; ``change`` may replace the data of a response that is an object.
    """

    rows: list[list[Any]] = field(default_factory=list)
    header: list[str] = field(default_factory=lambda: list(HEADER))
    page_size: int | None = None
    lists: dict[str, Any] = field(default_factory=lambda: json.loads(json.dumps(LISTS)))
    next_page: Callable[[bool], Any] = lambda more: more
    stated_limit: int | None = None
    billamount: Any = None
    heeds_status: bool = True
    filed: Callable[[str], str | None] = lambda status: FILED.get(status, "8")
    before: Callable[[int], None] = lambda number: None
    change: Callable[[dict[str, str], Any], Any] = lambda asked, data: data
    asked: list[dict[str, str]] = field(default_factory=list)

    def response(self, asked: dict[str, str]) -> Any:
        self.asked.append(asked)
        self.before(len(self.asked))
        action = asked["action"].removeprefix("pbxware.")
        if action == "cdr.download":
            data = self._download(asked)
        elif action == "cdr.billamount":
            data = {"billamount": self._billamount(asked)}
        else:
            data = self.lists.get(action, [])
        return self.change(asked, data) if isinstance(data, dict) else data

    def _selected(self, asked: dict[str, str]) -> list[list[Any]]:
        first, last = (
            datetime.strptime(f"{asked[day]} {asked[time]}", "%b-%d-%Y %H:%M:%S").replace(tzinfo=UTC).timestamp()
            for day, time in (("start", "starttime"), ("end", "endtime"))
        )
        assert asked["timezone"] == "UTC"
        wanted = asked.get("status") if self.heeds_status else None
        return [
            record
            for record in self.rows
            if first <= second_of(record) <= last and wanted in (None, self.filed(str(record[6])))
        ]

    def _download(self, asked: dict[str, str]) -> Any:
        rows, size = self._selected(asked), self.page_size or int(asked["limit"])
        begin = (int(asked["page"]) - 1) * size
        csv = rows[begin : begin + size]
        response = {
            "success": "Success.",
            "next_page": self.next_page(len(rows) > begin + size),
            "limit": self.stated_limit or size,
            "records": len(csv),
            "header": self.header if csv else None,
            "csv": csv,
        }
        if response["next_page"] == "missing":
            del response["next_page"]
        return response

    def _billamount(self, asked: dict[str, str]) -> Any:
        if self.billamount is not None:
            return self.billamount
        rows = self._selected(asked)
        if "cdrtype" in asked:
            rows = [record for record in rows if ("(100)" in record[0]) == (asked["cdrtype"] == "2")]
        units = sum(round(float(record[5] or 0) * 100_000) for record in rows)
        return f"{units // 100_000}.{units % 100_000:05d}"

    @property
    def downloads(self) -> list[dict[str, str]]:
        """What was asked for to have the records themselves."""
        return [asked for asked in self._cdr_requests if "status" not in asked]

    @property
    def counts(self) -> list[dict[str, str]]:
        """What was asked for only to count the records of a status."""
        return [asked for asked in self._cdr_requests if "status" in asked]

    @property
    def _cdr_requests(self) -> list[dict[str, str]]:
        return [asked for asked in self.asked if asked["action"] == "pbxware.cdr.download"]


class FakeClient:
    """Stands for ``Client``: answers at once, in the order of asking.

    ``methods`` is how each request was made.
    """

    connection = "hq"

    def __init__(self, response: Callable[[dict[str, str]], Any], max_in_flight: int = 1) -> None:
        self.methods: list[str] = []
        self.max_in_flight = max_in_flight
        self.requests_made = 0
        self.refused: AuthError | None = None
        self.posts_forms = False
        self._answer = response

    def request(
        self, method: str, path: str, params: dict[str, str], *, form: bool, endpoint: str, window: str
    ) -> Response:
        assert (path, form) == ("", method == "POST")
        self.requests_made += 1
        self.methods.append(method)
        body = self._answer(dict(params))
        body = body if isinstance(body, str) else json.dumps(body)
        return Response(body, strict_json.loads(body, connection=self.connection), {}, datetime.now(UTC), 200)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def mark_unauthorized(self, error: AuthError) -> AuthError:
        self.refused = error
        return error

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return map(function, items)

    @contextmanager
    def pool(self) -> Iterator["FakeClient"]:
        yield self

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # the pool raises it where the result is asked for
            future.set_exception(error)
        return future

    def result(self, future: "Future[Any]") -> Any:
        return future.result()


def source_of(pbx: FakePbx, data_dir: Path, **changes: Any) -> Source:
    """A connection ``hq`` to ``pbx``, business days in UTC."""
    client = FakeClient(pbx.response)
    settings: dict[str, Any] = {
        "name": "hq",
        "vendor": "pbxware",
        "lake": Lake(data_dir),
        "client": lambda: client,
        "zone": ZoneInfo("UTC"),
        "account_zone": ZoneInfo("UTC"),
        "region": "GB",
        "currency": "EUR",
        "load_id": "20260311T000000Z",
    }
    return Source(**(settings | changes))


def load_lists(source: Source) -> Outcome:
    return load(source, pbxware.LISTS_STREAM, [Window(None, None)], lambda w: pbxware.fetch_lists(source))


def load_day(source: Source, day: date = DAY) -> Outcome:
    """The lists when they were never loaded, then one day's call records."""
    if source.lake.raw.last_landing(source.name, "lists", None, None) is None:
        outcome = load_lists(source)
        assert not outcome.failures
    lists = source.lake.raw.newest_list(source.name, "lists")
    return load(
        source,
        pbxware.CDR_STREAM,
        [Window(day, day)],
        lambda window: pbxware.fetch_cdrs(source, lists, window),
        depends_on={"lists": lists.content_generation},
    )


def rows_of(
    source: Source, table: str = "core.cdr", stream: str = "cdr", day: date | None = DAY
) -> list[dict[str, Any]]:
    """The rows of a partition as it stands in core."""
    partition = source.lake.core.partition(stream, source.name, day)
    assert partition is not None
    files = source.lake.core.files(partition)
    return list(pq.read_table(files[table]).to_pylist()) if table in files else []


def sql(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with duckdb.connect() as con:
        return con.execute(query, list(parameters)).fetchall()
