"""What somebody outside wrote does nothing to the screen of who reads it: no markup, no escapes, no turned lines."""

import logging
import sys

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from rich.table import Table

from pipelines.cli import LogLine, main
from pipelines.terminal import Terminal
from pipelines.trace import Row, Traced, show_trace
from tollbook_errors import ContractError
from warehouse.text import one_line, printable, shown

HOSTILE = "[/red]\x1b[2J\x1b]0;title\x07 [link=http://example.com/]x[/link] \u202emoc.xe :smile: a\rb\u2066\x9b1m\x00"
AS_TEXT = "[link=http://example.com/]x[/link]"
DOES_SOMETHING = set("\x1b\x07\r\x00\x9b\u202e\u2066")


@given(st.text())
@example(HOSTILE)
def test_nothing_that_does_something_is_left(text: str) -> None:
    for clean in (printable(text), shown(text)):
        assert not any(ord(letter) < 32 and letter not in "\t\n\r" or 127 <= ord(letter) < 160 for letter in clean)
        assert not DOES_SOMETHING - {"\r"} & set(clean)
    assert "\r" not in shown(text)
    # Read from left to right nothing else is lost, also of scripts that are written the other way.
    assert printable("José Ωμέγα שלום 电话 👩‍💻\tx\n") == "José Ωμέγα שלום 电话 👩‍💻\tx\n"


@pytest.mark.parametrize("screen", [True, False])
def test_a_console_shows_text_as_text(
    screen: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: screen)
    monkeypatch.setenv("COLUMNS", "400")
    console = Terminal()
    table = Table(title=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    console.print(table)
    console.print(HOSTILE, soft_wrap=True)
    printed = capsys.readouterr().out
    assert printed.count(AS_TEXT) == 4
    assert ":smile:" in printed
    # What is left are the console's own colours.
    assert not DOES_SOMETHING & set(printed.replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[3m", ""))


def test_a_record_is_traced_whatever_is_in_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal, where names and the vendor's own words are shown; it ended in a traceback at ``[/red]``."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "400")
    found = Traced(rows=[Row("core.cdr", {"from_name": HOSTILE})], raw=[("f.parquet", 1, HOSTILE, {"From": HOSTILE})])
    show_trace(found)
    printed = capsys.readouterr().out
    assert printed.count(AS_TEXT) == 3
    assert not (DOES_SOMETHING - {"\x1b"}) & set(printed)
    assert "\x1b[2J" not in printed
    assert "\x1b]0" not in printed


def test_errors_and_log_lines_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: object) -> None:
        raise ContractError(HOSTILE)

    monkeypatch.setattr("pipelines.settings.load_settings", fail)
    told = CliRunner().invoke(main, ["status"])
    assert told.exit_code == 1
    record = logging.LogRecord("tollbook", logging.WARNING, "", 0, "%s", (HOSTILE,), None)
    for text in (told.output, LogLine().format(record)):
        assert AS_TEXT in text
        assert not DOES_SOMETHING & set(text)


FORGED = "Desk 1\r\nERROR tollbook.alerts: all is lost\n\x1b[2J\u202e"


def test_what_a_vendor_wrote_begins_no_line_of_a_log() -> None:
    record = logging.LogRecord("tollbook", logging.DEBUG, "", 0, "of %s", (FORGED,), None)
    first, *others = LogLine("%(levelname)s %(name)s: %(message)s").format(record).splitlines()
    assert first.startswith("DEBUG tollbook: of Desk 1")
    assert others
    assert all(line.startswith("    ") for line in others)


def test_a_note_is_one_line_of_a_bounded_length() -> None:
    mark = "\N{REPLACEMENT CHARACTER}"
    assert one_line(f"columns: {FORGED}") == f"columns: Desk 1{mark} ERROR tollbook.alerts: all is lost {mark}[2J{mark}"
    assert one_line("a" * 1_001) == "a" * 999 + "\N{HORIZONTAL ELLIPSIS}"
