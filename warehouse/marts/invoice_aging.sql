-- One row per open invoice, aged on the last business day that was loaded.
-- Made of the invoices, all of it every time: the age of each changes day by day.
WITH open_invoice AS (
    SELECT
        vendor,
        connection,
        invoice_id,
        number,
        status,
        issued_on,
        due_on,
        as_of() AS as_of,
        CAST(as_of() - due_on AS INTEGER) AS days_overdue,
        -- What would fill the account's credit is no debt.
        total - coalesce(credit_added, 0) AS open_amount,
        currency
    FROM core.invoice
    -- An original that was merged into another invoice does not count, so the debt is not listed twice.
    WHERE counts_as_expense
        AND status IN ('unpaid', 'collections')
        AND paid_at IS NULL
        AND total > coalesce(credit_added, 0)
)
SELECT
    vendor,
    connection,
    invoice_id,
    number,
    status,
    issued_on,
    due_on,
    as_of,
    days_overdue,
    CASE
        WHEN days_overdue > 90 THEN 'over 90'
        WHEN days_overdue > 60 THEN '61-90'
        WHEN days_overdue > 30 THEN '31-60'
        WHEN days_overdue > 0 THEN '1-30'
        ELSE 'not due'
    END AS bucket,
    open_amount,
    currency
FROM open_invoice
