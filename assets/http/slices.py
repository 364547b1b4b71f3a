"""Reading a window in time slices that each fit one response.

What lives here: the walk over a window. Offset paging drifts while records arrive or vanish; a slice that fits one
response cannot, because the response is the vendor's state at one moment. What does not: what a vendor's response looks
like (the vendor modules), HTTP (``client``).

A slice ends where an earlier day had a response's worth of records, scaled by how many more or fewer this day has had
so far. A slice that does not fit is cut evenly and its parts are requested next. Only a slice of one second cannot be
cut: the vendor module pages it, and proves that the reading was stable. The same responses always give the same slices,
and what an earlier day held changes only how many requests are made, never what is read.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import ceil

from assets.http.client import Client
from assets.http.page import Page

FILL = 0.88  # of a response that a slice is expected to fill, since days differ (measured: bench/RESULTS.md)
MOST_PARTS = 10  # of a slice that is cut: more are wasted where records come at once, or a total is wrong


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

    ``complete``: the response holds the whole slice. Otherwise ``total`` is how many records the vendor says there are
    (None: it does not say) and ``times`` the epoch seconds of the response's records, in its order.
    """

    slice: Slice
    pages: list[Page] = field(repr=False)
    rows: int
    complete: bool
    capacity: int
    total: int | None = None
    times: Sequence[int] = field(default=(), repr=False)


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

    ``fetch`` makes one request for a slice; ``fetch_paged`` reads a slice of one second that does not fit one response.
    Up to ``client.max_in_flight`` requests are under way at once. What these raise is raised here, and no more requests
    are made. ``capacity`` is how many records a response should hold. Of an ``earlier`` reading of this very window the
    slices are requested once more, so that what has not changed gives the same responses.
    """
    found = _moved(earlier.found, window)
    pace = _Pace(window, found, capacity)
    again = earlier.again and bool(found)
    known = deque(part.slice for part in found if again)  # slices whose ends are decided
    walked = window.end if again else window.start
    under_way: deque[tuple[Slice, Future[Reading]]] = deque()
    ready: list[Reading] = []  # handed over once the next are requested: what is done with it takes its time
    with client.pool() as pool:
        while known or walked < window.end or under_way or ready:
            while len(under_way) < client.max_in_flight and (known or walked < window.end):
                if known:
                    part = known.popleft()
                else:
                    part = Slice(walked, pace.end_of_slice(walked))
                    walked = part.end
                under_way.append((part, pool.submit(fetch, part)))
            if ready:
                yield ready.pop()
            if not under_way:
                continue
            part, future = under_way.popleft()
            reading = pool.result(future)
            pace.learn(reading)
            if not reading.complete and part.seconds == 1:
                reading = fetch_paged(part)
            if reading.complete:
                ready.append(reading)
            else:
                known.extendleft(reversed(_cut(part, pace.parts_of(reading))))


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


def _cut(part: Slice, parts: int) -> list[Slice]:
    edges = sorted({part.start + part.seconds * number // parts for number in range(parts + 1)})
    return [Slice(*edge) for edge in pairwise(edges)]


class _Pace:
    """How long slices should be: an earlier day's records by time, and how many more or fewer this day has so far."""

    def __init__(self, window: Slice, found: Sequence[Found], capacity: int) -> None:
        self._edges = [window.start, *(part.slice.end for part in found)]
        self._earlier = [0.0, *accumulate(part.rows for part in found)]  # records before each edge
        self._window = window
        self._capacity = capacity
        # A response's worth of records that come as on the earlier day, until more is known.
        self._seen = self._expected = float(capacity)

    def learn(self, reading: Reading) -> None:
        """Take in how many records a slice has."""
        rows = reading.rows
        if reading.complete:
            self._capacity = max(self._capacity, rows)
        else:
            self._capacity = rows or self._capacity
            rows = max(rows, reading.total or 0)
        self._seen += rows
        self._expected += self._before(reading.slice.end) - self._before(reading.slice.start)

    def end_of_slice(self, start: int) -> int:
        """Where a slice from ``start`` should end to fill a response: the window's end if no earlier day is known."""
        before, ratio = self._before(start), self._seen / self._expected
        left = ratio * (self._earlier[-1] - before)
        parts = ceil(left / (FILL * self._capacity))
        if parts <= 1:
            return self._window.end
        return min(max(self._when(before + left / parts / ratio), start + 1), self._window.end)

    def parts_of(self, reading: Reading) -> int:
        """How many parts to cut an overfull slice into: by the vendor's total, else by how far its records reach."""
        part = reading.slice
        if reading.total and reading.total > reading.rows:
            parts = reading.total / self._capacity
        elif reading.times:
            reach = min(max(reading.times) - part.start, part.end - min(reading.times))
            parts = part.seconds / max(reach, 1)
        else:
            parts = 2
        return min(max(ceil(parts), 2), part.seconds, MOST_PARTS)

    def _before(self, second: int) -> float:
        return _interpolate(self._edges, self._earlier, second)

    def _when(self, rows: float) -> int:
        return round(_interpolate(self._earlier, self._edges, rows))


def _interpolate(known: Sequence[float], wanted: Sequence[float], place: float) -> float:
    if len(known) < 2:
        return wanted[0]
    part = min(max(1, bisect_right(known, place)), len(known) - 1)
    low, high = known[part - 1], known[part]
    share = (place - low) / (high - low) if high > low else 1.0
    return wanted[part - 1] + (wanted[part] - wanted[part - 1]) * share
