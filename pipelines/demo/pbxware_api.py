"""How PBXware answers: lists, call records and the sum of their cost, as its API reference (October 2025) says.

What lives here: arguments, filters, paging and the JSON of every action. What does not: what happened
(``pbx_traffic``), HTTP (``server``).
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from pipelines.demo.company import (
    DESTINATIONS,
    MASTER,
    SERVICE_PLANS,
    TENANT_BY_SERVER,
    TENANTS,
    TRUNK_IDS,
    TRUNKS,
    ZONE,
    Tenant,
)
from pipelines.demo.messages import Options, RawResponse, Request
from pipelines.demo.pbx_traffic import STATUS_BIT, STATUSES, UNRATED, Ints, Legs, PbxTraffic, Way, parties

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DEFAULT_LIMIT = 16
MAX_LIMIT = 1000
CDR_TYPES = {"1": (Way.INBOUND,), "2": (Way.OUTBOUND,), "3": tuple(Way)}
ROUTE = "135"  # the route (country) under which the service plans list their rates


class PbxError(Exception):
    """What the PBX says in ``error``."""


@dataclass
class Selection:
    """The legs that a window and its filters select, in the order in which the PBX gives them."""

    blocks: list[tuple[Tenant, Legs]]
    block: Ints
    index: Ints


class PbxwareApi:
    """The PBX, all its tenants."""

    def __init__(self, traffic: PbxTraffic, options: Options, api_key: str) -> None:
        self.traffic = traffic
        self.options = options
        self._api_key = api_key
        self._selected: OrderedDict[tuple[object, ...], Selection] = OrderedDict()
        self._actions: dict[str, Callable[[dict[str, str]], Any]] = {
            "tenant.list": self._tenants,
            "tenant.configuration": self._tenant_configuration,
            "ext.list": self._extensions,
            "department.list": self._departments,
            "did.list": self._dids,
            "trunk.list": self._trunks,
            "splan.list": self._plans,
            "splan.rates": self._rates,
            "cdr.download": self._download,
            "cdr.billamount": self._billamount,
        }

    def endpoint(self, request: Request) -> str:
        return request.params.get("action", "").removeprefix("pbxware.")

    def response(self, request: Request) -> RawResponse:
        """The answer to one request; errors are HTTP 200 too, as documented."""
        try:
            if request.method not in {"GET", "POST"}:
                raise PbxError("Invalid request.")
            if request.params.get("apikey") != self._api_key:
                raise PbxError("Invalid API key.")
            action = self._actions.get(request.endpoint)
            if action is None:
                raise PbxError("Invalid action.")
            return RawResponse(action(request.params))
        except PbxError as error:
            return RawResponse({"error": str(error)})

    def _tenant_of(self, params: dict[str, str], name: str = "server") -> Tenant | None:
        server = params.get(name, "")
        if server in {"", MASTER}:
            return None
        if server not in TENANT_BY_SERVER:
            raise PbxError("Invalid Tenant/Server ID.")
        return TENANT_BY_SERVER[server]

    def _of_tenants(self, params: dict[str, str]) -> tuple[Tenant, ...]:
        if params.get("server") == MASTER and self.options.pbx_tenant_mode:
            return ()
        tenant = self._tenant_of(params)
        return TENANTS if tenant is None else (tenant,)

    def _tenants(self, params: dict[str, str]) -> Any:
        if not self.options.pbx_tenant_mode:
            return []
        listed = [(MASTER, "master.example.com", "")] + [(t.server, t.name, t.code) for t in TENANTS]
        return {
            server: {
                "name": name,
                "tenantcode": code,
                "package_id": "1",
                "package": "Package 1",
                "ext_length": 3,
                "country_id": "869",
                "country_code": "44",
            }
            for server, name, code in listed
        }

    def _tenant_configuration(self, params: dict[str, str]) -> Any:
        if params.get("id") == MASTER:
            return {"server_name": "master.example.com", "tenantcode": "", "currency": "EUR"}
        tenant = self._tenant_of(params, "id")
        if tenant is None:
            raise PbxError("Missing Tenant ID.")
        return {
            "server_name": tenant.name,
            "tenantcode": tenant.code,
            "package_id": "1",
            "ext_length": "3",
            "country": "869",
            "area_code": "20",
            "national": "0",
            "international": "00",
            "cdrvoicemail": "1",
            "currency": tenant.currency,
            "currencypos": "left",
        }

    def _extensions(self, params: dict[str, str]) -> Any:
        return {
            extension.id: {
                "name": extension.name,
                "email": f"ext{extension.number}@example.com",
                "protocol": "sip",
                "ext": extension.number,
                "location": "local",
                "ua_id": "50",
                "ua_name": "generic_sip",
                "ua_fullname": "Generic SIP",
                "status": "enabled" if extension.enabled else "disabled",
                "macaddress": "",
                "sn": "",
                "linenum": "1",
                "user_location": "",
                "department": ",".join(extension.departments),
            }
            for tenant in self._of_tenants(params)
            for extension in tenant.extensions
        } or []

    def _departments(self, params: dict[str, str]) -> Any:
        of = self._of_tenants(params)
        return {id_: {"name": name} for tenant in of for id_, name in tenant.departments.items()} or []

    def _dids(self, params: dict[str, str]) -> Any:
        if self.options.pbx_tenant_mode and params.get("server", "") in {"", MASTER}:
            raise PbxError("Invalid Tenant ID.")
        return {
            did.id: {
                "number": did.e164.removeprefix("+"),
                "number2": "",
                "server": tenant.server,
                "trunk": did.trunk,
                "type": did.type,
                "ext": did.ext,
                "e164": did.e164,
                "e164_2": "",
                "status": "enabled",
                "name": did.name,
                "sms_enabled": "0",
                "prioritize_clirouting": "0",
            }
            for tenant in self._of_tenants(params)
            for did in tenant.dids
            if params.get("ext", did.ext) == did.ext
        } or []

    def _trunks(self, params: dict[str, str]) -> Any:
        fields = ("name", "protocol", "provider_id", "provider_name", "status")
        return {id_: dict(zip(fields, trunk, strict=True)) for id_, trunk in TRUNKS.items()}

    def _plans(self, params: dict[str, str]) -> Any:
        return {
            id_: {
                "name": name,
                "tbd": by_time,
                "min_charge": "0.00000",
                "connection_charge": "0.00000",
                "inclusive": "0",
                "inclusive_inbound": 0,
                "grace_period": "0",
                "billing": "1/1",
                "call_rating": "1/1",
            }
            for id_, (name, by_time) in SERVICE_PLANS.items()
        }

    def _rates(self, params: dict[str, str]) -> Any:
        plan = params.get("id", "")
        if plan not in SERVICE_PLANS:
            raise PbxError("Invalid Service Plan ID.")
        rates: dict[str, Any] = {}
        for group, destination in enumerate(DESTINATIONS, start=1):
            if params.get("route", ROUTE) != ROUTE or params.get("dgroup", str(group)) != str(group):
                continue
            steps = f"{destination.step}/{destination.step}"
            rate = {
                "inbound": "0.00000",
                "outbound": _money(destination.per_minute),
                "inclusives": "0",
                "billing": steps,
                "call_rating": steps,
                "min_charge": "0.00000",
                "connection_charge": _money(destination.connection_charge),
            }
            by_time = SERVICE_PLANS[plan][1] == "1"
            rates[f"{plan}:{ROUTE}:{group}"] = {"70": rate} if by_time else rate
        return rates or []

    def _download(self, params: dict[str, str]) -> Any:
        limit = min(MAX_LIMIT, _whole(params.get("limit", ""), DEFAULT_LIMIT))
        page = _whole(params.get("page", ""), 1)
        selection = self._select(params)
        begin, end = (page - 1) * limit, page * limit
        csv = self._rows(selection, begin, end, with_tenant=self._with_tenant(params))
        return {
            "success": "Success.",
            "next_page": self._next_page(len(selection.index) > end),
            "limit": limit,
            "records": len(csv),
            "header": self._header(params) if csv else None,
            "csv": csv,
        }

    def _billamount(self, params: dict[str, str]) -> Any:
        selection = self._select(params)
        total = 0
        for number, (_, legs) in enumerate(selection.blocks):
            charged = legs.charged[selection.index[selection.block == number]]
            total += int(charged[charged != UNRATED].sum())
        amount = Decimal(total).scaleb(-5)
        return {"billamount": _number(amount) if self.options.pbx_billamount == "number" else str(amount)}

    def _next_page(self, more: bool) -> bool | str | int:
        spelt: dict[str, bool | str | int] = {"boolean": more, "text": str(more).lower(), "number": int(more)}
        return spelt[self.options.pbx_next_page]

    def _with_tenant(self, params: dict[str, str]) -> bool:
        return self.options.pbx_tenant_mode and not params.get("server")

    def _header(self, params: dict[str, str]) -> list[str]:
        old = self.options.pbx_old_names
        billing = ["Billing Duration", "Billing Cost"] if old else ["Rating Duration", "Rating Cost"]
        return [
            *(["Tenant"] if self._with_tenant(params) else []),
            "From",
            "To",
            "Date/Time",
            "Duration" if old else "Total Duration",
            *(billing if self.options.pbx_rating else []),
            "Status",
            "ID" if self._with_tenant(params) else "Unique ID",
            "Recording Path",
            "Recording Available",
            "Location Type",
            *([] if self._with_tenant(params) else ["MOS"]),
        ]

    def _rows(self, selection: Selection, begin: int, end: int, *, with_tenant: bool) -> list[list[Any]]:
        block, index = selection.block[begin:end], selection.index[begin:end]
        rows: list[list[Any]] = [[]] * len(index)
        for number in np.unique(block).tolist():
            places = np.flatnonzero(block == number)
            tenant, legs = selection.blocks[number]
            cells = self._cells(tenant, legs.take(index[places]), with_tenant=with_tenant)
            for place, row in zip(places.tolist(), cells, strict=True):
                rows[place] = row
        return rows

    def _cells(self, tenant: Tenant, legs: Legs, *, with_tenant: bool) -> list[list[Any]]:
        text = parties(tenant.server).text
        first = [tenant.name] if with_tenant else []
        columns = zip(
            legs.source.tolist(),
            legs.target.tolist(),
            legs.start.tolist(),
            legs.seconds.tolist(),
            legs.rated.tolist(),
            legs.charged.tolist(),
            legs.status.tolist(),
            legs.uid.tolist(),
            legs.uid_seq.tolist(),
            legs.recorded.tolist(),
            legs.mos.tolist(),
            strict=True,
        )
        rows = []
        for source, target, start, seconds, rated, cost, status, uid, seq, recorded, mos in columns:
            unique = f"{uid}.{seq}"
            rating = [str(rated), "" if cost == UNRATED else _money(cost)] if self.options.pbx_rating else []
            path = f"archive/{tenant.code}/{unique}.mp3" if recorded else ""
            rows.append(
                [
                    *first,
                    text[source],
                    text[target],
                    str(start),
                    str(seconds),
                    *rating,
                    STATUSES[status].spelling,
                    unique,
                    path,
                    "True" if recorded else "False",
                    "Remote" if seq % 3 else "Local",
                    *([] if with_tenant else [mos / 10 if mos else 0]),
                ]
            )
        return rows

    def _select(self, params: dict[str, str]) -> Selection:
        """The legs of a window; the last few selections are kept, for the pages that follow."""
        begin, end = self._window(params)
        filters = tuple((name, params[name]) for name in sorted(_FILTERS) if params.get(name))
        key = (begin, end, filters, self.traffic.version)
        if key not in self._selected:
            self._selected[key] = self._selection(params, begin, end)
            if len(self._selected) > 32:
                self._selected.popitem(last=False)
        return self._selected[key]

    def _selection(self, params: dict[str, str], begin: int, end: int) -> Selection:
        keep = _filter(params)
        blocks: list[tuple[Tenant, Legs]] = []
        found: list[Ints] = []
        day = max(datetime.fromtimestamp(begin, ZONE).date(), self.traffic.first)
        last = min(datetime.fromtimestamp(end, ZONE).date(), self.traffic.last + timedelta(days=1))
        while day <= last:
            for tenant in self._of_tenants(params):
                legs = self.traffic.day(tenant.server, day)
                low, high = np.searchsorted(legs.start, [begin, end + 1])
                if low < high:
                    index = np.arange(low, high)
                    blocks.append((tenant, legs))
                    found.append(index[keep(tenant, legs.take(slice(low, high)))])
            day += timedelta(days=1)
        if not found:
            return Selection([], np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
        block = np.repeat(np.arange(len(found)), [len(index) for index in found])
        index = np.concatenate(found)
        key = np.concatenate(
            [
                (legs.start if self.options.pbx_sorted else legs.order)[i]
                for (_, legs), i in zip(blocks, found, strict=True)
            ]
        )
        order = np.argsort(key, kind="stable")
        return Selection(blocks, block[order], index[order])

    def _window(self, params: dict[str, str]) -> tuple[int, int]:
        """First and last second of the window, both inclusive; of a repeated hour the whole is meant."""
        try:
            zone = ZoneInfo(params.get("timezone") or self.options.pbx_timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise PbxError("Invalid timezone.") from None
        begin = _moment(params, "start", "starttime", "00:00:00").replace(tzinfo=zone, fold=0)
        end = _moment(params, "end", "endtime", "23:59:59").replace(tzinfo=zone, fold=1)
        return int(begin.timestamp()), int(end.timestamp())


_FILTERS = ("server", "ext", "extdst", "trunk", "trunkdst", "status", "cdrtype")


def _filter(params: dict[str, str]) -> Callable[[Tenant, Legs], Any]:
    """What the filters keep of some legs, as a mask."""
    for one, other in (("trunk", "ext"), ("trunkdst", "extdst")):
        if params.get(one) and params.get(other):
            raise PbxError(f"You cannot supply {one} and {other} at the same time.")
    ways = CDR_TYPES.get(params.get("cdrtype") or "3")
    if ways is None:
        raise PbxError("Invalid CDR type.")
    bits = sum({_whole(bit, 0) for bit in (params.get("status") or "15").split(",")})

    def keep(tenant: Tenant, legs: Legs) -> Any:
        mask = np.isin(legs.way, ways) & (STATUS_BIT[legs.status] & bits > 0)
        for name, column in (("ext", legs.source), ("extdst", legs.target)):
            if params.get(name):
                mask &= np.isin(column, parties(tenant.server).written(params[name].split(",")))
        for name, column in (("trunk", legs.trunk_in), ("trunkdst", legs.trunk_out)):
            if params.get(name):
                wanted = [TRUNK_IDS.index(trunk) for trunk in params[name].split(",") if trunk in TRUNKS]
                mask &= np.isin(column, wanted)
        return mask

    return keep


def _moment(params: dict[str, str], day_name: str, time_name: str, default_time: str) -> datetime:
    parts = params.get(day_name, "").split("-")
    try:
        day = date(int(parts[2]), MONTHS.index(parts[0].lower()) + 1, int(parts[1]))
        hour, minute, second = (int(part) for part in (params.get(time_name) or default_time).split(":"))
        return datetime(day.year, day.month, day.day, hour, minute, second)
    except (IndexError, ValueError):
        raise PbxError(f"Invalid {day_name} date.") from None


def _whole(text: str, default: int) -> int:
    """A whole number of at least 1, else the default."""
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else default


def _money(units: int) -> str:
    """1/100000 of the currency, with five decimals."""
    return f"{units // 100_000}.{units % 100_000:05d}"


def _number(amount: Decimal) -> int | float:
    """An amount as a JSON number; fifteen digits, which is more than a PBX earns."""
    return int(amount) if amount == int(amount) else float(amount)
