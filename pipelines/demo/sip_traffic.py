"""What happened at the Sipcentric customers: calls by leg, and messages, day by day, made from the seed.

What lives here: the shapes of calls, their times, parties and costs, and the changes a day can suffer afterwards. What
does not: how Sipcentric writes them down (``sipcentric_api``), what a correct load makes of them (``truth``).

Times are epoch seconds; money is Decimal, in GBP.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from pipelines.demo.company import (
    CUSTOMER_BY_ID,
    DESTINATIONS,
    SMS_TEXTS,
    ZONE,
    Customer,
    Destination,
    Endpoint,
    dialled,
    outside_numbers,
)
from pipelines.demo.pbx_traffic import CALLS_PER_WEEKDAY, HOURS, day_bounds

SPELLINGS = {
    "answered": ("ANSWERED", "ANSWERED", "ANSWERED", "answered"),
    "no_answer": ("NO_ANSWER", "NO_ANSWER", "no-answer", "NO ANSWER"),
    "busy": ("BUSY", "BUSY", "Busy"),
    "failed": ("FAILED", "FAILED", "Failed"),
}


@dataclass(frozen=True)
class SipLeg:
    """One call object. ``scope``: LOCAL, DOMAIN or EXTERNAL; ``cost`` None: not rated yet."""

    customer: Customer
    id: int
    call: int  # numbers the end-to-end calls of a customer and day
    scope: str
    inbound: bool
    source: str
    target: str
    started: int
    created: int
    outcome: str
    spelling: str
    seconds: int
    cost: Decimal | None
    settled_cost: Decimal
    final: bool
    call_id: str
    linked_id: str
    extension: str
    remote: str | None  # E.164


@dataclass(frozen=True)
class Sms:
    """One message. ``status`` None: received."""

    customer: Customer
    id: int
    created: int
    inbound: bool
    source: str
    target: str
    remote: str
    text: str
    status: str | None
    delivery: int | None
    cost: Decimal


class _Maker:
    """Makes the calls of a customer and day."""

    def __init__(self, rng: random.Random, customer: Customer, day: date, first: int = 0) -> None:
        self.rng, self.customer, self.day = rng, customer, day
        self.legs: list[SipLeg] = []
        self.calls = first
        self.next_id = day.toordinal() * 10_000_000

    def call(self, started: int) -> None:
        """One call of a kind that comes as it comes."""
        kinds = [self.outgoing, self.incoming, self.to_group, self.transferred, self.forwarded, self.local, self.domain]
        if not self.customer.groups:
            kinds.remove(self.to_group)
        weights = {"outgoing": 40, "incoming": 25, "to_group": 14, "transferred": 4, "forwarded": 2, "local": 10}
        self.rng.choices(kinds, [weights.get(kind.__name__, 5) for kind in kinds])[0](started)
        self.calls += 1

    def outgoing(self, started: int) -> None:
        self._outside(self._phone(), started, self._outcome())

    def incoming(self, started: int) -> None:
        self._from_outside(self._phone(), started, self._caller(), self._outcome())

    def to_group(self, started: int) -> None:
        """The group's own record, then one for each of its phones; at most one of them answers."""
        caller, group = self._caller(), self.rng.choice(self.customer.groups)
        answered = self.rng.random() < 0.8
        winner = self.rng.randrange(len(self.customer.phones)) if answered else -1
        linked = self._from_outside(group, started, caller, "no_answer")
        for i, phone in enumerate(self.customer.phones):
            self._from_outside(phone, started + 1 + i, caller, "answered" if i == winner else "no_answer", linked)

    def transferred(self, started: int) -> None:
        """Answered, then put through to a second phone."""
        caller = self._caller()
        first, second = self.rng.sample(self.customer.phones, 2)
        linked = self._from_outside(first, started, caller, "answered")
        self._from_outside(second, started + 40, caller, "answered", linked)

    def forwarded(self, started: int) -> None:
        """A colleague does not answer, and the call goes on to an outside number: an outbound call."""
        caller, colleague = self.rng.sample(self.customer.phones, 2)
        linked = self._leg(
            "LOCAL", False, caller.party, colleague.party, started, "no_answer", caller, None, Decimal(0)
        )
        self._outside(caller, started + 15, "answered", linked)

    def local(self, started: int) -> None:
        caller, colleague = self.rng.sample(self.customer.phones, 2)
        self._leg("LOCAL", False, caller.party, colleague.party, started, self._outcome(), caller, None, Decimal(0))

    def domain(self, started: int) -> None:
        """A call with another account on the same network."""
        other = self.rng.choice([c for c in CUSTOMER_BY_ID.values() if c is not self.customer])
        number, phone = other.numbers[0], self._phone()
        if self.rng.random() < 0.5:
            self._leg("DOMAIN", True, dialled(number), phone.party, started, self._outcome(), phone, number, Decimal(0))
        else:
            self._leg(
                "DOMAIN", False, phone.party, dialled(number), started, self._outcome(), phone, number, Decimal(0)
            )

    def _phone(self) -> Endpoint:
        return self.rng.choice(self.customer.phones)

    def _outcome(self) -> str:
        return self.rng.choices(("answered", "no_answer", "busy", "failed"), (80, 13, 4, 3))[0]

    def _caller(self) -> str | None:
        """An outside number that calls; None = withheld."""
        if self.rng.random() < 0.06:
            return None
        return self.rng.choice(outside_numbers(self._destination(inbound=True)))

    def _destination(self, *, inbound: bool = False) -> Destination:
        weights = [d.share * (d.calls_in or not inbound) for d in DESTINATIONS]
        return self.rng.choices(DESTINATIONS, weights)[0]

    def _outside(self, phone: Endpoint, started: int, outcome: str, linked: str | None = None) -> None:
        destination = self._destination()
        number = self.rng.choice(outside_numbers(destination))
        price = (Decimal(destination.per_minute) / 100_000).quantize(Decimal("0.0001"))
        target = dialled(number) if self.rng.random() < 0.9 else number
        self._leg("EXTERNAL", False, phone.party, target, started, outcome, phone, number, price, linked)

    def _from_outside(
        self, to: Endpoint, started: int, caller: str | None, outcome: str, linked: str | None = None
    ) -> str:
        shown = "anonymous" if caller is None else dialled(caller)
        return self._leg("EXTERNAL", True, shown, to.party, started, outcome, to, caller, Decimal(0), linked)

    def _leg(
        self,
        scope: str,
        inbound: bool,
        source: str,
        target: str,
        started: int,
        outcome: str,
        ours: Endpoint,
        remote: str | None,
        price: Decimal,
        linked: str | None = None,
    ) -> str:
        """Add a leg at ``price`` for each minute begun; returns the id that the later legs of its call link to."""
        rng = self.rng
        seconds = min(6000, max(1, int(rng.lognormvariate(4.5, 1.0)))) if outcome == "answered" else 0
        self.next_id += rng.randrange(1, 9)
        call_id = f"ast0{1 + self.next_id % 3}-{started}.{self.next_id}"
        cost = (price * -(-seconds // 60)).quantize(Decimal("0.0001"))
        final = not (self.customer.newer and cost and rng.random() < 0.06)
        self.legs.append(
            SipLeg(
                customer=self.customer,
                id=self.next_id,
                call=self.calls,
                scope=scope,
                inbound=inbound,
                source=source,
                target=target,
                started=started,
                created=started + seconds + rng.randrange(2, 30),
                outcome=outcome,
                spelling=rng.choice(SPELLINGS[outcome]),
                seconds=seconds,
                cost=cost if final else rng.choice((None, Decimal("0"), cost / 2)),
                settled_cost=cost,
                final=final,
                call_id=call_id,
                linked_id=linked or call_id,
                extension=ours.number,
                remote=remote,
            )
        )
        return linked or call_id


def _starts(rng: random.Random, day: date, count: int) -> list[int]:
    begin, end = day_bounds(day)
    slots = range(begin, end, 3600)
    weights = [HOURS[datetime.fromtimestamp(slot, ZONE).hour] for slot in slots]
    starts = [slot + rng.randrange(3600) for slot in rng.choices(slots, weights, k=count)]
    if end - begin != 86400:
        starts[:3] = [slot + 900 for slot in slots[:3]]  # a clock change: calls in the missing or repeated hour's place
    return [min(start, end - 120) for start in starts]


class SipTraffic:
    """All the calls and messages of all customers. Not safe for threads: the server locks."""

    def __init__(self, seed: int, first: date, last: date, scale: float) -> None:
        self.seed, self.first, self.last, self.scale = seed, first, last, scale
        self.version = 0
        self._committed = False
        self._calls: dict[tuple[str, date], list[SipLeg]] = {}
        self._sms: dict[str, list[Sms]] = {}

    def days(self) -> Iterator[date]:
        day = self.first
        while day <= self.last:
            yield day
            day += timedelta(days=1)

    def day(self, customer: Customer, day: date) -> list[SipLeg]:
        """The legs of the calls that a customer made and took on a business day, in order of start."""
        if not self.first <= day <= self.last:
            return []
        key = (customer.id, day)
        if key not in self._calls:
            rng = random.Random(f"{self.seed}/{customer.id}/{day}")
            count = customer.calls_per_day * self.scale * CALLS_PER_WEEKDAY[day.weekday()] / CALLS_PER_WEEKDAY[0]
            maker = _Maker(rng, customer, day)
            for start in sorted(_starts(rng, day, max(4, round(count * rng.uniform(0.8, 1.2))))):
                maker.call(start)
            if day.toordinal() % 4 == 0:  # talks over midnight
                maker.outgoing(day_bounds(day)[1] - 45)
            self._keep(key, maker.legs)
        return self._calls[key]

    def sms(self, customer: Customer) -> list[Sms]:
        """Every message of a customer, in order of time."""
        if customer.id not in self._sms:
            self._sms[customer.id] = [message for day in self.days() for message in self._sms_of(customer, day)]
        return self._sms[customer.id]

    def _sms_of(self, customer: Customer, day: date) -> list[Sms]:
        rng = random.Random(f"{self.seed}/sms/{customer.id}/{day}")
        messages = []
        own = dialled(customer.numbers[0])
        mobiles = next(d for d in DESTINATIONS if d.key == "UK mobile")
        for i, created in enumerate(sorted(_starts(rng, day, rng.randrange(5)))):
            inbound = rng.random() < 0.4
            remote = rng.choice(outside_numbers(mobiles))
            status = None if inbound else rng.choices(("SENT", "FAILED", "PENDING"), (90, 6, 4))[0]
            messages.append(
                Sms(
                    customer=customer,
                    id=(day.toordinal() - 700_000) * 1000 + i,
                    created=created,
                    inbound=inbound,
                    source=dialled(remote) if inbound else own,
                    target=own if inbound else dialled(remote),
                    remote=remote,
                    text=rng.choice(SMS_TEXTS),
                    status=status,
                    delivery=rng.choice((1, 1, 1, 2, 4, 8, 16)) if status == "SENT" else None,
                    cost=Decimal("0.045") if status == "SENT" else Decimal("0"),
                )
            )
        return messages

    def add_late_rows(self, day: date, count: int, customer: str = "25") -> None:
        """Let ``count`` calls of a day turn up that were not there before."""
        of = CUSTOMER_BY_ID[customer]
        before = self.day(of, day)
        rng = random.Random(f"{self.seed}/late/{customer}/{day}/{self.version}")
        maker = _Maker(rng, of, day, first=max(leg.call for leg in before) + 1)
        maker.next_id = max(leg.id for leg in before)
        for start in _starts(rng, day, count)[:count]:
            maker.outgoing(start)
            maker.calls += 1
        self._keep((customer, day), before + maker.legs)

    def withdraw_row(self, day: date, customer: str = "25") -> None:
        """Let the first outbound call of one leg of a day be there no longer."""
        legs = self.day(CUSTOMER_BY_ID[customer], day)
        linked = [leg.linked_id for leg in legs]
        gone = next(
            leg for leg in legs if leg.scope == "EXTERNAL" and not leg.inbound and linked.count(leg.linked_id) == 1
        )
        self._keep((customer, day), [leg for leg in legs if leg is not gone])

    def commit_file(self) -> None:
        """Make every provisional call final, with its cost."""
        self._committed = True
        for key, legs in list(self._calls.items()):
            self._keep(key, legs)

    def _keep(self, key: tuple[str, date], legs: list[SipLeg]) -> None:
        if self._committed:
            legs = [replace(leg, final=True, cost=leg.settled_cost) for leg in legs]
        if key in self._calls:
            self.version += 1
        self._calls[key] = sorted(legs, key=lambda leg: (leg.started, leg.id))
