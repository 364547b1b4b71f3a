"""SIGINT and SIGTERM to real commands: one sentence with the days that are open, 130 or 143, and no run goes on."""

import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest
from dagster import AssetsDefinition, DagsterInstance
from support.loading import World, world
from support.soaking import part, told

from assets.vendors import STREAMS
from pipelines.definitions import build
from pipelines.demo.company import PBX, SIP, TIM, VPS

pytestmark = pytest.mark.slow  # killed processes

FIRST, LAST = date(2026, 10, 22), date(2026, 10, 24)
LOAD = ("load", "--from", str(FIRST), "--to", str(LAST))
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("vendors"), FIRST, LAST, scale=0.1) as made:
        yield made


@pytest.fixture
def place(vendors: World, tmp_path: Path) -> World:
    vendors.vendors.write_config(tmp_path / "tollbook.toml")
    return World(vendors.vendors, tmp_path)


class Ended:
    """A command that was sent a signal: at a line that it wrote, or after so many seconds."""

    def __init__(
        self, place: World, number: signal.Signals, *command: str, line: str = "", after: float | None = None
    ) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", "--config", str(place.config), *command],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr
        watchdog = threading.Timer(180, process.kill)
        watchdog.start()
        before = ""
        if after is not None:
            time.sleep(after)
        else:
            while line not in before:
                before += process.stderr.readline() or pytest.fail(f"it ended before {line!r}: {before}")
        process.send_signal(number)
        sent = time.monotonic()
        self.out, err = process.communicate()
        self.seconds = time.monotonic() - sent
        self.err = before + err
        self.code = process.returncode
        watchdog.cancel()

    @property
    def sentence(self) -> str:
        """The only thing that it says of its end."""
        assert "unchanged" not in self.out
        for word in ("Traceback", "Dagster", "dagster", "Error"):
            assert word not in self.out + self.err, self.err
        [line] = [line for line in self.err.splitlines() if line.startswith("tollbook: ")]
        return line


def runs(place: World) -> list[str]:
    """How the runs ended, oldest first."""
    if not (place.data_dir / "dagster" / "history").is_dir():
        return []
    with DagsterInstance.from_config(str(place.data_dir / "dagster")) as instance:
        return [run.status.value for run in reversed(instance.get_runs())]


def test_an_interrupted_load_says_which_days_are_open(place: World) -> None:
    """TIM4biz's days and the lists are read before the calls; of those not a day is."""
    ended = Ended(place, signal.SIGTERM, *LOAD, line=f"{PBX} cdr: {FIRST} (0 of 3")
    assert ended.code == 143, ended.err
    found = re.fullmatch(
        r"tollbook: interrupted by SIGTERM; not read yet: (.*); nothing was published; "
        "what was loaded stays: run the same load again",
        ended.sentence,
    )
    assert found, ended.sentence
    assert f"{FIRST} to {LAST} of " in found[1]
    assert PBX in found[1]
    assert SIP in found[1]
    assert TIM not in found[1]
    assert VPS not in found[1]
    assert runs(place) == ["CANCELED"]
    assert not place.public.exists()
    again = place.command(*LOAD)
    assert again.exit_code == 0, again.output
    assert runs(place) == ["CANCELED", "SUCCESS", "SUCCESS"]


def test_a_connection_that_was_not_asked_for_is_not_open(place: World) -> None:
    ended = Ended(place, signal.SIGINT, *LOAD, "--connection", PBX, line=f"{PBX} lists: all (0 of 1")
    assert ended.code == 130, ended.err
    assert ended.sentence == (
        f"tollbook: interrupted by SIGINT; not read yet: {FIRST} to {LAST} of {PBX}; nothing was published; "
        "what was loaded stays: run the same load again"
    )
    assert runs(place) == ["CANCELED"]


def test_a_load_that_only_begins_ends_too(place: World) -> None:
    """While its modules are imported, which can swallow an exception."""
    for number, seconds in ((signal.SIGINT, 0.7), (signal.SIGTERM, 1.5)):
        ended = Ended(place, number, *LOAD, after=seconds)
        assert ended.code == CODES[number], ended.err
        assert ended.sentence.startswith(f"tollbook: interrupted by {number.name}; ")
        assert ended.seconds < 10
        assert set(runs(place)) <= {"CANCELED"}


def test_a_rebuild_ends_as_well_and_can_be_repeated(place: World) -> None:
    assert place.command(*LOAD).exit_code == 0
    before = place.digests()
    ended = Ended(place, signal.SIGTERM, "rebuild", line=f"{PBX} cdr: ")
    assert ended.code == 143, ended.err
    assert ended.sentence == (
        "tollbook: interrupted by SIGTERM; what was done stays, and nothing is half done: run it again"
    )
    assert place.command("rebuild").exit_code == 0
    assert place.digests() == before


def test_what_is_asked_day_by_day_is_what_the_assets_are(vendors: World) -> None:
    of_vendor = {connection.name: connection.vendor for connection in vendors.settings.connections}
    found: dict[str, set[str]] = {vendor: set() for vendor in of_vendor.values()}
    for asset in build(vendors.settings).assets or ():
        if isinstance(asset, AssetsDefinition) and asset.partitions_def is not None:
            raw = next(key for key in asset.keys if key.path[-1].startswith("raw_"))
            found[of_vendor[raw.path[0]]].add(raw.path[-1].removeprefix("raw_"))
    assert {vendor: {each.name for each in streams if each.daily} for vendor, streams in STREAMS.items()} == found


# --- at any moment ----------------------------------------------------------------------------------------------------


def check_moments(place: World, seeds: Sequence[int]) -> None:
    for seed in told("interrupted at some moment", seeds):
        chance = random.Random(seed)
        number = chance.choice(list(CODES))
        ended = Ended(place, number, *LOAD, after=chance.uniform(0.3, 20))
        assert ended.code in (0, CODES[number]), (seed, ended.err)
        assert ended.code == 0 or "interrupted by" in ended.sentence, seed
        assert set(runs(place)) <= {"CANCELED", "SUCCESS"}, seed
    assert place.command(*LOAD).exit_code == 0


@pytest.mark.soak
def test_a_load_interrupted_at_two_hundred_moments_leaves_no_run(place: World) -> None:
    check_moments(place, part(range(200)))
