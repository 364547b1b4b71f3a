"""Time4VPS over HTTP: invoices and their details, services, balance.

Source: Time4VPS API (HostBill's user API). What lives here: what is asked. What does not: HTTP (``client``), which
invoices need their details again (``assets.time4vps`` decides), what a status means (there as well).
"""

from typing import Any

from assets.sources.client import Answer, Client
from assets.sources.page import Page
from tollbook_errors import AuthError, ContractError

_REFUSED = ("wronglogin", "login", "unauthorized", "auth", "denied", "permission")


class Time4VPS:
    """One Time4VPS client account."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def probe(self) -> None:
        """One cheap authenticated request."""
        self.balance()

    def balance(self) -> Page:
        """The account's balance (what is unpaid) and credit."""
        return self._page("balance", "balance", {})

    def invoices(self) -> Page:
        """Every invoice of the account in one answer: no paging is documented."""
        page = self._page("invoice", "invoices", {})
        listed = page.data.get("invoices")
        if not isinstance(listed, list) or not all(isinstance(i, dict) and i.get("id") for i in listed):
            raise self._contract("invoice", "the answer has no list of invoices with ids")
        return page

    def invoice(self, invoice_id: str) -> Page:
        """One invoice with its lines."""
        if not (invoice_id.isascii() and invoice_id.isalnum() and len(invoice_id) <= 40):
            raise self._contract("invoice/@id", "an invoice id is not a plain number")
        page = self._page(f"invoice/{invoice_id}", "invoice", {"id": invoice_id})
        detail = page.data.get("invoice")
        if not isinstance(detail, dict) or not isinstance(detail.get("items"), list):
            raise self._contract("invoice/@id", "the answer has no invoice with items")
        if str(detail.get("id")) != invoice_id:
            raise self._contract("invoice/@id", "the answer is another invoice than was asked for")
        return page

    def services(self) -> Page:
        """Every service of the account."""
        page = self._page("service", "services", {})
        if not isinstance(page.data.get("services"), list):
            raise self._contract("service", "the answer has no list of services")
        return page

    def _page(self, path: str, kind: str, request: dict[str, str]) -> Page:
        answer = self.client.request("GET", path, {}, endpoint=kind)
        self._refuse_error(answer, kind)
        rows = answer.data.get(kind) if isinstance(answer.data, dict) else None
        return Page(
            kind, None, request, answer.body, answer.fetched_at, len(rows) if isinstance(rows, list) else 1, answer.data
        )

    def _refuse_error(self, answer: Answer, kind: str) -> None:
        """Errors come as ``{"error": ["wronglogin"]}``, also with HTTP 200."""
        data: Any = answer.data
        if not isinstance(data, dict):
            raise self._contract(kind, "the answer is not an object")
        if data.get("error"):
            said = str(data["error"]).lower()
            if any(word in said for word in _REFUSED):
                raise self.client.refuse(
                    AuthError(
                        "Time4VPS refused the user name or password",
                        connection=self.client.connection,
                        endpoint=kind,
                        hint="check username and password of the connection",
                    )
                )
            raise self._contract(kind, "Time4VPS answered with an error (its text is not shown)")

    def _contract(self, endpoint: str, what: str) -> ContractError:
        return ContractError(what, connection=self.client.connection, endpoint=endpoint)
