"""Which of a hosting account's documents are an expense: merged families, money on account, credit notes.

What lives here: rules over the rows of ``core.invoice`` and ``core.invoice_line`` of one connection, all of them, every
time. What does not: reading the vendor's responses (``invoices``), what an expense comes to by day (the marts).

Money that fills the account's credit (``credit_added``) is an asset: the expense is what is paid with it, later. A
credit note counts, and with it the invoice that it takes back, whatever that one's status says: both or neither.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

Row = dict[str, Any]

NOT_AN_EXPENSE = frozenset({"cancelled", "draft", "recurring", "refunded", "creditnotedraft", "chargeback"})
VOID = NOT_AN_EXPENSE - {"refunded", "chargeback"}  # nobody ever paid it: a merged one of these carries no original
CREDIT_NOTES = frozenset({"creditnote", "creditnotedraft"})
RECEIPTS = frozenset({"receiptpaid", "receiptunpaid"})
RETURNED = frozenset({"refunded", "chargeback", "credited"})  # the vendor says itself that money went back
_UNDOES = frozenset({"refunded", "chargeback", "cancelled"})  # whose invoice counts only beside a note that says so
_ADDS_FUNDS = re.compile(r"\badd(ing|ed)?\s+(account\s+)?funds\b|\baccount\s+funds\b", re.IGNORECASE)
_ZERO = Decimal(0)


class Note(NamedTuple):
    """A credit note, the invoices that it takes back, and how much of it they come to; None where that is not known."""

    row: Row
    originals: tuple[Row, ...]
    covered: Decimal | None


def judge(invoices: Sequence[Row], lines: Sequence[Row]) -> list[Note]:
    """Set ``credit_added`` of lines and invoices, and ``counts_as_expense``; return what each credit note is for."""
    by_id = {invoice["invoice_id"]: invoice for invoice in invoices}
    lines_of: dict[str, list[Row]] = {invoice_id: [] for invoice_id in by_id}
    for line in lines:
        line["credit_added"] = _ZERO
        lines_of[line["invoice_id"]].append(line)
    for invoice in invoices:
        invoice["credit_added"] = _credit_added(invoice, by_id, lines_of)
    notes = _notes(by_id, lines_of)
    for note in notes:
        _give_credit_back(note, lines_of[note.row["invoice_id"]])
    taken_back = frozenset(
        original["invoice_id"] for note in notes for original in note.originals if original["status"] in _UNDOES
    )
    for invoice in invoices:
        effective = takes_effect(invoice, by_id, taken_back)
        if not effective:
            invoice["credit_added"] = _ZERO
        # What does nothing but fill the account's credit is no expense.
        fills = invoice["status"] in RECEIPTS or (
            invoice["credit_added"] and invoice["credit_added"] == whole_of(invoice)
        )
        invoice["counts_as_expense"] = effective and not fills
    return notes


def takes_effect(invoice: Row, by_id: Mapping[str, Row], taken_back: frozenset[str] = frozenset()) -> bool:
    """Of an invoice and those that it was merged into, one after the other, the last that is not void does.

    One that is cancelled or refunded does where a credit note takes it back: that counts, too.
    """
    if invoice["status"] in NOT_AN_EXPENSE and invoice["invoice_id"] not in taken_back:
        return False
    own, *later = _family(invoice["invoice_id"], by_id)
    if later and by_id[later[-1]]["merged_into"] == own:  # they contradict each other, and the newest is believed
        later = [other for other in later if (len(other), other) > (len(own), own)]
    return all(by_id[other]["status"] in VOID and other not in taken_back for other in later)


def whole_of(invoice: Row) -> Decimal | None:
    """What an invoice comes to before credit is applied to it; None where nothing says so."""
    subtotal, tax, total = (invoice.get(name) for name in ("subtotal", "tax", "total"))
    return total if subtotal is None else subtotal + (tax or _ZERO)


def _family(invoice_id: str, by_id: Mapping[str, Row]) -> list[str]:
    """The invoice, and those that it was merged into, one after the other."""
    chain, merged = [invoice_id], by_id[invoice_id]["merged_into"]
    while merged in by_id and merged not in chain:
        chain.append(merged)
        merged = by_id[merged]["merged_into"]
    return chain


# --- money on account -------------------------------------------------------------------------------------------------


def _credit_added(
    invoice: Row, by_id: Mapping[str, Row], lines_of: Mapping[str, list[Row]], merged: tuple[str, ...] = ()
) -> Decimal:
    """What an invoice fills the account's credit with, in all; sets the part of each line."""
    if invoice["status"] in CREDIT_NOTES:
        return _ZERO
    for line in lines_of[invoice["invoice_id"]]:
        amount = line["line_total"] or _ZERO
        item = line["item_id"]
        if invoice["status"] in RECEIPTS or (amount > 0 and _adds_funds(line)):
            line["credit_added"] = amount
        elif line["type"] == "Invoice" and item in by_id and item not in (*merged, invoice["invoice_id"]):
            original = _credit_added(by_id[item], by_id, lines_of, (*merged, invoice["invoice_id"]))
            line["credit_added"] = max(_ZERO, min(original, amount))
    if invoice["status"] in RECEIPTS:
        return whole_of(invoice) or _ZERO
    return sum((line["credit_added"] for line in lines_of[invoice["invoice_id"]]), _ZERO)


def _adds_funds(line: Row) -> bool:
    """Of type Credit, or of no service and with the vendor's own words for it."""
    if (line["type"] or "").lower() == "credit":
        return True
    return line["item_id"] in (None, "", "0") and bool(_ADDS_FUNDS.search(line["description"] or ""))


def _only_adds_funds(invoice: Row) -> bool:
    return bool(invoice["credit_added"]) and invoice["credit_added"] in (invoice.get("subtotal"), whole_of(invoice))


def _give_credit_back(note: Note, lines: Sequence[Row]) -> None:
    """What a note takes back of money on account is no smaller expense, but a smaller credit."""
    only_funds = bool(note.originals) and all(map(_only_adds_funds, note.originals))
    some_funds = any(original["credit_added"] for original in note.originals)
    for line in lines:
        words = bool(_ADDS_FUNDS.search(line["description"] or ""))
        if only_funds or words or (some_funds and _adds_funds(line)):
            line["credit_added"] = line["line_total"] or _ZERO
    if only_funds and all(original["status"] in RECEIPTS for original in note.originals):
        note.row["credit_added"] = whole_of(note.row) or _ZERO
    else:
        note.row["credit_added"] = sum((line["credit_added"] for line in lines), _ZERO)


# --- credit notes -----------------------------------------------------------------------------------------------------


def _notes(by_id: Mapping[str, Row], lines_of: Mapping[str, list[Row]]) -> list[Note]:
    """The credit notes with the invoices that each takes back: those that it names, else those that can be meant."""
    notes = [invoice for invoice in by_id.values() if invoice["status"] == "creditnote"]
    if not notes:
        return []
    notes.sort(key=lambda note: (note["issued_on"] or date.max, note["invoice_id"]))
    others = [
        invoice
        for invoice in by_id.values()
        if invoice["status"] not in CREDIT_NOTES | {"draft", "recurring"}
        and takes_effect(invoice, by_id, frozenset({invoice["invoice_id"]}))
    ]
    left = {invoice["invoice_id"]: abs(whole_of(invoice) or _ZERO) for invoice in others}
    named = {note["invoice_id"]: _named(note, lines_of[note["invoice_id"]], by_id, left) for note in notes}
    found = []
    # What is named is taken first, so that it is not there to be guessed.
    for note in sorted(notes, key=lambda note: not named[note["invoice_id"]]):
        originals, certain = named[note["invoice_id"]], True
        if not originals:
            originals, certain = _meant(note, lines_of, [other for other in others if left[other["invoice_id"]]], left)
        amount = rest = abs(whole_of(note) or _ZERO)
        for original in originals:
            part = min(rest, left[original["invoice_id"]])
            left[original["invoice_id"]] -= part
            rest -= part
        found.append(Note(note, tuple(originals), amount - rest if certain and whole_of(note) is not None else None))
    return found


def _named(note: Row, lines: Sequence[Row], by_id: Mapping[str, Row], left: Mapping[str, Decimal]) -> list[Row]:
    """The invoices whose number or id the note's lines say; of one that was merged the one that counts for it."""
    text = " ".join(line["description"] or "" for line in lines)
    found = {line["item_id"] for line in lines if line["type"] == "Invoice" and line["item_id"] in by_id}
    for other in by_id.values():
        if other["status"] not in CREDIT_NOTES and any(
            _says(text, name) for name in {other["number"], other["invoice_id"]} if name and name in text
        ):
            found.add(other["invoice_id"])
    counting = {next((one for one in _family(name, by_id) if one in left), None) for name in found}
    return [by_id[name] for name in sorted(filter(None, counting))]


def _says(text: str, name: str) -> bool:
    """Whether a text names an invoice; a mere number must be called one, as ``#12`` or ``invoice 12``."""
    called = r"(?:#|\b(?:invoice|inv|number|no|nr|id)\b[.:]?\s*#?\s*)" if name.isdigit() else r"(?<![\w/.-])"
    return re.search(rf"{called}{re.escape(name)}(?![\w/-]|\.\w)", text, re.IGNORECASE) is not None


def _meant(
    note: Row, lines_of: Mapping[str, list[Row]], others: Sequence[Row], left: Mapping[str, Decimal]
) -> tuple[list[Row], bool]:
    """The invoices that a note which names none can take back, and whether no others can be meant just as well."""
    own = lines_of[note["invoice_id"]]
    items = {line["item_id"] for line in own if line["item_id"] not in (None, "", "0") and line["item_id"][0] != "-"}
    funds = bool(own) and all(map(_adds_funds, own))
    amount = abs(whole_of(note) or _ZERO)

    def shares(other: Row) -> bool:
        return not items or any({line["item_id"], line["line_id"]} & items for line in lines_of[other["invoice_id"]])

    def counts(other: Row) -> bool:
        return other["status"] not in NOT_AN_EXPENSE

    others = sorted(
        (
            other
            for other in others
            if other["currency"] == note["currency"]
            and not (other["issued_on"] and note["issued_on"] and other["issued_on"] > note["issued_on"])
        ),
        key=lambda other: (shares(other), other["issued_on"] or date.min, other["invoice_id"]),
        reverse=True,
    )
    returned = [
        other
        for other in others
        if other["status"] in RETURNED or (other["status"] == "cancelled" and other["paid_at"] is not None)
    ]
    whole = [other for other in others if left[other["invoice_id"]] == amount]
    part = [other for other in returned if shares(other) and left[other["invoice_id"]] >= amount]
    costs = [other for other in others if counts(other) and (funds or not _only_adds_funds(other))]
    if both := [other for other in whole if other in returned]:
        return both[:1], len({counts(other) for other in both}) == 1
    if both := [other for other in whole if other in costs]:
        return both[:1], all(map(counts, part))
    if part:
        return part[:1], len(part) == 1 or all(map(counts, part))
    several = [other for other in returned if shares(other)]
    if several and sum(left[other["invoice_id"]] for other in several) == amount:
        return several, True
    if both := [other for other in costs if left[other["invoice_id"]] >= amount and not _only_adds_funds(other)]:
        return both[:1], True
    return whole[:1], bool(whole)
