"""The warehouse as assets: calls put together from legs, the marts, the proof, and the database that people query.

What lives here: which of these assets there are, and the step that takes what the lake has changed into the private
database and publishes it. What does not: the SQL (``warehouse/marts/*.sql``) and the database (``warehouse.database``).

All of it happens in one transaction of one database, so it is one step: either the whole night is published or none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    multi_asset,
)

from assets.materialize import Runtime, column_schema, fresh_for, typed_errors
from warehouse import retention
from warehouse.core import CorePartition
from warehouse.database import Database
from warehouse.files import disk_errors
from warehouse.lake import Lake
from warehouse.published import costs, days_in_state, open_public, row_counts, unusual_days
from warehouse.schema import CALL, CALL_LEG, COVERAGE, MARTS, TIE_OUT, Table, table
from warehouse.update import Partition, UpdateResult

GROUP = "warehouse"
PUBLISHED = AssetKey(["published", "tollbook_duckdb"])


@dataclass(frozen=True)
class Published:
    """What a publication did: where the public database is, and what was taken in."""

    path: Path
    result: UpdateResult


def update_and_publish(lake: Lake, database: Database, keep_from: date | None = None) -> Published:
    """Take what the lake has changed since last time into the private database, prove it, and publish it.

    Business days before ``keep_from`` (the first of a month; None: no more than before) are dropped: out of the
    database, and once that is published out of the lake. Costs what has changed, not what there is. Raises
    IntegrityError, and publishes nothing, when a mart does not tie out to its fact or a file is not what was written.
    """
    with disk_errors(lake.data_dir), lake.writing():
        kept_from = retention.keep_from(lake.data_dir, keep_from)
        changed, loaded = lake.core.pending(), lake.loads.pending()
        if database.private.exists():
            found = (lake.core.partition(stream, connection, day) for stream, connection, day in changed)
            partitions = [partition for partition in found if partition is not None]
            loads = [row for load in loaded for row in lake.loads.of(load)]
            result = database.update([_partition(lake, p) for p in partitions], loads, kept_from=kept_from)
        else:
            partitions = lake.core.partitions()
            result = database.update(
                [_partition(lake, p) for p in partitions], lake.loads.all(), full=True, kept_from=kept_from
            )
        path = database.publish()
        retention.drop(lake.data_dir)
        # One that a crash left half-written stays marked until a load has made it whole.
        lake.core.clear_pending((partition.stream, partition.connection, partition.day) for partition in partitions)
        lake.loads.clear_pending(loaded)
        return Published(path, result)


def rebuild_database(lake: Lake, database: Database) -> Published:
    """Make the private database again from all of core, and publish it."""
    with disk_errors(lake.data_dir), lake.writing():
        partitions = lake.core.partitions()
        result = database.update(
            [_partition(lake, p) for p in partitions],
            lake.loads.all(),
            full=True,
            kept_from=retention.kept_from(lake.data_dir),
        )
        path = database.publish()
        lake.core.clear_pending(lake.core.pending())
        lake.loads.clear_pending(lake.loads.pending())
        return Published(path, result)


def _partition(lake: Lake, partition: CorePartition) -> Partition:
    return Partition(
        partition.stream,
        partition.connection,
        partition.vendor,
        partition.day,
        lake.core.files(partition),
        partition.tables,
        partition.digest,
    )


def warehouse_assets(core: Sequence[tuple[str, AssetKey]], stale_after: timedelta) -> list[AssetsDefinition]:
    """The one step from core to the published database. ``core``: pairs of full table name and asset key."""
    derived: tuple[Table, ...] = (CALL, CALL_LEG, *MARTS, COVERAGE, TIE_OUT)

    @multi_asset(
        name="warehouse",
        specs=[
            *(_spec(table_, core) for table_ in derived),
            AssetSpec(
                PUBLISHED,
                deps=[_key(table_) for table_ in derived],
                description="The DuckDB file that people query, replaced in one stroke: readers go on with what they "
                "opened, and never see half a night.",
                group_name=GROUP,
                kinds={"duckdb"},
                freshness_policy=fresh_for(stale_after),
            ),
        ],
        check_specs=[
            AssetCheckSpec(
                "ties_out",
                asset=_key(TIE_OUT),
                description="Every mart against the fact it was summed from, by day and currency: the difference is 0.",
            ),
            AssetCheckSpec(
                "no_day_missing",
                asset=PUBLISHED,
                description="Every connection has every business day from its first one to the newest one loaded.",
            ),
        ],
    )
    @typed_errors
    def warehouse(context: AssetExecutionContext, tollbook: ResourceParam[Runtime]) -> Iterator[Any]:
        published = update_and_publish(tollbook.lake, tollbook.database, tollbook.keep_from())
        result = published.result
        days = sorted(result.touched)
        if result.dropped:
            context.log.info(f"{len(result.dropped)} business days up to {result.dropped[-1]} were dropped")
        with open_public(published.path) as con:
            counts = row_counts(con)
            spent = {f"{connection} {currency}": str(cost) for connection, currency, cost in costs(con, days)}
            ties = con.execute("SELECT count(*) FROM audit.tie_out").fetchall()[0][0]
            missing = [f"{connection} {stream} {day}" for connection, stream, day in days_in_state(con, "missing")]
            unusual = [f"{connection} {stream} {day}" for day, connection, stream, *_ in unusual_days(con)]
        span = {"first_day": str(days[0]) if days else "", "last_day": str(days[-1]) if days else ""}
        for table_ in derived:
            metadata: dict[str, Any] = {"dagster/row_count": counts[table_.full_name], **span}
            if table_.full_name == "mart.cost_daily":
                metadata["cost_of_these_days"] = MetadataValue.json(spent)
            yield MaterializeResult(asset_key=_key(table_), metadata=metadata)
        yield MaterializeResult(
            asset_key=PUBLISHED,
            metadata={
                "path": MetadataValue.path(str(published.path)),
                "bytes": published.path.stat().st_size,
                "inputs": MetadataValue.json(
                    {f"{p.stream} {p.connection} {p.day or 'all'}": p.digest for p in result.applied}
                ),
                "changed": result.changed,
                "dropped_days": len(result.dropped),
            },
        )
        yield AssetCheckResult(check_name="ties_out", asset_key=_key(TIE_OUT), passed=True, metadata={"tie_outs": ties})
        yield AssetCheckResult(
            check_name="no_day_missing",
            asset_key=PUBLISHED,
            passed=not missing,
            severity=AssetCheckSeverity.WARN,
            metadata={
                "missing": len(missing),
                "first_missing": MetadataValue.json(missing[:20]),
                "unusual": len(unusual),
                "newest_unusual": MetadataValue.json(unusual[:20]),
            },
        )

    return [warehouse]


def _spec(table_: Table, core: Sequence[tuple[str, AssetKey]]) -> AssetSpec:
    """A derived table, and what it is made of; vendors' assets are named by connection, so they are found by table."""
    deps = []
    for name in table_.reads:
        made_elsewhere = [key for full_name, key in core if full_name == name]
        deps += made_elsewhere or ([_key(table(name))] if not table(name).in_lake else [])
    return AssetSpec(
        _key(table_),
        deps=deps,
        description=f"`{table_.full_name}`. {table_.grain}.",
        group_name=GROUP,
        kinds={"duckdb", "sql"},
        metadata={"dagster/column_schema": column_schema(table_)},
        tags={"tollbook/layer": table_.schema},
    )


def _key(table_: Table) -> AssetKey:
    return AssetKey([table_.schema, table_.name])
