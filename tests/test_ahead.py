"""Typing a day while it is still being read: nothing of it can be told from typing it afterwards."""

import gc
import threading
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.fake_pbx import DAY, START, FakePbx, load_day, row, rows_of, source_of

from assets import parse_ahead, pbxware
from assets.load import update_partition
from assets.pbxware.legs import CdrParser
from assets.stream import Source
from warehouse import raw
from warehouse.core import CorePartition

pytestmark = pytest.mark.slow  # whole loads

GROUP = "Sales (600)"  # a number of the PBX's own that is no extension


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Batches of a few responses: in which thread each was typed, and how many responses it held."""
    monkeypatch.setattr(raw, "_BATCH_BYTES", 30_000)
    monkeypatch.setattr(raw, "PARSED_BYTES", 60_000)
    monkeypatch.setattr(parse_ahead, "PARSED_BYTES", 60_000)
    typed: list[tuple[str, int]] = []
    add = CdrParser.add

    def watched(typing: CdrParser, responses: pa.Table) -> None:
        typed.append((threading.current_thread().name, responses.num_rows))
        add(typing, responses)

    monkeypatch.setattr(CdrParser, "add", watched)
    return typed


def a_day() -> FakePbx:
    """Some thousand records: calls put through by a group, some alike, some that cannot be understood."""
    rows = []
    for number in range(4_000):
        second = int(START.timestamp()) + number * 20
        costs = {"rating_cost": f"0.{number % 9}0000"}
        if number % 10 == 0:
            rows.append(row(second, number, **costs, **{"from": "02079460123", "to": GROUP}))
        elif number % 10 == 1:
            rows.append(row(second - 10, number, total_duration="5", **costs, **{"from": GROUP, "to": "Ada (100)"}))
        else:
            rows.append(row(second, number // 3 if number > 3_000 else number, **costs))
        if number % 400 == 399:
            # Far from the first of them, so that they come in another batch.
            rows.append(row(int(START.timestamp()) + 100, 77, mos=number % 800))
            rows.append(row(second, number, total_duration="a minute"))
    return FakePbx(rows)


def made_again(source: Source) -> CorePartition:
    """The day from its landing alone."""
    source.lake.core.clear([source.name])
    return update_partition(source, pbxware.CDR_STREAM, DAY)


def test_a_day_that_is_typed_while_it_is_read_is_the_day_that_is_typed_afterwards(
    tmp_path: Path, batches: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(a_day(), tmp_path)
    (ahead,) = load_day(source).partitions
    assert len(batches) > 3
    assert {thread for thread, _ in batches[:3]} == {"parsing"}
    rows = rows_of(source)
    assert len(rows) == 4_010
    assert [found["raw_row"] for found in rows] == sorted(found["raw_row"] for found in rows)
    assert len({found["cdr_id"] for found in rows}) == len(rows)
    alike = [found for found in rows if found["native_id"].endswith(".77") and found["started_at"].minute == 1]
    assert sorted(found["occurrence"] for found in alike) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert sum(found["linked_id"] != found["native_id"] for found in rows) > 300

    batches.clear()
    afterwards = made_again(source)
    assert {thread for thread, _ in batches} == {"MainThread"}
    assert afterwards.sha256 == ahead.sha256
    assert afterwards.warnings == ahead.warnings
    # And in one piece, as another version might.
    monkeypatch.setattr(raw, "PARSED_BYTES", 1 << 30)
    batches.clear()
    assert made_again(source).sha256 == ahead.sha256
    assert len(batches) == 1
    assert not list((tmp_path / "state" / "ahead").iterdir())


def test_of_a_reading_that_began_anew_nothing_counts(tmp_path: Path, batches: list[tuple[str, int]]) -> None:
    pbx = a_day()
    pbx.billamount = "1.00"  # never adds up: the day is read twice
    source = source_of(pbx, tmp_path)
    (ahead,) = load_day(source).partitions
    assert len(batches) > 6
    assert len(rows_of(source)) == 4_010
    assert made_again(source).sha256 == ahead.sha256


def test_what_fails_ahead_is_done_afterwards(
    tmp_path: Path, batches: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    add = CdrParser.add

    def failing(typing: CdrParser, responses: pa.Table) -> None:
        if threading.current_thread().name == "parsing" and len(batches) > 1:
            raise MemoryError
        add(typing, responses)

    monkeypatch.setattr(CdrParser, "add", failing)
    source = source_of(a_day(), tmp_path)
    outcome = load_day(source)
    assert not outcome.failures
    assert len(rows_of(source)) == 4_010
    assert batches[-1][0] == "MainThread"
    assert not list((tmp_path / "state" / "ahead").iterdir())


def test_a_day_that_cannot_be_understood_says_so_as_ever(tmp_path: Path, batches: list[tuple[str, int]]) -> None:
    pbx = a_day()
    pbx.header[0] = "Somebody"
    outcome = load_day(source_of(pbx, tmp_path))
    assert "the header lacks" in str(outcome.failures[0])
    assert not list((tmp_path / "state" / "ahead").iterdir())


def test_a_small_day_is_not_worth_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread))
    source = source_of(FakePbx([row(number=1)]), tmp_path)
    load_day(source)
    assert len(rows_of(source)) == 1
    assert not started


def test_a_day_that_was_read_before_is_not_typed_before_it_differs(
    tmp_path: Path, batches: list[tuple[str, int]]
) -> None:
    pbx = a_day()
    source = source_of(pbx, tmp_path)
    (first,) = load_day(source).partitions
    batches.clear()
    (again,) = load_day(source).partitions
    assert not batches
    assert again.sha256 == first.sha256

    pbx.rows.append(row(number=5_000))
    (third,) = load_day(source).partitions
    assert {thread for thread, _ in batches} == {"MainThread"}
    assert third.rows["core.cdr"] == 4_011
    kept = [found for found in rows_of(source) if found["native_id"] != f"{datetime(2026, 3, 10, 12).timestamp()}"]
    assert len({found["raw_file"] for found in kept}) == 2
    assert sum((found["cost"] for found in kept), Decimal(0)) > 0
    assert made_again(source).sha256 == third.sha256


def test_imports_are_left_out_of_the_search_for_garbage_once_and_all_for_good(tmp_path: Path) -> None:
    """What became garbage in one load is not kept by the next."""
    source = source_of(a_day(), tmp_path)
    load_day(source)
    frozen = gc.get_freeze_count()
    assert frozen > 10_000
    load_day(source)
    assert gc.get_freeze_count() <= frozen
