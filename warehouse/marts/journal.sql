-- One row per line of a month's journal; an entry is a connection's month in one currency, debit = credit.
-- `month` is the month that is booked. Made of what cost centres are charged (mart.chargeback), what the month cost
-- (mart.cost_monthly), the invoices, and finance's accounts.csv.
--
-- Costs are debited to the cost centres that mart.chargeback charges. Credited is what is owed: each invoice that counts
-- as an expense (of a merged family one, see core.invoice), and what calls, messages and bundles came to. Account credit
-- that paid for an invoice moves from the vendor's credit to the creditor; money that was paid to fill it is debited to
-- the vendor's credit. A negative amount, as of a credit note, stands on the other side.
--
-- A ledger books whole coins; calls cost fractions. An entry's total is rounded once, half up, and both its sides to that
-- total: each line down to a whole coin, and the coins left over to the largest fractions.
WITH charged AS (
    SELECT
        month,
        vendor,
        connection,
        CASE WHEN charge_kind = 'tax' THEN 'tax' ELSE 'cost' END AS role,
        cost_centre,
        charge_kind,
        NULL AS document,
        currency,
        sum(cost) AS amount
    FROM mart.chargeback
    WHERE in_cost_months(month)
    GROUP BY ALL
),
invoice AS (
    SELECT
        CAST(date_trunc('month', issued_on) AS DATE) AS month,
        vendor,
        connection,
        coalesce(number, invoice_id) AS document,
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
        ) + coalesce(tax, 0) - coalesce(credit_added, 0) AS amount,
        coalesce(credit, 0) AS credit
    FROM core.invoice AS invoice
    WHERE counts_as_expense AND in_cost_months(issued_on)
),
owed AS (
    SELECT
        month, vendor, connection, 'creditor' AS role, NULL AS cost_centre, charge_kind, NULL AS document, currency,
        -sum(cost) AS amount
    FROM mart.cost_monthly
    WHERE charge_kind IN ('call', 'sms', 'bundle') AND cost IS NOT NULL AND in_cost_months(month)
    GROUP BY ALL
    UNION ALL
    SELECT month, vendor, connection, 'creditor', NULL, NULL, document, currency, -amount
    FROM invoice
),
applied AS (
    SELECT month, vendor, connection, 'creditor' AS role, NULL AS cost_centre, NULL AS charge_kind, document, currency,
        credit AS amount
    FROM invoice
    WHERE credit <> 0
    UNION ALL
    SELECT month, vendor, connection, 'credit_balance', NULL, NULL, document, currency, -credit
    FROM invoice
    WHERE credit <> 0
),
-- What nobody has paid fills no credit.
added AS (
    SELECT
        CAST(date_trunc('month', issued_on) AS DATE) AS month,
        vendor,
        connection,
        unnest(['creditor', 'credit_balance']) AS role,
        NULL AS cost_centre,
        NULL AS charge_kind,
        coalesce(number, invoice_id) AS document,
        currency,
        unnest([-credit_added, credit_added]) AS amount
    FROM core.invoice
    WHERE credit_added <> 0
        AND NOT (status IN ('unpaid', 'collections', 'receiptunpaid') AND paid_at IS NULL)
        AND in_cost_months(issued_on)
),
-- Debit is positive. Each part of an entry comes out at a total of its own: costs, what is owed, credit applied or added.
side AS (
    SELECT 1 AS part, * FROM charged
    UNION ALL
    SELECT 2, * FROM owed
    UNION ALL
    SELECT 3, * FROM applied
    UNION ALL
    SELECT 4, * FROM added
),
account AS (
    SELECT
        asked.role,
        asked.vendor,
        asked.charge_kind,
        arg_min(rule.account, rule.priority) AS account,
        arg_min(rule.by_cost_centre, rule.priority) AS by_cost_centre
    FROM (SELECT DISTINCT role, vendor, charge_kind FROM side) AS asked
    JOIN account_rule AS rule
        ON rule.role = asked.role
        AND (rule.vendor IS NULL OR rule.vendor = asked.vendor)
        AND (rule.charge_kind IS NULL OR rule.charge_kind = asked.charge_kind)
    GROUP BY asked.role, asked.vendor, asked.charge_kind
),
booked AS (
    SELECT
        side.part,
        side.month,
        side.vendor,
        side.connection,
        side.role,
        account.account,
        CASE WHEN account.by_cost_centre THEN side.cost_centre END AS cost_centre,
        side.charge_kind,
        side.document,
        side.currency,
        micros(sum(side.amount)) AS exact
    FROM side
    JOIN account
        ON account.role = side.role
        AND account.vendor = side.vendor
        AND account.charge_kind IS NOT DISTINCT FROM side.charge_kind
    GROUP BY ALL
),
floored AS (
    SELECT
        *,
        coin(currency) AS coin,
        -- Down, also below zero, where % and // cut towards zero.
        (exact % coin(currency) + coin(currency)) % coin(currency) AS fraction,
        exact - fraction AS down,
        sum(exact) OVER entry_part AS total
    FROM booked
    WINDOW entry_part AS (PARTITION BY month, connection, currency, part, CASE WHEN part >= 3 THEN role END)
),
rounded AS (
    SELECT
        *,
        (sign(total) * ((2 * abs(total) + coin) // (2 * coin)) * coin - sum(down) OVER entry_part) // coin AS left_over,
        row_number() OVER (
            PARTITION BY month, connection, currency, part, CASE WHEN part >= 3 THEN role END
            ORDER BY fraction DESC, abs(exact) DESC, account, cost_centre, charge_kind, document
        ) AS place
    FROM floored
    WINDOW entry_part AS (PARTITION BY month, connection, currency, part, CASE WHEN part >= 3 THEN role END)
),
line AS (
    SELECT *, down + CASE WHEN place <= left_over THEN coin ELSE 0 END AS amount
    FROM rounded
)
SELECT
    month,
    strftime(month, '%Y-%m') || ' ' || connection || ' ' || coalesce(currency, '') AS entry,
    CAST(
        row_number() OVER (
            PARTITION BY month, connection, currency
            ORDER BY part, role, account, cost_centre, charge_kind, document
        ) AS INTEGER
    ) AS line,
    last_day(month) AS posting_date,
    vendor,
    connection,
    role,
    account,
    cost_centre,
    charge_kind,
    document,
    CASE
        WHEN charge_kind IN ('call', 'bundle', 'fee', 'credit') THEN upper(charge_kind[1]) || charge_kind[2:] || 's'
        WHEN charge_kind = 'sms' THEN 'Messages'
        WHEN charge_kind IS NOT NULL THEN upper(charge_kind[1]) || charge_kind[2:]
        WHEN part = 3 THEN 'Credit applied to invoice ' || document
        WHEN part = 4 THEN 'Credit added by ' || document
        WHEN exact > 0 THEN 'Credit note ' || document
        ELSE 'Invoice ' || document
    END || ', ' || connection || ' ' || strftime(month, '%Y-%m') AS description,
    currency,
    of_micros(greatest(amount, 0)) AS debit,
    of_micros(greatest(-amount, 0)) AS credit,
    of_micros(exact) AS exact
FROM line
