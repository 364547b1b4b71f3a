-- The budgets are those of finance's budgets.csv.
CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT month, 'budget', currency, sum(amount)
FROM budget_line
WHERE in_cost_months(month)
GROUP BY month, currency;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT month, 'budget', currency, sum(budget)
FROM mart.budget
WHERE in_cost_months(month)
GROUP BY month, currency;
