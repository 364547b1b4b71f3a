-- What the vendors' lists say about costs: invoices and bundles by day, and the department of each extension.
--
-- Lists come whole every time; comparing these rows before and after tells the few days that changed.
SELECT
    issued_on AS day,
    NULL::VARCHAR AS connection,
    NULL::VARCHAR AS account_id,
    NULL::VARCHAR AS extension,
    [
        vendor, connection, invoice_id, currency,
        counts_as_expense::VARCHAR, subtotal::VARCHAR, tax::VARCHAR, credit::VARCHAR, number,
        credit_added::VARCHAR, CASE WHEN credit_added <> 0 THEN concat_ws(' ', status, paid_at) END
    ] AS listed
FROM core.invoice
UNION ALL
SELECT invoice.issued_on, NULL, NULL, NULL,
    [
        line.connection, line.invoice_id, line.line_id, line.type, line.item_id, line.quantity::VARCHAR,
        line.line_total::VARCHAR, line.credit_added::VARCHAR
    ]
FROM core.invoice_line AS line
JOIN core.invoice AS invoice ON invoice.connection = line.connection AND invoice.invoice_id = line.invoice_id
UNION ALL
SELECT valid_from_date, NULL, NULL, NULL,
    [vendor, connection, account_id, bundle_id, valid_from::VARCHAR, price_monthly::VARCHAR, currency]
FROM core.bundle
UNION ALL
SELECT NULL, connection, account_id, extension, [department]
FROM extension_department
