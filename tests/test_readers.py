"""The published database under readers of every kind while it is replaced: none fails, none sees half a night."""

import csv
import io
import multiprocessing
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.core_rows import cdr_days, leg, warehouse

pytestmark = pytest.mark.slow  # processes

# The generation by which legs, calls, costs and tie-outs were made: in a whole night all are the same.
LEGS = 3
PAUSE_SECONDS = 0.02
CLIENT = Path(sys.executable).with_name("duckdb")  # the command line client, of duckdb-cli
ASKED = f"""
SELECT
    (SELECT min(cost) FROM core.cdr)::BIGINT,
    (SELECT max(cost) FROM core.cdr)::BIGINT,
    (SELECT sum(cost) FROM core.call)::BIGINT // {LEGS},
    (SELECT sum(cost) FROM mart.cost_daily)::BIGINT // {LEGS},
    (SELECT sum(cost) FROM mart.cost_monthly)::BIGINT // {LEGS},
    (SELECT sum(talk_seconds) FROM mart.usage_daily)::BIGINT // {LEGS},
    (SELECT max(fact) FROM audit.tie_out WHERE mart = 'mart.cost_daily' AND measure = 'cost')::BIGINT // {LEGS}
"""


def read(kind: str, public: Path, stop: Any, told: Any) -> None:
    """Read until told to stop; tell what was seen: one tuple of generations a reading, or the words of an error."""
    seen: list[tuple[int, ...] | str] = []
    kept = duckdb.connect(public, read_only=True) if kind == "kept open" else None
    writer = multiprocessing.parent_process()
    while not (stop.is_set() and seen) and (writer is None or writer.is_alive()):
        try:
            seen.append(_read_once(kind, public, kept))
        except Exception as error:
            seen.append(f"{type(error).__name__}: {error}")
        stop.wait(PAUSE_SECONDS)
    if kept is not None:
        kept.close()
    told.put((kind, seen))


def _read_once(kind: str, public: Path, kept: duckdb.DuckDBPyConnection | None) -> tuple[int, ...]:
    if kept is not None:
        return kept.execute(ASKED).fetchall()[0]
    if kind == "python":
        with duckdb.connect(public, read_only=True) as db:
            return db.execute(ASKED).fetchall()[0]
    asked = [str(CLIENT), "-readonly", "-csv", "-noheader", str(public), "-c", ASKED]
    ended = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    (line,) = csv.reader(io.StringIO(ended.stdout))
    return tuple(int(cell) for cell in line)


def check_readers(tmp_path: Path, kinds: list[str], publishes: int) -> None:
    database = warehouse(tmp_path / "data")

    def publish(generation: int) -> None:
        legs = [
            leg(str(n), "2026-03-02 09:00:00", generation, cost=Decimal(generation), native_id=str(n))
            for n in range(LEGS)
        ]
        database.update(cdr_days(tmp_path / "core", legs))
        database.publish()

    publish(1)
    opened = database.public.open("rb")
    first = opened.read()
    context = multiprocessing.get_context("spawn")
    stop, told = context.Event(), context.Queue()
    readers = [context.Process(target=read, args=(kind, database.public, stop, told)) for kind in kinds]
    for reader in readers:
        reader.start()
    try:
        for generation in range(2, publishes + 2):
            publish(generation)
    finally:
        stop.set()
    found = [told.get(timeout=120) for _ in readers]
    for reader in readers:
        reader.join(60)
    for kind, seen in found:
        failed = [entry for entry in seen if isinstance(entry, str)]
        assert failed == [], (kind, len(failed), len(seen))
        assert [entry for entry in seen if len(set(entry)) != 1] == [], kind
        generations = [entry[0] for entry in seen]
        assert generations == sorted(generations), kind
        assert kind != "kept open" or len(set(generations)) == 1
    opened.seek(0)
    assert opened.read() == first, "a file that somebody had open was written to"
    opened.close()
    print({kind: len(seen) for kind, seen in found}, flush=True)
    assert duckdb.connect(database.public, read_only=True).execute(ASKED).fetchall()[0][0] == publishes + 1


def test_readers_of_every_kind_go_on_while_it_is_replaced(tmp_path: Path) -> None:
    """D09."""
    check_readers(tmp_path, ["python", "kept open"], 5)


def test_the_command_line_client_goes_on_while_it_is_replaced(tmp_path: Path) -> None:
    """D09, with a client that is older than the writer."""
    check_readers(tmp_path, ["command line"], 5)


@pytest.mark.soak
def test_ten_readers_of_every_kind_go_on_while_it_is_replaced_200_times(tmp_path: Path) -> None:
    check_readers(tmp_path, ["python"] * 4 + ["kept open"] * 3 + ["command line"] * 3, 200)
