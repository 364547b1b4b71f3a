"""How Sipcentric answers: customers, their calls, messages and lists, as the API v1 pages say.

What lives here: resources, filters, pages, the request limit, and the JSON of every object. What does not: what
happened (``sip_traffic``), HTTP (``server``).
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from pipelines.demo.company import CUSTOMER_BY_ID, CUSTOMERS, ZONE, Customer, Endpoint, dialled
from pipelines.demo.messages import Options, RawResponse, Request
from pipelines.demo.sip_traffic import SipLeg, SipTraffic, Sms

BASE = "https://pbx.sipcentric.com/api/v1"  # the uris name the vendor's public address, wherever they are served
HOUR = 3600.0
DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 200
_FILTERS = (
    "createdAfter",
    "createdBefore",
    "startedAfter",
    "startedBefore",
    "from",
    "to",
    "direction",
    "includeLocal",
)


class BadRequestError(Exception):
    """A parameter that cannot be read."""


class SipcentricApi:
    """A reseller's view of its customers."""

    def __init__(self, traffic: SipTraffic, options: Options, credentials: str) -> None:
        self.traffic = traffic
        self.options = options
        self._credentials = credentials
        self._selected: OrderedDict[tuple[object, ...], list[SipLeg]] = OrderedDict()
        self._window = (time.monotonic(), 0)  # when the hour began, and the requests made in it
        self._collections: dict[str, Callable[[Customer], list[dict[str, Any]]]] = {
            "endpoints": self._endpoints,
            "phonenumbers": self._phone_numbers,
            "callbundles": self._bundles,
        }

    def endpoint(self, request: Request) -> str:
        """``customers``, ``calls``, ``calls/stats``, ``sms``, …; one object of a collection is ``calls/one``."""
        parts = request.path.strip("/").removesuffix(".json").split("/")
        if len(parts) < 3:
            return "customers" if len(parts) == 1 else "customers/one"
        return parts[2] if len(parts) == 3 else f"{parts[2]}/{'stats' if parts[3] == 'stats' else 'one'}"

    def response(self, request: Request) -> RawResponse:
        """The answer to one request, with the headers of the request limit."""
        if request.credentials != self._credentials:
            return RawResponse({"error": "Unauthorized"}, 401, {"WWW-Authenticate": 'Basic realm="API"'})
        headers, allowed = self._count()
        if not allowed:
            return RawResponse({"error": "Too Many Requests"}, 429, headers)
        if request.method != "GET":
            return RawResponse({"error": "Method Not Allowed"}, 405, headers)
        try:
            data = self._resource(request)
        except BadRequestError as error:
            return RawResponse({"error": str(error)}, 400, headers)
        if data is None:
            return RawResponse({"error": "Not Found"}, 404, headers)
        return RawResponse(data, 200, headers)

    def _count(self) -> tuple[dict[str, str], bool]:
        """Count a request within its hour: the limit's headers, and whether it is within the limit."""
        now = time.monotonic()
        began, made = self._window
        if now - began >= HOUR:
            began, made = now, 0
        self._window = (began, made + 1)
        headers = {
            "X-RateLimit-Limit": str(self.options.sip_limit),
            "X-RateLimit-Remaining": str(max(0, self.options.sip_limit - made - 1)),
            "X-RateLimit-Reset": str(max(1, int(began + HOUR - now))),
        }
        return headers, made < self.options.sip_limit

    def _resource(self, request: Request) -> Any:
        """What a path names; None where there is nothing."""
        parts = request.path.strip("/").removesuffix(".json").split("/")
        if parts[0] != "customers":
            return None
        if len(parts) == 1:
            return self._page(request, [_customer(customer) for customer in CUSTOMERS])
        customer = CUSTOMER_BY_ID.get(parts[1])
        if customer is None:
            return None
        match parts[2:]:
            case []:
                return {**_customer(customer), "links": _links(customer)}
            case ["calls"]:
                legs = self._select(customer, request.params)
                return self._page(request, legs, _call)
            case ["calls", "stats"]:
                return self._stats(customer, request.params) if self.options.sip_stats else None
            case ["sms"]:
                return self._page(request, self.traffic.sms(customer)[::-1], _sms)
            case ["creditstatus"]:
                return _credit_status(customer)
            case ["calls", item]:
                found = [leg for leg in self._select(customer, {"includeLocal": "true"}) if str(leg.id) == item]
                return _call(found[0]) if found else None
            case [collection] if collection in self._collections:
                return self._page(request, self._collections[collection](customer))
            case [collection, item] if collection in self._collections:
                uri = f"{BASE}/customers/{customer.id}/{collection}/{item}"
                return next((one for one in self._collections[collection](customer) if one["uri"] == uri), None)
        return None

    def _page(self, request: Request, items: list[Any], show: Callable[[Any], dict[str, Any]] = dict) -> dict[str, Any]:
        size = min(MAX_PAGE_SIZE, _whole(request.params, "pageSize", DEFAULT_PAGE_SIZE))
        page = _whole(request.params, "page", 1)
        response: dict[str, Any] = {
            "totalItems": len(items),
            "pageSize": size,
            "page": page,
            "items": [show(item) for item in items[(page - 1) * size : page * size]],
        }
        if page > 1:
            response["prevPage"] = self._link(request, size, page - 1, items)
        if page * size < len(items):
            response["nextPage"] = self._link(request, size, page + 1, items)
        return response

    def _link(self, request: Request, size: int, page: int, items: list[Any]) -> str:
        """A link to another page. A loose one forgets the filters, or names http or another host, or freezes."""
        path = "/" + request.path.strip("/")
        kept = {name: value for name, value in request.params.items() if name in _FILTERS}
        paging = {"pageSize": str(size), "page": str(page)}
        if request.endpoint not in self.options.sip_loose_links:
            return f"{BASE}{path}?{urlencode({**kept, **paging})}"
        if page % 3 == 0:
            return f"http://pbx.sipcentric.com/api/v1{path}?{urlencode(paging)}"
        if page % 3 == 1 and request.endpoint in {"calls", "sms"}:
            frozen = {"createdBefore": _zulu(max(item.created for item in items) + 1)}
            return f"https://pbx2.example.net/api/v1{path}?{urlencode({**frozen, **paging})}"
        return f"{BASE}{path}?{urlencode(paging)}"

    def _select(self, customer: Customer, params: dict[str, str]) -> list[SipLeg]:
        """The calls that the filters select, newest first by ``created``; the last few selections are kept."""
        filters = tuple((name, params[name]) for name in _FILTERS if params.get(name))
        key = (customer.id, filters, self.traffic.version)
        if key not in self._selected:
            self._selected[key] = self._selection(customer, params)
            if len(self._selected) > 32:
                self._selected.popitem(last=False)
        return self._selected[key]

    def _selection(self, customer: Customer, params: dict[str, str]) -> list[SipLeg]:
        edge = 0 if self.options.sip_inclusive else 1
        after, before = _moment(params, "startedAfter"), _moment(params, "startedBefore")
        created_after, created_before = _moment(params, "createdAfter"), _moment(params, "createdBefore")
        local = params.get("includeLocal", "false").lower() == "true"
        direction = params.get("direction", "").lower()

        def keeps(leg: SipLeg) -> bool:
            return (
                (after is None or leg.started >= after + edge)
                and (before is None or leg.started <= before - edge)
                and (created_after is None or leg.created >= created_after + edge)
                and (created_before is None or leg.created <= created_before - edge)
                and (local or leg.scope != "LOCAL")
                and (not direction or leg.inbound == (direction == "in"))
                and params.get("from", leg.source) in (leg.source, _number(leg.source))
                and params.get("to", leg.target) in (leg.target, _number(leg.target))
            )

        first, last = self.traffic.first, self.traffic.last
        # A call is created after it started, at most two hours later.
        earliest = [_day(after), _day(created_after and created_after - 7200)]
        latest = [_day(before), _day(created_before)]
        day = max([first, *(bound for bound in earliest if bound)])
        last = min([last, *(bound for bound in latest if bound)])
        found: list[SipLeg] = []
        while day <= last:
            found += [leg for leg in self.traffic.day(customer, day) if keeps(leg)]
            day += timedelta(days=1)
        return sorted(found, key=lambda leg: (-leg.created, -leg.id))

    def _stats(self, customer: Customer, params: dict[str, str]) -> dict[str, Any]:
        """Totals by day: the vendor's own figures, from the same calls that the list gives."""
        metric = params.get("metric", "count")
        measures: dict[str, Callable[[SipLeg], Decimal | int]] = {
            "count": lambda leg: 1,
            "duration": lambda leg: leg.seconds,
            "cost": lambda leg: leg.cost or Decimal(0),
        }
        if params.get("dimension", "day") != "day" or metric not in measures:
            raise BadRequestError("Invalid dimension or metric")
        days: dict[str, Decimal | int] = {}
        for leg in self._select(customer, params):
            day = datetime.fromtimestamp(leg.started, ZONE).date().isoformat()
            days[day] = days.get(day, 0) + measures[metric](leg)
        return {
            "type": "datatable",
            "columnHeaders": [{"name": "day", "type": "DIMENSION"}, {"name": metric, "type": "METRIC"}],
            "rows": [[day, _json_number(total)] for day, total in sorted(days.items())],
            "totals": {metric: _json_number(sum(days.values()))},
        }

    def _endpoints(self, customer: Customer) -> list[dict[str, Any]]:
        return [_endpoint(customer, endpoint) for endpoint in customer.endpoints]

    def _phone_numbers(self, customer: Customer) -> list[dict[str, Any]]:
        return [
            {
                "type": "did",
                "uri": f"{BASE}/customers/{customer.id}/phonenumbers/{number}",
                "created": "2014-03-10T13:37:00.000+0000",
                "number": dialled(e164),
                "identifier": "Main" if number == 50 else "",
                "destination": f"{BASE}/customers/{customer.id}/endpoints/{customer.endpoints[0].id}",
                "smsEnabled": True,
                "smsAllowIncoming": True,
                "faxEnabled": False,
            }
            for number, e164 in enumerate(customer.numbers, start=50)
        ]

    def _bundles(self, customer: Customer) -> list[dict[str, Any]]:
        """A bundle's periods: the month of the last day, and the one before."""
        listed = []
        month = self.traffic.last.replace(day=1)
        for id_, name, inclusive, price in customer.bundles:
            earlier = (month - timedelta(days=1)).replace(day=1)
            for number, start, status in ((int(id_), month, "ACTIVE"), (int(id_) - 500, earlier, "EXPIRED")):
                used = (start.toordinal() * 31 + number) % inclusive
                end = (start + timedelta(days=32)).replace(day=1) - timedelta(days=1)
                listed.append(
                    {
                        "type": "customerbundle",
                        "uri": f"{BASE}/customers/{customer.id}/callbundles/{number}",
                        "created": "2014-03-01T00:00:00.000+0000",
                        "name": name,
                        "inclusiveMins": inclusive,
                        "priceMonthly": price,
                        "validFrom": f"{start}T00:00:00.000+0000",
                        "validTo": f"{end}T23:59:59.999+0000",
                        "usedMins": used,
                        "availableMins": inclusive - used,
                        "autoRenew": status == "ACTIVE",
                        "status": status,
                    }
                )
        return listed


def _customer(customer: Customer) -> dict[str, Any]:
    first, last = customer.contact
    return {
        "type": "customer",
        "uri": f"{BASE}/customers/{customer.id}",
        "created": "2014-03-10T13:37:00.000+0000",
        "company": customer.company,
        "firstName": first,
        "lastName": last,
        "telephone": dialled(customer.numbers[0]),
        "email": f"contact@customer{customer.id}.example.com",
        "address1": "1 Example Street",
        "city": "London",
        "postcode": "XX1 1XX",
    }


def _links(customer: Customer) -> dict[str, str]:
    names = ("callBundles", "endpoints", "phoneNumbers", "sms", "creditStatus", "calls")
    return {name: f"{BASE}/customers/{customer.id}/{name.lower()}" for name in names}


def _credit_status(customer: Customer) -> dict[str, Any]:
    return {
        "type": "creditstatus",
        "uri": f"{BASE}/customers/{customer.id}/creditstatus",
        "accountType": customer.account_type,
        customer.credit_field: _json_number(Decimal(customer.credit)),
    }


def _endpoint(customer: Customer, endpoint: Endpoint) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": endpoint.type,
        "uri": f"{BASE}/customers/{customer.id}/endpoints/{endpoint.id}",
        "created": "2014-03-10T13:38:00.000+0000",
        "shortNumber": endpoint.number,
        "name": endpoint.name,
        "timeout": 30,
    }
    if endpoint.type == "phone":
        shown |= {"callWaiting": True, "callRecording": "OFF", "voicemailEnabled": True}
    return shown


def _call(leg: SipLeg) -> dict[str, Any]:
    customer = f"{BASE}/customers/{leg.customer.id}"
    stamp = _zulu if leg.customer.newer else _long_stamp
    shown: dict[str, Any] = {
        "type": "call",
        "uri": f"{customer}/calls/{leg.id}",
        "created": stamp(leg.created),
        "scope": leg.scope,
        "direction": "IN" if leg.inbound else "OUT",
        "from": leg.source,
        "to": leg.target,
        "callStarted": stamp(leg.started),
        "outcome": leg.spelling,
        "duration": leg.seconds,
        "cost": None if leg.cost is None else _json_number(leg.cost),
        "callId": leg.call_id,
        "linkedId": leg.linked_id,
        "links": {"recordings": f"{customer}/recordings?linkedId={leg.linked_id}"},
    }
    if leg.customer.newer:
        ours = next(f"{customer}/endpoints/{e.id}" for e in leg.customer.endpoints if e.number == leg.extension)
        shown |= {
            "id": str(leg.id),
            "parent": customer,
            "callerId": None if leg.inbound else dialled(leg.customer.numbers[0]),
            "srcEndpoint": None if leg.inbound else ours,
            "dstEndpoint": ours if leg.inbound else None,
            "final": leg.final,
        }
    return shown


def _sms(message: Sms) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": "smsmessage",
        "uri": f"{BASE}/customers/{message.customer.id}/sms/{message.id}",
        "created": _zulu(message.created) if message.id % 3 == 0 else _long_stamp(message.created),
        "direction": "IN" if message.inbound else "OUT",
        "from": message.source,
        "to": message.target,
        "body": message.text,
    }
    if message.status is not None:
        shown["sendStatus"] = message.status
    if message.delivery is not None:
        shown["deliveryStatus"] = message.delivery
    return {**shown, "cost": _json_number(message.cost)}


def _zulu(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _long_stamp(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%S}.000+0000"


def _json_number(amount: Decimal | int) -> int | float:
    """An amount as a JSON number: of a few digits, so that the float's shortest text is the amount."""
    return int(amount) if amount == int(amount) else float(amount)


def _number(party: str) -> str:
    return party[party.rfind("<") + 1 : -1] if party.endswith(">") else party


def _day(moment: int | None) -> date | None:
    return datetime.fromtimestamp(moment, ZONE).date() if moment is not None else None


def _moment(params: dict[str, str], name: str) -> int | None:
    """A moment in whole epoch seconds; without an offset it is UTC."""
    if not params.get(name):
        return None
    try:
        moment = datetime.fromisoformat(params[name])
    except ValueError:
        raise BadRequestError(f"Invalid {name}") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _whole(params: dict[str, str], name: str, default: int) -> int:
    text = params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else default
