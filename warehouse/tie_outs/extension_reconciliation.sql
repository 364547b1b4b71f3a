-- TIM4biz's calls are those that it stated.
CREATE OR REPLACE TEMP VIEW fact (tie_date, measure, currency, amount) AS
SELECT total_date, 'calls in TIM4biz', '', sum(calls)
FROM core.extension_total
WHERE in_reconciled_days(total_date) AND calls IS NOT NULL
GROUP BY total_date;

CREATE OR REPLACE TEMP VIEW in_mart (tie_date, measure, currency, amount) AS
SELECT call_date, 'calls in TIM4biz', '', sum(their_calls)
FROM mart.extension_reconciliation
WHERE in_reconciled_days(call_date) AND their_calls IS NOT NULL
GROUP BY call_date;
