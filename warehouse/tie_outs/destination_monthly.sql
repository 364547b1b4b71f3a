-- The calls to outside parties, their seconds and cost, are those of the legs that dialled out.
--
-- `repeated` says how many of the legs, and how many of their seconds, were not the first or the longest of their call to
-- one destination.
CREATE OR REPLACE TEMP TABLE dialled AS
SELECT
    CAST(date_trunc('month', call_date) AS DATE) AS month,
    currency,
    count(*) AS legs,
    sum(CASE WHEN outcome = 'answered' THEN greatest(coalesce(duration_seconds, 0), 0) ELSE 0 END) AS seconds,
    count(cost) AS rated,
    sum(cost) AS cost
FROM core.cdr
WHERE direction = 'outbound' AND in_call_months(call_date)
GROUP BY ALL;

CREATE OR REPLACE TEMP TABLE repeated AS
SELECT month, sum(legs - 1) AS legs, sum(seconds - longest) AS seconds
FROM (
    SELECT
        CAST(date_trunc('month', leg.call_date) AS DATE) AS month,
        count(*) AS legs,
        coalesce(sum(greatest(leg.duration_seconds, 0)) FILTER (WHERE leg.outcome = 'answered'), 0) AS seconds,
        coalesce(max(greatest(leg.duration_seconds, 0)) FILTER (WHERE leg.outcome = 'answered'), 0) AS longest
    FROM core.call AS call
    JOIN core.call_leg AS call_leg ON call_leg.call_id = call.call_id AND call_leg.call_date = call.call_date
    JOIN core.cdr AS leg ON leg.cdr_id = call_leg.cdr_id AND leg.call_date = call_leg.leg_date
    WHERE call.outbound_legs > 1
        AND leg.direction = 'outbound'
        AND near_legs(call.call_date)
        AND near_legs(call_leg.call_date)
        AND in_call_months(leg.call_date)
    GROUP BY month, call.call_id, leg.remote_country, leg.remote_type, leg.currency
)
GROUP BY month;

CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT month, unnest(['calls', 'seconds']), '',
    unnest([
        sum(dialled.legs) - coalesce(any_value(repeated.legs), 0),
        sum(dialled.seconds) - coalesce(any_value(repeated.seconds), 0)
    ])
FROM dialled
LEFT JOIN repeated USING (month)
GROUP BY month
UNION ALL
SELECT month, 'cost', currency, sum(cost)
FROM dialled
WHERE rated > 0
GROUP BY month, currency;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT month, unnest(['calls', 'seconds']), '', unnest([sum(calls), sum(talk_seconds)])
FROM mart.destination_monthly
WHERE in_call_months(month)
GROUP BY month
UNION ALL
SELECT month, 'cost', currency, sum(cost)
FROM mart.destination_monthly
WHERE in_call_months(month) AND cost IS NOT NULL
GROUP BY month, currency;
