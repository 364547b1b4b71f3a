"""Call records of PBXware as they come: columns by whatever name a release gives them, and the words of a status.

What lives here: our name of each column, the cells of one column of a response, the outcome that a status means, and
the headers that are refused. What does not: the whole record (``legs``), and what the PBX counts (``controls``).
"""

import re
from collections.abc import Iterable
from datetime import date
from operator import itemgetter
from typing import Any

import duckdb

from assets.http import strict_json
from assets.pbxware.directory import Directory
from assets.stream import Source
from tollbook_errors import ContractError

COLUMNS = {
    "from": "from_text",
    "to": "to_text",
    "date/time": "started",
    "start date": "started",
    "total duration": "duration",
    "duration": "duration",
    "rating duration": "rated",
    "billing duration": "rated",
    "rating cost": "cost",
    "billing cost": "cost",
    "cost of the call": "cost",
    "status": "status",
    "unique id": "unique_id",
    "uniqueid": "unique_id",
    "id": "unique_id",
    "recording path": "recording_path",
    "recording available": "recording",
    "location type": "location",
    "mos": "mos",
    "tenant": "tenant",
}
_REQUIRED = ("from_text", "to_text", "started", "duration", "status", "unique_id")
_NAME_OF = {column: name.title() for name, column in reversed(COLUMNS.items())}  # as the vendor usually says it


OUTCOMES = {
    "ANSWERED": "answered",
    "ANSWER": "answered",
    "UNANSWERED": "no_answer",
    "NOTANSWERED": "no_answer",
    "NOANSWER": "no_answer",
    "BUSY": "busy",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "CANCELED": "cancelled",
    "CANCEL": "cancelled",
    "VOICEMAIL": "voicemail",
}


def outcome_of(status: str) -> str:
    """The outcome that a status means, by the same rule as in ``legs.sql``."""
    return OUTCOMES.get(re.sub("[^A-Z]", "", status.upper()), "unknown")


def cells(data: dict[str, Any], wanted: str) -> Iterable[Any]:
    """The cells of one column of a response, of every row that has as many cells as the header."""
    names = [column_of(name) for name in data.get("header") or []]
    if wanted not in names:
        return ()
    rows = data["csv"]
    if set(map(type, rows)) != {list} or set(map(len, rows)) != {len(names)}:
        rows = [row for row in rows if isinstance(row, list) and len(row) == len(names)]
    return map(itemgetter(names.index(wanted)), rows)


def check_headers(source: Source, con: duckdb.DuckDBPyConnection, day: date, directory: Directory) -> set[str]:
    """The columns of the relation ``parsed`` that are not known.

    Raises ContractError for a header that lacks a required column, and for tenants in the records of a PBX that did not
    list them: nothing says which tenant is which.
    """
    headers = con.execute("SELECT DISTINCT header FROM parsed WHERE header IS NOT NULL").fetchall()
    extra: set[str] = set()
    for (reported,) in headers:
        header = strict_json.loads(reported)
        names = [column_of(name or "") for name in header]
        missing = [_NAME_OF[name] for name in _REQUIRED if name not in names]
        if missing or len({name for name in names if name}) < len([name for name in names if name]):
            raise ContractError(
                f"the header lacks or repeats columns ({', '.join(missing) or 'a repeated one'})",
                connection=source.name,
                endpoint="cdr.download",
                window=str(day),
            )
        if "tenant" in names and not directory.tenants_listed:
            raise ContractError(
                "the records are of tenants, and the PBX does not give tenant.list",
                connection=source.name,
                endpoint="cdr.download",
                window=str(day),
                hint="let the API key list tenants, in Admin Settings, API Keys",
            )
        extra |= {str(name) for name, known in zip(header, names, strict=True) if known is None}
    return extra


def column_of(name: str) -> str | None:
    return COLUMNS.get(name.strip(" ").lower())
