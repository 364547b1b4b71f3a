"""One update of the private database: rows of core in, and everything that depends on them derived, proved, or refused.

What lives here: replacing the rows of core partitions, putting calls together from legs, running the marts and their
tie-outs for the days that were touched. What does not: the file, the transaction and the publication (``database``),
the SQL itself (``*.sql``, ``marts/*.sql``), tables and columns (``schema``), Parquet (``lake``), finance's files
(``reference``), the figures of closed months (``close``).

The SQL reads whole tables by name and asks macros which days it is about: ``in_call_days(day)`` and its like. They are
defined anew for each update as literal ranges of dates, so that a night reads a few days of each table however long
its history is; in a rebuild they say ``true``.

    in_call_days                 business days whose calls were put together again
    in_cost_days            business days whose charges changed
    in_cost_months                whole months of the cost scope
    in_closed_months         those, or all when a month was closed; in_moved_months: of them those that are kept
    in_hours, around_hours     instants of the whole UTC days whose traffic changed; business days near enough to matter
    in_reconciled_days  business days on which TIM4biz or the calls changed
    in_call_months           whole months of the calls that were put together again, of their legs, and of when they
                             were talked
    near_legs                business days of those months, and of what calls across their edges have beyond them
    near_call_months         instants of those months and of a day around them, in any zone
    in_callback_days          those of in_call_days, and the day before each, whose callers may have been called back
    around_callback_days              those, and the day after each
    in_fraud_days           business days whose calls, charges or accounts' country changed, whose same weekday did in
                             the eight weeks before, or on which the first call to a country now is or was
    fraud_history_days               those, and the same weekday of the eight weeks before
    in_unit_days            as in_reconciled_days before totals got another unit for what other days say

Those that the schema declares as ``kept`` never say true of a day before ``kept_from()``: of days that were dropped
there is nothing to derive, though invoices and bundles of theirs are still there.

Some small tables of ``audit`` say something of all days at once: a day's coverage leans on the weeks before it and on
the newest day of any stream. They are made whole, and only the rows that came out otherwise are written.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tollbook_errors import ConfigError, ContractError, IntegrityError
from warehouse.close import CLOSED, Close, current
from warehouse.duck import packaged_sql
from warehouse.erasure_register import Register
from warehouse.fraud import FOREIGN_NANP, FraudRules
from warehouse.money import MACROS
from warehouse.reference import CostCentreRule, Reference, rule_tables
from warehouse.reference_notices import notices, read_facts
from warehouse.schema import (
    CALL,
    CALL_LEG,
    COVERAGE,
    DERIVED,
    ERASURE,
    LAKE_TABLES,
    LOAD,
    MARTS,
    MONEY,
    MONTH_CLOSE,
    REFERENCE_NOTICE,
    RESTATEMENT_SINCE_CLOSE,
    TIE_OUT,
    Table,
)
from warehouse.schema.types import (
    CALL_DAYS,
    CALL_MONTHS,
    CALLBACK_DAYS,
    CLOSED_MONTHS,
    COST_DAYS,
    COST_MONTHS,
    FRAUD_DAYS,
    HOURS,
    MOVED_MONTHS,
    RECONCILED_DAYS,
    Scope,
)

REBUILD = "run: tollbook rebuild"
LINK_GAP = timedelta(hours=6)  # as in linking.sql
ROWS_AT_ONCE = 250_000  # looked at, or put together as calls, at a time; more would need more memory
KEPT_AT_ONCE = 8  # times as many are written at a time; fewer would leave more of the file's blocks part empty
SQL_FOLDERS = ("views", "marts", "tie_outs")
VIEWS = ("extension_department", "first_call")  # what several statements ask for, in views/*.sql
SAME_WEEKDAYS = 8  # weeks before that a day is compared with, as in marts/fraud_signal.sql

_HERE = Path(__file__).parent
_EVERYTHING: None = None  # as a scope: all days there are

# A leg's link as a number. Two links of one number only bring legs together that linking.sql then tells apart.
_LINK_HASH = "CASE WHEN linked_id IS NOT NULL THEN hash(connection, account_id, linked_id) END"
# What calls are put together from.
_LEG = (
    f"cdr_id, vendor, connection, account_id, native_id, linked_id, {_LINK_HASH} AS link_hash, started_at, call_date, "
    "direction, outcome, extension, from_number, to_number, to_kind, remote_e164, remote_country, remote_type, "
    "duration_seconds, cost, currency"
)

Days = set[date] | None
_Thing = TypeVar("_Thing", date, str)


@dataclass(frozen=True)
class Partition:
    """The core files of one stream, connection and business day (``day`` None: a list that is replaced whole).

    ``tables`` are all tables that the stream writes, by full name; one without a file in ``files`` has no rows.
    ``digest`` changes when the contents do.
    """

    stream: str
    connection: str
    vendor: str
    day: date | None
    files: Mapping[str, Path]
    tables: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Tolerance:
    """How far TIM4biz and the PBX may differ and still be ``within_tolerance``; the number of calls must be equal.

    The seconds suffice by either limit: so many a call, or per cent of TIM4biz's seconds.
    """

    seconds_per_call: int = 0
    seconds_percent: Decimal = Decimal(0)
    cost_percent: Decimal = Decimal(0)


@dataclass(frozen=True)
class UpdateResult:
    """What an update did: the partitions whose rows were replaced, and the business days derived from anew.

    ``everything`` says that all other days were derived again, too: in a new database, or with other SQL. ``dropped``
    are the business days whose rows went because they are no longer kept.
    """

    applied: tuple[Partition, ...]
    touched: tuple[date, ...]
    everything: bool
    changed: bool
    dropped: tuple[date, ...] = ()


@dataclass(frozen=True)
class Policy:
    """What decides figures beside rows and finance's files; see ``database.Database`` for what each is."""

    data_dir: Path
    timezone: str
    reporting_currency: str
    tolerances: Mapping[str, Tolerance]
    reconciles: Mapping[str, Sequence[str]]
    fraud: FraudRules
    long_call_hours: int
    connections: Mapping[str, str]


class Update:
    """One update inside its transaction: what it does, step by step, in ``run``."""

    def __init__(
        self,
        policy: Policy,
        db: duckdb.DuckDBPyConnection,
        reference: Reference,
        closes: Sequence[Close],
        kept_from: date,
    ) -> None:
        self.policy = policy
        self.db = db
        self.reference = reference
        self.closes = closes
        self.kept_from = kept_from
        self.made = 0  # how many made_call_… there are

    def run(self, partitions: Sequence[Partition], loads: pa.Table | Sequence[Mapping[str, Any]]) -> UpdateResult:
        db = self.db
        self._check_timezone()
        fresh = get_state(db, "revision") is None
        dropped = self._dropped()
        changed = [*self._changed(partitions), *dropped]
        new_loads = self._new_loads(loads)

        self._remember_charges("charges_before")
        legs_replaced = {p.day for p in changed if "core.cdr" in p.tables and p.day is not None}
        self._snapshot_removed(changed)
        self._replace_rows(changed)
        self._replace_loads()
        self._remember_charges("charges_after")
        settings = self._prepare_settings()

        # Each is a fingerprint of something other than rows; when it changed, everything it decides is derived again.
        stale = {name for name, value in settings.items() if get_state(db, name) != value}
        if not (changed or new_loads or stale):
            return UpdateResult((), (), everything=False, changed=False)
        # Days can be wanted again that were dropped: of their invoices and bundles no mart was made.
        wanted_again = not fresh and (get_state(db, "kept_from") or "") > settings["kept_from"]
        everything = fresh or "derivation" in stale or wanted_again

        hours: Days
        leg_days: Days
        if everything:
            call_days, leg_days, cost_days, hours, reconciled = (_EVERYTHING,) * 5
            self._link_all_calls()
        else:
            call_days, leg_days, hours = self._link_calls(legs_replaced)
            charge_days = {
                p.day for p in changed if p.day is not None and {"core.cdr", "core.sms"} & set(p.tables)
            } | self._days_of_changed_charges()
            cost_days = _EVERYTHING if "charging" in stale else call_days | leg_days | charge_days
            total_days = {p.day for p in changed if p.day is not None and "core.extension_total" in p.tables}
            reconciled = _EVERYTHING if "reconciliation" in stale else call_days | total_days
        reconciled = _union(reconciled, self._find_seconds(reconciled))
        self._set_scopes(call_days, leg_days, cost_days, hours, reconciled, everything or "closes" in stale)

        self._delete_dropped()
        self._find_split()
        db.execute("CREATE TEMP TABLE first_call_before AS FROM first_call")
        for mart in MARTS:
            if mart.scope == FRAUD_DAYS:
                moved = self._days_of_moved(get_state(db, "homes"), settings["homes"])
                days = _union(_union(call_days, cost_days), moved)
                self._set_fraud_scope(_EVERYTHING if "fraud" in stale else days)
            self._derive(mart)
        self._tie_out()
        self._find_notices()
        for table_ in (COVERAGE, MONTH_CLOSE, RESTATEMENT_SINCE_CLOSE, ERASURE, REFERENCE_NOTICE):
            self._derive_whole(table_)

        for name, value in settings.items():
            set_state(db, name, value)
        set_state(db, "revision", str(int(get_state(db, "revision") or 0) + 1))
        touched = {p.day for p in changed if p.day is not None}
        for days in (call_days, cost_days, reconciled):
            touched |= days or set()
        touched = {day for day in touched if day >= self.kept_from}
        gone = {p.day for p in dropped if p.day is not None}
        applied = tuple(p for p in changed if p not in dropped)
        return UpdateResult(applied, tuple(sorted(touched)), everything, changed=True, dropped=tuple(sorted(gone)))

    def _check_timezone(self) -> None:
        known = get_state(self.db, "timezone")
        if known is None:
            set_state(self.db, "timezone", self.policy.timezone)
        elif known != self.policy.timezone:
            raise ConfigError(
                f"tollbook.timezone is {self.policy.timezone}, but the business days in the warehouse are of {known}",
                hint="set it back, or load into a new data_dir",
            )

    # --- rows from the lake ------------------------------------------------------------------------------------

    def _changed(self, partitions: Sequence[Partition]) -> list[Partition]:
        """The partitions whose contents are not those that were last applied."""
        applied = {
            (stream, connection, day): (digest, tables)
            for stream, connection, day, digest, tables in self.db.execute(
                "SELECT stream, connection, day, digest, tables FROM meta.partition"
            ).fetchall()
        }
        asked = {(p.stream, p.connection, p.day): p for p in partitions}
        if len(asked) != len(partitions):
            raise IntegrityError("the same partition was given twice in one update", hint="load its days again")
        return [p for key, p in asked.items() if applied.get(key) != (p.digest, ",".join(p.tables))]

    def _dropped(self) -> list[Partition]:
        """The days that are no longer kept, each as a partition that has become empty."""
        return [
            Partition(stream, connection, vendor, day, {}, tuple(tables.split(",")), "")
            for stream, connection, vendor, day, tables in self.db.execute(
                "SELECT stream, connection, vendor, day, tables FROM meta.partition WHERE day < ? ORDER BY ALL",
                [self.kept_from],
            ).fetchall()
        ]

    def _delete_dropped(self) -> None:
        """Delete what was derived of the days that are no longer kept; the scopes leave them out."""
        for mart in DERIVED:
            if mart.scope.kept:
                self.db.execute(f"DELETE FROM {mart.full_name} WHERE {mart.date_column} < ?", [self.kept_from])
                self.db.execute(
                    "DELETE FROM audit.tie_out WHERE mart = ? AND tie_date < ?", [mart.full_name, self.kept_from]
                )

    def _replace_rows(self, partitions: Sequence[Partition]) -> None:
        for table_ in LAKE_TABLES:
            owners = [p for p in partitions if table_.full_name in p.tables]
            if owners:
                self._delete(table_, owners)
                files = sorted(
                    (
                        (p.day or date.min, p.connection, p.stream, p.files[table_.full_name], p)
                        for p in owners
                        if table_.full_name in p.files
                    ),
                    key=lambda entry: entry[:3],
                )
                if files:
                    self._insert(table_, {str(path): p for *_, path, p in files})
        applied = pa.table(
            {
                "stream": pa.array([p.stream for p in partitions], pa.string()),
                "connection": pa.array([p.connection for p in partitions], pa.string()),
                "vendor": pa.array([p.vendor for p in partitions], pa.string()),
                "day": pa.array([p.day for p in partitions], pa.date32()),
                "tables": pa.array([",".join(p.tables) for p in partitions], pa.string()),
                "rows": pa.array([_core_rows(p) for p in partitions], pa.int64()),
                "digest": pa.array([p.digest for p in partitions], pa.string()),
            }
        )
        self.db.register("applied", applied)
        self.db.execute(
            "DELETE FROM meta.partition AS p USING applied AS a "
            "WHERE p.stream = a.stream AND p.connection = a.connection AND p.day IS NOT DISTINCT FROM a.day"
        )
        self.db.execute("INSERT INTO meta.partition BY NAME SELECT * FROM applied")
        self.db.unregister("applied")
        self.db.execute("DELETE FROM meta.partition WHERE day < ?", [self.kept_from])

    def _delete(self, table_: Table, owners: Sequence[Partition]) -> None:
        """Delete what the partitions wrote before; a table of several streams tells them by its column ``stream``."""
        groups: dict[tuple[str, str, bool], set[date]] = {}
        for p in owners:
            whole = p.day is None or table_.date_column is None
            days = groups.setdefault((p.connection, p.stream, whole), set())
            if p.day is not None:
                days.add(p.day)
        for (connection, stream, whole), days in groups.items():
            where, values = "connection = ?", [connection]
            if "stream" in table_.column_names:
                where, values = f"{where} AND stream = ?", [connection, stream]
            if not whole:
                where = f"{where} AND {in_days(table_.date_column or '', days)}"
            self.db.execute(f"DELETE FROM {table_.full_name} WHERE {where}", values)

    def _insert(self, table_: Table, files: Mapping[str, Partition]) -> None:
        expected = table_.arrow()
        sizes = []
        for path, p in files.items():
            metadata = pq.read_metadata(path)
            schema = metadata.schema.to_arrow_schema()
            if schema.names != expected.names or schema.types != expected.types:
                raise ContractError(
                    f"a file of {table_.full_name} has other columns than this version knows",
                    connection=p.connection,
                    endpoint=p.stream,
                    window=str(p.day or ""),
                    hint=REBUILD,
                )
            sizes.append((path, metadata.num_rows))
        names = ", ".join(f'"{name}"' for name in table_.column_names)
        batches = [paths for paths, _ in _batches(sizes)]
        for paths in batches:
            self._check_owners(table_, {path: files[path] for path in paths})
        for first in range(0, len(batches), KEPT_AT_ONCE):
            self.db.execute(
                f"INSERT INTO {table_.full_name} ({names}) "
                f"SELECT {names} FROM read_parquet(?, hive_partitioning = false)",
                [[path for paths in batches[first : first + KEPT_AT_ONCE] for path in paths]],
            )

    def _check_owners(self, table_: Table, files: Mapping[str, Partition]) -> None:
        """A row that is not of its partition would stay behind when that is replaced; a key twice counts twice."""
        has_stream = "stream" in table_.column_names
        day_column = table_.date_column
        rows = "FROM read_parquet($files, filename = true, hive_partitioning = false)"
        found = self.db.execute(
            f"SELECT DISTINCT filename, connection, {'stream' if has_stream else 'NULL'}, {day_column or 'NULL'} "
            f"{rows}",
            {"files": list(files)},
        ).fetchall()
        for path, connection, stream, day in found:
            p = files[path]
            strange = (
                connection != p.connection
                or (has_stream and stream != p.stream)
                or (day_column is not None and p.day is not None and day != p.day)
            )
            if strange:
                raise _not_whole(p, f"a file of {table_.full_name} holds rows of another connection, stream or day")
        if table_.schema != "core":
            return
        # Days and connections have no key in common, so it is enough to look within each file; at the keys themselves
        # only where their hashes are alike.
        key = ", ".join(f'"{name}"' for name in table_.key)
        alike = f"SELECT hash(filename, {key}) AS h {rows} GROUP BY h HAVING count(*) > 1"
        twice = self.db.execute(
            f"SELECT filename {rows} WHERE hash(filename, {key}) IN ({alike}) "
            f"GROUP BY filename, {key} HAVING count(*) > 1 LIMIT 1",
            {"files": list(files)},
        ).fetchone()
        if twice:
            raise _not_whole(files[twice[0]], f"a file of {table_.full_name} holds two rows of one key")

    def _new_loads(self, loads: pa.Table | Sequence[Mapping[str, Any]]) -> int:
        """Put the rows into ``new_load``; the number of those that are not in ``audit.load`` as they are."""
        names = LOAD.column_names
        rows = (
            loads if isinstance(loads, pa.Table) else pa.Table.from_pylist([dict(row) for row in loads], LOAD.arrow())
        )
        self.db.register("given_load", rows.select(list(names)).cast(LOAD.arrow()))
        self.db.execute(
            "CREATE TEMP TABLE new_load AS SELECT DISTINCT * REPLACE (coalesce(sequence, 0) AS sequence) "
            "FROM given_load EXCEPT SELECT * FROM audit.load"
        )
        self.db.unregister("given_load")
        row = self.db.execute("SELECT count(*) FROM new_load").fetchone()
        return int(row[0]) if row else 0

    def _replace_loads(self) -> None:
        same = " AND ".join(f"l.{name} IS NOT DISTINCT FROM n.{name}" for name in LOAD.key)
        self.db.execute(f"DELETE FROM audit.load AS l USING new_load AS n WHERE {same}")
        self.db.execute("INSERT INTO audit.load SELECT * FROM new_load")

    # --- calls -------------------------------------------------------------------------------------------------

    def _snapshot_removed(self, partitions: Sequence[Partition]) -> None:
        """Keep of the legs that are about to be replaced what finds the calls they were in: those are made again."""
        db = self.db
        db.execute("CREATE TEMP TABLE replaced (connection VARCHAR, call_date DATE)")
        by_connection: dict[str, set[date]] = {}
        for p in partitions:
            if "core.cdr" in p.tables and p.day is not None:
                by_connection.setdefault(p.connection, set()).add(p.day)
        for connection, days in by_connection.items():
            db.execute("INSERT INTO replaced SELECT ?, unnest(?::DATE[])", [connection, sorted(days)])
        every = {day for days in by_connection.values() for day in days}
        db.execute(
            f"CREATE TEMP TABLE removed_leg AS SELECT cdr_id, {_LINK_HASH} AS link_hash, call_date, duration_seconds "
            f"FROM core.cdr SEMI JOIN replaced USING (connection, call_date) WHERE {in_days('call_date', every)}"
        )

    def _link_all_calls(self) -> None:
        """Put all calls together, some days at a time.

        A link with a leg that the days after them may go on with waits, with all its legs, and is put together with
        those: none of its calls is cut.
        """
        db = self.db
        db.execute("TRUNCATE core.call_leg")
        db.execute("TRUNCATE core.call")
        db.execute(f"CREATE TEMP TABLE waiting AS SELECT {_LEG} FROM core.cdr LIMIT 0")
        sizes = db.execute("SELECT call_date, count(*) FROM core.cdr GROUP BY call_date ORDER BY call_date").fetchall()
        stretches = list(_batches(sizes))
        for number, (days, rows) in enumerate(stretches, 1):
            legs = f"SELECT {_LEG} FROM core.cdr WHERE {in_days('call_date', set(days))} UNION ALL FROM waiting"
            if number == len(stretches):
                self._link_batch(legs, rows)
                self._flush_calls()
                return
            next_day = stretches[number][0][0]
            (next_start,) = db.execute(
                f"SELECT min(started_at) FROM core.cdr WHERE call_date = DATE '{next_day}'"
            ).fetchall()[0]
            db.execute(
                f"CREATE OR REPLACE TEMP TABLE open_link AS SELECT DISTINCT link_hash FROM ({legs}) "
                "WHERE link_hash IS NOT NULL AND started_at "
                "+ to_seconds(least(greatest(coalesce(duration_seconds, 0), 0), 1000000000)) >= $next - $gap",
                {"next": next_start, "gap": LINK_GAP},
            )
            db.execute(
                f"CREATE OR REPLACE TEMP TABLE legs_to_wait AS FROM ({legs}) SEMI JOIN open_link USING (link_hash)"
            )
            self._link_batch(f"FROM ({legs}) ANTI JOIN open_link USING (link_hash)", rows)
            db.execute("CREATE OR REPLACE TEMP TABLE waiting AS FROM legs_to_wait")

    def _link_calls(self, replaced: set[date]) -> tuple[set[date], set[date], set[date]]:
        """Put together again every call that has, or had, a leg in the replaced partitions.

        Returns the business days of those calls as they were and as they are, those of their legs, and the UTC days
        on which they were talked.
        """
        db = self.db
        self._find_legs(replaced)
        legs = (
            f"SELECT {_LEG} FROM core.cdr SEMI JOIN replaced USING (connection, call_date) "
            f"WHERE {in_days('call_date', replaced)} UNION ALL FROM related_leg"
        )
        leg_days = replaced | self._days("SELECT DISTINCT call_date FROM related_leg")
        near = in_days("call_date", leg_days)
        # A leg that is new was in no call.
        involved = "(SELECT cdr_id FROM related_leg UNION ALL SELECT cdr_id FROM removed_leg)"
        call_days = replaced | self._days(
            f"SELECT DISTINCT call_date FROM core.call WHERE {near} AND call_id IN {involved}"
        )
        talked = "SELECT min(started_at)::DATE, max(started_at + to_seconds(talk_seconds))::DATE FROM core.call WHERE "
        hours = self._spans(f"{talked} {in_days('call_date', call_days)} GROUP BY call_date")
        db.execute(f"DELETE FROM core.call WHERE {near} AND call_id IN {involved}")
        db.execute(f"DELETE FROM core.call_leg WHERE {near} AND cdr_id IN {involved}")
        rows = db.execute(f"SELECT count(*) FROM ({legs})").fetchall()[0][0]
        self._link_batch(legs, rows)
        self._flush_calls()
        call_days |= self._days(
            f"SELECT DISTINCT call_date FROM core.call_leg WHERE {near} AND cdr_id IN (SELECT cdr_id FROM related_leg)"
        )
        hours |= self._spans(f"{talked} {in_days('call_date', call_days)} GROUP BY call_date")
        return call_days, leg_days, hours

    def _link_batch(self, legs: str, rows: int) -> None:
        """Make ``made_call_…`` and ``made_call_leg_…`` of these legs, no call of which has a leg elsewhere.

        In parts when they are many; a call is all in one. Legs that are a call of their own take no sorting.
        """
        db = self.db
        parts = -(-rows // ROWS_AT_ONCE)
        for part in range(parts):
            mine = f"WHERE coalesce(link_hash, hash(cdr_id)) % {parts} = {part}" if parts > 1 else ""
            db.execute(f"CREATE OR REPLACE TEMP VIEW leg AS FROM ({legs}) {mine}")
            db.execute(
                "CREATE OR REPLACE TEMP TABLE multi_leg_key AS "
                "SELECT link_hash, max(started_at) - min(started_at) > $gap AS is_long "
                "FROM leg WHERE link_hash IS NOT NULL GROUP BY link_hash HAVING count(*) > 1",
                {"gap": LINK_GAP},
            )
            db.execute("CREATE OR REPLACE TEMP TABLE multi_leg AS FROM leg JOIN multi_leg_key USING (link_hash)")
            db.execute(f"CREATE OR REPLACE TEMP TABLE linking AS {sql_of('linking')}")
            for table_ in (CALL_LEG, CALL):
                names = ", ".join(table_.column_names)
                db.execute(
                    f"CREATE TEMP TABLE made_{table_.name}_{self.made} AS "
                    f"SELECT {names} FROM ({sql_of(table_.name)}) ORDER BY call_date"
                )
            # A table for each: DuckDB 2.0 loses rows of a temporary one that is added to again and again.
            self.made += 1
            if self.made == KEPT_AT_ONCE:
                self._flush_calls()

    def _flush_calls(self) -> None:
        """Write what was put together so far: each time some of the file's blocks stay part empty, so much at once."""
        if not self.made:
            return
        for name in ("call_leg", "call"):
            made = [f"made_{name}_{number}" for number in range(self.made)]
            self.db.execute(f"INSERT INTO core.{name} " + " UNION ALL ".join(f"FROM {part}" for part in made))
            for part in made:
                self.db.execute(f"DROP TABLE {part}")
        self.made = 0

    def _find_legs(self, replaced: set[date]) -> None:
        """Make ``related_leg``: all legs of other partitions that can be of one call with those replaced, now or once.

        A leg is looked for on the days that one known so far reaches to, until no day brings another: two days back,
        since a leg of a day at most and the gap end within them; forward as long as the leg lasted. Legs of more than
        a day are looked for wherever they are; the database finds them by their length without reading the others.
        """
        db = self.db
        gap = int(LINK_GAP.total_seconds())
        db.execute(f"CREATE TEMP TABLE related_leg AS SELECT {_LEG} FROM core.cdr LIMIT 0")
        known = (
            f"SELECT {_LINK_HASH} AS link_hash, call_date, duration_seconds FROM core.cdr SEMI JOIN replaced "
            f"USING (connection, call_date) WHERE {in_days('call_date', replaced)} "
            "UNION ALL SELECT link_hash, call_date, duration_seconds FROM removed_leg"
        )
        db.execute(
            f"CREATE TEMP TABLE link_hash AS SELECT DISTINCT link_hash FROM ({known}) WHERE link_hash IS NOT NULL"
        )
        linked = (
            f"FROM (SELECT {_LEG} FROM core.cdr) SEMI JOIN link_hash USING (link_hash) "
            "ANTI JOIN replaced USING (connection, call_date)"
        )
        seen: set[date] = set()
        wanted = self._days(f"SELECT DISTINCT call_date FROM ({linked} WHERE duration_seconds > 86400)")
        while True:
            for first, last in db.execute(
                "SELECT DISTINCT call_date - 2, "
                f"call_date + CAST(1 + (greatest(coalesce(duration_seconds, 0), 0) + {gap}) // 86400 AS INTEGER) "
                f"FROM ({known} UNION ALL SELECT link_hash, call_date, duration_seconds FROM related_leg) "
                "WHERE link_hash IS NOT NULL"
            ).fetchall():
                wanted |= set(_stretch(first, last))
            if not wanted - seen:
                return
            db.execute(f"INSERT INTO related_leg {linked} WHERE {in_days('call_date', wanted - seen)}")
            seen |= wanted

    # --- which days --------------------------------------------------------------------------------------------

    def _remember_charges(self, name: str) -> None:
        """What the lists say about costs: invoices and bundles by day, and the department of each extension.

        Lists come whole every time; comparing them before and after tells the few days that changed.
        """
        self.db.execute(
            f"""
            CREATE TEMP TABLE {name} AS
            SELECT
                issued_on AS day,
                NULL::VARCHAR AS connection,
                NULL::VARCHAR AS account_id,
                NULL::VARCHAR AS extension,
                [
                    vendor, connection, invoice_id, currency,
                    counts_as_expense::VARCHAR, subtotal::VARCHAR, tax::VARCHAR, credit::VARCHAR, number,
                    credit_added::VARCHAR, CASE WHEN credit_added <> 0 THEN concat_ws(' ', status, paid_at) END
                ] AS said
            FROM core.invoice
            UNION ALL
            SELECT i.issued_on, NULL, NULL, NULL,
                [
                    l.connection, l.invoice_id, l.line_id, l.type, l.item_id, l.quantity::VARCHAR,
                    l.line_total::VARCHAR, l.credit_added::VARCHAR
                ]
            FROM core.invoice_line AS l
            JOIN core.invoice AS i ON i.connection = l.connection AND i.invoice_id = l.invoice_id
            UNION ALL
            SELECT valid_from_date, NULL, NULL, NULL,
                [vendor, connection, account_id, bundle_id, valid_from::VARCHAR, price_monthly::VARCHAR, currency]
            FROM core.bundle
            UNION ALL
            SELECT NULL, connection, account_id, extension, [type, extension_id, department]
            FROM core.extension
            WHERE department IS NOT NULL
            """
        )

    def _days_of_changed_charges(self) -> set[date]:
        self.db.execute(
            "CREATE TEMP TABLE charge_change AS "
            "(FROM charges_before EXCEPT FROM charges_after) UNION ALL (FROM charges_after EXCEPT FROM charges_before)"
        )
        return self._days("SELECT DISTINCT day FROM charge_change WHERE day IS NOT NULL") | self._days(
            "SELECT DISTINCT m.cost_date FROM mart.cost_daily AS m SEMI JOIN charge_change AS c ON m.connection = "
            "c.connection AND m.account_id IS NOT DISTINCT FROM c.account_id AND m.extension = c.extension"
        )

    def _set_scopes(self, calls: Days, legs: Days, cost: Days, hours: Days, reconciled: Days, all_closes: bool) -> None:
        months = _whole_months(cost)
        closed = _EVERYTHING if all_closes else months
        self._set_scope(CALL_DAYS, calls)
        self._set_scope(COST_DAYS, cost)
        self._set_scope(RECONCILED_DAYS, reconciled)
        self._set_scope(COST_MONTHS, months)
        self._set_scope(CLOSED_MONTHS, closed)
        self._set_scope(MOVED_MONTHS, closed)
        self._set_scope(HOURS, hours)
        self._macro("around_hours", "day", _spread(hours, -2, -1, 0, 1))

        # An hour belongs to the business day of its start, which can be the UTC day before or after.
        talked = _spread(hours, -1, 0, 1)
        call_months = _whole_months(_union(_union(calls, legs), talked))
        self._set_scope(CALL_MONTHS, call_months)
        across = "leg_date <> call_date AND (in_call_months(call_date) OR in_call_months(leg_date))"
        beyond = self._days(f"SELECT DISTINCT unnest([call_date, leg_date]) FROM core.call_leg WHERE {across}")
        self._macro("near_legs", "day", _union(call_months, beyond))
        self._instants("near_call_months", _spread(call_months, -1, 0, 1))
        returned = _spread(calls, -1, 0)
        self._set_scope(CALLBACK_DAYS, returned)
        self._macro("around_callback_days", "day", _spread(returned, 0, 1))

    def _find_seconds(self, days: Days) -> Days:
        """Give TIM4biz's durations without a unit the one that the calls tell; the days on which that changed any."""
        self._macro("in_unit_days", "day", days)
        self.db.execute(sql_of("duration_unit"))
        return self._days("SELECT DISTINCT total_date FROM total_seconds")

    def _find_split(self) -> None:
        """Make ``near_split`` true of the days of the few calls whose legs are of several days or currencies."""
        moved = "leg_date <> call_date AND (in_call_days(call_date) OR in_call_days(leg_date))"
        mixed = "legs > 1 AND currency IS NULL AND cost IS NULL AND in_call_days(call_date)"
        near = self._days(f"SELECT DISTINCT unnest([call_date, leg_date]) FROM core.call_leg WHERE {moved}")
        near |= self._days(f"SELECT DISTINCT call_date FROM core.call WHERE {mixed}")
        self._macro("near_split", "day", near)

    def _days_of_moved(self, before: str | None, now: str) -> set[date]:
        """The days with calls of accounts whose country is another one than it was, or known now."""
        known, homes = ({tuple(home) for home in json.loads(text or "[]")} for text in (before, now))
        moved = [[connection, account] for connection, account, _ in known ^ homes]
        if not moved:
            return set()
        self.db.execute("CREATE TEMP TABLE moved (connection VARCHAR, account_id VARCHAR)")
        self.db.executemany("INSERT INTO moved VALUES (?, ?)", moved)
        return self._days(
            "SELECT DISTINCT call_date FROM mart.usage_daily AS u SEMI JOIN moved AS m "
            "ON m.connection = u.connection AND m.account_id IS NOT DISTINCT FROM u.account_id"
        )

    def _set_fraud_scope(self, days: Days) -> None:
        if days is not None:
            days = (_spread(days, *range(0, 7 * SAME_WEEKDAYS + 1, 7)) or set()) | self._days(
                "SELECT DISTINCT first_date FROM ((FROM first_call_before EXCEPT FROM first_call) UNION ALL "
                "(FROM first_call EXCEPT FROM first_call_before))"
            )
        self._set_scope(FRAUD_DAYS, days)
        self._macro("fraud_history_days", "day", _spread(days, *range(-7 * SAME_WEEKDAYS, 1, 7)))

    def _set_scope(self, scope: Scope, days: Days) -> None:
        name = scope.macro or ""
        if scope.instants:
            self._instants(name, days)
        else:
            self._macro(name, "day", days, "day >= kept_from()" if scope.kept else "true")

    def _macro(self, name: str, parameter: str, days: Days, also: str = "true") -> None:
        condition = f"{in_days(parameter, days)} AND {also}"
        self.db.execute(f"CREATE OR REPLACE TEMP MACRO {name}({parameter}) AS ({condition})")

    def _instants(self, name: str, days: Days) -> None:
        """A macro that asks whether an instant lies in one of these UTC days."""
        spans = [
            f"(moment >= TIMESTAMPTZ '{first} 00:00+00' AND moment < TIMESTAMPTZ '{last + timedelta(1)} 00:00+00')"
            for first, last in _ranges(days or ())
        ]
        asked = "true" if days is None else " OR ".join(spans) or "false"
        self.db.execute(f"CREATE OR REPLACE TEMP MACRO {name}(moment) AS ({asked})")

    def _days(self, query: str) -> set[date]:
        return {row[0] for row in self.db.execute(query).fetchall()}

    def _spans(self, query: str) -> set[date]:
        return {day for first, last in self.db.execute(query).fetchall() for day in _stretch(first, last)}

    # --- marts -------------------------------------------------------------------------------------------------

    def _prepare_settings(self) -> dict[str, str]:
        """Make what the marts read besides tables, and return the fingerprints of all that decides about them."""
        db, policy = self.db, self.policy
        prepare_rules(db, self.reference.rules)
        rates = [(r.day, r.currency, r.rate) for r in self.reference.rates]
        _make_table(db, "fx_rate", "rate_date DATE, currency VARCHAR, rate DECIMAL(18, 9)", rates)
        self._prepare_finance()
        pairs = self._reconciliation_pairs()
        db.execute("CREATE TEMP TABLE reconciliation_pair (connection VARCHAR, pbx_connection VARCHAR)")
        if pairs:
            db.executemany("INSERT INTO reconciliation_pair VALUES (?, ?)", pairs)
        db.execute(
            "CREATE TEMP TABLE reconciliation_day AS SELECT DISTINCT connection, day AS call_date FROM meta.partition "
            "WHERE day IS NOT NULL AND list_contains(string_split(tables, ','), 'core.extension_total')"
        )
        # Of a connection that is no longer configured its totals stay, and must be exact.
        tolerances = [
            (name, *vars(policy.tolerances.get(name, Tolerance())).values()) for name in self._connections("tim4biz")
        ]
        db.execute(
            "CREATE TEMP TABLE tolerance (connection VARCHAR, seconds_per_call BIGINT, "
            "seconds_percent DECIMAL(9, 3), cost_percent DECIMAL(9, 3))"
        )
        if tolerances:
            db.executemany("INSERT INTO tolerance VALUES (?, ?, ?, ?)", tolerances)
        db.execute(f"CREATE TEMP MACRO reporting_currency() AS {quoted(policy.reporting_currency)}")
        db.execute(
            "CREATE TEMP MACRO end_of(day) AS "
            f"timezone({quoted(policy.timezone)}, CAST(day AS TIMESTAMP) + INTERVAL 1 DAY)"
        )
        db.execute(f"CREATE TEMP MACRO local_time(moment) AS timezone({quoted(policy.timezone)}, moment)")
        limits = vars(policy.fraud)
        db.execute(
            "CREATE TEMP TABLE fraud_rules AS SELECT " + ", ".join(f"? AS {name}" for name in limits),
            list(limits.values()),
        )
        db.execute("CREATE TEMP TABLE foreign_nanp AS SELECT unnest(?::VARCHAR[]) AS country", [FOREIGN_NANP])
        db.execute(f"CREATE TEMP MACRO kept_from() AS DATE '{self.kept_from}'")
        db.execute(f"CREATE TEMP MACRO long_call_seconds() AS {policy.long_call_hours * 3600}")
        self._prepare_closes()
        erased = self._prepare_erasures()
        as_of = self._as_of()
        db.execute(f"CREATE TEMP MACRO as_of() AS CAST({quoted(str(as_of)) if as_of else 'NULL'} AS DATE)")
        db.execute(MACROS)
        for name in VIEWS:
            db.execute(f"CREATE TEMP VIEW {name} AS {sql_of(f'views/{name}')}")
        sql = "\n".join(sql_of(name) for name in sql_names())
        return {
            "derivation": sha(f"{MACROS}\n{sql}\n{policy.long_call_hours}"),
            "charging": sha(f"{policy.reporting_currency} {self.reference.digest} {self.reference.accounts}"),
            "reconciliation": sha(json.dumps([pairs, str(tolerances)])),
            "closes": sha(repr(self.closes)),
            "erasures": erased,
            "fraud": sha(repr((policy.fraud, FOREIGN_NANP))),
            "homes": self._homes(),
            "kept_from": self.kept_from.isoformat(),
        }

    def _homes(self) -> str:
        """The country of each account, against which a call is one abroad, as JSON."""
        homes = "SELECT DISTINCT connection, account_id, country FROM core.account ORDER BY ALL"
        return json.dumps(self.db.execute(homes).fetchall())

    def _prepare_finance(self) -> None:
        """Make ``budget_line``, ``allocation_rule`` with ``allocation_share``, and ``account_rule`` of finance's files.

        ``priority`` is 1 for the rule to apply first, and tells the rules apart.
        """
        reference = self.reference
        rules = list(enumerate(reference.allocations, 1))
        tables: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
            "budget_line": (
                "month DATE, cost_centre VARCHAR, vendor VARCHAR, charge_kind VARCHAR, "
                f"amount {MONEY}, currency VARCHAR",
                [(b.month, b.cost_centre, b.vendor, b.charge_kind, b.amount, b.currency) for b in reference.budgets],
            ),
            "allocation_rule": (
                "priority INTEGER, rule VARCHAR, vendor VARCHAR, connection VARCHAR, charge_kind VARCHAR, "
                "item VARCHAR, method VARCHAR, calls_of VARCHAR, first_month DATE, last_month DATE",
                [(n, r.name, *r.scope, r.method, r.calls_of, r.first_month, r.last_month) for n, r in rules],
            ),
            "allocation_share": (
                f"priority INTEGER, cost_centre VARCHAR, share {MONEY}",
                [(n, *share) for n, r in rules for share in r.shares],
            ),
            "account_rule": (
                "priority INTEGER, role VARCHAR, vendor VARCHAR, charge_kind VARCHAR, account VARCHAR, "
                "by_cost_centre BOOLEAN",
                [
                    (n, a.role, a.vendor, a.charge_kind, a.account, a.by_cost_centre)
                    for n, a in enumerate(reference.accounts, 1)
                ],
            ),
        }
        for name, (columns, rows) in tables.items():
            _make_table(self.db, name, columns, rows)

    def _prepare_closes(self) -> None:
        """Make ``closed_month`` and ``closed_total`` of the manifests, and ``closed_cost`` of the files that count."""
        db, data_dir = self.db, self.policy.data_dir
        known = {(close.month, close.version) for close in self.closes}
        for month, version in db.execute("SELECT month, version FROM audit.month_close ORDER BY ALL").fetchall():
            if (month, version) not in known:
                raise IntegrityError(
                    f"close {version} of {month:%Y-%m} is gone from {data_dir / 'closed'}",
                    hint=f"restore it from a backup; to do without it, {REBUILD}",
                )
        counting = current(self.closes)
        columns = ", ".join(f'"{column.name}" {column.type}' for column in MONTH_CLOSE.columns)
        db.execute(f"CREATE TEMP TABLE closed_month ({columns})")
        db.execute(f"CREATE TEMP TABLE closed_total (month DATE, currency VARCHAR, cost {MONEY})")
        for close in self.closes:
            fields = {**close.__dict__, "is_current": counting[close.month] is close}
            db.execute(
                f"INSERT INTO closed_month VALUES ({', '.join('?' for _ in MONTH_CLOSE.columns)})",
                [fields[name] for name in MONTH_CLOSE.column_names],
            )
        for close in counting.values():
            for currency, cost in close.costs:
                db.execute("INSERT INTO closed_total VALUES (?, ?, ?)", [close.month, currency, cost])
        figures = [close.figures(data_dir) for close in counting.values()]
        db.register("closed_figures", pa.concat_tables([CLOSED.arrow().empty_table(), *figures]))
        db.execute("CREATE TEMP TABLE closed_cost AS SELECT * FROM closed_figures")
        db.unregister("closed_figures")

    def _prepare_erasures(self) -> str:
        """Make ``erased_number`` of the register; its fingerprint."""
        lines = [
            [erasure.id, at, name, rows]
            for erasure in Register(self.policy.data_dir).read()
            for at, by_table in erasure.lines
            for name, rows in by_table.items()
        ]
        columns = ", ".join(f'"{column.name}" {column.type}' for column in ERASURE.columns)
        self.db.execute(f"CREATE TEMP TABLE erased_number ({columns})")
        if lines:
            self.db.executemany("INSERT INTO erased_number VALUES (?, ?, ?, ?)", lines)
        return sha(repr(lines))

    def _reconciliation_pairs(self) -> list[list[str]]:
        every_pbx = self._connections("pbxware")
        return [
            [name, pbx]
            for name in self._connections("tim4biz")
            for pbx in sorted(self.policy.reconciles.get(name, every_pbx))
        ]

    def _connections(self, vendor: str) -> list[str]:
        """The connections of a vendor of which something is loaded."""
        query = "SELECT DISTINCT connection FROM meta.partition WHERE vendor = ? ORDER BY connection"
        return [name for (name,) in self.db.execute(query, [vendor]).fetchall()]

    def _as_of(self) -> date | None:
        """The last business day loaded, by the data and not by the clock, so that a rebuild says the same."""
        row = self.db.execute(
            """
            SELECT coalesce(
                greatest(
                    (SELECT max(day) FROM meta.partition),
                    (SELECT max(window_to) FROM audit.load WHERE status <> 'failed')
                ),
                -- Only lists were ever loaded.
                (SELECT max(CAST(started_at AT TIME ZONE ? AS DATE)) FROM audit.load WHERE status <> 'failed'),
                (SELECT max(CAST(fetched_at AT TIME ZONE ? AS DATE)) FROM core.invoice)
            )
            """,
            [self.policy.timezone, self.policy.timezone],
        ).fetchone()
        return row[0] if row else None

    def _derive(self, mart: Table) -> None:
        column = mart.date_column
        self.db.execute(f"DELETE FROM {mart.full_name} WHERE {mart.scope.holds(column or '')}")
        # Rows of a day lie together, so that a day is found without reading the others.
        order = f"ORDER BY {column}" if column else ""
        self.db.execute(f"INSERT INTO {mart.full_name} BY NAME SELECT * FROM ({sql_of_mart(mart)}) {order}")

    def _derive_whole(self, table_: Table) -> None:
        """Make all of a table again, and write the rows that are not there as they came out."""
        held = {
            MONTH_CLOSE: "FROM closed_month",
            ERASURE: "FROM erased_number",
            REFERENCE_NOTICE: "FROM found_notice",
        }
        select = held.get(table_) or sql_of(table_.name)
        names = ", ".join(f'"{name}"' for name in table_.column_names)
        same = " AND ".join(f't."{name}" = gone."{name}"' for name in table_.key)
        self.db.execute(f"CREATE TEMP TABLE fresh AS SELECT {names} FROM ({select})")
        self.db.execute(
            f"DELETE FROM {table_.full_name} AS t "
            f"USING (SELECT {names} FROM {table_.full_name} EXCEPT FROM fresh) AS gone WHERE {same}"
        )
        self.db.execute(
            f"INSERT INTO {table_.full_name} "
            f"SELECT * FROM (FROM fresh EXCEPT SELECT {names} FROM {table_.full_name}) ORDER BY {table_.date_column}"
        )
        self.db.execute("DROP TABLE fresh")

    def _find_notices(self) -> None:
        """Make ``found_notice`` of what the marts and lists now say of finance's files."""
        columns = ", ".join(f'"{column.name}" {column.type}' for column in REFERENCE_NOTICE.columns)
        found = []
        if self.reference.digest:
            facts = read_facts(self.db, self.policy.connections)
            found = [
                [month, notice.file, notice.line, notice.kind, notice.reason, notice.suggestion]
                for month in facts.months
                for notice in notices(self.reference, facts, month, self.policy.reporting_currency)
            ]
        _make_table(self.db, "found_notice", columns, found)

    def _tie_out(self) -> None:
        """Prove the tables against their facts, in the order they are made; IntegrityError where a figure differs."""
        self.db.execute(sql_of("tie_out_sums"))
        for table_ in DERIVED:
            if not table_.tied_out:
                continue
            again = table_.scope.holds("tie_date::TIMESTAMPTZ" if table_.scope.instants else "tie_date")
            self.db.execute(f"DELETE FROM audit.tie_out WHERE mart = '{table_.full_name}' AND {again}")
            self.db.execute(sql_of(f"tie_outs/{table_.name}"))
            self.db.execute(
                f"INSERT INTO audit.tie_out BY NAME SELECT '{table_.full_name}' AS mart, * FROM ({sql_of('compared')}) "
                f"ORDER BY {TIE_OUT.date_column}"
            )
            wrong = self.db.execute(
                "SELECT tie_date, measure, currency, fact, in_mart FROM audit.tie_out "
                "WHERE mart = ? AND (difference <> 0 OR difference IS NULL) "
                "ORDER BY tie_date, measure, currency LIMIT 1",
                [table_.full_name],
            ).fetchone()
            if wrong:
                day, measure, currency, fact, in_mart = wrong
                what = f"{table_.full_name} does not tie out: {measure} {currency}".rstrip()
                raise IntegrityError(
                    f"{what} is {in_mart}, the facts say {fact}",
                    window=str(day or ""),
                    hint=f"nothing was changed; {REBUILD}",
                )


# --- SQL --------------------------------------------------------------------------------------------------------------


def prepare_rules(db: duckdb.DuckDBPyConnection, rules: Sequence[CostCentreRule]) -> None:
    """Make what ``cost_daily.sql`` looks cost centres up in."""
    tables = rule_tables(rules)
    _make_table(db, "cost_centre_scope", "scope INTEGER, connection VARCHAR, account_id VARCHAR", tables.scopes)
    _make_table(db, "cost_centre_segment", "segment INTEGER, key_from VARCHAR", tables.segments)
    _make_table(db, "cost_centre_match", "segment INTEGER, target INTEGER", tables.matches)
    columns = "target INTEGER, priority INTEGER, cost_centre VARCHAR, valid_from DATE, valid_to DATE"
    _make_table(db, "cost_centre_rule", columns, tables.rules)


def _make_table(db: duckdb.DuckDBPyConnection, name: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
    """A temporary table of rows; by whole columns, since a statement for each row takes a millisecond."""
    db.execute(f"CREATE TEMP TABLE {name} ({columns})")
    if rows:
        texts = [[None if value is None else str(value) for value in column] for column in zip(*rows, strict=True)]
        db.execute(f"INSERT INTO {name} SELECT {', '.join('unnest(?::VARCHAR[])' for _ in texts)}", texts)


def sql_of(name: str) -> str:
    return packaged_sql(_HERE, name)


def sql_names() -> list[str]:
    """The names of all SQL that an update reads."""
    paths = [*_HERE.glob("*.sql"), *(path for folder in SQL_FOLDERS for path in (_HERE / folder).glob("*.sql"))]
    return sorted(path.relative_to(_HERE).with_suffix("").as_posix() for path in paths)


def sql_of_mart(mart: Table) -> str:
    return sql_of(f"marts/{mart.name}")


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def get_state(db: duckdb.DuckDBPyConnection, name: str) -> str | None:
    row = db.execute("SELECT value FROM meta.state WHERE name = ?", [name]).fetchone()
    return str(row[0]) if row else None


def set_state(db: duckdb.DuckDBPyConnection, name: str, value: str) -> None:
    if get_state(db, name) != value:
        db.execute("DELETE FROM meta.state WHERE name = ?", [name])
        db.execute("INSERT INTO meta.state VALUES (?, ?)", [name, value])


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# --- days -------------------------------------------------------------------------------------------------------------


def in_days(column: str, days: Days) -> str:
    """A condition on a DATE, as literal ranges: those the database can skip the other days by."""
    if days is None:
        return f"{column} IS NOT NULL"
    spans = [f"{column} BETWEEN DATE '{first}' AND DATE '{last}'" for first, last in _ranges(days)]
    return f"({' OR '.join(spans)})" if spans else "false"


def _ranges(days: Iterable[date]) -> list[tuple[date, date]]:
    """The days as stretches without a gap, in order."""
    ordered = sorted(days)
    breaks = [(a, b) for a, b in pairwise(ordered) if (b - a).days > 1]
    if not ordered:
        return []
    return list(zip([ordered[0], *(b for _, b in breaks)], [*(a for a, _ in breaks), ordered[-1]], strict=True))


def _stretch(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(n) for n in range((last - first).days + 1))


def _spread(days: Days, *offsets: int) -> Days:
    """The days that lie so many days from one of these."""
    return None if days is None else {day + timedelta(offset) for day in days for offset in offsets}


def _union(some: Days, others: Days) -> Days:
    return None if some is None or others is None else some | others


def _whole_months(days: Days) -> Days:
    return None if days is None else {day for month in {d.replace(day=1) for d in days} for day in _month(month)}


def _month(first: date) -> Iterator[date]:
    return _stretch(first, (first + timedelta(31)).replace(day=1) - timedelta(1))


# --- what is too much at once ---------------------------------------------------------------------------------------


def _batches(sizes: Iterable[tuple[_Thing, int]]) -> Iterator[tuple[list[_Thing], int]]:
    """The things in order, as many together as have ``ROWS_AT_ONCE`` rows, or a single one; and how many rows."""
    batch: list[_Thing] = []
    rows = 0
    for thing, more in sizes:
        if batch and rows + more > ROWS_AT_ONCE:
            yield batch, rows
            batch, rows = [], 0
        batch.append(thing)
        rows += more
    if batch:
        yield batch, rows


# --- partitions -----------------------------------------------------------------------------------------------------


def _core_rows(p: Partition) -> int | None:
    """Records of a day's partition; None for a list, whose rows are of no day."""
    if p.day is None:
        return None
    return sum(int(pq.read_metadata(path).num_rows) for name, path in p.files.items() if name.startswith("core."))


def _not_whole(p: Partition, what: str) -> IntegrityError:
    return IntegrityError(
        what, connection=p.connection, endpoint=p.stream, window=str(p.day or ""), hint="load its days again"
    )
