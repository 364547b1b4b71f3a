"""The documentation against the code: what is written there runs, exists, or is generated.

What lives here: checks of README.md, docs/ and the data dictionary. What does not: tests of the code itself.
"""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest

import tollbook_errors
from docs.worked import DRAWINGS, NOTEBOOK, PAGE, PICTURES, Question, executed, load_demo, made, pictures, questions
from pipelines import settings
from pipelines.cli import main
from pipelines.maintain import run_focus
from pipelines.settings import load_settings
from warehouse.dictionary import dictionary
from warehouse.published import public_file
from warehouse.reports.focus import FOCUS
from warehouse.schema import TABLES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *DOCS.glob("adr/*.md")])
FIRST, LAST = date(2026, 10, 1), date(2026, 10, 3)


def _python(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.+?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def _section(page: Path, heading: str) -> str:
    """The text under a heading, up to the next one of its level."""
    mark = heading.split()[0]
    match = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^{mark} |\Z)", page.read_text(), re.DOTALL | re.MULTILINE)
    assert match, f"{page.name} has no {heading}"
    return match[1]


def _first_column(text: str) -> set[str]:
    """What stands in backticks in the first cells of the tables in ``text``."""
    rows = re.findall(r"^\| *(`[^|]*`) *\|", text, re.MULTILINE)
    return {word for cell in rows for word in re.findall(r"`([^`]+)`", cell)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data/tollbook.duckdb`` of a few demo days, some of whose records were restated."""
    root = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DAGSTER_HOME", raising=False)
        load_demo(root, FIRST, LAST)
        run_focus(load_settings(root / "tollbook.toml"), FIRST, None)
    return root


@pytest.fixture
def database(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(public_file(folder / "data"), read_only=True) as con:
        yield con


# --- the threat model ------------------------------------------------------------------------------------------------


def test_every_defence_is_held_by_tests_that_exist() -> None:
    rows = re.findall(r"^\| .* \| (`test_.*) \|$", (DOCS / "threat-model.md").read_text(), re.MULTILINE)
    named = {name for cell in rows for name in re.findall(r"`(test_\w+)`", cell)}
    code = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    assert len(rows) >= 10
    assert {name for name in named if f"def {name}(" not in code} == set()


def test_every_mutant_was_killed_by_a_test_that_exists() -> None:
    rows = re.findall(
        r"^\| ([A-Z0-9, ]+) \| .* \| `(test_\w+)`: `(\w+)` \|$", (DOCS / "mutations.md").read_text(), re.MULTILINE
    )
    assert len(rows) >= 90
    gone = [
        (line, module, name)
        for line, module, name in rows
        if f"def test_{name}(" not in (ROOT / "tests" / f"{module}.py").read_text()
    ]
    assert gone == []


# --- queries ---------------------------------------------------------------------------------------------------------


def test_all_queries_are_found() -> None:
    text = PAGE.read_text()
    assert len(questions(text)) == text.count("```sql")
    assert len(questions(text)) >= 9


@pytest.mark.slow
@pytest.mark.parametrize("question", questions(PAGE.read_text()), ids=lambda question: question.heading)
def test_query_runs_and_gives_what_is_shown(database: duckdb.DuckDBPyConnection, question: Question) -> None:
    result = database.execute(question.sql)
    columns = {name: str(type_) for name, type_, *_ in result.description}
    assert result.fetchall()
    assert list(columns) == question.columns
    amounts = {*columns} & {"cost", "gbp", "average_cost", "cost_difference", "cost_effect"}
    assert {name for name in amounts if not columns[name].startswith("DECIMAL")} == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [ROOT / "README.md", DOCS / "querying.md", DOCS / "focus.md"], ids=lambda page: page.name
)
def test_python_runs(folder: Path, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    blocks = _python(page)
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)
    assert blocks
    if "con" in names:
        names["con"].close()


def test_every_focus_column_stands_in_its_page() -> None:
    assert _first_column((DOCS / "focus.md").read_text()) == set(FOCUS.names)


@pytest.mark.slow
def test_pandas_keeps_decimals(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for block in _python(DOCS / "querying.md"):
        exec(block, names)
    assert str(names["frame"]["cost"].dtype) == "decimal128(18, 6)[pyarrow]"
    names["con"].close()


def test_pictures_show_the_answers_that_they_stand_below() -> None:
    drawn = pictures(PAGE.read_text())
    assert set(drawn) == {f"{name}.svg" for name in DRAWINGS}
    assert {path.name: path.read_text() for path in PICTURES.glob("*")} == drawn, "run: python -m docs.worked"
    for svg in drawn.values():
        ET.fromstring(svg)


@pytest.mark.slow
def test_the_notebook_runs_and_its_amounts_are_decimals(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    kept = json.loads(NOTEBOOK.read_text())
    code = [cell for cell in executed(kept)["cells"] if cell["cell_type"] == "code"]
    shown = {cell["id"]: cell["outputs"] for cell in code}
    assert {id_ for id_, outputs in shown.items() if outputs} == {
        cell["id"] for cell in kept["cells"] if cell.get("outputs")
    }
    assert shown["exact"][0]["text"][0].startswith("decimal128(38, 6)")
    assert any("image/svg+xml" in output.get("data", {}) for output in shown["bars"])


@pytest.mark.soak
def test_the_page_and_its_notebook_are_what_the_bundled_vendors_answer(tmp_path: Path) -> None:
    page, notebook = made(tmp_path)
    assert page == PAGE.read_text(), "run: python -m docs.worked"
    assert notebook == NOTEBOOK.read_text(), "run: python -m docs.worked"


# --- data dictionary -------------------------------------------------------------------------------------------------


def test_data_dictionary_is_the_schema() -> None:
    assert (DOCS / "data-dictionary.md").read_text() == dictionary(), "run: python -m warehouse.dictionary"


@pytest.mark.slow
def test_database_is_the_schema_with_its_comments(database: duckdb.DuckDBPyConnection) -> None:
    tables = database.execute("SELECT schema_name || '.' || table_name, comment FROM duckdb_tables()").fetchall()
    columns = database.execute(
        "SELECT schema_name || '.' || table_name, column_name, data_type, comment FROM duckdb_columns()"
        " WHERE NOT internal ORDER BY schema_name, table_name, column_index"
    ).fetchall()
    assert dict(tables) == {table.full_name: table.grain for table in TABLES}
    for table in TABLES:
        assert [tuple(row[1:]) for row in columns if row[0] == table.full_name] == [
            (c.name, c.type.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"), c.comment) for c in table.columns
        ]


# --- README and the rest ---------------------------------------------------------------------------------------------


def test_every_command_stands_in_the_readme() -> None:
    assert isinstance(main, click.Group)
    assert _first_column(_section(ROOT / "README.md", "## Commands")) == {f"tollbook {name}" for name in main.commands}


def test_every_option_of_load_and_report_stands_in_the_readme() -> None:
    text = _section(ROOT / "README.md", "## Commands")
    assert isinstance(main, click.Group)
    for command in ("load", "report"):
        for option in main.commands[command].params:
            assert f"`{option.opts[0]}" in text, f"{command} {option.opts[0]}"


def test_every_setting_stands_in_the_readme() -> None:
    section = _section(ROOT / "README.md", "## Configuration")
    tables = (settings.Tollbook, settings.Alerts, settings.Fraud, *settings.VENDORS.values())
    assert _first_column(section) == {key for table in tables for key in table.known_keys()}
    assert all(f"`{field}`" in section for field in settings.Fields.known_keys())
    assert all(f"`{vendor}`" in section for vendor in settings.VENDORS)
    assert f"`{settings.CONFIG_VARIABLE}`" in section


def test_documented_defaults_are_the_defaults() -> None:
    """Of the keys whose default is one plain value."""
    section = _section(ROOT / "README.md", "## Configuration")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", section, re.MULTILINE)
    shown = {name: re.findall(r"`([^`]*)`", cell) for name, cell in rows}
    fields = settings.Tollbook.model_fields | settings.Alerts.model_fields
    for name in ("timezone", "reporting_currency", "lookback_days", "first_date", "nightly", "smtp_port"):
        documented = re.search(rf"^\| `{name}` \| `([^`]*)` \|", section, re.MULTILINE)
        assert documented, name
        assert documented[1] == str(fields[name].default)
    fraud = settings.FraudRules()
    assert {name: shown[name] for name in settings.Fraud.known_keys()} == {
        name: [str(value).lower()] for name, value in vars(fraud).items()
    }
    for name in ("timeout_seconds", "max_in_flight", "tolerance_seconds", "tolerance_percent"):
        assert shown[name] == [str(settings.Connection.model_fields[name].default)]
    assert shown["requests_per_hour"] == [str(settings.SipcentricConnection.model_fields["requests_per_hour"].default)]


def test_every_make_target_stands_in_the_readme() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"help", "demo"}
    shown = _first_column(_section(ROOT / "README.md", "## Development"))
    assert {f"make {target}" for target in targets} == shown
    assert "make demo" in (ROOT / "README.md").read_text()


def test_every_kind_of_error_stands_in_operations() -> None:
    kinds = {name for name in vars(tollbook_errors) if name.endswith("Error")} - {"TollbookError"}
    shown = re.findall(r"^\| (\w+Error) \|", (DOCS / "operations.md").read_text(), re.MULTILINE)
    assert set(shown) == kinds


def test_files_named_in_the_architecture_exist() -> None:
    words = re.findall(r"`((?:pipelines|assets|warehouse)/[^`<]*)`", (DOCS / "architecture.md").read_text())
    assert words
    assert [word for word in words if not list(ROOT.glob(word))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in _anchors(file), f"{page.name}: {target}"


def _anchors(page: Path) -> set[str]:
    """The headings of a page as their links are spelled."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_picture_is_well_formed_and_says_what_it_shows() -> None:
    picture = ET.parse(DOCS / "architecture.svg").getroot()
    spoken = {element.tag.rpartition("}")[2]: element.text for element in picture}
    assert spoken["title"]
    assert spoken["desc"]
    for word in ("raw", "core", "warehouse", "published"):
        assert word in {(element.text or "") for element in picture.iter()}
