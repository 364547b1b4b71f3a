"""Several requests at once: their threads, how many may be on their way, and ending them all.

What lives here: threads, slots and stopping. What does not: the requests (``client``).
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Stopped(Exception):
    """A request was given up because the pool it belongs to is ending. Nobody outside sees this."""


class Stops:
    """Which pools the current thread belongs to, and so by what it is to be stopped."""

    def __init__(self) -> None:
        self._thread = threading.local()

    @property
    def events(self) -> tuple[threading.Event, ...]:
        events: tuple[threading.Event, ...] = getattr(self._thread, "events", ())
        return events

    def belong_to(self, events: tuple[threading.Event, ...]) -> None:
        self._thread.events = events

    def check(self) -> None:
        """Raise Stopped where a pool of this thread's is ending."""
        if any(stop.is_set() for stop in self.events):
            raise Stopped


class Slots:
    """How many requests may be on their way at once."""

    def __init__(self, count: int, stops: Stops) -> None:
        self._count = count
        self._stops = stops
        self._free = threading.BoundedSemaphore(count)
        self._surplus: int | None = None  # slots to be given up as they come free; None: all are in use
        self._lock = threading.Lock()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """One slot, waited for. Raises Stopped."""
        while not self._free.acquire(timeout=1.0):
            self._stops.check()
        try:
            yield
        finally:
            with self._lock:
                if self._surplus:
                    self._surplus -= 1
                else:
                    self._free.release()

    def leave_one(self) -> bool:
        """Give up all slots but one, now or as they come free; False where that was done before."""
        with self._lock:
            if self._surplus is not None:
                return False
            free = sum(self._free.acquire(blocking=False) for _ in range(self._count - 1))
            self._surplus = self._count - 1 - free
            return True


class Pool:
    """Threads that ask one client; made by ``Client.pool``."""

    def __init__(self, threads: int, name: str, stops: Stops) -> None:
        self._stops = stops
        self._stop = threading.Event()
        self._events = (*stops.events, self._stop)  # a pool inside a pool's thread ends with the outer one
        self._first: BaseException | None = None
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def submit(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> Future[_R]:
        """Call ``function`` in a thread; its exception stops the whole pool."""

        def run() -> _R:
            self._stops.belong_to(self._events)
            try:
                self._stops.check()
                return function(*args, **kwargs)
            except BaseException as error:
                with self._lock:
                    self._first = self._first or error
                self._stop.set()
                raise

        return self._threads.submit(run)

    def result(self, future: Future[_R]) -> _R:
        """What the call gave. Raises the pool's first exception, whichever call it came from."""
        while True:
            if self._first is not None:
                raise self._first
            try:
                return future.result(timeout=0.5)
            except TimeoutError:
                if future.done():
                    raise
            except Stopped:
                continue

    def end(self) -> None:
        """Let running calls end, cut their waits short, and begin no others."""
        self._stop.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
