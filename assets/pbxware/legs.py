"""The call records of PBXware as legs of ``core.cdr``.

What lives here: reading a landing of call records batch by batch, the direction and outcome of each leg, legs that are
identified alike, and the legs by which the PBX put a call through or forwarded it. What does not: the names of columns
(``columns``), who a party is (``parties``), the PBX's own figures (``controls``), and calls put together from legs
(``warehouse``).
"""

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from assets.controls import quarantined
from assets.http import strict_json
from assets.parsing import rewrite
from assets.pbxware.columns import COLUMNS, OUTCOMES, check_headers
from assets.pbxware.controls import CDRS, LegSums, leg_controls
from assets.pbxware.directory import LISTS, SINGLE, read_directory
from assets.pbxware.parties import party_table
from assets.stream import Source
from warehouse.core import CoreWriter, StagedFile
from warehouse.duck import packaged_sql
from warehouse.merge import Normalised
from warehouse.raw import Landing
from warehouse.restate import Changes, as_landed, with_values
from warehouse.schema import CDR, MONEY

_HERE = Path(__file__).parent
_CELLS, _LEGS, _DUPLICATE_LEGS, _PARENT_CALL, _FORWARDED = (
    packaged_sql(_HERE, name) for name in ("cells", "legs", "duplicate_legs", "parent_call", "forwarded")
)
_NEW_TEXTS = """
FROM (
    SELECT account_id, coalesce(from_text, '') AS text, false AS called FROM parsed WHERE problem IS NULL
    UNION SELECT account_id, coalesce(to_text, ''), true FROM parsed WHERE problem IS NULL
) ANTI JOIN party USING (account_id, text, called)
"""

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


class CdrParser:
    """Makes the legs of one landing, batch by batch.

    ``finish`` corrects those that only all of them together explain: legs that are alike, put through or forwarded.
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
        self._directory = read_directory(source, source.lake.raw.landing_at(source.name, LISTS, depends_on[LISTS]))
        self._unknown_columns: set[str] = set()
        self._outside = 0
        self._quarantine: list[dict[str, Any]] = []
        self._sums = LegSums(self._directory)
        self._path = folder / f"{CDR.full_name}.parquet"
        self._legs = CoreWriter(CDR, self._path)
        con.register("no_parties", party_table(self._directory, []))
        con.execute(
            "CREATE TEMP TABLE party AS FROM no_parties; CREATE TEMP TABLE seen (digest UBIGINT, raw_row BIGINT)"
        )

    def add(self, responses: pa.Table) -> None:
        """Parse the next responses of the landing. Raises ContractError for a header that cannot be understood."""
        con = self._con
        self._split_cells(responses)
        self._unknown_columns |= check_headers(self._source, con, self._day, self._directory)
        con.register("new_parties", party_table(self._directory, con.execute(_NEW_TEXTS).fetchall()))
        con.execute("INSERT INTO party FROM new_parties")
        con.execute("INSERT INTO seen SELECT hash(identity), raw_row FROM parsed WHERE identity IS NOT NULL")
        self._outside += con.execute("SELECT count(*) FROM parsed WHERE outside").fetchall()[0][0]
        self._quarantine += quarantined(self._source, CDRS, con, self._file, self._day)
        known = {"connection": self._source.name, "day": self._day, "file": self._file, "outcomes": _map(OUTCOMES)}
        legs = as_landed(con.sql(_LEGS, params=known).to_arrow_table())
        self._legs.write(legs.cast(CDR.arrow()))
        self._sums.add(legs)

    def finish(self, landing: Landing) -> Normalised:
        """The legs of the whole landing, with what could not be understood, and the PBX's own figures beside ours."""
        self._legs.close()
        changes = self._find_duplicates(landing)
        links = self._put_through(changes)
        self._forward(changes, links)
        legs = StagedFile(self._path, self._legs.rows)
        if changes or links:
            legs = rewrite(CDR, self._path, lambda batch: _changed(batch, changes, links))
        warnings = list(self._directory.warnings)
        if self._unknown_columns:
            names = ", ".join(sorted(self._unknown_columns))
            warnings.insert(0, f"columns that are not known were left in raw: {names}")
        if unknown := self._sums.rows(outcome="unknown"):
            warnings.append(f"{unknown} call records have a status that is not known")
        if self._outside:
            warnings.append(
                f"{self._outside} call records were left out: they started outside the time that was asked for"
            )
        controls = leg_controls(self._source, self._con, landing, self._day, self._directory, self._sums)
        warnings += [f"account {row['account_id']}: {row['remark']}" for row in controls if row.get("remark")]
        return Normalised({CDR: legs}, controls, self._quarantine, self._outside, warnings)

    def _split_cells(self, responses: pa.Table, *, duplicates: bool = False) -> None:
        """Make the relation ``parsed`` of these responses."""
        self._con.register("response", _long_numbers_as_text(responses))
        known = {"connection": self._source.name, "single": SINGLE, "columns": _map(COLUMNS), "duplicates": duplicates}
        self._con.execute(_CELLS, known)

    def _find_duplicates(self, landing: Landing) -> Changes:
        """Another id or occurrence for the legs that are identified as one before them is."""
        con = self._con
        con.execute(
            "CREATE TEMP TABLE duplicates AS SELECT raw_row FROM seen"
            " WHERE digest IN (SELECT digest FROM seen GROUP BY digest HAVING count(*) > 1)"
        )
        places = [row for (row,) in con.execute("FROM duplicates ORDER BY raw_row").fetchall()]
        if not places:
            return {}
        con.execute(f"CREATE TEMP TABLE duplicate_leg (identity VARCHAR, raw_row BIGINT, amount {MONEY}, rest VARCHAR)")
        for responses in self._source.lake.raw.response_batches(landing):
            spans = zip(responses["first_row"].to_pylist(), responses["rows"].to_pylist(), strict=True)
            held = [bisect_left(places, first) < bisect_left(places, first + rows) for first, rows in spans]
            if any(held):
                self._split_cells(responses.filter(pa.array(held)), duplicates=True)
                con.execute(
                    "INSERT INTO duplicate_leg SELECT identity, raw_row, amount, rest"
                    " FROM parsed SEMI JOIN duplicates USING (raw_row)"
                )
        return _changes(("cdr_id", "occurrence"), con.execute(_DUPLICATE_LEGS).fetchall())

    def _put_through(self, changes: Changes) -> dict[tuple[str, str], str]:
        """By account and Unique ID, the Unique ID of the call that was put through to it.

        Adds to ``changes`` the legs of which nobody knows any more whether a machine alone answered.
        """
        con = self._con
        con.read_parquet(str(self._path)).create_view("leg")
        from_groups, to_groups = con.execute("SELECT count(from_group), count(routed_to_group) FROM party").fetchall()[
            0
        ]
        if not (from_groups and to_groups):
            con.execute("CREATE TEMP TABLE put_through (account_id VARCHAR, unique_id VARCHAR, root VARCHAR)")
            return {}
        con.execute(_PARENT_CALL)
        changes |= _changes(("to_kind",), con.execute("SELECT raw_row, NULL FROM unsure_who_answered").fetchall())
        return {(account, unique_id): root for account, unique_id, root in con.execute("FROM put_through").fetchall()}

    def _forward(self, changes: Changes, links: dict[tuple[str, str], str]) -> None:
        """Add the legs by which a call was forwarded to ``changes`` and ``links``; they count as outbound ones."""
        con = self._con
        if not self._sums.rows(direction="unknown"):
            return
        con.execute(_FORWARDED)
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
            self._sums.change_direction(account, outcome, number, cost, before="unknown", after="outbound")


def _map(values: Mapping[str, str]) -> dict[str, list[str]]:
    """A mapping as DuckDB takes it for a parameter."""
    return {"key": list(values), "value": list(values.values())}


def _changes(names: Iterable[str], rows: list[tuple[Any, ...]]) -> Changes:
    """The new values of these columns by ``raw_row``, which each row begins with; {} where there are no rows."""
    return {name: {row[0]: row[place] for row in rows} for place, name in enumerate(names, 1)} if rows else {}


def _changed(legs: pa.RecordBatch, changes: Changes, links: dict[tuple[str, str], str]) -> pa.RecordBatch:
    if links:
        each = zip(*(legs[name].to_pylist() for name in ("raw_row", "account_id", "native_id")), strict=True)
        changes = {**changes, "linked_id": {row: links[key] for row, *key_ in each if (key := tuple(key_)) in links}}
    return with_values(legs, changes)
