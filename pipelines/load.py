"""``tollbook load``: business days from the vendors into the warehouse, in this process.

What lives here: running the jobs of a load, recorded in the same Dagster instance that ``tollbook dev`` shows; what a
load came to; what an interrupted one left open. What does not: the commands that ask no vendor for days
(``maintain``), what is printed (``progress``), the work itself (``assets``).
"""

import logging
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pipelines.history import dagster_home, open_history, sentence_of
from pipelines.interruption import Interrupted, go_no_further, in_a_thread
from pipelines.maintain import rebuild_all
from pipelines.progress import Watch
from pipelines.settings import Settings
from warehouse.identity import is_unfinished
from warehouse.lake import Lake
from warehouse.published import (
    ask_public,
    clock_trouble,
    control_counts,
    costs,
    days_in_state,
    open_public,
    public_file,
    reference_notices,
    unconfigured,
)
from warehouse.reference_notices import Notice
from warehouse.retention import refuse_dropped

if TYPE_CHECKING:
    from dagster import DagsterInstance, ExecuteInProcessResult, JobDefinition

    from assets.stream import Progress

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadSummary:
    """What a load came to: its rows of ``audit.load``, what failed, and the public database (None: not published).

    ``dropped``: how many business days went because they are older than is kept; ``unfinished``: the loaded business
    days that had not ended when they were read; ``notices``: what finance's files have to be looked at for in their
    months; ``unconfigured``: connections whose data counts and that are no longer configured;
    ``clock``: what was wrong with this machine's when the load began.
    """

    load_id: str
    loads: list[dict[str, Any]]
    costs: list[tuple[str, str, Any]]
    checks: list[tuple[str, str, int]]
    failures: list[str]
    database: Path | None
    dropped: int = 0
    unfinished: tuple[date, ...] = ()
    notices: tuple[Notice, ...] = ()
    unconfigured: tuple[str, ...] = ()
    clock: str | None = None


def run_load(
    settings: Settings,
    first: date,
    last: date,
    names: Sequence[str],
    watch: Watch,
) -> LoadSummary:
    """Load business days of the named connections (none: all) and publish; failures are in what comes back.

    Interrupted, which says which days are open, where a signal comes.
    """

    def gated(step: "Progress") -> None:
        go_no_further()
        watch(step)

    began = set(Lake(settings.data_dir).loads.names())
    try:
        return in_a_thread(partial(_run_load, settings, first, last, names, gated))
    except Interrupted as stop:
        _cancel_runs(settings)
        with suppress(Exception):  # what cannot be read is not said
            stop.what = _unread_days(settings, first, last, names, began)
        raise


def _cancel_runs(settings: Settings) -> None:
    """Record that the runs of this process were canceled; but nobody who ends a load is kept waiting for that."""
    if run_locks := sys.modules.get("pipelines.run_locks"):  # else there is no run yet
        canceling = threading.Thread(target=run_locks.cancel_own_runs, args=(dagster_home(settings),), daemon=True)
        canceling.start()
        canceling.join(5)


def _unread_days(settings: Settings, first: date, last: date, names: Sequence[str], began: set[str]) -> str:
    """Which days an interrupted load has not read, by what it has recorded, and what to do."""
    from assets.vendors import daily_streams

    lake = Lake(settings.data_dir)
    rows = [row for load in sorted(set(lake.loads.names()) - began) for row in lake.loads.of(load)]
    whole = {(row["connection"], row["stream"], row["window_from"], row["window_to"]) for row in rows
             if row["status"] != "failed"}  # fmt: skip
    open_days: dict[str, list[str]] = {}
    for connection in settings.connections:
        if names and connection.name not in names:
            continue
        streams = daily_streams(connection.vendor)
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        left = [day for day in days if not all(any(
            (name, stream) == (connection.name, each) and start and start <= day <= end
            for name, stream, start, end in whole) for each in streams)]  # fmt: skip
        if not streams and not any(name == connection.name for name, *_ in whole):
            open_days.setdefault("all lists", []).append(connection.name)
        elif left and streams:
            open_days.setdefault(_stretches(left), []).append(connection.name)
    if not open_days:
        return "all days were read but nothing is published yet; run: tollbook load"
    phrase = "; ".join(f"{days} of {', '.join(whose)}" for days, whose in open_days.items())
    return f"not read yet: {phrase}; nothing was published; what was loaded stays: run the same load again"


def _stretches(days: Sequence[date]) -> str:
    """Days in words, those that follow each other as one stretch."""
    stretches: list[list[date]] = []
    for day in days:
        if stretches and day - stretches[-1][-1] == timedelta(days=1):
            stretches[-1].append(day)
        else:
            stretches.append([day])
    return ", ".join(f"{each[0]} to {each[-1]}" if len(each) > 1 else f"{each[0]}" for each in stretches)


def _run_load(settings: Settings, first: date, last: date, names: Sequence[str], watch: Watch) -> LoadSummary:
    from pipelines.definitions import build
    from pipelines.jobs import LOAD, PUBLISH
    from pipelines.resources import Runtime, load_name
    from pipelines.run_locks import fail_dead_runs
    from pipelines.schedules import range_tags

    runtime = Runtime(settings, watch)
    runtime.database.read_reference()
    runtime.lake.check_writable()
    if is_unfinished(runtime.lake):
        _log.warning("an earlier rebuild was interrupted; it is finished first")
        rebuild_all(settings, watch)
    runtime.hold()
    runtime.refuse_same_records()
    refuse_dropped(runtime.lake.data_dir, first)
    clock = ask_public(public_file(settings.data_dir), clock_trouble)
    definitions = build(settings, runtime)
    failures: list[str] = []
    with open_history(settings) as instance:
        fail_dead_runs(instance)
        job = definitions.resolve_job_def(LOAD)
        chosen = _keys(settings, names)
        keys = [key for key in job.asset_layer.executable_asset_keys if not names or key.path[0] in chosen]
        ran = _execute(job, instance, asset_selection=keys, tags=range_tags(first, last))
        load_id = load_name(instance, ran.run_id)
        loads = runtime.lake.loads.of(load_id)
        failures += [*_failures(ran, loads), *_not_understood(loads)]
        published = _execute(definitions.resolve_job_def(PUBLISH), instance)
        failures += _failures(published, [])
    if not published.success:
        return LoadSummary(load_id, loads, [], [], failures, None, clock=clock)
    public = public_file(settings.data_dir)
    figures = [made.metadata for made in published.asset_materializations_for_node("warehouse")]
    dropped = sum(int(str(each["dropped_days"].value)) for each in figures if "dropped_days" in each)
    with open_public(public) as con:
        spent, checks = costs(con, (first, last)), control_counts(con, (first, last))
        loaded = {row["connection"] for row in loads}
        partial = {day for name, _, day in days_in_state(con, "partial") if name in loaded and first <= day <= last}
        noticed = reference_notices(con, first, last)
        gone = unconfigured(con, [connection.name for connection in settings.connections])
    return LoadSummary(
        load_id, loads, spent, checks, failures, public, dropped, tuple(sorted(partial)), noticed, gone, clock
    )


def _execute(job: "JobDefinition", instance: "DagsterInstance", **selection: Any) -> "ExecuteInProcessResult":
    """Run a job in this process; wherever that is killed, the next one knows that the run is dead."""
    from pipelines.run_locks import BY_COMMAND_LINE, hold_run_lock

    run_id = str(uuid4())
    tags = {**selection.pop("tags", {}), BY_COMMAND_LINE: "true"}
    quiet = {"loggers": {"console": {"config": {"log_level": "DEBUG" if _verbose() else "CRITICAL"}}}}
    with hold_run_lock(instance, run_id):
        return job.execute_in_process(
            run_config=quiet, instance=instance, run_id=run_id, tags=tags, raise_on_error=False, **selection
        )


def _keys(settings: Settings, names: Sequence[str]) -> set[str]:
    from assets.materialize import Connection

    return {Connection(name, settings.connection(name).vendor).key for name in names}


def _failures(ran: Any, loads: list[dict[str, Any]]) -> list[str]:
    """Why steps of a run failed: the recorded errors where there are some, else what Dagster caught."""
    failed = [row for row in loads if row["status"] == "failed"]
    by_error: dict[tuple[str, str, str], list[str]] = {}
    for row in failed:
        by_error.setdefault((row["connection"], row["stream"], row["error_type"]), []).append(row["error"])
    found = [
        f"{connection} {stream}: {kind}: {errors[0]}" + (f"; {len(errors)} times in all" if len(errors) > 1 else "")
        for (connection, stream, kind), errors in by_error.items()
    ]
    reported = {(row["connection"], row["stream"]) for row in failed}
    for event in ran.all_events:
        if event.is_step_failure:
            step, words = event.step_key or "", _words(event.step_failure_data.error)
            # A step whose lists were not read fails with their error.
            if any(str(row["error"]) in words for row in failed):
                continue
            if not any(step == f"{connection}_{stream}".replace("-", "_") for connection, stream in reported):
                found.append(f"{step}: {words}")
    if not ran.success and not found:  # it failed before any step could
        errors = [getattr(event.event_specific_data, "error", None) for event in ran.all_events if event.is_failure]
        found.append(f"{ran.job_def.name}: {_words(next(filter(None, errors), None))}")
    return list(dict.fromkeys(found))


def _not_understood(loads: list[dict[str, Any]]) -> list[str]:
    """Of what was read and not one record was understood: the loading went well, and what was loaded is incomplete."""
    found: dict[tuple[str, str], list[int]] = {}
    for row in loads:
        if row["quarantined"] and row["quarantined"] >= row["rows"]:
            found.setdefault((row["connection"], row["stream"]), []).append(row["quarantined"])
    return [
        f"{connection} {stream}: none of {sum(records)} records in {len(records)} windows could be understood; "
        "see audit.quarantine"
        for (connection, stream), records in found.items()
    ]


def _words(error: Any) -> str:
    """What Dagster caught, without what it says about catching it, or the SQL with which it writes its own records."""
    cause = (error.cause or error) if error else None
    text = str(cause.message).strip() if cause else "failed"
    return f"StorageError: {sentence_of(text)}" if "sqlite3." in text else text.removeprefix("tollbook_errors.")


def _verbose() -> bool:
    """Dagster's own events belong in its database, not on the terminal, unless everything was asked for."""
    return logging.getLogger().isEnabledFor(logging.DEBUG)
