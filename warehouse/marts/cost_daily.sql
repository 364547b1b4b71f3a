-- One row per day, account, extension, cost centre, kind of charge, item, direction, destination and currency.
-- `cost_date` is the day of the call or message, the first day of a bundle, or the day an invoice is issued. Made of
-- what the vendors recorded, the calls put together from it, and finance's cost centres and exchange rates.
--
-- A cost belongs to the leg that caused it: to its day, so that a day adds up to what the vendor recorded for it, and to
-- its extension, direction and destination, so that a call that came in and was forwarded abroad is a cost abroad. The
-- call is counted once, where core.call has it: a leg of another direction stands in a row of quantity 0.
WITH charge AS (
    SELECT
        call_date AS cost_date,
        vendor,
        connection,
        account_id,
        extension,
        'call' AS charge_kind,
        NULL AS item,
        direction,
        CASE WHEN direction = 'outbound' THEN remote_country END AS destination_country,
        currency,
        CAST(0 AS DECIMAL(18, 6)) AS quantity,
        cost,
        CASE WHEN cost IS NULL THEN 1 ELSE 0 END AS unrated,
        1 AS records
    FROM core.cdr
    WHERE in_cost_days(call_date)

    UNION ALL
    SELECT
        call_date,
        vendor,
        connection,
        account_id,
        extension,
        'call',
        NULL,
        direction,
        CASE WHEN direction = 'outbound' THEN remote_country END,
        currency,
        1,
        NULL,
        0,
        0
    FROM core.call
    WHERE in_cost_days(call_date)

    UNION ALL
    SELECT
        sms_date,
        vendor,
        connection,
        account_id,
        NULL,
        'sms',
        NULL,
        direction,
        CASE WHEN direction = 'outbound' THEN remote_country END,
        currency,
        1,
        cost,
        CASE WHEN cost IS NULL THEN 1 ELSE 0 END,
        1
    FROM core.sms
    WHERE in_cost_days(sms_date)

    UNION ALL
    SELECT
        valid_from_date,
        vendor,
        connection,
        account_id,
        NULL,
        'bundle',
        bundle_id,
        NULL,
        NULL,
        currency,
        1,
        price_monthly,
        CASE WHEN price_monthly IS NULL THEN 1 ELSE 0 END,
        1
    FROM core.bundle
    WHERE in_cost_days(valid_from_date)

    UNION ALL
    -- A negative line, as on a credit note, is a credit whatever its type. What fills the account's credit is no cost.
    SELECT
        invoice.issued_on,
        invoice.vendor,
        invoice.connection,
        NULL,
        NULL,
        CASE
            WHEN lower(line.type) IN ('credit', 'discount', 'refundeditem') OR line.line_total < 0 THEN 'credit'
            WHEN lower(line.type) = 'latefee' OR line.item_id LIKE '-%' THEN 'fee'
            ELSE 'hosting'
        END,
        -- 0 is no service, a negative number something of the vendor's own, and what was merged into it an invoice.
        CASE WHEN line.item_id NOT LIKE '-%' AND lower(line.type) <> 'invoice' THEN nullif(line.item_id, '0') END,
        NULL,
        NULL,
        invoice.currency,
        coalesce(line.quantity, 0),
        line.line_total - coalesce(line.credit_added, 0),
        CASE WHEN line.line_total IS NULL THEN 1 ELSE 0 END,
        1
    FROM core.invoice AS invoice
    JOIN core.invoice_line AS line ON line.connection = invoice.connection AND line.invoice_id = invoice.invoice_id
    WHERE invoice.counts_as_expense
        AND in_cost_days(invoice.issued_on)
        AND (coalesce(line.credit_added, 0) = 0 OR line.credit_added <> line.line_total)

    UNION ALL
    -- The expense is the subtotal. What its lines do not explain must not vanish, and is no further item: quantity 0.
    -- That they do not add up is reported as a variance of the invoice's control total. One without details is unrated.
    SELECT
        invoice.issued_on,
        invoice.vendor,
        invoice.connection,
        NULL,
        NULL,
        'hosting',
        NULL,
        NULL,
        NULL,
        invoice.currency,
        0,
        invoice.subtotal - coalesce(sum(line.line_total), 0),
        CASE WHEN invoice.subtotal IS NULL THEN 1 ELSE 0 END,
        1
    FROM core.invoice AS invoice
    LEFT JOIN core.invoice_line AS line
        ON line.connection = invoice.connection AND line.invoice_id = invoice.invoice_id
    WHERE invoice.counts_as_expense AND in_cost_days(invoice.issued_on)
    GROUP BY
        invoice.issued_on, invoice.vendor, invoice.connection, invoice.invoice_id, invoice.currency, invoice.subtotal
    HAVING invoice.subtotal <> coalesce(sum(line.line_total), 0)
        OR (invoice.subtotal IS NULL AND count(line.line_id) = 0)

    UNION ALL
    -- The quantity of tax is the number of invoices that charge some.
    SELECT issued_on, vendor, connection, NULL, NULL, 'tax', NULL, NULL, NULL, currency, 1, tax, 0, 1
    FROM core.invoice
    WHERE counts_as_expense AND tax <> 0 AND in_cost_days(issued_on)
),
summed AS (
    SELECT
        cost_date,
        vendor,
        connection,
        account_id,
        extension,
        charge_kind,
        item,
        direction,
        destination_country,
        currency,
        sum(quantity) AS quantity,
        sum(cost) AS cost,
        sum(unrated) AS unrated,
        sum(records) - sum(unrated) AS rated
    FROM charge
    GROUP BY ALL
),
party AS (
    SELECT DISTINCT connection, account_id, extension FROM summed
),
-- Finance's own rules; an empty cell stands for any. A party has a key in each scope that it is in. The rules' ranges cut
-- all keys into segments, and of each is known what holds it: so a party is compared with its segment, not with each rule.
keyed AS (
    SELECT
        party.connection,
        party.account_id,
        party.extension,
        printf('%08d:', scope.scope) || coalesce(printf('%08d:', length(party.extension)) || party.extension, '') AS key
    FROM (
        SELECT *, connection AS of_connection, account_id AS of_account FROM party
        UNION
        SELECT *, NULL, account_id FROM party
        UNION
        SELECT *, connection, NULL FROM party
        UNION
        SELECT *, NULL, NULL FROM party
    ) AS party
    JOIN cost_centre_scope AS scope
        ON scope.connection IS NOT DISTINCT FROM party.of_connection
        AND scope.account_id IS NOT DISTINCT FROM party.of_account
),
ruled AS (
    SELECT placed.connection, placed.account_id, placed.extension, match.target
    FROM (
        SELECT keyed.*, segment.segment
        FROM keyed
        ASOF JOIN cost_centre_segment AS segment ON keyed.key >= segment.key_from
    ) AS placed
    JOIN cost_centre_match AS match ON match.segment = placed.segment
),
-- Of one target the rule of the day is the last one to begin; of several targets' rules `priority` 1 is the best.
centre AS (
    SELECT
        day.cost_date,
        day.connection,
        day.account_id,
        day.extension,
        arg_min(rule.cost_centre, rule.priority) AS cost_centre
    FROM (
        SELECT summed.cost_date, ruled.*
        FROM (SELECT DISTINCT cost_date, connection, account_id, extension FROM summed) AS summed
        JOIN ruled
            ON ruled.connection = summed.connection
            AND ruled.account_id IS NOT DISTINCT FROM summed.account_id
            AND ruled.extension IS NOT DISTINCT FROM summed.extension
    ) AS day
    ASOF JOIN cost_centre_rule AS rule ON rule.target = day.target AND day.cost_date >= rule.valid_from
    WHERE day.cost_date <= rule.valid_to
    GROUP BY day.cost_date, day.connection, day.account_id, day.extension
),
rated AS (
    SELECT
        summed.*,
        coalesce(centre.cost_centre, of_extension.department, 'unassigned') AS cost_centre,
        CASE WHEN summed.currency = reporting_currency() THEN 1 ELSE fx_rate.rate END AS rate
    FROM summed
    ASOF LEFT JOIN fx_rate ON fx_rate.currency = summed.currency AND summed.cost_date >= fx_rate.rate_date
    LEFT JOIN centre
        ON centre.cost_date = summed.cost_date
        AND centre.connection = summed.connection
        AND centre.account_id IS NOT DISTINCT FROM summed.account_id
        AND centre.extension IS NOT DISTINCT FROM summed.extension
    LEFT JOIN extension_department AS of_extension
        ON of_extension.connection = summed.connection
        AND of_extension.account_id IS NOT DISTINCT FROM summed.account_id
        AND of_extension.extension = summed.extension
)
SELECT
    cost_date,
    vendor,
    connection,
    account_id,
    extension,
    cost_centre,
    charge_kind,
    item,
    direction,
    destination_country,
    currency,
    CAST(quantity AS DECIMAL(18, 6)) AS quantity,
    CAST(cost AS DECIMAL(18, 6)) AS cost,
    CAST(unrated AS BIGINT) AS unrated,
    -- This row's cost at the day's rate, in decimals, rounded once: half up (away from zero). Of two decimals of up to 18
    -- digits DuckDB makes one of 18, of which 15 would be behind the point: so one of them is wider.
    CAST(CAST(cost AS DECIMAL(24, 6)) * CAST(rate AS DECIMAL(18, 9)) AS DECIMAL(18, 6)) AS reporting_cost,
    CAST(CASE WHEN rate IS NULL THEN rated ELSE 0 END AS BIGINT) AS unconverted
FROM rated
