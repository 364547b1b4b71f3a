"""The tables of ``audit``: what was loaded, what was proved, what was restated, what could not be understood.

What lives here: their columns, keys and days. What does not: how they are filled: those that rest in the lake by
``assets``, the others when the database is updated.
"""

from warehouse.schema.marts import MARTS
from warehouse.schema.types import (
    ACCOUNT,
    CLOSED_AT,
    CLOSED_BY_LOAD,
    CONNECTION,
    CURRENCY,
    INSTANT,
    MONEY,
    MONTH,
    TOTAL,
    VENDOR,
    Column,
    Table,
)

CONTROL_TOTAL = Table(
    "audit",
    "control_total",
    "One row per window, account and check: our figure beside the vendor's own",
    (
        Column(
            "window_date",
            "DATE",
            "Business day that was checked; invoices: date of issue; other lists: the day they were read; several days "
            "at once (stretch_…): the first of them",
        ),
        VENDOR,
        CONNECTION,
        ACCOUNT,
        Column("check_name", "VARCHAR", "Name of the check"),
        Column("compares", "VARCHAR", "What the check compares, in words"),
        Column(
            "subject",
            "VARCHAR",
            "What exactly: an invoice, a bundle, a list, a stretch of days (first..last); else empty",
        ),
        Column("ours", TOTAL, "Our figure; what of it was let pass is said in compares"),
        Column("theirs", TOTAL, "The vendor's figure; NULL when unavailable"),
        Column("difference", TOTAL, "ours − theirs"),
        Column("currency", "VARCHAR", "ISO 4217 code of the figures; NULL where they are numbers, seconds or minutes"),
        Column("status", "VARCHAR", "matched, variance or unavailable"),
        Column("stream", "VARCHAR", "Stream of the lake it belongs to"),
        Column("fetched_at", INSTANT, "When the vendor's figure was read"),
    ),
    key=("window_date", "connection", "account_id", "check_name", "subject"),
    date_column="window_date",
    in_lake=True,
)

QUARANTINE = Table(
    "audit",
    "quarantine",
    "One row per record that could not be understood; it stays in raw",
    (
        Column("window_date", "DATE", "Business day of the window"),
        VENDOR,
        CONNECTION,
        ACCOUNT,
        Column("stream", "VARCHAR", "Stream of the lake"),
        Column("reason", "VARCHAR", "Why, without the record's contents"),
        Column("raw_file", "VARCHAR", "Landed file, relative to the data directory"),
        Column("page", "INTEGER", "Answer within the file, from 1"),
        Column("raw_row", "BIGINT", "Number of the record within the file, from 1"),
        Column("fetched_at", INSTANT, "When it was read"),
    ),
    key=("raw_file", "raw_row", "reason"),
    date_column="window_date",
    in_lake=True,
)

RESTATEMENT = Table(
    "audit",
    "restatement",
    "One row per record that a later reading changed, added or no longer had; of one whose currency changed, two",
    (
        Column("window_date", "DATE", "Business day of the record; lists: the day of the earlier reading"),
        VENDOR,
        CONNECTION,
        ACCOUNT,
        Column("stream", "VARCHAR", "Stream of the lake"),
        Column("record_id", "VARCHAR", "cdr_id, sms_id, invoice_id, …"),
        Column("kind", "VARCHAR", "changed, new or vanished"),
        Column("first_seen_at", INSTANT, "When the earlier state was first seen; NULL for a new record"),
        Column(
            "restated_at", INSTANT, "When the reading, or the rebuild with other settings, that restates it was made"
        ),
        Column("columns_changed", "VARCHAR", "Names of the columns that differ, comma-separated; NULL unless changed"),
        Column("before_cost", MONEY, "Cost before; NULL = unrated or not there"),
        Column("after_cost", MONEY, "Cost after; NULL = unrated or not there"),
        Column("cost_effect", MONEY, "What it does to the sum of cost"),
        CURRENCY,
        Column("before", "VARCHAR", "The changed columns before, as JSON; NULL for a new record"),
        Column("after", "VARCHAR", "The changed columns after, as JSON; NULL for a vanished record"),
    ),
    key=("stream", "connection", "record_id", "kind", "restated_at", "currency"),
    date_column="window_date",
    in_lake=True,
)

LOAD = Table(
    "audit",
    "load",
    "One row per load, connection, stream and window",
    (
        Column("load_id", "VARCHAR", "The load; when it was begun by the clock, and by which run"),
        Column(
            "sequence",
            "BIGINT",
            "Number of the load: of two the later one has the higher, whatever the clock said; 0 for loads that were "
            "recorded before there were numbers, which are in the order of load_id",
        ),
        Column("started_at", INSTANT, "When the load of the window began"),
        Column("finished_at", INSTANT, "When it ended"),
        VENDOR,
        CONNECTION,
        Column("stream", "VARCHAR", "Stream of the lake"),
        Column("window_from", "DATE", "First business day asked for"),
        Column("window_to", "DATE", "Last business day asked for"),
        Column("status", "VARCHAR", "loaded, unchanged or failed"),
        Column("rows", "BIGINT", "Records read"),
        Column("pages", "BIGINT", "Answers landed"),
        Column("requests", "BIGINT", "Requests made, retries included"),
        Column("bytes", "BIGINT", "Bytes of the landed responses"),
        Column("out_of_window", "BIGINT", "Records the vendor sent that belong to another day; not counted in rows"),
        Column("quarantined", "BIGINT", "Records that could not be understood"),
        Column("error_type", "VARCHAR", "Kind of error; NULL when it did not fail"),
        Column("error", "VARCHAR", "What went wrong, without secrets, numbers or names"),
        Column("warnings", "VARCHAR", "What was odd, one sentence a line; NULL when nothing was"),
    ),
    key=("load_id", "connection", "stream", "window_from"),
)

TIE_OUT = Table(
    "audit",
    "tie_out",
    "One row per mart, measure, day and currency: the mart against the fact it was summed from",
    (
        Column("mart", "VARCHAR", "The mart"),
        Column("tie_date", "DATE", "Business day (month for a monthly mart); NULL for one without days"),
        Column("measure", "VARCHAR", "calls, legs, seconds, cost, …"),
        Column("currency", "VARCHAR", "Currency of a cost; empty for other measures"),
        Column("fact", MONEY, "From the fact"),
        Column("in_mart", MONEY, "From the mart"),
        Column("difference", MONEY, "in_mart − fact; must be 0"),
    ),
    key=("mart", "tie_date", "measure", "currency"),
    date_column="tie_date",
    reads=tuple(mart.full_name for mart in MARTS if mart.tied_out),
)

COVERAGE = Table(
    "audit",
    "coverage",
    "One row per connection, stream and business day, from the stream's first loaded day to the newest of any stream",
    (
        Column("coverage_date", "DATE", "Business day"),
        VENDOR,
        CONNECTION,
        Column("stream", "VARCHAR", "Stream of the lake that is read by the day; lists are not"),
        Column(
            "state",
            "VARCHAR",
            "loaded; partial: last read before the day had ended; stale: its latest reading failed after an earlier "
            "good one; missing: never loaded, or every reading failed",
        ),
        Column("rows", "BIGINT", "Records of the day in core; NULL when missing"),
        Column(
            "typical_rows",
            "BIGINT",
            "Median (of two middle ones the lower) of rows on the same weekday of the 8 weeks before, of the days "
            "that are loaded; NULL with fewer than 3 of them",
        ),
        Column(
            "is_unusual",
            "BOOLEAN",
            "Whether rows is below half of typical_rows or above twice, and their square roots are more than 4 apart, "
            "which is beyond chance; NULL where the day is missing or partial, or typical_rows is NULL",
        ),
        Column("last_read_at", INSTANT, "When the last good reading of the day began; NULL when missing"),
        Column(
            "load_id", "VARCHAR", "The latest load that asked for the day, also one that failed; NULL when none did"
        ),
    ),
    key=("coverage_date", "connection", "stream"),
    date_column="coverage_date",
    reads=("core.cdr", "core.sms", "core.extension_total"),  # what is read by the day
)

MONTH_CLOSE = Table(
    "audit",
    "month_close",
    "One row per close of a month: a month that was reopened has several, and the latest counts",
    (
        MONTH,
        Column(
            "version", "INTEGER", "1 for the first close, one more each time the month was reopened and closed again"
        ),
        CLOSED_AT,
        CLOSED_BY_LOAD,
        Column("is_current", "BOOLEAN", "Whether it is the latest close, whose figures the marts show"),
        Column("rows", "BIGINT", "Rows of mart.cost_monthly that were frozen"),
        Column("despite", "VARCHAR", "What was incomplete or unproven when it was closed all the same; NULL: nothing"),
        Column("file", "VARCHAR", "The frozen figures, relative to the data directory; NULL when there were none"),
        Column("sha256", "VARCHAR", "SHA-256 of the file"),
    ),
    key=("month", "version"),
    date_column="month",
)

RESTATEMENT_SINCE_CLOSE = Table(
    "audit",
    "restatement_since_close",
    "One row per restatement of a closed month made after its latest close, and per month that it concerns",
    (
        Column("month", "DATE", "First day of the closed month"),
        CLOSED_AT,
        *(
            column
            for column in RESTATEMENT.columns
            if column.name not in ("first_seen_at", "cost_effect", "before", "after")
        ),
        Column(
            "cost_effect",
            MONEY,
            "What it does to the month's cost in mart.cost_monthly; 0 for TIM4biz totals, which are no charge; an "
            "invoice that was moved to another month leaves one and enters the other",
        ),
    ),
    key=("month", "stream", "connection", "record_id", "kind", "restated_at", "currency"),
    date_column="month",
)

ERASURE = Table(
    "audit",
    "erasure",
    "One row per erased telephone number, time it was erased and table that held it",
    (
        Column("erasure_id", "VARCHAR", "The number in the register of erased ones; does not tell which it was"),
        Column("erased_at", INSTANT, "When it was erased"),
        Column("table_name", "VARCHAR", "Table that held it, by full name; raw: the landed responses"),
        Column("rows", "BIGINT", "Rows that held it; of raw, answers"),
    ),
    key=("erasure_id", "erased_at", "table_name"),
    date_column="erased_at",
)

REFERENCE_NOTICE = Table(
    "audit",
    "reference_notice",
    "One row per month with any charge and line of finance's files that is to be looked at",
    (
        MONTH,
        Column("file", "VARCHAR", "The file in reference_dir"),
        Column("line", "INTEGER", "Its line, the header being line 1"),
        Column(
            "kind",
            "VARCHAR",
            "unknown: it names what is not there, or in another way than elsewhere; unmatched: it matched nothing in "
            "the month; old_rate: charges were converted by a rate that was more than 45 days old",
        ),
        Column("reason", "VARCHAR", "Why, without quoting the file"),
        Column("suggestion", "VARCHAR", "What was probably meant; NULL where nothing is like it"),
    ),
    key=("month", "file", "line"),
    date_column="month",
)

AUDIT = (
    CONTROL_TOTAL,
    QUARANTINE,
    RESTATEMENT,
    LOAD,
    TIE_OUT,
    COVERAGE,
    MONTH_CLOSE,
    RESTATEMENT_SINCE_CLOSE,
    ERASURE,
    REFERENCE_NOTICE,
)
