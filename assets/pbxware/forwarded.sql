-- The legs by which the PBX forwarded a call of ours: `forwarded`, with the Unique ID of that call and the extension.
--
-- Such a leg goes from one outside party to another. It belongs to the call of its Unique ID's other legs, where it has
-- any; else to one that the same caller had come in by, and whose leg spans it; only where none does, to one that had
-- begun and not ended when it began. Where that is one call, the leg belongs to it. Where one telephone of ours is all
-- that the call and its like led to, the leg is that telephone's.

-- The legs from one outside party to another: few.
CREATE TEMP TABLE outside_leg AS
SELECT c.account_id, native_id AS unique_id, raw_row, outcome, cost, epoch(started_at)::BIGINT AS start,
    start + coalesce(duration_seconds, 0) AS until, coalesce(from_e164, from_number, '') AS caller,
    t.e164, t.country, t.type
FROM leg c
JOIN party f ON f.account_id = c.account_id AND f.text = coalesce(from_text, '') AND NOT f.called
JOIN party t ON t.account_id = c.account_id AND t.text = coalesce(to_text, '') AND t.called
WHERE direction = 'unknown' AND f.kind IN ('outside', 'withheld') AND t.kind = 'outside';

CREATE TEMP TABLE forwarded AS
WITH attempt AS (
    SELECT account_id, unique_id, min(start) AS start, max(until) AS until,
        CASE WHEN min(caller) = max(caller) THEN min(caller) END AS caller
    FROM outside_leg GROUP BY ALL
), own_leg AS (
    SELECT c.account_id, coalesce(p.root, native_id) AS call, direction, epoch(started_at)::BIGINT AS start,
        start + least(coalesce(duration_seconds, 0), 90000) AS until,
        coalesce(from_e164, from_number, '') AS caller,
        CASE WHEN t.who <> 'machine' THEN t.extension END AS to_telephone,
        CASE WHEN f.who <> 'machine' THEN f.extension END AS from_telephone
    FROM leg c
    LEFT JOIN put_through p ON p.account_id = c.account_id AND p.unique_id = native_id
    LEFT JOIN party f ON f.account_id = c.account_id AND f.text = coalesce(from_text, '') AND NOT f.called
    LEFT JOIN party t ON t.account_id = c.account_id AND t.text = coalesce(to_text, '') AND t.called
    WHERE direction <> 'unknown'
), of_own_id AS (
    SELECT account_id, unique_id, unique_id AS call, true AS spans FROM attempt
    SEMI JOIN own_leg ON own_leg.account_id = attempt.account_id AND own_leg.call = attempt.unique_id
), candidate AS (
    FROM of_own_id
    UNION
    SELECT attempt.account_id, attempt.unique_id, own_leg.call, bool_or(attempt.until <= own_leg.until + 1)
    FROM attempt ANTI JOIN of_own_id USING (account_id, unique_id)
    JOIN own_leg ON own_leg.account_id = attempt.account_id AND own_leg.caller = attempt.caller
        AND own_leg.direction = 'inbound' AND attempt.start BETWEEN own_leg.start AND own_leg.until
    GROUP BY ALL
), origin AS (
    FROM candidate QUALIFY spans OR NOT bool_or(spans) OVER (PARTITION BY account_id, unique_id)
), telephone AS (
    SELECT account_id, call, unnest([to_telephone, from_telephone]) AS extension
    FROM own_leg SEMI JOIN origin USING (account_id, call)
), owner AS (
    SELECT account_id, call, CASE WHEN min(extension) = max(extension) THEN min(extension) END AS extension
    FROM telephone GROUP BY ALL
), resolved AS (
    SELECT account_id, unique_id, CASE WHEN count(*) = 1 THEN min(call) END AS call,
        CASE WHEN count(extension) = count(*) AND min(extension) = max(extension) THEN min(extension) END AS extension
    FROM origin JOIN owner USING (account_id, call) GROUP BY ALL
)
SELECT raw_row, account_id, unique_id, call, extension, e164, country, type, outcome, cost
FROM outside_leg JOIN resolved USING (account_id, unique_id);
