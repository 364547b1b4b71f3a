"""A sample configuration for the bundled vendors: tollbook.toml and finance's reference folder.

What lives here: writing those files. What does not: reading them (``pipelines.settings``), the secrets' values
(``server``; they go into the environment, never into a file).
"""

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.demo.company import PBX, PBX_CURRENCY, SIP, TIM, VPS

if TYPE_CHECKING:
    from pipelines.demo.server import Vendors

# Reporting units (GBP) for one unit, at the start of a year; they wander by a fraction from week to week.
RATES = {"EUR": 8610, "USD": 7840}  # in 1/10000
COST_CENTRES = (
    ("connection", "account", "extension", "cost_centre", "from", "to"),
    (PBX, "2", "101-105", "CC-100 Sales", "", ""),
    (PBX, "2", "106-110", "CC-200 Support", "", ""),
    (PBX, "7", "", "CC-300 Leisure", "", ""),
    (PBX, "7", "204-206", "CC-310 Warehouse", "", ""),
    (SIP, "25", "", "CC-400 Larkspur & Finch", "", ""),
    (SIP, "26", "", "CC-410 Bramble Dental", "", ""),
    (VPS, "", "", "CC-900 IT", "", ""),
)
# Finance's monthly budget of each cost centre, in the reporting currency.
BUDGETS = {
    "CC-100 Sales": "75.00",
    "CC-200 Support": "45.00",
    "CC-300 Leisure": "30.00",
    "CC-310 Warehouse": "20.00",
    "CC-400 Larkspur & Finch": "25.00",
    "CC-410 Bramble Dental": "40.00",
    "Accounts": "10.00",
    "Management": "20.00",
}
ALLOCATION = (
    ("rule", "vendor", "connection", "charge_kind", "item", "method", "calls_of", "cost_centre", "share", "from", "to"),
    ("Hosting", "time4vps", "", "", "", "extensions", PBX, "", "", "", ""),
    ("CRM server", "time4vps", "", "", "302", "shares", "", "CC-100 Sales", "75%", "", ""),
    ("CRM server", "time4vps", "", "", "302", "shares", "", "CC-200 Support", "25%", "", ""),
)
ACCOUNTS = (
    ("role", "vendor", "charge_kind", "account", "by_cost_centre"),
    ("cost", "", "", "7500 Telephone", ""),
    ("cost", "time4vps", "", "7600 Hosting", ""),
    ("tax", "", "", "2202 Input VAT", ""),
    ("creditor", "", "", "2100 Creditors", ""),
    ("creditor", "pbxware", "", "2109 Accruals", ""),
    ("creditor", "sipcentric", "", "2109 Accruals", ""),
    ("credit_balance", "", "", "1250 Credit with vendors", ""),
)


def write(
    vendors: "Vendors",
    path: Path,
    *,
    data_dir: str | Path = "data",
    only: tuple[str, ...] = (),
    connections: Mapping[str, Mapping[str, Any]] | None = None,
    **overrides: Any,
) -> Path:
    """Write a tollbook.toml to ``path`` and its ``reference`` folder beside it.

    ``overrides`` are keys of ``[tollbook]``, ``connections`` further keys of single connections by name; ``only``
    limits the connections. The secrets are named, not written: put ``vendors.secrets`` into the environment.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    top = {
        "data_dir": str(data_dir),
        "timezone": "Europe/London",
        "reporting_currency": "GBP",
        "lookback_days": 3,
        "reference_dir": "reference",
        "first_date": vendors.first,
        **overrides,
    }
    parts = ["[tollbook]\n" + _toml(top)]
    for name, keys in _connections(vendors).items():
        if not only or name in only:
            parts.append("[[connections]]\n" + _toml({"name": name, **keys, **(connections or {}).get(name, {})}))
    path.write_text("\n".join(parts), encoding="utf-8")
    _write_reference(path.parent / "reference", vendors.first, vendors.last)
    return path


def _connections(vendors: "Vendors") -> dict[str, dict[str, Any]]:
    return {
        PBX: {
            "vendor": "pbxware",
            "url": vendors.urls["pbxware"],
            "api_key": "env:PBXWARE_API_KEY",
            "currency": PBX_CURRENCY,
        },
        SIP: {
            "vendor": "sipcentric",
            "url": vendors.urls["sipcentric"],
            "username": "env:SIPCENTRIC_USERNAME",
            "password": "env:SIPCENTRIC_PASSWORD",
            "requests_per_hour": vendors.options.sip_limit,
        },
        TIM: {
            "vendor": "tim4biz",
            "url": vendors.urls["tim4biz"],
            "username": "env:TIM4BIZ_USERNAME",
            "password": "env:TIM4BIZ_PASSWORD",
            "currency": "EUR",
            "reconciles": [PBX],
        },
        VPS: {
            "vendor": "time4vps",
            "url": vendors.urls["time4vps"],
            "username": "env:TIME4VPS_USERNAME",
            "password": "env:TIME4VPS_PASSWORD",
            "currency": vendors.options.vps_currency,
        },
    }


def _toml(values: Mapping[str, Any]) -> str:
    """Keys and values as TOML: dates bare, everything else as in JSON, whose texts, numbers and lists TOML shares."""
    lines = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            text = "{ " + ", ".join(f"{key} = {json.dumps(item)}" for key, item in value.items()) + " }"
        elif isinstance(value, date):
            text = value.isoformat()
        else:
            text = json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
        lines.append(f"{name} = {text}\n")
    return "".join(lines)


def _write_reference(folder: Path, first: date, last: date) -> None:
    folder.mkdir(exist_ok=True)
    _write_csv(folder / "fx_rates.csv", [("date", "currency", "rate"), *_rates(first, last)])
    _write_csv(folder / "cost_centres.csv", COST_CENTRES)
    _write_csv(folder / "budgets.csv", list(_budgets(first, last)))
    _write_csv(folder / "allocation.csv", ALLOCATION)
    _write_csv(folder / "accounts.csv", ACCOUNTS)


def _budgets(first: date, last: date) -> Iterator[tuple[str, ...]]:
    yield "month", "cost_centre", "vendor", "charge_kind", "amount", "currency"
    month = first.replace(day=1)
    while month <= last:
        for cost_centre, amount in BUDGETS.items():
            yield f"{month:%Y-%m}", cost_centre, "", "", amount, "GBP"
        month = (month + timedelta(days=32)).replace(day=1)


def _rates(first: date, last: date) -> Iterator[tuple[str, str, str]]:
    """A rate for each Monday from fourteen months before ``first``, for the invoices of the year before."""
    day = first - timedelta(days=430)
    day -= timedelta(days=day.weekday())
    while day <= last:
        for currency, start in RATES.items():
            rate = start + (day.toordinal() // 7 * 37) % 151 - 75
            yield day.isoformat(), currency, f"0.{rate:04d}"
        day += timedelta(days=7)


def _write_csv(path: Path, rows: "list[tuple[str, ...]] | tuple[tuple[str, ...], ...]") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
