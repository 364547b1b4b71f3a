-- The inbound calls of a day, and those that nobody took, are those of core.call.
CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT call_date, unnest(['offered', 'unanswered']), '',
    unnest([sum(calls), coalesce(sum(calls) FILTER (WHERE NOT is_answered), 0)])
FROM call_sum
WHERE direction = 'inbound' AND in_callback_days(call_date)
GROUP BY call_date;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT call_date, unnest(['offered', 'unanswered']), '', unnest([sum(offered), sum(unanswered)])
FROM mart.unanswered
WHERE in_callback_days(call_date)
GROUP BY call_date;
