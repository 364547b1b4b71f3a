-- One row per day, account, extension and direction: calls, not legs.
-- `call_date` is the business day on which the call began. Made of the calls.
SELECT
    call_date,
    vendor,
    connection,
    account_id,
    extension,
    direction,
    count(*) AS calls,
    count(*) FILTER (WHERE outcome = 'answered') AS answered,
    count(*) FILTER (WHERE outcome = 'no_answer') AS no_answer,
    count(*) FILTER (WHERE outcome = 'busy') AS busy,
    count(*) FILTER (WHERE outcome = 'failed') AS failed,
    count(*) FILTER (WHERE outcome = 'abandoned') AS abandoned,
    count(*) FILTER (WHERE outcome NOT IN ('answered', 'no_answer', 'busy', 'failed', 'abandoned')) AS other,
    CAST(sum(legs) AS BIGINT) AS legs,
    CAST(sum(talk_seconds) AS BIGINT) AS talk_seconds
FROM core.call
WHERE in_call_days(call_date)
GROUP BY ALL
