"""Which runs go on, so that one whose process is gone counts as failed and somebody is told.

What lives here: the lock that each run holds, and the end of runs whose lock nobody holds. What does not: the lock
itself (``warehouse.locks``), who asks which vendor (``Lake.asking``).

A run whose process is gone never says that it has ended, and Dagster's launcher for one machine cannot ask after it.
So each run holds a lock on a file of its name in Dagster's home from before it is there. Its file goes once the run is
known to have ended; one that lies there unlocked is that of a run which ended in a way that it could not record.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from pipelines.interruption import go_no_further
from warehouse.files import disk_errors, make_folder
from warehouse.locks import open_lock, sign, try_lock

BY_COMMAND_LINE = "tollbook/cli"  # tag of runs whose end and publication the command line sees to itself
_ENDING_SECONDS = 60.0  # from when a worker lets go of a run until Dagster has recorded its end
_UNFINISHED = [status for status in DagsterRunStatus if status not in (
    DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED,
)]  # fmt: skip

_ours: set[str] = set()  # the runs whose locks this process holds


@contextmanager
def hold_run_lock(instance: DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold the run's lock in the block. StorageError for the disk.

    Blocks of one process may lie within each other: the command line holds it from before the run is there until it
    has ended, a worker of Dagster's while the run has its resource.
    """
    if run_id in _ours:
        yield
        return
    go_no_further()
    path = _folder(instance) / run_id
    with disk_errors(path):
        make_folder(path.parent)
        handle = _locked(path)
    try:
        _ours.add(run_id)
        with disk_errors(path):
            sign(handle, f"run {run_id[:8]}")
        yield
    finally:
        _ours.discard(run_id)
        with suppress(Exception):  # what cannot be known now is known by the next load
            if _has_ended(instance, run_id):
                path.unlink(missing_ok=True)
            else:
                os.utime(handle)
                os.ftruncate(handle, 0)
        os.close(handle)


def cancel_own_runs(home: Path) -> None:
    """Record as canceled the runs whose locks this process holds, since it is about to end."""
    if _ours:
        with DagsterInstance.from_config(str(home)) as instance:
            for run_id in sorted(_ours):
                run = instance.get_run_by_id(run_id)
                if run is not None and not run.is_finished:
                    instance.report_run_canceled(run, "it was interrupted")
                (_folder(instance) / run_id).unlink(missing_ok=True)


def fail_dead_runs(instance: DagsterInstance) -> list[str]:
    """Record runs as failed whose lock nobody holds, and free what they hold in Dagster; their ids."""
    folder = _folder(instance)
    dead = []
    with disk_errors(folder):
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        # What the command line starts has a file before it is there: without one its end was lost.
        unfinished = instance.get_runs(RunsFilter(statuses=_UNFINISHED, tags={BY_COMMAND_LINE: "true"}))
        for run_id in sorted(names | {run.run_id for run in unfinished}):
            path = folder / run_id
            make_folder(folder)
            handle = open_lock(path)
            try:
                if try_lock(handle) and not _is_ending(handle, run_id, instance):
                    if _fail(instance, run_id):
                        dead.append(run_id)
                    path.unlink(missing_ok=True)
            finally:
                os.close(handle)
    return dead


def _locked(path: Path) -> int:
    """The locked file of a run; who looked whether the run is dead may have removed the one that was opened."""
    while True:
        handle = open_lock(path)
        if try_lock(handle) and path.exists() and path.stat().st_ino == os.fstat(handle).st_ino:
            return handle
        os.close(handle)
        time.sleep(0.01)


def _is_ending(handle: int, run_id: str, instance: DagsterInstance) -> bool:
    """Whether a worker has let go of a run only just now, so that Dagster may still record how it ended."""
    state = os.fstat(handle)
    if state.st_size or time.time() - state.st_mtime > _ENDING_SECONDS:
        return False
    run = instance.get_run_by_id(run_id)
    return run is not None and not run.is_finished and BY_COMMAND_LINE not in run.tags


def _has_ended(instance: DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


def _fail(instance: DagsterInstance, run_id: str) -> bool:
    """Record that a run has ended; False where that was known."""
    if instance.event_log_storage.supports_global_concurrency_limits:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return False
    instance.report_run_failed(run, "its process was killed, or could not write how it ended; the next load repairs it")
    return True


def _folder(instance: DagsterInstance) -> Path:
    return Path(instance.root_directory) / "run_locks"
