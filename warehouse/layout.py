"""How things are named under the data directory: connections and streams, windows of days, generations.

Layout under the data directory::

    raw/<connection>/<stream>/<window>/<generation>.parquet   responses: page, kind, account_id, request, fetched_at, …
                                       <generation>.1.parquet the same once a number was erased from them
    raw/<connection>/<stream>/<window>/<generation>.json      its manifest; the landing exists once this does
    core/<table>/<connection>/<day or all>.parquet            typed rows of one kind of fact
    state/core/<stream>/<connection>/<day or all>.json        which files make the partition, from which landings
    state/pending/                                            partitions that the database has not seen yet
    state/loads/<load>/                                       what each load did (``ledger``)
    state/scratch/                                            readings on their way into core
    state/ahead/                                              what is parsed while it is landed
    state/lock, state/asking/<connection>                     locks: who writes, who asks a vendor
    state/connections/, login_key.json, unfinished.json   see ``identity``
    state/kept_from.json                                      the first business day kept, once some were dropped

A window is a business day, two days joined by ``_`` for a stretch of days, or ``all`` for a list. A generation is the
UTC time of the reading, so that names sort by time. Everything is staged, synced and renamed.
"""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from tollbook_errors import ContractError
from warehouse.files import names_in

ALL = "all"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,126}")
WINDOW = re.compile(r"all|[0-9]{4}-[0-9]{2}-[0-9]{2}(_[0-9]{4}-[0-9]{2}-[0-9]{2})?")


def safe_name(name: str) -> str:
    """A name that may become a path component; anything else is refused, not mended."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise ContractError("a name from outside cannot be used in a path")
    return name


def window_name(first: date | None, last: date | None) -> str:
    if first is None or last is None:
        return ALL
    return first.isoformat() if first == last else f"{first.isoformat()}_{last.isoformat()}"


def parse_window(name: str) -> tuple[date | None, date | None]:
    if name == ALL:
        return None, None
    first, _, last = name.partition("_")
    return parse_day(first), parse_day(last or first)


def windows_in(folder: Path) -> list[str]:
    """The folders of windows; anything else that somebody put there is not ours to read."""
    return [name for name in names_in(folder) if WINDOW.fullmatch(name)]


def share_days(name: str, other: str) -> bool:
    """Whether two windows, by their names, have a day in common, or are both of lists."""
    (first, last), (begin, end) = parse_window(name), parse_window(other)
    if first is None or last is None or begin is None or end is None:
        return name == other
    return first <= end and begin <= last


def parse_day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def next_generation_name(moment: datetime, last: str) -> str:
    """A name that sorts after ``last`` even when the clock was set back."""
    name = f"{moment:%Y%m%dT%H%M%S%f}Z"
    if name > last:
        return name
    stamp, _, number = last.partition("-")
    return f"{stamp}-{int(number or 0) + 1:06d}"


def bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """A business day as UTC instants, end excluded: 23, 24 or 25 hours."""
    start = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    after = day + timedelta(days=1)
    return start, datetime(after.year, after.month, after.day, tzinfo=zone).astimezone(UTC)
