"""The pseudonymised database: the same figures, and no byte of a number or a name."""

import hashlib
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.core_rows import Row, cdr_days, leg, partition, row, warehouse

from pipelines.settings import load_settings
from tollbook_errors import ConfigError
from warehouse.database import Database
from warehouse.schema import MARTS, TABLES

pytestmark = pytest.mark.slow  # whole loads

KEY = b"a key of more than sixteen bytes"
NUMBERS = ("+442079460123", "+447700900456", "+15550100199")
PRIVATE = ("2079460123", "7700900456", "5550100199", "Mary Major", "John Minor", "Sales desk")


def hashed(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def day_of_calls() -> list[Row]:
    return [
        leg(
            hashed(f"{n} {number}"),
            f"2026-03-02 09:0{n}:00",
            60 + n,
            cost=Decimal("0.10"),
            linked_id=f"1772442000.{n}",
            from_text="Mary Major (101)",
            from_name="Mary Major",
            from_number="101",
            to_text=f"John Minor ({number})",
            to_name="John Minor",
            to_number=number,
            to_e164=number,
            remote_e164=number,
            remote_country="GB",
            remote_type="mobile",
        )
        for n, number in enumerate((*NUMBERS, NUMBERS[0]))
    ] + [leg(hashed("odd"), "2026-03-02 10:00:00", 5, from_number="John Minor 2079460123", to_number="*97")]


def lists(folder: Path) -> Any:
    known = {"vendor": "pbxware", "connection": "hq", "account_id": "2"}
    entry = row("core.extension", **known, extension_id="1", extension="101", name="Mary Major", type="phone")
    group = row("core.department", **known, department_id="1", name="Sales")
    restated = row(
        "audit.restatement",
        **known,
        window_date=date(2026, 3, 2),
        stream="lists",
        record_id=hashed(f"0 {NUMBERS[0]}"),
        kind="changed",
        cost_effect=Decimal(0),
        before='{"to_text": "Sales desk 2079460123"}',
    )
    rows = {"core.extension": [entry], "core.department": [group], "audit.restatement": [restated]}
    return partition(folder, "lists", "hq", None, "pbxware", rows)


def published(folder: Path, key: bytes | None = KEY) -> Database:
    database = warehouse(folder / "data", pseudonym_key=(lambda: key) if key else None)
    database.update([*cdr_days(folder / "core", day_of_calls()), lists(folder / "core")])
    database.publish()
    return database


def ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(duckdb.connect(str(path), read_only=True)) as con:
        return con.execute(sql).fetchall()


def test_no_number_or_name_is_in_the_pseudonymised_database(tmp_path: Path) -> None:
    copy = published(tmp_path).pseudonymised
    assert copy.stat().st_mode & 0o777 == 0o640
    everything = str([ask(copy, f"FROM {table.full_name}") for table in TABLES]).encode() + copy.read_bytes()
    assert [text for text in (*PRIVATE, KEY.decode(), KEY.hex()) if text.encode() in everything] == []
    # Nor can one be found by trial, by the hash that its record's id is.
    assert [n for n, number in enumerate(NUMBERS) if hashed(f"{n} {number}").encode() in everything] == []


def test_it_says_the_same_of_all_else_and_joins(tmp_path: Path) -> None:
    database = published(tmp_path)
    for name in (*(mart.full_name for mart in MARTS), "audit.tie_out", "core.department"):
        # The one mart of single calls: its ids are pseudonyms, as in core.call.
        query = f"SELECT * EXCLUDE (call_id) FROM {name}" if name == "mart.top_calls" else f"FROM {name}"
        assert sorted(ask(database.pseudonymised, query), key=str) == sorted(ask(database.public, query), key=str)
    assert ask(database.pseudonymised, "SELECT count(*) FROM audit.tie_out") > [(0,)]
    both = "SELECT count(*) FROM core.cdr JOIN core.call_leg USING (cdr_id) JOIN core.call USING (call_id)"
    assert ask(database.pseudonymised, both) == ask(database.public, both) == [(5,)]
    assert ask(
        database.pseudonymised, "SELECT count(*) FROM audit.restatement JOIN core.cdr ON record_id = cdr_id"
    ) == [(1,)]
    counted = "SELECT count(*), remote_country, remote_type, min(extension) FROM core.cdr GROUP BY remote_e164, 2, 3"
    assert sorted(ask(database.pseudonymised, counted), key=str) == sorted(ask(database.public, counted), key=str)
    numbers = (
        "SELECT from_number, to_number, to_e164 = to_number FROM core.cdr WHERE to_e164 IS NULL OR to_number IS NULL"
    )
    assert [(to, same) for _, to, same in ask(database.pseudonymised, numbers)] == [("*97", None)]
    assert ask(database.pseudonymised, "SELECT DISTINCT from_number FROM core.cdr WHERE to_e164 IS NOT NULL") == [
        ("101",)
    ]


def test_pseudonyms_are_stable_and_the_keys_own(tmp_path: Path) -> None:
    query = "SELECT DISTINCT remote_e164 FROM core.call WHERE remote_e164 IS NOT NULL ORDER BY ALL"
    first, again, other = (
        ask(published(tmp_path / name, key).pseudonymised, query)
        for name, key in (("a", KEY), ("b", KEY), ("c", KEY[::-1]))
    )
    assert first == again
    assert len(first) == 3
    assert not set(first) & set(other)


def test_it_is_made_when_something_changed_and_goes_with_its_key(tmp_path: Path) -> None:
    database = published(tmp_path)
    made = database.pseudonymised.stat().st_ino
    database.publish()
    assert database.pseudonymised.stat().st_ino == made
    database.pseudonym_key = lambda: KEY[::-1]
    database.publish()
    assert database.pseudonymised.stat().st_ino != made
    database.pseudonym_key = None
    database.publish()
    assert not database.pseudonymised.exists()


def test_a_key_that_could_be_guessed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "tollbook.toml"
    config.write_text(
        '[tollbook]\npseudonym_key = "env:KEY"\n[[connections]]\nname = "vps"\nvendor = "time4vps"\n'
        'username = "env:KEY"\npassword = "env:KEY"\n'
    )
    monkeypatch.setenv("KEY", "guess-me")
    with pytest.raises(ConfigError, match=r"tollbook\.pseudonym_key: expected at least 16") as error:
        load_settings(config).check_secrets()
    assert "guess-me" not in str(error.value)
