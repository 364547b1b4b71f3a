"""How TIM4biz answers: totals by extension, as its developers' page says.

What lives here: ``ExtensionTotal``, its errors and its request limits. What does not: the calls (``pbx_traffic``: the
totals are of the same calls that the PBX records), HTTP (``server``).
"""

import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from pipelines.demo.company import EXTENSION_NAMES, TENANTS, ZONE
from pipelines.demo.messages import Options, RawResponse, Request
from pipelines.demo.pbx_traffic import UNRATED, PbxTraffic, Way, calls_of

HOUR = 3600.0
PATH = "/ExtensionTotal"


@dataclass
class Total:
    """What TIM4biz knows of an extension: calls, seconds talked, and cost in EUR (None: no call was rated)."""

    extension: str
    calls: int = 0
    incoming: int = 0
    outgoing: int = 0
    seconds: int = 0
    cost: Decimal | None = None


def extension_totals(traffic: PbxTraffic, begin: datetime, end: datetime) -> list[Total]:
    """Totals of the calls that began in [begin, end), by extension; both ends are aware."""
    totals: dict[str, Total] = {}
    first, last = begin.timestamp(), end.timestamp()
    day = max(begin.astimezone(ZONE).date(), traffic.first)
    while day <= min(end.astimezone(ZONE).date(), traffic.last):
        for tenant in TENANTS:
            calls = calls_of(traffic.made(tenant.server, day))
            within = (calls.start >= first) & (calls.start < last)
            for index in np.unique(calls.extension[within]).tolist():
                number = tenant.extensions[index].number
                total = totals.setdefault(number, Total(number))
                own = within & (calls.extension == index)
                total.calls += int(own.sum())
                total.incoming += int((own & (calls.way == Way.INBOUND)).sum())
                total.outgoing += int((own & (calls.way != Way.INBOUND)).sum())
                total.seconds += int(calls.seconds[own].sum())
                rated = own & (calls.cost != UNRATED)
                if rated.any():
                    total.cost = (total.cost or Decimal(0)) + Decimal(int(calls.cost[rated].sum())).scaleb(-5)
        day += timedelta(days=1)
    return [totals[number] for number in sorted(totals)]


class Tim4bizApi:
    """The account that does the call accounting of the PBX."""

    def __init__(self, traffic: PbxTraffic, options: Options, credentials: str) -> None:
        self.traffic = traffic
        self.options = options
        self._credentials = credentials
        self._made: deque[float] = deque()

    def endpoint(self, request: Request) -> str:
        return request.path.strip("/")

    def response(self, request: Request) -> RawResponse:
        """The answer to one request, with the headers of the limits."""
        if request.credentials != self._credentials:
            return RawResponse({"Message": "Authorization has been denied."}, 401, {"WWW-Authenticate": "Basic"})
        headers, allowed = self._count()
        if not allowed:
            return RawResponse({"Message": "The rate limit has been exceeded."}, 429, headers)
        if request.path.rstrip("/") != PATH:
            return RawResponse({"Message": "Not found."}, 404, headers)
        begin, end = _moment(request.params.get("from")), _moment(request.params.get("to"))
        if request.method != "GET":
            return RawResponse({"Message": "Use GET."}, 400, headers)
        if begin is None or end is None or end <= begin:
            return RawResponse({"Message": "Missing or invalid datetime range."}, 400, headers)
        # Compared as clock times: a month stays a month over a clock change.
        if end.replace(tzinfo=None) - begin.replace(tzinfo=None) > timedelta(days=self.options.tim_max_days):
            return RawResponse({"Message": "The period is too long."}, 400, headers)
        rows = [self._row(total) for total in extension_totals(self.traffic, begin, end)]
        return RawResponse({"ExtensionTotals": rows} if self.options.tim_wrapped else rows, 200, headers)

    def _row(self, total: Total) -> dict[str, Any]:
        minutes, seconds = divmod(total.seconds, 60)
        clock = f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
        return {
            "Extension": total.extension,
            "Name": EXTENSION_NAMES[total.extension],
            "Calls": total.calls,
            "Incoming": total.incoming,
            "Outgoing": total.outgoing,
            "Duration": clock if self.options.tim_duration == "clock" else total.seconds,
            "Cost": None if total.cost is None else float(total.cost),
        }

    def _count(self) -> tuple[dict[str, str], bool]:
        """Count a request against both limits: their headers, and whether it is within them."""
        now = time.monotonic()
        while self._made and now - self._made[0] >= 24 * HOUR:
            self._made.popleft()
        of_hour = sum(1 for made in self._made if now - made < HOUR)
        limit, daily = self.options.tim_limit, self.options.tim_limit_24_hours
        allowed = of_hour < limit and (daily is None or len(self._made) < daily)
        if allowed:
            self._made.append(now)
        headers = {
            "TIM4biz-Rate-Limit-Limit": str(limit),
            "TIM4biz-Rate-Limit-Remaining": str(max(0, limit - of_hour - 1)),
        }
        if daily is not None:
            headers["TIM4biz-Rate-Limit-Limit-24-Hours"] = str(daily)
            headers["TIM4biz-Rate-Limit-Remaining-24-Hours"] = str(max(0, daily - len(self._made)))
        return headers, allowed


def _moment(text: str | None) -> datetime | None:
    """A naive local time of the account's zone; None where there is none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return None if moment.tzinfo else moment.replace(tzinfo=ZONE)
