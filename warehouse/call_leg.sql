-- One row per leg of `leg`: the call it belongs to, and the business days of both.
--
-- Those of `several` as `linking` (the result of linking.sql) says; the others, whose link is not in `shared_link`, are
-- calls of their own.
SELECT
    leg.cdr_id,
    first_leg.cdr_id AS call_id,
    first_leg.call_date,
    linking.leg_number,
    leg.call_date AS leg_date
FROM linking
JOIN several AS leg ON leg.rowid = linking.leg_row
JOIN several AS first_leg ON first_leg.rowid = linking.call_row
UNION ALL
SELECT cdr_id, cdr_id, call_date, 1, call_date
FROM leg
ANTI JOIN shared_link ON shared_link.link = leg.link
