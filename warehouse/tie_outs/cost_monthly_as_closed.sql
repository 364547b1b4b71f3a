-- A closed month shows what was frozen, by the sealed manifest of its close.
CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT month, 'cost', currency, cost
FROM closed_total
WHERE in_closed_months(month)
UNION ALL
SELECT month, 'rows', '', rows
FROM closed_month
WHERE is_current AND in_closed_months(month);

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT month, 'cost', currency, sum(cost)
FROM mart.cost_monthly_as_closed
WHERE in_closed_months(month) AND cost IS NOT NULL
GROUP BY month, currency
UNION ALL
SELECT month, 'rows', '', count(*)
FROM mart.cost_monthly_as_closed
WHERE in_closed_months(month)
GROUP BY month;
