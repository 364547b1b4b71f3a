-- One row per measure, day and currency of the mart whose tie-out was read last: `in_mart` against `fact`.
SELECT
    coalesce(fact.tie_date, in_mart.tie_date) AS tie_date,
    coalesce(fact.measure, in_mart.measure) AS measure,
    coalesce(fact.currency, in_mart.currency, '') AS currency,
    CAST(coalesce(fact.amount, 0) AS DECIMAL(18, 6)) AS fact,
    CAST(coalesce(in_mart.amount, 0) AS DECIMAL(18, 6)) AS in_mart,
    CAST(coalesce(in_mart.amount, 0) - coalesce(fact.amount, 0) AS DECIMAL(18, 6)) AS difference
FROM fact
FULL OUTER JOIN in_mart
    ON in_mart.tie_date IS NOT DISTINCT FROM fact.tie_date
    AND in_mart.measure = fact.measure
    AND in_mart.currency IS NOT DISTINCT FROM fact.currency
