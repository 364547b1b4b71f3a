"""The two jobs: load the vendors into the lake, then publish what the lake holds.

They are two, so that one vendor's failure, which fails the load, leaves the publication of the others standing
(docs/adr/0008).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dagster import (
    AssetsDefinition,
    AssetSelection,
    define_asset_job,
    in_process_executor,
)

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

    Job = UnresolvedAssetJobDefinition

LOAD = "load"
PUBLISH = "publish"


def load_job(assets: Sequence[AssetsDefinition]) -> "Job":
    """Every connection's lists, and the records of one business day or a range of them in one run."""
    return define_asset_job(
        LOAD,
        selection=AssetSelection.assets(*assets),
        executor_def=in_process_executor,
        description="Loads every connection: its lists whole, its records for the asked business days. A failure of "
        "one leaves the others loaded; the run then fails and says which.",
    )


def publish_job(assets: Sequence[AssetsDefinition]) -> "Job":
    """Calls, marts, proof and the public database, for what has changed since the last time."""
    return define_asset_job(
        PUBLISH,
        selection=AssetSelection.assets(*assets),
        executor_def=in_process_executor,
        description="Takes what the lake has changed into the warehouse, proves it, and replaces the public database.",
    )
