"""``tollbook dev`` as somebody runs it, with its daemon, its sensors and a process for each run."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from typing import TypeVar

from dagster import DagsterInstance, DagsterRun, RunsFilter
from dagster_graphql import DagsterGraphQLClient

from pipelines.jobs import LOAD, PUBLISH
from pipelines.schedules import range_tags
from support.loading import World, published
from warehouse.schema import TABLES

DAY = date(2026, 10, 24)
PATIENCE_SECONDS = 3600 if "TOLLBOOK_SOAK" in os.environ else 120
# What says only when something was read is another at each reading.
MADE = [table.full_name for table in TABLES if table.schema == "mart"]
COUNTED = [table.full_name for table in TABLES if table.schema == "core"]

T = TypeVar("T")


class Served:
    """A world whose ``tollbook dev`` runs, with the pages on ``port``."""

    def __init__(self, place: World, instance: DagsterInstance, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.place, self.instance, self.port, self.process = place, instance, port, process
        self.client = DagsterGraphQLClient("127.0.0.1", port)

    def load(self) -> str:
        """Ask for a load, as its schedule does; its run's id."""
        return self.client.submit_job_execution(LOAD, tags=range_tags(DAY, DAY))

    def run(self, run_id: str) -> DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        assert found is not None
        return found

    def ended(self, run_id: str) -> DagsterRun:
        return wait_for(lambda: run if (run := self.run(run_id)).is_finished else None, f"the end of run {run_id}")

    def publication_of(self, run_id: str) -> str:
        """The run that a sensor starts once a load has ended."""
        tags = {"dagster/run_key": run_id}
        found = wait_for(lambda: self.instance.get_runs(RunsFilter(job_name=PUBLISH, tags=tags)), "a publication")
        return found[0].run_id

    def kill(self, run_id: str, after_seconds: float) -> bool:
        """Kill the process of a run so long after its start; False where it had ended by then."""
        said = re.compile(r"Started process for run \(pid: ([0-9]+)\)")

        def started() -> int | None:
            messages = [entry.message for entry in self.instance.all_logs(run_id)]
            return next((int(found[1]) for message in messages if (found := said.search(message))), None)

        pid = wait_for(started, "the start of a run")
        time.sleep(after_seconds)
        if self.run(run_id).is_finished:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return True

    def nothing_is_held(self) -> bool:
        """By runs that are gone: a slot of a pool, a lock; and none of them counts as going on."""
        return not (
            self.instance.event_log_storage.get_concurrency_run_ids()
            or [run for run in self.instance.get_runs() if not run.is_finished]
            or list((self.place.data_dir / "dagster" / "run_locks").iterdir())
        )

    def figures(self) -> dict[str, object]:
        """Every mart by its digest, and how many rows every fact has."""
        public = self.place.public
        counts = {fact: self.place.query(f"SELECT count(*) FROM {fact}") for fact in COUNTED}
        return counts | {mart: digest for mart, digest in published(public).items() if mart in MADE}


def wait_for(found: Callable[[], T | None], what: str) -> T:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if result := found():
            return result
        time.sleep(0.2)
    raise AssertionError(f"waited {PATIENCE_SECONDS} s for {what}")


@contextmanager
def served(place: World, *options: str) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pipelines.cli", "--config", str(place.config), "dev", "-p", str(port), *options]
    log = (place.folder / "dev.log").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(lambda: _listens(port), "Dagster's pages")
        with DagsterInstance.from_config(str(place.data_dir / "dagster")) as instance:
            yield Served(place, instance, port, process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        log.close()


def _listens(port: int) -> bool:
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0
