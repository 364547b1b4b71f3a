-- One row per closed month, account, cost centre, kind of charge and currency: cost as closed beside cost now.
-- `month` is the month that was closed. Made of its costs as closed and its costs now (mart.cost_monthly).
--
-- A month whose days were dropped has no cost now that its cost as closed could be compared with.
WITH charge AS (
    SELECT month, vendor, connection, account_id, cost_centre, charge_kind, currency, cost AS cost_then, NULL AS cost_now
    FROM mart.cost_monthly_as_closed
    WHERE in_moved_months(month)
    UNION ALL
    SELECT month, vendor, connection, account_id, cost_centre, charge_kind, currency, NULL, cost
    FROM mart.cost_monthly
    WHERE in_moved_months(month)
)
SELECT
    charge.month,
    charge.vendor,
    charge.connection,
    charge.account_id,
    charge.cost_centre,
    charge.charge_kind,
    charge.currency,
    CAST(coalesce(sum(charge.cost_then), 0) AS DECIMAL(18, 6)) AS as_closed,
    CAST(coalesce(sum(charge.cost_now), 0) AS DECIMAL(18, 6)) AS now,
    CAST(coalesce(sum(charge.cost_now), 0) - coalesce(sum(charge.cost_then), 0) AS DECIMAL(18, 6)) AS moved,
    closed_month.closed_at
FROM charge
JOIN closed_month ON closed_month.is_current AND closed_month.month = charge.month
GROUP BY ALL
