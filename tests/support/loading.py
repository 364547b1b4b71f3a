"""Whole loads in a test: the bundled vendors, a configuration for them, and ways to look at what came of it.

What lives here: ``World`` (vendors, configuration and data directory in one hand), what the truth says the published
database must hold, and the search for what must never be written down. What does not: the tests.
"""

import base64
import hashlib
import html
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus
from zoneinfo import ZoneInfo

import duckdb
import pytest
from click.testing import CliRunner, Result

from assets import pbxware, sipcentric, tim4biz, time4vps
from assets.http.client import Client, Limits, Timeouts
from assets.load import load as land
from assets.stream import Outcome, Progress, Source, Window
from assets.warehouse_asset import update_and_publish
from pipelines.cli import main
from pipelines.demo.company import CUSTOMERS, SIP, SIP_CURRENCY, TENANTS, VPS
from pipelines.demo.hosting import Hosting
from pipelines.demo.pbx_traffic import PbxTraffic
from pipelines.demo.server import Vendors
from pipelines.demo.sip_traffic import SipTraffic
from pipelines.demo.truth import Truth
from pipelines.load import LoadSummary, run_load
from pipelines.resources import Runtime
from pipelines.settings import Settings, load_settings
from tollbook_errors import TollbookError
from warehouse.database import _digest
from warehouse.schema import COVERAGE, LOAD, TABLES

SEED = 7
SCALE = 0.3
SHM = Path("/dev/shm")  # where there is one, what need not outlast a power cut is quicker there
LONDON = ZoneInfo("Europe/London")

Row = tuple[Any, ...]


def hasty_client(*, timeouts: Timeouts, limits: Limits, **options: Any) -> Client:
    """A client that does for a second what others do for minutes."""
    hasty = replace(timeouts, request=1.0, asked_wait=1.0, quota=1.0)
    return Client(timeouts=hasty, limits=replace(limits, attempts=2), **options)


def unwatched(step: Progress) -> None:
    """Nobody looks at the progress."""


@dataclass
class World:
    """The bundled vendors, and a configuration and data directory of our own."""

    vendors: Vendors
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "tollbook.toml"

    @property
    def settings(self) -> Settings:
        return load_settings(self.config)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def public(self) -> Path:
        return self.data_dir / "tollbook.duckdb"

    def load(self, first: date, last: date, *names: str) -> LoadSummary:
        """Load business days, without the command line."""
        return run_load(self.settings, first, last, names, unwatched)

    def read(self, first: date, last: date, *names: str) -> None:
        """Load business days and publish as ``load`` does, without Dagster, which would take most of the time."""
        runtime = Runtime(self.settings)
        runtime.hold()
        read(runtime, first, last, names)
        update_and_publish(runtime.lake, runtime.database)

    def command(self, *arguments: str) -> Result:
        """``tollbook …`` in this process."""
        return CliRunner().invoke(main, ["--config", str(self.config), *arguments])

    def query(self, sql: str) -> list[Row]:
        """Ask the published database."""
        return query(self.public, sql)

    def core(self) -> dict[str, str]:
        """SHA-256 of every file of core by its path."""
        return hashes(self.data_dir / "core")

    def digests(self) -> dict[str, str]:
        return Runtime(self.settings).database.digests()


def read(runtime: Runtime, first: date, last: date, names: Sequence[str] = ()) -> list[TollbookError]:
    """Land business days and make core of them, stream by stream, as the assets do; what failed.

    As in a run, a connection's failure leaves the others to be loaded.
    """
    load_id = f"{runtime.now():%Y%m%dT%H%M%S.%f}"
    failures: list[TollbookError] = []
    for connection in runtime.settings.connections:
        if not names or connection.name in names:
            try:
                for outcome in _outcomes(runtime.source(connection.name, load_id=load_id), first, last):
                    failures += outcome.failures
            except TollbookError as error:
                failures.append(error)
    return failures


def read_and_publish(runtime: Runtime, first: date, last: date) -> list[TollbookError]:
    """What ``tollbook load`` does, without Dagster, which would take most of the time; what failed."""
    failures: list[TollbookError] = []
    try:
        runtime.hold()
        failures += read(runtime, first, last)
        update_and_publish(runtime.lake, runtime.database)
    except TollbookError as error:
        failures.append(error)
    return failures


def _outcomes(source: Source, first: date, last: date) -> Iterator[Outcome]:
    """Load a connection's streams, each that the others need first."""
    whole, each = [Window(None, None)], [Window(day, day) for day in days(first, last)]
    match source.vendor:
        case "pbxware":
            yield land(source, pbxware.LISTS_STREAM, whole, lambda _: pbxware.fetch_lists(source))
            lists = source.lake.raw.newest_list(source.name, "lists")
            known = {"lists": lists.content_generation}
            fetch = partial(pbxware.fetch_cdrs, source, lists)
            yield land(source, pbxware.CDR_STREAM, each, fetch, depends_on=known)
        case "sipcentric":
            yield land(source, sipcentric.LISTS_STREAM, whole, lambda _: sipcentric.fetch_lists(source))
            lists = source.lake.raw.newest_list(source.name, "lists")
            known = {"lists": lists.content_generation}
            fetch = partial(sipcentric.fetch_calls, source, lists)
            yield land(source, sipcentric.CALL_STREAM, each, fetch, depends_on=known)
            fetch = partial(sipcentric.fetch_messages, source, lists)
            yield land(source, sipcentric.MESSAGE_STREAM, [Window(first, last)], fetch, depends_on=known)
        case "tim4biz":
            parts = tim4biz.in_day_ranges(each)
            ranges = [found for part in parts if (found := tim4biz.DayRange.of(part, source))]
            fetch = partial(tim4biz.fetch_totals, source, ranges=ranges)
            yield land(source, tim4biz.TOTALS_STREAM, [window for part in parts for window in part], fetch)
        case "time4vps":
            yield land(source, time4vps.INVOICE_STREAM, whole, lambda _: time4vps.fetch_invoices(source))


class Stage(NamedTuple):
    """What there was at one moment: core by hash, the database by digest, a copy of the public file, its inode."""

    core: dict[str, str]
    digests: dict[str, str]
    public: Path
    inode: int


def stage(world: World, name: str) -> Stage:
    """Keep how things stand, so that tests can look at it after the next load."""
    kept = world.folder / f"{name}.duckdb"
    shutil.copyfile(world.public, kept)
    return Stage(world.core(), world.digests(), kept, world.public.stat().st_ino)


@contextmanager
def world(
    folder: Path,
    first: date,
    last: date,
    *,
    scale: float = SCALE,
    seed: int = SEED,
    options: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Iterator[World]:
    """Vendors that serve from ``first`` to ``last``, their secrets in the environment; configured in ``folder``."""
    vendors = Vendors(seed, first, last, scale, {"sip_limit": 1_000_000, "tim_limit": 1_000_000, **(options or {})})
    with pytest.MonkeyPatch.context() as patch, vendors:
        for name, value in vendors.secrets.items():
            patch.setenv(name, value)
        for name in ("TOLLBOOK_CONFIG", "DAGSTER_HOME"):
            patch.delenv(name, raising=False)
        vendors.write_config(folder / "tollbook.toml", **overrides)
        yield World(vendors, folder)


def untouched_truth(first: date, last: date, scale: float = SCALE) -> Truth:
    """What happened, in a world of its own that nobody has changed."""
    return Truth(
        PbxTraffic(SEED, first, last, scale), SipTraffic(SEED, first, last, scale), Hosting(first, last, "USD")
    )


def query(database: Path, sql: str) -> list[Row]:
    """Ask a database file, read-only and in UTC."""
    with duckdb.connect(str(database), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        return con.execute(sql).fetchall()


def published(public: Path) -> dict[str, str]:
    """A digest of every table of a published database that does not tell of the loads themselves."""
    with duckdb.connect(str(public), read_only=True) as db:
        db.execute("SET TimeZone = 'UTC'")
        return {t.full_name: _digest(db, t) for t in TABLES if t not in (LOAD, COVERAGE)}


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder by its path in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def days(first: date, last: date) -> list[date]:
    """The days from first to last, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


# --- what the truth says ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    """What must be published after loading ``first`` to ``last``; ``last`` is the day after that of the last call."""

    truth: Truth
    first: date
    last: date

    def legs(self) -> Counter[Row]:
        """Every leg, whole."""
        return Counter(
            (
                leg.connection, leg.account_id, leg.native_id, leg.linked_id, leg.started_at, leg.call_date,
                leg.direction, leg.outcome, leg.duration_seconds, leg.cost, leg.currency, leg.extension, leg.remote,
                leg.is_provisional,
            )
            for leg in self._legs()
        )  # fmt: skip

    def leg_sums(self) -> dict[Row, Row]:
        """Legs, seconds, cost and rated legs by connection, account, day, direction and outcome."""
        return summed(
            (
                (leg.connection, leg.account_id, leg.call_date, leg.direction, leg.outcome),
                (leg.duration_seconds, leg.cost),
            )
            for leg in self._legs()
        )

    def call_sums(self) -> dict[Row, Row]:
        """Calls, talk seconds, cost and rated calls by connection, account, day, direction and outcome."""
        return summed(
            (
                (call.connection, call.account_id, call.call_date, call.direction, call.outcome),
                (call.talk_seconds, call.cost),
            )
            for call in self._calls()
        )

    def usage_daily(self) -> dict[Row, list[int]]:
        """The measures of mart.usage_daily by its key."""
        sums: dict[Row, list[int]] = defaultdict(lambda: [0] * 8)
        places = {"answered": 1, "no_answer": 2, "busy": 3, "failed": 4}
        for call in self._calls():
            row = sums[call.call_date, call.connection, call.account_id, call.extension, call.direction]
            row[0] += 1
            row[places.get(call.outcome, 5)] += 1
            row[6] += call.legs
            row[7] += call.talk_seconds
        return dict(sums)

    def calls_by_hour(self) -> Counter[Row]:
        return Counter(
            (
                call.started_at.replace(minute=0, second=0, microsecond=0),
                call.connection,
                call.account_id,
                call.direction,
            )
            for call in self._calls()
        )

    def cost_daily(self) -> dict[Row, Row]:
        """Quantity, cost and unrated records by day, connection, account, kind of charge and currency."""
        return _charged(self._charges())

    def cost_monthly(self) -> dict[Row, Row]:
        """The same by month."""
        return _charged(((day.replace(day=1), *rest), measures) for (day, *rest), measures in self._charges())

    def messages(self) -> Counter[Row]:
        return Counter(
            (
                m.connection, m.account_id, m.native_id, m.sent_at, m.sms_date, m.direction, m.status, m.cost,
                m.currency, m.remote,
            )
            for m in self.truth.sms(self.first, self.last)
        )  # fmt: skip

    def totals(self) -> set[Row]:
        return {
            (t.total_date, t.extension, t.name, t.calls, t.incoming, t.outgoing, t.duration_seconds, t.cost, t.currency)
            for t in self.truth.extension_totals(self.first, self.last)
        }

    def invoices(self) -> set[Row]:
        return {
            (
                i.id, i.number, i.status.lower(), i.issued_on, _sign(i) * i.subtotal, _sign(i) * i.tax, i.currency,
                i.merged_into, i.counts_as_expense,
            )
            for i in self.truth.invoices()
        }  # fmt: skip

    def _legs(self) -> Iterator[Any]:
        for vendor in ("pbxware", "sipcentric"):
            yield from self.truth.legs(vendor, self.first, self.last)

    def _calls(self) -> Iterator[Any]:
        for vendor in ("pbxware", "sipcentric"):
            yield from self.truth.calls(vendor, self.first, self.last)

    def _charges(self) -> Iterator[tuple[Row, Row]]:
        """Quantity and cost of every charge, with its day, connection, account, kind and currency."""
        for leg in self._legs():
            yield (leg.call_date, leg.connection, leg.account_id, "call", leg.currency), (Decimal(0), leg.cost)
        for call in self._calls():  # a call is counted with its first leg; its cost is its legs'
            yield (call.call_date, call.connection, call.account_id, "call", call.currency), (Decimal(1), _NO_RECORD)
        for sms in self.truth.sms(self.first, self.last):
            yield (sms.sms_date, sms.connection, sms.account_id, "sms", sms.currency), (Decimal(1), sms.cost)
        month = self.truth_last.replace(day=1)
        for customer in CUSTOMERS:
            for _, _, _, price in customer.bundles:
                for start in (month, (month - timedelta(days=1)).replace(day=1)):
                    yield (start, SIP, customer.id, "bundle", SIP_CURRENCY), (Decimal(1), Decimal(price))
        for invoice in self.truth.invoices():
            if not invoice.counts_as_expense:
                continue
            for line in invoice.lines:
                amount = _sign(invoice) * line.total
                kind = (
                    "credit" if amount < 0 else "fee" if line.type == "LateFee" or line.item_id == "-2" else "hosting"
                )
                yield (invoice.issued_on, VPS, None, kind, invoice.currency), (line.quantity, amount)
            if invoice.tax:
                yield (
                    (invoice.issued_on, VPS, None, "tax", invoice.currency),
                    (Decimal(1), _sign(invoice) * invoice.tax),
                )

    @property
    def truth_last(self) -> date:
        """The last day of the vendors' world: bundles run to the end of its month."""
        return self.last - timedelta(days=1)


_NO_RECORD = object()


def _charged(charges: Iterator[tuple[Row, Row]]) -> dict[Row, Row]:
    sums: dict[Row, list[Any]] = defaultdict(lambda: [Decimal(0), None, 0])
    for key, (quantity, cost) in charges:
        row = sums[key]
        row[0] += quantity
        if cost is None:
            row[2] += 1
        elif cost is not _NO_RECORD:
            row[1] = (row[1] or Decimal(0)) + cost
    return {key: tuple(row) for key, row in sums.items()}


def summed(records: Iterator[tuple[Row, tuple[int, Decimal | None]]]) -> dict[Row, Row]:
    """Number of records, their seconds, their cost (None when none has one) and how many have one, by key."""
    sums: dict[Row, list[Any]] = defaultdict(lambda: [0, 0, None, 0])
    for key, (seconds, cost) in records:
        row = sums[key]
        row[0] += 1
        row[1] += seconds
        if cost is not None:
            row[2] = (row[2] or Decimal(0)) + cost
            row[3] += 1
    return {key: tuple(row) for key, row in sums.items()}


def _sign(invoice: Any) -> int:
    return -1 if invoice.status == "Creditnote" else 1


# --- what must never be written down ---------------------------------------------------------------------------------


def forms_of_secrets(secrets: Mapping[str, str], *, user_names: bool = True) -> set[bytes]:
    """Every form in which a secret could turn up: plain, in an address, in JSON or HTML, in Basic authentication.

    Vendors' answers can hold ``user_names``: one is a mail address.
    """
    found: set[str] = set()
    for name, value in secrets.items():
        if name.endswith("USERNAME"):
            login = f"{value}:{secrets[name.replace('USERNAME', 'PASSWORD')]}"
            found.add(base64.b64encode(login.encode()).decode())
            if not user_names:
                continue
        plain = {
            value,
            quote(value, safe=""),
            quote(value),
            quote_plus(value),
            html.escape(value),
            json.dumps(value)[1:-1],
        }
        found |= plain | {value.replace("/", "\\/"), base64.b64encode(value.encode()).decode().rstrip("=")}
    return {text.encode() for text in found}


def forms_of_people() -> set[bytes]:
    """Names of the demo's people and their telephone numbers, as they stand in the vendors' responses and in JSON."""
    names = {name for tenant in TENANTS for name in tenant.names.values() if " " in name}
    names |= {endpoint.name for customer in CUSTOMERS for endpoint in customer.phones if " " in endpoint.name}
    names |= {" ".join(customer.contact) for customer in CUSTOMERS}
    truth = untouched_truth(*_SOME_DAYS)
    legs = [leg for vendor in ("pbxware", "sipcentric") for leg in truth.legs(vendor, *_SOME_DAYS)]
    numbers = {leg.remote for leg in legs if leg.remote}
    numbers |= {did.e164 for tenant in TENANTS for did in tenant.dids}
    numbers |= {number for customer in CUSTOMERS for number in customer.numbers}
    significant = {number.removeprefix("+44").removeprefix("+") for number in numbers}
    texts = names | {json.dumps(name)[1:-1] for name in names} | {number for number in significant if len(number) > 7}
    return {text.encode() for text in texts}


_SOME_DAYS = (date(2026, 10, 24), date(2026, 10, 25))


def traces(forms: set[bytes], *places: Path | str | bytes) -> list[str]:
    """Where any of the forms stands: in a text, or in a file below a folder. Tells the place and never the form."""
    found = []
    for place in places:
        if isinstance(place, Path):
            files = [path for path in sorted(place.rglob("*")) if path.is_file()] if place.is_dir() else [place]
            found += [f"{path}: form {n}" for path in files for n in _standing(forms, path.read_bytes())]
        else:
            text = place.encode() if isinstance(place, str) else place
            found += [f"the text: form {n}" for n in _standing(forms, text)]
    return found


def _standing(forms: set[bytes], content: bytes) -> list[int]:
    return [number for number, form in enumerate(sorted(forms)) if form in content]


def in_london(moment: datetime) -> date:
    """The business day of an instant."""
    return moment.astimezone(LONDON).date()
