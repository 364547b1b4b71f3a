"""Retention: months that are older than is kept go whole, and nothing that stays says otherwise afterwards.

What lives here: a loaded world whose first month is dropped, interrupted ones too. What does not: which values of
``retention_days`` are refused (``test_settings``).
"""

import errno
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.loading import World, world

import pipelines.load_window
from pipelines.definitions import SAMPLE
from pipelines.load_window import LONGEST_GAP, default_window, keep_from
from pipelines.settings import SHORTEST_RETENTION, load_settings
from tollbook_errors import ConfigError

pytestmark = pytest.mark.slow  # whole loads

FIRST, KEPT, LAST = date(2026, 9, 29), date(2026, 10, 1), date(2026, 10, 2)
LATER = date(2027, 1, 15)
COSTS = ("core.cdr", "core.call", "mart.cost_daily", "mart.cost_monthly", "mart.chargeback")
FACTS = ("core.cdr", "core.sms", "core.extension_total")
BY_DAY = {
    **dict.fromkeys(("core.cdr", "mart.usage_daily", "mart.extension_reconciliation", "core.call"), "call_date"),
    "core.sms": "sms_date",
    "core.extension_total": "total_date",
    "mart.cost_daily": "cost_date",
    **dict.fromkeys(("mart.cost_monthly", "mart.chargeback", "mart.journal", "mart.month_movement"), "month"),
    "audit.coverage": "coverage_date",
    "audit.restatement_since_close": "month",
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two days of September, which is closed and then restated, and two of October."""
    with world(tmp_path_factory.mktemp("retention"), FIRST, LAST, scale=0.02) as place:
        assert place.load(FIRST, LAST).failures == []
        assert place.command("close", "--month", "2026-09", "--anyway").exit_code == 0
        place.vendors.add_late_rows(FIRST, 2)
        assert place.load(FIRST, LAST, "hq").failures == []
        yield place


def kept_days(place: World) -> dict[str, list[Any]]:
    """What the tables say of the days that are kept, without calls: one that began in September is cut there."""
    tables = {name: column for name, column in BY_DAY.items() if name in FACTS}
    return {name: place.query(f"FROM {name} WHERE {day} >= '{KEPT}' ORDER BY ALL") for name, day in tables.items()}


def days_of_files(place: World) -> set[date]:
    """The last day of every file that is of days, in raw, core and state."""
    found = set()
    for root in ("raw", "core", "state/core", "state/pending"):
        for path in (place.data_dir / root).rglob("*"):
            if path.is_file():
                name = path.parent.name if root == "raw" else path.name.rpartition("@")[2].partition(".")[0]
                if re.fullmatch("[-_0-9]+", name):
                    found.add(date.fromisoformat(name.rpartition("_")[2]))
    return found


def test_a_month_goes_whole_and_the_rest_stays_as_it_is(loaded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    as_closed = loaded.query("FROM mart.cost_monthly_as_closed ORDER BY ALL")
    before = kept_days(loaded)
    costs = {name: loaded.query(f"SELECT count(*), sum(cost) FROM {name}") for name in COSTS}
    assert as_closed
    assert all(before.values())
    assert loaded.query(f"SELECT count(*) FROM audit.restatement_since_close WHERE month < '{KEPT}'")[0][0]

    text = loaded.config.read_text()
    loaded.config.write_text(text.replace("[tollbook]\n", f"[tollbook]\nretention_days = {SHORTEST_RETENTION}\n"))
    monkeypatch.setattr(pipelines.load_window, "today", lambda settings, now=None: LATER)

    # It fails when it has published without the month, and the first folder of it is gone.
    def dying(path: Path, *rest: Any, **more: Any) -> None:
        rmtree(path, *rest, **more)
        if "raw" in Path(path).parts:
            raise OSError(errno.EIO, "the disk is gone")

    rmtree = shutil.rmtree
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", dying)
        assert "the disk is gone" in str(loaded.load(LAST, LAST).failures)
    assert min(days_of_files(loaded)) < KEPT
    ran = loaded.load(LAST, LAST, "tim")
    assert (ran.failures, ran.dropped) == ([], 0)  # the database was published without them the first time
    assert min(days_of_files(loaded)) == KEPT

    assert kept_days(loaded) == before
    assert loaded.query("FROM mart.cost_monthly_as_closed ORDER BY ALL") == as_closed
    for name, day in BY_DAY.items():
        assert loaded.query(f"SELECT count(*) FROM {name} WHERE {day} < '{KEPT}'") == [(0,)], name
    assert loaded.query("SELECT count(*) FROM audit.coverage WHERE state = 'missing'") == [(0,)]
    assert "moved" not in loaded.command("status").output

    # Made again from what is left, it is the same.
    kept = loaded.digests()
    assert loaded.command("rebuild").exit_code == 0
    assert loaded.digests() == kept

    # The month cannot come back by accident, nor be reported as one that cost nothing.
    with pytest.raises(ConfigError, match="business days before 2026-10-01 were dropped"):
        loaded.load(FIRST, LAST)
    for command in ("report", "focus", "close"):
        assert loaded.command(command, "--month", "2026-09").exit_code == 2, command

    # It can on purpose.
    loaded.config.write_text(text)
    (loaded.data_dir / "state" / "kept_from.json").unlink()
    assert loaded.load(FIRST, LAST).failures == []
    assert {name: loaded.query(f"SELECT count(*), sum(cost) FROM {name}") for name in COSTS} == costs
    assert loaded.query("SELECT count(*) > 0 FROM mart.month_movement") == [(True,)]


def test_no_night_asks_for_a_day_that_is_not_kept() -> None:
    settings = load_settings(SAMPLE).model_copy(update={"retention_days": SHORTEST_RETENTION})
    for number in range(60):
        now = datetime(2026, 11, 20, 12, tzinfo=UTC) + timedelta(number)
        kept = keep_from(settings, now)
        assert kept is not None
        assert kept.day == 1
        assert kept <= default_window(settings, now)[1] - timedelta(LONGEST_GAP)
        assert (kept + timedelta(31)).replace(day=1) > now.date() - timedelta(SHORTEST_RETENTION)
