-- One row per end-to-end call: the legs of `leg`, put together as `linked` (the result of call_leg.sql) says.
WITH part AS (
    SELECT
        leg.*,
        linked.call_id,
        linked.call_date AS call_day,
        linked.leg_number,
        leg.vendor = 'pbxware' AND leg.native_id <> leg.linked_id AS put_through,
        -- A group or an IVR made the leg: its extension is who took it, and not, as else, who made it.
        leg.direction = 'internal' AND ends_with(leg.to_number, leg.extension)
            AND NOT ends_with(leg.from_number, leg.extension) AS taken,
        leg.outcome = 'answered' AS answered,
        -- The most telling outcome first: that a call was answered says more than that another leg of it was not; a
        -- message was left; the line was engaged or nobody came; the caller gave up; only then that a trunk failed,
        -- since a failed attempt is often followed by a better one.
        CASE leg.outcome
            WHEN 'answered' THEN 1
            WHEN 'voicemail' THEN 2
            WHEN 'busy' THEN 3
            WHEN 'no_answer' THEN 4
            WHEN 'cancelled' THEN 5
            WHEN 'failed' THEN 6
            ELSE 7
        END AS telling,
        -- Smallest for the longest leg, and among equally long ones for the earliest.
        linked.leg_number - 1000000 * least(greatest(coalesce(leg.duration_seconds, 0), 0), 1000000000) AS length_rank
    FROM leg
    JOIN linked ON linked.cdr_id = leg.cdr_id
),
whole AS (
    SELECT
        call_id,
        min(vendor) AS vendor,
        min(connection) AS connection,
        min(account_id) AS account_id,
        min(linked_id) AS linked_id,
        min(started_at) AS started_at,
        min(call_day) AS call_date,
        coalesce(
            arg_min(direction, leg_number) FILTER (WHERE direction IN ('inbound', 'outbound')),
            min(direction) FILTER (WHERE direction = 'internal'),
            'unknown'
        ) AS direction,
        min(telling) AS telling,
        arg_min(extension, leg_number) AS first_extension,
        coalesce(
            arg_max(extension, leg_number) FILTER (WHERE answered AND taken),
            arg_min(extension, length_rank) FILTER (WHERE answered)
        ) AS answering_extension,
        coalesce(bool_or(put_through), false) AS put_through,
        arg_min(remote_e164, leg_number) AS remote_e164,
        -- Of an erased number only country and kind are left; a short one is no outside party's country.
        arg_min_null(remote_country, leg_number) FILTER (
            WHERE remote_e164 IS NOT NULL
            OR (remote_type NOT IN ('short', 'emergency') AND (remote_type <> 'unknown' OR remote_country IS NOT NULL))
        ) AS remote_country,
        -- A short or emergency number has a type and no E.164.
        coalesce(
            arg_min(remote_type, leg_number) FILTER (WHERE remote_e164 IS NOT NULL), arg_min(remote_type, leg_number)
        ) AS remote_type,
        CAST(count(*) AS INTEGER) AS legs,
        CAST(count(*) FILTER (WHERE answered IS NOT TRUE) AS INTEGER) AS attempts,
        coalesce(max(greatest(duration_seconds, 0)) FILTER (WHERE answered), 0) AS talk_seconds,
        sum(cost) AS cost,
        CAST(count(*) FILTER (WHERE cost IS NULL) AS INTEGER) AS unrated_legs,
        min(currency) AS currency,
        min(coalesce(currency, '')) = max(coalesce(currency, '')) AS one_currency
    FROM part
    GROUP BY call_id
)
SELECT
    call_id,
    vendor,
    connection,
    account_id,
    linked_id,
    started_at,
    call_date,
    direction,
    CASE telling
        WHEN 1 THEN 'answered'
        WHEN 2 THEN 'voicemail'
        WHEN 3 THEN 'busy'
        WHEN 4 THEN 'no_answer'
        WHEN 5 THEN 'cancelled'
        WHEN 6 THEN 'failed'
        ELSE 'unknown'
    END AS outcome,
    -- Who took an inbound call is who talked; who made a call is on its first leg.
    CASE WHEN direction = 'inbound' THEN coalesce(answering_extension, first_extension) ELSE first_extension END AS extension,
    remote_e164,
    remote_country,
    remote_type,
    legs,
    attempts,
    CASE
        WHEN legs = 1 THEN 'single'
        WHEN vendor <> 'pbxware' THEN 'linked_id'
        WHEN put_through THEN 'put_through'
        ELSE 'native_id'
    END AS linking,
    talk_seconds,
    -- Two currencies are never summed: such a call has no one cost. Its legs have theirs, and so has mart.cost_daily.
    CASE WHEN one_currency THEN cost END AS cost,
    unrated_legs,
    CASE WHEN one_currency THEN currency END AS currency
FROM whole
