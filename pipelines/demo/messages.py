"""What the vendors' APIs are asked and what they answer, apart from HTTP, and the switches for their variations.

What lives here: ``Request``, ``RawResponse`` and ``Options``. What does not: sockets (``server``), answers (``*_api``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """A request to one vendor. ``endpoint`` is the short name that faults and the request log go by."""

    vendor: str
    method: str
    path: str
    params: dict[str, str]
    credentials: str  # user:password of Basic authentication; "" when there is none
    endpoint: str = ""


@dataclass
class RawResponse:
    """An answer: ``data`` is sent as JSON unless ``body`` is given. The rest says how faults have it sent."""

    data: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay_seconds: float = 0
    drip_seconds: float = 0  # between single bytes of the body
    ending: str = ""  # "reset", "short" (fewer bytes than announced), "chunk" (a chunk cut), "unframed" (no length)


@dataclass(frozen=True)
class Options:
    """How the vendors' releases and settings differ; the defaults are as documented."""

    pbx_timezone: str = "Europe/London"  # the zone the PBX reads a window in when no ``timezone`` is sent
    pbx_sorted: bool = (
        False  # whether rows come in order of start; else in no order, the same for each state of the data
    )
    pbx_rating: bool = True  # whether the rating columns are there
    pbx_old_names: bool = False  # Duration, Billing Duration, Billing Cost
    pbx_next_page: str = "boolean"  # boolean, text or number
    pbx_billamount: str = "number"  # number or text
    pbx_tenant_mode: bool = True
    sip_loose_links: tuple[str, ...] = ("calls",)  # endpoints whose nextPage cannot be followed as it is
    sip_inclusive: bool = False  # whether After and Before include the moment itself
    sip_stats: bool = True  # whether the release has calls/stats
    sip_limit: int = 1200  # requests an hour
    tim_limit: int = 600  # requests an hour; 0 = no API access
    tim_limit_24_hours: int | None = 5000  # None: the headers are missing
    tim_max_days: int = 31
    tim_duration: str = "seconds"  # seconds or clock (hh:mm:ss)
    tim_wrapped: bool = False  # an object around the list
    vps_balance: str = "nested"  # nested or flat
    vps_currency: str = "USD"
    vps_login_error_status: int = 401  # 200 on some releases
    vps_credit_note_sign: int = 1

    @classmethod
    def of(cls, options: "Mapping[str, Any] | Options | None") -> "Options":
        """Options from a mapping; TypeError for a name that there is not."""
        return options if isinstance(options, Options) else cls(**(options or {}))
