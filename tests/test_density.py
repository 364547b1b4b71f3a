"""The guess at how many records come when: whatever a vendor answers, it is a guess and never an error."""

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from assets.sources.density import Density
from assets.sources.slices import Found, Reading, Slice

START = 1_700_000_000


@given(seed=st.integers(0, 2**32))
@settings(max_examples=500)
def test_a_guess_is_made_of_any_answers(seed: int) -> None:
    """Also of those that promise more than they hold, hold nothing, or are of times that were not asked for."""
    rng = random.Random(seed)
    window = Slice(START, START + rng.choice((2, 10, 3600, 82_800, 86_400, 90_000)))
    capacity = rng.choice((1, 2, 16, 200, 1000))
    cuts = sorted({window.start, window.end, *(rng.randint(window.start, window.end) for _ in range(4))})
    found = [Found(Slice(*cut), rng.choice((0, 1, capacity, 5 * capacity))) for cut in pairwise(cuts)]
    density = Density(window, rng.choice(([], found)), capacity)
    for _ in range(rng.randint(1, 25)):
        reading = _reading(rng, window, capacity)
        density.learn(reading)
        start, end = sorted(rng.sample(range(window.start, window.end + 1), 2))
        assert density.answers(start, end) >= 0
        assert density.after(start, end, rng.choice((0.1, 1, 3.5))) <= end
        if not reading.complete:
            assert density.shorter(reading) < reading.slice.end


def _reading(rng: random.Random, window: Slice, capacity: int) -> Reading:
    start = rng.randint(window.start, window.end - 1)
    part = Slice(start, rng.randint(start + 1, min(window.end, start + rng.choice((1, 5, 60, 3600, 90_000)))))
    rows = rng.choice((0, 0, 1, rng.randint(0, capacity), capacity))
    times = [rng.randint(part.start - 5, part.end + 5) for _ in range(rows)]
    if rng.random() < 0.6:
        times.sort(reverse=rng.random() < 0.5)
    total = rng.choice((None, None, rows, rows + 1, rows + 3, rows * 10, 0, 10**9))
    complete = rng.random() < 0.5
    return Reading(part, [], rows, complete, capacity, total=total, times=rng.choice((times, times, [])))
