"""Is the month closed, and what has moved since it was."""

from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from warehouse.published import Movement
from warehouse.reports.model import (
    Column,
    Flag,
    Kind,
    Level,
    Section,
    month_name,
    show_date,
    show_exact,
)
from warehouse.reports.query import Reader
from warehouse.reports.sections.tables import ACCOUNT, CONNECTION, CURRENCY, whole_and_largest

_NAMED = 10  # records named of those that moved a month; audit.restatement_since_close has them all


def closed_flags(reader: Reader, movements: list[Movement], as_of: date | None) -> list[Flag]:
    (closed,) = reader.one(
        "SELECT max(timezone($zone, closed_at)::DATE) FROM audit.month_close WHERE is_current AND month = $first"
    )
    if movements:
        return [Flag(Level.WARNING, "MOVED", f"{movement_text(moved, reader.zone)}.") for moved in movements]
    if closed:
        return [Flag(Level.OK, "CLOSED", f"Closed on {show_date(closed)}; no figure has moved since.")]
    if as_of is None or as_of < reader.next - timedelta(days=1):
        return []  # PROVISIONAL says it
    return [
        Flag(
            Level.WARNING,
            "OPEN",
            f"{month_name(reader.first)} is not closed: figures change if a vendor corrects its records.",
        )
    ]


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


def moved(reader: Reader) -> Section:
    answers = reader.all(
        "SELECT grouping(connection), connection, account_id, cost_centre, charge_kind, currency, "
        "sum(as_closed), sum(now), sum(moved) FROM mart.month_movement WHERE month = $first "
        "GROUP BY GROUPING SETS ((connection, account_id, cost_centre, charge_kind, currency), (currency)) ORDER BY ALL"
    )
    rows = [reader.row(answer[1:], _MOVED) for answer in answers if not answer[0] and answer[8]]
    totals = tuple((f"Total {answer[5]}", *answer[2:]) for answer in answers if answer[0])
    note = "What moved since the month was closed; the totals are of the whole month."
    return Section("proof_moved", "Closed? What moved since", _MOVED, rows, len(rows), totals, (note,))


def since_close(reader: Reader) -> tuple[Section, Section]:
    sql = (
        "SELECT window_date, connection, account_id, stream, kind, epoch_us(restated_at) AS restated_at, "
        "before_cost, after_cost, cost_effect, currency, record_id "
        "FROM audit.restatement_since_close WHERE month = $first"
    )
    return whole_and_largest(
        reader,
        sql,
        _SINCE_CLOSE,
        order="restated_at, window_date, connection, account_id, stream, record_id, kind",
        size="abs(coalesce(cost_effect, 0))",
        whole=("since_close", "Since close", "Records that were changed, added or gone after the close."),
        largest=("proof_since_close", "Largest changes since closed"),
    )
