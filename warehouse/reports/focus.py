"""A month as a FinOps FOCUS 1.2 cost-and-usage dataset: one Parquet file, and the same rows as CSV.

What lives here: the columns, what was paid ahead and how it falls on the days it covers, the checks without which
nothing is written, and the two files. What does not: how charges become FOCUS columns (``focus.sql``), the state of the
proof (``proof``). The mapping and its reasons are in docs/focus.md.

Amounts are DECIMAL(18,6) in the ``BillingCurrency`` of their row. Times are instants in UTC: the bounds of business
days and of the business month.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.csv import write_csv

from tollbook_errors import TollbookError
from warehouse.reports.csv_files import neutral
from warehouse.reports.model import Flag, Level, ReportSettings
from warehouse.reports.proof import read_proof
from warehouse.reports.query import Reader
from warehouse.reports.staging import FILE_MODE, FOLDER_MODE, staging, sync
from warehouse.text import printable

_SQL = Path(__file__).with_name("focus.sql")
_MICRO = Decimal("0.000001")

_AMOUNT, _INSTANT, _TEXT, _COUNT = pa.decimal128(18, 6), pa.timestamp("us", tz="UTC"), pa.string(), pa.int64()

# Name, type, may be null: every column of FOCUS 1.2, so that the file can be stacked on a cloud vendor's; then our own.
_COLUMNS: tuple[tuple[str, pa.DataType, bool], ...] = (
    ("AvailabilityZone", _TEXT, True),
    ("BilledCost", _AMOUNT, False),
    ("BillingAccountId", _TEXT, False),
    ("BillingAccountName", _TEXT, False),
    ("BillingAccountType", _TEXT, False),
    ("BillingCurrency", _TEXT, False),
    ("BillingPeriodEnd", _INSTANT, False),
    ("BillingPeriodStart", _INSTANT, False),
    ("CapacityReservationId", _TEXT, True),
    ("CapacityReservationStatus", _TEXT, True),
    ("ChargeCategory", _TEXT, False),
    ("ChargeClass", _TEXT, True),
    ("ChargeDescription", _TEXT, False),
    ("ChargeFrequency", _TEXT, False),
    ("ChargePeriodEnd", _INSTANT, False),
    ("ChargePeriodStart", _INSTANT, False),
    ("CommitmentDiscountCategory", _TEXT, True),
    ("CommitmentDiscountId", _TEXT, True),
    ("CommitmentDiscountName", _TEXT, True),
    ("CommitmentDiscountQuantity", _AMOUNT, True),
    ("CommitmentDiscountStatus", _TEXT, True),
    ("CommitmentDiscountType", _TEXT, True),
    ("CommitmentDiscountUnit", _TEXT, True),
    ("ConsumedQuantity", _AMOUNT, True),
    ("ConsumedUnit", _TEXT, True),
    ("ContractedCost", _AMOUNT, False),
    ("ContractedUnitPrice", _AMOUNT, True),
    ("EffectiveCost", _AMOUNT, False),
    ("InvoiceId", _TEXT, False),
    ("InvoiceIssuerName", _TEXT, False),
    ("ListCost", _AMOUNT, False),
    ("ListUnitPrice", _AMOUNT, True),
    ("PricingCategory", _TEXT, True),
    ("PricingCurrency", _TEXT, False),
    ("PricingCurrencyContractedUnitPrice", _AMOUNT, True),
    ("PricingCurrencyEffectiveCost", _AMOUNT, False),
    ("PricingCurrencyListUnitPrice", _AMOUNT, True),
    ("PricingQuantity", _AMOUNT, True),
    ("PricingUnit", _TEXT, True),
    ("ProviderName", _TEXT, False),
    ("PublisherName", _TEXT, False),
    ("RegionId", _TEXT, True),
    ("RegionName", _TEXT, True),
    ("ResourceId", _TEXT, True),
    ("ResourceName", _TEXT, True),
    ("ResourceType", _TEXT, True),
    ("ServiceCategory", _TEXT, False),
    ("ServiceName", _TEXT, False),
    ("ServiceSubcategory", _TEXT, False),
    ("SkuId", _TEXT, True),
    ("SkuMeter", _TEXT, True),
    ("SkuPriceDetails", _TEXT, True),
    ("SkuPriceId", _TEXT, True),
    ("SubAccountId", _TEXT, True),
    ("SubAccountName", _TEXT, True),
    ("SubAccountType", _TEXT, True),
    ("Tags", _TEXT, False),
    ("x_ChargeKind", _TEXT, False),
    ("x_DestinationCountry", _TEXT, True),
    ("x_Direction", _TEXT, True),
    ("x_InvoiceNumber", _TEXT, True),
    ("x_Records", _COUNT, True),
    ("x_UnratedRecords", _COUNT, True),
)
FOCUS = pa.schema([pa.field(name, type_, nullable) for name, type_, nullable in _COLUMNS])


class FocusError(TollbookError):
    """The month cannot be said in FOCUS as it stands; nothing was written."""


@dataclass(frozen=True)
class Focus:
    """What was written: both files, the number of rows and the sums billed by currency.

    ``remarks`` say what is not well about the month: INCOMPLETE, PROVISIONAL, UNRATED and the like.
    """

    paths: tuple[Path, ...]
    rows: int
    billed: tuple[tuple[str, Decimal], ...]
    remarks: tuple[Flag, ...]


def write_focus(
    database: Path, month: date, out: Path, *, settings: ReportSettings, for_spreadsheets: bool = False
) -> Focus:
    """Write the folder ``focus-YYYY-MM`` with ``focus-YYYY-MM.parquet`` and ``.csv`` into ``out``, replacing it.

    ``database`` is the published DuckDB file, opened read-only; ``month`` is any day of the month of business days in
    ``settings.timezone``. The same database and settings give the same bytes. Records without a cost are not in the
    files (remark UNRATED); ``x_UnratedRecords`` counts those that share a row with rated ones.
    ``for_spreadsheets``: in the CSV an apostrophe stands before what a spreadsheet would take for a formula.

    Raises FocusError, and writes nothing, when the rows are not what the month costs or not FOCUS; ContractError when
    the database cannot be opened or is not one of ours; StorageError when ``out`` cannot be written.
    """
    name = f"focus-{month:%Y-%m}"
    with staging(out) as staged:
        reader = Reader(database, month, settings.timezone, staged)
        try:
            # No rate to the reporting currency is no matter here: every row is in its own.
            flags = [flag for flag in read_proof(reader, settings).flags if flag.word != "UNCONVERTED"]
            rows = _rows(reader)
            _check(reader, rows)
            (staged / name).mkdir()
            parquet, csv = staged / name / f"{name}.parquet", staged / name / f"{name}.csv"
            pq.write_table(rows, parquet, compression="zstd")
            write_csv(_as_text(_changed(rows, neutral) if for_spreadsheets else rows), csv)
            billed = tuple(reader.all(_BILLED, focus=rows))
        finally:
            reader.close()
        for path in (parquet, csv):
            sync(path, FILE_MODE)
        sync(staged / name, FOLDER_MODE)
        if (out / name).is_dir():
            (out / name).rename(staged / "replaced")
        (staged / name).replace(out / name)
        sync(out)
    remarks = tuple(flag for flag in flags if flag.level is not Level.OK)
    return Focus((out / name / parquet.name, out / name / csv.name), rows.num_rows, billed, remarks)


_BILLED = "SELECT BillingCurrency, sum(BilledCost) FROM focus GROUP BY ALL ORDER BY ALL"


def _rows(reader: Reader) -> pa.Table:
    """The month's charges in FOCUS' columns and order of time."""
    charges = [row for item in _items(reader) for row in item.charges(reader.first, reader.next)]
    rows = reader.table(_SQL.read_text(), purchase=pa.Table.from_pylist(charges, schema=_CHARGE))
    missing = [field.name for field in FOCUS if not field.nullable and rows[field.name].null_count]
    if missing:
        raise FocusError(
            f"there are charges without {', '.join(missing)}",
            window=f"{reader.first:%Y-%m}",
            hint="a connection may need its `currency` in tollbook.toml, and then tollbook rebuild",
        )
    return _changed(rows.select(FOCUS.names).cast(FOCUS), printable)


def _changed(rows: pa.Table, change: Callable[[str], str]) -> pa.Table:
    """The same rows with each different text changed."""
    for place, field in enumerate(FOCUS):
        if field.type == _TEXT:
            texts = rows.column(place).combine_chunks().dictionary_encode()
            new = pa.array([change(text) for text in texts.dictionary.to_pylist()], _TEXT)
            rows = rows.set_column(place, field, pa.DictionaryArray.from_arrays(texts.indices, new).cast(_TEXT))
    return rows


def _as_text(rows: pa.Table) -> pa.Table:
    """The same rows with instants as FOCUS writes them: ``2026-10-01T00:00:00Z``."""
    for place, field in enumerate(FOCUS):
        if field.type == _INSTANT:
            seconds = rows.column(place).cast(pa.timestamp("s", tz="UTC"))
            rows = rows.set_column(place, field.name, pc.strftime(seconds, format="%Y-%m-%dT%H:%M:%SZ"))
    return rows


# --- bundles and invoices ---------------------------------------------------------------------------------------------

# One row of what ``focus.sql`` takes in; a day of something paid ahead is one, too.
_CHARGE = pa.schema(
    [
        *(pa.field(name, _TEXT) for name in ("charge_kind", "vendor", "connection", "account_id", "cost_centre")),
        *(pa.field(name, _TEXT) for name in ("currency", "category", "frequency", "invoice_id", "invoice_number")),
        *(pa.field(name, _TEXT) for name in ("line", "description", "sku", "unit", "consumed_unit")),
        *(pa.field(name, _TEXT) for name in ("resource_id", "resource_name", "resource_type")),
        *(pa.field(name, pa.date32()) for name in ("billed_on", "first_day", "end_day")),
        *(pa.field(name, _AMOUNT) for name in ("billed_cost", "effective_cost", "list_cost")),
        *(pa.field(name, _AMOUNT) for name in ("unit_price", "quantity", "consumed")),
    ]
)

_CENTRES = """
centre AS (
    SELECT cost_date, connection, account_id, min(cost_centre) AS cost_centre FROM mart.cost_daily
    WHERE charge_kind NOT IN ('call', 'sms') AND cost_date < $next
    GROUP BY cost_date, connection, account_id
)"""

_BUNDLES = f"""
WITH {_CENTRES}
SELECT b.vendor, b.connection, b.account_id, c.cost_centre, b.currency, b.bundle_id, b.name, b.auto_renew,
    b.valid_from_date, b.price_monthly,
    greatest(1, round(epoch(coalesce(b.valid_to, b.valid_from + INTERVAL 1 MONTH) - b.valid_from) / 86400))::INTEGER
FROM core.bundle b
LEFT JOIN centre c ON c.cost_date = b.valid_from_date AND c.connection = b.connection
    AND c.account_id IS NOT DISTINCT FROM b.account_id
WHERE b.price_monthly IS NOT NULL AND b.valid_from_date < $next
ORDER BY b.connection, b.account_id, b.bundle_id, b.valid_from"""

# The kinds of charge are those of mart.cost_daily; that they stay so is checked against mart.cost_monthly.
_LINES = f"""
WITH {_CENTRES},
counted AS (SELECT * FROM core.invoice WHERE counts_as_expense AND issued_on < $next),
part AS (
    SELECT connection, invoice_id, line_id, type, item_id, description, quantity, unit_amount,
        line_total - coalesce(credit_added, 0) AS amount,
        coalesce(taxed, false) AS taxed, period_from, period_until,
        CASE WHEN lower(type) IN ('credit', 'discount', 'refundeditem') OR line_total < 0 THEN 'credit'
            WHEN lower(type) = 'latefee' OR item_id LIKE '-%' THEN 'fee' ELSE 'hosting' END AS kind
    FROM core.invoice_line
    WHERE line_total IS NOT NULL AND (coalesce(credit_added, 0) = 0 OR credit_added <> line_total)
    UNION ALL
    SELECT i.connection, i.invoice_id, NULL, NULL, NULL, 'Subtotal less the lines', NULL, NULL,
        i.subtotal - coalesce(sum(l.line_total), 0), false, NULL, NULL, 'rest'
    FROM counted i LEFT JOIN core.invoice_line l USING (connection, invoice_id)
    GROUP BY i.connection, i.invoice_id, i.subtotal HAVING i.subtotal <> coalesce(sum(l.line_total), 0)
)
SELECT i.vendor, i.connection, c.cost_centre, i.currency, i.invoice_id, i.number, i.issued_on,
    coalesce(i.tax, 0) AS tax, p.line_id, p.kind, p.type, p.description, p.quantity, p.unit_amount, p.amount, p.taxed,
    -- Of a service that is gone the id is known still.
    coalesce(
        s.service_id,
        CASE WHEN lower(p.type) IN ('hosting', 'addon') AND p.item_id NOT LIKE '-%' THEN nullif(p.item_id, '0') END
    ) AS service_id,
    coalesce(s.domain, s.name) AS service, s.name AS product,
    CASE WHEN p.kind = 'hosting' THEN p.period_from END AS period_from,
    CASE WHEN p.kind = 'hosting' THEN p.period_until END AS period_until
FROM counted i
LEFT JOIN part p USING (connection, invoice_id)
LEFT JOIN core.service s ON s.connection = i.connection AND s.service_id = p.item_id
LEFT JOIN centre c ON c.cost_date = i.issued_on AND c.connection = i.connection AND c.account_id IS NULL
ORDER BY i.connection, i.invoice_id, p.line_id NULLS LAST"""


@dataclass(frozen=True)
class Item:
    """Something billed at once: ``amount`` in the currency of ``about``, covering ``days`` days from ``first_day`` on.

    What is prepaid costs nothing on the day it is bought, in ``EffectiveCost``, and a share of it on each day covered.
    """

    about: dict[str, Any]
    amount: Decimal
    billed_on: date
    first_day: date
    days: int
    prepaid: bool
    quantity: Decimal = Decimal(1)
    unit_price: Decimal | None = None

    def shares(self) -> list[Decimal]:
        """What falls on each day covered, if it is prepaid: together the amount, exactly."""
        return spread(self.amount, [Decimal(1)] * self.days) if self.prepaid and self.amount else []

    def charges(self, first: date, end: date) -> Iterator[dict[str, Any]]:
        """The rows of ``_CHARGE`` from ``first`` to before ``end``: the item as billed, and its days."""
        priced = self.about["category"] == "Purchase"
        if first <= self.billed_on < end:
            yield {
                **self.about,
                "billed_on": self.billed_on,
                # A charge begins in the month that it is billed in, also where what it pays for begins later.
                "first_day": self.first_day if self.first_day < end else self.billed_on,
                "end_day": self.first_day + timedelta(days=self.days),
                "billed_cost": self.amount,
                "effective_cost": Decimal(0) if self.prepaid else self.amount,
                "list_cost": self.amount,
                "unit_price": self.unit_price if priced else None,
                "quantity": self.quantity if priced else None,
                "unit": "Units" if priced else None,
            }
        for number, share in enumerate(self.shares()):
            day = self.first_day + timedelta(days=number)
            if first <= day < end:
                yield {
                    **self.about,
                    "category": "Usage" if priced else self.about["category"],
                    "description": f"{self.about['description']}, day {number + 1} of {self.days}",
                    "billed_on": self.billed_on,
                    "first_day": day,
                    "end_day": day + timedelta(days=1),
                    "billed_cost": Decimal(0),
                    "effective_cost": share,
                    "list_cost": share,
                    "unit_price": share if priced else None,
                    "quantity": Decimal(1) if priced else None,
                    "unit": "Days" if priced else None,
                    "consumed": Decimal(1) if priced else None,
                    "consumed_unit": "Days" if priced else None,
                }


def spread(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """``amount`` (at most six places) by ``weights``, whose sum is not 0, in millionths that add up to it exactly.

    What rounding leaves goes to the largest remainders, of equal ones to the first.
    """
    units = [int(weight.scaleb(6)) for weight in weights]
    whole, total = int(amount.scaleb(6)), sum(units)
    sign = 1 if total > 0 else -1
    parts = [divmod(sign * whole * unit, sign * total) for unit in units]
    left = whole - sum(part for part, _ in parts)
    order = sorted(range(len(parts)), key=lambda place: -parts[place][1])
    for place in order[:left]:
        parts[place] = (parts[place][0] + 1, 0)
    return [part * _MICRO for part, _ in parts]


def _items(reader: Reader) -> list[Item]:
    """All bundles, invoice lines and taxes that the published database knows of before the end of the month."""
    items = [_bundle(*row) for row in reader.all(_BUNDLES)]
    lines = reader.table(_LINES).to_pylist()
    for _, invoice in groupby(lines, key=lambda line: (line["connection"], line["invoice_id"])):
        items += _invoice(list(invoice))
    for item in items:
        if item.shares() and sum(item.shares()) != item.amount:
            raise FocusError(
                f"what {item.about['connection']} was paid on {item.billed_on} is not what its days add up to"
            )
    return items


def _bundle(
    vendor: str,
    connection: str,
    account: str | None,
    cost_centre: str | None,
    currency: str,
    bundle: str,
    name: str | None,
    renews: bool | None,
    first_day: date,
    price: Decimal,
    days: int,
) -> Item:
    about = {
        "charge_kind": "bundle",
        "vendor": vendor,
        "connection": connection,
        "account_id": account,
        "cost_centre": cost_centre,
        "currency": currency,
        "category": "Purchase",
        "frequency": "Recurring" if renews else "One-Time",
        "line": bundle,
        "description": name or "Call bundle",
        "sku": name or bundle,
        "resource_id": "/".join(filter(None, (connection, account, bundle))),
        "resource_name": name,
        "resource_type": "Call bundle",
    }
    return Item(about, price, first_day, first_day, days, prepaid=True, unit_price=price)


_CATEGORIES = {"hosting": "Purchase", "credit": "Credit", "fee": "Adjustment", "rest": "Adjustment"}


def _invoice(lines: list[dict[str, Any]]) -> list[Item]:
    """The items of one invoice: its lines, and its tax, each part of it beside the line that it is for."""
    tax: Decimal = lines[0]["tax"]
    parts = [line for line in lines if line["amount"] is not None]
    items = [_line(part) for part in parts]
    if not tax:
        return items
    weights = [part["amount"] if part["taxed"] else Decimal(0) for part in parts]
    if not sum(weights):
        weights = [item.amount for item in items]
    if not sum(weights):
        return [*items, _tax(_line({**lines[0], "kind": "rest", "amount": tax}), tax, "Tax")]
    return items + [
        _tax(item, share, f"Tax: {item.about['description']}")
        for item, share in zip(items, spread(tax, weights), strict=True)
        if share
    ]


def _line(line: dict[str, Any]) -> Item:
    kind, amount, billed_on = line["kind"], line["amount"], line["issued_on"]
    # No month changes that is over: of what is billed afterwards the days begin with the month that it is billed in.
    first_day = max(line["period_from"] or billed_on, billed_on.replace(day=1))
    days = (line["period_until"] - first_day).days if line["period_until"] else 0
    if days < 1:
        first_day, days = billed_on, 1
    # Hosting is the product itself; an addon or an upgrade of it is another thing to buy.
    hosting = (line["type"] or "").lower() == "hosting"
    sku = [line["product"], None if hosting and line["product"] else line["type"]]
    about = {
        "charge_kind": "hosting" if kind == "rest" else kind,
        "vendor": line["vendor"],
        "connection": line["connection"],
        "cost_centre": line["cost_centre"],
        "currency": line["currency"],
        "category": _CATEGORIES[kind],
        "frequency": "Recurring" if line["period_until"] else "One-Time",
        "invoice_id": line["invoice_id"],
        "invoice_number": line["number"],
        "line": line["line_id"],
        "description": line["description"] or line["type"] or "Invoice line",
        "sku": "/".join(filter(None, sku)),
        "resource_id": f"{line['connection']}/{line['service_id']}" if line["service_id"] else None,
        "resource_name": line["service"],
        "resource_type": "Hosting service" if line["service_id"] else None,
    }
    item = Item(about, amount, billed_on, first_day, days, prepaid=kind == "hosting", unit_price=amount)
    quantity, price = line["quantity"], line["unit_amount"]
    if quantity is not None and price is not None and price >= 0 and quantity * price == amount:
        return replace(item, quantity=quantity, unit_price=price)
    return item  # the vendor's line is not its price times its quantity: one of what it says in all


def _tax(item: Item, amount: Decimal, description: str) -> Item:
    about = item.about | {"charge_kind": "tax", "category": "Tax", "description": description}
    return replace(item, about=about, amount=amount, prepaid=item.prepaid and bool(item.amount))


# --- the checks that no schema makes ----------------------------------------------------------------------------------

_UNITS = ("Days", "Messages", "Seconds", "Units")

# What can be wrong, and the SELECT of what is: where, and the two amounts where there are two.
_CHECKS = {
    "the currency of charges is not known": (
        "SELECT DISTINCT BillingAccountId FROM focus "
        "WHERE NOT regexp_full_match(BillingCurrency, '[A-Z]{3}') OR BillingCurrency IN ('XXX', 'XTS') ORDER BY 1"
    ),
    "BilledCost is not what the invoice or the account's month comes to": """
        WITH due AS (
            SELECT i.connection, concat_ws('/', i.connection, i.invoice_id) AS invoice_id, i.currency,
                coalesce(i.subtotal, sum(l.line_total), 0) + coalesce(i.tax, 0) - coalesce(i.credit_added, 0) AS amount
            FROM core.invoice i LEFT JOIN core.invoice_line l USING (connection, invoice_id)
            WHERE i.counts_as_expense AND i.issued_on >= $first AND i.issued_on < $next
            GROUP BY i.connection, i.invoice_id, i.currency, i.subtotal, i.tax, i.credit_added
            UNION ALL
            SELECT connection, concat_ws('/', connection, account_id, strftime($first, '%Y-%m'), currency), currency,
                sum(cost)
            FROM mart.cost_monthly WHERE month = $first AND charge_kind IN ('call', 'sms', 'bundle') GROUP BY ALL
        ), written AS (
            SELECT BillingAccountId AS connection, InvoiceId AS invoice_id, BillingCurrency AS currency,
                sum(BilledCost) AS billed
            FROM focus GROUP BY ALL
        )
        SELECT invoice_id, amount, billed FROM due FULL JOIN written USING (connection, invoice_id, currency)
        WHERE coalesce(amount, 0) <> coalesce(billed, 0) ORDER BY 1""",
    "BilledCost is not the month in mart.cost_monthly": """
        WITH due AS (
            SELECT connection, connection || '/' || account_id AS account, charge_kind, cost_centre, currency,
                sum(cost) AS amount
            FROM mart.cost_monthly WHERE month = $first GROUP BY ALL
        ), written AS (
            SELECT BillingAccountId AS connection, SubAccountId AS account, x_ChargeKind AS charge_kind,
                Tags ->> '$.cost_centre' AS cost_centre, BillingCurrency AS currency, sum(BilledCost) AS billed
            FROM focus GROUP BY ALL
        )
        SELECT concat_ws(' ', w.connection, d.connection), d.amount, w.billed
        FROM due d FULL JOIN written w ON d.connection = w.connection
            AND d.account IS NOT DISTINCT FROM w.account AND d.charge_kind = w.charge_kind
            AND d.cost_centre IS NOT DISTINCT FROM w.cost_centre AND d.currency = w.currency
        WHERE coalesce(d.amount, 0) <> coalesce(w.billed, 0) ORDER BY ALL""",
    "a cost is not its unit price times its quantity": """
        SELECT InvoiceId FROM focus
        WHERE ListUnitPrice::DECIMAL(24, 6) * PricingQuantity <> ListCost
            OR ContractedUnitPrice::DECIMAL(24, 6) * PricingQuantity <> ContractedCost
            OR (PricingQuantity IS NULL) <> (ListUnitPrice IS NULL) OR ListUnitPrice < 0
            OR (ChargeCategory IN ('Usage', 'Purchase')) <> (PricingQuantity IS NOT NULL) ORDER BY 1""",
    "a period is empty or lies outside its month": """
        SELECT InvoiceId FROM focus
        WHERE ChargePeriodStart >= ChargePeriodEnd OR ChargePeriodStart < BillingPeriodStart
            OR ChargePeriodStart >= BillingPeriodEnd
            OR (ChargeCategory = 'Usage' AND ChargePeriodEnd > BillingPeriodEnd) ORDER BY 1""",
    "a unit is not spelt as FOCUS spells it": f"""
        SELECT DISTINCT InvoiceId FROM focus
        WHERE PricingUnit NOT IN {_UNITS} OR ConsumedUnit NOT IN {_UNITS}
            OR (PricingUnit IS NULL) <> (PricingQuantity IS NULL)
            OR (ConsumedUnit IS NULL) <> (ConsumedQuantity IS NULL)
            OR (ConsumedUnit IS NOT NULL) <> (ChargeCategory = 'Usage') ORDER BY 1""",
    "a purchase has an effective cost": (
        "SELECT InvoiceId FROM focus WHERE ChargeCategory = 'Purchase' AND EffectiveCost <> 0 ORDER BY 1"
    ),
}


def _check(reader: Reader, rows: pa.Table) -> None:
    for what, sql in _CHECKS.items():
        wrong = reader.all(sql, focus=rows)
        if wrong:
            where, *amounts = wrong[0]
            figures = f", {amounts[0] or 0} against {amounts[1] or 0}" if amounts else ""
            more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise FocusError(f"{what}: {where}{figures}{more}", window=f"{reader.first:%Y-%m}")
