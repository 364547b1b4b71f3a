"""The commands: what they say, where they say it, and how they end."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from support.loading import LONDON, World, forms_of_people, forms_of_secrets, hashes, hasty_client, traces, world

from pipelines.cli import main
from pipelines.demo import showing
from pipelines.demo.company import PBX, SIP, TIM, VPS
from pipelines.demo.faults import Fault
from pipelines.load import run_load
from pipelines.settings import load_settings
from warehouse.lake import Lake

ROOT = Path(__file__).parents[1]
DAY, LAST = date(2026, 10, 24), date(2026, 10, 25)
NEVER_STALE = dict.fromkeys((PBX, SIP, TIM, VPS), {"stale_after": "3650d"})  # those days are long ago


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of two days, loaded by a real process."""
    with world(tmp_path_factory.mktemp("cli"), DAY, LAST, connections=NEVER_STALE) as made:
        yield made


@pytest.fixture(scope="module")
def loaded(place: World) -> subprocess.CompletedProcess[str]:
    """``python -m pipelines.cli load``."""
    return process(place, "load", "--from", str(DAY), "--to", str(LAST))


def process(place: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``tollbook …`` as a process of its own, in a folder of its own, told of its configuration by the environment."""
    elsewhere = place.folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        cwd=elsewhere,
        env={**os.environ, "TOLLBOOK_CONFIG": str(place.config), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def one_clear_message(told: Result, code: int, *words: str) -> None:
    """The command ended with ``code``, and one line says why."""
    assert told.exit_code == code, told.output
    assert "Traceback" not in told.output
    assert told.exception is None or isinstance(told.exception, SystemExit)
    lines = [line for line in told.stderr.splitlines() if line.startswith(("tollbook: ", "Error: "))]
    assert len(lines) == 1, told.output
    for word in words:
        assert word in lines[0]


# --- what works -------------------------------------------------------------------------------------------------------


def test_load_ends_with_a_line_for_each_connection(place: World, loaded: subprocess.CompletedProcess[str]) -> None:
    assert loaded.returncode == 0, loaded.stderr
    rows = {line.split()[1]: line for line in loaded.stdout.splitlines() if line.startswith("│")}
    assert set(rows) == {PBX, SIP, TIM, VPS}
    assert "EUR" in rows[PBX]
    assert "matched" in rows[PBX]
    assert f"published {place.public}" in loaded.stdout
    assert f"{PBX} cdr: {LAST}" in loaded.stderr  # progress, where there is no terminal
    assert "Traceback" not in loaded.stderr
    assert "Warning" not in loaded.stderr


def test_nothing_is_left_where_the_command_was_run(place: World, loaded: subprocess.CompletedProcess[str]) -> None:
    assert hashes(place.folder / "elsewhere") == {}


def test_status_tells_of_each_connection(place: World, loaded: subprocess.CompletedProcess[str]) -> None:
    told = process(place, "status", "--all")
    assert told.returncode == 0, told.stdout
    assert told.stdout.startswith("Tollbook: all is well with 4 connections; newest day 2026-10-25\n")
    for name in (PBX, SIP, TIM, VPS):
        assert re.search(rf"│ {name} .* loaded .*", told.stdout)
    assert str(LAST) in told.stdout


def test_check_asks_each_connection_and_writes_nothing(place: World, tmp_path: Path) -> None:
    config = place.vendors.write_config(tmp_path / "tollbook.toml")
    before = len(place.vendors.requests)
    told = CliRunner().invoke(main, ["--config", str(config), "check"])
    assert told.exit_code == 0, told.output
    assert [line.split()[::2] for line in told.output.splitlines()] == [[name, "ok"] for name in (PBX, SIP, TIM, VPS)]
    asked = [request.vendor for request in place.vendors.requests[before:]]
    assert sorted(asked) == ["pbxware", "sipcentric", "tim4biz", "time4vps"]
    assert not (tmp_path / "data").exists()


def test_check_names_what_does_not_work(place: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIM4BIZ_PASSWORD", "wrong-by-far")
    told = place.command("check")
    one_clear_message(told, 1, "1 of 4")
    assert any(line.startswith(TIM) and "AuthError" in line for line in told.output.splitlines())
    assert "wrong-by-far" not in told.output


def test_check_does_not_wait_for_who_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load tries ten times and waits for a limit to be over; who checks wants to be told."""
    monkeypatch.setenv("KEY", "no-key-at-all")
    config = tmp_path / "tollbook.toml"
    config.write_text(
        '[[connections]]\nname = "hq"\nvendor = "pbxware"\nurl = "http://127.0.0.1:9/"\napi_key = "env:KEY"\n'
    )
    told = CliRunner().invoke(main, ["--config", str(config), "check"])
    one_clear_message(told, 1, "1 of 1")
    assert "tried 3 times" in told.output


def test_report_writes_the_months_files(place: World, loaded: object, tmp_path: Path) -> None:
    told = place.command("report", "--month", "2026-10", "--out", str(tmp_path / "out"))
    assert told.exit_code == 0, told.output
    written = [Path(line) for line in told.stdout.splitlines()]
    assert {path.suffix for path in written} >= {".xlsx", ".html", ".csv"}
    assert all(path.is_file() and tmp_path / "out" in path.parents for path in written)
    state = {line.split(":")[0] for line in told.stderr.splitlines()}
    assert state >= {"INCOMPLETE", "PROVISIONAL"}, "two days of a month"


def test_focus_writes_the_month_and_says_what_it_is_worth(place: World, loaded: object, tmp_path: Path) -> None:
    told = place.command("focus", "--month", "2026-10", "--out", str(tmp_path / "out"))
    assert told.exit_code == 0, told.output
    parquet, table, total, *remarks = told.stdout.splitlines()
    assert [Path(path).relative_to(tmp_path / "out") for path in (parquet, table)] == [
        Path("focus-2026-10/focus-2026-10.parquet"),
        Path("focus-2026-10/focus-2026-10.csv"),
    ]
    assert Path(parquet).is_file()
    billed = place.query(
        "SELECT string_agg(format('{:,.2f} {}', cost, currency), ', ' ORDER BY currency) FROM (SELECT currency, "
        "sum(cost)::DOUBLE AS cost FROM mart.cost_monthly WHERE month = DATE '2026-10-01' GROUP BY currency)"
    )
    assert total.endswith(f" rows, billed {billed[0][0]}")
    assert {remark.split(":")[0] for remark in remarks} >= {"INCOMPLETE", "PROVISIONAL"}, "two days of the month"


def test_rebuild_says_what_it_made(place: World, loaded: object) -> None:
    told = place.command("rebuild")
    assert told.exit_code == 0, told.output
    assert re.search(r"rebuilt \d+ partitions of 7 streams; published ", told.output)


def test_trace_leads_from_the_mart_to_the_vendors_words(place: World, loaded: object) -> None:
    legs = place.query("SELECT cdr_id, cost::VARCHAR FROM core.cdr WHERE cost > 0 AND direction = 'outbound'")
    record, cost = legs[0]
    told = place.command("trace", record)
    assert told.exit_code == 0, told.output
    for words in ("mart.cost_daily", "mart.usage_daily", "core.call", "core.cdr", record, cost, "cdr.download"):
        assert words in told.output
    assert traces(forms_of_people(), told.output) == []
    one_clear_message(place.command("trace", "no-such-record"), 1, "no record has this id")


def test_load_of_one_connection_asks_no_other(place: World, loaded: object) -> None:
    before = len(place.vendors.requests)
    told = place.command("load", "--from", str(DAY), "--to", str(DAY), "--connection", VPS, "--connection", TIM)
    assert told.exit_code == 0, told.output
    assert {request.vendor for request in place.vendors.requests[before:]} == {"tim4biz", "time4vps"}


@pytest.mark.slow
def test_a_load_of_today_says_that_the_day_is_not_over(tmp_path: Path) -> None:
    today = load_today()
    with world(tmp_path, today - timedelta(days=1), today, scale=0.02) as place:
        told = place.command("load", "--from", str(today - timedelta(days=1)), "--to", str(today))
        assert told.exit_code == 0, told.output
        notes = [line for line in told.stdout.splitlines() if "is not over" in line]
        assert notes == [f"note: {today} is not over, so its data is partial; load it again when it is over"], (
            "and nothing of yesterday"
        )


@pytest.mark.parametrize(
    ("arguments", "span"),
    [
        ((), (-4, -1)),
        (("--from", "2026-10-20"), (None, -1)),
        (("--to", "2026-10-20"), (None, None)),
    ],
    ids=["neither", "from only", "to only"],
)
def test_the_days_that_are_not_named(
    place: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], span: tuple[Any, Any]
) -> None:
    asked: list[tuple[date, date]] = []

    def remember(settings: object, first: date, last: date, *rest: object) -> None:
        asked.append((first, last))
        raise SystemExit(0)

    monkeypatch.setattr("pipelines.load.run_load", remember)
    config = place.vendors.write_config(tmp_path / "tollbook.toml", first_date=date(2026, 1, 1))
    today = load_today()
    assert CliRunner().invoke(main, ["--config", str(config), "load", *arguments]).exit_code == 0
    named = date(2026, 10, 20)
    assert asked == [tuple(named if n is None else today + timedelta(days=n) for n in span)]


def load_today() -> date:
    from pipelines.load_window import today

    return today(load_settings(ROOT / "pipelines" / "demo" / "sample.toml"))


A_FEW = date(2026, 2, 27)  # the demo loads its days from here on, and not the whole month before


@pytest.mark.slow
def test_demo_shows_what_it_found_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from pipelines.demo.server import SECRETS

    for name in SECRETS:
        monkeypatch.setenv(name, "")  # so that what the demo sets is gone after the test
    small = subprocess.Popen
    monkeypatch.setattr(
        "pipelines.demo.showing.subprocess.Popen", lambda args, **rest: small([*args, "--scale", "0.05"], **rest)
    )
    monkeypatch.setattr(showing, "today_in_london", lambda: date(2026, 3, 2))
    monkeypatch.setattr(showing, "run_load", lambda settings, _, last, *rest: run_load(settings, A_FEW, last, *rest))
    told = CliRunner().invoke(main, ["demo", "--data-dir", str(tmp_path / "shown")])
    assert told.exit_code == 0, told.output
    assert "interrupted" not in capfd.readouterr().err, "that the bundled vendors are ended is no news"
    folder = tmp_path / "shown"
    for word in ("Control totals", "of which off: 0", "SELECT charge_kind", "exact"):
        assert word in told.output
    for path in re.findall(r"(?:database|report|workbook|configuration) +(\S+)$", told.output, re.MULTILINE):
        assert Path(path).is_file()
        assert folder in Path(path).parents
    assert len(re.findall(r"^  (?:database|report|workbook|configuration) ", told.output, re.MULTILINE)) == 4
    status = CliRunner().invoke(main, ["--config", str(folder / "tollbook.toml"), "status"])
    assert "newest day" in status.output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0"], "lets other machines in"),
        (["--host", "::"], "lets other machines in"),
        (["--host", "10.0.0.1", "--read-only"], "lets other machines in"),
        (["--password", "open sesame"], "never the password itself"),
        (["--password", "env:NOT_THERE"], "--password: the environment variable"),
    ],
)
def test_dev_lets_nobody_else_in_without_a_password(place: World, options: list[str], says: str) -> None:
    told = place.command("dev", *options)
    assert told.exit_code == 2
    assert says in told.output
    assert "open sesame" not in told.output


# --- wrong usage and configuration ------------------------------------------------------------------------------------

TOMORROW = date.today() + timedelta(days=2)  # a day more: it is later in some zones

Change = Callable[[str], str]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("load", "--from", "2026-10-25", "--to", "2026-10-24"), ["--from 2026-10-25", "later", "2026-10-24"]),
        (("load", "--to", str(TOMORROW)), [str(TOMORROW), "not begun"]),
        (("load", "--from", str(TOMORROW)), [str(TOMORROW), "later"]),
        (("load", "--from", "1999-01-01", "--to", "1999-01-02"), ["1999-01-01", "first_date"]),
        (("load", "--from", "24/10/2026"), ["--from"]),
        (("load", "--connection", "hqq"), ["connection", "hq"]),
        (("load", "--no-such-option"), ["--no-such-option"]),
        (("report",), ["--month"]),
        (("report", "--month", "2026-13"), ["--month"]),
        (("report", "--month", "2026-10-01"), ["--month"]),
        *(
            ((command, "--month", month), [f"--month {month}", words])
            for command in ("report", "focus", "close")
            for month, words in (("0001-01", "before 1990"), ("1989-12", "before 1990"), ("9999-12", "not begun"))
        ),
        (("report", "--month", f"{TOMORROW + timedelta(days=31):%Y-%m}"), ["not begun", "Europe/London"]),
        (("load", "--from", "0001-01-01"), ["0001-01-01", "first_date"]),
        (("load", "--to", "9999-12-31"), ["9999-12-31", "not begun"]),
        (("laod",), ["laod"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_refused(place: World, tmp_path: Path, arguments: tuple[str, ...], words: list[str]) -> None:
    config = place.vendors.write_config(tmp_path / "tollbook.toml")
    before = len(place.vendors.requests)
    one_clear_message(CliRunner().invoke(main, ["--config", str(config), *arguments]), 2, *words)
    assert not (tmp_path / "data").exists()
    assert len(place.vendors.requests) == before


CONFIGURATIONS: dict[str, tuple[Change, list[str]]] = {
    "an unknown key": (lambda text: text.replace("lookback_days", "lookback_day"), ["lookback_day", "lookback_days"]),
    "a literal secret": (
        lambda text: text.replace("env:PBXWARE_API_KEY", "Zx9-literal"),
        [f"connections[{PBX}].api_key"],
    ),
    "an unknown zone": (lambda text: text.replace("Europe/London", "Europe/Londno"), ["timezone", "Europe/London"]),
    "no TOML": (lambda text: f"{text}\n= 3", ["not TOML"]),
    "no connections": (lambda text: text.partition("[[")[0], ["connections"]),
    "a secret that is not set": (
        lambda text: text.replace("PBXWARE_API_KEY", "NOT_SET"),
        [f"connections[{PBX}].api_key"],
    ),
    "a secret file that is not there": (lambda text: text.replace("env:PBXWARE_API_KEY", "file:none"), ["api_key"]),
    "no budget at all": (lambda text: text.replace("requests_per_hour = 1000000", "requests_per_hour = 0"), [SIP]),
}


@pytest.mark.parametrize("command", ["load", "check"])
@pytest.mark.parametrize(("change", "words"), CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_a_wrong_configuration_is_refused_before_anything(
    place: World, tmp_path: Path, change: Change, words: list[str], command: str
) -> None:
    config = place.vendors.write_config(tmp_path / "tollbook.toml")
    before = config.read_text()
    config.write_text(change(before))
    assert config.read_text() != before
    asked = len(place.vendors.requests)
    told = CliRunner().invoke(main, ["--config", str(config), command])
    one_clear_message(told, 2, *words)
    assert "Zx9-literal" not in told.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reference", "tollbook.toml"]
    assert len(place.vendors.requests) == asked


@pytest.mark.parametrize("command", ["load", "check", "rebuild"])
def test_a_wrong_line_of_finances_files_is_refused_before_any_vendor_is_asked(
    place: World, tmp_path: Path, command: str
) -> None:
    config = place.vendors.write_config(tmp_path / "tollbook.toml")
    (tmp_path / "reference" / "fx_rates.csv").write_text("date,currency,rate\n01/10/2026,EUR,0.86\n")
    asked = len(place.vendors.requests)
    told = CliRunner().invoke(main, ["--config", str(config), command])
    one_clear_message(told, 2, "fx_rates.csv line 2: date is no date of the form YYYY-MM-DD")
    assert len(place.vendors.requests) == asked
    assert not (tmp_path / "data" / "raw").exists()


@pytest.mark.slow
def test_load_check_and_report_say_what_in_finances_files_matches_nothing(tmp_path: Path) -> None:
    """The PBX has extensions 101 to 110 of tenant 2; 0101 is one of them with a zero too many."""
    with world(tmp_path, DAY, DAY, scale=0.05) as place:
        for path in (tmp_path / "reference").iterdir():
            path.unlink()
        (tmp_path / "reference" / "cost_centres.csv").write_text(
            f"connection,account,extension,cost_centre,from,to\n{PBX},2,0101,Sales,,\n{PBX.upper()},,,Rest,,\n"
        )
        before = place.command("check")
        assert before.exit_code == 0, before.output
        connection = f"cost_centres.csv line 3: there is no connection of the name in connection; did you mean {PBX}?"
        assert [line for line in before.stdout.splitlines() if "cost_centres" in line] == [f"note: {connection}"]
        extension = "cost_centres.csv line 2: there is no such extension on this connection; did you mean 101?"
        for arguments in (("load", "--from", str(DAY), "--to", str(DAY)), ("check",)):
            told = place.command(*arguments)
            assert told.exit_code == 0, told.output
            lines = [line for line in told.stdout.splitlines() if "cost_centres" in line]
            assert lines == [f"note: {extension}", f"note: {connection}"]
        told = place.command("report", "--month", "2026-10")
        assert "FINANCE'S FILES: 2 lines of finance's files name what is not there" in told.stderr
        notices = (place.data_dir / "reports" / "tollbook-2026-10" / "proof_reference.csv").read_text()
        assert "cost_centres.csv,2,unknown,there is no such extension on this connection,101\n" in notices


@pytest.mark.parametrize(
    "command", ["load", "check", "status", "rebuild", "dev", "report --month 2026-10", "focus --month 2026-10"]
)
def test_a_missing_configuration_is_told_by_every_command(tmp_path: Path, command: str) -> None:
    told = CliRunner().invoke(main, ["--config", str(tmp_path / "none.toml"), *command.split()])
    one_clear_message(told, 2, "none.toml", "no such configuration file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["status", "report --month 2026-10", "focus --month 2026-10"])
def test_without_a_published_database_there_is_nothing_to_show(place: World, tmp_path: Path, command: str) -> None:
    config = place.vendors.write_config(tmp_path / "tollbook.toml")
    told = CliRunner().invoke(main, ["--config", str(config), *command.split()])
    one_clear_message(told, 1, "no published database", "tollbook load")
    assert not (tmp_path / "data").exists()


def test_a_named_configuration_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there is one in the folder: a spelling mistake must not load something else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tollbook.toml").write_text('[[connections]]\nname = "hq"\n')
    monkeypatch.setenv("TOLLBOOK_CONFIG", "tolbook.toml")
    one_clear_message(CliRunner().invoke(main, ["status"]), 2, "tolbook.toml", "no such configuration file")


def test_a_rebuild_of_nothing_says_so(place: World, tmp_path: Path) -> None:
    config = place.vendors.write_config(tmp_path / "tollbook.toml")
    told = CliRunner().invoke(main, ["--config", str(config), "rebuild"])
    one_clear_message(told, 1, "nothing was landed", "tollbook load")
    assert not (tmp_path / "data" / "tollbook.duckdb").exists()


@pytest.mark.slow
def test_a_first_load_that_reaches_nobody_says_so(
    place: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = place.vendors.write_config(tmp_path / "tollbook.toml")
    for name in place.vendors.secrets:
        monkeypatch.setenv(name, "nothing-they-know")
    told = CliRunner().invoke(main, ["--config", str(config), "load", "--from", str(DAY), "--to", str(LAST)])
    assert told.exit_code == 1
    failed = {line.split()[1]: line for line in told.output.splitlines() if line.startswith("FAILED")}
    assert set(failed) == {PBX, SIP, TIM, VPS}
    assert all("AuthError" in line for line in failed.values())
    assert CliRunner().invoke(main, ["--config", str(config), "status"]).exit_code == 1


@pytest.mark.parametrize("command", ["load", "status", "rebuild", "dev", "report --month 2026-10"])
def test_a_data_directory_that_cannot_be_is_told(place: World, tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("in the way")
    config = place.vendors.write_config(tmp_path / "tollbook.toml", data_dir=tmp_path / "file" / "data")
    asked = len(place.vendors.requests)
    told = CliRunner().invoke(main, ["--config", str(config), *command.split()])
    one_clear_message(told, 1, str(tmp_path / "file"))
    assert len(place.vendors.requests) == asked


READING = ["status", "status --json", "report --month 2026-10", "focus --month 2026-10", "trace any"]


@pytest.mark.parametrize(
    "command", [*READING, "close --month 2026-10 --anyway", "erase --yes +442079460123", "rebuild"]
)
def test_another_zone_than_the_data_is_of_is_refused(
    place: World, loaded: object, tmp_path: Path, command: str
) -> None:
    """A report by other days than the marts are of would be wrong at both ends of the month."""
    config = place.vendors.write_config(tmp_path / "tollbook.toml", data_dir=place.data_dir)
    config.write_text(config.read_text().replace("Europe/London", "Europe/Vilnius"))
    told = CliRunner().invoke(main, ["--config", str(config), *command.split()])
    one_clear_message(told, 2, "tollbook.timezone is Europe/Vilnius", "Europe/London", "set it back")
    assert told.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize("command", [f"load --from {DAY} --to {DAY}", "dev", "rebuild", "close --month 2026-10"])
def test_a_data_directory_that_cannot_be_written_is_a_matter_of_the_disk(
    place: World, tmp_path: Path, command: str
) -> None:
    config = place.vendors.write_config(tmp_path / "tollbook.toml")
    Lake(tmp_path / "data").record_timezone("Europe/London")
    folders = [tmp_path / "data" / "state", tmp_path / "data" / "dagster", tmp_path / "data"]
    folders[1].mkdir()
    for folder in folders:
        folder.chmod(0o500)
    asked = len(place.vendors.requests)
    # Root may write everywhere, unless that is taken from it.
    may_not = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    told = subprocess.run(
        [*may_not, sys.executable, "-m", "pipelines.cli", *command.split()],
        cwd=ROOT,
        env={**os.environ, "TOLLBOOK_CONFIG": str(config)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for folder in reversed(folders):
        folder.chmod(0o700)
    assert told.returncode == 1, told.stderr
    assert told.stderr.startswith(f"tollbook: StorageError: {folders[0]}"), told.stderr
    assert len(told.stderr.splitlines()) == 1
    assert len(place.vendors.requests) == asked


def test_a_dagster_home_that_cannot_be_is_told(place: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = place.vendors.write_config(tmp_path / "tollbook.toml")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "no-such-home"))
    told = CliRunner().invoke(main, ["--config", str(config), "load", "--from", str(DAY), "--to", str(DAY)])
    one_clear_message(told, 2, "no-such-home")


def test_a_damaged_public_database_is_told(place: World, tmp_path: Path) -> None:
    config = place.vendors.write_config(tmp_path / "tollbook.toml")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tollbook.duckdb").write_bytes(b"not a database at all" * 400)
    one_clear_message(CliRunner().invoke(main, ["--config", str(config), "status"]), 1, "IntegrityError", "rebuild")


# --- help ------------------------------------------------------------------------------------------------------------

MENTIONS = {
    "check": ["credentials", "Nothing is written"],
    "load": ["Load business days", "--from", "--to", "--connection", "restated"],
    "rebuild": ["without asking any vendor"],
    "rename-connection": ["OLD", "NEW", "moved to another host"],
    "report": ["Excel", "--month", "--out"],
    "focus": ["FOCUS 1.2", "--month", "--out"],
    "status": ["in one line", "stale", "--json", "--all"],
    "close": ["--month", "--reopen"],
    "erase": ["NUMBER", "shell's history"],
    "trace": ["where a figure comes from", "RECORD_ID"],
    "demo": ["bundled vendors", "--data-dir"],
    "dev": ["Dagster", "127.0.0.1"],
}


def test_every_command_is_listed_here_and_in_the_help() -> None:
    assert set(main.commands) == set(MENTIONS)
    told = CliRunner().invoke(main, ["--help"])
    assert told.exit_code == 0
    for name, command in main.commands.items():
        assert re.search(rf"^  {name} +{re.escape((command.help or '?')[:20])}", told.output, re.MULTILINE)


@pytest.mark.parametrize("name", MENTIONS)
def test_the_help_of_a_command_says_what_it_does(name: str) -> None:
    told = CliRunner().invoke(main, [name, "--help"])
    assert told.exit_code == 0
    words = " ".join(told.output.split())
    for word in MENTIONS[name]:
        assert word in words


def test_help_needs_neither_dagster_nor_a_database() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom pipelines.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "print([name for name in ('dagster', 'duckdb', 'pyarrow', 'pandas') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_the_readme_lists_every_command_and_option() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\|\s*`tollbook ", line)]
    listed = {re.match(r"\|\s*`tollbook ([\w-]+)", row).group(1): row for row in rows}  # type: ignore[union-attr]
    assert set(listed) == set(main.commands)
    for name in ("load", "report", "focus"):
        for option in main.commands[name].params:
            if isinstance(option, click.Option):
                assert option.opts[0] in listed[name]


# --- what must never be told -----------------------------------------------------------------------------------------

FAULTS = (
    Fault("status", "sipcentric", "calls", 1, None, params={"status": 401}),
    Fault("html", "tim4biz", times=None),
    Fault("short_row", "pbxware", "cdr.download", times=None),
    Fault("reset", "time4vps", times=None),
)


@pytest.mark.slow
def test_no_secret_number_or_name_is_told_or_written_down(
    place: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("pipelines.resources.Client", hasty_client)
    data = tmp_path / "data"
    config = place.vendors.write_config(tmp_path / "tollbook.toml")
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    outputs: list[str] = []

    def tell(*arguments: str) -> int:
        told = CliRunner().invoke(main, ["--config", str(config), "--verbose", *arguments])
        outputs.append(told.output)
        return told.exit_code

    span = ("load", "--from", str(DAY), "--to", str(LAST))
    for fault in FAULTS:
        place.vendors.faults.add(fault)
    try:
        codes = [tell(*span), tell("check"), tell("status")]
    finally:
        place.vendors.faults.clear()
    assert codes == [1, 1, 1]
    assert tell(*span) == 0, outputs[-1][-3000:]
    tell("status")
    assert tell("rebuild") == 0

    assert (home / "history").is_dir()
    assert list((data / "state").rglob("*.json"))
    # What people say to each other about a load, and what the machinery keeps of it, names no secret and nobody.
    everywhere: list[Path | str] = [*outputs, caplog.text, home, data / "state", config]
    assert traces(forms_of_secrets(place.vendors.secrets), *everywhere) == []
    assert traces(forms_of_secrets(place.vendors.secrets, user_names=False), data) == []
    assert traces(forms_of_people(), *everywhere) == []
    # The search finds what is there: numbers in the published database, names in core.
    assert traces(forms_of_people(), data / "tollbook.duckdb")


def test_a_day_is_one_of_london() -> None:
    assert load_settings(ROOT / "pipelines" / "demo" / "sample.toml").zone == LONDON
