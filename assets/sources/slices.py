"""Reading a window in time slices that each fit one answer.

What lives here: the walk over a window. Offset paging drifts while records arrive or vanish; a slice that fits one
answer cannot, for the answer is the vendor's state at one moment. What does not: how many records are expected when
(``density``), what a vendor's answer looks like (the vendor modules), HTTP (``client``).

The window is walked from its early end to its late one; a large one is begun at several places, so that each of the
slices under way is sized by the one before it. One that did not fit is asked for again shorter, and fewer are asked
ahead, for they would be too long as well. Only a slice of one second cannot be cut: the vendor module pages it, and
proves that the reading was stable. The same answers always give the same slices.

What an earlier reading found, of this day or of one like it, is where the guess begins. It changes how many requests
are made, never what is read.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil

from assets.sources.client import Client
from assets.sources.density import Density
from assets.sources.page import Page

SPARE = 0.07  # of an answer that is rather taken along than asked for apart
EVEN = 4  # answers: what will fill fewer is cut evenly, so that none is a crumb
WIDE = 16  # answers that a gap must be expected to fill to be begun in its middle, too
MANY = 25  # answers still to come for each request that may be under way before any has shown that slices fit


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
    (None: it does not say) and ``times`` the epoch seconds of the answer's records, in its order.
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

    ``fetch`` asks once for a slice; ``fetch_paged`` reads a slice of one second that does not fit one answer. Up to
    ``client.max_in_flight`` requests are under way at once. What these raise is raised here, and nothing more is asked.
    ``capacity`` is how many records an answer should hold. Of an ``earlier`` reading of this very window the slices are
    asked for once more, so that what has not changed gives the same answers.
    """
    found = _moved(earlier.found, window)
    again = earlier.again and bool(found)
    expected = Density(window, found, capacity)
    gaps = [_Gap(part.slice.start, part.slice.end) for part in found] if again else [_Gap(window.start, window.end)]
    ahead = client.max_in_flight if found else 1  # requests that may be under way: one more with each slice that fits
    asked: deque[tuple[Slice, Future[Reading]]] = deque()
    ready: list[Reading] = []  # handed over once the next are asked for: what is done with it takes its time
    with client.pool() as pool:
        while gaps or asked or ready:
            if ahead < client.max_in_flight and expected.known:
                left = sum(expected.answers(gap.start, gap.end) for gap in gaps)
                ahead = max(ahead, min(client.max_in_flight, int(left / MANY)))
            while gaps and len(asked) < ahead:
                gap = gaps[0] if again else _best_known(gaps, {part.end for part, _ in asked}, expected)
                part = Slice(gap.start, gap.end if again and gap.below is None else _end(gap, expected))
                _remove(gaps, gap, part)
                asked.append((part, pool.submit(fetch, part)))
            if ready:
                yield ready.pop()
            if not asked:
                continue
            part, future = asked.popleft()
            reading = pool.result(future)
            expected.learn(reading)
            if not reading.complete and part.seconds == 1:
                reading = fetch_paged(part)
            if reading.complete:
                ready.append(reading)
                ahead = min(ahead + 1, client.max_in_flight)
            else:
                ahead = max(1, ahead // 2)
                _put_back(gaps, part, expected.shorter(reading), join=not again)


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


@dataclass
class _Gap:
    """What is still to be asked for. ``below``: where the first slice of it must end at the latest, None: anywhere."""

    start: int
    end: int
    below: int | None = None


def _best_known(gaps: list[_Gap], under_way: set[int], expected: Density) -> _Gap:
    """The gap to go on with: the earliest that follows a slice already read, else half of a wide one, else the first.

    ``under_way`` are the ends of the slices that are asked for.
    """
    for gap in gaps:
        if gap.start not in under_way:
            return gap
    widths = [expected.answers(gap.start, gap.end) for gap in gaps]
    place = widths.index(max(widths))
    gap = gaps[place]
    middle = expected.after(gap.start, gap.end, widths[place] / 2)
    if widths[place] < WIDE or not gap.start < middle < gap.end or gap.below is not None:
        return gaps[0]
    gaps.insert(place + 1, _Gap(middle, gap.end))
    gap.end = middle
    return gaps[place + 1]


def _end(gap: _Gap, expected: Density) -> int:
    """Where a slice from the beginning of a gap should end to fill an answer."""
    answers = expected.answers(gap.start, gap.end)
    parts = ceil(answers - SPARE)
    end = gap.end
    if parts > 1:
        end = expected.after(gap.start, gap.end, answers / parts if parts < EVEN else 1.0)
    latest = gap.end if gap.below is None else gap.below
    return max(min(end, latest), gap.start + 1)


def _remove(gaps: list[_Gap], gap: _Gap, part: Slice) -> None:
    gap.start, gap.below = part.end, None
    if gap.start == gap.end:
        gaps.remove(gap)


def _put_back(gaps: list[_Gap], overfull: Slice, below: int, *, join: bool) -> None:
    """Have an overfull slice read in parts, its end with what follows (``join``); never again as it was."""
    place = bisect_left(gaps, overfull.start, key=lambda gap: gap.start)
    following = gaps[place] if join and place < len(gaps) else None
    if following is not None and following.start == overfull.end and following.below is None:
        following.start, following.below = overfull.start, below
    else:
        gaps.insert(place, _Gap(overfull.start, overfull.end, below))
