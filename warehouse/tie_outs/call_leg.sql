-- Every leg is in a call, once: the legs recorded for a day are those that calls of that day or another have.
--
-- Legs are the same in two tables when the sums of a hash of their ids are: ids need not be joined.
CREATE OR REPLACE TEMP TABLE leg_id AS
SELECT leg_date AS day, count(*) AS legs, sum(hash(cdr_id)) AS ids
FROM core.call_leg
WHERE in_call_days(leg_date)
GROUP BY leg_date;

CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT call_date, 'legs', '', sum(legs)
FROM leg_sum
WHERE in_call_days(call_date)
GROUP BY call_date
UNION ALL
SELECT day, 'other legs than recorded', '', 0
FROM leg_id;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT day, 'legs', '', legs
FROM leg_id
UNION ALL
SELECT leg_id.day, 'other legs than recorded', '',
    CASE WHEN leg_id.ids = recorded.ids THEN 0 ELSE 1 END
FROM leg_id
LEFT JOIN (SELECT call_date, sum(ids) AS ids FROM leg_sum GROUP BY call_date) AS recorded
    ON recorded.call_date = leg_id.day;
