"""The lake: whole or not at all, unchanged or noticed, and the same whatever happened on the way."""

import errno
import json
import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.fake_pbx import DAY, NOON, FakePbx, load_day, load_lists, row, rows_of, source_of

from assets import pbxware
from assets.load import update_partition
from assets.stream import Source
from tollbook_errors import ConfigError, ContractError, IntegrityError, StorageError
from warehouse.core import read_core, write_parquet
from warehouse.files import StagedParquet, read_json, write_bytes, write_json
from warehouse.lake import Lake
from warehouse.raw import Landing
from warehouse.schema import CDR, Column, Table

pytestmark = pytest.mark.slow  # killed processes and whole rebuilds

NUMBERS = Table("core", "numbers", "One number a row", (Column("n", "BIGINT", "A number"),), key=("n",))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below, by its path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def core(source: Source) -> dict[str, bytes]:
    return tree(source.lake.data_dir / "core")


def leftovers(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in folder.rglob("*.tmp")]


def a_pbx() -> FakePbx:
    """Records of every kind: rated and not, two alike, and one that cannot be understood."""
    return FakePbx([row(NOON + n, n) for n in range(20)] + [row(), row(), row(rating_cost=""), row()[:-1]])


def changed(pbx: FakePbx) -> FakePbx:
    """The same PBX the next night: one cost has come, one record is late, one is gone."""
    pbx.rows = [*pbx.rows[1:-2], row(rating_cost="0.70000"), row(NOON + 500, 500), row()[:-1]]
    return pbx


def refined(source: Source) -> None:
    update_partition(source, pbxware.CDR_STREAM, DAY)


def land(lake: Lake, body: str = "{}", stream: str = "lists", day: date | None = None, **depends_on: str) -> Landing:
    with lake.raw.landing("hq", "pbxware", stream, day, day, depends_on) as writer:
        writer.add(kind="k", account_id=None, request={"page": "1"}, body=body, fetched_at=datetime.now(UTC), rows=1)
        return writer.commit(requests=1)


# --- the same responses, the same bytes -------------------------------------------------------------------------------


def test_an_identical_load_changes_nothing(tmp_path: Path) -> None:
    source = source_of(a_pbx(), tmp_path)
    load_day(source)
    before = core(source)
    outcome = load_day(source)
    assert core(source) == before
    assert [landing.unchanged for landing in outcome.landings] == [True]
    assert rows_of(source, "audit.restatement") == []
    assert len(list((tmp_path / "raw" / "hq" / "cdr").rglob("*.parquet"))) == 1


def test_answers_in_another_order_change_no_row(tmp_path: Path) -> None:
    """Other bytes from the vendor, the same records: core keeps what it has, and nothing is restated."""
    pbx = a_pbx()
    source = source_of(pbx, tmp_path)
    load_day(source)
    before = {name: content for name, content in core(source).items() if name.startswith("cdr/")}
    pbx.rows.reverse()
    (landing,) = load_day(source).landings
    assert not landing.unchanged
    assert {name: content for name, content in core(source).items() if name in before} == before
    assert rows_of(source, "audit.restatement") == []


def test_a_rebuild_gives_the_same_bytes(tmp_path: Path) -> None:
    """D12, D11: after three nights, from raw alone; three times over."""
    pbx = a_pbx()
    source = source_of(pbx, tmp_path)
    load_day(source)
    load_day(source_of(changed(pbx), tmp_path))
    pbx.rows.pop()
    load_day(source)
    before, states = core(source), tree(tmp_path / "state" / "core")
    assert rows_of(source, "audit.restatement")
    for _ in range(3):
        source.lake.core.clear([source.name])
        assert core(source) == {}
        refined(source)
        update_partition(source, pbxware.LISTS_STREAM, None)
        assert core(source) == before
        assert tree(tmp_path / "state" / "core") == states


# --- crashes ---------------------------------------------------------------------------------------------------------


class Crash(Exception):
    """The process would be gone here."""


class Interrupted:
    """Lets ``steps`` renames and syncs happen, and then none, as if the process had been killed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, steps: int, error: Callable[[], Exception]) -> None:
        self.left = steps
        self.error = error
        for name in ("replace", "fsync"):
            monkeypatch.setattr(os, name, self._counting(getattr(os, name)))

    def _counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self.left <= 0:
                raise self.error()
            self.left -= 1
            return function(*arguments, **named)

        return call


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Core after two nights in which nothing went wrong, without what tells when it was read."""
    pbx = a_pbx()
    source = source_of(pbx, tmp_path_factory.mktemp("undisturbed"))
    load_day(source)
    load_day(source_of(changed(pbx), source.lake.data_dir))
    return without_times(source)


def without_times(source: Source) -> dict[str, Any]:
    """Core's rows without the columns that name the moment of a reading."""
    moments = {"fetched_at", "raw_file", "first_seen_at", "restated_at"}
    found = {}
    for name in core(source):
        rows = pq.read_table(source.lake.data_dir / "core" / name).to_pylist()
        found[name] = sorted(repr({k: v for k, v in entry.items() if k not in moments}) for entry in rows)
    return found


FULL = OSError(errno.ENOSPC, "no space left on device")


@pytest.mark.parametrize(("error", "stride"), [(Crash, 2), (lambda: FULL, 5)], ids=["kill", "full"])
def test_a_load_that_is_cut_anywhere_is_made_good_by_the_next(
    error: Callable[[], Exception],
    stride: int,
    undisturbed: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D01, D02, D03: after each rename and sync in turn."""
    first = tmp_path / "first"
    load_day(source_of(a_pbx(), first))
    for steps in range(0, 60, stride):
        data_dir = tmp_path / str(steps)
        shutil.copytree(first, data_dir)
        source = source_of(changed(a_pbx()), data_dir)
        with monkeypatch.context() as patched:
            Interrupted(patched, steps, error)
            try:
                failures = load_day(source).failures
                assert error is Crash or all(isinstance(failure, StorageError) for failure in failures)
                cut = bool(failures)
            except (Crash, StorageError):
                cut = True
        if not cut:
            break
        load_day(source_of(changed(a_pbx()), data_dir))
        assert without_times(source) == undisturbed, f"after {steps} steps"
        assert leftovers(data_dir) == []
        if steps % (5 * stride) == 0:
            before = core(source)
            source.lake.core.clear([source.name])
            refined(source)
            update_partition(source, pbxware.LISTS_STREAM, None)
            assert core(source) == before, f"after {steps} steps, rebuilt"
    assert 10 < steps < 59


KILLED = """
import os, sys, signal
sys.path[:0] = {paths!r}
from pathlib import Path
from test_lake import a_pbx, changed
from support.fake_pbx import load_day, source_of
steps = int(sys.argv[2])
def counting(function):
    def call(*arguments, **named):
        global steps
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    return call
for name in ("replace", "fsync"):
    setattr(os, name, counting(getattr(os, name)))
load_day(source_of(changed(a_pbx()), Path(sys.argv[1])))
"""


@pytest.mark.parametrize("steps", [0, 1, 3, 7, 9])
def test_a_process_that_is_killed_leaves_nothing_that_counts(
    steps: int, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    """D01, D04: what it left aside is not read, and is gone after the next load."""
    pbx = a_pbx()
    load_day(source_of(pbx, tmp_path))
    script = KILLED.format(paths=[str(Path(__file__).parent), str(Path(__file__).parents[1])])
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(steps)], timeout=60)
    assert ended.returncode == -9
    assert leftovers(tmp_path)
    source = source_of(changed(pbx), tmp_path)
    load_day(source)
    assert without_times(source) == undisturbed
    assert leftovers(tmp_path / "raw") == leftovers(tmp_path / "core") == []


def test_a_landed_file_whose_manifest_never_came_is_removed(tmp_path: Path) -> None:
    """D02, D04: of a process that was killed between the two."""
    lake = Lake(tmp_path)
    known = tmp_path / land(lake).file
    erased, orphan = known.with_name(f"{known.stem}.1.parquet"), known.with_name("20260101T000000000000Z.parquet")
    for path in (erased, orphan):
        path.write_bytes(known.read_bytes())
    land(lake)
    assert (known.exists(), erased.exists(), orphan.exists()) == (True, True, False)


def test_another_living_process_keeps_what_it_is_writing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    land(lake)
    folder = tmp_path / "raw" / "hq" / "lists" / "all"
    theirs, gone = (
        folder / f".20260101T000000000000Z.{os.getppid()}.tmp",
        folder / ".20260101T000000000000Z.4194999.tmp",
    )
    theirs.write_bytes(b"half")
    gone.write_bytes(b"half")
    land(lake)
    assert theirs.exists()
    assert not gone.exists()


def test_a_landing_that_fails_leaves_nothing_and_counts_for_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    landing = lake.raw.landing("hq", "pbxware", "cdr", DAY, DAY)
    writer = landing.__enter__()
    writer.add(kind="k", account_id=None, request={}, body="x" * 9_000_000, fetched_at=datetime.now(UTC), rows=1)
    assert leftovers(tmp_path)
    error = ZeroDivisionError()
    assert not landing.__exit__(ZeroDivisionError, error, None), "the error goes on"
    assert leftovers(tmp_path) == []
    assert lake.raw.landings("hq", "cdr", DAY) == []
    assert lake.raw.windows() == []
    assert lake.raw.newest_day("hq") is None


def test_the_newest_day_is_one_that_was_landed(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    land(lake, stream="cdr", day=DAY)
    land(lake, stream="lists")
    with lake.raw.landing("hq", "pbxware", "cdr", DAY + timedelta(days=1), DAY + timedelta(days=1)):
        pass
    assert lake.raw.newest_day("hq") == DAY


# --- damage ----------------------------------------------------------------------------------------------------------


def flip(path: Path, at: float = 0.5) -> None:
    """One bit of a file."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 4
    path.write_bytes(bytes(content))


def only_file(root: Path, pattern: str) -> Path:
    (found,) = root.rglob(pattern)
    return found


@pytest.mark.parametrize("at", [0.0, 0.2, 0.5, 0.8, 0.999])
def test_a_flipped_bit_in_raw_is_noticed_before_it_is_read(at: float, tmp_path: Path) -> None:
    """D05."""
    source = source_of(a_pbx(), tmp_path)
    load_day(source)
    flip(only_file(tmp_path / "raw" / "hq" / "cdr", "*.parquet"), at)
    source.lake.core.clear([source.name])
    with pytest.raises(IntegrityError, match="checksum"):
        refined(source)


def test_a_damaged_landing_does_not_stand_for_a_new_one(tmp_path: Path) -> None:
    source = source_of(a_pbx(), tmp_path)
    load_day(source)
    flip(only_file(tmp_path / "raw" / "hq" / "cdr", "*.parquet"))
    (landing,) = load_day(source).landings
    assert not landing.unchanged


@pytest.mark.parametrize("at", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_flipped_bit_in_a_manifest_is_noticed(at: float, tmp_path: Path) -> None:
    source = source_of(a_pbx(), tmp_path)
    load_day(source)
    flip(only_file(tmp_path / "raw" / "hq" / "cdr", "*.json"), at)
    (failure,) = load_day(source).failures
    assert isinstance(failure, IntegrityError)


@pytest.mark.parametrize("at", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
@pytest.mark.parametrize(
    "where", ["core/cdr/hq/*.parquet", "core/control_total/hq/cdr/*.parquet", "state/core/cdr/hq/*.json"]
)
def test_core_that_is_damaged_is_made_again_from_raw(where: str, at: float, tmp_path: Path) -> None:
    pbx = a_pbx()
    source = source_of(pbx, tmp_path)
    load_day(source)
    load_day(source_of(changed(pbx), tmp_path))
    before, states = core(source), tree(tmp_path / "state" / "core")
    partition = source.lake.core.partition("cdr", "hq", DAY)
    assert partition is not None
    (path,) = tmp_path.glob(where)
    flip(path, at)
    if path.suffix == ".parquet":
        with pytest.raises(IntegrityError):
            source.lake.core.files(partition)
    refined(source)
    assert core(source) == before
    assert tree(tmp_path / "state" / "core") == states


def test_a_damaged_partition_is_not_passed_over_when_everything_is_read(tmp_path: Path) -> None:
    """A day that is missing from the database without a word would be the worst of all."""
    source = source_of(a_pbx(), tmp_path)
    load_day(source)
    source.lake.core.clear_pending(source.lake.core.pending())
    assert {partition.stream for partition in source.lake.core.partitions()} == {"cdr", "lists"}
    flip(only_file(tmp_path / "core" / "cdr", "*.parquet"))
    with pytest.raises(IntegrityError, match="damaged"):
        source.lake.core.partitions()


def test_a_partition_that_a_crash_left_half_written_is_still_pending(tmp_path: Path) -> None:
    source = source_of(a_pbx(), tmp_path)
    load_day(source)
    only_file(tmp_path / "core" / "cdr", "*.parquet").write_bytes(b"newer, and the state was not written")
    assert [partition.stream for partition in source.lake.core.partitions()] == ["lists"]
    assert ("cdr", "hq", DAY) in source.lake.core.pending()


def test_a_raw_file_that_is_gone_is_named(tmp_path: Path) -> None:
    source = source_of(a_pbx(), tmp_path)
    load_day(source)
    only_file(tmp_path / "raw" / "hq" / "cdr", "*.parquet").unlink()
    source.lake.core.clear([source.name])
    with pytest.raises(IntegrityError, match="is missing"):
        refined(source)


def test_a_core_file_of_another_schema_is_refused(tmp_path: Path) -> None:
    """D07."""
    path = tmp_path / "numbers.parquet"
    pq.write_table(pa.table({"n": pa.array([1], pa.int32())}), path)
    with pytest.raises(ContractError, match="other columns"):
        read_core(NUMBERS, path)


@pytest.mark.parametrize(
    "rows",
    [
        {"n": pa.array([1], pa.int32())},
        {"m": pa.array([1], pa.int64())},
        {"n": pa.array([1], pa.int64()), "m": pa.array([1], pa.int64())},
        {"n": pa.array([1.5], pa.float64())},
        {},
    ],
)
def test_the_write_gate_takes_the_declared_columns_only(rows: dict[str, pa.Array], tmp_path: Path) -> None:
    with pytest.raises(ContractError):
        write_parquet(NUMBERS, pa.table(rows), tmp_path / "numbers.parquet")
    assert tree(tmp_path) == {}


def test_the_write_gate_gives_the_same_bytes_however_rows_are_batched(tmp_path: Path) -> None:
    schema = NUMBERS.arrow()
    numbers = pa.table({"n": pa.array(range(300_000), pa.int64())})
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    assert write_parquet(NUMBERS, numbers, one) == 300_000
    assert write_parquet(NUMBERS, pa.RecordBatchReader.from_batches(schema, numbers.to_batches(777)), two) == 300_000
    assert one.read_bytes() == two.read_bytes()
    assert read_core(NUMBERS, one).equals(numbers)


@pytest.mark.parametrize("at", [1, 2, 9])
def test_a_disk_that_fails_while_more_rows_are_made_leaves_nothing(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full row group is written by another thread; the last of ten by the one that closes the file."""
    numbers = pa.table({"n": pa.array(range(300_000), pa.int64())})
    write, written = StagedParquet.write, 0

    def fails(self: StagedParquet, rows: pa.Table) -> None:
        nonlocal written
        written += 1
        if written > at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, rows)

    monkeypatch.setattr(StagedParquet, "write", fails)
    with pytest.raises(OSError, match="No space left"):
        write_parquet(NUMBERS, numbers, tmp_path / "numbers.parquet")
    assert tree(tmp_path) == {}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("parquet")]


def test_no_rows_are_no_file_and_the_old_one_goes(tmp_path: Path) -> None:
    pbx = a_pbx()
    source = source_of(pbx, tmp_path)
    load_day(source)
    pbx.rows = []
    load_day(source)
    assert not (tmp_path / "core" / "cdr" / "hq" / f"{DAY}.parquet").exists()
    assert {entry["kind"] for entry in rows_of(source, "audit.restatement")} == {"vanished"}


# --- landings --------------------------------------------------------------------------------------------------------


def test_landings_are_kept_in_the_order_of_their_reading(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    made = [land(lake, body) for body in ("a", "b", "b", "a")]
    found = lake.raw.landings("hq", "lists", None)
    assert found == made
    assert [landing.unchanged for landing in found] == [False, False, True, False]
    assert found[2].file == found[1].file
    assert [lake.raw.responses(landing)[0]["body"] for landing in found] == ["a", "b", "b", "a"]
    assert lake.raw.landings("hq", "lists", None, after=made[1].generation) == made[2:]
    assert lake.raw.last_landing("hq", "lists", None, None) == made[-1]
    assert lake.raw.landing_at("hq", "lists", made[2].content_generation) == made[1]


def test_what_was_read_with_other_lists_is_not_the_same(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert [land(lake, lists=generation).unchanged for generation in ("1", "1", "2")] == [False, True, False]


def test_a_landing_holds_for_every_day_of_its_stretch(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with lake.raw.landing("hq", "sipcentric", "sms", DAY, DAY + timedelta(days=2)) as writer:
        landing = writer.commit(requests=0)
    assert all(lake.raw.landings("hq", "sms", DAY + timedelta(days=n)) == [landing] for n in range(3))
    assert lake.raw.landings("hq", "sms", DAY + timedelta(days=3)) == lake.raw.landings("hq", "sms", None) == []
    assert lake.raw.windows() == [("hq", "sms", DAY, DAY + timedelta(days=2))]


def test_generations_sort_when_the_clock_is_set_back(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    land(lake, "a")
    folder = tmp_path / "raw" / "hq" / "lists" / "all"
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.replace("20", "29", 1))
    manifest = only_file(folder, "*.json")
    said = read_json(manifest)
    write_json(
        manifest, {name: v.replace("20", "29", 1) if name in ("generation", "file") else v for name, v in said.items()}
    )
    made = [land(lake, body) for body in ("b", "c")]
    landings = lake.raw.landings("hq", "lists", None)
    assert [landing.generation for landing in landings][1:] == [m.generation for m in made]
    assert made[0].generation.startswith("29")
    assert lake.raw.last_landing("hq", "lists", None, None) == made[1]


def test_strange_things_in_the_folders_are_not_read(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    landing = land(lake, stream="cdr", day=DAY)
    stream = tmp_path / "raw" / "hq" / "cdr"
    for name in ("lost+found", "2026-3-1", "20260310", "backup", "2026-W11-2", ".hidden"):
        (stream / name).mkdir()
        (stream / name / "x.json").write_text("{}")
    (stream / str(DAY) / "notes.txt").write_text("mine")
    (stream / str(DAY) / ".x.json.1.tmp").write_text("half")
    assert lake.raw.landings("hq", "cdr", DAY) == [landing]
    assert lake.raw.windows() == [("hq", "cdr", DAY, DAY)]
    assert lake.raw.newest_day("hq") == DAY


# --- names and permissions -------------------------------------------------------------------------------------------

HOSTILE = [
    "../..",
    "..",
    ".",
    "",
    "/etc/x",
    "a/b",
    "a\\b",
    "nul\0",
    "a" * 300,
    "a..b",
    "-rf",
    ".hidden",
    "a b",
    "é",
    "a\n",
    "a@b",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_and_touch_nothing(name: str, tmp_path: Path) -> None:
    """D13."""
    lake = Lake(tmp_path / "data")
    uses: list[Callable[[], object]] = [
        lambda: lake.raw.landing(name, "v", "cdr", DAY, DAY).__enter__(),
        lambda: lake.raw.landing("hq", "v", name, DAY, DAY).__enter__(),
        lambda: lake.raw.landings(name, "cdr", DAY),
        lambda: lake.raw.landing_at("hq", "lists", name),
        lambda: lake.core.file(CDR, name, DAY, "cdr"),
        lambda: lake.core.partition("cdr", name, DAY),
        lambda: lake.loads.of(name),
        lambda: lake.raw.newest_day(name),
    ]
    for use in uses:
        with pytest.raises(ContractError):
            use()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_only_the_owner_can_read_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    """D15."""
    lake = Lake(tmp_path / "data")
    with lake.writing():
        land(lake)
    lake.loads.record({"connection": "hq", "stream": "lists", "window_from": None, "window_to": None, "load_id": "1"})
    write_parquet(NUMBERS, pa.table({"n": pa.array([1], pa.int64())}), lake.core.file(NUMBERS, "hq", None, "lists"))
    modes = {stat.S_IMODE(p.stat().st_mode) for p in lake.data_dir.rglob("*") if p.is_file()}
    folders = {stat.S_IMODE(p.stat().st_mode) for p in (lake.data_dir, *lake.data_dir.rglob("*")) if p.is_dir()}
    assert (modes, folders) == ({0o600}, {0o700})


def test_what_is_being_written_is_the_owners_from_the_start(umask: int, tmp_path: Path) -> None:
    with Lake(tmp_path).raw.landing("hq", "v", "cdr", DAY, DAY) as writer:
        writer.add(kind="k", account_id=None, request={}, body="x" * 9_000_000, fetched_at=datetime.now(UTC), rows=1)
        (aside,) = tmp_path.rglob("*.tmp")
        assert stat.S_IMODE(aside.stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("a file where a folder should be")
    with pytest.raises(StorageError), Lake(tmp_path).raw.landing("hq", "v", "cdr", DAY, DAY):
        pass


def test_a_manifest_says_its_format_and_an_older_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    write_json(path, {"n": 1})
    sealed = json.loads(path.read_text())
    assert sealed["format"] == 1
    del sealed["format"]  # as the first releases wrote it
    path.write_text(json.dumps(sealed))
    assert read_json(path) == {"n": 1}
    path.write_text(json.dumps({**sealed, "format": 2}))
    with pytest.raises(IntegrityError, match="newer version of Tollbook"):
        read_json(path)


def test_small_files_are_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "small.json"
    write_json(path, {"n": 1})

    def full(handle: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="input/output"):
        write_bytes(path, b"half")
    assert read_json(path) == {"n": 1}
    assert leftovers(tmp_path) == []


def test_a_manifest_without_its_seal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    for text in ("", "{", "[]", "{}", json.dumps({"content": {"a": 1}, "sha256": "0" * 64}), "\xff"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(IntegrityError):
            read_json(path)


# --- several at once -------------------------------------------------------------------------------------------------


def _refine_in_a_process(data_dir: Path, start: Any) -> None:
    start.wait()
    refined(source_of(FakePbx(), data_dir))


def test_a_partition_that_two_processes_refine_at_once_has_one_result(tmp_path: Path) -> None:
    """D11, O03."""
    pbx = a_pbx()
    source = source_of(pbx, tmp_path)
    load_day(source)
    load_day(source_of(changed(pbx), tmp_path))
    before = core(source)
    source.lake.core.clear([source.name])
    update_partition(source, pbxware.LISTS_STREAM, None)
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    processes = [context.Process(target=_refine_in_a_process, args=(tmp_path, start)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert core(source) == before
    assert leftovers(tmp_path) == []


def test_a_partition_is_made_by_one_at_a_time(tmp_path: Path) -> None:
    """O03: whoever comes second waits, and then finds it made."""
    source = source_of(a_pbx(), tmp_path)
    load_day(source)
    before = core(source)
    source.lake.core.clear([source.name])
    update_partition(source, pbxware.LISTS_STREAM, None)
    made = core(source)
    second = threading.Thread(target=refined, args=(source,))
    with source.lake.writing():
        second.start()
        second.join(0.4)
        assert second.is_alive()
        assert core(source) == made
    second.join(60)
    assert core(source) == before


def test_who_waits_too_long_is_told_for_whom(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with (
        lake.writing(),
        pytest.raises(StorageError, match=str(os.getpid())),
        lake.writing(wait_seconds=0.05, poll=0.01),
    ):
        pass
    with lake.writing(wait_seconds=0):
        pass


def test_a_lock_that_cannot_be_written_is_a_matter_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D03: else the vendor's responses are blamed."""
    monkeypatch.setattr(os, "pwrite", lambda *arguments: (_ for _ in ()).throw(FULL))
    with pytest.raises(StorageError, match="lock"), Lake(tmp_path).writing():
        pass


def test_what_a_killed_process_left_is_cleared_by_the_next_writer(tmp_path: Path) -> None:
    """D04: also where no later load would write the same name."""
    lake = Lake(tmp_path)
    source = source_of(a_pbx(), tmp_path)
    load_day(source)
    load_id = source.load_id
    left = [lake.spill / "duckdb_temp_storage-0.tmp"]
    for pid in (999999999, 1):  # one that lives: its number was given to another process
        left.append(tmp_path / "state" / "loads" / load_id / f".x.json.{pid}.tmp")
        left.append(tmp_path / "state" / "pending" / f".load@gone.{pid}.tmp")
    left += [tmp_path / "state" / "ahead" / f"{pid}-dead-1" / "core.cdr.parquet" for pid in (999999999, os.getpid())]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    with lake.ahead() as living, lake.writing():
        lake.loads.clear_pending(lake.loads.pending())
        assert living.exists()
    assert [path for path in left if path.exists()] == []
    assert lake.loads.pending() == []


def test_the_zone_of_the_days_cannot_change_under_what_was_landed(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "data")
    lake.record_timezone("Europe/London")
    lake.record_timezone("Europe/London")
    with pytest.raises(ConfigError, match="Europe/London"):
        lake.record_timezone("Europe/Vilnius")


# --- loads and marks -------------------------------------------------------------------------------------------------


def test_every_load_is_kept_with_its_types(tmp_path: Path) -> None:
    source = source_of(a_pbx(), tmp_path)
    load_day(source)
    load_day(source_of(a_pbx(), tmp_path, load_id="20260312T000000Z"))
    assert sorted({load["load_id"] for load in source.lake.loads.all()}) == ["20260311T000000Z", "20260312T000000Z"]
    assert source.lake.loads.pending() == ["20260311T000000Z", "20260312T000000Z"]
    source.lake.loads.clear_pending(["20260311T000000Z"])
    assert source.lake.loads.pending() == ["20260312T000000Z"]
    (said,) = [load for load in source.lake.loads.of("20260311T000000Z") if load["stream"] == "cdr"]
    assert (said["window_from"], said["status"], said["rows"], said["quarantined"]) == (DAY, "loaded", 24, 1)
    assert isinstance(said["started_at"], datetime)


def test_what_the_database_has_not_seen_is_marked(tmp_path: Path) -> None:
    source = source_of(a_pbx(), tmp_path)
    load_lists(source)
    load_day(source)
    assert sorted(source.lake.core.pending(), key=str) == [("cdr", "hq", DAY), ("lists", "hq", None)]
    source.lake.core.clear_pending([("cdr", "hq", DAY)])
    assert source.lake.core.pending() == [("lists", "hq", None)]
