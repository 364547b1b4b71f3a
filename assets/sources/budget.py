"""How many requests a connection may still make: a budget shared by all its threads, processes and restarts.

What lives here: the log of requests in one small file a connection, and the waiting for room in it. What does not:
HTTP, and how a vendor words its limits (``client``, the vendor modules).

The log is a ring of the last requests' times. A limit of 1200 an hour has room when the 1200th last request is more
than an hour old: one look, whatever the limit. The file is opened and locked afresh for every look, so a killed process
leaves no lock behind, and forks and second instances are kept apart as well. It is never flushed to disk: after a power
cut the vendor's own count, which is always heeded, tells what is missing.
"""

import fcntl
import math
import os
import re
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tollbook_errors import ConfigError, QuotaError, StorageError

HOUR = 3600.0
DAY = 24 * HOUR
MAX_WAIT_SECONDS = 65 * 60.0

_MAGIC = b"TBbudg01"
_HEADER = struct.Struct("<8sQQQQdd")
_STAMP = struct.Struct("<d")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_CLOCK_SET_BACK = 5.0  # seconds; less than this is two processors' disagreement


class QuotaExhausted(QuotaError):
    """The budget has no room for longer than we may wait; ``resume_at`` (UTC) is when it should have."""

    def __init__(
        self,
        what: str,
        *,
        resume_at: datetime,
        connection: str = "",
        endpoint: str = "",
        window: str = "",
        hint: str = "",
    ) -> None:
        hint = hint or f"try again after {resume_at:%Y-%m-%d %H:%M:%S} UTC"
        super().__init__(what, connection=connection, endpoint=endpoint, window=window, hint=hint)
        self.resume_at = resume_at


@dataclass(frozen=True)
class Limit:
    """At most ``requests`` in any ``seconds``."""

    requests: int
    seconds: float


class Budget:
    """The request budget of one connection, kept in ``directory``.

    An unused budget may be spent at once; a spent one is paced by the requests that leave the window. ``slack_seconds``
    lengthens each window: a request is counted here when it leaves and by the vendor when it arrives.
    ``now`` gives epoch seconds. Raises ConfigError for a limit that allows nothing.
    """

    def __init__(
        self,
        directory: Path,
        connection: str,
        *,
        requests_per_hour: int | None = None,
        requests_per_day: int | None = None,
        slack_seconds: float = 10.0,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not _NAME.fullmatch(connection):
            raise ConfigError("a connection's name must be letters, digits, - and _", hint="rename the connection")
        asked = ((requests_per_hour, HOUR), (requests_per_day, DAY))
        self.limits = tuple(Limit(requests, seconds) for requests, seconds in asked if requests is not None)
        if not self.limits or any(limit.requests < 1 for limit in self.limits):
            raise ConfigError("a request limit must be at least 1", connection=connection)
        self.connection = connection
        self._path = directory / f"{connection}.budget"
        self._slack = slack_seconds
        self._now = now
        self._sleep = sleep
        # One slot more than the largest limit: a request that is half written must not hide the oldest that counts.
        self._capacity = max(limit.requests for limit in self.limits) + 1

    def acquire(
        self,
        *,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
        sleep: Callable[[float], None] | None = None,
        endpoint: str = "",
        window: str = "",
    ) -> int:
        """Wait for room and take it; return the request's number, for ``learn``.

        Raises QuotaExhausted as soon as it is known that the waits would add up to more than ``max_wait_seconds``.
        """
        waited = 0.0
        while True:
            with self._log() as log:
                wait = self._wait(log)
                if wait <= 0:
                    return log.append()
            if waited + wait > max_wait_seconds:
                raise QuotaExhausted(
                    "the request budget is used up",
                    resume_at=resume_time(self._now(), wait),
                    connection=self.connection,
                    endpoint=endpoint,
                    window=window,
                )
            (sleep or self._sleep)(wait)
            waited += wait

    def learn(self, number: int, remaining: int, seconds: float | None) -> None:
        """Believe the vendor, who said in the answer to request ``number`` that so many requests remain.

        What is missing was spent by others with the same account, and counts here for ``seconds``, or for one window
        where the vendor does not say. It is reckoned anew with every answer; older answers that come late are ignored.
        """
        limit = self.limits[0]
        with self._log() as log:
            if not log.reported <= number < log.taken:
                return
            # Only requests up to this one: the vendor had hardly seen those that left after it.
            ours = number + 1 - log.first_after(log.now - limit.seconds)
            log.reported = number
            log.others = max(0, limit.requests - max(0, remaining) - max(0, ours))
            log.others_until = log.now + min(limit.seconds, limit.seconds if seconds is None else _bounded(seconds))
            log.save()

    def pause(self, seconds: float) -> None:
        """Let nobody take anything for ``seconds``: the vendor said to wait."""
        with self._log() as log:
            log.held_until = max(log.held_until, log.now + _bounded(seconds))
            log.save()

    def room(self) -> int:
        """How many requests can be made now without waiting."""
        with self._log() as log:
            if log.held_until > log.now:
                return 0
            free = []
            for index, limit in enumerate(self.limits):
                used = log.taken - log.first_after(log.now - limit.seconds - self._slack)
                free.append(limit.requests - used - (log.others_now() if index == 0 else 0))
            return max(0, min(free))

    def _wait(self, log: "_Log") -> float:
        """Seconds until every limit has room; 0 or less when there is room now."""
        waits = [log.held_until - log.now]
        for index, limit in enumerate(self.limits):
            wait = self._until_free(log, limit, limit.requests)
            others = log.others_now() if index == 0 else 0
            if others:
                forgotten = max(wait, log.others_until - log.now)
                wait = min(forgotten, self._until_free(log, limit, limit.requests - others))
            waits.append(wait)
        return max(waits)

    def _until_free(self, log: "_Log", limit: Limit, requests: int) -> float:
        if requests <= 0:
            return math.inf
        if log.taken < requests:
            return 0.0
        return log.stamp(log.taken - requests) + limit.seconds + self._slack - log.now

    @contextmanager
    def _log(self) -> Iterator["_Log"]:
        """The connection's log, locked."""
        problem = ""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            problem = error.strerror or "input/output error"
        if problem:
            raise StorageError(f"the request budget cannot be opened: {problem}", connection=self.connection)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield _Log(descriptor, self._capacity, self._now())
        except OSError as error:
            raise StorageError(
                f"the request budget cannot be kept: {error.strerror or 'input/output error'}",
                connection=self.connection,
            ) from error
        finally:
            os.close(descriptor)


class _Log:
    """The opened file: a header, then the ring of request times in epoch seconds, oldest overwritten first."""

    def __init__(self, descriptor: int, capacity: int, now: float) -> None:
        self._file = descriptor
        self._capacity = capacity
        self.now = now
        self.taken = 0
        self.reported = 0
        self.others = 0
        self.others_until = 0.0
        self.held_until = 0.0
        header = os.pread(descriptor, _HEADER.size, 0)
        written = _HEADER.unpack(header)[1] if len(header) == _HEADER.size and header.startswith(_MAGIC) else 0
        if not written or os.fstat(descriptor).st_size != _HEADER.size + written * _STAMP.size:
            self._rewrite([])
            return
        _, _, self.taken, self.reported, self.others, *untils = _HEADER.unpack(header)
        self.others_until, self.held_until = (until if math.isfinite(until) else 0.0 for until in untils)
        self._adopt(written)

    def _adopt(self, written: int) -> None:
        """Go on from a file with ``written`` slots."""
        capacity, self._capacity = self._capacity, written
        ahead = (self.stamp(self.taken - 1) if self.taken else 0.0) - self.now
        if 0 < ahead < _CLOCK_SET_BACK:
            self.now += ahead
        back = ahead if ahead >= _CLOCK_SET_BACK else 0.0
        if back or capacity != written:
            # The limits were changed, or the clock was set back: then the past moves with the clock, or a clock that
            # was wrong by a day would block for a day.
            kept = range(max(0, self.taken - min(written, capacity) + 1), self.taken)
            stamps = [self.stamp(number) - back for number in kept]
            self.others_until -= back
            self.held_until -= back
            self._capacity = capacity
            self._rewrite(stamps)

    def others_now(self) -> int:
        """Requests that others with the same account have spent, as the vendor last said."""
        return self.others if self.now < self.others_until else 0

    def stamp(self, number: int) -> float:
        """When request ``number`` was made; 0 where that is not known."""
        place = _HEADER.size + number % self._capacity * _STAMP.size
        raw = os.pread(self._file, _STAMP.size, place)
        stamp = float(_STAMP.unpack(raw)[0]) if len(raw) == _STAMP.size else 0.0
        return stamp if math.isfinite(stamp) else 0.0

    def first_after(self, moment: float) -> int:
        """The number of the first request after ``moment``, of those that the ring still holds."""
        low, high = max(0, self.taken - self._capacity + 1), self.taken
        while low < high:
            middle = (low + high) // 2
            if self.stamp(middle) > moment:
                high = middle
            else:
                low = middle + 1
        return low

    def append(self) -> int:
        """Write down a request made now; return its number."""
        number = self.taken
        place = _HEADER.size + number % self._capacity * _STAMP.size
        os.pwrite(self._file, _STAMP.pack(self.now), place)
        self.taken += 1
        self.save()
        return number

    def save(self) -> None:
        os.pwrite(
            self._file,
            _HEADER.pack(
                _MAGIC, self._capacity, self.taken, self.reported, self.others, self.others_until, self.held_until
            ),
            0,
        )

    def _rewrite(self, stamps: list[float]) -> None:
        """The whole file anew, with the last ``stamps``; the header comes last, so that half a file counts as none."""
        ring = [0.0] * self._capacity
        for number, stamp in enumerate(stamps, self.taken - len(stamps)):
            ring[number % self._capacity] = stamp
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, struct.pack(f"<{len(ring)}d", *ring), _HEADER.size)
        self.save()


def resume_time(now: float, wait_seconds: float) -> datetime:
    """The moment ``wait_seconds`` after ``now`` (epoch seconds), in UTC to the second, at most a day away."""
    return datetime.fromtimestamp(math.ceil(now + _bounded(wait_seconds)), UTC)


def _bounded(seconds: float) -> float:
    """A wait as the vendor words it, between nothing and a day."""
    return min(max(seconds, 0.0), DAY) if math.isfinite(seconds) else DAY
