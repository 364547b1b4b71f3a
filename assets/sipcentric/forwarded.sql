-- The legs out that name no endpoint of ours: they were forwarded. Where one telephone of ours is all that a call led
-- to, the leg is that telephone's.
WITH leg AS (
    SELECT account_id, linked_id, raw_row, direction = 'outbound' AND extension IS NULL AS is_forwarded,
        CASE WHEN to_kind = 'person' AND direction <> 'outbound'
            THEN CASE direction WHEN 'inbound' THEN extension ELSE to_number END END AS telephone
    FROM read_parquet($legs) WHERE linked_id IS NOT NULL
), owner AS (
    SELECT account_id, linked_id, min(telephone) AS telephone FROM leg
    GROUP BY ALL HAVING bool_or(is_forwarded) AND min(telephone) = max(telephone)
)
SELECT raw_row, owner.telephone FROM leg JOIN owner USING (account_id, linked_id) WHERE is_forwarded
