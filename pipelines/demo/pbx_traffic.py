"""What happened on the PBX: the legs of every tenant and day, made from the seed when first asked for.

What lives here: the shapes of calls (one leg, ring group, fail-over, voicemail, …), their times, parties and costs, and
the changes that a day can suffer afterwards. What does not: how PBXware writes them down (``pbxware_api``), what a
correct load makes of them (``truth``).

A day is held as columns, not objects, so that a day of a million legs takes seconds: one array per field, in order of
start. Times are epoch seconds, costs integers in 1/100000 of the PBX's currency; money is never a float.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from enum import IntEnum
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.demo.company import (
    DESTINATIONS,
    TENANTS,
    ZONE,
    Tenant,
    dialled,
    outside_numbers,
)

Ints = NDArray[np.int64]

UNRATED = -1
HOURS = (0.2, 0.1, 0.1, 0.1, 0.1, 0.3, 0.6, 2, 6, 12, 14, 13, 8, 7, 12, 12, 11, 7, 3, 1.5, 1, 0.6, 0.4, 0.3)
CALLS_PER_WEEKDAY = (245, 235, 230, 235, 220, 34, 18)  # all tenants together at scale 1, Monday first


class Way(IntEnum):
    """Direction of a leg."""

    INBOUND = 0
    OUTBOUND = 1
    INTERNAL = 2


@dataclass(frozen=True)
class Status:
    """A status as the PBX spells it, the outcome meant, and its bit in the ``status`` filter."""

    spelling: str
    outcome: str
    bit: int


STATUSES = tuple(
    Status(spelling, outcome, bit)
    for outcome, bit, spellings in (
        ("answered", 8, ("Answered", "ANSWERED")),
        ("no_answer", 4, ("Not Answered", "Unanswered", "No Answer", "NO ANSWER")),
        ("busy", 2, ("Busy", "BUSY")),
        ("failed", 1, ("Failed", "FAILED")),
        ("cancelled", 4, ("Cancelled", "CANCEL")),
        ("voicemail", 8, ("Voicemail", "VOICEMAIL")),
    )
    for spelling in spellings
)
OUTCOMES = ("answered", "no_answer", "busy", "failed", "cancelled", "voicemail")
ANSWERED, NO_ANSWER, BUSY, FAILED, CANCELLED, VOICEMAIL = range(6)
_SPELLINGS = [[i for i, s in enumerate(STATUSES) if s.outcome == outcome] for outcome in OUTCOMES]
STATUS_BIT = np.array([s.bit for s in STATUSES])
STATUS_OUTCOME = np.array([OUTCOMES.index(s.outcome) for s in STATUSES])


class Shape(IntEnum):
    """How a call is made up of legs."""

    OUT = 0  # one leg
    FAILOVER = 1  # trunk attempts, the last of which decides
    IN = 2  # one leg to an extension
    IN_VOICEMAIL = 3  # the extension, then its mailbox
    GROUP = 4  # a ring group: a leg for each member, and the mailbox when nobody answers
    INTERNAL = 5  # extension to extension
    FEATURE = 6  # a feature code such as *97
    TWIN = 7  # two trunk attempts in the same second that say exactly the same


_SHARES = np.array([0.41, 0.03, 0.20, 0.05, 0.09, 0.16, 0.04, 0.02])
FEATURE_CODES = ("*97", "*98", "*72")
WITHHELD = ("anonymous", "")


@dataclass(frozen=True)
class Party:
    """One way in which a party is written. ``number`` is what stands for the number; the rest says who it is."""

    text: str
    number: str
    extension: int = -1  # index of the tenant's extension
    outside: int = -1  # index in ``Outside.e164``


class Outside:
    """Every outside number of the demo, with what it costs to call."""

    e164 = [number for destination in DESTINATIONS for number in outside_numbers(destination)]
    of = np.array([i for i, destination in enumerate(DESTINATIONS) for _ in outside_numbers(destination)])
    counts = np.bincount(of)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    out_share = np.array([d.share for d in DESTINATIONS]) / sum(d.share for d in DESTINATIONS)
    in_share = np.array([d.share * d.calls_in for d in DESTINATIONS])
    in_share = in_share / in_share.sum()
    per_minute = np.array([d.per_minute for d in DESTINATIONS])
    connection = np.array([d.connection_charge for d in DESTINATIONS])
    step = np.array([d.step for d in DESTINATIONS])


CALLER_NAMES = ("Ivor's Vans, Ltd", 'The "Old" Bakery', "Müller (Köln)", "Contoso & Sons", "WIRELESS CALLER")


class Parties:
    """The ways in which the parties of a tenant are written, by index; outside numbers have ``FORMS`` ways each."""

    EXTENSION_FORMS = 4
    FORMS = 4

    def __init__(self, tenant: Tenant) -> None:
        self.all: list[Party] = []
        for i, extension in enumerate(tenant.extensions):
            number, name = extension.number, extension.name
            with_code = tenant.code + number
            for text, shown in (
                (f"{name} ({number})", number),
                (number, number),
                (with_code, with_code),
                (f"{name} ({with_code})", with_code),
            ):
                self.all.append(Party(text, shown, extension=i))
        numbers = [extension.number for extension in tenant.extensions]
        self.mailbox = len(self.all)
        for group in tenant.groups:
            first = group.members[0]
            text = f"Ring Group {group.number} Voicemail ({first})"
            self.all.append(Party(text, first, extension=numbers.index(first)))
        self.features = len(self.all)
        self.all += [Party(code, code) for code in FEATURE_CODES]
        self.withheld = len(self.all)
        self.all += [Party(text, text) for text in WITHHELD]
        self.outside = len(self.all)
        for i, e164 in enumerate(Outside.e164):
            name = CALLER_NAMES[i % len(CALLER_NAMES)]
            for text in (dialled(e164), e164, f"{name} ({dialled(e164)})", f"{name} ({e164})"):
                self.all.append(Party(text, e164 if e164 in text else dialled(e164), outside=i))
        self.text = [party.text for party in self.all]
        self.extension_of = np.array([party.extension for party in self.all])
        self.outside_of = np.array([party.outside for party in self.all])

    def written(self, numbers: Sequence[str]) -> Ints:
        """The parties whose number is one of these."""
        wanted = set(numbers)
        return np.array([i for i, party in enumerate(self.all) if party.number in wanted], dtype=np.int64)


@cache
def parties(server: str) -> Parties:
    """The parties of a tenant."""
    return Parties(next(tenant for tenant in TENANTS if tenant.server == server))


@dataclass
class Legs:
    """Legs as columns. ``call`` numbers the calls of one making; ``uid`` and ``uid_seq`` make up a Unique ID."""

    call: Ints
    start: Ints
    seconds: Ints
    rated: Ints
    cost: Ints  # what the PBX would charge; shown only where ``unrated`` is 0
    unrated: Ints
    status: Ints
    way: Ints
    source: Ints
    target: Ints
    extension: Ints
    outside: Ints
    uid: Ints
    uid_seq: Ints
    trunk_in: Ints
    trunk_out: Ints
    mos: Ints  # tenths; 0 = no data
    recorded: Ints
    order: NDArray[np.float64]  # the place in the PBX's own, unsorted, order

    def take(self, index: Any) -> "Legs":
        return Legs(**{name: column[index] for name, column in vars(self).items()})

    def __len__(self) -> int:
        return len(self.start)

    @property
    def charged(self) -> Ints:
        """Cost as the PBX gives it now; UNRATED where it gives none."""
        return np.where(self.unrated > 0, UNRATED, self.cost)


@dataclass
class Calls:
    """End-to-end calls as columns, in the order of the legs' ``call``. ``cost`` UNRATED: no leg is rated."""

    start: Ints
    way: Ints
    extension: Ints
    outside: Ints
    seconds: Ints  # of the longest answered leg
    cost: Ints
    outcome: Ints
    legs: Ints


# Of several outcomes that of the call is the most telling one: the first in this order.
_TELLING = np.array([ANSWERED, VOICEMAIL, BUSY, NO_ANSWER, CANCELLED, FAILED])


def calls_of(legs: Legs) -> Calls:
    """Put legs together to the calls they were made for; a call is inbound's answerer's, else its first leg's."""
    n = int(legs.call.max()) + 1 if len(legs) else 0
    outcome = STATUS_OUTCOME[legs.status]
    answered = outcome == ANSWERED
    first = np.full(n, -1)
    first[legs.call[::-1]] = np.arange(len(legs))[::-1]  # legs are in order of start: the earliest is written last
    there = first >= 0
    extension = legs.extension[first]
    extension[legs.call[answered]] = legs.extension[answered]
    seconds, cost, rated = (np.zeros(n, dtype=np.int64) for _ in range(3))
    np.maximum.at(seconds, legs.call[answered], legs.seconds[answered])
    charged = legs.charged != UNRATED
    np.add.at(cost, legs.call[charged], legs.cost[charged])
    np.add.at(rated, legs.call[charged], 1)
    rank = np.full(n, len(_TELLING) - 1)
    np.minimum.at(rank, legs.call, np.argsort(_TELLING)[outcome])
    calls = Calls(
        start=legs.start[first],
        way=legs.way[first],
        extension=extension,
        outside=legs.outside[first],
        seconds=seconds,
        cost=np.where(rated > 0, cost, UNRATED),
        outcome=_TELLING[rank],
        legs=np.bincount(legs.call, minlength=n),
    )
    return Calls(**{name: column[there] for name, column in vars(calls).items()})


def joined(parts: Sequence[Legs]) -> Legs:
    """Several sets of legs as one, in order of start; their calls stay apart."""
    columns = {name: [vars(part)[name] for part in parts] for name in vars(parts[0])}
    offset = 0
    for i, part in enumerate(parts):
        columns["call"][i] = part.call + offset
        offset += int(part.call.max()) + 1 if len(part) else 0
    whole = Legs(**{name: np.concatenate(column) for name, column in columns.items()})
    return whole.take(np.argsort(whole.start, kind="stable"))


def day_bounds(day: date) -> tuple[int, int]:
    """Start of the business day and of the next one, in epoch seconds: 23, 24 or 25 hours apart."""
    start = datetime(day.year, day.month, day.day, tzinfo=ZONE)
    following = day + timedelta(days=1)
    end = datetime(following.year, following.month, following.day, tzinfo=ZONE)
    return int(start.timestamp()), int(end.timestamp())


def _starts(rng: np.random.Generator, day: date, count: int) -> Ints:
    """``count`` starts over a business day, by its local hours."""
    begin, end = day_bounds(day)
    slots = np.arange(begin, end, 3600)
    weights = np.array([HOURS[datetime.fromtimestamp(slot, ZONE).hour] for slot in slots.tolist()])
    chosen = rng.choice(len(slots), size=count, p=weights / weights.sum())
    starts: Ints = np.minimum(slots[chosen] + rng.integers(0, 3600, count), end - 300)
    if end - begin != 86400:  # a clock change: somebody calls in each of the first hours, the repeated one included
        starts[: min(4, count)] = slots[: min(4, count)] + 600
    return starts


def make_day(seed: int, tenant: Tenant, day: date, scale: float) -> Legs:
    """The legs of the calls that a tenant's people made and took on a business day; some legs start after its end."""
    number = TENANTS.index(tenant)
    rng = np.random.default_rng([seed, number, day.toordinal()])
    expected = CALLS_PER_WEEKDAY[day.weekday()] * tenant.share * scale
    count = max(6, round(expected * rng.uniform(0.9, 1.1)))
    parts = [_make(rng, tenant, _starts(rng, day, count), rng.choice(len(Shape), size=count, p=_SHARES))]
    for planted in _planted(tenant, day):
        part = _make(rng, tenant, np.array([planted.start]), np.array([planted.shape]), planted)
        part.uid[:] = planted.uid or planted.start
        part.uid_seq[:] = planted.uid_seq
        parts.append(part)
    return joined(parts)


class Planted(NamedTuple):
    """A call that is there on purpose. ``seconds``: talked, 0 = nobody answers; ``group``: index of the ring group."""

    shape: Shape
    start: int
    seconds: int
    uid: int = 0  # 0: the start
    uid_seq: int = 2  # the PBX's own sequence begins at 20
    group: int = 0


def _planted(tenant: Tenant, day: date) -> list[Planted]:
    """The awkward calls of a day."""
    begin, end = day_bounds(day)
    number = day.toordinal()
    noon = begin + 43_200
    calls: list[Planted] = []
    if tenant.server == "2":
        # Two Unique IDs that differ as text but not as numbers.
        calls += [Planted(Shape.INTERNAL, noon, 45, uid_seq=1), Planted(Shape.OUT, noon, 75, uid_seq=10)]
        if number % 3 == 0:
            calls.append(Planted(Shape.OUT, end - 90, 900))  # talks over midnight
        if number % 5 == 0:
            calls.append(Planted(Shape.GROUP, end - 8, 0, group=1))  # its later legs start after midnight
        if day.day == 1 and day.month % 3 == 1:
            calls.append(Planted(Shape.INTERNAL, noon + 900, 30, 1_577_836_800, 7))  # one id again, months later
    if tenant.server == "9" and number % 14 == 0:
        calls.append(Planted(Shape.INTERNAL, noon, 108_000))  # left off the hook for thirty hours
    if tenant.server in {"2", "7"} and number % 7 == 0:
        calls.append(Planted(Shape.OUT, noon + 1800, 60, uid_seq=3))  # the same id on two tenants
    return calls


def _make(rng: np.random.Generator, tenant: Tenant, start: Ints, shape: Ints, planted: Planted | None = None) -> Legs:
    """Calls of the given shapes, leg by leg. What is drawn per call comes first, then what is drawn per leg."""
    n = len(start)
    who = parties(tenant.server)
    people = sum(extension.enabled for extension in tenant.extensions)
    ours, other = _two_of(rng, people, n)
    group = rng.integers(0, len(tenant.groups), n) if planted is None else np.full(n, planted.group)
    members = np.array([len(g.members) for g in tenant.groups])[group]
    serial = np.array([g.serial for g in tenant.groups])[group]
    table = np.full((len(tenant.groups), max(len(g.members) for g in tenant.groups)), -1)
    numbers = [extension.number for extension in tenant.extensions]
    for i, g in enumerate(tenant.groups):
        table[i, : len(g.members)] = [numbers.index(member) for member in g.members]
    talk = np.clip(rng.lognormal(4.6, 1.1, n), 2, 7000).astype(np.int64)
    ring = rng.integers(3, 28, n)
    final = rng.choice(5, size=n, p=[0.80, 0.12, 0.03, 0.02, 0.03])
    if planted is not None:
        talk[:] = planted.seconds
        final[:] = ANSWERED if planted.seconds else NO_ANSWER
    winner = rng.integers(0, 6, n) % members
    lost = final != ANSWERED
    remote = np.where(
        np.isin(shape, (Shape.IN, Shape.IN_VOICEMAIL, Shape.GROUP)), _outside(rng, n, inbound=True), _outside(rng, n)
    )
    withheld = rng.random(n) < 0.06
    written = rng.choice(4, size=n, p=[0.88, 0.04, 0.04, 0.04])  # how the caller is written

    count = np.select(
        [shape == Shape.FAILOVER, shape == Shape.IN_VOICEMAIL, shape == Shape.GROUP, shape == Shape.TWIN],
        [3 - (rng.random(n) < 0.3), 2, np.where(serial & ~lost, winner + 1, members + lost), 2],
        1,
    )
    call = np.repeat(np.arange(n), count)
    leg = np.arange(len(call)) - np.repeat(np.cumsum(count) - count, count)
    last = leg == count[call] - 1
    m = len(call)
    kind = shape[call]
    is_group, is_mail = kind == Shape.GROUP, kind == Shape.IN_VOICEMAIL
    mailbox = last & (is_mail | (is_group & lost[call]))
    member = np.where(is_group & ~mailbox, table[group[call], np.minimum(leg, members[call] - 1)], -1)

    outcome = final[call]
    outcome = np.where((kind == Shape.FAILOVER) & ~last | (kind == Shape.TWIN), FAILED, outcome)
    outcome = np.where(is_mail | (is_group & (lost[call] | (leg != winner[call]))), NO_ANSWER, outcome)
    outcome = np.where(mailbox, VOICEMAIL, outcome)
    outcome = np.where(kind == Shape.FEATURE, ANSWERED, outcome)

    # Members of a group ring at once when one of them answers, else a second apart, so that there is a first one.
    apart = np.where(serial[call] & is_group, 12, np.where(is_group & lost[call], 1, 0))
    apart = np.where(kind == Shape.FAILOVER, 2, apart)
    begun = start[call] + leg * apart + np.where(mailbox, 20, 0)
    length = np.select(
        [outcome == ANSWERED, outcome == NO_ANSWER, outcome == VOICEMAIL],
        [talk[call], np.where(is_group & serial[call], 12, ring[call]), 5 + talk[call] % 60],
        0,
    )
    length = np.where(outcome == CANCELLED, ring[call] // 2, length)

    way = np.select(
        [np.isin(kind, (Shape.OUT, Shape.FAILOVER, Shape.TWIN)), np.isin(kind, (Shape.INTERNAL, Shape.FEATURE))],
        [int(Way.OUTBOUND), int(Way.INTERNAL)],
        int(Way.INBOUND),
    )
    inbound, outbound = way == Way.INBOUND, way == Way.OUTBOUND
    party = ours[call] * Parties.EXTENSION_FORMS + written[call]
    callee = np.where(member >= 0, member, ours[call]) * Parties.EXTENSION_FORMS + rng.choice(4, m, p=[0.9, 0.1, 0, 0])
    callee = np.where(mailbox & is_group, who.mailbox + group[call], callee)
    far = who.outside + remote[call] * Parties.FORMS
    dialled_as = far + (written[call] == 1)
    hidden = inbound & withheld[call]
    caller = np.where(hidden, who.withheld + remote[call] % 2, far + written[call])
    source = np.where(inbound, caller, party)
    target = np.select(
        [inbound, outbound, kind == Shape.FEATURE],
        [callee, dialled_as, who.features + ring[call] % len(FEATURE_CODES)],
        other[call] * Parties.EXTENSION_FORMS,
    )
    where = Outside.of[remote[call]]
    answered = outcome == ANSWERED
    step = np.where(outbound, Outside.step[where], 1)
    rated = np.where(answered & (outbound | inbound), -(-length // step) * step, 0)
    freephone = max(did.inbound_per_minute for did in tenant.dids)
    price = np.where(outbound, Outside.per_minute[where], np.where(is_group, freephone, 0))
    cost = (price * rated + 30) // 60 + np.where(outbound & answered, Outside.connection[where], 0)

    choice = np.where(rng.random(m) < 0.85, 0, rng.integers(0, 4, m))
    choice = np.where(kind == Shape.TWIN, 0, choice)
    spelt = np.array([[options[i % len(options)] for i in range(4)] for options in _SPELLINGS])
    epoch = start[call]
    return Legs(
        call=call,
        start=begun,
        seconds=length,
        rated=rated,
        cost=cost,
        unrated=(outbound & answered & (rng.random(m) < 0.02)).astype(np.int64),
        status=spelt[outcome, choice],
        way=way,
        source=source,
        target=target,
        extension=np.where(inbound, who.extension_of[callee], ours[call]),
        outside=np.where(hidden | (way == Way.INTERNAL), -1, remote[call]),
        uid=epoch,
        uid_seq=call + 20 + int(epoch.min()) % 1000,
        trunk_in=np.where(inbound, 1, 0),
        trunk_out=np.where(outbound, np.where((kind == Shape.FAILOVER) & (leg > 0), 2, 1), 0),
        mos=np.where(answered & (rng.random(m) < 0.8), rng.integers(28, 46, m), 0),
        recorded=(answered & (rng.random(m) < 0.1)).astype(np.int64),
        order=rng.random(m),
    )


def _two_of(rng: np.random.Generator, people: int, n: int) -> tuple[Ints, Ints]:
    """Two different people for each call; the first few make and take most of the calls."""
    weights = 1 / np.arange(2, people + 2)
    first = rng.choice(people, size=n, p=weights / weights.sum())
    return first, (first + rng.integers(1, people, n)) % people


def _outside(rng: np.random.Generator, n: int, *, inbound: bool = False) -> Ints:
    """An outside number for each call, as an index into ``Outside.e164``."""
    destination = rng.choice(len(DESTINATIONS), size=n, p=Outside.in_share if inbound else Outside.out_share)
    which: Ints = Outside.first[destination] + rng.integers(0, 1 << 30, n) % Outside.counts[destination]
    return which


class PbxTraffic:
    """All the legs of the PBX, day by day, and the changes made to them. Not safe for threads: the server locks."""

    def __init__(self, seed: int, first: date, last: date, scale: float) -> None:
        self.seed, self.first, self.last, self.scale = seed, first, last, scale
        self.version = 0
        self._committed = False
        self._made: dict[tuple[str, date], Legs] = {}
        self._days: dict[tuple[str, date], Legs] = {}

    def made(self, server: str, day: date) -> Legs:
        """The legs of the calls that began on a business day, whenever those legs started."""
        tenant = next((t for t in TENANTS if t.server == server), None)
        if tenant is None or not self.first <= day <= self.last:
            return _none()
        if (server, day) not in self._made:
            made = make_day(self.seed, tenant, day, self.scale)
            made.unrated *= not self._committed
            self._made[server, day] = made
        return self._made[server, day]

    def day(self, server: str, day: date) -> Legs:
        """The legs that started on a business day, in order of start."""
        if (server, day) not in self._days:
            begin, end = day_bounds(day)
            made, before = self.made(server, day), self.made(server, day - timedelta(days=1))
            ours, spilt = made.start < end, before.start >= begin
            if ours.all() and not spilt.any():
                self._days[server, day] = made
            else:
                self._days[server, day] = joined([made.take(ours), before.take(spilt)])
        return self._days[server, day]

    def add_late_rows(self, day: date, count: int, server: str = "2") -> None:
        """Let ``count`` answered outbound calls of a day turn up that were not there before."""
        made = self.made(server, day)
        tenant = next(t for t in TENANTS if t.server == server)
        rng = np.random.default_rng([self.seed, 99, day.toordinal(), self.version])
        late = _make(rng, tenant, _starts(rng, day, count), np.full(count, int(Shape.OUT)))
        late.uid_seq += 5_000_000 + 1000 * self.version
        self._replace(server, day, joined([made, late]))

    def withdraw_row(self, day: date, server: str = "2") -> None:
        """Let the first answered outbound leg of a day be there no longer."""
        made = self.made(server, day)
        alone = np.bincount(made.call)[made.call] == 1
        gone = np.flatnonzero(alone & (made.way == Way.OUTBOUND) & (STATUS_OUTCOME[made.status] == ANSWERED))[0]
        self._replace(server, day, made.take(np.arange(len(made)) != gone))

    def commit_file(self) -> None:
        """Rate every unrated leg."""
        self._committed = True
        for legs in (*self._made.values(), *self._days.values()):
            legs.unrated[:] = 0
        self.version += 1

    def _replace(self, server: str, day: date, legs: Legs) -> None:
        self._made[server, day] = legs
        for touched in (day, day + timedelta(days=1)):
            self._days.pop((server, touched), None)
        self.version += 1


def _none() -> Legs:
    empty: Any = np.zeros(0, dtype=np.int64)
    return Legs(*[empty for _ in fields(Legs)])
