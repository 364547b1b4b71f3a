"""Reading a window in time slices that each fit one answer.

What lives here: the walk over a window. Offset paging drifts while records arrive or vanish; a slice that fits one
answer cannot, for the answer is the vendor's state at one moment. What does not: what a vendor's answer looks like
(the vendor modules), HTTP (``client``).

The walk goes from the early end to the late one and is sized from the density seen: after a slice that fitted, the next
ones are as long as should fill most of an answer; one that did not fit is halved, and fewer are asked ahead, for they
would be too long as well. Only a slice of one second cannot be cut: the vendor module pages it, and proves that the
reading was stable. The same answers always give the same slices.

What an earlier reading found, of this day or of one like it, is a guess at the density: lengths are then counted in the
records that it expects, and not in seconds, so that the morning does not come as a surprise. It changes how many
requests are made, never what is read.
"""

import heapq
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import pairwise

from assets.sources.client import Client
from assets.sources.page import Page

FILL = 0.88  # of an answer's capacity that a slice aims at: room for chance and for a rising hour
SPARE = 1 / FILL - 1  # of a length that a slice can be longer and still fit
FLAT = 0.05  # of the records expected that are taken to come at any time, however quiet it was the last time
GROWTH = 4  # the most that a slice may grow over the one before, so that a quiet night does not overshoot the morning


@dataclass(frozen=True)
class Slice:
    """A stretch of time in epoch seconds, ``start`` inclusive, ``end`` exclusive."""

    start: int
    end: int

    @property
    def seconds(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Reading:
    """What one request for a slice gave.

    ``complete``: the answer holds the whole slice. Otherwise ``total`` is how many records the vendor says there are
    (None: it does not say) and ``reach`` the seconds that the answer's records span.
    """

    slice: Slice
    pages: list[Page] = field(repr=False)
    rows: int
    complete: bool
    capacity: int
    total: int | None = None
    reach: int | None = None


@dataclass(frozen=True)
class Found:
    """How many records an earlier reading found in a slice."""

    slice: Slice
    rows: int


@dataclass(frozen=True)
class Earlier:
    """What an earlier reading found: slices that tile its window. ``again``: of the very window that is read now."""

    found: tuple[Found, ...] = ()
    again: bool = False


NOTHING = Earlier()


def read_slices(
    fetch: Callable[[Slice], Reading],
    fetch_paged: Callable[[Slice], Reading],
    window: Slice,
    client: Client,
    *,
    capacity: int,
    earlier: Earlier = NOTHING,
) -> Iterator[Reading]:
    """Yield complete readings that tile ``window``, in the order of their slices' requests.

    ``fetch`` asks once for a slice; ``fetch_paged`` reads a slice of one second that does not fit one answer. Up to
    ``client.max_in_flight`` requests are under way at once. What these raise is raised here, and nothing more is asked.
    ``capacity`` is how many records an answer should hold. Of an ``earlier`` reading of this very window the slices are
    asked for once more, so that what has not changed gives the same answers.
    """
    found = _moved(earlier.found, window)
    again = earlier.again and bool(found)
    clock = _Clock(window, found)
    known = _Capacity(capacity)
    # A heap: the earliest is asked for first.
    gaps = [(f.slice.start, f.slice.end) for f in found] if again else [(window.start, window.end)]
    length = (1 + FLAT) * FILL * capacity if found else clock.between(window.start, window.end)
    length = math.inf if again else length  # again: each slice whole, as it was
    ahead = client.max_in_flight if found else 1  # requests that may be under way: one more with each slice that fits
    asked: deque[Future[Reading]] = deque()
    with client.pool() as pool:
        while gaps or asked:
            while gaps and len(asked) < ahead:
                asked.append(pool.submit(fetch, _take(gaps, clock, length)))
            reading = pool.result(asked.popleft())
            known.learn(reading)
            if not reading.complete and reading.slice.seconds == 1:
                reading = fetch_paged(reading.slice)
            expected = clock.between(reading.slice.start, reading.slice.end)
            if reading.complete:
                yield reading
                ahead = min(ahead + 1, client.max_in_flight)
                fitting = _next_length(reading, expected, length, known.rows)
                # Where the day's shape is known, one slice more or less full than expected is mostly chance.
                length = (length + fitting) / 2 if found else fitting
            else:
                ahead = max(1, ahead // 2)
                cut = _cut_length(reading, expected, clock)
                length = length if again else cut
                _put_back(gaps, clock, reading.slice, cut)


def _moved(found: Sequence[Found], window: Slice) -> list[Found]:
    """The slices of an earlier reading, moved to begin and end with the window; [] where they do not tile."""
    ordered = sorted(found, key=lambda f: f.slice.start)
    if not ordered or any(a.slice.end != b.slice.start for a, b in pairwise(ordered)):
        return []
    move = window.start - ordered[0].slice.start
    moved = [Found(Slice(f.slice.start + move, min(f.slice.end + move, window.end)), f.rows) for f in ordered]
    moved = [f for f in moved if f.slice.seconds > 0]
    last = moved.pop()
    return [*moved, Found(Slice(last.slice.start, window.end), last.rows)]


class _Clock:
    """How far the day has gone by the records expected until then, or by seconds where nothing is known."""

    def __init__(self, window: Slice, found: Sequence[Found]) -> None:
        rows = sum(f.rows for f in found)
        flat = FLAT * rows / window.seconds if rows else 1.0  # records a second
        self._seconds = [window.start]
        self._marks = [0.0]
        for part in found or [Found(window, 0)]:
            self._seconds.append(part.slice.end)
            self._marks.append(self._marks[-1] + part.rows + flat * part.slice.seconds)

    def between(self, start: int, end: int) -> float:
        return self._at(end) - self._at(start)

    def after(self, start: int, length: float) -> int:
        """The second at which ``length`` has gone by since ``start``."""
        mark = self._at(start) + length
        part = min(max(1, bisect_right(self._marks, mark)), len(self._marks) - 1)
        return round(_interpolate(self._marks, self._seconds, part, mark))

    def _at(self, second: int) -> float:
        part = min(max(1, bisect_right(self._seconds, second)), len(self._seconds) - 1)
        return _interpolate(self._seconds, self._marks, part, second)


def _interpolate(known: Sequence[float], wanted: Sequence[float], part: int, place: float) -> float:
    low, high = known[part - 1], known[part]
    return wanted[part - 1] + (wanted[part] - wanted[part - 1]) * (place - low) / (high - low)


class _Capacity:
    """How many records an answer holds: what the vendor says, unless an overfull answer held fewer."""

    def __init__(self, stated: int) -> None:
        self._stated = stated
        self._most = 1
        self._overstated = False

    @property
    def rows(self) -> int:
        return self._most if self._overstated else self._stated

    def learn(self, reading: Reading) -> None:
        self._stated = reading.capacity
        self._most = max(self._most, reading.rows)
        self._overstated |= not reading.complete and reading.rows < reading.capacity


def _take(gaps: list[tuple[int, int]], clock: _Clock, length: float) -> Slice:
    """Cut the next slice of about ``length`` off the earliest gap; the last ones are even, so that none is a crumb."""
    start, end = heapq.heappop(gaps)
    whole = clock.between(start, end)
    parts = math.ceil(whole / length - SPARE)
    if parts <= 1 or end - start == 1:
        return Slice(start, end)
    cut = _inside(clock.after(start, whole / parts if parts < 4 else length), start, end)
    heapq.heappush(gaps, (cut, end))
    return Slice(start, cut)


def _put_back(gaps: list[tuple[int, int]], clock: _Clock, overfull: Slice, length: float) -> None:
    """Have an overfull slice read in two gaps, so that it is never asked for again as it was."""
    half = clock.between(overfull.start, overfull.end) / 2
    cut = _inside(clock.after(overfull.start, min(length, half)), overfull.start, overfull.end)
    heapq.heappush(gaps, (overfull.start, cut))
    heapq.heappush(gaps, (cut, overfull.end))


def _inside(cut: int, start: int, end: int) -> int:
    """A cut that leaves at least a second on either side."""
    return min(max(cut, start + 1), end - 1)


def _next_length(reading: Reading, expected: float, length: float, capacity: int) -> float:
    """The length that should fill an answer, going by the slice that has just been read."""
    longest = max(length, expected) * GROWTH
    return min(longest, expected * FILL * capacity / reading.rows) if reading.rows else longest


def _cut_length(reading: Reading, expected: float, clock: _Clock) -> float:
    """The length to try after an overfull slice: from the vendor's own count, else from how far one answer reached."""
    if reading.total and reading.total > reading.capacity:
        return expected * FILL * reading.capacity / reading.total
    if reading.reach is not None and reading.reach < reading.slice.seconds * 0.9:
        return clock.between(reading.slice.start, reading.slice.start + max(1, reading.reach)) * FILL
    return expected / 2
