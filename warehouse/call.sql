-- One row per end-to-end call: the legs of `multi_leg`, put together as `linking` (the result of linking.sql) says, and
-- those legs of `leg` that are calls of their own.
WITH led AS (
    SELECT
        linking.call_row,
        coalesce(
            arg_min(multi_leg.direction, linking.leg_number) FILTER (
                WHERE multi_leg.direction IN ('inbound', 'outbound')
            ),
            min(multi_leg.direction) FILTER (WHERE multi_leg.direction = 'internal'),
            'unknown'
        ) AS call_direction,
        coalesce(bool_or(multi_leg.to_kind = 'person'), false) AS rang_a_person
    FROM linking
    JOIN multi_leg ON multi_leg.rowid = linking.leg_row
    GROUP BY linking.call_row
),
part AS (
    SELECT
        multi_leg.*,
        linking.call_row,
        linking.leg_number,
        led.call_direction,
        multi_leg.vendor = 'pbxware' AND multi_leg.native_id <> multi_leg.linked_id AS put_through,
        -- A group or an IVR made the leg: its extension is who took it, and not, as else, who made it.
        multi_leg.direction = 'internal' AND ends_with(multi_leg.to_number, multi_leg.extension)
            AND NOT ends_with(multi_leg.from_number, multi_leg.extension) AS taken,
        multi_leg.outcome = 'answered' AS answered,
        -- A machine that answers is nobody. Neither is a number of ours: who answered a call to it is told by the legs to
        -- telephones and outside numbers, and only where there are none by the number's own leg.
        multi_leg.outcome = 'answered'
            AND (multi_leg.to_kind = 'person' OR (multi_leg.to_kind IS DISTINCT FROM 'machine' AND NOT led.rang_a_person))
            AS by_person,
        ranked_outcome(multi_leg.outcome, multi_leg.to_kind, by_person) AS ranked_outcome,
        -- Smallest for the longest leg, and among equally long ones for the earliest.
        linking.leg_number
            - 1000000 * leg_seconds(multi_leg.duration_seconds) AS length_rank
    FROM linking
    JOIN multi_leg ON multi_leg.rowid = linking.leg_row
    JOIN led ON led.call_row = linking.call_row
),
-- The outside party is that of the legs of the call's own direction: where an inbound call was forwarded to belongs to the
-- leg by which it was.
whole AS (
    SELECT
        call_row,
        any_value(call_direction) AS direction,
        min(ranked_outcome) AS ranked_outcome,
        arg_min(extension, leg_number) AS first_extension,
        coalesce(
            arg_max(extension, leg_number) FILTER (WHERE by_person AND taken),
            arg_min(extension, length_rank) FILTER (WHERE by_person)
        ) AS answering_extension,
        coalesce(bool_or(put_through), false) AS put_through,
        arg_min(remote_e164, leg_number) FILTER (WHERE direction = call_direction) AS remote_e164,
        -- Of an erased number only country and kind are left; a short one is of no country.
        arg_min_null(remote_country, leg_number) FILTER (
            WHERE direction = call_direction
            AND (
                coalesce(remote_e164, remote_country) IS NOT NULL
                OR remote_type NOT IN ('short', 'emergency', 'unknown')
            )
        ) AS remote_country,
        -- A short or emergency number has a type and no E.164.
        coalesce(
            arg_min(remote_type, leg_number) FILTER (WHERE direction = call_direction AND remote_e164 IS NOT NULL),
            arg_min(remote_type, leg_number) FILTER (WHERE direction = call_direction)
        ) AS remote_type,
        CAST(count(*) AS INTEGER) AS legs,
        CAST(count(*) FILTER (WHERE direction = 'outbound') AS INTEGER) AS outbound_legs,
        coalesce(max(greatest(duration_seconds, 0)) FILTER (WHERE direction = 'outbound' AND answered), 0)
            AS outbound_seconds,
        CAST(count(*) FILTER (WHERE answered IS NOT TRUE) AS INTEGER) AS attempts,
        coalesce(max(greatest(duration_seconds, 0)) FILTER (WHERE by_person), 0) AS talk_seconds,
        sum(cost) AS cost,
        coalesce(bool_or(duration_seconds >= long_call_seconds()), false) AS is_long,
        CAST(count(*) FILTER (WHERE cost IS NULL) AS INTEGER) AS unrated_legs,
        min(currency) AS currency,
        count(currency) = 0 OR (count(currency) = count(*) AND min(currency) = max(currency)) AS one_currency
    FROM part
    GROUP BY call_row
)
SELECT
    first_leg.cdr_id AS call_id,
    first_leg.vendor,
    first_leg.connection,
    first_leg.account_id,
    first_leg.linked_id,
    first_leg.started_at,
    first_leg.call_date,
    whole.direction,
    whole.ranked_outcome[3:] AS outcome,
    -- Who took an inbound call is who talked; who made a call is on its first leg.
    CASE
        WHEN whole.direction = 'inbound' THEN coalesce(whole.answering_extension, whole.first_extension)
        ELSE whole.first_extension
    END AS extension,
    whole.remote_e164,
    whole.remote_country,
    whole.remote_type,
    whole.legs,
    whole.outbound_legs,
    whole.attempts,
    CASE
        WHEN whole.legs = 1 THEN 'single'
        WHEN first_leg.vendor <> 'pbxware' THEN 'linked_id'
        WHEN whole.put_through THEN 'put_through'
        ELSE 'native_id'
    END AS linking,
    whole.talk_seconds,
    whole.outbound_seconds,
    whole.is_long,
    -- Two currencies are never summed: such a call has no one cost. Its legs have theirs, and so has mart.cost_daily.
    CASE WHEN whole.one_currency THEN whole.cost END AS cost,
    whole.unrated_legs,
    CASE WHEN whole.one_currency THEN whole.currency END AS currency
FROM whole
JOIN multi_leg AS first_leg ON first_leg.rowid = whole.call_row
UNION ALL
-- The same, worked out for one leg.
SELECT
    cdr_id,
    vendor,
    connection,
    account_id,
    linked_id,
    started_at,
    call_date,
    CASE WHEN direction IN ('inbound', 'outbound', 'internal') THEN direction ELSE 'unknown' END,
    ranked_outcome(outcome, to_kind, outcome = 'answered' AND to_kind IS DISTINCT FROM 'machine')[3:],
    extension,
    remote_e164,
    remote_country,
    remote_type,
    1,
    CASE WHEN direction = 'outbound' THEN 1 ELSE 0 END,
    CASE WHEN outcome = 'answered' THEN 0 ELSE 1 END,
    'single',
    CASE
        WHEN outcome = 'answered' AND to_kind IS DISTINCT FROM 'machine' THEN greatest(coalesce(duration_seconds, 0), 0)
        ELSE 0
    END,
    CASE
        WHEN direction = 'outbound' AND outcome = 'answered' THEN greatest(coalesce(duration_seconds, 0), 0)
        ELSE 0
    END,
    coalesce(duration_seconds >= long_call_seconds(), false),
    cost,
    CASE WHEN cost IS NULL THEN 1 ELSE 0 END,
    currency
FROM leg
ANTI JOIN multi_leg_key ON multi_leg_key.link_hash = leg.link_hash
