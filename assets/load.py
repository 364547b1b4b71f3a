"""Loading one stream of one connection: land what the vendor says, then make its core partition.

What lives here: the steps that are the same for every vendor, window by window: fetch, redact, land, merge into core,
record. What does not: what to ask and what a response means (the vendors' modules), merging (``warehouse.merge``), how
the steps hang together in Dagster (``materialize``).
"""

import atexit
import gc
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import date, datetime
from functools import partial
from typing import Any

from assets.http.errors import ServerError
from assets.parse_ahead import ParseAhead
from assets.redaction import eraser
from assets.stream import AccountsDenied, Fetch, Outcome, Progress, Source, Stream, Window
from tollbook_errors import (
    AuthError,
    ConfigError,
    ContractError,
    IntegrityError,
    InternalError,
    QuotaError,
    SecurityError,
    StorageError,
    TollbookError,
    TransientError,
)
from warehouse.core import CorePartition
from warehouse.erasure_register import Register
from warehouse.merge import Parsing, Target, merge_landings
from warehouse.raw import Landing
from warehouse.schema import QUARANTINE

# After one of these the rest of the days would fail the same way, or make it worse.
_STOPS = (AuthError, ConfigError, QuotaError, SecurityError, StorageError, TransientError)

# After one of these the vendor is there and lets us in, and it is the list alone that cannot be read.
_OF_THE_LIST = (ContractError, IntegrityError, ServerError)


def load(
    source: Source,
    stream: Stream,
    windows: Sequence[Window],
    fetch: Callable[[Window], Fetch],
    *,
    depends_on: dict[str, str] | None = None,
) -> Outcome:
    """Land each window and make core of it; a failure of one window leaves the others standing.

    After a failure that the next window would only repeat, the rest are recorded as failed without asking. A window of
    which the vendor denied an account is landed with the others, and recorded as failed. One load at a time asks a
    connection.
    """
    _leave_imports_alone()
    busy: StorageError | None = None
    with ExitStack() as held:
        try:
            held.enter_context(source.lake.asking(source.name, f"load {source.load_id}"))
        except StorageError as error:  # another load has been asking it for too long
            busy = error
        return _load(source, stream, windows, fetch, depends_on or {}, busy)


def _load(
    source: Source,
    stream: Stream,
    windows: Sequence[Window],
    fetch: Callable[[Window], Fetch],
    depends_on: dict[str, str],
    stopped: TollbookError | None,
) -> Outcome:
    """The same, with what already keeps it from asking."""
    outcome = Outcome([], [], [], [])
    outcome.failures.extend([stopped] if stopped else [])
    failed = 0

    def report(window: Window, over: int, rows: int) -> None:
        source.watch(Progress(source.name, stream.name, str(window), over - failed, len(windows), rows, failed))

    for number, window in enumerate(windows):
        landing: Landing | None = None
        started_at = source.lake.now()
        row = _load_row(source, stream, window, started_at)
        requests = source.client().requests_made
        try:
            if stopped is not None:
                raise stopped
            report(window, number, 0)
            with ParseAhead(source, stream, window) as ahead:
                landing, denied = _land(
                    source, stream, window, fetch(window), depends_on, partial(report, window, number), ahead
                )
                partitions = [update_partition(source, stream, day, ahead) for day in window.days]
            warnings = sorted({warning for partition in partitions for warning in partition.warnings})
            out_of_window = sum(partition.out_of_window for partition in partitions)
            row |= {
                "status": "unchanged" if landing.unchanged else "loaded",
                "rows": landing.rows - out_of_window,
                "pages": landing.pages,
                "requests": landing.requests,
                "bytes": landing.bytes,
                "out_of_window": out_of_window,
                "quarantined": sum(partition.rows.get(QUARANTINE.full_name, 0) for partition in partitions),
                "warnings": "\n".join(warnings) or None,
            }
            outcome.landings.append(landing)
            outcome.partitions.extend(partitions)
            outcome.warnings.extend(warnings)
            if denied is not None:
                error = denied.as_error()
                outcome.failures.append(error)
                row |= {"status": "failed", "error_type": error.kind, "error": str(error)}
        except Exception as caught:
            error = caught if isinstance(caught, TollbookError) else _internal(caught, row, landing)
            if window.first is None and landing is None and (known := _what_stays(source, stream, error)):
                outcome.known.append(known)
                error.what += f": what the lists said on {known.started_at:%Y-%m-%d %H:%M} UTC stays"
            if stopped is None:
                outcome.failures.append(error)
            if isinstance(error, _STOPS):
                stopped = error
            row |= {
                "status": "failed",
                "requests": source.client().requests_made - requests,
                "error_type": error.kind,
                "error": str(error),
            }
        failed += row["status"] == "failed"
        row["finished_at"] = source.lake.now()
        source.lake.loads.record(row)
        report(window, number + 1, row["rows"])
    return outcome


def _land(
    source: Source,
    stream: Stream,
    window: Window,
    fetch: Fetch,
    depends_on: dict[str, str],
    report: Callable[[int], None],
    ahead: ParseAhead,
) -> tuple[Landing, AccountsDenied | None]:
    client = source.client()
    denied: AccountsDenied | None = None
    before = client.requests_made
    reported_at = time.monotonic()
    cleaner = eraser(source.lake.data_dir, source.region, source.outside_line)
    where = (source.name, source.vendor, stream.name, window.first, window.last)
    after = source.past[-1].generation if source.past else ""
    with source.lake.raw.landing(*where, depends_on, after=after) as writer:
        ahead.watch(writer)
        try:
            for page in fetch(writer):
                writer.add(
                    kind=page.kind,
                    account_id=page.account_id,
                    request=page.request,
                    body=cleaner.body(page.body) if cleaner else page.body,
                    fetched_at=page.fetched_at,
                    rows=page.rows,
                )
                if time.monotonic() - reported_at > 0.2:
                    reported_at = time.monotonic()
                    report(writer.rows)
        except AccountsDenied as caught:
            denied = caught
        with source.lake.writing():
            if not Register(source.lake.data_dir).holds_only(cleaner.numbers if cleaner else ()):
                raise TransientError(
                    "a number was erased while it was read",
                    connection=source.name,
                    endpoint=stream.name,
                    window=str(window),
                    hint="load its days again",
                )
            return writer.commit(requests=client.requests_made - before), denied


def update_partition(
    source: Source, stream: Stream, day: date | None, ahead: ParseAhead | None = None
) -> CorePartition:
    """Merge the landings of a day (None: of a list) that core has not seen into its partition."""
    parsings = (Parsing(partial(stream.normalise, past.source), past.generation, past.at) for past in source.past)
    now = Parsing(partial(stream.normalise, source))
    target = Target(source.lake, source.name, source.vendor, source.zone, stream, (*parsings, now))
    return merge_landings(target, day, ahead)


def _what_stays(source: Source, stream: Stream, error: TollbookError) -> Landing | None:
    """The landing that stands for a list which could not be read; None: there is none, or nothing can be read."""
    if not isinstance(error, _OF_THE_LIST):
        return None
    try:
        return source.lake.raw.last_landing(source.name, stream.name, None, None)
    except (IntegrityError, StorageError):
        return None


def _leave_imports_alone() -> None:
    """Have no garbage looked for among the hundreds of thousands of objects that imports made: it took a twentieth of
    a large load.

    Once only: what is garbage by then stays, too. In the end all is let go, or DuckDB calls it leaked on the terminal.
    """
    if not gc.get_freeze_count():
        gc.freeze()
        atexit.register(gc.unfreeze)


def _internal(error: Exception, row: Mapping[str, Any], landing: Landing | None) -> InternalError:
    """What nobody foresaw in the load that ``row`` tells of; ``landing`` is what it had landed by then."""
    landed = "what was read is landed: after an upgrade run tollbook rebuild" if landing else "nothing was landed"
    window = Window(row["window_from"], row["window_to"])
    where = {"connection": row["connection"], "endpoint": row["stream"], "window": str(window)}
    return InternalError.of(error, **where, hint=f"report this; {landed}")


def _load_row(source: Source, stream: Stream, window: Window, started_at: datetime) -> dict[str, Any]:
    return {
        "load_id": source.load_id,
        "started_at": started_at,
        "finished_at": started_at,
        "vendor": source.vendor,
        "connection": source.name,
        "stream": stream.name,
        "window_from": window.first,
        "window_to": window.last,
        "status": "failed",
        "rows": 0,
        "pages": 0,
        "requests": 0,
        "bytes": 0,
        "out_of_window": 0,
        "quarantined": 0,
        "error_type": None,
        "error": None,
        "warnings": None,
    }
