"""How many records are expected when, from all that has been seen of a window so far.

What lives here: the guess by which slices are sized. What does not: which slices are asked for, and when one is
complete (``slices``): a guess costs or spares requests, never a record.

Of a slice that was read its number of records is known. An answer that did not hold its slice tells something, too:
one in the order of time counts its beginning or its end exactly, one in no order shows how the records are spread, and
a vendor that states totals says how many there are. Elsewhere the records are expected to come as on a day like an
earlier one, as many more or fewer as in the parts that were counted nearest. With no earlier day it is either like an
office's or the same at any hour, by what has been seen of it.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import correlation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assets.sources.slices import Found, Reading, Slice

CHANCE = 2.0  # standard deviations of chance that a slice leaves room for
MOST = 0.2  # of what is expected in a slice: room left at the most
NOISE, NOISE_OF_A_DAY = 1.5, 2.2  # variance of a slice's records: of their own and of those it was reckoned from
DAY_TO_DAY = 0.06  # by which a day is larger or smaller than an earlier one, until it has been seen
KNOWN = 0.97  # of an answer's capacity that records already counted may take up: some may have come since
FLAT = 0.05  # of an earlier day's records that are taken to come at any time, however quiet it was then
LITTLE = 0.05  # of an answer: belief in the first guess where no earlier day is known
FADES = 0.25  # weight of what was counted an answer's worth of records away
UNSEEN = (3, 4, 8, 16)  # answers that an unordered answer is taken to be one of: the first, the second, …
GROUPS = 10  # parts that an ordered answer is counted in
BINS = 16  # parts that an unordered one is
DECIDES = 0.1  # of an answer: records that count as one observation of which shape it is
DOUBT = 5  # records that may have gone since they were counted, beside every other one
ENOUGH = 100  # parts, after which those nearest say more than the shape does
# Records by hour: at any time, and in an office.
SHAPES = (
    (1,) * 24,
    (2, 2, 2, 2, 2, 2, 4, 10, 25, 32, 32, 32, 26, 28, 32, 32, 28, 16, 8, 4, 2, 2, 2, 2),
)


@dataclass
class _Pot:
    """Records that are known to be in some parts, but not where in them."""

    rows: float


@dataclass
class _Part:
    """A part of the window. ``rows`` were counted in it (None: not yet), or are among those of a ``pot``.

    ``told``: they were counted by their times in an answer that did not hold its slice.
    """

    start: int
    end: int
    rows: float | None = None
    pot: _Pot | None = None
    told: bool = False


class Density:
    """The records expected in ``window``, in answers that they will fill; ``capacity`` is what an answer holds.

    ``found`` tiles the window with what an earlier day held; empty: none is known.
    """

    def __init__(self, window: "Slice", found: Sequence["Found"], capacity: int) -> None:
        self._like_another = bool(found)
        self._shape = _Shape(window, found)
        self._capacity = capacity
        self._trust = float(capacity) if found else 0.0  # records' worth of belief in the guess
        self._parts = [_Part(window.start, window.end)]
        self._read = 0
        self._unordered = 0
        self._guess = 1.0  # records for one of the shape, before any were counted
        self._believes = True  # that the times in answers are those by which they were asked for
        self.known = self._like_another

    def learn(self, reading: "Reading") -> None:
        """Take in what one request gave."""
        part = reading.slice
        if reading.complete:
            self._capacity = max(self._capacity, reading.rows)
            self._read += reading.rows
            self._doubt(reading)
            self._replace([_Part(part.start, part.end, reading.rows)], reading.rows)
            return
        if not reading.rows:
            return  # it says that there is more than it holds, and holds nothing
        self._capacity = reading.rows
        total = reading.total if reading.total and reading.total > reading.rows else None
        order = _order(reading) if self._believes else 0
        if order:
            parts = _counted(reading, order, total)
            self._replace(parts, total or reading.rows)
        else:
            self._learn_unordered(reading, total)

    def _learn_unordered(self, reading: "Reading", total: int | None) -> None:
        part = reading.slice
        if reading.times and self._believes and (not self.known or (total or 0) > 3 * reading.rows):
            self._shape.resemble(part.start, part.end, sorted(reading.times))
        if not self.known:
            rows = total or reading.rows * UNSEEN[min(self._unordered, len(UNSEEN) - 1)]
            self._guess = rows / self._shape.between(part.start, part.end)
            self._trust = LITTLE * reading.rows
            self._unordered += 1
        if total is not None:
            self._replace([_Part(part.start, part.end, None, _Pot(total))], total)

    def _doubt(self, reading: "Reading") -> None:
        """Forget what times have told where a slice holds far less: a vendor may give others than it is asked by."""
        start, end = reading.slice.start, reading.slice.end
        told = [_part_of(part, max(part.start, start), min(part.end, end)) for part in self._parts if part.told]
        if reading.rows < sum(part.rows or 0 for part in told) / 2 - DOUBT:
            self._believes = False
            self._parts = [_Part(p.start, p.end, None if p.told else p.rows, p.pot) for p in self._parts]

    def _replace(self, parts: list[_Part], rows: float) -> None:
        """Put parts, with ``rows`` in them, in the place of what was thought of their time."""
        self.known = True
        start, end = parts[0].start, parts[-1].end
        first = bisect_right(self._parts, start, key=lambda part: part.start) - 1
        last = bisect_left(self._parts, end, key=lambda part: part.start) - 1
        left, right = self._parts[first], self._parts[last]
        pots = {id(part.pot): part.pot for part in self._parts[first : last + 1] if part.pot}
        for pot in pots.values():
            pot.rows = max(1.0, pot.rows - rows / len(pots))
        kept = [_part_of(left, left.start, start), *parts, _part_of(right, end, right.end)]
        self._parts[first : last + 1] = [part for part in kept if part.start < part.end]
        if len(self._parts) <= ENOUGH:
            counted = [(part.start, part.end, part.rows) for part in self._parts if part.rows is not None]
            rest = [(part.start, part.end, part.pot.rows) for part in self._parts if part.pot]
            self._shape.weigh(counted + (rest if len(rest) == 1 else []), self._capacity * DECIDES)

    def answers(self, start: int, end: int) -> float:
        """How many answers the records in [start, end) are expected to fill."""
        return sum(rows / self._room(counted) for _, _, rows, counted in self._pieces(start, end))

    def after(self, start: int, end: int, answers: float) -> int:
        """The second up to which the records since ``start`` are expected to fill ``answers``; at most ``end``."""
        for first, last, rows, counted in self._pieces(start, end):
            need = rows / self._room(counted)
            if need >= answers and need:
                share = answers / need
                if counted:
                    return round(first + (last - first) * share)
                return self._shape.after(first, self._shape.between(first, last) * share)
            answers -= need
        return end

    def shorter(self, reading: "Reading") -> int:
        """Where the next try must end at the latest after a slice did not fit."""
        part = reading.slice
        told = reading.total is not None or _order(reading)
        length = self._shape.between(part.start, part.end) * (0.9 if told else 0.5)
        return min(self._shape.after(part.start, length), part.end - 1)

    def _room(self, counted: bool) -> float:
        """Records that a slice may be expected to hold."""
        if counted:
            return self._capacity * KNOWN
        variance = NOISE / self._capacity
        if self._like_another:
            variance = NOISE_OF_A_DAY / self._capacity + DAY_TO_DAY**2 / (1 + self._read / self._capacity)
        return self._capacity / (1 + min(CHANCE * math.sqrt(variance), MOST))

    def _pieces(self, start: int, end: int) -> Iterator[tuple[int, int, float, bool]]:
        """[start, end) in pieces: the records in each, and whether they were counted."""
        place = bisect_right(self._parts, start, key=lambda part: part.start) - 1
        while place < len(self._parts) and self._parts[place].start < end:
            part = self._parts[place]
            if part.rows is not None:
                first, last = max(part.start, start), min(part.end, end)
                yield first, last, part.rows * (last - first) / (part.end - part.start), True
            else:
                for since, until, rows in self._reckoned_by_pot(place):
                    first, last = max(since, start), min(until, end)
                    if first < last:
                        share = self._shape.between(first, last) / self._shape.between(since, until)
                        yield first, last, rows * share, False
            place += 1

    def _reckoned_by_pot(self, place: int) -> list[tuple[int, int, float]]:
        """The records of a part that was not counted, in keeping with what is known of all parts of its pot."""
        own, pot = self._reckoned(place), self._parts[place].pot
        if pot is None:
            return own
        every = [self._reckoned(n) for n, part in enumerate(self._parts) if part.pot is pot]
        whole = sum(rows for pieces in every for *_, rows in pieces)
        middles = sum(pieces[1][2] for pieces in every if len(pieces) == 3)
        left = pot.rows - (whole - middles)
        if len(own) == 3 and left > 0.2 * middles > 0:  # what stands near to counted parts is known best
            return [own[0], (*own[1][:2], own[1][2] * left / middles), own[2]]
        return [(since, until, rows * pot.rows / whole if whole else 0.0) for since, until, rows in own]

    def _reckoned(self, place: int) -> list[tuple[int, int, float]]:
        """A part that was not counted, by those around it: an answer after the one before, one before the one after,
        and what is between."""
        part, between, after = self._parts[place], self._shape.between, self._shape.after
        early, late = self._ratio(place, -1), self._ratio(place, 1)
        early = late if early is None else early
        late = early if late is None else late
        whole = between(part.start, part.end)
        if early is None or late is None:
            return [(part.start, part.end, self._guess * whole)]
        head, tail = (min(whole / 2, self._capacity / ratio if ratio else whole) for ratio in (early, late))
        first = min(max(after(part.start, head), part.start), part.end)
        last = min(max(after(part.start, whole - tail), first), part.end)
        return [
            (part.start, first, early * between(part.start, first)),
            (first, last, (early + late) / 2 * between(first, last)),
            (last, part.end, late * between(last, part.end)),
        ]

    def _ratio(self, place: int, step: int) -> float | None:
        """Records for one of the shape in the parts counted on one side of a place, the nearest weighing most."""
        rows, expected = self._trust, self._trust / self._guess
        weight = 1.0
        place += step
        alone = True
        while 0 <= place < len(self._parts) and weight > 0.02:
            part = self._parts[place]
            if part.rows is None:
                weight *= FADES
            else:
                alone = False
                rows += weight * part.rows
                expected += weight * self._shape.between(part.start, part.end)
                weight *= FADES ** (max(part.rows, 1.0) / self._capacity)
            place += step
        return None if alone else rows / expected


def _part_of(part: _Part, start: int, end: int) -> _Part:
    rows = None if part.rows is None else part.rows * max(0, end - start) / (part.end - part.start)
    return _Part(start, end, rows, part.pot, part.told)


def _counted(reading: "Reading", order: int, total: int | None) -> list[_Part]:
    """What an overfull answer in the order of time tells: its own time by parts, and the rest of its slice."""
    part = reading.slice
    times = sorted(min(max(time, part.start), part.end - 1) for time in reading.times)
    if list(reading.times) not in (times, times[::-1]):  # only roughly in order: its far end is not whole
        times = times[: len(times) // 2] if order > 0 else times[len(times) // 2 :]
    inner = times[:: max(1, len(times) // GROUPS)][1:]
    edges = [part.start, *inner, times[-1]] if order > 0 else [times[0] + 1, *inner, part.end]
    counted = [
        _Part(first, last, bisect_left(times, last) - bisect_left(times, first), told=True)
        for first, last in pairwise(sorted(set(edges)))
    ]
    pot = _Pot(max(1.0, total - sum(each.rows or 0 for each in counted))) if total else None
    start, end = (counted[0].start, counted[-1].end) if counted else (part.start, part.start)
    before, after = _Part(part.start, start, None, pot), _Part(end, part.end, None, pot)
    return [each for each in (before, *counted, after) if each.start < each.end]


def _order(reading: "Reading") -> int:
    """1: its records are in order and the oldest of their slice, -1: the newest, 0: neither can be told.

    By the edge they lie nearer to, for a page can be in another order than the pages are.
    """
    times = reading.times
    if len(times) < 2 or min(times) == max(times) or abs(correlation(range(len(times)), times)) < 0.5:
        return 0
    return 1 if min(times) - reading.slice.start < reading.slice.end - max(times) else -1


class _Clock:
    """How far a day has gone by records and not by seconds."""

    def __init__(self, seconds: Sequence[int], rows: Iterable[float]) -> None:
        self.seconds = list(seconds)
        self.marks = [0.0]
        for each in rows:
            self.marks.append(self.marks[-1] + each)

    def between(self, start: int, end: int) -> float:
        return self.at(end) - self.at(start)

    def at(self, second: int) -> float:
        part = min(max(1, bisect_right(self.seconds, second)), len(self.seconds) - 1)
        return _interpolate(self.seconds, self.marks, part, second)

    def second(self, mark: float) -> int:
        part = min(max(1, bisect_right(self.marks, mark)), len(self.marks) - 1)
        return round(_interpolate(self.marks, self.seconds, part, mark))


class _Shape:
    """How the records of a window are spread over it, in units of its own."""

    def __init__(self, window: "Slice", found: Sequence["Found"]) -> None:
        if found:
            # Records a second; of a day without any as if it had had one.
            flat = (FLAT * sum(part.rows for part in found) or 1.0) / window.seconds
            seconds = [window.start, *(part.slice.end for part in found)]
            self._known = [_Clock(seconds, (part.rows + flat * part.slice.seconds for part in found))]
        else:
            hours = len(SHAPES[0])
            seconds = [window.start + window.seconds * hour // hours for hour in range(hours + 1)]
            self._known = [_Clock(seconds, shape) for shape in SHAPES]
        self._clock = self._known[0]
        self.weigh([], 1.0)

    def weigh(self, counted: Sequence[tuple[int, int, float]], unit: float) -> None:
        """Believe in the shapes that are most like what was counted, ``unit`` records being one observation."""
        if len(self._known) == 1:
            return
        scales, fits = [], []
        for clock in self._known:
            shares = [max(clock.between(start, end), 1e-9) for start, end, _ in counted]
            fits.append(_likelihood([rows for *_, rows in counted], shares) / unit)
            scales.append(sum(rows for *_, rows in counted) / sum(shares) if counted else 1 / clock.marks[-1])
        beliefs = [math.exp(fit - max(fits)) for fit in fits]
        logs = [
            [math.log(max(scale * (after - before), 1e-9)) for before, after in pairwise(clock.marks)]
            for scale, clock in zip(scales, self._known, strict=True)
        ]
        # Their geometric mean: what would be a large day by one of them and a small one by another is in between.
        means = (sum(b * log for b, log in zip(beliefs, hour, strict=True)) for hour in zip(*logs, strict=True))
        self._clock = _Clock(self._clock.seconds, [math.exp(mean / sum(beliefs)) for mean in means])

    def resemble(self, start: int, end: int, times: Sequence[int]) -> None:
        """Go by a sample of the records in [start, end), or by a known shape where the sample is like it."""
        edges = sorted({start, *times[:: max(1, len(times) // BINS)], end})
        rows = [bisect_left(times, last) - bisect_left(times, first) for first, last in pairwise(edges)]
        flat = FLAT * len(times) / (end - start)
        own = [n + flat * (last - first) for n, (first, last) in zip(rows, pairwise(edges), strict=True)]
        # What a shape made of the sample itself fits better by chance.
        fits = [_likelihood(rows, own) - len(rows) / 2 * math.log(len(times))]
        if len(self._known) > 1:
            for clock in self._known:
                shares = [max(clock.between(first, last), 1e-9) for first, last in pairwise(edges)]
                fits.append(_likelihood(rows, shares))
        best = fits.index(max(fits))
        if best:
            self._clock = self._known[best - 1]
        else:
            scale = self._clock.between(start, end) / sum(own)
            outside = [second for second in self._clock.seconds if not start <= second <= end]
            seconds = sorted({*outside, *edges})
            inside = {first: n * scale for first, n in zip(edges, own, strict=False)}
            self._clock = _Clock(
                seconds,
                [inside.get(a, 0.0) if start <= a < end else self._clock.between(a, b) for a, b in pairwise(seconds)],
            )
        self._known = [self._clock]

    def between(self, start: int, end: int) -> float:
        return self._clock.between(start, end)

    def after(self, start: int, length: float) -> int:
        """The second at which ``length`` has gone by since ``start``."""
        return self._clock.second(self._clock.at(start) + length)


def _likelihood(rows: Sequence[float], shares: Sequence[float]) -> float:
    whole = sum(shares)
    return sum(n * math.log(share / whole) for n, share in zip(rows, shares, strict=True))


def _interpolate(known: Sequence[float], wanted: Sequence[float], part: int, place: float) -> float:
    low, high = known[part - 1], known[part]
    share = (place - low) / (high - low) if high > low else 1.0
    return wanted[part - 1] + (wanted[part] - wanted[part - 1]) * share
