-- One row per row of mart.cost_monthly as it stood when the month was closed: what the latest close's file holds.
-- `month` is the month that was closed. Made of the file that closing it wrote.
SELECT *
FROM closed_cost
WHERE in_closed_months(month)
