-- One row per leg of `leg`: the call it belongs to.
--
-- `leg` holds core.cdr, or as many of its rows that no call of theirs has a leg outside.
-- Legs of one connection and account that share a linked_id belong to one call; a leg without one is its own call.
-- A PBX gives the same id again after a restart, so a new call begins with a leg that starts more than six hours after
-- every earlier leg of that id has ended. Database.LINK_GAP is the same six hours.
WITH span AS (
    SELECT
        cdr_id,
        connection,
        account_id,
        coalesce('linked ' || linked_id, 'single ' || cdr_id) AS link,
        native_id,
        call_date,
        started_at,
        direction,
        extension,
        outcome,
        duration_seconds,
        cost,
        remote_country,
        remote_type,
        epoch_us(started_at) AS start_us,
        epoch_us(started_at) + 1000000 * least(greatest(coalesce(duration_seconds, 0), 0), 1000000000) AS end_us
    FROM leg
),
followed AS (
    SELECT
        *,
        max(end_us) OVER (
            PARTITION BY connection, account_id, link
            ORDER BY started_at, native_id, cdr_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS quiet_since_us
    FROM span
),
numbered AS (
    SELECT
        *,
        sum(CASE WHEN start_us - quiet_since_us <= 6 * 3600 * 1000000::BIGINT THEN 0 ELSE 1 END) OVER (
            PARTITION BY connection, account_id, link
            ORDER BY started_at, native_id, cdr_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS call_number
    FROM followed
)
SELECT
    cdr_id,
    first_value(cdr_id) OVER call_legs AS call_id,
    first_value(call_date) OVER call_legs AS call_date,
    CAST(row_number() OVER call_legs AS INTEGER) AS leg_number
FROM numbered
WINDOW call_legs AS (
    PARTITION BY connection, account_id, link, call_number
    -- Of legs that start in one second the id decides last: it changes when a number is erased, their order must not.
    ORDER BY
        started_at, native_id, direction, extension, outcome, duration_seconds, cost, remote_country, remote_type, cdr_id
)
