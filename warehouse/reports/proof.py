"""The state of the proof: is the month complete, reconciled, final, and what was restated since it was first read.

What lives here: the audit tables as sections, and the flags of the first page. What does not: costs (``content``).
Nothing here looks at a clock: a month is open while the newest loaded business day lies before its last day.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from warehouse.reports.model import (
    Column,
    Flag,
    Kind,
    Level,
    ReportSettings,
    Row,
    Section,
    month_name,
    show_date,
    show_money,
)
from warehouse.reports.reader import Query, Reader

SHOWN = 10  # the largest differences and restatements on the first page; all of them stand on their own sheets

CONNECTION = Column("connection", "Connection")
VENDOR = Column("vendor", "Vendor")
ACCOUNT = Column("account_id", "Account")
CURRENCY = Column("currency", "Currency")


@dataclass(frozen=True)
class Proof:
    """What the audit tables say about the month."""

    as_of: date | None
    flags: tuple[Flag, ...]
    first_page: tuple[Section, ...]
    sections: tuple[Section, ...]


def read_proof(reader: Reader, settings: ReportSettings) -> Proof:
    """Ask the audit tables everything, once."""
    as_of = reader.one("SELECT max(window_to) FROM audit.load WHERE status <> 'failed'")[0]
    completeness = _completeness(reader, settings, as_of)
    controls = _controls(reader)
    variances, largest_variances = _variances(reader)
    restated, restatements, largest_restatements = _restatements(reader)
    quarantine = _quarantine(reader)
    flags = (
        *_completeness_flags(reader, completeness, as_of),
        *_provisional_flags(reader, as_of),
        *_reconciled_flags(controls, variances),
        *_tie_out_flags(reader),
        *_restated_flags(restated),
        *_quarantine_flags(quarantine),
        *_amount_flags(reader, settings.reporting_currency),
    )
    return Proof(
        as_of,
        flags,
        (completeness, controls, largest_variances, restated, largest_restatements),
        (variances, restatements, quarantine),
    )


# --- complete? --------------------------------------------------------------------------------------------------------

_COMPLETENESS = (
    CONNECTION,
    VENDOR,
    Column("stream", "What"),
    Column("days_due", "Days due", Kind.INT),
    Column("days_loaded", "Loaded", Kind.INT),
    Column("days_missing", "Missing", Kind.INT),
    Column("days_failed", "Failed", Kind.INT),
    Column("first_gap", "First gap", Kind.DATE),
    Column("last_gap", "Last gap", Kind.DATE),
    Column("state", "State"),
)
COMPLETE = "complete"

# A window that was loaded and whose latest reading failed counts as failed: what is shown for it may be out of date.
_DAYS = """
WITH days AS (SELECT unnest(generate_series($first::TIMESTAMP, $due::TIMESTAMP, INTERVAL 1 DAY))::DATE AS day),
streams AS (SELECT DISTINCT connection, vendor, stream FROM audit.load WHERE window_from IS NOT NULL),
latest AS (
    SELECT connection, stream, day, arg_max(status, {'load': load_id, 'at': finished_at}) AS status
    FROM audit.load JOIN days ON day BETWEEN window_from AND window_to
    GROUP BY connection, stream, day
)
SELECT connection, vendor, stream, count(day), count(*) FILTER (status <> 'failed'),
    count(*) FILTER (day IS NOT NULL AND status IS NULL), count(*) FILTER (status = 'failed'),
    min(day) FILTER (status IS NULL OR status = 'failed'), max(day) FILTER (status IS NULL OR status = 'failed')
FROM streams LEFT JOIN days ON true LEFT JOIN latest USING (connection, stream, day)
GROUP BY connection, vendor, stream ORDER BY connection, stream
"""

# Invoices, extensions and the like are read whole: the newest reading counts, and must not be older than the month.
_LISTS = """
SELECT connection, vendor, stream, arg_max(status, {'load': load_id, 'at': finished_at}) AS latest,
    max(timezone($zone, finished_at)::DATE) FILTER (status <> 'failed') AS read_on
FROM audit.load WHERE window_from IS NULL GROUP BY connection, vendor, stream ORDER BY connection, stream
"""


def _completeness(reader: Reader, settings: ReportSettings, as_of: date | None) -> Section:
    last = reader.next - timedelta(days=1)
    due = min(last, as_of) if as_of else last
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
            rows.append(reader.row((*answer, COMPLETE if answer[7] is None else "INCOMPLETE"), _COMPLETENESS))
    for connection, vendor, stream, latest, read_on in reader.all(_LISTS):
        if connection not in gone:
            stale = read_on is None or read_on < reader.parameters["due"]
            state = "INCOMPLETE: the latest reading failed" if latest == "failed" else COMPLETE
            state = "INCOMPLETE: read before the month's end" if stale and latest != "failed" else state
            rows.append(
                reader.row((connection, vendor, stream, None, None, None, None, None, None, state), _COMPLETENESS)
            )
    rows += [
        (name, None, None, None, None, None, None, None, None, "INCOMPLETE: never loaded")
        for name in sorted(wanted - seen)
    ]
    return Section(
        "proof_complete",
        "Complete? Days loaded",
        _COMPLETENESS,
        rows,
        len(rows),
        notes=("A day whose latest reading failed counts as failed, even where an earlier reading is shown.",),
    )


def _completeness_flags(reader: Reader, completeness: Section, as_of: date | None) -> list[Flag]:
    if not completeness.row_count:
        return [Flag(Level.ALARM, "INCOMPLETE", "Nothing has been loaded yet.")]
    gaps = [row for row in completeness.rows if row[-1] != COMPLETE]
    if not gaps:
        until = f" up to {show_date(as_of)}" if as_of and as_of < reader.next - timedelta(days=1) else ""
        return [Flag(Level.OK, "COMPLETE", f"Every day of every connection is loaded{until}.")]
    names = ", ".join(sorted({str(row[0]) for row in gaps}))
    days = sum(int(str(row[5] or 0)) + int(str(row[6] or 0)) for row in gaps)
    what = f"{days} day{'s' if days != 1 else ''} missing or failed" if days else "lists not read since the month ended"
    return [Flag(Level.ALARM, "INCOMPLETE", f"{what} ({names}): the figures are too low or out of date.")]


# --- final? -----------------------------------------------------------------------------------------------------------


def _provisional_flags(reader: Reader, as_of: date | None) -> list[Flag]:
    reasons = []
    if as_of is None or as_of < reader.next - timedelta(days=1):
        until = f", the newest loaded day is {show_date(as_of)}" if as_of else ""
        reasons.append(f"{month_name(reader.first)} is not over in the data{until}")
    (rows,) = reader.one(
        "SELECT count(*) FROM core.cdr WHERE is_provisional AND call_date >= $first AND call_date < $next"
    )
    if rows:
        reasons.append(f"{rows:,} call record{'s' if rows != 1 else ''} can still be changed by the vendor")
    return [Flag(Level.WARNING, "PROVISIONAL", "; ".join(reasons) + ".")] if reasons else []


# --- reconciled? ------------------------------------------------------------------------------------------------------

_CONTROLS = (
    CONNECTION,
    VENDOR,
    Column("check_name", "Check"),
    Column("matched", "Matched", Kind.INT),
    Column("variance", "Variance", Kind.INT),
    Column("unavailable", "Unavailable", Kind.INT),
)


def _controls(reader: Reader) -> Section:
    answers = reader.all(
        "SELECT grouping(connection), connection, vendor, check_name, "
        "count(*) FILTER (status = 'matched'), count(*) FILTER (status = 'variance'), "
        "count(*) FILTER (status = 'unavailable') "
        "FROM audit.control_total WHERE window_date >= $first AND window_date < $next "
        "GROUP BY GROUPING SETS ((connection, vendor, check_name), ()) ORDER BY ALL"
    )
    rows = [reader.row(answer[1:], _CONTROLS) for answer in answers if not answer[0]]
    totals = tuple(("Total", *answer[2:]) for answer in answers if answer[0]) if rows else ()
    return Section("proof_reconciled", "Reconciled? Vendors' control totals", _CONTROLS, rows, len(rows), totals)


_VARIANCES = (
    Column("window_date", "Day", Kind.DATE),
    CONNECTION,
    ACCOUNT,
    Column("check_name", "Check"),
    Column("subject", "Subject"),
    Column("ours", "Ours", Kind.QUANTITY),
    Column("theirs", "Vendor's", Kind.QUANTITY),
    Column("difference", "Difference", Kind.QUANTITY),
)


def _variances(reader: Reader) -> tuple[Section, Section]:
    sql = (
        "SELECT window_date, connection, account_id, check_name, subject, ours, theirs, difference "
        "FROM audit.control_total WHERE status = 'variance' AND window_date >= $first AND window_date < $next"
    )
    return _whole_and_largest(
        reader,
        sql,
        _VARIANCES,
        order="window_date, connection, account_id, check_name, subject",
        size="abs(difference)",
        whole=("variances", "Control variances", "Difference: ours less the vendor's."),
        largest=("proof_variances", "Largest control variances"),
    )


def _whole_and_largest(
    reader: Reader,
    sql: str,
    columns: tuple[Column, ...],
    *,
    order: str,
    size: str,
    whole: tuple[str, str, str],
    largest: tuple[str, str],
) -> tuple[Section, Section]:
    """The answer to ``sql`` as a list of its own, and its largest rows for the first page."""
    (count,) = reader.one(f"SELECT count(*) FROM ({sql})")
    top = list(Query(reader, f"{sql} ORDER BY {size} DESC NULLS FIRST, {order} LIMIT {SHOWN}", columns))
    rest = (f"The {SHOWN} largest of {count:,}; the others stand under “{whole[1]}”.",) if count > SHOWN else ()
    return (
        Section(whole[0], whole[1], columns, Query(reader, f"{sql} ORDER BY {order}", columns), count, (), whole[2:]),
        Section(*largest, columns, top, len(top), (), rest),
    )


def _reconciled_flags(controls: Section, variances: Section) -> list[Flag]:
    if variances.row_count:
        text = f"{variances.row_count:,} of the vendors' own control totals differ from ours."
        return [Flag(Level.ALARM, "NOT RECONCILED", text)]
    if not controls.totals or not controls.totals[0][3]:
        return [Flag(Level.WARNING, "NOT PROVEN", "No vendor gave a control total to check this month against.")]
    matched, unavailable = controls.totals[0][3], controls.totals[0][5]
    also = f"; {unavailable:,} were not to be had" if unavailable else ""
    return [Flag(Level.OK, "RECONCILED", f"All {matched:,} of the vendors' control totals equal ours{also}.")]


def _tie_out_flags(reader: Reader) -> list[Flag]:
    (broken,) = reader.one(
        "SELECT count(*) FROM audit.tie_out WHERE difference <> 0 AND "
        "(tie_date IS NULL OR (tie_date >= $first AND tie_date < $next))"
    )
    text = f"{broken:,} sums of this database differ from the records they were made from: do not use it."
    return [Flag(Level.ALARM, "NOT TIED OUT", text)] if broken else []


# --- restated? --------------------------------------------------------------------------------------------------------

_RESTATED = (
    Column("kind", "What happened"),
    CURRENCY,
    Column("records", "Records", Kind.INT),
    Column("after_month_end", "After the month's end", Kind.INT),
    Column("cost_effect", "Effect on cost", Kind.MONEY),
)
_RESTATEMENTS = (
    Column("window_date", "Day", Kind.DATE),
    CONNECTION,
    ACCOUNT,
    Column("stream", "What"),
    Column("kind", "What happened"),
    Column("restated_at", "Restated at", Kind.DATETIME),
    Column("columns_changed", "Changed columns"),
    Column("before_cost", "Cost before", Kind.MONEY, 4),
    Column("after_cost", "Cost after", Kind.MONEY, 4),
    Column("cost_effect", "Effect on cost", Kind.MONEY, 4),
    CURRENCY,
    Column("record_id", "Record"),
)
_IN_MONTH = "window_date >= $first AND window_date < $next"


def _restatements(reader: Reader) -> tuple[Section, Section, Section]:
    answers = reader.all(
        "SELECT grouping(kind), kind, currency, count(*), "
        "count(*) FILTER (restated_at >= timezone($zone, $next::TIMESTAMP)), sum(cost_effect) "
        f"FROM audit.restatement WHERE {_IN_MONTH} "
        "GROUP BY GROUPING SETS ((kind, currency), (currency)) ORDER BY ALL"
    )
    rows = [reader.row(answer[1:], _RESTATED) for answer in answers if not answer[0]]
    totals = tuple((f"Total {answer[2] or 'without currency'}", *answer[2:]) for answer in answers if answer[0])
    note = "Records that a later reading changed, added or no longer had; the report holds the later state."
    counted = Section("proof_restated", "Restated since first read?", _RESTATED, rows, len(rows), totals, (note,))
    sql = (
        "SELECT window_date, connection, account_id, stream, kind, epoch_us(restated_at) AS restated_at, "
        "columns_changed, before_cost, after_cost, cost_effect, currency, record_id "
        f"FROM audit.restatement WHERE {_IN_MONTH}"
    )
    whole, largest = _whole_and_largest(
        reader,
        sql,
        _RESTATEMENTS,
        order="restated_at, window_date, connection, account_id, stream, record_id, kind",
        size="abs(coalesce(cost_effect, 0))",
        whole=("restatements", "Restatements", note),
        largest=("proof_restatements", "Largest restatements"),
    )
    return counted, whole, largest


def _restated_flags(restated: Section) -> list[Flag]:
    if not restated.totals:
        return []
    records = sum(int(str(row[2])) for row in restated.totals)
    effects = [
        show_money(row[4], str(row[1])) for row in restated.totals if isinstance(row[4], Decimal) and row[4] and row[1]
    ]
    effect = f"; effect on cost {', '.join(effects)}" if effects else "; no effect on cost"
    return [Flag(Level.WARNING, "RESTATED", f"{records:,} records changed after they were first read{effect}.")]


# --- left out? --------------------------------------------------------------------------------------------------------

_QUARANTINE = (
    CONNECTION,
    VENDOR,
    Column("stream", "What"),
    Column("reason", "Why it was not understood"),
    Column("records", "Records", Kind.INT),
)


def _quarantine(reader: Reader) -> Section:
    answers = reader.all(
        "SELECT grouping(connection), connection, vendor, stream, reason, count(*) FROM audit.quarantine "
        f"WHERE {_IN_MONTH} GROUP BY GROUPING SETS ((connection, vendor, stream, reason), ()) ORDER BY ALL"
    )
    rows = [reader.row(answer[1:], _QUARANTINE) for answer in answers if not answer[0]]
    totals = tuple(("Total", *answer[2:]) for answer in answers if answer[0]) if rows else ()
    note = "Records that could not be understood: they are kept as they came and are in no figure of this report."
    return Section("quarantine", "Not understood", _QUARANTINE, rows, len(rows), totals, (note,))


def _quarantine_flags(quarantine: Section) -> list[Flag]:
    if not quarantine.totals:
        return []
    records = quarantine.totals[0][4]
    return [Flag(Level.WARNING, "LEFT OUT", f"{records:,} records could not be understood and are in no figure.")]


def _amount_flags(reader: Reader, reporting_currency: str) -> list[Flag]:
    flags = []
    (unrated,) = reader.one("SELECT sum(unrated) FROM mart.cost_monthly WHERE month = $first")
    if unrated:
        flags.append(
            Flag(Level.WARNING, "UNRATED", f"{unrated:,} records have no cost from the vendor; they are not free.")
        )
    missing = reader.all(
        "SELECT currency, sum(unconverted), sum(cost) FILTER (reporting_cost IS NULL) FROM mart.cost_daily "
        "WHERE cost_date >= $first AND cost_date < $next AND unconverted > 0 GROUP BY currency ORDER BY currency"
    )
    if missing:
        amounts = ", ".join(
            show_money(cost or Decimal(0), currency or "without currency") for currency, _, cost in missing
        )
        text = f"No exchange rate to {reporting_currency} for {amounts}: not in the {reporting_currency} figures."
        flags.append(Flag(Level.WARNING, "UNCONVERTED", text))
    return flags
