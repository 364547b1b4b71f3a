"""SIGINT and SIGTERM: a command ends at once, in a sentence, with exit code 130 or 143.

What lives here: how a signal reaches a command, whatever that is doing. What does not: what the sentence says (who is
interrupted), the exit (``cli``). Nothing here is imported but the standard library's quickest, since it comes first.

Whatever is killed at whatever moment is made good by the next load, so nothing needs to be finished first. Dagster
takes over the signals of the main thread while a run goes on, to end it in its own time and with its own words: so a
run goes on in another thread, and the main one only waits for it.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal has come. ``what`` says what is left as it was and what to do."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.what = "what was done stays, and nothing is half done: run it again"
        super().__init__(number)

    @property
    def code(self) -> int:
        return 128 + self.number

    def __str__(self) -> str:
        return f"interrupted by {signal.Signals(self.number).name}; {self.what}"


_stopping = threading.Event()


def end_at_once() -> None:
    """Until a command has begun, end the process where a signal comes: imports may swallow an exception."""

    def end(number: int, frame: Any) -> None:
        name = signal.Signals(number).name
        os.write(2, f"tollbook: interrupted by {name}; nothing was under way\n".encode())
        os._exit(128 + number)

    for number in SIGNALS:
        signal.signal(number, end)


@contextmanager
def raised() -> Iterator[None]:
    """In the block a signal raises Interrupted. In another thread than the main one there are no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise Interrupted(number)

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def in_a_thread(work: Callable[[], T]) -> T:
    """Do the work in a thread of its own. Interrupted as soon as a signal comes; the process is to end then."""
    found: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            errors.append(error)
        ended.set()

    ended = threading.Event()
    try:
        with raised():
            threading.Thread(target=run, name="work", daemon=True).start()
            # A signal that the system gives to another thread does not wake this one.
            while not ended.wait(0.1):
                pass
    except Interrupted:
        _stopping.set()
        raise
    if errors:
        raise errors[0]
    return found[0]


def go_no_further() -> None:
    """Wait for the end of the process, where that is near: called by work before a step that somebody would see."""
    if _stopping.is_set():
        threading.Event().wait()


def leave(stop: Interrupted) -> None:
    """End the process as it is, with all of its threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(stop.code)
