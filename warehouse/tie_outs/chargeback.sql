-- What the cost centres are charged is what the month cost, as a whole and in each pool by itself.
CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT month, 'cost', currency, sum(cost)
FROM mart.cost_monthly
WHERE in_cost_months(month) AND cost IS NOT NULL
GROUP BY month, currency
UNION ALL
SELECT month, 'pools that do not add up', '', 0
FROM mart.chargeback
WHERE in_cost_months(month)
GROUP BY month;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT month, 'cost', currency, sum(cost)
FROM mart.chargeback
WHERE in_cost_months(month)
GROUP BY month, currency
UNION ALL
SELECT month, 'pools that do not add up', '', count(*) FILTER (charged <> pool_cost)
FROM (
    SELECT month, pool_cost, sum(cost) AS charged
    FROM mart.chargeback
    WHERE in_cost_months(month)
    GROUP BY
        month, connection, account_id, charge_kind, currency, source_cost_centre, rule, pool_cost
)
GROUP BY month;
