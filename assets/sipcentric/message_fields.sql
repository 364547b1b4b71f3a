-- The messages of a landing, one row each: each field as text, and in `problem` what cannot be understood.
CREATE OR REPLACE TEMP TABLE parsed AS
WITH entry AS (
    SELECT page, account_id, fetched_at, first_row, from_json(costs_as_text(body), '{"items": [{
        "uri": "VARCHAR", "created": "VARCHAR", "direction": "VARCHAR", "from": "VARCHAR", "to": "VARCHAR",
        "sendStatus": "VARCHAR", "deliveryStatus": "VARCHAR", "cost": "VARCHAR"}]}').items AS items
    FROM read_parquet($raw) WHERE kind = 'sms' AND rows > 0
), listed AS (
    -- Unnested side by side: a join with the page would hold the whole page once for every item of it.
    SELECT page, account_id, fetched_at, first_row + unnest(range(len(items))) AS raw_row, unnest(items) AS item
    FROM entry
), split AS (
    SELECT page, account_id, fetched_at, raw_row, item.* FROM listed
)
SELECT *, instant_of(created) AS sent, amount_of(cost) AS amount,
    CASE
        WHEN coalesce(uri, '') = '' THEN 'there is no uri'
        WHEN sent IS NULL THEN 'created is not a time'
        WHEN cost <> '' AND amount IS NULL THEN 'the cost is not an amount'
    END AS problem
FROM split
