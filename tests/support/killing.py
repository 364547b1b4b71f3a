"""Commands in a child process that dies, or is told that the disk is full, at a chosen system call.

What lives here: ``Nursery``, a process that has imported everything and forks a child for each command, and watches the
child's system calls through the kernel's seccomp notifications: every call that changes a file of the data directory,
of whatever library and thread, is counted, and at the chosen one the child is killed or the call fails. What does not:
what must be true afterwards (the tests). Linux only, 5.9 or newer; needs no privileges.
"""

import ctypes
import fcntl
import gc
import importlib
import multiprocessing
import os
import platform
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from support.disk_states import States

# What changes a file: name -> number, and where the file is said: by a handle, by a path, or by a folder and a path.
_X86 = {
    "write": 1, "pwrite64": 18, "writev": 20, "sendfile": 40, "copy_file_range": 326, "fsync": 74, "fdatasync": 75,
    "ftruncate": 77, "fallocate": 285, "rename": 82, "renameat": 264, "renameat2": 316, "mkdir": 83, "mkdirat": 258,
    "rmdir": 84, "unlink": 87, "unlinkat": 263,
}  # fmt: skip
_ARM = {
    "write": 64, "pwrite64": 68, "writev": 66, "sendfile": 71, "copy_file_range": 285, "fsync": 82, "fdatasync": 83,
    "ftruncate": 46, "fallocate": 47, "renameat": 38, "renameat2": 276, "mkdirat": 34, "unlinkat": 35,
}  # fmt: skip
_CALLS = {"x86_64": _X86, "aarch64": _ARM}.get(platform.machine(), {})
_NAMES = {number: name for name, number in _CALLS.items()}
_SECCOMP = {"x86_64": 317, "aarch64": 277}.get(platform.machine(), 0)
_BY_PATH = {"rename", "mkdir", "rmdir", "unlink"}
_BY_FOLDER = {"renameat", "renameat2", "mkdirat", "unlinkat"}
_BY_THIRD = {"copy_file_range"}
GROWS = {"write", "pwrite64", "writev", "sendfile", "copy_file_range", "fallocate", "mkdir", "mkdirat"}
# A child that waits for ever ends by SIGALRM. A long run stands behind everything else that a machine does.
LONGEST_SECONDS = 3600 if "TOLLBOOK_SOAK" in os.environ else 180
MOMENT = datetime(2026, 10, 28, 3, tzinfo=UTC)  # what the clock says in a child


@dataclass(frozen=True)
class Cut:
    """What happens to a child: at its ``at``-th call (from 0), or ``after`` so many seconds, it is killed.

    With ``error`` (an errno) the call fails instead; with ``full``, so does every later one that needs room on the
    disk. With ``keep``, what the data directory holds is kept there (``States``) before each call, or before the one
    at which it is cut: as no call has leave meanwhile, it is what a kill at that call would leave. ``dagster``: the
    calls are those below Dagster's own home instead.
    """

    at: int | None = None
    after: float | None = None
    error: int = 0
    full: bool = False
    keep: Path | None = None
    dagster: bool = False


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code (negative: the signal), what it printed, and its calls as (name, path).

    ``states``: the two keys of what was kept before each call.
    """

    code: int
    output: str
    calls: list[tuple[str, str]] = field(default_factory=list)
    cut: bool = False
    states: list[tuple[str, str]] = field(default_factory=list)


def unsupported() -> str:
    """Why this machine cannot watch system calls; empty where it can."""
    if sys.platform != "linux" or not _CALLS:
        return "system calls can be watched on Linux on x86-64 and ARM only"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            os.close(_listener())
            os._exit(0)
        os._exit(1)
    os.close(reader)
    os.close(writer)
    return "" if os.waitpid(child, 0)[1] == 0 else "this kernel or container does not let a process watch system calls"


class Nursery:
    """Forks children that have everything imported; ``command`` runs ``tollbook …`` in one."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def command(
        self, config: Path, *arguments: str, cut: Cut | None = None, recorded: bool = False, secrets: Mapping[str, str]
    ) -> Ended:
        """Run a command to its end, or to where it is cut; with a clock that stands still.

        Without a ``cut`` nothing is watched, which is faster; ``Cut()`` only counts the calls.
        ``recorded`` keeps Dagster's runs in the data directory, as outside of tests; else they are kept in memory,
        which is faster. Calls below Dagster's own home are counted only where the cut says so.
        """
        return self._raised(config, "recorded" if recorded else "command", arguments, cut, secrets)

    def load(self, config: Path, day: date, *, cut: Cut | None = None, secrets: Mapping[str, str]) -> Ended:
        """Load a day and publish without Dagster (``read_and_publish``): the same calls in a quarter of the time."""
        return self._raised(config, "load", (str(day),), cut, secrets)

    def _raised(
        self, config: Path, how: str, arguments: tuple[str, ...], cut: Cut | None, secrets: Mapping[str, str]
    ) -> Ended:
        self._pipe.send((str(config), how, arguments, cut, dict(secrets)))
        found: Ended = self._pipe.recv()
        return found


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery for the time of the block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_attend, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Nursery(ours)
    finally:
        ours.close()
        process.join(10)


def _attend(pipe: Connection) -> None:
    """Serve commands until nobody asks any more."""
    import pipelines.definitions
    import pipelines.load  # noqa: F401
    import support.loading  # noqa: F401

    while True:
        gc.collect()
        gc.freeze()
        try:
            asked = pipe.recv()
        except EOFError:
            os._exit(0)  # without the words of libraries that are torn down
        ended, imported = _raise_child(*asked)
        # What a child had to import, which takes longer than a load, the next are born with.
        for name in imported:
            with suppress(ImportError):
                importlib.import_module(name)
        pipe.send(ended)


def _raise_child(
    config: str, how: str, arguments: tuple[str, ...], cut: Cut | None, secrets: dict[str, str]
) -> tuple[Ended, list[str]]:
    told, tell = os.pipe()
    ours, theirs = socket.socketpair()
    watched = cut is not None and cut.after is None
    child = os.fork()
    if child == 0:
        code = 70
        with suppress(BaseException):
            os.close(told)
            signal.alarm(LONGEST_SECONDS)
            os.environ.update(secrets)
            if watched:
                listener = _listener()
                socket.send_fds(theirs, [b"!"], [listener])
                os.close(listener)
            known = set(sys.modules)
            code, output = _RUN[how](config, arguments)
            imported = " ".join(name for name in list(sys.modules) if name not in known)
            os.write(tell, f"{imported[:30_000]}\0{output[-10_000:]}".encode())
        os._exit(code)
    os.close(tell)
    theirs.close()
    calls: list[tuple[str, str]] = []
    states: list[tuple[str, str]] = []
    was_cut = False
    if cut is not None and watched:
        _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
        was_cut = _watch(child, listener, Path(config).parent / "data", cut, calls, states)
        os.close(listener)
    elif cut is not None:
        was_cut = not select.select([told], [], [], cut.after)[0]
        if was_cut:
            os.kill(child, signal.SIGKILL)
    ours.close()
    with os.fdopen(told, "rb") as said:
        imported, _, output = said.read().decode(errors="replace").rpartition("\0")
    _, status = os.waitpid(child, 0)
    return Ended(os.waitstatus_to_exitcode(status), output, calls, was_cut, states), imported.split()


# --- in the child, with a clock that stands still ---------------------------------------------------------------------


def _recorded(config: str, arguments: tuple[str, ...]) -> tuple[int, str]:
    from functools import partial

    from click.testing import CliRunner

    import pipelines.resources
    from pipelines.cli import main

    pipelines.resources.Runtime = partial(pipelines.resources.Runtime, now=lambda: MOMENT)  # type: ignore[misc,assignment]
    ended = CliRunner().invoke(main, ["--config", config, *arguments])
    error = f"\n{ended.exception!r}" if ended.exception and not isinstance(ended.exception, SystemExit) else ""
    return ended.exit_code, ended.output + error


def _unrecorded(config: str, arguments: tuple[str, ...]) -> tuple[int, str]:
    from dagster import DagsterInstance

    import pipelines.load

    pipelines.load.open_history = lambda _: DagsterInstance.ephemeral()  # type: ignore[assignment]
    return _recorded(config, arguments)


def _load(config: str, arguments: tuple[str, ...]) -> tuple[int, str]:
    """1 and the errors by kind where something failed that was foreseen; else Python says what it was."""
    from pipelines.resources import Runtime
    from pipelines.settings import load_settings
    from support.loading import read_and_publish

    (day,) = map(date.fromisoformat, arguments)
    try:
        failures = read_and_publish(Runtime(load_settings(Path(config)), now=lambda: MOMENT), day, day)
    except BaseException:
        return 70, traceback.format_exc()
    return int(bool(failures)), "\n".join(f"{type(error).__name__}: {error}" for error in failures)


_RUN = {"recorded": _recorded, "command": _unrecorded, "load": _load}


# --- watching ---------------------------------------------------------------------------------------------------------

_NOTIFY, _ALLOW = 0x7FC00000, 0x7FFF0000
_RECEIVE, _ANSWER, _CONTINUE = 0xC0502100, 0xC0182101, 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def _listener() -> int:
    """From now on this process and its threads wait for leave at each of the calls; who listens gives it."""
    libc = ctypes.CDLL(None, use_errno=True)
    numbers = list(_CALLS.values())
    steps = [(0x20, 0, 0, 0)]  # load the number of the call
    steps += [(0x15, len(numbers) - n, 0, number) for n, number in enumerate(numbers)]
    steps += [(0x06, 0, 0, _ALLOW), (0x06, 0, 0, _NOTIFY)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = _Program(len(steps), ctypes.cast(code, ctypes.c_void_p))
    no_new_privileges, set_filter, new_listener = 38, 1, 8
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    handle: int = libc.syscall(_SECCOMP, set_filter, new_listener, ctypes.byref(program))
    if handle < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return handle


def _watch(
    child: int,
    listener: int,
    data_dir: Path,
    cut: Cut,
    calls: list[tuple[str, str]],
    states: list[tuple[str, str]],
) -> bool:
    """Give leave to every call until the child has ended, or to none from the one at which it is cut."""
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    root, own = f"{data_dir}/", f"{data_dir}/dagster/"
    kept = States(cut.keep) if cut.keep else None
    was_cut = False
    while True:
        events = waiting.poll(1000)
        if any(event & select.POLLHUP for _, event in events):
            return was_cut
        if not events:
            continue
        request = bytearray(80)
        try:
            fcntl.ioctl(listener, _RECEIVE, request)
        except OSError:
            continue
        ident, pid, _, number, _, _, *arguments = struct.unpack("QIIiIQ6Q", request)
        failure = 0
        name = _NAMES[number]
        path = _path(pid, name, arguments)
        if path.startswith(root) and f"{path}/".startswith(own) == cut.dagster:
            if kept is not None and cut.at in (None, len(calls)):
                # A write that has leave may still be under way in another thread.
                states.append(kept.keep(data_dir, {path for _, path in calls[-8:]}))
            if len(calls) == cut.at:
                was_cut = True
                if not cut.error:
                    os.kill(child, signal.SIGKILL)
                    return was_cut
                failure = cut.error
            elif was_cut and cut.full and name in GROWS:
                failure = cut.error
            calls.append((name, path.removeprefix(root)))
        response = struct.pack("QqiI", ident, 0, -failure, 0 if failure else _CONTINUE)
        with suppress(OSError):
            fcntl.ioctl(listener, _ANSWER, bytearray(response))


def _path(pid: int, name: str, arguments: list[int]) -> str:
    """The file that a call is about; empty where there is none."""
    try:
        if name in _BY_PATH:
            return _text(pid, arguments[0])
        if name in _BY_FOLDER:
            text = _text(pid, arguments[1])
            return text if text.startswith("/") else f"{_handle(pid, arguments[0])}/{text}"
        handle = arguments[2 if name in _BY_THIRD else 0]
        return _handle(pid, handle)
    except OSError:
        return ""


def _handle(pid: int, handle: int) -> str:
    return str(Path(f"/proc/{pid}/fd/{handle}").readlink())


def _text(pid: int, address: int) -> str:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(512).split(b"\0")[0].decode(errors="replace")


needs_watching = pytest.mark.skipif(bool(unsupported()), reason=unsupported())
