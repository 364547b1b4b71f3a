-- One row per month, ranking, currency and place: the 50 dearest calls and the 50 longest.
--
-- Ranked are only calls that cost, or last, as much as the 50th: of the others not even the columns are read.
WITH call_of_month AS (
    SELECT *, CAST(date_trunc('month', call_date) AS DATE) AS month
    FROM core.call
    WHERE in_call_months(call_date)
),
fiftieth AS (
    SELECT month, currency, list_min(max(cost, 50)) AS cost, list_min(max(talk_seconds, 50)) AS talk_seconds
    FROM call_of_month
    GROUP BY month, currency
),
dear AS (
    SELECT call_of_month.*
    FROM call_of_month
    JOIN fiftieth ON fiftieth.month = call_of_month.month
        AND fiftieth.currency IS NOT DISTINCT FROM call_of_month.currency
        AND fiftieth.cost <= call_of_month.cost
    WHERE call_of_month.cost > 0
),
long AS (
    SELECT call_of_month.*
    FROM call_of_month
    JOIN fiftieth ON fiftieth.month = call_of_month.month
        AND fiftieth.currency IS NOT DISTINCT FROM call_of_month.currency
        AND fiftieth.talk_seconds <= call_of_month.talk_seconds
    WHERE call_of_month.talk_seconds > 0
),
ranked AS (
    SELECT
        *,
        'cost' AS ranking,
        row_number() OVER (PARTITION BY month, currency ORDER BY cost DESC, started_at, call_id) AS place
    FROM dear
    UNION ALL
    SELECT
        *,
        'duration',
        row_number() OVER (PARTITION BY month, currency ORDER BY talk_seconds DESC, started_at, call_id)
    FROM long
)
SELECT
    month,
    ranking,
    currency,
    place,
    vendor,
    connection,
    account_id,
    call_id,
    call_date,
    started_at,
    extension,
    direction,
    remote_country,
    remote_type,
    talk_seconds,
    cost
FROM ranked
WHERE place <= 50
