-- One row per restatement of a closed month made after its latest close, and per month that it concerns.
--
-- A record of a day concerns the month of its day. An invoice concerns the month it is issued in, whenever it was read;
-- one that was moved to another month concerns both.
WITH restated AS (
    SELECT
        restatement.*,
        CASE
            WHEN restatement.vendor <> 'time4vps' THEN window_date
            ELSE coalesce(TRY_CAST(json_extract_string(before, '$.issued_on') AS DATE), invoice.issued_on)
        END AS day_before,
        CASE
            WHEN restatement.vendor <> 'time4vps' THEN window_date
            WHEN kind <> 'vanished' THEN
                coalesce(TRY_CAST(json_extract_string(after, '$.issued_on') AS DATE), invoice.issued_on)
        END AS day_after
    FROM audit.restatement AS restatement
    LEFT JOIN core.invoice AS invoice
        ON restatement.vendor = 'time4vps'
        AND invoice.connection = restatement.connection
        AND invoice.invoice_id = restatement.record_id
    WHERE restated_at > (SELECT min(closed_at) FROM closed_month)
),
dated AS (
    SELECT
        *,
        CAST(date_trunc('month', day_before) AS DATE) AS month_before,
        CAST(date_trunc('month', coalesce(day_after, day_before)) AS DATE) AS month_after
    FROM restated
),
concerned AS (
    SELECT
        *,
        month_before AS month,
        CASE WHEN month_after = month_before THEN cost_effect ELSE -coalesce(before_cost, 0) END AS effect
    FROM dated
    UNION ALL
    SELECT *, month_after, coalesce(after_cost, 0)
    FROM dated
    WHERE month_after <> month_before
)
SELECT
    concerned.month,
    closed_month.closed_at,
    window_date,
    vendor,
    connection,
    account_id,
    stream,
    record_id,
    kind,
    restated_at,
    columns_changed,
    before_cost,
    after_cost,
    currency,
    CAST(CASE WHEN vendor = 'tim4biz' THEN 0 ELSE effect END AS DECIMAL(18, 6)) AS cost_effect
FROM concerned
JOIN closed_month
    ON closed_month.is_current
    AND closed_month.month = concerned.month
    AND closed_month.closed_at < concerned.restated_at
WHERE concerned.month >= kept_from()
