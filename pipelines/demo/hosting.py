"""What the hosting company billed: services and a year and more of invoices, the awkward kinds among them.

What lives here: services, invoices and their lines, and paying one. What does not: how Time4VPS writes them down
(``time4vps_api``). Amounts are Decimal in the invoice's own currency; dates are the vendor's own.
"""

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

TAX_RATE = 21
CENT = Decimal("0.01")
OPEN = frozenset({"Unpaid"})
NO_EXPENSE = frozenset({"Cancelled", "Draft", "Refunded"})


@dataclass(frozen=True)
class Service:
    """A hosting service; ``price`` for each billing cycle."""

    id: str
    name: str
    domain: str
    category: str
    cycle: str
    price: Decimal
    status: str = "Active"


SERVICES = (
    Service("301", "Linux VPS 8", "pbx-recordings.example.com", "Linux VPS", "Monthly", Decimal("9.99")),
    Service("302", "Linux VPS 16", "crm.example.com", "Linux VPS", "Monthly", Decimal("17.49")),
    Service("303", "Storage VPS 2TB", "archive.example.com", "Storage VPS", "Quarterly", Decimal("44.97")),
    Service("304", "Windows VPS 4", "legacy.example.com", "Windows VPS", "Monthly", Decimal("21.00"), "Cancelled"),
    Service("305", "Container VPS", "new.example.com", "Container VPS", "Monthly", Decimal("3.99"), "Pending"),
)


@dataclass(frozen=True)
class Line:
    """A line of an invoice."""

    id: str
    type: str
    item_id: str
    description: str
    amount: Decimal
    quantity: Decimal = Decimal("1.00")
    taxed: bool = True

    @property
    def total(self) -> Decimal:
        return (self.amount * self.quantity).quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True)
class Invoice:
    """An invoice. ``credit`` is account credit applied; ``paid_at`` is the vendor's local time, "" while unpaid."""

    id: str
    number: str
    status: str
    issued_on: date
    lines: tuple[Line, ...]
    currency: str
    credit: Decimal = Decimal("0.00")
    paid_at: str = ""
    merged_into: str | None = None
    shown_date: date | None = None  # the date shown, where a payment moved it
    connection: str = "vps"
    counts_as_expense: bool = field(default=True)

    @property
    def due_on(self) -> date:
        return self.issued_on + timedelta(days=7)

    @property
    def subtotal(self) -> Decimal:
        return sum((line.total for line in self.lines), Decimal("0.00"))

    @property
    def tax(self) -> Decimal:
        taxed = sum((line.total for line in self.lines if line.taxed), Decimal("0.00"))
        return (taxed * TAX_RATE / 100).quantize(CENT, ROUND_HALF_UP)

    @property
    def total(self) -> Decimal:
        return self.subtotal + self.tax - self.credit


def _months(first: date, last: date) -> list[date]:
    """The first days of the months from a year before ``first`` to ``last``."""
    month, months = first.replace(day=1, year=first.year - 1), []
    while month <= last:
        months.append(month)
        month = (month + timedelta(days=32)).replace(day=1)
    return months


class Hosting:
    """All invoices of the account: regular ones month by month, and one of each awkward kind in the last months."""

    def __init__(self, first: date, last: date, currency: str) -> None:
        self.currency = currency
        self._next_line = 12_300
        self.invoices: list[Invoice] = []
        months = _months(first, last)
        for number, month in enumerate(months):
            self._month(month, number, recent=len(months) - number)
        self._awkward(months[-1], months[-2], months[-3])

    def _month(self, month: date, number: int, recent: int) -> None:
        due = [s for s in SERVICES if s.status == "Active" and (s.cycle == "Monthly" or month.month % 3 == 1)]
        lines = [self._line("Hosting", s.id, f"{s.name} - {s.domain} ({month:%Y-%m})", s.price) for s in due]
        lines.append(self._line("Addon", "302", "Additional IPv4 address", Decimal("1.25"), Decimal(2)))
        if number % 2:
            lines.append(self._line("Other", "-2", "Payment fee", Decimal("1.24")))
        issued = month + timedelta(days=2)
        credit = Decimal("5.00") if number % 4 == 1 else Decimal("0.00")
        self._add(issued, lines, "Unpaid" if recent == 1 else "Paid", credit=credit)

    def _awkward(self, month: date, before: date, earlier: date) -> None:
        one = [self._line("Upgrade", "302", "Upgrade to Linux VPS 16", Decimal("7.50"))]
        other = [self._line("OSLicense", "304", "Licence, half a month", Decimal("6.35"))]
        originals = [self._add(before + timedelta(days=day), lines, "Paid") for day, lines in ((9, one), (10, other))]
        merged = self._add(
            before + timedelta(days=12),
            [self._line("Invoice", i.id, f"Invoice {i.number}", i.subtotal) for i in originals],
            "Paid",
        )
        for original in originals:
            self._change(original.id, merged_into=merged.id, counts_as_expense=False)
        self._add(
            earlier + timedelta(days=14), [self._line("Hosting", "304", "Windows VPS 4", Decimal("21.00"))], "Cancelled"
        )
        self._add(before + timedelta(days=3), [self._line("Other", "0", "Set-up", Decimal("12.00"))], "Refunded")
        self._add(
            before + timedelta(days=5),
            [self._line("RefundedItem", "304", "Unused days", Decimal("10.50"))],
            "Creditnote",
        )
        self._add(
            earlier + timedelta(days=20),
            [self._line("LateFee", "0", "Late fee", Decimal("2.00"), taxed=False)],
            "Unpaid",
        )
        currency = "EUR" if self.currency != "EUR" else "USD"
        self._add(before + timedelta(days=7), [self._line("Other", "0", "Domain", Decimal("8.80"))], "Paid", currency)
        self._add(month + timedelta(days=1), [self._line("Hosting", "305", "Container VPS", Decimal("3.99"))], "Draft")

    def _line(
        self, type_: str, item: str, text: str, amount: Decimal, quantity: Decimal = Decimal(1), *, taxed: bool = True
    ) -> Line:
        self._next_line += 3
        return Line(str(self._next_line), type_, item, text, amount, quantity.quantize(CENT), taxed)

    def _add(
        self, issued: date, lines: list[Line], status: str, currency: str = "", credit: Decimal = Decimal("0.00")
    ) -> Invoice:
        number = len(self.invoices) + 1
        invoice = Invoice(
            id=str(308_000 + number),
            number=f"{issued:%Y/%m}/{number}" if status in {"Paid", "Refunded", "Creditnote"} else f"PRO/{number}",
            status=status,
            issued_on=issued,
            lines=tuple(lines),
            currency=currency or self.currency,
            credit=credit,
            paid_at=f"{issued + timedelta(days=1)} 12:40:47" if status in {"Paid", "Refunded"} else "",
            counts_as_expense=status not in NO_EXPENSE,
        )
        self.invoices.append(invoice)
        return invoice

    def _change(self, id_: str, **changes: object) -> Invoice:
        place = next(i for i, invoice in enumerate(self.invoices) if invoice.id == id_)
        self.invoices[place] = replace(self.invoices[place], **changes)  # type: ignore[arg-type]
        return self.invoices[place]

    def find(self, id_: str) -> Invoice | None:
        return next((invoice for invoice in self.invoices if invoice.id == id_), None)

    def pay(self, id_: str) -> Invoice:
        """Pay an open invoice: number and date change, original date and id do not. KeyError when it is not open."""
        invoice = self.find(id_)
        if invoice is None or invoice.status not in OPEN:
            raise KeyError(id_)
        paid = invoice.issued_on + timedelta(days=6)
        number = f"{paid:%Y/%m}/{int(id_) - 307_900}"
        return self._change(id_, status="Paid", number=number, shown_date=paid, paid_at=f"{paid} 09:15:02")

    @property
    def balance(self) -> Decimal:
        """Total of the unpaid invoices in the account's own currency."""
        unpaid = [i.total for i in self.invoices if i.status in OPEN and i.currency == self.currency]
        return sum(unpaid, Decimal("0.00"))
