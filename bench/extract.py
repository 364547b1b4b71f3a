"""From the vendor to typed Parquet: time, memory, requests, several in flight, each against a bare download.

What lives here: one day loaded through the real client, landing and typing (Dagster apart), and the floors: the same
pages downloaded, and downloaded and parsed. What does not: the server (``vendor``), how a figure is repeated
(``figures``), what becomes of core afterwards (``nights``).
"""

import json
import math
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import requests

from assets import pbxware, sipcentric
from assets.earlier import earlier_readings
from assets.http.page import Page
from assets.http.slices import NOTHING, Earlier
from assets.load import load
from assets.pbxware.api import LIMIT, PBXware
from assets.sipcentric.api import PAGE_SIZE, Sipcentric
from assets.stream import Outcome, Source, Window
from bench.child import measure
from bench.figures import Figure, Way, interleave, ratio, show
from bench.vendor import CUSTOMER, DAY, DAY_START, SECONDS, serving
from pipelines.cli import main as command
from pipelines.resources import Runtime
from pipelines.settings import load_settings
from warehouse.layout import bounds

ROWS_A_PAGE = {"pbxware": LIMIT, "sipcentric": PAGE_SIZE}
GOALS = {"pbxware": 1.5, "sipcentric": 1.2}  # × floor
NAMES = {"pbxware": "hq", "sipcentric": "sip"}
CONFIG = """
[tollbook]
data_dir = "data"
timezone = "Europe/London"
reporting_currency = "GBP"
lookback_days = 0
first_date = {first}
"""
CONNECTIONS = {
    "pbxware": """
[[connections]]
name = "hq"
vendor = "pbxware"
url = "{base}"
api_key = "file:secret"
currency = "GBP"
""",
    "sipcentric": """
[[connections]]
name = "sip"
vendor = "sipcentric"
url = "{base}sip/"
username = "file:secret"
password = "file:secret"
requests_per_hour = 100000
""",
}


def configure(folder: Path, base: str, *vendors: str) -> Path:
    """Write a configuration with one connection for each vendor; its path."""
    (folder / "secret").write_text("not-a-secret", encoding="utf-8")
    path = folder / "tollbook.toml"
    first = DAY - timedelta(days=4000)
    text = CONFIG.format(first=first) + "".join(CONNECTIONS[vendor].format(base=base) for vendor in vendors)
    path.write_text(text, encoding="utf-8")
    return path


def load_lists(source: Source) -> Outcome:
    """What tells a vendor's own numbers from others'; every load begins with it."""
    module = pbxware if source.vendor == "pbxware" else sipcentric
    return _whole(load(source, module.LISTS_STREAM, [Window(None, None)], lambda _: module.fetch_lists(source)))


def load_day(source: Source) -> Outcome:
    """The day's records, landed and made core."""
    windows = [Window(DAY, DAY)]
    lists = source.lake.raw.newest_list(source.name, "lists")
    depends_on = {"lists": lists.content_generation}
    if source.vendor == "pbxware":
        fetch: Any = partial(pbxware.fetch_cdrs, source, lists)
        return _whole(load(source, pbxware.CDR_STREAM, windows, fetch, depends_on=depends_on))
    fetch = partial(sipcentric.fetch_calls, source, lists)
    return _whole(load(source, sipcentric.CALL_STREAM, windows, fetch, depends_on=depends_on))


def _whole(outcome: Outcome) -> Outcome:
    if outcome.failures:
        raise outcome.failures[0]
    return outcome


@contextmanager
def source_of(vendor: str, base: str) -> Iterator[Source]:
    """A connection to the server with a data directory of its own, its lists loaded."""
    with tempfile.TemporaryDirectory(prefix="tollbook-bench-") as folder:
        runtime = Runtime(load_settings(configure(Path(folder), base, vendor)))
        source = runtime.source(NAMES[vendor], load_id="bench")
        load_lists(source)
        yield source


def land_week_before(source: Source, base: str) -> None:
    """Land what was found a week before the day, on a server with other records: which slices, and how many in each."""
    before = DAY - timedelta(days=7)
    with (
        source_of(source.vendor, base) as other,
        source.lake.raw.landing(source.name, source.vendor, "cdr", before, before) as writer,
    ):
        for page in _records(other):
            writer.add(
                kind=page.kind,
                account_id=page.account_id,
                request=page.request,
                body="{}",
                fetched_at=page.fetched_at,
                rows=page.rows,
            )
        writer.commit(requests=0)


def _records(source: Source, earlier: Earlier = NOTHING) -> Iterator[Page]:
    """The responses that hold the day's records."""
    start, end = bounds(DAY, source.zone)
    if source.vendor == "pbxware":
        return PBXware(source.client()).cdrs("2", start, end, window=str(DAY), earlier=earlier)
    return Sipcentric(source.client()).calls(CUSTOMER, start, end, window=str(DAY), earlier=earlier)


# --- what runs in a process of its own -------------------------------------------------------------------------------


def extract(vendor: str, base: str, rows: int, week_before: str = "") -> dict[str, float]:
    """Load the day, knowing how it was a week before if there is a server that tells; raises if a record is missing."""
    with source_of(vendor, base) as source:
        if week_before:
            land_week_before(source, week_before)
        started = time.perf_counter()
        outcome = load_day(source)
        seconds = time.perf_counter() - started
        kept = outcome.partitions[0].rows["core.cdr"]
        if kept != rows:
            raise RuntimeError(f"{kept} records of {rows}")
        return {"seconds": seconds, "requests": outcome.landings[0].requests}


def whole_command(base: str) -> dict[str, float]:
    """``tollbook load`` of the day, Dagster, the database and publishing included."""
    with tempfile.TemporaryDirectory(prefix="tollbook-bench-") as folder:
        config = configure(Path(folder), base, "pbxware")
        started = time.perf_counter()
        command(["--config", str(config), "load", "--from", str(DAY), "--to", str(DAY)], standalone_mode=False)
        return {"seconds": time.perf_counter() - started}


def count_requests(vendor: str, base: str, rows: int, week_before: str = "") -> dict[str, float]:
    """Read the day and keep nothing, knowing how it was a week before if there is a server that tells."""
    with source_of(vendor, base) as source:
        if week_before:
            land_week_before(source, week_before)
        module: Any = pbxware if vendor == "pbxware" else sipcentric
        kind, account = ("cdr.download", "2") if vendor == "pbxware" else ("calls", CUSTOMER)
        earlier = earlier_readings(source, "cdr", DAY, kind, module.slice_asked).get(account, NOTHING)
        client = source.client()
        before = client.requests_made
        found = sum(page.rows for page in _records(source, earlier))
        if found < rows:
            raise RuntimeError(f"{found} records of {rows}")
        return {"requests": client.requests_made - before}


def download(vendor: str, base: str, rows: int, parse: bool, in_flight: int = 1) -> dict[str, float]:
    """The floor: full pages of the day by number, over kept connections, thrown away or parsed and thrown away."""
    size = ROWS_A_PAGE[vendor]
    pages = range(1, math.ceil(rows / size) + 1)
    sessions = [requests.Session() for _ in range(in_flight)]

    def read(worker: int) -> int:
        found = 0
        for page in pages[worker::in_flight]:
            body = _page(sessions[worker], vendor, base, page, size)
            if parse:
                data = orjson.loads(body)
                found += len(data["csv"] if vendor == "pbxware" else data["items"])
        return found

    read_one = _page(sessions[0], vendor, base, 1, size)
    assert read_one
    started = time.perf_counter()
    with ThreadPoolExecutor(in_flight) as threads:
        found = sum(threads.map(read, range(in_flight)))
    seconds = time.perf_counter() - started
    if parse and found != rows:
        raise RuntimeError(f"{found} records of {rows}")
    return {"seconds": seconds, "requests": len(pages)}


def _page(session: requests.Session, vendor: str, base: str, page: int, size: int) -> bytes:
    start, end = time.gmtime(DAY_START), time.gmtime(DAY_START + SECONDS - 1)
    if vendor == "pbxware":
        asked = {
            "action": "pbxware.cdr.download",
            "start": time.strftime("%b-%d-%Y", start),
            "starttime": time.strftime("%H:%M:%S", start),
            "end": time.strftime("%b-%d-%Y", end),
            "endtime": time.strftime("%H:%M:%S", end),
            "limit": str(size),
            "page": str(page),
        }
        return session.post(base, data=asked, timeout=60).content
    asked = {
        "startedAfter": time.strftime("%Y-%m-%dT%H:%M:%SZ", start),
        "startedBefore": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(DAY_START + SECONDS)),
        "pageSize": str(size),
        "page": str(page),
    }
    return session.get(f"{base}sip/customers/{CUSTOMER}/calls", params=asked, timeout=60).content


# --- benchmarks ------------------------------------------------------------------------------------------------------


def _serving(vendor: str, rows: int) -> AbstractContextManager[str]:
    return serving(pbx=rows) if vendor == "pbxware" else serving(sip=rows)


def speed(vendor: str, rows: int, repeat: int) -> None:
    """Goal 1: a day from the vendor to core, against downloading and parsing its pages."""
    with _serving(vendor, rows) as base:
        asked = {"vendor": vendor, "base": base, "rows": rows}
        found = interleave(
            {
                "download": partial(measure, "bench.extract:download", **asked, parse=False),
                "floor": partial(measure, "bench.extract:download", **asked, parse=True),
                "extract": partial(measure, "bench.extract:extract", **asked),
            },
            repeat,
        )
    download, floor, extract = (found[way]["seconds"] for way in ("download", "floor", "extract"))
    show(
        f"1 extract to core, {vendor}, {rows:,} CDRs",
        [
            ("download, s", download, ""),
            ("download + orjson (the floor), s", floor, ""),
            ("extract to core, s", extract, ""),
            ("extract to core, × download", ratio(extract, download), ""),
            ("extract to core, × floor", ratio(extract, floor), f"at most {GOALS[vendor]}"),
            ("peak resident, MiB", found["extract"]["peak_mib"], ""),
            ("the floor's, MiB", found["floor"]["peak_mib"], ""),
        ],
    )


def against_dlt(python: str, vendor: str, rows: int, repeat: int) -> None:
    """Goal 1 too: the same day by dlt, in the environment of ``python``, which has it."""
    with _serving(vendor, rows) as base:
        asked = {"vendor": vendor, "base": base, "rows": rows}
        found = interleave(
            {
                "extract": partial(measure, "bench.extract:extract", **asked),
                "arrow": partial(_peer, python, "arrow", vendor, base, rows),
                "rest_api": partial(_peer, python, "rest_api", vendor, base, rows),
            },
            repeat,
        )
    ours, arrow, rest_api = (found[way]["seconds"] for way in ("extract", "arrow", "rest_api"))
    show(
        f"1 against dlt, {vendor}, {rows:,} CDRs",
        [
            ("extract to core, s", ours, ""),
            ("dlt yielding Arrow tables to Parquet, × extract to core", ratio(arrow, ours), "at least 3"),
            ("dlt's rest_api to Parquet, × extract to core", ratio(rest_api, ours), "at least 10"),
            ("peak resident of dlt yielding Arrow tables, MiB", found["arrow"]["peak_mib"], ""),
            ("peak resident of dlt's rest_api, MiB", found["rest_api"]["peak_mib"], ""),
        ],
    )


def _peer(python: str, way: str, vendor: str, base: str, rows: int) -> dict[str, float]:
    command = [python, str(Path(__file__).with_name("dlt_peer.py")), way, vendor, base]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        raise RuntimeError(f"dlt failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if figures["rows"] != rows:
        raise RuntimeError(f"dlt: {figures['rows']} records of {rows}")
    return figures


def memory(rows: int) -> None:
    """Goal 2: the most memory that a whole load of one day takes."""
    with serving(pbx=rows) as base:
        whole = interleave({"load": partial(measure, "bench.extract:whole_command", base=base)}, 1)["load"]
    show(
        f"2 tollbook load, pbxware, {rows:,} CDRs, all in one process",
        [
            ("seconds", whole["seconds"], ""),
            ("peak resident, MiB", whole["peak_mib"], "at most 512 at a million, 600 at 5 million"),
            ("bytes a CDR", Figure(tuple(mib * 2**20 / rows for mib in whole["peak_mib"].values)), ""),
        ],
    )


def request_counts(sizes: dict[str, list[int]]) -> None:
    """Goal 3: requests for a day's records against the fewest pages that hold them."""
    lines: list[tuple[str, object, str]] = []
    for vendor, rows_each in sizes.items():
        for rows in rows_each:
            fewest = math.ceil(rows / ROWS_A_PAGE[vendor])
            with _serving(vendor, rows) as base, _serving(vendor, rows * 93 // 100) as before:
                asked = {"vendor": vendor, "base": base, "rows": rows}
                for what, known in (("first day", ""), ("a week after a day with 93 %", before)):
                    made = measure("bench.extract:count_requests", **asked, week_before=known)["requests"]
                    text = f"{made:.0f} / {fewest} = {made / fewest:.2f}"
                    lines.append((f"{vendor}, {rows:,} CDRs, {what}: requests / pages", text, "at most 1.25"))
    show("3 requests", lines)


def in_flight(rows: int, latency: float, repeat: int) -> None:
    """Goal 4: a vendor that takes its time, against a bare download with 4 in flight."""
    with serving(pbx=rows, latency=latency) as base, serving(pbx=rows * 93 // 100) as before:
        asked = {"vendor": "pbxware", "base": base, "rows": rows}
        ways: dict[str, Way] = {
            "one": lambda: measure("bench.extract:download", **asked, parse=False),
            "four": lambda: measure("bench.extract:download", **asked, parse=False, in_flight=4),
            "first": lambda: measure("bench.extract:extract", **asked),
            "extract": lambda: measure("bench.extract:extract", **asked, week_before=before),
        }
        found = interleave(ways, repeat)
    floor, goal = found["four"]["seconds"], "at most 1.25"
    show(
        f"4 in flight, pbxware, {rows:,} CDRs, answers after {latency * 1000:.0f} ms",
        [
            ("bare download, 4 in flight (the floor), s", floor, ""),
            ("bare download, one at a time, × floor", ratio(found["one"]["seconds"], floor), ""),
            ("extract to core of the first day ever, × floor", ratio(found["first"]["seconds"], floor), ""),
            ("extract to core, a week after a day with 93 %, × floor", ratio(found["extract"]["seconds"], floor), goal),
        ],
    )
