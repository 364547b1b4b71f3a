-- One row per day, local hour, account and extension that inbound calls were offered to.
-- `call_date` is the business day on which the call began. Made of the calls.
--
-- A call is called back when the account later reached the same number, on the same or the next business day, whoever
-- made that call. Each unanswered call counts, also those of one caller who tried five times.
WITH inbound AS (
    SELECT
        call_date,
        hour(local_time(started_at)) AS hour_of_day,
        vendor,
        connection,
        account_id,
        extension,
        remote_e164,
        started_at,
        outcome
    FROM core.call
    WHERE direction = 'inbound' AND in_callback_days(call_date)
),
reached AS (
    SELECT connection, account_id, remote_e164, unnest([call_date, call_date - 1]) AS call_date, started_at
    FROM core.call
    WHERE direction = 'outbound' AND outcome = 'answered' AND remote_e164 IS NOT NULL AND around_callback_days(call_date)
),
last_reached AS (
    SELECT connection, account_id, remote_e164, call_date, max(started_at) AS last_at
    FROM reached
    GROUP BY ALL
),
told AS (
    SELECT
        inbound.*,
        inbound.outcome <> 'answered' AS missed,
        last_reached.last_at > inbound.started_at AS returned
    FROM inbound
    LEFT JOIN last_reached
        ON last_reached.connection = inbound.connection
        AND last_reached.account_id IS NOT DISTINCT FROM inbound.account_id
        AND last_reached.remote_e164 = inbound.remote_e164
        AND last_reached.call_date = inbound.call_date
),
counted AS (
    SELECT
        call_date,
        hour_of_day,
        vendor,
        connection,
        account_id,
        extension,
        count(*) AS offered,
        count(*) FILTER (WHERE missed) AS unanswered,
        count(*) FILTER (WHERE outcome = 'voicemail') AS voicemail,
        count(*) FILTER (WHERE outcome = 'abandoned') AS abandoned,
        count(*) FILTER (WHERE missed AND returned) AS called_back
    FROM told
    GROUP BY ALL
)
SELECT
    call_date,
    CAST(hour_of_day AS INTEGER) AS hour_of_day,
    vendor,
    connection,
    account_id,
    extension,
    offered,
    offered - unanswered AS answered,
    unanswered,
    voicemail,
    abandoned,
    called_back,
    CAST(mean_of(100 * unanswered, offered) AS DECIMAL(5, 2)) AS unanswered_percent
FROM counted
