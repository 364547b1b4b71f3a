"""Time4VPS: what its stream is, and how it is fetched.

What lives here: fetching invoices, services and balance, and the declaration of the one stream. What does not: what
is asked (``api``), what a response means (``invoices``), the proof of the invoices (``controls``), and the steps that
every vendor shares (``assets.load``).
"""

from collections.abc import Iterator
from datetime import date

from duckdb import DuckDBPyConnection

from assets.earlier import optional_lists
from assets.http.page import Page
from assets.stream import Fetch, Source, Stream, whole
from assets.time4vps.api import Time4VPS, entries
from assets.time4vps.controls import CONTROLS, INVOICES
from assets.time4vps.invoices import needs_detail, normalise_invoices, previous_invoices
from warehouse.merge import Normalised
from warehouse.raw import Landing, RawWriter
from warehouse.schema import ACCOUNT_TABLE, BALANCE, INVOICE, INVOICE_LINE, SERVICE

__all__ = ["CONTROLS", "fetch_invoices", "INVOICE_STREAM", "STREAMS"]


def fetch_invoices(source: Source) -> Fetch:
    """The list, the details of what is open or has changed, services and balance."""

    def pages(writer: RawWriter) -> Iterator[Page]:
        vps = Time4VPS(source.client())
        listed = vps.invoices()
        yield listed
        previous = previous_invoices(source)
        for entry in entries(listed.data["invoices"]) or []:
            if needs_detail(source, entry, previous.get(str(entry["id"]))):
                yield vps.invoice(str(entry["id"]))
        optional = optional_lists(source, INVOICES)
        yield from optional.ask("services", None, lambda: [vps.services()])
        yield from optional.ask("balance", None, lambda: [vps.balance()])

    return pages


def _invoices(source: Source, con: DuckDBPyConnection, landing: Landing, day: date | None) -> Normalised:
    return normalise_invoices(source, con, landing)


INVOICE_STREAM = Stream(
    INVOICES,
    (INVOICE, INVOICE_LINE, SERVICE, BALANCE, ACCOUNT_TABLE),
    "Responses of `/invoice`, of the details of those invoices that are open or have changed, of `/service` and of "
    "`/balance`. A settled invoice that was landed is not asked for again.",
    plan=whole(fetch_invoices),
    normalise=_invoices,
    controls=CONTROLS,
)
STREAMS = (INVOICE_STREAM,)
