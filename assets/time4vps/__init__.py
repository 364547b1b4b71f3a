"""Time4VPS: what its invoices, services and balance mean, and the assets that load them. Raw, normalise, core.

What lives here: which invoices need their details again, joining list and detail, and the vendor's own sums as control
totals. What does not: what is asked (``sources.time4vps``), which documents are an expense (``invoice_rules``), the
steps every vendor shares (``loading``). Dates of payment are naive, in the account's zone.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
from dagster import AssetExecutionContext, AssetsDefinition, PartitionsDefinition, multi_asset

from assets.controls import control_total
from assets.http import strict_json
from assets.http.optional_lists import kept, not_given
from assets.http.page import Page
from assets.load import Fetch, Normalised, Source, Stream, Window, optional_lists
from assets.materialize import (
    RESOURCE,
    Connection,
    check_specs,
    core_specs,
    materialize_stream,
    raw_spec,
    runtime,
    typed_errors,
)
from assets.time4vps.api import NOT_FOUND, Time4VPS, balance_details, entries
from assets.time4vps.invoice_period import period_of_cycle, period_of_text
from assets.time4vps.invoice_rules import CREDIT_NOTES, NOT_AN_EXPENSE, RECEIPTS, Note, judge, whole_of
from tollbook_errors import IntegrityError
from warehouse.lake import Landing, RawWriter, read_core
from warehouse.money import currency_code, in_coins, money
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

INVOICES = "invoices"
ACCOUNT = "client"  # the one account of a connection
SETTLED = frozenset({"paid", "cancelled", "refunded", "credited", "creditnote", "receiptpaid", "chargeback"})
OPEN = frozenset({"unpaid", "collections", "receiptunpaid"})
KNOWN = SETTLED | OPEN | NOT_AN_EXPENSE | CREDIT_NOTES
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

# --- raw -------------------------------------------------------------------------------------------------------------


def fetch_invoices(source: Source) -> Fetch:
    """The list, the details of what is open or has changed, services and balance."""

    def pages(writer: RawWriter) -> Iterator[Page]:
        vps = Time4VPS(source.client())
        listed = vps.invoices()
        yield listed
        previous = _previous_invoices(source)
        for entry in entries(listed.data["invoices"]) or []:
            if _needs_detail(source, entry, previous.get(str(entry["id"]))):
                yield vps.invoice(str(entry["id"]))
        optional = optional_lists(source, INVOICES)
        yield from optional.ask("services", None, lambda: [vps.services()])
        yield from optional.ask("balance", None, lambda: [vps.balance()])

    return pages


def _previous_invoices(source: Source) -> dict[str, dict[str, Any]]:
    """The invoices as core has them."""
    partition = source.lake.core_partition(INVOICES, source.name, None)
    files = source.lake.core_files(partition) if partition else {}
    if INVOICE.full_name not in files:
        return {}
    return {row["invoice_id"]: row for row in read_core(INVOICE, files[INVOICE.full_name]).to_pylist()}


def _needs_detail(source: Source, entry: dict[str, Any], previous: dict[str, Any] | None) -> bool:
    """A settled invoice that the list shows as it was, with its details, is not asked for again."""
    if previous is None or previous["status"] not in SETTLED or previous["subtotal"] is None:
        return True
    listed = _listed(source, entry)
    if currency_code(entry.get("currency")) not in (None, previous["currency"]):
        return True
    return any(
        listed[name] != previous[name] for name in ("status", "number", "paid_at", "issued_on", "merged_into")
    ) or (listed["total"] is not None and abs(listed["total"]) != abs(previous["total"] or Decimal(0)))


# --- normalise -------------------------------------------------------------------------------------------------------


def normalise_invoices(source: Source, con: duckdb.DuckDBPyConnection, landing: Landing) -> Normalised:
    """Invoices and lines (details from this landing, else as they were), services, balance, and the control totals."""
    responses: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    not_found: set[str] = set()
    landed = source.lake.responses(landing)
    for response in landed:
        if response["kind"] == NOT_FOUND:
            not_found.add(strict_json.loads(response["request"])["id"])
        place = {
            "vendor": source.vendor,
            "connection": source.name,
            "raw_file": landing.file,
            "raw_row": response["first_row"],
            "fetched_at": response["fetched_at"],
        }
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
    for entry in listed:
        row = _listed(source, entry)
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
    if untold := sum(note.covered is None for note in notes):
        warnings.append(
            f"{untold} credit notes name no invoice, and none or more than one can be meant: "
            "whether its cost is counted as well cannot be told"
        )
    controls += _note_controls(source, notes, landing) + _refund_controls(source, invoices, notes, landing)
    controls += _merged_controls(source, invoices, lines, landing)
    warnings += not_given(landed)
    # A balance that was known before proves nothing of tonight's invoices.
    proving = [] if (None, "balance") in kept(landed) else balances
    controls.append(_unpaid_control(source, listed, invoices, currency, proving, landing))
    _, place = (responses.get("balance") or responses["invoices"])[0]
    account = {"vendor": source.vendor, "connection": source.name, "account_id": ACCOUNT, "name": source.name}
    rows = {
        INVOICE: invoices,
        INVOICE_LINE: lines,
        SERVICE: services,
        BALANCE: balances,
        ACCOUNT_TABLE: [{**account, **place, "currency": currency}],
    }
    for table_, held in rows.items():
        con.register(f"fresh_{table_.name}", pa.Table.from_pylist(held, schema=table_.arrow()))
    return Normalised({table_: f"fresh_{table_.name}" for table_ in rows}, controls, warnings=warnings)


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
    """As list and details say."""
    sign = _sign(detail, row["status"])
    row = row | place | _detail(detail, row, sign)
    controls = _invoice_controls(source, row, _figures(entry, detail, row), landing)
    return _Made(row, _lines(detail, row, place, sign), controls)


def _as_before(
    row: dict[str, Any], before: dict[str, Any], lines: list[dict[str, Any]], controls: list[dict[str, Any]]
) -> _Made:
    """As its details were; of what the list says, what changes without them. Its kin is looked at anew."""
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
    """What the list says of it: no line of it costs anything, until the vendor gives its details."""
    total = row["total"]
    if row["status"] in CREDIT_NOTES and total is not None:
        total = -abs(total)
    return _Made(place | row | {"total": total}, [], _invoice_controls(source, row, {}, landing))


def _listed(source: Source, entry: dict[str, Any]) -> dict[str, Any]:
    """What the list says of an invoice; ``dateorig`` and ``merge_id`` stand only there."""
    status = str(entry.get("status") or "").strip().lower()
    return {
        "vendor": source.vendor,
        "connection": source.name,
        "invoice_id": str(entry["id"]),
        "number": _text(entry.get("number")),
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


def _lines(detail: dict[str, Any], row: dict[str, Any], place: dict[str, Any], sign: int) -> list[dict[str, Any]]:
    return [
        {
            **place,
            "invoice_id": row["invoice_id"],
            "line_id": str(item.get("id") or number),
            "type": _text(item.get("type")),
            "item_id": _text(item.get("item_id")),
            "description": _text(item.get("description")),
            "quantity": money(item.get("qty")),
            "unit_amount": money(item.get("amount")),
            "taxed": _truth(item.get("taxed")),
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
    """The days that each line pays for: as it says, else by the cycle that its service had when it was first read."""
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
            "name": _text(entry.get("name")),
            "domain": _text(entry.get("domain")),
            "category": _text(entry.get("category")),
            "status": str(entry.get("status") or "").lower() or None,
            "billing_cycle": _text(entry.get("billingcycle")),
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


# --- control totals --------------------------------------------------------------------------------------------------


def _figures(entry: dict[str, Any], detail: dict[str, Any], row: dict[str, Any]) -> dict[str, Pair]:
    """What an invoice's own figures must add up to; in another currency than its own the list states nothing of it."""
    items = entries(detail["items"]) or []
    subtotal, total = money(detail.get("subtotal")), money(detail.get("total"))
    tax, tax2 = money(detail.get("tax")) or Decimal(0), money(detail.get("tax2")) or Decimal(0)
    credit = money(detail.get("credit")) or Decimal(0)
    of_lines = _sum(money(item.get("linetotal")) for item in items)
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


def _invoice_controls(
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
    if _truth(detail.get("taxexempt")):
        return [Decimal(0)]
    taxed = [money(item.get("linetotal")) or Decimal(0) for item in items if _truth(item.get("taxed"))]
    once = sum((in_coins(sum(taxed, Decimal(0)) * rate / 100, currency) for rate in rates), Decimal(0))
    by_line = sum((in_coins(line * rate / 100, currency) for line in taxed for rate in rates), Decimal(0))
    return [once, by_line]


def _note_controls(source: Source, notes: list[Note], landing: Landing) -> list[dict[str, Any]]:
    """Of each credit note whether invoices that count explain it; unavailable where none can be told."""
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


def _refund_controls(
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


def _merged_controls(
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


def _unpaid_control(
    source: Source,
    listed: list[dict[str, Any]],
    invoices: list[dict[str, Any]],
    currency: str,
    balances: list[dict[str, Any]],
    landing: Landing,
) -> dict[str, Any]:
    """What is unpaid in the account's own currency makes the balance; an original counts in its merged invoice.

    What would fill the account's credit is no debt. Whether the vendor's balance has it is not documented.
    """
    ids = {str(entry["id"]) for entry in listed}
    open_ = [
        (money(entry.get("total")), row)
        for entry, row in zip(listed, invoices, strict=True)
        if row["status"] in OPEN and _merged_into(entry) not in ids and _currency(source, entry) == currency
    ]
    everything = _sum(total for total, _ in open_)
    invoiced = _sum(total for total, row in open_ if row["status"] not in RECEIPTS)
    debt = _sum(total for total, row in open_ if row["counts_as_expense"])
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


# --- values ----------------------------------------------------------------------------------------------------------


def _times(amount: Decimal | None, sign: int) -> Decimal | None:
    return amount * sign if amount is not None else None


def _percent(value: Any) -> Decimal | None:
    """A rate with four places, as its column holds it; None for what can be no rate."""
    rate = money(value)
    return rate.quantize(Decimal("0.0001")) if rate is not None and abs(rate) < 10_000 else None


def _text(value: Any) -> str | None:
    return str(value) if value is not None else None


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


def _truth(value: Any) -> bool:
    return str(value).strip().lower() in {"1", "true", "yes"}


def _sum(amounts: Any) -> Decimal | None:
    known = list(amounts)
    return None if None in known else sum(known, Decimal(0))


# --- core ------------------------------------------------------------------------------------------------------------


def invoices_stream(source: Source) -> Stream:
    """Invoices with their lines, services, balance."""
    return Stream(
        INVOICES,
        (INVOICE, INVOICE_LINE, SERVICE, BALANCE, ACCOUNT_TABLE),
        lambda con, landing, day: normalise_invoices(source, con, landing),
        CONTROLS,
    )


# --- assets ----------------------------------------------------------------------------------------------------------


def time4vps_assets(connection: Connection, days: PartitionsDefinition[str]) -> list[AssetsDefinition]:
    """The assets of one Time4VPS connection: invoices, services and balance, whole on every load."""

    @multi_asset(
        name=f"{connection.key}_{INVOICES}",
        specs=[
            raw_spec(
                connection,
                INVOICES,
                "Responses of `/invoice`, of the details of those invoices that are open or have changed, of "
                "`/service` and of `/balance`. A settled invoice that was landed is not asked for again.",
            ),
            *core_specs(connection, INVOICES, (INVOICE, INVOICE_LINE, SERVICE, BALANCE, ACCOUNT_TABLE)),
        ],
        check_specs=check_specs(connection, INVOICES, CONTROLS),
        required_resource_keys={RESOURCE},
    )
    @typed_errors
    def invoices(context: AssetExecutionContext) -> Iterator[Any]:
        source = runtime(context).source(connection.name, context)
        everything = [Window(None, None)]
        yield from materialize_stream(
            context, source, invoices_stream(source), everything, lambda window: fetch_invoices(source)
        )

    return [invoices]
