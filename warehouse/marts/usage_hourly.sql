-- One row per UTC hour, account and direction in which a call started or was talked on.
--
-- A call is up in [start, start + talk_seconds), to the whole second. The peak is a running sum of the starts and ends,
-- netted per second, so that a call which ends as another starts is not up with it; nothing is joined by overlap.
WITH near_call AS (
    SELECT vendor, connection, account_id, direction, started_at, outcome, talk_seconds
    FROM core.call
    WHERE near_hours(call_date)
    UNION ALL
    -- Calls carried in from long before: few, and found by their length.
    SELECT vendor, connection, account_id, direction, started_at, outcome, talk_seconds
    FROM core.call
    WHERE talk_seconds > 86400 AND NOT near_hours(call_date)
),
spell AS (
    SELECT
        vendor,
        connection,
        account_id,
        direction,
        outcome = 'answered' AS answered,
        epoch_us(started_at) // 1000000 AS up_at,
        epoch_us(started_at) // 1000000 + talk_seconds AS down_at
    FROM near_call
),
started AS (
    SELECT
        vendor,
        connection,
        account_id,
        direction,
        up_at // 3600 AS hour_number,
        count(*) AS calls,
        count(*) FILTER (WHERE answered) AS answered
    FROM spell
    GROUP BY ALL
),
talked_hour AS (
    SELECT
        vendor,
        connection,
        account_id,
        direction,
        up_at,
        down_at,
        unnest(range(up_at // 3600, (down_at - 1) // 3600 + 1)) AS hour_number
    FROM spell
    WHERE answered AND down_at > up_at
),
carried AS (
    SELECT
        vendor,
        connection,
        account_id,
        direction,
        hour_number,
        sum(least(down_at, (hour_number + 1) * 3600) - greatest(up_at, hour_number * 3600)) AS seconds
    FROM talked_hour
    GROUP BY ALL
),
event AS (
    SELECT vendor, connection, account_id, direction, up_at AS at_second, 1 AS step
    FROM spell
    WHERE answered AND down_at > up_at
    UNION ALL
    SELECT vendor, connection, account_id, direction, down_at, -1
    FROM spell
    WHERE answered AND down_at > up_at
    UNION ALL
    -- Nothing happens at the turn of the hour; it makes those already up count in the hour.
    SELECT vendor, connection, account_id, direction, hour_number * 3600, 0
    FROM carried
),
netted AS (
    SELECT vendor, connection, account_id, direction, at_second, sum(step) AS step
    FROM event
    GROUP BY ALL
),
level AS (
    SELECT
        vendor,
        connection,
        account_id,
        direction,
        at_second // 3600 AS hour_number,
        sum(step) OVER (
            PARTITION BY vendor, connection, account_id, direction
            ORDER BY at_second
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS calls_up
    FROM netted
),
peak AS (
    SELECT vendor, connection, account_id, direction, hour_number, max(calls_up) AS peak_concurrent
    FROM level
    GROUP BY ALL
),
busy_hour AS (
    SELECT vendor, connection, account_id, direction, hour_number, calls, answered, 0 AS seconds, 0 AS peak_concurrent
    FROM started
    UNION ALL
    SELECT c.vendor, c.connection, c.account_id, c.direction, c.hour_number, 0, 0, c.seconds, p.peak_concurrent
    FROM carried AS c
    JOIN peak AS p
        ON p.vendor = c.vendor
        AND p.connection = c.connection
        AND p.account_id IS NOT DISTINCT FROM c.account_id
        AND p.direction = c.direction
        AND p.hour_number = c.hour_number
)
SELECT
    make_timestamptz(hour_number * 3600000000) AS hour,
    vendor,
    connection,
    account_id,
    direction,
    CAST(sum(calls) AS BIGINT) AS calls,
    CAST(sum(answered) AS BIGINT) AS answered,
    -- Rounded once, half up, from whole seconds: millionths of an erlang by integer division.
    CAST(
        CAST((sum(seconds) * 1000000 + 1800) // 3600 AS DECIMAL(30, 0)) * CAST('0.000001' AS DECIMAL(6, 6))
        AS DECIMAL(18, 6)
    ) AS erlangs,
    CAST(max(peak_concurrent) AS BIGINT) AS peak_concurrent
FROM busy_hour
WHERE in_hours(make_timestamptz(hour_number * 3600000000))
GROUP BY hour_number, vendor, connection, account_id, direction
