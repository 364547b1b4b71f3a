"""What the month cost, by any keys: this month and the month before, in the currencies charged and converted.

Costs come from ``mart.cost_daily``, or, as the cost centres are charged for them, from ``mart.chargeback``; every cost
section that covers all charges therefore adds up to the month in the marts. A sum never crosses currencies: only
amounts converted to the reporting currency are added over all rows. In the comparison with the month before, a row
without any charge in a month cost 0 in it; a month without any charge at all, or one that the row's connection was not
loaded for, is unknown and stays empty.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from warehouse.reports.countries import country_label
from warehouse.reports.model import Column, Kind, Row, Section, Value
from warehouse.reports.query import Reader
from warehouse.reports.sections.tables import ACCOUNT, CONNECTION, COST_CENTRE, CURRENCY, EXTENSIONS, VENDOR, fraction
from warehouse.schema import CHARGE_KINDS

# What the cost sections group: ``is_now`` says of a charge whether it is of this month or the one before.
_CHARGES = f"""
WITH {EXTENSIONS},
charges AS (
    SELECT c.*, cost_date >= $first AS is_now, extension_name, coalesce(department, 'No department') AS department,
        coalesce(a.name, c.account_id) AS account_name
    FROM mart.cost_daily c
    LEFT JOIN extensions e
        ON e.connection = c.connection AND e.account_id IS NOT DISTINCT FROM c.account_id AND e.extension = c.extension
    LEFT JOIN core.account a ON a.connection = c.connection AND a.account_id IS NOT DISTINCT FROM c.account_id
    WHERE cost_date >= $before AND cost_date < $next
)"""
# The same after allocation. What it could not allocate is charged to a cost centre of its own.
CHARGED = """
WITH charges AS (
    SELECT *, month = $first AS is_now FROM mart.chargeback WHERE month IN ($before, $first)
)"""
# A budget is no charge of any month (is_now is NULL), so it is never added to the costs.
_BUDGETED = """,
budgeted AS (
    SELECT * FROM charges UNION ALL BY NAME SELECT * FROM mart.budget WHERE month = $first
)"""
# The part of it that could be converted would look like the whole budget.
WHOLE_BUDGET = "CASE WHEN count(budget) = count(reporting_budget) THEN sum(reporting_budget) END"
# Whether part of the month's charges are of a connection that the month before was not loaded for.
IS_UNLOADED = "coalesce(bool_or(is_now AND list_contains($unloaded::VARCHAR[], connection)), false)"
# Calls stand beside the currency they are charged in; one whose legs differ in it has none.
USAGE = f"""
WITH {EXTENSIONS}
SELECT {{keys}}, currency, count(*), count(*) FILTER (outcome = 'answered'), sum(talk_seconds)::BIGINT
FROM (
    SELECT c.*, extension_name, coalesce(department, 'No department') AS department
    FROM core.call c LEFT JOIN extensions e
        ON e.connection = c.connection AND e.account_id IS NOT DISTINCT FROM c.account_id AND e.extension = c.extension
    WHERE call_date >= $first AND call_date < $next
) GROUP BY ALL ORDER BY ALL"""
USAGE_BY_COUNTRY = """
SELECT destination_country, 'call', currency, sum(calls)::BIGINT, sum(answered)::BIGINT, sum(talk_seconds)::BIGINT
FROM mart.destination_monthly WHERE month = $first
GROUP BY ALL ORDER BY ALL"""
USAGE_COLUMNS = (
    Column("calls", "Calls", Kind.INT),
    Column("answered", "Answered", Kind.INT),
    Column("talk_seconds", "Talk time", Kind.DURATION),
)


@dataclass(frozen=True)
class Key:
    """What a cost section is broken down by: a column, its SQL where that is not its name, how NULL or a code reads."""

    column: Column
    sql: str = ""
    label: Callable[[Any], str] | None = None

    @property
    def expression(self) -> str:
        return self.sql or self.column.name


def _or(text: str) -> Callable[[Any], str]:
    return lambda value: text if value is None else str(value)


BY_VENDOR = Key(VENDOR)
BY_CONNECTION = Key(CONNECTION)
BY_ACCOUNT = Key(ACCOUNT)
BY_ACCOUNT_NAME = Key(Column("account_name", "Account name"))
BY_COST_CENTRE = Key(COST_CENTRE)
BY_DEPARTMENT = Key(Column("department", "Department"))
BY_EXTENSION = Key(Column("extension", "Extension"), label=_or("No extension"))
BY_EXTENSION_NAME = Key(Column("extension_name", "Name"))
BY_KIND = Key(Column("charge_kind", "Charge"))
BY_DIRECTION = Key(Column("direction", "Direction"))
BY_COUNTRY = Key(Column("destination_country", "Country"), label=country_label)
# A measure of the grouped costs where it is not simply there; over all currencies there is no native amount.
_SHOWN = {
    "cost": "CASE WHEN is_grand = 0 THEN cost END",
    "cost_before": "CASE WHEN is_grand = 0 THEN cost_before END",
    "cost_change": "CASE WHEN is_grand = 0 AND NOT is_unloaded THEN cost - cost_before END",
    "reporting_change": "CASE WHEN NOT is_unloaded THEN reporting_cost - reporting_before END",
}


class Costs:
    """Cost sections: native and in the reporting currency, this month and the month before, by any keys."""

    def __init__(self, reader: Reader, reporting_currency: str) -> None:
        self.reader = reader
        self.reporting = reporting_currency
        self.measures = (
            Column("cost", "Cost", Kind.MONEY),
            Column("cost_before", "Month before", Kind.MONEY),
            Column("cost_change", "Change", Kind.MONEY, worse=1),
            Column("reporting_cost", f"In {reporting_currency}", Kind.MONEY),
            Column("reporting_before", f"Month before in {reporting_currency}", Kind.MONEY),
            Column("reporting_change", f"Change in {reporting_currency}", Kind.MONEY, worse=1),
        )
        self.counts = (Column("unrated", "Unrated", Kind.INT), Column("unconverted", "Unconverted", Kind.INT))

    def section(
        self,
        slug: str,
        title: str,
        *keys: Key,
        source: str = _CHARGES,
        where: str = "true",
        native: bool = False,
        usage: str = "",
        quantity: str = "",
        by_key: bool = False,
        notes: tuple[str, ...] = (),
    ) -> Section:
        """One row per key and currency, dearest first or ``by_key``, with a total per currency and one over all.

        ``usage`` is SQL for calls, answered calls and talk time by the same keys and currency. ``quantity`` names the
        column of messages or the like. ``source`` is what is added up, _CHARGES or CHARGED. ``native``: in the
        currencies charged only, because another section says the same in the reporting currency.
        """
        counts = USAGE_COLUMNS if usage else (Column("quantity", quantity, Kind.INT),) if quantity else ()
        measures_shown = [c for c in self.measures if not (native and c.name.startswith("reporting_"))]
        measured = (*measures_shown, *(self.counts if source is _CHARGES else ()))
        columns = (*(key.column for key in keys), CURRENCY, *counts, *measured)
        used = self._usage(usage, keys) if usage else {}
        spent = {currency: _summed(of for (_, other), of in used.items() if other == currency) for _, currency in used}
        spent_in_all = _summed(used.values())
        rows: list[Row] = []
        totals: list[Row] = []
        currencies = 0
        asked = [column.name for column in (*counts, *measured) if column not in USAGE_COLUMNS]
        for is_total, is_grand, *answer in self.reader.all(self._sql(source, keys, where, by_key, asked)):
            names, currency, measures = tuple(answer[: len(keys)]), answer[len(keys)], answer[len(keys) + 1 :]
            counted: tuple[Value, ...] = (None,) * len(counts)
            if quantity:
                counted, measures = (int(measures[0]),), measures[1:]
            if not is_total:
                if usage:
                    counted = used.pop((names, currency), counted)
                labels = tuple(self._label(key, name) for key, name in zip(keys, names, strict=True))
                rows.append(self.reader.row((*labels, currency, *counted, *measures), columns))
                continue
            blanks = (None,) * (len(keys) - 1)
            if not is_grand:
                currencies += 1
                counted = spent.get(currency, counted)
                totals.append((f"Total {currency or 'without currency'}", *blanks, currency, *counted, *measures))
            elif not native and (currencies > 1 or usage):
                if usage:
                    counted = spent_in_all
                totals.append((f"All, in {self.reporting}", *blanks, None, *counted, *measures))
        for (names, currency), counted in used.items():  # used but never charged, not even with an unrated record
            labels = tuple(self._label(key, name) for key, name in zip(keys, names, strict=True))
            rows.append(self.reader.row((*labels, currency, *counted, *(None,) * len(measured)), columns))
        return Section(slug, title, columns, rows, len(rows), tuple(totals) if rows else (), notes)

    def _usage(self, sql: str, keys: Sequence[Key]) -> dict[tuple[tuple[Any, ...], str | None], tuple[int, ...]]:
        """Calls, answered calls and seconds by keys and currency."""
        answers = self.reader.all(sql.format(keys=", ".join(key.expression for key in keys)))
        return {(answer[:-4], answer[-4]): answer[-3:] for answer in answers}

    @staticmethod
    def _label(key: Key, value: Any) -> Any:
        return key.label(value) if key.label else value

    @staticmethod
    def _sql(source: str, keys: Sequence[Key], where: str, by_key: bool, measured: Sequence[str]) -> str:
        names = ", ".join(key.expression for key in keys)
        order = names if by_key else f"reporting_cost DESC NULLS LAST, cost DESC NULLS LAST, {names}"

        def amount(column: str, condition: str, known: str) -> str:
            return (
                f"CASE WHEN count(*) FILTER ({condition}) > 0 THEN sum({column}) FILTER ({condition}) "
                f"WHEN {known} AND count(is_now) > 0 THEN 0::DECIMAL(38, 6) END"
            )

        before_known = f"$has_before AND NOT {IS_UNLOADED}"
        aggregates = {
            "quantity": "coalesce(sum(quantity) FILTER (is_now), 0)",
            "cost": amount("cost", "is_now", "$has_now"),
            "cost_before": amount("cost", "NOT is_now", before_known),
            "reporting_cost": amount("reporting_cost", "is_now", "$has_now"),
            "reporting_before": amount("reporting_cost", "NOT is_now", before_known),
            "unrated": "coalesce(sum(unrated) FILTER (is_now), 0)::BIGINT",
            "unconverted": "coalesce(sum(unconverted) FILTER (is_now), 0)::BIGINT",
        }
        grouped = ", ".join(
            f"{sql} AS {name}" for name, sql in aggregates.items() if name in {*measured, "reporting_cost"}
        )
        shown = ", ".join(_SHOWN.get(name, name) for name in measured)
        return f"""{source},
grouped AS (
    SELECT {names}, currency, grouping({keys[0].expression}) AS is_total, grouping(currency) AS is_grand, {grouped},
        {IS_UNLOADED} AS is_unloaded
    FROM charges WHERE {where}
    GROUP BY GROUPING SETS (({names}, currency), (currency), ())
)
SELECT is_total, is_grand, {names}, currency, {shown}
FROM grouped ORDER BY is_total, is_grand, {order}, currency"""


def _summed(counts: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sum(column) for column in zip(*counts, strict=True)) or (0,) * len(USAGE_COLUMNS)


def in_reporting(reader: Reader, money: str, slug: str, title: str, key: Key, note: str) -> Section:
    """One row per key, all currencies together: share, the month before, and the budget, in whatever currency."""
    columns = (
        key.column,
        Column("reporting_cost", f"In {money}", Kind.MONEY),
        Column("share", "Share", Kind.PERCENT),
        Column("reporting_before", "Month before", Kind.MONEY),
        Column("reporting_change", "Change", Kind.MONEY, worse=1),
        Column("reporting_budget", "Budget", Kind.MONEY),
        Column("reporting_budget_left", "Budget left", Kind.MONEY, worse=-1),
        Column("budget_used", "Budget used", Kind.PERCENT),
    )
    answers = reader.all(f"""{CHARGED}{_BUDGETED},
sums AS (
    SELECT grouping({key.expression}) AS is_total, {key.expression} AS name,
        sum(reporting_cost) FILTER (is_now) AS now, count(*) FILTER (is_now) AS charges,
        sum(reporting_cost) FILTER (NOT is_now) AS before, count(*) FILTER (NOT is_now) AS charges_before,
        {IS_UNLOADED} AS is_unloaded, {WHOLE_BUDGET} AS budget
    FROM budgeted GROUP BY GROUPING SETS (({key.expression}), ())
)
SELECT is_total, name, CASE WHEN charges > 0 THEN now WHEN $has_now THEN 0::DECIMAL(38, 6) END AS spent,
    CASE WHEN charges_before > 0 THEN before WHEN $has_before AND NOT is_unloaded THEN 0::DECIMAL(38, 6) END,
    is_unloaded, budget
FROM sums ORDER BY is_total, spent DESC NULLS LAST, name""")
    whole = answers[-1][2]
    rows: list[Row] = []
    totals: list[Row] = []
    for is_total, name, now, before, is_unloaded, budget in answers:
        label = f"All, in {money}" if is_total else key.label(name) if key.label else name
        change = None if is_unloaded or None in (now, before) else now - before
        # A budget that is not by vendor is no vendor's to keep to: only the total is compared with it.
        if name is None and not is_total:
            continue
        row = reader.row((label, now, fraction(now, whole), before, change, budget, *left_of(now, budget)), columns)
        (totals if is_total else rows).append(row)
    return Section(slug, title, columns, rows, len(rows), tuple(totals) if rows else (), (note,))


def left_of(cost: Decimal | None, budget: Decimal | None) -> tuple[Decimal | None, Decimal | None]:
    """What is left of the budget (negative: it is exceeded), and how much of it is used."""
    return (budget - cost, fraction(cost, budget)) if cost is not None and budget is not None else (None, None)


def cost_by_day(reader: Reader, money: str) -> Section:
    answers = reader.all(
        "SELECT cost_date, charge_kind, sum(reporting_cost) FROM mart.cost_daily "
        "WHERE cost_date >= $first AND cost_date < $next "
        "GROUP BY GROUPING SETS ((cost_date, charge_kind), (charge_kind), (cost_date), ())"
    )
    sums = {(day, kind): cost for day, kind, cost in answers}
    kinds = [kind for kind in CHARGE_KINDS if sums.get((None, kind)) is not None]
    kinds += sorted({kind for _, kind in sums if kind is not None} - set(CHARGE_KINDS))
    columns = (
        Column("cost_date", "Day", Kind.DATE),
        *(Column(kind, kind.capitalize() if kind != "sms" else "SMS", Kind.MONEY) for kind in kinds),
        Column("total", "Total", Kind.MONEY),
    )
    days = [reader.first + timedelta(days=n) for n in range((reader.next - reader.first).days)]
    rows = [(day, *(sums.get((day, kind)) for kind in [*kinds, None])) for day in days] if kinds else []
    totals: tuple[Row, ...] = (("Total", *(sums.get((None, kind)) for kind in [*kinds, None])),) if rows else ()
    note = f"In {money}; invoices stand on the day of issue, bundles on the first day they are valid."
    return Section("cost_by_day", "Cost by day", columns, rows, len(rows), totals, (note,))
