-- Makes new_tie_out, one row per mart, measure, day and currency: the mart against the fact it was summed from.
--
-- Facts are read from the tables that the marts were made from, by another way than the marts take. Step by step, as all
-- of it at once needs half of what memory there is for a day, however little the day holds.
CREATE TEMP TABLE leg_sum AS
SELECT call_date, currency, count(*) AS legs, count(cost) AS rated, sum(cost) AS cost, sum(hash(cdr_id)) AS ids
FROM core.cdr
WHERE in_cost_days(call_date)
GROUP BY call_date, currency;

CREATE TEMP TABLE call_sum AS
SELECT
    call_date,
    CAST(epoch_us(started_at) // 86400000000 AS INTEGER) AS utc_day,
    direction,
    currency,
    outcome = 'answered' AS is_answered,
    count(*) AS calls,
    sum(legs) AS legs,
    sum(talk_seconds) AS seconds,
    count(cost) AS rated,
    sum(cost) AS cost
FROM core.call
WHERE in_cost_days(call_date) OR around_hours(call_date) OR in_callback_days(call_date)
GROUP BY ALL;

-- What the legs of a day cost is what its calls cost, but for calls whose legs are of several days or currencies: their
-- legs are taken from the days that they are of, and given to the day of the call, or to none.
CREATE TEMP TABLE call_cost AS
WITH split_call AS (
    SELECT call_id, call_date FROM core.call_leg WHERE leg_date <> call_date AND near_split(call_date)
    UNION
    SELECT call_id, call_date
    FROM core.call
    WHERE legs > 1 AND currency IS NULL AND cost IS NULL AND near_split(call_date)
),
split_leg AS (
    SELECT
        call_leg.call_date,
        call_leg.leg_date,
        leg.currency,
        leg.cost,
        min(coalesce(leg.currency, '')) OVER same_call = max(coalesce(leg.currency, '')) OVER same_call AS one_currency
    FROM split_call
    JOIN core.call_leg AS call_leg
        ON call_leg.call_id = split_call.call_id AND call_leg.call_date = split_call.call_date
    JOIN core.cdr AS leg ON leg.cdr_id = call_leg.cdr_id AND leg.call_date = call_leg.leg_date
    WHERE near_split(call_leg.call_date) AND near_split(call_leg.leg_date) AND near_split(leg.call_date)
    WINDOW same_call AS (PARTITION BY call_leg.call_id)
)
SELECT call_date, currency, rated, cost FROM leg_sum WHERE rated > 0
UNION ALL
SELECT leg_date, currency, -1, -cost FROM split_leg WHERE cost IS NOT NULL
UNION ALL
SELECT call_date, currency, 1, cost FROM split_leg WHERE cost IS NOT NULL AND one_currency;

-- The legs that dialled out; `repeated` says how many of them, and how many of their seconds, were not the first or the
-- longest of their call to one destination.
CREATE TEMP TABLE dialled AS
SELECT
    CAST(date_trunc('month', call_date) AS DATE) AS month,
    currency,
    count(*) AS legs,
    sum(CASE WHEN outcome = 'answered' THEN greatest(coalesce(duration_seconds, 0), 0) ELSE 0 END) AS seconds,
    count(cost) AS rated,
    sum(cost) AS cost
FROM core.cdr
WHERE direction = 'outbound' AND in_call_months(call_date)
GROUP BY ALL;

CREATE TEMP TABLE repeated AS
SELECT month, sum(legs - 1) AS legs, sum(seconds - longest) AS seconds
FROM (
    SELECT
        CAST(date_trunc('month', leg.call_date) AS DATE) AS month,
        count(*) AS legs,
        coalesce(sum(greatest(leg.duration_seconds, 0)) FILTER (WHERE leg.outcome = 'answered'), 0) AS seconds,
        coalesce(max(greatest(leg.duration_seconds, 0)) FILTER (WHERE leg.outcome = 'answered'), 0) AS longest
    FROM core.call AS call
    JOIN core.call_leg AS call_leg ON call_leg.call_id = call.call_id AND call_leg.call_date = call.call_date
    JOIN core.cdr AS leg ON leg.cdr_id = call_leg.cdr_id AND leg.call_date = call_leg.leg_date
    WHERE call.outbound_legs > 1
        AND leg.direction = 'outbound'
        AND near_legs(call.call_date)
        AND near_legs(call_leg.call_date)
        AND in_call_months(leg.call_date)
    GROUP BY month, call.call_id, leg.remote_country, leg.remote_type, leg.currency
)
GROUP BY month;

-- Legs and calls are the same in two tables when the sums of a hash of their ids are: ids need not be joined.
CREATE TEMP TABLE leg_id AS
SELECT leg_date AS day, count(*) AS legs, sum(hash(cdr_id)) AS ids
FROM core.call_leg
WHERE in_call_days(leg_date)
GROUP BY leg_date;

CREATE TEMP TABLE call_id AS
SELECT call_date AS day, count(*) AS legs, sum(hash(call_id)) AS ids
FROM core.call_leg
WHERE in_call_days(call_date)
GROUP BY call_date;

CREATE TEMP TABLE fact AS
-- Every leg is in a call, once: the legs recorded for a day ...
SELECT 'core.call_leg' AS mart, call_date AS tie_date, 'legs' AS measure, '' AS currency, sum(legs) AS amount
FROM leg_sum
WHERE in_call_days(call_date)
GROUP BY call_date
UNION ALL
-- ... and a call is no more and no less than its legs.
SELECT 'core.call', day, 'legs', '', legs
FROM call_id
UNION ALL
SELECT 'core.call', call_date, 'cost', currency, sum(cost)
FROM call_cost
WHERE in_call_days(call_date)
GROUP BY call_date, currency
HAVING sum(rated) > 0
UNION ALL
SELECT 'core.call_leg', day, 'other legs than recorded', '', 0
FROM leg_id
UNION ALL
SELECT 'core.call', day, 'other calls than the legs are of', '', 0
FROM call_id
UNION ALL
SELECT 'mart.usage_daily', call_date, unnest(['calls', 'outcomes', 'answered', 'legs', 'seconds']), '',
    unnest([sum(calls), sum(calls), coalesce(sum(calls) FILTER (WHERE is_answered), 0), sum(legs), sum(seconds)])
FROM call_sum
WHERE in_call_days(call_date)
GROUP BY call_date
UNION ALL
-- By day in UTC: an hour may lie in two business days, but in one day of its own zone.
SELECT 'mart.usage_hourly', DATE '1970-01-01' + utc_day, unnest(['calls', 'answered']), '',
    unnest([sum(calls), coalesce(sum(calls) FILTER (WHERE is_answered), 0)])
FROM call_sum
WHERE around_hours(call_date) AND in_hours(CAST(DATE '1970-01-01' + utc_day AS TIMESTAMPTZ))
GROUP BY utc_day
UNION ALL
SELECT 'mart.cost_daily', call_date, 'calls', '', sum(calls)
FROM call_sum
WHERE in_cost_days(call_date)
GROUP BY call_date
UNION ALL
SELECT 'mart.cost_daily', cost_date, 'cost', currency, sum(cost)
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
SELECT 'mart.cost_daily', cost_date, 'unrated', '', sum(unrated)
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
GROUP BY cost_date
UNION ALL
SELECT 'mart.cost_monthly', CAST(date_trunc('month', cost_date) AS DATE) AS month, 'cost', currency, sum(cost)
FROM mart.cost_daily
WHERE in_cost_months(cost_date) AND cost IS NOT NULL
GROUP BY month, currency
UNION ALL
SELECT 'mart.cost_monthly', CAST(date_trunc('month', cost_date) AS DATE) AS month,
    unnest(['quantity', 'unrated', 'unconverted']), '', unnest([sum(quantity), sum(unrated), sum(unconverted)])
FROM mart.cost_daily
WHERE in_cost_months(cost_date)
GROUP BY month
UNION ALL
-- Every call of the month is some cost centre's.
SELECT 'mart.cost_centre_usage', CAST(date_trunc('month', call_date) AS DATE) AS month, unnest(['calls', 'seconds']),
    '', unnest([sum(calls), sum(talk_seconds)])
FROM mart.usage_daily
WHERE in_cost_months(call_date)
GROUP BY month
UNION ALL
-- What the cost centres are charged is what the month cost ...
SELECT 'mart.chargeback', month, 'cost', currency, sum(cost)
FROM mart.cost_monthly
WHERE in_cost_months(month) AND cost IS NOT NULL
GROUP BY month, currency
UNION ALL
-- ... each pool by itself, too.
SELECT 'mart.chargeback', month, 'pools that do not add up', '', 0
FROM mart.chargeback
WHERE in_cost_months(month)
GROUP BY month
UNION ALL
SELECT 'mart.budget', month, 'budget', currency, sum(amount)
FROM budget_line
WHERE in_cost_months(month)
GROUP BY month, currency
UNION ALL
-- The journal books what the month cost, owes it, and balances.
SELECT 'mart.journal', month, unnest(['cost', 'owed']), currency, unnest([sum(cost), -sum(cost)])
FROM mart.cost_monthly
WHERE in_cost_months(month) AND cost IS NOT NULL
GROUP BY month, currency
UNION ALL
SELECT 'mart.journal', month, 'debit and credit', currency, sum(debit)
FROM mart.journal
WHERE in_cost_months(month)
GROUP BY month, currency
UNION ALL
SELECT 'mart.journal', month, 'entries out of balance', '', 0
FROM mart.journal
WHERE in_cost_months(month)
GROUP BY month
UNION ALL
-- What was frozen, by the sealed manifests of the closes.
SELECT 'mart.cost_monthly_as_closed', month, 'cost', currency, cost
FROM closed_total
WHERE in_closed_months(month)
UNION ALL
SELECT 'mart.cost_monthly_as_closed', month, 'rows', '', rows
FROM closed_month
WHERE is_current AND in_closed_months(month)
UNION ALL
-- As closed and what it moved by is what the month is now.
SELECT 'mart.month_movement', month, 'as closed', currency, cost
FROM closed_total
WHERE in_closed_months(month) AND month >= kept_from()
UNION ALL
SELECT 'mart.month_movement', month, 'as closed and moved', currency, sum(cost)
FROM mart.cost_monthly
WHERE in_closed_months(month) AND month IN (SELECT month FROM closed_month) AND cost IS NOT NULL
GROUP BY month, currency
UNION ALL
SELECT 'mart.unanswered', call_date, unnest(['offered', 'unanswered']), '',
    unnest([sum(calls), coalesce(sum(calls) FILTER (WHERE NOT is_answered), 0)])
FROM call_sum
WHERE direction = 'inbound' AND in_callback_days(call_date)
GROUP BY call_date
UNION ALL
SELECT 'mart.destination_monthly', month, unnest(['calls', 'seconds']), '',
    unnest([
        sum(dialled.legs) - coalesce(any_value(repeated.legs), 0),
        sum(dialled.seconds) - coalesce(any_value(repeated.seconds), 0)
    ])
FROM dialled
LEFT JOIN repeated USING (month)
GROUP BY month
UNION ALL
SELECT 'mart.destination_monthly', month, 'cost', currency, sum(cost)
FROM dialled
WHERE rated > 0
GROUP BY month, currency
UNION ALL
SELECT 'mart.invoice_aging', NULL, 'open amount', currency, sum(total) - sum(coalesce(credit_added, 0))
FROM core.invoice
WHERE counts_as_expense
    AND status IN ('unpaid', 'collections')
    AND paid_at IS NULL
    AND total > coalesce(credit_added, 0)
GROUP BY currency
UNION ALL
SELECT 'mart.extension_reconciliation', total_date, 'calls in TIM4biz', '', sum(calls)
FROM core.extension_total
WHERE in_reconciliation_scope(total_date) AND calls IS NOT NULL
GROUP BY total_date;

CREATE TEMP TABLE in_mart AS
SELECT 'core.call_leg' AS mart, day AS tie_date, 'legs' AS measure, '' AS currency, legs AS amount
FROM leg_id
UNION ALL
SELECT 'core.call_leg', leg_id.day, 'other legs than recorded', '',
    CASE WHEN leg_id.ids = recorded.ids THEN 0 ELSE 1 END
FROM leg_id
LEFT JOIN (SELECT call_date, sum(ids) AS ids FROM leg_sum GROUP BY call_date) AS recorded
    ON recorded.call_date = leg_id.day
UNION ALL
SELECT 'core.call', call_id.day, 'other calls than the legs are of', '',
    CASE WHEN call_id.ids = known.ids THEN 0 ELSE 1 END
FROM call_id
LEFT JOIN (
    SELECT call_date, sum(legs * CAST(hash(call_id) AS HUGEINT)) AS ids
    FROM core.call
    WHERE in_call_days(call_date)
    GROUP BY call_date
) AS known
    ON known.call_date = call_id.day
UNION ALL
SELECT 'core.call', call_date, 'legs', '', sum(legs)
FROM call_sum
WHERE in_call_days(call_date)
GROUP BY call_date
UNION ALL
SELECT 'core.call', call_date, 'cost', currency, sum(cost)
FROM call_sum
WHERE in_call_days(call_date) AND rated > 0
GROUP BY call_date, currency
UNION ALL
-- Outcomes: the calls by what came of them, so that none is in two of these columns or in no one.
SELECT 'mart.usage_daily', call_date, unnest(['calls', 'outcomes', 'answered', 'legs', 'seconds']), '',
    unnest([
        sum(calls), sum(answered + no_answer + busy + failed + abandoned + other), sum(answered), sum(legs), sum(talk_seconds)
    ])
FROM mart.usage_daily
WHERE in_call_days(call_date)
GROUP BY call_date
UNION ALL
SELECT 'mart.usage_hourly', CAST(hour AT TIME ZONE 'UTC' AS DATE) AS utc_day, unnest(['calls', 'answered']), '',
    unnest([sum(calls), sum(answered)])
FROM mart.usage_hourly
WHERE in_hours(hour)
GROUP BY utc_day
UNION ALL
SELECT 'mart.cost_daily', cost_date, 'calls', '', sum(quantity)
FROM mart.cost_daily
WHERE in_cost_days(cost_date) AND charge_kind = 'call'
GROUP BY cost_date
UNION ALL
SELECT 'mart.cost_daily', cost_date, 'cost', currency, sum(cost)
FROM mart.cost_daily
WHERE in_cost_days(cost_date) AND cost IS NOT NULL
GROUP BY cost_date, currency
UNION ALL
SELECT 'mart.cost_daily', cost_date, 'unrated', '', sum(unrated)
FROM mart.cost_daily
WHERE in_cost_days(cost_date)
GROUP BY cost_date
UNION ALL
SELECT 'mart.cost_monthly', month, 'cost', currency, sum(cost)
FROM mart.cost_monthly
WHERE in_cost_months(month) AND cost IS NOT NULL
GROUP BY month, currency
UNION ALL
SELECT 'mart.cost_monthly', month, unnest(['quantity', 'unrated', 'unconverted']), '',
    unnest([sum(quantity), sum(unrated), sum(unconverted)])
FROM mart.cost_monthly
WHERE in_cost_months(month)
GROUP BY month
UNION ALL
SELECT 'mart.cost_centre_usage', month, unnest(['calls', 'seconds']), '', unnest([sum(calls), sum(talk_seconds)])
FROM mart.cost_centre_usage
WHERE in_cost_months(month)
GROUP BY month
UNION ALL
SELECT 'mart.chargeback', month, 'cost', currency, sum(cost)
FROM mart.chargeback
WHERE in_cost_months(month)
GROUP BY month, currency
UNION ALL
SELECT 'mart.chargeback', month, 'pools that do not add up', '', count(*) FILTER (charged <> pool_cost)
FROM (
    SELECT month, pool_cost, sum(cost) AS charged
    FROM mart.chargeback
    WHERE in_cost_months(month)
    GROUP BY
        month, connection, account_id, charge_kind, currency, source_cost_centre, rule, pool_cost
)
GROUP BY month
UNION ALL
SELECT 'mart.budget', month, 'budget', currency, sum(budget)
FROM mart.budget
WHERE in_cost_months(month)
GROUP BY month, currency
UNION ALL
-- Credit with the vendor is owed already; applying it leaves the two together as they were.
SELECT 'mart.journal', month, CASE WHEN role IN ('cost', 'tax') THEN 'cost' ELSE 'owed' END AS booked, currency,
    sum(exact)
FROM mart.journal
WHERE in_cost_months(month)
GROUP BY month, booked, currency
UNION ALL
SELECT 'mart.journal', month, 'debit and credit', currency, sum(credit)
FROM mart.journal
WHERE in_cost_months(month)
GROUP BY month, currency
UNION ALL
SELECT 'mart.journal', month, 'entries out of balance', '', count(*) FILTER (debit <> credit)
FROM (
    SELECT month, sum(debit) AS debit, sum(credit) AS credit
    FROM mart.journal
    WHERE in_cost_months(month)
    GROUP BY month, entry
)
GROUP BY month
UNION ALL
SELECT 'mart.cost_monthly_as_closed', month, 'cost', currency, sum(cost)
FROM mart.cost_monthly_as_closed
WHERE in_closed_months(month) AND cost IS NOT NULL
GROUP BY month, currency
UNION ALL
SELECT 'mart.cost_monthly_as_closed', month, 'rows', '', count(*)
FROM mart.cost_monthly_as_closed
WHERE in_closed_months(month)
GROUP BY month
UNION ALL
SELECT 'mart.month_movement', month, unnest(['as closed', 'as closed and moved']), currency,
    unnest([sum(as_closed), sum(as_closed) + sum(moved)])
FROM mart.month_movement
WHERE in_closed_months(month)
GROUP BY month, currency
UNION ALL
SELECT 'mart.unanswered', call_date, unnest(['offered', 'unanswered']), '', unnest([sum(offered), sum(unanswered)])
FROM mart.unanswered
WHERE in_callback_days(call_date)
GROUP BY call_date
UNION ALL
SELECT 'mart.destination_monthly', month, unnest(['calls', 'seconds']), '', unnest([sum(calls), sum(talk_seconds)])
FROM mart.destination_monthly
WHERE in_call_months(month)
GROUP BY month
UNION ALL
SELECT 'mart.destination_monthly', month, 'cost', currency, sum(cost)
FROM mart.destination_monthly
WHERE in_call_months(month) AND cost IS NOT NULL
GROUP BY month, currency
UNION ALL
SELECT 'mart.invoice_aging', NULL, 'open amount', currency, sum(open_amount)
FROM mart.invoice_aging
GROUP BY currency
UNION ALL
SELECT 'mart.extension_reconciliation', call_date, 'calls in TIM4biz', '', sum(their_calls)
FROM mart.extension_reconciliation
WHERE in_reconciliation_scope(call_date) AND their_calls IS NOT NULL
GROUP BY call_date;

CREATE TEMP TABLE new_tie_out AS
SELECT
    coalesce(fact.mart, in_mart.mart) AS mart,
    coalesce(fact.tie_date, in_mart.tie_date) AS tie_date,
    coalesce(fact.measure, in_mart.measure) AS measure,
    coalesce(fact.currency, in_mart.currency, '') AS currency,
    CAST(coalesce(fact.amount, 0) AS DECIMAL(18, 6)) AS fact,
    CAST(coalesce(in_mart.amount, 0) AS DECIMAL(18, 6)) AS in_mart,
    CAST(coalesce(in_mart.amount, 0) - coalesce(fact.amount, 0) AS DECIMAL(18, 6)) AS difference
FROM fact
FULL OUTER JOIN in_mart
    ON in_mart.mart = fact.mart
    AND in_mart.tie_date IS NOT DISTINCT FROM fact.tie_date
    AND in_mart.measure = fact.measure
    AND in_mart.currency IS NOT DISTINCT FROM fact.currency;
