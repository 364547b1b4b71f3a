-- Which Unique IDs are part of the call of another one: `put_through`, with the Unique ID of that call as `root`.
--
-- The legs of some Unique IDs all come from one of the PBX's own numbers that no extension has: a ring group, a queue,
-- an IVR. Such a number calls nobody by itself, so its legs belong to the call that was put through to it. That call is
-- known when the legs of exactly one other Unique ID to that number span them (within the second that rounding takes).

CREATE TEMP VIEW group_leg AS
SELECT c.account_id, native_id AS unique_id, raw_row, epoch(started_at)::BIGINT AS start,
    start + least(coalesce(duration_seconds, 0), 90000) AS until, f.from_group, t.routed_to_group,
    outcome = 'answered' AND to_kind = 'person' AS is_talk
FROM leg c
LEFT JOIN party f ON f.account_id = c.account_id AND f.text = coalesce(from_text, '') AND NOT f.called
LEFT JOIN party t ON t.account_id = c.account_id AND t.text = coalesce(to_text, '') AND t.called;

-- The Unique IDs whose legs all come from one group.
CREATE TEMP TABLE child AS
SELECT account_id, unique_id, min(from_group) AS from_group, min(start) AS start, max(until) AS until,
    bool_or(is_talk) AS is_talk
FROM group_leg SEMI JOIN (FROM group_leg WHERE from_group IS NOT NULL) AS from_a_group USING (account_id, unique_id)
GROUP BY account_id, unique_id HAVING count(from_group) = count(*) AND min(from_group) = max(from_group);

-- The legs to a group, once for every ten minutes that they touch, by which they are looked up; one of more than a day
-- ends after it here.
CREATE TEMP TABLE span AS
SELECT *, unnest(range(start // 600, until // 600 + 1)) AS ten_minutes
FROM group_leg WHERE routed_to_group IS NOT NULL;

CREATE TEMP TABLE put_through AS
WITH RECURSIVE parent AS (
    SELECT child.account_id, child.unique_id, min(span.unique_id) AS parent
    FROM child JOIN span ON span.account_id = child.account_id AND span.routed_to_group = child.from_group
        AND span.ten_minutes = child.start // 600 AND span.unique_id <> child.unique_id
        AND span.start <= child.start AND child.until <= span.until + 1
    GROUP BY ALL HAVING count(DISTINCT span.unique_id) = 1
), walk AS (
    SELECT account_id, unique_id, parent AS root, 1 AS depth FROM parent
    UNION ALL
    SELECT walk.account_id, walk.unique_id, parent.parent, depth + 1
    FROM walk JOIN parent ON parent.account_id = walk.account_id AND parent.unique_id = walk.root WHERE depth < 9
)
SELECT account_id, unique_id, arg_max(root, depth) AS root FROM walk GROUP BY ALL
HAVING max(depth) < 9;  -- else two are put through to each other, and neither was first

-- The legs to a group while somebody answered it for a caller who is not known: that may have been their caller, so
-- nobody knows whether a machine alone answered them.
CREATE TEMP TABLE unsure_who_answered AS
SELECT DISTINCT span.raw_row
FROM child ANTI JOIN put_through USING (account_id, unique_id)
JOIN span ON span.account_id = child.account_id AND span.routed_to_group = child.from_group
    AND span.ten_minutes = child.start // 600 AND child.start BETWEEN span.start AND span.until
WHERE child.is_talk;
