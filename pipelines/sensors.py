"""What follows a run, or that there was none: publication after every load, word to somebody, the end of killed runs.

What lives here: the sensors, and what an alert says. What does not: the jobs (``jobs``), how somebody is told
(``alerts``). An alert says which run and which steps failed and the kind of error; whatever an error says was written
to be shown, it holds no secrets.
"""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dagster import (
    DagsterRunStatus,
    DefaultSensorStatus,
    RunFailureSensorContext,
    RunRequest,
    RunStatusSensorContext,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    run_failure_sensor,
    run_status_sensor,
    sensor,
)

from pipelines.alerts import send_alert, send_heartbeat
from pipelines.freshness import freshness, read_freshness
from pipelines.run_locks import BY_COMMAND_LINE, fail_dead_runs
from pipelines.settings import Settings
from pipelines.stopped import sentences, stopped
from tollbook_errors import TollbookError

if TYPE_CHECKING:
    from pipelines.jobs import Job

LOAD_ENDED = "tollbook/load_ended"  # tag of a publication: how the load that it follows has ended


def sensors(settings: Settings, load: "Job", publish: "Job") -> list[SensorDefinition]:
    """All of them."""
    return [
        *publish_after_load(load, publish),
        alert_on_failure(settings),
        alert_when_nothing_ran(settings),
        heartbeat_after_publication(settings, publish),
        notice_dead_runs(),
    ]


def publish_after_load(load: "Job", publish: "Job") -> list[SensorDefinition]:
    """Publish whenever a load has ended, also a failed one: what was loaded is published, what is stale is marked."""

    def request(context: RunStatusSensorContext) -> RunRequest | SkipReason:
        run = context.dagster_run
        if BY_COMMAND_LINE in run.tags:
            return SkipReason("the command line publishes its own loads")
        return RunRequest(run_key=run.run_id, tags={LOAD_ENDED: run.status.value})

    return [
        run_status_sensor(
            name=f"publish_after_{status.value.lower()}",
            run_status=status,
            monitored_jobs=[load],
            request_job=publish,
            default_status=DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=5,
            description=f"Publishes after a load that ended as {status.value}.",
        )(request)
        for status in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)
    ]


def alert_on_failure(settings: Settings) -> SensorDefinition:
    """Tell somebody when a run failed: always the log; a webhook and mail where they are configured."""

    @run_failure_sensor(
        name="alert_on_failure",
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description="Says which run failed and why: to the log, and to the webhook and mail of [alerts].",
    )
    def alert(context: RunFailureSensorContext) -> None:
        steps = [event.step_key or "" for event in context.get_step_failure_events()]
        reasons = [
            event.step_failure_data.user_failure_data.description or ""
            for event in context.get_step_failure_events()
            if event.step_failure_data.user_failure_data
        ]
        send_alert(
            settings.alerts, alert_text(context.dagster_run.job_name, context.dagster_run.run_id, steps, reasons)
        )

    return alert


def alert_when_nothing_ran(settings: Settings) -> SensorDefinition:
    """Tell somebody, once, when a connection becomes stale or the schedule is stopped: no run fails and is told of."""

    @sensor(
        name="nothing_ran",
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=900,
        description="Says by log, webhook and mail that a connection had no good load for longer than its stale_after, "
        "and that somebody stopped the schedule.",
    )
    def notice(context: SensorEvaluationContext) -> SkipReason:
        now = datetime.now(UTC)
        before = json.loads(context.cursor) if context.cursor else {}
        try:
            found = read_freshness(settings, now)
        except TollbookError:  # who cannot read the database has no good load
            found = freshness(settings, None, now)
        # A connection that never had a good load has its time from when it was first looked at.
        since = {
            each.connection: before.get("since", {}).get(each.connection, now.isoformat())
            for each in found
            if each.good_at is None
        }
        stale = [
            each
            for each in found
            if each.stale and now - (each.good_at or datetime.fromisoformat(since[each.connection])) > each.stale_after
        ]
        troubles = {each.connection: each.sentence for each in stale}
        halted = stopped(context.instance, now)
        # No connection has a name with a space.
        troubles |= dict(zip((f"stopped {name}" for name in halted), sentences(halted), strict=True))
        known = before.get("known", [])
        new = [name for name in troubles if name not in known]
        what = "Tollbook: no good load" if any(each.connection in new for each in stale) else "Tollbook"
        arrived = not new or send_alert(settings.alerts, "\n".join([what, *(troubles[name] for name in new)]))
        known = [name for name in troubles if arrived or name not in new]
        context.update_cursor(json.dumps({"since": since, "known": known}))
        return SkipReason("; ".join(troubles.values()) or "every connection has had a good load")

    return notice


def heartbeat_after_publication(settings: Settings, publish: "Job") -> SensorDefinition:
    """Call the heartbeat's address when a good load was published and all is well."""

    @run_status_sensor(
        name="heartbeat",
        run_status=DagsterRunStatus.SUCCESS,
        monitored_jobs=[publish],
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description="Calls the address of [tollbook] heartbeat after each good night.",
    )
    def after(context: RunStatusSensorContext) -> SkipReason:
        if context.dagster_run.tags.get(LOAD_ENDED) != DagsterRunStatus.SUCCESS.value:
            return SkipReason("no good load came before it, or the command line's, which calls it itself")
        return SkipReason(f"heartbeat: {send_heartbeat(settings)}")

    return after


def notice_dead_runs() -> SensorDefinition:
    """Record killed runs as failed, so that somebody is told."""

    @sensor(
        name="notice_dead_runs",
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Records runs as failed whose process is gone.",
    )
    def notice(context: SensorEvaluationContext) -> SkipReason:
        dead = fail_dead_runs(context.instance)
        return SkipReason(f"failed: {', '.join(run_id[:8] for run_id in dead)}" if dead else "none was killed")

    return notice


def alert_text(job: str, run_id: str, steps: list[str], reasons: list[str]) -> str:
    """What an alert says."""
    lines = [f"Tollbook: the {job} run {run_id[:8]} failed", *(f"step {step}" for step in steps), *reasons]
    lines.append("What could be loaded was loaded and is published; see: tollbook status")
    return "\n".join(line for line in lines if line)
