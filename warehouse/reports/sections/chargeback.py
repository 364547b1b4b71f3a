"""What the cost centres are charged: chargeback, budget and journal."""

from warehouse.reports.model import Column, Kind, Row, Section, Value
from warehouse.reports.query import Reader
from warehouse.reports.sections.costs import left_of
from warehouse.reports.sections.tables import (
    ACCOUNT,
    CONNECTION,
    COST_CENTRE,
    CURRENCY,
    VENDOR,
    long_listing,
    totals_by_currency,
)


def chargeback(reader: Reader, money: str) -> Section:
    columns = (
        COST_CENTRE,
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
    order = (
        "cost_centre, vendor, connection, account_id, charge_kind, currency, method <> 'direct', rule, "
        "source_cost_centre"
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
    return long_listing(reader, "chargeback", "Chargeback", columns, sql, order, totals=tuple(totals), notes=notes)


def budget_lines(reader: Reader, money: str) -> Section:
    columns = (
        COST_CENTRE,
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
        left, used = left_of(cost, budget)
        reporting_left, reporting_used = left_of(reporting_cost, reporting_budget)
        compared = (cost, left, reporting_budget, reporting_cost, reporting_left, reporting_used or used)
        rows.append(reader.row((*line, budget, currency, *compared), columns))
    totals = totals_by_currency(
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


def journal(reader: Reader) -> Section:
    columns = (
        Column("entry", "Entry"),
        Column("line", "Line", Kind.INT),
        Column("posting_date", "Posted on", Kind.DATE),
        Column("account", "Account"),
        COST_CENTRE,
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
    totals = totals_by_currency(
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
    return long_listing(
        reader,
        "journal",
        "Journal",
        columns,
        sql,
        "entry, line",
        totals=totals,
        notes=notes,
        file_name=f"journal-{reader.first:%Y-%m}",
    )
