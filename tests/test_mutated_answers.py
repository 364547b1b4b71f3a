"""Answers changed at random: what is loaded is exactly what was said, or the load is refused with a typed error.

Each response of a small load is recorded once; then up to three of them are changed, and their stream is loaded again.
An oracle, which shares nothing with the loading but the landed text, reads amounts, durations and ids a second time.
"""

import json
import random
import re
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from support.loading import SHM, World, world
from support.mutants import mutated
from support.soaking import part, told

from assets import pbxware, sipcentric, tim4biz, time4vps
from assets.http.client import Client
from assets.http.transport import RawResponse
from assets.load import load
from assets.stream import Fetch, Outcome, Source, Stream, Window
from pipelines.resources import Runtime
from tollbook_errors import InternalError, TollbookError
from warehouse.merge import session

pytestmark = pytest.mark.slow  # whole loads

DAY = date(2026, 10, 21)
TRIES = {"few": 60, "many": 100_000}
SECONDS, MIB = 2.0, 1 << 20

Asked = tuple[str, str]


class Recorded:
    """Stands for the wire of a client: what the vendor once answered, but for the requests that are to go wrong."""

    def __init__(self, client: Client) -> None:
        self._really = client._transport.exchange
        self.responses: dict[Asked, RawResponse] = {}
        self.asked: list[Asked] = []
        self.wrong: dict[Asked, bytes] = {}
        client._transport.exchange = self  # type: ignore[assignment,method-assign]
        client._clock = replace(client._clock, sleep=lambda seconds: None)
        # What is asked and how often is not what is tried here, and takes a third of a try.
        client._rate_limit = None
        prepare, known = client._prepare, {}

        def prepared(*asked: Any) -> requests.PreparedRequest:
            return known.get(repr(asked)) or known.setdefault(repr(asked), prepare(*asked))

        client._prepare = prepared  # type: ignore[method-assign]

    def __call__(self, request: requests.PreparedRequest, **how: Any) -> RawResponse:
        what = (str(request.url), str(request.body))
        if what not in self.asked:
            self.asked.append(what)
        if what not in self.responses:
            self.responses[what] = self._really(request, **how)
        reply = self.responses[what]
        if what not in self.wrong or reply.body is None:
            return reply
        return replace(reply, body=self.wrong[what], wire_bytes=len(self.wrong[what]))


@dataclass
class Step:
    """One stream of a connection, how it is loaded, and the streams whose landings it needs."""

    stream: Stream
    fetch: Callable[[Source, Window], Fetch]
    check: Callable[[Source, Outcome], None]
    needs: tuple[str, ...] = ()
    of_days: bool = True
    requests: list[Asked] = field(default_factory=list)

    def run(self, source: Source) -> Outcome:
        window = Window(DAY, DAY) if self.of_days else Window(None, None)
        lists = {name: source.lake.raw.newest_list(source.name, name).content_generation for name in self.needs}
        return load(source, self.stream, [window], lambda w: self.fetch(source, w), depends_on=lists)


def _with_lists(fetch: Callable[[Source, Any, Window], Fetch]) -> Callable[[Source, Window], Fetch]:
    return lambda source, window: fetch(source, source.lake.raw.newest_list(source.name, "lists"), window)


# --- the oracle ------------------------------------------------------------------------------------------------------


def exact(value: Any) -> Decimal | None:
    """An amount or a count as it is spelt, to six places; None for nothing."""
    if value is None or str(value).strip() == "":
        return None
    with_all = Decimal(str(value).strip())
    return with_all.quantize(Decimal("0.000001"), ROUND_HALF_UP) if with_all.is_finite() else with_all


def landed(source: Source, outcome: Outcome) -> Iterator[tuple[dict[str, Any], Any]]:
    """Every response of the landing with its value."""
    for landing in outcome.landings:
        for response in source.lake.raw.responses(landing):
            yield response, json.loads(response["body"], parse_float=Decimal)


def core(source: Source, outcome: Outcome, table: str) -> list[dict[str, Any]]:
    (partition,) = outcome.partitions
    file = source.lake.core.files(partition).get(table)
    return pq.read_table(file).to_pylist() if file else []


def same(row: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    for name, value in said.items():
        assert row[name] == value, f"{name} is {row[name]!r}, said was {value!r}"


def _text_or(said: Any, read: Any) -> Any:
    """What was said where it is text; no text has one spelling only, and is not looked at."""
    return said if isinstance(said, str) else read


def all_accounted_for(source: Source, outcome: Outcome, rows: list[dict[str, Any]], said: int) -> None:
    (partition,) = outcome.partitions
    set_aside = len(core(source, outcome, "audit.quarantine"))
    assert len(rows) + set_aside + partition.out_of_window == said, "a record is neither loaded nor set aside"


def check_pbxware_cdrs(source: Source, outcome: Outcome) -> None:
    said = {}
    for response, data in landed(source, outcome):
        if response["kind"] != "cdr.download" or not response["rows"]:
            continue
        names = [str(name).strip(" ").lower() for name in data["header"]]
        for number, cells in enumerate(data["csv"]):
            said[response["first_row"] + number] = (
                dict(zip(names, cells, strict=False)) if isinstance(cells, list) else {}
            )
    rows = core(source, outcome, "core.cdr")
    all_accounted_for(source, outcome, rows, len(said))
    for row in rows:
        cells = said[row["raw_row"]]
        same(
            row,
            {
                "cost": exact(cells.get("rating cost")),
                "duration_seconds": exact(cells["total duration"]),
                "native_id": _text_or(cells["unique id"], row["native_id"]),
                "from_text": _text_or(cells["from"], row["from_text"]),
            },
        )
        assert int(row["started_at"].timestamp()) == int(str(cells["date/time"]))


def check_sipcentric_calls(source: Source, outcome: Outcome) -> None:
    _check_items(source, outcome, "core.cdr", {"duration_seconds": "duration"})


def check_sipcentric_messages(source: Source, outcome: Outcome) -> None:
    _check_items(source, outcome, "core.sms", {})
    assert not any("body" in item for _, data in landed(source, outcome) for item in data.get("items", []))


def _check_items(source: Source, outcome: Outcome, table: str, figures: dict[str, str]) -> None:
    said = {
        response["first_row"] + number: item
        for response, data in landed(source, outcome)
        if response["rows"]
        for number, item in enumerate(data["items"])
    }
    for row in core(source, outcome, table):
        item = said[row["raw_row"]]
        same(row, {"cost": exact(item.get("cost")), "native_id": _text_or(item["uri"], row["native_id"])})
        same(row, {ours: exact(item.get(theirs)) for ours, theirs in figures.items()})


def check_tim4biz(source: Source, outcome: Outcome) -> None:
    set_aside = {row["raw_row"] for row in core(source, outcome, "audit.quarantine")}
    by_extension: dict[str, list[Any]] = {}
    for response, data in landed(source, outcome):
        entries = (
            data if isinstance(data, list) else next((each for each in data.values() if isinstance(each, list)), [])
        )
        for number, entry in enumerate(entries, response["first_row"]):
            if number in set_aside:
                continue
            plain = {re.sub("[^a-z0-9]", "", str(name).lower()): value for name, value in entry.items()}
            by_extension.setdefault(str(plain.get("extension")).strip(), []).append(plain.get("cost"))
    for row in core(source, outcome, "core.extension_total"):
        costs = by_extension.get(row["extension"])
        if costs and all(isinstance(cost, (int, str, Decimal)) and not isinstance(cost, bool) for cost in costs):
            assert row["cost"] == sum((exact(cost) or Decimal(0) for cost in costs), Decimal(0)) or row["cost"] is None


def check_time4vps(source: Source, outcome: Outcome) -> None:
    details = {
        str(data["invoice"]["id"]): data["invoice"]
        for response, data in landed(source, outcome)
        if response["kind"] == "invoice"
    }
    rows = {row["invoice_id"]: row for row in core(source, outcome, "core.invoice")}
    for invoice_id, row in rows.items():
        if row["subtotal"] is not None:
            said = exact(details[invoice_id]["subtotal"])
            assert said is not None
            assert abs(row["subtotal"]) == abs(said)
    items = [item for invoice in details.values() for item in _entries(invoice["items"])]
    assert len(core(source, outcome, "core.invoice_line")) == len(items)


def _entries(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def unchecked(source: Source, outcome: Outcome) -> None:
    """Lists hold no figures."""


STEPS: dict[str, tuple[Step, ...]] = {
    "pbxware": (
        Step(pbxware.LISTS_STREAM, lambda s, w: pbxware.fetch_lists(s), unchecked, of_days=False),
        Step(pbxware.CDR_STREAM, _with_lists(pbxware.fetch_cdrs), check_pbxware_cdrs, ("lists",)),
    ),
    "sipcentric": (
        Step(sipcentric.LISTS_STREAM, lambda s, w: sipcentric.fetch_lists(s), unchecked, of_days=False),
        Step(sipcentric.CALL_STREAM, _with_lists(sipcentric.fetch_calls), check_sipcentric_calls, ("lists",)),
        Step(sipcentric.MESSAGE_STREAM, _with_lists(sipcentric.fetch_messages), check_sipcentric_messages, ("lists",)),
    ),
    "tim4biz": (Step(tim4biz.TOTALS_STREAM, tim4biz.fetch_totals, check_tim4biz),),
    "time4vps": (
        Step(time4vps.INVOICE_STREAM, lambda s, w: time4vps.fetch_invoices(s), check_time4vps, of_days=False),
    ),
}


# --- the tries -------------------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """A vendor's recorded answers, and the landings that its streams build on."""

    source: Source
    wire: Recorded
    steps: tuple[Step, ...]
    stood: Path

    def again(self, seed: int) -> tuple[str, int]:
        """Load one stream with some answers changed: "loaded", or by which error it was refused; and how many it read.

        A stream that is refused is so for one of them, and of the others nothing is known: that counts as one.
        """
        random_ = random.Random(seed)
        step = random_.choice(self.steps)
        data_dir = self.source.lake.data_dir
        shutil.rmtree(data_dir)
        if step.needs:
            shutil.copytree(self.stood, data_dir)
        several = random_.sample(step.requests, min(random_.choice((1, 2, 3)), len(step.requests)))
        self.wire.asked.clear()
        self.wire.wrong = {asked: mutated(self.wire.responses[asked].body or b"", random_) for asked in several}
        started = time.process_time()
        outcome = step.run(self.source)
        took = time.process_time() - started
        assert took < SECONDS, f"it took {took:.1f} s"
        if not outcome.failures:
            step.check(self.source, outcome)
            return "loaded", len(self.wire.wrong.keys() & set(self.wire.asked))
        (error,) = outcome.failures
        assert isinstance(error, TollbookError)
        assert not isinstance(error, InternalError), f"nobody foresaw this: {error}"
        return type(error).__name__, 1


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("mutants"), DAY, DAY, scale=0.05) as made:
        yield made


@contextmanager
def bench(made: World, vendor: str) -> Iterator[Bench]:
    """One connection of the bundled vendors, loaded once and recorded; in memory where the machine has room for it.

    All tries share one DuckDB, which takes longer to open than a response to type; each has its own temporary tables.
    One thread does it all: there is too little of anything to share, and the sharing takes a tenth of the time.
    """
    with (
        tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        runtime = Runtime(made.settings.model_copy(update={"data_dir": Path(folder, "data")}))
        patch.setattr("warehouse.merge.MAX_THREADS", 1)
        duck = session(runtime.lake)
        patch.setattr("warehouse.merge.session", lambda lake: duck.cursor())
        name = next(connection.name for connection in made.settings.connections if connection.vendor == vendor)
        source = runtime.source(name, load_id="20261122T000000Z")
        wire = Recorded(source.client())
        stood = Path(folder, "stood")
        for step in STEPS[vendor]:
            wire.asked.clear()
            outcome = step.run(source)
            assert not outcome.failures
            step.check(source, outcome)
            step.requests = list(wire.asked)
            if step is STEPS[vendor][0]:
                shutil.copytree(source.lake.data_dir, stood)
        threads = pa.cpu_count()
        pa.set_cpu_count(1)
        try:
            yield Bench(source, wire, STEPS[vendor], stood)
        finally:
            pa.set_cpu_count(threads)


def _tries(how_many: str) -> Any:
    marks = [pytest.mark.soak] if how_many == "many" else []
    return pytest.param(TRIES[how_many], id=how_many, marks=marks)


@pytest.mark.parametrize("tries", [_tries("few"), _tries("many")])
@pytest.mark.parametrize("vendor", STEPS)
def test_a_changed_answer_is_read_exactly_or_refused(vendors: World, vendor: str, tries: int) -> None:
    """Seconds are of the processor, memory is what the whole process has ever held beyond what it held before.

    It goes on after a find, and says each at once: a long run is to find all that there is.
    """
    counts: Counter[str] = Counter()
    finds: list[str] = []
    responses = 0
    with bench(vendors, vendor) as made, _only_here(made) as opened:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seeds = part(range(tries))
        for seed in told(f"{vendor}: answers changed, loads", seeds):
            try:
                how, read = made.again(seed)
                counts[how] += 1
                responses += read
            except Exception as found:
                finds.append(f"{vendor}, mutant {seed}: {type(found).__name__}: {found}")
                print(finds[-1], flush=True)
            if responses >= len(seeds):
                break
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 256, f"{grown:.0f} MiB more than before"
    assert (finds, opened) == ([], [])
    # Both ways were really gone.
    print(
        f"{vendor}: {responses} answers changed in {counts.total()} loads, {dict(counts)}, {grown:.0f} MiB", flush=True
    )
    assert responses >= len(seeds)
    assert min(counts["loaded"], counts["ContractError"]) > counts.total() / 20


_WATCHING: list[Callable[[str, tuple[Any, ...]], None]] = []


@cache
def _listen() -> None:
    """For good: Python knows no way to take an audit hook away."""
    sys.addaudithook(lambda event, arguments: _WATCHING[-1](event, arguments) if _WATCHING else None)


@contextmanager
def _only_here(made: Bench) -> Iterator[list[str]]:
    """What is written outside the data directory or asked of any host but the vendor's meanwhile."""
    strays: list[str] = []
    folder = str(made.source.lake.data_dir.parent)
    base = urlsplit(made.steps[0].requests[0][0])
    vendor = base.hostname, base.port

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str) and isinstance(arguments[1], str):
            path, mode = arguments[0], arguments[1]
            if any(sign in mode for sign in "wax+") and not path.startswith(folder):
                strays.append(path)
        elif event in ("subprocess.Popen", "os.system") or (event == "socket.connect" and arguments[1] != vendor):
            strays.append(event)

    _WATCHING.append(watch)
    _listen()
    try:
        yield strays
    finally:
        _WATCHING.pop()
