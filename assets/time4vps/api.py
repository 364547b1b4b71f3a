"""Time4VPS over HTTP: invoices and their details, services, balance.

Source: Time4VPS API (HostBill's user API). What lives here: what is asked. What does not: HTTP
(``assets.http.client``), which invoices need their details again (``invoices``), what a status means (``invoices``,
``invoice_rules``).
"""

import re
from typing import Any

from assets.http.client import Client, Response
from assets.http.errors import Forbidden, HttpStatusError, Refused, if_available
from assets.http.page import Page
from tollbook_errors import AuthError, ContractError

NOT_FOUND = "invoice_not_found"

_LISTS = ("invoices", "services")
_NOT_ALLOWED = ("denied", "permission", "privilege", "notallowed", "not allowed")  # about a thing, not about who asks
_REFUSED = ("wronglogin", "login", "unauthorized", "auth")


class NotFound(Refused):
    """There is no such thing: Time4VPS answers so with HTTP 200."""


class Time4VPS:
    """One Time4VPS client account."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def probe(self) -> None:
        """One cheap authenticated request, and another where the balance is not offered."""
        if if_available(self.balance) is None:
            self.invoices()

    def balance(self) -> Page:
        """The account's balance (what is unpaid) and credit."""
        page = self._page("balance", "balance", {})
        if balance_details(page.data) is None:
            raise self._contract("balance", "the response has no acc_balance")
        return page

    def invoices(self) -> Page:
        """Every invoice of the account in one response: no paging is documented."""
        page = self._page("invoice", "invoices", {})
        listed = entries(page.data.get("invoices"))
        if listed is None or not all(invoice.get("id") for invoice in listed):
            raise self._contract("invoice", "the response has no list of invoices with ids")
        return page

    def invoice(self, invoice_id: str) -> Page:
        """One invoice with its lines; of one that is listed but not to be found a page of NOT_FOUND, without rows."""
        if not (invoice_id.isascii() and invoice_id.isalnum() and len(invoice_id) <= 40):
            raise self._contract("invoice/@id", "an invoice id is not a plain number")
        try:
            page = self._page(f"invoice/{invoice_id}", "invoice", {"id": invoice_id})
        except (HttpStatusError, NotFound) as error:
            if isinstance(error, HttpStatusError) and error.status not in (404, 410):
                raise
            return Page(NOT_FOUND, None, {"id": invoice_id}, "{}", self.client.now(), 0, {})
        detail = page.data.get("invoice")
        if not isinstance(detail, dict) or entries(detail.get("items")) is None:
            raise self._contract("invoice/@id", "the response has no invoice with items")
        if str(detail.get("id")) != invoice_id:
            raise self._contract("invoice/@id", "the response is another invoice than was asked for")
        return page

    def services(self) -> Page:
        """Every service of the account."""
        page = self._page("service", "services", {})
        listed = entries(page.data.get("services"))
        if listed is None or not all(service.get("id") for service in listed):
            raise self._contract("service", "the response has no list of services with ids")
        return page

    def _page(self, path: str, kind: str, request: dict[str, str]) -> Page:
        response = self.client.request("GET", path, {}, endpoint=kind)
        self._refuse_error(response, kind)
        rows = entries(response.data.get(kind)) if kind in _LISTS else [response.data]
        return Page(kind, None, request, response.body, response.fetched_at, len(rows or []), response.data)

    def _refuse_error(self, response: Response, kind: str) -> None:
        """Errors come as ``{"error": ["wronglogin"]}``, also with HTTP 200."""
        data: Any = response.data
        if not isinstance(data, dict):
            raise self._contract(kind, "the response is not an object")
        if data.get("error"):
            payload = str(data["error"]).lower()
            if any(word in payload for word in _NOT_ALLOWED):
                raise Forbidden(
                    "Time4VPS does not allow this account to ask for this",
                    connection=self.client.connection,
                    endpoint=kind,
                    hint="check the privileges of the connection's user",
                )
            if any(word in payload for word in _REFUSED):
                raise self.client.mark_unauthorized(
                    AuthError(
                        "Time4VPS refused the user name or password",
                        connection=self.client.connection,
                        endpoint=kind,
                        hint="check username and password of the connection",
                    )
                )
            raise (NotFound if re.search("not[ _]?found", payload) else Refused)(
                "Time4VPS answered with an error (its text is not shown)",
                connection=self.client.connection,
                endpoint=kind,
            )

    def _contract(self, endpoint: str, what: str) -> ContractError:
        return ContractError(what, connection=self.client.connection, endpoint=endpoint)


def entries(value: Any) -> list[dict[str, Any]] | None:
    """The objects of a list, also where it came as an object keyed by id; None for anything else."""
    listed = list(value.values()) if isinstance(value, dict) else value
    return listed if isinstance(listed, list) and all(isinstance(entry, dict) for entry in listed) else None


def balance_details(data: dict[str, Any]) -> dict[str, Any] | None:
    """The object that says ``acc_balance``: under ``details``, or the response itself; None where neither does."""
    nested = data.get("details")
    payload = nested if isinstance(nested, dict) else data
    return payload if "acc_balance" in payload else None
