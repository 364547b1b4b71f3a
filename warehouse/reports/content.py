"""The report of a month: which sections there are, in which order.

What lives here: what stands where. What does not: what each section asks (``sections``), the state of the proof
(``proof``), and any form (``xlsx``, ``html``, ``csv_files``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from warehouse.reports.model import Report, ReportSettings
from warehouse.reports.proof import read_proof
from warehouse.reports.query import Reader
from warehouse.reports.sections.calls import all_calls, busy_hours, long_calls, reconciliation, top_calls, unrated
from warehouse.reports.sections.chargeback import budget_lines, chargeback, journal
from warehouse.reports.sections.costs import (
    BY_ACCOUNT,
    BY_ACCOUNT_NAME,
    BY_CONNECTION,
    BY_COST_CENTRE,
    BY_COUNTRY,
    BY_DEPARTMENT,
    BY_DIRECTION,
    BY_EXTENSION,
    BY_EXTENSION_NAME,
    BY_KIND,
    BY_VENDOR,
    CHARGED,
    USAGE,
    USAGE_BY_COUNTRY,
    Costs,
    cost_by_day,
    in_reporting,
)
from warehouse.reports.sections.first_page import charts, flags, headlines, not_loaded_before
from warehouse.reports.sections.invoices import aging, bundles, hosting_by_invoice, hosting_by_service, invoices


@contextmanager
def read_report(database: Path, month: date, settings: ReportSettings, *, scratch: Path) -> Iterator[Report]:
    """The report of the month that ``month`` lies in; its long lists are read while the database stays open.

    ``scratch`` is a private folder for what does not fit in memory. Raises ContractError.
    """
    reader = Reader(database, month, settings.timezone, scratch)
    try:
        yield _report(reader, settings)
    finally:
        reader.close()


def _report(reader: Reader, settings: ReportSettings) -> Report:
    has_now, has_before = reader.one(
        "SELECT bool_or(month = $first), bool_or(month = $before) FROM mart.cost_monthly "
        "WHERE month IN ($first, $before)"
    )
    reader.parameters |= {"has_now": bool(has_now), "has_before": bool(has_before)}
    (budgets,) = reader.one("SELECT count(*) FROM mart.budget WHERE month = $first")
    unloaded = not_loaded_before(reader)
    reader.parameters["unloaded"] = unloaded
    unknown = ", ".join(unloaded)
    before = (
        f" The month before was not loaded for {unknown}: no change is shown where they have a part." if unknown else ""
    )
    against = (
        f"All currencies together, as far as they could be converted to {settings.reporting_currency}. "
        + (
            "Budget left: negative where it is exceeded; what is not for one vendor is compared in all."
            if budgets
            else "No budget is given for this month."
        )
        + before
    )
    centres = (
        "As charged. Unassigned: nobody's cost centre is known. Unallocated: a shared cost for which finance's rule "
        f"found nothing to divide by. {against}"
    )
    native = f"In the currencies charged.{before}"
    money = settings.reporting_currency
    proof = read_proof(reader, settings)
    costs = Costs(reader, money)
    vendors = in_reporting(reader, money, "vendor_share", f"Vendors in {money}", BY_VENDOR, against)
    share = in_reporting(reader, money, "cost_centre_share", f"Cost centres in {money}", BY_COST_CENTRE, centres)
    counted = f"Unrated: records without a cost. Unconverted: charges without an exchange rate to {money}."
    by_vendor = costs.section("cost_by_vendor", "Cost by vendor", BY_VENDOR, native=True, notes=(native, counted))
    by_centre = costs.section(
        "cost_by_cost_centre",
        "Cost by cost centre",
        BY_COST_CENTRE,
        source=CHARGED,
        native=True,
        by_key=True,
        notes=("As charged: shared costs are spread by finance's rules, see Chargeback.", native),
    )
    # Where all is in the reporting currency they would say again what the tables in it say.
    currency = [column.name for column in by_vendor.columns].index("currency")
    in_currencies = (by_vendor, by_centre) if any(row[currency] != money for row in by_vendor.rows) else ()
    by_day = cost_by_day(reader, money)
    busy = busy_hours(reader)
    return Report(
        reader.first,
        proof.as_of,
        settings.timezone,
        money,
        flags(reader, proof),
        headlines(reader, by_vendor, money, unknown),
        charts(by_day, share, busy, money),
        (
            vendors,
            share,
            *in_currencies,
            costs.section("cost_by_charge", "Cost by kind of charge", BY_KIND),
            *proof.first_page,
        ),
        (
            costs.section(
                "cost_centres",
                "Cost centres",
                BY_COST_CENTRE,
                BY_CONNECTION,
                BY_KIND,
                by_key=True,
                notes=("As incurred, before shared costs are spread.",),
            ),
            chargeback(reader, money),
            budget_lines(reader, money),
            journal(reader),
            costs.section("departments", "Departments", BY_DEPARTMENT, BY_CONNECTION, usage=USAGE),
            costs.section(
                "extensions",
                "Extensions",
                BY_EXTENSION,
                BY_EXTENSION_NAME,
                BY_CONNECTION,
                BY_ACCOUNT,
                BY_DEPARTMENT,
                usage=USAGE,
            ),
            costs.section(
                "destinations",
                "Destinations",
                BY_COUNTRY,
                BY_KIND,
                where="direction = 'outbound'",
                usage=USAGE_BY_COUNTRY,
                notes=(
                    "Calls to outside parties, forwarded ones too, and messages sent; calls stand beside the currency "
                    "they are charged in.",
                ),
            ),
            costs.section(
                "connections",
                "Connections",
                BY_CONNECTION,
                BY_VENDOR,
                BY_ACCOUNT,
                BY_ACCOUNT_NAME,
                BY_KIND,
                BY_DIRECTION,
                by_key=True,
            ),
            costs.section(
                "sms",
                "SMS",
                BY_CONNECTION,
                BY_ACCOUNT,
                BY_ACCOUNT_NAME,
                BY_DIRECTION,
                BY_COUNTRY,
                where="charge_kind = 'sms'",
                quantity="Messages",
                by_key=True,
            ),
            bundles(reader),
            hosting_by_invoice(reader),
            hosting_by_service(reader),
            invoices(reader),
            aging(reader),
            by_day,
            busy,
            top_calls(reader, "top_calls_by_cost", "Top calls by cost", "cost DESC", per_currency=True),
            top_calls(reader, "top_calls_by_duration", "Top calls by duration", "talk_seconds DESC"),
            long_calls(reader),
            unrated(reader),
            reconciliation(reader),
            *proof.sections,
            all_calls(reader),
        ),
    )
