"""The call records of PBXware as legs of ``core.cdr``.

What lives here: reading a landing of call records batch by batch, the direction and outcome of each leg, legs that are
alike, and the legs by which the PBX put a call through or forwarded it. What does not: the names of columns
(``columns``), who a party is (``parties``), the PBX's own figures (``controls``), and calls put together from legs
(``warehouse``).
"""

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.controls import quarantined
from assets.http import strict_json
from assets.load import Normalised, Source
from assets.pbxware.columns import CELLS, COLUMNS, OUTCOME_OF, check_headers
from assets.pbxware.controls import CDRS, Tally, add_certain, add_legs, add_to, controls_of
from assets.pbxware.directory import LISTS, SINGLE, read_directory
from assets.pbxware.parties import party_table
from warehouse.lake import CoreWriter, Landing, StagedFile, make_folder
from warehouse.money import amount_sql
from warehouse.restate import Changes, as_landed, with_values
from warehouse.schema import CDR, MONEY

COLUMN_MAP = "MAP " + str(COLUMNS)


_OUTCOMES = f"""CASE status WHEN 'Answered' THEN 'answered' WHEN 'Not Answered' THEN 'no_answer'  -- as nearly always
    ELSE coalesce(MAP {OUTCOME_OF}[regexp_replace(upper(coalesce(status, '')), '[^A-Z]', '', 'g')], 'unknown') END"""


# DuckDB hands out a JSON number only as exactly as a double holds it, which is 15 digits.
_LONG_NUMBER = r"[,\[]\s*[+-]?[0-9.]{16}"


def _long_numbers_as_text(responses: pa.Table) -> pa.Table:
    """The responses, with all cells as text in those that hold a number longer than DuckDB reads exactly."""
    long = pc.match_substring_regex(responses["body"], _LONG_NUMBER).to_pylist()
    if not any(long):
        return responses
    bodies = [
        _cells_as_text(body) if found and kind == "cdr.download" else body
        for body, kind, found in zip(responses["body"].to_pylist(), responses["kind"].to_pylist(), long, strict=True)
    ]
    place = responses.schema.get_field_index("body")
    return responses.set_column(place, responses.schema.field(place), pa.array(bodies, responses["body"].type))


def _cells_as_text(body: str) -> str:
    data = strict_json.loads(body)
    return json.dumps(data | {"csv": [_as_text(row) for row in data["csv"]]}, default=str)


def _as_text(row: Any) -> Any:
    if not isinstance(row, list):
        return row
    return [str(cell) if isinstance(cell, (int, Decimal)) and not isinstance(cell, bool) else cell for cell in row]


# Cells by name, whatever order each response has them in; what cannot be understood is named in ``problem``.
# Only what is read again is kept: a column more takes as long as a fortieth of the rest.
_PARSED = f"""
CREATE OR REPLACE TEMP TABLE parsed AS
WITH page AS (
    SELECT page, coalesce(account_id, '{SINGLE}') AS account_id, first_row, fetched_at,
        epoch(strptime(request->>'start' || (request->>'starttime'), '%b-%d-%Y%H:%M:%S'))::BIGINT AS first_second,
        epoch(strptime(request->>'end' || (request->>'endtime'), '%b-%d-%Y%H:%M:%S'))::BIGINT AS last_second,
        from_json(body, '{{"header":["VARCHAR"],"csv":[["VARCHAR"]]}}') AS response
    FROM response WHERE kind = 'cdr.download' AND rows > 0
), named AS (
    SELECT page, account_id, first_row, fetched_at, first_second, last_second, response.csv AS csv,
        to_json(coalesce(response.header, []))::VARCHAR AS header, len(response.header) AS width,
        list_transform(response.header, lambda name: {COLUMN_MAP}[lower(trim(name))]) AS names
    FROM page
), placed AS (
    SELECT * EXCLUDE (names), {", ".join(f"list_position(names, '{name}') AS {name}_at" for name in CELLS)} FROM named
), cell AS (
    -- Unnested side by side: a join with the page would hold the whole page once for every row of it.
    SELECT placed.* EXCLUDE (csv), first_row + unnest(range(len(csv))) AS raw_row, unnest(csv) AS cells FROM placed
), split AS (
    SELECT page, account_id, fetched_at, first_second, last_second, raw_row, width, len(cells) AS found,
        CASE WHEN raw_row = first_row THEN header END AS header,  -- once a response
        {", ".join(f"cells[{name}_at] AS {name}" for name in CELLS)}
    FROM cell
)
SELECT page, account_id, fetched_at, raw_row, header, {amount_sql("trim(cost)")} AS amount,
    from_text, to_text, status, unique_id, mos, recording,
    try_cast(started AS BIGINT) AS second, try_cast(nullif(duration, '') AS BIGINT) AS seconds,
    try_cast(nullif(rated, '') AS BIGINT) AS rated_seconds,
    CASE WHEN $duplicates THEN
        concat_ws(chr(31), coalesce(amount::VARCHAR, ''), coalesce(rated, ''), coalesce(recording_path, ''),
            coalesce(recording, ''), coalesce(location, ''), coalesce(mos, '')) END AS rest, CASE
    WHEN found IS NULL THEN 'the row is not a list of cells'
    WHEN found <> width THEN 'the row has ' || found || ' cells, the header ' || width
    WHEN NOT coalesce(regexp_full_match(started, '[0-9]{{1,10}}'), false) THEN 'Date/Time is not a time'
    WHEN coalesce(unique_id, '') = '' THEN 'there is no Unique ID'
    WHEN NOT regexp_full_match(coalesce(duration, ''), '[0-9]{{0,8}}') THEN 'the duration is not a number of seconds'
    WHEN NOT regexp_full_match(coalesce(rated, ''), '[0-9]{{0,8}}') THEN 'the rated duration is not a number of seconds'
    WHEN coalesce(trim(cost), '') <> '' AND amount IS NULL THEN 'the cost is not an amount'
    END AS problem,
    problem IS NULL AND NOT second BETWEEN first_second AND last_second AS outside,
    CASE WHEN problem IS NULL AND NOT outside THEN
        md5(concat_ws(chr(31), $connection, account_id, coalesce(from_text, ''), coalesce(to_text, ''), started,
            coalesce(duration, ''), coalesce(status, ''), unique_id)) END AS identity
FROM split
"""

# The Unique IDs whose legs all come from one of the PBX's own numbers that no extension has: a ring group, a queue, an
# IVR. Such a number calls nobody by itself, so its legs belong to the call that was put through to it, which is told
# when the legs of exactly one other Unique ID to that number span them (within the second that rounding takes). Spans
# are looked up by the stretches of ten minutes that they touch; one of more than a day ends after it here.
_LEG_OF_A_GROUP = """
    SELECT c.account_id, native_id AS unique_id, raw_row, epoch(started_at)::BIGINT AS start,
        start + least(coalesce(duration_seconds, 0), 90000) AS until, f.from_group, t.routed_to_group,
        outcome = 'answered' AND to_kind = 'person' AS is_talk
    FROM read_parquet($legs) c
    LEFT JOIN party f ON f.account_id = c.account_id AND f.text = coalesce(from_text, '') AND NOT f.called
    LEFT JOIN party t ON t.account_id = c.account_id AND t.text = coalesce(to_text, '') AND t.called
"""
_CHILDREN = f"""
CREATE OR REPLACE TEMP TABLE child AS
WITH leg AS ({_LEG_OF_A_GROUP})
SELECT account_id, unique_id, min(from_group) AS from_group, min(start) AS start, max(until) AS until,
    bool_or(is_talk) AS is_talk
FROM leg SEMI JOIN (FROM leg WHERE from_group IS NOT NULL) AS made USING (account_id, unique_id)
GROUP BY account_id, unique_id HAVING count(from_group) = count(*) AND min(from_group) = max(from_group)
"""
_SPANS = f"""
CREATE OR REPLACE TEMP TABLE span AS
SELECT *, unnest(range(start // 600, until // 600 + 1)) AS stretch
FROM ({_LEG_OF_A_GROUP}) WHERE routed_to_group IS NOT NULL
"""
_PUT_THROUGH = """
CREATE OR REPLACE TEMP TABLE put_through AS
WITH RECURSIVE parent AS (
    SELECT child.account_id, child.unique_id, min(span.unique_id) AS parent
    FROM child JOIN span ON span.account_id = child.account_id AND span.routed_to_group = child.from_group
        AND span.stretch = child.start // 600 AND span.unique_id <> child.unique_id
        AND span.start <= child.start AND child.until <= span.until + 1
    GROUP BY ALL HAVING count(DISTINCT span.unique_id) = 1
), walk AS (
    SELECT account_id, unique_id, parent AS root, 1 AS depth FROM parent
    UNION ALL
    SELECT walk.account_id, walk.unique_id, parent.parent, depth + 1
    FROM walk JOIN parent ON parent.account_id = walk.account_id AND parent.unique_id = walk.root WHERE depth < 9
)
SELECT account_id, unique_id, arg_max(root, depth) AS root FROM walk GROUP BY ALL
HAVING max(depth) < 9  -- else two put through to each other, and neither was first
"""
# The legs to a group while somebody answered it for a caller who could not be told: that may have been theirs, so that
# it is not known whether it was a machine alone that answered them.
_UNKNOWN_LINK = """
SELECT DISTINCT span.raw_row, NULL
FROM child ANTI JOIN put_through USING (account_id, unique_id)
JOIN span ON span.account_id = child.account_id AND span.routed_to_group = child.from_group
    AND span.stretch = child.start // 600 AND child.start BETWEEN span.start AND span.until
WHERE child.is_talk
"""
_NONE_PUT_THROUGH = "CREATE OR REPLACE TEMP TABLE put_through (account_id VARCHAR, unique_id VARCHAR, root VARCHAR)"

# The legs from one outside party to another: few.
_OUTSIDE_TO_OUTSIDE = """
CREATE OR REPLACE TEMP TABLE sent AS
SELECT c.account_id, native_id AS unique_id, raw_row, outcome, cost, epoch(started_at)::BIGINT AS start,
    start + coalesce(duration_seconds, 0) AS until, coalesce(from_e164, from_number, '') AS caller,
    t.e164, t.country, t.type
FROM read_parquet($legs) c
JOIN party f ON f.account_id = c.account_id AND f.text = coalesce(from_text, '') AND NOT f.called
JOIN party t ON t.account_id = c.account_id AND t.text = coalesce(to_text, '') AND t.called
WHERE direction = 'unknown' AND f.kind IN ('outside', 'withheld') AND t.kind = 'outside'
"""
# Those of them by which the PBX forwarded a call of ours: one with other legs of their Unique ID, which say so, or else
# one that the same caller had come in by, and whose leg spans them; only where none does, one that had begun and not
# ended when they began. Where that is one call they belong to it, and where one telephone of ours is all that it and
# its like led to, they are that telephone's.
_FORWARDED = """
CREATE OR REPLACE TEMP TABLE forwarded AS
WITH attempt AS (
    SELECT account_id, unique_id, min(start) AS start, max(until) AS until,
        CASE WHEN min(caller) = max(caller) THEN min(caller) END AS caller
    FROM sent GROUP BY ALL
), leg AS (
    SELECT c.account_id, coalesce(p.root, native_id) AS call, direction, epoch(started_at)::BIGINT AS start,
        start + least(coalesce(duration_seconds, 0), 90000) AS until,
        coalesce(from_e164, from_number, '') AS caller,
        CASE WHEN t.who <> 'machine' THEN t.extension END AS to_telephone,
        CASE WHEN f.who <> 'machine' THEN f.extension END AS from_telephone
    FROM read_parquet($legs) c
    LEFT JOIN put_through p ON p.account_id = c.account_id AND p.unique_id = native_id
    LEFT JOIN party f ON f.account_id = c.account_id AND f.text = coalesce(from_text, '') AND NOT f.called
    LEFT JOIN party t ON t.account_id = c.account_id AND t.text = coalesce(to_text, '') AND t.called
    WHERE direction <> 'unknown'
), of_own_id AS (
    SELECT account_id, unique_id, unique_id AS call, true AS spans FROM attempt
    SEMI JOIN leg ON leg.account_id = attempt.account_id AND leg.call = attempt.unique_id
), candidate AS (
    FROM of_own_id
    UNION
    SELECT attempt.account_id, attempt.unique_id, leg.call, bool_or(attempt.until <= leg.until + 1)
    FROM attempt ANTI JOIN of_own_id USING (account_id, unique_id)
    JOIN leg ON leg.account_id = attempt.account_id AND leg.caller = attempt.caller AND leg.direction = 'inbound'
        AND attempt.start BETWEEN leg.start AND leg.until
    GROUP BY ALL
), origin AS (
    FROM candidate QUALIFY spans OR NOT bool_or(spans) OVER (PARTITION BY account_id, unique_id)
), telephone AS (
    SELECT account_id, call, unnest([to_telephone, from_telephone]) AS extension
    FROM leg SEMI JOIN origin USING (account_id, call)
), owner AS (
    SELECT account_id, call, CASE WHEN min(extension) = max(extension) THEN min(extension) END AS extension
    FROM telephone GROUP BY ALL
), told AS (
    SELECT account_id, unique_id, CASE WHEN count(*) = 1 THEN min(call) END AS call,
        CASE WHEN count(extension) = count(*) AND min(extension) = max(extension) THEN min(extension) END AS extension
    FROM origin JOIN owner USING (account_id, call) GROUP BY ALL
)
SELECT raw_row, account_id, unique_id, call, extension, e164, country, type, outcome, cost
FROM sent JOIN told USING (account_id, unique_id)
"""

# The rows that are alike in what identifies a leg, told apart by the rest: all but the first have another id or number.
_DUPLICATE_LEGS = """
INSERT INTO duplicate_leg SELECT identity, raw_row, amount, rest FROM parsed SEMI JOIN duplicates USING (raw_row)
"""
_RANKED = """
SELECT raw_row, CASE WHEN rank = 1 THEN identity ELSE md5(identity || '#' || rank) END, occurrence
FROM (
    SELECT *, row_number() OVER (PARTITION BY identity ORDER BY amount NULLS FIRST, rest, raw_row) AS rank,
        row_number() OVER (PARTITION BY identity, rest ORDER BY raw_row) AS occurrence
    FROM duplicate_leg
) WHERE rank > 1 OR occurrence > 1
"""

_NEW_TEXTS = """
FROM (
    SELECT account_id, coalesce(from_text, '') AS text, false AS called FROM parsed WHERE problem IS NULL
    UNION SELECT account_id, coalesce(to_text, ''), true FROM parsed WHERE problem IS NULL
) ANTI JOIN party USING (account_id, text, called)
"""

# As if no two were alike and none was put through or forwarded: of these there are few.
_CDRS = f"""
WITH placed AS (
    SELECT n.*, coalesce(f.currency, 'XXX') AS currency,
        f.name AS from_name, f.number AS from_number, f.e164 AS from_e164,
        t.name AS to_name, t.number AS to_number, t.e164 AS to_e164, t.who AS to_kind,
        CASE
            WHEN f.kind = 'own' AND t.kind IN ('own', 'feature') THEN 'internal'
            WHEN f.kind IN ('own', 'did') AND t.kind = 'outside' THEN 'outbound'
            WHEN f.kind = 'own' AND t.kind = 'did' THEN 'internal'
            WHEN f.kind IN ('outside', 'withheld', 'did') AND t.kind IN ('own', 'did', 'feature') THEN 'inbound'
            WHEN f.kind = 'outside' AND t.kind = 'withheld' THEN 'inbound'
            -- Nobody is put through to a public short number: it was an extension or a group once.
            WHEN f.kind IN ('outside', 'withheld') AND t.kind = 'outside' AND t.type = 'short' THEN 'inbound'
            ELSE 'unknown' END AS direction,
        f.extension AS from_extension, t.extension AS to_extension, f.phone AS from_phone, t.phone AS to_phone,
        f.country AS from_country, t.country AS to_country, f.type AS from_type, t.type AS to_type
    FROM parsed n
    LEFT JOIN party f ON f.account_id = n.account_id AND f.text = coalesce(n.from_text, '') AND NOT f.called
    LEFT JOIN party t ON t.account_id = n.account_id AND t.text = coalesce(n.to_text, '') AND t.called
    WHERE identity IS NOT NULL
)
SELECT
    identity AS cdr_id,
    'pbxware' AS vendor, $connection AS connection, account_id, unique_id AS native_id,
    unique_id AS linked_id, 1::INTEGER AS occurrence, to_timestamp(second) AS started_at, $day::DATE AS call_date,
    direction, {_OUTCOMES} AS outcome,
    from_text, from_name, from_number, from_e164, to_text, to_name, to_number, to_e164, to_kind,
    CASE WHEN direction = 'inbound' OR (to_phone AND NOT from_phone) THEN to_extension
        ELSE coalesce(from_extension, to_extension) END AS extension,
    CASE direction WHEN 'outbound' THEN to_e164 WHEN 'inbound' THEN from_e164 END AS remote_e164,
    CASE direction WHEN 'outbound' THEN to_country WHEN 'inbound' THEN from_country END AS remote_country,
    CASE direction WHEN 'outbound' THEN to_type WHEN 'inbound' THEN from_type END AS remote_type,
    seconds AS duration_seconds, rated_seconds, amount AS cost, currency, false AS is_provisional,
    CASE WHEN try_cast(mos AS DECIMAL(6, 3)) > 0 THEN try_cast(mos AS DECIMAL(6, 3)) END AS mos,
    CASE WHEN lower(recording) IN ('true', '1', 'yes') THEN true
        WHEN lower(recording) IN ('false', '0', 'no') THEN false END AS has_recording,
    $file AS raw_file, raw_row, fetched_at
FROM placed
"""


class CdrParser:
    """The legs of one landing, parsed batch by batch; what of them can only be told in the end, then.

    ``file`` is the landing's; ``folder`` takes the rows until they are core's, in the order in which they were landed.
    """

    def __init__(
        self,
        source: Source,
        con: duckdb.DuckDBPyConnection,
        file: str,
        depends_on: Mapping[str, str],
        day: date,
        folder: Path,
    ) -> None:
        self._source, self._con, self._file, self._day = source, con, file, day
        self._directory = read_directory(source, source.lake.landing_at(source.name, LISTS, depends_on[LISTS]))
        self._unknown_columns: set[str] = set()
        self._outside = 0
        self._quarantine: list[dict[str, Any]] = []
        self._tally: Tally = {}
        self._charged_internally: dict[str, Decimal] = {}
        self._path = folder / f"{CDR.full_name}.parquet"
        self._legs = CoreWriter(CDR, self._path)
        con.register("nobody", party_table(self._directory, []))
        con.execute("CREATE TEMP TABLE party AS FROM nobody; CREATE TEMP TABLE seen (digest UBIGINT, raw_row BIGINT)")

    def add(self, responses: pa.Table) -> None:
        """Type these, the next of the landing. Raises ContractError for a header that cannot be understood."""
        con = self._con
        con.register("response", _long_numbers_as_text(responses))
        con.execute(_PARSED, {"connection": self._source.name, "duplicates": False})
        self._unknown_columns |= check_headers(self._source, con, self._day, self._directory)
        con.register("somebody", party_table(self._directory, con.execute(_NEW_TEXTS).fetchall()))
        con.execute("INSERT INTO party FROM somebody")
        con.execute("INSERT INTO seen SELECT hash(identity), raw_row FROM parsed WHERE identity IS NOT NULL")
        self._outside += con.execute("SELECT count(*) FROM parsed WHERE outside").fetchall()[0][0]
        self._quarantine += quarantined(self._source, CDRS, con, self._file, self._day)
        known = {"connection": self._source.name, "day": self._day, "file": self._file}
        legs = as_landed(con.sql(_CDRS, params=known).to_arrow_table())
        self._legs.write(legs.cast(CDR.arrow()))
        add_legs(self._tally, legs)
        add_certain(self._charged_internally, legs, self._directory)

    def finish(self, landing: Landing) -> Normalised:
        """The legs of the whole landing, with what could not be understood, and the PBX's own figures beside ours."""
        self._legs.close()
        written = self._amended(landing)  # the tally is of what legs are known to be in the end
        warnings = list(self._directory.warnings)
        if self._unknown_columns:
            names = ", ".join(sorted(self._unknown_columns))
            warnings.insert(0, f"columns that are not known were left in raw: {names}")
        unknown = sum(number for (_, _, outcome), (number, _) in self._tally.items() if outcome == "unknown")
        if unknown:
            warnings.append(f"{unknown} call records have a status that is not known")
        if self._outside:
            warnings.append(
                f"{self._outside} call records were left out: they started outside the time that was asked for"
            )
        certain = self._charged_internally
        controls = controls_of(self._source, self._con, landing, self._day, self._directory, self._tally, certain)
        warnings += [f"account {row['account_id']}: {row['remark']}" for row in controls if row.get("remark")]
        return Normalised({CDR: written}, controls, self._quarantine, self._outside, warnings)

    def _amended(self, landing: Landing) -> StagedFile:
        """The file of legs; another one where some are alike or were put through or forwarded."""
        changes = self._find_duplicates(landing)
        links = self._put_through(changes)
        self._forward(changes, links)
        if not changes and not links:
            return StagedFile(self._path, self._legs.rows)
        path = self._path.with_suffix(".amended.parquet")
        with closing(CoreWriter(CDR, path)) as amended, pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches():
                amended.write(_amend(batch, changes, links))
        self._path.unlink()
        return StagedFile(path, amended.rows)

    def _find_duplicates(self, landing: Landing) -> Changes:
        """Id and occurrence of the legs that are identified as one before them is."""
        con = self._con
        con.execute(
            "CREATE TEMP TABLE duplicates AS SELECT raw_row FROM seen"
            " WHERE digest IN (SELECT digest FROM seen GROUP BY digest HAVING count(*) > 1)"
        )
        places = [row for (row,) in con.execute("FROM duplicates ORDER BY raw_row").fetchall()]
        if not places:
            return {}
        con.execute(f"CREATE TEMP TABLE duplicate_leg (identity VARCHAR, raw_row BIGINT, amount {MONEY}, rest VARCHAR)")
        for responses in self._source.lake.response_batches(landing):
            spans = zip(responses["first_row"].to_pylist(), responses["rows"].to_pylist(), strict=True)
            held = [bisect_left(places, first) < bisect_left(places, first + rows) for first, rows in spans]
            if any(held):
                con.register("response", _long_numbers_as_text(responses.filter(pa.array(held))))
                con.execute(_PARSED, {"connection": self._source.name, "duplicates": True})
                con.execute(_DUPLICATE_LEGS)
        return _changes(("cdr_id", "occurrence"), con.execute(_RANKED).fetchall())

    def _put_through(self, changes: Changes) -> dict[tuple[str, str], str]:
        """By account and Unique ID, the Unique ID of the call that was put through to it; add what cannot be told."""
        made, led = self._con.execute("SELECT count(from_group), count(routed_to_group) FROM party").fetchall()[0]
        if not (made and led):
            self._con.execute(_NONE_PUT_THROUGH)
            return {}
        self._con.execute(_CHILDREN, {"legs": str(self._path)})
        self._con.execute(_SPANS, {"legs": str(self._path)})
        self._con.execute(_PUT_THROUGH)
        changes |= _changes(("to_kind",), self._con.execute(_UNKNOWN_LINK).fetchall())
        return {
            (account, unique_id): root for account, unique_id, root in self._con.execute("FROM put_through").fetchall()
        }

    def _forward(self, changes: Changes, links: dict[tuple[str, str], str]) -> None:
        """Add what is told in the end of legs by which a call was forwarded; they count as outbound ones."""
        con, legs = self._con, {"legs": str(self._path)}
        if not any(direction == "unknown" for _, direction, _ in self._tally):
            return
        con.execute(_OUTSIDE_TO_OUTSIDE, legs)
        con.execute(_FORWARDED, legs)
        names = ("extension", "remote_e164", "remote_country", "remote_type", "direction")
        rows = con.execute("SELECT raw_row, extension, e164, country, type, 'outbound' FROM forwarded").fetchall()
        changes |= _changes(names, rows)
        for account, unique_id, call in con.execute(
            "SELECT DISTINCT account_id, unique_id, call FROM forwarded WHERE call <> unique_id"
        ).fetchall():
            links[account, unique_id] = call
        for account, outcome, number, cost in con.execute(
            "SELECT account_id, outcome, count(*), coalesce(sum(cost), 0) FROM forwarded GROUP BY ALL"
        ).fetchall():
            add_to(self._tally, (account, "unknown", outcome), -number, -cost)
            add_to(self._tally, (account, "outbound", outcome), number, cost)


def normalise_cdrs(source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date | None) -> Normalised:
    """The legs of a day, with what could not be understood, and the PBX's own sum beside ours."""
    assert day is not None
    folder = source.lake.scratch_folder / f"{landing.generation}.parsed"
    make_folder(folder)
    parser = CdrParser(source, con, landing.file, landing.depends_on, day, folder)
    for responses in source.lake.response_batches(landing):
        parser.add(responses)
    return parser.finish(landing)


def _changes(names: Iterable[str], rows: list[tuple[Any, ...]]) -> Changes:
    """What rows of ``raw_row`` and values of these columns say; nothing when there are none."""
    return {name: {row[0]: row[place] for row in rows} for place, name in enumerate(names, 1)} if rows else {}


def _amend(legs: pa.RecordBatch, changes: Changes, links: dict[tuple[str, str], str]) -> pa.RecordBatch:
    """These legs with the values and links that were known in the end."""
    if links:
        each = zip(*(legs[name].to_pylist() for name in ("raw_row", "account_id", "native_id")), strict=True)
        changes = {**changes, "linked_id": {row: links[key] for row, *key_ in each if (key := tuple(key_)) in links}}
    return with_values(legs, changes)
