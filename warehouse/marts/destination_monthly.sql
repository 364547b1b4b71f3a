-- One row per month, account, country called, type of number and currency: calls to an outside party.
-- `month` is the month in which the leg that dialled out began. Made of the calls and their legs.
--
-- Each leg that dialled out counts where it dialled to, also one that an inbound call was forwarded by. The attempts of a
-- call to one destination are one call there: most calls have but one leg, and need not be looked at leg by leg.
WITH dialled AS (
    SELECT
        CAST(date_trunc('month', call_date) AS DATE) AS month,
        vendor,
        connection,
        account_id,
        remote_country AS destination_country,
        remote_type AS destination_type,
        currency,
        outcome = 'answered' AS answered,
        talk_seconds,
        cost,
        unrated_legs > 0 AS unrated,
        call_date AS first_date
    FROM core.call
    WHERE legs = 1 AND direction = 'outbound' AND in_call_months(call_date)

    UNION ALL
    SELECT
        CAST(date_trunc('month', leg.call_date) AS DATE) AS month,
        leg.vendor,
        leg.connection,
        leg.account_id,
        leg.remote_country,
        leg.remote_type,
        leg.currency,
        bool_or(leg.outcome = 'answered'),
        coalesce(max(greatest(leg.duration_seconds, 0)) FILTER (WHERE leg.outcome = 'answered'), 0),
        sum(leg.cost),
        bool_or(leg.cost IS NULL),
        min(leg.call_date)
    FROM core.call AS call
    JOIN core.call_leg AS call_leg ON call_leg.call_id = call.call_id AND call_leg.call_date = call.call_date
    JOIN core.cdr AS leg ON leg.cdr_id = call_leg.cdr_id AND leg.call_date = call_leg.leg_date
    WHERE call.legs > 1
        AND call.outbound_legs > 0
        AND leg.direction = 'outbound'
        AND near_legs(call.call_date)
        AND near_legs(call_leg.call_date)
        AND in_call_months(leg.call_date)
    GROUP BY
        month, leg.vendor, leg.connection, leg.account_id, leg.remote_country, leg.remote_type, leg.currency, call.call_id
)
SELECT
    month,
    vendor,
    connection,
    account_id,
    destination_country,
    destination_type,
    currency,
    count(*) AS calls,
    count(*) FILTER (WHERE answered) AS answered,
    CAST(sum(talk_seconds) AS BIGINT) AS talk_seconds,
    mean_of(sum(talk_seconds), 60) AS minutes,
    CAST(sum(cost) AS DECIMAL(18, 6)) AS cost,
    count(*) FILTER (WHERE unrated) AS unrated,
    mean_of(
        sum(cost) FILTER (WHERE answered AND NOT unrated),
        count(*) FILTER (WHERE answered AND NOT unrated)
    ) AS average_cost,
    min(first_date) AS first_date
FROM dialled
GROUP BY ALL
