"""Is the month complete and final: the days that were loaded, unusual days, and what can still change."""

from datetime import date, timedelta

from warehouse.reports.model import (
    Column,
    Flag,
    Kind,
    Level,
    ReportSettings,
    Row,
    Section,
    count_of,
    month_name,
    show_date,
)
from warehouse.reports.query import Reader
from warehouse.reports.sections.tables import CONNECTION, VENDOR, listing

_COMPLETENESS = (
    CONNECTION,
    VENDOR,
    Column("stream", "What"),
    Column("days_due", "Days due", Kind.INT),
    Column("days_loaded", "Loaded", Kind.INT),
    Column("days_partial", "Partial", Kind.INT),
    Column("days_stale", "Stale", Kind.INT),
    Column("days_missing", "Missing", Kind.INT),
    Column("days_unusual", "Unusual", Kind.INT),
    Column("first_gap", "First gap", Kind.DATE),
    Column("last_gap", "Last gap", Kind.DATE),
    Column("state", "State"),
)
_NO_DAYS = (None,) * 8
COMPLETE = "complete"

# Before the first day that a stream was ever loaded for, audit.coverage is silent; for a report such a day is missing.
_DAYS = """
WITH days AS (
    SELECT unnest(generate_series($first::TIMESTAMP, $due::TIMESTAMP, INTERVAL 1 DAY))::DATE AS coverage_date
),
streams AS (SELECT DISTINCT connection, vendor, stream FROM audit.coverage),
stated AS (
    SELECT streams.*, coverage_date, is_unusual,
        CASE WHEN coverage_date IS NOT NULL THEN coalesce(state, 'missing') END AS state
    FROM streams LEFT JOIN days ON true
    LEFT JOIN (SELECT connection, stream, coverage_date, state, is_unusual FROM audit.coverage) AS known
        USING (connection, stream, coverage_date)
)
SELECT connection, vendor, stream, count(coverage_date), count(*) FILTER (state = 'loaded'),
    count(*) FILTER (state = 'partial'), count(*) FILTER (state = 'stale'), count(*) FILTER (state = 'missing'),
    count(*) FILTER (is_unusual), min(coverage_date) FILTER (state <> 'loaded'),
    max(coverage_date) FILTER (state <> 'loaded')
FROM stated GROUP BY connection, vendor, stream ORDER BY connection, stream
"""

# Invoices, extensions and the like are read whole: the newest reading counts, and must not be older than the month.
_LISTS = """
SELECT connection, vendor, stream, arg_max(status, (sequence, load_id, finished_at)) AS latest,
    timezone($zone, arg_max(finished_at, (sequence, load_id, finished_at)) FILTER (status <> 'failed'))::DATE AS read_on
FROM audit.load WHERE window_from IS NULL GROUP BY connection, vendor, stream ORDER BY connection, stream
"""


def completeness(reader: Reader, settings: ReportSettings, as_of: date | None) -> Section:
    last = reader.next - timedelta(days=1)
    known = [as_of] if as_of else []
    known += [settings.today - timedelta(days=1)] if settings.today else []
    due = min(last, max(known, default=last))
    # Before the month began nothing is due, yet a month without any load must not pass for complete.
    reader.parameters["due"] = last if due < reader.first else due
    wanted = set(settings.connections)
    seen = {name for (name,) in reader.all("SELECT DISTINCT connection FROM audit.load")}
    gone = {
        name
        for (name,) in reader.all(
            "SELECT connection FROM audit.load GROUP BY connection "
            "HAVING max(window_to) < $first AND max(finished_at) < timezone($zone, $first::TIMESTAMP)"
        )
        if wanted and name not in wanted
    }  # no longer configured and silent since before the month: nothing is due from it
    rows: list[Row] = []
    for answer in reader.all(_DAYS):
        if answer[0] not in gone:
            rows.append(reader.row((*answer, COMPLETE if answer[9] is None else "INCOMPLETE"), _COMPLETENESS))
    for connection, vendor, stream, latest, read_on in reader.all(_LISTS):
        if connection not in gone:
            stale = read_on is None or read_on < reader.parameters["due"]
            state = "INCOMPLETE: the latest reading failed" if latest == "failed" else COMPLETE
            state = "INCOMPLETE: read before the last day that is due" if stale and latest != "failed" else state
            rows.append(reader.row((connection, vendor, stream, *_NO_DAYS, state), _COMPLETENESS))
    rows += [(name, None, None, *_NO_DAYS, "INCOMPLETE: never loaded") for name in sorted(wanted - seen)]
    return Section(
        "proof_complete",
        "Complete? Days loaded",
        _COMPLETENESS,
        rows,
        len(rows),
        notes=(
            "Partial: read before the day was over. Stale: the latest reading failed, and what is shown is an earlier "
            "one. Missing: never read. Unusual: far fewer or far more records than on the same weekday before.",
            "What is read: cdr, call records; sms, messages; extension_total, TIM4biz's totals; lists, accounts, "
            "extensions and the like. Lists and invoices are read whole, not by day.",
        ),
    )


def completeness_flags(reader: Reader, completeness: Section, as_of: date | None) -> list[Flag]:
    if not completeness.row_count:
        return [Flag(Level.ALARM, "INCOMPLETE", "Nothing has been loaded yet.")]
    gaps = [row for row in completeness.rows if row[-1] != COMPLETE]
    if not gaps:
        until = f" up to {show_date(as_of)}" if as_of and as_of < reader.next - timedelta(days=1) else ""
        return [Flag(Level.OK, "COMPLETE", f"Every day of every connection is loaded{until}.")]
    connections = sorted({str(row[0]) for row in gaps})
    names = ", ".join(connections)
    # A day that lacks several streams of a connection is one day.
    counts = {
        state: sum(max(int(str(row[n] or 0)) for row in gaps if row[0] == name) for name in connections)
        for n, state in ((5, "partial"), (6, "stale"), (7, "missing"))
    }
    phrases = [f"{days} day{'s' if days != 1 else ''} {state}" for state, days in counts.items() if days]
    what = ", ".join(phrases) or "lists not read since the month ended"
    return [Flag(Level.ALARM, "INCOMPLETE", f"{what} ({names}): the figures are too low or out of date.")]


def unconfigured_flags(reader: Reader, settings: ReportSettings) -> list[Flag]:
    rows = reader.all(
        "SELECT connection FROM audit.coverage WHERE rows > 0 AND coverage_date >= $first AND coverage_date < $next "
        "UNION SELECT connection FROM mart.cost_monthly WHERE month = $first ORDER BY ALL"
    )
    gone = [name for (name,) in rows if name not in settings.connections] if settings.connections else []
    text = f"{', '.join(gone)}: no longer in the configuration, and what was loaded of the month counts all the same."
    return [Flag(Level.WARNING, "NOT CONFIGURED", text)] if gone else []


_UNUSUAL = (
    Column("coverage_date", "Day", Kind.DATE),
    CONNECTION,
    Column("stream", "What"),
    Column("rows", "Records", Kind.INT),
    Column("typical_rows", "Typical", Kind.INT),
)


def unusual(reader: Reader) -> Section:
    sql = (
        "SELECT coverage_date, connection, stream, rows, typical_rows FROM audit.coverage "
        "WHERE is_unusual AND coverage_date >= $first AND coverage_date < $next ORDER BY ALL"
    )
    note = "Far fewer or far more records than the median of the same weekday in the eight weeks before."
    return listing(reader, "proof_unusual", "Unusual days", _UNUSUAL, sql, notes=(note,))


def unusual_flags(unusual: Section) -> list[Flag]:
    count = unusual.row_count
    text = f"{count} day{'s have' if count != 1 else ' has'} far fewer or far more records than usual: look at them."
    return [Flag(Level.WARNING, "UNUSUAL", text)] if count else []


def provisional_flags(reader: Reader, as_of: date | None) -> list[Flag]:
    reasons = []
    if as_of is None or as_of < reader.next - timedelta(days=1):
        until = f", the newest loaded day is {show_date(as_of)}" if as_of else ""
        reasons.append(f"{month_name(reader.first)} is not over in the data{until}")
    (rows,) = reader.one(
        "SELECT count(*) FROM core.cdr WHERE is_provisional AND call_date >= $first AND call_date < $next"
    )
    if rows:
        reasons.append(f"{count_of(rows, 'call record')} can still be changed by the vendor")
    return [Flag(Level.WARNING, "PROVISIONAL", "; ".join(reasons) + ".")] if reasons else []
