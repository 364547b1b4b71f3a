"""No false alarm: months in which nothing is wrong, of every kind that the bundled vendors can make, are found clean.

The default run looks at a part of one month; the soak run at 200 whole ones. Each has its own seed, traffic, business
zone, months with clock changes among them, currencies, tenants and releases of the vendors.
"""

import os
import random
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.loading import World, world
from test_planted_faults import Found, found_in

from pipelines.demo.company import PBX, SIP, TIM

pytestmark = pytest.mark.slow  # whole loads

MONTHS = int(os.environ.get("TOLLBOOK_CLEAN_MONTHS", "200"))
ZONES = (
    "Europe/London",
    "Europe/Vilnius",
    "America/New_York",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Pacific/Auckland",
    "Australia/Lord_Howe",
    "UTC",
)
VARIATIONS = {
    "pbx_sorted": (False, True),
    "pbx_old_names": (False, True),
    "pbx_next_page": ("boolean", "text", "number"),
    "pbx_billamount": ("number", "text"),
    "sip_loose_links": (("calls",), (), ("calls", "sms")),
    "sip_inclusive": (False, True),
    "sip_stats": (True, True, False),
    "tim_max_days": (31, 1),
    "tim_duration": ("seconds", "clock"),
    "tim_wrapped": (False, True),
    "tim_limit_24_hours": (None, 1_000_000),
    "vps_balance": ("nested", "flat"),
    "vps_currency": ("USD", "EUR", "GBP"),
    "vps_credit_note_sign": (1, -1),
}


def look_at(folder: Path, seed: int, days: int = 31) -> None:
    """Load a month that the seed decides upon, twice, and find nothing wrong with it."""
    rng = random.Random(seed)
    first = date(rng.choice((2024, 2025)), rng.choice((*range(1, 13), 3, 3, 10, 10)), 1)
    last = min((first + timedelta(days=31)).replace(day=1) - timedelta(days=1), first + timedelta(days=days - 1))
    options = {name: rng.choice(values) for name, values in VARIATIONS.items()}
    tenants = rng.choice(([], ["2"], ["7", "9"]))
    currency = rng.choice(("EUR", "GBP", "USD"))
    with world(
        folder,
        first,
        last,
        seed=seed,
        scale=rng.choice((0.02, 0.1, 0.4)),
        options=options,
        timezone=rng.choice(ZONES),
        reporting_currency=currency,
        reference_dir="reference" if currency == "GBP" else "none",  # whose rates are into GBP
        connections={PBX: {"tenants": tenants} if tenants else {}, TIM: {"timezone": "Europe/London"}},
        only=() if not tenants else (PBX, SIP, "vps"),  # TIM4biz counts the calls of all tenants
    ) as place:
        # A business day of another zone reaches into the days around those of the vendors.
        place.read(first - timedelta(days=1), last + timedelta(days=1))
        assert _alarms(place) == [], seed
        _all_is_proven(place)
        digests = place.digests()
        place.read(first - timedelta(days=1), last + timedelta(days=1))
        assert _alarms(place) == [], seed
        assert place.digests() == digests


def _alarms(place: World) -> list[Found]:
    """What is found; but that nobody calls after the vendors' last day is unusual indeed."""
    over = place.vendors.last
    return [
        found for found in found_in(place) if not (found.what.endswith(" unusual") and found.day and found.day > over)
    ]


def _all_is_proven(place: World) -> None:
    """That nothing was found is not because nothing was looked at."""
    controls = Counter(place.query("SELECT connection, status FROM audit.control_total"))
    assert {connection for connection, status in controls if status == "matched"} >= {PBX, SIP, "vps"}
    assert place.query("SELECT count(*) > 10, min(difference), max(difference) FROM audit.tie_out") == [(True, 0, 0)]
    assert place.query("SELECT min(state), max(state), min(rows) >= 0 FROM audit.coverage") == [
        ("loaded", "loaded", True)
    ]
    assert place.query("SELECT count(*) > 0 FROM core.cdr") == [(True,)]


def test_some_clean_days_raise_no_alarm(tmp_path: Path) -> None:
    look_at(tmp_path, seed=1, days=4)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(MONTHS))
def test_a_clean_month_raises_no_alarm(tmp_path: Path, seed: int) -> None:
    look_at(tmp_path, seed)
