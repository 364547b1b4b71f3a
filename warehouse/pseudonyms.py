"""The published database once more, for analysts who must not see numbers and names.

What lives here: which columns such a copy keeps, and the copying. What does not: when it is made and put in place
(``database``), where the key comes from (``pipelines.settings``).

A number becomes HMAC-SHA256 of itself: the same one each night, so that rows can be joined, and nothing to whoever
lacks the key. So do ids that are hashes of what a record says, for a number could be found from them by trial. Other
text is left out unless its column is named here: one that is added later is missing in the copy, not leaked.
"""

import hmac

import duckdb
import pyarrow as pa

from warehouse.schema import Column, Table

_NUMBERS = ("from_number", "to_number")
_IDS = ("cdr_id", "call_id", "sms_id", "record_id")
# What is no text of a person's: codes, names of ours, ids and states of the vendors.
_KEPT = frozenset(
    {
        *("vendor", "connection", "account_id", "native_id", "linked_id", "stream", "load_id", "raw_file", "currency"),
        *("direction", "outcome", "extension", "remote_country", "remote_type", "linking", "status", "type", "kind"),
        *("invoice_id", "number", "merged_into", "line_id", "item_id", "bundle_id", "service_id", "category"),
        *("account_type", "billing_cycle", "code", "country", "extension_id", "department_id", "department"),
        *("plan_id", "plan_name", "rate_id", "rating", "cost_centre", "charge_kind", "destination_country", "bucket"),
        *("pbx_connection", "class", "check_name", "subject", "reason", "columns_changed", "error_type", "state"),
        *("mart", "measure", "closed_by_load", "despite", "file", "sha256", "erasure_id", "table_name"),
        *("item", "method", "rule", "calls_of", "source_cost_centre", "entry", "role", "account", "document"),
        *("scope", "definition", "starts_at", "destination_type", "ranking", "severity"),
        *("core.bundle.name", "core.department.name", "core.service.name", "mart.journal.description"),
    }
)


def copy_pseudonymised(con: duckdb.DuckDBPyConnection, source: str, tables: tuple[Table, ...], key: bytes) -> None:
    """Make ``tables`` in the current database from those of the attached database ``source``.

    The copy is made row by row into new tables: no block of it ever held what is left out.
    """
    con.execute("CREATE TEMP TABLE pseudonym (said VARCHAR PRIMARY KEY, stands VARCHAR)")
    for table_ in tables:
        selected = []
        for column in table_.columns:
            secret, plain = _parts(table_, column)
            if secret:
                _add_pseudonyms(con, f"SELECT DISTINCT {secret} AS said FROM {source}.{table_.full_name} AS t", key)
                pseudonyms = f"(SELECT stands FROM pseudonym WHERE said = {secret})"
                selected.append(f'coalesce({pseudonyms}, {plain}) AS "{column.name}"')
            else:
                selected.append(f'{plain} AS "{column.name}"')
        order = f"ORDER BY {table_.date_column}" if table_.date_column else ""
        con.execute(
            f"INSERT INTO {table_.full_name} BY NAME "
            f"SELECT {', '.join(selected)} FROM {source}.{table_.full_name} AS t {order}"
        )
    con.execute("DROP TABLE pseudonym")


def _parts(table_: Table, column: Column) -> tuple[str | None, str]:
    """What of a column stands as its pseudonym, and what as it is; SQL, both NULL where it is left out."""
    own = f't."{column.name}"'
    if column.type != "VARCHAR":
        return None, own
    if column.name.endswith("_e164"):
        return own, "NULL"
    if column.name in _NUMBERS:
        e164 = f't."{column.name.replace("number", "e164")}"'
        short = f"coalesce(regexp_full_match({own}, '[0-9*#]{{1,6}}'), true)"  # ours: an extension, a feature code
        return f"coalesce({e164}, CASE WHEN NOT {short} THEN {own} END)", f"CASE WHEN {short} THEN {own} END"
    if column.name in _IDS:
        hashed = f"coalesce(regexp_full_match({own}, '[0-9a-f]{{32}}'), false)"
        return f"CASE WHEN {hashed} THEN {own} END", f"CASE WHEN NOT {hashed} THEN {own} END"
    kept = column.name in _KEPT or f"{table_.full_name}.{column.name}" in _KEPT
    return None, own if kept else "NULL::VARCHAR"


def _add_pseudonyms(con: duckdb.DuckDBPyConnection, query: str, key: bytes) -> None:
    """Put what ``query`` says into ``pseudonym``, as far as it is not there."""
    new = f"SELECT said FROM ({query}) WHERE said IS NOT NULL AND said NOT IN (SELECT said FROM pseudonym)"
    texts = [row[0] for row in con.execute(new).fetchall()]
    pseudonyms = [hmac.digest(key, text.encode(), "sha256").hex()[:32] for text in texts]
    con.register(
        "fresh_pseudonym", pa.table({"said": pa.array(texts, pa.string()), "stands": pa.array(pseudonyms, pa.string())})
    )
    con.execute("INSERT INTO pseudonym SELECT said, stands FROM fresh_pseudonym")
    con.unregister("fresh_pseudonym")
