"""The calls of Sipcentric as legs of ``core.cdr``.

What lives here: reading a landing of calls batch by batch, the direction and outcome of each, calls that stand in two
responses, and calls that were forwarded. What does not: who a party is (``parties``), Sipcentric's own figures
(``controls``), and calls put together from legs (``warehouse``).
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from assets.controls import quarantined
from assets.parsing import rewrite
from assets.sipcentric.controls import CALLS, LISTS, call_controls
from assets.sipcentric.parties import TEXTS, party_table, prepare
from assets.stream import Source
from warehouse.core import CoreWriter, StagedFile
from warehouse.duck import packaged_sql
from warehouse.layout import bounds
from warehouse.merge import Normalised
from warehouse.raw import Landing
from warehouse.restate import as_landed, with_values
from warehouse.schema import CDR

_FIELDS, _CALLS, _FORWARDED = (
    packaged_sql(Path(__file__).parent, name) for name in ("call_fields", "calls", "forwarded")
)

# Neighbouring slices overlap by a second, so some calls are in two responses: of different ones the last counts, and
# of those with the same content the first. This is what was read of every call, in little; ``content`` is a hash of it.
_CREATE_READ = """
CREATE TEMP TABLE call_read (
    account_id VARCHAR, uri UHUGEINT, page INTEGER, raw_row BIGINT, fetched_at TIMESTAMPTZ, started TIMESTAMPTZ,
    amount DECIMAL(18, 6), seconds BIGINT, understood BOOLEAN, outside BOOLEAN, local BOOLEAN, content UBIGINT
)
"""
_ADD_READ = """
INSERT INTO call_read SELECT account_id, md5_number(uri) AS uri, page, raw_row, fetched_at, started, amount, seconds,
    problem IS NULL AS understood, outside, letters_of(scope) = 'LOCAL' AS local, content
FROM parsed
"""
# From the row $first on, those whose content is that of a row shortly before: they need not be written.
_SAME_AGAIN = """
SELECT raw_row FROM call_read SEMI JOIN (
    SELECT account_id, uri, content, min(raw_row) AS first_row FROM call_read
    WHERE understood AND NOT outside AND raw_row >= $first - 50000 GROUP BY ALL HAVING count(*) > 1
) AS again ON again.account_id = call_read.account_id AND again.uri = call_read.uri
    AND again.content = call_read.content AND first_row < raw_row
WHERE understood AND NOT outside AND raw_row >= $first
"""
_CREATE_REPEATED = """
CREATE TEMP TABLE repeated AS SELECT account_id, uri FROM call_read WHERE understood GROUP BY ALL HAVING count(*) > 1
"""
# Of the calls that were read several times, all rows but the one that counts.
_SUPERSEDED = """
WITH version AS (
    SELECT account_id, uri, raw_row, content,
        first_value(content) OVER (PARTITION BY account_id, uri ORDER BY fetched_at DESC, raw_row DESC) AS last_content
    FROM call_read SEMI JOIN repeated USING (account_id, uri) WHERE understood AND NOT outside
)
SELECT raw_row FROM version
QUALIFY raw_row <> min(raw_row) FILTER (content = last_content) OVER (PARTITION BY account_id, uri)
"""

_Calls = TypeVar("_Calls", pa.Table, pa.RecordBatch)


class CallParser:
    """Makes the legs of one landing, batch by batch.

    ``finish`` corrects what only all of them together explain: calls that changed while they were read, and forwarded
    ones. ``file`` is the landing's; ``folder`` takes the rows until they are core's, in the order in which they were
    landed.
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
        self._not_written: set[int] = set()
        self._path = folder / f"{CDR.full_name}.parquet"
        self._calls = CoreWriter(CDR, self._path)
        self._own = prepare(source, con, source.lake.raw.landing_at(source.name, LISTS, depends_on[LISTS]))
        con.register("no_parties", party_table(source, self._own, []))
        con.execute("CREATE TEMP TABLE party AS FROM no_parties")
        con.execute(_CREATE_READ)

    def add(self, responses: pa.Table) -> None:
        """Parse the next responses of the landing."""
        source, con = self._source, self._con
        con.register("response", responses)
        con.execute(_FIELDS, self._bounds)
        texts = con.execute(f"FROM ({TEXTS}) ANTI JOIN party USING (account_id, text, called)").fetchall()
        con.register("new_parties", party_table(source, self._own, texts))
        con.execute("INSERT INTO party FROM new_parties")
        con.execute(_ADD_READ)
        self._quarantine += quarantined(source, CALLS, con, self._file, self._day)
        first = responses["first_row"][0].as_py()
        again = [row for (row,) in con.execute(_SAME_AGAIN, {"first": first}).fetchall()]
        self._not_written.update(again)
        known = {"connection": source.name, "day": self._day, "file": self._file}
        calls = as_landed(con.sql(_CALLS, params=known).to_arrow_table()).cast(CDR.arrow())
        self._calls.write(_without(calls, again))

    def finish(self, landing: Landing) -> Normalised:
        """The calls of the whole landing, what could not be understood, and the vendor's own counts beside ours."""
        con = self._con
        self._calls.close()
        con.execute(_CREATE_REPEATED)
        superseded = [row for (row,) in con.execute(_SUPERSEDED).fetchall() if row not in self._not_written]
        forwarded = dict(con.execute(_FORWARDED, {"legs": str(self._path)}).fetchall())
        legs = StagedFile(self._path, self._calls.rows)
        if superseded or forwarded:
            changes = {"extension": forwarded} if forwarded else {}
            legs = rewrite(CDR, self._path, lambda batch: _without(with_values(batch, changes), superseded))
        warnings = []
        columns = ("outcome", "direction")
        counts = ", ".join(f"count(*) FILTER ({column} = 'unknown')" for column in columns)
        found = con.execute(f"SELECT {counts} FROM read_parquet($legs)", {"legs": str(legs.path)}).fetchall()[0]
        for column, unknown in zip(columns, found, strict=True):
            if unknown:
                warnings.append(f"{unknown} calls have a value of {column} that is not known")
        outside = con.execute("SELECT count(*) FROM call_read WHERE outside").fetchall()[0][0]
        raw = str(self._source.lake.data_dir / landing.file)
        controls = call_controls(self._source, con, raw, self._day, **self._bounds)
        return Normalised({CDR: legs}, controls, self._quarantine, outside, warnings)


def _without(calls: _Calls, rows: list[int]) -> _Calls:
    """These calls without some ``rows``, by ``raw_row``."""
    return calls.filter(pc.invert(pc.is_in(calls["raw_row"], pa.array(rows, pa.int64())))) if rows else calls
