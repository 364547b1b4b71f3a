-- One row per month, connection or account, and definition of the busy hour.
-- `month` is the month of the local days looked at. Made of the traffic by hour (mart.usage_hourly).
--
-- Two definitions of ITU-T Recommendation E.500, both in full hours (those of mart.usage_hourly), side by side because
-- they answer two questions. TCBH, the time-consistent busy hour: the hour of the clock whose traffic, averaged over the
-- days, is the greatest; lines sized by it are enough at that time on a usual day. ADPFH, the average daily peak full
-- hour: the mean of each day's own busiest hour, whenever that was; it is never smaller.
--
-- Only outside calls take up a line of a trunk, inbound as outbound, since a trunk carries both. Internal calls do not,
-- and a call of unknown direction is not counted. Traffic is what was carried, talk time alone: a line is also taken
-- while it rings, and a caller who found no line free left no record. The days are Mondays to Fridays on which the
-- connection or account talked at all: weekends and holidays would thin the mean.
--
-- Erlang B: the share of calls that find n lines busy is B(n) = A B(n-1) / (n + A B(n-1)), B(0) = 1, for A erlangs
-- offered. Its inverse I = 1/B needs no quotient that can vanish: I(n) = 1 + I(n-1) n / A, I(0) = 1. It grows with n, so
-- the lines needed for a blocking of 1, 2 or 5 % are those n before I reaches 100, 50 or 20. Reckoned in whole
-- 1e-12ths: the same lines on every machine.
WITH RECURSIVE carried AS (
    SELECT vendor, connection, unnest(['connection', 'account']) AS scope, account_id, hour, erlangs
    FROM mart.usage_hourly
    WHERE near_call_months(hour) AND direction IN ('inbound', 'outbound')
),
full_hour AS (
    SELECT
        vendor,
        connection,
        scope,
        CASE WHEN scope = 'account' THEN account_id END AS account_id,
        local_time(hour) AS local_hour,
        sum(erlangs) AS erlangs
    FROM carried
    GROUP BY ALL
),
-- The hour that the clock shows twice when summer ends is one hour of that day: the busier one.
clock_hour AS (
    SELECT
        vendor,
        connection,
        scope,
        account_id,
        CAST(local_hour AS DATE) AS day,
        strftime(local_hour, '%H:%M') AS starts_at,
        max(erlangs) AS erlangs
    FROM full_hour
    WHERE in_call_months(CAST(local_hour AS DATE)) AND isodow(local_hour) <= 5 AND erlangs > 0
    GROUP BY ALL
),
daily AS (
    SELECT
        vendor,
        connection,
        scope,
        account_id,
        CAST(date_trunc('month', day) AS DATE) AS month,
        day,
        max(erlangs) AS peak
    FROM clock_hour
    GROUP BY ALL
),
peak AS (
    SELECT month, vendor, connection, scope, account_id, count(*) AS days, sum(peak) AS peaks
    FROM daily
    GROUP BY ALL
),
by_clock AS (
    SELECT
        CAST(date_trunc('month', day) AS DATE) AS month, connection, scope, account_id, starts_at, sum(erlangs) AS erlangs
    FROM clock_hour
    GROUP BY ALL
),
-- Of equally busy hours the first one of the day.
consistent AS (
    SELECT
        month,
        connection,
        scope,
        account_id,
        arg_min(starts_at, (-erlangs, starts_at)) AS starts_at,
        max(erlangs) AS erlangs
    FROM by_clock
    GROUP BY ALL
),
defined AS (
    SELECT month, vendor, connection, scope, account_id, 'ADPFH' AS definition, CAST(NULL AS VARCHAR) AS starts_at, days,
        mean_of(peaks, days) AS erlangs
    FROM peak
    UNION ALL
    SELECT peak.month, peak.vendor, peak.connection, peak.scope, peak.account_id, 'TCBH', consistent.starts_at, peak.days,
        mean_of(consistent.erlangs, peak.days)
    FROM peak
    JOIN consistent
        ON consistent.month = peak.month
        AND consistent.connection = peak.connection
        AND consistent.scope = peak.scope
        AND consistent.account_id IS NOT DISTINCT FROM peak.account_id
),
erlang_b AS (
    SELECT DISTINCT erlangs, CAST(0 AS HUGEINT) AS lines, CAST(1000000000000 AS HUGEINT) AS inverse
    FROM defined
    WHERE erlangs > 0
    UNION ALL
    SELECT
        erlangs,
        lines + 1,
        1000000000000 + inverse * (lines + 1) * 1000000 // CAST(erlangs * 1000000 AS HUGEINT)
    FROM erlang_b
    WHERE inverse < 100000000000000
),
needed AS (
    SELECT
        erlangs,
        count(*) FILTER (WHERE inverse < 100000000000000) AS lines_1_percent,
        count(*) FILTER (WHERE inverse < 50000000000000) AS lines_2_percent,
        count(*) FILTER (WHERE inverse < 20000000000000) AS lines_5_percent
    FROM erlang_b
    GROUP BY erlangs
)
SELECT
    defined.month,
    defined.vendor,
    defined.connection,
    defined.scope,
    defined.account_id,
    defined.definition,
    defined.starts_at,
    defined.days,
    defined.erlangs,
    CAST(coalesce(needed.lines_1_percent, 0) AS INTEGER) AS lines_1_percent,
    CAST(coalesce(needed.lines_2_percent, 0) AS INTEGER) AS lines_2_percent,
    CAST(coalesce(needed.lines_5_percent, 0) AS INTEGER) AS lines_5_percent
FROM defined
LEFT JOIN needed ON needed.erlangs = defined.erlangs
