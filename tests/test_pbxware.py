"""PBXware: what is asked, what its responses mean, and what is done with those it should not give."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.fake_pbx import (
    DAY,
    HEADER,
    LISTS,
    NOON,
    START,
    TENANTS,
    FakeClient,
    FakePbx,
    load_day,
    load_lists,
    row,
    rows_of,
    source_of,
)

from assets import pbxware
from assets.load import update_partition
from assets.pbxware.api import PBXware
from assets.stream import Outcome, Source
from tollbook_errors import AuthError, ContractError, TransientError

SAMPLES = Path(__file__).parent / "samples"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"pbxware_{name}.json").read_text())


def loaded(pbx: FakePbx, tmp_path: Path, **changes: Any) -> tuple[Source, Outcome]:
    """A source whose day was loaded without a failure."""
    source = source_of(pbx, tmp_path, **changes)
    outcome = load_day(source)
    assert [str(failure) for failure in outcome.failures] == []
    return source, outcome


def failure_of(pbx: FakePbx, tmp_path: Path) -> Exception:
    outcome = load_day(source_of(pbx, tmp_path))
    (failure,) = outcome.failures
    return failure


def audit(source: Source) -> dict[str, Any]:
    """The last row of ``audit.load``."""
    return [load for load in source.lake.loads.all() if load["stream"] == "cdr"][-1]


def only(pbx: FakePbx, tmp_path: Path) -> dict[str, Any]:
    source, _ = loaded(pbx, tmp_path)
    (found,) = rows_of(source)
    return found


# --- what is asked ---------------------------------------------------------------------------------------------------


def test_a_window_is_asked_for_in_utc_to_the_second_with_english_months() -> None:
    pbx = FakePbx()
    client: Any = FakeClient(pbx.response)
    list(PBXware(client).cdrs("2", datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 3, 29, 23, tzinfo=UTC), window=""))
    (asked,) = pbx.downloads
    assert asked == {
        "action": "pbxware.cdr.download",
        "start": "Mar-29-2026",
        "starttime": "00:00:00",
        "end": "Mar-29-2026",
        "endtime": "22:59:59",
        "timezone": "UTC",
        "limit": "1000",
        "page": "1",
        "server": "2",
    }


def test_the_master_tenant_is_not_asked_for_calls() -> None:
    client: Any = FakeClient(lambda asked: {})
    assert PBXware(client).servers(LISTS["tenant.list"]) == ("2",)
    assert PBXware(client).servers({"1": {}}) == ("1",)
    assert PBXware(client).servers([]) == (None,)
    assert PBXware(client, ("7",)).servers({"1": {}, "2": {}, "7": {}}) == ("7",)


def test_a_tenant_that_is_not_there_is_refused_by_name() -> None:
    client: Any = FakeClient(lambda asked: {})
    with pytest.raises(ContractError, match="no tenant 344"):
        PBXware(client, ("344",)).servers(LISTS["tenant.list"])


# --- headers ---------------------------------------------------------------------------------------------------------


def test_the_usual_header(tmp_path: Path) -> None:
    pbx = FakePbx([row(number=10, recording_available="True", recording_path="a.mp3")])
    found = only(pbx, tmp_path)
    assert {name: found[name] for name in ("vendor", "connection", "account_id", "native_id", "linked_id")} == {
        "vendor": "pbxware",
        "connection": "hq",
        "account_id": "2",
        "native_id": f"{NOON}.10",
        "linked_id": f"{NOON}.10",
    }
    assert found["started_at"] == datetime.fromtimestamp(NOON, UTC)
    assert found["call_date"] == DAY
    assert (found["duration_seconds"], found["rated_seconds"], found["cost"]) == (60, 60, Decimal("0.1"))
    assert (found["currency"], found["mos"], found["has_recording"]) == ("EUR", Decimal("4.4"), True)
    assert (found["from_name"], found["from_number"], found["extension"]) == ("Ada Quill", "100", "100")
    assert (found["direction"], found["remote_e164"], found["remote_country"]) == ("outbound", "+442079460123", "GB")
    assert (found["outcome"], found["occurrence"], found["is_provisional"]) == ("answered", 1, False)


def rearranged(pbx: FakePbx, names: list[str], keep: Callable[[list[Any]], list[Any]]) -> FakePbx:
    pbx.header = names

    def change(asked: dict[str, str], data: Any) -> Any:
        return data | {"csv": [keep(record) for record in data["csv"]]} if "csv" in data else data

    pbx.change = change
    return pbx


def test_the_header_without_a_server(tmp_path: Path) -> None:
    """Variant B: ``Tenant`` first, ``ID`` for ``Unique ID``, no ``MOS``: twelve columns as well."""
    names = ["Tenant", *("ID" if name == "Unique ID" else name for name in HEADER[:-1])]
    pbx = rearranged(FakePbx([row()]), names, lambda record: ["one.example.com", *record[:-1]])
    pbx.lists["tenant.list"] = []
    source, _ = loaded(pbx, tmp_path)
    (found,) = rows_of(source)
    assert (found["account_id"], found["native_id"], found["mos"]) == ("1", f"{NOON}.0", None)
    assert found["cost"] == Decimal("0.1")
    assert "server" not in pbx.downloads[0]


def test_the_header_without_rating(tmp_path: Path) -> None:
    names = [name for name in HEADER if not name.startswith("Rating")]
    found = only(rearranged(FakePbx([row()]), names, lambda record: record[:4] + record[6:]), tmp_path)
    assert (found["cost"], found["rated_seconds"], found["duration_seconds"]) == (None, None, 60)


OLDER = {"Total Duration": "Duration", "Rating Duration": "Billing Duration", "Rating Cost": "Billing Cost"}
AS_DOCUMENTED = {
    "Date/Time": "Start Date",
    "Total Duration": "Duration",
    "Rating Duration": "Billing duration",
    "Rating Cost": "Cost of the call",
    "Unique ID": "UniqueID",
}


@pytest.mark.parametrize("names", [OLDER, AS_DOCUMENTED])
def test_the_header_of_older_releases_and_of_the_document(tmp_path: Path, names: dict[str, str]) -> None:
    found = only(FakePbx([row()], [names.get(name, name) for name in HEADER]), tmp_path)
    assert (found["duration_seconds"], found["rated_seconds"], found["cost"]) == (60, 60, Decimal("0.1"))


def test_columns_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    pbx = rearranged(FakePbx([row()]), [f" {name.upper()} " for name in reversed(HEADER)], lambda r: r[::-1])
    assert only(pbx, tmp_path)["cost"] == Decimal("0.1")


def test_headers_may_differ_from_answer_to_answer(tmp_path: Path) -> None:
    """Also within one landing: here every second answer is turned round."""
    pbx = FakePbx([row(NOON + 60 * number, number) for number in range(400)], page_size=100)

    def change(asked: dict[str, str], data: Any) -> Any:
        if data.get("csv") and len(pbx.asked) % 2:
            return data | {"header": HEADER[::-1], "csv": [record[::-1] for record in data["csv"]]}
        return data

    pbx.change = change
    source, _ = loaded(pbx, tmp_path)
    assert {found["native_id"] for found in rows_of(source)} == {record[7] for record in pbx.rows}


@pytest.mark.parametrize("name", ["From", "To", "Date/Time", "Total Duration", "Status", "Unique ID"])
def test_a_required_column_that_is_missing_is_refused(name: str, tmp_path: Path) -> None:
    """S03."""
    at = HEADER.index(name)
    pbx = rearranged(FakePbx([row()]), HEADER[:at] + HEADER[at + 1 :], lambda r: r[:at] + r[at + 1 :])
    failure = failure_of(pbx, tmp_path)
    assert isinstance(failure, ContractError)
    assert name.title() in str(failure)


def test_a_column_that_comes_twice_is_refused(tmp_path: Path) -> None:
    pbx = rearranged(FakePbx([row()]), [*HEADER, "Duration"], lambda record: [*record, "7"])
    assert "repeated" in str(failure_of(pbx, tmp_path))


def test_an_unknown_column_is_a_warning(tmp_path: Path) -> None:
    pbx = rearranged(FakePbx([row()]), [*HEADER[:2], "Codec", *HEADER[2:]], lambda r: [*r[:2], "opus", *r[2:]])
    source, outcome = loaded(pbx, tmp_path)
    assert rows_of(source)[0]["cost"] == Decimal("0.1")
    assert ["Codec" in warning for warning in outcome.warnings] == [True]
    # The same responses again say the same, also to who looks only at the last load.
    assert load_day(source).warnings == outcome.warnings


def test_a_columns_name_makes_no_note_of_its_own(tmp_path: Path) -> None:
    """Notes are kept as the lines of one text."""
    name = "Codec\r\nhq: all is well\x1b[2J"
    pbx = rearranged(FakePbx([row()]), [*HEADER[:2], name, *HEADER[2:]], lambda r: [*r[:2], "opus", *r[2:]])
    (note,) = loaded(pbx, tmp_path)[1].warnings
    assert "all is well" in note
    assert note.isprintable()


# --- rows that cannot be understood ----------------------------------------------------------------------------------


def test_short_and_long_rows_are_quarantined_with_page_and_row(tmp_path: Path) -> None:
    """S04."""
    pbx = FakePbx([row(number=1), row(number=2)[:-1], [*row(number=3), "surplus"], row(number=4)])
    source, outcome = loaded(pbx, tmp_path)
    assert [found["native_id"][-2:] for found in sorted(rows_of(source), key=lambda r: r["raw_row"])] == [".1", ".4"]
    held = rows_of(source, "audit.quarantine")
    assert [(q["page"], q["raw_row"], q["reason"]) for q in held] == [
        (1, 2, "the row has 11 cells, the header 12"),
        (1, 3, "the row has 13 cells, the header 12"),
    ]
    assert outcome.quarantined == audit(source)["quarantined"] == 2


def test_what_is_no_row_is_quarantined(tmp_path: Path) -> None:
    pbx = FakePbx([row(number=1)])
    strange = [{"From": "100"}, "a row", None, 5, True, []]
    pbx.change = lambda asked, data: data | {"csv": [*data["csv"], *strange]} if data.get("csv") else data
    source, outcome = loaded(pbx, tmp_path)
    assert len(rows_of(source)) == 1
    assert outcome.quarantined == len(strange)


STRANGE_CELLS: list[dict[str, Any]] = [
    {"total_duration": "-1"},
    {"total_duration": 1e12},
    {"total_duration": "1000000000000"},
    {"total_duration": True},
    {"total_duration": "1.5"},
    {"rating_duration": "-1"},
    {"rating_cost": "free"},
    {"rating_cost": "1,50"},
    {"rating_cost": True},
    {"rating_cost": "NaN"},
    {"rating_cost": "1000000000000"},
    {"rating_cost": "999999999999.9999999"},
    {"rating_cost": [1]},
    {"unique_id": ""},
    {"unique_id": None},
]


def test_cells_that_cannot_be_understood_are_quarantined(tmp_path: Path) -> None:
    """S20. The reason names the column and nothing of what it held."""
    good, bad = row(number=0), [row(number=n, **cells) for n, cells in enumerate(STRANGE_CELLS, start=1)]
    source, _ = loaded(FakePbx([good, *bad], billamount="0.2"), tmp_path)
    assert [found["raw_row"] for found in rows_of(source)] == [1]
    held = rows_of(source, "audit.quarantine")
    assert [q["raw_row"] for q in held] == list(range(2, len(bad) + 2))
    words = {
        "total_duration": "the duration",
        "rating_duration": "the rated",
        "rating_cost": "the cost",
        "unique_id": "Unique ID",
    }
    for cells, said in zip(STRANGE_CELLS, held, strict=True):
        ((name, value),) = cells.items()
        assert words[name] in said["reason"]
        assert value in ("", None, True) or str(value) not in said["reason"]


def test_a_time_that_is_none_is_quarantined(tmp_path: Path) -> None:
    pbx = FakePbx([row(number=1)])
    changed = [row(number=2, **{"date/time": time}) for time in ("", None, "soon", "-5", "17731440001773144000")]
    pbx.change = lambda asked, data: data | {"csv": [*data["csv"], *changed]} if data.get("csv") else data
    source, _ = loaded(pbx, tmp_path)
    assert len(rows_of(source)) == 1
    assert [held["reason"] for held in rows_of(source, "audit.quarantine")] == ["Date/Time is not a time"] * 5


def test_an_empty_duration_is_not_zero(tmp_path: Path) -> None:
    assert only(FakePbx([row(total_duration="", rating_duration="")]), tmp_path)["duration_seconds"] is None


def test_a_header_one_shorter_than_its_rows_loads_what_can_be_explained(tmp_path: Path) -> None:
    pbx = FakePbx([row(number=number) for number in range(3)], HEADER[:-1])
    source, outcome = loaded(pbx, tmp_path)
    assert (rows_of(source), outcome.quarantined) == ([], 3)
    assert rows_of(source, "audit.control_total")[0]["status"] == "variance"


def test_strange_texts_are_kept_as_they_are(tmp_path: Path) -> None:
    texts = [
        'O\'Hara, "Bill" (100)',
        "Müller (Köln) (100)",
        "岡本\u001f (100)",
        "A\u0000B (100)",
        "\U0001f600 (100)",
        "| ; \t (100)",
    ]
    pbx = FakePbx([row(number=number, **{"from": text}) for number, text in enumerate(texts)])
    source, _ = loaded(pbx, tmp_path)
    assert sorted(found["from_text"] for found in rows_of(source)) == sorted(texts)


# --- what cells mean -------------------------------------------------------------------------------------------------


def by_number(source: Source) -> list[dict[str, Any]]:
    """The rows of core in the order of the numbers that end their Unique IDs."""
    return sorted(rows_of(source), key=lambda found: int(found["native_id"].split(".")[1]))


def test_mos(tmp_path: Path) -> None:
    given = [0, "0", "", None, "x", -1, 4.4, "3.125"]
    source, _ = loaded(FakePbx([row(number=n, mos=mos) for n, mos in enumerate(given)]), tmp_path)
    assert [found["mos"] for found in by_number(source)] == [None] * 6 + [Decimal("4.4"), Decimal("3.125")]


COSTS: list[tuple[Any, str | None]] = [
    ("", None),
    (None, None),
    ("  ", None),
    ("0", "0"),
    ("0.00000", "0"),
    ("1.00000", "1"),
    ("-0.50", "-0.5"),
    (" 1.5 ", "1.5"),
    (1.5, "1.5"),
    (2, "2"),
    (1e-05, "0.00001"),
    ("1.0e-5", "0.00001"),
    (".5", "0.5"),
]


def test_costs(tmp_path: Path) -> None:
    """An empty cost is "not rated", never zero."""
    pbx = FakePbx([row(number=n, rating_cost=cost) for n, (cost, _) in enumerate(COSTS)], billamount="1")
    source, _ = loaded(pbx, tmp_path)
    meant = [None if amount is None else Decimal(amount) for _, amount in COSTS]
    assert [found["cost"] for found in by_number(source)] == meant


STATUSES = [
    ("Answered", "answered"),
    ("ANSWERED", "answered"),
    ("Unanswered", "no_answer"),
    ("Not Answered", "no_answer"),
    ("NO ANSWER", "no_answer"),
    ("No-Answer", "no_answer"),
    ("Busy", "busy"),
    ("FAILED", "failed"),
    ("Cancelled", "cancelled"),
    ("CANCEL", "cancelled"),
    ("Voicemail", "voicemail"),
]


def test_statuses(tmp_path: Path) -> None:
    pbx = FakePbx([row(number=n, status=status) for n, (status, _) in enumerate(STATUSES)])
    source, loading = loaded(pbx, tmp_path)
    assert [found["outcome"] for found in by_number(source)] == [outcome for _, outcome in STATUSES]
    assert not loading.warnings


def test_an_unknown_status_is_kept_and_warned_of(tmp_path: Path) -> None:
    """S21."""
    source, loading = loaded(FakePbx([row(status="Teleported"), row(number=1, status="")]), tmp_path)
    assert {found["outcome"] for found in rows_of(source)} == {"unknown"}
    assert loading.warnings == ["2 call records have a status that is not known"]


OWN, OUT, DID = "Ada Quill (100)", "02079460123", "442079460100"


DIRECTIONS = [
    (OWN, "107", "internal", "100", None),
    (OWN, "*97", "internal", "100", None),
    (OWN, DID, "internal", "100", None),
    (OWN, OUT, "outbound", "100", "+442079460123"),
    (OWN, "999", "outbound", "100", None),
    (OWN, "", "unknown", "100", None),
    (DID, OUT, "outbound", "100", "+442079460123"),
    (DID, OWN, "inbound", "100", "+442079460100"),
    (OUT, OWN, "inbound", "100", "+442079460123"),
    (OUT, DID, "inbound", "100", "+442079460123"),
    (OUT, "Ring Group 600 Voicemail (100)", "inbound", "100", "+442079460123"),
    (OUT, "*97", "inbound", None, "+442079460123"),
    (OUT, "", "inbound", None, "+442079460123"),
    ("anonymous", OWN, "inbound", "100", None),
    ("", DID, "inbound", "100", None),
    ("anonymous", OUT, "unknown", None, None),
    (OUT, "07700900123", "unknown", None, None),
    ("*97", OWN, "unknown", "100", None),
]


def test_directions(tmp_path: Path) -> None:
    legs = [row(NOON + 100 * n, n, **{"from": case[0], "to": case[1]}) for n, case in enumerate(DIRECTIONS)]
    source, _ = loaded(FakePbx(legs), tmp_path)
    for found, case in zip(by_number(source), DIRECTIONS, strict=True):
        assert (*case[:2], found["direction"], found["extension"], found["remote_e164"]) == case


def test_the_number_behind_a_code_decides(tmp_path: Path) -> None:
    """Norway twice, a satellite, a premium number, our own number, our own extension, a code alone."""
    dialled = [
        ("*67004721234567", "outbound", "+4721234567", "NO", "fixed"),
        ("1470004721234567", "outbound", "+4721234567", "NO", "fixed"),
        ("*65*442079460100*00881612345678", "outbound", "+881612345678", None, "mobile"),
        ("#31#09098790123", "outbound", "+449098790123", "GB", "premium"),
        (f"*67{DID}", "internal", None, None, None),
        ("*67100", "internal", None, None, None),
        ("*97", "internal", None, None, None),
    ]
    pbx = FakePbx([row(number=n, **{"from": OWN, "to": case[0]}) for n, case in enumerate(dialled)])
    source, _ = loaded(pbx, tmp_path)
    remote = ("direction", "remote_e164", "remote_country", "remote_type")
    assert [(found["to_number"], *map(found.get, remote)) for found in by_number(source)] == dialled


def test_the_digits_for_an_outside_line_are_not_the_number(tmp_path: Path) -> None:
    """Only of what was dialled: a caller's number has none."""
    pbx = FakePbx(
        [
            row(number=0, **{"from": OWN, "to": "9004721234567"}),
            row(number=1, **{"from": OWN, "to": "9999"}),
            row(number=2, **{"from": OWN, "to": "02079460123"}),
            row(number=3, **{"from": "919876543210", "to": OWN}),
            row(number=4, **{"from": "9004721234567", "to": OWN}),
        ]
    )
    source, _ = loaded(pbx, tmp_path, outside_line="9")
    assert [(found["direction"], found["remote_country"], found["remote_type"]) for found in by_number(source)] == [
        ("outbound", "NO", "fixed"),
        ("outbound", None, "emergency"),
        ("outbound", "GB", "fixed"),
        ("inbound", "IN", "mobile"),
        ("inbound", None, "unknown"),
    ]


def test_a_public_short_number_is_outside_and_nobody_is_put_through_to_one(tmp_path: Path) -> None:
    """111 has the length of an extension and is none that is listed; who calls in from outside reached one of ours."""
    records = [(OWN, "111"), (OWN, "118118"), (OWN, "107"), (OUT, "111")]
    pbx = FakePbx([row(number=n, **{"from": caller, "to": called}) for n, (caller, called) in enumerate(records)])
    source, _ = loaded(pbx, tmp_path)
    assert [(found["direction"], found["remote_type"]) for found in by_number(source)] == [
        ("outbound", "short"),
        ("outbound", "premium"),
        ("internal", None),
        ("inbound", "fixed"),
    ]


CALLER, FAR, QUEUE = "07700900123", "00881612345678", "Queue Sales (600)"

# Legs as second, id, from, to, length and cost; what the last of them, from outside to outside, is found to be: its
# direction, its extension, and the number of the id of the call that it belongs to.
FORWARDED = {
    "of the same id": ([(0, 1, CALLER, DID, 65), (5, 1, CALLER, FAR, 60)], ("outbound", "100", 1)),
    "the telephone that was rung": ([(0, 1, CALLER, "101", 0), (5, 1, CALLER, FAR, 60)], ("outbound", "101", 1)),
    "a caller who withholds the number": (
        [(0, 1, "anonymous", DID, 65), (5, 1, "anonymous", FAR, 60)],
        ("outbound", "100", 1),
    ),
    "of a queue that rang two: whose it is cannot be told": (
        [(0, 1, CALLER, QUEUE, 65), (1, 1, QUEUE, OWN, 0), (1, 1, QUEUE, "101", 0), (5, 1, CALLER, FAR, 60)],
        ("outbound", None, 1),
    ),
    "of a queue that rang none": ([(0, 1, CALLER, QUEUE, 65), (5, 1, CALLER, FAR, 60)], ("outbound", None, 1)),
    "by a telephone that had called out": ([(0, 1, OWN, OUT, 30), (30, 1, OUT, FAR, 60)], ("outbound", "100", 1)),
    "on an id of its own": ([(0, 1, CALLER, DID, 65), (5, 2, CALLER, FAR, 60)], ("outbound", "100", 1)),
    "on an id of its own, written in another way": (
        [(0, 1, CALLER, DID, 65), (5, 2, "Jo (+447700900123)", FAR, 60)],
        ("outbound", "100", 1),
    ),
    "on an id of its own, longer than the call": (
        [(0, 1, CALLER, DID, 30), (5, 2, CALLER, FAR, 60)],
        ("outbound", "100", 1),
    ),
    "two calls of the caller at once to one telephone: whose it is can be told, and not which call": (
        [(0, 1, CALLER, DID, 90), (2, 3, CALLER, "100", 90), (5, 2, CALLER, FAR, 60)],
        ("outbound", "100", 2),
    ),
    "two calls of the caller at once to two telephones": (
        [(0, 1, CALLER, DID, 90), (2, 3, CALLER, "101", 90), (5, 2, CALLER, FAR, 60)],
        ("outbound", None, 2),
    ),
    "after the caller's call": ([(0, 1, CALLER, DID, 4), (5, 2, CALLER, FAR, 60)], ("unknown", None, 2)),
    "of another caller": ([(0, 1, OUT, DID, 65), (5, 2, CALLER, FAR, 60)], ("unknown", None, 2)),
}


@pytest.mark.parametrize("case", FORWARDED)
def test_a_leg_from_outside_to_outside_is_the_forwarding_of_a_call_to_us(case: str, tmp_path: Path) -> None:
    legs, (direction, extension, call) = FORWARDED[case]
    pbx = FakePbx(
        [
            row(
                NOON + second,
                number,
                **{"from": source, "to": target, "total_duration": str(length), "rating_cost": "18" * (target == FAR)},
                status="Answered" if length else "Not Answered",
            )
            for second, number, source, target, length in legs
        ]
    )
    pbx.lists["ext.list"]["8"] = {"name": "Ben Ash", "ext": "101", "status": "enabled"}
    source, _ = loaded(pbx, tmp_path)
    (found,) = (leg for leg in rows_of(source) if leg["to_text"] == FAR)
    assert (found["direction"], found["extension"], found["linked_id"]) == (direction, extension, f"{NOON}.{call}")
    told = direction == "outbound"
    assert (found["remote_e164"], found["remote_type"]) == (("+881612345678", "mobile") if told else (None, None))
    assert (found["to_kind"], found["cost"]) == ("person", Decimal(18))


def test_forwarded_legs_are_proved_as_outgoing_by_the_pbx_itself(tmp_path: Path) -> None:
    """Where their cost counts as outgoing at the PBX, it does with us: 18 of 18."""
    pbx = FakePbx(
        [
            row(NOON, 1, **{"from": CALLER, "to": DID, "rating_cost": ""}),
            row(NOON + 5, 1, **{"from": CALLER, "to": FAR, "rating_cost": "18.00000"}),
        ]
    )
    pbx.change = lambda asked, data: (
        {"billamount": "0" if asked.get("cdrtype") == "1" else "18"} if "billamount" in data else data
    )
    source, _ = loaded(pbx, tmp_path)
    checks = {check["check_name"]: check["status"] for check in rows_of(source, "audit.control_total")}
    assert {checks[f"billamount{kind}"] for kind in ("", "_incoming", "_outgoing")} == {"matched"}


# What a number of ours leads to, and who a leg to it, or to the extension or group behind it, reaches.
BEHIND = [
    ("Extension", "100", "number"),
    ("Multi User", "100", "number"),
    ("network user (Forward DID)", "100", "number"),
    ("External Number", "+447700900456", "number"),
    ("Trunk", "Carrier A", "number"),
    ("Agents", "5", "number"),
    ("CRM Routing", "", "number"),
    ("", "", "number"),
    ("Ring Group", "600", "machine"),
    ("Enhanced Ring Group", "600", "machine"),
    ("Queues", "600", "machine"),
    ("Queue", "600", "machine"),
    ("IVR", "600", "machine"),
    ("IVR tree", "600", "machine"),
    ("Voicemail", "100", "machine"),
    ("Conferences", "600", "machine"),
    ("Remote Access", "600", "machine"),
    ("Fax to E-mail", "fax@example.com", "machine"),
    ("Phone Callback", "600", "machine"),
    ("Deny Access", "", "machine"),
    ("ARI Application", "app", "machine"),
    ("Parking Lot", "1", "machine"),
]


@pytest.mark.parametrize(("kind", "target", "who"), BEHIND)
def test_who_is_behind_a_number_of_ours(kind: str, target: str, who: str, tmp_path: Path) -> None:
    pbx = FakePbx([row(**{"from": CALLER, "to": DID}), row(number=1, **{"from": CALLER, "to": OWN})])
    pbx.lists["did.list"]["9"] |= {"type": kind, "ext": target}
    source, _ = loaded(pbx, tmp_path)
    assert [leg["to_kind"] for leg in by_number(source)] == [who, "person"]


WHO = [
    # An extension that is listed is a telephone, whatever it is called, but for its mailbox.
    (OWN, "person", "person"),
    ("Ring Group 600 (100)", "person", "machine"),
    ("Ring Group 600 Voicemail (100)", "machine", "machine"),
    # One that is not is a machine; where none are listed it is one that the PBX calls so, or that a number leads to.
    ("Reception (700)", "machine", "person"),
    ("107", "machine", "person"),
    ("Enhanced Ring Group 7 (701)", "machine", "machine"),
    (QUEUE, "machine", "machine"),
    ("IVR Day (702)", "machine", "machine"),
    ("Conference (703)", "machine", "machine"),
    ("650", "machine", "machine"),
    ("*97", None, None),
    (FAR, "person", "person"),
    ("", None, None),
]


@pytest.mark.parametrize("listed", [True, False])
def test_who_a_leg_is_to(listed: bool, tmp_path: Path) -> None:
    pbx = FakePbx([row(number=n, **{"from": CALLER, "to": text}) for n, (text, *_) in enumerate(WHO)])
    pbx.lists["did.list"]["9"] |= {"type": "Queue", "ext": "650"}
    if not listed:
        pbx.lists["ext.list"] = []
    source, _ = loaded(pbx, tmp_path)
    assert [leg["to_kind"] for leg in by_number(source)] == [case[1 if listed else 2] for case in WHO]


def test_an_emergency_call_is_outbound_also_where_its_number_is_a_tenants_code(tmp_path: Path) -> None:
    pbx = FakePbx([row(to="999")])
    pbx.lists["tenant.list"]["7"] = {"name": "other.example.com", "tenantcode": "999", "ext_length": 3}
    pbx.lists["tenant.list"].pop("1")
    pbx.change = lambda asked, data: (
        []
        if asked.get("server") == "7" and asked["action"].endswith(".list")
        else (
            data | {"csv": [], "header": None, "records": 0} if asked.get("server") == "7" and "csv" in data else data
        )
    )
    found = only(pbx, tmp_path)
    assert (found["direction"], found["remote_type"]) == ("outbound", "emergency")


# --- which rows are one, and which are not ---------------------------------------------------------------------------


def test_one_unique_id_on_two_legs_is_two_rows(tmp_path: Path) -> None:
    """S05."""
    source, _ = loaded(FakePbx([row(number=1), row(number=1, to="07700900123")]), tmp_path)
    first, second = rows_of(source)
    assert first["cdr_id"] != second["cdr_id"]
    assert first["linked_id"] == second["linked_id"]


def test_identical_rows_are_each_kept_and_numbered(tmp_path: Path) -> None:
    """S06."""
    source, _ = loaded(FakePbx([row(number=1)] * 3 + [row(number=2)]), tmp_path)
    found = rows_of(source)
    assert sorted(r["occurrence"] for r in found if r["native_id"].endswith(".1")) == [1, 2, 3]
    assert len({r["cdr_id"] for r in found}) == 4
    assert rows_of(source, "audit.control_total")[0]["status"] == "matched"


def test_rows_that_differ_only_in_cost_are_no_repetition(tmp_path: Path) -> None:
    source, _ = loaded(FakePbx([row(number=1), row(number=1, rating_cost="0.30000")]), tmp_path)
    found = rows_of(source)
    assert [r["occurrence"] for r in found] == [1, 1]
    assert len({r["cdr_id"] for r in found}) == 2
    assert sum(r["cost"] for r in found) == Decimal("0.4")


def test_ids_are_text_and_not_numbers(tmp_path: Path) -> None:
    """S07: ….1 and ….10 are one number and two calls."""
    source, _ = loaded(FakePbx([row(unique_id="1773144000.1"), row(unique_id="1773144000.10")]), tmp_path)
    assert {found["native_id"] for found in rows_of(source)} == {"1773144000.1", "1773144000.10"}
    assert {found["occurrence"] for found in rows_of(source)} == {1}, "neither is the other again"
    assert len({found["cdr_id"] for found in rows_of(source)}) == 2


def test_one_id_on_two_servers_and_two_connections_is_distinct(tmp_path: Path) -> None:
    """S08."""
    pbx = FakePbx([row(number=1)])
    pbx.lists["tenant.list"]["7"] = pbx.lists["tenant.list"]["2"]
    ids = {}
    for name in ("hq", "branch"):
        source, _ = loaded(pbx, tmp_path, name=name)
        ids |= {(name, r["account_id"]): r["cdr_id"] for r in rows_of(source)}
    assert set(ids) == {(name, account) for name in ("hq", "branch") for account in ("2", "7")}
    assert len(set(ids.values())) == 4
    alone, _ = loaded(pbx, tmp_path / "alone", tenants=("7",))
    assert [r["cdr_id"] for r in rows_of(alone)] == [ids["hq", "7"]], "an id does not depend on the other server"


def test_what_a_tenant_had_stays_when_the_list_no_longer_names_it(tmp_path: Path) -> None:
    pbx = FakePbx([row(number=1)])
    pbx.lists = pbx.lists | {
        "tenant.list": {key: TENANTS[kept] for key, kept in {"1": "1", "2": "2", "7": "2"}.items()}
    }
    source, _ = loaded(pbx, tmp_path)
    before = rows_of(source)
    del pbx.lists["tenant.list"]["7"]
    pbx.rows = [row(number=1, rating_cost="0.30000")]
    assert not load_lists(source).failures
    outcome = load_day(source)
    assert outcome.failures == []
    assert "1 accounts are no longer given: what was known of them stays" in outcome.warnings
    cost = {found["account_id"]: found["cost"] for found in rows_of(source)}
    assert cost == {"2": Decimal("0.3"), "7": Decimal("0.1")}
    assert [found for found in rows_of(source) if found["account_id"] == "7"] == [
        found for found in before if found["account_id"] == "7"
    ]
    assert {control["account_id"] for control in rows_of(source, "audit.control_total")} == {"2", "7"}
    assert [found["account_id"] for found in rows_of(source, "audit.restatement")] == ["2"]
    stood = rows_of(source)
    shutil.rmtree(tmp_path / "core")
    shutil.rmtree(tmp_path / "state" / "core")
    update_partition(source, pbxware.LISTS_STREAM, None)
    update_partition(source, pbxware.CDR_STREAM, DAY)
    assert rows_of(source) == stood, "the same from raw alone"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([], "named tenants before"),
        ({}, "has no entry, and had some before"),
        ({"error": "Unknown method."}, "named tenants before"),
    ],
)
def test_a_pbx_does_not_lose_all_its_tenants_at_once(tmp_path: Path, said: Any, words: str) -> None:
    """Else each call would be read a second time, as one of the PBX itself."""
    pbx = FakePbx([row(number=1)])
    source, _ = loaded(pbx, tmp_path)
    pbx.lists = pbx.lists | {"tenant.list": said}
    (failure,) = load_lists(source).failures
    assert words in str(failure)


def test_the_order_of_answers_does_not_matter(tmp_path: Path) -> None:
    """The same records in another order have the same ids, occurrences and amounts."""
    records = [row(number=n % 7, rating_cost=f"0.0{n % 3}000", **{"to": f"0207946012{n % 2}"}) for n in range(40)]
    kept = []
    for number, ordered in enumerate((records, records[::-1])):
        source, _ = loaded(FakePbx(ordered), tmp_path / str(number))
        rows = sorted(rows_of(source), key=lambda found: found["cdr_id"])
        kept.append([{k: v for k, v in r.items() if k not in ("raw_file", "raw_row", "fetched_at")} for r in rows])
    assert kept[0] == kept[1]


def test_a_call_over_midnight_belongs_to_the_day_it_started(tmp_path: Path) -> None:
    """S18."""
    late = int((START + timedelta(hours=23, minutes=59)).timestamp())
    pbx = FakePbx([row(late, 1, total_duration=str(30 * 3600))])
    source, _ = loaded(pbx, tmp_path)
    assert len(rows_of(source)) == 1
    assert not load_day(source, DAY + timedelta(days=1)).failures
    assert rows_of(source, day=DAY + timedelta(days=1)) == []


def test_rows_outside_the_window_are_left_out_and_counted(tmp_path: Path) -> None:
    """S16."""
    pbx = FakePbx([row(number=1), row(number=2)])
    stray = row(NOON - 86_400, 3)
    pbx.change = lambda asked, data: data | {"csv": [*data["csv"], stray], "records": 3} if data.get("csv") else data
    source, outcome = loaded(pbx, tmp_path)
    assert sorted(found["native_id"][-1] for found in rows_of(source)) == ["1", "2"]
    said = audit(source)
    assert (said["rows"], said["out_of_window"]) == (2, 1)
    assert "outside" in outcome.warnings[0]
    # The second time nothing new was said, and the count is the same.
    load_day(source)
    assert (audit(source)["status"], audit(source)["rows"], audit(source)["out_of_window"]) == ("unchanged", 2, 1)


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling", [None, "", "null", "TRUE", "False", 0, 1, "0", "1", "yes", "no", 2, "maybe", [], True]
)
def test_next_page_in_any_spelling_does_not_lose_rows(spelling: Any, tmp_path: Path) -> None:
    """S13. Whatever it says, 40 rows of pages of 16 are read; what says "no" on a full page is not believed."""
    pbx = FakePbx([row(NOON + number * 60, number) for number in range(40)], page_size=16)
    pbx.next_page = lambda more: spelling
    source, _ = loaded(pbx, tmp_path)
    assert len(rows_of(source)) == 40


def test_a_true_next_page_for_ever_does_not_make_the_slices_ever_shorter(tmp_path: Path) -> None:
    pbx = FakePbx([row(NOON + number, number) for number in range(5000)], next_page=lambda more: True)
    source, _ = loaded(pbx, tmp_path)
    assert len(rows_of(source)) == 5000
    assert len(pbx.downloads) < 60


def test_a_limit_that_is_ignored_loses_nothing(tmp_path: Path) -> None:
    """S14. Sixteen a page, and says 1000."""
    pbx = FakePbx([row(NOON + number * 7, number) for number in range(300)], page_size=16, stated_limit=1000)
    source, _ = loaded(pbx, tmp_path)
    assert len(rows_of(source)) == 300
    assert len(pbx.downloads) < 80


def test_an_empty_page_that_promises_more_is_empty(tmp_path: Path) -> None:
    source, _ = loaded(FakePbx(next_page=lambda more: True), tmp_path)
    assert rows_of(source) == []


def test_a_full_page_that_says_it_is_the_last_is_checked(tmp_path: Path) -> None:
    pbx = FakePbx([row(NOON + number, number) for number in range(1500)], next_page=lambda more: False)
    source, _ = loaded(pbx, tmp_path)
    assert len(rows_of(source)) == 1500


def test_an_answer_with_fewer_records_than_it_says_is_refused(tmp_path: Path) -> None:
    pbx = FakePbx([row(number=1), row(number=2)])
    pbx.change = lambda asked, data: data | {"csv": data["csv"][:1]} if data.get("csv") else data
    assert "fewer records" in str(failure_of(pbx, tmp_path))


def test_a_day_without_calls(tmp_path: Path) -> None:
    """The empty response: no header, no records."""
    source, _ = loaded(FakePbx(), tmp_path)
    assert rows_of(source) == []
    assert rows_of(source, "audit.control_total")[0]["status"] == "matched"
    assert audit(source)["requests"] == 2


# --- answers that are none -------------------------------------------------------------------------------------------

NO_ANSWERS = [
    "{}",
    "[]",
    "null",
    '{"success": "Success."}',
    '{"csv": {}}',
    '{"csv": null}',
    '{"csv": [["a"]]}',
    '"x"',
    "0",
]
NO_ANSWERS += ['{"csv": [["a"]], "header": "From"}', '{"csv": [["a"]], "header": [null]}', "Notice: Undefined index"]
NO_ANSWERS += ['{"csv": [], "header": 7}', '{"csv": [], "header": [null]}']


@pytest.mark.parametrize("body", NO_ANSWERS)
def test_an_answer_of_another_form_is_refused_and_never_zero_rows(body: str, tmp_path: Path) -> None:
    """S02."""
    pbx = FakePbx(change=lambda asked, data: body if "csv" in data else data)
    source = source_of(pbx, tmp_path)
    (failure,) = load_day(source).failures
    assert isinstance(failure, ContractError)
    assert "understood" not in str(failure), "it was refused for what it is, and not by chance"
    assert source.lake.raw.landings("hq", "cdr", DAY) == []
    assert source.lake.core.partition("cdr", "hq", DAY) is None
    assert audit(source)["status"] == "failed"


@pytest.mark.parametrize("body", ["{}", "[]", "null", '{"billamount": null}', '{"billamount": "n/a"}', "8"])
def test_a_billamount_that_is_none_is_refused_or_unavailable(body: str, tmp_path: Path) -> None:
    pbx = FakePbx([row()], change=lambda asked, data: body if asked["action"].endswith("billamount") else data)
    source = source_of(pbx, tmp_path)
    outcome = load_day(source)
    if outcome.failures:
        assert isinstance(outcome.failures[0], ContractError)
    else:
        assert rows_of(source, "audit.control_total")[0]["status"] == "unavailable"
    assert bool(outcome.failures) == ('"billamount"' not in body)


@pytest.mark.parametrize("action", ["tenant.list", "tenant.configuration", "ext.list", "trunk.list", "splan.rates"])
@pytest.mark.parametrize("response", [None, '"text"', 5, ["a"]])
def test_a_list_of_another_form_is_refused(action: str, response: Any, tmp_path: Path) -> None:
    pbx = FakePbx()
    pbx.lists["splan.list"] = {"1": {"name": "Plan"}}
    pbx.lists[action] = response
    (failure,) = load_lists(source_of(pbx, tmp_path)).failures
    assert isinstance(failure, ContractError)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Invalid API key.", AuthError),
        ("Permission denied", ContractError),
        ("Invalid Tenant/Server ID.", ContractError),
        ("", ContractError),
        ({"code": 7}, ContractError),
    ],
)
def test_errors_in_a_200_are_errors_after_one_request(said: Any, kind: type[Exception]) -> None:
    """S01. What the PBX says is not repeated: it can quote what was sent."""
    client: Any = FakeClient(lambda asked: {"error": said})
    with pytest.raises(kind) as caught:
        list(PBXware(client).cdrs("2", START, START + timedelta(days=1), window=str(DAY)))
    assert client.requests_made == 1
    assert (client.refused is not None) == (kind is AuthError)
    assert not said or str(said) not in str(caught.value)


@pytest.mark.parametrize("success", [False, "false", 0])
def test_an_answer_that_says_it_did_not_succeed_is_not_an_empty_day(tmp_path: Path, success: Any) -> None:
    pbx = FakePbx([row()])
    empty = {"success": success, "next_page": False, "limit": 1000, "records": 0, "header": None, "csv": []}
    pbx.change = lambda asked, data: empty if asked["action"].endswith("download") else data
    assert isinstance(failure_of(pbx, tmp_path), ContractError)


@pytest.mark.parametrize("response", [{"error": "Unknown method."}, {"error": "Key: not allowed."}, "Notice: x"])
@pytest.mark.parametrize("action", ["tenant.configuration", "department.list", "did.list", "trunk.list", "splan.list"])
def test_a_list_that_the_pbx_does_not_give_is_a_warning(action: str, response: Any, tmp_path: Path) -> None:
    pbx = FakePbx([row()])
    pbx.lists[action] = response
    source = source_of(pbx, tmp_path)
    outcome = load_lists(source)
    assert not outcome.failures
    assert any(warning.startswith(f"the vendor does not give {action}") for warning in outcome.warnings)
    assert not load_day(source).failures
    assert len(rows_of(source)) == 1


def test_extensions_there_must_be(tmp_path: Path) -> None:
    pbx = FakePbx()
    pbx.lists["ext.list"] = {"error": "Unknown method."}
    (failure,) = load_lists(source_of(pbx, tmp_path)).failures
    assert isinstance(failure, ContractError)


def test_trouble_with_the_sum_of_cost_is_no_reason_to_load_nothing(tmp_path: Path) -> None:
    pbx = FakePbx([row()])
    plain = pbx.response

    def response(asked: dict[str, str]) -> Any:
        if asked["action"].endswith("billamount"):
            raise TransientError("the server answered with status 500; tried 10 times")
        return plain(asked)

    source, _ = loaded(pbx, tmp_path, client=lambda: FakeClient(response))
    assert len(rows_of(source)) == 1
    assert checks(source)["billamount"][0] == "unavailable"


def test_a_pbx_that_lists_no_tenants_is_not_in_tenant_mode(tmp_path: Path) -> None:
    pbx = FakePbx([row()])
    pbx.lists["tenant.list"] = {"error": "Unknown method."}
    assert only(pbx, tmp_path)["account_id"] == "1"
    assert all("server" not in asked for asked in pbx.asked)


def test_records_of_tenants_that_are_not_listed_are_refused(tmp_path: Path) -> None:
    """They would all be booked to one account, and those of the night before taken away from theirs."""
    pbx = rearranged(FakePbx([row()]), ["Tenant", *HEADER], lambda record: ["one.example.com", *record])
    pbx.lists["tenant.list"] = {"error": "Not now."}
    assert "tenant.list" in str(failure_of(pbx, tmp_path))


@pytest.mark.parametrize("response", [{"error": "Unknown method."}, "Notice: Undefined index"])
def test_a_pbx_without_a_sum_of_cost_is_loaded_all_the_same(response: Any, tmp_path: Path) -> None:
    """As one that does not rate calls."""
    pbx = FakePbx([row()], change=lambda asked, data: response if asked["action"].endswith("billamount") else data)
    source, _ = loaded(pbx, tmp_path)
    assert len(rows_of(source)) == 1
    assert {c["check_name"]: c["status"] for c in rows_of(source, "audit.control_total")} == {
        "billamount": "unavailable",
        "rows_by_status": "matched",
    }


# --- how it is asked -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("posts_forms", "method"), [(False, "GET"), (True, "POST")])
def test_the_pbx_is_asked_in_the_way_that_is_wanted_and_in_no_other(posts_forms: bool, method: str) -> None:
    client: Any = FakeClient(lambda asked: {"error": "Invalid API key."})
    client.posts_forms = posts_forms
    with pytest.raises(AuthError):
        PBXware(client).probe()
    assert client.methods == [method]


# --- the PBX's own sum -----------------------------------------------------------------------------------------------


def billamounts(*amounts: Any) -> Callable[[dict[str, str], Any], Any]:
    waiting = list(amounts)

    def change(asked: dict[str, str], data: Any) -> Any:
        if asked["action"].endswith("billamount"):
            return {"billamount": waiting.pop(0) if len(waiting) > 1 else waiting[0]}
        return data

    return change


@pytest.mark.parametrize("amount", [0.3, "0.3", "0.30000", 0.30000000000000004, " 0.3 "])
def test_billamount_as_a_number_or_as_text(amount: Any, tmp_path: Path) -> None:
    pbx = FakePbx([row(number=n) for n in range(3)], change=billamounts(amount))
    source, _ = loaded(pbx, tmp_path)
    control = rows_of(source, "audit.control_total")[0]
    assert (control["status"], control["ours"], control["difference"]) == ("matched", Decimal("0.3"), 0)
    assert len(pbx.downloads) == 1


def test_a_day_that_does_not_add_up_is_read_once_more(tmp_path: Path) -> None:
    """S22. The second reading adds up: it counts, and the first leaves nothing behind."""
    pbx = FakePbx([row(number=n) for n in range(3)], change=billamounts("0.4", "0.3"))
    source, _ = loaded(pbx, tmp_path)
    assert len(pbx.downloads) == 2
    assert len(rows_of(source)) == 3
    assert rows_of(source, "audit.control_total")[0]["status"] == "matched"
    assert audit(source)["rows"] == 3


def test_a_day_that_still_does_not_add_up_is_a_variance(tmp_path: Path) -> None:
    pbx = FakePbx([row(number=n) for n in range(3)], change=billamounts("0.4"))
    source, _ = loaded(pbx, tmp_path)
    assert len(pbx.downloads) == 2
    control = rows_of(source, "audit.control_total")[0]
    assert control["check_name"] == "billamount"
    assert (control["status"], control["ours"], control["theirs"], control["difference"]) == (
        "variance",
        Decimal("0.3"),
        Decimal("0.4"),
        Decimal("-0.1"),
    )


def test_a_sum_may_be_larger_than_any_amount(tmp_path: Path) -> None:
    source, _ = loaded(FakePbx([row(number=n, rating_cost="999999999999.999999") for n in range(3)]), tmp_path)
    assert checks(source)["billamount"] == ("unavailable", Decimal("2999999999999.999997"), None)  # theirs is no amount


def checks(source: Source, of: str = "billamount") -> dict[str, tuple[str, Decimal, Decimal | None]]:
    """The control totals whose names begin like this: status, our figure, theirs."""
    found = [control for control in rows_of(source, "audit.control_total") if control["check_name"].startswith(of)]
    return {control["check_name"]: (control["status"], control["ours"], control["theirs"]) for control in found}


def test_the_pbxs_own_direction_proves_ours(tmp_path: Path) -> None:
    """Incoming, outgoing, and an internal call that the PBX counts as outgoing."""
    records = [row(number=1), row(number=2, to="*97", rating_cost="0.03"), row(number=3, **{"from": OUT, "to": OWN})]
    source, _ = loaded(FakePbx(records), tmp_path)
    assert {name: status for name, (status, _, _) in checks(source).items()} == {
        "billamount": "matched",
        "billamount_incoming": "matched",
        "billamount_outgoing": "matched",
    }
    money = {row["check_name"]: row["currency"] for row in rows_of(source, "audit.control_total")}
    assert money == dict.fromkeys(checks(source), "EUR") | {"rows_by_status": None}


def test_what_was_let_pass_as_outgoing_is_said(tmp_path: Path) -> None:
    """Outgoing the PBX has 0.13 of: our 0.10, and the internal call to *97 at 0.03."""
    source, loading = loaded(FakePbx([row(number=1), row(number=2, to="*97", rating_cost="0.03")]), tmp_path)
    said = "0.03 EUR of ours are internal calls that the PBX counts as outgoing"
    assert checks(source)["billamount_outgoing"] == ("matched", Decimal("0.13"), Decimal("0.13"))
    compares = {row["check_name"]: row["compares"] for row in rows_of(source, "audit.control_total")}
    assert compares["billamount_outgoing"].endswith(said)
    assert not any(said in text for name, text in compares.items() if name != "billamount_outgoing")
    assert f"account 2: {said}" in loading.warnings


@pytest.mark.parametrize("called", ["107", "*65*442079460100*99999999999", "*6799999"])
def test_internal_cost_of_what_is_not_known_to_be_ours_is_not_let_pass(called: str, tmp_path: Path) -> None:
    """Read as internal by its form alone: it may as well be a call to the outside, as the PBX has it."""
    source, _ = loaded(FakePbx([row(number=1), row(number=2, to=called, rating_cost="0.03")]), tmp_path)
    found = checks(source)["billamount_outgoing"]
    assert (found, by_number(source)[1]["direction"]) == (
        ("variance", Decimal("0.1"), Decimal("0.13")),
        "internal",
    )


@pytest.mark.parametrize("other", ["", "1"])
def test_internal_cost_does_not_pass_where_another_sum_is_not_ours(other: str, tmp_path: Path) -> None:
    pbx = FakePbx(
        [row(number=1), row(number=2, to="*97", rating_cost="0.03"), row(number=3, **{"from": OUT, "to": OWN})]
    )
    pbx.change = lambda asked, data: (
        {"billamount": "0.77"} if "billamount" in data and asked.get("cdrtype", "") == other else data
    )
    source, _ = loaded(pbx, tmp_path)
    assert checks(source)["billamount_outgoing"] == ("variance", Decimal("0.1"), Decimal("0.13"))


def test_a_direction_that_the_pbx_sees_otherwise_is_a_variance(tmp_path: Path) -> None:
    source, _ = loaded(FakePbx([row(number=1, **{"from": DID}), row(number=2)]), tmp_path)
    tenth, fifth = Decimal("0.1"), Decimal("0.2")
    assert checks(source) == {
        "billamount": ("matched", fifth, fifth),
        "billamount_incoming": ("variance", 0, tenth),
        "billamount_outgoing": ("variance", fifth, tenth),
    }


def test_a_pbx_that_does_not_heed_the_type_proves_nothing_by_it(tmp_path: Path) -> None:
    source, _ = loaded(FakePbx([row(number=1)], billamount="0.1"), tmp_path)
    assert [status for status, _, _ in checks(source).values()] == ["matched", "unavailable", "unavailable"]


# --- the PBX's own count, by status ----------------------------------------------------------------------------------


def with_statuses(**numbers: int) -> list[list[Any]]:
    words = [word.replace("_", " ") for word, number in numbers.items() for _ in range(number)]
    return [row(NOON + number, number, status=word) for number, word in enumerate(words)]


def counted(pbx: FakePbx, tmp_path: Path, **changes: Any) -> tuple[str, Decimal, Decimal | None] | None:
    source, _ = loaded(pbx, tmp_path, **changes)
    return checks(source, "rows_by_status").get("rows_by_status")


@pytest.mark.parametrize("answered", [0, 1, 99, 100, 101, 300, 1234])
def test_one_small_request_a_status_proves_the_number_of_rows(answered: int, tmp_path: Path) -> None:
    pbx = FakePbx(with_statuses(Answered=answered, No_Answer=7, Busy=3, Voicemail=2))
    every = answered + 12
    assert counted(pbx, tmp_path) == ("matched", every, every)
    full = answered + 2 if (answered + 2) % 100 == 0 else None
    assert len(pbx.counts) == 4 + (full is not None)
    assert {asked["limit"] for asked in pbx.counts} == {"100"}


@pytest.mark.parametrize("filed", ["1", "2", "4", "none of them"])
def test_a_status_that_the_document_does_not_know_is_no_variance(filed: str, tmp_path: Path) -> None:
    """Wherever the PBX files it, also under a status of which there are otherwise none, or under none at all."""
    pbx = FakePbx(with_statuses(Answered=150, Voicemail=260, HANGUP=5))
    pbx.filed = lambda status: "8" if status == "Answered" else filed
    ours = 150 if filed == "none of them" else 415
    assert counted(pbx, tmp_path) == ("matched", ours, ours)
    assert len(pbx.counts) < 16


def test_a_status_that_is_only_counted_in_part_proves_nothing(tmp_path: Path) -> None:
    pbx = FakePbx(with_statuses(Answered=10, Voicemail=3, Cancelled=4))
    pbx.filed = lambda status: {"Answered": "8", "Cancelled": "4"}.get(status)
    assert counted(pbx, tmp_path) == ("unavailable", 17, None)


def hiding(pbx: FakePbx, hidden: int) -> FakePbx:
    """Let the PBX give some records only to who filters."""
    shown = pbx.rows[:-hidden]

    def change(asked: dict[str, str], data: Any) -> Any:
        if "csv" in data and "status" not in asked:
            pbx.rows, kept = shown, pbx.rows
            data, pbx.rows = pbx._download(asked), kept
        return data

    pbx.change = change
    return pbx


@pytest.mark.parametrize("hidden", [1, 120, 2900])
def test_rows_that_never_came_are_a_variance_after_a_second_reading(hidden: int, tmp_path: Path) -> None:
    """Also a great many: the count is searched for, not walked to. They cost nothing, so billamount cannot tell."""
    records = [record[:5] + ["0"] + record[6:] for record in with_statuses(Busy=20, Answered=3000)]
    pbx = hiding(FakePbx(records), hidden)
    assert counted(pbx, tmp_path) == ("variance", 3020 - hidden, 3020)
    assert len([asked for asked in pbx.asked if asked["action"].endswith("billamount")]) == 2
    assert len(pbx.counts) <= 2 * (4 + 12)


def test_a_row_in_quarantine_is_a_row_that_is_missing(tmp_path: Path) -> None:
    pbx = FakePbx([*with_statuses(Answered=2), row(unique_id="")])
    assert counted(pbx, tmp_path) == ("variance", 2, 3)


@pytest.mark.parametrize("numbers", [{"Answered": 250, "Busy": 40}, {"Busy": 3}, {"Answered": 3}, {"Voicemail": 3}])
def test_a_pbx_that_does_not_heed_the_filter_proves_nothing(numbers: dict[str, int], tmp_path: Path) -> None:
    pbx = FakePbx(with_statuses(**numbers), heeds_status=False)
    assert counted(pbx, tmp_path) == ("unavailable", sum(numbers.values()), None)


def test_a_filter_that_is_not_heeded_is_found_out_in_a_request_or_two(tmp_path: Path) -> None:
    pbx = FakePbx(with_statuses(Answered=900, Busy=90), heeds_status=False)
    assert counted(pbx, tmp_path) == ("unavailable", 990, None)
    assert len(pbx.counts) == 2  # the tenth page holds busy ones only, after nine that could be right


@pytest.mark.parametrize(
    "said", [{"error": "Invalid status."}, "Notice: Undefined index: status", {"csv": None}, {"csv": [["x"]]}]
)
def test_a_filter_that_is_refused_or_not_understood_is_unavailable(said: Any, tmp_path: Path) -> None:
    pbx = FakePbx(with_statuses(Answered=5), change=lambda asked, data: said if "status" in asked else data)
    assert counted(pbx, tmp_path) == ("unavailable", 5, None)
    assert len(pbx.counts) == 1


@pytest.mark.parametrize("change", [{"limit": 16}, {"next_page": True}, {"next_page": "1", "limit": "100"}])
def test_a_count_in_pages_that_cannot_be_relied_on_is_unavailable(change: dict[str, Any], tmp_path: Path) -> None:
    pbx = FakePbx(with_statuses(Answered=5), change=lambda asked, data: data | change if "status" in asked else data)
    assert counted(pbx, tmp_path) == ("unavailable", 5, None)


def test_pages_without_end_are_not_followed_for_ever(tmp_path: Path) -> None:
    full = {"header": HEADER, "csv": [row(number=n) for n in range(100)], "limit": 100}
    pbx = FakePbx(with_statuses(Answered=5), change=lambda asked, data: full if "status" in asked else data)
    assert counted(pbx, tmp_path) == ("unavailable", 5, None)
    assert len(pbx.counts) <= 25


def test_nothing_is_counted_where_there_is_nothing_or_it_is_not_wanted(tmp_path: Path) -> None:
    for folder, records, wanted in (("none", [], True), ("off", with_statuses(Answered=5), False)):
        pbx = FakePbx(records)
        assert counted(pbx, tmp_path / folder, count_by_status=wanted) is None
        assert pbx.counts == []


def test_numbers_in_lists_may_be_numbers_or_text(tmp_path: Path) -> None:
    pbx = FakePbx([row()])
    pbx.lists |= {
        "ext.list": {"7": {"name": 1984, "ext": 100, "status": 1, "department": 4}},
        "department.list": {"4": {"name": 42}},
        "tenant.list": {"2": {"name": 7, "tenantcode": 344, "ext_length": "3", "country_code": 44}},
        "splan.list": {"1": {"name": 5}},
        "splan.rates": {"1:135:1": {"inbound": 0, "outbound": "1.50000", "call_rating": 1}},
    }
    source, _ = loaded(pbx, tmp_path)
    (phone,) = [e for e in rows_of(source, "core.extension", "lists", None) if e["type"] == "phone"]
    assert (phone["extension"], phone["name"], phone["department_id"], phone["department"]) == (
        "100",
        "1984",
        "4",
        "42",
    )
    (rate,) = rows_of(source, "core.service_plan_rate", "lists", None)
    assert (rate["inbound_price"], rate["outbound_price"], rate["plan_name"]) == (0, Decimal("1.5"), "5")
    assert rows_of(source)[0]["extension"] == "100"


@pytest.mark.parametrize("called", ["442079460105", "02079460105", "+442079460105"])
@pytest.mark.parametrize("ends", [("number", "number2", ""), ("e164", "e164_2", "+")])
def test_a_did_can_be_a_block_of_numbers(ends: tuple[str, str, str], called: str, tmp_path: Path) -> None:
    first, last, plus = ends
    pbx = FakePbx([row(**{"from": "07700900123", "to": called})])
    block = {first: f"{plus}442079460100", last: f"{plus}442079460109"}
    pbx.lists["did.list"] = {"9": {"number": "442079460100", "type": "Extension", "ext": "100"} | block}
    found = only(pbx, tmp_path)
    assert (found["direction"], found["extension"], found["remote_e164"]) == ("inbound", "100", "+447700900123")


def test_not_in_tenant_mode_the_extensions_tell_how_long_their_numbers_are(tmp_path: Path) -> None:
    pbx = FakePbx([row(**{"from": "07700900123", "to": "600"})])
    pbx.lists |= {"tenant.list": [], "did.list": []}
    assert only(pbx, tmp_path)["direction"] == "inbound"


def test_not_in_tenant_mode_extensions_may_be_of_several_lengths(tmp_path: Path) -> None:
    """Of three and four digits here; and what a DID leads to is ours whatever its length, unless that is outside."""
    called = [("2001", "inbound"), ("700", "inbound"), ("7001", "inbound"), ("60", "inbound"), ("20202", "inbound")]
    outside = [("07700900999", "unknown"), ("02079460199", "unknown")]
    callers = [OUT] * len(called) + ["07700900888"] * len(outside)  # whom no call of ours forwards
    pbx = FakePbx([row(number=n, **{"from": callers[n], "to": to}) for n, (to, _) in enumerate(called + outside)])
    pbx.lists |= {
        "tenant.list": [],
        "ext.list": {"1": {"name": "Ada Quill", "ext": "100"}, "2": {"name": "Bo Reed", "ext": "2001"}},
        "did.list": {
            "8": {"number": DID, "type": "Ring Group", "ext": "60, 20202"},
            "9": {"number": "442079460101", "type": "External Number", "ext": "07700900999"},
        },
    }
    source, _ = loaded(pbx, tmp_path)
    assert [(found["to_number"], found["direction"]) for found in by_number(source)] == called + outside
    assert [found["extension"] for found in by_number(source)][:5] == [to for to, _ in called]


def test_empty_lists_arrive_as_lists(tmp_path: Path) -> None:
    pbx = FakePbx([row()])
    pbx.lists |= dict.fromkeys(("ext.list", "department.list", "did.list", "trunk.list", "tenant.configuration"), [])
    source, _ = loaded(pbx, tmp_path)
    assert rows_of(source)[0]["direction"] == "outbound"


@pytest.mark.parametrize(
    ("said", "configured", "used", "warned"),
    [
        ("EUR", "EUR", "EUR", False),
        ("€", "EUR", "EUR", False),
        ("", "EUR", "EUR", False),
        ("$", "EUR", "EUR", False),
        ("GBP", "EUR", "GBP", True),
        ("GBP", None, "GBP", False),
        ("", None, "XXX", True),
    ],
)
def test_the_currency(said: str, configured: str | None, used: str, warned: bool, tmp_path: Path) -> None:
    pbx = FakePbx([row()])
    pbx.lists["tenant.configuration"] = {"2": {"currency": said}}
    source, outcome = loaded(pbx, tmp_path, currency=configured)
    assert rows_of(source)[0]["currency"] == used
    assert bool(outcome.warnings) == warned


def test_the_vendors_own_samples(tmp_path: Path) -> None:
    """Every documented answer goes through; the documented call records are of 2009, on one day."""
    records = sample("cdr_download")
    pbx = FakePbx(records["csv"], records["header"])
    rates = {"1": sample("splan_rates"), "2": sample("splan_rates_tbd")}
    pbx.lists = {
        "tenant.list": sample("tenant_list"),
        "ext.list": sample("ext_list"),
        "department.list": sample("department_list"),
        "did.list": sample("did_list"),
        "trunk.list": sample("trunk_list"),
        "splan.list": {**sample("splan_list"), "2": {"name": "By time"}},
        "splan.rates": {},
    }

    def change(asked: dict[str, str], data: Any) -> Any:
        if asked["action"].endswith("splan.rates"):
            return rates[asked["id"]]
        return sample("billamount") if asked["action"].endswith("billamount") else data

    pbx.change = change
    source = source_of(pbx, tmp_path, tenants=("7",))
    day = datetime.fromtimestamp(1246439020, UTC).date()
    outcome = load_day(source, day)
    assert not outcome.failures
    found = {r["from_text"]: r for r in rows_of(source, day=day)}
    assert found["Test (1000)"]["direction"] == "internal"
    assert found["107"]["extension"] == "107"
    assert {(r["native_id"], r["cost"], r["mos"], r["has_recording"]) for r in found.values()} == {
        ("1368458822.12", Decimal(1), Decimal("4.4"), True)
    }
    assert rows_of(source, "audit.control_total", day=day)[0]["difference"] == Decimal(2 - 8)
    extensions = rows_of(source, "core.extension", "lists", None)
    assert {(e["type"], e["extension"]) for e in extensions} == {
        ("phone", "530"),
        ("phone", "100"),
        ("did", "12025550107"),
        ("trunk", None),
    }
    plans = rows_of(source, "core.service_plan_rate", "lists", None)
    # The plan by time has the ids of the other in the documents.
    assert {r["rate_id"] for r in plans} == {"1:135:1", "1:135:2", "1:135:1:70", "1:135:2:70"}
    (account,) = rows_of(source, "core.account", "lists", None)
    assert (account["account_id"], account["code"], account["country"]) == ("7", "454", "US")


def test_the_documented_error_is_one() -> None:
    client: Any = FakeClient(lambda asked: sample("error"))
    with pytest.raises(AuthError):
        PBXware(client).probe()
