"""What long runs share: doing one part of them at a time, and telling how far they are.

``TOLLBOOK_SOAK_PART=3/8`` does the third eighth of every run that is counted, so that what takes hours can be done in
pieces, on several machines, or from where it stopped.
"""

import os
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
EVERY_SECONDS = 60


def part(all_of_it: Sequence[T]) -> Sequence[T]:
    """What is to be done now, in its order: every eighth from the third on, for ``3/8``."""
    number, _, of = os.environ.get("TOLLBOOK_SOAK_PART", "1/1").partition("/")
    return all_of_it[int(number) - 1 :: int(of)]


def told(what: str, all_of_it: Sequence[T]) -> Iterator[T]:
    """Each of ``all_of_it``; once a minute how many are done is printed, and at the end how many there were."""
    begun = said = time.monotonic()
    for done, each in enumerate(all_of_it):
        if time.monotonic() - said > EVERY_SECONDS:
            said = time.monotonic()
            print(f"{what}: {done} of {len(all_of_it)} after {(said - begun) / 60:.0f} min", flush=True)
        yield each
    print(f"{what}: all {len(all_of_it)} after {(time.monotonic() - begun) / 60:.1f} min", flush=True)
