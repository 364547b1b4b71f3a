-- The calls of a day, and what came of them, are those of core.call.
--
-- Outcomes: the calls by what came of them, so that none is in two of these columns or in no one.
CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT call_date, unnest(['calls', 'outcomes', 'answered', 'legs', 'seconds']), '',
    unnest([sum(calls), sum(calls), coalesce(sum(calls) FILTER (WHERE is_answered), 0), sum(legs), sum(seconds)])
FROM call_sum
WHERE in_call_days(call_date)
GROUP BY call_date;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT call_date, unnest(['calls', 'outcomes', 'answered', 'legs', 'seconds']), '',
    unnest([
        sum(calls), sum(answered + no_answer + busy + failed + abandoned + other), sum(answered), sum(legs), sum(talk_seconds)
    ])
FROM mart.usage_daily
WHERE in_call_days(call_date)
GROUP BY call_date;
