-- One row per TIM4biz connection, day and extension: TIM4biz against the PBX's own calls.
-- `call_date` is the business day. Made of the calls, and of the totals that TIM4biz states.
--
-- Only days that the TIM4biz connection has loaded: one it has not loaded is not one on which it saw nothing. Where it
-- watches several PBXs, their calls of an extension are taken together and pbx_connection names each.
WITH ours AS (
    SELECT
        pair.connection,
        call.call_date,
        call.extension,
        string_agg(DISTINCT call.connection, ', ' ORDER BY call.connection) AS pbx_connection,
        count(*) AS calls,
        CAST(sum(call.talk_seconds) AS BIGINT) AS seconds,
        CASE WHEN count(DISTINCT call.currency) <= 1 THEN CAST(sum(call.cost) AS DECIMAL(18, 6)) END AS cost,
        CASE WHEN count(DISTINCT call.currency) = 1 THEN min(call.currency) END AS currency
    FROM core.call AS call
    JOIN reconciliation_pair AS pair ON pair.pbx_connection = call.connection
    JOIN reconciliation_day AS loaded ON loaded.connection = pair.connection AND loaded.call_date = call.call_date
    WHERE call.extension IS NOT NULL AND in_reconciled_days(call.call_date)
    GROUP BY pair.connection, call.call_date, call.extension
),
theirs AS (
    SELECT connection, total_date AS call_date, extension, calls, duration_seconds AS seconds, cost, currency
    FROM core.extension_total
    WHERE in_reconciled_days(total_date)
),
paired AS (
    SELECT
        coalesce(theirs.call_date, ours.call_date) AS call_date,
        coalesce(theirs.connection, ours.connection) AS connection,
        ours.pbx_connection,
        coalesce(theirs.extension, ours.extension) AS extension,
        ours.calls AS our_calls,
        theirs.calls AS their_calls,
        ours.seconds AS our_seconds,
        theirs.seconds AS their_seconds,
        ours.cost AS our_cost,
        theirs.cost AS their_cost,
        coalesce(theirs.currency, ours.currency) AS currency,
        -- Amounts in two currencies are not compared at all.
        coalesce(theirs.currency = ours.currency, theirs.cost IS NULL) AS comparable,
        theirs.connection IS NULL AS only_ours,
        ours.connection IS NULL AS only_theirs
    FROM theirs
    FULL OUTER JOIN ours
        ON ours.connection = theirs.connection
        AND ours.call_date = theirs.call_date
        AND ours.extension = theirs.extension
),
compared AS (
    SELECT
        *,
        our_calls - their_calls AS calls_difference,
        our_seconds - their_seconds AS seconds_difference,
        CASE WHEN comparable THEN CAST(our_cost - their_cost AS DECIMAL(18, 6)) END AS cost_difference
    FROM paired
)
SELECT
    call_date,
    compared.connection,
    pbx_connection,
    extension,
    our_calls,
    their_calls,
    calls_difference,
    our_seconds,
    their_seconds,
    seconds_difference,
    our_cost,
    their_cost,
    cost_difference,
    currency,
    -- What TIM4biz does not say is not compared, and without its calls and seconds nothing is shown to be right; a cost of
    -- theirs beside calls of ours that are unrated is a mismatch.
    CASE
        WHEN only_ours THEN 'only_ours'
        WHEN only_theirs THEN 'only_theirs'
        WHEN (their_calls IS NULL OR calls_difference = 0)
            AND (their_seconds IS NULL OR seconds_difference = 0)
            AND (NOT comparable OR their_cost IS NULL OR coalesce(cost_difference = 0, false))
            THEN CASE WHEN their_calls IS NULL OR their_seconds IS NULL THEN 'not_compared' ELSE 'exact' END
        WHEN (their_calls IS NULL OR calls_difference = 0)
            AND (
                their_seconds IS NULL
                OR abs(seconds_difference) <= tolerance.seconds_per_call * our_calls
                OR abs(seconds_difference) * 100 <= tolerance.seconds_percent * their_seconds
            )
            AND (
                NOT comparable
                OR their_cost IS NULL
                OR coalesce(
                    CAST(abs(cost_difference) AS DECIMAL(24, 6)) * 100
                    <= CAST(tolerance.cost_percent AS DECIMAL(9, 3)) * CAST(abs(their_cost) AS DECIMAL(24, 6)),
                    false
                )
            )
            THEN CASE
                WHEN their_calls IS NULL OR their_seconds IS NULL THEN 'not_compared' ELSE 'within_tolerance'
            END
        ELSE 'mismatch'
    END AS class
FROM compared
JOIN tolerance ON tolerance.connection = compared.connection
