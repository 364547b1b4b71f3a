"""What earlier loads landed, where a load can use it: a day's shape, and lists that need not be given.

What lives here: finding it; where there is none, or none that can be read, a load goes on without. What does not:
cutting a day into slices (``http.slices``), which lists may be missing (``http.optional_lists``).
"""

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pyarrow as pa

from assets.http.optional_lists import OptionalLists
from assets.http.slices import Earlier, Found, Slice
from assets.stream import Source
from tollbook_errors import IntegrityError, StorageError


def earlier_readings(
    source: Source, stream: str, day: date, kind: str, slice_asked: Callable[[dict[str, str]], Slice]
) -> dict[str | None, Earlier]:
    """By account, what the newest reading of ``day`` found in its slices, or one of the week before most like it.

    It only spares requests: where there is none, or none that can be read, the day is read without.
    """
    for back in (0, 7, 1, 2, 3, 4, 5, 6):
        like = day - timedelta(days=back)
        try:
            landing = source.lake.raw.last_landing(source.name, stream, like, like)
            asked = source.lake.raw.requests_of(landing, kind) if landing else []
            rows: dict[str | None, Counter[Slice]] = {}
            for account, request, count in asked:
                rows.setdefault(account, Counter())[slice_asked(request)] += count
        except (IntegrityError, StorageError, pa.ArrowException, KeyError, ValueError):
            continue
        if rows:
            return {
                account: Earlier(tuple(Found(part, count) for part, count in found.items()), again=back == 0)
                for account, found in rows.items()
            }
    return {}


def optional_lists(source: Source, stream: str) -> OptionalLists:
    """What need not be given of a stream that is a list, with what its newest landing has of that."""

    def landed() -> list[dict[str, Any]]:
        landing = source.lake.raw.last_landing(source.name, stream, None, None)
        return source.lake.raw.responses(landing) if landing else []

    return OptionalLists(landed, source.client().now)
