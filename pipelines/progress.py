"""What a load looks like while it runs and when it has ended.

What lives here: progress bars for a terminal, plain lines elsewhere, the closing table. What does not: the work.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click
from rich import progress as rich_progress
from rich.table import Table

from pipelines.terminal import Terminal
from warehouse.reference_notices import UNMATCHED, Notice
from warehouse.reports.model import show_money

if TYPE_CHECKING:
    from assets.stream import Progress
    from pipelines.load import LoadSummary

Watch = Callable[["Progress"], None]
"""What is told of every step of a load."""
_EVERY_SECONDS = 5.0
NOTICES = 10  # lines of finance's files that are told one by one


@contextmanager
def bars() -> Iterator[Watch]:
    """A bar per connection and stream, on standard error."""
    columns = (
        rich_progress.SpinnerColumn(),
        rich_progress.TextColumn("{task.description}", justify="left"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[window]}"),
        rich_progress.TextColumn("{task.fields[rows]}", justify="right"),
        rich_progress.TimeElapsedColumn(),
    )
    with rich_progress.Progress(*columns, console=Terminal(stderr=True)) as progress:
        tasks: dict[tuple[str, str], Any] = {}
        read: dict[tuple[str, str], int] = {}

        def watch(step: "Progress") -> None:
            key = (step.connection, step.stream)
            if key not in tasks:
                name = f"{step.connection} {step.stream}"
                tasks[key] = progress.add_task(f"{name:<24}", total=step.total, window="", rows="")
                read[key] = 0
            ended = step.done > progress.tasks[tasks[key]].completed
            read[key] += step.rows if ended else 0
            shown = read[key] + (0 if ended else step.rows)
            window = f"{step.window}, {step.failed} failed" if step.failed else step.window
            progress.update(tasks[key], completed=step.done, total=step.total, window=window, rows=f"{shown:,} rows")

        yield watch


@contextmanager
def lines() -> Iterator[Watch]:
    """A line when a stream begins, when it ends, and every few seconds between, on standard error."""
    printed_at: dict[tuple[str, str], float] = {}

    def watch(step: "Progress") -> None:
        key = (step.connection, step.stream)
        now = time.monotonic()
        if key in printed_at and step.done + step.failed < step.total and now - printed_at[key] < _EVERY_SECONDS:
            return
        printed_at[key] = now
        failed = f", {step.failed} failed" if step.failed else ""
        rows = f", {step.rows} rows" if step.rows else ""
        click.echo(
            f"{step.connection} {step.stream}: {step.window} ({step.done} of {step.total}{failed}{rows})", err=True
        )

    yield watch


def show_load(ran: "LoadSummary") -> None:
    """The closing table: what each connection gave, what it cost, and whether it was proven."""
    console = Terminal()
    console.print(load_table(ran))
    notes = {(row["connection"], line) for row in ran.loads for line in (row["warnings"] or "").splitlines()}
    for connection, line in sorted(notes):
        console.print(f"note: {connection}: {line}", soft_wrap=True)
    for day in ran.unfinished:
        console.print(f"note: {day} is not over, so its data is partial; load it again when it is over")
    if ran.clock:
        console.print(f"note: {ran.clock}", soft_wrap=True)
    for name in ran.unconfigured:
        console.print(f"note: {unconfigured_line(name)}", soft_wrap=True)
    for line in notice_lines(ran.notices):
        console.print(f"note: {line}", soft_wrap=True)
    for failure in ran.failures:
        console.print(f"FAILED {failure}", style="red", soft_wrap=True)
    if ran.dropped:
        console.print(f"dropped {ran.dropped} business days that are older than retention_days")
    if ran.database is not None:
        console.print(f"published {ran.database}", soft_wrap=True)
    else:
        console.print("nothing was published; the last good database stays", style="red")


def unconfigured_line(name: str) -> str:
    """What is to be known of a connection that is loaded and no longer configured."""
    return f"{name} is no longer in the configuration; its data still counts"


def notice_lines(found: Sequence[Notice]) -> Iterator[str]:
    """What finance's files have to be looked at for: a sentence each, and what merely matched nothing by file."""
    important = [notice for notice in found if notice.kind != UNMATCHED]
    yield from map(str, important[:NOTICES])
    if len(important) > NOTICES:
        yield f"and {len(important) - NOTICES} more lines of finance's files; see audit.reference_notice"
    for file, rest in groupby((notice for notice in found if notice.kind == UNMATCHED), lambda notice: notice.file):
        lines = sorted({notice.line for notice in rest})
        shown = ", ".join(map(str, lines[:NOTICES])) + (", …" if len(lines) > NOTICES else "")
        yield f"{file}: nothing in the month matched line{'s' if len(lines) > 1 else ''} {shown}"


def load_table(ran: "LoadSummary") -> Table:
    """One row per connection of a load."""
    found = Table(title=f"Load {ran.load_id}", title_justify="left")
    for name, justify in (
        ("connection", "left"),
        ("vendor", "left"),
        ("windows", "right"),
        ("rows", "right"),
        ("responses", "right"),
        ("requests", "right"),
        ("quarantined", "right"),
        ("cost", "right"),
        ("checks", "left"),
        ("result", "left"),
    ):
        found.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name in sorted({row["connection"] for row in ran.loads}):
        rows = [row for row in ran.loads if row["connection"] == name]
        costs = [
            show_money(cost, currency or "without currency") for whose, currency, cost in ran.costs if whose == name
        ]
        checks = {status: count for connection, status, count in ran.checks if connection == name}
        states = {row["status"] for row in rows}
        found.add_row(
            name,
            rows[0]["vendor"],
            str(len(rows)),
            *(f"{sum(row[field] or 0 for row in rows):,}" for field in ("rows", "pages", "requests", "quarantined")),
            "\n".join(costs) or "-",
            ", ".join(
                f"{checks[status]} {status}" for status in ("matched", "variance", "unavailable") if status in checks
            )
            or "-",
            "FAILED" if "failed" in states else "unchanged" if states == {"unchanged"} else "loaded",
        )
    return found
