-- One row per month, account, country called, type of number and currency: outbound calls.
--
-- The cost of a call is the sum of its legs. A call whose legs differ in currency has none, and stands in a row without
-- currency.
SELECT
    CAST(date_trunc('month', call_date) AS DATE) AS month,
    vendor,
    connection,
    account_id,
    remote_country AS destination_country,
    remote_type AS destination_type,
    currency,
    count(*) AS calls,
    count(*) FILTER (WHERE outcome = 'answered') AS answered,
    CAST(sum(talk_seconds) AS BIGINT) AS talk_seconds,
    mean_of(sum(talk_seconds), 60) AS minutes,
    CAST(sum(cost) AS DECIMAL(18, 6)) AS cost,
    count(*) FILTER (WHERE unrated_legs > 0) AS unrated,
    mean_of(
        sum(cost) FILTER (WHERE outcome = 'answered' AND unrated_legs = 0 AND cost IS NOT NULL),
        count(*) FILTER (WHERE outcome = 'answered' AND unrated_legs = 0 AND cost IS NOT NULL)
    ) AS average_cost,
    min(call_date) AS first_date
FROM core.call
WHERE direction = 'outbound' AND in_call_months(call_date)
GROUP BY month, vendor, connection, account_id, remote_country, remote_type, currency
