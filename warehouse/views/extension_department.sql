-- One row per account and extension that is in a department: the one that its calls are charged to.
--
-- One department for a number, though a telephone and a mailbox may both have it: the telephone's.
SELECT
    connection,
    account_id,
    extension,
    arg_min(department, (CASE WHEN type = 'phone' THEN 0 ELSE 1 END, type, extension_id)) AS department
FROM core.extension
WHERE department IS NOT NULL
GROUP BY connection, account_id, extension
