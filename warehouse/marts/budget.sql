-- One row per month, cost centre, vendor, kind of charge and currency of budgets.csv.
-- `month` is the month budgeted for. Made of finance's budgets.csv and exchange rates.
SELECT
    line.month,
    line.cost_centre,
    line.vendor,
    line.charge_kind,
    line.currency,
    line.amount AS budget,
    CASE
        WHEN line.currency = reporting_currency() THEN line.amount
        ELSE CAST(CAST(line.amount AS DECIMAL(24, 6)) * fx_rate.rate AS DECIMAL(18, 6))
    END AS reporting_budget
FROM budget_line AS line
ASOF LEFT JOIN fx_rate ON fx_rate.currency = line.currency AND line.month >= fx_rate.rate_date
WHERE in_cost_months(line.month)
