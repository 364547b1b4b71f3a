-- mart.cost_daily by month, without extension and item.
-- `month` is the month of `cost_date`. Made of the costs by day (mart.cost_daily).
SELECT
    CAST(date_trunc('month', cost_date) AS DATE) AS month,
    vendor,
    connection,
    account_id,
    cost_centre,
    charge_kind,
    direction,
    destination_country,
    currency,
    CAST(sum(quantity) AS DECIMAL(18, 6)) AS quantity,
    CAST(sum(cost) AS DECIMAL(18, 6)) AS cost,
    CAST(sum(unrated) AS BIGINT) AS unrated,
    -- A sum of the days that could be converted would look like the whole month: no rate on one day, no sum.
    CASE WHEN sum(unconverted) = 0 THEN CAST(sum(reporting_cost) AS DECIMAL(18, 6)) END AS reporting_cost,
    CAST(sum(unconverted) AS BIGINT) AS unconverted
FROM mart.cost_daily
WHERE in_cost_months(cost_date)
GROUP BY ALL
