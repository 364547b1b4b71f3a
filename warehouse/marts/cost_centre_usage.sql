-- One row per month, account and cost centre: what shared costs are allocated by.
-- `month` is the month of the calls. Made of the calls and costs by day (mart.usage_daily, mart.cost_daily).
--
-- The cost centre is the one that mart.cost_daily gave the extension on the day of the call.
WITH party AS (
    SELECT DISTINCT cost_date, connection, account_id, extension, cost_centre
    FROM mart.cost_daily
    WHERE charge_kind = 'call' AND in_cost_months(cost_date)
)
SELECT
    CAST(date_trunc('month', usage.call_date) AS DATE) AS month,
    usage.vendor,
    usage.connection,
    usage.account_id,
    party.cost_centre,
    CAST(sum(usage.calls) AS BIGINT) AS calls,
    CAST(sum(usage.talk_seconds) AS BIGINT) AS talk_seconds,
    count(DISTINCT usage.extension) AS extensions
FROM mart.usage_daily AS usage
JOIN party
    ON party.cost_date = usage.call_date
    AND party.connection = usage.connection
    AND party.account_id IS NOT DISTINCT FROM usage.account_id
    AND party.extension IS NOT DISTINCT FROM usage.extension
WHERE in_cost_months(usage.call_date)
GROUP BY ALL
