"""Bits that flip at rest: whatever was damaged is noticed or made again from raw, and no other figure is published."""

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest
from dagster import DagsterInstance
from support.loading import SHM, World, published, read_and_publish, world
from support.soaking import part, told

from pipelines.demo.company import PBX
from pipelines.resources import Runtime

pytestmark = pytest.mark.slow  # whole loads

DAY = date(2026, 10, 24)
ACTIONS = ("load", "load into an empty database", "rebuild")


@pytest.fixture(scope="module")
def place() -> Iterator[World]:
    """A world of two nights, in the second of which something had changed; kept as it is then in ``kept``."""
    with (
        tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as folder,
        world(Path(folder), DAY, DAY, scale=0.1, only=(PBX,)) as made,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("pipelines.load.open_history", lambda _: DagsterInstance.ephemeral())
        assert made.load(DAY, DAY).failures == []
        made.vendors.add_late_rows(DAY, 2)
        made.vendors.withdraw_row(DAY)
        made.vendors.settle_provisional()
        assert made.load(DAY, DAY).failures == []
        assert made.query("SELECT count(*) FROM audit.restatement") != [(0,)]
        made.data_dir.rename(made.folder / "kept")
        yield made


Ended = tuple[int, str]


def by_command(place: World) -> Ended:
    """A load as people do it: its exit code and what it says."""
    ended = place.command("load", "--from", str(DAY), "--to", str(DAY))
    return ended.exit_code, ended.output


def without_dagster(place: World) -> Ended:
    """The same in a third of the time."""
    failures = read_and_publish(Runtime(place.settings), DAY, DAY)
    return int(bool(failures)), " ".join(type(error).__name__ for error in failures)


def check_flips(place: World, seeds: Sequence[int], load: Callable[[World], Ended]) -> None:
    kept = place.folder / "kept"
    wanted = published(kept / "tollbook.duckdb")
    files = [
        path.relative_to(kept)
        for folder in ("raw", "core", "state")
        for path in sorted((kept / folder).rglob("*"))
        if path.is_file() and path.stat().st_size and path.name != "lock"
    ]
    for seed in told("bits flipped", seeds):
        chance = random.Random(seed)
        shutil.rmtree(place.data_dir, ignore_errors=True)
        shutil.copytree(kept, place.data_dir)
        damaged, action = chance.choice(files), chance.choice(ACTIONS)
        bit = flip(place.data_dir / damaged, chance)
        what = (seed, str(damaged), bit, action)
        if action == "load into an empty database":
            shutil.rmtree(place.data_dir / "private")
        if action == "rebuild":
            ended = place.command("rebuild")
            code, said = ended.exit_code, ended.output
        else:
            code, said = load(place)
        assert code in (0, 1), (what, said)
        assert code == 0 or "IntegrityError" in said, (what, said)
        assert "Traceback" not in said, (what, said)
        assert published(place.public) == wanted, (what, said)
        if action == "rebuild":
            # It reads all of raw, and nothing of core.
            assert (code == 1) == (damaged.parts[0] == "raw" or damaged.parts[:2] in NOT_MADE_AGAIN), what


NOT_MADE_AGAIN = {
    *(("state", name) for name in ("loads", "timezone.json", "connections", "login_key.json")),
}


def flip(path: Path, chance: random.Random) -> int:
    """Change one bit of a file; which."""
    content = bytearray(path.read_bytes())
    bit = chance.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return bit


def test_a_flipped_bit_is_noticed_or_mended_before_it_is_published(place: World) -> None:
    """D05."""
    check_flips(place, range(6), by_command)


@pytest.mark.soak
def test_a_thousand_flipped_bits_are_noticed_or_mended_before_they_are_published(place: World) -> None:
    check_flips(place, part(range(1000)), without_dagster)
