-- What is open is what the unpaid invoices that count as an expense come to.
CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT CAST(NULL AS DATE), 'open amount', currency, sum(total) - sum(coalesce(credit_added, 0))
FROM core.invoice
WHERE counts_as_expense
    AND status IN ('unpaid', 'collections')
    AND paid_at IS NULL
    AND total > coalesce(credit_added, 0)
GROUP BY currency;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT CAST(NULL AS DATE), 'open amount', currency, sum(open_amount)
FROM mart.invoice_aging
GROUP BY currency;
