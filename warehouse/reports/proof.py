"""The state of the proof: is the month complete, reconciled, closed, and what was restated since it was first read.

What lives here: the audit tables as sections, and the flags of the first page. What does not: costs (``content``).
Nothing here looks at a clock: a month is open while the newest loaded business day lies before its last day, and the
days that are due are those before the day that the settings say it is.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from warehouse.published import MOVEMENTS, Movement
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
    show_exact,
    show_money,
)
from warehouse.reports.query import Query, Reader
from warehouse.reports.sections.tables import ACCOUNT, CONNECTION, CURRENCY, VENDOR, listing

SHOWN = 10  # the largest differences and restatements on the first page; all of them stand on their own sheets


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
    completeness, unusual = _completeness(reader, settings, as_of), _unusual(reader)
    extensions = _extensions(reader)
    movements = [movement for movement in map(Movement.of, reader.all(MOVEMENTS)) if movement.month == reader.first]
    moved, since_close, largest_since_close = _moved(reader), *_since_close(reader)
    controls = _controls(reader)
    variances, largest_variances = _variances(reader)
    restated, restatements, largest_restatements = _restatements(reader)
    quarantine = _quarantine(reader)
    reference = _reference(reader)
    flags = (
        *_completeness_flags(reader, completeness, as_of),
        *_unconfigured_flags(reader, settings),
        *_unusual_flags(unusual),
        *_provisional_flags(reader, as_of),
        *_closed_flags(reader, movements, as_of),
        *_reconciled_flags(controls, variances),
        *_extension_flags(extensions),
        *_tie_out_flags(reader),
        *_restated_flags(restated),
        *_quarantine_flags(quarantine),
        *_amount_flags(reader, settings.reporting_currency),
        *_reference_flags(reference),
    )
    return Proof(
        as_of,
        flags,
        (
            completeness,
            unusual,
            controls,
            largest_variances,
            extensions,
            moved,
            largest_since_close,
            restated,
            largest_restatements,
            reference,
        ),
        (variances, since_close, restatements, quarantine),
    )


# --- complete? --------------------------------------------------------------------------------------------------------

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


def _completeness(reader: Reader, settings: ReportSettings, as_of: date | None) -> Section:
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


def _completeness_flags(reader: Reader, completeness: Section, as_of: date | None) -> list[Flag]:
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


def _unconfigured_flags(reader: Reader, settings: ReportSettings) -> list[Flag]:
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


def _unusual(reader: Reader) -> Section:
    sql = (
        "SELECT coverage_date, connection, stream, rows, typical_rows FROM audit.coverage "
        "WHERE is_unusual AND coverage_date >= $first AND coverage_date < $next ORDER BY ALL"
    )
    note = "Far fewer or far more records than the median of the same weekday in the eight weeks before."
    return listing(reader, "proof_unusual", "Unusual days", _UNUSUAL, sql, notes=(note,))


def _unusual_flags(unusual: Section) -> list[Flag]:
    count = unusual.row_count
    text = f"{count} day{'s have' if count != 1 else ' has'} far fewer or far more records than usual: look at them."
    return [Flag(Level.WARNING, "UNUSUAL", text)] if count else []


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
        reasons.append(f"{_records(rows, 'call record')} can still be changed by the vendor")
    return [Flag(Level.WARNING, "PROVISIONAL", "; ".join(reasons) + ".")] if reasons else []


# --- closed? ----------------------------------------------------------------------------------------------------------

_NAMED = 10  # records named of those that moved a month; audit.restatement_since_close has them all


def _closed_flags(reader: Reader, movements: list[Movement], as_of: date | None) -> list[Flag]:
    (closed,) = reader.one(
        "SELECT max(timezone($zone, closed_at)::DATE) FROM audit.month_close WHERE is_current AND month = $first"
    )
    if movements:
        return [Flag(Level.WARNING, "MOVED", f"{movement_text(moved, reader.zone)}.") for moved in movements]
    if closed:
        return [Flag(Level.OK, "CLOSED", f"Closed on {show_date(closed)}; no figure has moved since.")]
    if as_of is None or as_of < reader.next - timedelta(days=1):
        return []  # PROVISIONAL says it
    return [Flag(Level.WARNING, "OPEN", f"{month_name(reader.first)} is not closed: what vendors change changes it.")]


def movement_text(movement: Movement, zone: ZoneInfo) -> str:
    """What a closed month has moved by since, and because of what, in one sentence."""
    closed_on = show_date(movement.closed_at.astimezone(zone).date())
    amount = _signed(movement.moved, movement.currency)
    causes = []
    if movement.records:
        count = len(movement.records)
        named = ", ".join(movement.records[:_NAMED]) + (", …" if count > _NAMED else "")
        causes.append(f"these {count} records ({named})" if count > 1 else f"this record ({named})")
    if rest := movement.moved - movement.explained:
        causes.append(f"invoices or bundles that were not there then ({_signed(rest, movement.currency)})")
    if movement.shifted:
        causes.append("finance's files or departments, which allocate it otherwise")
    because = f", because of {' and '.join(causes)}" if causes else ""
    return f"{month_name(movement.month)} moved by {amount} since it was closed on {closed_on}{because}"


def _signed(amount: Decimal, currency: str) -> str:
    """``+1.50 EUR``, ``−3.20 EUR`` (with a minus sign, not a hyphen); in coins, or as many decimals as it takes."""
    sign = "−" if amount < 0 else "+" if amount > 0 else ""
    return f"{sign}{show_exact(abs(amount), currency)} {currency}".rstrip()


_MOVED = (
    CONNECTION,
    ACCOUNT,
    Column("cost_centre", "Cost centre"),
    Column("charge_kind", "Kind of charge"),
    CURRENCY,
    Column("as_closed", "As closed", Kind.MONEY),
    Column("now", "Now", Kind.MONEY),
    Column("moved", "Moved by", Kind.MONEY, 4, worse=1),
)
_SINCE_CLOSE = (
    Column("window_date", "Day", Kind.DATE),
    CONNECTION,
    ACCOUNT,
    Column("stream", "What"),
    Column("kind", "What happened"),
    Column("restated_at", "Restated at", Kind.DATETIME),
    Column("before_cost", "Cost before", Kind.MONEY, 4),
    Column("after_cost", "Cost after", Kind.MONEY, 4),
    Column("cost_effect", "Effect on the month", Kind.MONEY, 4, worse=1),
    CURRENCY,
    Column("record_id", "Record"),
)


def _moved(reader: Reader) -> Section:
    answers = reader.all(
        "SELECT grouping(connection), connection, account_id, cost_centre, charge_kind, currency, "
        "sum(as_closed), sum(now), sum(moved) FROM mart.month_movement WHERE month = $first "
        "GROUP BY GROUPING SETS ((connection, account_id, cost_centre, charge_kind, currency), (currency)) ORDER BY ALL"
    )
    rows = [reader.row(answer[1:], _MOVED) for answer in answers if not answer[0] and answer[8]]
    totals = tuple((f"Total {answer[5]}", *answer[2:]) for answer in answers if answer[0])
    note = "What moved since the month was closed; the totals are of the whole month."
    return Section("proof_moved", "Closed? What moved since", _MOVED, rows, len(rows), totals, (note,))


def _since_close(reader: Reader) -> tuple[Section, Section]:
    sql = (
        "SELECT window_date, connection, account_id, stream, kind, epoch_us(restated_at) AS restated_at, "
        "before_cost, after_cost, cost_effect, currency, record_id "
        "FROM audit.restatement_since_close WHERE month = $first"
    )
    return _whole_and_largest(
        reader,
        sql,
        _SINCE_CLOSE,
        order="restated_at, window_date, connection, account_id, stream, record_id, kind",
        size="abs(coalesce(cost_effect, 0))",
        whole=("since_close", "Since close", "Records that were changed, added or gone after the close."),
        largest=("proof_since_close", "Largest changes since closed"),
    )


# --- reconciled? ------------------------------------------------------------------------------------------------------

_CONTROLS = (
    CONNECTION,
    VENDOR,
    Column("check_name", "Check"),
    Column("compares", "What is compared"),
    Column("matched", "Matched", Kind.INT),
    Column("variance", "Variance", Kind.INT),
    Column("unavailable", "Unavailable", Kind.INT),
)


def _controls(reader: Reader) -> Section:
    answers = reader.all(
        "SELECT grouping(connection), connection, vendor, check_name, min(compares) AS compares, "
        "count(*) FILTER (status = 'matched'), count(*) FILTER (status = 'variance'), "
        "count(*) FILTER (status = 'unavailable') "
        "FROM audit.control_total WHERE window_date >= $first AND window_date < $next "
        "GROUP BY GROUPING SETS ((connection, vendor, check_name), ()) ORDER BY ALL"
    )
    rows = [reader.row(answer[1:], _CONTROLS) for answer in answers if not answer[0]]
    totals = tuple(("Total", *answer[2:]) for answer in answers if answer[0]) if rows else ()
    note = (
        "Matched: what the vendor itself adds up, such as a day's cost or calls, is what its records add up to here. "
        "Unavailable: the vendor gave no figure of its own."
    )
    return Section(
        "proof_reconciled", "Reconciled? Vendors' control totals", _CONTROLS, rows, len(rows), totals, (note,)
    )


_CLASSES = ("exact", "within_tolerance", "not_compared", "mismatch", "only_theirs", "only_ours")
_EXTENSIONS = (
    CONNECTION,
    Column("pbx_connection", "PBX"),
    Column("extension_days", "Extensions and days", Kind.INT),
    Column("exact", "Exact", Kind.INT),
    Column("within_tolerance", "Within tolerance", Kind.INT),
    Column("not_compared", "Not compared", Kind.INT),
    Column("mismatch", "Mismatch", Kind.INT),
    Column("only_theirs", "Only TIM4biz", Kind.INT),
    Column("only_ours", "Only the PBX", Kind.INT),
)


def _extensions(reader: Reader) -> Section:
    """Days of extensions by class; one that only TIM4biz has is of no PBX."""
    counts = ", ".join(f"count(*) FILTER (class = '{name}')" for name in _CLASSES)
    sql = (
        f"SELECT connection, pbx_connection, count(*), {counts} FROM mart.extension_reconciliation "
        "WHERE call_date >= $first AND call_date < $next GROUP BY connection, pbx_connection ORDER BY ALL"
    )
    note = "TIM4biz's totals against the PBX's own calls, one count for each extension and day."
    return listing(reader, "proof_extensions", "Reconciled? TIM4biz against the PBX", _EXTENSIONS, sql, notes=(note,))


_VARIANCES = (
    Column("window_date", "Day", Kind.DATE),
    CONNECTION,
    ACCOUNT,
    Column("check_name", "Check"),
    Column("subject", "Subject"),
    Column("ours", "Ours", Kind.QUANTITY),
    Column("theirs", "Vendor's", Kind.QUANTITY),
    Column("difference", "Difference", Kind.QUANTITY),
    CURRENCY,
    Column("compares", "What is compared"),
)


def _variances(reader: Reader) -> tuple[Section, Section]:
    sql = (
        "SELECT window_date, connection, account_id, check_name, subject, ours, theirs, difference, currency, compares "
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
        count = variances.row_count
        text = f"{count:,} of the vendors' own control totals differ{'s' if count == 1 else ''} from ours."
        return [Flag(Level.ALARM, "NOT RECONCILED", text)]
    matched, unavailable = (controls.totals[0][n] for n in (4, 6)) if controls.totals else (0, 0)
    if not matched:
        return [Flag(Level.WARNING, "NOT PROVEN", "No vendor gave a control total to check this month against.")]
    also = f"; {unavailable:,} were not to be had" if unavailable else ""
    return [Flag(Level.OK, "RECONCILED", f"All {matched:,} of the vendors' own control totals equal ours{also}.")]


def _extension_flags(extensions: Section) -> list[Flag]:
    apart = sum(int(str(row[n] or 0)) for row in extensions.rows for n in (5, 6, 7))
    if not apart:
        return []
    text = f"{apart:,} days of extensions in TIM4biz do not agree with the PBX: see mart.extension_reconciliation."
    return [Flag(Level.WARNING, "TIM4BIZ DIFFERS", text)]


def _tie_out_flags(reader: Reader) -> list[Flag]:
    (broken,) = reader.one(
        "SELECT count(*) FROM audit.tie_out WHERE difference <> 0 AND "
        "(tie_date IS NULL OR (tie_date >= $first AND tie_date < $next))"
    )
    sums = "sum of this database differs" if broken == 1 else "sums of this database differ"
    text = f"{broken:,} {sums} from the records added up: do not use it."
    return [Flag(Level.ALARM, "NOT TIED OUT", text)] if broken else []


# --- restated? --------------------------------------------------------------------------------------------------------

_RESTATED = (
    Column("kind", "What happened"),
    CURRENCY,
    Column("records", "Records", Kind.INT),
    Column("after_month_end", "After the month's end", Kind.INT),
    Column("cost_effect", "Effect on cost", Kind.MONEY, worse=1),
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
    Column("cost_effect", "Effect on cost", Kind.MONEY, 4, worse=1),
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
    changed = f"{_records(records)} changed after the first reading{effect}."
    return [Flag(Level.WARNING, "RESTATED", changed)]


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
    text = f"{_records(int(str(records)))} could not be understood; no figure includes what they say."
    return [Flag(Level.WARNING, "LEFT OUT", text)]


def _records(count: int, what: str = "record") -> str:
    """``1 record``, ``1,200 records``."""
    return f"{count:,} {what}{'s' if count != 1 else ''}"


def _amount_flags(reader: Reader, reporting_currency: str) -> list[Flag]:
    flags = []
    (unrated,) = reader.one("SELECT sum(unrated) FROM mart.cost_monthly WHERE month = $first")
    if unrated:
        text = f"{_records(unrated)} without a cost from the vendor: unknown, not free."
        flags.append(Flag(Level.WARNING, "UNRATED", text))
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


# --- finance's own files ----------------------------------------------------------------------------------------------

_REFERENCE = (
    Column("file", "File"),
    Column("line", "Line", Kind.INT),
    Column("kind", "What"),
    Column("reason", "Why"),
    Column("suggestion", "Did you mean"),
)


def _reference(reader: Reader) -> Section:
    answers = reader.all(
        "SELECT file, line, kind, reason, suggestion FROM audit.reference_notice WHERE month = $first "
        "ORDER BY kind = 'unmatched', file, line"
    )
    rows = [reader.row((file, line, kind.replace("_", " "), *rest), _REFERENCE) for file, line, kind, *rest in answers]
    note = (
        "Unknown: it names what is not there, or otherwise than elsewhere. Old rate: more than 45 days old when it was "
        "used. Unmatched: nothing in the month was what it is for."
    )
    return Section("proof_reference", "Finance's files: to look at", _REFERENCE, rows, len(rows), (), (note,))


def _reference_flags(reference: Section) -> list[Flag]:
    unmatched = sum(row[2] == "unmatched" for row in reference.rows)
    wrong = reference.row_count - unmatched
    if not wrong:
        return []
    also = f"; {unmatched:,} more matched nothing" if unmatched else ""
    name = "names what is not there, or is a rate" if wrong == 1 else "name what is not there, or are rates"
    text = f"{_records(wrong, 'line')} of finance's files {name} too old{also}: see “{reference.title}”."
    return [Flag(Level.WARNING, "FINANCE'S FILES", text)]
