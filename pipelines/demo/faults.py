"""How to make the vendors misbehave: a rule says whom to strike and when, a small function what then happens.

What lives here: ``Fault``, and for each kind of misbehaviour one function in one of three tables. What does not:
deciding when a request is answered (``server``).

- ``ASK`` changes the request, or the vendors' data, before the answer is made;
- ``DATA`` changes the answer's data before it becomes JSON;
- ``WIRE`` changes how the answer is sent.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from threading import Lock
from typing import Any, Protocol

from pipelines.demo.company import ZONE
from pipelines.demo.messages import RawResponse, Request

LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body><form>Please log in</form></body></html>"


class Changeable(Protocol):
    """What a fault can do to the vendors' data while they are being read."""

    def add_late_rows(self, day: date, n: int, vendor: str = "pbxware", account: str | None = None) -> None: ...
    def withdraw_row(self, day: date, vendor: str = "pbxware", account: str | None = None) -> None: ...


@dataclass(frozen=True)
class Fault:
    """One rule. Strikes the requests to ``vendor``, ``endpoint`` and ``path`` (shell patterns) whose parameters are as
    in ``where`` (None: absent): the ``nth`` of them (from 1) and those after it, ``times`` in all (None: for ever).

    ``kind`` names a function of this module; ``params`` are its arguments.
    """

    kind: str
    vendor: str = "*"
    endpoint: str = "*"
    nth: int = 1
    times: int | None = 1
    where: Mapping[str, str | None] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    path: str = "*"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no such fault: {self.kind}; there are {', '.join(sorted(KINDS))}")

    def matches(self, request: Request) -> bool:
        """Whether the request is of the kind that this fault counts."""
        return (
            fnmatchcase(request.vendor, self.vendor)
            and fnmatchcase(request.endpoint, self.endpoint)
            and fnmatchcase(request.path, self.path)
            and all(request.params.get(name) == value for name, value in self.where.items())
        )

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """A fault from ``kind,vendor=…,endpoint=…,path=…,nth=…,times=…,name=value,…``; ``times=0`` = for
        ever."""
        kind, *pairs = text.split(",")
        values = dict(pair.split("=", 1) for pair in pairs)
        vendor, endpoint, path = (values.pop(name, "*") for name in ("vendor", "endpoint", "path"))
        nth, times = int(values.pop("nth", "1")), int(values.pop("times", "1"))
        params = {name: _value(value) for name, value in values.items()}
        return cls(kind, vendor, endpoint, nth, times or None, params=params, path=path)


class Faults:
    """The rules in force, and how many requests each has seen."""

    def __init__(self, rules: list[Fault]) -> None:
        self._rules = [(rule, [0]) for rule in rules]
        self._lock = Lock()

    def add(self, rule: Fault) -> None:
        with self._lock:
            self._rules.append((rule, [0]))

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def striking(self, request: Request) -> list[Fault]:
        """Count a request, and give the rules that strike it."""
        struck = []
        with self._lock:
            for rule, seen in self._rules:
                if rule.matches(request):
                    seen[0] += 1
                    if seen[0] >= rule.nth and (rule.times is None or seen[0] < rule.nth + rule.times):
                        struck.append(rule)
        return struck


def ask(struck: list[Fault], request: Request, world: Changeable) -> None:
    """Let the faults change the request or the data before it is answered."""
    for fault in struck:
        if fault.kind in ASK:
            ASK[fault.kind](request, world, **fault.params)


def response(struck: list[Fault], request: Request, reply: RawResponse) -> RawResponse:
    """Let the faults change the answer, its data first."""
    for fault in struck:
        if fault.kind in DATA and reply.data is not None:
            reply.data = DATA[fault.kind](reply.data, **fault.params) or reply.data
    for fault in struck:
        if fault.kind in WIRE:
            WIRE[fault.kind](reply, **fault.params)
    return reply


def _value(text: str) -> Any:
    """A number, true, false, null or quoted text as JSON has it; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


# --- before the answer is made ---


def _insert_rows(request: Request, world: Changeable, n: int = 3, day: str = "", account: str | None = None) -> None:
    world.add_late_rows(_day_of(request, day), n, request.vendor, account or _account_of(request))


def _remove_rows(request: Request, world: Changeable, n: int = 1, day: str = "", account: str | None = None) -> None:
    for _ in range(n):
        world.withdraw_row(_day_of(request, day), request.vendor, account or _account_of(request))


def _repeat_page(request: Request, world: Changeable) -> None:
    request.params["page"] = "1"


def _previous_page(request: Request, world: Changeable) -> None:
    request.params["page"] = str(max(1, int(request.params.get("page", "1")) - 1))


def _page_size(request: Request, world: Changeable, size: int = 10) -> None:
    request.params.update({"limit": str(size), "pageSize": str(size)})


def _day_of(request: Request, day: str) -> date:
    """The business day that is named, else the one in whose window the request asks."""
    if day:
        return date.fromisoformat(day)
    text = request.params.get("startedBefore") or request.params.get("createdBefore")
    if text:
        return (datetime.fromisoformat(text).astimezone(ZONE) - timedelta(seconds=1)).date()
    return datetime.strptime(request.params["end"], "%b-%d-%Y").date()


def _account_of(request: Request) -> str | None:
    parts = request.path.strip("/").split("/")
    return request.params.get("server") or (parts[1] if len(parts) > 1 else None)


# --- the answer's data ---


def _rows_of(data: Any) -> list[Any]:
    """The records of an answer, whichever vendor's."""
    if isinstance(data, list):
        return data
    for name in ("csv", "items", "invoices", "services", "ExtensionTotals"):
        if isinstance(data.get(name), list):
            found: list[Any] = data[name]
            return found
    return []


Which = int | str  # a record by its number, or the first that is "charged" or "free" of charge


def _place(data: Any, which: Which) -> int | None:
    """The number of a record of an answer; None when there is no such record."""
    rows = _rows_of(data)
    if isinstance(which, int):
        return which if which < len(rows) else None
    costs = (Decimal(str(row[_key(data, _cost_name(data))] or 0)) for row in rows)
    return next((n for n, cost in enumerate(costs) if (cost > 0) == (which == "charged")), None)


def _key(data: Any, name: str) -> Any:
    """Where a record has its column or field ``name``."""
    return data["header"].index(name) if "csv" in data else name


def _cost_name(data: Any) -> str:
    if "csv" not in data:
        return "cost"
    return "Rating Cost" if "Rating Cost" in data["header"] else "Billing Cost"


def _drop_column(data: Any, name: str) -> None:
    if name in (data["header"] or []):
        at = data["header"].index(name)
        del data["header"][at]
        for row in data["csv"]:
            del row[at]


def _rename_column(data: Any, name: str, to: str) -> None:
    data["header"] = [to if column == name else column for column in data["header"] or []] or None


def _drop_header(data: Any) -> None:
    """The header loses its last name; the rows keep their cells."""
    data["header"] = (data["header"] or [])[:-1] or None


def _reorder_columns(data: Any) -> None:
    if data["header"]:
        data["header"].reverse()
        for row in data["csv"]:
            row.reverse()


def _extra_column(data: Any, name: str = "Codec", value: Any = "opus", at: int = 2) -> None:
    if data["header"]:
        data["header"].insert(at, name)
        for row in data["csv"]:
            row.insert(at, value)


def _short_row(data: Any, row: Which = 0) -> None:
    place = _place(data, row)
    if place is not None:
        data["csv"][place].pop()


def _long_row(data: Any, row: int = 0, value: Any = "surplus") -> None:
    if len(data["csv"]) > row:
        data["csv"][row].append(value)


def _cell(data: Any, name: str, value: Any, row: Which = 0) -> None:
    """One cell, or one field of a record, says something else; ``name`` is its column or field."""
    place = _place(data, row)
    if place is not None:
        _rows_of(data)[place][_key(data, name)] = value


def _drop_row(data: Any, row: Which = 0, total: bool = False) -> None:
    """A record is not in the answer; ``total``: and the vendor does not count it."""
    place = _place(data, row)
    if place is None:
        return
    del _rows_of(data)[place]
    if "records" in data:
        data["records"] = len(data["csv"])
    if total:
        data["totalItems"] -= 1


def _repeat_row(data: Any, row: Which = 0) -> None:
    place = _place(data, row)
    if place is not None:
        _rows_of(data).append(_rows_of(data)[place])


def _repeat_rows(data: Any) -> None:
    """Every record stands twice in the answer."""
    _rows_of(data).extend(list(_rows_of(data)))
    if "records" in data:
        data["records"] = len(data["csv"])


def _added_row(data: Any, **values: Any) -> None:
    """A record like the first one, but for ``values``, that there is not."""
    _rows_of(data).append({**_rows_of(data)[0], **values})


def _turned_call(data: Any) -> None:
    """A charged incoming call, of a caller who shows a number, is written down as an outgoing one."""
    caller, callee, cost = _key(data, "From"), _key(data, "To"), _key(data, _cost_name(data))
    for row in data["csv"]:
        shown, dialled = (sum(map(str.isdigit, row[cell])) > 6 for cell in (caller, callee))
        if Decimal(row[cost] or 0) > 0 and shown and not dialled:
            row[caller], row[callee] = row[callee], row[caller]
            return


def _outside_row(data: Any, seconds: int = 40 * 86_400, row: Which = 0) -> None:
    """A record is of another day."""
    place = _place(data, row)
    if place is None:
        return
    record = _rows_of(data)[place]
    if "csv" in data:
        at = _key(data, "Date/Time")
        record[at] = str(int(record[at]) - seconds)
    else:
        record["callStarted"] = "2020-02-29T12:00:00Z"


def _field(data: Any, **values: Any) -> None:
    """Fields of the answer itself say something else: next_page, totalItems, nextPage, records, limit, …"""
    data.update(values)


def _without(data: Any, name: str) -> None:
    data.pop(name, None)


def _add(data: Any, name: str, by: float = 1, row: Which | None = None) -> None:
    """A figure is wrong by ``by``: of the answer, of its one object, or of its ``row``; text stays text."""
    holder, key = data, name
    if row is not None:
        place = _place(data, row)
        if place is None:
            return
        holder, key = _rows_of(data)[place], _key(data, name)
    elif name not in data:
        holder = next(value for value in data.values() if isinstance(value, dict) and name in value)
    before = holder[key]
    after = Decimal(str(before or 0)) + Decimal(str(by))
    holder[key] = str(after) if isinstance(before, str) else (int(after) if after == int(after) else float(after))


def _line_off(data: Any, by: float = 0.01, line: int = 0) -> None:
    """A line of an invoice's detail is wrong, so that the lines do not add up to its subtotal."""
    item = data["invoice"]["items"][line]
    item["linetotal"] = f"{float(item['linetotal']) + by:.2f}"


# --- how the answer is sent ---


def _status(reply: RawResponse, status: int = 500, body: str = '{"error": "Server Error"}', **headers: str) -> None:
    """Another status; further parameters are headers, with ``_`` for ``-``."""
    reply.status = status
    reply.body = b"" if status in {204, 304} else body.encode()
    reply.headers |= {name.replace("_", "-"): str(value) for name, value in headers.items()}


def _headers(reply: RawResponse, **headers: str) -> None:
    reply.headers |= {name.replace("_", "-"): str(value) for name, value in headers.items()}


def _no_headers(reply: RawResponse) -> None:
    reply.headers.clear()


def _body(reply: RawResponse, body: bytes | str = b"") -> None:
    reply.body = body.encode() if isinstance(body, str) else body


def _html(reply: RawResponse) -> None:
    reply.body = LOGIN_PAGE
    reply.headers["Content-Type"] = "text/html; charset=utf-8"


def _redirect(reply: RawResponse, url: str, status: int = 302) -> None:
    reply.status, reply.body = status, b""
    reply.headers["Location"] = url


def _delay(reply: RawResponse, seconds: float = 1.0) -> None:
    reply.delay_seconds = seconds


def _drip(reply: RawResponse, seconds: float = 0.05) -> None:
    reply.drip_seconds = seconds


def _ending(ending: str) -> Callable[[RawResponse], None]:
    def end(reply: RawResponse) -> None:
        reply.ending = ending

    return end


ASK: dict[str, Callable[..., None]] = {
    "insert_rows": _insert_rows,
    "remove_rows": _remove_rows,
    "repeat_page": _repeat_page,
    "duplicate_page": _previous_page,
    "page_size_ignored": _page_size,
}
DATA: dict[str, Callable[..., Any]] = {
    "drop_column": _drop_column,
    "rename_column": _rename_column,
    "drop_header": _drop_header,
    "reorder_columns": _reorder_columns,
    "extra_column": _extra_column,
    "short_row": _short_row,
    "long_row": _long_row,
    "cell": _cell,
    "unknown_status": lambda data, name="Status", value="Teleported", row=0: _cell(data, name, value, row),
    "weird_duration": lambda data, name="Total Duration", value="-1", row=0: _cell(data, name, value, row),
    "drop_row": _drop_row,
    "repeat_row": _repeat_row,
    "repeat_rows": _repeat_rows,
    "added_row": _added_row,
    "turned_call": _turned_call,
    "outside_row": _outside_row,
    "field": _field,
    "without": _without,
    "next_page": lambda data, value=True: _field(data, next_page=value),
    "total_items": lambda data, by=1: _add(data, "totalItems", by),
    "hostile_next": lambda data, url="http://169.254.169.254/latest?page=2": _field(data, nextPage=url),
    "add": _add,
    "cost_off": lambda data, by=-0.01, row="charged": _add(data, _cost_name(data), by, row),
    "billamount_off": lambda data, by=0.01: _add(data, "billamount", by),
    "tim_off": lambda data, name="Calls", by=1, row=0: _add(data, name, by, row),
    "line_off": _line_off,
    "tax_off": lambda data, by=0.01: _add(data, "tax", by),
    "list_off": lambda data, by=0.01, row=0: _add(data, "total", by, row),
}
WIRE: dict[str, Callable[..., None]] = {
    "status": _status,
    "headers": _headers,
    "no_headers": _no_headers,
    "body": _body,
    "html": _html,
    "redirect": _redirect,
    "delay": _delay,
    "drip": _drip,
    "reset": _ending("reset"),
    "truncate": _ending("short"),
    "cut_chunk": _ending("chunk"),
    "unframed": _ending("unframed"),
}
KINDS = frozenset(ASK) | frozenset(DATA) | frozenset(WIRE)
