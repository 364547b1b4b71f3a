-- One row per row of mart.cost_monthly as it stood when the month was closed: what the latest close's file holds.
SELECT *
FROM closed_cost
WHERE in_closed_months(month)
