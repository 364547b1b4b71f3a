"""What the vendors changed after the first reading."""

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
from warehouse.reports.sections.tables import ACCOUNT, CONNECTION, CURRENCY, IN_MONTH, whole_and_largest

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


def restatements(reader: Reader) -> tuple[Section, Section, Section]:
    answers = reader.all(
        "SELECT grouping(kind), kind, currency, count(*), "
        "count(*) FILTER (restated_at >= timezone($zone, $next::TIMESTAMP)), sum(cost_effect) "
        f"FROM audit.restatement WHERE {IN_MONTH} "
        "GROUP BY GROUPING SETS ((kind, currency), (currency)) ORDER BY ALL"
    )
    rows = [reader.row(answer[1:], _RESTATED) for answer in answers if not answer[0]]
    totals = tuple((f"Total {answer[2] or 'without currency'}", *answer[2:]) for answer in answers if answer[0])
    note = "Records that a later reading changed, added or no longer had; the report holds the later state."
    counted = Section("proof_restated", "Restated since first read?", _RESTATED, rows, len(rows), totals, (note,))
    sql = (
        "SELECT window_date, connection, account_id, stream, kind, epoch_us(restated_at) AS restated_at, "
        "columns_changed, before_cost, after_cost, cost_effect, currency, record_id "
        f"FROM audit.restatement WHERE {IN_MONTH}"
    )
    whole, largest = whole_and_largest(
        reader,
        sql,
        _RESTATEMENTS,
        order="restated_at, window_date, connection, account_id, stream, record_id, kind",
        size="abs(coalesce(cost_effect, 0))",
        whole=("restatements", "Restatements", note),
        largest=("proof_restatements", "Largest restatements"),
    )
    return counted, whole, largest


def restated_flags(restated: Section) -> list[Flag]:
    if not restated.totals:
        return []
    records = sum(int(str(row[2])) for row in restated.totals)
    effects = [
        show_money(row[4], str(row[1])) for row in restated.totals if isinstance(row[4], Decimal) and row[4] and row[1]
    ]
    effect = f"; effect on cost {', '.join(effects)}" if effects else "; no effect on cost"
    changed = f"{count_of(records)} changed after the first reading{effect}."
    return [Flag(Level.WARNING, "RESTATED", changed)]
