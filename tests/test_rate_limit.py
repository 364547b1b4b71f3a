"""The request budget: never more than the vendor allows, hardly less, whatever the threads, processes and clocks do."""

import heapq
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.http.rate_limit import DAY, HOUR, QuotaExhausted, RateLimit
from tollbook_errors import ConfigError, QuotaError, StorageError

START = 1_790_000_000.0


class Clock:
    """A clock that stands until it is told, or slept, onwards."""

    def __init__(self) -> None:
        self.time = START
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


class SharedClock:
    """A clock for several threads: it jumps to the next waking as soon as every thread sleeps."""

    def __init__(self) -> None:
        self.time = START
        self._awake = 0
        self._wakings: list[tuple[float, int]] = []
        self._change = threading.Condition()

    def now(self) -> float:
        return self.time

    def run(self, workers: list[Callable[[], None]]) -> None:
        self._awake = len(workers)
        threads = [threading.Thread(target=self._work, args=(worker,), daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert not any(thread.is_alive() for thread in threads)

    def sleep(self, seconds: float) -> None:
        with self._change:
            waking = self.time + seconds
            heapq.heappush(self._wakings, (waking, threading.get_ident()))
            self._fall_asleep()
            while self.time < waking:
                self._change.wait()

    def _work(self, worker: Callable[[], None]) -> None:
        try:
            worker()
        finally:
            with self._change:
                self._fall_asleep()

    def _fall_asleep(self) -> None:
        self._awake -= 1
        if self._awake == 0 and self._wakings:
            self.time = self._wakings[0][0]
            while self._wakings and self._wakings[0][0] <= self.time:
                heapq.heappop(self._wakings)
                self._awake += 1
            self._change.notify_all()


class Vendor:
    """Counts as a vendor does: no more than ``limit`` in any hour, the rest refused."""

    def __init__(self, limit: int, now: Callable[[], float]) -> None:
        self.limit = limit
        self.now = now
        self.taken: list[float] = []
        self.refused = 0
        self.lock = threading.Lock()

    def ask(self) -> int:
        """Make a request; how many remain, or −1 when it was refused."""
        with self.lock:
            recent = sum(1 for moment in self.taken[-self.limit - 1 :] if moment > self.now() - HOUR)
            if recent >= self.limit:
                self.refused += 1
                return -1
            self.taken.append(self.now())
            return self.limit - recent - 1


def limited(folder: Path, clock: Clock | SharedClock, limit: int = 5) -> RateLimit:
    return RateLimit(folder, "sip", limit, now=clock.now, sleep=clock.sleep)


def test_an_unused_budget_is_spent_at_once_and_a_spent_one_is_paced(tmp_path: Path) -> None:
    clock = Clock()
    mine = limited(tmp_path, clock)
    for _ in range(5):
        mine.acquire()
        clock.time += 1
    assert clock.slept == []
    assert mine.room() == 0
    mine.acquire()
    assert clock.time - START >= HOUR
    assert clock.time - START < HOUR + 30
    mine.acquire()
    assert clock.slept[1] == pytest.approx(1)


def test_a_restart_and_a_second_instance_know_what_was_spent(tmp_path: Path) -> None:
    clock = Clock()
    first, second = limited(tmp_path, clock), limited(tmp_path, clock)
    for mine in (first, second, first, second, first):
        mine.acquire()
    del first
    with pytest.raises(QuotaExhausted) as caught:
        limited(tmp_path, clock).acquire(max_wait_seconds=60, endpoint="calls", window="2026-10-05")
    assert isinstance(caught.value, QuotaError)
    assert str(caught.value).startswith("sip calls 2026-10-05: ")
    assert START + HOUR <= caught.value.resume_at.timestamp() <= START + HOUR + 30
    assert f"{caught.value.resume_at:%H:%M:%S} UTC" in str(caught.value)
    assert clock.slept == []


def test_24_threads_and_a_restart_use_the_budget_and_no_more(tmp_path: Path) -> None:
    clock = SharedClock()
    vendor = Vendor(1200, clock.now)
    hours = 2

    def work() -> None:
        mine = limited(tmp_path, clock, 1200)
        while clock.now() < START + hours * HOUR:
            try:
                mine.acquire(max_wait_seconds=START + hours * HOUR - clock.now())
            except QuotaExhausted:
                return
            vendor.ask()
            clock.sleep(0.2)
            if len(vendor.taken) % 500 == 0:
                mine = limited(tmp_path, clock, 1200)

    clock.run([work] * 24)
    assert vendor.refused == 0
    assert len(vendor.taken) >= 0.95 * hours * 1200


def test_the_vendor_is_believed_when_fewer_remain(tmp_path: Path) -> None:
    clock = Clock()
    mine = limited(tmp_path, clock, 100)
    number = mine.acquire()
    mine.learn(number, remaining=2, seconds=600)
    assert mine.room() == 2
    mine.acquire()
    mine.acquire()
    with pytest.raises(QuotaExhausted):
        mine.acquire(max_wait_seconds=500)
    number = mine.acquire()
    assert 600 <= clock.time - START < 660
    mine.learn(number, remaining=96, seconds=3000)
    assert mine.room() == 96


def test_requests_on_their_way_are_not_taken_for_someone_elses(tmp_path: Path) -> None:
    clock = Clock()
    mine = limited(tmp_path, clock, 100)
    numbers = [mine.acquire() for _ in range(10)]
    mine.learn(numbers[0], remaining=99, seconds=None)
    assert mine.room() == 90
    mine.learn(numbers[9], remaining=90, seconds=None)
    # The response to an earlier request comes late.
    mine.learn(numbers[4], remaining=10, seconds=None)
    assert mine.room() == 90
    # Blind requests that went out before the first response count against what it says.
    other = RateLimit(tmp_path, "tim", 100, now=clock.now, sleep=clock.sleep)
    numbers = [other.acquire() for _ in range(24)]
    other.learn(numbers[0], remaining=5, seconds=60)
    assert other.room() == 0


def test_what_others_spent_is_forgotten_after_the_window_at_the_latest(tmp_path: Path) -> None:
    clock = Clock()
    mine = limited(tmp_path, clock, 100)
    mine.learn(mine.acquire(), remaining=0, seconds=1e12)
    assert mine.room() == 0
    clock.time += HOUR + 30
    assert mine.room() == 100


def test_a_pause_holds_everybody(tmp_path: Path) -> None:
    clock = Clock()
    limited(tmp_path, clock).pause(120)
    assert limited(tmp_path, clock).room() == 0
    limited(tmp_path, clock).acquire()
    assert clock.time == START + 120
    limited(tmp_path, clock).pause(float("nan"))
    with pytest.raises(QuotaExhausted):
        limited(tmp_path, clock).acquire()


def test_a_clock_set_back_does_not_block(tmp_path: Path) -> None:
    clock = Clock()
    mine = limited(tmp_path, clock)
    for _ in range(5):
        mine.acquire()
    clock.time -= 30 * DAY
    mine.acquire()
    assert sum(clock.slept) <= HOUR + 30
    assert sum(clock.slept) >= HOUR


def test_other_limits_keep_the_past(tmp_path: Path) -> None:
    clock = Clock()
    mine = limited(tmp_path, clock, 5)
    for _ in range(5):
        mine.acquire()
    assert limited(tmp_path, clock, 8).room() == 3
    assert limited(tmp_path, clock, 3).room() == 0
    assert limited(tmp_path, clock, 6).room() == 1


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 10_000, b'{"format": 1}\n', b"\xff" * 300, os.urandom(500)])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sip.budget").write_bytes(content)
    clock = Clock()
    for _ in range(5):
        limited(tmp_path, clock).acquire()
    assert clock.slept == []
    with pytest.raises(QuotaExhausted):
        limited(tmp_path, clock).acquire(max_wait_seconds=1)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 2000), min_size=1, max_size=60), st.integers(1, 7))
def test_no_hour_ever_holds_more_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, pauses: list[float], limit: int
) -> None:
    clock = Clock()
    mine = limited(tmp_path_factory.mktemp("budget"), clock, limit)
    taken = []
    for pause in pauses:
        clock.time += pause
        mine.acquire()
        taken.append(clock.time)
    for later, earlier in zip(taken[limit:], taken, strict=False):
        assert later - earlier > HOUR


def test_processes_share_it_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl,sys,time\nf=open(sys.argv[1],'a')\nfcntl.flock(f,fcntl.LOCK_EX)\nprint('held',flush=True)\n"
            "time.sleep(60)",
            str(tmp_path / "sip.budget"),
        ],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    workers = [multiprocessing.get_context("fork").Process(target=_take, args=(tmp_path, 20)) for _ in range(3)]
    for worker in workers:
        worker.start()
    holder.kill()
    holder.wait()
    holder.stdout.close()
    for worker in workers:
        worker.join(timeout=20)
        assert worker.exitcode == 0
    assert RateLimit(tmp_path, "sip", 100).room() == 40


def _take(folder: Path, requests: int) -> None:
    mine = RateLimit(folder, "sip", 100)
    for _ in range(requests):
        mine.acquire(max_wait_seconds=0)


def test_the_file_is_private_and_cheap(tmp_path: Path) -> None:
    mine = RateLimit(tmp_path / "state", "sip", 100_000)
    started = time.process_time()
    for _ in range(500):
        mine.acquire()
    assert (time.process_time() - started) / 500 < 0.001
    assert (tmp_path / "state" / "sip.budget").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    for limit in (0, -1):
        with pytest.raises(ConfigError):
            RateLimit(tmp_path, "sip", limit)
    with pytest.raises(ConfigError):
        RateLimit(tmp_path, "../sip", 5)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="sip"):
        RateLimit(tmp_path / "file", "sip", 5).acquire()
