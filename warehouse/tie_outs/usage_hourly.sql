-- The calls that started in the hours of a day are those of core.call.
--
-- By day in UTC: an hour may lie in two business days, but in one day of its own zone.
CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT DATE '1970-01-01' + utc_day, unnest(['calls', 'answered']), '',
    unnest([sum(calls), coalesce(sum(calls) FILTER (WHERE is_answered), 0)])
FROM call_sum
WHERE around_hours(call_date) AND in_hours(CAST(DATE '1970-01-01' + utc_day AS TIMESTAMPTZ))
GROUP BY utc_day;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT CAST(hour AT TIME ZONE 'UTC' AS DATE) AS utc_day, unnest(['calls', 'answered']), '',
    unnest([sum(calls), sum(answered)])
FROM mart.usage_hourly
WHERE in_hours(hour)
GROUP BY utc_day;
