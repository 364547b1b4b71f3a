"""The messages of Sipcentric as rows of ``core.sms``.

What lives here: reading the messages of one day out of a landing that holds several. What does not: who a party is
(``parties``), and the texts of messages, which ``api`` takes out before anything is landed.
"""

from datetime import date

import duckdb

from assets.controls import quarantined
from assets.load import Normalised, Source, bounds
from assets.sipcentric.controls import LISTS, MESSAGES, message_controls
from assets.sipcentric.directory import customers_of
from assets.sipcentric.entries import EXACT, INSTANT, LETTERS, items_form
from assets.sipcentric.parties import TEXTS, own_numbers, party_table, register_lists
from warehouse.lake import Landing
from warehouse.money import amount_sql
from warehouse.schema import SMS

_SMS_FIELDS = ("uri", "created", "direction", "from", "to", "sendStatus", "deliveryStatus", "cost")

_PARSED_SMS = f"""
CREATE OR REPLACE TEMP TABLE parsed AS
WITH entry AS (
    SELECT page, account_id, fetched_at, first_row, from_json({EXACT}, '{items_form(_SMS_FIELDS)}').items AS items
    FROM read_parquet($raw) WHERE kind = 'sms' AND rows > 0
), listed AS (
    -- Unnested side by side: a join with the page would hold the whole page once for every item of it.
    SELECT page, account_id, fetched_at, first_row + unnest(range(len(items))) AS raw_row, unnest(items) AS item
    FROM entry
), split AS (
    SELECT page, account_id, fetched_at, raw_row, {", ".join(f'item."{name}"' for name in _SMS_FIELDS)}
    FROM listed
)
SELECT *, {INSTANT.format(text="created")} AS sent, {amount_sql("cost")} AS amount, CASE
    WHEN coalesce(uri, '') = '' THEN 'there is no uri'
    WHEN sent IS NULL THEN 'created is not a time'
    WHEN cost <> '' AND amount IS NULL THEN 'the cost is not an amount'
    END AS problem
FROM split
"""


_SMS = f"""
CREATE OR REPLACE TEMP TABLE fresh_sms AS
WITH message AS (
    SELECT * FROM parsed WHERE problem IS NULL AND sent >= $start AND sent < $end
    QUALIFY row_number() OVER (PARTITION BY account_id, uri ORDER BY fetched_at DESC, raw_row DESC) = 1
), placed AS (
    SELECT m.*, k.currency, f.e164 AS from_e164, t.e164 AS to_e164, f.country AS from_country, t.country AS to_country,
        CASE WHEN {LETTERS.format(text="direction")} IN ('IN', 'INBOUND') THEN 'inbound'
            WHEN {LETTERS.format(text="direction")} IN ('OUT', 'OUTBOUND') THEN 'outbound' ELSE 'unknown' END
            AS direction_found
    FROM message m
    LEFT JOIN party f ON f.account_id = m.account_id AND f.text = coalesce(m."from", '') AND NOT f.called
    LEFT JOIN party t ON t.account_id = m.account_id AND t.text = coalesce(m."to", '') AND t.called
    LEFT JOIN account_currency AS k ON k.account_id = m.account_id
)
SELECT
    md5(concat_ws(chr(31), $connection, account_id, uri)) AS sms_id, 'sipcentric' AS vendor, $connection AS connection,
    account_id, uri AS native_id, sent AS sent_at, $day::DATE AS sms_date, direction_found AS direction,
    CASE WHEN "sendStatus" IS NOT NULL THEN CASE {LETTERS.format(text='"sendStatus"')} WHEN 'PENDING' THEN 'pending'
        WHEN 'SENT' THEN 'sent' WHEN 'FAILED' THEN 'failed' ELSE 'unknown' END END AS status,
    "from" AS from_text, from_e164, "to" AS to_text, to_e164,
    CASE direction_found WHEN 'outbound' THEN to_e164 WHEN 'inbound' THEN from_e164 END AS remote_e164,
    CASE direction_found WHEN 'outbound' THEN to_country WHEN 'inbound' THEN from_country END AS remote_country,
    try_cast("deliveryStatus" AS INTEGER) AS delivery_status,
    amount AS cost, currency, $file AS raw_file, raw_row, fetched_at
FROM placed
"""


def normalise_messages(
    source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date | None
) -> Normalised:
    """The messages of a day out of a landing that holds several days.

    A message whose day cannot be read is quarantined on the first day of the landing; one that lies before or after
    them all is counted there as out of window.
    """
    assert day is not None
    start, end = bounds(day, source.zone)
    register_lists(source, con, source.lake.landing_at(source.name, LISTS, landing.depends_on[LISTS]))
    con.execute(_PARSED_SMS, {"raw": str(source.lake.verified(landing))})
    con.register("party", party_table(source, own_numbers(con), con.execute(TEXTS).fetchall()))
    parameters = {"connection": source.name, "day": day, "file": landing.file, "start": start, "end": end}
    con.execute(_SMS, parameters)
    if day != landing.window_from:
        return Normalised({SMS: "fresh_sms"})
    lists = source.lake.landing_at(source.name, LISTS, landing.depends_on[LISTS])
    missing = len(customers_of(source, lists)) - len(
        {response["account_id"] for response in source.lake.responses(landing)}
    )
    warnings = [f"the vendor does not give {MESSAGES} of {missing} customers"] if missing else []
    assert landing.window_to is not None
    _, end = bounds(landing.window_to, source.zone)
    outside = con.execute(
        "SELECT count(*) FROM parsed WHERE problem IS NULL AND NOT (sent >= $start AND sent < $end)",
        {"start": start, "end": end},
    ).fetchall()[0][0]
    controls = message_controls(source, con, landing, day)
    quarantine = quarantined(source, MESSAGES, con, landing.file, day)
    return Normalised({SMS: "fresh_sms"}, controls, quarantine, outside, warnings)
