"""The directory of a Sipcentric account: customers with their endpoints, numbers, bundles, credit and currency.

What lives here: reading the lists of one landing, and the tables made of them. What does not: what is asked (``api``),
and who a party of a call is by these lists (``parties``).

Amounts are in the customer's own currency where Sipcentric names one, else in the configured one, else in GBP [API v1].
"""

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb

from assets.controls import control_total, quarantined_as
from assets.http import strict_json
from assets.http.optional_lists import kept, not_given
from assets.http.page import REFUSED
from assets.parsing import origin, register_rows, text, whole_number
from assets.sipcentric.api import CREDIT_STATUS, identifier, instant
from assets.sipcentric.controls import LISTS, TOTAL_ITEMS, bundle_controls
from assets.stream import Source
from warehouse.merge import Normalised
from warehouse.money import currency_code, money
from warehouse.raw import Landing
from warehouse.schema import ACCOUNT_TABLE, BALANCE, BUNDLE, EXTENSION_TABLE, Table

DEFAULT_CURRENCY = "GBP"  # costs are in GBP [API v1]


def customers_of(source: Source, lists: Landing) -> list[str]:
    responses = [a for a in source.lake.raw.responses(lists) if a["kind"] == "customers"]
    items = [item for response in responses for item in strict_json.loads(response["body"])["items"]]
    found = (identifier(item.get("uri"), "customers") for item in items)
    return sorted({customer for customer in found if customer is not None})


def normalise_lists(source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date | None) -> Normalised:
    """Accounts, endpoints and numbers, balances, and bundles: those of past periods stay when the list drops them."""
    rows: dict[Table, list[dict[str, Any]]] = {ACCOUNT_TABLE: [], EXTENSION_TABLE: [], BUNDLE: [], BALANCE: []}
    quarantine: list[dict[str, Any]] = []
    given_lists: set[tuple[str | None, str]] = set()
    counts: Counter[tuple[str | None, str]] = Counter()
    totals: dict[tuple[str | None, str], tuple[Any, datetime]] = {}
    today = landing.started_at.astimezone(source.zone).date()
    currencies, warnings = currencies_of(source, landing)
    responses = source.lake.raw.responses(landing)
    known_before = kept(responses)
    for response in responses:
        if response["kind"] == REFUSED:
            continue
        data = strict_json.loads(response["body"])
        items = [data] if response["kind"] == CREDIT_STATUS else data["items"]
        listed = response["account_id"], response["kind"]
        given_lists.add(listed)
        if response["kind"] != CREDIT_STATUS:
            # A list that is an earlier one proves nothing of this load.
            totals[listed] = None if listed in known_before else data["totalItems"], response["fetched_at"]
        for number, item in enumerate(items):
            place = {**origin(source, landing, response, number), "account_id": response["account_id"]}
            made = _list_row(source, response["kind"], item, response["account_id"], currencies)
            counts[listed] += 1
            if made is None:
                reason = f"an entry of {response['kind']} has no id or no period"
                quarantine.append({**place, **quarantined_as(LISTS, today, reason, response["page"])})
            else:
                table_, row = made
                rows[table_].append({**place, **row})
    names = register_rows(con, rows)
    con.execute(
        "CREATE TEMP TABLE all_bundles AS FROM fresh_bundle UNION ALL BY NAME SELECT * FROM previous_bundle old"
        " ANTI JOIN fresh_bundle USING (account_id, bundle_id, valid_from)"
        " WHERE old.valid_to < $read_at OR NOT list_contains($given, old.account_id)",
        {"read_at": landing.started_at, "given": [account for account, kind in given_lists if kind == "callbundles"]},
    )
    names[BUNDLE] = "all_bundles"
    controls = [
        control_total(
            source, LISTS, today, account, TOTAL_ITEMS, Decimal(counts[account, kind]), money(reported), at, kind
        )
        for (account, kind), (reported, at) in totals.items()
    ]
    controls += bundle_controls(source, rows[BUNDLE], today)
    return Normalised(names, controls, quarantine, warnings=warnings + not_given(responses))


def currencies_of(source: Source, lists: Landing) -> tuple[dict[str, str], list[str]]:
    """Each customer's currency, and the warnings about it.

    It is the customer's own or that of its credit, else the configured one, else GBP. None is documented, so what
    cannot be understood without a configured one is XXX.
    """
    named: dict[str | None, Any] = {}
    for response in source.lake.raw.responses(lists):
        data = strict_json.loads(response["body"])
        if response["kind"] == "customers":
            named |= {identifier(item.get("uri"), "customers"): _named_currency(item) for item in data["items"]}
        elif response["kind"] == CREDIT_STATUS and not named.get(response["account_id"]):
            named[response["account_id"]] = _named_currency(data)
    currencies: dict[str, str] = {}
    warnings = []
    for account, name in named.items():
        if account is None:
            continue
        code = currency_code(name)
        if code and source.currency and code != source.currency:
            warnings.append(
                f"account {account}: Sipcentric says {code}, tollbook.toml says {source.currency}; {code} is used"
            )
        if name and not code and not source.currency:
            warnings.append(f"account {account}: its currency is not understood; set currency for this connection")
        currencies[account] = code or source.currency or ("XXX" if name else DEFAULT_CURRENCY)
    return currencies, warnings


def _named_currency(item: dict[str, Any]) -> Any:
    """What an object calls its currency: a code or a symbol, bare or as the ``code`` of an object."""
    name = item.get("currency") or item.get("currencyCode")
    return name.get("code") if isinstance(name, dict) else name


def _list_row(
    source: Source, kind: str, item: dict[str, Any], account: str | None, currencies: Mapping[str, str]
) -> tuple[Table, dict[str, Any]] | None:
    """The table and row that an entry of a list makes; None when it cannot be understood."""
    uri = item.get("uri")
    row: dict[str, Any]
    if kind == "customers":
        account = identifier(uri, "customers")
    currency = currency_code(_named_currency(item)) or currencies.get(account or "")
    if kind == "customers":
        row = {
            "account_id": account,
            "name": text(item.get("company")),
            "country": source.region,
            "currency": currency,
        }
        return (ACCOUNT_TABLE, row) if account else None
    if kind == "creditstatus":
        left = item.get("balance")
        balance = money(left if left is not None else item.get("creditRemaining"))
        account_type = str(item.get("accountType") or "").lower() or None
        return BALANCE, {"account_type": account_type, "balance": balance, "currency": currency}
    found = identifier(uri, kind)
    if found is None:
        return None
    if kind == "callbundles":
        start = instant(item.get("validFrom"))
        row = {
            "bundle_id": found,
            "name": text(item.get("name")),
            "valid_from": start,
            "valid_to": instant(item.get("validTo")),
            "valid_from_date": start.astimezone(source.zone).date() if start else None,
            "inclusive_minutes": whole_number(item.get("inclusiveMins")),
            "used_minutes": whole_number(item.get("usedMins")),
            "available_minutes": whole_number(item.get("availableMins")),
            "price_monthly": money(item.get("priceMonthly")),
            "auto_renew": item.get("autoRenew") if isinstance(item.get("autoRenew"), bool) else None,
            "status": str(item.get("status") or "unknown").lower(),
            "currency": currency,
        }
        return (BUNDLE, row) if start else None
    number = item.get("shortNumber") if kind == "endpoints" else item.get("number")
    return EXTENSION_TABLE, {
        "extension_id": found,
        "extension": text(number),
        "name": text(item.get("name") if kind == "endpoints" else item.get("identifier")),
        "type": str(item.get("type") or ("did" if kind == "phonenumbers" else "phone")).lower(),
    }
