"""The one Definitions: everything that Dagster shows and runs, built from ``tollbook.toml``.

Without a configuration file, the bundled vendors' sample stands in for it, so that a newcomer sees the graph; nothing
can be loaded with it until ``tollbook demo`` or a real configuration gives it addresses and credentials.
"""

from collections.abc import Callable
from pathlib import Path

from dagster import AssetKey, AssetsDefinition, Definitions, PartitionsDefinition

from assets.marts import warehouse_assets
from assets.materialize import RESOURCE, Connection
from assets.partitions import business_days
from assets.pbxware import pbxware_assets
from assets.sipcentric import sipcentric_assets
from assets.tim4biz import tim4biz_assets
from assets.time4vps import time4vps_assets
from pipelines.jobs import load_job, publish_job
from pipelines.resources import House, tollbook_resource
from pipelines.schedules import nightly
from pipelines.sensors import alert_on_failure, notice_dead_runs, publish_after_load
from pipelines.settings import Settings, configured_path, load_settings

SAMPLE = Path(__file__).parent / "demo" / "sample.toml"

VENDOR_ASSETS: dict[str, Callable[[Connection, PartitionsDefinition[str]], list[AssetsDefinition]]] = {
    "pbxware": pbxware_assets,
    "sipcentric": sipcentric_assets,
    "tim4biz": tim4biz_assets,
    "time4vps": time4vps_assets,
}


def build(settings: Settings, house: House | None = None) -> Definitions:
    """The definitions for these settings. The command line hands over the ``house`` whose progress it watches.

    Without one, each run has its own, with the settings read anew.
    """
    days = business_days(settings.first_date, settings.timezone)
    vendors = [
        asset
        for connection in settings.connections
        for asset in VENDOR_ASSETS[connection.vendor](Connection(connection.name, connection.vendor), days)
    ]
    warehouse = warehouse_assets(_core_keys(vendors))
    load, publish = load_job(vendors), publish_job(warehouse)
    return Definitions(
        assets=[*vendors, *warehouse],
        jobs=[load, publish],
        schedules=[nightly(settings, load)],
        sensors=[*publish_after_load(load, publish), alert_on_failure(settings), notice_dead_runs()],
        resources={RESOURCE: tollbook_resource(lambda: house or House(load_settings(settings.path)))},
    )


def _core_keys(vendors: list[AssetsDefinition]) -> list[tuple[str, AssetKey]]:
    """The vendors' core assets by the table that they fill."""
    return [
        (f"core.{key.path[-1]}", key)
        for asset in vendors
        for key in asset.keys
        if asset.specs_by_key[key].tags.get("tollbook/layer") == "core"
    ]


def _settings() -> Settings:
    path = configured_path()
    return load_settings(path if path.exists() else SAMPLE)


defs = build(_settings())
