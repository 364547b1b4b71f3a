"""Time4VPS: its stream, and the assets that load it.

What lives here: fetching invoices, services and balance, the one stream, and its Dagster assets. What does not: what is
asked (``api``), what a response means (``invoices``), the proof of the invoices (``controls``), and the steps that
every vendor shares (``assets.load``).
"""

from collections.abc import Iterator
from typing import Any

from dagster import AssetExecutionContext, AssetsDefinition, PartitionsDefinition, multi_asset

from assets.http.page import Page
from assets.load import Fetch, Source, Stream, Window, optional_lists
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
from assets.time4vps.api import Time4VPS, entries
from assets.time4vps.controls import CONTROLS, INVOICES
from assets.time4vps.invoices import needs_detail, normalise_invoices, previous_invoices
from warehouse.raw import RawWriter
from warehouse.schema import ACCOUNT_TABLE, BALANCE, INVOICE, INVOICE_LINE, SERVICE

__all__ = ["CONTROLS", "fetch_invoices", "invoices_stream", "time4vps_assets"]


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


def invoices_stream(source: Source) -> Stream:
    """Invoices with their lines, services, balance."""
    return Stream(
        INVOICES,
        (INVOICE, INVOICE_LINE, SERVICE, BALANCE, ACCOUNT_TABLE),
        lambda con, landing, day: normalise_invoices(source, con, landing),
        CONTROLS,
    )


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
