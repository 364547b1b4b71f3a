"""Closing a month: what is frozen, when it is refused, and what a closed month moves by afterwards."""

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
from support.core_rows import Row, at, cdr_days, invoice, leg, line, load, partition, query, row, warehouse
from support.loading import World, hashes, world

from tollbook_errors import IntegrityError
from warehouse.close import Close, CloseError, Freeze, Remark, close_month, read_closes
from warehouse.database import Database
from warehouse.published import Movement, movements, open_public
from warehouse.reports.sections.closed import movement_text
from warehouse.update import Partition
from warehouse.update import sql as module

pytestmark = pytest.mark.slow  # whole databases

MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)
D2, D3 = date(2026, 3, 2), date(2026, 3, 3)
READ = at("2026-04-02 04:00:00")
LONDON = ZoneInfo("Europe/London")


def whole_month(load_id: str = "1", **values: Any) -> Row:
    """A load of all of March in one window, after it had ended."""
    return load(load_id, date(2026, 3, 31), window_from=MARCH, started_at=READ, finished_at=READ, **values)


def legs() -> list[Row]:
    return [
        leg("a", "2026-03-02 09:00:00", 60, cost=Decimal("0.10"), remote_e164="+442079460123", remote_country="GB"),
        leg("b", "2026-03-02 10:00:00", 60, cost=Decimal("0.25"), remote_e164="+15550100", remote_country="US"),
        leg("c", "2026-03-03 09:00:00", 60),
    ]


def march(tmp_path: Path, loads: Sequence[Row] = (), more: Sequence[Partition] = (), **settings: Any) -> Database:
    """March, published: 0.35 EUR of three calls, one of which is unrated."""
    database = warehouse(tmp_path / "data", **settings)
    database.update([*cdr_days(tmp_path / "core", legs()), *more], [whole_month(), *loads])
    database.publish()
    return database


def closed(database: Database, month: date = MARCH, *, today: date = APRIL, **how: Any) -> Close:
    """Close a month, take the close in, and publish."""
    close = close_month(database.data_dir, month, timezone="UTC", today=today, connections=["hq"], **how)
    database.update([])
    database.publish()
    return close


def restated(
    day: date, *changes: tuple[str, str, str | None, str | None], after: bool = True, **values: Any
) -> list[Row]:
    """Rows of audit.restatement: (record, kind, cost before, cost after); made after the close, or before it."""
    moment = datetime.now(UTC) + (timedelta(hours=1) if after else timedelta(hours=-1))
    rows = []
    for record, kind, old, new in changes:
        before, now = (None if cost is None else Decimal(cost) for cost in (old, new))
        known: Row = {
            "vendor": "pbxware",
            "connection": "hq",
            "account_id": "2",
            "stream": "cdr",
            "before_cost": before,
            "after_cost": now,
            "cost_effect": (now or Decimal(0)) - (before or Decimal(0)),
            "currency": "EUR",
        }
        stated = {**known, **values, "record_id": record, "kind": kind, "restated_at": moment, "window_date": day}
        rows.append(row("audit.restatement", **stated))
    return rows


def day_again(folder: Path, day: date, rows: Sequence[Row], restatements: Sequence[Row]) -> Partition:
    return partition(folder, "cdr", "hq", day, "pbxware", {"core.cdr": rows, "audit.restatement": restatements})


def restating(made: Partition) -> Partition:
    """The same partition, of a stream that writes restatements, too."""
    return replace(made, tables=(*made.tables, "audit.restatement"))


def moved(database: Database) -> list[Movement]:
    database.publish()
    with open_public(database.public) as con:
        return movements(con)


# --- what is frozen ---------------------------------------------------------------------------------------------------


def test_the_figures_are_frozen_as_they_are(tmp_path: Path) -> None:
    database = march(tmp_path)
    close = closed(database)
    assert close.costs == (("EUR", Decimal("0.35")),)
    assert (close.month, close.version, close.closed_by_load, close.despite) == (MARCH, 1, "1", None)
    monthly = query(database, "FROM mart.cost_monthly ORDER BY ALL")
    frozen = query(database, "FROM mart.cost_monthly_as_closed ORDER BY ALL")
    assert frozen == [(*entry, close.closed_at, "1") for entry in monthly]
    assert len(frozen) == close.rows == 3
    assert sorted(path.name for path in (database.data_dir / "closed").iterdir()) == ["2026-03.json", "2026-03.parquet"]
    assert pq.read_table(database.data_dir / "closed" / "2026-03.parquet").num_rows == 3
    ties = query(
        database,
        "SELECT mart, tie_date, measure, currency, fact, difference FROM audit.tie_out "
        "WHERE mart IN ('mart.cost_monthly_as_closed', 'mart.month_movement') ORDER BY ALL",
    )
    assert ties == [
        ("mart.cost_monthly_as_closed", MARCH, "cost", "EUR", Decimal("0.35"), 0),
        ("mart.cost_monthly_as_closed", MARCH, "rows", "", 3, 0),
        ("mart.month_movement", MARCH, "as closed", "EUR", Decimal("0.35"), 0),
        ("mart.month_movement", MARCH, "as closed and moved", "EUR", Decimal("0.35"), 0),
    ]
    assert moved(database) == []


def test_a_month_without_charges_can_be_closed_and_moves_from_nothing(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    database.update([], [whole_month()])
    database.publish()
    close = closed(database)
    assert (close.rows, close.costs, close.file) == (0, (), None)
    late = leg("x", "2026-03-02 09:00:00", 60, cost=Decimal("1.5"))
    database.update([day_again(tmp_path, D2, [late], restated(D2, ("x", "new", None, "1.5")))])
    assert query(database, "SELECT as_closed, now, moved FROM mart.month_movement") == [
        (0, Decimal("1.5"), Decimal("1.5"))
    ]
    assert [entry.records for entry in moved(database)] == [("x",)]


# --- when it is refused -----------------------------------------------------------------------------------------------


def control(status: str, day: date = D2) -> Row:
    return row(
        "audit.control_total",
        window_date=day,
        vendor="pbxware",
        connection="hq",
        check_name="billamount",
        subject="",
        ours=Decimal("0.35"),
        theirs=Decimal("0.36"),
        difference=Decimal("-0.01"),
        status=status,
        stream="cdr",
    )


def quarantined() -> Row:
    return row(
        "audit.quarantine",
        window_date=D2,
        vendor="pbxware",
        connection="hq",
        stream="cdr",
        reason="a row shorter than the header",
        raw_file="raw/x",
        page=1,
        raw_row=1,
    )


def day_with(folder: Path, **tables: Sequence[Row]) -> Partition:
    named = {f"audit.{name}": rows for name, rows in tables.items()}
    return partition(folder, "cdr", "hq", D2, "pbxware", {"core.cdr": legs()[:2], **named})


def lists(load_id: str, started_at: datetime, **values: Any) -> Row:
    moments = {"started_at": started_at, "finished_at": started_at}
    return load(load_id, None, stream="lists", window_from=None, **moments, **values)


OBSTACLES: dict[str, tuple[list[Row], dict[str, list[Row]], str]] = {
    "never asked for": (
        [load("2", date(2026, 2, 27), stream="sms", started_at=READ)],
        {},
        "hq sms: missing 31 days from 2026-03-01 to 2026-03-31",
    ),
    "failed again": (
        [load("2", D3, status="failed", started_at=READ, error_type="AuthError", error="hq cdr: refused")],
        {},
        "hq cdr: stale 2026-03-03",
    ),
    "read too early": (
        [load("1", D2, stream="sms", window_from=D2, started_at=at("2026-03-02 12:00:00"))]
        + [load("1", date(2026, 3, 31), stream="sms", window_from=D3, started_at=READ)],
        {},
        "hq sms: partial 2026-03-02",
    ),
    "lists read too early": ([lists("1", at("2026-03-31 23:59:59"))], {}, "hq lists: not read since the month ended"),
    "lists failed": (
        [lists("1", READ), lists("2", READ, status="failed")],
        {},
        "hq lists: the latest reading failed",
    ),
    "a variance": ([], {"control_total": [control("variance")]}, "hq billamount: 1 open variance"),
    "a record set aside": ([], {"quarantine": [quarantined()]}, "hq cdr: 1 record not understood"),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_an_incomplete_or_unproven_month_is_refused_unless_anyway(tmp_path: Path, name: str) -> None:
    loads, tables, what = OBSTACLES[name]
    database = march(tmp_path, loads)
    database.update([day_with(tmp_path, **tables)])
    database.publish()
    with pytest.raises(CloseError) as caught:
        closed(database)
    assert caught.value.what == f"2026-03 is not complete and proven: {what}"
    assert not (database.data_dir / "closed").exists()
    assert closed(database, anyway=True).despite == what
    assert query(database, "SELECT month, despite FROM audit.month_close") == [(MARCH, what)]


def test_what_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """Other months' variances, totals that are not to be had, lists read since, other connections' days."""
    other = [load("1", D2, "gone", started_at=READ), lists("1", at("2026-04-01 00:00:00"))]
    database = march(tmp_path, other)
    database.update([day_with(tmp_path, control_total=[control("matched")])])
    elsewhere = {"core.cdr": [], "audit.control_total": [control("variance", APRIL)]}
    database.update([partition(tmp_path, "cdr", "hq", APRIL, "pbxware", elsewhere)])
    database.publish()
    assert closed(database).despite is None


def test_a_connection_that_was_never_loaded_is_missing(tmp_path: Path) -> None:
    database = march(tmp_path)
    with pytest.raises(CloseError, match=r"2026-03 is not complete and proven: sip: never loaded"):
        close_month(database.data_dir, MARCH, timezone="UTC", today=APRIL, connections=["hq", "sip"])


@pytest.mark.parametrize("anyway", [False, True])
def test_a_month_of_which_nothing_is_there_is_refused(tmp_path: Path, anyway: bool) -> None:
    with pytest.raises(CloseError, match=r"nothing of 2025-03 was loaded \(load it with --from and --to\)"):
        closed(march(tmp_path), date(2025, 3, 1), anyway=anyway)
    assert not (tmp_path / "data" / "closed").exists()


def test_what_is_frozen_is_said_before_with_its_amounts(tmp_path: Path) -> None:
    """Legs a (0.10 EUR) and b (0.25 EUR) on 2 March, c on 3 March without a cost; b can still be changed.

    The latest reading of 2 March failed, so 0.35 EUR stands as an earlier one left it. A message of 2 March for
    0.05 GBP was read at noon. The PBX says 0.36 EUR of it, and 3 calls where there are 2.
    """
    failed = load("2", D2, status="failed", started_at=READ, error_type="AuthError", error="hq cdr: refused")
    noon = load("1", D2, stream="sms", window_from=D2, started_at=at("2026-03-02 12:00:00"))
    rest = load("1", date(2026, 3, 31), stream="sms", window_from=D3, started_at=READ)
    database = march(tmp_path, [failed, noon, rest])
    one, other, _ = legs()
    differing = [
        control("variance") | {"currency": "EUR"},
        control("variance") | {"check_name": "rows", "ours": Decimal(2), "theirs": Decimal(3), "difference": -1},
    ]
    day = {"core.cdr": [one, other | {"is_provisional": True}], "audit.control_total": differing}
    database.update([partition(tmp_path, "cdr", "hq", D2, "pbxware", day)])
    text = row(
        "core.sms",
        sms_id="m",
        vendor="pbxware",
        connection="hq",
        account_id="2",
        sms_date=D2,
        sent_at=at("2026-03-02 11:00:00"),
        direction="outbound",
        cost=Decimal("0.05"),
        currency="GBP",
    )
    database.update([partition(tmp_path, "sms", "hq", D2, "pbxware", {"core.sms": [text]})])
    database.publish()
    told: list[Freeze] = []

    def remember(freeze: Freeze) -> None:
        assert not (database.data_dir / "closed").exists(), "said before anything is frozen"
        told.append(freeze)

    with pytest.raises(CloseError, match="not complete and proven"):
        closed(database, announce=remember)
    assert closed(database, anyway=True, announce=remember).costs == told[1].costs
    assert (
        told[0]
        == told[1]
        == Freeze(
            MARCH,
            (("EUR", Decimal("0.35")), ("GBP", Decimal("0.05"))),
            (
                Remark("provisional", "1 record can still be changed by the vendor", (("EUR", Decimal("0.25")),)),
                Remark("unrated", "1 record without a cost from the vendor: unknown, not free"),
                Remark("partial", "hq sms, 1 day: read before the day had ended", (("GBP", Decimal("0.05")),)),
                Remark("stale", "hq cdr, 1 day: the latest reading failed", (("EUR", Decimal("0.35")),)),
                Remark("variance", "hq billamount: 1 variance", (("EUR", Decimal("-0.01")),)),
                Remark("variance", "hq rows: 1 variance", ((None, Decimal(-1)),)),
            ),
        )
    )


@pytest.mark.parametrize("anyway", [False, True])
def test_a_month_that_is_not_over_is_refused(tmp_path: Path, anyway: bool) -> None:
    database = march(tmp_path)
    with pytest.raises(CloseError, match="2026-03 is not over: today is 2026-03-31 in UTC"):
        closed(database, today=date(2026, 3, 31), anyway=anyway)
    assert not (database.data_dir / "closed").exists()
    assert closed(database, today=APRIL).version == 1


def test_a_closed_month_is_closed_once_unless_it_is_reopened(tmp_path: Path) -> None:
    database = march(tmp_path)
    first = closed(database)
    before = hashes(database.data_dir / "closed")
    with pytest.raises(CloseError, match="2026-03 was closed at"):
        closed(database, anyway=True)
    assert hashes(database.data_dir / "closed") == before

    database.update([day_again(tmp_path, D3, [leg("c", "2026-03-03 09:00:00", 60, cost=Decimal("0.09"))], [])])
    database.publish()
    assert [entry.moved for entry in moved(database)] == [Decimal("0.09")]
    second = closed(database, reopen=True)
    assert (second.version, second.costs) == (2, (("EUR", Decimal("0.44")),))
    assert before.items() <= hashes(database.data_dir / "closed").items()  # the first close is as it was
    assert query(database, "SELECT version, is_current, closed_at FROM audit.month_close ORDER BY version") == [
        (1, False, first.closed_at),
        (2, True, second.closed_at),
    ]
    assert query(database, "SELECT sum(cost), min(closed_at) FROM mart.cost_monthly_as_closed") == [
        (Decimal("0.44"), second.closed_at)
    ]
    assert moved(database) == []


# --- what it moved by -------------------------------------------------------------------------------------------------


def test_a_movement_is_the_effect_of_the_records_restated_since(tmp_path: Path) -> None:
    earlier = restated(D3, ("c", "changed", "0.30", None), after=False)
    database = march(tmp_path)
    database.update([day_again(tmp_path, D3, legs()[2:], earlier)])
    database.publish()
    closed(database)
    # b vanishes, a costs more, c gets its cost, d arrives late, in a currency that the month did not have.
    a = leg("a", "2026-03-02 09:00:00", 60, cost=Decimal("0.12"))
    c = leg("c", "2026-03-03 09:00:00", 60, cost=Decimal("0.07"))
    d = leg("d", "2026-03-03 11:00:00", 60, cost=Decimal("2"), currency="GBP")
    database.update(
        [
            day_again(
                tmp_path, D2, [a], restated(D2, ("a", "changed", "0.10", "0.12"), ("b", "vanished", "0.25", None))
            ),
            day_again(
                tmp_path,
                D3,
                [c, d],
                [
                    *earlier,
                    *restated(D3, ("c", "changed", None, "0.07")),
                    *restated(D3, ("d", "new", None, "2"), currency="GBP"),
                ],
            ),
        ]
    )
    assert query(database, "SELECT currency, as_closed, now, moved FROM mart.month_movement ORDER BY ALL") == [
        ("EUR", Decimal("0.35"), Decimal("0.19"), Decimal("-0.16")),
        ("GBP", 0, 2, 2),
    ]
    euros, pounds = moved(database)
    assert (euros.moved, euros.explained, euros.records) == (Decimal("-0.16"), Decimal("-0.16"), ("a", "b", "c"))
    assert (pounds.moved, pounds.explained, pounds.records) == (2, 2, ("d",))
    on = euros.closed_at.astimezone(LONDON)
    assert movement_text(euros, LONDON) == (
        f"March 2026 moved by −0.16 EUR since it was closed on {on.day} {on:%B %Y}, "
        "because of these 3 records (a, b, c)"
    )
    assert query(database, "SELECT DISTINCT difference FROM audit.tie_out") == [(0,)]


def test_other_months_and_totals_that_are_no_charge_explain_nothing(tmp_path: Path) -> None:
    database = march(tmp_path)
    closed(database)
    tim = {"vendor": "tim4biz", "connection": "tim", "stream": "extension_total", "account_id": None}
    rows = [
        *restated(D2, ("101", "changed", "5", "6"), **tim),
        *restated(D2, ("a", "changed", "0.10", "0.10"), columns_changed="from_text"),
    ]
    database.update(
        [
            restating(partition(tmp_path, "extension_total", "tim", D2, "tim4biz", {"audit.restatement": rows[:1]})),
            day_again(tmp_path, D2, legs()[:2], rows[1:]),
            day_again(tmp_path, APRIL, [], restated(APRIL, ("z", "vanished", "9", None))),
        ]
    )
    assert query(database, "SELECT connection, cost_effect FROM audit.restatement_since_close ORDER BY ALL") == [
        ("hq", 0),
        ("tim", 0),
    ]
    assert moved(database) == []


def invoices(folder: Path, entries: Sequence[Row], restatements: Sequence[Row] = ()) -> Partition:
    lines = [line(entry["invoice_id"], "1", str(entry["subtotal"])) for entry in entries]
    tables = {"core.invoice": entries, "core.invoice_line": lines, "audit.restatement": restatements}
    return restating(partition(folder, "invoices", "hosting", None, "time4vps", tables))


def test_an_invoice_concerns_the_months_it_is_issued_in(tmp_path: Path) -> None:
    """Read in June: one that costs more, one moved from March to April, one taken back, and one that is new."""
    hosting: dict[str, Any] = {"vendor": "time4vps", "connection": "hosting", "stream": "invoices", "account_id": None}
    read_on = date(2026, 6, 1)
    database = march(
        tmp_path, more=[invoices(tmp_path, [invoice("1", D2, "10"), invoice("2", D3, "20"), invoice("3", D3, "5")])]
    )
    database.update([], [load("1", date(2026, 4, 30), window_from=MARCH, started_at=at("2026-05-02 04:00:00"))])
    database.publish()
    closed(database)
    closed(database, APRIL, today=date(2026, 5, 3))
    changes = [
        *restated(
            read_on, ("1", "changed", "10", "12"), **hosting, before='{"subtotal":"10"}', after='{"subtotal":"12"}'
        ),
        *restated(
            read_on,
            ("2", "changed", "20", "21"),
            **hosting,
            before='{"issued_on":"2026-03-03","subtotal":"20"}',
            after='{"issued_on":"2026-04-01","subtotal":"21"}',
        ),
        *restated(read_on, ("3", "vanished", "5", None), **hosting, before='{"issued_on":"2026-03-03","subtotal":"5"}'),
    ]
    now = [invoice("1", D2, "12"), invoice("2", APRIL, "21"), invoice("4", D2, "1.50")]
    database.update([invoices(tmp_path, now, changes)])
    effects = query(
        database, "SELECT month, record_id, cost_effect, window_date FROM audit.restatement_since_close ORDER BY ALL"
    )
    assert effects == [
        (MARCH, "1", 2, read_on),
        (MARCH, "2", -20, read_on),
        (MARCH, "3", -5, read_on),
        (APRIL, "2", 21, read_on),
    ]
    in_march, in_april = moved(database)
    assert (in_april.moved, in_april.explained, in_april.records) == (21, 21, ("2",))
    assert (in_march.moved, in_march.explained) == (Decimal("-21.50"), -23)
    assert movement_text(in_march, LONDON).endswith(
        "because of these 3 records (1, 2, 3) and invoices or bundles that were not there then (+1.50 EUR)"
    )


def test_finances_files_move_cost_between_centres_and_not_the_sum(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    database = march(tmp_path, reference_dir=tmp_path / "reference")
    closed(database)
    (tmp_path / "reference" / "cost_centres.csv").write_text(
        "connection,account,extension,cost_centre,from,to\nhq,2,101,CC-7,,\n"
    )
    database.update([])
    assert query(
        database, "SELECT cost_centre, as_closed, now, moved FROM mart.month_movement ORDER BY cost_centre"
    ) == [("CC-7", 0, Decimal("0.35"), Decimal("0.35")), ("unassigned", Decimal("0.35"), 0, Decimal("-0.35"))]
    (movement,) = moved(database)
    assert (movement.moved, movement.records, movement.shifted) == (0, (), True)
    assert "moved by 0.00 EUR" in movement_text(movement, LONDON)
    assert movement_text(movement, LONDON).endswith(
        "because of finance's files or departments, which allocate it otherwise"
    )


def test_the_sentence_names_one_record_and_no_more_than_ten() -> None:
    known: dict[str, Any] = {
        "month": date(2026, 10, 1),
        "closed_at": at("2026-11-02 23:30:00"),
        "currency": "EUR",
        "as_closed": Decimal(10),
        "now": Decimal("6.80"),
        "moved": Decimal("-3.20"),
        "explained": Decimal("-3.20"),
        "shifted": False,
    }
    four = Movement(**known, records=("w", "x", "y", "z"))
    assert movement_text(four, ZoneInfo("Europe/Vilnius")) == (
        "October 2026 moved by −3.20 EUR since it was closed on 3 November 2026, "
        "because of these 4 records (w, x, y, z)"
    )
    one = Movement(**{**known, "moved": Decimal("0.000100"), "explained": Decimal("0.000100")}, records=("w",))
    assert movement_text(one, LONDON) == (
        "October 2026 moved by +0.0001 EUR since it was closed on 2 November 2026, because of this record (w)"
    )
    many = Movement(**known, records=tuple("abcdefghijkl"))
    assert movement_text(many, LONDON).endswith("these 12 records (a, b, c, d, e, f, g, h, i, j, …)")


# --- the files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["2026-03.parquet", "2026-03.json"])
def test_a_flipped_bit_in_a_close_is_found_before_it_reaches_a_mart(tmp_path: Path, name: str) -> None:
    database = march(tmp_path)
    closed(database)
    before = database.digests()
    path = database.data_dir / "closed" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    for full in (False, True):
        with pytest.raises(IntegrityError, match=rf"closed/{name} is not what was written"):
            database.update(cdr_days(tmp_path / "core", legs()), [whole_month()], full=full)
    assert database.digests() == before


@pytest.mark.parametrize("name", ["cost_monthly_as_closed", "month_movement"])
def test_a_mart_of_closed_figures_that_lost_a_row_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    database = march(tmp_path)
    close_month(database.data_dir, MARCH, timezone="UTC", today=APRIL, connections=["hq"])
    select = module.read

    def short(wanted: str) -> str:
        whole = select(wanted)
        return f"SELECT * FROM ({whole}) ORDER BY ALL OFFSET 1" if wanted == f"marts/{name}" else whole

    with monkeypatch.context() as patch:
        patch.setattr(module, "read", short)
        with pytest.raises(IntegrityError, match=rf"2026-03-01: mart.{name} does not tie out"):
            database.update([])
    assert query(database, "FROM mart.cost_monthly_as_closed") == []
    assert database.update([]).changed
    assert len(query(database, "FROM mart.cost_monthly_as_closed")) == 3


def test_a_close_that_is_gone_is_missed_until_a_rebuild_does_without_it(tmp_path: Path) -> None:
    database = march(tmp_path)
    closed(database)
    (database.data_dir / "closed" / "2026-03.json").unlink()
    with pytest.raises(IntegrityError, match="close 1 of 2026-03 is gone"):
        database.update([])
    database.update(cdr_days(tmp_path / "core", legs()), [whole_month()], full=True)
    assert query(database, "FROM mart.cost_monthly_as_closed") == query(database, "FROM audit.month_close") == []


def test_figures_without_a_manifest_are_no_close(tmp_path: Path) -> None:
    """What a crash between the two files leaves; the month is closed as if it had not been tried."""
    database = march(tmp_path)
    closed(database)
    folder = database.data_dir / "closed"
    (folder / "2026-03.json").unlink()
    assert read_closes(database.data_dir) == []
    database.update(cdr_days(tmp_path / "core", legs()), [whole_month()], full=True)
    database.publish()
    assert closed(database).version == 1
    assert sorted(path.name for path in folder.iterdir()) == ["2026-03.json", "2026-03.parquet"]


def test_a_manifest_of_another_month_or_of_another_form_is_refused(tmp_path: Path) -> None:
    database = march(tmp_path)
    closed(database)
    folder = database.data_dir / "closed"
    (folder / "2026-02.json").write_bytes((folder / "2026-03.json").read_bytes())
    with pytest.raises(IntegrityError, match=r"closed/2026-02.json is the close of 2026-03"):
        read_closes(database.data_dir)
    (folder / "2026-02.json").write_text(json.dumps({"content": {}, "sha256": ""}))
    with pytest.raises(IntegrityError, match=r"closed/2026-02.json is not what was written"):
        read_closes(database.data_dir)


@pytest.mark.parametrize("seed", range(2))
def test_any_order_of_changes_and_closes_equals_a_rebuild(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    loads = [load("1", date(2026, 4, 30), window_from=MARCH, started_at=at("2026-05-02 04:00:00"))]
    costs: dict[date, dict[str, Decimal]] = defaultdict(dict)
    parts: dict[date, Partition] = {}
    history: dict[date, list[Row]] = defaultdict(list)
    days = [MARCH + timedelta(n) for n in range(0, 61, 6)]

    def change(day: date, restating: bool) -> Partition:
        key, old = rng.choice("abc"), costs[day]
        new = {**old, key: Decimal(rng.randint(0, 300)) / 1000}
        if rng.random() < 0.3:
            del new[key]
        if restating and new != old:
            kind = "new" if key not in old else "vanished" if key not in new else "changed"
            was, now = (None if key not in side else str(side[key]) for side in (old, new))
            history[day] += restated(day, (f"{day} {key}", kind, was, now))
        costs[day] = new
        rows = [leg(f"{day} {name}", f"{day} 09:00:00", 60, cost=cost) for name, cost in new.items()]
        parts[day] = day_again(tmp_path, day, rows, history[day])
        return parts[day]

    database = warehouse(tmp_path / "data")
    database.update([change(day, False) for day in days], loads)
    database.publish()
    frozen: dict[date, Decimal] = {}
    for month in rng.sample([MARCH, APRIL], 2):
        closed(database, month, today=date(2026, 5, 3))
        frozen[month] = sum((sum(c.values()) for day, c in costs.items() if day.month == month.month), Decimal(0))
        for _ in range(6):
            day = rng.choice([day for day in days if day.replace(day=1) in frozen])
            database.update([change(day, True)])
    now = {m: sum((sum(c.values()) for day, c in costs.items() if day.month == m.month), Decimal(0)) for m in frozen}
    sums = "SELECT month, sum(as_closed), sum(now), sum(moved) FROM mart.month_movement GROUP BY month ORDER BY month"
    assert query(database, sums) == [(m, frozen[m], now[m], now[m] - frozen[m]) for m in (MARCH, APRIL)]
    effects = dict(query(database, "SELECT month, sum(cost_effect) FROM audit.restatement_since_close GROUP BY month"))
    assert {m: effects.get(m, 0) for m in frozen} == {m: now[m] - frozen[m] for m in frozen}
    before = database.digests()
    database.update(list(parts.values()), loads, full=True)
    assert database.digests() == before


# --- a whole load -----------------------------------------------------------------------------------------------------


def test_a_closed_month_of_the_bundled_vendors_moves_by_exactly_what_changed(tmp_path: Path) -> None:
    first, last = date(2026, 10, 30), date(2026, 10, 31)
    with world(tmp_path, first - timedelta(days=2), last) as place:
        assert place.load(first, last).failures == []
        result = place.command("close", "--month", "2026-10")
        assert result.exit_code == 0, result.output
        said = result.output.splitlines()
        assert said[0].removeprefix("freezing ") == said[-1].removeprefix("closed "), "the sums by currency"
        assert said[1] == "  unrated: 2 records without a cost from the vendor: unknown, not free"
        sums = "SELECT connection, charge_kind, currency, sum(cost) FROM {} WHERE month = '2026-10-01' GROUP BY ALL"
        known = place.query(sums.format("mart.cost_monthly"))
        files = hashes(place.data_dir / "closed")

        place.vendors.add_late_rows(first, 3)
        place.vendors.add_late_rows(last, 2, "sipcentric")
        place.vendors.withdraw_row(last)
        place.vendors.settle_provisional()
        assert place.load(first, last).failures == []
        assert sorted(place.query(sums.format("mart.cost_monthly_as_closed")), key=str) == sorted(known, key=str)
        _explained(place)
        status = place.command("status")
        assert "October 2026 moved by " in status.output
        count = place.query(
            "SELECT count(*) FROM audit.restatement_since_close WHERE currency = 'EUR' AND cost_effect <> 0"
        )
        assert f"because of these {count[0][0]} records (" in status.output

        again = place.command("close", "--month", "2026-10")
        assert again.exit_code == 1
        assert "CloseError: 2026-10 was closed at" in again.output
        before = place.digests()
        assert place.command("rebuild").exit_code == 0
        assert place.digests() == before
        assert hashes(place.data_dir / "closed") == files

        month = f"{datetime.now(LONDON):%Y-%m}"
        unfinished = place.command("close", "--month", month)
        assert unfinished.exit_code == 1
        assert f"CloseError: {month} is not " in unfinished.output
        assert hashes(place.data_dir / "closed") == files


def _explained(place: World) -> None:
    """Every connection's cost moved by the effect of its restated records, which are the ones that were changed."""
    movement = place.query(
        "SELECT connection, currency, sum(moved) FROM mart.month_movement GROUP BY ALL "
        "HAVING sum(moved) <> 0 ORDER BY ALL"
    )
    effects = place.query(
        "SELECT connection, currency, sum(cost_effect) FROM audit.restatement_since_close GROUP BY ALL "
        "HAVING sum(cost_effect) <> 0 ORDER BY ALL"
    )
    assert movement == effects
    assert {connection for connection, *_ in movement} == {"hq", "sip"}
    kinds = dict(
        place.query("SELECT kind, count(*) FROM audit.restatement_since_close WHERE connection = 'hq' GROUP BY ALL")
    )
    assert (kinds["new"], kinds["vanished"]) == (3, 1)
