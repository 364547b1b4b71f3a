"""When the load runs by itself, and which days it asks for.

What lives here: the nightly schedule, and how Dagster is told a range of days. What does not: which days those are
(``nights``), what a load does (``jobs``), who is told when it fails (``sensors``).
"""

from datetime import date
from typing import TYPE_CHECKING

from dagster import (
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    schedule,
)

from pipelines.load_window import default_window
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.jobs import Job

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


def range_tags(first: date, last: date) -> dict[str, str]:
    """The run tags by which Dagster loads a range of business days in one run."""
    return {RANGE_START_TAG: first.isoformat(), RANGE_END_TAG: last.isoformat()}


def nightly(settings: Settings, job: "Job", *, starts_by_itself: bool = True) -> ScheduleDefinition:
    """The nightly load; one run for the whole range."""

    @schedule(
        name="nightly",
        job=job,
        cron_schedule=settings.nightly,
        execution_timezone=settings.timezone,
        default_status=DefaultScheduleStatus.RUNNING if starts_by_itself else DefaultScheduleStatus.STOPPED,
        description="Loads yesterday and the look-back, and whatever was missed while nothing ran.",
    )
    def evaluate(context: ScheduleEvaluationContext) -> RunRequest:
        first, last = default_window(settings, context.scheduled_execution_time)
        return RunRequest(run_key=f"{context.scheduled_execution_time:%Y%m%dT%H%M}", tags=range_tags(first, last))

    return evaluate
