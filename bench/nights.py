"""What a night costs on top of years, what all the marts cost anew, and what a question costs an analyst.

What lives here: one day loaded, taken in and published above a short and a long history; every mart derived again,
against scanning its columns; the questions of ``docs/querying.md``. What does not: making the history (``history``).
"""

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb

from assets.warehouse_asset import rebuild_database, update_and_publish
from bench import history
from bench.child import ROOT, measure
from bench.extract import configure, load_day, load_lists
from bench.figures import Figure, interleave, ratio, show
from bench.vendor import DAY, serving
from pipelines.resources import Runtime
from pipelines.settings import load_settings
from warehouse.files import commit_file
from warehouse.update import calls

MARTS_READ = (
    "connection, account_id, linked_id, started_at, call_date, direction, outcome, extension, remote_country, "
    "duration_seconds, cost, currency"
)
QUESTION = re.compile(r"^## (?P<title>.+?)$|^```sql\n(?P<sql>.+?)^```", re.MULTILINE | re.DOTALL)


def _runtime(folder: str) -> Runtime:
    return Runtime(load_settings(Path(folder) / "tollbook.toml"))


# --- what runs in a process of its own -------------------------------------------------------------------------------


def build(folder: str, rows: int, rows_a_day: int) -> dict[str, float]:
    """The history, its database, and what that weighs."""
    started = time.perf_counter()
    runtime = _runtime(folder)
    history.build(runtime, rows, rows_a_day)
    source = runtime.source("hq", load_id="bench")
    load_lists(source)
    return {"seconds": time.perf_counter() - started, "mib": runtime.database.public.stat().st_size / 2**20}


def night(folder: str, turn: int) -> dict[str, float]:
    """The vendors' day, anew each time: extract, update, publish.

    The copy that publishing makes is told apart, with the time until the disk has it.
    """
    runtime = _runtime(folder)
    source = runtime.source("hq", load_id=f"bench-{turn}")
    _forget_day(runtime)
    copying = 0.0

    def timed(copy: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal copying
            began = time.perf_counter()
            done = copy(*arguments)
            copying += time.perf_counter() - began
            return done

        return call

    started = time.perf_counter()
    load_day(source)
    loaded = time.perf_counter()
    with patch("shutil.copyfile", timed(shutil.copyfile)), patch("warehouse.database.commit_file", timed(commit_file)):
        published = update_and_publish(runtime.lake, runtime.database)
    ended = time.perf_counter()
    if not published.result.changed:
        raise RuntimeError("the night changed nothing")
    return {
        "seconds": ended - started - copying,
        "load": loaded - started,
        "publish": ended - loaded - copying,
        "copy": copying,
    }


def _forget_day(runtime: Runtime) -> None:
    """Take the day out of lake and database, so that the next load of it is the first."""
    lake = runtime.lake
    for folder in ("raw/hq/cdr", "core/cdr/hq", "state/core/cdr/hq", "core/control_total/hq/cdr"):
        for path in (lake.data_dir / folder).glob(f"{DAY}*"):
            with suppress(FileNotFoundError, NotADirectoryError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    with duckdb.connect(runtime.database.private) as db:
        if db.execute("DELETE FROM meta.partition WHERE day = ? AND connection = 'hq'", [DAY]).fetchall()[0][0]:
            for table_ in ("core.cdr", "core.call", "core.call_leg"):
                db.execute(f"DELETE FROM {table_} WHERE call_date = ?", [DAY])


def marts(folder: str) -> dict[str, float]:
    """Calls and every mart from the legs of the database, after its fingerprint of the SQL was made stale.

    How long calls took to put together is told apart: the rest is the marts and their tie-outs.
    """
    runtime = _runtime(folder)
    with duckdb.connect(runtime.database.private) as db:
        db.execute("UPDATE meta.state SET value = 'stale' WHERE name = 'derivation'")
    linking = 0.0
    link_all_calls = calls.link_all_calls

    def timed(db: duckdb.DuckDBPyConnection) -> None:
        nonlocal linking
        began = time.perf_counter()
        link_all_calls(db)
        linking = time.perf_counter() - began

    started = time.perf_counter()
    with patch.object(calls, "link_all_calls", timed):
        result = runtime.database.update(())
    ended = time.perf_counter()
    if not result.everything:
        raise RuntimeError("the marts were not made again")
    return {"seconds": ended - started, "marts": ended - started - linking}


def rebuild(folder: str) -> dict[str, float]:
    """The database from all of core, and the marts."""
    runtime = _runtime(folder)
    started = time.perf_counter()
    rebuild_database(runtime.lake, runtime.database)
    return {"seconds": time.perf_counter() - started}


def scan(folder: str) -> dict[str, float]:
    """The floor: every value of the columns that the marts need, once, from the database."""
    runtime = _runtime(folder)
    with duckdb.connect(runtime.database.private, read_only=True) as db:
        started = time.perf_counter()
        looks = ", ".join(f"max({column})" for column in MARTS_READ.split(", "))
        db.execute(f"SELECT {looks} FROM core.cdr").fetchall()
        return {"seconds": time.perf_counter() - started}


def questions(folder: str) -> dict[str, float]:
    """Each question of the documentation, milliseconds, after one unmeasured run; opening the file is not in it."""
    found: dict[str, float] = {}
    with duckdb.connect(_runtime(folder).database.public, read_only=True) as db:
        db.execute("SET TimeZone = 'Europe/London'")
        for title, sql in worked_questions():
            db.execute(sql).fetchall()
            started = time.perf_counter()
            db.execute(sql).fetchall()
            found[title] = (time.perf_counter() - started) * 1000
    return found


def worked_questions() -> list[tuple[str, str]]:
    """(heading, SQL) of every query of ``docs/querying.md``."""
    found: list[tuple[str, str]] = []
    title = ""
    for match in QUESTION.finditer((ROOT / "docs" / "querying.md").read_text(encoding="utf-8")):
        title = match["title"] or title
        if match["sql"]:
            number = sum(known.startswith(title) for known, _ in found)
            found.append((f"{title} ({number + 1})" if number else title, match["sql"]))
    return found


# --- benchmarks ------------------------------------------------------------------------------------------------------


def over_history(sizes: Sequence[int], rows_a_day: int, repeat: int) -> None:
    """Goals 5, 6 and 8: the same on a short and on a long history."""
    with tempfile.TemporaryDirectory(prefix="tollbook-bench-") as place, serving(pbx=rows_a_day) as base:
        folders = {rows: str(Path(place) / str(rows)) for rows in sizes}
        lines: list[tuple[str, object, str]] = []
        for rows, folder in folders.items():
            Path(folder).mkdir()
            configure(Path(folder), base, "pbxware")
            made = measure("bench.nights:build", folder=folder, rows=rows, rows_a_day=rows_a_day)
            lines.append((f"history of {rows:,} legs: public file, MiB a million legs", made["mib"] / rows * 1e6, ""))
        show("5 a night above a history", lines)
        _nights(folders, rows_a_day, repeat)
        _all_marts(folders, repeat)
        _questions(folders, repeat)


def _nights(folders: dict[int, str], rows_a_day: int, repeat: int) -> None:
    turns = iter(range(10_000))
    found = interleave(
        {str(rows): partial(_next_night, folder, turns) for rows, folder in folders.items()},
        repeat,
    )
    small, large = (found[str(rows)] for rows in (min(folders), max(folders)))
    what = f"a day of {rows_a_day:,} above {max(folders):,} / above {min(folders):,}"
    show(
        what,
        [
            ("load, update and publish without the copy, s, above the shorter", small["seconds"], ""),
            ("the same, above the longer", large["seconds"], ""),
            ("ratio of time", ratio(large["seconds"], small["seconds"]), "at most 1.2"),
            ("ratio of time, update and publish alone", ratio(large["publish"], small["publish"]), ""),
            ("ratio of peak memory", ratio(large["peak_mib"], small["peak_mib"]), "at most 1.2"),
            ("peak resident above the longer, MiB", large["peak_mib"], ""),
            ("the copy, s, above the shorter", small["copy"], ""),
            ("the copy, s, above the longer", large["copy"], ""),
        ],
    )


def _next_night(folder: str, turns: Iterator[int]) -> dict[str, float]:
    return measure("bench.nights:night", folder=folder, turn=next(turns))


def _all_marts(folders: dict[int, str], repeat: int) -> None:
    for rows, folder in folders.items():
        ways = {name: partial(measure, f"bench.nights:{name}", folder=folder) for name in ("scan", "marts", "rebuild")}
        found = interleave(ways, repeat)
        show(
            f"6 all marts anew, {rows:,} legs",
            [
                ("scanning their columns (the floor), s", found["scan"]["seconds"], ""),
                ("all calls, marts and tie-outs from the database's core, s", found["marts"]["seconds"], ""),
                ("× floor", ratio(found["marts"]["seconds"], found["scan"]["seconds"]), ""),
                ("all marts and tie-outs alone, s", found["marts"]["marts"], ""),
                ("× floor", ratio(found["marts"]["marts"], found["scan"]["seconds"]), "at most 8"),
                ("peak resident, MiB", found["marts"]["peak_mib"], "at most 2048 at 50 million"),
                ("the whole database from Parquet, published, s", found["rebuild"]["seconds"], ""),
                ("the same, peak resident, MiB", found["rebuild"]["peak_mib"], ""),
            ],
        )


def _questions(folders: dict[int, str], repeat: int) -> None:
    for rows, folder in folders.items():
        found = interleave({"all": partial(measure, "bench.nights:questions", folder=folder)}, repeat)
        lines: list[tuple[str, Figure, str]] = [
            (f"{title}, ms", figure, "under 100 at 10 million")
            for title, figure in found["all"].items()
            if title != "peak_mib"
        ]
        show(f"8 questions of docs/querying.md, {rows:,} legs", lines)
