"""What is in no figure, and what is uncertain: records not understood, calls without a cost, amounts without a rate,
lines of finance's files that matched nothing."""

from decimal import Decimal

from warehouse.reports.model import (
    Column,
    Flag,
    Kind,
    Level,
    Section,
    count_of,
    show_money,
)
from warehouse.reports.query import Reader
from warehouse.reports.sections.tables import CONNECTION, IN_MONTH, VENDOR

_QUARANTINE = (
    CONNECTION,
    VENDOR,
    Column("stream", "What"),
    Column("reason", "Why it was not understood"),
    Column("records", "Records", Kind.INT),
)


def quarantine(reader: Reader) -> Section:
    answers = reader.all(
        "SELECT grouping(connection), connection, vendor, stream, reason, count(*) FROM audit.quarantine "
        f"WHERE {IN_MONTH} GROUP BY GROUPING SETS ((connection, vendor, stream, reason), ()) ORDER BY ALL"
    )
    rows = [reader.row(answer[1:], _QUARANTINE) for answer in answers if not answer[0]]
    totals = tuple(("Total", *answer[2:]) for answer in answers if answer[0]) if rows else ()
    note = "Records that could not be understood: they are kept as they came and are in no figure of this report."
    return Section("quarantine", "Not understood", _QUARANTINE, rows, len(rows), totals, (note,))


def quarantine_flags(quarantine: Section) -> list[Flag]:
    if not quarantine.totals:
        return []
    records = quarantine.totals[0][4]
    text = f"{count_of(int(str(records)))} could not be understood; no figure includes what they say."
    return [Flag(Level.WARNING, "LEFT OUT", text)]


def amount_flags(reader: Reader, reporting_currency: str) -> list[Flag]:
    flags = []
    (unrated,) = reader.one("SELECT sum(unrated) FROM mart.cost_monthly WHERE month = $first")
    if unrated:
        text = f"{count_of(unrated)} without a cost from the vendor: unknown, not free."
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


_REFERENCE = (
    Column("file", "File"),
    Column("line", "Line", Kind.INT),
    Column("kind", "What"),
    Column("reason", "Why"),
    Column("suggestion", "Did you mean"),
)


def reference(reader: Reader) -> Section:
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


def reference_flags(reference: Section) -> list[Flag]:
    unmatched = sum(row[2] == "unmatched" for row in reference.rows)
    wrong = reference.row_count - unmatched
    if not wrong:
        return []
    also = f"; {unmatched:,} more matched nothing" if unmatched else ""
    name = "names what is not there, or is a rate" if wrong == 1 else "name what is not there, or are rates"
    text = f"{count_of(wrong, 'line')} of finance's files {name} too old{also}: see “{reference.title}”."
    return [Flag(Level.WARNING, "FINANCE'S FILES", text)]
