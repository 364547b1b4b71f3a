-- One row per leg of the calls of `apart_call`: those whose legs are not all of one business day and one currency.
SELECT
    call_leg.call_id,
    call_leg.call_date,
    call_leg.leg_date,
    call_leg.leg_number,
    leg.currency,
    leg.cost
FROM apart_call
JOIN core.call_leg AS call_leg ON call_leg.call_id = apart_call.call_id AND call_leg.call_date = apart_call.call_date
JOIN core.cdr AS leg ON leg.cdr_id = call_leg.cdr_id AND leg.call_date = call_leg.leg_date
WHERE near_apart(call_leg.call_date) AND near_apart(call_leg.leg_date) AND near_apart(leg.call_date)
