"""Whole loads that are killed, or told that the disk is full or broken, anywhere: one more load and all is exact.

Every test here runs a few times in `make test`, and over every point or a thousand times in `make soak`.
"""

import errno
import random
import re
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import pytest
from dagster import DagsterInstance
from support.disk_states import ASIDE, States
from support.killing import Cut, Ended, Nursery, needs_watching, nursery
from support.loading import SHM, World, published, world
from support.soaking import part, told

from warehouse.files import file_sha256

pytestmark = [needs_watching, pytest.mark.slow]  # killed processes

DAY = date(2026, 10, 24)
SCALE = 0.1
# As written once: a first load into nothing, and a night after which something has changed at the vendors.
FIRST, NIGHT = "first", "night"


Way = Callable[..., Ended]  # of loading: with or without Dagster


class Undisturbed(NamedTuple):
    """What a load without trouble came to, the calls that it made, and the states that a kill at each would leave."""

    core: dict[str, str]
    digests: dict[str, str]
    public: dict[str, str]
    files: set[str]
    calls: list[tuple[str, str]]
    states: list[tuple[str, str]]


class Bench:
    """A world whose data directory is put back to one of two states before each load."""

    def __init__(self, place: World, children: Nursery) -> None:
        self.place, self.children = place, children
        self.kept, self.states = place.folder / "kept", States(place.folder / "states")
        assert self.command().code == 0
        place.data_dir.rename(self.kept)
        vendors = place.vendors
        vendors.add_late_rows(DAY, 2)
        vendors.withdraw_row(DAY)
        vendors.settle_provisional()
        self.before = {FIRST: {}, NIGHT: published(self.kept / "tollbook.duckdb")}
        self.wanted = cache(self._undisturbed)
        self._published = {file_sha256(self.kept / "tollbook.duckdb"): self.before[NIGHT]}

    def _undisturbed(self, state: str) -> Undisturbed:
        self.put_back(state)
        ended = self.load(Cut(keep=self.place.folder / "states"))
        assert ended.code == 0, ended.output
        place = self.place
        public = published(place.public)
        return Undisturbed(place.core(), place.digests(), public, files(place.data_dir), ended.calls, ended.states)

    def put_back(self, state: str) -> None:
        shutil.rmtree(self.place.data_dir, ignore_errors=True)
        if state == NIGHT:
            shutil.copytree(self.kept, self.place.data_dir)

    def load(self, cut: Cut | None = None) -> Ended:
        """Without Dagster, which takes most of the time and makes none of the calls."""
        return self.children.load(self.place.config, DAY, cut=cut, secrets=self.place.vendors.secrets)

    def command(self, cut: Cut | None = None, *, recorded: bool = False) -> Ended:
        """As people do it."""
        return self.children.command(
            self.place.config, "load", "--from", str(DAY), "--to", str(DAY),
            cut=cut, recorded=recorded, secrets=self.place.vendors.secrets,
        )  # fmt: skip

    def published_is_whole(self, state: str, what: object) -> None:
        """Right after the trouble: what readers open is the last night or this one."""
        public = self.place.public
        if self.before[state] or public.exists():
            content = file_sha256(public)
            if content not in self._published:
                self._published[content] = published(public)
            assert self._published[content] in (self.before[state], self.wanted(state).public), what

    def again_is_exact(self, state: str, what: object, load: Way | None = None) -> None:
        """One more load, undisturbed, and everything is as if nothing had happened."""
        ended = (load or self.load)()
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
def bench() -> Iterator[Bench]:
    """In memory, where the machine has room for it: what is tried is a process that dies, and not a power cut."""
    with (
        tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as folder,
        world(Path(folder), DAY, DAY, scale=SCALE) as place,
        nursery() as children,
    ):
        yield Bench(place, children)


def spread(calls: Sequence[tuple[str, str]], count: int, seed: int) -> list[int]:
    """Places in the list of calls: ``count`` of them over as many kinds of call and folder as there are."""
    chance = random.Random(seed)
    places = list(range(len(calls)))
    chance.shuffle(places)
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


def moments(wanted: Undisturbed) -> list[int]:
    """Calls at which a kill leaves each state that there is.

    States that differ only in how much of a file is written aside yet are one, tried with the least and with the most.
    """
    found: dict[str, list[int]] = defaultdict(list)
    for at, (_, but_asides) in enumerate(wanted.states):
        found[but_asides].append(at)
    exact = [key for key, _ in wanted.states]
    chosen = {places[0] for places in found.values()} | {
        places[-1] for places in found.values() if exact[places[0]] != exact[places[-1]]
    }
    return sorted(chosen)


def check_kills(bench: Bench, state: str, places: Sequence[int]) -> None:
    wanted = bench.wanted(state)
    for at in told(f"killed in a {state} load", places):
        what = (state, at, wanted.calls[at])
        bench.states.put_back(wanted.states[at][0], bench.place.data_dir)
        bench.published_is_whole(state, what)
        bench.again_is_exact(state, what)


def check_real_kills(bench: Bench, state: str, places: Sequence[int]) -> None:
    """A kill leaves what was kept before the call; and also with the very files, not copies, one load mends all."""
    for at in told(f"really killed in a {state} load", places):
        bench.put_back(state)
        ended = bench.load(Cut(at, keep=bench.place.folder / "states"))
        what = (state, at, ended.calls[-1:])
        if ended.code == 0 and len(ended.calls) <= at:
            continue  # DuckDB wrote in fewer pieces this time, and there was no such call
        assert ended.cut, what
        assert ended.code == -9, what
        assert [bench.states.keep(bench.place.data_dir)] == ended.states, what
        bench.published_is_whole(state, what)
        bench.again_is_exact(state, what)


def test_dagster_changes_nothing_of_the_data_itself(bench: Bench) -> None:
    """So what holds for kills of a load without it holds for `tollbook load`."""
    bench.put_back(NIGHT)
    ended = bench.command(Cut())
    assert ended.code == 0, ended.output
    wanted = bench.wanted(NIGHT)
    ours, without = Counter(map(nameless, ended.calls)), Counter(map(nameless, wanted.calls))
    # DuckDB's threads write now in more pieces, now in fewer.
    assert {call for call in ours if ours[call] != without[call] and "duckdb" not in call[1]} == set()
    assert set(ours) == set(without)
    assert bench.place.core() == wanted.core
    assert bench.place.digests() == wanted.digests


def nameless(call: tuple[str, str]) -> tuple[str, str]:
    """A call without the names of the process and of the load."""
    return call[0], re.sub(r"\b[0-9]{8}T[0-9]{6}(Z-[0-9a-f]{8}|\.[0-9]{6})|(?<=\.)[0-9]+(?=\.)", "~", call[1])


def test_a_load_killed_at_some_call_is_made_good_by_the_next(bench: Bench) -> None:
    """D01, D02, D04: some of all the calls by which a load changes a file."""
    wanted = bench.wanted(NIGHT)
    check_kills(bench, NIGHT, spread(wanted.calls, 6, 14))
    check_real_kills(bench, NIGHT, spread(wanted.calls, 1, 15))


@pytest.mark.soak
@pytest.mark.parametrize("state", [NIGHT, FIRST])
def test_a_load_killed_at_every_call_is_made_good_by_the_next(bench: Bench, state: str) -> None:
    """What each kill would leave is kept in one load, and states that are the same are tried once."""
    wanted = bench.wanted(state)
    places = moments(wanted)
    print(f"{len(wanted.calls)} calls, {len(set(wanted.states))} states, {len(places)} to try", flush=True)
    check_kills(bench, state, part(places))


@pytest.mark.soak
@pytest.mark.parametrize("state", [NIGHT, FIRST])
def test_a_load_that_is_really_killed_leaves_what_was_kept(bench: Bench, state: str) -> None:
    """Wherever the public file is replaced, which knows the file itself; and at a hundred other calls."""
    calls = bench.wanted(state).calls
    publishing = next(at for at, (_, path) in enumerate(calls) if "publishing" in path)
    check_real_kills(bench, state, part([*range(publishing, len(calls)), *spread(calls[:publishing], 100, 16)]))


# --- the disk --------------------------------------------------------------------------------------------------------

FULL = {"error": errno.ENOSPC, "full": True}
BROKEN = {"error": errno.EIO}


def check_disk(bench: Bench, state: str, trouble: dict[str, int], places: Sequence[int]) -> None:
    for at in told(f"{errno.errorcode[trouble['error']]} in a {state} load", places):
        bench.put_back(state)
        check_failed(bench, state, at, bench.load(Cut(at, **trouble)))


def check_failed(bench: Bench, state: str, at: int, ended: Ended) -> None:
    what = (state, at, bench.wanted(state).calls[at], ended.calls[at : at + 1], ended.code, ended.output)
    if ended.cut:
        assert ended.code == 1 and "StorageError" in ended.output or ended.code == 0, what
        assert "Traceback" not in ended.output, what
        # What failed alone is missing; all that could be loaded is published, and adds up; of a first load maybe none.
        if bench.before[state] or bench.place.public.exists():
            assert bench.place.query("SELECT count(*) FROM audit.tie_out WHERE difference <> 0") == [(0,)], what
        else:
            assert ended.code == 1, what
        bench.again_is_exact(state, what)


def troubles(wanted: Undisturbed) -> list[int]:
    """Every call, but of the many writes to a file aside the first, one amid them, and the last."""
    chance = random.Random(7)
    found: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for at, (name, path) in enumerate(wanted.calls):
        found[name, path, wanted.states[at][1] if ASIDE.fullmatch(Path(path).name) else str(at)].append(at)
    return sorted({at for places in found.values() for at in (places[0], chance.choice(places), places[-1])})


@pytest.mark.parametrize(
    ("state", "trouble", "call", "folder"),
    [(NIGHT, FULL, "write", "core/"), (NIGHT, BROKEN, "fdatasync", "private/"), (FIRST, FULL, "pwrite64", "private/")],
    ids=["full", "broken", "full from the first"],
)
def test_a_disk_that_fails_somewhere_is_said_and_made_good(
    bench: Bench, state: str, trouble: dict[str, int], call: str, folder: str
) -> None:
    """D03: while core is written, while DuckDB commits, and while it begins a database."""
    calls = bench.wanted(state).calls
    at = next(at for at, (name, path) in enumerate(calls) if name == call and folder in path)
    bench.put_back(state)
    check_failed(bench, state, at, bench.command(Cut(at, **trouble)))
    check_disk(bench, state, trouble, spread(calls, 2, 17))


@pytest.mark.soak
@pytest.mark.parametrize("trouble", [FULL, BROKEN], ids=["full", "broken"])
@pytest.mark.parametrize("state", [NIGHT, FIRST])
def test_a_disk_that_fails_anywhere_is_said_and_made_good(bench: Bench, state: str, trouble: dict[str, int]) -> None:
    check_disk(bench, state, trouble, part(troubles(bench.wanted(state))))


# --- a disk that is full while Dagster writes its own records ---------------------------------------------------------


def check_records(bench: Bench, ats: Sequence[int]) -> None:
    """Said in a sentence, or got over; and the next load is exact, whatever is there of the records."""
    for at in told("Dagster's records on a full disk", ats):
        bench.put_back(NIGHT)
        ended = bench.command(Cut(at, **FULL, dagster=True), recorded=True)
        assert ended.cut, at
        assert ended.code in (0, 1), (at, ended)
        assert ended.code == 0 or "StorageError" in ended.output, (at, ended.output)
        for word in ("Traceback", "sqlalchemy", "[SQL", "InternalError"):
            assert word not in ended.output, (at, ended.output)
        bench.published_is_whole(NIGHT, at)
        bench.again_is_exact(NIGHT, at, partial(bench.command, recorded=True))
        assert held(bench.place) == ([], [], []), at


@cache
def records(bench: Bench) -> int:
    """How many calls a load makes to write Dagster's records."""
    bench.put_back(NIGHT)
    ended = bench.command(Cut(dagster=True), recorded=True)
    assert ended.code == 0, ended.output
    return len(ended.calls)


def test_a_disk_full_of_other_things_while_dagster_writes_its_records_is_said_and_made_good(bench: Bench) -> None:
    """D03: while the load goes on, and while its end is written."""
    count = records(bench)
    check_records(bench, [count // 3, count - 5])


@pytest.mark.soak
def test_a_disk_that_fills_anywhere_while_dagster_writes_its_records_is_said_and_made_good(bench: Bench) -> None:
    check_records(bench, part(range(records(bench))))


# --- killed at any moment --------------------------------------------------------------------------------------------


def check_moments(bench: Bench, seeds: Sequence[int]) -> None:
    """Every tenth as outside of tests, with Dagster's runs kept: nothing of a killed run stands in the way of the next.

    The moments are spread over as long as the same load takes undisturbed.
    """
    ways: tuple[Way, ...] = (partial(bench.command, recorded=True), *[bench.load] * 9)
    kills = 0
    for seed in told("killed at some moment", seeds):
        chance = random.Random(seed)
        state, way = chance.choice((NIGHT, NIGHT, FIRST)), ways[seed % len(ways)]
        moment = chance.uniform(0, seconds(bench, state, way))
        bench.put_back(state)
        what = (seed, state, moment)
        ended = way(Cut(after=moment))
        kills += ended.cut
        assert ended.code == (-9 if ended.cut else 0), (what, ended)
        bench.published_is_whole(state, what)
        bench.again_is_exact(state, what, way)
        if way is ways[0]:
            assert held(bench.place) == ([], [], []), what
    print(f"{kills} of {len(seeds)} loads were killed before they ended", flush=True)


@cache
def seconds(bench: Bench, state: str, way: Way) -> float:
    """How long a load takes undisturbed, once all that it takes is imported."""
    took = 0.0
    for _ in range(2):
        bench.put_back(state)
        begun = time.monotonic()
        assert way().code == 0
        took = time.monotonic() - begun
    return took


def held(place: World) -> tuple[list[str], list[str], list[str]]:
    """What Dagster still counts as going on: runs that hold a slot of a pool, that have not ended, that hold a lock."""
    with DagsterInstance.from_config(str(place.data_dir / "dagster")) as instance:
        return (
            sorted(instance.event_log_storage.get_concurrency_run_ids()),
            [run.run_id for run in instance.get_runs() if not run.is_finished],
            [path.name for path in (place.data_dir / "dagster" / "run_locks").iterdir()],
        )


def test_a_load_killed_while_it_asks_a_vendor_leaves_nothing_in_the_way(bench: Bench) -> None:
    """O01: it held the slot of that vendor's pool."""
    asking = next(n for n, (_, path) in enumerate(bench.wanted(NIGHT).calls) if path.startswith("raw/"))
    bench.put_back(NIGHT)
    assert bench.command(Cut(asking), recorded=True).cut
    assert held(bench.place) != ([], [], [])
    bench.again_is_exact(NIGHT, "killed while it asked", partial(bench.command, recorded=True))
    assert held(bench.place) == ([], [], [])


@pytest.mark.soak
def test_a_load_killed_at_a_thousand_moments_leaves_nothing_in_the_way(bench: Bench) -> None:
    check_moments(bench, part(range(1000)))
