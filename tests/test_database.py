"""The private database and the published one: order of loading, all or nothing, crashes, readers, files on disk."""

import multiprocessing
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.core_rows import (
    OWNED,
    Row,
    at,
    cdr_days,
    invoice,
    leg,
    line,
    load,
    partition,
    query,
    row,
    warehouse,
)

from tollbook_errors import ConfigError, ContractError, IntegrityError, StorageError
from warehouse.database import STORAGE_VERSION, Database, _compact, _row_groups
from warehouse.fraud import FraudRules
from warehouse.schema import TABLES, table
from warehouse.update import Partition, intake, sql
from warehouse.update.scopes import in_days
from warehouse.update.sql import set_state

pytestmark = pytest.mark.slow  # whole databases

D1, D2, D3 = date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)


def two_days(tmp_path: Path) -> list[Partition]:
    return cdr_days(
        tmp_path / "core",
        [
            leg("a", "2026-03-02 09:00:00", 60, cost=Decimal("0.10")),
            leg("b", "2026-03-02 23:59:00", 300, linked_id="x", cost=Decimal("1.5")),
            leg("c", "2026-03-03 00:02:00", 10, linked_id="x"),
        ],
    )


def public(database: Database, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(database.public, read_only=True) as db:
        return db.execute(sql).fetchall()


# --- the same whatever the order --------------------------------------------------------------------------------------


def history(folder: Path, rng: random.Random) -> list[Partition]:
    """Some days of two PBXs and a SIP account: ids used again, chains over midnights, calls of several days, lists."""
    first = date(2026, 3, 27)  # over the end of a month
    legs: list[Row] = []
    for n in range(rng.randint(50, 80)):
        connection, vendor = rng.choice(
            [("hq", "pbxware"), ("hq", "pbxware"), ("branch", "pbxware"), ("sip", "sipcentric")]
        )
        minute = rng.randrange(10 * 24 * 60)
        start = at(f"{first} 00:00:00") + timedelta(minutes=minute, seconds=rng.choice([0, 0, 59]))
        seconds = rng.choice([0, 0, 30, 600, 7200, 7200, 80_000, 86_400, 200_000, 400_000])
        legs.append(
            leg(
                f"{connection}{n:03} {minute}",
                start.strftime("%Y-%m-%d %H:%M:%S"),
                seconds,
                connection=connection,
                vendor=vendor,
                account_id=rng.choice(["2", "7", None]) if connection == "hq" else "1",
                linked_id=rng.choice(["i", "j", "k", None, f"own{n}"]),
                direction=rng.choice(["inbound", "outbound", "internal"]),
                outcome=rng.choice(["answered", "answered", "no_answer", "failed"]),
                extension=rng.choice(["101", "102", None]),
                cost=rng.choice([None, Decimal("0.25"), Decimal("0.000001")]),
                currency="GBP" if connection == "sip" else "EUR",
                remote_e164=rng.choice([None, "+442079460100", "+18765550100", "+3491555000"]),
                remote_country=rng.choice(["GB", "JM", "ES"]),
                remote_type=rng.choice(["fixed", "premium", None]),
            )
        )
    tim = [
        partition(
            folder,
            "extension_total",
            "tim",
            first + timedelta(n),
            "tim4biz",
            {
                "core.extension_total": [
                    row(
                        "core.extension_total",
                        vendor="tim4biz",
                        connection="tim",
                        total_date=first + timedelta(n),
                        extension=rng.choice(["101", "103"]),
                        calls=rng.randint(0, 3),
                        currency="EUR",
                    )
                ]
            },
        )
        for n in range(0, 10, 3)
    ]
    lists = partition(
        folder,
        "lists",
        "hq",
        None,
        "pbxware",
        {
            "core.account": [
                row(
                    "core.account",
                    vendor="pbxware",
                    connection="hq",
                    account_id=account,
                    country=rng.choice(["GB", "ES"]),
                )
                for account in ("2", "7", None)
            ],
            "core.extension": [
                row(
                    "core.extension",
                    vendor="pbxware",
                    connection="hq",
                    account_id="2",
                    extension_id="1",
                    extension="101",
                    type="phone",
                    department=rng.choice(["Sales", "Support"]),
                )
            ],
        },
    )
    invoices = [
        invoice(str(n), first + timedelta(rng.randrange(10)), "10", str(rng.randint(0, 3)), status="unpaid")
        for n in range(3)
    ]
    hosting = partition(
        folder,
        "invoices",
        "hosting",
        None,
        "time4vps",
        {"core.invoice": invoices, "core.invoice_line": [line("0", "1", str(rng.randint(8, 12)))]},
    )
    return [*cdr_days(folder, legs), *tim, lists, hosting]


@pytest.mark.parametrize("seed", range(3))
def test_any_order_any_number_of_times_equals_a_rebuild(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    final = history(tmp_path / "core", rng)
    loads = [load(str(n), date(2026, 4, 5) + timedelta(n)) for n in range(3)]
    (tmp_path / "reference").mkdir()
    rates = tmp_path / "reference" / "fx_rates.csv"
    lax = FraudRules(premium_calls=1, out_of_hours_calls=1, learning_days=1, spike_times=1, spike_minimum=Decimal(0))
    incremental = warehouse(tmp_path / "incremental", reference_dir=tmp_path / "reference", fraud=lax)

    # First other contents of the same partitions, a few at a time; then, in another order, the final ones. Days that
    # the earlier contents had and the final ones have not are there, empty.
    earlier = history(tmp_path / "core", rng)
    known = {key(p) for p in final}
    emptied = [replace(p, files={}, digest="none") for p in earlier if key(p) not in known]
    for contents in (earlier, [*final, *emptied]):
        rest = rng.sample(contents, len(contents))
        while rest:
            size = rng.randint(1, 12)
            incremental.update(rest[:size], loads[: rng.randint(0, 2)])
            rest = rest[size:]
        rates.write_text(f"date,currency,rate\n2026-03-29,EUR,{rng.choice(['0.85', '0.86'])}\n")
    incremental.update([], loads)

    whole = warehouse(tmp_path / "whole", reference_dir=tmp_path / "reference", fraud=lax)
    whole.update([*final, *emptied], loads, full=True)
    signals = {rule for (rule,) in query(whole, "SELECT rule FROM mart.fraud_signal")}
    assert {"out_of_hours", "premium"} <= signals
    assert incremental.digests() == whole.digests()
    assert len(query(whole, "FROM core.call_leg")) > len(query(whole, "FROM core.call"))
    assert query(whole, "SELECT DISTINCT difference FROM audit.tie_out") == [(0,)]

    # However few rows are taken in and put together at once, whichever days that cuts apart.
    before = incremental.digests()
    monkeypatch.setattr(intake, "ROWS_AT_ONCE", (1, 5, 20)[seed])
    incremental.update([*final, *emptied], loads, full=True)
    assert incremental.digests() == before


def key(p: Partition) -> tuple[str, str, date | None]:
    return (p.stream, p.connection, p.day)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]])
def test_a_leg_that_arrives_late_joins_and_splits_calls_over_days(tmp_path: Path, order: list[int]) -> None:
    """A leg of five days links one before it to one after it, whichever of them is known first."""
    legs = [
        leg("first", "2026-03-01 10:00:00", 432_000, linked_id="x"),
        leg("last", "2026-03-06 15:00:00", 60, linked_id="x"),
        leg("other", "2026-03-03 12:00:00", 60, linked_id="y"),
    ]
    days = cdr_days(tmp_path / "core", legs)
    database = warehouse(tmp_path / "data")
    for n in order:
        database.update([days[n]])
    found = "SELECT call_id, legs FROM core.call ORDER BY ALL"
    assert query(database, found) == [("first", 2), ("other", 1)]
    # Without the long leg the last one is a call of its own again.
    database.update(cdr_days(tmp_path / "core", [], [D1]))
    assert query(database, found) == [("last", 1), ("other", 1)]
    assert query(database, "SELECT count(*), sum(calls) FROM mart.usage_hourly") == [(2, 2)]


def test_a_day_replaced_for_one_connection_keeps_the_other_connections_rows(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    legs = [leg("a", "2026-03-02 09:00:00"), leg("b", "2026-03-02 09:00:00", connection="branch")]
    database.update(cdr_days(tmp_path / "core", legs))
    database.update(cdr_days(tmp_path / "core", [leg("c", "2026-03-02 10:00:00")]))
    assert query(database, "SELECT cdr_id FROM core.cdr ORDER BY ALL") == [("b",), ("c",)]
    assert query(database, "SELECT call_id FROM core.call ORDER BY ALL") == [("b",), ("c",)]


def test_linked_legs_of_one_connection_meet_while_another_connection_loads_that_day(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    night = [
        leg("a1", "2026-03-02 23:00:00", 60, linked_id="x"),
        leg("a2", "2026-03-03 01:00:00", 60, linked_id="x"),
    ]
    late, early = cdr_days(tmp_path / "core", night)[1], cdr_days(tmp_path / "core", night)[0]
    (other,) = cdr_days(tmp_path / "core", [leg("b", "2026-03-03 09:00:00", connection="branch")])
    database.update([late])
    database.update([early, other])
    assert query(database, "SELECT call_id, legs FROM core.call ORDER BY ALL") == [("a1", 2), ("b", 1)]


def test_streams_that_share_an_audit_table_replace_only_their_own_rows(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")

    def checked(stream: str, day: date | None, ours: int) -> Partition:
        total = row(
            "audit.control_total",
            vendor="pbxware",
            connection="hq",
            window_date=day or D1,
            check_name=f"check of {stream}",
            subject="",
            ours=Decimal(ours),
            status="matched",
            stream=stream,
        )
        return partition(tmp_path / "core", stream, "hq", day, "pbxware", {"audit.control_total": [total]})

    database.update([checked("cdr", D2, 1), checked("sms", D2, 2), checked("cdr", D3, 3), checked("invoices", None, 4)])
    database.update([checked("cdr", D2, 10), checked("invoices", None, 40)])
    database.update([replace(checked("sms", D2, 0), files={}, digest="empty")])
    assert query(database, "SELECT ours, stream, window_date FROM audit.control_total ORDER BY ALL") == [
        (3, "cdr", D3),
        (10, "cdr", D2),
        (40, "invoices", D1),
    ]


def test_a_changed_department_or_invoice_reaches_the_days_it_matters_to(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")

    def lists(department: str) -> Partition:
        entry = row(
            "core.extension",
            vendor="pbxware",
            connection="hq",
            account_id="2",
            extension_id="1",
            extension="101",
            type="phone",
            department=department,
        )
        return partition(tmp_path / "core", "lists", "hq", None, "pbxware", {"core.extension": [entry]})

    def bills(day: date, tax: str) -> Partition:
        entries = {"core.invoice": [invoice("1", day, "5", tax), invoice("2", D1, "7")]}
        return partition(tmp_path / "core", "invoices", "hosting", None, "time4vps", entries)

    database.update([*two_days(tmp_path), lists("Sales"), bills(D2, "1")])
    assert database.update([lists("Support")]).touched == (D2, D3)
    assert query(database, "SELECT DISTINCT cost_centre FROM mart.cost_daily WHERE vendor = 'pbxware'") == [
        ("Support",)
    ]
    assert database.update([bills(D3, "1")]).touched == (D2, D3)
    assert database.update([bills(D3, "2")]).touched == (D3,)
    costs = "SELECT cost_date, charge_kind, cost FROM mart.cost_daily WHERE vendor = 'time4vps' ORDER BY ALL"
    assert query(database, costs) == [(D1, "hosting", 7), (D3, "hosting", 5), (D3, "tax", 2)]
    assert query(database, "SELECT sum(cost) FROM mart.cost_monthly WHERE vendor = 'time4vps'") == [(14,)]


def test_the_night_reads_its_own_days_only(tmp_path: Path) -> None:
    """Row groups of other days are skipped: the ranges reach the scan as plain comparisons."""
    days = {D2, D3, D3 + timedelta(30)}
    with duckdb.connect() as db:
        db.execute(
            "CREATE TABLE fact AS SELECT DATE '2016-01-01' + (i // 500)::INTEGER AS day, i FROM range(2000000) AS r(i)"
        )
        db.execute(f"CREATE TEMP MACRO in_call_days(d) AS ({in_days('d', days)})")
        plan = db.execute("EXPLAIN ANALYZE SELECT sum(i) FROM fact WHERE in_call_days(day)").fetchall()[0][1]
    scanned = next(text for text in plan.splitlines() if "Row Groups Scanned" in text)
    assert int(scanned.split(":")[1].split("/")[0]) <= 3


def test_row_groups_that_were_left_part_full_are_joined_once(tmp_path: Path) -> None:
    """Else each of the next checkpoints joins some, also in the copies that are published."""
    with duckdb.connect(tmp_path / "any.duckdb", config={"preserve_insertion_order": False, "threads": 2}) as db:
        db.execute("CREATE SCHEMA core; CREATE SCHEMA meta; CREATE TABLE meta.state (name VARCHAR, value VARCHAR)")
        for name in ("call", "call_leg", "cdr"):
            db.execute(f"CREATE TABLE core.{name} (number BIGINT)")
        parts = [f"part_{number}" for number in range(8)]
        for part in parts:
            db.execute(f"CREATE TEMP TABLE {part} AS FROM range(125_000)")
        db.execute("BEGIN")
        for _ in range(2):
            db.execute("INSERT INTO core.call_leg " + " UNION ALL ".join(f"FROM {part}" for part in parts))
        db.execute("COMMIT")
        db.execute("CHECKPOINT")
        before = _row_groups(db)
        _compact(db)
        after = _row_groups(db)
        set_state(db, "another", "value")
        db.execute("CHECKPOINT")
        assert _row_groups(db) == after < before
        assert db.execute("SELECT count(*), sum(number) FROM core.call_leg").fetchall() == [
            (2_000_000, 16 * sum(range(125_000)))
        ]


def test_only_what_was_made_whole_is_compacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compacted: list[None] = []
    monkeypatch.setattr("warehouse.database._compact", lambda db: compacted.append(None))
    database = warehouse(tmp_path / "data")
    one, other = two_days(tmp_path)
    assert database.update([one]).everything
    assert len(compacted) == 1
    assert not database.update([one, other]).everything
    assert len(compacted) == 1


# --- twice is once ----------------------------------------------------------------------------------------------------


def test_the_same_load_again_changes_nothing_and_publishes_nothing(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    loads = [load("1", D3)]
    result = database.update(two_days(tmp_path), loads)
    assert result.changed
    assert result.touched == (D2, D3)
    database.publish()
    before, digests, file = database.public.stat(), database.digests(), database.public.read_bytes()

    again = database.update(two_days(tmp_path), loads)
    assert (again.changed, again.applied, again.touched) == (False, (), ())
    database.publish()
    after = database.public.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert database.public.read_bytes() == file
    assert database.digests() == digests

    # A new load that found nothing new is told to the readers; the figures are the same.
    assert database.update(two_days(tmp_path), [load("2", D3, status="unchanged")]).changed
    database.publish()
    assert public(database, "SELECT load_id FROM audit.load ORDER BY ALL") == [("1",), ("2",)]
    assert database.digests() == digests


def test_publishing_by_force_or_after_the_file_went_away(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    database.update(two_days(tmp_path))
    database.publish()
    database.public.unlink()
    assert public_calls(database.publish()) == 2
    inode = database.public.stat().st_ino
    database.publish(force=True)
    assert database.public.stat().st_ino != inode


def public_calls(path: Path) -> int:
    with duckdb.connect(path, read_only=True) as db:
        (count,) = db.execute("SELECT count(*) FROM core.call").fetchall()[0]
    return int(count)


def test_a_load_told_again_replaces_what_was_told(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    rows = pa.Table.from_pylist([load("1", D3, rows=1), load("1", None, rows=1)], table("audit.load").arrow())
    database.update([], rows)
    database.update([], [load("1", None, rows=2)])
    assert query(database, "SELECT window_from, rows FROM audit.load ORDER BY ALL") == [(D3, 1), (None, 2)]


def test_nothing_to_publish_is_said(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="tollbook load"):
        warehouse(tmp_path / "data").publish()


# --- all or nothing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "marts/usage_daily",
        "marts/cost_daily",
        "marts/usage_hourly",
        "marts/destination_monthly",
        "marts/unanswered",
        "call",
        "call_leg",
    ],
)
def test_a_mart_that_lost_a_row_is_refused_and_the_last_good_database_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    database = warehouse(tmp_path / "data")
    database.update(two_days(tmp_path))
    database.publish()
    digests, file = database.digests(), database.public.read_bytes()
    select = sql.read

    def short(wanted: str) -> str:
        return f"SELECT * FROM ({select(wanted)}) ORDER BY ALL OFFSET 1" if wanted == name else select(wanted)

    late = cdr_days(
        tmp_path / "core",
        [
            leg("late", "2026-03-02 12:00:00", 5, cost=Decimal(1)),
            leg("in", "2026-03-02 12:00:00", 5, cost=Decimal(1), direction="inbound"),
        ],
    )
    with monkeypatch.context() as patch:
        patch.setattr(sql, "read", short)
        for full in (False, True):
            with pytest.raises(IntegrityError, match=r"2026-03-0[123]: .* does not tie out: .* the facts say"):
                database.update(late, full=full)
    database.publish()
    assert database.digests() == digests
    assert database.public.read_bytes() == file
    assert list(database.private.parent.glob("rebuild*")) == []
    assert database.update(late).changed


def test_a_cost_counted_twice_is_named_with_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    select = sql.read

    def double(wanted: str) -> str:
        if wanted != "marts/cost_monthly":
            return select(wanted)
        return f"SELECT * REPLACE (CAST(cost * 2 AS DECIMAL(18, 6)) AS cost) FROM ({select(wanted)})"

    monkeypatch.setattr(sql, "read", double)
    with pytest.raises(IntegrityError) as caught:
        warehouse(tmp_path / "data").update(two_days(tmp_path))
    assert "2026-03-01: mart.cost_monthly does not tie out: cost EUR is 3.200000, the facts say 1.600000" in str(
        caught.value
    )


def test_files_that_are_not_what_the_partition_says_are_refused(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    (day,) = cdr_days(tmp_path / "core", [leg("a", "2026-03-02 09:00:00")])
    path = day.files["core.cdr"]

    with pytest.raises(IntegrityError, match="another connection, stream or day"):
        database.update([replace(day, day=D3)])
    with pytest.raises(IntegrityError, match="another connection, stream or day"):
        database.update([replace(day, connection="branch")])
    with pytest.raises(IntegrityError, match="given twice"):
        database.update([day, day])

    other = tmp_path / "other.parquet"
    rows = pq.read_table(path)
    pq.write_table(pa.concat_tables([rows, rows]), other)
    with pytest.raises(IntegrityError, match="two rows of one key"):
        database.update([replace(day, files={"core.cdr": other})])
    pq.write_table(rows.drop_columns(["mos"]), other)
    with pytest.raises(ContractError, match="other columns"):
        database.update([replace(day, files={"core.cdr": other})])
    pq.write_table(
        rows.cast(pa.schema([f.with_type(pa.float64()) if f.name == "cost" else f for f in rows.schema])), other
    )
    with pytest.raises(ContractError, match="other columns"):
        database.update([replace(day, files={"core.cdr": other})])
    database.update([])
    assert query(database, "FROM core.cdr") == []


def test_business_days_of_two_time_zones_do_not_mix(tmp_path: Path) -> None:
    warehouse(tmp_path / "data").update(two_days(tmp_path))
    moved = warehouse(tmp_path / "data", timezone="Europe/Vilnius")
    with pytest.raises(ConfigError, match="Europe/Vilnius"):
        moved.update([])
    moved.update(two_days(tmp_path), full=True)
    assert not moved.update([]).changed


def test_a_database_with_other_columns_asks_for_a_rebuild(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    database.update(two_days(tmp_path))
    with duckdb.connect(database.private) as db:
        db.execute("ALTER TABLE core.sms DROP COLUMN status")
    with pytest.raises(IntegrityError, match="tollbook rebuild"):
        database.update([])
    assert database.update(two_days(tmp_path), full=True).changed


def test_other_sql_derives_everything_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = warehouse(tmp_path / "data")
    database.update(two_days(tmp_path))
    select = sql.read
    monkeypatch.setattr(
        sql, "read", lambda name: select(name).replace("'single'", "'alone'") if name == "call" else select(name)
    )
    result = database.update([])
    assert (result.changed, result.everything) == (True, True)
    assert query(database, "SELECT DISTINCT linking FROM core.call WHERE legs = 1") == [("alone",)]


# --- crashes ----------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from datetime import date
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from support.core_rows import cdr_days, leg, warehouse
from warehouse import database as module

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[3])
database = warehouse(folder / "data")
if sys.argv[4] == "update":
    module.run.tie_out = die
    database.update(cdr_days(folder / "core", [leg("new", "2026-03-02 12:00:00", 5)]))
elif sys.argv[4] == "rebuild":
    module.commit_file = die
    database.update([], full=True)
else:
    database.update(cdr_days(folder / "core", [leg("new", "2026-03-02 12:00:00", 5)]))
    module.commit_file = die
    database.publish()
"""


@pytest.mark.parametrize("moment", ["update", "rebuild", "publish"])
def test_a_process_killed_at_its_worst_moment_leaves_all_as_it_was(tmp_path: Path, moment: str) -> None:
    database = warehouse(tmp_path / "data")
    database.update(two_days(tmp_path))
    database.publish()
    digests, file = database.digests(), database.public.read_bytes()
    here = Path(__file__).parent
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(here), str(here.parent), str(tmp_path), moment],
        capture_output=True,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert database.public.read_bytes() == file
    if moment != "publish":
        assert database.digests() == digests
    database.update(cdr_days(tmp_path / "core", [leg("new", "2026-03-02 12:00:00", 5)]))
    database.publish()
    assert public(database, "SELECT call_id FROM core.call ORDER BY ALL") == [("c",), ("new",)]
    names = {path.name for path in database.public.parent.rglob("*")}
    assert names <= {"tollbook.duckdb", "private", "warehouse.duckdb", "tmp", "rebuild.duckdb"}


def garbage(private: Path) -> bytes:
    return b"not a log at all" * 100


def foreign(private: Path) -> bytes:
    """The log of another database, as it is left when a database is replaced beneath it."""
    return log_of(private.parents[2] / "other.duckdb", lambda db: db.execute("CREATE TABLE t AS SELECT 1 AS i"))


def log_of(path: Path, change: Callable[[duckdb.DuckDBPyConnection], object]) -> bytes:
    with duckdb.connect(path, config={"storage_compatibility_version": STORAGE_VERSION}) as db:
        db.execute("PRAGMA disable_checkpoint_on_shutdown")
        change(db)
        return path.with_name(f"{path.name}.wal").read_bytes()


@pytest.mark.parametrize("stale", [garbage, foreign])
def test_a_leftover_log_does_not_keep_the_database_from_opening(tmp_path: Path, stale: Callable[[Path], bytes]) -> None:
    database = warehouse(tmp_path / "data")
    database.update(two_days(tmp_path))
    digests = database.digests()
    wal = database.private.with_name("warehouse.duckdb.wal")
    wal.write_bytes(stale(database.private))
    assert database.digests() == digests
    assert database.update(cdr_days(tmp_path / "core", [leg("new", "2026-03-02 12:00:00", 5)])).changed
    assert list(wal.parent.glob("*.wal*")) == []
    assert query(database, "SELECT count(*) FROM core.call WHERE call_id = 'new'") == [(1,)]


def test_a_log_of_its_own_is_replayed(tmp_path: Path) -> None:
    """What was committed before a crash, but not yet moved into the file, counts."""
    database = warehouse(tmp_path / "data")
    database.update(two_days(tmp_path))
    copy = tmp_path / "copy"
    with duckdb.connect(database.private) as db:
        db.execute("PRAGMA disable_checkpoint_on_shutdown")
        db.execute("INSERT INTO audit.load (load_id) VALUES ('committed')")
        shutil.copytree(tmp_path / "data", copy)
    assert (copy / "private" / "warehouse.duckdb.wal").exists()
    assert ("committed",) in query(warehouse(copy), "SELECT load_id FROM audit.load")


def test_a_database_that_cannot_be_opened_asks_for_a_rebuild_which_works(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    database.update(two_days(tmp_path))
    digests = database.digests()
    database.private.write_bytes(b"\0" * 5000)
    for action in (database.publish, database.digests, lambda: database.update([])):
        with pytest.raises(IntegrityError, match="tollbook rebuild"):
            action()
    database.update(two_days(tmp_path), full=True)
    assert database.digests() == digests


def hold_open(path: Path, ready: Any, done: Any) -> None:
    with duckdb.connect(path):
        ready.set()
        done.wait(30)


def test_a_database_open_elsewhere_is_said_with_the_process(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    database.update(two_days(tmp_path))
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold_open, args=(database.private, ready, done))
    other.start()
    try:
        assert ready.wait(30)
        with pytest.raises(StorageError, match=f"process {other.pid} has"):
            database.update([])
    finally:
        done.set()
        other.join(30)


# --- the public file --------------------------------------------------------------------------------------------------


def test_readers_go_on_while_it_is_published(tmp_path: Path) -> None:
    """Whoever has the file open keeps what it saw; whoever opens it sees one whole night or the next, never half."""
    database = warehouse(tmp_path / "data")
    database.update(cdr_days(tmp_path / "core", [leg("0", "2026-03-02 09:00:00", 1)]))
    database.publish()
    link = tmp_path / "kept.duckdb"
    os.link(database.public, link)
    kept = duckdb.connect(link, read_only=True)
    seen: list[tuple[int, int]] = []
    failed: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                # A file of its own name, since one process shares what it has open under a name.
                own = tmp_path / f"reader{len(seen)}.duckdb"
                os.link(database.public, own)
                with duckdb.connect(own, read_only=True) as db:
                    seen.append(
                        db.execute(
                            "SELECT (SELECT count(*) FROM core.call), (SELECT sum(calls) FROM mart.usage_daily)"
                        ).fetchall()[0]
                    )
                own.unlink()
            except BaseException as error:
                failed.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(1, 4):
        database.update(cdr_days(tmp_path / "core", [leg(str(i), "2026-03-02 09:00:00", 1) for i in range(n + 1)]))
        database.publish()
    stop.set()
    reader.join()
    assert failed == []
    assert seen
    assert all(calls == counted for calls, counted in seen)
    assert kept.execute("SELECT count(*) FROM core.call").fetchall() == [(1,)]
    kept.close()
    assert public_calls(database.public) == 4


def test_a_log_that_somebody_left_beside_the_public_file_does_no_harm(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    database.update(two_days(tmp_path))
    database.publish()
    log_of(database.public, lambda db: db.execute("CREATE TABLE mine AS SELECT 1 AS i"))
    wal = database.public.with_name("tollbook.duckdb.wal")
    wal.write_bytes(garbage(wal))
    database.publish(force=True)
    assert public_calls(database.public) == 2
    assert not wal.exists()


def test_every_table_and_column_is_there_in_order_with_its_comment(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    database.update([], [load("1", D3)])
    database.publish()
    tables = public(database, "SELECT schema_name || '.' || table_name, comment FROM duckdb_tables()")
    assert dict(tables) == {t.full_name: t.grain for t in TABLES}
    assert public(database, "SELECT view_name FROM duckdb_views() WHERE NOT internal") == []
    columns = public(
        database,
        "SELECT schema_name || '.' || table_name, column_name, data_type, comment FROM duckdb_columns() "
        "WHERE NOT internal ORDER BY schema_name, table_name, column_index",
    )
    for table_ in TABLES:
        assert [entry[1:] for entry in columns if entry[0] == table_.full_name] == [
            (c.name, c.type.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"), c.comment) for c in table_.columns
        ]
    assert all(comment for *_, comment in columns)


def test_a_changed_comment_is_taken_over_without_a_rebuild(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = warehouse(tmp_path / "data")
    database.update(two_days(tmp_path))
    monkeypatch.setattr("warehouse.database._comments", lambda: ["COMMENT ON TABLE core.sms IS 'Other words';"])
    database.update([])
    assert query(database, "SELECT comment FROM duckdb_tables() WHERE table_name = 'sms'") == [("Other words",)]


def test_the_files_can_be_opened_by_older_clients(tmp_path: Path) -> None:
    """The storage version stands at byte 12: 67 is what DuckDB 1.4 reads, 68 came with 1.5."""
    database = warehouse(tmp_path / "data")
    database.update(two_days(tmp_path))
    database.update(two_days(tmp_path), full=True)
    database.publish()
    for path in (database.private, database.public):
        assert path.read_bytes()[8:12] == b"DUCK"
        assert path.read_bytes()[12] == 67
    with duckdb.connect(database.public, read_only=True, config={"enable_external_access": "false"}) as db:
        assert db.execute("SELECT count(*) FROM core.call").fetchall() == [(2,)]
        assert db.execute("SELECT tags['storage_version'] FROM duckdb_databases() WHERE NOT internal").fetchall() == [
            ("v1.4.0+",)
        ]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        database = warehouse(tmp_path / "data")
        database.update(two_days(tmp_path))
        database.update(two_days(tmp_path), full=True)
        database.publish()
    finally:
        os.umask(before)
    assert stat.S_IMODE(database.public.stat().st_mode) == 0o640
    assert stat.S_IMODE(database.private.stat().st_mode) == 0o600
    assert stat.S_IMODE(database.private.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_folder_with_signs_of_a_pattern_in_its_name(tmp_path: Path) -> None:
    odd = tmp_path / "year[2026] *"
    database = warehouse(odd / "data")
    database.update(cdr_days(odd / "core", [leg("a", "2026-03-02 09:00:00")]))
    database.publish()
    assert public_calls(database.public) == 1


def test_the_disk_says_no(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(StorageError):
        database.update(two_days(tmp_path))


def test_every_table_of_the_lake_is_known_to_the_tests() -> None:
    assert {name for names in OWNED.values() for name in names} <= {t.full_name for t in TABLES if t.in_lake}
