-- One row per UTC hour, account and direction in which a call started or was talked on.
-- `hour` is the start of the hour, in UTC. Made of the calls.
--
-- An inbound call that was forwarded to an outside party takes an outbound line as well, which is talked on but not called
-- again: lines are counted for what is up on them.
--
-- A call is up in [start, start + talk_seconds), to the whole second. The peak is a running sum, within the hour, of the
-- calls carried into it, the starts and the ends, in every second the ends first, so that a call which ends as another
-- starts is not up with it; nothing is joined by overlap.
WITH near_call AS (
    SELECT vendor, connection, account_id, direction, started_at, outcome, talk_seconds
    FROM core.call
    WHERE around_hours(call_date)
    UNION ALL
    -- Calls carried in from long before: few, and found by their length.
    SELECT vendor, connection, account_id, direction, started_at, outcome, talk_seconds
    FROM core.call
    WHERE talk_seconds > 86400 AND NOT around_hours(call_date)
    UNION ALL
    SELECT vendor, connection, account_id, 'outbound', started_at, NULL, outbound_seconds
    FROM core.call
    WHERE direction = 'inbound' AND outbound_seconds > 0 AND (around_hours(call_date) OR outbound_seconds > 86400)
),
-- Whose calls are added up, by number: summing by it is cheaper than by four texts.
line AS MATERIALIZED (
    SELECT *, row_number() OVER (ORDER BY vendor, connection, account_id, direction) AS line
    FROM (SELECT DISTINCT vendor, connection, account_id, direction FROM near_call)
),
spell AS MATERIALIZED (
    SELECT
        line.line,
        call.outcome IS NOT NULL AS is_call,
        coalesce(call.outcome = 'answered', true) AS answered,
        epoch_us(call.started_at) // 1000000 AS up_at,
        epoch_us(call.started_at) // 1000000 + call.talk_seconds AS down_at
    FROM near_call AS call
    JOIN line
        ON line.vendor = call.vendor
        AND line.connection = call.connection
        AND line.account_id IS NOT DISTINCT FROM call.account_id
        AND line.direction = call.direction
),
started AS (
    SELECT line, up_at // 3600 AS hour_number, count(*) AS calls, count(*) FILTER (WHERE answered) AS answered
    FROM spell
    WHERE is_call
    GROUP BY ALL
),
talked AS (
    SELECT line, up_at, down_at, up_at // 3600 AS first_hour, (down_at - 1) // 3600 AS last_hour
    FROM spell
    WHERE answered AND down_at > up_at
),
-- Most calls are over within the hour; the others have a row for each hour that they are carried into.
carried_into AS (
    SELECT line, down_at, unnest(range(first_hour + 1, last_hour + 1)) AS hour_number
    FROM talked
    WHERE last_hour > first_hour
),
carried AS (
    SELECT line, hour_number, sum(seconds) AS seconds
    FROM (
        SELECT line, first_hour AS hour_number, least(down_at, (first_hour + 1) * 3600) - up_at AS seconds
        FROM talked
        UNION ALL
        SELECT line, hour_number, least(down_at, (hour_number + 1) * 3600) - hour_number * 3600
        FROM carried_into
    )
    GROUP BY ALL
),
event AS (
    SELECT line, first_hour AS hour_number, up_at AS at_second, 1 AS step FROM talked
    UNION ALL
    SELECT line, hour_number, hour_number * 3600, 1 FROM carried_into
    UNION ALL
    SELECT line, last_hour, down_at, -1 FROM talked
),
level AS (
    SELECT
        line,
        hour_number,
        sum(step) OVER (
            PARTITION BY line, hour_number ORDER BY at_second, step ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS calls_up
    FROM event
),
peak AS (
    SELECT line, hour_number, max(calls_up) AS peak_concurrent
    FROM level
    GROUP BY ALL
),
busy_hour AS (
    SELECT line, hour_number, calls, answered, 0 AS seconds, 0 AS peak_concurrent
    FROM started
    UNION ALL
    SELECT c.line, c.hour_number, 0, 0, c.seconds, p.peak_concurrent
    FROM carried AS c
    JOIN peak AS p ON p.line = c.line AND p.hour_number = c.hour_number
)
SELECT
    make_timestamptz(busy_hour.hour_number * 3600000000) AS hour,
    line.vendor,
    line.connection,
    line.account_id,
    line.direction,
    CAST(sum(busy_hour.calls) AS BIGINT) AS calls,
    CAST(sum(busy_hour.answered) AS BIGINT) AS answered,
    -- Rounded once, half up, from whole seconds: millionths of an erlang by integer division.
    CAST(
        CAST((sum(busy_hour.seconds) * 1000000 + 1800) // 3600 AS DECIMAL(30, 0)) * CAST('0.000001' AS DECIMAL(6, 6))
        AS DECIMAL(18, 6)
    ) AS erlangs,
    CAST(max(busy_hour.peak_concurrent) AS BIGINT) AS peak_concurrent
FROM busy_hour
JOIN line ON line.line = busy_hour.line
WHERE in_hours(make_timestamptz(busy_hour.hour_number * 3600000000))
GROUP BY busy_hour.hour_number, line.vendor, line.connection, line.account_id, line.direction
