"""How Time4VPS answers: balance, invoices and services, as its API pages say.

What lives here: the resources and the JSON of every object: the list's amounts are strings, the detail's numbers, and
each has fields that the other lacks. What does not: what was billed (``hosting``), HTTP (``server``).
"""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pipelines.demo.hosting import SERVICES, TAX_RATE, Hosting, Invoice, Line, Service
from pipelines.demo.messages import Options, RawResponse, Request

ZERO_DATE = "0000-00-00"
ZERO_TIME = "0000-00-00 00:00:00"


class Time4vpsApi:
    """One client's account."""

    def __init__(self, hosting: Hosting, last: date, options: Options, credentials: str) -> None:
        self.hosting = hosting
        self.last = last
        self.options = options
        self._credentials = credentials

    def endpoint(self, request: Request) -> str:
        """``balance``, ``invoice``, ``invoice/detail``, ``service``, ``service/detail``."""
        name, _, rest = request.path.strip("/").partition("/")
        return f"{name}/detail" if rest else name

    def response(self, request: Request) -> RawResponse:
        """The answer to one request."""
        if request.credentials != self._credentials:
            return RawResponse({"error": ["wronglogin"]}, self.options.vps_login_error_status)
        if request.method != "GET":
            return RawResponse({"error": ["methodnotallowed"]}, 405)
        name, _, id_ = request.path.strip("/").partition("/")
        match name, id_:
            case "balance", "":
                return RawResponse(self._balance())
            case "invoice", "":
                return RawResponse({"invoices": [self._listed(invoice) for invoice in reversed(self.hosting.invoices)]})
            case "invoice", _:
                invoice = self.hosting.find(id_)
                return (
                    RawResponse({"invoice": self._detail(invoice)})
                    if invoice
                    else RawResponse({"error": ["invoicenotfound"]})
                )
            case "service", "":
                return RawResponse({"services": [self._service(service) for service in SERVICES]})
            case "service", _:
                found = next((service for service in SERVICES if service.id == id_), None)
                return (
                    RawResponse({"service": self._service_detail(found)})
                    if found
                    else RawResponse({"error": ["servicenotfound"]})
                )
        return RawResponse({"error": ["notfound"]}, 404)

    def _balance(self) -> dict[str, Any]:
        details = {
            "currency": self.options.vps_currency,
            "acc_balance": str(self.hosting.balance),
            "acc_credit": "12.50",
        }
        return details if self.options.vps_balance == "flat" else {"success": True, "details": details}

    def _sign(self, invoice: Invoice) -> int:
        return self.options.vps_credit_note_sign if invoice.status == "Creditnote" else 1

    def _listed(self, invoice: Invoice) -> dict[str, Any]:
        return {
            "id": invoice.id,
            "date": str(invoice.shown_date or invoice.issued_on),
            "dateorig": str(invoice.issued_on),
            "duedate": str(invoice.due_on),
            "paybefore": _pay_before(invoice),
            "total": str(invoice.total * self._sign(invoice)),
            "datepaid": invoice.paid_at or ZERO_TIME,
            "status": invoice.status,
            "merge_id": invoice.merged_into,
            "number": invoice.number,
            "currency": invoice.currency,
        }

    def _detail(self, invoice: Invoice) -> dict[str, Any]:
        sign = self._sign(invoice)
        return {
            "id": invoice.id,
            "status": invoice.status,
            "date": str(invoice.shown_date or invoice.issued_on),
            "duedate": str(invoice.due_on),
            "paybefore": _pay_before(invoice),
            "datepaid": invoice.paid_at or ZERO_TIME,
            "subtotal": _number(invoice.subtotal * sign),
            "credit": _number(invoice.credit),
            "tax": _number(invoice.tax * sign),
            "taxrate": TAX_RATE,
            "tax2": 0,
            "taxrate2": 0,
            "taxexempt": "0",
            "total": _number(invoice.total * sign),
            "rate": 1,
            "rate2": 0,
            "rate3": 1,
            "notes": "",
            "items": [self._item(invoice, line, sign) for line in invoice.lines],
            "client": {"id": "26", "email": "accounts@example.com", "firstname": "Bertil", "lastname": "Ångström"},
            "number": invoice.number,
            "currency": invoice.currency,
        }

    def _item(self, invoice: Invoice, line: Line, sign: int) -> dict[str, Any]:
        return {
            "id": line.id,
            "invoice_id": invoice.id,
            "type": line.type,
            "item_id": line.item_id,
            "description": line.description,
            "amount": str(line.amount * sign),
            "taxed": "1" if line.taxed else "0",
            "qty": str(line.quantity),
            "linetotal": str(line.total * sign),
        }

    def _service(self, service: Service) -> dict[str, Any]:
        return {
            "id": service.id,
            "domain": service.domain,
            "total": str(service.price),
            "status": service.status,
            "billingcycle": service.cycle,
            "next_due": ZERO_DATE if service.status == "Cancelled" else str(self.last + timedelta(days=9)),
            "category": service.category,
            "category_url": service.category.lower().replace(" ", "-"),
            "name": service.name,
        }

    def _service_detail(self, service: Service) -> dict[str, Any]:
        shown = {name: value for name, value in self._service(service).items() if not name.startswith("category")}
        return {
            **shown,
            "date_created": "2025-01-15",
            "firstpayment": str(service.price),
            "label": "",
            "username": "root",
        }


def _pay_before(invoice: Invoice) -> str:
    return ZERO_DATE if invoice.status in {"Cancelled", "Draft"} else str(invoice.due_on)


def _number(amount: Decimal) -> int | float:
    """An amount in cents as a JSON number: its shortest text is the amount."""
    return int(amount) if amount == int(amount) else float(amount)
