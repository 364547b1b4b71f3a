-- One row per month, ranking, currency and place: the 50 dearest calls and the 50 longest.
-- `month` is the month in which the call began. Made of the calls and their legs.
--
-- Ranked are only calls that cost, or last, as much as the 50th: of the others not even the columns are read. Direction,
-- extension and outside party are those of the leg that cost most, or lasted longest: a call that was forwarded abroad
-- shows where its money went.
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
),
shown AS (
    SELECT * FROM ranked WHERE place <= 50
),
main_leg AS (
    SELECT shown.ranking, shown.call_id, leg.extension, leg.direction, leg.remote_country, leg.remote_type
    FROM shown
    JOIN core.call_leg AS call_leg ON call_leg.call_id = shown.call_id AND call_leg.call_date = shown.call_date
    JOIN core.cdr AS leg ON leg.cdr_id = call_leg.cdr_id AND leg.call_date = call_leg.leg_date
    WHERE near_legs(call_leg.call_date) AND near_legs(leg.call_date)
    QUALIFY row_number() OVER (
        PARTITION BY shown.ranking, shown.call_id
        ORDER BY
            CASE WHEN shown.ranking = 'cost' THEN leg.cost END DESC NULLS LAST,
            leg.outcome = 'answered' AND leg.duration_seconds = shown.talk_seconds DESC NULLS LAST,
            call_leg.leg_number
    ) = 1
)
SELECT
    shown.month,
    shown.ranking,
    shown.currency,
    shown.place,
    shown.vendor,
    shown.connection,
    shown.account_id,
    shown.call_id,
    shown.call_date,
    shown.started_at,
    main_leg.extension,
    main_leg.direction,
    main_leg.remote_country,
    main_leg.remote_type,
    shown.talk_seconds,
    shown.cost
FROM shown
JOIN main_leg ON main_leg.ranking = shown.ranking AND main_leg.call_id = shown.call_id
