-- The rows of call records of the responses in `response`, one a record: cells by name, whatever order each response
-- has them in, and in `problem` what cannot be understood. Kept is only what is read again: one more column takes a
-- fortieth of the time of all the rest.
--
-- $columns: our name of each column by the vendor's. $single: the account of a PBX that is not in tenant mode.
-- $duplicates: whether `rest` is wanted, which tells legs apart that are alike in what identifies them.
CREATE OR REPLACE TEMP TABLE parsed AS
WITH page AS (
    SELECT page, coalesce(account_id, $single) AS account_id, first_row, fetched_at,
        epoch(strptime(request->>'start' || (request->>'starttime'), '%b-%d-%Y%H:%M:%S'))::BIGINT AS first_second,
        epoch(strptime(request->>'end' || (request->>'endtime'), '%b-%d-%Y%H:%M:%S'))::BIGINT AS last_second,
        from_json(body, '{"header":["VARCHAR"],"csv":[["VARCHAR"]]}') AS response
    FROM response WHERE kind = 'cdr.download' AND rows > 0
), named AS (
    SELECT page, account_id, first_row, fetched_at, first_second, last_second, response.csv AS csv,
        to_json(coalesce(response.header, []))::VARCHAR AS header, len(response.header) AS width,
        list_transform(response.header, lambda name: $columns[lower(trim(name))]) AS names
    FROM page
), placed AS (
    SELECT * EXCLUDE (names),
        list_position(names, 'from_text') AS from_text_at, list_position(names, 'to_text') AS to_text_at,
        list_position(names, 'started') AS started_at, list_position(names, 'duration') AS duration_at,
        list_position(names, 'rated') AS rated_at, list_position(names, 'cost') AS cost_at,
        list_position(names, 'status') AS status_at, list_position(names, 'unique_id') AS unique_id_at,
        list_position(names, 'recording_path') AS recording_path_at, list_position(names, 'recording') AS recording_at,
        list_position(names, 'location') AS location_at, list_position(names, 'mos') AS mos_at
    FROM named
), cell AS (
    -- Unnested side by side: a join with the page would hold the whole page once for every row of it.
    SELECT placed.* EXCLUDE (csv), first_row + unnest(range(len(csv))) AS raw_row, unnest(csv) AS cells FROM placed
), split AS (
    SELECT page, account_id, fetched_at, first_second, last_second, raw_row, width, len(cells) AS found,
        CASE WHEN raw_row = first_row THEN header END AS header,  -- once a response
        cells[from_text_at] AS from_text, cells[to_text_at] AS to_text, cells[started_at] AS started,
        cells[duration_at] AS duration, cells[rated_at] AS rated, cells[cost_at] AS cost, cells[status_at] AS status,
        cells[unique_id_at] AS unique_id, cells[recording_path_at] AS recording_path,
        cells[recording_at] AS recording, cells[location_at] AS location, cells[mos_at] AS mos
    FROM cell
)
SELECT page, account_id, fetched_at, raw_row, header, amount_of(trim(cost)) AS amount,
    from_text, to_text, status, unique_id, mos, recording,
    try_cast(started AS BIGINT) AS second, try_cast(nullif(duration, '') AS BIGINT) AS seconds,
    try_cast(nullif(rated, '') AS BIGINT) AS rated_seconds,
    CASE WHEN $duplicates THEN
        concat_ws(chr(31), coalesce(amount::VARCHAR, ''), coalesce(rated, ''), coalesce(recording_path, ''),
            coalesce(recording, ''), coalesce(location, ''), coalesce(mos, '')) END AS rest,
    CASE
        WHEN found IS NULL THEN 'the row is not a list of cells'
        WHEN found <> width THEN 'the row has ' || found || ' cells, the header ' || width
        WHEN NOT coalesce(regexp_full_match(started, '[0-9]{1,10}'), false) THEN 'Date/Time is not a time'
        WHEN coalesce(unique_id, '') = '' THEN 'there is no Unique ID'
        WHEN NOT regexp_full_match(coalesce(duration, ''), '[0-9]{0,8}')
            THEN 'the duration is not a number of seconds'
        WHEN NOT regexp_full_match(coalesce(rated, ''), '[0-9]{0,8}')
            THEN 'the rated duration is not a number of seconds'
        WHEN coalesce(trim(cost), '') <> '' AND amount IS NULL THEN 'the cost is not an amount'
    END AS problem,
    problem IS NULL AND NOT second BETWEEN first_second AND last_second AS outside,
    CASE WHEN problem IS NULL AND NOT outside THEN
        md5(concat_ws(chr(31), $connection, account_id, coalesce(from_text, ''), coalesce(to_text, ''), started,
            coalesce(duration, ''), coalesce(status, ''), unique_id)) END AS identity
FROM split
