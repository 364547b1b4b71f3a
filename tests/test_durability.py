"""Whole loads that are killed, or told that the disk is full or broken, anywhere: one more load and all is exact.

Every test here runs a few times in `make test`, and over every point or a thousand times in `make soak`.
"""

import errno
import random
import shutil
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from dagster import DagsterInstance
from killing import Cut, Ended, Nursery, needs_watching, nursery
from loading import World, published, world

pytestmark = needs_watching

DAY = date(2026, 10, 24)
SCALE = 0.1
# As written once: a first load into nothing, and a night after which something has changed at the vendors.
FIRST, NIGHT = "first", "night"


class Undisturbed(NamedTuple):
    """What a load without trouble came to, and the calls that it made."""

    core: dict[str, str]
    digests: dict[str, str]
    public: dict[str, str]
    files: set[str]
    calls: list[tuple[str, str]]


class Bench:
    """A world whose data directory is put back to one of two states before each load."""

    def __init__(self, place: World, children: Nursery) -> None:
        self.place, self.children = place, children
        self.kept = place.folder / "kept"
        assert self.load().code == 0
        place.data_dir.rename(self.kept)
        vendors = place.vendors
        vendors.add_late_rows(DAY, 2)
        vendors.withdraw_row(DAY)
        vendors.settle_provisional()
        self.before = {FIRST: {}, NIGHT: published(self.kept / "tollbook.duckdb")}
        self.wanted = cache(self._undisturbed)

    def _undisturbed(self, state: str) -> Undisturbed:
        self.put_back(state)
        ended = self.load(Cut())
        assert ended.code == 0, ended.output
        place = self.place
        return Undisturbed(place.core(), place.digests(), published(place.public), files(place.data_dir), ended.calls)

    def put_back(self, state: str) -> None:
        shutil.rmtree(self.place.data_dir, ignore_errors=True)
        if state == NIGHT:
            shutil.copytree(self.kept, self.place.data_dir)

    def load(self, cut: Cut | None = None, *, recorded: bool = False) -> Ended:
        return self.children.command(
            self.place.config, "load", "--from", str(DAY), "--to", str(DAY),
            cut=cut, recorded=recorded, secrets=self.place.vendors.secrets,
        )  # fmt: skip

    def published_is_whole(self, state: str, what: object) -> None:
        """Right after the trouble: what readers open is the last night or this one."""
        public = self.place.public
        if self.before[state] or public.exists():
            assert published(public) in (self.before[state], self.wanted(state).public), what

    def again_is_exact(self, state: str, what: object, *, recorded: bool = False) -> None:
        """One more load, undisturbed, and everything is as if nothing had happened."""
        ended = self.load(recorded=recorded)
        assert ended.code == 0, (what, ended.output)
        wanted, place = self.wanted(state), self.place
        assert place.core() == wanted.core, what
        assert place.digests() == wanted.digests, what
        assert published(place.public) == wanted.public, what
        assert files(place.data_dir) == wanted.files, what


def files(data_dir: Path) -> set[str]:
    """Every file that may differ only in its content; of raw and of the loads, only what should not be there."""
    found = {str(p.relative_to(data_dir)) for p in data_dir.rglob("*") if p.is_file()}
    grows = ("raw/", "state/loads/")
    return {
        name
        for name in found
        if not name.startswith("dagster/") and (not name.startswith(grows) or Path(name).name.startswith("."))
    }


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with world(tmp_path_factory.mktemp("durability"), DAY, DAY, scale=SCALE) as place, nursery() as children:
        yield Bench(place, children)


def spread(calls: list[tuple[str, str]], count: int | None, seed: int) -> list[int]:
    """Places in the list of calls: ``count`` of them over as many kinds of call and folder as there are; or all."""
    chance = random.Random(seed)
    places = list(range(len(calls)))
    chance.shuffle(places)
    if count is None:
        return places
    kinds = defaultdict(list)
    for place in places:
        name, path = calls[place]
        kinds[name, Path(path).parts[0]].append(place)
    chosen: list[int] = []
    while len(chosen) < min(count, len(calls)):
        for kind in chance.sample(sorted(kinds), len(kinds)):
            if kinds[kind]:
                chosen.append(kinds[kind].pop())
    return chosen[:count]


# --- killed ----------------------------------------------------------------------------------------------------------


def check_kills(bench: Bench, state: str, count: int | None) -> None:
    for done, at in enumerate(spread(bench.wanted(state).calls, count, 14)):
        bench.put_back(state)
        ended = bench.load(Cut(at))
        what = (state, at, ended.calls[-1:], bench.wanted(state).calls[at], done)
        if ended.cut:
            assert ended.code == -9, what
            bench.published_is_whole(state, what)
            bench.again_is_exact(state, what)
        if done % 50 == 0:
            print(f"killed {done + 1} times, {what}", flush=True)


def test_a_load_killed_at_some_call_is_made_good_by_the_next(bench: Bench) -> None:
    """D01, D02, D04: some of all the calls by which a load changes a file."""
    check_kills(bench, NIGHT, 2)


@pytest.mark.soak
@pytest.mark.parametrize("state", [NIGHT, FIRST])
def test_a_load_killed_at_every_call_is_made_good_by_the_next(bench: Bench, state: str) -> None:
    check_kills(bench, state, None)


# --- the disk --------------------------------------------------------------------------------------------------------

FULL = {"error": errno.ENOSPC, "full": True}
BROKEN = {"error": errno.EIO}


def check_disk(bench: Bench, state: str, trouble: dict[str, int], places: list[int]) -> None:
    for done, at in enumerate(places):
        bench.put_back(state)
        ended = bench.load(Cut(at, **trouble))
        what = (state, at, bench.wanted(state).calls[at], ended.calls[at : at + 1], ended.code, ended.output)
        if ended.cut:
            assert ended.code == 1 and "StorageError" in ended.output or ended.code == 0, what
            assert "Traceback" not in ended.output, what
            # What failed alone is missing; all that could be loaded is published, and adds up.
            assert published(bench.place.public), what
            assert bench.place.query("SELECT count(*) FROM audit.tie_out WHERE difference <> 0") == [(0,)], what
            bench.again_is_exact(state, what)
        if done % 50 == 0:
            print(f"failed {done + 1} times, {what[:4]}", flush=True)


@pytest.mark.parametrize(
    ("trouble", "call", "folder"), [(FULL, "write", "core/"), (BROKEN, "fdatasync", "private/")], ids=["full", "broken"]
)
def test_a_disk_that_fails_somewhere_is_said_and_made_good(
    bench: Bench, trouble: dict[str, int], call: str, folder: str
) -> None:
    """D03: while core is written, and while DuckDB commits."""
    calls = bench.wanted(NIGHT).calls
    check_disk(
        bench, NIGHT, trouble, [next(n for n, (name, path) in enumerate(calls) if name == call and folder in path)]
    )


@pytest.mark.soak
@pytest.mark.parametrize("trouble", [FULL, BROKEN], ids=["full", "broken"])
@pytest.mark.parametrize("state", [NIGHT, FIRST])
def test_a_disk_that_fails_anywhere_is_said_and_made_good(bench: Bench, state: str, trouble: dict[str, int]) -> None:
    check_disk(bench, state, trouble, spread(bench.wanted(state).calls, None, 28))


# --- killed at any moment --------------------------------------------------------------------------------------------


def check_moments(bench: Bench, count: int, seconds: float) -> None:
    """As outside of tests, with Dagster's runs kept: nothing of a killed run stands in the way of the next."""
    chance = random.Random(41)
    for done in range(count):
        state = chance.choice((NIGHT, NIGHT, FIRST))
        bench.put_back(state)
        moment = chance.uniform(0.1, seconds)
        what = (done, state, moment)
        ended = bench.load(Cut(after=moment), recorded=True)
        assert ended.code == (-9 if ended.cut else 0), (what, ended)
        bench.published_is_whole(state, what)
        bench.again_is_exact(state, what, recorded=True)
        assert held(bench.place) == ([], [], []), what
        if done % 50 == 0:
            print(f"killed {done + 1} times, {what}", flush=True)


def held(place: World) -> tuple[list[str], list[str], list[str]]:
    """What Dagster still counts as going on: runs that hold a slot of a pool, that have not ended, that hold a lock."""
    with DagsterInstance.from_config(str(place.data_dir / "dagster")) as instance:
        return (
            sorted(instance.event_log_storage.get_concurrency_run_ids()),
            [run.run_id for run in instance.get_runs() if not run.is_finished],
            [path.name for path in (place.data_dir / "dagster" / "alive").iterdir()],
        )


def test_a_load_killed_while_it_asks_a_vendor_leaves_nothing_in_the_way(bench: Bench) -> None:
    """O01: it held the slot of that vendor's pool."""
    asking = next(n for n, (_, path) in enumerate(bench.wanted(NIGHT).calls) if path.startswith("raw/"))
    bench.put_back(NIGHT)
    assert bench.load(Cut(asking), recorded=True).cut
    assert held(bench.place) != ([], [], [])
    bench.again_is_exact(NIGHT, "killed while it asked", recorded=True)
    assert held(bench.place) == ([], [], [])


@pytest.mark.soak
def test_a_load_killed_at_a_thousand_moments_leaves_nothing_in_the_way(bench: Bench) -> None:
    check_moments(bench, 1000, 5)
