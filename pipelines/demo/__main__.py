"""``python -m pipelines.demo``: the bundled vendors as a process of their own, until interrupted."""

import threading
from datetime import datetime
from pathlib import Path

import click

from pipelines.demo.faults import KINDS, Fault
from pipelines.demo.server import SECRETS, Vendors

DAY = click.DateTime(["%Y-%m-%d"])


@click.command(help=f"Serve the bundled vendors. Kinds of FAULT: {', '.join(sorted(KINDS))}.")
@click.option("--port", default=0, show_default=True, help="0 = any free port")
@click.option("--seed", default=7, show_default=True)
@click.option("--from", "first", type=DAY, default="2026-10-01", show_default=True, help="first business day")
@click.option("--to", "last", type=DAY, default="2026-10-31", show_default=True, help="last business day, inclusive")
@click.option("--scale", default=1.0, show_default=True, help="multiplies the calls a day")
@click.option("--sip-limit", default=1_000_000, show_default=True, help="Sipcentric requests an hour")
@click.option("--fault", "specs", multiple=True, metavar="FAULT", help="kind,vendor=…,endpoint=…,nth=…,times=…,…")
@click.option("--config", type=click.Path(path_type=Path), help="write a tollbook.toml for the server here")
def main(
    port: int,
    seed: int,
    first: datetime,
    last: datetime,
    scale: float,
    sip_limit: int,
    specs: tuple[str, ...],
    config: Path | None,
) -> None:
    try:
        faults = [Fault.parse(spec) for spec in specs]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--fault") from None
    options = {"sip_limit": sip_limit}
    with Vendors(seed, first.date(), last.date(), scale, options, faults, port) as vendors:
        for vendor, url in vendors.urls.items():
            click.echo(f"{vendor:<11} {url}")
        if config is not None:
            click.echo(f"config      {vendors.write_config(config)}")
        # These open nothing but this server.
        for name, value in SECRETS.items():
            click.echo(f"export {name}='{value}'")
        click.echo("Serving until interrupted.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("Stopped.")


if __name__ == "__main__":
    main()
