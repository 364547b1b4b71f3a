-- The rows of `parsed` as legs of core.cdr, as if no two were alike and none was put through or forwarded: of these
-- there are few, and they are found once all rows are there.
--
-- $outcomes: the outcome of each status, whose letters alone count.
WITH placed AS (
    SELECT n.*, coalesce(f.currency, 'XXX') AS currency,
        f.name AS from_name, f.number AS from_number, f.e164 AS from_e164,
        t.name AS to_name, t.number AS to_number, t.e164 AS to_e164, t.who AS to_kind,
        CASE
            WHEN f.kind = 'own' AND t.kind IN ('own', 'feature') THEN 'internal'
            WHEN f.kind IN ('own', 'did') AND t.kind = 'outside' THEN 'outbound'
            WHEN f.kind = 'own' AND t.kind = 'did' THEN 'internal'
            WHEN f.kind IN ('outside', 'withheld', 'did') AND t.kind IN ('own', 'did', 'feature') THEN 'inbound'
            WHEN f.kind = 'outside' AND t.kind = 'withheld' THEN 'inbound'
            -- Nobody is put through to a public short number: it was an extension or a group once.
            WHEN f.kind IN ('outside', 'withheld') AND t.kind = 'outside' AND t.type = 'short' THEN 'inbound'
            ELSE 'unknown' END AS direction,
        f.extension AS from_extension, t.extension AS to_extension, f.phone AS from_phone, t.phone AS to_phone,
        f.country AS from_country, t.country AS to_country, f.type AS from_type, t.type AS to_type
    FROM parsed n
    LEFT JOIN party f ON f.account_id = n.account_id AND f.text = coalesce(n.from_text, '') AND NOT f.called
    LEFT JOIN party t ON t.account_id = n.account_id AND t.text = coalesce(n.to_text, '') AND t.called
    WHERE identity IS NOT NULL
)
SELECT
    identity AS cdr_id,
    'pbxware' AS vendor, $connection AS connection, account_id, unique_id AS native_id,
    unique_id AS linked_id, 1::INTEGER AS occurrence, to_timestamp(second) AS started_at, $day::DATE AS call_date,
    direction,
    CASE status WHEN 'Answered' THEN 'answered' WHEN 'Not Answered' THEN 'no_answer'  -- as nearly always
        ELSE coalesce($outcomes[regexp_replace(upper(coalesce(status, '')), '[^A-Z]', '', 'g')], 'unknown')
        END AS outcome,
    from_text, from_name, from_number, from_e164, to_text, to_name, to_number, to_e164, to_kind,
    CASE WHEN direction = 'inbound' OR (to_phone AND NOT from_phone) THEN to_extension
        ELSE coalesce(from_extension, to_extension) END AS extension,
    CASE direction WHEN 'outbound' THEN to_e164 WHEN 'inbound' THEN from_e164 END AS remote_e164,
    CASE direction WHEN 'outbound' THEN to_country WHEN 'inbound' THEN from_country END AS remote_country,
    CASE direction WHEN 'outbound' THEN to_type WHEN 'inbound' THEN from_type END AS remote_type,
    seconds AS duration_seconds, rated_seconds, amount AS cost, currency, false AS is_provisional,
    CASE WHEN try_cast(mos AS DECIMAL(6, 3)) > 0 THEN try_cast(mos AS DECIMAL(6, 3)) END AS mos,
    CASE WHEN lower(recording) IN ('true', '1', 'yes') THEN true
        WHEN lower(recording) IN ('false', '0', 'no') THEN false END AS has_recording,
    $file AS raw_file, raw_row, fetched_at
FROM placed
