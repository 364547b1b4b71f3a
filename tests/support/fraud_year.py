"""A year of two accounts' outbound calls, and attacks on them: what the signals of fraud are measured with.

What lives here: usual traffic with its oddities (late workers, a rare country, a busy end of the month), the attacks
planted in it, and how many of them ``mart.fraud_signal`` shows. What does not: what must come out (the tests).
"""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

from support.core_rows import Row, leg

FIRST = date(2026, 1, 5)  # a Monday
ACCOUNTS = ("2", "7")
EXTENSIONS = tuple(str(100 + n) for n in range(12))
LATE_DESK = "105"
CALM_DAYS = 35  # no attack before: the account's habits are being learned


class Place(NamedTuple):
    """Somewhere to call: the number's stem, country and type, pence a minute, and its weight in usual traffic."""

    stem: str
    country: str | None
    type: str
    pence: int
    weight: float


USUAL = (
    Place("+442079460", "GB", "fixed", 1, 50),
    Place("+447700900", "GB", "mobile", 3, 34),
    Place("+449098790", "GB", "premium", 120, 0.4),
    Place("+493023125", "DE", "fixed", 2, 6),
    Place("+331990012", "FR", "fixed", 2, 4),
    Place("+12025550", "US", "fixed_or_mobile", 2, 4),
    Place("+349155500", "ES", "fixed", 2, 1.2),
    Place("+468465004", "SE", "fixed", 2, 0.3),
    Place("+813555500", "JP", "fixed", 6, 0.1),
    Place("+37052555", "LT", "fixed", 6, 0.03),
    Place("+97155500", "AE", "mobile", 25, 0.02),
    Place("+18095550", "DO", "fixed_or_mobile", 30, 0.01),
)
PREMIUM = USUAL[2]
CARIBBEAN = (Place("+18765550", "JM", "mobile", 40, 0), Place("+14735550", "GD", "mobile", 60, 0))
DEAR = (
    Place("+88216555", None, "unknown", 600, 0),
    Place("+37155500", "LV", "mobile", 60, 0),
    Place("+25255500", "SO", "mobile", 90, 0),
    Place("+96055500", "MV", "fixed", 110, 0),
    Place("+38755500", "BA", "mobile", 50, 0),
)


@dataclass(frozen=True)
class Attack:
    """What was planted: ``kind`` on one day of one account."""

    kind: str
    day: date
    account: str


class Measured(NamedTuple):
    """``caught`` of ``planted`` attacks by kind; ``right`` of ``flagged`` days of an account by rule."""

    planted: Counter[str]
    caught: Counter[str]
    flagged: Counter[str]
    right: Counter[str]


class Year:
    """``legs`` of ``days`` days from FIRST, and the ``attacks`` among them, always the same for a seed."""

    def __init__(self, days: int, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.days = days
        self.attacks: list[Attack] = []
        self.legs: list[Row] = []
        for n in range(days):
            day = FIRST + timedelta(n)
            for account in ACCOUNTS:
                self._usual(account, day)
                if n >= CALM_DAYS and self.rng.random() < 0.08:
                    self._attack(account, day)

    def _usual(self, account: str, day: date) -> None:
        rng = self.rng
        count = rng.randint(4, 9) if day.weekday() > 4 else rng.randint(65, 95)
        if (day + timedelta(3)).month != day.month and day.weekday() < 5:
            count = count * 8 // 5
        for _ in range(count):
            hour = rng.choices(range(24), [0.01] * 6 + [0.1, 2, 8, 12, 12, 10, 7, 9, 12, 11, 8, 4, 1, 0.3] + [0.1] * 4)[
                0
            ]
            place = rng.choices(USUAL, [place.weight for place in USUAL])[0]
            self._call(account, day, hour, rng.choice(EXTENSIONS), place, min(int(rng.lognormvariate(4.6, 1.1)), 7000))
        if account == "2" and day.weekday() < 5 and rng.random() < 0.1:
            for _ in range(rng.randint(2, 6)):
                self._call(account, day, rng.randint(19, 21), LATE_DESK, rng.choice(USUAL[3:6]), rng.randint(60, 900))

    def _attack(self, account: str, day: date) -> None:
        rng = self.rng
        kind = rng.choice(("night burst", "night drip", "call-back bait", "premium", "daytime"))
        who = rng.choice(EXTENSIONS)
        if kind == "night burst":
            place, hour = rng.choice(DEAR), rng.randint(0, 4)
            for _ in range(rng.randint(15, 60)):
                self._call(account, day, hour, who, place, rng.choice([0, 0, rng.randint(120, 900)]))
        elif kind == "night drip":  # under the limit, to countries that are called anyway
            for _ in range(rng.randint(2, 4)):
                self._call(account, day, rng.randint(1, 5), who, rng.choice(USUAL[3:6]), rng.randint(600, 3000))
        elif kind == "call-back bait":
            place = rng.choice(CARIBBEAN)
            for _ in range(rng.randint(1, 3)):
                self._call(account, day, rng.randint(9, 17), rng.choice(EXTENSIONS), place, rng.randint(60, 600))
        elif kind == "premium":
            for _ in range(rng.randint(2, 15)):
                self._call(account, day, rng.randint(8, 18), who, PREMIUM, rng.randint(120, 1200))
        else:
            place = rng.choice(DEAR)
            for _ in range(rng.randint(4, 20)):
                self._call(account, day, rng.randint(9, 17), who, place, rng.randint(600, 3000))
        self.attacks.append(Attack(kind, day, account))

    def _call(self, account: str, day: date, hour: int, extension: str, place: Place, seconds: int) -> None:
        start = datetime.combine(day, time(hour, self.rng.randrange(60), self.rng.randrange(60)), UTC)
        self.legs.append(
            leg(
                f"{len(self.legs):07}",
                f"{start:%Y-%m-%d %H:%M:%S}",
                seconds,
                account_id=account,
                extension=extension,
                remote_e164=f"{place.stem}{self.rng.randrange(10)}",
                remote_country=place.country,
                remote_type=place.type,
                cost=Decimal(-(-seconds * place.pence // 60)) / 100,
            )
        )

    def measure(self, signals: Iterable[tuple[date, str, str]]) -> Measured:
        """Hold the signals, as (day, account, rule), against the attacks: a day of an account is right or not."""
        attacked = {(attack.day, attack.account) for attack in self.attacks}
        found = set(signals)
        flagged = {(day, account, rule) for day, account, rule in found} | {(d, a, "any") for d, a, _ in found}
        days_found = {(day, account) for day, account, _ in found}
        return Measured(
            planted=Counter(attack.kind for attack in self.attacks),
            caught=Counter(attack.kind for attack in self.attacks if (attack.day, attack.account) in days_found),
            flagged=Counter(rule for *_, rule in flagged),
            right=Counter(rule for day, account, rule in flagged if (day, account) in attacked),
        )
