"""What a source hands over: one response of a vendor, soon to be landed, with what was asked for.

What lives here: the record passed from the vendor modules to the landing, also of what a vendor does not give. What
does not: HTTP (``client``), vendor knowledge (the vendor modules), files (``warehouse``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

REFUSED = "refused"  # kind of the page that stands for what the vendor does not give: a list, a sum, a filter


@dataclass(frozen=True)
class Page:
    """One response of a vendor.

    ``kind`` names what was asked (``cdr``, ``billamount``, ``calls``, …), ``request`` holds the arguments without any
    secret, ``rows`` the number of records in ``body`` (0 for a control total); ``fetched_at`` is UTC; ``data`` is the
    parsed body.
    """

    kind: str
    account_id: str | None
    request: dict[str, str]
    body: str
    fetched_at: datetime
    rows: int
    data: Any = field(repr=False, compare=False, default=None)


def refused(account_id: str | None, request: Mapping[str, str], at: datetime) -> Page:
    """The page of kind ``refused`` for what was asked for ``at`` this time and not given."""
    return Page(REFUSED, account_id, dict(request), "{}", at, 0, {})
