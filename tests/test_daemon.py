"""Runs that Dagster's daemon started and somebody killed: the next ones work, unaided, and nothing is held."""

import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.loading import SHM, world
from support.serving import DAY, served, wait_for
from support.soaking import part, told

pytestmark = pytest.mark.slow  # Dagster's daemon


def check_killed_runs(seeds: Sequence[int]) -> None:
    """Each time into an empty lake; the killed run is the load, or the publication that follows one."""
    with (
        tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as folder,
        world(Path(folder), DAY, DAY, scale=0.1, nightly="0 0 29 2 *") as place,
        served(place) as dagster,
    ):
        assert dagster.ended(load := dagster.load()).is_success
        assert dagster.ended(dagster.publication_of(load)).is_success
        wanted = dagster.figures()
        kills = 0
        for seed in told("runs killed", seeds):
            chance = random.Random(seed)
            wait_for(dagster.nothing_is_held, f"what the dead held to be let go of, before {seed}")
            for name in ("core", "private", "raw", "state"):
                shutil.rmtree(place.data_dir / name)
            place.public.unlink()
            victim = dagster.load()
            if chance.random() < 0.3:
                assert dagster.ended(victim).is_success
                victim = dagster.publication_of(victim)
            kills += dagster.kill(victim, chance.uniform(0, 4))
            assert dagster.ended(load := dagster.load()).is_success, seed
            assert dagster.ended(dagster.publication_of(load)).is_success, seed
            assert dagster.figures() == wanted, seed
        wait_for(dagster.nothing_is_held, "what the dead held to be let go of")
        print(f"{kills} of {len(seeds)} runs were killed before they ended", flush=True)


@pytest.mark.soak
def test_fifty_runs_killed_under_the_daemon_leave_nothing_in_the_way() -> None:
    """O01."""
    check_killed_runs(part(range(50)))
