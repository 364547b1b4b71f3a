"""An error nobody foresaw is Tollbook's own: where it happened is told and logged, and nothing of what it holds."""

import logging
import pickle
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.loading import World, traces, world
from support.stand_in import everything_written

from assets.stream import Progress
from pipelines.demo.company import PBX, TIM
from pipelines.progress import lines
from tollbook_errors import InternalError

pytestmark = pytest.mark.slow  # whole loads

NUMBER = "+442079460999"  # stands nowhere in the vendors' responses
SECRET_WORD = "Ottoline Quill"
FORMS = {form.encode() for form in (NUMBER, NUMBER[1:], NUMBER[3:], SECRET_WORD)}
FIRST = date(2026, 10, 1)


def unforeseen(*_: Any, **__: Any) -> Any:
    raise KeyError(f"{NUMBER} of {SECRET_WORD}")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("internal"), FIRST, FIRST + timedelta(days=5), scale=0.1) as made:
        assert made.load(FIRST, FIRST, PBX, TIM).failures == []
        yield made


def nothing_of_it(place: World, told: str, caplog: pytest.LogCaptureFixture) -> None:
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert traces(FORMS, told, logged, everything_written(place.folder)) == []
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("broken", "landed"), [("assets.pbxware.parties.read_party", True), ("assets.pbxware.api.PBXware.cdrs", False)]
)
def test_a_load_says_so_and_blames_no_vendor(
    loaded: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str, landed: bool
) -> None:
    """Of a typed day and of one that was never read; the other connection is loaded and all is published."""
    day = FIRST + timedelta(days=2 if landed else 1)
    monkeypatch.setattr(broken, unforeseen)
    with caplog.at_level(logging.WARNING):
        told = loaded.command("load", "--from", str(day), "--to", str(day), "--connection", PBX, "--connection", TIM)
    assert told.exit_code == 1
    (failed,) = [line for line in told.output.splitlines() if line.startswith("FAILED")]
    assert failed.startswith(f"FAILED {PBX} cdr: InternalError: {PBX} cdr {day}: an error nobody foresaw (KeyError at ")
    assert "test_internal_errors.py:" in failed
    assert ("what was read is landed" in failed) == landed
    assert ("nothing was landed" in failed) != landed
    assert "ContractError" not in told.output
    assert f"{PBX} cdr: {day} (0 of 1, 1 failed)" in told.output
    assert f"{PBX} cdr: {day} (1 of 1" not in told.output
    assert f"{TIM} extension_total: {day} (1 of 1" in told.output
    assert "published" in told.output
    (logged,) = [record.getMessage() for record in caplog.records if record.name == "tollbook"]
    assert "\n    assets/load.py:" in logged
    assert logged.splitlines()[-1].strip().startswith("tests/test_internal_errors.py:")
    assert logged.endswith(" unforeseen")
    assert str(Path(__file__).parent) not in logged, "no folder of this machine is told"
    kinds = loaded.query(f"SELECT error_type FROM audit.load WHERE window_from = '{day}' AND status = 'failed'")
    assert kinds == [("InternalError",)]
    nothing_of_it(loaded, told.output, caplog)
    monkeypatch.undo()
    assert loaded.load(day, day, PBX).failures == []


@pytest.mark.parametrize(
    ("broken", "arguments"),
    [
        (
            "assets.warehouse_asset.update_and_publish",
            ["load", "--from", str(FIRST), "--to", str(FIRST), "--connection", TIM],
        ),
        ("assets.materialize._checks", ["load", "--from", str(FIRST), "--to", str(FIRST), "--connection", TIM]),
        ("assets.pbxware.parties.read_party", ["rebuild"]),
        ("assets.warehouse_asset.rebuild_database", ["rebuild"]),
        ("pipelines.maintain.public_file", ["report", "--month", "2026-10"]),
        ("pipelines.status.read_status", ["status"]),
        ("assets.vendors.probe", ["check"]),
    ],
)
def test_no_command_shows_what_it_holds(
    loaded: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: str,
    arguments: list[str],
) -> None:
    """In Dagster's database neither: it keeps the text of whatever a step raises."""
    monkeypatch.setattr(broken, unforeseen)
    with caplog.at_level(logging.WARNING):
        told = loaded.command(*arguments)
    assert told.exit_code == 1
    assert "InternalError" in told.output
    assert "KeyError at " in told.output
    nothing_of_it(loaded, told.output, caplog)
    monkeypatch.undo()
    if arguments[0] == "rebuild":
        again = loaded.command("rebuild")
        assert again.exit_code == 0, again.output


def test_frames_are_logged_with_those_of_what_it_came_of(caplog: pytest.LogCaptureFixture) -> None:
    def wrapped() -> None:
        try:
            unforeseen()
        except KeyError as error:
            raise ValueError(NUMBER) from error

    def met() -> InternalError:
        try:
            wrapped()
        except ValueError as error:
            return InternalError.of(error, connection="hq", endpoint="cdr", window="2026-10-01")
        raise AssertionError("it was wrapped")

    with caplog.at_level(logging.ERROR):
        made = met()
    (record,) = caplog.records
    assert [line.rpartition(" ")[2] for line in record.getMessage().splitlines()[1:]] == [
        "wrapped", "unforeseen", "met", "wrapped",
    ]  # fmt: skip
    again = pickle.loads(pickle.dumps(made))
    assert (str(again), again.kind) == (str(made), "InternalError")
    assert NUMBER not in str(again) + record.getMessage()
    assert again.connection == "hq"


@pytest.mark.parametrize(
    ("steps", "last"),
    [
        ([(0, 0), (1, 0)], "(1 of 1)"),
        ([(0, 0), (0, 1)], "(0 of 1, 1 failed)"),
    ],
)
def test_progress_counts_as_done_what_went_well(
    steps: list[tuple[int, int]], last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with lines() as watch:
        for done, failed in steps:
            watch(Progress("hq", "lists", "all", done, 1, 0, failed))
    shown = capsys.readouterr().err.splitlines()
    assert shown == ["hq lists: all (0 of 1)", f"hq lists: all {last}"]
