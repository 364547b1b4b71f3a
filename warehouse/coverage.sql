-- One row per connection, stream and business day, from the stream's first loaded day to the newest of any stream.
--
-- The newest day is the newest that was ever asked for, by the data and not by the clock. A stream that was never
-- loaded begins with the first day it was asked for. Days that were dropped are not due.
WITH reading AS (
    SELECT
        vendor,
        connection,
        stream,
        CAST(unnest(generate_series(window_from, window_to, INTERVAL 1 DAY)) AS DATE) AS day,
        status = 'failed' AS failed,
        load_id,
        started_at,
        -- What came last is told by the number of the load: a clock can be set back.
        (sequence, load_id, started_at) AS place
    FROM audit.load
    WHERE window_from IS NOT NULL
),
asked AS (
    SELECT
        connection,
        stream,
        day,
        max(vendor) AS vendor,
        arg_max(load_id, place) AS load_id,
        max(place) AS latest,
        max(place) FILTER (WHERE NOT failed) AS latest_good,
        arg_max(started_at, place) FILTER (WHERE NOT failed) AS last_read_at
    FROM reading
    GROUP BY connection, stream, day
),
span AS (
    SELECT
        connection,
        stream,
        max(vendor) AS vendor,
        coalesce(min(day) FILTER (WHERE last_read_at IS NOT NULL), min(day)) AS first_day,
        (SELECT max(day) FROM asked) AS last_day
    FROM asked
    GROUP BY connection, stream
),
due AS (
    SELECT
        vendor,
        connection,
        stream,
        CAST(unnest(generate_series(greatest(first_day, kept_from()), last_day, INTERVAL 1 DAY)) AS DATE) AS day
    FROM span
),
stated AS (
    SELECT
        due.day AS coverage_date,
        due.vendor,
        due.connection,
        due.stream,
        CASE
            WHEN asked.last_read_at IS NULL THEN 'missing'
            WHEN asked.latest > asked.latest_good THEN 'stale'
            WHEN asked.last_read_at < end_of(due.day) THEN 'partial'
            ELSE 'loaded'
        END AS state,
        CASE WHEN asked.last_read_at IS NOT NULL THEN coalesce(part.rows, 0) END AS rows,
        asked.last_read_at,
        asked.load_id
    FROM due
    LEFT JOIN asked ON asked.connection = due.connection AND asked.stream = due.stream AND asked.day = due.day
    LEFT JOIN meta.partition AS part
        ON part.connection = due.connection AND part.stream = due.stream AND part.day = due.day
),
compared AS (
    SELECT
        *,
        count(*) FILTER (WHERE state = 'loaded') OVER alike AS days_alike,
        -- The lower of two middle ones: a number of rows that there was, and no fraction.
        quantile_disc(rows, 0.5) FILTER (WHERE state = 'loaded') OVER alike AS median_rows
    FROM stated
    -- No day is left out of a stream, so the eight rows before are the same weekday of the eight weeks before.
    WINDOW alike AS (
        PARTITION BY connection, stream, (coverage_date - DATE '2001-01-01') % 7
        ORDER BY coverage_date
        ROWS BETWEEN 8 PRECEDING AND 1 PRECEDING
    )
)
SELECT
    coverage_date,
    vendor,
    connection,
    stream,
    state,
    rows,
    CASE WHEN days_alike >= 3 THEN median_rows END AS typical_rows,
    -- Chance moves the root of a count by the same whatever the count, by some 0.7 here: calls come one by one, but bring
    -- several legs each. Four apart, not even the worst of a thousand days is by chance.
    CASE
        WHEN state IN ('loaded', 'stale') AND days_alike >= 3 THEN
            (rows * 2 < median_rows OR rows > median_rows * 2) AND abs(sqrt(rows) - sqrt(median_rows)) > 4
    END AS is_unusual,
    last_read_at,
    load_id
FROM compared
