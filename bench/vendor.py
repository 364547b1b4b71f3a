"""PBXware and Sipcentric as fast as a server in Python can be: every record is rendered before the first request.

What lives here: ``python -m bench.vendor``, a process of its own that answers by cutting a piece out of one long text,
and ``serving``, which starts and ends it. What does not: faults and company life (``pipelines.demo``).

The day is like an office's: next to nothing at night, most of it before and after lunch. Numbers are those reserved for
fiction. Nothing is random: the same number of rows gives the same bytes.
"""

import argparse
import bisect
import json
import socket
import subprocess
import sys
import threading
import time
from array import array
from calendar import timegm
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bench.child import ROOT

DAY = date(2026, 10, 20)
DAY_START = timegm((2026, 10, 19, 23, 0, 0))  # London's midnight, in summer time
SECONDS = 86_400
EXTENSIONS = 200
# Calls in each hour of the day, in thousandths.
OFFICE = (1, 1, 1, 1, 1, 2, 6, 28, 88, 118, 122, 108, 72, 84, 116, 112, 82, 32, 12, 6, 3, 2, 1, 1)
HEADER = (
    *("From", "To", "Date/Time", "Total Duration", "Rating Duration", "Rating Cost"),
    *("Status", "Unique ID", "Recording Path", "Recording Available", "Location Type", "MOS"),
)
CUSTOMER = "8001"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


# --- records ---------------------------------------------------------------------------------------------------------


def seconds_of_day(rows: int) -> Iterator[int]:
    """The second of the day in which each record starts, in order; evenly spread within an hour."""
    known = 0
    total = sum(OFFICE)
    for hour, weight in enumerate(OFFICE):
        known += weight
        end = rows * known // total
        count = end - rows * (known - weight) // total
        for number in range(count):
            yield hour * 3600 + number * 3600 // count


def outside_number(number: int) -> str:
    """One of 30 000 numbers that are reserved for fiction, in two countries."""
    # Not the mobiles reserved in the United Kingdom: their block is in no numbering plan, and looking for a
    # neighbour that is takes twenty times as long as reading a number that can be called.
    if number % 30 == 0:
        return f"020794{60000 + number // 30 % 1000}"
    return f"1{201 + number // 100 % 300}55501{number % 100:02}"


def pbx_row(number: int, second: int, distinct: int) -> tuple[str, int]:
    """One row of ``cdr.download``, and its cost in millionths."""
    inside = f"Desk {number % EXTENSIONS} ({1000 + number % EXTENSIONS})"
    outside = outside_number(number * 7919 % distinct)
    answered = number % 5 != 0
    length = 5 + number * 31 % 600 if answered else 0
    cost = length * 137 if answered and number % 2 else 0
    caller, called = (inside, outside) if number % 2 else (outside, inside)
    start = DAY_START + second
    payload = "Answered" if answered else "Not Answered"
    text = (
        f'["{caller}","{called}","{start}","{length}","{length}","{cost // 1_000_000}.{cost % 1_000_000:06}",'
        f'"{payload}","{start}.{number}","","False","Remote",{4.2 if answered else 0}]'
    )
    return text, cost


def sip_item(number: int, second: int, distinct: int) -> tuple[str, int]:
    """One item of ``calls``, and its cost in millionths."""
    outside = outside_number(number * 7919 % distinct)
    inside = f"Desk {number % EXTENSIONS} <{1000 + number % EXTENSIONS}>"
    answered = number % 5 != 0
    length = 5 + number * 31 % 600 if answered else 0
    cost = length * 300 if answered and number % 2 else 0
    caller, called = (inside, outside) if number % 2 else (outside, inside)
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(DAY_START + second))
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(DAY_START + second + length))
    text = (
        f'{{"type":"call","uri":"https://pbx.sipcentric.com/api/v1/customers/{CUSTOMER}/calls/{number}",'
        f'"created":"{made}","scope":"EXTERNAL","direction":"{"OUT" if number % 2 else "IN"}","from":"{caller}",'
        f'"to":"{called}","callStarted":"{start}","outcome":"{"ANSWERED" if answered else "NO_ANSWER"}",'
        f'"duration":{length},"cost":{cost // 1_000_000}.{cost % 1_000_000:06},"callId":"c{number}",'
        f'"linkedId":"c{number}","final":true}}'
    )
    return text, cost


class Records:
    """Every record of the day in one text, joined by commas, with where each begins."""

    def __init__(self, rows: int, render: Callable[[int, int, int], tuple[str, int]]) -> None:
        distinct = max(10, min(30_000, rows // 20))
        parts: list[bytes] = []
        self.place = array("q", [0])
        self.second = array("q")
        self.cost = array("q", [0])
        for number, second in enumerate(seconds_of_day(rows)):
            text, cost = render(number, second, distinct)
            parts.append(text.encode())
            self.place.append(self.place[-1] + len(parts[-1]) + 1)
            self.second.append(DAY_START + second)
            self.cost.append(self.cost[-1] + cost)
        self.text = b",".join(parts)

    def between(self, start: float, end: float) -> tuple[int, int]:
        """The records that start at ``start`` or later, and before ``end``."""
        return bisect.bisect_left(self.second, start), bisect.bisect_left(self.second, end)

    def cut(self, first: int, last: int) -> bytes:
        return self.text[self.place[first] : max(self.place[first], self.place[last] - 1)]


# --- answers ---------------------------------------------------------------------------------------------------------


@dataclass
class Vendors:
    """Both vendors; ``latency_seconds`` passes before a response to a request for records."""

    pbx: Records
    sip: Records
    latency_seconds: float

    def response(self, path: str, asked: dict[str, str]) -> bytes:
        action = asked.get("action", "").removeprefix("pbxware.")
        if action:
            return self._cdrs(asked) if action == "cdr.download" else self._pbx(action, asked)
        kind = path.removeprefix("/sip/")
        return self._calls(asked) if kind == f"customers/{CUSTOMER}/calls" else self._sip(kind, asked)

    def _cdrs(self, asked: dict[str, str]) -> bytes:
        time.sleep(self.latency_seconds)
        begin, end = self.pbx.between(_moment(asked, "start"), _moment(asked, "end") + 1)
        limit = int(asked.get("limit", 16))
        first = min(end, begin + (int(asked.get("page", 1)) - 1) * limit)
        last = min(end, first + limit)
        head = {"success": "Success.", "next_page": last < end, "limit": limit, "records": last - first}
        header = json.dumps(HEADER if last > first else None)
        return b'%s,"header":%s,"csv":[%s]}' % (
            json.dumps(head)[:-1].encode(),
            header.encode(),
            self.pbx.cut(first, last),
        )

    def _pbx(self, action: str, asked: dict[str, str]) -> bytes:
        payload: Any = {}
        if action == "tenant.list":
            payload = {
                "2": {"name": "Office", "tenantcode": "200", "package": "1", "ext_length": 4, "country_code": 44}
            }
        elif action == "tenant.configuration":
            payload = {"currency": "GBP"}
        elif action == "ext.list":
            payload = {
                str(n): {"name": f"Desk {n}", "ext": str(1000 + n), "status": "enabled"} for n in range(EXTENSIONS)
            }
        elif action == "cdr.billamount":
            begin, end = self.pbx.between(_moment(asked, "start"), _moment(asked, "end") + 1)
            cost = self.pbx.cost[end] - self.pbx.cost[begin]
            payload = {"billamount": f"{cost // 1_000_000}.{cost % 1_000_000:06}"}
        return json.dumps(payload).encode()

    def _calls(self, asked: dict[str, str]) -> bytes:
        time.sleep(self.latency_seconds)
        begin, end = self.sip.between(_instant(asked["startedAfter"]), _instant(asked["startedBefore"]))
        size = int(asked["pageSize"])
        last = max(begin, end - (int(asked["page"]) - 1) * size)
        first = max(begin, last - size)
        head = f'{{"type":"calls","totalItems":{end - begin},"pageSize":{size},"page":{asked["page"]},"items":['
        return head.encode() + self.sip.cut(first, last) + b"]}"

    def _sip(self, kind: str, asked: dict[str, str]) -> bytes:
        if kind == "customers":
            items: list[Any] = [{"uri": f"https://pbx.sipcentric.com/api/v1/customers/{CUSTOMER}", "company": "Office"}]
        elif kind.endswith("/endpoints"):
            items = [
                {
                    "uri": f"https://pbx.sipcentric.com/api/v1/customers/{CUSTOMER}/endpoints/{n}",
                    "shortNumber": str(1000 + n),
                    "name": f"Desk {n}",
                    "type": "phone",
                }
                for n in range(EXTENSIONS)
            ]
        elif kind.endswith("/creditstatus"):
            return b'{"accountType":"POSTPAID","balance":100.00}'
        elif kind.endswith("/stats"):
            begin, end = self.sip.between(_instant(asked["startedAfter"]), _instant(asked["startedBefore"]))
            total: float = end - begin
            if asked["metric"] == "cost":
                cost = self.sip.cost[end] - self.sip.cost[begin]
                return f'{{"type":"datatable","totals":{{"cost":{cost // 1_000_000}.{cost % 1_000_000:06}}}}}'.encode()
            if asked["metric"] == "duration":
                total = sum(5 + n * 31 % 600 for n in range(begin, end) if n % 5)
            return json.dumps({"type": "datatable", "totals": {asked["metric"]: total}}).encode()
        else:
            items = []
        return json.dumps({"totalItems": len(items), "pageSize": 200, "page": 1, "items": items}).encode()


def _moment(asked: dict[str, str], end: str) -> int:
    month, day, year = asked[end].split("-")
    hour, minute, second = asked[f"{end}time"].split(":")
    return timegm((int(year), MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second)))


def _instant(text: str) -> int:
    return timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


# --- the process -----------------------------------------------------------------------------------------------------


def _serve(vendors: Vendors, connection: socket.socket) -> None:
    """Answer requests on one connection until the other side closes it."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, connection.makefile("rb", buffering=65536) as stream:
        while line := stream.readline():
            target = line.split()[1].decode()
            length = 0
            while (header := stream.readline()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            form = stream.read(length).decode() if length else ""
            parts = urlsplit(target)
            body = vendors.response(parts.path, dict(parse_qsl(parts.query) + parse_qsl(form)))
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            connection.sendall(head + body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pbx", type=int, default=0)
    parser.add_argument("--sip", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    arguments = parser.parse_args()
    vendors = Vendors(Records(arguments.pbx, pbx_row), Records(arguments.sip, sip_item), arguments.latency)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_serve, args=(vendors, connection), daemon=True).start()


@contextmanager
def serving(*, pbx: int = 0, sip: int = 0, latency: float = 0.0) -> Iterator[str]:
    """The base address of a server process with so many records of each vendor, for the time of the block."""
    command = [sys.executable, "-m", "bench.vendor", "--pbx", str(pbx), "--sip", str(sip), "--latency", str(latency)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise RuntimeError("the server did not start")
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.kill()


if __name__ == "__main__":
    main()
