-- A month costs what its days cost.
CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT CAST(date_trunc('month', cost_date) AS DATE) AS month, 'cost', currency, sum(cost)
FROM mart.cost_daily
WHERE in_cost_months(cost_date) AND cost IS NOT NULL
GROUP BY month, currency
UNION ALL
SELECT CAST(date_trunc('month', cost_date) AS DATE) AS month,
    unnest(['quantity', 'unrated', 'unconverted']), '', unnest([sum(quantity), sum(unrated), sum(unconverted)])
FROM mart.cost_daily
WHERE in_cost_months(cost_date)
GROUP BY month;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT month, 'cost', currency, sum(cost)
FROM mart.cost_monthly
WHERE in_cost_months(month) AND cost IS NOT NULL
GROUP BY month, currency
UNION ALL
SELECT month, unnest(['quantity', 'unrated', 'unconverted']), '',
    unnest([sum(quantity), sum(unrated), sum(unconverted)])
FROM mart.cost_monthly
WHERE in_cost_months(month)
GROUP BY month;
