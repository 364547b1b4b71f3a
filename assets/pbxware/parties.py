"""The parties of PBXware's call records: who stands in From and To.

What lives here: reading the text of one party against its tenant's directory, and the table of all parties of a
landing. What does not: the directory (``directory``), numbers as such (``assets.phone``), and the direction of a call
between two parties (``legs``).
"""

import re
from dataclasses import dataclass

import pyarrow as pa

from assets.pbxware.directory import LONGEST_EXTENSION, Directory, Tenant
from assets.phone import (
    UNREADABLE,
    Number,
    dialled_number,
    is_emergency,
    is_public_short,
    is_withheld,
    outside_country,
    read_number,
)


@dataclass(frozen=True)
class Party:
    """Who stands in From or To. ``kind``: own (an extension, a ring group, a queue), did (our outside number), feature,
    withheld or outside.

    ``target`` is what a did leads to, when that is no extension: a ring group, a queue, an IVR.
    """

    name: str | None
    number: str | None
    kind: str
    extension: str | None = None
    public: Number = UNREADABLE
    target: str | None = None


def read_party(text: str, tenant: Tenant, codes: frozenset[str], *, called: bool = False) -> Party:
    """Read one party of a tenant: ``Name (1000)``, a bare number, a number with a tenant code in front, …

    What is ``called`` may begin with the digits for an outside line, and be a short number that is public.
    """
    name, number = _split(text.strip())
    if is_withheld(number):
        return Party(name, None, "withheld")
    extension = listed_extension(number, tenant)
    if extension:
        return Party(name, number, "own", extension)
    dialled = dialled_number(number, tenant.region, tenant.outside_line if called else "")
    if number.startswith(("*", "#")) and (dialled == number or listed_extension(dialled, tenant)):
        return Party(name, number, "feature")
    extension = _own_by_form(number, name, tenant, called=called) if dialled == number else None
    if extension:
        return Party(name, number, "own", extension)
    if dialled in tenant.dids:
        return _of_did(name, number, dialled, read_number(dialled, tenant.region), tenant)
    if not is_emergency(dialled, tenant.region) and any(
        code and dialled.startswith(code) and 2 <= len(dialled.removeprefix(code).removeprefix("+")) <= 5
        for code in codes - {tenant.code}
    ):
        return Party(name, number, "outside")  # another tenant's extension: no public number
    public = read_number(dialled, tenant.region)
    if public.e164 in tenant.dids:
        return _of_did(name, number, public.e164 or "", public, tenant)
    return Party(name, number, "outside", None, public)


def _of_did(name: str | None, number: str, did: str, public: Number, tenant: Tenant) -> Party:
    return Party(name, number, "did", tenant.dids[did], public, tenant.targets.get(did))


def _split(text: str) -> tuple[str | None, str]:
    """Name and number of ``Name (number)`` or ``Name <number>``: the last bracket counts, for names hold some too."""
    for opens, closes in ("()", "<>"):
        if text.endswith(closes) and opens in text:
            name, _, number = text[:-1].rpartition(opens)
            return name.strip() or None, number.strip()
    return None, text


def listed_extension(number: str, tenant: Tenant) -> str | None:
    """The tenant's own number that a number means, if the PBX lists it: an extension, or what a DID leads to."""
    for joined in ("", tenant.code, f"{tenant.code}+") if tenant.code else ("",):
        own = number.removeprefix(joined)
        if number.startswith(joined) and (own in tenant.extensions or own in tenant.groups):
            return own
    return None


def _own_by_form(number: str, name: str | None, tenant: Tenant, *, called: bool) -> str | None:
    """The tenant's own number that a number can only be, by its form; None if it is not one."""
    if not (number.isascii() and number.isdigit()) or is_emergency(number, tenant.region):
        return None
    if name and len(number) <= LONGEST_EXTENSION:
        return number  # a ring group, queue or voicemail box: only the PBX itself names short numbers
    if number.startswith("0") or (called and is_public_short(number, tenant.region)):
        return None
    lengths = {tenant.digits} if tenant.digits else tenant.lengths
    rest = number.removeprefix(tenant.code)
    return next((own for own in (number, rest) if len(own) in lengths), None)


# What the PBX itself calls a mailbox; and groups and the like, which are known by it where no extensions are listed.
_MAILBOX = re.compile(r"\bvoicemail$", re.IGNORECASE)
_GROUP = re.compile(r"(enhanced |dial |ring )+group\b|queue\b|ivr\b|conference\b", re.IGNORECASE)


def _who_is(party: Party, tenant: Tenant) -> str | None:
    """Who is reached by a call to this party, as ``core.cdr.to_kind`` says it."""
    if party.kind == "own":
        return "person" if _is_telephone(party.extension or "", party.name or "", tenant) else "machine"
    if party.kind == "did":
        return "machine" if {party.number, party.public.e164} & tenant.machines else "number"
    # A feature code can be a mailbox, or pick up a colleague's call.
    return "person" if party.kind == "outside" else None


def _is_telephone(extension: str, name: str, tenant: Tenant) -> bool:
    if extension in tenant.extensions:
        return name == tenant.extensions[extension] or not _MAILBOX.search(name)
    return not (tenant.extensions or extension in tenant.machines or _GROUP.match(name) or _MAILBOX.search(name))


_PARTY = pa.schema(
    [
        *((name, pa.string()) for name in ("account_id", "text", "name", "number", "kind", "extension")),
        *(
            (name, pa.string())
            for name in ("e164", "country", "type", "currency", "who", "from_group", "routed_to_group")
        ),
        *((name, pa.bool_()) for name in ("phone", "called")),
    ]
)


def party_table(directory: Directory, texts: list[tuple[str, str, bool]]) -> pa.Table:
    """The dimension of parties: one row per tenant, distinct text and side, with the tenant's currency.

    ``who`` is in ``core.cdr.to_kind`` where a leg is to this party; ``from_group`` and ``routed_to_group`` are the
    number without a phone of its own that a leg from or to it is by.
    """
    codes = directory.codes
    rows = []
    for account, text, called in texts:
        tenant = directory.tenants.get(account)
        party = read_party(text, tenant, codes, called=called) if tenant else Party(None, text, "outside")
        leads_to = party.extension or party.target
        phone = tenant is not None and leads_to in tenant.extensions
        public = (party.public.e164, outside_country(party.public), party.public.type)
        own = (account, text, party.name, party.number, party.kind, party.extension, *public)
        currency = tenant.currency if tenant else None
        rows.append(
            (
                *own,
                currency,
                _who_is(party, tenant) if tenant else None,
                party.extension if party.kind == "own" and not phone else None,
                None if phone else leads_to,
                phone,
                called,
            )
        )
    columns = zip(*rows, strict=True) if rows else [()] * len(_PARTY)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _PARTY, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_PARTY)
