-- The calls in `parsed` as legs of core.cdr.
WITH call AS (
    SELECT *, letters_of(scope) AS scope_word, letters_of(direction) AS direction_word,
        letters_of(outcome) AS outcome_word
    FROM parsed WHERE problem IS NULL AND NOT outside
), placed AS (
    SELECT c.*, f.name AS from_name, f.number AS from_number, f.e164 AS from_e164,
        t.name AS to_name, t.number AS to_number, t.e164 AS to_e164,
        CASE WHEN scope_word = 'LOCAL' OR (f.own AND t.own AND scope_word <> 'DOMAIN') THEN 'internal'
            WHEN direction_word IN ('IN', 'INBOUND') THEN 'inbound'
            WHEN direction_word IN ('OUT', 'OUTBOUND') THEN 'outbound' ELSE 'unknown' END AS direction_found,
        coalesce(src.extension, CASE WHEN f.own THEN f.number END) AS from_extension,
        coalesce(dst.extension, CASE WHEN t.own THEN t.number END) AS to_extension,
        CASE WHEN dst.kind IS NOT NULL THEN dst.kind WHEN t.own THEN t.kind WHEN t.number IS NULL THEN NULL
            WHEN direction_found = 'outbound' THEN 'person' WHEN direction_found = 'inbound' THEN 'number'
            END AS to_kind,
        f.country AS from_country, t.country AS to_country, f.type AS from_type, t.type AS to_type, k.currency
    FROM call c
    LEFT JOIN party f ON f.account_id = c.account_id AND f.text = coalesce(c."from", '') AND NOT f.called
    LEFT JOIN party t ON t.account_id = c.account_id AND t.text = coalesce(c."to", '') AND t.called
    LEFT JOIN account_currency AS k ON k.account_id = c.account_id
    LEFT JOIN endpoint src ON src.account_id = c.account_id
        AND src.uri_id = regexp_extract(c."srcEndpoint", '/endpoints/([^/?#]+)', 1)
    LEFT JOIN endpoint dst ON dst.account_id = c.account_id
        AND dst.uri_id = regexp_extract(c."dstEndpoint", '/endpoints/([^/?#]+)', 1)
)
SELECT
    md5(concat_ws(chr(31), $connection, account_id, uri)) AS cdr_id, 'sipcentric' AS vendor, $connection AS connection,
    account_id, uri AS native_id, coalesce(nullif("linkedId", ''), nullif("callId", '')) AS linked_id,
    1::INTEGER AS occurrence, started AS started_at, $day::DATE AS call_date, direction_found AS direction,
    CASE outcome_word WHEN 'ANSWERED' THEN 'answered' WHEN 'ANSWER' THEN 'answered'
        WHEN 'NOANSWER' THEN 'no_answer' WHEN 'NOTANSWERED' THEN 'no_answer' WHEN 'UNANSWERED' THEN 'no_answer'
        WHEN 'BUSY' THEN 'busy' WHEN 'FAILED' THEN 'failed'
        WHEN 'CANCELLED' THEN 'cancelled' WHEN 'CANCELED' THEN 'cancelled' WHEN 'CANCEL' THEN 'cancelled'
        WHEN 'VOICEMAIL' THEN 'voicemail' ELSE 'unknown' END AS outcome,
    "from" AS from_text, from_name, from_number, from_e164, "to" AS to_text, to_name, to_number, to_e164, to_kind,
    CASE direction_found WHEN 'inbound' THEN to_extension WHEN 'outbound' THEN from_extension
        ELSE coalesce(from_extension, to_extension) END AS extension,
    CASE direction_found WHEN 'outbound' THEN to_e164 WHEN 'inbound' THEN from_e164 END AS remote_e164,
    CASE direction_found WHEN 'outbound' THEN to_country WHEN 'inbound' THEN from_country END AS remote_country,
    CASE direction_found WHEN 'outbound' THEN to_type WHEN 'inbound' THEN from_type END AS remote_type,
    seconds AS duration_seconds, NULL::BIGINT AS rated_seconds, amount AS cost,
    currency, coalesce(lower(final) = 'false', false) AS is_provisional, NULL::DECIMAL(6, 3) AS mos,
    NULL::BOOLEAN AS has_recording, $file AS raw_file, raw_row, fetched_at
FROM placed
