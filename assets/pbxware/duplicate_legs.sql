-- Of the rows that are alike in what identifies a leg, those that get another id or number: all but the first of each
-- identity, in an order that does not depend on the order of the responses.
SELECT raw_row, CASE WHEN rank = 1 THEN identity ELSE md5(identity || '#' || rank) END, occurrence
FROM (
    SELECT *, row_number() OVER (PARTITION BY identity ORDER BY amount NULLS FIRST, rest, raw_row) AS rank,
        row_number() OVER (PARTITION BY identity, rest ORDER BY raw_row) AS occurrence
    FROM duplicate_leg
) WHERE rank > 1 OR occurrence > 1
