-- The calls of the responses in `response`, one row a call: each field as text, and in `problem` what cannot be
-- understood. $start and $end: the bounds of the day.
CREATE OR REPLACE TEMP TABLE parsed AS
WITH entry AS (
    SELECT page, account_id, fetched_at, first_row, from_json(costs_as_text(body), '{"items": [{
        "uri": "VARCHAR", "created": "VARCHAR", "scope": "VARCHAR", "direction": "VARCHAR", "from": "VARCHAR",
        "to": "VARCHAR", "callStarted": "VARCHAR", "outcome": "VARCHAR", "duration": "VARCHAR", "cost": "VARCHAR",
        "callId": "VARCHAR", "linkedId": "VARCHAR", "final": "VARCHAR", "srcEndpoint": "VARCHAR",
        "dstEndpoint": "VARCHAR"}]}').items AS items
    FROM response WHERE kind = 'calls' AND rows > 0
), listed AS (
    -- Unnested side by side: a join with the page would hold the whole page once for every item of it.
    SELECT page, account_id, fetched_at, first_row + unnest(range(len(items))) AS raw_row, unnest(items) AS item
    FROM entry
), split AS (
    SELECT page, account_id, fetched_at, raw_row, item.*, hash(item) AS content FROM listed
)
SELECT *, instant_of("callStarted") AS started, amount_of(cost) AS amount,
    CASE WHEN regexp_full_match(duration, '[0-9]{1,8}([.]0+)?') THEN duration::DECIMAL(18, 6)::BIGINT END AS seconds,
    CASE
        WHEN coalesce(uri, '') = '' THEN 'there is no uri'
        WHEN started IS NULL THEN 'callStarted is not a time'
        WHEN duration <> '' AND seconds IS NULL THEN 'the duration is not a number of seconds'
        WHEN cost <> '' AND amount IS NULL THEN 'the cost is not an amount'
    END AS problem,
    problem IS NULL AND NOT (started >= $start AND started < $end) AS outside
FROM split
