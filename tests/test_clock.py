"""A clock that was set back: what came last is known by the number of the load, and a clock that is wrong is said."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.core_rows import at, load, query, warehouse
from support.loading import World, read, world
from support.loading import query as ask
from test_status import HQ, configured, status

from assets.warehouse_asset import update_and_publish
from pipelines.demo.company import PBX
from pipelines.freshness import read_freshness
from pipelines.resources import Runtime
from pipelines.settings import load_settings
from pipelines.status import read_status
from warehouse.close import obstacles
from warehouse.files import read_json, write_json
from warehouse.lake import Lake
from warehouse.published import open_public

pytestmark = pytest.mark.slow  # whole loads

DAY = date(2026, 9, 30)
AHEAD = timedelta(days=400)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A PBX that was loaded while the clock stood 400 days ahead; then it was set right."""
    with world(tmp_path_factory.mktemp("clock"), DAY, DAY, scale=0.1, only=(PBX,)) as place:
        runtime = Runtime(place.settings, now=lambda: datetime.now(UTC) + AHEAD)
        runtime.hold()
        assert read(runtime, DAY, DAY) == []
        update_and_publish(runtime.lake, runtime.database)
        yield place


def test_a_failure_after_the_clock_was_set_back_is_seen(place: World) -> None:
    """A05: the failed load's name, made of a clock, sorts before that of the good one."""
    said = place.command("status")
    assert said.exit_code == 1
    assert "the clock of this machine stands at" in said.output
    assert "before the last load, which began at" in said.output
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PBXWARE_API_KEY", "revoked")
        failed = place.command("load", "--from", str(DAY), "--to", str(DAY))
    assert failed.exit_code == 1
    assert "note: the clock of this machine stands at" in failed.output
    (found,) = read_status(place.settings).connections
    assert found.last_status == "failed"
    assert found.last_load is not None
    assert found.last_load < datetime.now(UTC)
    said = place.command("status")
    assert said.exit_code == 1
    assert f"{PBX}: the last load failed: " in said.output
    assert "the clock" not in said.output, "the last load began before now"
    names = dict(ask(place.public, "SELECT load_id, max(sequence) FROM audit.load GROUP BY ALL"))
    assert sorted(names.values()) == [1, 2]
    assert max(names) == min(names, key=lambda name: names[name]), "by their names the good load would be the last"


@given(clocks=st.lists(st.integers(-500, 500), min_size=2, max_size=5), failed=st.integers(0, 4))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_last_load_is_the_last_whatever_the_clocks_said(
    tmp_path_factory: pytest.TempPathFactory, clocks: list[int], failed: int
) -> None:
    folder = tmp_path_factory.mktemp("clocks")
    rows = []
    for number, offset in enumerate(clocks, 1):
        moment = at("2026-11-17 02:15:00") + timedelta(days=offset)
        state = "failed" if number == len(clocks) and failed % 2 else "loaded"
        place = {"sequence": number, "started_at": moment, "finished_at": moment, "status": state}
        rows += [
            load(f"{moment:%Y%m%dT%H%M%SZ}-{number}", date(2026, 11, 16), **place),
            load(f"{moment:%Y%m%dT%H%M%SZ}-{number}", None, stream="lists", **place),
        ]
    database = warehouse(folder / "data", timezone="Europe/London")
    database.update([], rows)
    database.publish()
    config = load_settings(configured(folder, HQ))
    (found,) = read_status(config).connections
    last = rows[-1]
    assert (found.last_status, found.last_load) == (last["status"], last["finished_at"])
    assert query(database, "SELECT load_id FROM audit.coverage") == [(last["load_id"],)]
    with open_public(database.public) as con:
        wrong = obstacles(con, date(2026, 11, 1), timezone="UTC", connections=["hq"])
    assert ("hq lists: the latest reading failed" in wrong) is (last["status"] == "failed")
    (fresh,) = read_freshness(config)
    assert fresh.failed is (last["status"] == "failed")


def test_news_of_a_clock_that_stood_ahead_is_not_fresh_for_ever(tmp_path: Path) -> None:
    """A load whose clock stood a year ahead came before one of 17 November, so its news is no younger than that."""
    config = load_settings(configured(tmp_path, HQ))
    ahead, then = at("2027-11-17 02:15:00"), at("2026-11-17 02:15:00")
    database = warehouse(tmp_path / "data", timezone="Europe/London")
    database.update(
        [],
        [
            load("20271117T021500Z", None, stream="lists", sequence=1, started_at=ahead, finished_at=ahead),
            load("20261117T021500Z", None, stream="lists", sequence=2, started_at=then, status="failed"),
        ],
    )
    database.publish()
    (found,) = read_freshness(config, at("2026-11-20 10:00:00"))
    assert (found.stale, found.failed) == (True, True)
    assert status(tmp_path).exit_code == 1


def test_days_are_merged_in_the_order_in_which_they_were_read(tmp_path: Path) -> None:
    """A day and a stretch that holds it are two folders; with the clock set back between, the later one comes later."""
    moment = [datetime(2026, 10, 5, 3, tzinfo=UTC)]
    lake = Lake(tmp_path, now=lambda: moment[0])
    for first, last in ((DAY, DAY), (DAY - timedelta(days=2), DAY), (DAY, DAY)):
        with lake.writing(), lake.raw.landing("sip", "sipcentric", "sms", first, last) as writer:
            writer.add(kind="sms", account_id=None, request={}, body=str(moment[0]), fetched_at=moment[0], rows=0)
            writer.commit(requests=1)
        moment[0] -= timedelta(hours=1)
    landings = lake.raw.landings("sip", "sms", DAY)
    assert [landing.window_from for landing in landings] == [
        DAY,
        DAY - timedelta(days=2),
        DAY,
    ]


def test_loads_of_before_there_were_numbers_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    row = {"connection": "hq", "stream": "cdr", "window_from": DAY, "window_to": DAY}
    lake.loads.record({**row, "load_id": "20260911T000000Z"})
    path = next((tmp_path / "state" / "loads").rglob("*.json"))
    old = {key: value for key, value in read_json(path).items() if key != "sequence"}
    write_json(path, old)
    lake.loads.record({**row, "load_id": "20260912T000000Z"})
    lake.loads.record({**row, "load_id": "20260912T000000Z", "stream": "lists"})
    lake.loads.record({**row, "load_id": "20260801T000000Z"})
    found = {each["load_id"]: each["sequence"] for each in lake.loads.all()}
    assert found == {"20260801T000000Z": 2, "20260911T000000Z": None, "20260912T000000Z": 1}
