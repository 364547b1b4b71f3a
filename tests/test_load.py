"""Whole loads of the bundled vendors: what is published is what happened, however often and after whatever trouble."""

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from dagster import DagsterInstance, RunsFilter
from support.loading import (
    Expected,
    Row,
    Stage,
    World,
    days,
    hashes,
    hasty_client,
    query,
    read_and_publish,
    stage,
    untouched_truth,
    world,
)

from assets import pbxware, sipcentric, tim4biz, time4vps
from assets.http.client import Client
from assets.warehouse_asset import rebuild_database, update_and_publish
from pipelines.demo.company import PBX, SIP, TIM, VPS
from pipelines.demo.faults import Fault
from pipelines.history import dagster_home
from pipelines.jobs import LOAD
from pipelines.maintain import run_rebuild
from pipelines.resources import Runtime
from warehouse.database import LITTLE_MEMORY
from warehouse.files import file_sha256, read_json, write_json
from warehouse.reports.model import show_exact

pytestmark = pytest.mark.slow  # whole loads

# A month with the clock going back, and some days with it going forward. The day after the vendors' last one is loaded
# too: calls that began before midnight have legs on it.
SPANS = {
    "october": (date(2026, 10, 1), date(2026, 10, 31), date(2026, 11, 1)),
    "march": (date(2026, 3, 27), date(2026, 3, 30), date(2026, 3, 31)),
}


@pytest.fixture(scope="module", params=SPANS)
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, Expected]]:
    """All four vendors loaded once, and what must be there."""
    first, last, to = SPANS[request.param]
    with world(tmp_path_factory.mktemp(request.param), first, last) as place:
        ran = place.load(first, to)
        assert ran.failures == []
        yield place, Expected(untouched_truth(first, last), first, to)


# --- what is published is what happened ------------------------------------------------------------------------------

_LEGS = """
SELECT connection, account_id, native_id, linked_id, started_at, call_date, direction, outcome, duration_seconds, cost,
    currency, extension, remote_e164, is_provisional FROM core.cdr
"""


def test_every_leg_is_there_as_it_happened(loaded: tuple[World, Expected]) -> None:
    place, expected = loaded
    sums = place.query(
        "SELECT connection, account_id, call_date, direction, outcome, count(*), sum(duration_seconds)::BIGINT,"
        " sum(cost), count(cost) FROM core.cdr GROUP BY ALL"
    )
    assert {row[:5]: row[5:] for row in sums} == expected.leg_sums()
    assert Counter(place.query(_LEGS)) == expected.legs()


def test_legs_make_the_calls_that_were_made(loaded: tuple[World, Expected]) -> None:
    place, expected = loaded
    sums = place.query(
        "SELECT connection, account_id, call_date, direction, outcome, count(*), sum(talk_seconds)::BIGINT, sum(cost),"
        " count(cost) FROM core.call GROUP BY ALL"
    )
    assert {row[:5]: row[5:] for row in sums} == expected.call_sums()
    assert place.query("SELECT sum(legs)::BIGINT FROM core.call") == place.query("SELECT count(*) FROM core.cdr")


def test_usage_is_that_of_the_calls(loaded: tuple[World, Expected]) -> None:
    place, expected = loaded
    daily = place.query(
        "SELECT call_date, connection, account_id, extension, direction, calls, answered, no_answer, busy, failed,"
        " other, legs, talk_seconds FROM mart.usage_daily"
    )
    assert {row[:5]: list(row[5:]) for row in daily} == expected.usage_daily()
    hourly = place.query("SELECT hour, connection, account_id, direction, calls FROM mart.usage_hourly WHERE calls > 0")
    assert {row[:4]: row[4] for row in hourly} == expected.calls_by_hour()


def test_cost_is_what_the_vendors_charged(loaded: tuple[World, Expected]) -> None:
    place, expected = loaded
    measures = "connection, account_id, charge_kind, currency, sum(quantity), sum(cost), sum(unrated)::BIGINT"
    daily = place.query(f"SELECT cost_date, {measures} FROM mart.cost_daily GROUP BY ALL")
    assert {row[:5]: row[5:] for row in daily} == expected.cost_daily()
    monthly = place.query(f"SELECT month, {measures} FROM mart.cost_monthly GROUP BY ALL")
    assert {row[:5]: row[5:] for row in monthly} == expected.cost_monthly()


def test_reporting_cost_is_converted_at_the_rate_of_the_day(loaded: tuple[World, Expected]) -> None:
    place, _ = loaded
    rates: dict[str, list[tuple[str, Decimal]]] = defaultdict(list)
    for line in (place.folder / "reference" / "fx_rates.csv").read_text().splitlines()[1:]:
        since, currency, rate = line.split(",")
        rates[currency].append((since, Decimal(rate)))
    rows = place.query("SELECT cost_date, currency, cost, reporting_cost, unconverted FROM mart.cost_daily")
    assert {row[1] for row in rows} == {"EUR", "GBP", "USD"}
    for day, currency, cost, converted, unconverted in rows:
        of_the_day = next((known for since, known in reversed(rates[currency]) if since <= str(day)), Decimal(1))
        assert converted == (None if cost is None else (cost * of_the_day).quantize(Decimal("1e-6"), ROUND_HALF_UP))
        assert unconverted == 0


def test_messages_totals_and_invoices_are_what_they_were(loaded: tuple[World, Expected]) -> None:
    place, expected = loaded
    messages = place.query(
        "SELECT connection, account_id, native_id, sent_at, sms_date, direction, status, cost, currency, remote_e164"
        " FROM core.sms"
    )
    assert Counter(messages) == expected.messages()
    totals = place.query(
        "SELECT total_date, extension, name, calls, incoming, outgoing, duration_seconds, cost, currency"
        " FROM core.extension_total"
    )
    assert set(totals) == expected.totals()
    invoices = place.query(
        "SELECT invoice_id, number, status, issued_on, subtotal, tax, currency, merged_into, counts_as_expense"
        " FROM core.invoice"
    )
    assert set(invoices) == expected.invoices()
    assert len(invoices) == len(expected.invoices())


def test_every_total_is_proven(loaded: tuple[World, Expected]) -> None:
    place, expected = loaded
    ties = place.query("SELECT count(*), count(*) FILTER (difference IS DISTINCT FROM 0) FROM audit.tie_out")[0]
    assert ties[0] > len(days(expected.first, expected.last))
    assert ties[1] == 0
    controls = Counter(place.query("SELECT connection, check_name, status FROM audit.control_total"))
    assert {status for _, _, status in controls} <= {"matched", "unavailable"}
    assert controls[PBX, "billamount", "matched"] == 3 * len(days(expected.first, expected.last))
    assert controls[PBX, "rows_by_status", "matched"] >= 3 * len(days(expected.first, expected.last)) - 3
    assert not any(controls[PBX, "rows_by_status", status] for status in ("variance", "unavailable"))
    assert {connection for connection, _, status in controls if status == "matched"} >= {PBX, SIP, VPS}
    assert {name for _, name, _ in controls} == {
        *pbxware.CONTROLS,
        *sipcentric.LIST_CONTROLS,
        *sipcentric.CALL_CONTROLS,
        *tim4biz.CONTROLS,
        *time4vps.CONTROLS,
    }
    assert {status for connection, _, status in controls if connection == TIM} == {"matched"}
    assert place.query("SELECT * FROM audit.quarantine") == []
    assert place.query("SELECT * FROM audit.restatement") == []
    assert {row[0] for row in place.query("SELECT status FROM audit.load")} == {"loaded"}


def test_the_pbx_and_tim4biz_agree_on_every_extension(loaded: tuple[World, Expected]) -> None:
    place, expected = loaded
    classes = Counter(row[0] for row in place.query("SELECT class FROM mart.extension_reconciliation"))
    assert set(classes) == {"exact"}
    assert classes["exact"] >= len(expected.totals()) > 0


def test_many_small_days_need_less_memory_than_there_is(
    loaded: tuple[World, Expected], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once, as a first load of two months is, with three quarters of what DuckDB has for it."""
    place, _ = loaded
    before = place.digests()
    monkeypatch.setattr("warehouse.database.LITTLE_MEMORY", LITTLE_MEMORY * 3 // 4)
    runtime = Runtime(place.settings)
    rebuild_database(runtime.lake, runtime.database)
    assert place.digests() == before


# --- again, changed, rebuilt -----------------------------------------------------------------------------------------

FIRST, LAST, TO = date(2026, 10, 24), date(2026, 10, 26), date(2026, 10, 27)
STAGES_SCALE = 1.5  # enough calls that some are provisional or not yet rated
KINDS = ("new", "vanished", "changed")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of three days, one of them of 25 hours, that the following stages go through in turn."""
    with world(tmp_path_factory.mktemp("stages"), FIRST, LAST, scale=STAGES_SCALE) as made:
        yield made


@pytest.fixture(scope="module")
def once(place: World) -> Stage:
    """Loaded once."""
    assert place.load(FIRST, TO).failures == []
    return stage(place, "once")


@pytest.fixture(scope="module")
def twice(place: World, once: Stage) -> Stage:
    """Loaded again, nothing having changed."""
    assert place.load(FIRST, TO).failures == []
    return stage(place, "twice")


@pytest.fixture(scope="module")
def changed(place: World, twice: Stage) -> Stage:
    """Loaded again after the vendors changed what they say: late and withdrawn calls, settled costs, a paid invoice."""
    vendors = place.vendors
    vendors.add_late_rows(FIRST, 3)
    vendors.add_late_rows(FIRST, 2, "sipcentric", "25")
    vendors.withdraw_row(LAST, "pbxware", "7")
    vendors.withdraw_row(LAST, "sipcentric", "26")
    vendors.settle_provisional()
    vendors.pay_invoice(_unpaid(vendors.truth.invoices()).id)
    assert place.load(FIRST, TO).failures == []
    return stage(place, "changed")


@pytest.fixture(scope="module")
def offline(place: World, changed: Stage) -> Iterator[World]:
    """The vendors cannot be reached, and nobody remembers their passwords."""
    with pytest.MonkeyPatch.context() as patch:
        for name in place.vendors.secrets:
            patch.delenv(name)
        before = len(place.vendors.requests)
        yield place
        assert len(place.vendors.requests) == before


def _unpaid(invoices: list[Any]) -> Any:
    return next(invoice for invoice in invoices if invoice.status == "Unpaid")


def test_a_second_load_changes_nothing(place: World, once: Stage, twice: Stage) -> None:
    assert twice.core == once.core
    assert twice.digests == once.digests
    assert query(twice.public, "SELECT count(*) FROM audit.restatement") == [(0,)]
    assert query(twice.public, "SELECT count(DISTINCT load_id) FROM audit.load") == [(2,)]


def test_publishing_what_is_published_leaves_the_file_alone(place: World, changed: Stage) -> None:
    runtime = Runtime(place.settings)
    assert update_and_publish(runtime.lake, runtime.database).result.changed is False
    assert place.public.stat().st_ino == changed.inode


def test_what_the_vendors_changed_is_published(place: World, changed: Stage) -> None:
    expected = Expected(place.vendors.truth, FIRST, TO)
    assert Counter(query(changed.public, _LEGS)) == expected.legs()
    invoices = query(
        changed.public,
        "SELECT invoice_id, number, status, issued_on, subtotal, tax, currency, merged_into, counts_as_expense"
        " FROM core.invoice",
    )
    assert set(invoices) == expected.invoices()
    assert query(changed.public, "SELECT count(*) FROM audit.tie_out WHERE difference <> 0") == [(0,)]
    assert query(changed.public, "SELECT DISTINCT class FROM mart.extension_reconciliation") == [("exact",)]


def test_exactly_what_changed_is_restated(place: World, changed: Stage) -> None:
    before, after = (
        Expected(untouched_truth(FIRST, LAST, STAGES_SCALE), FIRST, TO),
        Expected(place.vendors.truth, FIRST, TO),
    )
    expected = _restated(_by_leg(before), _by_leg(after)) | _restated(_by_total(before), _by_total(after))
    paid = _unpaid(before.truth.invoices())
    found = query(
        changed.public,
        "SELECT connection, account_id, CASE WHEN stream = 'invoices' THEN record_id ELSE window_date::VARCHAR END,"
        " kind, count(*), sum(cost_effect) FROM audit.restatement GROUP BY ALL",
    )
    assert {row[:4]: row[4:] for row in found} == {**expected, (VPS, None, paid.id, "changed"): (1, Decimal(0))}
    assert {(key[0], key[3]) for key in expected} >= {(name, kind) for name in (PBX, SIP) for kind in KINDS}


def test_status_tells_what_the_last_load_changed(place: World, changed: Stage) -> None:
    status = place.command("status", "--all").output
    sums = "SELECT connection, currency, count(*), sum(cost_effect) FROM audit.restatement GROUP BY ALL"
    for connection, currency, records, effect in query(changed.public, sums):
        cost = f"; cost {'+' * (effect > 0)}{show_exact(effect, currency)} {currency}" if effect else ""
        assert f"{connection}: the last load restated {records} records{cost}; see audit.restatement" in status


def test_the_cost_marts_moved_by_exactly_what_was_restated(changed: Stage, twice: Stage) -> None:
    sums = "SELECT cost_date, connection, account_id, currency, sum(cost) FROM mart.cost_daily GROUP BY ALL"
    before, after = ({row[:4]: row[4] or 0 for row in query(database.public, sums)} for database in (twice, changed))
    moved = {key: after.get(key, 0) - before.get(key, 0) for key in {*before, *after}}
    restated = query(
        changed.public,
        "SELECT window_date, connection, account_id, currency, sum(cost_effect) FROM audit.restatement"
        " WHERE stream = 'cdr' GROUP BY ALL",
    )
    assert {key: value for key, value in moved.items() if value} == {row[:4]: row[4] for row in restated if row[4]}
    assert {row[0] for row in restated} >= {FIRST, LAST}


def _by_leg(expected: Expected) -> dict[Row, Counter[Any]]:
    """What each leg costs and whether it can still change; legs that only so differ are told apart by number."""
    legs: dict[Row, Counter[Any]] = defaultdict(Counter)
    for vendor in ("pbxware", "sipcentric"):
        for leg in expected.truth.legs(vendor, expected.first, expected.last):
            key = (leg.connection, leg.account_id, str(leg.call_date), replace(leg, cost=None, is_provisional=False))
            legs[key][leg.cost, leg.is_provisional] += 1
    return legs


def _by_total(expected: Expected) -> dict[Row, Counter[Any]]:
    totals: dict[Row, Counter[Any]] = defaultdict(Counter)
    for total in expected.truth.extension_totals(expected.first, expected.last):
        figures = (total.cost, total.calls, total.incoming, total.outgoing, total.duration_seconds)
        totals[TIM, None, str(total.total_date), total.extension][figures] += 1
    return totals


def _restated(before: dict[Row, Counter[Any]], after: dict[Row, Counter[Any]]) -> dict[Row, Row]:
    """Restatements and their effect on cost, by connection, account, day and kind."""
    found: dict[Row, list[Any]] = defaultdict(lambda: [0, Decimal(0)])
    for key in {*before, *after}:
        gone, come = list((before[key] - after[key]).elements()), list((after[key] - before[key]).elements())
        for n in range(max(len(gone), len(come))):
            kind = "vanished" if n >= len(come) else "new" if n >= len(gone) else "changed"
            row = found[(*key[:3], kind)]
            row[0] += 1
            row[1] += (come[n][0] or 0 if n < len(come) else 0) - (gone[n][0] or 0 if n < len(gone) else 0)
    return {key: tuple(row) for key, row in found.items()}


@pytest.mark.parametrize("damage", ["none", "core and private gone", "a byte of core flipped"])
def test_a_rebuild_makes_the_same_again(offline: World, changed: Stage, damage: str) -> None:
    if damage == "core and private gone":
        for folder in ("core", "private"):
            assert (offline.data_dir / folder).is_dir()
            shutil.rmtree(offline.data_dir / folder)
    elif damage == "a byte of core flipped":
        flip(offline.data_dir / "core" / "cdr" / PBX / f"{FIRST}.parquet")
        assert offline.core() != changed.core
    rebuilt = run_rebuild(offline.settings, lambda step: None)
    assert rebuilt.partitions > 7
    assert offline.core() == changed.core
    assert offline.digests() == changed.digests
    loads = "SELECT * FROM audit.load ORDER BY ALL"
    assert offline.query(loads) == query(changed.public, loads)


def test_damaged_raw_is_told_and_nothing_is_replaced(offline: World, changed: Stage) -> None:
    raw = next((offline.data_dir / "raw" / PBX / "cdr").rglob("*.parquet"))
    whole, public, core = raw.read_bytes(), offline.public.read_bytes(), offline.core()
    flip(raw)
    try:
        told = offline.command("rebuild")
        assert told.exit_code == 1
        assert "IntegrityError" in told.output
        assert raw.name in told.output
        assert "Traceback" not in told.output
        assert offline.public.read_bytes() == public
        assert offline.core() == core
    finally:
        raw.write_bytes(whole)
    assert offline.command("rebuild").exit_code == 0
    assert offline.digests() == changed.digests


def test_data_of_a_version_that_lacked_a_column_is_rebuilt(tmp_path: Path) -> None:
    """As before ``core.cdr.to_kind`` was there: whole by its checksums, in core and in the private database."""
    day = date(2026, 10, 24)
    with world(tmp_path, day, day, scale=0.1, only=(PBX,)) as place:
        place.read(day, day)
        core, digests, public = place.core(), place.digests(), place.public.read_bytes()
        state = place.data_dir / "state" / "core" / "cdr" / PBX / f"{day}.json"
        content = read_json(state)
        legs = place.data_dir / content["files"]["core.cdr"]
        pq.write_table(pq.read_table(legs).drop_columns(["to_kind"]), legs)
        content["sha256"]["core.cdr"] = file_sha256(legs)
        write_json(state, content)
        with duckdb.connect(str(next((place.data_dir / "private").glob("*.duckdb")))) as private:
            private.execute("ALTER TABLE core.cdr DROP COLUMN to_kind")
        told = place.command("load", "--from", str(day), "--to", str(day))
        assert told.exit_code == 1
        assert "other columns" in told.output
        assert "run: tollbook rebuild" in told.output
        assert "Traceback" not in told.output
        assert place.public.read_bytes() == public
        rebuilt = place.command("rebuild")
        assert rebuilt.exit_code == 0, rebuilt.output
        assert (place.core(), place.digests()) == (core, digests)
        assert place.command("load", "--from", str(day), "--to", str(day)).exit_code == 0


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# --- one vendor in trouble -------------------------------------------------------------------------------------------

TROUBLES = (
    ("down", SIP, "TransientError", Fault("reset", "sipcentric", times=None)),
    ("the wrong key", PBX, "AuthError", None),
    ("a 401 half-way", SIP, "AuthError", Fault("status", "sipcentric", "calls", 2, None, params={"status": 401})),
    ("a login page", TIM, "ContractError", Fault("html", "tim4biz", times=None)),
    ("500 for ever", VPS, "TransientError", Fault("status", "time4vps", times=None)),
)


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world with a day for each trouble, the one before them loaded well, and clients that give up soon."""
    with world(tmp_path_factory.mktemp("troubled"), date(2026, 10, 1), date(2026, 10, 6)) as made:
        assert made.load(made.vendors.first, made.vendors.first).failures == []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pipelines.resources.Client", hasty_client)
            yield made


@pytest.mark.parametrize(
    ("connection", "error", "fault", "day"),
    [pytest.param(*trouble, date(2026, 10, 2 + n), id=name) for n, (name, *trouble) in enumerate(TROUBLES)],
)
def test_one_vendor_in_trouble_leaves_the_others_standing(
    troubled: World, monkeypatch: pytest.MonkeyPatch, connection: str, error: str, fault: Fault | None, day: date
) -> None:
    others = {PBX, SIP, TIM, VPS} - {connection}
    if fault is None:
        monkeypatch.setenv("PBXWARE_API_KEY", "no-such-key")
    else:
        troubled.vendors.faults.add(fault)

    told = troubled.command("load", "--from", str(day), "--to", str(day))
    assert told.exit_code == 1
    failed = [line for line in told.output.splitlines() if line.startswith("FAILED")]
    assert failed
    assert all(line.startswith(f"FAILED {connection} ") and error in line for line in failed)
    assert f"published {troubled.public}" in told.output
    assert "Traceback" not in told.output

    last = f"(SELECT max(load_id) FROM audit.load WHERE started_at > TIMESTAMP '{day}')"
    loads = troubled.query(f"SELECT connection, status, error_type FROM audit.load WHERE load_id = {last}")
    assert {name for name, status, _ in loads if status == "failed"} == {connection}
    assert {kind for _, status, kind in loads if status == "failed"} == {error}
    assert {name for name, status, _ in loads if status != "failed"} >= others
    reached = {row[0] for row in troubled.query(f"SELECT connection FROM core.cdr WHERE call_date = '{day}'")}
    assert reached == {PBX, SIP} - {connection}

    status = troubled.command("status")
    assert status.exit_code == 1
    assert any(line.startswith(f"{connection}: ") for line in status.output.splitlines())
    assert not any(line.startswith(f"{other}: {other} ") for line in status.output.splitlines() for other in others)

    troubled.vendors.faults.clear()
    monkeypatch.setenv("PBXWARE_API_KEY", troubled.vendors.secrets["PBXWARE_API_KEY"])
    again = troubled.command("load", "--from", str(day), "--to", str(day), "--connection", connection)
    assert again.exit_code == 0, again.output
    assert {row[0] for row in troubled.query(f"SELECT connection FROM core.cdr WHERE call_date = '{day}'")} == {
        PBX,
        SIP,
    }
    assert f"{connection}: {connection} " not in troubled.command("status").output


# Lists that there must be, and what came in their place on a night after one on which they were given.
NOTHING = Fault("body", "pbxware", "ext.list", times=None, params={"body": "{}"})
UNREAD = (
    ("a page for the extensions", PBX, "ext.list", "ContractError", Fault("html", "pbxware", "ext.list", times=None)),
    ("nothing for them", PBX, "ext.list", "ContractError", NOTHING),
    (
        "500 for the tenants",
        PBX,
        "tenant.list",
        "TransientError",
        Fault("status", "pbxware", "tenant.list", times=None),
    ),
    (
        "a page for the customers",
        SIP,
        "customers",
        "ContractError",
        Fault("html", "sipcentric", "customers", times=None),
    ),
    ("500 for them", SIP, "customers", "TransientError", Fault("status", "sipcentric", "customers", times=None)),
)


@pytest.fixture(scope="module")
def without_lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world with a day for each, the one before them loaded well, and clients that give up soon."""
    first, last = date(2026, 10, 1), date(2026, 10, 7)
    with world(tmp_path_factory.mktemp("lists"), first, last, only=(PBX, SIP)) as made:
        assert made.load(first, first).failures == []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pipelines.resources.Client", hasty_client)
            yield made


@pytest.mark.parametrize(
    ("connection", "endpoint", "error", "fault", "day"),
    [pytest.param(*each, date(2026, 10, 2 + n), id=name) for n, (name, *each) in enumerate(UNREAD)],
)
def test_calls_are_loaded_with_the_lists_of_before_where_tonight_there_are_none(
    without_lists: World, connection: str, endpoint: str, error: str, fault: Fault, day: date
) -> None:
    """What was loaded is as on a good night; the list itself failed, and that is said everywhere."""
    place = without_lists
    lists = "SELECT * FROM core.extension ORDER BY ALL"
    known, newest = place.query(lists), Runtime(place.settings).lake.raw.newest_list(connection, "lists")
    place.vendors.faults.add(fault)

    told = place.command("load", "--from", str(day), "--to", str(day))
    assert told.exit_code == 1
    (failed,) = [line for line in told.output.splitlines() if line.startswith("FAILED")]
    assert failed.startswith(f"FAILED {connection} lists: {error}: {connection} {endpoint}: ")
    assert f"what the lists said on {newest.started_at:%Y-%m-%d %H:%M} UTC stays" in failed
    assert place.query(lists) == known
    legs = Expected(place.vendors.truth, day, day).legs()
    found = Counter(row for row in place.query(_LEGS) if row[5] == day)
    assert dict(found) == dict(legs)
    last = "(SELECT max(load_id) FROM audit.load)"
    loads = place.query(f"SELECT connection, stream FROM audit.load WHERE status = 'failed' AND load_id = {last}")
    assert loads == [(connection, "lists")]
    assert any(line.startswith(f"{connection}: ") for line in place.command("status").output.splitlines())
    with DagsterInstance.from_config(str(dagster_home(place.settings))) as instance:
        runs = instance.get_runs(RunsFilter(job_name=LOAD), limit=1)
    assert [run.is_failure for run in runs] == [True], "somebody is told"

    place.vendors.faults.clear()
    assert place.command("load", "--from", str(day), "--to", str(day), "--connection", connection).exit_code == 0
    assert place.query("SELECT count(*) FROM audit.restatement") == [(0,)]


@pytest.mark.parametrize(
    ("fault", "day"),
    [(Fault("reset", times=None), date(2026, 10, 7)), (Fault("status", params={"status": 401}), date(2026, 10, 7))],
    ids=["no connection", "401"],
)
def test_a_vendor_that_lets_nobody_in_is_not_asked_for_calls(without_lists: World, fault: Fault, day: date) -> None:
    without_lists.vendors.faults.add(replace(fault, vendor="sipcentric", endpoint="customers", times=None))
    asked = len(without_lists.vendors.requests)
    ran = without_lists.load(day, day, SIP)
    without_lists.vendors.faults.clear()
    assert len(ran.failures) >= 1
    assert not any("stays" in failure for failure in ran.failures)
    assert {request.endpoint for request in without_lists.vendors.requests[asked:]} == {"customers"}


def test_without_any_lists_of_before_nothing_is_loaded(tmp_path: Path) -> None:
    day = date(2026, 10, 24)
    with world(tmp_path, day, day, only=(PBX,)) as place:
        place.vendors.faults.add(Fault("html", "pbxware", "ext.list", times=None))
        (failure, *_) = place.load(day, day).failures
        assert failure.startswith("hq lists: ContractError: hq ext.list: ")
        assert "stays" not in failure
        assert place.query("SELECT count(*) FROM core.cdr") == [(0,)]


NOTICE = "Notice: Undefined index: page in /var/www/api.php on line 7\n"


@pytest.mark.parametrize("endpoint", ["cdr.download", "cdr.billamount"])
@pytest.mark.parametrize("kind", ["html", "notice", "truncate"])
def test_what_is_garbled_twice_is_asked_for_again_and_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, kind: str
) -> None:
    """A web page, words of PHP's, half a response, in place of two responses: then all is as on a good night."""
    monkeypatch.setattr("pipelines.resources.Client", Client)  # not one that gives up after two
    day = date(2026, 10, 24)
    params = {"body": NOTICE} if kind == "notice" else {}
    with world(tmp_path, day, day, scale=0.1, only=(PBX,)) as place:
        kind = "body" if kind == "notice" else kind
        place.vendors.faults.add(Fault(kind, "pbxware", endpoint, times=2, params=params))
        runtime = Runtime(place.settings)
        assert read_and_publish(runtime, day, day) == []
        asked = Counter(repr(sorted(r.params.items())) for r in place.vendors.requests if r.endpoint == endpoint)
        assert max(asked.values()) > 1, "again"
        legs = Expected(place.vendors.truth, day, day).legs()
        assert dict(Counter(place.query(_LEGS))) == {leg: times for leg, times in legs.items() if leg[0] == PBX}
        checks = place.query("SELECT DISTINCT check_name, status FROM audit.control_total ORDER BY ALL")
        assert checks == [(name, "matched") for name in sorted(pbxware.CONTROLS)]
        assert place.query("SELECT DISTINCT status, warnings FROM audit.load") == [("loaded", None)]


# Responses that were landed before anybody saw that they cannot be understood; the vendor's next one is right.
NONSENSE = {
    "a column is missing": Fault("drop_column", "pbxware", "cdr.download", times=None, params={"name": "Status"}),
    "a time is a word": Fault(
        "cell", "pbxware", "cdr.download", times=None, params={"name": "Date/Time", "value": "yesterday"}
    ),
}


@pytest.mark.parametrize("fault", NONSENSE.values(), ids=NONSENSE)
def test_what_was_not_understood_does_not_stand_in_the_way_of_the_next_answer(tmp_path: Path, fault: Fault) -> None:
    day = date(2026, 10, 24)
    with world(tmp_path, day, day, only=(PBX,)) as place:
        place.vendors.faults.add(fault)
        place.load(day, day)
        told = place.command("rebuild")
        assert told.exception is None or isinstance(told.exception, SystemExit)
        assert "yesterday" not in told.output
        place.vendors.faults.clear()
        assert place.load(day, day).failures == []
        legs = Expected(place.vendors.truth, day, day).legs()
        assert dict(Counter(place.query(_LEGS))) == {leg: times for leg, times in legs.items() if leg[0] == PBX}
        core = place.core()
        assert place.command("rebuild").exit_code == 0
        assert place.core() == core


def test_troubles_leave_nothing_in_core_that_nobody_vouches_for(troubled: World) -> None:
    """Whatever went wrong above, nothing half-written is left."""
    runtime = Runtime(troubled.settings)
    known = {path for part in runtime.lake.core.partitions() for path in part.files.values()}
    assert {f"core/{name}" for name in hashes(troubled.data_dir / "core")} == known
