-- The journal books what the month cost, owes it, and balances, as a whole and in each entry.
--
-- Credit with the vendor is owed already; applying it leaves the two together as they were.
CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT month, unnest(['cost', 'owed']), currency, unnest([sum(cost), -sum(cost)])
FROM mart.cost_monthly
WHERE in_cost_months(month) AND cost IS NOT NULL
GROUP BY month, currency
UNION ALL
SELECT month, 'debit and credit', currency, sum(debit)
FROM mart.journal
WHERE in_cost_months(month)
GROUP BY month, currency
UNION ALL
SELECT month, 'entries out of balance', '', 0
FROM mart.journal
WHERE in_cost_months(month)
GROUP BY month;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT month, CASE WHEN role IN ('cost', 'tax') THEN 'cost' ELSE 'owed' END AS booked, currency, sum(exact)
FROM mart.journal
WHERE in_cost_months(month)
GROUP BY month, booked, currency
UNION ALL
SELECT month, 'debit and credit', currency, sum(credit)
FROM mart.journal
WHERE in_cost_months(month)
GROUP BY month, currency
UNION ALL
SELECT month, 'entries out of balance', '', count(*) FILTER (debit <> credit)
FROM (
    SELECT month, sum(debit) AS debit, sum(credit) AS credit
    FROM mart.journal
    WHERE in_cost_months(month)
    GROUP BY month, entry
)
GROUP BY month;
