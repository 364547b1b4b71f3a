-- The messages in `parsed` that were sent in [$start, $end), as rows of core.sms: of one that stands in several
-- responses the newest.
CREATE OR REPLACE TEMP TABLE fresh_sms AS
WITH message AS (
    SELECT * FROM parsed WHERE problem IS NULL AND sent >= $start AND sent < $end
    QUALIFY row_number() OVER (PARTITION BY account_id, uri ORDER BY fetched_at DESC, raw_row DESC) = 1
), placed AS (
    SELECT m.*, k.currency, f.e164 AS from_e164, t.e164 AS to_e164, f.country AS from_country, t.country AS to_country,
        CASE WHEN letters_of(direction) IN ('IN', 'INBOUND') THEN 'inbound'
            WHEN letters_of(direction) IN ('OUT', 'OUTBOUND') THEN 'outbound' ELSE 'unknown' END AS direction_found
    FROM message m
    LEFT JOIN party f ON f.account_id = m.account_id AND f.text = coalesce(m."from", '') AND NOT f.called
    LEFT JOIN party t ON t.account_id = m.account_id AND t.text = coalesce(m."to", '') AND t.called
    LEFT JOIN account_currency AS k ON k.account_id = m.account_id
)
SELECT
    md5(concat_ws(chr(31), $connection, account_id, uri)) AS sms_id, 'sipcentric' AS vendor, $connection AS connection,
    account_id, uri AS native_id, sent AS sent_at, $day::DATE AS sms_date, direction_found AS direction,
    CASE WHEN "sendStatus" IS NOT NULL THEN CASE letters_of("sendStatus") WHEN 'PENDING' THEN 'pending'
        WHEN 'SENT' THEN 'sent' WHEN 'FAILED' THEN 'failed' ELSE 'unknown' END END AS status,
    "from" AS from_text, from_e164, "to" AS to_text, to_e164,
    CASE direction_found WHEN 'outbound' THEN to_e164 WHEN 'inbound' THEN from_e164 END AS remote_e164,
    CASE direction_found WHEN 'outbound' THEN to_country WHEN 'inbound' THEN from_country END AS remote_country,
    try_cast("deliveryStatus" AS INTEGER) AS delivery_status,
    amount AS cost, currency, $file AS raw_file, raw_row, fetched_at
FROM placed
