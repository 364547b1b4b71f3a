-- A call is no more and no less than its legs, and costs what they cost.
--
-- Calls are the same in two tables when the sums of a hash of their ids are: ids need not be joined. What the legs of a
-- day cost is what its calls cost, but for calls whose legs are of several days or currencies: their legs are taken from
-- the days that they are of, and given to the day of the call, or to none.
CREATE OR REPLACE TEMP TABLE call_cost AS
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

CREATE OR REPLACE TEMP TABLE call_id AS
SELECT call_date AS day, count(*) AS legs, sum(hash(call_id)) AS ids
FROM core.call_leg
WHERE in_call_days(call_date)
GROUP BY call_date;

CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT day, 'legs', '', legs
FROM call_id
UNION ALL
SELECT call_date, 'cost', currency, sum(cost)
FROM call_cost
WHERE in_call_days(call_date)
GROUP BY call_date, currency
HAVING sum(rated) > 0
UNION ALL
SELECT day, 'other calls than the legs are of', '', 0
FROM call_id;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT call_id.day, 'other calls than the legs are of', '',
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
SELECT call_date, 'legs', '', sum(legs)
FROM call_sum
WHERE in_call_days(call_date)
GROUP BY call_date
UNION ALL
SELECT call_date, 'cost', currency, sum(cost)
FROM call_sum
WHERE in_call_days(call_date) AND rated > 0
GROUP BY call_date, currency;
