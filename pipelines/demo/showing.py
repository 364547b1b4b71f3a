"""``tollbook demo``: the bundled vendors loaded like real ones, and what there is to see.

What lives here: starting the vendors' server as a process of its own, the load against it, and the printed tour. What
does not: the vendors (the rest of this package), the load and the report (``pipelines.load``, ``maintain``).
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import click
from rich.table import Table

from pipelines.demo.server import SECRETS
from pipelines.load import LoadSummary, run_load
from pipelines.maintain import run_report
from pipelines.progress import Watch, show_load
from pipelines.settings import load_settings
from pipelines.terminal import Terminal
from tollbook_errors import StorageError
from warehouse.files import disk_errors, make_folder
from warehouse.published import open_public

QUERIES = (
    (
        "What did last month cost, by kind of charge? (never summed across currencies)",
        """SELECT charge_kind, currency, sum(quantity)::INTEGER AS quantity, sum(cost) AS cost,
    sum(reporting_cost) AS gbp
FROM mart.cost_monthly WHERE month = DATE '{month}'
GROUP BY ALL ORDER BY charge_kind, currency""",
    ),
    (
        "Which hours carried the most traffic?",
        """SELECT connection, account_id, timezone('Europe/London', hour) AS hour, sum(calls)::INTEGER AS calls,
    sum(erlangs) AS erlangs
FROM mart.usage_hourly GROUP BY ALL ORDER BY erlangs DESC, connection, account_id LIMIT 5""",
    ),
    (
        "Does TIM4biz agree with the PBX?",
        """SELECT class, count(*) AS extension_days, sum(calls_difference)::INTEGER AS calls,
    sum(cost_difference) AS cost
FROM mart.extension_reconciliation GROUP BY class ORDER BY class""",
    ),
)


def run_demo(seed: int, folder: Path, watch: Watch) -> LoadSummary:
    """Load the bundled vendors since the first of last month, make last month's report, and print what there is."""
    with disk_errors(folder):
        make_folder(folder)
    console = Terminal()
    london = today_in_london()
    yesterday = london - timedelta(days=1)
    month = (london.replace(day=1) - timedelta(days=1)).replace(day=1)
    config = folder / "tollbook.toml"
    console.print(f"Starting the bundled vendors on this machine; loading {month} to {yesterday} …", soft_wrap=True)
    with _vendors(seed, month, yesterday, config):
        os.environ.update(SECRETS)
        settings = load_settings(config)
        ran = run_load(settings, month, yesterday, (), watch)
    show_load(ran)
    if ran.database is None:
        return ran
    _show_proof(console, ran.database)
    _show_queries(console, ran.database, month)
    reports = run_report(settings, month, None)
    console.print("\nWhere things are", style="bold")
    for name, path in (
        ("database", ran.database),
        ("report", next((p for p in reports if p.suffix == ".html"), reports[0])),
        ("workbook", next((p for p in reports if p.suffix == ".xlsx"), reports[0])),
        ("configuration", config),
    ):
        console.print(f"  {name:<14} {_short(path)}", soft_wrap=True)
    console.print(f"\nHow things stand:     tollbook --config {_short(config)} status", soft_wrap=True)
    console.print(f"The graph and runs:   tollbook --config {_short(config)} dev", soft_wrap=True)
    return ran


def today_in_london() -> date:
    """The current business day of the demo's company."""
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    return datetime.now(UTC).astimezone(ZoneInfo("Europe/London")).date()


@contextmanager
def _vendors(seed: int, first: date, last: date, config: Path) -> Iterator[None]:
    """The vendors' server as a process of its own, for as long as the ``with`` block lasts."""
    command = [sys.executable, "-m", "pipelines.demo", "--seed", str(seed)]
    command += ["--from", str(first), "--to", str(last), "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            if not any(line.startswith("Serving") for line in server.stdout):
                raise StorageError("the bundled vendors did not start", hint="run: python -m pipelines.demo")
            yield
        finally:
            server.terminate()


def _show_proof(console: Terminal, database: Path) -> None:
    table = Table(title="Control totals: our figures against the vendors' own", title_justify="left")
    for name in ("connection", "check", "matched", "variance", "unavailable"):
        table.add_column(name, justify="left" if name in ("connection", "check") else "right")
    with open_public(database) as con:
        rows = con.execute(
            "SELECT connection, check_name, count(*) FILTER (status = 'matched'),"
            " count(*) FILTER (status = 'variance'), count(*) FILTER (status = 'unavailable')"
            " FROM audit.control_total GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        ties = con.execute("SELECT count(*), count(*) FILTER (difference <> 0) FROM audit.tie_out").fetchall()[0]
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)
    console.print(f"Tie-outs of marts to facts: {ties[0]:,}, of which off: {ties[1]}")


def _show_queries(console: Terminal, database: Path, month: date) -> None:
    console.print("\nThree queries worth trying", style="bold")
    with open_public(database) as con:
        for question, query in QUERIES:
            sql = query.format(month=month)
            result = con.execute(sql)
            table = Table(show_edge=False)
            for column in result.description:
                table.add_column(column[0])
            for row in result.fetchall():
                table.add_row(*(str(cell) if cell is not None else "" for cell in row))
            console.print(f"\n{question}", style="bold")
            click.echo(sql + ";\n")
            console.print(table)


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
