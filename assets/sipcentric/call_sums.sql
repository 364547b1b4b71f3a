-- By account, the different calls that started in [$start, $end): number, cost, seconds; of one that was read several
-- times the newest. Without $local only those that are not within the account.
WITH counted AS (
    FROM call_read WHERE understood AND ($local OR NOT local) AND started >= $start AND started < $end
), different AS (
    SELECT account_id, amount, seconds FROM counted ANTI JOIN repeated USING (account_id, uri)
    UNION ALL
    SELECT account_id, amount, seconds FROM counted SEMI JOIN repeated USING (account_id, uri)
    QUALIFY row_number() OVER (PARTITION BY account_id, uri ORDER BY fetched_at DESC, raw_row DESC) = 1
)
SELECT account_id, count(*), sum(amount), sum(seconds) FROM different GROUP BY account_id
