"""The command line: ``tollbook …``.

What lives here: the commands, what they print, and their exit codes: 0 all well, 1 something failed or is incomplete
(said which), 2 wrong usage or configuration, 130 or 143 interrupted. What does not: any of the work; the jobs are
Dagster's, run in this process and recorded where ``tollbook dev`` shows them. Heavy imports stand inside the commands,
so that ``--help`` is quick.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from pipelines.interruption import Interrupted, leave, raised
from tollbook_errors import ConfigError, InternalError, TollbookError
from warehouse.locks import set_command
from warehouse.schema import FIRST_YEAR
from warehouse.text import shown

if TYPE_CHECKING:
    from pipelines.load import LoadSummary
    from pipelines.settings import Settings
    from warehouse.close import Freeze
    from warehouse.reports.model import Flag

DAY = click.DateTime(["%Y-%m-%d"])
MONTH = click.DateTime(["%Y-%m"])
_LONGEST_LINE = 1000  # characters of what is piped in


class LogLine(logging.Formatter):
    """A log line as text: what somebody outside wrote does nothing to the terminal, and begins no line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record)).replace("\n", "\n    ")


class Commands(click.Group):
    """A group whose commands end with the documented exit codes and one clear message."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            _stop(f"configuration: {error}", 2)
        except TollbookError as error:
            _stop(f"{error.kind}: {error}", 1)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click knows what to do
        except Interrupted as stop:
            click.echo(shown(f"tollbook: {stop}"), err=True)
            leave(stop)
        except Exception as error:
            if isinstance(error, OSError) and error.filename is not None:  # a file's, whoever came upon it
                _stop(f"StorageError: {shown(str(error.filename))}: {error.strerror}", 1)
            internal = InternalError.of(error)
            _stop(f"{internal.kind}: {internal}", 1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file.  [default: $TOLLBOOK_CONFIG, else ./tollbook.toml]",
)
@click.option("--verbose", is_flag=True, help="Log every request and step (never its contents).")
@click.version_option(package_name="tollbook")
@click.pass_context
def main(ctx: click.Context, config: Path | None, verbose: bool) -> None:
    """Call accounting as a data pipeline.

    Tollbook loads calls and costs from Bicom PBXware, Sipcentric, TIM4biz and Time4VPS every night, proves every total
    against the vendors' own, and publishes one DuckDB file to query.

    \b
    Try it without any vendor:     tollbook demo
    With a tollbook.toml:          tollbook check
                                   tollbook load
                                   tollbook status
                                   tollbook report --month 2026-10
                                   tollbook focus --month 2026-10
    In a browser:                  tollbook dev

    Exit codes: 0 success; 1 something failed or is incomplete, and the output says what; 2 wrong usage or
    configuration; 130 or 143 interrupted by SIGINT or SIGTERM.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(LogLine("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, handlers=[handler])
    ctx.obj = config
    # What libraries write, such as Dagster's records, is for the owner only like all else; it goes for child processes.
    ctx.call_on_close(partial(os.umask, os.umask(0o077)))
    set_command(f"tollbook {ctx.invoked_subcommand}")
    if ctx.invoked_subcommand != "load":  # which has nothing to lose before its work begins
        ctx.with_resource(raised())


def _settings(ctx: click.Context) -> "Settings":
    from pipelines.settings import load_settings

    return load_settings(ctx.obj)


@main.command()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Check the configuration and finance's files, and make one small request to each connection.

    Shows whether the address and credentials of each connection work. Shows which lines of finance's files match
    nothing in the newest month that is loaded, are spelt differently, or are rates that are too old. Nothing is
    written.
    """
    from pipelines.maintain import check_held, check_reference, probe
    from pipelines.progress import notice_lines, unconfigured_line

    settings = _settings(ctx)
    places = settings.check_secrets()
    for name in check_held(settings):
        click.echo(f"note: {unconfigured_line(name)}")
    for line in (*places, *notice_lines(check_reference(settings))):
        click.echo(shown(f"note: {line}"))
    failed = 0
    for connection in settings.connections:
        trouble = probe(settings, connection.name)
        failed += trouble is not None
        click.echo(f"{connection.name:<20} {connection.vendor:<11} {'ok' if trouble is None else trouble}")
    if failed:
        _stop(f"{failed} of {len(settings.connections)} connections do not work", 1)


@main.command()
@click.option("--from", "first", type=DAY, help="First business day.  [default: yesterday less the look-back]")
@click.option("--to", "last", type=DAY, help="Last business day, included.  [default: yesterday]")
@click.option("--connection", "names", multiple=True, metavar="NAME", help="Only this connection; can be repeated.")
@click.pass_context
def load(ctx: click.Context, first: datetime | None, last: datetime | None, names: tuple[str, ...]) -> None:
    """Load business days into the warehouse, prove them, and publish.

    Without --from and --to it loads yesterday, the look-back days before it, and days that earlier loads missed.
    Records that the vendor has changed since are restated. Lists (invoices, extensions, bundles, …) are always loaded
    whole. If one connection fails, the others are loaded and published all the same, and the exit code is 1.

    \b
    tollbook load
    tollbook load --from 2026-10-01 --to 2026-10-31
    tollbook load --connection hq
    """
    from pipelines.alerts import send_heartbeat
    from pipelines.load import run_load

    settings = _settings(ctx)
    for name in names:
        settings.connection(name)
    span = _span(settings, first, last)
    for line in settings.check_secrets():
        click.echo(shown(f"warning: {line}"), err=True)
    with _progress() as watch:
        ran = run_load(settings, *span, names, watch)
    _show_load(ran)
    if ran.failures:
        sys.exit(1)
    if settings.heartbeat is not None:
        click.echo(f"heartbeat: {send_heartbeat(settings)}", err=True)


@main.command()
@click.pass_context
def rebuild(ctx: click.Context) -> None:
    """Make core and the warehouse again from the stored responses, without asking any vendor.

    Run it after an upgrade whose changelog says so, when a core file or the private database is damaged, or after you
    changed how a connection is read (currency, timezone, region, outside_line, fields). Records that change are listed
    in audit.restatement.
    """
    from pipelines.maintain import run_rebuild

    settings = _settings(ctx)
    with _progress() as watch:
        summary = run_rebuild(settings, watch)
    click.echo(f"rebuilt {summary.partitions} partitions of {summary.streams} streams; published {summary.path}")


@main.command()
@click.argument("old")
@click.argument("new")
@click.pass_context
def rename_connection(ctx: click.Context, old: str, new: str) -> None:
    """Give the data that was loaded as OLD the name NEW, which tollbook.toml has for the connection now.

    The stored responses, the warehouse, the record of loads and the closed months get the new name. Every figure stays
    the same; the ids of calls change, because the name is part of them. Write the new name into finance's files first.
    If the command is interrupted, the next load, rebuild or rename-connection finishes it. Give the same name twice
    when the same account has moved to another host or has another user name.

    \b
    tollbook rename-connection hq pbx
    tollbook rename-connection hq hq
    """
    from pipelines.maintain import check_reference, run_rename
    from pipelines.progress import notice_lines

    settings = _settings(ctx)
    settings.connection(new)
    with _progress() as watch:
        rebuilt = run_rename(settings, old, new, watch)
    for line in notice_lines(check_reference(settings)):
        click.echo(shown(f"note: {line}"))
    if rebuilt is None:
        click.echo(f"{new} is recorded as the same account at its new address; run: tollbook load")
    else:
        click.echo(f"renamed {old} to {new} in {rebuilt.partitions} partitions; published {rebuilt.path}")


@main.command()
@click.option("--month", type=MONTH, required=True, help="The month, as YYYY-MM.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder.  [default: <data_dir>/reports]")
@click.pass_context
def report(ctx: click.Context, month: datetime, out: Path | None) -> None:
    """Write finance's files for a month: an Excel workbook, an HTML page, CSV files.

    Reads the published database only. The first page says whether the month is complete, proven and closed; the
    command says the same on standard error. Standard output has the files' paths only.
    """
    from pipelines.maintain import run_report

    flags: list[Flag] = []
    settings = _settings(ctx)
    for path in run_report(settings, _month(settings, month), out, flags.append):
        click.echo(path)
    for flag in flags:
        click.echo(shown(f"{flag.word}: {flag.text}"), err=True)


@main.command()
@click.option("--month", type=MONTH, required=True, help="The month, as YYYY-MM.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder.  [default: <data_dir>/reports]")
@click.option("--for-spreadsheets", is_flag=True, help="Write an apostrophe before CSV texts that look like formulas.")
@click.pass_context
def focus(ctx: click.Context, month: datetime, out: Path | None, for_spreadsheets: bool) -> None:
    """Write a month as a FOCUS 1.2 cost-and-usage dataset: Parquet and CSV, for FinOps tools.

    Reads the published database only. Writes nothing unless the rows add up exactly to the month's cost in
    mart.cost_monthly and to its invoices. docs/focus.md describes the columns.
    """
    from pipelines.maintain import run_focus
    from warehouse.reports.model import show_money

    settings = _settings(ctx)
    written = run_focus(settings, _month(settings, month), out, for_spreadsheets=for_spreadsheets)
    for path in written.paths:
        click.echo(path)
    amounts = [show_money(cost, currency) for currency, cost in written.billed]
    click.echo(f"{written.rows:,} rows, billed {', '.join(amounts) or 'nothing'}")
    for flag in written.remarks:
        click.echo(f"{flag.word}: {flag.text}")


@main.command()
@click.option("--month", type=MONTH, required=True, help="The month, as YYYY-MM.")
@click.option("--anyway", is_flag=True, help="Close it although it is incomplete or not proven, and record why.")
@click.option("--reopen", is_flag=True, help="Close a closed month again; the earlier close is kept as a version.")
@click.pass_context
def close(ctx: click.Context, month: datetime, anyway: bool, reopen: bool) -> None:
    """Close a month: freeze its figures as they are now.

    mart.cost_monthly_as_closed keeps the figures. `tollbook status`, mart.month_movement and
    audit.restatement_since_close show what changes afterwards, and why. The command first shows what it freezes, and
    which of it is provisional, unrated, stale or at variance. It refuses a month that is not over and a month without
    data; without --anyway also a month that is incomplete or has open variances. Do not close while a load is running:
    records that it reads meanwhile count as known.

    \b
    tollbook close --month 2026-10
    """
    from pipelines.maintain import run_close

    settings = _settings(ctx)
    closed = run_close(settings, _month(settings, month), anyway=anyway, reopen=reopen, announce=_show_freeze)
    version = f", version {closed.version}" if closed.version > 1 else ""
    click.echo(f"closed {closed.month:%Y-%m}{version}: {_amounts(closed.costs)}")
    if closed.despite:
        click.echo(f"although: {closed.despite}")


def _show_freeze(freeze: "Freeze") -> None:
    from warehouse.reports.model import plain

    click.echo(f"freezing {freeze.month:%Y-%m}: {_amounts(freeze.costs)}")
    for remark in freeze.remarks:
        if remark.word == "variance":  # to the last place: it may be less than a cent, or no money
            amounts = ", ".join(f"{plain(amount):+,f} {currency or ''}".rstrip() for currency, amount in remark.amounts)
        else:
            amounts = _amounts(remark.amounts) if remark.amounts else ""
        click.echo(f"  {remark.word}: {remark.text}{f': {amounts}' if amounts else ''}")


def _amounts(costs: Sequence[tuple[str | None, Decimal]]) -> str:
    from warehouse.reports.model import show_money

    return ", ".join(show_money(cost, currency or "without currency") for currency, cost in costs) or "nothing charged"


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for a monitor.")
@click.option("--all", "everything", is_flag=True, help="Also show the table of connections and the restatements.")
@click.pass_context
def status(ctx: click.Context, as_json: bool, everything: bool) -> None:
    """Show in one line whether all is well, then what is wrong: stale, missing or failed days, open variances.

    Exits with 1 when a connection is stale (no good load of yesterday for longer than its stale_after), its last load
    failed, a day is missing, stale or was read before it had ended, or a variance is open; also before the first load.
    Days with unusually few or many records and changes of closed months are shown but do not change the exit code.
    --json prints an object with exit code 0 or 1, and none when the configuration is wrong (2).
    """
    from pipelines.status import as_object, read_status, show_status, without_database

    settings = _settings(ctx)
    try:
        found = read_status(settings)
    except TollbookError as error:
        if as_json and not isinstance(error, ConfigError):
            click.echo(json.dumps(without_database(settings, error), indent=2))
        raise
    if as_json:
        click.echo(json.dumps(as_object(found), indent=2))
    else:
        show_status(found, everything=everything)
    if not found.well:
        sys.exit(1)


@main.command()
@click.argument("record_id")
@click.pass_context
def trace(ctx: click.Context, record_id: str) -> None:
    """Show where a figure comes from: RECORD_ID in the marts, in core, and as the vendor sent it.

    RECORD_ID is a cdr_id, call_id, sms_id or invoice_id of the database, or a vendor's own id. Telephone numbers and
    names are shown on a terminal only, not in a file or a pipe.
    """
    from pipelines.trace import show_trace
    from pipelines.trace import trace as follow

    show_trace(follow(_settings(ctx), record_id))


@main.command()
@click.argument("number", default="-")
@click.option("--yes", is_flag=True, help="Erase without asking; needed where there is no terminal.")
@click.pass_context
def erase(ctx: click.Context, number: str, yes: bool) -> None:
    """Erase a telephone number from everything under the data directory.

    Leave NUMBER out, or write -, and the command asks for it (or reads it from a pipe), so that it is not kept in the
    shell's history. It shows how many records hold the number and asks before it erases. A number that no record holds
    is an error. Calls, durations and costs stay, and so do the number's country and kind. The next load does not bring
    the number back. Reports that held it are deleted and listed. Delete copies elsewhere, such as backups, yourself.

    \b
    tollbook erase
    tollbook erase --yes < number.txt
    """
    from pipelines.erase import NumberError, find_number, run_erase

    settings = _settings(ctx)
    asked = _can_ask()
    if not (asked or yes):
        raise click.UsageError("no terminal to ask for confirmation: add --yes")
    if number == "-":
        number = click.prompt("Number", hide_input=True) if asked else sys.stdin.readline(_LONGEST_LINE)
    try:
        held = find_number(settings, number)
    except NumberError as error:
        raise click.UsageError(str(error)) from None
    if not yes:
        click.echo(f"The number is in {_rows_of(held.rows)}.")
        click.confirm(f"Erase it for good from everything under {settings.data_dir}?", abort=True)
    with _progress() as watch:
        erased = run_erase(settings, held, watch)
    click.echo(f"erased {erased.id} from {_rows_of(erased.rows)}")
    for path in erased.reports:
        click.echo(f"deleted {path}: make it again with tollbook report")


def _can_ask() -> bool:
    """Whether a person sits at the terminal."""
    return sys.stdin.isatty()


def _rows_of(rows: Mapping[str, int]) -> str:
    """What holds a number, as ``erase`` counts it."""
    tables = ", ".join(f"{name} {count:,}" for name, count in rows.items() if name != "raw")
    return f"{rows['raw']:,} responses; rows by table: {tables or 'none'}"


@main.command()
@click.option("--seed", default=7, show_default=True, help="Another seed makes another company.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-data"),
    show_default=True,
    help="Where the demo keeps its configuration and data.",
)
def demo(seed: int, data_dir: Path) -> None:
    """Load the bundled vendors: all four, over real HTTP, on this machine only.

    Starts a server that answers as the four vendors document it, loads everything from it since the first of last
    month, builds the warehouse and last month's report, and prints what it found and where the files are.
    """
    from pipelines.demo.showing import run_demo

    with _progress() as watch:
        ran = run_demo(seed, data_dir.absolute(), watch)
    if ran.failures:
        sys.exit(1)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; another needs --password.")
@click.option("--port", "-p", type=int, default=3000, show_default=True, help="Port to listen on.")
@click.option("--read-only", is_flag=True, help="Show everything, but start no runs and switch no schedule.")
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="A host name that a web server in front uses.",
)
@click.option(
    "--password", metavar="WHERE", help="Where the password is, as env:NAME or file:PATH; the user name is tollbook."
)
@click.pass_context
def dev(
    ctx: click.Context, host: str, port: int, read_only: bool, allow_host: tuple[str, ...], password: str | None
) -> None:
    """Open Dagster's pages and run its daemon: the graph, the runs, the nightly schedule.

    Only this machine can open them, and no other web page in the browser can use them. The README says how to put them
    behind a login.
    """
    from pipelines.pages import Access, serve
    from pipelines.secret_source import secret_source

    settings = _settings(ctx)
    secret = None
    if password is not None:
        source = secret_source("--password", password, Path.cwd())
        if source is None:
            raise click.UsageError("--password takes env:NAME or file:PATH, never the password itself")
        secret = source.read()
    serve(settings, Access(host, port, allow_host, secret, read_only))


# --- what the commands share -----------------------------------------------------------------------------------------


def _span(settings: "Settings", first: datetime | None, last: datetime | None) -> tuple[date, date]:
    """The asked business days; click.UsageError when they make no sense."""
    from pipelines.load_window import default_window, today

    usual_first, usual_last = default_window(settings)
    end = last.date() if last else usual_last
    start = first.date() if first else (usual_first if last is None else end)
    if start > end:
        raise click.UsageError(f"--from {start} is later than --to {end}")
    if end > today(settings):
        raise click.UsageError(f"--to {end} has not begun yet in {settings.timezone}")
    if start < settings.first_date:
        raise click.UsageError(f"--from {start} is before first_date {settings.first_date} in tollbook.toml")
    return start, end


def _month(settings: "Settings", month: datetime) -> date:
    """The first day of the asked month; click.UsageError for one of which there can be no records."""
    from pipelines.load_window import today

    first = month.date().replace(day=1)
    if first > today(settings):
        raise click.UsageError(f"--month {first.isoformat()[:7]} has not begun yet in {settings.timezone}")
    if first.year < FIRST_YEAR:
        raise click.UsageError(f"--month {first.isoformat()[:7]} is before {FIRST_YEAR}, the first year with records")
    return first


@contextmanager
def _progress() -> Iterator[Callable[[Any], None]]:
    """Progress bars on a terminal, plain lines elsewhere."""
    from pipelines.progress import bars, lines

    with bars() if sys.stderr.isatty() else lines() as watch:
        yield watch


def _show_load(ran: "LoadSummary") -> None:
    from pipelines.progress import show_load

    show_load(ran)


def _stop(message: str, code: int) -> NoReturn:
    click.echo(shown(f"tollbook: {message}"), err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
