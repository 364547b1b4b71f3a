"""The invoices of Time4VPS with their lines, and services and balance.

What lives here: joining the list of invoices with their details, and which invoices need their details again. What does
not: what is asked (``api``), which documents are an expense (``invoice_rules``), which days a line pays for
(``invoice_period``), the proof of an invoice (``controls``). Dates of payment are naive, in the account's zone.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import duckdb

from assets.http import strict_json
from assets.http.optional_lists import kept, not_given
from assets.parsing import is_true, origin, register_rows, text
from assets.stream import Source
from assets.time4vps.api import NOT_FOUND, balance_details, entries
from assets.time4vps.controls import (
    ACCOUNT,
    INVOICES,
    OF_AN_INVOICE,
    OPEN,
    figures_of,
    invoice_controls,
    merged_controls,
    note_controls,
    refund_controls,
    unpaid_control,
)
from assets.time4vps.invoice_period import period_of_cycle, period_of_text
from assets.time4vps.invoice_rules import CREDIT_NOTES, NOT_AN_EXPENSE, judge
from tollbook_errors import IntegrityError
from warehouse.core import read_core
from warehouse.merge import Normalised
from warehouse.money import currency_code, money
from warehouse.raw import Landing
from warehouse.schema import (
    ACCOUNT_TABLE,
    BALANCE,
    CONTROL_TOTAL,
    FIRST_YEAR,
    INVOICE,
    INVOICE_LINE,
    LAST_YEAR,
    SERVICE,
)

SETTLED = frozenset({"paid", "cancelled", "refunded", "credited", "creditnote", "receiptpaid", "chargeback"})
KNOWN = SETTLED | OPEN | NOT_AN_EXPENSE | CREDIT_NOTES


def previous_invoices(source: Source) -> dict[str, dict[str, Any]]:
    """The invoices as core has them."""
    partition = source.lake.core.partition(INVOICES, source.name, None)
    files = source.lake.core.files(partition) if partition else {}
    if INVOICE.full_name not in files:
        return {}
    return {row["invoice_id"]: row for row in read_core(INVOICE, files[INVOICE.full_name]).to_pylist()}


def needs_detail(source: Source, entry: dict[str, Any], previous: dict[str, Any] | None) -> bool:
    """A settled invoice that the list shows as it was, with its details, is not asked for again."""
    if previous is None or previous["status"] not in SETTLED or previous["subtotal"] is None:
        return True
    listed = _listed(source, entry)
    if currency_code(entry.get("currency")) not in (None, previous["currency"]):
        return True
    return any(
        listed[name] != previous[name] for name in ("status", "number", "paid_at", "issued_on", "merged_into")
    ) or (listed["total"] is not None and abs(listed["total"]) != abs(previous["total"] or Decimal(0)))


def normalise_invoices(source: Source, con: duckdb.DuckDBPyConnection, landing: Landing) -> Normalised:
    """Invoices and lines (details from this landing, else as they were), services, balance, and the control totals."""
    responses: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    not_found: set[str] = set()
    landed = source.lake.raw.responses(landing)
    for response in landed:
        if response["kind"] == NOT_FOUND:
            not_found.add(strict_json.loads(response["request"])["id"])
        place = origin(source, landing, response)
        responses.setdefault(response["kind"], []).append((strict_json.loads(response["body"]), place))
    listed = entries(responses["invoices"][0][0]["invoices"]) or []
    details = {str(data["invoice"]["id"]): (data["invoice"], place) for data, place in responses.get("invoice", [])}
    previous = [
        con.table(f"previous_{table_.name}").to_arrow_table().to_pylist()
        for table_ in (INVOICE, INVOICE_LINE, CONTROL_TOTAL)
    ]
    previous_invoices = {row["invoice_id"]: row for row in previous[0]}
    invoices: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    controls: list[dict[str, Any]] = []
    listed_rows = [_listed(source, entry) for entry in listed]
    for entry, row in zip(listed, listed_rows, strict=True):
        invoice_id = row["invoice_id"]
        if invoice_id in details:
            made = _detailed(source, entry, row, *details[invoice_id], landing)
        elif invoice_id in previous_invoices:
            made = _as_before(row, previous_invoices[invoice_id], *previous[1:])
        elif invoice_id in not_found:
            made = _listed_only(source, row, responses["invoices"][0][1], landing)
        else:
            raise IntegrityError(
                "an invoice's details are neither in this landing nor in an earlier one",
                connection=source.name,
                endpoint=INVOICES,
                hint="restore the landings before it from a backup",
            )
        invoices.append(made.row)
        lines += made.lines
        controls += made.controls
    balances = [_balance(source, balance, where) for balance, where in responses.get("balance", [])]
    currency = balances[0]["currency"] if balances else source.currency or "XXX"
    services = [
        row
        for data, where in responses.get("services", [])
        for row in _services(entries(data["services"]) or [], where, currency)
    ]
    _set_periods(invoices, lines, previous[1], services)
    notes = judge(invoices, lines)
    unknown = sum(invoice["status"] not in KNOWN for invoice in invoices)
    warnings = [f"{unknown} invoices have a status that is not known"] if unknown else []
    undated = sum(invoice["counts_as_expense"] and invoice["issued_on"] is None for invoice in invoices)
    if undated:
        warnings.append(f"{undated} invoices have no date of issue, so no day's cost holds them")
    if not_found:
        warnings.append(f"{len(not_found)} listed invoices are not to be found: their lines and taxes are not known")
    if unexplained := sum(note.covered is None for note in notes):
        warnings.append(
            f"{unexplained} credit notes name no invoice, and none or more than one can be meant: "
            "whether its cost is counted as well cannot be told"
        )
    controls += note_controls(source, notes, landing) + refund_controls(source, invoices, notes, landing)
    controls += merged_controls(source, invoices, lines, landing)
    warnings += not_given(landed)
    # A balance of an earlier load proves nothing of these invoices.
    proving = [] if (None, "balance") in kept(landed) else balances
    controls.append(unpaid_control(source, listed_rows, invoices, currency, proving, landing))
    _, place = (responses.get("balance") or responses["invoices"])[0]
    rows = {
        INVOICE: invoices,
        INVOICE_LINE: lines,
        SERVICE: services,
        BALANCE: balances,
        ACCOUNT_TABLE: [{**place, "account_id": ACCOUNT, "name": source.name, "currency": currency}],
    }
    return Normalised(register_rows(con, rows), controls, warnings=warnings)


class _Made(NamedTuple):
    """One invoice: its row, its lines and its control totals."""

    row: dict[str, Any]
    lines: list[dict[str, Any]]
    controls: list[dict[str, Any]]


def _detailed(
    source: Source,
    entry: dict[str, Any],
    row: dict[str, Any],
    detail: dict[str, Any],
    place: dict[str, Any],
    landing: Landing,
) -> _Made:
    """The invoice as list and details have it."""
    sign = _sign(detail, row["status"])
    row = row | place | _detail(detail, row, sign)
    controls = invoice_controls(source, row, figures_of(entry, detail, row), landing)
    return _Made(row, invoice_lines(detail, row, place, sign), controls)


def _as_before(
    row: dict[str, Any], before: dict[str, Any], lines: list[dict[str, Any]], controls: list[dict[str, Any]]
) -> _Made:
    """The invoice as its details were before, with the columns of the list that change without them.

    How it stands to other invoices is looked at anew.
    """
    invoice_id = row["invoice_id"]
    return _Made(
        {**before, **{name: row[name] for name in ("status", "number", "merged_into", "due_on")}},
        [line for line in lines if line["invoice_id"] == invoice_id],
        [
            control
            for control in controls
            if control["subject"] == invoice_id and control["check_name"] in OF_AN_INVOICE
        ],
    )


def _listed_only(source: Source, row: dict[str, Any], place: dict[str, Any], landing: Landing) -> _Made:
    """The invoice as the list alone has it: without lines until the vendor gives its details."""
    total = row["total"]
    if row["status"] in CREDIT_NOTES and total is not None:
        total = -abs(total)
    return _Made(place | row | {"total": total}, [], invoice_controls(source, row, {}, landing))


def _listed(source: Source, entry: dict[str, Any]) -> dict[str, Any]:
    """The invoice as the list has it; ``dateorig`` and ``merge_id`` are only there."""
    status = str(entry.get("status") or "").strip().lower()
    return {
        "vendor": source.vendor,
        "connection": source.name,
        "invoice_id": str(entry["id"]),
        "number": text(entry.get("number")),
        "status": status,
        "issued_on": _day(entry.get("dateorig")) or _day(entry.get("date")),
        "due_on": _day(entry.get("duedate")),
        "paid_at": _moment(source, entry.get("datepaid")),
        "total": money(entry.get("total")),
        "currency": _currency(source, entry),
        "merged_into": _merged_into(entry),
    }


def _merged_into(entry: dict[str, Any]) -> str | None:
    merged = str(entry.get("merge_id") or "").strip()
    return merged if merged not in ("", "0", str(entry["id"])) else None


def _currency(source: Source, payload: dict[str, Any]) -> str:
    return currency_code(payload.get("currency")) or source.currency or "XXX"


def _sign(detail: dict[str, Any], status: str) -> int:
    """−1 where a credit note is written with positive amounts: ours are negative, whatever sign the vendor writes."""
    whole = money(detail.get("subtotal")) or money(detail.get("total")) or Decimal(0)
    return -1 if status in CREDIT_NOTES and whole > 0 else 1


def _detail(detail: dict[str, Any], row: dict[str, Any], sign: int) -> dict[str, Any]:
    taxes = [money(detail.get(name)) for name in ("tax", "tax2")]
    known = [tax for tax in taxes if tax is not None]
    return {
        "subtotal": _times(money(detail.get("subtotal")), sign),
        "tax": _times(sum(known, Decimal(0)) if known else None, sign),
        "tax_rate": _percent(detail.get("taxrate")),
        "credit": money(detail.get("credit")),
        "total": _times(money(detail.get("total")), sign),
        "currency": currency_code(detail.get("currency")) or row["currency"],
    }


def invoice_lines(
    detail: dict[str, Any], row: dict[str, Any], place: dict[str, Any], sign: int
) -> list[dict[str, Any]]:
    return [
        {
            **place,
            "invoice_id": row["invoice_id"],
            "line_id": str(item.get("id") or number),
            "type": text(item.get("type")),
            "item_id": text(item.get("item_id")),
            "description": text(item.get("description")),
            "quantity": money(item.get("qty")),
            "unit_amount": money(item.get("amount")),
            "taxed": is_true(item.get("taxed")),
            "line_total": _times(money(item.get("linetotal")), sign),
            "currency": row["currency"],
        }
        for number, item in enumerate(entries(detail["items"]) or [], 1)
    ]


def _set_periods(
    invoices: list[dict[str, Any]],
    lines: list[dict[str, Any]],
    previous: list[dict[str, Any]],
    services: list[dict[str, Any]],
) -> None:
    """The days that each line pays for: by its text, else by the cycle that its service had when it was first read."""
    issued = {invoice["invoice_id"]: invoice["issued_on"] for invoice in invoices}
    cycles = {service["service_id"]: service["billing_cycle"] for service in services}
    known = {
        (line["invoice_id"], line["line_id"], line["item_id"]): (line["period_from"], line["period_until"])
        for line in previous
    }
    for line in lines:
        day = issued[line["invoice_id"]]
        period = period_of_text(line["description"] or "", day)
        if not period and day and (line["type"] or "").lower() in ("hosting", "addon"):
            period = known.get((line["invoice_id"], line["line_id"], line["item_id"]))
            if not period or period[0] != day:  # not known yet, or of another day of issue
                period = period_of_cycle(day, cycles.get(line["item_id"]))
        line["period_from"], line["period_until"] = period or (None, None)


def _services(services: list[dict[str, Any]], place: dict[str, Any], currency: str | None) -> Iterator[dict[str, Any]]:
    for number, entry in enumerate(services):
        yield {
            **place,
            "raw_row": place["raw_row"] + number,
            "service_id": str(entry["id"]),
            "name": text(entry.get("name")),
            "domain": text(entry.get("domain")),
            "category": text(entry.get("category")),
            "status": str(entry.get("status") or "").lower() or None,
            "billing_cycle": text(entry.get("billingcycle")),
            "next_due_on": _day(entry.get("next_due")),
            "recurring_amount": money(entry.get("total")),
            "currency": currency,
        }


def _balance(source: Source, payload: dict[str, Any], place: dict[str, Any]) -> dict[str, Any]:
    details = balance_details(payload) or {}
    return {
        **place,
        "account_id": ACCOUNT,
        "account_type": "hosting",
        "balance": money(details.get("acc_balance")),
        "credit": money(details.get("acc_credit")),
        "currency": _currency(source, details),
    }


def _times(amount: Decimal | None, sign: int) -> Decimal | None:
    return amount * sign if amount is not None else None


def _percent(value: Any) -> Decimal | None:
    """A rate with four places, as its column holds it; None for what can be no rate."""
    rate = money(value)
    return rate.quantize(Decimal("0.0001")) if rate is not None and abs(rate) < 10_000 else None


def _day(value: Any) -> date | None:
    """A date; None for a zero date, one that stands for never, and what is no date."""
    try:
        day = date.fromisoformat(str(value)[:10])
    except ValueError:
        return None
    return day if FIRST_YEAR <= day.year <= LAST_YEAR else None


def _moment(source: Source, value: Any) -> datetime | None:
    """A naive time in the account's zone, as UTC; None for a zero date."""
    try:
        moment = datetime.fromisoformat(str(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=source.account_zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
