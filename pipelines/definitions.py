"""The one Definitions: everything that Dagster shows and runs, built from ``tollbook.toml``.

Without any configuration the bundled vendors' sample stands in for it, so that a newcomer sees the graph: nothing of it
runs. A file that ``TOLLBOOK_CONFIG`` names and that is not there is an error of the code location.
"""

from pathlib import Path

import click
from dagster import (
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    Definitions,
    InitResourceContext,
    ResourceDefinition,
    definitions,
)

from assets.materialize import RESOURCE, Connection, connection_assets
from assets.partitions import business_days
from assets.vendors import STREAMS
from assets.warehouse_asset import warehouse_assets
from pipelines.jobs import load_job, publish_job
from pipelines.resources import Runtime, tollbook_resource
from pipelines.schedules import nightly
from pipelines.sensors import sensors
from pipelines.settings import CONFIG_VARIABLE, DEFAULT_FILE, Settings, is_configured, load_settings
from tollbook_errors import ConfigError

_MATERIALIZE = ("asset materialize", "dg launch")  # Dagster's commands that do, by the end of their names
SAMPLE = Path(__file__).parent / "demo" / "sample.toml"


@definitions
def defs() -> Definitions:
    """What Dagster's own tools load: the configuration's definitions, else the sample's, to look at only."""
    found = build(load_settings()) if is_configured() else build(load_settings(SAMPLE), to_look_at=True)
    _refuse_days_unnamed(found)
    return found


def build(settings: Settings, runtime: Runtime | None = None, *, to_look_at: bool = False) -> Definitions:
    """The definitions for these settings. The command line hands over the ``runtime`` whose progress it watches.

    Without one, each run has its own, with the settings read anew. ``to_look_at``: nothing runs.
    """
    days = business_days(settings.first_date, settings.timezone)
    vendors = [
        asset
        for connection in settings.connections
        for asset in connection_assets(
            Connection(connection.name, connection.vendor, connection.stale_after), STREAMS[connection.vendor], days
        )
    ]
    warehouse = warehouse_assets(_core_keys(vendors), min(c.stale_after for c in settings.connections))
    load, publish = load_job(vendors), publish_job(warehouse)
    return Definitions(
        assets=[*vendors, *warehouse],
        jobs=[load, publish],
        schedules=[nightly(settings, load, starts_by_itself=not to_look_at)],
        sensors=[] if to_look_at else sensors(settings, load, publish),
        resources={
            RESOURCE: ResourceDefinition(_refuse)
            if to_look_at
            else tollbook_resource(lambda: runtime or Runtime(load_settings(settings.path)))
        },
    )


def _refuse(context: InitResourceContext) -> None:
    raise ConfigError(
        "the bundled sample is there to look at and cannot be run",
        hint=f"name your own configuration in {CONFIG_VARIABLE}, or write ./{DEFAULT_FILE}; `tollbook demo` needs none",
    )


def _refuse_days_unnamed(found: Definitions) -> None:
    """Of Dagster's commands those that materialise assets must be told the days; their own word for it is a traceback.

    Raises click.UsageError, which they show as one sentence.
    """
    command = click.get_current_context(silent=True)
    asked = command.params if command and command.command_path.endswith(_MATERIALIZE) else {}
    selected = asked.get("select") or asked.get("assets")
    if not selected or asked.get("partition") or asked.get("partition_range"):
        return
    graph = found.resolve_asset_graph()
    if any(graph.get(key).is_partitioned for key in AssetSelection.from_coercible(selected.split(",")).resolve(graph)):
        raise click.UsageError(
            "these assets are loaded by business day: add --partition YYYY-MM-DD, or --partition-range FIRST...LAST; "
            "the job `load` without days takes yesterday and the look-back"
        )


def _core_keys(vendors: list[AssetsDefinition]) -> list[tuple[str, AssetKey]]:
    """The vendors' core assets by the table that they fill."""
    return [
        (f"core.{key.path[-1]}", key)
        for asset in vendors
        for key in asset.keys
        if asset.specs_by_key[key].tags.get("tollbook/layer") == "core"
    ]
