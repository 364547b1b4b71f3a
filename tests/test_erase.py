"""Erasing a number: no byte of it stays, every figure does, and it does not come back.

What lives here: whole erasures of a loaded world, interrupted ones too, and the finding of a number in a text. The
search for what is left is this module's own: it knows nothing of how numbers are found to be erased.
"""

import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from support.loading import World, hashes, world

import warehouse.raw
from assets.phone import dialled_number, digits_of, read_number
from assets.redaction import Eraser
from pipelines.cli import main
from warehouse.erasure_register import Register
from warehouse.schema import COVERAGE, MARTS

pytestmark = pytest.mark.slow  # whole loads

FIRST, LAST = date(2026, 10, 24), date(2026, 10, 25)
MONTH = ("--month", "2026-10")


def written(e164: str) -> re.Pattern[str]:
    """A British number in any way of writing it: its national digits, whatever stands between them."""
    return re.compile(r"[^0-9A-Za-z]{0,3}".join(e164.removeprefix("+44")))


def said_by(path: Path) -> Iterator[str]:
    """Everything a file says: its bytes, and what is in it once it is unpacked."""
    content = path.read_bytes()
    yield content.decode("latin-1")
    if path.suffix == ".parquet":
        yield str(pq.read_table(path).to_pylist())
    if path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name).decode("latin-1") for name in archive.namelist())
    if path.suffix == ".duckdb":
        with closing(duckdb.connect(str(path), read_only=True)) as con:
            for schema, name in con.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall():
                yield str(con.execute(f'FROM "{schema}"."{name}"').fetchall())


def holding(folder: Path, e164: str) -> list[str]:
    """The files below a folder that say a number."""
    form = written(e164)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [str(path.relative_to(folder)) for path in files if any(form.search(text) for text in said_by(path))]


def figures(place: World) -> dict[str, list[Any]]:
    """Every mart, and what was proved, whole."""
    names = [mart.full_name for mart in MARTS] + ["audit.control_total", "audit.tie_out"]
    return {name: sorted(place.query(f"FROM {name}"), key=str) for name in names}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two days, loaded twice and restated in between, the month closed and reported."""
    with world(tmp_path_factory.mktemp("erase"), FIRST, LAST, scale=0.08) as place:
        assert place.load(FIRST, LAST).failures == []
        place.vendors.settle_provisional()
        place.vendors.add_late_rows(LAST, 2)
        assert place.load(FIRST, LAST).failures == []
        assert place.command("close", *MONTH, "--anyway").exit_code == 0
        assert place.command("report", *MONTH).exit_code == 0
        yield place


@pytest.fixture
def number(loaded: World) -> str:
    """The number with the dearest call: it is on the report."""
    found = loaded.query(
        "SELECT remote_e164 FROM core.call WHERE remote_e164 LIKE '+44%' AND length(remote_e164) = 13 "
        "ORDER BY cost DESC NULLS LAST, call_id LIMIT 1"
    )
    return str(found[0][0])


def test_nothing_of_a_number_stays_and_every_figure_does(
    loaded: World, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, legs = figures(loaded), len(loaded.query("FROM core.cdr"))
    held = holding(loaded.data_dir, number)
    assert {Path(name).parts[0] for name in held} >= {"raw", "core", "private", "tollbook.duckdb", "reports"}
    backup = shutil.copytree(loaded.data_dir / "raw", loaded.folder / "backup")
    for leftover in (
        "state/spill/rows.tmp",
        "state/ahead/999999999-dead-1/core.cdr.parquet",
        "private/warehouse.duckdb.wal.stale",
        "core/cdr/hq/.x.parquet.1.tmp",
    ):
        (loaded.data_dir / leftover).parent.mkdir(parents=True, exist_ok=True)
        (loaded.data_dir / leftover).write_text(number)

    # The first attempt dies when one manifest names its new file and the next does not yet.
    writes = 0

    def dying(path: Path, content: Any) -> None:
        nonlocal writes
        writes += "raw" in path.parts
        if writes > 1:
            raise KeyboardInterrupt
        write_json(path, content)

    write_json = warehouse.raw.write_json
    with monkeypatch.context() as patch:
        patch.setattr(warehouse.raw, "write_json", dying)
        assert loaded.command("erase", "--yes", number).exit_code != 0
    assert writes == 2

    erase = ["--config", str(loaded.config), "erase", "--yes"]
    ended = CliRunner().invoke(main, erase, input=f"0{number[3:]}\n")
    assert ended.exit_code == 0, ended.output
    assert not written(number).search(ended.output)
    assert "tollbook-2026-10.xlsx" in ended.output
    assert holding(loaded.data_dir, number) == []
    assert figures(loaded) == before
    assert len(loaded.query("FROM core.cdr")) == legs
    assert loaded.query("SELECT count(*) FROM core.cdr WHERE concat(from_number, to_number) LIKE '%erased-GB-%'")[0][0]
    lines = loaded.query("SELECT erasure_id, table_name, rows FROM audit.erasure WHERE table_name <> 'raw'")
    assert {(name, rows > 0) for _, name, rows in lines} >= {("core.cdr", True)}
    for path in (loaded.data_dir / "state" / "erasures").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600

    # A rebuild without the vendors says the same, also from a backup of before that was put back.
    kept = loaded.digests()
    shutil.rmtree(loaded.data_dir / "raw")
    backup.rename(loaded.data_dir / "raw")
    assert holding(loaded.data_dir, number) != []
    assert loaded.command("rebuild").exit_code == 0
    assert holding(loaded.data_dir, number) == []
    assert loaded.digests() == kept

    # So does the next load, in which the vendors say the number again.
    assert loaded.load(FIRST, LAST).failures == []
    assert holding(loaded.data_dir, number) == []
    assert figures(loaded) == before
    assert loaded.query("SELECT arg_max(status, started_at) FROM audit.load WHERE stream = 'cdr'") == [("unchanged",)]
    assert {name for name, digest in loaded.digests().items() if digest != kept[name]} <= {COVERAGE.full_name}
    assert loaded.command("report", *MONTH).exit_code == 0
    assert holding(loaded.data_dir, number) == []


@pytest.mark.parametrize("given", ["", "101", "no number", "+44", "999"])
def test_what_is_no_number_is_refused_and_not_repeated(loaded: World, given: str) -> None:
    ended = CliRunner().invoke(main, ["--config", str(loaded.config), "erase", "--yes"], input=f"{given}\n")
    assert ended.exit_code == 2
    assert not given or f"{given}\n" not in ended.output


def test_a_number_that_nothing_holds_is_an_error_and_changes_nothing(loaded: World) -> None:
    """+44 20 7946 0999 is nobody's in the bundled vendors' world."""
    before = loaded.digests()
    entries = sorted((loaded.data_dir / "state" / "erasures").glob("*.json"))
    ended = loaded.command("erase", "--yes", "+442079460999")
    assert ended.exit_code == 1
    assert "no file holds this number: nothing was erased" in ended.output
    assert "0999" not in ended.output
    assert sorted((loaded.data_dir / "state" / "erasures").glob("*.json")) == entries
    assert loaded.digests() == before


def test_nothing_is_erased_before_somebody_said_yes(
    loaded: World, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody can be asked it is refused at once, without --yes; on a terminal the response decides."""
    before = hashes(loaded.data_dir)
    refused = loaded.command("erase", number)
    assert refused.exit_code == 2
    assert "add --yes" in refused.output
    assert hashes(loaded.data_dir) == before
    monkeypatch.setattr("pipelines.cli._can_ask", lambda: True)
    for response in ("n\n", "\n"):
        asked = CliRunner().invoke(main, ["--config", str(loaded.config), "erase"], input=f"{number}\n{response}")
        assert asked.exit_code == 1
        assert re.search(r"The number is in [1-9]\d* responses; rows by table: .*core\.cdr [1-9]", asked.output)
        assert not written(number).search(asked.output)
    assert {name: digest for name, digest in hashes(loaded.data_dir).items() if name in before} == before


def test_data_of_a_connection_that_is_not_configured_is_not_left_behind(loaded: World) -> None:
    config = loaded.config.read_text()
    loaded.config.write_text(config.replace('name = "tim"', 'name = "other"'))
    ended = loaded.command("erase", "--yes", "+442079460999")
    loaded.config.write_text(config)
    assert ended.exit_code == 2
    assert "connection tim" in ended.output


# --- finding numbers --------------------------------------------------------------------------------------------------

WRITTEN = ("+442079460123", "442079460123", "00442079460123", "02079460123", "020 7946 0123", "+44 (0)20 7946 0123",
           "(020) 7946-0123", "+44 20.7946.0123", "9902079460123", "4402079460123", "2079460123")  # fmt: skip


@pytest.fixture(scope="module")
def eraser(tmp_path_factory: pytest.TempPathFactory) -> Eraser:
    register = Register(tmp_path_factory.mktemp("register"))
    for text in ("020 7946 0123", "+47 22 12 34 56", "01794 567890"):
        number = digits_of(text, "GB")
        assert number is not None
        register.keep(register.erasure(*number), {})
    return Eraser(register.digest, register.read(), "GB")


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("around", ["{}", "Mary (Sales) ({})", "Mary 12 <{}>", "rec/101-{}-102.wav", "tel:{};x=1"])
def test_a_number_is_found_however_it_is_written(eraser: Eraser, form: str, around: str) -> None:
    cleaned = eraser.text(around.format(form))
    assert not re.search("7946", cleaned)
    assert re.fullmatch(re.escape(around).replace(r"\{\}", "erased(-GB-[a-z]+)?"), cleaned)
    assert eraser.text(cleaned) == cleaned
    if around == "{}":
        was, stays = read_number(form, "GB"), read_number(cleaned, "GB")
        assert (stays.e164, stays.country, stays.type) == (None, was.country, was.type)


@pytest.mark.parametrize(
    ("before", "form", "outside_line"),
    [
        ("*67", "02079460123", ""),
        ("#31#", "00442079460123", ""),
        ("*65*442079460100*", "02079460123", ""),
        ("141", "02079460123", ""),
        ("9", "02079460123", "9"),
        ("9141", "02079460123", "9"),
    ],
)
def test_what_was_dialled_before_a_number_stays(eraser: Eraser, before: str, form: str, outside_line: str) -> None:
    """So the call is still one to where the number was."""
    dialling = Eraser(eraser._digest, list(eraser._by_digest.values()), "GB", outside_line)
    cleaned = dialling.text(before + form)
    assert cleaned == f"{before}erased-GB-fixed"
    assert read_number(dialled_number(cleaned, "GB", outside_line), "GB") == (None, "GB", "fixed")


@pytest.mark.parametrize(
    "text", ["+442079460124", "020794601234", "+442022123456", "02022123456", "7946 0123", "2026-10-24 10:00:00", "101"]
)
def test_another_number_stays(eraser: Eraser, text: str) -> None:
    assert eraser.text(text) == text


def test_times_ids_and_amounts_stay_though_they_have_the_digits_of_a_number(eraser: Eraser) -> None:
    body = (
        '{"header": ["From", "Date/Time", "Unique ID", "Rating Cost"], "csv": '
        '[["\\u002b442079460123", "1794567890", "1794567890.1", "1.50"]], "cost": 0.10, "number": 442079460123}'
    )
    assert eraser.body(body) == (
        '{"header": ["From", "Date/Time", "Unique ID", "Rating Cost"], "csv": '
        '[["erased-GB-fixed", "1794567890", "1794567890.1", "1.50"]], "cost": 0.10, "number": "erased-GB-fixed"}'
    )
    untouched = body.replace("442079460123", "442079460124").replace("\\u002b", "+").replace(", ", ",  ")
    assert eraser.body(untouched) == untouched


@given(st.text(alphabet="0123456789 +-()./ab", max_size=40))
def test_any_text_is_cleaned_once_and_for_all(eraser: Eraser, text: str) -> None:
    cleaned = eraser.text(f"{text}x02079460123")
    assert "02079460123" not in cleaned
    assert eraser.text(cleaned) == cleaned
