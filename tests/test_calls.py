"""Calls from the legs of a PBXware, worked out by hand: what a person would say happened, from what the PBX wrote down.

Each case stands by itself, half an hour from the next; all are loaded at once, as answers of a PBX, and must come out
of the database as the calls that are written beside them.
"""

import random
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from support.core_rows import cdr_days, query, warehouse
from support.fake_pbx import DAY, START, FakePbx, load_day, row, rows_of, source_of

OUT, OUT2 = "02079460123", "Contoso (07700900123)"
ADA, BEN, CYD, DEE = "Ada Quill (100)", "Ben Ash (101)", "102", "344103"
GROUP, IVR, BOX = "Ring Group 600 (600)", "Reception (700)", "Ring Group 600 Voicemail (100)"
DID_OF_GROUP, DID_OF_ADA, DID_ELSEWHERE = "442079460600", "442079460100", "442079460700"
ABROAD = "00881612345678"
YES, NO, FAILED, VOICEMAIL = "Answered", "No Answer", "Failed", "Voicemail"
DAYS = (DAY, DAY + timedelta(days=1), DAY + timedelta(days=92))


class Leg(NamedTuple):
    """One row of the PBX: seconds after the case begins, Unique ID (within the case), from, to, length, status."""

    second: int
    id: str
    source: str
    target: str
    length: int
    status: str
    cost: str = "0.00000"
    server: str = "2"


class Call(NamedTuple):
    """What it was: the ids of its legs, in order of start, and the row of core.call."""

    ids: str
    attempts: int
    direction: str
    outcome: str
    extension: str | None
    talk: int
    linking: str
    cost: Decimal = Decimal(0)
    server: str = "2"


LATE = 86_400 - 10  # seconds from the start of the first case to ten seconds before midnight
MONTHS = 92 * 86_400

# fmt: off
CASES: dict[str, tuple[list[Leg], list[Call]]] = {
    "ring group, answered by the third": (
        [Leg(0, "a", OUT, ADA, 5, NO), Leg(0, "a", OUT, BEN, 5, NO), Leg(1, "a", OUT, CYD, 95, YES)],
        [Call("aaa", 2, "inbound", "answered", "102", 95, "native_id")],
    ),
    "ring group, nobody": (
        [Leg(0, "a", OUT, ADA, 20, NO), Leg(1, "a", OUT, BEN, 19, NO), Leg(2, "a", OUT, CYD, 18, NO)],
        [Call("aaa", 3, "inbound", "no_answer", "100", 0, "native_id")],
    ),
    "two trunks fail, the third carries": (
        [Leg(0, "a", ADA, OUT, 0, FAILED), Leg(1, "a", ADA, OUT, 0, FAILED), Leg(2, "a", ADA, OUT, 61, YES, "0.40000")],
        [Call("aaa", 2, "outbound", "answered", "100", 61, "native_id", Decimal("0.4"))],
    ),
    "blind transfer": (
        [Leg(0, "a", OUT, ADA, 20, YES), Leg(20, "a", OUT, BEN, 120, YES)],
        [Call("aa", 0, "inbound", "answered", "101", 120, "native_id")],
    ),
    "attended transfer: the consultation could as well be another matter, and is a call of its own": (
        [Leg(0, "a", OUT, ADA, 60, YES), Leg(30, "b", ADA, BEN, 15, YES), Leg(50, "a", OUT, BEN, 200, YES)],
        [Call("aa", 0, "inbound", "answered", "101", 200, "native_id"),
         Call("b", 0, "internal", "answered", "100", 15, "single")],
    ),
    "forwarded to an outside number": (
        [Leg(0, "a", OUT, ADA, 20, NO), Leg(20, "a", ADA, OUT2, 90, YES, "0.20000")],
        [Call("aa", 1, "inbound", "answered", "100", 90, "native_id", Decimal("0.2"))],
    ),
    "voicemail after no response": (
        [Leg(0, "a", OUT, ADA, 20, NO), Leg(20, "a", OUT, BOX, 12, VOICEMAIL)],
        [Call("aa", 2, "inbound", "voicemail", "100", 0, "native_id")],
    ),
    "internal leg of an outside call, same id: who talked has it, not the IVR": (
        [Leg(0, "a", OUT, IVR, 80, YES), Leg(20, "a", IVR, BEN, 60, YES)],
        [Call("aa", 0, "inbound", "answered", "101", 60, "native_id")],
    ),
    "internal legs of an outside call, ids of their own": (
        [Leg(0, "a", OUT, GROUP, 80, YES), Leg(1, "b", GROUP, ADA, 20, NO), Leg(5, "c", GROUP, BEN, 75, YES)],
        [Call("abc", 1, "inbound", "answered", "101", 75, "put_through")],
    ),
    "nobody of the group answers": (
        [Leg(0, "a", OUT, GROUP, 30, NO), Leg(0, "b", GROUP, ADA, 30, NO), Leg(0, "c", GROUP, DEE, 31, NO)],
        [Call("abc", 3, "inbound", "no_answer", "600", 0, "put_through")],
    ),
    "through an IVR and a group": (
        [Leg(0, "a", OUT, IVR, 200, YES), Leg(30, "b", IVR, GROUP, 165, YES), Leg(40, "c", GROUP, CYD, 150, YES)],
        [Call("abc", 0, "inbound", "answered", "102", 150, "put_through")],
    ),
    "through the outside number of a group": (
        [Leg(0, "a", OUT, DID_OF_GROUP, 60, YES), Leg(5, "b", GROUP, ADA, 50, YES)],
        [Call("ab", 0, "inbound", "answered", "100", 50, "put_through")],
    ),
    "a colleague calls the group": (
        [Leg(0, "a", DEE, GROUP, 60, YES), Leg(5, "b", GROUP, ADA, 50, YES)],
        [Call("ab", 0, "internal", "answered", "103", 50, "put_through")],
    ),
    "two callers of a group at once: whose leg it is cannot be told, nor who of them was answered": (
        [Leg(0, "a", OUT, GROUP, 80, YES), Leg(5, "b", OUT2, GROUP, 80, YES), Leg(10, "c", GROUP, ADA, 60, YES)],
        [Call("a", 0, "inbound", "answered", "600", 80, "single"),
         Call("b", 0, "inbound", "answered", "600", 80, "single"),
         Call("c", 0, "internal", "answered", "100", 60, "single")],
    ),
    "two callers of a group, one after the other": (
        [Leg(0, "a", OUT, GROUP, 80, YES), Leg(5, "b", GROUP, ADA, 70, YES),
         Leg(80, "c", OUT2, GROUP, 80, YES), Leg(85, "d", GROUP, ADA, 70, YES)],
        [Call("ab", 0, "inbound", "answered", "100", 70, "put_through"),
         Call("cd", 0, "inbound", "answered", "100", 70, "put_through")],
    ),
    "a leg that outlasts the call to the group": (
        [Leg(0, "a", OUT, GROUP, 30, YES), Leg(10, "b", GROUP, ADA, 60, YES)],
        [Call("a", 0, "inbound", "answered", "600", 30, "single"),
         Call("b", 0, "internal", "answered", "100", 60, "single")],
    ),
    "a phone that makes a second call while it talks": (
        [Leg(0, "a", OUT, ADA, 300, YES), Leg(60, "b", ADA, OUT2, 40, YES, "0.10000")],
        [Call("a", 0, "inbound", "answered", "100", 300, "single"),
         Call("b", 0, "outbound", "answered", "100", 40, "single", Decimal("0.1"))],
    ),
    "one caller twice at once, on two ids: a company's line may well call twice": (
        [Leg(0, "a", OUT, GROUP, 80, YES), Leg(10, "b", OUT, ADA, 60, YES)],
        [Call("a", 0, "inbound", "abandoned", "600", 0, "single"),
         Call("b", 0, "inbound", "answered", "100", 60, "single")],
    ),
    "groups that lead to each other: neither was first": (
        [Leg(0, "a", IVR, GROUP, 30, YES), Leg(0, "b", GROUP, IVR, 30, YES)],
        [Call("a", 0, "internal", "abandoned", "700", 0, "single"),
         Call("b", 0, "internal", "abandoned", "600", 0, "single")],
    ),
    "two response: a conference, or a second handset": (
        [Leg(0, "a", OUT, ADA, 100, YES), Leg(5, "a", OUT, BEN, 90, YES)],
        [Call("aa", 0, "inbound", "answered", "100", 100, "native_id")],
    ),
    "an id used again after months": (
        [Leg(0, "a", ADA, OUT, 60, YES), Leg(MONTHS, "a", BEN, OUT2, 30, YES)],
        [Call("a", 0, "outbound", "answered", "100", 60, "single"),
         Call("a", 0, "outbound", "answered", "101", 30, "single")],
    ),
    "one id on two servers, and a group on one with its caller on the other": (
        [Leg(0, "a", OUT, GROUP, 60, YES), Leg(0, "a", OUT, GROUP, 60, YES, server="7"),
         Leg(200, "b", OUT, GROUP, 60, YES), Leg(205, "c", GROUP, ADA, 50, YES, server="7")],
        [Call("a", 0, "inbound", "abandoned", "600", 0, "single"),
         Call("a", 0, "inbound", "abandoned", "600", 0, "single", server="7"),
         Call("b", 0, "inbound", "abandoned", "600", 0, "single"),
         Call("c", 0, "internal", "answered", "100", 50, "single", server="7")],
    ),
    "over midnight": (
        [Leg(LATE, "a", OUT, ADA, 300, YES), Leg(LATE + 30, "a", OUT, BEN, 200, YES)],
        [Call("aa", 0, "inbound", "answered", "100", 300, "native_id")],
    ),
    "over midnight on ids of their own: told within a day only": (
        [Leg(LATE + 5, "a", OUT2, GROUP, 60, YES), Leg(LATE + 15, "b", GROUP, ADA, 45, YES)],
        [Call("a", 0, "inbound", "abandoned", "600", 0, "single"),
         Call("b", 0, "internal", "answered", "100", 45, "single")],
    ),
    "a queue picks up, somebody answers: talk is theirs": (
        [Leg(0, "a", OUT, DID_OF_GROUP, 95, YES), Leg(2, "a", OUT, GROUP, 93, YES), Leg(3, "a", GROUP, ADA, 0, NO),
         Leg(5, "a", GROUP, BEN, 90, YES)],
        [Call("aaaa", 1, "inbound", "answered", "101", 90, "native_id")],
    ),
    "a queue picks up, and nobody answers": (
        [Leg(0, "a", OUT, DID_OF_GROUP, 40, YES), Leg(3, "a", GROUP, ADA, 0, NO), Leg(13, "a", GROUP, BEN, 0, NO)],
        [Call("aaa", 2, "inbound", "abandoned", "100", 0, "native_id")],
    ),
    "an IVR picks up, and the caller hangs up": (
        [Leg(0, "a", OUT, IVR, 12, YES)], [Call("a", 0, "inbound", "abandoned", "700", 0, "single")],
    ),
    "a queue picks up, nobody answers, and the caller leaves a message": (
        [Leg(0, "a", OUT, DID_OF_GROUP, 40, YES), Leg(3, "a", GROUP, ADA, 0, NO),
         Leg(20, "a", OUT, BOX, 20, VOICEMAIL)],
        [Call("aaa", 2, "inbound", "abandoned", "100", 0, "native_id")],
    ),
    "a mailbox that the PBX says answered, and which has the number of a telephone": (
        [Leg(0, "a", OUT, BOX, 20, YES)], [Call("a", 0, "inbound", "abandoned", "100", 0, "single")],
    ),
    "a feature code: it can pick up a colleague's call": (
        [Leg(0, "a", ADA, "*8", 30, YES)], [Call("a", 0, "internal", "answered", "100", 30, "single")],
    ),
    "the number of a telephone says answered, but the telephone does not": (
        [Leg(0, "a", OUT, DID_OF_ADA, 30, YES), Leg(2, "a", OUT, ADA, 20, NO)],
        [Call("aa", 1, "inbound", "abandoned", "100", 0, "native_id")],
    ),
    "the number of a telephone alone: it was the telephone": (
        [Leg(0, "a", OUT, DID_OF_ADA, 30, YES)], [Call("a", 0, "inbound", "answered", "100", 30, "single")],
    ),
    "a number that leads to an outside number, and nothing more is written of it": (
        [Leg(0, "a", OUT, DID_ELSEWHERE, 30, YES)], [Call("a", 0, "inbound", "answered", None, 30, "single")],
    ),
    "forwarded, from the caller: the call of who was called, talk of who was forwarded to": (
        [Leg(0, "a", OUT, DID_OF_ADA, 65, YES), Leg(5, "a", OUT, ABROAD, 0, FAILED),
         Leg(6, "a", OUT, ABROAD, 59, YES, "3")],
        [Call("aaa", 1, "inbound", "answered", "100", 59, "native_id", Decimal(3))],
    ),
    "forwarded on an id of its own, while the caller has another call that ends before": (
        [Leg(0, "a", OUT, DID_OF_ADA, 65, YES), Leg(30, "b", OUT, DID_OF_ADA, 90, YES),
         Leg(35, "c", OUT, ABROAD, 85, YES, "3")],
        [Call("a", 0, "inbound", "answered", "100", 65, "single"),
         Call("bc", 0, "inbound", "answered", "100", 85, "put_through", Decimal(3))],
    ),
    "forwarded on an id of its own, of a caller who withholds the number": (
        [Leg(0, "a", "anonymous", BEN, 20, NO), Leg(20, "b", "anonymous", ABROAD, 60, YES, "2")],
        [Call("ab", 1, "inbound", "answered", "101", 60, "put_through", Decimal(2))],
    ),
    "forwarded outside by a telephone that a group rang, on ids of their own": (
        [Leg(0, "a", OUT, GROUP, 90, YES), Leg(1, "b", GROUP, BEN, 20, NO), Leg(20, "c", OUT, ABROAD, 70, YES, "1")],
        [Call("abc", 1, "inbound", "answered", "101", 70, "put_through", Decimal(1))],
    ),
    "from outside to outside, and no call to us by that caller": (
        [Leg(0, "a", OUT2, ADA, 60, YES), Leg(10, "b", OUT, ABROAD, 40, YES, "1")],
        [Call("a", 0, "inbound", "answered", "100", 60, "single"),
         Call("b", 0, "unknown", "answered", None, 40, "single", Decimal(1))],
    ),
}
# fmt: on


class TwoServers(FakePbx):
    """A PBX whose records belong to the server that stands in Recording Path."""

    def _selected(self, asked: dict[str, str]) -> list[list[Any]]:
        return [record for record in super()._selected(asked) if record[8] == asked["server"]]


def written(case: int, leg: Leg) -> list[Any]:
    """The row that the PBX gives."""
    begin = int(START.timestamp()) + (0 if LATE <= leg.second < MONTHS else 1800 * case)
    return row(
        begin + leg.second,
        **{
            "from": leg.source,
            "to": leg.target,
            "total_duration": str(leg.length),
            "rating_cost": leg.cost,
            "status": leg.status,
            "unique_id": f"{1_700_000_000 + case}.{'abcd'.index(leg.id) + 1}",
            "recording_path": leg.server,
        },
    )


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Call]]:
    """The calls that core.call holds, by number of the case."""
    folder = tmp_path_factory.mktemp("calls")
    legs = [written(case, leg) for case, (legs, _) in enumerate(CASES.values()) for leg in legs]
    pbx = TwoServers(random.Random(7).sample(legs, len(legs)))
    pbx.lists["tenant.list"]["7"] = {**pbx.lists["tenant.list"]["2"], "tenantcode": "345"}
    pbx.lists["tenant.configuration"]["7"] = pbx.lists["tenant.configuration"]["2"]
    pbx.lists["ext.list"] = {
        str(number): {"name": name, "ext": str(number), "status": "enabled"}
        for number, name in ((100, "Ada Quill"), (101, "Ben Ash"), (102, "Cyd Moor"), (103, "Dee Vale"))
    }
    pbx.lists["did.list"] = {
        str(key): {"number": number, "type": kind, "ext": target, "e164": f"+{number}"}
        for key, (number, kind, target) in enumerate(
            (
                (DID_OF_GROUP, "Ring Group", "600"),
                (DID_OF_ADA, "Extension", "100"),
                (DID_ELSEWHERE, "External Number", "07700900456"),
            )
        )
    }
    source = source_of(pbx, folder)
    rows = []
    for day in DAYS:
        assert not load_day(source, day).failures
        rows += rows_of(source, day=day)
    assert len(rows) == len(legs)
    database = warehouse(folder)
    for day in DAYS:  # as nights do; what they leave is what a rebuild makes
        database.update(cdr_days(folder / "core_rows", [r for r in rows if r["call_date"] == day]))
    assert query(database, "SELECT * FROM audit.tie_out WHERE difference <> 0") == []
    found: dict[int, list[Call]] = {}
    for ids, server, *figures in query(
        database,
        "SELECT (SELECT list(c.native_id ORDER BY l.leg_number) FROM core.call_leg l JOIN core.cdr c USING (cdr_id)"
        " WHERE l.call_id = call.call_id) AS ids, account_id, attempts, direction, outcome, extension, talk_seconds,"
        " linking, cost FROM core.call ORDER BY started_at, ids, account_id",
    ):
        letters = "".join("abcd"[int(id_.partition(".")[2]) - 1] for id_ in ids)
        case = int(ids[0].partition(".")[0]) - 1_700_000_000
        found.setdefault(case, []).append(Call(letters, *figures, server=server))
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_call_is_what_a_person_would_say_it_was(calls: dict[int, list[Call]], case: str) -> None:
    assert calls[list(CASES).index(case)] == CASES[case][1]
