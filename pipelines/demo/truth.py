"""What a correct load must find, from what the generators meant, never from what was served.

What lives here: legs, calls, messages, extension totals and invoices in Tollbook's own vocabulary. What does not: how
vendors write them (``*_api``). Instants are UTC, days are business days in Europe/London, money is Decimal.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from pipelines.demo.company import (
    CUSTOMERS,
    EXTENSION_NAMES,
    PBX,
    PBX_CURRENCY,
    SIP,
    SIP_CURRENCY,
    TENANTS,
    TIM,
    TIM_CURRENCY,
    ZONE,
)
from pipelines.demo.hosting import Hosting, Invoice
from pipelines.demo.pbx_traffic import OUTCOMES, STATUS_OUTCOME, UNRATED, Outside, PbxTraffic, Way
from pipelines.demo.sip_traffic import SipLeg, SipTraffic
from pipelines.demo.tim4biz_api import extension_totals

TELLING = ("answered", "voicemail", "busy", "no_answer", "cancelled", "failed", "unknown")


@dataclass(frozen=True)
class Leg:
    """One record of a call; ``call`` is shared by the legs of one call; ``cost`` None = unrated."""

    connection: str
    account_id: str
    native_id: str
    linked_id: str
    started_at: datetime
    call_date: date
    direction: str
    outcome: str
    duration_seconds: int
    cost: Decimal | None
    currency: str
    extension: str | None
    remote: str | None  # E.164
    call: tuple[str, ...]
    is_provisional: bool = False


@dataclass(frozen=True)
class Call:
    """One end-to-end call, dated by its first leg."""

    connection: str
    account_id: str
    linked_id: str
    started_at: datetime
    call_date: date
    direction: str
    outcome: str
    legs: int
    talk_seconds: int  # of the longest answered leg
    cost: Decimal | None  # of all legs; None when none is rated
    currency: str
    extension: str | None
    remote: str | None


@dataclass(frozen=True)
class Message:
    """One message."""

    connection: str
    account_id: str
    native_id: str
    sent_at: datetime
    sms_date: date
    direction: str
    status: str | None
    cost: Decimal
    currency: str
    remote: str


@dataclass(frozen=True)
class ExtensionTotal:
    """TIM4biz's totals of a day and extension."""

    connection: str
    total_date: date
    extension: str
    name: str
    calls: int
    incoming: int
    outgoing: int
    duration_seconds: int
    cost: Decimal | None
    currency: str


class Truth:
    """The demo's truth, as it stands: changes made to the vendors' data show here too."""

    def __init__(self, pbx: PbxTraffic, sip: SipTraffic, hosting: Hosting) -> None:
        self._pbx, self._sip, self._hosting = pbx, sip, hosting
        self._readers: dict[str, Callable[[date], Iterator[Leg]]] = {
            "pbxware": self._pbx_legs,
            "sipcentric": self._sip_legs,
        }

    def legs(self, vendor: str, day_from: date, day_to: date) -> list[Leg]:
        """The legs that started on the business days from ``day_from`` to ``day_to``, both inclusive."""
        return [leg for day in _days(day_from, day_to) for leg in self._readers[vendor](day) if leg.call_date == day]

    def calls(self, vendor: str, day_from: date, day_to: date) -> list[Call]:
        """The calls whose first leg started on those days, with all their legs."""
        grouped: dict[tuple[str, ...], list[Leg]] = defaultdict(list)
        for day in _days(day_from - timedelta(days=1), day_to + timedelta(days=1)):
            for leg in self._readers[vendor](day):
                if leg.call_date == day:
                    grouped[leg.call].append(leg)
        calls = [_call(legs) for legs in grouped.values()]
        return [call for call in calls if day_from <= call.call_date <= day_to]

    def sms(self, day_from: date, day_to: date) -> list[Message]:
        """The messages of those business days."""
        messages = [
            Message(
                connection=SIP,
                account_id=customer.id,
                native_id=_uri(customer.id, "sms", sms.id),
                sent_at=datetime.fromtimestamp(sms.created, UTC),
                sms_date=datetime.fromtimestamp(sms.created, ZONE).date(),
                direction="inbound" if sms.inbound else "outbound",
                status=None if sms.status is None else sms.status.lower(),
                cost=sms.cost,
                currency=SIP_CURRENCY,
                remote=sms.remote,
            )
            for customer in CUSTOMERS
            for sms in self._sip.sms(customer)
        ]
        return [message for message in messages if day_from <= message.sms_date <= day_to]

    def extension_totals(self, day_from: date, day_to: date) -> list[ExtensionTotal]:
        """TIM4biz's totals, day by day, without any planted difference."""
        return [
            ExtensionTotal(
                connection=TIM,
                total_date=day,
                extension=total.extension,
                name=EXTENSION_NAMES[total.extension],
                calls=total.calls,
                incoming=total.incoming,
                outgoing=total.outgoing,
                duration_seconds=total.seconds,
                cost=total.cost,
                currency=TIM_CURRENCY,
            )
            for day in _days(day_from, day_to)
            for total in extension_totals(
                self._pbx,
                datetime.combine(day, time(), ZONE),
                datetime.combine(day + timedelta(days=1), time(), ZONE),
            )
        ]

    def invoices(self) -> list[Invoice]:
        """Every invoice. Amounts of a credit note are positive here, whatever sign is served."""
        return list(self._hosting.invoices)

    def _pbx_legs(self, day: date) -> Iterator[Leg]:
        """Of the calls that began on the day or the day before, the legs that started on the day."""
        for made_on in (day - timedelta(days=1), day):
            for tenant in TENANTS:
                legs = self._pbx.made(tenant.server, made_on)
                charged = legs.charged.tolist()
                for i in range(len(legs)):
                    started = datetime.fromtimestamp(int(legs.start[i]), UTC)
                    if started.astimezone(ZONE).date() != day:
                        continue
                    unique = f"{legs.uid[i]}.{legs.uid_seq[i]}"
                    cost = charged[i]
                    yield Leg(
                        connection=PBX,
                        account_id=tenant.server,
                        native_id=unique,
                        linked_id=unique,
                        started_at=started,
                        call_date=day,
                        direction=Way(int(legs.way[i])).name.lower(),
                        outcome=OUTCOMES[STATUS_OUTCOME[legs.status[i]]],
                        duration_seconds=int(legs.seconds[i]),
                        cost=None if cost == UNRATED else Decimal(cost).scaleb(-5),
                        currency=PBX_CURRENCY,
                        extension=tenant.extensions[legs.extension[i]].number,
                        remote=Outside.e164[legs.outside[i]] if legs.outside[i] >= 0 else None,
                        call=(PBX, tenant.server, str(made_on), str(legs.call[i])),
                    )

    def _sip_legs(self, day: date) -> Iterator[Leg]:
        for customer in CUSTOMERS:
            for leg in self._sip.day(customer, day):
                yield Leg(
                    connection=SIP,
                    account_id=customer.id,
                    native_id=_uri(customer.id, "calls", leg.id),
                    linked_id=leg.linked_id,
                    started_at=datetime.fromtimestamp(leg.started, UTC),
                    call_date=day,
                    direction=_direction(leg),
                    outcome=leg.outcome,
                    duration_seconds=leg.seconds,
                    cost=leg.cost,
                    currency=SIP_CURRENCY,
                    extension=leg.extension,
                    remote=leg.remote,
                    call=(SIP, customer.id, str(day), str(leg.call)),
                    is_provisional=not leg.final,
                )


def _call(legs: list[Leg]) -> Call:
    """A call from its legs, which are in order of start where that matters."""
    legs = sorted(legs, key=lambda leg: leg.started_at)
    first = legs[0]
    outside = [leg.direction for leg in legs if leg.direction in {"inbound", "outbound"}]
    direction = (outside or [first.direction])[0]
    answered = [leg for leg in legs if leg.outcome == "answered"]
    longest = max(answered, key=lambda leg: leg.duration_seconds, default=None)
    costs = [leg.cost for leg in legs if leg.cost is not None]
    return Call(
        connection=first.connection,
        account_id=first.account_id,
        linked_id=first.linked_id,
        started_at=first.started_at,
        call_date=first.call_date,
        direction=direction,
        outcome=min((leg.outcome for leg in legs), key=TELLING.index),
        legs=len(legs),
        talk_seconds=longest.duration_seconds if longest else 0,
        cost=sum(costs, Decimal(0)) if costs else None,
        currency=first.currency,
        extension=longest.extension if longest and direction == "inbound" else first.extension,
        remote=next((leg.remote for leg in legs if leg.remote), None),
    )


def _direction(leg: SipLeg) -> str:
    if leg.scope == "LOCAL":
        return "internal"
    return "inbound" if leg.inbound else "outbound"


def _uri(customer: str, collection: str, id_: int) -> str:
    return f"https://pbx.sipcentric.com/api/v1/customers/{customer}/{collection}/{id_}"


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=1)
