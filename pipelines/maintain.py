"""What is done with data that is there: rebuild, rename, report, FOCUS, close and check.

What lives here: these commands' work, in this process; no vendor is asked, but for the probe of ``check``. What does
not: the load (``load``), erasing and tracing (``erase``, ``trace``), what is printed (``cli``, ``progress``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from assets.stream import Progress
from pipelines.interruption import in_a_thread
from pipelines.load_window import today
from pipelines.progress import Watch
from pipelines.settings import Settings
from tollbook_errors import ConfigError, IntegrityError, InternalError, StorageError, TollbookError
from warehouse.close import Close, Freeze, close_month
from warehouse.identity import begun, end, finish_renaming, is_unfinished, rename
from warehouse.published import ask_public, open_public, public_file, unconfigured
from warehouse.reference import read_reference
from warehouse.reference_notices import Notice, notices, old_rates, read_facts, unknown_connections
from warehouse.retention import kept_from, refuse_dropped

if TYPE_CHECKING:
    from pipelines.resources import Runtime
    from warehouse.reports import ReportSettings
    from warehouse.reports.focus import Focus
    from warehouse.reports.model import Flag


@dataclass(frozen=True)
class RebuildSummary:
    """What a rebuild made again."""

    partitions: int
    streams: int
    path: Path


def run_rebuild(settings: Settings, watch: Watch) -> RebuildSummary:
    """Make core from raw and the database from core, offline.

    Every day that can be made is made. Where it is read otherwise than before, what that changes is restated. A
    renaming that was begun comes to its end. IntegrityError, and nothing is published, when a day cannot be made.
    """
    return in_a_thread(partial(rebuild_all, settings, watch))


def rebuild_all(settings: Settings, watch: Watch) -> RebuildSummary:
    """``run_rebuild`` in the thread that calls it."""
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
    from assets.load import update_partition
    from assets.redaction import scrub
    from assets.stream import Window
    from assets.vendors import streams_of
    from assets.warehouse_asset import rebuild_database

    lake = runtime.lake
    configured = {connection.name for connection in settings.connections}
    todo: set[tuple[str, str, date | None]] = set()
    for connection, stream, window_from, window_to in lake.raw.windows():
        if connection in configured:
            days = Window(window_from, window_to).days
            todo |= {(connection, stream, day) for day in days if day is None or day >= kept_from(lake.data_dir)}
    with lake.writing():
        scrub(lake, {each.name: (each.region, each.outside_line) for each in settings.connections}, watch)
    if not todo:
        raise StorageError(f"nothing was landed in {settings.data_dir / 'raw'} yet", hint="run: tollbook load")
    # Damage is found before anything is cleared: a rebuild that cannot be finished must not take away what stands.
    landed = {landing.file: landing for window in todo for landing in lake.raw.landings(*window)}
    for landing in landed.values():
        lake.raw.verified(landing)
    lake.core.clear(configured | (lake.core.connections() - set(lake.raw.connections())))
    failures: list[str] = []
    kind: type[TollbookError] = IntegrityError
    for number, (connection, stream, day) in enumerate(sorted(todo, key=str)):
        source = runtime.source(connection, load_id="rebuild")
        failed = len(failures)
        watch(Progress(connection, stream, str(day or "all"), number - failed, len(todo), 0, failed))
        try:
            update_partition(source, streams_of(source.vendor)[stream], day)
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
    refuse_dropped(runtime.lake.data_dir, month.replace(day=1))
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
    refuse_dropped(runtime.lake.data_dir, month.replace(day=1))
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
    """Make one small request to a connection; what is wrong with it, or None."""
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
