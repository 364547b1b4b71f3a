"""Bundles, hosting and invoices."""

from decimal import Decimal

from warehouse.reports.model import Column, Kind, Row, Section
from warehouse.reports.query import Reader
from warehouse.reports.sections.tables import ACCOUNT, CONNECTION, CURRENCY, fraction, listing, totals_by_currency


def bundles(reader: Reader) -> Section:
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
        share = fraction(None if used is None else Decimal(used), included and Decimal(included))
        rows.append(reader.row((*answer[:9], share, *answer[9:]), columns))
    totals = totals_by_currency(
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


def hosting_by_invoice(reader: Reader) -> Section:
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
    sql = (
        f"{_HOSTING} SELECT issued_on, connection, number, status, type, service, domain, description, quantity, "
        "unit_amount, amount, currency FROM hosting ORDER BY issued_on, connection, invoice_id, part, line_id"
    )
    totals = totals_by_currency(reader, _HOSTING_TOTALS, columns, ("amount",))
    note = "Invoices issued this month that count as an expense, tax included."
    return listing(reader, "hosting_by_invoice", "Hosting by invoice", columns, sql, totals=totals, notes=(note,))


def hosting_by_service(reader: Reader) -> Section:
    columns = (
        CONNECTION,
        Column("service", "Service"),
        Column("domain", "Host"),
        Column("lines", "Lines", Kind.INT),
        Column("amount", "Amount", Kind.MONEY),
        CURRENCY,
    )
    sql = (
        f"{_HOSTING} SELECT connection, if(part = 2, 'Tax', coalesce(service, 'No service')) AS what, "
        "domain, count(*), sum(amount) AS amount, currency FROM hosting "
        "GROUP BY connection, what, service_id, domain, currency ORDER BY connection, amount DESC, what, service_id, "
        "currency"
    )
    totals = totals_by_currency(reader, _HOSTING_TOTALS, columns, ("amount",))
    return listing(reader, "hosting_by_service", "Hosting by service", columns, sql, totals=totals)


def invoices(reader: Reader) -> Section:
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
    sql = (
        f"SELECT connection, i.number, i.status, i.issued_on, i.due_on, epoch_us(i.paid_at), i.subtotal, i.tax, "
        f"i.credit, i.credit_added, i.total, {expense}, a.open_amount, a.days_overdue, a.bucket, i.currency {source} "
        "ORDER BY i.issued_on, connection, invoice_id"
    )
    totals = totals_by_currency(
        reader,
        f"SELECT i.currency, sum({expense}), sum(a.open_amount) {source} GROUP BY i.currency ORDER BY i.currency",
        columns,
        ("expense", "open_amount"),
    )
    note = "Issued this month, and older ones that are still open."
    return listing(reader, "invoices", "Invoices", columns, sql, totals=totals, notes=(note, _as_of_note(reader)))


def aging(reader: Reader) -> Section:
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
