"""Reading a window in time slices that each fit one answer.

What lives here: the walk over a window. Offset paging drifts while records arrive or vanish; a slice that fits one
answer cannot, for the answer is the vendor's state at one moment. What does not: what a vendor's answer looks like
(the vendor modules), HTTP (``client``).

The walk goes from the early end to the late one and is sized from the density seen: after a slice that fitted, the next
ones are as long as should fill most of an answer; one that did not fit is halved, and until a part of it has fitted
nothing is asked ahead, for it would be too long as well. Only a slice of one second cannot be cut: the vendor module
pages it, and proves that the reading was stable. The same answers always give the same slices.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from assets.sources.client import Client
from assets.sources.page import Page

FILL = 0.88  # of an answer's capacity that a slice aims at: room for chance and for a rising hour
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


def read_slices(
    fetch: Callable[[Slice], Reading],
    fetch_paged: Callable[[Slice], Reading],
    window: Slice,
    client: Client,
) -> Iterator[Reading]:
    """Yield complete readings that tile ``window``, in the order of their slices' requests.

    ``fetch`` asks once for a slice; ``fetch_paged`` reads a slice of one second that does not fit one answer. Up to
    ``client.max_in_flight`` requests are under way at once. What these raise is raised here, and nothing more is asked.
    """
    gaps = [(window.start, window.end)]  # a heap: the earliest is asked for first
    length = float(window.seconds)
    ahead = 1  # requests that may be under way: one more with each slice that fits
    capacity = _Capacity()
    asked: deque[Future[Reading]] = deque()
    with client.pool() as pool:
        while gaps or asked:
            while gaps and len(asked) < min(ahead, client.max_in_flight):
                asked.append(pool.submit(fetch, _take(gaps, max(1, int(length)))))
            reading = pool.result(asked.popleft())
            capacity.learn(reading)
            if not reading.complete and reading.slice.seconds == 1:
                reading = fetch_paged(reading.slice)
            if reading.complete:
                yield reading
                ahead += 1
                length = _next_length(reading, length, capacity.of(reading))
            else:
                ahead = 1
                length = _cut_length(reading)
                _put_back(gaps, reading.slice, length)


class _Capacity:
    """How many records an answer holds: what the vendor says, unless an overfull answer held fewer."""

    def __init__(self) -> None:
        self._most = 1
        self._overstated = False

    def learn(self, reading: Reading) -> None:
        self._most = max(self._most, reading.rows)
        self._overstated |= not reading.complete and reading.rows < reading.capacity

    def of(self, reading: Reading) -> int:
        return self._most if self._overstated else reading.capacity


def _take(gaps: list[tuple[int, int]], seconds: int) -> Slice:
    """Cut the next slice of about ``seconds`` off the earliest gap; no crumb of less than a half is left over."""
    start, end = heapq.heappop(gaps)
    parts = round((end - start) / seconds)
    if parts <= 1:
        return Slice(start, end)
    cut = start + (-(-(end - start) // parts) if parts < 4 else seconds)
    heapq.heappush(gaps, (cut, end))
    return Slice(start, cut)


def _put_back(gaps: list[tuple[int, int]], overfull: Slice, length: float) -> None:
    """Have an overfull slice read in two gaps, so that it is never asked for again as it was."""
    cut = overfull.start + min(max(1, int(length)), overfull.seconds // 2)
    heapq.heappush(gaps, (overfull.start, cut))
    heapq.heappush(gaps, (cut, overfull.end))


def _next_length(reading: Reading, length: float, capacity: int) -> float:
    """Seconds that should fill an answer, going by the slice that has just been read."""
    longest = max(length, reading.slice.seconds) * GROWTH
    return min(longest, reading.slice.seconds * FILL * capacity / reading.rows) if reading.rows else longest


def _cut_length(reading: Reading) -> float:
    """Seconds to try after an overfull slice: from the vendor's own count, else from how far one answer reached."""
    own = reading.slice.seconds
    if reading.total and reading.total > reading.capacity:
        return own * FILL * reading.capacity / reading.total
    if reading.reach is not None and reading.reach < own * 0.9:
        return reading.reach * FILL
    return own / 2
