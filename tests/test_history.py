"""Dagster's own records: damaged, locked, not to be written, or left by a run that could not say how it ended.

Each is a whole load. Of one whose disk is full while it writes them, ``test_durability`` tries every call.
"""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from dagster import DagsterInstance
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy.exc import OperationalError
from support.loading import World, world

from pipelines.demo.company import TIM
from pipelines.history import keep_to_one_data_dir
from pipelines.run_locks import fail_dead_runs
from tollbook_errors import BusyError, ConfigError
from warehouse import locks
from warehouse.lake import Lake

pytestmark = pytest.mark.slow  # whole loads

DAY = date(2026, 10, 24)
LOAD = ("load", "--from", str(DAY), "--to", str(DAY), "--connection", TIM)
HISTORIES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("vendors"), DAY, DAY, scale=0.1) as made:
        yield made


@pytest.fixture
def place(vendors: World, tmp_path: Path) -> World:
    vendors.vendors.write_config(tmp_path / "tollbook.toml")
    return World(vendors.vendors, tmp_path)


def loaded(place: World) -> Result:
    found = place.command(*LOAD)
    assert found.exit_code == 0, found.output
    assert place.query("SELECT count(*) FROM core.extension_total") == [(13,)]
    return found


def refused(result: Result, *words: str) -> None:
    """One line of a StorageError, and no word of how Dagster came by it."""
    assert result.exit_code == 1, result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("tollbook: ")]
    for word in ("StorageError", *words):
        assert word in line
    for word in ("Traceback", "sqlalchemy", "[SQL", "INSERT"):
        assert word not in result.output


def without_rights(place: World, *command: str, before: str = "") -> "subprocess.CompletedProcess[str]":
    """A command by who has no rights but those of the files' modes, which as root needs to be given up."""
    code = f"import pipelines.history; from pipelines.cli import main; {before or 'pass'}\nmain()"
    give_up = "import ctypes, os, sys; [ctypes.CDLL(None).prctl(24, n, 0, 0, 0) for n in (1, 2, 3)]\n"
    run = f"os.execv(sys.executable, [sys.executable, '-c', {code!r}, *sys.argv[1:]])"
    return subprocess.run(
        [sys.executable, "-c", give_up + run, "--config", str(place.config), *command],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def hasty(connect: Any, *arguments: Any, **options: Any) -> Any:
    """Dagster's patience with a lock, which is half a minute, made short."""
    return connect(*arguments, **{**options, "timeout": 0.2})


def runs(place: World) -> list[str]:
    """How the runs ended, oldest first; none goes on or holds anything."""
    with DagsterInstance.from_config(str(place.data_dir / "dagster")) as instance:
        assert not instance.event_log_storage.get_concurrency_run_ids()
        assert list((place.data_dir / "dagster" / "run_locks").iterdir()) == []
        return [run.status.value for run in reversed(instance.get_runs())]


# --- records that cannot be used --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (HISTORIES[0], b"no database at all" * 500),
        (HISTORIES[1], b"SQLite format 3\0" + b"\xff" * 8176),
        (HISTORIES[2], b"no database at all" * 500),
    ],
)
def test_damaged_records_are_put_aside_and_the_load_goes_on(
    place: World, name: str, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    loaded(place)
    file = place.data_dir / "dagster" / name
    for leftover in file.parent.glob(f"{file.name}-*"):
        leftover.unlink()
    file.write_bytes(content)
    loaded(place)
    folder = name.split("/")[0]
    [aside] = (place.data_dir / "dagster").glob(f"{folder}.damaged-*")
    assert (aside / name.partition("/")[2]).read_bytes() == content
    assert [str(aside) in record.getMessage() for record in caplog.records if "put aside" in record.getMessage()]
    assert runs(place)[-2:] == ["SUCCESS", "SUCCESS"]


def test_a_part_of_the_records_that_is_damaged_is_found_before_the_load(place: World) -> None:
    """Pages in the middle of a file, which its first bytes say nothing of."""
    loaded(place)
    file = place.data_dir / "dagster" / "history" / "runs" / "index.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(file.read_bytes())
    content[4096 * 2 : 4096 * 20] = b"\xa5" * 4096 * 18
    file.write_bytes(content)
    loaded(place)
    assert len(list((place.data_dir / "dagster").glob("history.damaged-*"))) == 1


def test_records_that_a_full_disk_left_empty_are_filled(place: World) -> None:
    for name in HISTORIES:
        file = place.data_dir / "dagster" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    loaded(place)


def test_locked_records_are_said(place: World, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(place)
    monkeypatch.setattr(sqlite3, "connect", partial(hasty, sqlite3.connect))
    with closing(sqlite3.connect(place.data_dir / "dagster" / HISTORIES[0])) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused(place.command(*LOAD), "locked by another program")
    loaded(place)


def test_records_that_may_not_be_written_are_said(place: World) -> None:
    """Also as root, of whom the kernel would let pass anything."""
    loaded(place)
    home = place.data_dir / "dagster"
    sealed = [home / "history" / "runs", home / "history", *(home / "history").rglob("*.db*")]
    for path in sealed:
        path.chmod(0o500 if path.is_dir() else 0o400)
    # What is sealed would be opened as what an earlier version left.
    found = without_rights(place, *LOAD, before="pipelines.history._for_the_owner_only = lambda home: None")
    for path in reversed(sealed):
        path.chmod(0o700 if path.is_dir() else 0o600)
    assert found.returncode == 1, found.stderr
    assert "cannot be written" in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr
    loaded(place)


def test_a_home_that_is_a_file_is_no_matter_of_the_configuration(place: World) -> None:
    place.data_dir.mkdir()
    (place.data_dir / "dagster").write_text("somebody's notes")
    refused(place.command(*LOAD), str(place.data_dir / "dagster"))


def test_a_home_has_the_schedule_of_one_data_directory(tmp_path: Path) -> None:
    """Of two the daemons would share each tick; one that was moved, or is gone, is no other."""
    home, mine, other = (tmp_path / name for name in ("home", "mine", "other"))
    for folder in (home, mine, other):
        folder.mkdir()
    keep_to_one_data_dir(home, mine)
    keep_to_one_data_dir(home, mine)
    with pytest.raises(ConfigError, match=f"has the schedule of the data directory {mine}"):
        keep_to_one_data_dir(home, other)
    (tmp_path / "link").symlink_to(mine)
    keep_to_one_data_dir(home, tmp_path / "link")
    mine.rename(tmp_path / "moved")
    keep_to_one_data_dir(home, other)


@pytest.mark.parametrize("command", ["status", "report --month 2026-10", "rebuild", "load"])
def test_files_of_another_owner_are_a_matter_of_the_disk(place: World, command: str) -> None:
    """A command that may read nothing of what is there: as root, who is let in everywhere but without those rights."""
    (place.data_dir / "state").mkdir(parents=True)
    place.data_dir.chmod(0o000)
    ended = without_rights(place, *command.split())
    place.data_dir.chmod(0o700)
    assert ended.returncode == 1, ended.stderr
    [line] = [line for line in ended.stderr.splitlines() if line.startswith("tollbook: ")]
    assert line.startswith(f"tollbook: StorageError: {place.data_dir}")
    assert "Permission denied" in line
    assert "Traceback" not in ended.stderr


# --- whose they are ---------------------------------------------------------------------------------------------------


def modes(folder: Path) -> dict[str, int]:
    """What others may do with what lies below a folder, where that is anything."""
    found = {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in folder.rglob("*")}
    return {name: mode for name, mode in found.items() if mode & 0o077 and name != "tollbook.duckdb"}


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_what_dagster_writes_is_the_owners_whatever_the_umask(place: World, umask: int) -> None:
    """D15: databases, logs, locks; the published database alone is the group's, too."""
    ended = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "--config", str(place.config), *LOAD],
        cwd=Path(__file__).parents[1],
        umask=umask,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert modes(place.data_dir) == {}
    assert place.public.stat().st_mode & 0o777 == 0o640


def test_what_an_earlier_version_left_open_is_closed(place: World, tmp_path: Path) -> None:
    home = place.data_dir / "dagster"
    other = tmp_path / "somebody's"
    (home / "storage" / "old").mkdir(parents=True)
    (home / "storage" / "old" / "1.out").touch()
    other.touch()
    (home / "storage" / "link").symlink_to(other)
    for path in (home, *home.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    loaded(place)
    assert home.stat().st_mode & 0o777 == 0o700
    assert [name for name in modes(home) if name != "storage/link"] == []
    assert other.stat().st_mode & 0o777 == 0o644


# --- runs that could not say how they ended ---------------------------------------------------------------------------


@pytest.mark.parametrize("event", [0, 9])
def test_a_run_that_ends_by_an_exception_stands_in_nobodys_way(
    place: World, monkeypatch: pytest.MonkeyPatch, event: int
) -> None:
    """From its n-th event on nothing can be recorded, also not that it failed: 13 records are loaded the next time."""
    really, seen = SqliteEventLogStorage.store_event, []

    def full(self: Any, entry: Any) -> None:
        seen.append(entry)
        if len(seen) > event:
            raise OperationalError("INSERT INTO event_logs", {}, sqlite3.OperationalError("database or disk is full"))
        really(self, entry)

    with monkeypatch.context() as patch:
        patch.setattr(SqliteEventLogStorage, "store_event", full)
        found = place.command(*LOAD)
    refused(found, "disk is full", "make room")
    loaded(place)
    assert "FAILURE" in runs(place)
    assert runs(place)[-2:] == ["SUCCESS", "SUCCESS"]


def test_the_end_of_a_run_that_a_worker_let_go_of_is_waited_for(tmp_path: Path) -> None:
    """Dagster records it after the run's resources are gone; a minute later it never will."""
    from dagster import DagsterRun, DagsterRunStatus

    from pipelines.run_locks import hold_run_lock

    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = instance.add_run(DagsterRun(job_name="load", status=DagsterRunStatus.STARTED))
        with hold_run_lock(instance, run.run_id):
            assert fail_dead_runs(instance) == []
        assert fail_dead_runs(instance) == []
        long_ago = time.time() - 61
        os.utime(tmp_path / "run_locks" / run.run_id, (long_ago, long_ago))
        assert fail_dead_runs(instance) == [run.run_id]
        assert list((tmp_path / "run_locks").iterdir()) == []


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_a_load_says_whom_it_waits_for_and_gives_up(
    place: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """D10: the other load asks the same vendor; what it is called, where it runs and since when is said, once."""
    monkeypatch.setattr(locks, "WAIT_SECONDS", 1.0)
    monkeypatch.setattr(locks, "SAY_AFTER_SECONDS", 0.2)
    with Lake(place.data_dir).asking(TIM, "load 20261024T021500Z-abcdef12"):
        found = place.command(*LOAD)
    who = f"process {os.getpid()} (load 20261024T021500Z-abcdef12, on "
    [waiting] = [record.getMessage() for record in caplog.records if "waiting" in record.getMessage()]
    assert who in waiting
    assert f"is loading {TIM}" in waiting
    assert found.exit_code == 1
    assert f"FAILED {TIM} extension_total: BusyError: {who}" in found.stdout
    assert "end it; then run this again" in found.stdout
    failed = place.query("SELECT status, error_type FROM audit.load")
    assert failed == [("failed", "BusyError")]
    loaded(place)


def test_a_load_goes_on_once_the_other_has_ended(
    place: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "SAY_AFTER_SECONDS", 0.2)
    asked = len(place.vendors.requests)
    with Lake(place.data_dir).asking(TIM, "another load"):
        second = threading.Thread(target=loaded, args=(place,))
        second.start()
        while "waiting" not in caplog.text:
            assert second.is_alive()
            time.sleep(0.1)
        assert len(place.vendors.requests) == asked
    second.join(300)
    assert not second.is_alive()


def test_who_waits_takes_no_time_of_the_processor(tmp_path: Path) -> None:
    begun = time.thread_time()
    with (
        locks.hold(tmp_path / "lock", "works"),
        pytest.raises(BusyError, match=f"process {os.getpid()} .* works; gave up after waiting 2 seconds"),
    ):
        locks.hold(tmp_path / "lock", "works", wait_seconds=1.5).__enter__()
    assert time.thread_time() - begun < 0.3


def test_a_lock_goes_with_its_holder_whatever_its_file_says(tmp_path: Path) -> None:
    """Killed, it could not take its name away."""
    code = (
        "import os, sys; from pathlib import Path; from warehouse.locks import hold\n"
        "with hold(Path(sys.argv[1]), 'works'): os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], cwd=Path(__file__).parents[1])
    assert ended.returncode == -9
    assert "process " in locks.holder(tmp_path / "lock")
    with locks.hold(tmp_path / "lock", "works", wait_seconds=0):
        pass
