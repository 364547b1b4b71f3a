"""What a source hands over: one landed-to-be answer of a vendor, with what was asked for.

What lives here: the record passed from the vendor modules to the landing. What does not: HTTP (``client``), vendor
knowledge (the vendor modules), files (``warehouse.lake``).
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Page:
    """One answer of a vendor.

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
