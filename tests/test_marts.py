"""Calls from legs, and every mart, on cases worked out by hand."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.core_rows import Row, at, cdr_days, invoice, leg, line, load, partition, query, row, warehouse

from tollbook_errors import ConfigError
from warehouse.database import Database
from warehouse.reference import read_reference
from warehouse.schema import MARTS, table
from warehouse.update import Tolerance

pytestmark = pytest.mark.slow  # whole databases

D2 = date(2026, 3, 2)
D3 = date(2026, 3, 3)


def built(tmp_path: Path, legs: list[Row], **settings: Any) -> Database:
    database = warehouse(tmp_path / "data", **settings)
    database.update(cdr_days(tmp_path / "core", legs))
    return database


def calls(database: Database, columns: str) -> list[tuple[Any, ...]]:
    return query(database, f"SELECT {columns} FROM core.call ORDER BY started_at, call_id")


# --- amounts ---------------------------------------------------------------------------------------------------------


def test_eighteen_digits_survive_to_the_month_and_the_tie_out(tmp_path: Path) -> None:
    most = Decimal("123456789012.123456")
    least = Decimal("0.000001")
    database = built(
        tmp_path, [leg("a", "2026-03-02 09:00:00", 1, cost=most), leg("b", "2026-03-03 09:00:00", 1, cost=least)]
    )
    assert query(database, "SELECT cost FROM mart.cost_monthly") == [(Decimal("123456789012.123457"),)]
    assert query(database, "SELECT fact FROM audit.tie_out WHERE mart = 'mart.cost_monthly' AND measure = 'cost'") == [
        (Decimal("123456789012.123457"),)
    ]


# --- calls from legs --------------------------------------------------------------------------------------------------


def test_a_ring_group_is_one_call_taken_by_who_talked(tmp_path: Path) -> None:
    inbound: Row = {"linked_id": "7.1", "direction": "inbound", "remote_e164": "+442079460123", "remote_country": "GB"}
    database = built(
        tmp_path,
        [
            leg("l1", "2026-03-02 09:00:00", 0, **{**inbound, "extension": "101"}),
            leg("l2", "2026-03-02 09:00:00", 0, **{**inbound, "extension": "102"}),
            leg("l3", "2026-03-02 09:00:01", 95, **{**inbound, "extension": "103"}),
            leg("l4", "2026-03-02 09:02:00", 30, **{**inbound, "extension": "104"}),
        ],
    )
    assert calls(
        database, "call_id, outcome, direction, extension, legs, attempts, talk_seconds, linking, remote_country"
    ) == [("l1", "answered", "inbound", "103", 4, 2, 95, "native_id", "GB")]
    assert query(database, "SELECT cdr_id, call_id, leg_number FROM core.call_leg ORDER BY ALL") == [
        ("l1", "l1", 1),
        ("l2", "l1", 2),
        ("l3", "l1", 3),
        ("l4", "l1", 4),
    ]
    assert query(database, "SELECT calls, answered, legs, talk_seconds FROM mart.usage_daily") == [(1, 1, 4, 95)]


def test_failed_trunks_before_the_one_that_carries_are_attempts(tmp_path: Path) -> None:
    same: Row = {"linked_id": "8.1", "extension": "101", "remote_e164": "+15550100", "remote_country": "US"}
    database = built(
        tmp_path,
        [
            leg("t1", "2026-03-02 09:00:00", 0, outcome="failed", cost=Decimal(0), **same),
            leg("t2", "2026-03-02 09:00:01", 0, outcome="failed", **same),
            leg("t3", "2026-03-02 09:00:02", 61, cost=Decimal("0.40"), **same),
        ],
    )
    assert calls(database, "outcome, legs, attempts, talk_seconds, cost, unrated_legs, currency") == [
        ("answered", 3, 2, 61, Decimal("0.4"), 1, "EUR")
    ]
    assert query(database, "SELECT quantity, cost, unrated, destination_country FROM mart.cost_daily") == [
        (1, Decimal("0.4"), 1, "US")
    ]


def test_nobody_answers_and_voicemail_takes_the_message(tmp_path: Path) -> None:
    inbound: Row = {"linked_id": "9.1", "direction": "inbound"}
    database = built(
        tmp_path,
        [
            leg("v1", "2026-03-02 09:00:00", 0, **inbound),
            leg("v2", "2026-03-02 09:00:20", 12, outcome="voicemail", **{**inbound, "extension": "900"}),
        ],
    )
    assert calls(database, "outcome, extension, talk_seconds, attempts") == [("voicemail", "101", 0, 2)]
    assert query(database, "SELECT calls, answered, other, talk_seconds FROM mart.usage_daily") == [(1, 0, 1, 0)]


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        (["failed", "answered", "busy"], "answered"),
        (["busy", "no_answer"], "busy"),
        (["failed", "cancelled", "no_answer"], "no_answer"),
        (["failed", "cancelled"], "cancelled"),
        (["unknown", "failed"], "failed"),
        (["unknown", "unknown"], "unknown"),
    ],
)
def test_the_most_telling_outcome_is_the_calls(tmp_path: Path, outcomes: list[str], told: str) -> None:
    database = built(
        tmp_path,
        [leg(f"o{n}", f"2026-03-02 09:00:0{n}", linked_id="1", outcome=outcome) for n, outcome in enumerate(outcomes)],
    )
    assert calls(database, "outcome") == [(told,)]


@pytest.mark.parametrize(
    ("directions", "told"),
    [
        (["internal", "inbound", "outbound"], "inbound"),
        (["unknown", "internal"], "internal"),
        (["internal", "outbound", "inbound"], "outbound"),
        (["unknown", "unknown"], "unknown"),
    ],
)
def test_the_outside_direction_is_the_calls(tmp_path: Path, directions: list[str], told: str) -> None:
    database = built(
        tmp_path,
        [leg(f"d{n}", f"2026-03-02 09:00:0{n}", linked_id="1", direction=d) for n, d in enumerate(directions)],
    )
    assert calls(database, "direction") == [(told,)]


def test_an_id_used_again_after_six_hours_of_silence_is_another_call(tmp_path: Path) -> None:
    database = built(
        tmp_path,
        [
            leg("r1", "2026-03-02 09:00:00", 3600, linked_id="5"),
            leg("r2", "2026-03-02 09:10:00", 0, linked_id="5"),
            leg("r3", "2026-03-02 16:00:00", 60, linked_id="5"),  # exactly six hours after the first ended
            leg("r4", "2026-03-02 22:01:01", 60, linked_id="5"),  # six hours and a second after that
            leg("r5", "2026-06-01 12:00:00", 60, linked_id="5"),
        ],
    )
    assert calls(database, "call_id, legs, linking") == [
        ("r1", 3, "native_id"),
        ("r4", 1, "single"),
        ("r5", 1, "single"),
    ]


def test_one_id_in_two_accounts_and_connections_is_as_many_calls(tmp_path: Path) -> None:
    database = built(
        tmp_path,
        [
            leg("s1", "2026-03-02 09:00:00", linked_id="5"),
            leg("s2", "2026-03-02 09:00:00", linked_id="5", account_id="7"),
            leg("s3", "2026-03-02 09:00:00", linked_id="5", connection="branch"),
            leg("s4", "2026-03-02 09:00:00", linked_id="5", account_id=None),
            leg("s5", "2026-03-02 09:00:01", linked_id="5", account_id=None),
        ],
    )
    assert sorted(calls(database, "call_id, legs")) == [("s1", 1), ("s2", 1), ("s3", 1), ("s4", 2)]


def test_legs_without_a_link_are_calls_of_their_own(tmp_path: Path) -> None:
    sip: Row = {"vendor": "sipcentric", "connection": "sip", "linked_id": None}
    database = built(
        tmp_path,
        [
            leg("u1", "2026-03-02 09:00:00", **sip),
            leg("u2", "2026-03-02 09:00:00", **sip),
            leg("u3", "2026-03-02 09:00:00", **{**sip, "linked_id": "L"}),
            leg("u4", "2026-03-02 09:00:00", **{**sip, "linked_id": "L"}),
        ],
    )
    assert calls(database, "call_id, legs, linking") == [
        ("u1", 1, "single"),
        ("u2", 1, "single"),
        ("u3", 2, "linked_id"),
    ]


def test_legs_after_midnight_belong_to_the_calls_day_and_their_cost_to_their_own(tmp_path: Path) -> None:
    database = built(
        tmp_path,
        [
            leg("m1", "2026-03-02 23:50:00", 300, linked_id="6", cost=Decimal(1), extension="101"),
            leg("m2", "2026-03-03 00:05:00", 900, linked_id="6", cost=Decimal(2), extension="102"),
        ],
    )
    assert calls(database, "call_date, legs, talk_seconds, cost, extension") == [(D2, 2, 900, 3, "101")]
    assert query(database, "SELECT call_date, calls, legs FROM mart.usage_daily") == [(D2, 1, 2)]
    assert query(database, "SELECT cost_date, extension, quantity, cost FROM mart.cost_daily ORDER BY ALL") == [
        (D2, "101", 1, 1),
        (D3, "102", 0, 2),  # who took the call over caused the leg's cost
    ]


def test_a_call_in_two_currencies_has_no_one_cost_but_each_leg_has(tmp_path: Path) -> None:
    database = built(
        tmp_path,
        [
            leg("c1", "2026-03-02 09:00:00", 5, linked_id="6", cost=Decimal(1)),
            leg("c2", "2026-03-02 09:00:01", 5, linked_id="6", cost=Decimal(2), currency="USD"),
        ],
    )
    assert calls(database, "cost, currency, legs") == [(None, None, 2)]
    assert query(database, "SELECT currency, cost, quantity FROM mart.cost_daily ORDER BY ALL") == [
        ("EUR", 1, 0),
        ("USD", 2, 0),
        (None, None, 1),
    ]


@pytest.mark.parametrize(
    ("legs", "told"),
    [
        # A number of ours counts for a person where nothing else is written of the call, and a machine never.
        ([("number", 30)], ("answered", 30)),
        ([(None, 30)], ("answered", 30)),
        ([("machine", 30)], ("abandoned", 0)),
        ([("machine", 90), ("person", 0)], ("abandoned", 0)),
        ([("number", 90), ("person", 0)], ("abandoned", 0)),
        ([("number", 90), ("person", 60)], ("answered", 60)),
        ([("machine", 90), ("number", 60)], ("answered", 60)),
        ([("machine", 0), ("person", 0)], ("no_answer", 0)),
        # A message after a machine answered; after a telephone did not; a mailbox that the PBX writes as answered.
        ([("machine", 40), ("person", 0), ("mailbox", 20)], ("abandoned", 0)),
        ([("number", 40), ("person", 0), ("mailbox", 20)], ("voicemail", 0)),
        ([("machine", 0), ("person", 0), ("mailbox", 20)], ("voicemail", 0)),
        ([("machine", 40), ("mailbox", 20), ("person", 30)], ("answered", 30)),
        ([("number", 40), ("person", 0), ("machine", 20)], ("abandoned", 0)),
    ],
)
def test_who_answered(tmp_path: Path, legs: list[tuple[str | None, int]], told: tuple[str, int]) -> None:
    inbound: Row = {"linked_id": "1", "direction": "inbound"}
    mailbox: Row = {"to_kind": "machine", "outcome": "voicemail"}
    database = built(
        tmp_path,
        [
            leg(
                f"w{n}",
                f"2026-03-02 09:00:0{n}",
                seconds,
                **inbound,
                **(mailbox if kind == "mailbox" else {"to_kind": kind}),
            )
            for n, (kind, seconds) in enumerate(legs)
        ],
    )
    assert calls(database, "outcome, talk_seconds") == [told]


def test_a_call_forwarded_abroad_costs_there_and_is_counted_where_it_came_in(tmp_path: Path) -> None:
    """Its caller withheld the number, so that nothing is known of the outside party of the call itself."""
    forwarded: Row = {"linked_id": "f", "remote_e164": "+34915550100", "remote_country": "ES", "remote_type": "fixed"}
    database = built(
        tmp_path,
        [
            leg("f1", "2026-03-02 09:00:00", 65, linked_id="f", direction="inbound", to_kind="number", extension="100"),
            leg("f2", "2026-03-02 09:00:04", 0, **forwarded, outcome="failed", to_kind="person"),
            leg("f3", "2026-03-02 09:00:05", 60, **forwarded, cost=Decimal(3), to_kind="person"),
        ],
    )
    assert calls(
        database,
        "direction, outcome, extension, remote_e164, remote_country, remote_type, outbound_legs, outbound_seconds, "
        "talk_seconds, cost",
    ) == [("inbound", "answered", "101", None, None, None, 2, 60, 60, 3)]
    assert query(
        database,
        "SELECT extension, direction, destination_country, quantity, cost, unrated FROM mart.cost_daily ORDER BY ALL",
    ) == [
        ("100", "inbound", None, 0, None, 1),
        ("101", "inbound", None, 1, None, 0),
        ("101", "outbound", "ES", 0, 3, 1),
    ]
    assert query(
        database, "SELECT destination_country, calls, answered, talk_seconds, cost FROM mart.destination_monthly"
    ) == [("ES", 1, 1, 60, 3)]
    # A line in and a line out, 60 s each; one call.
    assert query(
        database,
        "SELECT direction, calls, answered, erlangs, peak_concurrent FROM mart.usage_hourly ORDER BY direction",
    ) == [("inbound", 1, 1, Decimal("0.016667"), 1), ("outbound", 0, 0, Decimal("0.016667"), 1)]
    assert query(database, "SELECT direction, calls, talk_seconds FROM mart.usage_daily") == [("inbound", 1, 60)]


def test_a_leg_of_so_many_hours_makes_its_call_a_long_one(tmp_path: Path) -> None:
    """Twelve hours are 43,200 s, to the second; with another setting all calls are looked at again."""
    legs = [
        leg("hung", "2026-03-02 08:00:00", 43_200),
        leg("short", "2026-03-02 08:00:00", 43_199),
        leg("part", "2026-03-02 08:00:00", 10, linked_id="two"),
        leg("rest", "2026-03-02 08:00:10", 50_000, linked_id="two"),
        leg("unknown", "2026-03-02 08:00:00", duration_seconds=None),
    ]
    database = built(tmp_path, legs)
    found = "SELECT call_id FROM core.call WHERE is_long ORDER BY ALL"
    assert query(database, found) == [("hung",), ("part",)]
    assert query(database, "SELECT count(*) FROM core.call WHERE is_long IS NULL") == [(0,)]
    database = warehouse(tmp_path / "data", long_call_hours=13)
    assert database.update([]).everything
    assert query(database, found) == [("part",)]


# --- traffic ----------------------------------------------------------------------------------------------------------


def test_erlangs_and_peaks_by_the_hour(tmp_path: Path) -> None:
    database = built(
        tmp_path,
        [
            leg("e1", "2026-03-02 09:50:00", 1200),  # 10 minutes in each of two hours
            leg("e2", "2026-03-02 09:55:00", 300),  # ends as the next begins: never together
            leg("e3", "2026-03-02 10:00:00", 60),
            leg("e4", "2026-03-02 10:30:00", 1),
            leg("e5", "2026-03-02 12:00:00", 0),
            leg("e6", "2026-03-02 09:51:00", 30, direction="inbound"),
        ],
    )
    assert query(
        database,
        "SELECT hour, direction, calls, answered, erlangs, peak_concurrent FROM mart.usage_hourly ORDER BY ALL",
    ) == [
        (at("2026-03-02 09:00:00"), "inbound", 1, 1, Decimal("0.008333"), 1),
        (at("2026-03-02 09:00:00"), "outbound", 2, 2, Decimal("0.25"), 2),
        (at("2026-03-02 10:00:00"), "outbound", 2, 2, Decimal("0.183611"), 2),
        (at("2026-03-02 12:00:00"), "outbound", 1, 0, Decimal(0), 0),
    ]


def test_a_call_of_thirty_hours_is_carried_through_every_hour_and_started_once(tmp_path: Path) -> None:
    database = built(tmp_path, [leg("h1", "2026-03-02 20:30:00", 30 * 3600), leg("h2", "2026-03-04 01:10:00", 60)])
    rows = query(database, "SELECT hour, calls, erlangs, peak_concurrent FROM mart.usage_hourly ORDER BY hour")
    assert len(rows) == 31
    assert sum(calls for _, calls, _, _ in rows) == 2
    assert rows[0] == (at("2026-03-02 20:00:00"), 1, Decimal("0.5"), 1)
    assert rows[1] == (at("2026-03-02 21:00:00"), 0, Decimal(1), 1)
    assert rows[29] == (at("2026-03-04 01:00:00"), 1, Decimal("1.016667"), 2)
    assert rows[30] == (at("2026-03-04 02:00:00"), 0, Decimal("0.5"), 1)
    assert query(database, "SELECT call_date, calls FROM mart.usage_daily ORDER BY ALL") == [
        (D2, 1),
        (date(2026, 3, 4), 1),
    ]


def test_an_hour_that_two_business_days_share(tmp_path: Path) -> None:
    """In a zone of five hours and three quarters, midnight is at 18:15 UTC."""
    database = warehouse(tmp_path / "data", timezone="Asia/Kathmandu")
    first = leg("k1", "2026-03-02 18:10:00", 60, call_date=D2)
    second = leg("k2", "2026-03-02 18:20:00", 60, call_date=D3)
    database.update(cdr_days(tmp_path / "core", [second]))
    database.update(cdr_days(tmp_path / "core", [first]))
    assert query(database, "SELECT hour, calls FROM mart.usage_hourly") == [(at("2026-03-02 18:00:00"), 2)]
    assert query(database, "SELECT call_date, calls FROM mart.usage_daily ORDER BY ALL") == [(D2, 1), (D3, 1)]


# --- charges ----------------------------------------------------------------------------------------------------------


def test_invoices_by_kind_of_charge_always_add_up_to_subtotal_and_tax(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    day = date(2026, 2, 10)
    database.update(
        [
            partition(
                tmp_path / "core",
                "invoices",
                "hosting",
                None,
                "time4vps",
                {
                    "core.invoice": [
                        invoice("1", day, "13.00", "2.73", credit=Decimal(4)),
                        invoice("2", day, "10.00", "2.10"),  # its lines say 9
                        invoice("3", day, "-5.00", "-1.05"),  # a credit note
                        invoice("4", day, "99.00", "9.00", counts_as_expense=False),
                        invoice("5", day, "6.00", currency="USD"),  # no lines at all
                        invoice("6", day, "0", currency="USD") | {"subtotal": None},  # no details at all
                    ],
                    "core.invoice_line": [
                        line("1", "1", "12.00", quantity=Decimal(3)),
                        line("1", "2", "-1.50", type="Discount"),
                        line("1", "3", "2.00", type="LateFee"),
                        line("1", "4", "0.50", type="Other", item_id="-2"),
                        line("2", "5", "9.00"),
                        line("3", "6", "-5.00"),
                        line("4", "7", "99.00"),
                    ],
                },
            )
        ]
    )
    assert query(
        database,
        "SELECT currency, charge_kind, item, quantity, cost, extension, cost_centre FROM mart.cost_daily ORDER BY ALL",
    ) == [
        ("EUR", "credit", "7", 2, Decimal("-6.5"), None, "unassigned"),
        ("EUR", "fee", "7", 1, Decimal("2"), None, "unassigned"),
        ("EUR", "fee", None, 1, Decimal("0.5"), None, "unassigned"),
        ("EUR", "hosting", "7", 4, Decimal("21"), None, "unassigned"),
        ("EUR", "hosting", None, 0, Decimal("1"), None, "unassigned"),
        ("EUR", "tax", None, 3, Decimal("3.78"), None, "unassigned"),
        ("USD", "hosting", None, 0, Decimal("6"), None, "unassigned"),
    ]
    unrated = "SELECT currency, sum(unrated) FROM mart.cost_daily GROUP BY ALL ORDER BY ALL"
    assert query(database, unrated) == [("EUR", 0), ("USD", 1)]
    assert query(database, "SELECT DISTINCT difference FROM audit.tie_out") == [(0,)]


def test_messages_and_bundles_are_charges_of_their_day(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    sip: Row = {"vendor": "sipcentric", "connection": "sip", "account_id": "9", "currency": "GBP"}
    message = {**sip, "sms_date": D2, "sent_at": at("2026-03-02 10:00:00"), "remote_country": "IE"}
    bundle = {**sip, "bundle_id": "b", "valid_from": at("2026-03-02 00:00:00"), "valid_from_date": D2}
    database.update(
        [
            partition(
                tmp_path / "core",
                "sms",
                "sip",
                D2,
                "sipcentric",
                {
                    "core.sms": [
                        row("core.sms", sms_id="1", direction="outbound", cost=Decimal("0.04"), **message),
                        row("core.sms", sms_id="2", direction="outbound", **message),
                        row("core.sms", sms_id="3", direction="inbound", cost=Decimal(0), **message),
                    ]
                },
            ),
            partition(
                tmp_path / "core",
                "lists",
                "sip",
                None,
                "sipcentric",
                {"core.bundle": [row("core.bundle", price_monthly=Decimal("9.99"), **bundle)]},
            ),
        ]
    )
    assert query(
        database,
        "SELECT charge_kind, direction, destination_country, quantity, cost, unrated, reporting_cost, unconverted "
        "FROM mart.cost_daily ORDER BY ALL",
    ) == [
        ("bundle", None, None, 1, Decimal("9.99"), 0, Decimal("9.99"), 0),
        ("sms", "inbound", None, 1, 0, 0, 0, 0),
        ("sms", "outbound", "IE", 2, Decimal("0.04"), 1, Decimal("0.04"), 0),
    ]


def reference(tmp_path: Path, *, centres: str = "", rates: str = "") -> Path:
    folder = tmp_path / "reference"
    folder.mkdir(exist_ok=True)
    if centres:
        (folder / "cost_centres.csv").write_text(f"connection,account,extension,cost_centre,from,to\n{centres}")
    if rates:
        (folder / "fx_rates.csv").write_text(f"date,currency,rate\n{rates}")
    return folder


def test_the_latest_rate_counts_and_a_missing_one_is_said(tmp_path: Path) -> None:
    folder = reference(tmp_path, rates="2026-03-02,EUR,0.8333335\n2026-03-03,EUR,0.9\n")
    legs = [
        leg("f1", "2026-03-01 09:00:00", 5, cost=Decimal(1)),
        leg("f2", "2026-03-01 09:00:00", 5),
        leg("f3", "2026-03-02 09:00:00", 5, cost=Decimal("1")),
        leg("f4", "2026-03-02 09:00:00", 5, cost=Decimal("2")),
        leg("f5", "2026-03-05 09:00:00", 5, cost=Decimal("10")),
        leg("f6", "2026-03-05 09:00:00", 5, cost=Decimal("10"), currency="GBP"),
        leg("f7", "2026-03-06 09:00:00", 5),
    ]
    database = built(tmp_path, legs, reference_dir=folder)
    assert query(
        database,
        "SELECT cost_date, currency, cost, reporting_cost, unrated, unconverted FROM mart.cost_daily ORDER BY ALL",
    ) == [
        (date(2026, 3, 1), "EUR", 1, None, 1, 1),
        (D2, "EUR", 3, Decimal("2.500001"), 0, 0),  # 2.5000005, half up
        (date(2026, 3, 5), "EUR", 10, 9, 0, 0),
        (date(2026, 3, 5), "GBP", 10, 10, 0, 0),
        (date(2026, 3, 6), "EUR", None, None, 1, 0),
    ]
    assert query(
        database, "SELECT month, currency, cost, reporting_cost, unconverted FROM mart.cost_monthly ORDER BY ALL"
    ) == [(date(2026, 3, 1), "EUR", 14, None, 1), (date(2026, 3, 1), "GBP", 10, 10, 0)]


def test_amounts_and_budgets_of_any_length_are_converted(tmp_path: Path) -> None:
    folder = reference(tmp_path, rates="2026-03-01,EUR,0.833333333\n")
    (folder / "budgets.csv").write_text(
        "month,cost_centre,vendor,charge_kind,amount,currency\n2026-03,Sales,,,1234567.89,EUR\n"
    )
    legs = [
        leg("f1", "2026-03-01 09:00:00", 5, cost=Decimal("1000")),
        leg("f2", "2026-03-02 09:00:00", 5, cost=Decimal("-999999999999.99")),
        leg("f3", "2026-03-03 09:00:00", 5, cost=Decimal("999999999999.99"), currency="GBP"),
    ]
    database = built(tmp_path, legs, reference_dir=folder)
    assert query(database, "SELECT reporting_cost FROM mart.cost_daily ORDER BY cost_date") == [
        (Decimal("833.333333"),),
        (Decimal("-833333332999.991667"),),  # …991666666667
        (Decimal("999999999999.99"),),
    ]
    assert query(database, "SELECT reporting_budget FROM mart.budget") == [(Decimal("1028806.574588"),)]


def test_the_most_specific_cost_centre_of_the_day_wins_then_the_department(tmp_path: Path) -> None:
    folder = reference(
        tmp_path,
        centres=(
            "hq,,,Head office,,\n"
            "hq,,100-199,Sales,,2026-03-02\n"
            "hq,,150-159,Inside sales,,\n"
            ",,151,Director,2026-03-03,\n"
            ",9,,Ninth,,\n"
        ),
    )
    cases = [
        ("101", "2", "hq", D2, "Sales"),
        ("101", "2", "hq", D3, "Head office"),
        ("155", "2", "hq", D3, "Inside sales"),
        ("151", "2", "hq", D2, "Inside sales"),
        ("151", "2", "hq", D3, "Director"),
        ("1010", "2", "hq", D2, "Head office"),
        (None, "2", "hq", D2, "Head office"),
        ("101", "2", "branch", D2, "Support"),
        ("102", "2", "branch", D2, "unassigned"),
        ("101", "9", "branch", D2, "Ninth"),
    ]
    legs = [
        leg(
            f"x{n}",
            f"{day} 09:00:00",
            5,
            extension=extension,
            account_id=account,
            connection=connection,
            cost=Decimal(n),
        )
        for n, (extension, account, connection, day, _) in enumerate(cases, 1)
    ]
    database = built(tmp_path, legs, reference_dir=folder)
    same = {"vendor": "pbxware", "connection": "branch", "account_id": "2", "extension": "101"}
    database.update(
        [
            partition(
                tmp_path / "core",
                "lists",
                "branch",
                None,
                "pbxware",
                {
                    "core.extension": [
                        row("core.extension", extension_id="1", type="mailbox", department="Post", **same),
                        row("core.extension", extension_id="2", type="phone", department="Support", **same),
                    ]
                },
            )
        ]
    )
    found = {int(cost): centre for cost, centre in query(database, "SELECT cost, cost_centre FROM mart.cost_daily")}
    assert found == {n: centre for n, (*_, centre) in enumerate(cases, 1)}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("fx_rates.csv", "date,currency\n", "fx_rates.csv line 1: there must be one column rate"),
        ("fx_rates.csv", "date,currency,rate\n2026-03-01,EUR,0.8\n\n2026-02-30,EUR,1\n", "line 4: date"),
        ("fx_rates.csv", "date,currency,rate\n2026-03-01,EUR,1e3\n", "line 2: the rate"),
        ("fx_rates.csv", "date,currency,rate\n2026-03-01,EUR,0\n", "line 2: the rate"),
        ("fx_rates.csv", "date,currency,rate\n2026-03-01,EUR,-1\n", "line 2: the rate"),
        ("fx_rates.csv", "date,currency,rate\n2026-03-01,eur,1\n", "line 2: the currency"),
        ("fx_rates.csv", "date,currency,rate\n2026-03-01,GBP,1.1\n", "line 2: the rate of the reporting currency"),
        ("fx_rates.csv", "date,currency,rate\n2026-03-01,EUR,1\n2026-03-01,EUR,2\n", "line 3: line 2 is for the same"),
        ("fx_rates.csv", "date,currency,rate\n2026-03-01,EUR\n", "line 2: it has 2 cells"),
        ("fx_rates.csv", 'date,currency,rate\n2026-03-01,EUR,"1\n', "line 2: it is not CSV"),
        (
            "cost_centres.csv",
            "connection,account,extension,cost_centre,form,to\n",
            "line 1: there must be one column from",
        ),
        ("cost_centres.csv", "connection,account,extension,cost_centre,from,to\n,,1,,,\n", "line 2: the cost centre"),
        ("cost_centres.csv", "connection,account,extension,cost_centre,from,to\n,,1,A,x,\n", "line 2: from"),
        ("cost_centres.csv", "connection,account,extension,cost_centre,from,to\n,,90-110,A,,\n", "line 2: both ends"),
        (
            "cost_centres.csv",
            "connection,account,extension,cost_centre,from,to\n,,1,A,2026-02-01,2026-01-01\n",
            "line 2: it ends before",
        ),
        (
            "cost_centres.csv",
            "connection,account,extension,cost_centre,from,to\n,,1,A,,2026-01-31\n,,2,A,,\n,,1,B,2026-01-31,\n",
            "line 4: line 2 is for the same extensions",
        ),
    ],
)
def test_a_wrong_line_of_finances_files_is_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_reference(tmp_path, "GBP")
    assert said in str(caught.value)


def test_finances_files_may_be_absent_have_a_mark_and_more_columns(tmp_path: Path) -> None:
    assert read_reference(tmp_path, "GBP").rates == ()
    (tmp_path / "fx_rates.csv").write_bytes(b"\xef\xbb\xbfNote,Rate,Currency,Date\r\nBank,0.85,EUR,2026-03-01\r\n")
    (rate,) = read_reference(tmp_path, "GBP").rates
    assert (rate.day, rate.currency, rate.rate) == (date(2026, 3, 1), "EUR", Decimal("0.85"))
    (tmp_path / "fx_rates.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_reference(tmp_path, "GBP")


# --- open invoices ----------------------------------------------------------------------------------------------------


def test_open_invoices_are_aged_on_the_last_day_loaded(tmp_path: Path) -> None:
    database = warehouse(tmp_path / "data")
    unpaid: Row = {"status": "unpaid", "tax": Decimal(0)}
    due = [date(2026, 3, 25), date(2026, 3, 24), date(2026, 2, 22), date(2026, 1, 23), date(2025, 12, 24)]
    invoices = [invoice(str(n), D2, "10", due_on=day, **unpaid) for n, day in enumerate(due)]
    invoices += [
        invoice("paid", D2, "10"),
        invoice("merged", D2, "10", counts_as_expense=False, **unpaid),
        invoice("nothing left", D2, "10", **{**unpaid, "total": Decimal(0)}),
        invoice("collected", D2, "10", "1", status="collections", due_on=date(2026, 4, 1)),
    ]
    files = {"core.invoice": invoices}
    list_ = partition(tmp_path / "core", "invoices", "hosting", None, "time4vps", files)
    database.update([list_], [load("1", date(2026, 3, 24)), load("2", date(2026, 5, 1), status="failed")])
    ages = "SELECT invoice_id, as_of, days_overdue, bucket, open_amount FROM mart.invoice_aging ORDER BY ALL"
    as_of = date(2026, 3, 24)
    assert query(database, ages) == [
        ("0", as_of, -1, "not due", 10),
        ("1", as_of, 0, "not due", 10),
        ("2", as_of, 30, "1-30", 10),
        ("3", as_of, 60, "31-60", 10),
        ("4", as_of, 90, "61-90", 10),
        ("collected", as_of, -8, "not due", 11),
    ]
    database.update([], [load("3", date(2026, 3, 25))])
    assert query(database, ages)[4] == ("4", date(2026, 3, 25), 91, "over 90", 10)


# --- TIM4biz ----------------------------------------------------------------------------------------------------------


def test_tim4biz_against_the_pbx_by_extension(tmp_path: Path) -> None:
    legs = [
        leg("a", "2026-03-02 09:00:00", 100, extension="101", cost=Decimal("1.00")),
        leg("b", "2026-03-02 10:00:00", 100, extension="101", cost=Decimal("0.50")),
        leg("c", "2026-03-02 09:00:00", 100, extension="102", cost=Decimal("1.00")),
        leg("d", "2026-03-02 09:00:00", 100, extension="103", cost=Decimal("1.00")),
        leg("e", "2026-03-02 09:00:00", 100, extension="104"),
        leg("f", "2026-03-02 09:00:00", 100, extension="105", cost=Decimal("1.00")),
        leg("g", "2026-03-02 09:00:00", 100, extension="106", cost=Decimal("1.00")),
        leg("h", "2026-03-02 09:00:00", 100, extension=None),
        leg("i", "2026-03-03 09:00:00", 100, extension="101"),  # a day TIM4biz has not loaded
        leg("j", "2026-03-02 09:00:00", 100, extension="108", connection="branch", cost=Decimal(1)),
    ]
    theirs = [
        ("101", 2, 200, Decimal("1.50"), "EUR"),
        ("102", 1, 101, Decimal("1.01"), "EUR"),
        ("103", 1, 102, Decimal("1.00"), "EUR"),
        ("104", 1, 100, Decimal("0.00"), "EUR"),
        ("105", 1, None, Decimal("1.00"), "USD"),
        ("107", 3, 9, Decimal("1.00"), "EUR"),
    ]
    totals = [
        row(
            "core.extension_total",
            vendor="tim4biz",
            connection="tim",
            total_date=D2,
            extension=extension,
            calls=count,
            duration_seconds=seconds,
            cost=cost,
            currency=currency,
        )
        for extension, count, seconds, cost, currency in theirs
    ]
    tim = partition(tmp_path / "core", "extension_total", "tim", D2, "tim4biz", {"core.extension_total": totals})
    database = warehouse(
        tmp_path / "data",
        reconciles={"tim": ["hq"]},
        tolerances={"tim": Tolerance(1, Decimal("0.5"), Decimal(1)), "no other": Tolerance(60)},
    )
    database.update([*cdr_days(tmp_path / "core", legs), tim])
    found = (
        "SELECT extension, class, pbx_connection, calls_difference, seconds_difference, cost_difference "
        "FROM mart.extension_reconciliation ORDER BY extension"
    )
    assert query(database, found) == [
        ("101", "exact", "hq", 0, 0, 0),
        ("102", "within_tolerance", "hq", 0, -1, Decimal("-0.01")),
        ("103", "mismatch", "hq", 0, -2, 0),
        ("104", "mismatch", "hq", 0, 0, None),
        ("105", "not_compared", "hq", 0, None, None),
        ("106", "only_ours", "hq", None, None, None),
        ("107", "only_theirs", None, None, None, None),
    ]
    # Without being told which PBX it watches, it is all of them; and the change reaches days loaded before.
    database = warehouse(tmp_path / "data", tolerances={"tim": Tolerance(2, Decimal(1), Decimal(1))})
    database.update([])
    assert [(extension, kind, pbx) for extension, kind, pbx, *_ in query(database, found)] == [
        ("101", "exact", "hq"),
        ("102", "within_tolerance", "hq"),
        ("103", "within_tolerance", "hq"),
        ("104", "mismatch", "hq"),
        ("105", "not_compared", "hq"),
        ("106", "only_ours", "hq"),
        ("107", "only_theirs", None),
        ("108", "only_ours", "branch"),
    ]


def totals_day(folder: Path, day: date, figures: dict[str, tuple[Any, ...]], connection: str = "tim") -> Any:
    """A day's totals of a TIM4biz connection: by extension the calls, the seconds, and the figure without a unit."""
    totals = [
        row(
            "core.extension_total",
            vendor="tim4biz",
            connection=connection,
            total_date=day,
            extension=extension,
            calls=count,
            duration_seconds=seconds,
            duration_figure=figure and Decimal(figure),
            currency="EUR",
        )
        for extension, (count, seconds, figure) in figures.items()
    ]
    files = {"core.extension_total": totals}
    return partition(folder, "extension_total", connection, day, "tim4biz", files)


def test_each_tim4biz_connection_has_tolerances_of_its_own(tmp_path: Path) -> None:
    """F09. 3 seconds of a call of 100 are more than 2 a call, less than 5 per cent; and exact is 0."""
    legs = [leg("a", "2026-03-02 09:00:00", 100, extension="101")]
    totals = [totals_day(tmp_path / "core", D2, {"101": (1, 103, None)}, name) for name in ("call", "percent", "exact")]
    strict = Tolerance(2)
    database = warehouse(tmp_path / "data", tolerances={"call": strict, "percent": Tolerance(0, Decimal(5))})
    database.update([*cdr_days(tmp_path / "core", legs), *totals])
    classes = "SELECT connection, class FROM mart.extension_reconciliation ORDER BY ALL"
    assert query(database, classes) == [("call", "mismatch"), ("exact", "mismatch"), ("percent", "within_tolerance")]
    # A change of one reaches the days that are loaded, and no other connection.
    database = warehouse(tmp_path / "data", tolerances={"call": Tolerance(3)})
    database.update([])
    assert query(database, classes) == [("call", "within_tolerance"), ("exact", "mismatch"), ("percent", "mismatch")]


@pytest.mark.parametrize(
    ("seconds", "figures", "found"),
    [
        # 10.5 minutes are 630 seconds, 0.25 are 15.
        ((630, 15), ("10.5", "0.25"), (630, 15)),
        # Whole minutes, rounded: 10 and 1, as well as 0.
        ((630, 40), ("10", "1"), (600, 60)),
        ((630, 15), ("10", "0"), (600, 0)),
        ((5400, 1800), ("1.5", "0.5"), (5400, 1800)),
        ((630, 15), ("630", "15"), (630, 15)),
        ((630, 15), ("630.4", "15.5"), (630, 16)),
        # 0:10 and 0:03 as minutes and seconds, though they are hours and minutes.
        ((610, 170), ("10", "3"), (600, 180)),
        # Ten times as long, at the same number of calls: seconds that differ, or nothing that can be told.
        ((630, 15), ("63", "2"), (63, 2)),
        ((630, 15), ("63.5", "2"), (None, None)),
        ((630, 15), ("6300", "150"), (6300, 150)),
    ],
)
def test_the_unit_of_durations_is_found_from_the_calls_of_the_day(
    tmp_path: Path, seconds: tuple[int, int], figures: tuple[str, str], found: tuple[int | None, int | None]
) -> None:
    """F09. By the extensions of which both saw as many calls; 103 with another number of calls tells nothing."""
    legs = [leg(f"{n}", "2026-03-02 09:00:00", length, extension=f"10{n}") for n, length in enumerate(seconds, 1)]
    legs += [leg("c", "2026-03-02 09:00:00", 6000, extension="103")]
    typed = {f"10{n}": (1, None, figure) for n, figure in enumerate(figures, 1)} | {"103": (20, None, "1")}
    database = warehouse(tmp_path / "data")
    database.update([*cdr_days(tmp_path / "core", legs), totals_day(tmp_path / "core", D2, typed)])
    durations = "SELECT duration_seconds FROM core.extension_total WHERE extension < '103' ORDER BY extension"
    assert query(database, durations) == [(length,) for length in found]
    theirs = "SELECT their_seconds FROM mart.extension_reconciliation WHERE extension < '103' ORDER BY extension"
    assert query(database, theirs) == query(database, durations)


def test_a_day_whose_calls_tell_no_unit_has_that_of_the_others(tmp_path: Path) -> None:
    """F09. In any order, and as a rebuild: 2 on a day without calls are 2 minutes once others tell so, before 2 s."""
    core = tmp_path / "core"
    days = [date(2026, 3, 1), D2, date(2026, 3, 3)]
    quiet = totals_day(core, days[0], {"101": (1, 2, "2")})
    minutes = totals_day(core, D2, {"101": (1, 10, "10")})
    hours = totals_day(core, days[2], {"101": (1, 1, "1")})
    legs = [
        leg("a", "2026-03-02 09:00:00", 600, extension="101"),
        leg("b", "2026-03-03 09:00:00", 3600, extension="101"),
    ]
    durations = "SELECT duration_seconds FROM core.extension_total ORDER BY total_date"
    theirs = "SELECT their_seconds FROM mart.extension_reconciliation ORDER BY call_date"

    def rebuilt(name: str, partitions: list[Any]) -> Any:
        database = warehouse(tmp_path / name)
        database.update(partitions, full=True)
        return query(database, durations)

    database = warehouse(tmp_path / "data")
    for given, expected in (
        ([quiet], [2]),
        ([minutes], [2, 10]),  # the PBX has not been loaded: nothing tells anything
        (cdr_days(core, legs), [120, 600]),
        ([hours], [None, 600, 3600]),  # days of two units: not to be told
        ([totals_day(core, days[2], {"101": (1, 60, "60")})], [120, 600, 3600]),
        ([totals_day(core, D2, {"101": (1, None, "10.5")})], [120, 630, 3600]),
    ):
        database.update(given)
        assert query(database, durations) == [(length,) for length in expected]
        assert query(database, theirs) == query(database, durations)
    everything = [quiet, totals_day(core, D2, {"101": (1, None, "10.5")}), *cdr_days(core, legs)]
    everything += [totals_day(core, days[2], {"101": (1, 60, "60")})]
    assert rebuilt("again", everything) == query(database, durations)


def test_whole_numbers_are_no_seconds_where_the_connection_gives_fractions(tmp_path: Path) -> None:
    """F09. Without a call to tell by: 12 on one day are not known since another day has 10.5, whichever comes first."""
    core = tmp_path / "core"
    database = warehouse(tmp_path / "data")
    durations = "SELECT connection, duration_seconds FROM core.extension_total ORDER BY ALL"
    database.update(
        [totals_day(core, D2, {"101": (1, 12, "12")}), totals_day(core, D2, {"101": (1, 12, "12")}, "another")]
    )
    assert query(database, durations) == [("another", 12), ("tim", 12)]
    database.update([totals_day(core, date(2026, 3, 3), {"101": (1, None, "10.5")})])
    assert query(database, durations) == [("another", 12), ("tim", None), ("tim", None)]


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart.name)
def test_marts_hold_one_row_a_key(tmp_path: Path, mart: Any) -> None:
    legs = [
        leg(f"{n}", f"2026-03-0{1 + n % 3} {n % 24:02}:30:00", n * 40, extension=str(100 + n % 2), account_id=None)
        for n in range(48)
    ]
    database = built(tmp_path, legs)
    key = ", ".join(table(mart.full_name).key)
    assert query(database, f"SELECT {key} FROM {mart.full_name} GROUP BY {key} HAVING count(*) > 1") == []
