"""The parties of Sipcentric's calls and messages: who stands in from and to.

What lives here: the endpoints of a customer, reading the text of one party against them, and the table of all parties
of a landing. What does not: the lists as tables (``directory``), numbers as such (``assets.phone``).
"""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from assets.http import strict_json
from assets.phone import UNREADABLE, dialled_number, is_withheld, outside_country, read_number
from assets.sipcentric.api import identifier
from assets.sipcentric.directory import currencies_of
from assets.stream import Source
from warehouse.duck import packaged_sql
from warehouse.raw import Landing

_MACROS = packaged_sql(Path(__file__).parent, "macros")
MACHINES = ("group", "queue", "ivr", "mailbox")  # types of endpoints behind which there is no person


def prepare(source: Source, con: duckdb.DuckDBPyConnection, lists: Landing) -> dict[str, dict[str, str]]:
    """Give the connection what its SQL needs: our macros, and the relations ``endpoint`` and ``account_currency``.

    Returns by account the numbers of its endpoints, each with who is behind it: a person, where a telephone has it too.
    """
    con.execute(_MACROS)
    rows = []
    for response in source.lake.raw.responses(lists):
        if response["kind"] == "endpoints":
            for item in strict_json.loads(response["body"])["items"]:
                found = identifier(item.get("uri"), "endpoints")
                if found and item.get("shortNumber") is not None:
                    kind = "machine" if str(item.get("type")).lower() in MACHINES else "person"
                    row = {"account_id": response["account_id"], "uri_id": found, "kind": kind}
                    rows.append({**row, "extension": str(item["shortNumber"])})
    schema = pa.schema([(name, pa.string()) for name in ("account_id", "uri_id", "extension", "kind")])
    con.register("endpoint", pa.Table.from_pylist(rows, schema=schema))
    currencies, _ = currencies_of(source, lists)
    columns = {"account_id": list(currencies), "currency": list(currencies.values())}
    schema = pa.schema([(name, pa.string()) for name in columns])
    con.register("account_currency", pa.table(columns, schema=schema))
    own: dict[str, dict[str, str]] = {}
    for account, extension, kind in con.execute(
        "SELECT account_id, extension, max(kind) FROM endpoint GROUP BY ALL"
    ).fetchall():
        own.setdefault(account, {})[extension] = kind
    return own


# The parties of the relation ``parsed``: account, distinct text, and whether it was called.
TEXTS = """
SELECT account_id, coalesce("from", '') AS text, false AS called FROM parsed WHERE problem IS NULL
UNION SELECT account_id, coalesce("to", ''), true FROM parsed WHERE problem IS NULL
"""


def party_table(source: Source, own: dict[str, dict[str, str]], texts: list[tuple[str, str, bool]]) -> pa.Table:
    """The dimension of parties: one row per account, distinct text and side."""
    rows = [
        {
            "account_id": account,
            "text": text,
            "called": called,
            **_party(text, own.get(account, {}), source.region, source.outside_line if called else ""),
        }
        for account, text, called in texts
    ]
    schema = pa.schema(
        [(name, pa.string()) for name in ("account_id", "text", "name", "number", "kind", "e164", "country", "type")]
        + [(name, pa.bool_()) for name in ("own", "called")]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def _party(text: str, own: dict[str, str], region: str, outside_line: str) -> dict[str, Any]:
    """Read ``Name <103>``, ``Mary - Clients <103>``, a bare number or ``anonymous``."""
    name, number = None, text.strip()
    if number.endswith(">") and "<" in number:
        before, _, inside = number[:-1].rpartition("<")
        name, number = before.strip() or None, inside.strip()
    if is_withheld(number):
        return {"name": name, "number": None, "own": False}
    ours = number in own or (len(number) <= 4 and number.isdigit() and name is not None)
    dialled = number if ours else dialled_number(number, region, outside_line)
    read = UNREADABLE if dialled in own or ours else read_number(dialled, region)
    return {
        "name": name,
        "number": number,
        "own": ours,
        "kind": own.get(number),
        "e164": read.e164,
        "country": outside_country(read),
        "type": read.type,
    }
