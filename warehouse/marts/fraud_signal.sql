-- One row per day, account, extension, rule, country and currency that went over a limit.
-- `signal_date` is the business day of the calls. Made of the legs and calls, the accounts' countries, the costs by
-- day, and the first call to each country.
--
-- The limits are those of `[fraud]` in tollbook.toml (the one row of fraud_rules). Attempts count like answered calls:
-- who tries numbers abroad at night is known by the attempts. Looked at are the legs to outside parties, also those that
-- an inbound call was forwarded by, which is how a cracked forwarding is used; the legs of one call to one country and
-- kind of number are one attempt after another, and count as one. Costs in several currencies are not added.
WITH home AS (
    SELECT connection, account_id, any_value(country) AS country
    FROM core.account
    GROUP BY connection, account_id
),
outbound AS (
    SELECT
        leg.call_date,
        leg.vendor,
        leg.connection,
        leg.account_id,
        leg.cdr_id,
        leg.extension,
        leg.remote_country AS country,
        leg.remote_type,
        leg.started_at,
        leg.cost,
        leg.currency,
        -- A number that is of no country, as of satellites, is abroad; where our own country is not known nothing is. Of
        -- an erased number the country is left.
        coalesce(leg.remote_e164, leg.remote_country) IS NOT NULL
            AND leg.remote_country IS DISTINCT FROM home.country
            AND home.country IS NOT NULL AS is_abroad,
        hour(local_time(leg.started_at)) < rules.opens
            OR hour(local_time(leg.started_at)) >= rules.closes
            OR (isodow(local_time(leg.started_at)) > 5 AND NOT rules.open_weekends) AS is_closed
    FROM core.cdr AS leg
    CROSS JOIN fraud_rules AS rules
    LEFT JOIN home ON home.connection = leg.connection AND home.account_id IS NOT DISTINCT FROM leg.account_id
    WHERE leg.direction = 'outbound' AND in_fraud_days(leg.call_date)
),
dialled AS (
    SELECT
        leg.call_date,
        leg.vendor,
        leg.connection,
        leg.account_id,
        leg.extension,
        leg.country,
        leg.remote_type,
        leg.currency,
        leg.is_abroad,
        leg.is_closed,
        min(leg.started_at) AS started_at,
        sum(leg.cost) AS cost
    FROM outbound AS leg
    JOIN core.call_leg AS call_leg ON call_leg.cdr_id = leg.cdr_id AND call_leg.leg_date = leg.call_date
    WHERE (leg.is_abroad OR leg.remote_type = 'premium') AND in_fraud_days(call_leg.leg_date)
    GROUP BY
        leg.call_date, leg.vendor, leg.connection, leg.account_id, call_leg.call_id, leg.extension, leg.country,
        leg.remote_type, leg.currency, leg.is_abroad, leg.is_closed
),
suspect AS (
    SELECT *, 'out_of_hours' AS rule, CAST(NULL AS VARCHAR) AS about FROM dialled WHERE is_abroad AND is_closed
    UNION ALL
    SELECT *, 'premium', NULL FROM dialled WHERE remote_type = 'premium'
    UNION ALL
    -- Dialled and shown like a number of the United States or Canada.
    SELECT *, 'foreign_nanp', country
    FROM dialled
    WHERE is_abroad AND country IN (SELECT country FROM foreign_nanp)
),
counted AS (
    SELECT
        call_date AS signal_date,
        vendor,
        connection,
        account_id,
        extension,
        rule,
        about AS country,
        CASE WHEN count(DISTINCT currency) = 1 THEN min(currency) END AS currency,
        count(*) AS calls,
        CASE WHEN count(DISTINCT currency) = 1 THEN sum(cost) END AS cost
    FROM suspect
    GROUP BY call_date, vendor, connection, account_id, extension, rule, about
),
limited AS (
    SELECT
        counted.*,
        CAST(counted.calls AS DECIMAL(18, 6)) AS measured,
        CAST(
            CASE counted.rule
                WHEN 'out_of_hours' THEN rules.out_of_hours_calls
                WHEN 'premium' THEN rules.premium_calls
                ELSE rules.nanp_calls
            END AS DECIMAL(18, 6)
        ) AS threshold
    FROM counted
    CROSS JOIN fraud_rules AS rules
),
-- The day of the first call ever to a country, after the account has called for long enough to know its habits.
discovery AS (
    SELECT first_call.first_date, first_call.connection, first_call.account_id, first_call.country
    FROM first_call
    CROSS JOIN fraud_rules AS rules
    WHERE in_fraud_days(first_call.first_date) AND first_call.first_date >= first_call.since + rules.learning_days
),
new_country AS (
    SELECT
        dialled.call_date AS signal_date,
        dialled.vendor,
        dialled.connection,
        dialled.account_id,
        arg_min_null(dialled.extension, (dialled.started_at, coalesce(dialled.extension, ''))) AS extension,
        'new_country' AS rule,
        dialled.country,
        CASE WHEN count(DISTINCT dialled.currency) = 1 THEN min(dialled.currency) END AS currency,
        count(*) AS calls,
        CASE WHEN count(DISTINCT dialled.currency) = 1 THEN sum(dialled.cost) END AS cost,
        CAST(count(*) AS DECIMAL(18, 6)) AS measured,
        CAST(1 AS DECIMAL(18, 6)) AS threshold
    FROM dialled
    JOIN discovery
        ON discovery.first_date = dialled.call_date
        AND discovery.connection = dialled.connection
        AND discovery.account_id IS NOT DISTINCT FROM dialled.account_id
        AND discovery.country = dialled.country
    WHERE dialled.is_abroad
    GROUP BY dialled.call_date, dialled.vendor, dialled.connection, dialled.account_id, dialled.country
),
spent AS (
    SELECT
        cost_date,
        vendor,
        connection,
        account_id,
        currency,
        CAST(sum(cost) AS DECIMAL(18, 6)) AS cost
    FROM mart.cost_daily
    WHERE charge_kind = 'call' AND direction = 'outbound' AND fraud_history_days(cost_date)
    GROUP BY cost_date, vendor, connection, account_id, currency
    HAVING sum(cost) IS NOT NULL
),
-- The median of the same weekday of the weeks_compared() weeks before (of two middle ones the lower), from three such days on.
usual AS (
    SELECT
        today.cost_date,
        today.connection,
        today.account_id,
        today.currency,
        quantile_disc(before.cost, 0.5) AS cost
    FROM spent AS today
    JOIN (SELECT *, unnest(range(7, 7 * weeks_compared() + 1, 7)) AS later FROM spent) AS before
        ON CAST(before.cost_date + CAST(before.later AS INTEGER) AS DATE) = today.cost_date
        AND before.connection = today.connection
        AND before.account_id IS NOT DISTINCT FROM today.account_id
        AND before.currency IS NOT DISTINCT FROM today.currency
    GROUP BY today.cost_date, today.connection, today.account_id, today.currency
    HAVING count(*) >= 3
),
spike AS (
    SELECT
        spent.*,
        greatest(rules.spike_minimum, usual.cost * rules.spike_times) AS threshold
    FROM spent
    JOIN usual
        ON usual.cost_date = spent.cost_date
        AND usual.connection = spent.connection
        AND usual.account_id IS NOT DISTINCT FROM spent.account_id
        AND usual.currency IS NOT DISTINCT FROM spent.currency
    CROSS JOIN fraud_rules AS rules
    WHERE in_fraud_days(spent.cost_date) AND spent.cost >= threshold
),
-- The calls of those few days.
spiked AS (
    SELECT
        spike.cost_date AS signal_date,
        spike.vendor,
        spike.connection,
        spike.account_id,
        NULL AS extension,
        'spend_spike' AS rule,
        NULL AS country,
        spike.currency,
        count(DISTINCT call_leg.call_id) AS calls,
        spike.cost,
        spike.cost AS measured,
        spike.threshold
    FROM spike
    JOIN core.cdr AS leg
        ON leg.call_date = spike.cost_date
        AND leg.connection = spike.connection
        AND leg.account_id IS NOT DISTINCT FROM spike.account_id
        AND leg.currency IS NOT DISTINCT FROM spike.currency
        AND leg.direction = 'outbound'
    JOIN core.call_leg AS call_leg ON call_leg.cdr_id = leg.cdr_id AND call_leg.leg_date = leg.call_date
    WHERE in_fraud_days(leg.call_date) AND in_fraud_days(call_leg.leg_date)
    GROUP BY
        spike.cost_date, spike.vendor, spike.connection, spike.account_id, spike.currency, spike.cost, spike.threshold
),
found AS (
    SELECT * FROM limited
    UNION ALL
    SELECT * FROM new_country
    UNION ALL
    SELECT * FROM spiked
)
SELECT
    signal_date,
    vendor,
    connection,
    account_id,
    extension,
    rule,
    country,
    currency,
    CASE WHEN rule = 'new_country' THEN 'low' WHEN measured >= 3 * threshold THEN 'high' ELSE 'medium' END AS severity,
    calls,
    CAST(cost AS DECIMAL(18, 6)) AS cost,
    CAST(measured AS DECIMAL(18, 6)) AS measured,
    CAST(threshold AS DECIMAL(18, 6)) AS threshold
FROM found
WHERE measured >= threshold
