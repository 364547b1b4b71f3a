-- One row per account and country: the day of its first call there, ever, and of its first call at all.
--
-- Read from the months' destinations: a few rows a month, however many calls there were.
SELECT
    connection,
    account_id,
    destination_country AS country,
    min(first_date) AS first_date,
    min(min(first_date)) OVER (PARTITION BY connection, account_id) AS since
FROM mart.destination_monthly
GROUP BY connection, account_id, destination_country
