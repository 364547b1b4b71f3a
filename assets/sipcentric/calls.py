"""The calls of Sipcentric as legs of ``core.cdr``.

What lives here: reading a landing of calls batch by batch, the direction and outcome of each, calls that stand in two
responses, and calls that were forwarded. What does not: who a party is (``parties``), Sipcentric's own figures
(``controls``), and calls put together from legs (``warehouse``).
"""

from collections.abc import Mapping
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.controls import quarantined
from assets.load import Normalised, Source, bounds
from assets.sipcentric.controls import CALLS, LISTS, call_controls
from assets.sipcentric.entries import EXACT, INSTANT, LETTERS, items_form
from assets.sipcentric.parties import TEXTS, own_numbers, party_table, register_lists
from warehouse.lake import CoreWriter, Landing, StagedFile, make_folder
from warehouse.money import amount_sql
from warehouse.restate import Changes, as_landed, with_values
from warehouse.schema import CDR

_FIELDS = (
    "uri",
    "created",
    "scope",
    "direction",
    "from",
    "to",
    "callStarted",
    "outcome",
    "duration",
    "cost",
    "callId",
    "linkedId",
    "final",
    "srcEndpoint",
    "dstEndpoint",
)


_PARSED_CALLS = f"""
CREATE OR REPLACE TEMP TABLE parsed AS
WITH entry AS (
    SELECT page, account_id, fetched_at, first_row, from_json({EXACT}, '{items_form(_FIELDS)}').items AS items
    FROM response WHERE kind = 'calls' AND rows > 0
), listed AS (
    -- Unnested side by side: a join with the page would hold the whole page once for every item of it.
    SELECT page, account_id, fetched_at, first_row + unnest(range(len(items))) AS raw_row, unnest(items) AS item
    FROM entry
), split AS (
    SELECT page, account_id, fetched_at, raw_row, {", ".join(f'item."{name}"' for name in _FIELDS)}
    FROM listed
)
SELECT *, {INSTANT.format(text='"callStarted"')} AS started, {amount_sql("cost")} AS amount,
    CASE WHEN regexp_full_match(duration, '[0-9]{{1,8}}([.]0+)?') THEN duration::DECIMAL(18, 6)::BIGINT END AS seconds,
CASE
    WHEN coalesce(uri, '') = '' THEN 'there is no uri'
    WHEN started IS NULL THEN 'callStarted is not a time'
    WHEN duration <> '' AND seconds IS NULL THEN 'the duration is not a number of seconds'
    WHEN cost <> '' AND amount IS NULL THEN 'the cost is not an amount'
    END AS problem,
    problem IS NULL AND NOT (started >= $start AND started < $end) AS outside
FROM split
"""


# What was read, in little: what tells which of the responses with the same call is the last, and what is counted.
# ``said`` is all that a response says of a call, by its hash.
_READ = """
CREATE TEMP TABLE read (
    account_id VARCHAR, uri UHUGEINT, page INTEGER, raw_row BIGINT, fetched_at TIMESTAMPTZ, started TIMESTAMPTZ,
    amount DECIMAL(18, 6), seconds BIGINT, good BOOLEAN, outside BOOLEAN, local BOOLEAN, said UBIGINT
)
"""
_HAVE_READ = f"""
INSERT INTO read SELECT account_id, md5_number(uri) AS uri, page, raw_row, fetched_at, started, amount, seconds,
    problem IS NULL AS good, outside, {LETTERS.format(text="scope")} = 'LOCAL' AS local,
    hash({", ".join(f'"{name}"' for name in _FIELDS)}) AS said
FROM parsed
"""
# Neighbouring slices overlap by a second, so some calls stand in two responses. The last one counts, and of those that
# say the same the first: the others need not be written. These are they, as far as they come soon after it, from the
# row $first on.
_AGAIN = """
SELECT raw_row FROM read SEMI JOIN (
    SELECT account_id, uri, said, min(raw_row) AS told FROM read
    WHERE good AND NOT outside AND raw_row >= $first - 50000 GROUP BY ALL HAVING count(*) > 1
) AS again ON again.account_id = read.account_id AND again.uri = read.uri AND again.said = read.said AND told < raw_row
WHERE good AND NOT outside AND raw_row >= $first
"""
_REPEATED = """
CREATE TEMP TABLE repeated AS SELECT account_id, uri FROM read WHERE good GROUP BY ALL HAVING count(*) > 1
"""
_EARLIER = """
WITH version AS (
    SELECT account_id, uri, raw_row, said,
        first_value(said) OVER (PARTITION BY account_id, uri ORDER BY fetched_at DESC, raw_row DESC) AS last_said
    FROM read SEMI JOIN repeated USING (account_id, uri) WHERE good AND NOT outside
)
SELECT raw_row FROM version
QUALIFY raw_row <> min(raw_row) FILTER (said = last_said) OVER (PARTITION BY account_id, uri)
"""

_CDRS = f"""
WITH call AS (
    SELECT *, {LETTERS.format(text="scope")} AS scope_word, {LETTERS.format(text="direction")} AS direction_word,
        {LETTERS.format(text="outcome")} AS outcome_word
    FROM parsed WHERE problem IS NULL AND NOT outside
), placed AS (
    SELECT c.*, f.name AS from_name, f.number AS from_number, f.e164 AS from_e164,
        t.name AS to_name, t.number AS to_number, t.e164 AS to_e164,
        CASE WHEN scope_word = 'LOCAL' OR (f.own AND t.own AND scope_word <> 'DOMAIN') THEN 'internal'
            WHEN direction_word IN ('IN', 'INBOUND') THEN 'inbound'
            WHEN direction_word IN ('OUT', 'OUTBOUND') THEN 'outbound' ELSE 'unknown' END AS direction_found,
        coalesce(src.extension, CASE WHEN f.own THEN f.number END) AS from_extension,
        coalesce(dst.extension, CASE WHEN t.own THEN t.number END) AS to_extension,
        CASE WHEN dst.kind IS NOT NULL THEN dst.kind WHEN t.own THEN t.kind WHEN t.number IS NULL THEN NULL
            WHEN direction_found = 'outbound' THEN 'person' WHEN direction_found = 'inbound' THEN 'number'
            END AS to_kind,
        f.country AS from_country, t.country AS to_country, f.type AS from_type, t.type AS to_type, k.currency
    FROM call c
    LEFT JOIN party f ON f.account_id = c.account_id AND f.text = coalesce(c."from", '') AND NOT f.called
    LEFT JOIN party t ON t.account_id = c.account_id AND t.text = coalesce(c."to", '') AND t.called
    LEFT JOIN account_currency AS k ON k.account_id = c.account_id
    LEFT JOIN endpoint src ON src.account_id = c.account_id
        AND src.uri_id = regexp_extract(c."srcEndpoint", '/endpoints/([^/?#]+)', 1)
    LEFT JOIN endpoint dst ON dst.account_id = c.account_id
        AND dst.uri_id = regexp_extract(c."dstEndpoint", '/endpoints/([^/?#]+)', 1)
)
SELECT
    md5(concat_ws(chr(31), $connection, account_id, uri)) AS cdr_id, 'sipcentric' AS vendor, $connection AS connection,
    account_id, uri AS native_id, coalesce(nullif("linkedId", ''), nullif("callId", '')) AS linked_id,
    1::INTEGER AS occurrence, started AS started_at, $day::DATE AS call_date, direction_found AS direction,
    CASE outcome_word WHEN 'ANSWERED' THEN 'answered' WHEN 'ANSWER' THEN 'answered'
        WHEN 'NOANSWER' THEN 'no_answer' WHEN 'NOTANSWERED' THEN 'no_answer' WHEN 'UNANSWERED' THEN 'no_answer'
        WHEN 'BUSY' THEN 'busy' WHEN 'FAILED' THEN 'failed'
        WHEN 'CANCELLED' THEN 'cancelled' WHEN 'CANCELED' THEN 'cancelled' WHEN 'CANCEL' THEN 'cancelled'
        WHEN 'VOICEMAIL' THEN 'voicemail' ELSE 'unknown' END AS outcome,
    "from" AS from_text, from_name, from_number, from_e164, "to" AS to_text, to_name, to_number, to_e164, to_kind,
    CASE direction_found WHEN 'inbound' THEN to_extension WHEN 'outbound' THEN from_extension
        ELSE coalesce(from_extension, to_extension) END AS extension,
    CASE direction_found WHEN 'outbound' THEN to_e164 WHEN 'inbound' THEN from_e164 END AS remote_e164,
    CASE direction_found WHEN 'outbound' THEN to_country WHEN 'inbound' THEN from_country END AS remote_country,
    CASE direction_found WHEN 'outbound' THEN to_type WHEN 'inbound' THEN from_type END AS remote_type,
    seconds AS duration_seconds, NULL::BIGINT AS rated_seconds, amount AS cost,
    currency, coalesce(lower(final) = 'false', false) AS is_provisional, NULL::DECIMAL(6, 3) AS mos,
    NULL::BOOLEAN AS has_recording, $file AS raw_file, raw_row, fetched_at
FROM placed
"""


# A leg out that names no endpoint of ours was forwarded: where one telephone of ours is all that its call led to, it is
# that telephone's.
_FORWARDED = """
WITH leg AS (
    SELECT account_id, linked_id, raw_row, direction = 'outbound' AND extension IS NULL AS is_forwarded,
        CASE WHEN to_kind = 'person' AND direction <> 'outbound'
            THEN CASE direction WHEN 'inbound' THEN extension ELSE to_number END END AS telephone
    FROM read_parquet($calls) WHERE linked_id IS NOT NULL
), owner AS (
    SELECT account_id, linked_id, min(telephone) AS telephone FROM leg
    GROUP BY ALL HAVING bool_or(is_forwarded) AND min(telephone) = max(telephone)
)
SELECT raw_row, owner.telephone FROM leg JOIN owner USING (account_id, linked_id) WHERE is_forwarded
"""


_Calls = TypeVar("_Calls", pa.Table, pa.RecordBatch)


class CallParser:
    """The calls of one landing, parsed batch by batch; what of them can only be told in the end, then.

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
        self._bounds = dict(zip(("start", "end"), bounds(day, source.zone), strict=True))
        self._quarantine: list[dict[str, Any]] = []
        self._again: set[int] = set()  # rows that say what one before them said
        self._path = folder / f"{CDR.full_name}.parquet"
        self._calls = CoreWriter(CDR, self._path)
        register_lists(source, con, source.lake.landing_at(source.name, LISTS, depends_on[LISTS]))
        self._own = own_numbers(con)
        con.register("nobody", party_table(source, self._own, []))
        con.execute("CREATE TEMP TABLE party AS FROM nobody")
        con.execute(_READ)

    def add(self, responses: pa.Table) -> None:
        """Type these, the next of the landing."""
        source, con = self._source, self._con
        con.register("response", responses)
        con.execute(_PARSED_CALLS, self._bounds)
        texts = con.execute(f"FROM ({TEXTS}) ANTI JOIN party USING (account_id, text, called)").fetchall()
        con.register("somebody", party_table(source, self._own, texts))
        con.execute("INSERT INTO party FROM somebody")
        con.execute(_HAVE_READ)
        self._quarantine += quarantined(source, CALLS, con, self._file, self._day)
        again = [row for (row,) in con.execute(_AGAIN, {"first": responses["first_row"][0].as_py()}).fetchall()]
        self._again.update(again)
        known = {"connection": source.name, "day": self._day, "file": self._file}
        calls = as_landed(con.sql(_CDRS, params=known).to_arrow_table()).cast(CDR.arrow())
        self._calls.write(_without(calls, again))

    def finish(self, landing: Landing) -> Normalised:
        """The calls of the whole landing, what could not be understood, and the vendor's own counts beside ours."""
        con = self._con
        self._calls.close()
        con.execute(_REPEATED)
        earlier = [row for (row,) in con.execute(_EARLIER).fetchall() if row not in self._again]
        forwarded = dict(con.execute(_FORWARDED, {"calls": str(self._path)}).fetchall())
        written = self._amended(earlier, {"extension": forwarded} if forwarded else {})
        warnings = []
        columns = ("outcome", "direction")
        counts = ", ".join(f"count(*) FILTER ({column} = 'unknown')" for column in columns)
        found = con.execute(f"SELECT {counts} FROM read_parquet($calls)", {"calls": str(written.path)}).fetchall()[0]
        for column, unknown in zip(columns, found, strict=True):
            if unknown:
                warnings.append(f"{unknown} calls have a value of {column} that is not known")
        outside = con.execute("SELECT count(*) FROM read WHERE outside").fetchall()[0][0]
        raw = str(self._source.lake.data_dir / landing.file)
        controls = call_controls(self._source, con, raw, self._day, **self._bounds)
        return Normalised({CDR: written}, controls, self._quarantine, outside, warnings)

    def _amended(self, earlier: list[int], changes: Changes) -> StagedFile:
        """The file of calls; another one without those that were changed between two responses, of which the last one
        counts, and where some were forwarded.
        """
        if not earlier and not changes:
            return StagedFile(self._path, self._calls.rows)
        path = self._path.with_suffix(".amended.parquet")
        with closing(CoreWriter(CDR, path)) as amended, pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches():
                amended.write(_without(with_values(batch, changes), earlier))
        self._path.unlink()
        return StagedFile(path, amended.rows)


def _without(calls: _Calls, gone: list[int]) -> _Calls:
    """These calls without the rows ``gone``, by ``raw_row``."""
    return calls.filter(pc.invert(pc.is_in(calls["raw_row"], pa.array(gone, pa.int64())))) if gone else calls


def normalise_calls(source: Source, con: duckdb.DuckDBPyConnection, landing: Landing, day: date | None) -> Normalised:
    """The calls of a day, with what could not be understood, and the vendor's own counts beside ours."""
    assert day is not None
    folder = source.lake.scratch_folder / f"{landing.generation}.parsed"
    make_folder(folder)
    parser = CallParser(source, con, landing.file, landing.depends_on, day, folder)
    for responses in source.lake.response_batches(landing):
        parser.add(responses)
    return parser.finish(landing)
