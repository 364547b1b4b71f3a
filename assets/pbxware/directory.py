"""The directory of a PBX: its tenants with their extensions, numbers (DIDs), departments, trunks and rates.

What lives here: reading the lists of one landing, and the tables made of them. What does not: what is asked (``api``),
and who a party of a call is by these lists (``parties``).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb

from assets.http import strict_json
from assets.http.optional_lists import not_given
from assets.http.page import REFUSED
from assets.parsing import origin, register_rows, text
from assets.phone import read_number, region_of_calling_code
from assets.stream import Source
from warehouse.merge import Normalised
from warehouse.money import currency_code, money
from warehouse.raw import Landing
from warehouse.schema import ACCOUNT_TABLE, DEPARTMENT, EXTENSION_TABLE, SERVICE_PLAN_RATE

LISTS = "lists"
SINGLE = "1"  # account_id of a PBX that is not in tenant mode


LARGEST_BLOCK = 10_000  # numbers of one DID
LONGEST_EXTENSION = 6  # digits of a number that is taken for an own one by its length; public ones are longer


_LEADS_OUT = re.compile("external.*|5|trunk|10", re.IGNORECASE)  # types of DID whose target is no number of ours
# Destination types of ``did.list`` behind which there is no person: of the others (Extension, Multi User, External
# Number, Trunk, Agents, CRM Routing) somebody may be reached.
_OF_MACHINES = re.compile(
    r"group|ivr|queue|conference|voicemail|remote access|fax|callback|deny|\bari\b|parking", re.IGNORECASE
)


@dataclass
class Tenant:
    """One account of the PBX, with what shows which numbers are its own."""

    account_id: str
    name: str | None
    code: str
    region: str
    currency: str | None
    digits: int | None
    extensions: dict[str, str] = field(default_factory=dict)  # number -> name
    dids: dict[str, str | None] = field(default_factory=dict)  # our outside number in E.164 -> extension
    targets: dict[str, str] = field(default_factory=dict)  # our outside number -> what it leads to, also a group or IVR
    groups: set[str] = field(default_factory=set)  # what our outside numbers lead to: our own numbers, whatever rings
    lengths: frozenset[int] = frozenset()  # of extensions, where there is no ext_length
    outside_line: str = ""
    machines: set[str] = field(default_factory=set)  # our outside numbers that lead to a group, IVR, …, and what to


@dataclass
class Directory:
    """The lists of one landing, read."""

    tenants: dict[str, Tenant]
    extensions: list[dict[str, Any]]
    departments: list[dict[str, Any]]
    rates: list[dict[str, Any]]
    warnings: list[str]
    tenants_listed: bool

    @property
    def codes(self) -> frozenset[str]:
        return frozenset(tenant.code for tenant in self.tenants.values())


def read_directory(source: Source, landing: Landing) -> Directory:
    """Read the lists of a landing."""
    responses = source.lake.raw.responses(landing)
    reported: dict[tuple[str, str | None], tuple[Any, dict[str, Any]]] = {}
    plans: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    tenants_listed = True
    for response in responses:
        data = strict_json.loads(response["body"])
        first = origin(source, landing, response)
        if response["kind"] == REFUSED:
            tenants_listed &= strict_json.loads(response["request"])["action"] != "tenant.list"
        elif response["kind"] == "splan.rates":
            plans.append((strict_json.loads(response["request"])["id"], data if isinstance(data, dict) else {}, first))
        else:
            reported[(response["kind"], response["account_id"])] = (data if isinstance(data, dict) else {}, first)
    listed, _ = reported.get(("tenant.list", None), ({}, {}))
    found = Directory({}, [], [], [], not_given(responses), tenants_listed)
    servers = {account for kind, account in reported if kind == "ext.list"}
    for server in sorted(servers, key=str):
        account = server or SINGLE
        about = listed.get(account, {}) if isinstance(listed.get(account), dict) else {}
        configuration = reported.get(("tenant.configuration", server), ({}, {}))[0]
        found.tenants[account] = _tenant(source, account, about, configuration, found.warnings)
        _departments(account, reported.get(("department.list", server)), found)
        _extensions(account, reported.get(("ext.list", server)), found)
        _dids(account, reported.get(("did.list", server)), found)
        tenant = found.tenants[account]
        if tenant.digits is None:  # as where there are no tenants
            tenant.lengths = frozenset(len(number) for number in tenant.extensions if len(number) <= LONGEST_EXTENSION)
    _trunks(reported.get(("trunk.list", None)), found)
    names = {key: text(plan.get("name")) for key, plan, _ in _entries(reported.get(("splan.list", None)))}
    currency = next((tenant.currency for tenant in found.tenants.values() if tenant.currency), None)
    for plan, rates, first in plans:
        _rates(plan, names.get(plan), rates, first, currency, found)
    return found


def _tenant(
    source: Source, account: str, about: dict[str, Any], configuration: dict[str, Any], warnings: list[str]
) -> Tenant:
    reported = currency_code(_nested(configuration, "currency"))
    if reported and source.currency and reported != source.currency:
        warnings.append(
            f"account {account}: the PBX says {reported}, tollbook.toml says {source.currency}; {reported} is used"
        )
    if not reported and not source.currency:
        warnings.append(f"account {account}: no currency is known; set currency for this connection")
    digits = str(about.get("ext_length") or "")
    return Tenant(
        account,
        text(about.get("name")),
        str(about.get("tenantcode") or ""),
        region_of_calling_code(about.get("country_code")) or source.region,
        reported or source.currency,
        int(digits) if digits.isdigit() and int(digits) < 10 else None,
        outside_line=source.outside_line,
    )


def _nested(configuration: dict[str, Any], name: str) -> Any:
    """A field of ``tenant.configuration``, which some releases wrap in the tenant's id."""
    if name in configuration:
        return configuration[name]
    inner = [value for value in configuration.values() if isinstance(value, dict) and name in value]
    return inner[0][name] if inner else None


Listed = tuple[dict[str, Any], dict[str, Any]] | None  # a keyed list, with the origin of its first entry


def _entries(listed: Listed) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each entry of a keyed list with its key and its origin."""
    if listed is None:
        return
    data, first = listed
    for number, (key, entry) in enumerate(data.items()):
        if isinstance(entry, dict):
            yield str(key), entry, {**first, "raw_row": first["raw_row"] + number}


def _departments(account: str, listed: Listed, found: Directory) -> None:
    for key, entry, place in _entries(listed):
        found.departments.append(
            {"account_id": account, "department_id": key, "name": text(entry.get("name")), **place}
        )


def _extensions(account: str, listed: Listed, found: Directory) -> None:
    names = {d["department_id"]: d["name"] for d in found.departments if d["account_id"] == account}
    for key, entry, place in _entries(listed):
        number = str(entry.get("ext") or "")
        if not number:
            continue
        found.tenants[account].extensions[number] = text(entry.get("name")) or ""
        department = next(
            (part.strip() for part in str(entry.get("department") or "").split(",") if part.strip()), None
        )
        found.extensions.append(
            {
                "account_id": account,
                "extension_id": key,
                "extension": number,
                "name": text(entry.get("name")),
                "type": "phone",
                "status": text(entry.get("status")),
                "department_id": department,
                "department": names.get(department or ""),
                **place,
            }
        )


def _dids(account: str, listed: Listed, found: Directory) -> None:
    tenant = found.tenants[account]
    for key, entry, place in _entries(listed):
        number = str(entry.get("e164") or entry.get("number") or "")
        target = str(entry.get("ext") or "")
        if not _LEADS_OUT.fullmatch(str(entry.get("type"))):
            tenant.groups.update(filter(None, map(str.strip, target.split(","))))
        target = target if "," not in target else ""
        extension = target if entry.get("type") == "Extension" else ""
        for one in (*_block(entry, "e164", "e164_2"), *_block(entry, "number", "number2")):
            for written in {one, read_number(one, tenant.region).e164 or one}:
                tenant.dids[written] = extension or None
                tenant.targets[written] = target
                if _OF_MACHINES.search(str(entry.get("type") or "")):
                    tenant.machines |= {written, target} - {""}
        found.extensions.append(
            {
                "account_id": account,
                "extension_id": key,
                "extension": number,
                "name": text(entry.get("name")),
                "type": "did",
                "status": text(entry.get("status")),
                **place,
            }
        )


def _block(entry: dict[str, Any], first: str, last: str) -> list[str]:
    """The numbers of a DID: one, or where it names a last one all of the block; none where it names none."""
    begin, end = str(entry.get(first) or ""), str(entry.get(last) or "")
    plus, digits = begin[: begin.startswith("+")], begin.removeprefix("+")
    end = end.removeprefix("+")
    if all(each.isascii() and each.isdigit() and len(each) < 20 for each in (digits, end)) and len(digits) == len(end):
        numbers = range(int(digits), int(end) + 1)
        if 0 < len(numbers) <= LARGEST_BLOCK:
            return [f"{plus}{number:0{len(digits)}}" for number in numbers]
    return [begin] if begin else []


def _trunks(listed: Listed, found: Directory) -> None:
    """Trunks belong to the whole system, so they have no account."""
    for key, entry, place in _entries(listed):
        found.extensions.append(
            {
                "account_id": None,
                "extension_id": key,
                "extension": None,
                "name": text(entry.get("name")),
                "type": "trunk",
                "status": text(entry.get("status")),
                **place,
            }
        )


def _rates(
    plan: str, plan_name: Any, rates: dict[str, Any], first: dict[str, Any], currency: str | None, found: Directory
) -> None:
    """A plan's rates; with time bands (tbd) an entry holds one rate a band."""
    row = first["raw_row"]
    for key, entry in rates.items():
        if not isinstance(entry, dict):
            continue
        bands = entry if entry and all(isinstance(value, dict) for value in entry.values()) else {"": entry}
        for band, rate in bands.items():
            found.rates.append(
                {
                    **first,
                    "rate_id": f"{key}:{band}" if band else key,
                    "plan_id": plan,
                    "plan_name": plan_name,
                    "inbound_price": money(rate.get("inbound")),
                    "outbound_price": money(rate.get("outbound")),
                    "min_charge": money(rate.get("min_charge")),
                    "connection_charge": money(rate.get("connection_charge")),
                    "rating": text(rate.get("call_rating") or rate.get("billing")),
                    "currency": currency,
                    "raw_row": row,
                }
            )
        row += 1


def normalise_lists(source: Source, con: duckdb.DuckDBPyConnection, landing: Landing) -> Normalised:
    """The tables of the directory."""
    found = read_directory(source, landing)
    accounts = [
        {
            "vendor": source.vendor,
            "connection": source.name,
            "account_id": tenant.account_id,
            "name": tenant.name,
            "code": tenant.code or None,
            "country": tenant.region,
            "currency": tenant.currency,
            "raw_file": landing.file,
            "raw_row": 1,
            "fetched_at": landing.started_at,
        }
        for tenant in found.tenants.values()
    ]
    rows = {
        ACCOUNT_TABLE: accounts,
        EXTENSION_TABLE: found.extensions,
        DEPARTMENT: found.departments,
        SERVICE_PLAN_RATE: found.rates,
    }
    return Normalised(register_rows(con, rows), warnings=found.warnings)


def tenant_list(source: Source, lists: Landing) -> Any:
    """The response of ``tenant.list``; None where the PBX does not give it, as one without tenant mode may not."""
    responses = source.lake.raw.responses(lists)
    return next(
        (strict_json.loads(response["body"]) for response in responses if response["kind"] == "tenant.list"), None
    )
