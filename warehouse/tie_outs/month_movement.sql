-- As closed and what it moved by is what the month is now.
CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT month, 'as closed', currency, cost
FROM closed_total
WHERE in_moved_months(month)
UNION ALL
SELECT month, 'as closed and moved', currency, sum(cost)
FROM mart.cost_monthly
WHERE in_moved_months(month) AND month IN (SELECT month FROM closed_month) AND cost IS NOT NULL
GROUP BY month, currency;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT month, unnest(['as closed', 'as closed and moved']), currency,
    unnest([sum(as_closed), sum(as_closed) + sum(moved)])
FROM mart.month_movement
WHERE in_moved_months(month)
GROUP BY month, currency;
