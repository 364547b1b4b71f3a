-- One row per leg of `multi_leg`: the row of its call's first leg there, and its number in the call.
--
-- `multi_leg` holds the legs that share their link with another one; `link_hash` is a hash of it, `is_long` says that legs of
-- that hash start more than link_gap_seconds() apart. Every other leg is a call of its own.
-- Legs of one connection and account that share a linked_id belong to one call; a leg without one is its own call. A new
-- call begins with a leg that starts more than link_gap_seconds() after every earlier leg of that id has ended.
WITH span AS (
    SELECT
        rowid AS leg_row,
        connection,
        account_id,
        linked_id,
        native_id,
        cdr_id,
        started_at,
        epoch_us(started_at) AS start_us,
        epoch_us(started_at) + 1000000 * leg_seconds(duration_seconds) AS end_us
    FROM multi_leg
    WHERE is_long
),
followed AS (
    SELECT
        *,
        max(end_us) OVER (
            PARTITION BY connection, account_id, linked_id
            ORDER BY started_at, native_id, cdr_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS quiet_since_us
    FROM span
),
numbered AS (
    SELECT
        leg_row,
        sum(CASE WHEN start_us - quiet_since_us <= 1000000 * link_gap_seconds() THEN 0 ELSE 1 END) OVER (
            PARTITION BY connection, account_id, linked_id
            ORDER BY started_at, native_id, cdr_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS call_number
    FROM followed
)
SELECT
    multi_leg.rowid AS leg_row,
    first_value(multi_leg.rowid) OVER call_legs AS call_row,
    CAST(row_number() OVER call_legs AS INTEGER) AS leg_number
FROM multi_leg
LEFT JOIN numbered ON numbered.leg_row = multi_leg.rowid
WINDOW call_legs AS (
    PARTITION BY link_hash, connection, account_id, linked_id, call_number
    -- Of legs that start in one second the id decides last: it changes when a number is erased, their order must not.
    ORDER BY
        started_at, native_id, direction, extension, outcome, duration_seconds, cost, remote_country, remote_type, cdr_id
)
