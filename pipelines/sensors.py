"""What follows a run: publication after every load, word to somebody when it failed, and the end of killed ones.

What lives here: the sensors and the alert that they send. What does not: the jobs (``jobs``). An alert says which run
and which steps failed and the kind of error; whatever an error says was written to be shown, it holds no secrets.
"""

import json
import logging
import smtplib
from email.message import EmailMessage
from typing import TYPE_CHECKING

import requests
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

from pipelines.alive import bury_the_dead
from pipelines.settings import Alerts, Settings
from tollbook_errors import TollbookError

if TYPE_CHECKING:
    from pipelines.jobs import Job

BY_COMMAND_LINE = "tollbook/cli"  # tag of runs whose publication the command line does itself
_SECONDS = 20
log = logging.getLogger("tollbook.alerts")


def sensors(settings: Settings, load: "Job", publish: "Job") -> list[SensorDefinition]:
    """All of them."""
    return [*publish_after_load(load, publish), alert_on_failure(settings), notice_dead_runs()]


def publish_after_load(load: "Job", publish: "Job") -> list[SensorDefinition]:
    """Publish whenever a load has ended, also a failed one: what was loaded is published, what is stale is marked."""

    def request(context: RunStatusSensorContext) -> RunRequest | SkipReason:
        run = context.dagster_run
        if BY_COMMAND_LINE in run.tags:
            return SkipReason("the command line publishes its own loads")
        return RunRequest(run_key=run.run_id)

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


def notice_dead_runs() -> SensorDefinition:
    """Let go of what killed runs hold, so that the next run gets it, and so that somebody is told."""

    @sensor(
        name="notice_dead_runs",
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Frees the pool slots of runs whose process was killed, and records those runs as failed.",
    )
    def notice(context: SensorEvaluationContext) -> SkipReason:
        buried = bury_the_dead(context.instance)
        return SkipReason(f"killed: {', '.join(run_id[:8] for run_id in buried)}" if buried else "none was killed")

    return notice


def alert_text(job: str, run_id: str, steps: list[str], reasons: list[str]) -> str:
    """What an alert says."""
    lines = [f"Tollbook: the {job} run {run_id[:8]} failed", *(f"step {step}" for step in steps), *reasons]
    lines.append("What could be loaded was loaded and is published; see: tollbook status")
    return "\n".join(line for line in lines if line)


def send_alert(alerts: Alerts, text: str) -> None:
    """Send ``text`` every configured way; one that fails is logged and does not keep the others back."""
    log.error("%s", text)
    for way in (_post, _mail):
        try:
            way(alerts, text)
        except (OSError, TollbookError, smtplib.SMTPException, requests.RequestException) as error:
            log.error("an alert could not be sent (%s)", type(error).__name__)


def _post(alerts: Alerts, text: str) -> None:
    address = alerts.webhook_url()
    if address is None:
        return
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(
            address.reveal(),
            data=json.dumps({"text": text}),
            headers={"Content-Type": "application/json"},
            timeout=_SECONDS,
            allow_redirects=False,
        )
        if answer.status_code >= 300:
            log.error("the webhook answered with status %d", answer.status_code)


def _mail(alerts: Alerts, text: str) -> None:
    if not alerts.email_to or not alerts.smtp_host:
        return
    message = EmailMessage()
    message["Subject"] = text.splitlines()[0]
    message["From"] = alerts.email_from
    message["To"] = ", ".join(alerts.email_to)
    message.set_content(text)
    with smtplib.SMTP(alerts.smtp_host, alerts.smtp_port, timeout=_SECONDS) as server:
        server.send_message(message)
