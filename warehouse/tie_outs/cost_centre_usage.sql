-- Every call of the month is some cost centre's.
CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT CAST(date_trunc('month', call_date) AS DATE) AS month, unnest(['calls', 'seconds']), '',
    unnest([sum(calls), sum(talk_seconds)])
FROM mart.usage_daily
WHERE in_cost_months(call_date)
GROUP BY month;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT month, unnest(['calls', 'seconds']), '', unnest([sum(calls), sum(talk_seconds)])
FROM mart.cost_centre_usage
WHERE in_cost_months(month)
GROUP BY month;
