"""The control totals of Time4VPS: what its invoices must add up to.

What lives here: an invoice's own figures, credit notes and merged invoices against each other, what is unpaid against
the balance. What does not: the rows that are compared (``invoices``), and which documents are an expense
(``invoice_rules``).
"""

from decimal import Decimal
from typing import Any

from assets.controls import control_total
from assets.parsing import is_true, sum_if_complete
from assets.stream import Source
from assets.time4vps.api import entries
from assets.time4vps.invoice_rules import RECEIPTS, Note, whole_of
from warehouse.money import currency_code, in_coins, money
from warehouse.raw import Landing

INVOICES = "invoices"
ACCOUNT = "client"  # the one account of a connection


OPEN = frozenset({"unpaid", "collections", "receiptunpaid"})
Pair = tuple[Decimal | None, Decimal | None]  # our figure and theirs
OF_AN_INVOICE = ("invoice_lines", "invoice_tax", "invoice_total", "invoice_list")
CONTROLS = {
    "invoice_lines": "Sum of an invoice's lines against its subtotal.",
    "invoice_tax": "Tax of an invoice's taxed lines by its rates against its own tax.",
    "invoice_total": "An invoice's subtotal and taxes less credit against its total.",
    "invoice_list": "An invoice's total in its detail against the one in the list of invoices.",
    "credit_notes": "A credit note against what the invoices come to that it takes back; without a figure of the "
    "vendor's for an invoice that was refunded without a note.",
    "merged_originals": "Originals that count beside the invoice that they were merged into, against none.",
    "unpaid_balance": "Sum of the unpaid invoices against the account's balance.",
}


def figures_of(entry: dict[str, Any], detail: dict[str, Any], row: dict[str, Any]) -> dict[str, Pair]:
    """What an invoice's own figures must add up to; in another currency than its own the list states nothing of it."""
    items = entries(detail["items"]) or []
    subtotal, total = money(detail.get("subtotal")), money(detail.get("total"))
    tax, tax2 = money(detail.get("tax")) or Decimal(0), money(detail.get("tax2")) or Decimal(0)
    credit = money(detail.get("credit")) or Decimal(0)
    of_lines = sum_if_complete(money(item.get("linetotal")) for item in items)
    expected = _expected_tax(detail, items, row["currency"])
    swapped = currency_code(entry.get("currency")) not in (None, row["currency"])
    listed = Decimal(0) if swapped else money(entry.get("total"))
    whole = None if subtotal is None else subtotal + tax + tax2 - credit
    return {
        "invoice_lines": (of_lines, subtotal),
        "invoice_tax": (tax + tax2 if (tax + tax2) in expected else next(iter(expected)), tax + tax2),
        "invoice_total": (whole, total),
        "invoice_list": (total, listed),
    }


def invoice_controls(
    source: Source, row: dict[str, Any], figures: dict[str, Pair], landing: Landing
) -> list[dict[str, Any]]:
    """The controls of one invoice; what there are no figures for is unavailable."""
    day = row["issued_on"] or landing.started_at.astimezone(source.zone).date()
    read_at, subject, currency = landing.started_at, row["invoice_id"], row["currency"]
    return [
        control_total(
            source, INVOICES, day, ACCOUNT, name, *figures.get(name, (None, None)), read_at, subject, currency
        )
        for name in OF_AN_INVOICE
    ]


def _expected_tax(detail: dict[str, Any], items: list[dict[str, Any]], currency: str) -> list[Decimal]:
    """The tax of the taxed lines in whole coins, rounded once, or line by line: both are in use."""
    rates = [money(detail.get(name)) or Decimal(0) for name in ("taxrate", "taxrate2")]
    if is_true(detail.get("taxexempt")):
        return [Decimal(0)]
    taxed = [money(item.get("linetotal")) or Decimal(0) for item in items if is_true(item.get("taxed"))]
    once = sum((in_coins(sum(taxed, Decimal(0)) * rate / 100, currency) for rate in rates), Decimal(0))
    by_line = sum((in_coins(line * rate / 100, currency) for line in taxed for rate in rates), Decimal(0))
    return [once, by_line]


def note_controls(source: Source, notes: list[Note], landing: Landing) -> list[dict[str, Any]]:
    """Of each credit note whether invoices that count explain it; unavailable where nothing shows which."""
    today, read_at = landing.started_at.astimezone(source.zone).date(), landing.started_at
    return [
        control_total(
            source,
            INVOICES,
            note["issued_on"] or today,
            ACCOUNT,
            "credit_notes",
            covered,
            abs(whole) if (whole := whole_of(note)) is not None else None,
            read_at,
            note["invoice_id"],
            note["currency"],
        )
        for note, _, covered in notes
    ]


def refund_controls(
    source: Source, invoices: list[dict[str, Any]], notes: list[Note], landing: Landing
) -> list[dict[str, Any]]:
    """Of each invoice whose money went back without a credit note, that nothing the vendor gives says how much did."""
    today, read_at = landing.started_at.astimezone(source.zone).date(), landing.started_at
    noted = {original["invoice_id"] for note in notes for original in note.originals}
    return [
        control_total(
            source,
            INVOICES,
            invoice["issued_on"] or today,
            ACCOUNT,
            "credit_notes",
            whole,
            None,
            read_at,
            invoice["invoice_id"],
            invoice["currency"],
        )
        | {"remark": "It is counted as if all of it went back: no credit note says how much did."}
        for invoice in invoices
        if invoice["status"] in ("refunded", "chargeback") and invoice["invoice_id"] not in noted
        if not invoice["merged_into"] and (whole := whole_of(invoice))
    ]


def merged_controls(
    source: Source, invoices: list[dict[str, Any]], lines: list[dict[str, Any]], landing: Landing
) -> list[dict[str, Any]]:
    """Of the originals that an invoice's lines name, none may count beside it, whatever the list says of them."""
    whole = {invoice["invoice_id"]: invoice for invoice in invoices}
    originals: dict[str, set[str]] = {}
    for line in lines:
        if line["type"] == "Invoice" and line["item_id"] in whole and line["item_id"] != line["invoice_id"]:
            originals.setdefault(line["invoice_id"], set()).add(line["item_id"])
    today = landing.started_at.astimezone(source.zone).date()
    rows = []
    for merged, named in originals.items():
        both = Decimal(sum(whole[name]["counts_as_expense"] for name in named)) * whole[merged]["counts_as_expense"]
        day, read_at = whole[merged]["issued_on"] or today, landing.started_at
        rows.append(
            control_total(source, INVOICES, day, ACCOUNT, "merged_originals", both, Decimal(0), read_at, subject=merged)
        )
    return rows


def unpaid_control(
    source: Source,
    listed: list[dict[str, Any]],
    invoices: list[dict[str, Any]],
    currency: str,
    balances: list[dict[str, Any]],
    landing: Landing,
) -> dict[str, Any]:
    """What is unpaid in the account's own currency makes the balance; an original counts in its merged invoice.

    ``listed`` are the ``invoices`` as the list says, in the same order. What would fill the account's credit is no
    debt; whether the vendor's balance has it is not documented.
    """
    ids = {row["invoice_id"] for row in listed}
    open_ = [
        (row["total"], invoice)
        for row, invoice in zip(listed, invoices, strict=True)
        if row["status"] in OPEN and row["merged_into"] not in ids and row["currency"] == currency
    ]
    everything = sum_if_complete(total for total, _ in open_)
    invoiced = sum_if_complete(total for total, invoice in open_ if invoice["status"] not in RECEIPTS)
    debt = sum_if_complete(total for total, invoice in open_ if invoice["counts_as_expense"])
    theirs = balances[0]["balance"] if balances else None
    unpaid = theirs if theirs is not None and theirs in (everything, invoiced) else debt
    today = landing.started_at.astimezone(source.zone).date()
    return control_total(
        source,
        INVOICES,
        today,
        ACCOUNT,
        "unpaid_balance",
        unpaid,
        theirs,
        landing.started_at,
        currency=currency,
    )
