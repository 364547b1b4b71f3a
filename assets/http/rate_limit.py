"""How many requests an hour a connection may still make, over all its threads, processes and restarts.

What lives here: the times of the last hour's requests in one small file a connection, and the waiting for room. What
does not: HTTP, and how a vendor words its limits (``client``, the vendor modules).

The file is opened, locked, read and written whole for every request, so a killed process leaves no lock behind, and
forks and second instances are kept apart as well. It is never flushed to disk: after a power cut the vendor's own
count, which we always keep to, tells what is missing. A damaged file is begun anew.
"""

import fcntl
import json
import math
import os
import re
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tollbook_errors import ConfigError, QuotaError, StorageError

HOUR = 3600.0
DAY = 24 * HOUR
MAX_WAIT_SECONDS = 65 * 60.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_CLOCK_SET_BACK = 5.0  # seconds; less than this is two processors' disagreement


class QuotaExhausted(QuotaError):
    """There is no room for longer than we may wait; ``resume_at`` (UTC) is when there should be."""

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


class RateLimit:
    """At most ``requests_per_hour`` of one connection in any hour, counted in ``directory``.

    An unused hour may be spent at once; a spent one is paced by the requests that become an hour old.
    ``slack_seconds`` lengthens the hour: a request is counted here when it leaves and by the vendor when it arrives.
    ``now`` gives epoch seconds. Raises ConfigError for a limit that allows nothing.
    """

    def __init__(
        self,
        directory: Path,
        connection: str,
        requests_per_hour: int,
        *,
        slack_seconds: float = 10.0,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not _NAME.fullmatch(connection):
            raise ConfigError("a connection's name must be letters, digits, - and _", hint="rename the connection")
        if requests_per_hour < 1:
            raise ConfigError("a request limit must be at least 1", connection=connection)
        self.connection = connection
        self._limit = requests_per_hour
        self._path = directory / f"{connection}.budget"
        self._window = HOUR + slack_seconds
        self._now = now
        self._sleep = sleep

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
            with self._counted() as counted:
                wait = self._wait(counted)
                if wait <= 0:
                    counted.times.append(counted.now)
                    counted.taken += 1
                    return counted.taken - 1
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
        """Believe the vendor, who said in the response to request ``number`` that so many requests remain.

        What is missing was spent by others with the same account, and counts here for ``seconds``, or for an hour where
        the vendor does not say. It is reckoned anew with every response; one to an older request is ignored.
        """
        with self._counted() as counted:
            if not counted.reported <= number < counted.taken:
                return
            # Only requests up to this one: the vendor had hardly seen those that left after it.
            up_to_it = len(counted.times) - (counted.taken - 1 - number)
            ours = up_to_it - bisect_right(counted.times, counted.now - HOUR)
            counted.reported = number
            counted.others = max(0, self._limit - max(0, remaining) - max(0, ours))
            counted.others_until = counted.now + min(HOUR, HOUR if seconds is None else _bounded(seconds))

    def pause(self, seconds: float) -> None:
        """Let nobody take anything for ``seconds``: the vendor said to wait."""
        with self._counted() as counted:
            counted.held_until = max(counted.held_until, counted.now + _bounded(seconds))

    def room(self) -> int:
        """How many requests can be made now without waiting."""
        with self._counted() as counted:
            if counted.held_until > counted.now:
                return 0
            return max(0, self._limit - len(counted.times) - counted.others_now())

    def _wait(self, counted: "_Counted") -> float:
        """Seconds until there is room; 0 or less when there is room now."""
        wait = self._until_free(counted, self._limit)
        if others := counted.others_now():
            forgotten = max(wait, counted.others_until - counted.now)
            wait = min(forgotten, self._until_free(counted, self._limit - others))
        return max(wait, counted.held_until - counted.now)

    def _until_free(self, counted: "_Counted", requests: int) -> float:
        if requests <= 0:
            return math.inf
        if len(counted.times) < requests:
            return 0.0
        return counted.times[-requests] + self._window - counted.now

    @contextmanager
    def _counted(self) -> Iterator["_Counted"]:
        """What the connection's file says, locked, and written back at the end of the block."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._storage_error("opened", error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            counted = _read(descriptor, self._now(), self._window)
            yield counted
            _write(descriptor, counted)
        except OSError as error:
            raise self._storage_error("kept", error) from error
        finally:
            os.close(descriptor)

    def _storage_error(self, what: str, error: OSError) -> StorageError:
        reason = error.strerror or "input/output error"
        return StorageError(f"the request budget cannot be {what}: {reason}", connection=self.connection)


@dataclass
class _Counted:
    """The requests of the last hour. Times are epoch seconds; ``now`` is never before the last request."""

    now: float = 0.0
    taken: int = 0  # requests ever made: the number of the next one
    reported: int = 0  # the request to whose response ``others`` belongs
    others: int = 0  # requests that others with the same account have spent, as the vendor last said
    others_until: float = 0.0
    held_until: float = 0.0
    times: "array[float]" = field(default_factory=lambda: array("d"))  # of our requests, oldest first

    def others_now(self) -> int:
        return self.others if self.now < self.others_until else 0


# A line of JSON, then the times as they are in memory: thousands are read and written in well under a millisecond.
_NUMBERS = ("taken", "reported", "others", "others_until", "held_until")


def _read(descriptor: int, now: float, window: float) -> _Counted:
    first, _, rest = os.pread(descriptor, os.fstat(descriptor).st_size, 0).partition(b"\n")
    try:
        known = json.loads(first)
        numbers = {name: known[name] for name in _NUMBERS}
        counted = _Counted(now, **numbers, times=array("d", rest[: 8 * known["times"]]))
        if len(counted.times) != known["times"] or not math.isfinite(sum(counted.times)):
            return _Counted(now)
    except (ValueError, TypeError, KeyError):  # it is new, or damaged
        return _Counted(now)
    ahead = counted.times[-1] - now if counted.times else 0.0
    if ahead >= _CLOCK_SET_BACK:  # the past moves with the clock: one that was wrong by a day would block for a day
        counted.times = array("d", (moment - ahead for moment in counted.times))
        counted.others_until -= ahead
        counted.held_until -= ahead
    elif ahead > 0:
        counted.now = counted.times[-1]
    del counted.times[: bisect_right(counted.times, counted.now - window)]
    return counted


def _write(descriptor: int, counted: _Counted) -> None:
    known = {"format": 1, **{name: getattr(counted, name) for name in _NUMBERS}, "times": len(counted.times)}
    written = json.dumps(known).encode() + b"\n" + counted.times.tobytes()
    os.pwrite(descriptor, written, 0)
    os.ftruncate(descriptor, len(written))


def resume_time(now: float, wait_seconds: float) -> datetime:
    """The moment ``wait_seconds`` after ``now`` (epoch seconds), in UTC to the second, at most a day away."""
    return datetime.fromtimestamp(math.ceil(now + _bounded(wait_seconds)), UTC)


def _bounded(seconds: float) -> float:
    """A wait as the vendor words it, between nothing and a day."""
    return min(max(seconds, 0.0), DAY) if math.isfinite(seconds) else DAY
