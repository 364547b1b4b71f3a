-- The unit of TIM4biz's durations where nothing in its replies says it: that of the PBX's calls of the same day.
--
-- Kept for each connection and day whose calls or totals changed. Only extensions count of which both saw as many calls
-- (where TIM4biz says how many). A unit is found where their durations in it are at least half and at most double the
-- calls' seconds: the units are sixty times apart. Before the marts, since they read what comes of it.
DELETE FROM meta.duration_unit WHERE in_unit_days(call_date);

INSERT INTO meta.duration_unit
WITH ours AS (
    SELECT
        pair.connection,
        call.call_date,
        call.extension,
        count(*) AS calls,
        CAST(sum(call.talk_seconds) AS BIGINT) AS seconds
    FROM core.call AS call
    JOIN reconciliation_pair AS pair ON pair.pbx_connection = call.connection
    WHERE call.extension IS NOT NULL AND in_unit_days(call.call_date)
    GROUP BY pair.connection, call.call_date, call.extension
),
compared AS (
    SELECT
        ours.connection,
        ours.call_date,
        CAST(sum(ours.seconds) AS DECIMAL(24, 6)) AS seconds,
        CAST(sum(theirs.duration_figure) AS DECIMAL(24, 6)) AS figure
    FROM ours
    JOIN core.extension_total AS theirs
        ON theirs.connection = ours.connection
        AND theirs.total_date = ours.call_date
        AND theirs.extension = ours.extension
    WHERE in_unit_days(theirs.total_date)
        AND theirs.duration_figure > 0
        AND ours.seconds > 0
        AND coalesce(theirs.calls = ours.calls, true)
    GROUP BY ours.connection, ours.call_date
)
SELECT connection, call_date, unit
FROM compared
JOIN (SELECT CAST(unnest([1, 60, 3600]) AS DECIMAL(4, 0)) AS unit) AS known
    ON 2 * seconds BETWEEN figure * unit AND 4 * (figure * unit);

-- A day whose calls tell no unit has the one that all other days of the connection have. Without any, whole numbers are
-- seconds, as the vendor's documents have it, unless the connection gives fractions as well.
CREATE OR REPLACE TEMP TABLE total_seconds AS
WITH usual AS (
    SELECT connection, min(unit) AS unit, count(DISTINCT unit) > 1 AS is_mixed FROM meta.duration_unit GROUP BY connection
),
fractional AS (
    SELECT DISTINCT connection FROM core.extension_total WHERE duration_figure <> trunc(duration_figure)
)
SELECT
    total.connection,
    total.total_date,
    total.extension,
    CASE
        WHEN total.duration_figure = 0 THEN 0
        ELSE CAST(
            round(
                total.duration_figure * CASE
                    WHEN found.unit IS NOT NULL THEN found.unit
                    WHEN usual.unit IS NOT NULL THEN CASE WHEN NOT usual.is_mixed THEN usual.unit END
                    WHEN fractional.connection IS NULL THEN CAST(1 AS DECIMAL(4, 0))
                END
            ) AS BIGINT
        )
    END AS seconds
FROM core.extension_total AS total
LEFT JOIN meta.duration_unit AS found
    ON found.connection = total.connection AND found.call_date = total.total_date
LEFT JOIN usual ON usual.connection = total.connection
LEFT JOIN fractional ON fractional.connection = total.connection
WHERE total.duration_figure IS NOT NULL;

DELETE FROM total_seconds
USING core.extension_total AS total
WHERE total.connection = total_seconds.connection
    AND total.total_date = total_seconds.total_date
    AND total.extension = total_seconds.extension
    AND total.duration_seconds IS NOT DISTINCT FROM total_seconds.seconds;

UPDATE core.extension_total AS total
SET duration_seconds = changed.seconds
FROM total_seconds AS changed
WHERE total.connection = changed.connection
    AND total.total_date = changed.total_date
    AND total.extension = changed.extension;
