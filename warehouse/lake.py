"""The data directory as a whole: its zone, its locks, its folders for what is under way.

What lives here: who may write and who may ask a vendor, and the three parts of the lake in one hand: ``raw``, ``core``
and ``loads``. What does not: those parts (``raw``, ``core``, ``ledger``), how they are named (``layout``).
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from tollbook_errors import ConfigError, StorageError
from warehouse.core import Core
from warehouse.files import disk_errors, is_running, make_folder, names_in, read_json, write_json
from warehouse.layout import safe_name
from warehouse.ledger import LoadLedger
from warehouse.locks import hold
from warehouse.raw import Raw

# Arrow's own allocator keeps what it once had: after a large day 100 MiB that DuckDB could take.
pa.set_memory_pool(pa.system_memory_pool())

THIS_PROCESS = uuid4().hex  # a number of a process comes again


def utc_now() -> datetime:
    """The computer's clock."""
    return datetime.now(UTC)


class Lake:
    """The lake under ``data_dir``. Methods raise StorageError where the disk fails, IntegrityError on a checksum.

    ``now`` is the clock (UTC) by which landings are named. ``spill`` is where parsing responses may put what does not
    fit into memory, while ``writing`` is held; ``scratch_folder`` is there while ``scratch`` is open.
    """

    def __init__(self, data_dir: Path, now: Callable[[], datetime] = utc_now) -> None:
        self.data_dir = data_dir
        self.now = now
        self.raw = Raw(data_dir, now)
        self.core = Core(data_dir)
        self.loads = LoadLedger(data_dir, self.writing)
        self.spill = data_dir / "state" / "spill"
        self.scratch_folder = data_dir / "state" / "scratch"

    def record_timezone(self, timezone: str) -> None:
        """Refuse (ConfigError) another zone of business days than the landings were cut by; the first one is kept.

        Parsed again by other days, the records between the old edges and the new ones would be lost. What
        else is held is in ``identity``.
        """
        path = self.data_dir / "state" / "timezone.json"
        with disk_errors(path):
            if not path.exists():
                write_json(path, {"timezone": timezone})
        self.check_timezone(timezone)

    def check_timezone(self, timezone: str) -> None:
        """Refuse (ConfigError) another zone, as ``record_timezone`` does, and write nothing."""
        path = self.data_dir / "state" / "timezone.json"
        with disk_errors(path):
            known = read_json(path)["timezone"] if path.exists() else timezone
        if known != timezone:
            raise ConfigError(
                f"tollbook.timezone is {timezone}, but what was landed is cut into the days of {known}",
                hint="set it back, or load into a new data_dir",
            )

    def check_writable(self) -> None:
        """StorageError, before anything is begun, where nothing could be written: a wrong owner, a read-only disk."""
        folder = self.data_dir / "state"
        with disk_errors(folder):
            make_folder(folder)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise StorageError(
                    f"{folder} cannot be written",
                    hint="check whose folder it is, and that the disk is not mounted read-only",
                )

    @contextmanager
    def ahead(self) -> Iterator[Path]:
        """A folder of its own for the time of the block, for what is made of responses before they are all there.

        Nothing in it counts. What a process that was killed left there goes when somebody writes the next time.
        """
        folder = self.data_dir / "state" / "ahead" / f"{os.getpid()}-{THIS_PROCESS}-{uuid4().hex}"
        with disk_errors(folder):
            make_folder(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for the time of the block, for what is on its way into core. The caller holds ``writing``."""
        folder = self.scratch_folder
        with disk_errors(folder):
            shutil.rmtree(folder, ignore_errors=True)  # of a process that is gone
            make_folder(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def rebuilding(self) -> Iterator[None]:
        """Hold the data directory for a rebuild, which loads may write beside; waits for another one."""
        path = self.data_dir / "state" / "rebuilding"
        with disk_errors(path):
            make_folder(path.parent)
        with hold(path, f"is rebuilding {self.data_dir}"):
            yield

    @contextmanager
    def writing(self, *, wait_seconds: float | None = None, poll: float = 0.2) -> Iterator[None]:
        """Hold the data directory for writing core and the database. BusyError after ``wait_seconds``, as ``hold``."""
        path = self.data_dir / "state" / "lock"
        with ExitStack() as held:
            with disk_errors(path):
                make_folder(path.parent)
                held.enter_context(hold(path, f"is writing to {self.data_dir}", wait_seconds=wait_seconds, poll=poll))
            shutil.rmtree(self.spill, ignore_errors=True)  # a process that was killed left it: nobody else writes now
            ahead = self.data_dir / "state" / "ahead"
            for name in names_in(ahead):
                pid, _, rest = name.partition("-")
                others = pid.isdigit() and int(pid) != os.getpid() and is_running(int(pid))
                if not (others or rest.startswith(THIS_PROCESS)):
                    shutil.rmtree(ahead / name, ignore_errors=True)
            yield

    @contextmanager
    def asking(self, connection: str, who: str) -> Iterator[None]:
        """Be the only one that asks a connection's vendor, as ``who``. BusyError after ten minutes of waiting."""
        path = self.data_dir / "state" / "asking" / safe_name(connection)
        with ExitStack() as held:
            with disk_errors(path):
                make_folder(path.parent)
                held.enter_context(hold(path, f"is loading {connection}", who=who))
            yield
