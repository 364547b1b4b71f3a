"""What the report says: one function a section, each a question to the published database.

What lives here: the cost, usage, invoice and call sections, the headlines and the charts. What does not: the state of
the proof (``proof``) and any form (``xlsx``, ``html``, ``csv_files``).

Costs come from ``mart.cost_daily``, or, as the cost centres are charged for them, from ``mart.chargeback``; every cost
section that covers all charges therefore adds up to the month in the marts. A sum never crosses currencies: only
amounts converted to the reporting currency are added over all rows. In the comparison with the month before, a row
without any charge in a month cost 0 in it; a month without any charge at all, or one that the row's connection was not
loaded for, is unknown and stays empty.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from warehouse.reports.countries import country_label
from warehouse.reports.model import (
    Chart,
    ChartKind,
    Column,
    Flag,
    Headline,
    Kind,
    Level,
    Report,
    ReportSettings,
    Row,
    Section,
    Value,
    month_name,
    show_money,
    show_percent,
)
from warehouse.reports.proof import ACCOUNT, CONNECTION, CURRENCY, VENDOR, Proof, read_proof
from warehouse.reports.reader import Query, Reader
from warehouse.schema import CHARGE_KINDS

TOP_CALLS = 50

# One name and department for an extension: its telephone's, where several things share the number.
_EXTENSIONS = """
extensions AS (
    SELECT connection, account_id, extension,
        first(name ORDER BY type IS DISTINCT FROM 'phone', type, extension_id) AS extension_name,
        first(department ORDER BY department IS NULL, type IS DISTINCT FROM 'phone', type, extension_id) AS department
    FROM core.extension WHERE extension IS NOT NULL GROUP BY connection, account_id, extension
)"""

# What the cost sections group: ``is_now`` says of a charge whether it is of this month or the one before.
_CHARGES = f"""
WITH {_EXTENSIONS},
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
_CHARGED = """
WITH charges AS (
    SELECT *, month = $first AS is_now FROM mart.chargeback WHERE month IN ($before, $first)
)"""

# A budget is no charge of any month (is_now is NULL), so it is never added to the costs.
_BUDGETED = """,
budgeted AS (
    SELECT * FROM charges UNION ALL BY NAME SELECT * FROM mart.budget WHERE month = $first
)"""

# The part of it that could be converted would look like the whole budget.
_WHOLE_BUDGET = "CASE WHEN count(budget) = count(reporting_budget) THEN sum(reporting_budget) END"

# Whether part of the month's charges are of a connection that the month before was not loaded for.
_IS_UNLOADED = "coalesce(bool_or(is_now AND list_contains($unloaded::VARCHAR[], connection)), false)"

# Calls stand beside the currency they are charged in; one whose legs differ in it has none.
_USAGE = f"""
WITH {_EXTENSIONS}
SELECT {{keys}}, currency, count(*), count(*) FILTER (outcome = 'answered'), sum(talk_seconds)::BIGINT
FROM (
    SELECT c.*, extension_name, coalesce(department, 'No department') AS department
    FROM core.call c LEFT JOIN extensions e
        ON e.connection = c.connection AND e.account_id IS NOT DISTINCT FROM c.account_id AND e.extension = c.extension
    WHERE call_date >= $first AND call_date < $next
) GROUP BY ALL ORDER BY ALL"""

_USAGE_BY_COUNTRY = """
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
BY_COST_CENTRE = Key(Column("cost_centre", "Cost centre"))
BY_DEPARTMENT = Key(Column("department", "Department"))
BY_EXTENSION = Key(Column("extension", "Extension"), label=_or("No extension"))
BY_EXTENSION_NAME = Key(Column("extension_name", "Name"))
BY_KIND = Key(Column("charge_kind", "Charge"))
BY_DIRECTION = Key(Column("direction", "Direction"))
BY_COUNTRY = Key(Column("destination_country", "Country"), label=country_label)


@contextmanager
def read_report(database: Path, month: date, settings: ReportSettings, *, scratch: Path) -> Iterator[Report]:
    """The report of the month that ``month`` lies in; its long lists are read while the database stays open.

    ``scratch`` is a private folder for what does not fit in memory. Raises ContractError.
    """
    reader = Reader(database, month, settings.timezone, scratch)
    try:
        yield _report(reader, settings)
    finally:
        reader.close()


def _report(reader: Reader, settings: ReportSettings) -> Report:
    has_now, has_before = reader.one(
        "SELECT bool_or(month = $first), bool_or(month = $before) FROM mart.cost_monthly "
        "WHERE month IN ($first, $before)"
    )
    reader.parameters |= {"has_now": bool(has_now), "has_before": bool(has_before)}
    (budgets,) = reader.one("SELECT count(*) FROM mart.budget WHERE month = $first")
    unloaded = _not_loaded_before(reader)
    reader.parameters["unloaded"] = unloaded
    unknown = ", ".join(unloaded)
    before = (
        f" The month before was not loaded for {unknown}: no change is shown where they have a part." if unknown else ""
    )
    against = (
        f"All currencies together, as far as they could be converted to {settings.reporting_currency}. "
        + (
            "Budget left: negative where it is exceeded; what is not for one vendor is compared in all."
            if budgets
            else "No budget is given for this month."
        )
        + before
    )
    centres = (
        "As charged. Unassigned: nobody's cost centre is known. Unallocated: a shared cost for which finance's rule "
        f"found nothing to divide by. {against}"
    )
    native = f"In the currencies charged.{before}"
    money = settings.reporting_currency
    proof = read_proof(reader, settings)
    costs = _Costs(reader, money)
    vendors = _in_reporting(reader, money, "vendor_share", f"Vendors in {money}", BY_VENDOR, against)
    share = _in_reporting(reader, money, "cost_centre_share", f"Cost centres in {money}", BY_COST_CENTRE, centres)
    counted = f"Unrated: records without a cost. Unconverted: charges without an exchange rate to {money}."
    by_vendor = costs.section("cost_by_vendor", "Cost by vendor", BY_VENDOR, native=True, notes=(native, counted))
    by_centre = costs.section(
        "cost_by_cost_centre",
        "Cost by cost centre",
        BY_COST_CENTRE,
        source=_CHARGED,
        native=True,
        by_key=True,
        notes=("As charged: shared costs are spread by finance's rules, see Chargeback.", native),
    )
    # Where all is in the reporting currency they would say again what the tables in it say.
    currency = [column.name for column in by_vendor.columns].index("currency")
    in_currencies = (by_vendor, by_centre) if any(row[currency] != money for row in by_vendor.rows) else ()
    by_day = _cost_by_day(reader, money)
    busy = _busy_hours(reader)
    return Report(
        reader.first,
        proof.as_of,
        settings.timezone,
        money,
        _flags(reader, proof),
        _headlines(reader, by_vendor, money, unknown),
        _charts(by_day, share, busy, money),
        (
            vendors,
            share,
            *in_currencies,
            costs.section("cost_by_charge", "Cost by kind of charge", BY_KIND),
            *proof.first_page,
        ),
        (
            costs.section(
                "cost_centres",
                "Cost centres",
                BY_COST_CENTRE,
                BY_CONNECTION,
                BY_KIND,
                by_key=True,
                notes=("As incurred, before shared costs are spread.",),
            ),
            _chargeback(reader, money),
            _budget(reader, money),
            _journal(reader),
            costs.section("departments", "Departments", BY_DEPARTMENT, BY_CONNECTION, usage=_USAGE),
            costs.section(
                "extensions",
                "Extensions",
                BY_EXTENSION,
                BY_EXTENSION_NAME,
                BY_CONNECTION,
                BY_ACCOUNT,
                BY_DEPARTMENT,
                usage=_USAGE,
            ),
            costs.section(
                "destinations",
                "Destinations",
                BY_COUNTRY,
                BY_KIND,
                where="direction = 'outbound'",
                usage=_USAGE_BY_COUNTRY,
                notes=(
                    "Calls to outside parties, forwarded ones too, and messages sent; calls stand beside the currency "
                    "they are charged in.",
                ),
            ),
            costs.section(
                "connections",
                "Connections",
                BY_CONNECTION,
                BY_VENDOR,
                BY_ACCOUNT,
                BY_ACCOUNT_NAME,
                BY_KIND,
                BY_DIRECTION,
                by_key=True,
            ),
            costs.section(
                "sms",
                "SMS",
                BY_CONNECTION,
                BY_ACCOUNT,
                BY_ACCOUNT_NAME,
                BY_DIRECTION,
                BY_COUNTRY,
                where="charge_kind = 'sms'",
                quantity="Messages",
                by_key=True,
            ),
            _bundles(reader),
            _hosting_by_invoice(reader),
            _hosting_by_service(reader),
            _invoices(reader),
            _aging(reader),
            by_day,
            busy,
            _top_calls(reader, "top_calls_by_cost", "Top calls by cost", "cost DESC", per_currency=True),
            _top_calls(reader, "top_calls_by_duration", "Top calls by duration", "talk_seconds DESC"),
            _long_calls(reader),
            _unrated(reader),
            _reconciliation(reader),
            *proof.sections,
            _calls(reader),
        ),
    )


# --- costs ------------------------------------------------------------------------------------------------------------


# A measure of the grouped costs where it is not simply there; over all currencies there is no native amount.
_SHOWN = {
    "cost": "CASE WHEN is_grand = 0 THEN cost END",
    "cost_before": "CASE WHEN is_grand = 0 THEN cost_before END",
    "cost_change": "CASE WHEN is_grand = 0 AND NOT is_unloaded THEN cost - cost_before END",
    "reporting_change": "CASE WHEN NOT is_unloaded THEN reporting_cost - reporting_before END",
}


class _Costs:
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
        column of messages or the like. ``source`` is what is added up, _CHARGES or _CHARGED. ``native``: in the
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

        before_known = f"$has_before AND NOT {_IS_UNLOADED}"
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
        {_IS_UNLOADED} AS is_unloaded
    FROM charges WHERE {where}
    GROUP BY GROUPING SETS (({names}, currency), (currency), ())
)
SELECT is_total, is_grand, {names}, currency, {shown}
FROM grouped ORDER BY is_total, is_grand, {order}, currency"""


def _summed(counts: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sum(column) for column in zip(*counts, strict=True)) or (0,) * len(USAGE_COLUMNS)


def _in_reporting(reader: Reader, money: str, slug: str, title: str, key: Key, note: str) -> Section:
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
    answers = reader.all(f"""{_CHARGED}{_BUDGETED},
sums AS (
    SELECT grouping({key.expression}) AS is_total, {key.expression} AS name,
        sum(reporting_cost) FILTER (is_now) AS now, count(*) FILTER (is_now) AS charges,
        sum(reporting_cost) FILTER (NOT is_now) AS before, count(*) FILTER (NOT is_now) AS charges_before,
        {_IS_UNLOADED} AS is_unloaded, {_WHOLE_BUDGET} AS budget
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
        row = reader.row((label, now, _fraction(now, whole), before, change, budget, *_left_of(now, budget)), columns)
        (totals if is_total else rows).append(row)
    return Section(slug, title, columns, rows, len(rows), tuple(totals) if rows else (), (note,))


def _left_of(cost: Decimal | None, budget: Decimal | None) -> tuple[Decimal | None, Decimal | None]:
    """What is left of the budget (negative: it is exceeded), and how much of it is used."""
    return (budget - cost, _fraction(cost, budget)) if cost is not None and budget is not None else (None, None)


def _fraction(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    """``part / whole`` to four places; None where it means nothing."""
    return (part / whole).quantize(Decimal("0.0001")) if part is not None and whole else None


def _cost_by_day(reader: Reader, money: str) -> Section:
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


def _busy_hours(reader: Reader) -> Section:
    columns = (
        Column("hour", "Hour"),
        Column("calls", "Calls", Kind.INT),
        Column("answered", "Answered", Kind.INT),
        Column("erlangs", "Erlangs (mean of the days)", Kind.QUANTITY),
        Column("peak_concurrent", "Peak at once", Kind.INT),
    )
    answers = reader.all(
        "SELECT hour(timezone($zone, hour)) AS h, sum(calls)::BIGINT, sum(answered)::BIGINT, sum(erlangs), "
        "max(peak_concurrent) FROM mart.usage_hourly "
        "WHERE hour >= timezone($zone, $first::TIMESTAMP) AND hour < timezone($zone, $next::TIMESTAMP) GROUP BY h"
    )
    (days,) = reader.one(
        "SELECT count(DISTINCT timezone($zone, hour)::DATE) FROM mart.usage_hourly "
        "WHERE hour >= timezone($zone, $first::TIMESTAMP) AND hour < timezone($zone, $next::TIMESTAMP)"
    )
    found = {answer[0]: answer for answer in answers}
    rows: list[Row] = []
    for hour in range(24) if found else ():
        _, calls, answered, erlangs, peak = found.get(hour, (hour, 0, 0, Decimal(0), 0))
        mean = (erlangs / days).quantize(Decimal("0.000001"))
        rows.append((f"{hour:02}:00", calls, answered, mean, peak))
    totals: tuple[Row, ...] = ()
    if rows:
        calls, answered = (sum(int(str(row[n])) for row in rows) for n in (1, 2))
        totals = (("Total", calls, answered, None, None),)
    notes = (
        f"By the hour of the day, over {days} day{'s' if days != 1 else ''} with traffic.",
        "Erlangs: how many calls were up on average; 1 is one line in use all the hour. Peak at once: the most calls "
        "up at one moment on one account in one direction.",
    )
    return Section("busy_hours", "Busy hours", columns, rows, len(rows), totals, notes)


# --- chargeback, journal ----------------------------------------------------------------------------------------------


def _chargeback(reader: Reader, money: str) -> Section:
    columns = (
        BY_COST_CENTRE.column,
        VENDOR,
        CONNECTION,
        ACCOUNT,
        Column("charge_kind", "Charge"),
        CURRENCY,
        Column("cost", "Charged", Kind.MONEY),
        Column("reporting_cost", f"Charged in {money}", Kind.MONEY),
        Column("method", "Method"),
        Column("rule", "Rule"),
        Column("source_cost_centre", "Incurred by"),
        Column("pool_cost", "Amount divided", Kind.MONEY),
        Column("driver", "Driver", Kind.QUANTITY),
        Column("driver_total", "Driver of all", Kind.QUANTITY),
        Column("share", "Share", Kind.PERCENT),
        Column("calls_of", "Driver of"),
        Column("unit", "Divided in", Kind.QUANTITY),
    )
    names = ", ".join(column.name for column in columns)
    sql = f"SELECT {names} FROM mart.chargeback WHERE month = $first"
    (count,) = reader.one(f"SELECT count(*) FROM ({sql})")
    order = "method <> 'direct', rule, source_cost_centre"
    rows = Query(
        reader, f"{sql} ORDER BY cost_centre, vendor, connection, account_id, charge_kind, currency, {order}", columns
    )
    totals = []
    for is_grand, currency, cost, reporting in reader.all(
        "SELECT grouping(currency), currency, sum(cost), sum(reporting_cost) FROM mart.chargeback WHERE month = $first "
        "GROUP BY GROUPING SETS ((currency), ()) ORDER BY 1, 2"
    ):
        label = f"All, in {money}" if is_grand else f"Total {currency or 'without currency'}"
        values: dict[str, Value] = {"cost_centre": label, "currency": currency, "reporting_cost": reporting}
        if not is_grand:
            values["cost"] = cost
        totals.append(tuple(values.get(column.name) for column in columns))
    notes = (
        "Direct costs, and shared ones spread by the rules of allocation.csv: charged is the amount divided × driver / "
        "driver of all, in whole units; the units left over go to the largest remainders.",
        "The driver is calls, seconds talked, extensions or fixed shares, as the method says. Unallocated: the rule "
        "found nothing to divide by.",
    )
    return Section("chargeback", "Chargeback", columns, rows, count, tuple(totals) if count else (), notes)


def _budget(reader: Reader, money: str) -> Section:
    columns = (
        BY_COST_CENTRE.column,
        VENDOR,
        Column("charge_kind", "Charge"),
        Column("budget", "Budget", Kind.MONEY),
        CURRENCY,
        Column("cost", "Charged", Kind.MONEY),
        Column("cost_left", "Left", Kind.MONEY, worse=-1),
        Column("reporting_budget", f"Budget in {money}", Kind.MONEY),
        Column("reporting_cost", f"Charged in {money}", Kind.MONEY),
        Column("reporting_budget_left", f"Left in {money}", Kind.MONEY, worse=-1),
        Column("budget_used", "Budget used", Kind.PERCENT),
    )
    rows: list[Row] = []
    for answer in reader.all("""
SELECT b.cost_centre, coalesce(b.vendor, 'any'), coalesce(b.charge_kind, 'any'), b.budget, b.currency,
    CASE WHEN $has_now AND bool_and(c.currency IS NOT DISTINCT FROM b.currency OR c.month IS NULL)
    THEN coalesce(sum(c.cost), 0) END,
    b.reporting_budget, CASE WHEN $has_now THEN coalesce(sum(c.reporting_cost), 0) END
FROM mart.budget b LEFT JOIN mart.chargeback c
    ON c.month = b.month AND c.cost_centre = b.cost_centre
    AND coalesce(b.vendor = c.vendor, true) AND coalesce(b.charge_kind = c.charge_kind, true)
WHERE b.month = $first GROUP BY ALL ORDER BY ALL"""):
        *line, budget, currency, cost, reporting_budget, reporting_cost = answer
        left, used = _left_of(cost, budget)
        reporting_left, reporting_used = _left_of(reporting_cost, reporting_budget)
        compared = (cost, left, reporting_budget, reporting_cost, reporting_left, reporting_used or used)
        rows.append(reader.row((*line, budget, currency, *compared), columns))
    totals = _totals_by_currency(
        reader,
        "SELECT currency, sum(budget), sum(reporting_budget) FROM mart.budget WHERE month = $first "
        "GROUP BY currency ORDER BY currency",
        columns,
        ("budget", "reporting_budget"),
    )
    note = (
        "The lines of budgets.csv, each with what it is for: in its own currency where all of that is charged in it, "
        f"and as far as it could be converted to {money}."
    )
    return Section("budget", "Budget", columns, rows, len(rows), totals, (note,))


def _journal(reader: Reader) -> Section:
    columns = (
        Column("entry", "Entry"),
        Column("line", "Line", Kind.INT),
        Column("posting_date", "Posted on", Kind.DATE),
        Column("account", "Account"),
        BY_COST_CENTRE.column,
        Column("debit", "Debit", Kind.MONEY),
        Column("credit", "Credit", Kind.MONEY),
        CURRENCY,
        Column("description", "Description"),
        Column("document", "Document"),
        VENDOR,
        CONNECTION,
        Column("charge_kind", "Charge"),
        Column("role", "Role"),
    )
    sql = """
SELECT entry, line, posting_date, account, cost_centre, nullif(debit, 0), nullif(credit, 0), currency,
    description, document, vendor, connection, charge_kind, role
FROM mart.journal WHERE month = $first AND (debit <> 0 OR credit <> 0)"""
    (count,) = reader.one(f"SELECT count(*) FROM ({sql})")
    rows = Query(reader, f"{sql} ORDER BY entry, line", columns)
    totals = _totals_by_currency(
        reader,
        "SELECT currency, sum(debit), sum(credit) FROM mart.journal WHERE month = $first "
        "GROUP BY currency ORDER BY currency",
        columns,
        ("debit", "credit"),
    )
    notes = (
        "Double entry: in each entry debits equal credits. Accounts are those of accounts.csv, else names (INPUT-TAX).",
        "Calls cost fractions of a cent: an entry's total is rounded once, and its lines to that total.",
    )
    return Section("journal", "Journal", columns, rows, count, totals, notes, f"journal-{reader.first:%Y-%m}")


# --- bundles, hosting, invoices ---------------------------------------------------------------------------------------


def _bundles(reader: Reader) -> Section:
    columns = (
        CONNECTION,
        ACCOUNT,
        Column("name", "Bundle"),
        Column("status", "Status"),
        Column("valid_from", "Valid from", Kind.DATETIME),
        Column("valid_to", "Valid to", Kind.DATETIME),
        Column("inclusive_minutes", "Minutes included", Kind.INT),
        Column("used_minutes", "Used", Kind.INT),
        Column("available_minutes", "Left", Kind.INT),
        Column("used_share", "Used share", Kind.PERCENT),
        Column("price_monthly", "Price", Kind.MONEY),
        Column("charged", "Charged this month", Kind.MONEY),
        CURRENCY,
    )
    rows: list[Row] = []
    for answer in reader.all(
        "SELECT connection, account_id, name, status, epoch_us(valid_from), epoch_us(valid_to), inclusive_minutes, "
        "used_minutes, available_minutes, price_monthly, "
        "CASE WHEN valid_from_date >= $first AND valid_from_date < $next THEN price_monthly END, currency "
        "FROM core.bundle WHERE valid_from < timezone($zone, $next::TIMESTAMP) "
        "AND (valid_to IS NULL OR valid_to > timezone($zone, $first::TIMESTAMP)) "
        "ORDER BY connection, account_id, name, valid_from, bundle_id"
    ):
        included, used = answer[6], answer[7]
        share = _fraction(None if used is None else Decimal(used), included and Decimal(included))
        rows.append(reader.row((*answer[:9], share, *answer[9:]), columns))
    totals = _totals_by_currency(
        reader,
        "SELECT currency, sum(price_monthly) FROM core.bundle "
        "WHERE valid_from_date >= $first AND valid_from_date < $next GROUP BY currency ORDER BY currency",
        columns,
        ("charged",),
    )
    note = "A bundle is charged to the day its period begins."
    return Section("bundles", "Bundles", columns, rows, len(rows), totals if rows else (), (note,))


# The lines of the month's invoices, their tax, and what the lines leave of the subtotal: together what the month's
# hosting, tax, credit and fee charges are in mart.cost_daily.
_HOSTING = """
WITH counted AS (
    SELECT * FROM core.invoice WHERE counts_as_expense AND issued_on >= $first AND issued_on < $next
),
parts AS (
    SELECT i.connection, i.invoice_id, l.line_id, l.type, l.item_id, l.description, l.quantity, l.unit_amount,
        l.line_total - coalesce(l.credit_added, 0) AS amount, 0 AS part
    FROM counted i JOIN core.invoice_line l USING (connection, invoice_id)
    WHERE coalesce(l.credit_added, 0) = 0 OR l.credit_added <> l.line_total
    UNION ALL
    SELECT i.connection, i.invoice_id, NULL, 'Rest', NULL, 'Subtotal less the lines', NULL, NULL,
        i.subtotal - coalesce(sum(l.line_total), 0), 1
    FROM counted i LEFT JOIN core.invoice_line l USING (connection, invoice_id)
    GROUP BY i.connection, i.invoice_id, i.subtotal HAVING i.subtotal <> coalesce(sum(l.line_total), 0)
    UNION ALL
    SELECT connection, invoice_id, NULL, 'Tax', NULL, 'Tax', NULL, NULL, tax, 2 FROM counted WHERE tax <> 0
),
hosting AS (
    SELECT p.*, i.issued_on, i.number, i.status, i.currency, s.service_id, s.name AS service, s.domain
    FROM parts p JOIN counted i USING (connection, invoice_id)
    LEFT JOIN core.service s ON s.connection = p.connection AND s.service_id = p.item_id
)
"""
_HOSTING_TOTALS = f"{_HOSTING} SELECT currency, sum(amount) FROM hosting GROUP BY currency ORDER BY currency"


def _hosting_by_invoice(reader: Reader) -> Section:
    columns = (
        Column("issued_on", "Issued", Kind.DATE),
        CONNECTION,
        Column("number", "Invoice"),
        Column("status", "Status"),
        Column("type", "Line"),
        Column("service", "Service"),
        Column("domain", "Host"),
        Column("description", "Description"),
        Column("quantity", "Quantity", Kind.QUANTITY),
        Column("unit_amount", "Price of one", Kind.MONEY),
        Column("amount", "Amount", Kind.MONEY),
        CURRENCY,
    )
    answers = reader.all(
        f"{_HOSTING} SELECT issued_on, connection, number, status, type, service, domain, description, quantity, "
        "unit_amount, amount, currency FROM hosting ORDER BY issued_on, connection, invoice_id, part, line_id"
    )
    rows = [reader.row(answer, columns) for answer in answers]
    totals = _totals_by_currency(reader, _HOSTING_TOTALS, columns, ("amount",))
    note = "Invoices issued this month that count as an expense, tax included."
    return Section("hosting_by_invoice", "Hosting by invoice", columns, rows, len(rows), totals, (note,))


def _hosting_by_service(reader: Reader) -> Section:
    columns = (
        CONNECTION,
        Column("service", "Service"),
        Column("domain", "Host"),
        Column("lines", "Lines", Kind.INT),
        Column("amount", "Amount", Kind.MONEY),
        CURRENCY,
    )
    answers = reader.all(
        f"{_HOSTING} SELECT connection, if(part = 2, 'Tax', coalesce(service, 'No service')) AS what, "
        "domain, count(*), sum(amount) AS amount, currency FROM hosting "
        "GROUP BY connection, what, service_id, domain, currency ORDER BY connection, amount DESC, what, service_id, "
        "currency"
    )
    rows = [reader.row(answer, columns) for answer in answers]
    totals = _totals_by_currency(reader, _HOSTING_TOTALS, columns, ("amount",))
    return Section("hosting_by_service", "Hosting by service", columns, rows, len(rows), totals)


def _invoices(reader: Reader) -> Section:
    columns = (
        CONNECTION,
        Column("number", "Invoice"),
        Column("status", "Status"),
        Column("issued_on", "Issued", Kind.DATE),
        Column("due_on", "Due", Kind.DATE),
        Column("paid_at", "Paid", Kind.DATETIME),
        Column("subtotal", "Before tax", Kind.MONEY),
        Column("tax", "Tax", Kind.MONEY),
        Column("credit", "Credit applied", Kind.MONEY),
        Column("credit_added", "Credit added", Kind.MONEY),
        Column("total", "To pay", Kind.MONEY),
        Column("expense", "Expense this month", Kind.MONEY),
        Column("open_amount", "Open", Kind.MONEY),
        Column("days_overdue", "Days overdue", Kind.INT),
        Column("bucket", "Age"),
        CURRENCY,
    )
    source = (
        "FROM core.invoice i LEFT JOIN mart.invoice_aging a USING (connection, invoice_id) "
        "WHERE (i.issued_on >= $first AND i.issued_on < $next) OR a.open_amount IS NOT NULL"
    )
    expense = (
        "CASE WHEN i.counts_as_expense AND i.issued_on >= $first AND i.issued_on < $next "
        "THEN coalesce(i.subtotal, 0) + coalesce(i.tax, 0) - coalesce(i.credit_added, 0) END"
    )
    answers = reader.all(
        f"SELECT connection, i.number, i.status, i.issued_on, i.due_on, epoch_us(i.paid_at), i.subtotal, i.tax, "
        f"i.credit, i.credit_added, i.total, {expense}, a.open_amount, a.days_overdue, a.bucket, i.currency {source} "
        "ORDER BY i.issued_on, connection, invoice_id"
    )
    rows = [reader.row(answer, columns) for answer in answers]
    totals = _totals_by_currency(
        reader,
        f"SELECT i.currency, sum({expense}), sum(a.open_amount) {source} GROUP BY i.currency ORDER BY i.currency",
        columns,
        ("expense", "open_amount"),
    )
    note = "Issued this month, and older ones that are still open."
    return Section("invoices", "Invoices", columns, rows, len(rows), totals, (note, _as_of_note(reader)))


def _aging(reader: Reader) -> Section:
    columns = (
        Column("bucket", "Days overdue"),
        Column("invoices", "Invoices", Kind.INT),
        Column("open_amount", "Open", Kind.MONEY),
        CURRENCY,
    )
    answers = reader.all(
        "SELECT grouping(bucket), bucket, count(*), sum(open_amount), currency FROM mart.invoice_aging "
        "GROUP BY GROUPING SETS ((bucket, currency), (currency)) "
        "ORDER BY 1, currency, list_position(['not due', '1-30', '31-60', '61-90', 'over 90'], bucket)"
    )
    rows = [reader.row(answer[1:], columns) for answer in answers if not answer[0]]
    totals = tuple((f"Total {answer[4] or 'without currency'}", *answer[2:]) for answer in answers if answer[0])
    return Section("invoice_aging", "Invoice aging", columns, rows, len(rows), totals, (_as_of_note(reader),))


def _as_of_note(reader: Reader) -> str:
    (as_of,) = reader.one("SELECT max(as_of) FROM mart.invoice_aging")
    return f"Ages are reckoned on {as_of:%Y-%m-%d}, the newest loaded day." if as_of else "No invoice is open."


def _totals_by_currency(
    reader: Reader, sql: str, columns: tuple[Column, ...], measures: tuple[str, ...]
) -> tuple[Row, ...]:
    """Total rows from ``sql``, which gives a currency and then the ``measures``."""
    totals: list[Row] = []
    for currency, *sums in reader.all(sql):
        values: dict[str, Value] = {"currency": currency, **dict(zip(measures, sums, strict=True))}
        values[columns[0].name] = f"Total {currency or 'without currency'}"
        totals.append(tuple(values.get(column.name) for column in columns))
    return tuple(totals)


# --- lists of calls ---------------------------------------------------------------------------------------------------

_CALL_COLUMNS = (
    Column("started_at", "Started", Kind.DATETIME),
    CONNECTION,
    ACCOUNT,
    Column("direction", "Direction"),
    Column("outcome", "Outcome"),
    Column("extension", "Extension"),
    Column("extension_name", "Name"),
    Column("remote_e164", "Outside number"),
    Column("remote_country", "Country"),
    Column("legs", "Legs", Kind.INT),
    Column("talk_seconds", "Talk time", Kind.DURATION),
    Column("cost", "Cost", Kind.MONEY, 4),
    CURRENCY,
    Column("unrated_legs", "Unrated legs", Kind.INT),
    Column("call_id", "Call"),
)
_CALL_NAMES = [column.name for column in _CALL_COLUMNS]
_CALLS = f"""
WITH {_EXTENSIONS},
calls AS (
    SELECT c.*, extension_name FROM core.call c LEFT JOIN extensions e
        ON e.connection = c.connection AND e.account_id IS NOT DISTINCT FROM c.account_id AND e.extension = c.extension
    WHERE call_date >= $first AND call_date < $next
)
"""
# The same, but a call that came in and was forwarded is where its dearest leg went: what it cost it did not cost here.
_CALLS_WHERE_THEY_WENT = f"""
WITH {_EXTENSIONS},
forwarded AS (
    SELECT c.call_id, leg.direction, leg.extension, leg.remote_e164, leg.remote_country
    FROM core.call c
    JOIN core.call_leg l ON l.call_id = c.call_id AND l.call_date = c.call_date
    JOIN core.cdr leg ON leg.cdr_id = l.cdr_id
    WHERE c.call_date >= $first AND c.call_date < $next AND c.direction = 'inbound' AND c.outbound_legs > 0
        AND leg.direction = 'outbound' AND leg.cost > 0
    QUALIFY row_number() OVER (PARTITION BY c.call_id ORDER BY leg.cost DESC, l.leg_number) = 1
),
calls AS (
    SELECT c.* REPLACE (
            coalesce(f.direction, c.direction) AS direction, coalesce(f.extension, c.extension) AS extension,
            CASE WHEN f.call_id IS NULL THEN c.remote_e164 ELSE f.remote_e164 END AS remote_e164,
            CASE WHEN f.call_id IS NULL THEN c.remote_country ELSE f.remote_country END AS remote_country
        ), extension_name
    FROM core.call c
    LEFT JOIN forwarded f ON f.call_id = c.call_id
    LEFT JOIN extensions e ON e.connection = c.connection AND e.account_id IS NOT DISTINCT FROM c.account_id
        AND e.extension = coalesce(f.extension, c.extension)
    WHERE c.call_date >= $first AND c.call_date < $next
)
"""
_CALL_FIELDS = (
    "epoch_us(started_at) AS started_us, connection, account_id, direction, outcome, extension, extension_name, "
    "remote_e164, remote_country, legs, talk_seconds, cost, currency, unrated_legs, call_id"
)


def _top_calls(reader: Reader, slug: str, title: str, order: str, *, per_currency: bool = False) -> Section:
    partition = "PARTITION BY currency " if per_currency else ""
    column = order.split()[0]
    answers = reader.all(
        f"{_CALLS_WHERE_THEY_WENT if per_currency else _CALLS} SELECT {_CALL_FIELDS} FROM calls WHERE {column} > 0 "
        f"QUALIFY row_number() OVER ({partition}ORDER BY {order}, started_at, call_id) <= {TOP_CALLS} "
        f"ORDER BY {'currency, ' if per_currency else ''}{order}, started_at, call_id"
    )
    rows = [reader.row(answer, _CALL_COLUMNS) for answer in answers]
    note = f"The {TOP_CALLS} dearest calls of each currency." if per_currency else f"The {TOP_CALLS} longest calls."
    return Section(slug, title, _CALL_COLUMNS, rows, len(rows), (), (note,))


def _long_calls(reader: Reader) -> Section:
    columns = (
        *_CALL_COLUMNS[: _CALL_NAMES.index("talk_seconds")],
        Column("longest_seconds", "Longest leg", Kind.DURATION),
        *_CALL_COLUMNS[_CALL_NAMES.index("talk_seconds") :],
    )
    fields = _CALL_FIELDS.replace("talk_seconds", "longest_seconds, talk_seconds")
    sql = f"""{_CALLS},
longest AS (
    SELECT call_id, max(duration_seconds) AS longest_seconds
    FROM calls JOIN core.call_leg USING (call_id, call_date) JOIN core.cdr USING (cdr_id)
    WHERE is_long GROUP BY call_id
)
SELECT {fields} FROM calls LEFT JOIN longest USING (call_id)
WHERE is_long ORDER BY longest_seconds DESC, started_at, call_id"""
    rows = [reader.row(answer, columns) for answer in reader.all(sql)]
    note = (
        "Calls with a leg of long_call_hours (tollbook.toml) or more: nearly always lines that nobody hung up. Ask the "
        f"carrier about their cost. {_share_of_long(reader)}"
    )
    return Section("long_calls", "Long calls", columns, rows, len(rows), (), (note,))


def _share_of_long(reader: Reader) -> str:
    """How much of the month's calls, minutes and cost the long calls are; empty where there are none."""
    count, of, talk, all_talk = reader.one(
        "SELECT count(*) FILTER (is_long), count(*), coalesce(sum(talk_seconds) FILTER (is_long), 0)::BIGINT, "
        "coalesce(sum(talk_seconds), 0)::BIGINT FROM core.call WHERE call_date >= $first AND call_date < $next"
    )
    if not count:
        return ""
    costs = reader.all(
        "SELECT currency, sum(cost) FILTER (is_long), sum(cost) FROM core.call WHERE call_date >= $first "
        "AND call_date < $next GROUP BY currency HAVING sum(cost) FILTER (is_long) > 0 ORDER BY currency"
    )
    shares = [f"{talk // 60:,} minutes ({_share(Decimal(talk), Decimal(all_talk))} of all talk)"]
    shares += [
        f"{show_money(cost, currency or 'without currency')} ({_share(cost, total)} of all calls in {currency})"
        for currency, cost, total in costs
    ]
    return f"{count:,} of {of:,} calls: {', '.join(shares)}."


def _share(part: Decimal, whole: Decimal) -> str:
    fraction = _fraction(part, whole)
    return "0 %" if fraction is None else show_percent(fraction)


def _calls(reader: Reader) -> Section:
    rows = Query(reader, f"{_CALLS} SELECT {_CALL_FIELDS} FROM calls ORDER BY started_at, call_id", _CALL_COLUMNS)
    totals = []
    for currency, legs, seconds, cost, unrated in reader.all(
        "SELECT currency, sum(legs)::BIGINT, sum(talk_seconds)::BIGINT, sum(cost), sum(unrated_legs)::BIGINT "
        "FROM core.call WHERE call_date >= $first AND call_date < $next GROUP BY currency ORDER BY currency"
    ):
        values: dict[str, Value] = {
            "started_at": f"Total {currency or 'without currency'}",
            "legs": legs,
            "talk_seconds": seconds,
            "cost": cost,
            "currency": currency,
            "unrated_legs": unrated,
        }
        totals.append(tuple(values.get(column.name) for column in _CALL_COLUMNS))
    (count,) = reader.one("SELECT count(*) FROM core.call WHERE call_date >= $first AND call_date < $next")
    note = (
        "A call stands on the day it started; the cost sheets date each of its legs, so that a call over the month's "
        "end can make a difference between them."
    )
    return Section("calls", "Calls", _CALL_COLUMNS, rows, count, tuple(totals), (note,))


def _unrated(reader: Reader) -> Section:
    columns = (
        Column("kind", "Record"),
        Column("started_at", "Time", Kind.DATETIME),
        CONNECTION,
        ACCOUNT,
        Column("direction", "Direction"),
        Column("extension", "Extension"),
        Column("remote_e164", "Outside number"),
        Column("remote_country", "Country"),
        Column("duration_seconds", "Duration", Kind.DURATION),
        Column("record_id", "Record id"),
    )
    sql = """
SELECT 'call leg' AS kind, epoch_us(started_at) AS started_us, connection, account_id, direction, extension,
    remote_e164, remote_country, duration_seconds, cdr_id AS id
FROM core.cdr WHERE cost IS NULL AND call_date >= $first AND call_date < $next
UNION ALL
SELECT 'message', epoch_us(sent_at), connection, account_id, direction, NULL, remote_e164, remote_country, NULL, sms_id
FROM core.sms WHERE cost IS NULL AND sms_date >= $first AND sms_date < $next"""
    (count,) = reader.one(f"SELECT count(*) FROM ({sql})")
    rows = Query(reader, f"{sql} ORDER BY started_us, id", columns)
    note = "Call legs and messages for which the vendor gave no cost: unknown, not free."
    return Section("unrated", "Unrated", columns, rows, count, (), (note,))


def _reconciliation(reader: Reader) -> Section:
    columns = (
        Column("call_date", "Day", Kind.DATE),
        CONNECTION,
        Column("pbx_connection", "PBX"),
        Column("extension", "Extension"),
        Column("class", "Result"),
        Column("our_calls", "Calls on the PBX", Kind.INT),
        Column("their_calls", "Calls in TIM4biz", Kind.INT),
        Column("calls_difference", "Calls difference", Kind.INT),
        Column("our_seconds", "Talk on the PBX", Kind.DURATION),
        Column("their_seconds", "Talk in TIM4biz", Kind.DURATION),
        Column("seconds_difference", "Talk difference", Kind.DURATION),
        Column("our_cost", "Cost on the PBX", Kind.MONEY, 4),
        Column("their_cost", "Cost in TIM4biz", Kind.MONEY, 4),
        Column("cost_difference", "Cost difference", Kind.MONEY, 4),
        CURRENCY,
    )
    sql = (
        f"SELECT {', '.join(column.name for column in columns)} FROM mart.extension_reconciliation "
        "WHERE class NOT IN ('exact', 'not_compared') AND call_date >= $first AND call_date < $next"
    )
    (count,) = reader.one(f"SELECT count(*) FROM ({sql})")
    (compared,) = reader.one(
        "SELECT count(*) FROM mart.extension_reconciliation WHERE call_date >= $first AND call_date < $next"
    )
    rows = Query(reader, f"{sql} ORDER BY call_date, connection, extension, pbx_connection", columns)
    note = f"TIM4biz against the PBX: {count:,} of {compared:,} days of an extension differ."
    return Section("reconciliation", "Reconciliation", columns, rows, count, (), (note,))


# --- the first page ---------------------------------------------------------------------------------------------------


def _flags(reader: Reader, proof: Proof) -> tuple[Flag, ...]:
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
    share = _share_of_long(reader)
    if share:
        yield Flag(Level.WARNING, "LONG CALLS", f"Calls that were probably never hung up, see Long calls. {share}")


def _not_loaded_before(reader: Reader) -> list[str]:
    """The month's connections of which no day of the month before was ever loaded: what they cost in it is unknown."""
    connections = reader.all(
        "SELECT connection FROM audit.load WHERE window_from IS NOT NULL AND status <> 'failed' "
        "AND connection IN (SELECT connection FROM mart.cost_monthly WHERE month = $first) GROUP BY connection "
        "HAVING NOT bool_or(window_from < $first AND window_to >= $before) ORDER BY connection"
    )
    return [connection for (connection,) in connections]


def _headlines(reader: Reader, by_vendor: Section, money: str, unknown: str) -> tuple[Headline, ...]:
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
    (budget,) = reader.one(f"SELECT {_WHOLE_BUDGET} FROM mart.budget WHERE month = $first")
    if budget is not None:
        used = _fraction(total, budget)
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
    change = _fraction(now - before, before) if isinstance(now, Decimal) and before > 0 else None
    sign = "+" if change is not None and change > 0 else ""
    return f"{show_money(before, currency)} the month before" + (
        f", {sign}{show_percent(change)}" if change is not None else ""
    )


def _charts(by_day: Section, share: Section, busy: Section, money: str) -> tuple[Chart, ...]:
    kinds = tuple(range(1, len(by_day.columns) - 1))
    return (
        Chart("Cost by day and kind of charge", ChartKind.STACKED, by_day, 0, kinds, money),
        Chart("Cost by cost centre", ChartKind.BARS, share, 0, (1,), money),
        Chart("Traffic by hour of the day", ChartKind.COLUMNS, busy, 0, (3,), "erlangs: calls up at once, on average"),
    )
