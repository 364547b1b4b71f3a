-- One row per month, account, kind of charge, currency, rule, cost centre that incurred and cost centre charged.
-- `month` is the month of the charges. Made of the costs by day (mart.cost_daily), divided by what cost centres used
-- (mart.cost_centre_usage), by the rules of finance's allocation.csv.
--
-- The charges of one such row before the cost centre charged are a pool. Without a rule it stays where it is. Else it is
-- divided by the largest remainder: each cost centre gets the whole units of its ideal part, and the units left over go
-- to the largest remainders, of equal ones to the larger driver, then to the name that sorts first. A credit is divided
-- as the charge would be. The unit is the currency's smallest coin, since these are amounts of an invoice; calls and
-- messages cost fractions of it, and are divided in millionths, as is what is no whole number of coins.
WITH charge AS (
    SELECT
        CAST(date_trunc('month', cost_date) AS DATE) AS month,
        vendor,
        connection,
        account_id,
        charge_kind,
        item,
        currency,
        cost_centre AS source_cost_centre,
        sum(cost) AS cost,
        sum(reporting_cost) AS reporting_cost,
        sum(unconverted) AS unconverted
    FROM mart.cost_daily
    WHERE in_cost_months(cost_date) AND cost IS NOT NULL
    GROUP BY ALL
),
ruled AS (
    SELECT
        charge.month, charge.vendor, charge.connection, charge.charge_kind, charge.item, min(rule.priority) AS priority
    FROM (SELECT DISTINCT month, vendor, connection, charge_kind, item FROM charge) AS charge
    JOIN allocation_rule AS rule
        ON charge.month BETWEEN rule.first_month AND rule.last_month
        AND (rule.vendor IS NULL OR rule.vendor = charge.vendor)
        AND (rule.connection IS NULL OR rule.connection = charge.connection)
        AND (rule.charge_kind IS NULL OR rule.charge_kind = charge.charge_kind)
        AND (rule.item IS NULL OR rule.item = charge.item)
    GROUP BY ALL
),
pool AS (
    SELECT
        charge.month,
        charge.vendor,
        charge.connection,
        charge.account_id,
        charge.charge_kind,
        charge.currency,
        charge.source_cost_centre,
        ruled.priority,
        micros(sum(charge.cost)) AS cost,
        CASE WHEN sum(charge.unconverted) = 0 THEN micros(sum(charge.reporting_cost)) END AS reporting_cost,
        CASE
            WHEN charge.charge_kind IN ('call', 'sms') OR micros(sum(charge.cost)) % coin(charge.currency) <> 0 THEN 1
            ELSE coin(charge.currency)
        END AS unit
    FROM charge
    LEFT JOIN ruled
        ON ruled.month = charge.month
        AND ruled.connection = charge.connection
        AND ruled.charge_kind = charge.charge_kind
        AND ruled.item IS NOT DISTINCT FROM charge.item
    GROUP BY
        charge.month, charge.vendor, charge.connection, charge.account_id, charge.charge_kind, charge.currency,
        charge.source_cost_centre, ruled.priority
),
measured AS (
    SELECT
        due.month,
        due.priority,
        usage.cost_centre,
        sum(
            CASE rule.method
                WHEN 'calls' THEN usage.calls WHEN 'minutes' THEN usage.talk_seconds ELSE usage.extensions
            END
        ) AS driver
    FROM (SELECT DISTINCT month, priority FROM pool) AS due
    JOIN allocation_rule AS rule ON rule.priority = due.priority AND rule.method <> 'shares'
    JOIN mart.cost_centre_usage AS usage
        ON usage.month = due.month AND (rule.calls_of IS NULL OR rule.calls_of = usage.connection)
    WHERE in_cost_months(usage.month)
    GROUP BY ALL
    UNION ALL
    SELECT due.month, due.priority, share.cost_centre, share.share
    FROM (SELECT DISTINCT month, priority FROM pool) AS due
    JOIN allocation_share AS share ON share.priority = due.priority
),
driver AS (
    SELECT
        month,
        priority,
        cost_centre,
        micros(driver) AS driver,
        sum(micros(driver)) OVER (PARTITION BY month, priority) AS driver_total
    FROM measured
    WHERE driver > 0
),
-- Both amounts of a pool are divided alike, each on its own.
part AS (
    SELECT
        pool.*,
        amount.measure,
        sign(amount.total) AS side,
        abs(amount.total) // amount.unit AS units,
        amount.unit AS part_unit,
        driver.cost_centre,
        driver.driver,
        driver.driver_total,
        units * driver.driver // driver.driver_total AS whole,
        units * driver.driver % driver.driver_total AS remainder
    FROM pool
    JOIN driver ON driver.month = pool.month AND driver.priority = pool.priority
    CROSS JOIN LATERAL (
        SELECT 'cost' AS measure, pool.cost AS total, pool.unit AS unit
        UNION ALL
        SELECT
            'reporting_cost',
            pool.reporting_cost,
            CASE WHEN pool.currency = reporting_currency() THEN pool.unit ELSE 1 END
    ) AS amount
),
ranked AS (
    SELECT
        *,
        units - sum(whole) OVER (
            PARTITION BY month, connection, account_id, charge_kind, currency, source_cost_centre, priority, measure
        ) AS left_over,
        row_number() OVER (
            PARTITION BY month, connection, account_id, charge_kind, currency, source_cost_centre, priority, measure
            ORDER BY remainder DESC, driver DESC, cost_centre
        ) AS place
    FROM part
),
divided AS (
    SELECT
        month,
        vendor,
        connection,
        account_id,
        charge_kind,
        currency,
        source_cost_centre,
        priority,
        cost_centre,
        driver,
        driver_total,
        unit,
        cost AS pool_cost,
        sum(side * part_unit * (whole + CASE WHEN place <= left_over THEN 1 ELSE 0 END)) FILTER (measure = 'cost') AS cost,
        sum(side * part_unit * (whole + CASE WHEN place <= left_over THEN 1 ELSE 0 END))
            FILTER (measure = 'reporting_cost') AS reporting_cost
    FROM ranked
    GROUP BY ALL
    UNION ALL
    -- Without a rule, or with one that finds no driver, all of it stays in one piece.
    SELECT
        month,
        vendor,
        connection,
        account_id,
        charge_kind,
        currency,
        source_cost_centre,
        priority,
        CASE WHEN priority IS NULL THEN source_cost_centre ELSE 'unallocated' END,
        CASE WHEN priority IS NOT NULL THEN 0 END,
        CASE WHEN priority IS NOT NULL THEN 0 END,
        unit,
        cost,
        cost,
        reporting_cost
    FROM pool
    WHERE NOT EXISTS (FROM driver WHERE driver.month = pool.month AND driver.priority = pool.priority)
)
SELECT
    divided.month,
    divided.vendor,
    divided.connection,
    divided.account_id,
    divided.charge_kind,
    divided.currency,
    divided.source_cost_centre,
    divided.cost_centre,
    coalesce(rule.method, 'direct') AS method,
    rule.rule,
    rule.calls_of,
    of_micros(divided.driver) AS driver,
    of_micros(divided.driver_total) AS driver_total,
    -- Millionths by integer division, half up.
    CAST(
        of_micros((divided.driver * 2000000 + divided.driver_total) // (2 * nullif(divided.driver_total, 0)))
        AS DECIMAL(9, 6)
    ) AS share,
    of_micros(divided.pool_cost) AS pool_cost,
    of_micros(divided.unit) AS unit,
    of_micros(divided.cost) AS cost,
    of_micros(divided.reporting_cost) AS reporting_cost
FROM divided
LEFT JOIN allocation_rule AS rule ON rule.priority = divided.priority
