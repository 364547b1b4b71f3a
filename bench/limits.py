"""More of something than anybody has: how long it takes, and how much memory, or with which words it is refused.

What lives here: thousands of finance's rules, a million lines, lists of a vendor beyond every bound. What does not:
what a load takes of usual records (``extract``), and of a long history (``nights``).
"""

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import duckdb

from assets import pbxware, time4vps
from assets.load import load
from assets.stream import Stream, Window
from bench.child import measure
from bench.figures import show
from pipelines.resources import Runtime
from pipelines.settings import load_settings
from tollbook_errors import TollbookError
from warehouse.reference import COST_CENTRES, FX_RATES, read_reference
from warehouse.schema import table
from warehouse.update.inputs import prepare_rules
from warehouse.update.sql import read_mart

CONFIG = """
[[connections]]
name = "big"
vendor = "{vendor}"
url = "{base}"
max_answer_mib = {mib}
{secrets}
"""
SECRETS = {
    "pbxware": 'api_key = "file:secret"\ncurrency = "GBP"',
    "time4vps": 'username = "file:secret"\npassword = "file:secret"',
}
LONG_ID = "9" * 300  # no vendor's document says how long one is

Responses = Callable[[str, str], str]  # by path and action


def beyond(size: int) -> None:
    """Each kind, ``size`` the number of rules; the others in proportion."""
    lines = [
        _line("cost-centre rules, looked up for 2.5 × as many parties", size, measure(_here("rules"), count=size)),
        _line("lines of rates", 125 * size, measure(_here("lines"), count=125 * size)),
    ]
    for what, vendor, mib, count, responses in (
        ("invoices in a list, of 200 bytes each, as configured", "time4vps", 4, 125 * size, _invoices(125 * size)),
        ("invoices in a list, `max_answer_mib = 256`", "time4vps", 256, 125 * size, _invoices(125 * size)),
        ("PBXware extensions, as configured", "pbxware", 4, 12 * size, _extensions(12 * size, "2")),
        ("PBXware extensions, `max_answer_mib = 256`", "pbxware", 256, 12 * size, _extensions(12 * size, "2")),
        ("PBXware departments", "pbxware", 4, size // 4, _departments(size // 4)),
        ("characters of an account's id", "pbxware", 4, 300, _extensions(100, LONG_ID)),
    ):
        with _serving(responses) as base:
            lines.append(_line(what, count, measure(_here("lists"), base=base, vendor=vendor, mib=mib)))
    show("9 beyond what anybody has", lines)


def _line(what: str, count: int, figures: dict[str, Any]) -> tuple[str, object, str]:
    refused = f"; {figures['refused']}" if figures["refused"] else ""
    return f"{count:,} {what}", f"{figures['seconds']:.1f} s, peak resident {figures['peak_mib']:.0f} MiB{refused}", ""


def _here(function: str) -> str:
    return f"{__name__}:{function}"


# --- finance's files -------------------------------------------------------------------------------------------------


def rules(count: int) -> dict[str, Any]:
    """Read so many rules, each for an extension, and find the cost centre of 2.5 × as many."""
    with tempfile.TemporaryDirectory(prefix="tollbook-bench-") as folder, duckdb.connect() as con:
        lines = (f"hq,{n % 40},{100_000 + n},CC-{n % 200},,\n" for n in range(count))
        path = Path(folder, COST_CENTRES)
        path.write_text("connection,account,extension,cost_centre,from,to\n" + "".join(lines), encoding="utf-8")
        con.execute(
            "CREATE TABLE summed AS SELECT DATE '2026-10-20' AS cost_date, 'hq' AS connection, "
            "(n % 40)::VARCHAR AS account_id, (100000 + n)::VARCHAR AS extension FROM range(?) AS party(n)",
            [count * 5 // 2],
        )
        sql = read_mart(table("mart.cost_daily"))
        lookup = sql[sql.index("party AS (") : sql.index("rated AS (")].rstrip().removesuffix(",")
        began = time.perf_counter()
        prepare_rules(con, read_reference(Path(folder), "GBP").rules)
        con.execute(f"WITH {lookup} SELECT * FROM centre").fetchall()
        return {"seconds": time.perf_counter() - began, "refused": ""}


def lines(count: int) -> dict[str, Any]:
    """Read a file of so many lines."""
    with tempfile.TemporaryDirectory(prefix="tollbook-bench-") as folder:
        path = Path(folder, FX_RATES)
        currencies = [f"{a}{b}{c}" for a in "ABCDEFGH" for b in "ABCDEFGH" for c in "ABCDEFGH"]
        rates = (f"{date(2020, 1, 1) + timedelta(n // 512)},{currencies[n % 512]},0.86\n" for n in range(count))
        path.write_text("date,currency,rate\n" + "".join(rates), encoding="utf-8")
        return _tried(lambda: read_reference(Path(folder), "GBP"), path.parent)


def _tried(what: Callable[[], object], folder: Path) -> dict[str, Any]:
    refused = ""
    began = time.perf_counter()
    try:
        what()
    except TollbookError as error:
        refused = f"{error.kind}: {error}".replace(f"{folder}/", "")
    return {"seconds": time.perf_counter() - began, "refused": refused}


# --- vendors' lists --------------------------------------------------------------------------------------------------


def lists(base: str, vendor: str, mib: int) -> dict[str, Any]:
    """Load a vendor's lists, as far as core."""
    with tempfile.TemporaryDirectory(prefix="tollbook-bench-") as folder:
        Path(folder, "secret").write_text("not-a-secret", encoding="utf-8")
        path = Path(folder, "tollbook.toml")
        path.write_text(CONFIG.format(base=base, vendor=vendor, mib=mib, secrets=SECRETS[vendor]), encoding="utf-8")
        source = Runtime(load_settings(path)).source("big", load_id="bench")
        stream: Stream
        if vendor == "pbxware":
            stream, fetch = pbxware.LISTS_STREAM, pbxware.fetch_lists
        else:
            stream, fetch = time4vps.INVOICE_STREAM, time4vps.fetch_invoices

        def whole() -> None:
            for failure in load(source, stream, [Window(None, None)], lambda _: fetch(source)).failures:
                raise failure

        return _tried(whole, Path(folder))


def _invoices(count: int) -> Responses:
    filler = " " * 100
    listed = (
        f'{{"id":"{n}","number":"N{n}","status":"Paid","total":"1.00","date":"2026-10-01","x":"{filler}"}}'
        for n in range(1, count + 1)
    )
    text = f'{{"invoices":[{",".join(listed)}]}}'
    detail = '{{"invoice":{{"id":"{}","status":"Paid","subtotal":"1.00","total":"1.00","items":[]}}}}'
    return lambda path, _: text if path.endswith("/invoice") else detail.format(path.rpartition("/")[2])


def _extensions(count: int, tenant: str) -> Responses:
    listed = {str(n): {"name": f"Desk {n}", "ext": str(1_000_000 + n), "status": "enabled"} for n in range(count)}
    return _pbx({"ext.list": json.dumps(listed)}, tenant)


def _departments(count: int) -> Responses:
    listed = {str(n): {"name": f"Department {n}", "extensions": [str(n)]} for n in range(count)}
    return _pbx({"department.list": json.dumps(listed)}, "2")


def _pbx(given: dict[str, str], tenant: str) -> Responses:
    tenants = {tenant: {"name": "Office", "tenantcode": "200", "ext_length": 7, "country_code": 44}}
    responses = {"tenant.list": json.dumps(tenants), "tenant.configuration": '{"currency":"GBP"}', **given}
    return lambda _, action: responses.get(action, "{}")


@contextmanager
def _serving(responses: Responses) -> Iterator[str]:
    """A server in this process, so that what it holds is not counted; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            action = parse_qs(parts.query).get("action", [""])[0].removeprefix("pbxware.")
            body = responses(parts.path, action).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Who does not read to the end hangs up."""

    with Quiet(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
