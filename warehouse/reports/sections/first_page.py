"""The first page: the state of the month in flags, headlines and charts."""

from collections.abc import Iterator
from decimal import Decimal

from warehouse.reports.model import (
    Chart,
    ChartKind,
    Flag,
    Headline,
    Level,
    Section,
    Value,
    month_name,
    show_money,
    show_percent,
)
from warehouse.reports.proof import Proof
from warehouse.reports.query import Reader
from warehouse.reports.sections.calls import share_of_long
from warehouse.reports.sections.costs import WHOLE_BUDGET
from warehouse.reports.sections.tables import fraction


def flags(reader: Reader, proof: Proof) -> tuple[Flag, ...]:
    if reader.parameters["has_now"]:
        return (*proof.flags, *_unallocated_flags(reader), *_long_flags(reader))
    (calls,) = reader.one("SELECT count(*) FROM core.cdr WHERE call_date >= $first AND call_date < $next")
    text = f"There is no charge in {month_name(reader.first)}" + (
        f", though {calls:,} call records." if calls else ", nor any call record."
    )
    return (Flag(Level.ALARM, "NO DATA", text), *proof.flags)


def _unallocated_flags(reader: Reader) -> Iterator[Flag]:
    left = reader.all(
        "SELECT currency, sum(cost), string_agg(DISTINCT rule, ', ' ORDER BY rule) FROM mart.chargeback "
        "WHERE month = $first AND method <> 'direct' AND driver_total = 0 GROUP BY currency ORDER BY currency"
    )
    if left:
        amounts = ", ".join(show_money(cost, currency or "without currency") for currency, cost, _ in left)
        rules = ", ".join(dict.fromkeys(rules for *_, rules in left))
        text = f"{amounts} charged to no cost centre: nothing in the month to divide by ({rules})."
        yield Flag(Level.WARNING, "UNALLOCATED", text)


def _long_flags(reader: Reader) -> Iterator[Flag]:
    share = share_of_long(reader)
    if share:
        yield Flag(Level.WARNING, "LONG CALLS", f"Calls that were probably never hung up, see Long calls. {share}")


def not_loaded_before(reader: Reader) -> list[str]:
    """The month's connections of which no day of the month before was ever loaded: what they cost in it is unknown."""
    connections = reader.all(
        "SELECT connection FROM audit.load WHERE window_from IS NOT NULL AND status <> 'failed' "
        "AND connection IN (SELECT connection FROM mart.cost_monthly WHERE month = $first) GROUP BY connection "
        "HAVING NOT bool_or(window_from < $first AND window_to >= $before) ORDER BY connection"
    )
    return [connection for (connection,) in connections]


def headlines(reader: Reader, by_vendor: Section, money: str, unknown: str) -> tuple[Headline, ...]:
    names = [column.name for column in by_vendor.columns]
    now, before, change = names.index("cost"), names.index("cost_before"), names.index("cost_change")
    (total, total_before) = reader.one(
        "SELECT sum(reporting_cost) FILTER (month = $first), sum(reporting_cost) FILTER (month = $before) "
        "FROM mart.cost_monthly WHERE month IN ($first, $before)"
    )
    cards = [Headline(f"All cost in {money}", _amount(total, money), _against(total, total_before, money, unknown))]
    for row in by_vendor.totals:
        currency = row[names.index("currency")]
        if currency and (row[now] or row[before]):  # else there is but a budget in it
            left_out = unknown if row[change] is None else ""
            detail = _against(row[now], row[before], str(currency), left_out)
            cards.append(Headline(f"Billed in {currency}", _amount(row[now], str(currency)), detail))
    (budget,) = reader.one(f"SELECT {WHOLE_BUDGET} FROM mart.budget WHERE month = $first")
    if budget is not None:
        used = fraction(total, budget)
        detail = f"{show_percent(used)} of it used" if used is not None else "nothing to compare with"
        if total is not None and total > budget:
            detail += f", {show_money(total - budget, money)} over"
        cards.insert(1, Headline(f"Budget in {money}", show_money(budget, money), detail))
    calls, answered, talk = reader.one(
        "SELECT coalesce(sum(calls), 0)::BIGINT, coalesce(sum(answered), 0)::BIGINT, "
        "coalesce(sum(talk_seconds), 0)::BIGINT FROM mart.usage_daily WHERE call_date >= $first AND call_date < $next"
    )
    hours, minutes = divmod(round(Decimal(talk) / 60), 60)
    cards.append(Headline("Calls", f"{calls:,}", f"{answered:,} answered, {hours:,} h {minutes} min talked"))
    return tuple(cards)


def _amount(value: Value, currency: str) -> str:
    return show_money(value, currency) if isinstance(value, Decimal) else "no amount"


def _against(now: Value, before: Value, currency: str, unknown: str) -> str:
    if not isinstance(before, Decimal):
        return f"month before not loaded: {unknown}" if unknown else "nothing to compare with in the month before"
    if unknown:
        return f"{show_money(before, currency)} the month before, without {unknown}"
    change = fraction(now - before, before) if isinstance(now, Decimal) and before > 0 else None
    sign = "+" if change is not None and change > 0 else ""
    return f"{show_money(before, currency)} the month before" + (
        f", {sign}{show_percent(change)}" if change is not None else ""
    )


def charts(by_day: Section, share: Section, busy: Section, money: str) -> tuple[Chart, ...]:
    kinds = tuple(range(1, len(by_day.columns) - 1))
    return (
        Chart("Cost by day and kind of charge", ChartKind.STACKED, by_day, 0, kinds, money),
        Chart("Cost by cost centre", ChartKind.BARS, share, 0, (1,), money),
        Chart("Traffic by hour of the day", ChartKind.COLUMNS, busy, 0, (3,), "erlangs: calls up at once, on average"),
    )
