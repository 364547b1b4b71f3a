-- A day costs what its records say: legs, messages, bundles and the invoices issued on it; and each call counts once.
CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT call_date, 'calls', '', sum(calls)
FROM call_sum
WHERE in_cost_days(call_date)
GROUP BY call_date
UNION ALL
SELECT cost_date, 'cost', currency, sum(cost)
FROM (
    SELECT call_date AS cost_date, currency, cost FROM leg_sum
    UNION ALL
    SELECT sms_date, currency, cost FROM core.sms WHERE in_cost_days(sms_date)
    UNION ALL
    SELECT valid_from_date, currency, price_monthly FROM core.bundle WHERE in_cost_days(valid_from_date)
    UNION ALL
    SELECT
        issued_on,
        currency,
        -- An invoice without a subtotal is what its lines say.
        coalesce(
            subtotal,
            (
                SELECT sum(line.line_total)
                FROM core.invoice_line AS line
                WHERE line.connection = invoice.connection AND line.invoice_id = invoice.invoice_id
            ),
            0
        ) + coalesce(tax, 0) - coalesce(credit_added, 0)
    FROM core.invoice AS invoice
    WHERE counts_as_expense AND in_cost_days(issued_on)
)
WHERE cost IS NOT NULL
GROUP BY cost_date, currency
UNION ALL
SELECT cost_date, 'unrated', '', sum(unrated)
FROM (
    SELECT call_date AS cost_date, legs - rated AS unrated
    FROM leg_sum
    WHERE legs > rated
    UNION ALL
    SELECT sms_date, count(*) FROM core.sms WHERE in_cost_days(sms_date) AND cost IS NULL GROUP BY sms_date
    UNION ALL
    SELECT valid_from_date, count(*)
    FROM core.bundle
    WHERE in_cost_days(valid_from_date) AND price_monthly IS NULL
    GROUP BY valid_from_date
    UNION ALL
    SELECT invoice.issued_on, count(*)
    FROM core.invoice AS invoice
    JOIN core.invoice_line AS line ON line.connection = invoice.connection AND line.invoice_id = invoice.invoice_id
    WHERE invoice.counts_as_expense AND in_cost_days(invoice.issued_on) AND line.line_total IS NULL
    GROUP BY invoice.issued_on
    UNION ALL
    SELECT issued_on, count(*)
    FROM core.invoice AS invoice
    ANTI JOIN core.invoice_line AS line
        ON line.connection = invoice.connection AND line.invoice_id = invoice.invoice_id
    WHERE counts_as_expense AND in_cost_days(issued_on) AND subtotal IS NULL
    GROUP BY issued_on
)
GROUP BY cost_date;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT cost_date, 'calls', '', sum(quantity)
FROM mart.cost_daily
WHERE in_cost_days(cost_date) AND charge_kind = 'call'
GROUP BY cost_date
UNION ALL
SELECT cost_date, 'cost', currency, sum(cost)
FROM mart.cost_daily
WHERE in_cost_days(cost_date) AND cost IS NOT NULL
GROUP BY cost_date, currency
UNION ALL
SELECT cost_date, 'unrated', '', sum(unrated)
FROM mart.cost_daily
WHERE in_cost_days(cost_date)
GROUP BY cost_date;
