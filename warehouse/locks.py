"""Locks of the operating system's, each on a file that says who holds it.

What lives here: the one way to hold a lock, to wait for it and to say for whom. What does not: what is locked (the
callers). Who holds a lock is alive: the kernel frees it however a process ends, and what the file says counts only
while the lock is held.
"""

import fcntl
import json
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tollbook_errors import BusyError

WAIT_SECONDS = 600.0
SAY_AFTER_SECONDS = 2.0  # a wait that nobody would notice is not worth a line
_SIZE = 512  # bytes of what is said, always as many, so that nothing of who held it before is left
_FILE_MODE = 0o600

_log = logging.getLogger("tollbook")
_command = "Dagster"


def set_command(name: str) -> None:
    """What this process is called where another one waits for it: a command's name, without its arguments."""
    global _command
    _command = name


@contextmanager
def hold(
    path: Path, what: str, *, who: str = "", wait_seconds: float | None = None, poll: float = 0.2
) -> Iterator[None]:
    """Hold the lock of ``path``, whose folder is there. OSError where the file cannot be written.

    Waits for who holds it, and says so once; after ``wait_seconds`` (ten minutes) a BusyError that names them. ``what``
    ends the sentence "process 4711 (tollbook load) …", such as "is loading hq"; ``who`` is this process to others.
    """
    handle = open_lock(path)
    try:
        limit = WAIT_SECONDS if wait_seconds is None else wait_seconds
        begun = time.monotonic()
        known = False
        while not try_lock(handle):
            waited = time.monotonic() - begun
            if waited >= limit:
                raise BusyError(
                    f"{holder(path)} {what}; gave up after waiting {_words(limit)}",
                    hint="wait until it has ended, or end it; then run this again",
                )
            if waited >= SAY_AFTER_SECONDS and not known:
                known = True
                _log.warning("waiting, for at most %s: %s %s", _words(limit), holder(path), what)
            time.sleep(min(poll, limit - waited))
        sign(handle, who)
        yield
    finally:
        os.close(handle)


def open_lock(path: Path) -> int:
    """A handle of a lock's file, which is made if need be, for the owner only."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    with suppress(PermissionError):  # it is another's, and so already as it should be
        os.fchmod(handle, _FILE_MODE)
    return handle


def try_lock(handle: int) -> bool:
    """Take the lock, if nobody holds it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sign(handle: int, who: str = "") -> None:
    """Say in a lock's file who holds it."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    mine = {"pid": os.getpid(), "host": platform.node()[:200], "command": who or _command, "since": since}
    os.pwrite(handle, json.dumps(mine).encode().ljust(_SIZE), 0)


def holder(path: Path) -> str:
    """Who holds the lock of ``path``, or did last, in words."""
    try:
        known: dict[str, Any] = json.loads(path.read_bytes())
        since = datetime.fromisoformat(known["since"])
        return f"process {known['pid']} ({known['command']}, on {known['host']} since {since:%Y-%m-%d %H:%M} UTC)"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _words(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
