-- One row per leg of `leg`: the call it belongs to, and the business days of both.
--
-- Those of `multi_leg` as `linking` (the result of linking.sql) says; the others, whose link is not in `multi_leg_key`, are
-- calls of their own.
SELECT
    leg.cdr_id,
    first_leg.cdr_id AS call_id,
    first_leg.call_date,
    linking.leg_number,
    leg.call_date AS leg_date
FROM linking
JOIN multi_leg AS leg ON leg.rowid = linking.leg_row
JOIN multi_leg AS first_leg ON first_leg.rowid = linking.call_row
UNION ALL
SELECT cdr_id, cdr_id, call_date, 1, call_date
FROM leg
ANTI JOIN multi_leg_key ON multi_leg_key.link_hash = leg.link_hash
