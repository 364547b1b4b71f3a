"""Restatements: what a later reading changes, adds or no longer has, and nothing else."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fake_pbx import DAY, NOON, FakePbx, load_day, load_lists, row, rows_of, source_of

from assets import pbxware
from assets.load import update_partition
from assets.stream import Past, Source
from assets.vendors import streams_of
from tollbook_errors import ContractError
from warehouse.restate import Reading, merge
from warehouse.schema import CDR, INVOICE, Table

pytestmark = pytest.mark.slow  # whole loads

READ_AT = datetime(2026, 3, 12, 3, tzinfo=UTC)


def restated(source: Source) -> list[dict[str, Any]]:
    return sorted(rows_of(source, "audit.restatement"), key=lambda entry: (entry["restated_at"], entry["kind"]))


# --- whole loads -----------------------------------------------------------------------------------------------------


def test_a_cost_that_comes_later_is_a_restatement(tmp_path: Path) -> None:
    """S19: null today, 0.09 tomorrow."""
    pbx = FakePbx([row(number=1, rating_cost="")])
    source = source_of(pbx, tmp_path)
    load_day(source)
    (before,) = rows_of(source)
    assert (before["cost"], restated(source)) == (None, [])
    pbx.rows = [row(number=1, rating_cost="0.09000")]
    (landing,) = load_day(source).landings
    (after,) = rows_of(source)
    assert (after["cdr_id"], after["cost"]) == (before["cdr_id"], Decimal("0.09"))
    assert after["raw_file"] == landing.file != before["raw_file"]
    (entry,) = restated(source)
    assert {name: entry[name] for name in ("kind", "record_id", "columns_changed", "currency", "account_id")} == {
        "kind": "changed",
        "record_id": before["cdr_id"],
        "columns_changed": "cost",
        "currency": "EUR",
        "account_id": "2",
    }
    assert (entry["before_cost"], entry["after_cost"], entry["cost_effect"]) == (None, Decimal("0.09"), Decimal("0.09"))
    assert (json.loads(entry["before"]), json.loads(entry["after"])) == ({"cost": None}, {"cost": "0.090000"})
    assert (entry["window_date"], entry["stream"], entry["first_seen_at"]) == (DAY, "cdr", before["fetched_at"])
    assert entry["restated_at"] == landing.started_at


def test_a_row_that_comes_days_late_is_new(tmp_path: Path) -> None:
    """S17."""
    pbx = FakePbx([row(number=1)])
    source = source_of(pbx, tmp_path)
    load_day(source)
    (before,) = rows_of(source)
    pbx.rows.insert(0, row(NOON - 1000, 2))
    load_day(source)
    (entry,) = restated(source)
    assert (entry["kind"], entry["cost_effect"], entry["first_seen_at"]) == ("new", Decimal("0.1"), None)
    assert (entry["before"], json.loads(entry["after"])["native_id"]) == (None, f"{NOON}.2")
    assert before in rows_of(source), "the row that was there keeps where and when it was read"


def test_a_row_that_is_gone_has_vanished_and_may_come_back(tmp_path: Path) -> None:
    pbx = FakePbx([row(number=1), row(number=2)])
    source = source_of(pbx, tmp_path)
    load_day(source)
    gone = pbx.rows.pop()
    load_day(source)
    assert [found["native_id"] for found in rows_of(source)] == [f"{NOON}.1"]
    pbx.rows.append(gone)
    load_day(source)
    assert [(entry["kind"], entry["cost_effect"]) for entry in restated(source)] == [
        ("vanished", Decimal("-0.1")),
        ("new", Decimal("0.1")),
    ]
    assert len({entry["record_id"] for entry in restated(source)}) == 1


def test_one_of_two_identical_rows_that_goes_is_one_vanished(tmp_path: Path) -> None:
    pbx = FakePbx([row(number=1), row(number=1)])
    source = source_of(pbx, tmp_path)
    load_day(source)
    pbx.rows.pop()
    load_day(source)
    assert len(rows_of(source)) == 1
    assert [entry["kind"] for entry in restated(source)] == ["vanished"]


def test_a_corrected_duration_is_one_row_gone_and_one_come(tmp_path: Path) -> None:
    pbx = FakePbx([row(number=1)])
    source = source_of(pbx, tmp_path)
    load_day(source)
    pbx.rows = [row(number=1, total_duration="90")]
    load_day(source)
    assert [entry["kind"] for entry in restated(source)] == ["new", "vanished"]


def test_what_we_infer_is_no_restatement(tmp_path: Path) -> None:
    """A new extension changes whose call it was; the PBX has said nothing else about it."""
    pbx = FakePbx([row(number=1, **{"from": "02079460177", "to": "2001"})])
    source = source_of(pbx, tmp_path)
    load_day(source)
    (before,) = rows_of(source)
    assert before["extension"] is None
    pbx.lists["ext.list"]["8"] = {"name": "Bo Reed", "ext": "2001"}
    load_lists(source)
    load_day(source)
    (after,) = rows_of(source)
    assert (after["direction"], after["extension"]) == ("inbound", "2001")
    assert (after["fetched_at"], after["raw_file"]) == (before["fetched_at"], before["raw_file"])
    assert restated(source) == []


def test_records_that_come_while_their_day_goes_on_are_not_late(tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    noon = int(datetime(today.year, today.month, today.day, 12, tzinfo=UTC).timestamp())
    pbx = FakePbx([row(noon, 1, rating_cost="")])
    source = source_of(pbx, tmp_path)
    load_day(source, today)
    pbx.rows = [row(noon, 1, rating_cost="0.20000"), row(noon + 1, 2)]
    load_day(source, today)
    assert len(rows_of(source, day=today)) == 2
    entries = rows_of(source, "audit.restatement", day=today)
    assert [entry["kind"] for entry in entries] == ["changed"], "a changed cost is one all the same"


# --- merging one by one, or all at once ------------------------------------------------------------------------------


NIGHTS = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["", "0.1", "0.2"]), st.booleans()), max_size=6),
    min_size=1,
    max_size=5,
)


@given(nights=NIGHTS)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_merging_one_by_one_is_merging_all_at_once(
    tmp_path_factory: pytest.TempPathFactory, nights: list[list[tuple[int, str, bool]]]
) -> None:
    """And the restatements explain the whole way from the first night's cost to the last's."""
    pbx = FakePbx()
    source = source_of(pbx, tmp_path_factory.mktemp("nights"))
    sums = []
    for night in nights:
        pbx.rows = [
            row(number=number, rating_cost=cost, **({} if known else {"status": "Odd"}))
            for number, cost, known in night
        ]
        load_day(source)
        sums.append(sum((found["cost"] or Decimal(0) for found in rows_of(source)), Decimal(0)))
    effects = sum((entry["cost_effect"] for entry in rows_of(source, "audit.restatement")), Decimal(0))
    assert sums[-1] - sums[0] == effects
    files = {p: p.read_bytes() for p in (source.lake.data_dir / "core").rglob("*.parquet")}
    source.lake.core.clear([source.name])
    update_partition(source, pbxware.CDR_STREAM, DAY)
    update_partition(source, pbxware.LISTS_STREAM, None)
    assert {p: p.read_bytes() for p in (source.lake.data_dir / "core").rglob("*.parquet")} == files


# --- the merge alone --------------------------------------------------------------------------------------------------


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def reading(stream: str, *, settled: bool = True) -> Reading:
    return Reading(stream, "time4vps", "hosting", date(2026, 3, 10), READ_AT, settled)


def table_of(table: Table, *rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=table.arrow())


def invoice(number: str, subtotal: str, **changes: Any) -> dict[str, Any]:
    return {
        "vendor": "time4vps",
        "connection": "hosting",
        "invoice_id": number,
        "status": "paid",
        "subtotal": Decimal(subtotal),
        "tax": Decimal("1"),
        "currency": "EUR",
        "counts_as_expense": True,
        "raw_file": "raw/one.parquet",
        "raw_row": 1,
        "fetched_at": READ_AT - timedelta(days=1),
    } | changes


def merged(
    con: duckdb.DuckDBPyConnection, table: Table, before: pa.Table | None, stream: str
) -> tuple[pa.Table, list[dict[str, Any]] | None]:
    """What ``fresh`` makes of the rows before: the rows that stand now, and the restatements."""
    if before is not None:
        con.register("before", before)
    rows, restated = merge(con, table, None if before is None else "before", "fresh", reading(stream))
    entries = con.table(restated).to_arrow_table().to_pylist() if restated else None
    return rows.read_all(), entries


def test_columns_of_a_reading_may_stand_in_any_order(con: duckdb.DuckDBPyConnection) -> None:
    before = table_of(INVOICE, invoice("1", "10"), invoice("2", "20"))
    fresh = table_of(INVOICE, invoice("1", "11", fetched_at=READ_AT))
    con.register("fresh", fresh.select(fresh.schema.names[::-1]))
    rows, entries = merged(con, INVOICE, before, "invoices")
    assert entries is not None
    assert rows.schema.names == INVOICE.arrow().names
    kinds = {entry["record_id"]: (entry["kind"], entry["cost_effect"], entry["currency"]) for entry in entries}
    assert kinds == {"1": ("changed", Decimal("1"), "EUR"), "2": ("vanished", Decimal("-21"), "EUR")}


def test_a_new_invoice_is_not_a_restated_one(con: duckdb.DuckDBPyConnection) -> None:
    con.register("fresh", table_of(INVOICE, invoice("1", "10"), invoice("2", "20")))
    _, entries = merged(con, INVOICE, table_of(INVOICE, invoice("1", "10")), "invoices")
    assert entries == []


def test_an_id_that_comes_twice_is_refused(con: duckdb.DuckDBPyConnection) -> None:
    con.register("fresh", table_of(INVOICE, invoice("1", "10"), invoice("1", "20")))
    with pytest.raises(ContractError, match="more than once"):
        merge(con, INVOICE, None, "fresh", reading("invoices"))


def test_a_first_reading_restates_nothing(con: duckdb.DuckDBPyConnection) -> None:
    con.register("fresh", table_of(INVOICE, invoice("2", "20"), invoice("1", "10")))
    rows, entries = merged(con, INVOICE, None, "invoices")
    assert entries is None
    assert rows["invoice_id"].to_pylist() == ["1", "2"]


@pytest.mark.parametrize("name", sorted(set(CDR.derived)))
def test_derived_columns_do_not_restate(name: str, con: duckdb.DuckDBPyConnection) -> None:
    base = {
        "cdr_id": "x",
        "cost": Decimal("1"),
        "currency": "EUR",
        "connection": "hq",
        "raw_file": "one",
        "call_date": DAY,
    }
    other: dict[str, Any] = {"call_date": DAY + timedelta(days=1)}
    con.register("fresh", table_of(CDR, base | {name: other.get(name, "other"), "raw_file": "two"}))
    rows, entries = merged(con, CDR, table_of(CDR, base), "cdr")
    assert entries == []
    assert rows["raw_file"].to_pylist() == ["one"]
    assert rows[name].to_pylist() == [other.get(name, "other")]


@pytest.mark.parametrize("name", [c for c in CDR.column_names if c not in (*CDR.derived, *CDR.key)])
def test_what_the_vendor_says_does(name: str, con: duckdb.DuckDBPyConnection) -> None:
    """Every other column, but for where and when it was read; NULL against something counts too."""
    values: dict[str, Any] = {
        "occurrence": 2,
        "started_at": READ_AT,
        "duration_seconds": 5,
        "rated_seconds": 5,
        "cost": Decimal("5"),
        "is_provisional": True,
        "mos": Decimal("5"),
        "has_recording": True,
        "raw_row": 5,
        "fetched_at": READ_AT,
    }
    con.register("fresh", table_of(CDR, {"cdr_id": "x", name: values.get(name, "other")}))
    _, entries = merged(con, CDR, table_of(CDR, {"cdr_id": "x"}), "cdr")
    assert entries is not None
    expected = [] if name in ("raw_file", "raw_row", "fetched_at") else [("changed", name)]
    assert [(entry["kind"], entry["columns_changed"]) for entry in entries] == expected


# --- read otherwise ---------------------------------------------------------------------------------------------------


def test_what_is_read_otherwise_is_restated_though_the_vendor_said_the_same(tmp_path: Path) -> None:
    """A04: 9 is dialled for an outside line, which nobody had said; what we make of a number is then compared, too."""
    pbx = FakePbx([row(number=1, **{"from": "101", "to": "902079460123"})])
    before = source_of(pbx, tmp_path)
    (landing,) = load_day(before).landings
    (stood,) = rows_of(before)
    assert stood["to_e164"] != "+442079460123"
    now = source_of(pbx, tmp_path, outside_line="9", past=(Past(before, f"{landing.generation}-000001", READ_AT),))
    for stream in ("lists", "cdr"):
        now.lake.core.clear(["hq"])
        update_partition(now, streams_of(now.vendor)[stream], DAY if stream == "cdr" else None)
    (stands,) = rows_of(now)
    assert stands["to_e164"] == "+442079460123"
    assert [stands[name] for name in ("cdr_id", "raw_file", "raw_row", "fetched_at")] == [
        stood[name] for name in ("cdr_id", "raw_file", "raw_row", "fetched_at")
    ], "the vendor has said it since then"
    (entry,) = restated(now)
    assert (entry["kind"], entry["restated_at"], entry["cost_effect"]) == ("changed", READ_AT, 0)
    assert "to_e164" in entry["columns_changed"]
    assert json.loads(entry["after"])["to_e164"] == "+442079460123"
    # What comes after is read as it is configured now, and is no restatement of the reading.
    load_day(now)
    assert restated(now) == [entry]
    assert update_partition(now, streams_of(now.vendor)["cdr"], DAY).rows["core.cdr"] == 1
