"""Schedules and sensors of ours that somebody stopped: nothing fails then, so nothing would say so.

What lives here: which they are, in Dagster's records, and the sentence. What does not: how old what is loaded is
(``freshness``), who is told (``status``, ``sensors``).
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.history import home_of, open_history
from pipelines.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

NIGHTLY = "nightly"
_SENSORS = frozenset(
    {"publish_after_success", "publish_after_failure", "alert_on_failure", "nothing_ran", "heartbeat",
     "notice_dead_runs"}
)  # fmt: skip
_IN_USE = timedelta(days=1)  # a daemon that was there since: who loads by cron has none, and needs no schedule


def stopped(instance: "DagsterInstance", now: datetime | None = None) -> list[str]:
    """The names of those that somebody stopped, where a daemon runs them."""
    now = now or datetime.now(UTC)
    beat = instance.get_daemon_heartbeats().get("SCHEDULER")
    if beat is None or now.timestamp() - beat.timestamp > _IN_USE.total_seconds():
        return []
    names = {state.instigator_name for state in instance.all_instigator_state() if state.status.value == "STOPPED"}
    return sorted(names & (_SENSORS | {NIGHTLY}))


def read_stopped(settings: Settings, now: datetime | None = None) -> list[str]:
    """The same of the instance that loads are recorded in, if there is one. StorageError where it cannot be read."""
    if not (home_of(settings) / "dagster.yaml").is_file():
        return []
    with open_history(settings) as instance:
        return stopped(instance, now)


def sentences(names: Sequence[str]) -> list[str]:
    """What it means that they are stopped, and what to do, a sentence each."""
    return [
        f"the schedule {name} was stopped by somebody, so nothing loads by itself: start it in Dagster's pages"
        if name == NIGHTLY
        else f"the sensor {name} was stopped by somebody: start it in Dagster's pages"
        for name in names
    ]
