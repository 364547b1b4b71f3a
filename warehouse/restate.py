"""Comparing a reading with the one before: what stays, and what the vendor has restated.

What lives here: the merge of a fresh reading into the rows that were there before. A row that the vendor repeats
unchanged keeps where and when it was first read, so that reading twice gives the same bytes; a difference becomes a
restatement. What does not: reading rows (``assets``), storing them (``lake``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tollbook_errors import ContractError
from warehouse.schema import MONEY, Table, table

_BATCH = 16_384  # rows that a reader hands on at once
# Tables that rest in the order in which they were read; the others, which are small, by key. Sorting a million records
# takes as long as parsing them, and by a hash they take twice the room.
_AS_READ = frozenset({"core.cdr"})
_PROVENANCE = ("raw_file", "raw_row", "fetched_at")
# What a row means for the sum of cost, for the tables whose changes are restatements. Lists that change by nature
# (balances, services, extensions) are not restated, they are simply as last seen.
_COST = {
    "core.cdr": "{row}.cost",
    "core.sms": "{row}.cost",
    "core.extension_total": "{row}.cost",
    "core.invoice": "CASE WHEN {row}.counts_as_expense "
    "THEN {row}.subtotal + {row}.tax - coalesce({row}.credit_added, 0) ELSE 0 END",
}


@dataclass(frozen=True)
class Reading:
    """Whose reading it is, and when it was made; ``settled``: the one before was made after the day had ended.

    ``same_answers``: the vendor has said nothing new, what it said is read in another way.
    """

    stream: str
    vendor: str
    connection: str
    window_date: date
    read_at: datetime
    settled: bool
    same_responses: bool = False


def merge(
    con: duckdb.DuckDBPyConnection, table_: Table, previous: str | None, fresh: str, reading: Reading
) -> tuple[pa.RecordBatchReader, str | None]:
    """The rows that now stand, ordered, and the restatements (None: nothing can have been restated).

    ``previous`` (None: this is the first reading) and ``fresh`` are relations of ``con`` with the columns of
    ``table_``; the restatements are one as well. The rows are made as they are read, so that a day need not fit into
    memory: until then ``con`` must stay open and ``previous`` as it is. ContractError when a key comes twice.
    """
    names = ", ".join(table_.column_names)
    keys = ", ".join(table_.key)
    twice = con.execute(f"SELECT count(*) FROM (SELECT 1 FROM {fresh} GROUP BY {keys} HAVING count(*) > 1)").fetchall()
    if twice[0][0]:
        raise ContractError(
            f"{twice[0][0]} ids come more than once in {table_.full_name}",
            connection=reading.connection,
            endpoint=reading.stream,
            window=str(reading.window_date),
        )
    places = ("raw_file", "raw_row") if table_.full_name in _AS_READ else ()
    order = ", ".join((*places, *table_.key))
    if previous is None:
        return read_rows(con, table_, f"SELECT {names} FROM {fresh} ORDER BY {order}"), None
    on = " AND ".join(f"b.{key} IS NOT DISTINCT FROM n.{key}" for key in table_.key)
    ours = () if reading.same_responses else table_.derived  # then what we make of it is what can differ
    reported = [name for name in table_.column_names if name not in (*_PROVENANCE, *ours, *table_.key)]
    same = " AND ".join([f"b.{name} IS NOT DISTINCT FROM n.{name}" for name in reported] or ["true"])
    there = f"b.{table_.key[0]} IS NOT NULL"
    stays = there if reading.same_responses else f"{there} AND {same}"
    columns = ", ".join(
        f"CASE WHEN {stays} THEN b.{name} ELSE n.{name} END AS {name}" if name in _PROVENANCE else f"n.{name}"
        for name in table_.column_names
    )
    restated = None
    if table_.full_name in _COST:
        restated = f"restated_{table_.name}"
        query, parameters = _restatements(table_, previous, fresh, reading, on, same, reported)
        con.execute(f"CREATE OR REPLACE TEMP TABLE {restated} AS {query}", parameters)
    query = f"FROM (SELECT {columns} FROM {fresh} n LEFT JOIN {previous} b ON {on}) ORDER BY {order}"
    return read_rows(con, table_, query), restated


def read_rows(con: duckdb.DuckDBPyConnection, table_: Table, query: str) -> pa.RecordBatchReader:
    """The rows of a query that gives the columns of ``table_``; it runs when the first of them is read."""
    schema = table_.arrow()

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in con.sql(query).to_arrow_reader(_BATCH):
            yield batch.cast(schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def as_landed(rows: pa.Table) -> pa.Table:
    """Rows of one landing in the order of their ``raw_row``, as a file of theirs has them."""
    places = rows["raw_row"].combine_chunks()
    if len(places) and not pc.all(pc.greater(places[1:], places[:-1])).as_py():
        return rows.sort_by("raw_row")
    return rows


# By column, the value of each ``raw_row`` that has another one than it was written with.
Changes = dict[str, dict[int, Any]]


def with_values(rows: pa.RecordBatch, changes: Changes) -> pa.RecordBatch:
    """Rows of one landing with these values in place of theirs."""
    for name, values in changes.items():
        is_changed = pc.is_in(rows["raw_row"], pa.array(values, pa.int64()))
        place = rows.schema.get_field_index(name)
        new = pa.array([values[row] for row in rows["raw_row"].filter(is_changed).to_pylist()], rows[name].type)
        column = pc.replace_with_mask(rows[name], is_changed, new)
        rows = rows.set_column(place, rows.schema.field(place), column)
    return rows


def _restatements(
    table_: Table, previous: str, fresh: str, reading: Reading, on: str, same: str, reported: list[str]
) -> tuple[str, dict[str, Any]]:
    """The query, with its parameters, for one row of ``audit.restatement`` for each changed, new and vanished row.

    Records that arrive while their day is still going on are not late, and a new invoice is not a restated one.
    """
    changed = [f"CASE WHEN b.{name} IS DISTINCT FROM n.{name} THEN '{name}' END" for name in reported]
    before, after = (
        [f"CASE WHEN b.{c} IS DISTINCT FROM n.{c} THEN {{'k': '{c}', 'v': {row}.{c}::VARCHAR}} END" for c in reported]
        for row in ("b", "n")
    )
    record = [key for key in table_.key if key not in ("connection", table_.date_column)]
    shared = [name for name in ("account_id", "currency") if name in table_.column_names and name not in record]
    own, old = (", ".join(f"{row}.{name}" for name in (*record, *shared)) for row in ("n", "b"))
    one_currency = "b.currency IS NOT DISTINCT FROM n.currency"
    # What is in another currency now is gone from the sum of the one, and has come into that of the other.
    parts = [
        f"SELECT {whose}, 'changed' AS kind, b.fetched_at AS first_seen_at, {_list(changed, 'array_to_string')}"
        f" AS columns_changed, {before_cost} AS before_cost, {after_cost} AS after_cost,"
        f" {_list(before, 'json')} AS before, {_list(after, 'json')} AS after"
        f" FROM {fresh} n JOIN {previous} b ON {on} WHERE NOT ({same}) AND {which}"
        for whose, before_cost, after_cost, which in (
            (own, _cost(table_, "b"), _cost(table_, "n"), one_currency),
            (old, _cost(table_, "b"), "NULL", f"NOT ({one_currency})"),
            (own, "NULL", _cost(table_, "n"), f"NOT ({one_currency})"),
        )
    ]
    parts += [
        f"SELECT {old}, 'vanished', b.fetched_at, NULL, {_cost(table_, 'b')}, NULL, {_whole(reported, 'b')}, NULL"
        f" FROM {previous} b ANTI JOIN {fresh} n ON {on}",
    ]
    if table_.date_column and reading.settled:
        parts.append(
            f"SELECT {own}, 'new', NULL, NULL, NULL, {_cost(table_, 'n')}, NULL, {_whole(reported, 'n')}"
            f" FROM {fresh} n ANTI JOIN {previous} b ON {on}"
        )
    account = "account_id" if "account_id" in table_.column_names else "NULL"
    expressions = {
        "window_date": "$window_date::DATE",
        "vendor": "$vendor",
        "connection": "$connection",
        "account_id": account,
        "stream": "$stream",
        "record_id": f"concat_ws('/', {', '.join(record)})",
        "restated_at": "$read_at::TIMESTAMPTZ",
        "cost_effect": "coalesce(after_cost, 0) - coalesce(before_cost, 0)",
    }
    columns = ", ".join(
        f"CAST({expressions.get(column.name, column.name)} AS {column.type}) AS {column.name}"
        for column in table("audit.restatement").columns
    )
    query = f"SELECT {columns} FROM ({' UNION ALL '.join(parts)})"
    parameters = {
        "window_date": reading.window_date,
        "vendor": reading.vendor,
        "connection": reading.connection,
        "stream": reading.stream,
        "read_at": reading.read_at,
    }
    return query, parameters


def _cost(table_: Table, row: str) -> str:
    return f"CAST({_COST[table_.full_name].format(row=row)} AS {MONEY})"


def _list(entries: list[str], form: str) -> str:
    kept = f"list_filter([{', '.join(entries)}], lambda x: x IS NOT NULL)"
    return (
        f"array_to_string({kept}, ', ')" if form == "array_to_string" else f"to_json(map_from_entries({kept}))::VARCHAR"
    )


def _whole(reported: list[str], row: str) -> str:
    return f"to_json(struct_pack({', '.join(f'{name} := {row}.{name}::VARCHAR' for name in reported)}))::VARCHAR"
