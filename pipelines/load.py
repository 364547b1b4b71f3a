"""Running the jobs in this process, for the command line.

What lives here: the load, the rebuild, the close, the report and the probe as the commands run them, the load recorded
in the same Dagster instance that ``tollbook dev`` shows. What does not: what is printed (``progress``, ``status``,
``showing``).
"""

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from assets.load import Progress
from pipelines.history import dagster_home, open_history, sentence_of
from pipelines.interruption import Interrupted, go_no_further, in_a_thread
from pipelines.load_window import today
from pipelines.settings import Settings
from tollbook_errors import ConfigError, IntegrityError, InternalError, StorageError, TollbookError
from warehouse.close import Close, Freeze, close_month
from warehouse.identity import begun, end, finish_renaming, is_unfinished, rename
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
from warehouse.reference import read_reference
from warehouse.reference_notices import Notice, notices, old_rates, read_facts, unknown_connections

if TYPE_CHECKING:
    from dagster import DagsterInstance, ExecuteInProcessResult, JobDefinition

    from pipelines.resources import Runtime
    from warehouse.reports import ReportSettings
    from warehouse.reports.focus import Focus
    from warehouse.reports.model import Flag

_log = logging.getLogger(__name__)
Watch = Callable[[Progress], None]


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


@dataclass(frozen=True)
class RebuildSummary:
    """What a rebuild made again."""

    partitions: int
    streams: int
    path: Path


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

    def gated(step: Progress) -> None:
        go_no_further()
        watch(step)

    began = set(Lake(settings.data_dir).load_names())
    try:
        return in_a_thread(partial(_run_load, settings, first, last, names, gated))
    except Interrupted as stop:
        _cancel_runs(settings)
        with suppress(Exception):  # what cannot be read is not said
            stop.what = _what_is_open(settings, first, last, names, began)
        raise


def _cancel_runs(settings: Settings) -> None:
    """Record that the runs of this process were canceled; but nobody who ends a load is kept waiting for that."""
    if run_locks := sys.modules.get("pipelines.run_locks"):  # else there is no run yet
        canceling = threading.Thread(target=run_locks.cancel_own_runs, args=(dagster_home(settings),), daemon=True)
        canceling.start()
        canceling.join(5)


def _what_is_open(settings: Settings, first: date, last: date, names: Sequence[str], began: set[str]) -> str:
    """The days of connections that a load which was interrupted has not read, by what it has recorded."""
    from assets.vendors import DAILY

    lake = Lake(settings.data_dir)
    rows = [row for load in sorted(set(lake.load_names()) - began) for row in lake.loads_of(load)]
    whole = {(row["connection"], row["stream"], row["window_from"], row["window_to"]) for row in rows
             if row["status"] != "failed"}  # fmt: skip
    open_days: dict[str, list[str]] = {}
    for connection in settings.connections:
        if names and connection.name not in names:
            continue
        streams = DAILY[connection.vendor]
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        left = [day for day in days if not all(any(
            (name, stream) == (connection.name, each) and start and start <= day <= end
            for name, stream, start, end in whole) for each in streams)]  # fmt: skip
        if not streams and not any(name == connection.name for name, *_ in whole):
            open_days.setdefault("all lists", []).append(connection.name)
        elif left and streams:
            open_days.setdefault(_stretches(left), []).append(connection.name)
    if not open_days:
        return "every day was read, and nothing is published yet: run tollbook load"
    phrase = "; ".join(f"{days} of {', '.join(whose)}" for days, whose in open_days.items())
    return f"still open: {phrase}; nothing was published; what was loaded stays: run the same load again"


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
        _log.warning("a rebuild was interrupted: it comes to its end first")
        _run_rebuild(settings, watch)
    runtime.hold()
    runtime.refuse_same_records()
    runtime.lake.refuse_dropped(first)
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
        loads = runtime.lake.loads_of(load_id)
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


def run_rebuild(settings: Settings, watch: Watch) -> RebuildSummary:
    """Make core from raw and the database from core, offline.

    Every day that can be made is made. Where it is read otherwise than before, what that changes is restated. A
    renaming that was begun comes to its end. IntegrityError, and nothing is published, when a day cannot be made.
    """
    return in_a_thread(partial(_run_rebuild, settings, watch))


def _run_rebuild(settings: Settings, watch: Watch) -> RebuildSummary:
    from pipelines.resources import Runtime

    runtime = Runtime(settings, watch)
    runtime.database.read_reference()
    with runtime.lake.rebuilding():
        with runtime.lake.writing():
            finish_renaming(runtime.lake)
        runtime.hold(rebuilds=True)
        rebuilt = _rebuild(settings, runtime, watch)
        end(runtime.lake)
    return rebuilt


def _rebuild(settings: Settings, runtime: "Runtime", watch: Watch) -> RebuildSummary:
    from assets.load import Window, scrub, update_partition
    from assets.vendors import streams_of
    from assets.warehouse_asset import rebuild_database

    lake = runtime.lake
    configured = {connection.name for connection in settings.connections}
    todo: set[tuple[str, str, date | None]] = set()
    for connection, stream, window_from, window_to in lake.windows():
        if connection in configured:
            days = Window(window_from, window_to).days
            todo |= {(connection, stream, day) for day in days if day is None or day >= lake.kept_from()}
    with lake.writing():
        scrub(lake, {each.name: (each.region, each.outside_line) for each in settings.connections}, watch)
    if not todo:
        raise StorageError(f"nothing was landed in {settings.data_dir / 'raw'} yet", hint="run: tollbook load")
    # Damage is found before anything is cleared: a rebuild that cannot be finished must not take away what stands.
    landed = {landing.file: landing for window in todo for landing in lake.landings(*window)}
    for landing in landed.values():
        lake.verified(landing)
    lake.clear_core(configured | (lake.core_connections() - set(lake.connections())))
    failures: list[str] = []
    kind: type[TollbookError] = IntegrityError
    for number, (connection, stream, day) in enumerate(sorted(todo, key=str)):
        source = runtime.source(connection, load_id="rebuild")
        failed = len(failures)
        watch(Progress(connection, stream, str(day or "all"), number - failed, len(todo), 0, failed))
        try:
            update_partition(source, streams_of(source)[stream], day)
        except StorageError:
            raise
        except Exception as error:
            known = error if isinstance(error, TollbookError) else InternalError.of(error)
            kind = InternalError if known is not error else kind
            failures.append(f"{connection} {stream} {day or 'all'}: {known}")
    if failures:
        more = f"; and {len(failures) - 1} more" if len(failures) > 1 else ""
        raise kind(f"{failures[0]}{more}", hint="nothing was published; the last good database stays")
    published = rebuild_database(lake, runtime.database)
    return RebuildSummary(len(todo), len({(c, s) for c, s, _ in todo}), published.path)


def run_rename(settings: Settings, old: str, new: str, watch: Watch) -> RebuildSummary | None:
    """Give the data of a connection another name; with the same name, say that its account has only moved.

    ConfigError, and nothing is changed, when the configuration does not say so, too.
    """
    from pipelines.resources import Runtime

    runtime = Runtime(settings)
    identity, lake = runtime.identity(new), runtime.lake
    if old != new and old in {connection.name for connection in settings.connections}:
        raise ConfigError(
            f"connections[{old}] is still in {settings.path}", hint=f"give it the name {new} there, then run this again"
        )
    with lake.writing():
        if begun(lake) != (old, new):
            finish_renaming(lake)
            rename(lake, old, identity)
    return run_rebuild(settings, watch) if is_unfinished(lake) else None


def run_report(
    settings: Settings, month: date, out: Path | None, say: "Callable[[Flag], None]" = lambda flag: None
) -> list[Path]:
    """Finance's files for a month, from the published database; ``say`` is told the state of the month."""
    from warehouse.reports import write_report

    public, folder, report = _reporting(settings, month, out)
    return write_report(public, month.replace(day=1), folder, settings=report, say=say)


def run_focus(settings: Settings, month: date, out: Path | None, *, for_spreadsheets: bool = False) -> "Focus":
    """A month as a FOCUS dataset, from the published database. FocusError when it cannot be said in FOCUS."""
    from warehouse.reports.focus import write_focus

    public, folder, report = _reporting(settings, month, out)
    return write_focus(public, month.replace(day=1), folder, settings=report, for_spreadsheets=for_spreadsheets)


def _reporting(settings: Settings, month: date, out: Path | None) -> "tuple[Path, Path, ReportSettings]":
    """The published database, the folder for what is made of it, and what a report needs to know beside."""
    from pipelines.resources import Runtime
    from warehouse.reports import ReportSettings

    public = public_file(settings.data_dir)
    if not public.exists():
        raise StorageError(f"there is no published database at {public}", hint="run: tollbook load")
    runtime = Runtime(settings)
    runtime.hold(records=False)
    runtime.lake.refuse_dropped(month.replace(day=1))
    report = ReportSettings(
        timezone=settings.timezone,
        reporting_currency=settings.reporting_currency,
        connections=tuple(connection.name for connection in settings.connections),
        today=today(settings),
    )
    return public, out or settings.data_dir / "reports", report


def run_close(
    settings: Settings, month: date, *, anyway: bool, reopen: bool, announce: Callable[[Freeze], None]
) -> Close:
    """Freeze a month as it is known, and publish its figures as closed. CloseError when it cannot be closed.

    ``announce`` is told what is frozen before it is.
    """
    from assets.warehouse_asset import update_and_publish
    from pipelines.resources import Runtime

    runtime = Runtime(settings)
    runtime.hold(records=False)
    runtime.lake.refuse_dropped(month.replace(day=1))
    if runtime.database.private.exists():
        # What core has and the database has not yet seen is known, too.
        update_and_publish(runtime.lake, runtime.database)
    with runtime.lake.writing():
        close = close_month(
            settings.data_dir,
            month,
            timezone=settings.timezone,
            today=today(settings),
            connections=[connection.name for connection in settings.connections],
            anyway=anyway,
            reopen=reopen,
            announce=announce,
        )
    update_and_publish(runtime.lake, runtime.database)
    return close


def check_held(settings: Settings) -> tuple[str, ...]:
    """The unconfigured connections whose data counts. ConfigError where a load would be refused; nothing is written."""
    from pipelines.resources import Runtime

    runtime = Runtime(settings)
    runtime.hold(records=False)
    runtime.refuse_same_records()
    names = [connection.name for connection in settings.connections]
    return ask_public(public_file(settings.data_dir), lambda con: unconfigured(con, names)) or ()


def check_reference(settings: Settings) -> list[Notice]:
    """What finance's files have to be looked at for, by today's rates and by what the last load published.

    ConfigError for a wrong line, StorageError when a file cannot be read.
    """
    from pipelines.load_window import today

    reference = read_reference(settings.reference_dir, settings.reporting_currency)
    connections = {connection.name: connection.vendor for connection in settings.connections}
    found = list(unknown_connections(reference, connections))
    used = {rate.currency for rate in reference.rates} - {settings.reporting_currency}
    public = public_file(settings.data_dir)
    if public.exists():
        with open_public(public) as con:
            facts = read_facts(con, connections)
        if facts.months:
            newest = max(facts.months)
            used &= set(facts.months[newest].days)
            found = notices(reference, facts, newest, settings.reporting_currency)
    known = {(notice.file, notice.line) for notice in found}
    rates = old_rates(reference, {currency: [today(settings)] for currency in used})
    return found + [notice for notice in rates if (notice.file, notice.line) not in known]


def probe(settings: Settings, name: str) -> str | None:
    """Ask a connection one cheap thing; what is wrong with it, or None."""
    from assets.vendors import probe as ask
    from pipelines.resources import Runtime

    # One request fits any budget, and keeping count of it would write to the data directory.
    connection = settings.connection(name).model_copy(update={"requests_per_hour": None})
    try:
        ask(Runtime(settings.model_copy(update={"connections": (connection,)}), patient=False).source(name))
    except TollbookError as error:
        return f"{error.kind}: {error}"
    except Exception as error:
        internal = InternalError.of(error, connection=name)
        return f"{internal.kind}: {internal}"
    return None


def _keys(settings: Settings, names: Sequence[str]) -> set[str]:
    from assets.materialize import Connection

    return {Connection(name, settings.connection(name).vendor).key for name in names}


def _failures(ran: Any, loads: list[dict[str, Any]]) -> list[str]:
    """Why steps of a run failed: the recorded errors where there are some, else what Dagster caught."""
    failed = [row for row in loads if row["status"] == "failed"]
    alike: dict[tuple[str, str, str], list[str]] = {}
    for row in failed:
        alike.setdefault((row["connection"], row["stream"], row["error_type"]), []).append(row["error"])
    found = [
        f"{connection} {stream}: {kind}: {errors[0]}" + (f"; so {len(errors)} times" if len(errors) > 1 else "")
        for (connection, stream, kind), errors in alike.items()
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
        f"{connection} {stream}: none of {sum(records)} records of {len(records)} windows could be understood; "
        "audit.quarantine says why"
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
