"""A data directory with years behind it: as many legs as asked for, in days of equal size, and a database of them.

What lives here: core files and their manifests, made by SQL, and the private and public database built from them by the
code that always builds them. What does not: measuring (``nights``), raw responses, which the past does not need here.
"""

from datetime import UTC, date, datetime, timedelta

import duckdb

from assets.warehouse_asset import update_and_publish
from bench.vendor import DAY, EXTENSIONS
from pipelines.resources import Runtime
from warehouse.raw import Landing
from warehouse.schema import CDR, EXTENSION_TOTAL, Table

# Two legs of three are calls of their own, the third is a further leg of the call before it.
_LEGS = f"""
SELECT *, CASE number % 3 WHEN 2 THEN number - 1 ELSE number END AS call, number % 5 <> 0 AS answered,
    $day::TIMESTAMP + INTERVAL 7 HOUR + to_seconds(number * 36000 // $rows) AS moment,
    (1000 + number % {EXTENSIONS})::VARCHAR AS inside, '+4420794' || (60000 + number * 7919 % 1000) AS outside,
    CASE WHEN answered THEN 5 + number * 31 % 600 ELSE 0 END AS seconds
FROM range($rows::BIGINT) AS leg(number)
"""
_CDR = {
    "cdr_id": "md5($day || '/' || number)",
    "vendor": "'pbxware'",
    "connection": "'hq'",
    "account_id": "'2'",
    "native_id": "$day || '/' || call",
    "linked_id": "$day || '/' || call",
    "occurrence": "1",
    "started_at": "moment",
    "call_date": "$day",
    "direction": "CASE WHEN number % 2 = 1 THEN 'outbound' ELSE 'inbound' END",
    "outcome": "CASE WHEN answered THEN 'answered' ELSE 'no_answer' END",
    "from_text": "CASE WHEN number % 2 = 1 THEN 'Desk (' || inside || ')' ELSE outside END",
    "from_number": "CASE WHEN number % 2 = 1 THEN inside ELSE outside END",
    "to_text": "CASE WHEN number % 2 = 0 THEN 'Desk (' || inside || ')' ELSE outside END",
    "to_number": "CASE WHEN number % 2 = 0 THEN inside ELSE outside END",
    "extension": "inside",
    "remote_e164": "outside",
    "remote_country": "['GB', 'DE', 'US', 'FR'][1 + number % 4]",
    "remote_type": "'fixed'",
    "duration_seconds": "seconds",
    "rated_seconds": "seconds",
    "cost": "seconds * 0.000137",
    "currency": "'GBP'",
    "is_provisional": "false",
    "has_recording": "false",
    "raw_file": "'raw/hq/cdr/' || $day",
    "raw_row": "number + 1",
    "fetched_at": "$day::TIMESTAMP + INTERVAL 1 DAY",
}
_TOTAL = {
    "vendor": "'tim4biz'",
    "connection": "'tim'",
    "total_date": "$day",
    "extension": "inside",
    "calls": "count(DISTINCT call)",
    "duration_seconds": "sum(seconds)",
    "cost": "sum(seconds * 0.000137)",
    "currency": "'GBP'",
    "raw_file": "'raw/tim/extension_total/' || $day",
    "raw_row": "inside",
    "fetched_at": "$day::TIMESTAMP + INTERVAL 1 DAY",
}


def build(runtime: Runtime, rows: int, rows_a_day: int) -> None:
    """Core with ``rows`` legs in the days before the vendors' one, then the databases of it."""
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        days = [DAY - timedelta(days=number + 1) for number in range(rows // rows_a_day)]
        with runtime.lake.writing():
            for day in reversed(days):
                given = {"day": day.isoformat(), "rows": rows_a_day}
                _commit(runtime, con, "cdr", "hq", "pbxware", day, CDR, _CDR, f"FROM ({_LEGS})", given)
                totals = f"FROM ({_LEGS}) GROUP BY inside"
                _commit(runtime, con, "extension_total", "tim", "tim4biz", day, EXTENSION_TOTAL, _TOTAL, totals, given)
    update_and_publish(runtime.lake, runtime.database)


def _commit(
    runtime: Runtime,
    con: duckdb.DuckDBPyConnection,
    stream: str,
    connection: str,
    vendor: str,
    day: date | None,
    table_: Table,
    columns: dict[str, str],
    source: str,
    given: dict[str, object],
) -> None:
    cells = (f"CAST({columns.get(c.name, 'NULL')} AS {c.type}) AS {c.name}" for c in table_.columns)
    order = ", ".join(table_.key)
    rows = con.sql(f"SELECT {', '.join(cells)} {source} ORDER BY {order}", params=given).to_arrow_table()
    landing = _landing(stream, connection, vendor, day)
    runtime.lake.core.commit(
        stream, connection, vendor, day, {table_: rows.cast(table_.arrow())}, applied=1, last=landing
    )


def _landing(stream: str, connection: str, vendor: str, day: date | None) -> Landing:
    """The landing that a core file of the past says it was made of."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Landing(connection, vendor, stream, day, day, "past", "raw/past", "", 0, 0, 0, 0, "", at, at)
