"""What Dagster is told: the assets, the jobs, the schedule and the sensors, and that they do what they say."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetKey,
    AssetsDefinition,
    BackfillPolicy,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultScheduleStatus,
    Definitions,
    ExecuteInProcessResult,
    FreshnessPolicy,
    RunRequest,
    SkipReason,
    build_schedule_context,
    build_sensor_context,
)
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._utils.schedules import schedule_execution_time_iterator
from support.listening import ended_run, listening
from support.loading import LONDON, World, days, forms_of_people, forms_of_secrets, traces, unwatched, world

from assets import materialize, pbxware, sipcentric, tim4biz, time4vps
from pipelines.alerts import send_alert
from pipelines.definitions import SAMPLE, build, defs
from pipelines.demo.company import PBX, SIP, TIM, VPS
from pipelines.demo.faults import Fault
from pipelines.load_window import LONGEST_GAP
from pipelines.resources import Runtime
from pipelines.run_locks import hold_run_lock
from pipelines.schedules import RANGE_END_TAG, RANGE_START_TAG, range_tags
from pipelines.sensors import BY_COMMAND_LINE, LOAD_ENDED
from pipelines.settings import Settings, load_settings
from tollbook_errors import ConfigError
from warehouse.lake import Lake

pytestmark = pytest.mark.slow  # Dagster's own processes

ROOT = Path(__file__).parents[1]
FIRST, LAST = date(2026, 10, 24), date(2026, 10, 26)


GROUPS = {"pbxware", "sipcentric", "tim4biz", "time4vps", "warehouse"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Vendors of three days and a configuration for them, in which nothing has been loaded."""
    with world(tmp_path_factory.mktemp("definitions"), FIRST, LAST) as made:
        yield made


@pytest.fixture(params=["sample", "demo"])
def settings(request: pytest.FixtureRequest, place: World) -> Settings:
    """The sample that stands in where there is no configuration, and the demo's."""
    return load_settings(SAMPLE) if request.param == "sample" else place.settings


def watched(settings: Settings) -> Definitions:
    """The definitions as a command makes them."""
    return build(settings, Runtime(settings, unwatched))


# --- what there is ----------------------------------------------------------------------------------------------------


def test_the_definitions_can_be_loaded(settings: Settings) -> None:
    definitions = build(settings)
    Definitions.validate_loadable(definitions)
    assert {job.name for job in definitions.resolve_all_job_defs()} >= {"load", "publish"}


def test_every_asset_says_what_it_is(settings: Settings) -> None:
    specs = build(settings).resolve_all_asset_specs()
    assert {spec.group_name for spec in specs} == GROUPS
    for spec in specs:
        name = spec.key.to_user_string()
        assert spec.kinds, name
        assert spec.description, name
        assert len(spec.description) > 20, name
        if spec.tags.get("tollbook/layer") in ("core", "mart", "audit"):
            schema = spec.metadata["dagster/column_schema"]
            assert schema.columns, name
            assert all(column.type and column.description for column in schema.columns), name
    layers = [spec.tags.get("tollbook/layer") for spec in specs]
    assert layers.count("raw") == 7  # one a stream
    assert layers.count("mart") > 5


def test_a_range_is_one_run(settings: Settings) -> None:
    steps = [asset for asset in build(settings).assets or () if isinstance(asset, AssetsDefinition)]
    assert len(steps) == 8
    for step in steps:
        if step.partitions_def is not None:
            assert step.backfill_policy == BackfillPolicy.single_run(), step.op.name
    assert sum(step.partitions_def is not None for step in steps) == 4


def test_what_nobody_makes_for_too_long_is_not_fresh(place: World, tmp_path: Path) -> None:
    """Raw as the connection says; what is published as the most impatient of them."""
    settings = fresh(place, tmp_path, connections={PBX: {"stale_after": 12}, VPS: {"stale_after": "7d"}})
    specs = {spec.key.to_user_string(): spec.freshness_policy for spec in build(settings).resolve_all_asset_specs()}
    hours = {PBX: 12, SIP: 36, TIM: 36, VPS: 168}
    raw = {name: policy for name, policy in specs.items() if "/raw_" in name}
    assert len(raw) == 7
    for name, policy in raw.items():
        assert policy == FreshnessPolicy.time_window(fail_window=timedelta(hours=hours[name.split("/")[0]])), name
    assert specs["published/tollbook_duckdb"] == FreshnessPolicy.time_window(fail_window=timedelta(hours=12))


def test_marts_hang_on_the_core_they_are_made_of(settings: Settings) -> None:
    graph = build(settings).resolve_asset_graph()
    calls = graph.get(AssetKey(["core", "call"]))
    assert calls.parent_keys == {AssetKey([PBX, "cdr"]), AssetKey([SIP, "cdr"])}
    published = graph.get(AssetKey(["published", "tollbook_duckdb"]))
    marts = {key for key in graph.get_all_asset_keys() if key.path[0] == "mart"}
    assert published.parent_keys >= marts


def tool(folder: Path, command: str, config: Path | str | None = None) -> subprocess.CompletedProcess[str]:
    """One of Dagster's own commands, as a process in a folder; ``config`` is what TOLLBOOK_CONFIG names."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TOLLBOOK", "DAGSTER"))}
    home = folder.parent / f"{folder.name}-home"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    name, *rest = command.split()
    return subprocess.run(
        [str(Path(sys.executable).parent / name), *rest],
        cwd=folder,
        env={
            **environment,
            "PYTHONPATH": str(ROOT),
            "DAGSTER_HOME": str(home),
            **({"TOLLBOOK_CONFIG": str(config)} if config else {}),
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


VALIDATE = "dagster definitions validate -m pipelines.definitions"
CHECK = f"dg check defs --target-path {ROOT}"


def test_dagster_finds_the_definitions_and_has_nothing_to_say(tmp_path: Path) -> None:
    """Without any configuration it is the sample's graph."""
    (folder := tmp_path / "empty").mkdir()
    told = tool(folder, VALIDATE)
    assert told.returncode == 0, told.stderr
    said = told.stdout + told.stderr
    assert "Validation successful" in said
    # Dagster discourages this very command, in favour of dg's.
    warnings = [line for line in said.splitlines() if "warning" in line.lower()]
    assert [line for line in warnings if "definitions_validate_command" not in line] == []
    assert list(folder.iterdir()) == []


def test_dg_checks_the_definitions(place: World, tmp_path: Path) -> None:
    (folder := tmp_path / "empty").mkdir()
    told = tool(folder, CHECK, place.config)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "All definitions loaded successfully." in told.stdout + told.stderr


@pytest.mark.parametrize("command", [VALIDATE, CHECK], ids=["dagster", "dg"])
def test_a_named_configuration_that_is_not_there_is_an_error_of_the_code_location(tmp_path: Path, command: str) -> None:
    """It ran the bundled sample, against the vendors' public addresses."""
    (folder := tmp_path / "empty").mkdir()
    told = tool(folder, command, folder / "tolbook.toml")
    assert told.returncode == 1
    said = told.stdout + told.stderr
    assert f"ConfigError: {folder / 'tolbook.toml'}: there is no such configuration file" in said
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("named", ["nowhere.toml", "broken"], ids=["named and missing", "a link to nowhere"])
def test_what_stands_for_a_configuration_is_never_replaced_by_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if named == "broken":
        (tmp_path / "tollbook.toml").symlink_to(tmp_path / "gone.toml")
    else:
        monkeypatch.setenv("TOLLBOOK_CONFIG", named)
    with pytest.raises(ConfigError, match="no such configuration file"):
        defs()


def test_the_sample_shows_the_graph_and_nothing_of_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOLLBOOK_CONFIG", raising=False)
    for name in load_settings(SAMPLE).connections:  # as if there were credentials, with which it could be run
        for key, source in name.credentials:
            monkeypatch.setenv(source.variable or key, "no-key-at-all")
    monkeypatch.setattr("socket.socket.connect", lambda *to: pytest.fail(f"it went for {to}"))
    sample = defs()
    assert {asset.group_name for asset in sample.resolve_all_asset_specs()} == {
        "pbxware",
        "sipcentric",
        "tim4biz",
        "time4vps",
        "warehouse",
    }
    assert sample.resolve_schedule_def("nightly").default_status == DefaultScheduleStatus.STOPPED
    assert list(sample.sensors or ()) == []
    (tmp_path / "home").mkdir()
    with DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        for job in ("load", "publish"):
            ran = sample.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)
            assert not ran.success
            errors = [error for event in ran.all_events if (error := getattr(event.event_specific_data, "error", None))]
            assert errors
            for error in errors:
                assert "the bundled sample is there to look at" in error.to_string()
                assert "TOLLBOOK_CONFIG" in error.to_string()
    assert not (tmp_path / "home" / "run_locks").exists()
    assert not load_settings(SAMPLE).data_dir.exists()


def test_what_is_imported_of_the_definitions_needs_no_configuration(tmp_path: Path) -> None:
    """`tollbook --config` names one; what TOLLBOOK_CONFIG names beside it is not looked at."""
    told = subprocess.run(
        [sys.executable, "-c", "import pipelines.definitions"],
        cwd=ROOT,
        env={**os.environ, "TOLLBOOK_CONFIG": str(tmp_path / "none.toml")},
        check=False,
    )
    assert told.returncode == 0


# --- a run that was not told its days --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lately(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Vendors of the last days by the machine's own clock, which a process of its own goes by."""
    last = datetime.now(LONDON).date() - timedelta(days=1)
    with world(
        tmp_path_factory.mktemp("lately"), last - timedelta(days=4), last, scale=0.05, first_date=date(2026, 1, 1)
    ) as made:
        yield made


def test_a_load_without_days_takes_yesterday_and_the_look_back(lately: World) -> None:
    """As `dagster job launch` and `dagster job execute` start it."""
    last = datetime.now(LONDON).date() - timedelta(days=1)
    (folder := lately.folder / "elsewhere").mkdir()
    told = tool(folder, "dagster job execute -m pipelines.definitions -j load", lately.config)
    assert told.returncode == 0, told.stderr[-3000:]
    wanted = {str(day) for day in days(last - timedelta(days=3), last)}
    with DagsterInstance.from_config(str(folder.parent / "elsewhere-home")) as instance:
        for key in ((PBX, "raw_cdr"), (PBX, "cdr"), (SIP, "cdr"), (SIP, "sms"), (TIM, "extension_total")):
            assert made(instance, *key) == wanted, key


def test_every_step_of_a_load_without_days_has_the_same_days(place: World, tmp_path: Path) -> None:
    """Nothing was loaded for a while, so it reaches further back than the look-back, also once the first step has
    loaded the missed days.
    """
    settings = fresh(place, tmp_path, first_date=FIRST, lookback_days=0)
    landed(settings, SIP, "cdr", FIRST - timedelta(days=1))
    definitions = build(settings, Runtime(settings, unwatched, lambda: datetime(2026, 10, 27, 3, tzinfo=UTC)))
    with DagsterInstance.ephemeral() as instance:
        ran = definitions.resolve_job_def("load").execute_in_process(
            instance=instance, asset_selection=keys_of(definitions, SIP)
        )
        assert ran.success
        for name in ("raw_cdr", "cdr", "raw_sms", "sms"):
            assert made(instance, SIP, name) == {str(day) for day in days(FIRST, LAST)}, name


@pytest.mark.parametrize(
    "command",
    [
        "dagster asset materialize -m pipelines.definitions --select hq/raw_cdr,hq/cdr",
        f"dg launch --target-path {ROOT} --assets key:sip/cdr",
    ],
    ids=["dagster", "dg"],
)
def test_assets_of_days_are_refused_without_a_day_in_one_sentence(place: World, tmp_path: Path, command: str) -> None:
    (folder := tmp_path / "empty").mkdir()
    told = tool(folder, command, place.config)
    assert told.returncode == 2
    said = told.stdout + told.stderr
    assert "Error: these assets are loaded by business day: add --partition YYYY-MM-DD" in said
    assert "Traceback" not in said
    assert list(folder.iterdir()) == []


# --- when it runs -----------------------------------------------------------------------------------------------------


def tick(settings: Settings, at: datetime) -> RunRequest:
    """The one run that the nightly schedule asks for at an instant."""
    definitions = build(settings)
    schedule = definitions.resolve_schedule_def("nightly")
    with DagsterInstance.ephemeral() as instance:
        context = build_schedule_context(
            instance=instance, scheduled_execution_time=at, repository_def=definitions.get_repository_def()
        )
        ticked = schedule.evaluate_tick(context)
    [request] = ticked.run_requests or []
    return request


def asked(request: RunRequest) -> tuple[date, date]:
    return tuple(date.fromisoformat(request.tags[tag]) for tag in (RANGE_START_TAG, RANGE_END_TAG))  # type: ignore[return-value]


def landed(settings: Settings, connection: str, stream: str, last: date) -> None:
    """As if a connection had been loaded up to a day: an empty landing of that day."""
    connection_ = settings.connection(connection)
    lake = Runtime(settings).lake
    with lake.raw.landing(connection, connection_.vendor, stream, last, last, {}) as writer:
        writer.add(
            kind="nothing", account_id=None, request={}, body="[]", fetched_at=datetime(2026, 10, 1, tzinfo=UTC), rows=0
        )
        writer.commit(requests=1)


def fresh(place: World, folder: Path, **overrides: Any) -> Settings:
    """Settings of the vendors with a data directory in which nothing is."""
    return load_settings(place.vendors.write_config(folder / "tollbook.toml", **overrides))


@pytest.mark.parametrize(
    ("zone", "cron", "change"),
    [
        ("Europe/London", "15 2 * * *", date(2027, 3, 28)),
        ("Europe/London", "15 1 * * *", date(2027, 3, 28)),  # a time that there is not that night
        ("Europe/London", "15 1 * * *", date(2026, 10, 25)),  # one that comes twice
        ("America/New_York", "30 2 * * *", date(2027, 3, 14)),
        ("America/New_York", "30 1 * * *", date(2026, 11, 1)),
        ("Australia/Lord_Howe", "15 2 * * *", date(2026, 10, 4)),  # half an hour, which is not there
        ("Australia/Lord_Howe", "45 1 * * *", date(2027, 4, 4)),  # and comes twice
        ("Africa/Cairo", "15 0 * * *", date(2026, 4, 24)),  # midnight is not there
    ],
)
def test_each_night_of_a_clock_change_has_one_load(
    place: World, tmp_path: Path, zone: str, cron: str, change: date
) -> None:
    """O06: the times are those at which Dagster's daemon would run it; each asks for the day before and three more."""
    settings = fresh(place, tmp_path, first_date=date(2026, 1, 1), timezone=zone, nightly=cron)
    days = [change + timedelta(days=n) for n in range(-2, 3)]
    begin, end = (datetime.combine(day, time(), settings.zone) for day in (days[0], days[-1] + timedelta(days=1)))
    nightly = build(settings).resolve_schedule_def("nightly")
    ticks = schedule_execution_time_iterator(
        begin.timestamp(), nightly.cron_schedule, nightly.execution_timezone or "UTC"
    )
    at = list(takewhile(lambda tick: tick < end, ticks))
    assert [each.astimezone(settings.zone).date() for each in at] == days
    for day, each in zip(days, at, strict=True):
        local = each.astimezone(settings.zone)
        assert day == change or f"{local.minute} {local.hour} * * *" == cron
        assert asked(tick(settings, each)) == (day - timedelta(days=4), day - timedelta(days=1))


@pytest.mark.parametrize(
    ("at", "yesterday"),
    [
        (datetime(2026, 10, 20, 2, 15, tzinfo=LONDON), date(2026, 10, 19)),
        (datetime(2026, 10, 25, 2, 15, tzinfo=LONDON), date(2026, 10, 24)),
        (datetime(2026, 10, 26, 2, 15, tzinfo=LONDON), date(2026, 10, 25)),
        (datetime(2026, 3, 29, 2, 15, tzinfo=LONDON), date(2026, 3, 28)),
        (datetime(2026, 3, 30, 2, 15, tzinfo=LONDON), date(2026, 3, 29)),
        # Midnight in London is the evening before in UTC, in summer.
        (datetime(2026, 7, 1, 23, 30, tzinfo=UTC), date(2026, 7, 1)),
        (datetime(2026, 7, 1, 22, 30, tzinfo=UTC), date(2026, 6, 30)),
    ],
    ids=str,
)
def test_a_night_asks_for_yesterday_and_the_look_back(
    place: World, tmp_path: Path, at: datetime, yesterday: date
) -> None:
    settings = fresh(place, tmp_path, first_date=date(2026, 1, 1))
    request = tick(settings, at)
    assert asked(request) == (yesterday - timedelta(days=3), yesterday)
    assert request.run_key
    for connection, stream in ((PBX, "cdr"), (SIP, "cdr"), (SIP, "sms"), (TIM, "extension_total")):
        landed(settings, connection, stream, yesterday - timedelta(days=1))
    assert asked(tick(settings, at)) == (yesterday - timedelta(days=3), yesterday)


def test_after_an_outage_the_missed_days_are_asked_for(place: World, tmp_path: Path) -> None:
    settings = fresh(place, tmp_path, first_date=date(2026, 1, 1))
    landed(settings, PBX, "cdr", date(2026, 10, 10))
    landed(settings, TIM, "extension_total", date(2026, 10, 12))
    at = datetime(2026, 10, 20, 2, 15, tzinfo=LONDON)
    assert asked(tick(settings, at)) == (date(2026, 10, 11), date(2026, 10, 19))
    later = datetime(2027, 6, 1, 2, 15, tzinfo=LONDON)
    assert asked(tick(settings, later)) == (date(2027, 5, 31) - timedelta(days=LONGEST_GAP), date(2027, 5, 31))


def test_nothing_before_the_first_date_is_asked_for(place: World, tmp_path: Path) -> None:
    settings = fresh(place, tmp_path, first_date=date(2026, 10, 18))
    assert asked(tick(settings, datetime(2026, 10, 20, 2, 15, tzinfo=LONDON))) == (
        date(2026, 10, 18),
        date(2026, 10, 19),
    )


# --- what follows a run ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ended", ["success", "failure"])
@pytest.mark.parametrize("by_hand", [False, True], ids=["by the daemon", "by the command line"])
def test_a_load_is_followed_by_a_publication(place: World, ended: str, by_hand: bool) -> None:
    definitions = watched(place.settings)
    name = f"publish_after_{ended}"
    sensor = definitions.resolve_sensor_def(name)
    assert [job.name for job in sensor.jobs] == ["publish"]
    with DagsterInstance.ephemeral() as instance:
        if ended == "failure":
            place.vendors.faults.add(Fault("status", "time4vps", times=None, params={"status": 401}))
        ran = definitions.resolve_job_def("load").execute_in_process(
            instance=instance,
            asset_selection=keys_of(definitions, VPS),
            tags={**range_tags(LAST, LAST), **({BY_COMMAND_LINE: "true"} if by_hand else {})},
            raise_on_error=False,
        )
        place.vendors.faults.clear()
        followed = sensor(ended_run(instance, ran, name))
    if by_hand:
        assert isinstance(followed, SkipReason)
    else:
        assert isinstance(followed, RunRequest)
        assert followed.run_key == ran.run_id
        assert followed.tags == {LOAD_ENDED: ended.upper()}


def test_what_a_killed_run_held_is_freed_and_the_run_has_failed(place: World, tmp_path: Path) -> None:
    """O01: the lock of a process that is gone is free, as that of a file which nobody has locked."""
    sensor = watched(place.settings).resolve_sensor_def("notice_dead_runs")
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        slots = instance.event_log_storage
        slots.set_concurrency_slots("api_hq", 2)
        dead, living = (
            instance.add_run(DagsterRun(job_name="load", status=DagsterRunStatus.STARTED)).run_id for _ in range(2)
        )
        for run_id in (dead, living):
            assert slots.claim_concurrency_slot("api_hq", run_id, "hq_lists").is_claimed
        with hold_run_lock(instance, living):
            (tmp_path / "run_locks" / dead).write_text("it was killed")
            told = sensor(build_sensor_context(instance=instance))
            assert isinstance(told, SkipReason)
            assert dead[:8] in str(told.skip_message)
            assert slots.get_concurrency_run_ids() == {living}
            assert [run.run_id for run in instance.get_runs() if run.is_failure] == [dead]
            assert [path.name for path in (tmp_path / "run_locks").iterdir()] == [living]


def test_a_load_holds_its_lock_from_before_it_is_recorded_until_it_is_recorded_as_ended(
    place: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O01: a kill between two of Dagster's own steps leaves no run that nobody knows to be dead."""
    place.vendors.write_config(tmp_path / "tollbook.toml")
    mine = World(place.vendors, tmp_path)
    known: dict[str, list[bool]] = {"add_run": [], "handle_run_event": []}

    def spied(name: str) -> Any:
        really = getattr(SqlRunStorage, name)

        def spy(self: Any, first: Any, *rest: Any) -> Any:
            run_id = first if isinstance(first, str) else first.run_id
            known[name].append((tmp_path / "data" / "dagster" / "run_locks" / run_id).exists())
            return really(self, first, *rest)

        return spy

    for name in known:
        monkeypatch.setattr(SqlRunStorage, name, spied(name))
    told = mine.command("load", "--from", str(FIRST), "--to", str(FIRST), "--connection", TIM)
    assert told.exit_code == 0, told.output
    assert all(len(found) >= 2 and all(found) for found in known.values()), known


def test_a_load_of_which_nothing_was_understood_is_incomplete(place: World, tmp_path: Path) -> None:
    """Each record was set aside, so the load went well; who waits for the figures must not take them for zero."""
    place.vendors.write_config(tmp_path / "tollbook.toml", connections={TIM: {"fields": {"calls": "name"}}})
    told = World(place.vendors, tmp_path).command("load", "--from", str(FIRST), "--to", str(FIRST), "--connection", TIM)
    assert told.exit_code == 1, told.output
    assert f"FAILED {TIM} extension_total: none of " in told.output


def test_a_run_that_fails_before_its_first_step_is_told(place: World, tmp_path: Path) -> None:
    """Dagster's home cannot be written: no step could say so."""
    place.vendors.write_config(tmp_path / "tollbook.toml")
    (tmp_path / "data" / "dagster").mkdir(parents=True)
    (tmp_path / "data" / "dagster" / "run_locks").write_text("a file where a folder should be")
    told = World(place.vendors, tmp_path).command("load", "--from", str(FIRST), "--to", str(FIRST))
    assert told.exit_code == 1
    assert "StorageError" in told.output
    assert "Traceback" not in told.output


def alerting(place: World, folder: Path, webhook: int, mail: int) -> Settings:
    """Settings with alerts; the webhook's address holds a token."""
    config = place.vendors.write_config(folder / "tollbook.toml")
    with config.open("a") as file:
        file.write(
            f'\n[alerts]\nwebhook = "http://127.0.0.1:{webhook}/hook/T0ken-of-the-hook"\n'
            'email_to = "finance@example.com"\nemail_from = "tollbook@example.com"\n'
            f'smtp_host = "127.0.0.1"\nsmtp_port = {mail}\n'
        )
    return load_settings(config)


def test_a_failed_run_is_told_and_holds_no_secret(
    place: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with listening() as (heard, webhook, mail), DagsterInstance.ephemeral() as instance:
        definitions = watched(alerting(place, tmp_path, webhook, mail))
        place.vendors.faults.add(Fault("status", "time4vps", times=None, params={"status": 401}))
        try:
            ran = definitions.resolve_job_def("load").execute_in_process(
                instance=instance,
                asset_selection=keys_of(definitions, VPS),
                tags=range_tags(LAST, LAST),
                raise_on_error=False,
            )
        finally:
            place.vendors.faults.clear()
        assert not ran.success
        context = ended_run(instance, ran, "alert_on_failure").for_run_failure()
        definitions.resolve_sensor_def("alert_on_failure")(context)
    [posted], [mailed] = heard.posted, heard.mailed
    for text in (posted["text"], mailed, caplog.text):
        assert f"load run {ran.run_id[:8]} failed" in text
        assert "AuthError" in text
        assert VPS in text
        assert traces(forms_of_secrets(place.vendors.secrets), text) == []
        assert traces(forms_of_people(), text) == []
        assert "T0ken" not in text
    assert "To: finance@example.com" in mailed


def test_one_way_that_is_closed_does_not_keep_the_other_back(
    place: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with listening() as (heard, webhook, mail):
        closed_webhook = alerting(place, tmp_path / "one", 1, mail)
        closed_mail = alerting(place, tmp_path / "other", webhook, 1)
        send_alert(closed_webhook.alerts, "the load failed")
        send_alert(closed_mail.alerts, "the load failed again")
    assert len(heard.mailed) == 1
    assert [post["text"] for post in heard.posted] == ["the load failed again"]
    assert caplog.text.count(" could not be reached: ") == 2
    assert "T0ken" not in caplog.text


# --- a range of days in one run --------------------------------------------------------------------------------------


def keys_of(definitions: Definitions, connection: str) -> list[AssetKey]:
    """The assets of one connection that the load makes."""
    load = definitions.resolve_job_def("load")
    return [key for key in load.asset_layer.executable_asset_keys if key.path[0] == connection]


def made(instance: DagsterInstance, *key: str) -> set[str]:
    return set(instance.get_materialized_partitions(AssetKey(list(key))))


def counted(instance: DagsterInstance, *key: str) -> dict[str, Any]:
    """The rows that the newest materialisation of each partition says."""
    found: dict[str, Any] = {}
    for record in instance.fetch_materializations(AssetKey(list(key)), limit=100).records:
        event = record.asset_materialization
        assert event is not None
        found.setdefault(str(event.partition), event.metadata["dagster/row_count"].value)
    return found


def loaded_range(place: World, folder: Path, instance: DagsterInstance) -> ExecuteInProcessResult:
    """The PBX's three days through Dagster's own machinery, as a backfill asks for them."""
    definitions = watched(fresh(place, folder))
    return definitions.resolve_job_def("load").execute_in_process(
        instance=instance,
        asset_selection=keys_of(definitions, PBX),
        tags=range_tags(FIRST, LAST),
        raise_on_error=False,
    )


def test_a_range_is_loaded_in_one_run_and_each_day_is_materialised(place: World, tmp_path: Path) -> None:
    with DagsterInstance.ephemeral() as instance:
        ran = loaded_range(place, tmp_path, instance)
        assert ran.success
        for name in ("raw_cdr", "cdr"):
            assert made(instance, PBX, name) == {str(day) for day in days(FIRST, LAST)}
        lake = Lake(tmp_path / "data")
        cores = {str(day): lake.core.partition("cdr", PBX, day) for day in days(FIRST, LAST)}
        rows = {day: core.rows["core.cdr"] if core else 0 for day, core in cores.items()}
        assert len(set(rows.values())) > 1, "each day's own figures, not the range's"
        assert counted(instance, PBX, "cdr") == rows
        checks = {check.check_name: check for check in ran.get_asset_check_evaluations()}
    assert {name: check.passed for name, check in checks.items()} == dict.fromkeys(
        ["lists_understood", "cdr_understood", *pbxware.CONTROLS], True
    )
    said = {name: value.value for name, value in checks["rows_by_status"].metadata.items()}
    assert (said["status"], said["matched"], said["variances"]) == ("matched", 9, [])  # three tenants, three days
    assert set(said["ours"]) == {"2", "7", "9"}
    assert said["ours"] == said["theirs"]
    assert set(said["difference"].values()) == {"0.000000"}


def test_every_control_total_is_a_check_of_its_own(settings: Settings) -> None:
    """And says what it compares; what a stream makes and what is declared of it is the same (see test_load)."""
    found: dict[str, set[str]] = {}
    for key in build(settings).resolve_asset_graph().asset_check_keys:
        found.setdefault(key.asset_key.path[0], set()).add(key.name)
    vendors = {
        PBX: [pbxware.CONTROLS],
        SIP: [sipcentric.LIST_CONTROLS, sipcentric.CALL_CONTROLS],
        TIM: [tim4biz.CONTROLS],
        VPS: [time4vps.CONTROLS],
    }
    for connection, declared in vendors.items():
        names = {name for controls in declared for name in controls}
        assert {name for name in found[connection] if not name.endswith("_understood")} == names


def test_a_control_total_says_its_figures_and_never_claims_what_it_has_not() -> None:
    """By account and subject, since two may have two currencies; without a figure it says unavailable."""
    raw = AssetKey([PBX, "raw_cdr"])
    row = {"window_date": FIRST, "subject": "", "check_name": "billamount"}
    figures = dict.fromkeys(("ours", "theirs", "difference"))
    nothing = {**row, **figures, "account_id": "7", "status": "unavailable"}
    for rows in ([], [nothing]):
        check = materialize._control_check("billamount", raw, rows)
        assert (check.passed, check.metadata["status"].value) == (True, "unavailable")
        assert check.description == "The vendor gave no figure to compare with."
        assert [check.metadata[name].value for name in ("ours", "theirs", "matched")] == [{}, {}, 0]
    off = {"ours": Decimal(2), "theirs": Decimal(3), "difference": Decimal(-1)}
    wrong = [{**row, **off, "account_id": str(number % 2), "status": "variance"} for number in range(30)]
    check = materialize._control_check("billamount", raw, [*wrong, nothing])
    said = {name: value.value for name, value in check.metadata.items()}
    assert (check.passed, said["status"], said["variance"], said["unavailable"]) == (False, "variance", 30, 1)
    assert said["difference"] == {"0": "-15", "1": "-15"}
    invoices = [{**row, **off, "account_id": "client", "subject": f"{n:03}", "status": "variance"} for n in range(30)]
    each = materialize._control_check("billamount", raw, invoices).metadata["ours"].value
    assert each == {f"client/{number:03}": "2" for number in range(10, 30)}
    assert len(said["variances"]) == 20
    assert set(said["variances"][0]) == {"window_date", "account_id", "subject", "ours", "theirs", "difference"}


def test_a_day_that_fails_leaves_the_others_materialised(place: World, tmp_path: Path) -> None:
    bad = FIRST + timedelta(days=1)
    asks_for_it = {"end": f"{bad:%b-%d-%Y}"}  # in UTC, in which the day begins the evening before
    place.vendors.faults.add(Fault("html", "pbxware", "cdr.download", times=None, where=asks_for_it))
    try:
        with DagsterInstance.ephemeral() as instance:
            ran = loaded_range(place, tmp_path, instance)
            assert not ran.success
            for name in ("raw_cdr", "cdr"):
                assert made(instance, PBX, name) == {str(FIRST), str(LAST)}
            [failure] = [event for event in ran.all_events if event.is_step_failure]
            said = failure.step_failure_data.user_failure_data
            assert said is not None
            assert "ContractError" in (said.description or "")
            assert str(bad) in (said.description or "")
    finally:
        place.vendors.faults.clear()


def test_what_a_library_logs_of_a_request_is_masked(place: World, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of ours logs a secret; a handler that is there when a client is made lets none of another's pass."""
    settings = load_settings(place.config)
    secret = settings.connection(PBX).secret("api_key").reveal()
    Runtime(settings).client(PBX)
    logging.getLogger("a.library").warning("asking for /?apikey=%s", secret)
    assert secret not in caplog.text
    assert "asking for" in caplog.text
