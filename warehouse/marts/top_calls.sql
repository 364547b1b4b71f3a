-- One row per month, ranking, currency and place: the 50 dearest calls and the 50 longest.
WITH candidate AS (
    SELECT *, CAST(date_trunc('month', call_date) AS DATE) AS month
    FROM core.call
    WHERE in_call_months(call_date)
),
ranked AS (
    SELECT
        *,
        'cost' AS ranking,
        row_number() OVER (PARTITION BY month, currency ORDER BY cost DESC, started_at, call_id) AS place
    FROM candidate
    WHERE cost > 0
    UNION ALL
    SELECT
        *,
        'duration',
        row_number() OVER (PARTITION BY month, currency ORDER BY talk_seconds DESC, started_at, call_id)
    FROM candidate
    WHERE talk_seconds > 0
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
