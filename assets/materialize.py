"""A connection's streams as Dagster's assets: how they are described, materialised and checked.

What lives here: asset specs made from the declarations of streams and tables, and the turning of a load's outcome into
materialisations, checks and failures. What does not: which streams there are (``vendors``), loading itself (``load``,
which knows nothing of Dagster).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import wraps
from typing import Any, Protocol

import pyarrow.parquet as pq
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetsDefinition,
    AssetSpec,
    BackfillPolicy,
    DagsterError,
    Failure,
    FreshnessPolicy,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    ResourceParam,
    TableColumn,
    TableSchema,
    multi_asset,
)

from assets.load import load
from assets.stream import Fetch, Outcome, Source, Stream, Window
from tollbook_errors import InternalError, TollbookError
from warehouse.core import CorePartition, read_core
from warehouse.database import Database
from warehouse.lake import Lake
from warehouse.raw import Landing
from warehouse.schema import CONTROL_TOTAL, RESTATEMENT, Table

RESOURCE = "tollbook"
SHOWN = 20  # figures and variances that a check shows at most; all are in audit.control_total


class Runtime(Protocol):
    """The resource that assets ask for: everything that the settings say, ready to use."""

    @property
    def default_window(self) -> tuple[date, date]:
        """First and last business day of a run that was not told its days."""

    @property
    def lake(self) -> Lake: ...

    @property
    def database(self) -> Database: ...

    def keep_from(self) -> date | None:
        """The first business day that is kept; None: all are."""

    def source(self, name: str, context: AssetExecutionContext) -> Source:
        """The connection of this name, for this run."""


@dataclass(frozen=True)
class Connection:
    """What the asset graph must know of a connection before anything runs."""

    name: str
    vendor: str
    stale_after: timedelta | None = None

    @property
    def key(self) -> str:
        """Its name where Dagster allows only letters, digits and underscores."""
        return re.sub(r"[^A-Za-z0-9_]", "_", self.name)

    def asset(self, name: str) -> AssetKey:
        return AssetKey([self.key, name])


def fresh_for(time: timedelta) -> FreshnessPolicy:
    """An asset that nothing has made for so long fails in Dagster's own view of freshness."""
    return FreshnessPolicy.time_window(fail_window=time)


def typed_errors(make: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """An asset's function that fails with an InternalError where nobody foresaw why.

    Dagster keeps the text of whatever is raised, and that may quote a vendor's data.
    """

    @wraps(make)
    def made(context: AssetExecutionContext, **resources: Any) -> Iterator[Any]:
        internal: InternalError | None = None
        try:
            yield from make(context, **resources)
        except (TollbookError, DagsterError, Failure):
            raise
        except Exception as error:
            internal = InternalError.of(error)
        if internal is not None:
            raise internal

    return made


def connection_assets(
    connection: Connection, streams: Sequence[Stream], days: PartitionsDefinition[str]
) -> list[AssetsDefinition]:
    """The assets of one connection: for each of its streams what is landed, and the tables that are made of it."""
    needed = {stream.read_with for stream in streams}
    return [_stream_assets(connection, stream, days, needed=stream.name in needed) for stream in streams]


def _stream_assets(
    connection: Connection, stream: Stream, days: PartitionsDefinition[str], *, needed: bool
) -> AssetsDefinition:
    """``needed``: another stream is read with this one."""
    partitions = days if stream.daily else None

    @multi_asset(
        name=f"{connection.key}_{stream.name}",
        specs=[_raw_spec(connection, stream, partitions), *_core_specs(connection, stream, partitions)],
        check_specs=_check_specs(connection, stream),
        backfill_policy=BackfillPolicy.single_run() if stream.daily else None,
    )
    @typed_errors
    def read(context: AssetExecutionContext, tollbook: ResourceParam[Runtime]) -> Iterator[Any]:
        source = tollbook.source(connection.name, context)
        lists = source.lake.raw.newest_list(connection.name, stream.read_with) if stream.read_with else None
        windows, fetch = stream.plan(source, lists, _days(context, tollbook) if stream.daily else [])
        depends_on = {stream.read_with: lists} if lists else {}
        yield from materialize_stream(context, source, stream, windows, fetch, depends_on=depends_on, needed=needed)

    return read


def _tags(connection: Connection, layer: str) -> dict[str, str]:
    return {
        "tollbook/layer": layer,
        "tollbook/vendor": connection.vendor,
        "tollbook/connection": connection.key,
    }


def _raw_spec(connection: Connection, stream: Stream, partitions: PartitionsDefinition[str] | None) -> AssetSpec:
    """The landed responses of a stream."""
    return AssetSpec(
        connection.asset(f"raw_{stream.name}"),
        deps=[connection.asset(f"raw_{stream.read_with}")] if stream.read_with else [],
        description=stream.responses,
        group_name=connection.vendor,
        kinds={"python", "parquet"},
        partitions_def=partitions,
        freshness_policy=fresh_for(connection.stale_after) if connection.stale_after else None,
        tags=_tags(connection, "raw"),
    )


def _core_specs(
    connection: Connection, stream: Stream, partitions: PartitionsDefinition[str] | None
) -> list[AssetSpec]:
    """The typed tables made of a stream; each says its grain and its columns."""
    return [
        AssetSpec(
            connection.asset(table_.name),
            deps=[connection.asset(f"raw_{stream.name}")],
            description=f"`{table_.full_name}` of connection `{connection.name}`. {table_.grain}.",
            group_name=connection.vendor,
            kinds={"duckdb", "parquet"},
            partitions_def=partitions,
            tags=_tags(connection, "core"),
            metadata={"dagster/column_schema": column_schema(table_)},
        )
        for table_ in stream.tables
    ]


def _check_specs(connection: Connection, stream: Stream) -> list[AssetCheckSpec]:
    """What is checked of a stream: each of its control totals, and that all was understood."""
    raw = connection.asset(f"raw_{stream.name}")
    return [
        *(AssetCheckSpec(name, asset=raw, description=compared) for name, compared in stream.controls.items()),
        AssetCheckSpec(
            f"{stream.name}_understood",
            asset=raw,
            description="Records that could not be understood are set aside in audit.quarantine, and stay in raw.",
        ),
    ]


def column_schema(table_: Table) -> TableSchema:
    """A table's columns as Dagster shows them."""
    return TableSchema([TableColumn(c.name, c.type, c.comment) for c in table_.columns])


def _days(context: AssetExecutionContext, tollbook: Runtime) -> list[date]:
    """The partitions of this run; those of the default window where it was started without any."""
    if _has_partitions(context):
        return sorted(date.fromisoformat(key) for key in context.partition_keys)
    first, last = tollbook.default_window
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _has_partitions(context: AssetExecutionContext) -> bool:
    return bool(context.has_partition_key or context.has_partition_key_range)


def materialize_stream(
    context: AssetExecutionContext,
    source: Source,
    stream: Stream,
    windows: Sequence[Window],
    fetch: Callable[[Window], Fetch],
    *,
    depends_on: Mapping[str, Landing] | None = None,
    needed: bool = False,
) -> Iterator[MaterializeResult[Any] | AssetCheckResult]:
    """Load a stream and report it: materialisations with figures, checks, and a failure after all that could be loaded.

    When a day failed, the days that did not are reported one by one, and the step fails with what went wrong. The step
    of a list that is ``needed`` by another stream does not fail while what it said before stays: Dagster would skip
    what is loaded with it. The steps that load that fail instead, in the end.
    """
    connection = Connection(source.name, source.vendor)
    # The generation that holds the lists' content, so that reading the same lists again changes nothing.
    lists = {name: landing.content_generation for name, landing in (depends_on or {}).items()}
    outcome = load(source, stream, windows, fetch, depends_on=lists)
    for warning in sorted(set(outcome.warnings)):
        context.log.warning(f"{source.name} {stream.name}: {warning}")
    raw = connection.asset(f"raw_{stream.name}")
    failures = [f"{error.kind}: {error}" for error in outcome.failures]
    if needed and outcome.known:
        yield from _stale(connection, stream, raw, failures[0])
        return
    failures += _stale_lists(source, lists)
    # Days are reported by themselves where the run has none of its own, or fails after some of them.
    apart = bool(failures) or not _has_partitions(context)
    for partition in outcome.partitions if stream.daily else ():
        landings = [landing for landing in outcome.landings if _holds(landing, partition.day)]
        figures = {raw: _raw_metadata(landings, lists)}
        figures |= {connection.asset(t.name): _core_metadata(source, [partition], t) for t in stream.tables}
        for key, metadata in figures.items():
            if apart:
                context.log_event(AssetMaterialization(key, metadata=metadata, partition=str(partition.day)))
            else:
                context.add_asset_metadata(metadata, key, str(partition.day))
    if failures:
        raise Failure(
            failures[0],
            metadata={"failures": len(failures), "loaded": len(outcome.landings)},
            allow_retries=False,
        )
    yield MaterializeResult(asset_key=raw, metadata=None if stream.daily else _raw_metadata(outcome.landings, lists))
    for table_ in stream.tables:
        whole = None if stream.daily else _core_metadata(source, outcome.partitions, table_)
        yield MaterializeResult(asset_key=connection.asset(table_.name), metadata=whole)
    yield from _checks(source, stream, raw, outcome)


def _stale(
    connection: Connection, stream: Stream, raw: AssetKey, failure: str
) -> Iterator[MaterializeResult[Any] | AssetCheckResult]:
    """A list that stands as it was known: its assets with the reason and a failed check."""
    for key in (raw, *(connection.asset(table_.name) for table_ in stream.tables)):
        yield MaterializeResult(asset_key=key, metadata={"not_read": failure})
    for name in stream.controls:
        yield _control_check(name, raw, [])
    yield AssetCheckResult(check_name=f"{stream.name}_understood", asset_key=raw, passed=False, description=failure)


def _stale_lists(source: Source, lists: Mapping[str, str]) -> list[str]:
    """Why the lists that a stream is read with could not be read in this load; none where they could."""
    return [
        f"{row['error_type']}: {row['error']}"
        for row in (source.lake.loads.of(source.load_id) if lists else ())
        if row["connection"] == source.name and row["stream"] in lists and row["status"] == "failed"
    ]


def _holds(landing: Landing, day: date | None) -> bool:
    first, last = landing.window_from, landing.window_to
    return day is not None and first is not None and last is not None and first <= day <= last


def _raw_metadata(landings: Sequence[Landing], lists: Mapping[str, str]) -> dict[str, Any]:
    """Figures of landings; one that holds several days gives each of them its own."""
    return {
        "dagster/row_count": sum(landing.rows for landing in landings),
        "responses": sum(landing.pages for landing in landings),
        "requests": sum(landing.requests for landing in landings),
        "bytes": sum(landing.bytes for landing in landings),
        "unchanged_windows": sum(landing.unchanged for landing in landings),
        "first_day": min(str(landing.window_from or "") for landing in landings),
        "last_day": max(str(landing.window_to or "") for landing in landings),
        "sha256": MetadataValue.json({str(landing.window_from or "all"): landing.sha256 for landing in landings}),
        "read_with": MetadataValue.json(dict(lists)),
    }


def _core_metadata(source: Source, partitions: Sequence[CorePartition], table_: Table) -> dict[str, Any]:
    name = table_.full_name
    days = sorted(partition.day for partition in partitions if partition.day)
    cost = {"cost": MetadataValue.json(_costs(source, partitions, table_))} if "cost" in table_.column_names else {}
    return {
        "dagster/row_count": sum(partition.rows.get(name, 0) for partition in partitions),
        "first_day": str(days[0]) if days else "",
        "last_day": str(days[-1]) if days else "",
        **cost,
        "restatements": sum(partition.rows.get(RESTATEMENT.full_name, 0) for partition in partitions),
        "sha256": MetadataValue.json({str(p.day or "all"): p.sha256[name] for p in partitions if name in p.sha256}),
    }


def _costs(source: Source, partitions: Sequence[CorePartition], table_: Table) -> dict[str, str]:
    """The sum of cost by currency."""
    total: dict[str, Decimal] = {}
    for partition in partitions:
        file = partition.files.get(table_.full_name)
        if file is not None:
            rows = pq.read_table(source.lake.data_dir / file, columns=["currency", "cost"])
            for row in rows.group_by("currency").aggregate([("cost", "sum")]).to_pylist():
                if row["cost_sum"] is not None:
                    total[row["currency"]] = total.get(row["currency"], Decimal(0)) + row["cost_sum"]
    return {currency: str(cost) for currency, cost in sorted(total.items())}


def _checks(source: Source, stream: Stream, raw: AssetKey, outcome: Outcome) -> Iterator[AssetCheckResult]:
    rows = [row for partition in outcome.partitions for row in _controls(source, partition)]
    for name in stream.controls:
        yield _control_check(name, raw, [row for row in rows if row["check_name"] == name])
    yield AssetCheckResult(
        check_name=f"{stream.name}_understood",
        asset_key=raw,
        passed=outcome.quarantined == 0,
        severity=AssetCheckSeverity.WARN,
        metadata={"quarantined": outcome.quarantined},
    )


def _control_check(name: str, raw: AssetKey, rows: Sequence[Mapping[str, Any]]) -> AssetCheckResult:
    """One control total over all that was loaded.

    Figures are summed over the days, by account and subject: two accounts, or two invoices, may have two currencies.
    """
    counts = {status: sum(row["status"] == status for row in rows) for status in ("matched", "variance", "unavailable")}
    status = next((status for status in ("variance", "matched") if counts[status]), "unavailable")
    figures: dict[str, dict[str, Decimal]] = {"ours": {}, "theirs": {}, "difference": {}}
    for row in rows:
        if row["status"] != "unavailable":
            whose = "/".join(filter(None, (row["account_id"], row["subject"])))
            for figure, sums in figures.items():
                sums[whose] = sums.get(whose, Decimal(0)) + row[figure]
    shown = ("window_date", "account_id", "subject", "ours", "theirs", "difference")
    variances = [{column: str(row[column]) for column in shown} for row in rows if row["status"] == "variance"]
    return AssetCheckResult(
        check_name=name,
        asset_key=raw,
        passed=status != "variance",
        severity=AssetCheckSeverity.WARN,
        description=None if status != "unavailable" else "The vendor gave no figure to compare with.",
        metadata={
            "status": status,
            **counts,
            **{
                figure: MetadataValue.json({whose: str(amount) for whose, amount in sorted(sums.items())[-SHOWN:]})
                for figure, sums in figures.items()
            },
            "variances": MetadataValue.json(variances[:SHOWN]),
        },
    )


def _controls(source: Source, partition: CorePartition) -> list[dict[str, Any]]:
    files = source.lake.core.files(partition)
    if CONTROL_TOTAL.full_name not in files:
        return []
    rows: list[dict[str, Any]] = read_core(CONTROL_TOTAL, files[CONTROL_TOTAL.full_name]).to_pylist()
    return rows
