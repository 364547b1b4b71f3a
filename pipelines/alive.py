"""Which runs are alive, so that one whose process was killed does not stand in the way of the next.

Dagster frees the pool slots of runs that have ended. A run whose process is gone never says that it has, and the
launcher for one machine cannot ask after it. So each run holds a lock of the operating system's, in a file in Dagster's
home, for as long as it lives: a file whose lock is free is that of a dead run.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dagster import DagsterInstance

from warehouse.lake import FILE_MODE, make_folder, storage

_ours: set[str] = set()  # the runs that this process says are alive


@contextmanager
def alive(instance: DagsterInstance, run_id: str) -> Iterator[None]:
    """The run counts as alive for the time of the block, in which it claims its slots. StorageError for the disk.

    Blocks of one process may lie within each other: who starts a run says so from before it is there until it has
    ended, and each run says so itself.
    """
    if run_id in _ours:
        yield
        return
    path = _folder(instance) / run_id
    with storage(path):
        make_folder(path.parent)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        _ours.add(run_id)
        yield
    finally:
        _ours.discard(run_id)
        path.unlink(missing_ok=True)
        os.close(handle)


def at_work(instance: DagsterInstance) -> list[str]:
    """The ids of the processes whose runs go on, once the dead are buried."""
    folder = _folder(instance)
    found = set()
    for path in folder.iterdir() if folder.is_dir() else []:
        with suppress(OSError):  # it has ended just now
            found.add(path.read_text(encoding="ascii"))
    return sorted(found - {""})


def bury_the_dead(instance: DagsterInstance) -> list[str]:
    """Free the pool slots of runs whose process is gone, and record those as failed; their ids."""
    folder = _folder(instance)
    buried = []
    with storage(folder):
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            try:
                handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists():  # else it ended well, just now
                    _bury(instance, path.name)
                    path.unlink()
                    buried.append(path.name)
            except BlockingIOError:
                continue
            finally:
                os.close(handle)
    return buried


def _bury(instance: DagsterInstance, run_id: str) -> None:
    if instance.event_log_storage.supports_global_concurrency_limits:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, "its process was killed, or the machine went down; the next load makes it good")


def _folder(instance: DagsterInstance) -> Path:
    return Path(instance.root_directory) / "alive"
