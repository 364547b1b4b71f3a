"""Reading a window in time slices that each fit one answer.

What lives here: the walk over a window. Offset paging drifts while records arrive or vanish; a slice that fits one
answer cannot, for the answer is the vendor's state at one moment. What does not: what a vendor's answer looks like
(the vendor modules), HTTP (``client``).

The walk is sized from the density seen: after a slice that fitted, the next ones are as long as should fill most of an
answer; a slice that did not fit is cut and asked again in parts. Only a slice of one second cannot be cut: the vendor
module pages it, and proves that the reading was stable. The same answers always give the same slices.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from assets.sources.client import Client
from assets.sources.page import Page

FILL = 0.85  # of an answer's capacity that a slice aims at: room for chance and for a rising hour
GROWTH = 6  # the most that a slice may grow over the one before, so that a quiet night does not overshoot the morning
SHRINK = 8  # the parts an overfull slice is cut into when nothing tells how full it is


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
    gaps = deque([window])
    length = float(window.seconds)
    asked: deque[Future[Reading]] = deque()
    with client.pool() as pool:
        while gaps or asked:
            while gaps and len(asked) < client.max_in_flight:
                asked.append(pool.submit(fetch, _take(gaps, max(1, int(length)))))
            reading = pool.result(asked.popleft())
            if not reading.complete and reading.slice.seconds == 1:
                reading = fetch_paged(reading.slice)
            if reading.complete:
                yield reading
                length = _next_length(reading, length)
            else:
                length = _cut_length(reading)
                gaps.appendleft(reading.slice)


def _take(gaps: deque[Slice], seconds: int) -> Slice:
    """Cut the next slice of about ``seconds`` off the earliest gap; no crumb of less than a quarter is left over."""
    gap = gaps.popleft()
    if gap.seconds < seconds * 1.25:
        return gap
    parts = max(1, round(gap.seconds / seconds)) if gap.seconds < 4 * seconds else 0
    cut = gap.start + (-(-gap.seconds // parts) if parts else seconds)
    if cut >= gap.end:
        return gap
    gaps.appendleft(Slice(cut, gap.end))
    return Slice(gap.start, cut)


def _next_length(reading: Reading, length: float) -> float:
    """Seconds that should fill an answer, going by the slice that has just been read."""
    own = reading.slice.seconds
    if reading.rows == 0:
        return max(length, own) * GROWTH
    fitting = own * FILL * reading.capacity / reading.rows
    return min(fitting, own * GROWTH)


def _cut_length(reading: Reading) -> float:
    """Seconds to try after an overfull slice: from the vendor's own count, else from how far one answer reached."""
    own = reading.slice.seconds
    if reading.total and reading.total > reading.capacity:
        return own * FILL * reading.capacity / reading.total
    if reading.reach and reading.reach < own * 0.9:
        return max(1.0, reading.reach * FILL)
    return own / SHRINK
