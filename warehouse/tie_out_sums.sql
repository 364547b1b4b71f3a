-- Makes leg_sum and call_sum, the sums of legs and of calls that several tie-outs ask for.
CREATE TEMP TABLE leg_sum AS
SELECT call_date, currency, count(*) AS legs, count(cost) AS rated, sum(cost) AS cost, sum(hash(cdr_id)) AS ids
FROM core.cdr
WHERE in_cost_days(call_date)
GROUP BY call_date, currency;

CREATE TEMP TABLE call_sum AS
SELECT
    call_date,
    CAST(epoch_us(started_at) // 86400000000 AS INTEGER) AS utc_day,
    direction,
    currency,
    outcome = 'answered' AS is_answered,
    count(*) AS calls,
    sum(legs) AS legs,
    sum(talk_seconds) AS seconds,
    count(cost) AS rated,
    sum(cost) AS cost
FROM core.call
WHERE in_cost_days(call_date) OR around_hours(call_date) OR in_callback_days(call_date)
GROUP BY ALL;
