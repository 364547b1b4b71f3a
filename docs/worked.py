"""The worked questions of ``querying.md``: their answers, their pictures, and the notebook beside them.

What lives here: asking the bundled vendors' database what the page asks, writing the answers under the questions, and
drawing the pictures from those answers. What does not: the questions and what is said of them (``querying.md``), the
cells of the notebook (``analysis.ipynb``), how a chart looks (``warehouse.reports.charts``).

    python -m docs.worked

loads October 2026 from the bundled vendors (seed 7) on loopback, with some late and corrected records, which takes a
minute, and writes all three anew. Their fetch times are those of that load, so a question about ``raw_file`` keeps the
answer it has.
"""

import ast
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
from markupsafe import Markup

from pipelines.demo import Vendors
from pipelines.demo.company import ZONE
from pipelines.load import run_load
from pipelines.settings import Settings, load_settings
from warehouse.published import public_file
from warehouse.reports import charts
from warehouse.reports.model import Chart, ChartKind, Column, Kind, Section

DOCS = Path(__file__).parent
PAGE = DOCS / "querying.md"
NOTEBOOK = DOCS / "analysis.ipynb"
PICTURES = DOCS / "pictures"
SEED, FIRST, LAST = 7, date(2026, 10, 1), date(2026, 10, 31)

_QUESTION = re.compile(r"^## (?P<heading>.+?)$|^```sql\n(?P<sql>.+?)^```\n\n(?P<answer>(?:\|[^\n]*\n)+)", re.S | re.M)
_PICTURE = re.compile(r"(?P<answer>(?:^\|[^\n]*\n)+)\n!\[(?P<title>[^\]]*)\]\(pictures/(?P<name>[\w-]+)\.svg\)", re.M)


@dataclass(frozen=True)
class Question:
    """A query of the page: the heading it stands under, and the answer shown below it, as Markdown."""

    heading: str
    sql: str
    answer: str

    @property
    def columns(self) -> list[str]:
        return _cells(self.answer.splitlines()[0])


@dataclass(frozen=True)
class Drawing:
    """How an answer is drawn: the columns that name a bar (joined by a space), those that measure it, and the unit.

    Rows of one name are added up; bars stand in order of size. ``decimals`` are those shown of a measure.
    """

    kind: ChartKind
    category: tuple[str, ...]
    series: tuple[str, ...]
    unit: str
    decimals: int = 0


DRAWINGS = {
    "cost-centres": Drawing(ChartKind.BARS, ("cost_centre",), ("gbp",), "GBP", 2),
    "busy-hour": Drawing(ChartKind.COLUMNS, ("hour_of_day",), ("erlangs",), "erlangs, by hour of the working days", 2),
    "unanswered-by-hour": Drawing(ChartKind.STACKED, ("hour_of_day",), ("answered", "unanswered"), "calls"),
    "unanswered-by-extension": Drawing(
        ChartKind.BARS, ("account_id", "extension"), ("unanswered",), "unanswered calls, by account and extension"
    ),
    "countries": Drawing(ChartKind.BARS, ("country",), ("calls",), "calls"),
    "average-cost": Drawing(ChartKind.BARS, ("country", "type"), ("average_cost",), "EUR, by country and type", 4),
    "telephones": Drawing(ChartKind.STACKED, ("connection", "account_id"), ("used", "unused"), "telephones"),
    "tim4biz": Drawing(ChartKind.STACKED, ("week",), ("agreeing", "differing"), "days of extensions"),
}


# --- the page ---------------------------------------------------------------------------------------------------------


def questions(page: str) -> list[Question]:
    """The queries of the page that have an answer below them, in order."""
    found, heading = [], ""
    for match in _QUESTION.finditer(page):
        heading = match["heading"] or heading
        if match["sql"]:
            found.append(Question(heading, match["sql"], match["answer"]))
    return found


def answered(page: str, con: duckdb.DuckDBPyConnection) -> str:
    """The page with the answers that the database gives."""
    for question in questions(page):
        if "raw_file" not in question.columns:
            page = page.replace(
                f"{question.sql}```\n\n{question.answer}", f"{question.sql}```\n\n{_answer(con, question)}"
            )
    return page


def _answer(con: duckdb.DuckDBPyConnection, question: Question) -> str:
    result = con.execute(question.sql)
    columns = [(name, str(type_)) for name, type_, *_ in result.description]
    rule = ["--:" if re.match(r"DECIMAL|DOUBLE|\w*INT", type_) else "---" for _, type_ in columns]
    rows = [["" if value is None else str(value) for value in row] for row in result.fetchall()]
    return _line([name for name, _ in columns]) + f"|{'|'.join(rule)}|\n" + "".join(_line(row) for row in rows)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


# --- pictures ---------------------------------------------------------------------------------------------------------


def pictures(page: str) -> dict[str, str]:
    """File name -> SVG of every picture that the page shows, each drawn from the answer it stands below."""
    return {f"{m['name']}.svg": _picture(m["title"], m["answer"], DRAWINGS[m["name"]]) for m in _PICTURE.finditer(page)}


def _picture(title: str, answer: str, drawing: Drawing) -> str:
    header, _, *lines = answer.splitlines()
    names = _cells(header)
    sums: dict[str, list[Decimal]] = {}
    for line in lines:
        cells = dict(zip(names, _cells(line), strict=True))
        category = " ".join(cells[name] for name in drawing.category).strip()
        amounts = [Decimal(cells[name] or 0) for name in drawing.series]
        so_far = sums.get(category, [Decimal(0)] * len(amounts))
        sums[category] = [a + b for a, b in zip(so_far, amounts, strict=True)]
    if drawing.kind is ChartKind.BARS:
        sums = dict(sorted(sums.items(), key=lambda bar: -bar[1][0]))
    columns = [Column(name, name, Kind.MONEY, drawing.decimals) for name in ("category", *drawing.series)]
    rows = [(category, *amounts) for category, amounts in sums.items()]
    section = Section("answer", title, tuple(columns), rows, len(rows))
    return str(_standing_alone(Chart(title, drawing.kind, section, 0, tuple(range(1, len(columns))), drawing.unit)))


def _standing_alone(chart: Chart) -> Markup:
    """The report's chart as a file of its own: with its style sheet, title, unit and legend."""
    drawn = str(charts.svg(chart))
    size = re.match(r'<svg viewBox="0 0 (\d+) (\d+)"', drawn)
    assert size, f"there is nothing to draw: {chart.title}"
    width, height = int(size[1]), int(size[2])
    inner = Markup(drawn.replace("<svg ", f'<svg x="12" y="56" width="{width}" height="{height}" ', 1))
    entry = Markup('<rect class="s{}" x="{}" y="37" width="11" height="11"/><text class="axis" x="{}" y="47">{}</text>')
    legend = Markup("").join(
        entry.format(number, 280 + 90 * place, 296 + 90 * place, name)
        for place, (number, name) in enumerate(charts.legend(chart.section, chart.series))
    )
    return (
        Markup('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}">\n').format(
            width + 24, height + 66
        )
        + Markup("<style>\n{}\n</style>\n").format(Markup(_style()))
        + Markup("<title>{}</title>\n").format(chart.title)
        + Markup('<rect class="paper" width="100%" height="100%" rx="6"/>\n')
        + Markup('<text class="title" x="16" y="26">{}</text>\n').format(chart.title)
        + Markup('<text class="axis" x="16" y="47">{}</text>{}\n').format(chart.unit, legend)
        + inner
        + Markup("\n</svg>\n")
    )


def _style() -> str:
    """What the report's style sheet says of colours and charts."""
    css = Path(charts.__file__).with_name("report.css").read_text(encoding="utf-8")
    colours = css[: css.index("* {")]
    rules = [line for line in css.splitlines() if re.match(r"svg (text|\.)|\.s\d ", line)]
    own = [".paper { fill: var(--paper); stroke: var(--line); }", "svg .title { font-size: 14px; font-weight: 600; }"]
    return "\n".join([colours.rstrip(), *rules, *own])


# --- the notebook -----------------------------------------------------------------------------------------------------


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the outputs of its code cells, run in order in the current folder.

    As a notebook shows them: what a cell prints, and its last expression as HTML, SVG or text. Whatever a cell raises
    is raised.
    """
    names: dict[str, Any] = {}
    number = 0
    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            number += 1
            cell = {**cell, "execution_count": number, "outputs": _run("".join(cell["source"]), names, number)}
        cells.append(cell)
    for value in names.values():
        if isinstance(value, duckdb.DuckDBPyConnection):
            value.close()
    return {**notebook, "cells": cells}


def _run(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    outputs: list[dict[str, Any]] = []
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(tree, f"cell {number}", "exec"), names)
        value = None
        if last is not None:
            assert isinstance(last, ast.Expr)
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
    if printed.getvalue():
        text = printed.getvalue().splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": text})
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        for mime, method in (("text/html", "_repr_html_"), ("image/svg+xml", "_repr_svg_")):
            if hasattr(value, method):
                data[mime] = getattr(value, method)().splitlines(keepends=True)
        outputs.append({"data": data, "execution_count": number, "metadata": {}, "output_type": "execute_result"})
    return outputs


# --- all of it --------------------------------------------------------------------------------------------------------


def load_demo(root: Path, first: date = FIRST, last: date = LAST) -> Path:
    """Load the bundled vendors' days into ``root``/data, the last of them with restatements; the published file."""
    with Vendors(SEED, first, last) as vendors, _environment(vendors.secrets):
        configured = load_settings(vendors.write_config(root / "tollbook.toml"))
        _load(configured, first, last)
        vendors.settle_provisional()
        vendors.withdraw_row(last - timedelta(2))
        vendors.add_late_rows(last - timedelta(1), 3)
        vendors.add_late_rows(last - timedelta(1), 2, "sipcentric")
        _load(configured, max(first, last - timedelta(3)), last)
    return public_file(root / "data")


def _load(configured: Settings, first: date, last: date) -> None:
    failures = run_load(configured, first, last, (), lambda progress: None).failures
    assert not failures, failures


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def made(root: Path) -> tuple[str, str]:
    """The page and the notebook as the bundled vendors answer them, loaded into ``root``."""
    with duckdb.connect(load_demo(root), read_only=True) as con:
        con.execute(f"SET TimeZone = '{ZONE.key}'")
        page = answered(PAGE.read_text(encoding="utf-8"), con)
    with chdir(root):
        notebook = executed(json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    return page, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        page, notebook = made(Path(folder))
    PAGE.write_text(page, encoding="utf-8")
    NOTEBOOK.write_text(notebook, encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    for name, svg in pictures(page).items():
        (PICTURES / name).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
