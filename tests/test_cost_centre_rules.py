"""Which cost centre a party is of: the lookup for thousands of rules says what the plain one does."""

import time
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollbook_errors import ConfigError
from warehouse.reference import MOST_RANGES, CostCentreRule, read_reference
from warehouse.reference_notices import Facts, Month, notices
from warehouse.schema import table
from warehouse.update import sql
from warehouse.update.inputs import prepare_rules

pytestmark = pytest.mark.slow  # whole databases

DAYS = [date(2026, 10, 1) + timedelta(days=n) for n in range(6)]
HEADER = "connection,account,extension,cost_centre,from,to\n"

# Each party with each rule, and of what is for it on the day the best: what the files' description says, word by word.
PLAIN = """
SELECT day.cost_date, day.connection, day.account_id, day.extension, arg_min(rule.cost_centre, rule.priority)
FROM day
JOIN rule
    ON (rule.connection IS NULL OR rule.connection = day.connection)
    AND (rule.account_id IS NULL OR rule.account_id = day.account_id)
    AND (
        rule.extension_from IS NULL
        OR (
            length(day.extension) = length(rule.extension_from)
            AND day.extension BETWEEN rule.extension_from AND rule.extension_to
        )
    )
    AND day.cost_date BETWEEN rule.valid_from AND rule.valid_to
GROUP BY ALL
"""


def looked_up(con: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    """What ``cost_daily.sql`` finds for the days and parties of ``day``."""
    mart = sql.read_mart(table("mart.cost_daily"))
    lookup = mart[mart.index("party AS (") : mart.index("rated AS (")].rstrip().removesuffix(",")
    return con.execute(f"WITH summed AS (SELECT * FROM day), {lookup} SELECT * FROM centre").fetchall()


EXTENSIONS = st.sampled_from(["101", "102", "105", "109", "199", "0101", "1", "10a", "1\u00e91", "a b", "9" * 30])
ANY = st.sampled_from(["hq", "sip", "hq:", None])
SPANS = st.one_of(
    st.just((None, None)),
    EXTENSIONS.map(lambda one: (one, one)),
    st.sampled_from([("100", "199"), ("101", "105"), ("102", "109"), ("0100", "0199"), ("1", "9"), ("101", "199")]),
)
TIMES = st.tuples(st.sampled_from([date.min, *DAYS]), st.sampled_from([*DAYS, date.max])).filter(lambda t: t[0] <= t[1])
RULES = st.lists(st.tuples(ANY, ANY, SPANS, st.sampled_from("ABCD"), TIMES), max_size=12)
PARTIES = st.lists(
    st.tuples(st.sampled_from(DAYS), st.sampled_from(["hq", "sip", "hq:"]), ANY, EXTENSIONS | st.none()),
    min_size=1,
    max_size=12,
)


@given(RULES, PARTIES)
def test_the_quick_lookup_is_the_plain_one(
    written: list[tuple[str | None, str | None, tuple[str | None, str | None], str, tuple[date, date]]],
    parties: list[tuple[date, str, str | None, str | None]],
) -> None:
    rules: list[CostCentreRule] = []
    for line, (connection, account, span, centre, (first, last)) in enumerate(written, 2):
        rule = CostCentreRule(connection, account, *span, centre, first, last, line)
        if not any(r.target == rule.target and r.valid_from <= last and first <= r.valid_to for r in rules):
            rules.append(rule)
    rules.sort(key=CostCentreRule._rank)
    with duckdb.connect() as con:
        con.execute("CREATE TABLE day (cost_date DATE, connection VARCHAR, account_id VARCHAR, extension VARCHAR)")
        con.executemany("INSERT INTO day VALUES (?, ?, ?, ?)", parties)
        con.execute(
            "CREATE TABLE rule (priority INTEGER, connection VARCHAR, account_id VARCHAR, extension_from VARCHAR, "
            "extension_to VARCHAR, cost_centre VARCHAR, valid_from DATE, valid_to DATE)"
        )
        for priority, rule in enumerate(rules, 1):
            row = [priority, *rule.target, rule.cost_centre, rule.valid_from, rule.valid_to]
            con.execute("INSERT INTO rule VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        prepare_rules(con, rules)
        assert sorted(looked_up(con), key=repr) == sorted(con.execute(PLAIN).fetchall(), key=repr)


def test_the_most_specific_rule_of_the_day_wins(tmp_path: Path) -> None:
    """One extension before a narrow range before a wide one before any; that of October 3 is none on the 2nd."""
    (tmp_path / "cost_centres.csv").write_text(
        HEADER + ",,,Any,,\nhq,,,Site,,\nhq,2,100-199,Wide,,\nhq,2,101-105,Narrow,,\nhq,2,101,One,2026-10-03,\n"
    )
    parties = [("2", "101"), ("2", "105"), ("2", "150"), ("2", "1010"), ("7", "101"), (None, None)]
    with duckdb.connect() as con:
        con.execute("CREATE TABLE day (cost_date DATE, connection VARCHAR, account_id VARCHAR, extension VARCHAR)")
        for day in (date(2026, 10, 2), date(2026, 10, 3)):
            con.executemany("INSERT INTO day VALUES (?, ?, ?, ?)", [(day, "hq", *party) for party in parties])
        prepare_rules(con, read_reference(tmp_path, "GBP").rules)
        found = {(day.day, account, extension): centre for day, _, account, extension, centre in looked_up(con)}
    of_each = {(day, *party): found[day, *party] for day in (2, 3) for party in parties}
    assert list(of_each.values()) == ["Narrow", "Narrow", "Wide", "Site", "Site", "Site"] + [
        *("One", "Narrow", "Wide", "Site", "Site", "Site")
    ]


def test_thousands_of_rules_take_seconds(tmp_path: Path) -> None:
    """Each with each, or a statement for each, would take minutes for so many."""
    lines = [f"hq,{n % 40},{10_000 + n},CC-{n % 200},,\n" for n in range(30_000)]
    (tmp_path / "cost_centres.csv").write_text(HEADER + "".join(lines))
    with duckdb.connect() as con:
        con.execute(
            "CREATE TABLE day AS SELECT DATE '2026-10-01' AS cost_date, 'hq' AS connection, "
            "(n % 40)::VARCHAR AS account_id, (10000 + n)::VARCHAR AS extension FROM range(20000) AS party(n)"
        )
        began = time.process_time()
        prepare_rules(con, read_reference(tmp_path, "GBP").rules)
        found = looked_up(con)
        assert time.process_time() - began < 30
    assert len(found) == 20_000
    assert all(centre == f"CC-{(int(extension) - 10_000) % 200}" for *_, extension, centre in found)


def test_what_thousands_of_rules_match_is_said_in_seconds(tmp_path: Path) -> None:
    """Of 20,000 extensions of account 2 there are 10000 to 29999; the ranges begin where those end."""
    ranges = [f"hq,2,{30_000 + 2 * n}-{30_001 + 2 * n},A,,\n" for n in range(4_000)]
    accounts = [f"hq,acount-{n},,A,,\n" for n in range(4_000)]
    (tmp_path / "cost_centres.csv").write_text(HEADER + "".join(ranges + accounts) + "hq,2,29999-30000,A,,\n")
    known = {("hq", f"account-{n}"): None for n in range(2_000)}
    month = Month(parties={("hq", "2", str(10_000 + n)) for n in range(20_000)})
    facts = Facts({"hq": "pbxware"}, known, frozenset(), frozenset(), frozenset(), {DAYS[0]: month})
    began = time.process_time()
    found = notices(read_reference(tmp_path, "GBP"), facts, DAYS[0], "GBP")
    assert time.process_time() - began < 30
    assert [notice.line for notice in found] == list(range(2, 8_002)), "all but the last"
    assert {notice.reason for notice in found[:4_000]} == {"there is no such extension on this connection"}
    assert found[4_000].suggestion == "account-0"
    assert found[-1].suggestion is None, "beyond so many comparisons nothing is guessed"


def test_ranges_that_hold_one_extension_are_few(tmp_path: Path) -> None:
    """Rules of one target in turn, and ranges side by side, are as many as there may be."""
    nested = [f"hq,2,{1000 + n}-{9000 - n},A,," for n in range(MOST_RANGES)]
    beside = [f"hq,2,{n}0001-{n}9999,A,," for n in range(1, 10)]
    in_turn = [f"hq,2,5000-5001,A,{day:%Y-%m-%d},{day:%Y-%m-%d}" for day in DAYS]
    path = tmp_path / "cost_centres.csv"
    path.write_text(HEADER + "\n".join([*nested[1:], *beside, *in_turn]))
    assert len(read_reference(tmp_path, "GBP").rules) == MOST_RANGES - 1 + 9 + len(DAYS)
    path.write_text(HEADER + "\n".join([*nested, *in_turn]))
    with pytest.raises(ConfigError, match=f"line {MOST_RANGES + 2}: more than {MOST_RANGES} ranges hold one extension"):
        read_reference(tmp_path, "GBP")
